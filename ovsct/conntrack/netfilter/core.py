"""The connection table and the way of a packet through it: net/netfilter/nf_conntrack_core.c.

::

    conntrack_in   the packet's tuple -> its entry, or a new one -> its protocol's tracker
    nat            rewrite it as the entry says; for a new entry choose the translation first
    confirm        put a new entry into the table

A packet carries what was found in ``packet.conn`` and ``packet.ct_info``; no entry means that the
packet is invalid (or not tracked: ``Info.UNTRACKED``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter import (
    clash,
    datagram,
    helpers,
    icmp,
    keys,
    load,
    nat,
    tcp,
    view,
)
from ovsct.conntrack.netfilter.checks import check
from ovsct.conntrack.netfilter.entry import (
    ASSURED,
    CONFIRMED,
    DST_NAT,
    DYING,
    ESTABLISHED,
    ESTABLISHED_REPLY,
    FIXED_TIMEOUT,
    IS_REPLY,
    NEW,
    OFFLOAD,
    SEEN_REPLY,
    SRC_NAT,
    SRC_NAT_DONE,
    Entry,
    Verdict,
)
from ovsct.conntrack.netfilter.fragments import Reassembly
from ovsct.conntrack.netfilter.helpers import Expectations
from ovsct.conntrack.netfilter.quick import quick_ack, quick_syn
from ovsct.conntrack.netfilter.room import Room
from ovsct.conntrack.netfilter.sctp import sctp_packet
from ovsct.conntrack.netfilter.stat import Statistics
from ovsct.conntrack.netfilter.sysctls import ROWS, Sysctls
from ovsct.conntrack.timers import PATIENCE, Timers, milliseconds
from ovsct.errors import InputError
from ovsct.lane import Connection, Event, EventKind
from ovsct.packet.fields import (
    CT_DNAT,
    CT_SNAT,
    FRAG_LATER,
    SLOTS,
)
from ovsct.packet.packet import (
    ETH_IPV4,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    Packet,
)

if TYPE_CHECKING:
    from random import Random

    from ovsct.conntrack.request import Track
    from ovsct.conntrack.select import Selection

KERNELS: Final = ("6.1", "6.12")
"""The kernels whose rules are modelled."""

DAY: Final = 86_400_000
"""ms; what an offloaded connection is kept alive by."""

_KEY_SHIFT: Final = tuples.KEY_SHIFT
_V4_MASK: Final = tuples.V4_MASK
_V4_ZONE: Final = tuples.V4_ZONE
_LATER: Final = FRAG_LATER << SLOTS["nw_frag"].shift
_QUICK: Final = ASSURED | SEEN_REPLY | CONFIRMED

Handler = Callable[["Netfilter", Entry, Packet, int, int], int]

_HANDLERS: Final[dict[int, Handler]] = {
    PROTO_TCP: tcp.tcp_packet,
    PROTO_UDP: datagram.udp_packet,
    icmp.PROTO_UDPLITE: datagram.udp_packet,
    PROTO_ICMP: icmp.icmp_packet,
    PROTO_ICMPV6: icmp.icmpv6_packet,
    PROTO_SCTP: sctp_packet,
    icmp.PROTO_GRE: datagram.gre_packet,
}


class Netfilter:
    """The conntrack of one network namespace, shared by all that hold it.

    Args:
        kernel: whose rules to follow, ``6.1`` or ``6.12``.
        random: the generator that NAT ports and early drop are drawn from; without one the draws
            follow a fixed sequence.
        sysctls: values of sysctls that are not at their default (see sysctls.py), e.g.
            ``tcp_loose=0, max=1000``.

    Raises:
        InputError: an unknown kernel or sysctl.

    A test can put its own function into `choose` to say what is drawn: it is called with the number
    of candidates and what they are for, and returns an index.
    """

    def __init__(self, kernel: str = "6.1", random: Random | None = None, **sysctls: int) -> None:
        if kernel not in KERNELS:
            known = ", ".join(KERNELS)
            raise InputError("no such kernel is modelled", token=kernel, expected=known)
        self.kernel = kernel
        self.sysctls = Sysctls(**sysctls)
        self.table: dict[int, Entry] = {}
        self.timers: Timers[Entry] = Timers(PATIENCE)
        self.watchers: list[Callable[[Entry], None]] = []
        self.keepers: list[Callable[[Entry, int], bool]] = []
        self.sources: dict[int, list[Entry]] = {}
        self.count = 0
        self.zones: dict[int, int] = {}
        self.manips = 0
        self.room = Room(self)
        self.stat = Statistics()
        self.expectations = Expectations()
        self.fragments = Reassembly(
            self.sysctls["frag_timeout"], self.sysctls["frag_max_dist"]
        )
        self._random = random
        self._draws = 0
        self._limits = {name: self.sysctls.timeouts(name) for name in ROWS}
        self.tcp_limits = self._limits["tcp"]
        self.liberal = self.sysctls["tcp_be_liberal"]
        self.max_retrans = self.sysctls["tcp_max_retrans"]
        self.checksum = self.sysctls["checksum"]
        self.acct = self.sysctls["acct"]
        newer = kernel != "6.1"
        self.rst_closes = not newer
        # 6.1.176 hands the helper on to what was expected, as 6.12.117 does not: so it was seen.
        self.helped_children = not newer
        self.merges_reverse = newer
        self.evicts_time_wait = newer
        self.dst_starts_at_first = newer
        self.choose: Callable[[int, str], int] = self._draw
        self.searched_from = 0
        """The lowest port that NAT may take, while it asks where to begin."""

    # The way of a packet.

    def conntrack_in(
        self,
        packet: Packet,
        zone: int,
        now: float,
        *,
        helper: str | None = None,
        unlink: bool = True,
        policy: Sysctls | None = None,
    ) -> Verdict:
        """nf_conntrack_in() at PRE_ROUTING: find or make the entry of `packet` in `zone`.

        The packet must not be a fragment any more and have no padding. Sets ``packet.conn`` to its
        :class:`Entry` or None and ``packet.ct_info``; an entry that is new is not in the table
        before :meth:`confirm`.

        Args:
            now: seconds.
            helper: what is to watch a new connection, ``ftp`` or ``tftp``.
            unlink: whether a new connection uses up the expectation that it fits.
            policy: the timeouts of a new connection, if they are not those of the host.

        Returns:
            DROP if the table is full, ACCEPT otherwise (also for what is invalid).

        Raises:
            OvsctError: the packet is of a protocol whose tracking is not modelled.
        """
        ms = int(now * 1000.0 + 0.0005)
        key = packet.key
        tuple_ = (key >> _KEY_SHIFT) & _V4_MASK
        packet.conn = None
        packet.ct_info = 0
        if tuple_ >> 104 == ETH_IPV4 and tuple_ & 0xFF == PROTO_TCP and not key & _LATER:
            tuple_ |= zone << _V4_ZONE
            if not check(packet, tuple_, self.checksum):
                return self._invalid(tuple_, ms)
            e = self.table.get(tuple_)
            if (
                e is not None
                and e.state == 3
                and e.status & _QUICK == _QUICK
                and ms < e.expires
                and e.extra is None
            ):
                reply = 1 if e.reply == tuple_ else 0
                if not self.acct and quick_ack(self, e, packet, reply, ms):
                    packet.conn = e
                    packet.ct_info = ESTABLISHED_REPLY if reply else ESTABLISHED
                    return Verdict.ACCEPT
            return self._track(packet, tuple_, ms, (helper, unlink, policy))
        any_tuple = self.tuple_of(packet, zone)
        if any_tuple is None:
            return Verdict.ACCEPT
        proto = any_tuple & 0xFF
        queries = proto in (PROTO_ICMP, PROTO_ICMPV6)
        if not check(packet, any_tuple, self.checksum):
            if not queries:
                return self._invalid(any_tuple, ms)
            self.stat.icmp_error += 1
            return Verdict.ACCEPT
        if queries:
            handle = icmp.icmp_error if proto == PROTO_ICMP else icmp.icmpv6_error
            if not handle(self, packet, zone, ms):
                self.stat.icmp_error += keys.wrong(packet)
                return Verdict.ACCEPT
        return self._track(packet, any_tuple, ms, (helper, unlink, policy))

    def _invalid(self, tuple_: int, now: int) -> Verdict:
        """A packet that its tracker refuses; but the kernel makes room for its entry first."""
        if self.find(tuple_, now) is None and not self.room.make(now):
            return Verdict.DROP
        self.stat.invalid += 1
        return Verdict.ACCEPT

    def _track(
        self, packet: Packet, tuple_: int, now: int, template: helpers.Template
    ) -> Verdict:
        """resolve_normal_ct() and nf_conntrack_handle_packet()."""
        while True:
            e = self.find(tuple_, now)
            # Of one whose directions look alike the kernel finds the reply's, put in last.
            reply = 1 if e is not None and e.reply == tuple_ else 0
            if e is None:
                try:
                    answer_tuple = tuples.reverse(tuple_)
                except KeyError:
                    # An ICMP type that nothing answers.
                    return Verdict.ACCEPT
                if not self.room.make(now):
                    return Verdict.DROP
                e = Entry(tuple_, answer_tuple)
                if self.expectations or template != helpers.PLAIN:
                    helpers.adopt(self, e, now, template)
                plain = e.extra is None and not self.acct
                if plain and tuple_ & 0xFF == PROTO_TCP and quick_syn(self, e, packet):
                    packet.conn = e
                    packet.ct_info = NEW
                    return Verdict.ACCEPT
            handle = _HANDLERS.get(tuple_ & 0xFF, datagram.generic_packet)
            answer = handle(self, e, packet, reply, now)
            if answer != tcp.AGAIN:
                break
        if answer < 0:
            self.stat.invalid += 1
            return Verdict.ACCEPT
        packet.conn = e
        packet.ct_info = keys.info_of(e, reply)
        if reply:
            e.status |= SEEN_REPLY
        return Verdict.ACCEPT

    def nat(self, packet: Packet, request: Track, now: float) -> Verdict:
        """nf_ct_nat(): what a ct action with ``nat`` does to a tracked packet.

        Rewrites ``packet.frame`` and ``packet.key`` as the connection's translation says; for a
        new connection it is chosen first (a range of ``request.nat``, or the null binding). Which
        of SRC_NAT and DST_NAT were gone through is left in `manips`.

        Returns:
            DROP if the packet cannot be translated.

        Raises:
            ValueError: the packet has no connection.
        """
        e = view.entry(packet)
        if e is None or request.nat is None:
            raise ValueError("nothing to translate")
        verdict, self.manips = nat.translate(
            self, packet, e, request.nat, request.commit, milliseconds(now)
        )
        return verdict

    def ovs_nat_bits(self) -> int:
        """Snat and dnat as the OVS datapath notes them of the last :meth:`nat`."""
        manips = self.manips
        return (CT_SNAT if manips & SRC_NAT else 0) | (CT_DNAT if manips & DST_NAT else 0)

    def peek(
        self, packet: Packet, zone: int, now: float, *, natted: bool = False
    ) -> Entry | None:
        """The confirmed entry of `packet` in `zone`, with its state left as it is; sets ct_info.

        What was translated already (`natted`) is found by its answer's tuple
        (ovs_ct_find_existing()).
        """
        tuple_ = self.tuple_of(packet, zone)
        if tuple_ is not None and natted:
            tuple_ = tuples.reverse(tuple_)
        e = self.find(tuple_, milliseconds(now)) if tuple_ is not None else None
        if e is not None:
            packet.ct_info = keys.info_of(e, int((e.reply == tuple_) != natted))
        return e

    def confirm(self, packet: Packet, now: float) -> Verdict:
        """nf_conntrack_confirm(): put the packet's new entry into the table.

        Returns:
            DROP if another connection has taken one of its tuples.
        """
        e = view.entry(packet)
        if e is None or e.status & CONFIRMED or packet.ct_info >= IS_REPLY:
            return Verdict.ACCEPT
        if e.status & DYING:
            return Verdict.DROP
        ms = milliseconds(now)
        table = self.table
        if e.original in table or e.reply in table:
            other = self.find(e.original, ms) or self.find(e.reply, ms)
            if other is not None:
                verdict = clash.resolve(self, packet, e, other, ms)
                if verdict is Verdict.ACCEPT:
                    self.stat.clashres += 1
                else:
                    self.stat.drop += 1
                    self.stat.insert_failed += 1
                return verdict
        e.expires += ms
        self.put(e)
        return Verdict.ACCEPT

    def put(self, e: Entry) -> None:
        """Put an entry with a deadline into the table, under both its tuples."""
        self.table[e.original] = e
        self.table[e.reply] = e
        self.insert(e)

    def load(self, connections: Iterable[Connection], now: float) -> None:
        """Put connections from a dump into the table; see :mod:`.load`.

        Raises:
            InputError: one cannot be taken.
        """
        load.load(self, connections, milliseconds(now))

    def flush(self, selection: Selection, now: float) -> int:
        """Remove connections at once and without an event; returns how many."""
        ms = milliseconds(now)
        found = [
            e for e in self.entries() if e.expires > ms and selection.fits(view.neutral(e, ms))
        ]
        for e in found:
            self.kill(e)
        return len(found)

    def insert(self, e: Entry) -> None:
        """Count an entry that stands in the table, and watch its deadline."""
        e.status |= CONFIRMED
        self.count += 1
        zone = e.zone
        self.zones[zone] = self.zones.get(zone, 0) + 1
        self.timers.arm(e)

    # What the trackers and NAT ask of the table.

    def find(self, tuple_: int, now: int) -> Entry | None:
        """The confirmed entry with this tuple in either direction; one that has expired is gone."""
        e = self.table.get(tuple_)
        if e is not None and e.expires <= now:
            self.expire(e, now)
            return self.table.get(tuple_)
        return e

    def taken(self, tuple_: int, ignored: Entry, now: int) -> bool:
        """nf_conntrack_tuple_taken(): does `tuple_` belong to another connection than `ignored`?"""
        e = self.find(tuple_, now)
        return e is not None and e is not ignored and e.original != ignored.original

    def limits(self, e: Entry, tracker: str) -> tuple[int, ...]:
        """Timeouts (ms) by state: those of the entry's timeout policy, or the tracker's own."""
        if e.extra is not None and e.extra.policy is not None:
            return e.extra.policy
        return self._limits[tracker]

    def refresh(self, e: Entry, packet: Packet, reply: int, now: int, timeout: int) -> None:
        """nf_ct_refresh_acct(): `timeout` ms from now, or from confirmation."""
        status = e.status
        if not status & FIXED_TIMEOUT:
            if status & CONFIRMED:
                e.expires = now + timeout
                if e.expires < e.armed:
                    self.timers.arm(e)
            else:
                e.expires = timeout
        if self.acct:
            self.account(e, packet, reply)

    def account(self, e: Entry, packet: Packet, reply: int) -> None:
        """Count the packet, if sysctl ``acct`` says so. Bytes are those of the IP packet."""
        if self.acct:
            extra = e.more()
            extra.packets[reply] += 1
            extra.bytes[reply] += packet.end - packet.l3

    def kill(self, e: Entry) -> None:
        """nf_ct_kill(): remove an entry; packets that carry it keep it."""
        if e.status & DYING:
            return
        e.status |= DYING
        if e.status & CONFIRMED:
            for tuple_ in (e.original, e.reply):
                if self.table.get(tuple_) is e:
                    del self.table[tuple_]
            self.count -= 1
            self.zones[e.zone] -= 1
            self.timers.disarm(e)
            if e.status & OFFLOAD:
                for watcher in self.watchers:
                    watcher(e)
        self.forget_source(e)

    def forget_source(self, e: Entry) -> None:
        """The mapping of an entry's source is not to be used again."""
        if e.status & SRC_NAT_DONE:
            source = nat.source_of(e.original)
            users = [user for user in self.sources.get(source, ()) if user is not e]
            if users:
                self.sources[source] = users
            else:
                self.sources.pop(source, None)

    def expire(self, e: Entry, now: int) -> bool:
        """Remove an entry whose time is up, unless a flow table keeps it alive."""
        if e.status & OFFLOAD and any(keeps(e, now) for keeps in self.keepers):
            e.expires = now + DAY
            self.timers.arm(e)
            return False
        self.kill(e)
        return True

    def _draw(self, size: int, why: str) -> int:
        if self._random is not None:
            return self._random.randrange(size)
        self._draws += 1
        return (nat.jhash2([self._draws], 0) * size) >> 32

    # What others see.

    entry = staticmethod(view.entry)
    state_bits = staticmethod(view.state_bits)
    flower_bits = staticmethod(view.flower_bits)

    @staticmethod
    def detach(packet: Packet, info: int = 0) -> None:
        """nf_ct_set(skb, NULL, info): the packet carries no connection any more."""
        packet.conn = None
        packet.ct_info = info

    def advance(self, now: float) -> Sequence[Event]:
        """Let time pass until `now` (seconds): what expired, in order of time."""
        ms = milliseconds(now)
        events = []
        for e in self.timers.due(ms):
            ended = e.expires
            if self.expire(e, ms):
                events.append(Event(ended / 1000, EventKind.CONNECTION_EXPIRED, view.describe(e)))
        return events

    def entries(self) -> Iterator[Entry]:
        """Every confirmed entry, once."""
        for tuple_, e in self.table.items():
            if tuple_ == e.original or self.table.get(e.original) is not e:
                yield e

    def in_zone(self, zone: int) -> int:
        """How many connections `zone` has."""
        return self.zones.get(zone, 0)

    def connections(self, now: float) -> Sequence[Connection]:
        """What is tracked at `now` (seconds), in the neutral form."""
        ms = milliseconds(now)
        return [view.neutral(e, ms) for e in self.entries() if e.expires > ms]

    tuple_of = staticmethod(keys.tuple_of)
