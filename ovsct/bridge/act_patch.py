"""Patch ports: the packet goes on in another bridge (OVS ``patch_port_output()``, 3.1).

The other bridge runs within the same translation, and on the same packet: what its actions do is
undone behind it where it can be, else they are put into a clone. What the tables see of the packet
begins anew (metadata, registers, tunnel, conntrack state), while the packet itself keeps its
conntrack state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ovsct.bridge.clone import clone_actions, finish
from ovsct.bridge.context import Context
from ovsct.bridge.journal import Kind
from ovsct.bridge.lookup import go_to_table
from ovsct.lane import StepKind
from ovsct.openflow.actions import OFPP_UNSET
from ovsct.packet.fields import SLOTS

if TYPE_CHECKING:
    from ovsct.bridge.bridge import Bridge

_IN_PORT = SLOTS["in_port"]
_TUNNEL: Final = sum(slot.mask for name, slot in SLOTS.items() if name.startswith("tun_"))
_BEGINS_ANEW: Final = _TUNNEL | sum(
    slot.mask
    for name, slot in SLOTS.items()
    if name.startswith("reg") or name in ("in_port", "metadata", "actset_output")
)


def through_patch_port(ctx: Context, peer: Bridge, port: int, last: bool) -> None:
    """Go on in `peer`, where the packet comes in on `port`; then back to where we were.

    Errors of the other bridge, and that it stops, are its own affair.
    """
    bridge, flow, stack, action_set = ctx.bridge, ctx.flow, ctx.stack, ctx.action_set
    conntracked, was_mpls, in_bucket = ctx.conntracked, ctx.was_mpls, ctx.in_bucket
    # Every bridge is looked up in as it is when the packet comes to it.
    hidden, ctx.hidden = ctx.hidden, {}
    looked_at_tunnel = ctx.mask & _TUNNEL
    ctx.note(StepKind.NOTE, f"bridge {peer.name}, port {port}")
    ctx.bridge = peer
    ctx.flow = _IN_PORT.put(flow ^ (flow & _BEGINS_ANEW), port)
    ctx.flow = SLOTS["actset_output"].put(ctx.flow, OFPP_UNSET)
    ctx.stack, ctx.action_set = [], []
    ctx.in_bucket = False
    ctx.clear_conntrack()
    above = ctx.open(Kind.BRIDGE, f'bridge("{peer.name}")')
    if peer.may_receive(port, SLOTS["dl_dst"].get(ctx.flow)):
        go_to_table(ctx, port, 0, honor_miss=True, last=last, walk=clone_actions)
        finish(ctx)
    ctx.shut(above)
    ctx.unlook(ctx.mask & _TUNNEL & ~looked_at_tunnel)
    for learned, instead in ctx.hidden.items():
        hidden[learned] = hidden.get(id(instead), instead)
    ctx.hidden = hidden
    ctx.bridge, ctx.flow, ctx.stack, ctx.action_set = bridge, flow, stack, action_set
    ctx.conntracked, ctx.was_mpls, ctx.in_bucket = conntracked, was_mpls, in_bucket
    ctx.exit = False
    ctx.error = None
