"""The state of a netfilter table as plain values, and back.

Flow tables in front of act_ct are not part of it: an offloaded connection cannot be put into a
snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ovsct.conntrack.netfilter.entry import CONFIRMED, DYING, OFFLOAD, Entry
from ovsct.conntrack.netfilter.fragments import Queue
from ovsct.conntrack.netfilter.helpers import Expectation, FtpState
from ovsct.conntrack.netfilter.stat import COLUMNS
from ovsct.conntrack.snapshot import number, of_dialect, whole
from ovsct.errors import OvsctError

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter

DIALECT: Final = "netfilter"

_SMALL: Final = (
    "end0", "end1", "flags0", "flags1", "mark", "maxack0", "maxack1", "maxend0", "maxend1",
    "maxwin0", "maxwin1", "note", "scales", "state", "status",
)  # fmt: skip
_UDP: Final = frozenset((17, 136))
_QUEUE: Final = (
    "df_size", "ecn", "have_last", "length", "max_size", "meat", "met",
)  # fmt: skip


def freeze(core: Netfilter, now: int) -> dict[str, Any]:
    """The state of `core` at `now` (ms).

    Raises:
        OvsctError: it has offloaded connections, or draws from a generator of somebody else's.
    """
    if core._random is not None:
        raise OvsctError("a tracker with a generator of its own cannot be put into a snapshot")
    numbers: dict[int, int] = {}
    entries: list[Entry] = []

    def at(e: Entry) -> int:
        place = numbers.get(id(e))
        if place is None:
            if e.status & OFFLOAD and not e.status & DYING:
                raise OvsctError(
                    "offloaded connections cannot be put into a snapshot: it holds no flow tables"
                )
            place = numbers[id(e)] = len(entries)
            entries.append(e)
            if e.master is not None:
                at(e.master)
        return place

    table = [at(e) * 2 + (tuple_ != e.original) for tuple_, e in core.table.items()]
    sources = [[whole(s), [at(e) for e in users]] for s, users in core.sources.items()]
    expectations = [
        [at(e.master), e.family, e.proto, whole(e.src), whole(e.dst), e.dport, e.zone,
         e.expires - now, None if e.follow is None else [whole(each) for each in e.follow]]
        for e in core.expectations.waiting()
    ]  # fmt: skip
    room = core.room
    return {
        "dialect": DIALECT,
        "kernel": core.kernel,
        "sysctls": core.sysctls.changed(),
        "draws": core._draws,
        "victims": [whole(t) for t in room._victims],
        "stat": [core.stat[column] for column in COLUMNS],
        "table": table,
        "sources": sources,
        "expectations": expectations,
        "met": list(core.fragments.met.items()),
        "fragments": [
            [
                [whole(each) for each in queue.key], queue.expires - now,
                [getattr(queue, name) for name in _QUEUE], queue.first, queue.runs,
                [[offset, data] for offset, data in queue.pieces.items()],
            ]
            for queue in core.fragments.held()
        ],
        "entries": [_row(e, at, now) for e in entries],
    }


def thaw(core: Netfilter, state: dict[str, Any], now: int) -> None:
    """Give `core` the state that was frozen, at `now` (ms), in place of what it has.

    Raises:
        InputError: the state is not one of this dialect.
        OvsctError: somebody holds on to what `core` has.
    """
    of_dialect(state, DIALECT)
    if core.watchers or core.keepers:
        raise OvsctError("a conntrack with flow tables cannot take a snapshot over")
    core.__init__(state["kernel"], None, **state["sysctls"])  # type: ignore[misc] # a fresh start
    core._draws = state["draws"]
    room = core.room
    room._victims = [number(tuple_) for tuple_ in state["victims"]]
    for column, count in zip(COLUMNS, state["stat"], strict=True):
        setattr(core.stat, column, count)
    entries = [_entry(row, now) for row in state["entries"]]
    for e, row in zip(entries, state["entries"], strict=True):
        if row[6] is not None:
            _restore_extra(e, row[6], entries)
    for place in state["table"]:
        e = entries[place >> 1]
        core.table[e.reply if place & 1 else e.original] = e
    for e in entries:
        if e.status & CONFIRMED and not e.status & DYING:
            core.count += 1
            core.zones[e.zone] = core.zones.get(e.zone, 0) + 1
            core.timers.arm(e)
    for source, users in state["sources"]:
        core.sources[number(source)] = [entries[place] for place in users]
    for master, family, proto, src, dst, dport, zone, expires, follow in state["expectations"]:
        source, destination, port = [number(each) for each in follow or (0, 0, 0)]
        core.expectations.put(
            Expectation(
                entries[master], family, proto, number(src), number(dst), dport, zone,
                expires + now, (source, destination, port) if follow else None,
            )
        )  # fmt: skip
    core.fragments.met.update(dict(state["met"]))
    for key, expires, values, first, runs, pieces in state["fragments"]:
        queue = Queue(tuple(number(each) for each in key), expires + now)
        for name, value in zip(_QUEUE, values, strict=True):
            setattr(queue, name, value)
        queue.first = None if first is None else (first[0], first[1])
        queue.runs = runs
        queue.pieces = dict(pieces)
        core.fragments.hold(queue)


def _row(e: Entry, at: Any, now: int) -> list[Any]:
    extra = e.extra
    more: list[Any] | None = None
    if extra is not None:
        seen = extra.state.after_newline if isinstance(extra.state, FtpState) else None
        more = [
            None if extra.master is None else at(extra.master), extra.helper, extra.policy,
            seen, extra.packets, extra.bytes, extra.adjust,
        ]  # fmt: skip
    last = e.last - now if e.original & 0xFF in _UDP else e.last
    return [
        whole(e.original), whole(e.reply), e.expires - now, whole(e.label), whole(last),
        [getattr(e, name) for name in _SMALL], more,
    ]  # fmt: skip


def _entry(row: list[Any], now: int) -> Entry:
    original, reply, expires, label, last, small, _ = row
    e = Entry(number(original), number(reply))
    e.expires, e.label = expires + now, number(label)
    e.last = number(last) + (now if e.original & 0xFF in _UDP else 0)
    for name, value in zip(_SMALL, small, strict=True):
        setattr(e, name, value)
    return e


def _restore_extra(e: Entry, row: list[Any], entries: list[Entry]) -> None:
    master, helper, policy, seen, packets, octets, adjust = row
    extra = e.more()
    extra.master = None if master is None else entries[master]
    extra.helper = helper
    extra.policy = None if policy is None else tuple(policy)
    extra.packets, extra.bytes = packets, octets
    extra.adjust = None if adjust is None else (list(adjust[0]), list(adjust[1]))
    if seen is not None:
        extra.state = state = FtpState()
        state.after_newline = (list(seen[0]), list(seen[1]))
