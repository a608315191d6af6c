"""Payload that a helper rewrites, and the sequence numbers that are off from then on.

net/netfilter/nf_nat_helper.c and nf_conntrack_seqadj.c. Each direction remembers one point in its
stream: what was sent up to there is off by `before` bytes, what follows by `behind`.
"""

from __future__ import annotations

from typing import Final

from ovsct.conntrack.netfilter.entry import IS_REPLY, SEQ_ADJUST, Entry, Verdict
from ovsct.conntrack.netfilter.manip import carry
from ovsct.conntrack.netfilter.window import M32, SIGN, offset
from ovsct.packet.checksum import checksum
from ovsct.packet.packet import PROTO_TCP, Packet

_LONGEST: Final = 65535
_SACK: Final = 5


def mangle(packet: Packet, e: Entry, reply: int, at: int, size: int, new: bytes) -> bool:
    """nf_nat_mangle_tcp_packet(): put `new` in place of `size` bytes at offset `at` of the frame.

    Lengths and checksums follow. False: it would become too long.
    """
    frame, l3, l4 = packet.frame, packet.l3, packet.l4
    grown = len(new) - size
    length = packet.end - l3 + grown
    if length > _LONGEST:
        return False
    buffer = bytearray(frame[:at] + new + frame[at + size : packet.end])
    end = packet.end + grown
    if buffer[l3] >> 4 == 4:
        buffer[l3 + 2 : l3 + 4] = length.to_bytes(2, "big")
        buffer[l3 + 10 : l3 + 12] = b"\0\0"
        buffer[l3 + 10 : l3 + 12] = checksum(bytes(buffer[l3:l4])).to_bytes(2, "big")
        addresses = buffer[l3 + 12 : l3 + 20]
    else:
        buffer[l3 + 4 : l3 + 6] = (length - 40).to_bytes(2, "big")
        addresses = buffer[l3 + 8 : l3 + 40]
    pseudo = int.from_bytes(addresses, "big") + PROTO_TCP + end - l4
    buffer[l4 + 16 : l4 + 18] = b"\0\0"
    buffer[l4 + 16 : l4 + 18] = checksum(bytes(buffer[l4:]), pseudo).to_bytes(2, "big")
    packet.frame = bytes(buffer)
    packet.end = end
    if grown:
        _note(e, reply, int.from_bytes(frame[l4 + 4 : l4 + 8], "big"), grown)
    return True


def _note(e: Entry, reply: int, seq: int, grown: int) -> None:
    """nf_ct_seqadj_set(): the segment at `seq` has become longer by `grown` bytes."""
    e.status |= SEQ_ADJUST
    extra = e.more()
    if extra.adjust is None:
        extra.adjust = ([0, 0, 0], [0, 0, 0])
    way = extra.adjust[reply]
    # A retransmission of the same announcement is no second correction.
    if way[1] == way[2] or (way[0] - seq) & SIGN:
        way[0], way[1], way[2] = seq, way[2], way[2] + grown


def adjust(packet: Packet, e: Entry) -> Verdict:
    """nf_ct_seq_adjust(): make the numbers of a segment those that its receiver counts in."""
    ways = e.extra.adjust if e.extra is not None else None
    if ways is None or packet.end - packet.l4 < 20:
        return Verdict.ACCEPT if ways is None else Verdict.DROP
    reply = 1 if packet.ct_info >= IS_REPLY else 0
    this, other = ways[reply], ways[1 - reply]
    buffer = bytearray(packet.frame)
    l4 = packet.l4
    seq, ack = (int.from_bytes(buffer[at : at + 4], "big") for at in (l4 + 4, l4 + 8))
    _put(buffer, l4, l4 + 4, (seq + offset(this, seq)) & M32)
    _put(buffer, l4, l4 + 8, _taken_back(other, ack))
    whole = _adjust_sack(buffer, l4, other)
    packet.frame = bytes(buffer)
    return Verdict.ACCEPT if whole else Verdict.DROP


def _taken_back(way: list[int], ack: int) -> int:
    """An acknowledged number of a direction as its sender counts."""
    return (ack - offset(way, (ack - way[1]) & M32)) & M32


def _put(buffer: bytearray, l4: int, at: int, new: int) -> None:
    carry(buffer, l4 + 16, int.from_bytes(buffer[at : at + 4], "big"), new)
    buffer[at : at + 4] = new.to_bytes(4, "big")


def _adjust_sack(buffer: bytearray, l4: int, way: list[int]) -> bool:
    """nf_ct_sack_adjust(); False if an option is cut short."""
    at, stop = l4 + 20, l4 + (buffer[l4 + 12] >> 4) * 4
    while at < stop:
        kind = buffer[at]
        if kind == 0:
            return True
        if kind == 1:
            at += 1
            continue
        size = buffer[at + 1] if at + 1 < stop else 0
        if size < 2 or at + size > stop:
            return False
        if kind == _SACK and size >= 10 and (size - 2) % 8 == 0:
            for edge in range(at + 2, at + size, 4):
                old = int.from_bytes(buffer[edge : edge + 4], "big")
                _put(buffer, l4, edge, _taken_back(way, old))
        at += size
    return True
