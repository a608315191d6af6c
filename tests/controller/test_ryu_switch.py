"""Ryu's own switch tests on ``ovsct switch`` and on a real ovs-vswitchd.

Here all that send a packet or two, and of those that measure rates the quickest, cut short. All of
them at full length: ``python -m tests.controller.ryu_switch``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ovsct.oracle.vswitchd import Vswitchd
from tests.agent.programs import Modelled, Real
from tests.controller.ryu_cases import Case, cases_folder, read_cases
from tests.controller.ryu_switch import OK, Report, compare, run

_SAMPLE = "group/00_ALL"
_SECONDS = 3.0


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    folder = cases_folder()
    if isinstance(folder, str):
        pytest.skip(folder)
    return [
        case for case in read_cases(folder) if not case.streams or case.file.startswith(_SAMPLE)
    ]


@pytest.fixture(scope="module")
def ours(cases: list[Case]) -> Report:
    with tempfile.TemporaryDirectory(prefix="ovsct-") as folder:
        switch = Modelled(Path(folder))
        report = run(switch, cases, _SECONDS)
        assert switch.stop() == 0
        return report


def test_passes_what_ovs_3_1_was_seen_to_pass(cases: list[Case], ours: Report) -> None:
    passed = {"action": 0, "match": 0, "group": 0}
    for case, result in zip(cases, ours.results, strict=True):
        passed[case.file.partition("/")[0]] += result == OK
    # As test_passes_what_the_real_one_passes counted them for the real one, with Ryu's cases.
    assert passed == {"action": 140, "match": 536, "group": 3}


@pytest.mark.real_ovs
def test_passes_what_the_real_one_passes(
    cases: list[Case], ours: Report, record_property: Callable[[str, object], None]
) -> None:
    with Vswitchd() as program:
        theirs = run(Real(program), cases, _SECONDS)
    record_property("ovsct switch", f"{ours.passed} of {len(cases)}")
    record_property("ovs-vswitchd", f"{theirs.passed} of {len(cases)}")
    # A folder of one's own may have fewer cases than Ryu's thousand; none passed proves nothing.
    assert theirs.passed > 0
    assert [line for line in compare(cases, ours, theirs) if line.endswith(f"real: {OK}")] == []
    assert ours.passed >= theirs.passed
