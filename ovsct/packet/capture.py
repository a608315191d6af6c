"""Captures: the record that every capture format yields, and telling the formats apart.

Nothing here opens a file. Readers take a binary file object that somebody else opened, and a name
for it that error messages carry; they hold one chunk at a time, so a capture of any size needs the
same memory.

Times. A capture counts whole units (micro- or nanoseconds) since 1970; a record gives float
seconds since `origin`, a whole second of that count. With the default, origin 0, `at` is the time
that ``tcpdump -tt`` prints. A float of today's epoch has steps of 238 ns: exact for a microsecond
capture, coarser than a nanosecond one. With `origin=None` the origin is the whole second of the
first record (the reader's `origin` then names it), and `at` is exact to the nanosecond for the
first 97 days (2**23 seconds). Writers add their `origin` back and round to the nearest unit, half
to even. So what a writer wrote, read with any origin that the float can carry and written again
with the same one, is the same file to the byte; with origin 0 that holds for every time a writer
was ever given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from ovsct.errors import InputError, OvsctError

ETHERNET: Final = 1
"""LINKTYPE_ETHERNET of the link-type registry: the one link type that a bridge takes."""

MAX_FRAME: Final = 262144
"""Longest frame taken, in bytes: libpcap's MAXIMUM_SNAPLEN (pcap-int.h)."""

CHUNK: Final = 1 << 18
"""Bytes asked of a file at a time."""

MICROSECOND: Final = 1_000_000
"""Units in a second of a microsecond capture."""

NANOSECOND: Final = 1_000_000_000
"""Units in a second of a nanosecond capture."""

_LAST_PORT: Final = 65279
"""The highest port number that OVS gives (OFPP_MAX - 1, openflow-1.0.h)."""

Truncated: TypeAlias = Literal["error", "take"]
"""What to do with a frame that the capture holds only the beginning of."""


class BinaryReader(Protocol):
    """What a capture is read from: `read` gives at most that many bytes, none at the end."""

    def read(self, size: int, /) -> bytes | None: ...


class BinaryWriter(Protocol):
    """What a capture is written to."""

    def write(self, data: bytes, /) -> object: ...


class Captured(NamedTuple):
    """One frame of a capture.

    `at` is in seconds since the reader's origin, `interface` the 0-based index of its interface in
    the whole file (always 0 in a pcap), `original_length` the bytes the frame had on the wire;
    that is more than `len(frame)` only if the reader was told to take truncated frames.
    """

    at: float
    interface: int
    frame: bytes
    original_length: int


class Interface(NamedTuple):
    """One interface of a capture; `ts_resolution` is units a second, a snaplen of 0 no limit."""

    name: str | None
    link_type: int
    snaplen: int
    ts_resolution: int


class CaptureReader(Protocol):
    """What every format's reader offers."""

    @property
    def interfaces(self) -> Sequence[Interface]:
        """The interfaces met so far, in file order; a pcapng may bring more on the way."""

    @property
    def origin(self) -> int | None:
        """The second since 1970 that `at` counts from; None until the first record tells."""

    def __iter__(self) -> Iterator[Captured]: ...


class _Magic(NamedTuple):
    format: Literal["pcap", "pcapng"] | None
    what: str
    hint: str


_EDITCAP: Final = "convert it with `editcap -F pcap IN OUT`"
_UNPACK: Final = "unpack it first"

_MAGICS: Final[dict[bytes, _Magic]] = {
    b"\xa1\xb2\xc3\xd4": _Magic("pcap", "pcap", ""),
    b"\xd4\xc3\xb2\xa1": _Magic("pcap", "pcap", ""),
    b"\xa1\xb2\x3c\x4d": _Magic("pcap", "pcap with nanoseconds", ""),
    b"\x4d\x3c\xb2\xa1": _Magic("pcap", "pcap with nanoseconds", ""),
    b"\x0a\x0d\x0d\x0a": _Magic("pcapng", "pcapng", ""),
    b"\xa1\xb2\xcd\x34": _Magic(None, "Kuznetzov's modified pcap", _EDITCAP),
    b"\x34\xcd\xb2\xa1": _Magic(None, "Kuznetzov's modified pcap", _EDITCAP),
    b"snoo": _Magic(None, "a snoop capture", _EDITCAP),
    b"\x1f\x8b": _Magic(None, "gzip data", _UNPACK),
    b"\x28\xb5\x2f\xfd": _Magic(None, "zstd data", _UNPACK),
    b"\xfd7zX": _Magic(None, "xz data", _UNPACK),
    b"BZh": _Magic(None, "bzip2 data", _UNPACK),
}
"""The first bytes of a file: the captures that are read, and those that can at least be named."""


