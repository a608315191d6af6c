"""What a kernel makes of vswitchd's flows, as kernels 6.1.176 and 6.12.117 dumped it.

The same is asked of running kernels in tests/compare/test_verify_kernel_ovs.py.
"""

from __future__ import annotations

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.compare.case import frames_of
from ovsct.lane import Arrival
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.openflow.text.flow_text import read_flows

UDP = "udp 10.0.0.1:1 > 10.0.0.2:2"


def dumped(flows: str, *lines: str) -> list[str]:
    """The matches and actions of the datapath flows that these packets leave."""
    lane = OvsKernel(Bridge((1, 2, 3), read_flows(flows)))
    for number, line in enumerate(lines):
        lane.receive(Arrival(number / 10, 1, frames_of(line)[0]))
    found = []
    for line in lane.dump_flows():
        match, _, rest = line.partition(", packets:")
        actions = rest.partition("actions:")[2]
        found.append(f"{match.removeprefix('recirc_id(0),in_port(1),packet_type(ns=0,id=0),')}"
                     f" -> {actions}")  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("tags", "match"),
    [
        ("vlan 0x2005", "eth_type(0x8100),vlan(vid=5/0x5,pcp=1/0x1)"),
        ("vlan 6", "eth_type(0x8100),vlan(vid=6/0x6)"),
        ("vlan 0", "eth_type(0x8100),vlan()"),
    ],
)
def test_a_tag_that_no_flow_looks_at_is_matched_where_it_has_bits(tags: str, match: str) -> None:
    assert dumped("priority=1,actions=drop", f"{UDP} {tags}") == [
        f"{match},encap(eth_type(0x0800),ipv4(frag=no)) -> drop"
    ]


def test_other_tags_with_these_bits_meet_the_same_flow() -> None:
    tags = ("vlan 5", "vlan 7", "vlan 13", "vlan 4")
    # 7 and 13 have the bits of 5, 4 has not.
    assert len(dumped("priority=1,actions=drop", *(f"{UDP} {tag}" for tag in tags))) == 2


def test_of_two_tags_the_inner_decides_for_both() -> None:
    assert dumped("priority=1,actions=drop", f"{UDP} vlan 9 vlan 5") == [
        "eth_type(0x8100),vlan(vid=9/0x5),encap(eth_type(0x0000),vlan(vid=5,pcp=0),"
        "encap(eth_type(0x0800))) -> drop"
    ]
    assert dumped("dl_vlan=9,actions=drop", f"{UDP} vlan 9 vlan 5") == [
        "eth_type(0x8100),vlan(vid=9),encap(eth_type(0x0000),vlan(vid=5,pcp=0),"
        "encap(eth_type(0x0800))) -> drop"
    ]


def test_a_tuple_without_a_protocol_is_not_matched() -> None:
    flows = (
        "ip,ct_state=-trk,actions=ct(table=1)\n"
        "table=1,priority=9,ip,ct_state=+trk+new,ct_nw_proto=17,actions=output:3\n"
        "table=1,priority=1,ip,actions=output:2"
    )
    bad = "tcp 10.0.0.1:1 > 10.0.0.2:2 SF"
    matches = dumped(flows, bad)
    assert not any("ct_tuple" in match for match in matches)
    assert any("ct_tuple4(proto=6)" in match for match in dumped(flows, bad.replace("SF", "S")))


def test_what_is_cut_short_is_put_with_the_kernels_key() -> None:
    # 30 bytes of 50: vswitchd reads no IP header in it, the kernel does.
    short = "hex 02000000000202000000000108004500003200000000400666c50a0000010a00000103e803"
    (flow,) = dumped("ip,nw_ttl=0,actions=output:2", short)
    assert flow == "eth_type(0x0800),ipv4(ttl=64,frag=no) -> 2"


def test_on_the_way_up_a_packet_loses_its_connection() -> None:
    """A RST ends a connection that nobody answered; a later ct() of the zone looks for it again."""
    flows = (
        "ip,actions=ct(table=1,zone=1)\n"
        "table=1,ip,ct_state=+trk+new,actions=ct(commit,zone=1),output:2\n"
        "table=1,priority=9,ip,ct_state=+trk-new-inv,actions=ct(table=2,zone=1)\n"
        "table=2,ip,ct_state=+trk+est,actions=output:3\n"
        "table=2,priority=9,ip,ct_state=+trk+inv,actions=output:1"
    )
    syn, reset = (
        frames_of(line)[0]
        for line in ("tcp 10.0.0.1:4000 > 10.0.0.2:80 S seq 100",
                     "tcp 10.0.0.2:80 > 10.0.0.1:4000 R seq 7")
    )  # fmt: skip
    lane = OvsKernel(Bridge((1, 2, 3), read_flows(flows)))
    seen = []
    for number in range(2):
        lane.receive(Arrival(number * 20.0, 1, syn))
        seen.append([out.port for out in lane.receive(Arrival(number * 20.0 + 1, 2, reset)).out])
    # The second time megaflows lead it, and it keeps what the first look-up gave it.
    assert seen == [[1], [3]]
