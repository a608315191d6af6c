"""``ofproto/trace`` and ``ofproto/trace-packet-out``: the text of both switches, line by line.

Ids of recirculations differ from run to run, and the local port of a dummy datapath has a number
of its own there.
"""

from __future__ import annotations

import re

import pytest

from tests.agent.programs import Modelled, Real, Switch, neutral

pytestmark = pytest.mark.real_ovs

GROUPS = """\
group_id=1,type=all,bucket=actions=2,bucket=actions=set_field:7->reg0,resubmit(,1),bucket=actions=ct(table=13)
group_id=2,type=select,selection_method=hash,bucket=actions=2,bucket=actions=3
group_id=3,type=ff,bucket=watch_port:77,actions=3,bucket=watch_port:2,actions=2
group_id=4,type=select,selection_method=hash,fields(ip_src,tcp_dst),bucket=weight:10,actions=2,bucket=weight:20,watch_port:77,actions=3,bucket=weight:30,watch_group:3,actions=resubmit(,1)
group_id=5,type=ff,bucket=watch_group:9,actions=3
"""
FLOWS = """\
in_port=1,tcp,nw_dst=10.0.0.2,actions=load:5->NXM_NX_REG0[],resubmit(,1),resubmit(,2),4
in_port=1,udp,actions=mod_nw_dst:9.9.9.9,mod_dl_dst:00:00:00:00:00:09,4
in_port=1,arp,actions=NORMAL
in_port=2,ip,actions=ct(table=2,zone=3)
in_port=3,ip,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],mod_vlan_vid:5,2
in_port=4,ip,actions=dec_ttl,CONTROLLER:100
in_port=5,tcp,actions=group:1,group:2,group:3
in_port=5,udp,actions=write_actions(output:2,set_field:9->reg1),goto_table:7
in_port=5,icmp,actions=push:NXM_NX_REG0[],pop:NXM_NX_REG1[],multipath(eth_src,50,modulo_n,4,0,NXM_NX_REG3[0..7]),output:NXM_NX_REG3[0..7],resubmit(,9)
in_port=5,arp,actions=learn(table=11,idle_timeout=10,priority=7,cookie=0x5,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),move:NXM_OF_VLAN_TCI[0..11]->NXM_NX_REG2[0..11],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],resubmit(,11)
in_port=3,tcp6,actions=resubmit(,12),ct(commit,table=13,zone=NXM_NX_REG0[0..15],exec(load:7->NXM_NX_CT_MARK[])),controller(reason=no_match),2
in_port=3,udp6,actions=clone(load:3->NXM_NX_REG0[],2),in_port,exit,4
in_port=3,icmp6,actions=99,all,clear_actions
in_port=2,arp,actions=resubmit(,30)
table=30,actions=resubmit(,30)
in_port=2,udp6,actions=push_mpls:0x8847,resubmit(,31),4,write_actions(set_field:3->reg0,output:3)
table=7,udp,actions=clear_actions,write_actions(output:3,set_field:1->reg2)
table=12,tcp6,actions=set_field:7->tcp_dst,load:0x123->NXM_NX_REG0[]
table=13,ct_state=+trk,actions=ct_clear,2
table=1,tcp,tp_dst=80,cookie=0x77,priority=9,actions=3
table=2,ct_state=+trk+new,tcp,tp_dst=80,actions=ct(commit,zone=3),4
table=2,ct_state=+trk+est,ip,actions=3
in_port=1,icmp,actions=ct(commit,table=40,nat(src=10.1.1.1-10.1.1.9),exec(load:1->NXM_NX_CT_MARK[])),ct(table=41,nat),ct(commit,table=42,nat(dst=1.2.3.4))
table=40,ct_state=+trk+new,ip,actions=ct(table=43,zone=9),2
table=43,actions=write_actions(output:3)
in_port=2,icmp,actions=write_actions(output:3)
in_port=2,icmp6,actions=debug_slow,2
in_port=3,sctp,actions=ct(commit,nat(dst=10.9.9.9:99),table=40)
in_port=3,sctp6,actions=ct(commit,nat(dst=[fe80::1]),table=40)
in_port=4,icmp,actions=ct(force,commit,exec(set_field:5/7->ct_label,set_field:1->ct_mark)),check_pkt_larger(100)->NXM_NX_REG0[0],resubmit(,44),note:00.11,output(port=2,max_len=80),set_queue:5,enqueue:2:3
table=44,reg0=1,actions=2
table=44,actions=push:NXM_OF_ETH_SRC[],pop:NXM_OF_ETH_DST[],3
in_port=4,icmp6,actions=pop:NXM_NX_REG0[],NORMAL
in_port=4,arp,actions=group:3,3
in_port=2,sctp,actions=set_tunnel:5,load:0xffffffff->NXM_NX_REG1[],output:NXM_NX_REG1[]
in_port=2,sctp6,actions=bundle(eth_src,0,hrw,ofport,slaves:2,3),bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[],slaves:2,3),2
in_port=1,sctp,actions=goto_table:50
table=50,sctp,actions=ct_clear,mod_tp_dst:9,mod_nw_tos:8,mod_vlan_pcp:3,strip_vlan,2
in_port=1,sctp6,actions=output:4,output:1,77,LOCAL,FLOOD,TABLE,IN_PORT
in_port=1,tcp6,actions=push_vlan:0x8100,set_field:4099->vlan_vid,push_vlan:0x88a8,2,pop_vlan,3
in_port=1,udp6,actions=learn(table=9,hard_timeout=5,NXM_OF_ETH_SRC[],load:1->NXM_NX_REG0[],limit=3,result_dst=NXM_NX_REG5[0]),resubmit(5,0),resubmit(6,60)
in_port=4,tcp,actions=group:4,group:5
in_port=4,tcp6,actions=resubmit(,51),set_field:3->nw_ttl,2
table=51,dl_vlan=3,actions=4
"""
WITH_NICIRA_ONLY = """\
table=31,actions=pop_mpls:0x86dd,ct(nat,table=32),load:1->NXM_NX_REG9[]
table=32,priority=3,actions=fin_timeout(idle_timeout=5),output:1
"""
TRACES = """\
trace br0 in_port=1,tcp,nw_dst=10.0.0.2,tp_dst=80
trace br0 in_port=1,udp
trace br0 in_port=1,arp
trace br0 in_port=2,tcp,tp_dst=80
trace br0 in_port=2,tcp,tp_dst=80 --ct-next trk,est
trace br0 in_port=3,ip
trace br0 in_port=4,ip,nw_ttl=5
trace br0 in_port=4,ip,nw_ttl=1
trace br0 in_port=5,tcp,tp_dst=80
trace br0 in_port=5,udp
trace br0 in_port=5,icmp
trace br0 in_port=5,arp
trace br0 in_port=3,tcp6
trace br0 in_port=3,udp6
trace br0 in_port=3,icmp6
trace br0 in_port=2,arp
trace br0 in_port=2,udp6
trace br0 in_port=p1,udp
trace br0 in_port=77,udp
trace br0 in_port=1,udp -generate
trace nobr in_port=1,udp
trace br0 in_port=1,nosuch
trace br0
trace br0 in_port=1,udp zz
trace br0 in_port=1,udp --ct-next bad
trace in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0800),ipv4(proto=17)
trace br0 in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0800),ipv4(proto=17)
trace-packet-out br0 in_port=1,udp 2,resubmit(,0)
trace-packet-out br0 in_port=1,udp mod_dl_dst:00:00:00:00:00:07,resubmit(,2)
trace br0 in_port=1,icmp,nw_src=5.5.5.5,nw_dst=6.6.6.6
trace br0 in_port=1,icmp,nw_src=5.5.5.5,nw_dst=6.6.6.6 --ct-next trk,est --ct-next trk,inv --ct-next trk,new,rel
trace br0 in_port=2,icmp
trace br0 in_port=2,icmp6
trace br0 in_port=3,sctp
trace br0 in_port=3,sctp6
trace br0 in_port=4,icmp
trace br0 in_port=4,icmp6
trace br0 in_port=4,arp
trace br0 in_port=2,sctp
trace br0 in_port=2,sctp6
trace br0 in_port=1,sctp,dl_vlan=5
trace br0 in_port=1,sctp6
trace br0 in_port=1,tcp6
trace br0 in_port=1,tcp6,ct_state=trk,ct_mark=5,reg3=8,metadata=7,tun_id=9
trace br0 in_port=1,udp6
trace br0 udp
trace br0 in_port=LOCAL,udp
trace br0 in_port=br0,udp
trace br0 in_port=9,udp
trace br0 in_port=1,udp --ct-next new
trace br0 in_port=1,udp --ct-next trk,inv,est
trace br0 in_port=1,udp --ct-next trk,new,est,rpl
trace br0 in_port=1,udp --ct-next
trace br0 in_port=1,udp 00
trace br0 in_port=1,udp a b
trace dummy in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0800),ipv4(proto=17)
trace in_port(2),eth(),eth_type(0x86dd),ipv6(proto=58)
trace in_port(99),eth(),eth_type(0x86dd),ipv6(proto=58)
trace br0 in_port=3 00000000000200000000000108004500001c000000004011000000000000000000000000000000080000
trace br0 in_port=1 ffffffffffff00000000000508060001080006040001000000000005a0000010000000000000a000002
trace br0 in_port=1 ffffffffffff0000000000050806000108000604000100000000000500a0000010000000000000a000002
trace-packet-out br0 in_port=1,udp output:2,group:1
trace-packet-out br0 in_port=1,udp group:99
trace-packet-out br0 in_port=1,udp ct(table=2,zone=3),4
trace-packet-out br0 in_port=1,udp output:NXM_NX_REG0[],load:1->NXM_NX_REG0[],output:NXM_NX_REG0[]
trace-packet-out br0 in_port=1,udp write_actions(output:2)
trace-packet-out br0 2
trace-packet-out 2
trace br0 in_port=4,tcp,nw_src=1.2.3.4
trace br0 in_port=4,tcp6
trace br0 in_port=4,tcp6,dl_vlan=3
"""  # noqa: E501


