"""The same ovs-ofctl commands against `ovsct switch` and a real ovs-vswitchd: the same answers."""

from __future__ import annotations

import pytest

from tests.agent.programs import Modelled, Real, neutral

pytestmark = pytest.mark.real_ovs

VERSIONS = {"1.0": (), "1.3": ("-O", "OpenFlow13")}

FLOWS = """\
in_port=1,actions=2
table=0,priority=100,tcp,nw_src=10.0.0.0/8,tp_dst=80,actions=resubmit(,1)
table=0,priority=7,dl_vlan=5,dl_vlan_pcp=3,actions=strip_vlan,output:3
table=0,priority=8,vlan_tci=0x1000/0x1000,actions=mod_vlan_vid:7,NORMAL
table=1,cookie=0x12345678,ct_state=-trk,ip,actions=ct(table=2,zone=5,nat)
table=2,ct_state=+trk+new,ip,actions=ct(commit,zone=NXM_NX_REG0[0..15],nat(src=1.2.3.4-1.2.3.9:10-20,random),exec(load:0x5->NXM_NX_CT_MARK[])),3
table=2,ct_state=+trk+est,ct_mark=0x5/0xff,ct_label=0x123,ip,ct_nw_src=1.2.3.4,actions=ct_clear,LOCAL
table=3,ipv6,ipv6_src=fe80::/10,ipv6_label=0x5,actions=dec_ttl,ALL
table=3,icmp6,icmpv6_type=135,nd_target=::1,nd_sll=00:00:00:00:00:05,actions=drop
table=3,arp,arp_op=1,arp_spa=1.2.3.4,arp_tha=00:00:00:00:00:09,actions=FLOOD
table=4,reg0=0x5,reg15=0x1/0xf,metadata=0x7,tun_id=0x9,actions=load:0x3->NXM_NX_REG0[4..7],move:NXM_NX_REG0[]->NXM_NX_REG1[],push:NXM_NX_REG0[],pop:NXM_NX_REG1[],output:NXM_NX_REG2[0..15]
table=4,conj_id=7,ip,actions=CONTROLLER:100,controller(max_len=5,id=3),controller(userdata=01.02,reason=no_match)
table=4,ip,nw_src=1.2.3.4,priority=9,actions=conjunction(7,1/2),conjunction(8,2/3)
table=5,udp,tp_src=0x50/0xfff0,actions=set_field:00:00:00:00:00:01->eth_dst,set_field:9->udp_dst,note:00.01.02.03.04.05
table=5,ip,nw_tos=8,nw_ecn=1,nw_ttl=64,actions=mod_nw_tos:12,mod_nw_src:9.9.9.9,IN_PORT
table=5,ip,ip_frag=first,actions=clone(1,clone(2)),check_pkt_larger(1500)->NXM_NX_REG0[3],output(port=3,max_len=100)
table=6,tcp,tcp_flags=+syn-ack,idle_timeout=60,hard_timeout=90,actions=dec_ttl(1,2),exit
table=6,mpls,mpls_label=5,mpls_tc=3,mpls_bos=1,actions=pop_mpls:0x0800,resubmit(1,7)
table=6,sctp,sctp_dst=9,actions=set_queue:3,pop_queue,enqueue:1:2
table=6,pkt_mark=9,in_port=LOCAL,actions=set_tunnel:5,set_tunnel64:0x100000001
table=7,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,dl_type=0x88cc,actions=resubmit(,8)
table=7,ct_state=+trk+est,ip,actions=resubmit(,8,ct)
table=7,icmp,icmp_type=8,icmp_code=0,actions=1,2
"""
NEWER = """\
table=6,priority=3,dl_type=0x894f,nsh_spi=0x1234,actions=dec_nsh_ttl,decap(),decap(),resubmit(,7)
table=6,priority=4,tcp,actions=encap(nsh(md_type=2,tlv(0x1000,10,0x12345678))),encap(ethernet),2
table=0,tcp,actions=write_metadata:0x5/0xff,goto_table:1
table=1,ip,actions=set_field:1.2.3.4->ip_dst,clear_actions,write_actions(output:3),goto_table:2
table=2,actions=push_vlan:0x8100,set_field:4101->vlan_vid,set_field:3->vlan_pcp,1
table=2,vlan_vid=0x1005,priority=7,actions=pop_vlan,push_mpls:0x8847,set_field:9->mpls_label,2
table=3,priority=1,check_overlap,send_flow_rem,no_packet_counts,actions=drop
table=4,udp,actions=set_field:7->udp_src,load:0x5->NXM_NX_REG3[0..7],set_field:0x5/0xf->reg4,3
"""
DUMPS = (
    ("dump-flows",),
    ("--no-stats", "dump-flows"),
    ("dump-flows", "table=4"),
    ("--no-stats", "dump-flows", "ip"),
    ("dump-flows", "out_port=3"),
    ("dump-flows", "cookie=0x12345678/-1"),
    ("dump-aggregate",),
    ("dump-aggregate", "table=5,ip"),
    ("dump-tables",),
    ("dump-ports",),
    ("dump-ports", "1"),
    ("dump-ports-desc",),
    ("queue-stats",),
    ("show",),
    ("get-frags",),
    ("dump-group-features",),
    ("probe",),
    ("ping",),
)


