"""Snapshots: a tracker that is taken down and put up again at any moment goes on as if it had not
been, in both dialects; what is damaged is refused.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from ovsct.conntrack.dump import dump_conntrack
from ovsct.conntrack.netfilter import Netfilter
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.conntrack.request import Track
from ovsct.conntrack.snapshot import decode, encode
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.errors import InputError, OvsctError
from tests.conntrack.netfilter_replay import Replay, load, moved, same_table
from tests.conntrack.userspace_cases import CASES, PLAIN
from tests.conntrack.userspace_judge import Step, ask_model
from tests.conntrack.userspace_talk import Talk, udp

RECORDED = [
    (name, kernel, case)
    for number, (name, kernel, case) in enumerate(load("*.json"))
    if case["datapath"] == "ovs" and number % 3 == 0
]


def in_order(state: dict[str, Any]) -> dict[str, Any]:
    """What ends in the same millisecond ends in no certain order."""
    return {**state, "events": sorted(state["events"]), "ended": sorted(state["ended"])}


@pytest.mark.parametrize("name", sorted(CASES))
def test_userspace_goes_on_from_a_snapshot_as_if_nothing_had_been(name: str) -> None:
    case = CASES[name]
    dice = Random(3)
    programs = tuple(dice.sample(case.programs, min(case.most, len(case.programs))))
    talk = Talk(dice, case.family, len(programs), case.protocols, PLAIN, case.jumps, whole_tcp=True)
    plain, other = UserspaceTracker(limits={1: 40, -1: 50}), UserspaceTracker()
    other.restore(decode(encode(plain.snapshot(0.0))), 0.0)
    for _ in range(150):
        sent = talk.packet()
        program = programs[sent.program]
        said = ask_model(plain, program, sent.at, sent.whole)
        assert ask_model(other, program, sent.at, sent.whole) == said
        state = plain.snapshot(sent.at)
        assert in_order(other.snapshot(sent.at)) == in_order(state)
        other = UserspaceTracker()
        other.restore(decode(encode(state)), sent.at)
        assert list(other.advance(sent.at)) == list(plain.advance(sent.at))
        assert other.limits() == plain.limits()
        lines = list(dump_conntrack(plain.connections(sent.at), more=True, statistics=True))
        assert lines == list(
            dump_conntrack(other.connections(sent.at), more=True, statistics=True)
        )
        # Frames of the case's family, from the Ethernet type on, are what the talk answers to.
        kind = "0800" if case.family == 4 else "86dd"
        talk.seen += [bytes.fromhex(kind + one.body) for one in said]


class Moved(Replay):
    """A replay that moves to another tracker behind every packet."""

    def step(self, step: dict[str, Any]) -> list[list[str]]:
        out = super().step(step)
        self.tracker = moved(self.tracker, step["at"])
        self.netfilter = self.tracker.netfilter
        self.netfilter.choose = self._choose
        return out


@pytest.mark.parametrize(
    ("kernel", "case"), [(kernel, case) for _, kernel, case in RECORDED],
    ids=[f"{name}-{case['name'].replace(' ', '-')}" for name, _, case in RECORDED],
)  # fmt: skip
def test_netfilter_restored_behind_every_packet_does_what_the_kernel_did(
    kernel: str, case: dict[str, Any]
) -> None:
    replay = Moved(kernel, case)
    for number, step in enumerate(case["steps"]):
        assert replay.step(step) == step.get("out", []), f"step {number}"
        problem = same_table(replay.netfilter, step["at"], step["conntrack"])
        assert problem is None, f"step {number}: {problem}"


def filled(now: float = 0.0) -> UserspaceTracker:
    tracker = UserspaceTracker()
    frame = bytes(12) + b"\x08\x00" + udp("10.0.0.1", "10.0.0.2", 1, 2)[2:]
    ask_model(tracker, (Step(Track(zone=1, commit=True)),), now, frame)
    assert len(tracker.connections(now)) == 1
    return tracker


def test_times_are_what_remains() -> None:
    tracker = filled(now=1000.0)
    other = UserspaceTracker()
    other.restore(decode(encode(tracker.snapshot(1010.0))), 5.0)
    assert [c.timeout for c in other.connections(5.0)] == [50.0]
    assert [event.at for event in other.advance(55.0)] == [55.0]


def test_a_snapshot_that_is_damaged_cut_or_foreign_is_refused() -> None:
    data = encode(filled().snapshot(0.0))
    assert decode(data)["dialect"] == "userspace"
    for at in range(len(data)):
        with pytest.raises(InputError):
            decode(data[:at])
        with pytest.raises(InputError):
            decode(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
    with pytest.raises(InputError, match="version"):
        decode(data[:8] + b"\x00\x63" + data[10:])
    with pytest.raises(InputError, match="other dialect"):
        OvsKernelTracker(Netfilter()).restore(decode(data), 0.0)
    kernels = OvsKernelTracker(Netfilter()).snapshot(0.0)
    with pytest.raises(InputError, match="other dialect"):
        filled().restore(kernels, 0.0)


def test_what_a_snapshot_cannot_hold_is_refused_by_name() -> None:
    with pytest.raises(OvsctError, match="generator"):
        UserspaceTracker(dice=Random(1)).snapshot(0.0)
    with pytest.raises(OvsctError, match="generator"):
        OvsKernelTracker(Netfilter(random=Random(1))).snapshot(0.0)
