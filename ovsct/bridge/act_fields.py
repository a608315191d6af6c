"""Actions that change the packet's fields: set, move, stack, VLAN, MPLS, TTL, queue.

OVS ``do_xlate_actions()`` and the functions it calls for these, 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ovsct.bridge.act_output import send_to_controller
from ovsct.bridge.commit import LSES, MPLS_BOS, VLANS, commit, mpls_labels
from ovsct.bridge.context import Context
from ovsct.bridge.journal import Kind
from ovsct.bridge.prereq import has_field, is_ip
from ovsct.lane import StepKind
from ovsct.openflow import actions as of
from ovsct.packet.fields import FRAG_LATER, PRESENT_BIT, SLOTS, VLAN_PRESENT, Field, Stage
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6, ETH_VLAN, MPLS_TYPES

Rest = Sequence[of.Action]

_DL_TYPE = SLOTS["dl_type"]
_TCI, _TPID = VLANS[0]
_TTL = SLOTS["nw_ttl"]
_TOS = SLOTS["nw_tos"]
_FRAG = SLOTS["nw_frag"]
_PROTO = SLOTS["nw_proto"]
_PRIORITY = SLOTS["skb_priority"]
_BEYOND_L2: Final = sum(slot.mask for slot in SLOTS.values() if slot.stage >= Stage.L3)
MAX_MPLS_LABELS: Final = 3

# OVS takes nw_proto 0 for "no network header", so that whatever sets a network field looks at it
# (3.1.1, CVE-2023-1668, lib/meta-flow.c mf_set_mask_l3_prereqs(); Debian's 3.1.0 has it too).
_LOOKS_AT_PROTO: Final = frozenset(
    ("ip_src", "ip_dst", "ipv6_src", "ipv6_dst", "ipv6_label", "nw_tos", "nw_ecn", "nw_ttl",
     "arp_op", "arp_sha", "arp_tha", "arp_spa", "arp_tpa")
)  # fmt: skip
_MOD_LOOKS_AT_PROTO: Final = frozenset(("mod_nw_tos",))


def set_field(ctx: Context, action: of.SetField, _last: bool, _rest: Rest) -> None:
    """set_field, load and the mod_* family: only if the packet has the field."""
    if action.field.slot == "vlan_tci":
        _set_vlan(ctx, action)
        return
    if action.spelled in ("mod_tp_src", "mod_tp_dst"):
        if not is_ip(ctx.flow) or _FRAG.get(ctx.flow) & FRAG_LATER:
            return
        ctx.look(_PROTO.mask)
    elif action.spelled in ("mod_nw_tos", "mod_nw_ecn", "mod_nw_ttl"):
        if not is_ip(ctx.flow):
            return
    elif not has_field(ctx, action.field):
        ctx.note(StepKind.NOTE, f"unmet prerequisites for {action.field.name}, set_field ignored")
        return
    mask = action.key_mask
    ctx.look(mask)
    if action.field.name in _LOOKS_AT_PROTO or action.spelled in _MOD_LOOKS_AT_PROTO:
        ctx.look(_PROTO.mask)
    present = PRESENT_BIT.get(action.field.name)
    if present is not None:
        mask &= _bytes_of(ctx, action.field)
        if mask:
            ctx.flow = (ctx.flow & ~mask) | (action.key_value & mask) | present
        return
    ctx.flow = (ctx.flow & ~mask) | action.key_value


def _bytes_of(ctx: Context, field: Field) -> int:
    """The bits of a Geneve option that it has here; what a bucket sets is held to them only now."""
    option = ctx.bridge.tlv_map.get(int(field.name.removeprefix("tun_metadata")))
    return 0 if option is None else ((1 << 8 * option.length) - 1) << field.shift


def delete_field(ctx: Context, action: of.DeleteField, _last: bool, _rest: Rest) -> None:
    """delete_field: the option is not there any more; its bytes are, for what writes parts of it
    (OVS ``tun_metadata_delete()``).
    """
    ctx.flow &= ~PRESENT_BIT[action.field.name]


def _set_vlan(ctx: Context, action: of.SetField) -> None:
    """Setting any part of the TCI: the TPID follows, and a tag appears where there was none."""
    present = VLAN_PRESENT << _TCI.shift
    if action.spelled in ("mod_vlan_vid", "mod_vlan_pcp"):
        ctx.look(action.key_mask | present)
    elif not has_field(ctx, action.field):
        ctx.note(StepKind.NOTE, f"unmet prerequisites for {action.field.name}, set_field ignored")
        return
    else:
        ctx.look(action.key_mask)
    flow = (ctx.flow & ~action.key_mask) | action.key_value
    if action.field.name != "vlan_tci" or action.key_value & present:
        flow |= present
    if _TCI.get(flow) & VLAN_PRESENT and not _TPID.get(flow):
        flow = _TPID.put(flow, ETH_VLAN)
    elif not _TCI.get(flow) & VLAN_PRESENT:
        flow = _TPID.put(_TCI.put(flow, 0), 0)
    ctx.flow = flow


def move(ctx: Context, action: of.Move, _last: bool, _rest: Rest) -> None:
    """move: both fields must be there; both are un-wildcarded (OVS ``mf_subfield_copy()``)."""
    if has_field(ctx, action.dst.field) and has_field(ctx, action.src.field):
        ctx.look(action.src.mask)
        ctx.look(action.dst.mask)
        write(ctx, action.dst, action.src.get(ctx.flow))
    ctx.is_now(action.dst)


def write(ctx: Context, dst: of.Subfield, value: int) -> None:
    """The low bits of `value` into `dst`; a tag comes with its TPID."""
    if dst.field.slot == "vlan_tci":
        whole = (1 << dst.width) - 1
        field_value = (value & whole) << dst.low
        _set_vlan(ctx, of.SetField(dst.field, field_value, whole << dst.low))
    elif dst.field.name not in PRESENT_BIT or dst.mask & _bytes_of(ctx, dst.field):
        ctx.flow = dst.put(ctx.flow, value)


def stack_push(ctx: Context, action: of.StackPush, _last: bool, _rest: Rest) -> None:
    """Push."""
    ctx.look(action.src.mask)
    ctx.stack.append((action.src.width, action.src.get(ctx.flow)))


def stack_pop(ctx: Context, action: of.StackPop, _last: bool, _rest: Rest) -> None:
    """pop; from an empty stack nothing happens but an error in OVS's trace."""
    if not ctx.stack:
        ctx.note(StepKind.NOTE, "stack underflow")
        return
    _width, value = ctx.stack.pop()
    ctx.look(action.dst.mask)
    write(ctx, action.dst, value)
    ctx.is_now(action.dst)


