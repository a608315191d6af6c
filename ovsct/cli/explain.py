"""``ovsct explain``: OpenFlow messages as ovs-ofctl commands, flows as messages and Ryu calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ovsct.errors import InputError

if TYPE_CHECKING:
    from ovsct.openflow.wire.codec import Message

_HEX: Final = re.compile(r"(?:0x)?(?:[0-9a-fA-F]{2}[\s:]*)+")
_OPENFLOW13: Final = 4


@click.command()
@click.argument("messages", nargs=-1, metavar="[HEX|FILE]...")
@click.option(
    "--flow", "flows", multiple=True, metavar="FLOW",
    help="A flow as ovs-ofctl add-flow takes it: print its message, and the Ryu call that makes it."
    " May be given more than once.",
)  # fmt: skip
@click.option(
    "--python", is_flag=True, help="Print the Ryu call of each flow mod of OpenFlow 1.3 as well."
)
@click.option("--bridge", default="br0", show_default=True, metavar="NAME",
              help="What the commands call the bridge.")  # fmt: skip
def explain(messages: tuple[str, ...], flows: tuple[str, ...], python: bool, bridge: str) -> None:
    """Say OpenFlow messages as ovs-ofctl commands, and flows as messages and Ryu calls.

    \b
    Each argument is one of
      040e0058...        a message, or several, in hex digits
      FILE.pcap(ng)      a capture: what is on TCP ports 6653 and 6633
      FILE               messages as bytes, or as hex digits

    A Ryu call (os-ken's are the same) is Python that sends the message, given `datapath`.
    """
    if not messages and not flows:
        raise click.UsageError("give messages, or --flow")
    for text in messages:
        _explain(text, bridge, python)
    for flow in flows:
        _make(flow)


def _explain(text: str, bridge: str, python: bool) -> None:
    path = Path(text)
    if _HEX.fullmatch(text.strip()) and not _is_file(path):
        _bytes(_digits(text), "message", bridge, python)
        return
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            "neither hex digits nor a file that can be read", token=text[:60],
            expected="0x... or a file", hint=error.strerror,
        ) from None  # fmt: skip
    if data[:4] in _captures():
        _capture(path, bridge, python)
        return
    try:
        found = data.decode("ascii").strip()
    except UnicodeDecodeError:
        found = ""
    _bytes(_digits(found) if _HEX.fullmatch(found) else data, text, bridge, python)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # more digits than a name may have
        return False


def _captures() -> frozenset[bytes]:
    """The first bytes of a pcap, in either order and resolution, and of a pcapng."""
    pcap = (bytes.fromhex("a1b2c3d4"), bytes.fromhex("a1b23c4d"))
    return frozenset((*pcap, *(magic[::-1] for magic in pcap), bytes.fromhex("0a0d0d0a")))


def _digits(text: str) -> bytes:
    return bytes.fromhex(re.sub(r"[\s:]", "", text.strip().removeprefix("0x")))


def _bytes(data: bytes, name: str, bridge: str, python: bool) -> None:
    """Messages that stand one behind the other."""
    from ovsct.openflow.wire.codec import split
    from ovsct.openflow.wire.errors import WireError

    stream = bytearray(data)
    table_ids = False
    number = 1
    try:
        for message in split(stream):
            decoded, table_ids = _decoded(message, table_ids)
            for text in _said(decoded, message, bridge, python):
                click.echo(text)
            number += 1
        if stream:
            raise WireError("OFPBRC_BAD_LEN", f"{len(stream)} bytes are no whole message")
    except WireError as error:
        raise InputError(f"no OpenFlow message: {error}", file=f"{name} {number}") from None


def _decoded(message: bytes, table_ids: bool) -> tuple[Message, bool]:
    """A message, and whether from here on commands hold a table (Nicira's OpenFlow 1.0)."""
    from ovsct.openflow.wire import messages as m
    from ovsct.openflow.wire.codec import decode

    decoded = decode(message, table_ids=table_ids)
    if isinstance(decoded.body, m.FlowModTableId):
        table_ids = bool(decoded.body.on)
    return decoded, table_ids


def _said(decoded: Message, message: bytes, bridge: str, python: bool) -> Iterator[str]:
    from ovsct.openflow.wire import messages as m
    from ovsct.report.openflow_text import message_text
    from ovsct.report.ryu_call import ryu_call

    yield message_text(decoded.body, message[0], bridge=bridge)
    if python and message[0] == _OPENFLOW13 and isinstance(decoded.body, m.FlowMod):
        yield ryu_call(message)


def _capture(path: Path, bridge: str, python: bool) -> None:
    from ovsct.openflow.wire.errors import WireError
    from ovsct.packet.capture import sniff
    from ovsct.packet.pcap import read_pcap
    from ovsct.packet.pcapng import read_pcapng
    from ovsct.report.openflow_streams import messages_of

    table_ids: dict[tuple[str, str], bool] = {}
    with path.open("rb") as file:
        name = str(path)
        read = {"pcap": read_pcap, "pcapng": read_pcapng}[sniff(file.read(4), name)]
        file.seek(0)
        captured = read(file, name, truncated="take", origin=None)
        for heard in messages_of((each.at, each.frame) for each in captured):
            ends = (heard.source, heard.destination)
            head = f"{heard.at:.6f} {heard.source} > {heard.destination}"
            if heard.problem:
                click.echo(f"{head}: no OpenFlow from here on: {heard.problem}")
                continue
            try:
                decoded, table_ids[ends] = _decoded(heard.data, table_ids.get(ends, False))
                lines = [line for text in _said(decoded, heard.data, bridge, python)
                         for line in text.splitlines()]  # fmt: skip
                click.echo(f"{head}: xid {decoded.xid:#x}")
            except WireError as error:
                lines = [f"not understood: {error}"]
                click.echo(f"{head}:")
            for line in lines:
                click.echo(f"    {line}" if line else "")


def _make(text: str) -> None:
    from ovsct.openflow.text.flow_text import parse_flow
    from ovsct.openflow.wire import messages as m
    from ovsct.openflow.wire.codec import encode
    from ovsct.openflow.wire.errors import WireError
    from ovsct.report.ryu_call import ryu_call

    flow = parse_flow(text, "--flow")
    body = m.FlowMod(
        command="add", table=flow.table, match=flow.match, priority=flow.priority,
        actions=flow.actions, new_cookie=flow.cookie, idle_timeout=flow.idle_timeout,
        hard_timeout=flow.hard_timeout, flags=flow.flags,
    )  # fmt: skip
    try:
        message = encode(body, _OPENFLOW13, 0)
    except WireError as error:
        raise InputError(f"OpenFlow 1.3 cannot say this: {error}", file="--flow") from None
    click.echo("# OpenFlow 1.3")
    click.echo(message.hex())
    click.echo("# Ryu 4.34 and os-ken")
    click.echo(ryu_call(message))
