"""Timers of connections: exact to the millisecond, cheap to refresh, and cheap while nothing ends.

What has a timer keeps its own deadline (`expires`, milliseconds), and refreshing it is one store.
The timers only promise to look at it no later than that. Deadlines stand in buckets of about a
second; a bucket that is *opened* becomes part of a heap of exact deadlines, so that each ends at
its own millisecond. A thing whose deadline has moved on when its bucket is opened is put into the
bucket of its new one; only a deadline that moves *forward in the queue* has to be told
(:meth:`Timers.arm`). So passing time costs what expires, plus one look a thing and period.

Those looks can come in crowds: a million connections that were refreshed stand in the buckets of
the deadlines that they had once. So timers have `patience`: one call looks at no more than so many
things that have not ended. A crowded bucket is opened some seconds ahead, a part with every call;
what time jumps over before it was looked at is looked at by the calls that follow.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import Final, Generic, TypeVar

NEVER: Final = 1 << 62
"""A deadline that does not come."""

BUCKET_BITS: Final = 10
"""A bucket is 2**10 ms long."""

AHEAD: Final = 16
"""So many buckets ahead a crowded one may be opened."""

PATIENCE: Final = 512
"""Things looked at in one call: so that a call takes less than half a millisecond."""

_HALF_A_MICROSECOND: Final = 0.0005


def milliseconds(now: float) -> int:
    """Seconds to whole milliseconds, rounded down as a millisecond clock does.

    Half a microsecond is added first, so that 12.345 s, which no float is exactly, is 12345 ms.
    """
    return int(now * 1000.0 + _HALF_A_MICROSECOND)


class Timed:
    """What has a timer. `expires`: its deadline in ms, the truth. `armed`: no later than when the
    timers look at it next (`NEVER`: not at all); theirs alone.
    """

    __slots__ = ("armed", "expires")

    def __init__(self, expires: int) -> None:
        self.expires = expires
        self.armed = NEVER


T = TypeVar("T", bound=Timed)


class Timers(Generic[T]):
    """The deadlines of many things.

    Put a thing in with :meth:`arm`. After moving its deadline later nothing needs to be done;
    after moving it earlier call :meth:`arm` again (it is harmless to call it always).

    Args:
        patience: how many things that have not ended :meth:`due` looks at in one call. Without a
            limit it always tells all that has ended; with one, what ended among a crowd larger
            than that may be told by a later call.
    """

    __slots__ = (
        "_bucket", "_buckets", "_front", "_live", "_opening", "_order", "_patience", "_serial",
        "_stale",
    )  # fmt: skip

    def __init__(self, patience: int = NEVER) -> None:
        self._buckets: dict[int, list[T]] = {}
        self._order: list[int] = []
        self._front: list[tuple[int, int, T]] = []
        self._opening: list[T] = []
        self._bucket = -1
        self._serial = 0
        self._live = 0
        self._stale = 0
        self._patience = patience

    def __len__(self) -> int:
        """How many things have a timer."""
        return self._live

    def arm(self, thing: T) -> None:
        """See to it that `thing` is looked at no later than at its present deadline."""
        expires = thing.expires
        if expires >= thing.armed:
            return
        if thing.armed == NEVER:
            self._live += 1
        else:
            self._stale += 1
        thing.armed = expires
        self._place(thing, expires)
        if self._stale > 1024 and self._stale > self._live:
            self._compact()

    def disarm(self, thing: T) -> None:
        """Forget `thing`; it is not looked at again."""
        if thing.armed != NEVER:
            thing.armed = NEVER
            self._live -= 1
            self._stale += 1

    def next_deadline(self) -> int:
        """A lower bound (ms) of when the next thing ends; `NEVER` if there is none."""
        bound = self._front[0][0] if self._front else NEVER
        if self._opening:
            return min(bound, self._bucket << BUCKET_BITS)
        return min(bound, self._order[0] << BUCKET_BITS) if self._order else bound

    def due(self, now: int) -> list[T]:
        """What has ended at `now` (ms), in order of its deadline; it has no timer any more."""
        ended: list[T] = []
        left = self._patience
        front, order = self._front, self._order
        if front and front[0][0] <= now:
            left = self._take_front(now, ended, left)
        while left > 0:
            if not self._opening:
                if not order or not self._may_open(order[0], now >> BUCKET_BITS):
                    break
                self._bucket = heappop(order)
                self._opening = self._buckets.pop(self._bucket)
            left = self._open(now, ended, left)
        if len(ended) > 1:
            ended.sort(key=_EXPIRES)
        return ended

    def _may_open(self, bucket: int, present: int) -> bool:
        if bucket <= present:
            return True
        return bucket <= present + AHEAD and len(self._buckets[bucket]) > self._patience

    def _place(self, thing: T, expires: int) -> None:
        bucket = expires >> BUCKET_BITS
        if bucket <= self._bucket:
            self._serial += 1
            heappush(self._front, (expires, self._serial, thing))
            return
        waiting = self._buckets.get(bucket)
        if waiting is None:
            self._buckets[bucket] = [thing]
            heappush(self._order, bucket)
        else:
            waiting.append(thing)

    def _open(self, now: int, ended: list[T], left: int) -> int:
        """Look at things of the bucket that is being opened: they have ended, go to the front, or
        to the bucket of a later deadline. Returns what is left of the patience.
        """
        bucket, opening = self._bucket, self._opening
        while opening and left > 0:
            thing = opening.pop()
            if thing.armed >> BUCKET_BITS != bucket:
                self._stale -= 1
            elif thing.expires <= now:
                thing.armed = NEVER
                self._live -= 1
                ended.append(thing)
                continue
            else:
                thing.armed = thing.expires
                self._place(thing, thing.expires)
            left -= 1
        return left

    def _take_front(self, now: int, ended: list[T], left: int) -> int:
        front = self._front
        while front and front[0][0] <= now and left > 0:
            deadline, _, thing = heappop(front)
            if thing.armed != deadline:
                self._stale -= 1
            elif thing.expires > deadline:
                thing.armed = thing.expires
                self._place(thing, thing.expires)
            else:
                thing.armed = NEVER
                self._live -= 1
                ended.append(thing)
                continue
            left -= 1
        return left

    def _compact(self) -> None:
        """Drop what is not looked at any more: it would keep ended things alive."""
        things: dict[int, T] = {}
        for waiting in (*self._buckets.values(), self._opening):
            things.update((id(thing), thing) for thing in waiting if thing.armed != NEVER)
        things.update((id(thing), thing) for _, _, thing in self._front if thing.armed != NEVER)
        self._buckets = {}
        self._opening = []
        self._order.clear()
        self._front.clear()
        self._stale = 0
        for thing in things.values():
            thing.armed = thing.expires
            self._place(thing, thing.expires)
        heapify(self._order)


_EXPIRES: Final = attrgetter("expires")
