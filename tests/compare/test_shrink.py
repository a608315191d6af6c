from __future__ import annotations

from ovsct.bridge.bridges import Plan
from ovsct.compare.case import BridgeCase, Case, Shot
from ovsct.compare.generate import generate
from ovsct.compare.shrink import shorter_flows, shrink, split

NOISE = tuple(f"table=3,priority={n},ip,nw_src=10.0.0.{n},actions=output:1" for n in range(1, 9))
PACKETS = tuple(
    Shot(float(n), 1, f"udp 10.0.0.1:{n} > 10.0.0.2:53 len 20 ttl 9") for n in range(1, 20)
)


def test_brackets_hold_together() -> None:
    assert split("a(b,c(d,e)),f[1..2],g") == ["a(b,c(d,e))", "f[1..2]", "g"]


def test_a_flow_gets_shorter_by_one_part() -> None:
    flow = "table=1,priority=5,ip,nw_dst=1.1.1.1,actions=clone(dec_ttl,output:1),output:2"
    assert set(shorter_flows(flow)) == {
        "table=1,priority=5,ip,nw_dst=1.1.1.1,actions=output:2",
        "table=1,priority=5,ip,nw_dst=1.1.1.1,actions=clone(dec_ttl,output:1)",
        "table=1,priority=5,ip,nw_dst=1.1.1.1,actions=dec_ttl,output:1,output:2",
        "table=1,priority=5,ip,nw_dst=1.1.1.1,actions=clone(output:1),output:2",
        "table=1,priority=5,ip,nw_dst=1.1.1.1,actions=clone(dec_ttl),output:2",
        "table=1,priority=5,nw_dst=1.1.1.1,actions=clone(dec_ttl,output:1),output:2",
        "table=1,priority=5,ip,actions=clone(dec_ttl,output:1),output:2",
    }


def test_a_fault_of_two_parts_is_all_that_is_left() -> None:
    fault = "table=0,priority=1,ip,in_port=1,actions=set_field:1->reg0,clone(dec_ttl,output:1),exit"
    case = Case((*NOISE[:4], fault, *NOISE[4:]), PACKETS, groups=("group_id=1,type=all",))

    def still(case: Case) -> bool:
        flows = "\n".join(case.flows)
        return "dec_ttl" in flows and any(":7 >" in shot.line for shot in case.shots)

    short = shrink(case, still)
    assert short.flows == ("table=0,priority=1,actions=dec_ttl",)
    assert [shot.line for shot in short.shots] == ["udp 10.0.0.1:7 > 10.0.0.2:53"]
    assert short.groups == ()


def test_flows_of_each_of_several_bridges_go() -> None:
    one, other = Plan("br-a", ((1, 1),), ((9, "br-b", 9),)), Plan("br-b", (), ((9, "br-a", 9),))
    fault = "table=0,priority=1,ip,actions=set_field:1->reg0,dec_ttl,output:1"
    case = Case((), PACKETS, bridges=(
        BridgeCase(one, NOISE), BridgeCase(other, (*NOISE, fault), ("group_id=1,type=all",)),
    ))  # fmt: skip
    short = shrink(case, lambda case: "dec_ttl" in "".join(case.bridges[1].flows))
    assert [bridge.flows for bridge in short.bridges] == [
        (), ("table=0,priority=1,actions=dec_ttl",)
    ]  # fmt: skip
    assert [bridge.plan for bridge in short.bridges] == [one, other]
    assert short.bridges[1].groups == ()


def test_what_is_asked_is_bounded() -> None:
    asked = 0

    def still(case: Case) -> bool:
        nonlocal asked
        asked += 1
        return len(case.shots) > 5

    shrink(generate(1, 3), still, runs=25)
    assert asked <= 25


def test_a_nat_never_loses_its_address() -> None:
    flow = "table=1,ip,actions=ct(commit,nat(src=9.9.9.9))"
    assert not any(text.endswith(",nat)") for text in shorter_flows(flow))
