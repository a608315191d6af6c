"""Topologies: the bridges of a switch in a file, written as in a scenario (docs/bridges.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ovsct.compare.scenario import parse_scenario
from ovsct.compare.yaml_places import read_yaml
from ovsct.errors import InputError
from ovsct.lanes.make import Setup

_KEYS: Final = ("title", "shows", "bridges")


def read_topology(path: str) -> Setup:
    """The bridges that a file says: the key ``bridges`` of a scenario, a title and prose at most.

    Raises:
        InputError: the file cannot be read, or something in it is wrong; with line and column.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is not UTF-8", file=path, expected="text") from None
    document = read_yaml(text, path)
    found = document.value if isinstance(document.value, dict) else {}
    for key in found:
        if key not in _KEYS:
            place = document.keys[key,]
            raise InputError(
                "a topology has no such key", file=path, line=place.line, column=place.column,
                token=key, expected=", ".join(_KEYS),
            )  # fmt: skip
    if not found.get("bridges"):
        raise InputError("a topology has bridges", file=path, line=1, token="bridges")
    # What a scenario needs besides says nothing of its bridges.
    words = {"title": "a topology", "shows": "its bridges", "events": "[{advance: 0}]"}
    rest = [f"{key}: {value}" for key, value in words.items() if key not in found]
    return parse_scenario("\n".join((text.rstrip("\n"), *rest)) + "\n", path).setup
