"""Flow monitors of one connection: what packets and time do, and a controller that is slow."""

from __future__ import annotations

import pytest

from ovsct.agent.model import ModelBridge
from ovsct.bridge.bridge import Bridge
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.codec import encode
from tests.agent.test_session import TCP, Peer

ALL = frozenset({"initial", "add", "delete", "modify", "actions", "own"})


@pytest.fixture
def model() -> ModelBridge:
    return ModelBridge(OvsUserspace(Bridge([1, 2, 3])))


def _watching(model: ModelBridge, version: int, flags: frozenset[str] = ALL) -> Peer:
    peer = Peer(model, version, service=False)
    peer.session.peers = lambda: (peer.session,)
    model.tell = peer.session.told
    peer.ask(s.FlowMonitorRequest((s.FlowMonitor(monitor_id=1, flags=flags),)))
    return peer


def _events(peer: Peer) -> list[tuple[str, str, int]]:
    peer.session.tell_changes()
    return [
        (update.event, update.reason, update.table)
        for body in peer.got() if isinstance(body, s.FlowUpdates) for update in body.entries
    ]  # fmt: skip


def test_what_packets_learn_and_what_time_ends_is_told(model: ModelBridge) -> None:
    peer = _watching(model, 4)
    spec = "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]"
    peer.add(f"table=0,in_port=1,actions=learn(table=3,hard_timeout=10,{spec})")
    assert _events(peer) == [("added", "", 0)]
    model.receive(1, TCP)
    assert _events(peer) == [("added", "", 3)]
    model.receive(1, TCP)
    model.advance(5.0)
    assert _events(peer) == []
    model.advance(50.0)
    assert _events(peer) == [("removed", "hard", 3)]


def test_nobody_watches_any_more(model: ModelBridge) -> None:
    peer = _watching(model, 4)
    assert model.watched
    peer.send(m.MonitorCancel(1))
    assert not model.watched
    assert peer.ask(m.MonitorCancel(1)).name == "OFPMOFC_UNKNOWN_MONITOR"
    other = _watching(model, 6)
    other.session.end()
    assert not model.watched


def test_a_monitor_that_is_there_already(model: ModelBridge) -> None:
    peer = _watching(model, 4)
    again = s.FlowMonitorRequest((s.FlowMonitor(monitor_id=1, flags=ALL),))
    assert peer.ask(again).name == "OFPMOFC_MONITOR_EXISTS"
    # Of a request that cannot be obeyed nothing stays.
    two = (s.FlowMonitor(monitor_id=2, flags=ALL), s.FlowMonitor(monitor_id=1, flags=ALL))
    assert peer.ask(s.FlowMonitorRequest(two)).name == "OFPMOFC_MONITOR_EXISTS"
    assert peer.ask(m.MonitorCancel(2)).name == "OFPMOFC_UNKNOWN_MONITOR"


def test_from_1_4_on_a_monitor_is_changed_and_ended_by_another_request(model: ModelBridge) -> None:
    peer = _watching(model, 6)
    monitor = s.FlowMonitor(monitor_id=1, flags=ALL, command="modify", table=3)
    assert peer.ask(s.FlowMonitorRequest((monitor,))) == s.FlowUpdates(())
    peer.add("table=0,in_port=1,actions=2")
    peer.add("table=3,in_port=1,actions=2")
    assert _events(peer) == [("added", "", 3)]
    peer.ask(s.FlowMonitorRequest((s.FlowMonitor(monitor_id=1, command="delete"),)))
    assert not model.watched
    assert peer.ask(
        s.FlowMonitorRequest((s.FlowMonitor(monitor_id=1, command="delete"),))
    ).name == "OFPMOFC_UNKNOWN_MONITOR"


@pytest.mark.parametrize("version", [1, 4, 6])
def test_a_slow_controller_is_told_later(model: ModelBridge, version: int) -> None:
    waiting = 0
    peer = _watching(model, version)
    peer.session.waiting = lambda: waiting
    peer.add("table=0,in_port=1,actions=2")
    peer.add("table=0,in_port=2,actions=2")
    assert _events(peer) == [("added", "", 0)] * 2
    waiting = 200_000
    peer.add("table=1,in_port=1,actions=2")
    (update, pause) = peer.got()
    assert update.entries[0].event == "added"
    if version == 6:
        assert [each.event for each in pause.entries] == ["paused"]
    else:
        assert pause == m.MonitorPaused()
    nx = "nx" if version == 1 else ""
    peer.add("table=2,in_port=1,actions=2")  # comes and goes: nobody ever hears of it
    peer.send(m.FlowMod(command="delete", table=2, variant=nx))
    peer.add("table=3,in_port=1,actions=2")  # comes and changes: it has come
    peer.add("table=3,in_port=1,actions=3")
    assert _events(peer) == []
    peer.send(m.FlowMod(command="delete", table=1, variant=nx))  # who was known goes: told at once
    assert _events(peer) == [("removed", "delete", 1)]
    waiting = 0
    peer.session.tell_changes()
    (missed, resumed) = peer.got()
    assert [(each.event, each.table, len(each.actions)) for each in missed.entries] == [
        ("added", 3, 1)
    ]
    if version == 6:
        assert [each.event for each in resumed.entries] == ["resumed"]
    else:
        assert resumed == m.MonitorResumed()
    peer.add("table=4,in_port=1,actions=2")
    assert _events(peer) == [("added", "", 4)]


def test_a_bundle_that_fails_is_not_told(model: ModelBridge) -> None:
    peer = _watching(model, 6)
    good = m.FlowMod(table=0, actions=())
    bad = m.FlowMod(table=254)
    for body in (good, bad):
        peer.send(m.BundleAdd(5, m.ATOMIC, encode(body, 6, 7)))
    peer.send(m.BundleControl(5, "commit", m.ATOMIC))
    said = peer.got()
    assert [type(each) for each in said] == [m.Error, m.Error]
    assert _events(peer) == []
