"""The flow table: what its recordings (test_netfilter_recorded.py, datapath tc) do not pin down."""

from __future__ import annotations

import pytest

from ovsct.conntrack.flowtable import FlowTable
from ovsct.conntrack.netfilter import Entry, Info, Netfilter, Status
from ovsct.lane import EventKind
from ovsct.packet.packet import Packet
from tests.conntrack.test_netfilter import ACK, CLIENT, FIN, SERVER, SYN, commit, tcp, udp


class Box:
    """A conntrack with the flow table of zone 1 before it."""

    def __init__(self, kernel: str = "6.1") -> None:
        self.netfilter = Netfilter(kernel)
        self.flows = FlowTable(self.netfilter)

    def send(self, packet: Packet, now: float = 0.0) -> bool:
        """As act_ct with commit does; whether it was a hit."""
        self.flows.advance(now)
        self.netfilter.advance(now)
        if self.flows.lookup(packet, 1, now):
            return True
        commit(self.netfilter, packet, now)
        self.flows.process(packet, now)
        return False

    def established(self) -> Entry:
        packets = tcp(SYN), tcp(SYN | ACK, 500, 101, back=True), tcp(ACK, 101, 501)
        assert [self.send(packet) for packet in packets] == [False] * 3
        e = self.netfilter.entry(packets[2])
        assert e is not None
        return e


def test_in_with_the_third_packet_and_past_conntrack_from_the_fourth() -> None:
    box = Box()
    e = box.established()
    assert e.status & Status.OFFLOAD
    before = (e.end0, e.last, e.expires)
    far = tcp(ACK, 90000, 90000)
    assert box.send(far)
    assert far.ct_info == Info.ESTABLISHED
    back = tcp(SYN, 1, back=True)
    assert box.send(back)
    assert back.ct_info == Info.ESTABLISHED_REPLY
    assert (e.end0, e.last, e.expires) == before


def test_fin_tears_down_and_goes_through_conntrack() -> None:
    box = Box()
    e = box.established()
    assert not box.send(tcp(FIN | ACK, 101, 501), 5.0)
    assert not e.status & Status.OFFLOAD
    assert box.netfilter.connections(5.0)[0].state == "FIN_WAIT"
    assert not box.send(tcp(ACK, 501, 102, back=True), 5.1)
    kinds = [event.kind for event in box.flows.advance(8.0)]
    assert kinds == [EventKind.OFFLOAD_REMOVED]
    assert box.flows.flows == {}


def test_idle_flows_end_at_the_next_full_second() -> None:
    box = Box()
    box.established()
    assert box.send(tcp(ACK, 101, 501), 10.5)
    assert box.flows.advance(40.999) == []
    (event,) = box.flows.advance(41.0)
    assert (event.at, event.kind) == (41.0, EventKind.OFFLOAD_AGED)
    assert box.netfilter.connections(41.0)[0].status == {"assured", "confirmed", "seen-reply"}


def test_a_packet_between_end_and_look_still_hits() -> None:
    box = Box()
    box.established()
    assert box.send(tcp(ACK, 101, 501), 10.5)
    assert box.send(tcp(ACK, 101, 501), 40.9)


def test_packets_of_the_same_second_do_not_renew() -> None:
    box = Box()
    e = box.established()
    flow = box.flows.flows[e.original]
    assert box.send(tcp(ACK, 101, 501), 1.0)
    assert flow.expires == 30_000
    assert box.send(tcp(ACK, 101, 501), 1.001)
    assert flow.expires == 31_001


@pytest.mark.parametrize(("kernel", "left"), [("6.1", 432000 - 30), ("6.12", 86400 - 30)])
def test_what_the_connection_has_left_afterwards(kernel: str, left: int) -> None:
    """6.12 sets a day when the flow begins, and that has been running."""
    box = Box(kernel)
    box.established()
    box.flows.advance(30.0)
    assert box.netfilter.connections(30.0)[0].timeout == left


@pytest.mark.parametrize(("kernel", "left"), [("6.1", [90.0]), ("6.12", [])])
def test_unreplied_udp_afterwards(kernel: str, left: list[float]) -> None:
    box = Box(kernel)
    packet = udp()
    box.send(packet)
    assert not box.send(udp())
    assert box.netfilter.entry(packet).status & Status.OFFLOAD  # type: ignore[union-attr]
    other = Box(kernel)
    other.send(udp())
    other.flows.advance(30.0)
    assert [c.timeout for c in other.netfilter.connections(30.0)] == left


def test_a_killed_connection_takes_its_flow_along() -> None:
    box = Box()
    e = box.established()
    box.netfilter.kill(e)
    assert not box.flows.lookup(tcp(ACK, 101, 501), 1, 0.5)
    box.flows.advance(3.0)
    assert box.flows.flows == {}


def test_a_flow_in_use_keeps_its_connection() -> None:
    """Conntrack's own time is up after five days; the flow still sees packets."""
    box = Box()
    box.established()
    now = 0.0
    while now < 432100.0:
        now += 29.0
        assert box.send(tcp(ACK, 101, 501), now)
    assert box.netfilter.count == 1


def test_ttl_one_and_options_miss() -> None:
    box = Box()
    box.established()
    packet = tcp(ACK, 101, 501)
    raw = bytearray(packet.frame)
    raw[22] = 1
    packet.reparse(bytes(raw))
    assert not box.flows.lookup(packet, 1, 0.1)


def test_other_zones_and_protocols_have_no_flows() -> None:
    box = Box()
    box.established()
    assert not box.flows.lookup(tcp(ACK, 101, 501), 2, 0.1)
    assert not box.flows.lookup(udp(CLIENT, SERVER), 1, 0.1)
