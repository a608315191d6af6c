"""OpenFlow messages out of a capture: the TCP streams of OpenFlow's ports, each put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ovsct.openflow.wire.codec import split
from ovsct.openflow.wire.errors import WireError
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import PROTO_TCP, parse

PORTS: Final = frozenset({6653, 6633})
"""OpenFlow's port (IANA), and the one before it."""

_FIN_SYN_RST: Final = 0x07
_SYN: Final = 0x02
_WINDOW: Final = 1 << 31
_MODULUS: Final = 1 << 32


class Heard(NamedTuple):
    """One message of a capture: when its last byte came (seconds), from where to where.

    `data` is the message; if `problem` is set, the stream makes no sense from here on.
    """

    at: float
    source: str
    destination: str
    data: bytes
    problem: str = ""


class _Stream:
    """One direction of a connection."""

    __slots__ = ("early", "ends", "lost", "next", "pending")

    def __init__(self, ends: tuple[str, str]) -> None:
        self.ends = ends
        self.next: int | None = None
        self.pending = bytearray()
        self.early: dict[int, bytes] = {}
        self.lost = False

    def take(self, seq: int, data: bytes) -> None:
        """Add a segment; what came already is passed over, what is early waits."""
        if self.next is None:
            self.next = seq
        self.early[seq] = max(self.early.get(seq, b""), data, key=len)
        while True:
            ready = [at for at in self.early if (self.next - at) % _MODULUS < _WINDOW]
            if not ready:
                return
            at = ready[0]
            piece = self.early.pop(at)[(self.next - at) % _MODULUS :]
            self.pending += piece
            self.next = (self.next + len(piece)) % _MODULUS


def messages_of(frames: Iterable[tuple[float, bytes]]) -> Iterator[Heard]:
    """The messages of all OpenFlow connections in a capture, in the order of their last bytes.

    Args:
        frames: times in seconds, and Ethernet frames.

    A capture that begins within a connection is understood if it begins where a message does.
    """
    streams: dict[tuple[str, str], _Stream] = {}
    for at, frame in frames:
        segment = _segment(frame)
        if segment is None:
            continue
        ends, seq, flags, data = segment
        stream = streams.get(ends)
        if stream is None or flags & _SYN:
            stream = streams[ends] = _Stream(ends)
            if flags & _SYN:
                stream.next = (seq + 1) % _MODULUS
        if not data or stream.lost:
            continue
        stream.take(seq, data)
        yield from _whole(stream, at)


def _whole(stream: _Stream, at: float) -> Iterator[Heard]:
    try:
        for message in split(stream.pending):
            yield Heard(at, *stream.ends, message)
    except WireError as error:
        stream.lost = True
        yield Heard(at, *stream.ends, b"", f"{error}")


def _segment(frame: bytes) -> tuple[tuple[str, str], int, int, bytes] | None:
    """Ends, sequence number, flags and payload of a segment of an OpenFlow connection."""
    packet = parse(frame, 0, 2)
    key, l4 = packet.key, packet.l4
    if SLOTS["nw_proto"].get(key) != PROTO_TCP or not l4 or SLOTS["nw_frag"].get(key):
        return None
    sport, dport = SLOTS["tp_src"].get(key), SLOTS["tp_dst"].get(key)
    if not PORTS & {sport, dport}:
        return None
    version = frame[packet.l3] >> 4
    first, size = (packet.l3 + 12, 4) if version == 4 else (packet.l3 + 8, 16)
    ends = tuple(
        _end(frame[at : at + size], port) for at, port in ((first, sport), (first + size, dport))
    )
    seq = int.from_bytes(frame[l4 + 4 : l4 + 8], "big")
    data = frame[l4 + (frame[l4 + 12] >> 4) * 4 : packet.end]
    return (ends[0], ends[1]), seq, frame[l4 + 13], data


def _end(address: bytes, port: int) -> str:
    from ipaddress import ip_address

    found = ip_address(address)
    return f"[{found}]:{port}" if found.version == 6 else f"{found}:{port}"
