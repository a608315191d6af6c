"""The field registry: one row a slot, one row a field; everything else reads these two tables.

The **flow key** is one Python int. Every *slot* has a fixed place in it; a *field* is a named view
on a slot or on a part of one, as OpenFlow, the datapath and TC flower know it. A mask is an int of
the same layout, a match is a pair (value, mask), and un-wildcarding is ``mask |= field.mask``.

What a plain IPv4 TCP packet uses lies at the low end, so that everyday keys are short ints; the
registers and other OpenFlow-only state lie at the high end, so that a datapath key has none of it.

Widths in bits; values in host order. Names and numbers follow ovs-fields(7); the stages are the
segments of ``struct flow`` (OVS include/openvswitch/flow.h) that its classifier looks up in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class Stage(IntEnum):
    """The part of ``struct flow`` in which a slot lies: the order of staged look-up."""

    METADATA = 0
    L2 = 1
    L3 = 2
    L4 = 3


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the key: `shift` from the low end, `width` in bits, and its look-up stage."""

    name: str
    width: int
    stage: Stage
    shift: int

    @property
    def mask(self) -> int:
        """All bits of the slot, in place."""
        return ((1 << self.width) - 1) << self.shift

    @property
    def ones(self) -> int:
        """The slot's own all-ones value."""
        return (1 << self.width) - 1

    def get(self, key: int) -> int:
        """The slot's value in `key`."""
        return (key >> self.shift) & ((1 << self.width) - 1)

    def put(self, key: int, value: int) -> int:
        """`key` with the slot set to `value`."""
        return (key & ~self.mask) | (value << self.shift)


TUN_OPTIONS: Final = 64
"""How many Geneve options can be fields: tun_metadata0 to 63."""

