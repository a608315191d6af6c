"""Fragments through ct() of the OVS kernel datapath, against recordings of real kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ovsct.conntrack.netfilter import Netfilter
from ovsct.conntrack.netfilter.fragments import HELD, WHOLE, Reassembly, refragment
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.conntrack.request import Track
from ovsct.lane import Drop, EventKind
from ovsct.packet.checksum import checksum
from ovsct.packet.packet import parse
from tests.conntrack.netfilter_replay import ZONE, load, moved, same_table

CASES = list(load("fragments/*.json"))


@pytest.mark.parametrize(
    ("kernel", "case"),
    [(kernel, case) for _, kernel, case in CASES],
    ids=[f"{name}-{case['name']}" for name, _, case in CASES],
)
@pytest.mark.parametrize("moving", [False, True], ids=["", "moving"])
def test_as_recorded(kernel: str, case: dict[str, Any], moving: bool) -> None:
    """Also with a move to another tracker, by a snapshot, before every packet."""
    tracker = OvsKernelTracker(Netfilter(kernel))
    for step in case["steps"]:
        now = step["at"]
        tracker.advance(now)
        tracker = moved(tracker, now) if moving else tracker
        if "frame" in step:
            packet = parse(bytes.fromhex(step["frame"]), 1)
            frames = []
            if tracker.track(packet, Track(zone=ZONE), now) is None:
                assert tracker.track(packet, Track(zone=ZONE, commit=True), now) is None
                frames = [f.hex() for f in refragment(packet, tracker.fragments.sizes)]
            assert frames == [out[1] if len(out) == 2 else step["frame"] for out in step["out"]]
        assert same_table(tracker.netfilter, now, step["conntrack"]) is None


def piece(offset: int, data: bytes, more: bool) -> bytes:
    word = (0x2000 if more else 0) | offset // 8
    header = bytes.fromhex("4500") + (20 + len(data)).to_bytes(2, "big")
    header += b"\0\1" + word.to_bytes(2, "big") + bytes.fromhex("40110000")
    header += bytes((10, 0, 0, 1, 10, 0, 0, 2))
    header = header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
    return bytes(12) + b"\x08\0" + header + data


def test_held_then_expired_after_thirty_seconds() -> None:
    held = Reassembly()
    assert held.gather(parse(piece(0, bytes(16), True), 1), 5, 100.0) == HELD
    assert held.advance(129.999) == []
    (event,) = held.advance(130.0)
    assert (event.at, event.kind) == (130.0, EventKind.FRAGMENTS_EXPIRED)
    assert len(held) == 0


def test_zones_do_not_share_fragments() -> None:
    held = Reassembly()
    assert held.gather(parse(piece(0, bytes(16), True), 1), 1, 0.0) == HELD
    assert held.gather(parse(piece(16, bytes(8), False), 1), 2, 0.0) == HELD
    packet = parse(piece(16, bytes(8), False), 1)
    assert held.gather(packet, 1, 0.0) == WHOLE
    assert packet.mru == 36
    assert held.sizes == (16, 8)


def test_the_datapath_says_that_it_holds_the_fragment() -> None:
    tracker = OvsKernelTracker(Netfilter())
    diverted = tracker.track(parse(piece(0, bytes(16), True), 1), Track(zone=1), 0.0)
    assert diverted is not None
    assert diverted.drop is Drop.HELD


def piece6(offset: int, data: bytes, more: bool) -> bytes:
    fragment = bytes((17, 0)) + (offset | more).to_bytes(2, "big") + bytes(4)
    header = b"\x60\0\0\0" + (8 + len(data)).to_bytes(2, "big") + bytes((44, 64))
    addresses = bytes(15) + b"\1" + bytes(15) + b"\2"
    return bytes(12) + b"\x86\xdd" + header + addresses + fragment + data


def test_ipv6_there_and_back() -> None:
    held = Reassembly()
    udp = bytes.fromhex("000100020028aaaa") + bytes(range(32))
    first, second = piece6(0, udp[:24], True), piece6(24, udp[24:], False)
    assert held.gather(parse(first, 1), 1, 0.0) == HELD
    packet = parse(second, 1)
    assert held.gather(packet, 1, 0.0) == WHOLE
    assert packet.frame[54:] == udp
    assert packet.frame[20] == 17
    assert packet.mru == 72
    assert packet.l4 == 54


def test_ipv6_is_cut_again() -> None:
    held = Reassembly()
    udp = bytes.fromhex("000100020068aaaa") + bytes(range(96))
    pieces = [piece6(0, udp[:48], True), piece6(48, udp[48:], False)]
    packets = [parse(frame, 1) for frame in pieces]
    assert [held.gather(packet, 1, 0.0) for packet in packets] == [HELD, WHOLE]
    assert refragment(packets[1], held.sizes) == pieces
