"""Connections from a dump put into netfilter's table, as ctnetlink puts one in
(net/netfilter/nf_conntrack_netlink.c ``ctnetlink_create_conntrack()``).

The windows of such an entry are empty; the first segment of each side fills them, as
``tcp_in_window()`` does for a connection whose history is lost. What a dump does not tell:

* Without -m nothing is known of window scales: both sides are liberal, like a stream that was
  picked up in the middle.
* The states of OVS's own conntrack are two, one an end; `_PAIRS` says what they come to here.
* Without status flags a connection is taken for one that was answered, unless its state says that
  it was not, and for an assured one if its state is ESTABLISHED or later.
* An offloaded connection (whose line has no state and no timeout) is established.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter import helpers, tcp, window
from ovsct.conntrack.netfilter.datagram import REPLIED, STREAM_AFTER, UNREPLIED
from ovsct.conntrack.netfilter.entry import (
    ASSURED,
    DST_NAT,
    EXPECTED,
    NAT_DONE_MASK,
    SEEN_REPLY,
    SRC_NAT,
    Entry,
)
from ovsct.conntrack.netfilter.nat import source_of
from ovsct.conntrack.netfilter.sctp import NAMES as SCTP_NAMES
from ovsct.conntrack.netfilter.sysctls import TRACKERS
from ovsct.errors import InputError
from ovsct.lane import Connection
from ovsct.packet.packet import PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter

_TCP: Final = {
    **{name: number for number, name in enumerate(tcp.NAMES) if number},
    "FIN_WAIT_1": tcp.FIN_WAIT, "CLOSING": tcp.CLOSE, "CLOSED": tcp.CLOSE,
    "FIN_WAIT_2": tcp.TIME_WAIT,
}  # fmt: skip
"""The state by its name, in the kernel's own words and in those of dump-conntrack."""

_OPEN, _CLOSING, _CLOSED = 1, 2, 3
_PHASES: Final = {
    "ESTABLISHED": _OPEN, "CLOSE_WAIT": _OPEN, "FIN_WAIT_1": _OPEN, "CLOSING": _CLOSING,
    "LAST_ACK": _CLOSING, "FIN_WAIT_2": _CLOSED, "TIME_WAIT": _CLOSED,
}  # fmt: skip
_PAIRS: Final = {
    (0, 0): tcp.SYN_SENT, (0, _OPEN): tcp.SYN_RECV, (0, _CLOSING): tcp.FIN_WAIT,
    (0, _CLOSED): tcp.FIN_WAIT, (_OPEN, _OPEN): tcp.ESTABLISHED, (_OPEN, _CLOSING): tcp.FIN_WAIT,
    (_OPEN, _CLOSED): tcp.CLOSE_WAIT, (_CLOSING, _CLOSING): tcp.LAST_ACK,
    (_CLOSING, _CLOSED): tcp.LAST_ACK, (_CLOSED, _CLOSED): tcp.TIME_WAIT,
}  # fmt: skip
"""How far both ends are in OVS's own conntrack, the less far one first, to the kernel's state."""

_FLAGS: Final = {
    "WINDOW_SCALE": window.WINDOW_SCALE, "SACK_PERM": window.SACK_PERM,
    "CLOSE_INIT": window.CLOSE_INIT, "BE_LIBERAL": window.BE_LIBERAL,
    "DATA_UNACKNOWLEDGED": window.DATA_UNACKNOWLEDGED, "MAXACK_SET": window.MAXACK_SET,
}  # fmt: skip
_LOST: Final = window.SACK_PERM | window.BE_LIBERAL


def load(core: Netfilter, connections: Iterable[Connection], now: int) -> None:
    """Put `connections` into the table at `now` (ms).

    Raises:
        InputError: one is of a kind that there is not, is there twice, or has a parent that is not
            among them.
    """
    children = []
    for c in connections:
        e = _entry(core, c, now)
        for tuple_ in (e.original, e.reply):
            if core.find(tuple_, now) is not None:
                raise InputError("a connection that is there already", token=_named(c))
        core.put(e)
        if e.status & SRC_NAT:
            core.sources.setdefault(source_of(e.original), []).insert(0, e)
        if c.parent is not None:
            children.append((c, e))
    for c, e in children:
        assert c.parent is not None
        parent = tuples.from_tuple5(c.parent, c.family, c.proto, c.zone)
        master = core.find(parent, now)
        if master is None:
            raise InputError(
                "the parent of a connection is not there", token=_named(c),
                hint="put its line into the dump as well",
            )  # fmt: skip
        e.more().master = master
        e.status |= EXPECTED
        e.label = e.label or master.label


