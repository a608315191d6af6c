"""The state of one translation: what OVS keeps in ``struct xlate_ctx``.

Keys here are whole OpenFlow keys (registers included). `flow` is what the tables see, `base` what
the datapath's packet looks like after the actions emitted so far, `mask` what has been looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ovsct.bridge.flow_tables import Effect, FlowTables
from ovsct.bridge.journal import Journal, Kind, Node
from ovsct.bridge.odp import Author, Blame, Learned, OdpAction
from ovsct.lane import Drop, Step, StepKind, Via
from ovsct.openflow.actions import Action, Controller, Subfield
from ovsct.openflow.flow import Flow
from ovsct.packet.fields import CT_MASK

if TYPE_CHECKING:
    from ovsct.bridge.bridge import Bridge

Handler: TypeAlias = "Callable[[Context, Any, bool, Sequence[Action]], bool | None]"
"""What an action means: it gets the context, the action, whether nothing follows, and the rest of
the list; True ends the list."""

Handlers: TypeAlias = Mapping[type[Action], Handler]

OVS_AUTHOR = "always matched"


@dataclass(frozen=True, slots=True)
class Pending:
    """A header that in ``flow`` stands before the packet, or is gone, and not yet in ``base``.

    `metadata` are the variable-length contexts of an NSH header to be pushed.
    """

    decap: bool = False
    metadata: bytes = b""


NO_RULE: Final = (1 << 64) - 1
"""The cookie of a packet-in behind a thaw that no flow stands for (xlate_actions())."""


class Context:
    """One translation under way. See the module docstring for the keys."""

    __slots__ = (
        "action_set", "action_set_has_group", "avoid_caching", "base", "blame", "bridge",
        "buckets", "conntracked", "depth", "effects", "entry_port", "error", "exit", "flow",
        "freezing", "frozen_actions", "handlers", "hidden", "in_action_set", "in_bucket",
        "in_packet_out", "journal", "learned", "looked", "mask", "missed", "now", "odp",
        "orig_priority", "pause", "pending", "reading", "recirc_ids", "resubmits", "rule", "rules",
        "side_effects", "slow", "stack", "steps", "table", "thawed", "unrolled_cookie", "upcall",
        "update_dp_hash", "was_mpls",
    )  # fmt: skip

    def __init__(
        self,
        bridge: Bridge,
        key: int,
        handlers: Handlers,
        now: float,
        *,
        side_effects: bool,
        trace: bool,
    ) -> None:
        self.bridge = bridge
        self.now = now
        self.side_effects = side_effects
        self.learned: list[Learned] = []
        self.effects: list[tuple[FlowTables, Effect]] = []
        self.avoid_caching = False
        self.hidden: dict[int, Flow | None] = {}
        self.handlers = handlers
        self.upcall = key
        self.flow = key
        self.base = key
        self.mask = 0
        self.blame: list[Blame] = []
        self.odp: list[OdpAction] = []
        self.stack: list[tuple[int, int]] = []
        self.action_set: list[Action] = []
        self.action_set_has_group = False
        self.frozen_actions: list[Action] = []
        self.rules: list[Flow] = []
        self.looked: list[int] = []
        self.journal: Journal | None = None
        self.buckets: list[tuple[int, int | None]] = []
        self.recirc_ids: list[int] = []
        self.rule: Flow | None = None
        self.table = 0
        self.depth = 0
        self.resubmits = 0
        self.conntracked = False
        self.was_mpls = False
        self.freezing = False
        self.exit = False
        self.thawed = False
        self.in_action_set = False
        self.in_bucket = False
        self.in_packet_out = False
        self.error: str | None = None
        self.slow: str | None = None
        self.missed: Drop | None = None
        self.update_dp_hash: tuple[int, int] | None = None
        self.pause: Controller | None = None
        self.entry_port: int | None = None
        self.orig_priority = 0
        self.pending: Pending | None = None
        self.unrolled_cookie = NO_RULE
        self.reading: Author = Author(None, None, OVS_AUTHOR)
        self.steps: list[Step] | None = [] if trace else None

    def look(self, bits: int, author: Author | None = None) -> None:
        """Un-wildcard `bits`; whoever asks first is their author."""
        fresh = bits & ~self.mask
        if fresh:
            self.mask |= fresh
            self.blame.append(Blame(fresh, author or self.reading))

    def unlook(self, bits: int) -> None:
        """Take `bits` out of the mask again."""
        if self.mask & bits:
            self.mask &= ~bits
            self.blame = [
                Blame(entry.bits & ~bits, entry.author)
                for entry in self.blame
                if entry.bits & ~bits
            ]

    def note(self, kind: StepKind, text: str) -> None:
        """Add a step to the trace, if one is kept."""
        if self.steps is not None:
            self.steps.append(Step(Via.SLOW, kind, text))
        if self.journal is not None:
            if kind is StepKind.ACTION:
                self.journal.add(Kind.ACTION, text)
            elif kind is StepKind.NOTE:
                self.journal.note(text)

    def open(self, kind: Kind, text: str) -> list[Node] | None:
        """What follows stands below `text` in the journal; the result is for `shut()`."""
        return self.journal.open(kind, text) if self.journal is not None else None

    def shut(self, above: list[Node] | None) -> None:
        """The end of what `open()` began."""
        if self.journal is not None and above is not None:
            self.journal.here = above

    def is_now(self, part: Subfield) -> None:
        """Write down what bits of a field have become (OVS xlate_report_subfield())."""
        if self.journal is not None:
            self.journal.part(part, self.flow)

    def fail(self, error: str) -> None:
        """A limit of OVS was passed: everything will be dropped (OVS xlate_actions, ``exit:``)."""
        self.error = error
        self.note(StepKind.NOTE, error)

    def learn(self, vlan: int, mac: int, port: int) -> None:
        """The packet says that `mac` is behind `port`; every packet like it says so again."""
        self.learned.append((self.bridge.fdb, vlan, mac, port))
        if self.side_effects:
            self.bridge.fdb.learn(vlan, mac, port, self.now)

    def cookie(self) -> int:
        """The cookie of the flow whose actions run: what packet-ins say."""
        return self.rule.cookie if self.rule is not None else self.unrolled_cookie

    def failed(self) -> bool:
        """Whether a limit was passed."""
        return self.error is not None

    def stopped(self) -> bool:
        """Whether nothing more of the action lists is to be run."""
        return self.exit

    def clear_conntrack(self) -> None:
        """From here on the tables see no conntrack state."""
        self.conntracked = False
        self.flow &= ~CT_MASK

    def trigger_freeze(self) -> None:
        """Stop here; what is left of the action lists goes into the frozen state."""
        self.exit = True
        self.freezing = True
