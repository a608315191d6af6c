"""An entry of OVS's own conntrack in the neutral form that lanes share."""

from __future__ import annotations

from ovsct.conntrack.tuples import V4_LIMIT, to_tuple5, zone_of
from ovsct.conntrack.userspace_entry import Entry
from ovsct.conntrack.userspace_tcp import (
    WSCALE_KNOWN,
    WSCALE_MASK,
    WSCALE_UNKNOWN,
    Peer,
    TcpEntry,
    TcpState,
)
from ovsct.lane import Connection


def neutral(entry: Entry, now_ms: int) -> Connection:
    """`entry` as a :class:`~ovsct.lane.Connection` at `now_ms` (ms).

    A TCP connection's `state` is that of the end that is further on. Its `status` says the rest:
    ``state_orig=S``, ``state_reply=S``, and per end ``wscale_orig=N``, ``flags_orig=F``.
    """
    rare = entry.rare
    state = ""
    status: frozenset[str] = frozenset()
    if isinstance(entry, TcpEntry):
        state = TcpState(max(entry.orig.state, entry.answer.state)).name
        status = frozenset((*_end("orig", entry.orig), *_end("reply", entry.answer)))
    return Connection(
        family=4 if entry.forward < V4_LIMIT else 6,
        proto=entry.forward & 0xFF,
        orig=to_tuple5(entry.forward),
        reply=to_tuple5(entry.reverse),
        zone=zone_of(entry.forward),
        mark=entry.mark,
        label=entry.label,
        state=state,
        timeout=max(0, entry.expires - now_ms) / 1000,
        status=status,
        helper=rare.helper if rare else None,
        parent=to_tuple5(rare.parent) if rare and rare.parent is not None else None,
    )


def _end(side: str, peer: Peer) -> tuple[str, ...]:
    parts = [f"state_{side}={TcpState(peer.state).name}"]
    if peer.wscale & WSCALE_KNOWN:
        parts.append(f"flags_{side}=WINDOW_SCALE")
        if peer.wscale & WSCALE_MASK:
            parts.append(f"wscale_{side}={peer.wscale & WSCALE_MASK}")
    if peer.wscale & WSCALE_UNKNOWN:
        parts.append(f"flags_{side}=BE_LIBERAL")
    return tuple(parts)


def describe(entry: Entry) -> str:
    """A connection in a few words: protocol, original tuple, zone."""
    orig = to_tuple5(entry.forward)
    ends = (
        f"{orig.src}:{orig.sport} > {orig.dst}:{orig.dport}"
        if orig.icmp_id is None
        else f"{orig.src} > {orig.dst} id {orig.icmp_id}"
    )
    return f"protocol {entry.forward & 0xFF} {ends} zone {zone_of(entry.forward)}"
