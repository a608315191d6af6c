"""``ovsct diff``: lanes in lock step, where they differ, and why."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from ovsct.cli import state
from ovsct.cli.progress import counted
from ovsct.cli.setup import flows_option, make_setup, only_scenario, setup_options, warn
from ovsct.cli.state import conntrack_in_option
from ovsct.compare.diverge import Divergence
from ovsct.compare.events import Happening, read_events
from ovsct.compare.survey import Survey
from ovsct.errors import InputError
from ovsct.lane import Arrival, Connection, Lane
from ovsct.lanes.make import Setup, factory
from ovsct.report.tally import Tally
from ovsct.report.text import Style, divergence_text, packet_table, tally_table

if TYPE_CHECKING:
    from ovsct.compare.expect import Expect

DIFFERENT: Final = 1
SHOWN: Final = 60
"""Packets up to which each gets a line of its own."""

Happenings = Callable[[], Iterable[Happening]]


@dataclass(frozen=True, slots=True)
class Job:
    """What to compare."""

    title: str
    shows: str
    setup: Setup
    lanes: tuple[str, ...]
    happenings: Happenings
    expect: Expect | None


@click.command()
@click.argument("scenario", required=False, metavar="[SCENARIO.yaml]")
@flows_option
@setup_options
@click.option("--events", metavar="FILE", help=".jsonl, .pcap or .pcapng.")
@click.option("--port", type=int, metavar="N", help="The port of a .pcap, which does not say it.")
@click.option("--lanes", metavar="A,B,...", help="Lanes to compare. Default: ovs-kernel,tc,hw.")
@conntrack_in_option
@click.option(
    "--limit", type=click.IntRange(0), default=10, show_default=True, metavar="N",
    help="Divergences to explain; all are counted.",
)  # fmt: skip
@click.option("--steps/--no-steps", default=True, help="Show each lane's steps. Default: yes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a divergence, nothing else.")
@click.option(
    "--check", is_flag=True,
    help="Exit with 0 if the scenario shows what it expects, with 1 if not.",
)  # fmt: skip
def diff(
    scenario: str | None,
    events: str | None,
    port: int | None,
    lanes: str | None,
    conntrack_in: str | None,
    limit: int,
    steps: bool,
    as_json: bool,
    check: bool,
    **setup: Any,
) -> int:
    """Run the same packets through several lanes and say where they differ, and why.

    Give a scenario file, or flows and events. The first lane is the one that others are held
    against. Exit code 0: all alike; 1: a divergence.
    """
    names = _names(lanes)
    if scenario is not None:
        only_scenario(setup, events, port)
        job = _scenario_job(scenario, names)
    else:
        job = _events_job(events, port, names, setup)
    if check and job.expect is None:
        raise InputError("--check needs a scenario that says what it expects", file=scenario)
    watched = {n for packets in job.expect.via.values() for n in packets} if job.expect else ()
    connections = state.read_dump(conntrack_in)
    makers = {name: _begun(name, job.setup, connections, conntrack_in) for name in job.lanes}
    survey = Survey(makers, limit, watched)
    if as_json:
        found = _as_json(job, survey)
    else:
        found = _as_text(job, survey, steps, _style())
    if check and job.expect is not None:
        return DIFFERENT if _unmet(job.expect, survey, found) else 0
    return 0 if survey.alike else DIFFERENT


def _begun(
    name: str, setup: Setup, connections: Sequence[Connection], file: str | None
) -> Callable[[bool], Lane]:
    """How to make a lane that begins with `connections`."""
    make = factory(name, setup)

    def begun(trace: bool) -> Lane:
        lane = make(trace)
        state.begin_with(lane, connections, file)
        return lane

    return begun


def _names(lanes: str | None) -> tuple[str, ...] | None:
    if lanes is None:
        return None
    names = tuple(name.strip() for name in lanes.split(",") if name.strip())
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError("--lanes takes two or more different lanes", token=lanes)
    return names


def _scenario_job(path: str, lanes: tuple[str, ...] | None) -> Job:
    from ovsct.compare.scenario import read_scenario

    scenario = read_scenario(path)
    setup = scenario.setup
    warn(setup)
    return Job(
        scenario.title, scenario.shows, setup, lanes or scenario.lanes,
        scenario.happenings, scenario.expect if lanes is None else None,
    )  # fmt: skip


def _events_job(
    events: str | None, port: int | None, lanes: tuple[str, ...] | None, setup: dict[str, Any]
) -> Job:
    if events is None:
        raise InputError("nothing to compare", hint="give a SCENARIO.yaml, or --flows and --events")
    if events == "-":
        raise InputError(
            "diff goes through the events twice, so they cannot come from standard input",
            hint="save them to a file first",
        )
    config = make_setup(events=events, port=port, **setup)

    def happenings() -> Iterable[Happening]:
        return read_events(events, port=port, known=config.ports)

    return Job("", "", config, lanes or ("ovs-kernel", "tc", "hw"), happenings, None)


def _style() -> Style:
    """Colours on a terminal, unless the environment says no (https://no-color.org)."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return Style(wanted and os.environ.get("TERM") != "dumb")


def _as_json(job: Job, survey: Survey) -> list[Divergence]:
    from ovsct.report.json import divergence_line

    for _ in counted(survey.run(job.happenings()), "comparing"):
        pass
    found = []
    for divergence in survey.divergences(job.happenings()):
        sys.stdout.write(divergence_line(divergence))
        found.append(divergence)
    return found


def _as_text(job: Job, survey: Survey, steps: bool, style: Style) -> list[Divergence]:
    tallies = {name: Tally() for name in job.lanes}
    rows = []
    for row in counted(survey.run(job.happenings()), "comparing"):
        for tally, taken in zip(tallies.values(), row.taken, strict=True):
            if taken.outcome is not None:
                tally.add(taken.outcome)
        if survey.packets <= SHOWN and (isinstance(row.happening, Arrival) or not row.alike):
            rows.append(row)
    if job.title:
        click.echo(style.bold(job.title))
        click.echo(job.shows.strip() + "\n")
    if survey.packets <= SHOWN:
        click.echo(packet_table(job.lanes, rows, style) + "\n")
    found = []
    for divergence in survey.divergences(counted(job.happenings(), "explaining")):
        click.echo(divergence_text(divergence, steps=steps, style=style) + "\n")
        found.append(divergence)
    click.echo(tally_table(tallies) + "\n")
    for line in _verdict(job, survey, found, style):
        click.echo(line)
    return found


def _verdict(
    job: Job, survey: Survey, found: Sequence[Divergence], style: Style
) -> Iterable[str]:
    if survey.alike:
        yield style.green(f"all lanes alike: {survey.packets} packets")
    else:
        count = len(survey.differ) + survey.released
        causes = dict.fromkeys(divergence.cause.value for divergence in found)
        text = f"{count} of {survey.packets} packets differ"
        if len(found) < count:
            text += f", {len(found)} explained"
        yield style.red(f"{text}: {', '.join(causes)}" if causes else text)
    if job.expect is not None:
        unmet = _unmet(job.expect, survey, found)
        yield style.red(f"not as the scenario expects: {unmet}") if unmet else "as expected"


def _unmet(expect: Expect, survey: Survey, found: Sequence[Divergence]) -> str:
    """What of a scenario's expectation did not come true, in words; nothing if all did."""
    if tuple(survey.differ) != expect.differ:
        wanted = ", ".join(map(str, expect.differ)) or "none"
        return f"packets {', '.join(map(str, survey.differ)) or 'none'} differ, not {wanted}"
    causes = tuple(dict.fromkeys(divergence.cause for divergence in found))
    if len(found) == len(survey.differ) and causes != expect.causes:
        return f"the causes are {', '.join(causes)}, not {', '.join(expect.causes)}"
    return next(expect.unmet_via(survey.seen), "")
