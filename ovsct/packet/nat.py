"""New addresses and ports for a packet in one go: the primitives of NAT.

The same bytes as OVS's ``packet_set_ipv4_addr()``, ``packet_set_ipv6_addr()`` and
``packet_set_tcp_port()`` with its sisters (lib/packets.c, 3.1), which its conntrack calls one after
the other: checksums are carried along, so that a wrong one stays wrong by the same amount.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from ovsct.packet.carry import carry, carry_pseudo, carry_sctp, no_zero
from ovsct.packet.checksum import checksum, fold, pseudo_ipv6
from ovsct.packet.fields import FRAG_ANY, FRAG_LATER, SLOTS
from ovsct.packet.packet import PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP, PROTO_UDP, Packet

_from_bytes = int.from_bytes
_PROTO, _FRAG = SLOTS["nw_proto"], SLOTS["nw_frag"]
_TP_SRC, _TP_DST = SLOTS["tp_src"], SLOTS["tp_dst"]
_HEADER: Final = Struct(">HII")
"""Checksum and addresses of an IPv4 header."""
_PORTS: Final = Struct(">HH")
_V4: Final = (SLOTS["nw_src"], SLOTS["nw_dst"])
_KEEP: Final = ~sum(slot.mask for slot in (*_V4, _TP_SRC, _TP_DST))
_V6: Final = (SLOTS["ipv6_src"], SLOTS["ipv6_dst"])

# nw_proto and nw_frag of packets that are no later fragment: offset of the transport checksum.
_EVERYDAY_MASK: Final = (_FRAG.mask | _PROTO.mask) >> _FRAG.shift
_EVERYDAY: Final = {
    proto << _PROTO.shift - _FRAG.shift | frag: at
    for proto, at in ((PROTO_TCP, 16), (PROTO_UDP, 6))
    for frag in (0, FRAG_ANY)
}


def rewrite_ipv4(
    packet: Packet,
    src: int | None = None,
    dst: int | None = None,
    sport: int | None = None,
    dport: int | None = None,
    *,
    keep_conn: bool = False,
) -> None:
    """Give an IPv4 packet new addresses and TCP, UDP or SCTP ports, in frame and key.

    Args:
        packet: changed in place; its ports are ignored if it is a later fragment or of any other
            protocol, or if its transport header is not there.
        src, dst: new addresses as ints; None leaves one as it is.
        sport, dport: new ports; None leaves one as it is.
        keep_conn: the connection stays attached, as to a kernel's ``skb``; OVS forgets it.
    """
    at = _EVERYDAY.get(packet.key >> _FRAG.shift & _EVERYDAY_MASK)
    l3, l4 = packet.l3, packet.l4
    if at is None or not l4 or packet.end - l4 < (20 if at == 16 else 8):
        _rewrite_outer(packet, 4, (src, dst), sport, dport, keep_conn)
        return
    # TCP and UDP, all in one go: a chain of updates is one update with the sum of the changes.
    frame = packet.frame
    header_sum, old_src, old_dst = _HEADER.unpack_from(frame, l3 + 10)
    old_sport, old_dport = _PORTS.unpack_from(frame, l4)
    src = old_src if src is None else src
    dst = old_dst if dst is None else dst
    sport = old_sport if sport is None else sport
    dport = old_dport if dport is None else dport
    change = 0
    if src != old_src:
        change = 0xFFFFFFFF - old_src + src
    if dst != old_dst:
        change += 0xFFFFFFFF - old_dst + dst
    buffer = bytearray(frame)
    header_sum = 0xFFFF - fold(0xFFFF - header_sum + change)
    _HEADER.pack_into(buffer, l3 + 10, header_sum, src, dst)
    if sport != old_sport:
        change += 0xFFFF - old_sport + sport
    if dport != old_dport:
        change += 0xFFFF - old_dport + dport
    _PORTS.pack_into(buffer, l4, sport, dport)
    at += l4
    total = buffer[at] << 8 | buffer[at + 1]
    if at == l4 + 16 or total:
        total = 0xFFFF - fold(0xFFFF - total + change)
        if at != l4 + 16 and not total:
            total = 0xFFFF
        buffer[at] = total >> 8
        buffer[at + 1] = total & 0xFF
    packet.frame = bytes(buffer)
    packet.key = (
        packet.key & _KEEP | src << _V4[0].shift | dst << _V4[1].shift
        | sport << _TP_SRC.shift | dport << _TP_DST.shift
    )  # fmt: skip
    if not keep_conn:
        packet.conn = None


def rewrite_ipv6(
    packet: Packet,
    src: int | None = None,
    dst: int | None = None,
    sport: int | None = None,
    dport: int | None = None,
    *,
    keep_conn: bool = False,
) -> None:
    """The same for IPv6. The transport checksum is carried along whatever headers stand before it,

    as OVS's conntrack does it; a set action (:func:`~ovsct.packet.edit.set_fields`) looks closer.
    """
    _rewrite_outer(packet, 16, (src, dst), sport, dport, keep_conn)


def rewrite_inner(
    packet: Packet,
    l3: int,
    l4: int,
    proto: int,
    src: int | None = None,
    dst: int | None = None,
    sport: int | None = None,
    dport: int | None = None,
) -> None:
    """Rewrite the packet inside an ICMP or ICMPv6 error, and then the error's own checksum.

    OVS lib/conntrack.c ``nat_inner_packet()``: what can be carried into the inner checksums is;
    the outer ICMP checksum is calculated anew, so that a wrong one becomes right.

    Args:
        packet: the error; its own headers and its key stay as they are.
        l3: offset of the inner IP header in the frame; its version says whether v4 or v6.
        l4: offset of the inner transport header (possibly cut short), 0 if there is none.
        proto: inner protocol.
        src, dst, sport, dport: new values, None leaves one as it is.
    """
    buffer = bytearray(packet.frame)
    size = 4 if buffer[l3] >> 4 == 4 else 16
    if l4:
        _ports(buffer, l4, packet.end, proto, sport, dport)
    _addresses(buffer, l3, l4, packet.end, proto, size, (src, dst))
    outer = packet.l4
    buffer[outer + 2 : outer + 4] = b"\0\0"
    body = bytes(buffer[outer : packet.end])
    pseudo = 0
    if size == 16:
        start = packet.l3 + 8
        addresses = _from_bytes(buffer[start : start + 32], "big")
        pseudo = pseudo_ipv6(addresses, 0, PROTO_ICMPV6, len(body))
    buffer[outer + 2 : outer + 4] = checksum(body, pseudo).to_bytes(2, "big")
    packet.frame = bytes(buffer)


def _rewrite_outer(
    packet: Packet,
    size: int,
    new: tuple[int | None, int | None],
    sport: int | None,
    dport: int | None,
    keep_conn: bool,
) -> None:
    buffer = bytearray(packet.frame)
    key, l4 = packet.key, packet.l4
    proto = _PROTO.get(key)
    _addresses(buffer, packet.l3, l4, packet.end, proto, size, new)
    for address, slot in zip(new, _V4 if size == 4 else _V6, strict=True):
        if address is not None:
            key = slot.put(key, address)
    if l4 and not _FRAG.get(key) & FRAG_LATER and packet.end - l4 >= _SHORTEST.get(proto, 1 << 16):
        _ports(buffer, l4, packet.end, proto, sport, dport)
        if sport is not None:
            key = _TP_SRC.put(key, sport)
        if dport is not None:
            key = _TP_DST.put(key, dport)
    packet.key = key
    packet.frame = bytes(buffer)
    if not keep_conn:
        packet.conn = None


_SHORTEST: Final = {PROTO_TCP: 20, PROTO_UDP: 8, PROTO_SCTP: 12}


def _addresses(
    buffer: bytearray,
    l3: int,
    l4: int,
    end: int,
    proto: int,
    size: int,
    new: tuple[int | None, int | None],
) -> None:
    at = l3 + (12 if size == 4 else 8)
    for address in new:
        if address is not None:
            old = _from_bytes(buffer[at : at + size], "big")
            if old != address:
                buffer[at : at + size] = address.to_bytes(size, "big")
                if l4:
                    carry_pseudo(buffer, proto, l4, end, old, address, size)
                if size == 4:
                    carry(buffer, l3 + 10, old, address, 4)
        at += size


def _ports(
    buffer: bytearray, l4: int, end: int, proto: int, sport: int | None, dport: int | None
) -> None:
    where = _PORT_SUM.get(proto)
    if where is None:
        return
    before = bytes(buffer[l4:end])
    # A checksum that the packet inside an error no longer has cannot be carried along, and a UDP
    # checksum of 0 means that there is none.
    at = l4 + where
    summed = at + 2 <= len(buffer) and (proto != PROTO_UDP or buffer[at] or buffer[at + 1])
    for port, start in ((sport, l4), (dport, l4 + 2)):
        if port is not None:
            old = buffer[start] << 8 | buffer[start + 1]
            if old != port:
                buffer[start : start + 2] = port.to_bytes(2, "big")
                if summed and proto != PROTO_SCTP:
                    carry(buffer, at, old, port, 2)
    if proto == PROTO_SCTP and len(before) >= 12:
        carry_sctp(buffer, l4, end, before)
    elif proto == PROTO_UDP and summed:
        no_zero(buffer, at)


_PORT_SUM: Final = {PROTO_TCP: 16, PROTO_UDP: 6, PROTO_SCTP: 8}
"""By protocol: where the checksum lies that its ports enter."""
