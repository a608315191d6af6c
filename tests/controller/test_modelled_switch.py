"""Each application against ``ovsct switch`` alone, under os-ken.

Under Ryu: ``test_both_switches.py``.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.__main__ import APPS
from ovsct.packet.build import udp
from tests.agent.programs import Modelled
from tests.controller.rig import LIBRARIES, PATIENCE, ROOT, Controller, Library, meaning

pytestmark = pytest.mark.real_ovs  # for ovs-ofctl

THERE = udp("10.0.0.1", "10.0.0.2", 1000, 53)
TURNED = {"eth_src": "02:00:00:00:00:02", "eth_dst": "02:00:00:00:00:01"}
BACK = udp("10.0.0.2", "10.0.0.1", 53, 1000, **TURNED)


@pytest.fixture
def library() -> Library:
    library = LIBRARIES[0]
    if library.missing:
        pytest.skip(library.missing)
    return library


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for the names of unix sockets."""
    with tempfile.TemporaryDirectory(prefix="ovsct-") as folder:
        yield Path(folder)


def _switch(controller: Controller, folder: Path) -> Modelled:
    """A modelled switch that holds the policy."""
    switch = Modelled(folder, "--listen", f"tcp:127.0.0.1:{controller.openflow}")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        switches = controller.do("GET", "/v1/switches")["switches"]
        if switches and (switches[0]["ready"] or switches[0]["refused"]):
            assert switches[0]["refused"] == []
            return switch
        time.sleep(0.02)
    switch.stop()
    raise AssertionError(f"no switch: {switch.errors()}")


@pytest.mark.parametrize("app", sorted(APPS))
def test_the_switch_takes_the_policy(
    library: Library, app: str, tmp_path: Path, short: Path
) -> None:
    policy = (ROOT / "controller" / "examples" / f"{app}.yaml").read_text(encoding="utf-8")
    with Controller(library, app, tmp_path, policy) as controller:
        switch = _switch(controller, short)
        try:
            dumped = switch.ofctl("-O", "OpenFlow13", "--no-stats", "dump-flows").splitlines()
            shown = controller.do("GET", "/v1/flows")["flows"]
            assert len(shown) > 20
            assert meaning([line for line in dumped if "actions=" in line]) == meaning(shown)
        finally:
            assert switch.stop() == 0


def test_forwards_what_rules_allow(library: Library, tmp_path: Path, short: Path) -> None:
    with Controller(library, "stateful_firewall", tmp_path) as controller:
        switch = _switch(controller, short)
        try:
            first, second = switch.port(1), switch.port(2)
            with first, second:
                _send(first, THERE)
                _send(second, BACK)
                _wait_for_packets(switch, 2)
                controller.do("POST", "/v1/policy/rules", {"name": "dns", "protocol": "udp"})
                _send(first, THERE)
                assert _receive(second) == THERE  # and not the one before the rule, as well
                _send(second, BACK)
                assert _receive(first) == BACK
                for connection in (first, second):
                    connection.settimeout(0.1)
                    with pytest.raises(TimeoutError):
                        connection.recv(1)
        finally:
            assert switch.stop() == 0


def _wait_for_packets(switch: Modelled, count: int) -> None:
    """Until the first table has had so many."""
    deadline = time.monotonic() + PATIENCE
    while f"packet_count={count} " not in switch.ofctl(
        "-O", "OpenFlow13", "dump-aggregate", "table=0"
    ):
        assert time.monotonic() < deadline, "the packets did not arrive"
        time.sleep(0.02)


def _send(connection: socket.socket, frame: bytes) -> None:
    connection.sendall(len(frame).to_bytes(2, "big") + frame)


def _receive(connection: socket.socket) -> bytes:
    length = int.from_bytes(_exactly(connection, 2), "big")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        assert chunk, "the switch closed the port"
        data += chunk
    return data
