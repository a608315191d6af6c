"""From a packet to what the table knows it by, and how it then belongs to its connection."""

from __future__ import annotations

from typing import Final

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter import icmp
from ovsct.conntrack.netfilter.checks import supported
from ovsct.conntrack.netfilter.entry import (
    ESTABLISHED,
    ESTABLISHED_REPLY,
    EXPECTED,
    NEW,
    RELATED,
    SEEN_REPLY,
    UNTRACKED,
    Entry,
)
from ovsct.packet.fields import FRAG_LATER, SLOTS
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6, PROTO_ICMP, PROTO_ICMPV6, Packet

_KEY_SHIFT: Final = tuples.KEY_SHIFT
_LATER: Final = FRAG_LATER << SLOTS["nw_frag"].shift


def tuple_of(packet: Packet, zone: int) -> int | None:
    """resolve_normal_ct(), get_l4proto(): the tuple, or None if there is nothing to track."""
    key, l4 = packet.key, packet.l4
    if not l4 or key & _LATER:
        return None
    tuple_ = tuples.from_key(key, zone)
    family = 4 if tuple_ < tuples.V4_LIMIT else 6
    if (key >> (_KEY_SHIFT + 104)) & 0xFFFF not in (ETH_IPV4, ETH_IPV6):
        return None
    proto = tuple_ & 0xFF
    supported(proto)
    if proto == (PROTO_ICMPV6 if family == 4 else PROTO_ICMP):
        return None
    if family == 6 and proto == icmp.NO_NEXT_HEADER:
        return None
    ports = icmp.read_ports(packet.frame, l4, packet.end, proto)
    return None if ports is None else tuple_ & ~tuples.PORTS_MASK | ports << 8


def wrong(packet: Packet) -> bool:
    """Whether an ICMP message is neither about a connection nor exempt from tracking."""
    return packet.conn is None and packet.ct_info != UNTRACKED


def info_of(e: Entry, reply: int) -> int:
    """How a packet of this direction belongs to `e` (resolve_normal_ct())."""
    if reply:
        return ESTABLISHED_REPLY
    if e.status & SEEN_REPLY:
        return ESTABLISHED
    return RELATED if e.status & EXPECTED else NEW
