"""A rule set in any of the forms that ``tc`` knows: commands, ``filter show``, ``-j filter show``.

What ``show`` prints does not name the device. So the command stands above it, as in a transcript of
a shell (a prompt or a ``#`` before it does no harm). Lines of ``tc qdisc show`` may be there, too::

    # tc -s filter show dev p1 ingress
    filter protocol ip pref 1 flower chain 0 handle 0x1
      eth_type ipv4
    ...
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from textwrap import dedent
from typing import Final

from ovsct.errors import InputError
from ovsct.tc.filters import Filter
from ovsct.tc.text.command import Command, FilterCommand, QdiscCommand, Verb, read_script
from ovsct.tc.text.shown import read_json, read_text
from ovsct.tc.text.write import write_command

_HEADING: Final = re.compile(
    r"^\s*(?:\S*[#$>]\s*)*(?:/\S*/)?tc\b.*\bfilter\s+(?:show|ls|list)\s+"
    r"(?:dev\s+(?P<dev>\S+)\s*(?P<hook>ingress|egress|parent\s+ffff:(?:fff[23])?)?"
    r"|block\s+(?P<block>\d+))\s*$"
)
_QDISC: Final = re.compile(
    r"^qdisc (?P<kind>\S+) \S+ dev (?P<dev>\S+) (?:parent \S+ )?(?:ingress_block (?P<block>\d+))?"
)
_DEVICE: Final = re.compile(r"p([0-9]+)\Z")


def read_rules(text: str, *, file: str | None = None) -> Iterator[Command]:
    """The commands that `text` is, or that would install what it shows.

    Raises:
        InputError: naming file, line and word.
    """
    # In a scenario the whole of it is indented.
    lines = dedent(text).splitlines()
    if not any(_HEADING.match(line) for line in lines):
        first = next((line for line in lines if line.strip()), "")
        if first.startswith(("[", "filter protocol ", "filter block ", "filter parent ")):
            raise InputError(
                "a listing does not say of which device it is", file=file,
                line=lines.index(first) + 1, token=first.split()[0],
                hint="put the command above it: `# tc filter show dev p1 ingress`",
            )  # fmt: skip
        yield from read_script(text, file=file)
        return
    yield from _transcript(lines, file)


def as_commands(text: str, *, file: str | None = None) -> str:
    """The same rule set as commands that the real ``tc`` takes; commands stay as they are.

    Raises:
        InputError: naming file, line and word.
        OvsctError: a filter that is listed does what no command can say.
    """
    if not any(_HEADING.match(line) for line in text.splitlines()):
        return text
    lines = []
    for command in read_rules(text, file=file):
        if isinstance(command, QdiscCommand):
            block = f"ingress_block {command.block} " if command.block else ""
            lines.append(f"qdisc add dev p{command.port} {block}{command.kind}")
        elif isinstance(command, FilterCommand):
            lines.append(write_command(command.filter))
    return "\n".join(lines)


def _transcript(lines: list[str], file: str | None) -> Iterator[Command]:
    qdiscs = {command.port: command for command in _qdiscs(lines, file)}
    filters: list[FilterCommand] = []
    listed: dict[int, int] = {}
    for number, (place, begun, shown) in enumerate(_sections(lines, file)):
        block = place.block
        for found, line in _read(shown, begun, file):
            block = found.block or place.block
            # Every port that shares a block lists the same filters.
            if not block or listed.setdefault(block, number) == number:
                port = 0 if block else place.port
                entry = replace(found, port=port, egress=place.egress, block=block)
                filters.append(FilterCommand(Verb.ADD, entry, line, entry.protocol))
        known = qdiscs.get(place.port)
        if place.port and (known is None or (place.egress and known.kind != "clsact")):
            kind = "clsact" if place.egress else "ingress"
            qdiscs[place.port] = QdiscCommand(place.port, True, kind, begun, block)
    yield from qdiscs.values()
    yield from filters


def _sections(
    lines: list[str], file: str | None
) -> Iterator[tuple[Filter, int, list[str]]]:
    """The listings: where each is from, the number of its first line, and its lines."""
    place: Filter | None = None
    begun = 0
    held: list[str] = []
    for number, line in enumerate(lines, 1):
        heading = _HEADING.match(line)
        if heading:
            if place is not None:
                yield place, begun, held
            place, begun, held = _place(heading, number, file), number + 1, []
        elif place is None and line.strip() and not _is_comment(line):
            raise InputError(
                "a listing does not say of which device it is", file=file, line=number,
                token=line.split()[0],
                hint="put the command above it: `# tc filter show dev p1 ingress`",
            )  # fmt: skip
        else:
            held.append("" if _is_comment(line) else line)
    if place is not None:
        yield place, begun, held


def _is_comment(line: str) -> bool:
    return line.startswith(("#", "qdisc "))


def _place(heading: re.Match[str], number: int, file: str | None) -> Filter:
    if heading["block"]:
        return Filter(0, block=int(heading["block"]))
    egress = heading["hook"] in ("egress", "parent ffff:fff3")
    return Filter(_port(heading["dev"], number, file), egress=egress)


def _port(device: str, number: int, file: str | None) -> int:
    found = _DEVICE.match(device)
    if not found:
        raise InputError(
            "no such device", file=file, line=number, token=device, expected="p<n> for port n"
        )
    return int(found[1])


def _qdiscs(lines: Iterable[str], file: str | None) -> Iterator[QdiscCommand]:
    for number, line in enumerate(lines, 1):
        found = _QDISC.match(line)
        if found and found["kind"] in ("ingress", "clsact"):
            port = _port(found["dev"], number, file)
            yield QdiscCommand(port, True, found["kind"], number, int(found["block"] or 0))


def _read(lines: list[str], begun: int, file: str | None) -> Iterator[tuple[Filter, int]]:
    first = next((at for at, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return
    if not lines[first].lstrip().startswith("["):
        yield from read_text(lines, begun, file)
        return
    try:
        shown = json.loads("\n".join(lines))
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg}", file=file, line=begun + error.lineno - 1
        ) from None
    for entry in read_json(shown, begun + first, file):
        yield entry, begun + first
