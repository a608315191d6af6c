"""The lane ``tc``: OVS with ``hw-offload=true`` and ``tc-policy=skip_hw``.

A packet meets the TC filters of its port first. What they do not take goes on in the OVS kernel
datapath, where it stands: with the chain it missed in as its recirculation id and the connection
that ``ct`` attached still on it (``struct tc_skb_ext``). A packet that has no megaflow either goes
to vswitchd, whose megaflow then becomes a filter, or, if TC cannot hold it, a flow of the kernel
datapath. Both share one conntrack.

OVS 3.1 gives filters to any chain, whether or not a filter leads there. Where the megaflow before
was refused, packets come to a recirculation id in the kernel datapath, find nothing (the megaflow
is in TC) and go to vswitchd every time; it makes the same filter again, which is there already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import MAX_IDLE, Run
from ovsct.bridge.odp import Home, Megaflow
from ovsct.conntrack.netfilter import Netfilter
from ovsct.conntrack.netfilter.entry import DST_NAT, SRC_NAT, Entry
from ovsct.conntrack.ovs_kernel import OvsKernelTracker, update_key
from ovsct.conntrack.timers import milliseconds
from ovsct.errors import InputError
from ovsct.lane import Arrival, Drop, Event, Outcome, Step, StepKind, Via
from ovsct.lanes.control import Policies, ZoneLimits, set_up
from ovsct.lanes.ovs import OvsLane
from ovsct.lower.kernel import Capabilities
from ovsct.lower.reasons import Reason, Refusal
from ovsct.lower.tc_actions import METER_POLICE, policer
from ovsct.lower.text import command_lines, refusal_lines
from ovsct.lower.to_tc import Lowered, Lowering
from ovsct.openflow.flow import Flow
from ovsct.packet.fields import CT_DNAT, CT_SNAT, SLOTS
from ovsct.packet.kernel import reparse
from ovsct.tc.chains import FilterError
from ovsct.tc.filters import Installed
from ovsct.tc.ingress import Fate, Result, TcIngress
from ovsct.tc.text.show import LISTINGS, listing

_RECIRC: Final = SLOTS["recirc_id"]
_STATE: Final = SLOTS["ct_state"]
_TO_OVS: Final = (Fate.MISS, Fate.STACK)
_BY_TC: Final = (Via.TC,)
_VIA: Final = {
    (tc, hit, slow): tuple(
        via for via, met in ((Via.TC, tc), (Via.DATAPATH, hit), (Via.SLOW, slow)) if met
    )
    for tc in (False, True) for hit in (False, True) for slow in (False, True)
}  # fmt: skip


@dataclass(slots=True)
class Offloaded:
    """A megaflow that is a filter: how it was lowered, the filter as it stands, and what the
    megaflow had counted before (OVS: adjust_stats).
    """

    lowered: Lowered
    installed: Installed
    packets: int
    bytes: int


class TcLane(OvsLane):
    """OVS over TC.

    Args:
        bridge: tables, groups and ports.
        kernel: whose rules TC and conntrack follow, ``6.1`` or ``6.12``.
        netfilter: the conntrack, if it is to be shared; its kernel is then taken.
        skb_ext: whether the kernel was built with NET_TC_SKB_EXT; without it no megaflow that
            recirculates is lowered, and that is how Debian's kernels are.
        features: the version of a kernel whose TC offers OVS less (``5.10``: what flower matches
            on, masks in a priority); by default all that 6.1 offers.
        trace: whether outcomes carry steps.
        vlan_limit: tags that OVS looks behind (``other_config:vlan-limit``).
        max_idle: seconds after which an unused megaflow goes (``other_config:max-idle``).
        sysctls, zone_limits, timeout_policies: as for the lane ``ovs-kernel``; TC itself knows
            neither zone limits nor policies.
    """

    def __init__(
        self,
        bridge: Bridge,
        *,
        kernel: str = "6.1",
        netfilter: Netfilter | None = None,
        skb_ext: bool = True,
        trace: bool = False,
        vlan_limit: int = 1,
        max_idle: float = MAX_IDLE,
        sysctls: Mapping[str, int] | None = None,
        zone_limits: ZoneLimits | None = None,
        timeout_policies: Policies | None = None,
        features: str = "6.1",
    ) -> None:
        if netfilter is None:
            netfilter = Netfilter(kernel, None, **(sysctls or {}))
        self.netfilter = netfilter
        tracker = OvsKernelTracker(netfilter)
        set_up(tracker, zone_limits, timeout_policies)
        super().__init__(
            "tc", bridge, tracker, "kernel",
            trace=trace, vlan_limit=vlan_limit, max_idle=max_idle,
        )  # fmt: skip
        self.tc = self.make_ingress()
        self.lowering = Lowering(
            bridge.backer.ports, Capabilities.of(features, recirc_sharing=skb_ext),
            skip_hw=self.skip_hw, meters=bridge.meters,
        )  # fmt: skip
        for number, meter in enumerate(bridge.meters):
            if meter is not None and meter.bands:
                self.tc.actions.find(policer(meter), METER_POLICE + number, 0.0).refs += 1
        self.offloaded: dict[Megaflow, Offloaded] = {}
        self.refused: dict[Megaflow, Refusal] = {}
        self.duplicates = 0
        """How often vswitchd made a filter that was there already."""
        self._zones: Counter[int] = Counter()
        self._released: list[Event] = []
        self.datapath.on_install = self._install
        self.datapath.on_remove = self._remove

    skip_hw = True
    """``tc-policy``: whether filters are kept from the NIC."""

    def make_ingress(self) -> TcIngress:
        """The TC in front of OVS; a lane with a NIC has another."""
        backer = self.bridge.backer
        ports = (*backer.ports, *backer.own_ports)
        return TcIngress(ports, self.netfilter, backer.own_ports)

    # -- the way of a packet --------------------------------------------------------------------

    def receive(self, packet: Arrival) -> Outcome:
        """Take one frame.

        Raises:
            InputError: the port is not one of the bridge's.
        """
        now, port, frame = packet
        self.now = now
        if port not in self._arrivals:
            raise self._no_port(port)
        if len(frame) < 14:
            return Outcome((), Drop.MALFORMED, ())
        steps: list[Step] | None = [] if self.trace else None
        result = self.tc.run(self.datapath.parse(frame, port), port, now, steps=steps)
        if result.fate not in _TO_OVS:
            self.packet_ins = ()
            out = result.outputs
            return Outcome(out, None if out else result.drop, _BY_TC, steps or ())
        run = Run(now, self.trace)
        caught = result.chain != 0 or result.fate is Fate.STACK
        if caught:
            self._hand_over(result, steps)
        self.datapath.process(result.packet, run)
        if run.deferred is not None or run.upcalls is not None:
            self.datapath.finish(run)
        self.packet_ins = run.packet_ins or ()
        out = [*result.outputs, *run.out] if result.outputs else run.out
        return Outcome(
            out,
            None if out else run.drop or Drop.ACTIONS,
            _VIA[caught, run.hit, run.slow],
            [*steps, *run.steps] if steps is not None and run.steps is not None else (),
        )

    def _hand_over(self, result: Result, steps: list[Step] | None) -> None:
        """``ovs_flow_key_extract()`` of a packet that TC had begun with (net/openvswitch/flow.c).

        Its ct_state is that of the connection as it stands now; snat and dnat, if a ct action ran
        here, only as far as one of them, in whatever zone, has translated the packet. Of what a
        NIC did the driver says nothing: then they are the connection's.
        """
        packet = result.packet
        reparse(packet, packet.frame)
        chain = result.chain if result.fate is Fate.MISS else 0
        packet.key = _RECIRC.put(packet.key, chain)
        entry = packet.conn
        if isinstance(entry, Entry):
            update_key(packet, entry.zone)
            manips = entry.status & result.manips if result.post_ct else entry.status
            nat = (CT_SNAT if manips & SRC_NAT else 0) | (CT_DNAT if manips & DST_NAT else 0)
            packet.key |= nat << _STATE.shift
        elif result.post_ct:
            # What is untracked (ct_info) is something attached to skb_get_nfct(): no zone then.
            update_key(packet, 0 if packet.ct_info else result.zone)
        if steps is not None:
            text = f"no filter in chain {chain}: the datapath goes on with recirc_id({chain:#x})"
            steps.append(Step(Via.TC, StepKind.RECIRCULATE, text))

    def conntrack_statistics(self) -> list[str]:
        """What netfilter counted of its own work, as ``conntrack -S`` prints it."""
        return [self.netfilter.stat.line()]

    def snapshot(self) -> bytes:
        """Refused: besides conntrack, this lane has flow tables that a snapshot does not hold.

        Raises:
            InputError: always.
        """
        raise self._no_snapshot()

    def restore(self, data: bytes) -> None:
        """Refused, as :meth:`snapshot` is.

        Raises:
            InputError: always.
        """
        raise self._no_snapshot()

    def _no_snapshot(self) -> InputError:
        return InputError(
            f"the lane {self.name} has flow tables, which a snapshot does not hold",
            hint="take ovs-kernel, or write the connections as text (--conntrack, --conntrack-in)",
        )

    # -- megaflows and filters ------------------------------------------------------------------

    def _install(self, flow: Megaflow) -> Home:
        """``parse_flow_put()``: TC first; what it does not take, the kernel datapath keeps."""
        result = self.lowering.lower(flow)
        if isinstance(result, Lowered):
            try:
                installed = self.tc.add(result.filter, self.now)
            except FilterError as error:
                if "EEXIST" in error.problem:
                    # Not an error for OVS, nor a reason to ask the kernel datapath.
                    self.duplicates += 1
                    return Home.NOWHERE
                result = Refusal(Reason.KERNEL, detail=str(error))
            else:
                self.offloaded[flow] = Offloaded(result, installed, flow.packets, flow.bytes)
                self._zones.update(_zones(result))
                return Home.ELSEWHERE
        self.refused[flow] = result
        return Home.CACHE

    def _remove(self, flow: Megaflow) -> None:
        offloaded = self.offloaded.pop(flow, None)
        if offloaded is None:
            self.refused.pop(flow, None)
            return
        _count(flow, offloaded)
        entry = offloaded.installed.filter
        self.tc.delete(
            entry.port, entry.chain, entry.prio, entry.handle, entry.protocol, egress=entry.egress
        )
        used = flow.used if flow.used is not None else flow.created
        for zone in _zones(offloaded.lowered):
            self._zones[zone] -= 1
            if not self._zones[zone]:
                self._release(zone, min(self.now, used + self.datapath.max_idle))

    def _release(self, zone: int, at: float) -> None:
        """``tcf_ct_flow_table_put()``: no ct action of a zone is left, so its flow table goes.

        Its connections are conntrack's again, and begin anew if filters come back.
        """
        flows = self.tc.flows
        self._released += flows.advance(at)
        for flow in {id(flow): flow for flow in flows.flows.values()}.values():
            if flow.entry.zone == zone and not flow.torn_down:
                flows.teardown(flow, milliseconds(at))

    def collect(self) -> None:
        """What revalidation does: bring the filters' counters into the megaflows."""
        for flow, offloaded in self.offloaded.items():
            _count(flow, offloaded)

    # -- time and state -------------------------------------------------------------------------

    def advance(self, now: float) -> Sequence[Event]:
        """Let connections, the flow table, fragments and megaflows age until `now`."""
        self.now = now
        if now >= self.datapath.next_expiry:
            self.collect()
        events = [
            *self.tc.advance(now), *self.tracker.advance(now), *self.datapath.advance(now),
        ]  # fmt: skip
        if len(events) > 1:
            events.sort(key=lambda event: event.at)
        return events

    def dump_flows(self) -> list[str]:
        """The lines of ``ovs-appctl dpctl/dump-flows``: those of the kernel, then those in TC."""
        self.collect()
        return super().dump_flows()

    def flow_stats(self, bridge: Bridge | None = None) -> list[tuple[Flow, int, int]]:
        """Every flow of the tables with its n_packets and n_bytes (of TC: without L2 header)."""
        self.collect()
        return super().flow_stats(bridge)

    def lowered(self, to: str) -> list[str]:
        """What is installed: ``odp`` the megaflows, ``tc`` commands that the real ``tc`` takes,
        ``tc-show`` and ``tc-json`` what ``tc -s filter show`` would print of them.

        Megaflows that TC did not get stand at the end of the commands, as comments.

        Raises:
            InputError: this lane has no such thing.
        """
        if to == "odp":
            return self.dump_flows()
        if to in LISTINGS:
            return list(listing(self.tc.hooks(), to, self.now))
        if to != "tc":
            raise InputError("the lane tc installs nothing of this kind", token=to,
                             expected="odp, tc, tc-show or tc-json")  # fmt: skip
        return list(self._commands())

    def _commands(self) -> Iterator[str]:
        notes = {each.installed: each.lowered.ignored for each in self.offloaded.values()}
        for port in self.bridge.backer.ports:
            yield f"tc qdisc add dev p{port} ingress"
        for port in self.tc.egress:
            yield f"tc qdisc add dev p{port} clsact"
        for _, there in self.tc.hooks():
            for installed in there:
                yield from command_lines(installed.filter, notes[installed])
        for flow, refusal in self.refused.items():
            yield from refusal_lines(flow, refusal)


def _zones(lowered: Lowered) -> set[int]:
    """The zones whose flow tables a filter's ct actions hold; ``ct clear`` holds that of 0."""
    return {track.zone if track is not None else 0 for track in lowered.tracks}


def _count(flow: Megaflow, offloaded: Offloaded) -> None:
    """``nl_parse_act_stats()``: the first action of a filter that counted most packets counts."""
    counters = offloaded.installed.counters
    most = max(counters, key=lambda counter: counter.packets)
    flow.packets = offloaded.packets + most.packets
    flow.bytes = offloaded.bytes + most.bytes
    times = [counter.used for counter in counters if counter.used is not None]
    if times:
        flow.used = max(times)
