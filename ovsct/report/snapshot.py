"""Snapshots in files: written so that a kill at any moment leaves the old file or the new one."""

from __future__ import annotations

import os
from pathlib import Path

from ovsct.errors import InputError


def write_whole(path: str, data: bytes) -> None:
    """Put `data` into the file at `path`, in place of what it held, all of it or nothing.

    The bytes go into a file beside it, which is on the disk before it takes the name.

    Raises:
        InputError: it cannot be written.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
        _sync_directory(target.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", file=path) from None


def _sync_directory(path: Path) -> None:
    """See to it that the new name is on the disk too."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_whole(path: str) -> bytes:
    """The bytes of the file at `path`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
