"""The tables of a NIC: rules by port and chain, connections by tuple.

Rules stand in the order of TC: by priority, then by the age of their mask. A connection's two
directions are two entries, found by zone and 5-tuple alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TypeAlias

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter.entry import Entry
from ovsct.nic.profile import Profile
from ovsct.nic.rules import NicRule, Standing, Track
from ovsct.tc.filters import Installed

Search: TypeAlias = tuple[tuple[int, int, Callable[[int], Standing | None]], ...]
"""In order: protocol, mask, and the look-up under that mask."""


class Full(StrEnum):
    """Why a rule does not fit into the tables. Closed."""

    RULES = "rules"
    """As many rules as the NIC has room for."""
    ZONES = "zones"
    """One more zone than the NIC has ids for."""


class RuleTables:
    """All rules of a NIC."""

    __slots__ = ("_groups", "_profile", "_standing", "chains", "zones")

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._groups: dict[tuple[int, int], dict[tuple[int, int, int], dict[int, Standing]]] = {}
        self._standing: dict[Installed, Standing] = {}
        self.chains: dict[tuple[int, int], Search] = {}
        self.zones: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._standing)

    def __iter__(self) -> Iterator[Standing]:
        """Every rule, by port, chain and priority."""
        return iter(sorted(
            self._standing.values(),
            key=lambda each: (each.rule.port, each.rule.chain, each.rule.prio,
                              each.installed.filter.handle),
        ))  # fmt: skip

    def add(self, rule: NicRule, installed: Installed) -> Full | None:
        """Write a rule; None if it fits."""
        limits = self._profile
        if limits.max_rules is not None and len(self._standing) >= limits.max_rules:
            return Full.RULES
        zones = zones_of(rule)
        fresh = sum(1 for zone in zones if zone not in self.zones)
        if limits.max_zones is not None and len(self.zones) + fresh > limits.max_zones:
            return Full.ZONES
        for zone in zones:
            self.zones[zone] = self.zones.get(zone, 0) + 1
        standing = Standing(rule, installed)
        self._standing[installed] = standing
        group = self._groups.setdefault((rule.port, rule.chain), {})
        table = group.setdefault((rule.prio, rule.protocol, rule.mask), {})
        # Two filters that software tells apart can be the same to hardware: the first one stays.
        table.setdefault(rule.value & rule.mask, standing)
        self._compile(rule.port, rule.chain)
        return None

    def remove(self, installed: Installed) -> tuple[Standing, list[int]] | None:
        """Take a rule away: the rule, and the zones in which none tracks any more."""
        standing = self._standing.pop(installed, None)
        if standing is None:
            return None
        rule = standing.rule
        place = (rule.port, rule.chain)
        group = self._groups[place]
        table = group[(rule.prio, rule.protocol, rule.mask)]
        if table.get(rule.value & rule.mask) is standing:
            del table[rule.value & rule.mask]
            self._promote(rule, table)
        if not table:
            del group[(rule.prio, rule.protocol, rule.mask)]
        if not group:
            del self._groups[place]
        self._compile(*place)
        left = []
        for zone in zones_of(rule):
            self.zones[zone] -= 1
            if not self.zones[zone]:
                del self.zones[zone]
                left.append(zone)
        return standing, left

    def _promote(self, gone: NicRule, table: dict[int, Standing]) -> None:
        """Let another rule with the same match take the place of one that is gone."""
        place = (gone.port, gone.chain, gone.prio, gone.protocol, gone.mask, gone.value & gone.mask)
        for other in self._standing.values():
            rule = other.rule
            if place == (
                rule.port, rule.chain, rule.prio, rule.protocol, rule.mask, rule.value & rule.mask,
            ):  # fmt: skip
                table[rule.value & rule.mask] = other
                return

    def _compile(self, port: int, chain: int) -> None:
        group = self._groups.get((port, chain))
        if group is None:
            self.chains.pop((port, chain), None)
            return
        # sorted() keeps masks of one priority in the order in which they came.
        self.chains[(port, chain)] = tuple(
            (protocol, mask, table.get)
            for (_, protocol, mask), table in sorted(group.items(), key=lambda each: each[0][0])
        )


def zones_of(rule: NicRule) -> list[int]:
    """The zones in which a rule tracks, each once."""
    return sorted({action.zone for action in rule.actions if isinstance(action, Track)})


class Failure(StrEnum):
    """Why a direction of a connection is not written into the hardware. Closed."""

    ZONE = "no rule in hardware tracks in its zone"
    PROTOCOL = "its protocol is not offloaded"
    NAT = "its protocol cannot be translated in hardware"
    FULL = "the table is full"
    TUPLE = "an older entry with its tuple is still there"


class HwEntry:
    """One direction of a connection in hardware, with what was baked into it.

    `tuple` is what it matches, `target` what its addresses and ports become (the same if it is not
    translated) and `ends` that in parts; `info` is the ctinfo that software finds again after a
    miss. `meta` has ct_state, zone, mark and label in the layout of the flow key. `packets`,
    `bytes` are since the last poll; `since` and `used` (ms) are when it was written and the poll
    that last saw it counting.
    """

    __slots__ = ("bytes", "changed", "ends", "entry", "info", "meta", "nat", "packets",
                 "polled_bytes", "polled_packets", "reply", "since", "target",
                 "tuple", "used")  # fmt: skip

    def __init__(self, entry: Entry, reply: bool, target: int, now: int) -> None:
        self.entry = entry
        self.reply = reply
        self.tuple = entry.reply if reply else entry.original
        self.target = target
        self.nat = target != self.tuple
        self.ends = tuples.unpack(target)
        self.info = 0
        self.meta = 0
        self.packets = 0
        self.bytes = 0
        self.polled_packets = 0
        self.polled_bytes = 0
        self.changed = False
        self.since = now
        self.used = now


class CtTables:
    """The two ct tables of a NIC, and the driver's own two hashes of tuples.

    `plain` is searched by a ct without nat, `nat` by one with. A translated connection stands in
    `nat` alone, or in both tables where the profile says so, and is then not translated by `plain`.
    """

    __slots__ = ("_nat_tuples", "_profile", "_tuples", "nat", "plain")

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.plain: dict[int, HwEntry] = {}
        self.nat: dict[int, HwEntry] = {}
        self._tuples: dict[int, HwEntry] = {}
        self._nat_tuples: dict[int, HwEntry] = {}

    def __len__(self) -> int:
        return len(self._tuples)

    def __iter__(self) -> Iterator[HwEntry]:
        return iter(self._tuples.values())

    def insert(self, hw: HwEntry) -> Failure | None:
        """Write an entry; None if it is there now."""
        profile, proto = self._profile, hw.tuple & 0xFF
        if proto not in profile.protocols:
            return Failure.PROTOCOL
        if hw.nat and proto not in profile.nat_protocols:
            return Failure.NAT
        if hw.tuple in self._tuples or (hw.nat and hw.target in self._nat_tuples):
            return Failure.TUPLE
        if profile.max_connections is not None and len(self._tuples) >= profile.max_connections:
            return Failure.FULL
        self._tuples[hw.tuple] = hw
        if hw.nat:
            self._nat_tuples[hw.target] = hw
        if hw.nat or profile.nat_in_both:
            self.nat[hw.tuple] = hw
        if not hw.nat or profile.nat_in_both:
            self.plain[hw.tuple] = hw
        return None

    def remove(self, hw: HwEntry) -> None:
        """Take an entry away, if it is there."""
        for table in (self.plain, self.nat, self._tuples):
            if table.get(hw.tuple) is hw:
                del table[hw.tuple]
        if self._nat_tuples.get(hw.target) is hw:
            del self._nat_tuples[hw.target]

    def restore(self, tuple_: int) -> HwEntry | None:
        """The entry of a packet that comes up with `tuple_` (mlx5e_tc_ct_restore_flow())."""
        return self._tuples.get(tuple_) or self._nat_tuples.get(tuple_)

    def of_zone(self, zone: int) -> list[HwEntry]:
        """The entries of one zone."""
        return [hw for hw in self._tuples.values() if tuples.zone_of(hw.tuple) == zone]
