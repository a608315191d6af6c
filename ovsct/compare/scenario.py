"""Scenarios: what is configured, what happens, and what is to be seen, in one YAML file.

docs/scenarios.md describes the format; :class:`Scenario` is the same as a model, and emits the
JSON schema of it for editors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from ovsct.compare.conversation import Conversation
from ovsct.compare.event_line import event_line, is_time
from ovsct.compare.events import MAX_PORT, Advance, Happening, read_events
from ovsct.compare.expect import Expect
from ovsct.compare.packet_line import packet_frames
from ovsct.compare.scenario_bridges import (
    BridgeOf,
    FileText,
    Misplaced,
    Port,
    plans_of,
)
from ovsct.compare.yaml_places import Document, Place, read_yaml
from ovsct.compare.yaml_places import Path as KeyPath
from ovsct.errors import InputError
from ovsct.lane import Arrival, FlowChange, LinkChange
from ovsct.lanes.make import LANES, BridgeSetup, Setup, Text, unknown_lane
from ovsct.openflow.text.flow_mod_text import parse_flow_mod

DEFAULT_LANES: Final = ("ovs-kernel", "tc", "hw")
"""What `ovsct diff` compares unless told otherwise."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Packet(_Strict):
    """A packet at a time on a port: in words or in hex."""

    at: Seconds | None = None
    port: Port
    packet: str | None = None
    hex: str | None = None


class Pause(_Strict):
    """Time passes: so many seconds."""

    advance: Seconds


class Link(_Strict):
    """The link of a port comes up or goes down."""

    at: Seconds | None = None
    port: Port
    link: Literal["up", "down"]


class FlowMod(_Strict):
    """The flows change: a line of ``ovs-ofctl add-flows``, with a command ahead if it adds none."""

    at: Seconds | None = None
    flow_mod: str
    bridge: str | None = None


class Capture(_Strict):
    """Packets of a capture (or .jsonl) beside the scenario, their times counted from here."""

    capture: str
    port: Port | None = None


