"""Flows, text to :class:`Flow` and back.

Takes what ``ovs-ofctl add-flow`` takes and what ``ovs-ofctl dump-flows`` prints (OVS lib/ofp-flow.c
parse_ofp_str__, ofputil_flow_stats_format).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow.check import check_actions, verify_sets
from ovsct.openflow.flow import DEFAULT_PRIORITY, FLAG_NAMES, Flow, FlowStats
from ovsct.openflow.match import Match
from ovsct.openflow.prereq import normalize
from ovsct.openflow.text.action_format import format_actions
from ovsct.openflow.text.action_text import read_actions
from ovsct.openflow.text.argument import table_number
from ovsct.openflow.text.lexer import Item, items, nearest, with_token
from ovsct.openflow.text.match_text import PROTOCOLS, MatchBuilder, format_match, unknown_field
from ovsct.openflow.text.names import BY_NAME, BY_WIRE_NAME
from ovsct.openflow.text.values import NO_PORTS, Ports, integer
from ovsct.packet.fields import FIELDS

_ACTIONS = re.compile(r"action[^=]*=")
_WORD = re.compile(r"\s*([a-z_]+)(?=[, \t\r\n]|\Z)")
_COMMANDS: Final = ("add", "modify", "modify_strict", "delete", "delete_strict")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s?\Z")


def _limited(limit: int) -> Callable[[Item], int]:
    def function(item: Item) -> int:
        return integer(item.value, limit, item.key)

    return function


def _table(item: Item) -> int:
    number = table_number(item.value, item.value_start)
    if number == 254:
        raise InputError(
            "table 254 is the switch's own (OFPBRC_EPERM)", token=item.value, expected="0 to 253"
        )
    return 0 if number == 255 else number  # 255 lets the switch choose, and OVS chooses 0


def _cookie(item: Item) -> int:
    if "/" in item.value:
        raise InputError("a flow that is added has no cookie mask", token=item.value)
    return integer(item.value, (1 << 64) - 1, "cookie")


def _duration(item: Item) -> float:
    found = _DURATION.match(item.value)
    if found is None:
        raise InputError("this is not a duration", token=item.value, expected="such as 3.5s")
    return float(found[1])


_U64: Final = (1 << 64) - 1
_SETTINGS: Final[dict[str, Callable[[Item], int | float]]] = {
    "table": _table,
    "priority": _limited(0xFFFF),
    "cookie": _cookie,
    "idle_timeout": _limited(0xFFFF),
    "hard_timeout": _limited(0xFFFF),
    "importance": _limited(0xFFFF),
}
_STATISTICS: Final[dict[str, Callable[[Item], int | float]]] = {
    "duration": _duration,
    "n_packets": _limited(_U64),
    "n_bytes": _limited(_U64),
    "idle_age": _limited(_U64),
    "hard_age": _limited(_U64),
}
_IGNORED: Final = frozenset({"no_readonly_table", "allow_hidden_fields"})
"""Words of OVS's own that ovs-ofctl takes and passes over too."""

_NOT_FOR_ADD: Final = {
    "out_port": "out_port filters what is deleted or dumped; a flow that is added has none",
    "out_group": "out_group filters what is deleted or dumped; a flow that is added has none",
}


def _unknown_word(item: Item) -> InputError:
    if item.key in _NOT_FOR_ADD:
        return InputError(_NOT_FOR_ADD[item.key], column=item.start + 1, token=item.key)
    if item.key in BY_WIRE_NAME:
        return unknown_field(item.key, item.start)
    known = [*BY_NAME, *PROTOCOLS, *_SETTINGS, *_STATISTICS, *FLAG_NAMES, "eth"]
    return InputError(
        "there is no such field or keyword",
        column=item.start + 1,
        token=item.key,
        hint=nearest(item.key, known),
    )


def _setting(item: Item, read: Callable[[Item], int | float]) -> int | float:
    if not item.value:
        raise InputError(
            "this needs a value", column=item.start + 1, token=item.key,
            expected=f"{item.key}=...",
        )  # fmt: skip
    try:
        return read(item)
    except InputError as error:
        raise error.at(column=item.value_start + 1) from None


def after_command(line: str, commands: Iterable[str] = _COMMANDS) -> int:
    """Column where what is added begins; a bundle file may say ``add`` before that.

    Raises InputError for any other of `commands`.
    """
    found = _WORD.match(line)
    if found is None or found[1] not in commands:
        return 0
    if found[1] != "add":
        raise InputError(
            f"{found[1]} is not supported here",
            column=found.start(1) + 1,
            token=found[1],
            hint="give what shall be there; 'add' may stand before it",
        )
    return found.end()


