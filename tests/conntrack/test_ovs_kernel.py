"""ct() of the OVS kernel datapath around netfilter: what the recordings do not pin down."""

from __future__ import annotations

import pytest

from ovsct.conntrack.netfilter import Netfilter, Status, Sysctls
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.errors import InputError
from ovsct.lane import Drop
from ovsct.packet.fields import CT_DNAT, CT_EST, CT_NEW, CT_RPL, CT_SNAT, CT_TRK, SLOTS
from ovsct.packet.packet import Packet
from tests.conntrack.test_netfilter import ACK, CLIENT, RST, SERVER, SYN, tcp, udp

LOOK = Track(zone=1)
COMMIT = Track(zone=1, commit=True)


@pytest.fixture
def tracker() -> OvsKernelTracker:
    return OvsKernelTracker(Netfilter())


def field(packet: Packet, name: str) -> int:
    return SLOTS[name].get(packet.key)


def test_the_key_says_what_was_found(tracker: OvsKernelTracker) -> None:
    packet = udp()
    assert tracker.track(packet, LOOK, 0.0) is None
    assert field(packet, "ct_state") == CT_TRK | CT_NEW
    assert field(packet, "ct_zone") == 1
    assert (field(packet, "ct_nw_src"), field(packet, "ct_nw_dst")) == (CLIENT, SERVER)
    assert (field(packet, "ct_tp_src"), field(packet, "ct_tp_dst")) == (1000, 53)
    assert field(packet, "ct_nw_proto") == 17
    tracker.clear(packet)
    assert packet.key == udp().key
    assert packet.conn is None


def test_a_recirculated_packet_is_not_looked_up_again(tracker: OvsKernelTracker) -> None:
    packet = udp()
    tracker.track(packet, LOOK, 0.0)
    e = packet.conn
    tracker.track(packet, COMMIT, 0.0)
    assert packet.conn is e
    # ct_state is that of the look-up, also after the commit.
    assert field(packet, "ct_state") == CT_TRK | CT_NEW


def test_mark_and_label(tracker: OvsKernelTracker) -> None:
    packet = udp()
    request = Track(zone=1, commit=True, mark=(5, 0xFF), label=(1 << 100, 1 << 100 | 1))
    tracker.track(packet, request, 0.0)
    assert (field(packet, "ct_mark"), field(packet, "ct_label")) == (5, 1 << 100)
    back = udp(SERVER, CLIENT, 53, 1000)
    tracker.track(back, Track(zone=1, commit=True, mark=(0x100, 0x100)), 1.0)
    assert (field(back, "ct_mark"), field(back, "ct_label")) == (0x105, 1 << 100)
    assert [c.mark for c in tracker.connections(1.0)] == [0x105]


def test_force_turns_the_connection_round(tracker: OvsKernelTracker) -> None:
    tracker.track(udp(), COMMIT, 0.0)
    back = udp(SERVER, CLIENT, 53, 1000)
    tracker.track(back, Track(zone=1, commit=True, force=True), 0.0)
    assert field(back, "ct_state") == CT_TRK | CT_NEW
    (connection,) = tracker.connections(0.0)
    assert connection.orig.src == "10.0.0.2"


def test_force_in_the_original_direction_changes_nothing(tracker: OvsKernelTracker) -> None:
    tracker.track(udp(), COMMIT, 0.0)
    tracker.track(udp(SERVER, CLIENT, 53, 1000), LOOK, 0.0)
    again = udp()
    tracker.track(again, Track(zone=1, commit=True, force=True), 0.0)
    assert field(again, "ct_state") == CT_TRK | CT_EST


def test_windows_do_not_matter_once_established(tracker: OvsKernelTracker) -> None:
    for packet in (tcp(SYN), tcp(SYN | ACK, 500, 101, back=True), tcp(ACK, 101, 501)):
        tracker.track(packet, COMMIT, 0.0)
    far = tcp(ACK, 90_000_000, 90_000_000)
    tracker.track(far, LOOK, 0.0)
    assert field(far, "ct_state") == CT_TRK | CT_EST


def test_two_zones_in_a_row(tracker: OvsKernelTracker) -> None:
    packet = udp()
    tracker.track(packet, COMMIT, 0.0)
    tracker.track(packet, Track(zone=2, commit=True), 0.0)
    assert field(packet, "ct_zone") == 2
    assert {c.zone for c in tracker.connections(0.0)} == {1, 2}


