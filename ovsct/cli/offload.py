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
from ovsct.report.offload import Shares, offload_report
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
def offload(
    scenario: str | None, events: str | None, port: int | None, lane: str, why: bool, **setup: Any
) -> None:
    """Say of every megaflow whether it is offloaded, and if not, why.

    Give a scenario file, or flows and events. At the end stands which share of the packets and
    bytes was handled where.
    """
    if scenario is not None:
        from ovsct.compare.scenario import read_scenario

        read = read_scenario(scenario)
        config, happenings = read.setup, read.happenings()
    elif events is not None:
        config = make_setup(events=events, port=port, **setup)
        happenings = read_events(events, port=port, known=config.ports)
    else:
        raise InputError("nothing to offload", hint="give a SCENARIO.yaml, or --flows and --events")
    for line in _report(config, lane, counted(happenings, lane), why):
        click.echo(line)


def _report(
    config: Setup, name: str, happenings: Iterable[Happening], why: bool
) -> Iterable[str]:
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
                follower.until(event.at)
        lane.collect()
        offloaded = {flow: each.lowered.ignored for flow, each in lane.offloaded.items()}
        style = Style(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
        yield from offload_report(offloaded, lane.refused, shares, style, why=why)
    finally:
        close(lane)
