"""The NAT gateway on a real bridge, under os-ken and under Ryu, and the same flows in the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.common.document import PolicyError, load
from controller.policy import nat
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.build import arp, icmp_echo, icmp_error, neighbour, tcp, udp
from tests.controller.pair import Pair
from tests.controller.rig import LIBRARIES, Bench, Library, benches, meaning

SIDES = """
zone: 7
inside: {port: 1, mac: "02:00:00:00:01:fe", address: 10.0.0.254/24}
outside: {port: 2, mac: "02:00:00:00:02:fe", address: 203.0.113.1/24}
"""
NEIGHBOURS = """
gateway: 203.0.113.254
neighbours:
  - {name: h1, address: 10.0.0.1, mac: "02:00:00:00:00:01"}
  - {name: h2, address: 10.0.0.2, mac: "02:00:00:00:00:02"}
  - {name: isp, address: 203.0.113.254, mac: "02:00:00:00:00:fe"}
"""
POLICY = f"""{SIDES}{NEIGHBOURS}
floating:
  - {{name: f1, outside: 203.0.113.10, inside: 10.0.0.1}}
dnat:
  - {{name: web, protocol: tcp, address: 203.0.113.1, port: 8080, to: 10.0.0.2, to_port: 80}}
snat:
  - {{name: fixed, from: 10.0.0.3, address: 203.0.113.3, ports: 20000}}
  - {{name: rest, from: 10.0.0.0/24, address: 203.0.113.1}}
"""
SIX = """
zone: 7
inside: {port: 1, mac: "02:00:00:00:01:fe", address: [10.0.0.254/24, "fd00::fe/64"]}
outside: {port: 2, mac: "02:00:00:00:02:fe", address: [203.0.113.1/24, "2001:db8:f::1/64"]}
gateway: [203.0.113.254, "2001:db8:f::fe"]
neighbours:
  - {name: h1, address: "fd00::1", mac: "02:00:00:00:00:01"}
  - {name: h2, address: "fd00::2", mac: "02:00:00:00:00:02"}
  - {name: isp, address: 203.0.113.254, mac: "02:00:00:00:00:fe"}
  - {name: isp6, address: "2001:db8:f::fe", mac: "02:00:00:00:00:fe"}
floating:
  - {name: f1, outside: "2001:db8:f::10", inside: "fd00::1"}
dnat:
  - {name: web, protocol: tcp, address: "2001:db8:f::1", port: 8080, to: "fd00::2", to_port: 80}
snat:
  - {name: rest, from: "fd00::/64", address: "2001:db8:f::1"}
