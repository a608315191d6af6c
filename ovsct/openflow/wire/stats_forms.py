"""All multipart messages, and in which versions each has which layout (sources: see forms.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.flow_forms import Oxs, duration_in, duration_out, flags_in, flags_out
from ovsct.openflow.wire.forms import Spoken, nicira, onf
from ovsct.openflow.wire.group_forms import (
    GROUP_DESC11,
    GROUP_DESC15,
    GROUP_FEATURES,
    GROUP_STATS13,
)
from ovsct.openflow.wire.layout import (
    Context,
    Form,
    Instructions,
    Many,
    NxMatch,
    Of10Match,
    OxmMatch,
    Row,
    Values,
)
from ovsct.openflow.wire.meter_forms import METER_CONFIG, METER_FEATURES, METER_STATS
from ovsct.openflow.wire.monitor_forms import MONITOR10, MONITOR13, MONITOR14, UPDATES
from ovsct.openflow.wire.numbers import OF10, OF13, OF14, OF15, VERSIONS
from ovsct.openflow.wire.port_forms import (
    PORT10,
    PORT11,
    PORT14,
    PORT_STATS10,
    PORT_STATS13,
    PORT_STATS14,
    QUEUE10,
    QUEUE13,
    QUEUE14,
    QUEUE_DESC14,
)
from ovsct.openflow.wire.table_forms import (
    TABLE_DESC14,
    TABLE_FEATURES,
    TABLE_STATS10,
    TABLE_STATS13,
)


class StatsKey(NamedTuple):
    """What tells a multipart message; `subtype` that of Nicira's."""

    version: int
    reply: bool
    type: int
    vendor: int = 0
    subtype: int = 0


VENDOR_STATS: Final = 0xFFFF


def _entries(make: type, form: Form, variant: str = "", bad: str = "OFPBRC_BAD_LEN") -> Form:
    return Form(make, [Many("entries", form, bad)], variant=variant)


# Flows -----------------------------------------------------------------------------------------


def _ages_in(values: Values, context: Context) -> None:
    duration_in(values, context)
    values["flags"] = frozenset()
    for name in ("idle_age", "hard_age"):
        age = values.pop(f"{name}_1")
        values[name] = age - 1 if age else None


def _ages_out(values: Values, context: Context) -> None:
    duration_out(values, context)
    for name in ("idle_age", "hard_age"):
        age = values[name]
        values[f"{name}_1"] = 0 if age is None else min(age + 1, 0xFFFF)


def _flow13_in(values: Values, context: Context) -> None:
    duration_in(values, context)
    flags_in(values, context.version)


def _flow13_out(values: Values, context: Context) -> None:
    duration_out(values, context)
    flags_out(values, context.version)
    if context.version < OF14:
        values["importance"] = 0


def _flow15_in(values: Values, context: Context) -> None:
    flags_in(values, context.version)


def _flow15_out(values: Values, context: Context) -> None:
    flags_out(values, context.version)


_FLOW10: Final = Form(
    s.FlowStats,
    [
        Row("length:H table:B 1x"), Of10Match(),
        Row("sec:I nsec:I priority:H idle_timeout:H hard_timeout:H 6x cookie:Q packet_count:Q"
            " byte_count:Q"),
        Instructions(),
    ],
    duration_in,
    duration_out,
    length_at=0,
)  # fmt: skip
_NX_FLOW: Final = Form(
    s.FlowStats,
    [
        Row("length:H table:B 1x sec:I nsec:I priority:H idle_timeout:H hard_timeout:H match_len:H"
            " idle_age_1:H hard_age_1:H cookie:Q packet_count:Q byte_count:Q"),
        NxMatch(),
        Instructions(),
    ],
    _ages_in,
    _ages_out,
    length_at=0,
)  # fmt: skip
_FLOW13: Final = Form(
    s.FlowStats,
    [
        Row("length:H table:B 1x sec:I nsec:I priority:H idle_timeout:H hard_timeout:H flags:H"
            " importance:H 2x cookie:Q packet_count:Q byte_count:Q"),
        OxmMatch(),
        Instructions(),
    ],
    _flow13_in,
    _flow13_out,
    length_at=0,
)  # fmt: skip


