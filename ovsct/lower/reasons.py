"""Why a megaflow is not lowered, and what is lost when one is: two closed lists.

A page of docs/refusals.md explains each member. The words in quotation marks are what
ovs-vswitchd 3.1 logs (at debug level, rate-limited) when it refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ovsct.bridge.odp import OdpAction
from ovsct.errors import OvsctError


class Reason(StrEnum):
    """Why TC cannot hold a megaflow. Closed."""

    # The match.
    PKT_MARK = "pkt-mark"
    """It matches on pkt_mark: "offloading attribute pkt_mark isn't supported"."""
    DP_HASH = "dp-hash"
    """It matches on dp_hash (a select group, a bond): "offloading attribute dp_hash ..."."""
    SKB_PRIORITY = "skb-priority"
    """It matches on skb_priority: "offloading attribute skb_priority ..."."""
    PACKET_TYPE = "packet-type"
    """The packet has no Ethernet header: "offloading attribute packet_type ..."."""
    NON_ETHERNET = "non-ethernet"
    """An 802.2 frame without an Ethernet type: "offloading of non-ethernet packets ..."."""
    MPLS_DEPTH = "mpls-depth"
    """It matches on a second MPLS label: "offloading multiple mpls_lses ..."."""
    IGMP = "igmp"
    """It matches on the type or code of IGMP: "offloading attribute igmp_type ..."."""
    IPV6_FRAGMENT = "ipv6-fragment"
    """It is for IPv6 fragments: "offloading of IPv6 fragments ..."."""
    VLAN_PARTIAL = "vlan-partial"
    """It matches on a part of a VLAN id or priority, or only on there being a tag. Not logged."""
    CT_STATE = "ct-state"
    """It matches on snat or dnat in ct_state, or on a bit that the kernel's flower lacks."""
    CT_TUPLE = "ct-tuple"
    """It matches on the original tuple (ct_nw_src ...): "unknown attribute"."""
    ND = "nd"
    """It matches on fields of neighbour discovery: "unknown attribute"."""
    IPV6_LABEL = "ipv6-label"
    """It matches on the IPv6 flow label: "unknown attribute"."""
    NSH = "nsh"
    """It matches on fields of an NSH header: "unknown attribute"."""
    OTHER_MATCH = "other-match"
    """It matches on something else for which flower has no key: "unknown attribute"."""
    TUNNEL = "tunnel"
    """It came out of a tunnel. OVS lowers that; tunnels are not modelled in TC here."""
    CHAIN = "chain"
    """Its recirculation id, or one it recirculates to, is no chain number: over 28 bits."""

    # The actions.
    USERSPACE = "userspace"
    """vswitchd handles the packet: controller, slow path: "unsupported put action type"."""
    CLONE = "clone"
    """It works on a copy: "unsupported put action type"."""
    ENCAP = "encap"
    """It puts a header before the packet or takes one off: "unsupported put action type"."""
    HASH = "hash"
    """It computes dp_hash, for a select group: "unsupported put action type"."""
    TRUNC = "trunc"
    """It cuts the packet for one output: "unsupported put action type"."""
    METER = "meter"
    """It polices by a meter for which OVS has made no policer: one without a band."""
    SET_FIELD = "set-field"
    """It writes a header field that OVS cannot lower: "unsupported set action type"."""
    REWRITE_PROTO = "rewrite-proto"
    """It rewrites IP for a protocol whose checksum TC cannot mend: "can't offload rewrite"."""
    CT_HELPER = "ct-helper"
    """It attaches a conntrack helper (ct(alg=...)). Not logged."""
    ACTION_COUNT = "action-count"
    """It has more than 16 actions: "Can only support 16 actions"."""
    OUTPUT_PORT = "output-port"
    """It sends to a port that TC does not know: "Can't find netdev for output port"."""

    # The kernel.
    RECIRC_SHARING = "recirc-sharing"
    """The kernel lacks NET_TC_SKB_EXT: "flow_put: recirc_id sharing not supported"."""
    NO_CONNTRACK = "no-conntrack"
    """The kernel's flower knows no conntrack, or TC has no ct action."""
    PRIORITIES = "priorities"
    """All priorities of TC are taken: "couldn't get tc prio"."""
    KERNEL = "kernel"
    """The kernel refuses the filter; OVS logs that as an error."""


class Ignored(StrEnum):
    """What OVS leaves out of a filter without a word. Closed."""

    CT_TIMEOUT = "ct-timeout"
    """The timeout policy of a zone: connections that TC tracks have the kernel's own timeouts."""
    CT_EVENTMASK = "ct-eventmask"
    """Which events of a connection are told: of what TC commits all are."""
    NAT_PERSISTENT = "nat-persistent"
    """nat(persistent): another connection of the same source may get another address."""
    NAT_HASH = "nat-hash"
    """nat(hash): ports are chosen as by default."""
    NAT_RANDOM = "nat-random"
    """nat(random): ports are chosen as by default."""
    PROTO_ZERO = "proto-zero"
    """A match on IP protocol 0, which is sent as no match on the protocol at all."""
    MPLS_BEHIND_VLAN = "mpls-behind-vlan"
    """A match on an MPLS label behind a VLAN tag, which is not sent."""
    AFTER_RECIRC = "after-recirc"
    """Actions behind a recirculation: ``goto chain`` takes the packet, and they never run."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A megaflow that TC does not get: why, which `bits` of its mask (key layout, 0 if none) and
    which of its actions are in the way, and in words.
    """

    reason: Reason
    bits: int = 0
    action: OdpAction | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something of a megaflow that its filter does not have."""

    ignored: Ignored
    detail: str = ""


class RefusedError(OvsctError):
    """Inside of this room: lowering ends here, with `refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"{refusal.reason}: {refusal.detail}")


def refuse(
    reason: Reason, detail: str, bits: int = 0, action: OdpAction | None = None
) -> RefusedError:
    """The exception to raise."""
    return RefusedError(Refusal(reason, bits, action, detail))
