"""Ryu's own switch tests on ``ovsct switch`` and on a real ovs-vswitchd.

Here all that send a packet or two, and of those that measure rates the quickest, cut short: what
fails must fail for the same reason. All of them at full length: ``python -m
tests.controller.ryu_switch``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from ovsct.oracle.vswitchd import Vswitchd
from tests.agent.programs import Modelled, Real
from tests.controller.ryu_cases import VERSIONS, Case, cases_folder, read_cases
from tests.controller.ryu_switch import OK, Report, compare, run

_SAMPLE = "group/00_ALL"
_SECONDS = 3.0
PASSED = {
    "of10": {"action": 42, "match": 150},
    "of13": {"action": 140, "match": 536, "group": 3},
    "of14": {"action": 140, "match": 518, "group": 3},
}
"""How many of these OVS 3.1 was seen to pass, by test_fails_and_passes_as_the_real_one_does."""


class Given(NamedTuple):
    """A version's cases, and what the modelled switch made of them."""

    version: str
    cases: list[Case]
    ours: Report


@pytest.fixture(scope="module", params=VERSIONS)
def given(request: pytest.FixtureRequest) -> Given:
    version = request.param
    folder = cases_folder(version)
    if isinstance(folder, str):
        pytest.skip(folder)
    cases = [
        case for case in read_cases(folder) if not case.streams or case.file.startswith(_SAMPLE)
    ]
    with tempfile.TemporaryDirectory(prefix="ovsct-") as place:
        switch = Modelled(Path(place))
        try:
            report = run(switch, cases, _SECONDS, VERSIONS[version])
        finally:
            ended = switch.stop(), switch.errors()
            if ended != (0, ""):
                pytest.fail(f"ovsct switch ended with {ended[0]}: {ended[1]}")
    return Given(version, cases, report)


def test_passes_what_ovs_3_1_was_seen_to_pass(given: Given) -> None:
    passed = dict.fromkeys(PASSED[given.version], 0)
    for case, result in zip(given.cases, given.ours.results, strict=True):
        passed[case.file.partition("/")[0]] += result == OK
    assert passed == PASSED[given.version]


def _asked(version: str, cases: list[Case]) -> Report:
    with Vswitchd() as program:
        return run(Real(program), cases, _SECONDS, VERSIONS[version])


@pytest.mark.real_ovs
def test_fails_and_passes_as_the_real_one_does(
    given: Given, record_property: Callable[[str, object], None]
) -> None:
    version, cases, ours = given
    theirs = _asked(version, cases)
    # The program has threads: what it judges otherwise, a new one is asked once more, alone.
    pairs = zip(ours.results, theirs.results, strict=True)
    otherwise = [number for number, (mine, real) in enumerate(pairs) if mine != real]
    if otherwise:
        results = list(theirs.results)
        again = _asked(version, [cases[number] for number in otherwise])
        for number, result in zip(otherwise, again.results, strict=True):
            results[number] = result
        theirs = replace(theirs, results=tuple(results))
    record_property("ovsct switch", f"{ours.passed} of {len(cases)}")
    record_property("ovs-vswitchd", f"{theirs.passed} of {len(cases)}")
    assert compare(cases, ours, theirs) == []
    # A folder of one's own may have fewer cases than Ryu's; none passed proves nothing.
    assert ours.passed == theirs.passed > 0
