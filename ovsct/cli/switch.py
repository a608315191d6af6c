"""``ovsct switch``: a modelled bridge that ovs-ofctl, ovs-appctl and controllers can talk to."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ovsct.cli.setup import parse_ports, read_text
from ovsct.lanes.make import Setup, Text, make

if TYPE_CHECKING:
    from ovsct.agent.switch import Sockets
    from ovsct.lanes.ovs import OvsLane


@click.command()
@click.option("--bridge", default="br0", show_default=True, metavar="NAME", help="Its name.")
@click.option(
    "--ports", default="1-4", show_default=True, metavar="PORTS",
    help="Its ports: a number of them, 1-4 or 1,3,7-9.",
)  # fmt: skip
@click.option(
    "--lane", default="ovs-userspace", show_default=True, metavar="LANE",
    help="What forwards: ovs-userspace or ovs-kernel.",
)  # fmt: skip
@click.option("--flows", metavar="FILE", help="Flows that are there from the start.")
@click.option("--groups", metavar="FILE", help="Groups that are there from the start.")
@click.option(
    "--flow-table", "flow_tables", multiple=True, metavar="LIMIT",
    help="A limit of a table, such as '2 limit 100' or '2 limit 100 evict'. May be given more than"
    " once.",
)  # fmt: skip
@click.option(
    "--listen", multiple=True, metavar="PLACE",
    help="Where OpenFlow is spoken: punix:PATH, ptcp:[PORT][:HOST] (127.0.0.1 unless said"
    " otherwise), or a controller's unix:PATH or tcp:HOST[:PORT]. May be given more than once.",
)  # fmt: skip
@click.option("--unixctl", metavar="PATH", help="The socket that ovs-appctl -t PATH talks to.")
@click.option(
    "--dummy-ports", metavar="DIR",
    help="Frames go in and out through DIR/p1.sock, DIR/p2.sock ..., each behind its length.",
)  # fmt: skip
def switch(
    *,
    bridge: str,
    ports: str,
    lane: str,
    flows: str | None,
    groups: str | None,
    flow_tables: tuple[str, ...],
    listen: tuple[str, ...],
    unixctl: str | None,
    dummy_ports: str | None,
) -> None:
    """Run a modelled bridge as a switch (docs/switch.md).

    It starts with no flows (fail-mode secure) unless --flows names some, and ends on Ctrl-C,
    SIGTERM, or ovs-appctl exit. Unix sockets are private to the user who started it.
    """
    from ovsct.agent.sockets import place
    from ovsct.agent.switch import Sockets, check_lane

    sockets = Sockets(
        openflow=[place(text) for text in listen],
        unixctl=Path(unixctl) if unixctl is not None else None,
        ports=Path(dummy_ports) if dummy_ports is not None else None,
    )
    setup = Setup(
        ports=parse_ports(ports),
        flows=read_text(flows) if flows is not None else Text("", "no flows"),
        groups=read_text(groups) if groups is not None else None,
        options={lane: {"flow_tables": flow_tables}} if flow_tables else {},
    )
    made = check_lane(make(lane, setup))
    made.bridge.name = bridge
    asyncio.run(_run(made, sockets))


async def _run(lane: OvsLane, sockets: Sockets) -> None:
    from ovsct.agent.switch import Switch

    running = Switch(lane, sockets)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.leave)
    await running.run()