def sniff(head: bytes, name: str) -> Literal["pcap", "pcapng"]:
    """The format of a capture by its first four bytes.

    Args:
        head: the first bytes of the file; four are enough.
        name: the file's name, for the error.

    Raises:
        InputError: the file is empty, shorter than four bytes, or neither pcap nor pcapng.
    """
    expected = "pcap or pcapng"
    if not head:
        raise InputError("the capture is empty", file=name, expected=expected)
    for length in (4, 3, 2):
        magic = _MAGICS.get(head[:length])
        if magic is None:
            continue
        if magic.format is not None:
            return magic.format
        raise InputError(
            f"this is {magic.what}, at byte 0", file=name, expected=expected, hint=magic.hint
        )
    if len(head) < 4:
        raise InputError(
            f"the capture is cut short at byte {len(head)}, inside its magic number",
            file=name,
            expected="4 bytes",
        )
    raise InputError(
        f"no capture: it begins with the bytes {head[:4].hex(' ')} at byte 0",
        file=name,
        expected=expected,
    )


def read_at_least(file: BinaryReader, size: int, name: str, head: bytes = b"") -> bytes:
    """Bytes of a file, `head` first: `size` of them or more, fewer only if the file ends there.

    A pipe may give fewer bytes than asked for; only an empty answer is the end.

    Raises:
        InputError: the file does not block, and has nothing ready.
    """
    while len(head) < size:
        chunk = read_chunk(file, name)
        if not chunk:
            break
        head += chunk
    return head


def read_chunk(file: BinaryReader, name: str) -> bytes:
    """The next bytes of a file, none at its end.

    Raises:
        InputError: the file does not block, and has nothing ready: that is no end.
    """
    chunk = file.read(CHUNK)
    if chunk is None:
        raise InputError(
            "the capture has no bytes ready", file=name, expected="a file or pipe that blocks"
        )
    return chunk


_PORT_NAME: Final = re.compile("p([0-9]+)")


def port_of(interface_index: int, name: str | None) -> int:
    """The bridge port of a capture's interface: n if its name is ``p<n>``, else its index + 1.

    Args:
        interface_index: 0-based index of the interface in the file (`Captured.interface`).
        name: the interface's name, if it has one.

    Raises:
        InputError: the name is ``p<n>``, and n is no port number OVS has.
    """
    match = _PORT_NAME.fullmatch(name) if name is not None else None
    port = int(match[1]) if match else interface_index + 1
    if not 1 <= port <= _LAST_PORT:
        called = f"{name!r}" if match else f"number {interface_index}"
        raise InputError(
            f"interface {called} of the capture would be port {port}",
            expected=f"a port from 1 to {_LAST_PORT}",
        )
    return port


def frame_limit(_snaplen: int) -> int:
    """Most bytes that a capture may hold of a frame: `MAX_FRAME`, whatever its snaplen says.

    Some writers (dpkt's, with its default of 1500) leave whole frames above the snaplen of their
    own header. All of the frame is there, so it is taken; libpcap would go on with it cut.
    """
    return MAX_FRAME


def check_lengths(
    captured: int, original: int, limit: int, truncated: Truncated, where: str, name: str
) -> None:
    """Refuse a record whose captured length cannot be, or that holds only part of its frame.

    A captured length above the original one is allowed, as both formats' drafts allow it
    ("Original Packet Length ... SHOULD NOT be less"): the frame is then taken as captured.

    Args:
        captured: bytes of the frame in the file.
        original: bytes of the frame on the wire.
        limit: most bytes that the file may hold of a frame.
        truncated: whether a frame captured in part is refused.
        where: which record it is and its byte offset.
        name: the file's name.

    Raises:
        InputError: as said above.
    """
    if captured > limit:
        raise InputError(
            f"{where}: a captured length of {captured} bytes",
            file=name,
            expected=f"at most {limit}",
            hint="the capture is damaged"
            if captured > MAX_FRAME
            else "that is the snaplen its header gives; rewrite it with a larger one",
        )
    if captured < original and truncated == "error":
        raise InputError(
            f"{where}: only {captured} of the frame's {original} bytes were captured",
            file=name,
            expected="whole frames",
            hint="capture with a larger snaplen (tcpdump -s 0), or allow truncated frames",
        )


def split_time(at: float, origin: int, per_second: int) -> tuple[int, int]:
    """A time as whole seconds since 1970 and units of that second, to the nearest unit.

    The whole seconds are taken off first: a product of the whole time would be off by up to 128
    ns at today's epoch.

    Args:
        at: seconds since `origin`.
        origin: seconds since 1970.
        per_second: units in a second.

    Raises:
        OvsctError: the time is not finite.
    """
    if not math.isfinite(at):
        raise OvsctError(f"a frame at {at} seconds cannot be written (expected a finite time)")
    whole = math.floor(at)
    units = round((at - whole) * per_second)
    if units == per_second:
        return whole + origin + 1, 0
    return whole + origin, units


def check_frame(frame: bytes, original_length: int | None) -> int:
    """The original length to write with a frame; by default its own length.

    Raises:
        OvsctError: the frame is longer than any reader takes, or than its own original.
    """
    length = len(frame)
    if length > MAX_FRAME:
        raise OvsctError(f"a frame of {length} bytes cannot be written (at most {MAX_FRAME})")
    if original_length is None:
        return length
    if not length <= original_length < 1 << 32:
        raise OvsctError(f"a frame of {length} bytes cannot have had {original_length} bytes")
    return original_length
