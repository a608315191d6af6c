"""The text of flows: places, errors, files, dumps. What ovs-ofctl says is in the test beside it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from random import Random

import pytest

from ovsct.errors import InputError
from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import Action
from ovsct.openflow.flow import Flow, FlowStats
from ovsct.openflow.match import Match
from ovsct.openflow.text.action_format import format_actions
from ovsct.openflow.text.flow_text import format_flow, parse_flow, read_flows
from ovsct.packet.fields import FIELDS, SLOTS


def actions_within(action: Action) -> list[Action]:
    """The action and all that are nested in it."""
    assert is_dataclass(action)
    found = [action]
    for field in fields(action):
        value = getattr(action, field.name)
        if isinstance(value, tuple):
            for nested in value:
                if isinstance(nested, Action):
                    found.extend(actions_within(nested))
    return found


def words(flow: Flow) -> list[str]:
    """The text that each action's span points at."""
    return [
        flow.text[slice(*inner.span)] for action in flow.actions for inner in actions_within(action)
    ]


# Places ---------------------------------------------------------------------------------------


def test_each_part_of_the_match_knows_its_text() -> None:
    flow = parse_flow("  table=3, tcp nw_src=10.0.0.0/8 , tcp_dst=80,reg0[0..3]=5 actions=drop")
    said = {
        name: [flow.text[slice(*span)] for span in flow.match.spans_of(FIELDS[name].mask)]
        for name in ("eth_type", "nw_proto", "ip_src", "tcp_dst", "reg0")
    }
    assert said == {
        "eth_type": ["tcp"],
        "nw_proto": ["tcp"],
        "ip_src": ["nw_src=10.0.0.0/8"],
        "tcp_dst": ["tcp_dst=80"],
        "reg0": ["reg0[0..3]=5"],
    }


def test_each_action_knows_its_text() -> None:
    flow = parse_flow(
        "ip actions=1,ct(commit, zone=3,exec(set_field:1->ct_mark),nat(src=1.2.3.4)) ,"
        "clone(output:2,clone( 3)),check_pkt_larger(9)->reg0[0],resubmit(,4),goto_table:7"
    )
    assert words(flow) == [
        "1",
        "ct(commit, zone=3,exec(set_field:1->ct_mark),nat(src=1.2.3.4))",
        "set_field:1->ct_mark",
        "clone(output:2,clone( 3))",
        "output:2",
        "clone( 3)",
        "3",
        "check_pkt_larger(9)->reg0[0]",
        "resubmit(,4)",
        "goto_table:7",
    ]


def test_spaces_never_move_a_place() -> None:
    random = Random(7)
    parts = ["in_port=1", "tcp", "tp_dst=80", "ct_state=+trk+est", "nw_src=10.0.0.1"]
    for _ in range(100):
        gaps = [random.choice([",", " ", ", ", " ,  ", "\t"]) for _ in parts]
        line = "".join(part + gap for part, gap in zip(parts, gaps, strict=True))
        flow = parse_flow(f"{line}actions=output:1{random.choice([',', ' ', ' , '])}output:2")
        assert [flow.text[slice(*span)] for _, span in flow.match.spans] == parts
        assert words(flow) == ["output:1", "output:2"]


def test_every_bit_of_a_match_has_a_place() -> None:
    flow = parse_flow(
        "dl_vlan=5,dl_vlan_pcp=3,icmp6,icmp_type=135,icmp_code=0,nd_target=::1 actions="
    )
    covered = 0
    for bits, _ in flow.match.spans:
        covered |= bits
    assert covered == flow.match.mask


# Files ----------------------------------------------------------------------------------------

FILE = """
# all of it
table=0,priority=5,ip,actions=ct(table=1)   # to conntrack

\tadd table=1 priority=4 actions=drop
"""


