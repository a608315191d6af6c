"""Security groups as OpenStack has them: ports in groups, groups of rules that allow.

| table | decides |
|---|---|
| 0 | a port may send only from its own MAC and IP addresses; trusted ports may send anything |
| 1, 2, 3 | what the sender's groups let out, in the sender's conntrack zone |
| 4 | to which port: by destination MAC; what is not known goes to the trusted ports |
| 5, 6, 7 | what the receiver's groups let in, in the receiver's conntrack zone |

Each port has a conntrack zone of its own, of its OpenFlow number, so that a packet between two
ports of one bridge is judged twice and independently. reg7 is the port that is being judged.
A port in no group gets nothing and sends nothing, but ARP and neighbour discovery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from controller.common import flows as f
from controller.common.document import Address, Network, Node
from controller.policy.family import link_local
from controller.policy.matches import SERVICE_KEYS, Service, pairs, read_networks, read_service
from controller.policy.stage import HIGHEST, Stage

SECTIONS: Final = ("ports", "groups")
_ADMISSION, _FORWARD = 0, 4
_EGRESS: Final = Stage(1, 2, 3, "reg7", goto=_FORWARD)
_INGRESS: Final = Stage(5, 6, 7, "reg7", (f.OutputRegister("reg7"),))
_HIGHEST_PORT: Final = 0xFEFF
_BROADCAST: Final = "ff:ff:ff:ff:ff:ff"
_MULTICAST6: Final = ("33:33:00:00:00:00", "ff:ff:00:00:00:00")
_SOLICIT_ROUTER, _SOLICIT, _ADVERTISE = 133, 135, 136


@dataclass(frozen=True, slots=True)
class Rule:
    """What a group lets in or out; `remote` are prefixes, `remote_group` a group's name."""

    ingress: bool
    service: Service
    remote: tuple[Network, ...]
    remote_group: str | None


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A group and its rules."""

    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A port of the bridge: trusted, or with addresses and in groups."""

    name: str
    port: int
    trusted: bool
    mac: str = ""
    addresses: tuple[Address, ...] = ()
    groups: tuple[str, ...] = ()

    def owns(self, version: int) -> list[Address]:
        """Its addresses of one IP version; for IPv6 also the link-local one of its MAC."""
        own = [address for address in self.addresses if address.version == version]
        if version == 6 and own:
            local = link_local(self.mac)
            own += [local] if local not in own else []
        return own