def push_vlan(ctx: Context, action: of.PushVlan, _last: bool, _rest: Rest) -> None:
    """push_vlan: a new outer tag with VID 0."""
    for tci, tpid in VLANS:
        if tci.get(ctx.flow) & VLAN_PRESENT:
            ctx.look(tci.mask | tpid.mask)
    (tci0, tpid0), (tci1, tpid1) = VLANS
    flow = tci1.put(tpid1.put(ctx.flow, tpid0.get(ctx.flow)), tci0.get(ctx.flow))
    ctx.flow = tpid0.put(tci0.put(flow, VLAN_PRESENT), action.tpid)


def strip_vlan(ctx: Context, _action: of.StripVlan, _last: bool, _rest: Rest) -> None:
    """strip_vlan: OVS ``flow_pop_vlan()``."""
    (tci0, tpid0), (tci1, tpid1) = VLANS
    if tci1.get(ctx.flow) & VLAN_PRESENT and tci0.get(ctx.flow) & VLAN_PRESENT:
        ctx.look(tci1.mask | tpid1.mask)
    if tci0.get(ctx.flow) & VLAN_PRESENT:
        flow = tci0.put(tpid0.put(ctx.flow, tpid1.get(ctx.flow)), tci1.get(ctx.flow))
        ctx.flow = tci1.put(tpid1.put(flow, 0), 0)


def count_labels(ctx: Context) -> int:
    """OVS ``flow_count_mpls_labels()``: it looks at the bottom-of-stack bits."""
    if _DL_TYPE.get(ctx.flow) in MPLS_TYPES:
        for slot in LSES:
            ctx.look(MPLS_BOS << slot.shift)
            if slot.get(ctx.flow) & MPLS_BOS:
                break
    return len(mpls_labels(ctx.flow))


def push_label(ctx: Context, count: int, ethertype: int) -> None:
    """Push onto `count` labels: a copy of the outer one, or one made from the IP header
    (OVS ``flow_push_mpls()``).
    """
    if count:
        for slot in LSES[:count]:
            ctx.look(slot.mask)
        flow = ctx.flow
        for at in range(count, 0, -1):
            flow = LSES[at].put(flow, LSES[at - 1].get(flow))
        flow = LSES[0].put(flow, LSES[1].get(flow) & ~MPLS_BOS)
    else:
        label = 2 if _DL_TYPE.get(ctx.flow) == ETH_IPV6 else 0
        traffic_class, ttl = 0, 64
        if is_ip(ctx.flow):
            ctx.look((0xFC << _TOS.shift) | _TTL.mask)
            traffic_class = (_TOS.get(ctx.flow) >> 2) & 7
            ttl = _TTL.get(ctx.flow) or 64
        lse = label << 12 | traffic_class << 9 | MPLS_BOS | ttl
        flow = LSES[0].put(ctx.flow, lse) & ~(_BEYOND_L2 | SLOTS["dp_hash"].mask)
    ctx.flow = _DL_TYPE.put(flow, ethertype)


