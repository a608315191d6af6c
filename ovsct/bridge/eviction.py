"""Tables with a limit, and which flow goes from a full one (OVS ofproto/ofproto.c, 3.1).

The limit is that of ``ovs-vsctl set bridge flow_tables``: ``flow_limit``, ``overflow_policy`` and
``groups`` of the table Flow_Table. Eviction can be switched on by a controller too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ovsct.errors import InputError
from ovsct.openflow.actions import Subfield
from ovsct.openflow.flow import Flow
from ovsct.openflow.prereq import MET
from ovsct.openflow.prereq import Packet as Known
from ovsct.openflow.text.argument import whole_subfield

if TYPE_CHECKING:
    from ovsct.bridge.flow_tables import Clock


N_TABLES: Final = 254
"""Tables 0 to 253; 254 is the switch's own (OVS ofproto-dpif.h TBL_INTERNAL)."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many `flows` a table holds at most.

    `evicts` says that a flow goes from a full table when another comes, one of the largest group:
    those that match alike on `groups`. Without it what is added is refused.
    """

    flows: int
    evicts: bool = False
    groups: tuple[Subfield, ...] = ()


class TableFull(InputError):
    """A table is full, and nothing can go (OFPFMFC_TABLE_FULL)."""


_LIMIT: Final = re.compile(r"(\d+) limit (\d+)(?: (evict)(?: by (\S+))?)?")


def read_limit(text: str) -> tuple[int, Limit]:
    """A table and its limit, from ``2 limit 100``, ``2 limit 100 evict`` or ``... evict by FIELD``.

    The fields are written ``NXM_OF_IN_PORT[]`` or ``in_port[]``, several with commas between.

    Raises:
        InputError: with column and token.
    """
    found = _LIMIT.fullmatch(" ".join(text.split()))
    if found is None or int(found[1]) >= N_TABLES:
        raise InputError(
            "this is no limit of a table", token=text,
            expected=f"TABLE limit FLOWS [evict [by FIELD[],...]], tables 0 to {N_TABLES - 1}",
        )  # fmt: skip
    groups = tuple(whole_subfield(part, 0) for part in (found[4] or "").split(",") if part)
    return int(found[1]), Limit(int(found[2]), bool(found[3]), groups)


def read_limits(texts: Iterable[str] | str) -> dict[int, Limit]:
    """The limits of several tables, by number (:func:`read_limit`).

    Raises:
        InputError: one is none.
    """
    return dict(map(read_limit, [texts] if isinstance(texts, str) else texts))


def victim(
    flows: Iterable[Flow], groups: tuple[Subfield, ...], clocks: Mapping[Flow, Clock]
) -> Flow | None:
    """The flow that goes first, None if none can (``choose_rule_to_evict()``).

    Only flows with a timeout go: from the largest group that of the least importance, then that
    which would end first, in steps of 1.024 seconds. Which of two groups of one size
    is chosen OVS throws dice for; here it is the one that is older.
    """
    found: dict[tuple[int | None, ...], list[Flow]] = {}
    for flow in flows:
        clock = clocks.get(flow)
        if clock is not None and (clock.idle or clock.hard):
            found.setdefault(_group(flow, groups), []).append(flow)
    if not found:
        return None
    largest = max(found.values(), key=len)
    return min(largest, key=lambda flow: (flow.importance, _ends(clocks[flow])))


def _group(flow: Flow, groups: tuple[Subfield, ...]) -> tuple[int | None, ...]:
    """``eviction_group_hash_rule()``: a field that the match cannot have is none."""
    known = Known.of(flow.match, flow.table)
    return tuple(
        part.get(flow.match.value) if MET[part.field.prereq](known) else None for part in groups
    )


def _ends(clock: Clock) -> int:
    if clock.modified is None or clock.used is None:
        # All flows that are there from the start began at the same time.
        return min(timeout for timeout in (clock.idle, clock.hard) if timeout) * 1000 >> 10
    return int(clock.due(clock.used) * 1000) >> 10
