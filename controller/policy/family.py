"""The words of the two IP versions: types, fields and protocols that differ by version alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

from controller.common import flows as f
from controller.common.document import Address, Network, Node


@dataclass(frozen=True, slots=True)
class Family:
    """One IP version in OpenFlow's words."""

    eth_type: int
    source: str
    destination: str
    icmp: int
    name: str

    @property
    def ip(self) -> f.Match:
        """Every packet of this version."""
        return {"eth_type": self.eth_type}

    def from_(self, who: Address | Network) -> f.Match:
        """What comes from an address or a prefix."""
        return {**self.ip, self.source: _value(who)}

    def to(self, whom: Address | Network) -> f.Match:
        """What goes to an address or a prefix."""
        return {**self.ip, self.destination: _value(whom)}


FAMILIES: Final[Mapping[int, Family]] = {
    4: Family(f.IPV4, "ipv4_src", "ipv4_dst", f.ICMP, "IPv4"),
    6: Family(f.IPV6, "ipv6_src", "ipv6_dst", f.ICMPV6, "IPv6"),
}


def family_of(thing: Address | Network) -> Family:
    """The version of an address or a prefix."""
    return FAMILIES[thing.version]


def _value(thing: Address | Network) -> f.Value:
    return str(thing) if isinstance(thing, IPv4Address | IPv6Address) else thing


def must_be_alike(node: Node, one: Address | Network, other: Address | Network) -> None:
    """Refuse two things that are not of one IP version.

    Raises:
        PolicyError: they are not.
    """
    if one.version != other.version:
        node.fail(f"{one} and {other} are not of one IP version")


def link_local(mac: str) -> IPv6Address:
    """The link-local address of a MAC (RFC 4291, appendix A)."""
    parts = bytes.fromhex(mac.replace(":", ""))
    interface = bytes((parts[0] ^ 2, *parts[1:3], 0xFF, 0xFE, *parts[3:]))
    return IPv6Network("fe80::/64")[int.from_bytes(interface, "big")]
