"""A modelled bridge as a switch: what an OpenFlow connection asks of it, and what it tells.

No I/O: time comes in as an argument, frames that leave go to `deliver`, what controllers are told
to `tell`. Follows OVS ofproto/ofproto.c; refusals are :class:`WireError`, named as OVS names them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from ovsct.agent.continuations import bridge_id, from_wire
from ovsct.agent.groups import Groups
from ovsct.agent.meters import Meters
from ovsct.agent.monitors import FlowChange
from ovsct.agent.options import Options
from ovsct.agent.ports import Ports
from ovsct.agent.punt import Punt, PuntingDatapath, metadata_of
from ovsct.agent.rules import HIDDEN_TABLE, Filter, Removed, Rule, Rules, groups_of, with_actions
from ovsct.agent.tables import Tables
from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import Run
from ovsct.bridge.resume import resume
from ovsct.conntrack.select import Selection
from ovsct.errors import InputError, OvsctError
from ovsct.lane import CONTROLLER, Arrival, Drop, Event, Output
from ovsct.lanes.ovs import OvsLane
from ovsct.openflow import actions as of
from ovsct.openflow.check import check_actions
from ovsct.openflow.flow import Flow
from ovsct.openflow.match import Match
from ovsct.openflow.wire.continuation import Continuation
from ovsct.openflow.wire.errors import WireError, from_input
from ovsct.openflow.wire.messages import FlowMod, GroupMod, MeterMod, PacketOut, Resume
from ovsct.openflow.wire.numbers import COOKIE_NONE, NO_BUFFER, OF10, TABLE_ALL
from ovsct.packet.fields import FIELDS, KEY_BITS, SLOTS
from ovsct.packet.packet import parse

_LOG: Final = logging.getLogger(__name__)

Told: TypeAlias = Removed | Punt | FlowChange

IMPLICIT: Final = "implicit_miss"
"""Why a frame goes to controllers that no flow sends there: there was none."""

_HIDDEN: Final = ("recirc_id", "dp_hash")
_HIDDEN_MASK: Final = sum(FIELDS[name].mask for name in _HIDDEN)
_OF_TUPLE: Final = ((("ct_nw_src", "ct_nw_dst"), 0x0800), (("ct_ipv6_src", "ct_ipv6_dst"), 0x86DD))
_OF_TUPLE_MASK: Final = sum(FIELDS[name].mask for names, _ in _OF_TUPLE for name in names)


def models_of(lane: OvsLane, now: float = 0.0) -> list[ModelBridge]:
    """All bridges of a lane, which know of each other."""
    models = [ModelBridge(lane, now, bridge) for bridge in lane.bridge.backer.bridges]
    mates = {model.bridge.name: model for model in models}
    for model in models:
        model.mates = mates
    return models


def _punting(lane: OvsLane) -> PuntingDatapath:
    """The lane's datapath, with its way to controllers open."""
    if isinstance(lane.datapath, PuntingDatapath):
        return lane.datapath
    dialect = "kernel" if lane.datapath.kernel else "userspace"
    datapath = PuntingDatapath(lane.bridge, lane.tracker, dialect, lane.vlan_limit)
    datapath.punts = []
    lane.datapath = datapath
    return datapath


