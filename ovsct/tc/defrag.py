"""IPv4 fragments put together for act_ct and taken apart again at a redirect.

net/ipv4/ip_fragment.c with a queue of its own a zone, net/sched/sch_frag.c and
net/ipv4/ip_output.c ``ip_do_fragment()``. A queue lives 30 s from its first fragment; an overlap
throws all of it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ovsct.errors import OvsctError
from ovsct.lane import Event, EventKind
from ovsct.packet.checksum import checksum

TCP_HEADER: Final = 20
"""Bytes that the kernel pulls together to read or rewrite a TCP header."""

_MORE: Final = 0x2000
_DONT: Final = 0x4000
_OFFSET: Final = 0x1FFF
_MAX_PACKET: Final = 65535
_CE: Final = 3


class Whole(NamedTuple):
    """A packet put together: its frame, the sizes (bytes of IP payload) of its pieces in order,
    and `mru`, the length in bytes of the longest fragment's IP packet.
    """

    frame: bytes
    pieces: tuple[int, ...]
    mru: int


class BadFragmentError(Exception):
    """The fragment (or all of its queue) is thrown away."""


class _Queue:
    """The fragments of one packet so far: payload by offset."""

    __slots__ = ("ends", "head", "length", "longest", "longest_df", "marks", "since", "whole")

    def __init__(self, now: float) -> None:
        self.since = now
        self.ends: dict[int, bytes] = {}
        self.head: bytes | None = None
        self.length = 0
        self.whole = False
        self.longest = 0
        self.longest_df = 0
        self.marks: set[int] = set()


class Defragmenter:
    """The fragment queues of a host. `timeout` in seconds (``net.ipv4.ipfrag_time``)."""

    def __init__(self, timeout: float = 30.0) -> None:
        self.timeout = timeout
        self._queues: dict[tuple[bytes, int, int, int], _Queue] = {}

    def gather(self, frame: bytes, l3: int, zone: int, now: float) -> Whole | None:
        """``ip_defrag()``: take the fragment at offset `l3` of `frame`; None: more are needed.

        As in the kernel the length is that of the frame: act_ct trims padding only afterwards, so
        padding behind a last fragment becomes data.

        Raises:
            BadFragmentError: it, or its whole queue, is dropped.
        """
        self.expire(now)
        ident = frame[l3 + 4] << 8 | frame[l3 + 5]
        key = (frame[l3 + 12 : l3 + 20], ident, frame[l3 + 9], zone)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(now)
        try:
            self._insert(queue, frame, l3)
        except _DiscardError:
            del self._queues[key]
            raise BadFragmentError from None
        if queue.head is None or not queue.whole:
            return None
        if sum(map(len, queue.ends.values())) != queue.length:
            return None
        del self._queues[key]
        return _reassemble(queue, l3)

    def expire(self, now: float) -> Sequence[Event]:
        """Throw away what has waited for too long."""
        gone = [key for key, queue in self._queues.items() if now - queue.since >= self.timeout]
        events = []
        for key in gone:
            ended = self._queues.pop(key).since + self.timeout
            text = f"{len(key[0])}-byte addresses, id {key[1]}, zone {key[3]}"
            events.append(Event(ended, EventKind.FRAGMENTS_EXPIRED, f"fragments: {text}"))
        return events

    @staticmethod
    def _insert(queue: _Queue, frame: bytes, l3: int) -> None:
        """``ip_frag_queue()``."""
        word = frame[l3 + 6] << 8 | frame[l3 + 7]
        header = (frame[l3] & 0x0F) * 4
        offset = (word & _OFFSET) << 3
        data = frame[l3 + header :]
        end = offset + len(data)
        if not word & _MORE:
            if end < queue.length or (queue.whole and end != queue.length):
                raise _DiscardError
            queue.whole = True
            queue.length = end
        else:
            end &= ~7
            if end > queue.length:
                if queue.whole:
                    raise _DiscardError
                queue.length = end
        if end == offset:
            raise _DiscardError
        data = data[: end - offset]
        for at, other in queue.ends.items():
            if offset < at + len(other) and at < end:
                if at <= offset and end <= at + len(other):
                    # inet_frag_queue_insert(): a repetition is dropped, the queue stays.
                    raise BadFragmentError
                raise _DiscardError
        queue.ends[offset] = data
        if not offset:
            queue.head = frame[: l3 + header]
        size = len(data) + header
        queue.longest = max(queue.longest, size)
        if word & _DONT:
            queue.longest_df = max(queue.longest_df, size)
        queue.marks.add(frame[l3 + 1] & 3)


class _DiscardError(Exception):
    """The whole queue goes."""


def _reassemble(queue: _Queue, l3: int) -> Whole:
    """``ip_frag_reasm()``."""
    assert queue.head is not None
    if _CE in queue.marks and 0 in queue.marks:
        # RFC 3168, 5.3: congestion marked on a packet that is not ECN-capable.
        raise BadFragmentError
    head = bytearray(queue.head)
    total = len(head) - l3 + queue.length
    if total > _MAX_PACKET:
        raise BadFragmentError
    if _CE in queue.marks:
        head[l3 + 1] |= _CE
    head[l3 + 2 : l3 + 4] = total.to_bytes(2, "big")
    word = _DONT if queue.longest_df == queue.longest else 0
    head[l3 + 6 : l3 + 8] = word.to_bytes(2, "big")
    _send_check(head, l3)
    pieces = [queue.ends[at] for at in sorted(queue.ends)]
    sizes = tuple(len(piece) for piece in pieces)
    return Whole(bytes(head) + b"".join(pieces), sizes, max(queue.longest, queue.longest_df))


def _send_check(header: bytearray, l3: int) -> None:
    header[l3 + 10 : l3 + 12] = b"\0\0"
    end = l3 + (header[l3] & 0x0F) * 4
    header[l3 + 10 : l3 + 12] = checksum(bytes(header[l3:end])).to_bytes(2, "big")


def split(frame: bytes, l3: int, mru: int, pieces: tuple[int, ...] | None) -> list[bytes]:
    """``ip_do_fragment()``: the frames that a packet leaves as.

    Args:
        l3: offset of the IPv4 header.
        mru: no IP packet may be longer, in bytes.
        pieces: the payload sizes that it came in, if it still hangs together from them.

    Raises:
        OvsctError: the packet has IP options, which are not modelled here.
    """
    if frame[l3] & 0x0F != 5:
        raise OvsctError("fragments of a packet with IP options are not modelled in TC")
    data = frame[l3 + 20 :]
    room = mru - 20
    sizes = _fitting(pieces, room, len(data))
    if sizes is None:
        sizes = _cut(len(data), room)
    out = []
    at = 0
    for size in sizes:
        header = bytearray(frame[: l3 + 20])
        word = at >> 3 | (_MORE if at + size < len(data) else 0)
        header[l3 + 2 : l3 + 4] = (20 + size).to_bytes(2, "big")
        header[l3 + 6 : l3 + 8] = word.to_bytes(2, "big")
        _send_check(header, l3)
        out.append(bytes(header) + data[at : at + size])
        at += size
    return out


def _cut(left: int, room: int) -> list[int]:
    """``ip_frag_next()``: as much as fits, all but the last a multiple of 8."""
    sizes = []
    while left > room:
        sizes.append(room & ~7)
        left -= sizes[-1]
    sizes.append(left)
    return sizes


def _fitting(pieces: tuple[int, ...] | None, room: int, length: int) -> list[int] | None:
    """The pieces as they came, if they make up the packet and each could be a fragment."""
    if pieces is None or sum(pieces) != length:
        return None
    if any(size > room for size in pieces) or any(size & 7 for size in pieces[:-1]):
        return None
    return list(pieces)
