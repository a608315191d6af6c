"""The classifier by its own meaning: the best rule wins, and the mask is enough to know that."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovsct.openflow.actions import Action, Conjunction, Output
from ovsct.openflow.classifier import PREFIX_FIELDS, Classifier, Look
from ovsct.openflow.flow import Flow
from ovsct.openflow.match import Match
from ovsct.openflow.subtable import SEGMENT_MASKS
from ovsct.packet.fields import FIELDS, KEY_BITS, SLOTS

DL_TYPE = SLOTS["dl_type"].mask


@dataclass(frozen=True)
class Rule:
    """A rule with a name."""

    name: str
    priority: int
    match: Match
    actions: tuple[Action, ...] = ()


def match_on(**fields: int | tuple[int, int]) -> Match:
    match = Match()
    for name, wanted in fields.items():
        value, mask = wanted if isinstance(wanted, tuple) else (wanted, None)
        match = match.with_field(FIELDS[name], value, mask)
    return match


def ip(**fields: int | tuple[int, int]) -> Match:
    return match_on(eth_type=0x0800, **fields)


def filled(*rules: Rule, fields: str = "3.1") -> Classifier[Rule]:
    classifier: Classifier[Rule] = Classifier(PREFIX_FIELDS[fields])
    for rule in rules:
        assert classifier.insert(rule) is None
    return classifier


def look_up(classifier: Classifier[Rule], key: Match, mask: int = DL_TYPE) -> tuple[
    str | None, dict[str, int], list[str]
]:
    """(name of the rule, {slot: bits looked at}, names of the authors in turn)."""
    mask |= SLOTS["packet_type"].mask  # which every translation has looked at
    look: Look[Rule] = Look(mask)
    rule = classifier.lookup(key.value, look)
    seen = {name: slot.get(look.mask & ~mask) for name, slot in SLOTS.items()}
    return (
        rule.name if rule else None,
        {name: bits for name, bits in seen.items() if bits},
        [author.name for _, author in look.authors],
    )


# -- segments -----------------------------------------------------------------------------------


def test_every_bit_of_the_key_is_in_one_segment() -> None:
    assert sum(SEGMENT_MASKS) == (1 << KEY_BITS) - 1
    assert sum(mask.bit_count() for mask in SEGMENT_MASKS) == KEY_BITS
    for slot in SLOTS.values():
        assert [mask & slot.mask for mask in SEGMENT_MASKS].count(slot.mask) == 1


def test_a_segment_that_fails_hides_the_later_ones() -> None:
    rule = Rule("a", 1, ip(ct_mark=7, eth_src=1, ip_dst=(9, 0xF0F), tcp_flags=2))
    classifier = filled(rule)
    ones = {name: slot.get(slot.mask) for name, slot in SLOTS.items()}
    assert look_up(classifier, ip(ct_mark=6)) == (None, {"ct_mark": ones["ct_mark"]}, ["a"])
    assert look_up(classifier, ip(ct_mark=7, eth_src=2)) == (
        None, {"ct_mark": ones["ct_mark"], "dl_src": ones["dl_src"]}, ["a"],
    )  # fmt: skip
    name, seen, _ = look_up(classifier, ip(ct_mark=7, eth_src=1, ip_dst=8))
    assert name is None
    assert set(seen) == {"ct_mark", "dl_src", "nw_dst"}
    name, seen, _ = look_up(classifier, ip(ct_mark=7, eth_src=1, ip_dst=9))
    assert name is None
    assert set(seen) == {"ct_mark", "dl_src", "nw_dst", "tcp_flags"}


# -- tries --------------------------------------------------------------------------------------


def test_a_prefix_is_looked_at_only_as_far_as_it_differs() -> None:
    classifier = filled(Rule("a", 1, ip(ip_dst=(0x0A000000, 0xFFFFFF00), tcp_dst=80)))
    # 10.1.0.0 differs from 10.0.0.0/24 in its 16th bit.
    assert look_up(classifier, ip(ip_dst=0x0A010000)) == (None, {"nw_dst": 0xFFFF0000}, ["a"])


def test_a_trie_says_nothing_of_other_protocols() -> None:
    classifier = filled(
        Rule("a", 1, match_on(eth_type=0x0806, arp_tpa=(0x0A000000, 0xFFFFFF00))),
        Rule("b", 2, match_on(arp_tpa=(0x0B000000, 0xFFFFFF00))),
    )
    arp = match_on(eth_type=0x0806, arp_tpa=0x0C000000)
    assert look_up(classifier, arp)[1] == {"nw_dst": 0xFFFFFF00}
    assert look_up(classifier, ip(ip_dst=0x0C000000))[1] == {"nw_dst": 0xFC000000}


def test_a_longer_look_is_free_where_it_was_taken_before() -> None:
    """The trie of all rules may ask for more than a subtable has: only if that is seen already."""
    classifier = filled(
        Rule("long", 1, ip(ip_dst=(0x0A000001, 0xFFFFFFFF))),
        Rule("short", 2, match_on(ip_dst=(0xC0000000, 0xFF000000), eth_type=0x0800, nw_ttl=3)),
        Rule("none", 0, Match()),
    )
    key = ip(ip_dst=0x0A000000, nw_ttl=3)
    assert look_up(classifier, key)[1] == {"nw_dst": 0xFFFFFFFF, "nw_ttl": 0xFF}
    seen = DL_TYPE | SLOTS["nw_dst"].mask
    assert look_up(classifier, key, seen)[1] == {}


def test_ipv6_prefixes_are_looked_up_on_main_only() -> None:
    rule = Rule("a", 1, match_on(eth_type=0x86DD, ipv6_src=(0x20 << 120, 0xFFFF << 112)))
    key = match_on(eth_type=0x86DD, ipv6_src=0xFD << 120)
    assert look_up(filled(rule), key)[1] == {"ipv6_src": 0xFFFF << 112}
    assert look_up(filled(rule, fields="main"), key)[1] == {"ipv6_src": 1 << 127}


def test_only_fields_that_ovs_has_a_trie_for() -> None:
    with pytest.raises(ValueError, match="no prefix look-up on tcp_src: expected one of ct_ipv6"):
        Classifier((FIELDS["tcp_src"],))


def test_ports_are_looked_at_only_as_far_as_they_differ() -> None:
    classifier = filled(
        Rule("a", 1, ip(nw_proto=6, tcp_src=0x1000, tcp_dst=80, tcp_flags=2)),
        Rule("b", 1, ip(nw_proto=6, tcp_src=0x2000, tcp_dst=80, tcp_flags=2)),
    )
    key = ip(nw_proto=6, tcp_src=0x3000, tcp_dst=80, tcp_flags=2)
    assert look_up(classifier, key)[1] == {"nw_proto": 255, "tp_src": 0xF000, "tcp_flags": 0xFFF}
    # Here no source port is a prefix of all: the destination is behind it.
    key = ip(nw_proto=6, tcp_src=0x1000, tcp_dst=81, tcp_flags=2)
    assert look_up(classifier, key)[1] == {
        "nw_proto": 255, "tp_src": 0xFFFF, "tp_dst": 0xFFFF, "tcp_flags": 0xFFF,
    }  # fmt: skip


def test_icmp_types_and_ports_share_a_subtable() -> None:
    icmp = Rule("icmp", 1, ip(nw_proto=1, icmp_type=0))
    classifier = filled(icmp, Rule("udp", 3, ip(nw_proto=17, udp_src=2)))
    # Port 0 is type 0 as far as ports go, and only the protocol tells them apart.
    key = ip(nw_proto=17, udp_src=0)
    assert look_up(classifier, key)[1] == {"nw_proto": 255, "tp_src": 0xFFFF}
    assert classifier.find_exactly(icmp.match.value, icmp.match.mask, 1) is icmp
    assert look_up(classifier, ip(nw_proto=1, icmp_type=0))[0] == "icmp"
    assert classifier.remove(icmp) is icmp
    assert look_up(classifier, key)[1] == {"nw_proto": 255, "tp_src": 0xFFFE}


# -- authors ------------------------------------------------------------------------------------


def test_every_bit_has_an_author() -> None:
    classifier = filled(
        Rule("not hit", 10, ip(ct_mark=1)),
        Rule("beaten", 5, ip(ip_dst=9)),
        Rule("found", 7, ip(ip_src=5)),
        Rule("too low", 6, ip(nw_ttl=9)),
    )
    name, seen, authors = look_up(classifier, ip(ip_dst=9, ip_src=5, nw_ttl=9))
    assert name == "found"
    assert set(seen) == {"ct_mark", "nw_src"}
    assert authors == ["not hit", "found"]


def test_the_author_of_a_miss_is_the_best_rule_of_the_subtable() -> None:
    low, high = Rule("low", 1, ip(ct_mark=1)), Rule("high", 2, ip(ct_mark=2))
    classifier = filled(low, high)
    assert look_up(classifier, ip(ct_mark=3))[2] == ["high"]
    classifier.remove(high)
    assert look_up(classifier, ip(ct_mark=3))[2] == ["low"]
    classifier.insert(high)
    assert look_up(classifier, ip(ct_mark=3))[2] == ["high"]


# -- rules come and go --------------------------------------------------------------------------


def test_an_equal_rule_makes_way() -> None:
    old, new = Rule("old", 1, ip(ip_dst=9)), Rule("new", 1, ip(ip_dst=9))
    other = Rule("other", 2, ip(ip_dst=9))
    classifier = filled(old, other)
    assert classifier.insert(new) is old
    assert [rule.name for rule in classifier] == ["other", "new"]
    assert len(classifier) == 2
    match = new.match
    assert classifier.find_exactly(match.value, match.mask, 1) is new
    assert classifier.find_exactly(match.value, match.mask, 3) is None
    assert classifier.find_exactly(ip(ip_dst=8).value, match.mask, 1) is None
    assert classifier.find_exactly(match.value, match.mask >> 1, 1) is None


def test_removing_what_is_not_there() -> None:
    rule = Rule("a", 1, ip(ip_dst=9))
    classifier = filled(rule)
    for absent in (
        Rule("b", 2, ip(ip_dst=9)), Rule("c", 1, ip(ip_dst=8)), Rule("d", 1, ip(ip_src=9))
    ):  # fmt: skip
        with pytest.raises(KeyError, match="no such rule"):
            classifier.remove(absent)
    assert classifier.remove(Rule("the same", 1, ip(ip_dst=9))) is rule
    assert len(classifier) == 0
    assert look_up(classifier, ip(ip_dst=9)) == (None, {}, [])


def test_a_subtable_sinks_as_its_best_rules_go() -> None:
    best = [Rule(f"best{n}", 9, ip(ip_src=n)) for n in range(3)]
    next_best = [Rule(f"next{n}", 7, ip(ip_src=10 + n)) for n in range(2)]
    last = Rule("last", 1, ip(ip_src=20))
    other = Rule("other", 5, ip(nw_ttl=3))
    classifier = filled(*best, *next_best, last, other)
    for rule in (*best, *next_best):
        # nw_src is looked at before the rule that is found: its subtable may hold a better one.
        assert "nw_src" in look_up(classifier, ip(nw_ttl=3, ip_src=99))[1]
        assert classifier.remove(rule) is rule
    assert look_up(classifier, ip(nw_ttl=3, ip_src=99)) == ("other", {"nw_ttl": 255}, ["other"])


def test_of_equals_the_subtable_that_came_first_wins() -> None:
    a, b = Rule("a", 5, ip(nw_ttl=3)), Rule("b", 5, ip(ip_dscp=1))
    both = ip(nw_ttl=3, ip_dscp=1)
    assert look_up(filled(a, b), both)[0] == "a"
    assert look_up(filled(b, a), both)[0] == "b"


def test_the_last_subtable_fills_a_gap() -> None:
    first, gone = Rule("first", 9, ip(ct_mark=1)), Rule("gone", 5, ip(ip_src=1))
    a, b = Rule("a", 5, ip(nw_ttl=3)), Rule("b", 5, ip(ip_dscp=1))
    classifier = filled(first, gone, a, b)
    classifier.remove(gone)
    assert [rule.name for rule in classifier] == ["first", "b", "a"]


def test_a_bundle_puts_in_order_once() -> None:
    a, b = Rule("a", 5, ip(nw_ttl=3)), Rule("b", 5, ip(ip_dscp=1))
    b7, a7 = Rule("b7", 7, ip(ip_dscp=1)), Rule("a7", 7, ip(nw_ttl=3))
    one_by_one = filled(a, b, b7, a7)
    assert [rule.name for rule in one_by_one] == ["b", "b7", "a", "a7"]
    bundled = filled()
    with bundled.deferred():
        for rule in (a, b, b7, a7):
            bundled.insert(rule)
    assert [rule.name for rule in bundled] == ["a", "a7", "b", "b7"]


def test_overlap_needs_the_same_priority() -> None:
    rule = Rule("a", 5, ip(nw_ttl=3))
    classifier = filled(rule, Rule("low", 1, ip(ip_src=9)))
    assert classifier.rule_overlaps(Rule("b", 5, ip(ip_src=9)))
    assert not classifier.rule_overlaps(Rule("b", 5, ip(nw_ttl=4)))
    assert not classifier.rule_overlaps(Rule("b", 6, ip(ip_src=9)))
    wanted = ip(ip_src=9)
    assert classifier.overlap(wanted.value, wanted.mask, 5) is rule


def test_a_loose_match_finds_what_is_at_least_as_narrow() -> None:
    classifier = filled(
        Rule("a", 5, ip(nw_ttl=3)), Rule("b", 4, ip(nw_ttl=3, ip_src=1)),
        Rule("c", 3, ip(nw_ttl=4)), Rule("d", 2, Match()),
    )  # fmt: skip
    wanted = ip(nw_ttl=3)
    assert [r.name for r in classifier.loosely(wanted.value, wanted.mask)] == ["a", "b"]
    assert [r.name for r in classifier.loosely(0, 0)] == ["a", "c", "b", "d"]


def test_flows_are_rules() -> None:
    flow = Flow(priority=3, match=ip(ip_dst=9))
    classifier: Classifier[Flow] = Classifier()
    assert classifier.insert(flow) is None
    assert classifier.lookup(flow.match.value, Look()) is flow


# -- conjunctions -------------------------------------------------------------------------------


def test_a_conjunction_holds_when_all_its_clauses_do() -> None:
    def clause(of: int, n: int = 2) -> tuple[Action, ...]:
        return (Conjunction(1, of, n),)

    classifier = filled(
        Rule("src", 5, ip(ip_src=1), clause(1)),
        Rule("dst", 5, ip(ip_dst=2), clause(2)),
        Rule("conj", 1, match_on(conj_id=1), (Output(1),)),
        Rule("else", 3, Match()),
    )
    # The packet is looked up again with its conj_id, and the best rule wins, whichever that is.
    assert look_up(classifier, ip(ip_src=1, ip_dst=2))[0] == "else"
    classifier.remove(Rule("", 3, Match()))
    name, seen, _ = look_up(classifier, ip(ip_src=1, ip_dst=2))
    assert name == "conj"
    assert seen["conj_id"] == FIELDS["conj_id"].ones
    assert look_up(classifier, ip(ip_src=1))[0] is None


# -- properties ---------------------------------------------------------------------------------

NAMES = ("ct_mark", "ip_src", "ip_dst", "nw_ttl", "tcp_dst", "tcp_flags")
values = st.sampled_from((0, 1, 2, 3))
one_match = st.dictionaries(
    st.sampled_from(NAMES), st.tuples(values, st.sampled_from((1, 2, 3, 0xFF, None))), max_size=3
)
tables = st.lists(st.tuples(st.integers(0, 3), one_match), max_size=12)
packets = st.fixed_dictionaries(dict.fromkeys(NAMES, values))


def table_of(rows: list[tuple[int, dict[str, tuple[int, int | None]]]]) -> Classifier[Rule]:
    classifier: Classifier[Rule] = Classifier()
    for number, (priority, fields) in enumerate(rows):
        match = match_on(eth_type=0x0800)
        for name, (value, low) in fields.items():
            ones = FIELDS[name].ones
            # Prefixes (all but the lowest bits) and odd masks alike.
            mask = ones if low is None else ones & ~low if name.startswith("ip") else low
            match = match.with_field(FIELDS[name], value & mask, mask)
        classifier.insert(Rule(str(number), priority, match))
    return classifier


@given(tables, packets)
def test_the_best_rule_wins(
    rows: list[tuple[int, dict[str, tuple[int, int | None]]]], packet: dict[str, int]
) -> None:
    classifier = table_of(rows)
    key = ip(**packet).value
    matching = [rule for rule in classifier if rule.match.matches(key)]
    rule = classifier.lookup(key, Look())
    assert (rule is None) == (not matching)
    if rule is not None:
        assert rule in matching
        assert rule.priority == max(other.priority for other in matching)


@given(tables, packets, packets)
def test_packets_that_agree_under_the_mask_get_the_same_rule(
    rows: list[tuple[int, dict[str, tuple[int, int | None]]]],
    packet: dict[str, int],
    other: dict[str, int],
) -> None:
    """What a megaflow needs of its mask."""
    classifier = table_of(rows)
    key = ip(**packet).value
    look: Look[Rule] = Look(DL_TYPE)
    rule = classifier.lookup(key, look)
    assert look.mask == DL_TYPE | sum(bits for bits, _ in look.authors)
    merged = key & look.mask | ip(**other).value & ~look.mask
    assert classifier.lookup(merged, Look(DL_TYPE)) is rule


@given(tables, st.data())
def test_removing_rules_leaves_a_table_without_them(
    rows: list[tuple[int, dict[str, tuple[int, int | None]]]], data: st.DataObject
) -> None:
    classifier = table_of(rows)
    kept = list(classifier)
    for rule in data.draw(st.lists(st.sampled_from(kept), unique=True)) if kept else []:
        assert classifier.remove(rule) is rule
        kept.remove(rule)
    assert sorted(rule.name for rule in classifier) == sorted(rule.name for rule in kept)
    key = ip(**data.draw(packets)).value
    fresh: Classifier[Rule] = Classifier()
    for rule in classifier:
        fresh.insert(rule)
    looks: tuple[Look[Rule], Look[Rule]] = (Look(DL_TYPE), Look(DL_TYPE))
    assert classifier.lookup(key, looks[0]) is fresh.lookup(key, looks[1])
    assert looks[0].mask == looks[1].mask
