"""A case: flows, groups, and packet lines at times on ports; what verify and fuzz run and shrink.

A case is text throughout, so that it can be kept: :func:`to_yaml` writes it as a scenario
(:mod:`ovsct.compare.scenario`), from which :func:`from_scenario` makes the same case again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ovsct.bridge.bridges import Plan, alone
from ovsct.compare.events import Advance, Happening
from ovsct.compare.packet_line import packet_frames
from ovsct.compare.scenario import Scenario
from ovsct.errors import InputError
from ovsct.lane import Arrival, FlowChange, LinkChange
from ovsct.lanes.make import Setup, Text
from ovsct.packet.describe import describe

LINK: Final = "link "
FLOW_MOD: Final = "flow-mod "
"""How the lines of shots begin that are no packets; with several bridges, the one meant and a colon
follow ``flow-mod``."""


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
class BridgeCase:
    """One bridge of several: how it is wired, its flows and its groups."""

    plan: Plan
    flows: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """Flows, groups and meters as ``ovs-ofctl`` takes them, one a line, and what happens.

    `bridges` are several bridges in one datapath, each with its own; `flows` and `groups` are empty
    then, and `ports` the datapath's numbers of all their ports. `fragments` is the mode of
    ``ovs-ofctl set-frags``, `tlv_map` what its add-tlv-map takes, `flow_tables` are limits of
    tables (ovsct/bridge/eviction.py); `title` says where the case is from.
    """

    flows: tuple[str, ...]
    shots: tuple[Shot, ...]
    groups: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    ports: tuple[int, ...] = (1, 2, 3, 4)
    fragments: str = "normal"
    tlv_map: str = ""
    title: str = "a case"
    bridges: tuple[BridgeCase, ...] = ()
    flow_tables: tuple[str, ...] = ()

    def all_bridges(self) -> tuple[BridgeCase, ...]:
        """The bridges, the one that is alone too."""
        return self.bridges or (BridgeCase(alone(self.ports), self.flows, self.groups),)

    def happenings(self) -> Iterator[Happening]:
        """What happens, in order."""
        for shot in self.shots:
            if not shot.line:
                yield Advance(shot.at)
            elif shot.line.startswith(LINK):
                yield LinkChange(shot.at, shot.port, shot.line == f"{LINK}up")
            elif shot.line.startswith(FLOW_MOD):
                bridge, text = self._flow_mod(shot)
                yield FlowChange(shot.at, text, bridge)
            else:
                for frame in frames_of(shot.line):
                    yield Arrival(shot.at, shot.port, frame)

    def _flow_mod(self, shot: Shot) -> tuple[str, str]:
        """The bridge (of several) and the text of a shot that changes flows."""
        text = shot.line.removeprefix(FLOW_MOD)
        if not self.bridges:
            return "", text
        bridge, _, text = text.partition(": ")
        return bridge, text

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
            bridge = f"{happening.bridge}: " if happening.bridge else ""
            yield Shot(happening.at, 0, f"{FLOW_MOD}{bridge}{happening.text}")
        else:
            yield Shot(happening.at, 0, "")


def from_scenario(scenario: Scenario, name: str, lane: str = "ovs-userspace") -> Case:
    """The case that a lane of a scenario would run.

    Raises:
        InputError: the scenario has no flows, or one of its files cannot be read.
    """
    setup = scenario.setup
    if lane == "tc-script":
        script = setup.tc_script
        if script is None:
            raise InputError("the scenario has no tc_script to verify", file=name)
        return Case(
            flows=_lines(script), ports=setup.ports, title=scenario.title,
            shots=tuple(shots_of(scenario.happenings())),
        )  # fmt: skip
    if setup.flows is None and not setup.bridges:
        raise InputError("the scenario has no flows to verify", file=name)
    return from_setup(setup, scenario.happenings(), scenario.title, lane)


def from_setup(
    setup: Setup, happenings: Iterable[Happening], title: str, lane: str = "ovs-userspace"
) -> Case:
    """The case that is set up so and to which this happens.

    Raises:
        InputError: there are no flows.
    """
    if setup.flows is None and not setup.bridges:
        raise InputError("there are no flows to verify", hint="give --flows FILE")
    options = dict(setup.options.get(lane, {}))
    return Case(
        flows=_lines(setup.flows),
        groups=_lines(setup.groups),
        meters=_lines(setup.meters),
        bridges=tuple(
            BridgeCase(each.plan, _lines(each.flows), _lines(each.groups))
            for each in setup.bridges
        ),
        ports=setup.ports,
        fragments=str(options.get("frag_mode", "normal")),
        flow_tables=tuple(options.get("flow_tables", ())),
        tlv_map=str(options.get("tlv_map", "")),
        shots=tuple(shots_of(happenings)),
        title=title,
    )


def _lines(text: Text | None) -> tuple[str, ...]:
    lines = text.text.splitlines() if text is not None else ()
    bare = (line.partition("#")[0].strip() for line in lines)
    return tuple(line for line in bare if line)


def to_yaml(case: Case, shows: str) -> str:
    """The case as a scenario file; `shows` says in a line what it is for."""
    lines = [f"title: {_quoted(case.title)}", f"shows: {_quoted(shows)}"]
    if not case.bridges:
        lines.append(f"ports: [{', '.join(map(str, case.ports))}]")
    lines.append("lanes: [ovs-userspace]")
    options = [] if case.fragments == "normal" else [f"frag_mode: {case.fragments}"]
    if case.flow_tables:
        options.append(f"flow_tables: [{', '.join(map(_quoted, case.flow_tables))}]")
    if case.tlv_map:
        options.append(f"tlv_map: {_quoted(case.tlv_map)}")
    if options:
        lines.append(f"options: {{ovs-userspace: {{{', '.join(options)}}}}}")
    if case.bridges:
        lines.append("bridges:")
        for bridge in case.bridges:
            lines += [f"  {line}" for line in _bridge(bridge)]
    else:
        lines += _texts(case.flows, case.groups, case.meters)
    lines.append("events:")
    now = 0.0
    for shot in case.shots:
        if not shot.line:
            lines.append(f"  - advance: {_seconds(shot.at - now)}")
        elif shot.line.startswith(LINK):
            state = shot.line.removeprefix(LINK)
            lines.append(f"  - {{port: {shot.port}, link: {state}, at: {_seconds(shot.at)}}}")
        elif shot.line.startswith(FLOW_MOD):
            name, text = case._flow_mod(shot)
            words = f"flow_mod: {_quoted(text)}" + (f", bridge: {name}" if name else "")
            lines.append(f"  - {{{words}, at: {_seconds(shot.at)}}}")
        else:
            if shot.line.startswith("hex "):
                lines.append(f"  # {describe(frames_of(shot.line)[0])}")
            lines.append(f"  - {_quoted(f'{_seconds(shot.at)} p{shot.port} {shot.line}')}")
        now = shot.at
    return "\n".join(lines) + "\n"


def _bridge(bridge: BridgeCase) -> Iterator[str]:
    plan = bridge.plan
    ports = [str(own) if own == port else f"{own} as {port}" for port, own in plan.ports]
    yield f"{plan.name}:"
    yield f"  ports: [{', '.join(ports)}]"
    if plan.patches:
        ends = [f"{port} > {other} {end}" for port, other, end in plan.patches]
        yield f"  patches: [{', '.join(ends)}]"
    for line in _texts(bridge.flows, bridge.groups):
        yield f"  {line}"


def _texts(
    flows: tuple[str, ...], groups: tuple[str, ...], meters: tuple[str, ...] = ()
) -> Iterator[str]:
    for key, texts in (("flows", flows), ("groups", groups), ("meters", meters)):
        if texts:
            yield f"{key}: |"
            yield from (f"  {text}" for text in texts)
    if not flows:
        yield 'flows: ""'


def _seconds(value: float) -> str:
    return f"{round(value, 6):f}".rstrip("0").rstrip(".") or "0"


def _quoted(text: str) -> str:
    """A YAML scalar in double quotes; the texts here are ASCII without backslashes or quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
