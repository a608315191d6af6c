"""The actions of a host, by kind and index (net/sched/act_api.c ``struct tcf_idrinfo``).

Every action has an index. Who names one that is there gets that action, whatever else he says of it
(ACT_P_BOUND); it then counts for all filters that use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import TypeAlias

from ovsct.tc.actions import Action
from ovsct.tc.filters import Counter, Execute, Filter, Shared

Make: TypeAlias = Callable[[Action, Counter, float], Execute]


class Registry:
    """All actions that stand; `make` makes one ready to run."""

    __slots__ = ("_free", "_make", "_next", "_there")

    def __init__(self, make: Make) -> None:
        self._make = make
        self._there: dict[str, dict[int, Shared]] = {}
        self._next: dict[str, int] = {}
        self._free: dict[str, list[int]] = {}

    def bind(self, entry: Filter, now: float) -> tuple[Shared, ...]:
        """The actions of a filter, made or found."""
        indexes = entry.indexes or (0,) * len(entry.actions)
        bound: list[Shared] = []
        try:
            for action, index in zip(entry.actions, indexes, strict=True):
                shared = self.find(action, index, now)
                shared.binds += 1
                shared.refs += 1
                bound.append(shared)
        except BaseException:
            self.release(bound)
            raise
        return tuple(bound)

    def find(self, action: Action, index: int, now: float) -> Shared:
        """The action under `index` (0: the lowest free one), made if it is not there."""
        there = self._there.setdefault(action.kind, {})
        shared = there.get(index)
        if shared is None:
            counter = Counter()
            run = self._make(action, counter, now)
            index = index or self._lowest(action.kind)
            shared = there[index] = Shared(action, index, run, counter, now)
        return shared

    def there(self, kind: str, index: int) -> Shared | None:
        """What stands under an index."""
        return self._there.get(kind, {}).get(index)

    def release(self, actions: Sequence[Shared], *, bound: bool = True) -> None:
        """A filter is gone (or, not `bound`, ``tc actions del``); what nobody refers to goes."""
        for shared in actions:
            shared.binds -= bound
            shared.refs -= 1
            if not shared.refs:
                kind = shared.action.kind
                del self._there[kind][shared.index]
                heappush(self._free.setdefault(kind, []), shared.index)

    def _lowest(self, kind: str) -> int:
        """``idr_alloc_u32()``: the lowest index that is free."""
        there = self._there[kind]
        free = self._free.get(kind, [])
        while free and free[0] in there:
            heappop(free)
        following = self._next.get(kind, 1)
        if free and free[0] < following:
            return heappop(free)
        while following in there:
            following += 1
        self._next[kind] = following + 1
        return following
