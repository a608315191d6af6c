"""What of a mask a datapath flow can say: the rest is lost on the way to the datapath.

OVS lib/odp-util.c ``odp_flow_key_from_flow__()`` writes an attribute only if the packet has what it
is about. When datapath flows are looked through, a bit that a translation looks at and that the
datapath flow cannot say makes it too wide (``flow_wildcards_has_extra()``): it is removed at every
change, and comes again with the next packet.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.fields import CT_TUPLE_MASK, SLOTS
from ovsct.packet.packet import ETH_IPV6, PROTO_ICMPV6

_DL_TYPE = SLOTS["dl_type"]
_PROTO = SLOTS["nw_proto"]
_CT_PROTO = SLOTS["ct_nw_proto"]
_TYPE = SLOTS["tp_src"]
_CODE = SLOTS["tp_dst"]
_ND: Final = sum(
    SLOTS[name].mask
    for name in ("nd_target", "nd_reserved", "nd_options_type", "arp_sha", "arp_tha")
)
_ND_TYPES: Final = (135, 136)


def sayable(key: int, mask: int) -> int:
    """The bits of a megaflow's mask that its datapath flow matches on as far as vswitchd knows."""
    if not _CT_PROTO.get(key):
        mask &= ~CT_TUPLE_MASK
    if _DL_TYPE.get(key) == ETH_IPV6 and mask & _ND and not _shows_nd(key, mask):
        mask &= ~_ND
    return mask


def _shows_nd(key: int, mask: int) -> bool:
    return (
        _PROTO.get(key) == PROTO_ICMPV6
        and _TYPE.get(key) in _ND_TYPES
        and _CODE.get(key) == 0
        and _TYPE.get(mask) & 0xFF == 0xFF
        and _CODE.get(mask) & 0xFF == 0xFF
    )
