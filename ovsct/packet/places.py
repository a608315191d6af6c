"""Where each slot of the key lies in a packet: the one table behind every set action.

:data:`PLACES` says header by header which bytes a slot is and which checksum covers them;
:func:`plan_writes` turns the mask of a set action into the writes that it comes to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from ovsct.packet.fields import FRAG_LATER, SLOTS
from ovsct.packet.packet import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_NSH,
    ETH_RARP,
    HEADER_MASK,
    HEADER_SLOTS,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)


class Header(Enum):
    """A header that a slot can lie in."""

    ETHERNET = auto()
    MPLS = auto()
    ARP = auto()
    IPV4 = auto()
    IPV6 = auto()
    TCP = auto()
    UDP = auto()
    SCTP = auto()
    ICMP = auto()
    ND = auto()
    NSH = auto()
    NSH_CONTEXTS = auto()


class Sum(Enum):
    """Which checksum covers a place."""

    NONE = auto()
    IPV4 = auto()
    """The header checksum of IPv4."""
    IPV4_AND_PSEUDO = auto()
    """That, and through the pseudo header the transport's."""
    PSEUDO = auto()
    """Through the pseudo header the transport's."""
    TRANSPORT = auto()
    """The transport's own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a slot lies: `size` bytes at offset `at` of the header, its value `low` bits up.

    Places of equal offset are one write, and one step of the checksum, as in OVS.
    """

    slot: str
    at: int
    size: int
    covered: Sum = Sum.NONE
    low: int = 0
    width: int = 0
    """Bits, where that is less than the slot has."""


PLACES: Final[dict[Header, tuple[Place, ...]]] = {
    Header.ETHERNET: (
        Place("dl_dst", 0, 6),
        Place("dl_src", 6, 6),
    ),
    Header.MPLS: (Place("mpls_lse", 0, 4),),
    Header.ARP: (
        Place("nw_proto", 6, 2),
        Place("arp_sha", 8, 6),
        Place("nw_src", 14, 4),
        Place("arp_tha", 18, 6),
        Place("nw_dst", 24, 4),
    ),
    Header.IPV4: (
        Place("nw_src", 12, 4, Sum.IPV4_AND_PSEUDO),
        Place("nw_dst", 16, 4, Sum.IPV4_AND_PSEUDO),
        Place("nw_tos", 0, 2, Sum.IPV4),
        Place("nw_ttl", 8, 2, Sum.IPV4, low=8),
    ),
    Header.IPV6: (
        Place("ipv6_src", 8, 16, Sum.PSEUDO),
        Place("ipv6_dst", 24, 16, Sum.PSEUDO),
        Place("nw_tos", 0, 4, low=20),
        Place("ipv6_label", 0, 4, width=20),
        Place("nw_ttl", 7, 1),
    ),
    Header.TCP: (
        Place("tp_src", 0, 2, Sum.TRANSPORT),
        Place("tp_dst", 2, 2, Sum.TRANSPORT),
    ),
    Header.UDP: (
        Place("tp_src", 0, 2, Sum.TRANSPORT),
        Place("tp_dst", 2, 2, Sum.TRANSPORT),
    ),
    Header.SCTP: (
        Place("tp_src", 0, 2, Sum.TRANSPORT),
        Place("tp_dst", 2, 2, Sum.TRANSPORT),
    ),
    Header.ICMP: (
        Place("tp_src", 0, 2, Sum.TRANSPORT, low=8, width=8),
        Place("tp_dst", 0, 2, Sum.TRANSPORT, width=8),
    ),
    Header.NSH: (
        Place("nsh_flags", 0, 2, low=12, width=2),
        Place("nsh_ttl", 0, 2, low=6, width=6),
        Place("nsh_path_hdr", 4, 4),
    ),
    Header.NSH_CONTEXTS: (
        Place("nsh_c1", 8, 4),
        Place("nsh_c2", 12, 4),
        Place("nsh_c3", 16, 4),
        Place("nsh_c4", 20, 4),
    ),
}
"""Every slot that a set action can write, except the options of neighbour messages."""

_ND_SLOTS: Final = ("nd_target", "arp_sha", "arp_tha", "nd_reserved", "nd_options_type")
_SETTABLE: Final = sum(
    SLOTS[name].mask
    for name in {place.slot for places in PLACES.values() for place in places} | set(_ND_SLOTS)
)

_NSH_KIND: Final = SLOTS["nsh_mdtype"].mask | SLOTS["nsh_np"].mask
"""Named by a set of a whole NSH header, which leaves them as they are."""

