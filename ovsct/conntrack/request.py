"""What a ct action asks of a tracker, and what a tracker is: the seam between the two.

The OVS datapath and TC's act_ct both hold a :class:`Track`; how it is carried out is the business
of the dialect behind :class:`Tracker`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from ovsct.conntrack.select import Selection
from ovsct.lane import Connection, Drop, Event
from ovsct.packet.packet import Packet


class NatKind(StrEnum):
    """What nat() asks for."""

    RESTORE = "restore"
    """Bare ``nat``: translate what belongs to a translated connection, set up nothing."""
    SRC = "src"
    DST = "dst"


@dataclass(frozen=True, slots=True)
class Nat:
    """A nat argument. Addresses are host-order ints of `family` (4, 6, or 0 for none given);
    ports 0 mean none given; the ranges are inclusive.
    """

    kind: NatKind = NatKind.RESTORE
    family: int = 0
    addr_min: int = 0
    addr_max: int = 0
    port_min: int = 0
    port_max: int = 0
    persistent: bool = False
    hash: bool = False
    random: bool = False


@dataclass(frozen=True, slots=True)
class Track:
    """A ct action. `mark` and `label` are (value, mask) or None; `helper` is ``ftp`` or ``tftp``;
    `timeout` names a timeout policy. `force` implies that `commit` is set.
    """

    zone: int = 0
    commit: bool = False
    force: bool = False
    mark: tuple[int, int] | None = None
    label: tuple[int, int] | None = None
    nat: Nat | None = None
    helper: str | None = None
    timeout: str | None = None


class Diverted(NamedTuple):
    """A packet that does not simply go on: dropped or held (`drop`), or replaced by `packets`."""

    drop: Drop | None
    packets: Sequence[Packet] = ()


class Tracker(Protocol):
    """A connection tracker of one dialect."""

    def track(self, packet: Packet, request: Track, now: float) -> Diverted | None:
        """Run `packet` through the tracker at `now` (seconds).

        Sets ct_state, ct_zone, ct_mark, ct_label and the original tuple in ``packet.key``, applies
        NAT to ``packet.frame`` and ``packet.key``. None means: go on with this packet.
        """
        ...

    def clear(self, packet: Packet) -> None:
        """ct_clear: detach the packet from its connection and zero its conntrack fields."""
        ...

    def advance(self, now: float) -> Sequence[Event]:
        """Let time pass: what expired until `now`, in order of time."""
        ...

    def connections(self, now: float) -> Sequence[Connection]:
        """What is tracked at `now`, in the neutral form."""
        ...


class StatefulTracker(Tracker, Protocol):
    """A tracker whose state the control plane can put in, take out and throw away."""

    def load(self, connections: Iterable[Connection], now: float) -> None:
        """Put connections from a dump in at `now` (seconds)."""
        ...

    def flush(self, selection: Selection, now: float) -> int:
        """Forget connections at `now`, at once and without an event; how many they were."""
        ...

    def snapshot(self, now: float) -> dict[str, Any]:
        """The whole state at `now` as plain values."""
        ...

    def restore(self, state: dict[str, Any], now: float) -> None:
        """Go on at `now` from such a state, in place of what there is."""
        ...
