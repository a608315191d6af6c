"""Connections from a dump put into OVS's own conntrack.

OVS has nothing of the kind; the rules here are those that make a loaded connection go on as it
would have, as far as a dump tells:

* The numbers of a TCP connection are in no dump. The first segment that comes says where both ends
  stand (:func:`catch_up`), as the first segment of a stream picked up in the middle does.
* Window scales are known if -m printed them. Else both are unknown, as of such a stream.
* A kernel has one state for both ends; `ENDS` says what that means here.
* UDP and ICMP have no state in the text. A connection is taken for one that was answered, unless
  the text says that it was not, or its timeout is longer than an answered one can have.
* A connection whose tuples are not each other's reverse was translated.
"""

from __future__ import annotations

from typing import Final

from ovsct.conntrack.tuples import V4_LIMIT, from_tuple5, reverse, unpack
from ovsct.conntrack.userspace_entry import DST, SRC, Entry, Rare, Stateful
from ovsct.conntrack.userspace_icmp import TIMERS as ICMP_TIMERS
from ovsct.conntrack.userspace_other import MULTIPLE
from ovsct.conntrack.userspace_other import TIMERS as OTHER_TIMERS
from ovsct.conntrack.userspace_tcp import (
    HEADER,
    WSCALE_KNOWN,
    WSCALE_MAX,
    WSCALE_UNKNOWN,
    Peer,
    TcpEntry,
    TcpState,
    end_of,
    invalid_flags,
    timer_of,
)
from ovsct.conntrack.userspace_timeouts import DEFAULT_TIMEOUTS, Timer
from ovsct.errors import InputError
from ovsct.lane import Connection
from ovsct.packet.packet import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, Packet

_S: Final = TcpState
ENDS: Final = {
    "CLOSED": (_S.CLOSED, _S.CLOSED),
    "NONE": (_S.CLOSED, _S.CLOSED),
    "LISTEN": (_S.CLOSED, _S.CLOSED),
    "SYN_SENT": (_S.SYN_SENT, _S.CLOSED),
    "SYN_SENT2": (_S.SYN_SENT, _S.SYN_SENT),
    "SYN_RECV": (_S.ESTABLISHED, _S.SYN_SENT),
    "ESTABLISHED": (_S.ESTABLISHED, _S.ESTABLISHED),
    "FIN_WAIT": (_S.CLOSING, _S.ESTABLISHED),
    "FIN_WAIT_1": (_S.CLOSING, _S.ESTABLISHED),
    "CLOSING": (_S.CLOSING, _S.ESTABLISHED),
    "CLOSE_WAIT": (_S.FIN_WAIT_2, _S.ESTABLISHED),
    "LAST_ACK": (_S.FIN_WAIT_2, _S.CLOSING),
    "FIN_WAIT_2": (_S.FIN_WAIT_2, _S.FIN_WAIT_2),
    "TIME_WAIT": (_S.TIME_WAIT, _S.TIME_WAIT),
    "CLOSE": (_S.TIME_WAIT, _S.TIME_WAIT),
}
"""A state for both ends, in the words of either dialect, to the states of the two ends."""

_M32: Final = 0xFFFFFFFF
_RST: Final = 0x04
_ACK: Final = 0x10


def entry_of(c: Connection, now: int) -> Entry:
    """The entry of a connection that is loaded at `now` (ms).

    Raises:
        InputError: it is of a kind that this dialect cannot have.
    """
    try:
        forward = from_tuple5(c.orig, c.family, c.proto, c.zone)
        back = from_tuple5(c.reply, c.family, c.proto, c.zone)
        plain = reverse(forward)
    except (ValueError, KeyError) as error:
        raise InputError(f"cannot take a connection ({error})", token=_named(c)) from None
    entry, timer = _stateful(c, forward, back)
    # What has less than a second left is printed with 0.
    timeout = DEFAULT_TIMEOUTS[timer] if c.timeout < 0 else max(round(c.timeout * 1000), 1)
    entry.expires = now + timeout
    entry.mark, entry.label = c.mark, c.label
    if back != plain or c.helper or c.parent is not None or isinstance(entry, TcpEntry):
        entry.rare = rare = Rare()
        rare.node = back != plain
        rare.nat = _action(forward, back) if rare.node else 0
        rare.helper = c.helper
        rare.unseen = isinstance(entry, TcpEntry)
        if c.parent is not None:
            rare.parent = from_tuple5(c.parent, c.family, c.proto, c.zone)
    entry.refresh_bits()
    return entry


