"""TCP as OVS's own conntrack sees it: pf's state tracking (OVS 3.1 lib/conntrack-tcp.c).

Each end of a connection has its own state; the order of the states means something::

    CLOSED < LISTEN < SYN_SENT < SYN_RECV < ESTABLISHED < CLOSE_WAIT < FIN_WAIT_1
           < CLOSING < LAST_ACK < FIN_WAIT_2 < TIME_WAIT

Only some of them are ever entered::

    first packet           the other end            FIN sent              the other end
    of this end            acknowledges                                   acknowledges
    CLOSED ---> SYN_SENT -------------> ESTABLISHED -------> CLOSING -------------> FIN_WAIT_2
                   |                                            ^
                   +--------------------------------------------+  (FIN before any ACK)

    RST from either end: both TIME_WAIT.        SYN when both >= FIN_WAIT_2: a new connection.

After a packet, the states of both ends choose the timer: see `TIMERS`.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

from ovsct.conntrack.userspace_entry import Entry
from ovsct.conntrack.userspace_timeouts import Timer
from ovsct.packet.packet import Packet

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20


class TcpState(IntEnum):
    """States of one end, in their order (OVS lib/ct-dpif.h ``CT_DPIF_TCP_STATES``)."""

    CLOSED = 0
    LISTEN = 1
    SYN_SENT = 2
    SYN_RECV = 3
    ESTABLISHED = 4
    CLOSE_WAIT = 5
    FIN_WAIT_1 = 6
    CLOSING = 7
    LAST_ACK = 8
    FIN_WAIT_2 = 9
    TIME_WAIT = 10


class Verdict(IntEnum):
    """What an update says of a packet of a known connection (OVS ``enum ct_update_res``)."""

    INVALID = 0
    VALID = 1
    NEW = 2
    """The old connection is over; this packet begins another."""
    VALID_NEW = 3
    """It belongs to the connection, which still is a new one."""


_CLOSED, _SYN_SENT = TcpState.CLOSED.value, TcpState.SYN_SENT.value
_ESTABLISHED, _CLOSING = TcpState.ESTABLISHED.value, TcpState.CLOSING.value
_FIN_WAIT_2, _TIME_WAIT = TcpState.FIN_WAIT_2.value, TcpState.TIME_WAIT.value

_PHASE: Final = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3)
"""State to row and column of `TIMERS`: opening, established, closing, done."""

TIMERS: Final = (
    # opening               established             closing              done
    (Timer.TCP_OPENING, Timer.TCP_OPENING,     Timer.TCP_OPENING,  Timer.TCP_OPENING),   # opening
    (Timer.TCP_OPENING, Timer.TCP_ESTABLISHED, Timer.TCP_CLOSING,  Timer.TCP_CLOSING),   # establ.
    (Timer.TCP_OPENING, Timer.TCP_CLOSING,     Timer.TCP_FIN_WAIT, Timer.TCP_FIN_WAIT),  # closing
    (Timer.TCP_OPENING, Timer.TCP_CLOSING,     Timer.TCP_FIN_WAIT, Timer.TCP_CLOSED),    # done
)  # fmt: skip
"""Phase of one end and of the other to the timer that runs."""

ON_FIN: Final = (7, 7, 7, 7, 7, 7, 7, 7, 8, 9, 10)
"""State of the end that sent FIN to its next: CLOSING unless it is there or beyond."""

ON_ACK: Final = (0, 1, 4, 3, 4, 5, 6, 9, 8, 9, 10)
"""State of the end that is acknowledged to its next: SYN_SENT becomes ESTABLISHED, CLOSING
becomes FIN_WAIT_2."""

WSCALE_KNOWN: Final = 0x80
WSCALE_UNKNOWN: Final = 0x40
WSCALE_MASK: Final = 0x0F
WSCALE_MAX: Final = 14

MAX_ACK_WINDOW: Final = 0xFFFF + 1500

_M32: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000

HEADER: Final = Struct("!IIBBH")
"""Sequence number, acknowledgement, data offset, flags and window, at offset 4 of the header."""

WINDOWS: Final = tuple(range(0x10000))
"""One shared int for every window size: a million connections need not hold their own."""

SHIFTS: Final = tuple(tuple((own, other) for other in range(15)) for own in range(15))
"""Shared pairs of window shifts, for `TcpEntry.steady`."""


class Peer:
    """One end: the highest sequence number it sent (`seqlo`), the highest it may send (`seqhi`),
    its largest window before scaling, its window scale and its state.
    """

    __slots__ = ("max_win", "seqhi", "seqlo", "state", "wscale")

    def __init__(self, seqlo: int, seqhi: int, max_win: int, wscale: int, state: int) -> None:
        self.seqlo = seqlo
        self.seqhi = seqhi
        self.max_win = max_win
        self.wscale = wscale
        self.state = state


class TcpEntry(Entry):
    """A TCP connection: `orig` and `answer` are its ends. `steady` is set while the tracker may
    take its short cut for plain segments: both ends ESTABLISHED and nothing rare about the
    connection; it then holds the window shifts of both ends.
    """

    __slots__ = ("answer", "orig", "steady")

    def __init__(self, forward: int, reverse: int, orig: Peer, answer: Peer) -> None:
        self.expires = 0
        self.armed = 1 << 62
        self.forward = forward
        self.reverse = reverse
        self.mark = 0
        self.label = 0
        self.limit = None
        self.rare = None
        self.bits = 0
        self.orig = orig
        self.answer = answer
        self.steady: tuple[int, int] | None = None

    def settle(self) -> None:
        """Set `steady` to what it should be."""
        orig, answer = self.orig, self.answer
        if orig.state == answer.state == _ESTABLISHED and self.rare is None:
            if orig.wscale & answer.wscale & WSCALE_KNOWN:
                self.steady = SHIFTS[orig.wscale & WSCALE_MASK][answer.wscale & WSCALE_MASK]
            elif orig.wscale & answer.wscale & WSCALE_UNKNOWN:
                self.steady = SHIFTS[WSCALE_MAX][WSCALE_MAX]
            else:
                self.steady = SHIFTS[0][0]
        else:
            self.steady = None


def invalid_flags(flags: int) -> bool:
    """Flags that no segment may have (OVS ``tcp_invalid_flags()``); ECE, CWR do not matter."""
    if flags & SYN:
        if flags & (RST | FIN):
            return True
    elif not flags & (ACK | RST):
        return True
    return not flags & ACK and bool(flags & (FIN | PSH | URG))


def valid_new(flags: int) -> bool:
    """May a segment begin a connection? Anything but SYN+ACK may, so a bare RST or data can."""
    return not invalid_flags(flags) and flags & (SYN | ACK) != SYN | ACK


def window_scale(frame: bytes, l4: int) -> int:
    """The window scale option of a segment with the KNOWN bit, or 0 (OVS ``tcp_get_wscale()``).

    It reads what follows the options if the last of them is cut short, and a kind at the end of
    fewer than three bytes not at all, as OVS does.
    """
    left = (frame[l4 + 12] >> 4) * 4 - 20
    at = l4 + 20
    found = 0
    while left >= 3:
        kind = frame[at]
        if kind == 0:
            return found
        if kind == 1:
            at += 1
            left -= 1
            continue
        if kind == 3:
            found = min(frame[at + 2], WSCALE_MAX) | WSCALE_KNOWN
        length = max(frame[at + 1], 2)
        left -= length
        at += length
    return found


def timer_of(entry: TcpEntry) -> Timer:
    """The timer that the states of both ends choose."""
    return TIMERS[_PHASE[entry.orig.state]][_PHASE[entry.answer.state]]


def end_of(packet: Packet) -> int:
    """The sequence number behind a segment, its SYN and FIN counted."""
    seq, _, offset, flags, _ = HEADER.unpack_from(packet.frame, packet.l4 + 4)
    end: int = seq + packet.end - packet.l4 - (offset >> 4) * 4
    end += (flags >> 1 & 1) + (flags & 1)
    return end & _M32


def create(forward: int, reverse: int, packet: Packet) -> TcpEntry:
    """The connection that a segment begins (OVS ``tcp_new_conn()``); its timer is FIRST_PACKET."""
    frame, l4 = packet.frame, packet.l4
    seq, _, offset, flags, win = HEADER.unpack_from(frame, l4 + 4)
    seqhi = seq + packet.end - l4 - (offset >> 4) * 4 + 1
    if win == 0:
        win = 1
    if flags & SYN:
        seqhi += 1
        wscale = window_scale(frame, l4) if offset > 0x50 else 0
        shift = wscale & WSCALE_MASK
        if shift:
            win = win + (1 << shift) - 1 >> shift
        other = 0
    else:
        wscale = other = WSCALE_UNKNOWN
    if flags & FIN:
        seqhi += 1
    return TcpEntry(
        forward,
        reverse,
        Peer(seq, seqhi & _M32, WINDOWS[win], wscale, _SYN_SENT),
        Peer(0, 1, 1, other, _CLOSED),
    )


def _agree_on_scaling(src: Peer, dst: Peer, packet: Packet, win: int) -> tuple[int, int, int]:
    """Take the scale of the SYN with which `src` answers a scaling `dst`.

    Returns its window and the shifts of both, as this very segment is to be judged.
    """
    src.wscale = window_scale(packet.frame, packet.l4)
    if src.wscale & WSCALE_KNOWN:
        shift = src.wscale & WSCALE_MASK
        return win + (1 << shift) - 1 >> shift, shift, dst.wscale & WSCALE_MASK
    # No scaling after all: the window of the other end, which was divided, is made whole.
    dst.max_win = dst.max_win << (dst.wscale & WSCALE_MASK) & 0xFFFF
    dst.wscale = 0
    return win, 0, 0


def update(
    entry: TcpEntry, packet: Packet, reply: bool, check: bool
) -> tuple[Verdict, Timer | None]:
    """Take a segment of a known connection (OVS ``tcp_conn_update()``).

    Args:
        entry: the connection; changed in place.
        packet: a whole TCP segment.
        reply: it goes in the reply direction.
        check: sequence numbers are checked (``dpctl/ct-enable-tcp-seq-chk``).

    Returns:
        The verdict, and the timer to start (None: the running one goes on).
    """
    frame, l4 = packet.frame, packet.l4
    seq, ack, offset, flags, win = HEADER.unpack_from(frame, l4 + 4)
    if invalid_flags(flags):
        return Verdict.INVALID, None
    src, dst = (entry.answer, entry.orig) if reply else (entry.orig, entry.answer)

    if flags & (SYN | ACK) == SYN:
        if dst.state >= _FIN_WAIT_2 and src.state >= _FIN_WAIT_2:
            src.state = dst.state = _CLOSED
            return Verdict.NEW, None
        if src.state <= _SYN_SENT:
            src.state = _SYN_SENT
            return Verdict.VALID_NEW, Timer.TCP_FIRST_PACKET

    sws = dws = 0
    if not flags & SYN:
        if src.wscale & dst.wscale & WSCALE_KNOWN:
            sws, dws = src.wscale & WSCALE_MASK, dst.wscale & WSCALE_MASK
        elif src.wscale & dst.wscale & WSCALE_UNKNOWN:
            sws = dws = WSCALE_MAX

    end = seq + packet.end - l4 - (offset >> 4) * 4
    if flags & SYN:
        end += 1
    if flags & FIN:
        end += 1
    end &= _M32
    check_skew = True
    if src.state < _SYN_SENT:
        if flags & SYN and dst.wscale & WSCALE_KNOWN:
            win, sws, dws = _agree_on_scaling(src, dst, packet, win)
        src.state = _SYN_SENT
        src.seqlo = seq
        limit = end + max(1, dst.max_win << dws) & _M32
        if src.seqhi == 1 or (limit - src.seqhi) & _M32 < _HALF:
            src.seqhi = limit
            check_skew = False
        if win > src.max_win:
            src.max_win = WINDOWS[win]

    if not flags & ACK or (ack == 0 and flags & RST):
        ack = dst.seqlo
    orig_seq = seq
    if seq == end:
        seq = end = src.seqlo

    skew = 0
    if check_skew:
        skew = (dst.seqlo - ack) & _M32
        if skew >= _HALF:
            skew -= 1 << 32
    in_window = (
        (src.seqhi - end) & _M32 < _HALF
        and (seq - src.seqlo + (dst.max_win << dws)) & _M32 < _HALF
        and -MAX_ACK_WINDOW <= skew <= MAX_ACK_WINDOW << sws
        and (not flags & RST or (orig_seq - src.seqlo + 1) & _M32 <= 2)
    )
    if in_window or not check:
        _slide(src, dst, end, ack, win, sws)
        if flags & FIN:
            src.state = ON_FIN[src.state]
        if flags & ACK:
            dst.state = ON_ACK[dst.state]
        if flags & RST:
            src.state = dst.state = _TIME_WAIT
        return Verdict.VALID, TIMERS[_PHASE[src.state]][_PHASE[dst.state]]
    if (
        (dst.state < _SYN_SENT or dst.state >= _FIN_WAIT_2 or src.state >= _FIN_WAIT_2)
        and (src.seqhi + MAX_ACK_WINDOW - end) & _M32 < _HALF
        and (seq - src.seqlo + MAX_ACK_WINDOW) & _M32 < _HALF
    ):
        # Shotgunned SYNs, streams picked up in the middle, stray segments after the close: let
        # through, but the timer is not refreshed, so that a flood cannot keep it alive.
        _slide(src, dst, end, ack, win, sws)
        if flags & FIN:
            src.state = ON_FIN[src.state]
        if flags & RST:
            src.state = dst.state = _TIME_WAIT
        return Verdict.VALID, None
    return Verdict.INVALID, None


def _slide(src: Peer, dst: Peer, end: int, ack: int, win: int, sws: int) -> None:
    """Note the window, what was sent, and what the other end may send now."""
    if src.max_win < win:
        src.max_win = WINDOWS[win]
    if 0 < (end - src.seqlo) & _M32 < _HALF:
        src.seqlo = end
    scaled = win << sws
    if (ack + scaled - dst.seqhi) & _M32 < _HALF:
        dst.seqhi = ack + (scaled or 1) & _M32
