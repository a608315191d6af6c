"""Early drop, on a real kernel and in the model: a flood evicts itself, and never what is assured.

Which entries share a bucket of the hash table is drawn anew by every kernel, so that what is alike
is how many may be there at once, what was counted, and who was spared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.openflow.text.flow_text import read_flows
from ovsct.oracle.kernel.cache import OracleMissing
from ovsct.oracle.kernel.kernel_ovs import KernelOvs
from ovsct.packet.build import tcp
from tests.conntrack.record_kernel import Case, set_up, statistics

FLOWS = (
    "table=0,priority=10,ip,actions=ct(zone=2,table=1)",
    "table=1,priority=20,ct_state=+trk+new,ip,in_port=1,actions=ct(commit,zone=2),output:2",
    "table=1,priority=10,ct_state=+trk+est,ip,in_port=1,actions=output:2",
    "table=1,priority=10,ct_state=+trk+est,ip,in_port=2,actions=output:1",
)
SYSCTLS = {"max": 560, "buckets": 512}
FLOOD = 700
HONEST = ("10.0.0.1", "10.0.0.2", 1000, 80)


def talk() -> list[Arrival]:
    """A handshake; then SYNs from everywhere, more than the table has room for."""
    back = ("10.0.0.2", "10.0.0.1", 80, 1000)
    shakes = [
        Arrival(0.0, 1, tcp(*HONEST, "S", seq=1)),
        Arrival(0.01, 2, tcp(*back, "SA", seq=7, ack=2)),
        Arrival(0.02, 1, tcp(*HONEST, "A", seq=2, ack=8)),
    ]
    flood = [
        Arrival(1.0 + n / 1000, 1, tcp(f"203.0.{n >> 8}.{n & 255}", "10.0.0.2", 9, 80, "S", seq=n))
        for n in range(FLOOD)
    ]
    return [*shakes, *flood, Arrival(5.0, 1, tcp(*HONEST, "A", seq=2, ack=8))]


def check(passed: int, connections: list[Any], early_drop: int, drop: int) -> None:
    assert passed == FLOOD + 4
    assert drop == 0
    assert len(connections) <= SYSCTLS["max"]
    # Each entry that is gone was dropped early, at least one whenever the table was full.
    assert len(connections) == FLOOD + 1 - early_drop
    assert early_drop >= FLOOD + 1 - SYSCTLS["max"]
    assert [c.orig.src for c in connections if "assured" in c.status] == ["10.0.0.1"]


def test_in_the_model() -> None:
    lane = OvsKernel(Bridge((1, 2), read_flows("\n".join(FLOWS), None)), sysctls=SYSCTLS)
    passed = sum(len(lane.receive(each).out) for each in talk())
    stat = lane.netfilter.stat
    check(passed, list(lane.connections()), stat.early_drop, stat.drop)


@pytest.fixture(scope="module", params=["6.1", "6.12"])
def kernel(request: pytest.FixtureRequest) -> Iterator[KernelOvs]:
    try:
        lane = KernelOvs(FLOWS, kernel=f"uml:{request.param}")
    except (OracleMissing, InputError) as error:
        pytest.skip(f"no user-mode kernel {request.param} with Open vSwitch: {error}")
    with lane:
        yield lane


@pytest.mark.real_kernel
@pytest.mark.real_ovs
def test_on_a_kernel(kernel: KernelOvs) -> None:
    with set_up(kernel, Case("early drop", FLOWS, (), SYSCTLS)):
        before = statistics(kernel)
        passed = sum(len(played.out) for played in kernel.play(talk()))
        counted = statistics(kernel) - before
        check(passed, list(kernel.connections()), counted["early_drop"], counted["drop"])
