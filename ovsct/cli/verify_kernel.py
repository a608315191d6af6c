"""``ovsct verify --against real-kernel``: generated cases of a lane."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from ovsct.compare.case import Case
    from ovsct.compare.judges import Judge
    from ovsct.compare.verdict import Difference

MAX_EXAMPLES: Final = 5
"""Differences that are shrunk and shown; the others are counted."""


def verify_kernel(
    lane: str, cases: int, seed: int, first: int, profile: str, kernel: str | None,
    save: str | None,
) -> int:  # fmt: skip
    """Run generated cases; the exit code: 1 if something differs.

    Raises:
        OvsctError: there is no such kernel here, or it died.
    """
    from ovsct.compare.generate import Profile
    from ovsct.compare.judges import judge_of

    began = monotonic()
    packets = differences = 0
    left_out: Counter[str] = Counter()
    with judge_of(lane, kernel, Profile(profile)) as judge:
        click.echo(judge.who)
        for number in range(first, first + cases):
            case = judge.case(seed, number)
            verdict = judge.run(case)
            packets += verdict.packets
            left_out.update(_kind(reason) for reason in verdict.reasons())
            if verdict.difference is None:
                continue
            differences += 1
            if differences <= MAX_EXAMPLES:
                _show(judge, case, verdict.difference, save)
            else:
                click.echo(f"{case.title}: {verdict.difference.kind} differ")
    for reason, count in left_out.most_common():
        click.echo(f"left out {count}: {reason}")
    click.echo(
        f"{cases} cases, {packets} packets, {differences} differences,"
        f" {left_out.total()} left out, {monotonic() - began:.0f} s"
    )
    return 1 if differences else 0


def _kind(reason: str) -> str:
    """The reason without the place in the case."""
    return "refused by both" if reason.startswith("refused by both") else reason


def _show(judge: Judge, case: Case, difference: Difference, save: str | None) -> None:
    shortest = judge.shorten(case, difference)
    found = judge.run(shortest).difference or difference
    text = judge.text(shortest, found)
    click.echo("\n".join(f"# {line}" for line in found.lines()))
    click.echo(text)
    if save is not None:
        folder = Path(save)
        folder.mkdir(parents=True, exist_ok=True)
        name = "".join(letter if letter.isalnum() else "-" for letter in case.title)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
