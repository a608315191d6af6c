"""Actions that send the packet somewhere: output, controller, resubmit, clone.

OVS ``xlate_output_action()``, ``compose_output_action__()``, ``clone_xlate_actions()`` and
``xlate_check_pkt_larger()``, 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ovsct.bridge import odp
from ovsct.bridge.act_emit import emit
from ovsct.bridge.act_normal import normal
from ovsct.bridge.action_set import as_list
from ovsct.bridge.clone import clone_actions, run_and_finish
from ovsct.bridge.commit import commit
from ovsct.bridge.context import Context
from ovsct.bridge.freeze import UnrollXlate, format_frozen, freeze_unroll, frozen_state
from ovsct.bridge.journal import Kind
from ovsct.bridge.lookup import go_to_table
from ovsct.bridge.prereq import has_field
from ovsct.errors import OvsctError
from ovsct.lane import StepKind
from ovsct.openflow import actions as of
from ovsct.openflow.flow import Flow
from ovsct.openflow.text.action_format import format_action
from ovsct.packet.fields import SLOTS

Rest = Sequence[of.Action]
_IN_PORT = SLOTS["in_port"]

EXPLICIT_MISS: Final = "explicit_miss"
"""Why the flow for table misses sends to the controller: ``no_match`` in OpenFlow 1.3 and later,
``action`` before."""


def output_to(ctx: Context, port: int, last: bool, max_len: int = 65535) -> None:
    """OVS ``xlate_output_action()`` for a port number or a reserved one."""
    in_port = _IN_PORT.get(ctx.flow)
    if port == of.OFPP_IN_PORT:
        emit(ctx, in_port, last)
    elif port == of.OFPP_TABLE:
        go_to_table(ctx, in_port, 0, honor_miss=True, last=False)
    elif port == of.OFPP_NORMAL:
        normal(ctx)
    elif port in (of.OFPP_FLOOD, of.OFPP_ALL):
        flood = port == of.OFPP_FLOOD
        order = ctx.bridge.flood_order() if flood else ctx.bridge.all_order()
        others = [other for other in order if other != in_port]
        for at, other in enumerate(others, 1):
            emit(ctx, other, last and at == len(others))
    elif port == of.OFPP_CONTROLLER:
        send_to_controller(ctx, max_len, _output_reason(ctx), 0)
    elif port == of.OFPP_NONE:
        return
    elif port == in_port:
        ctx.note(StepKind.NOTE, "skipping output to input port")
    else:
        emit(ctx, port, last)


def _output_reason(ctx: Context) -> str:
    if ctx.in_packet_out:
        return "packet_out"
    if ctx.in_bucket:
        return "group"
    return "action_set" if ctx.in_action_set else "action"


_NO_TRUNCATION = (
    of.OFPP_TABLE, of.OFPP_NORMAL, of.OFPP_FLOOD, of.OFPP_ALL, of.OFPP_CONTROLLER, of.OFPP_NONE,
)  # fmt: skip


def output(ctx: Context, action: of.Output, last: bool, _rest: Rest) -> None:
    """output, with or without truncation."""
    if action.max_len is None or action.port == of.OFPP_CONTROLLER:
        output_to(ctx, action.port, last, action.max_len or 65535)
        return
    if action.port in _NO_TRUNCATION:
        ctx.note(StepKind.NOTE, "output_trunc does not support this port")
        return
    if action.port == _IN_PORT.get(ctx.flow):
        ctx.note(StepKind.NOTE, "skipping output to input port")
        return
    is_port = ctx.bridge.has_port(action.port) and action.port not in ctx.bridge.peers
    if not is_port and action.port != of.OFPP_IN_PORT:
        ctx.note(StepKind.NOTE, "output_trunc supports no patch port, and none that is not there")
        return
    ctx.odp.append(odp.Trunc(action.max_len))
    output_to(ctx, action.port, last)


def output_field(ctx: Context, action: of.OutputField, last: bool, _rest: Rest) -> None:
    """output:SRC[]: numbers beyond 16 bits go nowhere (OVS ``xlate_output_reg_action()``)."""
    port = action.src.get(ctx.flow)
    if port <= 0xFFFF:
        if ctx.journal is not None:
            ctx.journal.add(Kind.DETAIL, f"output port is {port}")
        ctx.look(action.src.mask)
        output_to(ctx, port, last)
    else:
        ctx.note(StepKind.NOTE, f"output port {port} is out of range")


def send_to_controller(
    ctx: Context, max_len: int, reason: str, controller_id: int, userdata: bytes = b""
) -> None:
    """OVS ``xlate_controller_action()``: takes a recirculation id, as the real one does."""
    commit(ctx)
    if reason == "action" and ctx.rule is not None and _is_table_miss(ctx.rule):
        reason = EXPLICIT_MISS
    # Only a packet-in that is to go on keeps the action set (xlate_controller_action()).
    state = frozen_state(ctx, ctx.table, (), None)
    number = ctx.bridge.recirc.allocate(replace(state, action_set=(), userdata=userdata))
    ctx.recirc_ids.append(number)
    ctx.odp.append(odp.Userspace(reason, controller_id, max_len, number, ctx.cookie()))


def _is_table_miss(rule: Flow) -> bool:
    """A flow that matches everything at priority 0 (OpenFlow 1.3, 5.4)."""
    return not rule.priority and not rule.match.mask


def controller(ctx: Context, action: of.Controller, _last: bool, rest: Rest) -> bool:
    """controller(...); with pause the rest waits for the controller."""
    if action.meter_id is not None:
        raise OvsctError("controller(meter_id) is not modelled yet")
    if action.pause:
        ctx.pause = action
        return _freeze(ctx, rest)
    reason = _output_reason(ctx) if action.plain else action.reason
    send_to_controller(ctx, action.max_len, reason, action.controller_id, action.userdata)
    return False


def _freeze(ctx: Context, rest: Rest) -> bool:
    ctx.trigger_freeze()
    # Where something was left behind before, OVS passes over one action more (do_xlate_actions()).
    freeze_unroll(ctx, rest[1:] if ctx.frozen_actions else rest)
    return True


def enqueue(ctx: Context, action: of.Enqueue, last: bool, _rest: Rest) -> None:
    """enqueue: output with the queue's priority, for this output only."""
    slot = SLOTS["skb_priority"]
    ctx.look(slot.mask)
    port = _IN_PORT.get(ctx.flow) if action.port == of.OFPP_IN_PORT else action.port
    priority = ctx.bridge.queue_priority(action.queue)
    if priority is None:
        output_to(ctx, action.port, last)
        return
    if port == _IN_PORT.get(ctx.flow) and action.port != of.OFPP_IN_PORT:
        return
    before = slot.get(ctx.flow)
    ctx.flow = slot.put(ctx.flow, priority)
    emit(ctx, port, last)
    ctx.flow = slot.put(ctx.flow, before)


