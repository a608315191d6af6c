"""What changes while packets run, against a real ovs-vswitchd: links, and flows that time out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.compare.case import Case, Shot, frames_of, from_scenario
from ovsct.compare.scenario import parse_scenario
from ovsct.compare.verify import Verifier
from ovsct.lane import Arrival, EventKind
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.text.flow_text import read_flows
from ovsct.openflow.text.group_text import read_groups
from ovsct.oracle.real_ovs import RealOvs, comparable
from tests.bridge.judged import differences

pytestmark = pytest.mark.real_ovs

UDP = "udp 10.0.0.1:1 > 10.0.0.2:2"
PORTS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as both:
        yield both


WATCHING = (
    "group_id=1,type=ff,bucket=watch_port=2,output:2,bucket=watch_port=3,output:3",
    "group_id=2,type=select,bucket=watch_port=2,output:2,bucket=watch_port=3,output:3,"
    "bucket=watch_group=1,output:4",
    "group_id=3,type=select,selection_method=hash,fields(ip_src),"
    "bucket=watch_port=2,output:2,bucket=watch_port=3,output:3",
)


@pytest.mark.parametrize(
    "action",
    ["group:1", "group:2", "group:3", "bundle(eth_src,0,hrw,ofport,members:2,3)",
     "bundle(eth_src,0,active_backup,ofport,members:2,3)", "output:2,output:3"],
)  # fmt: skip
def test_a_link_goes_down_and_comes_back(real_ovs: RealOvs, action: str) -> None:
    flows = [f"actions={action}"]
    real_ovs.reset(flows, WATCHING)
    bridge = Bridge(PORTS, read_flows("\n".join(flows)), read_groups("\n".join(WATCHING)))
    model = OvsUserspace(bridge)
    frames = [frames_of(f"udp 10.0.0.{n}:1 > 10.0.0.9:2")[0] for n in range(1, 6)]
    now, seen = 0.0, set()
    try:
        for port, up in ((2, True), (2, False), (3, False), (2, True), (3, True)):
            bridge.set_port_state(port, up)
            real_ovs.ctl("netdev-dummy/set-admin-state", f"p{port}", "up" if up else "down")
            now += 2.0
            real_ovs.advance(now)
            real_ovs.settle()  # its threads follow in their own time
            for frame in frames:
                now += 0.1
                mine = comparable(model.receive(Arrival(now, 1, frame))).out
                assert mine == comparable(real_ovs.receive(Arrival(now, 1, frame))).out
                seen.add(tuple(out.port for out in mine))
    finally:
        for port in PORTS:
            real_ovs.ctl("netdev-dummy/set-admin-state", f"p{port}", "up")
    assert len(seen) > 1 or action.startswith("output")


def _at(*times: float, line: str = UDP, port: int = 1, since: float = 0.0) -> tuple[Shot, ...]:
    """Packets at `times`; time passes before each, in steps in which the program looks round."""
    found: list[Shot] = []
    for moment in times:
        steps = range(1, int(2 * (moment - since)) + 1)
        found += [Shot(since + step / 2, 0, "") for step in steps if since + step / 2 < moment]
        found.append(Shot(moment, port, line))
        since = moment
    return tuple(found)


TIMED: Sequence[tuple[str, Case]] = (
    ("idle, never hit", Case(("priority=2,idle_timeout=5,actions=output:2", "priority=1,"
     "actions=output:3"), _at(0.1, 20.1))),
    ("idle, hit", Case(("priority=2,idle_timeout=5,actions=output:2",
     "priority=1,actions=output:3"), _at(0.1, 3.1, 6.1, 9.1, 20.1))),
    ("hard", Case(("priority=2,hard_timeout=7,actions=output:2", "priority=1,actions=output:3"),
     _at(0.1, 3.1, 5.1, 10.1, 12.1))),
    ("learned, idle", Case(("table=0,actions=learn(table=1,idle_timeout=5,NXM_OF_ETH_SRC[],"
     "output:NXM_NX_REG1[]),resubmit(,1)", "table=1,priority=1,actions=output:3"),
     _at(0.1, 2.1, 4.1, 14.1, 15.1))),
    ("learned, hard", Case(("table=0,in_port=1,actions=learn(table=1,hard_timeout=6,"
     "NXM_OF_ETH_SRC[],output:NXM_NX_REG1[])", "table=0,in_port=2,actions=resubmit(,1)",
     "table=1,priority=1,actions=output:3"),
     (*_at(0.1), *_at(2.1, 4.1, 12.1, 14.1, port=2, since=0.1)))),
    ("fin", Case(("priority=2,tcp,idle_timeout=100,actions=fin_timeout(idle_timeout=4),output:2",
     "priority=1,actions=output:3"),
     (*_at(0.1, 8.1, line="tcp 10.0.0.1:1 > 10.0.0.2:2 A"),
      *_at(10.1, line="tcp 10.0.0.1:1 > 10.0.0.2:2 FA", since=8.1),
      *_at(20.1, line="tcp 10.0.0.1:1 > 10.0.0.2:2 A", since=10.1)))),
    ("learned with fin", Case(("table=0,tcp,actions=learn(table=1,fin_idle_timeout=3,"
     "fin_hard_timeout=9,idle_timeout=60,eth_type=0x800,nw_proto=6,NXM_OF_TCP_SRC[],"
     "output:NXM_NX_REG1[]),resubmit(,1)", "table=1,priority=1,actions=output:3"),
     (*_at(0.1, 2.1, line="tcp 10.0.0.1:1 > 10.0.0.2:2 A"),
      *_at(4.1, line="tcp 10.0.0.1:1 > 10.0.0.2:2 R", since=2.1),
      *_at(16.0, line="tcp 10.0.0.1:9 > 10.0.0.2:2 A", since=4.1), Shot(16.7, 0, "")))),
    ("delete_learned", Case(("table=0,priority=2,in_port=1,hard_timeout=6,actions=learn(table=1,"
     "cookie=5,delete_learned,NXM_OF_ETH_SRC[],output:NXM_NX_REG1[])",
     "table=0,priority=1,actions=resubmit(,1)", "table=1,priority=1,actions=output:3"),
     (*_at(0.1), *_at(2.1, 4.1, 12.1, 14.1, port=2, since=0.1)))),
)  # fmt: skip


@pytest.mark.parametrize(("what", "case"), TIMED, ids=[what for what, _ in TIMED])
def test_flows_end_alike(verifier: Verifier, what: str, case: Case) -> None:
    found = differences(verifier, case)
    assert not found, f"{what}: {found}"


def test_the_end_of_a_flow_is_an_event() -> None:
    bridge = Bridge(PORTS, read_flows("idle_timeout=5,priority=9,udp actions=output:2"))
    model = OvsUserspace(bridge)
    model.receive(Arrival(100.0, 1, frames_of(UDP)[0]))
    model.receive(Arrival(103.0, 1, frames_of(UDP)[0]))
    assert not model.advance(107.9)
    (event,) = model.advance(108.5)
    assert (event.at, event.kind) == (108.0, EventKind.FLOW_EXPIRED)
    assert event.text == "idle timeout: idle_timeout=5, priority=9,udp actions=output:2"
    assert not model.flow_stats()
    assert model.dump_flows()[0].endswith("actions:drop")


CHANGES = """\
title: changes while packets run
shows: links, flow mods, what NORMAL and learn have learned, and timeouts, one after the other
ports: 4
lanes: [ovs-userspace]
flows: |
  table=0,priority=5,ip,actions=normal
  table=0,priority=1,actions=learn(table=1,idle_timeout=5,NXM_OF_ETH_SRC[],\
output:NXM_OF_IN_PORT[]),resubmit(,1)
  table=1,priority=1,actions=group:1
