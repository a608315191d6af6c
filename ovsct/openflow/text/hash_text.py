"""multipath, bundle, bundle_load, fin_timeout and sample: text to objects and back.

OVS lib/multipath.c, lib/bundle.c and lib/ofp-actions.c. Their arguments stand in a fixed order;
where OVS's atoi() takes anything for a number, only numbers are taken here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import Action, Subfield
from ovsct.openflow.hashes import HashFields
from ovsct.openflow.text.argument import (
    Reader,
    need_writable,
    read_number,
    read_port,
    unknown_argument,
    whole_subfield,
    wrong,
)
from ovsct.openflow.text.lexer import Item, items, nearest
from ovsct.openflow.text.values import format_port, integer

_WORD: Final = re.compile(r"[^, ]+")
_MEMBERS: Final = re.compile(r"[,\s]*(?:members|slaves)\s*:?")
_MEMBER: Final = re.compile(r"[^,\s\[\]]+")
_MAX_MEMBERS: Final = 2048
_U16, _U32 = 0xFFFF, 0xFFFFFFFF


class _Words:
    """The arguments of an action, one after the other."""

    def __init__(self, item: Item, text: str, names: Iterable[str]) -> None:
        self.item = item
        found = list(_WORD.finditer(text, item.value_start, item.value_end))
        names = list(names)
        if len(found) < len(names):
            raise wrong(f"{item.key} needs {', '.join(names)}", item)
        self.rest = found[len(names) :]
        self._words = {
            name: (match[0], match.start()) for name, match in zip(names, found, strict=False)
        }

    def number(self, name: str, limit: int) -> int:
        text, start = self._words[name]
        try:
            return integer(text, limit, name)
        except InputError as error:
            raise error.at(column=start + 1) from None

    def one_of(self, name: str, known: Iterable[str]) -> str:
        text, start = self._words[name]
        known = list(known)
        if text.lower() in known:
            return text.lower()
        raise InputError(
            f"this is no {name}",
            column=start + 1,
            token=text,
            expected=", ".join(known),
            hint=nearest(text, known),
        )

    def target(self, name: str) -> Subfield:
        text, start = self._words[name]
        dst = whole_subfield(text, start)
        need_writable(dst.field, start, text)
        return dst


_ALGORITHMS: Final = ("modulo_n", "hash_threshold", "hrw", "iter_hash")


def read_multipath(reader: Reader, item: Item) -> Action:
    """``multipath(...)``; raises InputError."""
    names = ("fields", "basis", "algorithm", "number of links", "argument", "destination")
    words = _Words(item, reader.text, names)
    links = words.number("number of links", 65536)
    dst = words.target("destination")
    if not links:
        raise wrong("multipath needs a link", item, "1 to 65536 links")
    if links > 1 << dst.width:
        raise wrong(
            f"{links} links do not fit into {dst.width} bits (OFPBAC_BAD_ARGUMENT)", item
        )
    return ofp.Multipath(
        HashFields(words.one_of("fields", HashFields)),
        words.number("basis", _U16),
        words.one_of("algorithm", _ALGORITHMS),
        links,
        words.number("argument", _U32),
        dst,
        span=item.span,
    )


def format_multipath(action: ofp.Multipath, subfield: Callable[[Subfield], str]) -> str:
    """As OVS prints it."""
    return (
        f"multipath({action.fields},{action.basis},{action.algorithm},{action.n_links},"
        f"{action.arg},{subfield(action.dst)})"
    )


def _bundle(reader: Reader, item: Item, load: bool) -> Action:
    cut = _MEMBERS.search(reader.text, item.value_start, item.value_end)
    if cut is None:
        raise wrong(f"{item.key} needs its members", item, "members:PORT,PORT")
    names = ["fields", "basis", "algorithm", "type of members"]
    head = item._replace(value=reader.text[item.value_start : cut.start()])
    words = _Words(head, reader.text, [*names, *(["destination"] if load else [])])
    words.one_of("type of members", ("ofport",))
    dst = words.target("destination") if load else None
    if dst is not None and dst.width < 16:
        reader.late.append(wrong("a port number needs 16 bits (OFPBAC_BAD_ARGUMENT)", item))
    found = list(_MEMBER.finditer(reader.text, cut.end(), item.value_end))
    if len(found) > _MAX_MEMBERS:
        raise wrong(f"a bundle has up to {_MAX_MEMBERS} members", item)
    return ofp.Bundle(
        HashFields(words.one_of("fields", HashFields)),
        words.number("basis", _U16),
        words.one_of("algorithm", ("active_backup", "hrw")),
        tuple(read_port(reader, member[0], member.start()) for member in found),
        dst,
        span=item.span,
    )


def read_bundle(reader: Reader, item: Item) -> Action:
    """``bundle(...)``; raises InputError."""
    return _bundle(reader, item, load=False)


def read_bundle_load(reader: Reader, item: Item) -> Action:
    """``bundle_load(...)``; raises InputError."""
    return _bundle(reader, item, load=True)


def format_bundle(action: ofp.Bundle, subfield: Callable[[Subfield], str]) -> str:
    """As OVS prints it."""
    word, dst = "bundle", ""
    if action.dst is not None:
        word, dst = "bundle_load", f"{subfield(action.dst)},"
    members = ",".join(format_port(member) for member in action.members)
    return (
        f"{word}({action.fields},{action.basis},{action.algorithm},ofport,{dst}members:{members})"
    )


def read_fin_timeout(reader: Reader, item: Item) -> Action:
    """``fin_timeout(...)``; raises InputError."""
    said = {"idle_timeout": 0, "hard_timeout": 0}
    for part in items(reader.text, item.value_start, item.value_end):
        if part.key not in said:
            raise unknown_argument(part, "fin_timeout", said)
        said[part.key] = read_number(part, _U16, "time in seconds")
    return ofp.FinTimeout(**said, span=item.span)


def format_fin_timeout(action: ofp.FinTimeout) -> str:
    """As OVS prints it."""
    parts = [
        f"{name}={getattr(action, name)}"
        for name in ("idle_timeout", "hard_timeout")
        if getattr(action, name)
    ]
    return f"fin_timeout({','.join(parts)})"


_SAMPLE: Final = {
    "probability": _U16, "collector_set_id": _U32, "obs_domain_id": _U32, "obs_point_id": _U32,
}  # fmt: skip


def read_sample(reader: Reader, item: Item) -> Action:
    """``sample(...)``; raises InputError."""
    said = {"probability": 0}
    port: int | None = None
    direction = ""
    for part in items(reader.text, item.value_start, item.value_end):
        if part.key in _SAMPLE:
            said[part.key] = read_number(part, _SAMPLE[part.key], part.key.replace("_", " "))
        elif part.key == "sampling_port":
            port = read_port(reader, part.value, part.value_start)
        elif part.key in ("ingress", "egress"):
            direction = part.key
        else:
            known = (*_SAMPLE, "sampling_port", "ingress", "egress")
            raise unknown_argument(part, "sample", known)
    if not said["probability"]:
        raise wrong("sample needs a probability", item, "probability=1 to 65535")
    return ofp.Sample(**said, sampling_port=port, direction=direction, span=item.span)


def format_sample(action: ofp.Sample) -> str:
    """As OVS prints it."""
    parts = [f"{name}={getattr(action, name)}" for name in _SAMPLE]
    if action.sampling_port not in (None, ofp.OFPP_NONE):
        assert action.sampling_port is not None
        parts.append(f"sampling_port={format_port(action.sampling_port)}")
    return f"sample({','.join([*parts, action.direction] if action.direction else parts)})"
