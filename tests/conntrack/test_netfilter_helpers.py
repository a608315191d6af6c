"""FTP and TFTP through ct() of the OVS kernel datapath, against recordings of real kernels."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovsct.conntrack.netfilter import Netfilter
from ovsct.conntrack.netfilter.entry import Entry
from ovsct.conntrack.netfilter.helpers import Expectation, find_port
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.conntrack.request import Track
from ovsct.errors import InputError
from ovsct.packet.fields import CT_EST, CT_INV, CT_NEW, CT_REL, CT_RPL, SLOTS
from ovsct.packet.packet import parse
from tests.conntrack.netfilter_replay import ZONE, load, moved, same_table
from tests.conntrack.test_netfilter import ACK, CLIENT, SERVER, SYN, handshake, ipv4, tcp, udp

CASES = list(load("helpers/*.json"))


def name(bits: int) -> str:
    if bits & CT_INV:
        return "inv"
    kind = "est" if bits & CT_EST else "rel" if bits & CT_REL else "new"
    return kind + (",rpl" if bits & CT_RPL else "")


@pytest.mark.parametrize(
    ("kernel", "case"),
    [(kernel, case) for _, kernel, case in CASES],
    ids=[f"{name}-{case['name']}" for name, _, case in CASES],
)
@pytest.mark.parametrize("moving", [False, True], ids=["", "moving"])
def test_as_recorded(kernel: str, case: dict[str, Any], moving: bool) -> None:
    """Also with a move to another tracker, by a snapshot, before every packet."""
    tracker = OvsKernelTracker(Netfilter(kernel))
    look = Track(zone=ZONE, helper=case["helper"])
    commit = Track(zone=ZONE, commit=True, helper=case["helper"])
    for number, step in enumerate(case["steps"]):
        now = step["at"]
        tracker.advance(now)
        tracker = moved(tracker, now) if moving else tracker
        packet = parse(bytes.fromhex(step["frame"]), step["port"] + 1)
        out = []
        if tracker.track(packet, look, now) is None:
            bits = SLOTS["ct_state"].get(packet.key)
            state = name(bits)
            wanted = state == "rel" or (state == "new" and step["port"] == 0)
            gone = wanted and tracker.track(packet, commit, now) is not None
            if not gone and not (bits & CT_EST and bits & CT_REL):
                out = [[state]]
        assert out == step["out"], f"step {number}"
        problem = same_table(tracker.netfilter, now, step["conntrack"])
        assert problem is None, f"step {number}: {problem}"


def test_the_child_inherits_mark_and_label_and_names_its_master() -> None:
    tracker = OvsKernelTracker(Netfilter("6.12"))
    master = Track(zone=1, commit=True, helper="tftp", mark=(7, 0xFF), label=(9, 0xFF))
    request = ipv4(CLIENT, SERVER, 17, bytes.fromhex("03e80045000c0000") + b"\0\1f\0")
    assert tracker.track(request, master, 0.0) is None
    data = udp(SERVER, CLIENT, 3333, 1000)
    assert tracker.track(data, Track(zone=1, commit=True), 1.0) is None
    assert SLOTS["ct_state"].get(data.key) & (CT_NEW | CT_REL) == CT_NEW | CT_REL
    assert SLOTS["ct_tp_dst"].get(data.key) == 69
    child = next(c for c in tracker.connections(1.0) if c.parent is not None)
    assert (child.mark, child.label) == (7, 9)
    assert child.parent is not None
    assert child.parent.dport == 69


@pytest.mark.parametrize(("kernel", "helper"), [("6.1", "tftp"), ("6.12", None)])
def test_a_helper_shows_in_the_status_where_it_was_named(kernel: str, helper: str | None) -> None:
    """Seen on 6.1.176, which hands it on to what was expected, and on 6.12.117 (37-ftp-data)."""
    tracker = OvsKernelTracker(Netfilter(kernel))
    request = ipv4(CLIENT, SERVER, 17, bytes.fromhex("03e80045000c0000") + b"\0\1f\0")
    tracker.track(request, Track(zone=1, commit=True, helper="tftp"), 0.0)
    tracker.track(udp(SERVER, CLIENT, 3333, 1000), Track(zone=1, commit=True), 1.0)
    master, child = sorted(tracker.connections(1.0), key=lambda c: c.parent is not None)
    assert (master.helper, "helper" in master.status) == ("tftp", True)
    assert (child.helper, "helper" in child.status) == (helper, False)


@pytest.mark.parametrize(("later", "related"), [(299.999, True), (300.0, False)])
def test_an_expectation_waits_five_minutes(later: float, related: bool) -> None:
    netfilter = Netfilter()
    e = handshake(netfilter)
    netfilter.expectations.put(Expectation(e, 4, 17, SERVER, CLIENT, 1000, 1, 300_000))
    packet = udp(SERVER, CLIENT, 3333, 1000)
    netfilter.conntrack_in(packet, 1, later)
    assert (packet.conn.master is e) == related  # type: ignore[union-attr]


def test_an_expectation_dies_with_its_master() -> None:
    netfilter = Netfilter()
    e = handshake(netfilter)
    netfilter.expectations.put(Expectation(e, 4, 17, SERVER, CLIENT, 1000, 1, 300_000))
    netfilter.kill(e)
    packet = udp(SERVER, CLIENT, 3333, 1000)
    netfilter.conntrack_in(packet, 1, 1.0)
    assert packet.conn.master is None  # type: ignore[union-attr]
    assert len(netfilter.expectations) == 0


def test_unknown_helpers_are_named() -> None:
    with pytest.raises(InputError, match=r"irc.*expected ftp, tftp"):
        OvsKernelTracker(Netfilter()).track(udp(), Track(commit=True, helper="irc"), 0.0)


def test_another_connections_expectation_stays() -> None:
    """Without translation the announcement is dropped, with it another port is announced."""
    netfilter = Netfilter()
    one, other = handshake(netfilter), Entry(0, 0)
    assert netfilter.expectations.put(Expectation(one, 4, 6, SERVER, CLIENT, 5001, 1, 300_000))
    expected = Expectation(other, 4, 6, SERVER, CLIENT, 5001, 1, 300_000)
    assert not netfilter.expectations.put(expected)
    assert netfilter.expectations.put(expected._replace(src=SERVER + 1))
    netfilter.choose = lambda size, why: {"expected port": size - 1}[why]
    assert find_port(netfilter, expected) == 0xFFFF - 1
    assert find_port(netfilter, expected._replace(dport=6000)) == 6000
    assert len(netfilter.expectations) == 2


@settings(max_examples=300, deadline=None)
@given(st.booleans(), st.sampled_from((b"PORT ", b"EPRT ", b"227 ", b"229 (", b"")), st.binary())
def test_no_payload_is_an_accident(reply: bool, begin: bytes, rest: bytes) -> None:
    netfilter = Netfilter(checksum=0)
    tracker = OvsKernelTracker(netfilter)
    request = Track(zone=1, commit=True, helper="ftp")
    opening = tcp(SYN), tcp(SYN | ACK, 500, 101, back=True), tcp(ACK, 101, 501)
    for packet in opening:
        assert tracker.track(packet, request, 0.0) is None
    for data, done in ((b"x\n", 0), (begin + rest, 2)):
        seq, ack = (501, 101) if reply else (101, 501)
        bare = tcp(0x18, seq + done, ack, back=reply)
        source, target = (SERVER, CLIENT) if reply else (CLIENT, SERVER)
        packet = ipv4(source, target, 6, bare.frame[34:54] + data)
        tracker.track(packet, request, 0.0)
    assert netfilter.count == 1
