"""The MAC learning table that NORMAL forwards by (OVS lib/mac-learning.c).

An entry belongs to a VLAN and an address, names the port it was last seen on, and ends after 300
seconds without a packet from it. Every change is counted in `shared`: whoever cached a decision
that was taken by this table compares it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ovsct.bridge.bridges import Changes

IDLE_TIME: Final = 300.0
"""Seconds (``other-config:mac-aging-time``)."""

MAX_ENTRIES: Final = 8192
"""``other-config:mac-table-size``; when it is full the entry longest unused makes way."""

_MULTICAST: Final = 1 << 40


class MacTable:
    """Learned addresses of one bridge."""

    __slots__ = ("_entries", "shared")

    def __init__(self, changes: Changes) -> None:
        # In order of last use, the longest unused first.
        self._entries: dict[tuple[int, int], tuple[int, float]] = {}
        self.shared = changes

    def learn(self, vlan: int, mac: int, port: int, now: float) -> bool:
        """A packet from `mac` in `vlan` came in on `port`; whether that changed the table."""
        if mac & _MULTICAST:
            return False
        key = (vlan, mac)
        known = self._entries.pop(key, None)
        if known is None and len(self._entries) >= MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (port, now)
        if known is not None and known[0] == port:
            return False
        self.shared.macs += 1
        return True

    def lookup(self, vlan: int, mac: int) -> int | None:
        """The port behind which `mac` is, or None."""
        if mac & _MULTICAST:
            return None
        entry = self._entries.get((vlan, mac))
        return entry[0] if entry is not None else None

    def expire(self, now: float) -> bool:
        """Forget what has been idle for :data:`IDLE_TIME`; whether anything was."""
        if not self._entries:
            return False
        gone = False
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key][1] + IDLE_TIME > now:
                break
            del self._entries[key]
            gone = True
        if gone:
            self.shared.macs += 1
        return gone

    def clear(self) -> None:
        """Forget everything (``fdb/flush``)."""
        self._entries.clear()
        self.shared.macs += 1

    def __iter__(self) -> Iterator[tuple[int, int, int, float]]:
        """(VLAN, address, port, last used in seconds) of every entry, longest unused first."""
        for (vlan, mac), (port, used) in self._entries.items():
            yield vlan, mac, port, used
