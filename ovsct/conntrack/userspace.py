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

from collections.abc import Sequence
from typing import Final

from ovsct.conntrack.request import Diverted, Track
from ovsct.conntrack.tuples import (
    KEY_SHIFT,
    V4_MASK,
    V4_ZONE,
    pack,
    reverse,
    unpack,
    zone_of,
)
from ovsct.conntrack.userspace_entry import DST, SRC, Entry, Rare, no_connection_bits
from ovsct.conntrack.userspace_fragments import BATCH, whole
from ovsct.conntrack.userspace_helpers import FTP, Expectation, control_kind, helper_fits
from ovsct.conntrack.userspace_key import original_tuple, unknown_bits
from ovsct.conntrack.userspace_nat import ACTIONS, choose, translate
from ovsct.conntrack.userspace_protocols import may_begin, new_entry, take
from ovsct.conntrack.userspace_state import UserspaceState
from ovsct.conntrack.userspace_steady import PLAIN, PLAIN_MASK, REPLY, steady
from ovsct.conntrack.userspace_tcp import TcpEntry, Verdict
from ovsct.conntrack.userspace_timeouts import Timer
from ovsct.conntrack.userspace_validate import extract
from ovsct.errors import OvsctError
from ovsct.lane import Drop
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
from ovsct.packet.packet import Packet

_S_STATE: Final = SLOTS["ct_state"].shift
_STATE: Final = SLOTS["ct_state"].mask
_S_ZONE: Final = SLOTS["ct_zone"].shift
_S_MARK: Final = SLOTS["ct_mark"].shift
_S_LABEL: Final = SLOTS["ct_label"].shift
_NO_CT: Final = ~CT_MASK
_FRAG: Final = SLOTS["nw_frag"].mask
_NAT_BITS: Final = CT_SNAT | CT_DNAT

RELATED: Final = 2
"""The bit of ``packet.ct_info`` that says that the packet is an ICMP error."""


