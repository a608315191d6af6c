"""The examples of docs/testing.md are run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester", "ovsct.testing.plugin"]

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", _PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_the_examples_run(pytester: pytest.Pytester) -> None:
    for number, example in enumerate(EXAMPLES):
        pytester.makepyfile(**{f"test_{number}": example})
    assert len(EXAMPLES) == 6
    result = pytester.runpytest_inprocess("-p", "ovsct.testing.plugin")
    result.assert_outcomes(passed=9)  # one of them in four lanes
