"""Which address and port a connection gets: net/netfilter/nf_nat_core.c and nf_nat_ovs.c.

The kernel draws ports at random; here they come from the generator that the tracker was given,
through one place, :meth:`Choice.draw`, which a test can take over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter import manip
from ovsct.conntrack.netfilter.clash import may_clash
from ovsct.conntrack.netfilter.entry import (
    CONFIRMED,
    DST_NAT,
    DST_NAT_DONE,
    DYING,
    ESTABLISHED,
    ESTABLISHED_REPLY,
    FIXED_TIMEOUT,
    HW_OFFLOAD,
    IS_REPLY,
    NAT_DONE_MASK,
    NAT_MASK,
    NEW,
    OFFLOAD,
    RELATED,
    RELATED_REPLY,
    SEQ_ADJUST,
    SRC_NAT,
    SRC_NAT_DONE,
    Entry,
    Verdict,
)
from ovsct.conntrack.netfilter.icmp import PROTO_GRE, WITH_PORTS, read_quoted
from ovsct.conntrack.netfilter.manip import DST, SRC
from ovsct.conntrack.netfilter.window import M32, SIGN
from ovsct.conntrack.request import Nat, NatKind
from ovsct.packet.packet import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter
    from ovsct.packet.packet import Packet

MAX_ATTEMPTS: Final = 128
HARDER: Final = MAX_ATTEMPTS // 4
_REDIRECT: Final = 5
_M16: Final = 0xFFFF
_SOURCE_V4: Final = ((1 << 136) - 1) & ~(_M16 << 8 | M32 << 40)
_SOURCE_V6: Final = ((1 << 328) - 1) & ~(_M16 << 8 | ((1 << 128) - 1) << 40)


def source_of(tuple_: int) -> int:
    """What the kernel hashes a mapped source by: protocol, source, zone (hash_by_src())."""
    return tuple_ & (_SOURCE_V4 if tuple_ < tuples.V4_LIMIT else _SOURCE_V6)


def translate(
    core: Netfilter, packet: Packet, e: Entry, nat: Nat, commit: bool, now: int
) -> tuple[Verdict, int]:
    """nf_ct_nat(): translate `packet` of connection `e` as a ct action with `nat` asks.

    Returns the verdict, and which of SRC_NAT and DST_NAT were gone through (which the OVS
    datapath shows in ct_state whether or not anything changed).
    """
    info, status = packet.ct_info, e.status
    if info != NEW and status & NAT_MASK and (info != RELATED or commit):
        forward = SRC if status & SRC_NAT else DST
        side = 1 - forward if info >= IS_REPLY else forward
    elif nat.kind is NatKind.SRC:
        side = SRC
    elif nat.kind is NatKind.DST:
        side = DST
    else:
        return Verdict.ACCEPT, 0
    done = 0
    verdict = _execute(core, packet, e, nat, side, now)
    if verdict is Verdict.ACCEPT:
        done = DST_NAT if side else SRC_NAT
        if e.status & DST_NAT:
            if e.status & SRC_NAT:
                side = 1 - side
                verdict = _execute(core, packet, e, nat, side, now)
            elif info < IS_REPLY:
                side = SRC
                verdict = _execute(core, packet, e, None, SRC, now)
            else:
                return verdict, done
            if verdict is Verdict.ACCEPT:
                done |= DST_NAT if side else SRC_NAT
    return verdict, done


def _execute(
    core: Netfilter, packet: Packet, e: Entry, nat: Nat | None, side: int, now: int
) -> Verdict:
    """nf_ct_nat_execute(): set up if it is the first packet, then rewrite."""
    info = packet.ct_info
    if info in (RELATED, RELATED_REPLY):
        proto = _outer_proto(packet)
        if proto in (PROTO_ICMP, PROTO_ICMPV6):
            return _translate_error(packet, e, side)
    elif info in (ESTABLISHED, ESTABLISHED_REPLY):
        return rewrite(packet, e, side)
    elif info != NEW:
        return Verdict.DROP
    if not e.status & (DST_NAT_DONE if side else SRC_NAT_DONE) and not e.status & CONFIRMED:
        if nat is not None and nat.family:
            set_up(core, e, nat, side, now)
        else:
            null_binding(core, e, side, now)
    return rewrite(packet, e, side)


def _outer_proto(packet: Packet) -> int:
    proto = (packet.key >> tuples.KEY_SHIFT) & 0xFF
    v4 = packet.frame[packet.l3] >> 4 == 4
    return proto if proto == (PROTO_ICMP if v4 else PROTO_ICMPV6) else 0


def rewrite(packet: Packet, e: Entry, side: int) -> Verdict:
    """nf_nat_packet(): make `packet` look like the inverse of the other direction's tuple."""
    reply = packet.ct_info >= IS_REPLY
    bit = DST_NAT if side != reply else SRC_NAT
    if not e.status & bit:
        return Verdict.ACCEPT
    target = tuples.unpack(tuples.reverse(e.original if reply else e.reply))
    buffer = bytearray(packet.frame)
    if not manip.rewrite(buffer, packet.l3, packet.end, target, side):
        return Verdict.DROP
    manip.write_back(packet, buffer, target, side)
    return Verdict.ACCEPT


