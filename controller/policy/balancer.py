"""The load balancer's policy: services, each an address and a port, and the backends behind it.

| table | decides |
|---|---|
| 0 | who asks for a service's MAC is answered; what goes to it or comes from a backend is tracked |
| 1 | connections go on to their backend; a new one is given a backend, and keeps it |
| 2 | what a backend says goes out, under the service's address where a connection knows it |
| 3 | the backend's MAC, and off as a learning switch would |
| 4 | the answer to a neighbour solicitation |

A new connection's backend is chosen by a select group, or, with ``sticky: client``, by the low
bits of the client's address: each of 64 slices of clients belongs to the backend that wins the
slice by weighted rendezvous hashing, so that a backend that comes or goes moves only the clients
that it wins or had. Connections are kept by conntrack either way. A backend of weight 0 drains:
it keeps its connections and gets no more.

Clients and backends are on the bridge's own network; the backends keep the clients' addresses in
sight, and their replies have to come back through this bridge.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controller.common import flows as f
from controller.common.document import Address, Node
from controller.policy.family import Family, family_of, must_be_alike
from controller.policy.neighbours import answers
from controller.policy.stage import NEIGHBOUR_DISCOVERY

SECTIONS: Final = ("services",)
_ENTRY, _CHOOSE, _REPLY, _DELIVER, _ADVERTISE = range(5)
_SLICES: Final = 64
_HEAVIEST: Final = 1000
_MOST_BACKENDS: Final = 200
_HIGHEST_GROUP: Final = 0xFFFFFF00
"""The highest number of a group (OFPG_MAX)."""

_TRANSPORT: Final = {
    "tcp": (f.TCP, "tcp_src", "tcp_dst"),
    "udp": (f.UDP, "udp_src", "udp_dst"),
}


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend of a service; `port` is the transport port it listens on."""

    address: Address
    mac: str
    port: int
    weight: int


@dataclass(frozen=True, slots=True)
class Service:
    """One service."""

    name: str
    address: Address
    mac: str
    protocol: str
    port: int
    by_client: bool
    backends: tuple[Backend, ...]

    @property
    def family(self) -> Family:
        """The IP version of its address and its backends'."""
        return family_of(self.address)

    def to(self) -> f.Match:
        """What goes to the service."""
        number, _, destination = _TRANSPORT[self.protocol]
        return {**self.family.to(self.address), "ip_proto": number, destination: self.port}

    def mark(self, backend: Backend) -> int:
        """The ct_mark of connections to a backend: the same in every run, whatever its weight."""
        key = (str(self.address), self.protocol, self.port, str(backend.address), backend.port)
        return zlib.crc32(repr(key).encode()) or 1

    def winner(self, slice_: int) -> Backend:
        """The backend of a slice of clients."""

        def score(backend: Backend) -> float:
            drawn = zlib.crc32(f"{slice_} {backend.address} {backend.port}".encode())
            return -backend.weight / math.log((drawn + 0.5) / 2**32)

        return max(self.backends, key=score)


@dataclass(frozen=True, slots=True)
class Balancer:
    """The whole policy."""

    zone: int
    services: tuple[Service, ...]

    def compile(self) -> f.Program:
        """The flows and groups."""
        flows = [*self._entry(), *self._choose(), *self._reply(), *self._deliver()]
        return f.Program(tuple(dict.fromkeys(flows)), tuple(self._groups()))

    def _entry(self) -> Iterator[f.Flow]:
        yield f.flow(_ENTRY, 0, {}, f.Output(f.NORMAL))
        known = f.Ct(self.zone, table=_CHOOSE, nat=f.Nat())
        reply = f.Ct(self.zone, table=_REPLY, nat=f.Nat())
        for service in self.services:
            family = service.family
            yield from answers(_ENTRY, _ADVERTISE, 110, service.mac, service.address, {})
            if family.eth_type == f.IPV6:
                yield from _discovery()
            to = family.to(service.address)
            yield f.flow(_ENTRY, 100, service.to(), known)
            yield f.flow(_ENTRY, 100, {**to, "ip_proto": family.icmp}, known)  # errors
            yield f.flow(_ENTRY, 90, to)
            number, source, _ = _TRANSPORT[service.protocol]
            for backend in service.backends:
                from_ = family.from_(backend.address)
                match: f.Match = {**from_, "ip_proto": number, source: backend.port}
                yield f.flow(_ENTRY, 80, match, reply)
                yield f.flow(_ENTRY, 80, {**from_, "ip_proto": family.icmp}, reply)

    def _choose(self) -> Iterator[f.Flow]:
        yield f.flow(_CHOOSE, 0, {})
        yield f.flow(_CHOOSE, 100, {"ct_state": f.ct_state("+trk+inv")})
        new: f.Match = {"ct_state": f.ct_state("+trk+new-rel")}
        for service in self.services:
            for backend in service.backends:
                known: f.Match = {
                    "ct_state": f.ct_state("+trk-new"),
                    "ct_mark": service.mark(backend),
                }
                yield f.flow(_CHOOSE, 90, known, goto=_DELIVER)
                # What follows before there is an answer is +new still. The kernel's conntrack
                # leaves it to the commit to translate that; OVS's own has done so already.
                again: f.Match = {**new, "ct_mark": service.mark(backend)}
                give = self._give(service, backend)
                yield f.flow(_CHOOSE, 85, {**again, **service.to()}, give)
                there = service.family.to(backend.address)
                yield f.flow(_CHOOSE, 85, {**again, **there}, goto=_DELIVER)
            if not _available(service):
                continue
            match: f.Match = {**new, **service.to()}
            if not service.by_client:
                yield f.flow(_CHOOSE, 80, match, f.ToGroup(self._group_of(service)))
                continue
            address = type(service.address)
            for number in range(_SLICES):
                clients: f.Value = (str(address(number)), str(address(_SLICES - 1)))
                give = self._give(service, service.winner(number))
                yield f.flow(_CHOOSE, 80, {**match, service.family.source: clients}, give)

    def _give(self, service: Service, backend: Backend) -> f.Ct:
        """The action that gives a new connection to a backend."""
        nat = f.Nat("dst", str(backend.address), ports=(backend.port, backend.port))
        mark = (f.SetField("ct_mark", service.mark(backend)),)
        return f.Ct(self.zone, table=_DELIVER, commit=True, nat=nat, exec=mark)

    def _groups(self) -> Iterator[f.Group]:
        for service in self.services:
            available = _available(service)
            if available and not service.by_client:
                buckets = (
                    f.Bucket((self._give(service, backend),), backend.weight)
                    for backend in available
                )
                yield f.Group(self._group_of(service), tuple(buckets))

    def _group_of(self, service: Service) -> int:
        """The number of a service's group: of its name, so that other services do not move it."""
        taken: set[int] = set()
        for each in self.services:
            number = zlib.crc32(each.name.encode()) % _HIGHEST_GROUP + 1
            while number in taken:
                number = number % _HIGHEST_GROUP + 1
            if each is service:
                return number
            taken.add(number)
        raise ValueError(f"{service.name} is no service of this policy")

    def _reply(self) -> Iterator[f.Flow]:
        yield f.flow(_REPLY, 0, {}, f.Output(f.NORMAL))

    def _deliver(self) -> Iterator[f.Flow]:
        yield f.flow(_DELIVER, 0, {})
        for service in self.services:
            for backend in service.backends:
                match = service.family.to(backend.address)
                to = f.SetField("eth_dst", backend.mac)
                yield f.flow(_DELIVER, 100, match, to, f.Output(f.NORMAL))


