"""Meters, text to :class:`Meter` and back (OVS lib/ofp-meter.c parse_ofp_meter_mod_str__).

Only bands of type ``drop`` are taken: OVS's datapaths have no other.
"""

from __future__ import annotations

import re
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow.meter import Band, Meter
from ovsct.openflow.text.flow_text import lines_of
from ovsct.openflow.text.lexer import nearest, with_token
from ovsct.openflow.text.values import integer

_MAX_METER: Final = 0xFFFF0000
_MAX_BANDS: Final = 8
_U32: Final = 0xFFFFFFFF
_WORD: Final = re.compile(r"[^=,\s]+")
_BANDS: Final = re.compile(r"band[^=]*=")
_FLAGS: Final = ("kbps", "pktps", "burst", "stats")
_SPECIAL: Final = ("all", "controller", "slowpath")
_BAND_WORDS: Final = ("type", "rate", "burst_size")


def _error(problem: str, match: re.Match[str], expected: str | None = None) -> InputError:
    return InputError(problem, column=match.start() + 1, token=match[0], expected=expected)


def _number(match: re.Match[str], limit: int, what: str) -> int:
    try:
        return integer(match[0], limit, what)
    except InputError as error:
        raise error.at(column=match.start() + 1) from None


def _value(words: list[re.Match[str]], name: re.Match[str]) -> re.Match[str]:
    if not words:
        raise _error(f"{name[0]} has no value", name)
    return words.pop(0)


def _bands(text: str, start: int) -> list[dict[str, int]]:
    words = list(_WORD.finditer(text, start))
    bands: list[dict[str, int]] = []
    while words:
        name = words.pop(0)
        if name[0] not in _BAND_WORDS:
            raise InputError(
                "a band has no such keyword",
                column=name.start() + 1,
                token=name[0],
                hint=nearest(name[0], _BAND_WORDS),
            )
        value = _value(words, name)
        if name[0] == "type":
            if value[0] not in ("drop", "dscp_remark"):
                raise _error("there is no such band", value, "drop")
            if value[0] != "drop":
                raise _error("datapaths have no such band (OFPMMFC_BAD_BAND)", value, "drop")
            bands.append({"column": name.start() + 1})
        elif not bands:
            raise _error("a band begins with its type", name, "type=drop")
        else:
            bands[-1][name[0]] = _number(value, _U32, name[0].replace("_", " "))
    return bands


def _checked(bands: list[dict[str, int]], burst: bool) -> tuple[Band, ...]:
    for band in bands:
        problem = None
        if not band.get("rate"):
            problem = "a band needs a rate"
        elif burst and not band.get("burst_size"):
            problem = "a band needs a burst_size where the meter says burst"
        elif not burst and band.get("burst_size"):
            problem = "a band has a burst_size only where the meter says burst"
        if problem:
            raise InputError(problem, column=band["column"])
    return tuple(Band(band["rate"], band.get("burst_size", 0)) for band in bands)


def _read(line: str, file: str | None, number: int | None) -> Meter:
    cut = _BANDS.search(line)
    if cut is None:
        raise InputError("a meter needs bands", column=1, expected="bands=type=drop rate=RATE")
    words = list(_WORD.finditer(line, 0, cut.start()))
    flags: set[str] = set()
    meter_id: int | None = None
    while words:
        word = words.pop(0)
        if word[0] in _FLAGS:
            flags.add(word[0])
        elif word[0] == "meter":
            value = _value(words, word)
            if value[0].lower() in _SPECIAL:
                raise _error("this meter of the switch's own is not modelled", value)
            meter_id = _number(value, _MAX_METER, "meter")
            if not meter_id:
                raise _error("there is no such meter", value, f"1 to {_MAX_METER}")
        else:
            raise _error("a meter has no such keyword", word, ", ".join(("meter", *_FLAGS)))
    if meter_id is None:
        raise InputError("a meter must say its number", column=1, expected="meter=NUMBER")
    if not flags & {"kbps", "pktps"}:
        raise InputError("a meter counts kbps or pktps", column=1, token=line[:30])
    if {"kbps", "pktps"} <= flags:
        raise InputError(
            "a meter counts either kbps or pktps (OFPMMFC_BAD_FLAGS)", column=1, token=line[:30]
        )
    bands = _checked(_bands(line, cut.end()), "burst" in flags)
    if not 1 <= len(bands) <= _MAX_BANDS:
        raise InputError(
            f"a meter has 1 to {_MAX_BANDS} bands", column=cut.start() + 1,
            token=line[cut.start() :],
        )  # fmt: skip
    return Meter(
        meter_id=meter_id, packets="pktps" in flags, bands=bands, burst="burst" in flags,
        stats="stats" in flags, text=line, file=file, line=number,
    )  # fmt: skip


def parse_meter(line: str, file: str | None = None, number: int | None = None) -> Meter:
    """The meter that one line says, as ``ovs-ofctl add-meter`` takes it.

    Raises InputError with file, line, column and token.
    """
    try:
        return _read(line, file, number)
    except InputError as error:
        raise with_token(error.at(file=file, line=number), line) from None


def read_meters(text: str, file: str | None = None) -> list[Meter]:
    """The meters of a whole file, one a line; raises InputError, also for a number said twice."""
    found: dict[int, Meter] = {}
    for number, line in lines_of(text):
        meter = parse_meter(line, file, number)
        if meter.meter_id in found:
            raise InputError(
                "this meter is there already (OFPMMFC_METER_EXISTS)",
                file=file,
                line=number,
                token=f"meter={meter.meter_id}",
                hint=f"see line {found[meter.meter_id].line}",
            )
        found[meter.meter_id] = meter
    return list(found.values())


def format_meter(meter: Meter) -> str:
    """The meter as ``ovs-ofctl dump-meters`` prints it, in one line."""
    words = [f"meter={meter.meter_id}", "pktps" if meter.packets else "kbps"]
    words += [name for name in ("burst", "stats") if getattr(meter, name)]
    words.append("bands=")
    for band in meter.bands:
        size = f" burst_size={band.burst_size}" if meter.burst else ""
        words.append(f"type=drop rate={band.rate}{size}")
    return " ".join(words)
