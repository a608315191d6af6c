"""The layouts of what is said of groups (sources: see forms.py; lib/ofp-group.c)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ovsct.openflow.actions import OFPP_NONE
from ovsct.openflow.group import Bucket, GroupType
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.actions import pull_actions, put_actions
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.flow_forms import duration_in, duration_out
from ovsct.openflow.wire.layout import Actions, Context, Form, Many, Row, Values, Writer, named
from ovsct.openflow.wire.numbers import (
    BUCKET_ALL,
    BUCKET_FIRST,
    BUCKET_LAST,
    BUCKET_MAX,
    GROUP_ANY,
    NTR_VENDOR,
    OF10,
)
from ovsct.openflow.wire.oxm import port_from_wire, port_to_wire, pull_field_mask, put_entry
from ovsct.openflow.wire.properties import (
    EXPERIMENTER,
    each_property,
    head_of,
    put_property,
    unknown_property,
)
from ovsct.packet.fields import Field

_BAD_BUCKET: Final = "OFPGMFC_BAD_BUCKET"


def _bucket_in(values: Values, _: Context) -> None:
    values["bucket_id"] = 0
    if values["watch_port"] == OFPP_NONE:
        values["watch_port"] = None
    if values["watch_group"] == GROUP_ANY:
        values["watch_group"] = None


def _bucket_out(values: Values, _: Context) -> None:
    if values["watch_port"] is None:
        values["watch_port"] = OFPP_NONE
    if values["watch_group"] is None:
        values["watch_group"] = GROUP_ANY


_BUCKET11: Final = Form(
    Bucket,
    [Row("length:H weight:H watch_port:port watch_group:I 4x"), Actions()],
    _bucket_in,
    _bucket_out,
    length_at=0,
)


class Buckets15:
    """``buckets`` as OpenFlow 1.5 (and Nicira in 1.0) has them; their bytes are in `length`."""

    __slots__ = ("length",)

    def __init__(self, length: str) -> None:
        self.length = length

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        """Read. Raises WireError."""
        part = reader.part(values.pop(self.length))
        select = values["type"] == m.GROUP_TYPES.index(GroupType.SELECT)
        found: dict[int, Bucket] = {}
        while part.left:
            bucket = _pull_bucket15(part, context, weight=1 if select else 0)
            if bucket.bucket_id in found:
                raise WireError(_BAD_BUCKET, f"bucket {bucket.bucket_id} twice")
            found[bucket.bucket_id] = bucket
        values["buckets"] = tuple(found.values())

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        """Write."""
        start = len(writer.buf)
        select = values["type"] == m.GROUP_TYPES.index(GroupType.SELECT)
        for bucket in values["buckets"]:
            writer.buf += _put_bucket15(bucket, context, select=select)
        writer.patch(self.length, len(writer.buf) - start)


_WEIGHT, _WATCH_PORT, _WATCH_GROUP = range(3)


def _pull_bucket15(reader: Reader, context: Context, weight: int) -> Bucket:
    length, size = reader.number(2, _BAD_BUCKET), reader.number(2, _BAD_BUCKET)
    ident = reader.number(4, _BAD_BUCKET)
    body = reader.part(length - 8, _BAD_BUCKET)
    if size > body.left:
        raise WireError(_BAD_BUCKET, f"{size} bytes of actions in a bucket of {length}")
    actions = pull_actions(body, size, context.version)
    watch_port = watch_group = None
    for kind, value in each_property(body):
        if kind == _WEIGHT:
            weight = value.number(2, "OFPBPC_BAD_LEN")
        elif kind == _WATCH_PORT:
            watch_port = _port(value.number(4, "OFPBPC_BAD_LEN"))
        elif kind == _WATCH_GROUP:
            watch_group = value.number(4, "OFPBPC_BAD_LEN")
        else:
            raise unknown_property(kind)
    if ident > BUCKET_MAX:
        raise WireError(_BAD_BUCKET, f"bucket {ident:#x}")
    return Bucket(
        bucket_id=ident, actions=actions, weight=weight, watch_port=watch_port,
        watch_group=None if watch_group == GROUP_ANY else watch_group,
    )  # fmt: skip


def _port(number: int) -> int | None:
    try:
        port = port_from_wire(number)
    except WireError as error:
        raise WireError("OFPGMFC_BAD_WATCH", error.detail) from None
    return None if port == OFPP_NONE else port


def _put_bucket15(bucket: Bucket, context: Context, *, select: bool) -> bytes:
    actions = put_actions(bucket.actions, context.version)
    data = actions
    if select or bucket.weight:
        data += put_property(_WEIGHT, bucket.weight.to_bytes(2, "big") + bytes(2))
    if bucket.watch_port is not None:
        data += put_property(_WATCH_PORT, port_to_wire(bucket.watch_port).to_bytes(4, "big"))
    if bucket.watch_group is not None:
        data += put_property(_WATCH_GROUP, bucket.watch_group.to_bytes(4, "big"))
    head = (len(data) + 8).to_bytes(2, "big") + len(actions).to_bytes(2, "big")
    return head + bucket.bucket_id.to_bytes(4, "big") + data


_SELECTION: Final = (NTR_VENDOR, 1)
_KINDS: Final = (_SELECTION, (0x1540, 1))
"""Netronome's property; the second is what Open vSwitch 2.4 said."""

