"""The short cut of the userspace dialect says what the long way says, packet by packet."""

from __future__ import annotations

from random import Random

from ovsct.conntrack.request import Track
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.conntrack.userspace_tcp import TcpEntry
from ovsct.packet.fields import CT_EST, SLOTS
from ovsct.packet.packet import parse
from tests.conntrack.userspace_talk import ACK, Talk

SHORT = Track(zone=1, commit=True)
LONG = Track(zone=1, commit=True, mark=(0, 0))
"""The same for a connection, but nothing that the short cut serves."""


def inside(tracker: UserspaceTracker) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for entry in tracker._table.living(0):
        assert isinstance(entry, TcpEntry)
        ends = [
            (end.seqlo, end.seqhi, end.max_win, end.wscale, end.state)
            for end in (entry.orig, entry.answer)
        ]
        found.append((entry.forward, entry.expires, entry.steady, *ends))
    return found


def test_both_ways_agree() -> None:
    established = 0
    for seed in range(150):
        short, long = UserspaceTracker(), UserspaceTracker()
        talk = Talk(Random(seed), protocols=("tcp",), jumps=(29.9, 30.0, 900.0, 86400.0))
        for sent in talk.run(120):
            keys = []
            for tracker, request in ((short, SHORT), (long, LONG)):
                packet = parse(bytes(12) + sent.frame, 1)
                tracker.track(packet, request, sent.at)
                keys.append((packet.key, packet.conn is None, packet.ct_info))
            assert keys[0] == keys[1], sent.what
            assert inside(short) == inside(long), sent.what
            state = SLOTS["ct_state"].get(keys[0][0])
            established += bool(state & CT_EST and keys[0][0] & 0x17 == ACK)
    assert established > 2000
