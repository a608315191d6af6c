"""The layouts of multipart messages, for OpenFlow 1.0 and 1.3 (the structs: see forms.py)."""

from __future__ import annotations

from typing import Final, NamedTuple

from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.flow_forms import duration_in, duration_out, flags_in, flags_out
from ovsct.openflow.wire.forms import BUCKET, PORT10, PORT13, number_buckets
from ovsct.openflow.wire.layout import (
    Context,
    Data,
    Form,
    Instructions,
    Many,
    NxMatch,
    Of10Match,
    OxmMatch,
    Row,
    Values,
)
from ovsct.openflow.wire.numbers import NX_VENDOR, OF10, OF13


class StatsKey(NamedTuple):
    """What tells a multipart message; `subtype` that of Nicira's."""

    version: int
    reply: bool
    type: int
    vendor: int = 0
    subtype: int = 0


VENDOR_STATS: Final = 0xFFFF


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
    flags_in(values, OF13)


def _flow13_out(values: Values, context: Context) -> None:
    duration_out(values, context)
    flags_out(values, OF13)
    values["importance"] = 0


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


def _filters(make: type) -> dict[StatsKey, Form]:
    """The requests that choose flows."""
    number = 1 if make is s.FlowStatsRequest else 2
    return {
        StatsKey(OF10, False, number): Form(
            make, [Of10Match(), Row("table:B 1x out_port:H")]
        ),
        StatsKey(OF10, False, VENDOR_STATS, NX_VENDOR, number - 1): Form(
            make, [Row("out_port:H match_len:H table:B 3x"), NxMatch(cookie=True)], variant="nx"
        ),
        StatsKey(OF13, False, number): Form(
            make,
            [Row("table:B 3x out_port:port out_group:I 4x cookie:Q cookie_mask:Q"), OxmMatch()],
        ),
    }


_AGGREGATE: Final = [Row("packet_count:Q byte_count:Q flow_count:I 4x")]

# Groups ----------------------------------------------------------------------------------------


def _group_desc_in(values: Values, _: Context) -> None:
    if values["type"] >= len(m.GROUP_TYPES):
        raise WireError("OFPGMFC_BAD_TYPE", f"group type {values['type']}")
    values["type"] = m.GROUP_TYPES[values["type"]]
    number_buckets(values)


def _group_desc_out(values: Values, _: Context) -> None:
    values["type"] = m.GROUP_TYPES.index(values["type"])


_GROUP_DESC: Final = Form(
    s.GroupDesc,
    [Row("length:H type:B 1x group_id:I"), Many("buckets", BUCKET, "OFPGMFC_BAD_BUCKET")],
    _group_desc_in,
    _group_desc_out,
    length_at=0,
)
_GROUP_STATS: Final = Form(
    s.GroupStats,
    [
        Row("length:H 2x group_id:I ref_count:I 4x packet_count:Q byte_count:Q sec:I nsec:I"),
        Many("buckets", Form(s.Counter, [Row("packet_count:Q byte_count:Q")])),
    ],
    duration_in,
    duration_out,
    length_at=0,
)


def _four(name: str) -> str:
    return " ".join(f"{name}{number}:I" for number in range(4))


def _group_features_in(values: Values, _: Context) -> None:
    for name in ("max_groups", "actions"):
        values[name] = tuple(values[f"{name}{number}"] for number in range(4))


def _group_features_out(values: Values, _: Context) -> None:
    for name in ("max_groups", "actions"):
        for number, value in enumerate(values[name]):
            values[f"{name}{number}"] = value


# Ports, tables, queues -------------------------------------------------------------------------

_COUNTERS: Final = (
    "rx_packets:Q tx_packets:Q rx_bytes:Q tx_bytes:Q rx_dropped:Q tx_dropped:Q rx_errors:Q"
    " tx_errors:Q rx_frame_err:Q rx_over_err:Q rx_crc_err:Q collisions:Q"
)
_PORT_STATS10: Final = Form(s.PortStats, [Row(f"port_no:H 6x {_COUNTERS}")])
_PORT_STATS13: Final = Form(
    s.PortStats, [Row(f"port_no:port 4x {_COUNTERS} sec:I nsec:I")], duration_in, duration_out
)
_TABLE10: Final = Form(
    s.TableStats,
    [Row("table:B 3x name:32s wildcards:I max_entries:I active_count:I lookup_count:Q"
         " matched_count:Q")],
)  # fmt: skip
_TABLE13: Final = Form(
    s.TableStats, [Row("table:B 3x active_count:I lookup_count:Q matched_count:Q")]
)
_TABLE_FEATURES: Final = Form(
    s.TableFeatures,
    [
        Row("length:H table:B 5x name:32s metadata_match:Q metadata_write:Q capabilities:I"
            " max_entries:I"),
        Data("properties"),
    ],
    length_at=0,
)  # fmt: skip
_QUEUE10: Final = Form(
    s.QueueStats, [Row("port_no:H 2x queue_id:I tx_bytes:Q tx_packets:Q tx_errors:Q")]
)
_QUEUE13: Final = Form(
    s.QueueStats,
    [Row("port_no:port queue_id:I tx_bytes:Q tx_packets:Q tx_errors:Q sec:I nsec:I")],
    duration_in,
    duration_out,
)


