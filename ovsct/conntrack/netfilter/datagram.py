"""UDP, UDP-Lite, GRE and protocols that netfilter does not know.

::

    UDP   unreplied 30 s --reply--> replied 30 s --a packet more than 2 s after the first-->
          stream 120 s, ASSURED
    GRE   unreplied 30 s --reply--> stream 180 s, ASSURED
    any other protocol   600 s, told apart by its addresses alone

(net/netfilter/nf_conntrack_proto_udp.c, _gre.c, _generic.c)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ovsct.conntrack.netfilter.entry import ASSURED, CONFIRMED, NAT_CLASH, SEEN_REPLY, Entry

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter
    from ovsct.packet.packet import Packet

STREAM_AFTER: Final = 2000
"""ms after the last uncommitted packet from which on a replied UDP flow is a stream."""

UNREPLIED, REPLIED = range(2)


def udp_packet(core: Netfilter, e: Entry, packet: Packet, reply: int, now: int) -> int:
    """nf_conntrack_udp_packet(), and UDP-Lite's; lengths and checksum have been looked at."""
    status = e.status
    if not status & CONFIRMED:
        e.last = now + STREAM_AFTER
    limits = core.limits(e, "udp")
    if not status & SEEN_REPLY:
        core.refresh(e, packet, reply, now, limits[UNREPLIED])
        return 1
    stream = now > e.last
    core.refresh(e, packet, reply, now, limits[REPLIED if stream else UNREPLIED])
    if stream and not status & NAT_CLASH:
        e.status = status | ASSURED
    return 1


def gre_packet(core: Netfilter, e: Entry, packet: Packet, reply: int, now: int) -> int:
    """nf_conntrack_gre_packet()."""
    limits = core.limits(e, "gre")
    if e.status & SEEN_REPLY:
        core.refresh(e, packet, reply, now, limits[REPLIED])
        e.status |= ASSURED
    else:
        core.refresh(e, packet, reply, now, limits[UNREPLIED])
    return 1


def generic_packet(core: Netfilter, e: Entry, packet: Packet, reply: int, now: int) -> int:
    """generic_packet()."""
    core.refresh(e, packet, reply, now, core.limits(e, "generic")[0])
    return 1
