"""``ovsct offload``: which megaflows are offloaded, and why the others are not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from ovsct.cli.progress import counted
from ovsct.cli.setup import flows_option, make_setup, setup_options
from ovsct.compare.events import Happening, read_events
from ovsct.compare.lockstep import Follower
from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.lanes.make import Setup, close, make
from ovsct.lanes.tc import TcLane
from ovsct.report.offload import Offload, Shares, offload_report
from ovsct.report.text import Style


@click.command()
@click.argument("scenario", required=False, metavar="[SCENARIO.yaml]")
@flows_option
@setup_options
@click.option("--events", metavar="FILE", help=".jsonl, .pcap or .pcapng.")
@click.option("--port", type=int, metavar="N", help="The port of a .pcap, which does not say it.")
@click.option(
    "--lane", type=click.Choice(["tc", "hw"]), default="tc", show_default=True,
    help="TC in software, or with a NIC.",
)  # fmt: skip
@click.option(
    "--why", is_flag=True,
    help="For each that is not: the table and flow behind every mask bit in the way.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True,
    help="Exit with 0 if the scenario shows what it expects, with 1 if not.",
)  # fmt: skip
def offload(
    scenario: str | None,
    events: str | None,
    port: int | None,
    lane: str,
    why: bool,
    check: bool,
    **setup: Any,
) -> int:
    """Say of every megaflow whether it is offloaded, and if not, why.

    Give a scenario file, or flows and events. At the end stands which share of the packets and
    bytes was handled where.
    """
    expect = None
    if scenario is not None:
        from ovsct.compare.scenario import read_scenario

        read = read_scenario(scenario)
        config, happenings, expect = read.setup, read.happenings(), read.expect
    elif events is not None:
        config = make_setup(events=events, port=port, **setup)
        happenings = read_events(events, port=port, known=config.ports)
    else:
        raise InputError("nothing to offload", hint="give a SCENARIO.yaml, or --flows and --events")
    if check and (expect is None or not expect.about_offload):
        raise InputError(
            "--check needs a scenario that says what it expects of the offload", file=scenario
        )
    if check and expect is not None and expect.not_in_nic is not None:
        lane = "hw"
    style = Style(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    found, shares = _run(config, lane, counted(happenings, lane))
    for line in offload_report(found, shares, style, why=why):
        click.echo(line)
    if not check or expect is None:
        return 0
    unmet = list(expect.unmet_by_offload(
        (refusal.reason for refusal in found.refused.values()),
        found.blamed(),
        (note.ignored for notes in found.in_tc.values() for note in notes),
        (each.reason for each in (found.not_in_nic or {}).values()),
    ))  # fmt: skip
    click.echo(style.red(f"not as the scenario expects: {unmet[0]}") if unmet else "as expected")
    return 1 if unmet else 0


def _run(
    config: Setup, name: str, happenings: Iterable[Happening]
) -> tuple[Offload, Shares]:
    """What became of the megaflows after everything that happens, and who handled how much."""
    lane = make(name, config)
    assert isinstance(lane, TcLane)
    try:
        # Megaflows that age out while the capture is still running are told of, too.
        lane.datapath.max_idle = float("inf")
        follower = Follower(lane)
        shares = Shares()
        for event in happenings:
            if isinstance(event, Arrival):
                follower.packet(event.at)
                shares.add(event.frame, lane.receive(event))
            else:
                follower.follow(event)
        lane.collect()
        return Offload.of(lane), shares
    finally:
        close(lane)
