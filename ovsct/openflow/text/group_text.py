"""Groups, text to :class:`Group` and back.

Takes what ``ovs-ofctl add-groups`` takes and what ``dump-groups`` prints (OVS lib/ofp-group.c
parse_ofp_group_mod_str__, parse_bucket_str, ofp_print_group).
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import OFPP_CONTROLLER, OFPP_MAX, Action
from ovsct.openflow.check import verify
from ovsct.openflow.group import Bucket, Group, GroupType
from ovsct.openflow.text.action_format import format_actions
from ovsct.openflow.text.action_text import read_actions
from ovsct.openflow.text.flow_text import after_command, lines_of
from ovsct.openflow.text.lexer import Item, items, nearest, with_token
from ovsct.openflow.text.match_text import unknown_field
from ovsct.openflow.text.names import BY_NAME
from ovsct.openflow.text.values import (
    NO_PORTS,
    Ports,
    format_port,
    format_value,
    integer,
    port,
    read_value,
)
from ovsct.packet.fields import Field

_MAX_GROUP: Final = 0xFFFFFF00
_MAX_BUCKET: Final = 0xFFFFFF00
_COMMANDS: Final = ("add", "modify", "delete", "add_or_mod", "insert_bucket", "remove_bucket")
_TYPES: Final = {
    "all": GroupType.ALL,
    "select": GroupType.SELECT,
    "indirect": GroupType.INDIRECT,
    "ff": GroupType.FAST_FAILOVER,
    "fast_failover": GroupType.FAST_FAILOVER,
}
_METHODS: Final = ("hash", "dp_hash")
_KEYS: Final = ("group_id", "type", "selection_method", "selection_method_param", "fields")
_BUCKET = re.compile(r"bucket=")


def _number(item: Item, limit: int, what: str) -> int:
    try:
        return integer(item.value, limit, what)
    except InputError as error:
        raise error.at(column=item.value_start + 1) from None


def _bad(problem: str, item: Item, expected: str | None = None) -> InputError:
    known = expected.split(", ") if expected else []
    return InputError(
        problem,
        column=item.value_start + 1,
        token=item.value or item.key,
        expected=expected,
        hint=nearest(item.value, known),
    )


def _type(item: Item) -> GroupType:
    if item.value not in _TYPES:
        raise _bad("there is no such type of group", item, ", ".join(_TYPES))
    return _TYPES[item.value]


def _method(item: Item) -> str:
    if item.value not in _METHODS:
        raise _bad("OVS has no such selection method (OFPBPC_BAD_VALUE)", item, ", ".join(_METHODS))
    return item.value


def _fields(line: str, item: Item, ports: Ports) -> tuple[tuple[Field, int], ...]:
    """The fields that are hashed, each with its mask: what stands after ``=`` is the mask."""
    found: dict[str, tuple[Field, int]] = {}
    for part in items(line, item.value_start, item.value_end):
        field = BY_NAME.get(part.key)
        if field is None:
            raise unknown_field(part.key, part.start)
        if field.name in found:
            raise InputError("this field stands here twice", column=part.start + 1, token=part.key)
        mask = field.ones
        if part.value:
            try:
                mask, _ = read_value(field, part.value, ports)
            except InputError as error:
                raise error.at(column=part.value_start + 1) from None
            if not mask or (not field.maskable and mask != field.ones):
                raise _bad(f"this cannot be the mask of {field.name}", part)
        found[field.name] = (field, mask)
    return tuple(found.values())


def _watched_port(item: Item, ports: Ports) -> int | None:
    if item.value.lower() in ("any", "none"):
        return None
    try:
        number = port(item.value, ports)
    except InputError as error:
        raise error.at(column=item.value_start + 1) from None
    if number >= OFPP_MAX and number != OFPP_CONTROLLER:
        raise _bad("this port cannot be watched", item)
    return number


def _bucket_actions(line: str, found: list[Item], ports: Ports) -> tuple[Action, ...]:
    actions: list[Action] = []
    drop: Item | None = None
    for item in found:
        bare = item.key.lower() not in ("action", "actions")
        start, end = item.span if bare else (item.value_start, item.value_end)
        read = read_actions(line, start, end, ports)
        if not read and line[start:end].strip():
            drop = item
        actions.extend(read)
    if drop is not None and actions:
        raise InputError(
            "drop cannot stand beside other actions", column=drop.start + 1, token=drop.key
        )
    # Over OpenFlow 1.5 a meter is an action; the action set that a bucket is passes over it.
    verify(tuple(a for a in actions if not isinstance(a, ofp.Meter)), "a bucket")
    return tuple(actions)


def _bucket(line: str, start: int, end: int, kind: GroupType, ports: Ports) -> Bucket:
    """One bucket; its id is -1 if the text does not say one."""
    numbers: dict[str, int] = {}
    watch_port: int | None = None
    actions: list[Item] = []
    for item in items(line, start, end):
        match item.key.lower():
            case "weight":
                numbers["weight"] = _number(item, 0xFFFF, "weight")
                if kind is not GroupType.SELECT and numbers["weight"]:
                    raise _bad("only buckets of select groups have a weight", item)
            case "watch_port":
                watch_port = _watched_port(item, ports)
            case "watch_group":
                numbers["watch_group"] = _number(item, _MAX_GROUP, "group")
            case "bucket_id":
                numbers["bucket_id"] = _number(item, _MAX_BUCKET, "bucket id")
            case _:
                actions.append(item)
    if not actions:
        raise InputError(
            "a bucket must say its actions",
            column=start + 1,
            token=line[start:end].strip(),
            expected="such as bucket=output:1",
        )
    watches = watch_port is not None or "watch_group" in numbers
    if kind is GroupType.FAST_FAILOVER and not watches:
        raise InputError(
            "a bucket of a fast failover group needs watch_port or watch_group",
            column=start + 1,
            token=line[start:end].strip(),
        )
    if watches and kind in (GroupType.ALL, GroupType.INDIRECT):
        raise InputError(
            f"buckets of a group of type {kind} watch nothing (OFPGMFC_WATCH_UNSUPPORTED)",
            column=start + 1,
            token=line[start:end].strip(),
        )
    return Bucket(
        bucket_id=numbers.pop("bucket_id", -1),
        actions=_bucket_actions(line, actions, ports),
        weight=numbers.pop("weight", 1 if kind is GroupType.SELECT else 0),
        watch_port=watch_port,
        span=(start, end),
        **numbers,
    )


def _numbered(buckets: list[Bucket]) -> tuple[Bucket, ...]:
    """Give the buckets without an id the lowest that are free, as ovs-ofctl does.

    It keeps clear of ids said behind the first of them only (OVS lib/ofp-group.c
    ofputil_encode_ofp15_group_mod()), and a switch refuses ids that are there twice.
    """
    said = [bucket.bucket_id for bucket in buckets]
    first = said.index(-1) if -1 in said else len(said)
    kept_clear = set(said[first:])
    free = (number for number in count() if number not in kept_clear)
    numbered = [
        bucket if bucket.bucket_id >= 0 else replace(bucket, bucket_id=next(free))
        for bucket in buckets
    ]
    taken: set[int] = set()
    for bucket, number in zip(numbered, said, strict=True):
        if bucket.bucket_id in taken:
            raise InputError(
                "two buckets have this id (OFPGMFC_BAD_BUCKET)",
                column=bucket.span[0] + 1,
                token=str(bucket.bucket_id),
                hint=None if number >= 0 else "say the bucket_id of every bucket, or of none",
            )
        taken.add(bucket.bucket_id)
    return tuple(numbered)


def _read_group(line: str, file: str | None, number: int | None, ports: Ports) -> Group:
    start = after_command(line, _COMMANDS)
    marks = list(_BUCKET.finditer(line, start))
    head_end = marks[0].start() if marks else len(line)
    seen: dict[str, Item] = {}
    for item in items(line, start, head_end):
        if item.key not in _KEYS:
            raise InputError(
                "there is no such keyword of a group",
                column=item.start + 1,
                token=item.key,
                hint=nearest(item.key, (*_KEYS, "bucket")),
            )
        seen[item.key] = item
    for needed in ("group_id", "type"):
        if needed not in seen:
            raise InputError(f"a group must say its {needed}", column=start + 1)
    kind = _type(seen["type"])
    method = _method(seen["selection_method"]) if "selection_method" in seen else ""
    fields = _fields(line, seen["fields"], ports) if "fields" in seen else ()
    param = seen.get("selection_method_param")
    if fields and method != "hash":
        raise _bad("fields go with selection_method=hash only", seen["fields"])
    if param is not None and not method:
        raise _bad("selection_method_param goes with selection_method", param)
    if method and kind is not GroupType.SELECT:
        problem = "only select groups have a selection method (OFPBPC_BAD_VALUE)"
        raise _bad(problem, seen["selection_method"])
    ends = [mark.start() for mark in marks[1:]] + [len(line)]  # one too many if there is no bucket
    buckets = [
        _bucket(line, mark.end(), end, kind, ports)
        for mark, end in zip(marks, ends, strict=False)
    ]
    if kind is GroupType.INDIRECT and len(buckets) > 1:
        raise InputError("an indirect group has one bucket", column=marks[1].start() + 1)
    if kind is GroupType.INDIRECT and not buckets:
        raise InputError(
            "an indirect group has one bucket (OFPGMFC_INVALID_GROUP)",
            column=seen["type"].start + 1, token="type=indirect",
        )  # fmt: skip
    return Group(
        group_id=_number(seen["group_id"], _MAX_GROUP, "group"),
        type=kind,
        buckets=_numbered(buckets),
        selection_method=method,
        selection_method_param=_number(param, (1 << 64) - 1, "parameter") if param else 0,
        fields=fields,
        text=line,
        file=file,
        line=number,
    )


def parse_group(
    line: str, file: str | None = None, number: int | None = None, ports: Ports = NO_PORTS
) -> Group:
    """The group that one line says, as ``ovs-ofctl add-group`` takes it or ``dump-groups`` prints.

    Raises InputError with file, line, column and token.
    """
    try:
        return _read_group(line, file, number, ports)
    except InputError as error:
        raise with_token(error.at(file=file, line=number), line) from None


def read_groups(text: str, file: str | None = None, ports: Ports = NO_PORTS) -> list[Group]:
    """The groups of a whole file: one a line, blank lines and ``#`` comments aside.

    Raises InputError at the first line that is wrong, and for an id that two groups have.
    """
    found: dict[int, Group] = {}
    for number, line in lines_of(text):
        group = parse_group(line, file, number, ports)
        if group.group_id in found:
            raise InputError(
                "this group is there already (OFPGMFC_GROUP_EXISTS)",
                file=file,
                line=number,
                token=f"group_id={group.group_id}",
                hint=f"see line {found[group.group_id].line}",
            )
        found[group.group_id] = group
    return list(found.values())


def _format_field(field: Field, mask: int) -> str:
    whole = mask == field.ones
    return field.name if whole else f"{field.name}={format_value(field, mask, field.ones)}"


def _format_fields(group: Group) -> str:
    parts = [_format_field(field, mask) for field, mask in group.fields]
    return f"fields={parts[0]}" if len(parts) == 1 else f"fields({','.join(parts)})"


def _format_bucket(bucket: Bucket, kind: GroupType) -> str:
    parts = [f"bucket_id:{bucket.bucket_id}"]
    if bucket.weight != (1 if kind is GroupType.SELECT else 0):
        parts.append(f"weight:{bucket.weight}")
    if bucket.watch_port is not None:
        parts.append(f"watch_port:{format_port(bucket.watch_port)}")
    if bucket.watch_group is not None:
        parts.append(f"watch_group:{bucket.watch_group}")
    parts.append(f"actions={format_actions(bucket.actions)}")
    return f"bucket={','.join(parts)}"


def format_group(group: Group) -> str:
    """The group as ``ovs-ofctl -O OpenFlow15 dump-groups`` prints it; it reads back as itself."""
    parts = [f"group_id={group.group_id}", f"type={group.type}"]
    if group.selection_method:
        parts.append(f"selection_method={group.selection_method}")
        if group.selection_method_param:
            parts.append(f"selection_method_param={group.selection_method_param}")
        if group.fields:
            parts.append(_format_fields(group))
    parts.extend(_format_bucket(bucket, group.type) for bucket in group.buckets)
    return ",".join(parts)
