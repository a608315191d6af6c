"""The layouts of all messages that are no multipart, for OpenFlow 1.0 and 1.3.

Sources: OVS include/openflow/openflow-1.0.h to -1.3.h and nicira-ext.h for the structs,
lib/ofp-flow.c, ofp-packet.c and ofp-group.c for what the numbers mean.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ovsct.openflow.actions import OFPP_CONTROLLER, OFPP_LOCAL, OFPP_MAX, OFPP_NONE
from ovsct.openflow.group import Bucket, GroupType
from ovsct.openflow.match import Match
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.action_in import REASONS
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.flow_forms import (
    FLOW_MOD10,
    FLOW_MOD13,
    NX_FLOW_MOD,
    NX_REMOVED,
    REMOVED10,
    REMOVED13,
)
from ovsct.openflow.wire.layout import (
    Actions,
    Context,
    Data,
    Form,
    Many,
    NxMatch,
    OxmMatch,
    Row,
    Values,
    Zeros,
    named,
)
from ovsct.openflow.wire.numbers import (
    COOKIE_NONE,
    GROUP_ANY,
    NX_VENDOR,
    OF10,
    OF13,
    ONF_VENDOR,
)
from ovsct.openflow.wire.properties import PacketInProperties
from ovsct.packet.fields import FIELDS


class Key(NamedTuple):
    """What tells a message: version, type, and of a vendor's message vendor and subtype."""

    version: int
    type: int
    vendor: int = 0
    subtype: int = 0


# Ports -----------------------------------------------------------------------------------------

_FEATURES_LOW: Final = 0x7F
_MEDIA: Final = ((7, 11), (8, 12), (9, 13), (10, 14), (11, 15))
"""Bits that mean the same in 1.0 and in 1.1+ under other numbers."""

_STATES10: Final = 1


def _features_in(bits: int) -> int:
    return bits & _FEATURES_LOW | sum(1 << new for old, new in _MEDIA if bits >> old & 1)


def _features_out(bits: int) -> int:
    return bits & _FEATURES_LOW | sum(1 << old for old, new in _MEDIA if bits >> new & 1)


_FEATURES: Final = ("curr", "advertised", "supported", "peer")


def _port10_in(values: Values, _: Context) -> None:
    for name in _FEATURES:
        values[name] = _features_in(values[name])


def _port10_out(values: Values, _: Context) -> None:
    values["port_no"] &= 0xFFFF
    values["state"] &= _STATES10
    for name in _FEATURES:
        values[name] = _features_out(values[name])


PORT10: Final = Form(
    m.PortDesc,
    [Row("port_no:H hw_addr:mac name:16s config:I state:I curr:I advertised:I supported:I peer:I")],
    _port10_in,
    _port10_out,
)
PORT13: Final = Form(
    m.PortDesc,
    [Row("port_no:port 4x hw_addr:mac 2x name:16s config:I state:I curr:I advertised:I"
         " supported:I peer:I curr_speed:I max_speed:I")],
)  # fmt: skip


class OnePort:
    """``port``: one port at the end of a message."""

    __slots__ = ()

    def pull(self, reader: Any, values: Values, context: Context) -> None:
        """Read."""
        form = PORT10 if context.version == OF10 else PORT13
        values["port"] = form.pull(reader, context)

    def put(self, values: Values, writer: Any, context: Context) -> None:
        """Write."""
        form = PORT10 if context.version == OF10 else PORT13
        writer.buf += form.put(values["port"], context)


def _port_status_in(values: Values, _: Context) -> None:
    named(values, "reason", m.PORT_REASONS, "NXBRC_BAD_REASON")


def _port_status_out(values: Values, _: Context) -> None:
    values["reason"] = m.PORT_REASONS.index(values["reason"])


_PORT_STATUS: Final = Form(
    m.PortStatus, [Row("reason:B 7x"), OnePort()], _port_status_in, _port_status_out
)

# Packets ---------------------------------------------------------------------------------------


def _packet_in_in(values: Values, _: Context) -> None:
    named(values, "reason", REASONS, "OFPBRC_BAD_LEN")


def reason_out(values: Values, _: Context) -> None:
    """The number of a reason: until 1.4 there are but three."""
    number = REASONS.index(values["reason"])
    values["reason"] = number if number < 3 else REASONS.index("action")


def _packet_in10_in(values: Values, context: Context) -> None:
    _packet_in_in(values, context)
    values["match"] = Match().with_field(FIELDS["in_port"], values.pop("in_port"))


def _packet_in10_out(values: Values, context: Context) -> None:
    reason_out(values, context)
    values["in_port"] = values["match"].get(FIELDS["in_port"])[0] & 0xFFFF


