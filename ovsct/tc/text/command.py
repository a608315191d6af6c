"""Whole ``tc`` commands, as in a script or a batch file: one a line, ``tc`` itself optional."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

from ovsct.errors import InputError
from ovsct.tc.actions import Action
from ovsct.tc.filters import FLOWER, MATCHALL, Filter
from ovsct.tc.keys import ETH_P_ALL
from ovsct.tc.text.action import Actions, device, read_actions
from ovsct.tc.text.flower import FlowerReader
from ovsct.tc.text.names import ether_type
from ovsct.tc.text.words import Words
from ovsct.tc.verdict import MAX_CHAIN


class Verb(StrEnum):
    """What to do to a filter."""

    ADD = "add"
    REPLACE = "replace"
    CHANGE = "change"
    DEL = "del"


@dataclass(frozen=True, slots=True)
class QdiscCommand:
    """``tc qdisc add dev p1 ingress|clsact`` (`add` False: del)."""

    port: int
    add: bool
    kind: str
    line: int
    block: int = 0


@dataclass(frozen=True, slots=True)
class ActionCommand:
    """``tc actions add|del action ... index N``. For del, `action` says only the kind."""

    add: bool
    action: Action | None
    kind: str
    index: int
    line: int


@dataclass(frozen=True, slots=True)
class FilterCommand:
    """``tc filter add|replace|change|del``. For del, `filter` only says where; `kind` of it is
    empty and `protocol` None if they were not given.
    """

    verb: Verb
    filter: Filter
    line: int
    protocol: int | None = None


Command: TypeAlias = QdiscCommand | FilterCommand | ActionCommand

_VERBS: Final = {
    "add": Verb.ADD, "replace": Verb.REPLACE, "change": Verb.CHANGE, "del": Verb.DEL,
    "delete": Verb.DEL,
}  # fmt: skip
_QDISCS: Final = ("ingress", "clsact")


def read_script(text: str, *, file: str | None = None) -> Iterator[Command]:
    """The commands of a script: comments (``#``), empty lines and a leading ``tc`` may stand there.

    Raises:
        InputError: naming file, line, column and word.
    """
    number = 0
    pending = ""
    begun = 0
    for line in text.splitlines():
        number += 1
        if not pending:
            begun = number
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        command = read_command(pending, file=file, line=begun)
        pending = ""
        if command is not None:
            yield command
    if pending:
        raise InputError("the last line ends with a backslash", file=file, line=begun)


def read_command(
    text: str, *, file: str | None = None, line: int | None = None
) -> Command | None:
    """One command; None for an empty line or a comment."""
    code = text.partition("#")[0]
    words = Words(code, file=file, line=line)
    if not words:
        return None
    words.skip("tc", "/sbin/tc", "/usr/sbin/tc")
    thing = words.take("qdisc or filter")
    if thing == "qdisc":
        return _qdisc(words, line or 0)
    if thing in ("action", "actions"):
        return _actions(words, line or 0)
    if thing != "filter":
        words.fail("no such object of tc here", token=thing, expected="qdisc or filter")
    return _filter(words, line or 0)


def _actions(words: Words, line: int) -> Command:
    """``tc actions``: actions that stand by themselves, for filters to share."""
    verb = words.take("add or del")
    if verb not in ("add", "del", "delete"):
        words.fail("a script can only add or delete actions", token=verb, expected="add or del")
    words.skip("action")
    if verb == "add":
        read = read_actions(words)
        if len(read.actions) > 1:
            words.fail("several actions in one command are not modelled")
        index = read.indexes[0] if read.indexes else 0
        return ActionCommand(True, read.actions[0], read.actions[0].kind, index, line)
    kind = words.take("a kind of action")
    if not words.skip("index"):
        words.take("index")
        words.fail("only an action with an index can be deleted", expected="index N")
    return ActionCommand(False, None, kind, words.number("an index", 32, 10), line)


def _qdisc(words: Words, line: int) -> Command:
    verb = words.take("add or del")
    if verb not in ("add", "replace", "del", "delete"):
        words.fail("a script can only add or delete qdiscs", token=verb, expected="add or del")
    if not words.skip("dev"):
        words.take("dev")
        words.fail("qdisc needs a device", expected="dev p<n>")
    port = device(words, "a device")
    kind = ""
    block = 0
    while words:
        word = words.take("a qdisc")
        if word in _QDISCS:
            kind = word
        elif word == "handle":
            if words.take("a handle") not in ("ffff:", "ffff:0"):
                words.fail("the handle of an ingress qdisc is ffff:")
        elif word == "parent":
            if words.take("a parent") not in ("ffff:fff1", "ffff:fff1:"):
                words.fail("the parent of an ingress qdisc is ffff:fff1")
        elif word == "ingress_block":
            block = words.number("a block", 32)
        elif word == "egress_block":
            words.fail("blocks at egress are not modelled", token=word)
        else:
            words.fail("only ingress and clsact are modelled", token=word)
    if not kind:
        words.fail("no qdisc named", expected="ingress or clsact")
    return QdiscCommand(port, verb in ("add", "replace"), kind, line, block)


class _Place:
    """Where a filter goes, as far as it has been read."""

    def __init__(self) -> None:
        self.port: int | None = None
        self.hooked = False
        self.egress = False
        self.block = 0
        self.chain = 0
        self.prio = 0
        self.handle = ""
        self.protocol: int | None = None


def _filter(words: Words, line: int) -> Command:
    word = words.take("add, replace, change or del")
    if word not in _VERBS:
        words.fail("a script cannot do this to a filter", token=word, expected=", ".join(_VERBS))
    verb = _VERBS[word]
    place = _Place()
    kind = ""
    while words:
        kind = words.take("a kind of filter")
        if not _read_place(words, place, kind):
            break
        kind = ""
    if place.port is None and not place.block:
        words.fail("filter needs a device", expected="dev p<n>")
    if not place.hooked and not place.block:
        words.fail("filters are modelled at ingress and egress only", expected="ingress")
    if verb is Verb.DEL:
        return _delete(words, place, kind, line)
    if kind not in (FLOWER, MATCHALL):
        words.fail("only flower and matchall are modelled", token=kind or None, expected=FLOWER)
    # tc_filter_modify() of iproute2 sends ETH_P_ALL when no protocol is given.
    protocol = ETH_P_ALL if place.protocol is None else place.protocol
    entry = _body(words, place, kind, protocol)
    return FilterCommand(verb, entry, line, protocol)


def _read_place(words: Words, place: _Place, word: str) -> bool:
    """One word of where a filter goes; False if `word` is not one."""
    if word == "dev":
        place.port = device(words, "a device")
    elif word == "ingress":
        place.hooked = True
    elif word == "parent":
        parent = words.take("a parent")
        if parent not in ("ffff:", "ffff:0", "ffff:fff2", "ffff:fff3"):
            words.fail("filters are modelled at ingress and egress only", token=parent,
                       expected="ffff:")  # fmt: skip
        place.hooked = True
        place.egress = parent == "ffff:fff3"
    elif word == "egress":
        place.hooked = place.egress = True
    elif word == "root":
        words.fail("filters are modelled at ingress and egress only", token=word,
                   expected="ingress")  # fmt: skip
    elif word == "block":
        place.block = words.number("a block", 32)
    elif word == "chain":
        place.chain = words.number("a chain", 32)
        if place.chain > MAX_CHAIN:
            words.fail("Specified chain index exceeds upper limit", token=str(place.chain))
    elif word in ("prio", "pref", "preference", "priority"):
        place.prio = words.number("a priority", 16)
    elif word in ("protocol", "proto"):
        place.protocol = ether_type(words, "a protocol")
    elif word == "handle":
        place.handle = words.take("a handle")
    elif word == "estimator":
        words.fail("estimators are not modelled", token=word)
    else:
        return False
    return True


def _handle(words: Words, text: str) -> int:
    return words.to_number(text, "a handle", 32) if text else 0


def _delete(words: Words, place: _Place, kind: str, line: int) -> Command:
    if words:
        words.take("the end of the command")
        words.fail("nothing can stand behind the kind in del")
    entry = Filter(
        place.port or 0, place.protocol or ETH_P_ALL, chain=place.chain, prio=place.prio,
        handle=_handle(words, place.handle), kind=kind, egress=place.egress, block=place.block,
    )  # fmt: skip
    return FilterCommand(Verb.DEL, entry, line, place.protocol)


def _body(words: Words, place: _Place, kind: str, protocol: int) -> Filter:
    handle = _handle(words, place.handle)
    reader = FlowerReader(words, protocol)
    read = Actions((), None, ())
    while words:
        word = words.take("a match or action")
        if word == "action":
            read = read_actions(words)
        elif kind == MATCHALL and word in ("skip_hw", "skip_sw", "verbose"):
            reader.read(word)
        elif kind == MATCHALL or not reader.read(word):
            words.fail(f"{kind} knows no such word", token=word)
    if reader.skip_hw and reader.skip_sw:
        words.fail("skip_hw and skip_sw leave nobody to run the filter", token="skip_sw")
    return made(
        reader, read, kind,
        Filter(
            place.port or 0, protocol, chain=place.chain, prio=place.prio, handle=handle,
            egress=place.egress, block=place.block,
        ),
    )  # fmt: skip


def made(reader: FlowerReader, read: Actions, kind: str, place: Filter) -> Filter:
    """The filter at `place` with what was read."""
    value, mask = (0, 0) if kind == MATCHALL else (reader.value, reader.mask)
    return replace(
        place, value=value, mask=mask, kind=kind, actions=read.actions, cookie=read.cookie,
        indexes=read.indexes, skip_hw=reader.skip_hw, skip_sw=reader.skip_sw,
        ranges=tuple((slot, *ends) for slot, ends in sorted(reader.ranges.items())),
    )  # fmt: skip
