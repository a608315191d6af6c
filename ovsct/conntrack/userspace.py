"""OVS's own connection tracker, as its userspace datapath runs it (OVS 3.1 lib/conntrack.c).

The way of a packet: known already (`_again`), or validated and keyed (`extract`), looked up
(`_lookup`), its connection updated (`_update`) or made (`_create`), translated (`translate`), and
the result written into its flow key. :meth:`UserspaceTracker.track` has a short cut for what nearly
every packet is: a plain segment inside the window of an established TCP connection.

What a switch does in a thread of its own, sweeping, is modelled where it can be seen: an entry
that has ended matches nothing from that millisecond on, but until the sweep, every 20 s, it counts
on the limits, and its translated tuple stays taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

from ovsct.conntrack.request import Diverted, Track
from ovsct.conntrack.timers import Timers, milliseconds
from ovsct.conntrack.tuples import (
    KEY_SHIFT,
    V4_MASK,
    V4_ZONE,
    Parts,
    is_icmp,
    pack,
    reverse,
    unpack,
    with_ports,
    zone_of,
)
from ovsct.conntrack.userspace_entry import (
    Entry,
    Rare,
    Stateful,
    ZoneLimit,
    no_connection_bits,
)
from ovsct.conntrack.userspace_icmp import NEW_TYPES, NEW_TYPES_V6
from ovsct.conntrack.userspace_icmp import ON_PACKET as ICMP_ON_PACKET
from ovsct.conntrack.userspace_icmp import TIMERS as ICMP_TIMERS
from ovsct.conntrack.userspace_nat import ACTIONS, choose, translate
from ovsct.conntrack.userspace_neutral import describe, neutral
from ovsct.conntrack.userspace_other import BIDIR
from ovsct.conntrack.userspace_other import ON_PACKET as OTHER_ON_PACKET
from ovsct.conntrack.userspace_other import TIMERS as OTHER_TIMERS
from ovsct.conntrack.userspace_tcp import (
    HEADER,
    MAX_ACK_WINDOW,
    WINDOWS,
    TcpEntry,
    Verdict,
    create,
    valid_new,
)
from ovsct.conntrack.userspace_tcp import update as tcp_update
from ovsct.conntrack.userspace_timeouts import DEFAULT_TIMEOUTS, Timer, policy_timeouts
from ovsct.conntrack.userspace_validate import extract
from ovsct.errors import OvsctError
from ovsct.lane import Connection, Event, EventKind
from ovsct.packet.checksum import word_sum
from ovsct.packet.fields import (
    CT_DNAT,
    CT_EST,
    CT_INV,
    CT_MASK,
    CT_NEW,
    CT_REL,
    CT_RPL,
    CT_SNAT,
    CT_TRK,
    SLOTS,
)
from ovsct.packet.packet import ETH_IPV4, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP, Packet

_from_bytes = int.from_bytes
_header = HEADER.unpack_from

_S_STATE: Final = SLOTS["ct_state"].shift
_STATE: Final = SLOTS["ct_state"].mask
_S_ZONE: Final = SLOTS["ct_zone"].shift
_S_MARK: Final = SLOTS["ct_mark"].shift
_S_LABEL: Final = SLOTS["ct_label"].shift
_NO_CT: Final = ~CT_MASK
_NAT_BITS: Final = CT_SNAT | CT_DNAT

# An IPv4 TCP segment with ACK and without SYN, FIN and RST, no fragment, not tracked before.
_PLAIN_MASK: Final = (
    SLOTS["dl_type"].mask | SLOTS["nw_proto"].mask | SLOTS["nw_frag"].mask | _STATE | 0x17
)
_PLAIN: Final = (
    ETH_IPV4 << SLOTS["dl_type"].shift | PROTO_TCP << SLOTS["nw_proto"].shift | 0x10
)
_ESTABLISHED_ORIG: Final = (CT_TRK | CT_EST) << _S_STATE
_ESTABLISHED_REPLY: Final = (CT_TRK | CT_EST | CT_RPL) << _S_STATE
_M32: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000
_LEAST_SKEW: Final = -MAX_ACK_WINDOW & _M32

MAX_CONNECTIONS: Final = 3_000_000
"""Default of ``dpctl/ct-set-maxconns``."""

SWEEP_SECONDS: Final = 20.0

DEFAULT_ZONE: Final = -1
"""The limit of all zones that have none of their own (``dpctl/ct-set-limits default=N``)."""

FTP_PORT: Final = 21
TFTP_PORT: Final = 69

REPLY, RELATED = 1, 2
"""Bits of ``packet.ct_info``: how the attached connection was found."""


class Found(NamedTuple):
    """What a look-up found. `node`: it was the second entry of a translated connection."""

    entry: Entry
    reply: bool
    node: bool


class UserspaceTracker:
    """The ``userspace`` dialect of :class:`~ovsct.conntrack.request.Tracker`.

    Args:
        basis: start of the hash that picks from NAT ranges; OVS draws it when it starts.
        dice: for the restarts of a long search for a free port; one seeded with 0 if not given.
        max_connections: limit on all connections.
        limits: zone to limit; zone -1 is the default that the others share.
        policies: timeout policies by name: attribute to seconds.
        check_sequence: check TCP sequence numbers (``dpctl/ct-enable-tcp-seq-chk``).
        sweep: seconds from one sweep to the next.
    """

    def __init__(
        self,
        *,
        basis: int = 0,
        dice: Random | None = None,
        max_connections: int = MAX_CONNECTIONS,
        limits: Mapping[int, int] | None = None,
        policies: Mapping[str, Mapping[str, int]] | None = None,
        check_sequence: bool = True,
        sweep: float = SWEEP_SECONDS,
    ) -> None:
        self.max_connections = max_connections
        self.check_sequence = check_sequence
        self.count = 0
        """Connections that count on the limit: those that live, and those not yet swept."""
        self._basis = basis
        self._dice = dice or Random(0)
        self._table: dict[int, Entry] = {}
        self._shadowed: dict[int, list[Entry]] = {}
        self._timers: Timers[Entry] = Timers()
        self._ended: list[tuple[int, Entry]] = []
        self._events: list[Event] = []
        self._sweep = milliseconds(sweep)
        self._next_sweep = -1
        self._plain: dict[int, int] = {}
        self._plain_requests: list[Track] = []
        self._established = DEFAULT_TIMEOUTS[Timer.TCP_ESTABLISHED]
        self._limits = {zone: ZoneLimit(limit) for zone, limit in (limits or {}).items()}
        self._policies: dict[str | None, tuple[int, ...]] = {None: DEFAULT_TIMEOUTS}
        for name, attributes in (policies or {}).items():
            self.set_policy(name, attributes)

    # -- what the datapath asks for ---------------------------------------------------------

    def track(self, packet: Packet, request: Track, now: float) -> Diverted | None:
        """Run `packet` through the tracker; see :class:`~ovsct.conntrack.request.Tracker`.

        Raises:
            OvsctError: the request names a helper or a timeout policy that is not there.
        """
        now_ms = int(now * 1000.0 + 0.0005)
        if now_ms >= self._next_sweep:
            self._sweep_up(now_ms)
        key = packet.key
        plain = self._plain.get(id(request))
        if (
            plain is not None
            and key & _PLAIN_MASK == _PLAIN
            and packet.conn is None
        ):
            forward = key >> KEY_SHIFT & V4_MASK | plain
            entry = self._table.get(forward)
            if (
                entry is not None
                and entry.__class__ is TcpEntry
                and entry.expires > now_ms
                and entry.steady is not None
                and self._steady(entry, packet, forward, now_ms)
            ):
                return None
        elif plain is None:
            self._learn(request)
        return self._process(packet, request, now_ms)

    def _steady(self, entry: TcpEntry, packet: Packet, forward: int, now_ms: int) -> bool:
        """The short cut: a plain segment of an established connection. False: go the long way.

        The same as `extract`, `tcp_update` and `_write` together, for this one case.
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
            state = _ESTABLISHED_ORIG
            info = 0
        else:
            src, dst = entry.answer, entry.orig
            dws, sws = entry.steady  # type: ignore[misc]
            state = _ESTABLISHED_REPLY
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
        entry.expires = now_ms + self._established
        packet.key = packet.key | entry.bits | state
        packet.conn = entry
        packet.ct_info = info
        return True

    def clear(self, packet: Packet) -> None:
        """ct_clear: detach the packet from its connection and zero its conntrack fields."""
        packet.conn = None
        packet.ct_info = 0
        packet.key &= _NO_CT

    def advance(self, now: float) -> Sequence[Event]:
        """Let time pass; what ended until `now` (seconds), in order of time."""
        now_ms = milliseconds(now)
        if now_ms >= self._next_sweep:
            self._sweep_up(now_ms)
        else:
            self._expire(now_ms)
        if not self._events:
            return ()
        events, self._events = self._events, []
        return events

    def connections(self, now: float) -> Sequence[Connection]:
        """What lives at `now` (seconds), in the neutral form, oldest first."""
        now_ms = milliseconds(now)
        return [neutral(entry, now_ms) for entry in self._living(now_ms)]

    @property
    def unswept(self) -> int:
        """How many connections have ended, but still count and hold their translated tuple."""
        return len(self._ended)

    # -- what the control plane asks for ----------------------------------------------------

    def set_policy(self, name: str, attributes: Mapping[str, int]) -> None:
        """Install or change a timeout policy; connections read it at their next refresh."""
        self._policies[name] = policy_timeouts(attributes)

    def set_limit(self, zone: int, limit: int) -> None:
        """``dpctl/ct-set-limits``: at most `limit` connections in `zone` (-1: the default)."""
        if zone in self._limits:
            self._limits[zone].limit = limit
        else:
            self._limits[zone] = ZoneLimit(limit)

    def delete_limit(self, zone: int) -> None:
        """``dpctl/ct-del-limits``."""
        self._limits.pop(zone, None)

    def limits(self) -> dict[int, tuple[int, int]]:
        """Zone to its limit and count, -1 for the default."""
        return {zone: (limit.limit, limit.count) for zone, limit in self._limits.items()}

    def flush(self, zone: int | None = None) -> None:
        """``dpctl/flush-conntrack``: forget all connections, or those of one zone, at once."""
        for entry in set(self._table.values()):
            if zone is None or zone_of(entry.forward) == zone:
                self._timers.disarm(entry)
                entry.expires = 0
                self._free(entry)
        self._ended = [
            (at, entry)
            for at, entry in self._ended
            if zone is not None and zone_of(entry.forward) != zone
        ]

    def flush_tuple(self, tuple_: int, now: float) -> bool:
        """Forget the connection with this tuple as it came in; False if there is none."""
        found = self._lookup(tuple_, milliseconds(now))
        if found is None or found.node:
            return False
        self._timers.disarm(found.entry)
        found.entry.expires = 0
        self._free(found.entry)
        return True

    # -- the long way -----------------------------------------------------------------------

    def _learn(self, request: Track) -> None:
        """Note a request that asks for nothing but the state: the short cut serves it."""
        if (
            request.nat is None
            and request.mark is None
            and request.label is None
            and request.helper is None
            and not request.force
        ):
            if len(self._plain) >= 4096:
                self._plain.clear()
                self._plain_requests.clear()
            self._plain[id(request)] = request.zone << V4_ZONE
            # Kept alive, so that its id stays its own.
            self._plain_requests.append(request)

    def _process(self, packet: Packet, request: Track, now_ms: int) -> Diverted | None:
        """OVS ``conntrack_execute()`` for one packet."""
        if request.helper is not None:
            raise OvsctError(f"conntrack helper {request.helper!r} is not modelled yet")
        if request.timeout is not None and request.timeout not in self._policies:
            raise OvsctError(f"there is no timeout policy {request.timeout!r}")
        known = packet.conn
        zone = request.zone
        if (
            isinstance(known, Entry)
            and not request.force
            and zone_of(known.forward) == zone
            and not _control_packet(packet)
        ):
            self._again(packet, request, known)
            return None
        extracted = extract(packet, zone)
        if extracted is None:
            packet.key = packet.key & _NO_CT | zone << _S_ZONE | (CT_INV | CT_TRK) << _S_STATE
            return None
        self._one(packet, request, extracted[0], extracted[1], now_ms)
        return None

    def _again(self, packet: Packet, request: Track, entry: Entry) -> None:
        """A packet whose connection is attached to it (OVS ``process_one_fast()``): its state
        stays, and no timer is refreshed.
        """
        key = packet.key
        zone = request.zone
        state = key >> _S_STATE & 0xFF
        info = packet.ct_info or 0
        if request.nat is not None:
            reply, related = bool(info & REPLY), bool(info & RELATED)
            state = self._handle_nat(packet, entry, state, zone, reply, related)
            packet.conn = None
        self._exec(request, entry)
        key = packet.key & ~(SLOTS["ct_mark"].mask | SLOTS["ct_label"].mask | SLOTS["ct_zone"].mask)
        packet.key = (
            key & ~_STATE
            | state << _S_STATE
            | zone << _S_ZONE
            | entry.mark << _S_MARK
            | entry.label << _S_LABEL
        )

    def _one(
        self, packet: Packet, request: Track, tuple_: int, related: bool, now_ms: int
    ) -> None:
        """A packet that has to be looked up (OVS ``process_one()``)."""
        key = packet.key
        zone = request.zone
        state = key >> _S_STATE & 0xFF if key >> _S_ZONE & 0xFFFF == zone else 0
        natted = bool(state & _NAT_BITS)
        found = self._lookup(reverse(tuple_) if natted else tuple_, now_ms)
        entry: Entry | None = None
        reply = False
        if found is not None:
            entry, reply = found.entry, found.reply
            if natted:
                # It was translated in this zone before: what is in the table is its reverse.
                reply = not reply
                tuple_ = entry.forward if reply == found.node else entry.reverse
            if request.force and reply:
                if not found.node:
                    self._force_expire(entry, now_ms)
                entry = None
            elif found.node:
                if entry.expires <= now_ms:
                    # The connection is over, its second entry not yet swept: "Missing parent conn".
                    self._write(packet, state | CT_INV, no_connection_bits(None, zone))
                    return
                reply = tuple_ != entry.forward
        begin = False
        if entry is not None:
            state, begin = self._update(packet, entry, state, reply, related, now_ms)
            if request.nat is not None and not begin:
                state = self._handle_nat(packet, entry, state, zone, reply, related)
        elif (known := self._by_original_tuple(packet, request, state, tuple_, now_ms)) is not None:
            entry, reply = known, False
            state, begin = self._update(packet, entry, state, False, related, now_ms)
        elif related:
            state = CT_INV
        else:
            begin = True
        # What was looked up in vain a moment ago need not be looked up again.
        vain = found is None and not natted
        if begin and (vain or self._lookup(tuple_, now_ms) is None):
            state, entry = self._begin(packet, request, tuple_, now_ms)
        if entry is None:
            bits = no_connection_bits(tuple_, zone)
        else:
            self._exec(request, entry)
            bits = entry.bits
        self._write(packet, state, bits)
        if request.nat is None:
            packet.conn = entry
            packet.ct_info = reply * REPLY | related * RELATED
        else:
            packet.conn = None

    def _write(self, packet: Packet, state: int, bits: int) -> None:
        packet.key = packet.key & _NO_CT | bits | (state | CT_TRK) << _S_STATE

    def _lookup(self, tuple_: int, now_ms: int) -> Found | None:
        """The newest entry under `tuple_` that lives, or a translated one that is not yet swept."""
        entry = self._table.get(tuple_)
        if entry is None:
            return None
        found = self._seen(entry, tuple_, now_ms)
        if found is None and tuple_ in self._shadowed:
            for older in reversed(self._shadowed[tuple_]):
                found = self._seen(older, tuple_, now_ms)
                if found is not None:
                    break
        return found

    def _seen(self, entry: Entry, tuple_: int, now_ms: int) -> Found | None:
        rare = entry.rare
        if rare is None or not rare.node:
            return None if entry.expires <= now_ms else Found(entry, tuple_ != entry.forward, False)
        untouched = entry.reverse == reverse(entry.forward)
        if entry.expires > now_ms and (untouched or tuple_ == entry.forward):
            return Found(entry, tuple_ != entry.forward, False)
        if tuple_ == entry.reverse:
            return Found(entry, False, True)
        # Both entries stand in one hash chain if the translation changed nothing.
        return Found(entry, True, True) if untouched else None

    def _update(
        self, packet: Packet, entry: Entry, state: int, reply: bool, related: bool, now_ms: int
    ) -> tuple[int, bool]:
        """OVS ``conn_update_state()``: the ct_state, and whether a new connection begins."""
        if related:
            return state | CT_REL | (CT_RPL if reply else 0), False
        if entry.rare is not None and entry.rare.parent is not None:
            state |= CT_REL
        if isinstance(entry, TcpEntry):
            verdict, timer = tcp_update(entry, packet, reply, self.check_sequence)
            entry.settle()
        else:
            verdict, timer = _update_stateful(entry, reply)
        if timer is not None:
            self._start(entry, timer, now_ms)
        if verdict is Verdict.VALID:
            return state & ~CT_NEW | CT_EST | (CT_RPL if reply else 0), False
        if verdict is Verdict.INVALID:
            return CT_INV, False
        if verdict is Verdict.VALID_NEW:
            return state | CT_NEW, False
        self._force_expire(entry, now_ms)
        return state, True

    def _start(self, entry: Entry, timer: Timer, now_ms: int) -> None:
        rare = entry.rare
        entry.expires = now_ms + self._policies[rare.policy if rare else None][timer]
        if entry.expires < entry.armed:
            self._timers.arm(entry)

    def _handle_nat(
        self, packet: Packet, entry: Entry, state: int, zone: int, reply: bool, related: bool
    ) -> int:
        """OVS ``handle_nat()``: translate unless that was done in this zone already."""
        rare = entry.rare
        if rare is None or not rare.nat:
            return state
        if state & _NAT_BITS:
            if packet.key >> _S_ZONE & 0xFFFF == zone:
                return state
            state &= ~_NAT_BITS
        return state | translate(packet, entry.forward, entry.reverse, rare.nat, reply, related)

    def _by_original_tuple(
        self, packet: Packet, request: Track, state: int, tuple_: int, now_ms: int
    ) -> Entry | None:
        """OVS ``check_orig_tuple()``: a translated packet that was changed since."""
        if not state & _NAT_BITS or request.nat is not None:
            return None
        original = _original_tuple(packet.key, tuple_)
        if original is None:
            return None
        found = self._lookup(original, now_ms)
        return found.entry if found is not None and not found.node else None

    def _begin(
        self, packet: Packet, request: Track, tuple_: int, now_ms: int
    ) -> tuple[int, Entry | None]:
        """OVS ``conn_not_found()``: the state of a packet that belongs to nothing, and its
        connection if one was committed.
        """
        if not _may_begin(packet, tuple_):
            return CT_INV, None
        if not request.commit:
            return CT_NEW, None
        limit = self._limits.get(request.zone) or self._limits.get(DEFAULT_ZONE)
        if limit is not None and limit.count >= limit.limit:
            return CT_NEW, None
        if self.count >= self.max_connections:
            return CT_NEW, None
        return self._create(packet, request, tuple_, limit, now_ms)

    def _create(
        self, packet: Packet, request: Track, tuple_: int, limit: ZoneLimit | None, now_ms: int
    ) -> tuple[int, Entry | None]:
        back = reverse(tuple_)
        nat = request.nat
        state = CT_NEW
        action = 0
        if nat is not None:
            chosen = choose(
                tuple_, back, nat, lambda t: self._lookup(t, now_ms) is not None,
                self._basis, self._dice,
            )  # fmt: skip
            if chosen is None:
                return CT_NEW, None
            back = chosen
            action = ACTIONS[nat.kind]
        entry, timer = _new_entry(packet, tuple_, back)
        if nat is not None or request.timeout is not None:
            entry.rare = rare = Rare()
            rare.node = nat is not None
            rare.nat = action
            rare.policy = request.timeout
        if nat is not None:
            state |= translate(packet, tuple_, back, action, False, False)
        entry.refresh_bits()
        self._insert(entry)
        self._start(entry, timer, now_ms)
        if limit is not None:
            limit.count += 1
            entry.limit = limit
        return state, entry

    def _insert(self, entry: Entry) -> None:
        table = self._table
        for tuple_ in (entry.forward, entry.reverse):
            before = table.get(tuple_)
            if before is not None and before is not entry:
                self._shadowed.setdefault(tuple_, []).append(before)
            table[tuple_] = entry
        self.count += 1

    def _exec(self, request: Track, entry: Entry) -> None:
        """Set mark and label (OVS ``set_mark()``, ``set_label()``), but not those of a child."""
        if request.mark is None and request.label is None:
            return
        if entry.rare is not None and entry.rare.parent is not None:
            return
        if request.mark is not None:
            value, mask = request.mark
            entry.mark = value | entry.mark & ~mask
        if request.label is not None:
            value, mask = request.label
            entry.label = value | entry.label & ~mask
        entry.refresh_bits()

    # -- the end of connections -------------------------------------------------------------

    def _force_expire(self, entry: Entry, now_ms: int) -> None:
        if entry.expires > now_ms:
            self._timers.disarm(entry)
            entry.expires = 0
            self._end(entry, now_ms)

    def _end(self, entry: Entry, at: int) -> None:
        self._ended.append((at, entry))
        self._events.append(Event(at / 1000, EventKind.CONNECTION_EXPIRED, describe(entry)))

    def _expire(self, now_ms: int) -> None:
        if self._timers.next_deadline() <= now_ms:
            for entry in self._timers.due(now_ms):
                self._end(entry, entry.expires)

    def _sweep_up(self, now_ms: int) -> None:
        """Free what ended until the last sweep that is due at `now_ms`."""
        if self._next_sweep < 0:
            self._next_sweep = now_ms + self._sweep
            return
        self._expire(now_ms)
        last = now_ms - (now_ms - self._next_sweep) % self._sweep if self._sweep else now_ms
        self._next_sweep = last + self._sweep
        kept = []
        for at, entry in self._ended:
            if at <= last:
                self._free(entry)
            else:
                kept.append((at, entry))
        self._ended = kept

    def _free(self, entry: Entry) -> None:
        table = self._table
        for tuple_ in {entry.forward, entry.reverse}:
            older = self._shadowed.get(tuple_)
            if table.get(tuple_) is not entry:
                if older is not None and entry in older:
                    older.remove(entry)
            elif older:
                table[tuple_] = older.pop()
            else:
                del table[tuple_]
            if older is not None and not older:
                del self._shadowed[tuple_]
        self.count -= 1
        if entry.limit is not None:
            entry.limit.count -= 1

    def _living(self, now_ms: int) -> Sequence[Entry]:
        living = [
            entry
            for tuple_, entry in self._table.items()
            if entry.expires > now_ms and tuple_ == entry.forward
        ]
        for tuple_, older in self._shadowed.items():
            living += [
                entry for entry in older if entry.expires > now_ms and tuple_ == entry.forward
            ]
        return living


