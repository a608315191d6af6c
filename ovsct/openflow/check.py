"""What actions may not do: under the match of their flow, beside each other, inside each other.

Follows OVS lib/ofp-actions.c (``check_*``, ``ofpacts_verify``). The OpenFlow error that a switch
would send stands in brackets in the text of each InputError.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any, Final

from ovsct.errors import InputError
from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import Action, Subfield
from ovsct.openflow.flow import Flow
from ovsct.openflow.match import Match
from ovsct.openflow.prereq import (
    CT_STATE,
    ETH_IPV4,
    ETH_IPV6,
    IP_TYPES,
    MET,
    MPLS_TYPES,
    Packet,
    is_ct_valid,
)
from ovsct.packet.fields import CT_INV, PRESENT_BIT, VLAN_PRESENT, Field
from ovsct.packet.packet import ETH_NSH, PT_ETHERTYPE, PT_NSH

PT_UNKNOWN: Final = 0xFFFFFFFF
"""The packet type of what a decap() brings to light, as long as only flows are known."""


def _refuse(action: Action, problem: str, error: str, hint: str | None = None) -> InputError:
    return InputError(f"{problem} ({error})", column=action.span[0] + 1, hint=hint)


def _need_prereq(action: Action, field: Field, packet: Packet) -> None:
    if not MET[field.prereq](packet):
        raise _refuse(
            action,
            f"{field.name} needs a match on {field.prereq}",
            "OFPBAC_MATCH_INCONSISTENT",
        )


_UNSAYABLE: Final = frozenset({"dl_vlan", "dl_vlan_pcp", "skb_priority", "tun_ttl", "tun_tos"})
"""Fields without a number of their own in OpenFlow: a subfield of one cannot be said."""


def _subfield(action: Action, part: Subfield, packet: Packet) -> None:
    _need_prereq(action, part.field, packet)
    if part.field.name in _UNSAYABLE:
        raise _refuse(
            action,
            f"OpenFlow has no number for bits of {part.field.name}",
            "OFPBMC_BAD_FIELD",
            "write vlan_vid, vlan_pcp or vlan_tci" if "vlan" in part.field.name else None,
        )


def _output(action: ofp.Output, _: Packet) -> None:
    reserved = ofp.OFPP_IN_PORT <= action.port < ofp.OFPP_NONE
    if action.port >= ofp.OFPP_MAX and not reserved:
        raise _refuse(action, "nothing can be sent to this port", "OFPBAC_BAD_OUT_PORT")


def _enqueue(action: ofp.Enqueue, _: Packet) -> None:
    if action.port >= ofp.OFPP_MAX and action.port not in (ofp.OFPP_IN_PORT, ofp.OFPP_LOCAL):
        raise _refuse(action, "this port has no queues", "OFPBAC_BAD_OUT_PORT")


def _is_ip(packet: Packet) -> bool:
    return packet.ethertype in IP_TYPES


def _is_mpls(packet: Packet) -> bool:
    return packet.ethertype in MPLS_TYPES


def _has_ports(packet: Packet) -> bool:
    return _is_ip(packet) and packet.nw_proto in (6, 17, 132) and not packet.later


_OLDER_WORDS: Final[dict[str, Callable[[Packet], bool]]] = {
    "mod_vlan_vid": lambda _: True,
    "mod_vlan_pcp": lambda _: True,
    "set_vlan_vid": lambda p: p.tags[0],
    "set_vlan_pcp": lambda p: p.tags[0],
    "mod_dl_src": lambda _: True,
    "mod_dl_dst": lambda _: True,
    "mod_nw_src": lambda p: p.ethertype == ETH_IPV4,
    "mod_nw_dst": lambda p: p.ethertype == ETH_IPV4,
    "mod_nw_tos": _is_ip,
    "mod_tp_src": _has_ports,
    "mod_tp_dst": _has_ports,
    "set_mpls_label": _is_mpls,
    "set_mpls_tc": _is_mpls,
    "set_tunnel": lambda _: True,
    "set_tunnel64": lambda _: True,
}
"""What a packet must be for each of the older words that set a field to fit it."""


_NEVER_SET_FIELD: Final = frozenset({"mod_nw_ttl", "mod_tp_src", "mod_tp_dst"})
"""Older words that later versions of OpenFlow have as actions of their own."""


def _set_field(action: ofp.SetField, packet: Packet) -> None:
    fits = _OLDER_WORDS.get(action.spelled)
    if packet.in_set and action.spelled in _NEVER_SET_FIELD:
        return
    if fits is not None:  # the older words do nothing to a packet that they do not fit
        if not fits(packet):
            if packet.in_set:  # there it goes as a set_field
                problem = f"{action.spelled} needs a match on packets that have {action.field.name}"
                raise _refuse(action, problem, "OFPBAC_MATCH_INCONSISTENT")
            packet.misfits.append(action)
        if action.field.name in ("dl_vlan", "dl_vlan_pcp"):
            packet.tags[0] = True
        return
    # mod_nw_ecn and mod_nw_ttl are no actions of OpenFlow 1.0: there they go as a load.
    _need_prereq(action, action.field, packet)
    if action.field.name == "vlan_vid" and not packet.tags[0]:
        raise _refuse(
            action,
            "vlan_vid needs a match on a VLAN tag",
            "OFPBAC_MATCH_INCONSISTENT",
            "push_vlan first, or write mod_vlan_vid",
        )
    if action.field.name == "dl_vlan_pcp" and action.spelled == "set_field":
        hint = "write vlan_pcp, or mod_vlan_pcp"
        raise _refuse(action, "dl_vlan_pcp cannot be set", "OFPBAC_BAD_SET_LEN", hint)
    if action.field.name == "vlan_tci":
        packet.tags[0] = bool(action.value & VLAN_PRESENT)


def _move(action: ofp.Move, packet: Packet) -> None:
    _subfield(action, action.src, packet)
    _subfield(action, action.dst, packet)


def _push_vlan(action: ofp.PushVlan, packet: Packet) -> None:
    if packet.tags[-1]:
        raise _refuse(action, "there is room for two VLAN tags only", "OFPBAC_BAD_TAG")
    packet.tags = [True, *packet.tags[:-1]]


def _dec_ttl(action: ofp.DecTtl, packet: Packet) -> None:
    if not _is_ip(packet):
        packet.misfits.append(action)


def _mpls_ttl(action: ofp.SetMplsTtl | ofp.DecMplsTtl, packet: Packet) -> None:
    if packet.ethertype not in MPLS_TYPES:
        packet.misfits.append(action)


def _strip_vlan(action: ofp.StripVlan, packet: Packet) -> None:
    if not packet.tags[0]:
        packet.misfits.append(action)
    packet.tags = [*packet.tags[1:], False]


def _push_mpls(action: ofp.PushMpls, packet: Packet) -> None:
    if not packet.ethernet:
        packet.misfits.append(action)
    packet.dl_type = action.ethertype
    packet.nw_proto = 0


def _pop_mpls(action: ofp.PopMpls, packet: Packet) -> None:
    if not packet.ethernet or packet.ethertype not in MPLS_TYPES:
        packet.misfits.append(action)
    packet.dl_type = action.ethertype


def _encap(action: ofp.Encap, packet: Packet) -> None:
    packet.packet_type = action.packet_type
    if action.packet_type & PT_ETHERTYPE:
        packet.dl_type = action.packet_type & 0xFFFF
    if packet.ethertype not in IP_TYPES:
        packet.nw_proto = 0


def _decap(_: ofp.Decap, packet: Packet) -> None:
    if packet.ethernet:
        packet.packet_type = PT_ETHERTYPE | packet.dl_type
    else:  # what comes to light is not known
        packet.packet_type = PT_UNKNOWN
        packet.dl_type = 0xFFFF


def _dec_nsh_ttl(action: ofp.DecNshTtl, packet: Packet) -> None:
    if packet.packet_type != PT_NSH and packet.dl_type != ETH_NSH:
        packet.misfits.append(action)


def _resubmit(action: ofp.Resubmit, packet: Packet) -> None:
    if action.with_ct and not is_ct_valid(packet.match):
        raise _refuse(
            action,
            "resubmit with ct needs a match on tracked packets, such as ct_state=+trk+est",
            "OFPBAC_MATCH_INCONSISTENT",
        )


def _ct(action: ofp.Ct, packet: Packet) -> None:
    inconsistent = "OFPBAC_MATCH_INCONSISTENT"
    if packet.ethertype not in IP_TYPES:
        raise _refuse(
            action, "ct needs a match on IPv4 or IPv6", inconsistent, "add ip or ipv6 to the match"
        )
    if action.commit and CT_STATE.get(packet.match.value) & CT_INV:
        raise _refuse(action, "ct cannot commit what ct_state=+inv matches", inconsistent)
    if action.alg == "ftp" and packet.nw_proto != 6:
        raise _refuse(action, "alg=ftp needs a match on tcp", inconsistent)
    if action.alg == "tftp" and packet.nw_proto != 17:
        raise _refuse(action, "alg=tftp needs a match on udp", inconsistent)
    if isinstance(action.zone, Subfield):
        # OVS returns here: with a zone from a field, what is nested is not checked.
        _subfield(action, action.zone, packet)
        return
    family = (action.nat.family or action.nat.lost_family) if action.nat else 0
    if family and packet.ethertype != (ETH_IPV4 if family == 4 else ETH_IPV6):
        raise _refuse(
            action, f"nat to an IPv{family} address needs a match on it", inconsistent
        )
    _each(action.exec, packet.copy())


def _learn(action: ofp.Learn, packet: Packet) -> None:
    """Sources need what this flow matches, the learned match what it says itself before."""
    learned = Match()
    for spec in action.specs:
        if isinstance(spec.src, Subfield):
            _subfield(action, spec.src, packet)
        if spec.dst is None:
            continue
        _subfield(action, spec.dst, Packet.of(learned, action.table))
        if spec.becomes == "match" and isinstance(spec.src, int):
            mask = spec.dst.mask
            value = spec.src << spec.dst.shift & mask
            learned = Match(learned.value & ~mask | value, learned.mask | mask)


def _bundle(action: ofp.Bundle, packet: Packet) -> None:
    if action.dst is not None:
        _subfield(action, action.dst, packet)
    for member in action.members:
        known = ofp.OFPP_IN_PORT <= member <= ofp.OFPP_NONE and member != ofp.OFPP_CONTROLLER
        if member >= ofp.OFPP_MAX and not known:
            raise _refuse(action, "this port cannot be in a bundle", "OFPBAC_BAD_OUT_PORT")


def _fin_timeout(action: ofp.FinTimeout, packet: Packet) -> None:
    if packet.nw_proto != 6:
        packet.misfits.append(action)


def _meter(action: ofp.Meter, _: Packet) -> None:
    if not 0 < action.meter_id <= 0xFFFF0000:
        raise _refuse(action, "there is no such meter", "OFPMMFC_INVALID_METER")


def _delete_field(action: ofp.DeleteField, _: Packet) -> None:
    if action.field.name not in PRESENT_BIT:
        raise _refuse(
            action, "only Geneve options can be deleted", "OFPBAC_BAD_ARGUMENT",
            "tun_metadata0 to 63",
        )  # fmt: skip


def _goto_table(action: ofp.GotoTable, packet: Packet) -> None:
    if not packet.table < action.table < 255:
        raise _refuse(
            action,
            f"goto_table in table {packet.table} can only go to a later table",
            "OFPBIC_BAD_TABLE_ID",
            "resubmit(,TABLE) can go anywhere",
        )


def _clone(action: ofp.Clone, packet: Packet) -> None:
    _each(action.actions, packet.copy())


def _write_actions(action: ofp.WriteActions, packet: Packet) -> None:
    # What an action set finds when it runs is not known here, so misfits in it do not count.
    _each(
        action.actions, replace(packet, tags=list(packet.tags), misfits=[], in_set=True)
    )


_CHECKS: Final[dict[type[Action], Callable[[Any, Packet], None]]] = {
    ofp.Output: _output,
    ofp.OutputField: lambda a, p: _subfield(a, a.src, p),
    ofp.Enqueue: _enqueue,
    ofp.SetField: _set_field,
    ofp.Move: _move,
    ofp.StackPush: lambda a, p: _subfield(a, a.src, p),
    ofp.StackPop: lambda a, p: _subfield(a, a.dst, p),
    ofp.PushVlan: _push_vlan,
    ofp.StripVlan: _strip_vlan,
    ofp.DecTtl: _dec_ttl,
    ofp.SetMplsTtl: _mpls_ttl,
    ofp.DecMplsTtl: _mpls_ttl,
    ofp.PushMpls: _push_mpls,
    ofp.PopMpls: _pop_mpls,
    ofp.Encap: _encap,
    ofp.Decap: _decap,
    ofp.DecNshTtl: _dec_nsh_ttl,
    ofp.Resubmit: _resubmit,
    ofp.Ct: _ct,
    ofp.Clone: _clone,
    ofp.WriteActions: _write_actions,
    ofp.Learn: _learn,
    ofp.Multipath: lambda a, p: _subfield(a, a.dst, p),
    ofp.Bundle: _bundle,
    ofp.FinTimeout: _fin_timeout,
    ofp.Meter: _meter,
    ofp.DeleteField: _delete_field,
    ofp.GotoTable: _goto_table,
}
"""The actions that a match may forbid; every other is fine anywhere."""


def _each(actions: tuple[Action, ...], packet: Packet) -> None:
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
        case ofp.Move() | ofp.StackPop():
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

    `outer` is ``ct``, ``clone``, ``write_actions`` or None. Source: OVS ofpacts_verify, which sees
    what is nested before what it is nested in.
    """
    for action in actions:
        match action:
            case ofp.Clone():
                verify(action.actions, "clone")
            case ofp.WriteActions():
                verify(action.actions, "write_actions")
            case ofp.Ct():
                verify(action.exec, "ct")
            case _:
                pass
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


