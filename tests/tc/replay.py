"""Rule sets and packets with what a real kernel made of them: how to read and how to replay them.

``recorded/<version>.json`` holds, case by case, the ``tc`` commands, the frames in order and what
came out of which port (``stack``: TC let it pass), lines of /proc/net/nf_conntrack, and what every
action counted (port, chain, prio, handle, packets, bytes, drops, overlimits). The kernels were
user-mode builds of Debian's sources, with virtual time.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from ovsct.conntrack.netfilter import Netfilter
from ovsct.lane import Arrival
from ovsct.lanes.tc_script import TcScript

RECORDED = Path(__file__).parent / "recorded"
KERNELS = ("6.1", "6.12")
START = 1000.0
"""Seconds on the clock when a case begins."""


class Replay(NamedTuple):
    """What the model made of a case: as recorded, step by step and at the end."""

    out: list[list[list[Any]]]
    conntrack: list[list[str]]
    counters: list[list[Any]]


def load(kernel: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((RECORDED / f"{kernel}.json").read_text())["cases"]
    return cases


def replay(case: dict[str, Any], kernel: str, *, trace: bool = False) -> Replay:
    sysctls = case.get("sysctls", {})
    lane = TcScript(
        "\n".join(case["commands"]), [1, 2, 3, 4], netfilter=Netfilter(kernel, **sysctls),
        trace=trace,
    )  # fmt: skip
    now = START
    out: list[list[list[Any]]] = []
    conntrack = []
    for step in case["steps"]:
        now += step.get("sleep", 0)
        lane.advance(now)
        got: list[list[Any]] = []
        if "frame" in step:
            outcome = lane.receive(Arrival(now, step["port"], bytes.fromhex(step["frame"])))
            got = [[port, frame.hex()] for port, frame in outcome.out]
            assert (outcome.drop is None) == bool(got)
            assert bool(outcome.steps) == trace or not case["commands"]
        out.append(got)
        conntrack.append(lines(lane.dump_conntrack("proc")))
    counters = [
        [f"p{port}", at.filter.chain, at.filter.prio, at.filter.handle,
         counter.packets, counter.bytes, counter.drops, counter.overlimits]
        for port in case["ports"]
        for at in lane.tc.filters(port)
        for counter in at.counters
    ]  # fmt: skip
    return Replay(out, conntrack, sorted(counters))


def lines(found: list[str]) -> list[str]:
    """Lines of /proc/net/nf_conntrack without what says nothing: blanks and use counts."""
    plain = [re.sub(r"\s+", " ", re.sub(r" use=\d+", "", line)).strip() for line in found]
    return by_name(plain)


_TIMEOUT = re.compile(r"^(\S+ \d+ \S+ \d+) (\d+) ")


def by_name(found: list[str]) -> list[str]:
    """Lines in an order that no timeout changes."""
    return sorted(found, key=lambda line: _TIMEOUT.sub(r"\1 ", line))


def untagged(frame: str) -> str:
    """As the stack's taps show a frame: reception has taken its tags off."""
    while frame[24:28] in ("8100", "88a8"):
        frame = frame[:24] + frame[32:]
    return frame


def outputs(found: list[list[Any]]) -> list[list[Any]]:
    """Outputs in an order of their own: a tap says what left a port, not what left first."""
    shown = [[port, untagged(frame) if port == "stack" else frame] for port, frame in found]
    return sorted(shown, key=str)


def same_connections(kernel: list[str], model: list[str]) -> bool:
    """Whether two dumps agree; a timeout may be a second off, since jiffies began elsewhere."""
    if len(kernel) != len(model):
        return False
    for left, right in zip(by_name(kernel), model, strict=True):
        if left == right:
            continue
        one, two = _TIMEOUT.match(left), _TIMEOUT.match(right)
        if not one or not two or _TIMEOUT.sub(r"\1 ", left) != _TIMEOUT.sub(r"\1 ", right):
            return False
        if abs(int(one[2]) - int(two[2])) > 1:
            return False
    return True
