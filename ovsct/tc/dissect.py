"""Frame to flower key, as the kernel's flow dissector does it (net/core/flow_dissector.c).

It reads what is there in the frame, not what an IP total length claims, and it does not read the
ports of a first fragment: flower calls it without FLOW_DISSECTOR_F_PARSE_1ST_FRAG.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.fields import SLOTS, VLAN_PRESENT
from ovsct.packet.packet import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_RARP,
    HEADER_MASK,
    MPLS_TYPES,
    PROTO_FRAGMENT,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    VLAN_TYPES,
    Packet,
)
from ovsct.tc.keys import ETH_P_802_2, ETH_P_802_3, FIRST_FRAG, FRAG

_S_TYPE: Final = SLOTS["dl_type"].shift
_S_MACS: Final = SLOTS["dl_src"].shift
_S_PROTO: Final = SLOTS["nw_proto"].shift
_S_TTL: Final = SLOTS["nw_ttl"].shift
_S_TOS: Final = SLOTS["nw_tos"].shift
_S_FRAG: Final = SLOTS["nw_frag"].shift
_S_ADDR: Final = SLOTS["nw_dst"].shift
_S_SRC: Final = SLOTS["nw_src"].shift
_S_PORTS: Final = SLOTS["tp_dst"].shift
_S_TP_SRC: Final = SLOTS["tp_src"].shift
_S_FLAGS: Final = SLOTS["tcp_flags"].shift
_S_V6: Final = SLOTS["ipv6_dst"].shift
_S_SHA: Final = SLOTS["arp_sha"].shift
_S_THA: Final = SLOTS["arp_tha"].shift
_S_TAGS: Final = (
    (SLOTS["vlan_tpid"].shift, SLOTS["vlan_tci"].shift),
    (SLOTS["vlan_tpid1"].shift, SLOTS["vlan_tci1"].shift),
)
_S_LSE: Final = tuple(SLOTS[name].shift for name in ("mpls_lse", "mpls_lse1", "mpls_lse2"))

_KIND: Final = (
    SLOTS["dl_type"].mask | SLOTS["nw_proto"].mask | SLOTS["nw_frag"].mask
    | SLOTS["vlan_tpid"].mask
)  # fmt: skip
_TCP4: Final = ETH_IPV4 << _S_TYPE | PROTO_TCP << _S_PROTO
_UDP4: Final = ETH_IPV4 << _S_TYPE | PROTO_UDP << _S_PROTO

_PORTS_AT: Final = {PROTO_TCP: 0, PROTO_UDP: 0, 33: 0, 50: 0, 51: 4, PROTO_SCTP: 0, 136: 0}
"""``proto_ports_offset()`` of include/linux/ip.h: TCP, UDP, DCCP, ESP, AH, SCTP, UDP-Lite."""

_ENCAPSULATED: Final = (47, 4, 41)
"""GRE, IPIP, IPv6: flower stops before what is inside (FLOW_DISSECTOR_F_STOP_BEFORE_ENCAP)."""
_V6_OPTIONS: Final = (0, 43, 60)
_PROTO_MPLS: Final = 137
_MAX_HEADERS: Final = 15
"""MAX_FLOW_DISSECT_HDRS."""

_from_bytes = int.from_bytes


def outer_protocol(frame: bytes) -> int:
    """What a filter's ``protocol`` is compared with: the outermost Ethernet type or TPID.

    ``skb_protocol(skb, false)`` after eth_type_trans(): a frame with a length has 802.2 or 802.3.
    """
    found = frame[12] << 8 | frame[13]
    if found >= 0x0600:
        return found
    return ETH_P_802_3 if frame[14:16] == b"\xff\xff" else ETH_P_802_2


def header_key(packet: Packet) -> int:
    """The part of the flower key that the dissector reads out of the frame of `packet`."""
    key = packet.key
    kind = key & _KIND
    # For a whole, well-formed TCP or UDP packet OVS and the dissector agree on every field.
    if kind == _TCP4:
        l4 = packet.l4
        if l4:
            size = packet.end - l4
            if size >= 20 and 20 <= (packet.frame[l4 + 12] >> 2 & 0x3C) <= size:
                return key & HEADER_MASK
    elif kind == _UDP4 and packet.l4 and packet.end - packet.l4 >= 8:
        return key & HEADER_MASK
    return dissect(packet.frame)


def dissect(frame: bytes) -> int:
    """The flower key of `frame`, ct keys left zero. `frame` has 14 bytes or more."""
    key = _from_bytes(frame[:12], "big") << _S_MACS
    protocol = outer_protocol(frame)
    at = 14
    tags = 0
    while protocol in VLAN_TYPES:
        if len(frame) - at < 4:
            break
        inner = frame[at + 2] << 8 | frame[at + 3]
        if tags < 2:
            s_tpid, s_tci = _S_TAGS[tags]
            tci = frame[at] << 8 | frame[at + 1] | VLAN_PRESENT
            key |= protocol << s_tpid | tci << s_tci
        elif tags == 2:
            # A third tag: what follows is read, but no key of flower's describes the tag, and
            # cvlan_ethtype says 802.1Q. Keeping that type as dl_type has the same effect.
            return key | protocol << _S_TYPE
        tags += 1
        at += 4
        protocol = _length_or_type(frame, at, inner) if tags == 1 else inner
    if protocol == ETH_IPV4:
        return key | _ipv4(frame, at)
    if protocol == ETH_IPV6:
        return key | _ipv6(frame, at)
    key |= protocol << _S_TYPE
    if protocol in (ETH_ARP, ETH_RARP):
        return key | _arp(frame, at)
    if protocol in MPLS_TYPES:
        return key | _mpls(frame, at) | _labels_there(frame, at) << _S_TTL
    return key


def _length_or_type(frame: bytes, at: int, inner: int) -> int:
    # vlan_set_encap_proto(), which is done for the tag that is taken off on reception only.
    if inner >= 0x0600:
        return inner
    return ETH_P_802_3 if frame[at : at + 2] == b"\xff\xff" else ETH_P_802_2


def _ipv4(frame: bytes, at: int) -> int:
    if len(frame) - at < 20 or frame[at] & 0x0F < 5:
        return ETH_IPV4 << _S_TYPE
    proto = frame[at + 9]
    key = (
        ETH_IPV4 << _S_TYPE
        | _from_bytes(frame[at + 12 : at + 20], "big") << _S_ADDR
        | proto << _S_PROTO
        | frame[at + 8] << _S_TTL
        | frame[at + 1] << _S_TOS
    )
    fragment = (frame[at + 6] << 8 | frame[at + 7]) & 0x3FFF
    if fragment:
        flags = FRAG if fragment & 0x1FFF else FRAG | FIRST_FRAG
        return key | flags << _S_FRAG
    at += (frame[at] & 0x0F) * 4
    if proto in _ENCAPSULATED:
        return key
    if proto == _PROTO_MPLS:
        return _mpls_in_ip(key, frame, at)
    return key | _transport(frame, at, proto)


def _ipv6(frame: bytes, at: int) -> int:
    if len(frame) - at < 40:
        return ETH_IPV6 << _S_TYPE
    proto = frame[at + 6]
    word = frame[at] << 8 | frame[at + 1]
    key = (
        ETH_IPV6 << _S_TYPE
        | _from_bytes(frame[at + 8 : at + 40], "big") << _S_V6
        | frame[at + 7] << _S_TTL
        | (word >> 4 & 0xFF) << _S_TOS
    )
    at += 40
    for _ in range(_MAX_HEADERS):
        if proto in _V6_OPTIONS:
            if len(frame) - at < 2:
                return key | proto << _S_PROTO
            proto, at = frame[at], at + (frame[at + 1] + 1) * 8
        elif proto == PROTO_FRAGMENT:
            if len(frame) - at < 8:
                return key | proto << _S_PROTO
            offset = (frame[at + 2] << 8 | frame[at + 3]) & 0xFFF8
            flags = FRAG if offset else FRAG | FIRST_FRAG
            return key | flags << _S_FRAG | frame[at] << _S_PROTO
        else:
            break
    key |= proto << _S_PROTO
    if proto in _ENCAPSULATED:
        return key
    if proto == _PROTO_MPLS:
        return _mpls_in_ip(key, frame, at)
    return key | _transport(frame, at, proto)


def _mpls_in_ip(key: int, frame: bytes, at: int) -> int:
    # The dissector goes on with MPLS, so that n_proto becomes MPLS: an `ip` filter sees it no more.
    type_mask = SLOTS["dl_type"].mask
    return (key & ~type_mask) | MPLS_TYPES[0] << _S_TYPE | _mpls(frame, at)


def _transport(frame: bytes, at: int, proto: int) -> int:
    size = len(frame) - at
    key = 0
    if proto == PROTO_TCP:
        if size >= 20 and frame[at + 12] >= 0x50:
            key = ((frame[at + 12] & 0x0F) << 8 | frame[at + 13]) << _S_FLAGS
    elif proto in (PROTO_ICMP, PROTO_ICMPV6):
        if size >= 8:
            key = frame[at] << _S_TP_SRC | frame[at + 1] << _S_PORTS
        return key
    offset = _PORTS_AT.get(proto)
    if offset is not None and size >= offset + 4:
        key |= _from_bytes(frame[at + offset : at + offset + 4], "big") << _S_PORTS
    return key


def _arp(frame: bytes, at: int) -> int:
    # Ethernet and IPv4, and request or reply only.
    if len(frame) - at < 28 or frame[at : at + 6] != b"\0\1\x08\0\6\4":
        return 0
    operation = frame[at + 6] << 8 | frame[at + 7]
    if operation not in (1, 2):
        return 0
    return (
        operation << _S_PROTO
        | _from_bytes(frame[at + 14 : at + 18], "big") << _S_SRC
        | _from_bytes(frame[at + 24 : at + 28], "big") << _S_ADDR
        | _from_bytes(frame[at + 8 : at + 14], "big") << _S_SHA
        | _from_bytes(frame[at + 18 : at + 24], "big") << _S_THA
    )


def _labels_there(frame: bytes, at: int) -> int:
    """``used_lses``: a bit for each label stack entry that is there, the outermost the lowest."""
    there = 0
    for number in range(len(_S_LSE)):
        if len(frame) - at < 4:
            break
        there |= 1 << number
        if frame[at + 2] & 1:
            break
        at += 4
    return there


def _mpls(frame: bytes, at: int) -> int:
    key = 0
    for shift in _S_LSE:
        if len(frame) - at < 4:
            break
        entry = _from_bytes(frame[at : at + 4], "big")
        key |= entry << shift
        if entry & 0x100:
            break
        at += 4
    return key
