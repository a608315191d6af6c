"""What ``action csum`` computes (net/sched/act_csum.c).

Each function works on the frame as a bytearray and returns False where the kernel gives up, which
drops the packet: a header or the length that IP claims is not there.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.checksum import checksum, sctp_checksum, word_sum
from ovsct.packet.packet import (
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_IGMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)
from ovsct.tc.actions import Sum

_UDPLITE: Final = 136

_V4: Final = {
    PROTO_ICMP: Sum.ICMP, PROTO_IGMP: Sum.IGMP, PROTO_TCP: Sum.TCP, PROTO_UDP: Sum.UDP,
    _UDPLITE: Sum.UDPLITE, PROTO_SCTP: Sum.SCTP,
}  # fmt: skip
_V6: Final = {
    PROTO_ICMPV6: Sum.ICMP, PROTO_TCP: Sum.TCP, PROTO_UDP: Sum.UDP, _UDPLITE: Sum.UDPLITE,
    PROTO_SCTP: Sum.SCTP,
}  # fmt: skip
_HEADER: Final = {
    Sum.ICMP: (8, 2), Sum.IGMP: (8, 2), Sum.TCP: (20, 16), Sum.UDP: (8, 6), Sum.UDPLITE: (8, 6),
    Sum.SCTP: (12, 8),
}  # fmt: skip
"""Length of the header and where its checksum is."""


def sum_ipv4(buffer: bytearray, at: int, which: frozenset[Sum]) -> bool:
    """``tcf_csum_ipv4()``. A later fragment's payload is left alone, a first one's is not."""
    if len(buffer) - at < 20:
        return False
    offset = (buffer[at + 6] << 8 | buffer[at + 7]) & 0x1FFF
    kind = None if offset else _V4.get(buffer[at + 9])
    if kind in which and kind is not None:
        header = (buffer[at] & 0x0F) * 4
        total = buffer[at + 2] << 8 | buffer[at + 3]
        if not _transport(buffer, at, at + header, at + total, kind, 4):
            return False
    if Sum.IPV4 in which:
        end = at + (buffer[at] & 0x0F) * 4
        buffer[at + 10 : at + 12] = b"\0\0"
        buffer[at + 10 : at + 12] = checksum(bytes(buffer[at:end])).to_bytes(2, "big")
    return True


def sums_transport(frame: bytes, at: int, which: frozenset[Sum]) -> bool:
    """Whether the IPv4 packet at offset `at` has a transport checksum among `which`."""
    return len(frame) - at >= 20 and _V4.get(frame[at + 9]) in which


def sum_ipv6(buffer: bytearray, at: int, which: frozenset[Sum]) -> bool:
    """``tcf_csum_ipv6()``: behind options, but not behind a fragment header."""
    if len(buffer) - at < 40:
        return False
    end = at + 40 + (buffer[at + 4] << 8 | buffer[at + 5])
    proto, here = buffer[at + 6], at + 40
    while proto in (0, 43, 60):
        if len(buffer) - here < 2:
            return False
        size = (buffer[here + 1] + 1) * 8
        if len(buffer) - here < size:
            return False
        proto, here = buffer[here], here + size
    kind = _V6.get(proto)
    if kind is None or kind not in which:
        return True
    return _transport(buffer, at, here, end, kind, 6)


def _transport(buffer: bytearray, l3: int, l4: int, end: int, kind: Sum, family: int) -> bool:
    """One layer 4 checksum. The header and the claimed length must be there."""
    header, where = _HEADER[kind]
    if end > len(buffer) or end - l4 < header:
        return False
    at = l4 + where
    if kind is Sum.SCTP:
        buffer[at : at + 4] = sctp_checksum(bytes(buffer[l4:end]))
        return True
    length = end - l4
    proto = {Sum.TCP: PROTO_TCP, Sum.UDP: PROTO_UDP, Sum.UDPLITE: _UDPLITE}.get(kind, PROTO_ICMPV6)
    covered = end
    if kind in (Sum.UDP, Sum.UDPLITE):
        claimed = buffer[l4 + 4] << 8 | buffer[l4 + 5]
        if kind is Sum.UDP:
            if family == 4 and not (buffer[at] or buffer[at + 1]):
                return True
            if claimed != length:
                buffer[at : at + 2] = b"\0\0"
                return True
        elif claimed and not 8 <= claimed <= length:
            buffer[at : at + 2] = b"\0\0"
            return True
        elif claimed:
            covered = l4 + claimed
            length = claimed
        else:
            length = 0
    buffer[at : at + 2] = b"\0\0"
    pseudo = 0
    if family == 6:
        pseudo = word_sum(bytes(buffer[l3 + 8 : l3 + 40])) + proto + length
    elif kind not in (Sum.ICMP, Sum.IGMP):
        pseudo = word_sum(bytes(buffer[l3 + 12 : l3 + 20])) + proto + length
    total = checksum(bytes(buffer[l4:covered]), pseudo)
    if not total and kind in (Sum.UDP, Sum.UDPLITE):
        total = 0xFFFF
    buffer[at : at + 2] = total.to_bytes(2, "big")
    return True
