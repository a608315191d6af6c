"""What a match must say before a field may be named, and what actions may not do under a match.

Follows OVS lib/ofp-actions.c (``check_*``, ``ofpacts_verify``), lib/meta-flow.c
(``mf_are_prereqs_ok``) and lib/nx-match.c (``nx_put_raw``, which leaves out what it cannot say).
The OpenFlow error that a switch would send stands in brackets in the text of each InputError.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final

from ovsct.errors import InputError
from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import Action, Subfield
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
    Field,
    Prereq,
)

_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_IP: Final = (_IPV4, _IPV6)
_ARP: Final = (0x0806, 0x8035)
_MPLS: Final = (0x8847, 0x8848)

_CT_STATE = SLOTS["ct_state"]
_DL_TYPE = SLOTS["dl_type"]
_NW_PROTO = SLOTS["nw_proto"]
_NW_FRAG = SLOTS["nw_frag"]
_TP_SRC = SLOTS["tp_src"]
_TP_DST = SLOTS["tp_dst"]
_PACKET_TYPE = SLOTS["packet_type"]


def is_ct_valid(match: Match) -> bool:
    """Whether the match only lets packets through that conntrack knows (OVS flow.h is_ct_valid)."""
    state, mask = _CT_STATE.get(match.value), _CT_STATE.get(match.mask)
    if state & (CT_NEW | CT_EST | CT_REL | CT_RPL | CT_SNAT | CT_DNAT):
        return True
    return bool(state & CT_TRK and mask & CT_INV and not state & CT_INV)


@dataclass(slots=True)
class _Packet:
    """What is known of a packet of the flow while its actions are checked one after the other."""

    match: Match
    table: int
    dl_type: int
    nw_proto: int
    tags: list[bool]
    """For each VLAN tag, whether it is known to be there."""
    misfits: list[Action]
    """Actions that do not fit the packet, which OpenFlow 1.0 puts up with and later ones do not."""

    @classmethod
    def of(cls, match: Match, table: int) -> _Packet:
        tags = [
            bool(SLOTS[name].get(match.value) & VLAN_PRESENT)
            for name in ("vlan_tci", "vlan_tci1")
        ]
        return cls(match, table, _DL_TYPE.get(match.value), _NW_PROTO.get(match.value), tags, [])

    def copy(self) -> _Packet:
        """For nested actions: what they do to the packet ends with them, their misfits do not."""
        return replace(self, tags=list(self.tags))

    @property
    def ethernet(self) -> bool:
        return _PACKET_TYPE.get(self.match.value) == 0

    def is_l4(self, proto: int, families: tuple[int, ...] = _IP) -> bool:
        return self.dl_type in families and self.nw_proto == proto

    @property
    def later(self) -> bool:
        return bool(_NW_FRAG.get(self.match.value) & FRAG_LATER)

    def is_nd(self, *types: int) -> bool:
        return (
            self.is_l4(58, (_IPV6,))
            and _TP_DST.get(self.match.value) == 0
            and _TP_SRC.get(self.match.value) in types
        )


_MET: Final[dict[Prereq, Callable[[_Packet], bool]]] = {
    Prereq.NONE: lambda _: True,
    Prereq.ETHERNET: lambda p: p.ethernet,
    Prereq.VLAN: lambda p: p.ethernet and p.tags[0],
    Prereq.ARP: lambda p: p.dl_type in _ARP,
    Prereq.IPV4: lambda p: p.dl_type == _IPV4,
    Prereq.IPV6: lambda p: p.dl_type == _IPV6,
    Prereq.IP: lambda p: p.dl_type in _IP,
    Prereq.MPLS: lambda p: p.dl_type in _MPLS,
    Prereq.TCP: lambda p: p.is_l4(6) and not p.later,
    Prereq.UDP: lambda p: p.is_l4(17) and not p.later,
    Prereq.SCTP: lambda p: p.is_l4(132) and not p.later,
    Prereq.ICMPV4: lambda p: p.is_l4(1, (_IPV4,)),
    Prereq.ICMPV6: lambda p: p.is_l4(58, (_IPV6,)),
    Prereq.ND: lambda p: p.is_nd(135, 136),
    Prereq.ND_SOLICIT: lambda p: p.is_nd(135),
    Prereq.ND_ADVERT: lambda p: p.is_nd(136),
    Prereq.CT: lambda p: is_ct_valid(p.match),
    Prereq.CT_IPV4: lambda p: is_ct_valid(p.match),
    Prereq.CT_IPV6: lambda p: is_ct_valid(p.match),
}


def _refuse(action: Action, problem: str, error: str, hint: str | None = None) -> InputError:
    return InputError(f"{problem} ({error})", column=action.span[0] + 1, hint=hint)


def _need_prereq(action: Action, field: Field, packet: _Packet) -> None:
    if not _MET[field.prereq](packet):
        raise _refuse(
            action,
            f"{field.name} needs a match on {field.prereq}",
            "OFPBAC_MATCH_INCONSISTENT",
        )


def _source(action: Action, src: Subfield, packet: _Packet) -> None:
    _need_prereq(action, src.field, packet)


def _output(action: ofp.Output, _: _Packet) -> None:
    reserved = ofp.OFPP_IN_PORT <= action.port < ofp.OFPP_NONE
    if action.port >= ofp.OFPP_MAX and not reserved:
        raise _refuse(action, "nothing can be sent to this port", "OFPBAC_BAD_OUT_PORT")


def _enqueue(action: ofp.Enqueue, _: _Packet) -> None:
    if action.port >= ofp.OFPP_MAX and action.port not in (ofp.OFPP_IN_PORT, ofp.OFPP_LOCAL):
        raise _refuse(action, "this port has no queues", "OFPBAC_BAD_OUT_PORT")


def _is_ip(packet: _Packet) -> bool:
    return packet.dl_type in _IP


def _has_ports(packet: _Packet) -> bool:
    return _is_ip(packet) and packet.nw_proto in (6, 17, 132) and not packet.later


_OLDER_WORDS: Final[dict[str, Callable[[_Packet], bool]]] = {
    "mod_vlan_vid": lambda _: True,
    "mod_vlan_pcp": lambda _: True,
    "set_vlan_vid": lambda p: p.tags[0],
    "set_vlan_pcp": lambda p: p.tags[0],
    "mod_dl_src": lambda _: True,
    "mod_dl_dst": lambda _: True,
    "mod_nw_src": lambda p: p.dl_type == _IPV4,
    "mod_nw_dst": lambda p: p.dl_type == _IPV4,
    "mod_nw_tos": _is_ip,
    "mod_nw_ecn": _is_ip,
    "mod_nw_ttl": _is_ip,
    "mod_tp_src": _has_ports,
    "mod_tp_dst": _has_ports,
    "set_tunnel": lambda _: True,
    "set_tunnel64": lambda _: True,
}
"""What a packet must be for each of the older words that set a field to fit it."""


def _set_field(action: ofp.SetField, packet: _Packet) -> None:
    fits = _OLDER_WORDS.get(action.spelled)
    if fits is not None:  # the older words do nothing to a packet that they do not fit
        if not fits(packet):
            packet.misfits.append(action)
        if action.field.name in ("dl_vlan", "dl_vlan_pcp"):
            packet.tags[0] = True
        return
    _need_prereq(action, action.field, packet)
    if action.field.name == "vlan_vid" and not packet.tags[0]:
        raise _refuse(
            action,
            "vlan_vid needs a match on a VLAN tag",
            "OFPBAC_MATCH_INCONSISTENT",
            "push_vlan first, or write mod_vlan_vid",
        )
    if action.field.name == "vlan_tci":
        packet.tags[0] = bool(action.value & VLAN_PRESENT)


def _move(action: ofp.Move, packet: _Packet) -> None:
    _need_prereq(action, action.src.field, packet)
    _need_prereq(action, action.dst.field, packet)


def _push_vlan(action: ofp.PushVlan, packet: _Packet) -> None:
    if packet.tags[-1]:
        raise _refuse(action, "there is room for two VLAN tags only", "OFPBAC_BAD_TAG")
    packet.tags = [True, *packet.tags[:-1]]


def _dec_ttl(action: ofp.DecTtl, packet: _Packet) -> None:
    if not _is_ip(packet):
        packet.misfits.append(action)


def _mpls_ttl(action: ofp.SetMplsTtl | ofp.DecMplsTtl, packet: _Packet) -> None:
    if packet.dl_type not in _MPLS:
        packet.misfits.append(action)


def _strip_vlan(action: ofp.StripVlan, packet: _Packet) -> None:
    if not packet.tags[0]:
        packet.misfits.append(action)
    packet.tags = [*packet.tags[1:], False]


def _push_mpls(action: ofp.PushMpls, packet: _Packet) -> None:
    if not packet.ethernet:
        packet.misfits.append(action)
    packet.dl_type = action.ethertype
    packet.nw_proto = 0


def _pop_mpls(action: ofp.PopMpls, packet: _Packet) -> None:
    if not packet.ethernet or packet.dl_type not in _MPLS:
        packet.misfits.append(action)
    packet.dl_type = action.ethertype


def _resubmit(action: ofp.Resubmit, packet: _Packet) -> None:
    if action.with_ct and not is_ct_valid(packet.match):
        raise _refuse(
            action,
            "resubmit with ct needs a match on tracked packets, such as ct_state=+trk+est",
            "OFPBAC_MATCH_INCONSISTENT",
        )


def _ct(action: ofp.Ct, packet: _Packet) -> None:
    inconsistent = "OFPBAC_MATCH_INCONSISTENT"
    if packet.dl_type not in _IP:
        raise _refuse(
            action, "ct needs a match on IPv4 or IPv6", inconsistent, "add ip or ipv6 to the match"
        )
    if action.commit and _CT_STATE.get(packet.match.value) & CT_INV:
        raise _refuse(action, "ct cannot commit what ct_state=+inv matches", inconsistent)
    if action.alg == "ftp" and packet.nw_proto != 6:
        raise _refuse(action, "alg=ftp needs a match on tcp", inconsistent)
    if action.alg == "tftp" and packet.nw_proto != 17:
        raise _refuse(action, "alg=tftp needs a match on udp", inconsistent)
    if isinstance(action.zone, Subfield):
        # OVS returns here: with a zone from a field, what is nested is not checked.
        _source(action, action.zone, packet)
        return
    wanted = {4: _IPV4, 6: _IPV6}
    if action.nat and action.nat.family and wanted[action.nat.family] != packet.dl_type:
        raise _refuse(
            action, f"nat to an IPv{action.nat.family} address needs a match on it", inconsistent
        )
    _each(action.exec, packet.copy())


def _meter(action: ofp.Meter, _: _Packet) -> None:
    if not 0 < action.meter_id <= 0xFFFF0000:
        raise _refuse(action, "there is no such meter", "OFPMMFC_INVALID_METER")


def _goto_table(action: ofp.GotoTable, packet: _Packet) -> None:
    if not packet.table < action.table < 255:
        raise _refuse(
            action,
            f"goto_table in table {packet.table} can only go to a later table",
            "OFPBIC_BAD_TABLE_ID",
            "resubmit(,TABLE) can go anywhere",
        )


def _clone(action: ofp.Clone, packet: _Packet) -> None:
    _each(action.actions, packet.copy())


def _write_actions(action: ofp.WriteActions, packet: _Packet) -> None:
    # What an action set finds when it runs is not known here, so misfits in it do not count.
    _each(action.actions, replace(packet, tags=list(packet.tags), misfits=[]))


_CHECKS: Final[dict[type[Action], Callable[[Any, _Packet], None]]] = {
    ofp.Output: _output,
    ofp.OutputField: lambda a, p: _source(a, a.src, p),
    ofp.Enqueue: _enqueue,
    ofp.SetField: _set_field,
    ofp.Move: _move,
    ofp.StackPush: lambda a, p: _source(a, a.src, p),
    ofp.StackPop: lambda a, p: _source(a, a.dst, p),
    ofp.PushVlan: _push_vlan,
    ofp.StripVlan: _strip_vlan,
    ofp.DecTtl: _dec_ttl,
    ofp.SetMplsTtl: _mpls_ttl,
    ofp.DecMplsTtl: _mpls_ttl,
    ofp.PushMpls: _push_mpls,
    ofp.PopMpls: _pop_mpls,
    ofp.Resubmit: _resubmit,
    ofp.Ct: _ct,
    ofp.Clone: _clone,
    ofp.WriteActions: _write_actions,
    ofp.Meter: _meter,
    ofp.GotoTable: _goto_table,
}
"""The actions that a match may forbid; every other is fine anywhere."""


def _each(actions: tuple[Action, ...], packet: _Packet) -> None:
    for action in actions:
        check = _CHECKS.get(type(action))
        if check is not None:
            check(action, packet)


# Order and nesting ----------------------------------------------------------------------------

_APPLY: Final = 1
_INSTRUCTIONS: Final[dict[type[Action], int]] = {
    ofp.Meter: 0,
    ofp.ClearActions: 2,
    ofp.WriteActions: 3,
    ofp.WriteMetadata: 4,
    ofp.GotoTable: 5,
}
"""The order of instructions; everything else is an action, at `_APPLY`."""

_INSTRUCTION_NAMES: Final = (
    "meter", "actions", "clear_actions", "write_actions", "write_metadata", "goto_table",
)  # fmt: skip
_CT_FIELDS: Final = ("ct_mark", "ct_label")


def _destination(action: Action) -> Field | None:
    match action:
        case ofp.SetField():
            return action.field
        case ofp.Move() | ofp.StackPop() | ofp.CheckPktLarger():
            return action.dst.field
        case _:
            return None


def _verify_nested(action: Action, outer: str | None) -> None:
    field = _destination(action)
    if field is not None and field.name in _CT_FIELDS and outer != "ct":
        raise _refuse(
            action,
            f"{field.name} is written inside ct(commit,exec(...)) only",
            "OFPBAC_BAD_SET_ARGUMENT",
        )
    # mod_* and set_tunnel are no set_field to OVS, and none of them writes a conntrack field.
    if outer == "ct" and (field is None or field.name not in _CT_FIELDS):
        raise _refuse(
            action, "exec of ct can only write ct_mark and ct_label", "OFPBAC_BAD_ARGUMENT"
        )
    if outer is not None and isinstance(action, ofp.Meter):
        raise _refuse(action, f"meter cannot stand inside {outer}", "OFPBAC_BAD_ARGUMENT")


def verify(actions: tuple[Action, ...], outer: str | None = None) -> None:
    """Raise InputError if these actions cannot stand in this order, or inside `outer`.

    `outer` is ``ct``, ``clone``, ``write_actions`` or None. Source: OVS ofpacts_verify.
    """
    before = 0
    for index, action in enumerate(actions):
        if isinstance(action, ofp.Conjunction):
            _verify_conjunction(actions)
            return
        _verify_nested(action, outer)
        rank = _INSTRUCTIONS.get(type(action), _APPLY)
        if outer is not None and rank > _APPLY:
            raise _refuse(
                action,
                f"{_INSTRUCTION_NAMES[rank]} cannot stand inside {outer}",
                "OFPBIC_UNSUP_INST",
            )
        if index and (rank < before or (rank == before and rank != _APPLY)):
            problem = (
                f"{_INSTRUCTION_NAMES[rank]} stands here twice"
                if rank == before
                else f"{_INSTRUCTION_NAMES[rank]} must stand before {_INSTRUCTION_NAMES[before]}"
            )
            raise _refuse(action, problem, "OFPBAC_UNSUPPORTED_ORDER")
        before = rank
        match action:
            case ofp.Clone():
                verify(action.actions, "clone")
            case ofp.WriteActions():
                verify(action.actions, "write_actions")
            case ofp.Ct():
                verify(action.exec, "ct")
            case _:
                pass


def _verify_conjunction(actions: tuple[Action, ...]) -> None:
    for action in actions:
        if not isinstance(action, ofp.Conjunction | ofp.Note):
            raise _refuse(
                action, "beside conjunction only note may stand", "NXBAC_BAD_CONJUNCTION"
            )


def _newer_than_1_0(actions: tuple[Action, ...]) -> str | None:
    """The name of something here that OpenFlow 1.0 does not have, if there is any."""
    for action in actions:
        match action:
            case ofp.PushVlan():
                return "push_vlan"
            case ofp.Meter():
                return "meter"
            case ofp.Clone() | ofp.WriteActions():
                nested = _newer_than_1_0(action.actions)
                if nested:
                    return nested
            case _:
                pass
    return None


_NEWER_FLAGS: Final = ("reset_counts", "no_packet_counts", "no_byte_counts")


def check_actions(
    actions: tuple[Action, ...],
    match: Match,
    table: int,
    flags: Collection[str] = frozenset(),
) -> None:
    """Raise InputError if a switch would refuse these actions under this match in this table.

    `flags` are those of the flow: some need a version of OpenFlow that is strict about actions
    that do not fit the match.
    """
    verify(actions)
    packet = _Packet.of(match, table)
    _each(actions, packet)
    if packet.misfits:
        newer = _newer_than_1_0(actions) or next((f for f in _NEWER_FLAGS if f in flags), None)
        if newer:
            raise _refuse(
                packet.misfits[0],
                f"this does not fit the match, which {newer} does not allow",
                "OFPBAC_MATCH_INCONSISTENT",
            )


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

_CONDITIONAL: Final = (
    _L3 | _L3_ANY | _PROTO | _PORTS | _L3_V6 | _ARP_ADDRESSES | _ND_FIELDS | _TCP_FLAGS | _LABELS
)
"""The fields that a message can only say after others."""


def _sayable(packet: _Packet) -> int:
    """The conditional fields that an OpenFlow message says for such packets (nx_put_raw)."""
    bits = 0
    if packet.dl_type in _MPLS:
        bits |= _LABELS
    if packet.dl_type in _ARP:
        bits |= _PROTO | _L3 | _ARP_ADDRESSES
    if packet.dl_type in _IP:
        bits |= _L3_ANY | _PROTO | (_L3 if packet.dl_type == _IPV4 else _L3_V6)
        if packet.nw_proto == 6:
            bits |= _PORTS | _TCP_FLAGS
        elif packet.nw_proto in (17, 132, 1 if packet.dl_type == _IPV4 else 58):
            bits |= _PORTS
        if packet.is_nd(135, 136):
            bits |= _ND_FIELDS
            bits |= _mask("nd_sll") if packet.is_nd(135) else _mask("nd_tll")
    return bits


def normalize(match: Match) -> tuple[Match, tuple[str, ...]]:
    """The match as a switch gets it, and a warning for each field that is lost on the way there.

    A field whose prerequisite the match does not state is left out of the message, so that such a
    flow matches more than it says: ``tp_dst=80`` without ``tcp`` matches everything. A conntrack
    field without its own is refused, and so is ipv6_label on IPv4. Raises InputError.
    """
    value, mask = match.value, match.mask
    if not mask & (_CONDITIONAL | CT_TUPLE_MASK):
        return match, ()
    lost = mask & _CONDITIONAL & ~_sayable(_Packet.of(match, 0))
    if lost & _LABEL and _DL_TYPE.get(value) == _IPV4:
        raise _refuse_field(match, "ipv6_label", "ipv6 (OFPBMC_BAD_PREREQ)")
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
    dl_type = _DL_TYPE.get(match.value)
    for name, wanted in (
        ("ct_nw_proto", 0), ("ct_tp_src", 0), ("ct_tp_dst", 0),
        ("ct_nw_src", _IPV4), ("ct_nw_dst", _IPV4),
        ("ct_ipv6_src", _IPV6), ("ct_ipv6_dst", _IPV6),
    ):  # fmt: skip
        bits = FIELDS[name].mask & match.mask & ~lost
        if not bits:
            continue
        if not is_ct_valid(match):
            needs = "tracked packets, such as ct_state=+trk+est (OFPBMC_BAD_PREREQ)"
            raise _refuse_field(match, name, needs)
        if wanted and dl_type != wanted:
            family = "ip" if wanted == _IPV4 else "ipv6"
            raise _refuse_field(match, name, f"{family} (OFPBAC_MATCH_INCONSISTENT)")
    return lost


def _refuse_field(match: Match, name: str, needs: str) -> InputError:
    spans = match.spans_of(FIELDS[name].mask)
    return InputError(
        f"{name} needs a match on {needs}",
        column=spans[0][0] + 1 if spans else None,
        token=name,
    )
