"""ICMP and ICMPv6: queries that are connections, errors that belong to others.

(net/netfilter/nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter.entry import CONFIRMED, RELATED, RELATED_REPLY, UNTRACKED, Entry
from ovsct.packet.fields import FRAG_LATER
from ovsct.packet.packet import (
    ETH_IPV4,
    ETH_IPV6,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    walk_ipv6,
)

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter
    from ovsct.packet.packet import Packet

NEW_TYPES: Final = frozenset((8, 13, 15, 17))
"""ICMP types that begin a connection: echo, timestamp, information, address mask."""

NEW_TYPES_V6: Final = frozenset((128, 139))
"""The same for ICMPv6: echo, node information."""

ERRORS: Final = frozenset((3, 4, 5, 11, 12))
"""ICMP types that quote the packet they are about (icmp_is_err())."""

MAX_TYPE: Final = 18
"""The highest ICMP type that is not invalid (NR_ICMP_TYPES)."""

UNTRACKED_V6: Final = frozenset((130, 131, 132, 133, 134, 135, 136, 143))
"""MLD, router and neighbour discovery: not tracked, on purpose."""

REDIRECT_V6: Final = 137

NO_NEXT_HEADER: Final = 59
PROTO_GRE: Final = 47
PROTO_DCCP: Final = 33
PROTO_UDPLITE: Final = 136
WITH_PORTS: Final = frozenset((PROTO_TCP, PROTO_UDP, PROTO_UDPLITE, PROTO_SCTP, PROTO_DCCP))


class Quoted(NamedTuple):
    """A packet inside another: its tuple, the offsets of its headers, its protocol."""

    tuple_: int
    l3: int
    l4: int
    proto: int


def icmp_packet(core: Netfilter, e: Entry, packet: Packet, reply: int, now: int) -> int:
    """nf_conntrack_icmp_packet(): answers renew as queries do."""
    if (e.original >> 16) & 0xFF not in NEW_TYPES:
        return -1
    core.refresh(e, packet, reply, now, core.limits(e, "icmp")[0])
    return 1


def icmpv6_packet(core: Netfilter, e: Entry, packet: Packet, reply: int, now: int) -> int:
    """nf_conntrack_icmpv6_packet()."""
    if not e.status & CONFIRMED and (e.original >> 16) & 0xFF not in NEW_TYPES_V6:
        return -1
    core.refresh(e, packet, reply, now, core.limits(e, "icmpv6")[0])
    return 1


def icmp_error(core: Netfilter, packet: Packet, zone: int, now: int) -> int:
    """nf_conntrack_icmpv4_error(): 1 to go on as a query, 0 if the packet has been dealt with.

    An error about a known connection leaves with it in ``packet.conn``; what is invalid or about
    nothing known leaves without.
    """
    kind = packet.frame[packet.l4]
    if kind > MAX_TYPE:
        return 0
    if kind not in ERRORS:
        return 1
    _relate(core, packet, packet.l4 + 8, zone, now)
    return 0


def icmpv6_error(core: Netfilter, packet: Packet, zone: int, now: int) -> int:
    """nf_conntrack_icmpv6_error(), likewise."""
    frame, l4 = packet.frame, packet.l4
    kind = frame[l4]
    if kind in UNTRACKED_V6:
        packet.ct_info = UNTRACKED
        return 0
    if kind == REDIRECT_V6:
        return _redirect_v6(core, packet, zone, now)
    if kind >= 128:
        return 1
    _relate(core, packet, l4 + 8, zone, now)
    return 0


def _redirect_v6(core: Netfilter, packet: Packet, zone: int, now: int) -> int:
    """nf_conntrack_icmpv6_redirect(): the redirected packet is quoted in an option."""
    frame, l3, l4, end = packet.frame, packet.l3, packet.l4, packet.end
    if end - l4 < 40:
        return 0
    if frame[l4 + 1] != 0:
        return 1
    link_local = frame[l3 + 8] == 0xFE and frame[l3 + 9] & 0xC0 == 0x80
    if frame[l3 + 7] != 255 or not link_local:
        return 0
    option = l4 + 40
    if end - option < 2 or frame[option + 1] == 0:
        return 0
    if frame[option] != 4:
        return 1
    _relate(core, packet, option + 8, zone, now)
    return 0


def _relate(core: Netfilter, packet: Packet, at: int, zone: int, now: int) -> None:
    """nf_conntrack_inet_error(): attach the connection that the quoted packet belongs to."""
    quoted = read_quoted(packet, at, zone)
    if quoted is None:
        return
    try:
        wanted = tuples.reverse(quoted.tuple_)
    except KeyError:
        return
    e = core.find(wanted, now)
    if e is None:
        return
    # Of a connection to itself the answer's tuple is found first: it was hashed last.
    reply = wanted == e.reply
    # The error must go where the quoted packet came from, or it is a forgery.
    found = tuples.unpack(e.reply if reply else e.original)
    l3 = packet.l3
    v4 = found.family == 4
    outer = packet.frame[l3 + 16 : l3 + 20] if v4 else packet.frame[l3 + 24 : l3 + 40]
    if int.from_bytes(outer, "big") != found.dst:
        return
    packet.conn = e
    packet.ct_info = RELATED_REPLY if reply else RELATED


def read_quoted(packet: Packet, at: int, zone: int) -> Quoted | None:
    """The packet quoted at offset `at`, of the family of the packet around it, or None if what is
    there is too short or a later fragment (nf_ct_get_tuplepr()).
    """
    frame, end = packet.frame, packet.end
    if frame[packet.l3] >> 4 == 4:
        if end - at < 20 or frame[at + 6] & 0x1F or frame[at + 7]:
            return None
        l4 = at + (frame[at] & 0x0F) * 4
        if l4 > end:
            return None
        proto = frame[at + 9]
        base = (
            int.from_bytes(frame[at + 12 : at + 20], "big") << 40
            | ETH_IPV4 << 104
            | zone << tuples.V4_ZONE
        )
    else:
        if end - at < 40:
            return None
        walked = walk_ipv6(frame, at, end)
        if walked is None or walked[2] & FRAG_LATER or walked[1] == NO_NEXT_HEADER:
            return None
        l4, proto = walked[:2]
        base = (
            int.from_bytes(frame[at + 8 : at + 40], "big") << 40
            | ETH_IPV6 << 296
            | zone << tuples.V6_ZONE
        )
    ports = read_ports(frame, l4, end, proto)
    return None if ports is None else Quoted(base | ports << 8 | proto, at, l4, proto)


def read_ports(frame: bytes, l4: int, end: int, proto: int) -> int | None:
    """What stands for the ports in a tuple (nf_ct_get_tuple()): sport << 16 | dport, an ICMP
    identifier, type and code, zero for what has neither; None if it is not there.
    """
    if proto in WITH_PORTS:
        return int.from_bytes(frame[l4 : l4 + 4], "big") if end - l4 >= 4 else None
    if proto in (PROTO_ICMP, PROTO_ICMPV6):
        if end - l4 < 8:
            return None
        return frame[l4 + 4] << 24 | frame[l4 + 5] << 16 | frame[l4] << 8 | frame[l4 + 1]
    if proto == PROTO_GRE and end - l4 >= 4 and frame[l4 + 1] & 0x07 == 1:
        # PPTP: the call id of this direction; that of the other is known only to its helper.
        if end - l4 < 8:
            return 0
        if frame[l4 + 2 : l4 + 4] != b"\x88\x0b":
            return None
        return frame[l4 + 6] << 8 | frame[l4 + 7]
    return 0
