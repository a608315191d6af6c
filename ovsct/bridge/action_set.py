"""Action sets: at most one of each kind, in the standard's order, one final action.

OVS lib/ofp-actions.c ``ofpacts_execute_action_set()``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ovsct.bridge.context import Context
from ovsct.bridge.journal import Kind
from ovsct.bridge.walk import walk_actions
from ovsct.lane import StepKind
from ovsct.openflow import actions as of

_ORDER: Final = (
    of.StripVlan, of.PopMpls, of.Decap, of.Encap, of.PushMpls, of.PushVlan, of.DecTtl,
    of.DecMplsTtl, of.DecNshTtl,
)  # fmt: skip
_FINAL: Final = (of.Ct, of.CtClear, of.Resubmit, of.Output, of.Group)
"""Lowest priority first; of equals the later one wins."""

_CHANGES: Final = (of.SetField, of.Move, of.SetMplsTtl, of.SetQueue)
"""May stand there more than once and run in order; what is in none of the three is passed over."""


def as_list(action_set: Sequence[of.Action]) -> list[of.Action]:
    """The action list that `action_set` stands for; empty if it has no final action."""
    slots: dict[type[of.Action], of.Action] = {}
    in_order: list[of.Action] = []
    final: of.Action | None = None
    rank = -1
    for action in action_set:
        kind: type[of.Action] = type(action)
        if isinstance(action, of.Output) and action.max_len is not None:
            continue
        if isinstance(action, of.Controller):
            if not action.plain:
                continue
            kind = of.Output
        if kind in _ORDER:
            slots[kind] = action
        elif kind in _FINAL:
            if _FINAL.index(kind) >= rank:
                final, rank = action, _FINAL.index(kind)
        elif kind in _CHANGES:
            in_order.append(action)
    if final is None:
        return []
    return [*(slots[kind] for kind in _ORDER if kind in slots), *in_order, final]


def run_action_set(ctx: Context) -> None:
    """Run and clear the action set at the end of the pipeline."""
    actions = as_list(ctx.action_set)
    ctx.action_set = []
    if actions:
        ctx.note(StepKind.TABLE, "executing the action set")
        ctx.in_action_set = True
        above = ctx.open(Kind.TABLE, "--. Executing action set:")
        walk_actions(ctx, actions, last=True)
        ctx.shut(above)
        ctx.in_action_set = False