_L4: Final[dict[int, tuple[Header, ...]]] = {
    PROTO_TCP: (Header.TCP,),
    PROTO_UDP: (Header.UDP,),
    PROTO_SCTP: (Header.SCTP,),
}
_L4_OF: Final[dict[int, dict[int, tuple[Header, ...]]]] = {
    ETH_IPV4: {**_L4, PROTO_ICMP: (Header.ICMP,)},
    ETH_IPV6: {**_L4, PROTO_ICMPV6: (Header.ICMP, Header.ND)},
}
_L3_OF: Final[dict[int, tuple[Header, ...]]] = {
    ETH_IPV4: (Header.IPV4,),
    ETH_IPV6: (Header.IPV6,),
    ETH_ARP: (Header.ARP,),
    ETH_RARP: (Header.ARP,),
    **dict.fromkeys(MPLS_TYPES, (Header.MPLS,)),
    ETH_NSH: (Header.NSH, Header.NSH_CONTEXTS),
}


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a plan: `keep` are the bits of the place that stay."""

    at: int
    size: int
    covered: Sum
    keep: int
    parts: tuple[tuple[int, int, int], ...]
    """What each slot gives: its shift in the key, which of its bits, and how far up they go."""
    slots: int
    """The bits of the key that it sets."""


_DL_TYPE, _PROTO, _FRAG = SLOTS["dl_type"], SLOTS["nw_proto"], SLOTS["nw_frag"]
KIND: Final = _DL_TYPE.mask | _PROTO.mask | FRAG_LATER << _FRAG.shift
"""The bits of a key that say which headers the packet has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a set action with one mask does to packets of one kind."""

    beside: int
    """The bits of the mask that change in the key alone."""
    keep: int
    """The bits of the key that are not among them."""
    headers: tuple[tuple[Header, tuple[Write, ...]], ...]


@lru_cache(maxsize=4096)
def plan_writes(mask: int, kind: int) -> Plan:
    """What a set with `mask` writes into a packet whose key has `kind` in :data:`KIND`.

    Raises:
        ValueError: the mask names a header slot that no set action can write.
    """
    unsettable = mask & HEADER_MASK & ~(_SETTABLE | _NSH_KIND)
    if unsettable:
        names = [name for name in HEADER_SLOTS if SLOTS[name].mask & unsettable]
        raise ValueError(f"a set action cannot write {', '.join(names)}")
    dl_type = _DL_TYPE.get(kind)
    headers = [Header.ETHERNET, *_L3_OF.get(dl_type, ())]
    # A later fragment has no transport header: no translation would set one.
    if not _FRAG.get(kind) & FRAG_LATER:
        headers += _L4_OF.get(dl_type, {}).get(_PROTO.get(kind), ())
    plan: list[tuple[Header, tuple[Write, ...]]] = []
    for header in headers:
        if header is Header.ND:
            if any(SLOTS[name].mask & mask for name in _ND_SLOTS):
                plan.append((header, ()))
            continue
        writes = _writes(PLACES[header], mask)
        if writes:
            plan.append((header, writes))
    beside = mask & ~HEADER_MASK
    return Plan(beside, ~beside, tuple(plan))


def _writes(places: tuple[Place, ...], mask: int) -> tuple[Write, ...]:
    merged: dict[int, Write] = {}
    for place in places:
        slot = SLOTS[place.slot]
        ones = slot.get(mask) & ((1 << (place.width or slot.width)) - 1)
        if not ones:
            continue
        before = merged.get(place.at)
        whole = (1 << 8 * place.size) - 1
        merged[place.at] = Write(
            place.at,
            place.size,
            place.covered,
            (before.keep if before else whole) & ~(ones << place.low),
            (*(before.parts if before else ()), (slot.shift, ones, place.low)),
            (before.slots if before else 0) | ones << slot.shift,
        )
    return _joined(list(merged.values()))


def _joined(writes: list[Write]) -> tuple[Write, ...]:
    """The same writes, with neighbours that no checksum covers done as one."""
    done: list[Write] = []
    for write in writes:
        last = done[-1] if done else None
        if last and last.at + last.size == write.at and last.covered is write.covered is Sum.NONE:
            bits = 8 * write.size
            parts = tuple((shift, ones, low + bits) for shift, ones, low in last.parts)
            done[-1] = Write(
                last.at,
                last.size + write.size,
                Sum.NONE,
                last.keep << bits | write.keep,
                parts + write.parts,
                last.slots | write.slots,
            )
        else:
            done.append(write)
    return tuple(done)