# Low end first. The order inside the first group is that of the headers on the wire, so that a
# parser can move whole runs of bytes: eth_dst..dl_type is an Ethernet header, nw_src..nw_dst and
# tp_src..tp_dst are as in IPv4 and TCP, and dl_type..nw_proto is all that conntrack hashes.
_LAYOUT: Final = (
    ("tcp_flags", 16, Stage.L4),
    ("nw_frag", 8, Stage.L3),
    ("nw_tos", 8, Stage.L3),
    ("nw_ttl", 8, Stage.L3),
    ("nw_proto", 8, Stage.L3),
    ("tp_dst", 16, Stage.L4),
    ("tp_src", 16, Stage.L4),
    ("nw_dst", 32, Stage.L3),
    ("nw_src", 32, Stage.L3),
    ("dl_type", 16, Stage.L2),
    ("dl_src", 48, Stage.L2),
    ("dl_dst", 48, Stage.L2),
    ("in_port", 32, Stage.METADATA),
    ("recirc_id", 32, Stage.METADATA),
    ("ct_state", 8, Stage.METADATA),
    ("ct_zone", 16, Stage.METADATA),
    ("ct_mark", 32, Stage.METADATA),
    ("ct_nw_proto", 8, Stage.METADATA),
    ("ct_tp_dst", 16, Stage.L4),
    ("ct_tp_src", 16, Stage.L4),
    ("ct_nw_dst", 32, Stage.L3),
    ("ct_nw_src", 32, Stage.L3),
    ("vlan_tci", 16, Stage.L2),
    ("vlan_tpid", 16, Stage.L2),
    ("vlan_tci1", 16, Stage.L2),
    ("vlan_tpid1", 16, Stage.L2),
    ("pkt_mark", 32, Stage.METADATA),
    ("skb_priority", 32, Stage.METADATA),
    ("dp_hash", 32, Stage.METADATA),
    ("ct_label", 128, Stage.METADATA),
    ("ipv6_dst", 128, Stage.L3),
    ("ipv6_src", 128, Stage.L3),
    ("ipv6_label", 32, Stage.L3),
    ("arp_sha", 48, Stage.L4),
    ("arp_tha", 48, Stage.L4),
    ("nd_target", 128, Stage.L4),
    ("nd_reserved", 32, Stage.L4),
    ("nd_options_type", 8, Stage.L4),
    ("mpls_lse", 32, Stage.L2),
    ("mpls_lse1", 32, Stage.L2),
    ("mpls_lse2", 32, Stage.L2),
    ("ct_ipv6_dst", 128, Stage.L3),
    ("ct_ipv6_src", 128, Stage.L3),
    ("igmp_group", 32, Stage.L4),
    ("tun_id", 64, Stage.METADATA),
    ("tun_dst", 32, Stage.METADATA),
    ("tun_src", 32, Stage.METADATA),
    ("tun_ipv6_dst", 128, Stage.METADATA),
    ("tun_ipv6_src", 128, Stage.METADATA),
    ("tun_flags", 16, Stage.METADATA),
    ("tun_tos", 8, Stage.METADATA),
    ("tun_ttl", 8, Stage.METADATA),
    ("tun_tp_dst", 16, Stage.METADATA),
    ("tun_tp_src", 16, Stage.METADATA),
    ("tun_gbp_id", 16, Stage.METADATA),
    ("tun_gbp_flags", 8, Stage.METADATA),
    ("packet_type", 32, Stage.METADATA),
    # Up to actset_output nothing is ever part of a datapath key.
    ("metadata", 64, Stage.METADATA),
    *((f"reg{n}", 32, Stage.METADATA) for n in range(15, -1, -1)),
    ("conj_id", 32, Stage.METADATA),
    ("actset_output", 32, Stage.METADATA),
    # What next to no packet has.
    ("tun_erspan_ver", 4, Stage.METADATA),
    ("tun_erspan_idx", 20, Stage.METADATA),
    ("tun_erspan_dir", 1, Stage.METADATA),
    ("tun_erspan_hwid", 6, Stage.METADATA),
    ("tun_gtpu_flags", 8, Stage.METADATA),
    ("tun_gtpu_msgtype", 8, Stage.METADATA),
    # As they lie in an NSH header: the last 20 bytes from nsh_c4 up are one run.
    ("nsh_c4", 32, Stage.L4),
    ("nsh_c3", 32, Stage.L4),
    ("nsh_c2", 32, Stage.L4),
    ("nsh_c1", 32, Stage.L4),
    ("nsh_path_hdr", 32, Stage.L4),
    ("nsh_np", 8, Stage.L4),
    ("nsh_mdtype", 8, Stage.L4),
    ("nsh_ttl", 8, Stage.L4),
    ("nsh_flags", 8, Stage.L4),
    # Geneve options, each of the 124 bytes that it can have, and which of them are there.
    ("tun_present", TUN_OPTIONS, Stage.METADATA),
    *((f"tun_metadata{n}", 992, Stage.METADATA) for n in range(TUN_OPTIONS)),
)


def _place() -> Iterator[Slot]:
    shift = 0
    for name, width, stage in _LAYOUT:
        yield Slot(name, width, stage, shift)
        shift += width


SLOTS: Final[dict[str, Slot]] = {slot.name: slot for slot in _place()}
"""Every slot by name, low end first."""

KEY_BITS: Final = sum(slot.width for slot in SLOTS.values())
"""Width of a whole OpenFlow key."""

OPENFLOW_MASK: Final = sum(
    slot.mask
    for name, slot in SLOTS.items()
    if name.startswith("reg") or name in ("metadata", "conj_id", "actset_output")
)
"""The bits that OpenFlow tables see and datapaths do not: registers, metadata and their like."""

DATAPATH_MASK: Final = ((1 << KEY_BITS) - 1) & ~OPENFLOW_MASK
"""The bits that a datapath key can have: no registers, metadata or other OpenFlow-only state."""



class Format(StrEnum):
    """How a value is written in flows."""

    DECIMAL = "decimal"
    HEX = "hex"
    ETHERNET = "ethernet"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    PORT = "port"
    """An OpenFlow port number or reserved name."""
    FRAG = "frag"
    """no, yes, first, later, not_later."""
    CT_STATE = "ct_state"
    TCP_FLAGS = "tcp_flags"
    TUN_FLAGS = "tun_flags"
    PACKET_TYPE = "packet_type"


