"""The userspace dialect against a real ovs-vswitchd: random conversations, compared a packet at a
time in ct_state, zone, mark, label, original tuple, translation and dump-conntrack -s -m.
"""

from __future__ import annotations

import pytest

from ovsct.oracle.real_ovs import RealOvs
from tests.conntrack.userspace_cases import CASES, run_case
from tests.judges import real_ovs

__all__ = ["real_ovs"]


@pytest.mark.real_ovs
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", sorted(CASES))
def test_same_as_the_program(real_ovs: RealOvs, name: str, seed: int) -> None:
    assert run_case(real_ovs, name, seed, 80) is None
