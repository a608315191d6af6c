"""A prefix trie: which prefix lengths can match a value, and how many bits it takes to know.

The classifier asks it before it looks into a subtable: a subtable whose prefix length is not among
the answer cannot match, and only the bits that the answer took need to stand in the megaflow.
Same answers as OVS lib/classifier.c ``trie_lookup_value()``; how nodes are cut is our own.
"""

from __future__ import annotations


class _Node:
    """`n_bits` bits of prefix behind those of the parent; `n` prefixes end here."""

    __slots__ = ("bits", "n", "n_bits", "one", "zero")

    def __init__(self, bits: int, n_bits: int, n: int) -> None:
        self.bits = bits
        self.n_bits = n_bits
        self.n = n
        self.zero: _Node | None = None
        self.one: _Node | None = None


class PrefixTrie:
    """A multiset of prefixes of values of `width` bits.

    A prefix is given as a whole value of which the first (most significant) `length` bits count,
    1 <= `length` <= `width`.
    """

    __slots__ = ("_root", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self._root = _Node(0, 0, 0)

    def insert(self, prefix: int, length: int) -> None:
        """Add a prefix once more."""
        node, rest, left = self._root, prefix >> (self.width - length), length
        while left:
            bit = rest >> (left - 1)
            child = node.one if bit else node.zero
            if child is None:
                _set_child(node, bit, _Node(rest, left, 1))
                return
            same = _equal_bits(child, rest, left)
            if same < child.n_bits:
                child = _split(node, bit, child, same)
            node, left = child, left - same
            rest &= (1 << left) - 1
        node.n += 1

    def remove(self, prefix: int, length: int) -> None:
        """Take a prefix out once.

        Raises:
            KeyError: it is not in here.
        """
        parent, node = self._root, self._root
        grand = parent
        rest, left = prefix >> (self.width - length), length
        while left:
            child = node.one if rest >> (left - 1) else node.zero
            if child is None or _equal_bits(child, rest, left) < child.n_bits:
                raise KeyError((prefix, length))
            grand, parent, node = parent, node, child
            left -= child.n_bits
            rest &= (1 << left) - 1
        if not node.n:
            raise KeyError((prefix, length))
        node.n -= 1
        if not node.n:
            self._prune(grand, parent, node)

    def _prune(self, grand: _Node, parent: _Node, node: _Node) -> None:
        """Take out `node`, which has no prefix any more, and its parent if that follows."""
        if node.zero is not None and node.one is not None:
            return
        only = node.zero or node.one
        bit = node.bits >> (node.n_bits - 1)
        if only is not None:
            _set_child(parent, bit, _join(node, only))
            return
        _set_child(parent, bit, None)
        sibling = parent.zero or parent.one
        if parent is not self._root and not parent.n and sibling is not None:
            # A fork with one way left is no fork.
            _set_child(grand, parent.bits >> (parent.n_bits - 1), _join(parent, sibling))

    def lookup(self, value: int) -> tuple[int, int]:
        """What `value` can match.

        Returns:
            (bits, lengths): how many leading bits of `value` it took to know, and a set of prefix
            lengths as a bit mask, in which ``lengths >> n & 1`` says that a prefix of length n
            matches `value`.
        """
        node, left, lengths = self._root, self.width, 0
        while left:
            below = value & ((1 << left) - 1)
            child = node.one if below >> (left - 1) else node.zero
            if child is None:
                # The bit that leads nowhere counts only if the other value of it leads somewhere.
                dead_end = node.zero is None and node.one is None
                return self.width - left + (not dead_end), lengths
            same = _equal_bits(child, below, left)
            left -= same
            if same < child.n_bits:
                return self.width - left + 1, lengths
            node = child
            if node.n:
                lengths |= 1 << (self.width - left)
        return self.width, lengths


def _set_child(node: _Node, bit: int, child: _Node | None) -> None:
    if bit:
        node.one = child
    else:
        node.zero = child


def _equal_bits(node: _Node, rest: int, left: int) -> int:
    """How many leading bits of `rest`, which has `left` bits, are those of the node."""
    shared = min(node.n_bits, left)
    differ = (node.bits >> (node.n_bits - shared)) ^ (rest >> (left - shared))
    return shared - differ.bit_length()


def _split(parent: _Node, bit: int, node: _Node, at: int) -> _Node:
    """Put a new node in for the first `at` bits of `node`, which comes to hang below it."""
    upper = _Node(node.bits >> (node.n_bits - at), at, 0)
    node.n_bits -= at
    node.bits &= (1 << node.n_bits) - 1
    _set_child(upper, node.bits >> (node.n_bits - 1), node)
    _set_child(parent, bit, upper)
    return upper


def _join(upper: _Node, lower: _Node) -> _Node:
    """One node for two of which the upper one has no prefix of its own and no other child."""
    lower.bits |= upper.bits << lower.n_bits
    lower.n_bits += upper.n_bits
    return lower
