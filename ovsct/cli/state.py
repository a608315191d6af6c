"""The options that put conntrack's state into a lane before a run, and take it out after."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click

from ovsct.cli.setup import read_text
from ovsct.conntrack.read_dump import read_connections
from ovsct.errors import InputError
from ovsct.lane import Connection, Lane
from ovsct.report.snapshot import read_whole, write_whole

Command = TypeVar("Command", bound=Callable[..., Any])

conntrack_in_option = click.option(
    "--conntrack-in",
    metavar="FILE",
    help="Begin with these connections, as dpctl/dump-conntrack [-m] [-s] or "
    "/proc/net/nf_conntrack print them.",
)

_SNAPSHOTS: Final = (
    click.option("--restore", metavar="FILE", help="Begin with conntrack as --snapshot wrote it."),
    click.option("--snapshot", metavar="FILE", help="Write all of conntrack at the end there."),
)


def snapshot_options(command: Command) -> Command:
    """Adds --restore and --snapshot to a command."""
    for option in reversed(_SNAPSHOTS):
        command = option(command)
    return command


def read_dump(path: str | None) -> list[Connection]:
    """The connections of a file that --conntrack-in names; none if there is none.

    Raises:
        InputError: it cannot be read, or a line of it is no connection.
    """
    if path is None:
        return []
    return read_connections(read_text(path).text, path)


def begin_with(lane: Lane, connections: Iterable[Connection], file: str | None) -> None:
    """Put connections into a lane.

    Raises:
        InputError: it takes none, or not these.
    """
    if file is None:
        return
    try:
        _able(lane, "load_connections", "--conntrack-in")(connections)
    except InputError as error:
        raise error.at(file=file) from None


def restore(lane: Lane, file: str) -> None:
    """Put a snapshot into a lane.

    Raises:
        InputError: it takes none, or not this one.
    """
    take = _able(lane, "restore", "--restore")
    try:
        take(read_whole(file))
    except InputError as error:
        raise error.at(file=file) from None


def save(lane: Lane, file: str) -> None:
    """Write a snapshot of a lane, all of it or nothing.

    Raises:
        InputError: it cannot be written.
        OvsctError: the lane holds what a snapshot cannot.
    """
    write_whole(file, _able(lane, "snapshot", "--snapshot")())


def check_able(lane: Lane, snapshot: str | None) -> None:
    """Refuse before the run a snapshot that could not be taken after it: one is taken now."""
    if snapshot is not None:
        _able(lane, "snapshot", "--snapshot")()


def statistics(lane: Lane, wanted: str | None) -> Callable[[], list[str]]:
    """What to ask at the end for the counters of a lane.

    Raises:
        InputError: they are `wanted`, and it has none.
    """
    return list if wanted is None else _able(lane, "conntrack_statistics", "--conntrack-stat")


def _able(lane: Lane, method: str, option: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(lane, method, None)
    if found is None:
        raise InputError(f"the lane {lane.name} has nothing for {option}")
    return found
