"""TC filter to NIC rule: what the hardware gets, and every reason why it gets nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ovsct.conntrack.request import Track
from ovsct.errors import OvsctError
from ovsct.lower.nic_reasons import NicReason, NicRefusal
from ovsct.lower.to_nic import to_nic
from ovsct.nic import rules as nic
from ovsct.nic.profile import SOURCES, get_profile
from ovsct.nic.tables import Failure, Full
from ovsct.packet.fields import CT_EST, CT_INV, CT_NEW, CT_REL, CT_TRK, SLOTS
from ovsct.tc import actions as tc
from ovsct.tc.filters import Filter
from ovsct.tc.text.command import FilterCommand, read_script
from ovsct.tc.verdict import goto_chain

PORTS = frozenset((1, 2, 3, 4))
OUT = "action mirred egress redirect dev p2"


def read(match: str, actions: str = OUT, protocol: str = "ip", place: str = "prio 1") -> Filter:
    """The filter of a tc command."""
    text = f"tc filter add dev p1 ingress {place} protocol {protocol} {match} {actions}"
    (command,) = read_script(text)
    assert isinstance(command, FilterCommand)
    return command.filter


def lower(entry: Filter, kernel: str = "6.12", **profile: Any) -> nic.NicRule | NicRefusal:
    return to_nic(entry, get_profile(profile, kernel), PORTS)


def rule(entry: Filter, kernel: str = "6.12", **profile: Any) -> nic.NicRule:
    made = lower(entry, kernel, **profile)
    assert isinstance(made, nic.NicRule), made
    return made


FLOWER = "flower ip_proto tcp"
REFUSED: list[tuple[NicReason, Filter, dict[str, Any]]] = [
    (NicReason.SKIP_HW, read("flower skip_hw"), {}),
    (NicReason.KIND, read("matchall", protocol="all"), {}),
    (NicReason.CT_STATE_SET, read("flower ct_state +trk+rel"), {}),
    (NicReason.CT_STATE_SET, read("flower ct_state +trk+inv"), {}),
    (NicReason.CT_STATE_SET, read("flower ct_state +trk+new"), {"kernel": "6.1"}),
    (NicReason.CT_STATE_CLEAR, read("flower ct_state +trk-inv"), {"ct_state_clear": ["trk"]}),
    (NicReason.CT_LABEL, read(f"flower ct_state +trk ct_label {1:032x}"), {"label_match": "none"}),
    (NicReason.FRAGMENT, read("flower ip_flags firstfrag"), {}),
    (
        NicReason.CVLAN,
        read("flower vlan_id 1 vlan_ethtype 802.1q cvlan_id 2", protocol="802.1q"),
        {"vlan_tags": 1},
    ),
    (NicReason.MPLS, read("flower mpls_label 5", protocol="mpls_uc"), {}),
    (NicReason.ARP, read("flower arp_tip 10.0.0.1", protocol="arp"), {}),
    (NicReason.ICMP, read("flower ip_proto icmp type 8"), {"match_icmp": False}),
    (NicReason.TTL, read("flower ip_ttl 1"), {"match_ttl": False}),
    (NicReason.CT, read("flower", f"action ct zone 1 pipe {OUT}"), {"ct": False}),
    (
        NicReason.HELPER,
        Filter(1, 0x800, actions=(
            tc.Ct(Track(zone=1, commit=True, helper="ftp")), tc.Mirred(2),
        )),
        {},
    ),
    (
        NicReason.MULTIPLE_CT,
        read("flower", f"action ct zone 1 pipe action ct zone 2 pipe {OUT}"),
        {"kernel": "6.1"},
    ),
    (
        NicReason.REWRITE_WITH_CT,
        read(FLOWER, f"action pedit ex munge ip src set 1.2.3.4 pipe action ct zone 1 pipe {OUT}"),
        {"kernel": "6.1"},
    ),
    (
        NicReason.REWRITE_TRACKED,
        read(f"{FLOWER} ct_state +trk", f"action pedit ex munge ip src set 1.2.3.4 pipe {OUT}"),
        {"kernel": "6.1"},
    ),
    (
        NicReason.REWRITE_FIELD,
        Filter(1, 0x800, actions=(
            tc.Pedit((tc.Munge(tc.Header.IPV4, 4, 0x1000, 0xFFFF),), control=3), tc.Mirred(2),
        )),
        {},
    ),
    (
        NicReason.REWRITE_BITS,
        Filter(1, 0x800, actions=(
            tc.Pedit((tc.Munge(tc.Header.ETH, 0, 0x1001, 0xFFFFEFFE),), control=3), tc.Mirred(2),
        )),
        {},
    ),
    (
        NicReason.REWRITE_PROTOCOL,
        read("flower", f"action pedit ex munge ip src set 1.2.3.4 pipe {OUT}"),
        {},
    ),
    (NicReason.CSUM_ALONE, read(FLOWER, f"action csum ip pipe {OUT}"), {}),
    (
        NicReason.CSUM_HEADER,
        read(FLOWER, f"action pedit ex munge ip ttl set 3 pipe action csum icmp pipe {OUT}"),
        {},
    ),
    (NicReason.VLAN_MODIFY, read("flower", f"action vlan modify id 5 pipe {OUT}"), {}),
    (
        NicReason.VLAN_MODIFY,
        read("flower vlan_id 3", f"action vlan modify id 5 priority 2 pipe {OUT}",
             protocol="802.1q"),
        {},
    ),
    (NicReason.SKBEDIT, read("flower", f"action skbedit mark 1 pipe {OUT}"), {}),
    (NicReason.POLICE, read(
        "flower", f"action police mtu 100 conform-exceed drop/pipe {OUT}"), {}),
    (NicReason.INGRESS, read("flower", "action mirred ingress redirect dev p2"), {}),
    (NicReason.DEVICE, read("flower", "action mirred egress redirect dev p9"), {}),
    (
        NicReason.OUTPUTS,
        read("flower", f"action mirred egress mirror dev p3 pipe {OUT}"),
        {"max_outputs": 1},
    ),
    (
        NicReason.MIRROR_SPLIT,
        read(FLOWER, "action mirred egress mirror dev p3 pipe "
             f"action pedit ex munge ip ttl set 3 pipe {OUT}"),
        {"mirror_split": False},
    ),
    (NicReason.NO_FORWARD, read("flower", "action ct zone 1 pipe"), {}),
    (NicReason.FORWARD_DROP, read("flower", "action mirred egress mirror dev p2 pipe action drop"),
     {}),
    (NicReason.DROP_REWRITE, read(FLOWER, "action pedit ex munge ip ttl set 3 pipe action drop"),
     {}),
    (NicReason.VERDICT, read("flower", "action continue"), {}),
    (NicReason.CHAIN, read("flower", place="chain 9 prio 1"), {"max_chain": 8}),
    (NicReason.CHAIN, read("flower", "action goto chain 9"), {"max_chain": 8}),
    (NicReason.PRIO, read("flower", place="prio 17"), {"max_prio": 16}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "entry", "options"), REFUSED,
    ids=[f"{n}-{each[0].value}" for n, each in enumerate(REFUSED)],
)  # fmt: skip
def test_refused(reason: NicReason, entry: Filter, options: dict[str, Any]) -> None:
    made = lower(entry, **options)
    assert isinstance(made, NicRefusal), made
    assert made.reason is reason


def test_every_reason_is_reached() -> None:
    assert {reason for reason, _, _ in REFUSED} == set(NicReason)


def test_a_refusal_goes_when_its_cause_does() -> None:
    """Each refusal that hangs on the profile or the kernel is none without that."""
    for reason, entry, options in REFUSED:
        if options and reason is not NicReason.VLAN_MODIFY:
            assert isinstance(lower(entry), nic.NicRule), reason


def test_the_bits_to_blame() -> None:
    made = lower(read("flower ct_state +trk+inv"))
    assert isinstance(made, NicRefusal)
    assert made.bits == CT_INV << SLOTS["ct_state"].shift
    assert made.words == "matching on ct_state +inv isn't supported"
    made = lower(read("flower ip_flags firstfrag"))
    assert isinstance(made, NicRefusal) and made.bits & SLOTS["nw_frag"].mask


def test_rel_and_inv_can_be_wanted_clear() -> None:
    made = rule(read("flower ct_state +trk+est-rel-inv"))
    state = SLOTS["ct_state"]
    assert state.get(made.value) == CT_TRK | CT_EST
    assert state.get(made.mask) == CT_TRK | CT_EST | CT_REL | CT_INV
    assert state.get(rule(read("flower ct_state +trk+new")).value) == CT_TRK | CT_NEW


def test_ct_gets_there_as_zone_and_nat_alone() -> None:
    text = "action ct commit force zone 7 mark 1 nat src addr 1.2.3.4 pipe action goto chain 3"
    made = rule(read("flower", text))
    assert made.actions == (nic.Track(7, True, 0), nic.Goto(3))
    assert rule(read("flower", f"action ct clear pipe {OUT}")).actions == (
        nic.Clear(), nic.Output(2),
    )  # fmt: skip


def test_a_label_is_matched_as_a_whole_unless_the_nic_can_do_better() -> None:
    label = SLOTS["ct_label"]
    entry = Filter(1, 0x800, 5 << label.shift, 7 << label.shift, (tc.Mirred(2),))
    made = rule(entry)
    assert (label.get(made.value), label.get(made.mask)) == (5, (1 << 128) - 1)
    made = rule(entry, label_match="masked")
    assert (label.get(made.value), label.get(made.mask)) == (5, 7)


def test_rewriting() -> None:
    text = f"""action pedit ex munge eth dst set 02:00:00:00:00:09 munge eth src set
      02:00:00:00:00:08 munge ip src set 1.2.3.4 munge ip dst set 5.6.7.8 munge ip ttl set 9
      munge ip tos set 0x10 munge tcp sport set 11 munge tcp dport set 12 pipe
      action csum ip and tcp pipe {OUT}""".replace("\n", " ")
    change = rule(read(FLOWER, text)).actions[0]
    assert isinstance(change, nic.Rewrite)
    wanted = {
        "dl_dst": 0x020000000009, "dl_src": 0x020000000008, "nw_src": 0x01020304,
        "nw_dst": 0x05060708, "nw_ttl": 9, "nw_tos": 0x10, "tp_src": 11, "tp_dst": 12,
    }  # fmt: skip
    assert {name: SLOTS[name].get(change.value) for name in wanted} == wanted
    assert change.mask == sum(SLOTS[name].mask for name in wanted)


def test_rewriting_ipv6() -> None:
    text = f"""action pedit ex munge ip6 dst set fd00::9 munge ip6 hoplimit set 3 pipe
      action csum tcp pipe {OUT}""".replace("\n", " ")
    change = rule(read(FLOWER, text, protocol="ipv6")).actions[0]
    assert isinstance(change, nic.Rewrite)
    assert SLOTS["ipv6_dst"].get(change.value) == 0xFD00 << 112 | 9
    assert SLOTS["nw_ttl"].get(change.value) == 3
    assert change.mask == SLOTS["ipv6_dst"].mask | SLOTS["nw_ttl"].mask


def test_before_6_3_a_rewritten_tuple_is_for_untracked_packets() -> None:
    entry = read(FLOWER, f"action pedit ex munge ip src set 1.2.3.4 pipe {OUT}")
    state = SLOTS["ct_state"]
    assert state.get(rule(entry, "6.12").mask) == 0
    made = rule(entry, "6.1")
    assert (state.get(made.value), state.get(made.mask)) == (0, CT_TRK)
    # ct clear makes it one, and what is rewritten besides the tuple does not matter.
    text = f"action ct clear pipe action pedit ex munge ip src set 1.2.3.4 pipe {OUT}"
    assert state.get(rule(read(FLOWER, text), "6.1").mask) == 0
    text = f"action pedit ex munge ip ttl set 4 pipe {OUT}"
    assert state.get(rule(read(FLOWER, text), "6.1").mask) == 0


def test_a_tag_is_pushed_popped_and_changed() -> None:
    made = rule(read("flower", f"action vlan push id 5 priority 3 pipe {OUT}"))
    assert made.actions == (nic.PushVlan(0x8100, 3 << 13 | 5), nic.Output(2))
    made = rule(read("flower vlan_id 3", f"action vlan pop pipe {OUT}", protocol="802.1q"))
    assert made.actions == (nic.PopVlan(), nic.Output(2))
    made = rule(read("flower vlan_id 3", f"action vlan modify id 5 pipe {OUT}", protocol="802.1q"))
    change = made.actions[0]
    assert isinstance(change, nic.Rewrite)
    assert change.mask == 0xFFF << SLOTS["vlan_tci"].shift


def test_one_tag_is_enough_for_one_tag() -> None:
    entry = read("flower vlan_id 3 vlan_ethtype ip", protocol="802.1q")
    assert rule(entry, vlan_tags=1).mask & SLOTS["vlan_tpid1"].mask


def test_what_stands_behind_the_end_does_not_matter() -> None:
    made = rule(read("flower", f"{OUT} action skbedit mark 1"))
    assert made.actions == (nic.Output(2),)


def test_what_is_not_modelled_says_so() -> None:
    with pytest.raises(OvsctError, match="a pedit that adds"):
        lower(read(FLOWER, f"action pedit ex munge ip ttl add 255 pipe {OUT}"))
    with pytest.raises(OvsctError, match="the verdict pass"):
        lower(read("flower", "action pass"))
    with pytest.raises(OvsctError, match="a match on pkt_mark"):
        lower(Filter(1, 3, 1 << SLOTS["pkt_mark"].shift, SLOTS["pkt_mark"].mask, (tc.Mirred(2),)))


def test_goto_of_another_action_than_gact() -> None:
    made = rule(Filter(1, 0x800, actions=(tc.Ct(Track(zone=1), goto_chain(4)),)))
    assert made.actions == (nic.Track(1, False, 0), nic.Goto(4))


def test_every_reason_has_its_place_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "hardware.md").read_text(encoding="utf-8")
    headings = {line[4:].strip() for line in text.splitlines() if line.startswith("### ")}
    listed = {word.strip() for heading in headings for word in heading.split(",")}
    assert {reason.value for reason in NicReason} <= listed
    assert {reason.value for reason in Full} - {"rules"} <= listed
    for failure in Failure:
        assert f"| {failure.value} |" in text


def test_every_value_of_a_profile_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "hardware.md").read_text(encoding="utf-8")
    table = text[text.index("| value |") :]
    for name in SOURCES:
        assert name == "name" or name in table
