"""The lane ``real-ovs``: a real ovs-vswitchd with the dummy datapath, which judges the models.

How one packet is driven. The frame is handed to its port by ``netdev-dummy/receive``; what leaves
is read from a socket behind each port, and packet-ins from an OpenFlow connection. No marker
frame and no rule of ours is needed to know when a packet is done, so tables, statistics and
megaflows hold the user's flows and nothing else. It follows from the program's main loop, which
runs (1) the datapath, upcalls inline, and the OpenFlow connections, (2) the control socket,
(3) the ports' sockets, in this order (OVS: vswitchd/ovs-vswitchd.c, main):

- `receive` is answered in (2) of some round i;
- in (2) of round i+1, (1) has processed the packet and packet-ins are out;
- in (2) of round i+2, (3) of round i+1 has written at least one frame to each port that has any.
  A port writes one frame a round: as long as two more rounds bring another byte, there may be
  more.

How rounds are counted from outside is the matter of :class:`ovsct.oracle.unixctl.Rounds`.

The order of outputs. dpif-netdev collects outputs per port and flushes them port by port
(OVS: lib/dpif-netdev.c, dp_netdev_pmd_flush_output_packets), so the program itself has no order
across ports; on one port it is that of the actions. An Outcome of this lane therefore lists the
outputs by port, ascending, the controller last, each port's in the order in which they left; any
lane's outcome is brought to that form by :func:`comparable`.

What the program does not tell: why a packet was dropped (``drop`` is ``Drop.ACTIONS`` for
every packet that left nowhere) and which engine served it (``via`` is empty).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from ovsct.bridge.bridges import Plan, alone
from ovsct.bridge.eviction import read_limits
from ovsct.conntrack.read_dump import parse_dpctl_line
from ovsct.errors import InputError, OvsctError
from ovsct.lane import (
    CONTROLLER,
    Arrival,
    Change,
    Connection,
    Drop,
    Event,
    EventKind,
    LinkChange,
    Outcome,
    Output,
    Port,
)
from ovsct.oracle.dummy_ports import LONGEST_FRAME, QUEUE_LIMIT, PortSockets
from ovsct.oracle.ofctl import Refused, Text
from ovsct.oracle.packet_in import PacketIn
from ovsct.oracle.real_bridges import (
    BridgeText,
    RealBridge,
    check,
    commands,
    interfaces,
    limit_commands,
    numbers,
)
from ovsct.oracle.unixctl import Rounds, Unixctl, UnixctlClosed
from ovsct.oracle.vswitchd import Vswitchd

LOCAL: Final = 65534
"""The number under which the (first) bridge's own port takes and gives frames (OFPP_LOCAL of
OpenFlow 1.0)."""

SETTLE: Final = 130.0
"""Seconds after which no fragment is held any more (lib/ipf.c: 15 s to expiry, and the rest of two
minutes until it is purged)."""

_SHORTEST_FRAME: Final = 14
_MTU: Final = LONGEST_FRAME - _SHORTEST_FRAME
_LONGEST_STEP: Final = 10.0
_MOST_STEPS: Final = 13
_FRAGMENT_MODES: Final = ("normal", "drop", "nx-match")
_GRACE: Final = 10
"""Rounds of the main loop in which all other threads have passed a quiescent point, and deleted
flows have gone. (With none, a quarter of the shipped scenarios met some; with three, none did.)"""

_HELD_FRAGMENTS: Final = re.compile(r"num frag: (\d+)")
_SETTLING: Final = 2
"""How often datapath flows are looked through: what changes in the first is followed in the second.
"""
_INTERNAL_TABLE: Final = "table_id=254,"


@dataclass(frozen=True, slots=True)
class Options:
    """How the bridge is set up besides its flows.

    `fragments` is the mode of ``ovs-ofctl set-frags``, `meters` are lines as ``ovs-ofctl
    add-meter`` takes them, `tlv_map` is what its add-tlv-map takes, `controller_id` is the
    controller whose packet-ins are taken, and `vsctl` holds further ovs-vsctl commands, each a
    sequence of its words, run once at the start (zones' timeout policies, mirrors). `flow_tables`
    are limits of tables as :func:`ovsct.bridge.eviction.read_limit` reads them, for every bridge.
    """

    fragments: str = "normal"
    meters: Sequence[str] = ()
    tlv_map: str = ""
    controller_id: int = 0
    vsctl: Sequence[Sequence[str]] = ()
    flow_tables: Sequence[str] = ()
    resolution: float = 0.001
    flows_name: str = "flows"
    groups_name: str = "groups"

    def __post_init__(self) -> None:
        milliseconds = self.resolution * 1000
        if milliseconds < 1 or abs(milliseconds - round(milliseconds)) > 1e-6:
            raise InputError(
                "no resolution for the clock",
                token=str(self.resolution),
                expected="a whole number of milliseconds, in seconds",
            )
        if self.fragments not in _FRAGMENT_MODES:
            raise InputError(
                "no fragment mode", token=self.fragments, expected=", ".join(_FRAGMENT_MODES)
            )


def comparable(outcome: Outcome) -> Outcome:
    """The part of any lane's outcome that this lane can judge, in the one order it can judge it.

    Outputs are sorted by place, stably: ports by number, then controller, then stack, so that the
    order on each port stays and that across ports is left out. `drop` becomes ``Drop.ACTIONS``
    for every packet that left nowhere; `via` and `steps` are emptied.
    """
    out = tuple(sorted(outcome.out, key=lambda output: _place(output.port)))
    return Outcome(out, None if out else Drop.ACTIONS, ())


def _place(port: Port) -> tuple[int, str]:
    return (port, "") if isinstance(port, int) else (1 << 32, port)


class RealOvs:
    """A real ovs-vswitchd, as a lane. Use it as a context manager, or call :meth:`close`.

    Args:
        flows: lines as ``ovs-ofctl add-flows`` takes them.
        groups: lines as ``ovs-ofctl add-groups`` takes them.
        ports: the numbers of the bridge's ports, 1 to 65279, besides its local port.
        options: everything else about the bridges.
        program: a running Vswitchd to use; by default one is started, and stopped at the end.
        bridges: several bridges joined by patch ports, in place of `flows`, `groups` and `ports`;
            ports are then called by the datapath's numbers of their plans.

    Raises:
        InputError: a flow or group was refused (:class:`Refused`), or a port number is none.
        OvsctError: Open vSwitch is not installed or does not come up.
    """

    name = "real-ovs"

    def __init__(
        self,
        flows: Sequence[str] = (),
        groups: Sequence[str] = (),
        ports: Iterable[int] = (1, 2),
        options: Options | None = None,
        *,
        program: Vswitchd | None = None,
        bridges: Sequence[BridgeText] = (),
    ) -> None:
        self.options = options or Options()
        texts = bridges or (self._text(alone(ports), flows, groups, self.options),)
        self.plans = tuple(text.plan for text in texts)
        check(self.plans)
        self.ports = tuple(sorted(number for plan in self.plans for _, number in plan.ports))
        self.packet_ins: Sequence[PacketIn] = ()
        """What the last packet sent to the controller, in full."""
        self._origin: float | None = None
        self._elapsed_ms = 0
        self._last_seen = -math.inf
        self._sockets: PortSockets | None = None
        self._bridges: list[RealBridge] = []
        self._rounds: Rounds | None = None
        self._waiting: Unixctl | None = None
        self._links_down = False
        self._names = interfaces(self.plans)
        self._owns_program = program is None
        self.program = program if program is not None else Vswitchd().start()
        try:
            self._build()
            self._set_up(texts, self.options)
        except BaseException:
            self.close()
            raise

    # -- life ---------------------------------------------------------------------------------

    def _build(self) -> None:
        """Make the bridges and their ports, connect to them, and stop the program's clock."""
        directory = self.program.directory

        def socket(name: str) -> Path:
            return directory / f"{name}.sock"

        words: list[str] = []
        limits = limit_commands(self.plans, read_limits(self.options.flow_tables))
        for command in (*commands(self.plans, _MTU, socket), *limits):
            words += ["--", *command]
        self.program.vsctl(*words[1:])
        for extra in self.options.vsctl:
            self.program.vsctl(*extra)
        self._sockets = PortSockets({port: socket(name) for port, name in self._names.items()})
        for plan in self.plans:
            self._bridges.append(RealBridge(self.program, plan.name, self.options.controller_id))
        self._rounds = Rounds(self.program.control_socket)
        self._waiting = Unixctl(self.program.control_socket)
        self._in_round("time/stop")
        self._pass_rounds(2)  # the ports take their connections in the first of them

    def close(self) -> None:
        """Close the connections, and stop the program if it is this lane's own."""
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None
        while self._bridges:
            self._bridges.pop().close()
        if self._rounds is not None:
            self._rounds.close()
            self._rounds = None
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None
        if self._owns_program:
            self.program.stop()

    def __enter__(self) -> RealOvs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- setting up cases -----------------------------------------------------------------------

    def reset(
        self,
        flows: Sequence[str] = (),
        groups: Sequence[str] = (),
        options: Options | None = None,
        *,
        settle: bool | None = None,
        bridges: Sequence[BridgeText] = (),
    ) -> None:
        """Make the running program ready for the next case; its ports stay.

        Args:
            flows: as for the class.
            groups: as for the class.
            options: as for the class, but `vsctl` and `controller_id` cannot change.
            settle: also let 130 seconds of virtual time pass (150 ms of real time); by default
                only if fragments are held, which flushing connections does not free and which
                would leave with a packet of the next case.
            bridges: as for the class; their plans cannot change.

        What stays: recirculation ids go on counting, and the NAT's random basis is one a process.

        Raises:
            Refused: a flow or group was refused.
            OvsctError: the options ask for what only a new program can give.
        """
        options = options or self.options
        if (options.vsctl, options.controller_id, options.flow_tables) != (
            self.options.vsctl,
            self.options.controller_id,
            self.options.flow_tables,
        ):
            raise OvsctError("other ovs-vsctl settings or controller id: start another RealOvs")
        texts = bridges or (self._text(self.plans[0], flows, groups, options),)
        if tuple(text.plan for text in texts) != self.plans:
            raise OvsctError("other bridges: start another RealOvs")
        self.options = options
        self._empty()
        if self._links_down:
            for port in self.ports:
                self.ctl("netdev-dummy/set-admin-state", f"p{port}", "up")
            self._links_down = False
        self._set_up(texts, options)
        if settle or (settle is None and self._holds_fragments()):
            self._warp(round(SETTLE * 1000))
        self.ctl("dpctl/flush-conntrack")
        for plan in self.plans:
            self.ctl("fdb/flush", plan.name)
        self._in_round("revalidator/purge")
        self._collect()
        self._origin = None
        self._elapsed_ms = 0
        self._last_seen = -math.inf

    def _empty(self) -> None:
        """Take out all flows, and wait until they have left the classifiers.

        They leave behind a grace period of all threads (ovs-rcu.c). A subtable that is used again
        before that keeps its place among those of the same priority.
        """
        for bridge in self._bridges:
            bridge.ofctl.replace(Text("flows", ()), Text("groups", ()), Text("meters", ()))
        self._in_round("revalidator/purge")
        self._pass_rounds(_GRACE)

    def _holds_fragments(self) -> bool:
        status = self.ctl("dpctl/ipf-get-status")
        held = _HELD_FRAGMENTS.search(status)
        if held is None:
            raise OvsctError(f"dpctl/ipf-get-status says nothing of fragments held: {status!r}")
        return int(held[1]) > 0

    @staticmethod
    def _text(
        plan: Plan, flows: Sequence[str], groups: Sequence[str], options: Options
    ) -> BridgeText:
        return BridgeText(plan, flows, groups, options.flows_name, options.groups_name)

    def _set_up(self, texts: Sequence[BridgeText], options: Options) -> None:
        for bridge, text in zip(self._bridges, texts, strict=True):
            bridge.set_up(text, options.meters, options.fragments, options.tlv_map)

    def add_flows(self, lines: Sequence[str], name: str = "flows") -> None:
        """Change flows of the first bridge while the case runs, as ``ovs-ofctl add-flows`` does.

        Megaflows that no longer hold are gone when this returns.

        Raises:
            Refused: with the program's own message and the line. If ovs-ofctl could not read the
                line, nothing was changed; if the switch refused it, the lines before it are in.
        """
        self._bridges[0].ofctl.add_flows(Text(name, lines))
        self.purge()

    def refusal(self, line: str, *, alone: bool = False) -> Refused | None:
        """What the program says against one flow line, or None if it takes it.

        A line that is taken stays in the table; if it is to be `alone` there, the others go first.
        """
        lines = ["delete", line] if alone else [line]
        try:
            self._bridges[0].ofctl.add_flows(Text("flow", lines))
        except Refused as refused:
            return refused
        return None

    def configure(
        self, flows: Sequence[str], groups: Sequence[str], meters: Sequence[str]
    ) -> None:
        """Have these flows, groups and meters on the bridge, and no others.

        Raises:
            Refused: a line was refused.
        """
        self._bridges[0].ofctl.replace(
            Text("flows", flows), Text("groups", groups), Text("meters", meters)
        )

    def openflow(self, command: str, *arguments: str) -> str:
        """Run a command of ovs-ofctl(8) on the bridge and return what it prints."""
        return self._bridges[0].ofctl.command(command, *arguments)

    def change(self, change: Change) -> Sequence[Event]:
        """Let a link come up or go down, or the flows change; datapath flows follow.

        Raises:
            Refused: the program does not take this change of flows.
        """
        self._follow(change.at)
        if isinstance(change, LinkChange):
            self.ctl("netdev-dummy/set-admin-state", f"p{change.port}",
                     "up" if change.up else "down")  # fmt: skip
            self._links_down = True
            self._in_round("version")
            self._pass_rounds(2)
        else:
            names = [plan.name for plan in self.plans]
            bridge = self._bridges[names.index(change.bridge) if change.bridge else 0]
            bridge.ofctl.add_flows(Text("flow-mod", [change.text]))
        self.settle()
        return ()

    def settle(self) -> None:
        """Have the program's threads do all that follows from what happened so far.

        Datapath flows are looked through once, from the beginning: counters go to the OpenFlow
        flows, what was learned is refreshed, and what no longer holds is changed or removed. While
        the threads pause nothing is looked through, so that the answer waited for (the end of the
        next dump, upcall_unixctl_dump_wait()) can only be that of a dump that began after it.
        """
        assert self._waiting is not None
        for _ in range(_SETTLING):
            self.ctl("revalidator/pause")
            self._waiting.send("revalidator/wait")
            self._in_round("version")
            self._pass_rounds(1)
            self.ctl("revalidator/resume")
            try:
                self._waiting.receive("revalidator/wait")
            except UnixctlClosed as error:
                raise self.program.explain(error) from error
            self._in_round("version")
            self._pass_rounds(1)

    @property
    def warnings(self) -> Sequence[str]:
        """What ovs-ofctl said about the lines that it took last."""
        return tuple(self._bridges[0].ofctl.warnings)

    # -- the lane -----------------------------------------------------------------------------

    def receive(self, packet: Arrival) -> Outcome:
        """Hand one frame to the program and wait for all that comes of it.

        Raises:
            InputError: no such port, a frame that no port can carry, or time runs backwards.
            VswitchdDied: the program crashed; the message holds the end of its log.
        """
        name = self._names.get(packet.port)
        if name is None:
            raise InputError("no such port", token=str(packet.port), expected=str(self.ports))
        if not _SHORTEST_FRAME <= len(packet.frame) <= LONGEST_FRAME:
            raise InputError(
                f"a frame of {len(packet.frame)} bytes",
                expected=f"{_SHORTEST_FRAME} to {LONGEST_FRAME}",
            )
        self._follow(packet.at)
        self._in_round("netdev-dummy/receive", name, packet.frame.hex())
        out = self._collect()
        return Outcome(out, None if out else Drop.ACTIONS, ())

    def advance(self, now: float) -> Sequence[Event]:
        """Let the program's clock, which stands still otherwise, follow until `now`.

        The first time seen after the start or a reset is where the clock stands, and from there
        it goes in steps of ``Options.resolution`` (:meth:`clock`). The program does not announce
        what expires, so the only events are frames that left meanwhile. Conntrack expires exactly;
        datapath flows and held fragments are removed by threads of the program's own, a little
        later in real time.

        Raises:
            InputError: time runs backwards.
            VswitchdDied: the program crashed.
        """
        self._follow(now)
        self._in_round("version")
        frames = self._collect()
        return (Event(now, EventKind.FRAGMENTS_RELEASED, "frames left", frames),) if frames else ()

    def clock(self, at: float) -> float:
        """Where the program's clock stands for what happens at `at`: what a model is to be given.

        The last whole number of steps of ``Options.resolution`` since the first time seen.
        """
        if self._origin is None:
            return at
        steps = math.floor((at - self._origin) / self.options.resolution + 1e-6)
        return self._origin + steps * self.options.resolution

    def connections(self) -> Sequence[Connection]:
        """The connections, as ``dpctl/dump-conntrack -m -s`` shows them; in no fixed order."""
        return [parse_dpctl_line(line) for line in self.dump_conntrack("-m", "-s")]

    # -- the program's own words ----------------------------------------------------------------

    def ctl(self, command: str, *arguments: str) -> str:
        """Run a command of ovs-appctl(8) and return what it prints.

        Raises:
            UnixctlError: the program refused the command.
            VswitchdDied: the program crashed.
        """
        try:
            return self.program.ctl(command, *arguments)
        except UnixctlClosed as error:
            raise self.program.explain(error) from error

    def dump_conntrack(self, *arguments: str) -> list[str]:
        """The lines of ``dpctl/dump-conntrack``."""
        return self.ctl("dpctl/dump-conntrack", *arguments).splitlines()

    def dump_flows(self, *arguments: str) -> list[str]:
        """The lines of ``dpctl/dump-flows``, one a datapath flow, without headings."""
        lines = self.ctl("dpctl/dump-flows", *arguments).splitlines()
        return [line for line in lines if line and not line.startswith("flow-dump from ")]

    def datapath_numbers(self) -> dict[int, int]:
        """This lane's numbers of the ports by those that the program's datapath gave them."""
        return numbers(self.ctl("dpif/show"), self._names)

    def flow_stats(self, *, exact: bool = True, bridge: str | None = None) -> list[str]:
        """The OpenFlow flows with their counters, as ``bridge/dump-flows`` prints them.

        Args:
            bridge: whose; the first one's by default.
            exact: first have the datapath's counters added, which empties the datapath's flow
                table (``revalidator/purge``); without it they lag by up to half a second.
        """
        if exact:
            self.purge()
        lines = self.ctl("bridge/dump-flows", bridge or self.plans[0].name).splitlines()
        return [line for line in lines if line and not line.startswith(_INTERNAL_TABLE)]

    def purge(self) -> None:
        """Empty the datapath's flow table; counters go to the OpenFlow flows."""
        self.ctl("revalidator/purge")

    # -- rounds of the main loop ----------------------------------------------------------------

    def _collect(self) -> tuple[Output, ...]:
        """Wait until everything is out and return it; the module's text says why this suffices."""
        assert self._sockets is not None
        frames: dict[int, list[bytes]] = {}
        more = True
        while more:
            self._pass_rounds(2)
            more = self._sockets.drain(frames)
        for port, left in frames.items():
            if len(left) >= QUEUE_LIMIT:
                raise OvsctError(
                    f"{len(left)} frames for port {port} at once: the program keeps "
                    f"{QUEUE_LIMIT} at most and drops the rest in silence"
                )
        self.packet_ins = [each for bridge in self._bridges for each in bridge.packet_ins()]
        out = [Output(port, frame) for port in sorted(frames) for frame in frames[port]]
        out += [Output(CONTROLLER, packet_in.frame) for packet_in in self.packet_ins]
        return tuple(out)

    def _follow(self, now: float) -> None:
        """Set the program's clock to `now`."""
        if self._origin is None:
            self._origin = now
        if now < self._last_seen:
            raise InputError("time runs backwards", token=f"{now}", expected=f"{self._last_seen}")
        self._last_seen = now
        target = round((self.clock(now) - self._origin) * 1000)
        if target > self._elapsed_ms:
            self._warp(target - self._elapsed_ms)
            self._elapsed_ms = target

    def _warp(self, milliseconds: int) -> None:
        """Let virtual time pass, in at most thirteen steps of ten milliseconds of real time each.

        The program itself sleeps that long in each, to let its other threads follow
        (OVS: lib/timeval.c, timewarp_work). After each it gets rounds to send an echo request on
        the packet-in connection and to read the answer, or it would hold the connection for dead
        at the next.
        """
        step = max(round(_LONGEST_STEP * 1000), math.ceil(milliseconds / _MOST_STEPS))
        while milliseconds > 0:
            part = min(step, milliseconds)
            self._in_round("time/warp", str(part))
            self._pass_rounds(2)
            asked = [bridge.serve() for bridge in self._bridges]
            if any(asked):
                self._pass_rounds(2)
            milliseconds -= part

    def _in_round(self, command: str, *arguments: str) -> None:
        """Run a command in a round of the main loop from which on rounds are counted."""
        assert self._rounds is not None
        try:
            self._rounds.start(command, *arguments)
        except UnixctlClosed as error:
            raise self.program.explain(error) from error

    def _pass_rounds(self, number: int) -> None:
        assert self._rounds is not None
        try:
            self._rounds.pass_rounds(number)
        except UnixctlClosed as error:
            raise self.program.explain(error) from error
