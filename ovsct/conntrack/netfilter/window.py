"""TCP windows as netfilter sees them: net/netfilter/nf_conntrack_proto_tcp.c, tcp_in_window().

We stand between two ends and guess the window of each from what the other has acknowledged::

    td_end     highest seq + len that this end has sent
    td_maxend  highest seq + len that the other end has allowed: max(sack + max(win, 1))
    td_maxwin  largest window that this end has offered
    td_maxack  highest ack that this end has sent

    I    upper bound of data   seq  <= sender.maxend
    II   lower bound of data   end  >= sender.end - receiver.maxwin
    III  upper bound of (s)ack sack <= receiver.end
    IV   lower bound of (s)ack sack >= receiver.end - max(66000, sender.maxwin)

A segment that breaks I or III is invalid, one that breaks II or IV (or I by no more than the
receiver's window) is let through and believed nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ovsct.conntrack.netfilter.entry import Entry

M32: Final = 0xFFFFFFFF
SIGN: Final = 0x80000000

# IP_CT_TCP_FLAG_*: flags of one direction.
WINDOW_SCALE: Final = 0x01
SACK_PERM: Final = 0x02
CLOSE_INIT: Final = 0x04
BE_LIBERAL: Final = 0x08
DATA_UNACKNOWLEDGED: Final = 0x10
MAXACK_SET: Final = 0x20
# Of a connection, kept with last_flags.
CHALLENGE_ACK: Final = 0x40
SIMULTANEOUS_OPEN: Final = 0x80

MAX_SCALE: Final = 14
ACK_WINDOW: Final = 66000

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10

# Results of in_window().
IGNORE: Final = 0
INVALID: Final = 1
ACCEPT: Final = 2

SYN_SENT: Final = 1
SYN_RECV: Final = 2

TIMESTAMP_ONLY: Final = b"\x01\x01\x08\x0a"
_OPT_WINDOW: Final = 3
_OPT_SACK_PERM: Final = 4
_OPT_SACK: Final = 5


class Segment(NamedTuple):
    """What the tracker reads of a TCP header. `end` is seq + data + SYN + FIN; `options` the
    offsets of the first option byte and behind the last in `frame`.
    """

    seq: int
    ack: int
    flags: int
    window: int
    end: int
    frame: bytes
    options: tuple[int, int]


def _walk(frame: bytes, at: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Options as (kind, value); ends at EOL and at anything that contradicts itself."""
    while at < stop:
        kind = frame[at]
        if kind == 0:
            return
        if kind == 1:
            at += 1
            continue
        if stop - at < 2:
            return
        size = frame[at + 1]
        if size < 2 or size > stop - at:
            return
        yield kind, frame[at + 2 : at + size]
        at += size


def read_options(seg: Segment, flags: int, scale: int) -> tuple[int, int]:
    """(flags, scale) of the sender of `seg`, which had these before (tcp_options())."""
    at, stop = seg.options
    if at == stop:
        return flags, scale
    frame = seg.frame
    flags &= BE_LIBERAL
    scale = 0
    while at < stop:
        kind = frame[at]
        if kind == 1:
            at += 1
            continue
        if kind == 0 or stop - at < 2:
            break
        size = frame[at + 1]
        if size < 2 or size > stop - at:
            break
        if kind == _OPT_SACK_PERM and size == 2:
            flags |= SACK_PERM
        elif kind == _OPT_WINDOW and size == 3:
            scale = min(frame[at + 2], MAX_SCALE)
            flags |= WINDOW_SCALE
        at += size
    return flags, scale


def highest_sack(seg: Segment) -> int:
    """The highest right edge that `seg` acknowledges (tcp_sack())."""
    at, stop = seg.options
    sack = seg.ack
    if stop - at == 12 and seg.frame[at : at + 4] == TIMESTAMP_ONLY:
        return sack
    for kind, value in _walk(seg.frame, at, stop):
        if kind == _OPT_SACK and value and len(value) % 8 == 0:
            for block in range(4, len(value), 8):
                edge = int.from_bytes(value[block : block + 4], "big")
                if (sack - edge) & SIGN:
                    sack = edge
            break
    return sack


