"""Flow mods on a bridge while packets run (OVS ofproto/ofproto.c, ``ofproto_flow_mod_init()``)."""

from __future__ import annotations

from collections.abc import Iterator

from ovsct.bridge.flow_tables import FlowTables
from ovsct.errors import InputError
from ovsct.openflow.flow import Flow
from ovsct.openflow.text.flow_mod_text import FlowMod


def apply_flow_mod(tables: FlowTables, change: FlowMod, now: float) -> None:
    """Add, modify or delete flows at `now` (seconds).

    As over OpenFlow 1.3 and later: what is modified and is not there is not added, and a flow that
    takes another's place goes on with its counters. Datapath flows are decided again even if no
    flow changed (ofproto-dpif.c, ``set_tables_version()``).

    Raises:
        InputError: what is added overlaps another and must not, or its table is full.
    """
    if change.command == "add":
        if "check_overlap" in change.flow.flags and tables.overlaps(change.flow):
            raise InputError("the flow overlaps another (OFPFMFC_OVERLAP)")
        tables.add(change.flow, now)
        return
    tables.shared.tables += 1
    for flow in list(_meant(tables, change)):
        if not tables.holds(flow):
            continue  # it went with a flow that had learned it
        if change.command.startswith("delete"):
            tables.remove(flow)
        else:
            tables.modify(flow, change.flow.actions, change.new_cookie, now)


def _meant(tables: FlowTables, change: FlowMod) -> Iterator[Flow]:
    """The flows that a change is about (``collect_rules_loose()``, ``collect_rules_strict()``)."""
    wanted = change.flow
    numbers = sorted(tables.tables) if change.any_table else [wanted.table]
    value, mask = wanted.match.value, wanted.match.mask
    for number in numbers:
        table = tables.tables.get(number)
        if table is None:
            continue
        if change.strict:
            exact = table.find_exactly(value, mask, wanted.priority)
            found = [] if exact is None else [exact]
        else:
            found = list(table.loosely(value, mask))
        yield from (
            flow for flow in found if not (flow.cookie ^ change.cookie) & change.cookie_mask
        )