def _both(real: Real, model: Modelled, *arguments: str, text: str | None = None) -> str:
    """Run a command on both, and hold what they say against each other."""
    wanted = neutral(real.ofctl(*arguments, text=text))
    said = neutral(model.ofctl(*arguments, text=text))
    if any(command in arguments for command in ("dump-ports", "queue-stats", "dump-groups")):
        # OVS goes through its ports and groups in the order of a hash table.
        assert sorted(said.splitlines()) == sorted(wanted.splitlines())
    else:
        assert said == wanted
    return wanted


@pytest.fixture(autouse=True)
def _clean(real: Real, model: Modelled) -> None:
    for switch in (real, model):
        assert switch.ofctl("del-flows") == ""
        assert switch.ofctl("-O", "OpenFlow13", "del-groups") == ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("command", DUMPS, ids=" ".join)
def test_dumps_are_the_same(
    real: Real, model: Modelled, version: str, command: tuple[str, ...]
) -> None:
    for switch in (real, model):
        assert switch.ofctl("add-flows", "-", text=FLOWS) == ""
    options = VERSIONS[version]
    said = _both(real, model, *options, *command)
    assert said or command[0] == "probe"


@pytest.mark.parametrize("line", FLOWS.splitlines())
@pytest.mark.parametrize("added", VERSIONS)
def test_each_flow_comes_back(real: Real, model: Modelled, added: str, line: str) -> None:
    said = _both(real, model, *VERSIONS[added], "add-flow", line)
    for dumped in VERSIONS.values():
        dump = _both(real, model, *dumped, "dump-flows")
        assert said or "actions=" in dump


@pytest.mark.parametrize("line", NEWER.splitlines())
def test_each_newer_flow_comes_back(real: Real, model: Modelled, line: str) -> None:
    _both(real, model, "-O", "OpenFlow13", "add-flow", line)
    for dumped in VERSIONS.values():
        dump = _both(real, model, *dumped, "dump-flows")
        # ovs-ofctl itself cannot read back what OpenFlow 1.0 makes of two instructions.
        assert "actions=" in dump or not dumped


@pytest.mark.parametrize("version", VERSIONS)
def test_modify_and_delete(real: Real, model: Modelled, version: str) -> None:
    options = VERSIONS[version]

    def both(*arguments: str) -> None:
        _both(real, model, *options, *arguments)
        _both(real, model, *options, "dump-flows")

    for switch in (real, model):
        assert switch.ofctl(*options, "add-flows", "-", text=FLOWS) == ""
    both("mod-flows", "ip,actions=4")
    both("--strict", "mod-flows", "in_port=1,actions=3")
    both("--strict", "mod-flows", "priority=5,in_port=1,actions=3")
    both("mod-flows", "table=9,in_port=1,cookie=0x77,actions=3")
    both("mod-flows", "cookie=0x12345678/-1,actions=1")
    both("add-flow", "in_port=1,cookie=5,actions=NORMAL")
    both("del-flows", "out_port=3")
    both("del-flows", "cookie=0x12345678/-1")
    both("--strict", "del-flows", "table=5,ip,nw_tos=8,nw_ecn=1,nw_ttl=64")
    both("del-flows", "tcp")
    both("del-flows", "table=4")
    both("del-flows")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "command",
    [
        ("add-flow", "check_overlap,ip,nw_src=1.0.0.0/8,actions=1"),
        ("add-flow", "table=254,actions=1"),
        ("add-flow", "actions=group:77"),
        ("add-flow", "recirc_id=5,actions=1"),
        ("add-flow", "actions=output:65290"),
        ("add-flow", "ip,actions=resubmit(,254)"),
        ("dump-ports", "77"),
        ("queue-stats", "77"),
        ("mod-port", "p1", "up"),
        ("packet-out", "in_port=1 packet=0011 actions=2"),
        ("packet-out", "in_port=1 packet=00112233445566778899aabbccdd actions=group:99"),
    ],
    ids=" ".join,
)
def test_refusals_are_the_same(
    real: Real, model: Modelled, version: str, command: tuple[str, ...]
) -> None:
    for switch in (real, model):
        assert switch.ofctl("add-flow", "ip,nw_dst=1.2.3.4,actions=2") == ""
    _both(real, model, *VERSIONS[version], *command)
    _both(real, model, *VERSIONS[version], "dump-flows")


