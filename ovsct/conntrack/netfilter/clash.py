"""Two connections that want the same tuple: net/netfilter/nf_conntrack_core.c."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ovsct.conntrack.netfilter import icmp
from ovsct.conntrack.netfilter.entry import (
    FIXED_TIMEOUT,
    NAT_CLASH,
    NAT_DONE_MASK,
    Entry,
    Verdict,
)
from ovsct.packet.packet import (
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    Packet,
)

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter

_CLASH_PROTOS: Final = frozenset((PROTO_UDP, icmp.PROTO_UDPLITE))
_NO_CLASH: Final = frozenset(
    (PROTO_TCP, PROTO_SCTP, PROTO_ICMP, PROTO_ICMPV6, icmp.PROTO_DCCP)
)


def resolve(core: Netfilter, packet: Packet, e: Entry, other: Entry, now: int) -> Verdict:
    """nf_ct_resolve_clash(): the same connection twice, or NAT found no free tuple."""
    if not may_clash(core, other.original & 0xFF):
        return Verdict.DROP
    if _merge(core, packet, e, other):
        return Verdict.ACCEPT
    taken = core.table.get(e.reply)
    if taken is not None:
        return Verdict.ACCEPT if _merge(core, packet, e, taken) else Verdict.DROP
    # Only the original direction is taken: live for a second, for the answer alone.
    e.expires = now + 1000
    e.status |= FIXED_TIMEOUT | NAT_CLASH
    core.table[e.reply] = e
    core.insert(e)
    return Verdict.ACCEPT


def _merge(core: Netfilter, packet: Packet, e: Entry, other: Entry) -> bool:
    same = (other.original, other.reply) == (e.original, e.reply)
    if core.merges_reverse:
        same = same or (other.original, other.reply) == (e.reply, e.original)
    else:
        same = same or not other.status & NAT_DONE_MASK
    if same:
        core.forget_source(e)
        packet.conn = other
    return same


def may_clash(core: Netfilter, proto: int) -> bool:
    """Whether entries of this protocol may be merged (nf_conntrack_l4proto.allow_clash)."""
    if proto == icmp.PROTO_GRE:
        return core.merges_reverse
    return proto in _CLASH_PROTOS or proto not in _NO_CLASH
