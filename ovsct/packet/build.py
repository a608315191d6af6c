"""Frames said in the words of their protocols, for tests, scenarios and examples.

    tcp("10.0.0.1", "10.0.0.2", 1000, 80, "S", seq=1, options=mss(1460) + window_scale(7))
    udp("fc00::1", "fc00::2", 53, 5353, payload=b"...", vlans=[5], ttl=1)
    icmp_error(frame, code=3)                   # "port unreachable", sent back for that frame
    fragment(udp(..., payload=bytes(3000)), [1480, 1480])

Addresses are text; which IP version it is follows from them. Lengths and checksums come out right
unless `bad` says otherwise. What all builders take beside their own arguments is :class:`Around`.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal, TypedDict, Unpack

from ovsct.packet.fields import SLOTS
from ovsct.packet.layers import (
    ethernet,
    icmp_message,
    ipv4,
    ipv6,
    ipv6_fragment,
    sctp_packet,
    tcp_segment,
    udp_datagram,
    with_checksum,
)
from ovsct.packet.packet import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_VLAN,
    PROTO_FRAGMENT,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    Packet,
    parse,
)

ETH_SRC: Final = "02:00:00:00:00:01"
ETH_DST: Final = "02:00:00:00:00:02"
BROADCAST: Final = "ff:ff:ff:ff:ff:ff"


class Around(TypedDict, total=False):
    """What is around a transport header; every builder takes these as keywords."""

    eth_src: str
    """Default 02:00:00:00:00:01."""
    eth_dst: str
    """Default 02:00:00:00:00:02."""
    vlans: Sequence[int | tuple[int, int]]
    """Tags, the outermost first: a TCI (id, priority in the top three bits) or (TPID, TCI)."""
    ttl: int
    """TTL or hop limit, default 64."""
    tos: int
    """All eight bits of DSCP and ECN."""
    ident: int
    """IPv4 identification."""
    df: bool
    """IPv4 "don't fragment"."""
    label: int
    """IPv6 flow label."""
    ip_options: bytes
    """IPv4 options; padded to a multiple of four."""
    bad: Literal["", "ip", "l4", "both"]
    """Which checksum is wrong."""
    pad: int
    """Length to which the frame is padded with zeros behind the packet (60: as on a real wire)."""


def eth_address(text: str) -> int:
    """An Ethernet address as a number.

    Raises:
        ValueError: `text` is not six two-digit hex numbers with colons between.
    """
    parts = text.split(":")
    if len(parts) != 6 or any(len(part) not in (1, 2) for part in parts):
        raise ValueError(f"{text!r} is no Ethernet address (02:00:00:00:00:01)")
    return int.from_bytes(bytes(int(part, 16) for part in parts), "big")


_FLAGS: Final = {
    "F": 0x001, "S": 0x002, "R": 0x004, "P": 0x008, "A": 0x010, ".": 0x010,
    "U": 0x020, "E": 0x040, "W": 0x080, "N": 0x100,
}  # fmt: skip


def tcp_flags(letters: str) -> int:
    """TCP flags from letters, as tcpdump writes them: "S", "SA" or "S.", "FA", "R", "PA", "" ...

    Raises:
        ValueError: a letter is none of F S R P A . U E W N.
    """
    flags = 0
    for letter in letters:
        if letter not in _FLAGS:
            raise ValueError(f"{letter!r} of {letters!r} is no TCP flag ({' '.join(_FLAGS)})")
        flags |= _FLAGS[letter]
    return flags


def mss(size: int) -> bytes:
    """TCP option: maximum segment size."""
    return b"\2\4" + size.to_bytes(2, "big")


def window_scale(shift: int) -> bytes:
    """TCP option: window scale (RFC 7323)."""
    return bytes((1, 3, 3, shift))


def sack_permitted() -> bytes:
    """TCP option: selective acknowledgement permitted (RFC 2018)."""
    return b"\1\1\4\2"


def timestamps(value: int, echo: int = 0) -> bytes:
    """TCP option: timestamps (RFC 7323)."""
    return b"\1\1\x08\x0a" + value.to_bytes(4, "big") + echo.to_bytes(4, "big")


def _link(dl_type: int, payload: bytes, around: Around) -> bytes:
    tags = [tag if isinstance(tag, tuple) else (ETH_VLAN, tag) for tag in around.get("vlans", ())]
    frame = ethernet(
        eth_address(around.get("eth_dst", ETH_DST)),
        eth_address(around.get("eth_src", ETH_SRC)),
        dl_type,
        payload,
        tags,
    )
    return frame.ljust(around.get("pad", 0), b"\0")


def ip(src: str, dst: str, proto: int, payload: bytes = b"", **around: Unpack[Around]) -> bytes:
    """An IPv4 or IPv6 packet of any protocol; `payload` gets its checksum if `proto` has one.

    Raises:
        ValueError: an address is wrong, the two are not of one version, or a length is too long.
    """
    ends = ip_address(src), ip_address(dst)
    if ends[0].version != ends[1].version:
        raise ValueError(f"{src} and {dst} are not of one IP version")
    v6 = isinstance(ends[0], IPv6Address)
    bad = around.get("bad", "")
    segment = with_checksum(proto, payload, int(ends[0]), int(ends[1]), v6=v6)
    if bad in ("l4", "both"):
        segment = _spoil(segment, _SUM_AT[proto])
    ttl, tos = around.get("ttl", 64), around.get("tos", 0)
    if v6:
        packet = ipv6(
            int(ends[0]), int(ends[1]), proto, segment, ttl=ttl, tos=tos,
            label=around.get("label", 0),
        )  # fmt: skip
        return _link(ETH_IPV6, packet, around)
    packet = ipv4(
        int(ends[0]), int(ends[1]), proto, segment, ttl=ttl, tos=tos,
        ident=around.get("ident", 0),
        fragment=0x4000 if around.get("df") else 0,
        options=around.get("ip_options", b""),
    )  # fmt: skip
    if bad in ("ip", "both"):
        packet = _spoil(packet, 10)
    return _link(ETH_IPV4, packet, around)


_SUM_AT: Final = {PROTO_TCP: 16, PROTO_UDP: 6, PROTO_ICMP: 2, PROTO_ICMPV6: 2, PROTO_SCTP: 8}


def _spoil(data: bytes, at: int) -> bytes:
    # One bit of the sum, and not such that a UDP checksum would become 0, which means "none".
    low = data[at + 1] ^ (0x02 if data[at : at + 2] == b"\0\1" else 0x01)
    return data[: at + 1] + bytes((low,)) + data[at + 2 :]


def tcp(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    flags: str | int = "S",
    *,
    seq: int = 0,
    ack: int = 0,
    window: int = 65535,
    urgent: int = 0,
    options: bytes = b"",
    payload: bytes = b"",
    **around: Unpack[Around],
) -> bytes:
    """A TCP segment: flags as letters (:func:`tcp_flags`) or as 12 bits, options as bytes.

    Raises:
        ValueError: as :func:`ip`, or a flag or the options are wrong.
    """
    bits = tcp_flags(flags) if isinstance(flags, str) else flags
    segment = tcp_segment(
        sport, dport, bits, payload, seq=seq, ack=ack, window=window, urgent=urgent, options=options
    )
    return ip(src, dst, PROTO_TCP, segment, **around)


def udp(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    *,
    payload: bytes = b"",
    checksum: bool = True,
    **around: Unpack[Around],
) -> bytes:
    """A UDP datagram; with ``checksum=False`` it has none (0), which IPv6 does not allow.

    Raises:
        ValueError: as :func:`ip`.
    """
    frame = ip(src, dst, PROTO_UDP, udp_datagram(sport, dport, payload), **around)
    if checksum:
        return frame
    at = parse(frame, 0, 2).l4 + 6
    return frame[:at] + b"\0\0" + frame[at + 2 :]


def sctp(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    *,
    tag: int = 0,
    chunks: bytes = b"",
    **around: Unpack[Around],
) -> bytes:
    """An SCTP packet with a verification tag and chunks as bytes.

    Raises:
        ValueError: as :func:`ip`.
    """
    return ip(src, dst, PROTO_SCTP, sctp_packet(sport, dport, tag, chunks), **around)


def icmp_echo(
    src: str,
    dst: str,
    echo_id: int = 1,
    seq: int = 1,
    *,
    reply: bool = False,
    payload: bytes = b"",
    **around: Unpack[Around],
) -> bytes:
    """An echo request or reply, ICMP or ICMPv6.

    Raises:
        ValueError: as :func:`ip`.
    """
    v6 = ip_address(src).version == 6
    kind = (129 if reply else 128) if v6 else (0 if reply else 8)
    message = icmp_message(kind, 0, echo_id << 16 | seq, payload)
    return ip(src, dst, PROTO_ICMPV6 if v6 else PROTO_ICMP, message, **around)


def icmp_error(
    inner: bytes,
    *,
    kind: int | None = None,
    code: int = 1,
    rest: int = 0,
    src: str | None = None,
    dst: str | None = None,
    quote: int | None = None,
    **around: Unpack[Around],
) -> bytes:
    """The ICMP or ICMPv6 error that is sent back for the frame `inner`.

    Args:
        inner: the frame with the IP packet that met the error.
        kind: ICMP type, default "unreachable" (3, or 1 for ICMPv6).
        code: ICMP code, default host unreachable (ICMPv6: administratively prohibited).
        rest: second four bytes of the message, such as the MTU.
        src: who sends the error, default the destination of `inner` (a router says its own).
        dst: to whom, default the source of `inner`.
        quote: how many bytes behind the inner IP header are quoted; default 8 for IPv4 (RFC 792)
            and as many as fit into 1280 for IPv6 (RFC 4443).
        around: as for all; the Ethernet addresses default to those of `inner`, swapped.

    Raises:
        ValueError: `inner` is no whole IP packet.
    """
    packet = parse(inner, 0, 2)
    if not packet.l4:
        raise ValueError("an ICMP error needs an inner frame with a whole IP packet")
    v6 = SLOTS["dl_type"].get(packet.key) == ETH_IPV6
    if quote is None:
        quote = 1280 - 48 - (packet.l4 - packet.l3) if v6 else 8
    quoted = inner[packet.l3 : min(packet.end, packet.l4 + quote)]
    ends = _inner_addresses(packet, v6)
    around.setdefault("eth_src", inner[:6].hex(":"))
    around.setdefault("eth_dst", inner[6:12].hex(":"))
    if kind is None:
        kind = 1 if v6 else 3
    message = icmp_message(kind, code, rest, quoted)
    proto = PROTO_ICMPV6 if v6 else PROTO_ICMP
    return ip(src or ends[1], dst or ends[0], proto, message, **around)


def _inner_addresses(packet: Packet, v6: bool) -> tuple[str, str]:
    start, size = (packet.l3 + 8, 16) if v6 else (packet.l3 + 12, 4)
    first = packet.frame[start : start + size]
    second = packet.frame[start + size : start + 2 * size]
    return str(ip_address(first)), str(ip_address(second))


def arp(
    spa: str,
    tpa: str,
    *,
    op: int = 1,
    sha: str | None = None,
    tha: str = "00:00:00:00:00:00",
    **around: Unpack[Around],
) -> bytes:
    """An ARP packet: op 1 asks, 2 answers. A request is broadcast unless `eth_dst` is given.

    Raises:
        ValueError: an address is wrong.
    """
    if op == 1:
        around.setdefault("eth_dst", BROADCAST)
    sha = sha or around.get("eth_src", ETH_SRC)
    body = b"\0\1\x08\0\6\4" + op.to_bytes(2, "big")
    for hardware, protocol in ((sha, spa), (tha, tpa)):
        body += eth_address(hardware).to_bytes(6, "big") + ip_address(protocol).packed
    return _link(ETH_ARP, body, around)


def neighbour(
    src: str,
    dst: str,
    target: str,
    *,
    advert: bool = False,
    address: str | None = None,
    flags: int = 0,
    **around: Unpack[Around],
) -> bytes:
    """A neighbour solicitation or advertisement (RFC 4861), hop limit 255.

    `address` is the source (or, of an advertisement, target) link-layer address option; the text
    "" leaves it out, None takes that of the frame. `flags` are the 32 bits before the target.

    Raises:
        ValueError: an address is wrong.
    """
    around.setdefault("ttl", 255)
    address = around.get("eth_src", ETH_SRC) if address is None else address
    body = IPv6Address(target).packed
    if address:
        body += bytes((2 if advert else 1, 1)) + eth_address(address).to_bytes(6, "big")
    message = icmp_message(136 if advert else 135, 0, flags, body)
    return ip(src, dst, PROTO_ICMPV6, message, **around)


def fragment(frame: bytes, sizes: Sequence[int], ident: int = 1) -> list[bytes]:
    """The fragments of an IP packet, in order.

    Args:
        frame: an unfragmented IPv4 packet, or an IPv6 packet without extension headers.
        sizes: bytes of payload a fragment, each a multiple of 8; a last fragment has the rest.
        ident: their identification.

    Raises:
        ValueError: the frame cannot be fragmented so.
    """
    packet = parse(frame, 0, 2)
    if not packet.l4 or SLOTS["nw_frag"].get(packet.key):
        raise ValueError("only an unfragmented IP packet can be fragmented")
    if any(size <= 0 or size % 8 for size in sizes):
        raise ValueError(f"sizes of fragments are multiples of 8, not {list(sizes)}")
    head, body = frame[: packet.l3], frame[packet.l4 : packet.end]
    if sum(sizes) >= len(body):
        raise ValueError(f"{list(sizes)} leaves nothing of {len(body)} bytes for a last fragment")
    v6 = SLOTS["dl_type"].get(packet.key) == ETH_IPV6
    if v6 and packet.l4 - packet.l3 != 40:
        raise ValueError("the IPv6 packet has extension headers already")
    cut, offset = [], 0
    for size in (*sizes, len(body) - sum(sizes)):
        piece, more = body[offset : offset + size], offset + size < len(body)
        header = frame[packet.l3 : packet.l4]
        if v6:
            piece = ipv6_fragment(header[6], offset, more, ident, piece)
            length = len(piece).to_bytes(2, "big")
            cut.append(head + header[:4] + length + bytes((PROTO_FRAGMENT,)) + header[7:] + piece)
        else:
            src, dst = (int.from_bytes(header[at : at + 4], "big") for at in (12, 16))
            cut.append(
                head
                + ipv4(
                    src, dst, header[9], piece, ttl=header[8], tos=header[1], ident=ident,
                    fragment=more << 13 | offset // 8, options=header[20:],
                )
            )  # fmt: skip
        offset += size
    return cut
