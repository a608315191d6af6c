"""The NAT gateway's policy: a router between two IPv4 networks that translates what passes.

| table | decides |
|---|---|
| 0 | ARP for the gateway's own addresses is answered; IP to its MACs goes through conntrack |
| 1 | connections that a rule made go on, translated; new ones get the rule that fits them |
| 2 | to which neighbour: the next hop's MAC, one off the TTL, and out |

Each connection carries in its ct_mark the number of the rule that made it, and passes only while
the policy has that rule: take a floating address away, or point it elsewhere, and its connections
end. What no rule translates is dropped; so is what one inside host sends to an outside address of
the gateway (no hairpin).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final, TypeAlias

from controller.common import flows as f
from controller.common.document import Node, PortRange
from controller.policy import arp

SECTIONS: Final = ("neighbours", "floating", "dnat", "snat")
_ENTRY, _TRANSLATE, _ROUTE = range(3)
_HIGHEST_PORT: Final = 0xFEFF
_TRANSPORT: Final = {"tcp": (f.TCP, "tcp_dst"), "udp": (f.UDP, "udp_dst")}
_FIRST_SNAT: Final = 20000


@dataclass(frozen=True, slots=True)
class Side:
    """One of the gateway's two interfaces."""

    port: int
    mac: str
    address: IPv4Address
    network: IPv4Network


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A host on either side, or the outside gateway."""

    name: str
    address: IPv4Address
    mac: str


@dataclass(frozen=True, slots=True)
class Floating:
    """An outside address that stands for an inside one, both ways."""

    name: str
    outside: IPv4Address
    inside: IPv4Address


@dataclass(frozen=True, slots=True)
class Dnat:
    """A port of an outside address that stands for a port of an inside one."""

    name: str
    protocol: str
    address: IPv4Address
    port: int
    to: IPv4Address
    to_port: int


@dataclass(frozen=True, slots=True)
class Snat:
    """An outside address, and ports of it, that inside hosts share."""

    name: str
    source: IPv4Network
    address: IPv4Address
    ports: PortRange | None


Rule: TypeAlias = Floating | Dnat | Snat


@dataclass(frozen=True, slots=True)
class Gateway:
    """The whole policy."""

    zone: int
    inside: Side
    outside: Side
    next_hop: IPv4Address | None
    neighbours: tuple[Neighbour, ...]
    floating: tuple[Floating, ...]
    dnat: tuple[Dnat, ...]
    snat: tuple[Snat, ...]

    def compile(self) -> f.Program:
        """The flows."""
        return f.Program((*self._entry(), *self._translate(), *self._route()))

    def outside_addresses(self) -> list[IPv4Address]:
        """What the gateway answers ARP for outside."""
        found = [self.outside.address]
        found += [each.outside for each in self.floating]
        found += [each.address for each in self.dnat]
        found += [each.address for each in self.snat]
        return list(dict.fromkeys(found))

    def _entry(self) -> Iterator[f.Flow]:
        yield f.flow(_ENTRY, 0, {})
        undo = f.Ct(self.zone, table=_TRANSLATE, nat=f.Nat())
        sides = ((self.inside, [self.inside.address]), (self.outside, self.outside_addresses()))
        for side, addresses in sides:
            for address in addresses:
                yield arp.answer(_ENTRY, 100, side.mac, address, {"in_port": side.port})
            match: f.Match = {"in_port": side.port, "eth_type": f.IPV4, "eth_dst": side.mac}
            yield f.flow(_ENTRY, 90, match, undo)

    # -- translation ------------------------------------------------------------------------------

    def _translate(self) -> Iterator[f.Flow]:
        table = _TRANSLATE
        yield f.flow(table, 0, {})
        yield f.flow(table, 30100, {"ct_state": f.ct_state("+trk+inv")})
        rules: list[Rule] = [*self.floating, *self.dnat, *self.snat]
        for rule in rules:
            known: f.Match = {"ct_state": f.ct_state("+trk-new"), "ct_mark": _mark(rule)}
            yield f.flow(table, 30000, known, goto=_ROUTE)
        new: f.Match = {"ct_state": f.ct_state("+trk+new-rel"), "eth_type": f.IPV4}
        out = {**new, "in_port": self.inside.port}
        into = {**new, "in_port": self.outside.port}
        kept = [self.inside.network, *map(IPv4Network, self.outside_addresses())]
        for network in dict.fromkeys(kept):
            yield f.flow(table, 25000, {**out, "ipv4_dst": network})
        for pair in self.floating:
            inside, outside = str(pair.inside), str(pair.outside)
            away, home = f.Nat("src", outside), f.Nat("dst", inside)
            yield from self._commit(22000, {**out, "ipv4_src": inside}, away, pair)
            yield from self._commit(21000, {**into, "ipv4_dst": outside}, home, pair)
        for door in self.dnat:
            protocol, name = _TRANSPORT[door.protocol]
            match: f.Match = {
                **into,
                "ipv4_dst": str(door.address),
                "ip_proto": protocol,
                name: door.port,
            }
            to = f.Nat("dst", str(door.to), ports=(door.to_port, door.to_port))
            yield from self._commit(22000, match, to, door)
        for number, pool in enumerate(self.snat):
            shared = f.Nat("src", str(pool.address), ports=pool.ports)
            hosts = {**out, **_from(pool.source)}
            yield from self._commit(_FIRST_SNAT - number, hosts, shared, pool)

    def _commit(self, priority: int, match: f.Match, nat: f.Nat, rule: Rule) -> Iterator[f.Flow]:
        mark = (f.SetField("ct_mark", _mark(rule)),)
        action = f.Ct(self.zone, table=_ROUTE, commit=True, nat=nat, exec=mark)
        yield f.flow(_TRANSLATE, priority, match, action)
        # What follows before there is an answer is +new still. The kernel's conntrack leaves it
        # to the commit to translate that; OVS's own has done so already when it comes here.
        common = {name: match[name] for name in ("ct_state", "eth_type", "in_port")}
        side = "ipv4_src" if nat.kind == "src" else "ipv4_dst"
        again: f.Match = {**common, "ct_mark": _mark(rule), side: nat.first}
        yield f.flow(_TRANSLATE, 24000, again, goto=_ROUTE)

    # -- routing ----------------------------------------------------------------------------------

    def _route(self) -> Iterator[f.Flow]:
        ip: f.Match = {"eth_type": f.IPV4}
        for neighbour in self.neighbours:
            for side in (self.inside, self.outside):
                if neighbour.address in side.network:
                    match: f.Match = {**ip, "ipv4_dst": str(neighbour.address)}
                    yield f.flow(_ROUTE, 100, match, *_send(side, neighbour.mac))
        for side in (self.inside, self.outside):  # on the link, but no neighbour that is known
            yield f.flow(_ROUTE, 50, {**ip, "ipv4_dst": side.network})
        if self.next_hop is not None:
            macs = {neighbour.address: neighbour.mac for neighbour in self.neighbours}
            yield f.flow(_ROUTE, 10, ip, *_send(self.outside, macs[self.next_hop]))
        yield f.flow(_ROUTE, 0, {})


def _send(side: Side, mac: str) -> tuple[f.Action, ...]:
    return (
        f.DecTtl(),
        f.SetField("eth_src", side.mac),
        f.SetField("eth_dst", mac),
        f.Output(side.port),
    )


def _from(network: IPv4Network) -> f.Match:
    return {"ipv4_src": network} if network.prefixlen else {}


def _mark(rule: Rule) -> int:
    """The same number for the same rule, in every run; never 0, which is no mark."""
    return zlib.crc32(repr(rule).encode()) or 1


# -- reading ------------------------------------------------------------------------------------


def parse(document: Node) -> Gateway:
    """The policy that a document says.

    Raises:
        PolicyError: with the place of what is wrong.
    """
    fields = document.as_mapping(("inside", "outside"), ("zone", "gateway", *SECTIONS))
    inside, outside = _side(fields["inside"]), _side(fields["outside"])
    if inside.port == outside.port:
        fields["outside"].fail("the port is that of the inside already")
    if inside.network.overlaps(outside.network):
        fields["outside"].fail(f"{outside.network} overlaps {inside.network} of the inside")
    gateway = Gateway(
        fields["zone"].as_integer(1, 65535) if "zone" in fields else 1,
        inside,
        outside,
        _address(fields["gateway"]) if "gateway" in fields else None,
        fields["neighbours"].named_items(_neighbour) if "neighbours" in fields else (),
        fields["floating"].named_items(_floating) if "floating" in fields else (),
        fields["dnat"].named_items(_dnat) if "dnat" in fields else (),
        fields["snat"].named_items(_snat) if "snat" in fields else (),
    )
    _check(fields, gateway)
    return gateway


def _check(fields: dict[str, Node], gateway: Gateway) -> None:
    known = {neighbour.address for neighbour in gateway.neighbours}
    if gateway.next_hop is not None:
        _must_be_in(fields["gateway"], gateway.next_hop, gateway.outside.network)
        _must_be_known(fields["gateway"], gateway.next_hop, known)
    taken: dict[object, str] = {gateway.outside.address: "the gateway"}
    owned: dict[object, str] = {
        gateway.inside.address: "the gateway",
        gateway.outside.address: "the gateway",
    }
    for neighbour, item in zip(gateway.neighbours, _items(fields, "neighbours"), strict=True):
        _must_be_new(item, neighbour.address, neighbour.name, owned)
        if neighbour.address not in gateway.inside.network:
            _must_be_in(item, neighbour.address, gateway.outside.network)
    for each, item in zip(gateway.floating, _items(fields, "floating"), strict=True):
        _must_be_in(item, each.inside, gateway.inside.network)
        _must_be_known(item, each.inside, known)
        _must_be_new(item, each.outside, each.name, taken)
        _must_be_new(item, f"inside {each.inside}", each.name, taken)
    floating = {each.outside: each.name for each in gateway.floating}
    for rule, item in zip(gateway.dnat, _items(fields, "dnat"), strict=True):
        _must_be_in(item, rule.to, gateway.inside.network)
        _must_be_known(item, rule.to, known)
        place = f"{rule.protocol} port {rule.port} of {rule.address}"
        _must_be_new(item, place, rule.name, taken)
    shared = [each.address for each in gateway.dnat] + [each.address for each in gateway.snat]
    items = (*_items(fields, "dnat"), *_items(fields, "snat"))
    for address, item in zip(shared, items, strict=True):
        if address in floating:
            item.fail(f"{address} is the floating address {floating[address]!r}")


def _items(fields: dict[str, Node], section: str) -> tuple[Node, ...]:
    return fields[section].as_list() if section in fields else ()


def _must_be_in(node: Node, address: IPv4Address, network: IPv4Network) -> None:
    if address not in network:
        node.fail(f"{address} is not in {network}")


def _must_be_known(node: Node, address: IPv4Address, known: set[IPv4Address]) -> None:
    if address not in known:
        node.fail(f"no neighbour has the address {address}")


def _must_be_new(node: Node, thing: object, name: str, taken: dict[object, str]) -> None:
    if thing in taken:
        node.fail(f"{thing} is that of {taken[thing]!r} already")
    taken[thing] = name


def _address(node: Node) -> IPv4Address:
    address = node.as_address()
    if not isinstance(address, IPv4Address):
        node.fail(f"{address} is no IPv4 address")
    return address


def _side(node: Node) -> Side:
    fields = node.as_mapping(("port", "mac", "address"), ())
    text, slash, length = fields["address"].as_text().partition("/")
    try:
        address = IPv4Address(text)
        network = IPv4Network((text, int(length)), strict=False)
    except ValueError:
        fields["address"].fail(
            f"{text}{slash}{length} is no IPv4 address with its prefix length, as 10.0.0.1/24"
        )
    port = fields["port"].as_integer(1, _HIGHEST_PORT)
    return Side(port, fields["mac"].as_mac(), address, network)


def _neighbour(name: str, item: Node) -> Neighbour:
    fields = item.as_mapping(("name", "address", "mac"), ())
    return Neighbour(name, _address(fields["address"]), fields["mac"].as_mac())


def _floating(name: str, item: Node) -> Floating:
    fields = item.as_mapping(("name", "outside", "inside"), ())
    return Floating(name, _address(fields["outside"]), _address(fields["inside"]))


def _dnat(name: str, item: Node) -> Dnat:
    fields = item.as_mapping(("name", "protocol", "address", "port", "to"), ("to_port",))
    port = fields["port"].as_integer(1, 65535)
    return Dnat(
        name,
        fields["protocol"].as_choice({each: each for each in _TRANSPORT}),
        _address(fields["address"]),
        port,
        _address(fields["to"]),
        fields["to_port"].as_integer(1, 65535) if "to_port" in fields else port,
    )


def _snat(name: str, item: Node) -> Snat:
    fields = item.as_mapping(("name", "from", "address"), ("ports",))
    source = fields["from"].as_network()
    if not isinstance(source, IPv4Network):
        fields["from"].fail(f"{source} is no IPv4 prefix")
    ports = fields["ports"].as_port_range() if "ports" in fields else None
    if ports is not None and ports[0] == 0:
        fields["ports"].fail("port 0 is none to translate to")
    return Snat(name, source, _address(fields["address"]), ports)