@pytest.fixture(scope="module", autouse=True)
def _tables(real: Real, model: Modelled) -> None:
    for switch in (real, model):
        assert switch.ofctl("-O", "OpenFlow15", "add-groups", "-", text=GROUPS) == ""
        assert switch.ofctl("-O", "OpenFlow13", "add-flows", "-", text=FLOWS) == ""
        assert switch.ofctl("add-flows", "-", text=WITH_NICIRA_ONLY) == ""


def _said(switch: Switch, command: str) -> list[str]:
    text = neutral(switch.appctl(*f"ofproto/{command}".split(" ")))
    numbers: dict[str, str] = {"0": "0"}
    text = re.sub(
        r"(recirc_id=|recirc\()(?:0x)?([0-9a-f]+)",
        lambda found: found[1] + numbers.setdefault(found[2], f"#{len(numbers)}"),
        text,
    )
    text = re.sub(r"(?m)^(ovs-appctl: )\S+ ", r"\1", text)
    return re.sub(r"(?m)^(Datapath actions: )([\d,]+)$", _flooded, text).splitlines()


def _flooded(found: re.Match[str]) -> str:
    """The ports of a flood, in no order: it is that of a hash table."""
    ports = sorted("LOCAL" if port in ("100", "65534") else port for port in found[2].split(","))
    return found[1] + ",".join(ports)


@pytest.mark.parametrize("command", TRACES.splitlines())
def test_both_say_the_same(real: Real, model: Modelled, command: str) -> None:
    wanted = _said(real, command)
    assert wanted
    assert _said(model, command) == wanted
