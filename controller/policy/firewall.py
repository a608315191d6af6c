"""The firewall's policy: rules, first match wins, what none allows is dropped.

| table | decides |
|---|---|
| 0 | ARP and neighbour discovery pass; IP goes through conntrack; the rest is dropped |
| 1 | invalid is dropped; replies and ICMP errors of allowed connections pass |
| 2 | the rules, on what opens a connection and on what its opener sends: reg0 is 1 if allowed |
| 3 | allowed and new: committed; no longer allowed: the connection's ct_mark becomes 1 |

A connection's replies pass while its ct_mark is 0. What the opener sends is held against the rules
each time, so that a rule that is taken away ends its connections with their next packet from the
opener; a rule that comes back revives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Final

from controller.common import flows as f
from controller.common.document import Network, Node
from controller.policy.matches import (
    HIGHEST_PORT,
    SERVICE_KEYS,
    Service,
    pairs,
    read_networks,
    read_service,
)

SECTIONS: Final = ("rules",)
_ENTRY, _STATE, _RULES, _VERDICT = range(4)
_FIRST_PRIORITY: Final = 60000
_MOST_RULES: Final = 50000
_CUT: Final = 1
"""The ct_mark of a connection that the rules no longer allow."""

_NEIGHBOUR_DISCOVERY: Final = (133, 134, 135, 136)
"""Router solicitation and advertisement, neighbour solicitation and advertisement (RFC 4861)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; what it does not name is any."""

    name: str
    allow: bool
    in_port: int | None
    sources: tuple[Network, ...]
    destinations: tuple[Network, ...]
    service: Service

    def matches(self) -> list[dict[str, f.Value]]:
        """The matches that together are the rule."""
        port: dict[str, f.Value] = {} if self.in_port is None else {"in_port": self.in_port}
        families = self.service.families()
        return [
            {**port, **addresses, **service}
            for addresses in pairs(self.sources, self.destinations, families)
            for service in self.service.matches()
        ]


@dataclass(frozen=True, slots=True)
class Firewall:
    """The whole policy: the conntrack zone to use, and the rules in their order."""

    zone: int
    rules: tuple[Rule, ...]

    def compile(self) -> f.Program:
        """The flows."""
        parts = (self._entry(), self._state(), self._by_rule(), self._verdict())
        return f.Program(tuple(chain.from_iterable(parts)))

    def _entry(self) -> list[f.Flow]:
        track = f.Ct(zone=self.zone, table=_STATE)
        neighbours = (
            {"eth_type": f.IPV6, "ip_proto": f.ICMPV6, "icmpv6_type": kind}
            for kind in _NEIGHBOUR_DISCOVERY
        )
        return [
            f.flow(_ENTRY, 100, {"eth_type": f.ARP}, f.Output(f.NORMAL)),
            *(f.flow(_ENTRY, 100, match, f.Output(f.NORMAL)) for match in neighbours),
            f.flow(_ENTRY, 90, {"eth_type": f.IPV4}, track),
            f.flow(_ENTRY, 90, {"eth_type": f.IPV6}, track),
            f.flow(_ENTRY, 0, {}),
        ]

    def _state(self) -> list[f.Flow]:
        reply = {"ct_state": f.ct_state("+trk+est+rpl"), "ct_mark": 0}
        error = {"ct_state": f.ct_state("+trk+rel-new"), "ct_mark": 0}
        return [
            f.flow(_STATE, 100, {"ct_state": f.ct_state("+trk+inv")}),
            f.flow(_STATE, 90, reply, f.Output(f.NORMAL)),
            *(
                f.flow(
                    _STATE,
                    90,
                    {**error, "eth_type": eth_type, "ip_proto": protocol},
                    f.Output(f.NORMAL),
                )
                for eth_type, protocol in ((f.IPV4, f.ICMP), (f.IPV6, f.ICMPV6))
            ),
            f.flow(_STATE, 80, {"ct_state": f.ct_state("+trk+est-rpl")}, goto=_RULES),
            f.flow(_STATE, 80, {"ct_state": f.ct_state("+trk+new-rel")}, goto=_RULES),
            f.flow(_STATE, 0, {}),
        ]

    def _by_rule(self) -> list[f.Flow]:
        flows: dict[object, f.Flow] = {}
        for number, rule in enumerate(self.rules):
            allow = (f.SetField("reg0", 1),) if rule.allow else ()
            for match in rule.matches():
                one = f.flow(_RULES, _FIRST_PRIORITY - number, match, *allow, goto=_VERDICT)
                flows[one.key] = one
        return [*flows.values(), f.flow(_RULES, 0, {}, goto=_VERDICT)]

    def _verdict(self) -> list[f.Flow]:
        revive = f.Ct(self.zone, commit=True, exec=(f.SetField("ct_mark", 0),))
        cut = f.Ct(self.zone, commit=True, exec=(f.SetField("ct_mark", _CUT),))
        forward = f.Output(f.NORMAL)
        flows = [f.flow(_VERDICT, 0, {})]
        for eth_type in (f.IPV4, f.IPV6):  # a switch takes ct only where the match says IP
            opened = {"eth_type": eth_type, "ct_state": f.ct_state("+trk+new"), "reg0": 1}
            known = {"eth_type": eth_type, "ct_state": f.ct_state("+trk+est")}
            flows += [
                f.flow(_VERDICT, 100, opened, f.Ct(self.zone, commit=True), forward),
                f.flow(_VERDICT, 100, {**known, "reg0": 1, "ct_mark": 0}, forward),
                f.flow(_VERDICT, 100, {**known, "reg0": 1, "ct_mark": _CUT}, revive, forward),
                f.flow(_VERDICT, 100, {**known, "reg0": 0, "ct_mark": 0}, cut),
            ]
        return flows


def parse(document: Node) -> Firewall:
    """The policy that a document says.

    Raises:
        PolicyError: with the place of what is wrong.
    """
    fields = document.as_mapping((), ("zone", "rules"))
    rules = fields["rules"].named_items(_rule) if "rules" in fields else ()
    if len(rules) > _MOST_RULES:
        fields["rules"].fail(f"{len(rules)} rules: {_MOST_RULES} at most")
    zone = fields["zone"].as_integer(1, 65535) if "zone" in fields else 1
    return Firewall(zone, rules)


def _rule(name: str, item: Node) -> Rule:
    fields = item.as_mapping(("name",), ("action", "in_port", "from", "to", *SERVICE_KEYS))
    rule = Rule(
        name,
        fields["action"].as_choice({"allow": True, "deny": False}) if "action" in fields else True,
        fields["in_port"].as_integer(1, HIGHEST_PORT) if "in_port" in fields else None,
        read_networks(fields.get("from")),
        read_networks(fields.get("to")),
        read_service(fields),
    )
    if not rule.matches():
        item.fail("from, to and protocol have no IP version in common: the rule matches nothing")
    return rule
