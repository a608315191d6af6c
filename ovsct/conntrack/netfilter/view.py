"""What a netfilter entry looks like to others: ct_state, the neutral form, words."""

from __future__ import annotations

from typing import Final

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter import tcp
from ovsct.conntrack.netfilter.entry import (
    CONFIRMED,
    DST_NAT,
    ESTABLISHED,
    ESTABLISHED_REPLY,
    NEW,
    RELATED,
    RELATED_REPLY,
    SRC_NAT,
    Entry,
    Status,
)
from ovsct.conntrack.netfilter.sctp import NAMES as SCTP_NAMES
from ovsct.lane import Connection
from ovsct.packet.fields import (
    CT_DNAT,
    CT_EST,
    CT_INV,
    CT_NEW,
    CT_REL,
    CT_RPL,
    CT_SNAT,
    CT_TRK,
)
from ovsct.packet.packet import PROTO_SCTP, PROTO_TCP, Packet

OVS_BITS: Final = {
    NEW: CT_TRK | CT_NEW,
    ESTABLISHED: CT_TRK | CT_EST,
    ESTABLISHED_REPLY: CT_TRK | CT_EST | CT_RPL,
    RELATED: CT_TRK | CT_REL,
    RELATED_REPLY: CT_TRK | CT_REL | CT_RPL,
}
"""ct_state of a packet by its ct_info, NAT and confirmation left out (ovs_ct_get_state())."""

_STATES: Final = {PROTO_TCP: tcp.NAMES, PROTO_SCTP: SCTP_NAMES}


def entry(packet: Packet) -> Entry | None:
    """The netfilter entry that `packet` carries, if any."""
    e = packet.conn
    return e if isinstance(e, Entry) else None


_SHOWN: Final = tuple(
    (int(flag), flag.name.lower().replace("_", "-")) for flag in Status if flag.name
)


def neutral(e: Entry, now: int) -> Connection:
    """An entry in the form that all lanes share; `now` in ms."""
    proto = e.original & 0xFF
    names = _STATES.get(proto)
    master = e.master
    return Connection(
        family=e.family,
        proto=proto,
        orig=tuples.to_tuple5(e.original),
        reply=tuples.to_tuple5(e.reply),
        zone=e.zone,
        mark=e.mark,
        label=e.label,
        state=names[e.state] if names is not None else "",
        timeout=(e.expires - now) / 1000,
        status=frozenset(name for bit, name in _SHOWN if e.status & bit),
        helper=e.helper,
        parent=tuples.to_tuple5(master.original) if master is not None else None,
    )


def describe(e: Entry) -> str:
    """A connection in words: protocol, both ends, zone."""
    t = tuples.to_tuple5(e.original)
    ends = f"{t.src} > {t.dst}" if t.icmp_id is not None or not (t.sport or t.dport) else (
        f"{t.src}:{t.sport} > {t.dst}:{t.dport}"
    )
    return f"proto {e.original & 0xFF} {ends} zone {e.zone}"


def state_bits(packet: Packet, post_ct: bool) -> int:
    """ct_state as the OVS datapath sees it (ovs_ct_update_key()); 0 if not tracked."""
    e = entry(packet)
    if e is None:
        return CT_TRK | CT_INV if post_ct else 0
    state = OVS_BITS[packet.ct_info]
    status = e.status
    if not status & CONFIRMED:
        state |= CT_NEW
    if e.extra is not None and e.extra.master is not None:
        state |= CT_REL
    if status & SRC_NAT:
        state |= CT_SNAT
    if status & DST_NAT:
        state |= CT_DNAT
    return state


def flower_bits(packet: Packet, post_ct: bool) -> int:
    """ct_state as TC flower sees it (skb_flow_dissect_ct()): no snat or dnat."""
    if packet.conn is None:
        return CT_TRK | CT_INV if post_ct else 0
    return OVS_BITS[packet.ct_info]
