"""Lines that are wrong, or nearly so: seeded, for comparing what is refused and with which error.

A line is that of a generated flow, group or meter, in which one or two things were changed: its
text (a letter, a word, the end), a number, the order, or a match or action that cannot be so.
:data:`BENDS` has a row for each way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from ovsct.compare.draw import Dice
from ovsct.compare.generate_flow import draw_flow
from ovsct.compare.generate_groups import draw_groups, draw_meters
from ovsct.compare.generate_match import draw_match
from ovsct.compare.shrink import split

FLOW: Final = "flow"
GROUP: Final = "group"
METER: Final = "meter"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line: of a `kind` (flow, group or meter), and what was done to it, in words."""

    kind: str
    line: str
    bent: tuple[str, ...]


_NUMBER: Final = re.compile(r"(?<![\w.:])(0x[0-9a-f]+|\d+)(?![\w.:])")
_NUMBERS: Final = (
    "-1", "256", "65536", "4294967296", "0x1ffffffff", "18446744073709551616", "abc", "",
    "1.5", "1e3", "0x10000000000000000", "4096", "8", "64", "255", "1048576", "0", "300",
)  # fmt: skip
_LETTERS: Final = ",=()[]:/->+x0 .#"

_MATCHES: Final = (
    "tp_dst=80", "tcp_flags=+syn", "ip,arp", "tcp,udp", "ip,dl_type=0x806", "nw_src=10.0.0.256",
    "nw_src=10.0.0.1/33", "ip,nw_src=10.0.0.1/255.255.255", "ipv6,ipv6_src=fc00::1/129",
    "ipv6,ipv6_src=fc00:::1", "dl_src=1:2:3", "dl_src=00:00:00:00:00:00:01", "eth_type=0x10000",
    "dl_src=02:00:00:00:00:01/ff:ff", "ct_state=+foo", "ct_state=+new+new", "ct_state=new",
    "ct_state=+trk,ct_nw_src=1.2.3.4", "ip,ct_state=+trk,ct_nw_proto=6", "ct_zone=1/1",
    "ip,ct_state=+trk+est,ct_nw_proto=6,ct_tp_dst=80", "ip,ct_nw_src=1.2.3.4", "in_port=99999",
    "in_port=1/1", "in_port=p9", "dl_type=0x800/0xff", "ip,nw_proto=6/1", "ip,nw_proto=256",
    "vlan_tci=0x10000", "dl_vlan_pcp=3", "vlan_pcp=3", "vlan_vid=0x1005", "nw_tos=16",
    "ip,nw_ttl=256", "ip,nw_frag=often", "ip,ip_frag=first", "tcp,nw_frag=later,tp_dst=80",
    "arp,arp_op=70000", "icmp,icmp_type=300", "icmp,tp_dst=3", "icmp6,nd_target=fc00::1",
    "icmp6,icmp_type=135,nd_tll=02:00:00:00:00:01", "icmp6,icmp_type=136,icmp_code=0,nd_sll=::",
    "mpls,ip", "mpls,nw_src=1.2.3.4", "mpls_label=5", "reg99=1",
    "reg0=0x100000000", "xreg8=1", "xxreg4=1", "metadata=1/", "conj_id=x", "conj_id=1/1",
    "table=255", "table=300", "table=x", "priority=65536", "priority=x", "idle_timeout=70000",
    "cookie=1/2", "cookie=x", "importance=70000", "out_port=1", "out_group=1", "check_overlap=1",
    "send_flow_rem=1", "tun_id=x", "tun_src=1.2.3", "tun_flags=+foo", "actset_output=x",
    "tcp,tp_src=0x50/0x10000", "sctp_dst=80", "udp,tcp_dst=80", "arp,nw_proto=6",
    "ip6", "foo", "foo=1", "tcp6,nw_src=10.0.0.1", "rarp,arp_spa=10.0.0.1", "ip,arp_tpa=10.0.0.1",
    "dl_vlan=5,dl_vlan=6", "ip,nw_src=1.1.1.1,nw_src=2.2.2.2", "packet_type=(1,0x800)", "eth",
    "packet_type=(0,0)", "ip,ipv6_dst=::1", "nsh_spi=1", "tun_gbp_id=1",
    "ct_mark=1/1/1", "ct_tp_src=5", "skb_priority=1", "=1", "ip=", "tcp_dst=",
)  # fmt: skip
"""Words of a match that cannot be, or only beside the right others."""

