"""Actions that put a header before the packet or take one off: encap, decap, and the NSH TTL.

OVS ``xlate_generic_encap_action()`` and ``xlate_generic_decap_action()``, 3.1. The flow changes at
once; the datapath action is emitted by the next commit (``ctx.pending``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ovsct.bridge.act_fields import MAX_MPLS_LABELS, count_labels, pop_label, push_label
from ovsct.bridge.act_output import send_to_controller
from ovsct.bridge.commit import FROM_L2, LSES, VLANS, commit
from ovsct.bridge.context import Context, Pending
from ovsct.bridge.freeze import freeze_unroll
from ovsct.lane import StepKind
from ovsct.openflow import actions as of
from ovsct.packet.encap import NEXT_TYPES
from ovsct.packet.fields import SLOTS, VLAN_PRESENT
from ovsct.packet.packet import (
    ETH_MPLS,
    ETH_NSH,
    ETH_TEB,
    MPLS_TYPES,
    PT_ETHERNET,
    PT_ETHERTYPE,
    PT_NSH,
)

Rest = Sequence[of.Action]

_PACKET_TYPE = SLOTS["packet_type"]
_DL_TYPE = SLOTS["dl_type"]
_TTL = SLOTS["nsh_ttl"]
_NP = SLOTS["nsh_np"]
_MACS: Final = SLOTS["dl_src"].mask | SLOTS["dl_dst"].mask
_LSE_MASK: Final = sum(slot.mask for slot in LSES)
_MAX_CONTEXTS: Final = 244
"""NSH_CTX_HDRS_MAX_LEN: bytes of metadata of type 2."""

_NP_OF: Final = {packet_type: np for np, packet_type in NEXT_TYPES.items()}


def _unsupported(ctx: Context, what: str) -> None:
    packet_type = _PACKET_TYPE.get(ctx.flow)
    ctx.fail(f"{what} is not supported for packet type"
             f" ({packet_type >> 16},{packet_type & 0xFFFF:#x})")  # fmt: skip


def _encap_ethernet(ctx: Context, _action: of.Encap) -> bytes:
    packet_type = _PACKET_TYPE.get(ctx.flow)
    if packet_type >> 16 != PT_ETHERTYPE >> 16:
        _unsupported(ctx, "encap(ethernet)")
        return b""
    flow = _PACKET_TYPE.put(ctx.flow & ~_MACS, PT_ETHERNET)
    ctx.flow = _DL_TYPE.put(flow, packet_type & 0xFFFF)
    return b""


def _encap_nsh(ctx: Context, action: of.Encap) -> bytes:
    np = _NP_OF.get(_PACKET_TYPE.get(ctx.flow))
    if np is None:
        _unsupported(ctx, "encap(nsh)")
        return b""
    contexts = b"".join(tlv.context() for tlv in action.properties if isinstance(tlv, of.NshTlv))
    kinds = [each.md_type for each in action.properties if isinstance(each, of.NshMdType)]
    md_type = (kinds[-1] if kinds else 1) & 0xF
    flow = _DL_TYPE.put(_PACKET_TYPE.put(ctx.flow & ~FROM_L2, PT_NSH), ETH_NSH)
    for name, value in (
        ("nsh_ttl", 63), ("nsh_np", np), ("nsh_path_hdr", 255), ("nsh_mdtype", md_type),
    ):  # fmt: skip
        flow = SLOTS[name].put(flow, value)
    ctx.flow = flow
    return contexts if md_type == 2 and len(contexts) <= _MAX_CONTEXTS else b""


def _encap_mpls(ctx: Context, action: of.Encap) -> bytes:
    count = count_labels(ctx)
    if count >= MAX_MPLS_LABELS:
        ctx.fail("too many MPLS labels")
        return b""
    if not ctx.flow & _PACKET_TYPE.mask and _DL_TYPE.get(ctx.flow) == ETH_MPLS:
        ctx.unlook(_LSE_MASK)
        ctx.flow &= ~_LSE_MASK
        ctx.base &= ~_LSE_MASK
    ctx.flow = _PACKET_TYPE.put(ctx.flow, action.packet_type)
    push_label(ctx, count, action.packet_type & 0xFFFF)
    ctx.flow &= ~_MACS
    return b""


_ENCAPS: Final[dict[int, Callable[[Context, of.Encap], bytes]]] = {
    PT_ETHERNET: _encap_ethernet,
    PT_NSH: _encap_nsh,
    **{PT_ETHERTYPE | ethertype: _encap_mpls for ethertype in MPLS_TYPES},
}


def encap(ctx: Context, action: of.Encap, _last: bool, _rest: Rest) -> None:
    """encap(...)."""
    commit(ctx)
    metadata = _ENCAPS[action.packet_type](ctx, action)
    if not ctx.failed():
        ctx.pending = Pending(metadata=metadata)


def decap(ctx: Context, action: of.Decap, _last: bool, rest: Rest) -> bool:
    """decap(...): what comes to light behind an NSH header or a label is seen after another round.

    As with debug_recirc, what follows runs then.
    """
    commit(ctx)
    packet_type = _PACKET_TYPE.get(ctx.flow)
    again = False
    if packet_type == PT_ETHERNET:
        _decap_ethernet(ctx)
    elif packet_type == PT_NSH:
        again = _decap_nsh(ctx)
    elif packet_type in _ENCAPS:
        again = _decap_mpls(ctx, action)
    else:
        _unsupported(ctx, "decap()")
    if ctx.failed() or not again:
        return False
    ctx.trigger_freeze()
    freeze_unroll(ctx, rest)
    return True


def _decap_ethernet(ctx: Context) -> None:
    if VLANS[0][0].get(ctx.flow) & VLAN_PRESENT:
        ctx.fail("cannot decap Ethernet if VLAN is present")
        return
    ctx.flow = _PACKET_TYPE.put(ctx.flow & ~_MACS, PT_ETHERTYPE | _DL_TYPE.get(ctx.flow))


def _decap_nsh(ctx: Context) -> bool:
    packet_type = NEXT_TYPES.get(_NP.get(ctx.flow))
    if packet_type is None:
        ctx.fail(f"NSH next protocol {_NP.get(ctx.flow)} is not supported")
        return False
    ctx.flow = _PACKET_TYPE.put(ctx.flow, packet_type)
    ctx.look(_NP.mask)
    ctx.pending = Pending(decap=True)
    return True


def _decap_mpls(ctx: Context, action: of.Decap) -> bool:
    ctx.flow = _PACKET_TYPE.put(ctx.flow, action.packet_type)
    count = count_labels(ctx)
    if pop_label(ctx, count, action.packet_type & 0xFFFF or ETH_TEB):
        ctx.pending = Pending(decap=True)
        return count == 1
    if count >= MAX_MPLS_LABELS:
        ctx.fail("too many MPLS labels")
    return False


def dec_nsh_ttl(ctx: Context, _action: of.DecNshTtl, _last: bool, _rest: Rest) -> bool:
    """dec_nsh_ttl: at 1 or 0 the packet goes to the controller and the list ends."""
    if _PACKET_TYPE.get(ctx.flow) == PT_NSH or _DL_TYPE.get(ctx.flow) == ETH_NSH:
        ctx.look(_TTL.mask)
        if _TTL.get(ctx.flow) > 1:
            ctx.flow -= 1 << _TTL.shift
            return False
        send_to_controller(ctx, 65535, "invalid_ttl", 0)
    ctx.note(StepKind.NOTE, "NSH decrement TTL exception")
    return True