class Prereq(StrEnum):
    """What else a match must say before it may name the field (ovs-fields(7), "Prerequisites")."""

    NONE = "none"
    ETHERNET = "Ethernet"
    VLAN = "VLAN VID"
    ARP = "ARP"
    IPV4 = "IPv4"
    IPV6 = "IPv6"
    IP = "IPv4/IPv6"
    MPLS = "MPLS"
    NSH = "NSH"
    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"
    ICMPV4 = "ICMPv4"
    ICMPV6 = "ICMPv6"
    ND = "ND"
    ND_SOLICIT = "ND solicit"
    ND_ADVERT = "ND advert"
    CT = "CT"
    CT_IPV4 = "CT IPv4"
    CT_IPV6 = "CT IPv6"


NXM_OF: Final = 0x0000
NXM_NX: Final = 0x0001
OXM: Final = 0x8000
OXM_XREG: Final = 0x8001


@dataclass(frozen=True, slots=True)
class Field:
    """A named view on a slot: one row of ovs-fields(7).

    `low` and `width` say which bits of the slot it is; `numbers` are its (class, field) pairs as
    NXM or OXM headers, the one that OVS prefers first; `datapath` is the key of the datapath's
    flow format that holds it, as (attribute, member), `flower` the key that ``tc`` calls it.
    """

    name: str
    slot: str
    width: int
    format: Format
    prereq: Prereq = Prereq.NONE
    low: int = 0
    maskable: bool = True
    writable: bool = True
    aliases: tuple[str, ...] = ()
    numbers: tuple[tuple[int, int], ...] = ()
    datapath: tuple[str, str] | None = None
    flower: str | None = None
    shift: int = 0
    """Distance of its lowest bit from the low end of the key; filled in from the slot."""
    mask: int = 0
    """All its bits, in place; filled in from the slot."""
    wire_width: int = 0
    """Width in OpenFlow where that is not `width` (OVS keeps only 8 bits of an ARP operation)."""

    @property
    def ones(self) -> int:
        """The field's own all-ones value."""
        return (1 << self.width) - 1

    def get(self, key: int) -> int:
        """The field's value in `key`."""
        return (key >> self.shift) & ((1 << self.width) - 1)

    def put(self, key: int, value: int) -> int:
        """`key` with the field set to `value`."""
        return (key & ~self.mask) | (value << self.shift)


_D, _H, _E = Format.DECIMAL, Format.HEX, Format.ETHERNET
_P = Prereq


def _field(
    name: str,
    width: int,
    fmt: Format = _H,
    prereq: Prereq = _P.NONE,
    slot: str = "",
    *,
    low: int = 0,
    flags: str = "mw",
    aka: str = "",
    nxm: int | None = None,
    nx: int | None = None,
    oxm: int | None = None,
    xreg: int | None = None,
    dp: str = "",
    flower: str = "",
    wire: int = 0,
) -> Field:
    """One row. `flags`: m maskable, w writable; `dp`: attribute.member of the datapath format."""
    place = SLOTS[slot or name]
    pairs = ((OXM, oxm), (OXM_XREG, xreg), (NXM_OF, nxm), (NXM_NX, nx))
    attribute, _, member = dp.partition(".")
    shift = place.shift + low
    return Field(
        name=name,
        slot=place.name,
        width=width,
        format=fmt,
        prereq=prereq,
        low=low,
        maskable="m" in flags,
        writable="w" in flags,
        aliases=tuple(aka.split()),
        numbers=tuple((kind, number) for kind, number in pairs if number is not None),
        datapath=(attribute, member) if dp else None,
        flower=flower or None,
        shift=shift,
        mask=((1 << width) - 1) << shift,
        wire_width=wire or width,
    )


