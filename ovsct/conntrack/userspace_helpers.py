"""FTP and TFTP helpers of OVS's own conntrack (OVS 3.1 lib/conntrack.c ``handle_ftp_ctl()``).

A control connection that was committed with ``alg=`` announces data connections: PORT and 227 over
IPv4, EPRT and "EXTENDED PASSIVE" over IPv6, and for TFTP any packet at all. What is announced is
*expected*: a packet to that port is related, takes over mark and label, and has the control
connection's original tuple. An expectation is not used up, and goes with its control connection.

The message is read as OVS reads it: at most 127 bytes and never the last one, up to a zero byte.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from ovsct.conntrack.tuples import pack, unpack
from ovsct.conntrack.userspace_entry import Entry
from ovsct.packet.checksum import checksum, update16
from ovsct.packet.packet import ETH_IPV6, PROTO_TCP, PROTO_UDP, Packet

FTP: Final = "ftp"
TFTP: Final = "tftp"
FTP_PORT: Final = 21
TFTP_PORT: Final = 69

LONGEST_MESSAGE: Final = 128

ROOM: Final = {4: 8, 6: 45}
"""By family: bytes that have to be free behind a packet before its payload is translated."""


def control_kind(packet: Packet, helper: str | None) -> str | None:
    """Is this a control packet of FTP or TFTP (OVS ``get_alg_ctl_type()``)?

    By port 21 or 69; with a helper named, every packet of its protocol is. The protocol is read
    where it stands in an untagged frame without IPv6 extension headers, as OVS does.
    """
    frame, l3, l4 = packet.frame, packet.l3, packet.l4
    v6 = frame[12:14] == ETH_IPV6.to_bytes(2, "big")
    proto = frame[l3 + 6] if v6 else frame[l3 + 9]
    if proto not in (PROTO_TCP, PROTO_UDP) or len(frame) < l4 + 4:
        return None
    dport = frame[l4 + 2] << 8 | frame[l4 + 3]
    if proto == PROTO_UDP:
        named = helper is not None and helper.startswith(TFTP) and dport
        return TFTP if dport == TFTP_PORT or named else None
    named = helper is not None and helper.startswith(FTP) and dport
    if dport == FTP_PORT or named or (frame[l4] << 8 | frame[l4 + 1]) == FTP_PORT:
        return FTP
    return None


def helper_fits(helper: str | None, kind: str | None) -> bool:
    """May a connection have this helper (OVS ``ct_verify_helper()``)?"""
    return kind is None or (helper is not None and helper.startswith(kind))


class Expectation(NamedTuple):
    """An announced connection. `parent`: forward tuple of the control connection; `address` takes
    the place of an end if the connection is translated: the destination's answer (`source`), that
    is SNAT, or the other, that is DNAT.
    """

    parent: int
    mark: int
    label: int
    address: int
    source: bool


def message(packet: Packet) -> bytes:
    """The part of the TCP payload that is looked at."""
    l4 = packet.l4
    start = l4 + (packet.frame[l4 + 12] >> 4) * 4
    size = min(packet.end - start, LONGEST_MESSAGE)
    return packet.frame[start : start + max(size - 1, 0)].split(b"\0", 1)[0]


def of_interest(text: bytes, family: int) -> bool:
    """Does a message announce something (OVS ``detect_ftp_ctl_type()``)?"""
    if family == 6:
        return text[:4].upper() == b"EPRT" or b"EXTENDED PASSIVE" in text.upper()
    return text[:4].upper() == b"PORT" or text[:3] == b"227"


class Announced(NamedTuple):
    """What a message announces: the port, and where in the payload the address stands that
    `address` is to take the place of (`size` 0: none to be translated).
    """

    port: int
    at: int
    size: int
    address: int


_V4: Final = re.compile(
    rb"[^ ]* [^0-9]*(?P<address>[0-9][^,]*(?:,[^,]*){3}),(?P<high>[0-9]{1,4}+).(?P<low>[0-9]+)",
    re.DOTALL,
)
"""After the command: a space, anything, the address, and both halves of the port. Nothing that a
part has taken is given back (``+``), as OVS never goes back either."""


def read_v4(text: bytes, entry: Entry) -> Announced | None:
    """PORT or 227 (OVS ``process_ftp_ctl_v4()``); None: of wrong form, or of another's address."""
    active = text[:4].upper() == b"PORT"
    command = 4 if active else 3
    match = _V4.match(text, command)
    if match is None or int(match["high"]) > 255 or int(match["low"]) > 255:
        return None
    try:
        said = int(IPv4Address(match["address"].replace(b",", b".").decode("ascii", "replace")))
    except AddressValueError:
        return None
    forward, back = unpack(entry.forward), unpack(entry.reverse)
    wanted, own = (back.dst, forward.src) if active else (forward.dst, back.src)
    if said not in (wanted, own):
        return None
    port = int(match["high"]) << 8 | int(match["low"])
    return Announced(port, match.start("address"), len(match["address"]), wanted)