_FLOW15: Final = Form(
    s.FlowStats,
    [
        Row("length:H 2x table:B 1x priority:H idle_timeout:H hard_timeout:H flags:H importance:H"
            " cookie:Q"),
        OxmMatch(),
        Oxs("duration", "idle_age", "packet_count", "byte_count"),
        Instructions(),
    ],
    _flow15_in,
    _flow15_out,
    length_at=0,
)  # fmt: skip


def _filters(make: type) -> list[Spoken]:
    """The requests that choose flows."""
    number = 1 if make is s.FlowStatsRequest else 2
    return [
        Spoken(OF10, OF10, number, Form(make, [Of10Match(), Row("table:B 1x out_port:H")])),
        nicira(
            OF10, OF10, number - 1,
            Form(
                make, [Row("out_port:H match_len:H table:B 3x"), NxMatch(cookie=True)],
                variant="nx",
            ),
        ),
        Spoken(
            OF13, OF15, number,
            Form(
                make,
                [
                    Row("table:B 3x out_port:port out_group:I 4x cookie:Q cookie_mask:Q"),
                    OxmMatch(),
                ],
            ),
        ),
    ]  # fmt: skip


_AGGREGATE: Final = [Row("packet_count:Q byte_count:Q flow_count:I 4x")]


def _empty(make: type) -> Form:
    return Form(make, [])


_DESC: Final = Row("mfr_desc:256s hw_desc:256s sw_desc:256s serial_num:32s dp_desc:256s")
_GROUP: Final = Row("group_id:I 4x")
_METER: Final = Row("meter_id:I 4x")
_PORT: Final = Row("port_no:port 4x")

_FEATURES_WANTED: Final = _entries(s.TableFeaturesRequest, TABLE_FEATURES, bad="OFPBPC_BAD_LEN")

_REQUESTS: Final = (
    Spoken(OF10, OF15, 0, _empty(s.DescRequest)),
    *_filters(s.FlowStatsRequest),
    *_filters(s.AggregateRequest),
    Spoken(OF10, OF15, 3, _empty(s.TableStatsRequest)),
    Spoken(OF10, OF10, 4, Form(s.PortStatsRequest, [Row("port_no:H 6x")])),
    Spoken(OF13, OF15, 4, Form(s.PortStatsRequest, [_PORT])),
    Spoken(OF10, OF10, 5, Form(s.QueueStatsRequest, [Row("port_no:H 2x queue_id:I")])),
    Spoken(OF13, OF15, 5, Form(s.QueueStatsRequest, [Row("port_no:port queue_id:I")])),
    nicira(OF10, OF10, 7, Form(s.GroupStatsRequest, [_GROUP])),
    Spoken(OF13, OF15, 6, Form(s.GroupStatsRequest, [_GROUP])),
    nicira(OF10, OF10, 8, Form(s.GroupDescRequest, [_GROUP])),
    Spoken(OF13, OF14, 7, _empty(s.GroupDescRequest)),
    Spoken(OF15, OF15, 7, Form(s.GroupDescRequest, [_GROUP])),
    nicira(OF10, OF10, 9, _empty(s.GroupFeaturesRequest)),
    Spoken(OF13, OF15, 8, _empty(s.GroupFeaturesRequest)),
    Spoken(OF13, OF15, 9, Form(s.MeterStatsRequest, [_METER])),
    Spoken(OF13, OF15, 10, Form(s.MeterConfigRequest, [_METER])),
    Spoken(OF13, OF15, 11, _empty(s.MeterFeaturesRequest)),
    Spoken(OF13, OF15, 12, _FEATURES_WANTED),
    Spoken(OF10, OF14, 13, _empty(s.PortDescRequest)),
    Spoken(OF15, OF15, 13, Form(s.PortDescRequest, [_PORT])),
    Spoken(OF14, OF15, 14, _empty(s.TableDescRequest)),
    nicira(OF10, OF15, 3, _empty(s.IpfixRequest)),
    nicira(OF10, OF15, 4, Form(s.IpfixRequest, [], variant="flow")),
    nicira(OF10, OF10, 2, MONITOR10),
    onf(OF13, OF13, 1870, MONITOR13),
    Spoken(OF14, OF15, 16, MONITOR14),
    Spoken(OF14, OF15, 15, Form(s.QueueDescRequest, [Row("port_no:port queue_id:I")])),
)

