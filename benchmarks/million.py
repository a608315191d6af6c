"""A million connections in either dialect: memory, new connections a second, the cost of time.

``python benchmarks/million.py`` prints a table. Each dialect runs in a process of its own, so that
resident memory is that of its connections and of nothing that was there before.

A connection is a TCP handshake of three packets from an address of its own. ``new/s`` counts SYNs
through ct(commit) of the tracker alone (the packets stand parsed), ``lane`` the whole way of a SYN
(frame in, parse, two look-ups, ct(commit), output) through the OVS lane of the dialect.
"""

from __future__ import annotations

import argparse
import gc
import json
import struct
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import click

from ovsct.bridge.bridge import Bridge
from ovsct.conntrack.netfilter.core import Netfilter
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.conntrack.request import Track
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.lane import Arrival
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.text.flow_text import read_flows
from ovsct.packet.checksum import checksum
from ovsct.packet.packet import Packet, parse

COMMIT = Track(zone=1, commit=True)
SYN, ACK = 2, 16
SERVER = 0x0A000001
BATCH = 20_000

FLOWS = """
table=0,ip,actions=ct(zone=1,table=1)
table=1,ct_state=+new+trk,ip,in_port=1,actions=ct(commit,zone=1),output:2
table=1,ct_state=+est+trk,ip,in_port=1,actions=output:2
table=1,ct_state=+est+trk,ip,in_port=2,actions=output:1
"""


def frame(src: int, dst: int, sport: int, dport: int, flags: int, seq: int, ack: int) -> bytes:
    """A TCP segment over IPv4, checksums right."""
    pair = struct.pack(">II", src, dst)
    body = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 8192, 0, 0)
    total = checksum(body, int.from_bytes(pair, "big") + 6 + len(body))
    body = body[:16] + struct.pack(">H", total) + body[18:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 6, 0) + pair
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return bytes(12) + b"\x08\x00" + head + body


def handshake(n: int) -> tuple[Packet, Packet, Packet]:
    """The three packets of connection `n`."""
    client, port = 0x0B000000 + n, 1024 + n % 60_000
    there, back = (client, SERVER, port, 80), (SERVER, client, 80, port)
    isn, answer = n * 2654435761 & 0xFFFFFFFF, n * 40503 & 0xFFFFFFFF
    acked, seen = isn + 1 & 0xFFFFFFFF, answer + 1 & 0xFFFFFFFF
    return (
        parse(frame(*there, SYN, isn, 0), 1),
        parse(frame(*back, SYN | ACK, answer, acked), 2),
        parse(frame(*there, ACK, acked, seen), 1),
    )


def tracker_of(dialect: str) -> UserspaceTracker | OvsKernelTracker:
    """A tracker with room for everything here."""
    if dialect == "userspace":
        return UserspaceTracker()
    return OvsKernelTracker(Netfilter(max=4_000_000, buckets=1_048_576))


def resident() -> int:
    """Bytes of resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def new_a_second(dialect: str, rounds: int = 8) -> float:
    """The best of some rounds of SYNs through ct(commit), in SYNs a second."""
    best = float("inf")
    tracker = tracker_of(dialect)
    for turn in range(rounds):
        first = turn * BATCH
        packets = [handshake(n)[0] for n in range(first, first + BATCH)]
        begun = perf_counter()
        for packet in packets:
            tracker.track(packet, COMMIT, 1.0)
        best = min(best, perf_counter() - begun)
    return BATCH / best


def lane_a_second(dialect: str, rounds: int = 5) -> float:
    """The same through the whole lane."""
    bridge = Bridge((1, 2), read_flows(FLOWS, None))
    lane: Any = OvsUserspace(bridge) if dialect == "userspace" else OvsKernel(bridge)
    best = float("inf")
    for turn in range(rounds):
        first = turn * BATCH
        arrivals = [Arrival(1.0, 1, handshake(n)[0].frame) for n in range(first, first + BATCH)]
        begun = perf_counter()
        for arrival in arrivals:
            lane.receive(arrival)
        best = min(best, perf_counter() - begun)
    return BATCH / best


def worst_advance(tracker: Any, since: float, until: float) -> tuple[float, float]:
    """Milliseconds of the worst and the mean advance() from `since` to `until`, in steps.

    Of this process: what others do on the machine does not count.
    """
    worst = total = 0.0
    now, steps = since, 0
    while now < until:
        now += 0.05 if steps % 2 else 1.0
        begun = process_time()
        tracker.advance(now)
        took = process_time() - begun
        worst, total, steps = max(worst, took), total + took, steps + 1
    return worst * 1000, total / steps * 1000


def measure(dialect: str, count: int) -> dict[str, float]:
    """All figures of one dialect."""
    result: dict[str, float] = {}
    tracker = tracker_of(dialect)
    for packet in handshake(count):
        tracker.track(packet, COMMIT, 0.0)
    gc.collect()
    # Nothing of size was allocated and freed before, so all that is resident from here on is new.
    before = resident()
    for n in range(count - 1):
        for packet in handshake(n):
            tracker.track(packet, COMMIT, n / count)
    gc.collect()
    result["bytes"] = (resident() - before) / count
    gc.freeze()  # what follows measures the timers, not the collector's walks over a million things
    gc.disable()
    result["idle worst"], result["idle mean"] = worst_advance(tracker, 2.0, 200.0)
    # Every connection speaks once more, so that each is refreshed; then a long silence.
    for n in range(count):
        tracker.track(handshake(n)[2], COMMIT, 200.0 + n / count)
    result["refreshed worst"], result["refreshed mean"] = worst_advance(tracker, 202.0, 700.0)
    begun = process_time()
    tracker.advance(86_000.0 if dialect == "userspace" else 431_900.0)
    result["long silence"] = (process_time() - begun) * 1000
    gc.enable()
    result["new/s"] = new_a_second(dialect)
    result["lane/s"] = lane_a_second(dialect)
    return result


ROWS = {
    "bytes": ("resident bytes a connection", "{:,.0f}"),
    "new/s": ("new connections a second, ct(commit) of a SYN", "{:,.0f}"),
    "lane/s": ("  the whole lane, frame to frame", "{:,.0f}"),
    "idle worst": ("advance() over idle ones, worst ms", "{:.3f}"),
    "idle mean": ("  mean ms", "{:.4f}"),
    "refreshed worst": ("advance() over refreshed ones, worst ms", "{:.3f}"),
    "refreshed mean": ("  mean ms", "{:.4f}"),
    "long silence": ("advance() by (nearly) the whole timeout at once, ms", "{:.3f}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="connections")
    parser.add_argument("--dialect", choices=["userspace", "netfilter"], help="only this one")
    parser.add_argument("--json", action="store_true", help="figures of one dialect, as JSON")
    chosen = parser.parse_args()
    if chosen.json:
        click.echo(json.dumps(measure(chosen.dialect, chosen.count)))
        return
    dialects = [chosen.dialect] if chosen.dialect else ["userspace", "netfilter"]
    found = {}
    for dialect in dialects:
        command = [sys.executable, __file__, "--json", "--dialect", dialect]
        command += ["--count", str(chosen.count)]
        found[dialect] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    heads = "".join(f"{name:>14}" for name in dialects)
    click.echo(f"{chosen.count:,} connections".ljust(54) + heads)
    for key, (title, form) in ROWS.items():
        figures = "".join(f"{form.format(found[name][key]):>14}" for name in dialects)
        click.echo(title.ljust(54) + figures)


if __name__ == "__main__":
    main()
