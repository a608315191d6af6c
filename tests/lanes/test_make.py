from __future__ import annotations

import re
from pathlib import Path

import pytest

from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.lanes.make import LANES, Setup, Text, factory, make, ports_named
from ovsct.packet.build import udp

FLOWS = Text("in_port=7,ip actions=ct(commit,exec(load:1->ct_mark)),clone(output:9),3", "f")
OPTION = Text(
    "actions=set_field:5->tun_metadata0,move:tun_metadata0[0..15]->reg0[0..15],output:reg0", "f"
)
GROUPS = Text("group_id=1,type=all,bucket=actions=output:4,bucket=actions=resubmit(11,1)", "g")


def test_the_ports_that_flows_and_groups_name() -> None:
    setup = Setup(ports=(), flows=FLOWS, groups=GROUPS)
    assert ports_named([*setup.parsed_flows, *setup.parsed_groups]) == {3, 4, 7, 9, 11}
    reserved = Setup(ports=(), flows=Text("actions=normal,in_port,controller,local", "f"))
    assert ports_named(reserved.parsed_flows) == set()


def test_flows_are_parsed_once_and_keep_their_lines() -> None:
    setup = Setup(ports=(1,), flows=Text("actions=drop", "s.yaml", line=9))
    assert setup.parsed_flows is setup.parsed_flows
    assert (setup.parsed_flows[0].file, setup.parsed_flows[0].line) == ("s.yaml", 9)


@pytest.mark.parametrize("name", ["ovs-userspace", "ovs-kernel"])
def test_a_factory_makes_a_new_lane_each_time(name: str) -> None:
    build = factory(name, Setup(ports=(1, 2), flows=Text("ip actions=ct(commit),2", "f")))
    one, other = build(True), build(False)
    packet = Arrival(0.0, 1, udp("10.0.0.1", "10.0.0.2", 1, 2))
    assert one.receive(packet).steps
    assert len(one.connections()) == 1
    assert not other.connections()
    assert not other.receive(packet).steps
    assert one.name == name


@pytest.mark.parametrize(
    ("name", "setup", "says"),
    [
        ("ovs", Setup(ports=(1,)), "no such lane: 'ovs'"),
        ("ovs-kernel", Setup(ports=(1,)), "the lane ovs-kernel needs flows"),
        ("real-ovs", Setup(ports=(1,)), "the lane real-ovs needs flows"),
        ("tc-script", Setup(ports=(1,)), "the lane tc-script needs tc commands"),
        ("ovs-kernel", Setup(ports=(1,), flows=FLOWS, options={"ovs-kernel": {"kernal": "6.1"}}),
         "no such option: 'kernal' (expected "),
        ("ovs-kernel", Setup(ports=(1,), flows=FLOWS, options={"ovs-kernel": {"trace": True}}),
         "no such option: 'trace'"),
        ("ovs-kernel", Setup(ports=(1,), flows=FLOWS, options={"ovs-kernel": {"kernel": "2.4"}}),
         "2.4"),
        ("ovs-kernel", Setup(ports=(1,), flows=FLOWS, options={"ovs-kernel": {"frag_mode": "x"}}),
         "unknown fragment mode: 'x'"),
        ("ovs-kernel", Setup(ports=(1,), flows=FLOWS, options={"ovs-kernel": {"tlv_map": "x"}}),
         "x"),
        ("ovs-kernel", Setup(ports=(1,), flows=OPTION, options={"ovs-kernel": {}}),
         "NXFMFC_INVALID_TLV_FIELD"),
        ("real-ovs", Setup(ports=(1,), flows=FLOWS, options={"real-ovs": {"x": 1}}),
         "no such option: 'x'"),
        ("tc-script", Setup(ports=(1,), tc_script=Text("tc qdisc add dev p1 clsat", "s", 5)),
         "s:5"),
    ],
)  # fmt: skip
def test_what_cannot_be_made(name: str, setup: Setup, says: str) -> None:
    with pytest.raises(InputError) as caught:
        make(name, setup)
    assert says in str(caught.value)


def test_geneve_options_are_mapped_as_a_user_says() -> None:
    options = {"ovs-kernel": {"tlv_map": "{class=0xffff,type=1,len=4}->tun_metadata0"}}
    lane = make("ovs-kernel", Setup(ports=(1, 5), flows=OPTION, options=options))
    outcome = lane.receive(Arrival(0.0, 1, udp("10.0.0.1", "10.0.0.2", 1, 2)))
    assert [frame.port for frame in outcome.out] == [5]


def test_a_factory_of_no_lane_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="did you mean 'ovs-kernel'"):
        factory("ovs-kernl", Setup(ports=(1,)))


def test_every_lane_of_the_readme_is_there() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    table = readme.split("## Lanes")[1].split("##")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE) == list(LANES)
