"""All messages that are no multipart, and in which versions each has which layout.

Sources: OVS include/openflow/openflow-1.0.h to -1.3.h and nicira-ext.h for the structs,
lib/ofp-flow.c, ofp-packet.c and ofp-group.c for what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ovsct.openflow.actions import OFPP_CONTROLLER, OFPP_LOCAL, OFPP_MAX, OFPP_NONE
from ovsct.openflow.match import Match
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.action_in import REASONS
from ovsct.openflow.wire.connection_forms import (
    BUNDLE_ADD,
    BUNDLE_CONTROL,
    CONTROLLER_ID,
    FLUSH_ZONE,
    REQUESTFORWARD,
    ROLE_STATUS,
    async_properties,
    legacy_async,
    nx_role,
    role,
)
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.flow_forms import (
    FLOW_MOD10,
    FLOW_MOD13,
    NX_FLOW_MOD,
    NX_REMOVED,
    REMOVED10,
    REMOVED13,
    REMOVED15,
)
from ovsct.openflow.wire.group_forms import GROUP_MOD11, GROUP_MOD15
from ovsct.openflow.wire.layout import (
    Actions,
    Context,
    Data,
    Form,
    Many,
    NxMatch,
    OxmMatch,
    PipelineMatch,
    Row,
    Values,
    Zeros,
    named,
)
from ovsct.openflow.wire.meter_forms import METER_MOD
from ovsct.openflow.wire.monitor_forms import CANCEL, PAUSED, RESUMED
from ovsct.openflow.wire.numbers import NX_VENDOR, OF10, OF13, OF14, OF15, ONF_VENDOR, VERSIONS
from ovsct.openflow.wire.port_forms import (
    PACKET_QUEUE10,
    PACKET_QUEUE12,
    PORT10,
    PORT_MOD10,
    PORT_MOD11,
    PORT_MOD14,
    PORT_STATUS,
)
from ovsct.openflow.wire.properties import PacketInProperties
from ovsct.openflow.wire.table_forms import TABLE_MOD11, TABLE_MOD14
from ovsct.openflow.wire.tlv_forms import TLV_MOD, TLV_REPLY, TLV_REQUEST
from ovsct.packet.fields import FIELDS


class Key(NamedTuple):
    """What tells a message: version, type, and of a vendor's message vendor and subtype."""

    version: int
    type: int
    vendor: int = 0
    subtype: int = 0


# Packets ---------------------------------------------------------------------------------------


def _packet_in_in(values: Values, _: Context) -> None:
    named(values, "reason", REASONS, "OFPBRC_BAD_LEN")


def reason_out(values: Values, context: Context) -> None:
    """The number of a reason: until 1.4 there are but three."""
    number = REASONS.index(values["reason"])
    plain = number < 3 or context.version >= OF14
    values["reason"] = number if plain else REASONS.index("action")


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
_RESUME: Final = Form(m.Resume, [PacketInProperties()], _packet_in_in, reason_out)


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


def _packet_out15_in(values: Values, context: Context) -> None:
    port, match = FIELDS["in_port"], values["match"]
    if not port.get(match.mask):
        raise WireError("OFPBRC_BAD_PORT", "packet-out from no port")
    values["in_port"] = port.get(match.value)
    values["match"] = Match(match.value & ~port.mask, match.mask & ~port.mask)
    _packet_out_in(values, context)


def _packet_out15_out(values: Values, _: Context) -> None:
    values["match"] = values["match"].with_field(FIELDS["in_port"], values["in_port"])


_PACKET_OUT15: Final = Form(
    m.PacketOut,
    [
        Row("buffer_id:I actions_len:H 2x"), PipelineMatch(), Actions("actions_len"),
        Data("data"),
    ],
    _packet_out15_in,
    _packet_out15_out,
)  # fmt: skip

# The list --------------------------------------------------------------------------------------


class Spoken(NamedTuple):
    """A form, and how it is told in the versions from `first` to `last`."""

    first: int
    last: int
    type: int
    form: Form
    vendor: int = 0


def nicira(first: int, last: int, subtype: int, form: Form) -> Spoken:
    """A message of Nicira's."""
    return Spoken(first, last, subtype, form, NX_VENDOR)


def onf(first: int, last: int, subtype: int, form: Form) -> Spoken:
    """A message of ONF's."""
    return Spoken(first, last, subtype, form, ONF_VENDOR)


_CONFIG: Final = Row("flags:H miss_send_len:H")
_FEATURES_ROW: Final = Row(
    "datapath_id:Q n_buffers:I n_tables:B auxiliary_id:B 2x capabilities:I actions:I"
)
_BARRIER: Final = Form(m.BarrierRequest, [])
_BARRIER_DONE: Final = Form(m.BarrierReply, [])


def _queue_config(port: str, queue: Form) -> Form:
    size = 6 if port.endswith("H") else 4
    return Form(m.QueueConfig, [Row(f"{port} {size}x"), Many("queues", queue)])