def resubmit(ctx: Context, action: of.Resubmit, last: bool, _rest: Rest) -> None:
    """resubmit: a miss in the other table is silent."""
    in_port = action.port
    if in_port is None or in_port == of.OFPP_IN_PORT:
        in_port = _IN_PORT.get(ctx.flow)
    table = ctx.table if action.table is None else action.table
    go_to_table(ctx, in_port, table, honor_miss=False, last=last, with_ct=action.with_ct)


def goto_table(ctx: Context, action: of.GotoTable, last: bool, _rest: Rest) -> None:
    """goto_table: a miss there is a table miss."""
    go_to_table(ctx, _IN_PORT.get(ctx.flow), action.table, honor_miss=True, last=last)


def clone(ctx: Context, action: of.Clone, last: bool, _rest: Rest) -> None:
    """clone: a list of its own (:mod:`ovsct.bridge.clone`)."""
    clone_actions(ctx, action.actions, last)


def check_pkt_larger(ctx: Context, action: of.CheckPktLarger, _last: bool, rest: Rest) -> bool:
    """check_pkt_larger: what follows is translated twice, and nothing is left for the caller."""
    if not has_field(ctx, action.dst.field):
        raise OvsctError("check_pkt_larger into a field that the packet lacks is not modelled yet")
    stack, action_set, flow = list(ctx.stack), list(ctx.action_set), ctx.flow
    commit(ctx)
    base, was_mpls, conntracked = ctx.base, ctx.was_mpls, ctx.conntracked
    outer = ctx.odp
    branches = []
    old_exit = False
    for larger in (1, 0):
        ctx.odp = []
        ctx.flow = action.dst.put(flow, larger)
        run_and_finish(ctx, rest, True)
        branches.append(tuple(ctx.odp))
        ctx.base, ctx.was_mpls, ctx.conntracked = base, was_mpls, conntracked
        ctx.flow = flow
        if larger:
            # Action set and stack are not what they were: the second branch finds what the first
            # has left of them.
            old_exit, ctx.exit = ctx.exit, False
    ctx.odp = outer
    ctx.odp.append(odp.CheckPktLen(action.length, branches[0], branches[1]))
    ctx.stack, ctx.action_set = stack, action_set
    ctx.exit = old_exit
    return True


