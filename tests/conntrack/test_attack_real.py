"""The SYN flood in userspace conntrack, judged by a real ovs-vswitchd with the same limits.

The kernel's side of them is in the recordings that test_kernel_lane plays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ovsct.compare.scenario import read_scenario
from ovsct.conntrack.dump import dump_conntrack
from ovsct.lane import Arrival
from ovsct.lanes.make import make
from ovsct.oracle.real_ovs import RealOvs
from tests.judges import real_ovs

__all__ = ["real_ovs"]

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
FLOODS = sorted(path.stem for path in TOPOLOGIES.glob("syn-flood*.yaml"))


@contextmanager
def limited(real: RealOvs, options: dict[str, Any]) -> Iterator[None]:
    """The limits of a lane's options, undone behind it."""
    real.ctl("dpctl/ct-set-maxconns", str(options["maxconns"]))
    zones = options.get("zone_limits", {})
    for zone, limit in zones.items():
        real.ctl("dpctl/ct-set-limits", f"zone={zone},limit={limit}")
    try:
        yield
    finally:
        real.ctl("dpctl/ct-set-maxconns", "3000000")
        for zone in zones:
            real.ctl("dpctl/ct-del-limits", f"zone={zone}")


def test_there_is_a_flood_and_two_ways_out() -> None:
    assert FLOODS == ["syn-flood", "syn-flood-stateless", "syn-flood-zone-limit"]


@pytest.mark.real_ovs
@pytest.mark.parametrize("name", FLOODS)
def test_as_the_program_does(real_ovs: RealOvs, name: str) -> None:
    scenario = read_scenario(str(TOPOLOGIES / f"{name}.yaml"))
    setup = scenario.setup
    model: Any = make("ovs-userspace", setup)
    assert setup.flows is not None
    real_ovs.reset(setup.flows.text.splitlines(), settle=True)
    with limited(real_ovs, dict(setup.options["ovs-userspace"])):
        for happening in scenario.happenings():
            if not isinstance(happening, Arrival):
                real_ovs.advance(happening.at)
                model.advance(happening.at)
                continue
            model.advance(happening.at)
            mine, theirs = model.receive(happening), real_ovs.receive(happening)
            assert list(mine.out) == list(theirs.out), happening.at
            lines = sorted(dump_conntrack(model.connections(), more=True, statistics=True))
            assert lines == sorted(real_ovs.dump_conntrack("-m", "-s")), happening.at
