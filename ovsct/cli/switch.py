"""``ovsct switch``: a modelled bridge that ovs-ofctl, ovs-appctl and controllers can talk to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ovsct.cli.setup import parse_ports, read_text
from ovsct.errors import InputError
from ovsct.lanes.make import Setup, Text, make

if TYPE_CHECKING:
    from ovsct.agent.sockets import Place
    from ovsct.agent.switch import Captured, Sockets
    from ovsct.lanes.ovs import OvsLane


@click.command()
@click.option(
    "--topology", metavar="FILE",
    help="Several bridges: a YAML file with the key bridges, as in scenarios (docs/bridges.md). In"
    " place of --bridge, --ports, --flows and --groups.",
)  # fmt: skip
@click.option("--bridge", metavar="NAME", help="Its name. [default: br0]")
@click.option(
    "--ports", metavar="PORTS",
    help="Its ports: a number of them, 1-4 or 1,3,7-9. [default: 1-4]",
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
    " otherwise), or a controller's unix:PATH or tcp:HOST[:PORT]; with --topology BRIDGE=PLACE. May"
    " be given more than once.",
)  # fmt: skip
@click.option(
    "--management", metavar="DIR", help="Each bridge listens on DIR/BRIDGE.mgmt, as with OVS."
)
@click.option("--unixctl", metavar="PATH", help="The socket that ovs-appctl -t PATH talks to.")
@click.option(
    "--dummy-ports", metavar="DIR",
    help="Frames go in and out through DIR/p1.sock, DIR/p2.sock ..., each behind its length.",
)  # fmt: skip
@click.option(
    "--fail-mode", type=click.Choice(("secure", "standalone")), default="secure",
    show_default=True,
    help="standalone: without a controller to reach, a flow of priority 0 is there that does"
    " NORMAL.",
)  # fmt: skip
@click.option(
    "--pcap-out", metavar="DIR",
    help="What comes in and goes out, in DIR/p1-rx.pcap, DIR/p1-tx.pcap, DIR/p2-rx.pcap ...",
)  # fmt: skip
@click.option(
    "--pcap-in", multiple=True, metavar="PORT=FILE",
    help="The frames of a capture come in on a port (p1=FILE) from the start, as far apart as they"
    " were captured. May be given more than once.",
)  # fmt: skip
def switch(
    *,
    topology: str | None,
    bridge: str | None,
    ports: str | None,
    lane: str,
    flows: str | None,
    groups: str | None,
    flow_tables: tuple[str, ...],
    listen: tuple[str, ...],
    management: str | None,
    unixctl: str | None,
    dummy_ports: str | None,
    fail_mode: str,
    pcap_out: str | None,
    pcap_in: tuple[str, ...],
) -> None:
    """Run a modelled bridge, or several, as a switch (docs/switch.md).

    It starts with no flows unless --flows or --fail-mode standalone says so, and ends on Ctrl-C,
    SIGTERM, or ovs-appctl exit. Unix sockets are private to the user who started it.
    """
    from ovsct.agent.captures import read_replayed
    from ovsct.agent.switch import Captured, Sockets, check_lane

    options = {lane: {"flow_tables": flow_tables}} if flow_tables else {}
    if topology is not None:
        for name, given in (("--bridge", bridge), ("--ports", ports), ("--flows", flows),
                            ("--groups", groups)):  # fmt: skip
            if given is not None:
                raise InputError(f"{name} does not go with --topology", token=given)
        from ovsct.compare.topology import read_topology

        setup = replace(read_topology(topology), options=options)
    else:
        setup = Setup(
            ports=parse_ports(ports or "1-4"),
            flows=read_text(flows) if flows is not None else Text("", "no flows"),
            groups=read_text(groups) if groups is not None else None,
            options=options,
        )
    made = check_lane(make(lane, setup))
    if topology is None:
        made.bridge.name = bridge or "br0"
    names = [each.name for each in made.bridge.backer.bridges]
    sockets = Sockets(
        bridges=_places(names, listen, management, several=topology is not None),
        unixctl=Path(unixctl) if unixctl is not None else None,
        ports=Path(dummy_ports) if dummy_ports is not None else None,
    )
    ports_there = made.bridge.backer.ports
    captured = Captured(
        folder=Path(pcap_out) if pcap_out is not None else None,
        replayed=read_replayed(_port_and_file(text, ports_there) for text in pcap_in),
    )
    if fail_mode == "standalone" and (place := _controller(sockets)) is not None:
        raise InputError(
            "fail-mode standalone beside a controller is not modelled", token=str(place),
            expected="--fail-mode secure, or punix: and ptcp: only",
        )  # fmt: skip
    asyncio.run(_run(made, sockets, captured, standalone=fail_mode == "standalone"))


def _controller(sockets: Sockets) -> Place | None:
    """A place that the switch reaches out to."""
    return next(
        (place for places in sockets.bridges.values() for place in places if not place.listen),
        None,
    )


def _port_and_file(text: str, ports: Sequence[int]) -> tuple[int, Path]:
    """``p1=FILE``."""
    name, equals, path = text.partition("=")
    number = name.removeprefix("p")
    if not equals or not path or not number.isdecimal() or int(number) not in ports:
        raise InputError("no port and file", token=text, expected="PORT=FILE, such as p1=in.pcap")
    return int(number), Path(path)


def _places(
    names: Sequence[str], listen: Sequence[str], management: str | None, *, several: bool
) -> dict[str, list[Place]]:
    """Where each bridge is to be reached."""
    from ovsct.agent.sockets import Place, place

    places: dict[str, list[Place]] = {name: [] for name in names}
    for text in listen:
        name, equals, where = text.partition("=") if several else (names[0], "=", text)
        if not equals or name not in places:
            raise InputError(
                "no place of a bridge", token=text,
                expected=f"BRIDGE=PLACE with one of {', '.join(names)}",
            )  # fmt: skip
        places[name].append(place(where))
    if management is not None:
        for name in names:
            places[name].append(Place(True, Path(management) / f"{name}.mgmt"))
    return places


async def _run(
    lane: OvsLane, sockets: Sockets, captured: Captured, *, standalone: bool
) -> None:
    from ovsct.agent.switch import Switch

    running = Switch(lane, sockets, captured=captured)
    if standalone:
        for model in running.models:
            model.forward_normally()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.leave)
    await running.run()
