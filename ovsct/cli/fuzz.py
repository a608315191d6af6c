"""``ovsct fuzz``: campaigns of generated cases against a real ovs-vswitchd."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

import click

from ovsct.cli.progress import counted
from ovsct.errors import InputError

if TYPE_CHECKING:
    from ovsct.compare.campaign import Batch, Plan


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Of the generated cases.")
@click.option("--cases", type=click.IntRange(1), default=1000, show_default=True, metavar="N")
@click.option(
    "--corpus", default="corpus", show_default=True, metavar="DIR",
    help="Where the campaign's state and what it finds is kept.",
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, metavar="N",
              help="Processes to run on.")  # fmt: skip
@click.option("--executor", metavar="dask:ADDRESS", help="Run on a dask cluster instead.")
@click.option(
    "--profile", type=click.Choice(["all", "conntrack", "wide", "robust"]), default="all",
    show_default=True,
    help="What cases are mostly about; robust: noise for conntrack, which takes no judge.",
)
@click.option(
    "--lane", type=click.Choice(["ovs-userspace", "tc-script", "ovs-kernel", "tc"]),
    default="ovs-userspace", show_default=True,
    help="What is judged: by a real ovs-vswitchd, or by a real kernel.",
)
@click.option("--kernel", metavar="K", help="Which kernel judges, as for verify.")
def fuzz(
    seed: int, cases: int, corpus: str, jobs: int, executor: str | None, profile: str, lane: str,
    kernel: str | None,
) -> int:  # fmt: skip
    """Run a campaign: generated cases through a lane of the model and through its judge.

    Every difference is shrunk and kept in the corpus as a scenario, and those that are there
    already are tried first. A campaign that was killed goes on where it stopped. Ends with 1 if
    anything differs.

    With --profile robust, N inputs (random payloads of FTP, TFTP and ICMP errors, random options
    and lengths) go through conntrack of both dialects: nothing may be raised, no connection lost.
    """
    if profile == "robust":
        return _robust(seed, cases)
    from ovsct.compare.campaign import Corpus, Plan, campaign
    from ovsct.compare.coverage import Coverage

    began = monotonic()
    plan = Plan(seed, cases, profile, lane, kernel)
    kept = Corpus(Path(corpus), plan)
    if kept.state.cases:
        click.echo(f"goes on behind {kept.state.cases} cases", err=True)
    still = kept.still_different()
    for name in still:
        click.echo(f"{name}: still differs")
    before = kept.state.cases
    for batch in _seen(campaign(plan, kept, _submit(jobs, executor)), plan, len(kept.state.done)):
        for name in batch.found:
            click.echo(f"{os.path.join(corpus, name)}: differs")
    state = kept.state
    for line in Coverage(state.coverage).lines():
        click.echo(line)
    for reason, count in state.left_out.items():
        click.echo(f"{count} cases: {reason}")
    click.echo(
        f"{state.cases} cases ({state.cases - before} of them now), {state.packets} packets,"
        f" {len(state.found)} differences, {sum(state.left_out.values())} without a verdict,"
        f" {monotonic() - began:.0f} s"
    )
    return 1 if state.found or still else 0


_CHUNK: Final = 10_000
"""Inputs between two steps of the progress bar; each chunk has a seed of its own."""


def _robust(seed: int, count: int) -> int:
    from collections import Counter

    from ovsct.compare.robust import run

    began = monotonic()
    kinds: Counter[str] = Counter()
    chunks = range(0, count, _CHUNK)
    for number, first in enumerate(counted(chunks, f"{_CHUNK:,} inputs each")):
        trouble = run(seed * 1_000_003 + number, min(_CHUNK, count - first), kinds)
        if trouble is not None:
            click.echo(
                f"{trouble.dialect}, seed {trouble.seed}, input {trouble.number}: "
                f"{trouble.problem}: {trouble.frame}"
            )
            return 1
    for kind, inputs in sorted(kinds.items()):
        click.echo(f"{kind}: {inputs}")
    click.echo(f"{count} inputs, nothing raised, nothing lost, {monotonic() - began:.0f} s")
    return 0


def _submit(
    jobs: int, executor: str | None
) -> Callable[[Plan, Iterable[int]], Iterator[Batch]]:
    from ovsct.compare.campaign import here, on_dask, on_processes

    if executor is None:
        return here if jobs == 1 else on_processes(jobs)
    kind, colon, address = executor.partition(":")
    if kind != "dask" or not colon or not address:
        raise InputError("no such executor", token=executor, expected="dask:ADDRESS")
    return on_dask(address)


def _seen(batches: Iterable[Batch], plan: Plan, done: int) -> Iterable[Batch]:
    if not sys.stderr.isatty():
        return batches
    from tqdm import tqdm

    return tqdm(
        batches, desc="fuzz", total=plan.batches, initial=done, unit=" batches", leave=False
    )
