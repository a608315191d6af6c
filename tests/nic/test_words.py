"""Hardware in words."""

from __future__ import annotations

from ovsct.nic.words import meta_text, state_text
from ovsct.packet.fields import CT_EST, CT_INV, CT_RPL, CT_TRK, SLOTS
from tests.nic.rig import Rig


def test_ct_state() -> None:
    assert state_text(0) == "-trk"
    assert state_text(CT_TRK | CT_EST | CT_RPL) == "+trk+est+rpl"
    assert state_text(CT_TRK, CT_TRK | CT_INV | CT_RPL) == "+trk-rpl-inv"


def test_registers() -> None:
    meta = sum(
        value << SLOTS[name].shift
        for name, value in (("ct_state", CT_TRK), ("ct_zone", 3), ("ct_mark", 5), ("ct_label", 9))
    )
    assert meta_text(meta) == "ct_state=+trk zone=3 mark=0x5 label=0x9"


def test_rules() -> None:
    rig = Rig("""
    tc filter add dev p1 ingress chain 3 prio 1 protocol ip flower ct_state +trk+est-inv \
      ct_mark 0x4/0xc ip_proto tcp src_ip 10.0.0.0/8 dst_ip 10.1.2.3 dst_port 80 \
      dst_mac 02:00:00:00:00:01 ip_flags nofrag \
      action pedit ex munge ip dst set 192.0.2.1 pipe action csum ip tcp pipe \
      action ct clear pipe action mirred egress mirror dev p3 pipe action goto chain 4
    tc filter add dev p1 ingress prio 1 protocol 802.1q flower vlan_id 7 vlan_ethtype ip \
      action vlan pop pipe action mirred egress redirect dev p2
    tc filter add dev p2 ingress prio 1 protocol ipv6 flower src_ip fd00::/16 action drop
    tc filter add dev p2 ingress prio 2 protocol ip flower action vlan push id 9 pipe \
      action mirred egress redirect dev p1
    """)  # fmt: skip
    assert rig.lines() == [
        "rule port=1 chain=0 prio=1 protocol=0x8100 match=[dl_type=0x800 vlan_tci=0x7/0xfff "
        "vlan_tpid=0x8100 vlan_tpid1=0x0] actions=[pop vlan, output 2]",
        "rule port=1 chain=3 prio=1 protocol=0x0800 match=[nw_frag=0x0/0x1 nw_proto=6 tp_dst=80 "
        "nw_dst=10.1.2.3 nw_src=10.0.0.0/8 dl_type=0x800 dl_dst=02:00:00:00:00:01 "
        "ct_state=+trk+est-inv ct_mark=0x4/0xc] "
        "actions=[rewrite nw_dst=192.0.2.1, ct clear, output 3, goto chain 4]",
        "rule port=2 chain=0 prio=1 protocol=0x86dd match=[dl_type=0x86dd ipv6_src=fd00::/16] "
        "actions=[drop]",
        "rule port=2 chain=0 prio=2 protocol=0x0800 match=[dl_type=0x800] "
        "actions=[push vlan 9 tpid 0x8100, output 1]",
    ]