def _translate_error(packet: Packet, e: Entry, side: int) -> Verdict:
    """nf_nat_icmp_reply_translation() and its ICMPv6 twin: inside first, then outside."""
    reply = packet.ct_info >= IS_REPLY
    frame, l3, l4, end = packet.frame, packet.l3, packet.l4, packet.end
    v4 = frame[l3] >> 4 == 4
    if end - l4 < 8 + (20 if v4 else 40):
        return Verdict.DROP
    if frame[l4] == (_REDIRECT if v4 else 137) and (
        e.status & NAT_DONE_MASK != NAT_DONE_MASK or e.status & NAT_MASK
    ):
        return Verdict.DROP
    bit = DST_NAT if side != reply else SRC_NAT
    if not e.status & bit:
        return Verdict.ACCEPT
    other = tuples.unpack(e.original if reply else e.reply)
    quoted = read_quoted(packet, l4 + 8, 0)
    if quoted is None:
        return Verdict.DROP
    buffer = bytearray(frame)
    if not manip.rewrite(buffer, quoted.l3, end, other, 1 - side):
        return Verdict.DROP
    manip.renew_icmp_sum(buffer, l3, l4, end)
    proto = PROTO_ICMP if v4 else PROTO_ICMPV6
    target = tuples.unpack(tuples.reverse(e.original if reply else e.reply))._replace(proto=proto)
    if not manip.rewrite(buffer, l3, end, target, side):
        return Verdict.DROP
    manip.write_back(packet, buffer, target, side)
    return Verdict.ACCEPT


def null_binding(core: Netfilter, e: Entry, side: int, now: int) -> None:
    """__nf_nat_alloc_null_binding(): keep the address; the port may still have to change."""
    parts = tuples.unpack(e.reply)
    address = parts.src if side else parts.dst
    kind = NatKind.DST if side else NatKind.SRC
    set_up(core, e, Nat(kind, parts.family, address, address), side, now)


def follow_master(core: Netfilter, e: Entry, follow: tuple[int, int, int], now: int) -> None:
    """nf_nat_follow_master(): translate an expected connection as its master is."""
    source, destination, port = follow
    family = e.family
    set_up(core, e, Nat(NatKind.SRC, family, source, source), SRC, now)
    set_up(core, e, Nat(NatKind.DST, family, destination, destination, port, port), DST, now)


def set_up(core: Netfilter, e: Entry, nat: Nat, side: int, now: int) -> None:
    """nf_nat_setup_info(): choose the tuple and bind it."""
    present = tuples.reverse(e.reply)
    if nat.family != e.family:
        nat = _as_family(nat, e.family)
    chosen = Choice(core, e, nat, side, now).unique(present)
    if chosen != present:
        e.reply = tuples.reverse(chosen)
        e.status |= DST_NAT if side else SRC_NAT
    if side == SRC:
        core.sources.setdefault(source_of(e.original), []).insert(0, e)
        e.status |= SRC_NAT_DONE
    else:
        e.status |= DST_NAT_DONE


def _as_family(nat: Nat, family: int) -> Nat:
    """A range for the other family, which TC lets through.

    An address stands at the beginning of union nf_inet_addr, whose rest is zero.
    """
    if not nat.family:
        return nat
    low, high = (
        each << 96 if family == 6 else each >> 96 for each in (nat.addr_min, nat.addr_max)
    )
    return replace(nat, family=family, addr_min=low, addr_max=high)


