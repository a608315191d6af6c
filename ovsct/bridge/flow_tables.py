"""The flow tables as they change while packets run: learned flows, timeouts, deletion.

OVS ofproto/ofproto.c (``ofproto_flow_mod_learn()``, ``replace_rule_start()``,
``learned_cookies_dec()``, ``ofproto_rule_reduce_timeouts()``) and ofproto-dpif.c
(``rule_expire()``), 3.1. Whoever cached a decision that the tables took compares what `shared`
counts; what changed since then stands in `changes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from ovsct.bridge.bridges import Changes
from ovsct.bridge.eviction import Limit, TableFull, victim
from ovsct.openflow.actions import Action, Clone, FinTimeout, Learn, WriteActions
from ovsct.openflow.classifier import Classifier
from ovsct.openflow.flow import Flow

NO_COOKIE: Final = (1 << 64) - 1
"""The cookie that leaves a flow's own alone."""


@dataclass(frozen=True, slots=True)
class LearnFlow:
    """What a packet does to the tables: this flow is to be there. `limit`: see learn().

    `born` is when it was translated (seconds): a flow that is learned later, by a packet that met
    the cache, has been unused since then (``rule_construct()``: the flow is made in translation).
    """

    flow: Flow
    limit: int = 0
    born: float = 0.0


@dataclass(frozen=True, slots=True)
class ReduceTimeouts:
    """What a packet with FIN or RST does: `rule` has no longer left than this (seconds)."""

    rule: Flow
    idle: int
    hard: int


Effect: TypeAlias = LearnFlow | ReduceTimeouts


class Clock:
    """The times of a flow that can end: its timeouts, and since when they run, in seconds.

    The moments are None until the first moment is known.
    """

    __slots__ = ("hard", "idle", "modified", "used")

    def __init__(self, idle: int, hard: int, now: float | None) -> None:
        self.idle = idle
        self.hard = hard
        self.modified = now
        self.used = now

    def due(self, used: float) -> float:
        """When the flow ends if it was last used at `used`."""
        assert self.modified is not None
        hard = self.modified + self.hard if self.hard else math.inf
        return min(hard, used + self.idle if self.idle else math.inf)


