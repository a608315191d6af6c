"""What ``tc -s filter show`` prints, a line a filter, in a form in which two can be compared.

Left out are what a kernel numbers by itself (the indexes of actions), cookies, which are hashes
with a secret of vswitchd's, ages, and the numbers of priorities beyond the reserved ones: vswitchd
hands these out as they come and never takes one back, so that only what shares one counts. Chains
are written as the recirculation ids that they are, so that
:func:`ovsct.compare.megaflows.renamed` can rename both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_HEAD: Final = re.compile(
    r"^filter protocol (?P<protocol>\S+) pref (?P<pref>\d+) flower"
    r" chain (?P<chain>\d+) handle (?P<handle>\S+)"
)
_ORDER: Final = re.compile(r"^\taction order \d+: ")
_SENT: Final = re.compile(r"^\s*Sent (?P<bytes>\d+) bytes (?P<packets>\d+) pkt \(")
_LEFT_OUT: Final = re.compile(
    r"^\s*(index \d+ |ref \d+ |cookie |no_percpu|used_hw_stats|backlog |Action statistics|$)"
)
_INDEX: Final = re.compile(r" index \d+ ref .*|(?<=police) 0x[0-9a-f]+")
_RESERVED: Final = 3
"""The last of the priorities that have a meaning: 2 is IPv4, 3 IPv6 (OVS: lib/tc.h)."""
_SENDS: Final = re.compile(
    r"(?:action (?:skbedit +ptype host pipe action )?"
    r"mirred \((?:Egress|Ingress) (?:Mirror|Redirect)"
    r" to device \w+\) (?:pipe|stolen) ?)+"
)
_DEVICE: Final = re.compile(r"to device (\w+)\)")
_GOTO: Final = re.compile(r"\bgoto chain (\d+)")


def filter_lines(shown: Iterable[str], port: int, floods: bool = False) -> list[str]:
    """The filters of a port's ingress, each in one line with what it counted.

    Args:
        shown: what ``tc -s filter show`` prints of them.
        port: its number.
        floods: as for :func:`ovsct.compare.megaflows.comparable_flows`.
    """
    found = list(_filters(shown))
    heads = [head for lines in found if (head := _HEAD.match(lines[0])) is not None]
    shared = len({(each["protocol"], each["pref"]) for each in heads})
    own = shared == len({each["pref"] for each in heads}) == len({h["protocol"] for h in heads})
    lines = [_line(each, port, own) for each in found]
    return [_without_order(line) for line in lines] if floods else lines


def _filters(shown: Iterable[str]) -> Iterator[list[str]]:
    found: list[str] | None = None
    for line in shown:
        if line.startswith("filter "):
            if found is not None:
                yield found
            found = [line] if _HEAD.match(line) else None
        elif found is not None:
            found.append(line)
    if found is not None:
        yield found


def _line(lines: list[str], port: int, own: bool) -> str:
    head = _HEAD.match(lines[0])
    assert head is not None
    words = [
        f"recirc_id({head['chain']}),in_port({port})", f"protocol {head['protocol']}",
        f"pref {'own' if own and int(head['pref']) > _RESERVED else head['pref']}",
        f"handle {head['handle']}",
    ]  # fmt: skip
    counts = (0, 0)
    for line in lines[1:]:
        if sent := _SENT.match(line):
            counts = max(counts, (int(sent["packets"]), int(sent["bytes"])))
        elif not _LEFT_OUT.match(line):
            words.append(_ORDER.sub("action ", _INDEX.sub("", line)).strip())
    text = _GOTO.sub(lambda found: f"goto recirc({found[1]})", " ".join(words))
    text = text.replace(" to device p65534)", " to device br0)")
    return f"{text} packets:{counts[0]} bytes:{counts[1]}"


def _without_order(line: str) -> str:
    """Outputs in a row as the ports that they go to, in order of their names."""
    return _SENDS.sub(lambda found: f"to {sorted(_DEVICE.findall(found[0]))} ", line)
