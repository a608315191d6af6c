"""A modelled bridge for a test: flows in ``ovs-ofctl``'s words, packets in, and time by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from ovsct.compare.sequences import Sequences
from ovsct.conntrack.dump import PROTOCOL_NAMES, dpctl_line
from ovsct.errors import InputError
from ovsct.lane import Arrival, Change, Connection, Event, FlowChange, Lane, LinkChange
from ovsct.lanes.make import Setup, Text, make
from ovsct.lanes.ovs import OvsLane
from ovsct.openflow.flow import Flow
from ovsct.openflow.group import Group
from ovsct.openflow.text.flow_text import format_flow, lines_of, read_flows
from ovsct.openflow.text.group_text import read_groups
from ovsct.testing.packets import Frame, frame_of, says_numbers
from ovsct.testing.sent import Sent

LANES: Final = ("ovs-userspace", "ovs-kernel", "tc", "hw")
"""What a bridge in this process can be forwarded by (README.md, "Lanes")."""

_PROTOCOLS: Final = {name: number for number, name in PROTOCOL_NAMES.items()}


class OvsBridge:
    """A bridge in this process: no root, no socket, no clock but the test's.

    Args:
        flows: what it begins with, as ``ovs-ofctl add-flows`` takes it.
        groups: likewise, as ``ovs-ofctl add-groups`` does.
        meters: likewise, as ``ovs-ofctl add-meter`` does, one a line.
        lane: what forwards: one of :data:`LANES`.
        ports: how many (1 to n), or their OpenFlow numbers.
        options: of the lane, such as ``kernel="6.12"`` for ``tc``.

    Raises:
        InputError: a flow, group, meter, lane or option is wrong; with line, column and token.
    """

    def __init__(
        self,
        flows: str = "",
        groups: str = "",
        meters: str = "",
        *,
        lane: str = "ovs-userspace",
        ports: int | Iterable[int] = 4,
        **options: Any,
    ) -> None:
        if lane not in LANES:
            raise InputError("no such lane", token=lane, expected=", ".join(LANES))
        numbers = range(1, ports + 1) if isinstance(ports, int) else ports
        setup = Setup(
            ports=tuple(numbers),
            flows=Text(flows, "flows"),
            groups=Text(groups, "groups"),
            meters=Text(meters, "meters"),
            options={lane: options},
        )
        self._model = cast(OvsLane, make(lane, setup, trace=True))
        self._begin(self._model, setup.ports)

    def _begin(self, lane: Lane, ports: Sequence[int]) -> None:
        self.lane = lane
        """The lane itself, for what is not offered here."""
        self.ports = ports
        """Its ports."""
        self.now = 0.0
        """The time, in seconds since the bridge began."""
        self._sequences = Sequences()
        self._sent = 0

    # -- what RealOvsBridge does otherwise -----------------------------------------------------

    def _add(self, flows: Sequence[Flow]) -> None:
        for flow in flows:
            self._model.bridge.flow_tables.add(flow, self.now)

    def _change(self, change: Change) -> None:
        self._model.change(change)

    def _stats(self) -> list[tuple[Flow, int, int]]:
        return self._model.flow_stats()

    def _group_numbers(self) -> set[int]:
        return set(self._model.bridge.groups)

    def _put_groups(self, groups: Sequence[Group]) -> None:
        self._model.datapath.flush()
        self._model.bridge.groups.update({group.group_id: group for group in groups})

    def _remove_groups(self, numbers: set[int]) -> None:
        from ovsct.agent.rules import groups_of

        bridge, tables = self._model.bridge, self._model.bridge.flow_tables
        for flow in [each for table in tables.tables.values() for each in table]:
            if numbers & groups_of(flow.actions) and tables.holds(flow):
                tables.remove(flow)
        self._model.datapath.flush()
        for number in numbers:
            del bridge.groups[number]

    def dump_datapath_flows(self) -> list[str]:
        """The megaflows, as ``ovs-appctl dpctl/dump-flows`` writes them."""
        return self._model.dump_flows()

    # -- flows and groups ----------------------------------------------------------------------

    def add_flows(self, text: str) -> None:
        """Add flows, one a line; each takes the place of one with its match and priority.

        Raises:
            InputError: with line, column and token; nothing has been added then.
        """
        self._add(read_flows(text, "flows"))

    def mod_flows(self, text: str, *, strict: bool = False) -> None:
        """Give the flows that a line means (loosely, or strictly) its actions; one line or more.

        Raises:
            InputError: with column and token.
        """
        self._flow_mods("modify_strict" if strict else "modify", text)

    def del_flows(self, text: str = "", *, strict: bool = False) -> None:
        """Delete the flows that a line means (loosely, or strictly); without a line, all.

        Raises:
            InputError: with column and token.
        """
        self._flow_mods("delete_strict" if strict else "delete", text)

    def _flow_mods(self, command: str, text: str) -> None:
        for line in [line for _, line in lines_of(text)] or [""]:
            self._change(FlowChange(self.now, f"{command} {line}"))

    def add_groups(self, text: str) -> None:
        """Add groups, one a line, or give those that are there other buckets.

        Raises:
            InputError: with line, column and token; nothing has been added then.
        """
        self._put_groups(read_groups(text, "groups"))

    def del_groups(self, *numbers: int) -> None:
        """Delete groups, and the flows that send to them; without a number, all.

        Raises:
            KeyError: there is no such group; nothing has been deleted then.
        """
        known = self._group_numbers()
        for number in numbers:
            if number not in known:
                raise KeyError(f"there is no group {number}")
        self._remove_groups(set(numbers) or known)

    def dump_flows(self) -> list[str]:
        """The flows with ``n_packets`` and ``n_bytes``, table by table, highest priority first."""
        return [
            f"n_packets={packets}, n_bytes={size}, {_line(flow)}"
            for flow, packets, size in sorted(
                self._stats(), key=lambda each: (each[0].table, -each[0].priority)
            )
        ]

    # -- packets and time ----------------------------------------------------------------------

    def send(self, port: int, packet: Frame, *, after: float = 0.0) -> Sent:
        """Send a packet into a port and see what comes of it.

        Args:
            port: the port's number.
            packet: a frame's bytes, or words such as ``"tcp 10.0.0.1:1000 > 10.0.0.2:80 S"``. TCP
                in words without ``seq`` and ``ack`` gets the numbers that the two ends would use.
            after: seconds that pass before it.

        Raises:
            InputError: there is no such port, or the words are no packet.
        """
        frame = frame_of(packet)
        if not says_numbers(packet):
            frame = self._sequences.filled(frame)
        self.now += after
        events = tuple(self.lane.advance(self.now))
        before = self._counts()
        arrival = Arrival(self.now, port, frame)
        outcome = self.lane.receive(arrival)
        self._sequences.saw(frame, outcome.out)
        self._sent += 1
        hit = [flow for flow, n in self._counts().items() if n > before.get(flow, 0)]
        hit.sort(key=lambda flow: (flow.table, -flow.priority))
        flows = tuple(map(_line, hit))
        return Sent(self._sent, self.lane.name, arrival, outcome, flows, events)

    def _counts(self) -> dict[Flow, int]:
        return {flow: packets for flow, packets, _ in self._stats()}

    def advance(self, seconds: float) -> Sequence[Event]:
        """Let time pass; what that brought: connections and flows that ended, offloads."""
        self.now += seconds
        return self.lane.advance(self.now)

    def set_link(self, port: int, *, up: bool) -> None:
        """Let the link of a port go down, or come up: groups that watch it decide again.

        Raises:
            InputError: there is no such port.
        """
        self._change(LinkChange(self.now, port, up))

    # -- conntrack -----------------------------------------------------------------------------

    def connections(self) -> Sequence[Connection]:
        """The connections that are tracked now."""
        return self.lane.connections()

    def dump_conntrack(self) -> list[str]:
        """They as ``ovs-appctl dpctl/dump-conntrack`` writes them."""
        return [dpctl_line(connection) for connection in self.connections()]

    def find_connections(self, **wanted: Any) -> list[Connection]:
        """The connections that have all of `wanted`.

        Args:
            wanted: ``src``, ``dst``, ``sport``, ``dport`` of the original direction, the same with
                ``reply_`` before it of the other, ``proto`` (a number or a name), ``zone``,
                ``mark``, ``label``, ``state``, ``status`` (a flag, or several).

        Raises:
            TypeError: there is no such word.
        """
        return [each for each in self.connections() if _has_all(each, wanted)]

    def assert_connection(self, **wanted: Any) -> Connection:
        """There is just one connection with all of `wanted` (see :meth:`find_connections`).

        Raises:
            AssertionError: there is none, or more; says which there are.
            TypeError: there is no such word.
        """
        __tracebackhide__ = True
        found = self.find_connections(**wanted)
        if len(found) == 1:
            return found[0]
        words = ", ".join(f"{name}={value}" for name, value in wanted.items())
        raise AssertionError(
            f"{len(found) or 'no'} connections with {words} (lane {self.lane.name}); there are:\n"
            + ("\n".join(f"    {line}" for line in self.dump_conntrack()) or "    none")
        )

    def assert_no_connection(self, **wanted: Any) -> None:
        """There is no connection with all of `wanted`; without any, none at all.

        Raises:
            AssertionError: there is one; says which.
            TypeError: there is no such word.
        """
        __tracebackhide__ = True
        found = self.find_connections(**wanted)
        if found:
            lines = "\n".join(f"    {dpctl_line(each)}" for each in found)
            raise AssertionError(f"there was to be none (lane {self.lane.name}):\n{lines}")


def _line(flow: Flow) -> str:
    """A flow as ``dump-flows`` writes it, its table always first."""
    return f"table={flow.table}, {format_flow(replace(flow, table=0))}"


def _has_all(connection: Connection, wanted: dict[str, Any]) -> bool:
    return all(_has(connection, name, value) for name, value in wanted.items())


def _has(connection: Connection, name: str, value: Any) -> bool:
    match name:
        case "src" | "dst" | "sport" | "dport":
            return bool(getattr(connection.orig, name) == value)
        case "reply_src" | "reply_dst" | "reply_sport" | "reply_dport":
            return bool(getattr(connection.reply, name.removeprefix("reply_")) == value)
        case "proto":
            return bool(connection.proto == _PROTOCOLS.get(value, value))
        case "zone" | "mark" | "label" | "state":
            return bool(getattr(connection, name) == value)
        case "status":
            flags = {value} if isinstance(value, str) else set(value)
            return flags <= connection.status
        case _:
            raise TypeError(f"a connection has no {name!r}")
