"""Where the switch is reached, and how it reaches controllers."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from ovsct.agent.sockets import Place, place
from ovsct.errors import InputError
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire.codec import decode, encode, split
from ovsct.openflow.wire.messages import (
    EchoReply,
    EchoRequest,
    Features,
    FeaturesRequest,
    FlowMod,
    Hello,
)
from tests.agent.programs import Modelled


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("punix:/tmp/x", Place(True, Path("/tmp/x"))),
        ("unix:y", Place(False, Path("y"))),
        ("ptcp:", Place(True, None, "127.0.0.1", 6653)),
        ("ptcp:6640", Place(True, None, "127.0.0.1", 6640)),
        ("ptcp:6640:0.0.0.0", Place(True, None, "0.0.0.0", 6640)),
        ("ptcp:6640:[::1]", Place(True, None, "::1", 6640)),
        ("tcp:10.0.0.1", Place(False, None, "10.0.0.1", 6653)),
        ("tcp:[::1]:7", Place(False, None, "::1", 7)),
    ],
)
def test_places(text: str, wanted: Place) -> None:
    assert place(text) == wanted


@pytest.mark.parametrize("text", ["", "unix:", "tcp:", "ptcp:x", "ssl:a", "tcp:a:70000", "br0",
                                  "punix:" + "x" * 200])  # fmt: skip
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(InputError):
        place(text)


def _greet(connection: socket.socket) -> bytearray:
    connection.settimeout(60)
    connection.sendall(encode(Hello(frozenset({4})), 4, 1))
    stream = bytearray(connection.recv(4096))
    (hello,) = split(stream)
    assert decode(hello).body == Hello(frozenset({1, 4, 5, 6}))
    return stream


def _ask(connection: socket.socket, stream: bytearray, body: object) -> object:
    connection.sendall(encode(body, 4, 9))
    while not (messages := split(stream)):
        stream += connection.recv(4096)
    return decode(messages[0]).body


def test_two_controllers_are_reached_and_reached_again() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="ovsct-") as folder,
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        listeners = (first, second)
        for listener in listeners:
            listener.settimeout(60)
        options = [
            word for listener in listeners
            for word in ("--listen", f"tcp:127.0.0.1:{listener.getsockname()[1]}")
        ]  # fmt: skip
        switch = Modelled(Path(folder), *options)
        try:
            connections = [listener.accept()[0] for listener in listeners]
            for connection in connections:
                stream = _greet(connection)
                assert isinstance(_ask(connection, stream, FeaturesRequest()), Features)
            connections[0].close()
            again = first.accept()[0]
            for connection in (again, connections[1]):
                stream = _greet(connection) if connection is again else bytearray()
                assert _ask(connection, stream, EchoRequest(b"x")) == EchoReply(b"x")
                connection.close()
        finally:
            assert switch.stop() == 0
        assert switch.errors() == ""


def test_a_place_that_is_taken_is_an_error() -> None:
    with tempfile.TemporaryDirectory(prefix="ovsct-") as folder:
        switch = Modelled(Path(folder))
        done = subprocess.run(
            [sys.executable, "-c", "from ovsct.cli.main import main; main()", "switch",
             "--listen", f"punix:{switch.openflow}"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "somebody listens there already" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert switch.stop() == 0
        # What it left behind, if it had been killed, is no hindrance.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
            stale.bind(str(switch.openflow))
        assert Modelled(Path(folder)).stop() == 0


def _flood(connection: socket.socket, messages: bytes, enough: threading.Event) -> None:
    """Send whole messages without end: as fast as the switch takes them, until it is enough."""
    while not enough.is_set():
        connection.sendall(messages)


def test_a_flood_of_flow_mods_does_not_stop_echoes() -> None:
    with tempfile.TemporaryDirectory(prefix="ovsct-") as folder:
        switch = Modelled(Path(folder))
        try:
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as flood,
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other,
            ):
                for connection in (flood, other):
                    connection.connect(str(switch.openflow))
                streams = [_greet(connection) for connection in (flood, other)]
                match = parse_flow("tcp,tp_dst=80,actions=drop").match
                flow_mods = encode(FlowMod(table=0, match=match), 4, 7) * 200
                enough = threading.Event()
                # The sender must outlast any wait for an answer, so it has no deadline of its own.
                flood.settimeout(None)
                sender = threading.Thread(target=_flood, args=(flood, flow_mods, enough))
                sender.start()
                try:
                    for n in range(40):
                        said = str(n).encode()
                        assert _ask(other, streams[1], EchoRequest(said)) == EchoReply(said)
                        assert sender.is_alive(), "the flood ended by itself"
                finally:
                    enough.set()
                    sender.join()
        finally:
            assert switch.stop() == 0
