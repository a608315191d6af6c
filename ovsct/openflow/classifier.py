"""The classifier: which rule of a table a packet matches, and which bits it took to find out.

The bits are what a megaflow's mask is made of, so they must be those of OVS to the last one:
lib/classifier.c ``classifier_lookup__()`` and lib/pvector.c, for the order of the subtables.
docs/megaflow-masks.md tells it in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Generic

from ovsct.openflow.actions import Conjunction
from ovsct.openflow.subtable import FieldTrie, Look, R, Rule, Subtable, subtable_mask
from ovsct.packet.fields import FIELDS, SLOTS, Field

__all__ = ["PREFIX_FIELDS", "Classifier", "Look", "Rule"]

PREFIX_FIELDS: Final[Mapping[str, tuple[Field, ...]]] = {
    "3.1": (FIELDS["ip_dst"], FIELDS["ip_src"]),
    "main": (FIELDS["ip_dst"], FIELDS["ip_src"], FIELDS["ipv6_dst"], FIELDS["ipv6_src"]),
}
"""Fields whose prefixes are looked up first, unless Flow_Table:prefixes says otherwise.

OVS ofproto/ofproto.c ``default_prefix_fields``, by version.
"""

_CONJ_ID: Final = SLOTS["conj_id"]
_ALL_CLAUSES: Final = (1 << 64) - 1


class Classifier(Generic[R]):
    """The rules of one table.

    Args:
        prefix_fields: the fields with a prefix trie, in the order in which they are asked.

    Raises:
        ValueError: OVS looks up no prefixes on one of them.
    """

    __slots__ = ("_by_mask", "_deferred", "_order", "_subtables", "_tries")

    def __init__(self, prefix_fields: tuple[Field, ...] = PREFIX_FIELDS["3.1"]) -> None:
        self._tries = tuple(FieldTrie(field) for field in dict.fromkeys(prefix_fields))
        self._by_mask: dict[int, Subtable[R]] = {}
        self._subtables: list[Subtable[R]] = []  # by descending priority, once published
        self._order: dict[int, dict[int, R]] = {}  # by mask, by id, as they came
        self._deferred = False

    def __len__(self) -> int:
        return sum(len(rules) for rules in self._order.values())

    def __iter__(self) -> Iterator[R]:
        """All rules, subtables in the order of look-up, in each as they came (OVS cls_cursor)."""
        for subtable in self._subtables:
            yield from self._order[subtable.mask].values()

    # -- rules come and go ----------------------------------------------------------------------

    def insert(self, rule: R) -> R | None:
        """Add `rule`. One with the same value, mask and priority makes way and is returned."""
        mask = subtable_mask(rule.match.value, rule.match.mask)
        subtable = self._by_mask.get(mask)
        if subtable is None:
            subtable = self._by_mask[mask] = Subtable(mask, self._tries)
            self._order[mask] = {}
            self._subtables.append(subtable)
        replaced = subtable.insert(rule)
        if replaced is not None:
            del self._order[mask][id(replaced)]
        self._order[mask][id(rule)] = rule
        self._publish()
        return replaced

    def remove(self, rule: R) -> R:
        """Take out the rule with the value, mask and priority of `rule`, and return it.

        Raises:
            KeyError: there is none.
        """
        mask = subtable_mask(rule.match.value, rule.match.mask)
        subtable = self._by_mask.get(mask)
        removed = subtable.remove(rule.match.value, rule.priority) if subtable else None
        if subtable is None or removed is None:
            raise KeyError(f"no such rule: {rule}")
        del self._order[mask][id(removed)]
        if not subtable.rules:
            del self._by_mask[mask], self._order[mask]
            # OVS fills the gap with the last one: this decides who comes first among equals.
            last = self._subtables.pop()
            if last is not subtable:
                self._subtables[self._subtables.index(subtable)] = last
        self._publish()
        return removed

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Put the subtables in order only at the end of the block; look nothing up inside.

        As OVS does for a bundle, and when it removes several rules at once (classifier_defer()).
        It decides which of two subtables of equal priority comes first.
        """
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
            self._publish()

    def _publish(self) -> None:
        if not self._deferred:
            # Stable, as glibc's qsort() is for tables of this size.
            self._subtables.sort(key=lambda subtable: -subtable.max_priority)

    # -- questions ------------------------------------------------------------------------------

    def find_exactly(self, value: int, mask: int, priority: int) -> R | None:
        """The one rule with this value, mask and priority, if it is here."""
        subtable = self._by_mask.get(subtable_mask(value, mask))
        same_value = subtable.rules.get(value & mask, []) if subtable else []
        return next((rule for rule in same_value if rule.priority == priority), None)

    def overlap(self, value: int, mask: int, priority: int) -> R | None:
        """A rule of the same priority that some packet could match as well (check_overlap)."""
        for subtable in self._subtables:
            if subtable.max_priority < priority:
                break
            common = mask & subtable.mask
            for rule in self._order[subtable.mask].values():
                if rule.priority == priority and not (rule.match.value ^ value) & common:
                    return rule
        return None

    def rule_overlaps(self, rule: R) -> bool:
        """Whether a packet could match both `rule` and one in here of the same priority."""
        return self.overlap(rule.match.value, rule.match.mask, rule.priority) is not None

    def loosely(self, value: int, mask: int) -> Iterator[R]:
        """All rules that match on at least these bits with these values, in order of iteration.

        OpenFlow's non-strict match (OVS cls_rule_is_loose_match()).
        """
        for subtable in self._subtables:
            if mask & ~subtable.mask:
                continue
            for rule in self._order[subtable.mask].values():
                if not (rule.match.value ^ value) & mask:
                    yield rule

    # -- look-up --------------------------------------------------------------------------------

    def lookup(self, key: int, look: Look[R]) -> R | None:
        """The rule of highest priority that matches `key`.

        Args:
            key: whole OpenFlow key.
            look: its mask is what had been un-wildcarded so far; takes in what this look-up adds,
                and who caused it.
        """
        return _LookUp(self._subtables, len(self._tries), key, look).run()


