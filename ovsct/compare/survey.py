"""A whole run of lanes in lock step: counts, and where they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ovsct.compare.diverge import Divergence, Factories, explain
from ovsct.compare.events import Happening
from ovsct.compare.lockstep import Lockstep, Row, Rule
from ovsct.lane import Arrival, Lane, Via
from ovsct.lanes.make import close


@dataclass(slots=True)
class Survey:
    """What a run came to.

    `packets` came in; `differ` holds the numbers (from 1) of those that lanes did not treat
    alike, `places` where the first `limit` of them stand, `released` counts the times when
    frames left in one lane as only time passed. Of the packets that are `watched`, `seen` holds the
    engines that they met, by lane and number. All else is in the rows that :meth:`run` gives.
    """

    factories: Factories
    limit: int = 10
    watched: Collection[int] = ()
    packets: int = 0
    released: int = 0
    differ: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    seen: dict[tuple[str, int], Sequence[Via]] = field(default_factory=dict)
    rule: Rule = field(init=False)

    def __post_init__(self) -> None:
        self.rule = Rule.for_lanes(self.factories)

    @property
    def alike(self) -> bool:
        """Whether all lanes did the same throughout."""
        return not self.differ and not self.released

    def run(self, happenings: Iterable[Happening]) -> Iterator[Row]:
        """Run all lanes; one row a happening.

        Raises:
            InputError: what the lanes are made from is wrong, or a lane refuses a packet.
        """
        lanes: list[Lane] = []
        try:
            for make in self.factories.values():
                lanes.append(make(False))
            steps = Lockstep(lanes, self.rule)
            for happening in happenings:
                row = steps.step(happening)
                is_packet = isinstance(happening, Arrival)
                self.packets += is_packet
                if is_packet and row.n in self.watched:
                    self._see(row)
                if not row.alike:
                    if is_packet:
                        self.differ.append(row.n)
                    else:
                        self.released += 1
                    if len(self.places) < self.limit:
                        self.places.append(row.place)
                yield row
        finally:
            for lane in lanes:
                close(lane)

    def _see(self, row: Row) -> None:
        for name, taken in zip(self.factories, row.taken, strict=True):
            if taken.outcome is not None:
                self.seen[name, row.n] = taken.outcome.via

    def divergences(self, happenings: Iterable[Happening]) -> Iterator[Divergence]:
        """The first `limit` divergences, explained; `happenings` are the same once more."""
        return explain(self.factories, happenings, frozenset(self.places), self.rule, close)