_NOT_IN_A_SET: Final = (
    ofp.OutputField, ofp.StackPush, ofp.StackPop, ofp.Clone, ofp.Note, ofp.Exit, ofp.Enqueue,
    ofp.PopQueue, ofp.CheckPktLarger, ofp.Conjunction, ofp.Learn, ofp.Multipath, ofp.Bundle,
    ofp.FinTimeout, ofp.Sample, ofp.DebugRecirc, ofp.DebugSlow, ofp.DeleteField,
)  # fmt: skip


def verify_sets(actions: tuple[Action, ...]) -> None:
    """Raise InputError for what no action set can hold, which only a switch sees."""
    for action in actions:
        if isinstance(action, ofp.WriteActions):
            for nested in action.actions:
                _verify_in_set(nested)


def _verify_in_set(action: Action) -> None:
    """OVS ofpacts_decode_for_action_set()."""
    special = (isinstance(action, ofp.Output) and action.max_len is not None) or (
        isinstance(action, ofp.Controller) and not action.plain
    )
    if special or isinstance(action, _NOT_IN_A_SET):
        raise _refuse(action, "an action set cannot hold this action", "OFPBAC_BAD_TYPE")


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
            case ofp.Encap():
                return "encap"
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
) -> bool:
    """Raise InputError if a switch would refuse these actions under this match in this table.

    `flags` are those of the flow: some need a version of OpenFlow that is strict about actions
    that do not fit the match. True if an action does not fit, so that only OpenFlow 1.0 can say it.
    """
    verify(actions)
    packet = Packet.of(match, table)
    _each(actions, packet)
    if packet.misfits:
        newer = _newer_than_1_0(actions) or next((f for f in _NEWER_FLAGS if f in flags), None)
        if newer:
            raise _refuse(
                packet.misfits[0],
                f"this does not fit the match, which {newer} does not allow",
                "OFPBAC_MATCH_INCONSISTENT",
            )
        if _says(actions, ofp.Decap, ofp.DecNshTtl):
            # ovs-ofctl says such a flow in OpenFlow 1.0, where there are no such actions.
            raise _refuse(
                packet.misfits[0],
                "this does not fit the match, which decap and dec_nsh_ttl do not allow",
                "OFPBAC_BAD_VENDOR_TYPE",
            )
    return bool(packet.misfits)


