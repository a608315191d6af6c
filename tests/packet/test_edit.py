"""Edits: the frame stays what its key says, and checksums stay exactly as right as they were."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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
from ovsct.packet.checksum import ipv4_header_ok, l4_checksum_ok, l4_sum
from ovsct.packet.edit import (
    pop_mpls,
    pop_vlan,
    push_mpls,
    push_vlan,
    rewrite_inner,
    rewrite_ipv4,
    rewrite_ipv6,
    set_fields,
    trunc,
)
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import HEADER_MASK, Packet, parse
from ovsct.packet.places import PLACES, Header

ETHERNET = ("dl_dst", "dl_src")
V4 = (*ETHERNET, "nw_src", "nw_dst", "nw_tos", "nw_ttl")
V6 = (*ETHERNET, "ipv6_src", "ipv6_dst", "nw_tos", "nw_ttl", "ipv6_label")
PORTS = ("tp_src", "tp_dst")

KINDS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "tcp": (tcp("10.0.0.1", "10.0.0.2", 1, 2, "S", payload=b"odd", pad=70), (*V4, *PORTS)),
    "udp": (udp("10.0.0.1", "10.0.0.2", 1, 2, payload=b"x"), (*V4, *PORTS)),
    "sctp": (sctp("10.0.0.1", "10.0.0.2", 1, 2, chunks=b"abcd", pad=70), (*V4, *PORTS)),
    "icmp": (icmp_echo("10.0.0.1", "10.0.0.2", payload=b"abc", vlans=[5]), (*V4, *PORTS)),
    "gre": (ip("10.0.0.1", "10.0.0.2", 47, b"abc", ip_options=b"\x94\4\0\0"), V4),
    "tcp6": (tcp("fc00::1", "fc00::2", 1, 2, "S", payload=b"odd"), (*V6, *PORTS)),
    "udp6": (udp("fc00::1", "fc00::2", 1, 2, tos=0xFF, label=0xFFFFF), (*V6, *PORTS)),
    "sctp6": (sctp("fc00::1", "fc00::2", 1, 2), (*V6, *PORTS)),
    "icmp6": (icmp_echo("fc00::1", "fc00::2", payload=b"abc"), (*V6, *PORTS)),
    "ns": (neighbour("fc00::1", "ff02::1", "fc00::2"), (*V6, "nd_target", "arp_sha")),
    "na": (neighbour("fc00::1", "ff02::1", "fc00::2", advert=True, vlans=[1, 2]),
           (*V6, "nd_target", "arp_tha")),
    "arp": (arp("10.0.0.1", "10.0.0.2", vlans=[5], pad=64),
            (*ETHERNET, "nw_proto", "nw_src", "nw_dst", "arp_sha", "arp_tha")),
    "mpls": (bytes(range(12)) + bytes.fromhex("8847 00001040 00002140") + b"x" * 30,
             (*ETHERNET, "mpls_lse")),
}  # fmt: skip
BYTE_WIDE = {("icmp", slot) for slot in PORTS} | {("icmp6", slot) for slot in PORTS}


def get(packet: Packet, slot: str) -> int:
    return SLOTS[slot].get(packet.key)


def width(kind: str, slot: str) -> int:
    if (kind, slot) in BYTE_WIDE:
        return 8
    return 20 if slot == "ipv6_label" else SLOTS[slot].width


@st.composite
def sets(draw: st.DrawFn) -> tuple[str, int, int]:
    """A kind of packet, and a value and mask to set in it."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    value = mask = 0
    for slot in draw(st.lists(st.sampled_from(KINDS[kind][1]), min_size=1, unique=True)):
        ones = (1 << width(kind, slot)) - 1
        # The bottom of stack stays: without it what follows would be read as labels.
        part = draw(st.just(ones) | st.integers(0, ones)) & (~0x100 if slot == "mpls_lse" else ~0)
        mask |= part << SLOTS[slot].shift
        value |= (draw(st.sampled_from((0, ones)) | st.integers(0, ones)) & part) << (
            SLOTS[slot].shift
        )
    return kind, value, mask