_ACTIONS: Final = (
    "output:70000", "output:65280", "output:0", "output:foo", "output", "output(port=1)",
    "output(max_len=100)", "output(port=1,max_len=5)", "output(port=all,max_len=100)",
    "output:NXM_NX_REG0[0..40]", "output:NXM_NX_FOO[]", "output:reg0[5..3]", "output:reg0[",
    "normal", "in_port", "table", "none", "any", "flood:1", "local", "99999", "foo", "foo:1",
    "enqueue:1", "enqueue:1:x", "enqueue(1,2)", "enqueue:70000:1", "set_queue:x", "pop_queue:1",
    "controller:x", "controller(max_len=70000)", "controller(reason=foo)", "controller(id=70000)",
    "controller(userdata=0g)", "controller(foo=1)", "controller(", "controller(pause)",
    "set_field:1->foo", "set_field:1->reg0[0..3]", "set_field:1", "set_field:->reg0",
    "set_field:1->ct_mark", "set_field:1->ct_zone", "set_field:1->ct_state", "set_field:x->reg0",
    "set_field:0x100000000->reg0", "set_field:3/1->reg0", "set_field:1->eth_type",
    "set_field:1->vlan_vid", "set_field:10.0.0.1->ip_src", "set_field:::1->ipv6_src",
    "set_field:1->nw_proto", "set_field:5->tcp_dst", "set_field:1.2.3.4->eth_src",
    "set_field:70000->udp_dst", "set_field:1->dl_vlan_pcp", "set_field:8->vlan_pcp",
    "set_field:5->nw_ttl/1", "set_field:1->metadata", "set_field:1->recirc_id",
    "set_field:1->dp_hash", "set_field:1->conj_id", "set_field:1->actset_output",
    "set_field:1->mpls_label", "set_field:2->mpls_bos", "set_field:1->arp_op",
    "set_field:5->nd_target", "set_field:1->tun_id",
    "load:300->NXM_NX_REG0[0..7]", "load:1->NXM_NX_REG0[33]", "load:1->NXM_NX_REG0[5..3]",
    "load:1->NXM_NX_FOO[]", "load:1->NXM_OF_ETH_TYPE[]", "load:5->NXM_NX_CT_MARK[]", "load:1",
    "load:1->reg0", "load:1->NXM_OF_IP_SRC[]", "load:-1->NXM_NX_REG0[]", "load:1->NXM_NX_REG0[x]",
    "move:NXM_NX_REG0[0..7]->NXM_NX_REG1[0..8]", "move:NXM_NX_REG0[]", "move:reg0[]->eth_type[]",
    "move:NXM_OF_TCP_SRC[]->NXM_NX_REG1[0..15]", "move:reg0[0..15]->ct_zone[]", "move:reg0->reg1",
    "move:ct_state[]->reg0[]", "push:reg0", "push:foo[]", "pop:ct_zone[]", "pop:NXM_NX_REG0[0..32]",
    "push:tcp_dst[]", "pop:tcp_dst[]", "push:", "push_vlan:0x800", "push_vlan", "push_vlan:x",
    "push_vlan:0x8100,push_vlan:0x8100,push_vlan:0x8100", "pop_vlan:1", "strip_vlan,strip_vlan",
    "mod_vlan_vid:4096", "mod_vlan_vid:x", "mod_vlan_pcp:8", "set_vlan_vid:5", "set_vlan_pcp:9",
    "push_mpls:0x800", "push_mpls:0x8847,push_mpls:0x800", "pop_mpls", "pop_mpls:0x800",
    "pop_mpls:0x10000", "set_mpls_ttl(256)", "set_mpls_ttl", "set_mpls_label:5", "set_mpls_tc:8",
    "dec_mpls_ttl", "dec_ttl", "dec_ttl(70000)", "dec_ttl()", "dec_ttl(1", "dec_ttl:1",
    "mod_nw_src:1.2.3.4", "mod_nw_dst:1.2.3", "mod_nw_tos:3", "mod_nw_tos:256", "mod_nw_ecn:4",
    "mod_nw_ttl:256", "mod_tp_src:70000", "mod_tp_dst:80", "mod_dl_src:1:2", "mod_dl_dst:foo",
    "resubmit(,300)", "resubmit(,255)", "resubmit", "resubmit(1,2,3)", "resubmit(,1,ct)",
    "resubmit:70000", "resubmit(foo,1)", "resubmit(,)", "goto_table:0", "goto_table:300",
    "goto_table:x", "goto_table", "write_metadata:x", "write_metadata:1/", "write_metadata:1,drop",
    "clear_actions:1", "write_actions()", "write_actions(resubmit(,1))", "write_actions(exit)",
    "write_actions(write_actions(drop))", "write_actions(output:1", "write_actions(clone(drop))",
    "write_actions(move:reg0[]->reg1[])", "write_actions(push:reg0[])", "write_actions(note:00)",
    "write_actions(ct_clear)", "write_actions(ct(commit))", "write_actions(learn(table=1))",
    "write_actions(goto_table:4)", "write_actions(controller(id=1))", "write_actions(group:1)",
    "apply_actions(output:1)", "meter:0", "meter:1", "meter:x", "output:1,meter:1", "group:99",
    "group:x", "group:4294967041", "group", "clone()", "clone(goto_table:4)", "clone(meter:1)",
    "clone(write_actions(drop))", "clone(clone(clone(drop)))", "clone(foo)", "clone(output:1",
    "exit:1", "exit,exit", "note:0g", "note:", "note:0", "drop,output:1", "output:1,drop", "drop",
    "drop,drop", "conjunction(1,2/1)", "conjunction(1,0/2)", "conjunction(1,1/1)",
    "conjunction(1,1/65)", "conjunction(1,1/2)", "conjunction(x,1/2)", "conjunction(1)",
    "conjunction(1,1/2),note:00", "check_pkt_larger(10)->reg0", "check_pkt_larger(10)",
    "check_pkt_larger(x)->reg0[0]", "check_pkt_larger(70000)->reg0[0]", "ct_clear:1", "ct_clear()",
    "check_pkt_larger(10)->ct_mark[0]", "check_pkt_larger(10)->tcp_dst[0]",
    "sample(probability=0)", "sample(probability=70000)", "sample", "sample(foo=1)", "sample()",
    "sample(probability=1,sampling_port=foo)", "sample(probability=1,ingress,egress)",
    "fin_timeout", "fin_timeout(idle_timeout=70000)", "fin_timeout(foo=1)", "fin_timeout()",
    "debug_recirc:1", "debug_slow(1)", "learn", "learn()", "learn(table=255)", "learn(table=300)",
    "learn(foo=1)", "learn(table=1,NXM_OF_IP_SRC[])", "learn(table=1,NXM_OF_ETH_SRC[]=5x)",
    "learn(table=1,load:1->NXM_NX_REG0[])", "learn(table=1,load:300->NXM_NX_REG0[0..7])",
    "learn(table=1,output:NXM_NX_REG0[]", "learn(table=1,output:foo[])", "learn(priority=x)",
    "learn(table=1,NXM_OF_ETH_SRC[]=NXM_OF_IN_PORT[])", "learn(table=1,eth_type=0x800,ip_src=1)",
    "learn(table=1,limit=x)", "learn(table=1,result_dst=reg0)", "learn(table=1,result_dst=reg0[0])",
    "learn(table=1,NXM_NX_REG0[]=NXM_NX_REG1[0..3])", "learn(table=1,cookie=x)", "learn(table=254)",
    "multipath(eth_src,0,modulo_n,1,0)", "multipath(eth_src,0,modulo_n,0,0,NXM_NX_REG0[])",
    "multipath(eth_src,0,modulo_n,300,0,NXM_NX_REG0[0..7])", "multipath(foo,0,hrw,1,0,reg0[])",
    "multipath(eth_src,0,foo,1,0,NXM_NX_REG0[])", "multipath(eth_src,0,hrw,70000,0,reg0[])",
    "multipath(eth_src,70000,hrw,1,0,reg0[])", "bundle(eth_src,0,hrw,ofport,members:1",
    "bundle(eth_src,0,foo,ofport,members:1)", "bundle(foo,0,hrw,ofport,members:1)",
    "bundle(eth_src,0,hrw,foo,members:1)", "bundle(eth_src,0,hrw,ofport)", "bundle(eth_src)",
    "bundle(eth_src,0,hrw,ofport,members:70000)", "bundle(eth_src,70000,hrw,ofport,members:1)",
    "bundle_load(eth_src,0,hrw,ofport,reg0[0..7],members:1)",
    "bundle(eth_src,0,hrw,ofport,slaves:1)",
    "bundle_load(eth_src,0,hrw,ofport,tcp_dst[],members:1)", "set_tunnel:x", "set_tunnel64:x",
    "set_tunnel:4294967296", "delete_field:reg0", "delete_field:foo",
    "encap(foo)", "decap(", "dec_nsh_ttl", "nat", "nat(src=1.2.3.4)", "output:1,,output:2",
    "output:1 output:2", "(output:1)", "output:1)", "all:1", "set_eth_src:foo",
    "set_nw_src:1.2.3.4",
)  # fmt: skip
"""Actions that cannot be, or only under the right match, in the right place, or once."""