def _entries(make: type, form: Form, variant: str = "") -> Form:
    return Form(make, [Many("entries", form)], variant=variant)


_DESC: Final = Row("mfr_desc:256s hw_desc:256s sw_desc:256s serial_num:32s dp_desc:256s")


def _both(number: int, request: Form, reply: Form) -> dict[StatsKey, Form]:
    """A pair that is the same in both versions."""
    return {
        StatsKey(version, is_reply, number): form
        for version in (OF10, OF13)
        for is_reply, form in ((False, request), (True, reply))
    }


STATS_FORMS: Final[dict[StatsKey, Form]] = {
    **_both(0, Form(s.DescRequest, []), Form(s.DescReply, [_DESC])),
    **_filters(s.FlowStatsRequest),
    **_filters(s.AggregateRequest),
    StatsKey(OF10, True, 1): _entries(s.FlowStatsReply, _FLOW10),
    StatsKey(OF10, True, VENDOR_STATS, NX_VENDOR, 0): _entries(s.FlowStatsReply, _NX_FLOW, "nx"),
    StatsKey(OF13, True, 1): _entries(s.FlowStatsReply, _FLOW13),
    StatsKey(OF10, True, 2): Form(s.AggregateReply, _AGGREGATE),
    StatsKey(OF13, True, 2): Form(s.AggregateReply, _AGGREGATE),
    StatsKey(OF10, True, VENDOR_STATS, NX_VENDOR, 1): Form(
        s.AggregateReply, _AGGREGATE, variant="nx"
    ),
    StatsKey(OF10, False, 3): Form(s.TableStatsRequest, []),
    StatsKey(OF13, False, 3): Form(s.TableStatsRequest, []),
    StatsKey(OF10, True, 3): _entries(s.TableStatsReply, _TABLE10),
    StatsKey(OF13, True, 3): _entries(s.TableStatsReply, _TABLE13),
    StatsKey(OF10, False, 4): Form(s.PortStatsRequest, [Row("port_no:H 6x")]),
    StatsKey(OF13, False, 4): Form(s.PortStatsRequest, [Row("port_no:port 4x")]),
    StatsKey(OF10, True, 4): _entries(s.PortStatsReply, _PORT_STATS10),
    StatsKey(OF13, True, 4): _entries(s.PortStatsReply, _PORT_STATS13),
    StatsKey(OF10, False, 5): Form(s.QueueStatsRequest, [Row("port_no:H 2x queue_id:I")]),
    StatsKey(OF13, False, 5): Form(s.QueueStatsRequest, [Row("port_no:port queue_id:I")]),
    StatsKey(OF10, True, 5): _entries(s.QueueStatsReply, _QUEUE10),
    StatsKey(OF13, True, 5): _entries(s.QueueStatsReply, _QUEUE13),
    StatsKey(OF13, False, 6): Form(s.GroupStatsRequest, [Row("group_id:I 4x")]),
    StatsKey(OF13, True, 6): _entries(s.GroupStatsReply, _GROUP_STATS),
    StatsKey(OF13, False, 7): Form(s.GroupDescRequest, []),
    StatsKey(OF13, True, 7): _entries(s.GroupDescReply, _GROUP_DESC),
    StatsKey(OF13, False, 8): Form(s.GroupFeaturesRequest, []),
    StatsKey(OF13, True, 8): Form(
        s.GroupFeatures,
        [Row(f"types:I capabilities:I {_four('max_groups')} {_four('actions')}")],
        _group_features_in,
        _group_features_out,
    ),
    StatsKey(OF13, False, 11): Form(s.MeterFeaturesRequest, []),
    StatsKey(OF13, True, 11): Form(
        s.MeterFeatures,
        [Row("max_meter:I band_types:I capabilities:I max_bands:B max_color:B 2x")],
    ),
    StatsKey(OF13, False, 12): Form(s.TableFeaturesRequest, [Data("data")]),
    StatsKey(OF13, True, 12): _entries(s.TableFeaturesReply, _TABLE_FEATURES),
    StatsKey(OF10, False, 13): Form(s.PortDescRequest, []),
    StatsKey(OF13, False, 13): Form(s.PortDescRequest, []),
    StatsKey(OF10, True, 13): _entries(s.PortDescReply, PORT10),
    StatsKey(OF13, True, 13): _entries(s.PortDescReply, PORT13),
}
"""The layout of each multipart message by what tells it."""

