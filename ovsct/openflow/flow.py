"""A flow: what the controller adds to a table, as an object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ovsct.openflow.actions import Action
from ovsct.openflow.match import Match

DEFAULT_PRIORITY: Final = 0x8000
"""Priority of a flow that does not say one (OVS: OFP_DEFAULT_PRIORITY)."""

FLAG_NAMES: Final = (
    "send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts",
)  # fmt: skip
"""Flags of a flow, in the order in which OVS prints them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStats:
    """The counters of a flow that was read from a dump. Times in seconds."""

    n_packets: int = 0
    n_bytes: int = 0
    duration: float = 0.0
    idle_age: int | None = None
    hard_age: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One flow of one table.

    `actions` holds actions and instructions in the one list in which OVS keeps both (meter first,
    then the actions, clear_actions, write_actions, write_metadata, goto_table); an empty list
    drops. Timeouts in seconds, 0 for none. `text` is the user's line, into which the spans of
    match and actions point; `file` and `line` (from 1) say where it stands. `warnings` are things
    that OVS takes without a word and that the user should know. None of these four, nor `stats`,
    takes part in equality.
    """

    table: int = 0
    priority: int = DEFAULT_PRIORITY
    match: Match = field(default_factory=Match)
    actions: tuple[Action, ...] = ()
    cookie: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    importance: int = 0
    flags: frozenset[str] = frozenset()
    stats: FlowStats | None = field(default=None, compare=False)
    text: str = field(default="", compare=False, repr=False)
    file: str | None = field(default=None, compare=False, repr=False)
    line: int | None = field(default=None, compare=False, repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)
