"""What is refused, and with which error: the model against ovs-ofctl and ovs-vswitchd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovsct.compare.generate_refused import BENDS, Attempt, generate_refused
from ovsct.compare.refusals import Judgement, Refusals, RefusalTally

LINES = 240


def test_an_attempt_depends_on_its_seed_and_number_alone() -> None:
    late = generate_refused(7, 41)
    for number in range(5):
        generate_refused(7, number)
    assert generate_refused(7, 41) == late
    assert generate_refused(8, 41) != late


def test_every_way_of_bending_is_taken() -> None:
    taken = {name for number in range(400) for name in generate_refused(1, number).bent}
    assert {name for _, name, _ in BENDS} <= taken
    assert {generate_refused(1, number).kind for number in range(100)} == {"flow", "group", "meter"}


@pytest.fixture(scope="module")
def refusals() -> Iterator[Refusals]:
    with Refusals() as both:
        yield both


@pytest.mark.real_ovs
@pytest.mark.parametrize("first", range(0, LINES, 60))
def test_wrong_lines_are_refused_alike(refusals: Refusals, first: int) -> None:
    tally = RefusalTally()
    for number in range(first, first + 60):
        finding = refusals.run(generate_refused(3, number))
        tally.take(finding)
        bad = finding.judgement in (Judgement.DIFFERENT, Judgement.NO_PLACE)
        assert not bad, "\n".join(finding.lines())
    assert tally.judged[Judgement.ALIKE] > 50
    assert 5 < tally.errors["taken"] < 40


@pytest.mark.real_ovs
@pytest.mark.parametrize(
    ("kind", "line", "error"),
    [
        ("flow", "table=1,actions=push_mpls:0x800", "OFPBAC_BAD_ARGUMENT"),
        ("flow", "ip,packet_type=(1,0x800),actions=drop", "OFPBMC_BAD_PREREQ"),
        ("flow", "actions=group:99", "OFPBAC_BAD_OUT_GROUP"),
        ("flow", "actions=meter:99", "OFPMMFC_INVALID_METER"),
        ("flow", "ip,actions=ct(nat(src=0.0.0.0:9))", "OFPBAC_BAD_ARGUMENT"),
        ("flow", "ipv6,actions=ct(nat(src=0.0.0.0:9))", "OFPBAC_MATCH_INCONSISTENT"),
        ("flow", "actions=ct(exec(set_field:3/1->ct_mark))", "OFPBAC_MATCH_INCONSISTENT"),
        ("flow", "actions=write_actions(note:00)", "OFPBAC_BAD_TYPE"),
        ("flow", "actions=write_actions(note:00),load:1->OXM_OF_ETH_TYPE[]", "refused in words"),
        ("flow", "actions=load:1->OXM_OF_ETH_TYPE[]", "OFPBAC_BAD_SET_ARGUMENT"),
        ("flow", "nsh_spi=1,actions=drop", "OFPBMC_BAD_PREREQ"),
        ("flow", "dl_type=0x894f,nsh_spi=1,actions=drop", "taken"),
        ("flow", "vlan_vid=5,actions=drop", "taken"),
        ("flow", "vlan_tci=5,actions=drop", "OFPBMC_BAD_PREREQ"),
        ("flow", "vlan_pcp=3,vlan_vid=5,actions=drop", "OFPBMC_BAD_PREREQ"),
        ("flow", "vlan_tci=5,actions=strip_vlan", "taken"),
        ("flow", "tcp:6,ipv6_label=1,actions=drop", "OFPBMC_BAD_PREREQ"),
        ("flow", "actions=delete_field:reg0", "OFPBAC_BAD_ARGUMENT"),
        ("flow", "actions=drop,delete_field:reg0", "refused in words"),
        ("flow", "skb_priority=1,actions=foo", "refused in words"),
        ("flow", "skb_priority=1,actions=drop", "OFPBAC_MATCH_INCONSISTENT"),
        ("flow", "ip=,actions=check_pkt_larger(10)->ct_mark[0]", "taken"),
        ("group", "group_id=1,type=indirect", "OFPGMFC_INVALID_GROUP"),
        ("group", "group_id=1,type=select,selection_method=x,bucket=output:1", "OFPBPC_BAD_VALUE"),
        ("group", "group_id=1,type=all,bucket=actions=meter:1", "taken"),
        ("meter", "meter=1 kbps bands=type=dscp_remark rate=1 prec_level=1", "OFPMMFC_BAD_BAND"),
        ("meter", "meter=1 kbps bands=type=foo rate=1", "refused in words"),
    ],
)
def test_errors_by_name(refusals: Refusals, kind: str, line: str, error: str) -> None:
    finding = refusals.run(Attempt(kind, line, ()))
    assert finding.judgement is Judgement.ALIKE, "\n".join(finding.lines())
    assert finding.real.partition(":")[0] == error


@pytest.mark.real_ovs
def test_what_is_bent_silently_is_no_difference(refusals: Refusals) -> None:
    finding = refusals.run(Attempt("flow", "dl_vlan=5000,actions=drop", ()))
    assert finding.judgement is Judgement.STRICTER
    assert "5000" in finding.said and finding.real == "taken"
