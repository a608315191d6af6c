"""Walk an action list (OVS ``do_xlate_actions()``); ``ctx.handlers`` know what actions mean."""

from __future__ import annotations

from collections.abc import Sequence

from ovsct.bridge.context import Context
from ovsct.bridge.freeze import UnrollXlate, freeze_unroll, needs_recirculation_for_mpls
from ovsct.bridge.odp import READ_BY_ACTION, Author
from ovsct.errors import OvsctError
from ovsct.lane import StepKind
from ovsct.openflow import actions as of
from ovsct.openflow.text.action_format import format_action


def walk_actions(ctx: Context, actions: Sequence[of.Action], last: bool) -> None:
    """Translate `actions` in order; `last` says that nothing follows the list.

    A handler that returns True ends the list (dec_ttl's exception, a group that is not there).

    Raises:
        OvsctError: an action is not modelled.
    """
    if not actions:
        ctx.note(StepKind.ACTION, "drop")
        return
    before = ctx.reading
    ctx.reading = Author(ctx.table, ctx.rule, READ_BY_ACTION)
    _walk(ctx, actions, last)
    ctx.reading = before


def _walk(ctx: Context, actions: Sequence[of.Action], last: bool) -> None:
    final = len(actions) - 1
    for at, action in enumerate(actions):
        if ctx.failed():
            return
        if ctx.was_mpls and not ctx.stopped() and needs_recirculation_for_mpls(action):
            ctx.trigger_freeze()
        if ctx.stopped():
            if ctx.freezing:
                freeze_unroll(ctx, actions[at:])
            return
        if ctx.steps is not None and not isinstance(action, UnrollXlate):
            ctx.note(StepKind.ACTION, format_action(action))
        handler = ctx.handlers.get(type(action))
        if handler is None:
            raise OvsctError(f"the action {format_action(action)} is not modelled yet")
        is_last = last and at == final and not ctx.action_set
        if handler(ctx, action, is_last, actions[at + 1 :]):
            return
        if isinstance(action, of.Resubmit | of.GotoTable):
            # What froze inside the other table is frozen already; go on behind the jump.
            continue
        if not ctx.failed() and ctx.stopped() and not ctx.frozen_actions:
            # OVS does not ask here whether anything freezes (ctx_first_frozen_action()): what exit,
            # or a clone that froze, leaves behind is found by the next freeze, if there is one.
            freeze_unroll(ctx, actions[at:])
            return
