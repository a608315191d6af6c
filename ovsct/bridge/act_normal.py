"""NORMAL: forward like a switch that learns (OVS ``xlate_normal()``, 3.1).

Every port is a trunk for all VLANs, as ports are unless they are given a tag; bonds, mirrors,
spanning tree and multicast snooping are not modelled.
"""

from __future__ import annotations

from typing import Final

from ovsct.bridge.act_emit import emit
from ovsct.bridge.commit import VLANS
from ovsct.bridge.context import Context
from ovsct.bridge.prereq import is_ethernet
from ovsct.lane import StepKind
from ovsct.openflow.actions import OFPP_CONTROLLER, OFPP_NONE
from ovsct.packet.fields import SLOTS, VLAN_PRESENT
from ovsct.packet.packet import ETH_ARP, VLAN_TYPES

_DL_SRC = SLOTS["dl_src"]
_DL_DST = SLOTS["dl_dst"]
_DL_TYPE = SLOTS["dl_type"]
_TCI = SLOTS["vlan_tci"]
_TPID = SLOTS["vlan_tpid"]
_IN_PORT = SLOTS["in_port"]
_PROTO = SLOTS["nw_proto"]
_NW_SRC = SLOTS["nw_src"]
_NW_DST = SLOTS["nw_dst"]
_VID: Final = (0xFFF | VLAN_PRESENT) << _TCI.shift
BROADCAST: Final = (1 << 48) - 1
_NO_PORTS: Final = (OFPP_CONTROLLER, OFPP_NONE)
"""Where a controller's own packets come from; behind it is no address."""

_RESERVED: Final = frozenset(
    (*range(0x0180C2000000, 0x0180C2000010),
     0x00E02B000000, 0x00E02B000004, 0x00E02B000006,
     0x01000C000000, 0x01000CCCCCCC, 0x01000CCCCCCD, 0x01000CCDCDCD,
     *range(0x01000CCCCCC0, 0x01000CCCCCC8))
)  # fmt: skip
"""Addresses of protocols between switches (OVS lib/packets.c ``eth_addr_is_reserved()``)."""


def normal(ctx: Context) -> None:
    """Learn the source, then send to where the destination is, or everywhere."""
    ctx.look(_DL_SRC.mask | _DL_DST.mask | _VID)
    flow = ctx.flow
    in_port = _IN_PORT.get(flow)
    if not ctx.bridge.has_port(in_port) and in_port not in _NO_PORTS:
        ctx.note(StepKind.NOTE, "no input bundle, dropping")
        return
    tci = _TCI.get(flow)
    if _DL_TYPE.get(flow) in VLAN_TYPES and not tci & VLAN_PRESENT:
        ctx.note(StepKind.NOTE, "dropping a frame with a partial VLAN tag")
        return
    vlan = tci & 0xFFF
    dst = _DL_DST.get(flow)
    if dst in _RESERVED:
        ctx.note(StepKind.NOTE, "reserved destination address, dropping")
        return
    _look_for_gratuitous_arp(ctx)
    if in_port not in _NO_PORTS and is_ethernet(flow):
        ctx.learn(vlan, _DL_SRC.get(flow), in_port)
    port = ctx.bridge.fdb.lookup(vlan, dst)
    if port is None:
        ctx.note(StepKind.NOTE, "no learned MAC for destination, flooding")
        for other in ctx.bridge.flood_order():
            if other != in_port:
                _send(ctx, other)
    elif port != in_port:
        ctx.note(StepKind.NOTE, f"forwarding to learned port {port}")
        _send(ctx, port)
    else:
        ctx.note(StepKind.NOTE, "learned port is input port, dropping")


def _send(ctx: Context, port: int) -> None:
    """Output on a trunk: a tag that says nothing, neither VID nor PCP, is not put back, nor is what
    stands behind it (OVS ``xvlan_put()``).
    """
    before = ctx.flow
    empty = False
    for tci, tpid in VLANS:
        empty = empty or not tci.get(before) & ~VLAN_PRESENT
        if empty:
            ctx.flow = tpid.put(tci.put(ctx.flow, 0), 0)
    emit(ctx, port, last=False)
    ctx.flow = before


def _look_for_gratuitous_arp(ctx: Context) -> None:
    """Only bonds act on it, but the question is asked, and that shows in the mask."""
    if _DL_TYPE.get(ctx.flow) != ETH_ARP or _DL_DST.get(ctx.flow) != BROADCAST:
        return
    ctx.look(_PROTO.mask)
    if _PROTO.get(ctx.flow) == 1:
        ctx.look(_NW_SRC.mask | _NW_DST.mask)
