"""What holds for the whole project, whichever room a file is in."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Put together here, so that this file does not hold what it looks for.
FORBIDDEN = tuple(f"/{folder}/".encode() for folder in ("work", "root", "home", "Users"))


def tracked_files() -> list[Path]:
    """The files git tracks and that are still there."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no list of tracked files")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    names = listed.decode().split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_developers_machine() -> None:
    files = tracked_files()
    assert ROOT / "setup.cfg" in files
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.decode(errors='replace').strip()}"
        for path in files
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1)
        if any(word in line for word in FORBIDDEN)
    ]
    assert found == []


def test_every_module_says_what_it_is() -> None:
    modules = sorted((ROOT / "ovsct").rglob("*.py"))
    assert ROOT / "ovsct" / "__init__.py" in modules
    silent = [
        str(path.relative_to(ROOT))
        for path in modules
        if not ast.get_docstring(ast.parse(path.read_bytes()))
    ]
    assert silent == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "ovsct").rglob("*.py")}
    assert [str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").is_file()] == []
