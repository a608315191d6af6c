"""A packet on its way: the frame, its flow key, and where its headers are.

:func:`parse` goes from frame to key as OVS's ``miniflow_extract()`` (lib/flow.c, 3.1) does: a
header that is cut short or contradicts itself ends the extraction there, and the fields behind it
stay zero. Frames are immutable bytes, so that a fork of a packet is a copy of a few slots.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ovsct.packet.fields import FRAG_ANY, FRAG_LATER, SLOTS, VLAN_PRESENT

ETH_HEADER: Final = 14
DL_TYPE_NONE: Final = 0x05FF
"""What dl_type says of an 802.2 frame that has no Ethernet type (OVS: FLOW_DL_TYPE_NONE)."""

ETH_IPV4: Final = 0x0800
ETH_ARP: Final = 0x0806
ETH_RARP: Final = 0x8035
ETH_VLAN: Final = 0x8100
ETH_IPV6: Final = 0x86DD
ETH_MPLS: Final = 0x8847
ETH_MPLS_MCAST: Final = 0x8848
ETH_QINQ: Final = 0x88A8
ETH_NSH: Final = 0x894F
ETH_TEB: Final = 0x6558
"""Transparent Ethernet bridging: an Ethernet frame inside something else."""
VLAN_TYPES: Final = (ETH_VLAN, ETH_QINQ)
MPLS_TYPES: Final = (ETH_MPLS, ETH_MPLS_MCAST)

PROTO_ICMP: Final = 1
PROTO_IGMP: Final = 2
PROTO_TCP: Final = 6
PROTO_UDP: Final = 17
PROTO_FRAGMENT: Final = 44
PROTO_ICMPV6: Final = 58
PROTO_SCTP: Final = 132

PT_ETHERNET: Final = 0
"""The packet_type of a packet that begins with an Ethernet header."""

PT_ETHERTYPE: Final = 1 << 16
"""Added to an Ethernet type: the packet_type of one that begins with what that type says."""

PT_NSH: Final = PT_ETHERTYPE | ETH_NSH

VLAN_LIMIT: Final = 1
"""Tags that OVS looks behind unless ``other_config:vlan-limit`` says otherwise."""

_from_bytes = int.from_bytes

_S_ETH = SLOTS["dl_type"].shift
_S_IN_PORT = SLOTS["in_port"].shift
_S_ADDR = SLOTS["nw_dst"].shift
_S_PORTS = SLOTS["tp_dst"].shift
_S_TP_SRC = SLOTS["tp_src"].shift
_S_PROTO = SLOTS["nw_proto"].shift
_S_TTL = SLOTS["nw_ttl"].shift
_S_TOS = SLOTS["nw_tos"].shift
_S_FRAG = SLOTS["nw_frag"].shift
_S_FLAGS = SLOTS["tcp_flags"].shift
_S_VLAN = (SLOTS["vlan_tci"].shift, SLOTS["vlan_tci1"].shift)
_S_TPID = (SLOTS["vlan_tpid"].shift, SLOTS["vlan_tpid1"].shift)
_S_LSE = (SLOTS["mpls_lse"].shift, SLOTS["mpls_lse1"].shift, SLOTS["mpls_lse2"].shift)
_S_V6_ADDR = SLOTS["ipv6_dst"].shift
_S_LABEL = SLOTS["ipv6_label"].shift
_S_SHA = SLOTS["arp_sha"].shift
_S_THA = SLOTS["arp_tha"].shift
_S_ND_TARGET = SLOTS["nd_target"].shift
_S_ND_RESERVED = SLOTS["nd_reserved"].shift
_S_ND_OPTION = SLOTS["nd_options_type"].shift
_S_IGMP = SLOTS["igmp_group"].shift
_S_NSH = SLOTS["nsh_c4"].shift
_S_NSH_TTL = SLOTS["nsh_ttl"].shift
_S_NSH_FLAGS = SLOTS["nsh_flags"].shift
_PACKET_TYPE = SLOTS["packet_type"]


class Packet:
    """One packet inside a lane.

    `frame` is what would leave now; `key` its flow key with all metadata, the packet type that
    says whether the frame begins with an Ethernet header among them; `l3` and `l4` are the
    offsets of those headers in the frame (l4 0: not there), `end` the offset behind the last byte
    of the IP packet, padding left out. `conn` is the connection that conntrack attached, opaque to
    every other room, and `ct_info` the tracker's own note on how it is attached. `mru` is the
    size in bytes of the largest fragment it was reassembled from (0: it was not), and `pieces` the
    sizes of the data of all of them, in order of their offsets, as long as the packet is no copy.
    """

    __slots__ = ("conn", "ct_info", "end", "frame", "key", "l3", "l4", "mru", "pieces")

    def __init__(self, frame: bytes, key: int, l3: int, l4: int, end: int) -> None:
        self.frame = frame
        self.key = key
        self.l3 = l3
        self.l4 = l4
        self.end = end
        self.conn: object | None = None
        self.ct_info = 0
        self.mru = 0
        self.pieces: tuple[int, ...] = ()

    def fork(self) -> Packet:
        """A copy that can be changed without changing this one."""
        twin = Packet(self.frame, self.key, self.l3, self.l4, self.end)
        twin.conn = self.conn
        twin.ct_info = self.ct_info
        twin.mru = self.mru
        return twin

    def reparse(self, frame: bytes, vlan_limit: int = 2) -> None:
        """Put `frame` in place of the present one; metadata in the key stays as it is."""
        packet_type = _PACKET_TYPE.get(self.key)
        fresh = parse_bare(frame, packet_type) if packet_type else parse(frame, 0, vlan_limit)
        self.frame = frame
        self.key = (self.key & METADATA_KEEP) | fresh.key
        self.l3 = fresh.l3
        self.l4 = fresh.l4
        self.end = fresh.end


HEADER_SLOTS: Final = (
    "tcp_flags", "nw_frag", "nw_tos", "nw_ttl", "nw_proto", "tp_dst", "tp_src", "nw_dst", "nw_src",
    "dl_type", "dl_src", "dl_dst", "vlan_tci", "vlan_tpid", "vlan_tci1", "vlan_tpid1", "ipv6_dst",
    "ipv6_src", "ipv6_label", "arp_sha", "arp_tha", "nd_target", "nd_reserved", "nd_options_type",
    "mpls_lse", "mpls_lse1", "mpls_lse2", "igmp_group", "nsh_flags", "nsh_ttl", "nsh_mdtype",
    "nsh_np", "nsh_path_hdr", "nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4",
)  # fmt: skip
"""The slots that are read from the frame; all others travel beside it."""

HEADER_MASK: Final = sum(SLOTS[name].mask for name in HEADER_SLOTS)
METADATA_KEEP: Final = ~HEADER_MASK


def parse(frame: bytes, in_port: int, vlan_limit: int = VLAN_LIMIT) -> Packet:
    """The packet that `frame` is when it comes in on datapath port `in_port`.

    Args:
        frame: the bytes from the destination address on, without FCS; 14 or more.
        in_port: datapath port number.
        vlan_limit: how many VLAN tags to look behind, 0 to 2 (``other_config:vlan-limit``).

    Raises:
        ValueError: the frame is shorter than an Ethernet header.
    """
    # The everyday packets first: untagged IPv4 without options, whole, with its TCP or UDP header.
    if frame[12:15] == b"\x08\x00\x45" and len(frame) >= 42 and not frame[20] & 0x3F | frame[21]:
        total = frame[16] << 8 | frame[17]
        if total <= len(frame) - 14:
            if (
                frame[23] == PROTO_TCP
                and total >= 40
                and 20 <= (frame[46] >> 4) * 4 <= total - 20
            ):
                return Packet(
                    frame,
                    in_port << _S_IN_PORT
                    | _from_bytes(frame[:14], "big") << _S_ETH
                    | _from_bytes(frame[26:38], "big") << _S_PORTS
                    | PROTO_TCP << _S_PROTO
                    | frame[22] << _S_TTL
                    | frame[15] << _S_TOS
                    | (frame[46] & 0x0F) << 8
                    | frame[47],
                    14,
                    34,
                    14 + total,
                )
            if frame[23] == PROTO_UDP and total >= 28:
                return Packet(
                    frame,
                    in_port << _S_IN_PORT
                    | _from_bytes(frame[:14], "big") << _S_ETH
                    | _from_bytes(frame[26:38], "big") << _S_PORTS
                    | PROTO_UDP << _S_PROTO
                    | frame[22] << _S_TTL
                    | frame[15] << _S_TOS,
                    14,
                    34,
                    14 + total,
                )
    if len(frame) < ETH_HEADER:
        raise ValueError(f"a frame of {len(frame)} bytes is shorter than an Ethernet header")
    return _parse_all(frame, in_port << _S_IN_PORT, vlan_limit)


def _parse_all(frame: bytes, key: int, vlan_limit: int) -> Packet:
    size = len(frame)
    key |= _from_bytes(frame[:12], "big") << (_S_ETH + 16)
    at = 12
    for tag in range(vlan_limit):
        tpid = frame[at] << 8 | frame[at + 1]
        # OVS parse_vlan(): a tag counts only if a type follows it.
        if tpid not in VLAN_TYPES or size - at < 6:
            break
        tci = frame[at + 2] << 8 | frame[at + 3]
        key |= tpid << _S_TPID[tag] | (tci | VLAN_PRESENT) << _S_VLAN[tag]
        at += 4
    dl_type = frame[at] << 8 | frame[at + 1]
    at += 2
    if dl_type < 0x0600:
        dl_type = DL_TYPE_NONE
        if size - at >= 8 and frame[at : at + 6] == b"\xaa\xaa\x03\0\0\0":
            snap = frame[at + 6] << 8 | frame[at + 7]
            if snap >= 0x0600:
                dl_type = snap
            at += 8
    return _behind_type(frame, key | dl_type << _S_ETH, at, dl_type)


def parse_bare(frame: bytes, packet_type: int) -> Packet:
    """The packet that begins with what `packet_type` says: an IP header, a label, an NSH header.

    The key has the packet type, and its Ethernet type as dl_type, but no port.
    """
    dl_type = packet_type & 0xFFFF
    key = packet_type << _PACKET_TYPE.shift | dl_type << _S_ETH
    return _behind_type(frame, key, 0, dl_type)


def _behind_type(frame: bytes, key: int, at: int, dl_type: int) -> Packet:
    size = len(frame)
    if dl_type in MPLS_TYPES:
        for count in range((size - at) // 4):
            lse = _from_bytes(frame[at : at + 4], "big")
            at += 4
            if count < len(_S_LSE):
                key |= lse << _S_LSE[count]
            if lse & 0x100:
                break
        return Packet(frame, key, at, 0, size)
    network = _NETWORK.get(dl_type)
    if network is None:
        return Packet(frame, key, at, 0, size)
    return network(frame, key, at, size)


def _ipv4(frame: bytes, key: int, at: int, size: int) -> Packet:
    if size - at < 20:
        return Packet(frame, key, at, 0, size)
    header = (frame[at] & 0x0F) * 4
    total = frame[at + 2] << 8 | frame[at + 3]
    # OVS ipv4_sanity_check(): lengths must fit, the version is not looked at.
    if header < 20 or total > size - at or header > total:
        return Packet(frame, key, at, 0, size)
    end = at + total
    offset = (frame[at + 6] << 8 | frame[at + 7]) & 0x3FFF
    frag = 0
    if offset:
        frag = FRAG_ANY | FRAG_LATER if offset & 0x1FFF else FRAG_ANY
    proto = frame[at + 9]
    key |= (
        _from_bytes(frame[at + 12 : at + 20], "big") << _S_ADDR
        | proto << _S_PROTO
        | frame[at + 8] << _S_TTL
        | frame[at + 1] << _S_TOS
        | frag << _S_FRAG
    )
    return transport(frame, key, at, at + header, end, proto, frag)


_V6_EXTENSIONS: Final = (0, 43, 60)
_V6_AH: Final = 51


def _ipv6(frame: bytes, key: int, at: int, size: int) -> Packet:
    if size - at < 40:
        return Packet(frame, key, at, 0, size)
    end = at + 40 + (frame[at + 4] << 8 | frame[at + 5])
    if end > size:
        return Packet(frame, key, at, 0, size)
    key |= _from_bytes(frame[at + 8 : at + 40], "big") << _S_V6_ADDR
    walked = walk_ipv6(frame, at, end)
    if walked is None:
        return Packet(frame, key, at, 0, end)
    l4, proto, frag = walked
    first = _from_bytes(frame[at : at + 4], "big")
    key |= (
        (first & 0xFFFFF) << _S_LABEL
        | ((first >> 20) & 0xFF) << _S_TOS
        | frame[at + 7] << _S_TTL
        | proto << _S_PROTO
        | frag << _S_FRAG
    )
    return transport(frame, key, at, l4, end, proto, frag)


def walk_ipv6(frame: bytes, at: int, end: int) -> tuple[int, int, int] | None:
    """Walk the extension headers of the IPv6 header at offset `at`.

    Returns the offset, protocol and fragment bits of what follows, or None if a header is cut
    short (OVS ``parse_ipv6_ext_hdrs__()``). A later fragment's protocol is 44.
    """
    proto = frame[at + 6]
    here = at + 40
    frag = 0
    while True:
        if proto in _V6_EXTENSIONS:
            if end - here < 8:
                return None
            proto, length = frame[here], (frame[here + 1] + 1) * 8
        elif proto == _V6_AH:
            if end - here < 8:
                return None
            proto, length = frame[here], (frame[here + 1] + 2) * 4
        elif proto == PROTO_FRAGMENT:
            if end - here < 8:
                return None
            proto, length = frame[here], 8
            offset = frame[here + 2] << 8 | frame[here + 3]
            if offset:
                frag = FRAG_ANY
                if offset & 0xFFF8:
                    return here + 8, PROTO_FRAGMENT, FRAG_ANY | FRAG_LATER
        else:
            return here, proto, frag
        if length > end - here:
            return None
        here += length


def transport(
    frame: bytes, key: int, l3: int, l4: int, end: int, proto: int, frag: int
) -> Packet:
    """The packet with what its transport header says, as far as that lies before `end`."""
    if frag & FRAG_LATER:
        return Packet(frame, key, l3, l4, end)
    size = end - l4
    if proto == PROTO_TCP:
        # OVS miniflow_extract(): a data offset that does not fit leaves ports and flags zero.
        if size >= 20 and 20 <= (frame[l4 + 12] >> 4) * 4 <= size:
            flags = (frame[l4 + 12] & 0x0F) << 8 | frame[l4 + 13]
            key |= _from_bytes(frame[l4 : l4 + 4], "big") << _S_PORTS | flags << _S_FLAGS
    elif proto == PROTO_UDP:
        if size >= 8:
            key |= _from_bytes(frame[l4 : l4 + 4], "big") << _S_PORTS
    elif proto == PROTO_SCTP:
        if size >= 12:
            key |= _from_bytes(frame[l4 : l4 + 4], "big") << _S_PORTS
    elif proto in (PROTO_ICMP, PROTO_IGMP):
        if size >= 8:
            key |= frame[l4] << _S_TP_SRC | frame[l4 + 1] << _S_PORTS
            if proto == PROTO_IGMP:
                key |= _from_bytes(frame[l4 + 4 : l4 + 8], "big") << _S_IGMP
    elif proto == PROTO_ICMPV6 and size >= 8:
        key |= frame[l4] << _S_TP_SRC | frame[l4 + 1] << _S_PORTS
        if frame[l4] in (135, 136) and frame[l4 + 1] == 0:
            key |= _neighbour(frame, l4, end)
    return Packet(frame, key, l3, l4, end)


def _neighbour(frame: bytes, l4: int, end: int) -> int:
    """Target and link-layer options of a neighbour message (OVS ``parse_icmpv6()``)."""
    key = _from_bytes(frame[l4 + 4 : l4 + 8], "big") << _S_ND_RESERVED
    at = l4 + 8
    if end - at < 16:
        return key
    found = {1: 0, 2: 0}
    first_option = 0
    target = _from_bytes(frame[at : at + 16], "big") << _S_ND_TARGET
    at += 16
    while end - at >= 8:
        option, length = frame[at], frame[at + 1] * 8
        if not length or length > end - at:
            break
        if option in found and length == 8:
            if found[option]:
                # The same option twice is an error, and of the message only this is kept.
                return key | first_option << _S_ND_OPTION
            found[option] = _from_bytes(frame[at + 2 : at + 8], "big")
            first_option = first_option or option
        at += length
    return (
        key
        | target
        | found[1] << _S_SHA
        | found[2] << _S_THA
        | first_option << _S_ND_OPTION
    )


def _arp(frame: bytes, key: int, at: int, size: int) -> Packet:
    if size - at >= 28 and frame[at : at + 6] == b"\0\1\x08\0\6\4":
        operation = frame[at + 6] << 8 | frame[at + 7]
        key |= (
            _from_bytes(frame[at + 14 : at + 18], "big") << SLOTS["nw_src"].shift
            | _from_bytes(frame[at + 24 : at + 28], "big") << _S_ADDR
            | _from_bytes(frame[at + 8 : at + 14], "big") << _S_SHA
            | _from_bytes(frame[at + 18 : at + 24], "big") << _S_THA
        )
        if operation <= 0xFF:
            key |= operation << _S_PROTO
    return Packet(frame, key, at, 0, size)


NSH_BASE: Final = 8
"""Bytes of an NSH header without metadata (RFC 8300)."""

NSH_TYPE1: Final = 24
"""Bytes of one with metadata of type 1: four contexts."""


def _nsh(frame: bytes, key: int, at: int, size: int) -> Packet:
    """OVS ``parse_nsh()``: version 0, whole, and of a length that fits its metadata type."""
    packet = Packet(frame, key, at, 0, size)
    if size - at < NSH_BASE or frame[at] >> 6:
        return packet
    length, kind = (frame[at + 1] & 0x3F) * 4, frame[at + 2]
    if length > size - at or (kind == 1 and length != NSH_TYPE1):
        return packet
    if kind == 2 and length < NSH_BASE:
        return packet
    # The slots lie as the header's bytes do, from the type of its metadata on.
    header = _from_bytes(frame[at + 2 : at + 8], "big") << 128
    if kind == 1:
        header |= _from_bytes(frame[at + 8 : at + 24], "big")
    first = frame[at] << 8 | frame[at + 1]
    packet.key |= (
        header << _S_NSH | (first >> 6 & 0x3F) << _S_NSH_TTL | (first >> 12 & 3) << _S_NSH_FLAGS
    )
    return packet


_NETWORK: Final[dict[int, Callable[[bytes, int, int, int], Packet]]] = {
    ETH_IPV4: _ipv4,
    ETH_IPV6: _ipv6,
    ETH_ARP: _arp,
    ETH_RARP: _arp,
    ETH_NSH: _nsh,
}
