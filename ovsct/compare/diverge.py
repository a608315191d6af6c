"""Divergences: where lanes differ, and why.

Lanes run fast first, without traces. Where they differ, the run is repeated from its beginning by
new lanes that trace: models are deterministic, so that they come to the same place, and this time
every step and every connection can be looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from ovsct.compare.cause import Cause
from ovsct.compare.events import Happening
from ovsct.compare.evidence import Evidence, Side, concerning, side_of
from ovsct.compare.lockstep import Lockstep, Row, Rule
from ovsct.compare.rules import Finding, find_cause
from ovsct.errors import OvsctError
from ovsct.lane import Arrival, Event, Lane

Factories: TypeAlias = Mapping[str, Callable[[bool], Lane]]
"""How to make each lane anew, with or without a trace."""

REMEMBERED: Final = 256
"""Events of a lane that are kept as evidence, the newest."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """One happening in which lanes differ.

    `n` is the packet's number from 1 (`arrival` is None if frames left in one lane when nothing
    but time passed), `at` its time in seconds. `sides` are in the order of the lanes; `parties`
    groups the names of lanes that did the same, the first lane's party first; `findings` say why
    that party differs from each of the others.
    """

    n: int
    at: float
    arrival: Arrival | None
    sides: tuple[Side, ...]
    parties: tuple[tuple[str, ...], ...]
    findings: tuple[Finding, ...]

    @property
    def cause(self) -> Cause:
        """Why the first two parties differ."""
        return self.findings[0].cause

    @property
    def because(self) -> str:
        """The cause, in words about this packet."""
        return self.findings[0].because


def explain(
    factories: Factories,
    happenings: Iterable[Happening],
    indices: Collection[int],
    rule: Rule | None = None,
    close: Callable[[Lane], None] = lambda lane: None,
) -> Iterator[Divergence]:
    """The divergences at some happenings, by going through the run again with traces.

    Args:
        factories: the lanes.
        happenings: the same as before, from the start.
        indices: the rows (`Row.place`) to explain.
        rule: what is compared, as before.
        close: ends a lane that holds something outside of this process.

    Raises:
        OvsctError: the lanes do not differ this time: one of them is not deterministic.
    """
    if not indices:
        return
    last = max(indices)
    lanes: list[Lane] = []
    try:
        for make in factories.values():
            lanes.append(make(True))
        steps = Lockstep(lanes, rule)
        past: list[deque[Event]] = [deque(maxlen=REMEMBERED) for _ in lanes]
        for index, happening in enumerate(happenings):
            row = steps.step(happening, look=index in indices)
            for ring, taken in zip(past, row.taken, strict=True):
                ring.extend(taken.events)
            if index in indices:
                yield judge([lane.name for lane in lanes], row, past, steps.rule)
            if index == last:
                return
    finally:
        for lane in lanes:
            close(lane)


def judge(
    names: Sequence[str], row: Row, past: Sequence[Iterable[Event]], rule: Rule
) -> Divergence:
    """The divergence of a row that was taken with traces and connections.

    Raises:
        OvsctError: the lanes did the same.
    """
    arrival = row.happening if isinstance(row.happening, Arrival) else None
    if row.alike:
        raise OvsctError(
            f"packet {row.n}: the lanes differed, but not when they ran again; one of "
            f"{', '.join(names)} is not deterministic"
        )
    frames = [arrival.frame] if arrival is not None else []
    frames += [output.frame for taken in row.taken for output in taken.out]
    sides = tuple(
        replace(
            side_of(name, taken, concerning(taken.before or (), frames)), events=tuple(events)
        )
        for name, taken, events in zip(names, row.taken, past, strict=True)
    )
    parties: dict[object, list[Side]] = {}
    for side in sides:
        parties.setdefault(rule.comparable(side.out), []).append(side)
    first, *others = parties.values()
    findings = tuple(find_cause(Evidence(arrival, first[0], other[0])) for other in others)
    return Divergence(
        row.n,
        row.happening.at,
        arrival,
        sides,
        tuple(tuple(side.lane for side in party) for party in parties.values()),
        findings,
    )
