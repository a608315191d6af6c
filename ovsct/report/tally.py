"""Counts of what became of packets: one tally a lane."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ovsct.lane import Drop, Outcome, Via


@dataclass(slots=True)
class Tally:
    """How many packets there were, how many left, why others did not, and which engines ran.

    `via` counts the packets that met an engine; one packet may have met several.
    """

    packets: int = 0
    sent: int = 0
    drops: Counter[Drop] = field(default_factory=Counter)
    via: Counter[Via] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one packet."""
        self.packets += 1
        if outcome.out:
            self.sent += 1
        elif outcome.drop is not None:
            self.drops[outcome.drop] += 1
        for engine in set(outcome.via):
            self.via[engine] += 1
