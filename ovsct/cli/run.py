"""``ovsct run``: packets through one lane."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

import click

from ovsct.cli import state
from ovsct.cli.progress import progress
from ovsct.cli.setup import flows_option, make_setup, only_scenario, setup_options
from ovsct.cli.state import conntrack_in_option, snapshot_options
from ovsct.compare.events import Happening, read_events
from ovsct.compare.lockstep import Follower
from ovsct.conntrack.dump import FORMS
from ovsct.errors import InputError
from ovsct.lane import Arrival, Event, Lane, Outcome
from ovsct.lanes.make import LANES, close, make
from ovsct.report.json import packet_line

BULK: Final = 2048
"""Lines that are written at once."""

Show = Callable[[int, Arrival, Outcome], str]


@click.command()
@click.argument("scenario", required=False, metavar="[SCENARIO.yaml]")
@flows_option
@setup_options
@click.option("--events", metavar="FILE", help=".jsonl, .pcap or .pcapng; - is standard input.")
@click.option("--port", type=int, metavar="N", help="The port of a .pcap, which does not say it.")
@click.option("--lane", required=True, metavar="LANE", help=f"One of: {', '.join(LANES)}.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a packet.")
@click.option("--summary", is_flag=True, help="Only a table of counts.")
@click.option("--conntrack", metavar="FILE", help="Write the connections at the end there.")
@click.option(
    "--conntrack-format",
    type=click.Choice(list(FORMS)),
    default="dpctl",
    show_default=True,
    help="As ovs-appctl dpctl/dump-conntrack [-m] [-s] prints them, or /proc/net/nf_conntrack.",
)
@click.option(
    "--conntrack-stat", metavar="FILE",
    help="Write there at the end what netfilter counted, as conntrack -S prints it.",
)
@conntrack_in_option
@snapshot_options
@click.option("--dump-flows", metavar="FILE", help="Write the datapath flows at the end there.")
def run(
    scenario: str | None,
    events: str | None,
    port: int | None,
    lane: str,
    as_json: bool,
    summary: bool,
    conntrack: str | None,
    conntrack_format: str,
    conntrack_stat: str | None,
    conntrack_in: str | None,
    restore: str | None,
    snapshot: str | None,
    dump_flows: str | None,
    **setup: Any,
) -> None:
    """Run packets through one lane: one line a packet, in order.

    Give a scenario file, or what is configured and events.

    With --json a line is {"n": 1, "at": 0.0, "port": 1, "out": [[port, "hex"], ...], "drop":
    reason or null, "via": ["hw"|"tc"|"datapath"|"slow", ...]}, the outputs in the order in which
    they leave. A packet-in is ["controller", "hex"], what the host's stack gets ["stack", "hex"].
    """
    if as_json and summary:
        raise InputError("--json and --summary do not go together", hint="give one of them")
    connections = state.read_dump(conntrack_in)
    if scenario is not None:
        from ovsct.compare.scenario import read_scenario

        only_scenario(setup, events, port)
        read = read_scenario(scenario)
        config = read.setup
    elif events is not None:
        config = make_setup(events=events, port=port, **setup)
    else:
        raise InputError("nothing to run", hint="give a SCENARIO.yaml, or --events")
    with ExitStack() as stack:
        running = make(lane, config)
        stack.callback(close, running)
        _check_dumps(running, lane, conntrack, conntrack_format, dump_flows)
        counted = state.statistics(running, conntrack_stat)
        state.check_able(running, snapshot)
        if restore is not None:
            state.restore(running, restore)
        state.begin_with(running, connections, conntrack_in)
        happenings: Iterable[Happening]
        if events is None:
            happenings = read.happenings()
        else:
            tick = stack.enter_context(progress(events, lane))
            happenings = read_events(events, port=port, tick=tick, known=frozenset(config.ports))
        if summary:
            _summarize(running, happenings)
        else:
            _write(running, happenings, packet_line if as_json else _human(), events == "-")
        if conntrack is not None:
            _save(conntrack, dump_conntrack(running, conntrack_format))
        if conntrack_stat is not None:
            _save(conntrack_stat, counted())
        if snapshot is not None:
            state.save(running, snapshot)
        if dump_flows is not None:
            _save(dump_flows, running.dump_flows())  # type: ignore[attr-defined] # checked above


def _human() -> Show:
    from ovsct.report.text import packet_line as human_line

    return human_line


def _write(lane: Lane, happenings: Iterable[Happening], show: Show, at_once: bool) -> None:
    write: Callable[[str], object] = sys.stdout.write
    bulk = 1 if at_once else BULK
    lines: list[str] = []
    receive, follower = lane.receive, Follower(lane)
    n = 0
    try:
        for event in happenings:
            if type(event) is Arrival:
                n += 1
                if event.at >= follower.due:
                    _tell(follower.until(event.at))
                lines.append(show(n, event, receive(event)))
                if len(lines) >= bulk:
                    write("".join(lines))
                    lines.clear()
                    if at_once:
                        sys.stdout.flush()
            else:
                _tell(follower.follow(event))
    finally:
        # Also if the next record is wrong: what came before it happened.
        write("".join(lines))


def _tell(events: Sequence[Event]) -> None:
    """Frames that leave when only time passes belong to no packet's line: they are told aside."""
    for event in events:
        for port, frame in event.out:
            click.echo(f"{event.at:.6f} {event.kind}: {port} {frame.hex()}", err=True)


def _summarize(lane: Lane, happenings: Iterable[Happening]) -> None:
    from ovsct.report.tally import Tally
    from ovsct.report.text import tally_table

    tally = Tally()
    receive, follower, add = lane.receive, Follower(lane), tally.add
    for event in happenings:
        if type(event) is Arrival:
            if event.at >= follower.due:
                _tell(follower.until(event.at))
            add(receive(event))
        else:
            _tell(follower.follow(event))
    click.echo(tally_table({lane.name: tally}))


# -- what is written at the end -------------------------------------------------------------------


def _check_dumps(
    lane: Lane, name: str, conntrack: str | None, form: str, dump_flows: str | None
) -> None:
    """Refuse before the run what could not be written after it."""
    for option, method, wanted in (
        ("--conntrack", "dump_conntrack", conntrack),
        ("--dump-flows", "dump_flows", dump_flows),
    ):
        if wanted is not None and not hasattr(lane, method):
            raise InputError(f"the lane {name} has nothing for {option}", token=wanted)
    if conntrack is not None and form == "proc" and lane.name == "real-ovs":
        raise InputError(f"the lane {name} prints its connections as dpctl only", token=form)
    if conntrack is not None and form.startswith("dpctl-") and lane.name == "real-kernel":
        raise InputError(f"the lane {name} prints no options of dpctl", token=form)
    for path in (conntrack, dump_flows):
        if path is not None and path != "-":
            _open(path).close()


def dump_conntrack(lane: Lane, form: str) -> list[str]:
    """The connections of a lane as text, in the form of dpctl (with options) or of /proc."""
    dump: Callable[..., list[str]] = lane.dump_conntrack  # type: ignore[attr-defined]
    if lane.name == "real-ovs":
        return dump(*(f"-{option}" for option in form.split("-")[1:]))
    return dump(form)


def _open(path: str) -> IO[str]:
    try:
        return Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=path) from None


def _save(path: str, lines: Sequence[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if path == "-":
        sys.stdout.write(text)
        return
    with _open(path) as file:
        file.write(text)