def _control_packet(packet: Packet) -> bool:
    """Is it of a port that a helper is for (OVS ``get_alg_ctl_type()`` without a helper named)?"""
    key = packet.key
    proto = SLOTS["nw_proto"].get(key)
    dport = SLOTS["tp_dst"].get(key)
    if proto == PROTO_TCP:
        return dport == FTP_PORT or SLOTS["tp_src"].get(key) == FTP_PORT
    return proto == PROTO_UDP and dport == TFTP_PORT


def _may_begin(packet: Packet, tuple_: int) -> bool:
    """May this packet begin a connection (each protocol's ``valid_new()``)?"""
    proto = tuple_ & 0xFF
    if proto == PROTO_TCP:
        return valid_new(packet.frame[packet.l4 + 13])
    if proto == PROTO_ICMP:
        return packet.l4 < len(packet.frame) and packet.frame[packet.l4] in NEW_TYPES
    if proto == PROTO_ICMPV6:
        return packet.l4 < len(packet.frame) and packet.frame[packet.l4] in NEW_TYPES_V6
    return True


def _new_entry(packet: Packet, tuple_: int, back: int) -> tuple[Entry, Timer]:
    proto = tuple_ & 0xFF
    if proto == PROTO_TCP:
        return create(tuple_, back, packet), Timer.TCP_FIRST_PACKET
    if proto in (PROTO_ICMP, PROTO_ICMPV6):
        return Stateful(tuple_, back, 0, 0, 0), Timer.ICMP_FIRST
    return Stateful(tuple_, back, 0, 0, 0), Timer.OTHER_FIRST


