"""Timers of connections: exact to the millisecond, cheap to refresh, and cheap while nothing ends.

What has a timer keeps its own deadline (`expires`, milliseconds), and refreshing it is one store.
The timers only promise to look at it no later than that. Deadlines stand in buckets of about a
second; the bucket that is being lived through is a heap of exact deadlines, so that each ends at
its own millisecond. A thing whose deadline has moved on when its bucket comes is put into the
bucket of its new one; only a deadline that moves *forward in the queue* has to be told
(:meth:`Timers.arm`). So passing time costs what expires, plus one look a thing and period.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

NEVER: Final = 1 << 62
"""A deadline that does not come."""

BUCKET_BITS: Final = 10
"""A bucket is 2**10 ms long."""

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
    """

    __slots__ = ("_bucket", "_buckets", "_front", "_live", "_order", "_serial", "_stale")

    def __init__(self) -> None:
        self._buckets: dict[int, list[T]] = {}
        self._order: list[int] = []
        self._front: list[tuple[int, int, T]] = []
        self._bucket = -1
        self._serial = 0
        self._live = 0
        self._stale = 0

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
        if self._front:
            return self._front[0][0]
        return self._order[0] << BUCKET_BITS if self._order else NEVER

    def due(self, now: int) -> list[T]:
        """What has ended at `now` (ms), in order of its deadline; it has no timer any more."""
        ended: list[T] = []
        order = self._order
        while True:
            self._take_front(now, ended)
            if not order or order[0] << BUCKET_BITS > now:
                return ended
            self._bucket = heappop(order)
            self._open(self._buckets.pop(self._bucket))

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

    def _open(self, waiting: list[T]) -> None:
        """Move a bucket to the front; what has moved on goes to a later one."""
        bucket = self._bucket
        for thing in waiting:
            if thing.armed >> BUCKET_BITS != bucket:
                self._stale -= 1
                continue
            thing.armed = thing.expires
            self._place(thing, thing.expires)

    def _take_front(self, now: int, ended: list[T]) -> None:
        front = self._front
        while front and front[0][0] <= now:
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

    def _compact(self) -> None:
        """Drop what is not looked at any more: it would keep ended things alive."""
        things: dict[int, T] = {}
        for waiting in self._buckets.values():
            things.update((id(thing), thing) for thing in waiting if thing.armed != NEVER)
        things.update((id(thing), thing) for _, _, thing in self._front if thing.armed != NEVER)
        self._buckets = {}
        self._order.clear()
        self._front.clear()
        self._stale = 0
        for thing in things.values():
            thing.armed = thing.expires
            self._place(thing, thing.expires)
        heapify(self._order)
