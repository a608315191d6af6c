"""What a tracker of the userspace dialect holds, and what the control plane may ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ovsct.conntrack.request import Track
from ovsct.conntrack.select import EVERYTHING, Selection
from ovsct.conntrack.timers import milliseconds
from ovsct.conntrack.tuples import zone_of
from ovsct.conntrack.userspace_entry import ZoneLimit
from ovsct.conntrack.userspace_fragments import Fragments
from ovsct.conntrack.userspace_load import entry_of
from ovsct.conntrack.userspace_nat import Dice, Sequence32
from ovsct.conntrack.userspace_neutral import describe, neutral
from ovsct.conntrack.userspace_snapshot import freeze, thaw
from ovsct.conntrack.userspace_table import SWEEP_SECONDS, Table
from ovsct.conntrack.userspace_timeouts import DEFAULT_TIMEOUTS, Timer, policy_timeouts
from ovsct.conntrack.userspace_watch import Watcher
from ovsct.errors import InputError
from ovsct.lane import Connection, Event
from ovsct.packet.fields import CT_MASK
from ovsct.packet.packet import Packet

MAX_CONNECTIONS: Final = 3_000_000
"""Default of ``dpctl/ct-set-maxconns``."""

DEFAULT_ZONE: Final = -1
"""The limit of all zones that have none of their own (``dpctl/ct-set-limits default=N``)."""


class UserspaceState:
    """The state of a tracker, without the way of a packet through it.

    Args:
        basis: start of the hash that picks from NAT ranges; OVS draws it when it starts.
        dice: draws where a long search for a free port starts anew (a ``random.Random`` will do); a
            fixed sequence from `basis` on if not given.
        max_connections: limit on all connections.
        limits: zone to limit; zone -1 is the default that the others share.
        policies: timeout policies by name: attribute to seconds.
        check_sequence: check TCP sequence numbers (``dpctl/ct-enable-tcp-seq-chk``).
        sweep: seconds from one sweep to the next.
        fragments: how fragments are put together; with OVS's own settings if not given.
        room: bytes free behind a packet, which FTP's translated addresses need; the dummy datapath
            leaves none, and so translates none.
    """

    __slots__ = (
        "_basis", "_dice", "_entries", "_established", "_limits", "_plain", "_plain_requests",
        "_policies", "_table", "_watcher", "check_sequence", "fragments", "max_connections",
    )  # fmt: skip

    def __init__(
        self,
        *,
        basis: int = 0,
        dice: Dice | None = None,
        max_connections: int = MAX_CONNECTIONS,
        limits: Mapping[int, int] | None = None,
        policies: Mapping[str, Mapping[str, int]] | None = None,
        check_sequence: bool = True,
        sweep: float = SWEEP_SECONDS,
        fragments: Fragments | None = None,
        room: int = 0,
    ) -> None:
        self.max_connections = max_connections
        self.check_sequence = check_sequence
        self._basis = basis
        self._dice = dice or Sequence32(basis)
        self._watcher = Watcher(room)
        self._table = Table(milliseconds(sweep), self._watcher.forget)
        self._entries = self._table.entries
        self.fragments = fragments or Fragments()
        self._plain: dict[int, int] = {}
        self._plain_requests: list[Track] = []
        self._established = DEFAULT_TIMEOUTS[Timer.TCP_ESTABLISHED]
        self._limits = {zone: ZoneLimit(limit) for zone, limit in (limits or {}).items()}
        self._policies: dict[str | None, tuple[int, ...]] = {None: DEFAULT_TIMEOUTS}
        for name, attributes in (policies or {}).items():
            self.set_policy(name, attributes)

    def clear(self, packet: Packet) -> None:
        """ct_clear: detach the packet from its connection and zero its conntrack fields."""
        packet.conn = None
        packet.ct_info = 0
        packet.key &= ~CT_MASK

    def advance(self, now: float) -> Sequence[Event]:
        """Let time pass; what ended until `now` (seconds), in order of time."""
        now_ms = milliseconds(now)
        table = self._table
        if now_ms >= table.next_sweep:
            self._sweep(now_ms)
        else:
            table.expire(now_ms)
        if not table.events:
            return ()
        events, table.events = table.events, []
        return events

    def connections(self, now: float) -> Sequence[Connection]:
        """What lives at `now` (seconds), in the neutral form, oldest first."""
        now_ms = milliseconds(now)
        return [neutral(entry, now_ms) for entry in self._table.living(now_ms)]

    @property
    def unswept(self) -> int:
        """How many connections have ended, but still count and hold their translated tuple."""
        return self._table.unswept

    @property
    def count(self) -> int:
        """Connections that count on the limit: those that live, and those not yet swept."""
        return self._table.count

    def set_policy(self, name: str, attributes: Mapping[str, int]) -> None:
        """Install or change a timeout policy; connections read it at their next refresh."""
        self._policies[name] = policy_timeouts(attributes)

    def set_limit(self, zone: int, limit: int) -> None:
        """``dpctl/ct-set-limits``: at most `limit` connections in `zone` (-1: the default)."""
        if zone in self._limits:
            self._limits[zone].limit = limit
        else:
            self._limits[zone] = ZoneLimit(limit)

    def limit_of(self, zone: int) -> ZoneLimit | None:
        """The limit that a new connection in `zone` counts on, if any."""
        return self._limits.get(zone) or self._limits.get(DEFAULT_ZONE)

    def delete_limit(self, zone: int) -> None:
        """``dpctl/ct-del-limits``."""
        self._limits.pop(zone, None)

    def limits(self) -> dict[int, tuple[int, int]]:
        """Zone to its limit and count, -1 for the default."""
        return {zone: (limit.limit, limit.count) for zone, limit in self._limits.items()}

    def load(self, connections: Iterable[Connection], now: float) -> None:
        """Put connections from a dump into the table at `now` (seconds), limits or no limits.

        Raises:
            InputError: one is of a kind that there is not, or is there already.
        """
        now_ms = milliseconds(now)
        self._sweep(now_ms)
        for connection in connections:
            entry = entry_of(connection, now_ms)
            if self._table.lookup(entry.forward, now_ms) is not None:
                raise InputError("a connection that is there already", token=describe(entry))
            self._table.insert(entry)
            self._table.timers.arm(entry)
            limit = self.limit_of(zone_of(entry.forward))
            if limit is not None:
                limit.count += 1
                entry.limit = limit

    def snapshot(self, now: float) -> dict[str, Any]:
        """All of the state at `now` (seconds), for :func:`ovsct.conntrack.snapshot.encode`.

        Raises:
            OvsctError: it draws random numbers from a generator that was passed in.
        """
        return freeze(self, milliseconds(now))

    def restore(self, state: dict[str, Any], now: float) -> None:
        """Go on at `now` (seconds) from a snapshot, instead of from what there is.

        Raises:
            InputError: the snapshot is not of this dialect.
        """
        thaw(self, state, milliseconds(now))

    def flush(self, selection: Selection = EVERYTHING, now: float = 0.0) -> int:
        """``dpctl/flush-conntrack``: forget connections at once; returns how many.

        All of them, also what has ended and is not swept yet, or those that `selection` names.
        """
        if selection == Selection(selection.zone):
            return self._table.flush(selection.zone)
        now_ms = milliseconds(now)
        found = [
            entry for entry in self._table.living(now_ms) if selection.fits(neutral(entry, now_ms))
        ]
        return self._table.free_now(found)

    def flush_tuple(self, tuple_: int, now: float) -> bool:
        """Forget the connection with this tuple as it came in; False if there is none."""
        found = self._table.lookup(tuple_, milliseconds(now))
        if found is None or found.node:
            return False
        self._table.free_now([found.entry])
        return True

    def _sweep(self, now_ms: int) -> None:
        """What OVS has threads of its own for."""
        self._table.sweep(now_ms)
        self.fragments.clean(now_ms)