_METHOD: Final = Row("4x selection_method:16s selection_method_param:Q")


class SelectionMethod:
    """``selection_method``, its parameter and its fields, of a select group."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        """Read. Raises WireError."""
        values.update(selection_method="", selection_method_param=0, fields=())
        for kind, body in each_property(reader):
            if kind not in _KINDS:
                raise unknown_property(kind)
            if values["type"] != m.GROUP_TYPES.index(GroupType.SELECT):
                raise WireError("OFPBPC_BAD_VALUE", "only a select group has a selection method")
            if values.get("command", 0) not in (0, 1, 0x8000):
                raise WireError("OFPBPC_BAD_VALUE", "this command sets no selection method")
            if body.left < _METHOD.size:
                raise WireError("OFPBPC_BAD_LEN", "a selection method that is not whole")
            _METHOD.pull(body, values, context)
            method = values["selection_method"]
            if method not in ("hash", "dp_hash") or (body.left and method != "hash"):
                raise WireError("OFPBPC_BAD_VALUE", f"selection method {method!r}")
            values["fields"] = _pull_fields(body)

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        """Write."""
        if not values["selection_method"]:
            return
        inner = Writer()
        _METHOD.put(values, inner, context)
        version = 0 if context.version == OF10 else context.version
        data = head_of(_SELECTION) + bytes(inner.buf)
        for field, mask in values["fields"]:
            data += put_entry(field, version, mask)
        writer.buf += put_property(EXPERIMENTER, data)


def _pull_fields(reader: Reader) -> tuple[tuple[Field, int], ...]:
    found: dict[Field, int] = {}
    while reader.left:
        field, mask = pull_field_mask(reader)
        if field in found:
            raise WireError("OFPBMC_DUP_FIELD", f"{field.name} twice")
        found[field] = mask
    return tuple(found.items())


# Changing --------------------------------------------------------------------------------------


def _number_buckets(values: Values) -> None:
    """Until 1.5 a bucket's id is its place."""
    values["buckets"] = tuple(
        replace(bucket, bucket_id=number) for number, bucket in enumerate(values["buckets"])
    )


def _check(values: Values) -> None:
    """What OVS ofputil_check_group_mod() checks; raises WireError."""
    named(values, "type", m.GROUP_TYPES, "OFPGMFC_BAD_TYPE")
    buckets, kind, command = values["buckets"], values["type"], values["command"]
    if kind is GroupType.INDIRECT and command != "delete" and len(buckets) != 1:
        raise WireError("OFPGMFC_INVALID_GROUP", "an indirect group has one bucket")
    if command == "remove_bucket" and buckets:
        raise WireError(_BAD_BUCKET, "buckets where one is to go")
    for bucket in buckets:
        alive = bucket.watch_port is not None or bucket.watch_group is not None
        if bucket.weight and kind is not GroupType.SELECT and command != "insert_bucket":
            raise WireError("OFPGMFC_INVALID_GROUP", "a weight outside of a select group")
        if alive and kind in (GroupType.ALL, GroupType.INDIRECT):
            raise WireError("OFPGMFC_WATCH_UNSUPPORTED", "such groups watch nothing")
        if not alive and kind is GroupType.FAST_FAILOVER:
            raise WireError("OFPGMFC_INVALID_GROUP", "a bucket that watches nothing")