_CTS: Final = (
    "ct", "ct()", "ct(foo)", "ct(table=255)", "ct(table=256)", "ct(table=x)", "ct(zone=65536)",
    "ct(zone=foo)", "ct(zone=NXM_NX_REG0[])", "ct(zone=NXM_NX_REG0[0..7])", "ct(zone=tcp_dst[])",
    "ct(zone=1,zone=2)", "ct(force)", "ct(commit,commit)", "ct(commit,force,force)", "ct(alg=foo)",
    "ct(alg=ftp)", "ct(commit,alg=ftp)", "ct(commit,alg=tftp)", "ct(commit,alg=h323)", "ct(alg=)",
    "ct(nat)", "ct(nat(src))", "ct(nat(src=10.0.0.5))", "ct(commit,nat(src))", "ct(commit,nat(",
    "ct(commit,nat(src=10.0.0.5,dst=10.0.0.6))", "ct(commit,nat(random))", "ct(commit,nat(foo))",
    "ct(commit,nat(src=10.0.0.5,hash,random))", "ct(commit,nat(src=10.0.0.9-10.0.0.5))",
    "ct(commit,nat(src=10.0.0.5:9-4))", "ct(commit,nat(src=10.0.0.5:))", "ct(commit,nat(src=foo))",
    "ct(commit,nat(src=10.0.0.5:70000))", "ct(commit,nat(src=fc00::1))",
    "ct(commit,nat(dst=10.0.0.5))",
    "ct(commit,nat(src=[fc00::1]:80))", "ct(commit,nat(src=[fc00::1]))",
    "ct(commit,nat(src=0.0.0.0:9))",
    "ct(commit,zone=NXM_NX_REG0[0..15],nat(src=fc00::1))", "ct(commit,nat(src=10.0.0.5-fc00::1))",
    "ct(commit,nat(src=10.0.0.5,persistent,persistent))",
    "ct(commit,nat(src=10.0.0.5-10.0.0.6:1-2))",
    "ct(exec(set_field:1->ct_mark))", "ct(commit,exec(output:1))", "ct(commit,exec())",
    "ct(commit,exec(set_field:1->reg0))", "ct(commit,exec(ct(commit)))", "ct(commit,exec(foo))",
    "ct(commit,exec(set_field:1->ct_zone))", "ct(commit,exec(move:reg0[]->ct_mark[]))",
    "ct(commit,exec(load:1->NXM_NX_CT_LABEL[128]))", "ct(commit,exec(set_field:1->ct_mark)",
    "ct(commit,exec(move:ct_mark[]->reg0[]))", "ct(commit,exec(set_field:0x1/0x2->ct_mark))",
    "ct(commit,exec(nat))", "ct(commit,exec(drop))", "ct(commit,exec(push:ct_mark[]))",
    "ct(commit,exec(resubmit(,1)))", "ct(commit,exec(note:00))", "ct(table=0)",
    "ct(table=1,table=2)",
    "ct(commit,table=1,nat(src=10.0.0.5))", "ct(commit", "ct:1", "ct(commit=1)", "ct(table)",
    "ct(zone)",
    "ct(commit,nat(src=10.0.0.5),nat(dst=10.0.0.6))", "ct(commit,timeout=1)",
    "ct(commit,nat(src=))",
)  # fmt: skip


