"""The judges as fixtures, for the tests of every room.

A test that uses one carries its marker too (``@pytest.mark.real_ovs``), by which it is skipped
with a reason where the judge is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ovsct.compare.generate import Profile
from ovsct.compare.judges import KernelOvsJudge
from ovsct.errors import InputError
from ovsct.oracle.kernel.cache import OracleMissing
from ovsct.oracle.real_ovs import RealOvs


@pytest.fixture(scope="session")
def real_ovs() -> Iterator[RealOvs]:
    """One real ovs-vswitchd for the whole run, with ports 1 to 4; ``reset`` it for each case."""
    with RealOvs(ports=(1, 2, 3, 4)) as lane:
        yield lane


Judges = Callable[[str, str], KernelOvsJudge]


@pytest.fixture(scope="session")
def kernel_judges() -> Iterator[Judges]:
    """Open vSwitch in user-mode kernels, by lane and series, each started once for the whole run.

    A test is skipped where there is no such kernel: no stock one can do all that is asked.
    """
    started: dict[tuple[str, str], KernelOvsJudge] = {}

    def judge(lane: str, series: str) -> KernelOvsJudge:
        if (lane, series) not in started:
            try:
                started[lane, series] = KernelOvsJudge(lane, f"uml:{series}", Profile.ALL)
            except (OracleMissing, InputError) as error:
                pytest.skip(f"no user-mode kernel {series} with Open vSwitch: {error}")
        return started[lane, series]

    yield judge
    for each in started.values():
        each.close()
