"""Multipart requests of several messages (OVS lib/ofp-msgs.c ofpmp_assembler_execute())."""

from __future__ import annotations

from typing import Any, Final

from ovsct.openflow.wire.codec import HEADER, Message, decode
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import OF10, OF13

LONGEST: Final = 4 << 20
"""Bytes of all messages of one request at most."""

PATIENCE: Final = 1.0
"""Seconds for which the next message of a request is waited for."""

MULTIPART: Final = 18
"""The type of such a request, from 1.3 on."""

_HEAD: Final = HEADER.size + 8
_VENDOR_HEAD: Final = _HEAD + 8


class _Partial:
    """What has come of one request: its messages, and until when the next may come."""

    __slots__ = ("messages", "size", "until")

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.size = 0
        self.until = 0.0


class Parts:
    """The requests of one connection that are not whole yet."""

    def __init__(self) -> None:
        self._partial: dict[int, _Partial] = {}

    def take(self, data: bytes, now: float) -> list[bytes]:
        """A message that came at `now`: the messages of a whole request, or none yet.

        Raises WireError: it does not belong to what came before, or is too much.
        """
        if data[0] < OF13 or data[1] != MULTIPART or len(data) < _HEAD:
            return [data]
        xid, kind = data[4:8], data[8:10]
        more = bool(data[11] & 1)
        known = self._partial.get(int.from_bytes(xid, "big"))
        if known is None:
            if not more:
                return [data]
            known = self._partial[int.from_bytes(xid, "big")] = _Partial()
        known.until = now + PATIENCE
        known.size += len(data)
        first = known.messages[0] if known.messages else data
        ends = not more or first[8:10] != kind or known.size > LONGEST
        if ends:
            del self._partial[int.from_bytes(xid, "big")]
        if first[8:10] != kind:
            raise WireError("OFPBRC_BAD_STAT", "another request under the same transaction")
        if known.size > LONGEST:
            raise WireError("OFPBRC_MULTIPART_BUFFER_OVERFLOW", f"{known.size} bytes")
        known.messages.append(data)
        if not ends:
            return []
        bodies = [message for message in known.messages if len(message) > _least(message)]
        return bodies or known.messages[:1]

    def late(self, now: float) -> list[bytes]:
        """The requests whose next message has not come, by their first one; they are forgotten."""
        late = [xid for xid, partial in self._partial.items() if now > partial.until]
        return [self._partial.pop(xid).messages[0] for xid in late]


def _least(message: bytes) -> int:
    return _VENDOR_HEAD if message[8:10] == b"\xff\xff" else _HEAD


def whole(messages: list[bytes], *, table_ids: bool) -> Message:
    """One message of all parts. Raises WireError: the request may have but one part."""
    found = [decode(each, table_ids=table_ids) for each in messages]
    if len(found) == 1:
        return found[0]
    body: Any = found[0].body
    entries = getattr(body, "entries", None)
    if entries is None:
        raise WireError("OFPBRC_BAD_STAT", "a request of several parts")
    every = tuple(entry for each in found for entry in each.body.entries)
    return Message(found[0].xid, type(body)(every))


def is_request(version: int, kind: int) -> bool:
    """Whether a message's type is that of a multipart request or reply."""
    return kind in ((16, 17) if version == OF10 else (18, 19))