# -- ways of bending -----------------------------------------------------------------------------


def _halves(line: str) -> tuple[list[str], list[str]]:
    head, _, tail = line.partition("actions=")
    return split(head), split(tail)


def _joined(words: list[str], actions: list[str]) -> str:
    return ",".join([*words, f"actions={','.join(actions)}"])


def _cut(dice: Dice, line: str) -> str:
    return line[: dice.number(1, max(1, len(line) - 1))]


def _drop_letter(dice: Dice, line: str) -> str:
    at = dice.number(0, len(line) - 1)
    return line[:at] + line[at + 1 :]


def _add_letter(dice: Dice, line: str) -> str:
    at = dice.number(0, len(line))
    return line[:at] + dice.pick(_LETTERS) + line[at:]


def _other_number(dice: Dice, line: str) -> str:
    found = list(_NUMBER.finditer(line))
    if not found:
        return line
    one = dice.pick(found)
    return line[: one.start()] + dice.pick(_NUMBERS) + line[one.end() :]


def _twice(dice: Dice, line: str) -> str:
    words, actions = _halves(line)
    if actions and dice.chance(0.6):
        at = dice.number(0, len(actions) - 1)
        return _joined(words, [*actions[: at + 1], *actions[at:]])
    at = dice.number(0, len(words) - 1)
    return _joined([*words[: at + 1], *words[at:]], actions)