def _entry(core: Netfilter, c: Connection, now: int) -> Entry:
    try:
        original = tuples.from_tuple5(c.orig, c.family, c.proto, c.zone)
        reply = tuples.from_tuple5(c.reply, c.family, c.proto, c.zone)
        plain = tuples.reverse(original)
    except (ValueError, KeyError) as error:
        raise InputError(f"cannot take a connection ({error})", token=_named(c)) from None
    e = Entry(original, reply)
    e.mark, e.label = c.mark, c.label
    e.status = _status(c, original, reply, plain)
    tracker = TRACKERS.get(c.proto, "generic")
    if tracker == "tcp":
        _tcp(c, e)
    elif tracker == "sctp":
        if c.state not in SCTP_NAMES:
            raise InputError("no SCTP state", token=c.state or _named(c))
        e.state = SCTP_NAMES.index(c.state)
    elif tracker == "udp":
        e.last = 0 if e.status & ASSURED else now + STREAM_AFTER
    if c.helper:
        helpers.assign(e, c.helper)
    limits = core.limits(e, tracker)
    number = e.state
    if not number:
        number = REPLIED if e.status & ASSURED and len(limits) > 1 else UNREPLIED
    # What has less than a second left is printed with 0.
    e.expires = now + (limits[number] if c.timeout < 0 else max(round(c.timeout * 1000), 1))
    return e


def _status(c: Connection, original: int, reply: int, plain: int) -> int:
    status = 0
    if "confirmed" in c.status:
        status |= SEEN_REPLY if "seen-reply" in c.status else 0
        status |= ASSURED if "assured" in c.status else 0
    elif c.proto not in (PROTO_TCP, PROTO_SCTP):
        status |= SEEN_REPLY
    if reply != plain:
        status |= _manips(tuples.unpack(reply), tuples.unpack(plain)) | NAT_DONE_MASK
    return status


def _manips(back: tuples.Parts, plain: tuples.Parts) -> int:
    """Which ends of a connection were translated: in what its answers differ from plain ones."""
    if back.proto in (PROTO_ICMP, PROTO_ICMPV6):
        # The identifier goes with the source.
        came, went = back.src != plain.src, (back.dst, back.sport) != (plain.dst, plain.sport)
    else:
        came = (back.src, back.sport) != (plain.src, plain.sport)
        went = (back.dst, back.dport) != (plain.dst, plain.dport)
    return (DST_NAT if came else 0) | (SRC_NAT if went else 0)


def _tcp(c: Connection, e: Entry) -> None:
    said = [item.partition("=") for item in c.status]
    sides = {name: value for name, _, value in said if name.startswith("state_")}
    kernels = "confirmed" in c.status
    if "offload" in c.status and not c.state:
        e.state = tcp.ESTABLISHED
    elif len(sides) == 2 and not kernels:
        low, high = sorted(_PHASES.get(sides[f"state_{end}"], 0) for end in ("orig", "reply"))
        e.state = _PAIRS[low, high]
        if set(sides.values()) == {"TIME_WAIT"}:
            e.state = tcp.CLOSE  # both at once: a RST
    elif c.state in _TCP:
        e.state = _TCP[c.state]
    else:
        raise InputError("no TCP state", token=c.state or _named(c), expected=", ".join(_TCP))
    if not kernels:
        answered = e.state not in (tcp.SYN_SENT, tcp.SYN_SENT2)
        e.status |= SEEN_REPLY if answered else 0
        e.status |= ASSURED if answered and e.state != tcp.SYN_RECV else 0
    flags = [0, 0]
    scales = [0, 0]
    for number, side in enumerate(("orig", "reply")):
        for name, _, value in said:
            if name == f"flags_{side}":
                flags[number] |= _FLAGS.get(value, 0)
            elif name == f"wscale_{side}":
                scales[number] = min(int(value), window.MAX_SCALE)
        if not sides:
            flags[number] = _LOST
    # What a window was measured against is not known any more.
    e.flags0, e.flags1 = (each & ~window.MAXACK_SET for each in flags)
    e.scales = scales[0] | scales[1] << 4


def _named(c: Connection) -> str:
    return f"{c.orig.src} > {c.orig.dst} zone {c.zone}"
