"""Into what a packet that act_ct put together is cut when a redirect sends it.

net/sched/sch_frag.c and ``ip_do_fragment()``, ``ip6_fragment()``: the fragments leave as they came
while the packet still hangs together from them, else they are as large as the longest one was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ovsct.conntrack.netfilter.fragments import cut_anew, refragment
from ovsct.errors import OvsctError
from ovsct.packet.packet import ETH_IPV4, VLAN_TYPES, Packet

_IDENTS: Final = (1 << 32) - 1

TCP_HEADER: Final = 20
"""Bytes that the kernel pulls together to read or rewrite a TCP header."""


def send_in_pieces(
    packet: Packet, l3: int, protocol: int, pieces: tuple[int, ...], draw: Callable[[int, str], int]
) -> list[bytes]:
    """The frames that `packet` leaves as.

    Args:
        l3: offset of the network header, behind the first tag.
        protocol: its Ethernet type.
        pieces: the payload sizes (bytes) that it came in, empty if it is to be cut anew.
        draw: called with the number of candidates and what they are for, gives an index; the
            kernel draws the identification of IPv6 fragments at random.

    Raises:
        OvsctError: it has two tags, or IPv6 extension headers.
    """
    if len(packet.frame) - l3 <= packet.mru:
        return [packet.frame]
    if protocol in VLAN_TYPES:
        raise OvsctError("a second tag on a packet put together by act_ct is not modelled")
    v4 = protocol == ETH_IPV4
    header = (packet.frame[l3] & 0x0F) * 4 if v4 else 40
    room = packet.mru - header - (0 if v4 else 8)
    data = packet.end - l3 - header
    if not pieces or sum(pieces) != data or any(size > room for size in pieces):
        pieces = cut_anew(data, room)
    ident = 0 if v4 else 1 + draw(_IDENTS, "IPv6 fragment identification")
    return refragment(packet, pieces, ident)

