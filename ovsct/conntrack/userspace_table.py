"""The table of OVS's own conntrack: what is found under a tuple, and what happens at the end.

Every connection stands in one dict twice, under both its tuples. OVS has it once under a hash that
is the same for both directions, and a *node* more for a translated connection; what can be seen of
that is kept: newer entries stand before older ones under the same tuple, and a node outlives the
end of its connection until the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ovsct.conntrack.timers import PATIENCE, Timers
from ovsct.conntrack.tuples import reverse, zone_of
from ovsct.conntrack.userspace_entry import Entry
from ovsct.conntrack.userspace_neutral import describe
from ovsct.lane import Event, EventKind

SWEEP_SECONDS: Final = 20.0


class Found(NamedTuple):
    """What a look-up found. `node`: it was the second entry of a translated connection; `reply` is
    then the direction as that entry sees it.
    """

    entry: Entry
    reply: bool
    node: bool


class Table:
    """All connections of a tracker.

    Args:
        sweep: ms from one sweep to the next.
        freed: called with each connection that is swept or flushed.

    `count` is of those that live and of those not yet swept; `entries` is for look-ups that know
    what they do, by tuple.
    """

    __slots__ = (
        "_ended", "_freed", "_shadowed", "_sweep", "count", "entries", "events", "next_sweep",
        "timers",
    )  # fmt: skip

    def __init__(self, sweep: int, freed: Callable[[Entry], None]) -> None:
        self.entries: dict[int, Entry] = {}
        self.timers: Timers[Entry] = Timers(PATIENCE)
        self.events: list[Event] = []
        self.count = 0
        self.next_sweep = -1
        self._shadowed: dict[int, list[Entry]] = {}
        self._ended: list[tuple[int, Entry]] = []
        self._sweep = sweep
        self._freed = freed

    @property
    def unswept(self) -> int:
        """How many connections have ended, but still count and hold their translated tuple."""
        return len(self._ended)

    def lookup(self, tuple_: int, now: int) -> Found | None:
        """The newest connection under `tuple_` that lives at `now` (ms), or a node."""
        entry = self.entries.get(tuple_)
        if entry is None:
            return None
        found = _seen(entry, tuple_, now)
        if found is None and tuple_ in self._shadowed:
            for older in reversed(self._shadowed[tuple_]):
                found = _seen(older, tuple_, now)
                if found is not None:
                    break
        return found

    def insert(self, entry: Entry) -> None:
        """Put a connection in, before older ones under the same tuples."""
        entries = self.entries
        for tuple_ in (entry.forward, entry.reverse):
            before = entries.get(tuple_)
            if before is not None and before is not entry:
                self._shadowed.setdefault(tuple_, []).append(before)
            entries[tuple_] = entry
        self.count += 1

    def end(self, entry: Entry, now: int) -> None:
        """OVS ``conn_force_expire()``: it matches nothing from now on, and waits for the sweep."""
        if entry.expires > now:
            self.timers.disarm(entry)
            entry.expires = 0
            self._note(entry, now)

    def flush(self, zone: int | None) -> int:
        """Free all connections, or those of one zone, at once and without an event; how many."""
        everything = set(self.entries.values()).union(*self._shadowed.values())
        return self.free_now(
            [entry for entry in everything if zone is None or zone_of(entry.forward) == zone]
        )

    def free_now(self, entries: Sequence[Entry]) -> int:
        """Free connections at once and without an event; how many they are."""
        gone = set(map(id, entries))
        self._ended = [(at, entry) for at, entry in self._ended if id(entry) not in gone]
        for entry in entries:
            self.timers.disarm(entry)
            entry.expires = 0
            self._free(entry)
        return len(entries)

    def expire(self, now: int) -> None:
        """Note what has ended until `now` (ms)."""
        for entry in self.timers.due(now):
            self._note(entry, entry.expires)

    def sweep(self, now: int) -> None:
        """Note what has ended, and free what had at the last sweep that is due at `now` (ms)."""
        if self.next_sweep < 0:
            self.next_sweep = now + self._sweep
            return
        self.expire(now)
        last = now - (now - self.next_sweep) % self._sweep if self._sweep else now
        self.next_sweep = last + self._sweep
        kept = []
        for at, entry in self._ended:
            if at <= last:
                self._free(entry)
            else:
                kept.append((at, entry))
        self._ended = kept

    def living(self, now: int) -> Sequence[Entry]:
        """The connections that live at `now` (ms), oldest first."""
        living = [
            entry
            for tuple_, entry in self.entries.items()
            if entry.expires > now and tuple_ == entry.forward
        ]
        for tuple_, older in self._shadowed.items():
            living += [
                entry for entry in older if entry.expires > now and tuple_ == entry.forward
            ]
        return living

    def _note(self, entry: Entry, at: int) -> None:
        self._ended.append((at, entry))
        self.events.append(Event(at / 1000, EventKind.CONNECTION_EXPIRED, describe(entry)))

    def _free(self, entry: Entry) -> None:
        entries = self.entries
        for tuple_ in {entry.forward, entry.reverse}:
            older = self._shadowed.get(tuple_)
            if entries.get(tuple_) is not entry:
                if older is not None and entry in older:
                    older.remove(entry)
            elif older:
                entries[tuple_] = older.pop()
            else:
                del entries[tuple_]
            if older is not None and not older:
                del self._shadowed[tuple_]
        self.count -= 1
        if entry.limit is not None:
            entry.limit.count -= 1
        self._freed(entry)


def _seen(entry: Entry, tuple_: int, now: int) -> Found | None:
    """How `entry`, which stands under `tuple_`, is seen from there."""
    rare = entry.rare
    if rare is None or not rare.node:
        return None if entry.expires <= now else Found(entry, tuple_ != entry.forward, False)
    untouched = entry.reverse == reverse(entry.forward)
    if entry.expires > now and (untouched or tuple_ == entry.forward):
        return Found(entry, tuple_ != entry.forward, False)
    if tuple_ == entry.reverse:
        return Found(entry, False, True)
    # Both entries stand in one hash chain if the translation changed nothing.
    return Found(entry, True, True) if untouched else None
