"""A guest: a process of this machine that runs a kernel, asked and answered line by line.

The clock of a guest is virtual: it runs on at once whenever the guest sleeps, and else about as
fast as that of the host. So that no time passes for it while nobody asks, the guest never sleeps
while it waits and is stopped (SIGSTOP) between an answer and the next request.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ovsct.errors import OvsctError

_TAIL: Final = 1500
"""Characters of a guest's console that an error shows."""
_LOOK: Final = 0.5
"""Seconds between two looks whether a guest that does not answer is still there."""

_WATCH: Final = "read nothing; kill -9 -{group}"
"""What a shell does that outlives this process: a stopped guest cannot see that its driver died."""


class GuestDied(OvsctError):
    """A guest ended, or said nothing for too long; the message holds the end of its console."""


class GuestError(OvsctError):
    """The agent in the guest stopped with an error of its own."""


@dataclass(slots=True)
class Holdings:
    """What must be given back, whatever happens. Holds no reference to its Guest."""

    directory: Path
    owner: int = field(default_factory=os.getpid)
    process: subprocess.Popen[bytes] | None = None
    line: socket.socket | None = None
    watch: subprocess.Popen[bytes] | None = None


def _give_back(holdings: Holdings, patience: float = 3.0) -> None:
    """Stop the guest and remove its directory. Safe to call twice."""
    if os.getpid() != holdings.owner:
        return  # a forked child: the guest is its parent's
    process, line, watch = holdings.process, holdings.line, holdings.watch
    if watch is not None:
        # First, for it knows the guest by a number that may soon be another's.
        watch.kill()
        watch.communicate()
    if process is not None and process.poll() is None:
        if line is not None:
            _ask_to_exit(process, line, patience)
        if process.poll() is None:
            process.kill()
            process.wait()
    if process is not None:
        _end_group(process.pid)
    if line is not None:
        line.close()
    holdings.process = holdings.line = holdings.watch = None
    shutil.rmtree(holdings.directory, ignore_errors=True)


def _ask_to_exit(process: subprocess.Popen[bytes], line: socket.socket, patience: float) -> None:
    try:
        process.send_signal(signal.SIGCONT)
        line.sendall(b"exit\n")
        process.wait(patience)
    except (OSError, subprocess.TimeoutExpired):
        return  # beyond talking to: a signal will do it


def _end_group(group: int) -> None:
    """Kill what is left of a user-mode kernel's own processes: they are in the group it began."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # none is left, or the number is another's by now


class Guest(ABC):
    """A running kernel with the agent in it. Close it, or use it in ``with``.

    Args:
        patience: seconds of real time that an answer may take.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.directory = Path(tempfile.mkdtemp(prefix="ovsct-kernel-"))
        self._holdings = Holdings(self.directory)
        self._finalizer = weakref.finalize(self, _give_back, self._holdings)
        self._buffer = b""
        self._asking = threading.Lock()
        self.release = ""
        """What ``uname -r`` says in it."""
        self.boot_seconds = 0.0
        """Real time from the start until it was ready."""

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Switch it off and remove what it left behind. Safe to call twice."""
        self._finalizer()

    @property
    def pid(self) -> int:
        """The process that is the guest.

        Raises:
            GuestDied: it is closed.
        """
        if self._holdings.process is None:
            raise GuestDied("the guest is closed")
        return self._holdings.process.pid

    def is_running(self) -> bool:
        """Whether the process is there."""
        process = self._holdings.process
        return process is not None and process.poll() is None

    @property
    def console(self) -> Path:
        """The file that the guest's console is written to."""
        return self.directory / "console"

    # -- for the kinds of guests ----------------------------------------------------------------

    @abstractmethod
    def _send(self, text: str) -> None:
        """Hand over a request (JSON)."""

    @abstractmethod
    def _receive(self) -> str:
        """Wait for the answer (JSON)."""

    def _start(
        self, argv: Sequence[str], line: socket.socket | None, stdio: socket.socket | None,
        environment: dict[str, str],
    ) -> None:  # fmt: skip
        """Start the process, on one CPU: it and its parts wait for each other all the time."""
        cpus = sorted(os.sched_getaffinity(0))
        cpu = cpus[os.getpid() % len(cpus)]
        ends: Any = stdio if stdio is not None else subprocess.DEVNULL
        with open(self.console, "wb") as console:
            self._holdings.line = line
            process = self._holdings.process = subprocess.Popen(
                argv, stdin=ends, stdout=ends if stdio is not None else console, stderr=console,
                env=environment, start_new_session=True,
            )  # fmt: skip
        os.sched_setaffinity(process.pid, {cpu})
        self._holdings.watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH.format(group=process.pid)], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def _wait_until_ready(self, begun: float) -> None:
        while not (said := self._read_line()).startswith("ready "):
            pass
        self.release = said.split()[1]
        self.boot_seconds = time.monotonic() - begun
        os.kill(self.pid, signal.SIGSTOP)

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have the agent carry out a request and return its answer; one thread's at a time.

        Raises:
            GuestDied: the guest ended or does not answer.
            GuestError: the agent failed.
        """
        import json

        with self._asking:
            pid = self.pid
            os.kill(pid, signal.SIGCONT)
            self._send(json.dumps({"do": do, **arguments}))
            answer: dict[str, Any] = json.loads(self._receive())
            os.kill(pid, signal.SIGSTOP)
        if "exception" in answer:
            raise GuestError(f"the agent in the guest failed: {answer['exception']}")
        return answer

    def _write_line(self, line: str) -> None:
        assert self._holdings.line is not None
        try:
            self._holdings.line.sendall(line.encode() + b"\n")
        except OSError as error:
            raise self._died(str(error)) from error

    def _read_line(self) -> str:
        line = self._holdings.line
        assert line is not None
        until = time.monotonic() + self._patience
        while b"\n" not in self._buffer:
            if not select.select([line], [], [], _LOOK)[0]:
                # Parts of it may outlive it, and keep the line open.
                if not self.is_running():
                    raise self._died("it ended")
                if time.monotonic() > until:
                    raise self._died(f"no answer for {self._patience:.0f} seconds")
                continue
            try:
                data = line.recv(1 << 16)
            except OSError as error:
                raise self._died(str(error)) from error
            if not data:
                raise self._died("it ended")
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\n")
        return text.decode(errors="replace").strip()

    def _died(self, why: str) -> GuestDied:
        try:
            said = self.console.read_text(errors="replace")
            # What a panic dumps of registers and stack pushes its reason out of sight.
            tail = said.partition("Kernel panic")[0].rstrip()[-_TAIL:].strip()
        except OSError:
            tail = ""
        self.close()
        return GuestDied(f"the guest kernel: {why}; its console: {tail or 'empty'}")
