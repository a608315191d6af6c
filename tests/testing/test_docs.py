"""The examples of docs/testing.md are run as they stand."""

from __future__ import annotations

import re
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import pytest

pytest_plugins = ["pytester", "ovsct.testing.plugin"]

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", _PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_pytest_finds_the_plugin_by_itself() -> None:
    setup = ConfigParser(delimiters=("=",))
    setup.read(_PAGE.parent.parent / "setup.cfg", encoding="utf-8")
    name, _, module = setup["options.entry_points"]["pytest11"].strip().partition(" = ")
    # By its own name: pytest then knows it however it is asked for, and takes it once.
    assert name == module
    assert hasattr(import_module(module), "ovs_bridge")


def test_the_examples_run(pytester: pytest.Pytester) -> None:
    for number, example in enumerate(EXAMPLES):
        pytester.makepyfile(**{f"test_{number}": example})
    assert len(EXAMPLES) == 7
    # The plugin is there already in this process, of which pytest warns where it is installed too.
    result = pytester.runpytest_inprocess(
        "-p", "ovsct.testing.plugin", "-W", "ignore::pytest.PytestAssertRewriteWarning"
    )
    # One of them runs in four lanes, one in two, of which the real one may not be here.
    outcomes = result.parseoutcomes()
    assert outcomes.pop("skipped", 0) <= 1
    assert outcomes in ({"passed": 10}, {"passed": 11})


def test_where_there_is_no_ovs_vswitchd_its_tests_are_skipped(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from ovsct.oracle import vswitchd

        def find_program(name):
            raise vswitchd.ProgramMissing(f"{name} is not installed")

        vswitchd.find_program = find_program
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("ovs_lane", ["real-ovs", "tc"])
        def test_it(ovs_bridge):
            ovs_bridge.add_flows("actions=2")
        """
    )
    result = pytester.runpytest_inprocess("-p", "ovsct.testing.plugin", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*ovs-vswitchd is not installed*"])
