"""From a packet to its tuple, or to "invalid" (OVS 3.1 lib/conntrack.c ``conn_key_extract()``).

Invalid is: a header that is missing or cut short, a fragment, a wrong IPv4 header or transport
checksum, port 0, an ICMP type that is neither a query with an answer nor an error, an ICMP error
that does not quote a packet sent by its receiver. Options, extension headers and padding are fine;
so is a UDP checksum of 0 over IPv4, and a protocol without ports (SCTP too: 3.1 knows no SCTP).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ovsct.conntrack.tuples import (
    PORTS_MASK,
    Parts,
    from_key,
    pack,
    reverse,
    unpack,
    with_ports,
)
from ovsct.packet.checksum import word_sum
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import (
    ETH_IPV4,
    ETH_IPV6,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_TCP,
    PROTO_UDP,
    Packet,
    walk_ipv6,
)

_from_bytes = int.from_bytes
_S_DL: Final = SLOTS["dl_type"].shift
_S_PROTO: Final = SLOTS["nw_proto"].shift
_FRAG: Final = SLOTS["nw_frag"].mask

ICMP_QUERIES: Final = frozenset((0, 8, 13, 14, 15, 16))
ICMP_ERRORS: Final = frozenset((3, 4, 5, 11, 12))
ICMPV6_QUERIES: Final = frozenset((128, 129))
ICMPV6_ERRORS: Final = frozenset((1, 2, 3, 4))

INNER_V4_L4: Final = 8
"""Bytes of the transport header that an ICMP error must quote (RFC 792)."""


def extract(packet: Packet, zone: int) -> tuple[int, bool] | None:
    """The tuple of `packet` in `zone`, and whether it is that of the packet an ICMP error quotes
    (turned round, so that it is the direction in which the error travels). None: invalid.
    """
    key = packet.key
    l4 = packet.l4
    if not l4 or key & _FRAG:
        return None
    dl_type = key >> _S_DL & 0xFFFF
    frame, l3, end = packet.frame, packet.l3, packet.end
    if dl_type == ETH_IPV4:
        # A good header sums up to 0xffff; it is never all zero, having a version.
        if _from_bytes(frame[l3 : l3 + (frame[l3] & 15) * 4], "big") % 65535:
            return None
    elif dl_type != ETH_IPV6:
        return None
    tuple_ = from_key(key, zone)
    check = _CHECKS.get((dl_type, key >> _S_PROTO & 0xFF))
    if check is None:
        return tuple_ & ~PORTS_MASK, False
    return check(packet, tuple_, frame, l4, end)


def _sum_ok(packet: Packet, frame: bytes, l4: int, end: int) -> bool:
    """Does a segment with its pseudo header sum up to 0xffff (OVS ``checksum_valid()``)?"""
    l3 = packet.l3
    v4 = packet.key >> _S_DL & 0xFFFF == ETH_IPV4
    addresses = frame[l3 + 12 : l3 + 20] if v4 else frame[l3 + 8 : l3 + 40]
    proto = packet.key >> _S_PROTO & 0xFF
    total = word_sum(frame[l4:end]) + _from_bytes(addresses, "big") + proto + end - l4
    return total % 65535 == 0


def _tcp(
    packet: Packet, tuple_: int, frame: bytes, l4: int, end: int
) -> tuple[int, bool] | None:
    size = end - l4
    if size < 20 or not 20 <= (frame[l4 + 12] >> 4) * 4 <= size:
        return None
    if not tuple_ & 0xFFFF00 or not tuple_ & 0xFFFF000000:
        return None
    return (tuple_, False) if _sum_ok(packet, frame, l4, end) else None


def _udp(
    packet: Packet, tuple_: int, frame: bytes, l4: int, end: int
) -> tuple[int, bool] | None:
    size = end - l4
    if size < 8 or not 8 <= (frame[l4 + 4] << 8 | frame[l4 + 5]) <= size:
        return None
    if not tuple_ & 0xFFFF00 or not tuple_ & 0xFFFF000000:
        return None
    unsummed = not frame[l4 + 6] and not frame[l4 + 7]
    if unsummed and packet.key >> _S_DL & 0xFFFF == ETH_IPV4:
        return tuple_, False
    return (tuple_, False) if _sum_ok(packet, frame, l4, end) else None


def _icmp(
    packet: Packet, tuple_: int, frame: bytes, l4: int, end: int
) -> tuple[int, bool] | None:
    if end - l4 < 8:
        return None
    total = word_sum(frame[l4:end])
    # All zeros would sum up to 0, which OVS's csum() calls wrong.
    if total % 65535 or not total:
        return None
    kind = frame[l4]
    if kind in ICMP_QUERIES:
        if frame[l4 + 1]:
            return None
        return with_ports(tuple_, frame[l4 + 4] << 8 | frame[l4 + 5], kind << 8), False
    if kind in ICMP_ERRORS:
        return _quoted(tuple_, frame, l4 + 8, end)
    return None


def _icmpv6(
    packet: Packet, tuple_: int, frame: bytes, l4: int, end: int
) -> tuple[int, bool] | None:
    if end - l4 < 8 or not _sum_ok(packet, frame, l4, end):
        return None
    kind = frame[l4]
    if kind in ICMPV6_QUERIES:
        if frame[l4 + 1]:
            return None
        return with_ports(tuple_, frame[l4 + 4] << 8 | frame[l4 + 5], kind << 8), False
    if kind in ICMPV6_ERRORS:
        return _quoted(tuple_, frame, l4 + 8, end)
    return None


_CHECKS: Final[
    dict[tuple[int, int], Callable[[Packet, int, bytes, int, int], tuple[int, bool] | None]]
] = {
    (ETH_IPV4, PROTO_TCP): _tcp,
    (ETH_IPV4, PROTO_UDP): _udp,
    (ETH_IPV4, PROTO_ICMP): _icmp,
    (ETH_IPV6, PROTO_TCP): _tcp,
    (ETH_IPV6, PROTO_UDP): _udp,
    (ETH_IPV6, PROTO_ICMPV6): _icmpv6,
}
"""By EtherType and protocol; what is not here has no ports and nothing to check."""


class Inner(NamedTuple):
    """The headers inside an ICMP error: offsets and protocol."""

    l3: int
    l4: int
    proto: int


def inner_headers(family: int, frame: bytes, l3: int, end: int) -> Inner | None:
    """Find the headers of the packet quoted at `l3` (OVS ``extract_l3_ipv4()``, ``_ipv6()``).

    Neither its total length nor its checksum is looked at. None: cut short, or a fragment.
    """
    if family == 4:
        if end - l3 < 20:
            return None
        header = (frame[l3] & 15) * 4
        if header < 20 or header > end - l3:
            return None
        if frame[l3 + 6] & 0x3F or frame[l3 + 7]:
            return None
        return Inner(l3, l3 + header, frame[l3 + 9])
    if end - l3 < 40:
        return None
    walked = walk_ipv6(frame, l3, end)
    if walked is None or walked[2]:
        return None
    return Inner(l3, walked[0], walked[1])


def _quoted(outer: int, frame: bytes, l3: int, end: int) -> tuple[int, bool] | None:
    """The tuple of the packet quoted at `l3`, turned round."""
    family, _, _, receiver, _, _, zone = unpack(outer)
    inner = inner_headers(family, frame, l3, end)
    if inner is None:
        return None
    at, size = (l3 + 12, 4) if family == 4 else (l3 + 8, 16)
    src = _from_bytes(frame[at : at + size], "big")
    if src != receiver:
        return None
    dst = _from_bytes(frame[at + size : at + 2 * size], "big")
    ports = _inner_ports(family, inner, frame, end)
    if ports is None:
        return None
    return reverse(pack(Parts(family, inner.proto, src, dst, ports[0], ports[1], zone))), True


def _inner_ports(
    family: int, inner: Inner, frame: bytes, end: int
) -> tuple[int, int] | None:
    """Ports, or ICMP identifier and type, of a quoted packet; None if it cannot be used."""
    l4, proto = inner.l4, inner.proto
    size = end - l4
    if proto in (PROTO_TCP, PROTO_UDP):
        least = 20 if family == 6 and proto == PROTO_TCP else INNER_V4_L4
        if size < least:
            return None
        sport = frame[l4] << 8 | frame[l4 + 1]
        dport = frame[l4 + 2] << 8 | frame[l4 + 3]
        return (sport, dport) if sport and dport else None
    if proto != (PROTO_ICMP if family == 4 else PROTO_ICMPV6):
        return 0, 0
    if size < 8 or frame[l4] not in (ICMP_QUERIES if family == 4 else ICMPV6_QUERIES):
        return None
    if frame[l4 + 1]:
        return None
    return frame[l4 + 4] << 8 | frame[l4 + 5], frame[l4] << 8
