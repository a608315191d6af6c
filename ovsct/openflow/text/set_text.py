"""Actions that set fields, text to objects (OVS lib/ofp-actions.c parse_SET_FIELD and its kin)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import Action
from ovsct.openflow.text.argument import (
    Reader,
    arrow,
    at_value,
    need_writable,
    read_number,
    whole_subfield,
    wrong,
)
from ovsct.openflow.text.lexer import Item
from ovsct.openflow.text.match_text import unknown_field
from ovsct.openflow.text.names import BY_NAME, BY_WIRE_NAME, whole_mask
from ovsct.openflow.text.values import integer, ipv4, mac, read_value
from ovsct.packet.fields import FIELDS, VLAN_PRESENT


def _set_field(reader: Reader, item: Item) -> Action:
    value_text, name, start = arrow(item)
    field = BY_NAME.get(name)
    if field is None:
        if "[" in name or name in BY_WIRE_NAME:
            raise InputError(
                "set_field takes a whole field by its OVS name",
                column=start + 1,
                token=name,
                hint="write load:VALUE->FIELD[bits] for bits of a field",
            )
        raise unknown_field(name, start)
    need_writable(field, start, name)
    try:
        value, mask = read_value(field, value_text, reader.ports)
    except InputError as error:
        raise at_value(error, item) from None
    if field.name == "nw_tos" and value & 3:
        raise wrong("the two low bits of nw_tos are not DSCP", item, "a multiple of 4")
    if field.name == "dl_vlan" and value > 0xFFF:
        raise wrong("there is no such VLAN", item, "0 to 4095")
    if value & ~mask:
        problem = "the value has bits that its mask leaves out (OFPBMC_BAD_WILDCARDS)"
        reader.late.append(wrong(problem, item))
    if field.name == "vlan_vid" and not value & VLAN_PRESENT:
        problem = "the tag's bit 0x1000 has to be set (OFPBAC_BAD_SET_ARGUMENT)"
        reader.late.append(wrong(problem, item))
    mask &= whole_mask(field)
    return ofp.SetField(field, value & mask, mask, span=item.span)


def _load(reader: Reader, item: Item) -> Action:
    value_text, name, start = arrow(item)
    dst = whole_subfield(name, start)
    need_writable(dst.field, start, name, reader.late)
    try:
        value = integer(value_text, (1 << dst.width) - 1, f"value of {dst.width} bits")
    except InputError as error:
        raise at_value(error, item) from None
    mask = (((1 << dst.width) - 1) << dst.low) & whole_mask(dst.field)
    return ofp.SetField(dst.field, (value << dst.low) & mask, mask, "load", span=item.span)


def _move(reader: Reader, item: Item) -> Action:
    before, name, start = arrow(item)
    src = whole_subfield(before, item.value_start)
    dst = whole_subfield(name, start)
    if src.width != dst.width:
        raise wrong(
            f"the source is {src.width} bits wide and the destination {dst.width}", item
        )
    need_writable(dst.field, start, name, reader.late)
    return ofp.Move(src, dst, span=item.span)


def _push(_: Reader, item: Item) -> Action:
    return ofp.StackPush(whole_subfield(item.value, item.value_start), span=item.span)


def _pop(reader: Reader, item: Item) -> Action:
    dst = whole_subfield(item.value, item.value_start)
    need_writable(dst.field, item.value_start, item.value, reader.late)
    return ofp.StackPop(dst, span=item.span)


def _modify(
    field_name: str,
    read: Callable[[Item], int],
    mask: int | None = None,
    spelled: str | None = None,
) -> Callable[[Reader, Item], Action]:
    """``mod_nw_src`` and its kin: a reader for the one value of one field."""
    field = FIELDS[field_name]

    def function(_: Reader, item: Item) -> Action:
        word = spelled or item.key.lower()
        within = field.ones if mask is None else mask
        return ofp.SetField(field, read(item), within, word, span=item.span)

    return function


def _up_to(limit: int, what: str) -> Callable[[Item], int]:
    return lambda item: read_number(item, limit, what)


def _by(read: Callable[[str], int]) -> Callable[[Item], int]:
    def function(item: Item) -> int:
        try:
            return read(item.value)
        except InputError as error:
            raise at_value(error, item) from None

    return function


def _dscp(item: Item) -> int:
    value = read_number(item, 0xFF, "type of service")
    if value & 3:
        raise wrong("the two low bits of a type of service are not DSCP", item, "multiple of 4")
    return value


def _set_tunnel(_: Reader, item: Item) -> Action:
    field = FIELDS["tun_id"]
    value = read_number(item, field.ones, "tunnel id")
    word = "set_tunnel64" if value >> 32 else item.key.lower()
    return ofp.SetField(field, value, field.ones, word, span=item.span)


SETTERS: Final[dict[str, Callable[[Reader, Item], Action]]] = {
    "set_field": _set_field,
    "load": _load,
    "move": _move,
    "push": _push,
    "pop": _pop,
    "mod_vlan_vid": _modify("dl_vlan", _up_to(0xFFF, "VLAN id")),
    "set_vlan_vid": _modify("dl_vlan", _up_to(0xFFF, "VLAN id")),
    "mod_vlan_pcp": _modify("dl_vlan_pcp", _up_to(7, "VLAN priority")),
    "set_vlan_pcp": _modify("dl_vlan_pcp", _up_to(7, "VLAN priority")),
    "mod_dl_src": _modify("eth_src", _by(mac)),
    "mod_dl_dst": _modify("eth_dst", _by(mac)),
    "mod_nw_src": _modify("ip_src", _by(ipv4)),
    "mod_nw_dst": _modify("ip_dst", _by(ipv4)),
    "mod_nw_tos": _modify("nw_tos", _dscp, 0xFC),
    "mod_nw_ecn": _modify("nw_ecn", _up_to(3, "ECN value")),
    "mod_nw_ttl": _modify("nw_ttl", _up_to(0xFF, "time to live")),
    "set_nw_ttl": _modify("nw_ttl", _up_to(0xFF, "time to live"), spelled="mod_nw_ttl"),
    "mod_tp_src": _modify("tcp_src", _up_to(0xFFFF, "port")),
    "mod_tp_dst": _modify("tcp_dst", _up_to(0xFFFF, "port")),
    "set_mpls_label": _modify("mpls_label", _up_to(0xFFFFF, "MPLS label")),
    "set_mpls_tc": _modify("mpls_tc", _up_to(7, "MPLS traffic class")),
    "set_tunnel": _set_tunnel,
    "set_tunnel64": _set_tunnel,
}
"""Readers of the actions that set fields, by their words."""
