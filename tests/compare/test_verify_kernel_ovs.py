"""Generated OpenFlow tables in ovs-vswitchd over real kernels, and the rules that it found."""

from __future__ import annotations

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.compare.case import Case, Shot, frames_of, from_scenario
from ovsct.compare.chance import between_looks, offloaded, within_a_tick
from ovsct.compare.drawn import DrawnPorts
from ovsct.compare.filters import filter_lines
from ovsct.compare.generate import Profile
from ovsct.compare.judges import KernelOvsJudge, judge_of
from ovsct.compare.on_kernel import fitted
from ovsct.compare.scenario import read_scenario
from ovsct.compare.verdict import Kind
from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.lanes.tc import TcLane
from ovsct.openflow.text.flow_text import read_flows
from tests.judges import Judges

CASES = {"ovs-kernel": 40, "tc": 20}


@pytest.fixture(
    params=[(lane, kernel) for lane in CASES for kernel in ("6.1", "6.12")], ids="-".join
)
def judge(request: pytest.FixtureRequest, kernel_judges: Judges) -> KernelOvsJudge:
    return kernel_judges(*request.param)


@pytest.mark.real_kernel
@pytest.mark.real_ovs
def test_generated_cases(judge: KernelOvsJudge) -> None:
    packets = 0
    for number in range(CASES[judge.lane]):
        case = judge.case(3, number)
        verdict = judge.run(case)
        difference = verdict.difference
        assert difference is None, f"case {number}: {list(difference.lines())} {case.flows}"
        packets += verdict.packets
    assert packets > CASES[judge.lane] * 4


def _case(flows: str, *talk: str, groups: str = "") -> Case:
    """Flows, one a line, and packets a quarter of a second apart, each behind its port's name."""
    shots = []
    for number, text in enumerate(talk):
        port, _, line = text.partition(" ")
        shots.append(Shot(number * 0.25, int(port[1:]), line))
    lines = tuple(line.strip() for line in flows.strip().splitlines())
    return Case(flows=lines, shots=tuple(shots), groups=tuple(filter(None, [groups])))


SYN = "tcp 10.0.0.1:4000 > 10.0.0.2:80 S seq 100"
TWICE = """
    table=0,ip,actions=ct(table=1,zone=1,nat)
    table=1,ip,ct_state=+trk+new,actions=ct(commit,zone=1,nat(dst=9.9.9.9)),output:2
    table=1,priority=9,ip,ct_state=+trk-new-inv,actions=ct(table=2,zone=1,nat)
    table=2,ip,ct_state=+trk+est,actions=output:3
    table=2,priority=9,ip,ct_state=+trk+inv,actions=output:4
"""
RESET = "p2 tcp 9.9.9.9:80 > 10.0.0.1:4000 R seq 7"
IN_PIECES = "udp 10.0.0.1:21 > 10.0.1.1:1000 len 4360 frag 1480,1480 piece"

NEIGHBOUR = (
    "02000000000302000000000186dd6000000000203afffe800000000000000000000000000005fc000000000000000000"
    "00000000000288001a9460000000fe8000000000000000000000000000050201020000000001"
)

ADDRESSES = "020000000002020000000001"
LABELLED = "8847000641404500001c0000000040115dc00a00010109090908005000500008e22c"

