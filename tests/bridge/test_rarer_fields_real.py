"""The rarer fields and actions: short cases through the model and the program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovsct.compare.case import Case, Shot
from ovsct.compare.verify import Verifier
from ovsct.errors import InputError
from ovsct.packet.build import neighbour
from tests.bridge.judged import differences

pytestmark = pytest.mark.real_ovs

TCP = "tcp 10.0.0.1:1000 > 10.0.0.2:80 S"
LINK = "020000000002020000000001"
LABEL = f"hex {LINK}8847{0x10 << 12 | 3 << 9 | 0x140:08x}{0:040x}"
SOLICIT = f"hex {neighbour('fc00::1', 'fc00::2', 'fc00::2', flags=5).hex()}"
ADVERT = f"hex {neighbour('fc00::1', 'fc00::2', 'fc00::2', advert=True, flags=0x60000000).hex()}"


def case(flows: str, *packets: str) -> Case:
    """Flows, one a line, and packets on port 1 of a second each."""
    return Case(
        tuple(line.strip() for line in flows.strip().splitlines()),
        tuple(Shot(float(at), 1, line) for at, line in enumerate(packets)),
    )


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(every_packet=True) as verifier:
        yield verifier


MPLS = (
    "mpls,actions=set_mpls_label:77,output:2",
    "mpls,actions=set_mpls_tc:5,output:2",
    "actions=set_mpls_tc:5,set_mpls_label:9,output:2",
    "actions=push_mpls:0x8847,set_mpls_label:9,set_mpls_tc:1,set_mpls_ttl:9,output:2",
    "actions=pop_mpls:0x0800,set_mpls_label:9,output:2",
    "mpls,actions=write_actions(set_mpls_label:9,set_mpls_tc:1,output:2)",
)


@pytest.mark.parametrize("flow", MPLS)
def test_labels_and_traffic_classes(flow: str, verifier: Verifier) -> None:
    assert not differences(verifier, case(flow, LABEL, TCP))


NEIGHBOURS = (
    "icmp6,icmp_type=135,nd_reserved=5,actions=output:2",
    "icmp6,icmp_type=135,nd_options_type=1,actions=output:2",
    "icmp6,icmp_type=136,nd_options_type=2,nd_reserved=0x60000000,actions=output:2",
    "icmp6,icmp_type=136,icmp_code=0,nd_reserved=0x60000000,actions=set_field:5->nd_reserved,2",
    "icmp6,icmp_type=136,actions=move:nd_options_type[]->reg1[0..7],output:reg1[0..15]",
    "icmp6,icmp_type=136,icmp_code=0,actions=push:nd_reserved[],pop:reg1[],output:reg1[29..30]",
)


@pytest.mark.parametrize("flow", NEIGHBOURS)
def test_flags_and_options_of_neighbour_messages(flow: str, verifier: Verifier) -> None:
    assert not differences(verifier, case(flow, SOLICIT, ADVERT))


IN_A_SET = (
    "actions=write_actions(mod_nw_ttl:3,output:2)",
    "ip,actions=write_actions(mod_nw_tos:4,mod_nw_ecn:1,output:2)",
    "actions=write_actions(mod_vlan_vid:4,mod_vlan_pcp:1,output:2)",
)


@pytest.mark.parametrize("flow", IN_A_SET)
def test_older_words_in_a_set(flow: str, verifier: Verifier) -> None:
    assert not differences(verifier, case(flow, TCP))


INNER_HEADERS = (
    "ip,actions=set_field:2->tun_erspan_ver,set_field:1->tun_erspan_dir,"
    "set_field:0x2a->tun_erspan_hwid,set_field:0xabcde->tun_erspan_idx,ct(table=1)\n"
    "table=1,priority=3,ip,tun_erspan_ver=1,actions=drop\n"
    "table=1,priority=2,ip,tun_erspan_ver=2,tun_erspan_dir=1,tun_erspan_hwid=0x2a,"
    "tun_erspan_idx=0xabcde,actions=output:3\n"
    "table=1,actions=output:2",
    "actions=set_field:1/1->tun_erspan_hwid,move:tun_erspan_hwid[]->reg0[0..5],output:reg0[0..15]",
    "tun_gtpu_flags=0x30,actions=drop\ntun_gtpu_msgtype=255,actions=drop\npriority=1,actions=2",
)


@pytest.mark.parametrize("flows", INNER_HEADERS)
def test_fields_of_erspan_and_gtpu(flows: str, verifier: Verifier) -> None:
    assert not differences(verifier, case(flows, TCP))


IN_A_TUNNEL = (
    """actions=set_field:1->tun_flags,set_field:7->tun_gbp_id,set_field:0x48->tun_gbp_flags,resubmit(,1)
    table=1,priority=3,tun_flags=-oam,actions=2
    table=1,priority=2,tun_flags=+oam,tun_gbp_id=7,tun_gbp_flags=0x48,actions=3
    table=1,priority=1,actions=4""",
    """ip,actions=set_field:+oam->tun_flags,set_field:fc00::1->tun_ipv6_src,set_field:3/7->tun_gbp_id,move:tun_gbp_id[]->NXM_NX_REG0[0..15],ct(table=1)
    table=1,tun_ipv6_src=fc00::1,tun_flags=oam,actions=output:NXM_NX_REG0[0..2]""",
    """tun_flags=+oam,actions=2
    tun_gbp_flags=0x8/0x8,actions=2
    tun_gbp_id=3,actions=2
    priority=1,actions=3""",
    "tun_flags=-oam,actions=2",
    "tun_flags=0/0x1,actions=2",
    "tun_gbp_flags=0,tun_gbp_id=0/0xf,tun_flags=0,actions=2",
    """actions=move:NXM_NX_REG0[0]->NXM_NX_TUN_FLAGS[],load:1->NXM_NX_TUN_FLAGS[0],load:1->NXM_NX_TUN_GBP_FLAGS[3],resubmit(,1)
    table=1,tun_flags=+oam,tun_gbp_flags=8,actions=2""",
)


@pytest.mark.parametrize("flows", IN_A_TUNNEL)
def test_flags_and_groups_of_tunnels(flows: str, verifier: Verifier) -> None:
    assert not differences(verifier, case(flows, TCP, TCP))


@pytest.mark.parametrize(
    "flow",
    [
        "actions=write_actions(mod_nw_src:1.2.3.4,output:2)",
        "actions=write_actions(set_vlan_vid:3,output:2)",
        "actions=write_actions(set_mpls_label:4,output:2)",
    ],
)
def test_both_refuse(flow: str, verifier: Verifier) -> None:
    with pytest.raises(InputError, match="OFPBAC_MATCH_INCONSISTENT"):
        verifier.run(case(flow, TCP))
