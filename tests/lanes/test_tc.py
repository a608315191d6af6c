"""The lane tc: where packets go, what is handed over, how megaflows age."""

from __future__ import annotations

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.compare.events import Arrival
from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError
from ovsct.lane import Drop, EventKind, Outcome, StepKind, Via
from ovsct.lanes.tc import TcLane
from ovsct.lanes.tc_script import TcScript
from ovsct.openflow.actions import OFPP_LOCAL
from ovsct.openflow.text.flow_text import read_flows
from ovsct.packet.build import tcp, udp

A, B = "10.0.0.1", "10.0.0.2"
FIREWALL = """
table=0,priority=10,ip,ct_state=-trk,actions=ct(zone=2,table=1)
table=1,priority=10,ct_state=+trk+new,ip,in_port=1,actions=ct(commit,zone=2),output:2
table=1,priority=10,ct_state=+trk+est,ip,in_port=1,actions=output:2
table=1,priority=10,ct_state=+trk+est,ip,in_port=2,actions=output:1
"""
SYN = tcp(A, B, 1000, 80, "S", seq=1)
SYN_ACK = tcp(B, A, 80, 1000, "SA", seq=100, ack=2)
ACK = tcp(A, B, 1000, 80, "A", seq=2, ack=101)
TC, DATAPATH, SLOW = [Via.TC], [Via.DATAPATH], [Via.SLOW]


class Dialogue:
    """A lane, and a clock that a packet moves by a tenth of a second."""

    def __init__(self, flows: str, **options: object) -> None:
        self.lane = TcLane(Bridge((1, 2, 3), read_flows(flows, None)), **options)  # type: ignore[arg-type]
        self.now = 0.0

    def __call__(self, port: int, frame: bytes, wait: float = 0.1) -> Outcome:
        self.now += wait
        self.lane.advance(self.now)
        return self.lane.receive(Arrival(self.now, port, frame))

    def via(self, port: int, frame: bytes) -> list[Via]:
        return list(self(port, frame).via)

    def commands(self) -> list[str]:
        return [
            line.split(" cookie ")[0] if "cookie" not in line else _without_cookies(line)
            for line in self.lane.lowered("tc")
        ]


def _without_cookies(line: str) -> str:
    words = line.split()
    return " ".join(
        word for n, word in enumerate(words) if word != "cookie" and words[n - 1] != "cookie"
    )


def test_the_firewall_goes_to_tc_packet_by_packet() -> None:
    say = Dialogue(FIREWALL)
    assert say.via(1, SYN) == SLOW
    assert say.via(2, SYN_ACK) == SLOW
    assert say.via(1, ACK) == [Via.TC, Via.SLOW]
    assert say.via(1, ACK) == TC
    assert say.via(1, tcp(A, B, 1001, 80, "S", seq=1)) == TC


def test_the_firewall_as_commands() -> None:
    say = Dialogue(FIREWALL)
    say(1, SYN)
    assert say.commands() == [
        "tc qdisc add dev p1 ingress",
        "tc qdisc add dev p2 ingress",
        "tc qdisc add dev p3 ingress",
        "tc filter add dev p1 ingress prio 2 protocol ip handle 0x1 flower skip_hw"
        " ip_flags nofrag ct_state -trk action ct zone 2 action goto chain 1",
        "# ignored (ct-eventmask): the event mask that goes with ct(commit)",
        "tc filter add dev p1 ingress chain 1 prio 2 protocol ip handle 0x1 flower skip_hw"
        " ip_flags nofrag ct_state +trk+new action ct commit zone 2"
        " action mirred egress redirect dev p2",
    ]


def test_the_commands_do_in_tc_alone_what_the_lane_does() -> None:
    say = Dialogue(FIREWALL)
    for port, frame in ((1, SYN), (2, SYN_ACK), (1, ACK)):
        say(port, frame)
    alone = TcScript("\n".join(say.lane.lowered("tc")), (1, 2, 3))
    again = [
        (1, tcp(A, B, 1001, 80, "S", seq=1)),
        (2, tcp(B, A, 80, 1001, "SA", seq=100, ack=2)),
        (1, tcp(A, B, 1001, 80, "A", seq=2, ack=101)),
        (2, tcp(B, A, 80, 1001, "PA", seq=101, ack=2, payload=b"hello")),
    ]
    for n, (port, frame) in enumerate(again):
        both = say(port, frame), alone.receive(Arrival(float(n), port, frame))
        assert list(both[0].out) == list(both[1].out) and list(both[0].via) == TC


def test_a_miss_in_a_chain_goes_on_with_its_connection() -> None:
    say = Dialogue(FIREWALL, trace=True)
    say(1, SYN)
    say(2, SYN_ACK)
    outcome = say(1, ACK)
    assert [(out.port, out.frame) for out in outcome.out] == [(2, ACK)]
    handed, thawed = (s for s in outcome.steps if s.kind is StepKind.RECIRCULATE)
    assert (handed.via, handed.text) == (
        Via.TC, "no filter in chain 1: the datapath goes on with recirc_id(0x1)",
    )  # fmt: skip
    assert thawed.text == "thaw: resuming from table 1"
    (upcall,) = (step.text for step in outcome.steps if step.kind is StepKind.UPCALL)
    assert upcall.startswith("ct_state(+est+trk),ct_zone(0x2")


