"""A case: flows, groups, and packet lines at times on ports; what verify and fuzz run and shrink.

A case is text throughout, so that it can be kept: :func:`to_yaml` writes it as a scenario
(:mod:`ovsct.compare.scenario`), from which :func:`from_scenario` makes the same case again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ovsct.compare.events import Advance, Happening
from ovsct.compare.packet_line import packet_frames
from ovsct.compare.scenario import Scenario
from ovsct.errors import InputError
from ovsct.lane import Arrival, FlowChange, LinkChange
from ovsct.lanes.make import Setup
from ovsct.packet.describe import describe

LINK: Final = "link "
FLOW_MOD: Final = "flow-mod "
"""How the lines of shots begin that are no packets."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One event: `line` says the packet (:mod:`ovsct.compare.packet_line`); empty: time passes.

    ``link up`` and ``link down`` are about the link of the port; ``flow-mod`` and a line as
    ``ovs-ofctl add-flows`` takes it change the flows.
    """

    at: float
    port: int
    line: str


@dataclass(frozen=True, slots=True)
class Case:
    """Flows, groups and meters as ``ovs-ofctl`` takes them, one a line, and what happens.

    `fragments` is the mode of ``ovs-ofctl set-frags``; `title` says where the case is from.
    """

    flows: tuple[str, ...]
    shots: tuple[Shot, ...]
    groups: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    ports: tuple[int, ...] = (1, 2, 3, 4)
    fragments: str = "normal"
    title: str = "a case"

    def happenings(self) -> Iterator[Happening]:
        """What happens, in order."""
        for shot in self.shots:
            if not shot.line:
                yield Advance(shot.at)
            elif shot.line.startswith(LINK):
                yield LinkChange(shot.at, shot.port, shot.line == f"{LINK}up")
            elif shot.line.startswith(FLOW_MOD):
                yield FlowChange(shot.at, shot.line.removeprefix(FLOW_MOD))
            else:
                for frame in frames_of(shot.line):
                    yield Arrival(shot.at, shot.port, frame)

    def packets(self) -> Iterator[Arrival | Advance]:
        """What happens, in order, where nothing changes meanwhile.

        Raises:
            InputError: something does.
        """
        for happening in self.happenings():
            if not isinstance(happening, Arrival | Advance):
                raise InputError("nothing may change while packets run here")
            yield happening


@lru_cache(maxsize=4096)
def frames_of(line: str) -> tuple[bytes, ...]:
    """The frames that a packet line says.

    Raises:
        InputError: with column and token.
    """
    return tuple(packet_frames(line))


def shots_of(happenings: Iterable[Happening]) -> Iterator[Shot]:
    """Happenings of any source as shots; packets become hex."""
    for happening in happenings:
        if isinstance(happening, Arrival):
            yield Shot(happening.at, happening.port, f"hex {happening.frame.hex()}")
        elif isinstance(happening, LinkChange):
            state = "up" if happening.up else "down"
            yield Shot(happening.at, happening.port, f"{LINK}{state}")
        elif isinstance(happening, FlowChange):
            yield Shot(happening.at, 0, f"{FLOW_MOD}{happening.text}")
        else:
            yield Shot(happening.at, 0, "")


def from_scenario(scenario: Scenario, name: str) -> Case:
    """The case that a scenario's lane ``ovs-userspace`` would run.

    Raises:
        InputError: the scenario has no flows, or one of its files cannot be read.
    """
    setup = scenario.setup
    if setup.flows is None:
        raise InputError("the scenario has no flows to verify", file=name)
    return from_setup(setup, scenario.happenings(), scenario.title)


def from_setup(setup: Setup, happenings: Iterable[Happening], title: str) -> Case:
    """The case that is set up so and to which this happens.

    Raises:
        InputError: there are no flows.
    """
    if setup.flows is None:
        raise InputError("there are no flows to verify", hint="give --flows FILE")
    options = dict(setup.options.get("ovs-userspace", {}))
    return Case(
        flows=tuple(_lines(setup.flows.text)),
        groups=tuple(_lines(setup.groups.text)) if setup.groups is not None else (),
        meters=tuple(_lines(setup.meters.text)) if setup.meters is not None else (),
        ports=setup.ports,
        fragments=str(options.get("frag_mode", "normal")),
        shots=tuple(shots_of(happenings)),
        title=title,
    )


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        bare = line.partition("#")[0].strip()
        if bare:
            yield bare


def to_yaml(case: Case, shows: str) -> str:
    """The case as a scenario file; `shows` says in a line what it is for."""
    lines = [
        f"title: {_quoted(case.title)}",
        f"shows: {_quoted(shows)}",
        f"ports: [{', '.join(map(str, case.ports))}]",
        "lanes: [ovs-userspace]",
    ]
    if case.fragments != "normal":
        lines.append(f"options: {{ovs-userspace: {{frag_mode: {case.fragments}}}}}")
    for key, texts in (
        ("flows", case.flows), ("groups", case.groups), ("meters", case.meters),
    ):  # fmt: skip
        if texts:
            lines.append(f"{key}: |")
            lines += [f"  {text}" for text in texts]
    if not case.flows:
        lines.append('flows: ""')
    lines.append("events:")
    now = 0.0
    for shot in case.shots:
        if not shot.line:
            lines.append(f"  - advance: {_seconds(shot.at - now)}")
        elif shot.line.startswith(LINK):
            state = shot.line.removeprefix(LINK)
            lines.append(f"  - {{port: {shot.port}, link: {state}, at: {_seconds(shot.at)}}}")
        elif shot.line.startswith(FLOW_MOD):
            text = _quoted(shot.line.removeprefix(FLOW_MOD))
            lines.append(f"  - {{flow_mod: {text}, at: {_seconds(shot.at)}}}")
        else:
            if shot.line.startswith("hex "):
                lines.append(f"  # {describe(frames_of(shot.line)[0])}")
            lines.append(f"  - {_quoted(f'{_seconds(shot.at)} p{shot.port} {shot.line}')}")
        now = shot.at
    return "\n".join(lines) + "\n"


def _seconds(value: float) -> str:
    return f"{round(value, 6):f}".rstrip("0").rstrip(".") or "0"


def _quoted(text: str) -> str:
    """A YAML scalar in double quotes; the texts here are ASCII without backslashes or quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
