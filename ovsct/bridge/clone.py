"""Run an action list on a copy of the packet (OVS ``clone_xlate_actions()``, 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from ovsct.bridge import odp
from ovsct.bridge.action_set import run_action_set
from ovsct.bridge.commit import commit
from ovsct.bridge.context import Context
from ovsct.bridge.freeze import finish_freezing
from ovsct.bridge.walk import walk_actions
from ovsct.openflow import actions as of

_IRREVERSIBLE = (of.Ct, of.Meter, of.Nat, of.Encap, of.Decap, of.DecNshTtl)


def _reversible(actions: Sequence[of.Action]) -> bool:
    """OVS 3.1 looks at the OpenFlow list only, not at what it leads to."""
    return not any(
        isinstance(action, _IRREVERSIBLE)
        or (isinstance(action, of.Output) and action.max_len is not None)
        for action in actions
    )


def clone_actions(ctx: Context, actions: Sequence[of.Action], last: bool) -> None:
    """A datapath clone only if the list cannot be undone and something follows."""
    flow, stack, action_set = ctx.flow, list(ctx.stack), list(ctx.action_set)
    if _reversible(actions) or last:
        run_and_finish(ctx, actions, last)
    else:
        commit(ctx)
        base, was_mpls, conntracked = ctx.base, ctx.was_mpls, ctx.conntracked
        outer, ctx.odp = ctx.odp, []
        run_and_finish(ctx, actions, True)
        inner, ctx.odp = ctx.odp, outer
        if inner:
            ctx.odp.append(odp.Clone(tuple(inner)))
        ctx.conntracked = conntracked
        ctx.was_mpls = was_mpls
        ctx.base = base
    ctx.action_set = action_set
    ctx.stack = stack
    ctx.flow = flow


def run_and_finish(ctx: Context, actions: Sequence[of.Action], last: bool) -> None:
    """Run a list and then its action set, to the end, or until it freezes."""
    walk_actions(ctx, actions, last)
    finish(ctx)


def finish(ctx: Context) -> None:
    """The end of a pipeline: run the action set, or freeze."""
    if not ctx.freezing:
        run_action_set(ctx)
    if ctx.freezing:
        finish_freezing(ctx)
