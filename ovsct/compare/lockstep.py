"""Lock step: the same frames at the same times through several lanes, one row a happening.

What counts as alike is a :class:`Rule`: the frames that leave, byte for byte, in their order on
each port; the order across ports too, if every lane has one (a real program often has none). Why
a packet was dropped is told but not compared, since lanes drop the same packet at different places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ovsct.compare.events import Happening
from ovsct.errors import InputError
from ovsct.lane import (
    Arrival,
    Connection,
    Event,
    FlowChange,
    Lane,
    LinkChange,
    Outcome,
    Output,
    Port,
)

JUDGES: Final = frozenset({"real-ovs", "real-kernel"})
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


TICK: Final = 0.01
"""Seconds of packets within which a lane is not told the time again.

Packets carry their own times, and all that is looked up is as old as it is; what the telling does
is sweep (expire what nobody looks up, age by counters), which costs as much as the lane is full.
Kernels and switches sweep every jiffy, second or half second: ten milliseconds are always finer.
"""


class Follower:
    """Tells a lane the time as packets come: at the first, and then once a :data:`TICK`.

    Every command that runs packets through lanes tells it so, so that they come to the same. A
    judge's clock follows the packets by itself.
    """

    __slots__ = ("_advance", "_lane", "due")

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._advance = lane.advance
        self.due = math.inf if lane.name in JUDGES else -math.inf
        """From which time on a packet is reason to tell it; a loop may look here itself."""

    def packet(self, at: float) -> Sequence[Event]:
        """A packet comes at `at` (seconds): what time brought until then, if it is told."""
        return self.until(at) if at >= self.due else ()

    def until(self, at: float) -> Sequence[Event]:
        """Time passes until `at` (seconds): what that brought."""
        if self.due != math.inf:
            self.due = at + TICK
        return self._advance(at)

    def follow(self, happening: Happening) -> Sequence[Event]:
        """Time passes until something that is no packet happens: what both brought.

        Raises:
            InputError: the lane takes no changes, or not this one.
        """
        events = self.until(happening.at)
        if not isinstance(happening, LinkChange | FlowChange):
            return events
        change = getattr(self._lane, "change", None)
        if change is None:
            raise InputError(f"the lane {self._lane.name} takes no changes while packets run")
        return [*events, *change(happening)]


class Lockstep:
    """Several lanes that are given the same.

    Args:
        lanes: two or more; one is allowed and is always alike.
        rule: what is compared; by default as the lanes' names allow.
    """

    def __init__(self, lanes: Sequence[Lane], rule: Rule | None = None) -> None:
        self.lanes = tuple(lanes)
        self._followers = tuple(Follower(lane) for lane in lanes)
        self.rule = rule or Rule.for_lanes(lane.name for lane in lanes)
        self._place = -1
        self._n = 0

    def step(self, happening: Happening, *, look: bool = False) -> Row:
        """Give all lanes one happening; with `look`, take down their connections before it."""
        self._place += 1
        self._n += isinstance(happening, Arrival)
        taken = []
        for lane, follower in zip(self.lanes, self._followers, strict=True):
            try:
                taken.append(self._take(lane, follower, happening, look))
            except InputError as error:
                raise error.at(file=f"packet {self._n} in lane {lane.name}") from None
        first = self.rule.comparable(taken[0].out)
        alike = all(self.rule.comparable(each.out) == first for each in taken[1:])
        return Row(self._place, self._n, happening, tuple(taken), alike)

    @staticmethod
    def _take(
        lane: Lane, follower: Follower, happening: Happening, look: bool
    ) -> Taken:
        arrival = happening if isinstance(happening, Arrival) else None
        if isinstance(happening, Arrival):
            events = follower.packet(happening.at)
        else:
            events = follower.follow(happening)
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
