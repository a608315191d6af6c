"""Bytes read from the front, with OpenFlow's refusals where they end too soon."""

from __future__ import annotations

from ovsct.openflow.wire.errors import WireError


class Reader:
    """A stretch of a message, read from its front."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int = 0, end: int | None = None) -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return self.end - self.pos

    def skip(self, length: int, error: str = "OFPBRC_BAD_LEN") -> int:
        """Pass over `length` bytes; the result is where they begin.

        Raises WireError called `error` if there are not so many.
        """
        at = self.pos
        if length < 0 or at + length > self.end:
            raise WireError(error, f"{length} bytes expected where {self.left} are left")
        self.pos = at + length
        return at

    def take(self, length: int, error: str = "OFPBRC_BAD_LEN") -> bytes:
        """The next `length` bytes. Raises WireError called `error` if there are not so many."""
        at = self.skip(length, error)
        return self.data[at : at + length]

    def number(self, length: int, error: str = "OFPBRC_BAD_LEN") -> int:
        """The next `length` bytes as a number."""
        return int.from_bytes(self.take(length, error), "big")

    def part(self, length: int, error: str = "OFPBRC_BAD_LEN") -> Reader:
        """The next `length` bytes as a Reader of their own."""
        at = self.skip(length, error)
        return Reader(self.data, at, at + length)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def zeros(self, error: str) -> None:
        """Pass over all that is left; raises WireError called `error` if it is not all zero."""
        if any(self.rest()):
            raise WireError(error, "padding that is not zero")


def padded(length: int) -> int:
    """`length` rounded up to a multiple of 8."""
    return (length + 7) & ~7


def pad8(data: bytes) -> bytes:
    """`data` with zeros up to a multiple of 8."""
    return data + bytes(-len(data) % 8)
