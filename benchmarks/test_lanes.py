"""Packets a second of each model lane, and what a connection costs in memory.

Ratios between lanes in one run are worth more than the absolute figures: machines are noisy.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from traffic import FIREWALL, datagrams, established, handshakes, openings

from ovsct.bridge.bridge import Bridge
from ovsct.compare.events import read_events
from ovsct.lane import Arrival, Lane
from ovsct.lanes.hw import HwLane
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.lanes.tc import TcLane
from ovsct.openflow.text.flow_text import read_flows
from ovsct.packet.pcapng_write import PcapngWriter

LANES: dict[str, Callable[[Bridge], Lane]] = {
    "ovs-userspace": OvsUserspace,
    "ovs-kernel": OvsKernel,
    "tc": TcLane,
    "hw": HwLane,
}


def _lane(name: str) -> Lane:
    return LANES[name](Bridge((1, 2), read_flows(FIREWALL)))


def _run(lane: Lane, packets: list[Arrival]) -> int:
    receive = lane.receive
    return sum(1 for packet in packets if receive(packet).out)


def _measure(benchmark: BenchmarkFixture, lane: Lane, packets: list[Arrival]) -> None:
    sent = benchmark.pedantic(_run, (lane, packets), rounds=1)
    assert sent == len(packets)
    benchmark.extra_info["packets a second"] = round(len(packets) / benchmark.stats.stats.mean)


@pytest.mark.parametrize("size", [0, 1400])
@pytest.mark.parametrize("name", LANES)
def test_established_tcp(benchmark: BenchmarkFixture, name: str, size: int) -> None:
    """Two-table firewall, established TCP, half data and half acknowledgements."""
    lane = _lane(name)
    _run(lane, list(handshakes(100)))
    lane.advance(0.9)
    _measure(benchmark, lane, list(established(100, 200, size)))


@pytest.mark.parametrize("name", LANES)
def test_udp(benchmark: BenchmarkFixture, name: str) -> None:
    """Two-table firewall, UDP questions and answers."""
    lane = _lane(name)
    _run(lane, list(datagrams(100, 1)))
    _measure(benchmark, lane, list(datagrams(100, 200)))


@pytest.mark.parametrize("name", LANES)
def test_new_connections(benchmark: BenchmarkFixture, name: str) -> None:
    """Two-table firewall, every packet the SYN of a new connection that is committed."""
    _measure(benchmark, _lane(name), list(openings(20000)))


@pytest.mark.parametrize("name", ["ovs-userspace", "ovs-kernel"])
def test_bytes_a_connection(benchmark: BenchmarkFixture, name: str) -> None:
    """Memory that Python has allocated for a tracked TCP connection."""
    count = 20000
    packets = list(openings(count))
    lane = _lane(name)
    _run(lane, packets[:1])
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    benchmark.pedantic(_run, (lane, packets), rounds=1)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    benchmark.extra_info["bytes a connection"] = round((after - before) / count)


@pytest.mark.parametrize("size", [0, 1400])
@pytest.mark.parametrize("name", ["ovs-userspace", "ovs-kernel", "tc"])
def test_capture_to_lane(
    benchmark: BenchmarkFixture, tmp_path: Path, name: str, size: int
) -> None:
    """The same, the reading of the capture (pcapng) included."""
    capture = tmp_path / "established.pcapng"
    with capture.open("wb") as file:
        writer = PcapngWriter(file, (1, 2))
        for packet in (*handshakes(100), *established(100, 200, size)):
            writer.write(*packet)
    lane = _lane(name)

    def run() -> int:
        receive, advance = lane.receive, lane.advance
        sent = 0
        for event in read_events(str(capture)):
            advance(event.at)
            if isinstance(event, Arrival) and receive(event).out:
                sent += 1
        return sent

    sent = benchmark.pedantic(run, rounds=1)
    assert sent == 40300
    benchmark.extra_info["packets a second"] = round(sent / benchmark.stats.stats.mean)
