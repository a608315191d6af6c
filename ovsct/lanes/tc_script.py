"""The lane ``tc-script``: a plain TC rule set, as ``tc`` commands, with no OVS behind it.

What no filter takes is handed to the host's own stack, with the connection that ``ct`` attached
still on it: netfilter's hooks then see a packet that is already tracked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ovsct.conntrack.dump import FORMS
from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError
from ovsct.lane import STACK, Arrival, Connection, Drop, Event, Outcome, Output, Step, Via
from ovsct.packet.packet import VLAN_TYPES, parse
from ovsct.tc.actions import Mirred
from ovsct.tc.filters import Filter, Installed
from ovsct.tc.ingress import Fate, TcIngress
from ovsct.tc.text.command import (
    ActionCommand,
    Command,
    FilterCommand,
    QdiscCommand,
    Verb,
)
from ovsct.tc.text.forms import read_rules
from ovsct.tc.text.show import LISTINGS, listing
from ovsct.tc.text.write import write_script

_VIA: Final = (Via.TC,)
_PASSED: Final = (Fate.STACK, Fate.MISS)


_SHORTEST_TAGGED: Final = 20
"""Bytes of two addresses, a tag, and the type behind it; shorter, skb_vlan_untag() fails."""


def _is_tagged(frame: bytes) -> bool:
    return int.from_bytes(frame[12:14], "big") in VLAN_TYPES


class TcScript:
    """A host whose ports have TC filters and nothing else.

    Args:
        text: ``tc`` commands, one a line, or what ``tc filter show`` or ``tc -j filter show``
            print (:mod:`ovsct.tc.text.forms`); device ``p<n>`` is port n. If none of them adds a
            qdisc, every port has one (``ingress``).
        ports: the ports that are there; None for those that the commands name.
        kernel: whose rules TC and conntrack follow, ``6.1`` or ``6.12``.
        netfilter: the conntrack, if it is to be shared; its kernel is then taken.
        sysctls: those of netfilter that are not at their default, such as ``{"max": 8}``.
        trace: whether outcomes carry steps.

    Raises:
        InputError: a command that ``tc`` or the kernel would refuse, or that is not modelled.
    """

    name = "tc-script"

    def __init__(
        self,
        text: str,
        ports: Iterable[int] | None = None,
        *,
        kernel: str = "6.1",
        netfilter: Netfilter | None = None,
        sysctls: Mapping[str, int] | None = None,
        trace: bool = False,
        file: str | None = None,
    ) -> None:
        commands = list(read_rules(text, file=file))
        known = _ports_named(commands) if ports is None else frozenset(ports)
        if netfilter is None:
            netfilter = Netfilter(kernel, None, **(sysctls or {}))
        self.netfilter = netfilter
        self.tc = TcIngress(known, self.netfilter)
        self.trace = trace
        self.now = 0.0
        _Loader(self.tc, commands, file).run(commands)

    def receive(self, packet: Arrival) -> Outcome:
        """Take one frame.

        Raises:
            InputError: there is no such port.
        """
        now, port, frame = packet
        self.now = now
        if port not in self.tc.ports:
            raise InputError(
                f"packet on port {port}, which is not there", token=str(port),
                expected=f"one of {', '.join(map(str, sorted(self.tc.ports)))}",
            )  # fmt: skip
        if len(frame) < _SHORTEST_TAGGED and (len(frame) < 14 or _is_tagged(frame)):
            return Outcome((), Drop.MALFORMED, ())
        steps: list[Step] | None = [] if self.trace else None
        result = self.tc.run(parse(frame, port), port, now, steps=steps)
        out = result.outputs
        if result.fate in _PASSED:
            out.append(Output(STACK, result.packet.frame))
        return Outcome(out, None if out else result.drop, _VIA, steps or ())

    def advance(self, now: float) -> Sequence[Event]:
        """Let flows and connections age until `now`."""
        self.now = now
        return self.tc.advance(now)

    def connections(self) -> Sequence[Connection]:
        """What conntrack holds now."""
        return self.tc.connections(self.now)

    def lowered(self, to: str) -> list[str]:
        """What is installed: ``tc`` as commands, ``tc-show`` or ``tc-json`` as ``tc`` lists it.

        Raises:
            InputError: this lane has no such thing.
        """
        if to in LISTINGS:
            return list(listing(self.tc.hooks(), to, self.now))
        if to != "tc":
            raise InputError("the lane tc-script installs nothing of this kind", token=to,
                             expected="tc, tc-show or tc-json")  # fmt: skip
        filters = [each for _, there in self.tc.hooks() for each in there]
        return list(write_script(_indexed(each) for each in filters))

    def dump_conntrack(self, form: str = "dpctl") -> list[str]:
        """The lines of ``dpctl/dump-conntrack``, or (`form` ``proc``) of /proc/net/nf_conntrack.

        `form` is one of :data:`~ovsct.conntrack.dump.FORMS`.
        """
        write = FORMS[form]
        return [write(connection) for connection in self.connections()]

    def conntrack_statistics(self) -> list[str]:
        """What netfilter counted of its own work, as ``conntrack -S`` prints it."""
        return [self.netfilter.stat.line()]

    def load_connections(self, connections: Iterable[Connection]) -> None:
        """Put connections from a dump into conntrack.

        Raises:
            InputError: one cannot be taken.
        """
        self.netfilter.load(connections, self.now)


def _indexed(installed: Installed) -> Filter:
    """The filter with the indexes of what it shares with others."""
    indexes = tuple(each.index if each.refs > 1 else 0 for each in installed.actions)
    return replace(installed.filter, indexes=indexes if any(indexes) else ())


def _ports_named(commands: Iterable[Command]) -> frozenset[int]:
    found: set[int] = set()
    for command in commands:
        if isinstance(command, QdiscCommand):
            found.add(command.port)
        elif isinstance(command, FilterCommand):
            found.update(_ports_of(command.filter))
    return frozenset(found)


def _ports_of(entry: Filter) -> set[int]:
    sent = {each.port for each in entry.actions if isinstance(each, Mirred)}
    return sent if entry.block else sent | {entry.port}


class _Loader:
    """Carries out the commands of a script in order, and names the line of a failure."""

    def __init__(self, tc: TcIngress, commands: Sequence[Command], file: str | None) -> None:
        self._tc = tc
        self._file = file
        implied = not any(isinstance(command, QdiscCommand) for command in commands)
        self._qdiscs = dict.fromkeys(tc.ports, "ingress") if implied else {}

    def run(self, commands: Iterable[Command]) -> None:
        for command in commands:
            try:
                if isinstance(command, QdiscCommand):
                    self._qdisc(command)
                elif isinstance(command, ActionCommand):
                    self._action(command)
                else:
                    self._filter(command)
            except InputError as error:
                raise error.at(file=self._file, line=command.line) from None

    def _qdisc(self, command: QdiscCommand) -> None:
        port = command.port
        self._need_port(port)
        if command.add:
            if port in self._qdiscs:
                raise InputError("Exclusivity flag on, cannot modify", token=f"p{port}")
            self._qdiscs[port] = command.kind
            if command.block:
                self._tc.share(port, command.block)
            return
        if port not in self._qdiscs:
            raise InputError("Cannot find specified qdisc on specified device", token=f"p{port}")
        del self._qdiscs[port]
        self._tc.unshare(port)

    def _action(self, command: ActionCommand) -> None:
        there = self._tc.actions.there(command.kind, command.index)
        if command.add:
            if there is not None:
                raise InputError("File exists (EEXIST)", token=str(command.index))
            assert command.action is not None
            self._tc.actions.find(command.action, command.index, 0.0).refs += 1
            return
        if there is None:
            raise InputError("TC action with specified index not found (ENOENT)",
                             token=str(command.index))  # fmt: skip
        if there.binds:
            raise InputError("Operation not permitted (EPERM): a filter uses the action",
                             token=str(command.index))  # fmt: skip
        self._tc.actions.release((there,), bound=False)

    def _filter(self, command: FilterCommand) -> None:
        entry = command.filter
        for port in sorted(_ports_of(entry)):
            self._need_port(port)
        if not entry.block and entry.port not in self._qdiscs:
            raise InputError(
                "Parent Qdisc doesn't exists", token=f"p{entry.port}",
                hint=f"put `tc qdisc add dev p{entry.port} ingress` before it",
            )  # fmt: skip
        if entry.egress and self._qdiscs[entry.port] == "ingress":
            # That qdisc has one block, whatever a filter says of where it goes.
            entry = replace(entry, egress=False)
        if command.verb is Verb.ADD:
            self._tc.add(entry)
        elif command.verb is Verb.REPLACE:
            self._tc.replace(entry)
        elif command.verb is Verb.CHANGE:
            self._tc.find(entry, command.protocol)
            self._tc.replace(entry)
        else:
            self._tc.delete(
                entry.port, entry.chain, entry.prio, entry.handle, command.protocol,
                egress=entry.egress, block=entry.block,
            )  # fmt: skip

    def _need_port(self, port: int) -> None:
        if port not in self._tc.ports:
            raise InputError(
                f'Cannot find device "p{port}"', token=f"p{port}",
                expected=f"one of {', '.join(f'p{n}' for n in sorted(self._tc.ports))}",
            )  # fmt: skip