def _refuse_hidden_fields(match: Match) -> None:
    """Only a switch's own flows match on these (OVS minimatch_has_default_hidden_fields)."""
    for name, hidden in (("recirc_id", match.value), ("dp_hash", match.mask)):
        field = FIELDS[name]
        if field.get(hidden):
            raise InputError(
                f"only the switch itself can match on {name} (OFPBRC_EPERM)",
                column=match.spans_of(field.mask)[-1][0] + 1,
                token=name,
            )


def _read_flow(line: str, file: str | None, number: int | None, ports: Ports) -> Flow:
    start = after_command(line)
    marker = _ACTIONS.search(line, start)
    if marker is None:
        raise InputError(
            "a flow must say its actions", column=len(line.rstrip()) + 1,
            expected="actions=... at the end of the line",
        )  # fmt: skip
    builder = MatchBuilder()
    settings: dict[str, int | float] = {}
    statistics: dict[str, int | float] = {}
    flags: set[str] = set()
    for item in items(line, start, marker.start()):
        if builder.take(item, ports):
            continue
        key = item.key
        if key in _SETTINGS:
            settings[key] = _setting(item, _SETTINGS[key])
        elif key in FLAG_NAMES:
            flags.add(key)
        elif key in _STATISTICS:
            statistics[key] = _setting(item, _STATISTICS[key])
        elif key not in _IGNORED:
            raise _unknown_word(item)
    late: list[InputError] = []  # with a name: what the switch refuses; without: what is bent
    actions = read_actions(line, marker.end(), len(line), ports, late)
    table = int(settings.pop("table", 0))
    said = builder.done()
    _refuse_hidden_fields(said)
    misfits = check_actions(actions, said, table, flags)
    for error in builder.unsayable:
        raise error
    match, dropped = normalize(said, oxm=not misfits)
    for error in (each for each in late if "(OFP" in each.problem):
        raise error
    verify_sets(actions)
    for error in (*builder.late, *late):  # what ovs-ofctl bends without a word is told last
        raise error
    return Flow(
        table=table,
        match=match,
        actions=actions,
        flags=frozenset(flags),
        stats=FlowStats(**statistics) if statistics else None,  # type: ignore[arg-type]
        text=line,
        file=file,
        line=number,
        warnings=(*builder.warnings, *dropped),
        **settings,  # type: ignore[arg-type] # ints, all but the durations
    )


def parse_flow(
    line: str, file: str | None = None, number: int | None = None, ports: Ports = NO_PORTS
) -> Flow:
    """The flow that one line says, as ``ovs-ofctl add-flow`` takes it or ``dump-flows`` prints it.

    `file` and `number` (from 1) are told in errors and kept; `ports` are the names of ports.
    Raises InputError with file, line, column and token.
    """
    try:
        return _read_flow(line, file, number, ports)
    except InputError as error:
        raise with_token(error.at(file=file, line=number), line) from None


_REPLY = re.compile(
    r"\s*(?:NXST|OFPST)_(?:FLOW|GROUP_DESC) reply\b[^:]*:(?:\s*flags=\[more\])?\s*\Z"
)


def lines_of(text: str) -> list[tuple[int, str]]:
    """(number from 1, line without comment) of each line that says something."""
    found = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.partition("#")[0].rstrip("\r")
        if line.strip() and _REPLY.match(line) is None:
            found.append((number, line))
    return found


def read_flows(text: str, file: str | None = None, ports: Ports = NO_PORTS) -> list[Flow]:
    """The flows of a whole file: one a line, blank lines and ``#`` comments aside.

    The head line of a dump is passed over. Raises InputError at the first line that is wrong.
    """
    return [parse_flow(line, file, number, ports) for number, line in lines_of(text)]


def format_flow(flow: Flow) -> str:
    """The flow as ``ovs-ofctl --no-stats dump-flows`` prints it; the line reads back as itself."""
    parts = []
    if flow.cookie:
        parts.append(f"cookie=0x{flow.cookie:x}, ")
    if flow.table:
        parts.append(f"table={flow.table}, ")
    if flow.idle_timeout:
        parts.append(f"idle_timeout={flow.idle_timeout}, ")
    if flow.hard_timeout:
        parts.append(f"hard_timeout={flow.hard_timeout}, ")
    parts.extend(f"{flag} " for flag in FLAG_NAMES if flag in flow.flags)
    if flow.importance:
        parts.append(f"importance={flow.importance}, ")
    match = format_match(flow.match)
    if flow.priority != DEFAULT_PRIORITY:
        match = f"priority={flow.priority},{match}" if match else f"priority={flow.priority}"
    if match:
        parts.append(f"{match} ")
    return f"{''.join(parts)}actions={format_actions(flow.actions)}"
