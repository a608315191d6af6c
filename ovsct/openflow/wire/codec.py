"""Whole messages: bytes to objects and back, and where one ends in a stream.

The way in is :func:`split`, then :func:`decode`; the way out :func:`encode`. Follows OVS
lib/ofp-msgs.c (ofphdrs_decode, ofpraw_from_ofphdrs) for what a message that is not known is called.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.errors import WireError, pack_error, unpack_error
from ovsct.openflow.wire.forms import FORMS, OPEN, Key
from ovsct.openflow.wire.layout import Context, Form
from ovsct.openflow.wire.numbers import NX_VENDOR, OF10, ONF_VENDOR
from ovsct.openflow.wire.stats_forms import STATS_FORMS, VENDOR_STATS, StatsKey

HEADER: Final = struct.Struct(">BBHI")
LONGEST: Final = 0xFFFF

_HELLO, _ERROR, _ECHO_REQUEST, _ECHO_REPLY, _VENDOR = range(5)
_STATS: Final = {OF10: (16, 17)}
_MULTIPART: Final = (18, 19)
_VENDORS: Final = (NX_VENDOR, ONF_VENDOR)
_BITMAP: Final = 1


class Message(NamedTuple):
    """A decoded message: its transaction id, what it says, and whether more of it follows."""

    xid: int
    body: Any
    more: bool = False


def split(stream: bytearray) -> list[bytes]:
    """Take the whole messages off the front of `stream`.

    Raises WireError: what follows cannot be a message, so the connection is lost.
    """
    found = []
    at = 0
    while len(stream) - at >= HEADER.size:
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        if length < HEADER.size:
            del stream[:at]
            raise WireError("OFPBRC_BAD_LEN", f"a message of {length} bytes")
        if len(stream) - at < length:
            break
        found.append(bytes(stream[at : at + length]))
        at += length
    del stream[:at]
    return found


def decode(data: bytes, *, table_ids: bool = False) -> Message:
    """One whole message, header and all.

    `table_ids`: commands of OpenFlow 1.0's flow mods hold a table. Raises WireError, the refusal
    that a switch answers with.
    """
    if len(data) < HEADER.size:
        raise WireError("OFPBRC_BAD_LEN", "no whole header")
    version, kind, length, xid = HEADER.unpack_from(data)
    if length != len(data):
        raise WireError("OFPBRC_BAD_LEN", f"{length} bytes said and {len(data)} there")
    body = data[HEADER.size :]
    match kind:
        case 0:
            return Message(xid, m.Hello(_hello_versions(version, body)))
        case 1:
            return Message(xid, m.Error(*unpack_error(body, version)))
        case 2:
            return Message(xid, m.EchoRequest(body))
        case 3:
            return Message(xid, m.EchoReply(body))
        case _:
            pass
    context = Context(version, table_ids)
    reader = Reader(data, HEADER.size)
    if kind in _STATS.get(version, _MULTIPART):
        return _decode_stats(reader, kind, xid, context)
    key = Key(version, kind)
    if kind == _VENDOR:
        vendor = reader.number(4)
        if vendor not in _VENDORS:
            raise WireError("OFPBRC_BAD_VENDOR", f"vendor {vendor:#x}")
        key = Key(version, kind, vendor, reader.number(4))
    form = FORMS.get(key)
    if form is None:
        error = "OFPBRC_BAD_SUBTYPE" if key.vendor else "OFPBRC_BAD_TYPE"
        raise WireError(error, f"{key}")
    return Message(xid, _pull(form, reader, context))


def _pull(form: Form, reader: Reader, context: Context) -> Any:
    thing = form.pull(reader, context)
    if reader.left and type(thing) not in OPEN:
        raise WireError("OFPBRC_BAD_LEN", f"{reader.left} bytes too many")
    return thing


def _decode_stats(reader: Reader, kind: int, xid: int, context: Context) -> Message:
    version = context.version
    reply = kind == _STATS.get(version, _MULTIPART)[1]
    number, flags = reader.number(2), reader.number(2)
    if version != OF10:
        reader.skip(4)
    key = StatsKey(version, reply, number)
    if number == VENDOR_STATS:
        vendor = reader.number(4)
        if vendor not in _VENDORS:
            raise WireError("OFPBRC_BAD_VENDOR", f"vendor {vendor:#x}")
        key = StatsKey(version, reply, number, vendor, reader.number(4))
        if version == OF10:
            reader.skip(4)
    form = STATS_FORMS.get(key)
    if form is None:
        error = "OFPBRC_BAD_SUBTYPE" if key.vendor else "OFPBRC_BAD_STAT"
        raise WireError(error, f"{key}")
    return Message(xid, _pull(form, reader, context), bool(flags & 1))


def _hello_versions(version: int, body: bytes) -> frozenset[int]:
    """The versions of a Hello: its bitmaps, or else all up to its own (OVS ofputil_decode_hello).

    A malformed element is passed over, as OVS does.
    """
    found: set[int] = set()
    at = 0
    while len(body) - at >= 4:
        kind, length = struct.unpack_from(">HH", body, at)
        if length < 4 or at + length > len(body):
            break
        if kind == _BITMAP and length >= 8:
            bits = int.from_bytes(body[at + 4 : at + 8], "big")
            found |= {number for number in range(1, 32) if bits >> number & 1}
        at += (length + 7) & ~7
    return frozenset(found or range(1, version + 1))


# Out -------------------------------------------------------------------------------------------


_BY_CLASS: Final = {
    (form.make, key.version, form.variant): (key, form) for key, form in FORMS.items()
}
_STATS_BY_CLASS: Final = {
    (form.make, key.version, form.variant): (key, form) for key, form in STATS_FORMS.items()
}


def encode(body: Any, version: int, xid: int, *, table_ids: bool = False) -> bytes:
    """The message that says `body`, in `version`; a reply of several parts must fit into one.

    Raises WireError: the version does not have it, or it is too long.
    """
    match body:
        case m.Hello():
            return _whole(version, _HELLO, xid, _hello(body))
        case m.Error():
            return _whole(version, _ERROR, xid, pack_error(body.name, version, body.data))
        case m.EchoRequest():
            return _whole(version, _ECHO_REQUEST, xid, body.data)
        case m.EchoReply():
            return _whole(version, _ECHO_REPLY, xid, body.data)
        case _:
            pass
    context = Context(version, table_ids)
    wanted = (type(body), version, getattr(body, "variant", ""))
    known = _BY_CLASS.get(wanted)
    if known is not None:
        key, form = known
        data = form.put(body, context)
        if key.vendor:
            data = struct.pack(">II", key.vendor, key.subtype) + data
        return _whole(version, key.type, xid, data)
    return _encode_stats(body, form_of(body, version), context, xid, more=False)


def form_of(body: Any, version: int) -> tuple[StatsKey, Form]:
    """The layout of a multipart message. Raises WireError: the version does not have it."""
    known = _STATS_BY_CLASS.get((type(body), version, getattr(body, "variant", "")))
    if known is None:
        raise WireError("OFPBRC_BAD_TYPE", f"no {type(body).__name__} in version {version}")
    return known


def _stats_head(key: StatsKey, version: int, more: bool) -> bytes:
    head = struct.pack(">HH", key.type, int(more))
    if version != OF10:
        head += bytes(4)
    if key.vendor:
        head += struct.pack(">II", key.vendor, key.subtype)
        if version == OF10:
            head += bytes(4)
    return head


def _encode_stats(
    body: Any, known: tuple[StatsKey, Form], context: Context, xid: int, *, more: bool
) -> bytes:
    key, form = known
    kind = _STATS.get(context.version, _MULTIPART)[key.reply]
    data = _stats_head(key, context.version, more) + form.put(body, context)
    return _whole(context.version, kind, xid, data)


def encode_reply(body: Any, version: int, xid: int) -> list[bytes]:
    """The messages that say a multipart reply: as many as its entries need, 64 kB each at most.

    Raises WireError as :func:`encode` does.
    """
    entries = getattr(body, "entries", None)
    if entries is None:
        return [encode(body, version, xid)]
    known = form_of(body, version)
    key, form = known
    each = form.parts[0].form  # type: ignore[attr-defined]  # a Many is all such a form has
    context = Context(version)
    room = LONGEST - HEADER.size - len(_stats_head(key, version, False))
    chunks: list[list[bytes]] = [[]]
    size = 0
    for entry in entries:
        data = each.put(entry, context)
        if len(data) > room:
            continue  # OVS leaves such a flow out of its reply too
        if size + len(data) > room:
            chunks.append([])
            size = 0
        chunks[-1].append(data)
        size += len(data)
    kind = _STATS.get(version, _MULTIPART)[1]
    return [
        _whole(
            version, kind, xid,
            _stats_head(key, version, number < len(chunks) - 1) + b"".join(chunk),
        )
        for number, chunk in enumerate(chunks)
    ]  # fmt: skip


def _hello(body: m.Hello) -> bytes:
    bits = sum(1 << version for version in body.versions)
    return struct.pack(">HHI", _BITMAP, 8, bits)


def _whole(version: int, kind: int, xid: int, data: bytes) -> bytes:
    length = HEADER.size + len(data)
    if length > LONGEST:
        raise WireError("OFPBRC_BAD_LEN", f"a message of {length} bytes")
    return HEADER.pack(version, kind, length, xid) + data