@settings(max_examples=600)
@given(sets())
def test_a_set_changes_what_it_says_and_nothing_else(case: tuple[str, int, int]) -> None:
    kind, value, mask = case
    packet = parse(KINDS[kind][0], 3, 2)
    before = packet.fork()
    set_fields(packet, value, mask)
    again = parse(packet.frame, 3, 2)
    expected = (before.key & ~mask) | value
    if kind in ("icmp6", "icmp") and get(again, "tp_src") in (135, 136):
        return  # it became a neighbour message: other fields are read from it now
    assert [n for n, s in SLOTS.items() if s.get(packet.key ^ expected)] == []
    assert again.key == packet.key
    assert (again.l3, again.l4, again.end) == (packet.l3, packet.l4, packet.end)
    assert len(packet.frame) == len(before.frame)
    assert l4_checksum_ok(packet)
    if get(packet, "dl_type") == 0x0800:
        assert ipv4_header_ok(packet)


@pytest.mark.parametrize("kind", ["tcp", "udp", "icmp", "tcp6", "udp6", "icmp6", "ns"])
@given(st.data(), st.integers(1, 0xFFFE))
@settings(max_examples=60)
def test_a_wrong_checksum_stays_wrong_by_as_much(
    kind: str, data: st.DataObject, error: int
) -> None:
    frame = bytearray(KINDS[kind][0])
    packet = parse(bytes(frame), 1)
    at = packet.l4 + {"tcp": 16, "udp": 6}.get(kind.rstrip("6"), 2)
    spoilt = (int.from_bytes(frame[at : at + 2], "big") + error) % 0xFFFF or 0xFFFF
    frame[at : at + 2] = spoilt.to_bytes(2, "big")
    packet = parse(bytes(frame), 1)
    wrong = l4_sum(packet)
    assert wrong is not None
    mask = value = 0
    for slot in KINDS[kind][1]:
        mask |= ((1 << width(kind, slot)) - 1) << SLOTS[slot].shift
        value |= data.draw(st.integers(0, (1 << width(kind, slot)) - 1)) << SLOTS[slot].shift
    set_fields(packet, value, mask)
    now = l4_sum(packet)
    assert now is not None
    assert now % 0xFFFF == wrong % 0xFFFF != 0


def test_a_wrong_sctp_crc_stays_wrong_by_the_same_bits() -> None:
    right = parse(sctp("10.0.0.1", "10.0.0.2", 1, 2), 1)
    wrong = parse(sctp("10.0.0.1", "10.0.0.2", 1, 2, bad="l4"), 1)
    differs = [a ^ b for a, b in zip(right.frame, wrong.frame, strict=True)]
    for packet in (right, wrong):
        set_fields(packet, SLOTS["tp_src"].put(0, 99), SLOTS["tp_src"].mask)
    assert l4_checksum_ok(right)
    assert [a ^ b for a, b in zip(right.frame, wrong.frame, strict=True)] == differs


def test_what_is_beside_the_frame_changes_in_the_key_alone() -> None:
    packet = parse(KINDS["tcp"][0], 1)
    frame, conn = packet.frame, object()
    packet.conn = conn
    slot = SLOTS["pkt_mark"]
    set_fields(packet, slot.put(0, 0xF0), slot.put(0, 0xF0))
    set_fields(packet, slot.put(0, 0x0A), slot.put(0, 0x0F))
    assert get(packet, "pkt_mark") == 0xFA
    assert packet.frame is frame
    assert packet.conn is conn


def test_udp_without_a_checksum_stays_without() -> None:
    packet = parse(udp("10.0.0.1", "10.0.0.2", 1, 2, checksum=False), 1)
    mask = SLOTS["nw_src"].mask | SLOTS["tp_src"].mask
    set_fields(packet, SLOTS["nw_src"].put(SLOTS["tp_src"].put(0, 7), 9), mask)
    assert packet.frame[40:42] == b"\0\0"
    rewrite_ipv4(packet, dst=5, dport=6)
    assert packet.frame[40:42] == b"\0\0"


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
@example(0, 0)
def test_a_udp_checksum_never_becomes_none(sport: int, dport: int) -> None:
    packet = parse(KINDS["udp"][0], 1)
    mask = SLOTS["tp_src"].mask | SLOTS["tp_dst"].mask
    set_fields(packet, SLOTS["tp_src"].put(SLOTS["tp_dst"].put(0, dport), sport), mask)
    assert packet.frame[40:42] != b"\0\0"
    # The source port for which the sum comes to zero.
    zero = (sport + int.from_bytes(packet.frame[40:42], "big")) % 0xFFFF
    set_fields(packet, SLOTS["tp_src"].put(0, zero), SLOTS["tp_src"].mask)
    assert packet.frame[40:42] == b"\xff\xff"
    assert l4_checksum_ok(packet)


