"""Set actions as OVS's userspace datapath does them (lib/odp-execute.c, lib/packets.c, 3.1).

A frame is immutable: an edit builds a new one and moves the packet's key along. Checksums are
updated incrementally, so that a wrong one stays wrong by the same amount. Which bytes a slot is,
and what covers them, is the table of :mod:`ovsct.packet.places`. The other edits, of tags and
labels (:mod:`ovsct.packet.tags`) and for NAT (:mod:`ovsct.packet.nat`), can be had from here too.

Edits of addresses, ports and ICMP, and a pushed label, make OVS forget the connection that an
earlier ``ct()`` attached (``pkt_metadata_init_conn()``); a kernel's ``skb`` keeps it: `keep_conn`.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.carry import carry, carry_pseudo, carry_sctp, no_zero
from ovsct.packet.checksum import checksum, pseudo_ipv6
from ovsct.packet.fields import SLOTS
from ovsct.packet.nat import rewrite_inner, rewrite_ipv4, rewrite_ipv6
from ovsct.packet.packet import PROTO_FRAGMENT, Packet
from ovsct.packet.places import KIND, Header, Sum, Write, plan_writes
from ovsct.packet.tags import label_at, pop_mpls, pop_vlan, push_mpls, push_vlan, tags, trunc

__all__ = [
    "pop_mpls",
    "pop_vlan",
    "push_mpls",
    "push_vlan",
    "rewrite_inner",
    "rewrite_ipv4",
    "rewrite_ipv6",
    "set_fields",
    "trunc",
]

_from_bytes = int.from_bytes


def set_fields(packet: Packet, value: int, mask: int, *, keep_conn: bool = False) -> None:
    """Do a masked set: the bits of `mask` in the packet become those of `value`.

    Both are laid out as a flow key. Bits beside the frame (mark, priority, tunnel, ...) change in
    the key alone. What the packet has no header for, or what OVS leaves alone because the header is
    cut short, stays untouched in frame and key.

    Args:
        packet: changed in place.
        value: the new values; bits outside `mask` are ignored.
        mask: the bits to set.
        keep_conn: the connection stays attached, as to a kernel's ``skb``.

    Raises:
        ValueError: the mask names a header slot that no set action can write.
    """
    key = packet.key
    plan = plan_writes(mask, key & KIND)
    if plan.beside:
        packet.key = (key & plan.keep) | (value & plan.beside)
    if plan.headers:
        job = _Job(packet, value, mask, keep_conn)
        for header, writes in plan.headers:
            _EDITORS[header](job, writes)
        packet.frame = bytes(job.buffer)


class _Job:
    """One set action under way: the packet, its bytes, and what to set."""

    __slots__ = ("buffer", "keep_conn", "mask", "packet", "value")

    def __init__(self, packet: Packet, value: int, mask: int, keep_conn: bool) -> None:
        self.packet = packet
        self.buffer = bytearray(packet.frame)
        self.value = value
        self.mask = mask
        self.keep_conn = keep_conn

    def put(self, base: int, write: Write) -> tuple[int, int]:
        """Write one place into header and key; returns what was there and what is there now."""
        packet, value = self.packet, self.value
        start = base + write.at
        stop = start + write.size
        old = _from_bytes(self.buffer[start:stop], "big")
        new = old & write.keep
        for shift, ones, low in write.parts:
            new |= (value >> shift & ones) << low
        if new != old:
            self.buffer[start:stop] = new.to_bytes(write.size, "big")
        packet.key = (packet.key & ~write.slots) | (value & write.slots)
        return old, new

    def forget(self) -> None:
        """The connection that was attached is not looked up again (unless a kernel keeps it)."""
        if not self.keep_conn:
            self.packet.conn = None


def _set_plain(job: _Job, base: int, writes: tuple[Write, ...]) -> None:
    for write in writes:
        if base + write.at + write.size <= len(job.buffer):
            job.put(base, write)


def _set_ethernet(job: _Job, writes: tuple[Write, ...]) -> None:
    _set_plain(job, 0, writes)


def _set_mpls(job: _Job, writes: tuple[Write, ...]) -> None:
    _set_plain(job, label_at(job.packet), writes)


def _set_arp(job: _Job, writes: tuple[Write, ...]) -> None:
    _set_plain(job, job.packet.l3, writes)


def _set_nsh(job: _Job, writes: tuple[Write, ...]) -> None:
    _set_plain(job, job.packet.l3, writes)


def _set_nsh_contexts(job: _Job, writes: tuple[Write, ...]) -> None:
    # OVS odp_set_nsh(): only metadata of type 1 has them.
    if job.buffer[job.packet.l3 + 2] & 0xF == 1:
        _set_plain(job, job.packet.l3, writes)


def _set_ipv4(job: _Job, writes: tuple[Write, ...]) -> None:
    packet, buffer = job.packet, job.buffer
    l3, l4 = packet.l3, packet.l4
    if not l4:
        return
    for write in writes:
        old, new = job.put(l3, write)
        if old == new:
            continue
        if write.covered is Sum.IPV4_AND_PSEUDO:
            carry_pseudo(buffer, buffer[l3 + 9], l4, packet.end, old, new, 4)
            job.forget()
        carry(buffer, l3 + 10, old, new, write.size)


def _set_ipv6(job: _Job, writes: tuple[Write, ...]) -> None:
    packet, buffer = job.packet, job.buffer
    l3, l4 = packet.l3, packet.l4
    if not l4:
        return
    routed, proto, whole = _routing(buffer, l3, l4)
    for write in writes:
        old, new = job.put(l3, write)
        if old == new or write.covered is Sum.NONE:
            continue
        job.forget()
        # With segments left, the pseudo header has the final destination, not this one.
        if whole and not (routed and write.at == 24):
            carry_pseudo(buffer, proto, l4, packet.end, old, new, 16)


def _routing(frame: bytes | bytearray, l3: int, l4: int) -> tuple[bool, int, bool]:
    """OVS ``packet_rh_present()``: is there a routing header with segments left?

    Also the last protocol it saw, and whether addresses enter a checksum here: behind a fragment
    header it says so for a first fragment only, so that an atomic fragment (RFC 6946) keeps its
    transport checksum as it is.
    """
    proto, at = frame[l3 + 6], l3 + 40
    whole = True
    while proto in (0, 43, 44, 51, 60):
        if l4 - at < 8:
            return False, proto, whole
        kind, proto = proto, frame[at]
        if kind == PROTO_FRAGMENT:
            whole = frame[at + 2] << 8 | frame[at + 3] & 0xF9 == 1
            size = 8
        elif kind == 51:
            size = (frame[at + 1] + 2) * 4
        else:
            if kind == 43 and frame[at + 3]:
                return True, kind, whole
            size = (frame[at + 1] + 1) * 8
        if l4 - at < size:
            return False, proto, whole
        at += size
    return False, proto, whole


def _set_tcp(job: _Job, writes: tuple[Write, ...]) -> None:
    packet, buffer = job.packet, job.buffer
    l4, size = packet.l4, packet.end - packet.l4
    if not l4 or size < 20 or not 20 <= (buffer[l4 + 12] >> 4) * 4 <= size:
        return
    for write in writes:
        old, new = job.put(l4, write)
        if old != new:
            carry(buffer, l4 + 16, old, new, 2)
    job.forget()


def _set_udp(job: _Job, writes: tuple[Write, ...]) -> None:
    packet, buffer = job.packet, job.buffer
    l4 = packet.l4
    if not l4 or packet.end - l4 < 8:
        return
    summed = buffer[l4 + 6] or buffer[l4 + 7]
    for write in writes:
        old, new = job.put(l4, write)
        if summed and old != new:
            carry(buffer, l4 + 6, old, new, 2)
    if summed:
        no_zero(buffer, l4 + 6)
    job.forget()


def _set_sctp(job: _Job, writes: tuple[Write, ...]) -> None:
    packet, buffer = job.packet, job.buffer
    l4 = packet.l4
    if not l4 or packet.end - l4 < 12:
        return
    before = bytes(buffer[l4 : packet.end])
    for write in writes:
        job.put(l4, write)
    carry_sctp(buffer, l4, packet.end, before)
    job.forget()


def _set_icmp(job: _Job, writes: tuple[Write, ...]) -> None:
    packet, buffer = job.packet, job.buffer
    l4 = packet.l4
    if not l4 or packet.end - l4 < 8:
        return
    for write in writes:
        old, new = job.put(l4, write)
        if old != new:
            carry(buffer, l4 + 2, old, new, 2)
    job.forget()


def _set_nd(job: _Job, writes: tuple[Write, ...]) -> None:
    """Target and link-layer address (``packet_set_nd()``), then flags and type (``.._ext()``)."""
    packet, buffer, mask = job.packet, job.buffer, job.mask
    value = job.value & mask
    l4, end = packet.l4, packet.end
    if not l4 or end - l4 < 24:
        return
    target = SLOTS["nd_target"]
    old = _from_bytes(buffer[l4 + 8 : l4 + 24], "big")
    new = (old & ~target.get(mask)) | target.get(value)
    if old != new:
        buffer[l4 + 8 : l4 + 24] = new.to_bytes(16, "big")
        carry(buffer, l4 + 2, old, new, 16)
        job.forget()
    at = _link_address(buffer, l4 + 24, end)
    if at is not None:
        slot = SLOTS["arp_sha" if buffer[at] == 1 else "arp_tha"]
        old = _from_bytes(buffer[at + 2 : at + 8], "big")
        new = (old & ~slot.get(mask)) | slot.get(value)
        if old != new:
            buffer[at + 2 : at + 8] = new.to_bytes(6, "big")
            carry(buffer, l4 + 2, old, new, 6)
    reserved, kind = SLOTS["nd_reserved"], SLOTS["nd_options_type"]
    if mask & (reserved.mask | kind.mask):
        if mask & reserved.mask:
            buffer[l4 + 4 : l4 + 8] = reserved.get(value).to_bytes(4, "big")
        if mask & kind.mask and l4 + 24 < len(buffer):
            buffer[l4 + 24] = kind.get(value)
        _refresh_nd(buffer, packet.l3, l4, end)
    packet.reparse(bytes(buffer), tags(packet.key))


def _link_address(buffer: bytearray, at: int, end: int) -> int | None:
    """Offset of the first link-layer address option of 8 bytes, as ``packet_set_nd()`` walks.

    It steps over an option and then takes the length of the next one off what remains.
    """
    remain = end - at
    while remain >= 8 and buffer[at + 1]:
        if buffer[at] in (1, 2) and buffer[at + 1] == 1:
            return at
        at += buffer[at + 1] * 8
        if at + 8 > end:
            return None
        remain -= buffer[at + 1] * 8
    return None


def _refresh_nd(buffer: bytearray, l3: int, l4: int, end: int) -> None:
    # OVS packet_set_nd_ext() takes next header and length from the IPv6 header as they stand.
    buffer[l4 + 2 : l4 + 4] = b"\0\0"
    pseudo = pseudo_ipv6(
        _from_bytes(buffer[l3 + 8 : l3 + 24], "big"),
        _from_bytes(buffer[l3 + 24 : l3 + 40], "big"),
        buffer[l3 + 6],
        buffer[l3 + 4] << 8 | buffer[l3 + 5],
    )
    buffer[l4 + 2 : l4 + 4] = checksum(bytes(buffer[l4:end]), pseudo).to_bytes(2, "big")


_EDITORS: Final = {
    Header.ETHERNET: _set_ethernet,
    Header.MPLS: _set_mpls,
    Header.ARP: _set_arp,
    Header.IPV4: _set_ipv4,
    Header.IPV6: _set_ipv6,
    Header.TCP: _set_tcp,
    Header.UDP: _set_udp,
    Header.SCTP: _set_sctp,
    Header.ICMP: _set_icmp,
    Header.ND: _set_nd,
    Header.NSH: _set_nsh,
    Header.NSH_CONTEXTS: _set_nsh_contexts,
}
