"""What the kernel's datapath makes of a flow of vswitchd's (net/openvswitch/flow_netlink.c).

The kernel looks behind two tags, whatever ``other_config:vlan-limit`` says; vswitchd reads the
packet by its own rules. On the way back a mask of nothing is skipped; where the kernel then
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
from ovsct.packet.packet import ETH_IPV6, METADATA_KEEP, PROTO_ICMPV6, Packet, parse

_CT_PROTO: Final = SLOTS["ct_nw_proto"]
_TYPE: Final = SLOTS["dl_type"]
_TCIS: Final = (SLOTS["vlan_tci"], SLOTS["vlan_tci1"])
_TPIDS: Final = (SLOTS["vlan_tpid"], SLOTS["vlan_tpid1"])
_IPV6_ICMP: Final = _TYPE.mask | SLOTS["nw_proto"].mask
_NEIGHBOURS: Final = ETH_IPV6 << _TYPE.shift | PROTO_ICMPV6 << SLOTS["nw_proto"].shift
_KIND: Final = 0xFF << SLOTS["tp_src"].shift
_ND: Final = sum(SLOTS[name].mask for name in ("nd_target", "arp_sha", "arp_tha"))
_INNER: Final = _TCIS[1].mask


def seen(packet: Packet, limit: int) -> int:
    """The key that vswitchd translates: it reads the packet anew, and takes from the kernel's key
    only what is not in the packet (OVS: ofproto/ofproto-dpif-upcall.c, ``recv_upcalls()``).
    """
    return packet.key & METADATA_KEEP | parse(packet.frame, 0, limit).key


def told(key: int, mask: int) -> int:
    """What vswitchd tells of a mask, for a packet whose key is `key`.

    Of neighbour discovery nothing, unless the ICMPv6 type is matched whole. (Without the mending of
    CVE-2023-5366, which Debian's 3.1.0 has, the code had to be as well.)
    """
    if not _CT_PROTO.get(key):
        mask &= ~CT_TUPLE_MASK
    if key & _IPV6_ICMP == _NEIGHBOURS and mask & _KIND != _KIND:
        mask &= ~_ND
    return mask


def kernel_mask(key: int, mask: int, limit: int) -> int:
    """The mask that the kernel keeps of one of vswitchd's, for a packet whose key is `key`."""
    mask = told(key, mask)
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