class FlowTables:
    """The tables of one bridge."""

    def __init__(self, changes: Changes) -> None:
        self.tables: dict[int, Classifier[Flow]] = {}
        self.clocks: dict[Flow, Clock] = {}
        self.shared = changes
        self.changes: list[tuple[Flow, Flow | None]] = []
        """Flows that are gone, each with the one that stands in its place."""
        self.next_due = -math.inf
        self.on_change: Callable[[Flow | None, Flow | None], None] | None = None
        """Told of each flow that was and the one that is instead, where there are such."""
        self.limits: dict[int, Limit] = {}
        self.evicting: set[int] = set()
        """Tables in which a controller has switched eviction on."""

    # -- flows come and go ---------------------------------------------------------------------

    def add(self, flow: Flow, now: float | None = None) -> None:
        """Add a flow, in place of one with the same match and priority if there is one.

        In a full table another may have to go.

        Raises:
            TableFull: there is no room for it.
        """
        goes = self.evictee(flow) if self.limits else None
        if goes is not None:
            self.remove(goes)
        table = self.tables.get(flow.table)
        if table is None:
            table = self.tables[flow.table] = Classifier()
        replaced = table.insert(flow)
        if replaced is not None:
            self._gone(replaced, flow)
        self.shared.tables += 1
        if flow.idle_timeout or flow.hard_timeout or _has_fin_timeout(flow.actions):
            self._set_clock(flow, Clock(flow.idle_timeout, flow.hard_timeout, now))
        if self.on_change is not None:
            self.on_change(replaced, flow)

    def evictee(self, flow: Flow) -> Flow | None:
        """The flow that must go so that `flow` can come, None if there is room.

        Raises:
            TableFull: none can go.
        """
        limit = self.limits.get(flow.table)
        if limit is None or self._size(flow.table) < limit.flows or self.like(flow) is not None:
            return None
        goes = self._victim(flow.table, limit)
        if goes is None:
            raise TableFull(
                f"table {flow.table} is full (OFPFMFC_TABLE_FULL)",
                file=flow.file, line=flow.line, token=flow.text or None,
            )  # fmt: skip
        return goes

    def set_limit(self, table: int, limit: Limit) -> list[Flow]:
        """Limit a table; the result are the flows that went (``evict_rules_from_table()``)."""
        self.limits[table] = limit
        gone: list[Flow] = []
        while self._size(table) > limit.flows:
            goes = self._victim(table, limit)
            if goes is None:
                break
            self.remove(goes)
            gone.append(goes)
        return gone

    def _size(self, table: int) -> int:
        return len(self.tables.get(table, ()))

    def _victim(self, table: int, limit: Limit) -> Flow | None:
        if not limit.evicts and table not in self.evicting:
            return None
        return victim(self.tables.get(table, ()), limit.groups, self.clocks)

    def modify(
        self, flow: Flow, actions: tuple[Action, ...], cookie: int | None, now: float
    ) -> None:
        """Give a flow other actions, and another cookie unless it is None."""
        changed = replace(
            flow, actions=actions, cookie=flow.cookie if cookie is None else cookie,
            text="", file=None, line=None, warnings=(),
        )  # fmt: skip
        clock = self.clocks.get(flow)
        self.add(changed, now)
        fresh = self.clocks.get(changed)
        if clock is not None and fresh is not None:
            fresh.idle, fresh.hard, fresh.used = clock.idle, clock.hard, clock.used

    def remove(self, flow: Flow) -> None:
        """Take a flow out, and with it what it learned with ``delete_learned``."""
        self.tables[flow.table].remove(flow)
        self.shared.tables += 1
        if self.on_change is not None:
            self.on_change(flow, None)
        self._gone(flow, None)

    def _gone(self, flow: Flow, instead: Flow | None) -> None:
        self.clocks.pop(flow, None)
        self.changes.append((flow, instead))
        for learn in _learns(flow.actions):
            if learn.delete_learned and not self._learns_still(learn):
                for learned in self._with_cookie(learn.table, learn.cookie):
                    if self.holds(learned):
                        self.remove(learned)

    def _learns_still(self, wanted: Learn) -> bool:
        return any(
            learn.delete_learned and (learn.table, learn.cookie) == (wanted.table, wanted.cookie)
            for table in self.tables.values()
            for flow in table
            for learn in _learns(flow.actions)
        )

    def _with_cookie(self, table: int, cookie: int) -> list[Flow]:
        return [flow for flow in self.tables.get(table, ()) if flow.cookie == cookie]

    def _set_clock(self, flow: Flow, clock: Clock) -> None:
        self.clocks[flow] = clock
        self.next_due = -math.inf

    def like(self, flow: Flow) -> Flow | None:
        """The flow with the same table, match and priority, if there is one."""
        table = self.tables.get(flow.table)
        if table is None:
            return None
        return table.find_exactly(flow.match.value, flow.match.mask, flow.priority)

    def overlaps(self, flow: Flow) -> bool:
        """Whether another flow of this table and priority could match a packet that `flow` does.

        One whose place it would take does not count (OVS ``add_flow_init()``).
        """
        table = self.tables.get(flow.table)
        return table is not None and self.like(flow) is None and table.rule_overlaps(flow)

    def holds(self, flow: Flow) -> bool:
        """Whether this very flow is in its table."""
        return self.like(flow) is flow

    # -- what packets do -----------------------------------------------------------------------

    def may_learn(self, flow: Flow, limit: int) -> bool:
        """Whether the limit lets `flow` in."""
        if not limit or self.same(flow) is not None:
            return True
        return len(self._with_cookie(flow.table, flow.cookie)) < limit

    def same(self, flow: Flow) -> Flow | None:
        """The flow that is there already and says the very same."""
        there = self.like(flow)
        if there is None:
            return None
        clock = self.clocks.get(there)
        timeouts = (clock.idle, clock.hard) if clock is not None else (0, 0)
        wanted = (flow.idle_timeout, flow.hard_timeout, flow.importance, flow.flags, flow.actions)
        if (*timeouts, there.importance, there.flags, there.actions) != wanted:
            return None
        return there if flow.cookie in (there.cookie, NO_COOKIE) else None

    def apply(self, effect: Effect, tcp_flags: int, now: float) -> None:
        """Do what a packet with `tcp_flags` at `now` does."""
        if isinstance(effect, LearnFlow):
            self.learn(effect, now)
        elif tcp_flags & 0x05 and self.holds(effect.rule):
            self._reduce(effect)

    def learn(self, effect: LearnFlow, now: float) -> tuple[Flow | None, Flow] | None:
        """Learn a flow at `now`: what stood in its place and what stands there, if that changed."""
        flow = effect.flow
        same = self.same(flow)
        if same is not None:
            clock = self.clocks.get(same)
            if clock is not None:
                clock.modified = now
            return None
        if not self.may_learn(flow, effect.limit):
            return None
        there = self.like(flow)
        if there is None:
            added = replace(flow)
            try:
                self.add(added, now)
            except TableFull:
                return None
            fresh = self.clocks.get(added)
            if fresh is not None:
                fresh.used = effect.born
            return None, added
        clock = self.clocks.get(there)
        cookie = there.cookie if flow.cookie == NO_COOKIE else flow.cookie
        changed = replace(there, actions=flow.actions, cookie=cookie)
        self.tables[flow.table].insert(changed)
        self.shared.tables += 1
        self._gone(there, changed)
        if clock is not None:
            clock.modified = now
            self._set_clock(changed, clock)
        if self.on_change is not None:
            self.on_change(there, changed)
        return there, changed

    def _reduce(self, effect: ReduceTimeouts) -> None:
        clock = self.clocks.get(effect.rule)
        if clock is None:
            return
        clock.idle = _reduced(effect.idle, clock.idle)
        clock.hard = _reduced(effect.hard, clock.hard)
        self._set_clock(effect.rule, clock)

    def touch(self, rule: Flow, used: float) -> None:
        """Packets met `rule` at `used`, as a megaflow has seen, or what stands in its place now."""
        clock = self.clocks.get(rule)
        if clock is None:
            for old, new in self.changes:
                if old is rule and new is not None:
                    rule = new
            clock = self.clocks.get(rule)
        if clock is not None and clock.used is not None and self.holds(rule):
            clock.used = max(clock.used, used)

    # -- time ----------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """The first moment is known: flows that were configured are as old as that."""
        for clock in self.clocks.values():
            if clock.modified is None:
                clock.modified = clock.used = now

    def expire(self, now: float) -> Iterator[tuple[float, Flow, str]]:
        """Remove the flows that have ended before `now`: (when, which, why), in order of time.

        When packets last met them has been told before (:meth:`touch`).
        """
        self.begin(now)
        soonest = math.inf
        ended = []
        for flow, clock in self.clocks.items():
            assert clock.used is not None and clock.modified is not None
            due = clock.due(clock.used)
            if due < now:
                hard = bool(clock.hard) and clock.modified + clock.hard < now
                ended.append((due, flow, "hard timeout" if hard else "idle timeout"))
            else:
                soonest = min(soonest, due)
        for due, flow, why in sorted(ended, key=lambda entry: entry[0]):
            if self.holds(flow):
                self.remove(flow)
                yield due, flow, why
        self.next_due = soonest


def _reduced(limit: int, timeout: int) -> int:
    return limit if limit and (not timeout or timeout > limit) else timeout


def _has_fin_timeout(actions: Sequence[Action]) -> bool:
    return any(
        isinstance(action, FinTimeout)
        or (isinstance(action, Clone) and _has_fin_timeout(action.actions))
        for action in actions
    )


def _learns(actions: Sequence[Action]) -> Iterator[Learn]:
    for action in actions:
        if isinstance(action, Learn):
            yield action
        elif isinstance(action, Clone | WriteActions):
            yield from _learns(action.actions)
