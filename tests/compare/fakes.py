"""Lanes that do what a test says, for what only compares lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovsct.lane import (
    Arrival,
    Connection,
    Drop,
    Event,
    Outcome,
    Output,
    Step,
    StepKind,
    Tuple5,
    Via,
)


def sent(
    *out: Output, via: Sequence[Via] = (Via.DATAPATH,), steps: Sequence[Step] = ()
) -> Outcome:
    """A packet that left."""
    return Outcome(out, None, via, steps)


def dropped(
    why: Drop = Drop.ACTIONS, *, via: Sequence[Via] = (Via.DATAPATH,), steps: Sequence[Step] = ()
) -> Outcome:
    """A packet that did not."""
    return Outcome((), why, via, steps)


def ct(state: str, via: Via = Via.DATAPATH) -> Step:
    """The step that conntrack says `state`."""
    return Step(via, StepKind.CONNTRACK, f"ct_state={state}, ct_zone=0")


def connection(
    state: str = "ESTABLISHED", *, proto: int = 6, zone: int = 0, mark: int = 0, status: str = ""
) -> Connection:
    """The connection of 10.0.0.1:1000 to 10.0.0.2:80."""
    return Connection(
        4, proto, Tuple5("10.0.0.1", "10.0.0.2", 1000, 80),
        Tuple5("10.0.0.2", "10.0.0.1", 80, 1000), zone, mark, 0, state, 100.0,
        frozenset(status.split()),
    )  # fmt: skip


class FakeLane:
    """Answers packet n (from 1) with `answers[n]`, or else sends it on to port 2."""

    def __init__(
        self,
        name: str,
        answers: Mapping[int, Outcome] | None = None,
        *,
        held: Sequence[Connection] = (),
        events: Mapping[float, Sequence[Event]] | None = None,
        trace: bool = True,
    ) -> None:
        self.name = name
        self.answers = answers or {}
        self.held = held
        self.events = dict(events or {})
        self.trace = trace
        self.n = 0
        self.advanced: list[float] = []
        self.closed = False

    def receive(self, packet: Arrival) -> Outcome:
        self.n += 1
        answer = self.answers.get(self.n) or sent(Output(2, packet.frame))
        return answer if self.trace else answer._replace(steps=())

    def advance(self, now: float) -> Sequence[Event]:
        self.advanced.append(now)
        due = [at for at in self.events if at <= now]
        return [event for at in due for event in self.events.pop(at)]

    def connections(self) -> Sequence[Connection]:
        return self.held

    def close(self) -> None:
        self.closed = True
