"""Verify: a case through the model and through a real ovs-vswitchd; nothing may differ.

Compared are, after every packet, the outputs byte for byte and the packet-ins; at the end (or
after every packet) the connections, then the datapath flows with renamed recirculation ids, then
the counters of the OpenFlow flows. docs/verify.md says what is left out, and why.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, TypeAlias

from ovsct.bridge.act_output import EXPLICIT_MISS
from ovsct.bridge.bridge import Bridge
from ovsct.bridge.bridges import Plan, join
from ovsct.bridge.eviction import read_limits
from ovsct.compare.case import FLOW_MOD, LINK, Case
from ovsct.compare.events import Advance
from ovsct.compare.megaflows import comparable_flows
from ovsct.compare.verdict import Difference, Kind, Verdict, differing
from ovsct.compare.words import counted, dumped, frame_words
from ovsct.errors import InputError, OvsctError
from ovsct.lane import CONTROLLER, Arrival, Change, Connection, Output
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.check import check_references
from ovsct.openflow.flow import Flow
from ovsct.openflow.group import Group
from ovsct.openflow.meter import Meter
from ovsct.openflow.text.flow_text import read_flows
from ovsct.openflow.text.group_text import read_groups
from ovsct.openflow.text.meter_text import read_meters
from ovsct.openflow.tlv import read_mappings, with_mappings
from ovsct.oracle.ofctl import Refused
from ovsct.oracle.real_bridges import BridgeText
from ovsct.oracle.real_ovs import Options, RealOvs, comparable
from ovsct.oracle.vswitchd import VswitchdDied

_MAX_IDLE: Final = 1_000_000_000
"""Milliseconds: datapath flows do not age, for the program removes them on threads of its own."""

_VSCTL: Final = (
    ("set", "open_vswitch", ".", f"other_config:max-idle={_MAX_IDLE}"),
    # Where a dump takes long, on a busy machine, vswitchd deletes rarely used datapath flows
    # instead of deciding anew for them (ofproto-dpif-upcall.c, should_revalidate()); not with this.
    ("set", "open_vswitch", ".", "other_config:min-revalidate-pps=0"),
)


_AGAIN: Final = 2
"""How often a difference is looked at again."""

_ASSERTION: Final = re.compile(r"assertion .*? failed in \w+\(\)|ovs_mutex_lock_at\(\).*?mutex")
"""How a program that dies says why."""


@dataclass(frozen=True, slots=True)
class _Program:
    """A running program, and what the model calls the ports of its datapath."""

    real: RealOvs
    numbers: Mapping[int, int]


class Verifier:
    """Runs cases through both. Holds one real program for each set of ports; close it.

    Args:
        every_packet: compare connections and datapath flows after every packet.
        trace: let the model trace, for the coverage of steps.
    """

    def __init__(self, *, every_packet: bool = False, trace: bool = True) -> None:
        self.every_packet = every_packet
        self.trace = trace
        self._programs: dict[_Configured, _Program] = {}

    def __enter__(self) -> Verifier:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the programs."""
        for program in self._programs.values():
            program.real.close()
        self._programs.clear()

    def _program(self, case: Case) -> _Program:
        found = self._programs.get(_configured(case))
        if found is None:
            options = Options(vsctl=_VSCTL, flow_tables=case.flow_tables)
            real = RealOvs(options=options, bridges=[*map(BridgeText, _plans(case))])
            found = _Program(real, real.datapath_numbers())
            self._programs[_configured(case)] = found
        return found

    def _forget(self, case: Case) -> None:
        program = self._programs.pop(_configured(case), None)
        if program is not None:
            program.real.close()

    def run(self, case: Case) -> Verdict:
        """Run one case.

        A program that dies is started again; the case is left out, with its last words.

        Raises:
            InputError: flows, groups or packets that neither side takes.
            OvsctError: the program is not installed.
        """
        verdict = self._once(case)
        seen = verdict.difference
        for left in reversed(range(_AGAIN if seen is not None else 0)):
            if not left:
                # Tables of cases before this one decide about the order of subtables even where
                # they are gone: the last word is that of a program that has seen nothing else.
                self._forget(case)
            verdict = self._once(case)
            if verdict.difference is None:
                verdict.unsteady = seen
                break
        return verdict

    def _once(self, case: Case) -> Verdict:
        verdict = Verdict()
        try:
            self._run(case, verdict)
        except VswitchdDied as death:
            self._forget(case)
            said = _ASSERTION.search(str(death))
            words = said[0] if said is not None else str(death).partition(": ")[0]
            verdict.left_out = f"ovs-vswitchd died: {words}"
        return verdict

    def _run(self, case: Case, verdict: Verdict) -> None:
        program = self._program(case)
        real = program.real
        bridge, refusal = _read(case)
        options = Options(
            vsctl=_VSCTL, flow_tables=case.flow_tables, fragments=case.fragments,
            meters=case.meters, tlv_map=case.tlv_map,
        )  # fmt: skip
        try:
            texts = [BridgeText(each.plan, each.flows, each.groups) for each in case.all_bridges()]
            real.reset(options=options, bridges=texts)
        except Refused as refused:
            if refusal is not None:
                raise refusal from None
            verdict.difference = Difference(Kind.REFUSED, None, (), (str(refused),))
            return
        if bridge is None:
            verdict.difference = Difference(Kind.REFUSED, None, (str(refusal),), ())
            return
        # Each step of the program's clock wakes its sweeper, but nothing between two steps does.
        model = OvsUserspace(bridge, trace=self.trace, sweep=0.001)
        model.datapath.max_idle = _MAX_IDLE / 1000
        _Run(model, program, verdict, self.every_packet).all(case)

    def still(self, difference: Difference) -> Callable[[Case], bool]:
        """Whether a case differs in the same way: what shrinking asks."""

        def asked(case: Case) -> bool:
            try:
                found = self._once(case).difference
            except OvsctError:
                return False
            return found is not None and found.kind is difference.kind

        return asked


