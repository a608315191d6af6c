"""Fragments in the userspace dialect: held, put together, sent on as they came, given up."""

from __future__ import annotations

import pytest

from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.conntrack.userspace_fragments import Fragments
from ovsct.lane import Drop
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.packet import parse
from tests.conntrack.userspace_dialogue import Dialogue, play, play_both
from tests.conntrack.userspace_talk import ip, udp
from tests.judges import real_ovs

__all__ = ["real_ovs"]

A, B = "10.0.0.1", "10.0.0.8"
LOOK, COMMIT = Track(zone=1), Track(zone=1, commit=True)
SNAT = Track(zone=1, commit=True, nat=Nat(NatKind.SRC, 4, 0x0A00004D, 0x0A00004D, 7000, 7000))
WHOLE = udp(A, B, 1000, 53, bytes(2592))[22:]


def cut(start: int, end: int, ident: int = 1, whole: bytes = WHOLE) -> bytes:
    """Bytes of the datagram of 2600 bytes as a fragment."""
    more = end < len(whole)
    return ip(A, B, 17, whole[start:end], ident=ident, fragment=start // 8 | more << 13)


BAD = udp(A, B, 1000, 53, bytes(2592), bad=True)[22:]
DIALOGUES = (
    Dialogue("11.1 all leave with the last", (
        (0.0, COMMIT, cut(2400, 2600), "-"),
        (0.0, COMMIT, cut(0, 1200), "-"),
        (0.0, COMMIT, cut(1200, 2400), "new|trk new|trk new|trk"),
        (0.0, LOOK, udp(B, A, 53, 1000), "est|rpl|trk"),
    )),
    Dialogue("11.1 translated", (
        (0.0, SNAT, cut(0, 1400), "-"),
        (0.0, SNAT, cut(1400, 2600), "new|trk|snat new|trk|snat"),
    )),
    Dialogue("11.1 two packets at once", (
        (0.0, COMMIT, cut(0, 1400, 1), "-"),
        (0.0, COMMIT, cut(0, 1400, 2), "-"),
        (0.0, COMMIT, cut(1400, 2600, 2), "new|trk new|trk"),
        (0.0, COMMIT, cut(1400, 2600, 1), "new|trk new|trk"),
    )),
    Dialogue("11.2 too small, overlapping, twice", (
        (0.0, COMMIT, cut(0, 1176), "inv|trk"),
        (0.0, COMMIT, cut(0, 1184), "-"),
        (0.0, COMMIT, cut(1176, 2400), "inv|trk"),
        (0.0, COMMIT, cut(0, 1184), "inv|trk"),
        (0.0, COMMIT, cut(1184, 2600), "new|trk new|trk"),
    )),
    Dialogue("11.2 put off", (
        (0.0, COMMIT, cut(0, 1400), "inv|trk"),
        (0.0, COMMIT, cut(1400, 2600), "inv|trk"),
    ), make=lambda: UserspaceTracker(fragments=Fragments(v4=False, v6=False)),
       setup=("ipf-set-disabled v4", "ipf-set-disabled v6")),
    Dialogue("11.3 given up after 15 s, with the next packet", (
        (0.0, COMMIT, cut(0, 1400), "-"),
        (15.0, COMMIT, udp(A, B, 1, 2), "new|trk"),
        (15.001, COMMIT, udp(A, B, 1, 2), "new|trk inv"),
        (15.001, COMMIT, udp(A, B, 1, 2), "new|trk"),
    )),
    Dialogue("11.3 dropped after 25 s", (
        (0.0, COMMIT, cut(0, 1400), "-"),
        (25.0, COMMIT, udp(A, B, 1, 2), "new|trk"),
        (25.0, COMMIT, cut(1400, 2600), "-"),
    )),
    Dialogue("11.4 the whole's checksum is wrong", (
        (0.0, COMMIT, cut(0, 1400, whole=BAD), "-"),
        (0.0, COMMIT, cut(1400, 2600, whole=BAD), "inv|trk inv|trk"),
    )),
)  # fmt: skip


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.name)
def test_dialogue(dialogue: Dialogue) -> None:
    play(dialogue)


@pytest.mark.real_ovs
@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.name)
def test_dialogue_with_the_program(real_ovs: RealOvs, dialogue: Dialogue) -> None:
    play_both(real_ovs, dialogue)


def test_what_is_held_says_so_and_is_counted() -> None:
    tracker = UserspaceTracker(fragments=Fragments(most=2))
    for ident in (1, 2):
        held = tracker.track(parse(bytes(12) + cut(0, 1400, ident), 1), COMMIT, 0.0)
        assert held is not None and held.drop is Drop.HELD and not held.packets
    assert tracker.fragments.held == 2
    assert tracker.track(parse(bytes(12) + cut(0, 1400, 3), 1), COMMIT, 0.0) is None
    # Nobody comes to take them along: they are dropped by the clean-up, a minute at the latest.
    tracker.advance(1.0)
    tracker.advance(90.0)
    assert tracker.fragments.held == 0 and tracker.fragments.idle


def test_longest_packet_and_most_fragments() -> None:
    tracker = UserspaceTracker()
    size = 1440
    for start in range(0, 65520, size):
        piece = ip(A, B, 17, bytes(size), fragment=start // 8 | 0x2000)
        tracker.track(parse(bytes(12) + piece, 1), COMMIT, 0.0)
    last = ip(A, B, 17, bytes(8), fragment=(start + size) // 8 & 0x1FFF)
    tracker.track(parse(bytes(12) + last, 1), COMMIT, 0.0)
    assert tracker.fragments.held > 40
