from __future__ import annotations

import pytest

from ovsct.compare.cause import Cause
from ovsct.compare.diverge import explain
from ovsct.compare.events import Advance
from ovsct.compare.lockstep import Rule, lockstep
from ovsct.compare.survey import Survey
from ovsct.errors import InputError, OvsctError
from ovsct.lane import Arrival, Drop, Event, EventKind, Lane, Outcome, Output
from tests.compare.fakes import FakeLane, dropped, sent

A, B = b"a" * 14, b"b" * 14


def packets(*times: float) -> list[Arrival]:
    return [Arrival(at, 1, A) for at in times]


def test_every_lane_gets_the_same_and_rows_are_numbered() -> None:
    lanes = [FakeLane("a"), FakeLane("b", {2: dropped()})]
    rows = list(lockstep(lanes, [*packets(0.0, 1.0), Advance(5.0), *packets(6.0)]))
    assert [(row.place, row.n, row.alike) for row in rows] == [
        (0, 1, True), (1, 2, False), (2, 2, True), (3, 3, True),
    ]  # fmt: skip
    assert [lane.advanced for lane in lanes] == [[0.0, 1.0, 5.0, 6.0]] * 2


def test_the_time_of_a_judge_follows_its_packets() -> None:
    judge = FakeLane("real-ovs")
    list(lockstep([judge, FakeLane("a")], [*packets(0.0, 1.0), Advance(5.0)]))
    assert judge.advanced == [5.0]


def test_packets_that_come_close_upon_each_other_tell_the_time_once() -> None:
    lane = FakeLane("a")
    times = [0.0, 0.004, 0.01, 0.011, 0.0199, 0.021, 5.0, 5.001]
    list(lockstep([lane], [*packets(*times), Advance(5.002), *packets(5.003)]))
    assert lane.advanced == [0.0, 0.01, 0.021, 5.0, 5.002]


def test_the_order_across_ports_counts_only_between_models() -> None:
    one, other = sent(Output(2, A), Output(1, B)), sent(Output(1, B), Output(2, A))
    for name, alike in (("b", False), ("real-ovs", True)):
        rows = lockstep([FakeLane("a", {1: one}), FakeLane(name, {1: other})], packets(0.0))
        assert [row.alike for row in rows] == [alike]


def test_the_order_on_a_port_always_counts() -> None:
    one, other = sent(Output(2, A), Output(2, B)), sent(Output(2, B), Output(2, A))
    lanes = [FakeLane("a", {1: one}), FakeLane("real-ovs", {1: other})]
    assert [row.alike for row in lockstep(lanes, packets(0.0))] == [False]
    assert Rule(False).comparable((Output("stack", A), Output(2, A))) == (
        Output(2, A), Output("stack", A),
    )  # fmt: skip


def test_why_a_packet_is_dropped_is_not_compared() -> None:
    lanes = [FakeLane("a", {1: dropped(Drop.FILTER)}), FakeLane("b", {1: dropped(Drop.ACTIONS)})]
    assert [row.alike for row in lockstep(lanes, packets(0.0))] == [True]


def test_what_time_releases_is_compared() -> None:
    event = Event(2.0, EventKind.FRAGMENTS_RELEASED, "late", (Output(2, B),))
    lanes = [FakeLane("a", events={2.0: [event]}), FakeLane("b")]
    rows = list(lockstep(lanes, [*packets(0.0), Advance(3.0)]))
    assert [row.alike for row in rows] == [True, False]
    assert rows[1].taken[0].out == (Output(2, B),)


def test_a_refused_packet_names_packet_and_lane() -> None:
    class Picky(FakeLane):
        def receive(self, packet: Arrival) -> Outcome:
            raise InputError("no such port", token="1")

    with pytest.raises(InputError, match="packet 1 in lane b: no such port: '1'"):
        list(lockstep([FakeLane("a"), Picky("b")], packets(0.0)))


def survey(*lanes: tuple[str, dict[int, Outcome]], limit: int = 10) -> tuple[Survey, list[Lane]]:
    made: list[Lane] = []

    def factory(name: str, answers: dict[int, Outcome]):  # type: ignore[no-untyped-def]
        def make(trace: bool) -> Lane:
            made.append(FakeLane(name, answers, trace=trace))
            return made[-1]

        return make

    return Survey({name: factory(name, answers) for name, answers in lanes}, limit), made


def test_a_survey_counts_all_and_explains_the_first() -> None:
    found, made = survey(("a", {}), ("b", {2: dropped(), 4: dropped(), 5: dropped()}), limit=2)
    happenings = [*packets(0.0, 1.0), Advance(2.0), *packets(3.0, 4.0, 5.0)]
    assert sum(1 for _ in found.run(happenings)) == 6
    assert (found.packets, found.differ, found.places, found.alike) == (5, [2, 4, 5], [1, 4], False)
    divergences = list(found.divergences(happenings))
    assert [each.n for each in divergences] == [2, 4]
    assert [each.cause for each in divergences] == [Cause.UNEXPLAINED] * 2
    assert [lane.trace for lane in made] == [False, False, True, True]  # type: ignore[attr-defined]
    assert all(lane.closed for lane in made)  # type: ignore[attr-defined]
    assert made[2].n == 4  # type: ignore[attr-defined] # no further than needed


def test_lanes_that_did_the_same_are_one_party() -> None:
    other = sent(Output(3, A))
    found, _ = survey(("a", {}), ("b", {1: other}), ("c", {}), ("d", {1: dropped()}))
    list(found.run(packets(0.0)))
    (divergence,) = found.divergences(packets(0.0))
    assert divergence.parties == (("a", "c"), ("b",), ("d",))
    assert [finding.lanes for finding in divergence.findings] == [("a", "b"), ("a", "d")]
    assert divergence.because == divergence.findings[0].because


def test_lanes_that_are_alike_need_no_second_run() -> None:
    found, made = survey(("a", {}), ("b", {}))
    list(found.run(packets(0.0)))
    assert found.alike
    assert list(found.divergences(packets(0.0))) == []
    assert len(made) == 2


def test_a_lane_that_does_not_repeat_itself_is_told() -> None:
    factories = {"a": lambda trace: FakeLane("a"), "b": lambda trace: FakeLane("b")}
    with pytest.raises(OvsctError, match=r"packet 1: .* is not deterministic"):
        list(explain(factories, packets(0.0), {0}))
