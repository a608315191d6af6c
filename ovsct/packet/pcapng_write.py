"""pcapng out: an interface ``p<n>`` for each port, in nanoseconds. Reading is in ``pcapng``."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from ovsct.errors import OvsctError
from ovsct.packet.capture import (
    ETHERNET,
    MAX_FRAME,
    NANOSECOND,
    BinaryWriter,
    check_frame,
    split_time,
)
from ovsct.packet.pcapng import (
    ENHANCED_PACKET,
    IF_NAME,
    IF_TSRESOL,
    INTERFACE,
    SECTION,
    UNKNOWN_LENGTH,
)


class PcapngWriter:
    """Writes a pcapng file of Ethernet frames: an interface ``p<n>`` for each port, nanoseconds.

    The interfaces of `ports` come first, in that order; that of any other port comes right before
    its first frame.

    Args:
        file: a binary file object; nothing but this writer may write to it.
        ports: ports that get an interface even if no frame comes by.
        origin: the second since 1970 that `at` counts from.
    """

    __slots__ = ("_file", "_interfaces", "_origin")

    def __init__(self, file: BinaryWriter, ports: Iterable[int] = (), *, origin: int = 0) -> None:
        self._file = file
        self._origin = origin
        self._interfaces: dict[int, int] = {}
        self._block(SECTION, struct.pack("<IHHQ", 0x1A2B3C4D, 1, 0, UNKNOWN_LENGTH))
        for port in ports:
            self._interface(port)

    def write(self, at: float, port: int, frame: bytes, original_length: int | None = None) -> None:
        """Append one frame.

        Args:
            at: seconds since the origin.
            port: the bridge port it is on.
            frame: the frame without FCS.
            original_length: its bytes on the wire, if it is only the beginning of a frame.

        Raises:
            OvsctError: the time is before 1970 or past 64 bits of nanoseconds (the year 2554), or
                the frame is longer than `MAX_FRAME`.
        """
        original = check_frame(frame, original_length)
        seconds, units = split_time(at, self._origin, NANOSECOND)
        ticks = seconds * NANOSECOND + units
        if not 0 <= ticks <= UNKNOWN_LENGTH:
            raise OvsctError(f"a frame at second {seconds} since 1970 (expected 64 bits of ns)")
        interface = self._interface(port)
        head = (interface, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), original)
        padding = bytes(-len(frame) % 4)
        self._block(ENHANCED_PACKET, struct.pack("<IIIII", *head) + frame + padding)

    def _interface(self, port: int) -> int:
        """The interface of a port, described in the file if it is not yet."""
        index = self._interfaces.get(port)
        if index is None:
            index = self._interfaces[port] = len(self._interfaces)
            name = f"p{port}".encode()
            options = struct.pack("<HH", IF_NAME, len(name)) + name + bytes(-len(name) % 4)
            options += struct.pack("<HHB3x", IF_TSRESOL, 1, 9) + bytes(4)
            self._block(INTERFACE, struct.pack("<HHI", ETHERNET, 0, MAX_FRAME) + options)
        return index

    def _block(self, kind: int, body: bytes) -> None:
        length = len(body) + 12
        self._file.write(struct.pack("<II", kind, length) + body + struct.pack("<I", length))
