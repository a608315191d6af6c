"""The bridges of a real ovs-vswitchd: how they are configured, and the connections to each.

All are of one dummy datapath, as :class:`ovsct.bridge.bridges.Plan` says: port N of the datapath
is the interface pN, and patch ports are interfaces of type patch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ovsct.bridge.bridges import Plan, check_plans, own_number
from ovsct.bridge.eviction import Limit
from ovsct.errors import InputError
from ovsct.openflow.text.action_format import format_subfield
from ovsct.oracle.ofctl import Ofctl, Text
from ovsct.oracle.packet_in import PacketIn, PacketIns
from ovsct.oracle.vswitchd import Vswitchd

HIGHEST_PORT: Final = 0xFEFF
_SHOWN: Final = re.compile(r"^\s+(\S+) \d+/(\d+):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BridgeText:
    """One bridge: its ports, and lines as ``ovs-ofctl add-flows`` and ``add-groups`` take them.

    The two names are what refusals call them.
    """

    plan: Plan
    flows: Sequence[str] = ()
    groups: Sequence[str] = ()
    flows_name: str = "flows"
    groups_name: str = "groups"


class RealBridge:
    """A bridge of a running program: ovs-ofctl for it, and a connection for its packet-ins."""

    def __init__(self, program: Vswitchd, name: str, controller_id: int) -> None:
        self.name = name
        self.ofctl = Ofctl(program, name)
        self._controller = PacketIns(program.management(name), controller_id)
        self._fragments = "normal"
        self._tlv_map = ""

    def set_up(
        self, text: BridgeText, meters: Sequence[str], fragments: str, tlv_map: str = ""
    ) -> None:
        """Have these flows, groups and meters, this mode of fragments, and this map of options.

        Raises:
            Refused: a line was refused.
        """
        if tlv_map != self._tlv_map:
            # An option that a flow names cannot be taken from the map.
            self.ofctl.replace(Text("flows", ()), Text("groups", ()), Text("meters", ()))
            self.ofctl.command("del-tlv-map")
            self._tlv_map = tlv_map
            if tlv_map:
                self.ofctl.command("add-tlv-map", tlv_map)
        self.ofctl.replace(
            Text(text.flows_name, text.flows),
            Text(text.groups_name, text.groups),
            Text("meters", meters),
        )
        if fragments != self._fragments:
            self.ofctl.command("set-frags", fragments)
            self._fragments = fragments

    def packet_ins(self) -> Iterator[PacketIn]:
        """The packet-ins since this was last asked."""
        for packet_in in self._controller.drain():
            yield packet_in._replace(bridge=self.name)

    def serve(self) -> bool:
        """Answer what the program asks; whether it did."""
        return self._controller.serve()

    def close(self) -> None:
        """Close the connection."""
        self._controller.close()


def check(plans: Sequence[Plan]) -> None:
    """Whether the program can be configured so.

    Raises:
        InputError: the plans do not fit together, or a number is no port's.
    """
    check_plans(plans)
    for plan in plans:
        for port in (port for pair in plan.ports for port in pair):
            if not 1 <= port <= HIGHEST_PORT:
                raise InputError(
                    "no port number", token=str(port), expected=f"1 to {HIGHEST_PORT}"
                )


def interfaces(plans: Sequence[Plan]) -> dict[int, str]:
    """The interface behind each port of the datapath; a bridge's own has the bridge's name."""
    names = {number: f"p{number}" for plan in plans for _port, number in plan.ports}
    return names | {own_number(place): plan.name for place, plan in enumerate(plans)}


def commands(
    plans: Sequence[Plan], mtu: int, socket: Callable[[str], Path]
) -> Iterator[Sequence[str]]:
    """The ovs-vsctl commands that make the bridges, which go as one transaction.

    `socket` says where the frames of an interface go in and out.
    """
    yield (
        "set", "open_vswitch", ".", "other_config:n-revalidator-threads=1",
        "other_config:n-handler-threads=1",
    )  # fmt: skip
    for place, plan in enumerate(plans):
        yield "add-br", plan.name
        yield (
            "set", "bridge", plan.name, "datapath-type=dummy", "fail-mode=secure",
            f"other-config:hwaddr=aa:55:aa:55:00:{place:02x}",
            "other-config:disable-in-band=true",
        )  # fmt: skip
        frames = (f"mtu_request={mtu}", f"options:pstream=punix:{socket(plan.name)}")
        yield "set", "interface", plan.name, *frames
        for port, number in plan.ports:
            name = f"p{number}"
            frames = (f"mtu_request={mtu}", f"options:pstream=punix:{socket(name)}")
            yield "add-port", plan.name, name
            yield "set", "interface", name, "type=dummy", f"ofport_request={port}", *frames
        for port, other, end in plan.patches:
            name, peer = f"{plan.name}-{port}", f"{other}-{end}"
            yield "add-port", plan.name, name
            yield (
                "set", "interface", name, "type=patch", f"ofport_request={port}",
                f"options:peer={peer}",
            )  # fmt: skip


def limit_commands(
    plans: Sequence[Plan], limits: Mapping[int, Limit]
) -> Iterator[Sequence[str]]:
    """The ovs-vsctl commands that limit the tables of every bridge."""
    for place, plan in enumerate(plans):
        for table, limit in limits.items():
            row = f"@table{place}_{table}"
            policy = "evict" if limit.evicts else "refuse"
            words = [f"--id={row}", "create", "Flow_Table", f"flow_limit={limit.flows}"]
            words.append(f"overflow_policy={policy}")
            if limit.groups:
                fields = ",".join(f'"{format_subfield(part)}"' for part in limit.groups)
                words.append(f"groups=[{fields}]")
            yield words
            yield "set", "bridge", plan.name, f"flow_tables:{table}={row}"


def numbers(shown: str, names: dict[int, str]) -> dict[int, int]:
    """The numbers of :func:`interfaces` by those that the program gave (``dpif/show``)."""
    given = {name: int(number) for name, number in _SHOWN.findall(shown)}
    return {given[name]: number for number, name in names.items() if name in given}
