"""The NAT gateway's policy: a router between two networks that translates what passes.

| table | decides |
|---|---|
| 0 | ARP and neighbour discovery for the gateway are answered; IP to its MACs is tracked |
| 1 | connections that a rule made go on, translated; new ones get the rule that fits them |
| 2 | to which neighbour: the next hop's MAC, one off the TTL, and out |
| 3 | the answer to a neighbour solicitation |

Each connection carries in its ct_mark the number of the rule that made it, and passes only while
the policy has that rule: take a floating address away, or point it elsewhere, and its connections
end. What no rule translates is dropped; so is what one inside host sends to an outside address of
the gateway (no hairpin). Both IP versions go the same way, each within itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_network
from typing import Final, TypeAlias

from controller.common import flows as f
from controller.common.document import Address, Interface, Network, Node, PortRange
from controller.policy.family import FAMILIES, Family, family_of, link_local, must_be_alike
from controller.policy.neighbours import answers

SECTIONS: Final = ("neighbours", "floating", "dnat", "snat")
_ENTRY, _TRANSLATE, _ROUTE, _ADVERTISE = range(4)
_HIGHEST_PORT: Final = 0xFEFF
_TRANSPORT: Final = {"tcp": (f.TCP, "tcp_dst"), "udp": (f.UDP, "udp_dst")}
_FIRST_SNAT: Final = 20000
_DISCOVERY: Final = (133, 134, 135, 136, 137)
_LINK_LOCAL: Final = IPv6Network("fe80::/10")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the gateway's two interfaces, with an address of one IP version or one of each."""

    port: int
    mac: str
    interfaces: tuple[Interface, ...]

    @property
    def families(self) -> list[Family]:
        """The IP versions that it speaks."""
        return [family_of(each.ip) for each in self.interfaces]

    @property
    def networks(self) -> list[Network]:
        """The prefixes on its link."""
        return [each.network for each in self.interfaces]

    def network(self, version: int) -> Network | None:
        """The prefix of one IP version, if it has one."""
        return next((each for each in self.networks if each.version == version), None)

    def holds(self, address: Address) -> bool:
        """Whether the address is on its link."""
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A host on either side, or the outside gateway."""

    name: str
    address: Address
    mac: str


@dataclass(frozen=True, slots=True)
class Floating:
    """An outside address that stands for an inside one, both ways."""

    name: str
    outside: Address
    inside: Address


@dataclass(frozen=True, slots=True)
class Dnat:
    """A port of an outside address that stands for a port of an inside one."""

    name: str
    protocol: str
    address: Address
    port: int
    to: Address
    to_port: int


@dataclass(frozen=True, slots=True)
class Snat:
    """An outside address, and ports of it, that inside hosts share."""

    name: str
    source: Network
    address: Address
    ports: PortRange | None


Rule: TypeAlias = Floating | Dnat | Snat


@dataclass(frozen=True, slots=True)
class Gateway:
    """The whole policy."""

    zone: int
    inside: Side
    outside: Side
    next_hops: tuple[Address, ...]
    neighbours: tuple[Neighbour, ...]
    floating: tuple[Floating, ...]
    dnat: tuple[Dnat, ...]
    snat: tuple[Snat, ...]

    def compile(self) -> f.Program:
        """The flows."""
        return f.Program((*self._entry(), *self._translate(), *self._route()))

    def outside_addresses(self) -> list[Address]:
        """What the gateway answers for outside."""
        found: list[Address] = [each.ip for each in self.outside.interfaces]
        found += [each.outside for each in self.floating]
        found += [each.address for each in self.dnat]
        found += [each.address for each in self.snat]
        return list(dict.fromkeys(found))

    # -- entry ------------------------------------------------------------------------------------

    def _entry(self) -> Iterator[f.Flow]:
        yield f.flow(_ENTRY, 0, {})
        inside: list[Address] = [each.ip for each in self.inside.interfaces]
        yield from self._enter(self.inside, inside)
        yield from self._enter(self.outside, self.outside_addresses())

    def _enter(self, side: Side, addresses: list[Address]) -> Iterator[f.Flow]:
        port: f.Match = {"in_port": side.port}
        here: f.Match = {**port, "eth_dst": side.mac}
        for family in side.families:
            if family.eth_type == f.IPV6:
                addresses = [*addresses, link_local(side.mac)]
                yield from _on_the_link_only(here)
            track = f.Ct(self.zone, table=_TRANSLATE, nat=f.Nat())
            yield f.flow(_ENTRY, 90, {**here, **family.ip}, track)
        for address in dict.fromkeys(addresses):
            yield from answers(_ENTRY, _ADVERTISE, 100, side.mac, address, port, router=True)

    # -- translation ------------------------------------------------------------------------------

    def _translate(self) -> Iterator[f.Flow]:
        table = _TRANSLATE
        yield f.flow(table, 0, {})
        yield f.flow(table, 30100, {"ct_state": f.ct_state("+trk+inv")})
        rules: list[Rule] = [*self.floating, *self.dnat, *self.snat]
        for rule in rules:
            known: f.Match = {"ct_state": f.ct_state("+trk-new"), "ct_mark": _mark(rule)}
            yield f.flow(table, 30000, known, goto=_ROUTE)
        new: f.Match = {"ct_state": f.ct_state("+trk+new-rel")}
        out: f.Match = {**new, "in_port": self.inside.port}
        into: f.Match = {**new, "in_port": self.outside.port}
        kept = [*self.inside.networks, *map(ip_network, self.outside_addresses())]
        for network in dict.fromkeys(kept):
            yield f.flow(table, 25000, {**out, **family_of(network).to(network)})
        for pair in self.floating:
            family = family_of(pair.inside)
            away, home = f.Nat("src", str(pair.outside)), f.Nat("dst", str(pair.inside))
            yield from self._commit(22000, {**out, **family.from_(pair.inside)}, away, pair)
            yield from self._commit(21000, {**into, **family.to(pair.outside)}, home, pair)
        for door in self.dnat:
            protocol, name = _TRANSPORT[door.protocol]
            there = {**into, **family_of(door.address).to(door.address)}
            match: f.Match = {**there, "ip_proto": protocol, name: door.port}
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
        family = FAMILIES[6 if match["eth_type"] == f.IPV6 else 4]
        side = family.source if nat.kind == "src" else family.destination
        again: f.Match = {**common, "ct_mark": _mark(rule), side: nat.first}
        yield f.flow(_TRANSLATE, 24000, again, goto=_ROUTE)

    # -- routing ----------------------------------------------------------------------------------

    def _route(self) -> Iterator[f.Flow]:
        for neighbour in self.neighbours:
            to = family_of(neighbour.address).to(neighbour.address)
            for side in (self.inside, self.outside):
                if side.holds(neighbour.address):
                    yield f.flow(_ROUTE, 100, to, *_send(side, neighbour.mac))
        for side in (self.inside, self.outside):  # on the link, but no neighbour that is known
            for network in side.networks:
                yield f.flow(_ROUTE, 50, family_of(network).to(network))
        macs = {neighbour.address: neighbour.mac for neighbour in self.neighbours}
        for hop in self.next_hops:
            yield f.flow(_ROUTE, 10, family_of(hop).ip, *_send(self.outside, macs[hop]))
        yield f.flow(_ROUTE, 0, {})


def _on_the_link_only(here: f.Match) -> Iterator[f.Flow]:
    """IPv6 that a router must not pass on: link-local addresses, and neighbour discovery."""
    ip: f.Match = {**here, "eth_type": f.IPV6}
    yield f.flow(_ENTRY, 95, {**ip, "ipv6_src": _LINK_LOCAL})
    yield f.flow(_ENTRY, 95, {**ip, "ipv6_dst": _LINK_LOCAL})
    for kind in _DISCOVERY:
        yield f.flow(_ENTRY, 95, {**ip, "ip_proto": f.ICMPV6, "icmpv6_type": kind})


def _send(side: Side, mac: str) -> tuple[f.Action, ...]:
    return (
        f.DecTtl(),
        f.SetField("eth_src", side.mac),
        f.SetField("eth_dst", mac),
        f.Output(side.port),
    )


def _from(network: Network) -> f.Match:
    family = family_of(network)
    return family.from_(network) if network.prefixlen else family.ip


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
    for network in inside.networks:
        other = outside.network(network.version)
        if other is not None and network.overlaps(other):
            fields["outside"].fail(f"{other} overlaps {network} of the inside")
    gateway = Gateway(
        fields["zone"].as_integer(1, 65535) if "zone" in fields else 1,
        inside,
        outside,
        tuple(node.as_host() for node in _next_hops(fields)),
        fields["neighbours"].named_items(_neighbour) if "neighbours" in fields else (),
        fields["floating"].named_items(_floating) if "floating" in fields else (),
        fields["dnat"].named_items(_dnat) if "dnat" in fields else (),
        fields["snat"].named_items(_snat) if "snat" in fields else (),
    )
    _check(fields, gateway)
    return gateway


def _next_hops(fields: dict[str, Node]) -> tuple[Node, ...]:
    return fields["gateway"].as_list() if "gateway" in fields else ()


def _check(fields: dict[str, Node], gateway: Gateway) -> None:
    inside, outside = gateway.inside, gateway.outside
    known = {neighbour.address for neighbour in gateway.neighbours}
    for node, hop in zip(_next_hops(fields), gateway.next_hops, strict=True):
        if not (hop in _LINK_LOCAL and outside.network(6)):
            _must_be_on(node, hop, outside, "outside")
        _must_be_known(node, hop, known)
    if len({hop.version for hop in gateway.next_hops}) < len(gateway.next_hops):
        fields["gateway"].fail("one gateway of each IP version at most")
    own = [each.ip for side in (inside, outside) for each in side.interfaces]
    taken: dict[object, str] = {each.ip: "the gateway" for each in outside.interfaces}
    owned: dict[object, str] = dict.fromkeys(own, "the gateway")
    for neighbour, item in zip(gateway.neighbours, _items(fields, "neighbours"), strict=True):
        _must_be_new(item, neighbour.address, neighbour.name, owned)
        next_on_link = neighbour.address in _LINK_LOCAL and neighbour.address in gateway.next_hops
        if not (next_on_link or inside.holds(neighbour.address)):
            _must_be_on(item, neighbour.address, outside, "outside")
    for each, item in zip(gateway.floating, _items(fields, "floating"), strict=True):
        _must_be_on(item, each.inside, inside, "inside")
        _must_be_known(item, each.inside, known)
        _must_be_new(item, each.outside, each.name, taken)
        _must_be_new(item, f"inside {each.inside}", each.name, taken)
    floating = {each.outside: each.name for each in gateway.floating}
    for rule, item in zip(gateway.dnat, _items(fields, "dnat"), strict=True):
        _must_be_on(item, rule.to, inside, "inside")
        _must_be_known(item, rule.to, known)
        place = f"{rule.protocol} port {rule.port} of {rule.address}"
        _must_be_new(item, place, rule.name, taken)
    shared = [each.address for each in gateway.dnat] + [each.address for each in gateway.snat]
    items = (*_items(fields, "dnat"), *_items(fields, "snat"))
    for address, item in zip(shared, items, strict=True):
        if address in floating:
            item.fail(f"{address} is the floating address {floating[address]!r}")
    for address, item in zip(
        [*(each.outside for each in gateway.floating), *shared],
        [*_items(fields, "floating"), *items],
        strict=True,
    ):
        if outside.network(address.version) is None:
            item.fail(f"the outside has no {family_of(address).name} address, as {address} is")


def _items(fields: dict[str, Node], section: str) -> tuple[Node, ...]:
    return fields[section].as_list() if section in fields else ()


def _must_be_on(node: Node, address: Address, side: Side, name: str) -> None:
    network = side.network(address.version)
    if network is None:
        node.fail(f"the {name} has no {family_of(address).name} address, as {address} is")
    if address not in network:
        node.fail(f"{address} is not in {network}")


def _must_be_known(node: Node, address: Address, known: set[Address]) -> None:
    if address not in known:
        node.fail(f"no neighbour has the address {address}")


def _must_be_new(node: Node, thing: object, name: str, taken: dict[object, str]) -> None:
    if thing in taken:
        node.fail(f"{thing} is that of {taken[thing]!r} already")
    taken[thing] = name


def _side(node: Node) -> Side:
    fields = node.as_mapping(("port", "mac", "address"), ())
    nodes = fields["address"].as_list()
    interfaces = tuple(each.as_interface() for each in nodes)
    if not nodes or len({each.version for each in interfaces}) < len(nodes):
        fields["address"].fail("one address, or one of each IP version")
    port = fields["port"].as_integer(1, _HIGHEST_PORT)
    return Side(port, fields["mac"].as_mac(), interfaces)


def _neighbour(name: str, item: Node) -> Neighbour:
    fields = item.as_mapping(("name", "address", "mac"), ())
    return Neighbour(name, fields["address"].as_host(), fields["mac"].as_mac())


def _floating(name: str, item: Node) -> Floating:
    fields = item.as_mapping(("name", "outside", "inside"), ())
    pair = Floating(name, fields["outside"].as_host(), fields["inside"].as_host())
    must_be_alike(item, pair.outside, pair.inside)
    return pair


def _dnat(name: str, item: Node) -> Dnat:
    fields = item.as_mapping(("name", "protocol", "address", "port", "to"), ("to_port",))
    port = fields["port"].as_integer(1, 65535)
    door = Dnat(
        name,
        fields["protocol"].as_choice({each: each for each in _TRANSPORT}),
        fields["address"].as_host(),
        port,
        fields["to"].as_host(),
        fields["to_port"].as_integer(1, 65535) if "to_port" in fields else port,
    )
    must_be_alike(item, door.address, door.to)
    return door


def _snat(name: str, item: Node) -> Snat:
    fields = item.as_mapping(("name", "from", "address"), ("ports",))
    ports = fields["ports"].as_port_range() if "ports" in fields else None
    if ports is not None and ports[0] == 0:
        fields["ports"].fail("port 0 is none to translate to")
    pool = Snat(name, fields["from"].as_network(), fields["address"].as_host(), ports)
    must_be_alike(item, pool.source, pool.address)
    return pool
