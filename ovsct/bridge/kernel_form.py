"""What the kernel's datapath makes of a flow of vswitchd's (net/openvswitch/flow_netlink.c).

The kernel looks behind two tags, whatever ``other_config:vlan-limit`` says, and vswitchd reads of
its keys what the limit leaves. On the way back a mask of nothing is skipped; where the kernel then
looks for the mask of a tag, it finds what was read there before, which is the value of the
innermost tag of the key, so that all bits that are set in that are matched
(``__parse_flow_nlattrs()``, ``encode_vlan_from_nlattrs()``). A second tag that vswitchd does not
see is matched whole (``ovs_nla_get_match()``, "Always match on tci").

Of an original tuple without a protocol, as that of an invalid packet is, vswitchd tells nothing,
so that the kernel does not match on it, whatever the mask says (OVS: lib/odp-util.c,
``odp_flow_key_from_flow__()``).
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.fields import CT_TUPLE_MASK, SLOTS
from ovsct.packet.kernel import VLAN_DEPTH
from ovsct.packet.packet import HEADER_MASK

_CT_PROTO: Final = SLOTS["ct_nw_proto"]
_TYPE: Final = SLOTS["dl_type"]
_TCIS: Final = (SLOTS["vlan_tci"], SLOTS["vlan_tci1"])
_TPIDS: Final = (SLOTS["vlan_tpid"], SLOTS["vlan_tpid1"])
_INNER: Final = _TCIS[1].mask
_LINK: Final = SLOTS["dl_src"].mask | SLOTS["dl_dst"].mask
_TAGS: Final = (0, _TCIS[0].mask | _TPIDS[0].mask)
"""By limit, the slots of the tags that are seen."""


def seen(key: int, limit: int) -> int:
    """What vswitchd sees of a key of the kernel's, of whose tags it looks behind `limit`."""
    if limit >= VLAN_DEPTH or not _TCIS[limit].get(key):
        return key
    kept = key & (~HEADER_MASK | _LINK | _TAGS[limit])
    return kept | _TPIDS[limit].get(key) << _TYPE.shift


def kernel_mask(key: int, mask: int, limit: int) -> int:
    """The mask that the kernel keeps of one of vswitchd's, for a packet whose key is `key`."""
    if not _CT_PROTO.get(key):
        mask &= ~CT_TUPLE_MASK
    outer, inner = _TCIS[0].get(key), _TCIS[1].get(key)
    if not outer or not limit:
        return mask
    left = inner or outer
    if mask & _TCIS[0].mask:
        left = _TCIS[0].get(mask)
    else:
        mask |= left << _TCIS[0].shift
    if not inner:
        # "Always match on tci": that there is no second tag is matched too.
        return mask | _INNER
    if limit < VLAN_DEPTH:
        return mask & ~_TPIDS[1].mask | _INNER
    return mask if mask & _INNER else mask | left << _TCIS[1].shift
