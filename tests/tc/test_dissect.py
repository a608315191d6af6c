"""Where the flow dissector and OVS read a frame alike, and where they do not."""

from __future__ import annotations

import random

from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import HEADER_MASK, parse
from ovsct.tc.dissect import dissect, header_key, outer_protocol
from ovsct.tc.keys import FIRST_FRAG, FRAG
from tests.tc.replay import KERNELS, load

SYN = bytes.fromhex(
    "02000000000b02000000000a0800450000280001400040062"
    "6cd0a0000010a00000203e8005000000064000000005002ffff97110000"
)
UDP = bytes.fromhex(
    "02000000000b02000000000a08004500001d0001400040112"
    "6cd0a0000010a00000203e8003500096fbc78"
)


def frames() -> list[bytes]:
    return [
        bytes.fromhex(step["frame"])
        for kernel in KERNELS for case in load(kernel) for step in case["steps"] if "frame" in step
    ]  # fmt: skip


def slot(key: int, name: str) -> int:
    return SLOTS[name].get(key)


def test_the_short_cut_reads_what_the_dissector_reads() -> None:
    checked = 0
    for frame in frames():
        packet = parse(frame, 1)
        assert header_key(packet) == dissect(frame)
        checked += dissect(frame) == packet.key & HEADER_MASK
    assert checked > 400


def test_the_short_cut_at_every_cut_and_flip() -> None:
    rng = random.Random(1)
    for _ in range(3000):
        frame = bytearray(rng.choice((SYN, UDP)))
        for _ in range(rng.randrange(3)):
            frame[rng.randrange(12, len(frame))] ^= 1 << rng.randrange(8)
        cut = bytes(frame[: rng.randrange(14, len(frame) + 1)])
        assert header_key(parse(cut, 1)) == dissect(cut), cut.hex()


def test_first_fragments_have_no_ports() -> None:
    first = SYN[:20] + b"\x20\0" + SYN[22:]
    key = dissect(first)
    assert slot(key, "nw_frag") == FRAG | FIRST_FRAG
    assert (slot(key, "nw_proto"), slot(key, "tp_dst"), slot(key, "tcp_flags")) == (6, 0, 0)
    later = SYN[:20] + b"\0\1" + SYN[22:]
    assert slot(dissect(later), "nw_frag") == FRAG
    assert slot(dissect(SYN), "nw_frag") == 0


def test_ports_are_read_from_what_is_there() -> None:
    key = dissect(SYN[:40])
    assert (slot(key, "tp_src"), slot(key, "tp_dst"), slot(key, "tcp_flags")) == (1000, 80, 0)
    assert slot(dissect(SYN[:36]), "tp_src") == 0


def test_tags() -> None:
    one = SYN[:12] + bytes.fromhex("81006005") + SYN[12:]
    key = dissect(one)
    assert (outer_protocol(one), slot(key, "dl_type")) == (0x8100, 0x0800)
    assert (slot(key, "vlan_tpid"), slot(key, "vlan_tci") & 0xEFFF) == (0x8100, 0x6005)
    two = one[:12] + bytes.fromhex("88a80007") + one[12:]
    key = dissect(two)
    assert (slot(key, "vlan_tpid"), slot(key, "vlan_tpid1")) == (0x88A8, 0x8100)
    assert (slot(key, "dl_type"), slot(key, "tp_dst")) == (0x0800, 80)


def test_lengths_have_types_of_their_own() -> None:
    assert outer_protocol(SYN[:12] + b"\0\x2e\x42\x42" + bytes(44)) == 0x0004
    assert outer_protocol(SYN[:12] + b"\0\x2e\xff\xff" + bytes(44)) == 0x0001