def _registers() -> Iterator[Field]:
    for n in range(16):
        yield _field(f"reg{n}", 32, nx=n)
    for n in range(8):
        yield _field(f"xreg{n}", 64, slot=f"reg{2 * n + 1}", xreg=n)
    for n in range(4):
        yield _field(f"xxreg{n}", 128, slot=f"reg{4 * n + 3}", nx=111 + n)


_ROWS: Final = (
    # Conntrack, recirculation and what else travels beside the packet.
    _field("dp_hash", 32, nx=35, flags="m", dp="dp_hash.", flower="hash"),
    _field("recirc_id", 32, _D, nx=36, flags="", dp="recirc_id.", flower="chain"),
    _field("conj_id", 32, _D, nx=37, flags=""),
    _field("packet_type", 32, Format.PACKET_TYPE, oxm=44, flags=""),
    _field("tun_id", 64, nx=16, oxm=38, aka="tunnel_id", dp="tunnel.tun_id", flower="enc_key_id"),
    _field("tun_src", 32, Format.IPV4, nx=31, dp="tunnel.src", flower="enc_src_ip"),
    _field("tun_dst", 32, Format.IPV4, nx=32, dp="tunnel.dst", flower="enc_dst_ip"),
    _field("tun_ipv6_src", 128, Format.IPV6, nx=109, dp="tunnel.ipv6_src", flower="enc_src_ip"),
    _field("tun_ipv6_dst", 128, Format.IPV6, nx=110, dp="tunnel.ipv6_dst", flower="enc_dst_ip"),
    _field("tun_flags", 1, Format.TUN_FLAGS, nx=104, dp="tunnel.flags", flower="enc_flags"),
    _field("tun_ttl", 8, _D, flags="m", dp="tunnel.ttl", flower="enc_ttl"),
    _field("tun_tos", 8, _H, flags="m", dp="tunnel.tos", flower="enc_tos"),
    _field("tun_gbp_id", 16, _D, nx=38, dp="tunnel.gbp"),
    _field("tun_gbp_flags", 8, _H, nx=39, dp="tunnel.gbp"),
    _field("tun_erspan_ver", 4, _D, dp="tunnel.erspan"),
    _field("tun_erspan_idx", 20, _H, dp="tunnel.erspan"),
    _field("tun_erspan_dir", 1, _D, dp="tunnel.erspan"),
    _field("tun_erspan_hwid", 6, _H, dp="tunnel.erspan"),
    # OVS prints these two without "tun_", and cannot read that itself.
    _field("tun_gtpu_flags", 8, _H, flags="m", aka="gtpu_flags", dp="tunnel.gtpu"),
    _field("tun_gtpu_msgtype", 8, _D, flags="m", aka="gtpu_msgtype", dp="tunnel.gtpu"),
    *(_field(f"tun_metadata{n}", 992, _H, nx=40 + n, dp="tunnel.geneve")
      for n in range(TUN_OPTIONS)),
    _field("in_port", 32, Format.PORT, nxm=0, flags="w", dp="in_port.", wire=16),
    _field("in_port_oxm", 32, Format.PORT, slot="in_port", oxm=0, flags="w"),
    _field("actset_output", 32, Format.PORT, oxm=43, flags=""),
    _field("skb_priority", 32, flags="m", dp="skb_priority."),
    _field("pkt_mark", 32, nx=33, dp="skb_mark."),
    _field("ct_state", 8, Format.CT_STATE, nx=105, flags="m", dp="ct_state.", flower="ct_state"),
    _field("ct_zone", 16, _H, nx=106, flags="", dp="ct_zone.", flower="ct_zone"),
    _field("ct_mark", 32, nx=107, dp="ct_mark.", flower="ct_mark"),
    _field("ct_label", 128, nx=108, dp="ct_label.", flower="ct_label"),
    _field("ct_nw_proto", 8, _D, _P.CT, nx=119, flags="", dp="ct_tuple.proto"),
    _field("ct_nw_src", 32, Format.IPV4, _P.CT_IPV4, nx=120, flags="m", dp="ct_tuple4.src"),
    _field("ct_nw_dst", 32, Format.IPV4, _P.CT_IPV4, nx=121, flags="m", dp="ct_tuple4.dst"),
    _field("ct_ipv6_src", 128, Format.IPV6, _P.CT_IPV6, nx=122, flags="m", dp="ct_tuple6.src"),
    _field("ct_ipv6_dst", 128, Format.IPV6, _P.CT_IPV6, nx=123, flags="m", dp="ct_tuple6.dst"),
    _field("ct_tp_src", 16, _D, _P.CT, nx=124, flags="m", dp="ct_tuple.tp_src"),
    _field("ct_tp_dst", 16, _D, _P.CT, nx=125, flags="m", dp="ct_tuple.tp_dst"),
    _field("metadata", 64, oxm=2),
    *_registers(),
    # Layer 2.
    _field("eth_src", 48, _E, _P.ETHERNET, "dl_src", nxm=2, oxm=4, aka="dl_src", dp="eth.src",
           flower="src_mac"),
    _field("eth_dst", 48, _E, _P.ETHERNET, "dl_dst", nxm=1, oxm=3, aka="dl_dst", dp="eth.dst",
           flower="dst_mac"),
    _field("eth_type", 16, _H, _P.ETHERNET, "dl_type", nxm=3, oxm=5, aka="dl_type", flags="",
           dp="eth_type.", flower="eth_type"),
    _field("vlan_tci", 16, _H, _P.ETHERNET, nxm=4, dp="vlan.tci"),
    _field("dl_vlan", 12, _D, _P.ETHERNET, "vlan_tci", flags="w", dp="vlan.vid", flower="vlan_id"),
    _field("dl_vlan_pcp", 3, _D, _P.ETHERNET, "vlan_tci", low=13, flags="w", dp="vlan.pcp",
           flower="vlan_prio"),
    _field("vlan_vid", 13, _D, _P.ETHERNET, "vlan_tci", oxm=6, dp="vlan.vid", flower="vlan_id"),
    _field("vlan_pcp", 3, _D, _P.VLAN, "vlan_tci", low=13, oxm=7, flags="w", dp="vlan.pcp",
           flower="vlan_prio"),
    _field("mpls_label", 20, _D, _P.MPLS, "mpls_lse", low=12, oxm=34, flags="w", dp="mpls.label",
           flower="mpls_label"),
    _field("mpls_tc", 3, _D, _P.MPLS, "mpls_lse", low=9, oxm=35, flags="w", dp="mpls.tc",
           flower="mpls_tc"),
    _field("mpls_bos", 1, _D, _P.MPLS, "mpls_lse", low=8, oxm=36, flags="", dp="mpls.bos",
           flower="mpls_bos"),
    _field("mpls_ttl", 8, _D, _P.MPLS, "mpls_lse", nx=30, flags="w", dp="mpls.ttl",
           flower="mpls_ttl"),
    # Layer 3.
    _field("ip_src", 32, Format.IPV4, _P.IPV4, "nw_src", nxm=7, oxm=11, aka="nw_src",
           dp="ipv4.src", flower="src_ip"),
    _field("ip_dst", 32, Format.IPV4, _P.IPV4, "nw_dst", nxm=8, oxm=12, aka="nw_dst",
           dp="ipv4.dst", flower="dst_ip"),
    _field("ipv6_src", 128, Format.IPV6, _P.IPV6, nx=19, oxm=26, dp="ipv6.src", flower="src_ip"),
    _field("ipv6_dst", 128, Format.IPV6, _P.IPV6, nx=20, oxm=27, dp="ipv6.dst", flower="dst_ip"),
    _field("ipv6_label", 20, _H, _P.IPV6, nx=27, oxm=28, dp="ipv6.label"),
    _field("nw_proto", 8, _D, _P.IP, nxm=6, oxm=10, aka="ip_proto", flags="", dp="ip.proto",
           flower="ip_proto"),
    _field("nw_tos", 8, _D, _P.IP, nxm=5, flags="w", dp="ip.tos", flower="ip_tos"),
    _field("ip_dscp", 6, _D, _P.IP, "nw_tos", low=2, oxm=8, flags="w", dp="ip.tos",
           flower="ip_tos"),
    _field("nw_ecn", 2, _D, _P.IP, "nw_tos", nx=28, oxm=9, aka="ip_ecn", flags="w", dp="ip.tos",
           flower="ip_tos"),
    _field("nw_ttl", 8, _D, _P.IP, nx=29, flags="w", dp="ip.ttl", flower="ip_ttl"),
    _field("ip_frag", 2, Format.FRAG, _P.IP, "nw_frag", nx=26, flags="m", aka="nw_frag",
           dp="ip.frag", flower="ip_flags"),
    _field("arp_op", 8, _D, _P.ARP, "nw_proto", nxm=15, oxm=21, flags="w", dp="arp.op",
           flower="arp_op", wire=16),
    _field("arp_spa", 32, Format.IPV4, _P.ARP, "nw_src", nxm=16, oxm=22, dp="arp.sip",
           flower="arp_sip"),
    _field("arp_tpa", 32, Format.IPV4, _P.ARP, "nw_dst", nxm=17, oxm=23, dp="arp.tip",
           flower="arp_tip"),
    _field("arp_sha", 48, _E, _P.ARP, nx=17, oxm=24, dp="arp.sha", flower="arp_sha"),
    _field("arp_tha", 48, _E, _P.ARP, nx=18, oxm=25, dp="arp.tha", flower="arp_tha"),
    # Layer 4.
    _field("tcp_src", 16, _D, _P.TCP, "tp_src", nxm=9, oxm=13, aka="tp_src", dp="tcp.src",
           flower="src_port"),
    _field("tcp_dst", 16, _D, _P.TCP, "tp_dst", nxm=10, oxm=14, aka="tp_dst", dp="tcp.dst",
           flower="dst_port"),
    _field("tcp_flags", 12, Format.TCP_FLAGS, _P.TCP, nx=34, oxm=42, flags="m",
           dp="tcp_flags.", flower="tcp_flags"),
    _field("udp_src", 16, _D, _P.UDP, "tp_src", nxm=11, oxm=15, aka="tp_src", dp="udp.src",
           flower="src_port"),
    _field("udp_dst", 16, _D, _P.UDP, "tp_dst", nxm=12, oxm=16, aka="tp_dst", dp="udp.dst",
           flower="dst_port"),
    _field("sctp_src", 16, _D, _P.SCTP, "tp_src", oxm=17, aka="tp_src", dp="sctp.src",
           flower="src_port"),
    _field("sctp_dst", 16, _D, _P.SCTP, "tp_dst", oxm=18, aka="tp_dst", dp="sctp.dst",
           flower="dst_port"),
    _field("icmp_type", 8, _D, _P.ICMPV4, "tp_src", nxm=13, oxm=19, flags="w", dp="icmp.type",
           flower="type"),
    _field("icmp_code", 8, _D, _P.ICMPV4, "tp_dst", nxm=14, oxm=20, flags="w", dp="icmp.code",
           flower="code"),
    _field("icmpv6_type", 8, _D, _P.ICMPV6, "tp_src", nx=21, oxm=29, flags="w",
           dp="icmpv6.type", flower="type"),
    _field("icmpv6_code", 8, _D, _P.ICMPV6, "tp_dst", nx=22, oxm=30, flags="w",
           dp="icmpv6.code", flower="code"),
    _field("nd_target", 128, Format.IPV6, _P.ND, nx=23, oxm=31, dp="nd.target"),
    _field("nd_sll", 48, _E, _P.ND_SOLICIT, "arp_sha", nx=24, oxm=32, dp="nd.sll"),
    _field("nd_tll", 48, _E, _P.ND_ADVERT, "arp_tha", nx=25, oxm=33, dp="nd.tll"),
    _field("nd_reserved", 32, _D, _P.ND, flags="w", dp="nd_ext.nd_reserved"),
    _field("nd_options_type", 8, _D, _P.ND, flags="w", dp="nd_ext.nd_options_type"),
    # Network service headers.
    _field("nsh_flags", 8, _D, _P.NSH, dp="nsh.flags"),
    _field("nsh_mdtype", 8, _D, _P.NSH, flags="", dp="nsh.mdtype"),
    _field("nsh_np", 8, _D, _P.NSH, flags="", dp="nsh.np"),
    _field("nsh_spi", 24, _H, _P.NSH, "nsh_path_hdr", low=8, flags="w", aka="nsp", dp="nsh.spi"),
    _field("nsh_si", 8, _D, _P.NSH, "nsh_path_hdr", flags="w", aka="nsi", dp="nsh.si"),
    *(_field(f"nsh_c{n}", 32, _H, _P.NSH, aka=f"nshc{n}", dp=f"nsh.c{n}") for n in (1, 2, 3, 4)),
    _field("nsh_ttl", 8, _D, _P.NSH, flags="w", dp="nsh.ttl"),
)

