"""Properties: values behind their type and length (OVS lib/ofp-prop.c).

OpenFlow 1.4+ has them in many messages, and Nicira's second packet-in is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeAlias

from ovsct.openflow.wire.buffer import Reader, pad8
from ovsct.openflow.wire.continuation import pull_continuation, put_continuation
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.layout import Context, Part, Values, Writer
from ovsct.openflow.wire.match import pull_entries, put_entries
from ovsct.openflow.wire.numbers import COOKIE_NONE, NO_BUFFER

PACKET, FULL_LEN, BUFFER_ID, TABLE, COOKIE, REASON, METADATA, USERDATA, CONTINUATION = range(9)
"""OVS include/openflow/nicira-ext.h, enum nx_packet_in2_prop_type."""

_NUMBERS: Final = {
    FULL_LEN: ("total_len", 4, 0), BUFFER_ID: ("buffer_id", 4, 0), TABLE: ("table", 1, 0),
    COOKIE: ("cookie", 8, 4), REASON: ("reason", 1, 0),
}  # fmt: skip
"""Name, bytes, and zeros before the number, which align it."""


Kind: TypeAlias = int | tuple[int, int]
"""What tells a property: its type, or of an experimenter's the experimenter and his type."""

EXPERIMENTER: Final = 0xFFFF


def each_property(
    reader: Reader, experimenter: int = EXPERIMENTER
) -> Iterator[tuple[Kind, Reader]]:
    """The properties up to the end; types from `experimenter` on are experimenters'.

    Raises WireError: one is not whole.
    """
    while reader.left:
        start = reader.pos
        kind, length = reader.number(2, "OFPBPC_BAD_LEN"), reader.number(2, "OFPBPC_BAD_LEN")
        body = reader.part(length - 4, "OFPBPC_BAD_LEN")
        reader.skip(-length % 8, "OFPBPC_BAD_LEN")
        if kind < experimenter:
            yield kind, body
            continue
        if length < 12:
            raise WireError("OFPBPC_BAD_LEN", f"an experimenter's property of {length} bytes")
        vendor, number = body.number(4), body.number(4)
        if not vendor:
            raise WireError("OFPBPC_BAD_EXPERIMENTER", f"experimenter 0 at byte {start}")
        yield (vendor, number), body


def unknown_property(kind: Kind) -> WireError:
    """The refusal of a property that is not known (OVS ofpprop_unknown())."""
    error = "OFPBPC_BAD_TYPE" if isinstance(kind, int) else "OFPBPC_BAD_EXP_TYPE"
    return WireError(error, f"property {kind}")


def head_of(kind: Kind) -> bytes:
    """What stands between the length of a property and its value."""
    if isinstance(kind, int):
        return b""
    return kind[0].to_bytes(4, "big") + kind[1].to_bytes(4, "big")


class Sized(Part, Protocol):
    """What stands in a property, and the fewest bytes of it."""

    @property
    def size(self) -> int:
        """The fewest bytes."""
        ...


class Properties:
    """Properties up to the end, each with a part of the values.

    Args:
        rows: what stands in each; it may be longer on the wire if its numbers are whole.
        present: which of them are written, by the values; without, all are.
    """

    __slots__ = ("_present", "_rows")

    def __init__(
        self, rows: Mapping[Kind, Sized], present: Callable[[Kind, Values], bool] | None = None
    ) -> None:
        self._rows = dict(rows)
        self._present = present

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        """Read. Raises WireError: one is not whole or not known."""
        for kind, body in each_property(reader):
            row = self._rows.get(kind)
            if row is None:
                raise unknown_property(kind)
            if body.left < row.size:
                raise WireError("OFPBPC_BAD_LEN", f"property {kind} of {body.left} bytes")
            row.pull(body, values, context)

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        """Write."""
        for kind, row in self._rows.items():
            if self._present is None or self._present(kind, values):
                inner = Writer()
                row.put(values, inner, context)
                number = kind if isinstance(kind, int) else EXPERIMENTER
                writer.buf += put_property(number, head_of(kind) + bytes(inner.buf))


def pull_properties(reader: Reader) -> dict[int, Reader]:
    """All properties up to the end, by type. Raises WireError: one is not whole or there twice."""
    found: dict[int, Reader] = {}
    while reader.left:
        kind, length = reader.number(2, "OFPBPC_BAD_LEN"), reader.number(2, "OFPBPC_BAD_LEN")
        if kind in found:
            raise WireError("OFPBPC_DUP_TYPE", f"property {kind} twice")
        found[kind] = reader.part(length - 4, "OFPBPC_BAD_LEN")
        reader.skip(-length % 8, "OFPBPC_BAD_LEN")
    return found


def put_property(kind: int, data: bytes) -> bytes:
    """One property."""
    return pad8(kind.to_bytes(2, "big") + (len(data) + 4).to_bytes(2, "big") + data)


class PacketInProperties:
    """All that a packet-in says."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        """Read."""
        found = pull_properties(reader)
        values.update(cookie=COOKIE_NONE, buffer_id=NO_BUFFER, reason=0, table=0)
        for kind, (name, size, skip) in _NUMBERS.items():
            if kind in found:
                found[kind].skip(skip, "OFPBPC_BAD_LEN")
                values[name] = found[kind].number(size, "OFPBPC_BAD_LEN")
        if PACKET not in found or METADATA not in found:
            raise WireError("OFPBPC_BAD_LEN", "a packet-in without a packet")
        values["data"] = found[PACKET].rest()
        values.setdefault("total_len", len(values["data"]))
        values["match"], _ = pull_entries(found[METADATA])
        values["userdata"] = found[USERDATA].rest() if USERDATA in found else b""
        values["continuation"] = None
        if CONTINUATION in found:
            found[CONTINUATION].skip(4, "OFPBPC_BAD_LEN")
            values["continuation"] = pull_continuation(found[CONTINUATION], context.version)

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        """Write."""
        parts: list[tuple[int, Any]] = [(PACKET, values["data"])]
        if values["total_len"] != len(values["data"]):
            parts.append((FULL_LEN, values["total_len"].to_bytes(4, "big")))
        parts.append((TABLE, values["table"].to_bytes(1, "big")))
        if values["cookie"] != COOKIE_NONE:
            parts.append((COOKIE, bytes(4) + values["cookie"].to_bytes(8, "big")))
        parts.append((REASON, values["reason"].to_bytes(1, "big")))
        # OVS says the metadata as the connection's version would, NXM in 1.0.
        version = 0 if context.version == 1 else context.version
        parts.append((METADATA, put_entries(values["match"], version)))
        if values["continuation"] is not None:
            inside = put_continuation(values["continuation"], context.version)
            parts.append((CONTINUATION, bytes(4) + inside))
        if values["userdata"]:
            parts.append((USERDATA, values["userdata"]))
        for kind, data in parts:
            writer.buf += put_property(kind, data)
