"""What the two OVS lanes have in common: a bridge, a datapath, and a tracker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import MAX_IDLE, Datapath, PacketIn, Run
from ovsct.bridge.flow_mods import apply_flow_mod
from ovsct.bridge.odp_text import format_megaflow
from ovsct.bridge.resume import resume
from ovsct.conntrack.dump import FORMS
from ovsct.conntrack.request import StatefulTracker
from ovsct.conntrack.snapshot import decode, encode
from ovsct.errors import InputError
from ovsct.lane import Arrival, Change, Connection, Drop, Event, LinkChange, Outcome, Via
from ovsct.openflow.flow import Flow
from ovsct.openflow.text.flow_mod_text import parse_flow_mod

_VIA = ((), (Via.DATAPATH,), (Via.SLOW,), (Via.DATAPATH, Via.SLOW))


class OvsLane:
    """A bridge whose packets all go through the OVS datapath.

    Args:
        bridge: tables, groups and ports; a packet can come in on any port of the bridges that
            it is joined with, and ports are called by their datapath numbers.
        tracker: conntrack, in the dialect of `dialect` (``userspace`` or ``kernel``).
        trace: whether outcomes carry steps.
        vlan_limit: tags that are looked behind (``other_config:vlan-limit``).
        max_idle: seconds after which an unused megaflow goes (``other_config:max-idle``).
    """

    def __init__(
        self,
        name: str,
        bridge: Bridge,
        tracker: StatefulTracker,
        dialect: str,
        *,
        trace: bool = False,
        vlan_limit: int = 1,
        max_idle: float = MAX_IDLE,
    ) -> None:
        self.name = name
        self.bridge = bridge
        self.tracker = tracker
        self.datapath = Datapath(bridge, tracker, dialect, vlan_limit, max_idle)
        self.trace = trace
        self.vlan_limit = vlan_limit
        self.now = 0.0
        self.packet_ins: Sequence[PacketIn] = ()
        """What the last packet sent to the controller, in full."""
        self._ports = frozenset(bridge.backer.ports)
        # The host can send by the bridges' own devices, too.
        self._arrivals = self._ports.union(bridge.backer.own_ports)

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
        run = Run(now, self.trace)
        self.datapath.process(self.datapath.parse(frame, port), run)
        if run.deferred is not None or run.upcalls is not None:
            self.datapath.finish(run)
        self.packet_ins = run.packet_ins or ()
        out = run.out
        return Outcome(
            out,
            None if out else run.drop or Drop.ACTIONS,
            _VIA[run.hit + 2 * run.slow],
            run.steps or (),
        )

    def resume(self, packet_in: PacketIn) -> Outcome:
        """Let a packet go on that had paused, as it is in its packet-in, at the time last seen.

        Raises:
            InputError: it did not pause (``controller(pause)``).
        """
        if packet_in.continuation is None:
            raise InputError("a packet that did not pause cannot go on")
        run = Run(self.now, self.trace)
        resume(
            self.datapath, packet_in.frame, packet_in.metadata, packet_in.continuation, run
        )
        self.packet_ins = run.packet_ins or ()
        out = run.out
        return Outcome(
            out,
            None if out else run.drop or Drop.ACTIONS,
            _VIA[run.hit + 2 * run.slow],
            run.steps or (),
        )

    def _no_port(self, port: int, what: str = "packet") -> InputError:
        return InputError(
            f"{what} on port {port}, which the bridge does not have",
            token=str(port),
            expected=f"one of {', '.join(map(str, self.bridge.backer.ports))}",
        )

    def advance(self, now: float) -> Sequence[Event]:
        """Let connections and megaflows age until `now`."""
        self.now = now
        events = self.tracker.advance(now)
        idle = self.datapath.advance(now)
        if not idle:
            return events
        return sorted((*events, *idle), key=lambda event: event.at)

    def change(self, change: Change) -> Sequence[Event]:
        """Let a link come up or go down, or the flows change; packets meet it from now on.

        Raises:
            InputError: no such port, or a line that is no change of flows.
        """
        self.now = change.at
        self.datapath.credit()
        if isinstance(change, LinkChange):
            if change.port not in self._ports:
                raise self._no_port(change.port, "change")
            bridge, port = self.bridge.backer.entry(change.port, self.bridge)
            bridge.set_port_state(port, change.up)
        else:
            named = self.bridge.backer.named(change.bridge) if change.bridge else self.bridge
            if named is None:
                raise InputError("there is no such bridge", token=change.bridge)
            apply_flow_mod(named.flow_tables, parse_flow_mod(change.text), change.at)
        return ()

    def connections(self) -> Sequence[Connection]:
        """What conntrack holds now."""
        return self.tracker.connections(self.now)

    def dump_flows(self) -> list[str]:
        """The lines of ``ovs-appctl dpctl/dump-flows``."""
        kernel = self.datapath.kernel
        return [
            format_megaflow(flow, self.now, kernel=kernel) for flow in self.datapath.megaflows()
        ]

    def flow_stats(self, bridge: Bridge | None = None) -> list[tuple[Flow, int, int]]:
        """Every flow of the tables of `bridge` (None: the first) with its n_packets and n_bytes."""
        counts = self.datapath.flow_counts()
        return [
            (flow, *counts.get(id(flow), (0, 0)))
            for table in (bridge or self.bridge).tables.values()
            for flow in table
        ]

    def dump_conntrack(self, form: str = "dpctl") -> list[str]:
        """The lines of ``dpctl/dump-conntrack``, or (`form` ``proc``) of /proc/net/nf_conntrack.

        `form` is one of :data:`~ovsct.conntrack.dump.FORMS`.
        """
        write = FORMS[form]
        return [write(connection) for connection in self.connections()]

    def load_connections(self, connections: Iterable[Connection]) -> None:
        """Put connections from a dump into conntrack.

        Raises:
            InputError: one cannot be taken.
        """
        self.tracker.load(connections, self.now)

    def snapshot(self) -> bytes:
        """The whole state of conntrack, to be :meth:`restored <restore>`.

        Raises:
            OvsctError: it holds what a snapshot cannot.
        """
        return encode(self.tracker.snapshot(self.now))

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot: what had ten seconds to live then has ten seconds now.

        Raises:
            InputError: it is none, damaged, or of the other dialect.
            OvsctError: the lane cannot take one over.
        """
        self.tracker.restore(decode(data), self.now)
