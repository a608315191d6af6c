"""Changes carried into the checksums of a frame under the knife (OVS lib/packets.c, 3.1).

Each function takes the frame as a bytearray and changes the checksum alone; the bytes themselves
are the caller's to write.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.checksum import crc32c, update
from ovsct.packet.packet import PROTO_ICMPV6, PROTO_TCP, PROTO_UDP

_TRANSPORT_SUM: Final = {
    PROTO_TCP: (16, 20),
    PROTO_UDP: (6, 8),
    PROTO_ICMPV6: (2, 4),
}
"""By protocol: offset of the checksum, and how long the header must be for OVS to touch it."""


def carry(buffer: bytearray, at: int, old: int, new: int, size: int) -> None:
    """Carry a change of `size` bytes into the checksum at offset `at`."""
    total = update(buffer[at] << 8 | buffer[at + 1], old, new, size)
    buffer[at] = total >> 8
    buffer[at + 1] = total & 0xFF


def carry_pseudo(
    buffer: bytearray, proto: int, l4: int, end: int, old: int, new: int, size: int
) -> None:
    """Carry a change of the pseudo header into the transport's checksum.

    OVS does not ask whether this is a later fragment: what stands where the checksum would be is
    changed all the same (``packet_set_ipv4_addr()``).
    """
    where = _TRANSPORT_SUM.get(proto)
    if where is None or end - l4 < where[1] or (proto == PROTO_ICMPV6 and size != 16):
        return
    at = l4 + where[0]
    if proto == PROTO_UDP:
        if buffer[at] or buffer[at + 1]:
            carry(buffer, at, old, new, size)
            no_zero(buffer, at)
    else:
        carry(buffer, at, old, new, size)


def no_zero(buffer: bytearray, at: int) -> None:
    """A UDP checksum of 0 would mean "none": it is sent as 0xffff (RFC 768)."""
    if not (buffer[at] or buffer[at + 1]):
        buffer[at] = buffer[at + 1] = 0xFF


def carry_sctp(buffer: bytearray, l4: int, end: int, before: bytes) -> None:
    """A wrong CRC stays wrong by the same bits (OVS ``packet_set_sctp_port()``)."""
    right = crc32c(before[:8] + bytes(4) + before[12:])
    now = crc32c(bytes(buffer[l4 : l4 + 8]) + bytes(4) + bytes(buffer[l4 + 12 : end]))
    crc = int.from_bytes(buffer[l4 + 8 : l4 + 12], "little") ^ right ^ now
    buffer[l4 + 8 : l4 + 12] = crc.to_bytes(4, "little")
