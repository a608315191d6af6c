"""The options that say what is configured, and how they become a Setup. Files are read here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ovsct.compare.events import ports_of
from ovsct.errors import InputError
from ovsct.lanes.make import (
    LANES,
    MAX_PORT,
    Setup,
    Text,
    ports_named,
    unknown_lane,
)

Command = TypeVar("Command", bound=Callable[..., Any])

flows_option = click.option(
    "--flows", metavar="FILE", help="Flows, as ovs-ofctl add-flows takes them."
)
_OPTIONS: Final = (
    click.option("--groups", metavar="FILE", help="Groups, as ovs-ofctl add-groups takes them."),
    click.option("--tc-script", metavar="FILE", help="tc commands, for the lane tc-script."),
    click.option(
        "--ports",
        metavar="N|1-4|1,3",
        help="The bridge's ports: how many, or which. Default: those that are named.",
    ),
    click.option(
        "--set",
        "settings",
        metavar="LANE.OPTION=VALUE",
        multiple=True,
        help="An option of a lane, such as tc.kernel=6.12; may be given more than once.",
    ),
)


def setup_options(command: Command) -> Command:
    """Adds --groups, --tc-script, --ports and --set to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_text(path: str) -> Text:
    """The text of a file that the user named.

    Raises:
        InputError: it cannot be read, or is not UTF-8 (the line is named).
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    try:
        return Text(data.decode(), path)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"byte {data[error.start]:#04x} is not UTF-8", file=path, line=line,
            expected="text",
        ) from None  # fmt: skip


def make_setup(
    *,
    flows: str | None,
    groups: str | None,
    tc_script: str | None,
    ports: str | None,
    settings: Sequence[str],
    events: str | None = None,
    port: int | None = None,
) -> Setup:
    """The Setup that the options say; without `ports`, those that flows, groups and events name.

    Raises:
        InputError: a file or option is wrong.
    """
    setup = Setup(
        ports=parse_ports(ports) if ports is not None else (),
        flows=read_text(flows) if flows is not None else None,
        groups=read_text(groups) if groups is not None else None,
        tc_script=read_text(tc_script) if tc_script is not None else None,
        options=parse_settings(settings),
    )
    warn(setup)
    if ports is not None:
        return setup
    named = named_by(setup)
    if setup.tc_script is not None:
        named |= {int(found[1]) for found in _DEVICE.finditer(setup.tc_script.text)}
    if events is not None:
        named |= ports_of(events, port=port)
    return with_ports(setup, named)


def only_scenario(setup: Mapping[str, Any], events: str | None, port: int | None) -> None:
    """Refuse options that say what a scenario says itself. Raises InputError."""
    given = {**setup, "events": events, "port": port}
    for option, value in given.items():
        if value:
            name = "set" if option == "settings" else option.replace("_", "-")
            raise InputError(f"--{name} does not go with a scenario: that says it itself")


def named_by(setup: Setup) -> set[int]:
    """The ports that the flows and groups of a setup name."""
    return ports_named([*setup.parsed_flows, *setup.parsed_groups])


def with_ports(setup: Setup, ports: set[int]) -> Setup:
    """The same setup with other ports; what was parsed stays so."""
    changed = copy(setup)
    object.__setattr__(changed, "ports", tuple(sorted(ports)))
    if not setup.bridges:
        from ovsct.bridge.bridges import alone

        # The bridge that is alone has these ports, too.
        bridges = tuple(copy(bridge) for bridge in setup.all_bridges)
        for bridge in bridges:
            object.__setattr__(bridge, "plan", alone(changed.ports))
        object.__setattr__(changed, "all_bridges", bridges)
    return changed


def warn(setup: Setup) -> None:
    """Tell on standard error what OVS takes without a word and the user should know."""
    for flow in setup.parsed_flows:
        for warning in flow.warnings:
            click.echo(f"ovsct: warning: {flow.file}:{flow.line}: {warning}", err=True)


_DEVICE: Final = re.compile(r'\b(?:dev(?:ice)?\s+|to_dev": "|indev": ")p(\d+)\b')
"""A port in commands of tc and in what it lists."""
_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?")


def parse_ports(text: str) -> tuple[int, ...]:
    """Port numbers from ``4`` (1 to 4), ``2-5``, ``1,3,7-9`` or ``5,`` (just port 5).

    Raises:
        InputError: it is none of these, or a number is no port.
    """
    expected = f"a number of ports, 1-4 or 1,3,7-9 (ports 1 to {MAX_PORT})"
    if text.strip().isdecimal():
        text = f"1-{text.strip()}"
    found: set[int] = set()
    for part in text.split(","):
        if not part.strip():
            continue
        match = _RANGE.fullmatch(part.strip())
        low = int(match[1]) if match else 0
        high = int(match[2] or match[1]) if match else 0
        if not 1 <= low <= high <= MAX_PORT:
            raise InputError("no ports", token=part.strip(), expected=expected)
        found.update(range(low, high + 1))
    if not found:
        raise InputError("no ports", token=text, expected=expected)
    return tuple(sorted(found))


def parse_settings(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Options by lane from ``LANE.OPTION=VALUE``; a value is JSON, or else text.

    Raises:
        InputError: a setting is not of that form, or there is no such lane.
    """
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        lane, dot, option = name.strip().partition(".")
        if not equals or not dot or not option:
            raise InputError("no setting", token=setting, expected="LANE.OPTION=VALUE")
        if lane not in LANES:
            raise unknown_lane(lane)
        found.setdefault(lane, {})[option.replace("-", "_")] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    # 6.12 is a version rather than a number: 6.10 must not become 6.1.
    return text if isinstance(value, float) and re.fullmatch(r"\d+\.\d+", text) else value
