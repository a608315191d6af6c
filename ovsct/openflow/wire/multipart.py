"""Multipart messages (statistics, in OpenFlow 1.0) as objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ovsct.openflow.actions import OFPP_NONE, Action
from ovsct.openflow.group import Bucket, GroupType
from ovsct.openflow.match import Match
from ovsct.openflow.wire.messages import MeterBand, PortDesc, QueueDesc, TableMod
from ovsct.openflow.wire.numbers import COOKIE_NONE, GROUP_ALL, GROUP_ANY, METER_ALL, TABLE_ALL
from ovsct.packet.fields import Field


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


N_BY_LENGTH: Final = 21
"""Counters of frames by their length that OpenFlow 1.4+ adds."""


@dataclass(frozen=True, slots=True)
class PortStatsRequest:
    """Asks for the counters of a port (OFPP_NONE: of all)."""

    port_no: int = OFPP_NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class PortStats:
    """Counters of a port; `duration` in nanoseconds. All ones: not known.

    `by_length` are those of RFC 2819, in the order of OVS include/openflow/intel-ext.h; `custom`
    those that this kind of port has, by name. Both are said from OpenFlow 1.4 on.
    """

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
    by_length: tuple[int, ...] = (COOKIE_NONE,) * N_BY_LENGTH
    custom: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PortStatsReply:
    """Ports."""

    entries: tuple[PortStats, ...]


@dataclass(frozen=True, slots=True)
class IpfixRequest:
    """Asks for the counters of IPFIX: of the bridge, or (`variant` ``flow``) of its flows."""

    variant: str = ""


@dataclass(frozen=True, slots=True)
class PortDescRequest:
    """Asks for a port (OFPP_NONE, and before 1.5: for all)."""

    port_no: int = OFPP_NONE


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
    """Asks what a group is (GROUP_ALL, and before 1.5: what the groups are)."""

    group_id: int = GROUP_ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDesc:
    """One group."""

    group_id: int
    type: GroupType
    buckets: tuple[Bucket, ...]
    selection_method: str = ""
    selection_method_param: int = 0
    fields: tuple[tuple[Field, int], ...] = ()


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
class QueueDescRequest:
    """Asks for a queue of a port (all ones: all queues, OFPP_NONE: all ports)."""

    port_no: int
    queue_id: int


@dataclass(frozen=True, slots=True)
class QueueDescReply:
    """Queues."""

    entries: tuple[QueueDesc, ...]


@dataclass(frozen=True, slots=True)
class TableDescRequest:
    """Asks how the tables are configured."""


@dataclass(frozen=True, slots=True)
class TableDescReply:
    """How they are: as what would make them so."""

    entries: tuple[TableMod, ...]


@dataclass(frozen=True, slots=True)
class MeterStatsRequest:
    """Asks for the counters of a meter (METER_ALL: of all)."""

    meter_id: int = METER_ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterStats:
    """Counters of a meter and its bands; `duration` in nanoseconds."""

    meter_id: int
    flow_count: int = 0
    packet_count: int = 0
    byte_count: int = 0
    duration: int | None = 0
    bands: tuple[Counter, ...] = ()


@dataclass(frozen=True, slots=True)
class MeterStatsReply:
    """Meters."""

    entries: tuple[MeterStats, ...]


@dataclass(frozen=True, slots=True)
class MeterConfigRequest:
    """Asks what a meter is (METER_ALL: what all are)."""

    meter_id: int = METER_ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """A meter as it was configured."""

    meter_id: int
    flags: int
    bands: tuple[MeterBand, ...] = ()


@dataclass(frozen=True, slots=True)
class MeterConfigReply:
    """Meters."""

    entries: tuple[MeterConfig, ...]


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
    """Asks what the tables can do, or (with entries) would have it otherwise."""

    entries: tuple[TableFeatures, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFeatures:
    """What a table can do; `properties` as they stand on the wire.

    `command` of a request, from 1.5 on: 0 replaces, 1 modifies, 2 enables, 3 disables.
    """

    table: int
    name: str
    command: int = 0
    metadata_match: int = (1 << 64) - 1
    metadata_write: int = (1 << 64) - 1
    capabilities: int = 0
    max_entries: int = 1_000_000
    properties: bytes = b""


@dataclass(frozen=True, slots=True)
class TableFeaturesReply:
    """Tables."""

    entries: tuple[TableFeatures, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowMonitor:
    """What a controller wants to be told of flows.

    `flags`: ``initial`` (those that there are), ``add``, ``delete``, ``modify`` say when; with
    ``actions`` these are told too, with ``own`` the controller's own changes in full. `command`:
    ``add``, ``modify`` or ``delete``, from 1.4 on.
    """

    monitor_id: int
    flags: frozenset[str] = frozenset()
    command: str = "add"
    table: int = TABLE_ALL
    out_port: int = OFPP_NONE
    out_group: int = GROUP_ANY
    match: Match = field(default_factory=Match)


@dataclass(frozen=True, slots=True)
class FlowMonitorRequest:
    """Sets up flow monitors, or changes or ends them."""

    entries: tuple[FlowMonitor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowUpdate:
    """What has become of a flow.

    `event`: ``initial``, ``added``, ``removed`` (with a `reason`), ``modified``; ``abbreviated``
    stands for what the controller's own message `xid` did; ``paused`` and ``resumed`` say nothing
    of a flow.
    """

    event: str
    reason: str = ""
    table: int = 0
    priority: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    cookie: int = 0
    match: Match = field(default_factory=Match)
    actions: tuple[Action, ...] = ()
    xid: int = 0


@dataclass(frozen=True, slots=True)
class FlowUpdates:
    """Updates, in their order."""

    entries: tuple[FlowUpdate, ...]


Multipart: TypeAlias = (
    DescRequest | DescReply | FlowStatsRequest | FlowStatsReply | AggregateRequest | AggregateReply
    | TableStatsRequest | TableStatsReply | PortStatsRequest | PortStatsReply | PortDescRequest
    | PortDescReply | QueueStatsRequest | QueueStatsReply | GroupStatsRequest | GroupStatsReply
    | GroupDescRequest | GroupDescReply | GroupFeaturesRequest | GroupFeatures
    | QueueDescRequest | QueueDescReply | TableDescRequest | TableDescReply | MeterStatsRequest
    | MeterStatsReply | MeterConfigRequest | MeterConfigReply | MeterFeaturesRequest
    | MeterFeatures | FlowMonitorRequest | FlowUpdates | IpfixRequest | TableFeaturesRequest
    | TableFeaturesReply
)  # fmt: skip
"""Every multipart message."""
