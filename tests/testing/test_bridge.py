"""The bridge of the plugin: what a test can do to it, and what it is told when it fails."""

from __future__ import annotations

import pytest

from ovsct.errors import InputError
from ovsct.testing import OvsBridge

pytest_plugins = ["ovsct.testing.plugin"]

UDP = "udp 10.0.0.1:1 > 10.0.0.2:2"
LANES = ("ovs-userspace", "ovs-kernel", "tc", "hw")

real = pytest.param("real-ovs", marks=pytest.mark.real_ovs)
lanes = pytest.mark.parametrize("ovs_lane", [*LANES, real])


@lanes
def test_flows_come_change_and_go(ovs_bridge: OvsBridge) -> None:
    ovs_bridge.add_flows("priority=5,udp actions=2\npriority=3,ip actions=3")
    ovs_bridge.send(1, UDP).assert_out(2)
    ovs_bridge.mod_flows("udp actions=4")
    ovs_bridge.send(1, UDP).assert_unchanged(4)
    ovs_bridge.mod_flows("priority=9,udp actions=1", strict=True)  # there is none
    ovs_bridge.send(1, UDP).assert_out(4)
    ovs_bridge.del_flows("priority=5,udp", strict=True)
    ovs_bridge.send(1, UDP).assert_out(3)
    (line,) = ovs_bridge.dump_flows()
    assert line.endswith(", table=0, priority=3,ip actions=output:3")
    ovs_bridge.del_flows()
    ovs_bridge.send(1, UDP).assert_dropped()
    assert ovs_bridge.dump_flows() == []


@lanes
def test_groups_come_change_and_go(ovs_bridge: OvsBridge) -> None:
    ovs_bridge.add_groups("group_id=1,type=all,bucket=actions=2,bucket=actions=3")
    ovs_bridge.add_flows("udp actions=group:1\narp actions=2")
    ovs_bridge.send(1, UDP).assert_out(3, 2)
    ovs_bridge.add_groups("group_id=1,type=indirect,bucket=actions=4")
    ovs_bridge.send(1, UDP).assert_out(4)
    with pytest.raises(KeyError, match="there is no group 2"):
        ovs_bridge.del_groups(1, 2)
    ovs_bridge.del_groups(1)
    ovs_bridge.send(1, UDP).assert_dropped("table-miss")
    assert len(ovs_bridge.dump_flows()) == 1


@lanes
def test_a_link_goes_down(ovs_bridge: OvsBridge) -> None:
    ovs_bridge.add_groups(
        "group_id=1,type=ff,bucket=watch_port=2,actions=2,bucket=watch_port=3,actions=3"
    )
    ovs_bridge.add_flows("actions=group:1")
    ovs_bridge.send(1, UDP).assert_out(2)
    ovs_bridge.set_link(2, up=False)
    ovs_bridge.send(1, UDP).assert_out(3)
    ovs_bridge.set_link(2, up=True)
    ovs_bridge.send(1, UDP).assert_out(2)


@pytest.mark.parametrize("ovs_lane", [*LANES[:3], real])
def test_the_flows_that_were_hit_are_known(ovs_bridge: OvsBridge) -> None:
    ovs_bridge.add_flows("in_port=1 actions=goto_table:3\ntable=3,udp actions=2\ntcp actions=4")
    for _ in range(2):
        sent = ovs_bridge.send(1, UDP)
        assert sent.flows == (
            "table=0, in_port=1 actions=goto_table:3", "table=3, udp actions=output:2"
        )  # fmt: skip
        sent.assert_hit("table=3, udp")


