"""NAT of the userspace dialect where the program's own choice is random: ranges, and their ends."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.conntrack.tuples import Parts, pack, reverse, unpack
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.conntrack.userspace_nat import choose
from ovsct.oracle.real_ovs import RealOvs
from tests.conntrack.userspace_judge import Sent, Step, ask_model, ask_real, flow_lines
from tests.conntrack.userspace_talk import udp
from tests.judges import real_ovs

__all__ = ["real_ovs"]

POOL = Nat(NatKind.SRC, 4, 0x0A000050, 0x0A000053, 7000, 7003)


def pick(nat: Nat, sport: int, taken: set[int], basis: int = 0, proto: int = 17) -> Parts | None:
    forward = pack(Parts(4, proto, 0x0A000001, 0x0A000008, sport, 53, 1))
    made = choose(forward, reverse(forward), nat, taken.__contains__, basis, Random(1))
    if made is None:
        return None
    taken.add(made)
    return unpack(made)


def test_9_3_the_basis_decides_and_every_address_is_used() -> None:
    seen = {}
    for basis in (1, 2):
        chosen = [pick(POOL, sport, set(), basis) for sport in range(1, 200)]
        assert all(one is not None and 0x0A000050 <= one.dst <= 0x0A000053 for one in chosen)
        assert {one.dst for one in chosen if one} == set(range(0x0A000050, 0x0A000054))
        seen[basis] = chosen
    assert seen[1] != seen[2]
    assert seen[1] == [pick(POOL, sport, set(), 1) for sport in range(1, 200)]


def test_9_5_a_port_range_is_used_up_to_the_last_port() -> None:
    nat = Nat(NatKind.SRC, 4, 0x0A000050, 0x0A000050, 7000, 7009)
    taken: set[int] = set()
    ports = [pick(nat, 1000, taken) for _ in range(10)]
    assert sorted(one.dport for one in ports if one) == list(range(7000, 7010))
    assert pick(nat, 1000, taken) is None


def test_9_7_a_long_search_gives_up() -> None:
    nat = Nat(NatKind.SRC, 4, 0x0A000050)
    asked: list[int] = []

    def taken(tuple_: int) -> bool:
        asked.append(tuple_)
        return True

    forward = pack(Parts(4, 6, 1, 2, 5000, 80, 0))
    assert choose(forward, reverse(forward), nat, taken, 0, Random(1)) is None
    assert len(asked) == 128 + 64 + 32 + 16 + 8
    assert [unpack(one).dport for one in asked[:3]] == [5000, 5001, 5002]


def test_ipv6_ranges() -> None:
    base = 0xFC00 << 112
    nat = Nat(NatKind.DST, 6, base, base + (1 << 100))
    forward = pack(Parts(6, 47, base + 1, base + 2, 0, 0, 0))
    made = choose(forward, reverse(forward), nat, lambda _: False, 3, Random(1))
    assert made is not None and base <= unpack(made).src < base + (1 << 32)


@pytest.mark.real_ovs
@pytest.mark.parametrize("flag", ["", "persistent", "hash", "random"])
def test_the_program_uses_the_same_ranges(real_ovs: RealOvs, flag: str) -> None:
    """Which address and port is taken cannot be foretold; which ones there are can. 3.1 takes the
    flags and does not heed them.
    """
    pool = replace(POOL, **{flag: True}) if flag else POOL
    program = (Step(Track(zone=1, commit=True, nat=pool)),)
    real_ovs.reset(flow_lines([program]))
    tracker = UserspaceTracker(basis=5)
    sources: dict[str, set[tuple[str, str]]] = {"real": set(), "model": set()}
    states: dict[str, list[str]] = {"real": [], "model": []}
    for sport in range(1, 65):
        sent = Sent(0.0, 0, udp("10.0.0.1", "10.0.0.8", sport, 53), "")
        for name, said in (
            ("real", ask_real(real_ovs, 0.0, sent.whole)),
            ("model", ask_model(tracker, program, 0.0, sent.whole)),
        ):
            states[name].append(said[0].state)
            if said[0].state == "new|trk|snat":
                sources[name].add((said[0].body[24:32], said[0].body[40:44]))
    everything = {
        (f"{address:08x}", f"{port:04x}")
        for address in range(0x0A000050, 0x0A000054)
        for port in range(7000, 7004)
    }
    for name in ("real", "model"):
        assert sources[name] <= everything and len(sources[name]) > 10
        # An address is not changed when its ports are used up: those packets go on untranslated.
        assert set(states[name]) <= {"new|trk|snat", "new|trk"}
        assert states[name].count("new|trk|snat") == len(sources[name])