def exit_(ctx: Context, _action: of.Exit, _last: bool, _rest: Rest) -> None:
    """exit: nothing of the pipeline follows, except the action set."""
    ctx.exit = True


def meter(ctx: Context, action: of.Meter, _last: bool, _rest: Rest) -> None:
    """meter: the datapath polices."""
    number = ctx.bridge.datapath_meter(action.meter_id)
    if number is None:
        raise OvsctError(f"meter {action.meter_id} is not there (OFPMMFC_UNKNOWN_METER)")
    ctx.odp.append(odp.Meter(number))


def debug_recirc(ctx: Context, _action: of.DebugRecirc, _last: bool, rest: Rest) -> bool:
    """debug_recirc: what follows runs after a recirculation."""
    return _freeze(ctx, rest)


def debug_slow(ctx: Context, _action: of.DebugSlow, _last: bool, _rest: Rest) -> None:
    """debug_slow: vswitchd handles every such packet."""
    ctx.slow = "action"


def clear_actions(ctx: Context, _action: of.ClearActions, _last: bool, _rest: Rest) -> None:
    """clear_actions."""
    _tell_action_set(ctx, "was")
    ctx.action_set = []
    ctx.action_set_has_group = False
    ctx.flow = SLOTS["actset_output"].put(ctx.flow, of.OFPP_UNSET)


def write_actions(ctx: Context, action: of.WriteActions, _last: bool, _rest: Rest) -> None:
    """write_actions; actset_output follows (OVS ``xlate_write_actions__()``)."""
    slot = SLOTS["actset_output"]
    if not ctx.action_set_has_group:
        for item in action.actions:
            if isinstance(item, of.Output):
                ctx.flow = slot.put(ctx.flow, item.port)
            elif isinstance(item, of.Controller):
                ctx.flow = slot.put(ctx.flow, of.OFPP_CONTROLLER)
            elif isinstance(item, of.Group):
                ctx.flow = slot.put(ctx.flow, of.OFPP_UNSET)
                ctx.action_set_has_group = True
                break
    ctx.action_set.extend(action.actions)
    _tell_action_set(ctx, "is")


def _tell_action_set(ctx: Context, verb: str) -> None:
    """OVS ``xlate_report_action_set()``."""
    if ctx.journal is None:
        return
    actions = as_list(ctx.action_set)
    text = ",".join(format_action(each) for each in actions)
    ctx.journal.add(
        Kind.DETAIL, f"action set {verb}: {text}" if text else f"action set {verb} empty"
    )


def unroll(ctx: Context, action: UnrollXlate, _last: bool, _rest: Rest) -> None:
    """Inside frozen actions: be in the table that the next action came from."""
    ctx.table = action.table
    ctx.unrolled_cookie = action.cookie
    if ctx.journal is not None:
        ctx.journal.add(Kind.ACTION, format_frozen((action,)))
        text = f"restored state: table={action.table}, cookie={action.cookie:#x}"
        ctx.journal.add(Kind.THAW, text)