def test_a_file_has_comments_and_blank_lines() -> None:
    flows = read_flows(FILE, "flows.txt")
    assert [(flow.table, flow.priority, flow.line) for flow in flows] == [(0, 5, 3), (1, 4, 5)]
    assert {flow.file for flow in flows} == {"flows.txt"}
    assert flows[0].actions == (ofp.Ct(table=1),)
    assert flows[1].actions == ()


DUMP = """NXST_FLOW reply (xid=0x4):
 cookie=0x5, duration=12.345s, table=2, n_packets=7, n_bytes=700, idle_timeout=60, \
send_flow_rem idle_age=3, hard_age=9, priority=9,tcp,tp_dst=80 actions=output:2
 cookie=0x0, duration=1s, table=0, n_packets=0, n_bytes=0, actions=resubmit(,2)
"""


def test_a_dump_is_read_with_its_counters() -> None:
    first, second = read_flows(DUMP)
    assert first.stats == FlowStats(
        n_packets=7, n_bytes=700, duration=12.345, idle_age=3, hard_age=9
    )
    assert (first.table, first.cookie, first.idle_timeout) == (2, 5, 60)
    assert first.flags == {"send_flow_rem"}
    assert second.stats == FlowStats(duration=1.0)
    assert format_flow(first) == (
        "cookie=0x5, table=2, idle_timeout=60, send_flow_rem "
        "priority=9,tcp,tp_dst=80 actions=output:2"
    )
    assert format_flow(second) == "actions=resubmit(,2)"
    assert parse_flow(format_flow(first)) == first


def test_ports_have_only_the_names_they_are_given() -> None:
    line = 'in_port=eth0 actions="vm1",output:eth0,eth0'
    flow = parse_flow(line, ports={"eth0": 7, "vm1": 9})
    assert flow.match.get(FIELDS["in_port"]) == (7, FIELDS["in_port"].ones)
    assert flow.actions == (ofp.Output(9), ofp.Output(7), ofp.Output(7))
    with pytest.raises(InputError, match=r"1:9: this is not a port: 'eth1'.*did you mean 'eth0'"):
        parse_flow("in_port=eth1 actions=drop", number=1, ports={"eth0": 7})


# Meaning --------------------------------------------------------------------------------------


def test_a_match_says_what_its_key_is() -> None:
    match = parse_flow("tcp,nw_src=10.1.2.3/8,ct_state=+trk-new actions=drop").match
    key = SLOTS["nw_proto"].put(SLOTS["dl_type"].put(0, 0x800), 6)
    key = SLOTS["ct_state"].put(SLOTS["nw_src"].put(key, 0x0A090909), 0x22)
    assert match.matches(key)
    assert not match.matches(SLOTS["ct_state"].put(key, 0x21))
    assert [slot.name for slot, _, _ in match.fields()] == [
        "nw_proto", "nw_src", "dl_type", "ct_state",
    ]  # fmt: skip
    assert match == Match(match.value, match.mask)


def test_with_field_replaces_a_field() -> None:
    match = Match().with_field(FIELDS["reg3"], 0x1234, 0xFF00).with_field(FIELDS["ct_zone"], 5)
    assert match.get(FIELDS["reg3"]) == (0x1200, 0xFF00)
    assert match.with_field(FIELDS["reg3"], 0, 0).get(FIELDS["reg3"]) == (0, 0)
    with pytest.raises(ValueError, match="does not fit into ct_zone"):
        match.with_field(FIELDS["ct_zone"], 0x10000)


def test_a_register_seen_three_ways_is_one() -> None:
    wide = parse_flow("xxreg0=0x00000001000000020000000300000004 actions=drop").match
    pairs = parse_flow("xreg0=0x0000000100000002,xreg1=0x0000000300000004 actions=drop").match
    words_ = parse_flow("reg0=1,reg1=2,reg2=3,reg3=4 actions=drop").match
    assert wide == pairs == words_


