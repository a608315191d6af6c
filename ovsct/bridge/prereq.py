"""Whether a packet has a field at run time, and what is un-wildcarded by asking.

OVS lib/meta-flow.c ``mf_are_prereqs_ok()`` on a flow (not on a match: that is openflow's).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ovsct.bridge.context import Context
from ovsct.packet.fields import (
    CT_EST,
    CT_NEW,
    CT_RPL,
    FRAG_LATER,
    SLOTS,
    VLAN_PRESENT,
    Field,
    Prereq,
)
from ovsct.packet.packet import (
    DL_TYPE_NONE,
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_NSH,
    ETH_RARP,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    PT_ETHERTYPE,
)

_DL_TYPE = SLOTS["dl_type"]
_PACKET_TYPE = SLOTS["packet_type"]
_PROTO = SLOTS["nw_proto"]
_FRAG = SLOTS["nw_frag"]
_TP_SRC = SLOTS["tp_src"]
_TP_DST = SLOTS["tp_dst"]
_VLAN = SLOTS["vlan_tci"]
_CT_STATE = SLOTS["ct_state"]
_CT_VALID: Final = CT_NEW | CT_EST | CT_RPL


def ethertype_of(key: int) -> int:
    """What the packet's outermost header says comes behind it (OVS ``get_dl_type()``)."""
    packet_type = _PACKET_TYPE.get(key)
    if not packet_type:
        return _DL_TYPE.get(key)
    return packet_type & 0xFFFF if packet_type & PT_ETHERTYPE else DL_TYPE_NONE


def is_ethernet(key: int) -> bool:
    """Whether the packet begins with an Ethernet header."""
    return not key & _PACKET_TYPE.mask


def is_ip(key: int) -> bool:
    """Whether the packet is IPv4 or IPv6."""
    return ethertype_of(key) in (ETH_IPV4, ETH_IPV6)


def _ethertype(*types: int) -> Callable[[Context], bool]:
    return lambda ctx: ethertype_of(ctx.flow) in types


def _vlan(ctx: Context) -> bool:
    if not is_ethernet(ctx.flow):
        return False
    ctx.look(VLAN_PRESENT << _VLAN.shift)
    return bool(_VLAN.get(ctx.flow) & VLAN_PRESENT)


def _proto(number: int, types: tuple[int, ...], later_too: bool) -> Callable[[Context], bool]:
    def check(ctx: Context) -> bool:
        if ethertype_of(ctx.flow) not in types:
            return False
        ctx.look(_PROTO.mask)
        if _PROTO.get(ctx.flow) != number:
            return False
        return later_too or not _FRAG.get(ctx.flow) & FRAG_LATER

    return check


_ANY_IP = (ETH_IPV4, ETH_IPV6)
_icmpv6 = _proto(PROTO_ICMPV6, (ETH_IPV6,), True)


def _nd(*types: int) -> Callable[[Context], bool]:
    def check(ctx: Context) -> bool:
        if not _icmpv6(ctx):
            return False
        ctx.look(_TP_DST.mask)
        if _TP_DST.get(ctx.flow):
            return False
        ctx.look(_TP_SRC.mask)
        return _TP_SRC.get(ctx.flow) in types

    return check


def _ct(ctx: Context) -> bool:
    ctx.look(_CT_VALID << _CT_STATE.shift)
    return bool(_CT_STATE.get(ctx.flow) & _CT_VALID)


def _ct_family(family: int) -> Callable[[Context], bool]:
    return lambda ctx: ethertype_of(ctx.flow) == family and _ct(ctx)


_CHECKS: Final[dict[Prereq, Callable[[Context], bool]]] = {
    Prereq.NONE: lambda _ctx: True,
    Prereq.ETHERNET: lambda ctx: is_ethernet(ctx.flow),
    Prereq.VLAN: _vlan,
    Prereq.ARP: _ethertype(ETH_ARP, ETH_RARP),
    Prereq.IPV4: _ethertype(ETH_IPV4),
    Prereq.IPV6: _ethertype(ETH_IPV6),
    Prereq.IP: _ethertype(*_ANY_IP),
    Prereq.MPLS: _ethertype(*MPLS_TYPES),
    Prereq.NSH: _ethertype(ETH_NSH),
    Prereq.TCP: _proto(PROTO_TCP, _ANY_IP, False),
    Prereq.UDP: _proto(PROTO_UDP, _ANY_IP, False),
    Prereq.SCTP: _proto(PROTO_SCTP, _ANY_IP, False),
    Prereq.ICMPV4: _proto(PROTO_ICMP, (ETH_IPV4,), True),
    Prereq.ICMPV6: _icmpv6,
    Prereq.ND: _nd(135, 136),
    Prereq.ND_SOLICIT: _nd(135),
    Prereq.ND_ADVERT: _nd(136),
    Prereq.CT: _ct,
    Prereq.CT_IPV4: _ct_family(ETH_IPV4),
    Prereq.CT_IPV6: _ct_family(ETH_IPV6),
}


def has_field(ctx: Context, field: Field) -> bool:
    """Whether ``ctx.flow`` has `field`; asking un-wildcards what it depends on."""
    return _CHECKS[field.prereq](ctx)
