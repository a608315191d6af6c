"""What happens to a switch that comes back, and what when it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.lane import Arrival
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.build import udp
from tests.controller.rig import LIBRARIES, Bench, Controller, Library, meaning

pytestmark = pytest.mark.real_ovs

RULES = "rules: [{name: dns, protocol: udp, ports: 53}]"
OTHER = "rules: [{name: ntp, protocol: udp, ports: 123}]"
THERE = udp("10.0.0.1", "10.0.0.2", 1000, 53)
TURNED = {"eth_src": "02:00:00:00:00:02", "eth_dst": "02:00:00:00:00:01"}
BACK = udp("10.0.0.2", "10.0.0.1", 53, 1000, **TURNED)
TIME = udp("10.0.0.1", "10.0.0.2", 1000, 123)


@pytest.fixture(scope="module")
def real() -> Iterator[RealOvs]:
    with RealOvs(ports=(1, 2)) as lane:
        yield lane


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.name)
def library(request: pytest.FixtureRequest) -> Library:
    library: Library = request.param
    if library.missing:
        pytest.skip(library.missing)
    return library


def test_goes_on_without_a_controller_and_takes_the_next_ones_policy(
    real: RealOvs, library: Library, tmp_path: Path
) -> None:
    with Controller(library, "stateful_firewall", tmp_path, RULES) as first:
        bench = Bench(real, first)
        assert bench.ports(1, THERE) == [2, 65534]
        mine = "table=9,priority=5,cookie=0x5,actions=drop"
        real.add_flows([mine])
    # Its controller is dead, but not taken from the bridge: that would empty the tables.
    assert bench.ports(1, udp("10.0.0.1", "10.0.0.2", 1001, 53)) == [2, 65534]
    with Controller(library, "stateful_firewall", tmp_path, OTHER) as second:
        again = Bench(real, second, since=bench.now)
        shown = second.do("GET", "/v1/flows")["flows"]
        assert meaning(again.dump("flows")) == meaning([*shown, mine])
        cookies = {line.split(",")[0] for line in again.dump("flows")}
        assert len(cookies) == 2 and "cookie=0x5" in cookies
        back = real.receive(Arrival(again.now + 0.01, 2, BACK))
        assert [out.port for out in back.out] == [1]  # the connection is still known
        again.close()


def test_a_refused_change_leaves_the_old_policy(
    real: RealOvs, library: Library, tmp_path: Path
) -> None:
    with Controller(library, "stateful_firewall", tmp_path, RULES) as controller:
        bench = Bench(real, controller)
        before = bench.dump("flows")
        limit = ["--", "--id=@t", "create", "flow_table", "flow_limit=4", "overflow_policy=refuse"]
        real.program.vsctl("set", "bridge", "br0", "flow_tables:2=@t", *limit)
        try:
            ports = [{"name": f"p{each}", "protocol": "udp", "ports": each} for each in range(9)]
            answer = controller.ask("PUT", "/v1/policy", {"rules": ports})
        finally:
            real.program.vsctl("clear", "bridge", "br0", "flow_tables")
        assert answer.status == 502
        problem = answer.data["error"]["problem"]
        assert "OpenFlow error type 5, code 1, for: table=2,priority=" in problem
        assert meaning(bench.dump("flows")) == meaning(before)
        assert controller.do("GET", "/v1/policy/rules/dns")["ports"] == 53
        (switch,) = controller.do("GET", "/v1/switches")["switches"]
        assert switch["ready"] and switch["refused"] == []
        bench.rest("PUT", "/v1/policy", OTHER)
        assert bench.ports(1, TIME) == [2, 65534]
        bench.close()