def test_nat_ranges_always_have_both_ends() -> None:
    ct = parse_flow("ip actions=ct(commit,nat(dst=10.0.0.1:80))").actions[0]
    assert isinstance(ct, ofp.Ct)
    assert ct.nat == ofp.Nat(
        dst=True, family=4, addr_min=0x0A000001, addr_max=0x0A000001, port_min=80, port_max=80
    )
    any_address = parse_flow("ip actions=ct(commit,nat(src=0.0.0.0))").actions[0]
    assert isinstance(any_address, ofp.Ct)
    assert any_address.nat == ofp.Nat(src=True)


def test_the_order_of_nat_and_exec_does_not_matter() -> None:
    one = "ip actions=ct(commit,nat(src=1.2.3.4),exec(set_field:1->ct_mark))"
    other = "ip actions=ct(commit,exec(set_field:1->ct_mark),nat(src=1.2.3.4))"
    printed_by_ovs = "ip actions=ct(commit,exec(set_field:1->ct_mark,nat(src=1.2.3.4)))"
    assert parse_flow(one) == parse_flow(other) == parse_flow(printed_by_ovs)


def test_a_zone_from_a_field_hides_the_nat_from_the_check() -> None:
    # OVS check_CT returns early there; its datapath then uses the first four bytes.
    parse_flow("ip actions=ct(commit,zone=NXM_NX_REG0[0..15],nat(src=fc00::1))")
    with pytest.raises(InputError, match="OFPBAC_MATCH_INCONSISTENT"):
        parse_flow("ip actions=ct(commit,zone=1,nat(src=fc00::1))")


def test_a_subfield_wider_than_the_key_reads_zeros() -> None:
    move = parse_flow("actions=move:NXM_NX_CT_STATE[]->NXM_NX_REG0[]").actions[0]
    assert isinstance(move, ofp.Move)
    key = SLOTS["ct_zone"].put(SLOTS["ct_state"].put(0, 0x22), 0xFFFF)
    assert move.src.get(key) == 0x22
    assert move.src.put(key, 0xFFFFFFFF) == SLOTS["ct_state"].put(key, 0xFF)


# Warnings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("tp_dst=80 actions=drop", "columns 1 to 9: a switch never gets"),
        ("ip,tp_dst=80 actions=drop", "columns 4 to 12: a switch never gets"),
        ("nw_src=10.0.0.1 actions=drop", "columns 1 to 15: a switch never gets"),
        ("tcp,udp actions=drop", "column 5: 'udp' replaces"),
        ("reg0=1,reg0=2 actions=drop", "column 8: 'reg0' replaces"),
        ("dl_vlan=1,dl_vlan=2 actions=drop", "column 11: 'dl_vlan' replaces"),
        ("vlan_vid=5 actions=drop", "column 10: no packet has a VLAN id without the bit"),
    ],
)
def test_what_ovs_passes_over_is_a_warning(line: str, warning: str) -> None:
    flow = parse_flow(line)
    assert any(said.startswith(warning) for said in flow.warnings), flow.warnings


def test_a_plain_flow_has_no_warning() -> None:
    line = "tcp,nw_src=1.2.3.4,tp_dst=80,dl_vlan=1,dl_vlan_pcp=2,reg0=1,xreg1=2 actions=drop"
    assert parse_flow(line).warnings == ()


# Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tcp,tp_dts=80 actions=drop", "f:2:5: there is no such field or keyword: 'tp_dts'; "
                                       "did you mean 'tp_dst'?"),
        ("ip actions=ct_claer", "f:2:12: there is no such action: 'ct_claer'; "
                                "did you mean 'ct_clear'?"),
        ("ip actions=ct(comit)", "f:2:15: ct has no such argument: 'comit' (expected commit, "),
        ("ip,ct_state=+trk+nwe actions=drop", "f:2:13: ct_state has no such flag: 'nwe'"),
        ("ip actions=load:5->NXM_NX_RGE0[]", "f:2:20: there is no such field: 'NXM_NX_RGE0'"),
        ("NXM_NX_REG0=5 actions=drop", "(expected NXM_NX_REG0[]=...)"),
        ("ip", "f:2:3: a flow must say its actions (expected actions=..."),
        ("ip,nw_src=10.0.0.1.2 actions=drop", "f:2:11: this is not an IPv4 address"),
        ("ip actions=ct(table=1,nat", "f:2:14: this parenthesis is never closed"),
        ("tun_metadata0=1,tun_metadata0=2 actions=drop", "f:2:17: tun_metadata0 stands here twice"),
        ("ip actions=delete_field:reg0", "f:2:12: only Geneve options can be deleted"),
        ("ip actions=dec_nsh_ttl", "f:2:12: this does not fit the match, which decap and dec"),
        ("ip actions=encap(gre)", "f:2:18: encap has no such argument: 'gre' (expected ethernet"),
        ("ip actions=encap(nsh(md_type=3))", "f:2:30: this type of metadata is too large"),
        ("ip actions=encap(nsh(tlv(1,2,3)))", "f:2:26: this is no context: '1,2,3' (expected tlv"),
        ("ip actions=decap(packet_type(1))", "f:2:30: this is not a packet type: '1' (expec"),
        ("ip actions=load:1->NXM_NX_TUN_METADATA64[]", "f:2:20: there is no such field"),
        ("delete table=3", "f:2:1: delete is not supported here: 'delete'"),
        ("modify_strict,ip actions=1", "f:2:1: modify_strict is not supported here"),
        ("table=254 actions=drop", "f:2:7: table 254 is the switch's own (OFPBRC_EPERM)"),
        ("table=5 actions=goto_table:5", "f:2:17: goto_table in table 5 can only go to a later"),
        ("arp actions=ct", "f:2:13: ct needs a match on IPv4 or IPv6 (OFPBAC_MATCH_INCONSISTENT)"),
        ("ip,ct_state=+trk+inv actions=ct(commit)", "cannot commit what ct_state=+inv matches"),
        ("ip actions=ct(zone=NXM_NX_REG0[])", "16 bits wide and these are 32 (OFPBAC_BAD_SET_LEN)"),
        ("ip actions=set_field:1->ct_mark", "f:2:12: ct_mark is written inside ct(commit,exec("),
        ("ip actions=ct(nat(src=1.2.3.4),table=1)", "(OFPBAC_BAD_ARGUMENT)"),
        ("ct_state=+trk,ip,ct_nw_src=1.1.1.1 actions=drop", "f:2:18: ct_nw_src needs a match on"),
        ("ip actions=goto_table:3,1", "f:2:25: actions must stand before goto_table"),
        ("ip,nw_frag=maybe actions=drop", "(expected no, yes, first, later, not_later)"),
        ("in_port=1x actions=drop", "f:2:9: this is not a port: '1x'"),
        ("dl_vlan=4097 actions=drop", "f:2:9: there is no such VLAN: '4097'"),
        ("priority actions=drop", "f:2:1: this needs a value: 'priority'"),
        ("ip,=5 actions=drop", "f:2:4: there is no such field or keyword: ''"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_flows(f"# first\n{line}", "f")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_action_name_reads_only_as_itself() -> None:
    for word in ("outputt", "norml", "5x", "eth0"):
        with pytest.raises(InputError, match="there is no such action"):
            parse_flow(f"ip actions={word}")


@pytest.mark.parametrize("text", ["debug_recirc", "debug_slow,output:1"])
def test_debug_actions_print_as_they_are_read(text: str) -> None:
    """Apart from those that ovs-ofctl is asked about: it cannot dump them."""
    assert format_actions(parse_flow(f"ip actions={text}").actions) == text


def test_ethernet_goes_without_saying_only_beside_headers() -> None:
    packet_type = SLOTS["packet_type"].mask
    assert parse_flow("reg0=5,eth,actions=drop").match.mask & packet_type == packet_type
    assert parse_flow("packet_type=(0,0),actions=drop").match.mask == packet_type
    assert not parse_flow("tcp,eth,actions=drop").match.mask & packet_type
