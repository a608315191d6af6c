"""What a kernel's flow table of offloaded connections leaves to the moment at which it looks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ovsct.conntrack.flowtable import FlowTable
from ovsct.conntrack.netfilter import Netfilter
from ovsct.lane import Connection, Event, EventKind

GC: Final = "6.1's gc decides, up to a minute apart, whether an offloaded connection expires"
LOOK: Final = "a packet came between the end of an idle flow and the look that removes it"

TICK: Final = "a UDP stream is two seconds old within the same tick of the kernel's clock"

_STREAM: Final = (2.0, 2.02)
"""Seconds from a UDP connection's first packet: in a tick (10 ms) of it the kernel does not count
it as a stream yet, the model does.
"""
_LOOKS: Final = 2200
"""ms: two looks, after which an idle flow is gone whenever its table was made."""


def offloaded(netfilter: Netfilter, connections: Iterable[Connection]) -> set[str]:
    """The connections in the flow table whose end 6.1 leaves to chance, as events call them."""
    if netfilter.kernel != "6.1":
        return set()
    return {
        f"proto {c.proto} {c.orig.src}:{c.orig.sport} > {c.orig.dst}:{c.orig.dport} zone {c.zone}"
        for c in connections
        if "offload" in c.status
    }


def expired(events: Iterable[Event], known: set[str]) -> bool:
    """Whether one of the connections `known` has expired."""
    return any(
        event.kind is EventKind.CONNECTION_EXPIRED and event.text in known for event in events
    )


def between_looks(flows: FlowTable, now: float) -> bool:
    """Whether `now` (seconds) lies where only the phase of a table's looks decides.

    A table begins to look when the first ``ct`` action of its zone comes; with vswitchd that is
    the time of some packet, which the model has to a few ms only.
    """
    ms = now * 1000
    return any(flow.expires - 20 <= ms <= flow.expires + _LOOKS for flow in flows.flows.values())


def within_a_tick(now: float, before: Iterable[float]) -> bool:
    """Whether a UDP stream that began at one of the times `before` becomes one just about `now`."""
    return any(_STREAM[0] <= now - each <= _STREAM[1] for each in before)