def test_what_cannot_be_set_is_named() -> None:
    packet = parse(KINDS["tcp"][0], 1)
    mask = SLOTS["vlan_tci"].mask | SLOTS["tcp_flags"].mask | SLOTS["nw_src"].mask
    with pytest.raises(ValueError, match="cannot write tcp_flags, vlan_tci"):
        set_fields(packet, 0, mask)


@pytest.mark.parametrize(
    ("slot", "kept"),
    [("dl_src", True), ("nw_tos", True), ("nw_ttl", True), ("nw_src", False), ("tp_dst", False)],
)
def test_ovs_forgets_the_connection_that_a_kernel_keeps(slot: str, kept: bool) -> None:
    packet = parse(KINDS["tcp"][0], 1)
    packet.conn = conn = object()
    set_fields(packet, SLOTS[slot].put(0, 9), SLOTS[slot].mask, keep_conn=True)
    assert packet.conn is conn
    set_fields(packet, SLOTS[slot].put(0, 10), SLOTS[slot].mask)
    assert (packet.conn is conn) == kept


def test_ports_are_left_alone_where_ovs_leaves_them() -> None:
    mask = SLOTS["tp_src"].mask
    frame = bytearray(tcp("10.0.0.1", "10.0.0.2", 1, 2))
    frame[46] = 0x40  # a data offset of 16
    for broken in (bytes(frame), tcp("10.0.0.1", "10.0.0.2", 1, 2)[:14]):
        packet = parse(broken, 1)
        set_fields(packet, SLOTS["tp_src"].put(0, 9), mask)
        assert packet.frame == broken
        assert get(packet, "tp_src") == 0


def test_every_place_lies_within_its_slot() -> None:
    for places in PLACES.values():
        for place in places:
            slot = SLOTS[place.slot]
            assert (place.width or slot.width) <= slot.width
            assert place.low + min(place.width or slot.width, 8 * place.size) <= 8 * place.size
    assert set(PLACES) == set(Header) - {Header.ND}


def test_an_atomic_fragment_keeps_its_checksum_as_ovs_does() -> None:
    whole = udp("fc00::1", "fc00::2", 1, 2, payload=bytes(40))
    first, later = fragment(whole, [16])
    # A fragment header that says offset 0 and no more fragments, before the whole.
    atomic = later[:56] + b"\0\0" + later[58:62] + whole[54:86]
    atomic = atomic[:18] + (len(atomic) - 54).to_bytes(2, "big") + atomic[20:]
    for frame, changes in ((whole, True), (first, True), (atomic, False), (later, False)):
        packet = parse(frame, 1)
        before = packet.frame[packet.l4 :]
        set_fields(packet, SLOTS["ipv6_src"].put(0, 5), SLOTS["ipv6_src"].mask)
        assert (packet.frame[packet.l4 :] != before) == changes, frame.hex()


def test_a_routing_header_takes_the_destination_out_of_the_checksum() -> None:
    inner = udp("fc00::1", "fc00::2", 1, 2)[54:]
    for left in (0, 1):
        frame = ip("fc00::1", "fc00::2", 43, bytes((17, 0, 0, left, 0, 0, 0, 0)) + inner)
        packet = parse(frame, 1)
        set_fields(packet, SLOTS["ipv6_dst"].put(0, 5), SLOTS["ipv6_dst"].mask)
        assert (packet.frame[packet.l4 :] == inner) == bool(left)


def test_neighbour_extensions_are_set_and_summed_anew() -> None:
    packet = parse(KINDS["ns"][0][:-1] + b"\x09", 1)  # wrong by now
    mask = SLOTS["nd_reserved"].mask | SLOTS["nd_options_type"].mask
    value = SLOTS["nd_reserved"].put(SLOTS["nd_options_type"].put(0, 2), 0xE0000000)
    set_fields(packet, value, mask)
    assert l4_checksum_ok(packet)
    assert get(packet, "nd_reserved") == 0xE0000000
    assert get(packet, "nd_options_type") == 2
    assert (get(packet, "arp_sha"), get(packet, "arp_tha")) == (0, 0x020000000009)


