"""Freezing: end a translation so that it can go on after a recirculation.

OVS ``finish_freezing__()``, ``freeze_unroll_actions()`` and ``recirc_for_mpls()``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ovsct.bridge import odp
from ovsct.bridge.commit import commit
from ovsct.bridge.context import Context
from ovsct.bridge.recirculate import FROZEN_METADATA, FrozenState
from ovsct.lane import StepKind
from ovsct.openflow import actions as of
from ovsct.openflow.text.action_format import format_action
from ovsct.packet.fields import FIELDS, SLOTS, Stage


@dataclass(frozen=True, slots=True)
class UnrollXlate(of.Action):
    """Inside frozen actions only: from here on the actions are those of this table and cookie."""

    table: int
    cookie: int


def format_frozen(actions: Sequence[of.Action]) -> str:
    """Actions as OVS prints them, those among them that only a freeze makes."""
    return ",".join(
        f"unroll_xlate(table={action.table}, cookie={action.cookie})"
        if isinstance(action, UnrollXlate)
        else format_action(action)
        for action in actions
    )


def frozen_state(
    ctx: Context, table: int, actions: Sequence[of.Action], entry_port: int | None
) -> FrozenState:
    """The present state of the translation as a frozen state that resumes at `table`."""
    return FrozenState(
        table=table,
        bridge=ctx.bridge.name,
        metadata=ctx.flow & FROZEN_METADATA,
        stack=tuple(ctx.stack),
        conntracked=ctx.conntracked,
        was_mpls=ctx.was_mpls,
        entry_port=entry_port,
        actions=tuple(actions),
        action_set=tuple(ctx.action_set),
    )


def recirculate(ctx: Context, table: int) -> None:
    """Emit the recirculation of what is frozen; the translation itself may go on after it.

    What made a list stop stays in force (OVS ``ctx_cancel_freeze()``): nothing follows a clone in
    which something froze.
    """
    pause = ctx.pause
    state = frozen_state(ctx, table, ctx.frozen_actions, ctx.entry_port)
    if pause is not None:
        state = replace(state, userdata=pause.userdata)
    number = ctx.bridge.recirc.allocate(state)
    ctx.recirc_ids.append(number)
    if pause is not None:
        ctx.odp.append(
            odp.Userspace(
                pause.reason, pause.controller_id, pause.max_len, number, ctx.cookie(),
                continuation=True,
            )
        )  # fmt: skip
        ctx.note(StepKind.RECIRCULATE, "paused: the controller may let it go on")
    else:
        if ctx.update_dp_hash is not None:
            algorithm, basis = ctx.update_dp_hash
            ctx.odp.append(odp.Hash(algorithm, basis))
        ctx.odp.append(odp.Recirc(number))
        ctx.note(StepKind.RECIRCULATE, f"recirc({number:#x}): will resume at table {table}")
    ctx.pause = None
    ctx.freezing = False
    ctx.update_dp_hash = None
    ctx.frozen_actions = []


def finish_freezing(ctx: Context) -> None:
    """Commit what is pending and recirculate the interrupted action lists."""
    commit(ctx)
    recirculate(ctx, 0)


_MAY_SEND: Final = (
    of.OutputField, of.Group, of.Output, of.Controller, of.DecMplsTtl, of.DecTtl, of.DecNshTtl,
)  # fmt: skip
_SKIPPED: Final = (of.Note, of.Conjunction)


def freeze_unroll(ctx: Context, actions: Sequence[of.Action]) -> None:
    """Put the rest of an interrupted action list into the frozen actions.

    Instructions cannot stand in an action list, so they become the actions that mean the same
    (goto_table a resubmit, which honours no table miss).
    """
    for action in actions:
        if isinstance(action, _SKIPPED):
            continue
        if isinstance(action, of.GotoTable):
            ctx.frozen_actions.append(of.Resubmit(None, action.table))
            continue
        if isinstance(action, of.WriteMetadata):
            ctx.frozen_actions.append(
                of.SetField(FIELDS["metadata"], action.value, action.mask)
            )
            continue
        if isinstance(action, _MAY_SEND) or (
            isinstance(action, of.Resubmit) and action.table is None
        ):
            _put_unroll(ctx)
        ctx.frozen_actions.append(action)


def _put_unroll(ctx: Context) -> None:
    cookie = ctx.cookie()
    for action in reversed(ctx.frozen_actions):
        if isinstance(action, UnrollXlate):
            if (action.table, action.cookie) == (ctx.table, cookie):
                return
            break
    ctx.frozen_actions.append(UnrollXlate(ctx.table, cookie))


_WITHOUT_MPLS_RECIRCULATION: Final = (
    of.Output, of.Enqueue, of.OutputField, of.SetQueue, of.Group, UnrollXlate,
)  # fmt: skip
_MPLS_WORDS: Final = ("set_mpls_label", "set_mpls_tc")
_MOD_L2: Final = ("mod_vlan_vid", "mod_vlan_pcp", "mod_dl_src", "mod_dl_dst", "set_tunnel")


def needs_recirculation_for_mpls(action: of.Action) -> bool:
    """Whether `action`, on a packet whose last MPLS label was popped, needs a fresh parse."""
    if isinstance(action, of.SetField):
        if action.spelled in _MOD_L2:
            return False
        if action.spelled in _MPLS_WORDS:
            return True
        return SLOTS[action.field.slot].stage >= Stage.L3
    if isinstance(action, of.Controller):
        return not action.plain
    return not isinstance(action, _WITHOUT_MPLS_RECIRCULATION)
