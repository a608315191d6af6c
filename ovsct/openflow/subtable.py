"""A subtable of the classifier: all rules of one mask, looked up segment by segment.

OVS lib/classifier.c ``insert_subtable()``, ``find_match_wc()``, ``check_tries()``, in the form
they have since 3.1.1 (and in Debian's 3.1.0, which carries the fix of CVE-2023-5366).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from ovsct.openflow.actions import Action
from ovsct.openflow.match import HEADER_FIELDS, PACKET_TYPE_MASK, Match
from ovsct.openflow.trie import PrefixTrie
from ovsct.packet.fields import CT_EST, CT_NEW, CT_RPL, KEY_BITS, SLOTS, Field, Prereq


class Rule(Protocol):
    """What the classifier needs to know of a rule; :class:`ovsct.openflow.flow.Flow` is one."""

    @property
    def priority(self) -> int:
        """The larger one wins."""

    @property
    def match(self) -> Match:
        """Value and mask on the layout of the flow key."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """What it does; the classifier looks for conjunction() only."""


R = TypeVar("R", bound=Rule)

_NOT_FIRST_SEGMENTS: Final[tuple[tuple[str, ...], ...]] = (
    ("dl_dst", "dl_src", "dl_type", "vlan_tci", "vlan_tpid", "vlan_tci1", "vlan_tpid1",
     "mpls_lse", "mpls_lse1", "mpls_lse2"),
    ("nw_src", "nw_dst", "ct_nw_src", "ct_nw_dst", "ipv6_src", "ipv6_dst", "ct_ipv6_src",
     "ct_ipv6_dst", "ipv6_label", "nw_frag", "nw_tos", "nw_ttl", "nw_proto"),
    ("nd_target", "arp_sha", "arp_tha", "tcp_flags", "nd_options_type", "tp_src", "tp_dst",
     "ct_tp_src", "ct_tp_dst", "igmp_group", "nd_reserved", "nsh_flags", "nsh_ttl", "nsh_mdtype",
     "nsh_np", "nsh_path_hdr", "nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4"),
)  # fmt: skip
"""The slots of ``struct flow`` from dl_dst, from nw_src and from nd_target on.

