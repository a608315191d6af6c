"""Layouts: one description of a message that serves both directions.

A :class:`Form` is a row of parts. Each part reads its values out of a message into a dictionary,
and writes them from one. Lengths of what follows are patched in by the part that follows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from ovsct.openflow.wire.actions import pull_actions, put_actions
from ovsct.openflow.wire.buffer import Reader, pad8
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.instructions import in_newer_words, pull_instructions, put_instructions
from ovsct.openflow.wire.match import (
    PACKET_MASK,
    pull_nx_match,
    pull_of10_match,
    pull_oxm_match,
    put_entries,
    put_of10_match,
    put_oxm_match,
)
from ovsct.openflow.wire.numbers import OF10
from ovsct.openflow.wire.oxm import port_from_wire, port_to_wire

Values: TypeAlias = dict[str, Any]


class Context(NamedTuple):
    """What a message's bytes alone do not say: the version, and whether commands hold tables."""

    version: int
    table_ids: bool = False


class Writer:
    """A message under way, and where its numbers stand."""

    __slots__ = ("buf", "marks")

    def __init__(self) -> None:
        self.buf = bytearray()
        self.marks: dict[str, tuple[int, int]] = {}

    def patch(self, name: str, value: int) -> None:
        """Write a number that became known later."""
        at, size = self.marks[name]
        if value >> 8 * size:
            raise WireError("OFPBRC_BAD_LEN", f"{name} would be {value}")
        self.buf[at : at + size] = value.to_bytes(size, "big")


class Part(Protocol):
    """A part of a layout."""

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        """Read."""
        ...

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        """Write."""
        ...


# Numbers in a row ------------------------------------------------------------------------------


class _Code(NamedTuple):
    """A word of a Row: its format of ``struct``, and how its value goes in and out."""

    format: str
    inward: Callable[[Any], Any] | None = None
    outward: Callable[[Any], Any] | None = None
    absent: Any = 0


_CODES: Final = {
    "B": _Code("B"),
    "H": _Code("H"),
    "I": _Code("I"),
    "Q": _Code("Q"),
    "port": _Code("I", port_from_wire, port_to_wire),
    "mac": _Code(
        "6s", lambda data: int.from_bytes(data, "big"), lambda value: value.to_bytes(6, "big")
    ),
}


def _text(kind: str) -> _Code:
    """A text of so many bytes, a zero at its end included."""
    longest = int(kind[:-1]) - 1
    return _Code(
        kind,
        lambda data: data.partition(b"\0")[0].decode(errors="replace"),
        lambda value: value.encode()[:longest],
        "",
    )


class Row:
    """Numbers, texts and padding in a row: ``"cookie:Q command:H 6x name:16s port:port"``.

    B, H, I and Q are unsigned numbers of 1, 2, 4 and 8 bytes; ``Nx`` are zeros, ``Ns`` a text,
    ``mac`` an Ethernet address, ``port`` a port of 32 bits. What is not given is written as 0.
    """

    __slots__ = ("_codes", "_names", "_places", "_struct")

    def __init__(self, spec: str) -> None:
        layout, names, codes, places = ">", [], [], []
        for word in spec.split():
            name, colon, kind = word.rpartition(":")
            if not colon:
                layout += word
                continue
            code = _CODES.get(kind) or _text(kind)
            at = struct.calcsize(layout)
            layout += code.format
            names.append(name)
            codes.append(code)
            places.append((at, struct.calcsize(layout) - at))
        self._struct = struct.Struct(layout)
        self._names, self._codes, self._places = tuple(names), tuple(codes), tuple(places)

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._struct.size

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
        at = reader.skip(self._struct.size)
        found = self._struct.unpack_from(reader.data, at)
        for name, code, value in zip(self._names, self._codes, found, strict=True):
            values[name] = value if code.inward is None else code.inward(value)

    def put(self, values: Values, writer: Writer, _context: Context) -> None:
        start = len(writer.buf)
        given = []
        for name, code, (at, size) in zip(self._names, self._codes, self._places, strict=True):
            value = values.get(name)
            if value is None:
                value = code.absent
            if code.outward is not None:
                value = code.outward(value)
            given.append(value)
            writer.marks[name] = (start + at, size)
        try:
            writer.buf += self._struct.pack(*given)
        except struct.error as error:
            raise WireError("OFPBRC_BAD_LEN", f"{self._names}: {error}") from None


# What has no fixed length ----------------------------------------------------------------------


class Data:
    """All that is left, as bytes."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
        values[self.name] = reader.rest()

    def put(self, values: Values, writer: Writer, _context: Context) -> None:
        writer.buf += values[self.name]


class Passed:
    """All that is left, at which OVS does not look either; nothing is written."""

    __slots__ = ()

    def pull(self, reader: Reader, _values: Values, _context: Context) -> None:
        reader.rest()

    def put(self, _values: Values, _writer: Writer, _context: Context) -> None:
        return


class Zeros:
    """Zeros between two parts."""

    __slots__ = ("length",)

    def __init__(self, length: int) -> None:
        self.length = length

    def pull(self, reader: Reader, _values: Values, _context: Context) -> None:
        reader.skip(self.length)

    def put(self, _values: Values, writer: Writer, _context: Context) -> None:
        writer.buf += bytes(self.length)


class NxMatch:
    """``match`` in Nicira's form, its length in ``match_len``; with `cookie`, that as well."""

    __slots__ = ("cookie",)

    def __init__(self, *, cookie: bool = False) -> None:
        self.cookie = cookie

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
        length = values.pop("match_len")
        values["match"], wanted = pull_nx_match(reader, length, cookie=self.cookie)
        if self.cookie:
            values["cookie"], values["cookie_mask"] = wanted

    def put(self, values: Values, writer: Writer, _context: Context) -> None:
        wanted = (values["cookie"], values["cookie_mask"]) if self.cookie else (0, 0)
        data = put_entries(values["match"], 0, wanted)
        writer.patch("match_len", len(data))
        writer.buf += pad8(data)


