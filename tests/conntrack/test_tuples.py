"""Tuples: cut out of the flow key, taken apart, put together, reversed."""

from __future__ import annotations

import random

import pytest

from ovsct.conntrack import tuples
from ovsct.conntrack.tuples import Parts
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import parse

TCP4 = bytes.fromhex(
    "020000000002020000000001080045000028000100004006"
    "66cc0a0000010a00000203e80050000000010000000250100400aabb0000"
)
TCP6 = (
    bytes.fromhex("02000000000202000000000186dd6000000000140640")
    + (0xFC00 << 112 | 1).to_bytes(16, "big")
    + (0xFC00 << 112 | 2).to_bytes(16, "big")
    + TCP4[34:]
)


def test_ipv4_tuple_comes_out_of_the_key() -> None:
    made = tuples.from_key(parse(TCP4, 1).key, 7)
    assert tuples.unpack(made) == Parts(4, 6, 0x0A000001, 0x0A000002, 1000, 80, 7)


def test_ipv6_tuple_comes_out_of_the_key() -> None:
    made = tuples.from_key(parse(TCP6, 1).key, 65535)
    assert tuples.unpack(made) == Parts(
        6, 6, 0xFC00 << 112 | 1, 0xFC00 << 112 | 2, 1000, 80, 65535
    )


def test_what_else_the_key_holds_is_not_in_the_tuple() -> None:
    key = parse(TCP4, 1).key
    noise = sum(
        slot.mask
        for name, slot in SLOTS.items()
        if name not in ("nw_proto", "tp_src", "tp_dst", "nw_src", "nw_dst", "dl_type")
    )
    assert tuples.from_key(key | noise, 3) == tuples.from_key(key, 3)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("proto", [6, 17, 47, 1, 58, 132])
def test_round_trips(family: int, proto: int) -> None:
    dice = random.Random(f"{family}/{proto}")
    width = 32 if family == 4 else 128
    for _ in range(200):
        dport = dice.getrandbits(16)
        if proto == (1 if family == 4 else 58):
            dport = dice.choice((8, 0, 13, 14, 15, 16) if family == 4 else (128, 129)) << 8
        parts = Parts(
            family, proto, dice.getrandbits(width), dice.getrandbits(width),
            dice.getrandbits(16), dport, dice.getrandbits(16),
        )  # fmt: skip
        made = tuples.pack(parts)
        assert tuples.unpack(made) == parts
        assert tuples.zone_of(made) == parts.zone
        there = tuples.reverse(made)
        assert tuples.reverse(there) == made
        back = tuples.unpack(there)
        assert (back.src, back.dst, back.zone) == (parts.dst, parts.src, parts.zone)
        text = tuples.to_tuple5(made)
        assert tuples.from_tuple5(text, family, proto, parts.zone) == made


def test_icmp_reverse_keeps_the_identifier_and_takes_the_answering_type() -> None:
    echo = tuples.pack(Parts(4, 1, 1, 2, 77, 8 << 8, 0))
    assert tuples.unpack(tuples.reverse(echo)) == Parts(4, 1, 2, 1, 77, 0, 0)
    echo6 = tuples.pack(Parts(6, 58, 1, 2, 77, 128 << 8, 0))
    assert tuples.unpack(tuples.reverse(echo6)) == Parts(6, 58, 2, 1, 77, 129 << 8, 0)
    assert tuples.to_tuple5(echo)[4:] == (77, 8, 0)


def test_a_type_without_answer_cannot_be_reversed() -> None:
    with pytest.raises(KeyError):
        tuples.reverse(tuples.pack(Parts(4, 1, 1, 2, 0, 3 << 8, 0)))


def test_the_families_do_not_collide() -> None:
    assert tuples.pack(Parts(4, 255, (1 << 32) - 1, (1 << 32) - 1, 65535, 65535, 65535)) < (
        tuples.V4_LIMIT
    )
    assert tuples.pack(Parts(6, 0, 0, 0, 0, 0, 0)) >= tuples.V4_LIMIT