def _discovery() -> Iterator[f.Flow]:
    """Neighbour discovery of others is switched, and no matter of conntrack."""
    for kind in NEIGHBOUR_DISCOVERY:
        match: f.Match = {"eth_type": f.IPV6, "ip_proto": f.ICMPV6, "icmpv6_type": kind}
        yield f.flow(_ENTRY, 105, match, f.Output(f.NORMAL))


def _available(service: Service) -> list[Backend]:
    return [backend for backend in service.backends if backend.weight]


# -- reading ------------------------------------------------------------------------------------


def parse(document: Node) -> Balancer:
    """The policy that a document says.

    Raises:
        PolicyError: with the place of what is wrong.
    """
    fields = document.as_mapping((), ("zone", "services"))
    services = fields["services"].named_items(_service) if "services" in fields else ()
    zone = fields["zone"].as_integer(1, 65535) if "zone" in fields else 1
    if "services" in fields:
        _check(fields["services"].as_list(), services)
    return Balancer(zone, services)


def _check(items: tuple[Node, ...], services: tuple[Service, ...]) -> None:
    taken: dict[object, str] = {}
    macs: dict[Address, str] = {}
    virtual = {service.address for service in services}
    for item, service in zip(items, services, strict=True):
        place = f"{service.protocol} port {service.port} of {service.address}"
        if place in taken:
            item.fail(f"{place} is that of {taken[place]!r} already")
        taken[place] = service.name
        hosts = [(service.address, service.mac)]
        hosts += [(backend.address, backend.mac) for backend in service.backends]
        for address, mac in hosts:
            if macs.setdefault(address, mac) != mac:
                item.fail(f"{address} has the MAC {macs[address]} elsewhere, not {mac}")
        for backend in service.backends:
            must_be_alike(item, service.address, backend.address)
            if backend.address in virtual:
                item.fail(f"the backend {backend.address} is a service's address")


def _service(name: str, item: Node) -> Service:
    fields = item.as_mapping(
        ("name", "address", "mac", "protocol", "port", "backends"), ("sticky",)
    )
    nodes = fields["backends"].as_list()
    if len(nodes) > _MOST_BACKENDS:
        fields["backends"].fail(f"{len(nodes)} backends: {_MOST_BACKENDS} at most")
    backends = tuple(_backend(node) for node in nodes)
    ends = [(backend.address, backend.port) for backend in backends]
    for node, end in zip(nodes, ends, strict=True):
        if ends.count(end) > 1:
            node.fail(f"{end[0]} port {end[1]} stands here twice")
    choices = {"connection": False, "client": True}
    return Service(
        name,
        fields["address"].as_host(),
        fields["mac"].as_mac(),
        fields["protocol"].as_choice({each: each for each in _TRANSPORT}),
        fields["port"].as_integer(1, 65535),
        fields["sticky"].as_choice(choices) if "sticky" in fields else False,
        backends,
    )


def _backend(node: Node) -> Backend:
    fields = node.as_mapping(("address", "mac", "port"), ("weight",))
    return Backend(
        fields["address"].as_host(),
        fields["mac"].as_mac(),
        fields["port"].as_integer(1, 65535),
        fields["weight"].as_integer(0, _HEAVIEST) if "weight" in fields else 100,
    )
