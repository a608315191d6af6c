"""Where kernels and initramfs images are kept between runs: the user's cache directory.

``$XDG_CACHE_HOME/ovsct``, or ``~/.cache/ovsct`` (XDG Base Directory Specification). Whatever is
there is named by a digest of what it was made from, and put there whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from ovsct.errors import OvsctError

SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
"""Where distributions put programs that an ordinary user's PATH does not name."""


class OracleMissing(OvsctError):
    """A program, package or kernel that is needed is not here."""


def cache_directory() -> Path:
    """The directory, made if it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = Path(base).expanduser() / "ovsct"
    path.mkdir(parents=True, exist_ok=True)
    return path


def find_program(name: str, package: str) -> Path:
    """The path of a program of this machine.

    Raises:
        OracleMissing: it is not here; names the Debian package that has it.
    """
    found = optional_program(name)
    if found is None:
        raise OracleMissing(f"{name} is not installed: install Debian's {package}")
    return found


def optional_program(name: str) -> Path | None:
    """The path of a program of this machine, or None."""
    found = shutil.which(name) or shutil.which(name, path=SBIN)
    return Path(found) if found is not None else None


def digest(parts: Iterable[bytes]) -> str:
    """A short name for `parts`, in their order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()[:16]


def cached_file(name: str, make: Callable[[Path], None]) -> Path:
    """The file `name` of the cache; if it is not there, `make(path)` writes it.

    It appears under its name only when it is whole, also if several processes make it at once.
    """
    path = cache_directory() / name
    if path.is_file():
        return path
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as making:
        fresh = Path(making) / "file"
        make(fresh)
        os.replace(fresh, path)
    return path


def cached_directory(name: str, make: Callable[[Path], None]) -> Path:
    """As :func:`cached_file`, for a directory that `make` fills."""
    path = cache_directory() / name
    if path.is_dir():
        return path
    making = Path(tempfile.mkdtemp(dir=path.parent, prefix=".making-"))
    try:
        make(making)
        try:
            os.rename(making, path)
        except OSError:
            if not path.is_dir():  # else another process was first, and made the same
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return path