# Tags, labels, cuts.


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_push_and_pop_of_a_tag(kind: str) -> None:
    frame = KINDS[kind][0]
    packet = parse(frame, 1, 2)
    full = get(packet, "vlan_tci1")
    before = packet.fork()
    push_vlan(packet, 0x88A8, 0xF005)
    assert packet.frame == frame[:12] + b"\x88\xa8\xe0\x05" + frame[12:]
    assert (get(packet, "vlan_tpid"), get(packet, "vlan_tci")) == (0x88A8, 0xF005)
    if not full:
        again = parse(packet.frame, 1, 2)
        assert again.key == packet.key
        assert (again.l3, again.l4, again.end) == (packet.l3, packet.l4, packet.end)
    pop_vlan(packet)
    assert packet.frame == frame
    assert (packet.l3, packet.l4, packet.end) == (before.l3, before.l4, before.end)
    if not full:
        assert packet.key == before.key


def test_pop_without_a_tag_does_nothing() -> None:
    packet = parse(KINDS["tcp"][0], 1)
    key = packet.key
    pop_vlan(packet)
    pop_mpls(packet, 0x0800)
    assert (packet.frame, packet.key) == (KINDS["tcp"][0], key)


def test_layer_3_can_be_set_behind_more_tags_than_the_key_knows() -> None:
    packet = parse(udp("10.0.0.1", "10.0.0.2", 1, 2, vlans=[5, 6]), 1, 2)
    push_vlan(packet, 0x8100, 7)
    set_fields(packet, SLOTS["nw_src"].put(0, 9), SLOTS["nw_src"].mask)
    assert packet.frame[26 + 12 : 30 + 12] == b"\0\0\0\x09"
    for _ in range(3):
        pop_vlan(packet)
    assert packet.frame == udp("0.0.0.9", "10.0.0.2", 1, 2)


@pytest.mark.parametrize("vlans", [[], [5], [5, 6]])
def test_push_and_pop_of_labels(vlans: list[int]) -> None:
    frame = tcp("10.0.0.1", "10.0.0.2", 1, 2, vlans=vlans)
    packet = parse(frame, 1, 2)
    before, at = packet.fork(), packet.l3
    packet.conn = object()
    push_mpls(packet, 0x00005140, 0x8847)
    assert packet.conn is None
    push_mpls(packet, 0x00006040, 0x8848)
    assert packet.frame == (
        frame[: at - 2] + bytes.fromhex("8848 00006040 00005140") + frame[at:]
    )
    again = parse(packet.frame, 1, 2)
    assert again.key == packet.key
    assert (packet.l3, packet.l4) == (before.l3 + 8, before.l4 + 8)
    set_fields(packet, SLOTS["mpls_lse"].put(0, 0x7000), SLOTS["mpls_lse"].put(0, 0xFFFFF000))
    assert get(packet, "mpls_lse") == 0x00007040
    pop_mpls(packet, 0x8847)
    assert get(packet, "mpls_lse") == 0x00005140
    assert get(packet, "mpls_lse1") == 0
    pop_mpls(packet, 0x0800)
    assert packet.frame == frame
    assert packet.key == before.key
    assert (packet.l3, packet.l4, packet.end) == (before.l3, before.l4, before.end)


def test_push_of_what_is_no_mpls_type_does_nothing() -> None:
    packet = parse(KINDS["tcp"][0], 1)
    push_mpls(packet, 1, 0x0800)
    assert packet.frame == KINDS["tcp"][0]


@pytest.mark.parametrize(("limit", "size"), [(0, 14), (14, 14), (40, 40), (70, 70), (9000, 70)])
def test_trunc_leaves_the_ethernet_header(limit: int, size: int) -> None:
    packet = parse(KINDS["tcp"][0], 1)
    trunc(packet, limit)
    assert packet.frame == KINDS["tcp"][0][:size]
    assert packet.end == min(57, size)


# NAT.

nat = st.none() | st.integers(0, 0xFFFF)


