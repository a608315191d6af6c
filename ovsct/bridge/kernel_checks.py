"""What the kernel's datapath asks of actions before it takes them.

Linux: net/openvswitch/flow_netlink.c, ``__ovs_nla_copy_actions()``. vswitchd does not know these
rules: a flow whose actions are refused (EINVAL) is not put, and the packet that went up for it,
sent back with the same actions, goes nowhere (``ovs_packet_cmd_execute()``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ovsct.bridge import odp
from ovsct.bridge.commit import mpls_labels
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_RARP, ETH_TEB, MPLS_TYPES

_TCI: Final = SLOTS["vlan_tci"]
_TYPE: Final = SLOTS["dl_type"]
_PACKET_TYPE: Final = SLOTS["packet_type"]

_UNDER_A_LABEL: Final = (ETH_IPV4, ETH_IPV6, ETH_ARP, ETH_RARP, *MPLS_TYPES)
"""Before what a label can be pushed: "packets that have a known tag order"."""


@dataclass(slots=True)
class _Packet:
    """What the kernel still knows of the packet at an action; `ethertype` 0: not even that."""

    ethernet: bool
    tagged: bool
    ethertype: int
    labels: int


def refuses(key: int, actions: Sequence[odp.OdpAction]) -> bool:
    """Whether the kernel refuses `actions` for a packet whose key, as the kernel sees it, is `key`.

    Of all its rules those about Ethernet headers, tags and labels: a label is pushed and popped
    only where there is no tag, and set only where there is one. What NSH headers say is not looked
    at.
    """
    at = _Packet(
        ethernet=not _PACKET_TYPE.get(key),
        tagged=bool(_TCI.get(key)),
        ethertype=_TYPE.get(key),
        labels=len(mpls_labels(key)),
    )
    return not _takes(at, actions)


def _takes(at: _Packet, actions: Sequence[odp.OdpAction]) -> bool:
    for action in actions:
        check = _CHECKS.get(type(action))
        if check is not None and not check(at, action):
            return False
    return True


def _push_vlan(at: _Packet, _action: odp.PushVlan) -> bool:
    at.tagged = True
    return at.ethernet


def _pop_vlan(at: _Packet, _action: odp.PopVlan) -> bool:
    at.tagged = False
    return at.ethernet


def _push_mpls(at: _Packet, action: odp.PushMpls) -> bool:
    taken = not at.tagged and at.ethertype in _UNDER_A_LABEL
    at.ethertype = action.ethertype
    at.labels += 1
    return taken


def _pop_mpls(at: _Packet, action: odp.PopMpls) -> bool:
    taken = not at.tagged and at.ethertype in MPLS_TYPES
    if action.ethertype == ETH_TEB and at.ethernet:
        return False
    at.labels -= 1
    known = at.labels and action.ethertype in MPLS_TYPES
    at.ethertype = action.ethertype if known else 0
    return taken


def _add_mpls(at: _Packet, action: odp.AddMpls) -> bool:
    at.labels = 1 if at.ethernet else at.labels + 1
    at.ethernet = False
    at.ethertype = action.ethertype
    return True


def _set(at: _Packet, action: odp.Set) -> bool:
    return action.attribute != "mpls" or at.ethertype in MPLS_TYPES


def _push_eth(at: _Packet, _action: odp.PushEth) -> bool:
    taken = not at.ethernet
    at.ethernet = True
    return taken


def _pop_eth(at: _Packet, _action: odp.PopEth) -> bool:
    taken = at.ethernet and not at.tagged
    at.ethernet = False
    return taken


def _push_nsh(at: _Packet, _action: odp.PushNsh) -> bool:
    at.ethernet = False
    return True


def _clone(at: _Packet, action: odp.Clone) -> bool:
    return _takes(replace(at), action.actions)


def _check_pkt_len(at: _Packet, action: odp.CheckPktLen) -> bool:
    return _takes(replace(at), action.greater) and _takes(replace(at), action.less_equal)


_CHECKS: Final[dict[type, Callable[[_Packet, Any], bool]]] = {
    odp.PushVlan: _push_vlan,
    odp.PopVlan: _pop_vlan,
    odp.PushMpls: _push_mpls,
    odp.PopMpls: _pop_mpls,
    odp.AddMpls: _add_mpls,
    odp.Set: _set,
    odp.PushEth: _push_eth,
    odp.PopEth: _pop_eth,
    odp.PushNsh: _push_nsh,
    odp.Clone: _clone,
    odp.CheckPktLen: _check_pkt_len,
}
