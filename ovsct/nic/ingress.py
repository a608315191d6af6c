"""TC's ingress with a NIC in front: filters go to software and to hardware, packets the same way.

A filter is added to software and offered to the NIC (``tc_setup_cb_add()`` without skip_hw or
skip_sw); a packet runs through hardware first, and software goes on where hardware left off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ovsct.conntrack.netfilter import Netfilter
from ovsct.lane import Event, Step, StepKind
from ovsct.nic.offload import HwFlowTable
from ovsct.nic.pipeline import Missed, Pipeline, Sent
from ovsct.nic.profile import Profile
from ovsct.nic.rules import NicRule
from ovsct.nic.tables import CtTables, Full, RuleTables
from ovsct.nic.words import rule_text
from ovsct.packet.packet import Packet
from ovsct.tc.classify import Pass, classify
from ovsct.tc.filters import Filter, Installed
from ovsct.tc.ingress import Fate, Result, TcIngress
from ovsct.tc.verdict import EXT_MASK, OK, PIPE, is_goto


@dataclass(frozen=True, slots=True)
class NotInHw:
    """A filter that the NIC does not take: the name of the reason, and the reason in words."""

    reason: str
    words: str


ToNic: TypeAlias = Callable[[Filter, Profile, frozenset[int]], NicRule | NotInHw]
"""The driver: from a filter, what the NIC can do and the ports it has, to a rule or a refusal."""

_FULL = {
    Full.RULES: NotInHw("full", "the NIC has no room for another rule"),
    Full.ZONES: NotInHw("zones", "the NIC has no id for another zone"),
}


class NicIngress(TcIngress):
    """The ingress of ports that belong to a NIC.

    Args:
        ports: the ports that are there; `nic_ports` those of them that are the NIC's (None: all),
            `own_ports` as for :class:`TcIngress`.
        netfilter: the conntrack of the host.
        profile: what the NIC can do.
        to_nic: how a filter becomes a rule.

    `refused` are the filters that are in software only; `news` says in words what became of every
    filter that was added, until somebody empties it.
    """

    def __init__(
        self, ports: Iterable[int], netfilter: Netfilter, profile: Profile, to_nic: ToNic,
        nic_ports: Iterable[int] | None = None, own_ports: Iterable[int] = (),
    ) -> None:  # fmt: skip
        super().__init__(ports, netfilter, own_ports)
        self.profile = profile
        self.nic_ports = self.ports if nic_ports is None else frozenset(nic_ports)
        self.rules = RuleTables(profile)
        self.ct = CtTables(profile)
        self.pipeline = Pipeline(profile, self.rules, self.ct)
        self.hw_flows = HwFlowTable(netfilter, profile, self.rules, self.ct, self.pipeline)
        self.flows = self.hw_flows
        self.refused: dict[Installed, NotInHw] = {}
        self.news: list[str] = []
        self._to_nic = to_nic
        self._now = 0.0
        self._handed: Missed | None = None

    # -- filters --------------------------------------------------------------------------------

    def add(self, entry: Filter, now: float = 0.0) -> Installed:
        """``tc filter add``, in software and, if it takes it, in hardware."""
        installed = super().add(entry, now)
        self._offer(installed)
        return installed

    def replace(self, entry: Filter, now: float = 0.0) -> Installed:
        """``tc filter replace``: hardware has the new filter before the old one goes."""
        before = set(self.filters(entry.port))
        installed = super().replace(entry, now)
        for gone in before.difference(self.filters(entry.port)):
            self._withdraw(gone, now)
        self._offer(installed)
        return installed

    def delete(
        self, port: int, chain: int = 0, prio: int = 0, handle: int = 0,
        protocol: int | None = None, *, egress: bool = False, block: int = 0,
    ) -> list[Installed]:  # fmt: skip
        """``tc filter del``."""
        gone = super().delete(
            port, chain, prio, handle, protocol, egress=egress, block=block
        )
        for installed in gone:
            self._withdraw(installed, self._now)
        return gone

    def _offer(self, installed: Installed) -> None:
        if installed.filter.port not in self.nic_ports:
            return
        made = self._to_nic(installed.filter, self.profile, self.nic_ports)
        where = f"the filter at chain {installed.filter.chain} prio {installed.filter.prio}"
        if isinstance(made, NicRule):
            full = self.rules.add(made, installed)
            if full is None:
                self.news.append(f"{where} is in hardware")
                return
            made = _FULL[full]
        self.refused[installed] = made
        self.news.append(f"{where} is not in hardware: {made.reason}: {made.words}")

    def _withdraw(self, installed: Installed, now: float) -> None:
        self.refused.pop(installed, None)
        gone = self.rules.remove(installed)
        if gone is None:
            return
        standing, zones = gone
        if standing.changed:
            self.pipeline.dirty_rules.remove(standing)
        for zone in zones:
            self.hw_flows.leave_zone(zone, now)

    # -- packets --------------------------------------------------------------------------------

    def hardware(
        self, packet: Packet, port: int, now: float, steps: list[Step] | None = None
    ) -> Sent | Missed:
        """What hardware makes of `packet` (parsed with a VLAN limit of 2), at `now` (seconds)."""
        self._now = now
        if port not in self.nic_ports:
            return Missed([], packet, 0)
        return self.pipeline.run(packet, port, steps)

    def hand(self, missed: Missed) -> None:
        """Keep what hardware missed for the next :meth:`run`."""
        self._handed = missed

    def run(
        self, packet: Packet, port: int, now: float, chain: int = 0,
        steps: list[Step] | None = None,
    ) -> Result:  # fmt: skip
        """Software takes what was handed up, or, if nothing was, `packet`."""
        missed, self._handed = self._handed, None
        if missed is None:
            return super().run(packet, port, now, chain, steps)
        return self.go_on(missed, port, now, steps)

    def advance(self, now: float) -> Sequence[Event]:
        """Let flows, hardware, connections and fragments age until `now` (seconds)."""
        self._now = now
        return super().advance(now)

    def go_on(self, missed: Missed, port: int, now: float, steps: list[Step] | None) -> Result:
        """Software takes a packet where hardware left off; copies that left already come first."""
        self._now = now
        packet, standing = missed.packet, missed.standing
        if standing is None:
            result = super().run(packet, port, now, missed.chain, steps)
        else:
            result = self._resume(packet, port, now, standing.installed, missed.action, steps)
        if missed.outputs:
            outputs = [*missed.outputs, *result.outputs]
            drop = None if result.fate is Fate.DROP else result.drop
            result = result._replace(outputs=outputs, drop=drop)
        return result

    def _resume(
        self, packet: Packet, port: int, now: float, installed: Installed, index: int,
        steps: list[Step] | None,
    ) -> Result:  # fmt: skip
        """tcf_exts_miss_cookie_lookup(): from action `index` of a filter on."""
        p = Pass(packet, port, now, [], steps, 0)
        entry = installed.filter
        p.chain = entry.chain
        if steps is not None:
            where = f"chain {entry.chain} prio {entry.prio}"
            p.note(StepKind.FILTER, f"{where}: goes on at action {index + 1}")
        verdict = OK
        for act, counter in installed.program[index:]:
            counter.packets += 1
            counter.bytes += p.length
            counter.used = now
            verdict = act(p)
            if verdict != PIPE:
                break
        if is_goto(verdict):
            verdict = classify(p, self._block(port), verdict & EXT_MASK)
        return self._finish_all(p, verdict)

    def _finish_all(self, p: Pass, verdict: int) -> Result:
        result = self._finish(p, verdict)
        while self._backlog:
            self._receive(self._backlog.pop(0))
        return result

    # -- words ----------------------------------------------------------------------------------

    def lines(self, now: float) -> list[str]:
        """What hardware has: rules in order, refused filters with reasons, connections."""
        found = [rule_text(standing.rule) for standing in self.rules]
        for installed, why in self.refused.items():
            entry = installed.filter
            found.append(
                f"software only port={entry.port} chain={entry.chain} prio={entry.prio}: "
                f"{why.reason}: {why.words}"
            )
        return found + self.hw_flows.lines(now)
