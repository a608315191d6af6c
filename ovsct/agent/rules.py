"""The flows of a bridge with what a switch knows of each: its age, its counters, its timeouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import Datapath
from ovsct.bridge.eviction import TableFull
from ovsct.openflow import actions as of
from ovsct.openflow.actions import OFPP_NONE, Action
from ovsct.openflow.classifier import Classifier
from ovsct.openflow.flow import Flow
from ovsct.openflow.match import Match
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import GROUP_ANY, TABLE_ALL

HIDDEN_TABLE: Final = 254
LOOK_EVERY: Final = 0.25
"""Seconds between two looks at what has timed out."""

N_TABLES: Final = 254
"""Tables 0 to 253; 254 is the switch's own (OVS ofproto-dpif.h TBL_INTERNAL)."""


class Rule:
    """One flow: when it came, was changed and was last used, in seconds.

    `base` is what the datapath had counted for it when its counters were reset.
    """

    __slots__ = ("base", "created", "flow", "modified", "used")

    def __init__(self, flow: Flow, now: float) -> None:
        self.flow = flow
        self.created = now
        self.modified = now
        self.used = now
        self.base = (0, 0)


class Removed(NamedTuple):
    """A flow that is gone: the rule, why, and its last counters."""

    rule: Rule
    reason: str
    packets: int
    bytes: int
    at: float


class Filter(NamedTuple):
    """Which flows a request means (OVS struct rule_criteria); `priority` None: loosely."""

    table: int
    match: Match
    priority: int | None = None
    cookie: int = 0
    cookie_mask: int = 0
    out_port: int = OFPP_NONE
    out_group: int = GROUP_ANY


def _flattened(actions: tuple[Action, ...]) -> Iterator[Action]:
    for action in actions:
        yield action
        match action:
            case of.Clone() | of.WriteActions():
                yield from _flattened(action.actions)
            case of.Ct():
                yield from _flattened(action.exec)
            case _:
                pass


def sends_to_port(actions: tuple[Action, ...], port: int) -> bool:
    """Whether any action outputs to `port` (OVS ofpacts_output_to_port())."""
    for action in _flattened(actions):
        match action:
            case of.Output():
                if action.port == port and action.max_len is None:  # OVS forgets output_trunc
                    return True
            case of.Enqueue():
                if action.port == port:
                    return True
            case of.Controller():
                if port == of.OFPP_CONTROLLER:
                    return True
            case _:
                pass
    return False


def groups_of(actions: tuple[Action, ...]) -> set[int]:
    """The groups that the actions name."""
    return {action.group_id for action in _flattened(actions) if isinstance(action, of.Group)}


def first_meter(actions: tuple[Action, ...]) -> int | None:
    """The meter that counts a flow among its own (OVS ofpacts_get_meter())."""
    for action in actions:
        if isinstance(action, of.Meter):
            return action.meter_id
    return None


Watch: TypeAlias = Callable[[str, Flow, str, Flow | None], None]
"""Told of a flow what it is (``added``, ``removed``, ``modified``), why, and what it was."""