FIELDS: Final[dict[str, Field]] = {field.name: field for field in _ROWS}
"""Every field by its OVS name."""

VALUE_IS_MASK: Final = frozenset(
    ("tun_erspan_ver", "tun_erspan_dir", "tun_erspan_hwid", "tun_gtpu_flags", "tun_gtpu_msgtype")
)
"""Fields of which OVS takes the value for the mask, too: a match on 2 takes 3 for an answer, one on
0 takes anything (lib/match.c match_set_tun_erspan_ver_masked() and its kin)."""

TUN_PRESENT: Final = tuple(1 << SLOTS["tun_present"].shift + n for n in range(TUN_OPTIONS))
"""For each Geneve option the bit of the key that says that the packet has it."""

PRESENT_BIT: Final[dict[str, int]] = {
    f"tun_metadata{n}": bit for n, bit in enumerate(TUN_PRESENT)
}
"""The same by the name of the field."""

TUN_METADATA_MASK: Final = SLOTS["tun_present"].mask | sum(
    SLOTS[name].mask for name in PRESENT_BIT
)
"""All Geneve options, and which of them are there."""

# Bits of ct_state: OVS lib/packets.h CS_STATES.
CT_NEW: Final = 0x01
CT_EST: Final = 0x02
CT_REL: Final = 0x04
CT_RPL: Final = 0x08
CT_INV: Final = 0x10
CT_TRK: Final = 0x20
CT_SNAT: Final = 0x40
CT_DNAT: Final = 0x80

