"""An initramfs archive: cpio in the format ``newc``, written without the program and without root.

The format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from pathlib import PurePosixPath


class Archive:
    """Files, directories and links, in the order in which they are put in. All belong to root."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._there: set[str] = set()

    def __contains__(self, path: str) -> bool:
        return _name(path) in self._there

    def directory(self, path: str) -> None:
        """A directory, and those above it; nothing if it is there."""
        for each in (*reversed(PurePosixPath(_name(path)).parents), PurePosixPath(_name(path))):
            name = str(each)
            if name != "." and name not in self._there:
                self._put(name, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """A file with its directories; it must not be there yet."""
        self.directory(str(PurePosixPath(path).parent))
        self._put(_name(path), stat.S_IFREG | mode, data)

    def link(self, path: str, target: str) -> None:
        """A symbolic link to `target`."""
        self.directory(str(PurePosixPath(path).parent))
        self._put(_name(path), stat.S_IFLNK | 0o777, target.encode())

    def device(self, path: str, major: int, minor: int) -> None:
        """A character device."""
        self.directory(str(PurePosixPath(path).parent))
        self._put(_name(path), stat.S_IFCHR | 0o600, b"", (major, minor))

    def close(self) -> bytes:
        """The whole archive."""
        return b"".join((*self._parts, _record("TRAILER!!!", 0, 0, b"", (0, 0))))

    def _put(self, name: str, mode: int, data: bytes, rdev: tuple[int, int] = (0, 0)) -> None:
        assert name not in self._there, name
        self._there.add(name)
        self._parts.append(_record(name, len(self._there), mode, data, rdev))


def _name(path: str) -> str:
    return path.strip("/")


def _record(name: str, inode: int, mode: int, data: bytes, rdev: tuple[int, int]) -> bytes:
    """One member: a header of hexadecimal fields, the name, the data, each padded to four bytes."""
    path = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(path), 0)
    head = b"070701" + b"".join(b"%08x" % value for value in fields) + path
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