def offset(way: list[int], seq: int) -> int:
    """What is added to `seq` of a direction: correction point, offset up to it, and behind it
    (nf_ct_seq_offset()).
    """
    position, before, behind = way
    return behind if (position - seq) & SIGN else before


def start_sender(e: Entry, reply: int, seg: Segment) -> None:
    """(Re)start the sender's side from a SYN or SYN/ACK (tcp_init_sender())."""
    window = seg.window or 1
    if reply:
        e.end1 = e.maxend1 = seg.end
        e.maxwin1 = window
        e.flags1, scale = read_options(seg, e.flags1, e.scales >> 4)
        e.scales = e.scales & 0x0F | scale << 4
        # RFC 1323: both sides must send the option to enable scaling in either direction.
        if not e.flags0 & e.flags1 & WINDOW_SCALE:
            e.scales = 0
    else:
        e.end0 = e.maxend0 = seg.end
        e.maxwin0 = window
        e.flags0, scale = read_options(seg, e.flags0, e.scales & 0x0F)
        e.scales = e.scales & 0xF0 | scale


def pick_up(e: Entry, reply: int, seg: Segment, sack: int) -> None:
    """Start the sender's side in the middle of a connection whose history is lost."""
    end = seg.end
    if reply:
        e.end1 = end
        e.maxwin1 = (seg.window << (e.scales >> 4)) or 1
        e.maxend1 = (end + e.maxwin1) & M32
        if e.maxwin0 == 0:
            e.end0 = e.maxend0 = sack
        elif sack == (e.end0 + 1) & M32:
            # Likely the answer to a keepalive.
            e.end0 = sack
    else:
        e.end0 = end
        e.maxwin0 = (seg.window << (e.scales & 0x0F)) or 1
        e.maxend0 = (end + e.maxwin0) & M32
        if e.maxwin1 == 0:
            e.end1 = e.maxend1 = sack
        elif sack == (e.end1 + 1) & M32:
            e.end1 = sack


