"""A TC filter as data, and as it stands installed with its counters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from ovsct.tc.actions import Action
from ovsct.tc.keys import ETH_P_ALL

if TYPE_CHECKING:
    from ovsct.tc.classify import Pass

FLOWER: Final = "flower"
MATCHALL: Final = "matchall"


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter, as ``tc filter add`` describes it.

    `port` is the port whose ingress (with `egress`: egress) it sits at, 0 if it sits in the shared
    `block`; `chain`, `prio` (0: let TC choose), `protocol`
    (an Ethernet type, host order; 3 is ``all``) and `handle` (0: let TC choose) say where. `value`
    and `mask` are laid out as a flow key with the meaning of :mod:`ovsct.tc.keys`; bits of the
    value outside of the mask mean nothing. A matchall filter has neither. `cookie` is up to 16
    bytes of the user's own. `ranges` are (slot, first, last) of ports, beside value and mask.
    `indexes` are those of the actions, one an action, 0 (or nothing at all): let TC choose.
    """

    port: int
    protocol: int = ETH_P_ALL
    value: int = 0
    mask: int = 0
    actions: tuple[Action, ...] = ()
    chain: int = 0
    prio: int = 0
    handle: int = 0
    kind: str = FLOWER
    skip_hw: bool = False
    skip_sw: bool = False
    cookie: bytes | None = None
    ranges: tuple[tuple[str, int, int], ...] = ()
    indexes: tuple[int, ...] = ()
    egress: bool = False
    block: int = 0


class Counter:
    """What one action has counted. `used` is when last, in seconds; None: never.

    `bytes` are those of the packets as TC sees them at ingress: without the Ethernet header, with
    padding, and not less when act_ct has trimmed that (``qdisc_pkt_len``).
    """

    __slots__ = ("bytes", "drops", "overlimits", "packets", "used")

    def __init__(self) -> None:
        self.packets = 0
        self.bytes = 0
        self.drops = 0
        self.overlimits = 0
        self.used: float | None = None


Execute: TypeAlias = "Callable[[Pass], int]"
"""An action made ready to run: it returns a verdict of :mod:`ovsct.tc.verdict`."""


class Shared:
    """An action as it stands in the kernel: under its index, which filters can share.

    `run` is it made ready, `counter` what it counted for all of them; `binds` filters use it, and
    `refs` is one more if ``tc actions add`` made it.
    """

    __slots__ = ("action", "binds", "counter", "index", "refs", "run", "since")

    def __init__(
        self, action: Action, index: int, run: Execute, counter: Counter, since: float
    ) -> None:
        self.action = action
        self.index = index
        self.run = run
        self.counter = counter
        self.since = since
        self.binds = 0
        self.refs = 0


class Installed:
    """A filter at its place: `filter` with prio and handle filled in, its `actions` as they stand,
    and the `program` that they make.
    """

    __slots__ = ("actions", "filter", "program", "since")

    def __init__(self, entry: Filter, actions: tuple[Shared, ...], since: float) -> None:
        self.filter = entry
        self.actions = actions
        self.program = tuple((each.run, each.counter) for each in actions)
        self.since = since

    @property
    def counters(self) -> tuple[Counter, ...]:
        """One counter an action."""
        return tuple(counter for _, counter in self.program)

    @property
    def used(self) -> float:
        """When a packet last ran through it (or when it was added), in seconds."""
        times = [counter.used for _, counter in self.program if counter.used is not None]
        return max(times, default=self.since)