FOUND = {
    # The kernel takes no action that pushes or pops a label behind a tag, or before what it does
    # not know; what TC has taken goes on.
    "a label and a tag": _case(
        "priority=9,mpls,actions=pop_mpls:0x0800,output:2\npriority=1,actions=push_mpls:0x8847,output:2",
        *[f"p1 {SYN} vlan 5"] * 3, f"p1 {SYN}", f"p1 hex {ADDRESSES}88cc{'00' * 40}",
        *[f"p1 hex {ADDRESSES}81000005{LABELLED}"] * 3, f"p1 hex {ADDRESSES}{LABELLED}",
    ),
    # What is refused is the whole list, for what one copy would get.
    "a label instead of a tag, before one, and in a copy": _case(
        "priority=9,udp,actions=pop_vlan,push_mpls:0x8847,output:2\n"
        "priority=8,icmp,actions=output:3,clone(push_mpls:0x8847,output:2)\n"
        "priority=1,actions=push_mpls:0x8847,push_vlan:0x8100,output:2",
        *["p1 udp 10.0.0.1:1 > 10.0.0.2:2 vlan 5"] * 2, *[f"p1 {SYN}"] * 2,
        *["p1 icmp 10.0.0.1 > 10.0.1.1 echo id 7 seq 0 vlan 5"] * 2,
        *["p1 icmp 10.0.0.1 > 10.0.1.1 echo id 7 seq 0"] * 2,
        "p1 udp 10.0.0.1:1 > 10.0.0.2:2 vlan 5 vlan 6", "p1 udp 10.0.0.1:1 > 10.0.0.2:2",
    ),
    # An answer is translated in zone 0; in zone 1 it is new and waits for its translation.
    "translated in the zone before": _case(
        "ip,actions=ct(table=1,nat)\n"
        "table=1,priority=1,ip,actions=ct(commit,nat(dst=9.9.9.9))\n"
        "table=1,priority=9,ip,ct_state=+trk-new-inv,actions=ct(table=2,zone=1,nat)\n"
        "table=2,priority=9,ip,ct_state=+trk+snat,actions=output:3\n"
        "table=2,priority=1,ip,actions=ct(commit,zone=1,nat(src=10.0.0.9)),output:2",
        "p3 udp 10.0.0.2:80 > 10.0.0.1:21", *["p4 udp 9.9.9.9:21 > 10.0.0.2:80"] * 3,
    ),
    # A RST that ends a connection: the second ct() of the zone looks it up again, for the
    # connection was lost on the way up to vswitchd, and finds none.
    "a reset, and an upcall between two lookups": _case(
        TWICE, f"p1 {SYN}", RESET, f"p1 {SYN}", RESET, f"p1 {SYN}", RESET
    ),
    "what goes up is out last": _case(
        """
        ip,ct_state=-trk,actions=ct(table=1),mod_vlan_vid:5,output:2,ct(table=2)
        table=1,ip,actions=output:2
        table=2,ip,actions=mod_dl_src:02:00:00:00:00:09,output:2
        """,
        f"p1 {SYN}", f"p1 {SYN}",
    ),
    "a tag that no flow looks at": _case(
        "ip,actions=output:2",
        f"p1 {SYN} vlan 0x2005", f"p1 {SYN} vlan 6", f"p1 {SYN} vlan 0", f"p1 {SYN} vlan 7",
    ),
    "two tags": _case(
        "dl_vlan=5,actions=output:2\npriority=1,actions=drop",
        f"p1 {SYN} vlan 5 vlan 6", f"p1 {SYN} vlan 5 vlan 7", f"p1 {SYN} vlan 9 vlan 5",
        f"p1 {SYN} vlan 9 vlan 5",
    ),
    "a tuple without a protocol": _case(
        """
        ip,ct_state=-trk,actions=ct(table=1)
        table=1,priority=9,ip,ct_state=+trk+new,ct_nw_proto=17,actions=output:3
        table=1,priority=1,ip,actions=output:2
        """,
        "p1 tcp 10.0.0.1:1 > 10.0.0.2:2 SF", f"p1 {SYN}", f"p1 {SYN}",
    ),
    "what is not tracked, in TC": _case(
        "ipv6,ct_state=-trk,actions=ct(table=1,zone=7)\n"
        "table=1,priority=9,ct_zone=7,ipv6,pkt_mark=0,actions=output:2\n"
        "table=1,priority=1,ipv6,pkt_mark=0,actions=output:3",
        *[f"p1 hex {NEIGHBOUR}"] * 3,
    ),
    "a neighbour message of another type": _case(
        "ipv6,ct_state=-trk,actions=ct(table=1)\n"
        "table=1,icmp6,icmp_type=135,icmp_code=0,nd_target=fc00:0:0:1::1/126,actions=drop",
        *[f"p1 hex {NEIGHBOUR}"] * 2,
    ),
    "a packet cut short": _case(
        "ip,nw_dst=10.0.0.0/8,tcp,actions=output:2\nudp6,ipv6_dst=fc00::/16,actions=output:2",
        "p1 hex 0200000000020200000000010800450000320000000040066"
        "6c50a0000010a00000103e803",
        "p1 hex 02000000000202000000000186dd60000000002011"
        "40fc000000000000000000000000000001fc000000000000000000000000000002000100",
    ),
    "pieces in the datapath and in TC": _case(
        "ip,ct_state=-trk,actions=ct(table=1)\ntable=1,ip,actions=output:2",
        f"p1 {IN_PIECES} 1", f"p1 {IN_PIECES} 2", f"p1 {IN_PIECES} 3",
        f"p1 {IN_PIECES} 1", f"p1 {IN_PIECES} 2", f"p1 {IN_PIECES} 3",
    ),
    "an error about a packet to itself": _case(
        "ip,ct_state=-trk,actions=ct(table=1,zone=1)\n"
        "table=1,priority=9,ip,ct_state=+trk+new,actions=ct(commit,zone=1)\n"
        "table=1,ip,ct_state=+trk+rpl,actions=output:2",
        "p1 tcp 10.0.1.1:53 > 10.0.1.1:53 S seq 1",
        "p1 error type 3 code 1 for tcp 10.0.1.1:53 > 10.0.1.1:53 S seq 1",
    ),
    "a port that the kernel draws": _case(
        "ip,in_port=1,actions=ct(commit,zone=1,nat(src=10.0.0.9)),output:2",
        "p1 tcp 10.0.0.1:769 > 10.0.1.1:80 S seq 1", "p1 tcp 10.0.0.2:769 > 10.0.1.1:80 S seq 1",
        "p1 icmp 10.0.0.1 > 10.0.1.1 echo id 7 seq 0",
        "p1 icmp 10.0.0.2 > 10.0.1.1 echo id 7 seq 0",
    ),
}  # fmt: skip
"""Shortest cases of what was once different."""


