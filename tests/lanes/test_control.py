"""Limits and timeout policies as options of lanes: from text to what a packet meets."""

from __future__ import annotations

from typing import Any

import pytest

from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.lanes.make import Setup, Text, make
from ovsct.packet.build import udp

FLOWS = """\
table=0,priority=10,ip actions=ct(zone=1,table=1)
table=1,ct_state=+trk+new,ip actions=ct(commit,zone=1),output:2
"""
LANES = ("ovs-userspace", "ovs-kernel", "tc", "hw")


def lane(name: str, **options: Any) -> Any:
    setup = Setup(ports=(1, 2), flows=Text(FLOWS, "flows"), options={name: options})
    return make(name, setup)


def send(into: Any, at: float, sport: int) -> int:
    frame = udp("10.0.0.1", "10.0.0.2", sport, 53)
    return len(into.receive(Arrival(at, 1, frame)).out)


@pytest.mark.parametrize("name", LANES)
def test_a_policy_of_a_zone_decides_how_long_a_connection_lives(name: str) -> None:
    policies = {"short": {"udp_first": 5, "udp_single": 5}}
    short = lane(name, timeout_policies=policies, zone_timeouts={"1": "short"})
    send(short, 0.0, 1000)
    # TC drops the policy without a word, but the first packet was the datapath's.
    assert [connection.timeout for connection in short.connections()] == [5.0]
    assert [connection.timeout for connection in lane(name).connections()] == []
    plain = lane(name)
    send(plain, 0.0, 1000)
    assert plain.connections()[0].timeout in (30.0, 60.0)


@pytest.mark.parametrize(("zones", "left"), [({"1": 2}, 2), ({"default": 3}, 3), ({"2": 1}, 5)])
@pytest.mark.parametrize("name", ["ovs-userspace", "ovs-kernel"])
def test_a_zone_has_no_more_connections_than_it_may(
    name: str, zones: dict[str, int], left: int
) -> None:
    limited = lane(name, zone_limits=zones)
    sent = [send(limited, 0.0, 1000 + n) for n in range(5)]
    assert len(limited.connections()) == left
    # The kernel drops what is too much, userspace conntrack lets it go uncommitted.
    assert sum(sent) == (5 if name == "ovs-userspace" else left)


def test_a_table_has_no_more_than_it_may() -> None:
    for full in (lane("ovs-userspace", maxconns=2), lane("ovs-kernel", sysctls={"max": 2})):
        for n in range(5):
            send(full, 0.0, 1000 + n)
        assert len(full.connections()) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"zone_limits": {"x": 1}}, "no zone: 'x'"),
        ({"zone_limits": {"70000": 1}}, "no zone: '70000'"),
        ({"zone_limits": {"1": -1}}, "no zone limit"),
        ({"zone_timeouts": {"x": "p"}}, "no zone: 'x'"),
        ({"timeout_policies": {"p": {"tcp_nothing": 1}}}, "tcp_nothing"),
        ({"sysctls": {"nothing": 1}}, "no such conntrack sysctl: 'nothing'"),
    ],
)
def test_what_there_is_not_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        lane("ovs-kernel", **options)
