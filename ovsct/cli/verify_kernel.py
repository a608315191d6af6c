"""``ovsct verify --against real-kernel``: TC rule sets through the model and a real kernel."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from ovsct.compare.case import Case
    from ovsct.compare.verdict import Difference
    from ovsct.compare.verify_kernel import KernelVerifier

MAX_EXAMPLES: Final = 5
"""Differences that are shrunk and shown; the others are counted."""


def verify_kernel(
    cases: int, seed: int, first: int, kernel: str | None, save: str | None
) -> int:
    """Run generated cases; the exit code: 1 if something differs.

    Raises:
        OvsctError: there is no such kernel here, or it died.
    """
    from ovsct.compare.verify_kernel import KernelVerifier, campaign

    began = monotonic()
    packets = differences = 0
    left_out: Counter[str] = Counter()
    with KernelVerifier(kernel) as verifier:
        click.echo(f"kernel {verifier.real.release}")
        for _, case, verdict in campaign(verifier, seed, range(first, first + cases)):
            packets += verdict.packets
            if verdict.left_out is not None:
                left_out[_kind(verdict.left_out)] += 1
            if verdict.difference is None:
                continue
            differences += 1
            if differences <= MAX_EXAMPLES:
                _show(verifier, case, verdict.difference, save)
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


def _show(
    verifier: KernelVerifier, case: Case, difference: Difference, save: str | None
) -> None:
    from ovsct.compare.verify_kernel import shorten, to_scenario

    shortest = shorten(verifier, case, difference.kind)
    found = verifier.run(shortest).difference or difference
    text = to_scenario(shortest, f"model and kernel differ in {found.kind}")
    click.echo("\n".join(f"# {line}" for line in found.lines()))
    click.echo(text)
    if save is not None:
        folder = Path(save)
        folder.mkdir(parents=True, exist_ok=True)
        name = "".join(letter if letter.isalnum() else "-" for letter in case.title)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