def push_mpls(ctx: Context, action: of.PushMpls, _last: bool, _rest: Rest) -> None:
    """push_mpls: copies the outer label, or makes one from the IP header."""
    count = count_labels(ctx)
    if count >= MAX_MPLS_LABELS:
        ctx.fail("too many MPLS labels")
        return
    if not count:
        commit(ctx)
    push_label(ctx, count, action.ethertype)


def pop_label(ctx: Context, count: int, ethertype: int) -> bool:
    """Pop one of `count` labels (OVS ``flow_pop_mpls()``); False if that cannot be."""
    if count == MAX_MPLS_LABELS:
        ctx.look(MPLS_BOS << LSES[-1].shift)
        if not LSES[-1].get(ctx.flow) & MPLS_BOS:
            return False
    if not count:
        return False
    for slot in LSES[1:count]:
        ctx.look(slot.mask)
    flow = ctx.flow
    for at in range(1, count):
        flow = LSES[at - 1].put(flow, LSES[at].get(flow))
    ctx.flow = _DL_TYPE.put(LSES[count - 1].put(flow, 0), ethertype)
    return True


def pop_mpls(ctx: Context, action: of.PopMpls, _last: bool, _rest: Rest) -> None:
    """pop_mpls: what comes to light is seen only after a recirculation."""
    count = count_labels(ctx)
    if not pop_label(ctx, count, action.ethertype):
        if count == MAX_MPLS_LABELS:
            ctx.fail("too many MPLS labels")
        return
    if action.ethertype not in MPLS_TYPES:
        ctx.was_mpls = True


def set_mpls_ttl(ctx: Context, action: of.SetMplsTtl, _last: bool, _rest: Rest) -> None:
    """set_mpls_ttl."""
    if _DL_TYPE.get(ctx.flow) in MPLS_TYPES:
        mask = 0xFF << LSES[0].shift
        ctx.look(mask)
        ctx.flow = (ctx.flow & ~mask) | action.ttl << LSES[0].shift


def dec_mpls_ttl(ctx: Context, _action: of.DecMplsTtl, _last: bool, _rest: Rest) -> bool:
    """dec_mpls_ttl: at 1 or 0 the packet goes to the controller and the list ends."""
    if _DL_TYPE.get(ctx.flow) in MPLS_TYPES:
        ttl = LSES[0].get(ctx.flow) & 0xFF
        ctx.look(0xFF << LSES[0].shift)
        if ttl > 1:
            ctx.flow -= 1 << LSES[0].shift
            return False
        send_to_controller(ctx, 65535, "invalid_ttl", 0)
    ctx.note(StepKind.NOTE, "MPLS decrement TTL exception")
    return True


def dec_ttl(ctx: Context, action: of.DecTtl, _last: bool, _rest: Rest) -> bool:
    """dec_ttl: at 1 or 0 the packet goes to the controllers and the list ends."""
    ctx.look(_TTL.mask | _PROTO.mask)
    if not is_ip(ctx.flow):
        return False
    if _TTL.get(ctx.flow) > 1:
        ctx.flow -= 1 << _TTL.shift
        return False
    for controller in action.controllers:
        send_to_controller(ctx, 65535, "invalid_ttl", controller)
    family = 4 if _DL_TYPE.get(ctx.flow) == ETH_IPV4 else 6
    ctx.note(StepKind.NOTE, f"IPv{family} decrement TTL exception")
    return True


def set_queue(ctx: Context, action: of.SetQueue, _last: bool, _rest: Rest) -> None:
    """set_queue: a queue is an skb priority. The dummy datapath knows none and says 0."""
    ctx.look(_PRIORITY.mask)
    priority = ctx.bridge.queue_priority(action.queue)
    if priority is not None:
        ctx.flow = _PRIORITY.put(ctx.flow, priority)


def pop_queue(ctx: Context, _action: of.PopQueue, _last: bool, _rest: Rest) -> None:
    """pop_queue: back to the priority the packet came with."""
    ctx.look(_PRIORITY.mask)
    if ctx.journal is not None and _PRIORITY.get(ctx.flow) != ctx.orig_priority:
        priority = f"{ctx.orig_priority:#x}" if ctx.orig_priority else "0"
        ctx.journal.add(Kind.DETAIL, f"queue = {priority}")
    ctx.flow = _PRIORITY.put(ctx.flow, ctx.orig_priority)


def write_metadata(ctx: Context, action: of.WriteMetadata, _last: bool, _rest: Rest) -> None:
    """write_metadata."""
    slot = SLOTS["metadata"]
    mask = action.mask << slot.shift
    ctx.flow = (ctx.flow & ~mask) | ((action.value & action.mask) << slot.shift)


def note(_ctx: Context, _action: of.Action, _last: bool, _rest: Rest) -> None:
    """note: nothing. conjunction: nothing either when it is run and not matched.

    Nor does sample: without IPFIX collectors, which are not modelled, OVS passes over it.
    """
