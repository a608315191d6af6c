"""A filter takes the packets that its megaflow takes, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import product
from random import Random

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.translate import translate
from ovsct.lower.kernel import Capabilities
from ovsct.lower.match import lower_match
from ovsct.lower.to_tc import Lowered, Lowering
from ovsct.openflow.text.flow_text import read_flows
from ovsct.packet.build import arp, icmp_echo, sctp, tcp, udp
from ovsct.packet.fields import CT_EST, CT_INV, CT_NEW, CT_RPL, CT_TRK, SLOTS
from ovsct.packet.packet import ETH_IPV4, parse
from ovsct.tc.classify import Pass
from ovsct.tc.filters import Filter
from ovsct.tc.keys import ETH_P_ALL
from ovsct.tc.text.command import FilterCommand, read_script
from ovsct.tc.text.write import write_command

V4 = [f"{net}.0.{host}.{n}" for net in (10, 11) for host in (0, 1) for n in (1, 2)]
V6 = [f"fc00:{net}::{n}" for net in (0, 1) for n in (1, 2)]
PORTS = (2, 53, 80, 81, 88, 443)
FLAGS = ("S", "SA", "A", "FA", "R", "PA")
TPID = SLOTS["vlan_tpid"].mask
TAGS = ([], [5], [5 | 2 << 13], [6], [(0x88A8, 5)])


def frames(dice: Random) -> Iterator[bytes]:
    """Endless frames with few different values a field, so that many match many flows."""
    while True:
        pool = dice.choice((V4, V4, V6))
        src, dst = dice.choice(pool), dice.choice(pool)
        tags = dice.choice(TAGS)
        ttl = dice.choice((1, 63, 64))
        tos = dice.choice((0, 0x20, 0x23))
        sport, dport = dice.choice(PORTS), dice.choice(PORTS)
        kind = dice.choice(("tcp", "tcp", "udp", "sctp", "icmp", "arp"))
        if kind == "tcp":
            yield tcp(src, dst, sport, dport, dice.choice(FLAGS), vlans=tags, ttl=ttl, tos=tos)
        elif kind == "udp":
            yield udp(src, dst, sport, dport, vlans=tags, ttl=ttl, tos=tos)
        elif kind == "sctp":
            yield sctp(src, dst, sport, dport, vlans=tags, ttl=ttl, tos=tos)
        elif kind == "icmp":
            yield icmp_echo(src, dst, vlans=tags, ttl=ttl)
        else:
            yield arp(dice.choice(V4), dice.choice(V4), vlans=tags)


MATCHES = (
    "tcp,tcp_dst=80/0xfff0", "tcp,tcp_src=53", "tcp,tcp_flags=+syn-ack", "tcp,tcp_flags=+rst",
    "udp,udp_dst=53", "udp6", "sctp,sctp_dst=80", "icmp,icmp_type=8", "icmp6,icmp_type=128",
    "ip,nw_src=10.0.0.0/16", "ip,nw_dst=10.0.1.2", "ip,nw_tos=32", "ip,nw_ttl=63",
    "ip,nw_proto=132", "ipv6,ipv6_dst=fc00:1::/32", "tcp6,tcp_dst=443", "arp,arp_op=1",
    "arp,arp_tpa=10.0.0.2", "dl_vlan=5", "dl_vlan=5,dl_vlan_pcp=2", "dl_vlan=6,tcp",
    "dl_src=02:00:00:00:00:01", "dl_dst=02:00:00:00:00:00/ff:ff:00:00:00:00",
    "vlan_tci=0x0000/0x1fff,tcp,tcp_dst=80", "ip,nw_ecn=3", "ct_state=-trk,ip",
)  # fmt: skip


def matches(entry: Filter, frame: bytes) -> bool:
    p = Pass(parse(frame, 1, 2), 1, 0.0, [], None, 0)
    right_type = entry.protocol in (p.protocol, ETH_P_ALL)
    return right_type and p.key & entry.mask == entry.value & entry.mask


@pytest.mark.parametrize("seed", range(12))
def test_a_filter_takes_what_its_megaflow_takes(seed: int) -> None:
    dice = Random(seed)
    chosen = dice.sample(MATCHES, 5)
    text = "\n".join(
        f"priority={9 - n},{match},actions=output:2" for n, match in enumerate(chosen)
    )
    bridge = Bridge((1, 2), read_flows(f"{text}\npriority=1,actions=drop", None))
    lowering = Lowering((1, 2))
    some = [frame for frame, _ in zip(frames(dice), range(150), strict=False)]
    filters = taken = 0
    for frame in some[:40]:
        megaflow = translate(bridge, parse(frame, 1, 1).key, 0.0).megaflow
        result = lowering.lower(megaflow)
        assert isinstance(result, Lowered), (text, result)
        assert result.ignored == ()
        filters += 1
        mask = megaflow.mask
        if megaflow.packet_key & TPID:
            # The datapath's format has no way to leave a tag's TPID open.
            mask |= TPID
        for other in some:
            expected = not (parse(other, 1, 1).key ^ megaflow.packet_key) & mask
            taken += expected
            assert matches(result.filter, other) is expected, (text, frame.hex(), other.hex())
    assert filters == 40
    assert taken >= 40


@pytest.mark.parametrize("seed", range(4))
def test_tc_reads_the_command_as_the_filter_that_it_was_written_for(seed: int) -> None:
    dice = Random(seed)
    lowering = Lowering((1, 2))
    bridge = Bridge((1, 2), read_flows(
        "\n".join(f"priority={n},{match},actions=dec_ttl,output:2" if match.startswith("tcp")
                  else f"priority={n},{match},actions=mod_dl_dst:02:00:00:00:00:09,output:2"
                  for n, match in enumerate(MATCHES)), None))  # fmt: skip
    for frame, _ in zip(frames(dice), range(60), strict=False):
        megaflow = translate(bridge, parse(frame, 1, 1).key, 0.0).megaflow
        result = lowering.lower(megaflow)
        assert isinstance(result, Lowered), result
        entry = result.filter
        (command,) = read_script(write_command(entry))
        assert isinstance(command, FilterCommand)
        read = command.filter
        assert (read.mask, read.value & read.mask) == (entry.mask, entry.value & entry.mask)
        assert (read.prio, read.protocol, read.chain, read.actions, read.cookie) == (
            entry.prio, entry.protocol, entry.chain, entry.actions, entry.cookie,
        )  # fmt: skip


STATES = (
    0, CT_TRK | CT_NEW, CT_TRK | CT_EST, CT_TRK | CT_EST | CT_RPL, CT_TRK | CT_INV,
)  # fmt: skip
"""What conntrack says of packets; related ones are new to OVS and not to flower."""


def test_ct_state_means_the_same_whatever_the_mask() -> None:
    state = SLOTS["ct_state"]
    base = SLOTS["dl_type"].put(0, ETH_IPV4)
    for seen, mask in product(STATES, range(64)):
        match = lower_match(
            state.put(base, seen), mask << state.shift | SLOTS["dl_type"].mask, Capabilities()
        )
        value, known = state.get(match.value), state.get(match.mask)
        for other in STATES:
            expected = other & mask == seen & mask
            assert (other & known == value & known) is expected, (seen, mask, other)


CT_STATES = [
    # megaflow's key, its mask, flower's value and mask: est takes new out, anything set needs trk
    (CT_TRK | CT_EST, CT_TRK | CT_EST | CT_NEW, CT_TRK | CT_EST, CT_TRK | CT_EST),
    (CT_TRK | CT_EST, CT_EST, CT_TRK | CT_EST, CT_TRK | CT_EST),
    (CT_TRK | CT_NEW, CT_TRK | CT_NEW | CT_INV, CT_TRK | CT_NEW, CT_TRK | CT_NEW | CT_INV),
    (0, CT_TRK, 0, CT_TRK),
    (CT_TRK | CT_NEW, CT_EST | CT_INV, 0, CT_EST | CT_INV),
]


@pytest.mark.parametrize(("seen", "mask", "value", "known"), CT_STATES)
def test_ct_state_as_ovs_sends_it(seen: int, mask: int, value: int, known: int) -> None:
    state = SLOTS["ct_state"]
    match = lower_match(state.put(0, seen), mask << state.shift, Capabilities())
    assert (state.get(match.value), state.get(match.mask)) == (value, known)


def test_a_tag_that_nobody_asked_for_is_left_open() -> None:
    frame = udp(V4[0], V4[1], 1, 2, vlans=[5])
    masks = []
    for flows in ("ip,actions=output:2", "ip,actions=strip_vlan,output:2", "dl_vlan=5,actions=2"):
        bridge = Bridge((1, 2), read_flows(flows, None))
        bridge.kernel_masks = True
        result = Lowering((1, 2)).lower(translate(bridge, parse(frame, 1).key, 0.0).megaflow)
        assert isinstance(result, Lowered)
        assert result.filter.protocol == 0x8100
        masks.append(SLOTS["vlan_tci"].get(result.mask))
    assert masks == [0, 0xEFFF, 0xFFF]


def test_addresses_are_shown_whole_beside_their_mask() -> None:
    bridge = Bridge((1, 2), read_flows("ip,nw_src=10.0.0.0/8,actions=output:2", None))
    megaflow = translate(bridge, parse(udp(V4[1], V4[0], 1, 2), 1).key, 0.0).megaflow
    result = Lowering((1, 2)).lower(megaflow)
    assert isinstance(result, Lowered)
    source = SLOTS["nw_src"]
    assert source.get(result.value) == int(ip_address(V4[1]))
    assert source.get(result.mask) == 0xFF000000
