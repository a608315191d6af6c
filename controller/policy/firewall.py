"""The firewall's policy: rules, first match wins, what none allows is dropped.

| table | decides |
|---|---|
| 0 | ARP and neighbour discovery pass; IP goes through conntrack; the rest is dropped |
| 1, 2, 3 | state, rules and verdict of a :class:`~controller.policy.stage.Stage` |

What the opener of a connection sends is held against the rules each time, so that a rule that is
taken away ends its connections with their next packet from the opener; a rule that comes back
revives them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
from controller.policy.stage import HIGHEST, NEIGHBOUR_DISCOVERY, Stage

SECTIONS: Final = ("rules",)
_ENTRY, _STATE, _RULES, _VERDICT = range(4)
_MOST_RULES: Final = 50000


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; what it does not name is any."""

    name: str
    allow: bool
    in_port: int | None
    sources: tuple[Network, ...]
    destinations: tuple[Network, ...]
    service: Service

    def matches(self) -> list[f.Match]:
        """The matches that together are the rule."""
        port: f.Match = {} if self.in_port is None else {"in_port": self.in_port}
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
        stage = Stage(_STATE, _RULES, _VERDICT, self.zone, (f.Output(f.NORMAL),))
        return f.Program((*self._entry(), *stage.flows(), *self._by_rule(stage)))

    def _entry(self) -> list[f.Flow]:
        track = f.Ct(zone=self.zone, table=_STATE)
        neighbours = (
            {"eth_type": f.IPV6, "ip_proto": f.ICMPV6, "icmpv6_type": kind}
            for kind in NEIGHBOUR_DISCOVERY
        )
        return [
            f.flow(_ENTRY, 100, {"eth_type": f.ARP}, f.Output(f.NORMAL)),
            *(f.flow(_ENTRY, 100, match, f.Output(f.NORMAL)) for match in neighbours),
            f.flow(_ENTRY, 90, {"eth_type": f.IPV4}, track),
            f.flow(_ENTRY, 90, {"eth_type": f.IPV6}, track),
            f.flow(_ENTRY, 0, {}),
        ]

    def _by_rule(self, stage: Stage) -> Iterator[f.Flow]:
        seen: set[object] = set()
        for number, rule in enumerate(self.rules):
            for match in rule.matches():
                add = stage.allow if rule.allow else stage.deny
                flow = add(HIGHEST - number, match)
                if flow.key not in seen:
                    seen.add(flow.key)
                    yield flow


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
