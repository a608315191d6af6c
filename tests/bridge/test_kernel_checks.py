"""Which actions a kernel refuses, as kernels 6.1.176 and 6.12.117 did.

The same is asked of running kernels in tests/compare/test_verify_kernel_ovs.py.
"""

from __future__ import annotations

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.compare.case import frames_of
from ovsct.lane import Arrival, Drop
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.text.flow_text import read_flows

UDP = "udp 10.0.0.1:1 > 10.0.0.2:2"
MACS = "020000000002020000000001"
LABEL = "8847000641404500001c0000000040115dc00a00010109090908005000500008e22c"


def kernel(actions: str) -> OvsKernel:
    return OvsKernel(Bridge((1, 2, 3), read_flows(f"actions={actions}")))


@pytest.mark.parametrize(
    ("actions", "line"),
    [
        ("push_mpls:0x8847,output:2", f"{UDP} vlan 5"),
        ("pop_mpls:0x0800,output:2", f"hex {MACS}81000005{LABEL}"),
        ("push_mpls:0x8847,output:2", f"hex {MACS}88cc{'00' * 40}"),
        # Not even what goes out before.
        ("output:3,clone(push_mpls:0x8847,output:2)", f"{UDP} vlan 5"),
    ],
)
def test_what_is_refused_goes_nowhere_and_leaves_no_flow(actions: str, line: str) -> None:
    frame = frames_of(line)[0]
    lane = kernel(actions)
    for number in range(2):
        outcome = lane.receive(Arrival(number / 10, 1, frame))
        assert (list(outcome.out), outcome.drop) == ([], Drop.REFUSED)
    assert lane.dump_flows() == []
    # vswitchd counts what it decided, every time again.
    assert [packets for _, packets, _ in lane.flow_stats()] == [2]
    userspace = OvsUserspace(Bridge((1, 2, 3), read_flows(f"actions={actions}")))
    assert userspace.receive(Arrival(0, 1, frame)).out


@pytest.mark.parametrize(
    ("actions", "line"),
    [
        ("push_mpls:0x8847,output:2", UDP),
        ("pop_vlan,push_mpls:0x8847,output:2", f"{UDP} vlan 5"),
        ("push_mpls:0x8847,push_vlan:0x8100,output:2", UDP),
        ("push_mpls:0x8847,output:2", f"hex {MACS}{LABEL}"),
    ],
)
def test_what_is_taken(actions: str, line: str) -> None:
    lane = kernel(actions)
    outcome = lane.receive(Arrival(0, 1, frames_of(line)[0]))
    assert [out.port for out in outcome.out] == [2]
    assert len(lane.dump_flows()) == 1
