"""The state of a tracker of the userspace dialect as plain values, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ovsct.conntrack.snapshot import number, of_dialect, whole
from ovsct.conntrack.timers import milliseconds
from ovsct.conntrack.userspace_entry import Entry, Rare, Stateful, ZoneLimit
from ovsct.conntrack.userspace_fragments import Piece, Pieces
from ovsct.conntrack.userspace_helpers import Expectation
from ovsct.conntrack.userspace_nat import Sequence32
from ovsct.conntrack.userspace_tcp import WINDOWS, Peer, TcpEntry
from ovsct.errors import OvsctError
from ovsct.lane import Event, EventKind
from ovsct.packet.packet import Packet

if TYPE_CHECKING:
    from ovsct.conntrack.userspace_state import UserspaceState

DIALECT: Final = "userspace"

_RARE: Final = (
    "helper", "nat", "node", "parent", "policy", "skew", "skew_reply", "unseen",
)  # fmt: skip
_PEER: Final = ("seqlo", "seqhi", "max_win", "wscale", "state")


def freeze(tracker: UserspaceState, now: int) -> dict[str, Any]:
    """The state of `tracker` at `now` (ms).

    Raises:
        OvsctError: it draws random numbers from a generator of somebody else's.
    """
    dice = tracker._dice
    if not isinstance(dice, Sequence32):
        raise OvsctError("a tracker with a generator of its own cannot be put into a snapshot")
    table = tracker._table
    limits = list(tracker._limits.values())
    numbers: dict[int, int] = {}
    entries: list[Entry] = []
    places: list[int] = []

    def at(entry: Entry) -> int:
        place = numbers.get(id(entry))
        if place is None:
            place = numbers[id(entry)] = len(entries)
            entries.append(entry)
        return place

    for tuple_, entry in table.entries.items():
        places.append(at(entry) * 2 + (tuple_ != entry.forward))
    shadowed = [[whole(t), [at(e) for e in older]] for t, older in table._shadowed.items()]
    ended = [[when - now, at(entry)] for when, entry in table._ended]
    fragments = _fragments(tracker, now, at)
    return {
        "dialect": DIALECT,
        "max_connections": tracker.max_connections,
        "check_sequence": tracker.check_sequence,
        "basis": tracker._basis,
        "dice": [dice._drawn, dice._start],
        "room": tracker._watcher.room,
        "limits": [[zone, one.limit, one.count] for zone, one in tracker._limits.items()],
        "policies": [[name, list(row)] for name, row in tracker._policies.items() if name],
        "expected": [
            [whole(t), whole(e.parent), e.mark, whole(e.label), whole(e.address), e.source]
            for t, e in tracker._watcher._expected.items()
        ],
        "announced": [
            [whole(parent), [whole(t) for t in found]]
            for parent, found in tracker._watcher._by_parent.items()
        ],
        "sweep": table._sweep,
        "next_sweep": None if table.next_sweep < 0 else table.next_sweep - now,
        "places": places,
        "shadowed": shadowed,
        "ended": ended,
        "events": [
            [milliseconds(event.at) - now, event.kind.value, event.text] for event in table.events
        ],
        "count": table.count,
        "fragments": fragments,
        # Last, since all that stands above may name an entry.
        "entries": [_row(entry, limits, now) for entry in entries],
    }


def thaw(tracker: UserspaceState, state: dict[str, Any], now: int) -> None:
    """Give `tracker` the state that was frozen, at `now` (ms), in place of what it has.

    Raises:
        InputError: the state is not one of this dialect.
    """
    of_dialect(state, DIALECT)
    tracker.__init__(  # type: ignore[misc] # a fresh start, under the same name
        basis=state["basis"], max_connections=state["max_connections"],
        check_sequence=state["check_sequence"], sweep=state["sweep"] / 1000, room=state["room"],
    )  # fmt: skip
    dice = Sequence32(state["dice"][1])
    dice._drawn = state["dice"][0]
    tracker._dice = dice
    for zone, limit, count in state["limits"]:
        tracker._limits[zone] = ZoneLimit(limit)
        tracker._limits[zone].count = count
    for name, row in state["policies"]:
        tracker._policies[name] = tuple(row)
    limits = list(tracker._limits.values())
    entries = [_entry(row, limits, now) for row in state["entries"]]
    table = tracker._table
    for place in state["places"]:
        entry = entries[place >> 1]
        table.entries[entry.reverse if place & 1 else entry.forward] = entry
    for tuple_, older in state["shadowed"]:
        table._shadowed[number(tuple_)] = [entries[place] for place in older]
    table._ended = [(when + now, entries[place]) for when, place in state["ended"]]
    over = {place for _, place in state["ended"]}
    for place, entry in enumerate(entries):
        if place not in over and table.entries.get(entry.forward) is not None:
            table.timers.arm(entry)
    table.count = state["count"]
    if state["next_sweep"] is not None:
        table.next_sweep = state["next_sweep"] + now
    table.events = [
        Event((when + now) / 1000, EventKind(kind), text) for when, kind, text in state["events"]
    ]
    watcher = tracker._watcher
    for tuple_, parent, mark, label, address, source in state["expected"]:
        watcher._expected[number(tuple_)] = Expectation(
            number(parent), mark, number(label), number(address), source
        )
    for parent, found in state["announced"]:
        watcher._by_parent[number(parent)] = [number(tuple_) for tuple_ in found]
    _restore_fragments(tracker, state["fragments"], entries, now)


def _row(entry: Entry, limits: list[ZoneLimit], now: int) -> list[Any]:
    on = next((place for place, one in enumerate(limits) if one is entry.limit), None)
    rare = entry.rare
    row: list[Any] = [
        whole(entry.forward), whole(entry.reverse), entry.expires - now, entry.mark,
        whole(entry.label), on if entry.limit is not None else None,
        None if rare is None else [_value(getattr(rare, name)) for name in _RARE],
    ]  # fmt: skip
    if isinstance(entry, TcpEntry):
        row += [getattr(peer, name) for peer in (entry.orig, entry.answer) for name in _PEER]
    else:
        assert isinstance(entry, Stateful)
        row.append(entry.state)
    return row


def _value(value: Any) -> Any:
    return whole(value) if type(value) is int else value


def _entry(row: list[Any], limits: list[ZoneLimit], now: int) -> Entry:
    forward, back, expires, mark, label, on, rare, *own = row
    entry: Entry
    if len(own) > 1:
        half = len(_PEER)
        peers = [Peer(*own[:half]), Peer(*own[half:])]
        for peer in peers:
            peer.max_win = WINDOWS[peer.max_win]
        entry = TcpEntry(number(forward), number(back), *peers)
    else:
        entry = Stateful(number(forward), number(back), 0, 0, own[0])
    entry.mark, entry.label = mark, number(label)
    entry.expires = expires + now
    entry.limit = None if on is None else limits[on]
    if rare is not None:
        entry.rare = Rare()
        for name, value in zip(_RARE, rare, strict=True):
            setattr(entry.rare, name, number(value) if isinstance(value, bytes) else value)
    entry.refresh_bits()
    if isinstance(entry, TcpEntry):
        entry.settle()
    return entry


# -- fragments ------------------------------------------------------------------------------------


def _fragments(tracker: UserspaceState, now: int, at: Any) -> dict[str, Any]:
    held = tracker.fragments

    def pieces(one: Pieces) -> list[Any]:
        return [
            [whole(each) for each in one.key], one.expires - now, one.first, one.last, one.failed,
            one.sent,
            [[_packet(piece.packet, at), piece.start, piece.end] for piece in one.pieces],
        ]  # fmt: skip

    return {
        "enabled": [held.enabled[4], held.enabled[6]],
        "least": [held.least[4], held.least[6]],
        "most": held.most,
        "held": held.held,
        "next_clean": None if held._next_clean < 0 else held._next_clean - now,
        "lists": [pieces(one) for one in held._lists.values()],
        "complete": [pieces(one) for one in held._complete],
    }


def _packet(packet: Packet, at: Any) -> list[Any]:
    conn = packet.conn
    return [
        packet.frame, whole(packet.key), packet.l3, packet.l4, packet.end,
        at(conn) if isinstance(conn, Entry) else None, packet.ct_info,
    ]  # fmt: skip


def _restore_fragments(
    tracker: UserspaceState, state: dict[str, Any], entries: list[Entry], now: int
) -> None:
    held = tracker.fragments
    held.enabled = {4: state["enabled"][0], 6: state["enabled"][1]}
    held.least = {4: state["least"][0], 6: state["least"][1]}
    held.most, held.held = state["most"], state["held"]
    if state["next_clean"] is not None:
        held._next_clean = state["next_clean"] + now

    def pieces(row: list[Any]) -> Pieces:
        key, expires, first, last, failed, sent, found = row
        one = Pieces(tuple(number(each) for each in key), expires + now)
        one.first, one.last, one.failed, one.sent = first, last, failed, sent
        for (frame, bits, l3, l4, end, conn, info), start, stop in found:
            packet = Packet(frame, number(bits), l3, l4, end)
            packet.conn = None if conn is None else entries[conn]
            packet.ct_info = info
            one.pieces.append(Piece(packet, start, stop))
        return one

    for row in state["lists"]:
        one = pieces(row)
        held._lists[one.key] = one
    held._complete = [pieces(row) for row in state["complete"]]