def _group_mod11_in(values: Values, _: Context) -> None:
    values["command_bucket_id"] = BUCKET_ALL
    _number_buckets(values)
    if values["command"] == 2 and values["buckets"]:
        raise WireError("OFPGMFC_INVALID_GROUP", "buckets for a group that goes")
    named(values, "command", m.GROUP_COMMANDS_OF11, "OFPGMFC_BAD_COMMAND")
    _check(values)


def _group_mod15_in(values: Values, _: Context) -> None:
    command, ident = values["command"], values["command_bucket_id"]
    one = ident <= BUCKET_MAX or ident in (BUCKET_FIRST, BUCKET_LAST)
    right = {"insert_bucket": one, "remove_bucket": one or ident == BUCKET_ALL}
    name = m.GROUP_COMMANDS.get(command, "")
    if not right.get(name, ident == BUCKET_ALL):
        raise WireError(_BAD_BUCKET, f"command bucket {ident:#x}")
    named(values, "command", m.GROUP_COMMANDS, "OFPGMFC_BAD_COMMAND")
    _check(values)


def _group_mod_out(values: Values, _: Context) -> None:
    values["type"] = m.GROUP_TYPES.index(values["type"])
    values["command"] = {name: n for n, name in m.GROUP_COMMANDS.items()}[values["command"]]


GROUP_MOD11: Final = Form(
    m.GroupMod,
    [Row("command:H type:B 1x group_id:I"), Many("buckets", _BUCKET11, _BAD_BUCKET)],
    _group_mod11_in,
    _group_mod_out,
)
GROUP_MOD15: Final = Form(
    m.GroupMod,
    [
        Row("command:H type:B 1x group_id:I buckets_len:H 2x command_bucket_id:I"),
        Buckets15("buckets_len"), SelectionMethod(),
    ],
    _group_mod15_in,
    _group_mod_out,
)  # fmt: skip

# Telling ---------------------------------------------------------------------------------------


def _desc_in(values: Values, _: Context) -> None:
    named(values, "type", m.GROUP_TYPES, "OFPGMFC_BAD_TYPE")


def _desc11_in(values: Values, context: Context) -> None:
    _desc_in(values, context)
    _number_buckets(values)


def _desc_out(values: Values, _: Context) -> None:
    values["type"] = m.GROUP_TYPES.index(values["type"])


GROUP_DESC11: Final = Form(
    s.GroupDesc,
    [Row("length:H type:B 1x group_id:I"), Many("buckets", _BUCKET11, _BAD_BUCKET)],
    _desc11_in,
    _desc_out,
    length_at=0,
)
GROUP_DESC15: Final = Form(
    s.GroupDesc,
    [
        Row("length:H type:B 1x group_id:I buckets_len:H 6x"), Buckets15("buckets_len"),
        SelectionMethod(),
    ],
    _desc_in,
    _desc_out,
    length_at=0,
)  # fmt: skip

_COUNTERS: Final = "length:H 2x group_id:I ref_count:I 4x packet_count:Q byte_count:Q"
_OF_BUCKETS: Final = Many("buckets", Form(s.Counter, [Row("packet_count:Q byte_count:Q")]))


GROUP_STATS13: Final = Form(
    s.GroupStats,
    [Row(f"{_COUNTERS} sec:I nsec:I"), _OF_BUCKETS],
    duration_in,
    duration_out,
    length_at=0,
)


def _four(name: str) -> str:
    return " ".join(f"{name}{number}:I" for number in range(4))


def _features_in(values: Values, _: Context) -> None:
    for name in ("max_groups", "actions"):
        values[name] = tuple(values[f"{name}{number}"] for number in range(4))


def _features_out(values: Values, _: Context) -> None:
    for name in ("max_groups", "actions"):
        for number, value in enumerate(values[name]):
            values[f"{name}{number}"] = value


GROUP_FEATURES: Final = Form(
    s.GroupFeatures,
    [Row(f"types:I capabilities:I {_four('max_groups')} {_four('actions')}")],
    _features_in,
    _features_out,
)
