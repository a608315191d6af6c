"""The actions that rewrite the frame or what is beside it: pedit, csum, vlan, mpls, skbedit,
tunnel_key.

None of them keeps a checksum right by itself: pedit leaves that to csum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ovsct.lane import Drop
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import (
    ETH_IPV4,
    ETH_IPV6,
    MPLS_TYPES,
    PROTO_FRAGMENT,
    VLAN_TYPES,
    Packet,
)
from ovsct.tc.actions import Header, MplsOp, VlanOp
from ovsct.tc.sums import sum_ipv4, sum_ipv6, sums_transport
from ovsct.tc.verdict import SHOT

if TYPE_CHECKING:
    from ovsct.tc.actions import Csum, Mpls, Munge, Pedit, Skbedit, TunnelKey, Vlan
    from ovsct.tc.classify import Pass
    from ovsct.tc.filters import Counter, Execute
    from ovsct.tc.ingress import TcIngress

VLANS_READ: Final = 2
"""Tags that the flow key has room for; an edited frame is read anew with that limit."""

_PRIORITY: Final = SLOTS["skb_priority"]
_MARK: Final = SLOTS["pkt_mark"]


def network_header(frame: bytes) -> tuple[int, int]:
    """Offset and type of the network header: behind the first tag, which reception takes off."""
    at = 18 if frame[12] << 8 | frame[13] in VLAN_TYPES and len(frame) >= 18 else 14
    return at, frame[at - 2] << 8 | frame[at - 1]


def _replace(p: Pass, frame: bytes) -> None:
    p.packet.reparse(frame, VLANS_READ)


# -- pedit --------------------------------------------------------------------------------------


def make_pedit(action: Pedit, counter: Counter, engine: TcIngress) -> Execute:
    """``tcf_pedit_act()``: a word that cannot be reached ends it, and counts as overlimit.

    6.1 counts that where ``tc`` does not look.
    """
    munges, control = action.munges, action.control
    counted = int(engine.kernel != "6.1")

    def pedit(p: Pass) -> int:
        buffer = bytearray(p.packet.frame)
        for munge in munges:
            if not _munge(buffer, munge):
                counter.overlimits += counted
                break
        if buffer != p.packet.frame:
            _replace(p, bytes(buffer))
            p.retyped()
        return control

    return pedit


def _munge(buffer: bytearray, munge: Munge) -> bool:
    base = _header_at(buffer, munge.header)
    if base is None:
        return False
    at = base + munge.offset
    if at + 4 > len(buffer):
        return False
    word = int.from_bytes(buffer[at : at + 4], "big")
    if munge.add:
        # The kernel adds in its own byte order; within one byte of the word it is the same.
        value = _add(word, munge.value) & ~munge.mask
    else:
        value = munge.value
    buffer[at : at + 4] = ((word & munge.mask) ^ value).to_bytes(4, "big")
    return True


def _add(word: int, value: int) -> int:
    """Both as little-endian 32-bit numbers, as on the machines that TC runs on."""
    little = int.from_bytes(word.to_bytes(4, "big"), "little")
    little += int.from_bytes(value.to_bytes(4, "big"), "little")
    return int.from_bytes((little & 0xFFFFFFFF).to_bytes(4, "little"), "big")


def _header_at(buffer: bytearray, header: Header) -> int | None:
    """``pedit_skb_hdr_offset()``. For IPv4 the protocol is not looked at, for IPv6 it is."""
    if header is Header.ETH:
        # With an accelerated tag the Ethernet header that pedit sees is 14 bytes long.
        return 0
    at, protocol = network_header(bytes(buffer[:18]))
    if header in (Header.IPV4, Header.IPV6, Header.NETWORK):
        return at
    if protocol == ETH_IPV4:
        return at + (buffer[at] & 0x0F) * 4 if len(buffer) - at >= 20 else None
    if protocol == ETH_IPV6:
        wanted = 6 if header is Header.TCP else 17
        return _ipv6_find(buffer, at, wanted)
    return None


def _ipv6_find(buffer: bytearray, at: int, wanted: int) -> int | None:
    """``ipv6_find_hdr()``: the offset of the header `wanted`, behind extension headers."""
    if len(buffer) - at < 40:
        return None
    proto, at = buffer[at + 6], at + 40
    while proto != wanted:
        if proto not in (0, 43, 44, 51, 60) or len(buffer) - at < 8:
            return None
        if proto == PROTO_FRAGMENT and (buffer[at + 2] << 8 | buffer[at + 3]) & 0xFFF8:
            return None
        size = 8 if proto == PROTO_FRAGMENT else (buffer[at + 1] + 1) * 8
        if proto == 51:
            size = (buffer[at + 1] + 2) * 4
        proto, at = buffer[at], at + size
    return at


# -- csum ---------------------------------------------------------------------------------------


def make_csum(action: Csum, counter: Counter, engine: TcIngress) -> Execute:
    """``tcf_csum_act()``: a header that is cut short drops the packet."""
    which, control = action.which, action.control

    def csum(p: Pass) -> int:
        frame = p.packet.frame
        at, protocol = network_header(frame)
        while protocol in VLAN_TYPES and len(frame) - at >= 4:
            protocol, at = frame[at + 2] << 8 | frame[at + 3], at + 4
        buffer = bytearray(frame)
        ok = True
        if protocol == ETH_IPV4:
            ok = sum_ipv4(buffer, at, which)
        elif protocol == ETH_IPV6:
            ok = sum_ipv6(buffer, at, which)
        if not ok:
            counter.drops += 1
            p.drop = Drop.CHECKSUM
            return SHOT
        if (p.pieces or p.summed is not None) and sums_transport(frame, at, which):
            # To sum a payload that lies in fragments the kernel copies it into one piece.
            p.pieces = ()
            if p.summed is not None:
                p.summed.forget()
        if buffer != frame:
            _replace(p, bytes(buffer))
            p.changed()
        return control

    return csum


# -- vlan ---------------------------------------------------------------------------------------


def make_vlan(action: Vlan, counter: Counter, engine: TcIngress) -> Execute:
    """``tcf_vlan_act()``."""
    op, vid, protocol, prio = action.op, action.vid, action.protocol, action.prio
    control = action.control
    if op in (VlanOp.PUSH_ETH, VlanOp.POP_ETH):
        return _make_ethernet(action, counter)

    def vlan(p: Pass) -> int:
        frame = p.packet.frame
        tagged = frame[12] << 8 | frame[13] in VLAN_TYPES
        if op is VlanOp.PUSH:
            tci = vid | (prio or 0) << 13
            frame = frame[:12] + (protocol << 16 | tci).to_bytes(4, "big") + frame[12:]
        elif not tagged:
            return control
        elif op is VlanOp.POP:
            frame = frame[:12] + frame[16:]
        else:
            tci = (frame[14] << 8 | frame[15]) & 0xF000 | vid
            if prio is not None:
                tci = tci & 0x1FFF | prio << 13
            frame = frame[:12] + (protocol << 16 | tci).to_bytes(4, "big") + frame[16:]
        _replace(p, frame)
        p.retyped()
        return control

    return vlan


def _make_ethernet(action: Vlan, counter: Counter) -> Execute:
    """``skb_eth_pop()`` and ``skb_eth_push()``: neither works on a packet with a tag, and nothing
    is pushed onto a packet that has an Ethernet header.
    """
    addresses = (action.dst << 48 | action.src).to_bytes(12, "big")

    def refuse(p: Pass) -> int:
        counter.drops += 1
        p.drop = Drop.FILTER
        return SHOT

    def pop(p: Pass) -> int:
        if p.bare or p.protocol in VLAN_TYPES:
            return refuse(p)
        p.bare = True
        return action.control

    def push(p: Pass) -> int:
        if not p.bare:
            return refuse(p)
        p.bare = False
        _replace(p, addresses + p.packet.frame[12:])
        p.changed()
        return action.control

    return pop if action.op is VlanOp.POP_ETH else push


# -- mpls ---------------------------------------------------------------------------------------


def make_mpls(action: Mpls, counter: Counter, engine: TcIngress) -> Execute:
    """``tcf_mpls_act()``."""
    control = action.control

    def mpls(p: Pass) -> int:
        packet = p.packet
        frame = packet.frame
        at, protocol = network_header(frame)
        if action.op is MplsOp.PUSH:
            frame = _push_label(frame, at, protocol, action)
        elif protocol not in MPLS_TYPES:
            # Nothing to pop; a change needs a label to be there.
            if action.op is MplsOp.POP:
                return control
            return _mpls_fail(p, counter)
        elif len(frame) - at < 4:
            return _mpls_fail(p, counter)
        elif action.op is MplsOp.POP:
            frame = _typed(frame[:at] + frame[at + 4 :], at, action.protocol)
        else:
            entry = int.from_bytes(frame[at : at + 4], "big")
            if action.op is MplsOp.DEC_TTL:
                if entry & 0xFF <= 1:
                    return _mpls_fail(p, counter)
                entry -= 1
            else:
                entry = _label_entry(entry, action)
            frame = frame[:at] + entry.to_bytes(4, "big") + frame[at + 4 :]
        _replace(p, frame)
        p.retyped()
        return control

    return mpls


def _mpls_fail(p: Pass, counter: Counter) -> int:
    counter.drops += 1
    p.drop = Drop.FILTER
    return SHOT


def _push_label(frame: bytes, at: int, protocol: int, action: Mpls) -> bytes:
    bottom = 0 if protocol in MPLS_TYPES else 0x100
    entry = _label_entry(bottom | (0 if action.ttl is not None else 255), action)
    return _typed(frame[:at] + entry.to_bytes(4, "big") + frame[at:], at, action.protocol)


def _typed(frame: bytes, at: int, protocol: int) -> bytes:
    return frame[: at - 2] + protocol.to_bytes(2, "big") + frame[at:]


def _label_entry(entry: int, action: Mpls) -> int:
    """``tcf_mpls_get_lse()``: what the action names is set, the rest stays."""
    parts = ((action.label, 12, 20), (action.tc, 9, 3), (action.bos, 8, 1), (action.ttl, 0, 8))
    for value, low, width in parts:
        if value is not None:
            entry = entry & ~(((1 << width) - 1) << low) | value << low
    return entry


# -- skbedit ------------------------------------------------------------------------------------


def make_skbedit(action: Skbedit, counter: Counter, engine: TcIngress) -> Execute:
    """``tcf_skbedit_act()``: mark and priority travel beside the packet, as pkt_mark and so on.

    Queue and packet type are seen by nobody in this model but what comes after the packet left.
    """
    control = action.control
    mark, priority = action.mark, action.priority

    def skbedit(p: Pass) -> int:
        packet: Packet = p.packet
        if action.inherit:
            field = _ds_field(packet.frame)
            if field is not None:
                packet.key = _PRIORITY.put(packet.key, field >> 2)
        if mark is not None:
            value, mask = mark
            old = _MARK.get(packet.key)
            packet.key = _MARK.put(packet.key, old & ~mask | value & mask)
        if priority is not None:
            packet.key = _PRIORITY.put(packet.key, priority)
        return control

    return skbedit


def _ds_field(frame: bytes) -> int | None:
    """The DS field of an IP packet; None for any other."""
    at, protocol = network_header(frame)
    if protocol == ETH_IPV4 and len(frame) - at >= 20:
        return frame[at + 1]
    if protocol == ETH_IPV6 and len(frame) - at >= 40:
        return (frame[at] << 4 | frame[at + 1] >> 4) & 0xFF
    return None


# -- tunnel_key -----------------------------------------------------------------------------------

TUNNEL: Final = sum(slot.mask for name, slot in SLOTS.items() if name.startswith("tun_"))


def make_tunnel_key(action: TunnelKey, counter: Counter, engine: TcIngress) -> Execute:
    """``tunnel_key_act()``: what a tunnel device would send by, and flower's enc_* keys read."""
    control = action.control
    bits = 0
    if action.family:
        names = ("tun_src", "tun_dst") if action.family == 4 else ("tun_ipv6_src", "tun_ipv6_dst")
        for name, value in (
            (names[0], action.src), (names[1], action.dst), ("tun_id", action.key_id or 0),
            ("tun_tp_dst", action.dst_port), ("tun_tos", action.tos), ("tun_ttl", action.ttl),
        ):  # fmt: skip
            bits = SLOTS[name].put(bits, value)

    def tunnel_key(p: Pass) -> int:
        p.beside = p.beside & ~TUNNEL | bits
        p.changed()
        return control

    return tunnel_key
