"""Flows and groups as plain data, in OpenFlow 1.3's words with Nicira's ct and move.

Policies compile to these; :mod:`controller.common.wire` turns them into the library's messages.
``str()`` of a flow is a line that ``ovs-ofctl -O OpenFlow13 add-flow`` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise
from typing import Final, TypeAlias

Network: TypeAlias = "IPv4Network | IPv6Network"
Value: TypeAlias = "int | str | tuple[int, int] | tuple[str, str] | Network"
"""What a field is matched on: a number, an address, either with its mask, or a prefix."""

Match: TypeAlias = "Mapping[str, Value]"

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132

NORMAL, IN_PORT, CONTROLLER = 0xFFFFFFFA, 0xFFFFFFF8, 0xFFFFFFFD
"""Reserved ports of OpenFlow 1.3 (OFPP_NORMAL, OFPP_IN_PORT, OFPP_CONTROLLER)."""

_PORT_NAMES: Final = {NORMAL: "NORMAL", IN_PORT: "IN_PORT", CONTROLLER: "CONTROLLER:65535"}

# Bits of ct_state (ovs-fields(7)).
NEW, EST, REL, RPL, INV, TRK = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
SNAT, DNAT = 0x40, 0x80
_STATE_BITS: Final = {
    "new": NEW, "est": EST, "rel": REL, "rpl": RPL, "inv": INV, "trk": TRK,
    "snat": SNAT, "dnat": DNAT,
}  # fmt: skip


def ct_state(text: str) -> tuple[int, int]:
    """``"+trk+est-rpl"`` as (value, mask).

    Raises:
        KeyError: there is no such bit.
    """
    value = mask = 0
    for sign, name in _signed(text):
        mask |= _STATE_BITS[name]
        value |= _STATE_BITS[name] if sign == "+" else 0
    return value, mask


def _signed(text: str) -> list[tuple[str, str]]:
    marks = [at for at, letter in enumerate(text) if letter in "+-"] + [len(text)]
    return [(text[at], text[at + 1 : end]) for at, end in pairwise(marks)]


# -- actions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Output:
    """Send to a port, or to one of the reserved ports above."""

    port: int

    def __str__(self) -> str:
        return _PORT_NAMES.get(self.port, f"output:{self.port}")


@dataclass(frozen=True, slots=True)
class OutputRegister:
    """Send to the port whose number is in a register."""

    register: str

    def __str__(self) -> str:
        return f"output:{_NXM_NAMES[self.register]}[]"


@dataclass(frozen=True, slots=True)
class SetField:
    """Set a whole field."""

    field: str
    value: int | str

    def __str__(self) -> str:
        return f"set_field:{self.value}->{_OFCTL_NAMES.get(self.field, self.field)}"


@dataclass(frozen=True, slots=True)
class Move:
    """Copy the whole of one field into another as wide."""

    source: str
    destination: str
    bits: int

    def __str__(self) -> str:
        source, destination = (_NXM_NAMES[name] for name in (self.source, self.destination))
        return f"move:{source}[]->{destination}[]"


@dataclass(frozen=True, slots=True)
class Nat:
    """The nat of a ct: ``source`` or ``destination`` translation, or neither to undo and redo.

    `first` to `last` are addresses, `ports` a first and last port.
    """

    kind: str = ""
    first: str = ""
    last: str = ""
    ports: tuple[int, int] | None = None

    def __str__(self) -> str:
        if not self.kind:
            return "nat"
        text = f"[{self.first}]" if ":" in self.first and self.ports else self.first
        if self.last and self.last != self.first:
            text += f"-[{self.last}]" if ":" in self.last and self.ports else f"-{self.last}"
        if self.ports:
            low, high = self.ports
            text += f":{low}" if low == high else f":{low}-{high}"
        return f"nat({self.kind}={text})"


@dataclass(frozen=True, slots=True)
class Ct:
    """Conntrack: `zone` is a number or a register's name, `table` where a copy goes on."""

    zone: int | str
    table: int | None = None
    commit: bool = False
    nat: Nat | None = None
    exec: tuple[SetField, ...] = ()

    def __str__(self) -> str:
        zone = self.zone if isinstance(self.zone, int) else f"{_NXM_NAMES[self.zone]}[0..15]"
        parts = ["commit"] if self.commit else []
        parts += [f"table={self.table}"] if self.table is not None else []
        parts += [f"zone={zone}"]
        parts += [str(self.nat)] if self.nat is not None else []
        parts += [f"exec({','.join(map(str, self.exec))})"] if self.exec else []
        return f"ct({','.join(parts)})"


@dataclass(frozen=True, slots=True)
class CtClear:
    """Forget what conntrack said of the packet."""

    def __str__(self) -> str:
        return "ct_clear"


