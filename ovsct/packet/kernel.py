"""Frames as the kernel's datapath reads them (Linux: net/openvswitch/flow.c, key_extract_l3l4()).

It differs from vswitchd in what contradicts itself: the kernel measures headers by the frame, not
by the length that the IP header claims, so that a packet that was cut short has addresses and, if
its transport header is there, ports.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.fields import FRAG_ANY, FRAG_LATER, SLOTS
from ovsct.packet.packet import (
    ETH_IPV4,
    ETH_IPV6,
    HEADER_MASK,
    METADATA_KEEP,
    PROTO_FRAGMENT,
    Packet,
    parse,
    transport,
    walk_ipv6,
)

VLAN_DEPTH: Final = 2
"""Tags that the kernel looks behind."""

_TYPE: Final = SLOTS["dl_type"]
_LINK: Final = sum(
    SLOTS[name].mask
    for name in ("dl_src", "dl_dst", "dl_type", "vlan_tci", "vlan_tpid", "vlan_tci1", "vlan_tpid1")
)
_NO_NEXT_HEADER: Final = 59


def kernel_packet(frame: bytes, in_port: int) -> Packet:
    """The packet that `frame` is to the kernel when it comes in on datapath port `in_port`.

    Raises:
        ValueError: the frame is shorter than an Ethernet header.
    """
    packet = parse(frame, in_port, VLAN_DEPTH)
    if packet.end != len(frame) or not packet.l4:
        _measure(packet)
    return packet


def reparse(packet: Packet, frame: bytes) -> None:
    """Put `frame` in place of the present one; metadata in the key stays as it is."""
    fresh = kernel_packet(frame, 0)
    packet.frame = frame
    packet.key = (packet.key & METADATA_KEEP) | fresh.key
    packet.l3, packet.l4, packet.end = fresh.l3, fresh.l4, fresh.end


def _measure(packet: Packet) -> None:
    """Read an IP packet by the length of its frame, where that is not what its header says."""
    dl_type = _TYPE.get(packet.key)
    at = packet.l3
    size = len(packet.frame)
    fresh: Packet | None = None
    if dl_type == ETH_IPV4 and size - at >= 20:
        fresh = _ipv4(packet, at, size)
    elif dl_type == ETH_IPV6 and size - at >= 40:
        fresh = _ipv6(packet, at, size)
    if fresh is not None:
        packet.key = fresh.key
        packet.l4 = fresh.l4
        # Padding is cut off before conntrack; what is missing cannot be (ovs_skb_network_trim()).
        packet.end = min(size, packet.end if packet.end > packet.l4 else size)


def _bare(packet: Packet) -> int:
    return packet.key & (~HEADER_MASK | _LINK)


def _ipv4(packet: Packet, at: int, size: int) -> Packet | None:
    frame = packet.frame
    header = (frame[at] & 0x0F) * 4
    if header < 20 or at + header > size:
        return None
    offset = (frame[at + 6] << 8 | frame[at + 7]) & 0x3FFF
    frag = 0
    if offset:
        frag = FRAG_ANY | FRAG_LATER if offset & 0x1FFF else FRAG_ANY
    proto = frame[at + 9]
    key = (
        _bare(packet)
        | int.from_bytes(frame[at + 12 : at + 20], "big") << SLOTS["nw_dst"].shift
        | proto << SLOTS["nw_proto"].shift
        | frame[at + 8] << SLOTS["nw_ttl"].shift
        | frame[at + 1] << SLOTS["nw_tos"].shift
        | frag << SLOTS["nw_frag"].shift
    )
    return transport(frame, key, at, at + header, size, proto, frag)


def _ipv6(packet: Packet, at: int, size: int) -> Packet | None:
    frame = packet.frame
    first = int.from_bytes(frame[at : at + 4], "big")
    key = (
        _bare(packet)
        | int.from_bytes(frame[at + 8 : at + 40], "big") << SLOTS["ipv6_dst"].shift
        | (first & 0xFFFFF) << SLOTS["ipv6_label"].shift
        | ((first >> 20) & 0xFF) << SLOTS["nw_tos"].shift
        | frame[at + 7] << SLOTS["nw_ttl"].shift
    )
    walked = walk_ipv6(frame, at, size)
    if walked is None:
        # parse_ipv6hdr() gives -EPROTO: the addresses stay.
        return Packet(frame, key | _NO_NEXT_HEADER << SLOTS["nw_proto"].shift, at, 0, size)
    l4, proto, frag = walked
    key |= proto << SLOTS["nw_proto"].shift | frag << SLOTS["nw_frag"].shift
    if proto == PROTO_FRAGMENT:
        return Packet(frame, key, at, l4, size)
    return transport(frame, key, at, l4, size, proto, frag)