def read_case(case: Case) -> tuple[list[Flow], list[Group], list[Meter], InputError | None]:
    """The flows, groups and meters of a case, or why they are refused."""
    try:
        flows = read_flows("\n".join(case.flows))
        groups = read_groups("\n".join(case.groups))
        meters = read_meters("\n".join(case.meters))
        for flow in flows:
            check_references(
                flow, {group.group_id for group in groups}, {meter.meter_id for meter in meters}
            )
    except InputError as error:
        return [], [], [], error
    return flows, groups, meters, None


def _plans(case: Case) -> tuple[Plan, ...]:
    return tuple(each.plan for each in case.all_bridges())


_Configured: TypeAlias = tuple[tuple[Plan, ...], tuple[str, ...]]
"""What a program can be given only when it starts."""


def _configured(case: Case) -> _Configured:
    return _plans(case), case.flow_tables


def _read(case: Case) -> tuple[Bridge | None, InputError | None]:
    """The (first) bridge as the model has it, or why it refuses flows, groups or meters."""
    made = []
    options = with_mappings({}, read_mappings(case.tlv_map))
    for each in case.all_bridges():
        alone = replace(case, flows=each.flows, groups=each.groups)
        flows, groups, meters, refusal = read_case(alone)
        if refusal is not None:
            return None, refusal
        try:
            made.append(
                Bridge(
                    each.plan.numbers, flows, groups, meters=meters, name=each.plan.name,
                    frag_mode=case.fragments, limits=read_limits(case.flow_tables),
                    tlv_map=options,
                )
            )  # fmt: skip
        except InputError as error:
            return None, error
    if case.bridges:
        join(made, _plans(case))
    return made[0], None