def _says(actions: tuple[Action, ...], *kinds: type[Action]) -> bool:
    return any(
        isinstance(action, kinds) or (
            isinstance(action, ofp.Clone | ofp.WriteActions) and _says(action.actions, *kinds)
        )
        for action in actions
    )


def check_references(flow: Flow, groups: Collection[int], meters: Collection[int]) -> None:
    """Raise InputError if a flow names a group or a meter that is not there.

    With file, line, column and token of the flow. (OVS lib/ofp-actions.c, ``ofpacts_check()``, and
    ofproto/ofproto.c, ``ofproto_check_ofpacts()``.)
    """
    for action in _flattened(flow.actions):
        if isinstance(action, ofp.Group) and action.group_id not in groups:
            problem = f"there is no group {action.group_id} (OFPBAC_BAD_OUT_GROUP)"
        elif isinstance(action, ofp.Meter) and action.meter_id not in meters:
            problem = f"there is no meter {action.meter_id} (OFPMMFC_INVALID_METER)"
        else:
            continue
        start, end = action.span
        raise InputError(
            problem, file=flow.file, line=flow.line, column=start + 1,
            token=flow.text[start:end] or None,
        )  # fmt: skip


def _flattened(actions: tuple[Action, ...]) -> Iterator[Action]:
    for action in actions:
        yield action
        if isinstance(action, ofp.Clone | ofp.WriteActions):
            yield from _flattened(action.actions)
