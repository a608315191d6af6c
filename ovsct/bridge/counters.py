"""What megaflows have served, credited to what is behind them: flows, tables, groups' buckets.

OVS does so when its threads push the datapath's statistics (ofproto/ofproto-dpif-xlate-cache.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ovsct.bridge.flow_tables import FlowTables
from ovsct.bridge.odp import Megaflow

if TYPE_CHECKING:
    from ovsct.bridge.bridge import Bridge


class Counters:
    """The counters of the bridges of one datapath.

    `flows` are (packets, bytes) by the `id` of a flow, since flows of two bridges may say the same;
    `buckets` by group (:class:`~ovsct.bridge.odp.Megaflow` says how it is numbered) and bucket,
    None for all of them.
    """

    __slots__ = ("_bridges", "_looked", "buckets", "flows")

    def __init__(self, bridges: Sequence[Bridge]) -> None:
        self._bridges = bridges
        self.flows: dict[int, tuple[int, int]] = {}
        self.buckets: dict[tuple[int, int | None], tuple[int, int]] = {}
        self._looked: dict[int, int] = {}

    def settle(self, flow: Megaflow) -> None:
        """Credit what `flow` served since this was last done: counters, and time."""
        packets = flow.packets + flow.first_packets - flow.counted_packets
        size = flow.bytes + flow.first_bytes - flow.counted_bytes
        if not packets:
            return
        used = flow.used if flow.used is not None else flow.created
        for rule in flow.rules:
            counted = self.flows.get(id(rule), (0, 0))
            self.flows[id(rule)] = counted[0] + packets, counted[1] + size
        for bridge in self._bridges:
            for rule in flow.rules:
                bridge.flow_tables.touch(rule, used)
        for look in flow.looked:
            self._looked[look] = self._looked.get(look, 0) + packets
        for through in flow.buckets:
            before = self.buckets.get(through, (0, 0))
            self.buckets[through] = before[0] + packets, before[1] + size
        flow.counted_packets += packets
        flow.counted_bytes += size

    def follow(self, tables: FlowTables) -> None:
        """A flow that takes another's place goes on with its counters."""
        for old, new in tables.changes:
            counted = self.flows.pop(id(old), None)
            if new is not None and counted is not None:
                self.flows[id(new)] = counted
        tables.changes.clear()

    def of_tables(self, place: int) -> dict[int, tuple[int, int]]:
        """Of every table of the bridge at `place`: how often it was looked up, and with success.

        OVS ofproto/ofproto-dpif.c, query_tables() and rule_dpif_lookup_from_table().
        """
        counts = {}
        for table in {look >> 1 & 0xFF for look in self._looked if look >> 9 == place}:
            look = place << 9 | table << 1
            hit = self._looked.get(look | 1, 0)
            counts[table] = self._looked.get(look, 0) + hit, hit
        return counts
