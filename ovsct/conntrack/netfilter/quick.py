"""The everyday TCP packets, each in one go: what tcp.py and window.py say, without their calls.

A test holds every one of these against the long way. What is not plain is left to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ovsct.conntrack.netfilter.entry import Entry
from ovsct.conntrack.netfilter.tcp import (
    ESTABLISHED,
    HEADER,
    RETRANS,
    ROW_ACK,
    ROW_SYN,
    SYN_SENT,
    UNACK,
)
from ovsct.conntrack.netfilter.window import (
    ACK,
    ACK_WINDOW,
    DATA_UNACKNOWLEDGED,
    M32,
    MAXACK_SET,
    SIGN,
    SYN,
    TIMESTAMP_ONLY,
    Segment,
    read_options,
)

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter
    from ovsct.packet.packet import Packet

_PLAIN: Final = 0x37
"""SYN, FIN, RST, ACK and URG."""


def quick_syn(core: Netfilter, e: Entry, packet: Packet) -> bool:
    """The first SYN of a connection: `e` is new and blank.

    Does what :func:`~ovsct.conntrack.netfilter.tcp.tcp_packet` would, or nothing and returns False.
    """
    frame, l4 = packet.frame, packet.l4
    size = packet.end - l4
    if size < 20:
        return False
    seq, ack, offset, flags, window = HEADER(frame, l4 + 4)
    header = (offset >> 4) * 4
    if flags & _PLAIN != SYN or header < 20 or size < header:
        return False
    e.end0 = e.maxend0 = (seq + size - header + 1) & M32
    e.maxwin0 = e.maxend1 = window or 1
    if header > 20:
        options = (l4 + 20, l4 + header)
        seg = Segment(seq, ack, flags, window, e.end0, frame, options)
        e.flags0, e.scales = read_options(seg, 0, 0)
    e.state = SYN_SENT
    e.note = ROW_SYN
    limits = core.tcp_limits
    e.expires = min(limits[SYN_SENT], limits[RETRANS])
    return True


def quick_ack(core: Netfilter, e: Entry, packet: Packet, reply: int, now: int) -> bool:
    """The everyday packet of an established connection, in one go: a pure ACK or data in window.

    Does what :func:`tcp_packet` would, or nothing and returns False. `e` must be ESTABLISHED and
    assured, without sequence adjustment.
    """
    frame, l4 = packet.frame, packet.l4
    size = packet.end - l4
    if size < 20:
        return False
    seq, ack, offset, flags, window = HEADER(frame, l4 + 4)
    if offset >> 4 == 5:
        size -= 20
    elif offset >> 4 == 8 and size >= 32 and frame[l4 + 20 : l4 + 24] == TIMESTAMP_ONLY:
        size -= 32
    else:
        return False
    end = (seq + size) & M32
    last = seq << 80 | ack << 48 | end << 16 | window
    if flags & 0x37 != ACK or last == e.last:
        return False
    if reply:
        s_end, s_maxend, s_maxwin, s_flags = e.end1, e.maxend1, e.maxwin1, e.flags1
        r_end, r_maxend, r_maxwin, r_flags = e.end0, e.maxend0, e.maxwin0, e.flags0
        offered = window << (e.scales >> 4)
    else:
        s_end, s_maxend, s_maxwin, s_flags = e.end0, e.maxend0, e.maxwin0, e.flags0
        r_end, r_maxend, r_maxwin, r_flags = e.end1, e.maxend1, e.maxwin1, e.flags1
        offered = window << (e.scales & 0x0F)
    if not (
        s_maxwin and r_maxwin and s_flags & MAXACK_SET
        and (seq - s_maxend - 1) & SIGN
        and (ack - r_end - 1) & SIGN
        and (s_end - r_maxwin - 1 - end) & SIGN
        and (r_end - (s_maxwin if s_maxwin > ACK_WINDOW else ACK_WINDOW) - 1 - ack) & SIGN
    ):  # fmt: skip
        return False
    if (s_end - end) & SIGN:
        s_end = end
        s_flags |= DATA_UNACKNOWLEDGED
    if (s_maxend - end) & SIGN:
        r_maxwin = (r_maxwin + end - s_maxend) & M32
    edge = ack + offered
    if (r_maxend - 1 - edge) & SIGN:
        r_maxend = (edge + (not offered)) & M32
    if ack == r_end:
        r_flags &= ~DATA_UNACKNOWLEDGED
    if reply:
        e.end1, e.flags1 = s_end, s_flags
        e.maxend0, e.maxwin0, e.flags0 = r_maxend, r_maxwin, r_flags
        if s_maxwin < offered:
            e.maxwin1 = offered
        if (e.maxack1 - ack) & SIGN:
            e.maxack1 = ack
    else:
        e.end0, e.flags0 = s_end, s_flags
        e.maxend1, e.maxwin1, e.flags1 = r_maxend, r_maxwin, r_flags
        if s_maxwin < offered:
            e.maxwin0 = offered
        if (e.maxack0 - ack) & SIGN:
            e.maxack0 = ack
    e.last = last
    e.note = e.note & ~0xFFF | ROW_ACK | reply << 3
    limits = core.tcp_limits
    timeout = limits[ESTABLISHED]
    if (s_flags | r_flags) & DATA_UNACKNOWLEDGED:
        timeout = min(timeout, limits[UNACK])
    elif not window:
        timeout = min(timeout, limits[RETRANS])
    expires = e.expires = now + timeout
    if expires < e.armed:
        core.timers.arm(e)
    return True
