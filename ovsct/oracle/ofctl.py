"""Flows, groups and meters into a running bridge, by ovs-ofctl, with its own refusals.

Which OpenFlow version carries a flow matters: goto_table and write_actions exist from 1.1 on, while
only 1.0 lets an action need what the match does not promise (``strip_vlan`` without a VLAN in the
match). So a file goes as one bundle of OpenFlow 1.5, and what has no place there is taken apart
until single lines are left, which may go by 1.0. The order of the lines is kept throughout.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from ovsct.errors import InputError, OvsctError
from ovsct.oracle.vswitchd import find_program

_STRICT: Final = ("-O", "OpenFlow13,OpenFlow15", "--bundle")
_LOOSE: Final = ("-O", "OpenFlow10")
_METER_VERSIONS: Final = ("-O", "OpenFlow13,OpenFlow15")

_NO_COMMON_VERSION: Final = "usable flow formats"
"""In both of ovs-ofctl's messages about flows that no version asked for can carry."""

_PARSE_ERROR = re.compile(r"^ovs-ofctl: (?:-|<stdin>):(?P<line>\d+): (?P<text>.*)$", re.M | re.S)
_SWITCH_ERROR = re.compile(r"^(?:Error |OFPT_ERROR .*: )(?P<name>(?:OFP|NX)[A-Z0-9]+C_\w+)", re.M)
_LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT[^|]*\|\d+\|.*\n", re.M)
_ERROR_NAME = re.compile(r"\b(?:OFP|NX)[A-Z0-9]+C_[A-Z0-9_]+\b")


class Refused(InputError):
    """ovs-ofctl or the switch refused a line; `problem` is the program's own message."""

    @property
    def openflow_error(self) -> str | None:
        """The OpenFlow error's name (``OFPBAC_BAD_ARGUMENT``), if the program named one."""
        found = _ERROR_NAME.search(self.problem)
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Text:
    """The lines of one text of the user's: its name for messages, and its lines."""

    name: str
    lines: Sequence[str]


class _Line(NamedTuple):
    """One line for ovs-ofctl, and where it stands in the user's text."""

    text: str
    source: Text | None = None
    number: int = 0


_DELETE_ALL: Final = _Line("delete")


def _lines(text: Text) -> list[_Line]:
    """The lines that say anything: without the empty ones and those with a comment only."""
    lines = []
    for number, line in enumerate(text.lines, 1):
        if "\n" in line or "\r" in line:
            raise InputError("a line break within a line", file=text.name, line=number, token=line)
        if line.partition("#")[0].strip():
            lines.append(_Line(line.strip(), text, number))
    return lines


class Switch(Protocol):
    """A running program as ovs-ofctl sees it."""

    @property
    def directory(self) -> Path:
        """Where ovs-ofctl is run."""

    def management(self, bridge: str) -> Path:
        """The bridge's OpenFlow socket."""

    def environment(self) -> dict[str, str]:
        """The environment that ovs-ofctl gets."""

    def check(self) -> None:
        """Raise if the program is gone."""


class Ofctl:
    """ovs-ofctl for one bridge of a running program.

    Args:
        program: the program.
        bridge: the bridge's name.
        names: whether lines may name ports and tables; to learn the names takes a megabyte.
    """

    def __init__(self, program: Switch, bridge: str, *, names: bool = True) -> None:
        self._program = program
        self._names = () if names else ("--no-names",)
        self._ofctl = find_program("ovs-ofctl")
        self._target = f"unix:{program.management(bridge)}"
        self._has_groups = False
        self._has_meters = False
        self.warnings: list[str] = []
        """What ovs-ofctl said about the lines that it took, since the last change began."""

    def replace(self, flows: Text, groups: Text, meters: Text) -> None:
        """Have these flows, groups and meters on the bridge, and no others.

        Raises:
            Refused: a line was refused; what is on the bridge then is not defined.
            OvsctError: ovs-ofctl failed for another reason.
        """
        self.warnings = []
        if self._has_meters or meters.lines:
            self._apply("add-flows", [_DELETE_ALL])
            self.command("del-meters")
            self._has_meters = bool(meters.lines)
            self._add_meters(_lines(meters))
        if self._has_groups:
            # Flows go first: deleting a group that one flow names twice kills the program
            # (assertion in ofproto_rule_remove__(), 3.1).
            self._apply("add-flows", [_DELETE_ALL])
        if self._has_groups or groups.lines:
            self._has_groups = bool(groups.lines)
            self._apply("add-groups", [_DELETE_ALL, *_lines(groups)])
        self._apply("add-flows", [_DELETE_ALL, *_lines(flows)])

    def add_flows(self, flows: Text) -> None:
        """Carry out the lines of a flow file; they may begin with ``delete`` or ``modify``.

        Raises:
            Refused: a line was refused. If ovs-ofctl could not read it, nothing was changed; if
                the switch refused it, the lines before it have been carried out.
            OvsctError: ovs-ofctl failed for another reason.
        """
        self.warnings = []
        if lines := _lines(flows):
            self._apply("add-flows", lines)

    def command(self, name: str, *arguments: str) -> str:
        """Run one ovs-ofctl command on the bridge and return what it prints.

        Raises:
            OvsctError: it failed.
        """
        done = self._run(*_METER_VERSIONS, name, self._target, *arguments)
        if done.returncode != 0:
            raise OvsctError(f"ovs-ofctl {name}: {' '.join(done.stderr.split())}")
        return done.stdout

    def _apply(self, name: str, lines: Sequence[_Line]) -> None:
        """Carry out `lines` in order; where they cannot go as one bundle, as two halves."""
        text = "".join(f"{line.text}\n" for line in lines)
        done = self._run(*_STRICT, name, self._target, "-", text=text)
        if done.returncode == 0:
            self.warnings += done.stderr.splitlines()
            return
        self._program.check()
        if parsed := _PARSE_ERROR.search(done.stderr):
            raise _refusal(lines[int(parsed["line"]) - 1], parsed["text"])
        if len(lines) > 1:
            self._apply(name, lines[: len(lines) // 2])
            self._apply(name, lines[len(lines) // 2 :])
            return
        if name == "add-flows" and _NO_COMMON_VERSION in done.stderr:
            done = self._run(*_LOOSE, name, self._target, "-", text=text)
            if done.returncode == 0:
                self.warnings += done.stderr.splitlines()
                return
        raise _refusal(lines[0], done.stderr)

    def _add_meters(self, lines: Sequence[_Line]) -> None:
        for line in lines:
            done = self._run(*_METER_VERSIONS, "add-meter", self._target, line.text)
            if done.returncode != 0:
                self._program.check()
                raise _refusal(line, done.stderr)

    def _run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._ofctl, *self._names, *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=self._program.environment(),
            cwd=self._program.directory,
            check=False,
        )


def _refusal(line: _Line, said: str) -> Refused:
    """The refusal of a line, with what the program said put into one line."""
    if switch := _SWITCH_ERROR.search(said):
        said = switch["name"]
    said = " ".join(_LOG_LINE.sub("", said).removeprefix("ovs-ofctl: ").split())
    if line.source is None:
        return Refused(said, token=line.text)
    return Refused(said, file=line.source.name, line=line.number, token=line.text)