class Rules:
    """All flows of a bridge.

    Args:
        bridge: its tables hold the flows; those that are there already count from `now`.
        datapath: counts their packets, and follows what changes in the tables.
    """

    def __init__(self, bridge: Bridge, datapath: Datapath, now: float) -> None:
        self.bridge = bridge
        self.tables = bridge.flow_tables
        self.datapath = datapath
        self.now = now
        self._rules: dict[int, Rule] = {}
        self._noted = False
        self._next_look = now
        self._watch: Watch | None = None
        self._adding = False
        self._reason = "delete"
        for table in self.tables.tables.values():
            for flow in table:
                self._rules[id(flow)] = Rule(flow, now)

    def __iter__(self) -> Iterator[Rule]:
        """All rules, table by table in the order in which OVS dumps them."""
        for number in sorted(self.tables.tables):
            for flow in self.tables.tables[number]:
                yield self._rule(flow)

    def _rule(self, flow: Flow) -> Rule:
        """The rule of a flow of the tables; one that came by itself (learn) begins now."""
        rule = self._rules.get(id(flow))
        if rule is None:
            rule = self._rules[id(flow)] = Rule(flow, self.now)
        return rule

    def table_size(self, table: int) -> int:
        """How many flows a table has."""
        classifier = self.tables.tables.get(table)
        return len(classifier) if classifier is not None else 0

    # -- counters ------------------------------------------------------------------------------

    def counts(self) -> dict[int, tuple[int, int]]:
        """What the datapath has counted; :meth:`count` makes a rule's counters from it."""
        return self.datapath.flow_counts()

    @staticmethod
    def count(rule: Rule, counts: dict[int, tuple[int, int]]) -> tuple[int, int]:
        """(packets, bytes) of a rule."""
        packets, size = counts.get(id(rule.flow), (0, 0))
        return packets - rule.base[0], size - rule.base[1]

    def note_use(self) -> None:
        """Take from the megaflows when each flow was last used."""
        for megaflow in self.datapath.megaflows():
            used = megaflow.created if megaflow.used is None else megaflow.used
            for flow in megaflow.rules:
                rule = self._rules.get(id(flow))
                if rule is not None and used > rule.used:
                    rule.used = used

    def packets_come(self) -> None:
        """A packet is about to go through: when flows were last used changes again."""
        self._noted = False

    def _changing(self) -> None:
        """A flow is about to change: megaflows will soon stand for others."""
        if not self._noted:
            self._noted = True
            self.note_use()

    def decided_otherwise(self) -> None:
        """Something that flows refer to (a group) changes: no megaflow can stay."""
        self._changing()
        self.datapath.flush()

    # -- choosing ------------------------------------------------------------------------------

    def find(self, wanted: Filter) -> list[Rule]:
        """The rules that a filter means; the switch's own table shows none."""
        tables = self.tables.tables
        numbers = sorted(tables) if wanted.table == TABLE_ALL else [wanted.table]
        found = []
        for number in numbers:
            classifier = tables.get(number)
            if classifier is not None:
                found += [
                    self._rule(flow)
                    for flow in _candidates(classifier, wanted)
                    if _meant(flow, wanted)
                ]
        return found

    # -- changing ------------------------------------------------------------------------------

    def watch(self, watch: Watch | None) -> None:
        """Tell of each change, or (None) of none."""
        self._watch = watch
        self.tables.on_change = self._changed if watch is not None else None

    def _changed(self, old: Flow | None, new: Flow | None) -> None:
        """What OVS calls a change (replace_rule_finish(), delete_flows_finish__())."""
        assert self._watch is not None
        if new is None:
            assert old is not None
            self._watch("removed", old, self._reason, None)
        elif old is None or self._adding:
            self._watch("added", new, "", old)
        elif (old.actions, old.cookie) != (new.actions, new.cookie):
            self._watch("modified", new, "", old)

    def add(
        self, flow: Flow, now: float, *, reset_counts: bool, check_overlap: bool = False
    ) -> list[Removed]:
        """Add a flow, in place of one with the same match and priority if there is one.

        The result is what had to go from a full table. Raises WireError: the flow overlaps another
        and must not, or there is no room for it.
        """
        old = self.tables.like(flow)
        if check_overlap and self.tables.overlaps(flow):
            raise WireError("OFPFMFC_OVERLAP", "the flow overlaps another")
        evicted = self._make_room(flow, now) if self.tables.limits else []
        self._adding = True
        try:
            self._replace(old, flow, now, reset_counts)
        finally:
            self._adding = False
        return evicted

    def _make_room(self, flow: Flow, now: float) -> list[Removed]:
        self.datapath.credit()
        try:
            goes = self.tables.evictee(flow)
        except TableFull as error:
            raise WireError("OFPFMFC_TABLE_FULL", error.problem) from None
        return [] if goes is None else self.remove([self._rule(goes)], "eviction", now)

    def modify(self, rule: Rule, flow: Flow, now: float, *, reset_counts: bool) -> Rule:
        """Put `flow` in the place of a rule; it keeps the older one's creation time."""
        fresh = self._replace(rule.flow, flow, now, reset_counts)
        fresh.created = rule.created
        return fresh

    def _replace(self, old: Flow | None, flow: Flow, now: float, reset_counts: bool) -> Rule:
        self._changing()
        rule = Rule(flow, now)
        if old is not None:
            before = self._rule(old)
            rule.used = before.used
            # The datapath lets a flow that takes another's place go on with its counters.
            rule.base = self.counts().get(id(old), (0, 0)) if reset_counts else before.base
            del self._rules[id(old)]
        self.tables.add(flow, now)
        clock = self.tables.clocks.get(flow)
        if clock is not None:
            clock.used = rule.used
        self._rules[id(flow)] = rule
        return rule

    def remove(self, rules: list[Rule], reason: str, now: float) -> list[Removed]:
        """Take rules away; says what each had counted."""
        if not rules:
            return []
        self._changing()
        counts = self.counts()
        gone = []
        by_table: dict[int, list[Rule]] = {}
        for rule in rules:
            by_table.setdefault(rule.flow.table, []).append(rule)
            gone.append(Removed(rule, reason, *self.count(rule, counts), now))
        self._reason = reason
        for number, those in by_table.items():
            with self.tables.tables[number].deferred():
                for rule in those:
                    # What it had learned may have gone with another already.
                    if self.tables.holds(rule.flow):
                        self.tables.remove(rule.flow)
                    self._rules.pop(id(rule.flow), None)
        self._reason = "delete"
        return gone

    def expire(self, now: float) -> list[Removed]:
        """Remove the flows whose time is over (OVS rule_expire())."""
        self.now = now
        clocks = self.tables.clocks
        if not clocks or now < self._next_look:
            return []
        self._next_look = now + LOOK_EVERY
        self.tables.begin(now)
        self.note_use()
        late: dict[str, list[Rule]] = {"hard": [], "idle": []}
        for flow, clock in clocks.items():
            rule = self._rule(flow)
            used = max(rule.used, clock.used or 0.0)
            if clock.hard and clock.modified is not None and now > clock.modified + clock.hard:
                late["hard"].append(rule)
            elif clock.idle and now > used + clock.idle:
                late["idle"].append(rule)
        return [
            gone for reason, rules in late.items() for gone in self.remove(rules, reason, now)
        ]

    def snapshot(self) -> list[tuple[Rule, int, int]]:
        """All rules and what each has counted, for :meth:`restore`."""
        self._changing()
        counts = self.counts()
        return [(rule, *self.count(rule, counts)) for rule in self]

    def restore(self, before: list[tuple[Rule, int, int]], now: float) -> None:
        """Have the rules of a snapshot again, as if nothing had been done since."""
        kept = {id(rule.flow) for rule, _, _ in before}
        self.remove([rule for rule in self if id(rule.flow) not in kept], "delete", now)
        for rule, _packets, _size in before:
            if not self.tables.holds(rule.flow):
                self.tables.add(rule.flow, rule.modified)
            self._rules[id(rule.flow)] = rule
        counts = self.counts()
        for rule, packets, size in before:
            counted = counts.get(id(rule.flow), (0, 0))
            rule.base = (counted[0] - packets, counted[1] - size)

    def prune(self) -> None:
        """Forget the rules of flows that went by themselves."""
        if len(self._rules) > sum(len(table) for table in self.tables.tables.values()):
            self._rules = {
                ident: rule for ident, rule in self._rules.items() if self.tables.holds(rule.flow)
            }


def _candidates(classifier: Classifier[Flow], wanted: Filter) -> list[Flow]:
    value, mask = wanted.match.value, wanted.match.mask
    if wanted.priority is None:
        return list(classifier.loosely(value, mask))
    exact = classifier.find_exactly(value, mask, wanted.priority)
    return [] if exact is None else [exact]


def _meant(flow: Flow, wanted: Filter) -> bool:
    """The part of OVS collect_rule() that does not look at the match."""
    return (
        not (flow.cookie ^ wanted.cookie) & wanted.cookie_mask
        and (wanted.out_port == OFPP_NONE or sends_to_port(flow.actions, wanted.out_port))
        and (wanted.out_group == GROUP_ANY or wanted.out_group in groups_of(flow.actions))
    )


def with_actions(flow: Flow, actions: tuple[Action, ...], cookie: int) -> Flow:
    """The same flow with other actions and another cookie; its text is no longer its own."""
    return replace(
        flow, actions=actions, cookie=cookie, text="", file=None, line=None, warnings=()
    )
