"""One action onto the wire: a function a class (OVS lib/ofp-actions.c, ``encode_*``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ovsct.openflow import actions as of
from ovsct.openflow.actions import Action, Subfield
from ovsct.openflow.text.names import bits_of, whole_mask
from ovsct.openflow.wire import learned
from ovsct.openflow.wire.action_in import (
    ALGS,
    CT_COMMIT,
    CT_FORCE,
    NAT_DST,
    NAT_HASH,
    NAT_PERSISTENT,
    NAT_RANDOM,
    NAT_RANGES,
    NAT_SRC,
    NO_TABLE,
    REASONS,
)
from ovsct.openflow.wire.buffer import pad8
from ovsct.openflow.wire.encap import put_encap
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import NX_VENDOR, OF10, OF15
from ovsct.openflow.wire.oxm import HEADS, port_to_wire, put_entry, put_header
from ovsct.packet.fields import FIELDS, PRESENT_BIT, VLAN_PRESENT, Field


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def _standard(kind: int, body: bytes) -> bytes:
    body = pad8(bytes(4) + body)[4:]
    return _number(kind, 2) + _number(len(body) + 4, 2) + body


def _nicira(kind: int, body: bytes = b"", least: int = 16) -> bytes:
    """`body` follows the subtype; zeros fill up to `least` bytes and a multiple of 8."""
    data = _number(NX_VENDOR, 4) + _number(kind, 2) + body
    data = pad8(bytes(4) + data)[4:].ljust(least - 4, b"\0")
    return _number(0xFFFF, 2) + _number(len(data) + 4, 2) + data


def _bits(part: Subfield) -> bytes:
    return _number(part.low << 6 | part.width - 1, 2)


# Output ----------------------------------------------------------------------------------------


def _send(port: int, max_len: int, version: int) -> bytes:
    if version == OF10:
        return _standard(0, _number(port, 2) + _number(max_len, 2))
    return _standard(0, _number(port_to_wire(port), 4) + _number(max_len, 2))


def _output(action: of.Output, version: int) -> bytes:
    if action.max_len is not None and action.port != of.OFPP_CONTROLLER:
        return _nicira(39, _number(action.port, 2) + _number(action.max_len, 4))
    return _send(action.port, action.max_len or action.miss_len, version)


def _output_field(action: of.OutputField, _version: int) -> bytes:
    max_len = _number(0xFFFF, 2)
    if HEADS[action.src.field.name, 0].vendor:
        return _nicira(32, _bits(action.src) + max_len + put_header(action.src.field, 0), 24)
    return _nicira(15, _bits(action.src) + put_header(action.src.field, 0) + max_len, 24)


def _property(kind: int, data: bytes) -> bytes:
    return pad8(_number(kind, 2) + _number(4 + len(data), 2) + data)


def _controller(action: of.Controller, version: int) -> bytes:
    if action == of.Controller(action.max_len):
        return _send(of.OFPP_CONTROLLER, action.max_len, version)
    if not (action.userdata or action.pause or action.meter_id):
        return _nicira(
            20,
            _number(action.max_len, 2)
            + _number(action.controller_id, 2)
            + _number(REASONS.index(action.reason), 1),
        )
    body = bytes(6)
    if action.max_len != 0xFFFF:
        body += _property(0, _number(action.max_len, 2) + bytes(2))
    if action.controller_id:
        body += _property(1, _number(action.controller_id, 2) + bytes(2))
    if action.reason != "action":
        body += _property(2, _number(REASONS.index(action.reason), 1))
    if action.userdata:
        body += _property(3, action.userdata)
    if action.pause:
        body += _property(4, b"")
    if action.meter_id:
        body += _property(5, _number(action.meter_id, 4))
    return _nicira(37, body)


def _enqueue(action: of.Enqueue, version: int) -> bytes:
    if version == OF10:
        return _standard(11, _number(action.port, 2) + bytes(6) + _number(action.queue, 4))
    # OVS says it with three actions.
    return (
        _standard(21, _number(action.queue, 4))
        + _send(action.port, 0xFFFF, version)
        + _nicira(5)
    )


def _set_queue(action: of.SetQueue, version: int) -> bytes:
    if version == OF10:
        return _nicira(4, bytes(2) + _number(action.queue, 4))
    return _standard(21, _number(action.queue, 4))


def _group(action: of.Group, version: int) -> bytes:
    if version == OF10:
        return _nicira(40, bytes(2) + _number(action.group_id, 4))
    return _standard(22, _number(action.group_id, 4))


# Fields ----------------------------------------------------------------------------------------

_OLD10: Final = {
    "mod_vlan_vid": (1, 2), "set_vlan_vid": (1, 2), "mod_vlan_pcp": (2, 1), "set_vlan_pcp": (2, 1),
    "mod_dl_src": (4, 6), "mod_dl_dst": (5, 6), "mod_nw_src": (6, 4), "mod_nw_dst": (7, 4),
    "mod_nw_tos": (8, 1), "mod_tp_src": (9, 2), "mod_tp_dst": (10, 2),
}  # fmt: skip
"""Number and bytes of the older words in OpenFlow 1.0."""

_NICIRA10: Final = {"set_mpls_label": (30, 2, 4), "set_mpls_tc": (31, 0, 1)}
"""The same of those that are Nicira's there, and the bytes before that align it."""