class Choice:
    """One search for a free tuple (get_unique_tuple()); `side` is SRC or DST."""

    __slots__ = ("core", "e", "has_ports", "nat", "now", "random", "side")

    def __init__(self, core: Netfilter, e: Entry, nat: Nat, side: int, now: int) -> None:
        self.core = core
        self.e = e
        self.nat = nat
        self.side = side
        self.now = now
        self.has_ports = bool(nat.port_min)
        # OVS's hash and random are NF_NAT_RANGE_PROTO_RANDOM and _RANDOM_FULLY: the same search.
        self.random = nat.random or nat.hash

    def unique(self, original: int) -> int:
        """The tuple that `original` becomes; it is not free only if nothing is."""
        nat = self.nat
        if self.side == SRC and not self.random:
            if self._in_range(original):
                if not self._used_new(original):
                    return original
            else:
                mapped = self._mapped_before(original)
                if mapped is not None and not self._used(mapped):
                    return mapped
        chosen = self._address(original)
        if not self.random:
            if self.has_ports:
                if self._port_in_range(chosen, self.side) and (
                    nat.port_min == nat.port_max or not self._used(chosen)
                ):
                    return chosen
            elif not self._used(chosen):
                return chosen
        return self._search(chosen)

    def _used(self, tuple_: int) -> bool:
        """nf_nat_used_tuple(): does an answer to `tuple_` belong to another connection?"""
        return self.core.taken(tuples.reverse(tuple_), self.e, self.now)

    def _used_new(self, tuple_: int) -> bool:
        """nf_nat_used_tuple_new() of 6.12: two ends that began at once are not a clash."""
        if not self._used(tuple_):
            return False
        core, e = self.core, self.e
        if not core.merges_reverse or not may_clash(core, e.original & 0xFF):
            return True
        if e.status & (NAT_MASK | SEQ_ADJUST):
            return True
        other = core.find(tuple_, self.now) or core.find(tuples.reverse(tuple_), self.now)
        if other is None:
            return False
        return bool(other.status & (NAT_MASK | SEQ_ADJUST)) or other.original != e.reply

    def _used_harder(self, tuple_: int, left: int) -> bool:
        """nf_nat_used_tuple_harder() of 6.12: the last attempts may evict what is in TIME_WAIT."""
        core, e = self.core, self.e
        proto = tuple_ & 0xFF
        if not core.evicts_time_wait or left > HARDER or proto != PROTO_TCP or e.state != 1:
            return self._used(tuple_)
        answer = tuples.reverse(tuple_)
        other = core.find(answer, self.now)
        if other is None:
            return False
        refused = FIXED_TIMEOUT | DYING
        if (
            other.original == answer
            or other.state < 7
            or other.status & refused
            or not other.status & SRC_NAT
            or not (other.end0 - e.end0) & SIGN
        ):
            return True
        offloaded = bool(other.status & (OFFLOAD | HW_OFFLOAD))
        core.kill(other)
        return offloaded

    def _in_range(self, tuple_: int) -> bool:
        """nf_in_range()."""
        address = tuples.unpack(tuple_).src
        if not self.nat.addr_min <= address <= self.nat.addr_max:
            return False
        return not self.has_ports or self._port_in_range(tuple_, SRC)

    def _port_in_range(self, tuple_: int, side: int) -> bool:
        """l4proto_in_range()."""
        proto = tuple_ & 0xFF
        if proto in (PROTO_ICMP, PROTO_ICMPV6):
            port = (tuple_ >> 24) & _M16
        elif proto in WITH_PORTS or proto == PROTO_GRE:
            port = (tuple_ >> (8 if side else 24)) & _M16
        else:
            return True
        return self.nat.port_min <= port <= self.nat.port_max

    def _mapped_before(self, original: int) -> int | None:
        """find_appropriate_src(): the same source has a mapping; use it if it is in range."""
        for other in self.core.sources.get(source_of(original), ()):
            source = tuples.unpack(tuples.reverse(other.reply))
            mapped = tuples.pack(
                tuples.unpack(original)._replace(src=source.src, sport=source.sport)
            )
            if self._in_range(mapped):
                return mapped
        return None

    def _address(self, original: int) -> int:
        """find_best_ips_proto(): a hash of the addresses, so that an end keeps its mapping."""
        nat = self.nat
        parts = tuples.unpack(original)
        if nat.addr_min == nat.addr_max:
            address = nat.addr_min
        else:
            address = best_address(parts, nat)
        return tuples.pack(
            parts._replace(dst=address) if self.side else parts._replace(src=address)
        )

    def _search(self, tuple_: int) -> int:
        """nf_nat_l4proto_unique_tuple(): try ports until one is free."""
        place = self._place(tuple_)
        if place is None:
            return tuple_
        shift, low, size = place
        self.core.searched_from = low
        if self.side == DST and not self.random and self.core.dst_starts_at_first:
            offset = 0
        else:
            offset = self.draw()
        attempts = min(size, MAX_ATTEMPTS)
        clear = ~(_M16 << shift)
        while True:
            for tried in range(attempts):
                port = (low + offset % size) & _M16
                tuple_ = tuple_ & clear | port << shift
                if not self._used_harder(tuple_, attempts - tried):
                    return tuple_
                offset = (offset + 1) & _M16
            if attempts >= size or attempts < 16:
                return tuple_
            attempts //= 2
            offset = self.draw()

    def _place(self, tuple_: int) -> tuple[int, int, int] | None:
        """Where the port to be changed lies in the tuple, the lowest it may be, how many."""
        nat, proto = self.nat, tuple_ & 0xFF
        if proto in (PROTO_ICMP, PROTO_ICMPV6):
            if not self.has_ports:
                return 24, 0, 65536
            return 24, nat.port_min, nat.port_max - nat.port_min + 1
        if proto not in WITH_PORTS:
            # GRE without a PPTP master and what has no ports keep what they have.
            return None
        shift = 8 if self.side else 24
        if self.has_ports:
            low, high = sorted((nat.port_min, nat.port_max))
            return shift, low, high - low + 1
        if self.side == DST:
            return None
        port = (tuple_ >> shift) & _M16
        if port < 512:
            return shift, 1, 511
        if port < 1024:
            return shift, 600, 424
        return shift, 1024, 64512

    def draw(self) -> int:
        """get_random_u16(): where the search starts, modulo the number of candidates."""
        which = "destination" if self.side else "source"
        return self.core.choose(65536, f"nat {which} port")


