"""Key/value items of the ovs-ofctl syntax, each with its place in the line.

The grammar is that of OVS ``ofputil_parse_key_value`` (lib/ofp-parse.c): items stand between commas
and white space; a key ends at ``:``, ``=``, ``(`` or a separator; a value in parentheses may hold
separators and more parentheses. One thing is stricter: a parenthesis that is never closed is an
error here, where ovs-ofctl takes the rest of the line for its content.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from ovsct.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ITEM = re.compile(r"[, \t\r\n]*([^:=(, \t\r\n]*)(?:([:=])([^, \t\r\n(]*))?(\(?)")
_PLAIN = re.compile(r"[^, \t\r\n(]*")
_PAREN = re.compile(r"[()]")


class Item(NamedTuple):
    """One item: columns count from 0 in the whole line, ends are exclusive."""

    key: str
    start: int
    delimiter: str
    """What stands after the key: ``:``, ``=``, ``(`` or nothing."""
    value: str
    value_start: int
    end: int

    @property
    def span(self) -> tuple[int, int]:
        """Where the whole item stands."""
        return (self.start, self.end)

    @property
    def value_end(self) -> int:
        """Where its value ends."""
        return self.value_start + len(self.value)


def close_of(text: str, opening: int, end: int) -> int:
    """Column of the ``)`` that closes the ``(`` at `opening`; raises InputError if none does."""
    depth = 0
    for found in _PAREN.finditer(text, opening, end):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return found.start()
    raise InputError(
        "this parenthesis is never closed", column=opening + 1, token=text[opening:end][:30]
    )


def _value_end(text: str, start: int, end: int) -> int:
    stop = _PLAIN.match(text, start, end).end()  # type: ignore[union-attr] # matches ""
    while stop < end and text[stop] == "(":
        stop = _PLAIN.match(text, close_of(text, stop, end) + 1, end).end()  # type: ignore[union-attr]
    return stop


def items(text: str, start: int, end: int) -> list[Item]:
    """The items of ``text[start:end]``, in order. Raises InputError for an open parenthesis."""
    found: list[Item] = []
    position = start
    while True:
        head = _ITEM.match(text, position, end)
        assert head is not None  # every part of the pattern may be empty
        key, delimiter, value, opening = head.groups()
        position = head.end()
        if opening:
            item = _with_parentheses(text, head, end)
            position = item.end
        elif delimiter:
            item = Item(key, head.start(1), delimiter, value, head.start(3), position)
        elif key:
            item = Item(key, head.start(1), "", "", position, position)
        else:
            return found
        found.append(item)


def _with_parentheses(text: str, head: re.Match[str], end: int) -> Item:
    """The item that begins as `head` says, up to its first parenthesis, which is the last of it."""
    key, delimiter, _, _ = head.groups()
    opening = head.end() - 1
    if delimiter:
        start, stop = head.start(3), _value_end(text, opening, end)
        return Item(key, head.start(1), delimiter, text[start:stop], start, stop)
    stop = close_of(text, opening, end)
    after = stop + 1
    if text.startswith("->", after):
        stop = after = _value_end(text, after, end)
    return Item(key, head.start(1), "(", text[opening + 1 : stop], opening + 1, after)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the known word that looks most like `word`, if any does."""
    close = get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else None


def with_token(error: InputError, line: str) -> InputError:
    """The error with what stands at its column, if it does not say on what it is."""
    if error.token is not None or error.column is None:
        return error
    start, depth = error.column - 1, 0
    end = start
    while end < len(line):
        depth += (line[end] in "([") - (line[end] in ")]")
        if depth < 0 or (not depth and line[end] in ", \t"):
            break
        end += 1
    if end == start:
        return error
    return InputError(
        error.problem, file=error.file, line=error.line, column=error.column,
        token=line[start:end], expected=error.expected, hint=error.hint,
    )  # fmt: skip