_LEGACY10: Final = {
    "vlan_vid": "mod_vlan_vid", "vlan_pcp": "mod_vlan_pcp", "eth_src": "mod_dl_src",
    "eth_dst": "mod_dl_dst", "ip_src": "mod_nw_src", "ip_dst": "mod_nw_dst",
    "nw_tos": "mod_nw_tos", "tcp_src": "mod_tp_src", "tcp_dst": "mod_tp_dst",
    "udp_src": "mod_tp_src", "udp_dst": "mod_tp_dst",
    "dl_vlan": "mod_vlan_vid", "dl_vlan_pcp": "mod_vlan_pcp",
}  # fmt: skip
"""The older word that says set_field of a field in OpenFlow 1.0."""

_AS_FIELD: Final = {
    "mod_vlan_vid": "vlan_vid", "set_vlan_vid": "vlan_vid", "mod_vlan_pcp": "vlan_pcp",
    "set_vlan_pcp": "vlan_pcp", "mod_dl_src": "eth_src", "mod_dl_dst": "eth_dst",
    "mod_nw_src": "ip_src", "mod_nw_dst": "ip_dst", "mod_nw_ecn": "nw_ecn",
    "set_mpls_label": "mpls_label", "set_mpls_tc": "mpls_tc",
}  # fmt: skip
"""The field that the older words set in OpenFlow 1.3, where they are set_field."""


def _set_field(action: of.SetField, version: int) -> bytes:
    word = action.spelled
    if version >= OF15 and word in ("load", "set_field"):
        return _entry15(action, version)
    if word == "load":
        return _loads(action.field, action.value, action.mask)
    if word in ("set_tunnel", "set_tunnel64"):
        if version != OF10:
            return _set(action.field, version, action.value)
        if word == "set_tunnel":
            return _nicira(2, bytes(2) + _number(action.value, 4))
        return _nicira(9, bytes(6) + _number(action.value, 8))
    if word == "set_field":
        return _entry10(action) if version == OF10 else _entry13(action, version)
    if version == OF10:
        if word in _OLD10:
            kind, size = _OLD10[word]
            return _standard(kind, _number(action.value, size))
        if word in _NICIRA10:
            kind, skip, size = _NICIRA10[word]
            return _nicira(kind, bytes(skip) + _number(action.value, size))
        return _loads(action.field, action.value, action.mask)  # mod_nw_ecn, mod_nw_ttl
    return _old13(action, version)


def _old13(action: of.SetField, version: int) -> bytes:
    word, value = action.spelled, action.value
    if word == "mod_nw_ttl":
        return _standard(23, _number(value, 1))
    if word in ("mod_tp_src", "mod_tp_dst"):
        # Without a protocol there is no field to set (see instructions.in_newer_words()).
        return _standard(9 if word == "mod_tp_src" else 10, _number(value, 2))
    if word == "mod_nw_tos":
        return _set(FIELDS["ip_dscp"], version, value >> 2)
    field = FIELDS[_AS_FIELD[word]]
    if field.name == "vlan_vid":
        value |= VLAN_PRESENT
    return _set(field, version, value)


def _set(field: Field, version: int, value: int) -> bytes:
    return _standard(25, put_entry(field, version, value))


def _entry13(action: of.SetField, version: int) -> bytes:
    field, value = action.field, action.value
    if action.mask != whole_mask(field):
        return _loads(field, value, action.mask)
    if field.name == "nw_tos":
        field, value = FIELDS["ip_dscp"], value >> 2
    elif field.name in ("dl_vlan", "dl_vlan_pcp"):
        value |= VLAN_PRESENT if field.name == "dl_vlan" else 0
        field = FIELDS["vlan_vid" if field.name == "dl_vlan" else "vlan_pcp"]
    return _set(field, version, value)