@dataclass(frozen=True, slots=True)
class SecurityGroups:
    """The whole policy."""

    members: tuple[Member, ...]
    groups: tuple[SecurityGroup, ...]

    def compile(self) -> f.Program:
        """The flows."""
        flows = [
            *self._admission(),
            *_EGRESS.flows(),
            *self._forward(),
            *_INGRESS.flows(),
            *self._rules(),
        ]
        return f.Program(tuple(dict.fromkeys(flows)))

    # -- who may send what -----------------------------------------------------------------------

    def _admission(self) -> Iterator[f.Flow]:
        yield f.flow(_ADMISSION, 0, {})
        for member in self.members:
            if member.trusted:
                yield f.flow(_ADMISSION, 100, {"in_port": member.port}, goto=_FORWARD)
                continue
            ours: f.Match = {"in_port": member.port, "eth_src": member.mac}
            for match in _neighbour_messages(member):
                yield f.flow(_ADMISSION, 100, {**ours, **match}, goto=_FORWARD)
            # What is judged by rules is not what resolves addresses, or one could forge it.
            forged: f.Match = {**ours, "eth_type": f.IPV6, "ip_proto": f.ICMPV6}
            for kind in (133, 134, 135, 136, 137):
                yield f.flow(_ADMISSION, 95, {**forged, "icmpv6_type": kind})
            track = (f.SetField("reg7", member.port), f.Ct("reg7", table=_EGRESS.state))
            for version, eth_type, name in ((4, f.IPV4, "ipv4_src"), (6, f.IPV6, "ipv6_src")):
                for address in member.owns(version):
                    own = {**ours, "eth_type": eth_type, name: str(address)}
                    yield f.flow(_ADMISSION, 90, own, *track)

    # -- where to --------------------------------------------------------------------------------

    def _forward(self) -> Iterator[f.Flow]:
        everywhere = tuple(f.Output(member.port) for member in self.members)
        outside = tuple(f.Output(member.port) for member in self.members if member.trusted)
        solicit: f.Match = {"eth_type": f.IPV6, "ip_proto": f.ICMPV6, "eth_dst": _MULTICAST6}
        yield f.flow(_FORWARD, 0, {}, *outside)
        yield f.flow(_FORWARD, 100, {"eth_type": f.ARP, "eth_dst": _BROADCAST}, *everywhere)
        for kind in (134, _SOLICIT, _ADVERTISE):
            yield f.flow(_FORWARD, 100, {**solicit, "icmpv6_type": kind}, *everywhere)
        for member in self.members:
            if member.trusted:
                continue
            to: f.Match = {"eth_dst": member.mac}
            yield f.flow(_FORWARD, 100, {**to, "eth_type": f.ARP}, f.Output(member.port))
            for kind in (134, _SOLICIT, _ADVERTISE):
                match: f.Match = {
                    **to,
                    "eth_type": f.IPV6,
                    "ip_proto": f.ICMPV6,
                    "icmpv6_type": kind,
                }
                yield f.flow(_FORWARD, 100, match, f.Output(member.port))
            judge = (
                f.SetField("reg0", 0),
                f.SetField("reg7", member.port),
                f.Ct("reg7", table=_INGRESS.state),
            )
            for eth_type in (f.IPV4, f.IPV6):
                yield f.flow(_FORWARD, 90, {**to, "eth_type": eth_type}, *judge)
            yield f.flow(_FORWARD, 80, to)  # nothing but IP, ARP and neighbour discovery

    # -- rules -----------------------------------------------------------------------------------

    def _rules(self) -> Iterator[f.Flow]:
        groups = {group.name: group for group in self.groups}
        for member in self.members:
            for name in member.groups:
                for rule in groups[name].rules:
                    yield from self._rule(member.port, rule)

    def _rule(self, port: int, rule: Rule) -> Iterator[f.Flow]:
        remote = rule.remote
        if rule.remote_group is not None:
            remote = self._addresses_in(rule.remote_group)
            if not remote:
                return  # nobody is in that group
        sources, destinations = (remote, ()) if rule.ingress else ((), remote)
        stage = _INGRESS if rule.ingress else _EGRESS
        for addresses in pairs(sources, destinations, rule.service.families()):
            for service in rule.service.matches():
                yield stage.allow(HIGHEST, {"reg7": port, **addresses, **service})

    def _addresses_in(self, group: str) -> tuple[Network, ...]:
        return tuple(
            ip_network(address)
            for member in self.members
            if group in member.groups
            for version in (4, 6)
            for address in member.owns(version)
        )


def _neighbour_messages(member: Member) -> Iterator[f.Match]:
    """The ARP and neighbour discovery that a port may send: about itself, and questions."""
    for address in member.owns(4):
        yield {"eth_type": f.ARP, "arp_sha": member.mac, "arp_spa": str(address)}
    if member.owns(4):  # the probe of RFC 5227
        yield {"eth_type": f.ARP, "arp_sha": member.mac, "arp_op": 1, "arp_spa": "0.0.0.0"}
    icmp: f.Match = {"eth_type": f.IPV6, "ip_proto": f.ICMPV6}
    for address in member.owns(6):
        source: f.Match = {**icmp, "ipv6_src": str(address)}
        yield {**source, "icmpv6_type": _SOLICIT_ROUTER}
        yield {**source, "icmpv6_type": _SOLICIT}
        for target in member.owns(6):
            yield {**source, "icmpv6_type": _ADVERTISE, "ipv6_nd_target": str(target)}
    for target in member.owns(6):  # duplicate address detection of RFC 4862
        match: f.Match = {"ipv6_src": "::", "icmpv6_type": _SOLICIT, "ipv6_nd_target": str(target)}
        yield {**icmp, **match}


