"""What the kernel remembers of a packet's checksum between two looks (``skb->ip_summed``).

The first look of conntrack sums the packet and keeps the sum (CHECKSUM_COMPLETE); the second only
holds it against the pseudo header, and if that fits, nobody looks again (CHECKSUM_UNNECESSARY).
So a packet that passed twice may be broken by pedit and still be tracked in a third zone.
net/netfilter/utils.c ``nf_ip_checksum()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ovsct.conntrack.netfilter.checks import check
from ovsct.conntrack.tuples import from_key
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP, Packet

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter import Netfilter, Verdict

_PROTO: Final = SLOTS["nw_proto"].shift
_WITH_PSEUDO: Final = (PROTO_TCP, PROTO_UDP)
_SUMMED: Final = (PROTO_TCP, PROTO_UDP, PROTO_ICMP, PROTO_ICMPV6)
_ADDRESSES: Final = 40
"""Shift behind protocol and ports in a tuple: addresses and family."""


class Summed:
    """The state of one packet: `kept` is the pseudo header that its kept sum fits, None: no sum
    is kept; `trusted` once nobody looks any more.
    """

    __slots__ = ("kept", "trusted")

    def __init__(self) -> None:
        self.kept: tuple[int, int, int] | None = None
        self.trusted = False

    def copy(self) -> Summed:
        """The same state for a copy of the packet."""
        twin = Summed()
        twin.kept = self.kept
        twin.trusted = self.trusted
        return twin

    def forget(self) -> None:
        """A checksum action has written a new one (CHECKSUM_NONE)."""
        self.kept = None
        self.trusted = False

    def track(self, netfilter: Netfilter, packet: Packet, zone: int, now: float) -> Verdict:
        """conntrack_in() for a packet that conntrack may have looked at before."""
        proto = packet.key >> _PROTO & 0xFF
        if not self.trusted and self.kept is not None:
            # For ICMP the kept sum is zero and needs no pseudo header, however old it is.
            self.trusted = proto not in _WITH_PSEUDO or self.kept == pseudo(packet)
            if not self.trusted:
                self.kept = None
        if not self.trusted or not netfilter.checksum:
            return netfilter.conntrack_in(packet, zone, now)
        asked = netfilter.checksum
        netfilter.checksum = 0
        try:
            return netfilter.conntrack_in(packet, zone, now)
        finally:
            netfilter.checksum = asked

    def looked(self, packet: Packet) -> None:
        """Conntrack has looked at the packet, and NAT has kept its sum right."""
        proto = packet.key >> _PROTO & 0xFF
        if proto not in _SUMMED or self.trusted or not packet.l4:
            return
        if proto == PROTO_UDP and packet.frame[packet.l4 + 6 : packet.l4 + 8] == b"\0\0":
            return
        if packet.conn is not None or check(packet, from_key(packet.key, 0), 1):
            self.kept = pseudo(packet)


def pseudo(packet: Packet) -> tuple[int, int, int]:
    """What a pseudo header sums: addresses (with the family), protocol, length."""
    key = packet.key
    return from_key(key, 0) >> _ADDRESSES, key >> _PROTO & 0xFF, packet.end - packet.l4