@pytest.mark.parametrize("version", VERSIONS)
def test_replace_and_diff(
    real: Real, model: Modelled, version: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options = VERSIONS[version]
    file = tmp_path_factory.mktemp("flows") / "flows"
    file.write_text("in_port=1,actions=3\nin_port=2,actions=1\nudp,actions=2\n")
    for switch in (real, model):
        assert switch.ofctl(*options, "add-flow", "in_port=1,actions=2") == ""
        assert switch.ofctl(*options, "add-flow", "tcp,actions=2") == ""
    assert "actions=output:3" in _both(real, model, *options, "diff-flows", str(file))
    _both(real, model, *options, "replace-flows", str(file))
    assert _both(real, model, *options, "diff-flows", str(file)) == ""
    _both(real, model, *options, "dump-flows")


def test_groups(real: Real, model: Modelled) -> None:
    def both(*arguments: str) -> str:
        said = _both(real, model, "-O", "OpenFlow13", *arguments)
        _both(real, model, "-O", "OpenFlow13", "dump-flows")
        return said

    both("add-group", "group_id=1,type=all,bucket=output:1,bucket=set_field:9->reg0,output:2")
    both("add-group", "group_id=2,type=indirect,bucket=output:3")
    assert "OFPGMFC_GROUP_EXISTS" in both("add-group", "group_id=2,type=indirect,bucket=output:3")
    assert "group_id=1" in both("dump-groups")
    both("add-group", "group_id=3,type=select,bucket=weight:7,output:1,bucket=weight:0,output:2")
    both("add-group", "group_id=4,type=ff,bucket=watch_port:1,output:1,bucket=watch_port:2,2")
    assert "watch_port:2" in both("dump-groups")
    both("add-flow", "in_port=1,actions=group:1")
    both("add-flow", "in_port=2,actions=group:2")
    both("mod-group", "group_id=2,type=indirect,bucket=output:4")
    assert "OFPGMFC_UNKNOWN_GROUP" in both("mod-group", "group_id=9,type=all,bucket=output:4")
    assert "output:4" in both("dump-groups")
    both("del-groups", "group_id=1")
    assert "group_id=1" not in both("dump-groups")
    both("del-groups")


def test_bundles(real: Real, model: Modelled) -> None:
    def both(*arguments: str, text: str | None = None) -> str:
        said = _both(real, model, "-O", "OpenFlow13", "--bundle", *arguments, text=text)
        _both(real, model, "-O", "OpenFlow13", "dump-flows")
        return said

    assert both("add-flows", "-", text="in_port=1,actions=2\nin_port=2,actions=1\n") == ""
    changes = "modify in_port=1,actions=3\ndelete in_port=2\nadd udp,actions=4\n"
    assert both("add-flows", "-", text=changes) == ""
    # The third cannot be done, so none is.
    bad = "delete\nin_port=9,actions=1\nin_port=5,actions=group:77\nin_port=6,actions=1\n"
    assert "OFPBAC_BAD_OUT_GROUP" in both("add-flows", "-", text=bad)
    assert "output:3" in _both(real, model, "-O", "OpenFlow13", "dump-flows")


@pytest.mark.parametrize("version", VERSIONS)
def test_geneve_options(real: Real, model: Modelled, version: str) -> None:
    def both(*arguments: str) -> str:
        return _both(real, model, *VERSIONS[version], *arguments)

    def option(kind: int, number: int, length: int, field: int) -> str:
        return f"{{class={kind:#x},type={number},len={length}}}->tun_metadata{field}"

    first = option(0xFFFF, 0, 4, 0)
    options = f"{first},{option(0x102, 128, 8, 7)}"
    assert "NXFMFC_INVALID_TLV_FIELD" in both("add-flow", "tun_metadata0=5,actions=2")
    both("add-tlv-map", options)
    assert "tun_metadata7" in both("dump-tlv-map")
    for problem in (
        option(0xFFFF, 0, 4, 1), options, option(1, 0, 5, 1), option(1, 0, 4, 64),
        f"{option(1, 0, 124, 1)},{option(1, 1, 124, 2)}",
    ):  # fmt: skip
        assert "NXTTMFC_" in both("add-tlv-map", problem)
    both("add-flow", "tun_metadata0=0x1122334455,tun_metadata7=0x1200/0xff00,actions=2")
    both("add-flow", "priority=5,tun_metadata7,actions=set_field:5->tun_metadata0,"
         "load:1->NXM_NX_TUN_METADATA7[8..15],move:tun_metadata0[0..15]->NXM_NX_REG0[0..15],"
         "delete_field:tun_metadata0,output:NXM_NX_TUN_METADATA0[0..15]")
    both("add-flow", "priority=6,actions=move:tun_metadata0[0..40]->tun_metadata7[0..40]")
    assert "delete_field" in both("dump-flows")
    assert "NXTTMFC_INVALID_TLV_DEL" in both("del-tlv-map", options)
    both("del-flows", "tun_metadata0=0x11223344")
    both("dump-flows")
    assert "NXTTMFC_INVALID_TLV_DEL" in both("del-tlv-map")
    both("del-flows")
    both("del-tlv-map", first)
    assert "tun_metadata0" not in both("dump-tlv-map")
    both("del-tlv-map")
    both("dump-tlv-map")
