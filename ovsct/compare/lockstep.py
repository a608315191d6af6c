"""Lock step: the same frames at the same times through several lanes, one row a happening.

What counts as alike is a :class:`Rule`: the frames that leave, byte for byte, in their order on
each port; the order across ports too, if every lane has one (a real program often has none). Why
a packet was dropped is told but not compared, since lanes drop the same packet at different places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ovsct.compare.events import Happening
from ovsct.errors import InputError
from ovsct.lane import Arrival, Connection, Event, Lane, Outcome, Output, Port

JUDGES: Final = frozenset({"real-ovs"})
"""Lanes that are real programs: their clocks follow the packets, their outputs have no order
across ports."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What of the outputs is compared; `across_ports`: whether the order across ports counts."""

    across_ports: bool = True

    @classmethod
    def for_lanes(cls, lanes: Iterable[str]) -> Rule:
        """The rule for lanes with these names."""
        return cls(across_ports=JUDGES.isdisjoint(lanes))

    def comparable(self, out: Sequence[Output]) -> tuple[Output, ...]:
        """The outputs in the order in which they are compared."""
        if self.across_ports or len(out) < 2:
            return tuple(out)
        return tuple(sorted(out, key=lambda output: _place(output.port)))


def _place(port: Port) -> tuple[int, str]:
    return (port, "") if isinstance(port, int) else (1 << 32, port)


class Taken(NamedTuple):
    """What one lane made of one happening.

    `outcome` is that of the packet, None if only time passed; `events` is what time brought until
    then; `out` is all that left, what time released first; `before` the connections just before
    the packet, if they were asked for.
    """

    outcome: Outcome | None
    events: Sequence[Event]
    out: tuple[Output, ...]
    before: Sequence[Connection] | None


class Row(NamedTuple):
    """One happening in all lanes.

    `place` counts happenings from 0, `n` packets from 1 (the last one, if only time passed);
    `taken` is in the order of the lanes; `alike` says whether all did the same.
    """

    place: int
    n: int
    happening: Happening
    taken: tuple[Taken, ...]
    alike: bool


def follow(lane: Lane, at: float) -> Sequence[Event]:
    """Let a model's time pass until `at`; a judge's clock follows the packets by itself."""
    return () if lane.name in JUDGES else lane.advance(at)


class Lockstep:
    """Several lanes that are given the same.

    Args:
        lanes: two or more; one is allowed and is always alike.
        rule: what is compared; by default as the lanes' names allow.
    """

    def __init__(self, lanes: Sequence[Lane], rule: Rule | None = None) -> None:
        self.lanes = tuple(lanes)
        self.rule = rule or Rule.for_lanes(lane.name for lane in lanes)
        self._place = -1
        self._n = 0

    def step(self, happening: Happening, *, look: bool = False) -> Row:
        """Give all lanes one happening; with `look`, take down their connections before it."""
        self._place += 1
        arrival = happening if isinstance(happening, Arrival) else None
        self._n += arrival is not None
        taken = []
        for lane in self.lanes:
            try:
                taken.append(self._take(lane, happening.at, arrival, look))
            except InputError as error:
                raise error.at(file=f"packet {self._n} in lane {lane.name}") from None
        first = self.rule.comparable(taken[0].out)
        alike = all(self.rule.comparable(each.out) == first for each in taken[1:])
        return Row(self._place, self._n, happening, tuple(taken), alike)

    @staticmethod
    def _take(lane: Lane, at: float, arrival: Arrival | None, look: bool) -> Taken:
        events = lane.advance(at) if arrival is None else follow(lane, at)
        before = lane.connections() if look else None
        outcome = lane.receive(arrival) if arrival is not None else None
        left = outcome.out if outcome is not None else ()
        if not events:
            return Taken(outcome, events, tuple(left), before)
        released = [frame for event in events for frame in event.out]
        return Taken(outcome, events, (*released, *left), before)


def lockstep(
    lanes: Sequence[Lane], happenings: Iterable[Happening], rule: Rule | None = None
) -> Iterator[Row]:
    """One row for each of `happenings`, in order; see :class:`Lockstep`.

    Raises:
        InputError: a lane refuses a packet; it names packet and lane.
    """
    steps = Lockstep(lanes, rule)
    for happening in happenings:
        yield steps.step(happening)