class UserspaceTracker(UserspaceState):
    """The ``userspace`` dialect of :class:`~ovsct.conntrack.request.Tracker`.

    Its arguments, and what the control plane may ask of it, are those of
    :class:`~ovsct.conntrack.userspace_state.UserspaceState`.
    """

    __slots__ = ()

    def track(self, packet: Packet, request: Track, now: float) -> Diverted | None:
        """Run `packet` through the tracker; see :class:`~ovsct.conntrack.request.Tracker`.

        Raises:
            OvsctError: the request names a helper or a timeout policy that is not there.
        """
        now_ms = int(now * 1000.0 + 0.0005)
        if now_ms >= self._table.next_sweep:
            self._sweep(now_ms)
        key = packet.key
        plain = self._plain.get(id(request))
        if plain is not None and key & PLAIN_MASK == PLAIN and packet.conn is None:
            forward = key >> KEY_SHIFT & V4_MASK | plain
            entry = self._entries.get(forward)
            if (
                entry is not None
                and entry.__class__ is TcpEntry
                and entry.expires > now_ms
                and entry.steady is not None
                and steady(entry, packet, forward, now_ms + self._established)
            ):
                return None
        elif plain is None:
            self._learn(request)
        return self._process(packet, request, now_ms)

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
        """OVS ``conntrack_execute()`` for one packet, with the fragments that come and go by it."""
        if request.timeout is not None and request.timeout not in self._policies:
            raise OvsctError(f"there is no timeout policy {request.timeout!r}")
        if not packet.key & _FRAG:
            self._whole(packet, request, now_ms)
            if self.fragments.idle:
                return None
            done, given_up = self.fragments.release(BATCH - 1, now_ms)
            if not done and not given_up:
                return None
            return Diverted(None, [packet, *done, *_invalid(given_up)])
        return self._fragment(packet, request, now_ms)

    def _fragment(self, packet: Packet, request: Track, now_ms: int) -> Diverted | None:
        """A fragment: invalid at once, held, or the last that its packet was waiting for."""
        taken = self.fragments.take(packet, request.zone, now_ms)
        here = [packet] if taken is False else []
        if taken is False:
            self._write(packet, CT_INV, no_connection_bits(None, request.zone))
        elif taken is not True:
            put_together = whole(taken)
            self._whole(put_together, request, now_ms)
            self.fragments.settle(taken, put_together)
        done, given_up = self.fragments.release(BATCH - len(here), now_ms)
        leaving = [*here, *done, *_invalid(given_up)]
        if not leaving:
            return Diverted(Drop.HELD)
        return None if leaving == [packet] else Diverted(None, leaving)

    def _whole(self, packet: Packet, request: Track, now_ms: int) -> None:
        """One packet that is no fragment, or is one no more."""
        known = packet.conn
        zone = request.zone
        if packet.key & _STATE == CT_INV << _S_STATE:
            # A fragment that was given up: once tracked, always invalid.
            self._write(packet, CT_INV, no_connection_bits(None, zone))
            return
        if (
            isinstance(known, Entry)
            and not request.force
            and zone_of(known.forward) == zone
            and control_kind(packet, request.helper) is None
        ):
            self._again(packet, request, known)
            return
        extracted = extract(packet, zone)
        if extracted is None:
            self._write(packet, CT_INV, no_connection_bits(None, zone))
            return
        self._one(packet, request, extracted[0], extracted[1], now_ms)

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
        found = self._table.lookup(reverse(tuple_) if natted else tuple_, now_ms)
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
                    self._table.end(entry, now_ms)
                entry = None
            elif found.node:
                if entry.expires <= now_ms:
                    # The connection is over, its second entry not yet swept: "Missing parent conn".
                    self._write(packet, state | CT_INV, no_connection_bits(None, zone))
                    return
                reply = tuple_ != entry.forward
        kind = control_kind(packet, request.helper)
        begin = False
        if entry is not None:
            if kind == FTP:
                state, begin = self._update_control(
                    packet, request, entry, state, reply, related, now_ms
                )
            else:
                state, begin = self._update(packet, entry, state, reply, related, now_ms)
            if request.nat is not None and not begin:
                state = self._handle_nat(packet, entry, state, zone, reply, related)
        elif (known := self._by_original_tuple(packet, request, state, tuple_, now_ms)) is not None:
            # The direction is still that of the look-up before, which a forced commit was in.
            entry = known
            state, begin = self._update(packet, entry, state, reply, related, now_ms)
        elif related:
            state = CT_INV
        else:
            begin = True
        # What was looked up in vain a moment ago need not be looked up again.
        vain = found is None and not natted
        expected = self._watcher.expected(tuple_) if begin else None
        if begin and (vain or self._table.lookup(tuple_, now_ms) is None):
            state, entry = self._begin(packet, request, tuple_, expected, kind, now_ms)
        if entry is None:
            bits = unknown_bits(tuple_, zone, expected)
        else:
            self._exec(request, entry)
            bits = entry.bits
            if kind is not None and entry.rare is not None and entry.rare.helper is not None:
                nat = request.nat is not None
                state |= self._watcher.listen(packet, entry, kind, state, reply, nat)
        self._write(packet, state, bits)
        if request.nat is None:
            packet.conn = entry
            packet.ct_info = reply * REPLY | related * RELATED
        else:
            packet.conn = None

    def _write(self, packet: Packet, state: int, bits: int) -> None:
        packet.key = packet.key & _NO_CT | bits | (state | CT_TRK) << _S_STATE

    def _update_control(
        self, packet: Packet, request: Track, entry: Entry, state: int, reply: bool,
        related: bool, now_ms: int,
    ) -> tuple[int, bool]:
        """A packet of an FTP control connection (OVS ``conn_update_state_alg()``).

        What NAT added to one direction's payload is taken out of the other's acknowledgements
        before the windows are looked at, and added to its own sequence numbers after.
        """
        nat = request.nat is not None
        skew_reply = entry.rare.skew_reply if entry.rare is not None else False
        if reply != skew_reply:
            self._watcher.straighten(packet, entry, reply, nat)
            return self._update(packet, entry, state, reply, related, now_ms)
        state, begin = self._update(packet, entry, state, reply, related, now_ms)
        if not begin:
            self._watcher.straighten(packet, entry, reply, nat)
        return state, begin

    def _update(
        self, packet: Packet, entry: Entry, state: int, reply: bool, related: bool, now_ms: int
    ) -> tuple[int, bool]:
        """OVS ``conn_update_state()``: the ct_state, and whether a new connection begins."""
        if related:
            return state | CT_REL | (CT_RPL if reply else 0), False
        if entry.rare is not None and entry.rare.parent is not None:
            state |= CT_REL
        verdict, timer = take(entry, packet, reply, self.check_sequence)
        if timer is not None:
            self._start(entry, timer, now_ms)
        if verdict is Verdict.VALID:
            return state & ~CT_NEW | CT_EST | (CT_RPL if reply else 0), False
        if verdict is Verdict.INVALID:
            return CT_INV, False
        if verdict is Verdict.VALID_NEW:
            return state | CT_NEW, False
        self._table.end(entry, now_ms)
        return state, True

    def _start(self, entry: Entry, timer: Timer, now_ms: int) -> None:
        rare = entry.rare
        entry.expires = now_ms + self._policies[rare.policy if rare else None][timer]
        if entry.expires < entry.armed:
            self._table.timers.arm(entry)

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
        original = original_tuple(packet.key, tuple_)
        if original is None:
            return None
        found = self._table.lookup(original, now_ms)
        return found.entry if found is not None and not found.node else None

    def _begin(
        self, packet: Packet, request: Track, tuple_: int, expected: Expectation | None,
        kind: str | None, now_ms: int,
    ) -> tuple[int, Entry | None]:
        """OVS ``conn_not_found()``: the state of a packet that belongs to nothing, and its
        connection if one was committed.
        """
        if not may_begin(packet, tuple_):
            return CT_INV, None
        state = CT_NEW | CT_REL if expected is not None else CT_NEW
        if not request.commit:
            return state, None
        limit = self.limit_of(request.zone) if self._limits else None
        if limit is not None and limit.count >= limit.limit:
            return state, None
        if self._table.count >= self.max_connections:
            return state, None
        back = reverse(tuple_)
        action = 0
        if request.nat is not None:
            chosen = self._choose(request, tuple_, back, expected, now_ms)
            if chosen is None:
                return state, None
            back, action = chosen
        entry, timer = new_entry(packet, tuple_, back)
        helper = request.helper if helper_fits(request.helper, kind) else None
        if request.nat is not None or request.timeout is not None or expected or helper:
            entry.rare = rare = Rare()
            rare.node = request.nat is not None
            rare.nat = action
            rare.policy = request.timeout
            rare.helper = helper
            if expected is not None:
                rare.parent = expected.parent
                entry.mark, entry.label = expected.mark, expected.label
        if request.nat is not None:
            state |= translate(packet, tuple_, back, action, False, False)
        entry.refresh_bits()
        self._table.insert(entry)
        self._start(entry, timer, now_ms)
        if limit is not None:
            limit.count += 1
            entry.limit = limit
        return state, entry

    def _choose(
        self, request: Track, tuple_: int, back: int, expected: Expectation | None, now_ms: int
    ) -> tuple[int, int] | None:
        """The reverse tuple of a translated connection, and its action; None: none is left.

        An expected connection is translated as its control connection is, taken or not.
        """
        assert request.nat is not None
        if expected is not None:
            parts = unpack(back)
            if expected.source:
                return pack(parts._replace(dst=expected.address)), SRC
            return pack(parts._replace(src=expected.address)), DST
        chosen = choose(
            tuple_, back, request.nat, lambda t: self._table.lookup(t, now_ms) is not None,
            self._basis, self._dice,
        )  # fmt: skip
        return None if chosen is None else (chosen, ACTIONS[request.nat.kind])

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


def _invalid(packets: Sequence[Packet]) -> Sequence[Packet]:
    """Fragments that are given up leave as ``inv``, and not even ``trk``."""
    for packet in packets:
        packet.key = packet.key & ~_STATE | CT_INV << _S_STATE
    return packets
