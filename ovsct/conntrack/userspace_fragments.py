"""Fragments in OVS's own conntrack: held, put together, tracked, sent on as they came
(OVS 3.1 lib/ipf.c).

::

    fragment --> valid? --no--> inv|trk
                   | yes
                   v
                 held until first, last and all between are there ----> 15 s gone: let go with the
                   |                                                    next packet that is tracked,
                   v                                                    `inv` and not even `trk`;
                 the whole is tracked and translated                    25 s: dropped
                   |
                   v
                 the fragments, in order, with the whole's ct_state, addresses and ports

A non-last fragment must not be shorter than 1200 bytes (1280 over IPv6), headers included; two
that overlap make the second invalid.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from ovsct.packet.checksum import update, update16
from ovsct.packet.fields import CT_MASK, FRAG_LATER, SLOTS
from ovsct.packet.packet import ETH_IPV4, PROTO_FRAGMENT, Packet

MIN_V4: Final = 1200
MIN_V6: Final = 1280
MAX_FRAGMENTS: Final = 1000
LIFETIME: Final = 15_000
PURGE: Final = 10_000
"""Milliseconds until a list is let go, and from then until it is dropped."""

CLEAN: Final = 60_000
"""Milliseconds from one look for what is to be dropped to the next."""

BATCH: Final = 32
"""Packets that the datapath works on at once; more fragments than that go with later packets."""

LONGEST_HEADER: Final = 60
_TP: Final = SLOTS["ct_tp_src"].mask | SLOTS["ct_tp_dst"].mask
_FRAG: Final = SLOTS["nw_frag"]
_DL: Final = SLOTS["dl_type"]
_PROTO: Final = SLOTS["nw_proto"]
_RECIRC: Final = SLOTS["recirc_id"]
_PORTS: Final = SLOTS["tp_src"].mask | SLOTS["tp_dst"].mask
_ADDRESSES: Final = (
    SLOTS["nw_src"].mask | SLOTS["nw_dst"].mask | SLOTS["ipv6_src"].mask | SLOTS["ipv6_dst"].mask
)

_EXTENSIONS: Final = (0, 43, 60)
_AH: Final = 51


class Piece:
    """A fragment: its packet, and its first and last byte in the whole."""

    __slots__ = ("end", "packet", "start")

    def __init__(self, packet: Packet, start: int, end: int) -> None:
        self.packet = packet
        self.start = start
        self.end = end


class Pieces:
    """The fragments of one packet so far. `sent` of them have left already."""

    __slots__ = ("expires", "failed", "first", "key", "last", "pieces", "sent")

    def __init__(self, key: tuple[int, ...], expires: int) -> None:
        self.key = key
        self.expires = expires
        self.pieces: list[Piece] = []
        self.first = self.last = self.failed = False
        self.sent = 0


class Fragments:
    """What is held.

    Args:
        v4, v6: put together fragments of this family (``dpctl/ipf-set-enabled``).
        min_v4, min_v6: least size in bytes of a non-last one (``dpctl/ipf-set-min-frag``).
        most: how many are held at most (``dpctl/ipf-set-max-nfrags``).
    """

    def __init__(
        self,
        *,
        v4: bool = True,
        v6: bool = True,
        min_v4: int = MIN_V4,
        min_v6: int = MIN_V6,
        most: int = MAX_FRAGMENTS,
    ) -> None:
        self.enabled = {4: v4, 6: v6}
        self.least = {4: min_v4, 6: min_v6}
        self.most = most
        self.held = 0
        self._lists: dict[tuple[int, ...], Pieces] = {}
        """In the order in which they were begun, which is that in which they expire."""
        self._complete: list[Pieces] = []
        self._next_clean = -1

    @property
    def idle(self) -> bool:
        """Nothing is held, so that no packet need look here."""
        return not self._lists and not self._complete

    def take(self, packet: Packet, zone: int, now: int) -> Pieces | bool:
        """Take a fragment at `now` (ms): True if it is held, False if it is invalid, or all the
        pieces if it was the last that was missing; then track :meth:`whole` and :meth:`settle`.
        """
        read = self._read_v4 if _DL.get(packet.key) == ETH_IPV4 else self._read_v6
        found = read(packet)
        if found is None:
            return False
        family, ident, start, end, first, last = found
        if not self.enabled[family] or self.held >= self.most:
            return False
        key = (family, *ident, zone, _RECIRC.get(packet.key))
        pieces = self._lists.get(key)
        if pieces is None:
            self._lists[key] = pieces = Pieces(key, now + LIFETIME)
        elif pieces.failed or len(pieces.pieces) >= self._longest_list(family):
            return False
        for piece in pieces.pieces:
            if piece.start <= start <= piece.end or piece.start <= end <= piece.end:
                return False
        pieces.pieces.append(Piece(packet.fork(), start, end))
        self.held += 1
        if first:
            pieces.first = True
        elif last:
            pieces.last = True
        if not (pieces.first and pieces.last):
            return True
        pieces.pieces.sort(key=lambda piece: piece.start)
        ordered = pieces.pieces
        if any(before.end + 1 != after.start for before, after in pairwise(ordered)):
            return True
        if _too_long(family, ordered):
            pieces.failed = True
            return True
        del self._lists[key]
        return pieces

    def settle(self, pieces: Pieces, whole: Packet) -> None:
        """Give the fragments what tracking made of the whole; they leave with :meth:`release`."""
        _spread(pieces.pieces, whole)
        self._complete.append(pieces)

    def stale(self, now: int) -> bool:
        """Is anything held that is to be dropped, and only waits for that to be done?"""
        return any(now >= pieces.expires + PURGE for pieces in self._lists.values())

    def clean(self, now: int) -> None:
        """Drop what is too old, once a minute (OVS ``ipf_clean_thread_main()``)."""
        if now < self._next_clean:
            return
        self._next_clean = now + CLEAN
        for key, pieces in list(self._lists.items()):
            if now >= pieces.expires + PURGE:
                self.held -= len(pieces.pieces) - pieces.sent
                del self._lists[key]

    def release(self, room: int, now: int) -> tuple[list[Packet], list[Packet]]:
        """What leaves with a packet that is tracked now: fragments of complete packets, and those
        of one that is given up. `room`: places in the batch.
        """
        done: list[Packet] = []
        while self._complete:
            if not self._send(self._complete[0], room - len(done), now, done):
                break
            self._complete.pop(0)
        given_up: list[Packet] = []
        for key, pieces in self._lists.items():
            if now > pieces.expires and self._send(
                pieces, room - len(done), now, given_up
            ):
                del self._lists[key]
            break
        return done, given_up

    def _send(self, pieces: Pieces, room: int, now: int, out: list[Packet]) -> bool:
        """Send what there is room for; whether that was all."""
        left = pieces.pieces[pieces.sent :]
        if now >= pieces.expires + PURGE:
            self.held -= len(left)
            return True
        some = left[: max(room, 0)]
        out += [piece.packet for piece in some]
        pieces.sent += len(some)
        self.held -= len(some)
        return len(some) == len(left)

    def _longest_list(self, family: int) -> int:
        if family == 6:
            return 65535
        return -(-(65535 - LONGEST_HEADER) // (self.least[4] - LONGEST_HEADER))

    def _read_v4(
        self, packet: Packet
    ) -> tuple[int, tuple[int, ...], int, int, bool, bool] | None:
        frame, l3 = packet.frame, packet.l3
        header = (frame[l3] & 15) * 4
        if not packet.l4 or int.from_bytes(frame[l3 : l3 + header], "big") % 65535:
            return None
        field = frame[l3 + 6] << 8 | frame[l3 + 7]
        offset, more = (field & 0x1FFF) * 8, bool(field & 0x2000)
        last = bool(offset) and not more
        size = packet.end - l3
        if not last and size < self.least[4]:
            return None
        ident = (
            int.from_bytes(frame[l3 + 12 : l3 + 20], "big"),
            frame[l3 + 4] << 8 | frame[l3 + 5],
            frame[l3 + 9],
        )
        end = offset + size - header - 1 & 0xFFFF
        return 4, ident, offset, end, not offset and more, last

    def _read_v6(
        self, packet: Packet
    ) -> tuple[int, tuple[int, ...], int, int, bool, bool] | None:
        frame, l3, l4 = packet.frame, packet.l3, packet.l4
        if not l4:
            return None
        at = fragment_header(frame, l3)
        field = frame[at + 2] << 8 | frame[at + 3]
        offset, more = field & 0xFFF8, bool(field & 1)
        last = bool(offset) and not more
        if not last and packet.end - l3 < self.least[6]:
            return None
        ident = (
            int.from_bytes(frame[l3 + 8 : l3 + 40], "big"),
            int.from_bytes(frame[at + 4 : at + 8], "big"),
        )
        # The offset is counted without the fragment header, which OVS adds to both ends.
        start = offset + 8 & 0xFFFF
        return 6, ident, start, start + packet.end - l4 - 1 & 0xFFFF, not offset and more, last


def fragment_header(frame: bytes, l3: int) -> int:
    """Offset of the fragment header of an IPv6 packet that has one."""
    kind, at = frame[l3 + 6], l3 + 40
    while kind != PROTO_FRAGMENT:
        size = (frame[at + 1] + 2) * 4 if kind == _AH else (frame[at + 1] + 1) * 8
        kind, at = frame[at], at + size
    return at


def _too_long(family: int, ordered: Sequence[Piece]) -> bool:
    first = ordered[0].packet
    rest = ordered[-1].end - ordered[1].start + 1
    if family == 4:
        return first.end - first.l3 + rest > 65535
    return first.end - first.l3 - 40 - 8 + rest > 65535


def whole(pieces: Pieces) -> Packet:
    """The packet that the pieces make, with the metadata of the first.

    Over IPv6 the fragment header stays in it, skipped by the first header, as in OVS: only the
    tracker sees this packet.
    """
    ordered = pieces.pieces
    first = ordered[0].packet
    l3, l4 = first.l3, first.l4
    frame = first.frame[: first.end] + b"".join(
        piece.packet.frame[piece.packet.l4 : piece.packet.l4 + piece.end - piece.start + 1]
        for piece in ordered[1:]
    )
    if pieces.key[0] == 4:
        head = bytearray(frame[l3:l4])
        field = head[6] << 8 | head[7]
        total = update16(head[10] << 8 | head[11], field, field & ~0x2000)
        total = update16(total, head[2] << 8 | head[3], len(frame) - l3)
        head[2:4] = (len(frame) - l3).to_bytes(2, "big")
        head[6:8] = (field & ~0x2000).to_bytes(2, "big")
        head[10:12] = total.to_bytes(2, "big")
        frame = frame[:l3] + bytes(head) + frame[l4:]
    else:
        frame = frame[: l3 + 6] + bytes((_PROTO.get(first.key),)) + frame[l3 + 7 :]
    made = Packet(frame, first.key & ~_FRAG.mask, l3, l4, len(frame))
    made.conn = first.conn
    made.ct_info = first.ct_info
    return made


def _spread(ordered: Sequence[Piece], source: Packet) -> None:
    """Give each piece the addresses and conntrack state of the whole, the first its ports too."""
    first = ordered[0].packet
    body = source.frame[source.l4 : source.l4 + first.end - first.l4]
    first.frame = first.frame[: first.l4] + body + first.frame[first.end :]
    first.key = first.key & ~_PORTS | source.key & _PORTS
    v4 = _DL.get(source.key) == ETH_IPV4
    at, size = (12, 8) if v4 else (8, 32)
    new = source.frame[source.l3 + at : source.l3 + at + size]
    for piece in ordered:
        packet = piece.packet
        frame, l3 = packet.frame, packet.l3
        old = frame[l3 + at : l3 + at + size]
        if old != new:
            if v4:
                total = update(
                    frame[l3 + 10] << 8 | frame[l3 + 11],
                    int.from_bytes(old, "big"), int.from_bytes(new, "big"), 8,
                )  # fmt: skip
                frame = frame[: l3 + 10] + total.to_bytes(2, "big") + frame[l3 + 12 :]
            packet.frame = frame[: l3 + at] + new + frame[l3 + at + size :]
        ct = source.key & CT_MASK
        if _FRAG.get(packet.key) & FRAG_LATER:
            # A later fragment's key has no ports, and 3.1 leaves those of the original tuple out.
            ct &= ~_TP
        packet.key = packet.key & ~(CT_MASK | _ADDRESSES) | ct | source.key & _ADDRESSES
