"""The ground floor: what a lane is, and what goes into one and comes out of it.

A **lane** takes a frame on a port at a time and says what came of it. Every model and every real
program that forwards packets is a lane; comparison, reports and the command line know nothing
below this file. It imports nothing of ovsct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias

Port: TypeAlias = int | str
"""A port number, or one of the two places below that are no port."""

CONTROLLER: Final = "controller"
"""Where a packet-in goes."""

STACK: Final = "stack"
"""The host's own network stack: what TC lets pass."""


class Arrival(NamedTuple):
    """One frame that comes in: `at` in seconds, the port number, and the frame without FCS."""

    at: float
    port: int
    frame: bytes


class LinkChange(NamedTuple):
    """The link of a port comes up or goes down, `at` in seconds."""

    at: float
    port: int
    up: bool


class FlowChange(NamedTuple):
    """The flows change, `at` in seconds.

    `text` is a line as ``ovs-ofctl add-flows`` takes it: ``add``, ``modify``, ``modify_strict``,
    ``delete`` or ``delete_strict``, and a flow. `bridge` is the bridge meant where a lane has
    several (empty: the first).
    """

    at: float
    text: str
    bridge: str = ""


Change: TypeAlias = LinkChange | FlowChange
"""What changes in a lane's configuration while packets run. A lane that takes changes has a method
``change``."""


class Via(StrEnum):
    """The engines a packet can pass through, fastest first."""

    HW = "hw"
    TC = "tc"
    DATAPATH = "datapath"
    SLOW = "slow"


class Drop(StrEnum):
    """Why a packet that came in left nowhere. Closed: every lane uses these and no others."""

    ACTIONS = "actions"
    """The flow that matched says so: an empty action list, or one that outputs nowhere."""
    TABLE_MISS = "table-miss"
    """No flow matched in a table where a miss drops."""
    TRANSLATION = "translation"
    """Translation went past a limit of OVS (resubmits, depth); OVS then drops everything."""
    RECIRCULATION = "recirculation"
    """Recirculated more often than the datapath allows."""
    STALE = "stale-recirculation"
    """A recirculation id that no frozen state stands behind any more."""
    MALFORMED = "malformed"
    """The frame is shorter than an Ethernet header."""
    FRAGMENT = "fragment"
    """The bridge is set to drop IP fragments."""
    HELD = "held"
    """A fragment that is kept until the others arrive."""
    CONNTRACK = "conntrack"
    """Conntrack refused it: table full, NAT range used up, tuple clash."""
    NOT_IP = "not-ip"
    """A ct action met a packet that is not IP (TC's act_ct drops it)."""
    FILTER = "filter"
    """A TC filter's verdict is drop, or it consumed the packet without sending it."""
    CHAINS = "chains"
    """More chain jumps than TC allows."""
    CHECKSUM = "checksum"
    """A checksum action refused the packet."""
    TTL = "ttl"
    """The TTL would have become zero."""
    OUTPUT = "output"
    """The only output was a port that is not there, or the port the packet came in on."""
    LOST = "lost"
    """The hardware could not hand its state back to software."""
    POLICED = "policed"
    """A meter or policer took it."""
    MTU = "mtu"
    """Longer than the output could carry."""
    REFUSED = "refused"
    """The datapath does not take the actions that OVS has for it."""


class StepKind(StrEnum):
    """What a step of the trace is about. Closed."""

    ARRIVE = "arrive"
    MEGAFLOW = "megaflow"
    UPCALL = "upcall"
    TABLE = "table"
    ACTION = "action"
    CONNTRACK = "conntrack"
    NAT = "nat"
    RECIRCULATE = "recirculate"
    CHAIN = "chain"
    FILTER = "filter"
    HARDWARE = "hardware"
    OFFLOAD = "offload"
    OUTPUT = "output"
    DROP = "drop"
    NOTE = "note"


class Step(NamedTuple):
    """One thing that happened to a packet: where (which engine), what kind, and in words."""

    via: Via
    kind: StepKind
    text: str


class Output(NamedTuple):
    """One frame that left, and where."""

    port: Port
    frame: bytes


class Outcome(NamedTuple):
    """What came of one arrival.

    `out` holds the outputs in the order in which they left; `drop` is set exactly when there are
    none; `via` lists the engines in the order in which the packet first met them; `steps` is
    empty unless the lane was asked to trace.
    """

    out: Sequence[Output]
    drop: Drop | None
    via: Sequence[Via]
    steps: Sequence[Step] = ()


class EventKind(StrEnum):
    """What can happen by itself when time passes. Closed."""

    CONNECTION_EXPIRED = "connection-expired"
    FLOW_EXPIRED = "flow-expired"
    MEGAFLOW_EXPIRED = "megaflow-expired"
    OFFLOADED = "offloaded"
    OFFLOAD_FAILED = "offload-failed"
    OFFLOAD_AGED = "offload-aged"
    OFFLOAD_REMOVED = "offload-removed"
    FRAGMENTS_EXPIRED = "fragments-expired"
    FRAGMENTS_RELEASED = "fragments-released"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that time brought: `at` in seconds, its kind, and what it concerns in words."""

    at: float
    kind: EventKind
    text: str
    out: Sequence[Output] = ()
    """Frames that leave because of it (held fragments, for one)."""


class Tuple5(NamedTuple):
    """One direction of a connection. Addresses as text; for ICMP the ports are empty."""

    src: str
    dst: str
    sport: int
    dport: int
    icmp_id: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection in the neutral form that all lanes share.

    `proto` is the IP protocol number, `state` the protocol's own state in the dialect's own words
    (empty if it has none), `timeout` what remains in seconds, `status` the dialect's flags that
    are set (``assured``, ``seen-reply``, ``confirmed``, ``offload``, ``hw-offload`` ...).
    """

    family: int
    proto: int
    orig: Tuple5
    reply: Tuple5
    zone: int = 0
    mark: int = 0
    label: int = 0
    state: str = ""
    timeout: float = 0.0
    status: frozenset[str] = frozenset()
    helper: str | None = None
    parent: Tuple5 | None = None


class Lane(Protocol):
    """Anything that forwards packets."""

    name: str

    def receive(self, packet: Arrival) -> Outcome:
        """Take one frame and say what came of it. Time must not run backwards."""
        ...

    def advance(self, now: float) -> Sequence[Event]:
        """Let time pass until `now` (seconds) and say what that brought."""
        ...

    def connections(self) -> Sequence[Connection]:
        """The connections that are tracked at the time last seen."""
        ...