def _other_order(dice: Dice, line: str) -> str:
    words, actions = _halves(line)
    dice.random.shuffle(actions)
    return _joined(words, actions)


def _without_word(dice: Dice, line: str) -> str:
    """Mostly a prerequisite goes."""
    words, actions = _halves(line)
    at = dice.number(0, len(words) - 1)
    return _joined([*words[:at], *words[at + 1 :]], actions)


def _inserted(rows: tuple[str, ...], among_actions: bool) -> Callable[[Dice, str], str]:
    def bend(dice: Dice, line: str) -> str:
        words, actions = _halves(line)
        place = actions if among_actions else words
        place.insert(dice.number(0, len(place)), dice.pick(rows))
        return _joined(words, actions)

    return bend


def _only(rows: tuple[str, ...]) -> Callable[[Dice, str], str]:
    """The action alone, so that nothing hides it."""

    def bend(dice: Dice, line: str) -> str:
        words, _ = _halves(line)
        return _joined(words, [dice.pick(rows)])

    return bend


def _nested(dice: Dice, line: str) -> str:
    words, actions = _halves(line)
    if not actions:
        return line
    at = dice.number(0, len(actions) - 1)
    around = dice.pick(("clone", "write_actions", "ct(commit,exec", "apply_actions"))
    actions[at] = f"{around}({actions[at]})" + (")" if around.startswith("ct(") else "")
    return _joined(words, actions)


Bend = Callable[[Dice, str], str]

BENDS: Final[tuple[tuple[int, str, Bend], ...]] = (
    (3, "cut short", _cut),
    (3, "a letter less", _drop_letter),
    (3, "a letter more", _add_letter),
    (8, "another number", _other_number),
    (4, "a part twice", _twice),
    (4, "another order", _other_order),
    (5, "a word less", _without_word),
    (10, "a match that cannot be", _inserted(_MATCHES, False)),
    (8, "an action that cannot be", _inserted(_ACTIONS, True)),
    (8, "that action alone", _only(_ACTIONS)),
    (8, "a ct() that cannot be", _inserted(_CTS, True)),
    (4, "that ct() alone", _only(_CTS)),
    (3, "an action inside another", _nested),
)
"""(weight, name, way): what is done to a line."""

_TEXT_BENDS: Final = BENDS[:4]
"""Those that know nothing of flows, for groups and meters."""

_GROUPS: Final = (
    "group_id=1", "type=all", "group_id=1,type=foo", "group_id=4294967040,type=all",
    "type=all,bucket=1",
    "group_id=1,type=indirect", "group_id=1,type=indirect,bucket=output:1,bucket=output:2",
    "group_id=1,type=all,bucket=", "group_id=1,type=all,bucket=foo", "group_id=1,type=all,foo=1",
    "group_id=1,type=ff,bucket=output:1", "group_id=1,type=all,bucket=weight:1,output:1",
    "group_id=1,type=all,bucket=watch_port=1,output:1",
    "group_id=1,type=select,bucket=weight:x,output:1",
    "group_id=1,type=select,bucket=weight:65536,output:1", "group_id=1,type=all,bucket=group:1",
    "group_id=1,type=all,bucket=watch_group=1,output:1",
    "group_id=1,type=all,bucket=bucket_id=1,output:1",
    "group_id=1,type=all,bucket=bucket_id=1,output:1,bucket=bucket_id=1,output:2",
    "group_id=1,type=all,bucket=bucket_id=4294967295,output:1", "group_id=1,type=all,type=select",
    "group_id=1,type=all,selection_method=hash,bucket=output:1", "group_id=1,group_id=2,type=all",
    "group_id=1,type=select,selection_method=foo,bucket=output:1",
    "group_id=1,type=select,selection_method=hash,fields(foo),bucket=output:1",
    "group_id=1,type=select,selection_method=hash,fields=ip_src,bucket=output:1",
    "group_id=1,type=select,fields(ip_src),bucket=output:1",
    "group_id=1,type=select,selection_method=dp_hash,fields(ip_src),bucket=output:1",
    "group_id=1,type=select,selection_method_param=1,bucket=output:1",
    "group_id=1,type=select,selection_method=hash,fields(ip_src/255.0.0.0),bucket=output:1",
    "group_id=1,type=select,selection_method=hash,fields(ip_src=foo),bucket=output:1",
    "group_id=1,type=all,bucket=actions=resubmit(,300)", "group_id=1,type=all,bucket=actions=foo:1",
    "group_id=1,type=all,bucket=actions=clone(output:1)",
    "group_id=1,type=all,bucket=actions=goto_table:1",
    "group_id=1,type=all,bucket=actions=output:70000",
    "group_id=1,type=all,bucket=actions=ct(commit",
    "group_id=1,type=all,bucket=actions=dec_ttl",
    "group_id=1,type=all,bucket=actions=set_field:1->foo",
    "group_id=1,type=all,bucket=actions=meter:1", "group_id=1,type=all,bucket=actions=group:9",
    "group_id=1,type=all,bucket=actions=write_metadata:1", "group_id=x,type=all",
    "group_id=1,type=",
    "group_id=1,type=all,command_bucket_id=1,bucket=output:1",
    "group_id=1,type=all bucket=output:1",
    "group_id=1,type=ff,bucket=watch_port=foo,output:1",
    "group_id=1,type=ff,bucket=watch_group=x,output:1",
    "group_id=1,type=select,bucket=weight:0,output:1", "group_id=-1,type=all", "foo", "",
)  # fmt: skip

