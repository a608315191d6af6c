"""Properties: values behind their type and length, as Nicira's second packet-in has them."""

from __future__ import annotations

from typing import Any, Final

from ovsct.openflow.wire.buffer import Reader, pad8
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.layout import Context, Values, Writer
from ovsct.openflow.wire.match import pull_entries, put_entries
from ovsct.openflow.wire.numbers import COOKIE_NONE, NO_BUFFER

PACKET, FULL_LEN, BUFFER_ID, TABLE, COOKIE, REASON, METADATA, USERDATA, CONTINUATION = range(9)
"""OVS include/openflow/nicira-ext.h, enum nx_packet_in2_prop_type."""

_NUMBERS: Final = {
    FULL_LEN: ("total_len", 4, 0), BUFFER_ID: ("buffer_id", 4, 0), TABLE: ("table", 1, 0),
    COOKIE: ("cookie", 8, 4), REASON: ("reason", 1, 0),
}  # fmt: skip
"""Name, bytes, and zeros before the number, which align it."""


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

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
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
        if values["userdata"]:
            parts.append((USERDATA, values["userdata"]))
        for kind, data in parts:
            writer.buf += put_property(kind, data)
