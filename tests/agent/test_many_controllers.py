"""Several controllers of one switch: what one does, and what the others are told of it."""

from __future__ import annotations

from typing import Any

import pytest

from ovsct.agent.model import ModelBridge
from ovsct.bridge.bridge import Bridge
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.group import Bucket, GroupType
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.codec import decode
from tests.agent.test_session import Peer

ALL = ((0xFF, 0), (7, 7), (0x3F, 0), (7, 7), (0, 0), (3, 3))


@pytest.fixture
def model() -> ModelBridge:
    return ModelBridge(OvsUserspace(Bridge([1, 2, 3])))


def _peers(model: ModelBridge, *versions: int) -> list[Peer]:
    peers = [Peer(model, version, service=False) for version in versions]
    for peer in peers:
        peer.session.peers = lambda: [each.session for each in peers]
    return peers


@pytest.mark.parametrize("version", [4, 5, 6])
def test_the_primary_is_told_when_it_is_no_longer(model: ModelBridge, version: int) -> None:
    first, second = _peers(model, version, 4)
    assert first.ask(m.RoleRequest("primary", 1)) == m.RoleReply("primary", 1)
    assert second.ask(m.RoleRequest("primary", 2)) == m.RoleReply("primary", 2)
    assert first.got() == [m.RoleStatus("secondary", "request", 2)]
    first.add("in_port=1,actions=2")
    assert first.got()[0].name == "OFPBRC_IS_SECONDARY"
    # An equal one does not say which election it means.
    assert first.ask(m.RoleRequest("equal", 1)).role == "equal"


def test_nicira_s_roles_are_told_of_nothing(model: ModelBridge) -> None:
    first, second = _peers(model, 1, 4)
    assert first.ask(m.RoleRequest("primary", variant="nx")).role == "primary"
    assert second.ask(m.RoleRequest("primary", 2)).role == "primary"
    assert first.got() == []
    assert first.session.role == "secondary"


def test_who_changes_a_port_hears_of_it_from_1_5_on(model: ModelBridge) -> None:
    peers = _peers(model, 1, 4, 6)
    port: dict[str, Any] = {"port_no": 2, "hw_addr": model.ports.desc(2).hw_addr}
    for index, told in enumerate(([False, True, True], [True, False, True], [True] * 3)):
        config = not index & 1
        peers[index].send(m.PortMod(config=int(config), mask=1, **port))
        for peer, expected in zip(peers, told, strict=True):
            said = peer.got()
            assert [type(each) for each in said] == [m.PortStatus] * expected
            assert all(each.port.config == config for each in said)
    # no-flood is something that only OpenFlow 1.0 knows.
    peers[0].send(m.PortMod(config=16, mask=16, **port))
    assert [peer.got() for peer in peers] == [[], [], []]


def test_changes_of_groups_and_meters_are_forwarded(model: ModelBridge) -> None:
    doer, old, mid, new = _peers(model, 6, 1, 4, 6)
    old.send(m.SetAsync(*ALL, variant="nx2"))
    mid.send(m.SetAsync(*ALL, variant="nx2"))
    new.send(m.SetAsync(*ALL))
    bucket = Bucket(bucket_id=4, actions=parse_flow("actions=2").actions)
    group: dict[str, Any] = {"group_id": 5, "type": GroupType.ALL}

    def told(peer: Peer) -> list[Any]:
        return [decode(each.message).body for each in peer.got()]

    doer.send(m.GroupMod(command="add_or_mod", buckets=(bucket,), **group), 0x77)
    for peer in (old, mid, new):
        (forwarded,) = told(peer)
        assert (forwarded.command, forwarded.group_id) == ("add", 5)
    more = Bucket(bucket_id=7, actions=parse_flow("actions=3").actions)
    doer.send(m.GroupMod(command="insert_bucket", buckets=(more,), command_bucket_id=4, **group))
    assert [each.command for each in told(old) + told(new)] == ["insert_bucket"] * 2
    (forwarded,) = told(mid)
    assert (forwarded.command, len(forwarded.buckets)) == ("modify", 2)
    band = m.MeterBand(type="drop", rate=2)
    doer.send(m.MeterMod(command="add", flags=m.KBPS, meter_id=3, bands=(band,)))
    assert told(old) == []
    assert [each.meter_id for each in told(mid) + told(new)] == [3, 3]
    assert doer.got() == []


def test_each_role_wants_something_else(model: ModelBridge) -> None:
    first, second = _peers(model, 6, 6)
    wanted = m.Async(*ALL)
    first.send(m.SetAsync(*ALL))
    assert first.ask(m.AsyncRequest()).port_status == wanted.port_status
    # One kind alone, as secondary alone: the rest stays.
    only = ((None, None), (None, 0), *[(None, None)] * 4)
    first.send(m.SetAsync(*only))
    assert first.ask(m.AsyncRequest()).port_status == (7, 0)
    second.ask(m.RoleRequest("primary", 1))
    first.ask(m.RoleRequest("secondary", 1))
    address = model.ports.desc(2).hw_addr
    second.send(m.PortMod(port_no=2, hw_addr=address, config=1, mask=1))
    assert first.got() == []
    first.ask(m.RoleRequest("equal"))
    second.send(m.PortMod(port_no=2, hw_addr=address, config=0, mask=1))
    assert [type(each) for each in first.got()] == [m.PortStatus]


def test_bits_that_there_are_not_are_refused(model: ModelBridge) -> None:
    (peer,) = _peers(model, 5)
    none = [(None, None)] * 5
    data = bytearray(b"\x05\x1c\x00\x10\x00\x00\x00\x09\x00\x01\x00\x08\x00\x00\x80\x00")
    peer.session.feed(bytes(data))
    assert peer.got()[0].name == "OFPACFC_INVALID"
    data[8:10] = b"\x00\x63"
    peer.session.feed(bytes(data))
    assert peer.got()[0].name == "OFPACFC_UNSUPPORTED"
    peer.send(m.SetAsync((1, None), *none))
    # What a flow sends as a miss is one of them.
    assert peer.ask(m.AsyncRequest()).packet_in == (0b1000001, 0)
