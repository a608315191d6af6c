"""Messages of OpenFlow as objects, the same for every version.

`variant` tells apart what one version says in several forms: empty is the standard's, ``nx``
Nicira's (and ``nx2`` the second one of packet-in).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ovsct.openflow.actions import OFPP_NONE, Action
from ovsct.openflow.group import Bucket, GroupType
from ovsct.openflow.match import Match
from ovsct.openflow.wire.continuation import Continuation
from ovsct.openflow.wire.numbers import (
    BUCKET_ALL,
    COOKIE_NONE,
    GROUP_ANY,
    NO_BUFFER,
    TABLE_ALL,
)
from ovsct.packet.fields import Field

COMMANDS: Final = ("add", "modify", "modify_strict", "delete", "delete_strict")
"""Commands of a flow mod by their number."""

REMOVED: Final = ("idle", "hard", "delete", "group_delete", "meter_delete", "eviction")
"""Why a flow was removed, by its number."""

ROLES: Final = ("nochange", "equal", "primary", "secondary")
GROUP_TYPES: Final = (
    GroupType.ALL, GroupType.SELECT, GroupType.INDIRECT, GroupType.FAST_FAILOVER,
)  # fmt: skip
GROUP_COMMANDS_OF11: Final = {0: "add", 1: "modify", 2: "delete", 0x8000: "add_or_mod"}
GROUP_COMMANDS: Final = {**GROUP_COMMANDS_OF11, 3: "insert_bucket", 5: "remove_bucket"}
MONITOR_COMMANDS: Final = ("add", "modify", "delete")
METER_COMMANDS: Final = ("add", "modify", "delete")
ROLE_REASONS: Final = ("request", "config", "experimenter")
KBPS, PKTPS, BURST, STATS = 1, 2, 4, 8
"""Flags of a meter."""

PORT_REASONS: Final = ("add", "delete", "modify")


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of each side; `versions` are those that it speaks."""

    versions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Error:
    """A refusal: its name, and the head of what it refuses."""

    name: str
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class EchoRequest:
    """Asks for an EchoReply."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class EchoReply:
    """Answers an EchoRequest."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class FeaturesRequest:
    """Asks for the features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortDesc:
    """One port: its number, address (48-bit int) and name, and bit sets as in OpenFlow 1.3."""

    port_no: int
    hw_addr: int
    name: str
    config: int = 0
    state: int = 0
    curr: int = 0
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    curr_speed: int = 0
    max_speed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the switch is; `actions` and `ports` are said by OpenFlow 1.0 only."""

    datapath_id: int
    n_buffers: int = 0
    n_tables: int = 254
    auxiliary_id: int = 0
    capabilities: int = 0
    actions: int = 0
    ports: tuple[PortDesc, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigRequest:
    """Asks for the configuration."""


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration: fragment handling (0 normal, 1 drop, 3 nx-match), length of misses."""

    flags: int
    miss_send_len: int


@dataclass(frozen=True, slots=True)
class SetConfig:
    """Sets it."""

    flags: int
    miss_send_len: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowMod:
    """Adds, modifies or deletes flows.

    `table` 255 is any. `cookie` under `cookie_mask` filters; `new_cookie` is what flows get
    (COOKIE_NONE: what they have). `exact`: an OpenFlow 1.0 match that leaves nothing open.
    """

    command: str = "add"
    table: int = TABLE_ALL
    match: Match = field(default_factory=Match)
    priority: int = 0x8000
    cookie: int = 0
    cookie_mask: int = 0
    new_cookie: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    importance: int = 0
    buffer_id: int = NO_BUFFER
    out_port: int = OFPP_NONE
    out_group: int = GROUP_ANY
    flags: frozenset[str] = frozenset()
    actions: tuple[Action, ...] = ()
    modify_cookie: bool = False
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRemoved:
    """A flow is gone. `duration` in nanoseconds."""

    match: Match
    priority: int
    reason: str
    table: int = 0
    cookie: int = 0
    duration: int | None = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    packet_count: int = 0
    byte_count: int = 0
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketIn:
    """A frame for the controller. `match` holds its metadata (in_port, registers, conntrack)."""

    data: bytes
    match: Match
    reason: str = "action"
    table: int = 0
    cookie: int = COOKIE_NONE
    total_len: int = 0
    buffer_id: int = NO_BUFFER
    userdata: bytes = b""
    continuation: Continuation | None = None
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """A packet that had paused is to go on: what its packet-in said, changed or not."""

    data: bytes
    match: Match
    reason: str = "action"
    table: int = 0
    cookie: int = COOKIE_NONE
    total_len: int = 0
    buffer_id: int = NO_BUFFER
    userdata: bytes = b""
    continuation: Continuation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketOut:
    """A frame from the controller, and what to do with it.

    `match` holds what OpenFlow 1.5 says beside the port: registers and the like.
    """

    in_port: int
    actions: tuple[Action, ...]
    match: Match = field(default_factory=Match)
    data: bytes = b""
    buffer_id: int = NO_BUFFER


@dataclass(frozen=True, slots=True)
class PortStatus:
    """A port was added, deleted or changed."""

    reason: str
    port: PortDesc


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMod:
    """Changes bits of a port's configuration."""

    port_no: int
    hw_addr: int
    config: int
    mask: int
    advertise: int = 0


@dataclass(frozen=True, slots=True)
class BarrierRequest:
    """Asks for an answer when all before it is done."""


@dataclass(frozen=True, slots=True)
class BarrierReply:
    """All before the request is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMod:
    """Adds, modifies or deletes a group; from 1.5 on, some of its buckets.

    `command_bucket_id` says before or behind which bucket those that are inserted come, or which
    one goes.
    """

    command: str
    type: GroupType
    group_id: int
    buckets: tuple[Bucket, ...] = ()
    command_bucket_id: int = BUCKET_ALL
    selection_method: str = ""
    selection_method_param: int = 0
    fields: tuple[tuple[Field, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterBand:
    """A band: what it does with what exceeds it (``drop``, ``dscp_remark``), and when."""

    type: str
    rate: int
    burst_size: int = 0
    prec_level: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterMod:
    """Adds, modifies or deletes a meter."""

    command: str
    flags: int
    meter_id: int
    bands: tuple[MeterBand, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMod:
    """Changes the configuration of a table (TABLE_ALL: of all).

    `config` are the bits of the message; `eviction` (bits of what counts) and the two bounds of
    vacancy, in percent, are None where nothing is said of them.
    """

    table: int
    config: int
    eviction: int | None = None
    vacancy_down: int | None = None
    vacancy_up: int | None = None
    vacancy: int = 0


@dataclass(frozen=True, slots=True)
class QueueConfigRequest:
    """Asks for the queues of a port (OpenFlow until 1.3)."""

    port_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDesc:
    """A queue; its rates in 1/10 %, None where they are not known."""

    queue_id: int
    port_no: int = OFPP_NONE
    min_rate: int | None = None
    max_rate: int | None = None


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """The queues of a port."""

    port_no: int
    queues: tuple[QueueDesc, ...] = ()


@dataclass(frozen=True, slots=True)
class MonitorCancel:
    """Ends a flow monitor (until 1.3)."""

    monitor_id: int


@dataclass(frozen=True, slots=True)
class MonitorPaused:
    """So much is to be told of flows that nothing more is until it has been taken (until 1.3)."""


@dataclass(frozen=True, slots=True)
class MonitorResumed:
    """All that was missed has been told (until 1.3)."""


@dataclass(frozen=True, slots=True)
class FlushZone:
    """Flushes a conntrack zone (Nicira's)."""

    zone: int


@dataclass(frozen=True, slots=True)
class RoleRequest:
    """A controller wants a role."""

    role: str
    generation_id: int = COOKIE_NONE
    variant: str = ""


@dataclass(frozen=True, slots=True)
class RoleReply:
    """The role that it has."""

    role: str
    generation_id: int = COOKIE_NONE
    variant: str = ""


@dataclass(frozen=True, slots=True)
class AsyncRequest:
    """Asks which asynchronous messages the connection gets."""


@dataclass(frozen=True, slots=True)
class Async:
    """Which it gets: bits of reasons, as master or equal and as slave."""

    packet_in: tuple[int, int]
    port_status: tuple[int, int]
    flow_removed: tuple[int, int]
    role_status: tuple[int, int] = (0, 0)
    table_status: tuple[int, int] = (0, 0)
    requestforward: tuple[int, int] = (0, 0)


Asked: TypeAlias = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class SetAsync:
    """Sets which it gets; None leaves it as it is."""

    packet_in: Asked
    port_status: Asked
    flow_removed: Asked
    role_status: Asked = (0, 0)
    table_status: Asked = (0, 0)
    requestforward: Asked = (0, 0)
    variant: str = ""


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """The role of this connection has changed by somebody else's doing."""

    role: str
    reason: str
    generation_id: int = COOKIE_NONE


@dataclass(frozen=True, slots=True)
class RequestForward:
    """What another controller has changed: his message, whole."""

    message: bytes


# Nicira's settings of a connection --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetFlowFormat:
    """0: OpenFlow 1.0's matches in what the switch sends, 2: NXM."""

    format: int


@dataclass(frozen=True, slots=True)
class FlowModTableId:
    """Whether the commands of flow mods hold a table in their high byte."""

    on: int


@dataclass(frozen=True, slots=True)
class SetPacketInFormat:
    """0: the standard's, 1: nx, 2: nx2."""

    format: int


@dataclass(frozen=True, slots=True)
class SetControllerId:
    """The controller id of this connection."""

    controller_id: int


@dataclass(frozen=True, slots=True)
class FlowAge:
    """Asks for ages of flows, which OVS always says."""


BUNDLE_STEPS: Final = (
    "open", "open_reply", "close", "close_reply", "commit", "commit_reply", "discard",
    "discard_reply",
)  # fmt: skip
ATOMIC, ORDERED = 1, 2


@dataclass(frozen=True, slots=True)
class BundleControl:
    """A step of a bundle; `flags`: 1 atomic, 2 in order."""

    bundle_id: int
    step: str
    flags: int = 0


@dataclass(frozen=True, slots=True)
class BundleAdd:
    """A message, whole, that the bundle is to hold."""

    bundle_id: int
    flags: int
    message: bytes


TLV_COMMANDS: Final = ("add", "delete", "clear")


@dataclass(frozen=True, slots=True)
class TlvMapping:
    """A Geneve option, `length` bytes long, that is the field ``tun_metadata{index}``."""

    option_class: int
    option_type: int
    length: int
    index: int


@dataclass(frozen=True, slots=True)
class TlvTableMod:
    """Changes the map of Geneve options; `command` is one of TLV_COMMANDS."""

    command: str
    mappings: tuple[TlvMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class TlvTableRequest:
    """Asks for the map of Geneve options."""


@dataclass(frozen=True, slots=True)
class TlvTableReply:
    """The map, and how many bytes and fields it may have."""

    max_space: int
    max_fields: int
    mappings: tuple[TlvMapping, ...] = ()


Plain: TypeAlias = (
    Hello | Error | EchoRequest | EchoReply | FeaturesRequest | Features | ConfigRequest | Config
    | SetConfig | FlowMod | FlowRemoved | PacketIn | PacketOut | PortStatus | PortMod
    | BarrierRequest | BarrierReply | GroupMod | MeterMod | TableMod | QueueConfigRequest
    | QueueConfig | MonitorCancel | MonitorPaused | MonitorResumed | FlushZone | RoleRequest
    | RoleReply | RoleStatus | RequestForward
    | AsyncRequest | Async | SetAsync | SetFlowFormat | FlowModTableId | SetPacketInFormat
    | SetControllerId | FlowAge | BundleControl | BundleAdd | TlvTableMod | TlvTableRequest
    | TlvTableReply
)  # fmt: skip
"""Every message that is no multipart."""
