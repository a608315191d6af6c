"""What a table can do, as the properties of OFPMP_TABLE_FEATURES (OVS lib/ofp-table.c)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from ovsct.openflow.wire.buffer import Reader, pad8, padded
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import OF15
from ovsct.openflow.wire.oxm import HEADS, pull_header
from ovsct.packet.fields import FIELDS

INSTRUCTIONS, NEXT_TABLES, WRITE_ACTIONS, APPLY_ACTIONS = 0, 2, 4, 6
MATCH, WILDCARDS, WRITE_SETFIELD, APPLY_SETFIELD = 8, 10, 12, 14
_GOTO, _METER = 1, 6
_INSTRUCTIONS: Final = (_GOTO, 2, 3, 4, 5)
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
        if head is None:
            continue
        match += head.pack(field.maskable)
        wild += head.pack(False)
        if field.writable:
            settable += head.pack(False)
    return match, wild, settable


def _instructions(version: int, table: int, n_tables: int) -> tuple[int, ...]:
    """The instructions of a table: none leads on from the last one; a meter is one until 1.4."""
    found = _INSTRUCTIONS if table + 1 < n_tables else _INSTRUCTIONS[1:]
    return found if version >= OF15 else (*found, _METER)


@cache
def table_properties(version: int, table: int, n_tables: int) -> bytes:
    """The properties of one table; for a miss they are the same as for a hit."""
    match, wild, settable = _headers(version)
    data = b""
    for miss in (0, 1):
        data += _property(INSTRUCTIONS + miss, _kinds(_instructions(version, table, n_tables)))
        data += _property(NEXT_TABLES + miss, bytes(range(table + 1, n_tables)))
        for actions, fields in ((WRITE_ACTIONS, WRITE_SETFIELD), (APPLY_ACTIONS, APPLY_SETFIELD)):
            data += _property(actions + miss, _kinds(_ACTIONS))
            data += _property(fields + miss, settable)
    return data + _property(MATCH, match) + _property(WILDCARDS, wild)


# Asking for other features -------------------------------------------------------------------

_REQUIRED: Final = (0, 2, 4, 6, 8, 10, 12, 14)
_LAST: Final = APPLY_SETFIELD + 1
_LONGEST_KIND: Final = 0xFFFE


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the properties of a table say: by property the numbers or names that stand there."""

    said: dict[int, frozenset[object]]

    def within(self, other: Abilities) -> bool:
        """Whether `other` can all of this."""
        return all(each <= other.said.get(kind, frozenset()) for kind, each in self.said.items())


_MASKED: Final = 100
"""Stands for the fields of MATCH that take a mask."""


def abilities(properties: bytes, version: int) -> Abilities:
    """The properties of a request (OVS ofputil_decode_table_features(), strict).

    What is not said of a miss is as for a hit. Raises WireError: one is malformed, unknown, there
    twice or missing.
    """
    reader = Reader(properties)
    said: dict[int, frozenset[object]] = {}
    while reader.left:
        kind, length = reader.number(2, "OFPBPC_BAD_LEN"), reader.number(2, "OFPBPC_BAD_LEN")
        if length < 4 or padded(length) - 4 > reader.left:
            raise WireError("OFPBPC_BAD_LEN", f"property {kind} of {length} bytes")
        body = reader.part(length - 4)
        reader.skip(-length % 8)
        if kind in said:
            raise WireError("OFPTFFC_BAD_FEATURES", f"property {kind} twice")
        if kind >= _LONGEST_KIND:
            raise WireError("OFPBPC_BAD_EXP_TYPE", "an experimenter's property")
        if kind > _LAST or kind in (MATCH + 1, WILDCARDS + 1):
            raise WireError("OFPBPC_BAD_TYPE", f"property {kind}")
        said[kind] = _said(kind, body)
        if kind == MATCH:
            said[kind], said[_MASKED] = _matchable(said[kind])
    if (said or version < OF15) and any(kind not in said for kind in _REQUIRED):
        raise WireError("OFPTFFC_BAD_FEATURES", "a required property is missing")
    if said:
        for kind in (INSTRUCTIONS, NEXT_TABLES, WRITE_ACTIONS, APPLY_ACTIONS, WRITE_SETFIELD,
                     APPLY_SETFIELD):  # fmt: skip
            said.setdefault(kind + 1, said[kind])
        said[WILDCARDS] = (said[WILDCARDS] | said[_MASKED]) & said[MATCH]
    return Abilities(said)


def _said(kind: int, body: Reader) -> frozenset[object]:
    found: set[object] = set()
    if kind in (NEXT_TABLES, NEXT_TABLES + 1):
        tables = body.rest()
        if 255 in tables:
            raise WireError("OFPBPC_BAD_VALUE", "table 255 as the next one")
        return frozenset(tables)
    if kind < MATCH:  # numbers of instructions or actions
        while body.left:
            number, length = body.number(2, "OFPBPC_BAD_LEN"), body.number(2, "OFPBPC_BAD_LEN")
            body.skip(length - 4, "OFPBPC_BAD_LEN")
            if kind < NEXT_TABLES and number not in (*_INSTRUCTIONS, _METER):
                raise WireError("OFPBIC_UNKNOWN_INST", f"instruction {number}")
            found.add(number)
        return frozenset(found)
    while body.left:
        field, _, masked, header = pull_header(body, False)
        if field is None:
            raise WireError("OFPBMC_BAD_FIELD", f"header {header:#010x}")
        if masked and kind != MATCH:
            raise WireError("OFPBMC_BAD_MASK", f"{field.name} with a mask")
        found.add((field.name, masked) if kind == MATCH else field.name)
    return frozenset(found)


def _matchable(found: frozenset[object]) -> tuple[frozenset[object], frozenset[object]]:
    """Fields that can be matched, and those of them that take a mask."""
    pairs = [pair for pair in found if isinstance(pair, tuple)]
    return (
        frozenset(name for name, _ in pairs),
        frozenset(name for name, masked in pairs if masked),
    )
