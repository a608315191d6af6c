"""Sequence numbers for TCP packets that were said without any, as by ``tcp_flags=syn``.

A packet said in flow fields has no sequence numbers, and zero in all of them would make the
second packet of a connection invalid. :class:`Sequences` fills in what the two ends would send if
everything arrived, also where addresses are translated on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ovsct.compare.evidence import tuple_of
from ovsct.lane import Output, Tuple5
from ovsct.packet.checksum import update
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import PROTO_TCP, parse

_FIRST: Final = (1000, 5000)
_FIN, _SYN, _ACK = 0x01, 0x02, 0x10


class _Talk:
    """What the two sides of one connection will send next."""

    __slots__ = ("next",)

    def __init__(self) -> None:
        self.next = list(_FIRST)


class Sequences:
    """The connections seen so far, by the tuples that their packets had anywhere."""

    def __init__(self) -> None:
        self._talks: dict[Tuple5, tuple[_Talk, int]] = {}

    def filled(self, frame: bytes) -> bytes:
        """The same frame with sequence numbers, if it is a whole TCP segment with none."""
        found = tuple_of(frame)
        if found is None or found[0] != PROTO_TCP:
            return frame
        packet = parse(frame, 0, 2)
        l4 = packet.l4
        if not SLOTS["tp_dst"].get(packet.key) or any(frame[l4 + 4 : l4 + 12]):
            return frame
        flags = SLOTS["tcp_flags"].get(packet.key)
        talk, side = self._talk(found[1])
        seq = talk.next[side]
        ack = talk.next[1 - side] if flags & _ACK else 0
        payload = packet.end - l4 - (frame[l4 + 12] >> 4) * 4
        talk.next[side] = (seq + payload + bool(flags & _SYN) + bool(flags & _FIN)) % (1 << 32)
        numbers = seq << 32 | ack
        at = l4 + 16
        checksum = update(int.from_bytes(frame[at : at + 2], "big"), 0, numbers, 8)
        return (
            frame[: l4 + 4] + numbers.to_bytes(8, "big") + frame[l4 + 12 : at]
            + checksum.to_bytes(2, "big") + frame[at + 2 :]
        )  # fmt: skip

    def _talk(self, ends: Tuple5) -> tuple[_Talk, int]:
        found = self._talks.get(ends)
        if found is None:
            found = self._know(ends, _Talk(), 0)
        return found

    def _know(self, ends: Tuple5, talk: _Talk, side: int) -> tuple[_Talk, int]:
        back = Tuple5(ends.dst, ends.src, ends.dport, ends.sport)
        self._talks[back] = talk, 1 - side
        self._talks[ends] = talk, side
        return talk, side

    def saw(self, frame: bytes, out: Sequence[Output]) -> None:
        """Learn under which addresses a packet left, so that answers to those are known."""
        came = tuple_of(frame)
        if came is None or came[1] not in self._talks:
            return
        talk, side = self._talks[came[1]]
        for output in out:
            left = tuple_of(output.frame)
            if left is not None and left[0] == PROTO_TCP and left[1] not in self._talks:
                self._know(left[1], talk, side)