@pytest.mark.real_kernel
@pytest.mark.real_ovs
@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(judge: KernelOvsJudge, name: str) -> None:
    verdict = judge.run(FOUND[name])
    assert verdict.difference is None, list(verdict.difference.lines())
    assert verdict.left_out is None
    assert verdict.packets == len(FOUND[name].shots)


@pytest.mark.real_kernel
@pytest.mark.real_ovs
def test_a_wrong_model_is_found_shortened_and_kept(
    judge: KernelOvsJudge, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    case = _case(
        "ip,actions=ct(commit,zone=1),output:2",
        "p1 udp 10.0.0.1:21 > 10.0.0.2:21", f"p1 {SYN}", "p2 tcp 10.0.0.2:80 > 10.0.0.1:4000 SA",
    )  # fmt: skip
    assert judge.run(case).difference is None
    monkeypatch.setattr("ovsct.conntrack.netfilter.core.SEEN_REPLY", 0)
    difference = judge.run(case).difference
    assert difference is not None
    assert difference.kind is Kind.CONNTRACK and difference.packet == 3
    shortest = judge.shorten(case, difference)
    assert len(shortest.shots) == 2
    from pathlib import Path

    path = Path(str(tmp_path)) / "kept.yaml"
    path.write_text(judge.text(shortest, difference))
    again = from_scenario(read_scenario(str(path)), path.name, judge.lane)
    assert (again.flows, len(again.shots)) == (shortest.flows, 2)


def test_what_no_kernel_can_judge_is_left_out() -> None:
    case = Case(
        flows=("ip,actions=learn(table=1),output:1", "actions=group:1", "ip,actions=output:2"),
        groups=("group_id=1,type=select,bucket=actions=output:1",),
        meters=("meter=1,kbps,bands=type=drop,rate=1",),
        shots=(
            Shot(0.0, 1, SYN), Shot(0.1, 1, "ip 10.0.0.1 > 10.0.0.2 proto 47 len 8"),
            Shot(0.2, 1, "link down"), Shot(0.3, 1, f"{SYN} len 2500"),
        ),
    )  # fmt: skip
    left = fitted(case, 2000, gre=False)
    assert left.flows == ("actions=group:1", "ip,actions=output:2")
    assert left.groups == ("group_id=1,type=all",)
    assert left.meters == ()
    assert left.shots == (case.shots[0],)
    assert fitted(case, 2000, gre=True).shots == case.shots[:2]


def test_drawn_ports_are_those_of_new_translated_connections() -> None:
    plain = (
        "ipv4 2 tcp 6 119 SYN_SENT src=10.0.0.1 dst=10.0.1.1 sport=769 dport=80 [UNREPLIED]"
        " src=10.0.1.1 dst=10.0.0.9 sport=80 dport=769 mark=0 zone=1"
    )
    moved = plain.replace("src=10.0.0.1 ", "src=10.0.0.2 ").replace("dport=769", "dport=701")
    netfilter = Netfilter()
    drawn = DrawnPorts(netfilter)
    assert netfilter.choose == drawn.choose
    drawn.look([plain], [plain, moved])
    # 769 is of the class that is replaced by ports from 600 on.
    netfilter.searched_from = 600
    assert 600 + drawn.choose(65536, "nat source port") == 701
    assert drawn.choose(65536, "nat source port") == 0
    assert drawn.asked == 2


def test_filters_are_compared_without_what_a_kernel_numbers() -> None:
    def shown(index: int, pref: int, cookie: str) -> list[str]:
        return [
            f"filter protocol arp pref {pref} flower chain 0 ",
            f"filter protocol arp pref {pref} flower chain 0 handle 0x1 ",
            "  eth_type arp", "  skip_hw", "  not_in_hw",
            "\taction order 1: gact action goto chain 3",
            f"\t index {index} ref 1 bind 1 installed 0 sec used 0 sec",
            "\tSent 28 bytes 1 pkt (dropped 0, overlimits 0 requeues 0) ",
            f"\tcookie {cookie}", "",
        ]  # fmt: skip

    lines = filter_lines(shown(1, 5, "aa"), 1)
    assert lines == filter_lines(shown(7, 9, "bb"), 1)
    assert lines == [
        "recirc_id(0),in_port(1) protocol arp pref own handle 0x1 eth_type arp skip_hw not_in_hw"
        " action gact action goto recirc(3) packets:1 bytes:28"
    ]
    assert lines != filter_lines(shown(1, 3, "aa"), 1)


def test_a_lane_without_a_judge_is_refused() -> None:
    with pytest.raises(InputError, match="the lane has no judge"):
        judge_of("hw")
    with pytest.raises(InputError, match="no kernel judges this lane"):
        judge_of("ovs-userspace", "6.1")
    with pytest.raises(InputError, match="no such profile"):
        judge_of("tc", "6.1", Profile.WIDE)


def test_what_a_kernels_clock_decides_is_known() -> None:
    assert within_a_tick(3.001, [0.5, 1.0])
    assert not within_a_tick(3.05, [1.0])
    assert not within_a_tick(2.99, [1.0])
    lane = TcLane(
        Bridge((1, 2), read_flows("ip,actions=ct(table=1)\ntable=1,ip,actions=ct(commit)"))
    )
    for number, line in enumerate(
        ("1 udp 10.0.0.1:1 > 10.0.0.2:2", "2 udp 10.0.0.2:2 > 10.0.0.1:1") * 3
    ):
        port, _, text = line.partition(" ")
        lane.advance(number / 10)
        lane.receive(Arrival(number / 10, int(port), frames_of(text)[0]))
    (connection,) = lane.connections()
    assert offloaded(lane.netfilter, [connection]) == {
        "proto 17 10.0.0.1:1 > 10.0.0.2:2 zone 0"
    }
    assert not between_looks(lane.tc.flows, 20.0)
    assert between_looks(lane.tc.flows, 31.0)
    assert not between_looks(lane.tc.flows, 40.0)