class _Run:
    """One case under way."""

    def __init__(
        self, model: OvsUserspace, program: _Program, verdict: Verdict, every_packet: bool
    ) -> None:
        self.model = model
        self.real = program.real
        self.numbers = program.numbers
        self.verdict = verdict
        self.every_packet = every_packet
        self.floods = False

    def all(self, case: Case) -> None:
        self.settles = needs_settling(case)
        self.floods = any(map(_FLOODS.search, _texts(case)))
        for happening in case.happenings():
            if not isinstance(happening, Arrival):
                if not self._passes(happening):
                    break
                continue
            self.verdict.packets += 1
            if not self._packet(happening, self.verdict.packets):
                break
        else:
            if self._at(None):
                self._flow_stats()
        if self.verdict.difference is not None:
            # Counters that are not pushed yet would be pushed to the flows of the next case.
            self.real.purge()
        self.verdict.coverage.megaflows(self.model.datapath.megaflows())

    def _passes(self, happening: Advance | Change) -> bool:
        """Time passes, then perhaps a change; False if the case is over."""
        at = self.real.clock(happening.at)
        self.model.advance(at)
        if isinstance(happening, Advance):
            self.real.advance(happening.at)
            if self.settles:
                self.real.settle()
            return True
        try:
            self.real.change(happening)
            refused = ""
        except Refused as error:
            refused = str(error)
        try:
            self.model.change(happening._replace(at=at))
        except InputError as error:
            if refused:
                return True
            self.verdict.difference = Difference(Kind.REFUSED, None, (str(error),), ())
            return False
        if refused:
            self.verdict.difference = Difference(Kind.REFUSED, None, (), (refused,))
        return not refused

    def _differ(
        self, kind: Kind, packet: int | None, model: Iterable[str], real: Iterable[str]
    ) -> bool:
        """Whether the two lists of texts are alike; takes down how not."""
        here, there = list(model), list(real)
        if Counter(here) == Counter(there):
            return False
        self.verdict.difference = differing(kind, packet, here, there)
        return True

    def _packet(self, arrival: Arrival, n: int) -> bool:
        """Give both one packet; False if the case is over."""
        at = self.real.clock(arrival.at)
        try:
            self.model.advance(at)
            outcome = self.model.receive(arrival._replace(at=at))
        except OvsctError as error:
            self.verdict.left_out = str(error)
            return False
        except Exception as error:  # noqa: BLE001 - a defect is what is looked for; it is told
            text = f"{type(error).__name__}: {error}"
            self.verdict.difference = Difference(Kind.DEFECT, n, (text,), ())
            return False
        self.verdict.coverage.packet(outcome)
        if self.settles:
            self.real.advance(arrival.at)
            self.real.settle()
        answer = self.real.receive(arrival)
        if self.settles:
            self.real.settle()
        mine, theirs = self._heard(comparable(outcome).out), comparable(answer).out
        if mine != theirs:
            if not self._differ(Kind.OUTPUTS, n, frame_words(mine), frame_words(theirs)):
                # The same frames in another order.
                self.verdict.difference = Difference(
                    Kind.OUTPUTS, n, frame_words(mine), frame_words(theirs)
                )
            return False
        real_ins = [
            _said(i.bridge, i.reason, i.table, i.cookie) for i in self.real.packet_ins
        ]
        if self._differ(Kind.PACKET_INS, n, self._said(), real_ins):
            return False
        return not self.every_packet or self._at(n)

    def _heard(self, out: Sequence[Output]) -> Sequence[Output]:
        """Without packet-ins for other controllers than number 0, which is the one that listens.

        Each bridge has a connection of its own, so there is no order across bridges.
        """
        places = {bridge.name: at for at, bridge in enumerate(self.model.datapath.bridges)}
        heard = [each for each in self.model.packet_ins if not each.controller_id]
        heard.sort(key=lambda each: places[each.bridge])
        ports = [each for each in out if each.port != CONTROLLER]
        return (*ports, *(Output(CONTROLLER, each.frame) for each in heard))

    def _at(self, n: int | None) -> bool:
        """Compare what both hold; False if it differs."""
        if self._differ(
            Kind.CONNTRACK, n, self.model.dump_conntrack(), self.real.dump_conntrack()
        ) or self._differ(
            Kind.CONNTRACK,
            n,
            map(_connection, self.model.connections()),
            map(_connection, self.real.connections()),
        ):
            return False
        return not self._differ(
            Kind.MEGAFLOWS,
            n,
            comparable_flows(self.model.dump_flows(), self.floods),
            comparable_flows(self.real.dump_flows(), self.floods, self.numbers),
        )

    def _said(self) -> Iterator[str]:
        """The model's packet-ins as OpenFlow 1.3 says them: no reason for sets and groups."""
        for packet_in in self.model.packet_ins:
            if packet_in.controller_id:
                continue
            reason = packet_in.reason
            if reason in ("action_set", "group"):
                reason = "action"
            elif reason == EXPLICIT_MISS:
                reason = "no_match"
            yield _said(packet_in.bridge, reason, packet_in.table, packet_in.cookie)

    def _flow_stats(self) -> None:
        for bridge in self.model.datapath.bridges:
            if self._differ(
                Kind.FLOW_STATS,
                None,
                (counted(flow, *counts) for flow, *counts in self.model.flow_stats(bridge)),
                map(dumped, self.real.flow_stats(bridge=bridge.name)),
            ):
                return


_CHANGING: Final = re.compile(
    r"\b(learn\(|normal\b|(fin_)?(idle|hard)_timeout=|fin_timeout)", re.IGNORECASE
)


def needs_settling(case: Case) -> bool:
    """Whether the flows, or what NORMAL has learned, may change while the packets run."""
    return any(map(_CHANGING.search, _texts(case))) or any(
        shot.line.startswith((LINK, FLOW_MOD)) for shot in case.shots
    )


def _texts(case: Case) -> Iterator[str]:
    """The lines of all flows and groups that there are or come to be."""
    for bridge in case.all_bridges():
        yield from (*bridge.flows, *bridge.groups)
    yield from (shot.line for shot in case.shots if shot.line.startswith(FLOW_MOD))


_FLOODS: Final = re.compile(r"\b(flood|all|normal)\b", re.IGNORECASE)


def _said(bridge: str, reason: str, table: int, cookie: int) -> str:
    return f"{bridge}: reason={reason} table={table} cookie={cookie:#x}"


def _connection(connection: Connection) -> str:
    """What a plain dump does not show: the timeout, in whole seconds as the program has it."""
    ends = ",".join(str(part) for part in connection.orig if part is not None)
    return (
        f"proto={connection.proto} orig={ends} zone={connection.zone}"
        f" timeout={int(connection.timeout)} helper={connection.helper}"
    )
