"""Commit: turn the difference between `flow` and `base` into datapath actions.

OVS lib/odp-util.c ``commit_odp_actions()``, in its order: Ethernet, MPLS if the packet stops being
MPLS, network layer, transport, ICMP, MPLS, VLAN, priority, mark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ovsct.bridge import odp
from ovsct.bridge.context import Context
from ovsct.errors import OvsctError
from ovsct.packet.fields import SLOTS, VLAN_PRESENT, Stage
from ovsct.packet.packet import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_MPLS,
    ETH_NSH,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    PT_ETHERNET,
    PT_ETHERTYPE,
    PT_NSH,
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A settable datapath attribute: its name, and the slots that can be written in it.

    `exact` forces a set without mask; `slow` says that the datapath cannot do it itself.
    """

    name: str
    slots: tuple[str, ...]
    exact: bool = False
    slow: bool = False

    @property
    def masks(self) -> tuple[int, ...]:
        """The slots' masks."""
        return tuple(SLOTS[slot].mask for slot in self.slots)


_ETH: Final = Attribute("eth", ("dl_src", "dl_dst"))
_IPV4: Final = Attribute("ipv4", ("nw_src", "nw_dst", "nw_tos", "nw_ttl"))
_IPV6: Final = Attribute("ipv6", ("ipv6_src", "ipv6_dst", "ipv6_label", "nw_tos", "nw_ttl"))
_ARP: Final = Attribute(
    "arp", ("nw_src", "nw_dst", "nw_proto", "arp_sha", "arp_tha"), slow=True
)
_ND_EXT: Final = Attribute("nd_ext", ("nd_reserved", "nd_options_type"), slow=True)
_ND: Final = Attribute("nd", ("nd_target", "arp_sha", "arp_tha"), slow=True)
_PORTS: Final = {
    PROTO_TCP: Attribute("tcp", ("tp_src", "tp_dst")),
    PROTO_UDP: Attribute("udp", ("tp_src", "tp_dst")),
    PROTO_SCTP: Attribute("sctp", ("tp_src", "tp_dst")),
}
_ICMP: Final = {
    (ETH_IPV4, PROTO_ICMP): Attribute("icmp", ("tp_src", "tp_dst"), exact=True, slow=True),
    (ETH_IPV6, PROTO_ICMPV6): Attribute("icmpv6", ("tp_src", "tp_dst"), exact=True, slow=True),
}
_NSH_CONTEXTS: Final = sum(SLOTS[f"nsh_c{n}"].mask for n in (1, 2, 3, 4))
_NSH_KIND: Final = SLOTS["nsh_mdtype"].mask | SLOTS["nsh_np"].mask
_NSH_MASK: Final = _NSH_CONTEXTS | _NSH_KIND | sum(
    SLOTS[name].mask for name in ("nsh_flags", "nsh_ttl", "nsh_path_hdr")
)
_MACS: Final = SLOTS["dl_src"].mask | SLOTS["dl_dst"].mask
FROM_L2: Final = sum(slot.mask for slot in SLOTS.values() if slot.stage >= Stage.L2)
"""All headers, and what lies among them in ``struct flow``."""
_PRIORITY: Final = Attribute("skb_priority", ("skb_priority",))
_MARK: Final = Attribute("skb_mark", ("pkt_mark",))

_DL_TYPE = SLOTS["dl_type"]
_PACKET_TYPE = SLOTS["packet_type"]
_PROTO = SLOTS["nw_proto"]
VLANS: Final = (
    (SLOTS["vlan_tci"], SLOTS["vlan_tpid"]),
    (SLOTS["vlan_tci1"], SLOTS["vlan_tpid1"]),
)
"""TCI and TPID of each tag, the outer one first."""
LSES: Final = (SLOTS["mpls_lse"], SLOTS["mpls_lse1"], SLOTS["mpls_lse2"])
_VLAN_MASK = sum(slot.mask for pair in VLANS for slot in pair)
_LSE_MASK = sum(slot.mask for slot in LSES)
MPLS_BOS: Final = 0x100