def in_window(e: Entry, reply: int, seg: Segment, liberal: int) -> tuple[int, int]:
    """Judge a segment and learn from it.

    Args:
        reply: 0 or 1, the direction.
        liberal: sysctl ``tcp_be_liberal``.

    Returns:
        (IGNORE, INVALID or ACCEPT, the acknowledgement as seen by the receiver): what is to be
        remembered as last_ack. A SYN of a simultaneous open is accepted with -1: nothing else
        of it is remembered.
    """
    seq, ack, flags, window, end, _, options = seg
    sack = ack
    if (e.flags0 if reply else e.flags1) & SACK_PERM and options[0] != options[1]:
        sack = highest_sack(seg)
    if e.extra is not None and e.extra.adjust is not None:
        # What NAT added to the other direction is not in its numbers as they were sent.
        off = offset(e.extra.adjust[1 - reply], (ack - 1) & M32)
        ack, sack = (ack - off) & M32, (sack - off) & M32
    s_maxwin = e.maxwin1 if reply else e.maxwin0
    if s_maxwin == 0:
        if flags & SYN:
            start_sender(e, reply, seg)
            if not flags & ACK:
                return ACCEPT, -1
        else:
            pick_up(e, reply, seg, sack)
    elif (
        flags & SYN
        and ((e.end1 if reply else e.end0) - end) & SIGN
        and SYN_SENT <= e.state <= SYN_RECV
    ):
        # RFC 793: a reinitialised TCP must only use higher sequence numbers; the options of the
        # new SYN may differ.
        start_sender(e, reply, seg)
        if reply and not flags & ACK:
            return ACCEPT, -1
    if reply:
        s_end, s_maxend, s_maxwin, s_flags = e.end1, e.maxend1, e.maxwin1, e.flags1
        r_end, r_maxwin = e.end0, e.maxwin0
    else:
        s_end, s_maxend, s_maxwin, s_flags = e.end0, e.maxend0, e.maxwin0, e.flags0
        r_end, r_maxwin = e.end1, e.maxwin1
    if not flags & ACK or (flags & RST and ack == 0):
        # No ACK counts as a right one; so does the zero that broken stacks put into an RST.
        ack = sack = r_end
    if flags & RST and seq == 0 and e.state == SYN_SENT:
        # A RST that answers a SYN.
        seq = end = s_end
    ack_window = s_maxwin if s_maxwin > ACK_WINDOW else ACK_WINDOW
    believed = (r_end - ack_window - 1 - sack) & SIGN
    received = (s_end - r_maxwin - 1 - end) & SIGN
    if not (seq - s_maxend - 1) & SIGN:
        result = INVALID
        overshot = (end - s_maxend + 1) & M32
        if (
            r_maxwin and received and believed and overshot <= r_maxwin
            and (sack - r_end - 1) & SIGN
        ):  # fmt: skip
            # More than the window allows; if the peer takes it, its ACK must not be refused.
            s_flags |= DATA_UNACKNOWLEDGED
            if reply:
                e.end1, e.flags1 = end, s_flags
            else:
                e.end0, e.flags0 = end, s_flags
            result = IGNORE
        return (ACCEPT if liberal or s_flags & BE_LIBERAL else result), -1
    if not (sack - r_end - 1) & SIGN:
        return (ACCEPT if liberal or s_flags & BE_LIBERAL else INVALID), -1
    if (r_maxwin and not received) or not believed:
        return (ACCEPT if liberal or s_flags & BE_LIBERAL else IGNORE), -1
    if not flags & SYN:
        window <<= e.scales >> 4 if reply else e.scales & 0x0F
    _learn(e, reply, seg, (ack, sack, end, window))
    return ACCEPT, ack


def _learn(e: Entry, reply: int, seg: Segment, seen: tuple[int, int, int, int]) -> None:
    """Take what a good segment tells into both sides."""
    ack, sack, end, window = seen
    if reply:
        s_end, s_maxend, s_maxwin, s_maxack = e.end1, e.maxend1, e.maxwin1, e.maxack1
        r_end, r_maxend, r_maxwin = e.end0, e.maxend0, e.maxwin0
        s_flags, r_flags = e.flags1, e.flags0
    else:
        s_end, s_maxend, s_maxwin, s_maxack = e.end0, e.maxend0, e.maxwin0, e.maxack0
        r_end, r_maxend, r_maxwin = e.end1, e.maxend1, e.maxwin1
        s_flags, r_flags = e.flags0, e.flags1
    offered = (window + sack - ack) & M32
    s_maxwin = max(s_maxwin, offered)
    if (s_end - end) & SIGN:
        s_end = end
        s_flags |= DATA_UNACKNOWLEDGED
    if seg.flags & ACK:
        if not s_flags & MAXACK_SET:
            s_maxack = ack
            s_flags |= MAXACK_SET
        elif (s_maxack - ack) & SIGN:
            s_maxack = ack
    if r_maxwin and (s_maxend - end) & SIGN:
        r_maxwin = (r_maxwin + end - s_maxend) & M32
    if (r_maxend - 1 - sack - window) & SIGN:
        r_maxend = (sack + window + (not window)) & M32
    if ack == r_end:
        r_flags &= ~DATA_UNACKNOWLEDGED
    if reply:
        e.end1, e.maxwin1, e.maxack1, e.flags1 = s_end, s_maxwin, s_maxack, s_flags
        e.maxend0, e.maxwin0, e.flags0 = r_maxend, r_maxwin, r_flags
    else:
        e.end0, e.maxwin0, e.maxack0, e.flags0 = s_end, s_maxwin, s_maxack, s_flags
        e.maxend1, e.maxwin1, e.flags1 = r_maxend, r_maxwin, r_flags
