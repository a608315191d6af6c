"""Verify TC: a rule set through the model and through a real kernel; nothing may differ.

Compared are, after every packet, the outputs byte for byte and what the stack got (its VLAN tags
off, as reception takes them), the lines of /proc/net/nf_conntrack as a set; at the end the
connections as ctnetlink tells them (labels and status too) and what every action counted.
Timeouts may be a second apart, since a kernel's ticks began elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final

from ovsct.compare.case import Case, to_yaml
from ovsct.compare.chance import GC, expired, offloaded
from ovsct.compare.drawn import DrawnPorts
from ovsct.compare.events import Advance
from ovsct.compare.generate_tc import generate_tc
from ovsct.compare.shrink import Still, shrink
from ovsct.compare.verdict import Difference, Kind, Verdict, differing
from ovsct.compare.words import (
    connection_key,
    conntrack_lines,
    frame_words,
    outputs,
    said,
    same_lines,
)
from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError, OvsctError
from ovsct.lane import Arrival, Output
from ovsct.lanes.tc_script import TcScript
from ovsct.oracle.kernel.played import Played, Wait
from ovsct.oracle.kernel.real_kernel import RealKernel
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import parse

_MTU: Final = 2000
_GRE: Final = 47
JUDGE: Final = "kernel"
"""What people call the judge."""


class KernelVerifier:
    """Runs cases through ``tc-script`` and through one kernel. Close it.

    Args:
        kernel: which one (:func:`ovsct.oracle.kernel.kernels.choose`).

    Raises:
        OvsctError: there is no such kernel here.
    """

    def __init__(self, kernel: str | None = None, ports: Sequence[int] = (1, 2, 3, 4)) -> None:
        self.real = RealKernel("", ports, kernel=kernel, mtu=_MTU)
        self.ports = tuple(ports)
        self.dialect = ".".join(self.real.release.split(".")[:2])
        self._has_gre = self.real.has_sysctl("gre_timeout")

    def __enter__(self) -> KernelVerifier:
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
        """Run one case; its flows are ``tc`` commands.

        Raises:
            InputError: packets that no device can carry.
            GuestDied: the kernel ended.
        """
        verdict = Verdict()
        commands = "\n".join(case.flows)
        refusal, model = self._model(commands)
        try:
            self.real.reset(commands)
        except InputError as error:
            if refusal is None:
                verdict.difference = Difference(
                    Kind.REFUSED, None, (), (str(error),), JUDGE
                )
            else:
                verdict.left_out = f"refused by both: {refusal}"
            return verdict
        if model is None:
            if refusal is not None and _NOT_MODELLED.search(refusal):
                verdict.left_out = refusal
            else:
                verdict.difference = Difference(
                    Kind.REFUSED, None, (refusal or "",), (), JUDGE
                )
            return verdict
        happenings = [
            Wait(each.at) if isinstance(each, Advance) else each for each in case.packets()
        ]
        for each in happenings:
            if isinstance(each, Arrival) and (why := self._cannot(each.frame)):
                verdict.left_out = why
                return verdict
        if happenings:
            model.tc.flows.look_from(math.floor(happenings[0].at), self.real.gc_period)
        played = self.real.play(happenings, "each")
        _Run(model, self, verdict).all(happenings, played)
        return verdict

    def _cannot(self, frame: bytes) -> str | None:
        """Why this kernel cannot judge a frame."""
        if len(frame) > _MTU + 14:
            return "a frame that is longer than the MTU"
        if not self._has_gre and SLOTS["nw_proto"].get(parse(frame, 1).key) == _GRE:
            return "this kernel has no tracker for GRE"
        return None

    def _model(self, commands: str) -> tuple[str | None, TcScript | None]:
        netfilter = Netfilter(kernel=self.dialect)
        try:
            return None, TcScript(commands, self.ports, netfilter=netfilter)
        except InputError as error:
            return str(error), None


_NOT_MODELLED: Final = re.compile(r"not modelled|no such sysctl")


class _Run:
    """One case under way."""

    def __init__(
        self, model: TcScript, verifier: KernelVerifier, verdict: Verdict
    ) -> None:
        self.model = model
        self.real = verifier.real
        self.verdict = verdict
        self.drawn = DrawnPorts(model.netfilter)
        self.before: Sequence[str] = ()

    def all(self, happenings: Sequence[Arrival | Wait], played: Sequence[Played]) -> None:
        for number, (happening, real) in enumerate(zip(happenings, played, strict=True), 1):
            if not self._one(happening, real, number):
                return
        self._end()

    def _one(self, happening: Arrival | Wait, real: Played, number: int) -> bool:
        """Run one happening; False if the case is over."""
        mine: list[Output] = []
        theirs = conntrack_lines(real.conntrack or ())
        self.drawn.look(self.before, theirs)
        self.before = theirs
        try:
            known = offloaded(self.model.netfilter, self.model.connections())
            if expired(self.model.advance(happening.at), known):
                self.verdict.left_out = GC
                return False
            if isinstance(happening, Arrival):
                self.verdict.packets += 1
                mine = list(self.model.receive(happening).out)
            lines = self.model.dump_conntrack("proc")
        except OvsctError as error:
            self.verdict.left_out = str(error)
            return False
        except Exception as error:  # noqa: BLE001 - a defect is what is looked for; it is told
            self._differ(Kind.DEFECT, number, (f"{type(error).__name__}: {error}",), ())
            return False
        if any(isinstance(o.port, int) and len(o.frame) > _MTU + 18 for o in mine):
            # A device drops it; the model's ports carry everything (docs/tc.md).
            self.verdict.left_out = "a frame put together and sent whole, longer than the MTU"
            return False
        if outputs(mine) != outputs(real.out):
            return self._differ(
                Kind.OUTPUTS, number, frame_words(mine), frame_words(real.out)
            )
        model = conntrack_lines(lines)
        if not same_lines(model, theirs):
            return self._differ(Kind.CONNTRACK, number, model, theirs)
        return True

    def _end(self) -> None:
        model = {connection_key(each): each for each in self.model.connections()}
        real = {connection_key(each): each for each in self.real.connections()}
        here = [said(each) for each in model.values()]
        there = [said(each) for each in real.values()]
        if sorted(here) != sorted(there):
            self._differ(Kind.CONNECTIONS, None, here, there)
            return
        mine, theirs = model_counters(self.model), kernel_counters(self.real.show_filters())
        if mine != theirs:
            self._differ(Kind.COUNTERS, None, mine, theirs)

    def _differ(
        self, kind: Kind, packet: int | None, model: Iterable[str], real: Iterable[str]
    ) -> bool:
        self.verdict.difference = differing(kind, packet, model, real, JUDGE)
        return False


# -- what actions counted -------------------------------------------------------------------------


_FILTER: Final = re.compile(
    r"^filter (?:parent \S+ |ingress |egress )?(?:block \d+ )?(?:protocol \S+ )?pref (\d+) \S+"
    r" (?:chain (\d+) )?handle (\S+)"
)
_SENT: Final = re.compile(r"^\s*Sent (\d+) bytes (\d+) pkt \(dropped (\d+), overlimits (\d+)")
_ON_PORT: Final = re.compile(r"^port (\d+)$")


def kernel_counters(shown: str) -> list[str]:
    """What every action counted, from ``tc -s filter show``; filters by priority and handle."""
    found = []
    where = ""
    for line in shown.splitlines():
        if match := _FILTER.match(line):
            where = f"chain {match[2] or 0} prio {match[1]} handle {int(match[3], 0)}"
        elif match := _SENT.match(line):
            found.append(
                f"{where}: {match[2]} packets {match[1]} bytes {match[3]} drops"
                f" {match[4]} overlimits"
            )
    return sorted(found)


def model_counters(lane: TcScript) -> list[str]:
    """The same of the model."""
    return sorted(
        f"chain {at.filter.chain} prio {at.filter.prio} handle {at.filter.handle}:"
        f" {counter.packets} packets {counter.bytes} bytes {counter.drops} drops"
        f" {counter.overlimits} overlimits"
        for port in sorted(lane.tc.ports)
        for at in lane.tc.filters(port)
        for counter in at.counters
    )


# -- campaigns -------------------------------------------------------------------------------------


def campaign(
    verifier: KernelVerifier, seed: int, numbers: Iterable[int]
) -> Iterator[tuple[int, Case, Verdict]]:
    """Run generated cases one after the other: number, case, and what came of it."""
    for number in numbers:
        case = generate_tc(seed, number)
        yield number, case, verifier.run(case)


def shorten(verifier: KernelVerifier, case: Case, kind: Kind, runs: int = 300) -> Case:
    """The shortest case found that still differs in the same kind of thing."""

    def still(shorter: Case) -> bool:
        try:
            found = verifier.run(shorter).difference
        except InputError:
            return False
        return found is not None and found.kind is kind

    case = shrink(case, still, runs)
    return _shorter_commands(case, still, runs)


def to_scenario(case: Case, shows: str) -> str:
    """The case as a scenario file for the lane ``tc-script``."""
    text = to_yaml(case, shows).replace("lanes: [ovs-userspace]", "lanes: [tc-script]", 1)
    return text.replace("\nflows: |", "\ntc_script: |", 1)


def _shorter_commands(case: Case, still: Still, runs: int) -> Case:
    """The case with as few actions and matches in its commands as go."""
    at = 0
    while at < len(case.flows) and runs > 0:
        for text in shorter_commands(case.flows[at]):
            runs -= 1
            fewer = replace(case, flows=(*case.flows[:at], text, *case.flows[at + 1 :]))
            if still(fewer):
                case = fewer
                break
        else:
            at += 1
    return case


def shorter_commands(command: str) -> Iterator[str]:
    """A ``tc filter`` command without one of its actions or matches."""
    if " flower" not in command:
        return
    head, *actions = command.split(" action ")
    for at in range(len(actions)):
        yield " action ".join([head, *actions[:at], *actions[at + 1 :]])
    where, flower, match = head.partition(" flower")
    words = match.split()
    for at in range(0, len(words), 2):
        rest = " ".join([*words[:at], *words[at + 2 :]])
        yield " action ".join([" ".join(f"{where}{flower} {rest}".split()), *actions])
