"""The hash functions: published values, and what symmetry promises. Real packets judge the rest."""

from __future__ import annotations

import pytest

from ovsct.compare.case import frames_of
from ovsct.openflow.hashes import HashFields, hash_fields, hashed_bits, jhash_bytes
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import parse

THERE = ("tcp 10.0.0.1:1000 > 10.0.0.2:80 S", "udp 10.0.0.1:1000 > 10.0.0.2:53",
         "tcp [fe80::1]:1000 > [fe80::2]:80 S",
         "icmp 10.0.0.1 > 10.0.0.2 echo id 1 seq 1")  # fmt: skip
BACK = ("tcp 10.0.0.2:80 > 10.0.0.1:1000 S", "udp 10.0.0.2:53 > 10.0.0.1:1000",
        "tcp [fe80::2]:80 > [fe80::1]:1000 S",
        "icmp 10.0.0.2 > 10.0.0.1 echo id 1 seq 1")  # fmt: skip
MATCHED_ANYWAY = SLOTS["dl_type"].mask | SLOTS["nw_frag"].mask
SYMMETRIC = [fields for fields in HashFields if fields.startswith("symmetric")]


def _key(line: str) -> int:
    return parse(frames_of(line)[0], 1, 1).key


@pytest.mark.parametrize(
    ("basis", "value"), [(0, 0x17770551), (1, 0xCD628161)]
)  # Bob Jenkins's lookup3.c, driver5()
def test_jenkins_hash_has_its_published_values(basis: int, value: int) -> None:
    assert jhash_bytes(b"Four score and seven years ago", basis) == value


@pytest.mark.parametrize("fields", SYMMETRIC)
@pytest.mark.parametrize(("there", "back"), list(zip(THERE, BACK, strict=True)))
def test_both_directions_hash_alike(fields: HashFields, there: str, back: str) -> None:
    assert hash_fields(_key(there), fields, 7) == hash_fields(_key(back), fields, 7)


@pytest.mark.parametrize("fields", HashFields)
@pytest.mark.parametrize("line", THERE)
def test_bits_that_are_not_looked_at_do_not_count(fields: HashFields, line: str) -> None:
    key = _key(line)
    kept = hashed_bits(key, fields) | MATCHED_ANYWAY
    assert hash_fields(key, fields, 0) == hash_fields(key & kept, fields, 0)
