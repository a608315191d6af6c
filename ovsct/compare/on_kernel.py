"""What of generated OpenFlow cases a kernel's datapath cannot judge, by name, with the reason.

docs/verify.md holds the same list. Lines that fall under a row are left out of a case, packets that
do are not sent; the rest of the case is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from ovsct.compare.case import FLOW_MOD, LINK, Case, Shot, frames_of
from ovsct.packet.fields import SLOTS
from ovsct.packet.kernel import VLAN_DEPTH, kernel_packet
from ovsct.packet.packet import parse

_GRE: Final = 47
_PROTO: Final = SLOTS["nw_proto"]


@dataclass(frozen=True, slots=True)
class Left:
    """A kind of line that is left out: its name, what it looks like, and why."""

    name: str
    lines: re.Pattern[str]
    reason: str


def _left(name: str, lines: str, reason: str) -> Left:
    return Left(name, re.compile(lines), reason)


LEFT_OUT: Final = (
    _left(
        "kernel-nd-options", r"nd_(reserved|options_type)",
        "The kernel's datapath cannot set these, so that vswitchd refuses the flow"
        " (OFPBAC_BAD_SET_ARGUMENT); the model's parser knows of no datapath.",
    ),
    _left(
        "kernel-hash", r"type=(select|fast_failover|ff)\b|multipath\(|bundle(_load)?\(",
        "The kernel hashes packets with a secret of its own.",
    ),
    _left(
        "kernel-debug", r"debug_(recirc|slow)",
        "A program without --enable-dummy refuses these actions.",
    ),
    _left(
        "kernel-meter", r"\bmeter[:=]|\bsample\(",
        "Meters of the kernel's datapath have the kernel's clock, and samples are drawn.",
    ),
    _left(
        "kernel-changes", r"\blearn\(|\bfin_timeout|\bnormal\b|_timeout=",
        "What changes the flows is noticed by threads of the program's own, some time later.",
    ),
)  # fmt: skip
"""What no flow or group holds, besides :mod:`ovsct.compare.excluded`."""

NOT_DRAWN: Final = frozenset({"alg", "changes"})
"""What is not even drawn: helpers, whose recorded dialogues judge them, and what changes flows."""

CHANGES: Final = (
    "Links do not go down and flows do not change while packets run: revalidation is done by"
    " threads of the program's own."
)
TWO_READINGS: Final = (
    "What a flow serves that was made for a packet whose lengths contradict each other is credited"
    " in the end to the flows that the kernel's key meets, not to those that the packet met:"
    " counters of OpenFlow flows are not compared where there is such a packet."
)
GRE: Final = "Packets of GRE, where the kernel was built without a tracker for it."
LONG: Final = "Packets that are longer than the MTU of the devices (2000)."


def fitted(case: Case, mtu: int, *, gre: bool) -> Case:
    """The case without what a kernel cannot judge.

    Args:
        case: a generated one.
        mtu: of the kernel's devices.
        gre: whether the kernel has a tracker for it.
    """
    return replace(
        case,
        flows=tuple(line for line in case.flows if _fits(line)),
        groups=_with_all(tuple(line for line in case.groups if _fits(line)), case),
        meters=(),
        shots=tuple(shot for shot in case.shots if _is_judged(shot, mtu, gre)),
    )


def reads_twice(frame: bytes) -> bool:
    """Whether the kernel and vswitchd read a frame in two ways."""
    return kernel_packet(frame, 1).key != parse(frame, 1, VLAN_DEPTH).key


def _fits(line: str) -> bool:
    return not any(each.lines.search(line) for each in LEFT_OUT)


def _with_all(groups: tuple[str, ...], case: Case) -> tuple[str, ...]:
    """Flows may name groups that were left out: these do nothing then."""
    left = {_GROUP.findall(line)[0] for line in case.groups} - {
        _GROUP.findall(line)[0] for line in groups
    }
    return (*groups, *(f"group_id={number},type=all" for number in sorted(left)))


_GROUP: Final = re.compile(r"group_id=(\d+)")


def _is_judged(shot: Shot, mtu: int, gre: bool) -> bool:
    if shot.line.startswith((LINK, FLOW_MOD)):
        return False
    if not shot.line:
        return True
    return all(
        len(frame) <= mtu + 14 and (gre or _PROTO.get(parse(frame, 1, 2).key) != _GRE)
        for frame in frames_of(shot.line)
    )
