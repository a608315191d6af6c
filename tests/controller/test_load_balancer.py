"""The balancer on a real bridge, under os-ken and under Ryu, and the same flows in the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.common.document import PolicyError, load
from controller.policy import balancer
from ovsct.lane import Port
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.build import arp, icmp_error, neighbour, tcp, udp
from tests.controller.pair import Pair
from tests.controller.rig import LIBRARIES, Bench, Library, benches, meaning

POLICY = """
zone: 9
services:
  - name: web
    address: 10.0.0.100
    mac: "02:00:00:00:00:64"
    protocol: tcp
    port: 80
    backends:
      - {address: 10.0.0.11, mac: "02:00:00:00:00:0b", port: 8080}
      - {address: 10.0.0.12, mac: "02:00:00:00:00:0c", port: 8080, weight: 200}
  - name: dns
    address: 10.0.0.100
    mac: "02:00:00:00:00:64"
    protocol: udp
    port: 53
    sticky: client
    backends:
      - {address: 10.0.0.11, mac: "02:00:00:00:00:0b", port: 53}
      - {address: 10.0.0.12, mac: "02:00:00:00:00:0c", port: 53}
      - {address: 10.0.0.13, mac: "02:00:00:00:00:0d", port: 53, weight: 0}
"""
SIX = """
  - name: web6
    address: "2001:db8::100"
    mac: "02:00:00:00:00:64"
    protocol: tcp
    port: 80
    backends:
      - {address: "2001:db8::11", mac: "02:00:00:00:00:0b", port: 8080}
      - {address: "2001:db8::12", mac: "02:00:00:00:00:0c", port: 8080}
  - name: dns6
    address: "2001:db8::100"
    mac: "02:00:00:00:00:64"
    protocol: udp
    port: 53
    sticky: client
    backends:
      - {address: "2001:db8::11", mac: "02:00:00:00:00:0b", port: 53}
      - {address: "2001:db8::12", mac: "02:00:00:00:00:0c", port: 53}
