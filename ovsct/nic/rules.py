"""The rules of a NIC: a TC filter as the hardware has it, and its actions.

Everything here is data; :mod:`ovsct.nic.pipeline` runs packets through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from ovsct.tc.filters import Installed


@dataclass(frozen=True, slots=True)
class Track:
    """Look the packet's connection up in `zone`, with `nat` in the table that translates.

    `index` is the place of the ct action in the TC filter: where software goes on after a miss.
    """

    zone: int
    nat: bool
    index: int


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget what is known of the packet's connection."""


@dataclass(frozen=True, slots=True)
class Output:
    """Send the packet, as it is now, out of `port`; it may go on."""

    port: int


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Write `value` under `mask` (flow key layout) into the headers; checksums are carried along.

    The hardware takes the rewrites of one filter together.
    """

    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Push a tag; `tci` without the bit that says "there is a tag"."""

    tpid: int
    tci: int


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Pop the outer tag."""


@dataclass(frozen=True, slots=True)
class Goto:
    """Go on with the rules of `chain`."""

    chain: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Drop the packet."""


NicAction: TypeAlias = Track | Clear | Output | Rewrite | PushVlan | PopVlan | Goto | Discard


@dataclass(frozen=True, slots=True)
class NicRule:
    """A rule as the driver writes it: where it stands, what it matches, what it does.

    `value` and `mask` are laid out as a flower key (:mod:`ovsct.tc.keys`); they can differ from
    those of the TC filter where the hardware matches something else than software would.
    """

    port: int
    chain: int
    prio: int
    protocol: int
    value: int
    mask: int
    actions: tuple[NicAction, ...]


class Standing:
    """A rule that stands in the hardware, and the counter that belongs to it.

    `packets` and `bytes` (with Ethernet header) are what was counted since the driver last looked;
    `changed` says whether that is anything. `program` is the pipeline's own form of the actions,
    `onward` the chain to go on with.
    """

    __slots__ = ("bytes", "changed", "installed", "onward", "packets", "program", "rule")

    def __init__(self, rule: NicRule, installed: Installed) -> None:
        self.rule = rule
        self.installed = installed
        self.onward = next((each.chain for each in rule.actions if isinstance(each, Goto)), None)
        self.program: tuple[tuple[Any, NicAction], ...] | None = None
        self.packets = 0
        self.bytes = 0
        self.changed = False
