"""Flow monitors of one connection (OVS ofproto/connmgr.c, ofmonitor_*())."""

from __future__ import annotations

from typing import Final, NamedTuple

from ovsct.agent.rules import Filter, Rules, groups_of, sends_to_port
from ovsct.openflow.actions import OFPP_NONE, Action
from ovsct.openflow.flow import Flow
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.multipart import FlowMonitor, FlowUpdate
from ovsct.openflow.wire.numbers import GROUP_ANY, TABLE_ALL

MOST_WAITING: Final = 128 * 1024
"""Bytes that may wait for a controller before its monitors pause."""

_WANTED: Final = {"added": "add", "removed": "delete", "modified": "modify"}


class FlowChange(NamedTuple):
    """What has become of a flow, and by whose message.

    `event`: ``added``, ``removed`` (with a reason) or ``modified``; `before` are the actions that a
    modified flow had, `was` is the flow that it was.
    """

    event: str
    flow: Flow
    reason: str = ""
    before: tuple[Action, ...] = ()
    was: Flow | None = None
    by: object = None
    xid: int = 0


class Monitors:
    """The monitors of one connection, and what is to be told to it.

    Args:
        rules: the flows.
        owner: what stands in a change that this connection has made itself.
    """

    def __init__(self, rules: Rules, owner: object) -> None:
        self._rules = rules
        self._owner = owner
        self._monitors: dict[int, FlowMonitor] = {}
        self._updates: list[FlowUpdate] = []
        self._abbreviated = False
        self._missed: dict[int, tuple[str, Flow]] | None = None

    def __len__(self) -> int:
        return len(self._monitors)

    # -- which there are -----------------------------------------------------------------------

    def request(self, entries: tuple[FlowMonitor, ...]) -> tuple[FlowUpdate, ...]:
        """Set up, change or end monitors; the flows that the new ones want to be told at first.

        Raises WireError; monitors that the request has set up are gone then.
        """
        fresh: list[int] = []
        try:
            for entry in entries:
                ident = entry.monitor_id
                if entry.command == "add" and ident in self._monitors:
                    raise WireError("OFPMOFC_MONITOR_EXISTS", f"monitor {ident}")
                if entry.command != "add":
                    self.cancel(ident)
                if entry.command != "delete":
                    self._monitors[ident] = entry
                    fresh.append(ident)
        except WireError:
            for ident in fresh:
                self._monitors.pop(ident, None)
            raise
        found: dict[int, tuple[Flow, bool]] = {}
        for ident in fresh:
            monitor = self._monitors[ident]
            if "initial" in monitor.flags:
                for flow in self._meant(monitor):
                    shown = found.get(id(flow), (flow, False))[1] or "actions" in monitor.flags
                    found[id(flow)] = flow, shown
        return tuple(_update("initial", flow, shown) for flow, shown in found.values())

    def cancel(self, ident: int) -> None:
        """End a monitor. Raises WireError: there is no such monitor."""
        if self._monitors.pop(ident, None) is None:
            raise WireError("OFPMOFC_UNKNOWN_MONITOR", f"monitor {ident}")

    def _meant(self, monitor: FlowMonitor) -> list[Flow]:
        wanted = Filter(
            monitor.table, monitor.match, None, 0, 0, monitor.out_port, monitor.out_group
        )
        return [rule.flow for rule in self._rules.find(wanted)]

    # -- what happens --------------------------------------------------------------------------

    def report(self, change: FlowChange) -> None:
        """A flow has changed."""
        flow = change.flow
        if self._missed is not None and self._missing(change):
            return
        flags = self._flags(change)
        if not flags:
            return
        own = change.by is self._owner and "own" not in flags
        if not own or self._missed is not None:
            self._updates.append(
                _update(change.event, flow, "actions" in flags, change.reason)
            )
        elif not self._abbreviated:
            self._updates.append(FlowUpdate(event="abbreviated", xid=change.xid))
            self._abbreviated = True

    def _flags(self, change: FlowChange) -> frozenset[str]:
        """All flags of the monitors that mean this flow and want to be told of this."""
        found: frozenset[str] = frozenset()
        for monitor in self._monitors.values():
            if _WANTED[change.event] in monitor.flags and _means(monitor, change):
                found |= monitor.flags
        return found

    def _missing(self, change: FlowChange) -> bool:
        """While nothing is told, note what is missed; only what went is told, if it was known."""
        missed = self._missed
        assert missed is not None
        known = missed.pop(id(change.was or change.flow), None)
        if change.event == "removed":
            return known is not None and known[0] == "added"
        event = "added" if known is not None and known[0] == "added" else change.event
        missed[id(change.flow)] = event, change.flow
        return True

    def take(self) -> tuple[FlowUpdate, ...]:
        """What is to be told now, once."""
        updates, self._updates = tuple(self._updates), []
        self._abbreviated = False
        return updates

    # -- pausing -------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether nothing is told until the controller has taken what waits for it."""
        return self._missed is not None

    def pause(self) -> None:
        """Tell nothing from now on, but what flows that were known have gone."""
        self._missed = {}

    def resume(self) -> tuple[FlowUpdate, ...]:
        """Go on: what was missed."""
        missed, self._missed = self._missed or {}, None
        updates = []
        for event, flow in missed.values():
            flags = self._flags(FlowChange(event, flow))
            if event == "added" and not flags:
                flags = self._flags(FlowChange("modified", flow))
            if flags:
                updates.append(_update(event, flow, "actions" in flags))
        return tuple(updates)


def _means(monitor: FlowMonitor, change: FlowChange) -> bool:
    flow, match = change.flow, monitor.match
    outside = match.mask & ~flow.match.mask or (match.value ^ flow.match.value) & match.mask
    if outside or monitor.table not in (TABLE_ALL, flow.table):
        return False
    if monitor.out_port != OFPP_NONE and not (
        sends_to_port(flow.actions, monitor.out_port)
        or sends_to_port(change.before, monitor.out_port)
    ):
        return False
    return monitor.out_group == GROUP_ANY or monitor.out_group in groups_of(flow.actions)


def _update(event: str, flow: Flow, shown: bool, reason: str = "") -> FlowUpdate:
    return FlowUpdate(
        event=event, reason=reason, table=flow.table, priority=flow.priority,
        idle_timeout=flow.idle_timeout, hard_timeout=flow.hard_timeout, cookie=flow.cookie,
        match=flow.match, actions=flow.actions if shown else (),
    )  # fmt: skip