_SPOKEN: Final = (
    Spoken(OF10, OF15, 5, Form(m.FeaturesRequest, [])),
    Spoken(OF10, OF10, 6, Form(m.Features, [_FEATURES_ROW, Many("ports", PORT10)])),
    Spoken(OF13, OF15, 6, Form(m.Features, [_FEATURES_ROW])),
    Spoken(OF10, OF15, 7, Form(m.ConfigRequest, [])),
    Spoken(OF10, OF15, 8, Form(m.Config, [_CONFIG])),
    Spoken(OF10, OF15, 9, Form(m.SetConfig, [_CONFIG])),
    Spoken(OF10, OF10, 10, _PACKET_IN10),
    Spoken(OF13, OF15, 10, _PACKET_IN13),
    nicira(OF10, OF15, 17, _NX_PACKET_IN),
    nicira(OF10, OF15, 28, _RESUME),
    nicira(OF10, OF15, 30, _NX_PACKET_IN2),
    Spoken(OF10, OF10, 11, REMOVED10),
    Spoken(OF13, OF14, 11, REMOVED13),
    Spoken(OF15, OF15, 11, REMOVED15),
    nicira(OF10, OF15, 14, NX_REMOVED),
    Spoken(OF10, OF15, 12, PORT_STATUS),
    Spoken(OF10, OF10, 13, _PACKET_OUT10),
    Spoken(OF13, OF14, 13, _PACKET_OUT13),
    Spoken(OF15, OF15, 13, _PACKET_OUT15),
    Spoken(OF10, OF10, 14, FLOW_MOD10),
    Spoken(OF13, OF15, 14, FLOW_MOD13),
    nicira(OF10, OF10, 13, NX_FLOW_MOD),
    nicira(OF10, OF10, 31, GROUP_MOD15),
    Spoken(OF13, OF14, 15, GROUP_MOD11),
    Spoken(OF15, OF15, 15, GROUP_MOD15),
    Spoken(OF10, OF10, 15, PORT_MOD10),
    Spoken(OF13, OF13, 16, PORT_MOD11),
    Spoken(OF14, OF15, 16, PORT_MOD14),
    Spoken(OF13, OF13, 17, TABLE_MOD11),
    Spoken(OF14, OF15, 17, TABLE_MOD14),
    Spoken(OF10, OF10, 18, _BARRIER),
    Spoken(OF13, OF15, 20, _BARRIER),
    Spoken(OF10, OF10, 19, _BARRIER_DONE),
    Spoken(OF13, OF15, 21, _BARRIER_DONE),
    Spoken(OF10, OF10, 20, Form(m.QueueConfigRequest, [Row("port_no:H 2x")])),
    Spoken(OF13, OF13, 22, Form(m.QueueConfigRequest, [Row("port_no:port 4x")])),
    Spoken(OF10, OF10, 21, _queue_config("port_no:H", PACKET_QUEUE10)),
    Spoken(OF13, OF13, 23, _queue_config("port_no:port", PACKET_QUEUE12)),
    Spoken(OF13, OF15, 24, role(m.RoleRequest)),
    Spoken(OF13, OF15, 25, role(m.RoleReply)),
    nicira(OF10, OF15, 10, nx_role(m.RoleRequest)),
    nicira(OF10, OF15, 11, nx_role(m.RoleReply)),
    Spoken(OF13, OF15, 26, Form(m.AsyncRequest, [])),
    Spoken(OF13, OF13, 27, legacy_async(m.Async)),
    Spoken(OF14, OF15, 27, async_properties(m.Async)),
    Spoken(OF13, OF13, 28, legacy_async(m.SetAsync)),
    Spoken(OF14, OF15, 28, async_properties(m.SetAsync)),
    nicira(OF10, OF15, 19, legacy_async(m.SetAsync, "nx")),
    nicira(OF10, OF13, 27, async_properties(m.SetAsync, "nx2")),
    Spoken(OF13, OF15, 29, METER_MOD),
    onf(OF13, OF13, 1911, ROLE_STATUS),
    Spoken(OF14, OF15, 30, ROLE_STATUS),
    nicira(OF10, OF10, 132, REQUESTFORWARD),
    onf(OF13, OF13, 2350, REQUESTFORWARD),
    Spoken(OF14, OF15, 32, REQUESTFORWARD),
    onf(OF13, OF13, 2300, BUNDLE_CONTROL),
    Spoken(OF14, OF15, 33, BUNDLE_CONTROL),
    onf(OF13, OF13, 2301, BUNDLE_ADD),
    Spoken(OF14, OF15, 34, BUNDLE_ADD),
    nicira(OF10, OF10, 21, CANCEL),
    nicira(OF10, OF10, 22, PAUSED),
    nicira(OF10, OF10, 23, RESUMED),
    onf(OF13, OF13, 1870, CANCEL),
    onf(OF13, OF13, 1871, PAUSED),
    onf(OF13, OF13, 1872, RESUMED),
    nicira(OF10, OF10, 12, Form(m.SetFlowFormat, [Row("format:I")])),
    nicira(OF10, OF15, 15, Form(m.FlowModTableId, [Row("on:B 7x")])),
    nicira(OF10, OF15, 16, Form(m.SetPacketInFormat, [Row("format:I")])),
    nicira(OF10, OF15, 18, Form(m.FlowAge, [])),
    nicira(OF10, OF15, 20, CONTROLLER_ID),
    nicira(OF10, OF15, 24, TLV_MOD),
    nicira(OF10, OF15, 25, TLV_REQUEST),
    nicira(OF10, OF15, 26, TLV_REPLY),
    nicira(OF10, OF15, 29, FLUSH_ZONE),
)

VENDOR: Final = 4


def _keys(spoken: Spoken) -> Iterator[Key]:
    for version in VERSIONS:
        if spoken.first <= version <= spoken.last:
            if spoken.vendor:
                yield Key(version, VENDOR, spoken.vendor, spoken.type)
            else:
                yield Key(version, spoken.type)


FORMS: Final[dict[Key, Form]] = {key: each.form for each in _SPOKEN for key in _keys(each)}
"""The layout of each message by what tells it."""

OPEN: Final = frozenset({m.SetFlowFormat, m.SetPacketInFormat})
"""Messages that OVS pads to a multiple of 8."""