def commit(ctx: Context) -> None:
    """Emit what the packet needs so that it looks like ``ctx.flow``; ``ctx.base`` follows."""
    if ctx.flow == ctx.base and ctx.pending is None:
        return
    if ctx.pending is not None or (ctx.flow ^ ctx.base) & _PACKET_TYPE.mask:
        _commit_encap(ctx)
    if not (ctx.flow | ctx.base) & _PACKET_TYPE.mask:
        _commit_attribute(ctx, _ETH)
    dl_type = _DL_TYPE.get(ctx.base)
    mpls_done = dl_type in MPLS_TYPES and _DL_TYPE.get(ctx.flow) not in MPLS_TYPES
    if mpls_done:
        _commit_mpls(ctx)
    if _DL_TYPE.get(ctx.flow) == ETH_NSH and (ctx.flow ^ ctx.base) & _NSH_MASK:
        _commit_nsh(ctx)
    _commit_network(ctx)
    _commit_transport(ctx)
    if not mpls_done:
        _commit_mpls(ctx)
    _commit_vlan(ctx)
    _commit_attribute(ctx, _PRIORITY)
    _commit_attribute(ctx, _MARK)


def _commit_encap(ctx: Context) -> None:
    """A header that was put on or taken off (OVS ``commit_encap_decap_action()``)."""
    pending, ctx.pending = ctx.pending, None
    here, there = _PACKET_TYPE.get(ctx.base), _PACKET_TYPE.get(ctx.flow)
    if pending is not None and not pending.decap:
        if there == PT_ETHERNET:
            src, dst = SLOTS["dl_src"].get(ctx.flow), SLOTS["dl_dst"].get(ctx.flow)
            ctx.odp.append(odp.PushEth(src, dst))
            _follow(ctx, _MACS | _PACKET_TYPE.mask)
        elif there == PT_NSH:
            ctx.odp.append(odp.PushNsh(ctx.flow & _NSH_MASK, pending.metadata))
            _follow(ctx, FROM_L2 | _PACKET_TYPE.mask)
        else:
            _commit_mpls(ctx, whole_packet=True)
    elif there >> 16 == PT_ETHERTYPE >> 16 and here == PT_ETHERNET:
        ctx.odp.append(odp.PopEth())
        ctx.base = _PACKET_TYPE.put(ctx.base & ~_MACS, there)
    elif here == PT_NSH:
        ctx.odp.append(odp.PopNsh())
    elif here in _PT_MPLS:
        _commit_mpls(ctx)
    else:
        raise OvsctError(
            "here ovs-vswitchd 3.1 aborts: decap() of a label that was put on in the same pass"
        )


_PT_MPLS: Final = tuple(PT_ETHERTYPE | ethertype for ethertype in MPLS_TYPES)


def _follow(ctx: Context, bits: int) -> None:
    ctx.base = (ctx.base & ~bits) | (ctx.flow & bits)


def _commit_nsh(ctx: Context) -> None:
    """OVS ``commit_set_nsh_action()``: always under a mask, and all of it that was looked at."""
    has_contexts = SLOTS["nsh_mdtype"].get(ctx.flow) == 1
    compared = _NSH_MASK if has_contexts else _NSH_MASK & ~_NSH_CONTEXTS
    if not (ctx.flow ^ ctx.base) & compared:
        return
    mask = ctx.mask & _NSH_MASK & ~_NSH_KIND
    value = ctx.flow & mask
    if not has_contexts:
        # Not in the action, so that they read as zeros that are all set.
        mask |= _NSH_CONTEXTS
        value &= ~_NSH_CONTEXTS
    ctx.odp.append(odp.Set("nsh", value, mask))
    _follow(ctx, compared)


def _commit_attribute(ctx: Context, attribute: Attribute) -> None:
    changed = 0
    whole = 0
    for mask in attribute.masks:
        whole |= mask
        if (ctx.flow ^ ctx.base) & mask:
            changed |= mask
    if not changed:
        return
    # OVS keycmp_mask(): of the bits looked at, those of fields that stay as they are are left out.
    mask = ctx.mask & changed
    exact = attribute.exact or mask == whole
    if exact:
        mask = whole
    ctx.odp.append(odp.Set(attribute.name, ctx.flow & mask, mask, not exact))
    ctx.base = (ctx.base & ~whole) | (ctx.flow & whole)
    ctx.look(mask)
    if attribute.slow:
        ctx.slow = "action"