"""
H1, H2, ISP = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:fe"
IN, OUT = "02:00:00:00:01:fe", "02:00:00:00:02:fe"
FAR = "198.51.100.9"
FROM_H1, FROM_H2 = {"eth_src": H1, "eth_dst": IN}, {"eth_src": H2, "eth_dst": IN}
FROM_ISP = {"eth_src": ISP, "eth_dst": OUT}
TO_H1 = {"eth_src": IN, "eth_dst": H1, "ttl": 63}
TO_H2 = {"eth_src": IN, "eth_dst": H2, "ttl": 63}
TO_ISP = {"eth_src": OUT, "eth_dst": ISP, "ttl": 63}


@pytest.fixture(scope="module")
def real() -> Iterator[RealOvs]:
    with RealOvs(ports=(1, 2)) as lane:
        yield lane


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.name)
def bench(request: pytest.FixtureRequest, real: RealOvs, tmp_path: Path) -> Iterator[Bench]:
    library: Library = request.param
    if library.missing:
        pytest.skip(library.missing)
    yield from benches(real, library, "nat_gateway", tmp_path, POLICY)


@pytest.mark.real_ovs
def test_nat_gateway(bench: Bench) -> None:
    """One controller for all of it: starting one costs more than the packets."""
    whole(bench)


def whole(bench: Bench | Pair) -> None:
    """All of it, on one bench."""
    _answers_arp(bench)
    _floating_address(bench)
    _shared_address(bench)
    _what_is_sent_again_goes_the_same_way(bench)
    _forwarded_port(bench)
    _nothing_else_passes(bench)
    _errors_come_translated(bench)
    _a_floating_address_taken_away_ends_its_connections(bench)
    bench.rest("PUT", "/v1/policy", SIX)
    _answers_neighbour_solicitations(bench)
    _ipv6_is_translated(bench)
    _ipv6_errors_come_translated(bench)
    _what_is_for_the_link_stays_there(bench)
    assert bench.differences == []
    shown = bench.controller.do("GET", "/v1/flows")["flows"]
    assert meaning(shown) == meaning(bench.dump("flows"))


def _answers_arp(bench: Bench | Pair) -> None:
    ask = arp("203.0.113.254", "203.0.113.10", eth_src=ISP)
    reply = arp("203.0.113.10", "203.0.113.254", op=2, tha=ISP, eth_src=OUT, eth_dst=ISP)
    assert bench.send(2, ask) == [(2, reply)]
    reply = arp("10.0.0.254", "10.0.0.1", op=2, tha=H1, eth_src=IN, eth_dst=H1)
    assert bench.send(1, arp("10.0.0.1", "10.0.0.254", eth_src=H1)) == [(1, reply)]
    for address in ("203.0.113.1", "203.0.113.3"):
        assert bench.ports(2, arp("203.0.113.254", address, eth_src=ISP)) == [2]
    assert bench.ports(2, arp("203.0.113.254", "203.0.113.9", eth_src=ISP)) == []
    assert bench.ports(1, arp("10.0.0.1", "203.0.113.10", eth_src=H1)) == []


def _floating_address(bench: Bench | Pair) -> None:
    there = udp("10.0.0.1", FAR, 1000, 53, **FROM_H1)
    assert bench.send(1, there) == [(2, udp("203.0.113.10", FAR, 1000, 53, **TO_ISP))]
    back = udp(FAR, "203.0.113.10", 53, 1000, **FROM_ISP)
    assert bench.send(2, back) == [(1, udp(FAR, "10.0.0.1", 53, 1000, **TO_H1))]
    inwards = tcp(FAR, "203.0.113.10", 2000, 22, "S", **FROM_ISP)
    assert bench.send(2, inwards) == [(1, tcp(FAR, "10.0.0.1", 2000, 22, "S", **TO_H1))]
    answer = {"seq": 7, "ack": 1}
    outwards = tcp("10.0.0.1", FAR, 22, 2000, "SA", **answer, **FROM_H1)
    seen = tcp("203.0.113.10", FAR, 22, 2000, "SA", **answer, **TO_ISP)
    assert bench.send(1, outwards) == [(2, seen)]
    ping = icmp_echo(FAR, "203.0.113.10", **FROM_ISP)
    assert bench.send(2, ping) == [(1, icmp_echo(FAR, "10.0.0.1", **TO_H1))]


def _shared_address(bench: Bench | Pair) -> None:
    there = tcp("10.0.0.2", FAR, 3000, 443, "S", **FROM_H2)
    assert bench.send(1, there) == [(2, tcp("203.0.113.1", FAR, 3000, 443, "S", **TO_ISP))]
    back = tcp(FAR, "203.0.113.1", 443, 3000, "SA", seq=4, ack=1, **FROM_ISP)
    seen = tcp(FAR, "10.0.0.2", 443, 3000, "SA", seq=4, ack=1, **TO_H2)
    assert bench.send(2, back) == [(1, seen)]
    other = udp("10.0.0.3", FAR, 4000, 53, eth_src="02:00:00:00:00:03", eth_dst=IN)
    assert bench.send(1, other) == [(2, udp("203.0.113.3", FAR, 20000, 53, **TO_ISP))]


def _what_is_sent_again_goes_the_same_way(bench: Bench | Pair) -> None:
    """Before there is any answer: some conntracks call that +new still, some translate it."""
    for _ in range(3):
        there = udp("10.0.0.2", FAR, 3300, 53, **FROM_H2)
        assert bench.send(1, there) == [(2, udp("203.0.113.1", FAR, 3300, 53, **TO_ISP))]
        there = tcp("10.0.0.2", FAR, 3300, 443, "S", **FROM_H2)
        assert bench.send(1, there) == [(2, tcp("203.0.113.1", FAR, 3300, 443, "S", **TO_ISP))]
        ping = icmp_echo("10.0.0.2", FAR, echo_id=77, **FROM_H2)
        assert bench.send(1, ping) == [(2, icmp_echo("203.0.113.1", FAR, echo_id=77, **TO_ISP))]
        there = udp("10.0.0.1", FAR, 3300, 53, **FROM_H1)
        assert bench.send(1, there) == [(2, udp("203.0.113.10", FAR, 3300, 53, **TO_ISP))]
        inwards = udp(FAR, "203.0.113.10", 3301, 53, **FROM_ISP)
        assert bench.send(2, inwards) == [(1, udp(FAR, "10.0.0.1", 3301, 53, **TO_H1))]
        inwards = tcp(FAR, "203.0.113.1", 3302, 8080, "S", **FROM_ISP)
        assert bench.send(2, inwards) == [(1, tcp(FAR, "10.0.0.2", 3302, 80, "S", **TO_H2))]


def _forwarded_port(bench: Bench | Pair) -> None:
    inwards = tcp(FAR, "203.0.113.1", 5000, 8080, "S", **FROM_ISP)
    assert bench.send(2, inwards) == [(1, tcp(FAR, "10.0.0.2", 5000, 80, "S", **TO_H2))]
    answer = tcp("10.0.0.2", FAR, 80, 5000, "SA", seq=1, ack=1, **FROM_H2)
    seen = tcp("203.0.113.1", FAR, 8080, 5000, "SA", seq=1, ack=1, **TO_ISP)
    assert bench.send(1, answer) == [(2, seen)]


def _nothing_else_passes(bench: Bench | Pair) -> None:
    for frame in (
        tcp(FAR, "203.0.113.1", 5000, 8081, "S", **FROM_ISP),
        tcp(FAR, "10.0.0.2", 5000, 80, "S", **FROM_ISP),  # an inside address, from outside
        udp(FAR, "203.0.113.1", 5000, 8080, **FROM_ISP),
        udp(FAR, "203.0.113.10", 1, 1, eth_src=ISP, eth_dst=H1),  # to another MAC
    ):
        assert bench.ports(2, frame) == []
    for frame in (
        tcp("10.0.0.2", "203.0.113.10", 6000, 22, "S", **FROM_H2),  # no hairpin
        tcp("10.0.0.2", "10.0.0.1", 6000, 22, "S", **FROM_H2),
        tcp("192.168.0.1", FAR, 6000, 22, "S", **FROM_H2),
        udp("10.0.0.2", "203.0.113.99", 6000, 22, **FROM_H2),  # on the link, but unknown
        udp("2001:db8::1", "2001:db8::2", 6000, 22, **FROM_H2),
    ):
        assert bench.ports(1, frame) == []


def _errors_come_translated(bench: Bench | Pair) -> None:
    sent = udp("203.0.113.10", FAR, 1000, 53, **TO_ISP)
    inner = udp("10.0.0.1", FAR, 1000, 53, **{**TO_ISP, "ttl": 63})
    (out,) = bench.send(2, icmp_error(sent, src="198.51.100.1", **FROM_ISP))
    assert out == (1, icmp_error(inner, src="198.51.100.1", **TO_H1))


def _a_floating_address_taken_away_ends_its_connections(bench: Bench | Pair) -> None:
    there = udp("10.0.0.1", FAR, 1000, 53, **FROM_H1)
    back = udp(FAR, "203.0.113.10", 53, 1000, **FROM_ISP)
    assert bench.ports(2, back) == [1]
    floating = bench.controller.do("GET", "/v1/policy/floating/f1")
    bench.rest("DELETE", "/v1/policy/floating/f1")
    assert bench.ports(2, back) == []
    assert bench.ports(1, there) == []
    fresh = udp("10.0.0.1", FAR, 1001, 53, **FROM_H1)
    assert bench.send(1, fresh) == [(2, udp("203.0.113.1", FAR, 1001, 53, **TO_ISP))]
    bench.rest("POST", "/v1/policy/floating", floating)
    assert bench.ports(2, back) == [1]


FAR6, F6, OUT6 = "2001:db8:99::9", "2001:db8:f::10", "2001:db8:f::1"


def _answers_neighbour_solicitations(bench: Bench | Pair) -> None:
    flags = {"advert": True, "flags": 0xE0000000}
    for port, asker, mac, own, addresses in (
        (1, "fd00::1", H1, IN, ["fd00::fe", "fe80::ff:fe00:1fe"]),
        (2, "2001:db8:f::fe", ISP, OUT, [OUT6, F6, "fe80::ff:fe00:2fe"]),
    ):
        for address in addresses:
            ask = neighbour(asker, "ff02::1:ff00:1", address, eth_src=mac)
            told = neighbour(address, asker, address, **flags, eth_src=own, eth_dst=mac)
            assert bench.send(port, ask) == [(port, told)]
        assert bench.ports(port, neighbour("::", "ff02::1:ff00:1", addresses[0], address="")) == []
        assert bench.ports(port, neighbour(asker, "ff02::1:ff00:1", "fd00::99", eth_src=mac)) == []
    assert bench.ports(1, neighbour("fd00::1", "ff02::1:ff00:1", F6, eth_src=H1)) == []


def _ipv6_is_translated(bench: Bench | Pair) -> None:
    there = udp("fd00::1", FAR6, 1000, 53, **FROM_H1)
    for _ in range(2):
        assert bench.send(1, there) == [(2, udp(F6, FAR6, 1000, 53, **TO_ISP))]
    back = udp(FAR6, F6, 53, 1000, **FROM_ISP)
    assert bench.send(2, back) == [(1, udp(FAR6, "fd00::1", 53, 1000, **TO_H1))]
    ping = icmp_echo(FAR6, F6, **FROM_ISP)
    assert bench.send(2, ping) == [(1, icmp_echo(FAR6, "fd00::1", **TO_H1))]
    ((port, frame),) = bench.send(1, tcp("fd00::2", FAR6, 25000, 443, "S", **FROM_H2))
    assert (port, frame) == (2, tcp(OUT6, FAR6, 25000, 443, "S", **TO_ISP))
    back = tcp(FAR6, OUT6, 443, 25000, "SA", seq=4, ack=1, **FROM_ISP)
    seen = tcp(FAR6, "fd00::2", 443, 25000, "SA", seq=4, ack=1, **TO_H2)
    assert bench.send(2, back) == [(1, seen)]
    inwards = tcp(FAR6, OUT6, 5000, 8080, "S", **FROM_ISP)
    assert bench.send(2, inwards) == [(1, tcp(FAR6, "fd00::2", 5000, 80, "S", **TO_H2))]
    answer = tcp("fd00::2", FAR6, 80, 5000, "SA", seq=1, ack=1, **FROM_H2)
    assert bench.send(1, answer) == [(2, tcp(OUT6, FAR6, 8080, 5000, "SA", seq=1, ack=1, **TO_ISP))]


def _ipv6_errors_come_translated(bench: Bench | Pair) -> None:
    sent = udp(F6, FAR6, 1000, 53, **TO_ISP)
    inner = udp("fd00::1", FAR6, 1000, 53, **TO_ISP)
    (out,) = bench.send(2, icmp_error(sent, src="2001:db8:98::1", **FROM_ISP))
    assert out == (1, icmp_error(inner, src="2001:db8:98::1", **TO_H1))


def _what_is_for_the_link_stays_there(bench: Bench | Pair) -> None:
    for frame in (
        udp("fe80::1", FAR6, 1, 53, **FROM_H1),
        udp("fd00::1", "fe80::2", 1, 53, **FROM_H1),
        neighbour("fd00::1", FAR6, FAR6, **FROM_H1),
        neighbour("fd00::1", "fd00::fe", "fd00::1", advert=True, **FROM_H1),
        tcp("fd00::2", F6, 1, 22, "S", **FROM_H2),  # no hairpin
        tcp("fd00::2", "fd00::1", 1, 22, "S", **FROM_H2),
        udp("10.0.0.1", FAR, 1000, 53, **FROM_H1),  # no rule has IPv4 now
    ):
        assert bench.ports(1, frame) == []
    assert bench.ports(2, tcp(FAR6, OUT6, 1, 22, "S", **FROM_ISP)) == []
    assert bench.ports(2, tcp(FAR6, "fd00::2", 1, 80, "S", **FROM_ISP)) == []


def test_the_next_hop_may_be_link_local() -> None:
    text = SIX.replace('"2001:db8:f::fe"', '"fe80::fe"')
    flows = [str(flow) for flow in nat.parse(load(text)).compile().flows]
    (out,) = (line for line in flows if line.startswith("table=2,priority=10,eth_type=0x86dd"))
    assert out.endswith(f"set_field:{ISP}->eth_dst,output:2")
    assert not any("ipv6_dst=fe80::fe" in line for line in flows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing inside, outside"),
        (SIDES.replace("203.0.113.1/24", "203.0.113.1"), "no IP address with its prefix length"),
        (SIDES.replace("203.0.113.1/24", "10.0.0.1/8"), "overlaps 10.0.0.0/24 of the inside"),
        (SIDES.replace("port: 2", "port: 1"), "the port is that of the inside already"),
        (SIDES + "gateway: 203.0.113.254", "no neighbour has the address 203.0.113.254"),
        (SIDES + "gateway: 10.0.0.2", "10.0.0.2 is not in 203.0.113.0/24"),
        (SIDES + 'gateway: "::1"', "the outside has no IPv6 address, as ::1 is"),
        (
            SIDES + 'neighbours: [{name: a, address: 8.8.8.8, mac: "02:00:00:00:00:01"}]',
            "8.8.8.8 is not in 203.0.113.0/24",
        ),
        (
            SIDES + 'neighbours: [{name: a, address: 10.0.0.254, mac: "02:00:00:00:00:01"}]',
            "10.0.0.254 is that of 'the gateway' already",
        ),
        (
            SIDES + "floating: [{name: f, outside: 203.0.113.9, inside: 10.0.0.9}]",
            "no neighbour has the address 10.0.0.9",
        ),
        (
            POLICY.replace("203.0.113.10,", "203.0.113.1,"),
            "203.0.113.1 is that of 'the gateway' already",
        ),
        (POLICY.replace("203.0.113.3,", "203.0.113.10,"), "is the floating address 'f1'"),
        (POLICY.replace("ports: 20000", "ports: 0"), "port 0 is none"),
        (POLICY.replace("from: 10.0.0.3", 'from: "::"'), "are not of one IP version"),
        (SIX.replace('"fd00::fe/64"', "10.1.0.1/24"), "one address, or one of each IP version"),
        (SIX.replace('"fd00::fe/64"', '"fd00::fe"'), "no IP address with its prefix length"),
        (SIX.replace('"fd00::fe/64"', '"2001:db8:f::fe/48"'), "overlaps 2001:db8:f::/48"),
        (SIX.replace("203.0.113.254,", '"2001:db8:f::fe",', 1), "one gateway of each IP version"),
        (SIX.replace(', "fd00::fe/64"', ""), "the outside has no|is not in"),
        (SIX.replace('inside: "fd00::1"', "inside: 10.0.0.1"), "are not of one IP version"),
        (SIX.replace('to: "fd00::2"', "to: 10.0.0.2"), "are not of one IP version"),
        (SIX.replace('inside: "fd00::1"', 'inside: "fd00::1%2"'), "write 'fd00::1'"),
        (SIX.replace('inside: "fd00::1"', 'inside: "ff02::1"'), "no address that a host can have"),
        (SIX.replace("10.0.0.254/24", "10.0.0.255/24"), "no host's address in 10.0.0.0/24"),
        (SIX.replace("fd00::/64", "fd00::%2/64"), "write 'fd00::/64'"),
        (SIX.replace('"fd00::1", mac', '"fe80::1", mac'), "fe80::1 is not in 2001:db8:f::/64"),
        (
            SIDES + 'snat: [{name: s, from: "fd00::/64", address: "2001:db8:f::1"}]',
            "the outside has no IPv6 address, as 2001:db8:f::1 is",
        ),
        (POLICY.replace("protocol: tcp", "protocol: icmp"), "'icmp' is none of tcp, udp"),
    ],
)
def test_refuses(text: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        nat.parse(load(text))