FLOW_SEGMENT_*_ENDS_AT in OVS include/openvswitch/flow.h. (nd_options_type and nd_reserved are its
members tcp_flags and igmp_group_ip4.) What is in none of them is metadata, the first segment.
"""


def _segments() -> tuple[int, ...]:
    later = tuple(sum(SLOTS[name].mask for name in names) for names in _NOT_FIRST_SEGMENTS)
    return ((1 << KEY_BITS) - 1) & ~sum(later), *later


SEGMENT_MASKS: Final = _segments()
"""The bits of each segment of ``struct flow``: metadata, L2, L3, L4."""

_PORTS_SHIFT: Final = SLOTS["tp_dst"].shift
_PORTS_MASK: Final = SLOTS["tp_src"].mask | SLOTS["tp_dst"].mask
_PORTS_WIDTH: Final = 32
"""tp_src and tp_dst are neighbours in the key, as in ``struct flow``: one value of 32 bits."""

_DL_TYPE: Final = SLOTS["dl_type"]
_CT_STATE: Final = SLOTS["ct_state"]

_NW_PROTO: Final = SLOTS["nw_proto"]
_ICMP: Final = frozenset(proto << _NW_PROTO.shift for proto in (1, 58))
_ICMP_SLOTS: Final = tuple((slot.mask, 0xFF << slot.shift)
                           for slot in (SLOTS["tp_src"], SLOTS["tp_dst"]))  # fmt: skip


def subtable_mask(value: int, mask: int) -> int:
    """The mask of the subtable to which a match belongs.

    It is the match's own, with two exceptions. What is said of headers is said of Ethernet packets,
    unless the match names another type (OVS match_add_ethernet_prereq()). An ICMP type or code
    takes all 16 bits of its slot (OVS match_set_icmp_type()): such a match shares its subtable, and
    ports trie, with those on ports.
    """
    if mask & _NW_PROTO.mask == _NW_PROTO.mask and value & _NW_PROTO.mask in _ICMP:
        for slot, low in _ICMP_SLOTS:
            if mask & slot == low:
                mask |= slot
    return mask | PACKET_TYPE_MASK if mask & HEADER_FIELDS else mask


_ANY: Final = -1
# A trie says something only of packets that have its field (OVS mf_are_prereqs_ok()): the bits of
# the key to look at, and what they must be, or that any of them must be set.
_PREREQS: Final[dict[Prereq, tuple[int, int]]] = {
    Prereq.NONE: (0, 0),
    Prereq.IPV4: (_DL_TYPE.mask, 0x0800 << _DL_TYPE.shift),
    Prereq.IPV6: (_DL_TYPE.mask, 0x86DD << _DL_TYPE.shift),
    Prereq.CT_IPV4: ((CT_NEW | CT_EST | CT_RPL) << _CT_STATE.shift, _ANY),
    Prereq.CT_IPV6: ((CT_NEW | CT_EST | CT_RPL) << _CT_STATE.shift, _ANY),
}

PREFIX_LOOKUP_FIELDS: Final = frozenset({
    "tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "ct_nw_src", "ct_nw_dst",
    "ct_ipv6_src", "ct_ipv6_dst", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst",
})  # fmt: skip
"""Fields with a "Prefix lookup member" in OVS include/openvswitch/meta-flow.h."""


_NOTHING_HIDDEN: Final[Mapping[int, Any]] = {}


class Look(Generic[R]):
    """What a look-up has looked at: the mask that grows, and who made each bit of it grow.

    `mask` starts as what had been un-wildcarded before: the classifier asks it whether a look at
    a prefix costs anything new. `authors` lists (bits new to the mask, rule) in the order in which
    they came. A rule is the one that matched in its subtable; where none did, it is the one of
    highest priority there, since it had to be ruled out.

    `hidden` are rules, by their id(), that a look-up is not to see, each with the one that stood in
    its place (None: nothing did): what came while the packet was under way. It is looked past, not
    away: what is looked at is as if it were there (OVS ``cls_match_visible_in_version()``).
    """

    __slots__ = ("authors", "hidden", "mask")

    def __init__(self, mask: int = 0, hidden: Mapping[int, R | None] = _NOTHING_HIDDEN) -> None:
        self.mask = mask
        self.hidden = hidden
        self.authors: list[tuple[int, R]] = []

    def visible(self, rules: list[R]) -> list[R] | None:
        """Those of `rules` that are to be seen; None if there is none."""
        seen = [self.hidden.get(id(rule), rule) for rule in rules]
        return [rule for rule in seen if rule is not None] or None

    def note(self, bits: int, rule: R) -> None:
        """`bits` were looked at because of `rule`."""
        new = bits & ~self.mask
        if new:
            self.mask |= new
            self.authors.append((new, rule))


class FieldTrie:
    """The prefixes that all rules of a classifier have on one field.

    Raises:
        ValueError: OVS does not look up prefixes of this field.
    """

    __slots__ = ("_prereq", "field", "trie")

    def __init__(self, field: Field) -> None:
        if field.name not in PREFIX_LOOKUP_FIELDS:
            names = ", ".join(sorted(PREFIX_LOOKUP_FIELDS))
            raise ValueError(f"no prefix look-up on {field.name}: expected one of {names}")
        self.field = field
        self.trie = PrefixTrie(field.width)
        self._prereq = _PREREQS[field.prereq]

    def length_in(self, mask: int) -> int:
        """Length of the prefix that `mask` has on the field; 0 if it has none or is no prefix."""
        of_field = self.field.get(mask)
        length = of_field.bit_count()
        return length if of_field == self._prefix_ones(length) else 0

    def prefix_mask(self, length: int) -> int:
        """The first `length` bits of the field, in place."""
        return self._prefix_ones(length) << self.field.shift

    def _prefix_ones(self, length: int) -> int:
        return self.field.ones & ~(self.field.ones >> length)

    def lookup(self, key: int) -> tuple[int, int]:
        """As :meth:`PrefixTrie.lookup`; a packet without the field may match any length."""
        bits, wanted = self._prereq
        found = key & bits
        if found != wanted and not (wanted == _ANY and found):
            return 0, -1
        return self.trie.lookup(self.field.get(key))


class Subtable(Generic[R]):
    """All rules of a classifier that have the same mask.

    `rules` has, for each value, the rules with that value, highest priority first.
    """

    __slots__ = (
        "_best", "_checks", "_indices", "_n_best", "_ports", "_ports_length", "_ports_mask",
        "_tries", "mask", "max_priority", "rules",
    )  # fmt: skip

    def __init__(self, mask: int, tries: tuple[FieldTrie, ...]) -> None:
        self.mask = mask
        self.rules: dict[int, list[R]] = {}
        self.max_priority = 0
        self._n_best = 0  # rules that have max_priority
        self._best: R | None = None  # one of them, if known
        self._tries = tuple((trie, trie.length_in(mask)) for trie in tries)
        # Only segments with bits in them are looked up, the last of them in `rules` itself.
        segments = [mask & segment for segment in SEGMENT_MASKS if mask & segment] or [0]
        so_far = [sum(segments[: n + 1]) for n in range(len(segments))]
        self._indices: tuple[tuple[int, dict[int, int]], ...] = tuple((m, {}) for m in so_far[:-1])
        self._checks = tuple(self._tries_of(segment) for segment in segments)
        self._ports_mask = (mask & _PORTS_MASK) >> _PORTS_SHIFT
        low = self._ports_mask & -self._ports_mask
        self._ports_length = _PORTS_WIDTH + 1 - low.bit_length() if low else 0
        self._ports = PrefixTrie(_PORTS_WIDTH)

    def _tries_of(self, segment: int) -> tuple[tuple[int, int], ...]:
        """(number of the trie, our prefix length) of the tries to be asked before `segment`."""
        return tuple(
            (number, length)
            for number, (trie, length) in enumerate(self._tries)
            if length and segment & trie.field.mask
        )

    # -- rules come and go ----------------------------------------------------------------------

    def insert(self, rule: R) -> R | None:
        """Add `rule`; an equal one (same value, same priority) makes way and is returned."""
        value = rule.match.value & self.mask
        same_value = self.rules.get(value)
        if same_value is None:
            self._add_value(value, +1)
            same_value = self.rules[value] = []
        for at, other in enumerate(same_value):
            if rule.priority == other.priority:
                same_value[at] = rule
                if self._best is other:
                    self._best = rule
                return other
            if rule.priority > other.priority:
                same_value.insert(at, rule)
                break
        else:
            same_value.append(rule)
        if not self._n_best or rule.priority > self.max_priority:
            self.max_priority, self._n_best, self._best = rule.priority, 1, rule
        elif rule.priority == self.max_priority:
            self._n_best += 1
        return None

    def remove(self, value: int, priority: int) -> R | None:
        """Take out and return the rule with this value and priority, None if there is none."""
        value &= self.mask
        same_value = self.rules.get(value, [])
        rule = next((rule for rule in same_value if rule.priority == priority), None)
        if rule is None:
            return None
        same_value.remove(rule)
        if not same_value:
            del self.rules[value]
            self._add_value(value, -1)
        if rule is self._best:
            self._best = None
        if priority == self.max_priority:
            self._n_best -= 1
            if not self._n_best and self.rules:
                heads = [rules[0].priority for rules in self.rules.values()]
                self.max_priority = max(heads)
                self._n_best = heads.count(self.max_priority)
        return rule

    def _add_value(self, value: int, times: int) -> None:
        """Enter a value into indices and tries, or take it out (`times` +1 or -1)."""
        for mask, index in self._indices:
            n = index.get(value & mask, 0) + times
            if n:
                index[value & mask] = n
            else:
                del index[value & mask]
        for trie, length in self._tries:
            if length:
                _change(trie.trie, trie.field.get(value), length, times)
        if self._ports_length:
            _change(self._ports, self._ports_of(value), self._ports_length, times)

    def _ports_of(self, key: int) -> int:
        return key >> _PORTS_SHIFT & self._ports_mask

    @property
    def best(self) -> R:
        """A rule of the highest priority."""
        if self._best is None:
            top = self.max_priority
            self._best = next(r[0] for r in self.rules.values() if r[0].priority == top)
        return self._best

    # -- look-up --------------------------------------------------------------------------------

    def find(
        self, key: int, look: Look[R], answers: list[tuple[int, int] | None]
    ) -> list[R] | None:
        """The rules that match `key`, highest priority first, or None.

        Args:
            key: whole OpenFlow key.
            look: notes what had to be looked at.
            answers: what the tries said about this key, filled in as they are asked.
        """
        so_far = 0
        for checks, (mask, index) in zip(self._checks, self._indices, strict=False):
            if checks and self._skip(checks, key, look, answers):
                look.note(so_far, self.best)
                return None
            so_far = mask
            if key & mask not in index:
                look.note(so_far, self.best)
                return None
        if self._checks[-1] and self._skip(self._checks[-1], key, look, answers):
            look.note(so_far, self.best)
            return None
        found = self.rules.get(key & self.mask)
        if found is not None and look.hidden:
            found = look.visible(found)
        if found is not None:
            look.note(self.mask, found[0])
            return found
        looked = self.mask
        if self._ports_length:
            # As many port bits as it takes to see that no rule here has this pair of ports.
            bits, _ = self._ports.lookup(self._ports_of(key))
            unseen = self._ports_mask & ((1 << (_PORTS_WIDTH - bits)) - 1)
            looked &= ~(unseen << _PORTS_SHIFT)
        look.note(looked, self.best)
        return None

    def _skip(
        self,
        checks: tuple[tuple[int, int], ...],
        key: int,
        look: Look[R],
        answers: list[tuple[int, int] | None],
    ) -> bool:
        """Whether a trie says that no rule here matches, at no more than we would have to look."""
        for number, length in checks:
            trie = self._tries[number][0]
            answer = answers[number]
            if answer is None:
                answer = answers[number] = trie.lookup(key)
            bits, lengths = answer
            if lengths >> length & 1:
                continue
            prefix = trie.prefix_mask(bits)
            if bits <= length:
                look.note(prefix, self.best)
                return True
            if not prefix & ~look.mask:
                return True
        return False


def _change(trie: PrefixTrie, prefix: int, length: int, times: int) -> None:
    if times > 0:
        trie.insert(prefix, length)
    else:
        trie.remove(prefix, length)
