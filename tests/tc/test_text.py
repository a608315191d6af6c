"""The tc text: what iproute2 6.1 takes is read, written again the same, and refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from ovsct.errors import InputError
from ovsct.packet.fields import CT_EST, CT_NEW, CT_TRK, SLOTS
from ovsct.tc.actions import Csum, Ct, Gact, Mirred, Pedit, Vlan
from ovsct.tc.filters import Filter
from ovsct.tc.keys import FIRST_FRAG, FRAG
from ovsct.tc.text.command import FilterCommand, QdiscCommand, Verb, read_command, read_script
from ovsct.tc.text.write import write_command
from ovsct.tc.verdict import JUMP, OK, PIPE, RECLASSIFY, SHOT, STOLEN, TRAP, UNSPEC, goto_chain
from tests.tc.replay import load

BASE = "tc filter add dev p1 ingress protocol ip prio 1 flower "
MPLS = "tc filter add dev p1 ingress protocol mpls_uc prio 1 flower "
ARP = "tc filter add dev p1 ingress protocol arp prio 1 flower "


def read(text: str) -> Filter:
    command = read_command(text)
    assert isinstance(command, FilterCommand)
    return command.filter


def slot(entry: Filter, name: str) -> tuple[int, int]:
    place = SLOTS[name]
    return place.get(entry.value), place.get(entry.mask)


MATCHES: list[tuple[str, str, int, int]] = [
    ("ip_tos 0x10/fc", "nw_tos", 0x10, 0xFC),
    ("ip_ttl 10/0x1f", "nw_ttl", 10, 0x1F),
    ("ip_ttl 0x10", "nw_ttl", 16, 0xFF),
    ("ip_proto tcp tcp_flags 10/12", "tcp_flags", 0x10, 0x12),
    ("ip_proto 10", "nw_proto", 0x10, 0xFF),
    ("ip_proto icmp type 8/15", "tp_src", 8, 15),
    ("ip_proto udp dst_port 80/0xff00", "tp_dst", 0, 0xFF00),
    ("ip_proto sctp src_port 80/10", "tp_src", 80 & 10, 10),
    ("ct_zone 0x10", "ct_zone", 16, 0xFFFF),
    ("ct_mark 10/10", "ct_mark", 10, 10),
    ("ct_label 0102/ff", "ct_label", 0x01, 0xFF),
    ("ct_state +trk+new-est", "ct_state", CT_TRK | CT_NEW, CT_TRK | CT_NEW | CT_EST),
    ("ip_flags nofrag", "nw_frag", 0, FRAG),
    ("ip_flags frag/nofirstfrag", "nw_frag", FRAG, FRAG | FIRST_FRAG),
    ("src_ip 10.1.2.3/8", "nw_src", 10 << 24, 0xFF000000),
    ("src_ip 10.0.0.0/255.0.0.0", "nw_src", 10 << 24, 0xFF000000),
    ("src_ip 10.0.0.0/0", "nw_src", 0, 0),
    ("dst_mac 01:00:00:00:00:00/8", "dl_dst", 1 << 40, 0xFF << 40),
    ("dst_mac 1:2:3:4:5:6/01:00:00:00:00:00", "dl_dst", 1 << 40, 1 << 40),
]


@pytest.mark.parametrize(("text", "name", "value", "mask"), MATCHES)
def test_reads_a_match(text: str, name: str, value: int, mask: int) -> None:
    got, bits = slot(read(BASE + text), name)
    assert (got & bits, bits) == (value, mask)


def test_reads_tags() -> None:
    head = "filter add dev p1 ingress protocol 802.1Q flower "
    one = read(head + "vlan_id 5 vlan_prio 3 vlan_ethtype ip src_ip 1.2.3.4")
    assert slot(one, "vlan_tci") == (3 << 13 | 5, 0xEFFF)
    assert slot(one, "vlan_tpid1") == (0, 0xFFFF)
    assert slot(one, "dl_type") == (0x0800, 0xFFFF)
    two = read(head + "vlan_ethtype 802.1ad cvlan_id 6 cvlan_ethtype ipv6")
    assert slot(two, "vlan_tpid1") == (0x88A8, 0xFFFF)
    assert slot(two, "vlan_tci1") == (6, 0x0FFF)
    assert slot(two, "dl_type") == (0x86DD, 0xFFFF)


@pytest.mark.parametrize(
    ("word", "control"),
    [("pass", OK), ("ok", OK), ("drop", SHOT), ("shot", SHOT), ("pipe", PIPE),
     ("continue", UNSPEC), ("reclassify", RECLASSIFY), ("trap", TRAP),
     ("goto chain 7", goto_chain(7)), ("jump 2", JUMP | 2)],
)  # fmt: skip
def test_reads_a_verdict(word: str, control: int) -> None:
    assert read(BASE + "action " + word).actions == (Gact(control),)
    assert read(BASE + "action gact " + word).actions == (Gact(control),)


def test_defaults_are_those_of_iproute2() -> None:
    made = read(
        BASE + "action ct zone 2 action mirred egress mirror dev p2 action pedit ex munge ip ttl"
        " set 5 action csum ip action vlan pop action mirred egress redirect dev p2"
    )
    kinds = [(type(action), action.control) for action in made.actions]  # type: ignore[attr-defined]
    assert kinds == [
        (Ct, PIPE), (Mirred, PIPE), (Pedit, OK), (Csum, OK), (Vlan, PIPE), (Mirred, STOLEN),
    ]  # fmt: skip


def test_a_verdict_behind_a_redirect_is_an_action() -> None:
    made = read(BASE + "action mirred egress redirect dev p2 pipe")
    assert made.actions == (Mirred(2), Gact(PIPE))


ERRORS: list[tuple[str, str, str]] = [
    (BASE + "dst_port 80", "dst_port cannot stand here", "dst_port"),
    (BASE + "ip_proto tcp dst_port 0x50", "dst_port is no number of 16 bits", "0x50"),
    (BASE + "ip_proto tcp dst_port 0", "tc takes no port 0", "0"),
    (BASE + "ip_proto TCP", "ip_proto is no number of 8 bits", "TCP"),
    (BASE + "ct_state +new", "no trk, so no other flag can be set", "+new"),
    (BASE + "ct_state +trk+new+est", "new and est are mutually exclusive", "+trk+new+est"),
    (BASE + "ct_state +trk+inv+est", "when inv is set, only trk may be set", "+trk+inv+est"),
    (BASE + "ct_state +trk+new+rpl", "new and rpl are mutually exclusive", "+trk+new+rpl"),
    (BASE + "ct_state +trk+snat", "not a ct_state of flower", "+trk+snat"),
    (BASE + "ct_state trk", "not a ct_state of flower", "trk"),
    (BASE + "src_ip fe80::1", "not an IPv4 address", "fe80::1"),
    (BASE + "vlan_id 3", "vlan_id cannot stand here", "vlan_id"),
    (BASE + "ip_proto tcp dst_port 90-80", "a range of ports must run upwards", "90-80"),
    (BASE + "indev eth0", "no such device", "eth0"),
    (BASE + "geneve_opts 1", "options of tunnels are not modelled in TC", "geneve_opts"),
    (BASE + "num_of_vlans 2", "the number of tags is not a key of this model", "num_of_vlans"),
    (BASE + "hw_tc 1", "hardware traffic classes are not modelled", "hw_tc"),
    (BASE + "classid 1:1", "classes are not modelled", "classid"),
    (BASE + "mpls lse depth 1 label 1", "mpls cannot stand here", "mpls"),
    (MPLS + "mpls lse depth 4", "labels are modelled down to the third", "4"),
    (ARP + "arp_op 3", "tc takes no such arp_op", "3"),
    (BASE + "action police rate 1mbit", "'burst' requires 'rate'", "1mbit"),
    (BASE + "action police", "'rate' or 'avrate' or 'mtu' or 'pkts_rate' MUST be specified",
     "police"),
    (BASE + "action police rate 1mbit burst 1k peakrate 2mbit",
     "a peak rate is not modelled in police", "peakrate"),
    (BASE + "action police rate 1mbit burst 1k avrate", "an estimator is not modelled in police",
     "avrate"),
    (BASE + "action police mtu 1 conform-exceed goto/pipe",
     "goto in conform-exceed is not modelled", "goto/pipe"),
    (BASE + "action police rate 1parsec", "not a rate", "1parsec"),
    (BASE + "action sample group 5 rate 10", "a kernel samples at random, which is not modelled",
     "10"),
    (BASE + "action tunnel_key set src_ip 1.2.3.4", "tunnel_key set needs both addresses",
     "1.2.3.4"),
    (BASE + "action tunnel_key set geneve_opts", "options of tunnels are not modelled in TC",
     "geneve_opts"),
    (BASE + "action ct helper", "helpers of ct are not known to iproute2 6.1", "helper"),
    (BASE + "action ct nat", "tc takes no nat as the last word", "nat"),
    (BASE + "action gact pass random", "random verdicts are not modelled: no kernel here has them"
     " (CONFIG_GACT_PROB)", "random"),
    (BASE + "action pedit munge ip ttl set 1",
     "only the extended form of pedit is modelled for fields", "ip"),
    (BASE + "action pedit munge offset 1 u16", "a u16 begins at a multiple of 2", "u16"),
    (BASE + "action pedit munge offset 0 at", "offsets that depend on the packet are not modelled",
     "at"),
    (BASE + "action vlan push_eth dst_mac 02:00:00:00:00:01", "push_eth needs both addresses",
     "02:00:00:00:00:01"),
    (BASE + "bogus 3", "flower knows no such word", "bogus"),
    (BASE + "action stolen", "no such action", "stolen"),
    (BASE + "action mirred egress redirect dev eth0", "no such device", "eth0"),
    (BASE + "action ct zone 70000", "a zone is no number of 16 bits", "70000"),
    (BASE + "action ct nat src addr 1.2.3.4", "src or dst is only valid if commit is set", "src"),
    (BASE + "action goto chain 0x10", "a chain is no number of 32 bits", "0x10"),
    (BASE + "action", "the command ends too early", "action"),
    ("tc filter add dev p1 ingress u32", "only flower and matchall are modelled", "u32"),
    ("tc class add dev p1", "no such object of tc here", "class"),
    ("tc qdisc add dev p1 egress_block 1", "blocks at egress are not modelled", "egress_block"),
    ("tc actions add action pass action drop", "several actions in one command are not modelled",
     "drop"),
    ("tc filter add dev p1 root", "filters are modelled at ingress and egress only", "root"),
    ("tc qdisc add dev p1 root fq", "only ingress and clsact are modelled", "root"),
]


@pytest.mark.parametrize(("text", "problem", "token"), ERRORS)
def test_refuses_by_name_and_place(text: str, problem: str, token: str) -> None:
    with pytest.raises(InputError) as caught:
        read_command(text, file="rules.tc", line=3)
    error = caught.value
    assert error.problem == problem
    assert str(error).startswith(f"rules.tc:3:{text.rindex(' ' + token) + 2}: ")


def test_reads_a_script() -> None:
    text = (
        "# the talk\n\ntc qdisc add dev p1 clsact\n"
        "filter add dev p1 ingress \\\n  proto ip pref 3 flower action drop  # no more\n"
        "tc filter del dev p1 ingress pref 3\n"
    )
    first, second, third = read_script(text)
    assert first == QdiscCommand(1, True, "clsact", 3)
    assert isinstance(second, FilterCommand)
    assert (second.line, second.verb, second.filter.prio) == (4, Verb.ADD, 3)
    assert isinstance(third, FilterCommand)
    assert (third.verb, third.filter.prio, third.protocol) == (Verb.DEL, 3, None)


def commands() -> list[str]:
    found: dict[str, Any] = {}
    for case in load("6.1"):
        for command in case["commands"]:
            if " filter add " in command:
                found[command] = None
    return list(found)


@pytest.mark.parametrize("text", commands())
def test_writes_what_it_reads(text: str) -> None:
    entry = read(text)
    assert read(write_command(entry)) == entry


def test_writes_everything() -> None:
    text = (
        "tc filter add dev p1 ingress chain 7 prio 5 protocol 802.1Q handle 0x9 flower skip_hw"
        " vlan_id 5 vlan_prio 3 vlan_ethtype ip dst_mac 01:00:00:00:00:00/8"
        " src_mac 00:11:22:33:44:55 ip_proto tcp ip_tos 16/0xfc ip_ttl 64 dst_ip 10.0.0.0/8"
        " src_ip 1.2.3.4 dst_port 80/0xfff0 src_port 1000 tcp_flags 0x2/12"
        " ip_flags nofrag ct_state +trk-new+est ct_zone 5 ct_mark 5/0xff"
        " ct_label 01000000000000000000000000000000"
        " action ct commit force zone 5 mark 0x5/0xff"
        " label 0f000000000000000000000000000000/ff000000000000000000000000000000"
        " nat src addr 10.0.0.1-10.0.0.9 port 5-9"
        " action pedit ex munge eth src set 00:11:22:33:44:66 munge ip ttl add 0xff"
        " munge ip dst set 1.2.3.4 munge tcp dport set 0x50 munge ip tos set 0x10 retain 0xfc pipe"
        " action csum iph tcp udp pipe action vlan modify id 7 protocol 802.1ad priority 2"
        " action mpls push protocol mpls_uc label 5 tc 1 bos 1 ttl 64"
        " action skbedit priority 1:3 mark 5/0xff"
        " action mirred egress mirror dev p3 action ct clear action goto chain 9"
    )
    assert write_command(read(text)) == text