class OxmMatch:
    """``match`` in the form of OpenFlow 1.2+."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
        values["match"] = pull_oxm_match(reader)

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        writer.buf += put_oxm_match(values["match"], context.version)


class PipelineMatch:
    """``match``, which may hold nothing of a packet itself (OVS oxm_pull_match_loose())."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
        values["match"] = pull_oxm_match(reader)
        if values["match"].mask & PACKET_MASK:
            raise WireError("OFPBRC_PIPELINE_FIELDS_ONLY", "a match on what is in the packet")

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        writer.buf += put_oxm_match(values["match"], context.version)


class Of10Match:
    """``match`` in the form of OpenFlow 1.0; ``exact`` says whether it leaves nothing open."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
        values["match"], values["exact"] = pull_of10_match(reader)

    def put(self, values: Values, writer: Writer, _context: Context) -> None:
        writer.buf += put_of10_match(values["match"])


class Actions:
    """``actions``: all that is left, or as many bytes as the number `length` says."""

    __slots__ = ("length",)

    def __init__(self, length: str | None = None) -> None:
        self.length = length

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        length = reader.left if self.length is None else values.pop(self.length)
        values["actions"] = pull_actions(reader, length, context.version)

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        data = put_actions(values["actions"], context.version)
        if self.length is not None:
            writer.patch(self.length, len(data))
        writer.buf += data


class Instructions:
    """``actions``: all that is left, as the instructions of a flow with the match ``match``."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        values["actions"] = pull_instructions(reader, context.version)

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        actions = values["actions"]
        if context.version != OF10:
            actions = in_newer_words(actions, values["match"])
        writer.buf += put_instructions(actions, context.version)


class Entry(Protocol):
    """What stands in a row of several: a :class:`Form`, or what chooses one."""

    @property
    def length_at(self) -> int | None:
        """Where it says its own length, if it does."""
        ...

    @property
    def least(self) -> int:
        """The fewest bytes that it has."""
        ...

    def pull(self, reader: Reader, context: Context) -> Any:
        """Read."""
        ...

    def put(self, thing: Any, context: Context) -> bytes:
        """Write."""
        ...


class Many:
    """`name`: forms one behind the other up to the end.

    One whose first row names ``length`` says by it how many bytes it has.
    """

    __slots__ = ("bad_length", "form", "name")

    def __init__(self, name: str, form: Entry, bad_length: str = "OFPBRC_BAD_LEN") -> None:
        self.name = name
        self.form = form
        self.bad_length = bad_length

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        found = []
        while reader.left:
            if self.form.length_at is None:
                found.append(self.form.pull(reader, context))
                continue
            at = reader.pos + self.form.length_at
            if reader.left < self.form.length_at + 2:
                raise WireError(self.bad_length, f"{self.name} end too soon")
            length = int.from_bytes(reader.data[at : at + 2], "big")
            if length < self.form.least or length > reader.left:
                raise WireError(self.bad_length, f"one of {self.name} has {length} bytes")
            found.append(self.form.pull(reader.part(length), context))
        values[self.name] = tuple(found)

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        for each in values[self.name]:
            writer.buf += self.form.put(each, context)


# A whole form ----------------------------------------------------------------------------------

Inward: TypeAlias = Callable[[Values, Context], None]
Outward: TypeAlias = Callable[[Values, Context], None]


@dataclass(frozen=True)
class Form:
    """A layout and the class that its values make.

    `inward` turns what stands on the wire into what the class wants, `outward` the other way.
    `length_at` is where the form says its own length (bytes from its start, 16 bits), if it does;
    `variant` tells apart the forms that one class has in one version.
    """

    make: type
    parts: Sequence[Part]
    inward: Inward | None = None
    outward: Outward | None = None
    length_at: int | None = None
    variant: str = ""

    @property
    def least(self) -> int:
        """The fewest bytes that it has."""
        return sum(part.size for part in self.parts if isinstance(part, Row))

    def pull(self, reader: Reader, context: Context) -> Any:
        """The object that the bytes say. Raises WireError: there are too few or too many."""
        values: Values = {}
        for part in self.parts:
            part.pull(reader, values, context)
        if self.length_at is not None and reader.left:
            raise WireError("OFPBRC_BAD_LEN", f"{reader.left} bytes too many")
        if self.inward is not None:
            self.inward(values, context)
        if self.variant:
            values["variant"] = self.variant
        return self.make(**{name: values[name] for name in _names(self.make) if name in values})

    def put(self, thing: Any, context: Context) -> bytes:
        """The bytes of an object."""
        values = {name: getattr(thing, name) for name in _names(self.make)}
        if self.outward is not None:
            self.outward(values, context)
        writer = Writer()
        for part in self.parts:
            part.put(values, writer, context)
        if self.length_at is not None:
            writer.marks["length"] = (self.length_at, 2)
            writer.patch("length", len(writer.buf))
        return bytes(writer.buf)


_NAMES: Final[dict[type, tuple[str, ...]]] = {}


def _names(make: type) -> tuple[str, ...]:
    """The names of a dataclass's fields."""
    names = _NAMES.get(make)
    if names is None:
        names = _NAMES[make] = tuple(field.name for field in fields(make))
    return names


def named(values: Values, name: str, table: Any, error: str) -> None:
    """Replace a number by its name; raises WireError called `error` if it has none."""
    number = values[name]
    try:
        values[name] = table[number]
    except (IndexError, KeyError):
        raise WireError(error, f"{name} {number}") from None
