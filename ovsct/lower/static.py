"""A whole OpenFlow pipeline as a TC rule set, with no OVS behind it.

Every port has chains of its own, since where a packet came in is known there. A table is a chain
for each state in which it is entered (:mod:`ovsct.lower.static_state`): registers and metadata are
followed, so that what they are matched on is decided here and not by TC. Flows keep their
priorities; a table in which nothing matches drops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from ovsct.lower.kernel import Capabilities
from ovsct.lower.match import Match, lower_match, lower_open_match
from ovsct.lower.reasons import Reason, RefusedError
from ovsct.lower.static_actions import Builder
from ovsct.lower.static_reasons import StaticReason, static_error
from ovsct.lower.static_state import CONNTRACK, State, Tag
from ovsct.openflow import actions as of
from ovsct.openflow.flow import Flow
from ovsct.openflow.group import Group
from ovsct.packet.fields import SLOTS, VLAN_PRESENT
from ovsct.packet.packet import VLAN_TYPES
from ovsct.tc import actions as tc
from ovsct.tc.filters import Filter
from ovsct.tc.keys import ETH_P_ALL
from ovsct.tc.verdict import EXT_MASK, MAX_RECLASSIFY, SHOT, is_goto

_TYPE: Final = SLOTS["dl_type"]
_TCI: Final = SLOTS["vlan_tci"]
_TPID: Final = SLOTS["vlan_tpid"]
_TTL: Final = SLOTS["nw_ttl"]
_FURTHER: Final = 256
"""Chains from here on are for tables that are entered in more than one state."""
_LAST_PRIO: Final = 0xFFFF
_EXPIRED: Final = 0xFE
_HEADERS: Final = sum(
    SLOTS[name].mask
    for name in ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "tp_src", "tp_dst")
)


@dataclass(slots=True)
class Lowered:
    """What became of a pipeline: `filters` in the order in which to add them, `notes` what is not
    as in OVS, and for each (port, chain) the words that say what it is.
    """

    filters: list[Filter] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    chains: dict[tuple[int, int], str] = field(default_factory=dict)


def lower_pipeline(
    flows: Iterable[Flow], ports: Collection[int], groups: Iterable[Group] = (),
    capabilities: Capabilities | None = None,
) -> Lowered:  # fmt: skip
    """The TC rule set that does what the flows do.

    Args:
        flows: of all tables.
        ports: of the bridge.
        groups: that the flows name.
        capabilities: of the kernel.

    Raises:
        StaticError: TC cannot do what a flow asks for; it names the flow and the reason.
    """
    tables: dict[int, list[Flow]] = {}
    for flow in flows:
        tables.setdefault(flow.table, []).append(flow)
    for table in tables.values():
        table.sort(key=lambda flow: -flow.priority)
    by_number = {group.group_id: group for group in groups}
    lowered = Lowered()
    for port in sorted(ports):
        one = _Port(port, tables, frozenset(ports), by_number, capabilities or Capabilities())
        one.run(lowered)
    return lowered


class _Case(NamedTuple):
    """One filter of a flow: the match that is left, and the state that it leaves packets in."""

    flow: Flow
    value: int
    mask: int
    state: State
    tpid: int


class _Port:
    """One port's chains."""

    def __init__(
        self, port: int, tables: Mapping[int, list[Flow]], ports: frozenset[int],
        groups: Mapping[int, Group], capabilities: Capabilities,
    ) -> None:  # fmt: skip
        self._port = port
        self._tables = tables
        self._ports = ports
        self._groups = groups
        self._capabilities = capabilities
        self._chains: dict[tuple[int, State], int] = {}
        self._waiting: deque[tuple[int, State, int]] = deque()
        self._numbers: set[int] = set()
        self._running: list[tuple[int, State]] = []
        self._leads: dict[int, dict[int, Flow]] = {}

    def run(self, lowered: Lowered) -> None:
        """Lower what packets of this port can come to."""
        self._enter(0, State(SLOTS["in_port"].put(0, self._port)))
        while self._waiting:
            table, state, chain = self._waiting.popleft()
            lowered.chains[self._port, chain] = _words(table, state)
            lowered.filters += self._table(table, state, chain, lowered.notes)
        self._check_depth()

    def _enter(self, table: int, state: State) -> int:
        known = self._chains.get((table, state))
        if known is not None:
            return known
        number = table
        while number in self._numbers or (number != table and number < _FURTHER):
            number = max(number + 1, _FURTHER)
        self._numbers.add(number)
        self._chains[table, state] = number
        self._waiting.append((table, state, number))
        return number

    # -- one table ------------------------------------------------------------------------------

    def _table(self, table: int, state: State, chain: int, notes: list[str]) -> Iterator[Filter]:
        prio = 0
        before: tuple[object, ...] = ()
        for case in self._cases(table, state):
            for entry in self._filters(case, chain, notes):
                kind = (case.flow.priority, entry.protocol, entry.mask)
                prio += kind != before
                before = kind
                if prio >= _LAST_PRIO:
                    raise static_error(
                        Reason.PRIORITIES, "a chain has 65534 priorities", case.flow
                    )
                yield replace(entry, prio=prio)
                if entry.protocol == ETH_P_ALL and not entry.mask:
                    return
        drop = (tc.Gact(SHOT),)
        yield Filter(self._port, ETH_P_ALL, actions=drop, chain=chain, prio=_LAST_PRIO)

    def _candidates(self, table: int, state: State) -> Iterator[tuple[Flow, int]]:
        """The flows that packets in a state can match, and what is left to look at."""
        for flow in self._tables.get(table, ()):
            match = flow.match
            if not state.misses(match.value, match.mask):
                yield flow, match.mask & ~state.known

    def _cases(self, table: int, state: State) -> Iterator[_Case]:
        for flow, mask in self._candidates(table, state):
            if state.translated and mask & _HEADERS:
                spans = flow.match.spans_of(mask & _HEADERS)
                raise static_error(
                    StaticReason.NAT_BEHIND, "conntrack may have translated the packet before",
                    flow, *spans[:1],
                )  # fmt: skip
            if flow.idle_timeout or flow.hard_timeout:
                raise static_error(StaticReason.TIMEOUT, "filters do not age", flow)
            yield from self._by_tag(flow, mask, state)

    def _by_tag(self, flow: Flow, mask: int, state: State) -> Iterator[_Case]:
        """With and without a tag: filters see the type before the tag, flows the one behind."""
        value = flow.match.value & mask
        asked = _TCI.get(mask)
        wants = _TCI.get(value) & VLAN_PRESENT
        tagged = state.tag is not Tag.NONE and (wants or not asked & VLAN_PRESENT)
        plain = state.tag is not Tag.TAGGED and not (asked and wants)
        if asked and not asked & VLAN_PRESENT and _TCI.get(value) == 0:
            tagged = plain = True
        rest = mask & ~_TCI.mask
        typed = bool(mask & _TYPE.mask)
        # A flow for frames of any type and tag is one filter, if nothing depends on the tag.
        split = typed or asked or state.tag is not Tag.UNKNOWN or _minds_tags(flow, self._tables)
        if not split:
            yield _Case(flow, value, rest, state, 0)
            return
        cases = []
        if plain:
            if not typed and state.tag is Tag.UNKNOWN and asked:
                spans = flow.match.spans_of(_TCI.mask)
                raise static_error(
                    StaticReason.ANY_UNTAGGED, "name an Ethernet type", flow, *spans[:1]
                )
            known = state._replace(tag=Tag.NONE)
            cases.append(_Case(flow, value & ~_TCI.mask, rest, known, 0))
        if tagged:
            known = state._replace(tag=Tag.TAGGED)
            cases += [_Case(flow, value, mask, known, tpid) for tpid in VLAN_TYPES]
        # A filter for any type sees tagged frames, too: it must come behind those for tags.
        yield from cases if typed else reversed(cases)

    # -- one flow -------------------------------------------------------------------------------

    def _filters(self, case: _Case, chain: int, notes: list[str]) -> Iterator[Filter]:
        match = self._match(case, case.value, case.mask)
        builder = Builder(
            case.flow, _TPID.put(case.value, case.tpid), case.state, self._ports, self._groups,
            self._enter, self._inline,
        )  # fmt: skip
        builder.run(case.flow.actions)
        actions = builder.finish()
        for control in (each.control for each in actions if isinstance(each, tc.Gact)):
            if is_goto(control):
                self._leads.setdefault(chain, {}).setdefault(control & EXT_MASK, case.flow)
        notes += [note for note in builder.notes if note not in notes]
        if builder.expired is not None:
            yield from self._expired(case, chain, builder.expired)
        yield Filter(self._port, match.protocol, match.value, match.mask, actions, chain)

    def _expired(self, case: _Case, chain: int, before: list[tc.Action]) -> Iterator[Filter]:
        """Packets whose TTL does not last: what stands before dec_ttl, and no more."""
        value, mask = _TTL.get(case.value), _TTL.get(case.mask)
        if mask and value & mask & _EXPIRED:
            return
        bits = mask | _EXPIRED
        match = self._match(
            case, _TTL.put(case.value, value & mask), _TTL.put(case.mask, bits)
        )
        actions = (*before, tc.Gact(SHOT))
        yield Filter(self._port, match.protocol, match.value, match.mask, actions, chain)

    def _match(self, case: _Case, value: int, mask: int) -> Match:
        """The flower match; ``VLAN_PRESENT`` is said by the protocol."""
        if case.tpid:
            value = _TPID.put(value | VLAN_PRESENT << _TCI.shift, case.tpid)
            tci = _TCI.get(mask)
            if tci & ~VLAN_PRESENT:
                mask |= VLAN_PRESENT << _TCI.shift
            else:
                mask &= ~_TCI.mask
        else:
            value, mask = value & ~_TCI.mask, mask & ~_TCI.mask
        try:
            if not mask & _TYPE.mask:
                return lower_open_match(value, mask, case.tpid, self._capabilities)
            return lower_match(value, mask, self._capabilities)
        except RefusedError as refused:
            refusal = refused.refusal
            spans = case.flow.match.spans_of(refusal.bits)
            raise static_error(refusal.reason, refusal.detail, case.flow, *spans[:1]) from None

    def _inline(self, builder: Builder, table: int, action: of.Action) -> bool:
        """A table in the middle: run it there, if the state says which flow it is."""
        state = builder.state
        first = next(self._candidates(table, state), None)
        if first is None:
            return True
        flow, mask = first
        if mask:
            return False
        if (table, state) in self._running:
            raise static_error(
                StaticReason.LOOP, f"table {table} comes back to itself", builder.flow, action.span
            )
        self._running.append((table, state))
        outer, builder.flow = builder.flow, flow
        builder.run(flow.actions, more=True)
        builder.flow = outer
        self._running.pop()
        return True

    def _check_depth(self) -> None:
        """At most 16 goto in a row, and never in a circle."""
        done: dict[int, int] = {}
        path: list[int] = []

        def depth(chain: int, flow: Flow | None) -> int:
            if chain in path:
                raise static_error(
                    StaticReason.LOOP, "the pipeline comes back to a table in the same state", flow
                )
            if chain not in done:
                path.append(chain)
                leads = self._leads.get(chain, {})
                done[chain] = max((1 + depth(to, by) for to, by in leads.items()), default=0)
                path.pop()
                if done[chain] > MAX_RECLASSIFY:
                    raise static_error(
                        StaticReason.DEPTH, f"more than {MAX_RECLASSIFY} goto in a row", flow
                    )
            return done[chain]

        depth(0, None)


