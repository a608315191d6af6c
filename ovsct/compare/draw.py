"""What generation draws from: the dice, the few values that everything shares, and the facts.

Values are few on purpose: flows and packets made apart from each other must meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, TypeVar

Item = TypeVar("Item")

MACS: Final = (
    "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "06:00:00:00:00:01",
)  # fmt: skip
MAC_MASKS: Final = (
    "ff:ff:ff:00:00:00", "01:00:00:00:00:00", "00:00:00:00:00:03", "fe:00:00:00:00:0f",
)  # fmt: skip
V4: Final = ("10.0.0.1", "10.0.0.2", "10.0.1.1", "192.168.0.5")
V4_MASKS: Final = ("255.0.0.0", "0.0.0.255", "255.255.0.255", "0.0.3.1")
V6: Final = ("fc00::1", "fc00::2", "fc00:0:0:1::1", "fe80::5")
V6_MASKS: Final = ("ffff::", "::ff", "ffff:ffff::f", "fff0::3")
PORTS: Final = (53, 80, 81, 443, 1000, 769, 2000, 21)
PORT_MASKS: Final = (0xFF00, 0xFFC0, 0x000F, 0xFFFE, 0x8001)
NAT_V4: Final = ("9.9.9.9", "9.9.9.8", "10.0.0.9")
NAT_V6: Final = ("fc00::99", "fc00::98")
ZONES: Final = (0, 1, 2, 65535)
TABLES: Final = 5
GROUPS: Final = 4
COOKIES: Final = (0, 0x77, 0xFFFFFFFFFFFFFFFF)

IPV4, IPV6, ARP, RARP, MPLS, MPLS_MC, OTHER = (
    0x0800, 0x86DD, 0x0806, 0x8035, 0x8847, 0x8848, 0x88B5,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What the match of a flow, and the actions so far, promise of its packets.

    `dl_type` and `proto` are 0 where nothing is promised; `tags` counts VLAN tags known to be
    there; `ct` says whether fields of the original tuple may be named, `inv` whether only invalid
    packets match; `nd` is the ICMPv6 type of a neighbour message; `old` flows hold nothing newer
    than OpenFlow 1.0, which alone lets actions be where they do nothing.
    """

    table: int = 0
    dl_type: int = 0
    proto: int = 0
    tags: int = 0
    ct: bool = False
    inv: bool = False
    nd: int = 0
    nested: str = ""
    depth: int = 0
    old: bool = False

    @property
    def ip(self) -> bool:
        """Whether it is IPv4 or IPv6."""
        return self.dl_type in (IPV4, IPV6)

    @property
    def ports(self) -> bool:
        """Whether it has ports."""
        return self.ip and self.proto in (6, 17, 132)

    @property
    def last_table(self) -> bool:
        """Whether no table comes behind this one."""
        return self.table >= TABLES - 1

    def but(self, **changes: object) -> Facts:
        """The same with `changes`."""
        return replace(self, **changes)  # type: ignore[arg-type] # names are checked by replace


Fits = Callable[[Facts], bool]


@dataclass(slots=True)
class Dice:
    """A seeded generator with the ways of drawing that are used here."""

    random: Random
    conntrack: bool = False
    wide: bool = False
    changes: bool = False
    """Whether flows, links and what NORMAL knows may change while packets run."""
    without: frozenset[str] = frozenset()
    """Names of rows that are not drawn."""
    learns: int = 0
    groups: dict[int, str] = field(default_factory=dict)
    meters: list[int] = field(default_factory=list)
    source: dict[int, str] = field(default_factory=dict)
    """By IP version, the address behind which the case's flows hide a client."""
    target: dict[int, str] = field(default_factory=dict)
    """By IP version, the address of the server that the case's flows send clients to."""

    def chance(self, probability: float) -> bool:
        """True as often as `probability` says."""
        return self.random.random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """One of `items`."""
        return items[int(self.random.random() * len(items))]

    def number(self, low: int, high: int) -> int:
        """From `low` to `high`, both included."""
        return self.random.randint(low, high)

    def weighted(self, rows: Sequence[tuple[int, Item]]) -> Item:
        """One of the items of (weight, item) rows."""
        left = self.random.random() * sum(weight for weight, _ in rows)
        for weight, item in rows:
            left -= weight
            if left < 0:
                return item
        return rows[-1][1]

    def masked(self, value: str, masks: Sequence[str], share: float = 0.3) -> str:
        """The value, sometimes under one of `masks`."""
        return f"{value}/{self.pick(masks)}" if self.chance(share) else value

    def masked_number(self, value: int, bits: int, share: float = 0.3) -> str:
        """A number of `bits` bits, sometimes under a mask, with no bit outside of it."""
        if not self.chance(share):
            return f"{value:#x}"
        mask = self.random.getrandbits(bits) or (1 << bits) - 1
        return f"{value & mask:#x}/{mask:#x}"


def v4(dice: Dice) -> str:
    """An IPv4 address to match on: whole, a prefix, or under any mask."""
    address = dice.pick(V4)
    kind = dice.random.random()
    if kind < 0.5:
        return address
    if kind < 0.85:
        return f"{address}/{dice.pick((8, 16, 23, 24, 31, 32, 1, 0))}"
    return f"{address}/{dice.pick(V4_MASKS)}"


def v6(dice: Dice) -> str:
    """As :func:`v4`, of IPv6."""
    address = dice.pick(V6)
    kind = dice.random.random()
    if kind < 0.5:
        return address
    if kind < 0.85:
        return f"{address}/{dice.pick((16, 32, 64, 126, 127, 128, 1))}"
    return f"{address}/{dice.pick(V6_MASKS)}"


def mac(dice: Dice) -> str:
    """An Ethernet address to match on, sometimes masked."""
    address = dice.pick((*MACS, "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"))
    return dice.masked(address, MAC_MASKS, 0.25)


def port(dice: Dice) -> str:
    """A transport port to match on, sometimes masked."""
    value = dice.pick(PORTS)
    if not dice.chance(0.3):
        return str(value)
    mask = dice.pick(PORT_MASKS)
    return f"{value & mask:#x}/{mask:#x}"
