"""What the readers of single actions share: numbers, ports, tables, fields and their errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ovsct.errors import InputError
from ovsct.openflow.actions import Subfield
from ovsct.openflow.text.lexer import Item, nearest
from ovsct.openflow.text.names import BY_NAME, BY_WIRE_NAME, bits_of
from ovsct.openflow.text.values import NO_PORTS, Ports, integer, port
from ovsct.packet.fields import Field


class Reader(NamedTuple):
    """What the functions below need to know besides their own item.

    `outer` is the action that the actions being read stand in, if any. `late` takes what
    ovs-ofctl does not see and a switch refuses: it comes behind all else that is wrong.
    """

    text: str
    late: list[InputError]
    ports: Ports = NO_PORTS
    depth: int = 0
    outer: str | None = None


def at_value(error: InputError, item: Item) -> InputError:
    """The error with the column of the item's value."""
    return error.at(column=item.value_start + 1)


def wrong(problem: str, item: Item, expected: str | None = None) -> InputError:
    """An error about the item's value."""
    return InputError(
        problem, column=item.value_start + 1, token=item.value or item.key, expected=expected
    )


def read_number(item: Item, limit: int, what: str) -> int:
    """The item's value, a number of 0 to `limit`; raises InputError that calls it `what`."""
    if not item.value:
        raise InputError(
            f"{item.key} needs a {what}", column=item.start + 1, token=item.key
        )
    try:
        return integer(item.value, limit, what)
    except InputError as error:
        raise at_value(error, item) from None


def read_port(reader: Reader, text: str, start: int) -> int:
    """The port that `text` at column `start` (from 0) says; raises InputError."""
    try:
        return port(text, reader.ports)
    except InputError as error:
        raise error.at(column=start + 1) from None


def table_number(text: str, start: int) -> int:
    """A table, 0 to 255, at column `start` (from 0); raises InputError."""
    if not (text.isdecimal() and text.isascii()):
        raise InputError(
            "this is not a table", column=start + 1, token=text, expected="a number, 0 to 254"
        )
    if int(text) > 255:
        raise InputError("there is no such table", column=start + 1, token=text,
                         expected="0 to 254")  # fmt: skip
    return int(text)


def unknown_argument(part: Item, action: str, known: Iterable[str]) -> InputError:
    known = list(known)
    return InputError(
        f"{action} has no such argument",
        column=part.start + 1,
        token=part.key,
        expected=", ".join(known),
        hint=nearest(part.key, known),
    )


_SUBFIELD = re.compile(r"([^\[\]-]*)(?:\[(?:(\d+)(?:\.\.(\d+))?)?\])?")


def read_field_name(name: str, start: int) -> Field:
    """A field by any of its names, at column `start` (from 0); raises InputError."""
    plain = name[:-2] if name.endswith("_W") else name
    field = BY_WIRE_NAME.get(plain) or BY_NAME.get(name)
    if field is None:
        raise InputError(
            "there is no such field",
            column=start + 1,
            token=name,
            hint=nearest(name, [*BY_NAME, *BY_WIRE_NAME]),
        )
    return field


def is_field_name(text: str) -> bool:
    """Whether `text` begins with the name of a field, as ``FIELD[bits]`` does."""
    name = re.split(r"\[", text, maxsplit=1)[0]
    return name in BY_NAME or name in BY_WIRE_NAME


def read_subfield(text: str, start: int) -> tuple[Subfield, int]:
    """``field``, ``field[]``, ``field[bit]`` or ``field[low..high]`` at the head of `text`.

    Gives it and its length; `start` is its column (from 0). Raises InputError. Source: OVS
    lib/nx-match.c mf_parse_subfield__.
    """
    found = _SUBFIELD.match(text)
    assert found is not None  # both parts may be empty
    field = read_field_name(found[1], start)
    width = bits_of(field)
    low = int(found[2] or 0)
    high = int(found[3]) if found[3] else low if found[2] else width - 1
    if text[found.end() : found.end() + 1] == "[":
        raise InputError(
            "these are not bits of a field",
            column=start + found.end() + 1,
            token=text[found.end() :],
            expected="[], [BIT] or [LOW..HIGH]",
        )
    if not low <= high < width:
        raise InputError(
            f"{field.name} has bits 0 to {width - 1}, the lower one first",
            column=start + 1,
            token=found[0],
        )
    return Subfield(field, low, high - low + 1), found.end()


def whole_subfield(text: str, start: int) -> Subfield:
    subfield, length = read_subfield(text, start)
    if length != len(text):
        raise InputError(
            "something stands after the field", column=start + length + 1, token=text[length:]
        )
    return subfield


def arrow(item: Item) -> tuple[str, str, int]:
    """(before ``->``, after it, column of what is after)."""
    before, arrow, after = item.value.partition("->")
    if not arrow or not after:
        raise wrong(f"{item.key} needs '->' and a field after it", item)
    return before, after, item.value_start + len(before) + 2


def need_writable(
    field: Field, start: int, token: str, late: list[InputError] | None = None
) -> None:
    """Raise InputError if nothing may be written there, or put it into `late`."""
    if not field.writable:
        error = InputError(
            f"{field.name} is read-only (OFPBAC_BAD_SET_ARGUMENT)", column=start + 1, token=token
        )
        if late is None:
            raise error
        late.append(error)