def test_a_failure_says_which_flows_and_which_steps(ovs_bridge: OvsBridge) -> None:
    ovs_bridge.add_flows("cookie=0x7,priority=5,udp actions=mod_nw_src:192.0.2.1,2")
    sent = ovs_bridge.send(1, UDP)
    with pytest.raises(AssertionError) as told:
        sent.assert_out(3)
    text = str(told.value)
    assert text.startswith("it was to leave by port 3, and left by port 2 (lane ovs-userspace)\n")
    assert "packet 1: at 0 s on p1: 10.0.0.1.1 > 10.0.0.2.2: udp" in text
    assert "table: cookie=0x7, priority=5,udp" in text
    assert text.endswith(
        "flows that it hit:\n    table=0, cookie=0x7, priority=5,udp"
        " actions=mod_nw_src:192.0.2.1,output:2"
    )
    for fails, said in (
        (sent.assert_dropped, "it was to be dropped, and left by port 2"),
        (lambda: sent.assert_unchanged(2), "what left by p2 is 0200"),
        (lambda: sent.assert_out(2, match="tcp"), "nw_proto is 17, not 6"),
        (lambda: sent.assert_out(2, match="ip,nw_src=10.0.0.1"),
         "nw_src is 192.0.2.1, not 10.0.0.1"),
        (lambda: sent.assert_via("hw"), "it was to go via hw, and went via slow"),
        (lambda: sent.assert_hit("cookie=0x8"), "it was to hit a flow with 'cookie=0x8'"),
    ):  # fmt: skip
        with pytest.raises(AssertionError, match=said):
            fails()
    with pytest.raises(AssertionError, match="for table-miss, and was for actions"):
        ovs_bridge.add_flows("tcp actions=drop")
        ovs_bridge.send(1, "tcp 1.1.1.1:1 > 2.2.2.2:2 S").assert_dropped("table-miss")
    with pytest.raises(AssertionError, match=r"by port 2, and left by nowhere \(actions\)"):
        ovs_bridge.send(1, "tcp 1.1.1.1:1 > 2.2.2.2:2 S").assert_out(2)


def test_connections_are_told(ovs_bridge: OvsBridge) -> None:
    ovs_bridge.assert_no_connection()
    ovs_bridge.add_flows("ip,in_port=1 actions=ct(commit,zone=3),2\nip actions=ct(zone=3),1")
    ovs_bridge.send(1, UDP)
    with pytest.raises(AssertionError, match=r"no connections with src=9\.9\.9\.9(.|\n)*udp,orig="):
        ovs_bridge.assert_connection(src="9.9.9.9")
    with pytest.raises(AssertionError, match=r"there was to be none(.|\n)*zone=3"):
        ovs_bridge.assert_no_connection(zone=3)
    found = ovs_bridge.assert_connection(proto="udp", sport=1, reply_dport=1, zone=3)
    assert ovs_bridge.connections() == [found]
    ovs_bridge.send(2, "udp 10.0.0.2:2 > 10.0.0.1:1").assert_out(1)
    with pytest.raises(TypeError, match="a connection has no 'sorce'"):
        ovs_bridge.find_connections(sorce="10.0.0.1")
    ovs_bridge.advance(1000)
    ovs_bridge.assert_no_connection()


@pytest.mark.parametrize("ovs_lane", LANES[1:])
def test_the_kernels_connections_have_a_status(ovs_bridge: OvsBridge) -> None:
    ovs_bridge.add_flows("ip,in_port=1 actions=ct(commit),2\nip actions=ct,1")
    ovs_bridge.send(1, UDP)
    ovs_bridge.assert_connection(status="confirmed")
    ovs_bridge.send(2, "udp 10.0.0.2:2 > 10.0.0.1:1")
    ovs_bridge.assert_connection(status={"confirmed", "seen-reply"})
    ovs_bridge.assert_no_connection(status="assured")


def test_a_packet_in_and_the_local_port(ovs_bridge: OvsBridge) -> None:
    ovs_bridge.add_flows("udp actions=CONTROLLER,LOCAL")
    ovs_bridge.send(1, UDP).assert_out("controller", 65534)


def test_what_is_wrong_is_said_with_its_place(ovs_bridge: OvsBridge) -> None:
    with pytest.raises(InputError, match=r"flows:2:\d+: .*outputt"):
        ovs_bridge.add_flows("udp actions=2\ntcp actions=outputt:2")
    assert ovs_bridge.dump_flows() == []
    with pytest.raises(InputError, match="2 fragments, where one packet goes"):
        ovs_bridge.send(1, UDP + " len 100 frag 64")
    with pytest.raises(InputError, match="port 9, which the bridge does not have"):
        ovs_bridge.send(9, UDP)
    with pytest.raises(InputError, match=r"no such lane: 'tcp' \(expected ovs-userspace"):
        OvsBridge(lane="tcp")
    with pytest.raises(InputError, match="no such option: 'kernal'"):
        OvsBridge(lane="tc", kernal="6.1")
    with pytest.raises(ValueError, match="'miss' is not a valid Drop"):
        ovs_bridge.send(1, UDP).assert_dropped("miss")
    with pytest.raises(TypeError, match="needs a port"):
        ovs_bridge.send(1, UDP).assert_out()
