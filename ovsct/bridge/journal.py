"""What a translation met, as a tree: the material of ``ofproto/trace``.

OVS ofproto/ofproto-dpif-trace.c (oftrace_report()) and ofproto-dpif-xlate.c (xlate_report()). A
table stands above what its flow does; everything else above nothing. Words are those of OVS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ovsct.openflow.actions import Nat, Subfield
from ovsct.openflow.flow import Flow
from ovsct.openflow.text.action_format import format_subfield
from ovsct.openflow.text.values import format_value


class Kind(StrEnum):
    """What a node is: how OVS prints it (enum oftrace_node_type)."""

    BRIDGE = "bridge"
    TABLE = "table"
    BUCKET = "bucket"
    THAW = "thaw"
    ACTION = "action"
    DETAIL = "detail"
    WARN = "warn"
    ERROR = "error"

    @property
    def terminal(self) -> bool:
        """Whether OVS puts it four spaces to the right even where it is the last."""
        return self not in (Kind.BRIDGE, Kind.TABLE, Kind.THAW)


@dataclass(slots=True)
class Node:
    """One line, and what stands below it; that of a table has its flow, None where none matched."""

    kind: Kind
    text: str = ""
    table: int | None = None
    flow: Flow | None = None
    below: list[Node] = field(default_factory=list)


_SAID: Final = {
    "OFPPC_NO_FWD set, skipping output": (Kind.DETAIL, ""),
    "using bucket": (Kind.DETAIL, ""),
    "no live bucket": (Kind.DETAIL, ""),
    "no learned MAC for destination, flooding": (Kind.DETAIL, ""),
    "forwarding to learned port": (Kind.DETAIL, "forwarding to learned port"),
    "learned port is input port, dropping": (Kind.WARN, ""),
    "dropping a frame with a partial VLAN tag": (Kind.WARN, "partial VLAN tag, dropping"),
    "no input bundle, dropping": (Kind.WARN, ""),
    "output port ": (Kind.WARN, ""),
    "Nonexistent output port": (Kind.WARN, ""),
    "skipping output to input port": (Kind.WARN, ""),
    "output to nonexistent group": (Kind.WARN, ""),
    "unmet prerequisites": (Kind.WARN, ""),
    "IPv4 decrement TTL exception": (Kind.WARN, ""),
    "IPv6 decrement TTL exception": (Kind.WARN, ""),
    "MPLS decrement TTL exception": (Kind.WARN, ""),
    "NSH decrement TTL exception": (Kind.WARN, ""),
    "limit exceeded, learn failed": (Kind.DETAIL, "Limit exceeded, learn failed"),
}
"""Notes of the translation as OVS says them, by how they begin; empty: in the same words."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A packet that went to conntrack and will come back: its key then, the zone, what nat did."""

    recirc_id: int
    flow: int
    zone: int
    nat: Nat | None


class Journal:
    """A tree under way: nodes are added to what stands open.

    When the translation has ended, `final` is the key then, `mask` what was looked at, without what
    a datapath must be told of it besides, and `error` why it failed, if it did.
    """

    __slots__ = ("error", "final", "forks", "here", "mask", "roots")

    def __init__(self, bridge: str) -> None:
        self.roots: list[Node] = []
        self.here = self.roots
        self.forks: list[Fork] = []
        self.final = 0
        self.mask = 0
        self.error: str | None = None
        self.open(Kind.BRIDGE, f'bridge("{bridge}")')

    def add(self, kind: Kind, text: str = "") -> None:
        """One line."""
        self.here.append(Node(kind, text))

    def note(self, text: str) -> None:
        """A note of the translation, in the words of OVS."""
        if text.startswith("learned: "):
            return  # OVS says it otherwise, and at another moment
        for start, (kind, instead) in _SAID.items():
            if text.startswith(start):
                self.add(kind, instead or text)
                return
        self.add(Kind.ERROR, text)

    def part(self, part: Subfield, key: int) -> None:
        """What bits of a field have become (OVS xlate_report_subfield())."""
        whole = part.low == 0 and part.width >= part.field.width
        value = part.get(key)
        text = f"{value:#x}" if value else "0"
        if whole:
            text = format_value(part.field, value, (1 << part.field.width) - 1)
        self.add(Kind.DETAIL, f"{format_subfield(part)} is now {text}")

    def open_table(self, table: int, flow: Flow | None) -> None:
        """A table was looked up: what its flow does stands below."""
        node = Node(Kind.TABLE, table=table, flow=flow)
        self.here.append(node)
        self.here = node.below
        if flow is None:
            self.add(Kind.ACTION, "drop")  # what OVS's own flow for a miss does

    def open(self, kind: Kind, text: str) -> list[Node]:
        """What follows stands below this; the result is where it stood before."""
        node, above = Node(kind, text), self.here
        above.append(node)
        self.here = node.below
        return above
