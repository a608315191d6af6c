"""Answers to ARP requests, given by the switch itself."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address

from controller.common import flows as f


def answer(
    table: int, priority: int, mac: str, address: IPv4Address, match: Mapping[str, f.Value]
) -> f.Flow:
    """A flow that answers for an address with a MAC, where `match` holds too."""
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
