"""The netfilter model itself: what recordings cannot show or do not say."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovsct.conntrack.netfilter import Info, Netfilter, Status, Sysctls, Verdict, core
from ovsct.conntrack.netfilter.tcp import NAMES, TABLE
from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.errors import InputError, OvsctError
from ovsct.lane import EventKind
from ovsct.packet.checksum import checksum
from ovsct.packet.packet import Packet, parse
from tests.conntrack.netfilter_replay import Replay, load

CLIENT, SERVER = 0x0A000001, 0x0A000002
FIN, SYN, RST, ACK = 1, 2, 4, 16


def ipv4(src: int, dst: int, proto: int, body: bytes) -> Packet:
    header = b"\x45\0" + (20 + len(body)).to_bytes(2, "big") + b"\0\1\0\0\x40" + bytes((proto,))
    ends = src.to_bytes(4, "big") + dst.to_bytes(4, "big")
    check = checksum(header + b"\0\0" + ends).to_bytes(2, "big")
    return parse(bytes(12) + b"\x08\0" + header + check + ends + body, 1)


def tcp(flags: int, seq: int = 100, ack: int = 0, *, back: bool = False) -> Packet:
    src, dst, ports = CLIENT, SERVER, (1000, 80)
    if back:
        src, dst, ports = SERVER, CLIENT, (80, 1000)
    head = b"".join(port.to_bytes(2, "big") for port in ports)
    head += seq.to_bytes(4, "big") + ack.to_bytes(4, "big") + bytes((0x50, flags)) + b"\xff\xff"
    pseudo = src + dst + 6 + 20
    check = checksum(head + b"\0\0\0\0", pseudo)
    return ipv4(src, dst, 6, head + check.to_bytes(2, "big") + b"\0\0")


def udp(src: int = CLIENT, dst: int = SERVER, sport: int = 1000, dport: int = 53) -> Packet:
    head = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + b"\0\x08\0\0"
    return ipv4(src, dst, 17, head)


def commit(netfilter: Netfilter, packet: Packet, now: float = 0.0, zone: int = 1) -> Verdict:
    verdict = netfilter.conntrack_in(packet, zone, now)
    return netfilter.confirm(packet, now) if verdict is Verdict.ACCEPT else verdict


def handshake(netfilter: Netfilter, now: float = 0.0) -> Any:
    first = tcp(SYN)
    commit(netfilter, first, now)
    commit(netfilter, tcp(SYN | ACK, 500, 101, back=True), now)
    commit(netfilter, tcp(ACK, 101, 501), now)
    return netfilter.entry(first)


def test_every_state_of_the_table_has_a_name_and_a_column() -> None:
    for side in TABLE:
        assert len(side) == 6
        assert all(len(row.split()) == len(NAMES) for row in side)


def test_a_connection_lives_until_its_timeout_to_the_millisecond() -> None:
    netfilter = Netfilter()
    commit(netfilter, tcp(SYN), 10.0)
    assert netfilter.advance(129.999) == []
    assert len(netfilter.connections(129.999)) == 1
    (event,) = netfilter.advance(130.0)
    assert (event.at, event.kind) == (130.0, EventKind.CONNECTION_EXPIRED)
    assert event.text == "proto 6 10.0.0.1:1000 > 10.0.0.2:80 zone 1"
    assert netfilter.count == 0


def test_what_has_expired_is_not_found_although_nobody_swept() -> None:
    netfilter = Netfilter()
    commit(netfilter, udp())
    late = udp(SERVER, CLIENT, 53, 1000)
    netfilter.conntrack_in(late, 1, 30.0)
    assert late.ct_info == Info.NEW


def test_zones_are_worlds_of_their_own() -> None:
    netfilter = Netfilter()
    commit(netfilter, udp(), zone=1)
    other = udp(SERVER, CLIENT, 53, 1000)
    netfilter.conntrack_in(other, 2, 0.0)
    assert other.ct_info == Info.NEW
    same = udp(SERVER, CLIENT, 53, 1000)
    netfilter.conntrack_in(same, 1, 0.0)
    assert same.ct_info == Info.ESTABLISHED_REPLY
    assert (netfilter.in_zone(1), netfilter.in_zone(2)) == (1, 0)


def test_an_uncommitted_connection_leaves_no_trace() -> None:
    netfilter = Netfilter()
    packet = tcp(SYN)
    netfilter.conntrack_in(packet, 1, 0.0)
    assert netfilter.state_bits(packet, True) == 0x21
    assert netfilter.connections(0.0) == []


@pytest.mark.parametrize(("kernel", "expected"), [("6.1", 10.0), ("6.12", 10.0)])
def test_reset_closes(kernel: str, expected: float) -> None:
    netfilter = Netfilter(kernel)
    e = handshake(netfilter)
    commit(netfilter, tcp(RST, 501, 0, back=True))
    assert NAMES[e.state] == "CLOSE"
    assert netfilter.connections(0.0)[0].timeout == expected


@pytest.mark.parametrize(("kernel", "expected"), [("6.1", 10.0), ("6.12", 300.0)])
def test_a_reset_that_is_not_believed(kernel: str, expected: float) -> None:
    """6.1 waits ten seconds after any reset, 6.12 five minutes if the connection stays."""
    netfilter = Netfilter(kernel)
    e = handshake(netfilter)
    commit(netfilter, tcp(RST, 511, 0, back=True))
    assert NAMES[e.state] == "ESTABLISHED"
    assert netfilter.connections(0.0)[0].timeout == expected


def test_loose_pick_up_can_be_switched_off() -> None:
    packet = tcp(ACK, 5, 6)
    Netfilter(tcp_loose=0).conntrack_in(packet, 1, 0.0)
    assert packet.conn is None
    Netfilter().conntrack_in(packet, 1, 0.0)
    assert packet.conn is not None


def test_timeouts_are_sysctls() -> None:
    netfilter = Netfilter(udp_timeout=7)
    commit(netfilter, udp())
    assert netfilter.connections(0.0)[0].timeout == 7.0


def test_unknown_names_are_told() -> None:
    with pytest.raises(InputError, match="udp_timeuot"):
        Sysctls(udp_timeuot=3)
    with pytest.raises(InputError, match=r"expected 6\.1, 6\.12"):
        Netfilter("2.4")


def test_accounting_counts_ip_bytes_both_ways() -> None:
    netfilter = Netfilter(acct=1)
    e = handshake(netfilter)
    assert (e.extra.packets, e.extra.bytes) == ([2, 1], [80, 40])


def test_dccp_is_refused_by_name() -> None:
    with pytest.raises(OvsctError, match="DCCP"):
        Netfilter().conntrack_in(ipv4(CLIENT, SERVER, 33, bytes(16)), 1, 0.0)


# The table's limit.


def test_a_full_table_refuses_what_is_new() -> None:
    netfilter = Netfilter(max=1, buckets=1 << 20)
    handshake(netfilter)
    packet = udp()
    assert netfilter.conntrack_in(packet, 1, 0.0) is Verdict.DROP
    assert packet.conn is None
    assert netfilter.stat.drop == 1
    # What is known goes on.
    assert netfilter.conntrack_in(tcp(ACK, 101, 501), 1, 0.0) is Verdict.ACCEPT


def test_early_drop_takes_what_is_not_assured() -> None:
    """With one bucket all entries stand in it: whatever is not assured goes."""
    netfilter = Netfilter(random=Random(1), max=3, buckets=1)
    assured = handshake(netfilter)
    commit(netfilter, udp(sport=1))
    commit(netfilter, udp(sport=2))
    assert netfilter.conntrack_in(udp(sport=3), 1, 0.0) is Verdict.ACCEPT
    assert list(netfilter.entries()) == [assured]
    assert netfilter.stat.early_drop == 2


def test_expired_entries_make_room() -> None:
    netfilter = Netfilter(max=1, buckets=1 << 20)
    commit(netfilter, udp(sport=1))
    assert commit(netfilter, udp(sport=2), 31.0) is Verdict.ACCEPT


# NAT.


def source_nat(netfilter: Netfilter, packet: Packet, **nat: Any) -> Verdict:
    asked = Nat(NatKind.SRC, 4, 0x0A000064, 0x0A000064, **nat)
    netfilter.conntrack_in(packet, 1, 0.0)
    if netfilter.nat(packet, Track(1, commit=True, nat=asked), 0.0) is not Verdict.ACCEPT:
        return Verdict.DROP
    return netfilter.confirm(packet, 0.0)


def test_a_test_can_say_which_port_was_drawn() -> None:
    netfilter = Netfilter()
    asked = []

    def choose(size: int, why: str) -> int:
        asked.append((size, why))
        return 2

    netfilter.choose = choose
    packet = udp()
    source_nat(netfilter, packet, port_min=5000, port_max=5003)
    assert asked == [(65536, "nat source port")]
    assert netfilter.connections(0.0)[0].reply.dport == 5002


def test_the_same_seed_draws_the_same_ports() -> None:
    def ports(seed: int) -> list[int]:
        netfilter = Netfilter(random=Random(seed))
        for sport in range(1000, 1010):
            source_nat(netfilter, udp(sport=sport), port_min=5000, port_max=9000)
        return [c.reply.dport for c in netfilter.connections(0.0)]

    assert ports(1) == ports(1)
    assert ports(1) != ports(2)
    assert len(set(ports(1))) == 10


def test_an_exhausted_range_drops() -> None:
    netfilter = Netfilter(random=Random(3))
    kept = [
        source_nat(netfilter, udp(sport=sport), port_min=5000, port_max=5003)
        for sport in range(1000, 1006)
    ]
    assert kept == [Verdict.ACCEPT] * 4 + [Verdict.DROP] * 2


def test_a_killed_connection_frees_its_source() -> None:
    netfilter = Netfilter()
    packet = udp()
    source_nat(netfilter, packet)
    e = netfilter.entry(packet)
    assert e is not None
    assert e.status & Status.SRC_NAT
    netfilter.kill(e)
    assert (netfilter.sources, netfilter.table, netfilter.count) == ({}, {}, 0)


# Everyday packets take a short cut; it must not show.


LONG_WAY = [
    (kernel, case)
    for _, kernel, case in load("random-tcp-*.json")
    if case["datapath"] == "ovs"
] or [(kernel, case) for _, kernel, case in load("random-tcp-*.json")]


def state_of(netfilter: Netfilter) -> list[tuple[Any, ...]]:
    names = [n for n in core.Entry.__slots__ if n != "extra"] + ["expires"]
    return [tuple(getattr(e, name) for name in names) for e in netfilter.entries()]


@pytest.mark.parametrize(("kernel", "case"), LONG_WAY, ids=lambda v: v if v is str else "")
def test_the_short_cut_is_the_long_way(
    kernel: str, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Replay(kernel, case)
    states = []
    for step in case["steps"]:
        short.step(step)
        states.append(state_of(short.netfilter))
    monkeypatch.setattr(core, "quick_ack", lambda *_: False)
    monkeypatch.setattr(core, "quick_syn", lambda *_: False)
    long = Replay(kernel, case)
    for step, state in zip(case["steps"], states, strict=True):
        long.step(step)
        assert state_of(long.netfilter) == state


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((1, 6, 17, 47, 132, 136, 99)), st.binary(max_size=80))))
def test_no_bytes_are_an_accident(bodies: list[tuple[int, bytes]]) -> None:
    netfilter = Netfilter(checksum=0)
    for proto, body in bodies:
        packet = ipv4(CLIENT, SERVER, proto, body)
        assert commit(netfilter, packet) is Verdict.ACCEPT
        assert netfilter.count == len(list(netfilter.entries()))
