"""User-mode Linux as a guest: a kernel that is an ordinary program, ready within a second.

Data goes through files of the guest's directory (hostfs); over the terminal go only their
numbers, for a terminal there swallows long lines. ``time-travel`` makes its clock virtual (Linux:
arch/um/kernel/time.c).
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Final

from ovsct.oracle.kernel import xstate
from ovsct.oracle.kernel.guest import Guest

_SHARED_MEMORY: Final = "/dev/shm"


class Uml(Guest):
    """A user-mode kernel with the agent in it.

    Args:
        kernel: the program.
        image: the initramfs.
        memory: of the guest, in MB.
        patience: seconds of real time that an answer may take.

    Raises:
        GuestDied: it did not come up.
        OracleMissing: the CPU needs a library that cannot be made.
    """

    def __init__(
        self, kernel: Path, image: Path, *, memory: int = 384, patience: float = 60.0
    ) -> None:
        super().__init__(patience)
        self.kernel = kernel
        self._number = 0
        environment = dict(os.environ, HOME=str(self.directory))
        if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
            environment["TMPDIR"] = _SHARED_MEMORY  # where the guest's memory lies
        if xstate.is_needed():
            environment["LD_PRELOAD"] = str(xstate.library())
        begun = time.monotonic()
        here, there = socket.socketpair()
        self._start(
            [str(kernel), f"mem={memory}M", f"initrd={image}", "con=null", "con0=null,fd:2",
             "con1=fd:0,fd:1", "quiet", "panic=-1", "nohz=off", f"uml_dir={self.directory}/",
             f"agentdir={self.directory}", "time-travel"],
            here, there, environment,
        )  # fmt: skip
        there.close()
        self._wait_until_ready(begun)

    def _send(self, text: str) -> None:
        self._number += 1
        (self.directory / f"in.{self._number}").write_text(text)
        self._write_line(str(self._number))

    def _receive(self) -> str:
        while self._read_line() != str(self._number):
            pass  # what the terminal echoed before it was made raw
        answer = self.directory / f"out.{self._number}"
        text = answer.read_text()
        answer.unlink()
        (self.directory / f"in.{self._number}").unlink()
        return text
