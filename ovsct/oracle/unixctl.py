"""The control socket of an OVS daemon, kept open: what ovs-appctl does, without a process each.

The socket speaks JSON-RPC 1.0 over a stream of JSON texts with nothing between them
(OVS: lib/unixctl.c, lib/jsonrpc.c; ovs-appctl(8)).
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import TracebackType

from ovsct.errors import OvsctError


class UnixctlError(OvsctError):
    """The daemon answered a command with an error; the text is the daemon's own."""


class UnixctlClosed(OvsctError):
    """The daemon went away, or did not answer in time."""


class Unixctl:
    """One open connection to a daemon's control socket.

    Args:
        path: the socket.
        timeout: how long an answer may take, in seconds.

    Raises:
        UnixctlClosed: nobody listens there.
    """

    __slots__ = ("_next_id", "_path", "_socket", "_timeout")

    def __init__(self, path: Path, timeout: float = 60.0) -> None:
        self._path = path
        self._timeout = timeout
        self._next_id = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise UnixctlClosed(f"{path.name}: {error.strerror or error}") from error

    def __call__(self, command: str, *arguments: str) -> str:
        """Run `command` and return what it prints.

        Raises:
            UnixctlError: the daemon refused it.
            UnixctlClosed: the daemon is gone or does not answer.
        """
        self.send(command, *arguments)
        return self.receive(command)

    def send(self, command: str, *arguments: str) -> None:
        """Give a command without waiting for its answer, which :meth:`receive` takes.

        Raises:
            UnixctlClosed: the daemon is gone.
        """
        self._next_id += 1
        request = {"id": self._next_id, "method": command, "params": arguments}
        try:
            self._socket.sendall(json.dumps(request).encode())
        except OSError as error:
            raise self._closed(command, error) from error

    def receive(self, command: str) -> str:
        """What the command that was sent last prints.

        Raises:
            UnixctlError: the daemon refused it.
            UnixctlClosed: the daemon is gone or does not answer.
        """
        try:
            answer = self._answer(command)
        except OSError as error:
            raise self._closed(command, error) from error
        if answer.get("id") != self._next_id:
            raise UnixctlClosed(f"{self._path.name}: {command}: answer to another request")
        if answer.get("error") is not None:
            raise UnixctlError(f"{command}: {str(answer['error']).strip()}")
        return str(answer.get("result") or "")

    def _closed(self, command: str, error: OSError) -> UnixctlClosed:
        reason = (
            f"no answer within {self._timeout:g} s"
            if isinstance(error, TimeoutError)
            else error.strerror or str(error)
        )
        return UnixctlClosed(f"{self._path.name}: {command}: {reason}")

    def _answer(self, command: str) -> dict[str, object]:
        """Read one JSON object; a daemon sends nothing after it until it is asked again."""
        received = bytearray()
        while True:
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                raise UnixctlClosed(f"{self._path.name}: {command}: the daemon closed the socket")
            received += chunk
            if received.endswith(b"}"):
                try:
                    answer = json.loads(received)
                except ValueError:
                    continue  # a brace inside the text of the answer: the rest is on its way
                if isinstance(answer, dict):
                    return answer

    def close(self) -> None:
        """Close the connection; the daemon runs on."""
        self._socket.close()

    def __enter__(self) -> Unixctl:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Rounds:
    """Several connections to one daemon, by which the rounds of its main loop can be counted.

    In each round the daemon serves its connections once, in the order in which it took them, and
    each with up to ten commands (OVS: lib/unixctl.c, unixctl_server_run and run_connection). So a
    second answer on one connection proves nothing; but an answer on a connection that was taken
    *earlier* than the one that answered last must be of a later round. Commands therefore go down
    the connections like down a ladder, a round a rung.

    Args:
        path: the socket.
        rungs: number of connections; more of them save commands, for every climb back costs one.

    Raises:
        UnixctlClosed: nobody listens there.
    """

    __slots__ = ("_connections", "_rung")

    def __init__(self, path: Path, rungs: int = 10) -> None:
        self._connections: list[Unixctl] = []
        self._rung = 0
        try:
            for _ in range(rungs):
                connection = Unixctl(path)
                self._connections.append(connection)
                connection("version")  # answered: it has been taken, before the next one is
        except BaseException:
            self.close()
            raise

    def start(self, command: str = "version", *arguments: str) -> str:
        """Run `command`; :meth:`pass_rounds` counts from the round that answers it."""
        self._rung = len(self._connections) - 1
        return self._connections[self._rung](command, *arguments)

    def pass_rounds(self, number: int) -> None:
        """Return in a round that is at least `number` rounds after the last one counted."""
        for _ in range(number):
            if self._rung == 0:
                self.start()
            self._rung -= 1
            self._connections[self._rung]("version")

    def close(self) -> None:
        """Close all connections; the daemon runs on."""
        for connection in self._connections:
            connection.close()
