"""The life of an offloaded connection: net/netfilter/nf_flow_table_offload.c and the driver.

::

    act_ct adds a flow --work queue--> written into hardware --packets hit--> counters are polled
         ^                                    |                                    |
         | refreshed by a packet in software  | FIN, RST, idle, dead                v
         +--------- (written again if new)    +--gc--work queue--> taken out    flow stays alive

Between a request and the work that does it, packets go through software; between FIN and the work
that takes the entry out, all other packets still hit it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from heapq import heappop, heappush
from typing import Final

from ovsct.conntrack import tuples
from ovsct.conntrack.flowtable import GC_INTERVAL, Flow, FlowTable
from ovsct.conntrack.netfilter import Netfilter
from ovsct.conntrack.netfilter.entry import (
    ESTABLISHED,
    ESTABLISHED_REPLY,
    HW_OFFLOAD,
    NAT_MASK,
    NEW,
    SEEN_REPLY,
    Entry,
)
from ovsct.conntrack.netfilter.view import describe
from ovsct.conntrack.timers import NEVER, milliseconds
from ovsct.lane import Event, EventKind
from ovsct.nic.pipeline import Pipeline
from ovsct.nic.profile import Profile
from ovsct.nic.tables import CtTables, Failure, HwEntry, RuleTables
from ovsct.nic.words import entry_text, meta_text, which
from ovsct.packet.packet import Packet
from ovsct.tc.keys import S_LABEL, S_MARK, S_STATE, S_ZONE
from ovsct.tc.state import CT_STATES

STATS_BELOW: Final = 27_000
"""ms: hardware's counters are asked for once less than 9/10 of a flow's 30 s are left
(nf_flow_offload_stats())."""


class Job(Enum):
    """What the work queue can be asked to do (FLOW_CLS_REPLACE, FLOW_CLS_DESTROY)."""

    WRITE = 0
    REMOVE = 1


class _Held:
    """What hardware has of a flow: its two directions, either of which may not be there."""

    __slots__ = ("entries", "removing", "unread")

    def __init__(self) -> None:
        self.entries: list[HwEntry | None] = [None, None]
        self.removing = False
        self.unread = False


class HwFlowTable(FlowTable):
    """A flow table whose flows are written into a NIC.

    Args:
        netfilter: the conntrack that the connections belong to.
        profile: what the NIC can do.
        rules, ct, pipeline: its tables, and what counts.
        start: seconds, when the table was made.

    `due` (ms) is when :meth:`advance` must be called at the latest for packets to see what it does.
    """

    def __init__(
        self, netfilter: Netfilter, profile: Profile, rules: RuleTables, ct: CtTables,
        pipeline: Pipeline, start: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(netfilter, start)
        self._profile = profile
        self._rules = rules
        self._ct = ct
        self._pipeline = pipeline
        self._insertion = milliseconds(profile.insertion_delay)
        self._removal = milliseconds(profile.removal_delay)
        self._poll = milliseconds(profile.poll)
        self._polled = 0
        self._stats_at = 0
        self._next_look = self._start + GC_INTERVAL
        self._fresh: list[Flow] = []
        self._queue: list[tuple[int, int, Job, Flow]] = []
        self._serial = 0
        self._held: dict[Flow, _Held] = {}
        self._unread: list[Flow] = []
        self._flow_of: dict[HwEntry, Flow] = {}
        self._told: list[Event] = []
        self.due = 0

    # -- what software asks for -----------------------------------------------------------------

    def process(self, packet: Packet, now: float) -> Flow | None:
        """As in software; a flow that entered is to be written into hardware."""
        flow = super().process(packet, now)
        if flow is not None:
            self._ask(Job.WRITE, flow, milliseconds(now), self._insertion)
        return flow

    def _hit(self, packet: Packet, flow: Flow, tuple_: int, now: int) -> bool:
        """As in software; a refresh asks for the flow to be written once more.

        The work that was asked for first has `flow.pending` set until it is done.
        """
        waiting = flow.pending
        flow.pending = False
        hit = super()._hit(packet, flow, tuple_, now)
        if flow.pending and not waiting:
            self._ask(Job.WRITE, flow, now, self._insertion)
        flow.pending |= waiting
        return hit

    def _look(self, now: int, events: list[Event]) -> None:
        """As in software; what begins to leave here is to be taken out of hardware."""
        super()._look(now, events)
        for flow in self._torn:
            # Work that is still queued comes first (NF_FLOW_HW_PENDING).
            if flow.leaving and not flow.pending:
                self._begin_removal(flow, now)

    def _begin_removal(self, flow: Flow, now: int) -> None:
        """nf_flow_offload_del() at a look, once."""
        held = self._held.get(flow)
        if held is not None and not held.removing:
            held.removing = True
            self._ask(Job.REMOVE, flow, now, self._removal)

    def _ask(self, job: Job, flow: Flow, now: int, delay: int) -> None:
        self._held.setdefault(flow, _Held())
        self._serial += 1
        heappush(self._queue, (now + delay, self._serial, job, flow))
        self._set_due()

    # -- time -----------------------------------------------------------------------------------

    def advance(self, now: float) -> Sequence[Event]:
        """Looks for idle flows, polls of the counters and queued work until `now`, in order."""
        ms = milliseconds(now)
        if ms < self.due and not self._told:
            return []
        events, self._told = self._told, []
        while True:
            due = min(self._next_work(), self._next_poll(), self._next_stats())
            if due > ms:
                break
            events += super().advance(due / 1000)
            if self._next_work() <= due:
                at, _, job, flow = heappop(self._queue)
                self._do(job, flow, at, events)
            elif self._next_poll() <= due:
                self._read_counters(due)
            else:
                self._ask_stats(due)
        events += super().advance(now)
        # The looks that this brought may have asked for work that is due by now.
        while self._next_work() <= ms:
            at, _, job, flow = heappop(self._queue)
            self._do(job, flow, at, events)
        self._polled = max(self._polled, ms // self._poll * self._poll)
        self._next_look = self._look_after(ms)
        self._set_due()
        events.sort(key=lambda event: event.at)
        return events

    def _set_due(self) -> None:
        self.due = min(self._next_work(), self._polled + self._poll, self._next_look)

    def _next_work(self) -> int:
        return self._queue[0][0] if self._queue else NEVER

    def _next_poll(self) -> int:
        pipeline = self._pipeline
        if not pipeline.dirty_entries and not pipeline.dirty_rules:
            return NEVER
        return self._polled + self._poll

    def _next_stats(self) -> int:
        if not self._unread and not self._fresh:
            return NEVER
        return self._look_after(self._stats_at)

    def _look_after(self, now: int) -> int:
        return self._start + ((now - self._start) // GC_INTERVAL + 1) * GC_INTERVAL

    # -- the work queue -------------------------------------------------------------------------

    def _do(self, job: Job, flow: Flow, now: int, events: list[Event]) -> None:
        if job is Job.WRITE:
            self._write(flow, now, events)
        else:
            self._remove_hw(flow, now, events)

    def _write(self, flow: Flow, now: int, events: list[Event]) -> None:
        """flow_offload_work_add(): write what is not there, renew what has another ctinfo."""
        flow.pending = False
        held = self._held.setdefault(flow, _Held())
        e = flow.entry
        seen = bool(e.status & SEEN_REPLY)
        flow.established |= seen or not self._profile.unreplied_new
        written, failures = [], set()
        for reply in (False, True) if flow.bidirectional else (False,):
            info = ESTABLISHED_REPLY if reply else ESTABLISHED
            if not reply and not seen and self._profile.unreplied_new:
                info = NEW
            there = held.entries[reply]
            if there is not None:
                if there.info != info:
                    _bake(there, info)
                    written.append(there)
                continue
            hw = HwEntry(e, reply, _target(e, reply), now)
            failure = self._insert(hw)
            if failure is not None:
                failures.add(failure)
                continue
            _bake(hw, info)
            held.entries[reply] = hw
            self._flow_of[hw] = flow
            written.append(hw)
        if written:
            e.status |= HW_OFFLOAD
            if not flow.established:
                self._fresh.append(flow)
                self._stats_at = max(self._stats_at, now - 1)
            text = "; ".join(
                f"{which(hw)} in hardware with {meta_text(hw.meta)}" for hw in written
            )
            events.append(Event(now / 1000, EventKind.OFFLOADED, f"{describe(e)}: {text}"))
        elif failures:
            text = ", ".join(sorted(failure.value for failure in failures))
            events.append(Event(now / 1000, EventKind.OFFLOAD_FAILED, f"{describe(e)}: {text}"))
        if flow.leaving:
            self._begin_removal(flow, self._look_after(now))

    def _insert(self, hw: HwEntry) -> Failure | None:
        if tuples.zone_of(hw.tuple) not in self._rules.zones:
            return Failure.ZONE
        return self._ct.insert(hw)

    def _remove_hw(self, flow: Flow, now: int, events: list[Event]) -> None:
        """flow_offload_work_del()."""
        held = self._held.pop(flow, None)
        flow.entry.status &= ~HW_OFFLOAD
        if held is None:
            return
        gone = [hw for hw in held.entries if hw is not None]
        for hw in gone:
            self._ct.remove(hw)
            del self._flow_of[hw]
        if gone:
            text = f"{describe(flow.entry)}: taken out of hardware"
            events.append(Event(now / 1000, EventKind.OFFLOAD_REMOVED, text))

    def leave_zone(self, zone: int, now: float) -> None:
        """The last rule that tracks in `zone` is gone: mlx5_tc_ct_del_ft_cb() flushes its entries.

        The flows stay in software, and are written again when a refresh finds a rule.
        """
        for hw in self._ct.of_zone(zone):
            self._ct.remove(hw)
            self._held[self._flow_of.pop(hw)].entries[hw.reply] = None
            text = f"{describe(hw.entry)}: {which(hw)} taken out, no rule tracks in its zone"
            self._told.append(Event(now, EventKind.OFFLOAD_REMOVED, text))

    # -- counters -------------------------------------------------------------------------------

    def _read_counters(self, now: int) -> None:
        """The driver's own poll: what has counted since the last one was used just now."""
        pipeline = self._pipeline
        self._polled = now
        for hw in pipeline.dirty_entries:
            hw.changed = False
            hw.used = now
            hw.polled_packets += hw.packets
            hw.polled_bytes += hw.bytes
            hw.packets = hw.bytes = 0
            flow = self._flow_of.get(hw)
            if flow is not None:
                held = self._held[flow]
                if not held.unread:
                    held.unread = True
                    self._unread.append(flow)
        pipeline.dirty_entries.clear()
        for standing in pipeline.dirty_rules:
            standing.changed = False
            for _, counter in standing.installed.program:
                counter.packets += standing.packets
                counter.bytes += standing.bytes
                counter.used = now / 1000
            standing.packets = standing.bytes = 0
        pipeline.dirty_rules.clear()
        self._stats_at = max(self._stats_at, now - 1)

    def _ask_stats(self, now: int) -> None:
        """nf_flow_offload_stats() at a look: a flow that hardware used lives on."""
        self._stats_at = now
        self._end_outdated(now)
        waiting, self._unread = self._unread, []
        for flow in waiting:
            held = self._held.get(flow)
            if held is None or flow.torn_down:
                continue
            if flow.expires - now >= STATS_BELOW:
                self._unread.append(flow)
                continue
            held.unread = False
            there = [hw for hw in held.entries if hw is not None]
            used = max((hw.used for hw in there), default=0)
            timeout = self._timeouts.get(flow.entry.original & 0xFF, 30_000)
            flow.expires = max(flow.expires, used + timeout)
            for hw in there:
                self._account(hw)

    def _end_outdated(self, now: int) -> None:
        """tcf_ct_flow_is_outdated(): hardware says +new of what software has seen answered."""
        waiting, self._fresh = self._fresh, []
        for flow in waiting:
            held = self._held.get(flow)
            if held is None or flow.torn_down or flow.established:
                continue
            if flow.pending or not flow.entry.status & SEEN_REPLY:
                self._fresh.append(flow)
                continue
            self.teardown(flow, now)
            flow.leaving = True
            self._begin_removal(flow, now)

    def _account(self, hw: HwEntry) -> None:
        if self.netfilter.acct:
            extra = hw.entry.more()
            extra.packets[hw.reply] += hw.polled_packets
            extra.bytes[hw.reply] += hw.polled_bytes
        hw.polled_packets = hw.polled_bytes = 0

    # -- words ----------------------------------------------------------------------------------

    def lines(self, now: float) -> list[str]:
        """What hardware has of connections, one line a direction."""
        ms = milliseconds(now)
        return [entry_text(hw, ms) for hw in self._ct]


def _target(e: Entry, reply: bool) -> int:
    """tcf_ct_flow_table_add_action_nat(): the other direction's tuple, inverted."""
    own, other = (e.reply, e.original) if reply else (e.original, e.reply)
    return tuples.reverse(other) if e.status & NAT_MASK else own


def _bake(hw: HwEntry, info: int) -> None:
    """tcf_ct_flow_table_add_action_meta(): what is written now stays until it is written anew."""
    e = hw.entry
    hw.info = info
    hw.meta = CT_STATES[info] << S_STATE | e.zone << S_ZONE | e.mark << S_MARK | e.label << S_LABEL