_METERS: Final = (
    "meter=1 pktps", "pktps bands=type=drop rate=1", "meter=0 pktps bands=type=drop rate=1",
    "meter=1 bands=type=drop rate=1", "meter=1 kbps pktps bands=type=drop rate=1",
    "meter=1 kbps bands=",
    "meter=1 kbps bands=rate=1", "meter=1 kbps bands=type=dscp_remark rate=1 prec_level=1",
    "meter=1 kbps bands=type=drop", "meter=1 kbps burst bands=type=drop rate=1",
    "meter=1 foo bands=type=drop",
    "meter=1 kbps bands=type=drop rate=1 burst_size=2", "meter=1 kbps bands=type=drop rate=x",
    "meter=1 kbps bands=type=drop rate=4294967296", "meter=1 kbps bands=type=foo rate=1",
    "meter=1 kbps bands=type=drop rate=0", "meter=x kbps bands=type=drop rate=1",
    "meter=4294967295 kbps",
    "meter=1 kbps burst bands=type=drop rate=1 burst_size=x", "meter=1,kbps,bands=type=drop,rate=1",
    "meter=1 kbps stats stats bands=type=drop rate=1",
    "meter=1 meter=2 kbps bands=type=drop rate=1",
    "meter=4294901761 kbps bands=type=drop rate=1", "meter=controller kbps bands=type=drop rate=1",
    "meter=slowpath kbps bands=type=drop rate=1",
    "meter=1 kbps bands=type=drop rate=1 prec_level=1",
)  # fmt: skip


def generate_refused(seed: int, number: int) -> Attempt:
    """Attempt `number` (from 0) of a campaign; it depends on these two alone."""
    dice = Dice(Random(f"{seed}/{number}/refusals"), number % 3 == 0)
    kind = dice.weighted(((88, FLOW), (9, GROUP), (3, METER)))
    if kind == FLOW:
        dice.groups = {1: ""}
        return _bent_flow(dice)
    rows, lines = (_GROUPS, draw_groups) if kind == GROUP else (_METERS, draw_meters)
    drawn = lines(dice) if dice.chance(0.5) else []
    if not drawn:
        return Attempt(kind, dice.pick(rows), (f"a {kind} that cannot be",))
    _, name, bend = dice.weighted([(row[0], row) for row in _TEXT_BENDS])
    return Attempt(kind, bend(dice, dice.pick(drawn)), (name,))


def _bent_flow(dice: Dice) -> Attempt:
    table = dice.number(0, 4)
    words, facts = draw_match(dice, table)
    line = draw_flow(dice, table, dice.number(1, 9999), words, facts, dice.chance(0.2))
    bent = []
    for _ in range(2 if dice.chance(0.15) else 1):
        _, name, bend = dice.weighted([(row[0], row) for row in BENDS])
        line = bend(dice, line)
        bent.append(name)
    line = line.partition("#")[0].strip()
    return Attempt(FLOW, line, tuple(bent)) if line else _bent_flow(dice)
