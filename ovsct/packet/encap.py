"""Headers put before a packet and taken off it: Ethernet, NSH, a label (OVS lib/packets.c, 3.1).

A packet whose packet_type is not Ethernet has a frame that begins with what that type says. As
with tags (:mod:`ovsct.packet.tags`), the key afterwards is the one that the translation works with;
who recirculates the packet must have it parsed again.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import (
    ETH_HEADER,
    ETH_IPV4,
    ETH_IPV6,
    HEADER_MASK,
    MPLS_TYPES,
    NSH_BASE,
    PT_ETHERNET,
    PT_ETHERTYPE,
    PT_NSH,
    Packet,
    parse_bare,
)
from ovsct.packet.tags import label_at

_PACKET_TYPE = SLOTS["packet_type"]
_DL_TYPE = SLOTS["dl_type"]
_MACS: Final = SLOTS["dl_dst"].mask | SLOTS["dl_src"].mask

NEXT_TYPES: Final = {1: PT_ETHERTYPE | ETH_IPV4, 2: PT_ETHERTYPE | ETH_IPV6, 3: PT_ETHERNET,
                     4: PT_NSH}  # fmt: skip
"""The packet type behind an NSH header by its "next protocol"."""

_NEXT: Final = {packet_type: np for np, packet_type in NEXT_TYPES.items()}


def _move(packet: Packet, shift: int) -> None:
    packet.l3 += shift
    if packet.l4:
        packet.l4 += shift
    packet.end += shift


def push_eth(packet: Packet, src: int, dst: int) -> None:
    """Put an Ethernet header before a packet that has none (``push_eth()``)."""
    ethertype = _PACKET_TYPE.get(packet.key) & 0xFFFF
    header = dst << 64 | src << 16 | ethertype
    packet.frame = header.to_bytes(ETH_HEADER, "big") + packet.frame
    key = _DL_TYPE.put(packet.key & ~(_MACS | _PACKET_TYPE.mask), ethertype)
    packet.key = key | dst << SLOTS["dl_dst"].shift | src << SLOTS["dl_src"].shift
    _move(packet, ETH_HEADER)


def pop_eth(packet: Packet) -> None:
    """Take the Ethernet header off (``pop_eth()``)."""
    mpls = _DL_TYPE.get(packet.key) in MPLS_TYPES
    start = label_at(packet) if mpls else packet.l3
    ethertype = packet.frame[start - 2] << 8 | packet.frame[start - 1]
    packet.frame = packet.frame[start:]
    packet.key = _PACKET_TYPE.put(packet.key & ~_MACS, PT_ETHERTYPE | ethertype)
    _move(packet, -start)


def push_nsh(packet: Packet, header: bytes) -> None:
    """Put an NSH header before the packet (``push_nsh()``); its next protocol is filled in.

    Raises:
        KeyError: no next protocol says what the packet is.
    """
    np = _NEXT[_PACKET_TYPE.get(packet.key)]
    frame = header[:3] + bytes((np,)) + header[4:] + packet.frame
    fresh = parse_bare(frame, PT_NSH)
    packet.frame = frame
    packet.key = (packet.key & ~(HEADER_MASK | _PACKET_TYPE.mask)) | fresh.key
    packet.l3, packet.l4, packet.end = 0, 0, len(frame)


def pop_nsh(packet: Packet) -> bool:
    """Take the NSH header off (``pop_nsh()``); False, and the packet is lost, if what is behind it
    has no packet type.
    """
    frame = packet.frame
    if _PACKET_TYPE.get(packet.key) != PT_NSH or len(frame) < NSH_BASE:
        return True
    packet_type = NEXT_TYPES.get(frame[3])
    if packet_type is None:
        return False
    packet.frame = frame[(frame[1] & 0x3F) * 4 :]
    packet.key = _PACKET_TYPE.put(packet.key, packet_type)
    packet.l3, packet.l4, packet.end = 0, 0, len(packet.frame)
    return True


def add_mpls(packet: Packet, lse: int, ethertype: int) -> None:
    """Put a label before everything, Ethernet header and all (``add_mpls()``, no layer 3).

    The packet is then one of type (1, `ethertype`). The connection is forgotten.
    """
    if ethertype not in MPLS_TYPES:
        return
    packet.frame = lse.to_bytes(4, "big") + packet.frame
    fresh = parse_bare(packet.frame, PT_ETHERTYPE | ethertype)
    packet.key = (packet.key & ~(HEADER_MASK | _PACKET_TYPE.mask)) | fresh.key
    packet.l3, packet.l4, packet.end = fresh.l3, fresh.l4, fresh.end
    packet.conn = None
