"""Geneve options as fields: which option each ``tun_metadataN`` is, and what flows make of that.

A switch has a map from tun_metadata0 to 63 to an option's class, type and length (``ovs-ofctl
add-tlv-map``). Without it a field has no length, and a flow cannot name it. OVS lib/tun-metadata.c,
lib/nx-match.c ``nx_pull_entry__()`` and lib/meta-flow.c ``mf_vl_mff_invalid()``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, TypeAlias

from ovsct.errors import InputError
from ovsct.openflow import actions
from ovsct.openflow.actions import Action, DeleteField, SetField, Subfield
from ovsct.openflow.flow import Flow
from ovsct.openflow.match import Match
from ovsct.packet.fields import FIELDS, TUN_METADATA_MASK, TUN_OPTIONS, TUN_PRESENT, Field

MAX_OPTION: Final = 124
"""Bytes of an option at most."""

SPACE: Final = 256
"""Bytes of all options together."""

_MAPPING: Final = re.compile(
    r"\{class=(0[xX][0-9a-fA-F]+|\d+),type=(0[xX][0-9a-fA-F]+|\d+),len=(0[xX][0-9a-fA-F]+|\d+)\}"
    r"->tun_metadata(\d+)(?:,|$)"
)


@dataclass(frozen=True, slots=True)
class TlvOption:
    """One Geneve option: its class, its type, and the bytes of its value."""

    option_class: int
    option_type: int
    length: int


TlvMap: TypeAlias = Mapping[int, TlvOption]
"""The option of each ``tun_metadataN`` that has one, by N."""


def read_mappings(text: str) -> list[tuple[int, TlvOption]]:
    """``{class=0xffff,type=0,len=4}->tun_metadata0``, several with commas between.

    Raises:
        InputError: with the column; numbers are not held to what a switch takes here.
    """
    found = []
    at = 0
    text = text.strip()
    while at < len(text):
        mapping = _MAPPING.match(text, at)
        if mapping is None:
            raise InputError(
                "this is no mapping of an option", column=at + 1, token=text[at:],
                expected="{class=CLASS,type=TYPE,len=LENGTH}->tun_metadataN",
            )  # fmt: skip
        kind, number, length = (int(mapping[n], 0) for n in (1, 2, 3))
        found.append((int(mapping[4]), TlvOption(kind & 0xFFFF, number & 0xFF, length & 0xFF)))
        at = mapping.end()
    return found


def format_mapping(index: int, option: TlvOption) -> str:
    """One mapping as :func:`read_mappings` reads it."""
    return (
        f"{{class={option.option_class:#x},type={option.option_type:#x},len={option.length}}}"
        f"->tun_metadata{index}"
    )


def with_mappings(known: TlvMap, added: list[tuple[int, TlvOption]]) -> dict[int, TlvOption]:
    """The map with more in it. The OpenFlow error stands in brackets in the text of each error.

    Raises:
        InputError: a field or an option that has its own already, a length that cannot be, or too
            much in all.
    """
    for index, option in added:
        if not 0 < option.length <= MAX_OPTION or option.length % 4:
            raise _refuse(index, option, "an option has 4 to 124 bytes, in fours", "BAD_OPT_LEN")
        if index >= TUN_OPTIONS:
            raise _refuse(index, option, "there are fields 0 to 63", "BAD_FIELD_IDX")
    found = dict(known)
    for index, option in added:
        if index in found:
            raise _refuse(index, option, "the field has an option already", "ALREADY_MAPPED")
        kind = (option.option_class, option.option_type)
        if any((each.option_class, each.option_type) == kind for each in found.values()):
            raise _refuse(index, option, "the option has a field already", "DUP_ENTRY")
        found[index] = option
        if sum(each.length for each in found.values()) > SPACE:
            raise _refuse(index, option, f"all options have more than {SPACE} bytes", "TABLE_FULL")
    return found


def _refuse(index: int, option: TlvOption, problem: str, error: str) -> InputError:
    return InputError(f"{problem} (NXTTMFC_{error})", token=format_mapping(index, option))


# Flows ------------------------------------------------------------------------------------------

_INDEX: Final = {f"tun_metadata{n}": n for n in range(TUN_OPTIONS)}


_HOLDERS: Final = re.compile(r"\b(Field|Subfield|Action|LearnSpec)\b")


def _holders(kind: Any) -> tuple[str, ...]:
    """The members of such an action, or part of one, that may hold fields or actions."""
    return tuple(member.name for member in fields(kind) if _HOLDERS.search(str(member.type)))


_MEMBERS: Final[dict[type, tuple[str, ...]]] = {
    kind: _holders(kind)
    for kind in vars(actions).values()
    if isinstance(kind, type) and is_dataclass(kind)
}
"""The same of every kind of action, which none of them says anew for each flow."""


def _members(part: object) -> tuple[str, ...]:
    found = _MEMBERS.get(type(part))
    return _holders(type(part)) if found is None else found


def _fields(part: object) -> Iterator[Field]:
    """The fields that an action names, or a part of one."""
    for name in _members(part):
        value = getattr(part, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Field):
                yield each
            elif is_dataclass(each):
                yield from _fields(each)


def named(match: Match, listed: tuple[Action, ...]) -> set[int]:
    """The N of every ``tun_metadataN`` that a flow names."""
    found = {n for n in range(TUN_OPTIONS) if match.mask & TUN_PRESENT[n]} if (
        match.mask & TUN_METADATA_MASK
    ) else set()
    for action in listed:
        for field in _fields(action):
            if field.name in _INDEX:
                found.add(_INDEX[field.name])
    return found


def fit_flow(flow: Flow, known: TlvMap) -> Flow:
    """The flow as a switch with this map keeps it.

    A value or mask that is longer than its option loses its last bytes; one that covers all of it
    is a match on all of it.

    Raises:
        InputError: it names a field that has no option (NXFMFC_INVALID_TLV_FIELD), or bits that the
            option does not have (OFPBAC_BAD_SET_LEN).
    """
    indices = named(flow.match, flow.actions)
    if not indices:
        return flow
    for index in sorted(indices):
        if index not in known:
            raise InputError(
                f"tun_metadata{index} has no option (NXFMFC_INVALID_TLV_FIELD)",
                file=flow.file, line=flow.line, token=flow.text or f"tun_metadata{index}",
                hint="map one first: option tlv_map of a lane, ovs-ofctl add-tlv-map",
            )  # fmt: skip
    match = flow.match
    value, mask = match.value, match.mask
    for index in indices:
        field = FIELDS[f"tun_metadata{index}"]
        if match.mask & TUN_PRESENT[index]:
            bits, within = fitted(field.get(value), field.get(mask), field, known[index].length)
            value, mask = field.put(value, bits), field.put(mask, within)
    fit = tuple(_fit(action, known) for action in flow.actions)
    return replace(flow, match=Match(value, mask, match.spans), actions=fit)


def fitted(value: int, mask: int, field: Field, length: int) -> tuple[int, int]:
    """A value and its mask in an option of `length` bytes."""
    whole = mask == field.ones
    size = (value.bit_length() + 7) // 8
    if not whole:
        size = max(size, (mask.bit_length() + 7) // 8)
    ones = (1 << 8 * length) - 1
    shift = 8 * max(0, size - length)
    if whole:
        return value >> shift, mask
    return value >> shift, field.ones if mask >> shift == ones else mask >> shift


def _fit(action: Any, known: TlvMap) -> Any:
    """An action, or a part of one, with its values fitted."""
    if isinstance(action, SetField) and action.field.name in _INDEX:
        length = known[_INDEX[action.field.name]].length
        value, mask = fitted(action.value, action.mask, action.field, length)
        return replace(action, value=value, mask=mask)
    if isinstance(action, Subfield):
        index = _INDEX.get(action.field.name)
        if index is not None and action.low + action.width > 8 * known[index].length:
            raise InputError(
                f"{action.field.name} has {8 * known[index].length} bits here (OFPBAC_BAD_SET_LEN)",
                token=f"{action.field.name}[{action.low}..{action.low + action.width - 1}]",
            )
        return action
    if isinstance(action, DeleteField):
        return action
    changed = {}
    for name in _members(action):
        before = getattr(action, name)
        if isinstance(before, tuple):
            changed[name] = tuple(_fit(each, known) for each in before)
        elif is_dataclass(before) and not isinstance(before, Field):
            changed[name] = _fit(before, known)
    return replace(action, **changed) if changed else action
