"""learn and fin_timeout: actions that change the tables (OVS ``xlate_learn_action()``, 3.1).

What a packet learns is there for the next one, not for the rest of its own translation: OVS looks
up in the version of the tables with which a translation began. Its mask is there at once, though.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ovsct.bridge.act_fields import write
from ovsct.bridge.context import Context
from ovsct.bridge.flow_tables import LearnFlow, ReduceTimeouts
from ovsct.bridge.journal import Kind
from ovsct.lane import StepKind
from ovsct.openflow import actions as of
from ovsct.openflow.flow import Flow
from ovsct.openflow.match import Match
from ovsct.openflow.text.flow_text import format_flow
from ovsct.openflow.text.names import bits_of, whole_mask
from ovsct.packet.fields import PRESENT_BIT, SLOTS

Rest = Sequence[of.Action]

_PORTS: Final = (of.OFPP_IN_PORT, of.OFPP_FLOOD, of.OFPP_LOCAL, of.OFPP_ALL)
"""The reserved ports to which a learned flow may output."""


def learned_flow(action: of.Learn, key: int) -> Flow:
    """The flow that `action` makes of a packet (OVS lib/learn.c ``learn_execute()``)."""
    value = mask = 0
    actions: list[of.Action] = []
    if action.fin_idle_timeout or action.fin_hard_timeout:
        actions.append(of.FinTimeout(action.fin_idle_timeout, action.fin_hard_timeout))
    for spec in action.specs:
        number = spec.src.get(key) if isinstance(spec.src, of.Subfield) else spec.src
        dst = spec.dst
        if dst is None:
            port = number & 0xFFFF
            if number <= 0xFFFF and (port < of.OFPP_MAX or port in _PORTS):
                actions.append(of.Output(port))
        elif spec.becomes == "load":
            bits = ((1 << dst.width) - 1) << dst.low & whole_mask(dst.field)
            actions.append(of.SetField(dst.field, number << dst.low & bits, bits, "load"))
        elif _can_be_matched(dst):
            present = PRESENT_BIT.get(dst.field.name, 0)
            value = value & ~dst.mask | number << dst.shift & dst.mask | present
            mask |= dst.mask | present
    return Flow(
        table=action.table,
        priority=action.priority,
        match=Match(value, mask),
        actions=tuple(actions),
        cookie=action.cookie,
        idle_timeout=action.idle_timeout,
        hard_timeout=action.hard_timeout,
        flags=frozenset({"send_flow_rem"} if action.send_flow_rem else ()),
    )


def _can_be_matched(dst: of.Subfield) -> bool:
    """Whether the bits get into the match at all.

    OVS lib/meta-flow.c ``mf_set()`` leaves a field that has no mask alone unless all bits of its
    bytes are given: of vlan_pcp or ip_dscp, which fill no byte, nothing is ever learned.
    """
    if dst.field.maskable:
        return True
    return dst.low == 0 and dst.width % 8 == 0 and dst.width == bits_of(dst.field)


def learn(ctx: Context, action: of.Learn, _last: bool, _rest: Rest) -> None:
    """learn: the sources are looked at, prerequisites or not; the flow is there from now on."""
    for spec in action.specs:
        if isinstance(spec.src, of.Subfield):
            ctx.look(spec.src.mask)
    if ctx.journal is not None:
        ctx.journal.add(Kind.WARN, "suppressing side effects, so learn action ignored")
        return
    effect = LearnFlow(learned_flow(action, ctx.flow), action.limit, ctx.now)
    tables = ctx.bridge.flow_tables
    kept = True
    if ctx.side_effects:
        kept = tables.may_learn(effect.flow, action.limit)
        change = tables.learn(effect, ctx.now)
        if change is not None:
            old, new = change
            ctx.hidden[id(new)] = ctx.hidden.get(id(old), old)
    elif action.limit and tables.same(effect.flow) is None:
        ctx.avoid_caching = True
    if action.result_dst is not None:
        ctx.look(action.result_dst.mask)
        write(ctx, action.result_dst, int(kept))
    if kept:
        ctx.effects.append((tables, effect))
    if ctx.steps is not None:
        text = format_flow(effect.flow)
        ctx.note(StepKind.NOTE, f"learned: {text}" if kept else "limit exceeded, learn failed")


def fin_timeout(ctx: Context, action: of.FinTimeout, _last: bool, _rest: Rest) -> None:
    """fin_timeout: of the flow it stands in; that it is TCP is looked at."""
    ctx.look(SLOTS["nw_proto"].mask)
    if ctx.rule is not None:
        tables = ctx.bridge.flow_tables
        effect = ReduceTimeouts(ctx.rule, action.idle_timeout, action.hard_timeout)
        ctx.effects.append((tables, effect))
        if ctx.side_effects:
            tcp_flags = SLOTS["tcp_flags"].get(ctx.upcall)
            tables.apply(effect, tcp_flags, ctx.now)
