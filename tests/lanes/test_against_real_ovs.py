"""The lane ovs-userspace against the real ovs-vswitchd: firewall, SNAT and DNAT, three protocols.

Nothing here says what should come out: the program is asked, packet by packet.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.lane import Arrival
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.text.flow_text import read_flows
from ovsct.oracle.real_ovs import RealOvs, comparable
from ovsct.packet.build import icmp_echo, icmp_error, tcp, udp

FIREWALL = (
    "table=0,priority=10,arp,actions=normal",
    "table=0,priority=10,ip,ct_state=-trk,actions=ct(table=1)",
    "table=1,priority=10,in_port=1,ip,ct_state=+trk+new,actions=ct(commit),2",
    "table=1,priority=10,ip,in_port=1,ct_state=+trk+est,actions=2",
    "table=1,priority=10,ip,in_port=2,ct_state=+trk+est,actions=1",
    "table=1,priority=10,ip,in_port=2,ct_state=+trk+rel,actions=1",
)
SNAT = (
    "table=0,priority=10,ip,ct_state=-trk,actions=ct(table=1,zone=5,nat)",
    "table=1,in_port=1,ip,ct_state=+trk+new,actions=ct(commit,zone=5,nat(src=192.0.2.1)),2",
    "table=1,in_port=1,ip,ct_state=+trk+est,actions=2",
    "table=1,in_port=2,ip,ct_state=+trk+est,actions=1",
    "table=1,in_port=2,ip,ct_state=+trk+rel,actions=1",
)
DNAT = (
    "table=0,in_port=1,priority=10,ip,ct_state=-trk,nw_dst=192.0.2.9,"
    "actions=ct(table=1,zone=7,nat)",
    "table=0,in_port=2,priority=10,ip,ct_state=-trk,actions=ct(table=1,zone=7,nat)",
    "table=1,in_port=1,priority=20,tcp,ct_state=+trk+new,"
    "actions=ct(commit,zone=7,nat(dst=10.0.0.2:8080)),2",
    "table=1,in_port=1,priority=10,ip,ct_state=+trk+new,"
    "actions=ct(commit,zone=7,nat(dst=10.0.0.2)),2",
    "table=1,in_port=1,ip,ct_state=+trk+est,actions=2",
    "table=1,in_port=2,ip,ct_state=+trk+est,actions=1",
)

CLIENT = "10.0.0.1"
# What the client talks to, and from whom and to whom the answers come, and the port there.
TABLES = {
    "firewall": (FIREWALL, "10.0.0.2", "10.0.0.2", CLIENT, 80),
    "snat": (SNAT, "10.0.0.2", "10.0.0.2", "192.0.2.1", 80),
    "dnat": (DNAT, "192.0.2.9", "10.0.0.2", CLIENT, 8080),
}


def tcp_conversation(asked: str, server: str, seen: str, port: int) -> Iterator[Arrival]:
    """Handshake, data both ways, a segment out of window, FIN, the second use of the port."""

    def out(at: float, flags: str, seq: int, ack: int = 0, data: bytes = b"") -> Arrival:
        return Arrival(at, 1, tcp(CLIENT, asked, 1000, 80, flags, seq=seq, ack=ack, payload=data))

    def back(at: float, flags: str, seq: int, ack: int, data: bytes = b"") -> Arrival:
        frame = tcp(server, seen, port, 1000, flags, seq=seq, ack=ack, payload=data)
        return Arrival(at, 2, frame)

    yield back(0.0, "SA", 1, 1)
    yield out(0.1, "S", 100)
    yield back(0.2, "SA", 500, 101)
    yield out(0.3, "A", 101, 501)
    yield out(0.4, "PA", 101, 501, b"GET / HTTP/1.0\r\n\r\n")
    yield back(0.5, "PA", 501, 119, b"x" * 1400)
    yield out(0.6, "A", 119, 1901)
    yield out(0.7, "A", 900_000_000, 1901)
    yield out(1.0, "FA", 119, 1901)
    yield back(1.1, "FA", 1901, 120)
    yield out(1.2, "A", 120, 1902)
    yield out(60.0, "S", 7000)
    yield back(60.1, "RA", 0, 7001)


def udp_conversation(asked: str, server: str, seen: str, port: int) -> Iterator[Arrival]:
    """Question and answer, an answer nobody asked for, an error, expiry."""
    port = 53
    yield Arrival(0.0, 2, udp(server, seen, port, 1000, payload=b"early"))
    question = udp(CLIENT, asked, 1000, port, payload=b"question")
    yield Arrival(0.1, 1, question)
    yield Arrival(0.2, 1, question)
    yield Arrival(0.3, 2, udp(server, seen, port, 1000, payload=b"answer"))
    yield Arrival(0.4, 1, question)
    if asked == server:
        quoted = udp(seen, server, 1000, port, payload=b"question")
        yield Arrival(0.5, 2, icmp_error(quoted, src=server))
    yield Arrival(100.0, 2, udp(server, seen, port, 1000, payload=b"late"))


def icmp_conversation(asked: str, server: str, seen: str, _port: int) -> Iterator[Arrival]:
    """Echo and reply, a reply without an echo, expiry."""
    yield Arrival(0.0, 2, icmp_echo(server, seen, 7, 1, reply=True))
    yield Arrival(0.1, 1, icmp_echo(CLIENT, asked, 7, 1))
    yield Arrival(0.2, 2, icmp_echo(server, seen, 7, 1, reply=True))
    yield Arrival(0.3, 1, icmp_echo(CLIENT, asked, 7, 2))
    yield Arrival(100.0, 2, icmp_echo(server, seen, 7, 2, reply=True))


CONVERSATIONS = {
    "tcp": tcp_conversation,
    "udp": udp_conversation,
    "icmp": icmp_conversation,
}


@pytest.mark.real_ovs
@pytest.mark.parametrize("protocol", CONVERSATIONS)
@pytest.mark.parametrize("table", TABLES)
def test_same_packets_and_connections(real_ovs: RealOvs, table: str, protocol: str) -> None:
    lines, *ends = TABLES[table]
    real_ovs.reset(lines)
    model = OvsUserspace(Bridge(real_ovs.ports, read_flows("\n".join(lines))))
    for number, packet in enumerate(CONVERSATIONS[protocol](*ends), start=1):
        model.advance(packet.at)
        assert comparable(model.receive(packet)) == real_ovs.receive(packet), f"packet {number}"
        assert sorted(model.dump_conntrack()) == sorted(real_ovs.dump_conntrack()), number
