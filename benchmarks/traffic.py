"""Traffic for the benchmarks: what it is, is said by the function's name."""

from __future__ import annotations

from collections.abc import Iterator

from ovsct.lane import Arrival
from ovsct.packet.build import tcp, udp

FIREWALL = """
table=0,priority=10,ip,ct_state=-trk,actions=ct(table=1)
table=0,priority=1,arp,actions=normal
table=1,in_port=1,ip,ct_state=+trk+new,actions=ct(commit),2
table=1,in_port=1,ip,ct_state=+trk+est,actions=2
table=1,in_port=2,ip,ct_state=+trk+est,actions=1
"""
"""The two-table firewall: from port 1 anything, from port 2 only answers."""

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"


def handshakes(connections: int) -> Iterator[Arrival]:
    """Three-way handshakes of `connections` TCP connections, all at second 0."""
    for port in range(1000, 1000 + connections):
        yield Arrival(0.0, 1, tcp(CLIENT, SERVER, port, 80, "S", seq=1))
        yield Arrival(0.0, 2, tcp(SERVER, CLIENT, 80, port, "SA", seq=100, ack=2))
        yield Arrival(0.0, 1, tcp(CLIENT, SERVER, port, 80, "A", seq=2, ack=101))


def established(connections: int, rounds: int, size: int) -> Iterator[Arrival]:
    """`rounds` times a segment of `size` bytes one way and its acknowledgement, each connection.

    Two packets a round and connection, ten microseconds apart, from second 1 on.
    """
    at = 1.0
    for turn in range(rounds):
        sent = 2 + turn * size
        for port in range(1000, 1000 + connections):
            payload = bytes(size)
            yield Arrival(
                at, 1, tcp(CLIENT, SERVER, port, 80, "PA", seq=sent, ack=101, payload=payload)
            )
            yield Arrival(
                at, 2, tcp(SERVER, CLIENT, 80, port, "A", seq=101, ack=sent + size)
            )
            at += 1e-5


def datagrams(connections: int, rounds: int) -> Iterator[Arrival]:
    """UDP questions and answers, `rounds` of each a pair of ports."""
    at = 1.0
    for _ in range(rounds):
        for port in range(1000, 1000 + connections):
            yield Arrival(at, 1, udp(CLIENT, SERVER, port, 53, payload=b"q" * 20))
            yield Arrival(at, 2, udp(SERVER, CLIENT, 53, port, payload=b"a" * 60))
            at += 1e-5


def openings(connections: int) -> Iterator[Arrival]:
    """The first SYN of as many connections, from second 1 on."""
    at = 1.0
    for number in range(connections):
        host, port = divmod(number, 50000)
        yield Arrival(
            at, 1, tcp(f"10.1.{host >> 8}.{host & 255}", SERVER, 1000 + port, 80, "S", seq=number)
        )
        at += 1e-5
