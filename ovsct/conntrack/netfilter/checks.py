"""Is a packet fit to be tracked: lengths and checksums, before any state is looked at.

nf_ip_checksum() and nf_ip6_checksum() (net/netfilter/utils.c) on a packet whose checksum no card
has looked at (CHECKSUM_NONE), and what each tracker checks of its own header.
"""

from __future__ import annotations

from typing import Final

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter.icmp import PROTO_DCCP, PROTO_UDPLITE
from ovsct.errors import OvsctError
from ovsct.packet.checksum import sctp_checksum, word_sum
from ovsct.packet.packet import (
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    Packet,
)

_M64: Final = (1 << 64) - 1
_M256: Final = (1 << 256) - 1
_from_bytes = int.from_bytes


def check(packet: Packet, tuple_: int, checksum: int) -> bool:
    """Whether the tracker of `tuple_`'s protocol takes the packet; `checksum`: the sysctl.

    What is refused is invalid. TCP's header and flags are its tracker's own business.
    """
    rule = _RULES.get(tuple_ & 0xFF)
    return rule is None or rule(packet, tuple_, checksum)


def supported(proto: int) -> None:
    """Raise for a protocol that the kernel has a tracker for and the model has not.

    Raises:
        OvsctError: naming it.
    """
    if proto == PROTO_DCCP:
        raise OvsctError("netfilter's DCCP tracker is not modelled; take DCCP packets out")


def _good_sum(packet: Packet, tuple_: int, proto: int) -> bool:
    """The transport checksum, with its pseudo header if it is TCP or UDP.

    Over IPv4 the kernel sums the packet from its IP header on, so that a wrong header checksum
    makes the transport's wrong too.
    """
    l4, end = packet.l4, packet.end
    if tuple_ < tuples.V4_LIMIT:
        data = packet.frame[packet.l3 : end]
        if len(data) > 512:
            total = word_sum(data)
        else:
            total = _from_bytes(data, "big")
            if len(data) & 1:
                total <<= 8
        if proto != PROTO_ICMP:
            total += ((tuple_ >> 40) & _M64) + proto + end - l4
        return total % 65535 == 0
    total = word_sum(packet.frame[l4:end])
    return (total + ((tuple_ >> 40) & _M256) + proto + end - l4) % 65535 == 0


def _tcp(packet: Packet, tuple_: int, checksum: int) -> bool:
    return not checksum or _good_sum(packet, tuple_, PROTO_TCP)


def _udp(packet: Packet, tuple_: int, checksum: int) -> bool:
    """udp_error()."""
    frame, l4 = packet.frame, packet.l4
    size = packet.end - l4
    if size < 8 or not 8 <= frame[l4 + 4] << 8 | frame[l4 + 5] <= size:
        return False
    if not (checksum and (frame[l4 + 6] or frame[l4 + 7])):
        return True
    return _good_sum(packet, tuple_, PROTO_UDP)


def _udplite(packet: Packet, tuple_: int, checksum: int) -> bool:
    """udplite_error(); the kernel puts UDP's protocol number into the pseudo header."""
    frame, l4, end = packet.frame, packet.l4, packet.end
    size = end - l4
    if size < 8:
        return False
    coverage = frame[l4 + 4] << 8 | frame[l4 + 5] or size
    if not 8 <= coverage <= size or not (frame[l4 + 6] or frame[l4 + 7]):
        return False
    if not checksum:
        return True
    start = packet.l3 if tuple_ < tuples.V4_LIMIT else l4
    addresses = (tuple_ >> 40) & (_M64 if tuple_ < tuples.V4_LIMIT else _M256)
    return (word_sum(frame[start : l4 + coverage]) + addresses + PROTO_UDP + size) % 65535 == 0


def _icmp(packet: Packet, tuple_: int, checksum: int) -> bool:
    if packet.end - packet.l4 < 8:
        return False
    return not checksum or _good_sum(packet, tuple_, PROTO_ICMP)


def _icmpv6(packet: Packet, tuple_: int, checksum: int) -> bool:
    if packet.end - packet.l4 < 8:
        return False
    return not checksum or _good_sum(packet, tuple_, PROTO_ICMPV6)


def _sctp(packet: Packet, tuple_: int, checksum: int) -> bool:
    """sctp_error()."""
    frame, l4, end = packet.frame, packet.l4, packet.end
    if end - l4 < 12:
        return False
    return not checksum or sctp_checksum(frame[l4:end]) == frame[l4 + 8 : l4 + 12]


_RULES: Final = {
    PROTO_TCP: _tcp,
    PROTO_UDP: _udp,
    PROTO_UDPLITE: _udplite,
    PROTO_ICMP: _icmp,
    PROTO_ICMPV6: _icmpv6,
    PROTO_SCTP: _sctp,
}
