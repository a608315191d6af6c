"""Geneve options as fields, without a tunnel: set, matched, moved, deleted, kept over rounds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovsct.compare.case import Case, Shot
from ovsct.compare.verify import Verifier
from ovsct.errors import InputError, OvsctError
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.text.match_text import format_match
from ovsct.openflow.tlv import fit_flow, format_mapping, read_mappings, with_mappings
from ovsct.oracle.real_ovs import Options, RealOvs
from tests.bridge.judged import differences

MAP = (
    "{class=0xffff,type=0x0,len=4}->tun_metadata0,{class=0xffff,type=0x1,len=8}->tun_metadata1,"
    "{class=0x102,type=0x80,len=124}->tun_metadata63"
)
TCP = "tcp 10.0.0.1:1000 > 10.0.0.2:80 S"

CASES = {
    "set and matched": """
        actions=set_field:0x11223344->tun_metadata0,resubmit(,1)
        table=1,priority=2,tun_metadata0=0x11223344,actions=2
        table=1,priority=1,actions=3
        """,
    "too long, and so cut behind": """
        actions=set_field:0x1122334455->tun_metadata0,resubmit(,1)
        table=1,priority=2,tun_metadata0=0x1122334499,actions=2
        table=1,priority=1,actions=3
        """,
    "not there is not zero": """
        priority=2,tun_metadata0=0,actions=2
        priority=2,tun_metadata1,actions=2
        priority=1,actions=set_field:0->tun_metadata0,resubmit(,1)
        table=1,priority=2,tun_metadata1,actions=2
        table=1,priority=1,tun_metadata0=0,actions=3
        """,
    "deleted": """
        actions=set_field:0x7->tun_metadata0,delete_field:tun_metadata0,resubmit(,1)
        table=1,priority=2,tun_metadata0,actions=2
        table=1,priority=1,actions=3
        """,
    "what is deleted leaves its bytes": """
        actions=set_field:0x703->tun_metadata0,delete_field:tun_metadata0,
        set_field:0x5/0xff->tun_metadata0,resubmit(,1)
        table=1,priority=2,tun_metadata0=0x705,actions=2
        table=1,priority=1,actions=3
        """,
    "what is deleted can be read": """
        actions=set_field:0x703->tun_metadata0,delete_field:tun_metadata0,
        move:tun_metadata0[0..15]->NXM_NX_REG0[0..15],output:NXM_NX_REG0[0..1]
        """,
    "moved": """
        actions=set_field:0x703->tun_metadata0,move:tun_metadata0[0..15]->tun_metadata1[32..47],
        resubmit(,1)
        table=1,tun_metadata1=0x70300000000,actions=2
        table=1,priority=1,actions=3
        """,
    "kept over a round": """
        ip,actions=set_field:0x703->tun_metadata0,ct(table=1)
        table=1,ip,tun_metadata0=0x703,actions=2
        table=1,priority=1,actions=3
        """,
    "what was deleted makes another state": """
        ip,actions=set_field:0x703->tun_metadata0,delete_field:tun_metadata0,ct(table=1),
        set_field:0->tun_metadata0,delete_field:tun_metadata0,ct(table=1)
        table=1,ip,actions=2
        """,
    "loaded, pushed and popped": """
        ip,actions=load:0x3->tun_metadata1[0..7],load:0x5->tun_metadata1[32..39],
        push:tun_metadata1[0..31],pop:tun_metadata0[0..31],resubmit(,1)
        table=1,tun_metadata0=3,actions=2
        table=1,priority=1,tun_metadata0=3/0xff,actions=3
        """,
    "the longest": """
        actions=set_field:0x1->tun_metadata63,clone(set_field:2->tun_metadata63,resubmit(,1)),
        resubmit(,1)
        table=1,tun_metadata63=2,actions=3
        table=1,tun_metadata63=1,actions=4
        """,
    "learned": """
        actions=set_field:9->tun_metadata0,learn(table=1,
        NXM_NX_TUN_METADATA0[0..31]=NXM_NX_TUN_METADATA0[0..31],output:NXM_OF_IN_PORT[])
        """,
    "a mask of all bytes is none": """
        priority=2,tun_metadata0=0x1234/0xffff,actions=2
        priority=2,tun_metadata0=0x1234/0xffffffff,actions=3
        priority=2,tun_metadata0=0x1234,actions=2
        priority=0,actions=4
        """,
    "computed": """
        actions=multipath(eth_src,50,modulo_n,2,0,NXM_NX_TUN_METADATA0[0..7]),
        check_pkt_larger(20)->NXM_NX_TUN_METADATA1[3],resubmit(,1)
        table=1,tun_metadata0,tun_metadata1=8,actions=2
        """,
    "the zone of a connection": """
        ip,actions=set_field:5->tun_metadata0,ct(commit,zone=NXM_NX_TUN_METADATA0[0..15],table=1)
        table=1,actions=2
        """,
    "the part of a field": "tun_metadata0[0..7]=5,actions=2",
}
BUCKETS = {
    "a bucket cuts in front": (
        "set_field:0x1122334455->tun_metadata0,resubmit(,2)",
        "table=2,tun_metadata0=0x22334455,actions=2",
    ),
    "a bucket may name what has no option": (
        "set_field:0x5->tun_metadata9,move:tun_metadata9[0..1]->NXM_NX_REG0[0..1],resubmit(,2)",
        "table=2,reg0=1,actions=2",
    ),
}


def case(flows: str, *groups: str) -> Case:
    lines = flows.strip().replace(",\n", ",").splitlines()
    return Case(
        tuple("".join(line.split()) for line in lines),
        (Shot(0.0, 1, TCP), Shot(1.0, 1, TCP)),
        groups,
        tlv_map=MAP,
    )


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(every_packet=True) as verifier:
        yield verifier


@pytest.mark.real_ovs
@pytest.mark.parametrize("name", CASES)
def test_both_do_the_same(name: str, verifier: Verifier) -> None:
    assert not differences(verifier, case(CASES[name]))


@pytest.mark.real_ovs
@pytest.mark.parametrize("name", BUCKETS)
def test_buckets(name: str, verifier: Verifier) -> None:
    actions, behind = BUCKETS[name]
    flows = f"actions=group:1,resubmit(,1)\ntable=1,tun_metadata0,actions=3\n{behind}\n"
    flows += "table=2,priority=0,actions=4"
    bucket = f"group_id=1,type=all,bucket=actions={actions}"
    assert not differences(verifier, case(flows, bucket))


REFUSED = {
    "tun_metadata5=1,actions=2": "NXFMFC_INVALID_TLV_FIELD",
    "actions=set_field:1->tun_metadata5,2": "NXFMFC_INVALID_TLV_FIELD",
    "actions=clone(delete_field:tun_metadata7),2": "NXFMFC_INVALID_TLV_FIELD",
    "actions=move:tun_metadata0[0..40]->tun_metadata1[0..40],2": "OFPBAC_BAD_SET_LEN",
    "actions=move:tun_metadata0[]->tun_metadata1[],2": "OFPBAC_BAD_SET_LEN",
    "actions=learn(table=1,tun_metadata0=5)": "OFPBAC_BAD_SET_LEN",
    "actions=write_actions(delete_field:tun_metadata0,output:2)": "OFPBAC_BAD_TYPE",
    "actions=delete_field:reg0,2": "OFPBAC_BAD_ARGUMENT",
}


@pytest.mark.parametrize("line", REFUSED)
def test_the_model_refuses(line: str) -> None:
    with pytest.raises(InputError, match=REFUSED[line]):
        fit_flow(parse_flow(line), with_mappings({}, read_mappings(MAP)))


@pytest.mark.real_ovs
def test_the_program_refuses_the_same() -> None:
    options = Options(tlv_map=MAP)
    with RealOvs(options=options) as real:
        for line, error in REFUSED.items():
            refused = real.refusal(line)
            assert refused is not None and error in str(refused), line


MAPPINGS = {
    "{class=1,type=2,len=5}->tun_metadata1": "NXTTMFC_BAD_OPT_LEN",
    "{class=1,type=2,len=128}->tun_metadata1": "NXTTMFC_BAD_OPT_LEN",
    "{class=1,type=2,len=4}->tun_metadata64": "NXTTMFC_BAD_FIELD_IDX",
    "{class=1,type=2,len=4}->tun_metadata1,{class=1,type=3,len=4}->tun_metadata1":
        "NXTTMFC_ALREADY_MAPPED",
    "{class=1,type=2,len=4}->tun_metadata1,{class=1,type=2,len=4}->tun_metadata2":
        "NXTTMFC_DUP_ENTRY",
    "{class=1,type=2,len=124}->tun_metadata1,{class=1,type=3,len=124}->tun_metadata2,"
    "{class=1,type=4,len=12}->tun_metadata3": "NXTTMFC_TABLE_FULL",
}  # fmt: skip


@pytest.mark.parametrize("text", MAPPINGS)
def test_maps_that_cannot_be(text: str) -> None:
    with pytest.raises(InputError, match=MAPPINGS[text]):
        with_mappings({}, read_mappings(text))


@pytest.mark.real_ovs
def test_the_program_has_no_such_maps_either() -> None:
    with RealOvs() as real:
        for text, error in MAPPINGS.items():
            with pytest.raises(OvsctError, match=error):
                real.reset(options=Options(tlv_map=text))


def test_a_map_reads_as_it_is_written() -> None:
    known = with_mappings({}, read_mappings(MAP))
    assert ",".join(format_mapping(*each) for each in known.items()) == MAP
    with pytest.raises(InputError, match="this is no mapping") as caught:
        read_mappings("class=1,type=2")
    assert caught.value.column == 1


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("tun_metadata3=0x34/0xff", "tun_metadata3=0x34"),
        ("tun_metadata3=0x34/0xff00", "tun_metadata3=0/0xff00"),
        ("tun_metadata3", "tun_metadata3"),
    ],
)
def test_a_mask_that_fills_its_bytes_is_not_printed(text: str, printed: str) -> None:
    assert format_match(parse_flow(f"{text},actions=drop").match) == printed
