"""Verify Open vSwitch over a kernel: a case through the model and through a real ovs-vswitchd whose
datapath is a real kernel's; nothing may differ.

Compared are, after every packet, the outputs byte for byte, those of one port in their order, and
the lines of /proc/net/nf_conntrack as a set; at the end the connections as ctnetlink tells them
(labels and status too), the datapath flows with renamed recirculation ids, the counters of the
OpenFlow flows and, with `hw_offload`, the filters of every port. What is not generated for it, and
why, stands in :mod:`ovsct.compare.on_kernel`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.odp_text import format_megaflow
from ovsct.compare.case import Case
from ovsct.compare.chance import GC, LOOK, TICK, between_looks, expired, offloaded, within_a_tick
from ovsct.compare.drawn import DrawnPorts
from ovsct.compare.filters import filter_lines
from ovsct.compare.megaflows import comparable_flows, plain_flows, renamed
from ovsct.compare.on_kernel import fitted, reads_twice
from ovsct.compare.verdict import Difference, Kind, Verdict, differing
from ovsct.compare.verify import read_case
from ovsct.compare.words import (
    conntrack_lines,
    counted,
    dumped,
    frame_words,
    outputs,
    said,
    same_lines,
)
from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError, OvsctError
from ovsct.lane import CONTROLLER, Arrival, Output
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.lanes.tc import TcLane
from ovsct.oracle.kernel.kernel_ovs import KernelOvs
from ovsct.oracle.kernel.played import Happening, Played, Wait
from ovsct.oracle.ofctl import Refused
from ovsct.tc.text.show import show_text

JUDGE: Final = "kernel"
_MTU: Final = 2000
_MAX_IDLE: Final = 1_000_000_000
"""Milliseconds: datapath flows do not age, for the program removes them on threads of its own."""
_SETTINGS: Final = {
    "max-idle": str(_MAX_IDLE), "max-revalidator": str(_MAX_IDLE), "min-revalidate-pps": "0",
    "n-revalidator-threads": "1",
}  # fmt: skip
"""Nothing is done to datapath flows behind the back of a case."""
_AGAIN: Final = 3
"""How often a difference is looked at again."""
_FLOODS: Final = re.compile(r"\b(flood|all|normal)\b", re.IGNORECASE)
_PORT: Final = re.compile(r"\bp(\d+)\b")
_LOCAL: Final = re.compile(r"\bbr0\b")
_PID: Final = re.compile(r"\bpid=4294967295,")


class KernelOvsVerifier:
    """Runs cases through a model lane and through one kernel with Open vSwitch. Close it.

    Args:
        kernel: which one (:func:`ovsct.oracle.kernel.kernels.choose`).
        hw_offload: whether megaflows go to TC: then the lane is ``tc``, else ``ovs-kernel``.
        ports: those of all cases.

    Raises:
        OvsctError: there is no such kernel here, or Open vSwitch is not installed.
    """

    def __init__(
        self,
        kernel: str | None = None,
        *,
        hw_offload: bool = False,
        ports: Sequence[int] = (1, 2, 3, 4),
    ) -> None:
        self.hw_offload = hw_offload
        self.ports = tuple(ports)
        self._kernel = kernel
        self.real = self._start()
        self.dialect = ".".join(self.real.release.split(".")[:2])
        self._has_gre = self.real.has_sysctl("net.netfilter.nf_conntrack_gre_timeout")

    def _start(self) -> KernelOvs:
        return KernelOvs(
            ports=self.ports, kernel=self._kernel, hw_offload=self.hw_offload, mtu=_MTU,
            settings=_SETTINGS,
        )  # fmt: skip

    def __enter__(self) -> KernelOvsVerifier:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Switch the kernel off."""
        self.real.close()

    def run(self, case: Case) -> Verdict:
        """Run one case, and a case that differs again: once alike is alike (``unsteady``).

        A difference that stays is looked at once more in a guest that is started for it, since a
        classifier remembers the flows of the cases before (docs/verify.md).

        Raises:
            InputError: flows, groups or packets that neither side takes.
            GuestDied: the kernel ended.
        """
        verdict = self._once(case)
        seen = verdict.difference
        for attempt in range(_AGAIN if seen is not None else 0):
            if attempt == _AGAIN - 1:
                self.real.close()
                self.real = self._start()
            verdict = self._once(case)
            if verdict.difference is None:
                verdict.unsteady = seen
                break
        return verdict

    def fitted(self, case: Case) -> Case:
        """The case without what this kernel cannot judge."""
        return fitted(case, _MTU, gre=self._has_gre)

    def still(self, kind: Kind) -> Callable[[Case], bool]:
        """Whether a case differs in the same kind of thing: what shrinking asks."""

        def asked(case: Case) -> bool:
            try:
                found = self._once(case).difference
            except InputError:
                return False
            return found is not None and found.kind is kind

        return asked

    def _once(self, case: Case) -> Verdict:
        verdict = Verdict()
        case = self.fitted(case)
        model, refusal = self._model(case)
        try:
            self.real.reset(case.flows, case.groups, case.fragments)
        except Refused as refused:
            if refusal is not None:
                verdict.left_out = f"refused by both: {refusal}"
            else:
                verdict.difference = Difference(Kind.REFUSED, None, (), (str(refused),), JUDGE)
            return verdict
        if model is None:
            verdict.difference = Difference(Kind.REFUSED, None, (str(refusal),), (), JUDGE)
            return verdict
        happenings = [
            each if isinstance(each, Arrival) else Wait(each.at) for each in case.happenings()
        ]
        floods = any(_FLOODS.search(text) for text in (*case.flows, *case.groups))
        played = self.real.play(happenings, "each")
        _Run(model, self.real, verdict, floods).all(happenings, played)
        return verdict

    def _model(self, case: Case) -> tuple[OvsKernel | TcLane | None, InputError | None]:
        flows, groups, meters, refusal = read_case(case)
        if refusal is not None:
            return None, refusal
        try:
            bridge = Bridge(case.ports, flows, groups, meters=meters, frag_mode=case.fragments)
        except InputError as error:
            return None, error
        netfilter = Netfilter(kernel=self.dialect)
        lane = TcLane if self.hw_offload else OvsKernel
        model = lane(bridge, netfilter=netfilter)
        model.datapath.max_idle = _MAX_IDLE / 1000
        return model, None


