"""Three tables that let pass what rules allow, and the replies to that: state, rules, verdict.

A packet comes to the table `state` from conntrack. There invalid is dropped, and replies and ICMP
errors of allowed connections pass. What opens a connection, and what its opener sends on, is held
against the table `rules`, whose flows set reg0 to 1 for what they allow and go on to `verdict`:
allowed and new is committed; what is no longer allowed gives its connection the ct_mark 1, with
which its replies do not pass either, until the rules allow what its opener sends again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controller.common import flows as f

HIGHEST: Final = 60000
"""The highest priority of a rule."""

NEIGHBOUR_DISCOVERY: Final = (133, 134, 135, 136)
"""Router solicitation and advertisement, neighbour solicitation and advertisement (RFC 4861)."""

_CUT: Final = 1
"""The ct_mark of a connection that the rules no longer allow."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its tables, its zone (a number, or a register's name), and what passing means."""

    state: int
    rules: int
    verdict: int
    zone: int | str
    forward: tuple[f.Action, ...] = ()
    goto: int | None = None

    def _pass(
        self, table: int, priority: int, match: Mapping[str, f.Value], *before: f.Action
    ) -> f.Flow:
        return f.flow(table, priority, match, *before, *self.forward, goto=self.goto)

    def allow(self, priority: int, match: Mapping[str, f.Value]) -> f.Flow:
        """A flow of the rules that allows."""
        return f.flow(self.rules, priority, match, f.SetField("reg0", 1), goto=self.verdict)

    def deny(self, priority: int, match: Mapping[str, f.Value]) -> f.Flow:
        """A flow of the rules that does not."""
        return f.flow(self.rules, priority, match, goto=self.verdict)

    def flows(self) -> list[f.Flow]:
        """All flows but those of the rules."""
        return [*self._state(), self.deny(0, {}), *self._verdict()]

    def _state(self) -> list[f.Flow]:
        table = self.state
        reply: f.Match = {"ct_state": f.ct_state("+trk+est+rpl"), "ct_mark": 0}
        error: f.Match = {"ct_state": f.ct_state("+trk+rel-new"), "ct_mark": 0}
        return [
            f.flow(table, 100, {"ct_state": f.ct_state("+trk+inv")}),
            self._pass(table, 90, reply),
            self._pass(table, 90, {**error, "eth_type": f.IPV4, "ip_proto": f.ICMP}),
            self._pass(table, 90, {**error, "eth_type": f.IPV6, "ip_proto": f.ICMPV6}),
            f.flow(table, 80, {"ct_state": f.ct_state("+trk+est-rpl")}, goto=self.rules),
            f.flow(table, 80, {"ct_state": f.ct_state("+trk+new-rel")}, goto=self.rules),
            f.flow(table, 0, {}),
        ]

    def _verdict(self) -> list[f.Flow]:
        table = self.verdict
        commit = f.Ct(self.zone, commit=True)
        revive = f.Ct(self.zone, commit=True, exec=(f.SetField("ct_mark", 0),))
        cut = f.Ct(self.zone, commit=True, exec=(f.SetField("ct_mark", _CUT),))
        flows = [f.flow(table, 0, {})]
        for eth_type in (f.IPV4, f.IPV6):  # a switch takes ct only where the match says IP
            opened: f.Match = {"eth_type": eth_type, "ct_state": f.ct_state("+trk+new"), "reg0": 1}
            known: f.Match = {"eth_type": eth_type, "ct_state": f.ct_state("+trk+est")}
            flows += [
                self._pass(table, 100, opened, commit),
                self._pass(table, 100, {**known, "reg0": 1, "ct_mark": 0}),
                self._pass(table, 100, {**known, "reg0": 1, "ct_mark": _CUT}, revive),
                f.flow(table, 100, {**known, "reg0": 0, "ct_mark": 0}, cut),
            ]
        return flows
