"""The lane tc-script: what a script may say, what is refused and where, what the stack gets."""

from __future__ import annotations

import pytest

from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError
from ovsct.lane import STACK, Arrival, Drop, StepKind, Via
from ovsct.lanes.tc_script import TcScript
from ovsct.packet.build import udp

FRAME = udp("10.0.0.1", "10.0.0.2", 1000, 53)
OUT = "tc filter add dev p1 ingress protocol ip flower action mirred egress redirect dev p2\n"
TALK = "".join(
    f"tc filter add dev {port} ingress prio 1 {rest}\n"
    for port, other in (("p1", "p2"), ("p2", "p1"))
    for rest in (
        "proto ip flower ct_state -trk action ct zone 2 pipe action goto chain 100",
        "chain 100 proto ip flower ct_state +trk+new action ct commit zone 2 pipe"
        f" action mirred egress redirect dev {other}",
        "chain 100 proto ip flower ct_state +trk-new"
        f" action mirred egress redirect dev {other}",
    )
)


def test_what_no_filter_takes_is_the_stacks() -> None:
    lane = TcScript("", [1])
    outcome = lane.receive(Arrival(0.0, 1, FRAME))
    assert list(outcome.out) == [(STACK, FRAME)]
    assert (outcome.drop, list(outcome.via)) == (None, [Via.TC])


def test_a_script_without_qdiscs_has_them() -> None:
    lane = TcScript(OUT)
    assert list(lane.receive(Arrival(0.0, 1, FRAME)).out) == [(2, FRAME)]


def test_deleting_a_qdisc_takes_its_filters() -> None:
    both = "qdisc add dev p1 ingress\n" + OUT + "qdisc del dev p1 ingress\nqdisc add dev p1 clsact"
    lane = TcScript(both)
    assert list(lane.receive(Arrival(0.0, 1, FRAME)).out) == [(STACK, FRAME)]


REFUSED = [
    ("qdisc add dev p2 ingress\n" + OUT, "2: Parent Qdisc doesn't exists"),
    ("qdisc add dev p1 ingress\nqdisc add dev p1 clsact", "2: Exclusivity flag on"),
    ("\nqdisc del dev p1 ingress", "2: Cannot find specified qdisc on specified device"),
    (OUT.replace("p2", "p7"), '1: Cannot find device "p7"'),
    ("# x\n" + OUT.replace("ip flower", "ip prio 1 flower") * 2, "3: a filter with the same key"),
    ("tc filter change dev p1 ingress prio 3 handle 1 protocol ip flower", "1: Filter with"),
    ("tc filter del dev p1 ingress prio 3", "1: Filter with specified priority/protocol"),
    ("tc filter add dev p1 ingress flower ip_proto tcp", "1:37: ip_proto cannot stand here"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED)
def test_refuses_a_line_by_its_number(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        TcScript(text, [1, 2], file="rules.tc")
    assert str(caught.value).startswith("rules.tc:" + says)


def test_refuses_a_port_that_is_not_there() -> None:
    with pytest.raises(InputError, match="port 3, which is not there"):
        TcScript(OUT).receive(Arrival(0.0, 3, FRAME))


def test_a_frame_without_an_ethernet_header() -> None:
    assert TcScript(OUT).receive(Arrival(0.0, 1, b"\0" * 13)).drop is Drop.MALFORMED


def test_a_trace_tells_the_way() -> None:
    lane = TcScript(TALK, trace=True)
    steps = lane.receive(Arrival(0.0, 1, FRAME)).steps
    assert [step.kind for step in steps] == [
        StepKind.CHAIN, StepKind.FILTER, StepKind.CONNTRACK, StepKind.CHAIN, StepKind.FILTER,
        StepKind.CONNTRACK, StepKind.OUTPUT,
    ]  # fmt: skip
    assert {step.via for step in steps} == {Via.TC}
    assert steps[3].text == "chain 100"


def test_connections_and_their_end() -> None:
    lane = TcScript(TALK)
    lane.receive(Arrival(1.0, 1, FRAME))
    (found,) = lane.connections()
    assert (found.zone, found.proto, "offload" in found.status) == (2, 17, True)
    assert "sport=1000" in lane.dump_conntrack("proc")[0]
    assert lane.advance(500.0)
    assert not lane.connections()


def test_shares_a_conntrack() -> None:
    netfilter = Netfilter("6.12")
    lane = TcScript(TALK, netfilter=netfilter)
    lane.receive(Arrival(1.0, 1, FRAME))
    assert netfilter.connections(1.0) == lane.connections()
    assert lane.tc.kernel == "6.12"
