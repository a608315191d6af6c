"""Checksums against the plain definition, known vectors, and packets of others."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ovsct.packet.build import fragment, icmp_echo, ip, neighbour, sctp, tcp, udp
from ovsct.packet.checksum import (
    checksum,
    crc32c,
    fold,
    ipv4_header_ok,
    l4_checksum_ok,
    l4_sum,
    pseudo_ipv4,
    update,
    update16,
    word_sum,
)
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import Packet, parse
from ovsct.packet.pcap import read_pcap


def by_the_book(data: bytes) -> int:
    """RFC 1071, section 4.1, word by word."""
    total = 0
    for at in range(0, len(data), 2):
        total += data[at] << 8 | (data[at + 1] if at + 1 < len(data) else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(st.binary(max_size=200))
@example(b"")
@example(b"\0\0")
@example(b"\xff\xff")
@example(b"\xff\xff" * 2)
@example(b"\x80\0\x7f\xff")
def test_checksum_is_that_of_the_book(data: bytes) -> None:
    assert checksum(data) == by_the_book(data)


@given(st.binary(min_size=1, max_size=9), st.integers(400, 4000))
@example(b"\0", 2000)
@example(b"\xff", 2000)
@example(b"\xff", 2001)
def test_long_data_is_halved_without_loss(piece: bytes, size: int) -> None:
    data = (piece * size)[:size]
    assert checksum(data) == by_the_book(data)


def test_the_example_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


def test_a_sum_of_zero_is_told_from_a_multiple_of_ffff() -> None:
    assert word_sum(bytes(1000)) == 0
    assert checksum(bytes(1000)) == 0xFFFF
    assert checksum(b"\xff" * 1000) == 0


words = st.integers(0, 0xFFFF)


def recalc_csum16(old_csum: int, old: int, new: int) -> int:
    """OVS lib/csum.c, written down step by step."""
    total = (~old_csum & 0xFFFF) + (~old & 0xFFFF) + new
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(words, words, words)
@example(0xFFFF, 0xFFFF, 0)
@example(0, 0, 0xFFFF)
@example(0, 0, 0)
@example(0xFFFF, 0, 0)
def test_update16_is_recalc_csum16(old_csum: int, old: int, new: int) -> None:
    assert update16(old_csum, old, new) == recalc_csum16(old_csum, old, new)


@given(words, st.lists(st.tuples(words, words), min_size=1, max_size=8))
@example(0xFFFF, [(0xFFFF, 0), (0xFFFF, 0)])
@example(0xFFFF, [(0xFFFF, 0), (0, 0)])
@example(0, [(0xFFFF, 0), (0xFFFF, 0)])
def test_update_is_the_chain_of_recalc_csum16(
    old_csum: int, changes: list[tuple[int, int]]
) -> None:
    expected = old_csum
    old = new = 0
    for before, after in changes:
        expected = recalc_csum16(expected, before, after)
        old, new = old << 16 | before, new << 16 | after
    assert update(old_csum, old, new, 2 * len(changes)) == expected
    # OVS goes through a 32-bit word low half first on most machines: the order is all the same.
    expected = old_csum
    for before, after in reversed(changes):
        expected = recalc_csum16(expected, before, after)
    assert update(old_csum, old, new, 2 * len(changes)) == expected


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc
    assert crc32c(data) != zlib.crc32(data) or not data


def test_a_pseudo_header_is_added_as_it_is() -> None:
    frame = tcp("10.0.0.1", "10.0.0.2", 1, 2, "S", payload=b"odd")
    pseudo = pseudo_ipv4(0x0A000001, 0x0A000002, 6, 23)
    assert checksum(frame[34:], pseudo) == 0


GOOD = {
    "tcp": tcp("10.0.0.1", "10.0.0.2", 1, 2, "S", payload=b"odd", pad=80),
    "tcp6": tcp("fc00::1", "fc00::2", 1, 2, "S", payload=b"even"),
    "udp": udp("10.0.0.1", "10.0.0.2", 1, 2, payload=b"x"),
    "udp6": udp("fc00::1", "fc00::2", 1, 2),
    "icmp": icmp_echo("10.0.0.1", "10.0.0.2", payload=b"abc"),
    "icmp6": icmp_echo("fc00::1", "fc00::2", payload=b"abc"),
    "nd": neighbour("fc00::1", "ff02::1", "fc00::2"),
    "igmp": ip("10.0.0.1", "224.0.0.1", 2, b"\x16\0\0\0\xe0\0\0\1"),
    "sctp": sctp("10.0.0.1", "10.0.0.2", 1, 2, chunks=b"abcd"),
    "sctp6": sctp("fc00::1", "fc00::2", 1, 2, tag=9, chunks=b"abcd"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_every_flipped_bit_of_the_transport_is_seen(kind: str) -> None:
    frame = GOOD[kind]
    packet = parse(frame, 1)
    assert l4_checksum_ok(packet)
    for bit in range(8 * packet.l4, 8 * packet.end):
        changed = bytearray(frame)
        changed[bit // 8] ^= 0x80 >> bit % 8
        assert not l4_checksum_ok(parse(bytes(changed), 1)), f"bit {bit}"


@pytest.mark.parametrize("kind", ["tcp", "tcp6", "udp", "udp6", "icmp6"])
def test_the_addresses_count(kind: str) -> None:
    frame = bytearray(GOOD[kind])
    frame[29 if "6" not in kind else 37] ^= 1
    assert not l4_checksum_ok(parse(bytes(frame), 1))


def test_padding_does_not_count() -> None:
    assert l4_checksum_ok(parse(GOOD["tcp"][:-3] + b"\1\2\3", 1))


def test_no_checksum_is_right_over_ipv4_and_wrong_over_ipv6() -> None:
    assert l4_checksum_ok(parse(udp("10.0.0.1", "10.0.0.2", 1, 2, checksum=False), 1))
    assert not l4_checksum_ok(parse(udp("fc00::1", "fc00::2", 1, 2, checksum=False), 1))


def test_what_has_no_checksum_is_right() -> None:
    packet = parse(ip("10.0.0.1", "10.0.0.2", 47, bytes(20)), 1)
    assert l4_sum(packet) is None
    assert l4_checksum_ok(packet)


def test_bad_builds_bad_checksums() -> None:
    for builder in (tcp, udp, sctp):
        assert not l4_checksum_ok(parse(builder("10.0.0.1", "10.0.0.2", 1, 2, bad="l4"), 1))
    assert not l4_checksum_ok(parse(icmp_echo("fc00::1", "fc00::2", bad="l4"), 1))
    packet = parse(tcp("10.0.0.1", "10.0.0.2", 1, 2, bad="ip"), 1)
    assert l4_checksum_ok(packet)
    assert not ipv4_header_ok(packet)


def test_header_checksum_covers_the_options() -> None:
    frame = bytearray(udp("10.0.0.1", "10.0.0.2", 1, 2, ip_options=b"\x94\4\0\0"))
    assert ipv4_header_ok(parse(bytes(frame), 1))
    frame[36] ^= 1
    assert not ipv4_header_ok(parse(bytes(frame), 1))


def test_fragments_have_right_headers_and_the_sum_of_the_whole() -> None:
    whole = udp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(range(100)))
    pieces = [parse(frame, 1) for frame in fragment(whole, [8, 48])]
    assert [ipv4_header_ok(packet) for packet in pieces] == [True] * 3
    body = b"".join(packet.frame[packet.l4 : packet.end] for packet in pieces)
    assert body == whole[34:]


def test_real_packets_are_right(captures: Path) -> None:
    """Nearly all checksums of wire traffic are right, or left to the sender's NIC to finish."""
    right = partial = wrong = 0
    for capture in captures.glob("*.pcap"):
        with capture.open("rb") as file:
            for record in read_pcap(file, capture.name):
                packet = parse(record.frame, 1)
                if not packet.l4 or SLOTS["nw_frag"].get(packet.key):
                    continue
                if l4_checksum_ok(packet):
                    right += 1
                elif left_to_the_nic(packet):
                    partial += 1
                else:
                    wrong += 1
    assert right > 100, f"{right} right, {partial} partial, {wrong} wrong"
    assert wrong < (right + partial) / 10, f"{right} right, {partial} partial, {wrong} wrong"


def left_to_the_nic(packet: Packet) -> bool:
    """Does the checksum hold the sum of the pseudo header alone, as with checksum offload?"""
    at = {6: 16, 17: 6}.get(SLOTS["nw_proto"].get(packet.key))
    if at is None:
        return False
    v4 = SLOTS["dl_type"].get(packet.key) == 0x0800
    start, stop = (12, 20) if v4 else (8, 40)
    addresses = packet.frame[packet.l3 + start : packet.l3 + stop]
    length = packet.end - packet.l4
    total = int.from_bytes(addresses, "big") + SLOTS["nw_proto"].get(packet.key) + length
    return packet.frame[packet.l4 + at : packet.l4 + at + 2] == fold(total).to_bytes(2, "big")
