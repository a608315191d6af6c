"""What verifiers compare, in words: frames, connections, counters of OpenFlow flows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from ovsct.errors import InputError
from ovsct.lane import STACK, Connection, Output
from ovsct.openflow.flow import Flow
from ovsct.openflow.text.flow_text import format_flow, read_flows
from ovsct.packet.describe import describe

# -- frames ----------------------------------------------------------------------------------------


def frame_words(out: Sequence[Output]) -> tuple[str, ...]:
    """Each output as a person reads it, and its bytes."""
    return tuple(f"to {port}: {describe(frame)} [{frame.hex()}]" for port, frame in out)


def outputs(out: Iterable[Output]) -> list[tuple[str, bytes]]:
    """Outputs by place; those of one place in order, the stack's without VLAN tags.

    The number of an IPv6 datagram that was cut anew is drawn at random, and so taken out.
    """
    found = [
        (str(port), _unnumbered(_untagged(frame) if port == STACK else frame))
        for port, frame in out
    ]
    return sorted(found, key=lambda each: each[0])


def _untagged(frame: bytes) -> bytes:
    while frame[12:14] in (b"\x81\x00", b"\x88\xa8"):
        frame = frame[:12] + frame[16:]
    return frame


def _unnumbered(frame: bytes) -> bytes:
    """The frame without the identification of a fragment header that stands first (RFC 8200)."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    if frame[at : at + 2] != b"\x86\xdd" or frame[at + 8 : at + 9] != b"\x2c":
        return frame
    number = at + 2 + 40 + 4
    return frame[:number] + bytes(4) + frame[number + 4 :]


# -- connections -----------------------------------------------------------------------------------

_USE: Final = re.compile(r" use=\d+| secctx=\S+")
_TIMEOUT: Final = re.compile(r"^(\S+ \d+ \S+ \d+) (\d+) ")


def conntrack_lines(lines: Iterable[str]) -> list[str]:
    """Lines of /proc/net/nf_conntrack in one order, without blanks and use counts."""
    return sorted(" ".join(_USE.sub("", line).split()) for line in lines)


def same_lines(model: Sequence[str], real: Sequence[str]) -> bool:
    """Whether two dumps agree; timeouts may be a second apart."""
    if len(model) != len(real):
        return False
    mine = sorted((_TIMEOUT.sub(r"\1 ", line), line) for line in model)
    theirs = sorted((_TIMEOUT.sub(r"\1 ", line), line) for line in real)
    for (left, mine_line), (right, real_line) in zip(mine, theirs, strict=True):
        if left != right:
            return False
        one, two = _TIMEOUT.match(mine_line), _TIMEOUT.match(real_line)
        if (one is None) != (two is None):
            return False
        if one is not None and two is not None and abs(int(one[2]) - int(two[2])) > 1:
            return False
    return True


def connection_key(connection: Connection) -> tuple[object, ...]:
    """What makes it that connection."""
    return (connection.zone, connection.proto, connection.orig, connection.reply)


_NOT_COMPARED: Final = frozenset({"dying", "template", "nat-clash"})


def said(c: Connection) -> str:
    """A connection in words, without its timeout."""
    ends = " ".join(",".join(str(p) for p in each if p is not None) for each in (c.orig, c.reply))
    state = "" if c.status & {"offload", "hw-offload"} else c.state
    flags = ",".join(sorted(c.status - _NOT_COMPARED))
    return (
        f"proto={c.proto} {ends} zone={c.zone} mark={c.mark:#x} label={c.label:#x} {state} {flags}"
        f" helper={c.helper}"
    )


# -- flows -----------------------------------------------------------------------------------------


def counted(flow: Flow, packets: int, size: int) -> str:
    """An OpenFlow flow and what it counted."""
    return f"{_named(flow)} n_packets={packets} n_bytes={size}"


def _named(flow: Flow) -> str:
    bare = Flow(table=flow.table, priority=flow.priority, match=flow.match)
    return format_flow(bare)


def dumped(line: str) -> str:
    """A line of ``bridge/dump-flows``, which calls a table's number table_id.

    Its actions are left aside: a modified flow may have some that its match does not allow.
    """
    head = line.partition("actions=")[0].replace("table_id=", "table=", 1)
    flow = read_flows(f"{head}actions=drop")[0]
    if flow.stats is None:
        raise InputError("a dumped flow without counters", token=line)
    return f"{_named(flow)} n_packets={flow.stats.n_packets} n_bytes={flow.stats.n_bytes}"
