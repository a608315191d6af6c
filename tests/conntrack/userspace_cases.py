"""The kinds of random conversation that the userspace dialect is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from random import Random

from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.oracle.real_ovs import RealOvs
from tests.conntrack.userspace_judge import Step, difference, flow_lines, step_text
from tests.conntrack.userspace_talk import Talk

PLAIN = (0.0, 0.0, 0.001, 0.5, 3.0)
LONG = (29.999, 30.0, 30.001, 45.0, 59.999, 60.0, 899.0, 900.0, 86400.0)

FIREWALL = (
    (Step(Track(zone=1)),),
    (Step(Track(zone=1)), Step(Track(zone=1, commit=True))),
    (Step(Track(zone=1, commit=True)),),
)
MARKS = (
    (Step(Track(zone=1, commit=True)),),
    (Step(Track(zone=1, commit=True, mark=(0x5, 0xF))),),
    (Step(Track(zone=1, commit=True, label=(0x50, 0xF0), mark=(0x100, 0x100))),),
    (Step(Track(zone=1, commit=True, force=True, mark=(7, 0xFFFFFFFF))),),
    (Step(Track(zone=2, commit=True, label=(1, 1))), Step(Track(zone=1))),
    (Step(Track(zone=1, commit=True)), Step(Track(zone=1, commit=True, mark=(0x30, 0xF0)))),
    (Step(Track(zone=1)), Step(Track(zone=1), clear=True)),
    (Step(Track(zone=1)), Step(Track(zone=2)), Step(Track(zone=1, commit=True))),
)


@dataclass(frozen=True)
class Case:
    """Programs, and what is sent through them. `quiet`: time passes only when nothing waits to be
    swept, since nobody can say when the program's own sweep comes.
    """

    programs: Sequence[Sequence[Step]]
    protocols: Sequence[str]
    family: int = 4
    jumps: Sequence[float] = LONG
    quiet: bool = False


CASES: dict[str, Case] = {
    "tcp": Case(FIREWALL, ("tcp",)),
    "tcp-established": Case(FIREWALL[2:], ("tcp",), jumps=()),
    "tcp6": Case(FIREWALL, ("tcp",), family=6),
    "mixed": Case(FIREWALL, ("tcp", "udp", "ping", "other", "echo", "error")),
    "mixed6": Case(FIREWALL, ("tcp", "udp", "ping", "other", "echo", "error"), family=6),
    "marks": Case(MARKS, ("tcp", "udp", "ping", "echo", "error")),
    "marks6": Case(MARKS, ("tcp", "udp", "ping", "echo", "error"), family=6),
}


def _nat(kind: NatKind, low: str = "", port: int = 0, port_max: int = 0) -> Nat:
    if not low:
        return Nat(kind)
    address = ip_address(low)
    return Nat(kind, address.version, int(address), int(address), port, port_max or port)


def _nat_programs(pool: str, vip: str) -> Sequence[Sequence[Step]]:
    src, dst, bare = NatKind.SRC, NatKind.DST, Nat()
    snat = Track(zone=1, commit=True, nat=_nat(src, pool))
    return (
        (Step(snat),),
        (Step(Track(zone=1, nat=bare)),),
        (Step(Track(zone=1)),),
        (Step(Track(zone=1, nat=bare)), Step(snat)),
        (Step(Track(zone=1, commit=True, nat=_nat(dst, vip))),),
        (Step(Track(zone=1, commit=True, nat=_nat(dst, vip, 8080))),),
        (Step(Track(zone=1, commit=True, nat=_nat(src, pool, 2000))),),
        (Step(Track(zone=1, commit=True, nat=_nat(src))),),
        (Step(snat), Step(Track(zone=1))),
        (Step(snat), Step(Track(zone=2, commit=True, nat=_nat(dst, vip)))),
        (Step(Track(zone=1)), Step(Track(zone=1, commit=True, nat=_nat(src, pool), mark=(3, 3)))),
        (Step(Track(zone=1, commit=True, force=True, nat=_nat(src, pool))),),
        (Step(snat), Step(Track(zone=1, commit=True), clear=True)),
        (Step(Track(zone=1, commit=True)), Step(Track(zone=1, nat=bare))),
        (Step(Track(zone=1, commit=True, nat=bare)),),
    )


_ALL = ("tcp", "tcp", "udp", "ping", "echo", "echo", "error", "other")
NAT4, NAT6 = _nat_programs("10.0.0.77", "10.0.0.9"), _nat_programs("fc00::77", "fc00::9")
CASES |= {
    "nat": Case(NAT4, _ALL, quiet=True),
    "nat6": Case(NAT6, _ALL, family=6, quiet=True),
    "snat": Case(NAT4[:4], _ALL, quiet=True),
    "dnat": Case((NAT4[1], NAT4[4]), _ALL, quiet=True),
    "dnat-port": Case((NAT4[1], NAT4[5]), _ALL, quiet=True),
}


def run_case(
    real: RealOvs,
    name: str,
    seed: int,
    count: int,
    make: Callable[[], UserspaceTracker] = UserspaceTracker,
) -> str | None:
    """One conversation; None, or the first difference in words."""
    case = CASES[name]
    dice = Random(seed)
    # A few programs a case, so that each is used often.
    programs = tuple(dice.sample(case.programs, min(3, len(case.programs))))
    real.reset(flow_lines(programs, case.family))
    tracker = make()
    talk = Talk(
        dice, case.family, len(programs), case.protocols, PLAIN, case.jumps, whole_tcp=case.quiet
    )
    tracker.advance(0.0)
    real.advance(0.0)
    history: list[str] = []
    for number in range(count):
        sent = talk.packet()
        if case.quiet:
            # Nobody can say when the program's own sweep comes: let it pass before going on.
            tracker.advance(talk.now)
            while tracker.unswept:
                talk.now = round(talk.now + 60.0, 3)
                tracker.advance(talk.now)
            sent = replace(sent, at=talk.now)
        found, said = difference(real, tracker, programs[sent.program], sent)
        says = f"{said[0].state} {said[0].mark}" if said else "nothing"
        history.append(
            f"{number}: at {sent.at:g} {list(map(step_text, programs[sent.program]))}: "
            f"{sent.what} -> {says}"
        )
        if found is not None:
            return "\n".join([*history[-12:], found])
        talk.seen += [bytes.fromhex(TYPES[case.family] + one.body) for one in said]
    return None


TYPES = {4: "0800", 6: "86dd"}
