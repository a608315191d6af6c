"""``ovsct verify``: the model against a real ovs-vswitchd."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

import click

from ovsct.errors import InputError

if TYPE_CHECKING:
    from ovsct.compare.case import Case
    from ovsct.compare.verdict import Difference
    from ovsct.compare.verify import Verifier

JUDGES: Final = ("real-ovs", "real-kernel")
MAX_EXAMPLES: Final = 5
"""Differences that are shrunk and shown; the others are counted."""


@click.command()
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--against", type=click.Choice(JUDGES), required=True, help="Who judges.")
@click.option("--flows", metavar="FILE", help="Flows to verify with --events.")
@click.option("--groups", metavar="FILE", help="Groups, as ovs-ofctl add-groups takes them.")
@click.option("--events", metavar="FILE", help="Packets: .jsonl, .pcap or .pcapng.")
@click.option("--port", type=int, metavar="N", help="The port of a .pcap, which does not say it.")
@click.option("--cases", type=click.IntRange(1), metavar="N", help="Generate so many cases.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of generated cases.")
@click.option("--first", type=click.IntRange(0), default=0, help="Number of the first case.")
@click.option(
    "--profile", type=click.Choice(["all", "conntrack", "wide"]), default="all", show_default=True,
    help="What generated cases are mostly about.",
)
@click.option(
    "--kernel", metavar="K",
    help="Against real-kernel: 6.1, 6.12, uml:V, qemu:V, a path, or netns for the host's own, which"
    " takes root. Default: the first found.",
)  # fmt: skip
@click.option(
    "--refusals", is_flag=True,
    help="Generate flows, groups and meters that are wrong, and compare who refuses them.",
)  # fmt: skip
@click.option(
    "--lane", type=click.Choice(["tc-script", "ovs-kernel", "tc"]),
    help="Against real-kernel: what is verified. Default: tc-script.",
)
@click.option("--every-packet", is_flag=True, help="Compare state after every packet.")
@click.option("--save", metavar="DIR", help="Write the shortest cases that differ there.")
def verify(
    scenarios: tuple[str, ...],
    against: str,
    flows: str | None,
    groups: str | None,
    events: str | None,
    port: int | None,
    cases: int | None,
    seed: int,
    first: int,
    profile: str,
    kernel: str | None,
    refusals: bool,
    lane: str | None,
    every_packet: bool,
    save: str | None,
) -> int:
    """Run the same packets through the model and a real program, and compare.

    Against real-ovs: outputs, packet-ins, connections, datapath flows and flow counters; what is
    verified is given by scenario files, by --flows and --events, or by --cases; with --refusals
    it is lines that are wrong, and the errors that they get. Against real-kernel, generated cases
    (--cases): TC rule sets (--lane tc-script), or flows and groups in a real ovs-vswitchd over the
    kernel's datapath (ovs-kernel) or with hw-offload (tc), with outputs, connections, datapath
    flows, filters and counters. A difference is shrunk and printed as a scenario; the command then
    ends with 1.
    """
    if against == "real-kernel":
        others = scenarios or flows or events or every_packet or refusals
        if cases is None or others:
            raise InputError(
                "real-kernel judges generated cases", hint="give --cases N, --seed and --kernel"
            )
        from ovsct.cli.verify_kernel import verify_kernel

        return verify_kernel(
            lane or "tc-script", cases, seed, first, profile, kernel, save
        )
    for name, value in (("--kernel", kernel), ("--lane", lane)):
        if value is not None:
            raise InputError(f"{name} goes with --against real-kernel", token=value)
    from ovsct.compare.generate import Profile, generate
    from ovsct.compare.verify import Verifier

    given = bool(scenarios) + (cases is not None) + (flows is not None or events is not None)
    if given != 1:
        raise InputError(
            "say what to verify in one way", hint="scenario files, --flows and --events, or --cases"
        )
    if refusals:
        if cases is None:
            raise InputError("--refusals goes with generated lines", hint="give --cases N")
        return _refusals(cases, seed, first)
    if cases is not None:
        numbers = range(first, first + cases)
        source: Iterable[Case] = (
            generate(seed, number, Profile(profile)) for number in numbers
        )
        total = cases
    elif scenarios:
        source = _scenarios(scenarios)
        total = len(scenarios)
    else:
        source = [_from_files(flows, groups, events, port)]
        total = 1
    tally = _Tally(save)
    with Verifier(every_packet=every_packet) as verifier:
        for case in _seen(source, total):
            tally.take(verifier, case)
    tally.summary()
    return 1 if tally.differences else 0


def _refusals(cases: int, seed: int, first: int) -> int:
    from ovsct.compare.generate_refused import generate_refused
    from ovsct.compare.refusals import Judgement, Refusals, RefusalTally

    tally, began = RefusalTally(), monotonic()
    with Refusals() as refusals:
        for number in range(first, first + cases):
            finding = refusals.run(generate_refused(seed, number))
            tally.take(finding)
            if finding.judgement in (Judgement.DIFFERENT, Judgement.NO_PLACE):
                click.echo(f"# seed {seed}, line {number}: {finding.judgement}")
                click.echo("\n".join(refusals.shortest(finding).lines()))
    for line in tally.lines():
        click.echo(line)
    click.echo(
        f"{tally.attempts} lines, {tally.errors['taken']} taken by the program,"
        f" {tally.differences} differences, {tally.judged[Judgement.STRICTER]} bent silently,"
        f" {tally.judged[Judgement.NOT_MODELLED]} not modelled, {monotonic() - began:.0f} s"
    )
    return 1 if tally.differences else 0


def _seen(cases: Iterable[Case], total: int) -> Iterable[Case]:
    """The same cases, with a bar if somebody would see it."""
    if not sys.stderr.isatty():
        return cases
    from tqdm import tqdm

    return tqdm(cases, desc="verify", total=total, unit=" cases", delay=1, leave=False)


def _scenarios(paths: tuple[str, ...]) -> Iterator[Case]:
    from ovsct.compare.case import from_scenario
    from ovsct.compare.scenario import read_scenario

    for path in paths:
        yield from_scenario(read_scenario(path), path)


def _from_files(
    flows: str | None, groups: str | None, events: str | None, port: int | None
) -> Case:
    from ovsct.cli.setup import make_setup
    from ovsct.compare.case import from_setup
    from ovsct.compare.events import read_events

    if flows is None or events is None:
        raise InputError("--flows and --events go together", hint="give both")
    setup = make_setup(
        flows=flows, groups=groups, tc_script=None, ports=None, settings=(), events=events,
        port=port,
    )  # fmt: skip
    return from_setup(setup, read_events(events, port=port), title=f"{flows} and {events}")


class _Tally:
    """What came of the cases so far."""

    def __init__(self, save: str | None) -> None:
        from ovsct.compare.coverage import Coverage

        self.save = save
        self.began = monotonic()
        self.cases = 0
        self.packets = 0
        self.differences = 0
        self.left_out: dict[str, int] = {}
        self.coverage = Coverage()

    def take(self, verifier: Verifier, case: Case) -> None:
        """Run one case, and show how it differs if it does."""
        verdict = verifier.run(case)
        self.cases += 1
        self.packets += verdict.packets
        self.coverage.add(verdict.coverage)
        for reason in verdict.reasons():
            self.left_out[reason] = self.left_out.get(reason, 0) + 1
        if verdict.difference is not None:
            self.differences += 1
            if self.differences <= MAX_EXAMPLES:
                self._show(verifier, case, verdict.difference)
            else:
                click.echo(f"{case.title}: {verdict.difference.kind} differ")

    def _show(self, verifier: Verifier, case: Case, difference: Difference) -> None:
        from ovsct.compare.case import to_yaml
        from ovsct.compare.shrink import shrink

        shortest = shrink(case, verifier.still(difference))
        found = verifier.run(shortest).difference or difference
        text = to_yaml(shortest, f"model and program differ in {found.kind}")
        click.echo("\n".join(f"# {line}" for line in found.lines()))
        click.echo(text)
        if self.save is not None:
            folder = Path(self.save)
            folder.mkdir(parents=True, exist_ok=True)
            name = "".join(letter if letter.isalnum() else "-" for letter in case.title)
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")

    def summary(self) -> None:
        """One line of counts, and what was reached."""
        for line in self.coverage.lines():
            click.echo(line)
        for reason, count in self.left_out.items():
            click.echo(f"{count} cases: {reason}")
        click.echo(
            f"{self.cases} cases, {self.packets} packets, {self.differences} differences,"
            f" {sum(self.left_out.values())} without a verdict, {monotonic() - self.began:.0f} s"
        )

