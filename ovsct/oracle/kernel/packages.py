"""Debian packages, downloaded and opened without root: ``apt-get download`` and ``dpkg-deb``."""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ovsct.oracle.kernel.cache import OracleMissing, find_program

_DEPENDS: Final = re.compile(r"^\s*Depends: (\S+)", re.MULTILINE)


def dependency_of(package: str) -> str:
    """The package that the meta package `package` stands for.

    Raises:
        OracleMissing: apt does not know it.
    """
    said = _run("apt-cache", "depends", package)
    found = _DEPENDS.search(said)
    if found is None:
        raise OracleMissing(f"apt knows no package {package}: run apt-get update as root")
    return found[1]


@contextmanager
def downloaded(package: str) -> Iterator[Path]:
    """The .deb of `package`, in a directory that goes away.

    Raises:
        OracleMissing: apt cannot download it, in its own words.
    """
    with TemporaryDirectory(prefix="ovsct-deb-") as directory:
        _run("apt-get", "-q", "download", package, directory=directory)
        found = list(Path(directory).glob("*.deb"))
        if len(found) != 1:
            raise OracleMissing(f"apt-get download {package} left {len(found)} packages")
        yield found[0]


@contextmanager
def opened(package: Path) -> Iterator[tarfile.TarFile]:
    """The files of a .deb, in their order, to be read as they come."""
    dpkg = find_program("dpkg-deb", "dpkg")
    with subprocess.Popen([dpkg, "--fsys-tarfile", package], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            yield archive
        process.stdout.read()  # what is left unread would break the pipe
    if process.returncode:
        raise OracleMissing(f"dpkg-deb cannot read {package.name}")


def _run(name: str, *arguments: str, directory: str | None = None) -> str:
    program = find_program(name, "apt")
    done = subprocess.run(
        [program, *arguments], cwd=directory, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        raise OracleMissing(f"{name} {' '.join(arguments)}: {said or done.returncode}")
    return done.stdout