def _stateful(c: Connection, forward: int, back: int) -> tuple[Entry, Timer]:
    if c.proto == PROTO_TCP:
        entry = TcpEntry(forward, back, *_peers(c))
        return entry, timer_of(entry)
    kernels = "confirmed" in c.status
    icmp = c.proto == (PROTO_ICMP if forward < V4_LIMIT else PROTO_ICMPV6)
    timers = ICMP_TIMERS if icmp else OTHER_TIMERS
    answered = len(timers) - 1
    if kernels:
        replied = "seen-reply" in c.status
    else:
        replied = c.timeout * 1000 <= DEFAULT_TIMEOUTS[timers[answered]]
    state = answered if replied else 0 if icmp else MULTIPLE
    return Stateful(forward, back, 0, 0, state), timers[state]


def _peers(c: Connection) -> tuple[Peer, Peer]:
    said: dict[str, set[str]] = {}
    for item in c.status:
        name, equals, value = item.partition("=")
        if equals:
            said.setdefault(name, set()).add(value)
    if c.state not in ENDS and "state_orig" not in said:
        raise InputError("no TCP state", token=c.state or _named(c), expected=", ".join(ENDS))
    states = [state.value for state in ENDS.get(c.state, ENDS["ESTABLISHED"])]
    own = "state_orig" in said and "confirmed" not in c.status
    peers = []
    for number, side in enumerate(("orig", "reply")):
        if own:
            (word,) = said[f"state_{side}"]
            if word not in TcpState.__members__:
                known = ", ".join(TcpState.__members__)
                raise InputError("no TCP state", token=word, expected=known)
            states[number] = TcpState[word].value
        flags = said.get(f"flags_{side}", set())
        scale = 0
        if "WINDOW_SCALE" in flags:
            (shift,) = said.get(f"wscale_{side}", {"0"})
            scale = WSCALE_KNOWN | min(int(shift), WSCALE_MAX)
        elif "BE_LIBERAL" in flags or "state_orig" not in said:
            scale = WSCALE_UNKNOWN
        peers.append(Peer(0, 1, 1, scale, states[number]))
    return peers[0], peers[1]


def _action(forward: int, back: int) -> int:
    """SNAT moves what answers go to; DNAT where they come from, and perhaps the port they go to."""
    ahead, answer = unpack(forward), unpack(back)
    if ahead.proto in (PROTO_ICMP, PROTO_ICMPV6):
        return DST if answer.src != ahead.dst else SRC
    return DST if (answer.src, answer.sport) != (ahead.dst, ahead.dport) else SRC


def _named(c: Connection) -> str:
    return f"{c.orig.src} > {c.orig.dst} zone {c.zone}"


def catch_up(entry: TcpEntry, packet: Packet, reply: bool) -> None:
    """Take from the first segment of a loaded connection where its ends stand."""
    rare = entry.rare
    assert rare is not None
    seq, ack, _, flags, _ = HEADER.unpack_from(packet.frame, packet.l4 + 4)
    if invalid_flags(flags):
        return
    src, dst = (entry.answer, entry.orig) if reply else (entry.orig, entry.answer)
    if src.state:
        src.seqlo = seq
        src.seqhi = end_of(packet) + max(1, dst.max_win) & _M32
    if flags & _ACK and not (flags & _RST and not ack):
        if dst.state:
            dst.seqlo = dst.seqhi = ack
        rare.unseen = False
        if not (rare.node or rare.helper or rare.policy or rare.parent is not None):
            entry.rare = None
