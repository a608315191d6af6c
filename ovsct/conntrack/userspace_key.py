"""Between the flow key and what OVS's own conntrack knows of packets without a connection."""

from __future__ import annotations

from ovsct.conntrack.tuples import Parts, is_icmp, pack, unpack, with_ports
from ovsct.conntrack.userspace_entry import no_connection_bits
from ovsct.conntrack.userspace_helpers import Expectation
from ovsct.packet.fields import SLOTS


def unknown_bits(tuple_: int, zone: int, expected: Expectation | None) -> int:
    """What the key says of a packet without a connection; of an expected one, its parent's."""
    if expected is None:
        return no_connection_bits(tuple_, zone)
    return no_connection_bits(expected.parent, zone, expected.mark, expected.label)


def original_tuple(key: int, tuple_: int) -> int | None:
    """The tuple that the flow key's original tuple stands for; `tuple_` is the packet's own."""
    proto = SLOTS["ct_nw_proto"].get(key)
    if not proto:
        return None
    family, _, _, _, sport, _, zone = unpack(tuple_)
    src, dst = ("ct_nw_src", "ct_nw_dst") if family == 4 else ("ct_ipv6_src", "ct_ipv6_dst")
    ports = SLOTS["ct_tp_src"].get(key), SLOTS["ct_tp_dst"].get(key)
    made = pack(Parts(family, proto, SLOTS[src].get(key), SLOTS[dst].get(key), *ports, zone))
    if is_icmp(made):
        return with_ports(made, sport, SLOTS["ct_tp_src"].get(key) << 8)
    return made
