from __future__ import annotations

import json

import pytest

from ovsct.compare.diverge import Divergence, judge
from ovsct.compare.lockstep import Lockstep, lockstep
from ovsct.lane import (
    CONTROLLER,
    STACK,
    Arrival,
    Drop,
    Event,
    EventKind,
    Outcome,
    Output,
    Step,
    StepKind,
    Via,
)
from ovsct.packet import build
from ovsct.report.json import divergence_line, packet_line
from ovsct.report.tally import Tally
from ovsct.report.text import (
    Style,
    divergence_text,
    packet_table,
    step_lines,
    tally_table,
    trace_text,
)
from ovsct.report.text import packet_line as human_line
from tests.compare.fakes import FakeLane, connection, ct, dropped, sent

FRAME = build.udp("10.0.0.1", "10.0.0.2", 1000, 80)
OTHER = build.udp("10.0.0.1", "10.0.0.9", 1000, 80)


@pytest.mark.parametrize(
    ("outcome", "rest"),
    [
        (sent(Output(2, b"\1"), via=[Via.HW]), {"out": [[2, "01"]], "drop": None, "via": ["hw"]}),
        (
            sent(Output(CONTROLLER, b""), Output(3, b"\2"), Output(STACK, b"\3"),
                 via=[Via.TC, Via.SLOW]),
            {"out": [["controller", ""], [3, "02"], ["stack", "03"]], "drop": None,
             "via": ["tc", "slow"]},
        ),
        (dropped(Drop.TABLE_MISS, via=()), {"out": [], "drop": "table-miss", "via": []}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", [0.0, 0.1, 1e-9, 1234567.000001, 1e17, 3.0])
def test_a_json_line_is_what_json_itself_would_write(
    outcome: Outcome, rest: dict[str, object], at: float
) -> None:
    line = packet_line(7, Arrival(at, 1, FRAME), outcome)
    assert line == json.dumps({"n": 7, "at": at, "port": 1, **rest}) + "\n"


def test_a_line_for_people() -> None:
    outcome = sent(Output(2, FRAME), Output(CONTROLLER, OTHER), via=[Via.TC])
    line = human_line(3, Arrival(0.5, 1, FRAME), outcome)
    assert line.startswith("     3     0.500000 p1 10.0.0.1.1000 > 10.0.0.2.80")
    assert " -> p2; controller as 10.0.0.1.1000 > 10.0.0.9.80" in line
    assert line.endswith(" [tc]\n")
    assert human_line(1, Arrival(0.0, 1, b"x"), dropped(Drop.MALFORMED, via=())).endswith(
        "-> dropped (malformed)\n"
    )


def test_the_table_of_packets_by_lane() -> None:
    one, other = Tally(), Tally()
    for outcome in (
        sent(Output(2, FRAME), via=[Via.HW]),
        dropped(Drop.FILTER, via=[Via.HW, Via.TC]),
        dropped(Drop.FILTER, via=[Via.TC]),
        dropped(Drop.TTL, via=[Via.TC]),
    ):
        one.add(outcome)
    assert tally_table({"one": one, "other": other}).splitlines() == [
        "lane   packets  sent  dropped  via hw  via tc  why dropped",
        "-----  -------  ----  -------  ------  ------  ---------------",
        "one          4     1        3  50.0 %  75.0 %  filter 2, ttl 1",
        "other        0     0        0       -       -",
    ]


def divergence(one: Outcome, other: Outcome) -> Divergence:
    lanes = [
        FakeLane("ovs", {1: one}, held=[connection("TIME_WAIT", proto=17)]),
        FakeLane("hw", {1: other}, held=[connection(proto=17)]),
    ]
    steps = Lockstep(lanes)
    row = steps.step(Arrival(0.25, 1, FRAME), look=True)
    return judge(["ovs", "hw"], row, [(), ()], steps.rule)


def test_a_divergence_stands_side_by_side_with_its_cause_and_steps() -> None:
    found = divergence(
        dropped(steps=[ct("inv|trk")]),
        sent(Output(2, FRAME), via=[Via.HW], steps=[Step(Via.HW, StepKind.HARDWARE, "hit")]),
    )
    lines = divergence_text(found).splitlines()
    assert lines[0].startswith("packet 1 at 0.250000 s on p1: 10.0.0.1.1000 > 10.0.0.2.80")
    assert lines[1] == "  ovs  dropped (actions) [datapath]"
    assert lines[2] == "  hw   p2 [hw]"
    assert lines[3].startswith("  cause: stale-hardware-entry: hw forwards by the hardware's entry")
    assert lines[4:] == [
        "  steps of ovs:",
        "    datapath   conntrack: ct_state=inv|trk, ct_zone=0",
        "  steps of hw:",
        "    hw       hardware: hit",
    ]
    assert divergence_text(found, steps=False).splitlines() == lines[:4]


def test_where_only_bytes_differ_they_are_shown_and_marked() -> None:
    found = divergence(sent(Output(2, FRAME)), sent(Output(2, OTHER)))
    text = divergence_text(found, steps=False).splitlines()
    # The destination address ends at byte 0x21, its checksums stand at 0x18 and 0x28.
    assert text[3].split()[:2] == ["ovs", "0010"]
    assert text[4].split()[:2] == ["hw", "0010"]
    assert text[5].count("^^") == 1 or text[5].count("^^") == 2
    at = text[4].index(" 40 11 ") + 7
    assert text[5][at : at + 5].strip("^ ") == ""
    assert [line.split()[:2] for line in text[6:8]] == [["ovs", "0020"], ["hw", "0020"]]
    assert text[7][text[8].index("^^") :][:2] == "09"


def test_a_divergence_for_programs() -> None:
    found = divergence(dropped(), sent(Output(2, FRAME), via=[Via.HW]))
    record = json.loads(divergence_line(found))
    assert record["n"] == 1
    assert record["frame"] == FRAME.hex()
    assert record["cause"] == "stale-hardware-entry"
    assert record["lanes"]["ovs"]["drop"] == "actions"
    assert record["lanes"]["hw"]["out"] == [[2, FRAME.hex()]]
    assert record["lanes"]["hw"]["connections"][0]["state"] == "ESTABLISHED"


def test_the_table_of_packets_marks_where_lanes_differ() -> None:
    lanes = [FakeLane("a"), FakeLane("b", {2: dropped(Drop.FILTER, via=[Via.TC])})]
    rows = list(lockstep(lanes, [Arrival(0.0, 1, FRAME), Arrival(1.5, 1, FRAME)]))
    lines = packet_table(["a", "b"], rows).splitlines()
    assert lines[0].split() == ["n", "at", "in", "packet", "a", "b"]
    assert lines[2].startswith("   1") and lines[2].endswith("p2 [datapath]")
    assert lines[3].startswith("*  2  1.5  p1") and lines[3].endswith("- filter [tc]")


def test_colour_only_if_asked_for() -> None:
    rows = list(lockstep([FakeLane("a"), FakeLane("b", {1: dropped()})], [Arrival(0.0, 1, FRAME)]))
    assert "\x1b" not in packet_table(["a", "b"], rows)
    assert "\x1b[31m*" in packet_table(["a", "b"], rows, Style(True))


def test_every_kind_of_step_has_its_place_in_the_tree() -> None:
    lines = list(step_lines([Step(Via.SLOW, kind, "text") for kind in StepKind]))
    assert len(lines) == len(StepKind)
    assert lines[list(StepKind).index(StepKind.UPCALL)] == (
        "slow     upcall: no megaflow covers it"
    )
    assert lines[list(StepKind).index(StepKind.ACTION)] == "slow         action: text"


def test_a_traced_packet_begins_with_what_time_brought() -> None:
    event = Event(2.0, EventKind.CONNECTION_EXPIRED, "udp 10.0.0.1")
    lines = trace_text(2, Arrival(3.0, 1, FRAME), dropped(steps=[ct("new|trk")]), [event])
    assert lines.splitlines()[1:] == [
        "        2 s: connection-expired: udp 10.0.0.1",
        "    datapath   conntrack: ct_state=new|trk, ct_zone=0",
        "    => dropped (actions) [datapath]",
    ]