def _entry15(action: of.SetField, version: int) -> bytes:
    """OpenFlow 1.5 says all with a set_field, under a mask if need be."""
    field, value, mask = action.field, action.value, action.mask
    if field.name == "nw_tos":
        field, value, mask = FIELDS["ip_dscp"], value >> 2, mask >> 2
    elif field.name in ("dl_vlan", "dl_vlan_pcp"):
        present = VLAN_PRESENT if field.name == "dl_vlan" else 0
        field, value, mask = (
            FIELDS["vlan_vid" if present else "vlan_pcp"], value | present, mask | present,
        )  # fmt: skip
    whole = mask == whole_mask(field)
    return _standard(25, put_entry(field, version, value, None if whole else mask))


def _entry10(action: of.SetField) -> bytes:
    field = action.field
    if field.name == "ip_dscp":
        return _standard(8, _number(action.value << 2, 1))
    word = _LEGACY10.get(field.name)
    if word is None or action.mask != whole_mask(field):
        return _loads(field, action.value, action.mask)
    kind, size = _OLD10[word]
    value = action.value & 0xFFF if field.name == "vlan_vid" else action.value
    return _standard(kind, _number(value, size))


def _loads(field: Field, value: int, mask: int) -> bytes:
    """NXAST_REG_LOAD for each run of ones in the mask, 64 at most (OVS next_load_segment())."""
    if (field.name, 0) not in HEADS:
        raise WireError("OFPBAC_BAD_SET_TYPE", f"{field.name} has no number")
    if HEADS[field.name, 0].vendor or field.name in PRESENT_BIT:
        return _nicira(33, put_entry(field, 0, value, mask))
    if mask == whole_mask(field):
        # OVS has more bits of some fields, or fewer: setting one whole sets those that it has.
        mask = (1 << bits_of(field)) - 1
    data, low = b"", 0
    while mask >> low:
        low += ((mask >> low) & -(mask >> low)).bit_length() - 1
        rest = mask >> low
        width = min(((rest + 1) & ~rest).bit_length() - 1, 64)
        part = value >> low & ((1 << width) - 1)
        data += _nicira(
            7, _number(low << 6 | width - 1, 2) + put_header(field, 0) + _number(part, 8), 24
        )
        low += width
    return data


def _move(action: of.Move, version: int) -> bytes:
    src, dst = action.src, action.dst
    numbers = b"".join(_number(number, 2) for number in (dst.width, src.low, dst.low))
    if version >= OF15:
        heads = put_header(src.field, version) + put_header(dst.field, version)
        return _standard(28, numbers + bytes(2) + heads)
    return _nicira(6, numbers + put_header(src.field, 0) + put_header(dst.field, 0), 24)


def _stack(kind: int, part: Subfield) -> bytes:
    return _nicira(
        kind, _number(part.low, 2) + put_header(part.field, 0) + _number(part.width, 2), 24
    )


def _write_metadata(action: of.WriteMetadata, _version: int) -> bytes:
    return _nicira(22, bytes(6) + _number(action.value, 8) + _number(action.mask, 8))


def _check_pkt_larger(action: of.CheckPktLarger, _version: int) -> bytes:
    body = _number(action.length, 2) + _number(action.dst.low, 2)
    return _nicira(49, body + put_header(action.dst.field, 0), 24)


def _dec_ttl(action: of.DecTtl, version: int) -> bytes:
    if action.controllers == (0,):
        return _nicira(18) if version == OF10 else _standard(24, b"")
    ids = b"".join(_number(ident, 2) for ident in action.controllers)
    return _nicira(21, _number(len(action.controllers), 2) + bytes(4) + ids)


# Tables and conntrack --------------------------------------------------------------------------


def _resubmit(action: of.Resubmit, _version: int) -> bytes:
    port = of.OFPP_IN_PORT if action.port is None else action.port
    if action.table is None and not action.with_ct:
        return _nicira(1, _number(port, 2))
    table = NO_TABLE if action.table is None else action.table
    return _nicira(44 if action.with_ct else 14, _number(port, 2) + _number(table, 1))


def _conjunction(action: of.Conjunction, _version: int) -> bytes:
    clause = _number(action.clause - 1, 1) + _number(action.n_clauses, 1)
    return _nicira(34, clause + _number(action.conj_id, 4))


_ALG_PORTS: Final = {name: port for port, name in ALGS.items()}


def _ct(action: of.Ct, version: int) -> bytes:
    flags = (CT_COMMIT if action.commit else 0) | (CT_FORCE if action.force else 0)
    if isinstance(action.zone, Subfield):
        zone = put_header(action.zone.field, 0) + _bits(action.zone)
    else:
        zone = bytes(4) + _number(action.zone, 2)
    body = (
        _number(flags, 2)
        + zone
        + _number(NO_TABLE if action.table is None else action.table, 1)
        + bytes(3)
        + _number(_ALG_PORTS[action.alg] if action.alg is not None else 0, 2)
    )
    if action.nat is not None:
        body += _nat(action.nat, version)
    for nested in action.exec:
        body += put_action(nested, version)
    return _nicira(35, body, 24)


