"""Translation: one packet's key through the OpenFlow tables to datapath actions and a mask.

The way of OVS's ``xlate_actions()`` (ofproto/ofproto-dpif-xlate.c, 3.1): look up, run the actions,
freeze where the packet has to go round again, and end with a megaflow whose every mask bit has an
author. What each action means stands in the ``act_*`` modules; this one walks the lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ovsct.bridge import odp
from ovsct.bridge.act import ACTIONS
from ovsct.bridge.action_set import run_action_set
from ovsct.bridge.commit import VLANS
from ovsct.bridge.context import Context
from ovsct.bridge.freeze import finish_freezing, format_frozen
from ovsct.bridge.journal import Journal, Kind
from ovsct.bridge.lookup import look_up
from ovsct.bridge.prereq import ethertype_of, is_ethernet, is_ip
from ovsct.bridge.recirculate import FROZEN_METADATA, FrozenState
from ovsct.bridge.walk import walk_actions
from ovsct.lane import Drop, Step, StepKind
from ovsct.openflow.actions import OFPP_UNSET, Action
from ovsct.packet.fields import (
    DATAPATH_MASK,
    FRAG_LATER,
    OPENFLOW_MASK,
    SLOTS,
    VLAN_PRESENT,
)
from ovsct.packet.packet import (
    ETH_IPV4,
    ETH_IPV6,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    VLAN_TYPES,
)

if TYPE_CHECKING:
    from ovsct.bridge.bridge import Bridge

_DL_TYPE = SLOTS["dl_type"]
_FRAG = SLOTS["nw_frag"]
_PROTO = SLOTS["nw_proto"]
_IN_PORT = SLOTS["in_port"]
_RECIRC = SLOTS["recirc_id"]
_PORTS_MASK: Final = SLOTS["tp_src"].mask | SLOTS["tp_dst"].mask
_PORTS_HIGH: Final = (0xFF00 << SLOTS["tp_src"].shift) | (0xFF00 << SLOTS["tp_dst"].shift)
_LSE_MASK: Final = sum(SLOTS[name].mask for name in ("mpls_lse", "mpls_lse1", "mpls_lse2"))
_TUNNEL_MASK: Final = sum(slot.mask for name, slot in SLOTS.items() if name.startswith("tun_"))
_MACS: Final = SLOTS["dl_dst"].mask | SLOTS["dl_src"].mask
_FRAG_BITS: Final = 3 << _FRAG.shift
_ICMP: Final = ((ETH_IPV4, PROTO_ICMP), (ETH_IPV6, PROTO_ICMPV6))


@dataclass(frozen=True, slots=True)
class Translation:
    """What a translation gave: the megaflow to install, and the steps if a trace was asked for.

    `avoid_caching` says that the megaflow must not stay: it took a decision without side effects.
    """

    megaflow: odp.Megaflow
    steps: Sequence[Step]
    avoid_caching: bool = False


def translate(
    bridge: Bridge,
    key: int,
    now: float,
    *,
    side_effects: bool = True,
    trace: bool = False,
    journal: Journal | None = None,
    actions: Sequence[Action] = (),
) -> Translation:
    """Translate a packet whose datapath key is `key` (in_port: the datapath's port number).

    `bridge` is any of those that share the datapath: the packet's port says which takes it.
    `now` is the time in seconds; without `side_effects` nothing is learned from the packet.
    `journal` gets what OVS would print of a trace, if `trace` is asked for too. `actions` are
    those of a packet-out: the first table is not looked up.

    Raises:
        OvsctError: the packet met an action that is not modelled.
    """
    entry, in_port = bridge.backer.entry(_IN_PORT.get(key), bridge)
    ctx = Context(entry, key, ACTIONS, now, side_effects=side_effects, trace=trace)
    ctx.journal = journal
    ctx.flow = _IN_PORT.put(key, in_port)
    ctx.orig_priority = SLOTS["skb_priority"].get(key)
    ctx.flow = SLOTS["actset_output"].put(ctx.flow, OFPP_UNSET)
    # Not "& ~": the mask reaches far beyond what keys usually have.
    ctx.base = ctx.flow ^ (ctx.flow & _TUNNEL_MASK)
    ctx.entry_port = _IN_PORT.get(key)
    always = _IN_PORT.mask | _DL_TYPE.mask | _RECIRC.mask | SLOTS["packet_type"].mask
    if is_ip(key):
        always |= _FRAG_BITS
    ctx.look(always)
    drop = _run(ctx, actions)
    if journal is not None:
        journal.final, journal.error = ctx.flow, ctx.error
    if ctx.failed():
        ctx.odp.clear()
    elif ctx.odp and isinstance(ctx.odp[-1], odp.Clone):
        # OVS xlate_optimize_odp_actions(): nothing follows, so nothing needs the original.
        ctx.odp[-1:] = ctx.odp[-1].actions
    added = _finish_mask(ctx)
    megaflow = odp.Megaflow(
        key & DATAPATH_MASK, ctx.mask, tuple(ctx.odp), tuple(ctx.blame), tuple(ctx.rules)
    )
    megaflow.added = added
    megaflow.looked = tuple(ctx.looked)
    megaflow.learned = tuple(ctx.learned)
    megaflow.effects = tuple(ctx.effects)
    megaflow.recirc_ids = tuple(ctx.recirc_ids)
    megaflow.buckets = tuple(ctx.buckets)
    megaflow.slow = ctx.slow
    megaflow.drop = drop
    return Translation(megaflow, ctx.steps or (), ctx.avoid_caching)


def _run(ctx: Context, actions: Sequence[Action]) -> Drop | None:
    """Translate; the result is why nothing will go out, if that is so."""
    entry, came_in = ctx.bridge, _IN_PORT.get(ctx.flow)
    recirc_id = _RECIRC.get(ctx.upcall)
    if recirc_id and actions:
        if ctx.journal is not None:
            ctx.journal.open(Kind.THAW, "thaw")
        ctx.fail("Recirculation conflict (actions)!")
        return Drop.TRANSLATION
    if recirc_id:
        state = ctx.bridge.recirc.thaw(recirc_id)
        bridge = ctx.bridge.backer.named(state.bridge) if state is not None else None
        if state is None or bridge is None:
            ctx.fail(f"recirculation id {recirc_id:#x} has no frozen state")
            return Drop.STALE
        ctx.bridge = bridge
        ctx.thawed = True
        ctx.note(StepKind.RECIRCULATE, f"thaw: resuming from table {state.table}")
        ctx.table = state.table
        ctx.in_packet_out = state.packet_out
        ctx.conntracked = state.conntracked
        ctx.was_mpls = False
        if not state.conntracked:
            ctx.clear_conntrack()
        ctx.flow = (ctx.flow ^ (ctx.flow & FROZEN_METADATA)) | state.metadata
        ctx.stack = list(state.stack)
        ctx.action_set = list(state.action_set)
        actions = state.actions
        if ctx.journal is not None:
            _tell_thaw(ctx.journal, state)
    elif ctx.flow & _CT_TRACKED:
        ctx.conntracked = True

    if not actions:
        rule = look_up(ctx, _IN_PORT.get(ctx.flow), honor_miss=True)
        if rule is None:
            return ctx.missed
        ctx.rule = rule
        ctx.rules.append(rule)
        actions = rule.actions
    if not entry.may_receive(came_in, SLOTS["dl_dst"].get(ctx.upcall)):
        return Drop.ACTIONS
    walk_actions(ctx, actions, last=True)
    if ctx.failed():
        return Drop.TRANSLATION
    if not ctx.freezing:
        run_action_set(ctx)
    if ctx.freezing:
        finish_freezing(ctx)
    if ctx.failed():
        return Drop.TRANSLATION
    return ctx.missed if not ctx.odp else None


def _tell_thaw(journal: Journal, state: FrozenState) -> None:
    """What OVS says where a translation goes on."""
    above = journal.open(Kind.THAW, "thaw")
    journal.add(Kind.THAW, f"Resuming from table {state.table}")
    for what, actions in (("action set", state.action_set), ("actions", state.actions)):
        if actions:
            journal.add(Kind.THAW, f"Restoring {what}: {format_frozen(actions)}")
    journal.here = above


_CT_TRACKED: Final = 0x20 << SLOTS["ct_state"].shift


def _finish_mask(ctx: Context) -> int:
    """OVS ``xlate_wc_finish()``: what a datapath flow cannot or need not match.

    The result is what the datapath adds to it.
    """
    ctx.unlook(ctx.mask & OPENFLOW_MASK)
    key = ctx.upcall
    dl_type = _DL_TYPE.get(key)
    if not is_ethernet(key):
        ctx.unlook(_MACS)
    if (ethertype_of(ctx.flow), _PROTO.get(ctx.flow)) in _ICMP:
        ctx.unlook(_PORTS_HIGH)
    for tci, _ in VLANS:
        if ctx.mask & tci.mask:
            ctx.look(VLAN_PRESENT << tci.shift)
    if _FRAG.get(ctx.flow) & FRAG_LATER:
        ctx.unlook(_PORTS_MASK)
    if dl_type not in MPLS_TYPES:
        ctx.unlook(_LSE_MASK)
    for tci, tpid in VLANS:
        if tpid.get(key) not in VLAN_TYPES:
            ctx.unlook(tci.mask | tpid.mask)
    if not key & _TUNNEL_MASK:
        ctx.unlook(_TUNNEL_MASK)
    if ctx.journal is not None:
        ctx.journal.mask = ctx.mask
    outer, _ = VLANS[0]
    if not ctx.mask & outer.mask and not (ctx.bridge.kernel_masks and key & outer.mask):
        # A datapath flow cannot leave open whether there is a tag (dpif-netdev.c, "wildcarding
        # the presence of a VLAN tag"); the userspace datapath takes the VID into the bargain.
        # What the kernel makes of it, :mod:`ovsct.bridge.kernel_form` tells.
        added = (0xFFF | VLAN_PRESENT) << outer.shift
        ctx.look(added)
        return added
    return 0
