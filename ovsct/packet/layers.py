"""Headers put in front of bytes, one function a layer, each with right lengths and checksums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ovsct.packet.checksum import checksum, sctp_checksum
from ovsct.packet.packet import (
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_IGMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)


def ethernet(
    dst: int, src: int, dl_type: int, payload: bytes, vlans: Sequence[tuple[int, int]] = ()
) -> bytes:
    """An Ethernet frame; `vlans` are its tags as (TPID, TCI), the outermost first."""
    tags = b"".join(
        tpid.to_bytes(2, "big") + (tci & 0xFFFF).to_bytes(2, "big") for tpid, tci in vlans
    )
    addresses = dst.to_bytes(6, "big") + src.to_bytes(6, "big")
    return addresses + tags + dl_type.to_bytes(2, "big") + payload


def ipv4(
    src: int,
    dst: int,
    proto: int,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    ident: int = 0,
    fragment: int = 0,
    options: bytes = b"",
) -> bytes:
    """An IPv4 packet (RFC 791); `fragment` is the word of flags and offset, options end padded.

    Raises:
        ValueError: the packet or its options are longer than an IPv4 header can say.
    """
    options += bytes(-len(options) % 4)
    header = 20 + len(options)
    if header > 60:
        raise ValueError(f"{len(options)} bytes of IPv4 options do not fit into 40")
    total = header + len(payload)
    if total > 0xFFFF:
        raise ValueError(f"an IPv4 packet cannot have {total} bytes")
    words = (
        (0x40 | header >> 2) << 8 | tos, total, ident, fragment, ttl << 8 | proto, 0,
    )  # fmt: skip
    fixed = b"".join(word.to_bytes(2, "big") for word in words)
    whole = fixed + src.to_bytes(4, "big") + dst.to_bytes(4, "big") + options
    return whole[:10] + checksum(whole).to_bytes(2, "big") + whole[12:] + payload


def ipv6(
    src: int, dst: int, proto: int, payload: bytes, *, ttl: int = 64, tos: int = 0, label: int = 0
) -> bytes:
    """An IPv6 packet (RFC 8200); `proto` is its next header, `payload` with extension headers.

    Raises:
        ValueError: the payload is longer than an IPv6 header can say.
    """
    if len(payload) > 0xFFFF:
        raise ValueError(f"an IPv6 packet cannot carry {len(payload)} bytes")
    first = 6 << 28 | tos << 20 | label
    second = len(payload) << 16 | proto << 8 | ttl
    words = first << 32 | second
    addresses = src.to_bytes(16, "big") + dst.to_bytes(16, "big")
    return words.to_bytes(8, "big") + addresses + payload


def ipv6_fragment(proto: int, offset: int, more: bool, ident: int, payload: bytes) -> bytes:
    """A fragment header (RFC 8200, 4.5) and what follows; `offset` in bytes, a multiple of 8."""
    word = offset | more
    header = bytes((proto, 0)) + word.to_bytes(2, "big") + ident.to_bytes(4, "big")
    return header + payload


def tcp_segment(
    sport: int,
    dport: int,
    flags: int,
    payload: bytes = b"",
    *,
    seq: int = 0,
    ack: int = 0,
    window: int = 65535,
    urgent: int = 0,
    options: bytes = b"",
) -> bytes:
    """A TCP segment (RFC 9293) without its checksum; `flags` are 12 bits, options end padded.

    Raises:
        ValueError: the options are longer than a TCP header can say.
    """
    options += bytes(-len(options) % 4)
    if len(options) > 40:
        raise ValueError(f"{len(options)} bytes of TCP options do not fit into 40")
    return (
        sport.to_bytes(2, "big")
        + dport.to_bytes(2, "big")
        + (seq & 0xFFFFFFFF).to_bytes(4, "big")
        + (ack & 0xFFFFFFFF).to_bytes(4, "big")
        + ((20 + len(options)) << 10 | flags).to_bytes(2, "big")
        + window.to_bytes(2, "big")
        + b"\0\0"
        + urgent.to_bytes(2, "big")
        + options
        + payload
    )


def udp_datagram(sport: int, dport: int, payload: bytes = b"") -> bytes:
    """A UDP datagram (RFC 768) without its checksum."""
    # Of a datagram in a packet that is too long the length does not matter: ipv4() refuses it.
    words = (sport, dport, 8 + len(payload) & 0xFFFF, 0)
    return b"".join(word.to_bytes(2, "big") for word in words) + payload


def sctp_packet(sport: int, dport: int, tag: int = 0, chunks: bytes = b"") -> bytes:
    """An SCTP packet (RFC 9260) without its CRC-32C."""
    ports = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    return ports + tag.to_bytes(4, "big") + bytes(4) + chunks


def icmp_message(kind: int, code: int, rest: int = 0, payload: bytes = b"") -> bytes:
    """An ICMP, IGMP or ICMPv6 message without its checksum; `rest` are its second four bytes."""
    return bytes((kind, code, 0, 0)) + rest.to_bytes(4, "big") + payload


def with_checksum(proto: int, segment: bytes, src: int, dst: int, *, v6: bool) -> bytes:
    """`segment` with the checksum that its protocol wants between these addresses, if it has one.

    One that is cut short of its checksum, or of a protocol without one, comes back as it is.
    """
    if proto == PROTO_SCTP:
        if len(segment) < 12:
            return segment
        return segment[:8] + sctp_checksum(segment) + segment[12:]
    at = _CHECKSUM_AT.get((v6, proto))
    if at is None or len(segment) < at + 2:
        return segment
    blank = segment[:at] + b"\0\0" + segment[at + 2 :]
    pseudo = 0 if not v6 and proto in (PROTO_ICMP, PROTO_IGMP) else src + dst + proto + len(segment)
    total = checksum(blank, pseudo)
    if proto == PROTO_UDP and not total:
        total = 0xFFFF
    return segment[:at] + total.to_bytes(2, "big") + segment[at + 2 :]


_CHECKSUM_AT: Final = {
    (False, PROTO_TCP): 16,
    (False, PROTO_UDP): 6,
    (False, PROTO_ICMP): 2,
    (False, PROTO_IGMP): 2,
    (True, PROTO_TCP): 16,
    (True, PROTO_UDP): 6,
    (True, PROTO_ICMPV6): 2,
}

