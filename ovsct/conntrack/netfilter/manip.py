"""Rewriting a packet for NAT: net/netfilter/nf_nat_proto.c.

Incremental where the kernel is: a wrong checksum stays wrong, a UDP checksum of 0 stays 0. The
checksum of SCTP and of an ICMP error is calculated anew.
"""

from __future__ import annotations

from typing import Final

from ovsct.conntrack.netfilter.icmp import PROTO_DCCP, PROTO_GRE, PROTO_UDPLITE
from ovsct.conntrack.tuples import Parts
from ovsct.packet.checksum import fold, sctp_checksum, word_sum
from ovsct.packet.fields import FRAG_LATER, SLOTS
from ovsct.packet.packet import (
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    Packet,
    walk_ipv6,
)

SRC: Final = 0
DST: Final = 1

_QUERIES: Final = frozenset((0, 8, 13, 14, 15, 16, 17, 18))
_ECHO_V6: Final = frozenset((128, 129))

# By protocol: where its checksum lies, and how many bytes of header must be there to carry it.
_SUMS: Final = {
    PROTO_TCP: (16, 20),
    PROTO_UDP: (6, 8),
    PROTO_UDPLITE: (6, 8),
    PROTO_DCCP: (6, 12),
}

_NW: Final = (SLOTS["nw_src"], SLOTS["nw_dst"])
_V6: Final = (SLOTS["ipv6_src"], SLOTS["ipv6_dst"])
_TP: Final = (SLOTS["tp_src"], SLOTS["tp_dst"])
_IN_KEY: Final = frozenset((PROTO_TCP, PROTO_UDP, PROTO_SCTP))


def carry(buffer: bytearray, at: int, old: int, new: int) -> None:
    """Carry a change from `old` to `new` (even numbers of bytes) into the checksum at `at`."""
    total = 0xFFFF - (buffer[at] << 8 | buffer[at + 1]) + new - old
    # As csum_fold(): never 0xffff, since the sum that is folded is never all zero.
    buffer[at : at + 2] = (0xFFFF - (total % 65535 or 65535)).to_bytes(2, "big")


def rewrite(buffer: bytearray, l3: int, end: int, target: Parts, side: int) -> bool:
    """Give the IP packet at `l3` the source (`side` SRC) or destination (DST) of `target`.

    nf_nat_ipv4_manip_pkt(), nf_nat_ipv6_manip_pkt(). `target.proto` says what the transport is.
    Returns False if the packet is too short for that.
    """
    v4 = target.family == 4
    size = 4 if v4 else 16
    at = l3 + (12 if v4 else 8) + side * size
    new = target.dst if side else target.src
    if v4:
        l4: int | None = l3 + (buffer[l3] & 0x0F) * 4
    else:
        walked = walk_ipv6(bytes(buffer), l3, end)
        l4 = None if walked is None or walked[2] & FRAG_LATER else walked[0]
    old = int.from_bytes(buffer[at : at + size], "big")
    if l4 is not None and not _rewrite_l4(buffer, l4, end, target, side, (old, new)):
        return False
    if v4:
        carry(buffer, l3 + 10, old, new)
    buffer[at : at + size] = new.to_bytes(size, "big")
    return True


def _rewrite_l4(
    buffer: bytearray, l4: int, end: int, target: Parts, side: int, address: tuple[int, int]
) -> bool:
    """l4proto_manip_pkt(): ports or identifier, and the checksum with the addresses in it."""
    proto = target.proto
    if proto == PROTO_ICMP:
        return _rewrite_icmp(buffer, l4, end, target.sport)
    if proto == PROTO_ICMPV6:
        return _rewrite_icmpv6(buffer, l4, end, target.sport, address)
    if proto == PROTO_SCTP:
        return _rewrite_sctp(buffer, l4, end, target, side)
    if proto == PROTO_GRE:
        return _rewrite_gre(buffer, l4, end, target, side)
    sums = _SUMS.get(proto)
    if sums is None:
        return True
    where, whole = sums
    if end - l4 < 8:
        return False
    at = l4 + 2 * side
    old = buffer[at] << 8 | buffer[at + 1]
    new = target.dport if side else target.sport
    buffer[at : at + 2] = new.to_bytes(2, "big")
    if end - l4 < whole:
        return True
    where += l4
    if proto == PROTO_UDP and not (buffer[where] or buffer[where + 1]):
        return True
    carry(buffer, where, address[0] + old, address[1] + new)
    if proto in (PROTO_UDP, PROTO_UDPLITE) and not (buffer[where] or buffer[where + 1]):
        buffer[where : where + 2] = b"\xff\xff"
    return True


def _rewrite_icmp(buffer: bytearray, l4: int, end: int, identifier: int) -> bool:
    if end - l4 < 8:
        return False
    if buffer[l4] in _QUERIES:
        carry(buffer, l4 + 2, buffer[l4 + 4] << 8 | buffer[l4 + 5], identifier)
        buffer[l4 + 4 : l4 + 6] = identifier.to_bytes(2, "big")
    return True


def _rewrite_icmpv6(
    buffer: bytearray, l4: int, end: int, identifier: int, address: tuple[int, int]
) -> bool:
    if end - l4 < 8:
        return False
    old, new = address
    if buffer[l4] in _ECHO_V6:
        old += buffer[l4 + 4] << 8 | buffer[l4 + 5]
        new += identifier
        buffer[l4 + 4 : l4 + 6] = identifier.to_bytes(2, "big")
    carry(buffer, l4 + 2, old, new)
    return True


def _rewrite_sctp(buffer: bytearray, l4: int, end: int, target: Parts, side: int) -> bool:
    if end - l4 < 8:
        return False
    at = l4 + 2 * side
    buffer[at : at + 2] = (target.dport if side else target.sport).to_bytes(2, "big")
    if end - l4 >= 12:
        buffer[l4 + 8 : l4 + 12] = sctp_checksum(bytes(buffer[l4:end]))
    return True


def _rewrite_gre(buffer: bytearray, l4: int, end: int, target: Parts, side: int) -> bool:
    """gre_manip_pkt(): only version 1 has a key, the call id of the end that it goes to."""
    if end - l4 < 8:
        return False
    version = buffer[l4 + 1] & 0x07
    if side == SRC or version == 0:
        return True
    if version != 1:
        return False
    buffer[l4 + 6 : l4 + 8] = target.dport.to_bytes(2, "big")
    return True


def renew_icmp_sum(buffer: bytearray, l3: int, l4: int, end: int) -> None:
    """Calculate the checksum of an ICMP or ICMPv6 packet anew."""
    buffer[l4 + 2 : l4 + 4] = b"\0\0"
    total = word_sum(bytes(buffer[l4:end]))
    if buffer[l3] >> 4 == 6:
        total += int.from_bytes(buffer[l3 + 8 : l3 + 40], "big") + PROTO_ICMPV6 + end - l4
    buffer[l4 + 2 : l4 + 4] = (0xFFFF - fold(total)).to_bytes(2, "big")


def write_back(packet: Packet, buffer: bytearray, target: Parts, side: int) -> None:
    """Put the rewritten bytes and what changed in the flow key into `packet`."""
    packet.frame = bytes(buffer)
    key = packet.key
    slots = _NW if target.family == 4 else _V6
    key = slots[side].put(key, target.dst if side else target.src)
    if target.proto in _IN_KEY:
        key = _TP[side].put(key, target.dport if side else target.sport)
    packet.key = key