class _Run:
    """One case under way."""

    def __init__(
        self, model: OvsKernel | TcLane, real: KernelOvs, verdict: Verdict, floods: bool
    ) -> None:
        self.model = model
        self.real = real
        self.verdict = verdict
        self.floods = floods
        self.drawn = DrawnPorts(model.netfilter)
        self.before: Sequence[str] = ()
        self.two_readings = False
        self.times: list[float] = []

    def all(self, happenings: Sequence[Happening], played: Sequence[Played]) -> None:
        for number, (happening, real) in enumerate(zip(happenings, played, strict=True), 1):
            if not self._one(happening, real, number):
                return
        try:
            self._end()
        except OvsctError as error:
            self.verdict.left_out = str(error)

    def _one(self, happening: Happening, real: Played, number: int) -> bool:
        """Run one happening; False if the case is over."""
        theirs = conntrack_lines(real.conntrack or ())
        self.drawn.look(self.before, theirs)
        mine: list[Output] = []
        try:
            if self._by_chance(happening.at):
                return False
            if isinstance(happening, Arrival):
                self.verdict.packets += 1
                self.two_readings |= reads_twice(happening.frame)
                mine = [o for o in self.model.receive(happening).out if o.port != CONTROLLER]
            lines = conntrack_lines(self.model.dump_conntrack("proc"))
        except OvsctError as error:
            self.verdict.left_out = str(error)
            return False
        except Exception as error:  # noqa: BLE001 - a defect is what is looked for; it is told
            return self._differ(Kind.DEFECT, number, (f"{type(error).__name__}: {error}",), ())
        if outputs(mine) != outputs(real.out):
            return self._differ(Kind.OUTPUTS, number, frame_words(mine), frame_words(real.out))
        if not same_lines(lines, theirs):
            if " udp " in "".join(set(lines) ^ set(theirs)) and within_a_tick(
                happening.at, self.times
            ):
                self.verdict.left_out = TICK
                return False
            return self._differ(Kind.CONNTRACK, number, lines, theirs)
        self.before = theirs
        self.times.append(happening.at)
        return True

    def _by_chance(self, now: float) -> bool:
        """Let time pass until `now`; whether what comes then is left to chance."""
        model = self.model
        if not isinstance(model, TcLane):
            model.advance(now)
            return False
        known = offloaded(model.netfilter, model.connections())
        looked = between_looks(model.tc.flows, now)
        if expired(model.advance(now), known):
            self.verdict.left_out = GC
        elif looked:
            self.verdict.left_out = LOOK
        return self.verdict.left_out is not None

    def _end(self) -> None:
        here = sorted(map(said, self.model.connections()))
        there = sorted(map(said, self.real.connections()))
        if here != there:
            # That of an offloaded connection is not to be seen before.
            by_tick = any(within_a_tick(each, self.times) for each in self.times)
            if by_tick and all("proto=17 " in each for each in set(here) ^ set(there)):
                self.verdict.left_out = TICK
                return
            self._differ(Kind.CONNECTIONS, None, here, there)
            return
        flows, real_flows = self._flows(), self._real_flows()
        if flows != real_flows:
            self._differ(Kind.MEGAFLOWS, None, flows, real_flows)
            return
        if self.two_readings:
            return
        stats = (
            sorted(counted(flow, *counts) for flow, *counts in self.model.flow_stats()),
            sorted(map(dumped, self.real.flow_stats())),
        )
        if stats[0] != stats[1]:
            self._differ(Kind.FLOW_STATS, None, *stats)

    def _flows(self) -> list[str]:
        model = self.model
        if not isinstance(model, TcLane):
            return comparable_flows(model.dump_flows(), self.floods)
        model.collect()
        flows = [
            format_megaflow(flow, 0.0, kernel=True)
            for flow in model.datapath.megaflows()
            if flow not in model.offloaded
        ]
        lines = plain_flows(flows, self.floods)
        for port in sorted(model.tc.ports):
            lines += filter_lines(show_text(model.tc.filters(port)), port, self.floods)
        return renamed(lines)

    def _real_flows(self) -> list[str]:
        real = self.real
        if not isinstance(self.model, TcLane):
            return comparable_flows(numbered(real.dump_flows("--names")), self.floods)
        lines = plain_flows(numbered(real.dump_flows("--names", "type=ovs")), self.floods)
        for port, shown in real.filters().items():
            lines += filter_lines(shown.splitlines(), port, self.floods)
        return renamed(lines)

    def _differ(
        self, kind: Kind, packet: int | None, model: Sequence[str], real: Sequence[str]
    ) -> bool:
        self.verdict.difference = differing(kind, packet, model, real, JUDGE)
        return False


def numbered(lines: Sequence[str]) -> list[str]:
    """Dumped flows with the numbers of the bridge's ports in place of their names.

    The number of the socket that a packet for a controller goes to is left out: with one socket a
    CPU there is none.
    """
    return [
        _PID.sub("pid=0,", _LOCAL.sub("65534", _PORT.sub(r"\1", line))) for line in lines
    ]
