"""A progress bar on standard error, if that is a terminal, for what takes over a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def progress(path: str, what: str) -> Iterator[Callable[[int], object] | None]:
    """Gives what is to be told how many bytes of `path` were read; None if nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    size = Path(path).stat().st_size if path != "-" and Path(path).is_file() else None
    with tqdm(total=size, desc=what, unit="B", unit_scale=True, delay=1, leave=False) as bar:
        yield bar.update


def counted(items: Iterable[Item], what: str) -> Iterable[Item]:
    """The same items, counted by a bar if somebody would see it."""
    if not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    return tqdm(items, desc=what, unit=" packets", delay=1, leave=False)