_ABOUT_TAGS: Final = (of.PushVlan, of.StripVlan)


def _minds_tags(flow: Flow, tables: Mapping[int, list[Flow]]) -> bool:
    """Whether what a flow does depends on there being a tag: it changes one, or goes on."""
    for action in flow.actions:
        if isinstance(action, (*_ABOUT_TAGS, of.Group, of.Clone)):
            return True
        if isinstance(action, of.SetField) and action.field.slot == "vlan_tci":
            return True
        if isinstance(action, of.Resubmit | of.GotoTable | of.Ct):
            return any(_reads_tags(each) for table in tables.values() for each in table)
    return False


def _reads_tags(flow: Flow) -> bool:
    return bool(flow.match.mask & _TCI.mask) or any(
        isinstance(action, _ABOUT_TAGS)
        or (isinstance(action, of.SetField) and action.field.slot == "vlan_tci")
        for action in flow.actions
    )


def _words(table: int, state: State) -> str:
    """What a chain is, for people."""
    words = [f"table {table}"]
    for slot in SLOTS.values():
        value = slot.get(state.key) if slot.mask & state.known & ~CONNTRACK else 0
        if value and slot.name != "in_port":
            words.append(f"{slot.name}={value:#x}")
    if state.tag is not Tag.UNKNOWN:
        words.append("a tag" if state.tag is Tag.TAGGED else "no tag")
    words.append("tracked" if state.tracked else "as if untracked")
    return ", ".join(words)