"""
CLIENT, VIRTUAL = "02:00:00:00:00:01", "02:00:00:00:00:64"
MACS = {2: "02:00:00:00:00:0b", 3: "02:00:00:00:00:0c"}
VIP, C = "10.0.0.100", "10.0.0.1"
VIP6, C6 = "2001:db8::100", "2001:db8::1"
ADDRESSES = {2: "10.0.0.11", 3: "10.0.0.12"}
ADDRESSES6 = {2: "2001:db8::11", 3: "2001:db8::12"}
TO = {"eth_src": CLIENT, "eth_dst": VIRTUAL}


@pytest.fixture(scope="module")
def real() -> Iterator[RealOvs]:
    with RealOvs(ports=(1, 2, 3, 4)) as lane:
        yield lane


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.name)
def bench(request: pytest.FixtureRequest, real: RealOvs, tmp_path: Path) -> Iterator[Bench]:
    library: Library = request.param
    if library.missing:
        pytest.skip(library.missing)
    yield from benches(real, library, "load_balancer", tmp_path, POLICY + SIX)


@pytest.mark.real_ovs
def test_load_balancer(bench: Bench) -> None:
    """One controller for all of it: starting one costs more than the packets."""
    whole(bench)


def whole(bench: Bench | Pair) -> None:
    """All of it, on one bench."""
    _answers_arp_and_learns(bench)
    _a_client_keeps_its_backend(bench)
    _other_traffic_is_switched(bench)
    _answers_neighbour_solicitations(bench)
    _a_client_of_ipv6_keeps_its_backend(bench)
    assert bench.differences == []
    # From here on a select group chooses, by a hash that each datapath computes its own way.
    _a_connection_keeps_its_backend(bench)
    _a_connection_of_ipv6_keeps_its_backend(bench)
    _both_backends_get_some(bench)
    _a_backend_drains_and_goes(bench)
    shown = bench.controller.do("GET", "/v1/flows")["flows"]
    assert meaning(shown) == meaning(bench.dump("flows"))


def _answers_arp_and_learns(bench: Bench | Pair) -> None:
    reply = arp(VIP, C, op=2, tha=CLIENT, eth_src=VIRTUAL, eth_dst=CLIENT)
    assert bench.send(1, arp(C, VIP, eth_src=CLIENT)) == [(1, reply)]
    assert bench.ports(1, arp(C, ADDRESSES[2], eth_src=CLIENT)) == [2, 3, 4, 65534]
    for port, mac in MACS.items():
        assert bench.ports(port, arp(ADDRESSES[port], C, op=2, eth_src=mac, eth_dst=CLIENT)) == [1]


def _answers_neighbour_solicitations(bench: Bench | Pair) -> None:
    ask = neighbour(C6, "ff02::1:ff00:100", VIP6, eth_src=CLIENT, eth_dst="33:33:ff:00:01:00")
    told = {"advert": True, "flags": 0x60000000, "eth_src": VIRTUAL, "eth_dst": CLIENT}
    assert bench.send(1, ask) == [(1, neighbour(VIP6, C6, VIP6, **told))]
    probe = neighbour(C6, VIP6, VIP6, address="", eth_src=CLIENT, eth_dst=VIRTUAL)
    assert bench.send(1, probe) == [(1, neighbour(VIP6, C6, VIP6, address="", **told))]
    for address in (VIP6, ADDRESSES6[2]):
        wants = neighbour("::", "ff02::1:ff00:100", address, address="", eth_src=CLIENT)
        assert bench.ports(1, wants) == ([] if address == VIP6 else [2, 3, 4, 65534])
    others = neighbour(C6, "ff02::1:ff00:11", ADDRESSES6[2], eth_src=CLIENT)
    assert bench.ports(1, others) == [2, 3, 4, 65534]
    mine = neighbour(ADDRESSES6[2], C6, ADDRESSES6[2], advert=True, eth_src=MACS[2],
                     eth_dst=CLIENT)  # fmt: skip
    assert bench.send(2, mine) == [(1, mine)]


def _a_client_of_ipv6_keeps_its_backend(bench: Bench | Pair) -> None:
    chosen = set()
    for number in range(1, 9):
        client = f"2001:db8::9:{number:x}"
        ports = {tuple(bench.ports(1, udp(client, VIP6, sport, 53, **TO))) for sport in (1, 2, 1)}
        assert len(ports) == 1
        chosen |= ports
    assert chosen == {(2,), (3,)}
    assert bench.ports(1, udp(C6, VIP6, 1, 54, **TO)) == []


def _a_connection_of_ipv6_keeps_its_backend(bench: Bench | Pair) -> None:
    ((port, frame),) = bench.send(1, tcp(C6, VIP6, 1000, 80, "S", **TO))
    assert isinstance(port, int)
    own, mac = ADDRESSES6[port], MACS[port]
    assert frame == tcp(C6, own, 1000, 8080, "S", eth_src=CLIENT, eth_dst=mac)
    back = {"seq": 5, "ack": 1, "eth_src": mac, "eth_dst": CLIENT}
    answer = tcp(own, C6, 8080, 1000, "SA", **back)
    assert bench.send(port, answer) == [(1, tcp(VIP6, C6, 80, 1000, "SA", **back))]
    known = tcp(C6, VIP6, 1000, 80, "A", seq=1, ack=6, **TO)
    for _ in range(2):
        assert bench.ports(1, known) == [port]
    there = tcp(C6, own, 1000, 8080, "A", seq=1, ack=6, eth_src=CLIENT)
    inner = tcp(C6, VIP6, 1000, 80, "A", seq=1, ack=6, eth_src=CLIENT)
    around = {"quote": 20, "eth_src": mac, "eth_dst": CLIENT}
    ((out, seen),) = bench.send(port, icmp_error(there, **around))
    wanted = icmp_error(inner, **around)
    # Two bytes of the quoted packet are OVS's own way (docs/conntrack-userspace.md, ICMPv6 errors
    # of translated TCP), and so is the checksum over all.
    bad, over = slice(70, 72), slice(56, 58)
    assert out == 1
    assert _without(seen, bad, over) == _without(wanted, bad, over)


def _without(frame: bytes, *parts: slice) -> bytes:
    rest = bytearray(frame)
    for part in parts:
        rest[part] = bytes(part.stop - part.start)
    return bytes(rest)


def _open(bench: Bench | Pair, sport: int, client: str = C) -> Port:
    """Open a connection, both ways; the port of its backend."""
    ((port, frame),) = bench.send(1, tcp(client, VIP, sport, 80, "S", **TO))
    assert isinstance(port, int)
    own, mac = ADDRESSES[port], MACS[port]
    assert frame == tcp(client, own, sport, 8080, "S", eth_src=CLIENT, eth_dst=mac)
    back = {"seq": 5, "ack": 1, "eth_src": mac, "eth_dst": CLIENT}
    answer = tcp(own, client, 8080, sport, "SA", **back)
    assert bench.send(port, answer) == [(1, tcp(VIP, client, 80, sport, "SA", **back))]
    return port


def _a_connection_keeps_its_backend(bench: Bench | Pair) -> None:
    port = _open(bench, 1000)
    again = tcp(C, VIP, 1001, 80, "S", **TO)  # sent again, since no answer comes
    assert {tuple(bench.ports(1, again)) for _ in range(3)} in ({(2,)}, {(3,)})
    known = tcp(C, VIP, 1000, 80, "A", seq=1, ack=6, **TO)
    for _ in range(3):
        assert bench.ports(1, known) == [port]
    there = tcp(C, ADDRESSES[port], 1000, 8080, "A", seq=1, ack=6, eth_src=CLIENT)
    # The whole TCP header is quoted: of less, ovs-vswitchd 3.1.0 writes the inner checksum behind
    # the packet's end, and crashes before long (lib/packets.c, packet_set_tcp_port).
    error = icmp_error(there, quote=20, eth_src=MACS[port], eth_dst=CLIENT)
    inner = tcp(C, VIP, 1000, 80, "A", seq=1, ack=6, eth_src=CLIENT)
    assert bench.send(port, error) == [
        (1, icmp_error(inner, quote=20, eth_src=MACS[port], eth_dst=CLIENT))
    ]


def _both_backends_get_some(bench: Bench | Pair) -> None:
    opened = Counter(_open(bench, sport) for sport in range(2000, 2016))
    assert set(opened) == {2, 3}


def _a_client_keeps_its_backend(bench: Bench | Pair) -> None:
    chosen = {}
    for number in range(1, 13):
        client = f"10.0.9.{number}"
        ports = {tuple(bench.ports(1, udp(client, VIP, sport, 53, **TO))) for sport in (1, 2, 1)}
        assert len(ports) == 1
        chosen[number] = ports.pop()
    assert set(chosen.values()) == {(2,), (3,)}


def _other_traffic_is_switched(bench: Bench | Pair) -> None:
    assert bench.ports(1, tcp(C, VIP, 1, 81, "S", **TO)) == []
    assert bench.ports(1, udp(C, VIP, 1, 80, **TO)) == []
    direct = tcp(C, ADDRESSES[2], 7, 8080, "S", eth_src=CLIENT, eth_dst=MACS[2])
    assert bench.send(1, direct) == [(2, direct)]
    answer = tcp(ADDRESSES[2], C, 8080, 7, "SA", ack=1, eth_src=MACS[2], eth_dst=CLIENT)
    assert bench.send(2, answer) == [(1, answer)]


def _a_backend_drains_and_goes(bench: Bench | Pair) -> None:
    service = bench.controller.do("GET", "/v1/policy/services/web")
    first, second = service["backends"]
    port = next(each for each in range(3000, 3100) if _open(bench, each) == 2)
    known = tcp(C, VIP, port, 80, "A", seq=1, ack=6, **TO)
    drained = {**service, "backends": [{**first, "weight": 0}, second]}
    bench.rest("PUT", "/v1/policy/services/web", drained)
    assert {_open(bench, sport) for sport in range(4000, 4010)} == {3}
    assert bench.ports(1, known) == [2]
    bench.rest("PUT", "/v1/policy/services/web", {**service, "backends": [second]})
    assert bench.ports(1, known) == []
    bench.rest("PUT", "/v1/policy/services/web", {**service, "backends": []})
    assert bench.ports(1, tcp(C, VIP, 5000, 80, "S", **TO)) == []
    assert len(bench.dump("groups")) == 1  # that of web6
    bench.rest("PUT", "/v1/policy/services/web", service)
    assert {_open(bench, sport) for sport in range(5001, 5013)} == {2, 3}


# -- the choice by client, without a switch -------------------------------------------------------


def _winners(backends: str) -> list[str]:
    text = f"""services: [{{name: s, address: 10.0.0.1, mac: "02:00:00:00:00:01", protocol: tcp,
        port: 80, sticky: client, backends: [{backends}]}}]"""
    (service,) = balancer.parse(load(text)).services
    return [str(service.winner(number).address) for number in range(64)]


def _backend(number: int, weight: int = 100) -> str:
    mac = f"02:00:00:00:01:{number:02x}"
    return f'{{address: 10.0.1.{number}, mac: "{mac}", port: 80, weight: {weight}}}'


def test_a_backend_that_goes_moves_only_its_own_clients() -> None:
    three = _winners(", ".join(map(_backend, (1, 2, 3))))
    two = _winners(", ".join(map(_backend, (1, 3))))
    pairs = zip(three, two, strict=True)
    assert all(before == after for before, after in pairs if before != "10.0.1.2")
    assert {"10.0.1.1", "10.0.1.2", "10.0.1.3"} == set(three)


def test_weights_count() -> None:
    won = Counter(_winners(f"{_backend(1, 300)}, {_backend(2, 100)}, {_backend(3, 0)}"))
    assert won["10.0.1.1"] > won["10.0.1.2"] > 0 == won["10.0.1.3"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("protocol: tcp", "protocol: sctp"), "'sctp' is none of tcp, udp"),
        (("port: 80\n", "port: 0\n"), "'0' is no number from 1 to 65535"),
        (("address: 10.0.0.100", 'address: "::1"'), "::1 and 10.0.0.11 are not of one IP version"),
        (("address: 10.0.0.11,", "address: 224.0.0.1,"), "no address that a host can have"),
        (("weight: 200", "weight: 1001"), "'1001' is no number from 0 to 1000"),
        (("sticky: client", "sticky: cookie"), "none of connection, client"),
        (("10.0.0.12", "10.0.0.11"), "10.0.0.11 port 8080 stands here twice"),
        (("address: 10.0.0.12,", "address: 10.0.0.100,"), "has the MAC 02:00:00:00:00:64"),
        (
            ('10.0.0.12, mac: "02:00:00:00:00:0c"', '10.0.0.100, mac: "02:00:00:00:00:64"'),
            "the backend 10.0.0.100 is a service's address",
        ),
        (("protocol: udp\n    port: 53", "protocol: tcp\n    port: 80"), "is that of 'web'"),
        (('"02:00:00:00:00:0b", port: 53', '"02:00:00:00:00:0e", port: 53'), "elsewhere, not"),
    ],
)
def test_refuses(change: tuple[str, str], said: str) -> None:
    assert change[0] in POLICY
    with pytest.raises(PolicyError, match=said):
        balancer.parse(load(POLICY.replace(*change, 1)))
