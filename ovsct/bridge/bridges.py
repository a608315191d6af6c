"""The bridges of one datapath, and how patch ports join them (OVS ``struct dpif_backer``).

A port has two numbers. The OpenFlow number is that by which the flows of its bridge know it; the
datapath's is unique over all bridges and stands in megaflows, arrivals and outputs. Patch ports
have no datapath number: a packet that goes through one goes on in the other bridge's tables
within one translation. A bridge alone has the same numbers in the datapath.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ovsct.errors import InputError
from ovsct.openflow.actions import OFPP_LOCAL

if TYPE_CHECKING:
    from ovsct.bridge.bridge import Bridge

FIRST_OWN: Final = 0x10000
"""The datapath's number of the second bridge's own port is one more, and so on; that of the first
bridge's is OFPP_LOCAL. No OpenFlow 1.0 port number is as high."""


def own_number(place: int) -> int:
    """The datapath's number of the own (local) port of the bridge at `place`, from 0."""
    return OFPP_LOCAL if not place else FIRST_OWN + place


def is_own(number: int) -> bool:
    """Whether `number` is the datapath's number of a bridge's own port."""
    return number == OFPP_LOCAL or number > FIRST_OWN


@dataclass(frozen=True, slots=True)
class Plan:
    """One bridge among several: its name and its ports.

    `ports` are pairs of the OpenFlow number and the datapath's; `patches` say the OpenFlow number,
    and the bridge and port at the other end.
    """

    name: str
    ports: tuple[tuple[int, int], ...]
    patches: tuple[tuple[int, str, int], ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The OpenFlow numbers of all ports, patch ports included."""
        return (*(port for port, _ in self.ports), *(port for port, _, _ in self.patches))


def alone(ports: Iterable[int], name: str = "br0") -> Plan:
    """The plan of a bridge that is alone: its numbers are the datapath's."""
    return Plan(name, tuple((port, port) for port in sorted(set(ports))))


class Changes:
    """Counts what changes in the tables and in what NORMAL learned, of all bridges together."""

    __slots__ = ("macs", "tables")

    def __init__(self) -> None:
        self.tables = 0
        self.macs = 0


class Bridges:
    """Bridges that share a datapath: its ports, and recirculation ids, are theirs in common.

    `ports` are the datapath's numbers of all ports but the bridges' own.
    """

    def __init__(self, bridges: Sequence[Bridge]) -> None:
        self.bridges = tuple(bridges)
        self._entries: dict[int, tuple[Bridge, int]] = {}
        for place, bridge in enumerate(self.bridges):
            bridge.place, bridge.own_number = place, own_number(place)
            self._entries[bridge.own_number] = bridge, OFPP_LOCAL
            for port in bridge.ports:
                if port not in bridge.peers:
                    self._entries[bridge.datapath_port(port)] = bridge, port
        self.ports = sorted(port for port in self._entries if not is_own(port))
        self.own_ports = tuple(bridge.own_number for bridge in self.bridges)

    def entry(self, port: int, default: Bridge) -> tuple[Bridge, int]:
        """The bridge that a port of the datapath belongs to, and its OpenFlow number.

        What is no port (a controller's packet has none) is taken as `default` knows it.
        """
        return self._entries.get(port) or (default, port)

    def named(self, name: str) -> Bridge | None:
        """The bridge called `name`; whoever is alone answers to any."""
        if len(self.bridges) == 1:
            return self.bridges[0]
        return next((bridge for bridge in self.bridges if bridge.name == name), None)


def join(bridges: Sequence[Bridge], plans: Sequence[Plan]) -> Bridges:
    """Put bridges, in the order of their `plans`, into one datapath.

    Raises:
        InputError: the plans do not fit together (:func:`check_plans`), or a bridge has meters.
    """
    check_plans(plans)
    by_name = {plan.name: bridge for plan, bridge in zip(plans, bridges, strict=True)}
    first = bridges[0]
    for plan, bridge in zip(plans, bridges, strict=True):
        if bridge.meters:
            raise InputError("meters of joined bridges are not modelled", token=plan.name)
        bridge.name = plan.name
        bridge.numbers = dict(plan.ports)
        bridge.peers = {
            port: (by_name[other], end) for port, other, end in plan.patches
        }
        bridge.share(first)
    joined = Bridges(bridges)
    for bridge in bridges:
        bridge.backer = joined
    return joined


def check_plans(plans: Sequence[Plan]) -> None:
    """Whether plans fit together.

    Raises:
        InputError: a name or a datapath port stands twice, a bridge uses a number twice, or the
            other end of a patch port is not there.
    """
    ends = {(plan.name, port): (other, end) for plan in plans for port, other, end in plan.patches}
    names: set[str] = set()
    taken: dict[int, str] = {}
    for plan in plans:
        if plan.name in names:
            raise InputError("two bridges of one name", token=plan.name)
        names.add(plan.name)
        for _, number in plan.ports:
            if number in taken:
                raise InputError(
                    f"port {number} is in two places: {taken[number]} and {plan.name}",
                    token=str(number),
                )
            taken[number] = plan.name
        used = plan.numbers
        twice = [port for at, port in enumerate(used) if port in used[:at]]
        if twice:
            raise InputError(f"two ports of {plan.name} have one number", token=str(twice[0]))
    for (name, port), (other, end) in ends.items():
        if ends.get((other, end)) != (name, port):
            raise InputError(
                f"patch port {port} of {name} has no other end",
                token=f"{other} {end}",
                expected=f"a patch port {end} of {other} whose other end is port {port} of {name}",
            )
