"""``ovsct trace``: packets step by step, with the conntrack state that the ones before left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from ovsct.cli.setup import flows_option, make_setup, setup_options, with_ports
from ovsct.compare.event_line import event_line, is_time, time_of
from ovsct.compare.events import Advance, Happening
from ovsct.compare.lockstep import Follower
from ovsct.errors import InputError
from ovsct.lane import Arrival, Lane
from ovsct.lanes.make import LANES, close, make

if TYPE_CHECKING:
    from ovsct.compare.sequences import Sequences

_HEX: Final = re.compile(r"(?:p(\d+)\s+)?([0-9a-fA-F\s]{28,})")
_SAYS_NUMBERS: Final = re.compile(r"(?:^|\s)(?:seq|ack|hex|error)\s")
_DEFAULT_TTL: Final = 64


@click.command()
@click.argument("packets", nargs=-1, required=True, metavar="PACKET...")
@flows_option
@setup_options
@click.option(
    "--lane", default="ovs-kernel", show_default=True, metavar="LANE",
    help=f"One of: {', '.join(LANES)}.",
)  # fmt: skip
def trace(packets: Sequence[str], lane: str, **setup: Any) -> None:
    """Follow packets step by step; each finds the conntrack state that those before it left.

    \b
    A PACKET is one of
      "p1 tcp 10.0.0.1:1000 > 10.0.0.2:80 S"    a packet line (docs/scenarios.md)
      "+0.5 p1 udp 10.0.0.1:1 > 10.0.0.2:53"    the same, half a second later
      "+30"                                     only time passes
      "in_port=1,tcp,nw_src=10.0.0.1,..."       flow fields, as ofproto/trace takes them
      "p1 0200..."                              hex digits (without a port: on p1)

    TCP packets that say no seq or ack get the numbers that the two ends would use.
    """
    from ovsct.compare.sequences import Sequences

    config = make_setup(**setup)
    sequences = Sequences()
    happenings = list(_happenings(packets, sequences))
    if setup["ports"] is None:
        named = {each.port for each in happenings if isinstance(each, Arrival)}
        config = with_ports(config, {*config.ports, *named})
    for number, happening in enumerate(happenings, start=1):
        if isinstance(happening, Arrival) and happening.port not in config.ports:
            raise InputError(
                "there is no such port", file=f"packet {number}", token=str(happening.port),
                expected=", ".join(map(str, config.ports)),
            )  # fmt: skip
    running = make(lane, config, trace=True)
    try:
        _follow_all(running, packets, happenings, sequences)
    finally:
        close(running)


def _follow_all(
    lane: Lane, packets: Sequence[str], happenings: Sequence[Happening], sequences: Sequences
) -> None:
    from ovsct.report.text import trace_text

    follower = Follower(lane)
    for number, (text, happening) in enumerate(zip(packets, happenings, strict=True), start=1):
        if not isinstance(happening, Arrival):
            events = follower.follow(happening)
            click.echo(trace_text(number, happening, None, events))
            continue
        if not (_SAYS_NUMBERS.search(text) or _HEX.fullmatch(text.strip())):
            happening = happening._replace(frame=sequences.filled(happening.frame))
        events = follower.packet(happening.at)
        outcome = lane.receive(happening)
        sequences.saw(happening.frame, outcome.out)
        click.echo(trace_text(number, happening, outcome, events))


def _is_fields(text: str) -> bool:
    return "in_port" in text


def _happenings(packets: Sequence[str], sequences: Sequences) -> Iterator[Happening]:
    now = 0.0
    for number, text in enumerate(packets, start=1):
        try:
            happening = _happening(text, now)
        except InputError as error:
            raise error.at(file=f"packet {number}", line=None) from None
        now = happening.at
        yield happening


def _happening(text: str, now: float) -> Happening:
    found = _HEX.fullmatch(text.strip())
    if found is not None:
        text = f"p{found[1] or 1} hex {found[2]}"
    elif is_time(text.strip()):
        return Advance(time_of(text.strip(), now))
    elif _is_fields(text):
        return _from_fields(text, now)
    arrivals = list(event_line(text, now, {}))
    if len(arrivals) != 1:
        raise InputError(
            "a packet in several fragments", token="frag", hint="choose one with 'piece N'"
        )
    return arrivals[0]


def _from_fields(text: str, now: float) -> Arrival:
    """The packet that a flow's match describes, as ofproto/trace takes it."""
    from ovsct.openflow.text.flow_text import parse_flow
    from ovsct.packet.compose import compose
    from ovsct.packet.fields import SLOTS
    from ovsct.packet.packet import ETH_IPV4, ETH_IPV6

    match = parse_flow(f"{text} actions=drop").match
    in_port, ttl, dl_type = SLOTS["in_port"], SLOTS["nw_ttl"], SLOTS["dl_type"]
    key = match.value
    if dl_type.get(key) in (ETH_IPV4, ETH_IPV6) and not match.mask & ttl.mask:
        key = ttl.put(key, _DEFAULT_TTL)
    try:
        return Arrival(now, in_port.get(key), compose(key))
    except ValueError as error:
        raise InputError(f"no such packet can be: {error}", token=text) from None