_PACKET_IN10: Final = Form(
    m.PacketIn,
    [Row("buffer_id:I total_len:H in_port:H reason:B 1x"), Data("data")],
    _packet_in10_in,
    _packet_in10_out,
)
_PACKET_IN13: Final = Form(
    m.PacketIn,
    [
        Row("buffer_id:I total_len:H reason:B table:B cookie:Q"), OxmMatch(), Zeros(2),
        Data("data"),
    ],
    _packet_in_in,
    reason_out,
)  # fmt: skip
_NX_PACKET_IN: Final = Form(
    m.PacketIn,
    [
        Row("buffer_id:I total_len:H reason:B table:B cookie:Q match_len:H 6x"), NxMatch(),
        Zeros(2), Data("data"),
    ],
    _packet_in_in,
    reason_out,
    variant="nx",
)  # fmt: skip
_NX_PACKET_IN2: Final = Form(
    m.PacketIn, [PacketInProperties()], _packet_in_in, reason_out, variant="nx2"
)


def _packet_out_in(values: Values, _: Context) -> None:
    port = values["in_port"]
    if port >= OFPP_MAX and port not in (OFPP_LOCAL, OFPP_NONE, OFPP_CONTROLLER):
        raise WireError("OFPBRC_BAD_PORT", f"packet-out from port {port:#x}")


_PACKET_OUT10: Final = Form(
    m.PacketOut,
    [Row("buffer_id:I in_port:H actions_len:H"), Actions("actions_len"), Data("data")],
    _packet_out_in,
)
_PACKET_OUT13: Final = Form(
    m.PacketOut,
    [Row("buffer_id:I in_port:port actions_len:H 6x"), Actions("actions_len"), Data("data")],
    _packet_out_in,
)

# Groups ----------------------------------------------------------------------------------------


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


BUCKET: Final = Form(
    Bucket,
    [Row("length:H weight:H watch_port:port watch_group:I 4x"), Actions()],
    _bucket_in,
    _bucket_out,
    length_at=0,
)


def number_buckets(values: Values) -> None:
    """Until 1.5 a bucket's id is its place."""
    values["buckets"] = tuple(
        Bucket(
            bucket_id=number, actions=bucket.actions, weight=bucket.weight,
            watch_port=bucket.watch_port, watch_group=bucket.watch_group,
        )
        for number, bucket in enumerate(values["buckets"])
    )  # fmt: skip


def _group_mod_in(values: Values, _: Context) -> None:
    named(values, "type", m.GROUP_TYPES, "OFPGMFC_BAD_TYPE")
    named(values, "command", m.GROUP_COMMANDS, "OFPGMFC_BAD_COMMAND")
    number_buckets(values)
    buckets, kind, command = values["buckets"], values["type"], values["command"]
    if command == "delete" and buckets:
        raise WireError("OFPGMFC_INVALID_GROUP", "buckets for a group that goes")
    if kind is GroupType.INDIRECT and command != "delete" and len(buckets) != 1:
        raise WireError("OFPGMFC_INVALID_GROUP", "an indirect group has one bucket")
    for bucket in buckets:
        alive = bucket.watch_port is not None or bucket.watch_group is not None
        if bucket.weight and kind is not GroupType.SELECT:
            raise WireError("OFPGMFC_INVALID_GROUP", "a weight outside of a select group")
        if alive and kind in (GroupType.ALL, GroupType.INDIRECT):
            raise WireError("OFPGMFC_WATCH_UNSUPPORTED", "such groups watch nothing")
        if not alive and kind is GroupType.FAST_FAILOVER:
            raise WireError("OFPGMFC_INVALID_GROUP", "a bucket that watches nothing")


def _group_mod_out(values: Values, _: Context) -> None:
    values["type"] = m.GROUP_TYPES.index(values["type"])
    values["command"] = {name: n for n, name in m.GROUP_COMMANDS.items()}[values["command"]]


_GROUP_MOD: Final = Form(
    m.GroupMod,
    [Row("command:H type:B 1x group_id:I"), Many("buckets", BUCKET, "OFPGMFC_BAD_BUCKET")],
    _group_mod_in,
    _group_mod_out,
)

# Roles and what a connection gets --------------------------------------------------------------


def _role_in(values: Values, _: Context) -> None:
    named(values, "role", m.ROLES, "OFPRRFC_BAD_ROLE")
    if values["role"] in ("nochange", "equal"):
        values["generation_id"] = COOKIE_NONE


def _role_out(values: Values, _: Context) -> None:
    values["role"] = m.ROLES.index(values["role"])


def _nx_role_in(values: Values, _: Context) -> None:
    named(values, "role", m.ROLES[1:], "OFPRRFC_BAD_ROLE")


def _nx_role_out(values: Values, _: Context) -> None:
    values["role"] = max(m.ROLES.index(values["role"]) - 1, 0)


_ASYNC_NAMES: Final = ("packet_in", "port_status", "flow_removed")


def _async_in(values: Values, _: Context) -> None:
    for name in _ASYNC_NAMES:
        values[name] = (values[f"{name}0"], values[f"{name}1"])


def _async_out(values: Values, _: Context) -> None:
    for name in _ASYNC_NAMES:
        values[f"{name}0"], values[f"{name}1"] = values[name]


_ASYNC_ROW: Final = Row(" ".join(f"{name}0:I {name}1:I" for name in _ASYNC_NAMES))


