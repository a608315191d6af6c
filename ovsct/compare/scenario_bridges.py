"""The key ``bridges`` of a scenario: several bridges in one datapath, joined by patch ports.

A port is written ``3``, or ``3 as 1`` where the flows of its bridge call the scenario's port 3 by
the number 1; a patch port ``10 > br-ex 20``: port 10 here is joined with port 20 of br-ex. It is
enough to write a patch at one of its ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from ovsct.bridge.bridges import Plan, check_plans
from ovsct.compare.events import MAX_PORT
from ovsct.compare.yaml_places import Path
from ovsct.errors import InputError

Port = Annotated[int, Field(ge=1, le=MAX_PORT, strict=True)]

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
"""What bridges can be called: a network device has at most 15 letters."""

_PORT: Final = re.compile(r"\s*(\d+)\s+as\s+(\d+)\s*")
_PATCH: Final = re.compile(r"\s*(\d+)\s*>\s*(\S+)\s+(\d+)\s*")


class FileText(BaseModel):
    """Text that stands in a file beside the scenario."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str


class BridgeOf(BaseModel):
    """One of several bridges."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ports: tuple[Port | str, ...]
    patches: tuple[str, ...] = ()
    flows: str | FileText
    groups: str | FileText | None = None


class Misplaced(Exception):
    """Something in the bridges is wrong: `error` says what, `path` leads there."""

    def __init__(self, problem: str, path: Path, token: str, expected: str | None = None) -> None:
        super().__init__(problem)
        self.error = InputError(problem, token=token, expected=expected)
        self.path = path


def plans_of(bridges: Mapping[str, BridgeOf]) -> tuple[Plan, ...]:
    """How the bridges are wired.

    Raises:
        Misplaced: a port or patch is not understood.
        InputError: they do not fit together.
    """
    ends: dict[str, dict[int, tuple[str, int]]] = {name: {} for name in bridges}
    for name in bridges:
        if not _NAME.fullmatch(name):
            raise Misplaced(
                "no bridge can be called so", ("bridges", name), name,
                "a letter, then letters, digits, '_', '.' and '-', 15 in all",
            )  # fmt: skip
    for name, bridge in bridges.items():
        for at, text in enumerate(bridge.patches):
            path: Path = ("bridges", name, "patches", at)
            port, other, end = _patch(text, path)
            if other not in bridges:
                raise Misplaced(
                    "a patch port to a bridge that is not there", path, other,
                    ", ".join(bridges),
                )  # fmt: skip
            for own, number, far in ((name, port, (other, end)), (other, end, (name, port))):
                if ends[own].setdefault(number, far) != far:
                    raise Misplaced(f"patch port {number} of {own} has two ends", path, text)
    plans = tuple(
        Plan(
            name,
            tuple(_port(port, ("bridges", name, "ports", at))
                  for at, port in enumerate(bridge.ports)),
            tuple((port, *far) for port, far in ends[name].items()),
        )
        for name, bridge in bridges.items()
    )  # fmt: skip
    check_plans(plans)
    return plans


def _patch(text: str, path: Path) -> tuple[int, str, int]:
    found = _PATCH.fullmatch(text)
    if found is None:
        raise Misplaced("this is no patch port", path, text, "PORT > BRIDGE PORT")
    return _number(found[1], path), found[2], _number(found[3], path)


def _port(port: int | str, path: Path) -> tuple[int, int]:
    if isinstance(port, int):
        return port, port
    found = _PORT.fullmatch(port)
    if found is None:
        raise Misplaced("this is no port", path, port, "a number, or NUMBER as NUMBER")
    return _number(found[2], path), _number(found[1], path)


def _number(text: str, path: Path) -> int:
    number = int(text)
    if not 1 <= number <= MAX_PORT:
        raise Misplaced("no port number", path, text, f"1 to {MAX_PORT}")
    return number
