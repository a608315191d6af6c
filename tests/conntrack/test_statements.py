"""Every statement about conntrack has a test that names it.

OVS's own conntrack: the statements 5.1 to 11.4; dialogues carry them in their names (and are asked
of the program as well), other tests in theirs (``test_9_3_...``). Netfilter: the sections on
malformed packets (3.1), the flow table (3.2), NAT (3.3) and conntrack itself (4), whose statements
are counted with letters in their order; for each stand here the recorded dialogues of real kernels,
or the tests, that hold it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conntrack import (
    test_flowtable,
    test_kernel_lane,
    test_netfilter,
    test_netfilter_fragments,
    test_netfilter_helpers,
    test_netfilter_recorded,
    test_ovs_kernel,
    test_userspace,
    test_userspace_fragments,
    test_userspace_helpers,
    test_userspace_more,
)

HERE = Path(__file__).parent

USERSPACE = (
    *(f"5.{n}" for n in range(1, 8)), *(f"6.{n}" for n in range(1, 20)),
    *(f"7.{n}" for n in range(1, 10)), "8", *(f"8.{n}" for n in range(1, 4)),
    *(f"9.{n}" for n in range(1, 14)), *(f"10.{n}" for n in range(1, 6)),
    *(f"11.{n}" for n in range(1, 5)),
)  # fmt: skip

_DIALOGUES = [
    dialogue.name
    for module in (
        test_userspace, test_userspace_more, test_userspace_helpers, test_userspace_fragments
    )
    for dialogue in module.DIALOGUES
]  # fmt: skip


def named_by_tests() -> set[str]:
    """The statements that names of dialogues and tests name."""
    named = {number for name in _DIALOGUES for number in re.findall(r"\b\d+(?:\.\d+)?\b", name)}
    for path in HERE.glob("test_userspace*.py"):
        for name in re.findall(r"^def test_((?:\d+_(?:\d+_)?)+)", path.read_text(), re.M):
            named.update(number.replace("_", ".") for number in re.findall(r"\d+_\d+|\d+", name))
    return named


def test_every_statement_on_userspace_conntrack_is_named() -> None:
    named = named_by_tests()
    assert [number for number in USERSPACE if number not in named] == []
    assert len(USERSPACE) == 61


def recorded(*names: str) -> list[tuple[Any, str]]:
    """Recorded dialogues, by ``datapath:name``."""
    return [(test_netfilter_recorded, name) for name in names]


def lane(*names: str) -> list[tuple[Any, str]]:
    """Recordings of whole tables of flows, by name."""
    return [(test_kernel_lane, name) for name in names]


def of(module: Any, *names: str) -> list[tuple[Any, str]]:
    """Tests of a module."""
    return [(module, f"test_{name}") for name in names]


FLOWS, TABLE, OVS = test_flowtable, test_netfilter, test_ovs_kernel
NETFILTER = {
    # Checksums, and what is malformed.
    "3.1a checksums": recorded("ovs:bad", "tc:bad", "tc:est_badck", "ovs:tcp6_bad", "ovs:udp_bad"),
    "3.1b headers, flags, port 0, protocols, ICMP": recorded(
        "ovs:bad", "ovs:ext", "ovs:icmp", "ovs:icmp6", "ovs:icmp_err", "ovs:icmp6_err", "tc:icmp"
    ),
    # The flow table in front of act_ct.
    "3.2a what enters": of(FLOWS, "in_with_the_third_packet_and_past_conntrack_from_the_fourth")
    + recorded("tc:loose", "tc:udp", "tc:udp1"),
    "3.2b what entering does": recorded("tc:idle", "tc:oow"),
    "3.2c what hits": of(FLOWS, "ttl_one_and_options_miss",
                         "other_zones_and_protocols_have_no_flows",
                         "fin_tears_down_and_goes_through_conntrack"),
    "3.2d a hit touches nothing": recorded("tc:est_badck", "tc:syn_in_est", "tc:rst_exact"),
    "3.2e ageing": of(FLOWS, "idle_flows_end_at_the_next_full_second",
                         "packets_of_the_same_second_do_not_renew",
                         "what_the_connection_has_left_afterwards", "unreplied_udp_afterwards"),
    "3.2f FIN, and a connection that is killed": recorded("tc:fin", "tc:fin_reopen")
    + of(FLOWS, "a_killed_connection_takes_its_flow_along"),
    # NAT.
    "3.3a by direction, and the other side of DNAT": recorded("ovs:dnat", "tc:dnat", "ovs:snat",
                                                              "ovs:dnat_clash"),
    "3.3b without commit": of(OVS, "nat_waits_for_the_commit", "translated_once_in_a_zone"),
    "3.3c ports alone are a null binding": recorded("ovs:snat_port1")
    + of(TABLE, "a_test_can_say_which_port_was_drawn"),
    "3.3d which tuple": recorded("ovs:snat_addrs", "ovs:snat_addrs_odd", "ovs:dnat_ports",
                                 "ovs:snat_icmp_ports", "ovs:snat_range")
    + lane("src-plain", "src-persistent", "src-hash", "src-random", "src-ports-random",
           "dst-plain", "dst-ports-random", "src6-persistent", "gre-snat"),
    "3.3e an exhausted range drops": recorded("ovs:snat_range", "tc:snat_range")
    + of(TABLE, "an_exhausted_range_drops"),
    "3.3f checksums are carried": recorded("ovs:csum_edge", "tc:csum_edge", "ovs:snat_udp"),
    # Conntrack itself.
    "4a timeouts": recorded("ovs:fin", "ovs:idle", "ovs:udp", "ovs:icmp", "ovs:sctp")
    + of(TABLE, "timeouts_are_sysctls"),
    "4b what shortens TCP's": recorded("ovs:retrans", "ovs:win0", "ovs:rst_far", "ovs:loose"),
    "4c expired is not found": recorded("ovs:tw_expire")
    + of(TABLE, "what_has_expired_is_not_found_although_nobody_swept",
            "a_connection_lives_until_its_timeout_to_the_millisecond"),
    "4d the table of states": of(TABLE, "every_state_of_the_table_has_a_name_and_a_column")
    + recorded("ovs:simopen", "ovs:half_open_ack", "ovs:half_open_ack2"),
    "4e invalid and ignored": recorded("ovs:challenge", "ovs:syn_in_est", "ovs:syn_in_est_rst"),
    "4f the first packet": recorded("ovs:first_bad", "ovs:loose", "ovs:loose2")
    + of(TABLE, "loose_pick_up_can_be_switched_off"),
    "4g a SYN after the end": recorded("ovs:fin_reopen", "ovs:rst_two"),
    "4h RST": recorded("ovs:rst_syn", "ovs:rst_exact", "ovs:rst_far")
    + of(OVS, "a_reset_as_the_only_answer_ends_it"),
    "4i assured": recorded("ovs:udp", "ovs:udp1", "ovs:tcp6"),
    "4j windows": recorded("ovs:oow", "ovs:oow_syn_recv", "ovs:scale", "ovs:fin_oow")
    + recorded("tc:random 1"),
    "4k the datapath is liberal once established": recorded("ovs:oow")
    + of(OVS, "windows_do_not_matter_once_established"),
    "4l zones": of(TABLE, "zones_are_worlds_of_their_own") + of(OVS, "two_zones_in_a_row"),
    "4m a full table": lane("full", "syn-flood", "counted")
    + of(TABLE, "a_full_table_refuses_what_is_new", "early_drop_takes_what_is_not_assured"),
    "4n expectations": of(test_netfilter_helpers, "as_recorded",
                             "the_child_inherits_mark_and_label_and_names_its_master",
                             "an_expectation_waits_five_minutes") + lane("port-snat", "tftp-snat"),
    "4o what uses one up": of(test_netfilter_helpers, "as_recorded"),
    "4p fragments": of(test_netfilter_fragments, "as_recorded",
                          "held_then_expired_after_thirty_seconds") + lane("hop", "dest-behind"),
}  # fmt: skip

_SECTIONS = (("3.1", "ab"), ("3.2", "abcdef"), ("3.3", "abcdef"), ("4", "abcdefghijklmnop"))
_RECORDED = {
    f"{case['datapath']}:{case['name']}" for _, _, case in test_netfilter_recorded.CASES
}
_LANE = {case["name"] for _, _, case in test_kernel_lane.CASES}


def test_every_statement_on_netfilter_is_named() -> None:
    named = [name.split()[0] for name in NETFILTER]
    assert named == [f"{section}{letter}" for section, letters in _SECTIONS for letter in letters]


@pytest.mark.parametrize("statement", NETFILTER)
def test_what_holds_a_statement_is_there(statement: str) -> None:
    assert NETFILTER[statement]
    for module, name in NETFILTER[statement]:
        if name.startswith("test_"):
            assert callable(getattr(module, name, None)), name
        else:
            assert name in (_LANE if module is test_kernel_lane else _RECORDED), name
