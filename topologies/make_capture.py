"""Make two-table-firewall.pcapng: a TCP, a UDP and an ICMP conversation between two ports.

Run it from anywhere: ``python topologies/make_capture.py``. It writes the file beside itself, the
same bytes every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ovsct.lane import Arrival
from ovsct.packet.build import arp, icmp_echo, icmp_error, tcp, udp
from ovsct.packet.pcapng_write import PcapngWriter

INSIDE, OUTSIDE = "10.0.0.1", "192.0.2.80"


def packets() -> Iterator[Arrival]:
    """The packets in order of time (seconds)."""
    yield Arrival(0.0, 1, arp(INSIDE, OUTSIDE))
    yield Arrival(0.1, 2, tcp(OUTSIDE, INSIDE, 80, 1000, "SA", seq=1, ack=1))
    yield from download()
    question = udp(INSIDE, OUTSIDE, 1000, 53, payload=b"where?")
    yield Arrival(20.0, 1, question)
    yield Arrival(20.1, 2, udp(OUTSIDE, INSIDE, 53, 1000, payload=b"here"))
    yield Arrival(21.0, 1, udp(INSIDE, OUTSIDE, 1001, 9, payload=b"anybody?"))
    refused = udp(INSIDE, OUTSIDE, 1001, 9, payload=b"anybody?")
    yield Arrival(21.1, 2, icmp_error(refused, src=OUTSIDE))
    yield Arrival(22.0, 1, icmp_echo(INSIDE, OUTSIDE, 7, 1))
    yield Arrival(22.1, 2, icmp_echo(OUTSIDE, INSIDE, 7, 1, reply=True))
    yield Arrival(23.0, 2, icmp_echo(OUTSIDE, INSIDE, 8, 1))


def download() -> Iterator[Arrival]:
    """A TCP connection: handshake, data, padding, a segment far out of window, the end."""

    def out(
        at: float, flags: str, seq: int, ack: int = 0, data: bytes = b"", pad: int = 0
    ) -> Arrival:
        frame = tcp(INSIDE, OUTSIDE, 1000, 80, flags, seq=seq, ack=ack, payload=data)
        return Arrival(at, 1, frame + bytes(pad))

    def back(at: float, flags: str, seq: int, ack: int, data: bytes = b"") -> Arrival:
        frame = tcp(OUTSIDE, INSIDE, 80, 1000, flags, seq=seq, ack=ack, payload=data)
        return Arrival(at, 2, frame)

    yield out(1.0, "S", 100)
    yield back(1.1, "SA", 500, 101)
    yield out(1.2, "A", 101, 501)
    yield out(1.3, "PA", 101, 501, b"GET / HTTP/1.0\r\n\r\n")
    at, seq = 2.0, 501
    for _ in range(20):
        yield back(at, "A", seq, 119, b"x" * 1400)
        seq += 1400
        yield out(at + 0.01, "A", 119, seq)
        at += 0.05
    yield out(4.0, "A", 119, seq, pad=6)
    yield back(5.0, "PA", 900_000_000, 119, b"late")
    yield back(6.0, "FA", seq, 119)
    yield out(6.1, "FA", 119, seq + 1)
    yield back(6.2, "A", seq + 1, 120)


def write(file: BinaryIO) -> None:
    """Write the capture."""
    writer = PcapngWriter(file, (1, 2))
    for packet in packets():
        writer.write(*packet)


if __name__ == "__main__":
    with Path(__file__).with_name("two-table-firewall.pcapng").open("wb") as capture:
        write(capture)