def best_address(parts: tuples.Parts, nat: Nat) -> int:
    """The address of a range that a source and destination are mapped to, as a little-endian
    machine computes it (find_best_ips_proto()).
    """
    size = 4 if parts.family == 4 else 16
    source = _words(parts.src, size)
    dest = _words(parts.dst, size)
    low = [(nat.addr_min >> s) & M32 for s in range(size * 8 - 32, -1, -32)]
    high = [(nat.addr_max >> s) & M32 for s in range(size * 8 - 32, -1, -32)]
    seed = 0 if nat.persistent else dest[-1] ^ parts.zone
    j = jhash2(source + [0] * (4 - len(source)), seed)
    address, full = 0, False
    for word, least in enumerate(low):
        if full:
            value = (j * M32) >> 32
        else:
            distance = (high[word] - least + 1) & M32
            value = (least + ((j * distance) >> 32)) & M32
        if value != high[word]:
            full = True
        address = address << 32 | value
        if not nat.persistent:
            j ^= dest[word]
    return address


def _words(address: int, size: int) -> list[int]:
    """The 32-bit words of an address as a little-endian machine loads them."""
    raw = address.to_bytes(size, "big")
    return [int.from_bytes(raw[at : at + 4], "little") for at in range(0, size, 4)]


def _rol(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & M32


def jhash2(words: list[int], initval: int) -> int:
    """Bob Jenkins' hash of 32-bit words (include/linux/jhash.h)."""
    a = b = c = (0xDEADBEEF + (len(words) << 2) + initval) & M32
    left = list(words)
    while len(left) > 3:
        a, b, c = (a + left[0]) & M32, (b + left[1]) & M32, (c + left[2]) & M32
        a, b, c = _mix(a, b, c)
        left = left[3:]
    if left:
        padded = left + [0] * (3 - len(left))
        a, b, c = (a + padded[0]) & M32, (b + padded[1]) & M32, (c + padded[2]) & M32
        c = _final(a, b, c)
    return c


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a = ((a - c) & M32) ^ _rol(c, 4)
    c = (c + b) & M32
    b = ((b - a) & M32) ^ _rol(a, 6)
    a = (a + c) & M32
    c = ((c - b) & M32) ^ _rol(b, 8)
    b = (b + a) & M32
    a = ((a - c) & M32) ^ _rol(c, 16)
    c = (c + b) & M32
    b = ((b - a) & M32) ^ _rol(a, 19)
    a = (a + c) & M32
    c = ((c - b) & M32) ^ _rol(b, 4)
    b = (b + a) & M32
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = ((c ^ b) - _rol(b, 14)) & M32
    a = ((a ^ c) - _rol(c, 11)) & M32
    b = ((b ^ a) - _rol(a, 25)) & M32
    c = ((c ^ b) - _rol(b, 16)) & M32
    a = ((a ^ c) - _rol(c, 4)) & M32
    b = ((b ^ a) - _rol(a, 14)) & M32
    return ((c ^ b) - _rol(b, 24)) & M32
