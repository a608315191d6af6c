"""The words of ``police`` and ``sample`` (iproute2 tc/m_police.c, m_sample.c, lib/utils.c)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from ovsct.tc.actions import Police, Sample
from ovsct.tc.text.words import Words
from ovsct.tc.verdict import OK, PIPE, RECLASSIFY

_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)\Z")
_SIZES: Final = {
    "": 1, "b": 1, "k": 1024, "kb": 1024, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30,
    "gb": 1 << 30, "kbit": 128, "mbit": 131072, "gbit": 134217728,
}  # fmt: skip
_RATES: Final = {
    "": 1, "bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "tbit": 1e12, "kibit": 1024,
    "mibit": 1 << 20, "gibit": 1 << 30, "bps": 8, "kbps": 8e3, "mbps": 8e6, "gbps": 8e9,
    "kibps": 8192, "mibps": 8 << 20, "gibps": 8 << 30,
}  # fmt: skip
_REFUSED: Final = {
    "avrate": "an estimator", "estimator": "an estimator", "peakrate": "a peak rate",
    "overhead": "overhead of the link layer", "linklayer": "overhead of the link layer",
    "mpu": "a least packet size",
}  # fmt: skip


def _scaled(words: Words, what: str, units: Mapping[str, float]) -> float:
    word = words.take(what)
    found = _NUMBER.match(word.lower())
    if not found or found[2] not in units:
        words.fail(f"not {what}", token=word, expected=f"a number and one of {', '.join(units)}")
    return float(found[1]) * units[found[2]]


def read_police(words: Words, verdict: Callable[[Words, str], int]) -> Police:
    """Everything behind ``police``."""
    given: dict[str, int] = {}
    control, conform = RECLASSIFY, OK
    while words:
        word = words.peek()
        if word in _REFUSED:
            words.fail(f"{_REFUSED[word]} is not modelled in police", token=words.take(word))
        if word in _READERS:
            words.take(word)
            name, read = _READERS[word]
            given[name] = read(words)
        elif word in _VERDICTS:
            control = verdict(words, words.take("a verdict"))
        elif words.skip("conform-exceed"):
            control, conform = _both(words, verdict)
        else:
            break
    _check(words, given)
    return Police(**given, control=control, conform=conform)


_VERDICTS: Final = ("reclassify", "drop", "shot", "continue", "pass", "ok", "pipe", "goto")
_READERS: Final[dict[str, tuple[str, Callable[[Words], int]]]] = {
    "rate": ("rate", lambda w: int(_scaled(w, "a rate", _RATES) / 8)),
    **dict.fromkeys(
        ("burst", "buffer", "maxburst"), ("burst", lambda w: int(_scaled(w, "a size", _SIZES)))
    ),
    **dict.fromkeys(
        ("mtu", "minburst"), ("mtu", lambda w: int(_scaled(w, "a size", _SIZES)))
    ),
    "pkts_rate": ("pkts_rate", lambda w: w.number("packets a second", 64, 10)),
    "pkts_burst": ("pkts_burst", lambda w: w.number("packets", 64, 10)),
}


def _both(words: Words, verdict: Callable[[Words, str], int]) -> tuple[int, int]:
    """``EXCEED[/CONFORM]``."""
    word = words.take("what to do with what exceeds")
    exceed, slash, conform = word.partition("/")
    if exceed not in _VERDICTS or (slash and conform not in _VERDICTS):
        words.fail("no such verdicts", token=word, expected="drop/pipe and such")
    if "goto" in (exceed, conform):
        words.fail("goto in conform-exceed is not modelled", token=word,
                   hint="let it pipe into an action of its own")  # fmt: skip
    return verdict(words, exceed), verdict(words, conform) if slash else OK


def _check(words: Words, given: dict[str, int]) -> None:
    if not given and words.peek() != "index":
        words.fail("'rate' or 'avrate' or 'mtu' or 'pkts_rate' MUST be specified", token="police")
    if given.get("rate") and not given.get("burst"):
        words.fail("'burst' requires 'rate'", token="rate", expected="burst SIZE")
    if given.get("pkts_rate") and not given.get("pkts_burst"):
        words.fail("'pkts_burst' requires 'pkts_rate'", token="pkts_rate")
    if given.get("pkts_rate") and given.get("rate"):
        words.fail("'rate' and 'pkts_rate' are not allowed in same action", token="rate")


def read_sample(words: Words, control: Callable[[Words, int], int]) -> Sample:
    """Everything behind ``sample``."""
    rate = group = None
    trunc = 0
    while words:
        if words.skip("rate"):
            rate = words.to_number(words.take("a rate").removeprefix("1/"), "a rate", 32, 10)
        elif words.skip("group"):
            group = words.number("a group", 32, 10)
        elif words.skip("trunc", "trunc_size"):
            trunc = words.number("bytes", 32, 10)
        else:
            break
    if rate is None or group is None:
        words.fail("sample needs a rate and a group", token="sample", expected="rate 1 group N")
    if rate != 1:
        words.fail(
            "a kernel samples at random, which is not modelled", token=str(rate),
            hint="rate 1 samples every packet",
        )  # fmt: skip
    return Sample(group, rate, trunc, control(words, PIPE))