_REPLIES: Final = (
    Spoken(OF10, OF15, 0, Form(s.DescReply, [_DESC])),
    Spoken(OF10, OF10, 1, _entries(s.FlowStatsReply, _FLOW10)),
    nicira(OF10, OF10, 0, _entries(s.FlowStatsReply, _NX_FLOW, "nx")),
    Spoken(OF13, OF14, 1, _entries(s.FlowStatsReply, _FLOW13)),
    Spoken(OF15, OF15, 1, _entries(s.FlowStatsReply, _FLOW15)),
    Spoken(OF10, OF14, 2, Form(s.AggregateReply, _AGGREGATE)),
    nicira(OF10, OF10, 1, Form(s.AggregateReply, _AGGREGATE, variant="nx")),
    Spoken(
        OF15, OF15, 2, Form(s.AggregateReply, [Oxs("packet_count", "byte_count", "flow_count")])
    ),
    Spoken(OF10, OF10, 3, _entries(s.TableStatsReply, TABLE_STATS10)),
    Spoken(OF13, OF15, 3, _entries(s.TableStatsReply, TABLE_STATS13)),
    Spoken(OF10, OF10, 4, _entries(s.PortStatsReply, PORT_STATS10)),
    Spoken(OF13, OF13, 4, _entries(s.PortStatsReply, PORT_STATS13)),
    Spoken(OF14, OF15, 4, _entries(s.PortStatsReply, PORT_STATS14)),
    Spoken(OF10, OF10, 5, _entries(s.QueueStatsReply, QUEUE10)),
    Spoken(OF13, OF13, 5, _entries(s.QueueStatsReply, QUEUE13)),
    Spoken(OF14, OF15, 5, _entries(s.QueueStatsReply, QUEUE14)),
    nicira(OF10, OF10, 7, _entries(s.GroupStatsReply, GROUP_STATS13)),
    Spoken(OF13, OF15, 6, _entries(s.GroupStatsReply, GROUP_STATS13)),
    nicira(OF10, OF10, 8, _entries(s.GroupDescReply, GROUP_DESC15)),
    Spoken(OF13, OF14, 7, _entries(s.GroupDescReply, GROUP_DESC11)),
    Spoken(OF15, OF15, 7, _entries(s.GroupDescReply, GROUP_DESC15)),
    nicira(OF10, OF10, 9, GROUP_FEATURES),
    Spoken(OF13, OF15, 8, GROUP_FEATURES),
    Spoken(OF13, OF15, 9, _entries(s.MeterStatsReply, METER_STATS)),
    Spoken(OF13, OF15, 10, _entries(s.MeterConfigReply, METER_CONFIG)),
    Spoken(OF13, OF15, 11, METER_FEATURES),
    Spoken(OF13, OF15, 12, _entries(s.TableFeaturesReply, TABLE_FEATURES)),
    Spoken(OF10, OF10, 13, _entries(s.PortDescReply, PORT10)),
    Spoken(OF13, OF13, 13, _entries(s.PortDescReply, PORT11)),
    Spoken(OF14, OF15, 13, _entries(s.PortDescReply, PORT14)),
    Spoken(OF14, OF15, 14, _entries(s.TableDescReply, TABLE_DESC14)),
    nicira(OF10, OF10, 2, UPDATES),
    onf(OF13, OF13, 1870, UPDATES),
    Spoken(OF14, OF15, 16, UPDATES),
    Spoken(OF14, OF15, 15, _entries(s.QueueDescReply, QUEUE_DESC14)),
)


def _keys(spoken: Spoken, reply: bool) -> Iterator[StatsKey]:
    for version in VERSIONS:
        if spoken.first <= version <= spoken.last:
            if spoken.vendor:
                yield StatsKey(version, reply, VENDOR_STATS, spoken.vendor, spoken.type)
            else:
                yield StatsKey(version, reply, spoken.type)


STATS_FORMS: Final[dict[StatsKey, Form]] = {
    key: each.form
    for reply, rows in ((False, _REQUESTS), (True, _REPLIES))
    for each in rows
    for key in _keys(each, reply)
}
"""The layout of each multipart message by what tells it."""
