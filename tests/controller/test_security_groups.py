"""Security groups on a real bridge, under os-ken and under Ryu, and the same flows in the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.common.document import PolicyError, load
from controller.policy import groups
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.build import arp, icmp_echo, icmp_error, neighbour, tcp, udp
from tests.controller.pair import Pair
from tests.controller.rig import LIBRARIES, Bench, Library, benches, meaning

POLICY = """
ports:
  - {name: web1, port: 1, mac: "02:00:00:00:00:01", groups: [web],
     addresses: [10.0.0.1, "2001:db8::1"]}
  - {name: admin1, port: 2, mac: "02:00:00:00:00:02", groups: [admin],
     addresses: [10.0.0.2, "2001:db8::2"]}
  - {name: lonely, port: 3, mac: "02:00:00:00:00:03", addresses: [10.0.0.3]}
  - {name: uplink, port: 4, trusted: true}
groups:
  - name: web
    rules:
      - {direction: ingress, protocol: tcp, ports: 80}
      - {direction: ingress, protocol: tcp, ports: 22, remote_group: admin}
      - {direction: egress, protocol: udp, ports: 53}
  - name: admin
    rules:
      - {direction: egress}
"""
WEB, ADMIN, LONELY, OUT = (f"02:00:00:00:00:0{number}" for number in (1, 2, 3, 9))
WEB4, ADMIN4, LONELY4, OUT4 = "10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.9"
WEB6, ADMIN6 = "2001:db8::1", "2001:db8::2"


@pytest.fixture(scope="module")
def real() -> Iterator[RealOvs]:
    with RealOvs(ports=(1, 2, 3, 4)) as lane:
        yield lane


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.name)
def bench(request: pytest.FixtureRequest, real: RealOvs, tmp_path: Path) -> Iterator[Bench]:
    library: Library = request.param
    if library.missing:
        pytest.skip(library.missing)
    yield from benches(real, library, "security_groups", tmp_path, POLICY)


def _way(source: str, destination: str) -> dict[str, str]:
    return {"eth_src": source, "eth_dst": destination}


@pytest.mark.real_ovs
def test_security_groups(bench: Bench) -> None:
    """One controller for all of it: starting one costs more than the packets."""
    whole(bench)


def whole(bench: Bench | Pair) -> None:
    """All of it, on one bench."""
    _addresses_resolve_but_are_not_forged(bench)
    _only_ones_own_addresses(bench)
    _ingress_by_group(bench)
    _egress(bench)
    _both_sides_have_their_say(bench)
    _errors_pass(bench)
    _leaving_a_group_ends_connections(bench)
    assert bench.differences == []
    shown = bench.controller.do("GET", "/v1/flows")["flows"]
    assert meaning(shown) == meaning(bench.dump("flows"))


def _addresses_resolve_but_are_not_forged(bench: Bench | Pair) -> None:
    assert bench.ports(1, arp(WEB4, ADMIN4, eth_src=WEB)) == [2, 3, 4]
    assert bench.ports(2, arp(ADMIN4, WEB4, op=2, **_way(ADMIN, WEB))) == [1]
    assert bench.ports(3, arp(ADMIN4, WEB4, op=2, **_way(LONELY, WEB))) == []
    assert bench.ports(3, arp(LONELY4, WEB4, op=2, sha=ADMIN, **_way(LONELY, WEB))) == []
    solicit = neighbour(WEB6, "ff02::1:ff00:2", ADMIN6, **_way(WEB, "33:33:ff:00:00:02"))
    assert bench.ports(1, solicit) == [2, 3, 4]
    assert bench.ports(2, neighbour(ADMIN6, WEB6, ADMIN6, advert=True, **_way(ADMIN, WEB))) == [1]
    assert bench.ports(2, neighbour(ADMIN6, WEB6, WEB6, advert=True, **_way(ADMIN, WEB))) == []


def _only_ones_own_addresses(bench: Bench | Pair) -> None:
    for mac, address in ((WEB, ADMIN4), (ADMIN, LONELY4), (WEB, WEB4)):
        assert bench.ports(2, tcp(address, WEB4, 5, 80, "S", **_way(mac, WEB))) == []
    assert bench.ports(2, tcp(ADMIN4, WEB4, 5, 80, "S", **_way(ADMIN, WEB))) == [1]


def _ingress_by_group(bench: Bench | Pair) -> None:
    for a, w in ((ADMIN4, WEB4), (ADMIN6, WEB6)):
        assert bench.ports(2, tcp(a, w, 1000, 22, "S", **_way(ADMIN, WEB))) == [1]
        assert bench.ports(1, tcp(w, a, 22, 1000, "SA", seq=5, ack=1, **_way(WEB, ADMIN))) == [2]
        ack = tcp(a, w, 1000, 22, "A", seq=1, ack=6, **_way(ADMIN, WEB))
        assert bench.ports(2, ack) == [1]
        assert bench.ports(2, tcp(a, w, 1000, 23, "S", **_way(ADMIN, WEB))) == []
    assert bench.ports(4, tcp(OUT4, WEB4, 1000, 22, "S", **_way(OUT, WEB))) == []
    assert bench.ports(4, tcp(OUT4, WEB4, 1000, 80, "S", **_way(OUT, WEB))) == [1]
    assert bench.ports(1, tcp(WEB4, OUT4, 80, 1000, "SA", ack=1, **_way(WEB, OUT))) == [4]


def _egress(bench: Bench | Pair) -> None:
    assert bench.ports(1, udp(WEB4, OUT4, 1000, 53, **_way(WEB, OUT))) == [4]
    assert bench.ports(4, udp(OUT4, WEB4, 53, 1000, **_way(OUT, WEB))) == [1]
    assert bench.ports(1, udp(WEB4, OUT4, 1000, 54, **_way(WEB, OUT))) == []
    assert bench.ports(2, icmp_echo(ADMIN4, OUT4, **_way(ADMIN, OUT))) == [4]
    assert bench.ports(4, icmp_echo(OUT4, ADMIN4, reply=True, **_way(OUT, ADMIN))) == [2]
    assert bench.ports(4, icmp_echo(OUT4, ADMIN4, echo_id=9, **_way(OUT, ADMIN))) == []


def _both_sides_have_their_say(bench: Bench | Pair) -> None:
    # admin lets everything out, but web lets only tcp in; web lets no tcp out, but the reply.
    assert bench.ports(2, udp(ADMIN4, WEB4, 1000, 80, **_way(ADMIN, WEB))) == []
    assert bench.ports(1, tcp(WEB4, ADMIN4, 1000, 80, "S", **_way(WEB, ADMIN))) == []
    assert bench.ports(3, tcp(LONELY4, WEB4, 1000, 80, "S", **_way(LONELY, WEB))) == []
    assert bench.ports(2, udp(ADMIN4, LONELY4, 1000, 80, **_way(ADMIN, LONELY))) == []


def _errors_pass(bench: Bench | Pair) -> None:
    known = tcp(ADMIN4, WEB4, 1000, 22, "A", seq=1, ack=6, **_way(ADMIN, WEB))
    assert bench.ports(1, icmp_error(known)) == [2]
    unknown = tcp(ADMIN4, WEB4, 1009, 22, "A", seq=1, ack=6, **_way(ADMIN, WEB))
    assert bench.ports(1, icmp_error(unknown)) == []


def _leaving_a_group_ends_connections(bench: Bench | Pair) -> None:
    there = tcp(ADMIN4, WEB4, 1000, 22, "A", seq=1, ack=6, **_way(ADMIN, WEB))
    back = tcp(WEB4, ADMIN4, 22, 1000, "A", seq=6, ack=1, **_way(WEB, ADMIN))
    member = bench.controller.do("GET", "/v1/policy/ports/admin1")
    bench.rest("POST", "/v1/policy/groups", {"name": "out", "rules": [{"direction": "egress"}]})
    bench.rest("PUT", "/v1/policy/ports/admin1", {**member, "groups": ["out"]})
    assert bench.ports(2, there) == []  # in web's eyes it is no admin any more
    assert bench.ports(1, back) == []
    bench.rest("PUT", "/v1/policy/ports/admin1", member)
    assert bench.ports(2, there) == [1]
    assert bench.ports(1, back) == [2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ports: [{name: a, port: 1}]", "missing mac, or trusted: true"),
        ("ports: [{name: a, port: 1, trusted: true, mac: x}]", "a trusted port has no mac"),
        ("ports: [{name: a, port: 0, trusted: true}]", "'0' is no number from 1 to 65279"),
        (
            'ports: [{name: a, port: 1, mac: "01:00:00:00:00:00", addresses: []}]',
            "no unicast MAC",
        ),
        (
            'ports: [{name: a, port: 1, mac: "02:00:00:00:00:00", addresses: [224.0.0.1]}]',
            "224.0.0.1 is no address that a host can have",
        ),
        (
            'ports: [{name: a, port: 1, mac: "02:00:00:00:00:00", addresses: [], groups: [g]}]',
            "there is no group 'g'",
        ),
        (
            "ports: [{name: a, port: 1, trusted: true}, {name: b, port: 1, trusted: true}]",
            "port 1 is that of 'a' already",
        ),
        ("groups: [{name: g, rules: [{protocol: tcp}]}]", "missing direction"),
        (
            "groups: [{name: g, rules: [{direction: egress, remote_group: h}]}]",
            "there is no group 'h'",
        ),
        (
            "groups: [{name: g, rules: [{direction: egress, remote: 10.0.0.0/8, "
            "remote_group: g}]}]",
            "either remote or remote_group",
        ),
        (
            'groups: [{name: g, rules: [{direction: egress, protocol: icmp, remote: "::1"}]}]',
            "no IP version in common",
        ),
    ],
)
def test_refuses(text: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        groups.parse(load(text))