@dataclass(frozen=True, slots=True)
class DecTtl:
    """One off the TTL or hop limit."""

    def __str__(self) -> str:
        return "dec_ttl"


@dataclass(frozen=True, slots=True)
class ToGroup:
    """Let a group decide."""

    group: int

    def __str__(self) -> str:
        return f"group:{self.group}"


Action: TypeAlias = Output | OutputRegister | SetField | Move | Ct | CtClear | DecTtl | ToGroup


# -- flows and groups ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow: `actions` are applied, then the packet goes to the table `goto`, if any."""

    table: int
    priority: int
    match: tuple[tuple[str, Value], ...]
    actions: tuple[Action, ...] = ()
    goto: int | None = None

    @property
    def key(self) -> tuple[int, int, tuple[tuple[str, Value], ...]]:
        """What makes two flows the same one to a switch."""
        return (self.table, self.priority, self.match)

    def __str__(self) -> str:
        head = [f"table={self.table}", f"priority={self.priority}"]
        head += [_match_text(name, value) for name, value in self.match]
        actions = [str(action) for action in self.actions]
        if self.goto is not None:
            actions.append(f"goto_table:{self.goto}")
        return f"{','.join(head)} actions={','.join(actions) or 'drop'}"


def flow(
    table: int,
    priority: int,
    match: Mapping[str, Value],
    *actions: Action,
    goto: int | None = None,
) -> Flow:
    """A flow, its match's fields in one fixed order: what others need to be there comes first."""
    ordered = sorted(match.items(), key=lambda item: (_RANK.get(item[0], len(_RANK)), item[0]))
    return Flow(table, priority, tuple(ordered), actions, goto)


_RANK: Final = {
    name: rank for rank, name in enumerate(("in_port", "ct_state", "eth_type", "ip_proto"))
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket of a group, with its weight."""

    actions: tuple[Action, ...]
    weight: int = 100


@dataclass(frozen=True, slots=True)
class Group:
    """A select group."""

    id: int
    buckets: tuple[Bucket, ...]

    def __str__(self) -> str:
        buckets = (
            f"bucket=weight:{bucket.weight},actions={','.join(map(str, bucket.actions))}"
            for bucket in self.buckets
        )
        return f"group_id={self.id},type=select,{','.join(buckets)}"


@dataclass(frozen=True, slots=True)
class Program:
    """All that a switch is to hold."""

    flows: tuple[Flow, ...]
    groups: tuple[Group, ...] = field(default=())


# -- text ---------------------------------------------------------------------------------------

_OFCTL_NAMES: Final = {
    "ipv4_src": "nw_src", "ipv4_dst": "nw_dst", "arp_op": "arp_op", "icmpv4_type": "icmp_type",
    "icmpv4_code": "icmp_code", "ipv6_nd_target": "nd_target", "ipv6_nd_tll": "nd_tll",
}  # fmt: skip

_NXM_NAMES: Final = {
    "eth_src": "NXM_OF_ETH_SRC", "eth_dst": "NXM_OF_ETH_DST", "arp_sha": "NXM_NX_ARP_SHA",
    "arp_tha": "NXM_NX_ARP_THA", "arp_spa": "NXM_OF_ARP_SPA", "arp_tpa": "NXM_OF_ARP_TPA",
    "eth_src_nxm": "NXM_OF_ETH_SRC", "eth_dst_nxm": "NXM_OF_ETH_DST",
    "arp_spa_nxm": "NXM_OF_ARP_SPA", "arp_tpa_nxm": "NXM_OF_ARP_TPA",
    "ipv6_src": "NXM_NX_IPV6_SRC", "ipv6_dst": "NXM_NX_IPV6_DST",
    **{f"reg{number}": f"NXM_NX_REG{number}" for number in range(8)},
}  # fmt: skip

_HEX: Final = frozenset({"eth_type", "ct_mark"})


def _match_text(name: str, value: Value) -> str:
    label = _OFCTL_NAMES.get(name, name)
    if name == "ct_state" and isinstance(value, tuple):
        number, mask = (int(each) for each in value)
        signs = (
            ("+" if number & bit else "-") + flag for flag, bit in _STATE_BITS.items() if mask & bit
        )
        return f"ct_state={''.join(signs)}"
    if isinstance(value, tuple):
        return f"{label}={'/'.join(f'{v:#x}' if isinstance(v, int) else v for v in value)}"
    if name in _HEX and isinstance(value, int):
        return f"{label}={value:#x}"
    if isinstance(value, (IPv4Network, IPv6Network)):
        whole = value.prefixlen == value.max_prefixlen
        return f"{label}={value.network_address if whole else value}"
    return f"{label}={value}"