class Scenario(_Strict):
    """A scenario file."""

    title: str
    shows: str
    ports: Annotated[int, Field(ge=1, le=MAX_PORT, strict=True)] | tuple[Port, ...] | None = None
    bridges: dict[str, BridgeOf] = Field(default_factory=dict)
    flows: str | FileText | None = None
    groups: str | FileText | None = None
    meters: str | FileText | None = None
    tc_script: str | FileText | None = None
    lanes: tuple[str, ...] = Field(DEFAULT_LANES, min_length=1)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    conversations: dict[str, str] = Field(default_factory=dict)
    events: tuple[str | Packet | Pause | Link | FlowMod | Capture, ...] = Field(min_length=1)
    expect: Expect | None = None

    _file: str = PrivateAttr("")
    _document: Document = PrivateAttr()

    @property
    def setup(self) -> Setup:
        """What the lanes are made from.

        Raises:
            InputError: a file beside the scenario cannot be read.
        """
        bridges = self._bridges()
        if bridges:
            ports: Iterable[int] = (own for each in bridges for _, own in each.plan.ports)
        elif isinstance(self.ports, int):
            ports = range(1, self.ports + 1)
        else:
            ports = self.ports or ()
        return Setup(
            ports=tuple(sorted(set(ports))),
            flows=self._text(("flows",), self.flows),
            groups=self._text(("groups",), self.groups),
            meters=self._text(("meters",), self.meters),
            bridges=bridges,
            tc_script=self._text(("tc_script",), self.tc_script),
            options=self.options,
        )

    def _bridges(self) -> tuple[BridgeSetup, ...]:
        if not self.bridges:
            return ()
        return tuple(
            BridgeSetup(
                plan=plan,
                flows=self._text(("bridges", plan.name, "flows"), self.bridges[plan.name].flows),
                groups=self._text(("bridges", plan.name, "groups"), self.bridges[plan.name].groups),
            )
            for plan in plans_of(self.bridges)
        )

    def _text(self, key: KeyPath, value: str | FileText | None) -> Text | None:
        if value is None:
            return None
        if isinstance(value, FileText):
            path = self._beside(value.file, (*key, "file"))
            try:
                return Text(Path(path).read_text(encoding="utf-8"), path)
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8"
                raise self._error(f"cannot be read: {reason}", (*key, "file"), value.file) from None
        place = self._document.place(key)
        return Text(place.raw if place.raw is not None else value, self._file, place.line)

    def _beside(self, name: str, path: KeyPath) -> str:
        found = Path(self._file).parent / name
        if not found.is_file():
            raise self._error("there is no such file beside the scenario", path, name)
        return str(found)

    def _error(self, problem: str, path: KeyPath, token: str | None = None) -> InputError:
        place = self._document.place(path)
        return InputError(
            problem, file=self._file, line=place.line, column=place.column or None, token=token
        )

    def happenings(self) -> Iterator[Happening]:
        """What happens, in order; each call starts from the beginning.

        Raises:
            InputError: an event is wrong; it names file, line, column and token.
        """
        talks = self._conversations()
        ports = set(self.setup.ports)
        now = 0.0
        for number, event in enumerate(self.events):
            path = ("events", number)
            for happening in self._event(event, path, now, talks):
                now = happening.at
                if isinstance(happening, Arrival | LinkChange) and happening.port not in ports:
                    raise self._error(
                        f"port {happening.port} is not one of the scenario's ports", path
                    )
                yield happening

    def _conversations(self) -> dict[str, Conversation]:
        talks = {}
        for name, line in self.conversations.items():
            try:
                talks[name] = Conversation(line)
            except InputError as error:
                raise self._placed(error, ("conversations", name)) from None
        return talks

    def _event(
        self,
        event: str | Packet | Pause | Link | FlowMod | Capture,
        path: KeyPath,
        now: float,
        talks: dict[str, Conversation],
    ) -> Iterator[Happening]:
        if isinstance(event, Pause):
            yield Advance(round(now + event.advance, 9))
        elif isinstance(event, Capture):
            name = self._beside(event.capture, (*path, "capture"))
            for happening in read_events(name, port=event.port):
                yield happening._replace(at=happening.at + now)
        elif isinstance(event, Packet):
            yield from self._packet(event, path, now)
        elif isinstance(event, Link):
            yield LinkChange(self._time(event.at, path, now), event.port, event.link == "up")
        elif isinstance(event, FlowMod):
            if event.bridge not in (tuple(self.bridges) or (None,)):
                raise self._error(
                    f"say the bridge: one of {', '.join(self.bridges)}" if self.bridges
                    else "there is but one bridge, and it has no name", path, event.bridge,
                )  # fmt: skip
            try:
                parse_flow_mod(event.flow_mod)
            except InputError as error:
                raise self._placed(error, (*path, "flow_mod")) from None
            at = self._time(event.at, path, now)
            yield FlowChange(at, event.flow_mod, event.bridge or "")
        else:
            try:
                yield from event_line(event, now, talks)
            except InputError as error:
                raise self._placed(error, path) from None

    def _packet(self, event: Packet, path: KeyPath, now: float) -> Iterator[Happening]:
        at = self._time(event.at, path, now)
        if (event.packet is None) == (event.hex is None):
            raise self._error("a packet is given by either 'packet' or 'hex'", path)
        key, line = "packet", event.packet or ""
        try:
            if event.hex is not None:
                key, line = "hex", event.hex
                frames = [bytes.fromhex(line)]
            else:
                frames = packet_frames(line)
        except InputError as error:
            raise self._placed(error, (*path, key)) from None
        except ValueError as error:
            raise self._error(f"this is no frame: {error}", (*path, key), line[:40]) from None
        for frame in frames:
            yield Arrival(at, event.port, frame)

    def _time(self, at: float | None, path: KeyPath, now: float) -> float:
        """The time of an event that may say one."""
        if at is not None and at < now:
            raise self._error(f"time runs backwards: {at:g} after {now:g}", (*path, "at"))
        return now if at is None else at

    def _placed(self, error: InputError, path: KeyPath) -> InputError:
        """An error in a line of text, with its place in the file."""
        place = self._document.place(path)
        column = place.column + (error.column or 1) - 1 if place.column else error.column
        return InputError(
            error.problem, file=self._file, line=place.line, column=column,
            token=error.token, expected=error.expected, hint=error.hint,
        )  # fmt: skip


