"""The userspace dialect of conntrack: packets a second, bytes a connection, the cost of time."""

from __future__ import annotations

import gc
import struct
from pathlib import Path
from typing import Any

import pytest

from ovsct.conntrack.request import Track
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.packet.checksum import checksum
from ovsct.packet.packet import Packet, parse

COMMIT, LOOK = Track(zone=1, commit=True), Track(zone=1)
SYN, ACK = 2, 16


def segment(src: int, dst: int, sport: int, dport: int, flags: int, seq: int, ack: int,
            data: int = 0) -> Packet:
    """An IPv4 TCP packet."""
    pair = struct.pack(">II", src, dst)
    body = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 8192, 0, 0) + bytes(data)
    total = checksum(body, int.from_bytes(pair, "big") + 6 + len(body))
    body = body[:16] + struct.pack(">H", total) + body[18:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 6, 0) + pair
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return parse(bytes(12) + b"\x08\x00" + head + body, 1)


def handshake(tracker: UserspaceTracker, client: int, port: int, now: float) -> None:
    there, back = (client, 0x0A000001, port, 80), (0x0A000001, client, 80, port)
    isn = client * 2654435761 & 0xFFFFFFFF
    tracker.track(segment(*there, SYN, isn, 0), COMMIT, now)
    answer = isn ^ 0x5A5A5A5A
    acked = isn + 1 & 0xFFFFFFFF
    tracker.track(segment(*back, SYN | ACK, answer, acked), COMMIT, now)
    tracker.track(segment(*there, ACK, acked, answer + 1 & 0xFFFFFFFF), COMMIT, now)


@pytest.mark.parametrize("size", [0, 64, 1400])
def test_established_segment(benchmark: Any, size: int) -> None:
    tracker = UserspaceTracker()
    handshake(tracker, 0x0A000002, 1000, 0.0)
    isn = 0x0A000002 * 2654435761 & 0xFFFFFFFF
    answer = (isn ^ 0x5A5A5A5A) + 1 & 0xFFFFFFFF
    packet = segment(0x0A000002, 0x0A000001, 1000, 80, ACK, isn + 1 & 0xFFFFFFFF, answer, size)
    key = packet.key

    def run() -> None:
        for _ in range(10_000):
            packet.key = key
            packet.conn = None
            tracker.track(packet, LOOK, 1.0)

    benchmark.extra_info["packets a round"] = 10_000
    benchmark(run)
    assert packet.conn is not None


def test_new_connections(benchmark: Any) -> None:
    def fresh() -> tuple[tuple[UserspaceTracker, list[Packet]], dict[str, Any]]:
        packets = [segment(0x0B000000 + n, 0x0A000001, 1000, 80, SYN, n, 0) for n in range(10_000)]
        return (UserspaceTracker(), packets), {}

    def run(tracker: UserspaceTracker, packets: list[Packet]) -> None:
        for packet in packets:
            tracker.track(packet, COMMIT, 1.0)
        assert tracker.count == len(packets)

    benchmark.extra_info["packets a round"] = 10_000
    benchmark.pedantic(run, setup=fresh, rounds=10)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_bytes_a_connection_and_idle_time(benchmark: Any) -> None:
    """100,000 established connections: memory, and what it costs to let idle time pass."""
    gc.collect()
    before, count = resident(), 100_000
    tracker = UserspaceTracker()
    for n in range(count):
        handshake(tracker, 0x0B000000 + n, 1024 + n % 60_000, 1.0 + n / 100_000)
    gc.collect()
    benchmark.extra_info["bytes a connection"] = (resident() - before) / count
    tracker.advance(100.0)
    now = [100.0]

    def run() -> None:
        now[0] += 0.001
        tracker.advance(now[0])

    benchmark(run)
    assert tracker.count == count
