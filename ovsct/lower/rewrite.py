"""Header rewrites: a datapath ``set`` as ``pedit`` words, and the ``csum`` that mends them.

OVS 3.1 lib/tc.c: flower_pedit_map, nl_msg_put_flower_rewrite_pedits(), csum_update_flag().
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ovsct.bridge import odp
from ovsct.lower.reasons import Reason, refuse
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP
from ovsct.tc.actions import Header, Munge, Sum


class _Place(NamedTuple):
    """Where a slot is in its header: offset and size in bytes, and how far below a byte boundary
    it begins.
    """

    slot: str
    header: Header
    at: int
    size: int
    down: int = 0


_PLACES: Final[dict[str, tuple[_Place, ...]]] = {
    "ipv4": (
        _Place("nw_src", Header.IPV4, 12, 4),
        _Place("nw_dst", Header.IPV4, 16, 4),
        _Place("nw_ttl", Header.IPV4, 8, 1),
        _Place("nw_tos", Header.IPV4, 1, 1),
    ),
    "ipv6": (
        _Place("nw_ttl", Header.IPV6, 7, 1),
        _Place("ipv6_src", Header.IPV6, 8, 16),
        _Place("ipv6_dst", Header.IPV6, 24, 16),
        _Place("nw_tos", Header.IPV6, 0, 1, down=4),
    ),
    "eth": (_Place("dl_src", Header.ETH, 6, 6), _Place("dl_dst", Header.ETH, 0, 6)),
    "tcp": (_Place("tp_src", Header.TCP, 0, 2), _Place("tp_dst", Header.TCP, 2, 2)),
    "udp": (_Place("tp_src", Header.UDP, 0, 2), _Place("tp_dst", Header.UDP, 2, 2)),
}
"""The attributes that OVS lowers, with their members in the order in which it writes them."""

_CAN_SET: Final = {
    attribute: sum(SLOTS[place.slot].mask for place in places)
    for attribute, places in _PLACES.items()
}

_SUMS: Final[dict[int, frozenset[Sum]]] = {
    PROTO_TCP: frozenset({Sum.TCP}),
    PROTO_UDP: frozenset({Sum.UDP}),
    PROTO_ICMP: frozenset(),
    PROTO_ICMPV6: frozenset({Sum.ICMP}),
}
"""The IP protocols within which OVS lowers a rewrite, and the checksum it has recomputed."""


def check_set(action: odp.Set) -> None:
    """``parse_put_flow_set_masked_action()``.

    Raises:
        RefusedError: it writes what OVS cannot lower.
    """
    known = _CAN_SET.get(action.attribute)
    if known is None:
        raise refuse(Reason.SET_FIELD, f"set({action.attribute})", action.mask, action)
    other = action.mask & ~known
    if other:
        names = ", ".join(slot.name for slot in SLOTS.values() if slot.mask & other)
        raise refuse(Reason.SET_FIELD, f"set of {names}", other, action)


def munges(action: odp.Set) -> tuple[Munge, ...]:
    """The words that a ``set`` writes, in OVS's order."""
    found = []
    for place in _PLACES[action.attribute]:
        slot = SLOTS[place.slot]
        start, stop = place.at & ~3, place.at + place.size + 3 & ~3
        up = 8 * (stop - place.at - place.size)
        bits, value = slot.get(action.mask) << up, slot.get(action.value) << up
        for at in range(start, stop, 4):
            down = 8 * (stop - at - 4)
            word = (bits >> down & 0xFFFFFFFF) >> place.down
            if word:
                data = (value >> down & 0xFFFFFFFF) >> place.down & word
                found.append(Munge(place.header, at, data, ~word & 0xFFFFFFFF))
    return tuple(found)


def sums(action: odp.Set, words: tuple[Munge, ...], proto: int) -> frozenset[Sum] | None:
    """``csum_update_flag()``: what must be recomputed after `words`; None if nothing ever must.

    `proto` is the IP protocol of the packet that the megaflow is for. Where the result is not
    None, the filter must match on it exactly.

    Raises:
        RefusedError: OVS knows no checksum for that protocol.
    """
    headers = {word.header for word in words} - {Header.ETH}
    if not headers:
        return None
    found = _SUMS.get(proto)
    if found is None:
        raise refuse(
            Reason.REWRITE_PROTO, f"a rewrite within IP protocol {proto}",
            SLOTS["nw_proto"].mask, action,
        )  # fmt: skip
    return found | {Sum.IPV4} if Header.IPV4 in headers else found
