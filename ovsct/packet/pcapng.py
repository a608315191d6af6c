"""pcapng, the capture format of Wireshark, with an interface for each port: reading.

Source: draft-ietf-opsawg-pcapng. A file is a row of blocks (type, length, body, length again),
in sections that each have a byte order and interfaces of their own. Packets stand in Enhanced,
Simple and (obsolete) Packet Blocks; of the other blocks, `PASSED_OVER` says why none is needed,
and a block of an unknown type is skipped, as the draft demands of every reader. What was skipped
is counted in :attr:`PcapngReader.skipped`.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ovsct.errors import InputError, OvsctError
from ovsct.packet.capture import (
    ETHERNET,
    MAX_FRAME,
    BinaryReader,
    Captured,
    Interface,
    Truncated,
    check_lengths,
    frame_limit,
    read_at_least,
    read_chunk,
    sniff,
)

SECTION: Final = 0x0A0D0D0A
INTERFACE: Final = 1
OBSOLETE_PACKET: Final = 2
SIMPLE_PACKET: Final = 3
ENHANCED_PACKET: Final = 6

PASSED_OVER: Final[dict[int, str]] = {
    0x00000004: "Name Resolution Block: names for addresses, which no frame needs",
    0x00000005: "Interface Statistics Block: counters of the capture, not packets",
    0x00000007: "IRIG Timestamp Block: its times are not those of the packet blocks",
    0x00000008: "ARINC 429 in AFDX Block: describes an avionics bus, not packets",
    0x00000009: "systemd Journal Export Block: log lines, not packets",
    0x0000000A: "Decryption Secrets Block: keys of the payload, which a bridge does not read",
    0x00000BAD: "Custom Block: its meaning is private to who wrote it",
    0x40000BAD: "Custom Block, not to be copied: its meaning is private to who wrote it",
}
"""Block types of the registry that hold no packet, and why the reader needs none of them."""

MAX_BLOCK: Final = 1 << 24
"""Longest block taken, in bytes: INITIAL_MAX_BLOCKSIZE of libpcap's sf-pcapng.c."""

_BYTE_ORDER: Final[dict[bytes, str]] = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
UNKNOWN_LENGTH: Final = 0xFFFFFFFFFFFFFFFF

_END_OF_OPTIONS: Final = 0
IF_NAME: Final = 2
IF_TSRESOL: Final = 9
_IF_FCSLEN: Final = 13
_IF_TSOFFSET: Final = 14
_PACKET_FLAGS: Final = 2

_OPTION_LENGTHS: Final[dict[int, dict[int, int]]] = {
    INTERFACE: {IF_TSRESOL: 1, _IF_FCSLEN: 1, _IF_TSOFFSET: 8},
    ENHANCED_PACKET: {_PACKET_FLAGS: 4},
    OBSOLETE_PACKET: {_PACKET_FLAGS: 4},
}
"""The options that are read, by block type, with the one length each may have. All others only
describe (comments, addresses, speeds, hashes, queue numbers): none changes a frame or its time."""


class _Layout(NamedTuple):
    """The structures of one byte order."""

    order: str
    words: struct.Struct
    section: struct.Struct
    interface: struct.Struct
    enhanced: struct.Struct
    obsolete: struct.Struct
    option: struct.Struct
    everyday: struct.Struct
    """An Enhanced Packet Block from its type to its frame."""
    length: struct.Struct


_FORMATS: Final = ("II", "HHQ", "HHI", "IIIII", "HHIIII", "HH", "IIIIIII", "I")
_LAYOUTS: Final = {
    order: _Layout(order, *(struct.Struct(order + text) for text in _FORMATS)) for order in "<>"
}


class _Source(NamedTuple):
    """An interface as the packets of a section need it."""

    number: int
    ticks: int
    offset: int
    limit: int
    refusal: str | None


class _Block(NamedTuple):
    """One whole block: its type, where in the file it begins, and all of its bytes."""

    type: int
    offset: int
    data: bytes


