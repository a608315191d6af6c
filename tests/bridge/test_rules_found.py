"""Rules of OVS 3.1 that verification brought to light; docs/ovs-rules.md has the same names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.compare.verify import Verifier
from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.packet.fields import SLOTS
from tests.bridge.rule_cases import RULES, TCP, Rule, run

DOCS = Path(__file__).parents[2] / "docs" / "ovs-rules.md"


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(every_packet=True) as verifier:
        yield verifier


@pytest.mark.parametrize("name", RULES)
def test_the_model_follows(name: str) -> None:
    dump = "\n".join(run(RULES[name].case(name)).dump_flows())
    for text in RULES[name].shows:
        assert text in dump, dump


@pytest.mark.real_ovs
@pytest.mark.parametrize("name", RULES)
def test_the_program_says_the_same(name: str, verifier: Verifier) -> None:
    verdict = verifier.run(RULES[name].case(name))
    assert verdict.left_out is None and verdict.unsteady is None
    assert verdict.difference is None, "\n".join(verdict.difference.lines())


@pytest.mark.parametrize("name", RULES)
def test_the_rule_is_written_down(name: str) -> None:
    text = DOCS.read_text(encoding="utf-8").lower().replace("_", " ").replace("-", " ")
    assert name.replace("_", " ") in " ".join(text.split())


def test_a_packet_in_is_whole() -> None:
    case = RULES["a_packet_in_is_whole"].case("")
    lane = run(case)
    frames = [happening.frame for happening in case.happenings() if isinstance(happening, Arrival)]
    assert [packet_in.frame for packet_in in lane.packet_ins] == frames
    assert (lane.packet_ins[0].reason, lane.packet_ins[0].table) == ("action", 0)


def test_a_forced_commit_of_a_translated_packet_counts_as_a_reply() -> None:
    lane = run(RULES["a_forced_commit_of_a_translated_packet_counts_as_a_reply"].case(""))
    (connection,) = lane.connections()
    assert connection.timeout == 30  # udp_multiple; a second packet of one side has 60


def test_counters_of_flows_count_the_packet_that_made_the_datapath_flow() -> None:
    case = RULES["an_untracked_packet_shows_no_original_tuple"].case("")
    lane = run(case)
    counts = {flow.priority: (packets, size) for flow, packets, size in lane.flow_stats()}
    assert counts == {2: (0, 0), 1: (1, 62)}


REFUSED = {
    "OFPBMC_BAD_FIELD": (
        "dl_vlan=5,actions=move:dl_vlan_pcp[]->reg0[0..2]", "actions=push:dl_vlan[]",
        "actions=output:dl_vlan[]", "actions=move:skb_priority[]->reg0[]",
    ),
    "OFPBAC_BAD_SET_LEN": ("dl_vlan=5,actions=set_field:7->dl_vlan_pcp",),
    "OFPBMC_BAD_WILDCARDS": (
        "actions=set_field:02:00:00:00:00:01/01:00:00:00:00:00->eth_src",
        "actions=set_field:0x5/0x4->reg0",
    ),
    "OFPBAC_BAD_TYPE": (
        "actions=write_actions(output(port=4,max_len=14))", "actions=write_actions(output:reg1)",
        "actions=write_actions(clone(output:1))", "actions=write_actions(push:reg0[],output:1)",
        "actions=write_actions(note:00,output:1)", "actions=write_actions(exit,output:1)",
        "actions=write_actions(enqueue:1:1)", "actions=write_actions(pop_queue,output:1)",
        "actions=write_actions(check_pkt_larger(60)->reg0[0],output:1)",
        "actions=write_actions(controller(id=1))",
    ),
    "OFPBMC_BAD_PREREQ": ("tcp,nw_frag=later,tp_dst=80,actions=output:1",),
    "OFPBAC_MATCH_INCONSISTENT": ("actions=mod_nw_ttl:9", "arp,actions=mod_nw_ecn:1"),
}  # fmt: skip


@pytest.mark.parametrize("error", REFUSED)
def test_the_model_refuses(error: str) -> None:
    for line in REFUSED[error]:
        with pytest.raises(InputError, match=error):
            parse_flow(line)


@pytest.mark.real_ovs
@pytest.mark.parametrize("error", REFUSED)
def test_the_program_refuses(error: str, real_ovs: object) -> None:
    for line in REFUSED[error]:
        refused = real_ovs.refusal(line)  # type: ignore[attr-defined]
        assert refused is not None and refused.openflow_error == error, line



def test_a_packet_that_pauses_goes_on_where_it_stood() -> None:
    flows = "ip,actions=set_field:7->reg0,push:NXM_NX_REG0[],controller(pause,userdata=01),output:2"
    lane = run(Rule(flows + ",pop:NXM_NX_PKT_MARK[],output:3", TCP, ()).case(""))
    (sent,) = lane.packet_ins
    assert sent.continuation is not None and sent.userdata == b"\x01"
    assert SLOTS["reg0"].get(sent.metadata) == 7 and SLOTS["in_port"].get(sent.metadata) == 1
    assert "continuation=1" in "\n".join(lane.dump_flows())
    assert [output.port for output in lane.resume(sent).out] == [2, 3]
    # It leaves no datapath flow behind, and nothing is left of it.
    assert len(lane.dump_flows()) == 1 and not lane.packet_ins
    with pytest.raises(InputError, match="did not pause"):
        lane.resume(sent._replace(continuation=None))