CT_STATE_NAMES: Final = (
    ("new", CT_NEW), ("est", CT_EST), ("rel", CT_REL), ("rpl", CT_RPL),
    ("inv", CT_INV), ("trk", CT_TRK), ("snat", CT_SNAT), ("dnat", CT_DNAT),
)  # fmt: skip
"""ct_state flags in the order in which OVS prints them."""

# Bits of nw_frag: OVS lib/flow.h.
FRAG_ANY: Final = 1
FRAG_LATER: Final = 2

# Bit 12 of a TCI in the key says "there is a tag" (OVS: VLAN_CFI).
VLAN_PRESENT: Final = 0x1000

TCP_FLAG_NAMES: Final = (
    ("fin", 0x001), ("syn", 0x002), ("rst", 0x004), ("psh", 0x008), ("ack", 0x010),
    ("urg", 0x020), ("ece", 0x040), ("cwr", 0x080), ("ns", 0x100),
    ("[200]", 0x200), ("[400]", 0x400), ("[800]", 0x800),
)  # fmt: skip

CT_TUPLE_MASK: Final = sum(
    SLOTS[name].mask
    for name in ("ct_nw_proto", "ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst",
                 "ct_tp_src", "ct_tp_dst")
)  # fmt: skip
"""The original-direction tuple."""

CT_MASK: Final = CT_TUPLE_MASK | sum(
    SLOTS[name].mask for name in ("ct_state", "ct_zone", "ct_mark", "ct_label")
)
"""Everything that ct() sets and ct_clear clears."""
