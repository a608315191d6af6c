"""What the tutorial types is run, and what it says comes out comes out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_block_is_one_command() -> None:
    assert len(BLOCKS) == TEXT.count("```console") > 0
    assert not any(line.startswith("$ ") for _, told in BLOCKS for line in told.splitlines())


@pytest.mark.parametrize(("command", "told"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_it_prints_what_it_says(ovsct, monkeypatch, command: str, told: str) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    assert program == "ovsct"
    done = ovsct(*arguments)
    assert done.exit_code == (1 if arguments[0] == "diff" else 0), done.output
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line.rstrip()).replace("…", ".*") + r" *\n"
        for line in told.splitlines()
    )
    assert re.fullmatch(pattern, done.stdout), done.stdout
