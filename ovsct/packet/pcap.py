"""pcap, the capture format of tcpdump and libpcap: reading and writing, as a stream.

Source: draft-ietf-opsawg-pcap (the file's layout), pcap-savefile(5). A file is a header of 24
bytes and then records: seconds, micro- or nanoseconds, captured and original length, and the
frame, in the byte order of the machine that wrote them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from ovsct.errors import InputError, OvsctError
from ovsct.packet.capture import (
    ETHERNET,
    MAX_FRAME,
    MICROSECOND,
    NANOSECOND,
    BinaryReader,
    BinaryWriter,
    Captured,
    Interface,
    Truncated,
    check_frame,
    check_lengths,
    frame_limit,
    read_at_least,
    read_chunk,
    sniff,
    split_time,
)

HEADER_SIZE: Final = 24
RECORD_SIZE: Final = 16
VERSION: Final = (2, 4)

_FCS_PRESENT: Final = 1 << 26
"""The P bit of the link-type field: each frame is followed by its frame check sequence."""


class _Variant(NamedTuple):
    order: Literal["<", ">"]
    per_second: int


_VARIANTS: Final[dict[bytes, _Variant]] = {
    b"\xd4\xc3\xb2\xa1": _Variant("<", MICROSECOND),
    b"\xa1\xb2\xc3\xd4": _Variant(">", MICROSECOND),
    b"\x4d\x3c\xb2\xa1": _Variant("<", NANOSECOND),
    b"\xa1\xb2\x3c\x4d": _Variant(">", NANOSECOND),
}
"""The magic numbers, as they stand in the file."""

_MAGIC_OF: Final = {variant: magic for magic, variant in _VARIANTS.items()}


class PcapReader:
    """A pcap file as a stream of frames; it can be gone through once.

    The header is read at once, records as they are asked for. The header's two reserved fields
    (time zone and accuracy, once) are passed over, as the draft says a reader must.

    Args:
        file: a binary file object at the start of the capture, or just after `head`.
        name: what errors call the file.
        truncated: "error" refuses a frame that was captured in part, "take" passes it on.
        origin: the second since 1970 that `at` counts from; None is that of the first record.
        head: bytes already read from the file.

    Raises:
        InputError: the header is bad, or names a link type other than Ethernet; iterating raises
            it for a record that is cut short, has an impossible length or fraction of a second,
            or is truncated by its snaplen. It says which record and at which byte.
    """

    __slots__ = (
        "_buffer",
        "_file",
        "_layout",
        "_name",
        "_original",
        "_truncated",
        "interfaces",
        "origin",
    )

    def __init__(
        self,
        file: BinaryReader,
        name: str,
        *,
        truncated: Truncated = "error",
        origin: int | None = 0,
        head: bytes = b"",
    ) -> None:
        self._file = file
        self._name = name
        self._truncated = truncated
        self._original = 0
        self.origin = origin
        head = read_at_least(file, HEADER_SIZE, name, head)
        if sniff(head, name) != "pcap":
            raise InputError("this is pcapng, at byte 0", file=name, expected="pcap")
        if len(head) < HEADER_SIZE:
            raise InputError(
                f"the capture is cut short at byte {len(head)}, inside its header",
                file=name,
                expected=f"{HEADER_SIZE} bytes",
            )
        self._buffer: bytes | None = head
        variant = _VARIANTS[head[:4]]
        self._layout = struct.Struct(variant.order + "IIII")
        major, minor, _, _, snaplen, link = struct.unpack_from(variant.order + "HHIIII", head, 4)
        if (major, minor) != VERSION:
            raise InputError(
                f"pcap version {major}.{minor} at byte 4", file=name, expected="version 2.4"
            )
        self._check_link(link)
        self.interfaces = [Interface(None, ETHERNET, snaplen, variant.per_second)]

    def _check_link(self, link: int) -> None:
        if link & 0xFFFF != ETHERNET:
            raise InputError(
                f"link type {link & 0xFFFF} at byte 20", file=self._name, expected="1 (Ethernet)"
            )
        if link & _FCS_PRESENT:
            raise InputError(
                f"each frame is followed by {(link >> 28) * 2} bytes of frame check sequence, "
                "says byte 20",
                file=self._name,
                expected="frames without FCS",
                hint="cut it off with `editcap -C -4 IN OUT`",
            )
        if link & 0x0BFF0000:
            raise InputError(
                f"reserved bits {link & 0x0BFF0000:#010x} are set at byte 20",
                file=self._name,
                expected="zeros",
            )

    def frames(self) -> Iterator[tuple[float, bytes]]:
        """The frames in file order with their times: the fast way through a capture.

        Yields:
            Seconds since the origin, and the frame.

        Raises:
            InputError: as the class says.
            OvsctError: the reader has been gone through before.
        """
        name = self._name
        unpack = self._layout.unpack_from
        _, _, snaplen, per_second = self.interfaces[0]
        limit = frame_limit(snaplen)
        if self._buffer is None:
            raise OvsctError(f"{name}: a reader goes through its capture once; make another")
        buffer = read_at_least(self._file, HEADER_SIZE + RECORD_SIZE, name, self._buffer)
        self._buffer = None
        position, before = HEADER_SIZE, 0
        origin = self.origin
        if origin is None and len(buffer) >= HEADER_SIZE + RECORD_SIZE:
            origin = self.origin = unpack(buffer, HEADER_SIZE)[0]
        shift = origin or 0
        number = 0
        while True:
            end = len(buffer)
            last = end - RECORD_SIZE
            while position <= last:
                seconds, fraction, captured, original = unpack(buffer, position)
                if captured != original or captured > limit or fraction >= per_second:
                    self._examine(number, before + position, fraction, captured, original)
                start = position + RECORD_SIZE
                following = start + captured
                if following > end:
                    break
                yield seconds - shift + fraction / per_second, buffer[start:following]
                position = following
                number += 1
            chunk = read_chunk(self._file, name)
            if not chunk:
                break
            before += position
            buffer = buffer[position:] + chunk
            position = 0
        if position < end:
            self._cut_short(number, before + position, buffer[position:])

    def __iter__(self) -> Iterator[Captured]:
        new = tuple.__new__  # half the price of Captured(...), which checks arguments once more
        if self._truncated == "error":
            for at, frame in self.frames():
                yield new(Captured, (at, 0, frame, len(frame)))
            return
        for at, frame in self.frames():
            original = max(self._original, len(frame))
            self._original = 0
            yield new(Captured, (at, 0, frame, original))

    def _examine(
        self, number: int, offset: int, fraction: int, captured: int, original: int
    ) -> None:
        """A record that is out of the ordinary: refuse it, or note its original length."""
        where = f"record {number + 1} at byte {offset}"
        _, _, snaplen, per_second = self.interfaces[0]
        if fraction >= per_second:
            unit = "microseconds" if per_second == MICROSECOND else "nanoseconds"
            raise InputError(
                f"{where}: {fraction} {unit} past the second",
                file=self._name,
                expected=f"less than {per_second}",
            )
        limit = frame_limit(snaplen)
        check_lengths(captured, original, limit, self._truncated, where, self._name)
        self._original = original

    def _cut_short(self, number: int, offset: int, rest: bytes) -> None:
        if len(rest) < RECORD_SIZE:
            part, needed = "header", RECORD_SIZE
        else:
            part, needed = "frame", RECORD_SIZE + self._layout.unpack_from(rest)[2]
        raise InputError(
            f"the capture is cut short at byte {offset + len(rest)}, inside the {part} of record "
            f"{number + 1}, which begins at byte {offset}",
            file=self._name,
            expected=f"{needed - len(rest)} more bytes",
        )


def read_pcap(
    file: BinaryReader, name: str, *, truncated: Truncated = "error", origin: int | None = 0
) -> Iterator[Captured]:
    """The records of a pcap file; see :class:`PcapReader`, which also tells the origin."""
    return iter(PcapReader(file, name, truncated=truncated, origin=origin))


def frames(
    file: BinaryReader, name: str, *, truncated: Truncated = "error", origin: int | None = 0
) -> Iterator[tuple[float, bytes]]:
    """The times and frames of a pcap file, with less around them than :func:`read_pcap`."""
    return PcapReader(file, name, truncated=truncated, origin=origin).frames()


class PcapWriter:
    """Writes a pcap file of Ethernet frames.

    Args:
        file: a binary file object; nothing but this writer may write to it.
        per_second: `NANOSECOND` or `MICROSECOND`, the unit that times are rounded to.
        order: byte order, "<" little or ">" big endian.
        snaplen: what the header says is the most that was kept of a frame, in bytes.
        origin: the second since 1970 that `at` counts from.

    Raises:
        OvsctError: the arguments are out of range.
    """

    __slots__ = ("_file", "_layout", "_origin", "_per_second", "_snaplen")

    def __init__(
        self,
        file: BinaryWriter,
        *,
        per_second: int = NANOSECOND,
        order: Literal["<", ">"] = "<",
        snaplen: int = MAX_FRAME,
        origin: int = 0,
    ) -> None:
        magic = _MAGIC_OF.get(_Variant(order, per_second))
        if magic is None:
            raise OvsctError(f"pcap has no byte order {order!r} with {per_second} units a second")
        if not 1 <= snaplen <= MAX_FRAME:
            raise OvsctError(f"a snaplen of {snaplen} (expected 1 to {MAX_FRAME})")
        self._file = file
        self._layout = struct.Struct(order + "IIII")
        self._per_second = per_second
        self._snaplen = snaplen
        self._origin = origin
        file.write(magic + struct.pack(order + "HHIIII", *VERSION, 0, 0, snaplen, ETHERNET))

    def write(self, at: float, frame: bytes, original_length: int | None = None) -> None:
        """Append one frame.

        Args:
            at: seconds since the origin.
            frame: the frame without FCS.
            original_length: its bytes on the wire, if it is only the beginning of a frame.

        Raises:
            OvsctError: the time is before 1970 or after 2106, or the frame longer than snaplen.
        """
        original = check_frame(frame, original_length)
        if len(frame) > self._snaplen:
            raise OvsctError(f"a frame of {len(frame)} bytes (the snaplen is {self._snaplen})")
        seconds, units = split_time(at, self._origin, self._per_second)
        if not 0 <= seconds < 1 << 32:
            raise OvsctError(f"a frame at second {seconds} since 1970 (pcap has 32 bits for it)")
        self._file.write(self._layout.pack(seconds, units, len(frame), original) + frame)


def write_pcap(
    file: BinaryWriter,
    records: Iterable[tuple[float, bytes]],
    *,
    per_second: int = NANOSECOND,
    origin: int = 0,
) -> int:
    """Write (seconds since origin, frame) pairs as a pcap file; gives the number written."""
    writer = PcapWriter(file, per_second=per_second, origin=origin)
    number = 0
    for at, frame in records:
        writer.write(at, frame)
        number += 1
    return number
