"""Each cause, reached by the smallest evidence that shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from ovsct.compare.cause import Cause
from ovsct.compare.diverge import Divergence, judge
from ovsct.compare.evidence import concerning, tuple_of
from ovsct.compare.lockstep import Lockstep
from ovsct.lane import (
    STACK,
    Arrival,
    Connection,
    Drop,
    Event,
    EventKind,
    Outcome,
    Output,
    Step,
    StepKind,
    Tuple5,
    Via,
)
from ovsct.packet import build
from tests.compare.fakes import FakeLane, connection, ct, dropped, sent

ENDS = ("10.0.0.1", "10.0.0.2", 1000, 80)
DATA = build.tcp(*ENDS, "PA", payload=b"x")
HW = (Via.HW,)
TC = (Via.TC,)


def diverge(
    frame: bytes,
    one: Outcome | None,
    other: Outcome | None,
    held: tuple[Sequence[Connection], Sequence[Connection]] = ((), ()),
    events: tuple[Sequence[Event], Sequence[Event]] = ((), ()),
) -> Divergence:
    lanes = [
        FakeLane(name, {1: answer} if answer else {}, held=mine, events={0.0: happened})
        for name, answer, mine, happened in zip("ab", (one, other), held, events, strict=True)
    ]
    steps = Lockstep(lanes)
    row = steps.step(Arrival(0.0, 1, frame), look=True)
    return judge("ab", row, [taken.events for taken in row.taken], steps.rule)


def to(port: int | str, frame: bytes = DATA, *steps: Step, via: Sequence[Via] = ()) -> Outcome:
    return sent(Output(port, frame), via=via or (Via.DATAPATH,), steps=steps)


def nat(*, src: str, text: str = "ct(commit,nat(src=192.0.2.1))") -> Outcome:
    frame = build.tcp(src, *ENDS[1:], "PA", payload=b"x")
    return to(2, frame, Step(Via.SLOW, StepKind.ACTION, text))


PADDED = build.udp(*ENDS, payload=b"x", pad=60)
EXPIRED = Event(0.0, EventKind.CONNECTION_EXPIRED, "tcp 10.0.0.1:1000 > 10.0.0.2:80")
FULL = dropped(Drop.CONNTRACK, steps=[Step(Via.SLOW, StepKind.ACTION, "ct(commit)")])
USED_UP = dropped(Drop.CONNTRACK, steps=[Step(Via.SLOW, StepKind.ACTION, "ct(nat(src=1.1.1.1))")])
FRAGMENT = build.fragment(build.udp(*ENDS, payload=bytes(40)), [16])[0]
UNREAD = build.udp(*ENDS, bad="l4")
ARP = build.arp("10.0.0.1", "10.0.0.2")
WRITTEN = Step(Via.HW, StepKind.OFFLOAD, "offloaded connection: ct_state=+trk zone=0 mark=0x3")
BOTH = ([connection()], [connection()])

CASES: list[tuple[Cause, Divergence]] = [
    (Cause.OUTPUT_ORDER, diverge(DATA, sent(Output(2, DATA), Output(3, DATA)),
                                 sent(Output(3, DATA), Output(2, DATA)))),
    (Cause.PADDING, diverge(PADDED, to(2, PADDED), to(2, PADDED[:43]))),
    (Cause.NAT_CHOICE, diverge(DATA, nat(src="192.0.2.1"), nat(src="192.0.2.2"))),
    (Cause.FRAGMENTS, diverge(FRAGMENT, dropped(Drop.HELD), None)),
    (Cause.FRAGMENTS, diverge(FRAGMENT, dropped(), None)),
    (Cause.QINQ, diverge(build.udp(*ENDS, vlans=[5, 6]), dropped(), None)),
    (Cause.NON_IP_CT, diverge(ARP, None, dropped(Drop.NOT_IP))),
    (Cause.HARDWARE_LOST, diverge(DATA, None, dropped(Drop.LOST))),
    (Cause.NAT_EXHAUSTED, diverge(DATA, None, USED_UP)),
    (Cause.TABLE_FULL, diverge(DATA, FULL, None)),
    (Cause.RECIRCULATION_DEPTH, diverge(DATA, dropped(Drop.RECIRCULATION), None)),
    (Cause.RECIRCULATION_DEPTH, diverge(DATA, None, dropped(Drop.CHAINS))),
    (Cause.HAIRPIN, diverge(DATA, dropped(Drop.OUTPUT), to(1))),
    (Cause.NO_FILTER, diverge(DATA, dropped(), to(STACK))),
    (Cause.CHECKSUM, diverge(UNREAD, dropped(steps=[ct("inv|trk")]),
                             to(2, UNREAD, ct("est|trk")))),
    (Cause.TTL_OR_OPTIONS, diverge(build.udp(*ENDS, ttl=1), dropped(Drop.TTL), None)),
    (Cause.TTL_OR_OPTIONS, diverge(build.udp(*ENDS, ip_options=b"\1\1\1\1"), dropped(), None)),
    (Cause.MARK_STALE, diverge(DATA, None, dropped(via=HW),
                               ([connection(mark=1)], [connection(mark=2)]))),
    (Cause.MARK_STALE, diverge(DATA, dropped(), to(2, DATA, WRITTEN, via=HW),
                               ([connection(mark=7)], [connection(mark=7)]))),
    (Cause.STALE_HARDWARE_ENTRY, diverge(DATA, dropped(steps=[ct("inv|trk")]), to(2, via=HW),
                                         ([connection("TIME_WAIT")], [connection()]))),
    (Cause.TIMEOUT, diverge(DATA, None, dropped(steps=[ct("inv|trk")]),
                            ([connection()], []), ([], [EXPIRED]))),
    (Cause.FLOW_TABLE_BYPASS, diverge(DATA, dropped(steps=[ct("inv|trk")]),
                                      to(2, DATA, ct("est|trk"), via=TC),
                                      ([connection()], [connection(status="offload")]))),
    (Cause.RELATED_STATE, diverge(DATA, dropped(steps=[ct("new|rel|trk")]),
                                  to(2, DATA, ct("rel|trk")))),
    (Cause.TCP_WINDOW, diverge(DATA, dropped(steps=[ct("inv|trk")]),
                               to(2, DATA, ct("est|trk")), BOTH)),
    (Cause.DIALECT_STATE, diverge(DATA, dropped(steps=[ct("new|trk")]),
                                  to(2, DATA, ct("inv|trk")))),
    (Cause.DIALECT_STATE, diverge(DATA, dropped(), None, ([connection("CLOSE")], [connection()]))),
    (Cause.DIALECT_STATE, diverge(DATA, dropped(), None, ([], [connection()]))),
    (Cause.UNEXPLAINED, diverge(DATA, dropped(), None)),
]  # fmt: skip


@pytest.mark.parametrize(("cause", "divergence"), CASES, ids=[str(cause) for cause, _ in CASES])
def test_the_cause_is_found(cause: Cause, divergence: Divergence) -> None:
    assert divergence.cause is cause
    assert divergence.because
    assert "\n" not in divergence.because


def test_every_cause_is_reached_and_documented() -> None:
    assert {cause for cause, _ in CASES} == set(Cause)
    text = Path(__file__).parents[2].joinpath("docs/divergence-causes.md").read_text()
    assert re.findall(r"^## `([a-z-]+)`$", text, re.MULTILINE) == [each.value for each in Cause]


def test_the_lanes_may_stand_the_other_way_round() -> None:
    divergence = diverge(DATA, to(2, via=HW), dropped(steps=[ct("inv|trk")]),
                         ([connection()], [connection("TIME_WAIT")]))  # fmt: skip
    assert divergence.cause is Cause.STALE_HARDWARE_ENTRY
    assert divergence.because == (
        "a forwards by the hardware's entry (established), conntrack in b says +trk+inv;"
        " it is ESTABLISHED in a, TIME_WAIT in b"
    )


def test_hardware_that_says_the_same_as_conntrack_is_not_stale() -> None:
    divergence = diverge(DATA, to(2, DATA, ct("est|trk", Via.HW), via=HW),
                         dropped(steps=[ct("est|trk")]))  # fmt: skip
    assert divergence.cause is Cause.UNEXPLAINED


def test_frames_that_differ_elsewhere_are_no_choice_of_nat() -> None:
    other = build.tcp("192.0.2.2", *ENDS[1:], "PA", payload=b"x", ttl=9)
    divergence = diverge(DATA, nat(src="192.0.2.1"), to(2, other))
    assert divergence.cause is Cause.UNEXPLAINED


def test_only_padding_behind_the_packet_is_padding() -> None:
    assert diverge(PADDED, to(2, PADDED), to(2, PADDED[:30])).cause is not Cause.PADDING


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (build.tcp(*ENDS), (6, Tuple5(*ENDS))),
        (build.udp("fc00::1", "fc00::2", 5, 6), (17, Tuple5("fc00::1", "fc00::2", 5, 6))),
        (build.icmp_echo("10.0.0.1", "10.0.0.2", 7),
         (1, Tuple5("10.0.0.1", "10.0.0.2", 0, 0, 7, 8, 0))),
        (build.icmp_error(build.udp(*ENDS)), (17, Tuple5("10.0.0.2", "10.0.0.1", 80, 1000))),
        (build.icmp_error(build.tcp("fc00::1", "fc00::2", 5, 6)),
         (6, Tuple5("fc00::2", "fc00::1", 6, 5))),
        (build.icmp_error(build.icmp_echo("10.0.0.1", "10.0.0.2", 7)),
         (1, Tuple5("10.0.0.2", "10.0.0.1", 0, 0, 7))),
        (build.ip("10.0.0.1", "10.0.0.2", 47), (47, Tuple5("10.0.0.1", "10.0.0.2", 0, 0))),
        (ARP, None),
        (b"short", None),
    ],
)  # fmt: skip
def test_the_tuple_of_a_frame(frame: bytes, found: tuple[int, Tuple5] | None) -> None:
    assert tuple_of(frame) == found


def test_connections_are_found_by_either_direction_in_any_zone() -> None:
    held = [connection(), connection(zone=9), connection(proto=17)]
    reply = build.tcp("10.0.0.2", "10.0.0.1", 80, 1000, "A")
    assert concerning(held, [reply]) == (held[0], held[1])
    error = build.icmp_error(build.udp(*ENDS))
    assert concerning(held, [error]) == (held[2],)
