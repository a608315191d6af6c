"""What a table can do, as the properties of OFPMP_TABLE_FEATURES (OVS lib/ofp-table.c)."""

from __future__ import annotations

from functools import cache
from typing import Final

from ovsct.openflow.wire.buffer import pad8
from ovsct.openflow.wire.oxm import HEADS
from ovsct.packet.fields import FIELDS

INSTRUCTIONS, NEXT_TABLES, WRITE_ACTIONS, APPLY_ACTIONS = 0, 2, 4, 6
MATCH, WILDCARDS, WRITE_SETFIELD, APPLY_SETFIELD = 8, 10, 12, 14
_INSTRUCTIONS: Final = (1, 2, 3, 4, 5)
_ACTIONS: Final = (0, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25)


def _property(kind: int, data: bytes) -> bytes:
    return pad8(kind.to_bytes(2, "big") + (len(data) + 4).to_bytes(2, "big") + data)


def _kinds(numbers: tuple[int, ...]) -> bytes:
    return b"".join(number.to_bytes(2, "big") + (4).to_bytes(2, "big") for number in numbers)


@cache
def _headers(version: int) -> tuple[bytes, bytes, bytes]:
    """Headers of the fields that can be matched (with the mask bit), left open, and set."""
    match, wild, settable = b"", b"", b""
    for field in FIELDS.values():
        head = HEADS.get((field.name, version))
        if head is None or field.name == "recirc_id":
            continue
        match += head.pack(field.maskable)
        wild += head.pack(False)
        if field.writable:
            settable += head.pack(False)
    return match, wild, settable


@cache
def table_properties(version: int, table: int, n_tables: int) -> bytes:
    """The properties of one table; for a miss they are the same as for a hit."""
    match, wild, settable = _headers(version)
    data = b""
    for miss in (0, 1):
        data += _property(INSTRUCTIONS + miss, _kinds(_INSTRUCTIONS))
        data += _property(NEXT_TABLES + miss, bytes(range(table + 1, n_tables)))
        for actions, fields in ((WRITE_ACTIONS, WRITE_SETFIELD), (APPLY_ACTIONS, APPLY_SETFIELD)):
            data += _property(actions + miss, _kinds(_ACTIONS))
            data += _property(fields + miss, settable)
    return data + _property(MATCH, match) + _property(WILDCARDS, wild)
