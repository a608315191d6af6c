"""What a match must say before a field may be named.

Follows OVS lib/meta-flow.c (``mf_are_prereqs_ok``) and lib/nx-match.c (``nx_put_raw``, which leaves
out what it cannot say). The OpenFlow error that a switch would send stands in brackets in the text
of each InputError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow.actions import Action
from ovsct.openflow.match import Match
from ovsct.packet.fields import (
    CT_DNAT,
    CT_EST,
    CT_INV,
    CT_NEW,
    CT_REL,
    CT_RPL,
    CT_SNAT,
    CT_TRK,
    CT_TUPLE_MASK,
    FIELDS,
    FRAG_LATER,
    SLOTS,
    VLAN_PRESENT,
    Prereq,
)
from ovsct.packet.packet import DL_TYPE_NONE, ETH_NSH, PT_ETHERNET, PT_ETHERTYPE

ETH_IPV4: Final = 0x0800
ETH_IPV6: Final = 0x86DD
IP_TYPES: Final = (ETH_IPV4, ETH_IPV6)
ARP_TYPES: Final = (0x0806, 0x8035)
MPLS_TYPES: Final = (0x8847, 0x8848)

CT_STATE = SLOTS["ct_state"]
_DL_TYPE = SLOTS["dl_type"]
_NW_PROTO = SLOTS["nw_proto"]
_NW_FRAG = SLOTS["nw_frag"]
_TP_SRC = SLOTS["tp_src"]
_TP_DST = SLOTS["tp_dst"]
_PACKET_TYPE = SLOTS["packet_type"]
_TCI = SLOTS["vlan_tci"]
_VID: Final = 0x0FFF
_PCP: Final = 0xE000


def is_ct_valid(match: Match) -> bool:
    """Whether the match only lets packets through that conntrack knows (OVS flow.h is_ct_valid)."""
    state, mask = CT_STATE.get(match.value), CT_STATE.get(match.mask)
    if state & (CT_NEW | CT_EST | CT_REL | CT_RPL | CT_SNAT | CT_DNAT):
        return True
    return bool(state & CT_TRK and mask & CT_INV and not state & CT_INV)


@dataclass(slots=True)
class Packet:
    """What is known of a packet of the flow while its actions are checked one after the other."""

    match: Match
    table: int
    dl_type: int
    nw_proto: int
    tags: list[bool]
    """For each VLAN tag, whether it is known to be there."""
    misfits: list[Action]
    """Actions that do not fit the packet, which OpenFlow 1.0 puts up with and later ones do not."""
    packet_type: int = PT_ETHERNET
    in_set: bool = False
    """The actions stand in write_actions(), which OpenFlow 1.0 does not have."""

    @classmethod
    def of(cls, match: Match, table: int) -> Packet:
        tags = [
            bool(SLOTS[name].get(match.value) & VLAN_PRESENT)
            for name in ("vlan_tci", "vlan_tci1")
        ]
        packet_type = _PACKET_TYPE.get(match.value)
        dl_type = _DL_TYPE.get(match.value)
        if packet_type & PT_ETHERTYPE:
            dl_type = packet_type & 0xFFFF
        return cls(match, table, dl_type, _NW_PROTO.get(match.value), tags, [], packet_type)

    def copy(self) -> Packet:
        """For nested actions: what they do to the packet ends with them, their misfits do not."""
        return replace(self, tags=list(self.tags))

    @property
    def ethernet(self) -> bool:
        return self.packet_type == PT_ETHERNET

    @property
    def ethertype(self) -> int:
        """What its outermost header says comes behind it (OVS ``get_dl_type()``)."""
        if self.ethernet:
            return self.dl_type
        return self.packet_type & 0xFFFF if self.packet_type >> 16 == 1 else DL_TYPE_NONE

    def is_l4(self, proto: int, families: tuple[int, ...] = IP_TYPES) -> bool:
        return self.ethertype in families and self.nw_proto == proto

    @property
    def later(self) -> bool:
        return bool(_NW_FRAG.get(self.match.value) & FRAG_LATER)

    def is_nd(self, *types: int) -> bool:
        return (
            self.is_l4(58, (ETH_IPV6,))
            and _TP_DST.get(self.match.value) == 0
            and _TP_SRC.get(self.match.value) in types
        )


MET: Final[dict[Prereq, Callable[[Packet], bool]]] = {
    Prereq.NONE: lambda _: True,
    Prereq.ETHERNET: lambda p: p.ethernet,
    Prereq.VLAN: lambda p: p.ethernet and p.tags[0],
    Prereq.ARP: lambda p: p.ethertype in ARP_TYPES,
    Prereq.IPV4: lambda p: p.ethertype == ETH_IPV4,
    Prereq.IPV6: lambda p: p.ethertype == ETH_IPV6,
    Prereq.IP: lambda p: p.ethertype in IP_TYPES,
    Prereq.MPLS: lambda p: p.ethertype in MPLS_TYPES,
    Prereq.NSH: lambda p: p.ethertype == ETH_NSH,
    Prereq.TCP: lambda p: p.is_l4(6) and not p.later,
    Prereq.UDP: lambda p: p.is_l4(17) and not p.later,
    Prereq.SCTP: lambda p: p.is_l4(132) and not p.later,
    Prereq.ICMPV4: lambda p: p.is_l4(1, (ETH_IPV4,)),
    Prereq.ICMPV6: lambda p: p.is_l4(58, (ETH_IPV6,)),
    Prereq.ND: lambda p: p.is_nd(135, 136),
    Prereq.ND_SOLICIT: lambda p: p.is_nd(135),
    Prereq.ND_ADVERT: lambda p: p.is_nd(136),
    Prereq.CT: lambda p: is_ct_valid(p.match),
    Prereq.CT_IPV4: lambda p: is_ct_valid(p.match),
    Prereq.CT_IPV6: lambda p: is_ct_valid(p.match),
}


# The match itself -----------------------------------------------------------------------------


def _mask(*names: str) -> int:
    return sum(FIELDS[name].mask for name in names)


_L3: Final = _mask("ip_src", "ip_dst")
_L3_ANY: Final = _mask("nw_tos", "nw_ttl", "ip_frag")
_PROTO: Final = _mask("nw_proto")
_PORTS: Final = _mask("tcp_src", "tcp_dst")
_L3_V6: Final = _mask("ipv6_src", "ipv6_dst", "ipv6_label")
_LABEL: Final = _mask("ipv6_label")
_ARP_ADDRESSES: Final = _mask("arp_sha", "arp_tha")
_ND_FIELDS: Final = _mask("nd_target", "nd_reserved", "nd_options_type")
_TCP_FLAGS: Final = SLOTS["tcp_flags"].mask
_LABELS: Final = SLOTS["mpls_lse"].mask
_OF_FIRST: Final = ("tcp_src", "tcp_dst", "tcp_flags")

_NSH: Final = sum({field.mask for field in FIELDS.values() if field.prereq is Prereq.NSH})
"""Fields that a message says whatever stands before them, and a switch refuses then."""

_CONDITIONAL: Final = (
    _L3 | _L3_ANY | _PROTO | _PORTS | _L3_V6 | _ARP_ADDRESSES | _ND_FIELDS | _TCP_FLAGS | _LABELS
)
"""The fields that a message can only say after others."""


def _sayable(packet: Packet) -> int:
    """The conditional fields that an OpenFlow message says for such packets (nx_put_raw)."""
    bits = 0
    if packet.ethertype in MPLS_TYPES:
        bits |= _LABELS
    if packet.ethertype in ARP_TYPES:
        bits |= _PROTO | _L3 | _ARP_ADDRESSES
    if packet.ethertype in IP_TYPES:
        bits |= _L3_ANY | _PROTO | (_L3 if packet.ethertype == ETH_IPV4 else _L3_V6)
        if packet.nw_proto == 6:
            bits |= _PORTS | _TCP_FLAGS
        elif packet.nw_proto in (17, 132, 1 if packet.ethertype == ETH_IPV4 else 58):
            bits |= _PORTS
        if packet.is_nd(135, 136):
            bits |= _ND_FIELDS
            bits |= _mask("nd_sll") if packet.is_nd(135) else _mask("nd_tll")
    return bits


_OF_ETHERNET: Final = (Prereq.ETHERNET, Prereq.VLAN)
_ETHERNET: Final = sum(
    {field.mask for field in FIELDS.values() if field.prereq in _OF_ETHERNET}
)


def _check_priority(match: Match) -> None:
    """Raise InputError for a VLAN priority beside a VLAN id that has no bit for a tag."""
    value, mask = _TCI.get(match.value), _TCI.get(match.mask)
    if mask & _PCP and value & _VID and not value & VLAN_PRESENT:
        raise _refuse_field(match, "vlan_pcp", "a VLAN tag: dl_vlan (OFPBMC_BAD_PREREQ)")


def normalize(match: Match, oxm: bool = True) -> tuple[Match, tuple[str, ...]]:
    """The match as a switch gets it, and a warning for each field that is lost on the way there.

    `oxm` says whether in OXM, not in the form of OpenFlow 1.0, where a VLAN tag is one field.

    A field whose prerequisite the match does not state is left out of the message, so that such a
    flow matches more than it says: ``tp_dst=80`` without ``tcp`` matches everything. A conntrack
    field without its own is refused, and so is ipv6_label on IPv4. Raises InputError.
    """
    value, mask = match.value, match.mask
    if _PACKET_TYPE.get(value) and mask & _ETHERNET:
        field = next(f.name for f in FIELDS.values() if f.prereq in _OF_ETHERNET and f.mask & mask)
        raise _refuse_field(match, field, "Ethernet packets (OFPBMC_BAD_PREREQ)")
    if oxm:
        _check_priority(match)
    if not mask & (_CONDITIONAL | CT_TUPLE_MASK | _NSH):
        return match, ()
    packet = Packet.of(match, 0)
    lost = mask & _CONDITIONAL & ~_sayable(packet)
    if packet.later and packet.nw_proto in (6, 17, 132) and mask & ~lost & (_PORTS | _TCP_FLAGS):
        field = next(name for name in _OF_FIRST if FIELDS[name].mask & mask)
        raise _refuse_field(match, field, "packets that are no later fragments (OFPBMC_BAD_PREREQ)")
    if lost & _LABEL and _DL_TYPE.get(value) == ETH_IPV4:
        raise _refuse_field(match, "ipv6_label", "ipv6 (OFPBMC_BAD_PREREQ)")
    if mask & _NSH and packet.ethertype != ETH_NSH:
        field = next(f.name for f in FIELDS.values() if f.prereq is Prereq.NSH and f.mask & mask)
        raise _refuse_field(match, field, "NSH packets: dl_type=0x894f (OFPBMC_BAD_PREREQ)")
    if mask & CT_TUPLE_MASK:
        lost |= _check_ct_tuple(match)
    if not lost:
        return match, ()
    spans = tuple((bits & ~lost, span) for bits, span in match.spans)
    warnings = tuple(
        f"columns {span[0] + 1} to {span[1]}: a switch never gets this part of the match, since the"
        f" rest does not say what it needs (such as tcp or ip)"
        for bits, span in match.spans
        if bits & lost
    )
    return Match(value & ~lost, mask & ~lost, spans), warnings


def _check_ct_tuple(match: Match) -> int:
    """Bits of the original tuple that are lost; raises InputError for those that are refused."""
    lost = 0
    if not FIELDS["ct_nw_proto"].get(match.value):
        lost = _mask("ct_nw_proto", "ct_tp_src", "ct_tp_dst") & match.mask
    dl_type = Packet.of(match, 0).ethertype
    for name, wanted in (
        ("ct_nw_proto", 0), ("ct_tp_src", 0), ("ct_tp_dst", 0),
        ("ct_nw_src", ETH_IPV4), ("ct_nw_dst", ETH_IPV4),
        ("ct_ipv6_src", ETH_IPV6), ("ct_ipv6_dst", ETH_IPV6),
    ):  # fmt: skip
        bits = FIELDS[name].mask & match.mask & ~lost
        if not bits:
            continue
        if not is_ct_valid(match):
            needs = "tracked packets, such as ct_state=+trk+est (OFPBMC_BAD_PREREQ)"
            raise _refuse_field(match, name, needs)
        if wanted and dl_type != wanted:
            family = "ip" if wanted == ETH_IPV4 else "ipv6"
            raise _refuse_field(match, name, f"{family} (OFPBAC_MATCH_INCONSISTENT)")
    return lost


def _refuse_field(match: Match, name: str, needs: str) -> InputError:
    spans = match.spans_of(FIELDS[name].mask)
    return InputError(
        f"{name} needs a match on {needs}",
        column=spans[0][0] + 1 if spans else None,
        token=None if spans else name,  # what stands at the column, under whatever name
    )
