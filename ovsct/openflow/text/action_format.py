"""Actions and instructions, objects to text, as OVS lib/ofp-actions.c ``format_*`` print them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import Action, Subfield
from ovsct.openflow.text.encap_text import format_decap, format_encap
from ovsct.openflow.text.hash_text import (
    format_bundle,
    format_fin_timeout,
    format_multipath,
    format_sample,
)
from ovsct.openflow.text.learn_text import format_learn
from ovsct.openflow.text.names import bits_of, printed_name, whole_mask
from ovsct.openflow.text.values import (
    format_ipv4,
    format_ipv6,
    format_mac,
    format_port,
    format_value,
    hexadecimal,
)


def format_subfield(subfield: Subfield) -> str:
    """``NXM_NX_REG0[]``, ``NXM_NX_REG0[3]`` or ``NXM_NX_REG0[0..15]``."""
    name, low, width = printed_name(subfield.field), subfield.low, subfield.width
    if low == 0 and width == bits_of(subfield.field):
        return f"{name}[]"
    return f"{name}[{low}]" if width == 1 else f"{name}[{low}..{low + width - 1}]"


def _output(action: ofp.Output) -> str:
    port = format_port(action.port)
    if action.max_len is not None:
        return f"output(port={port},max_len={action.max_len})"
    return f"output:{port}" if action.port < ofp.OFPP_MAX else port


def _controller(action: ofp.Controller) -> str:
    parts = []
    if action.reason != "action":
        parts.append(f"reason={action.reason}")
    if action.max_len != 0xFFFF:
        parts.append(f"max_len={action.max_len}")
    if action.controller_id:
        parts.append(f"id={action.controller_id}")
    if action.userdata:
        parts.append(f"userdata={action.userdata.hex('.')}")
    if action.pause:
        parts.append("pause")
    if action.meter_id is not None:
        parts.append(f"meter_id={action.meter_id}")
    if parts in ([], [f"max_len={action.max_len}"]):
        return f"CONTROLLER:{action.max_len}"
    return f"controller({','.join(parts)})"


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """(lowest bit, width) of each run of ones, cut after 64 bits (OVS next_load_segment)."""
    position = 0
    while mask >> position:
        rest = mask >> position
        position += (rest & -rest).bit_length() - 1
        rest = mask >> position
        width = min((~rest & (rest + 1)).bit_length() - 1, 64)
        yield position, width
        position += width


def _load(action: ofp.SetField) -> str:
    if action.mask == whole_mask(action.field) and action.field.width <= 64:
        name = printed_name(action.field)
        return f"load:{hexadecimal(action.value)}->{name}[]"
    loads = (
        (Subfield(action.field, low, width), action.value >> low & ((1 << width) - 1))
        for low, width in _runs(action.mask)
    )
    return ",".join(f"load:{hexadecimal(value)}->{format_subfield(dst)}" for dst, value in loads)


_MODIFIED: Final[dict[str, Callable[[int], str]]] = {
    "mod_dl_src": format_mac,
    "mod_dl_dst": format_mac,
    "mod_nw_src": format_ipv4,
    "mod_nw_dst": format_ipv4,
    "set_tunnel": hexadecimal,
    "set_tunnel64": hexadecimal,
}
"""How each of the older words writes its value; those not named here write a decimal number."""


def _set_field(action: ofp.SetField) -> str:
    word = action.spelled
    if word == "load":
        return _load(action)
    if word == "set_field":
        whole = action.mask == whole_mask(action.field)
        mask = action.field.ones if whole else action.mask
        value = format_value(action.field, action.value, mask)
        return f"set_field:{value}->{action.field.name}"
    if word.startswith("set_mpls_"):
        return f"{word}({action.value})"
    return f"{word}:{_MODIFIED.get(word, str)(action.value)}"


def _resubmit(action: ofp.Resubmit) -> str:
    if action.port is not None and action.table is None:
        return f"resubmit:{format_port(action.port)}"
    port = "" if action.port is None else format_port(action.port)
    table = "" if action.table is None else str(action.table)
    return f"resubmit({port},{table}{',ct' if action.with_ct else ''})"


def _address(nat: ofp.Nat, value: int) -> str:
    if nat.family == 4:
        return format_ipv4(value)
    return f"[{format_ipv6(value)}]" if nat.port_min else format_ipv6(value)


def _nat_range(nat: ofp.Nat) -> str:
    text = _address(nat, nat.addr_min)
    if nat.addr_max > nat.addr_min:
        text += f"-{_address(nat, nat.addr_max)}"
    if nat.port_min:
        text += f":{nat.port_min}"
        if nat.port_max > nat.port_min:
            text += f"-{nat.port_max}"
    return f"={text}"


def format_nat(nat: ofp.Nat) -> str:
    """``nat`` or ``nat(...)``; like OVS, the flags are printed only after an address."""
    if not (nat.src or nat.dst):
        return "nat"
    side = "src" if nat.src else "dst"
    if not nat.family:
        return f"nat({side})"
    flags = [name for name in ("persistent", "hash", "random") if getattr(nat, name)]
    return f"nat({','.join([side + _nat_range(nat), *flags])})"


def _ct(action: ofp.Ct) -> str:
    parts = []
    if action.commit:
        parts.append("commit")
    if action.force:
        parts.append("force")
    if action.table is not None:
        parts.append(f"table={action.table}")
    if isinstance(action.zone, Subfield):
        parts.append(f"zone={format_subfield(action.zone)}")
    elif action.zone:
        parts.append(f"zone={action.zone}")
    if action.nat is not None:
        parts.append(format_nat(action.nat))
    if action.exec:
        parts.append(f"exec({format_actions(action.exec)})")
    if action.alg is not None:
        parts.append(f"alg={action.alg}")
    return f"ct({','.join(parts)})"


def _dec_ttl(action: ofp.DecTtl) -> str:
    if action.controllers == (0,):
        return "dec_ttl"
    return f"dec_ttl({','.join(str(number) for number in action.controllers)})"


def _write_metadata(action: ofp.WriteMetadata) -> str:
    whole = action.mask == (1 << 64) - 1
    text = f"write_metadata:{hexadecimal(action.value)}"
    return text if whole else f"{text}/{hexadecimal(action.mask)}"


# From class to function; typed loosely, since each function takes its own class.
_FORMATS: Final[dict[type[Action], Callable[[Any], str]]] = {
    ofp.Output: _output,
    ofp.OutputField: lambda a: f"output:{format_subfield(a.src)}",
    ofp.Controller: _controller,
    ofp.Enqueue: lambda a: f"enqueue:{format_port(a.port)}:{a.queue}",
    ofp.SetQueue: lambda a: f"set_queue:{a.queue}",
    ofp.PopQueue: lambda _: "pop_queue",
    ofp.Group: lambda a: f"group:{a.group_id}",
    ofp.SetField: _set_field,
    ofp.Move: lambda a: f"move:{format_subfield(a.src)}->{format_subfield(a.dst)}",
    ofp.StackPush: lambda a: f"push:{format_subfield(a.src)}",
    ofp.StackPop: lambda a: f"pop:{format_subfield(a.dst)}",
    ofp.PushVlan: lambda a: f"push_vlan:0x{a.tpid:x}",
    ofp.StripVlan: lambda a: a.spelled,
    ofp.PushMpls: lambda a: f"push_mpls:0x{a.ethertype:04x}",
    ofp.PopMpls: lambda a: f"pop_mpls:0x{a.ethertype:04x}",
    ofp.DecTtl: _dec_ttl,
    ofp.SetMplsTtl: lambda a: f"set_mpls_ttl({a.ttl})",
    ofp.DeleteField: lambda a: f"delete_field:{a.field.name}",
    ofp.Encap: format_encap,
    ofp.Decap: format_decap,
    ofp.DecNshTtl: lambda _: "dec_nsh_ttl",
    ofp.DecMplsTtl: lambda _: "dec_mpls_ttl",
    ofp.Resubmit: _resubmit,
    ofp.Ct: _ct,
    ofp.CtClear: lambda _: "ct_clear",
    ofp.Clone: lambda a: f"clone({format_actions(a.actions)})",
    ofp.CheckPktLarger: lambda a: f"check_pkt_larger({a.length})->{format_subfield(a.dst)}",
    ofp.Learn: lambda a: format_learn(a, format_subfield),
    ofp.Multipath: lambda a: format_multipath(a, format_subfield),
    ofp.Bundle: lambda a: format_bundle(a, format_subfield),
    ofp.FinTimeout: format_fin_timeout,
    ofp.Sample: format_sample,
    ofp.DebugRecirc: lambda _: "debug_recirc",
    ofp.DebugSlow: lambda _: "debug_slow",
    ofp.Conjunction: lambda a: f"conjunction({a.conj_id},{a.clause}/{a.n_clauses})",
    ofp.Note: lambda a: f"note:{a.data.hex('.')}",
    ofp.Exit: lambda _: "exit",
    ofp.Meter: lambda a: f"meter:{a.meter_id}",
    ofp.ClearActions: lambda _: "clear_actions",
    ofp.WriteActions: lambda a: f"write_actions({format_actions(a.actions)})",
    ofp.WriteMetadata: _write_metadata,
    ofp.GotoTable: lambda a: f"goto_table:{a.table}",
}


def format_action(action: Action) -> str:
    """One action or instruction as OVS prints it."""
    return _FORMATS[type(action)](action)


def format_actions(actions: tuple[Action, ...]) -> str:
    """A list of actions as OVS prints it; ``drop`` if there is none."""
    return ",".join(format_action(action) for action in actions) or "drop"
