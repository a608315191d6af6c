"""The short cut of the userspace dialect: a plain segment inside the window of an established TCP
connection, which is what nearly every packet is.

It does what validation (`userspace_validate`), window tracking (`userspace_tcp.update`) and the
writing of the flow key do together, in this one case, in one flat run; tests hold it against them.
"""

from __future__ import annotations

from typing import Final

from ovsct.conntrack.userspace_tcp import HEADER, MAX_ACK_WINDOW, WINDOWS, TcpEntry
from ovsct.packet.checksum import word_sum
from ovsct.packet.fields import CT_EST, CT_RPL, CT_TRK, SLOTS
from ovsct.packet.packet import ETH_IPV4, PROTO_TCP, Packet

_from_bytes = int.from_bytes
_header = HEADER.unpack_from
_S_STATE: Final = SLOTS["ct_state"].shift

PLAIN_MASK: Final = (
    SLOTS["dl_type"].mask
    | SLOTS["nw_proto"].mask
    | SLOTS["nw_frag"].mask
    | SLOTS["ct_state"].mask
    | 0x17
)
PLAIN: Final = ETH_IPV4 << SLOTS["dl_type"].shift | PROTO_TCP << SLOTS["nw_proto"].shift | 0x10
"""What the flow key of such a packet says: IPv4, TCP, whole, untracked, and of the flags FIN, SYN,
RST and ACK only ACK."""

_ORIG: Final = (CT_TRK | CT_EST) << _S_STATE
_REPLY: Final = (CT_TRK | CT_EST | CT_RPL) << _S_STATE
_M32: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000
_LEAST_SKEW: Final = -MAX_ACK_WINDOW & _M32

REPLY: Final = 1
"""The bit of ``packet.ct_info`` that says that the packet goes in the reply direction."""


def steady(entry: TcpEntry, packet: Packet, forward: int, expires: int) -> bool:
    """Take a plain segment of an established connection. False: nothing was done, go the long way.

    Args:
        entry: the connection; its `steady` is set.
        packet: IPv4 and TCP, no fragment, ACK and neither SYN, FIN nor RST, not tracked before.
        forward: its tuple.
        expires: the connection's deadline if the segment is good (ms).
    """
    frame, l4, end = packet.frame, packet.l4, packet.end
    l3 = packet.l3
    size = end - l4
    if l4 - l3 != 20 or size < 20 or _from_bytes(frame[l3:l4], "big") % 65535:
        return False
    # The addresses of the pseudo header stand right before the segment.
    if size > 600:
        total = word_sum(frame[l3 + 12 : end])
    elif size & 1:
        total = _from_bytes(frame[l3 + 12 : end], "big") << 8
    else:
        total = _from_bytes(frame[l3 + 12 : end], "big")
    if (total + 6 + size) % 65535:
        return False
    seq, ack, offset, _, win = _header(frame, l4 + 4)
    offset = (offset >> 4) * 4
    if not 20 <= offset <= size:
        return False
    if forward == entry.forward:
        src, dst = entry.orig, entry.answer
        sws, dws = entry.steady  # type: ignore[misc]
        state = _ORIG
        info = 0
    else:
        src, dst = entry.answer, entry.orig
        dws, sws = entry.steady  # type: ignore[misc]
        state = _REPLY
        info = REPLY
    seqlo = src.seqlo
    skew = dst.seqlo - ack & _M32
    if MAX_ACK_WINDOW < skew < _LEAST_SKEW and (
        skew >= _HALF or skew > MAX_ACK_WINDOW << sws
    ):
        return False
    if size > offset:
        sent = seq + size - offset & _M32
        if (
            src.seqhi - sent & _M32 >= _HALF
            or seq - seqlo + (dst.max_win << dws) & _M32 >= _HALF
        ):
            return False
        if 0 < sent - seqlo & _M32 < _HALF:
            src.seqlo = sent
    elif src.seqhi - seqlo & _M32 >= _HALF:
        return False
    if win > src.max_win:
        src.max_win = WINDOWS[win]
    win <<= sws
    if ack + win - dst.seqhi & _M32 < _HALF:
        dst.seqhi = ack + (win or 1) & _M32
    entry.expires = expires
    packet.key = packet.key | entry.bits | state
    packet.conn = entry
    packet.ct_info = info
    return True
