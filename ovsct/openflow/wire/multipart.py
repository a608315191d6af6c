"""Multipart messages (statistics, in OpenFlow 1.0) as objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from ovsct.openflow.actions import OFPP_NONE, Action
from ovsct.openflow.group import Bucket, GroupType
from ovsct.openflow.match import Match
from ovsct.openflow.wire.messages import PortDesc
from ovsct.openflow.wire.numbers import GROUP_ALL, GROUP_ANY, TABLE_ALL


@dataclass(frozen=True, slots=True)
class DescRequest:
    """Asks who made the switch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescReply:
    """Who made it."""

    mfr_desc: str
    hw_desc: str
    sw_desc: str
    serial_num: str
    dp_desc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStatsRequest:
    """Asks for the flows that match loosely."""

    table: int = TABLE_ALL
    match: Match = field(default_factory=Match)
    out_port: int = OFPP_NONE
    out_group: int = GROUP_ANY
    cookie: int = 0
    cookie_mask: int = 0
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateRequest:
    """Asks for the sums of their counters."""

    table: int = TABLE_ALL
    match: Match = field(default_factory=Match)
    out_port: int = OFPP_NONE
    out_group: int = GROUP_ANY
    cookie: int = 0
    cookie_mask: int = 0
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStats:
    """One flow. `duration` in nanoseconds, ages in seconds; None where they are not known."""

    table: int
    match: Match
    priority: int
    actions: tuple[Action, ...]
    duration: int | None = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    importance: int = 0
    flags: frozenset[str] = frozenset()
    idle_age: int | None = None
    hard_age: int | None = None
    cookie: int = 0
    packet_count: int = 0
    byte_count: int = 0


@dataclass(frozen=True, slots=True)
class FlowStatsReply:
    """Flows."""

    entries: tuple[FlowStats, ...]
    variant: str = ""


@dataclass(frozen=True, slots=True)
class AggregateReply:
    """Their sums."""

    packet_count: int
    byte_count: int
    flow_count: int
    variant: str = ""


@dataclass(frozen=True, slots=True)
class TableStatsRequest:
    """Asks for the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStats:
    """One table; `name`, `wildcards` and `max_entries` are said by OpenFlow 1.0 only."""

    table: int
    name: str = ""
    wildcards: int = 0
    max_entries: int = 0
    active_count: int = 0
    lookup_count: int = 0
    matched_count: int = 0


@dataclass(frozen=True, slots=True)
class TableStatsReply:
    """Tables."""

    entries: tuple[TableStats, ...]


@dataclass(frozen=True, slots=True)
class PortStatsRequest:
    """Asks for the counters of a port (OFPP_NONE: of all)."""

    port_no: int = OFPP_NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class PortStats:
    """Counters of a port; `duration` in nanoseconds. All ones: not known."""

    port_no: int
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_frame_err: int = 0
    rx_over_err: int = 0
    rx_crc_err: int = 0
    collisions: int = 0
    duration: int | None = 0


@dataclass(frozen=True, slots=True)
class PortStatsReply:
    """Ports."""

    entries: tuple[PortStats, ...]


@dataclass(frozen=True, slots=True)
class PortDescRequest:
    """Asks for the ports."""


@dataclass(frozen=True, slots=True)
class PortDescReply:
    """Ports."""

    entries: tuple[PortDesc, ...]


@dataclass(frozen=True, slots=True)
class QueueStatsRequest:
    """Asks for the counters of queues."""

    port_no: int
    queue_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """Counters of a queue."""

    port_no: int
    queue_id: int
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    duration: int | None = 0


@dataclass(frozen=True, slots=True)
class QueueStatsReply:
    """Queues."""

    entries: tuple[QueueStats, ...]


@dataclass(frozen=True, slots=True)
class GroupStatsRequest:
    """Asks for the counters of a group (GROUP_ALL: of all)."""

    group_id: int = GROUP_ALL


@dataclass(frozen=True, slots=True)
class Counter:
    """Counters of a bucket."""

    packet_count: int
    byte_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStats:
    """Counters of a group; `duration` in nanoseconds."""

    group_id: int
    ref_count: int = 0
    packet_count: int = 0
    byte_count: int = 0
    duration: int | None = 0
    buckets: tuple[Counter, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupStatsReply:
    """Groups."""

    entries: tuple[GroupStats, ...]


@dataclass(frozen=True, slots=True)
class GroupDescRequest:
    """Asks what the groups are."""


@dataclass(frozen=True, slots=True)
class GroupDesc:
    """One group."""

    group_id: int
    type: GroupType
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class GroupDescReply:
    """Groups."""

    entries: tuple[GroupDesc, ...]


@dataclass(frozen=True, slots=True)
class GroupFeaturesRequest:
    """Asks what groups there can be."""


@dataclass(frozen=True, slots=True)
class GroupFeatures:
    """Bits of types and capabilities; by type how many and which actions (bits of OFPAT_*)."""

    types: int
    capabilities: int
    max_groups: tuple[int, ...]
    actions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MeterFeaturesRequest:
    """Asks what meters there can be."""


@dataclass(frozen=True, slots=True)
class MeterFeatures:
    """What meters there can be: all 0 says none."""

    max_meter: int = 0
    band_types: int = 0
    capabilities: int = 0
    max_bands: int = 0
    max_color: int = 0


@dataclass(frozen=True, slots=True)
class TableFeaturesRequest:
    """Asks what the tables can do, or (`data` not empty) would have it otherwise."""

    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFeatures:
    """What a table can do; `properties` as they stand on the wire."""

    table: int
    name: str
    metadata_match: int = (1 << 64) - 1
    metadata_write: int = (1 << 64) - 1
    capabilities: int = 0
    max_entries: int = 1_000_000
    properties: bytes = b""


@dataclass(frozen=True, slots=True)
class TableFeaturesReply:
    """Tables."""

    entries: tuple[TableFeatures, ...]


Multipart: TypeAlias = (
    DescRequest | DescReply | FlowStatsRequest | FlowStatsReply | AggregateRequest | AggregateReply
    | TableStatsRequest | TableStatsReply | PortStatsRequest | PortStatsReply | PortDescRequest
    | PortDescReply | QueueStatsRequest | QueueStatsReply | GroupStatsRequest | GroupStatsReply
    | GroupDescRequest | GroupDescReply | GroupFeaturesRequest | GroupFeatures
    | MeterFeaturesRequest | MeterFeatures | TableFeaturesRequest | TableFeaturesReply
)  # fmt: skip
"""Every multipart message."""
