"""The flow table in front of act_ct: net/netfilter/nf_flow_table_core.c, net/sched/act_ct.c.

One table a zone. A connection enters it when act_ct has seen it established; from then on its
packets meet neither windows, checksums, flags nor timeouts::

    act_ct ran conntrack --enters--> flow --30 s without a packet, FIN, RST, the connection dies-->
                                      torn down: the connection returns to conntrack
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter.core import DAY, Netfilter
from ovsct.conntrack.netfilter.entry import (
    ASSURED,
    CONFIRMED,
    DYING,
    ESTABLISHED,
    ESTABLISHED_REPLY,
    NAT_MASK,
    NEW,
    OFFLOAD,
    SEEN_REPLY,
    SEQ_ADJUST,
    Entry,
)
from ovsct.conntrack.netfilter.icmp import PROTO_GRE
from ovsct.conntrack.netfilter.view import describe
from ovsct.conntrack.netfilter.window import BE_LIBERAL
from ovsct.conntrack.timers import Timed, Timers, milliseconds
from ovsct.lane import Event, EventKind
from ovsct.packet.fields import FRAG_ANY, SLOTS
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6, PROTO_TCP, PROTO_UDP, Packet

GC_INTERVAL: Final = 1000
"""ms between two looks at all flows; what has expired stays until then."""

REFRESH_STEP: Final = 1000
"""A packet renews its flow only if that moves the end by more than this many ms."""

_EXTEND_BELOW: Final = 300_000
"""ms; the timeout of a connection in the table is raised to a day before it falls below this."""

_FRAG: Final = FRAG_ANY << SLOTS["nw_frag"].shift
_FIN_RST: Final = 0x05
_TTL: Final = SLOTS["nw_ttl"].shift
_KEY_SHIFT: Final = tuples.KEY_SHIFT
_V4_MASK: Final = tuples.V4_MASK
_NEEDED: Final = {PROTO_TCP: 20, PROTO_UDP: 4, PROTO_GRE: 4}


class Flow(Timed):
    """A connection in the flow table. `expires` (ms) is when it has idled for too long.

    `bidirectional` (NF_FLOW_HW_BIDIRECTIONAL): hardware may hold the reply direction too;
    `established` (NF_FLOW_HW_ESTABLISHED): hardware was told that it is established; `pending`: the
    work that tells it so has not run yet. `torn_down`: not found any more; `leaving`: removed at
    the next look.
    """

    __slots__ = ("bidirectional", "entry", "established", "leaving", "pending", "torn_down")

    def __init__(self, entry: Entry, bidirectional: bool, expires: int) -> None:
        Timed.__init__(self, expires)
        self.entry = entry
        self.bidirectional = bidirectional
        self.established = False
        self.pending = True
        self.torn_down = False
        self.leaving = False


class FlowTable:
    """The flows of one zone. The kernel makes a table when the first ct action of a zone comes.

    Args:
        netfilter: the conntrack that the connections belong to.
        start: seconds, when the table was made: it looks for idle flows from then on.
        period: seconds between two looks. A kernel rounds its second up, by 8 or 64 ticks.
    """

    def __init__(
        self, netfilter: Netfilter, start: float = 0.0, period: float = GC_INTERVAL / 1000
    ) -> None:
        self.netfilter = netfilter
        self.flows: dict[int, Flow] = {}
        self.timers: Timers[Flow] = Timers()
        self.look_from(start, period)
        self._looked = self._start
        self._torn: list[Flow] = []
        self._short: list[Entry] = []
        netfilter.watchers.append(self._died)
        netfilter.keepers.append(self._keeps)
        self._timeouts = {
            PROTO_TCP: netfilter.sysctls["flowtable_tcp_timeout"] * 1000,
            PROTO_UDP: netfilter.sysctls["flowtable_udp_timeout"] * 1000,
        }

    def lookup(self, packet: Packet, zone: int, now: float) -> bool:
        """tcf_ct_flow_table_lookup(): may `packet` bypass conntrack?

        On a hit the connection is attached to the packet and True returned. On FIN or RST the flow
        is torn down; a connection that is not ASSURED is refreshed; both then go through conntrack.
        """
        key = packet.key
        tuple_ = (key >> _KEY_SHIFT) & _V4_MASK
        if tuple_ >> 104 == ETH_IPV4:
            tuple_ |= zone << tuples.V4_ZONE
            if packet.frame[packet.l3] & 0x0F != 5:
                return False
        elif (tuple_ >> 104) == ETH_IPV6:
            tuple_ = tuples.from_key(key, zone)
            if packet.l4 - packet.l3 != 40:
                return False
        else:
            return False
        proto = tuple_ & 0xFF
        if proto == PROTO_GRE:
            tuple_ &= ~tuples.PORTS_MASK
        flow = self.flows.get(tuple_)
        if flow is None or flow.torn_down:
            return False
        e = flow.entry
        if e.status & DYING or key & _FRAG or (key >> _TTL) & 0xFF <= 1:
            return False
        if packet.end - packet.l4 < _NEEDED[proto]:
            return False
        if proto == PROTO_GRE and packet.frame[packet.l4 + 1] & 0x07:
            return False
        return self._hit(packet, flow, tuple_, int(now * 1000.0 + 0.0005))

    def _hit(self, packet: Packet, flow: Flow, tuple_: int, now: int) -> bool:
        e = flow.entry
        # Where both directions look alike 6.1 finds the reply's, as conntrack does.
        reply = e.original != tuple_ if self.netfilter.merges_reverse else e.reply == tuple_
        status = e.status
        force = False
        if flow.pending:
            # The work queue has run since the packet that asked for it.
            flow.pending = False
            flow.established |= bool(status & SEEN_REPLY) or not self.netfilter.merges_reverse
        if reply and not flow.bidirectional:
            # The reply direction is for hardware only once the connection is assured.
            if status & ASSURED:
                flow.bidirectional = True
            elif flow.established:
                return False
            force = True
        if tuple_ & 0xFF == PROTO_TCP and packet.key & _FIN_RST:
            self.teardown(flow, now)
            return False
        expires = now + self._timeouts.get(tuple_ & 0xFF, 30_000)
        if force or expires - flow.expires > REFRESH_STEP:
            flow.expires = expires
            flow.pending = True
        if not status & ASSURED:
            return False
        packet.conn = e
        if reply:
            packet.ct_info = ESTABLISHED_REPLY
        else:
            packet.ct_info = ESTABLISHED if status & SEEN_REPLY else NEW
        if self.netfilter.acct:
            self.netfilter.account(e, packet, int(reply))
        return True

    def process(self, packet: Packet, now: float) -> Flow | None:
        """tcf_ct_flow_table_process_conn(): after conntrack, let the connection of `packet` enter.

        Returns the flow if it entered now.
        """
        e = packet.conn
        if not isinstance(e, Entry):
            return None
        status, proto = e.status, e.original & 0xFF
        if status & OFFLOAD:
            if self.netfilter.merges_reverse and e.expires - milliseconds(now) <= _EXTEND_BELOW:
                self._short.append(e)
            return None
        bidirectional = True
        if proto == PROTO_UDP:
            if not status & CONFIRMED:
                return None
            bidirectional = bool(status & ASSURED)
        elif proto in (PROTO_TCP, PROTO_GRE):
            if packet.ct_info not in (ESTABLISHED, ESTABLISHED_REPLY) or not status & ASSURED:
                return None
            if proto == PROTO_TCP:
                if e.state != 3:
                    return None
            elif status & NAT_MASK or e.original & tuples.PORTS_MASK:
                return None
        else:
            return None
        if e.helper is not None or status & (SEQ_ADJUST | DYING):
            return None
        return self._add(e, proto, bidirectional, milliseconds(now))

    def _add(self, e: Entry, proto: int, bidirectional: bool, now: int) -> Flow:
        """tcf_ct_flow_table_add(), flow_offload_add(). A flow that is being removed is shadowed."""
        e.status |= OFFLOAD
        if proto == PROTO_TCP:
            # For good: the windows are not watched while the flow is here.
            e.flags0 |= BE_LIBERAL
            e.flags1 |= BE_LIBERAL
        flow = Flow(e, bidirectional, now + self._timeouts.get(proto, 30_000))
        self.flows[e.original] = flow
        self.flows[e.reply] = flow
        self.timers.arm(flow)
        if self.netfilter.merges_reverse or e.expires - now < DAY // 2:
            e.expires = now + DAY
            self.netfilter.timers.arm(e)
        return flow

    def teardown(self, flow: Flow, now: int) -> None:
        """flow_offload_teardown(): give the connection back to conntrack; `now` in ms."""
        e = flow.entry
        e.status &= ~OFFLOAD
        if not flow.torn_down:
            flow.torn_down = True
            self.timers.disarm(flow)
            self._torn.append(flow)
        elif self.netfilter.merges_reverse:
            return
        self._fix_up(e, now)

    def _fix_up(self, e: Entry, now: int) -> None:
        """flow_offload_fixup_ct(): forget the windows, shorten the timeout by the flow's."""
        proto = e.original & 0xFF
        if proto == PROTO_TCP:
            e.maxwin0 = e.maxwin1 = 0
            timeout = self.netfilter.tcp_limits[e.state]
        elif proto == PROTO_UDP:
            limits = self.netfilter.limits(e, "udp")
            newer = self.netfilter.merges_reverse
            timeout = limits[0 if newer and not e.status & SEEN_REPLY else 1]
        else:
            return
        timeout = max(0, timeout - self._timeouts[proto])
        if e.expires - now > timeout:
            e.expires = now + timeout
            if not e.status & DYING:
                self.netfilter.timers.arm(e)

    def _died(self, e: Entry) -> None:
        """A connection that may have a flow here was killed: its flow ends at the next look."""
        flow = self.flows.get(e.original)
        if flow is not None and flow.entry is e and not flow.torn_down:
            flow.expires = 0
            self.timers.arm(flow)

    def _keeps(self, e: Entry, now: int) -> bool:
        """Whether a flow in use keeps `e` alive although its own time is up."""
        flow = self.flows.get(e.original)
        return flow is not None and flow.entry is e and not flow.torn_down and flow.expires > now

    def look_from(self, start: float, period: float) -> None:
        """Set when the looks for idle flows are: every `period` seconds from `start` on."""
        self._start = milliseconds(start)
        self._period = milliseconds(period)

    def advance(self, now: float) -> Sequence[Event]:
        """Let the looks for idle flows until `now` (seconds) happen, one a second.

        Call it before the conntrack's own ``advance``, since a flow's end brings its connection's
        nearer.
        """
        ms = milliseconds(now)
        events: list[Event] = []
        while True:
            if self._torn or self._short:
                due = self._looked + 1
            else:
                due = max(self.timers.next_deadline(), self._looked + 1)
            look = self._start + -(-(due - self._start) // self._period) * self._period
            if look > ms:
                break
            self._look(look, events)
        last = self._start + (ms - self._start) // self._period * self._period
        self._looked = max(self._looked, last)
        return events

    def _look(self, now: int, events: list[Event]) -> None:
        """nf_flow_table_gc_run()."""
        self._looked = now
        waiting, self._torn = self._torn, []
        for flow in waiting:
            if flow.expires <= now or flow.entry.status & DYING:
                # 6.1 tears down once more, even if the connection is in a new flow by now.
                self.teardown(flow, now)
            if flow.leaving:
                self._remove(flow)
                events.append(Event(now / 1000, EventKind.OFFLOAD_REMOVED, describe(flow.entry)))
            else:
                # Hardware is told first, even if there is none.
                flow.leaving = True
                self._torn.append(flow)
        for flow in self.timers.due(now):
            self.teardown(flow, now)
            flow.leaving = True
            events.append(Event(now / 1000, EventKind.OFFLOAD_AGED, describe(flow.entry)))
        self._extend(now)

    def _extend(self, now: int) -> None:
        """nf_flow_table_extend_ct_timeout() of 6.12.

        In 6.1 conntrack's own gc does it, at a moment up to a minute away that the model leaves
        out: there a connection is kept by :meth:`_keeps` alone.
        """
        short, self._short = self._short, []
        for e in short:
            left = e.expires - now
            if not e.status & OFFLOAD or left <= 0:
                continue
            if left >= _EXTEND_BELOW:
                self._short.append(e)
                continue
            e.expires = now + DAY

    def _remove(self, flow: Flow) -> None:
        for tuple_ in (flow.entry.original, flow.entry.reply):
            if self.flows.get(tuple_) is flow:
                del self.flows[tuple_]