_EPRT: Final = re.compile(
    rb"EPRT[^0-9]*2[^0-9](?P<address>[0-9A-Fa-f:.]*+).(?P<port>[0-9]{1,6})", re.I | re.DOTALL
)
_EPSV: Final = re.compile(rb"[^(]*\([^0-9]*(?P<port>[0-9]{1,6})", re.DOTALL)


def read_v6(text: bytes, entry: Entry) -> Announced | None:
    """EPRT or 229 (OVS ``process_ftp_ctl_v6()``); None: of wrong form, or of another's address."""
    forward, back = unpack(entry.forward), unpack(entry.reverse)
    if text[:4].upper() != b"EPRT":
        match = _EPSV.match(text)
        if match is None or int(match["port"]) > 65535:
            return None
        return Announced(int(match["port"]), 0, 0, forward.dst)
    match = _EPRT.match(text)
    if match is None or int(match["port"]) > 65535:
        return None
    try:
        said = int(IPv6Address(match["address"].decode("ascii")))
    except AddressValueError:
        return None
    if said not in (back.dst, forward.src):
        return None
    return Announced(int(match["port"]), match.start("address"), len(match["address"]), back.dst)


def expect(entry: Entry, port: int, reply: bool) -> tuple[int, Expectation]:
    """The tuple that is expected, without its source port, and the expectation
    (OVS ``expectation_create()``). `reply`: the announcement went in the reply direction.
    """
    forward, back = unpack(entry.forward), unpack(entry.reverse)
    dnat = entry.rare is not None and entry.rare.nat == 2
    if reply:
        src, dst = forward.src, forward.dst
        address, source = (back.src, False) if dnat else (back.dst, True)
    else:
        src, dst = back.src, back.dst
        address, source = (forward.dst, True) if dnat else (forward.src, False)
    wanted = forward._replace(src=src, dst=dst, sport=0, dport=port)
    return pack(wanted), Expectation(
        entry.forward, entry.mark, entry.label, address, source
    )


def replace_address(packet: Packet, family: int, announced: Announced, room: int) -> int:
    """Put the translated address into the payload (OVS ``repl_ftp_v4_addr()``, ``_v6_addr()``).

    Nothing is done if fewer bytes are free behind the packet than could be needed. Returns by how
    much the payload grew.
    """
    if not announced.size or room < ROOM[family]:
        return 0
    if family == 4:
        new = str(IPv4Address(announced.address)).replace(".", ",").encode()
    else:
        new = str(IPv6Address(announced.address)).encode()
    frame, l3, l4 = packet.frame, packet.l3, packet.l4
    at = l4 + (frame[l4 + 12] >> 4) * 4 + announced.at
    delta = len(new) - announced.size
    # OVS 3.1 counts what follows in 8 bits, so that of a long packet only a part is moved.
    follows = (len(frame) - at & 0xFF) - announced.size
    buffer = bytearray(frame + bytes(max(delta, 0)))
    moved = bytes(buffer[at + announced.size : at + announced.size + max(follows, 0)])
    buffer[at + len(new) : at + len(new) + len(moved)] = moved
    buffer[at : at + len(new)] = new
    frame = bytes(buffer[: len(packet.frame) + delta])
    if delta:
        where = l3 + 2 if family == 4 else l3 + 4
        old = frame[where] << 8 | frame[where + 1]
        length = old + delta & 0xFFFF
        frame = frame[:where] + length.to_bytes(2, "big") + frame[where + 2 :]
        if family == 4:
            total = update16(frame[l3 + 10] << 8 | frame[l3 + 11], old, length)
            frame = frame[: l3 + 10] + total.to_bytes(2, "big") + frame[l3 + 12 :]
    packet.frame = frame
    packet.end += delta
    return delta


def adjust(packet: Packet, at: int, by: int) -> None:
    """Add to the sequence number at offset `at` of the TCP header."""
    where = packet.l4 + at
    frame = packet.frame
    number = int.from_bytes(frame[where : where + 4], "big") + by & 0xFFFFFFFF
    packet.frame = frame[:where] + number.to_bytes(4, "big") + frame[where + 4 :]


def refresh_checksum(packet: Packet, family: int) -> None:
    """Calculate the TCP checksum anew."""
    frame, l3, l4, end = packet.frame, packet.l3, packet.l4, packet.end
    addresses = frame[l3 + 12 : l3 + 20] if family == 4 else frame[l3 + 8 : l3 + 40]
    pseudo = int.from_bytes(addresses, "big") + PROTO_TCP + end - l4
    segment = frame[l4 : l4 + 16] + b"\0\0" + frame[l4 + 18 : end]
    total = checksum(segment, pseudo).to_bytes(2, "big")
    packet.frame = frame[: l4 + 16] + total + frame[l4 + 18 :]
