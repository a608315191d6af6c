"""learn(...), text to :class:`Learn` and back (OVS lib/learn.c learn_parse__, learn_format)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ovsct.errors import InputError
from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import Action, LearnSpec, Subfield
from ovsct.openflow.text.argument import (
    Reader,
    arrow,
    at_value,
    is_field_name,
    need_writable,
    read_number,
    read_subfield,
    table_number,
    whole_subfield,
    wrong,
)
from ovsct.openflow.text.lexer import Item, items
from ovsct.openflow.text.names import bits_of
from ovsct.openflow.text.values import format_value, hexadecimal, integer, read_value

_NUMBERS: Final = {
    "priority": 0xFFFF, "idle_timeout": 0xFFFF, "hard_timeout": 0xFFFF, "limit": 0xFFFFFFFF,
    "fin_idle_timeout": 0xFFFF, "fin_hard_timeout": 0xFFFF, "cookie": (1 << 64) - 1,
}  # fmt: skip
_FLAGS: Final = ("send_flow_rem", "delete_learned")


def read_learn(reader: Reader, item: Item) -> Action:
    """The action; raises InputError."""
    said: dict[str, Any] = {}
    specs: list[LearnSpec] = []
    for part in items(reader.text, item.value_start, item.value_end):
        if part.key in _NUMBERS:
            said[part.key] = read_number(part, _NUMBERS[part.key], part.key.replace("_", " "))
        elif part.key in _FLAGS:
            said[part.key] = True
        elif part.key == "table":
            said["table"] = table_number(part.value, part.value_start)
            if said["table"] == 255:
                raise wrong("nothing can be learned into this table", part, "0 to 254")
        elif part.key == "result_dst":
            said["result_dst"] = _result(part)
        elif part.key == "load":
            specs.append(_load(part))
        elif part.key == "output":
            specs.append(LearnSpec("output", whole_subfield(part.value, part.value_start)))
        else:
            specs.append(_match(reader, part))
    return ofp.Learn(tuple(specs), **said, span=item.span)


def _result(part: Item) -> Subfield:
    dst = whole_subfield(part.value, part.value_start)
    need_writable(dst.field, part.value_start, part.value)
    if dst.width != 1:
        raise wrong("the result is one bit", part, "FIELD[BIT]")
    return dst


def _load(part: Item) -> LearnSpec:
    before, name, start = arrow(part)
    dst = whole_subfield(name, start)
    need_writable(dst.field, start, name)
    if before[:1].isdigit():
        limit = (1 << dst.width) - 1
        try:
            return LearnSpec("load", integer(before, limit, f"value of {dst.width} bits"), dst)
        except InputError as error:
            raise at_value(error, part) from None
    return LearnSpec("load", _source(before, part, dst), dst)


def _source(text: str, part: Item, dst: Subfield) -> Subfield:
    src = whole_subfield(text, part.value_start)
    if src.width != dst.width:
        raise wrong(f"the source is {src.width} bits wide and the other {dst.width}", part)
    return src


def _match(reader: Reader, part: Item) -> LearnSpec:
    """``FIELD[bits]``, ``FIELD[bits]=FIELD[bits]`` or ``FIELD[bits]=VALUE``."""
    name = part.key
    dst, length = read_subfield(name, part.start)
    if length != len(name):
        raise InputError(
            "something stands after the field",
            column=part.start + length + 1,
            token=name[length:],
        )
    if not part.value:
        return LearnSpec("match", dst, dst)
    if is_field_name(part.value):
        return LearnSpec("match", _source(part.value, part, dst), dst)
    try:
        if dst.low == 0 and dst.width == bits_of(dst.field):
            value, mask = read_value(dst.field, part.value, reader.ports)
            if mask != dst.field.ones:
                raise wrong("a learned match on a value has no mask", part)
        else:
            value = integer(part.value, (1 << dst.width) - 1, f"value of {dst.width} bits")
    except InputError as error:
        raise at_value(error, part) from None
    return LearnSpec("match", value, dst)


# -- back to text --------------------------------------------------------------------------------


def _hex(value: int) -> str:
    """OVS ``ds_put_hex()``: no leading zeros, and a lone 0 without its 0x."""
    return f"{value:#x}" if value else "0"


def _spec(spec: LearnSpec, subfield: Callable[[Subfield], str]) -> str:
    src, dst = spec.src, spec.dst
    if dst is None:
        assert isinstance(src, Subfield)
        return f"output:{subfield(src)}"
    if spec.becomes == "load":
        value = subfield(src) if isinstance(src, Subfield) else _hex(src)
        return f"load:{value}->{subfield(dst)}"
    if isinstance(src, Subfield):
        same = (src.field, src.low) == (dst.field, dst.low)
        return subfield(dst) if same else f"{subfield(dst)}={subfield(src)}"
    if dst.low == 0 and dst.width == bits_of(dst.field):
        return f"{dst.field.name}={format_value(dst.field, src, dst.field.ones)}"
    return f"{subfield(dst)}={_hex(src)}"


def format_learn(action: ofp.Learn, subfield: Callable[[Subfield], str]) -> str:
    """As OVS prints it; `subfield` prints the bits of a field."""
    parts = [f"table={action.table}"]
    for name in ("idle_timeout", "hard_timeout", "fin_idle_timeout", "fin_hard_timeout"):
        if getattr(action, name):
            parts.append(f"{name}={getattr(action, name)}")
    if action.priority != 0x8000:
        parts.append(f"priority={action.priority}")
    parts += [name for name in _FLAGS if getattr(action, name)]
    if action.cookie:
        parts.append(f"cookie={hexadecimal(action.cookie)}")
    if action.limit:
        parts.append(f"limit={action.limit}")
    if action.result_dst is not None:
        parts.append(f"result_dst={subfield(action.result_dst)}")
    return f"learn({','.join([*parts, *(_spec(spec, subfield) for spec in action.specs)])})"
