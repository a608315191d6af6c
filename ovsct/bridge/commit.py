"""Commit: turn the difference between `flow` and `base` into datapath actions.

OVS lib/odp-util.c ``commit_odp_actions()``, in its order: Ethernet, MPLS if the packet stops being
MPLS, network layer, transport, ICMP, MPLS, VLAN, priority, mark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ovsct.bridge import odp
from ovsct.bridge.context import Context
from ovsct.packet.fields import SLOTS, VLAN_PRESENT
from ovsct.packet.packet import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_MPLS,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
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
_PRIORITY: Final = Attribute("skb_priority", ("skb_priority",))
_MARK: Final = Attribute("skb_mark", ("pkt_mark",))

_DL_TYPE = SLOTS["dl_type"]
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
    if ctx.flow == ctx.base:
        return
    _commit_attribute(ctx, _ETH)
    dl_type = _DL_TYPE.get(ctx.base)
    mpls_done = dl_type in MPLS_TYPES and _DL_TYPE.get(ctx.flow) not in MPLS_TYPES
    if mpls_done:
        _commit_mpls(ctx)
    _commit_network(ctx)
    _commit_transport(ctx)
    if not mpls_done:
        _commit_mpls(ctx)
    _commit_vlan(ctx)
    _commit_attribute(ctx, _PRIORITY)
    _commit_attribute(ctx, _MARK)


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


def _commit_mpls(ctx: Context) -> None:
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
        ctx.odp.append(odp.PushMpls(lse, dl_type))
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
