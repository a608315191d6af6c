"""What a packet costs before any table is looked up: parse, sum, rewrite."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ovsct.packet.build import tcp, udp
from ovsct.packet.checksum import checksum, l4_checksum_ok
from ovsct.packet.compose import compose
from ovsct.packet.describe import describe
from ovsct.packet.edit import push_vlan, rewrite_ipv4, rewrite_ipv6, set_fields
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import parse

ROUNDS = 20_000
V4, V6 = ("10.0.0.1", "10.0.0.2"), ("fc00::1", "fc00::2")
FRAMES = {
    "tcp": tcp(*V4, 1000, 80, "A"),
    "tcp tagged": tcp(*V4, 1000, 80, "A", vlans=[5]),
    "tcp 1500": tcp(*V4, 1000, 80, "A", payload=bytes(range(244)) * 5 + bytes(240)),
    "udp": udp(*V4, 1000, 53, payload=bytes(30)),
    "tcp6": tcp(*V6, 1000, 80, "A"),
}


def measure(benchmark: BenchmarkFixture, step: Callable[[], object]) -> None:
    """Run `step` often enough a round that the clock does not matter."""

    def many() -> None:
        for _ in itertools.repeat(None, ROUNDS):
            step()

    benchmark(many)
    benchmark.extra_info["microseconds"] = round(benchmark.stats.stats.min / ROUNDS * 1e6, 3)


@pytest.mark.parametrize("kind", FRAMES)
def test_parse(benchmark: BenchmarkFixture, kind: str) -> None:
    frame = FRAMES[kind]
    measure(benchmark, lambda: parse(frame, 1))


@pytest.mark.parametrize("kind", FRAMES)
def test_l4_checksum(benchmark: BenchmarkFixture, kind: str) -> None:
    packet = parse(FRAMES[kind], 1)
    assert l4_checksum_ok(packet)
    measure(benchmark, lambda: l4_checksum_ok(packet))


@pytest.mark.parametrize("size", [20, 1480, 65000])
def test_checksum(benchmark: BenchmarkFixture, size: int) -> None:
    data = (bytes(range(256)) * 256)[:size]
    measure(benchmark, lambda: checksum(data))


@pytest.mark.parametrize("kind", ["tcp", "udp", "tcp6"])
def test_nat(benchmark: BenchmarkFixture, kind: str) -> None:
    packet = parse(FRAMES[kind], 1)
    rewrite = rewrite_ipv6 if kind == "tcp6" else rewrite_ipv4
    ends = itertools.cycle([(0x0A000009, 4000), (0x0A000001, 1000)])

    def step() -> None:
        address, port = next(ends)
        rewrite(packet, address, None, port)

    measure(benchmark, step)


SETS = {
    "route": {"dl_dst": 0x020000000009, "dl_src": 0x020000000008, "nw_ttl": 63},
    "address": {"nw_src": 0x0A000009},
    "port": {"tp_dst": 8080},
    "mark": {"pkt_mark": 7},
}


@pytest.mark.parametrize("kind", SETS)
def test_set_fields(benchmark: BenchmarkFixture, kind: str) -> None:
    packet = parse(FRAMES["tcp"], 1)
    mask = sum(SLOTS[name].mask for name in SETS[kind])
    there = sum(value << SLOTS[name].shift for name, value in SETS[kind].items())
    values = itertools.cycle([there, packet.key & mask])
    measure(benchmark, lambda: set_fields(packet, next(values), mask))


def test_push_vlan(benchmark: BenchmarkFixture) -> None:
    packet = parse(FRAMES["tcp"], 1)
    measure(benchmark, lambda: push_vlan(packet.fork(), 0x8100, 0x1005))


def test_compose(benchmark: BenchmarkFixture) -> None:
    key = parse(FRAMES["tcp"], 1).key
    measure(benchmark, lambda: compose(key))


def test_describe(benchmark: BenchmarkFixture) -> None:
    frame = FRAMES["tcp"]
    measure(benchmark, lambda: describe(frame))
