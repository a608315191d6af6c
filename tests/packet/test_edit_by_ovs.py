"""Edits against the real program: the same frame, the same set action, the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from ipaddress import ip_address

import pytest

from ovsct.lane import Arrival
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.build import (
    arp,
    fragment,
    icmp_echo,
    icmp_error,
    ip,
    neighbour,
    sctp,
    tcp,
    udp,
)
from ovsct.packet.edit import pop_mpls, pop_vlan, push_mpls, push_vlan, set_fields, trunc
from ovsct.packet.fields import FIELDS, SLOTS
from ovsct.packet.packet import VLAN_LIMIT, Packet, parse
from tests.judges import real_ovs

__all__ = ["real_ovs"]

V4, V6 = ("10.0.0.1", "10.0.0.2"), ("fc00::1", "fc00::2")


def v6_chain(kinds: Iterable[tuple[int, bytes]], proto: int, segment: bytes) -> bytes:
    """An IPv6 packet with these extension headers; the checksum is that without them."""
    kinds = list(kinds)
    following = [kind for kind, _ in kinds[1:]] + [proto]
    headers = zip(following, (rest for _, rest in kinds), strict=True)
    chain = b"".join(bytes((after,)) + rest for after, rest in headers)
    return ip(*V6, kinds[0][0], chain + segment)


def frames() -> list[bytes]:
    """Packets of every kind, right, wrong, cut short and in pieces."""
    six_tcp, six_udp = tcp(*V6, 1, 2)[54:], udp(*V6, 1, 2, payload=b"abc")[54:]
    six_icmp, six_sctp = icmp_echo(*V6)[54:], sctp(*V6, 1, 2)[54:]
    solicit = neighbour("fc00::1", "ff02::1", "fc00::2", address="")[54:]
    hop, route, spent = b"\0" + bytes(6), b"\0\0\1" + bytes(4), b"\0\0\0" + bytes(4)
    auth, atomic = b"\2" + bytes(14), b"\0\0\0" + bytes(4)
    own, other = bytes.fromhex("0101020000000007"), bytes.fromhex("0201020000000008")
    short = tcp(*V4, 1, 2)
    offset = bytearray(short)
    offset[46] = 0x40
    return [
        tcp(*V4, 1, 2, pad=80), tcp(*V4, 1, 2, payload=b"odd", bad="l4"),
        tcp(*V4, 1, 2, ip_options=b"\x94\4\0\0", tos=0xFF, ttl=255), tcp(*V4, 1, 2, bad="ip"),
        udp(*V4, 1, 2, payload=b"abc"), udp(*V4, 1, 2, checksum=False), udp(*V4, 1, 2, bad="both"),
        udp(*V4, 1, 2, vlans=[5]), udp(*V4, 1, 2, vlans=[(0x88A8, 0x2005), 7]),
        sctp(*V4, 1, 2, chunks=b"abc"), sctp(*V4, 1, 2, bad="l4"), icmp_echo(*V4, payload=b"abc"),
        icmp_echo(*V4, bad="l4"), icmp_error(tcp(*V4, 1, 2)), ip(*V4, 47, b"gre"), bytes(offset),
        ip(*V4, 6, short[34:53]), ip(*V4, 17, bytes(7)), ip(*V4, 132, bytes(11)),
        ip(*V4, 1, bytes(7)),
        *fragment(udp(*V4, 1, 2, payload=bytes(range(80))), [8, 40]),
        *fragment(tcp(*V4, 1, 2, payload=bytes(range(80))), [24, 40]),
        tcp(*V6, 1, 2), tcp(*V6, 1, 2, payload=b"odd", bad="l4", tos=0xB7, label=0xABCDE),
        udp(*V6, 1, 2, payload=b"abc", pad=90), udp(*V6, 1, 2, checksum=False), sctp(*V6, 1, 2),
        icmp_echo(*V6), icmp_echo(*V6, bad="l4", vlans=[5]), ip(*V6, 59), ip(*V6, 47, b"gre"),
        *fragment(udp(*V6, 1, 2, payload=bytes(range(80))), [8, 40]),
        *fragment(tcp(*V6, 1, 2, payload=bytes(range(80))), [24, 40]),
        *(v6_chain(kinds, proto, segment)
          for proto, segment in ((6, six_tcp), (17, six_udp), (58, six_icmp), (132, six_sctp))
          for kinds in ([(0, hop)], [(43, route)], [(43, spent)], [(51, auth)], [(44, atomic)],
                        [(0, hop), (43, spent), (44, atomic), (60, hop)])),
        *(ip(*V6, 58, solicit[:24] + options) for options in
          (b"", own, other, own + other, other + own, b"\3\1" + bytes(6) + own, own[:7],
           b"\3\2" + bytes(14) + own, b"\1\2" + bytes(14) + other, b"\1\0" + bytes(6) + own)),
        *(ip(*V6, 58, b"\x88" + solicit[1:24] + options) for options in (own, other)),
        ip(*V6, 58, solicit[:23]), neighbour(*V6, "fc00::2", bad="l4", vlans=[9]),
        v6_chain([(0, hop)], 58, solicit + own), ip(*V6, 58, b"\x87\1" + solicit[2:] + own),
        arp("10.0.0.1", "10.0.0.2"), arp("10.0.0.1", "10.0.0.2", op=2, pad=60, vlans=[5]),
        bytes(12) + b"\x88\x47" + bytes.fromhex("0000113f") + tcp(*V4, 1, 2)[14:],
        bytes(12) + b"\x88\x48" + bytes.fromhex("0000103f 0000213f") + tcp(*V4, 1, 2)[14:],
        bytes(12) + b"\x81\0\0\5\x88\x47" + bytes.fromhex("0000113f") + tcp(*V6, 1, 2)[14:],
        bytes(12) + b"\x12\x34" + bytes(50), bytes(12) + b"\0\x20" + bytes(32),
    ]  # fmt: skip


SETS: dict[str, tuple[str, dict[str, str]]] = {
    "eth": ("", {"eth_src": "02:00:00:00:00:aa", "eth_dst": "02:00:00:00:00:bb"}),
    "eth masked": ("", {"eth_dst": "00:00:00:ff:00:00/00:00:00:ff:00:00"}),
    "ipv4": ("ip", {"ip_src": "192.168.7.9", "ip_dst": "255.255.255.255"}),
    "ipv4 masked": ("ip", {"ip_src": "0.99.0.0/0.255.0.0", "ip_dst": "8.0.0.0/255.0.0.0"}),
    "ipv4 back": ("ip", {"ip_src": "0.0.0.0", "nw_ttl": "9", "ip_dscp": "63"}),
    "ipv4 ttl": ("ip", {"nw_ttl": "0", "nw_ecn": "3"}),
    "ipv6": ("ipv6", {"ipv6_src": "fc00::ffff:1", "ipv6_dst": "fe80::2"}),
    "ipv6 destination": ("ipv6", {"ipv6_dst": "1234:5678:9abc:def0::2"}),
    "ipv6 masked": ("ipv6", {"ipv6_src": "::77/::ff", "ipv6_label": "0x00777/0x00fff"}),
    "ipv6 rest": ("ipv6", {"ipv6_label": "0x12345", "nw_ttl": "1", "ip_dscp": "5", "nw_ecn": "1"}),
    "tcp": ("tcp", {"tcp_src": "4000", "tcp_dst": "65535"}),
    "tcp6": ("tcp6", {"tcp_src": "0", "ipv6_src": "fc00::9"}),
    "tcp masked": ("tcp", {"tcp_dst": "0xff00/0xff00", "ip_dst": "10.0.0.9"}),
    "udp": ("udp", {"udp_src": "4000", "udp_dst": "53"}),
    "udp6": ("udp6", {"udp_dst": "53", "ipv6_dst": "fc00::9"}),
    "sctp": ("sctp", {"sctp_src": "4000", "sctp_dst": "53"}),
    "sctp6": ("sctp6", {"sctp_dst": "53"}),
    "icmp": ("icmp", {"icmp_type": "3", "icmp_code": "13"}),
    "icmp6": ("icmp6", {"icmpv6_type": "1", "icmpv6_code": "4"}),
    "arp": ("arp", {"arp_op": "2", "arp_spa": "1.2.3.4", "arp_tpa": "4.3.2.1",
                    "arp_sha": "02:00:00:00:00:aa", "arp_tha": "02:00:00:00:00:bb"}),
    "arp masked": ("arp", {"arp_spa": "0.99.0.0/0.255.0.0"}),
    "solicit": ("icmp6,icmp_type=135,icmp_code=0",
                {"nd_target": "fe80::9", "nd_sll": "02:00:00:00:00:aa"}),
    "solicit target": ("icmp6,icmp_type=135,icmp_code=0", {"nd_target": "fe80::9"}),
    "advert": ("icmp6,icmp_type=136,icmp_code=0",
               {"nd_target": "fe80::9", "nd_tll": "02:00:00:00:00:aa"}),
    "reserved": ("icmp6,icmp_type=135,icmp_code=0", {"nd_reserved": "5"}),
    "option": ("icmp6,icmp_type=135,icmp_code=0", {"nd_options_type": "2"}),
    "mpls": ("mpls", {"mpls_label": "1048575", "mpls_tc": "5", "mpls_ttl": "7"}),
    "mplsm": ("mplsm", {"mpls_label": "1"}),
}  # fmt: skip


def number(text: str) -> int:
    if "." in text or (":" in text and text.count(":") != 5) or "::" in text:
        return int(ip_address(text))
    return int(text.replace(":", ""), 16) if ":" in text else int(text, 0)


def value_and_mask(fields: dict[str, str]) -> tuple[int, int]:
    value = mask = 0
    for name, text in fields.items():
        field = FIELDS[name]
        new, _, part = text.partition("/")
        value |= number(new) << field.shift
        mask |= (number(part) << field.shift) if part else field.mask
    return value, mask


MATCHES: dict[str, Callable[[dict[str, int]], bool]] = {
    "": lambda flow: True,
    "ip": lambda flow: flow["dl_type"] == 0x0800,
    "ipv6": lambda flow: flow["dl_type"] == 0x86DD,
    "arp": lambda flow: flow["dl_type"] == 0x0806,
    "mpls": lambda flow: flow["dl_type"] == 0x8847,
    "mplsm": lambda flow: flow["dl_type"] == 0x8848,
    **{
        name + ("6" if v6 else ""): (
            lambda flow, proto=proto, dl_type=0x86DD if v6 else 0x0800: (
                (flow["dl_type"], flow["nw_proto"]) == (dl_type, proto)
            )
        )
        for name, proto in (("tcp", 6), ("udp", 17), ("sctp", 132))
        for v6 in (False, True)
    },
    "icmp": lambda flow: (flow["dl_type"], flow["nw_proto"]) == (0x0800, 1),
    "icmp6": lambda flow: (flow["dl_type"], flow["nw_proto"]) == (0x86DD, 58),
    **{
        f"icmp6,icmp_type={kind},icmp_code=0": (
            lambda flow, kind=kind: (
                [flow[name] for name in ("dl_type", "nw_proto", "tp_src", "tp_dst", "nw_frag")]
                == [0x86DD, 58, kind, 0, 0]
            )
        )
        for kind in (135, 136)
    },
}


def assert_ovs_does_the_same(
    lane: RealOvs, match: str, actions: str, edit: Callable[[Packet], None], given: list[bytes]
) -> None:
    start = f"in_port=1,{match}" if match else "in_port=1"
    lane.reset([f"priority=9,{start},actions={actions},output:2", "priority=1,actions=output:2"])
    met = 0
    for frame in given:
        packet = parse(frame, 1, VLAN_LIMIT)
        if MATCHES[match]({name: slot.get(packet.key) for name, slot in SLOTS.items()}):
            edit(packet)
            met += 1
        out = lane.receive(Arrival(0.0, 1, frame)).out
        assert [(output.port, output.frame.hex()) for output in out] == [
            (2, packet.frame.hex())
        ], f"{actions} on {frame.hex()}"
    assert met


def _set(value: int, mask: int) -> Callable[[Packet], None]:
    def edit(packet: Packet) -> None:
        # The translation of a set that changes no bit of the key is no action at all.
        if (packet.key ^ value) & mask:
            set_fields(packet, value, mask)

    return edit


@pytest.mark.real_ovs
@pytest.mark.parametrize("name", SETS)
def test_set_fields_as_ovs_does(real_ovs: RealOvs, name: str) -> None:
    match, fields = SETS[name]
    value, mask = value_and_mask(fields)
    actions = ",".join(f"set_field:{text}->{field}" for field, text in fields.items())
    assert_ovs_does_the_same(real_ovs, match, actions, _set(value, mask), frames())


@pytest.mark.real_ovs
def test_random_sets_as_ovs_does_them(real_ovs: RealOvs) -> None:
    """Addresses, ports and random checksums, zero and all ones among them."""
    rng = random.Random(4711)

    def word() -> int:
        return rng.choice((0, 0xFFFF, rng.randrange(1 << 16)))

    for v6 in (False, True):
        for proto, builder, at in (("tcp", tcp, 16), ("udp", udp, 6)):
            for _ in range(12):
                given = []
                for _ in range(4):
                    frame = bytearray(builder(*(V6 if v6 else V4), word(), word()))
                    start = 54 if v6 else 34
                    frame[start + at : start + at + 2] = word().to_bytes(2, "big")
                    given.append(bytes(frame))
                address = str(ip_address(rng.randbytes(16 if v6 else 4)))
                source = "ipv6_src" if v6 else "ip_src"
                fields = {source: address, f"{proto}_src": str(word()), f"{proto}_dst": str(word())}
                value, mask = value_and_mask(fields)
                actions = ",".join(f"set_field:{text}->{field}" for field, text in fields.items())
                assert_ovs_does_the_same(
                    real_ovs, proto + "6" * v6, actions, _set(value, mask), given
                )


def _tag(tpid: int, tci: int) -> Callable[[Packet], None]:
    return lambda packet: push_vlan(packet, tpid, tci | 0x1000)


@pytest.mark.real_ovs
@pytest.mark.parametrize(
    ("actions", "edit"),
    [
        ("push_vlan:0x8100,set_field:4101->vlan_vid", _tag(0x8100, 5)),
        ("push_vlan:0x88a8,set_field:4101->vlan_vid,set_field:7->vlan_pcp", _tag(0x88A8, 0xE005)),
        ("strip_vlan", pop_vlan),
    ],
)
def test_tags_as_ovs_does_them(
    real_ovs: RealOvs, actions: str, edit: Callable[[Packet], None]
) -> None:
    # A pushed tag inherits the id and priority of the one below it until something sets them.
    untagged = [frame for frame in frames() if not SLOTS["vlan_tci"].get(parse(frame, 1).key)]
    given = untagged if "push" in actions else frames()
    assert_ovs_does_the_same(real_ovs, "", actions, edit, given)


def lse(frame: bytes) -> int:
    return SLOTS["mpls_lse"].get(parse(frame, 1).key)


@pytest.mark.real_ovs
@pytest.mark.parametrize("match", ["ip", "ipv6", "mpls", "mplsm"])
def test_labels_as_ovs_pushes_them(real_ovs: RealOvs, match: str) -> None:
    def push(packet: Packet) -> None:
        inner = SLOTS["mpls_lse"].get(packet.key)
        ttl = inner & 0xFF or SLOTS["nw_ttl"].get(packet.key) or 64
        push_mpls(packet, 77 << 12 | (not inner) << 8 | ttl, 0x8847)

    actions = "push_mpls:0x8847,set_field:77->mpls_label,set_field:0->mpls_tc"
    assert_ovs_does_the_same(real_ovs, match, actions, push, frames())


@pytest.mark.real_ovs
@pytest.mark.parametrize(
    ("match", "under", "last"), [("mpls", 0x0800, True), ("mplsm", 0x8847, False)]
)
def test_labels_as_ovs_pops_them(real_ovs: RealOvs, match: str, under: int, last: bool) -> None:
    given = [frame for frame in frames() if bool(lse(frame) & 0x100) == last]
    assert_ovs_does_the_same(
        real_ovs, match, f"pop_mpls:{under:#x}", lambda packet: pop_mpls(packet, under), given
    )


@pytest.mark.real_ovs
@pytest.mark.parametrize("limit", [14, 15, 60, 9000])
def test_trunc_as_ovs_does_it(real_ovs: RealOvs, limit: int) -> None:
    real_ovs.reset([f"actions=output(port=2,max_len={limit})"])
    for frame in frames():
        packet = parse(frame, 1)
        trunc(packet, limit)
        out = real_ovs.receive(Arrival(0.0, 1, frame)).out
        assert [output.frame.hex() for output in out] == [packet.frame.hex()]
