"""The datapath's own language: its actions and its megaflows, as data.

Translation writes these, the datapath executes them, TC is lowered from them. The names are those
of ``ovs-appctl dpctl/dump-flows`` and of OVS's include/linux/openvswitch.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from ovsct.bridge.flow_tables import Effect, FlowTables
from ovsct.bridge.mac_learning import MacTable
from ovsct.conntrack.request import Track
from ovsct.lane import Drop
from ovsct.openflow.flow import Flow


@dataclass(frozen=True, slots=True)
class Output:
    """Send the packet, as it is now, out of datapath port `port`."""

    port: int


@dataclass(frozen=True, slots=True)
class Set:
    """Write `value` under `mask` (key layout) into the headers of one attribute: eth, ipv4, ...

    `masked` says whether it prints with masks (``set(eth(src=..))``) or is an exact set.
    """

    attribute: str
    value: int
    mask: int
    masked: bool = True


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Push a tag; `tci` without the bit that says "there is a tag"."""

    tpid: int
    tci: int


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Pop the outer tag."""


@dataclass(frozen=True, slots=True)
class PushMpls:
    """Push a label stack entry (32 bits) and set the Ethernet type."""

    lse: int
    ethertype: int


@dataclass(frozen=True, slots=True)
class PopMpls:
    """Pop a label stack entry and set the Ethernet type."""

    ethertype: int


@dataclass(frozen=True, slots=True)
class AddMpls:
    """Put a label stack entry before the whole packet, whose type is then (1, `ethertype`)."""

    lse: int
    ethertype: int


@dataclass(frozen=True, slots=True)
class PushEth:
    """Put an Ethernet header before a packet that has none."""

    src: int
    dst: int


@dataclass(frozen=True, slots=True)
class PopEth:
    """Take the Ethernet header off."""


@dataclass(frozen=True, slots=True)
class PushNsh:
    """Put an NSH header before the packet: its fields in `key`, `metadata` behind type 2."""

    key: int
    metadata: bytes = b""


@dataclass(frozen=True, slots=True)
class PopNsh:
    """Take the NSH header off."""


@dataclass(frozen=True, slots=True)
class Ct:
    """Run the packet through conntrack."""

    track: Track


@dataclass(frozen=True, slots=True)
class CtClear:
    """Detach the packet from conntrack."""


@dataclass(frozen=True, slots=True)
class Recirc:
    """Send a copy through the datapath again with `recirc_id`."""

    recirc_id: int


@dataclass(frozen=True, slots=True)
class Clone:
    """Run `actions` on a copy."""

    actions: tuple[OdpAction, ...]


@dataclass(frozen=True, slots=True)
class Userspace:
    """Hand the packet to vswitchd for a packet-in: at most `max_len` bytes of it."""

    reason: str
    controller_id: int
    max_len: int
    recirc_id: int
    cookie: int
    dont_send: bool = False
    continuation: bool = False


@dataclass(frozen=True, slots=True)
class Hash:
    """Compute dp_hash."""

    algorithm: int
    basis: int


@dataclass(frozen=True, slots=True)
class Trunc:
    """Cut the packet to `max_len` bytes at the next output."""

    max_len: int


@dataclass(frozen=True, slots=True)
class Meter:
    """Police with datapath meter `meter_id`."""

    meter_id: int


@dataclass(frozen=True, slots=True)
class CheckPktLen:
    """Go on with `greater` if the frame is longer than `length` bytes, else with `less_equal`."""

    length: int
    greater: tuple[OdpAction, ...]
    less_equal: tuple[OdpAction, ...]


OdpAction: TypeAlias = (
    Output | Set | PushVlan | PopVlan | PushMpls | PopMpls | AddMpls | PushEth | PopEth | PushNsh
    | PopNsh | Ct | CtClear | Recirc | Clone | Userspace | Hash | Trunc | Meter | CheckPktLen
)  # fmt: skip


MATCHED: Final = "matched"
LOOKED_AT: Final = "looked at, not matched"
READ_BY_ACTION: Final = "read by an action"
"""Why a flow is an author: what :class:`Author` says besides OVS's own reasons."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who put bits into a mask: the table, the flow there (None: OVS itself), and why."""

    table: int | None
    flow: Flow | None
    why: str


@dataclass(frozen=True, slots=True)
class Blame:
    """`bits` (key layout) of a mask and the one who first asked for them."""

    bits: int
    author: Author


Learned: TypeAlias = tuple[MacTable, int, int, int]
"""What NORMAL learns from a packet: in which table, and the VLAN, address and port."""


class Home(Enum):
    """Where a megaflow that was just made is kept."""

    CACHE = "cache"
    """In the datapath."""
    ELSEWHERE = "elsewhere"
    """In what stands before the datapath; there it is only listed, aged and revalidated."""
    NOWHERE = "nowhere"
    """It serves the packet that caused it and is gone."""


class Megaflow:
    """A datapath flow: packets whose key under `mask` is `key` get `actions`.

    `packet_key` is the whole key of the packet that caused it, as far as vswitchd saw it;
    `whole_key` is what the datapath saw of it, which dumps show beside the mask.

    `blame` says for every mask bit who put it there; `rules` are the OpenFlow flows that it stands
    for, hit in this order; `looked` are the tables that were looked up, twice the number of each
    and one more where a flow was hit (and 512 times the place of its bridge). `packets`, `bytes`
    and `used` (seconds, None: never) count what it served; what went up for it is not counted:
    `first_packets` says how many packets that were (one, or more if others went up before it
    stood), `first_bytes` how many bytes. `slow` names why the packet must be handled by vswitchd
    every time (None: it need not), `drop` why nothing would go out if that is so. `buckets` are the
    groups that its packets went through (and 2**32 times the place of the bridge), each with the
    bucket (None: all of them).
    `learned` is what NORMAL learns from each of its packets, `effects` what each does to the flow
    tables of which bridge. `counted_packets` and `counted_bytes` have been added to the
    counters of `rules` already. `added` are bits of the mask that the datapath puts there itself,
    of which vswitchd does not know. A `fickle` one may not outlive the next revalidation, whatever
    that is for: its mask has bits that its datapath flow cannot say.
    """

    __slots__ = (
        "actions", "added", "before", "blame", "buckets", "bytes", "compiled", "counted_bytes",
        "counted_packets", "created", "drop", "effects", "fickle", "first_bytes", "first_packets",
        "key", "learned", "looked", "mask", "packet_key", "packets", "recirc_ids", "rules", "slow",
        "tcp_flags", "used", "whole_key",
    )  # fmt: skip

    def __init__(
        self,
        key: int,
        mask: int,
        actions: tuple[OdpAction, ...],
        blame: tuple[Blame, ...] = (),
        rules: tuple[Flow, ...] = (),
    ) -> None:
        self.key = key & mask
        self.packet_key = self.whole_key = key
        self.mask = mask
        self.actions = actions
        self.blame = blame
        self.rules = rules
        self.added = 0
        self.fickle = False
        self.recirc_ids: tuple[int, ...] = ()
        self.buckets: tuple[tuple[int, int | None], ...] = ()
        self.learned: tuple[Learned, ...] = ()
        self.looked: tuple[int, ...] = ()
        self.effects: tuple[tuple[FlowTables, Effect], ...] = ()
        self.packets = 0
        self.bytes = 0
        self.tcp_flags = 0
        self.used: float | None = None
        self.created = 0.0
        self.first_bytes = 0
        self.first_packets = 1
        self.slow: str | None = None
        self.drop: Drop | None = None
        self.counted_packets = 0
        self.counted_bytes = 0
        self.before: Any = ()
        self.compiled: Any = ()