def _nat(nat: of.Nat, _version: int) -> bytes:
    flags = (
        NAT_SRC * nat.src | NAT_DST * nat.dst | NAT_PERSISTENT * nat.persistent
        | NAT_HASH * nat.hash | NAT_RANDOM * nat.random
    )  # fmt: skip
    present, values = 0, b""
    for bit, family, name, size in NAT_RANGES:
        value = getattr(nat, name)
        if value and family in (0, nat.family):
            present |= bit
            values += _number(value, size)
    return _nicira(36, bytes(2) + _number(flags, 2) + _number(present, 2) + values)


def _clone(action: of.Clone, version: int) -> bytes:
    nested = b"".join(put_action(each, version) for each in action.actions)
    return _nicira(42, bytes(6) + nested)


def _meter(action: of.Meter, version: int) -> bytes:
    if version < OF15:
        raise WireError("OFPBAC_BAD_TYPE", "a meter is an instruction here")
    return _standard(29, _number(action.meter_id, 4))


_PUT: Final[dict[type[Action], Callable[[Any, int], bytes]]] = {
    of.Output: _output,
    of.OutputField: _output_field,
    of.Controller: _controller,
    of.Enqueue: _enqueue,
    of.SetQueue: _set_queue,
    of.PopQueue: lambda a, v: _nicira(5),
    of.Group: _group,
    of.SetField: _set_field,
    of.Move: _move,
    of.StackPush: lambda a, v: _stack(27, a.src),
    of.StackPop: lambda a, v: _stack(28, a.dst),
    # In 1.0 the action behind it, which sets the tag, pushes one too.
    of.PushVlan: lambda a, v: b"" if v == OF10 else _standard(17, _number(a.tpid, 2)),
    of.StripVlan: lambda a, v: _standard(3 if v == OF10 else 18, b""),
    of.PushMpls: lambda a, v: (
        _nicira(23, _number(a.ethertype, 2)) if v == OF10
        else _standard(19, _number(a.ethertype, 2))
    ),
    of.PopMpls: lambda a, v: (
        _nicira(24, _number(a.ethertype, 2)) if v == OF10
        else _standard(20, _number(a.ethertype, 2))
    ),
    of.SetMplsTtl: lambda a, v: (
        _nicira(25, _number(a.ttl, 1)) if v == OF10 else _standard(15, _number(a.ttl, 1))
    ),
    of.DecMplsTtl: lambda a, v: _nicira(26) if v == OF10 else _standard(16, b""),
    of.DecTtl: _dec_ttl,
    of.DeleteField: lambda a, v: _nicira(50, put_header(a.field, 0), 24),
    # In 1.0 too, where nobody can read them.
    of.Encap: lambda a, v: _nicira(46, put_encap(a)),
    of.Decap: lambda a, v: _nicira(47, bytes(2) + _number(a.packet_type, 4)),
    of.DecNshTtl: lambda a, v: _nicira(48),
    of.Resubmit: _resubmit,
    of.Conjunction: _conjunction,
    of.Ct: _ct,
    of.Nat: _nat,
    of.CtClear: lambda a, v: _nicira(43),
    of.Clone: _clone,
    of.CheckPktLarger: _check_pkt_larger,
    of.Note: lambda a, v: _nicira(8, a.data),
    of.Exit: lambda a, v: _nicira(17),
    of.WriteMetadata: _write_metadata,
    of.FinTimeout: lambda a, v: _nicira(*learned.put_fin_timeout(a)),
    of.Sample: lambda a, v: _nicira(*learned.put_sample(a), 24),
    of.Multipath: lambda a, v: _nicira(*learned.put_multipath(a), 32),
    of.Bundle: lambda a, v: _nicira(*learned.put_bundle(a), 32),
    of.Learn: lambda a, v: _nicira(*learned.put_learn(a), 32),
    of.Meter: _meter,
    of.DebugSlow: lambda a, v: _nicira(254),
    of.DebugRecirc: lambda a, v: _nicira(255),
}  # fmt: skip


def put_action(action: Action, version: int) -> bytes:
    """One action as OVS would send it in `version`. Raises WireError: it cannot be said there."""
    put = _PUT.get(type(action))
    if put is None:
        raise WireError("OFPBAC_BAD_TYPE", f"{type(action).__name__} is no plain action")
    return put(action, version)