class PcapngReader:
    """A pcapng file as a stream of frames; it can be gone through once.

    An interface may be of any link type and with a frame check sequence, as long as no frame comes
    from it. A section's length field is not needed to go through it block by block. A Simple
    Packet Block has no time: it gets that of the packet before it, or 0.0 if it is the first. The
    direction and error bits of epb_flags are not judged: every frame is one that came in.

    Args:
        file: a binary file object at the start of the capture, or just after `head`.
        name: what errors call the file.
        truncated: "error" refuses a frame that was captured in part, "take" passes it on.
        origin: the second since 1970 that `at` counts from; None is that of the first record.
        head: bytes already read from the file.

    Attributes:
        interfaces: those met so far, in file order, over all sections.
        skipped: how many blocks of each type were skipped so far; see :func:`why_skipped`.

    Raises:
        InputError: the file does not begin with a Section Header Block; iterating raises it for a
            block that is cut short or malformed, a section of another version, a packet of an
            interface that is not there or not Ethernet, or a frame truncated by its snaplen. It
            says which block and at which byte.
    """

    __slots__ = (
        "_before",
        "_buffer",
        "_file",
        "_here",
        "_layout",
        "_name",
        "_now",
        "_packets",
        "_readers",
        "_sources",
        "_truncated",
        "interfaces",
        "origin",
        "skipped",
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
        self.origin = origin
        self.interfaces: list[Interface] = []
        self.skipped: Counter[int] = Counter()
        self._layout = _LAYOUTS["<"]
        self._sources: list[_Source] = []
        self._packets = 0
        self._now = 0.0
        self._readers: dict[int, Callable[[_Block], Captured]] = {
            ENHANCED_PACKET: self._enhanced,
            SIMPLE_PACKET: self._simple,
            OBSOLETE_PACKET: self._obsolete,
        }
        head = read_at_least(file, 4, name, head)
        if sniff(head, name) != "pcapng":
            raise InputError("this is pcap, at byte 0", file=name, expected="pcapng")
        self._buffer: bytes | None = head

    def __iter__(self) -> Iterator[Captured]:
        if self._buffer is None:
            raise OvsctError(f"{self._name}: a reader goes through its capture once; make another")
        self._here, self._before = self._buffer, 0
        self._buffer = None
        new = tuple.__new__  # half the price of Captured(...), which checks arguments once more
        position = 0
        while True:
            # The everyday block first: an Enhanced Packet Block without options, its frame whole.
            buffer, end = self._here, len(self._here) - 32
            everyday = self._layout.everyday.unpack_from
            length_at = self._layout.length.unpack_from
            sources, count = self._sources, len(self._sources)
            while position <= end:
                kind, length, interface, high, low, captured, original = everyday(buffer, position)
                if (
                    kind != ENHANCED_PACKET
                    or captured != original
                    or captured > MAX_FRAME
                    or length != 32 + (captured + 3 & -4)
                    or position + length > end + 32
                    or interface >= count
                    or sources[interface].refusal is not None
                    or length_at(buffer, position + length - 4)[0] != length
                ):
                    break
                number, ticks, offset, _, _ = sources[interface]
                seconds, units = divmod(high << 32 | low, ticks)
                seconds += offset
                if self.origin is None:
                    self.origin = seconds
                self._now = at = seconds - self.origin + units / ticks
                self._packets += 1
                frame = buffer[position + 28 : position + 28 + captured]
                position += length
                yield new(Captured, (at, number, frame, original))
            block, position = self._block(position)
            if block is None:
                return
            read = self._readers.get(block.type)
            if read is not None:
                self._packets += 1
                yield read(block)
            elif block.type == INTERFACE:
                self._interface(block)
            elif block.type == SECTION:
                self._section(block)
            else:
                self.skipped[block.type] += 1

    def skim(self) -> None:
        """Go through the capture for its `interfaces` alone; no frame is looked at.

        Raises:
            InputError: a block is cut short or malformed.
        """
        if self._buffer is None:
            raise OvsctError(f"{self._name}: a reader goes through its capture once; make another")
        self._here, self._before = self._buffer, 0
        self._buffer = None
        position = 0
        while True:
            buffer, end = self._here, len(self._here)
            words = self._layout.words.unpack_from
            while position + 12 <= end:
                kind, length = words(buffer, position)
                if kind != ENHANCED_PACKET or length < 12 or position + length > end:
                    break
                position += length
            block, position = self._block(position)
            if block is None:
                return
            if block.type == INTERFACE:
                self._interface(block)
            elif block.type == SECTION:
                self._section(block)

    def _block(self, position: int) -> tuple[_Block | None, int]:
        """The block at `position`, whole and with a length that holds, and where the next begins.

        None at the end of the file.
        """
        needed = 12
        while True:
            buffer, before = self._here, self._before
            if len(buffer) - position < needed:
                chunk = read_chunk(self._file, self._name)
                if not chunk:
                    break
                self._before += position
                self._here = buffer[position:] + chunk
                position = 0
                continue
            if buffer.startswith(b"\x0a\x0d\x0d\x0a", position):
                self._turn(buffer[position + 8 : position + 12], before + position + 8)
            kind, length = self._layout.words.unpack_from(buffer, position)
            if length < 12 or length % 4 or length > MAX_BLOCK:
                raise InputError(
                    f"{_called(kind)} at byte {before + position} has a length of {length} bytes",
                    file=self._name,
                    expected=f"a multiple of 4 from 12 to {MAX_BLOCK}",
                )
            if len(buffer) - position < length:
                needed = length
                continue
            data = buffer[position : position + length]
            if self._layout.words.unpack_from(data, length - 8)[1] != length:
                raise self._two_lengths(kind, before + position, data)
            return _Block(kind, before + position, data), position + length
        if rest := len(buffer) - position:
            raise InputError(
                f"the capture is cut short at byte {before + len(buffer)}, inside the block that "
                f"begins at byte {before + position}",
                file=self._name,
                expected=f"{needed - rest} more bytes" if needed > 12 else "at least 12 bytes",
            )
        return None, position

    def _turn(self, magic: bytes, offset: int) -> None:
        """Take the byte order of a new section, which its own header already is in."""
        order = _BYTE_ORDER.get(magic)
        if order is None:
            raise InputError(
                f"byte-order magic {magic.hex(' ')} at byte {offset}",
                file=self._name,
                expected="1a 2b 3c 4d or 4d 3c 2b 1a",
            )
        self._layout = _LAYOUTS[order]

    def _two_lengths(self, kind: int, offset: int, data: bytes) -> InputError:
        end = len(data) - 4
        (again,) = struct.unpack_from(self._layout.order + "I", data, end)
        return InputError(
            f"{_called(kind)} at byte {offset} has a length of {len(data)} bytes, but {again} "
            f"stands at its end, at byte {offset + end}",
            file=self._name,
            expected="twice the same",
        )

    def _body(self, block: _Block, size: int) -> None:
        """Refuse a block that has no room for its fixed fields, `size` bytes."""
        if len(block.data) < size + 12:
            raise InputError(
                f"{_called(block.type)} at byte {block.offset} has a length of "
                f"{len(block.data)} bytes",
                file=self._name,
                expected=f"at least {size + 12}",
            )

    def _section(self, block: _Block) -> None:
        self._body(block, 16)
        major, minor, _ = self._layout.section.unpack_from(block.data, 12)
        # The draft wants a section of another version skipped whole. That would lose packets in
        # silence, so it is an error here. Minor version 2 is to be read as 0.
        if major != 1 or minor not in (0, 2):
            raise InputError(
                f"pcapng version {major}.{minor} at byte {block.offset + 12}",
                file=self._name,
                expected="version 1.0",
            )
        self._sources = []

    def _interface(self, block: _Block) -> None:
        self._body(block, 8)
        link, _, snaplen = self._layout.interface.unpack_from(block.data, 8)
        options = self._options(block, 16)
        resolution = options.get(IF_TSRESOL, b"\6")[0]  # its high bit: a power of 2, not of 10
        ticks = int((2 if resolution & 0x80 else 10) ** (resolution & 0x7F))
        offset = 0
        if _IF_TSOFFSET in options:
            offset = struct.unpack(self._layout.order + "q", options[_IF_TSOFFSET])[0]
        refusal = None
        if link != ETHERNET:
            refusal = f"has link type {link} (expected 1, Ethernet)"
        elif options.get(_IF_FCSLEN, b"\0") != b"\0":
            refusal = "has frames with a frame check sequence (expected frames without FCS)"
        limit = frame_limit(snaplen)
        self._sources.append(_Source(len(self.interfaces), ticks, offset, limit, refusal))
        raw = options.get(IF_NAME)
        try:
            name = None if raw is None else raw.split(b"\0", 1)[0].decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{_called(block.type)} at byte {block.offset} has the name {raw!r}",
                file=self._name,
                expected="UTF-8",
            ) from error
        self.interfaces.append(Interface(name, link, snaplen, ticks))

    def _options(self, block: _Block, start: int) -> dict[int, bytes]:
        """The options of a block that `_OPTION_LENGTHS` or the name makes matter, by code."""
        found: dict[int, bytes] = {}
        lengths = _OPTION_LENGTHS[block.type]
        end = len(block.data) - 4
        while start < end:
            code, length = self._layout.option.unpack_from(block.data, start)
            if code == _END_OF_OPTIONS:
                break
            if start + 4 + length > end or lengths.get(code, length) != length:
                raise InputError(
                    f"{_called(block.type)} at byte {block.offset}: option {code} at byte "
                    f"{block.offset + start} has a length of {length} bytes",
                    file=self._name,
                    expected=str(lengths.get(code, f"at most {end - start - 4}")),
                )
            found[code] = block.data[start + 4 : start + 4 + length]
            start += 4 + (length + 3) // 4 * 4
        return found

    def _enhanced(self, block: _Block) -> Captured:
        self._body(block, 20)
        interface, high, low, captured, original = self._layout.enhanced.unpack_from(block.data, 8)
        return self._packet(block, interface, high << 32 | low, captured, original)

    def _obsolete(self, block: _Block) -> Captured:
        # The drop count between is that of the capture, not of any bridge.
        self._body(block, 20)
        interface, _, *rest = self._layout.obsolete.unpack_from(block.data, 8)
        high, low, captured, original = rest
        return self._packet(block, interface, high << 32 | low, captured, original)

    def _packet(
        self, block: _Block, interface: int, ticks: int, captured: int, original: int
    ) -> Captured:
        """A packet with a time: an Enhanced or an obsolete Packet Block."""
        source = self._source(block, interface)
        if captured != original or captured > source.limit:
            self._check_lengths(block, captured, original, source.limit)
        data = block.data
        options = 28 + (captured + 3) // 4 * 4
        if options > len(data) - 4:
            raise self._no_room(block, captured)
        if options < len(data) - 4:
            self._check_flags(block, self._options(block, options).get(_PACKET_FLAGS, bytes(4)))
        seconds, units = ticks // source.ticks + source.offset, ticks % source.ticks
        if self.origin is None:
            self.origin = seconds
        at = self._now = seconds - self.origin + units / source.ticks
        frame = data[28 : 28 + captured]
        original = max(original, captured)
        return tuple.__new__(Captured, (at, source.number, frame, original))

    def _simple(self, block: _Block) -> Captured:
        """A packet of the section's first interface, with neither time nor captured length."""
        self._body(block, 4)
        (original,) = struct.unpack_from(self._layout.order + "I", block.data, 8)
        source = self._source(block, 0)
        snaplen = self.interfaces[source.number].snaplen
        captured = min(original, snaplen) if snaplen else original
        self._check_lengths(block, captured, original, source.limit)
        if 12 + (captured + 3) // 4 * 4 != len(block.data) - 4:
            raise self._no_room(block, captured)
        frame = block.data[12 : 12 + captured]
        return Captured(self._now, source.number, frame, original)

    def _source(self, block: _Block, interface: int) -> _Source:
        if interface >= len(self._sources):
            raise InputError(
                f"{self._where(block)}: interface {interface}",
                file=self._name,
                expected=f"one of the {len(self._sources)} that the section has described",
            )
        source = self._sources[interface]
        if source.refusal is not None:
            raise InputError(
                f"{self._where(block)}: interface {interface} {source.refusal}", file=self._name
            )
        return source

    def _check_flags(self, block: _Block, flags: bytes) -> None:
        (bits,) = struct.unpack(self._layout.order + "I", flags)
        if length := bits >> 5 & 0xF:
            raise InputError(
                f"{self._where(block)}: the frame ends in {length} bytes of frame check sequence",
                file=self._name,
                expected="frames without FCS",
            )

    def _check_lengths(self, block: _Block, captured: int, original: int, limit: int) -> None:
        check_lengths(captured, original, limit, self._truncated, self._where(block), self._name)

    def _no_room(self, block: _Block, captured: int) -> InputError:
        return InputError(
            f"{self._where(block)}: a frame of {captured} bytes does not fit its block of "
            f"{len(block.data)} bytes",
            file=self._name,
            expected="lengths that agree",
        )

    def _where(self, block: _Block) -> str:
        return f"record {self._packets} at byte {block.offset}"


_NAMES: Final = {
    SECTION: "the Section Header Block",
    INTERFACE: "the Interface Description Block",
    OBSOLETE_PACKET: "the (obsolete) Packet Block",
    SIMPLE_PACKET: "the Simple Packet Block",
    ENHANCED_PACKET: "the Enhanced Packet Block",
}


def _called(block_type: int) -> str:
    return _NAMES.get(block_type, f"the block of type {block_type:#x}")


def why_skipped(block_type: int) -> str:
    """Why blocks of this type, a key of `PcapngReader.skipped`, were skipped."""
    return PASSED_OVER.get(
        block_type,
        f"block type {block_type:#x}: unknown, and readers have to skip what they do not know",
    )


def read_pcapng(
    file: BinaryReader, name: str, *, truncated: Truncated = "error", origin: int | None = 0
) -> Iterator[Captured]:
    """The records of a pcapng file; see :class:`PcapngReader`, which also has the interfaces."""
    return iter(PcapngReader(file, name, truncated=truncated, origin=origin))