class ModelBridge:
    """A lane as a switch.

    Args:
        lane: ``ovs-userspace`` or ``ovs-kernel``; it gets a datapath of its own.
        now: the time in seconds.
        bridge: which of the lane's bridges it is, the first one by default.

    `mates` are the bridges of the lane by name, itself included (see :func:`models_of`).
    `deliver`, if set, gets every output with the datapath's number of its port,
    `arrived` every frame that comes in; `tell` what controllers may want to know.
    `author` says whose message is being obeyed, and its transaction id.
    """

    def __init__(self, lane: OvsLane, now: float = 0.0, bridge: Bridge | None = None) -> None:
        self.lane = lane
        self.bridge = bridge or lane.bridge
        self.datapath = _punting(lane)
        self.mates = {self.bridge.name: self}
        self.now = now
        self.rules = Rules(self.bridge, self.datapath, now)
        self.datapath_id = _local_address(self.bridge.name)
        self.groups = Groups(self.bridge, self.datapath, self.rules, now)
        self.meters = Meters(self.bridge, self.datapath, self.rules, now)
        self.ports = Ports(self.bridge, self.datapath_id, now)
        self.tables = Tables(self.bridge.flow_tables)
        self.options = Options(self.bridge)
        self.deliver: Callable[[int, bytes], None] | None = None
        self.arrived: Callable[[int, bytes], None] | None = None
        self.tell: Callable[[Told], None] | None = None
        self.wants_misses: Callable[[], bool] = lambda: False
        self.config_flags = 0
        self.election: int | None = None
        self.author: tuple[object, int] = (None, 0)
        self._watchers = 0

    # -- time and packets ----------------------------------------------------------------------

    def advance(self, now: float) -> list[Event]:
        """Let time pass, for all bridges of the lane: connections, megaflows and flows age."""
        now = max(now, self.now)
        for mate in self.mates.values():
            mate.now = now
            mate._report(mate.rules.expire(now))
        events = list(self.lane.advance(now))
        for mate in self.mates.values():
            mate.rules.prune()
        return events

    def _packets_come(self) -> None:
        for mate in self.mates.values():
            mate.rules.packets_come()
        self.datapath.punts.clear()

    def receive(self, port: int, frame: bytes) -> None:
        """A frame comes in on a port (the datapath's number) of this bridge.

        Raises InputError: there is no such port.
        """
        self._packets_come()
        _, number = self.bridge.backer.entry(port, self.bridge)
        self.ports.came(number, frame)
        if self.arrived is not None:
            self.arrived(port, frame)
        self.datapath.punts.clear()
        try:
            outcome = self.lane.receive(Arrival(self.now, port, frame))
        except InputError:
            raise
        except OvsctError as error:
            # A flow does what is not modelled: the packet is lost, the switch is not.
            _LOG.warning("a packet on port %s was dropped: %s", port, error)
            return
        self._emit(outcome.out)
        misses = outcome.drop is Drop.TABLE_MISS and self.ports.tells_misses(number)
        if misses and self.wants_misses():
            # OVS has a hidden flow for what no flow matches; with an OpenFlow 1.0 controller it
            # sends the packet there (connmgr_wants_packet_in_on_miss()).
            key = parse(frame, number, self.lane.vlan_limit).key
            self._tell(Punt(frame, IMPLICIT, 0, COOKIE_NONE, 0, metadata_of(key)))

    def packet_out(self, message: PacketOut) -> None:
        """Run a controller's actions on its frame. Raises WireError."""
        if message.buffer_id != NO_BUFFER:
            raise WireError("OFPBRC_BUFFER_UNKNOWN", "nothing is ever buffered")
        if len(message.data) < 14:
            raise WireError("OFPBRC_BAD_PACKET", f"a frame of {len(message.data)} bytes")
        key = parse(message.data, message.in_port, self.lane.vlan_limit).key | message.match.value
        self.check_packet_out(message.actions, key)
        self._packets_come()
        run = Run(self.now, False)
        try:
            self.datapath.run_actions(
                self.bridge, message.data, message.in_port, message.actions, run,
                message.match.value,
            )
        except OvsctError as error:
            raise WireError("OFPBAC_BAD_TYPE", str(error)) from None
        self._emit(run.out)

    def check_packet_out(self, actions: Sequence[of.Action], key: int) -> None:
        """Whether a packet may be sent out with `actions`. Raises WireError."""
        self._check(tuple(actions), Match(key, (1 << KEY_BITS) - 1), TABLE_ALL, OF10)

    def resume(self, message: Resume) -> None:
        """Let a packet go on that had paused. Raises WireError: it is none of this bridge's."""
        continuation = message.continuation or Continuation()
        names = [name for name in self.mates if continuation.bridge == bridge_id(name)]
        if not names:
            raise WireError("NXR_STALE", "the bridge in which it paused is no more")
        if len(message.data) < 14:
            raise WireError("OFPBRC_BAD_PACKET", f"a frame of {len(message.data)} bytes")
        self._packets_come()
        run = Run(self.now, False)
        frozen = from_wire(continuation, names[0])
        try:
            resume(self.datapath, message.data, message.match.value, frozen, run)
        except OvsctError as error:
            _LOG.warning("a packet that had paused was dropped: %s", error)
            return
        self._emit(run.out)

    def _emit(self, outputs: Iterable[Output]) -> None:
        for port, frame in outputs:
            if port == CONTROLLER or not isinstance(port, int):
                continue
            bridge, number = self.bridge.backer.entry(port, self.bridge)
            self.mates.get(bridge.name, self).ports.went(number, frame)
            if self.deliver is not None:
                self.deliver(port, frame)
        for punt in self.datapath.punts:
            self.mates.get(punt.bridge, self)._tell(punt)

    def _tell(self, told: Told) -> None:
        if self.tell is not None:
            self.tell(told)

    # -- watching ------------------------------------------------------------------------------

    @property
    def watched(self) -> bool:
        """Whether anybody wants to be told of each change of a flow."""
        return self._watchers > 0

    def watch(self, on: bool) -> None:
        """Somebody wants to be told of each change of a flow from now on, or no longer."""
        self._watchers += 1 if on else -1
        self.rules.watch(self._flow_changed if self._watchers else None)

    def _flow_changed(self, event: str, flow: Flow, reason: str, was: Flow | None) -> None:
        before = was.actions if was is not None and was.actions != flow.actions else ()
        self._tell(FlowChange(event, flow, reason, before, was, *self.author))

    # -- flows ---------------------------------------------------------------------------------

    def flow_mod(self, message: FlowMod, version: int) -> None:
        """Add, modify or delete flows. Raises WireError; nothing has changed then."""
        if message.table == HIDDEN_TABLE:
            raise WireError("OFPBRC_EPERM", "table 254 is the switch's own")
        message = self.options.fit(message)
        match message.command:
            case "add":
                self._add(message, version)
            case "modify":
                self._modify(message, version, strict=False)
            case "modify_strict":
                self._modify(message, version, strict=True)
            case "delete":
                self._delete(message, strict=False)
            case _:
                self._delete(message, strict=True)
        if message.buffer_id != NO_BUFFER and not message.command.startswith("delete"):
            raise WireError("OFPBRC_BUFFER_UNKNOWN", "nothing is ever buffered")

    def forward_normally(self) -> None:
        """Add the flow of a bridge that stands alone (OVS bridge_configure_remotes())."""
        self.flow_mod(FlowMod(priority=0, actions=(of.Output(of.OFPP_NORMAL),)), OF10)

    def _flow(self, message: FlowMod, version: int) -> Flow:
        table = 0 if message.table == TABLE_ALL else message.table
        _refuse_hidden(message.match)
        _check_ct_family(message.match)
        self._check(message.actions, message.match, table, version)
        cookie = 0 if message.new_cookie == COOKIE_NONE else message.new_cookie
        return Flow(
            table=table,
            priority=message.priority,
            match=message.match,
            actions=message.actions,
            cookie=cookie,
            idle_timeout=message.idle_timeout,
            hard_timeout=message.hard_timeout,
            importance=message.importance,
            flags=message.flags,
        )

    def _check(
        self, actions: tuple[of.Action, ...], match: Match, table: int, version: int
    ) -> None:
        """What OVS checks of actions: that they go with the match, and that their groups are there.

        From OpenFlow 1.1 on an action that the match does not allow is refused even if it would
        only do nothing; reset_counts says to the checker that this is such a version.
        """
        flags = () if version == OF10 else ("reset_counts",)
        try:
            check_actions(actions, match, table, flags)
        except InputError as error:
            raise from_input(error) from None
        for group in groups_of(actions):
            if group not in self.bridge.groups:
                raise WireError("OFPBAC_BAD_OUT_GROUP", f"there is no group {group}")
        for action in actions:
            if isinstance(action, of.Meter) and action.meter_id not in self.meters.configs:
                raise WireError("OFPMMFC_INVALID_METER", f"there is no meter {action.meter_id}")

    def _add(self, message: FlowMod, version: int) -> None:
        flow = self._flow(message, version)
        evicted = self.rules.add(
            flow,
            self.now,
            reset_counts="reset_counts" in message.flags,
            check_overlap="check_overlap" in message.flags,
        )
        self._report(evicted)

    def _modify(self, message: FlowMod, version: int, *, strict: bool) -> None:
        fresh = self._flow(message, version)
        wanted = Filter(
            message.table, message.match, message.priority if strict else None,
            message.cookie, message.cookie_mask,
        )  # fmt: skip
        found = self.rules.find(wanted)
        if not found:
            if message.new_cookie != COOKIE_NONE and not message.cookie_mask:
                self._add(message, version)
            return
        for rule in found:
            cookie = rule.flow.cookie
            if message.modify_cookie and message.new_cookie != COOKIE_NONE:
                cookie = message.new_cookie
            self.rules.modify(
                rule,
                with_actions(rule.flow, fresh.actions, cookie),
                self.now,
                reset_counts="reset_counts" in message.flags and version != OF10,
            )

    def _delete(self, message: FlowMod, *, strict: bool) -> None:
        wanted = Filter(
            message.table, message.match, message.priority if strict else None,
            message.cookie, message.cookie_mask, message.out_port, message.out_group,
        )  # fmt: skip
        self._report(self.rules.remove(self.rules.find(wanted), "delete", self.now))

    def _report(self, removed: list[Removed]) -> None:
        for gone in removed:
            if "send_flow_rem" in gone.rule.flow.flags:
                self._tell(gone)

    # -- groups, meters, ports, tables -----------------------------------------------------------

    def group_mod(self, message: GroupMod) -> None:
        """Add, modify or delete groups. Raises WireError; nothing has changed then."""
        self._report(self.groups.mod(message, self.now))

    def meter_mod(self, message: MeterMod) -> None:
        """Add, modify or delete meters. Raises WireError; nothing has changed then."""
        self._report(self.meters.mod(message, self.now))

    def flush_zone(self, zone: int) -> None:
        """Forget the connections of a conntrack zone."""
        self.lane.tracker.flush(Selection(zone=zone), self.now)

    def elect(self, generation: int) -> bool:
        """Note an election; false if a newer one is known (OVS ofconn_set_primary_election_id)."""
        known = self.election
        if known is not None and (generation - known) & (1 << 63):
            return False
        self.election = generation
        return True

    # -- what it is ----------------------------------------------------------------------------

    def flows(self, wanted: Filter) -> list[tuple[Rule, int, int]]:
        """The rules that a filter means, with their packets and bytes."""
        found = self.rules.find(wanted)
        self.rules.note_use()
        counts = self.rules.counts()
        return [(rule, *self.rules.count(rule, counts)) for rule in found]

    def forget_addresses(self) -> None:
        """Forget all learned addresses (``fdb/flush``), and what was decided by them."""
        self.bridge.fdb.clear()
        self.rules.decided_otherwise()

    def set_fragments(self, flags: int) -> None:
        """The fragment handling that a SET_CONFIG asks for. Raises WireError."""
        mode = {0: "normal", 1: "drop", 3: "nx-match"}.get(flags & 3)
        if mode is None:
            return  # OFPC_FRAG_REASM: OVS warns and goes on
        if mode != self.bridge.frag_mode:
            self.rules.decided_otherwise()
            self.bridge.frag_mode = mode
        self.config_flags = flags & 3


def _refuse_hidden(match: Match) -> None:
    if not match.mask & _HIDDEN_MASK:
        return
    for name in _HIDDEN:
        if FIELDS[name].get(match.mask):
            raise WireError("OFPBRC_EPERM", f"only the switch itself matches on {name}")


def _check_ct_family(match: Match) -> None:
    """Addresses of the original tuple need the Ethernet type (OVS ofputil_decode_flow_mod())."""
    if not match.mask & _OF_TUPLE_MASK:
        return
    dl_type = SLOTS["dl_type"].get(match.value)
    for names, wanted in _OF_TUPLE:
        if dl_type != wanted and any(FIELDS[name].get(match.mask) for name in names):
            raise WireError("OFPBAC_MATCH_INCONSISTENT", f"{names[0]} without its Ethernet type")


def _local_address(name: str) -> int:
    """A locally administered Ethernet address that a bridge's name makes."""
    number = 0
    for byte in name.encode():
        number = (number * 0x01000193 ^ byte) & 0xFFFFFFFF
    return 0x0200_0000_0000 | number
