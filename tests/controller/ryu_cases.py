"""Ryu's own switch tests: its JSON cases, read with its own reader from os-ken's package.

Ryu has a program that tests switches (``ryu/tests/switch/tester.py``) and some thousand cases a
version for it, in files by the action or field they are about. os-ken, its fork, ships both; Ryu's
package ships no cases. :func:`read_cases` reads the files with the tester's own classes, so that
the messages, the packets and the comparisons below are those of the tester, and only its two
switches, its controller and its sleeps are not needed.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "OVSCT_RYU_TESTS"
"""The variable that names another folder of cases: ``ryu/tests/switch`` of a clone of Ryu."""

VERSIONS: Final = {"of10": 1, "of13": 4, "of14": 5}
"""The folders of cases, and their versions on the wire."""

RECEIVE: Final = 1
SEND: Final = (2, 3)
"""The target's ports, which the cases write as numbers."""


@dataclass(frozen=True)
class Case:
    """One case: what the target is told, and packets with what has to come of each.

    `prerequisite` are os-ken's messages; `tests` are as os-ken's tester reads them.
    """

    file: str
    name: str
    prerequisite: tuple[Any, ...]
    tests: tuple[dict[str, Any], ...]

    @property
    def streams(self) -> bool:
        """Whether it measures a rate, with packets for half a minute."""
        return any("packets" in test for test in self.tests)

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


def cases_folder(version: str) -> Path | str:
    """Where the cases of a version (see :data:`VERSIONS`) lie, or why there are none."""
    named = os.environ.get(FOLDER)
    if named:
        there = Path(named) / version
        return there if there.is_dir() else f"{FOLDER} names {named}, where no {version} is"
    found = find_spec("os_ken")
    if found is None or found.origin is None:
        return f"os-ken is not installed, and {FOLDER} names no folder of Ryu's switch tests"
    folder = Path(found.origin).parent / "tests" / "switch" / version
    if not folder.is_dir():
        return f"this os-ken ships no switch tests: name a folder of them in {FOLDER}"
    return folder


def tester() -> Any:
    """os-ken's tester, a module."""
    from os_ken.tests.switch import tester as module

    return module


def throw_dice() -> None:
    """Have the tester's random packets begin anew, the same for every target."""
    tester().randint = random.Random(1).randint


def read_cases(folder: Path) -> Iterator[Case]:
    """All cases below a version's folder, by file and then in their order.

    Raises ValueError: a bad file.
    """
    module = tester()
    module.OfTester.target_ver = module.OfTester.tester_ver = VERSIONS[folder.name]
    complaints = _Complaints()
    logger = logging.getLogger("ryu_cases")
    logger.addHandler(complaints)
    try:
        for path in sorted(folder.rglob("*.json")):
            name = str(path.relative_to(folder).with_suffix(""))
            for test in module.TestFile(str(path), logger).tests:
                yield Case(name, test.description, tuple(test.prerequisite), tuple(test.tests))
            if complaints.said:
                raise ValueError(complaints.said[0])
    finally:
        logger.removeHandler(complaints)


class _Complaints(logging.Handler):
    """What the reader logs instead of raising."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
