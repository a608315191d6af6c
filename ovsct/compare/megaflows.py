"""Dumped datapath flows in a form in which two dumps can be compared.

A key is read and written again, so that only what its mask says counts. Recirculation ids are
numbers handed out in an order that means nothing: each is renamed by its place in the structure,
that is by the flows that lead to it, those that start from it, and where those lead.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from ovsct.bridge.odp_parse import parse_flow
from ovsct.bridge.odp_text import format_key
from ovsct.packet.fields import SLOTS

_ID: Final = re.compile(r"\b(recirc_id\(|recirc_id=|recirc\()(0x[0-9a-f]+|\d+)")
_IN_PORT: Final = SLOTS["in_port"]
_SAME: Final[Mapping[int, int]] = MappingProxyType({})
_ROUNDS: Final = 8
"""Each round tells apart what differs one recirculation further; a packet has six at most."""


def comparable_flows(
    lines: Iterable[str], floods: bool = False, numbers: Mapping[int, int] = _SAME
) -> list[str]:
    """Sorted texts of the matches and actions of dumped flows, ids renamed.

    Args:
        lines: those of ``dpctl/dump-flows``.
        floods: FLOOD, ALL or NORMAL are used. OVS goes through its ports then in the order of a
            hash table, which turns with every change of the flows: outputs that follow each other
            are put in order.
        numbers: what to call the ports that the lines call by these numbers.

    Raises:
        InputError: a line is no dumped flow.
    """
    return renamed(plain_flows(lines, floods, numbers))


def plain_flows(
    lines: Iterable[str], floods: bool = False, numbers: Mapping[int, int] = _SAME
) -> list[str]:
    """As :func:`comparable_flows`, with the ids as they are."""
    plain = []
    for line in lines:
        flow = parse_flow(line)
        actions = _OUTPUT.sub(lambda found: _port(found, numbers), flow.actions)
        if floods:
            actions = _OUTPUTS.sub(_in_order, actions)
        port = _IN_PORT.get(flow.key)
        key = _IN_PORT.put(flow.key, numbers.get(port, port))
        plain.append(f"{format_key(key, flow.mask)}, actions:{actions}")
    return plain


_OUTPUT: Final = re.compile(r"(?<![^,(])(\d+)(?=[,)]|$)")
"""An output in a list of datapath actions: a number that stands alone."""


_OUTPUTS: Final = re.compile(r"(?<![^,(])\d+(?:,\d+)+(?=[,)]|$)")


def _in_order(found: re.Match[str]) -> str:
    return ",".join(sorted(found[0].split(","), key=int))


def _port(found: re.Match[str], numbers: Mapping[int, int]) -> str:
    return str(numbers.get(int(found[1]), found[1]))


def _number(text: str) -> int:
    return int(text, 0)


def _ids(line: str) -> set[int]:
    return {_number(found[2]) for found in _ID.finditer(line)}


def renamed(lines: Sequence[str]) -> list[str]:
    """Lines with their recirculation ids renamed, sorted."""
    mentioned: dict[int, list[str]] = {}
    for line in lines:
        for number in _ids(line):
            mentioned.setdefault(number, []).append(line)
    names = dict.fromkeys(mentioned, "") | {0: "0"}
    for _ in range(_ROUNDS):
        fresh = {
            number: _name(number, places, names) for number, places in mentioned.items() if number
        }
        names = fresh | {0: "0"}
    sharing = Counter(names[number] for number in mentioned if number)
    written = [
        _ID.sub(lambda found: f"{found[1]}#{names[_number(found[2])]}", line) for line in lines
    ]
    # Two ids of one structure instead of one would be seen nowhere else.
    written += [f"id #{name} stands for {count} states" for name, count in sharing.items()
                if count > 1]  # fmt: skip
    return sorted(written)


def _name(number: int, lines: Sequence[str], names: dict[int, str]) -> str:
    def rename(found: re.Match[str]) -> str:
        other = _number(found[2])
        return f"{found[1]}{'this' if other == number else names[other]}"

    texts = sorted(_ID.sub(rename, line) for line in lines)
    return blake2b("\n".join(texts).encode(), digest_size=4).hexdigest()
