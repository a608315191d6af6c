from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from ovsct.cli.progress import counted, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def sit_at(stream: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    # Not in a fixture: pytest puts its own stream there when the test begins.
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_nobody_looks_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    items = [1, 2]
    assert counted(items, "x") is items
    with progress("-", "x") as tick:
        assert tick is None


def test_a_bar_counts_bytes_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = sit_at(Terminal(), monkeypatch)
    (tmp_path / "e").write_bytes(bytes(100))
    with progress(str(tmp_path / "e"), "x") as tick:
        assert tick is not None
        assert tick.__self__.total == 100  # type: ignore[attr-defined] # tqdm's own
        tick(60)
        assert tick.__self__.n == 60  # type: ignore[attr-defined]
    assert terminal.getvalue() == ""  # it took less than a second


def test_a_bar_counts_items_and_passes_them_on(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = sit_at(Terminal(), monkeypatch)
    bar = counted([1, 2, 3], "x")
    assert not isinstance(bar, list)
    assert list(bar) == [1, 2, 3]
    assert terminal.getvalue() == ""
