"""Tables with a limit: what is refused, and which flow goes, against a real ovs-vswitchd."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.eviction import TableFull, read_limit, read_limits
from ovsct.compare.case import FLOW_MOD, Case, Shot
from ovsct.compare.verify import Verifier
from ovsct.errors import InputError
from ovsct.openflow.text.flow_text import parse_flow
from tests.bridge.judged import differences

UDP = "udp 10.0.0.1:1 > 10.0.0.2:2"


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as both:
        yield both


def drawn(number: int) -> Case:
    """Flows come to a table that holds four; no two would end at nearly the same time."""
    dice = Random(number)
    limit = "1 limit 4 evict" + dice.choice(("", " by NXM_OF_IN_PORT[]"))
    ends = dice.sample(range(60, 600, 3), 30)
    shots, at = [], 0.0
    for turn in range(dice.randrange(6, 14)):
        at += dice.choice((0.5, 2.0))
        timeout = dice.choice(("idle_timeout", "hard_timeout"))
        importance = dice.choice((0, 0, 1, 5))
        words = [f"add table=1,priority={turn},importance={importance}"]
        if "by" in limit:
            # Of two groups of one size OVS takes either: one is always the larger.
            words.append(f"in_port={1 if turn else 2}")
        if dice.random() < 0.9:
            words.append(f"{timeout}={ends[turn] - int(at)}")
        shots.append(Shot(at, 0, f"{FLOW_MOD}{','.join(words)},actions=output:2"))
        if dice.random() < 0.4:
            shots.append(Shot(at, dice.choice((1, 2)), UDP))
    return Case(("actions=resubmit(,1)",), tuple(shots), flow_tables=(limit,))


@pytest.mark.real_ovs
@pytest.mark.parametrize("first", [0, 6])
def test_the_same_flows_are_left(verifier: Verifier, first: int) -> None:
    for number in range(first, first + 6):
        assert not differences(verifier, drawn(number)), number


def adds(*flows: str) -> tuple[Shot, ...]:
    return tuple(Shot(at / 2, 0, f"{FLOW_MOD}add {flow}") for at, flow in enumerate(flows))


CASES = {
    "refused without eviction": Case(
        ("table=2,priority=1,actions=drop",),
        adds("table=2,priority=2,hard_timeout=9,actions=drop", "table=2,priority=3,actions=drop"),
        flow_tables=("2 limit 2",),
    ),
    "flows without a timeout stay": Case(
        ("table=2,priority=1,actions=drop", "table=2,priority=2,actions=drop"),
        adds("table=2,priority=3,actions=drop"), flow_tables=("2 limit 2 evict",),
    ),
    "what takes a place needs no room": Case(
        ("table=2,priority=1,actions=drop", "table=2,priority=2,idle_timeout=9,actions=drop"),
        adds("table=2,priority=1,actions=output:2"), flow_tables=("2 limit 2 evict",),
    ),
    "learned flows need room": Case(
        ("udp,actions=learn(table=2,hard_timeout=90,eth_type=0x800,nw_proto=17,NXM_OF_UDP_SRC[])",),
        tuple(Shot(float(n), 1, f"udp 10.0.0.1:{n} > 10.0.0.2:2") for n in range(1, 5)),
        flow_tables=("2 limit 2",),
    ),
    "overlap is looked at first": Case(
        ("table=2,priority=1,tcp,actions=drop", "table=2,priority=2,hard_timeout=9,actions=drop"),
        adds("table=2,check_overlap,priority=1,ip,nw_dst=1.1.1.1,actions=drop"),
        flow_tables=("2 limit 2 evict",),
    ),
}  # fmt: skip


@pytest.mark.real_ovs
@pytest.mark.parametrize("name", CASES)
def test_what_is_refused_and_what_goes(verifier: Verifier, name: str) -> None:
    assert not differences(verifier, CASES[name])


def test_the_largest_group_gives_way_then_the_least_important_then_who_ends_first() -> None:
    limits = read_limits(["1 limit 3 evict by in_port[]"])
    bridge = Bridge((1, 2), limits=limits)

    def left(*flows: str) -> set[int]:
        for flow in flows:
            bridge.add_flow(parse_flow(f"table=1,{flow},actions=drop"))
        return {flow.priority for flow in bridge.tables[1]}

    assert left(
        "priority=1,in_port=1,hard_timeout=90,importance=3",
        "priority=2,in_port=1,hard_timeout=80,importance=9",
        "priority=3,in_port=2,hard_timeout=5",
    ) == {1, 2, 3}  # fmt: skip
    # in_port=1 has two flows; the less important one goes, though the other ends first.
    assert left("priority=4,in_port=2,hard_timeout=9") == {2, 3, 4}
    assert left("priority=5,in_port=2") == {2, 4, 5}
    # A table that was limited later gives up what is too much.
    gone = bridge.flow_tables.set_limit(1, read_limit("1 limit 1 evict")[1])
    assert [flow.priority for flow in gone] == [4, 2]
    with pytest.raises(TableFull, match="OFPFMFC_TABLE_FULL"):
        left("priority=6,in_port=2,hard_timeout=9")


@pytest.mark.parametrize("text", ["limit 3", "1 limit x", "254 limit 3", "1 limit 3 evict by foo"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(InputError):
        read_limit(text)
