"""Damaged messages at the sockets of `ovsct switch`: it must live, answer, and not grow.

    python -m tests.agent.socket_fuzz 1000000 [SEED]

Four connections, one a version, send damaged OpenFlow messages; now and then one loses its framing
on purpose, and must be closed; another sends damaged requests to the control socket. Behind every
few hundred messages comes an echo that must be answered, and so must one of a quiet connection.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from ovsct.openflow.wire.codec import decode, encode, split
from ovsct.openflow.wire.messages import (
    GROUP_TYPES,
    EchoReply,
    EchoRequest,
    FlowMod,
    GroupMod,
    Hello,
    MeterMod,
)
from ovsct.openflow.wire.numbers import GROUP_ALL, METER_ALL, VERSIONS
from tests.agent.programs import Modelled
from tests.openflow.wire.damage import corpus, damage

PATIENCE = 120.0
CHUNK = 250
MOST_GROWTH = 24 << 10
"""Kilobytes that it may grow by between the first fifth and the end."""


class Peer:
    """A connection that sends and receives at once, so that neither side waits for the other."""

    def __init__(self, path: Path, version: int) -> None:
        self._path = path
        self.version = version
        self.ended = 0
        self._begin()

    def _begin(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(self._path))
        self._socket.setblocking(False)
        self._stream = bytearray()
        self.exchange(encode(Hello(frozenset({self.version})), self.version, 1), None)

    def close(self) -> None:
        self._socket.close()

    def exchange(self, data: bytes, word: bytes | None) -> bool:
        """Send, and read until the echo `word` has come; false if the switch ended it."""
        view = memoryview(data)
        while view or word is not None:
            wanted = ([self._socket], [self._socket] if view else [], [])
            readable, writable, _ = select.select(*wanted, PATIENCE)
            if not readable and not writable:
                raise AssertionError(f"no answer in {PATIENCE} s (version {self.version})")
            try:
                if writable:
                    view = view[self._socket.send(view) :]
                if readable and self._read(word):
                    word = None
            except (ConnectionError, EOFError):
                self._socket.close()
                self._begin()
                self.ended += 1
                return False
        return True

    def _read(self, word: bytes | None) -> bool:
        data = self._socket.recv(1 << 18)
        if not data:
            raise EOFError
        self._stream += data
        for message in split(self._stream):
            if message[1] == 3:
                body = decode(message).body
                if isinstance(body, EchoReply) and body.data == word:
                    return True
        return False


def _clean(version: int) -> bytes:
    """Take away what the damaged messages have made."""
    nx = "nx" if version == 1 else ""
    bodies: list[object] = [
        FlowMod(command="delete", variant=nx),
        GroupMod(command="delete", type=GROUP_TYPES[0], group_id=GROUP_ALL),
    ]
    if version > 1:
        bodies.append(MeterMod(command="delete", flags=0, meter_id=METER_ALL))
    return b"".join(encode(body, version, 5) for body in bodies)


def _control(path: Path, random: Random, commands: Sequence[str]) -> None:
    """A damaged request to the control socket, and a good one on another connection."""
    words = [
        "br0", "", "p1", "in_port=1,tcp", "-generate", "--ct-next", "trk,new", "zone=5", "00" * 20,
        "\0", "a" * 5000, "-m", "--names", "\u00e9\ud800", "{", "9" * 50,
    ]  # fmt: skip
    request = json.dumps({
        "id": random.choice((1, None, "x", [], {"a": 1})),
        "method": random.choice(commands),
        "params": [random.choice(words) for _ in range(random.randrange(5))],
    }).encode()  # fmt: skip
    kind = random.randrange(6)
    if kind == 1:
        at = random.randrange(len(request))
        request = request[:at] + random.randbytes(3) + request[at:]
    elif kind == 2:
        request = request[: random.randrange(len(request))]
    elif kind == 3:
        request = b"[" * random.randrange(1, 3000)
    elif kind == 4:
        request = random.randbytes(random.randrange(1, 500))
    elif kind == 5:
        request = json.dumps(random.choice((1, "x", None, [request.decode()], {}))).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(1 << 16):
                pass
        except ConnectionError:
            return


def _resident(pid: int) -> int:
    """Kilobytes that a process has in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def run(n_messages: int, seed: int) -> str:
    """Send so many; what came of it. Raises AssertionError: it died, hung or grew."""
    random = Random(seed)
    every_message = corpus()
    by_version = {
        version: [data for data in every_message if data[0] == version] for version in VERSIONS
    }
    with tempfile.TemporaryDirectory(prefix="ovsct-") as folder:
        switch = Modelled(Path(folder))
        commands = [
            line.split()[0] for line in switch.appctl("list-commands").splitlines()[1:]
            if line.split()[0] not in ("exit", "time/warp")
        ] + ["nosuch"]  # fmt: skip
        peers = [Peer(switch.openflow, version) for version in VERSIONS]
        quiet = Peer(switch.openflow, 4)
        sent = lost = first = 0
        while sent < n_messages:
            peer = peers[sent // CHUNK % len(peers)]
            own = by_version[peer.version]
            messages = [damage(random, random.choice(own), own) for _ in range(CHUNK)]
            # An echo of our own making must not be taken for the answer.
            data = b"".join(each for each in messages if each[1] != 3)
            word = b"%d" % sent
            framing_goes = random.random() < 0.05
            if framing_goes:
                # No message is shorter than its header: where the next one begins is not known.
                data += bytes((peer.version, 5, 0, random.randrange(8))) + random.randbytes(40)
                lost += 1
            echo = encode(EchoRequest(word), peer.version, 9)
            alive = peer.exchange(data + _clean(peer.version) + echo, word)
            if not framing_goes:
                assert alive, "a connection was ended whose framing was whole"
            for _ in range(5):
                _control(switch.control, random, commands)
            assert quiet.exchange(encode(EchoRequest(word), 4, 3), word), "the quiet one was ended"
            sent += CHUNK + 5
            if not first and sent * 5 >= n_messages:
                first = _resident(switch.process.pid)
        last = _resident(switch.process.pid)
        for peer in (*peers, quiet):
            peer.close()
        errors = switch.errors()
        assert switch.stop() == 0
        assert "Traceback" not in errors, errors[-3000:]
        assert last - first <= MOST_GROWTH, f"it grew from {first} to {last} kB"
        return (
            f"{sent} damaged messages, {lost} streams that lost their framing, seed {seed}:"
            f" alive, {first} kB resident after a fifth of them, {last} kB at the end"
        )


if __name__ == "__main__":
    sys.stdout.write(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1) + "\n")
