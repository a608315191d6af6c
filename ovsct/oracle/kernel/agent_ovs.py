"""The agent's part that knows Open vSwitch: its control socket, its OpenFlow socket, its threads.

Runs in the guest beside :mod:`ovsct.oracle.kernel.agent` and needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

_RUN = "/var/run/openvswitch"
_NAP = 0.0002
"""Seconds between two looks whether all threads sleep; nothing, if nobody else has work."""
_PATIENCE = 30.0
"""Seconds after which threads that do not come to rest are told of."""
_LISTEN = 0.005
"""Seconds to wait for what the switch has to say; virtual ones, over at once if it is idle."""


class Ovs:
    """A running ovs-vswitchd of the guest; once connected, `agent` waits for it to come to rest."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self._control: socket.socket | None = None
        self._management: socket.socket | None = None
        self._tasks = ""
        self._links = 0
        self._threads: list[int] = []
        self._number = 0

    def requests(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """What the host may ask, by name."""
        return {"ovs_connect": self.connect, "ctl": self.ctl, "relay": self.relay}

    def connect(self) -> dict[str, Any]:
        """Open the control socket, and find the program's threads."""
        with open(f"{_RUN}/ovs-vswitchd.pid") as file:
            pid = int(file.read())
        self._control = socket.socket(socket.AF_UNIX)
        self._control.connect(f"{_RUN}/ovs-vswitchd.{pid}.ctl")
        self._tasks = f"/proc/{pid}/task"
        self._find_threads()
        self._agent.quiet = self.quiet
        return {}

    def _find_threads(self) -> None:
        """Threads come and go when settings change, ports come or the program has just started."""
        for thread in self._threads:
            os.close(thread)
        self._links = os.stat(self._tasks).st_nlink
        self._threads = [
            os.open(f"{self._tasks}/{thread}/stat", os.O_RDONLY)
            for thread in os.listdir(self._tasks)
        ]

    def _all_sleep(self) -> bool:
        if os.stat(self._tasks).st_nlink != self._links:
            self._find_threads()
        try:
            return all(_sleeps(thread) for thread in self._threads)
        except ProcessLookupError:  # one ended and another began
            self._find_threads()
            return False

    def quiet(self) -> None:
        """Return when every thread of the program sleeps: then nothing it was given is undone.

        A packet that has to go up wakes its handler before the packet's sender goes on.
        """
        until = time.monotonic() + _PATIENCE
        while True:
            time.sleep(_NAP)
            if self._all_sleep():
                return
            if time.monotonic() > until:
                raise RuntimeError("ovs-vswitchd does not come to rest")

    def ctl(self, commands: list[list[str]]) -> dict[str, Any]:
        """Run commands of ovs-appctl(8), JSON-RPC on the control socket: [answer, error] each."""
        assert self._control is not None
        answers = []
        for name, *arguments in commands:
            self._number += 1
            request = {"id": self._number, "method": name, "params": arguments}
            self._control.sendall(json.dumps(request).encode())
            answer = _whole(self._control)
            answers.append([answer.get("result"), answer.get("error")])
        return {"answers": answers}

    def relay(self, bridge: str, data: str, fresh: bool, last: bool) -> dict[str, Any]:
        """Hand bytes of an OpenFlow connection to the bridge, and take what it has to say.

        Args:
            bridge: its name.
            data: what to send, in hex.
            fresh: whether this begins a new connection.
            last: whether it ends one.
        """
        if fresh or last:
            if self._management is not None:
                self._management.close()
                self._management = None
            if last:
                return {"data": "", "closed": True}
            self._management = socket.socket(socket.AF_UNIX)
            self._management.connect(f"{_RUN}/{bridge}.mgmt")
        assert self._management is not None
        try:
            self._management.sendall(bytes.fromhex(data))
        except OSError:
            return {"data": "", "closed": True}
        said, closed = b"", False
        while select.select([self._management], [], [], _LISTEN)[0]:
            part = self._management.recv(1 << 16)
            if not part:
                closed = True
                break
            said += part
        return {"data": said.hex(), "closed": closed}


def _sleeps(thread: int) -> bool:
    """Whether a thread waits for something to happen, by its ``stat`` of proc(5)."""
    said = os.pread(thread, 512, 0)
    return said[said.rindex(b")") + 2 :][:1] == b"S"


def _whole(control: socket.socket) -> dict[str, Any]:
    """One JSON object; nothing comes behind it until the program is asked again."""
    said = b""
    while True:
        part = control.recv(1 << 16)
        if not part:
            raise RuntimeError("ovs-vswitchd closed its control socket")
        said += part
        if said.endswith(b"}"):
            try:
                answer: dict[str, Any] = json.loads(said)
            except ValueError:
                continue  # a brace within a text: the rest is on its way
            return answer
