"""The rules of OVS 3.1 that generated cases brought to light: for each the shortest case of it.

docs/ovs-rules.md tells them in words, under the same names.
"""

from __future__ import annotations

from dataclasses import dataclass

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.bridges import join
from ovsct.compare.case import Case, Shot
from ovsct.lane import Arrival
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.text.flow_text import read_flows
from ovsct.openflow.text.group_text import read_groups
from ovsct.packet.build import neighbour


@dataclass(frozen=True)
class Rule:
    """Flows and packets (on port 1), and texts that the dump of datapath flows then holds."""

    flows: str
    packets: str
    shows: tuple[str, ...]
    groups: str = ""

    def case(self, title: str) -> Case:
        lines = [line.strip() for line in self.packets.strip().splitlines()]
        return Case(
            tuple(line.strip() for line in self.flows.strip().splitlines()),
            tuple(Shot(float(at), 1, line) for at, line in enumerate(lines)),
            tuple(line.strip() for line in self.groups.strip().splitlines()),
            title=title,
        )


def run(case: Case) -> OvsUserspace:
    """The model after a case."""
    bridges = [
        Bridge(
            each.plan.numbers, read_flows("\n".join(each.flows)),
            read_groups("\n".join(each.groups)), frag_mode=case.fragments,
        )
        for each in case.all_bridges()
    ]  # fmt: skip
    join(bridges, [each.plan for each in case.all_bridges()])
    lane = OvsUserspace(bridges[0])
    for happening in case.happenings():
        lane.advance(happening.at)
        if isinstance(happening, Arrival):
            lane.receive(happening)
    return lane


TCP = "tcp 10.0.0.1:1000 > 10.0.0.2:80 S"
UDP = "udp 10.0.0.1:1000 > 10.0.0.2:53"
UDP6 = "udp [fc00::1]:1000 > [fc00::2]:53"
ADVERT = f"hex {neighbour('fc00::1', 'fc00::2', 'fc00::1', advert=True).hex()}"
LABELS = f"hex 0200000000020200000000018848{0x10601:08x}{0x10640:08x}{0x101:08x}{0:040x}"