groups: |
  group_id=1,type=ff,bucket=watch_port=2,output:2,bucket=watch_port=3,output:3
events:
  - 0 p1 arp who-has 10.0.0.2 tell 10.0.0.1
  - 1 p1 udp 10.0.0.1:1 > 10.0.0.2:2 eth-src 02:00:00:00:00:0a
  - 2 p2 udp 10.0.0.2:1 > 10.0.0.1:2 eth-dst 02:00:00:00:00:0a
  - {port: 2, link: down, at: 3}
  - 4 p1 arp who-has 10.0.0.2 tell 10.0.0.1
  - {flow_mod: "modify_strict table=1,priority=1,actions=output:4", at: 5}
  - 5 p4 arp who-has 10.0.0.2 tell 10.0.0.1
  - 15 p3 arp who-has 10.0.0.2 tell 10.0.0.1
  - {flow_mod: "delete table=0,ip"}
  - 16 p2 udp 10.0.0.2:1 > 10.0.0.1:2 eth-dst 02:00:00:00:00:0a
  - {flow_mod: "add table=0,priority=7,cookie=5,ip,actions=output:3"}
  - 17 p2 udp 10.0.0.2:1 > 10.0.0.1:2 eth-dst 02:00:00:00:00:0a
  - {flow_mod: "modify cookie=5/7,table=0,actions=output:1"}
  - 18 p2 udp 10.0.0.2:1 > 10.0.0.1:2 eth-dst 02:00:00:00:00:0a
  - {flow_mod: "delete cookie=5/7"}
  - 19 p2 udp 10.0.0.2:1 > 10.0.0.1:2 eth-dst 02:00:00:00:00:0a
"""


def test_changes_while_packets_run() -> None:
    case = from_scenario(parse_scenario(CHANGES, "changes"), "changes")
    with Verifier(every_packet=True) as both:
        found = differences(both, case)
    assert not found, found
