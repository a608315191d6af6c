"""A tracked connection as netfilter keeps it: ``struct nf_conn``, flat.

A million of these must fit, so everything that a plain TCP connection needs lies in the entry
itself; what few connections have (a master, a helper, counters) is in :class:`Extra`.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from ovsct.conntrack.timers import Timed
from ovsct.conntrack.tuples import V4_LIMIT, V4_ZONE, V6_ZONE


class Verdict(IntEnum):
    """What a hook says of a packet (include/uapi/linux/netfilter.h, NF_*)."""

    DROP = 0
    ACCEPT = 1
    STOLEN = 2


class Info(IntEnum):
    """How a packet belongs to its connection (enum ip_conntrack_info); ``Packet.ct_info``."""

    ESTABLISHED = 0
    RELATED = 1
    NEW = 2
    ESTABLISHED_REPLY = 3
    RELATED_REPLY = 4
    UNTRACKED = 7


class Status(IntFlag):
    """What happened to a connection (enum ip_conntrack_status, IPS_*)."""

    EXPECTED = 1 << 0
    SEEN_REPLY = 1 << 1
    ASSURED = 1 << 2
    CONFIRMED = 1 << 3
    SRC_NAT = 1 << 4
    DST_NAT = 1 << 5
    SEQ_ADJUST = 1 << 6
    SRC_NAT_DONE = 1 << 7
    DST_NAT_DONE = 1 << 8
    DYING = 1 << 9
    FIXED_TIMEOUT = 1 << 10
    NAT_CLASH = 1 << 12
    HELPER = 1 << 13
    OFFLOAD = 1 << 14
    HW_OFFLOAD = 1 << 15


# Plain ints: an IntFlag costs a call for every bit operation, and these are tested per packet.
EXPECTED: Final = int(Status.EXPECTED)
SEEN_REPLY: Final = int(Status.SEEN_REPLY)
ASSURED: Final = int(Status.ASSURED)
CONFIRMED: Final = int(Status.CONFIRMED)
SRC_NAT: Final = int(Status.SRC_NAT)
DST_NAT: Final = int(Status.DST_NAT)
NAT_MASK: Final = SRC_NAT | DST_NAT
SEQ_ADJUST: Final = int(Status.SEQ_ADJUST)
SRC_NAT_DONE: Final = int(Status.SRC_NAT_DONE)
DST_NAT_DONE: Final = int(Status.DST_NAT_DONE)
NAT_DONE_MASK: Final = SRC_NAT_DONE | DST_NAT_DONE
DYING: Final = int(Status.DYING)
FIXED_TIMEOUT: Final = int(Status.FIXED_TIMEOUT)
NAT_CLASH: Final = int(Status.NAT_CLASH)
HELPER: Final = int(Status.HELPER)
OFFLOAD: Final = int(Status.OFFLOAD)
HW_OFFLOAD: Final = int(Status.HW_OFFLOAD)

ESTABLISHED: Final = int(Info.ESTABLISHED)
RELATED: Final = int(Info.RELATED)
NEW: Final = int(Info.NEW)
ESTABLISHED_REPLY: Final = int(Info.ESTABLISHED_REPLY)
RELATED_REPLY: Final = int(Info.RELATED_REPLY)
UNTRACKED: Final = int(Info.UNTRACKED)

IS_REPLY: Final = 3
"""From this value on a packet runs in reply direction (IP_CT_IS_REPLY)."""


class Extra:
    """What only some connections have. `packets` and `bytes` count (original, reply) when
    accounting is on; `policy` holds the timeouts (ms) of a timeout policy, by state; `state` is the
    helper's own; `adjust` is what sequence numbers are off by (see seqadj.py).
    """

    __slots__ = ("adjust", "bytes", "helper", "master", "packets", "policy", "state")

    def __init__(self) -> None:
        self.master: Entry | None = None
        self.helper: str | None = None
        self.policy: tuple[int, ...] | None = None
        self.state: object | None = None
        self.adjust: tuple[list[int], list[int]] | None = None
        self.packets = [0, 0]
        self.bytes = [0, 0]


class Entry(Timed):
    """One connection.

    `original` and `reply` are its tuples (zone included), `status` the bits of :class:`Status`,
    `state` the protocol's state. `expires` is in ms; before confirmation it is relative.

    The TCP windows of both directions (0: original, 1: reply) lie flat: `end`, `maxend`, `maxwin`,
    `maxack` and `flags` are td_end, td_maxend, ... of ``struct ip_ct_tcp_state``; `scales` holds
    the window scale of the original direction in bits 0-3 and of the reply in bits 4-7. `last` and
    `note` hold what was last seen (see tcp.py); UDP keeps in `last` when it becomes a stream.
    """

    __slots__ = (
        "end0", "end1", "extra", "flags0", "flags1", "label", "last", "mark", "maxack0", "maxack1",
        "maxend0", "maxend1", "maxwin0", "maxwin1", "note", "original", "reply", "scales", "state",
        "status",
    )  # fmt: skip

    def __init__(self, original: int, reply: int) -> None:
        Timed.__init__(self, 0)
        self.original = original
        self.reply = reply
        self.status = 0
        self.mark = 0
        self.label = 0
        self.state = 0
        self.last = 0
        self.note = 0
        self.extra: Extra | None = None
        self.end0 = self.maxend0 = self.maxwin0 = self.maxack0 = self.flags0 = 0
        self.end1 = self.maxend1 = self.maxwin1 = self.maxack1 = self.flags1 = self.scales = 0

    @property
    def proto(self) -> int:
        """IP protocol number."""
        return self.original & 0xFF

    @property
    def family(self) -> int:
        """4 or 6."""
        return 4 if self.original < V4_LIMIT else 6

    @property
    def zone(self) -> int:
        """The zone, the same in both directions."""
        original = self.original
        return original >> V4_ZONE if original < V4_LIMIT else original >> V6_ZONE

    @property
    def master(self) -> Entry | None:
        """The connection that this one was expected by, if any."""
        return self.extra.master if self.extra is not None else None

    @property
    def helper(self) -> str | None:
        """The helper that watches this connection, if any."""
        return self.extra.helper if self.extra is not None else None

    def more(self) -> Extra:
        """The extra part, made if it is not there yet."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra
