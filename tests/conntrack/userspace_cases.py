"""The kinds of random conversation that the userspace dialect is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from random import Random

from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.conntrack.timers import milliseconds
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
    most: int = 3
    """Programs a conversation."""


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

_FTP = Track(zone=1, commit=True, helper="ftp")
_FTP_SNAT4 = replace(_FTP, nat=_nat(NatKind.SRC, "10.0.0.77"))
_FTP_SNAT6 = replace(_FTP, nat=_nat(NatKind.SRC, "fc00::77"))
_FTP_DNAT4 = replace(_FTP, nat=_nat(NatKind.DST, "10.0.0.9"))
FTP_PROGRAMS = (
    (Step(_FTP),),
    (Step(replace(_FTP, mark=(6, 7))),),
    (Step(Track(zone=1)),),
    (Step(Track(zone=1, commit=True)),),
    (Step(Track(zone=1, helper="ftp")),),
    (Step(Track(zone=1)), Step(_FTP)),
)
FTP_NAT4 = (
    (Step(_FTP_SNAT4),),
    (Step(Track(zone=1, nat=Nat())),),
    (Step(Track(zone=1, nat=Nat())), Step(_FTP_SNAT4)),
    (Step(_FTP_DNAT4),),
    (Step(Track(zone=1)),),
)
FTP_NAT6 = ((Step(_FTP_SNAT6),), (Step(Track(zone=1, nat=Nat())),), (Step(Track(zone=1)),))
_TFTP = Track(zone=1, commit=True, helper="tftp")
TFTP_PROGRAMS = (
    (Step(_TFTP),),
    (Step(replace(_TFTP, mark=(6, 7))),),
    (Step(Track(zone=1)),),
    (Step(Track(zone=1, commit=True)),),
    (Step(replace(_TFTP, nat=_nat(NatKind.SRC, "10.0.0.77"))),),
    (Step(Track(zone=1, nat=Nat())),),
)
CASES |= {
    "ftp": Case(FTP_PROGRAMS, ("ftp",), quiet=True, most=2),
    "ftp6": Case(FTP_PROGRAMS, ("ftp",), family=6, quiet=True, most=2),
    "ftp-nat": Case(FTP_NAT4, ("ftp",), quiet=True, most=2),
    "ftp-nat6": Case(FTP_NAT6, ("ftp",), family=6, quiet=True, most=2),
    "tftp": Case(TFTP_PROGRAMS, ("tftp",), quiet=True, most=2),
}
HELD = (0.001, 14.9, 15.0, 15.001, 24.9, 25.0, 25.1, 60.0)
# One ct a program: behind it, OVS works on what leaves together in batches of one megaflow each.
FRAGMENTS = (FIREWALL[0], FIREWALL[2], NAT4[0], NAT4[1], NAT4[4], NAT4[5])
FRAGMENTS6 = (FIREWALL[0], FIREWALL[2], NAT6[0], NAT6[1], NAT6[4])
_CUT = ("fragment", "fragment", "fragment", "udp")
CASES |= {
    "fragments": Case(FRAGMENTS, _CUT, jumps=HELD, quiet=True, most=2),
    "fragments6": Case(FRAGMENTS6, _CUT, family=6, jumps=HELD, quiet=True, most=2),
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
    programs = tuple(dice.sample(case.programs, min(case.most, len(case.programs))))
    # Whatever a case before this one left held or expected is gone after that.
    real.reset(flow_lines(programs, case.family), settle=True)
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
            while tracker.unswept or tracker.fragments.stale(milliseconds(talk.now)):
                talk.now = round(talk.now + 61.0, 3)
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
