"""The firewall on a real bridge, under os-ken and under Ryu, and the same flows in the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.common.document import load
from controller.policy import firewall
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.build import arp, icmp_echo, icmp_error, neighbour, tcp, udp
from tests.controller.pair import Pair
from tests.controller.rig import LIBRARIES, Bench, Library, benches, meaning

pytestmark = pytest.mark.real_ovs

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
A4, B4 = "10.0.0.1", "10.0.1.10"
A6, B6 = "2001:db8::1", "2001:db8:1::10"
THERE = {"eth_src": A, "eth_dst": B}
BACK = {"eth_src": B, "eth_dst": A}
WEB = {"name": "web", "to": [B4, B6], "protocol": "tcp", "ports": [80, "8000-8010"]}


@pytest.fixture(scope="module")
def real() -> Iterator[RealOvs]:
    with RealOvs(ports=(1, 2, 3, 4)) as lane:
        yield lane


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.name)
def bench(request: pytest.FixtureRequest, real: RealOvs, tmp_path: Path) -> Iterator[Bench]:
    library: Library = request.param
    if library.missing:
        pytest.skip(library.missing)
    yield from benches(real, library, "stateful_firewall", tmp_path)


def test_the_whole_firewall(bench: Bench) -> None:
    """One controller for all of it: starting one costs more than the packets."""
    whole(bench)


def whole(bench: Bench | Pair) -> None:
    """All of it, on one bench."""
    _arp_and_neighbours_pass_and_nothing_else(bench)
    _opens_what_a_rule_allows_and_the_way_back(bench)
    _invalid_is_dropped(bench)
    _errors_of_allowed_connections_pass(bench)
    _a_removed_rule_ends_its_connections(bench)
    _first_match_wins(bench)
    _what_the_switch_holds_is_what_rest_shows(bench)


def _arp_and_neighbours_pass_and_nothing_else(bench: Bench | Pair) -> None:
    assert bench.ports(1, arp(A4, B4, eth_src=A)) == [2, 3, 4, 65534]
    assert bench.ports(2, arp(B4, A4, op=2, **BACK)) == [1]
    assert bench.ports(1, neighbour(A6, B6, B6, **THERE)) == [2]
    for frame in (
        tcp(A4, B4, 1000, 80, "S", **THERE),
        tcp(A6, B6, 1000, 80, "S", **THERE),
        udp(A4, B4, 1000, 53, **THERE),
        icmp_echo(A4, B4, **THERE),
        icmp_echo(A6, B6, **THERE),
        bytes.fromhex("02000000000b02000000000a88b5") + bytes(46),
    ):
        assert bench.ports(1, frame) == []


def _opens_what_a_rule_allows_and_the_way_back(bench: Bench | Pair) -> None:
    bench.rest("POST", "/v1/policy/rules", WEB)
    bench.rest("POST", "/v1/policy/rules", {"name": "ping", "from": A4, "protocol": "icmp"})
    for a, b in ((A4, B4), (A6, B6)):
        assert bench.ports(2, tcp(b, a, 80, 1000, "SA", seq=9, ack=1, **BACK)) == []
        assert bench.ports(1, tcp(a, b, 1000, 80, "S", seq=0, **THERE)) == [2]
        assert bench.ports(2, tcp(b, a, 80, 1000, "SA", seq=9, ack=1, **BACK)) == [1]
        assert bench.ports(1, tcp(a, b, 1000, 80, "A", seq=1, ack=10, **THERE)) == [2]
        assert bench.ports(1, tcp(a, b, 1000, 7999, "S", **THERE)) == []
        assert bench.ports(1, tcp(a, b, 1000, 8010, "S", **THERE)) == [2]
        assert bench.ports(1, tcp(a, b, 1000, 8011, "S", **THERE)) == []
        assert bench.ports(2, tcp(b, a, 1000, 80, "S", **BACK)) == []  # the other way
    assert bench.ports(1, icmp_echo(A4, B4, **THERE)) == [2]
    assert bench.ports(2, icmp_echo(B4, A4, reply=True, **BACK)) == [1]
    assert bench.ports(2, icmp_echo(B4, A4, echo_id=7, **BACK)) == []


def _invalid_is_dropped(bench: Bench | Pair) -> None:
    stray = tcp(A4, B4, 1000, 80, "A", seq=1 << 30, ack=10, payload=b"x", **THERE)
    assert bench.differences == []
    assert bench.ports(1, stray) == []  # far out of the window
    # OVS makes the kernel's conntrack liberal about windows once a connection is established.
    bench.differed(*((lane, [], [2]) for lane in ("ovs-kernel", "tc", "hw")))
    assert bench.ports(1, tcp(A4, B4, 1001, 80, "SFR", **THERE)) == []


def _errors_of_allowed_connections_pass(bench: Bench | Pair) -> None:
    for a, b in ((A4, B4), (A6, B6)):
        known = tcp(a, b, 1000, 80, "A", seq=1, ack=10, **THERE)
        assert bench.ports(2, icmp_error(known)) == [1]
        unknown = tcp(a, b, 4000, 80, "A", seq=1, ack=10, **THERE)
        assert bench.ports(2, icmp_error(unknown)) == []


def _a_removed_rule_ends_its_connections(bench: Bench | Pair) -> None:
    there = tcp(A4, B4, 1000, 80, "A", seq=1, ack=10, **THERE)
    back = tcp(B4, A4, 80, 1000, "A", seq=10, ack=1, **BACK)
    bench.rest("DELETE", "/v1/policy/rules/web")
    assert bench.ports(2, back) == [1]  # nothing has come from the opener yet
    assert bench.ports(1, there) == []
    assert bench.ports(2, back) == []
    assert bench.ports(2, icmp_error(there)) == []
    bench.rest("POST", "/v1/policy/rules", WEB)
    assert bench.ports(2, back) == []
    assert bench.ports(1, there) == [2]
    assert bench.ports(2, back) == [1]


def _first_match_wins(bench: Bench | Pair) -> None:
    deny = {"name": "no", "action": "deny", "in_port": 1, "protocol": "tcp", "ports": 8005}
    bench.rest("POST", "/v1/policy/rules", deny)
    assert bench.ports(1, tcp(A4, B4, 2000, 8005, "S", **THERE)) == [2]
    bench.rest("DELETE", "/v1/policy/rules/no")
    bench.rest("POST", "/v1/policy/rules?before=web", deny)
    assert [rule["name"] for rule in bench.controller.do("GET", "/v1/policy/rules")] == [
        "ping",
        "no",
        "web",
    ]
    assert bench.ports(1, tcp(A4, B4, 2001, 8005, "S", **THERE)) == []
    assert bench.ports(3, tcp(A4, B4, 2002, 8005, "S", **THERE)) == [2]


def _what_the_switch_holds_is_what_rest_shows(bench: Bench | Pair) -> None:
    assert bench.differences == []
    shown = bench.controller.do("GET", "/v1/flows")["flows"]
    assert meaning(shown) == meaning(bench.dump("flows"))
    offline = firewall.parse(load(str(bench.controller.do("GET", "/v1/policy")))).compile()
    assert [str(flow) for flow in offline.flows] == shown
