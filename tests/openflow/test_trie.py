"""The trie against the plain meaning of its answer, over all prefixes at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovsct.openflow.trie import PrefixTrie

WIDTH = 6
values = st.integers(0, (1 << WIDTH) - 1)
prefixes = st.tuples(values, st.integers(1, WIDTH))


def top(value: int, length: int) -> int:
    return value >> (WIDTH - length)


def by_definition(stored: list[tuple[int, int]], value: int) -> tuple[int, int]:
    """The answer that OVS lib/classifier.c trie_lookup_value() documents."""
    lengths = sum({1 << n for prefix, n in stored if top(prefix, n) == top(value, n)})
    shared = 0
    while shared < WIDTH and any(
        n > shared and top(prefix, shared + 1) == top(value, shared + 1) for prefix, n in stored
    ):
        shared += 1
    longer = any(
        n > shared and top(prefix, shared) == top(value, shared) for prefix, n in stored
    )
    return shared + longer, lengths


@given(st.lists(prefixes, max_size=12), st.lists(st.integers(0, 11), max_size=8), values)
def test_answers_are_those_of_the_prefixes_that_are_left(
    stored: list[tuple[int, int]], gone: list[int], value: int
) -> None:
    trie = PrefixTrie(WIDTH)
    for prefix, length in stored:
        trie.insert(prefix, length)
    left = list(stored)
    for number in gone:
        if left:
            prefix, length = left.pop(number % len(left))
            trie.remove(prefix, length)
    assert trie.lookup(value) == by_definition(left, value)


@given(st.lists(prefixes, max_size=12))
def test_what_was_never_put_in_cannot_be_taken_out(stored: list[tuple[int, int]]) -> None:
    trie = PrefixTrie(WIDTH)
    for prefix, length in stored:
        trie.insert(prefix, length)
    for prefix, length in reversed(stored):
        trie.remove(prefix, length)
    for prefix, length in stored:
        with pytest.raises(KeyError):
            trie.remove(prefix, length)
    assert trie.lookup(0) == (0, 0)


def test_addresses() -> None:
    trie = PrefixTrie(32)
    trie.insert(0x0A000000, 8)  # 10/8
    trie.insert(0x0A010000, 16)  # 10.1/16
    assert trie.lookup(0x0A010203) == (16, 1 << 8 | 1 << 16)
    # 10.2.3.4: it takes the first bit in which 10.1/16 differs, the fifteenth.
    assert trie.lookup(0x0A020304) == (15, 1 << 8)
    assert trie.lookup(0x0B000000) == (8, 0)
    assert trie.lookup(0xC0A80001) == (1, 0)