def _controller_id_in(values: Values, _: Context) -> None:
    if values["zero_high"] or values["zero_low"]:
        raise WireError("NXBRC_MUST_BE_ZERO", "padding that is not zero")


def _bundle_in(values: Values, _: Context) -> None:
    named(values, "step", m.BUNDLE_STEPS, "OFPBFC_BAD_TYPE")
    if values["flags"] & ~(m.ATOMIC | m.ORDERED):
        raise WireError("OFPBFC_BAD_FLAGS", f"bundle flags {values['flags']:#x}")


def _bundle_out(values: Values, _: Context) -> None:
    values["step"] = m.BUNDLE_STEPS.index(values["step"])


# The list --------------------------------------------------------------------------------------

_CONFIG: Final = Row("flags:H miss_send_len:H")
_FEATURES_ROW: Final = Row(
    "datapath_id:Q n_buffers:I n_tables:B auxiliary_id:B 2x capabilities:I actions:I"
)
_BOTH: Final[dict[int, Form]] = {
    5: Form(m.FeaturesRequest, []),
    7: Form(m.ConfigRequest, []),
    8: Form(m.Config, [_CONFIG]),
    9: Form(m.SetConfig, [_CONFIG]),
    12: _PORT_STATUS,
}
_PORT_MOD_BITS: Final = "config:I mask:I advertise:I 4x"

FORMS: Final[dict[Key, Form]] = {
    **{Key(version, kind): form for version in (OF10, OF13) for kind, form in _BOTH.items()},
    Key(OF10, 6): Form(m.Features, [_FEATURES_ROW, Many("ports", PORT10)]),
    Key(OF10, 10): _PACKET_IN10,
    Key(OF10, 11): REMOVED10,
    Key(OF10, 13): _PACKET_OUT10,
    Key(OF10, 14): FLOW_MOD10,
    Key(OF10, 15): Form(m.PortMod, [Row(f"port_no:H hw_addr:mac {_PORT_MOD_BITS}")]),
    Key(OF10, 18): Form(m.BarrierRequest, []),
    Key(OF10, 19): Form(m.BarrierReply, []),
    Key(OF13, 6): Form(m.Features, [_FEATURES_ROW]),
    Key(OF13, 10): _PACKET_IN13,
    Key(OF13, 11): REMOVED13,
    Key(OF13, 13): _PACKET_OUT13,
    Key(OF13, 14): FLOW_MOD13,
    Key(OF13, 15): _GROUP_MOD,
    Key(OF13, 16): Form(
        m.PortMod, [Row(f"port_no:port 4x hw_addr:mac 2x {_PORT_MOD_BITS}")]
    ),
    Key(OF13, 20): Form(m.BarrierRequest, []),
    Key(OF13, 21): Form(m.BarrierReply, []),
    Key(OF13, 24): Form(m.RoleRequest, [Row("role:I 4x generation_id:Q")], _role_in, _role_out),
    Key(OF13, 25): Form(m.RoleReply, [Row("role:I 4x generation_id:Q")], _role_in, _role_out),
    Key(OF13, 26): Form(m.AsyncRequest, []),
    Key(OF13, 27): Form(m.Async, [_ASYNC_ROW], _async_in, _async_out),
    Key(OF13, 28): Form(m.SetAsync, [_ASYNC_ROW], _async_in, _async_out),
    Key(OF10, 4, NX_VENDOR, 12): Form(m.SetFlowFormat, [Row("format:I")]),
    Key(OF10, 4, NX_VENDOR, 13): NX_FLOW_MOD,
    Key(OF13, 4, ONF_VENDOR, 2300): Form(
        m.BundleControl, [Row("bundle_id:I step:H flags:H")], _bundle_in, _bundle_out
    ),
    Key(OF13, 4, ONF_VENDOR, 2301): Form(
        m.BundleAdd, [Row("bundle_id:I 2x flags:H"), Data("message")]
    ),
    **{
        Key(version, 4, NX_VENDOR, subtype): form
        for version in (OF10, OF13)
        for subtype, form in {
            10: Form(m.RoleRequest, [Row("role:I")], _nx_role_in, _nx_role_out, variant="nx"),
            11: Form(m.RoleReply, [Row("role:I")], _nx_role_in, _nx_role_out, variant="nx"),
            14: NX_REMOVED,
            15: Form(m.FlowModTableId, [Row("on:B 7x")]),
            16: Form(m.SetPacketInFormat, [Row("format:I")]),
            17: _NX_PACKET_IN,
            18: Form(m.FlowAge, []),
            19: Form(m.SetAsync, [_ASYNC_ROW], _async_in, _async_out, variant="nx"),
            20: Form(
                m.SetControllerId, [Row("zero_high:I zero_low:H controller_id:H")],
                _controller_id_in,
            ),
            30: _NX_PACKET_IN2,
        }.items()
    },
}  # fmt: skip
"""The layout of each message by what tells it."""

OPEN: Final = frozenset({m.SetFlowFormat, m.SetPacketInFormat})
"""Messages that OVS pads to a multiple of 8."""