def _commit_network(ctx: Context) -> None:
    if not _PROTO.get(ctx.flow):
        return
    dl_type = _DL_TYPE.get(ctx.base)
    if dl_type == ETH_IPV4:
        _commit_attribute(ctx, _IPV4)
    elif dl_type == ETH_IPV6:
        _commit_attribute(ctx, _IPV6)
        if _PROTO.get(ctx.base) == PROTO_ICMPV6:
            _commit_attribute(ctx, _ND_EXT)
            _commit_attribute(ctx, _ND)
    elif dl_type == ETH_ARP:
        _commit_attribute(ctx, _ARP)


def _commit_transport(ctx: Context) -> None:
    proto = _PROTO.get(ctx.flow)
    if proto in _PORTS:
        if _DL_TYPE.get(ctx.base) in (ETH_IPV4, ETH_IPV6):
            _commit_attribute(ctx, _PORTS[proto])
        return
    icmp = _ICMP.get((_DL_TYPE.get(ctx.flow), proto))
    if icmp is not None:
        _commit_attribute(ctx, icmp)


def mpls_labels(key: int) -> list[int]:
    """The label stack entries that `key` shows, outermost first."""
    if _DL_TYPE.get(key) not in MPLS_TYPES:
        return []
    stack = []
    for slot in LSES:
        lse = slot.get(key)
        if lse & MPLS_BOS:
            stack.append(lse)
            break
        if lse:
            stack.append(lse)
    return stack


def _commit_mpls(ctx: Context, *, whole_packet: bool = False) -> None:
    """Labels; with `whole_packet` new ones go before the Ethernet header."""
    base, flow = mpls_labels(ctx.base), mpls_labels(ctx.flow)
    dl_type = _DL_TYPE.get(ctx.flow)
    common = 0
    while common < min(len(base), len(flow)) and base[-1 - common] == flow[-1 - common]:
        common += 1
    while len(base) > common:
        if len(base) - 1 == common and len(flow) > common:
            # The one entry that differs can be rewritten in place.
            base[0] = flow[len(flow) - len(base)]
            value, mask = base[0] << LSES[0].shift, LSES[0].mask
            ctx.odp.append(odp.Set("mpls", value, mask, masked=False))
            common += 1
        else:
            inner = ETH_MPLS if dl_type not in MPLS_TYPES and len(base) > 1 else dl_type
            ctx.odp.append(odp.PopMpls(inner))
            base.pop(0)
    while len(base) < len(flow):
        lse = flow[len(flow) - len(base) - 1]
        push = odp.AddMpls if whole_packet else odp.PushMpls
        ctx.odp.append(push(lse, dl_type))
        base.insert(0, lse)
    ctx.base = (ctx.base & ~(_LSE_MASK | _DL_TYPE.mask)) | (
        ctx.flow & (_LSE_MASK | _DL_TYPE.mask)
    )


def vlan_tags(key: int) -> list[tuple[int, int]]:
    """The (TPID, TCI) pairs that `key` shows, outermost first, TCI with its "present" bit."""
    tags = []
    for tci, tpid in VLANS:
        value = tci.get(key)
        if not value & VLAN_PRESENT:
            break
        tags.append((tpid.get(key), value))
    return tags


def _commit_vlan(ctx: Context) -> None:
    base, flow = vlan_tags(ctx.base), vlan_tags(ctx.flow)
    while base and flow and base[-1] == flow[-1]:
        base.pop()
        flow.pop()
    for at in range(len(base) - 1, -1, -1):
        ctx.odp.append(odp.PopVlan())
        ctx.look(VLANS[at][0].mask | VLANS[at][1].mask)
    for tpid, tci in reversed(flow):
        ctx.odp.append(odp.PushVlan(tpid, tci & ~VLAN_PRESENT))
    ctx.base = (ctx.base & ~_VLAN_MASK) | (ctx.flow & _VLAN_MASK)
