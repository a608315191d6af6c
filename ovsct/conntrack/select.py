"""Which connections to flush: by zone, mark and (part of) a tuple.

As ``ovs-appctl dpctl/flush-conntrack [zone=N] [ct-origin-tuple [ct-reply-tuple]]`` of OVS 3.1 does
(lib/ct-dpif.c ``ct_dpif_parse_tuple()``, ``ct_dpif_flush()``), and ``conntrack -D -m MARK[/MASK]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Final

from ovsct.errors import InputError
from ovsct.lane import Connection, Tuple5
from ovsct.packet.packet import PROTO_ICMP, PROTO_ICMPV6

_V4: Final = ("ct_nw_src", "ct_nw_dst")
_V6: Final = ("ct_ipv6_src", "ct_ipv6_dst")
_ICMP: Final = (PROTO_ICMP, PROTO_ICMPV6)
_NUMBERS: Final = {
    "ct_tp_src": (16, "sport", False), "ct_tp_dst": (16, "dport", False),
    "icmp_id": (16, "icmp_id", True), "icmp_type": (8, "icmp_type", True),
    "icmp_code": (8, "icmp_code", True),
}  # fmt: skip
"""Bits, field of `Ends`, and whether it is one of ICMP."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Part of a tuple; an address None and a port 0 do not matter. ICMP's numbers always do."""

    src: str | None = None
    dst: str | None = None
    sport: int = 0
    dport: int = 0
    icmp_id: int = 0
    icmp_type: int = 0
    icmp_code: int = 0

    def fits(self, t: Tuple5, icmp: bool) -> bool:
        """Whether a direction of a connection has all that this says."""
        if not _same_address(self.src, t.src) or not _same_address(self.dst, t.dst):
            return False
        if icmp:
            numbers = (t.icmp_id or 0, t.icmp_type or 0, t.icmp_code or 0)
            return (self.icmp_id, self.icmp_type, self.icmp_code) == numbers
        return self.sport in (0, t.sport) and self.dport in (0, t.dport)


NOWHERE: Final = Ends()


@dataclass(frozen=True, slots=True)
class Selection:
    """Connections by zone, family (4, 6), protocol, parts of both tuples, and mark (value, mask).

    What is None or 0 does not matter, but: an original tuple that is complete, without a reply
    tuple, is that of one connection, in zone 0 if no zone is given; and if the protocol is ICMP,
    the identifier, type and code of *both* tuples have to be given to find anything, as in OVS 3.1.
    """

    zone: int | None = None
    family: int = 0
    proto: int = 0
    orig: Ends = NOWHERE
    reply: Ends = NOWHERE
    mark: tuple[int, int] | None = None

    @property
    def one(self) -> bool:
        """Whether it is a single connection that is meant (``ofp_ct_tuple_is_five_tuple()``)."""
        orig = self.orig
        if orig.src is None or orig.dst is None or self.reply != NOWHERE:
            return False
        return self.proto in _ICMP or bool(orig.sport and orig.dport)

    def fits(self, c: Connection) -> bool:
        """Whether `c` is one of them."""
        zone = 0 if self.zone is None and self.one else self.zone
        if zone not in (None, c.zone) or self.family not in (0, c.family):
            return False
        if self.mark is not None and c.mark & self.mark[1] != self.mark[0] & self.mark[1]:
            return False
        if self.proto not in (0, c.proto):
            return False
        icmp = self.proto in _ICMP
        if not self.orig.fits(c.orig, icmp):
            return False
        return self.one or self.reply.fits(c.reply, icmp)


EVERYTHING: Final = Selection()
"""All connections."""


def _same_address(wanted: str | None, there: str) -> bool:
    return wanted is None or ip_address(wanted) == ip_address(there)


def parse_selection(words: Sequence[str]) -> Selection:
    """The words behind ``dpctl/flush-conntrack``, and ``mark=V[/M]``, which only ovsct knows.

    A tuple is ``ct_nw_src=10.1.1.1,ct_nw_proto=17,ct_tp_src=1``, or the same with ``ct_ipv6_*``.

    Raises:
        InputError: a word is none of these, or there are more than two tuples.
    """
    zone: int | None = None
    mark: tuple[int, int] | None = None
    family = proto = 0
    ends: list[Ends] = []
    for word in words:
        if word.startswith("zone=") and not ends:
            zone = _number(word, word[5:], 16)
        elif word.startswith("mark=") and not ends:
            value, _, mask = word[5:].partition("/")
            mark = _number(word, value, 32), _number(word, mask or "0xffffffff", 32)
        elif len(ends) == 2:
            raise InputError("more than two tuples", token=word)
        else:
            found, family, proto = _ends(word, family, proto)
            ends.append(found)
    orig, reply = (*ends, NOWHERE, NOWHERE)[:2]
    return Selection(zone, family, proto, orig, reply, mark)


def _ends(text: str, family: int, proto: int) -> tuple[Ends, int, int]:
    """``ofp_ct_tuple_parse()``; family and protocol are those of both tuples."""
    addresses: dict[str, str | None] = {}
    numbers: dict[str, int] = {}
    for piece in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = piece.partition("=")
        if name in _V4 or name in _V6:
            this = 4 if name in _V4 else 6
            if family not in (0, this):
                raise InputError("a tuple of both families", token=piece)
            family = this
            addresses[name[-3:]] = _address(piece, value, this)
        elif name == "ct_nw_proto":
            proto = _number(piece, value, 8)
        elif name in _NUMBERS:
            bits, field, icmp = _NUMBERS[name]
            if icmp != (proto in _ICMP) or not proto:
                raise InputError(
                    "a number of another protocol", token=piece,
                    expected="ct_nw_proto before it, of a protocol that has it",
                )  # fmt: skip
            numbers[field] = _number(piece, value, bits)
        else:
            expected = ", ".join((*_V4, *_V6, "ct_nw_proto", *_NUMBERS))
            raise InputError("no part of a tuple", token=piece, expected=expected)
    return Ends(addresses.get("src"), addresses.get("dst"), **numbers), family, proto


def _address(piece: str, value: str, family: int) -> str | None:
    try:
        address = (IPv4Address if family == 4 else IPv6Address)(value)
    except AddressValueError:
        raise InputError(f"no IPv{family} address", token=piece) from None
    # OVS keeps an IPv4 address mapped into IPv6: only there is zero the same as none.
    return None if address == IPv6Address(0) else str(address)


def _number(word: str, text: str, bits: int) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << bits:
        raise InputError("no number", token=word, expected=f"0 to {(1 << bits) - 1}")
    return value
