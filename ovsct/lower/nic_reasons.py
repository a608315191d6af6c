"""Why a TC filter does not go into a NIC: one closed list.

Every member is a page of docs/hardware.md. The words in quotation marks are those of the driver
(mlx5) in its extended acknowledgement; the names of functions say where it checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NicReason(StrEnum):
    """Why hardware does not take a filter."""

    SKIP_HW = "skip-hw"
    """The filter says so itself."""
    KIND = "kind"
    """It is no flower filter: hardware takes matchall for policing alone."""
    CT_STATE_SET = "ct-state-set"
    """A ct_state bit is wanted set that hardware never sets: +rel, +inv (and +new before 6.3)."""
    CT_STATE_CLEAR = "ct-state-clear"
    """A ct_state bit is wanted clear, and hardware cannot match that."""
    CT_LABEL = "ct-label"
    """Hardware cannot match the label."""
    FRAGMENT = "fragment"
    """"Match on frag first/later is not supported"."""
    CVLAN = "cvlan"
    """A second tag is matched, and hardware sees one."""
    MPLS = "mpls"
    """MPLS is matched or changed; hardware has it over UDP only."""
    ARP = "arp"
    """A field of ARP is matched ("Unsupported key"); the Ethernet type alone can be."""
    ICMP = "icmp"
    """Type or code of ICMP is matched without a flex parser."""
    TTL = "ttl"
    """The TTL is matched without the capability."""
    CT = "ct"
    """"offload of ct action isn't available"."""
    HELPER = "helper"
    """The ct action has a helper: tcf_ct_offload_act_setup() refuses it."""
    MULTIPLE_CT = "multiple-ct"
    """"Multiple CT actions are not supported" (6.1)."""
    REWRITE_WITH_CT = "rewrite-with-ct"
    """"can't offload tuple modification with non-clear ct()" (6.1)."""
    REWRITE_TRACKED = "rewrite-tracked"
    """"can't offload tuple modification with ct matches and no ct(clear) action" (6.1)."""
    REWRITE_FIELD = "rewrite-field"
    """pedit changes bytes that hardware has no field for."""
    REWRITE_BITS = "rewrite-bits"
    """"rewrite of few sub-fields isn't supported": the bits changed are not side by side."""
    REWRITE_PROTOCOL = "rewrite-protocol"
    """"can't offload re-write of non TCP/UDP": the IP protocol must be matched."""
    CSUM_ALONE = "csum-alone"
    """"TC csum action is only offloaded with pedit"."""
    CSUM_HEADER = "csum-header"
    """"can't offload TC csum action for some header/s": others than IPv4, TCP and UDP."""
    VLAN_MODIFY = "vlan-modify"
    """A tag is changed without being matched, or its priority is changed."""
    POLICE = "police"
    """It polices; the meters of hardware are not modelled."""
    SKBEDIT = "skbedit"
    """skbedit sets what travels beside the packet; hardware has no such thing."""
    INGRESS = "ingress"
    """A packet is sent into the ingress of a port, as OVS does for an internal one. (The driver can
    do that for chain 0 alone, with metadata that is not modelled.)"""
    DEVICE = "device"
    """"devices are not on same switch HW, can't offload forwarding"."""
    OUTPUTS = "outputs"
    """More output ports than one rule can have."""
    MIRROR_SPLIT = "mirror-split"
    """"current firmware doesn't support split rule for port mirroring"."""
    NO_FORWARD = "no-forward"
    """"Rule must have at least one forward/drop action"."""
    FORWARD_DROP = "forward-drop"
    """"Rule cannot support forward+drop action"."""
    DROP_REWRITE = "drop-rewrite"
    """"Drop with modify header action is not supported"."""
    VERDICT = "verdict"
    """A verdict that hardware has no word for: continue, reclassify, jump."""
    CHAIN = "chain"
    """A chain number out of range."""
    PRIO = "prio"
    """A priority out of range."""


@dataclass(frozen=True, slots=True)
class NicRefusal:
    """A filter that hardware does not take: why, the bits of its match to blame, and in words."""

    reason: NicReason
    words: str
    bits: int = 0
