"""A lane that needs no flows, and a way to run the command."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ovsct.cli.main import cli
from ovsct.lane import Lane, Outcome
from ovsct.lanes import make
from tests.compare.fakes import FakeLane

Run = Callable[..., Result]


@pytest.fixture
def ovsct() -> Run:
    """Runs ``ovsct`` with the given arguments."""

    def run(*arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(cli, [str(each) for each in arguments], input=stdin)

    return run


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[FakeLane]]:
    """Makes a name a lane that answers as told; gives the list of all that were made."""

    def install(name: str, answers: Mapping[int, Outcome] | None = None) -> list[FakeLane]:
        made: list[FakeLane] = []

        def build(setup: make.Setup, trace: bool, options: Mapping[str, object]) -> Lane:
            made.append(FakeLane(name, answers, trace=trace))
            return made[-1]

        monkeypatch.setitem(make.LANES, name, build)  # type: ignore[misc]
        return made

    return install


@pytest.fixture
def events(tmp_path: Path) -> str:
    """A .jsonl of three packets and some time."""
    path = tmp_path / "e.jsonl"
    records = [
        {"at": 0.0, "port": 1, "frame": "00" * 14},
        {"at": 1.5, "port": 2, "frame": "11" * 14},
        {"at": 5.0},
        {"at": 5.0, "port": 1, "frame": "22" * 14},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)
