"""VLAN tags and MPLS labels pushed and popped, and frames cut off (OVS lib/packets.c, 3.1).

OVS moves its offsets with a push or a pop and looks at the frame anew only when the packet
recirculates. So does this: the key afterwards is the one that the translation of the flow works
with (tags shifted, a type replaced). Who recirculates the packet must call
:meth:`~ovsct.packet.packet.Packet.reparse` with the VLAN limit of the bridge.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.fields import SLOTS, VLAN_PRESENT
from ovsct.packet.packet import (
    ETH_HEADER,
    ETH_TEB,
    HEADER_MASK,
    MPLS_TYPES,
    PT_ETHERNET,
    PT_ETHERTYPE,
    VLAN_TYPES,
    Packet,
)

_DL_TYPE = SLOTS["dl_type"]
_PACKET_TYPE = SLOTS["packet_type"]
_VLANS: Final = (
    (SLOTS["vlan_tpid"], SLOTS["vlan_tci"]),
    (SLOTS["vlan_tpid1"], SLOTS["vlan_tci1"]),
)
_LSES: Final = tuple(SLOTS[name] for name in ("mpls_lse", "mpls_lse1", "mpls_lse2"))
_VLAN_MASK: Final = sum(slot.mask for pair in _VLANS for slot in pair)
_LSE_MASK: Final = sum(slot.mask for slot in _LSES)
_LINK_MASK: Final = SLOTS["dl_dst"].mask | SLOTS["dl_src"].mask | _VLAN_MASK


def tags(key: int) -> int:
    """How many VLAN tags the key knows of."""
    return sum(1 for _, tci in _VLANS if tci.get(key))


def label_at(packet: Packet) -> int:
    """Offset of the outermost MPLS label of an MPLS packet (OVS: ``l2_5_ofs``)."""
    if _PACKET_TYPE.get(packet.key):
        return 0
    at = 12 + 4 * tags(packet.key)
    if packet.frame[at] << 8 | packet.frame[at + 1] in MPLS_TYPES:
        return at + 2
    return at + 10  # behind an LLC and SNAP header


def push_vlan(packet: Packet, tpid: int, tci: int) -> None:
    """Push a VLAN tag (``eth_push_vlan()``); bit 12 of `tci` is not sent."""
    frame = packet.frame
    tag = tpid << 16 | tci & ~VLAN_PRESENT
    packet.frame = frame[:12] + tag.to_bytes(4, "big") + frame[12:]
    inner = [(first.get(packet.key), second.get(packet.key)) for first, second in _VLANS]
    _retag(packet, [(tpid, tci | VLAN_PRESENT), *inner[:-1]], 4)


def pop_vlan(packet: Packet) -> None:
    """Pop the outermost VLAN tag, if there is one (``eth_pop_vlan()``)."""
    frame = packet.frame
    if len(frame) < ETH_HEADER + 4 or frame[12] << 8 | frame[13] not in VLAN_TYPES:
        return
    packet.frame = frame[:12] + frame[16:]
    inner = [(first.get(packet.key), second.get(packet.key)) for first, second in _VLANS]
    _retag(packet, [*inner[1:], (0, 0)], -4)


def _retag(packet: Packet, known: list[tuple[int, int]], shift: int) -> None:
    key = packet.key & ~_VLAN_MASK
    for (first, second), (tpid, tci) in zip(_VLANS, known, strict=True):
        key |= tpid << first.shift | tci << second.shift
    packet.key = key
    _move(packet, shift)


def _move(packet: Packet, shift: int) -> None:
    if packet.l3:
        packet.l3 += shift
    if packet.l4:
        packet.l4 += shift
    packet.end += shift


def push_mpls(packet: Packet, lse: int, ethertype: int, *, keep_conn: bool = False) -> None:
    """Push an MPLS label (``push_mpls()``) and say `ethertype`; nothing if that is not MPLS.

    `lse` is the whole entry: label, traffic class, bottom of stack, TTL. The key loses all that
    was known of layers 3 and 4 (``flow_push_mpls()``); the offsets keep it.
    """
    if ethertype not in MPLS_TYPES:
        return
    key = packet.key
    stacked = _DL_TYPE.get(key) in MPLS_TYPES
    at = label_at(packet) if stacked else packet.l3
    frame = _with_type(packet, at, ethertype)
    packet.frame = frame[:at] + lse.to_bytes(4, "big") + frame[at:]
    below = [slot.get(key) for slot in _LSES] if stacked else [0] * len(_LSES)
    key = (key & (~HEADER_MASK | _LINK_MASK)) | ethertype << _DL_TYPE.shift
    for slot, entry in zip(_LSES, [lse, *below[:-1]], strict=True):
        key |= entry << slot.shift
    packet.key = key
    _move(packet, 4)
    if not keep_conn:
        packet.conn = None


def pop_mpls(packet: Packet, ethertype: int) -> None:
    """Pop the outermost MPLS label, if there is one, and say `ethertype` (``pop_mpls()``).

    The translation of a pop that uncovers IP recirculates at once, so the key is read anew here.
    """
    if _DL_TYPE.get(packet.key) not in MPLS_TYPES:
        return
    known = tags(packet.key)
    at = label_at(packet)
    frame = _with_type(packet, at, ethertype)
    if not at:
        packet_type = PT_ETHERNET if ethertype == ETH_TEB else PT_ETHERTYPE | ethertype
        packet.key = _PACKET_TYPE.put(packet.key, packet_type)
    packet.reparse(frame[:at] + frame[at + 4 :], known)


def _with_type(packet: Packet, at: int, ethertype: int) -> bytes:
    """OVS ``set_ethertype()``: behind VLAN tags the type before offset `at`, else the first one."""
    frame = packet.frame
    if _PACKET_TYPE.get(packet.key):
        return frame
    where = at - 2 if frame[12] << 8 | frame[13] in VLAN_TYPES else 12
    return frame[:where] + ethertype.to_bytes(2, "big") + frame[where + 2 :]


def trunc(packet: Packet, max_len: int) -> None:
    """Cut the frame off behind `max_len` bytes, but not within its Ethernet header.

    OVS ``dp_packet_set_cutlen()``: it is for the one output that follows, so give it a fork.
    """
    packet.frame = packet.frame[: max(max_len, ETH_HEADER)]
    packet.end = min(packet.end, len(packet.frame))
