"""What a judge says of a case: the first thing that differs, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from ovsct.compare.coverage import Coverage


class Kind(StrEnum):
    """What differs. Closed; in the order in which it is looked at."""

    REFUSED = "refused"
    """One of the two takes the flows, groups or commands, the other does not."""
    DEFECT = "defect"
    """The model stops with an error that is no refusal."""
    OUTPUTS = "outputs"
    PACKET_INS = "packet-ins"
    CONNTRACK = "conntrack"
    """The connections as the program prints them."""
    CONNECTIONS = "connections"
    """The connections as netlink tells them: labels and status too."""
    MEGAFLOWS = "megaflows"
    FILTERS = "filters"
    """What stands in TC: chains, priorities, keys, masks, actions."""
    FLOW_STATS = "flow-stats"
    COUNTERS = "counters"
    """What the actions of TC counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that differs: after which packet (from 1; None: at the end), and how.

    `model` and `real` are what only the one has, in words; `judge` is what people call the other.
    """

    kind: Kind
    packet: int | None
    model: tuple[str, ...]
    real: tuple[str, ...]
    judge: str = "program"

    def lines(self) -> Iterator[str]:
        """The difference for people."""
        where = "at the end" if self.packet is None else f"packet {self.packet}"
        yield f"{self.kind} differ, {where}"
        yield from (f"  only the model: {text}" for text in self.model)
        yield from (f"  only the {self.judge}: {text}" for text in self.real)


def differing(
    kind: Kind, packet: int | None, model: Iterable[str], real: Iterable[str],
    judge: str = "program",
) -> Difference:  # fmt: skip
    """The difference of two lists of texts, each without what the other has as often."""
    here, there = Counter(model), Counter(real)
    return Difference(
        kind, packet, tuple((here - there).elements()), tuple((there - here).elements()), judge
    )


@dataclass(slots=True)
class Verdict:
    """What came of a case: a difference or None; or `left_out`, why it could not be compared.

    `unsteady` is a difference that was there once and not again: the model runs the same way every
    time, so it was the program that did not (docs/verify.md, "What does not come again").
    """

    difference: Difference | None = None
    packets: int = 0
    left_out: str | None = None
    unsteady: Difference | None = None
    coverage: Coverage = field(default_factory=Coverage)

    def reasons(self) -> Iterator[str]:
        """What a summary has to say besides differences."""
        if self.left_out is not None:
            yield self.left_out
        if self.unsteady is not None:
            yield f"{self.unsteady.kind} differed once and not again"