def test_a_translation_in_an_earlier_zone_shows_behind_a_miss() -> None:
    """Kernels 6.1 and 6.12: in zone 1 the packet is still new, and nothing is translated there."""
    say = Dialogue(
        "table=0,ip,actions=ct(table=1,nat)\n"
        "table=1,priority=1,ip,actions=ct(commit,nat(dst=9.9.9.9))\n"
        "table=1,priority=9,ip,ct_state=+trk-new-inv,actions=ct(table=2,zone=1,nat)\n"
        "table=2,priority=9,ip,ct_state=+trk+snat,actions=output:3\n"
        "table=2,priority=1,ip,actions=ct(commit,zone=1,nat(src=10.0.0.9)),output:1"
    )
    answer = udp("9.9.9.9", A, 80, 1000)
    say(1, udp(A, B, 1000, 80))
    # On its first way the datapath keeps the zones apart; then TC does both look-ups.
    assert [out.port for out in say(2, answer).out] == [1]
    assert [out.port for out in say(2, answer).out] == [3]


def test_both_share_the_conntrack_that_is_given() -> None:
    netfilter = Netfilter(kernel="6.12")
    say = Dialogue(FIREWALL, netfilter=netfilter)
    say(1, SYN)
    assert say.lane.tc.netfilter is netfilter and say.lane.tc.kernel == "6.12"
    assert len(netfilter.connections(say.now)) == len(say.lane.connections()) == 1


def test_without_skb_ext_conntrack_stays_in_the_datapath() -> None:
    say = Dialogue(FIREWALL, skb_ext=False)
    assert say.via(1, SYN) == SLOW
    assert say.via(1, SYN) == DATAPATH
    assert not say.lane.offloaded and len(say.lane.refused) == 2


def test_a_chain_that_only_the_datapath_leads_to_is_slow_for_ever() -> None:
    flows = FIREWALL.replace("priority=10,ip,ct_state=-trk", "pkt_mark=0/1,ip")
    say = Dialogue(flows)
    assert say.via(1, SYN) == SLOW
    frames = [tcp(A, B, 1000 + n, 80, "S", seq=1) for n in range(3)]
    assert [say.via(1, frame) for frame in frames] == [[Via.DATAPATH, Via.SLOW]] * 3
    assert say.lane.duplicates == 3
    assert len(say.lane.offloaded) == 1


def test_tc_keeps_nothing_behind_a_recirculation() -> None:
    say = Dialogue("ip,ct_state=-trk,actions=ct(table=1),output:3\ntable=1,actions=output:2")
    # What goes up is out last.
    assert [out.port for out in say(1, SYN).out] == [3, 2]
    assert [out.port for out in say(1, SYN).out] == [2]


def test_padding_is_trimmed_and_counted() -> None:
    say = Dialogue(FIREWALL)
    padded = SYN + bytes(6)
    assert [len(out.frame) for out in say(1, padded).out] == [54]
    assert [len(out.frame) for out in say(1, padded).out] == [54]
    flow = next(iter(say.lane.offloaded))
    say.lane.collect()
    assert (flow.packets, flow.bytes) == (1, 46)


def test_openflow_counters_have_what_tc_counted() -> None:
    say = Dialogue("in_port=1,actions=output:2")
    for _ in range(3):
        say(1, SYN)
    ((_, packets, size),) = say.lane.flow_stats()
    # The packet of the upcall with its Ethernet header, those that TC saw without.
    assert (packets, size) == (3, 54 + 40 + 40)


def test_a_megaflow_lives_by_its_filters_last_packet() -> None:
    say = Dialogue("in_port=1,actions=output:2")
    say(1, SYN)
    say(1, SYN, wait=9.0)
    assert say.via(1, SYN) == TC
    assert not [e for e in say.lane.advance(say.now + 9.9) if e.kind is EventKind.MEGAFLOW_EXPIRED]
    (event,) = say.lane.advance(say.now + 10.1)
    assert (event.kind, event.at) == (EventKind.MEGAFLOW_EXPIRED, pytest.approx(say.now + 10))
    assert len(say.lane.lowered("tc")) == 3 and not say.lane.offloaded
    assert say.via(1, SYN) == SLOW


def test_the_flow_table_goes_with_the_last_filter_of_its_zone() -> None:
    say = Dialogue(FIREWALL)
    for port, frame in ((1, SYN), (2, SYN_ACK), (1, ACK), (1, ACK), (2, ACK[:6] + SYN_ACK[6:])):
        say(port, frame)
    (connection,) = say.lane.connections()
    assert "offload" in connection.status
    say.lane.advance(say.now + 11)
    (connection,) = say.lane.connections()
    assert "offload" not in connection.status
    assert connection.state == "ESTABLISHED"


def test_what_filters_send_into_the_bridge_is_its_own_ports() -> None:
    say = Dialogue("actions=output:2,LOCAL")
    for _ in range(2):
        assert list(say(1, SYN).out) == [(2, SYN), (OFPP_LOCAL, SYN)]
    assert say.via(1, SYN) == TC


def test_a_drop_is_a_filters() -> None:
    say = Dialogue("udp,actions=output:2")
    assert say(1, SYN).drop is Drop.TABLE_MISS
    outcome = say(1, SYN)
    assert (outcome.drop, list(outcome.via)) == (Drop.FILTER, TC)
    assert list(say(1, udp(A, B, 1, 2)).out) == [(2, udp(A, B, 1, 2))]


def test_refuses_a_port_and_a_form_that_are_not_there() -> None:
    say = Dialogue(FIREWALL)
    with pytest.raises(InputError, match="port 9"):
        say(9, SYN)
    with pytest.raises(InputError, match="nothing of this kind"):
        say.lane.lowered("nic")
    assert say(1, b"\0" * 13).drop is Drop.MALFORMED
