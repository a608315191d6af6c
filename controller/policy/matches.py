"""What several policies match on: prefixes of one family, protocols, ranges of ports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from controller.common import flows as f
from controller.common.document import Network, Node, PortRange

PROTOCOLS: Final[dict[str, int]] = {
    "tcp": f.TCP, "udp": f.UDP, "sctp": f.SCTP, "icmp": f.ICMP, "icmp6": f.ICMPV6,
}  # fmt: skip

_WITH_PORTS: Final = {f.TCP: "tcp_dst", f.UDP: "udp_dst", f.SCTP: "sctp_dst"}
_ETH_TYPES: Final = {4: f.IPV4, 6: f.IPV6}
_FIELDS: Final = {4: ("ipv4_src", "ipv4_dst"), 6: ("ipv6_src", "ipv6_dst")}
_ICMP_TYPES: Final = {f.ICMP: "icmpv4_type", f.ICMPV6: "icmpv6_type"}
_ONE_FAMILY: Final = {f.ICMP: 4, f.ICMPV6: 6}
HIGHEST_PORT: Final = 0xFFFFFF00
"""The highest number of a port that is one (OFPP_MAX of OpenFlow 1.3)."""


@dataclass(frozen=True, slots=True)
class Service:
    """A protocol, and what of it: destination ports, or an ICMP type. Nothing is everything."""

    protocol: int | None = None
    ports: tuple[PortRange, ...] = ()
    icmp_type: int | None = None

    def families(self) -> tuple[int, ...]:
        """The IP versions that have the protocol."""
        if self.protocol in _ONE_FAMILY:
            return (_ONE_FAMILY[self.protocol],)
        return (4, 6)

    def matches(self) -> Iterator[dict[str, f.Value]]:
        """The matches that together are the service."""
        if self.protocol is None:
            yield {}
            return
        match: dict[str, f.Value] = {"ip_proto": self.protocol}
        if self.icmp_type is not None:
            match[_ICMP_TYPES[self.protocol]] = self.icmp_type
        if not self.ports:
            yield match
        for low, high in self.ports:
            for value, mask in masks(low, high):
                ports: f.Value = value if mask == 0xFFFF else (value, mask)
                yield {**match, _WITH_PORTS[self.protocol]: ports}


SERVICE_KEYS: Final = ("protocol", "ports", "icmp_type")


def read_service(fields: dict[str, Node]) -> Service:
    """The service that the keys :data:`SERVICE_KEYS` of an item say.

    Raises:
        PolicyError: one of them is wrong, or does not go with the protocol.
    """
    protocol = None
    if "protocol" in fields and fields["protocol"].as_text() != "any":
        text = fields["protocol"].as_text()
        if text.isdecimal():
            protocol = fields["protocol"].as_integer(0, 255)
        else:
            protocol = fields["protocol"].as_choice({**PROTOCOLS, "any": -1})
    if "ports" in fields and protocol not in _WITH_PORTS:
        fields["ports"].fail("ports need the protocol tcp, udp or sctp")
    if "icmp_type" in fields and protocol not in _ICMP_TYPES:
        fields["icmp_type"].fail("icmp_type needs the protocol icmp or icmp6")
    return Service(
        protocol,
        tuple(each.as_port_range() for each in fields["ports"].as_list())
        if "ports" in fields
        else (),
        fields["icmp_type"].as_integer(0, 255) if "icmp_type" in fields else None,
    )


def read_networks(node: Node | None) -> tuple[Network, ...]:
    """A prefix or a list of them; none stands for everybody."""
    if node is None:
        return ()
    if not node.as_list():
        node.fail("an empty list of prefixes: leave the key out to mean any")
    return tuple(each.as_network() for each in node.as_list())


def pairs(
    sources: tuple[Network, ...], destinations: tuple[Network, ...], families: tuple[int, ...]
) -> Iterator[dict[str, f.Value]]:
    """The matches on type and addresses: each source with each destination of its family."""
    for family in families:
        ends: list[list[Network | None]] = []
        for networks in (sources, destinations):
            own = [network for network in networks if network.version == family]
            ends.append([*own] if networks else [None])
        for source, destination in product(*ends):
            match: dict[str, f.Value] = {"eth_type": _ETH_TYPES[family]}
            for name, network in zip(_FIELDS[family], (source, destination), strict=True):
                if network is not None and network.prefixlen:
                    match[name] = network
            yield match


def masks(low: int, high: int) -> Iterator[tuple[int, int]]:
    """The (value, mask) that together cover the 16-bit numbers from `low` to `high`."""
    while low <= high:
        size = low & -low if low else 0x10000
        while size > high - low + 1:
            size >>= 1
        yield low, 0xFFFF & ~(size - 1)
        low += size