def test_nat_waits_for_the_commit(tracker: OvsKernelTracker) -> None:
    nat = Nat(NatKind.SRC, 4, 0x0A000064, 0x0A000064)
    packet = udp()
    before = packet.frame
    tracker.track(packet, Track(zone=1, nat=Nat()), 0.0)
    assert packet.frame == before
    tracker.track(packet, Track(zone=1, commit=True, nat=nat), 0.0)
    assert field(packet, "nw_src") == 0x0A000064
    assert field(packet, "ct_state") == CT_TRK | CT_NEW | CT_SNAT
    back = udp(SERVER, 0x0A000064, 53, 1000)
    tracker.track(back, Track(zone=1, nat=Nat()), 0.0)
    assert field(back, "nw_dst") == CLIENT
    # The answer of a source translation has its destination translated back.
    assert field(back, "ct_state") == CT_TRK | CT_EST | CT_RPL | CT_DNAT


def test_dnat_shows_snat_too(tracker: OvsKernelTracker) -> None:
    """Seen on 6.1 and 6.12: the null binding that follows a DNAT counts as source NAT."""
    packet = udp()
    nat = Nat(NatKind.DST, 4, 0x0A000009, 0x0A000009)
    tracker.track(packet, Track(zone=1, commit=True, nat=nat), 0.0)
    assert field(packet, "ct_state") == CT_TRK | CT_NEW | CT_SNAT | CT_DNAT
    assert field(packet, "nw_dst") == 0x0A000009


def test_translated_once_in_a_zone(tracker: OvsKernelTracker) -> None:
    nat = Nat(NatKind.SRC, 4, 0x0A000064, 0x0A000064)
    packet = udp()
    tracker.track(packet, Track(zone=1, commit=True, nat=nat), 0.0)
    frame = packet.frame
    tracker.track(packet, Track(zone=1, nat=Nat()), 0.0)
    assert packet.frame == frame


def test_padding_is_cut_off(tracker: OvsKernelTracker) -> None:
    packet = udp()
    size = len(packet.frame)
    packet.frame += bytes(18)
    tracker.track(packet, LOOK, 0.0)
    assert len(packet.frame) == size


def test_zone_limits(tracker: OvsKernelTracker) -> None:
    tracker.zone_limits[1] = 2
    tracker.default_limit = 1
    answers = [tracker.track(udp(sport=sport), COMMIT, 0.0) for sport in (1, 2, 3)]
    assert [answer and answer.drop for answer in answers] == [None, None, Drop.CONNTRACK]
    other = Track(zone=9, commit=True)
    answers = [tracker.track(udp(sport=sport), other, 0.0) for sport in (1, 2)]
    assert [answer and answer.drop for answer in answers] == [None, Drop.CONNTRACK]
    # A known connection may be committed again.
    assert tracker.track(udp(sport=1), COMMIT, 0.0) is None


def test_a_full_table_drops(tracker: OvsKernelTracker) -> None:
    small = OvsKernelTracker(Netfilter(max=1, buckets=1 << 20))
    for packet in (tcp(SYN), tcp(SYN | ACK, 500, 101, back=True), tcp(ACK, 101, 501)):
        small.track(packet, COMMIT, 0.0)
    diverted = small.track(udp(), LOOK, 0.0)
    assert diverted is not None
    assert diverted.drop is Drop.CONNTRACK


def test_a_reset_as_the_only_answer_ends_it(tracker: OvsKernelTracker) -> None:
    tracker.track(tcp(SYN), COMMIT, 0.0)
    reset = tcp(RST | ACK, 0, 101, back=True)
    tracker.track(reset, LOOK, 0.0)
    assert field(reset, "ct_state") == CT_TRK | CT_EST | CT_RPL
    assert tracker.connections(0.0) == []
    assert reset.conn.status & Status.DYING  # type: ignore[union-attr]


def test_timeout_policies(tracker: OvsKernelTracker) -> None:
    tracker.policies["short"] = Sysctls(udp_timeout=5, tcp_timeout_syn_sent=7)
    request = Track(zone=1, commit=True, timeout="short")
    tracker.track(udp(), request, 0.0)
    tracker.track(tcp(SYN), request, 0.0)
    assert sorted(c.timeout for c in tracker.connections(0.0)) == [5.0, 7.0]
    # A connection keeps what it began with.
    tracker.track(udp(), COMMIT, 1.0)
    assert sorted(c.timeout for c in tracker.connections(1.0)) == [5.0, 6.0]


def test_an_unknown_timeout_policy_is_named(tracker: OvsKernelTracker) -> None:
    with pytest.raises(InputError, match="mine"):
        tracker.track(udp(), Track(timeout="mine"), 0.0)