class _LookUp(Generic[R]):
    """One look-up.

    A rule with conjunction() is a soft match: whether its conjunction holds is known only when
    enough others were seen. All other matches are hard.
    """

    __slots__ = ("hard", "key", "look", "n_tries", "soft", "subtables")

    def __init__(
        self, subtables: list[Subtable[R]], n_tries: int, key: int, look: Look[R]
    ) -> None:
        self.subtables = subtables
        self.n_tries = n_tries
        self.key = key
        self.look = look
        self.hard: R | None = None
        # A soft match: the rules of one value, and the index of the one in question. None: a gap.
        self.soft: list[tuple[list[R], int] | None] = []

    def run(self) -> R | None:
        """Find the rule, conjunctions included."""
        self._search(with_soft=True)
        while self._drop_beaten():
            top = max(_priority(match) for match in self.soft if match is not None)
            rule = self._conjunctive(top)
            if rule is not None:
                return rule
            self._step_down(top)
        return self.hard

    def _search(self, *, with_soft: bool) -> None:
        answers: list[tuple[int, int] | None] = [None] * self.n_tries
        best = None
        for subtable in self.subtables:
            if best is not None and subtable.max_priority <= best:
                break
            found = subtable.find(self.key, self.look, answers)
            if found is None or (best is not None and found[0].priority <= best):
                continue
            if not _conjunctions(found[0]):
                self.hard = found[0]
                best = found[0].priority
            elif with_soft:
                self.soft.append((found, 0))

    def _drop_beaten(self) -> bool:
        """Forget soft matches that are no more, or that a hard one beats. False: none are left."""
        at = 0
        while at < len(self.soft):
            match = self.soft[at]
            if match is not None and (self.hard is None or _priority(match) > self.hard.priority):
                at += 1
                continue
            # OVS fills the gap with the last: this decides which conjunction is tried first.
            last = self.soft.pop()
            if at < len(self.soft):
                self.soft[at] = last
        return bool(self.soft)

    def _conjunctive(self, priority: int) -> R | None:
        """The conj_id rule of the first conjunction that holds among soft matches of `priority`."""
        candidates = [match for match in self.soft if match and _priority(match) == priority]
        clauses: dict[int, int] = {}
        for rules, at in candidates:
            conj_id = _complete(_conjunctions(rules[at]), len(candidates), clauses)
            if conj_id is not None:
                nested = _LookUp(
                    self.subtables, self.n_tries, _CONJ_ID.put(self.key, conj_id), self.look
                )
                nested._search(with_soft=False)
                if nested.hard is not None:
                    return nested.hard
        return None

    def _step_down(self, priority: int) -> None:
        """Go from soft matches of `priority` to the next rule of the same value, if any."""
        for number, match in enumerate(self.soft):
            if match is None or _priority(match) != priority:
                continue
            rules, at = match
            following = rules[at + 1] if at + 1 < len(rules) else None
            if following is not None and _conjunctions(following):
                self.soft[number] = (rules, at + 1)
                continue
            self.soft[number] = None
            if following is not None and (
                self.hard is None or following.priority > self.hard.priority
            ):
                self.hard = following


def _priority(match: tuple[list[R], int]) -> int:
    rules, at = match
    return rules[at].priority


def _conjunctions(rule: Rule) -> list[Conjunction]:
    return [action for action in rule.actions if isinstance(action, Conjunction)]


def _complete(
    conjunctions: list[Conjunction], n_soft: int, clauses: dict[int, int]
) -> int | None:
    """Enter one rule's clauses; the id of the first conjunction that has all of its own now."""
    for conjunction in conjunctions:
        if conjunction.n_clauses > n_soft:
            continue
        of_id = conjunction.conj_id
        # The bits above the conjunction's own count as there. (OVS shifts by n_clauses & 63: with
        # 64 clauses, all of them do.)
        start = _ALL_CLAUSES << (conjunction.n_clauses & 63) & _ALL_CLAUSES
        clauses[of_id] = clauses.get(of_id, start) | 1 << (conjunction.clause - 1)
        if clauses[of_id] == _ALL_CLAUSES:
            return of_id
    return None
