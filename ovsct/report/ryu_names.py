"""The names that Ryu and os-ken give the fields of OXM and NXM, and how they write a value."""

from __future__ import annotations

from typing import Final

RYU_NAMES: Final[dict[int, dict[int, str]]] = {
    0x0000: {
        0: "in_port_nxm", 1: "eth_dst_nxm", 2: "eth_src_nxm", 3: "eth_type_nxm",
        4: "vlan_tci", 5: "nw_tos", 6: "ip_proto_nxm", 7: "ipv4_src_nxm", 8: "ipv4_dst_nxm",
        9: "tcp_src_nxm", 10: "tcp_dst_nxm", 11: "udp_src_nxm", 12: "udp_dst_nxm",
        13: "icmpv4_type_nxm", 14: "icmpv4_code_nxm", 15: "arp_op_nxm", 16: "arp_spa_nxm",
        17: "arp_tpa_nxm",
    },
    0x0001: {
        0: "reg0", 1: "reg1", 2: "reg2", 3: "reg3", 4: "reg4", 5: "reg5", 6: "reg6",
        7: "reg7", 8: "reg8", 9: "reg9", 10: "reg10", 11: "reg11", 12: "reg12", 13: "reg13",
        14: "reg14", 15: "reg15", 16: "tunnel_id_nxm", 17: "arp_sha_nxm", 18: "arp_tha_nxm",
        19: "ipv6_src_nxm", 20: "ipv6_dst_nxm", 21: "icmpv6_type_nxm",
        22: "icmpv6_code_nxm", 23: "nd_target", 24: "nd_sll", 25: "nd_tll", 26: "ip_frag",
        27: "ipv6_label", 28: "ip_ecn_nxm", 29: "nw_ttl", 30: "mpls_ttl",
        31: "tun_ipv4_src", 32: "tun_ipv4_dst", 33: "pkt_mark", 34: "tcp_flags_nxm",
        36: "_recirc_id", 37: "conj_id", 38: "tun_gbp_id", 39: "tun_gbp_flags",
        104: "tun_flags", 105: "ct_state", 106: "ct_zone", 107: "ct_mark", 108: "ct_label",
        109: "tun_ipv6_src", 110: "tun_ipv6_dst", 111: "xxreg0", 112: "xxreg1",
        113: "xxreg2", 114: "xxreg3",
    },
    0x8000: {
        0: "in_port", 1: "in_phy_port", 2: "metadata", 3: "eth_dst", 4: "eth_src",
        5: "eth_type", 6: "vlan_vid", 7: "vlan_pcp", 8: "ip_dscp", 9: "ip_ecn",
        10: "ip_proto", 11: "ipv4_src", 12: "ipv4_dst", 13: "tcp_src", 14: "tcp_dst",
        15: "udp_src", 16: "udp_dst", 17: "sctp_src", 18: "sctp_dst", 19: "icmpv4_type",
        20: "icmpv4_code", 21: "arp_op", 22: "arp_spa", 23: "arp_tpa", 24: "arp_sha",
        25: "arp_tha", 26: "ipv6_src", 27: "ipv6_dst", 28: "ipv6_flabel", 29: "icmpv6_type",
        30: "icmpv6_code", 31: "ipv6_nd_target", 32: "ipv6_nd_sll", 33: "ipv6_nd_tll",
        34: "mpls_label", 35: "mpls_tc", 36: "mpls_bos", 37: "pbb_isid", 38: "tunnel_id",
        39: "ipv6_exthdr",
    },
    0x8001: {
        0: "xreg0", 1: "xreg1", 2: "xreg2", 3: "xreg3", 4: "xreg4", 5: "xreg5", 6: "xreg6",
        7: "xreg7",
    },
}  # fmt: skip
"""By class and number; fields that are not here have no name there."""

RYU_ONF_NAMES: Final = {42: "tcp_flags", 43: "actset_output"}
"""By number, those of ONF's experimenter class."""

IPV4: Final = frozenset((
    "ipv4_src_nxm", "ipv4_dst_nxm", "arp_spa_nxm", "arp_tpa_nxm", "tun_ipv4_src",
    "tun_ipv4_dst", "ipv4_src", "ipv4_dst", "arp_spa", "arp_tpa",
))  # fmt: skip
IPV6: Final = frozenset((
    "ipv6_src_nxm", "ipv6_dst_nxm", "nd_target", "tun_ipv6_src", "tun_ipv6_dst", "ipv6_src",
    "ipv6_dst", "ipv6_nd_target",
))  # fmt: skip
MAC: Final = frozenset((
    "eth_dst_nxm", "eth_src_nxm", "arp_sha_nxm", "arp_tha_nxm", "nd_sll", "nd_tll",
    "eth_dst", "eth_src", "arp_sha", "arp_tha", "ipv6_nd_sll", "ipv6_nd_tll",
))  # fmt: skip
