"""QEMU as a guest: a stock kernel, emulated in software, ready within some fifteen seconds.

``-icount`` ties the guest's clock to its instructions and lets it run on at once when the guest
sleeps (QEMU: docs/devel/tcg-icount.rst), so that its time is virtual too.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Final

from ovsct.oracle.kernel.cache import find_program
from ovsct.oracle.kernel.guest import Guest
from ovsct.oracle.kernel.kernels import QEMU

_COMMAND_LINE: Final = (
    "console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0 apparmor=0 random.trust_cpu=on"
)
_ARGUMENTS: Final = (
    "-accel", "tcg", "-cpu", "qemu64", "-nographic", "-nodefaults", "-no-reboot",
    "-icount", "shift=1,sleep=off", "-rtc", "clock=vm", "-device", "virtio-serial-pci",
)  # fmt: skip


class Qemu(Guest):
    """A kernel in QEMU with the agent in it.

    Args:
        kernel: its image (vmlinuz).
        image: the initramfs, with the modules that it needs.
        memory: of the guest, in MB.
        patience: seconds of real time that an answer may take.

    Raises:
        GuestDied: it did not come up.
        OracleMissing: QEMU is not installed.
    """

    def __init__(
        self, kernel: Path, image: Path, *, memory: int = 512, patience: float = 120.0
    ) -> None:
        super().__init__(patience)
        begun = time.monotonic()
        with socket.socket(socket.AF_UNIX) as listener:
            path = self.directory / "line"
            listener.bind(str(path))
            listener.listen(1)
            self._start(
                [str(find_program(QEMU, "qemu-system-x86")), *_ARGUMENTS, "-m", f"{memory}M",
                 "-kernel", str(kernel), "-initrd", str(image), "-append", _COMMAND_LINE,
                 "-serial", f"file:{self.console}", "-chardev", f"socket,id=line,path={path}",
                 "-device", "virtserialport,chardev=line"],
                None, None, dict(os.environ),
            )  # fmt: skip
            self._accept(listener)
        self._wait_until_ready(begun)

    def _accept(self, listener: socket.socket) -> None:
        """QEMU connects as soon as it is up, before the guest is."""
        listener.settimeout(0.2)
        until = time.monotonic() + self._patience
        while time.monotonic() < until and self.is_running():
            try:
                self._holdings.line, _ = listener.accept()
                return
            except TimeoutError:
                continue
        raise self._died("QEMU did not start")

    def _send(self, text: str) -> None:
        self._write_line(text)

    def _receive(self) -> str:
        return self._read_line()