@settings(max_examples=400)
@given(
    st.sampled_from(("tcp", "udp", "sctp", "icmp", "gre", "tcp6", "udp6", "sctp6", "icmp6")),
    st.none() | st.integers(0, 0xFFFFFFFF), st.none() | st.integers(0, 0xFFFFFFFF), nat, nat,
    st.sampled_from((None, None, 0, 0xFFFF, 1)),
)  # fmt: skip
@example("udp", 0x0A000001, 0x0A000002, 1, 2, None)
@example("tcp", None, None, None, None, 0xFFFF)
def test_nat_is_the_set_of_the_same_fields(
    kind: str,
    src: int | None,
    dst: int | None,
    sport: int | None,
    dport: int | None,
    checksum: int | None,
) -> None:
    v6 = kind.endswith("6")
    frame = bytearray(KINDS[kind][0])
    if checksum is not None:
        packet = parse(bytes(frame), 1)
        at = packet.l4 + {"tcp": 16, "udp": 6, "sctp": 8}.get(kind.rstrip("6"), 2)
        frame[at : at + 2] = checksum.to_bytes(2, "big")
        if not v6:
            frame[packet.l3 + 10 : packet.l3 + 12] = checksum.to_bytes(2, "big")
    one, other = parse(bytes(frame), 1), parse(bytes(frame), 1)
    (rewrite_ipv6 if v6 else rewrite_ipv4)(one, src, dst, sport, dport)
    value = mask = 0
    names = ("ipv6_src", "ipv6_dst") if v6 else ("nw_src", "nw_dst")
    ports = PORTS if kind.rstrip("6") in ("tcp", "udp", "sctp") else ()
    for slot, new in zip((*names, *ports), (src, dst, sport, dport), strict=False):
        if new is not None:
            value, mask = SLOTS[slot].put(value, new), mask | SLOTS[slot].mask
    set_fields(other, value, mask)
    assert one.frame == other.frame
    assert one.key == other.key == parse(one.frame, 1).key
    assert checksum is not None or l4_checksum_ok(one)


def test_nat_leaves_the_ports_of_later_fragments_alone() -> None:
    later = fragment(udp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(40)), [16])[1]
    packet = parse(later, 1)
    rewrite_ipv4(packet, src=9, sport=7)
    assert packet.frame[34:36] == later[34:36]
    assert get(packet, "tp_src") == 0


@pytest.mark.parametrize("quote", [8, 17, 20, 60])
@pytest.mark.parametrize("six", [False, True])
def test_an_inner_packet_is_rewritten_and_the_error_summed_anew(quote: int, six: bool) -> None:
    ends = ("fc00::1", "fc00::2") if six else ("10.0.0.1", "10.0.0.2")
    new = ("fc00::9", "fc00::8") if six else ("10.0.0.9", "10.0.0.8")
    values = [0xFC00 << 112 | 9, 0xFC00 << 112 | 8] if six else [0x0A000009, 0x0A000008]
    for builder in (tcp, udp, sctp):
        error = icmp_error(builder(*ends, 1, 2), quote=quote)
        packet = parse(error, 1)
        l3 = packet.l4 + 8
        l4 = l3 + (40 if six else 20)
        key = packet.key
        rewrite_inner(packet, l3, l4, get(parse(builder(*ends, 1, 2), 1), "nw_proto"),
                      values[0], values[1], 77, 78)  # fmt: skip
        assert l4_checksum_ok(packet)
        assert packet.key == key
        wanted = builder(*new, 77, 78)[14:]
        inner = packet.frame[l3 : packet.end]
        whole = len(inner) >= len(wanted)
        # Addresses and ports are there in any case, checksums as far as they can be carried along.
        assert inner[: l4 - l3 + 4] == wanted[: l4 - l3 + 4]
        if whole:
            assert inner == wanted


def test_the_key_beside_the_headers_survives_every_edit() -> None:
    for kind, (frame, slots) in KINDS.items():
        packet = parse(frame, 5, 2)
        packet.key = SLOTS["ct_mark"].put(packet.key, 0xABCD)
        beside = packet.key & ~HEADER_MASK
        for slot in slots:
            set_fields(packet, 0, SLOTS[slot].put(0, (1 << width(kind, slot)) - 1) & ~(
                SLOTS["mpls_lse"].put(0, 0x100)))  # fmt: skip
        push_vlan(packet, 0x8100, 5)
        push_mpls(packet, 0x140, 0x8847)
        pop_mpls(packet, 0x8847)
        pop_vlan(packet)
        assert packet.key & ~HEADER_MASK == beside, kind
