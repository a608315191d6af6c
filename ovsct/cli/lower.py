"""``ovsct lower``: what each lane has installed after some events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from ovsct.cli.lower_static import lower_static
from ovsct.cli.progress import progress
from ovsct.cli.setup import make_setup, setup_options
from ovsct.compare.events import read_events
from ovsct.compare.lockstep import Follower
from ovsct.errors import InputError
from ovsct.lane import Arrival, Lane
from ovsct.lanes.make import close, make

_LANE_FOR: Final = {
    "odp": "ovs-kernel", "tc": "tc", "tc-show": "tc", "tc-json": "tc", "nic": "hw",
}  # fmt: skip
"""The lane whose tables are asked for, by what is to be printed."""


@click.command()
@click.argument("flows")
@setup_options
@click.option("--events", metavar="FILE", help=".jsonl, .pcap or .pcapng.")
@click.option("--port", type=int, metavar="N", help="The port of a .pcap, which does not say it.")
@click.option(
    "--to", required=True, type=click.Choice(list(_LANE_FOR)),
    help="Datapath flows, tc commands, what tc filter show prints (in JSON too), or NIC rules.",
)  # fmt: skip
@click.option("--lane", metavar="LANE", help="Ask this lane instead of the usual one.")
@click.option(
    "--static", is_flag=True,
    help="The whole pipeline as a TC rule set that needs no OVS; no events are asked for.",
)  # fmt: skip
def lower(
    flows: str, events: str | None, port: int | None, to: str, lane: str | None, static: bool,
    **setup: Any,
) -> None:  # fmt: skip
    """Print what is installed after the events: datapath flows, tc commands, NIC rules.

    The tc commands are such as the real tc takes; what could not be lowered stands there as a
    comment with its reason. With --static the tables themselves become chains; what TC cannot say
    is an error that names the flow.
    """
    if static:
        config = make_setup(flows=flows, **setup)
        for line in lower_static(config, to):
            click.echo(line)
        return
    if events is None:
        raise InputError("Missing option '--events'", hint="or ask for the tables with --static")
    config = make_setup(flows=flows, events=events, port=port, **setup)
    name = lane or _LANE_FOR[to]
    running = make(name, config)
    try:
        lowered = _lowered(running, name, to)
        follower = Follower(running)
        with progress(events, name) as tick:
            happenings = read_events(events, port=port, tick=tick, known=config.ports)
            for event in happenings:
                if isinstance(event, Arrival):
                    follower.packet(event.at)
                    running.receive(event)
                else:
                    follower.until(event.at)
        for line in lowered():
            click.echo(line)
    finally:
        close(running)


def _lowered(lane: Lane, name: str, to: str) -> Callable[[], list[str]]:
    """What to call at the end; a lane that has no such table is refused before the run."""
    lowered = getattr(lane, "lowered", None)
    if lowered is not None:
        return lambda: list(lowered(to))
    dump = getattr(lane, "dump_flows", None)
    if to == "odp" and dump is not None:
        return lambda: list(dump())
    raise InputError(f"the lane {name} installs nothing of this kind", token=to)
