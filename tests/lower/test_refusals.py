"""Every reason why TC does not get a megaflow, and everything that is left out without a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ovsct.bridge import odp
from ovsct.bridge.bridge import Bridge
from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.lanes.tc import TcLane
from ovsct.lower.kernel import CT_STATE_5_3, Capabilities
from ovsct.lower.priorities import Priorities
from ovsct.lower.reasons import Ignored, Reason, Refusal
from ovsct.lower.static_reasons import StaticReason
from ovsct.lower.text import refusal_lines
from ovsct.lower.to_tc import Lowered, Lowering, blame
from ovsct.openflow.text.flow_text import read_flows
from ovsct.packet.build import fragment, icmp_echo, tcp, udp
from ovsct.packet.fields import CT_NEW, CT_RPL, CT_SNAT, CT_TRK, SLOTS
from ovsct.tc.keys import FLOWER_CT_STATE

A, B = "10.0.0.1", "10.0.0.2"
A6, B6 = "fc00::1", "fc00::2"
SYN = tcp(A, B, 1000, 80, "S", seq=1)
LLC = SYN[:12] + b"\0\x10\x42\x42\x03" + bytes(43)
DOC = Path(__file__).parents[2] / "docs" / "refusals.md"


def bits(**slots: int) -> int:
    return sum(value << SLOTS[name].shift for name, value in slots.items())


def ones(*names: str) -> int:
    return sum(SLOTS[name].mask for name in names)


def megaflow(
    value: int = 0, mask: int = 0, actions: tuple[odp.OdpAction, ...] = (odp.Output(2),)
) -> odp.Megaflow:
    """A megaflow for IPv4 on port 1 that matches on `mask` besides."""
    base = {"in_port": 1, "dl_type": 0x0800}
    for name, usual in base.items():
        if not value & SLOTS[name].mask:
            value |= usual << SLOTS[name].shift
    return odp.Megaflow(value, mask | ones("in_port", "dl_type", "recirc_id"), actions)


def refused(flow: odp.Megaflow, capabilities: Capabilities | None = None) -> Refusal:
    result = Lowering((1, 2, 3), capabilities).lower(flow)
    assert isinstance(result, Refusal), result
    return result


# -- by hand: the match of a megaflow --------------------------------------------------------

MATCHES: Sequence[tuple[Reason, int, int]] = [
    (Reason.PKT_MARK, 0, ones("pkt_mark") >> 1 & ones("pkt_mark")),
    (Reason.PKT_MARK, bits(pkt_mark=1), ones("pkt_mark")),
    (Reason.DP_HASH, 0, bits(dp_hash=1)),
    (Reason.SKB_PRIORITY, 0, ones("skb_priority")),
    (Reason.PACKET_TYPE, bits(packet_type=0x1894F), ones("packet_type")),
    (Reason.NON_ETHERNET, bits(dl_type=0x05FF), ones("dl_type")),
    (Reason.MPLS_DEPTH, bits(dl_type=0x8847), ones("mpls_lse1")),
    (Reason.IGMP, bits(nw_proto=2, tp_src=0x16), ones("nw_proto", "tp_src")),
    (Reason.IPV6_FRAGMENT, bits(dl_type=0x86DD, nw_frag=1), ones("nw_frag")),
    (Reason.IPV6_FRAGMENT, bits(dl_type=0x86DD, nw_proto=44), ones("nw_proto")),
    (Reason.VLAN_PARTIAL, bits(vlan_tci=0x1005, vlan_tpid=0x8100), bits(vlan_tci=0x100F)),
    (Reason.VLAN_PARTIAL, bits(vlan_tci=0x1005, vlan_tpid=0x8100), bits(vlan_tci=0x1000)),
    (Reason.VLAN_PARTIAL, bits(vlan_tci=0x5005, vlan_tpid=0x8100), bits(vlan_tci=0x5FFF)),
    (Reason.CT_STATE, 0, bits(ct_state=CT_SNAT | CT_TRK)),
    (Reason.CT_TUPLE, bits(ct_nw_proto=6), ones("ct_nw_src")),
    (Reason.CT_TUPLE, bits(ct_nw_proto=6), ones("ct_tp_dst")),
    (
        Reason.ND, bits(dl_type=0x86DD, nw_proto=58, tp_src=135),
        ones("nd_target", "tp_src"),
    ),
    (Reason.ND, bits(dl_type=0x86DD, nw_proto=58, tp_src=135), ones("arp_sha", "tp_src")),
    (Reason.NSH, bits(dl_type=0x894F), ones("nsh_path_hdr")),
    (Reason.IPV6_LABEL, bits(dl_type=0x86DD), ones("ipv6_label")),
    (Reason.OTHER_MATCH, bits(dl_type=0x8035), ones("arp_sha")),
    (Reason.OTHER_MATCH, bits(nw_proto=50, tp_src=1), ones("nw_proto", "tp_src")),
    (Reason.TUNNEL, bits(tun_dst=1), ones("tun_id", "tun_dst")),
    (Reason.CHAIN, bits(recirc_id=0x1000_0000), 0),
    (Reason.KERNEL, bits(ct_state=CT_TRK | CT_NEW | CT_RPL), ones("ct_state") >> 2 & 0x3F
     << SLOTS["ct_state"].shift),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "value", "mask"), MATCHES)
def test_a_match_that_flower_has_no_key_for(reason: Reason, value: int, mask: int) -> None:
    refusal = refused(megaflow(value, mask))
    assert refusal.reason is reason
    assert refusal.action is None
    always = ones("in_port", "dl_type", "recirc_id", "packet_type")
    assert refusal.bits and not refusal.bits & ~(mask | always)


# -- by hand: the actions --------------------------------------------------------------------

FTP = odp.Ct(Track(zone=1, commit=True, helper="ftp"))
ACTIONS: Sequence[tuple[Reason, odp.OdpAction]] = [
    (Reason.USERSPACE, odp.Userspace("action", 0, 65535, 1, 0)),
    (Reason.CLONE, odp.Clone((odp.Output(3),))),
    (Reason.ENCAP, odp.PushEth(1, 2)),
    (Reason.ENCAP, odp.PopEth()),
    (Reason.ENCAP, odp.PushNsh(0)),
    (Reason.ENCAP, odp.PopNsh()),
    (Reason.ENCAP, odp.AddMpls(0x101, 0x8847)),
    (Reason.SET_FIELD, odp.Set("nsh", 0, ones("nsh_path_hdr"))),
    (Reason.HASH, odp.Hash(0, 0)),
    (Reason.TRUNC, odp.Trunc(64)),
    (Reason.METER, odp.Meter(1)),
    (Reason.SET_FIELD, odp.Set("skb_mark", bits(pkt_mark=1), ones("pkt_mark"))),
    (Reason.SET_FIELD, odp.Set("sctp", bits(tp_src=1), ones("tp_src"))),
    (Reason.SET_FIELD, odp.Set("ipv6", bits(ipv6_label=1), ones("ipv6_label"))),
    (Reason.REWRITE_PROTO, odp.Set("ipv4", bits(nw_src=1), ones("nw_src"))),
    (Reason.CT_HELPER, FTP),
    (Reason.OUTPUT_PORT, odp.Output(9)),
    (Reason.CHAIN, odp.Recirc(0x1000_0000)),
]


@pytest.mark.parametrize(("reason", "action"), ACTIONS)
def test_an_action_that_is_not_lowered(reason: Reason, action: odp.OdpAction) -> None:
    refusal = refused(megaflow(actions=(action, odp.Output(2))))
    assert (refusal.reason, refusal.action) == (reason, action)


def test_sixteen_actions_and_no_more() -> None:
    sixteen = (odp.Output(2),) * 16
    assert isinstance(Lowering((1, 2)).lower(megaflow(actions=sixteen)), Lowered)
    refusal = refused(megaflow(actions=(*sixteen, odp.Output(3))))
    assert (refusal.reason, refusal.action) == (Reason.ACTION_COUNT, odp.Output(3))


# -- the kernel ------------------------------------------------------------------------------


def test_without_skb_ext_nothing_that_recirculates() -> None:
    plain = Capabilities(recirc_sharing=False)
    jump = refused(megaflow(actions=(odp.Ct(Track()), odp.Recirc(1))), plain)
    assert (jump.reason, jump.action, jump.bits) == (Reason.RECIRC_SHARING, odp.Recirc(1), 0)
    landing = refused(megaflow(bits(recirc_id=1)), plain)
    assert (landing.reason, landing.bits) == (Reason.RECIRC_SHARING, ones("recirc_id"))
    assert isinstance(Lowering((1, 2), plain).lower(megaflow()), Lowered)


def test_an_old_kernel_has_fewer_bits_of_ct_state() -> None:
    flow = megaflow(0, bits(ct_state=CT_TRK | CT_RPL))
    assert isinstance(Lowering((1, 2)).lower(flow), Lowered)
    old = refused(flow, Capabilities(ct_state=CT_STATE_5_3))
    assert (old.reason, old.bits) == (Reason.CT_STATE, bits(ct_state=CT_RPL))


def test_a_kernel_without_conntrack_in_tc() -> None:
    none = Capabilities(ct_state=0)
    matching = refused(megaflow(0, ones("ct_zone")), none)
    assert (matching.reason, matching.bits) == (Reason.NO_CONNTRACK, ones("ct_zone"))
    acting = refused(megaflow(actions=(odp.Ct(Track()),)), none)
    assert (acting.reason, acting.action) == (Reason.NO_CONNTRACK, odp.Ct(Track()))


@pytest.mark.parametrize(
    ("version", "bits_known", "multi_mask", "sharing"),
    [("4.18", 0, False, False), ("4.19", 0, True, False), ("5.2", 0, True, False),
     ("5.3", CT_STATE_5_3, True, False), ("5.4", CT_STATE_5_3, True, True),
     ("5.11", CT_STATE_5_3, True, True), ("5.12", FLOWER_CT_STATE, True, True),
     ("6.12.117", FLOWER_CT_STATE, True, True)],
)  # fmt: skip
def test_what_a_kernel_offers(
    version: str, bits_known: int, multi_mask: bool, sharing: bool
) -> None:
    assert Capabilities.of(version) == Capabilities(bits_known, multi_mask, sharing)
    assert not Capabilities.of(version, recirc_sharing=False).recirc_sharing


@pytest.mark.parametrize("version", ["", "5", "new", "5.x"])
def test_what_is_no_kernel(version: str) -> None:
    with pytest.raises(InputError, match="not the version of a kernel"):
        Capabilities.of(version)


def test_a_lane_over_an_old_kernel() -> None:
    flows = read_flows("ip,ct_state=-trk actions=ct(table=1)\n"
                       "table=1,ip,ct_state=+trk-rpl actions=output:2\n", "f")  # fmt: skip
    packet = tcp("10.0.0.1", "10.0.0.2", 1000, 80)
    reasons = {}
    for version in ("4.19", "5.10", "6.1"):
        lane = TcLane(Bridge((1, 2), flows), features=version)
        lane.receive(Arrival(1.0, 1, packet))
        reasons[version] = {refusal.reason for refusal in lane.refused.values()}
    assert reasons == {
        "4.19": {Reason.NO_CONNTRACK}, "5.10": {Reason.CT_STATE}, "6.1": set()
    }


def test_priorities_are_two_for_ipv4_three_for_ipv6_and_then_from_four() -> None:
    given = Priorities()
    order = (0x0806, 0x0800, 0x8100, 0x86DD, 0x0806, 0x88A8)
    assert [given.take(protocol, 1) for protocol in order] == [4, 2, 5, 3, 4, 6]


def test_an_old_kernel_needs_a_priority_a_mask_until_there_are_no_more() -> None:
    given = Priorities(multi_mask=False)
    assert [given.take(0x0800, mask) for mask in (1, 2, 1)] == [4, 5, 4]
    assert [given.take(0x0800, mask) for mask in range(3, 65533)][-1] == 65535
    assert given.take(0x0800, 1) == 4
    assert given.take(0x0800, 70000) is None
    lowering = Lowering((1, 2), Capabilities(multi_mask=False))
    lowering.priorities = given
    result = lowering.lower(megaflow())
    assert isinstance(result, Refusal) and result.reason is Reason.PRIORITIES


# -- from flows ------------------------------------------------------------------------------


@dataclass
class Case:
    """Flows, a packet on port 1, and what the megaflow of that packet is refused for."""

    reason: Reason
    flows: str
    frame: bytes = SYN
    why: str = ""
    more: list[bytes] = field(default_factory=list)


FROM_FLOWS = [
    Case(Reason.PKT_MARK, "pkt_mark=0/0x1,actions=output:2",
         why="pkt_mark: matched by pkt_mark=0/0x1 actions=output:2"),
    Case(Reason.USERSPACE, "actions=controller,output:2"),
    Case(Reason.USERSPACE, "arp,actions=output:3\nicmp,actions=set_field:1->icmp_type,output:2",
         icmp_echo(A, B)),
    Case(Reason.TRUNC, "actions=output(port=2,max_len=64),output:3", udp(A, B, 1, 2)),
    Case(Reason.SET_FIELD, "actions=set_field:1->pkt_mark,output:2"),
    Case(Reason.REWRITE_PROTO, "ip,actions=mod_nw_src:1.2.3.4,output:2",
         fragment(udp(A, B, 1, 2, payload=bytes(64)), [48])[0].replace(b"\x40\x11", b"\x40\x2f")),
    Case(Reason.IPV6_FRAGMENT, "actions=output:2", fragment(udp(A6, B6, 1, 2, payload=bytes(64)),
                                                            [48])[0]),
    Case(Reason.NON_ETHERNET, "actions=output:2", LLC),
    Case(Reason.VLAN_PARTIAL, "vlan_tci=0x1000/0x1000,actions=output:2",
         tcp(A, B, 1, 2, "S", vlans=[5]), why="vlan_tci: matched by"),
    Case(Reason.IPV6_LABEL, "tcp6,ipv6_label=5,actions=output:3\npriority=1,actions=output:2",
         tcp(A6, B6, 1, 2, "S"), why="ipv6_label: looked at, not matched by"),
]  # fmt: skip


@pytest.mark.parametrize("case", FROM_FLOWS, ids=lambda case: str(case.reason))
def test_from_flows(case: Case) -> None:
    lane = TcLane(Bridge((1, 2, 3), read_flows(case.flows, None)))
    first = lane.receive(Arrival(0.0, 1, case.frame))
    ((flow, refusal),) = lane.refused.items()
    assert refusal.reason is case.reason
    again = lane.receive(Arrival(0.1, 1, case.frame))
    assert list(again.out) == list(first.out)
    assert any(line.startswith("# not in TC: ") for line in lane.lowered("tc"))
    lines = list(refusal_lines(flow, refusal))
    assert lines[1].startswith(f"#   refused ({case.reason}): ")
    assert any(case.why in line for line in lines[2:] or [""])


def test_blame_names_the_table_and_the_flow() -> None:
    text = (
        "table=0,priority=9,ip,ct_state=-trk,actions=ct(table=1)\n"
        "table=1,priority=9,ct_state=+trk+est-snat,ip,actions=output:3\n"
        "table=1,priority=1,ct_state=+trk+new,ip,actions=output:2\n"
    )
    lane = TcLane(Bridge((1, 2, 3), read_flows(text, "fw.flows")))
    lane.receive(Arrival(0.0, 1, SYN))
    ((flow, refusal),) = lane.refused.items()
    assert (refusal.reason, refusal.bits) == (Reason.CT_STATE, bits(ct_state=CT_SNAT))
    ((author, share),) = blame(flow, refusal.bits)
    assert share == refusal.bits
    assert author.table == 1 and author.flow is not None
    assert (author.flow.line, author.flow.priority) == (2, 9)


# -- what is left out without a word ---------------------------------------------------------


def ignored(flow: odp.Megaflow) -> tuple[list[Ignored], Lowered]:
    result = Lowering((1, 2, 3)).lower(flow)
    assert isinstance(result, Lowered), result
    return [note.ignored for note in result.ignored], result


def nat(**flags: bool) -> odp.Ct:
    # (OVS lets nat(src) stand with commit alone, whose event mask is left out as well.)
    return odp.Ct(Track(nat=Nat(NatKind.SRC, 4, 1, 2, **flags)))


IGNORED: Sequence[tuple[Ignored, odp.Megaflow]] = [
    (Ignored.CT_TIMEOUT, megaflow(actions=(odp.Ct(Track(timeout="p")), odp.Output(2)))),
    (Ignored.CT_EVENTMASK, megaflow(actions=(odp.Ct(Track(commit=True)), odp.Output(2)))),
    (Ignored.NAT_PERSISTENT, megaflow(actions=(nat(persistent=True),))),
    (Ignored.NAT_HASH, megaflow(actions=(nat(hash=True),))),
    (Ignored.NAT_RANDOM, megaflow(actions=(nat(random=True),))),
    (Ignored.PROTO_ZERO, megaflow(0, ones("nw_proto"))),
    (Ignored.MPLS_BEHIND_VLAN, megaflow(
        bits(dl_type=0x8847, vlan_tci=0x1005, vlan_tpid=0x8100, mpls_lse=0x10140),
        bits(vlan_tci=0x1FFF, mpls_lse=0xFFFFF000))),
    (Ignored.AFTER_RECIRC, megaflow(actions=(odp.Ct(Track()), odp.Recirc(1), odp.Output(2)))),
]  # fmt: skip


@pytest.mark.parametrize(("note", "flow"), IGNORED, ids=lambda value: str(value)[:20])
def test_left_out_without_a_word(note: Ignored, flow: odp.Megaflow) -> None:
    notes, lowered = ignored(flow)
    assert notes == [note]
    for track in lowered.tracks:
        assert track is not None and track.timeout is None
        assert track.nat is None or track.nat == Nat(NatKind.SRC, 4, 1, 2)
    assert not lowered.mask & ones("nw_proto", "mpls_lse")


# -- the lists are closed, and documented ----------------------------------------------------


def test_every_reason_is_reached_by_a_test() -> None:
    elsewhere = {
        Reason.ACTION_COUNT, Reason.RECIRC_SHARING, Reason.NO_CONNTRACK, Reason.PRIORITIES,
    }  # fmt: skip
    reached = {row[0] for row in MATCHES} | {row[0] for row in ACTIONS}
    reached |= {case.reason for case in FROM_FLOWS} | elsewhere
    assert reached == set(Reason)
    assert {row[0] for row in IGNORED} == set(Ignored)


def test_every_reason_has_a_page() -> None:
    titles = [line for line in DOC.read_text().splitlines() if line.startswith("## `")]
    assert titles == [f"## `{member}`" for member in (*Reason, *Ignored, *StaticReason)]
