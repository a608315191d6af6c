"""A line of text for any frame."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovsct.packet.build import (
    arp,
    fragment,
    icmp_echo,
    icmp_error,
    ip,
    mss,
    neighbour,
    sack_permitted,
    sctp,
    tcp,
    timestamps,
    udp,
    window_scale,
)
from ovsct.packet.describe import describe
from ovsct.packet.pcap import read_pcap

V4, V6 = ("10.0.0.1", "10.0.0.2"), ("fc00::1", "fc00::2")
LABELLED = bytes(range(12)) + bytes.fromhex("8847 00001040 0000213f")
OPTIONS = mss(1460) + sack_permitted() + timestamps(1, 2) + window_scale(7)
SYN = tcp(*V4, 1000, 80, "S", seq=1)
PIECES = fragment(udp(*V4, 1, 2, payload=bytes(92)), [8, 48], ident=7)
PIECES6 = fragment(udp(*V6, 1, 2, payload=bytes(92)), [8, 48])

SAID = [
    (tcp(*V4, 1000, 80, "S", seq=1, vlans=[5]),
     "10.0.0.1.1000 > 10.0.0.2.80: S seq 1 win 65535, ttl 64, vlan 5, 58 bytes"),
    (tcp(*V6, 1, 2, "PA", seq=7, ack=8, payload=b"abc", ttl=1, tos=0x10),
     "fc00::1.1 > fc00::2.2: P. seq 7:10 ack 8 win 65535 3, ttl 1, tos 0x10, 77 bytes"),
    (tcp(*V4, 1, 2, "S", options=OPTIONS),
     "10.0.0.1.1 > 10.0.0.2.2: S seq 0 win 65535 <mss 1460 sackok ts 1/2 wscale 7>, ttl 64,"
     " 78 bytes"),
    (tcp(*V4, 1, 2, "A", options=b"\5\x0a\0\0\0\1\0\0\0\2\1\1\2\x09"),
     "10.0.0.1.1 > 10.0.0.2.2: . seq 0 ack 0 win 65535 <sack 1-2 broken>, ttl 64, 70 bytes"),
    (tcp(*V4, 1, 2, "", bad="l4", vlans=[(0x88A8, 0xE005), 6]),
     "10.0.0.1.1 > 10.0.0.2.2: none seq 0 win 65535, ttl 64, vlan 5 pcp 7 tpid 0x88a8, vlan 6,"
     " bad checksum, 62 bytes"),
    (SYN[:46] + b"\x40" + SYN[47:],
     "10.0.0.1.1000 > 10.0.0.2.80: S seq 1, a data offset of 16 that does not fit, ttl 64,"
     " bad checksum, 54 bytes"),
    (udp(*V4, 1, 2, payload=b"abc"), "10.0.0.1.1 > 10.0.0.2.2: udp 3, ttl 64, 45 bytes"),
    (sctp(*V4, 1, 2, tag=9, chunks=b"\1\0\0\4\x40\0\0\5\0\0\0\0"),
     "10.0.0.1.1 > 10.0.0.2.2: sctp tag 0x9 [init] [chunk 64], ttl 64, 58 bytes"),
    (icmp_echo(*V4, 3, 4), "10.0.0.1 > 10.0.0.2: icmp echo request id 3 seq 4, ttl 64, 42 bytes"),
    (icmp_echo(*V6, 3, 4, reply=True),
     "fc00::1 > fc00::2: icmp6 echo reply id 3 seq 4, ttl 64, 62 bytes"),
    (icmp_error(SYN, code=3),
     "10.0.0.2 > 10.0.0.1: icmp unreachable code 3 for [10.0.0.1.1000 > 10.0.0.2.80:"
     " tcp cut short seq 1], ttl 64, 70 bytes"),
    (icmp_error(udp(*V6, 1, 2), kind=2, code=0, rest=1280),
     "fc00::2 > fc00::1: icmp6 packet too big for [fc00::1.1 > fc00::2.2: udp 0], ttl 64,"
     " 110 bytes"),
    (icmp_error(icmp_error(SYN)),
     "10.0.0.1 > 10.0.0.2: icmp unreachable code 1 for [10.0.0.2 > 10.0.0.1: an error], ttl 64,"
     " 70 bytes"),
    (neighbour("fc00::1", "ff02::1", "fc00::2"),
     "fc00::1 > ff02::1: icmp6 neighbour solicitation fc00::2, ttl 255, 86 bytes"),
    (arp("10.0.0.1", "10.0.0.2"),
     "arp who-has 10.0.0.2 tell 10.0.0.1 at 02:00:00:00:00:01, 42 bytes"),
    (arp("10.0.0.1", "10.0.0.2", op=2),
     "arp reply 10.0.0.1 is-at 02:00:00:00:00:01, 42 bytes"),
    (arp("10.0.0.1", "10.0.0.2", op=300)[:41],
     "02:00:00:00:00:01 > 02:00:00:00:00:02: arp of another kind or cut short, 41 bytes"),
    (PIECES[0], "10.0.0.1.1 > 10.0.0.2.2: udp 0 (length says 92), frag 7:8@0+, ttl 64, 42 bytes"),
    (PIECES[1], "10.0.0.1 > 10.0.0.2: udp, frag 7:48@8+, ttl 64, 82 bytes"),
    (PIECES[2], "10.0.0.1 > 10.0.0.2: udp, frag 7:44@56, ttl 64, 78 bytes"),
    (PIECES6[1], "fc00::1 > fc00::2: fragment, later fragment of 48 bytes, ttl 64, 110 bytes"),
    (ip(*V4, 47, b"abc"), "10.0.0.1 > 10.0.0.2: gre 3, ttl 64, 37 bytes"),
    (ip(*V4, 200), "10.0.0.1 > 10.0.0.2: protocol 200 0, ttl 64, 34 bytes"),
    (SYN[:20], "02:00:00:00:00:01 > 02:00:00:00:00:02: ipv4 that contradicts itself, 20 bytes"),
    (LABELLED, "06:07:08:09:0a:0b > 00:01:02:03:04:05: mpls, label 1 tc 0 ttl 64,"
     " label 2 tc 0 ttl 63, 22 bytes"),
    (LABELLED[:14] + bytes(16),
     "06:07:08:09:0a:0b > 00:01:02:03:04:05: mpls, label 0 tc 0 ttl 0, label 0 tc 0 ttl 0,"
     " label 0 tc 0 ttl 0, 1 more, 30 bytes"),
    (LABELLED[:14], "06:07:08:09:0a:0b > 00:01:02:03:04:05: mpls, 14 bytes"),
    (bytes(12) + b"\x88\xcc", "00:00:00:00:00:00 > 00:00:00:00:00:00: type 0x88cc, 14 bytes"),
    (bytes(17), "00:00:00:00:00:00 > 00:00:00:00:00:00: 802.2, 17 bytes"),
    (b"x", "cut short, 1 byte"),
    (b"", "cut short, 0 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "said"), SAID, ids=range(len(SAID)))
def test_a_frame_is_said_so(frame: bytes, said: str) -> None:
    assert describe(frame) == said


def test_checksums_can_be_left_out() -> None:
    assert "bad" not in describe(udp(*V4, 1, 2, bad="l4"), checksums=False)


@settings(max_examples=300)
@given(st.binary(max_size=120))
def test_any_bytes_are_one_line(frame: bytes) -> None:
    line = describe(frame)
    assert line
    assert "\n" not in line


def test_broken_frames_are_one_line() -> None:
    rng = random.Random(5)
    for _ in range(20000):
        frame = bytearray(rng.choice(SAID)[0])
        for _ in range(rng.choice((0, 1, 2, 5))):
            if frame:
                frame[rng.randrange(len(frame))] = rng.choice((0, 1, 3, 5, 58, 255))
        del frame[rng.randrange(len(frame) + 1) + rng.choice((0, 0, 200)) :]
        assert describe(bytes(frame)).count("\n") == 0


def test_captures_are_lines(captures: Path) -> None:
    for capture in captures.glob("*.pcap"):
        with capture.open("rb") as file:
            for record in read_pcap(file, capture.name):
                assert describe(record.frame).endswith(f", {len(record.frame)} bytes")
