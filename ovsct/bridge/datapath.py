"""The datapath: a cache of megaflows, and the execution of their actions.

A packet that no megaflow covers is translated once (an upcall) and the result is kept; all others
run from the cache. Two dialects differ in how recirculation is bounded: ``userspace`` (OVS
lib/dpif-netdev.c) gives up at a depth, ``kernel`` (net/openvswitch/actions.c) defers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ovsct.bridge import execute as do
from ovsct.bridge import odp
from ovsct.bridge.counters import Counters
from ovsct.bridge.execute_encap import ENCAPS
from ovsct.bridge.flow_tables import Effect, FlowTables
from ovsct.bridge.kernel_checks import refuses
from ovsct.bridge.kernel_form import kernel_mask, seen
from ovsct.bridge.odp_text import format_actions, format_key
from ovsct.bridge.police import Policers
from ovsct.bridge.resume import packet_in
from ovsct.bridge.run import PacketIn, Run
from ovsct.bridge.sayable import sayable
from ovsct.bridge.translate import translate
from ovsct.conntrack.netfilter.fragments import refragment
from ovsct.conntrack.request import Tracker
from ovsct.errors import OvsctError
from ovsct.lane import CONTROLLER, Drop, Event, EventKind, Output, StepKind, Via
from ovsct.openflow.text.flow_text import format_flow
from ovsct.packet.fields import DATAPATH_MASK, SLOTS
from ovsct.packet.kernel import kernel_packet, reparse
from ovsct.packet.packet import VLAN_LIMIT, Packet, parse

if TYPE_CHECKING:
    from ovsct.bridge.bridge import Bridge

__all__ = ["Datapath", "PacketIn", "Run"]

MAX_RECIRC_DEPTH: Final = 6
"""Userspace: the 7th recirculation of a packet drops it (OVS 3.1 lib/dpif-netdev.c)."""

DEFER_LEVEL: Final = 3
DEFER_SLOTS: Final = 9
"""Kernel: from this nesting on recirculations wait in a queue with this many places a packet
(net/openvswitch/actions.c OVS_DEFERRED_ACTION_THRESHOLD, DEFERRED_ACTION_FIFO_SIZE)."""

MAX_IDLE: Final = 10.0
"""Seconds after which an unused megaflow is removed (``other_config:max-idle``)."""

MAX_L2: Final = 18
"""Kernel: no more than an Ethernet header and one tag in front of what is to be cut again."""

_RETAG: Final = (odp.PushVlan, odp.PopVlan, odp.PushMpls, *ENCAPS)

_RECIRC_MASK: Final = SLOTS["recirc_id"].mask
_RECIRC_SHIFT: Final = SLOTS["recirc_id"].shift
_GROUP_MASK: Final = _RECIRC_MASK | SLOTS["in_port"].mask

Executor: TypeAlias = Callable[[Packet, Any, Run], bool | None]
Compiled: TypeAlias = tuple[tuple[Executor, Any], ...]
Compiler: TypeAlias = Callable[[Any, Compiled, bool], tuple[Executor, Any]]


def _ids(flow: odp.Megaflow) -> tuple[int, ...]:
    """The recirculation ids that a megaflow holds: those it leads to, and its own (OVS
    ofproto-dpif-upcall.c, ``key_recirc_id``).
    """
    own = (flow.key & _RECIRC_MASK) >> _RECIRC_SHIFT
    return (*flow.recirc_ids, own) if own else flow.recirc_ids


class Datapath:
    """Megaflows and their execution.

    Args:
        bridge: translates what no megaflow covers; those that it is joined with do too.
        tracker: the conntrack behind ct actions.
        dialect: ``userspace`` or ``kernel``.
        vlan_limit: tags that vswitchd looks behind.
        max_idle: seconds after which an unused megaflow is removed.

    `on_install`, if set, is told of every megaflow that comes and says where it is kept;
    `on_remove` is told of every one that goes, before it does. The lowering to TC listens there.
    `next_expiry` is when :meth:`advance` next has a megaflow to look at (seconds).
    """

    def __init__(
        self,
        bridge: Bridge,
        tracker: Tracker,
        dialect: str,
        vlan_limit: int = VLAN_LIMIT,
        max_idle: float = MAX_IDLE,
    ) -> None:
        self.bridge = bridge
        self.max_idle = max_idle
        self.tracker = tracker
        self.vlan_limit = vlan_limit
        self.kernel = dialect == "kernel"
        self.parse: Callable[[bytes, int], Packet] = parse
        """The packet that a frame is to this datapath when it comes in on a port."""
        if self.kernel:
            self.parse = kernel_packet
        elif vlan_limit != VLAN_LIMIT:
            self.parse = partial(parse, vlan_limit=vlan_limit)
        self.bridges = bridge.backer.bridges
        for each in self.bridges:
            each.kernel_queues = each.kernel_masks = self.kernel
            each.max_hash_algorithm = 0 if self.kernel else 1
        # Every megaflow matches in_port and recirc_id: they choose the short list to search.
        self._subtables: dict[int, list[tuple[int, dict[int, odp.Megaflow]]]] = {}
        self._elsewhere: dict[odp.Megaflow, None] = {}
        self.on_install: Callable[[odp.Megaflow], odp.Home] | None = None
        self.on_remove: Callable[[odp.Megaflow], None] | None = None
        self.next_expiry = math.inf
        self.counters = Counters(self.bridges)
        self._changes = bridge.changes
        self._fdb_version = bridge.changes.macs
        self._tables_version = -1
        self._now = 0.0
        self._changed_at_once = False
        """Whether the last packet changed the tables in the slow path, not by the cache."""
        self._ident = 0
        self.policers = Policers(bridge.meters)
        self._compilers: dict[type, Compiler] = {
            odp.Output: lambda a, rest, tags: (
                (self._output_kernel, (a.port, not rest)) if self.kernel else (do.output, a.port)
            ),
            odp.Set: lambda a, rest, tags: (do.set_fields, (a.value, a.mask)),
            odp.PushVlan: lambda a, rest, tags: (do.push_vlan, (a.tpid, a.tci)),
            odp.PopVlan: lambda a, rest, tags: (do.pop_vlan, None),
            odp.PushMpls: lambda a, rest, tags: (do.push_mpls, (a.lse, a.ethertype)),
            odp.PopMpls: lambda a, rest, tags: (do.pop_mpls, a.ethertype),
            **ENCAPS,
            odp.Ct: lambda a, rest, tags: (self._ct, (a.track, rest)),
            odp.CtClear: lambda a, rest, tags: (self._ct_clear, None),
            odp.Recirc: lambda a, rest, tags: (
                self._recirc_kernel if self.kernel else self._recirc_userspace,
                (a.recirc_id << _RECIRC_SHIFT, not rest, tags),
            ),
            odp.Clone: lambda a, rest, tags: (
                self._clone,
                (self.compile(a.actions, tags), not rest),
            ),
            odp.Userspace: lambda a, rest, tags: (self._userspace, a),
            odp.Hash: lambda a, rest, tags: (
                do.set_dp_hash,
                (a.algorithm, a.basis, self.vlan_limit if tags else None),
            ),
            odp.Meter: lambda a, rest, tags: (do.police, self.policers[a.meter_id]),
            odp.Trunc: lambda a, rest, tags: (do.trunc, a.max_len),
            odp.CheckPktLen: lambda a, rest, tags: (
                self._check_pkt_len,
                (a.length, self.compile(a.greater, tags), self.compile(a.less_equal, tags)),
            ),
        }

    # -- the way of a packet ---------------------------------------------------------------

    def process(self, packet: Packet, run: Run) -> None:
        """One pass: find the megaflow (or translate) and execute it."""
        key = packet.key
        if run.arrival is None:
            run.arrival = key
            self._follow(run.now)
        for mask, flows in self._subtables.get(key & _GROUP_MASK, ()):
            flow = flows.get(key & mask)
            if flow is not None:
                flow.packets += 1
                flow.bytes += len(packet.frame)
                flow.used = run.now
                flow.tcp_flags |= key & 0xFFF
                if flow.slow is None:
                    for execute, argument in flow.before:
                        execute(packet, argument, run)
                    run.hit = True
                elif self.kernel:
                    self._send_up(packet, flow, run)
                    return
                else:
                    flow = self._decide(packet, flow, run)
                break
        else:
            if self.kernel:
                self._send_up(packet, None, run)
                return
            flow = self._upcall(packet, run)
        # As _serve() below, without a call a pass.
        if run.steps is not None:
            self._trace(flow, run)
        if not flow.compiled:
            run.drop = flow.drop or Drop.ACTIONS
        for execute, argument in flow.compiled:
            if execute(packet, argument, run):
                return

    def _serve(self, packet: Packet, flow: odp.Megaflow, run: Run) -> None:
        actions: Compiled = flow.compiled
        if run.steps is not None:
            self._trace(flow, run)
        if not actions:
            run.drop = flow.drop or Drop.ACTIONS
        for execute, argument in actions:
            if execute(packet, argument, run):
                return

    def execute(self, packet: Packet, actions: Compiled, run: Run) -> None:
        """Run compiled actions on `packet`."""
        for execute, argument in actions:
            if execute(packet, argument, run):
                return

    def compile(self, actions: Sequence[odp.OdpAction], retagged: bool = False) -> Compiled:
        """Turn an action list into calls. Each knows what follows it.

        `retagged` says that an action before the list pushed or popped a tag: behind it lies
        another header, for which a packet that recirculates is parsed again.
        """
        changed = []
        for action in actions:
            changed.append(retagged)
            retagged = retagged or isinstance(action, _RETAG)
        compiled: Compiled = ()
        for action, retagged in zip(reversed(actions), reversed(changed), strict=True):
            compiler = self._compilers.get(type(action))
            if compiler is None:
                raise OvsctError(
                    f"the datapath action {format_actions((action,))} is not modelled yet"
                )
            compiled = (compiler(action, compiled, retagged), *compiled)
        return compiled

    def _upcall(self, packet: Packet, run: Run) -> odp.Megaflow:
        if run.steps is not None:
            key = self._seen(packet)
            run.note(Via.SLOW, StepKind.UPCALL, format_key(key, key))
        flow = self._translate(packet, run)
        flow.whole_key = packet.key & DATAPATH_MASK
        flow.created = run.now
        flow.first_bytes = len(packet.frame)
        self.install(flow)
        return flow

    def _decide(self, packet: Packet, slow: odp.Megaflow, run: Run) -> odp.Megaflow:
        """What becomes of a packet of a slow megaflow: vswitchd decides about each anew, by what it
        knows then (ofproto/ofproto-dpif-upcall.c, ``process_upcall()``).
        """
        run.note(Via.SLOW, StepKind.NOTE, f"vswitchd handles each such packet ({slow.slow})")
        flow = self._translate(packet, run)
        flow.compiled = self.compile(flow.actions)
        return flow

    def _seen(self, packet: Packet) -> int:
        return seen(packet, self.vlan_limit) if self.kernel else packet.key

    def _translate(self, packet: Packet, run: Run) -> odp.Megaflow:
        run.slow = True
        # vswitchd sends it back in one piece.
        packet.pieces = ()
        for bridge in self.bridges:
            bridge.fdb.expire(run.now)
        version, key = self._changes.tables, self._seen(packet)
        translation = translate(self.bridge, key, run.now, trace=run.steps is not None)
        if self._changes.tables != version:
            self._changed_at_once = True
        if run.steps is not None:
            run.steps.extend(translation.steps)
        return translation.megaflow

    def _follow(self, now: float) -> None:
        """Follow what changed in the tables, or in what NORMAL learned, since the last packet.

        OVS decides again as soon as something changes, that is at the time that was last seen.
        """
        then, self._now = self._now, now
        changes = self._changes
        if changes.tables != self._tables_version:
            for bridge in self.bridges:
                bridge.flow_tables.begin(now)
            # A packet that changed the tables in the slow path is counted behind its change.
            late = [f for f in self._all() if f.used == then] if self._changed_at_once else []
            self._changed_at_once = False
            for flow in self._all():
                if flow not in late:
                    self.counters.settle(flow)
            for bridge in self.bridges:
                self.counters.follow(bridge.flow_tables)
            self._tables_version = changes.tables
            self._fdb_version = changes.macs
            self._revalidate(list(self._all()), then, late)
        elif changes.macs != self._fdb_version:
            self._fdb_version = changes.macs
            touched = [f for f in self._all() if f.learned or f.effects or f.fickle]
            self._revalidate(touched, then)

    def _revalidate(
        self, flows: Sequence[odp.Megaflow], now: float, late: Sequence[odp.Megaflow] = ()
    ) -> None:
        """Decide again for `flows`: what is masked otherwise goes, the rest is changed in place.

        What those in `late` have served goes to the flows that are behind them from now on.
        """
        for flow in flows:
            translation = translate(self.bridge, flow.packet_key, now, side_effects=False)
            fresh = translation.megaflow
            if flow in late:
                flow.rules = fresh.rules
            said = sayable(flow.packet_key, flow.mask & ~flow.added)
            if fresh.mask & ~fresh.added & ~said or translation.avoid_caching:
                self.remove(flow)
                continue
            self.counters.settle(flow)
            before = flow.actions
            self.bridge.recirc.hold(fresh.recirc_ids)
            self.bridge.recirc.release(flow.recirc_ids)
            flow.actions, flow.recirc_ids = fresh.actions, fresh.recirc_ids
            flow.blame, flow.rules, flow.drop = fresh.blame, fresh.rules, fresh.drop
            flow.looked, flow.fickle = fresh.looked, False
            flow.learned, flow.effects, flow.slow = fresh.learned, fresh.effects, fresh.slow
            self._ready(flow)
            if fresh.actions != before and self.on_install is not None:
                self._displace(flow)
                if not self._place(flow):
                    self._forget(flow)

    @staticmethod
    def _learn(_packet: Packet, learned: Sequence[odp.Learned], run: Run) -> None:
        for fdb, vlan, mac, port in learned:
            fdb.learn(vlan, mac, port, run.now)

    @staticmethod
    def _change_tables(
        packet: Packet, effects: Sequence[tuple[FlowTables, Effect]], run: Run
    ) -> None:
        for tables, effect in effects:
            tables.apply(effect, packet.key & 0xFFF, run.now)

    def _ready(self, flow: odp.Megaflow) -> None:
        # What vswitchd does in the kernel's place (slow) the kernel is not asked. What was there
        # before stays where a change is refused.
        if self.kernel and flow.slow is None and refuses(flow.whole_key, flow.actions):
            flow.drop = Drop.REFUSED
        else:
            flow.compiled = self.compile(flow.actions)
        before: list[tuple[Executor, Any]] = []
        if flow.learned:
            before.append((self._learn, flow.learned))
        if flow.effects:
            before.append((self._change_tables, flow.effects))
        flow.before = tuple(before)

    def _trace(self, flow: odp.Megaflow, run: Run) -> None:
        text = f"{format_key(flow.key, flow.mask)}, actions:{format_actions(flow.actions)}"
        run.note(Via.SLOW if run.slow and not run.hit else Via.DATAPATH, StepKind.MEGAFLOW, text)

    # -- the cache -------------------------------------------------------------------------

    def install(self, flow: odp.Megaflow) -> None:
        """Put a megaflow into the cache, or where `on_install` says."""
        self._ready(flow)
        told = flow.mask & ~flow.added
        flow.fickle = sayable(flow.packet_key, told) != told
        self.bridge.recirc.hold(_ids(flow))
        if not self._place(flow):
            self._forget(flow)
            return
        due = flow.created + self.max_idle
        self.next_expiry = min(self.next_expiry, due)

    def _place(self, flow: odp.Megaflow) -> bool:
        """Keep a megaflow where it belongs; False if nobody does."""
        home = odp.Home.CACHE if self.on_install is None else self.on_install(flow)
        if home is odp.Home.ELSEWHERE:
            self._elsewhere[flow] = None
        if home is not odp.Home.CACHE:
            return home is odp.Home.ELSEWHERE
        if flow.drop is Drop.REFUSED:
            return False
        if self.kernel:
            flow.mask = kernel_mask(flow.whole_key, flow.mask, self.vlan_limit)
            flow.key = flow.whole_key & flow.mask
        subtables = self._subtables.setdefault(flow.key & _GROUP_MASK, [])
        for mask, flows in subtables:
            if mask == flow.mask:
                flows[flow.key] = flow
                break
        else:
            subtables.append((flow.mask, {flow.key: flow}))
        return True

    def remove(self, flow: odp.Megaflow) -> None:
        """Take a megaflow away."""
        self._displace(flow)
        self._forget(flow)

    def _displace(self, flow: odp.Megaflow) -> None:
        if self.on_remove is not None:
            self.on_remove(flow)
        if flow in self._elsewhere:
            del self._elsewhere[flow]
            return
        group = flow.key & _GROUP_MASK
        subtables = self._subtables[group]
        for at, (mask, flows) in enumerate(subtables):
            if mask == flow.mask:
                del flows[flow.key]
                if not flows:
                    del subtables[at]
                break
        if not subtables:
            del self._subtables[group]

    def _forget(self, flow: odp.Megaflow) -> None:
        """Nobody keeps it any more: its recirculation ids go, its flows keep what it counted."""
        self.bridge.recirc.release(_ids(flow))
        self.counters.settle(flow)

    def credit(self) -> None:
        """Credit the flows behind all megaflows, as before something else changes the tables."""
        for flow in self.megaflows():
            self.counters.settle(flow)

    def flow_counts(self) -> dict[int, tuple[int, int]]:
        """(n_packets, n_bytes) of every OpenFlow flow that was hit, by its `id`."""
        self.credit()
        return dict(self.counters.flows)

    def table_counts(self, place: int = 0) -> dict[int, tuple[int, int]]:
        """Of every table that was looked up: how often, and how often a flow was hit.

        `place` is that of the bridge.
        """
        self.credit()
        return self.counters.of_tables(place)

    def megaflows(self) -> Iterator[odp.Megaflow]:
        """All megaflows, grouped by port and recirculation id, oldest mask first; then those that
        are kept elsewhere.
        """
        self._follow(self._now)
        yield from self._all()

    def _all(self) -> Iterator[odp.Megaflow]:
        for subtables in self._subtables.values():
            for _mask, flows in subtables:
                yield from flows.values()
        yield from self._elsewhere

    def flush(self) -> None:
        """Remove every megaflow (``revalidator/purge``)."""
        for flow in list(self.megaflows()):
            self.remove(flow)
        self.bridge.recirc.forget()

    def advance(self, now: float) -> Sequence[Event]:
        """End the flows whose time is up, and the megaflows that were idle for `max_idle`."""
        for bridge in self.bridges:
            bridge.fdb.expire(now)
        self._follow(now)
        events: list[Event] = []
        for bridge in self.bridges:
            if now > bridge.flow_tables.next_due:
                events += self._expire_flows(bridge.flow_tables, now)
        if now < self.next_expiry:
            return events
        soonest = math.inf
        for flow in list(self._all()):
            due = (flow.used if flow.used is not None else flow.created) + self.max_idle
            if due <= now:
                self.remove(flow)
                text = format_key(flow.key, flow.mask)
                events.append(Event(due, EventKind.MEGAFLOW_EXPIRED, text))
            else:
                soonest = min(soonest, due)
        self.next_expiry = soonest
        events.sort(key=lambda event: event.at)
        return events

    def _expire_flows(self, tables: FlowTables, now: float) -> list[Event]:
        for flow in self._all():
            self.counters.settle(flow)
        events = [
            Event(due, EventKind.FLOW_EXPIRED, f"{why}: {format_flow(flow)}")
            for due, flow, why in tables.expire(now)
        ]
        self._follow(now)
        return events

    # -- the actions that need the datapath ------------------------------------------------

    def _ct(self, packet: Packet, argument: tuple[Any, Compiled], run: Run) -> bool:
        track, rest = argument
        diverted = self.tracker.track(packet, track, run.now)
        if run.steps is not None:
            run.note(Via.DATAPATH, StepKind.CONNTRACK, do.describe_ct(packet, diverted is not None))
        if diverted is None:
            return False
        if diverted.drop is not None:
            run.drop = diverted.drop
        for other in diverted.packets:
            self.execute(other, rest, run)
        return True

    def _userspace(self, packet: Packet, action: odp.Userspace, run: Run) -> None:
        run.slow = True
        if action.dont_send:
            return
        state = self.bridge.recirc.thaw(action.recirc_id)
        if state is None:
            return
        if run.packet_ins is None:
            run.packet_ins = []
        run.packet_ins.append(packet_in(packet, action, state))
        run.out.append(Output(CONTROLLER, packet.frame))

    def _output_kernel(self, packet: Packet, argument: tuple[int, bool], run: Run) -> None:
        """Kernel: what was reassembled is cut again (net/openvswitch/actions.c do_output())."""
        port, last = argument
        if not packet.mru or run.cut is not None:
            do.output(packet, port, run)
        elif packet.l3 > MAX_L2:
            run.drop = Drop.MTU
            run.note(Via.DATAPATH, StepKind.DROP, "L2 header too long to fragment")
        else:
            self._ident += 1
            for frame in refragment(packet, packet.pieces if last else (), self._ident):
                run.out.append(Output(port, frame))

    def _ct_clear(self, packet: Packet, _argument: None, _run: Run) -> None:
        self.tracker.clear(packet)

    def _recirc_userspace(
        self, packet: Packet, argument: tuple[int, bool, bool], run: Run
    ) -> None:
        recirc, last, retagged = argument
        if run.depth >= MAX_RECIRC_DEPTH:
            run.drop = Drop.RECIRCULATION
            run.note(Via.DATAPATH, StepKind.DROP, f"recirculated over {MAX_RECIRC_DEPTH} times")
            return
        twin = packet if last else packet.fork()
        if retagged:
            twin.reparse(twin.frame, self.vlan_limit)
        twin.key = twin.key & ~_RECIRC_MASK | recirc
        run.depth += 1
        self.process(twin, run)
        run.depth -= 1

    def _recirc_kernel(
        self, packet: Packet, argument: tuple[int, bool, bool], run: Run
    ) -> None:
        recirc, last, retagged = argument
        twin = packet if last else packet.fork()
        if retagged:
            reparse(twin, twin.frame)
        twin.key = twin.key & ~_RECIRC_MASK | recirc
        if run.depth >= DEFER_LEVEL:
            if run.deferred is None:
                run.deferred = []
            if len(run.deferred) >= DEFER_SLOTS:
                run.drop = Drop.RECIRCULATION
                run.note(Via.DATAPATH, StepKind.DROP, "the queue of deferred actions is full")
                return
            run.deferred.append(twin)
            return
        run.depth += 1
        self.process(twin, run)
        run.depth -= 1

    def finish(self, run: Run) -> None:
        """Kernel: run what was deferred, then what went up to vswitchd, in the order it did."""
        self._run_deferred(run)
        at = 0
        while run.upcalls is not None and at < len(run.upcalls):
            packet, flow = run.upcalls[at]
            self._come_down(packet, flow, run, at > 0)
            self._run_deferred(run)
            at += 1

    def _run_deferred(self, run: Run) -> None:
        """Run what was deferred; new deferrals queue up behind."""
        at = 0
        while run.deferred is not None and at < len(run.deferred):
            run.depth = 1
            self.process(run.deferred[at], run)
            at += 1
        run.deferred = None

    @staticmethod
    def _send_up(packet: Packet, flow: odp.Megaflow | None, run: Run) -> None:
        """Kernel: vswitchd gets to it only when all else has been done with the packet."""
        run.slow = True
        if run.upcalls is None:
            run.upcalls = []
        run.upcalls.append((packet, flow))

    def _come_down(
        self, packet: Packet, flow: odp.Megaflow | None, run: Run, may_be_there: bool
    ) -> None:
        """Kernel: vswitchd sends a packet back with actions (OVS_PACKET_CMD_EXECUTE).

        It is a packet of its own by now: its key still tells what conntrack said of it, but no
        connection is attached to it any more.
        """
        packet.conn = None
        packet.ct_info = 0
        packet.pieces = ()
        run.depth = 0
        if flow is not None:
            decided = self._decide(packet, flow, run)
        else:
            there = self._installed_meanwhile(packet) if may_be_there else None
            decided = there or self._upcall(packet, run)
        self._serve(packet, decided, run)

    def _installed_meanwhile(self, packet: Packet) -> odp.Megaflow | None:
        """The megaflow that a packet which went up earlier has brought, if it covers this one."""
        for mask, flows in self._subtables.get(packet.key & _GROUP_MASK, ()):
            flow = flows.get(packet.key & mask)
            if flow is not None:
                flow.first_packets += 1
                flow.first_bytes += len(packet.frame)
                return flow
        return None

    def _clone(self, packet: Packet, argument: tuple[Compiled, bool], run: Run) -> None:
        actions, last = argument
        self.execute(packet if last else packet.fork(), actions, run)

    def _check_pkt_len(
        self, packet: Packet, argument: tuple[int, Compiled, Compiled], run: Run
    ) -> None:
        length, greater, less_equal = argument
        self.execute(packet, greater if len(packet.frame) > length else less_equal, run)
