"""Every mask bit has an author: the flow that matched, was looked at, or whose action read it."""

from __future__ import annotations

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.odp import LOOKED_AT, MATCHED, READ_BY_ACTION
from ovsct.bridge.translate import translate
from ovsct.openflow.text.flow_text import read_flows
from ovsct.packet.build import udp
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import parse

FLOWS = """
table=0,priority=9,ip,nw_tos=8,actions=2
table=0,priority=1,ip,actions=resubmit(,1),dec_ttl,2
table=1,ip,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[]
"""


def test_a_field_that_an_action_reads_has_the_flow_of_the_action_as_its_author() -> None:
    flows = read_flows(FLOWS)
    key = parse(udp("10.0.0.1", "10.0.0.2", 1, 2), 1).key
    megaflow = translate(Bridge((1, 2), flows), key, 0.0).megaflow
    authors = {
        name: (entry.author.flow, entry.author.table, entry.author.why)
        for entry in megaflow.blame
        for name in ("nw_tos", "nw_src", "nw_ttl", "in_port")
        if entry.bits & SLOTS[name].mask
    }
    assert authors["nw_src"] == (flows[2], 1, READ_BY_ACTION)
    assert authors["nw_ttl"] == (flows[1], 0, READ_BY_ACTION)
    assert authors["nw_tos"] == (flows[0], 0, LOOKED_AT)
    assert authors["in_port"][:2] == (None, None)
    assert sum(entry.bits for entry in megaflow.blame) == megaflow.mask


def test_a_field_that_a_flow_matched_has_it_as_its_author() -> None:
    flows = read_flows("ip,nw_dst=10.0.0.2,actions=2")
    key = parse(udp("10.0.0.1", "10.0.0.2", 1, 2), 1).key
    blame = translate(Bridge((1, 2), flows), key, 0.0).megaflow.blame
    whys = {entry.author.why for entry in blame if entry.bits & SLOTS["nw_dst"].mask}
    assert whys == {MATCHED}
