"""What differs by protocol: may a packet begin a connection, how one is made and kept up.

OVS 3.1 looks its protocol up by number alone (lib/conntrack.c ``l4_protos``): an IPv6 packet of
protocol 1 has no ICMP tuple, but is judged by ICMP's rules.
"""

from __future__ import annotations

from ovsct.conntrack.userspace_entry import Entry, Stateful
from ovsct.conntrack.userspace_icmp import NEW_TYPES, NEW_TYPES_V6
from ovsct.conntrack.userspace_icmp import ON_PACKET as ICMP_ON_PACKET
from ovsct.conntrack.userspace_icmp import TIMERS as ICMP_TIMERS
from ovsct.conntrack.userspace_load import catch_up
from ovsct.conntrack.userspace_other import BIDIR
from ovsct.conntrack.userspace_other import ON_PACKET as OTHER_ON_PACKET
from ovsct.conntrack.userspace_other import TIMERS as OTHER_TIMERS
from ovsct.conntrack.userspace_tcp import TcpEntry, Verdict, create, update, valid_new
from ovsct.conntrack.userspace_timeouts import Timer
from ovsct.packet.packet import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, Packet

_BEGINNERS = {PROTO_ICMP: NEW_TYPES, PROTO_ICMPV6: NEW_TYPES_V6}


def may_begin(packet: Packet, tuple_: int) -> bool:
    """May this packet begin a connection (each protocol's ``valid_new()``)?"""
    proto = tuple_ & 0xFF
    if proto == PROTO_TCP:
        return valid_new(packet.frame[packet.l4 + 13])
    types = _BEGINNERS.get(proto)
    if types is None:
        return True
    return packet.l4 < len(packet.frame) and packet.frame[packet.l4] in types


def new_entry(packet: Packet, tuple_: int, back: int) -> tuple[Entry, Timer]:
    """The connection that `packet` begins, and its first timer (each ``new_conn()``)."""
    proto = tuple_ & 0xFF
    if proto == PROTO_TCP:
        return create(tuple_, back, packet), Timer.TCP_FIRST_PACKET
    timer = Timer.ICMP_FIRST if proto in _BEGINNERS else Timer.OTHER_FIRST
    return Stateful(tuple_, back, 0, 0, 0), timer


def take(
    entry: Entry, packet: Packet, reply: bool, check_sequence: bool
) -> tuple[Verdict, Timer | None]:
    """Take a packet of a known connection (each ``conn_update()``): verdict, and timer to start."""
    if isinstance(entry, TcpEntry):
        if entry.rare is not None and entry.rare.unseen:
            catch_up(entry, packet, reply)
        taken = update(entry, packet, reply, check_sequence)
        entry.settle()
        return taken
    assert isinstance(entry, Stateful)
    if entry.forward & 0xFF in _BEGINNERS:
        entry.state = ICMP_ON_PACKET[entry.state][reply]
        verdict = Verdict.VALID if entry.state else Verdict.VALID_NEW
        return verdict, ICMP_TIMERS[entry.state]
    entry.state = OTHER_ON_PACKET[entry.state][reply]
    verdict = Verdict.VALID if entry.state == BIDIR else Verdict.VALID_NEW
    return verdict, OTHER_TIMERS[entry.state]
