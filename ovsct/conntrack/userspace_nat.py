"""NAT of OVS's own conntrack: choosing a tuple, and translating packets (OVS 3.1 lib/conntrack.c).

A translated connection keeps two tuples: `forward` as its first packet came, and `reverse` as its
answers come, the translation included. Translating is putting the packet's tuple into the form
of the other one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol
from zlib import crc32

from ovsct.conntrack.request import Nat, NatKind
from ovsct.conntrack.tuples import Parts, pack, unpack
from ovsct.conntrack.userspace_entry import DST, SRC
from ovsct.conntrack.userspace_validate import inner_headers
from ovsct.packet.carry import carry_pseudo
from ovsct.packet.fields import CT_DNAT, CT_SNAT
from ovsct.packet.nat import rewrite_inner, rewrite_ipv4, rewrite_ipv6
from ovsct.packet.packet import PROTO_TCP, PROTO_UDP, Packet

ACTIONS: Final = {NatKind.RESTORE: 0, NatKind.SRC: SRC, NatKind.DST: DST}

REVERSED: Final = (0, DST, SRC)
"""The action on the way back."""

STATE_BITS: Final = (0, CT_SNAT, CT_DNAT)

MAX_ATTEMPTS: Final = 128
"""Ports that are tried in a row before the search starts anew somewhere else."""

MIN_ATTEMPTS: Final = 16

EPHEMERAL: Final = ((512, 1, 511), (1024, 600, 1023), (65536, 1024, 65535))
"""Source port below the first number: the range from which another is taken."""

MAX_ADDRESSES: Final = 0xFFFFFFFF
"""So many addresses of an IPv6 range are used at most."""


class Dice(Protocol):
    """A source of random numbers, such as ``random.Random``."""

    def getrandbits(self, k: int, /) -> int:
        """A number of `k` bits."""
        ...


class Sequence32:
    """The same numbers each time, of up to 32 bits: what is drawn from if nothing else is given."""

    def __init__(self, start: int) -> None:
        self._drawn = 0
        self._start = start

    def getrandbits(self, k: int, /) -> int:
        """A number of `k` bits, at most 32."""
        self._drawn += 1
        return crc32(self._drawn.to_bytes(8, "big"), self._start) >> (32 - k)


def choose(
    forward: int, reverse: int, nat: Nat, taken: Callable[[int], bool], basis: int, dice: Dice
) -> int | None:
    """The reverse tuple of a new connection under `nat` (OVS ``nat_get_unique_tuple()``).

    Args:
        forward, reverse: its tuples without translation.
        nat: what is asked for.
        taken: is a tuple in use already?
        basis: where the hash begins that picks an address and port of a range; OVS takes a random
            one each time it starts.
        dice: for the restarts of a long search.

    Returns:
        The tuple, or None if all that was tried is taken ("tuple space exhaustion").
    """
    parts = unpack(forward)
    hashed = crc32(repr((nat.addr_min, nat.addr_max, nat.port_min, nat.port_max, forward)).encode(),
                   basis)  # fmt: skip
    chosen = _address(parts, nat, hashed)
    back = unpack(reverse)
    back = back._replace(dst=chosen) if nat.kind is NatKind.SRC else back._replace(src=chosen)
    if parts.proto not in (PROTO_TCP, PROTO_UDP):
        made = pack(back)
        return None if taken(made) else made
    sport = _source_range(parts, nat, hashed)
    dport = _destination_range(parts, nat, hashed)
    back = back._replace(sport=dport[0], dport=sport[0])
    if nat.kind is NatKind.DST and nat.port_min:
        found = _search(back, "sport", dport, taken, dice)
        if found is not None:
            return found
    return _search(back, "dport", sport, taken, dice)


def _address(parts: Parts, nat: Nat, hashed: int) -> int:
    low, high = nat.addr_min, nat.addr_max or nat.addr_min
    if nat.family == 6 and parts.family == 4:
        # OVS keeps both families in one union, and reads the first four bytes.
        low, high = low >> 96, high >> 96
    elif nat.family == 4 and parts.family == 6:
        low, high = low << 96, high << 96
    if not low:
        if nat.kind is NatKind.RESTORE:
            return 0
        return parts.src if nat.kind is NatKind.SRC else parts.dst
    if parts.family == 4:
        return low + hashed % (high - low + 1)
    return low + hashed % min(high - low + 1, MAX_ADDRESSES)


def _source_range(parts: Parts, nat: Nat, hashed: int) -> tuple[int, int, int]:
    """First port to try, lowest and highest, on the source side."""
    if nat.kind is NatKind.DST or (nat.kind is NatKind.SRC and not nat.port_min):
        low, high = next((low, high) for limit, low, high in EPHEMERAL if parts.sport < limit)
        return parts.sport, low, high
    # Bare nat that commits comes here with no range: its port is 0 (facts 0.2).
    low, high = nat.port_min, nat.port_max or nat.port_min
    return low + hashed % (high - low + 1), low, high


def _destination_range(parts: Parts, nat: Nat, hashed: int) -> tuple[int, int, int]:
    if nat.kind is NatKind.DST and nat.port_min:
        low, high = nat.port_min, nat.port_max or nat.port_min
        return low + hashed % (high - low + 1), low, high
    return parts.dport, parts.dport, parts.dport


def _search(
    back: Parts, side: str, ports: tuple[int, int, int], taken: Callable[[int], bool], dice: Dice
) -> int | None:
    """Try the ports of a range one after the other (OVS ``nat_get_unique_l4()``)."""
    current, low, high = ports
    span = high - low + 1 & 0xFFFF
    attempts = min(span, MAX_ATTEMPTS)
    while True:
        # A start outside of the range is tried on top of all that are in it.
        rounds = high - low + (1 if low <= current <= high else 2) & 0xFFFF
        for _ in range(min(rounds, attempts)):
            made = pack(back._replace(**{side: current}))
            if not taken(made):
                return made
            current = low if current == high or not low <= current <= high else current + 1
        if attempts >= span or attempts < MIN_ATTEMPTS:
            return None
        attempts //= 2
        current = low + dice.getrandbits(32) % span


def translate(
    packet: Packet, forward: int, reverse: int, action: int, reply: bool, related: bool
) -> int:
    """Translate a packet of a connection (OVS ``nat_packet()``); returns the ct_state bits it gets.

    Args:
        packet: changed in place.
        forward, reverse: the connection's tuples.
        action: SRC, DST, or 0 for a connection that translates nothing.
        reply: the packet goes in the reply direction.
        related: it is an ICMP error; the packet it quotes is translated too.
    """
    if reply:
        other, action = unpack(forward), REVERSED[action]
    else:
        other = unpack(reverse)
    if not action:
        return 0
    rewrite = rewrite_ipv4 if other.family == 4 else rewrite_ipv6
    src = other.dst if action == SRC else None
    dst = other.src if action == DST else None
    if related:
        if other.family == 6:
            _carry_into_error(packet, other.proto, src, dst)
        rewrite(packet, src, dst)
        _translate_inner(packet, other, REVERSED[action])
    elif other.proto in (PROTO_TCP, PROTO_UDP):
        rewrite(packet, src, dst, other.dport, other.sport)
    else:
        rewrite(packet, src, dst)
    return STATE_BITS[action]


def _carry_into_error(packet: Packet, proto: int, src: int | None, dst: int | None) -> None:
    """What 3.1 does to an ICMPv6 error besides: ``nat_packet_ipv6()`` updates the transport
    checksum of the *quoted* protocol, in the outer packet. So it changes the two bytes of the
    ICMPv6 message where TCP or UDP would have its checksum.
    """
    if proto not in (PROTO_TCP, PROTO_UDP):
        return
    buffer = bytearray(packet.frame)
    for new, at in ((src, packet.l3 + 8), (dst, packet.l3 + 24)):
        if new is not None:
            old = int.from_bytes(buffer[at : at + 16], "big")
            carry_pseudo(buffer, proto, packet.l4, packet.end, old, new, 16)
    packet.frame = bytes(buffer)


def _translate_inner(packet: Packet, other: Parts, action: int) -> None:
    """Translate what an ICMP error quotes (OVS ``nat_inner_packet()``): the other way round."""
    inner = inner_headers(other.family, packet.frame, packet.l4 + 8, packet.end)
    if inner is None:
        raise AssertionError("an ICMP error whose quotation was read a moment ago")
    src = other.src if action == SRC else None
    dst = other.dst if action == DST else None
    sport = dport = None
    if other.proto in (PROTO_TCP, PROTO_UDP):
        sport, dport = other.sport, other.dport
    rewrite_inner(packet, inner.l3, inner.l4, inner.proto, src, dst, sport, dport)
