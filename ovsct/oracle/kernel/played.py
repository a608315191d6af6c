"""What a kernel is given in a case, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ovsct.errors import InputError, OvsctError
from ovsct.lane import STACK, Arrival, Output

_SHORTEST: Final = 14
TAGS: Final = frozenset({0x8100, 0x88A8})
"""The Ethernet types of tags."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes until `at`."""

    at: float


Happening: TypeAlias = Arrival | Wait


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one happening: outputs, and the lines of /proc/net/nf_conntrack if asked."""

    out: tuple[Output, ...]
    conntrack: tuple[str, ...] | None


def played(step: dict[str, Any], *, late: bool = False) -> Played:
    """An answer of the agent.

    Args:
        step: as the agent tells it.
        late: frames may have left between two steps; they count to the later one.

    Raises:
        OvsctError: there are such frames, and they are not allowed.
    """
    early, out, table = step["early"], step["out"], step["conntrack"]
    if early and not late:
        raise OvsctError(f"frames left before a packet came in, at none of its times: {early}")
    frames = [
        Output(STACK if place == STACK else int(place), bytes.fromhex(frame))
        for each in (early, out)
        for place, found in each.items()
        for frame in found
    ]
    frames.sort(key=lambda output: output.port if isinstance(output.port, int) else 1 << 32)
    return Played(tuple(frames), None if table is None else tuple(table.splitlines()))


def check_frame(frame: bytes, mtu: int) -> None:
    """Refuse what no device can carry.

    Raises:
        InputError: it is too short or too long.
    """
    size = len(frame)
    longest = mtu + 14 + 4 * (ethertype(frame) in TAGS)
    if not _SHORTEST <= size <= longest:
        raise InputError(f"a frame of {size} bytes", expected=f"{_SHORTEST} to {longest} bytes")


def ethertype(frame: bytes) -> int:
    """The first Ethernet type."""
    return int.from_bytes(frame[12:14], "big")


def may_be_fragment(frame: bytes) -> bool:
    """Whether a kernel may hold `frame` as a fragment; rather once too often."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    kind, l3 = frame[at : at + 2], frame[at + 2 :]
    if kind == b"\x08\x00":
        return len(l3) >= 8 and bool(l3[6] & 0x3F or l3[7])
    return kind == b"\x86\xdd" and len(l3) >= 7 and l3[6] in (0, 43, 44, 60)
