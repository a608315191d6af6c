"""The entries of OVS's own conntrack: small, flat, and with what a packet needs ready to hand."""

from __future__ import annotations

from typing import Final

from ovsct.conntrack.timers import Timed
from ovsct.conntrack.tuples import V4_LIMIT, is_icmp, with_ports, zone_of
from ovsct.packet.fields import SLOTS

SRC: Final = 1
DST: Final = 2
"""NAT actions (OVS lib/conntrack.h ``NAT_ACTION_SRC``, ``NAT_ACTION_DST``); 0 is bare nat."""

_S_STATE: Final = SLOTS["ct_state"].shift
_S_ZONE: Final = SLOTS["ct_zone"].shift
_S_MARK: Final = SLOTS["ct_mark"].shift
_S_LABEL: Final = SLOTS["ct_label"].shift
_S_PROTO: Final = SLOTS["ct_nw_proto"].shift
_S_TP: Final = SLOTS["ct_tp_dst"].shift
_S_V6: Final = SLOTS["ct_ipv6_dst"].shift
_M104: Final = (1 << 104) - 1
_M256: Final = (1 << 256) - 1


def tuple_bits(tuple_: int) -> int:
    """A tuple as the flow key's original tuple, in place; nothing of it if the protocol is 0.

    An ICMP type and code take the places of the ports (OVS ``write_ct_md()``, and
    ``miniflow_extract()``, which leaves a tuple of protocol 0 out).
    """
    proto = tuple_ & 0xFF
    if not proto:
        return 0
    if is_icmp(tuple_):
        tuple_ = with_ports(tuple_, tuple_ >> 16 & 0xFF, tuple_ >> 8 & 0xFF)
    if tuple_ < V4_LIMIT:
        return (tuple_ & _M104) << _S_PROTO
    return (tuple_ & 0xFFFFFFFFFF) << _S_PROTO | (tuple_ >> 40 & _M256) << _S_V6


class Rare:
    """What few connections have: NAT, a timeout policy, a helper, a parent.

    `node`: created by a ct action with a nat argument, so that it stands in the table a second
    time under `reverse` (OVS's ``nat_conn``). `nat`: SRC, DST or 0. `policy`: name of the timeout
    policy. `helper`: its helper. `parent`: forward tuple of the control connection that expected
    it. `skew` and `skew_reply`: what NAT added to the sequence numbers of one direction. `unseen`:
    it was loaded from a dump, and the numbers of a TCP connection are not known yet.
    """

    __slots__ = ("helper", "nat", "node", "parent", "policy", "skew", "skew_reply", "unseen")

    def __init__(self) -> None:
        self.node = False
        self.nat = 0
        self.policy: str | None = None
        self.helper: str | None = None
        self.parent: int | None = None
        self.skew = 0
        self.skew_reply = False
        self.unseen = False


class ZoneLimit:
    """How many connections a zone may have, and has; 3.1 shares one among all without their own."""

    __slots__ = ("count", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0


class Entry(Timed):
    """A connection. `forward` and `reverse` are its tuples; `bits` is what it puts into the flow
    key: zone, mark, label and original tuple, in place; `limit` is the zone limit it counts on.
    """

    __slots__ = ("bits", "forward", "label", "limit", "mark", "rare", "reverse")

    def __init__(self, forward: int, reverse: int, mark: int, label: int) -> None:
        self.expires = 0
        self.armed = 1 << 62
        self.forward = forward
        self.reverse = reverse
        self.mark = mark
        self.label = label
        self.limit: ZoneLimit | None = None
        self.rare: Rare | None = None
        self.bits = 0

    def refresh_bits(self) -> None:
        """Make `bits` anew after mark or label changed."""
        tuple_ = self.forward
        rare = self.rare
        if rare is not None and rare.parent is not None:
            tuple_ = rare.parent
        self.bits = (
            tuple_bits(tuple_)
            | zone_of(self.forward) << _S_ZONE
            | self.mark << _S_MARK
            | self.label << _S_LABEL
        )


class Stateful(Entry):
    """A connection whose protocol state is one small number (UDP and others, ICMP)."""

    __slots__ = ("state",)

    def __init__(self, forward: int, reverse: int, mark: int, label: int, state: int) -> None:
        super().__init__(forward, reverse, mark, label)
        self.state = state


def no_connection_bits(tuple_: int | None, zone: int, mark: int = 0, label: int = 0) -> int:
    """What the flow key says of a packet that has no connection."""
    bits = zone << _S_ZONE | mark << _S_MARK | label << _S_LABEL
    return bits if tuple_ is None else bits | tuple_bits(tuple_)
