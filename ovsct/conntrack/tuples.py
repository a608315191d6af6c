"""One direction of a connection as one int, laid out so that it comes out of the flow key whole.

An IPv4 tuple is ``nw_proto..dl_type`` of the flow key with the zone above; an IPv6 tuple has the
same low end and 128-bit addresses. Low end first::

    IPv4   nw_proto 8 | tp_dst 16 | tp_src 16 | nw_dst 32   | nw_src 32    | dl_type 16 | zone 16
    IPv6   nw_proto 8 | tp_dst 16 | tp_src 16 | ipv6_dst 128 | ipv6_src 128 | dl_type 16 | zone 16

An ICMP query has its identifier in place of tp_src, and type and code (8 bits each) in place of
tp_dst; its reverse has the answering type. A protocol without ports has zeros there. The two
families never collide, since the EtherType alone makes an IPv6 tuple longer than any IPv4 one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from ovsct.lane import Tuple5
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6, PROTO_ICMP, PROTO_ICMPV6

KEY_SHIFT: Final = SLOTS["nw_proto"].shift
"""Where the IPv4 tuple begins in the flow key."""

V4_ZONE: Final = 120
"""Shift of the zone in an IPv4 tuple; everything below it is copied from the flow key."""

V4_MASK: Final = (1 << V4_ZONE) - 1
V4_LIMIT: Final = 1 << (V4_ZONE + 16)
"""IPv4 tuples are smaller than this, IPv6 tuples are not."""

V6_ZONE: Final = 312
V6_ADDRESSES: Final = SLOTS["ipv6_dst"].shift

PORTS_MASK: Final = 0xFFFFFFFF << 8
"""Both ports (or ICMP identifier, type and code), in place, in either family."""

LOW_MASK: Final = (1 << 40) - 1
"""Protocol and ports, in place, in either family."""

ICMP_ANSWERS: Final = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17}
"""ICMP query type to the type that answers it, and back (RFC 792, RFC 950)."""

ICMPV6_ANSWERS: Final = {128: 129, 129: 128, 139: 140, 140: 139}
"""The same for ICMPv6 (RFC 4443, RFC 4620)."""

_M16: Final = 0xFFFF
_M32: Final = 0xFFFFFFFF
_M128: Final = (1 << 128) - 1


def _check_layout() -> None:
    """The tuple is cut out of the key, so the key's layout must be the one promised above."""
    expected = 0
    for name, width in (
        ("nw_proto", 8), ("tp_dst", 16), ("tp_src", 16), ("nw_dst", 32), ("nw_src", 32),
        ("dl_type", 16),
    ):  # fmt: skip
        slot = SLOTS[name]
        if (slot.shift - KEY_SHIFT, slot.width) != (expected, width):
            raise AssertionError(f"slot {name} of the flow key is not where tuples need it")
        expected += width
    if SLOTS["ipv6_src"].shift != V6_ADDRESSES + 128:
        raise AssertionError("the IPv6 addresses of the flow key are not side by side")


_check_layout()


class Parts(NamedTuple):
    """A tuple taken apart. `family` is 4 or 6, addresses are host-order ints; for ICMP `sport` is
    the identifier and `dport` is ``type << 8 | code``.
    """

    family: int
    proto: int
    src: int
    dst: int
    sport: int
    dport: int
    zone: int


def from_key(key: int, zone: int) -> int:
    """The tuple of a flow key as it stands: right for IP protocols whose ports the key holds.

    For ICMP use :func:`with_ports` on the result with identifier, type and code; for a protocol
    without ports clear them with ``& ~PORTS_MASK``.
    """
    if (key >> (KEY_SHIFT + 104)) & _M16 == ETH_IPV6:
        return (
            (key >> KEY_SHIFT) & LOW_MASK
            | ((key >> V6_ADDRESSES) & ((1 << 256) - 1)) << 40
            | ETH_IPV6 << 296
            | zone << V6_ZONE
        )
    return (key >> KEY_SHIFT) & V4_MASK | zone << V4_ZONE


def with_ports(tuple_: int, sport: int, dport: int) -> int:
    """`tuple_` with other ports (for ICMP: identifier, and ``type << 8 | code``)."""
    return tuple_ & ~PORTS_MASK | sport << 24 | dport << 8


