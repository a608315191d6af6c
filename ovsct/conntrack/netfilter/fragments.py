"""Fragments before conntrack: net/ipv4/ip_fragment.c and nf_conntrack_reasm.c, and back again.

Conntrack sees whole packets. A fragment is held until the others of its packet have come (30 s
after the first it is dropped); the whole then goes on in place of the last, and `mru`, the size of
the largest fragment seen, says into what it is cut again when it leaves.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Final

from ovsct.conntrack.timers import Timed, Timers, milliseconds
from ovsct.errors import OvsctError
from ovsct.lane import Event, EventKind
from ovsct.packet.checksum import checksum
from ovsct.packet.packet import PROTO_FRAGMENT, Packet

HELD: Final = "held"
WHOLE: Final = "whole"
BAD: Final = "bad"

_DF: Final = 0x4000
_MF: Final = 0x2000
_MAX: Final = 65535
_LEAST_MTU: Final = 1280
"""To less no IPv6 packet is cut (IPV6_MIN_MTU)."""

_CE: Final = 8
_NOT_ECT: Final = 1
_ROUTING: Final = 43
_DESTINATION: Final = 60
_UNFRAGMENTABLE: Final = (0, _ROUTING, _DESTINATION)


class Queue(Timed):
    """One packet in pieces. `pieces` by offset; `length` is known when the last one has come.

    `runs` are stretches [start, end] in order: pieces that came one behind the other, each at the
    end of all so far, are one; what fills a gap is one of its own (``inet_frag_queue_insert()``).
    """

    __slots__ = (
        "df_size", "ecn", "first", "have_last", "key", "length", "max_size", "meat", "met",
        "pieces", "runs",
    )  # fmt: skip

    def __init__(self, key: tuple[int, ...], expires: int) -> None:
        Timed.__init__(self, expires)
        self.key = key
        self.met = 0
        self.empty()

    def empty(self) -> None:
        """ip_frag_reinit(): nothing is held, as in the beginning."""
        self.pieces: dict[int, bytes] = {}
        self.runs: list[list[int]] = []
        self.first: tuple[bytes, int] | None = None
        self.have_last = False
        self.length = 0
        self.meat = 0
        self.max_size = 0
        self.df_size = 0
        self.ecn = 0

    def insert(self, start: int, end: int) -> None:
        """Note the stretch of a piece that overlaps none."""
        if self.runs and self.runs[-1][1] == start:
            self.runs[-1][1] = end
        else:
            insort(self.runs, [start, end])


class Reassembly:
    """The fragments that one host holds for conntrack, by zone.

    Args:
        timeout: seconds that a packet may take to be complete (``net.ipv4.ipfrag_time``).
        max_dist: how many fragments of its source may come between two of an IPv4 packet, before
            what is held of it counts as lost (``net.ipv4.ipfrag_max_dist``); 0: any number.

    The kernel's limit on memory (4 MB) is not modelled.
    """

    def __init__(self, timeout: float = 30.0, max_dist: int = 64) -> None:
        self._timeout = milliseconds(timeout)
        self._max_dist = max_dist
        self._met: dict[int, int] = {}
        """Source address to how many fragments came from there, while any are held."""
        self._queues: dict[tuple[int, ...], Queue] = {}
        self._timers: Timers[Queue] = Timers()
        self.sizes: tuple[int, ...] = ()
        """Data bytes of the pieces of the packet that was last WHOLE, for :func:`refragment`."""

    def __len__(self) -> int:
        """Packets of which some pieces are held."""
        return len(self._queues)

    def gather(self, packet: Packet, zone: int, now: float) -> str:
        """Take the fragment `packet` at `now` (seconds).

        Returns:
            HELD: it is kept, the packet is gone for now. WHOLE: `packet` is the whole one now, with
            `mru` set. BAD: it contradicts what is held and is dropped, perhaps with all of that.
        """
        ms = milliseconds(now)
        self._drop_expired(ms)
        v4 = packet.frame[packet.l3] >> 4 == 4
        piece = _read_v4(packet) if v4 else _read_v6(packet)
        if piece is None:
            return BAD
        key = (zone, *piece.key)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = Queue(key, ms + self._timeout)
            self._timers.arm(queue)
        if v4 and self._too_far(queue, piece.key[1] >> 32):
            # The identification has come round: this is another packet.
            queue.empty()
            queue.expires = ms + self._timeout
        answer = self._add(queue, piece)
        if answer == WHOLE:
            self._forget(queue)
            frame = _join_v4(queue) if v4 else _join_v6(queue)
            if frame is None:
                return BAD
            packet.reparse(packet.frame[: packet.l3] + frame)
            packet.mru = max(queue.df_size, queue.max_size)
            packet.pieces = self.sizes = tuple(len(queue.pieces[at]) for at in sorted(queue.pieces))
        return answer

    def _too_far(self, queue: Queue, source: int) -> bool:
        """ip_frag_too_far()."""
        if not self._max_dist:
            return False
        before, queue.met = queue.met, self._met.get(source, 0) + 1
        self._met[source] = queue.met
        return bool(queue.pieces) and queue.met - before > self._max_dist

    def held(self) -> Sequence[Queue]:
        """Every packet of which some pieces are held, the oldest first."""
        return tuple(self._queues.values())

    def hold(self, queue: Queue) -> None:
        """Take over a packet in pieces, from a snapshot."""
        self._queues[queue.key] = queue
        self._timers.arm(queue)

    @property
    def met(self) -> dict[int, int]:
        """Fragments that came, by source address, while any are held."""
        return self._met

    def _add(self, queue: Queue, piece: _Piece) -> str:
        """ip_frag_queue(), nf_ct_frag6_queue()."""
        offset, data = piece.offset, piece.data
        end = offset + len(data)
        if not piece.more:
            if end < queue.length or (queue.have_last and end != queue.length):
                return self._discard(queue)
            queue.have_last = True
            queue.length = end
        elif end > queue.length:
            if queue.have_last:
                return self._discard(queue)
            queue.length = end
        if end == offset:
            return self._discard(queue)
        if not queue.runs or queue.runs[-1][1] < end:
            if queue.runs and offset < queue.runs[-1][1]:
                return self._discard(queue)
        else:
            for start, stop in queue.runs:
                if start <= offset and end <= stop:
                    # Nothing new: this one alone is dropped.
                    return BAD
                if offset < stop and start < end:
                    return self._discard(queue)
        queue.insert(offset, end)
        queue.pieces[offset] = data
        queue.meat += len(data)
        queue.ecn |= 1 << piece.ecn
        if offset == 0:
            queue.first = piece.header, piece.next_header_at
        queue.max_size = max(queue.max_size, piece.size)
        if piece.df:
            queue.df_size = max(queue.df_size, piece.size)
        complete = queue.first is not None and queue.have_last and queue.meat == queue.length
        return WHOLE if complete else HELD

    def _discard(self, queue: Queue) -> str:
        self._forget(queue)
        return BAD

    def _forget(self, queue: Queue) -> None:
        del self._queues[queue.key]
        self._timers.disarm(queue)
        if not self._queues:
            # Only differences count, and there is nothing left that they could be taken to.
            self._met.clear()

    def _drop_expired(self, ms: int) -> list[Queue]:
        ended = self._timers.due(ms)
        for queue in ended:
            del self._queues[queue.key]
        return ended

    def advance(self, now: float) -> Sequence[Event]:
        """Let time pass until `now` (seconds): what was held for too long is dropped."""
        return [
            Event(
                queue.expires / 1000,
                EventKind.FRAGMENTS_EXPIRED,
                f"{len(queue.pieces)} fragments of one packet in zone {queue.key[0]}",
            )
            for queue in self._drop_expired(milliseconds(now))
        ]


class _Piece:
    """One fragment read: `header` is what stands before the data, without a fragment header."""

    __slots__ = (
        "data", "df", "ecn", "header", "key", "more", "next_header_at", "offset", "size",
    )  # fmt: skip

    def __init__(self, key: tuple[int, ...], offset: int, more: bool, data: bytes) -> None:
        self.key = key
        self.offset = offset
        self.more = more
        self.data = data
        self.df = False
        self.ecn = 0
        self.header = b""
        self.next_header_at = 0
        self.size = 0


def _read_v4(packet: Packet) -> _Piece | None:
    frame, l3, end = packet.frame, packet.l3, packet.end
    header = (frame[l3] & 0x0F) * 4
    field = frame[l3 + 6] << 8 | frame[l3 + 7]
    source = int.from_bytes(frame[l3 + 12 : l3 + 20], "big")
    ident = frame[l3 + 4] << 8 | frame[l3 + 5]
    data = frame[l3 + header : end]
    more = bool(field & _MF)
    if more:
        # All but the last come in eighths.
        data = data[: len(data) & ~7]
    piece = _Piece((4, source, ident, frame[l3 + 9]), (field & 0x1FFF) * 8, more, data)
    piece.df = bool(field & _DF)
    piece.ecn = frame[l3 + 1] & 3
    piece.header = frame[l3 : l3 + header]
    piece.size = len(data) + header
    return None if piece.offset + len(data) > _MAX else piece


def _fragment_header(frame: bytes, l3: int, end: int) -> tuple[int, int] | None:
    """Offsets of the IPv6 fragment header and of the field that names it."""
    field, at = l3 + 6, l3 + 40
    while end - at >= 8:
        kind = frame[field]
        if kind == PROTO_FRAGMENT:
            return at, field
        if kind not in _UNFRAGMENTABLE:
            return None
        field, at = at, at + (frame[at + 1] + 1) * 8
    return None


def _read_v6(packet: Packet) -> _Piece | None:
    frame, l3, end = packet.frame, packet.l3, packet.end
    found = _fragment_header(frame, l3, end)
    if found is None:
        return None
    at, field = found
    word = frame[at + 2] << 8 | frame[at + 3]
    source = int.from_bytes(frame[l3 + 8 : l3 + 40], "big")
    ident = int.from_bytes(frame[at + 4 : at + 8], "big")
    data = frame[at + 8 : end]
    more = bool(word & 1)
    if (more and len(data) & 7) or (word & 0xFFF8) + len(data) > _MAX:
        return None
    piece = _Piece((6, source, ident), word & 0xFFF8, more, data)
    piece.ecn = frame[l3 + 1] >> 4 & 3
    piece.header = frame[l3:field] + frame[at : at + 1] + frame[field + 1 : at]
    piece.next_header_at = field - l3
    piece.size = end - l3
    return piece


def _merged_ecn(seen: int) -> int | None:
    """ip_frag_ecn_table: the bits to add, None if the fragments contradict each other."""
    if seen & _NOT_ECT and seen != _NOT_ECT:
        return None
    return 3 if seen & _CE and seen != _CE else 0


def _body(queue: Queue) -> bytes:
    return b"".join(queue.pieces[at] for at in sorted(queue.pieces))


def _join_v4(queue: Queue) -> bytes | None:
    """ip_frag_reasm(): the packet from its IP header on."""
    assert queue.first is not None
    header = bytearray(queue.first[0])
    total = len(header) + queue.length
    ecn = _merged_ecn(queue.ecn)
    if total > _MAX or ecn is None:
        return None
    header[1] |= ecn
    header[2:4] = total.to_bytes(2, "big")
    # DF stays only if a fragment with DF was the largest.
    header[6:8] = (_DF if queue.df_size == queue.max_size else 0).to_bytes(2, "big")
    header[10:12] = b"\0\0"
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + _body(queue)


def _join_v6(queue: Queue) -> bytes | None:
    """nf_ct_frag6_reasm(): the fragment header is taken out."""
    assert queue.first is not None
    header = bytearray(queue.first[0])
    payload = len(header) - 40 + queue.length
    ecn = _merged_ecn(queue.ecn)
    if payload > _MAX or ecn is None:
        return None
    header[1] |= ecn << 4
    header[4:6] = payload.to_bytes(2, "big")
    return bytes(header) + _body(queue)


def refragment(packet: Packet, sizes: Sequence[int] = (), ident: int = 0) -> list[bytes]:
    """The frames that leave for `packet`: one, or the fragments of what was reassembled.

    ip_do_fragment(), ip6_fragment(). Pieces keep the sizes in which they came, if those are given
    and the packet has not been copied on its way; else all but the last are as large as `mru` lets.

    Args:
        sizes: data bytes of each piece that came, in order of their offsets.
        ident: IPv6 only: the identification that the kernel draws anew.

    Raises:
        OvsctError: the extension headers of an IPv6 packet end nowhere.
    """
    frame, l3, end, mru = packet.frame, packet.l3, packet.end, packet.mru
    if not mru or len(frame) <= mru + 14:
        return [frame]
    v4 = frame[l3] >> 4 == 4
    header, field = ((frame[l3] & 0x0F) * 4, 0) if v4 else _unfragmentable(frame, l3, end)
    body = frame[l3 + header : end]
    room = mru - header if v4 else max(mru, _LEAST_MTU) - header - 8
    # Sums differ too if options came behind the fragment header that now stand before it: pieces
    # that came have no room for them in front.
    if sum(sizes) != len(body) or any(size > room for size in sizes):
        sizes = cut_anew(len(body), room)
    frames = []
    at = 0
    for size in sizes:
        last = at + size == len(body)
        whole = frame[l3 : l3 + header]
        if v4:
            start = _cut_v4(whole, at, size, last)
        else:
            start = _cut_v6(whole, field, at, size, last, ident)
        frames.append(frame[:l3] + start + body[at : at + size])
        at += size
    return frames


def _unfragmentable(frame: bytes, l3: int, end: int) -> tuple[int, int]:
    """How long the part of an IPv6 packet is that every fragment repeats, and where in it stands
    what follows (ip6_find_1stfragopt()): hop-by-hop, routing and what options stand before that.
    """
    field, at, routed = 6, 40, False
    while l3 + at <= end:
        kind = frame[l3 + field]
        if kind not in _UNFRAGMENTABLE or (kind == _DESTINATION and routed):
            return at, field
        routed = routed or kind == _ROUTING
        if l3 + at + 2 > end:
            break
        field, at = at, at + (frame[l3 + at + 1] + 1) * 8
    raise OvsctError("the extension headers of a packet that is to be cut end nowhere")


def cut_anew(left: int, room: int) -> tuple[int, ...]:
    """``ip_frag_next()``: as much data as fits (`room` bytes), all but the last a multiple of 8."""
    sizes = []
    while left > room:
        sizes.append(room & ~7)
        left -= sizes[-1]
    return (*sizes, left)


def _cut_v4(whole: bytes, at: int, size: int, last: bool) -> bytes:
    header = bytearray(whole)
    if at:
        _blank_options(header)
    header[2:4] = (len(header) + size).to_bytes(2, "big")
    # DF does not come back, even if the fragments had it.
    header[6:8] = ((0 if last else _MF) | at >> 3).to_bytes(2, "big")
    header[10:12] = b"\0\0"
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header)


def _blank_options(header: bytearray) -> None:
    """ip_options_fragment(): options that are not copied become NOPs behind the first fragment."""
    at = 20
    while at < len(header) and header[at]:
        if header[at] == 1:
            at += 1
            continue
        if at + 1 >= len(header) or header[at + 1] < 2:
            return
        stop = min(at + header[at + 1], len(header))
        if not header[at] & 0x80:
            header[at:stop] = b"\1" * (stop - at)
        at = stop


def _cut_v6(whole: bytes, field: int, at: int, size: int, last: bool, ident: int) -> bytes:
    header = bytearray(whole)
    kind = header[field]
    header[field] = PROTO_FRAGMENT
    header[4:6] = (len(header) - 40 + 8 + size).to_bytes(2, "big")
    word = at | (0 if last else 1)
    return bytes(header) + bytes((kind, 0)) + word.to_bytes(2, "big") + ident.to_bytes(4, "big")
