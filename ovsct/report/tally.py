"""Counts of what became of packets: one tally a lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ovsct.lane import Drop, Outcome, Via


class Tally:
    """How many packets there were, how many left, why others did not, and which engines ran."""

    __slots__ = ("_latest", "_run", "_via", "drops", "packets", "sent")

    def __init__(self) -> None:
        self.packets = 0
        self.sent = 0
        self.drops: Counter[Drop] = Counter()
        self._via: Counter[Via] = Counter()
        # Packets come in runs that went the same way: a run is counted as one.
        self._latest: Sequence[Via] = ()
        self._run = 0

    def add(self, outcome: Outcome) -> None:
        """Count one packet."""
        out, drop, via, _ = outcome
        self.packets += 1
        if out:
            self.sent += 1
        elif drop is not None:
            self.drops[drop] += 1
        if via is not self._latest:
            self._close(via)
        self._run += 1

    def _close(self, following: Sequence[Via]) -> None:
        for engine in set(self._latest):
            self._via[engine] += self._run
        self._latest = following
        self._run = 0

    @property
    def via(self) -> Counter[Via]:
        """The packets that met each engine; one packet may have met several."""
        self._close(self._latest)
        return self._via
