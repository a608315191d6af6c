"""Shrinking: from a case that differs to a short one that still does.

Delta debugging (Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input): first over
packets, flows and groups, then inside: the parts of actions, of matches, of packet lines. Nothing
is known here of what a part means; what cannot be is refused by those that run it, and so kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from ovsct.compare.case import Case, Shot

Item = TypeVar("Item")

Still = Callable[[Case], bool]
"""Whether a case still shows what is looked for."""


class _Spent(Exception):
    """No more runs are allowed."""


def shrink(case: Case, still: Still, runs: int = 400) -> Case:
    """The shortest case found that is `still` of interest.

    Args:
        case: one that is.
        still: runs a case; it is asked at most `runs` times.
        runs: as said.
    """
    return _Shrinker(case, still, runs).best()


class _Shrinker:
    def __init__(self, case: Case, still: Still, runs: int) -> None:
        self.case = case
        self.still = still
        self.left = runs
        self.tried: set[Case] = {case}

    def best(self) -> Case:
        """Pass after pass until nothing goes any more, or no runs are left."""
        try:
            before = None
            while before != self.case:
                before = self.case
                for one_pass in _PASSES:
                    one_pass(self)
        except _Spent:
            pass
        return self.case

    def attempt(self, case: Case) -> bool:
        """Take over `case` if it is still of interest."""
        if case in self.tried:
            return False
        if not self.left:
            raise _Spent
        self.left -= 1
        self.tried.add(case)
        if self.still(case):
            self.case = case
            return True
        return False

    def minimize(
        self, items: Sequence[Item], with_items: Callable[[Sequence[Item]], Case]
    ) -> None:
        """Leave out ever smaller runs of `items`."""
        size = max(1, len(items) // 2)
        items = list(items)
        while items:
            at = 0
            while at < len(items):
                shorter = [*items[:at], *items[at + size :]]
                if self.attempt(with_items(shorter)):
                    items = shorter
                else:
                    at += size
            if size == 1:
                return
            size //= 2


def _shots(shrinker: _Shrinker) -> None:
    # What happens after the difference is of no use, so the end goes first.
    shots = shrinker.case.shots
    for keep in range(1, len(shots)):
        if shrinker.attempt(replace(shrinker.case, shots=shots[:keep])):
            break
    shrinker.minimize(
        shrinker.case.shots, lambda shots: replace(shrinker.case, shots=tuple(shots))
    )


def _places(case: Case) -> range:
    """The bridges of a case by number; one that is alone is number 0."""
    return range(max(1, len(case.bridges)))


def _texts(case: Case, key: str, place: int) -> tuple[str, ...]:
    """The lines under `key` (flows or groups) of one bridge."""
    texts: tuple[str, ...] = getattr(case.bridges[place] if case.bridges else case, key)
    return texts


def _with_texts(case: Case, key: str, place: int, texts: Sequence[str]) -> Case:
    change: dict[str, Any] = {key: tuple(texts)}
    if not case.bridges:
        return replace(case, **change)
    bridge = replace(case.bridges[place], **change)
    return replace(case, bridges=_with(case.bridges, place, bridge))


def _lines(shrinker: _Shrinker, key: str) -> None:
    for place in _places(shrinker.case):
        shrinker.minimize(
            _texts(shrinker.case, key, place),
            lambda texts, place=place: _with_texts(  # type: ignore[misc]
                shrinker.case, key, place, texts
            ),
        )


def _inside_lines(
    shrinker: _Shrinker, key: str, shorter_lines: Callable[[str], Iterator[str]]
) -> None:
    for place in _places(shrinker.case):
        for at in range(len(_texts(shrinker.case, key, place))):
            shorter = True
            while shorter:
                case = shrinker.case
                texts = _texts(case, key, place)
                shorter = any(
                    shrinker.attempt(_with_texts(case, key, place, _with(texts, at, text)))
                    for text in shorter_lines(texts[at])
                )


def _flows(shrinker: _Shrinker) -> None:
    _lines(shrinker, "flows")


def _groups(shrinker: _Shrinker) -> None:
    _lines(shrinker, "groups")


def _mode(shrinker: _Shrinker) -> None:
    if shrinker.case.fragments != "normal":
        shrinker.attempt(replace(shrinker.case, fragments="normal"))


def _inside_flows(shrinker: _Shrinker) -> None:
    _inside_lines(shrinker, "flows", shorter_flows)


def _inside_groups(shrinker: _Shrinker) -> None:
    _inside_lines(shrinker, "groups", _without_buckets)


def _inside_shots(shrinker: _Shrinker) -> None:
    for at in range(len(shrinker.case.shots)):
        shorter = True
        while shorter:
            shots = shrinker.case.shots
            shorter = any(
                shrinker.attempt(replace(shrinker.case, shots=_with(shots, at, shot)))
                for shot in _simpler_shots(shots[at])
            )


_PASSES: Final = (
    _shots, _flows, _groups, _shots, _inside_flows, _inside_groups, _mode, _inside_shots,
)  # fmt: skip


def _with(items: tuple[Item, ...], at: int, item: Item) -> tuple[Item, ...]:
    return (*items[:at], item, *items[at + 1 :])


# -- text ----------------------------------------------------------------------------------------


def split(text: str) -> list[str]:
    """The parts between the commas of `text` that stand in no brackets."""
    found, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            found.append(text[start:at])
            start = at + 1
    found.append(text[start:])
    return [part for part in found if part]


_KEPT: Final = ("table=", "priority=")
"""Parts of a flow that mean no less when they are gone."""


def shorter_flows(flow: str) -> Iterator[str]:
    """The flow without one of its actions, a part of one, or one of its matches."""
    head, _, tail = flow.partition("actions=")
    words = split(head)
    actions = split(tail)
    for shorter in _shorter(actions):
        yield ",".join([*words, f"actions={','.join(shorter) or 'drop'}"])
    for at, word in enumerate(words):
        if not word.startswith(_KEPT):
            yield ",".join([*words[:at], *words[at + 1 :], f"actions={tail}"])


def _shorter(actions: list[str]) -> Iterator[list[str]]:
    if actions != ["drop"]:
        for at in range(len(actions)):
            yield [*actions[:at], *actions[at + 1 :]]
    for at, action in enumerate(actions):
        name, bracket, inner = action.partition("(")
        if not bracket or not inner.endswith(")"):
            continue
        inner = inner[:-1]
        if name in ("clone", "write_actions"):
            yield [*actions[:at], *split(inner), *actions[at + 1 :]]
        for parts in _shorter(split(inner)):
            if name == "nat" and not parts:
                continue  # with commit it is what corrupts the program's connections
            text = f"{name}({','.join(parts)})" if parts else name
            yield [*actions[:at], text, *actions[at + 1 :]]


def _without_buckets(group: str) -> Iterator[str]:
    head, *buckets = group.split(",bucket=")
    for at in range(len(buckets)):
        yield ",bucket=".join([head, *buckets[:at], *buckets[at + 1 :]])
    for at, bucket in enumerate(buckets):
        key, _, tail = bucket.partition("actions=")
        for parts in _shorter(split(tail)):
            if parts:
                text = f"{key}actions={','.join(parts)}"
                yield ",bucket=".join([head, *buckets[:at], text, *buckets[at + 1 :]])


_PLAIN_WORDS: Final = 4
"""A packet line's kind and its two ends are not left out."""


def _simpler_shots(shot: Shot) -> Iterator[Shot]:
    words = shot.line.split()
    if not words or words[0] == "hex":
        return
    for size in (2, 1):
        for at in range(_PLAIN_WORDS, len(words) - size + 1):
            line = " ".join([*words[:at], *words[at + size :]])
            yield replace(shot, line=line)
