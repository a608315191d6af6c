"""A real ovs-vswitchd over a kernel's datapath: the talk's tables, without TC and lowered to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.openflow.text.flow_text import read_flows
from ovsct.oracle.kernel.cache import OracleMissing
from ovsct.oracle.kernel.kernel_ovs import KernelOvs
from ovsct.oracle.kernel.real_kernel import RealKernel
from tests.oracle.frames import ACK, SYN, tcp

pytestmark = [pytest.mark.real_kernel, pytest.mark.real_ovs]

A, B = "10.0.0.1", "10.0.0.2"
FLOWS = (
    "table=0,priority=1,ip,actions=ct(zone=2,table=1)",
    "table=1,priority=1,ct_state=+trk+new,ip,in_port=1,actions=ct(commit,zone=2),output:2",
    "table=1,priority=1,ct_state=+trk+est,ip,in_port=1,actions=output:2",
    "table=1,priority=1,ct_state=+trk+est,ip,in_port=2,actions=output:1",
)
STORY = (
    Arrival(0.0, 2, tcp(B, A, 80, 1000, SYN, 7)),
    Arrival(0.5, 1, tcp(A, B, 1000, 80, SYN, 100)),
    Arrival(1.0, 2, tcp(B, A, 80, 1000, SYN | ACK, 500, 101)),
    Arrival(1.5, 1, tcp(A, B, 1000, 80, ACK, 101, 501)),
    Arrival(2.0, 1, tcp(A, B, 1000, 80, ACK, 101, 501)),
)
"""A SYN from the wrong side is dropped; then a handshake from the right one."""


@pytest.fixture(scope="module", params=[False, True], ids=["datapath", "tc"])
def ovs(request: pytest.FixtureRequest) -> Iterator[KernelOvs]:
    try:
        lane = RealKernel.with_ovs(FLOWS, kernel="uml:6.1", hw_offload=request.param)
    except (OracleMissing, InputError) as error:
        pytest.skip(f"no user-mode kernel 6.1 with Open vSwitch: {error}")
    with lane:
        yield lane


def test_the_talks_tables(ovs: KernelOvs) -> None:
    ovs.reset(FLOWS)
    model = OvsKernel(Bridge((1, 2), read_flows("\n".join(FLOWS)), []))
    for each in STORY:
        model.advance(each.at)
        mine, real = model.receive(each), ovs.receive(each)
        assert list(mine.out) == list(real.out), each.at
    (connection,) = ovs.connections()
    assert (connection.zone, connection.orig.sport) == (2, 1000)
    assert "assured" in connection.status
    assert ("offload" in connection.status) == ovs.hw_offload
    (line,) = ovs.dump_conntrack("dpctl")
    assert line.startswith("tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80)")


def test_where_the_megaflows_are(ovs: KernelOvs) -> None:
    ovs.reset(FLOWS)
    for each in STORY:
        ovs.receive(each)
    in_tc = ovs.dump_flows("type=tc")
    in_datapath = ovs.dump_flows("type=ovs")
    shown = ovs.show_filters(1)
    if ovs.hw_offload:
        # What drops has nothing to lower; the rest is all there.
        assert len(in_tc) >= 4
        assert "ct zone 2 pipe" in shown
        assert "goto chain" in shown
        assert "ct commit zone 2" in shown
    else:
        assert in_tc == []
        assert len(in_datapath) >= 5
        assert shown == ""


def test_megaflows_age_in_virtual_time(ovs: KernelOvs) -> None:
    ovs.reset(FLOWS)
    ovs.receive(STORY[1])
    assert ovs.dump_flows()
    ovs.advance(40.0)
    assert ovs.dump_flows() == []
    assert len(ovs.connections()) == 1
    ovs.advance(125.0)
    assert ovs.dump_conntrack() == []


def test_a_refused_flow_has_the_programs_words(ovs: KernelOvs) -> None:
    with pytest.raises(InputError, match="unknown keyword foo"):
        ovs.reset(["table=0,foo=1,actions=drop"])
    ovs.reset(FLOWS)
    assert [port for port, _ in ovs.receive(STORY[1]).out] == [2]


def test_hw_offload_needs_a_kernel_that_can() -> None:
    try:
        RealKernel.with_ovs(FLOWS, kernel="qemu:6.1", hw_offload=True)
    except OracleMissing as error:
        pytest.skip(str(error))
    except InputError as error:
        assert "NET_TC_SKB_EXT" in str(error) or "no such kernel" in str(error)
    else:
        pytest.fail("a stock kernel was taken for what it cannot do")
