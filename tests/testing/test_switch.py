"""The switch of the plugin, with a controller that speaks through ovsct's own codec."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovsct.errors import InputError, OvsctError
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.codec import decode, encode, split
from ovsct.oracle.vswitchd import find_program
from ovsct.packet.build import udp
from ovsct.testing import OvsSwitch

pytest_plugins = ["ovsct.testing.plugin"]

UDP = "udp 10.0.0.1:1 > 10.0.0.2:2"


class Peer:
    """A controller of OpenFlow 1.3 that a switch has connected to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(20)
        self._stream = bytearray()
        self._messages: list[object] = []
        self.say(m.Hello(frozenset({4})))
        assert isinstance(self.hear(), m.Hello)

    def say(self, body: object) -> None:
        self._connection.sendall(encode(body, 4, 1))

    def hear(self) -> object:
        while not self._messages:
            self._stream += self._connection.recv(1 << 16)
            self._messages += [decode(data).body for data in split(self._stream)]
        return self._messages.pop(0)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


@pytest.fixture
def ovs_controller(listener: socket.socket) -> str:
    return f"tcp:127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def peer(listener: socket.socket, ovs_switch: OvsSwitch) -> Iterator[Peer]:
    connection, _ = listener.accept()
    with connection:
        yield Peer(connection)


def test_a_controller_programs_it_and_hears_of_packets(ovs_switch: OvsSwitch, peer: Peer) -> None:
    peer.say(m.FeaturesRequest())
    features = peer.hear()
    assert isinstance(features, m.Features)
    assert features.datapath_id == ovs_switch.datapath_id
    flow = parse_flow("in_port=1,idle_timeout=60,actions=CONTROLLER")
    peer.say(
        m.FlowMod(
            command="add", table=0, match=flow.match, actions=flow.actions, idle_timeout=60
        )
    )  # fmt: skip
    assert ovs_switch.wait_for_flow("in_port=1").endswith("actions=CONTROLLER:65535")
    ovs_switch.send(1, UDP)
    heard = peer.hear()
    assert isinstance(heard, m.PacketIn) and heard.data == udp("10.0.0.1", "10.0.0.2", 1, 2)
    out = parse_flow("actions=output:3").actions
    peer.say(m.PacketOut(in_port=1, actions=out, data=heard.data))
    assert ovs_switch.wait_for_frame(3) == heard.data
    assert ovs_switch.received(3) == []
    ovs_switch.advance(61)
    assert ovs_switch.dump_flows() == []


def test_waiting_in_vain_says_what_is_there(ovs_switch: OvsSwitch, peer: Peer) -> None:
    peer.say(m.FlowMod(command="add", table=0, priority=7))
    ovs_switch.wait_for_flow("priority=7")
    with pytest.raises(TimeoutError, match=r"nothing left by port 2(.|\n)*priority=7"):
        ovs_switch.wait_for_frame(2, timeout=0.01)
    with pytest.raises(TimeoutError, match=r"not within(.|\n)*priority=7"):
        ovs_switch.wait_for_flow("priority=8", timeout=0.01)


def test_switches_are_told_apart(make_ovs_switch: Callable[..., OvsSwitch]) -> None:
    one, other = make_ovs_switch(name="br1"), make_ovs_switch(name="br2", ports=2)
    assert one.datapath_id != other.datapath_id
    assert one.openflow != other.openflow
    with pytest.raises(InputError, match="port 3"):
        other.send(3, UDP)


@pytest.mark.real_ovs
def test_ovs_ofctl_reaches_it(make_ovs_switch: Callable[..., OvsSwitch]) -> None:
    switch = make_ovs_switch()
    for arguments in (("add-flow", "udp,actions=ct(commit),2"), ("mod-port", "p1", "up")):
        command, *rest = arguments
        subprocess.run(
            [find_program("ovs-ofctl"), command, switch.openflow, *rest], check=True,
            env={**os.environ, "LC_ALL": "C"}, timeout=60,
        )  # fmt: skip
    switch.send(1, UDP)
    assert switch.received(2) == [udp("10.0.0.1", "10.0.0.2", 1, 2)]
    (connection,) = switch.dump_conntrack()
    assert connection.startswith("udp,orig=(src=10.0.0.1,dst=10.0.0.2,")
    assert switch.dump_groups() == []


def test_one_that_does_not_run_says_so(tmp_path: Path) -> None:
    switch = OvsSwitch()
    for question in (switch.dump_flows, lambda: switch.openflow, lambda: switch.send(1, UDP)):
        with pytest.raises(OvsctError, match="not running: start it first"):
            question()
    with switch:
        with pytest.raises(OvsctError, match="running already"):
            switch.start()
        place = Path(switch.openflow.removeprefix("unix:"))
        assert place.is_socket() and place.stat().st_mode & 0o077 == 0
    switch.stop()
    assert not place.exists()
    with pytest.raises(InputError, match="a controller is reached, not listened for"):
        OvsSwitch("ptcp:6653")
    with pytest.raises(InputError, match="this lane cannot be a switch"):
        OvsSwitch(lane="tc")
