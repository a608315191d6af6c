"""Flows, groups and meters into a running bridge, by ovs-ofctl, with its own refusals.

One process a change: a single ``ovs-ofctl bundle`` carries deletions, groups and flows, so that
a case is set up in one go and a refused line leaves nothing half done (ovs-ofctl(8), "Bundle
commands"). The versions named let a table mix actions that only some OpenFlow versions have.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ovsct.errors import InputError, OvsctError
from ovsct.oracle.vswitchd import Vswitchd, find_program

VERSIONS: Final = "OpenFlow10,OpenFlow13,OpenFlow15"

_COMMANDS: Final = frozenset({"add", "modify", "modify_strict", "delete", "delete_strict"})
"""What a line of a flow file may begin with (ovs-ofctl(8), add-flows); add is meant without."""

_GROUP_COMMANDS: Final = frozenset(
    {"add", "modify", "add_or_mod", "delete", "insert_bucket", "remove_bucket"}
)

_PARSE_ERROR = re.compile(r"^ovs-ofctl: (?:-|[^:\s]+):(?P<line>\d+): (?P<text>.*)$", re.M | re.S)
_SWITCH_ERROR = re.compile(r"^Error (?P<name>OFP\w+) for: (?P<what>.*)$", re.M)
_ERROR_NAME = re.compile(r"\bOFP[A-Z0-9]+_[A-Z0-9_]+\b")


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


class _Command(NamedTuple):
    """One line for ``ovs-ofctl bundle``, and the user's line that it came from."""

    text: str
    source: Text | None = None
    number: int = 0


CLEAR: Final = (_Command("flow delete"), _Command("group delete"))
"""Removes every flow and group."""


def flow_commands(text: Text) -> list[_Command]:
    """The bundle commands for the lines of a flow file."""
    return list(_commands("flow", _COMMANDS, text))


def group_commands(text: Text) -> list[_Command]:
    """The bundle commands for the lines of a group file."""
    return list(_commands("group", _GROUP_COMMANDS, text))


def _commands(kind: str, verbs: frozenset[str], text: Text) -> Iterable[_Command]:
    for number, line in enumerate(text.lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        verb = "" if words[0] in verbs else "add "
        yield _Command(f"{kind} {verb}{line.strip()}", text, number)


class Ofctl:
    """ovs-ofctl for one bridge of a running program."""

    def __init__(self, program: Vswitchd, bridge: str) -> None:
        self._program = program
        self._ofctl = find_program("ovs-ofctl")
        self._target = f"unix:{program.management(bridge)}"
        self.warnings: list[str] = []
        """What ovs-ofctl said about lines that it took, since the last call."""

    def bundle(self, commands: Sequence[_Command]) -> None:
        """Carry out `commands` as one bundle: all of them or none.

        Raises:
            Refused: with the program's own message and the user's line. If it was the switch
                that refused, shorter bundles were tried to find the line; what is left is that
                the commands before the refused line have been carried out.
            OvsctError: ovs-ofctl failed for another reason.
        """
        done = self._bundle(commands)
        if done.returncode == 0:
            self.warnings = done.stderr.splitlines()
            return
        if parsed := _PARSE_ERROR.search(done.stderr):
            command = commands[int(parsed["line"]) - 1]
            raise _refusal(command, " ".join(parsed["text"].split()))
        if not _SWITCH_ERROR.search(done.stderr):
            raise OvsctError(f"ovs-ofctl: {' / '.join(done.stderr.split(chr(10))).strip(' /')}")
        # Which one the switch meant: the shortest bundle that is refused ends with it, for the
        # switch takes them in order.
        good, bad = 0, len(commands)
        while bad - good > 1:
            middle = (good + bad) // 2
            if self._bundle(commands[:middle]).returncode == 0:
                good = middle
            else:
                bad = middle
        last = self._bundle(commands[:bad])
        refused = _SWITCH_ERROR.search(last.stderr) or _SWITCH_ERROR.search(done.stderr)
        assert refused is not None
        raise _refusal(commands[bad - 1], refused["name"])

    def command(self, name: str, *arguments: str) -> str:
        """Run one ovs-ofctl command on the bridge and return what it prints.

        Raises:
            OvsctError: it failed.
        """
        done = self._run(name, self._target, *arguments)
        if done.returncode != 0:
            raise OvsctError(f"ovs-ofctl {name}: {' '.join(done.stderr.split())}")
        return done.stdout

    def add_meters(self, text: Text) -> None:
        """Add the meters of a meter file, a line each.

        Raises:
            Refused: with the program's own message and the line.
        """
        for number, line in enumerate(text.lines, 1):
            if not line.partition("#")[0].strip():
                continue
            done = self._run("add-meter", self._target, line.strip())
            if done.returncode != 0:
                switch = _SWITCH_ERROR.search(done.stderr)
                said = switch["name"] if switch else " ".join(done.stderr.split())
                raise _refusal(_Command(line, text, number), said.removeprefix("ovs-ofctl: "))

    def _bundle(self, commands: Sequence[_Command]) -> subprocess.CompletedProcess[str]:
        lines = "\n".join(command.text for command in commands) + "\n"
        return self._run("bundle", self._target, "-", text=lines)

    def _run(
        self, name: str, *arguments: str, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._ofctl, "-O", VERSIONS, name, *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=self._program.environment(),
            cwd=self._program.directory,
            check=False,
        )


def _refusal(command: _Command, said: str) -> Refused:
    if command.source is None:
        return Refused(said, token=command.text)
    line = command.source.lines[command.number - 1].strip()
    return Refused(said, file=command.source.name, line=command.number, token=line)
