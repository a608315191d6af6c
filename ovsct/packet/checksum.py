"""Checksums: the internet checksum, its pseudo headers and its incremental update, and CRC-32C.

The internet checksum (RFC 1071) is a sum in ones' complement. Since 65536 = 1 modulo 65535, the
sum of the 16-bit words of a byte string is the string itself, read as one big number, modulo
65535: one division in C instead of a loop in Python, and pseudo headers are added as they are.
What the modulus cannot tell is 0 from 0xffff; the sum is 0 only if every word is, as in OVS
lib/csum.c, and :func:`fold` keeps to that.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import (
    ETH_IPV4,
    ETH_IPV6,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_IGMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    Packet,
)

_from_bytes = int.from_bytes
_DL_TYPE = SLOTS["dl_type"].shift
_PROTO = SLOTS["nw_proto"].shift

_LONG: Final = 512
"""Bytes from which halving a number before it is divided pays."""


def fold(total: int) -> int:
    """The 16-bit ones' complement sum of a non-negative `total` of words (0 only for 0)."""
    return total % 65535 or (total and 65535)


def word_sum(data: bytes) -> int:
    """A number congruent to the sum of the big-endian words of `data`, an odd byte padded.

    It is zero only if all bytes are; add it to others and :func:`fold` the total.
    """
    size = len(data)
    number = _from_bytes(data, "big")
    if size & 1:
        number <<= 8
        size += 1
    while size > _LONG:
        size = (size >> 2) + 1 << 1
        number = (number >> 8 * size) + (number & (1 << 8 * size) - 1)
    return number


def checksum(data: bytes, total: int = 0) -> int:
    """The internet checksum of `data` (RFC 1071) and of `total`, such as a pseudo header."""
    return 0xFFFF - fold(word_sum(data) + total)


def pseudo_ipv4(src: int, dst: int, proto: int, length: int) -> int:
    """Partial sum of the pseudo header of TCP and UDP over IPv4 (RFC 9293, 3.1)."""
    return src + dst + proto + length


def pseudo_ipv6(src: int, dst: int, proto: int, length: int) -> int:
    """Partial sum of the pseudo header of upper layers over IPv6 (RFC 8200, 8.1)."""
    return src + dst + proto + length


def update16(old_checksum: int, old: int, new: int) -> int:
    """The checksum after a 16-bit word of the data went from `old` to `new` (RFC 1624, eqn 3).

    The same bytes as ``recalc_csum16()`` of OVS lib/csum.c, 0xffff for an all-zero sum included.
    """
    total = 0xFFFF - old_checksum + 0xFFFF - old + new
    return 0xFFFF - (total % 65535 or (total and 65535))


def update(old_checksum: int, old: int, new: int, size: int) -> int:
    """The checksum after `size` bytes (an even number of them) went from `old` to `new`.

    The same bytes as ``recalc_csum32()``, ``recalc_csum48()`` and ``recalc_csum128()`` of OVS
    lib/csum.c, which go word by word: a chain of updates ends at 0xffff only if every word of it
    is zero in the sum, and so does this.
    """
    total = 0xFFFF - old_checksum + ((1 << 8 * size) - 1 - old) + new
    return 0xFFFF - (total % 65535 or (total and 65535))


def ipv4_header_ok(packet: Packet) -> bool:
    """Is the header checksum of an IPv4 packet right? `packet` must have an IPv4 header."""
    frame, l3 = packet.frame, packet.l3
    return _from_bytes(frame[l3 : l3 + (frame[l3] & 15) * 4], "big") % 65535 == 0


def l4_sum(packet: Packet) -> int | None:
    """Sum of a TCP, UDP, ICMP, IGMP or ICMPv6 packet with its pseudo header and its checksum.

    None if the packet has no such checksum, or its transport header is not there. A packet that
    came through right has 0xffff.
    """
    key, l4 = packet.key, packet.l4
    pseudo = _PSEUDO.get((key >> _DL_TYPE & 0xFFFF, key >> _PROTO & 0xFF))
    if pseudo is None or not l4:
        return None
    frame, l3 = packet.frame, packet.l3
    total = word_sum(frame[l4 : packet.end])
    if pseudo:
        start, stop = pseudo
        total += (
            _from_bytes(frame[l3 + start : l3 + stop], "big")
            + (key >> _PROTO & 0xFF)
            + packet.end
            - l4
        )
    return fold(total)


_PSEUDO: Final[dict[tuple[int, int], tuple[int, int] | tuple[()]]] = {
    (ETH_IPV4, PROTO_TCP): (12, 20),
    (ETH_IPV4, PROTO_UDP): (12, 20),
    (ETH_IPV4, PROTO_ICMP): (),
    (ETH_IPV4, PROTO_IGMP): (),
    (ETH_IPV6, PROTO_TCP): (8, 40),
    (ETH_IPV6, PROTO_UDP): (8, 40),
    (ETH_IPV6, PROTO_ICMPV6): (8, 40),
}
"""For each kind of packet, where the addresses of its pseudo header lie in its IP header."""


def l4_checksum_ok(packet: Packet) -> bool:
    """Is the checksum of the transport header right?

    As OVS lib/conntrack.c ``checksum_valid()`` sees it: over all of the IP payload, a UDP checksum
    of 0 means "none" over IPv4 and is wrong over IPv6, SCTP has its CRC-32C. A packet of any other
    protocol has nothing to be wrong and is right. For a fragment the answer means nothing.
    """
    key, l4 = packet.key, packet.l4
    proto = key >> _PROTO & 0xFF
    if proto == PROTO_SCTP and l4 and packet.end - l4 >= 12:
        return sctp_checksum(packet.frame[l4 : packet.end]) == packet.frame[l4 + 8 : l4 + 12]
    if proto == PROTO_UDP and l4 and packet.frame[l4 + 6 : l4 + 8] == b"\0\0":
        return key >> _DL_TYPE & 0xFFFF == ETH_IPV4
    total = l4_sum(packet)
    return total is None or total == 0xFFFF


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_CRC32C: Final = _crc32c_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of `data`, as RFC 9260, appendix A, defines it for SCTP."""
    crc = 0xFFFFFFFF
    table = _CRC32C
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def sctp_checksum(segment: bytes) -> bytes:
    """The four checksum bytes that belong into the SCTP packet `segment` (12 or more bytes)."""
    return crc32c(segment[:8] + bytes(4) + segment[12:]).to_bytes(4, "little")
