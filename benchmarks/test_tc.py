"""Packets a second through TC alone, and how the number of masks and chains counts."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from traffic import datagrams, established, handshakes, openings

from ovsct.lane import Arrival
from ovsct.lanes.tc_script import TcScript

TALK = "".join(
    f"filter add dev {port} ingress prio 1 {rest}\n"
    for port, other in (("p1", "p2"), ("p2", "p1"))
    for rest in (
        "proto ip flower ct_state -trk action ct zone 2 pipe action goto chain 100",
        "chain 100 proto ip flower ct_state +trk+new action ct commit zone 2 pipe"
        f" action mirred egress redirect dev {other}",
        "chain 100 proto ip flower ct_state +trk+est"
        f" action mirred egress redirect dev {other}",
    )
)


def _run(lane: TcScript, packets: list[Arrival]) -> int:
    receive = lane.receive
    return sum(1 for packet in packets if receive(packet).drop is None)


def _measure(benchmark: BenchmarkFixture, lane: TcScript, packets: list[Arrival]) -> None:
    assert benchmark.pedantic(_run, (lane, packets), rounds=1) == len(packets)
    benchmark.extra_info["packets a second"] = round(len(packets) / benchmark.stats.stats.mean)


def test_established_tcp(benchmark: BenchmarkFixture) -> None:
    """The talk's rule set: two chains, and the flow table in place of conntrack."""
    lane = TcScript(TALK)
    _run(lane, list(handshakes(100)))
    _measure(benchmark, lane, list(established(100, 200, 0)))


def test_udp(benchmark: BenchmarkFixture) -> None:
    lane = TcScript(TALK)
    _run(lane, list(datagrams(100, 1)))
    _measure(benchmark, lane, list(datagrams(100, 200)))


def test_new_connections(benchmark: BenchmarkFixture) -> None:
    _measure(benchmark, TcScript(TALK), list(openings(20000)))


@pytest.mark.parametrize("masks", [1, 8, 32])
def test_masks(benchmark: BenchmarkFixture, masks: int) -> None:
    """The filter that matches has the last of so many masks."""
    lines = [
        f"filter add dev p1 ingress prio 1 protocol ip flower src_ip 200.2.3.4/{32 - n} action drop"
        for n in range(masks - 1)
    ]
    out = "action mirred egress redirect dev p2"
    lines.append(f"filter add dev p1 ingress prio 1 protocol ip flower ip_ttl 0/0 {out}")
    lines.append("filter add dev p2 ingress prio 1 protocol ip flower action drop")
    lane = TcScript("\n".join(lines))
    packets = [packet for packet in openings(20000) if packet.port == 1]
    _measure(benchmark, lane, packets)
