"""The Ryu call of a flow mod, run under os-ken and Ryu: it must make what stands on the wire."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ovsct.errors import InputError
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.codec import decode, encode
from ovsct.report.ryu_call import ryu_call
from ovsct.report.ryu_names import IPV4, IPV6, MAC, RYU_NAMES, RYU_ONF_NAMES

needs_os_ken = pytest.mark.skipif(
    find_spec("os_ken") is None, reason="os-ken is not installed: pip install 'ovsct[os-ken]'"
)

FLOWS = """
table=1,priority=100,ct_state=+new+trk,tcp,nw_src=10.0.0.0/8 actions=ct(commit,zone=5,nat(src=192.0.2.1-192.0.2.9:1000-2000),exec(set_field:7->ct_mark)),2
ip actions=ct(table=1,zone=NXM_NX_REG3[0..15],nat)
ipv6,ipv6_dst=2001:db8::/32 actions=ct(commit,nat(dst=2001:db8::1)),ct_clear,resubmit(,3)
tcp6 actions=ct(commit,force,alg=ftp,nat(src=[2001:db8::1]-[2001:db8::9]:7,random),exec(load:5->NXM_NX_CT_LABEL[0..7],move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]))
in_port=1,dl_vlan=5 actions=strip_vlan,mod_dl_src:00:00:00:00:00:01,move:NXM_NX_REG0[0..7]->NXM_NX_REG1[8..15],load:5->NXM_NX_REG2[4..7],goto_table:9
idle_timeout=5,hard_timeout=6,cookie=0x77,send_flow_rem,udp actions=dec_ttl,push_vlan:0x8100,set_field:4100->vlan_vid,group:7,CONTROLLER:128,controller(max_len=5,id=3)
arp,arp_tpa=10.0.0.1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],load:2->NXM_OF_ARP_OP[],set_field:00:00:00:00:00:05->arp_sha,IN_PORT
reg0=0x5,conj_id=9,ip actions=clear_actions,write_metadata:5/0xff
metadata=3 actions=meter:4,write_actions(output:3),goto_table:5
ip,nw_tos=32,nw_ecn=1 actions=conjunction(5,1/2)
mpls,mpls_label=5 actions=pop_mpls:0x0800,set_mpls_ttl(3),dec_mpls_ttl,push_mpls:0x8847,resubmit(7,8),output:NXM_NX_REG3[],dec_ttl(1,2),exit
tcp,tcp_flags=+syn-ack,tun_id=7,ct_label=0x5/0xff actions=set_queue:3,pop_queue,push:NXM_NX_REG0[],pop:NXM_NX_REG1[],output(port=3,max_len=100),mod_nw_ttl:5,mod_nw_dst:1.2.3.4,NORMAL
icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=00:00:00:00:00:01 actions=set_field:fe80::2->nd_target,LOCAL,ALL,FLOOD
actions=drop
""".strip().splitlines()  # noqa: E501


def _message(line: str) -> bytes:
    flow = parse_flow(line)
    body = m.FlowMod(
        command="add", table=flow.table, match=flow.match, priority=flow.priority,
        actions=flow.actions, idle_timeout=flow.idle_timeout, hard_timeout=flow.hard_timeout,
        new_cookie=flow.cookie, flags=flow.flags,
    )  # fmt: skip
    return encode(body, 4, 1)


def _run(code: str) -> bytes:
    """The bytes of what the code sends, under os-ken."""
    from os_ken.ofproto.ofproto_protocol import ProtocolDesc

    class Datapath(ProtocolDesc):  # type: ignore[misc]
        sent: Any = None

        def send_msg(self, message: Any) -> None:
            self.sent = message

    datapath = Datapath(4)
    exec(code, {"datapath": datapath})
    datapath.sent.xid = 1
    datapath.sent.serialize()
    return bytes(datapath.sent.buf)


def _instructions(message: bytes) -> bytes:
    """What stands behind the match."""
    length = int.from_bytes(message[50:52], "big")
    return message[48 + (length + 7) // 8 * 8 :]


@needs_os_ken
@pytest.mark.parametrize("line", FLOWS)
def test_makes_the_same_message(line: str) -> None:
    message = _message(line)
    made = _run(ryu_call(message))
    assert decode(made) == decode(message)
    assert _instructions(made) == _instructions(message)
    assert made[:48] == message[:48]


_UNDER_RYU = """
import json, sys
from ryu.ofproto.ofproto_protocol import ProtocolDesc

class Datapath(ProtocolDesc):
    def send_msg(self, message):
        message.xid = 1
        message.serialize()
        print(bytes(message.buf).hex())

for code in json.load(sys.stdin):
    exec(code, {"datapath": Datapath(4)})
"""


def test_makes_the_same_messages_under_ryu() -> None:
    python = Path(__file__).resolve().parents[2] / ".venv-ryu" / "bin" / "python"
    if not python.is_file():
        pytest.skip("there is no .venv-ryu with Ryu: make controller")
    messages = [_message(line) for line in FLOWS]
    done = subprocess.run(
        [python, "-c", _UNDER_RYU],
        input=json.dumps([ryu_call(message) for message in messages]),
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    made = [bytes.fromhex(line) for line in done.stdout.split()]
    assert [decode(each) for each in made] == [decode(message) for message in messages]
    assert list(map(_instructions, made)) == list(map(_instructions, messages))


@needs_os_ken
def test_other_commands() -> None:
    match = parse_flow("ip,actions=drop").match
    for body in (
        m.FlowMod(command="delete", match=match, cookie=5, cookie_mask=0xF, out_port=3),
        m.FlowMod(command="modify_strict", table=3, match=match, priority=7),
    ):
        message = encode(body, 4, 1)
        assert _run(ryu_call(message)) == message


@needs_os_ken
def test_the_names_are_ryus() -> None:
    from os_ken.ofproto import ofproto_v1_3

    names, kinds = {}, {}
    for row in ofproto_v1_3.oxm_types:
        head = bytearray()
        ofproto_v1_3.oxm_serialize_header(ofproto_v1_3.oxm_from_user_header(row.name), head, 0)
        names.setdefault((int.from_bytes(head[:2], "big"), head[2] >> 1), row.name)
        kinds[row.name] = getattr(row.type, "__name__", "")
    ours = {
        (kind, number): name for kind, each in RYU_NAMES.items() for number, name in each.items()
    }
    ours.update({(0xFFFF, number): name for number, name in RYU_ONF_NAMES.items()})
    assert {place: names[place] for place in ours} == ours
    known = set(ours.values())
    for group, kind in ((IPV4, "IPv4Addr"), (IPV6, "IPv6Addr"), (MAC, "MacAddr")):
        assert group == {name for name in known if kinds[name] == kind}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ip,ct_nw_src=10.0.0.1,ct_state=+trk+est,actions=2", "no name for a field: 'class 0x0001"),
        ("tcp,actions=clone(2)", 'no Ryu call for this here: "Nicira\'s action 42"'),
        ("icmp6,icmp_type=136,actions=set_field:2->nd_options_type", "class 0x1000, field 2"),
    ],
)
def test_says_what_ryu_cannot(line: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ryu_call(_message(line))


def test_takes_nothing_but_flow_mods() -> None:
    with pytest.raises(InputError, match="expected a flow mod"):
        ryu_call(encode(m.BarrierRequest(), 4, 1))
    with pytest.raises(InputError, match="version 1, type 14"):
        ryu_call(encode(m.FlowMod(command="add", table=0), 1, 1))
