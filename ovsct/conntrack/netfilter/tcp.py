"""The TCP tracker: net/netfilter/nf_conntrack_proto_tcp.c.

The state table, as the kernel draws it (a row is what came, a column the state it came in)::

                NO SS SR ES FW CW LA TW CL S2      NO NONE         LA LAST_ACK
    original                                       SS SYN_SENT     TW TIME_WAIT
      syn       SS SS IG IG IG IG IG SS SS S2      SR SYN_RECV     CL CLOSE
      synack    IV IV SR IV IV IV IV IV IV SR      ES ESTABLISHED  S2 SYN_SENT2
      fin       IV IV FW FW LA LA LA TW CL IV      FW FIN_WAIT     IV invalid
      ack       ES IV ES ES CW CW TW TW CL IV      CW CLOSE_WAIT   IG let through, change nothing
      rst       IV CL CL CL CL CL CL CL CL CL
      none      IV IV IV IV IV IV IV IV IV IV
    reply
      syn       IV S2 IV IV IV IV IV SS IV S2
      ...

    SYN_SENT --syn,ack--> SYN_RECV --ack--> ESTABLISHED --fin--> FIN_WAIT --ack--> CLOSE_WAIT
       \\                                                           \\ fin             | fin
        \\--syn of the other side--> SYN_SENT2                       \\--> LAST_ACK <--/
                                                                          | ack
    any --rst--> CLOSE            TIME_WAIT <-----------------------------/   --syn--> a new entry
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from ovsct.conntrack.netfilter.entry import ASSURED, CONFIRMED, FIXED_TIMEOUT, SEEN_REPLY, Entry
from ovsct.conntrack.netfilter.window import (
    ACK,
    BE_LIBERAL,
    CHALLENGE_ACK,
    CLOSE_INIT,
    DATA_UNACKNOWLEDGED,
    FIN,
    IGNORE,
    INVALID,
    M32,
    MAXACK_SET,
    RST,
    SACK_PERM,
    SIGN,
    SIMULTANEOUS_OPEN,
    SYN,
    WINDOW_SCALE,
    Segment,
    in_window,
    read_options,
)

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter
    from ovsct.packet.packet import Packet

NAMES: Final = (
    "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK",
    "TIME_WAIT", "CLOSE", "SYN_SENT2",
)  # fmt: skip
"""The states, by number (tcp_conntrack_names)."""

(
    NONE, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE,
    SYN_SENT2,
) = range(10)  # fmt: skip
IV: Final = 10
IG: Final = 11
RETRANS: Final = 10
UNACK: Final = 11

ROW_SYN, ROW_SYNACK, ROW_FIN, ROW_ACK, ROW_RST, ROW_NONE = range(6)

TABLE: Final = (
    (  # original
        "SS SS IG IG IG IG IG SS SS S2",  # syn
        "IV IV SR IV IV IV IV IV IV SR",  # syn, ack
        "IV IV FW FW LA LA LA TW CL IV",  # fin
        "ES IV ES ES CW CW TW TW CL IV",  # ack
        "IV CL CL CL CL CL CL CL CL CL",  # rst
        "IV IV IV IV IV IV IV IV IV IV",  # none of them
    ),
    (  # reply
        "IV S2 IV IV IV IV IV SS IV S2",
        "IV SR IG IG IG IG IG IG IG SR",
        "IV IV FW FW LA LA LA TW CL IV",
        "IV IG SR ES CW CW TW TW CL IG",
        "IV CL CL CL CL CL CL CL CL CL",
        "IV IV IV IV IV IV IV IV IV IV",
    ),
)
"""tcp_conntracks[direction][what came], a column a state."""

_CODES: Final = {
    "NO": NONE, "SS": SYN_SENT, "SR": SYN_RECV, "ES": ESTABLISHED, "FW": FIN_WAIT,
    "CW": CLOSE_WAIT, "LA": LAST_ACK, "TW": TIME_WAIT, "CL": CLOSE, "S2": SYN_SENT2,
    "IV": IV, "IG": IG,
}  # fmt: skip
_NEXT: Final = tuple(
    tuple(tuple(_CODES[word] for word in row.split()) for row in side) for side in TABLE
)

VALID_FLAGS: Final = ("S", "SU", "SA", "R", "RA", "FA", "FAU", "A", "AU")
"""Flag combinations that are not invalid; PSH, ECE and CWR are not looked at (tcp_valid_flags)."""

_BITS: Final = {"F": FIN, "S": SYN, "R": RST, "A": ACK, "U": 0x20}
_IGNORED_FLAGS: Final = 0xC8


def _row(flags: int) -> int:
    if flags & RST:
        return ROW_RST
    if flags & SYN:
        return ROW_SYNACK if flags & ACK else ROW_SYN
    if flags & FIN:
        return ROW_FIN
    return ROW_ACK if flags & ACK else ROW_NONE


_VALID: Final = {sum(_BITS[letter] for letter in word) for word in VALID_FLAGS}
ROWS_OF_FLAGS: Final = tuple(
    _row(flags) if flags & ~_IGNORED_FLAGS in _VALID else -1 for flags in range(256)
)
"""For each flags byte the row of the table, -1 if the combination is invalid."""

HEADER: Final = Struct(">IIBBH").unpack_from

# What the tracker answers (the kernel's NF_ACCEPT, -NF_ACCEPT, -NF_REPEAT).
OK: Final = 1
BAD: Final = -1
AGAIN: Final = -4

# Entry.last: the segment seen last, seq << 80 | ack << 48 | end << 16 | window.
_ACK_SHIFT: Final = 48
_END_SHIFT: Final = 16
_ACK_FIELD: Final = M32 << _ACK_SHIFT

# Entry.note: its row, its direction, how often it came again, and of an ignored SYN the options.
_NOTE_ROW: Final = 0x07
_NOTE_REPLY: Final = 0x08
_NOTE_RETRANS: Final = 0xFF
_RETRANS_SHIFT: Final = 4
_SCALE_SHIFT: Final = 12
_FLAGS_SHIFT: Final = 16
_NOTE_LOW: Final = 0x0F
_DEFAULT_NOTE: Final = ROW_NONE


def last_end(e: Entry) -> int:
    """last_end of ``struct ip_ct_tcp``."""
    return (e.last >> _END_SHIFT) & M32


def _last_ack(e: Entry) -> int:
    return (e.last >> _ACK_SHIFT) & M32


def read_segment(packet: Packet) -> Segment | None:
    """The TCP header, or None if it is truncated (tcp_error())."""
    frame, l4, end = packet.frame, packet.l4, packet.end
    size = end - l4
    if size < 20:
        return None
    seq, ack, offset, flags, window = HEADER(frame, l4 + 4)
    header = (offset >> 4) * 4
    if header < 20 or size < header:
        return None
    last = (seq + size - header + (flags >> 1 & 1) + (flags & 1)) & M32
    return Segment(seq, ack, flags, window, last, frame, (l4 + 20, l4 + header))


def start(e: Entry, seg: Segment, row: int, loose: int) -> bool:
    """Begin to track: False if this segment cannot be the first one (tcp_new())."""
    state = _NEXT[0][row][NONE]
    if state == IV or (state != SYN_SENT and not loose):
        return False
    e.state = NONE
    e.last = 0
    e.note = _DEFAULT_NOTE
    e.end1 = e.maxend1 = e.maxwin1 = e.maxack1 = e.maxack0 = 0
    e.end0 = seg.end
    e.maxwin0 = seg.window or 1
    if state == SYN_SENT:
        e.maxend0 = seg.end
        e.flags1 = 0
        e.flags0, e.scales = read_options(seg, 0, 0)
    else:
        # In the middle of a connection whose history is lost: suppose SACK and any scaling.
        e.maxend0 = (seg.end + e.maxwin0) & M32
        e.flags0 = e.flags1 = SACK_PERM | BE_LIBERAL
        e.scales = 0
    return True


def tcp_packet(core: Netfilter, e: Entry, packet: Packet, reply: int, now: int) -> int:
    """nf_conntrack_tcp_packet(): `packet` belongs to `e`; `reply` is its direction, `now` in ms.

    The checksum has been looked at before. Returns OK, BAD (the packet is invalid) or AGAIN (the
    entry was removed for a new connection; look up once more).
    """
    seg = read_segment(packet)
    if seg is None:
        return BAD
    row = ROWS_OF_FLAGS[seg.flags]
    if row < 0:
        return BAD
    if not e.status & CONFIRMED and not start(e, seg, row, core.sysctls["tcp_loose"]):
        return BAD
    old = e.state
    new = _NEXT[reply][row][old]
    special = _SPECIAL.get(new)
    checked = False
    if special is not None:
        answer = special(core, e, seg, row, reply)
        if answer < 0 or answer == _PASS:
            return OK if answer == _PASS else answer
        checked = answer in (_SKIP_WINDOW, _STAY_SKIP)
        if answer == _RESYNC:
            old, new = SYN_SENT, SYN_RECV
        elif answer in (_STAY, _STAY_SKIP):
            new = old
        elif answer == _ESTABLISH:
            new = ESTABLISHED
    if not checked:
        result, ack = in_window(e, reply, seg, core.liberal)
        if result == IGNORE:
            return OK
        if result == INVALID:
            _handle_invalid(core, e, row, reply, now)
            return BAD
        if row == ROW_ACK and ack >= 0:
            _note_segment(e, seg, ack, reply)
    return _advance_state(core, e, packet, seg, (row, old, new, reply, now))


def _note_segment(e: Entry, seg: Segment, ack: int, reply: int) -> None:
    """Count retransmissions of the same pure ACK."""
    last = seg.seq << 80 | ack << 48 | seg.end << 16 | seg.window
    note = e.note
    if last == e.last and (note >> 3) & 1 == reply:
        retrans = ((note >> _RETRANS_SHIFT) + 1) & _NOTE_RETRANS
        e.note = note & ~(_NOTE_RETRANS << _RETRANS_SHIFT) | retrans << _RETRANS_SHIFT
    else:
        e.last = last
        e.note = note & ~(_NOTE_RETRANS << _RETRANS_SHIFT | _NOTE_REPLY) | reply << 3


def _advance_state(
    core: Netfilter, e: Entry, packet: Packet, seg: Segment, step: tuple[int, int, int, int, int]
) -> int:
    """The segment is in window: take the new state, its timeout and what follows from it."""
    row, old, new, reply, now = step
    e.note = e.note & ~_NOTE_LOW | row | reply << 3
    e.state = new
    if new == FIN_WAIT and old != new:
        if reply:
            e.flags1 |= CLOSE_INIT
        else:
            e.flags0 |= CLOSE_INIT
    limits = core.limits(e, "tcp")
    timeout = choose_timeout(core, e, limits, row)
    status = e.status
    if not status & SEEN_REPLY:
        if seg.flags & RST:
            # A reset as the only answer: there was no connection.
            core.account(e, packet, reply)
            core.kill(e)
            return OK
        if row == ROW_SYN and old == SYN_SENT:
            # A retransmitted SYN does not renew, or port reuse would keep the entry for ever.
            return OK
        if new == ESTABLISHED and timeout > limits[UNACK]:
            timeout = limits[UNACK]
    elif not status & ASSURED and new == ESTABLISHED and old in (SYN_RECV, ESTABLISHED):
        e.status = status | ASSURED
    core.refresh(e, packet, reply, now, timeout)
    return OK


def choose_timeout(core: Netfilter, e: Entry, limits: tuple[int, ...], row: int) -> int:
    """The timeout (ms) that the state and the last segments call for."""
    state = e.state
    timeout = limits[state]
    retrans = (e.note >> _RETRANS_SHIFT) & _NOTE_RETRANS
    if retrans >= core.max_retrans and timeout > limits[RETRANS]:
        return limits[RETRANS]
    if row == ROW_RST:
        if core.rst_closes:
            return limits[CLOSE]
        if state == ESTABLISHED and timeout > limits[UNACK]:
            return limits[UNACK]
    if (e.flags0 | e.flags1) & DATA_UNACKNOWLEDGED and timeout > limits[UNACK]:
        return limits[UNACK]
    if not e.last & 0xFFFF and timeout > limits[RETRANS]:
        return limits[RETRANS]
    return timeout


def _handle_invalid(core: Netfilter, e: Entry, row: int, reply: int, now: int) -> None:
    """nf_tcp_handle_invalid(): FIN or RST out of window both ways, do not wait five days."""
    if not e.status & ASSURED or e.status & FIXED_TIMEOUT or row not in (ROW_RST, ROW_FIN):
        return
    note = e.note
    if (note >> 3) & 1 != reply and note & _NOTE_ROW in (ROW_FIN, ROW_RST):
        left = e.expires - now
        limit = core.limits(e, "tcp")[UNACK]
        if left >= 120_000 and left > limit:
            e.expires = now + limit
            core.timers.arm(e)
    else:
        e.note = note & ~_NOTE_LOW | row | reply << 3


# What the special cases below answer besides BAD and AGAIN.
_GO: Final = 10
_PASS: Final = 11
_SKIP_WINDOW: Final = 12
_RESYNC: Final = 13
_STAY: Final = 14
_ESTABLISH: Final = 15
_STAY_SKIP: Final = 16


def _to_syn_sent(core: Netfilter, e: Entry, seg: Segment, row: int, reply: int) -> int:
    """A SYN on a connection that is over makes room for a new one."""
    if e.state < TIME_WAIT:
        return _GO
    note = e.note
    if (e.flags0 | e.flags1) & CLOSE_INIT or (
        (note >> 3) & 1 == reply and note & _NOTE_ROW == ROW_RST
    ):
        core.kill(e)
        return AGAIN
    return _ignore(core, e, seg, row, reply)


def _ignore(core: Netfilter, e: Entry, seg: Segment, row: int, reply: int) -> int:
    """Perhaps the ends are in step and we are not: let it through and remember it."""
    note = e.note
    if (
        row == ROW_SYNACK
        and note & _NOTE_ROW == ROW_SYN
        and (note >> 3) & 1 != reply
        and seg.ack == last_end(e)
    ):
        _resync(e, reply)
        return _RESYNC
    if row == ROW_SYN and not reply:
        flags, scale = read_options(seg, 0, 0)
        flags &= WINDOW_SCALE | SACK_PERM
        if e.state == LAST_ACK:
            flags |= CHALLENGE_ACK
        note = note & 0xFFF | scale << _SCALE_SHIFT | flags << _FLAGS_SHIFT
    e.note = note & ~_NOTE_LOW | row | reply << 3
    ack = seg.ack if e.state == SYN_SENT and row == ROW_ACK and reply else _last_ack(e)
    e.last = seg.seq << 80 | ack << 48 | seg.end << 16 | seg.window
    return _PASS


def _resync(e: Entry, reply: int) -> None:
    """A SYN/ACK answers a SYN that we had ignored: start over from what was noted of it."""
    end = last_end(e)
    window = e.last & 0xFFFF or 1
    scale = (e.note >> _SCALE_SHIFT) & 0x0F
    flags = (e.note >> _FLAGS_SHIFT) & ~CHALLENGE_ACK
    e.note = e.note & 0xFFFF | flags << _FLAGS_SHIFT
    if reply:
        e.end0 = e.maxend0 = end
        e.maxwin0, e.scales, e.flags0 = window, scale, flags
        e.end1 = e.maxend1 = e.maxwin1 = e.maxack1 = 0
        e.flags1 &= BE_LIBERAL
    else:
        e.end1 = e.maxend1 = end
        e.maxwin1, e.scales, e.flags1 = window, scale << 4, flags
        e.end0 = e.maxend0 = e.maxwin0 = e.maxack0 = 0
        e.flags0 &= BE_LIBERAL


def _invalid(core: Netfilter, e: Entry, seg: Segment, row: int, reply: int) -> int:
    return BAD


def _to_time_wait(core: Netfilter, e: Entry, seg: Segment, row: int, reply: int) -> int:
    """RFC 5961: the answer to a stray SYN must not pass for the ACK of the last FIN."""
    note = e.note
    if (
        e.state == LAST_ACK
        and row == ROW_ACK
        and (note >> 3) & 1 != reply
        and note & _NOTE_ROW == ROW_SYN
        and (note >> _FLAGS_SHIFT) & CHALLENGE_ACK
    ):
        e.note = note & ~(CHALLENGE_ACK << _FLAGS_SHIFT)
        return _PASS
    return _GO


def _to_syn_sent2(core: Netfilter, e: Entry, seg: Segment, row: int, reply: int) -> int:
    e.note |= SIMULTANEOUS_OPEN << _FLAGS_SHIFT
    return _GO


def _to_syn_recv(core: Netfilter, e: Entry, seg: Segment, row: int, reply: int) -> int:
    if reply and row == ROW_ACK and (e.note >> _FLAGS_SHIFT) & SIMULTANEOUS_OPEN:
        return _ESTABLISH
    return _GO


def established(e: Entry) -> bool:
    """nf_conntrack_tcp_established()."""
    return e.state == ESTABLISHED and bool(e.status & ASSURED)


def _to_close(core: Netfilter, e: Entry, seg: Segment, row: int, reply: int) -> int:
    """Is this reset to be believed?"""
    if row != ROW_RST:
        return _GO
    state, note, seq = e.state, e.note, seg.seq
    if FIN_WAIT <= state <= CLOSE:
        # The tuple may be in use again; what was noted is of no use (tcp_can_early_drop()).
        return _SKIP_WINDOW
    answer = _GO
    row_before, same_side = note & _NOTE_ROW, (note >> 3) & 1 == reply
    if (e.flags0 if reply else e.flags1) & MAXACK_SET and row_before != ROW_SYN:
        if seq == 0 and not established(e):
            return _GO
        maxack = e.maxack0 if reply else e.maxack1
        if (seq - maxack) & SIGN and not core.sysctls["tcp_ignore_invalid_rst"]:
            return BAD
        if not established(e) or seq == maxack:
            return _GO
        if row_before == ROW_ACK and same_side and seq == last_end(e):
            # The end of a train: data, then the reset.
            return _GO
        # Not exactly the next: stay, so that a challenge ACK can come.
        answer = _STAY
    if seg.ack == last_end(e) and (
        (e.status & SEEN_REPLY and row_before == ROW_SYN and not same_side)
        or (not e.status & ASSURED and row_before == ROW_ACK)
    ):
        # It answers a SYN or ACK that we had let through: nothing of ours to check it by.
        return _SKIP_WINDOW if answer == _GO else _STAY_SKIP
    if (
        state == SYN_SENT
        and row_before == ROW_ACK
        and (note >> 3) & 1
        and seq == _last_ack(e)
    ):
        return _SKIP_WINDOW
    return answer


_SPECIAL: Final = {
    SYN_SENT: _to_syn_sent,
    IG: _ignore,
    IV: _invalid,
    TIME_WAIT: _to_time_wait,
    SYN_SENT2: _to_syn_sent2,
    SYN_RECV: _to_syn_recv,
    CLOSE: _to_close,
}