def _update_stateful(entry: Entry, reply: bool) -> tuple[Verdict, Timer]:
    """Take a packet of a connection of any protocol but TCP."""
    assert isinstance(entry, Stateful)
    if entry.forward & 0xFF in (PROTO_ICMP, PROTO_ICMPV6):
        # The reply that ends FIRST is valid, a request while in FIRST is not an answer yet.
        before = entry.state
        entry.state = ICMP_ON_PACKET[before][reply]
        verdict = Verdict.VALID if entry.state else Verdict.VALID_NEW
        return verdict, ICMP_TIMERS[entry.state]
    entry.state = OTHER_ON_PACKET[entry.state][reply]
    verdict = Verdict.VALID if entry.state == BIDIR else Verdict.VALID_NEW
    return verdict, OTHER_TIMERS[entry.state]


def _original_tuple(key: int, tuple_: int) -> int | None:
    """The tuple that the flow key's original tuple stands for; `tuple_` is the packet's own."""
    proto = SLOTS["ct_nw_proto"].get(key)
    if not proto:
        return None
    family, _, _, _, sport, _, zone = unpack(tuple_)
    src, dst = ("ct_nw_src", "ct_nw_dst") if family == 4 else ("ct_ipv6_src", "ct_ipv6_dst")
    ports = SLOTS["ct_tp_src"].get(key), SLOTS["ct_tp_dst"].get(key)
    made = pack(Parts(family, proto, SLOTS[src].get(key), SLOTS[dst].get(key), *ports, zone))
    if is_icmp(made):
        return with_ports(made, sport, SLOTS["ct_tp_src"].get(key) << 8)
    return made
