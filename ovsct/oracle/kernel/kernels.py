"""Which kernels can be had here.

User-mode ones that ``OVSCT_UML`` names or that the cache holds, else a stock one in QEMU.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ovsct.errors import InputError
from ovsct.oracle.kernel.cache import OracleMissing, cache_directory, optional_program

UML_VARIABLE: Final = "OVSCT_UML"
QEMU: Final = "qemu-system-x86_64"


class Kind(StrEnum):
    """How a kernel runs."""

    UML = "uml"
    QEMU = "qemu"
    NETNS = "netns"
    """The host's own, in a network namespace: only when asked for."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be started.

    `version` is what it says of itself (``6.1.176``), or, for one that QEMU is to run and that is
    not downloaded yet, the series (``6.1``); `path` is the program (UML) or None.
    """

    kind: Kind
    version: str
    path: Path | None = None

    @property
    def series(self) -> str:
        """The two numbers that models know it by: ``6.1``."""
        return ".".join(self.version.split(".")[:2])

    def __str__(self) -> str:
        return f"{self.kind}:{self.version}"


STOCK_SERIES: Final = ("6.1", "6.12")
"""What Debian 12 has as ``linux-image-cloud-amd64`` and ``linux-image-6.12-cloud-amd64``."""


def uml_kernels() -> list[Kernel]:
    """The user-mode kernels that ``OVSCT_UML`` names and that the cache holds, in that order.

    Raises:
        InputError: the variable names something that is no user-mode kernel.
    """
    named = [Path(name) for name in os.environ.get(UML_VARIABLE, "").split(":") if name]
    for path in named:
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise InputError(f"{UML_VARIABLE} names what is no program", token=str(path))
    built = sorted(cache_directory().glob("linux-uml-*"))
    return [Kernel(Kind.UML, _version(path), path) for path in (*named, *built)]


def _version(path: Path) -> str:
    """What a user-mode kernel says to ``--version``; it ends at once."""
    said = subprocess.run(
        [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=20,
    ).stdout.strip()  # fmt: skip
    if not said or not said[0].isdigit():
        raise InputError("not a user-mode Linux kernel", token=str(path))
    return said.split()[0]


def kernels() -> list[Kernel]:
    """Everything that can be had, best first: user-mode kernels, then QEMU with stock ones."""
    found = uml_kernels()
    if optional_program(QEMU) is not None:
        found += [Kernel(Kind.QEMU, series) for series in STOCK_SERIES]
    return found


def choose(wanted: str | None = None) -> Kernel:
    """The kernel to run.

    Args:
        wanted: a series or version (``6.1``), with ``uml:`` or ``qemu:`` before it if that matters;
            the path of a user-mode kernel; ``netns`` for the host's own; or None for the first
            that is there.

    Raises:
        InputError: none of those that are here is meant.
        OracleMissing: there is none at all.
    """
    if wanted is not None and "/" in wanted:
        path = Path(wanted)
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise InputError("no such kernel", token=wanted)
        return Kernel(Kind.UML, _version(path), path)
    if wanted == Kind.NETNS:
        return Kernel(Kind.NETNS, os.uname().release)
    found = kernels()
    if not found:
        raise OracleMissing(
            "there is no kernel to run: name a user-mode kernel in OVSCT_UML, build one with"
            " `ovsct oracle build --uml 6.1`, or install Debian's qemu-system-x86"
        )
    for kernel in found:
        if wanted is None or _is_meant(kernel, wanted):
            return kernel
    raise InputError(
        "no such kernel here", token=wanted, expected=", ".join(map(str, found)),
        hint="`ovsct oracle build --uml VERSION` builds one",
    )  # fmt: skip


def _is_meant(kernel: Kernel, wanted: str) -> bool:
    kind, colon, version = wanted.rpartition(":")
    if colon and kind != kernel.kind:
        return False
    return version in (kernel.version, kernel.series) or kernel.version.startswith(f"{version}.")
