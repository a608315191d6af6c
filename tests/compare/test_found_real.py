"""The shortest cases of differences that campaigns found, once mended: they do not come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.compare.case import from_scenario
from ovsct.compare.scenario import read_scenario
from ovsct.compare.verify import Verifier

pytestmark = pytest.mark.real_ovs

FOUND = sorted((Path(__file__).parent / "found").glob("*.yaml"))


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as both:
        yield both


@pytest.mark.parametrize("path", FOUND, ids=[path.stem for path in FOUND])
def test_it_does_not_come_back(verifier: Verifier, path: Path) -> None:
    verdict = verifier.run(from_scenario(read_scenario(str(path)), path.name))
    told = "\n".join(verdict.difference.lines()) if verdict.difference else ""
    assert verdict.difference is None, told
    assert verdict.left_out is None
