"""The SCTP tracker: net/netfilter/nf_conntrack_proto_sctp.c.

::

    CLOSED --init--> COOKIE_WAIT --cookie echo--> COOKIE_ECHOED --cookie ack--> ESTABLISHED
    ESTABLISHED --shutdown--> SHUTDOWN_SENT or _RECD --shutdown ack--> SHUTDOWN_ACK_SENT
    SHUTDOWN_ACK_SENT --shutdown complete--> CLOSED;   any --abort--> CLOSED
    a new flow that begins with HEARTBEAT: HEARTBEAT_SENT --heartbeat ack--> ESTABLISHED
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ovsct.conntrack.netfilter.entry import ASSURED, CONFIRMED, Entry

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter
    from ovsct.packet.packet import Packet

NAMES: Final = (
    "NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT",
    "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT",
)  # fmt: skip

TABLE: Final = (
    (   # NO CL CW CE ES SS SR SA HS   original
        "CL CL CW CE ES CL CL SA CW",  # init
        "CL CL CW CE ES SS SR SA CL",  # init ack
        "CL CL CL CL CL CL CL CL CL",  # abort
        "CL CL CW CE SS SS SR SA CL",  # shutdown
        "SA CL CW CE ES SA SA SA SA",  # shutdown ack
        "CL CL CW CE ES SS SR SA CL",  # error
        "CL CL CE CE ES SS SR SA CL",  # cookie echo
        "CL CL CW ES ES SS SR SA CL",  # cookie ack
        "CL CL CW CE ES SS SR CL CL",  # shutdown complete
        "HS CL CW CE ES SS SR SA HS",  # heartbeat
        "CL CL CW CE ES SS SR SA HS",  # heartbeat ack
    ),
    (   # NO CL CW CE ES SS SR SA HS   reply
        "IV CL CW CE ES SS SR SA IV",
        "IV CW CW CE ES SS SR SA IV",
        "IV CL CL CL CL CL CL CL IV",
        "IV CL CW CE SR SS SR SA IV",
        "IV CL CW CE ES SA SA SA IV",
        "IV CL CW CL ES SS SR SA IV",
        "IV CL CE CE ES SS SR SA IV",
        "IV CL CW ES ES SS SR SA IV",
        "IV CL CW CE ES SS SR CL IV",
        "IV CL CW CE ES SS SR SA HS",
        "IV CL CW CE ES SS SR SA ES",
    ),
)  # fmt: skip
"""sctp_conntracks[direction][chunk], a column a state."""

_CODES: Final = {
    "NO": 0, "CL": 1, "CW": 2, "CE": 3, "ES": 4, "SS": 5, "SR": 6, "SA": 7, "HS": 8, "IV": 9,
}  # fmt: skip
_NEXT: Final = tuple(
    tuple(tuple(_CODES[word] for word in row.split()) for row in side) for side in TABLE
)
NONE, CLOSED, ESTABLISHED, IV = 0, 1, 4, 9

# Chunk types (RFC 9260, 3.2).
DATA, INIT, INIT_ACK, HEARTBEAT, HEARTBEAT_ACK = 0, 1, 2, 4, 5
ABORT, SHUTDOWN, SHUTDOWN_ACK, ERROR, COOKIE_ECHO, COOKIE_ACK = 6, 7, 8, 9, 10, 11
SHUTDOWN_COMPLETE: Final = 14
_ROW: Final = {
    INIT: 0, INIT_ACK: 1, ABORT: 2, SHUTDOWN: 3, SHUTDOWN_ACK: 4, ERROR: 5, COOKIE_ECHO: 6,
    COOKIE_ACK: 7, SHUTDOWN_COMPLETE: 8, HEARTBEAT: 9, HEARTBEAT_ACK: 10,
}  # fmt: skip
_ALONE: Final = frozenset((INIT, INIT_ACK, SHUTDOWN_COMPLETE))
_FIRST: Final = frozenset((COOKIE_ACK, COOKIE_ECHO))
_NEVER_NEW: Final = frozenset((ABORT, SHUTDOWN_COMPLETE, COOKIE_ACK))
_OWN_TAG_RULE: Final = frozenset(
    (INIT, SHUTDOWN_COMPLETE, COOKIE_ECHO, ABORT, SHUTDOWN_ACK, HEARTBEAT, HEARTBEAT_ACK)
)

# Entry.end0/end1 hold the verification tags, flags0/flags1 that an INIT was seen, note the rest.
_TAG_FAILED: Final = 1
_LAST_REPLY: Final = 2


class Chunk(NamedTuple):
    """One chunk: its type, flags, and the offset of its value."""

    kind: int
    flags: int
    value: int


def sctp_packet(core: Netfilter, e: Entry, packet: Packet, reply: int, now: int) -> int:
    """nf_conntrack_sctp_packet(); length and checksum have been looked at."""
    frame, l4 = packet.frame, packet.l4
    tag = int.from_bytes(frame[l4 + 4 : l4 + 8], "big")
    chunks = _chunks(packet)
    if chunks is None:
        return -1
    kinds = {chunk.kind for chunk in chunks}
    if not e.status & CONFIRMED and (kinds & _NEVER_NEW or not _start(e, packet, chunks, tag)):
        return -1
    if not kinds & _OWN_TAG_RULE and tag != _tag(e, reply):
        return -1
    walk = _Walk(e, packet, reply, tag, kinds)
    old = new = NONE
    for chunk in chunks:
        if not walk.tag_ok(chunk):
            return -1
        if walk.skip:
            walk.skip = False
            continue
        old = e.state
        row = _ROW.get(chunk.kind)
        new = old if row is None else _NEXT[reply][row][old]
        if new == IV or not walk.note_init(chunk, old, new):
            return -1
        e.state = new
        if old != new and new == ESTABLISHED:
            e.status |= ASSURED
    if walk.ignore:
        # A retransmitted INIT or a stray HEARTBEAT does not renew.
        return 1
    core.refresh(e, packet, reply, now, core.limits(e, "sctp")[new])
    return 1


def _chunks(packet: Packet) -> list[Chunk] | None:
    """The chunks, or None if they contradict each other (do_basic_checks())."""
    frame, end = packet.frame, packet.end
    at = packet.l4 + 12
    found: list[Chunk] = []
    alone = False
    while at < end and end - at >= 4:
        kind, flags = frame[at], frame[at + 1]
        length = frame[at + 2] << 8 | frame[at + 3]
        alone = alone or kind in _ALONE
        if not length or (found and (alone or kind in _FIRST)):
            return None
        found.append(Chunk(kind, flags, at + 4))
        at += (length + 3) & ~3
    return found or None


def _tag(e: Entry, reply: int) -> int:
    return e.end1 if reply else e.end0


def _set_tag(e: Entry, reply: int, tag: int) -> None:
    if reply:
        e.end1 = tag
    else:
        e.end0 = tag


def _init_tag(packet: Packet, chunk: Chunk) -> int | None:
    if packet.end - chunk.value < 16:
        return None
    return int.from_bytes(packet.frame[chunk.value : chunk.value + 4], "big")


def _start(e: Entry, packet: Packet, chunks: list[Chunk], tag: int) -> bool:
    """sctp_new()."""
    e.end0 = e.end1 = e.flags0 = e.flags1 = e.note = 0
    for chunk in chunks:
        row = _ROW.get(chunk.kind)
        # A chunk that changes no state leaves NONE, and a connection cannot begin with that.
        if row is None or _NEXT[0][row][NONE] in (NONE, IV):
            return False
        if chunk.kind == INIT:
            init = _init_tag(packet, chunk)
            if tag or init is None:
                return False
            e.end1 = init
        elif chunk.kind == HEARTBEAT:
            e.end0 = tag
        elif chunk.kind == SHUTDOWN_ACK:
            e.end1 = tag
        e.state = NONE
    return True


class _Walk:
    """What holds from chunk to chunk of one packet."""

    __slots__ = ("e", "ignore", "kinds", "packet", "reply", "skip", "tag")

    def __init__(self, e: Entry, packet: Packet, reply: int, tag: int, kinds: set[int]) -> None:
        self.e = e
        self.packet = packet
        self.reply = reply
        self.tag = tag
        self.kinds = kinds
        self.ignore = False
        self.skip = False

    def tag_ok(self, chunk: Chunk) -> bool:
        """The verification tag, with the exceptions of RFC 9260, 8.5.1."""
        e, reply, tag, kind = self.e, self.reply, self.tag, chunk.kind
        if kind == INIT:
            return tag == 0
        if kind in (ABORT, SHUTDOWN_COMPLETE):
            return tag == _tag(e, 1 - reply if chunk.flags & 1 else reply)
        if kind == COOKIE_ECHO:
            return tag == _tag(e, reply)
        if kind == COOKIE_ACK:
            e.flags0 = e.flags1 = 0
        elif kind == HEARTBEAT:
            return self._heartbeat()
        elif kind == HEARTBEAT_ACK:
            return self._heartbeat_ack()
        return True

    def _heartbeat(self) -> bool:
        e, reply = self.e, self.reply
        mine = _tag(e, reply)
        if mine == 0:
            _set_tag(e, reply, self.tag)
        elif self.tag != mine:
            if DATA in self.kinds or self.ignore:
                return False
            e.note = _TAG_FAILED | (_LAST_REPLY if reply else 0)
            self.ignore = self.skip = True
        else:
            e.note &= ~_TAG_FAILED
        return True

    def _heartbeat_ack(self) -> bool:
        e, reply = self.e, self.reply
        mine = _tag(e, reply)
        if mine == 0:
            _set_tag(e, reply, self.tag)
        elif self.tag != mine:
            if DATA in self.kinds or self.ignore:
                return False
            if not e.note & _TAG_FAILED or bool(e.note & _LAST_REPLY) == bool(reply):
                return False
            e.note &= ~_TAG_FAILED
            _set_tag(e, reply, self.tag)
            _set_tag(e, 1 - reply, 0)
        else:
            e.note &= ~_TAG_FAILED
        return True

    def note_init(self, chunk: Chunk, old: int, new: int) -> bool:
        """Take the tag that an INIT or INIT ACK tells the other side to use."""
        if chunk.kind not in (INIT, INIT_ACK):
            return True
        e, reply = self.e, self.reply
        init = _init_tag(self.packet, chunk)
        if init is None:
            return False
        seen = [e.flags0, e.flags1]
        theirs = _tag(e, 1 - reply)
        if chunk.kind == INIT:
            if old == NONE or theirs != init:
                if seen[0] and seen[1]:
                    seen[1 - reply] = 0
                seen[reply] = 1
            e.flags0, e.flags1 = seen
            if new == old == CLOSED and e.status & CONFIRMED:
                self.ignore = True
        elif (not seen[1 - reply] and theirs and theirs != init) or (
            seen[0] and seen[1] and theirs != init
        ):
            return False
        _set_tag(e, 1 - reply, init)
        return True
