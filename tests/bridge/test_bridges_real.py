"""Several bridges in one datapath, joined by patch ports, against a real ovs-vswitchd."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.bridges import Plan, join
from ovsct.compare.case import BridgeCase, Case, Shot, frames_of
from ovsct.compare.verify import Verifier
from ovsct.lane import Arrival
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.text.flow_text import read_flows
from ovsct.oracle.real_bridges import BridgeText
from ovsct.oracle.real_ovs import RealOvs, comparable
from tests.bridge.bridges_drawn import drawn
from tests.bridge.judged import differences

pytestmark = pytest.mark.real_ovs


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as both:
        yield both


@pytest.mark.parametrize("number", range(30))
def test_drawn_bridges_do_not_differ(verifier: Verifier, number: int) -> None:
    case = drawn(1, number)
    assert not differences(verifier, case), case.bridges


ROW = (
    Plan("br-a", ((1, 1), (2, 2)), ((10, "br-b", 20),)),
    Plan("br-b", ((1, 3),), ((20, "br-a", 10), (30, "br-c", 40))),
    Plan("br-c", ((1, 4), (7, 5)), ((40, "br-b", 30),)),
)
TCP = "tcp 10.0.0.1:1000 > 10.0.0.2:80 S"


def in_a_row(*flows: str, line: str = TCP, groups: str = "") -> Case:
    """Three bridges in a row with these flows (one text a bridge), and a packet on port 1."""
    bridges = tuple(
        BridgeCase(plan, tuple(text.splitlines()), tuple(groups.splitlines()))
        for plan, text in zip(ROW, flows, strict=True)
    )
    return Case((), (Shot(0.0, 1, line),), ports=(1, 2, 3, 4, 5), bridges=bridges)


THERE_AND_BACK = {
    "there and back": ("in_port=1,actions=10\nin_port=10,actions=1,2",
                       "in_port=20,actions=in_port,1,30", "in_port=40,actions=in_port,7"),
    "round and round": ("actions=10", "actions=in_port", ""),
    "too deep, and what went before stays": (
        "actions=2,10,2", "actions=1,30", "actions=7,resubmit(,0)"),
    "truncated output to a patch port": (
        "actions=output(port=10,max_len=20),2", "actions=1", "actions=1"),
    "enqueue to a patch port": ("actions=enqueue:10:3,2", "actions=1", "actions=1"),
    "a freeze in the other bridge": (
        "ip,actions=set_field:5->reg1,debug_recirc,10,2\ntable=0,priority=0,actions=2",
        "ip,reg1=0,actions=debug_recirc,1,30", "actions=debug_recirc,1"),
    "mpls popped before the patch": (
        "ip,actions=push_mpls:0x8847,pop_mpls:0x800,10,2", "ip,actions=1,30", "tcp,actions=1"),
    "check_pkt_larger before the patch": (
        "ip,actions=check_pkt_larger(60)->NXM_NX_REG0[0],resubmit(,1)\n"
        "table=1,reg0=0,actions=10\ntable=1,actions=2", "actions=1,30", "actions=7"),
    "learn in the other bridge": (
        "actions=10,10", "table=0,actions=learn(table=1,eth_type=0x800,load:1->NXM_NX_REG2[]),"
        "resubmit(,1),30\ntable=1,priority=0,actions=drop", "actions=1"),
    "a packet-in of each bridge": ("actions=controller,10", "actions=controller,30",
                                   "actions=group:1"),
    "an action set that outputs to a patch port": (
        "ip,actions=resubmit(,1),write_actions(set_field:1.1.1.1->ip_src,output:10)\n"
        "table=1,actions=2", "ip,nw_src=1.1.1.1,actions=write_actions(output:30)",
        "ip,actions=7,write_actions(controller)"),
    "what is written behind a patch is undone": (
        "ip,actions=set_field:2.2.2.2->ip_dst,10,2", "ip,actions=set_field:1.1.1.1->ip_src,30,1",
        "ip,actions=dec_ttl,1"),
}  # fmt: skip


@pytest.mark.parametrize("name", THERE_AND_BACK)
def test_bridges_in_a_row(verifier: Verifier, name: str) -> None:
    groups = "group_id=1,type=all,bucket=controller,bucket=output:7"
    case = in_a_row(*THERE_AND_BACK[name], groups=groups)
    assert not differences(verifier, case)


def test_each_bridge_learns_for_itself() -> None:
    """NORMAL over patch ports: where frames go, and what every bridge then knows."""
    plans = ROW
    with RealOvs(bridges=[BridgeText(plan, ["actions=normal"]) for plan in plans]) as real:
        bridges = [Bridge(plan.numbers, read_flows("actions=normal")) for plan in plans]
        join(bridges, plans)
        model = OvsUserspace(bridges[0])
        told = (
            (1, "udp 10.0.0.1:1 > 10.0.0.2:2 eth-src 02:00:00:00:01:01 eth-dst 02:00:00:00:04:04"),
            (4, "udp 10.0.0.2:2 > 10.0.0.1:1 eth-src 02:00:00:00:04:04 eth-dst 02:00:00:00:01:01"),
            (1, "udp 10.0.0.1:1 > 10.0.0.2:2 eth-src 02:00:00:00:01:01 eth-dst 02:00:00:00:04:04"),
            (3, "udp 10.0.0.1:1 > 10.0.0.2:2 eth-src 02:00:00:00:01:01 eth-dst 02:00:00:00:04:04"),
            (4, "udp 10.0.0.2:2 > 10.0.0.1:1 eth-src 02:00:00:00:04:04 eth-dst 02:00:00:00:01:01"),
            (2, "arp who-has 10.0.0.2 tell 10.0.0.1"),
        )  # fmt: skip
        for at, (port, line) in enumerate(told):
            # The program revalidates on threads of its own: every packet is decided anew.
            model.datapath.flush()
            real.purge()
            packet = Arrival(float(at), port, frames_of(line)[0])
            mine = comparable(model.receive(packet)).out
            assert mine == comparable(real.receive(packet)).out, line
            for bridge in bridges:
                assert learned_by(bridge) == shown(real, bridge.name), line


def learned_by(bridge: Bridge) -> set[tuple[str, int, str]]:
    return {
        (str(port) if port != 65534 else "LOCAL", vlan, f"{mac:012x}")
        for vlan, mac, port, _ in bridge.fdb
    }


def shown(real: RealOvs, bridge: str) -> set[tuple[str, int, str]]:
    lines = re.findall(r"^\s*(\S+)\s+(\d+)\s+(\S+)\s+\d+$", real.ctl("fdb/show", bridge), re.M)
    return {(port, int(vlan), mac.replace(":", "")) for port, vlan, mac in lines}
