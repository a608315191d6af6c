"""What docs/ovs-and-tc.md and docs/cases.md say of kernels, asked of a kernel.

Each scenario runs packet by packet in the model's lane and in the program that the lane is of: the
column K of the page in a real ovs-vswitchd over openvswitch.ko, T in one that lowers to TC, or, for
a rule set, in TC itself. (U is asked in tests/cli/test_topologies.py.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.compare.case import Case, from_scenario
from ovsct.compare.judges import RuleSetJudge
from ovsct.compare.scenario import read_scenario
from ovsct.compare.words import outputs
from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError, OvsctError
from ovsct.lane import Arrival
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.openflow.text.flow_text import read_flows
from ovsct.oracle.kernel.cache import OracleMissing
from tests.judges import Judges
from tests.oracle.frames import SYN, tcp

pytestmark = [pytest.mark.real_kernel, pytest.mark.real_ovs]

FOLDER = Path(__file__).parents[2] / "topologies"
READ = {
    file: read_scenario(str(file))
    for folder in ("side-by-side", "cases")
    for file in sorted((FOLDER / folder).glob("*.yaml"))
}
PORTS = (1, 2, 3, 4)
LONG = 200.0
"""Seconds; what comes later is not waited for. The timeouts are in the dumps before."""
NOT_SHOWN = {"44-vip-and-direct-cured"}
"""With TC: their nat has no address, for which the model's tc has no word."""


def rows(lane: str) -> list[Path]:
    return [file for file, scenario in READ.items() if lane in scenario.lanes]


def case(file: Path, lane: str) -> Case:
    found = from_scenario(READ[file], file.name, lane)
    return replace(found, shots=tuple(shot for shot in found.shots if shot.at < LONG))


@pytest.mark.parametrize("lane", ["ovs-kernel", "tc"])
def test_every_row_comes_as_in_open_vswitch_on_a_kernel(
    kernel_judges: Judges, lane: str
) -> None:
    judge = kernel_judges(lane, "6.1")
    unlike = {}
    for file in rows(lane):
        verdict = judge.run(case(file, lane))
        if verdict.difference is not None:
            unlike[file.stem] = list(verdict.difference.lines())
        if lane == "tc" and file.stem in NOT_SHOWN:
            continue
        assert verdict.left_out is None, (file.stem, verdict.left_out)
    assert unlike == {}
    assert len(rows(lane)) >= 25


@pytest.fixture(scope="module")
def rule_sets() -> Iterator[RuleSetJudge]:
    try:
        judge = RuleSetJudge("6.1")
    except (OracleMissing, InputError) as error:
        pytest.skip(f"no kernel 6.1: {error}")
    with judge:
        yield judge


@pytest.mark.parametrize("file", rows("tc-script"), ids=lambda file: file.stem)
def test_every_rule_set_comes_as_in_a_kernel(rule_sets: RuleSetJudge, file: Path) -> None:
    verdict = rule_sets.run(case(file, "tc-script"))
    assert verdict.difference is None, list(verdict.difference.lines())
    assert verdict.left_out is None


FIREWALL = (
    "ip,ct_state=-trk,actions=ct(table=1,zone=5)",
    "table=1,ip,ct_state=+trk+new,actions=ct(commit,zone=5),output:2",
    "table=1,priority=9,ip,ct_state=+trk+inv,actions=output:3",
)
SYNS = [Arrival(n * 0.25, 1, tcp("10.0.0.1", "10.0.0.2", 1000 + n, 80, SYN, 7)) for n in range(4)]


def test_row_8_a_full_table_drops(kernel_judges: Judges) -> None:
    real = kernel_judges("ovs-kernel", "6.1").verifier.real
    real.reset(FIREWALL)
    most = "/proc/sys/net/netfilter/nf_conntrack_max"
    model = OvsKernel(
        Bridge(PORTS, read_flows("\n".join(FIREWALL))), netfilter=Netfilter(max=2)
    )
    real.guest.ask("write_file", path=most, text="2")
    try:
        mine = [outputs(model.receive(each).out) for each in SYNS]
        theirs = [outputs(played.out) for played in real.play(SYNS)]
    finally:
        real.guest.ask("write_file", path=most, text="65536")
    assert mine == theirs
    assert [len(out) for out in mine] == [1, 1, 0, 0]


def test_row_20_a_zone_limit_drops_in_the_datapath(kernel_judges: Judges) -> None:
    real = kernel_judges("ovs-kernel", "6.1").verifier.real
    real.reset(FIREWALL)
    model = OvsKernel(Bridge(PORTS, read_flows("\n".join(FIREWALL))))
    model.tracker.zone_limits[5] = 2
    try:
        real.ctl("dpctl/ct-set-limits", "zone=5,limit=2")
    except OvsctError as error:
        pytest.skip(f"{real.release} was built without NETFILTER_CONNCOUNT: {error}")
    try:
        mine = [outputs(model.receive(each).out) for each in SYNS]
        theirs = [outputs(played.out) for played in real.play(SYNS)]
    finally:
        real.ctl("dpctl/ct-del-limits", "zone=5")
    assert mine == theirs
    assert [len(out) for out in mine] == [1, 1, 0, 0]
