"""Coverage: which actions, fields, steps, datapath actions and conntrack states cases reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, get_args

from ovsct.bridge import odp
from ovsct.bridge.act import ACTIONS
from ovsct.compare import excluded
from ovsct.lane import Outcome, StepKind
from ovsct.openflow import actions as of
from ovsct.packet.fields import CT_STATE_NAMES, FIELDS, SLOTS

AREAS: Final = ("action", "field", "step", "datapath", "ct_state")
_CT_STATE: Final = SLOTS["ct_state"]


_NO_PACKET: Final = frozenset({"chain", "filter", "hardware", "offload", "nat", "arrive", "output"})
"""Steps of other lanes, and those that the OVS lanes tell in other words."""


def known(area: str) -> frozenset[str]:
    """All that an area could count; of conntrack states each bit, alone or with others."""
    if area == "action":
        # A conjunction is matched on (conj_id) and never run.
        names = frozenset(kind.__name__ for kind in ACTIONS) - {"Conjunction"}
        return names - set(excluded.ACTIONS)
    if area == "field":
        return frozenset(
            field.slot for name, field in FIELDS.items() if name not in excluded.FIELDS
        )
    if area == "step":
        return frozenset(map(str, StepKind)) - _NO_PACKET
    if area == "datapath":
        return frozenset(
            name for name, kind in vars(odp).items()
            if isinstance(kind, type) and kind in get_args(odp.OdpAction)
        )  # fmt: skip
    return frozenset()


class Coverage:
    """Counts by area (:data:`AREAS`) and name."""

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.counts: dict[str, Counter[str]] = {area: Counter() for area in AREAS}
        for area, names in (counts or {}).items():
            self.counts[area].update(names)

    def packet(self, outcome: Outcome) -> None:
        """Take down the steps of a packet, and why it was dropped if it was."""
        self.counts["step"].update(str(step.kind) for step in outcome.steps)

    def megaflows(self, flows: Iterable[odp.Megaflow]) -> None:
        """Take down what megaflows stand for: the OpenFlow flows behind them and what they do."""
        for flow in flows:
            for rule in flow.rules:
                self.counts["field"].update(slot.name for slot, _, _ in rule.match.fields())
                self._actions(rule.actions)
            self._datapath(flow.actions)
            state, mask = _CT_STATE.get(flow.packet_key), _CT_STATE.get(flow.mask)
            if mask:
                names = "|".join(name for name, bit in CT_STATE_NAMES if state & bit)
                self.counts["ct_state"][names or "untracked"] += 1

    def _actions(self, actions: Iterable[of.Action]) -> None:
        for action in actions:
            self.counts["action"][type(action).__name__] += 1
            for name in ("actions", "exec"):
                self._actions(getattr(action, name, ()))

    def _datapath(self, actions: Iterable[odp.OdpAction]) -> None:
        for action in actions:
            self.counts["datapath"][type(action).__name__] += 1
            for name in ("actions", "greater", "less_equal"):
                self._datapath(getattr(action, name, ()))

    def add(self, other: Coverage) -> None:
        """Take in what another one counted."""
        for area, names in other.counts.items():
            self.counts[area].update(names)

    def lines(self) -> Iterable[str]:
        """One or two lines an area: what was reached, with counts, and what never was."""
        for area in AREAS:
            names = self.counts[area]
            listed = ", ".join(f"{name} {count}" for name, count in sorted(names.items()))
            yield f"{area}: {len(names)} reached: {listed or 'none'}"
            never = sorted(known(area) - set(names))
            if never:
                yield f"{area}: {len(never)} never reached: {', '.join(never)}"
