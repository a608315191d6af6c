"""The names of fields: OVS's own, their aliases, and those of NXM and OXM.

NXM and OXM names are those of OVS include/openvswitch/meta-flow.h; of a field's names the one that
OVS prints in ``load``, ``move`` and the like stands first (the NXM name, if there is one).
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.fields import FIELDS, TUN_OPTIONS, Field

_WIRE_NAMES: Final = """
dp_hash NXM_NX_DP_HASH NXOXM_ET_DP_HASH
recirc_id NXM_NX_RECIRC_ID
packet_type OXM_OF_PACKET_TYPE
conj_id NXM_NX_CONJ_ID
tun_id NXM_NX_TUN_ID OXM_OF_TUNNEL_ID
tun_src NXM_NX_TUN_IPV4_SRC
tun_dst NXM_NX_TUN_IPV4_DST
tun_ipv6_src NXM_NX_TUN_IPV6_SRC
tun_ipv6_dst NXM_NX_TUN_IPV6_DST
tun_flags NXM_NX_TUN_FLAGS
tun_gbp_id NXM_NX_TUN_GBP_ID
tun_gbp_flags NXM_NX_TUN_GBP_FLAGS
tun_erspan_idx NXOXM_ET_ERSPAN_IDX
tun_erspan_ver NXOXM_ET_ERSPAN_VER
tun_erspan_dir NXOXM_ET_ERSPAN_DIR
tun_erspan_hwid NXOXM_ET_ERSPAN_HWID
tun_gtpu_flags NXOXM_ET_GTPU_FLAGS
tun_gtpu_msgtype NXOXM_ET_GTPU_MSGTYPE
metadata OXM_OF_METADATA
in_port NXM_OF_IN_PORT
in_port_oxm OXM_OF_IN_PORT
actset_output OXM_OF_ACTSET_OUTPUT
pkt_mark NXM_NX_PKT_MARK
ct_state NXM_NX_CT_STATE
ct_zone NXM_NX_CT_ZONE
ct_mark NXM_NX_CT_MARK
ct_label NXM_NX_CT_LABEL
ct_nw_proto NXM_NX_CT_NW_PROTO
ct_nw_src NXM_NX_CT_NW_SRC
ct_nw_dst NXM_NX_CT_NW_DST
ct_ipv6_src NXM_NX_CT_IPV6_SRC
ct_ipv6_dst NXM_NX_CT_IPV6_DST
ct_tp_src NXM_NX_CT_TP_SRC
ct_tp_dst NXM_NX_CT_TP_DST
eth_src NXM_OF_ETH_SRC OXM_OF_ETH_SRC
eth_dst NXM_OF_ETH_DST OXM_OF_ETH_DST
eth_type NXM_OF_ETH_TYPE OXM_OF_ETH_TYPE
vlan_tci NXM_OF_VLAN_TCI
vlan_vid OXM_OF_VLAN_VID
vlan_pcp OXM_OF_VLAN_PCP
mpls_label OXM_OF_MPLS_LABEL
mpls_tc OXM_OF_MPLS_TC
mpls_bos OXM_OF_MPLS_BOS
mpls_ttl NXM_NX_MPLS_TTL
ip_src NXM_OF_IP_SRC OXM_OF_IPV4_SRC
ip_dst NXM_OF_IP_DST OXM_OF_IPV4_DST
ipv6_src NXM_NX_IPV6_SRC OXM_OF_IPV6_SRC
ipv6_dst NXM_NX_IPV6_DST OXM_OF_IPV6_DST
ipv6_label NXM_NX_IPV6_LABEL OXM_OF_IPV6_FLABEL
nw_proto NXM_OF_IP_PROTO OXM_OF_IP_PROTO
nw_tos NXM_OF_IP_TOS
ip_dscp OXM_OF_IP_DSCP
nw_ecn NXM_NX_IP_ECN OXM_OF_IP_ECN
nw_ttl NXM_NX_IP_TTL
ip_frag NXM_NX_IP_FRAG
arp_op NXM_OF_ARP_OP OXM_OF_ARP_OP
arp_spa NXM_OF_ARP_SPA OXM_OF_ARP_SPA
arp_tpa NXM_OF_ARP_TPA OXM_OF_ARP_TPA
arp_sha NXM_NX_ARP_SHA OXM_OF_ARP_SHA
arp_tha NXM_NX_ARP_THA OXM_OF_ARP_THA
tcp_src NXM_OF_TCP_SRC OXM_OF_TCP_SRC
tcp_dst NXM_OF_TCP_DST OXM_OF_TCP_DST
tcp_flags NXM_NX_TCP_FLAGS OXM_OF_TCP_FLAGS
udp_src NXM_OF_UDP_SRC OXM_OF_UDP_SRC
udp_dst NXM_OF_UDP_DST OXM_OF_UDP_DST
sctp_src OXM_OF_SCTP_SRC
sctp_dst OXM_OF_SCTP_DST
icmp_type NXM_OF_ICMP_TYPE OXM_OF_ICMPV4_TYPE
icmp_code NXM_OF_ICMP_CODE OXM_OF_ICMPV4_CODE
icmpv6_type NXM_NX_ICMPV6_TYPE OXM_OF_ICMPV6_TYPE
icmpv6_code NXM_NX_ICMPV6_CODE OXM_OF_ICMPV6_CODE
nd_target NXM_NX_ND_TARGET OXM_OF_IPV6_ND_TARGET
nd_sll NXM_NX_ND_SLL OXM_OF_IPV6_ND_SLL
nd_tll NXM_NX_ND_TLL OXM_OF_IPV6_ND_TLL
nsh_flags NXOXM_NSH_FLAGS
nsh_mdtype NXOXM_NSH_MDTYPE
nsh_np NXOXM_NSH_NP
nsh_spi NXOXM_NSH_SPI
nsh_si NXOXM_NSH_SI
nsh_c1 NXOXM_NSH_C1
nsh_c2 NXOXM_NSH_C2
nsh_c3 NXOXM_NSH_C3
nsh_c4 NXOXM_NSH_C4
nsh_ttl NXOXM_NSH_TTL
nd_reserved ERICOXM_OF_ICMPV6_ND_RESERVED
nd_options_type ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE
"""


def _wire_names() -> dict[str, tuple[str, ...]]:
    table = {row.split()[0]: tuple(row.split()[1:]) for row in _WIRE_NAMES.split("\n") if row}
    for n in range(16):
        table[f"reg{n}"] = (f"NXM_NX_REG{n}",)
    for n in range(TUN_OPTIONS):
        table[f"tun_metadata{n}"] = (f"NXM_NX_TUN_METADATA{n}",)
    for n in range(8):
        table[f"xreg{n}"] = (f"OXM_OF_PKT_REG{n}",)
    for n in range(4):
        table[f"xxreg{n}"] = (f"NXM_NX_XXREG{n}",)
    return table


WIRE_NAMES: Final[dict[str, tuple[str, ...]]] = _wire_names()
"""NXM and OXM names of each field that has any, the printed one first."""


def _by_name() -> dict[str, Field]:
    table = dict(FIELDS)
    for field in FIELDS.values():
        for alias in field.aliases:
            table.setdefault(alias, field)  # tp_src is tcp_src first, as in OVS mf_from_name
    return table


BY_NAME: Final[dict[str, Field]] = _by_name()
"""Fields by the names that a match takes."""

BY_WIRE_NAME: Final[dict[str, Field]] = {
    name: FIELDS[field] for field, names in WIRE_NAMES.items() for name in names
}
"""Fields by their NXM and OXM names."""

def printed_name(field: Field) -> str:
    """The name by which OVS prints a field in ``field[bits]`` (nx-match.c mf_format_subfield)."""
    names = WIRE_NAMES.get(field.name)
    return names[0] if names else field.name


_BITS: Final[dict[str, int]] = {"vlan_vid": 12, "in_port": 16, "ct_state": 32, "arp_op": 16}


def bits_of(field: Field) -> int:
    """How many bits ``field[]`` has in OVS, where that is not the width in the key."""
    return _BITS.get(field.name, field.width)


def whole_mask(field: Field) -> int:
    """The bits of a field that setting it whole sets: of nw_tos only the DSCP."""
    return 0xFC if field.name == "nw_tos" else field.ones