def read_scenario(path: str) -> Scenario:
    """The scenario of a file; its events have been read through once, so they are right.

    Raises:
        InputError: the file cannot be read, or something in it is wrong; with line and column.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is not UTF-8", file=path, expected="text") from None
    scenario = parse_scenario(text, path)
    for _ in scenario.happenings():
        pass
    return scenario


def parse_scenario(text: str, name: str) -> Scenario:
    """The scenario of a text, called `name` in errors; files are looked for beside that name.

    Raises:
        InputError: with line and column.
    """
    document = read_yaml(text, name)
    if not isinstance(document.value, dict):
        raise InputError("no scenario", file=name, line=1, expected="keys such as title and flows")
    try:
        scenario = Scenario.model_validate(document.value)
    except ValidationError as error:
        raise _explained(error, document, name) from None
    scenario._file = name
    scenario._document = document
    _check(scenario)
    return scenario


def _check(scenario: Scenario) -> None:
    document, name = scenario._document, scenario._file
    _check_bridges(scenario)
    for key, names in (("lanes", scenario.lanes), ("options", tuple(scenario.options))):
        for at, lane in enumerate(names):
            if lane not in LANES:
                path: KeyPath = (key, at) if key == "lanes" else (key, lane)
                place = document.keys.get(path) or document.place(path)
                raise unknown_lane(lane).at(file=name, line=place.line, column=place.column)
    for talk in scenario.conversations:
        if is_time(talk) or (talk[:1] == "p" and talk[1:].isdecimal()):
            place = document.keys["conversations", talk]
            raise InputError(
                "a conversation cannot be called like a time or a port",
                file=name, line=place.line, column=place.column, token=talk,
            )  # fmt: skip


def _check_bridges(scenario: Scenario) -> None:
    """Ports and flows stand in one place: the scenario's own, or the bridges'."""
    if not scenario.bridges:
        if scenario.ports is None:
            place = scenario._document.place(())
            raise InputError(
                "the scenario lacks a key", file=scenario._file, line=place.line,
                column=place.column or None, token="ports",
            )  # fmt: skip
        return
    for key in ("ports", "flows", "groups", "meters"):
        if getattr(scenario, key) is not None:
            place = scenario._document.keys[key,]
            raise InputError(
                "with bridges, each has its own", file=scenario._file, line=place.line,
                column=place.column, token=key,
            )  # fmt: skip
    try:
        plans_of(scenario.bridges)
    except Misplaced as found:
        name = scenario._document.keys.get(found.path)
        if name is not None:
            raise found.error.at(
                file=scenario._file, line=name.line, column=name.column
            ) from None
        raise scenario._placed(found.error, found.path) from None
    except InputError as error:
        raise scenario._placed(error, ("bridges",)) from None


# -- what pydantic says, in one line with its place ------------------------------------------------

_EVENTS: Final[dict[str, type[BaseModel]]] = {
    "Packet": Packet, "Pause": Pause, "Link": Link, "FlowMod": FlowMod, "Capture": Capture,
}  # fmt: skip


def _explained(error: ValidationError, document: Document, name: str) -> InputError:
    problems = [_Problem(each, document) for each in error.errors(include_url=False)]
    return min(problems, key=lambda each: each.rank).error(name)


class _Problem:
    """One of pydantic's errors. Of several (a union gives one a member) the best is told."""

    def __init__(self, found: Any, document: Document) -> None:
        self._found = found
        self._document = document
        branch = [part for part in found["loc"] if _is_member(part)]
        self.path: KeyPath = tuple(part for part in found["loc"] if not _is_member(part))
        self._model: type[BaseModel] = _model_at(self.path, branch)
        value = _at(document.value, self.path)
        holder = _at(document.value, self.path[:-1])
        unfit = found["type"] in ("string_type", "model_type", "int_type", "tuple_type")
        distance = 0
        if branch and isinstance(holder, dict) and branch[0] in _EVENTS:
            # The member meant is the one that has most of the keys, or nearly has them.
            known = list(_EVENTS[branch[0]].model_fields)
            distance = -sum(bool(get_close_matches(key, known, n=1)) for key in holder)
        self.rank = (
            unfit and isinstance(value, dict | list),
            distance,
            found["type"] == "missing",
            self.place.line,
        )

    @property
    def place(self) -> Place:
        """Where the value stands, or the key itself if it is the key that is wrong."""
        if self._found["type"] == "extra_forbidden" and self.path in self._document.keys:
            return self._document.keys[self.path]
        return self._document.place(self.path)

    def error(self, name: str) -> InputError:
        """The error for people."""
        found, path = self._found, self.path
        key = str(path[-1]) if path else ""
        problem, token, expected, hint = found["msg"], str(found["input"]), None, None
        known = list(self._model.model_fields)
        if found["type"] == "extra_forbidden":
            close = get_close_matches(key, known, n=1)
            problem, token, expected = "there is no such key", key, ", ".join(known)
            hint = f"did you mean {close[0]!r}?" if close else None
        elif found["type"] == "missing":
            where = " ".join(str(part) for part in path[:-1])
            problem, token = f"{where + ' lacks' if where else 'the scenario lacks'} a key", key
        else:
            problem = f"{'.'.join(str(part) for part in path)}: {problem[:1].lower()}{problem[1:]}"
            token = token if len(token) <= 60 else f"{token[:57]}..."
        place = self.place
        return InputError(
            problem, file=name, line=place.line, column=place.column or None,
            token=token, expected=expected, hint=hint,
        )  # fmt: skip


_MEMBERS: Final = frozenset({"str", "FileText", "constrained-int", *_EVENTS})


def _is_member(part: str | int) -> bool:
    """Whether pydantic put this into a path for the member of a union that it tried."""
    return part in _MEMBERS or (isinstance(part, str) and part.startswith("tuple["))


def _model_at(path: KeyPath, branch: list[Any]) -> type[BaseModel]:
    if branch and branch[0] in _EVENTS:
        return _EVENTS[branch[0]]
    if path[:1] == ("expect",) and len(path) > 1:
        return Expect
    if "FileText" in branch:
        return FileText
    if path[:1] == ("bridges",) and len(path) > 2:
        return BridgeOf
    return Scenario


def _at(value: Any, path: KeyPath) -> Any:
    for part in path:
        if isinstance(value, dict):
            value = value.get(part) if isinstance(part, str) else None
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value