# -- reading -------------------------------------------------------------------------------------


def parse(document: Node) -> SecurityGroups:
    """The policy that a document says.

    Raises:
        PolicyError: with the place of what is wrong.
    """
    fields = document.as_mapping((), SECTIONS)
    groups = fields["groups"].named_items(_group) if "groups" in fields else ()
    members = fields["ports"].named_items(_member) if "ports" in fields else ()
    known = {group.name for group in groups}
    if "groups" in fields:
        for item in fields["groups"].as_list():
            _check_remote_groups(item, known)
    if "ports" in fields:
        items = fields["ports"].as_list()
        for item, member in zip(items, members, strict=True):
            _check_member(item, member, known)
        _check_unique(items, members)
    return SecurityGroups(members, groups)


def _check_remote_groups(item: Node, known: set[str]) -> None:
    for rule in item.as_mapping((), ("name", "rules")).get("rules", Node(())).as_list():
        node = rule.as_mapping((), _RULE_KEYS).get("remote_group")
        if node is not None and node.as_text() not in known:
            node.fail(f"there is no group {node.as_text()!r}")


def _check_member(item: Node, member: Member, known: set[str]) -> None:
    for group in member.groups:
        if group not in known:
            item.fail(f"there is no group {group!r}")


def _check_unique(items: tuple[Node, ...], members: tuple[Member, ...]) -> None:
    taken: dict[object, str] = {}
    for item, member in zip(items, members, strict=True):
        mac = (member.mac,) if member.mac else ()
        for each in (f"port {member.port}", *mac, *member.addresses):
            if each in taken:
                item.fail(f"{each} is that of {taken[each]!r} already")
            taken[each] = member.name


def _member(name: str, item: Node) -> Member:
    fields = item.as_mapping(("name", "port"), ("trusted", "mac", "addresses", "groups"))
    port = fields["port"].as_integer(1, _HIGHEST_PORT)
    trusted = "trusted" in fields and fields["trusted"].as_choice({"true": True, "false": False})
    if trusted:
        for key in ("mac", "addresses", "groups"):
            if key in fields:
                fields[key].fail(f"a trusted port has no {key}: nothing of it is checked")
        return Member(name, port, trusted=True)
    for key in ("mac", "addresses"):
        if key not in fields:
            item.fail(f"missing {key}, or trusted: true")
    addresses = tuple(node.as_host() for node in fields["addresses"].as_list())
    groups = fields["groups"].as_list() if "groups" in fields else ()
    names = tuple(node.as_name() for node in groups)
    return Member(name, port, False, fields["mac"].as_mac(), addresses, names)


_RULE_KEYS: Final = ("direction", "remote", "remote_group", *SERVICE_KEYS)


def _group(name: str, item: Node) -> SecurityGroup:
    fields = item.as_mapping(("name",), ("rules",))
    rules = fields["rules"].as_list() if "rules" in fields else ()
    return SecurityGroup(name, tuple(_rule(each) for each in rules))


def _rule(node: Node) -> Rule:
    fields = node.as_mapping(("direction",), _RULE_KEYS[1:])
    if "remote" in fields and "remote_group" in fields:
        fields["remote_group"].fail("either remote or remote_group")
    rule = Rule(
        fields["direction"].as_choice({"ingress": True, "egress": False}),
        read_service(fields),
        read_networks(fields.get("remote")),
        fields["remote_group"].as_name() if "remote_group" in fields else None,
    )
    families = rule.service.families()
    if rule.remote and not any(network.version in families for network in rule.remote):
        node.fail("remote and protocol have no IP version in common: the rule matches nothing")
    return rule
