"""Answers to those who ask for a MAC, given by the switch itself: ARP and neighbour discovery.

A solicitation becomes an advertisement in two tables: a switch lets nd_tll be set only where the
match says that the packet is one. The option of a solicitation, its sender's MAC, becomes that of
an advertisement by its type (nd_options_type, of OVS since 2.11); a solicitation without one gets
an advertisement without one, which RFC 4861, 7.2.4, allows where it was sent to one host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from controller.common import flows as f
from controller.common.document import Address

_SOLICIT, _ADVERTISE = 135, 136
_TARGET_OPTION: Final = 2
_SOLICITED_OVERRIDE: Final = 0x60000000
_ROUTER: Final = 0x80000000
"""Flags of an advertisement (RFC 4861, 4.4)."""


def answers(
    table: int,
    advertise: int,
    priority: int,
    mac: str,
    address: Address,
    match: Mapping[str, f.Value],
    *,
    router: bool = False,
) -> Iterator[f.Flow]:
    """The flows that answer for an address with a MAC.

    Args:
        table: where questions come in.
        advertise: a table that only these flows use, for IPv6.
        priority: of the flows of `table`.
        mac: the answer.
        address: what is asked for.
        match: what else holds for a question.
        router: whether the advertisement says that it is a router's.
    """
    if isinstance(address, IPv4Address):
        yield _arp(table, priority, mac, address, match)
    else:
        yield from _discovery(table, advertise, priority, mac, address, match, router)


def _arp(
    table: int, priority: int, mac: str, address: IPv4Address, match: Mapping[str, f.Value]
) -> f.Flow:
    return f.flow(
        table,
        priority,
        {**match, "eth_type": f.ARP, "arp_op": 1, "arp_tpa": str(address)},
        f.Move("eth_src", "eth_dst", 48),
        f.SetField("eth_src", mac),
        f.SetField("arp_op", 2),
        f.Move("arp_sha", "arp_tha", 48),
        f.Move("arp_spa", "arp_tpa", 32),
        f.SetField("arp_sha", mac),
        f.SetField("arp_spa", str(address)),
        f.Output(f.IN_PORT),
    )


def _discovery(
    table: int,
    advertise: int,
    priority: int,
    mac: str,
    address: IPv6Address,
    match: Mapping[str, f.Value],
    router: bool,
) -> Iterator[f.Flow]:
    icmp: f.Match = {"eth_type": f.IPV6, "ip_proto": f.ICMPV6, "ipv6_nd_target": str(address)}
    ask: f.Match = {**match, **icmp, "icmpv6_type": _SOLICIT}
    # Somebody who wants the address for himself (RFC 4862) has none to be answered at.
    yield f.flow(table, priority + 1, {**ask, "ipv6_src": "::"})
    yield f.flow(
        table,
        priority,
        ask,
        f.Move("eth_src", "eth_dst", 48),
        f.SetField("eth_src", mac),
        f.Move("ipv6_src", "ipv6_dst", 128),
        f.SetField("ipv6_src", str(address)),
        f.SetField("icmpv6_type", _ADVERTISE),
        goto=advertise,
    )
    yield f.flow(
        advertise,
        priority,
        {**match, **icmp, "icmpv6_type": _ADVERTISE},
        f.SetField("nd_options_type", _TARGET_OPTION),
        f.SetField("ipv6_nd_tll", mac),
        f.SetField("nd_reserved", _SOLICITED_OVERRIDE | (_ROUTER if router else 0)),
        f.Output(f.IN_PORT),
    )
