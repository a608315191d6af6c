"""``nat(...)`` inside ``ct(...)``, text to :class:`Nat` (OVS lib/ofp-actions.c parse_NAT)."""

from __future__ import annotations

import re
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow.actions import Nat
from ovsct.openflow.text.argument import Reader
from ovsct.openflow.text.lexer import Item, items, nearest
from ovsct.openflow.text.values import ipv4, ipv6

_V4: Final = r"\d+\.\d+\.\d+\.\d+"
_V6: Final = r"\[[0-9a-fA-F:.]+\]|[0-9a-fA-F:.]+"
_PORTS: Final = r"(?::(\d+)(?:-(\d+))?)?\Z"
_RANGE_V4 = re.compile(rf"({_V4})(?:-({_V4}))?{_PORTS}")
_RANGE_V6 = re.compile(rf"({_V6})(?:-({_V6}))?{_PORTS}")
_FLAGS: Final = ("persistent", "hash", "random")


def _range(part: Item, late: list[InputError]) -> dict[str, int]:
    """The addresses and ports of ``ADDR[-ADDR][:PORT[-PORT]]``, highest equal to lowest if alone.

    The address 0.0.0.0 (or ::) means none and port 0 none, as OVS sends them.
    """
    text = part.value
    found = _RANGE_V4.match(text)
    family, read = 4, ipv4
    if found is None:
        found = _RANGE_V6.match(text)
        family, read = 6, ipv6
    if found is None:
        raise InputError(
            "this is not a range of addresses and ports",
            token=text,
            expected="ADDR[-ADDR][:PORT[-PORT]], an IPv6 address before a port in brackets",
        )
    first, last = found[1].strip("[]"), (found[2] or found[1]).strip("[]")
    low, high = read(first), read(last)
    port_low = _port(found[3], late, part) if found[3] else 0
    port_high = _port(found[4], late, part) if found[4] else port_low
    if high < low or port_high < port_low:
        raise InputError("this range ends before it begins", token=text)
    if low == 0 and port_low:
        problem = "a range of ports needs an address (OFPBAC_BAD_ARGUMENT)"
        late.append(InputError(problem, column=part.value_start + 1, token=text))
    if low == 0:
        return {"lost_family": family}
    return {
        "family": family,
        "addr_min": low,
        "addr_max": high,
        "port_min": port_low,
        "port_max": port_high if port_low else 0,
    }


def _port(text: str, late: list[InputError], part: Item) -> int:
    """A port; ovs-ofctl takes one that is too large modulo 65536, so that comes late."""
    number = int(text)
    if number > 0xFFFF:
        late.append(
            InputError("this port is too large", column=part.value_start + 1, token=text,
                       expected="0 to 65535")
        )  # fmt: skip
    return number & 0xFFFF


def read_nat(reader: Reader, item: Item) -> Nat:
    """The Nat that `item` says. Raises InputError with the column."""
    text = reader.text
    sides: set[str] = set()
    flags: set[str] = set()
    ranges: dict[str, int] = {}
    for part in items(text, item.value_start, item.value_end):
        if part.key in ("src", "dst"):
            sides.add(part.key)
            if part.value:
                try:
                    ranges = _range(part, reader.late)
                except InputError as error:
                    raise error.at(column=part.value_start + 1) from None
        elif part.key in _FLAGS:
            flags.add(part.key)
        else:
            known = ("src", "dst", *_FLAGS)
            raise InputError(
                "nat has no such argument",
                column=part.start + 1,
                token=part.key,
                expected=", ".join(known),
                hint=nearest(part.key, known),
            )
    problem = None
    if len(sides) > 1:
        problem = "nat takes src or dst, not both"
    elif flags and not sides:
        problem = "flags of nat need src or dst"
    elif {"hash", "random"} <= flags:
        problem = "nat takes hash or random, not both"
    if problem:
        raise InputError(problem, column=item.start + 1, token=text[item.start : item.end])
    return Nat(
        "src" in sides,
        "dst" in sides,
        persistent="persistent" in flags,
        hash="hash" in flags,
        random="random" in flags,
        **ranges,  # type: ignore[arg-type] # all of them are ints
    )
