"""Cases for the tests of actions: drawn with a seed, run through the model and the program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from ovsct.compare.case import Case, Shot
from ovsct.compare.verify import Verifier

V4 = ("10.0.0.1", "10.0.0.2", "10.0.1.9", "192.168.7.7")
V6 = ("fe80::1", "fe80::2", "2001:db8::9")


def packet(dice: Random) -> str:
    """A packet line of any kind that hashes differ in."""
    src, dst = dice.sample(V4, 2)
    ports = dice.randrange(1024, 65536), dice.choice((53, 80, 443))
    tag = dice.choice(("", "", "", " vlan 5"))
    match dice.randrange(6):
        case 0 | 1:
            return f"tcp {src}:{ports[0]} > {dst}:{ports[1]} {dice.choice('SAF')}{tag}"
        case 2 | 3:
            return f"udp {src}:{ports[0]} > {dst}:{ports[1]}{tag}"
        case 4:
            return f"icmp {src} > {dst} echo id {ports[0]} seq 1{tag}"
        case _:
            one, other = dice.sample(V6, 2)
            return f"tcp [{one}]:{ports[0]} > [{other}]:{ports[1]} S{tag}"


def shots(dice: Random, count: int, gap: float = 0.1, lines: Sequence[str] = ()) -> Iterator[Shot]:
    """`count` packets from random ports; of `lines`, if given."""
    at = 0.0
    for _ in range(count):
        at += gap
        line = dice.choice(lines) if lines else packet(dice)
        yield Shot(round(at, 3), dice.randrange(1, 5), line)


def differences(verifier: Verifier, case: Case) -> str:
    """What differs, in words, with the case; empty if nothing does."""
    verdict = verifier.run(case)
    assert verdict.left_out is None, f"{verdict.left_out}\n{case}"
    if verdict.difference is None:
        return ""
    found = "\n".join(verdict.difference.lines())
    return f"{found}\n" + "\n".join((*case.flows, *case.groups, *map(str, case.shots)))
