"""Fragments in and out of act_ct, where a recording cannot tell: drawn numbers and refusals."""

from __future__ import annotations

import pytest

from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import OvsctError
from ovsct.lane import Arrival, Drop
from ovsct.lanes.tc_script import TcScript

V6 = (
    "tc filter add dev p1 ingress protocol ipv6 flower action ct commit zone 1 pipe"
    " action mirred egress redirect dev p2"
)
ADDRESSES = "fd" + "00" * 14 + "01fd" + "00" * 14 + "02"
HEADER = "02000000000b02000000000a86dd60000000{:04x}2c40" + ADDRESSES


def fragments() -> list[bytes]:
    """A UDP datagram (checksum 0xe2b8) over IPv6 in two fragments."""
    data = bytes.fromhex("03e800350064e2b8") + bytes(range(92))
    first = bytes.fromhex(HEADER.format(56) + "1100000100001111") + data[:48]
    second = bytes.fromhex(HEADER.format(60) + "1100003000001111") + data[48:]
    return [first, second]


def test_ipv6_fragments_leave_as_they_came_but_for_a_drawn_number() -> None:
    netfilter = Netfilter("6.1")
    netfilter.choose = lambda size, why: 0x11223343
    lane = TcScript(V6, netfilter=netfilter)
    first, second = fragments()
    held = lane.receive(Arrival(0.0, 1, first))
    assert (list(held.out), held.drop) == ([], Drop.HELD)
    sent = lane.receive(Arrival(0.0, 1, second)).out
    drawn = [frame[:58] + bytes.fromhex("11223344") + frame[62:] for frame in (first, second)]
    assert [tuple(each) for each in sent] == [(2, frame) for frame in drawn]


def test_held_fragments_end_after_half_a_minute() -> None:
    lane = TcScript(V6)
    first, second = fragments()
    lane.receive(Arrival(0.0, 1, first))
    assert [event.at for event in lane.advance(31.0)] == [30.0]
    assert lane.receive(Arrival(31.0, 1, second)).drop is Drop.HELD


def test_a_second_tag_on_what_was_put_together_is_refused() -> None:
    push = "action vlan push id 5 pipe action vlan push id 6 pipe action mirred"
    lane = TcScript(V6.replace("action mirred", push))
    first, second = fragments()
    lane.receive(Arrival(0.0, 1, first))
    with pytest.raises(OvsctError, match="second tag"):
        lane.receive(Arrival(0.0, 1, second))