RULES: dict[str, Rule] = {
    "nw_tos_looks_at_the_protocol": Rule(
        "ip,actions=set_field:184->nw_tos,output:2", TCP,
        ("ipv4(proto=6,tos=0/0xfc,frag=no)", "set(ipv4(tos=0xb8/0xfc)),2"),
    ),
    "ip_dscp_does_not_look_at_the_protocol": Rule(
        "ip,actions=set_field:46->ip_dscp,output:2", TCP,
        ("ipv4(tos=0/0xfc,frag=no)", "set(ipv4(tos=0xb8/0xfc)),2"),
    ),
    "a_subfield_of_nw_tos_has_no_ecn": Rule(
        "ip,actions=move:nw_tos[]->NXM_NX_REG0[0..7],output:NXM_NX_REG0[0..15]", f"{TCP} tos 7",
        ("ipv4(tos=0x7/0xfc,frag=no)", "actions:4"),
    ),
    "a_queue_is_a_priority": Rule(
        "actions=set_queue:1,output:2,pop_queue,output:3", TCP,
        ("skb_priority(0)", "actions:set(skb_priority(0x1)),2,set(skb_priority(0)),3"),
    ),
    "a_plain_controller_is_an_output_in_an_action_set": Rule(
        "actions=write_actions(output:2,controller(max_len=60))", TCP,
        ("actions:userspace(pid=0,controller(reason=3,",),
    ),
    "a_later_output_beats_a_controller_in_an_action_set": Rule(
        "actions=write_actions(controller,output:2)", TCP, ("actions:2",),
    ),
    "a_controller_in_a_bucket_says_group": Rule(
        "actions=group:1", TCP, ("actions:userspace(pid=0,controller(reason=4,",),
        groups="group_id=1,type=all,bucket=actions=controller",
    ),
    "a_bucket_passes_over_what_no_action_set_holds": Rule(
        "actions=group:1", TCP, ("actions:3",),
        groups="group_id=1,type=all,bucket=actions=clone(output:2),push:reg0[],output:3",
    ),
    "actset_output_knows_a_controller": Rule(
        "actions=write_actions(controller),goto_table:1\n"
        "table=1,actset_output=CONTROLLER,actions=output:2\ntable=1,priority=1,actions=drop", TCP,
        ("actions:2,userspace(pid=0,controller(reason=3,",),
    ),
    "packet_ins_share_a_state_whatever_the_action_set": Rule(
        "priority=2,tcp,actions=controller,write_actions(controller)", TCP,
        ("reason=1,dont_send=0,continuation=0,recirc_id=1,",
         "reason=3,dont_send=0,continuation=0,recirc_id=1,"),
    ),
    "an_untracked_packet_shows_no_original_tuple": Rule(
        "priority=2,ipv6,ct_state=+trk+est,ct_nw_proto=6,actions=output:2\n"
        "priority=1,ct_state=-trk,ipv6,actions=output:3", UDP6,
        ("ct_state(-est-trk),recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x86dd)",),
    ),
    "the_ports_of_an_ipv6_original_tuple_have_names_of_their_own": Rule(
        "priority=1,ipv6,actions=ct(commit,table=1)\n"
        "table=1,ipv6,ct_state=+trk+new,ct_nw_proto=17,ct_tp_dst=53,actions=output:2", UDP6,
        ("ct_tuple6(proto=17,dst_port=53)",),
    ),
    "a_whole_flow_label_is_twenty_bits": Rule(
        "ipv6,actions=set_field:0x5->ipv6_label,output:2", UDP6,
        ("ipv6(label=0,proto=17,frag=no)", "set(ipv6(label=0x5)),2"),
    ),
    "a_neighbour_message_shows_behind_its_whole_type_only": Rule(
        "icmp6,icmp_type=135,nd_target=fc00::2,actions=drop", ADVERT,
        ("icmpv6(type=136/0xf8), packets",),
    ),
    "option_types_of_neighbour_messages_read_as_zero": Rule(
        "icmp6,icmp_type=136,actions=move:nd_options_type[]->NXM_NX_REG0[0..7],"
        "output:NXM_NX_REG0[0..15]", ADVERT, ("actions:drop",),
    ),
    "flags_of_neighbour_messages_are_looked_at_and_not_shown": Rule(
        "icmp6,icmp_type=136,icmp_code=0,nd_reserved=0,actions=output:2", ADVERT,
        ("icmpv6(type=136,code=0), packets",),
    ),
    "the_value_of_erspan_and_gtpu_fields_is_their_mask": Rule(
        "actions=set_field:3->tun_erspan_ver,goto_table:1\n"
        "table=1,tun_erspan_ver=2,tun_erspan_dir=0,actions=output:2", TCP, ("actions:2",),
    ),
    "labels_are_shown_down_to_the_last": Rule(
        "mplsm,mpls_label=16,mpls_tc=3,mpls_ttl=1,actions=drop", LABELS,
        ("mpls(label=16/0xfffff,tc=3/7,ttl=1/0xff,bos=0/0,label=16/0x0,tc=3/0,ttl=64/0x0,bos=0/0,"
         "label=0/0x0,tc=0/0,ttl=1/0x0,bos=1/0)",),
    ),
    "a_frame_that_ends_in_its_tag_shows_an_empty_one": Rule(
        "actions=drop", "hex 0200000000020200000000018100",
        ("eth_type(0x8100),vlan(vid=0,cfi=0),encap(), packets",),
    ),
    "a_forced_commit_of_a_translated_packet_counts_as_a_reply": Rule(
        "ip,actions=ct(table=1)\ntable=1,ip,actions=ct(commit,nat(src=9.9.9.9),table=2)\n"
        "table=2,ip,actions=ct(commit,force)", UDP,
        ("actions:ct(force_commit)",),
    ),
    "a_truncation_is_settled_where_it_stands": Rule(
        "actions=push_vlan:0x8100,output(port=2,max_len=60)", f"{UDP} len 60",
        ("actions:trunc(60),push_vlan(vid=0,pcp=0),2",),
    ),
    "the_second_branch_of_check_pkt_larger_finds_what_the_first_left": Rule(
        "actions=check_pkt_larger(54)->xreg1[40],pop:eth_src[0..7],push:reg12[0..4]", TCP,
        ("eth(src=02:00:00:00:00:01/00:00:00:00:00:ff)",),
    ),
    "frozen_actions_keep_the_cookie_of_their_flow": Rule(
        "cookie=0x77,actions=push_mpls:0x8847,pop_mpls:0x800,controller(userdata=01)", TCP,
        ("actions:recirc(0x1)", "rule_cookie=0x77"),
    ),
    "a_frozen_clone_has_forgotten_the_cookie": Rule(
        "cookie=0x77,actions=push_mpls:0x8847,pop_mpls:0x800,clone(controller)", TCP,
        ("rule_cookie=0xffffffffffffffff",),
    ),
    "a_flow_for_table_misses_says_so_to_the_controller": Rule(
        "priority=0,actions=resubmit(,1)\ntable=1,priority=0,actions=controller,"
        "clone(controller(userdata=01)),controller(reason=invalid_ttl)", TCP,
        ("controller(reason=6,", "controller(reason=2,"),
    ),
    "what_exit_leaves_behind_is_found_by_the_next_freeze": Rule(
        "ip,actions=group:1,output:2\ntable=1,ip,actions=exit,output:3\n"
        "table=2,ip,actions=debug_recirc,output:1,output:4,output:3", UDP,
        # Of the second table output:1 is passed over; exit keeps the others from being run.
        ("actions:recirc(0x1),2", "recirc_id(0x1),in_port(1)", "actions:drop"),
        groups="group_id=1,type=all,bucket=resubmit(,1),bucket=resubmit(,2)",
    ),
    "a_plain_controller_needs_no_recirculation_behind_mpls": Rule(
        "actions=push_mpls:0x8847,pop_mpls:0x800,controller", TCP, ("actions:userspace(pid=0,",),
    ),
    "a_packet_in_is_whole": Rule(
        "actions=controller(max_len=20)", f"{TCP} len 100", ("max_len=20",),
    ),
}  # fmt: skip
