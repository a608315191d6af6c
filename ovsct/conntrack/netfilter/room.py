"""Room for one more connection: the table's limit and early drop (nf_conntrack_core.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ovsct.conntrack.netfilter.entry import ASSURED, DYING, OFFLOAD, Entry

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter

EARLY_DROP_BUCKETS: Final = 8
"""How many buckets of the hash table are looked through (NF_CT_EVICTION_RANGE)."""


class Room:
    """The limit of one table."""

    __slots__ = ("_victims", "core")

    def __init__(self, core: Netfilter) -> None:
        self.core = core
        self._victims: list[int] = []

    def make(self, now: int) -> bool:
        """nf_conntrack_alloc(): may there be one more entry? `now` in ms."""
        core = self.core
        limit = core.sysctls["max"]
        if not limit or core.count < limit:
            return True
        # The kernel sweeps what has expired at moments of its own; here it is gone by now.
        for e in core.timers.due(now):
            core.expire(e, now)
        if core.count < limit or self._early_drop():
            return True
        core.stat.drop += 1
        return False

    def _early_drop(self) -> bool:
        """early_drop(): of eight buckets of the hash table, empty the first that holds anything
        which is not assured. Which entries share a bucket is drawn.
        """
        core = self.core
        buckets = core.sysctls["buckets"]
        kept = ASSURED | DYING | (0 if core.merges_reverse else OFFLOAD)
        for _ in range(EARLY_DROP_BUCKETS):
            dropped = 0
            for e in self._bucket(buckets):
                if not e.status & kept:
                    core.kill(e)
                    dropped += 1
            if dropped:
                core.stat.early_drop += dropped
                return True
        return False

    def _bucket(self, buckets: int) -> Iterator[Entry]:
        """As many entries as a bucket holds on average, the fraction by chance."""
        table, choose = self.core.table, self.core.choose
        hashes = len(table)
        size = hashes // buckets
        if choose(buckets, "early drop, bucket size") < hashes % buckets:
            size += 1
        for _ in range(size):
            while self._victims and self._victims[-1] not in table:
                self._victims.pop()
            if not self._victims:
                self._victims = list(table)
                self._shuffle()
            if self._victims:
                yield table[self._victims.pop()]

    def _shuffle(self) -> None:
        victims = self._victims
        for at in range(len(victims) - 1, 0, -1):
            other = self.core.choose(at + 1, "early drop, entry")
            victims[at], victims[other] = victims[other], victims[at]