def pack(parts: Parts) -> int:
    """The int of a tuple given in parts."""
    low = parts.proto | parts.dport << 8 | parts.sport << 24
    if parts.family == 6:
        return (
            low | parts.dst << 40 | parts.src << 168 | ETH_IPV6 << 296 | parts.zone << V6_ZONE
        )
    return low | parts.dst << 40 | parts.src << 72 | ETH_IPV4 << 104 | parts.zone << V4_ZONE


def unpack(tuple_: int) -> Parts:
    """A tuple in parts."""
    proto, dport, sport = tuple_ & 0xFF, (tuple_ >> 8) & _M16, (tuple_ >> 24) & _M16
    if tuple_ >= V4_LIMIT:
        return Parts(
            6, proto, (tuple_ >> 168) & _M128, (tuple_ >> 40) & _M128, sport, dport,
            tuple_ >> V6_ZONE,
        )  # fmt: skip
    return Parts(
        4, proto, (tuple_ >> 72) & _M32, (tuple_ >> 40) & _M32, sport, dport, tuple_ >> V4_ZONE
    )


def reverse(tuple_: int) -> int:
    """The tuple of the answer: ends swapped, for an ICMP query the answering type.

    Raises:
        KeyError: an ICMP type that has no answer.
    """
    proto = tuple_ & 0xFF
    if tuple_ < V4_LIMIT:
        if proto == PROTO_ICMP:
            ports = (tuple_ & _M16 << 24) | ICMP_ANSWERS[(tuple_ >> 16) & 0xFF] << 16
            ports |= tuple_ & 0xFF00
        else:
            ports = ((tuple_ >> 8) & _M16) << 24 | ((tuple_ >> 24) & _M16) << 8
        return (
            proto
            | ports
            | ((tuple_ >> 72) & _M32) << 40
            | ((tuple_ >> 40) & _M32) << 72
            | tuple_ >> 104 << 104
        )
    if proto == PROTO_ICMPV6:
        ports = (tuple_ & _M16 << 24) | ICMPV6_ANSWERS[(tuple_ >> 16) & 0xFF] << 16
        ports |= tuple_ & 0xFF00
    else:
        ports = ((tuple_ >> 8) & _M16) << 24 | ((tuple_ >> 24) & _M16) << 8
    return (
        proto
        | ports
        | ((tuple_ >> 168) & _M128) << 40
        | ((tuple_ >> 40) & _M128) << 168
        | tuple_ >> 296 << 296
    )


def is_icmp(tuple_: int) -> bool:
    """Whether the port bits hold an ICMP identifier, type and code (of either version)."""
    return tuple_ & 0xFF == (PROTO_ICMP if tuple_ < V4_LIMIT else PROTO_ICMPV6)


def zone_of(tuple_: int) -> int:
    """The zone of a tuple."""
    return tuple_ >> V4_ZONE if tuple_ < V4_LIMIT else tuple_ >> V6_ZONE


def address(family: int, value: int) -> str:
    """An address as text."""
    return str(IPv4Address(value) if family == 4 else IPv6Address(value))


def to_tuple5(tuple_: int) -> Tuple5:
    """The tuple in the neutral form that lanes share."""
    family, proto, src, dst, sport, dport, _ = unpack(tuple_)
    src_text, dst_text = address(family, src), address(family, dst)
    if proto == (PROTO_ICMP if family == 4 else PROTO_ICMPV6):
        return Tuple5(src_text, dst_text, 0, 0, sport, dport >> 8, dport & 0xFF)
    return Tuple5(src_text, dst_text, sport, dport)


def from_tuple5(tuple5: Tuple5, family: int, proto: int, zone: int) -> int:
    """The int of a tuple in the neutral form.

    Raises:
        ValueError: an address is not one of `family`.
    """
    kind = IPv4Address if family == 4 else IPv6Address
    if tuple5.icmp_id is None:
        sport, dport = tuple5.sport, tuple5.dport
    else:
        sport = tuple5.icmp_id
        dport = (tuple5.icmp_type or 0) << 8 | (tuple5.icmp_code or 0)
    src, dst = int(kind(tuple5.src)), int(kind(tuple5.dst))
    return pack(Parts(family, proto, src, dst, sport, dport, zone))
