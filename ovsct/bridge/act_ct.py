"""ct(), nat and ct_clear: OVS ``compose_conntrack_action()``, 3.1.

The packet is committed as it looks now, sent through conntrack, and forked if there is a table;
what follows in the list sees no conntrack state any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ovsct.bridge import odp
from ovsct.bridge.commit import commit
from ovsct.bridge.context import Context
from ovsct.bridge.freeze import recirculate
from ovsct.bridge.journal import Fork, Kind
from ovsct.bridge.recirculate import FROZEN_METADATA
from ovsct.bridge.walk import walk_actions
from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.openflow import actions as of
from ovsct.openflow.text.action_format import format_nat
from ovsct.packet.fields import CT_MASK, SLOTS

Rest = Sequence[of.Action]

_MARK = SLOTS["ct_mark"]
_LABEL = SLOTS["ct_label"]
_FORKED: Final = (
    "A clone of the packet is forked to recirculate. The forked pipeline will be resumed at"
    " table {}."
)
_UNTRACKED: Final = (
    "Sets the packet to an untracked state, and clears all the conntrack fields."
)
_EXEC_MASK: Final = _MARK.mask | _LABEL.mask


def _zone(ctx: Context, action: of.Ct) -> int:
    if isinstance(action.zone, int):
        return action.zone
    # After a thaw, what the frozen state restores need not be matched: the id stands for it.
    if not (ctx.thawed and action.zone.mask & FROZEN_METADATA):
        ctx.look(action.zone.mask)
    return action.zone.get(ctx.flow)


def _request(ctx: Context, action: of.Ct, zone: int, written: int) -> Track:
    mark = (written & _MARK.mask) >> _MARK.shift
    label = (written & _LABEL.mask) >> _LABEL.shift
    return Track(
        zone=zone,
        commit=action.commit,
        force=action.commit and action.force,
        mark=(_MARK.get(ctx.flow) & mask, mask) if (mask := mark) else None,
        label=(_LABEL.get(ctx.flow) & bits, bits) if (bits := label) else None,
        nat=_nat(action.nat) if action.nat is not None else None,
        helper=action.alg,
        timeout=ctx.bridge.zone_timeouts.get(zone) if action.commit else None,
    )


def _nat(action: of.Nat) -> Nat:
    """OVS ``put_ct_nat()``: an upper bound counts only if it is above the lower one."""
    if not (action.src or action.dst):
        return Nat()
    return Nat(
        kind=NatKind.SRC if action.src else NatKind.DST,
        family=action.family,
        addr_min=action.addr_min,
        addr_max=max(action.addr_min, action.addr_max),
        port_min=action.port_min,
        port_max=max(action.port_min, action.port_max),
        persistent=action.persistent,
        hash=action.hash,
        random=action.random,
    )


def ct(ctx: Context, action: of.Ct, last: bool, _rest: Rest) -> None:
    """ct(...): commit, track, fork, forget."""
    zone = _zone(ctx, action)
    commit(ctx)
    # The nested actions are run to learn which bits of mark and label they write; what they look
    # at is not matched for that reason.
    mask, blame = ctx.mask, ctx.blame
    ctx.mask &= ~_EXEC_MASK
    ctx.blame = []
    if ctx.journal is not None and action.nat is not None:
        ctx.journal.add(Kind.ACTION, format_nat(action.nat))
    if action.exec:
        walk_actions(ctx, action.exec, last)
    elif ctx.journal is not None and action.nat is None:
        ctx.journal.add(Kind.ACTION, "drop")
    written = ctx.mask & _EXEC_MASK
    looked = [entry for entry in ctx.blame if entry.bits & ~_EXEC_MASK]
    ctx.mask, ctx.blame = mask, blame
    for entry in looked:
        ctx.look(entry.bits & ~_EXEC_MASK, entry.author)
    ctx.odp.append(odp.Ct(_request(ctx, action, zone, written)))
    if action.table is not None:
        ctx.conntracked = True
        ctx.freezing = True
        recirculate(ctx, action.table)
    if ctx.journal is not None:
        if action.table is not None:
            ctx.journal.forks.append(Fork(ctx.recirc_ids[-1], ctx.flow, zone, action.nat))
            ctx.journal.add(Kind.DETAIL, _FORKED.format(action.table))
        ctx.journal.add(Kind.DETAIL, _UNTRACKED)
    ctx.flow &= ~CT_MASK
    ctx.conntracked = False


def ct_clear(ctx: Context, _action: of.CtClear, _last: bool, _rest: Rest) -> None:
    """ct_clear: a datapath action only where the packet is known to be tracked."""
    if ctx.conntracked:
        ctx.clear_conntrack()
        ctx.odp.append(odp.CtClear())
