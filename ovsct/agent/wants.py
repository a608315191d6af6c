"""What a connection is told by itself: bits of reasons by kind of message and role (OVS
lib/ofp-connection.c, ofproto/connmgr.c ofconn_set_async_config()).
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from ovsct.openflow.wire.connection_forms import EXPLICIT_MISS, IMPLICIT_MISS
from ovsct.openflow.wire.messages import Async, SetAsync
from ovsct.openflow.wire.numbers import OF10, OF13, OF14

_ACTION: Final = 1 << 1
_REFINED: Final = 0b111000
"""Reasons of OpenFlow 1.4 that are "an action" before it."""

_REMOVED: Final = {OF10: 0b111, OF13: 0b1111}


class Wants:
    """The bits of one connection, as master or equal and as slave."""

    def __init__(self) -> None:
        self.bits: dict[str, tuple[int, int]] = {each.name: (0, 0) for each in fields(Async)}

    def set_default(self, version: int) -> None:
        """What it gets if it says nothing (OVS ofputil_async_cfg_default())."""
        misses = 1 << EXPLICIT_MISS | (1 << IMPLICIT_MISS if version < OF13 else 0)
        self.bits["packet_in"] = (0b111011 | misses, 0)
        self.bits["port_status"] = (0b111, 0b111)
        self.bits["flow_removed"] = (_REMOVED.get(version, 0b111111), 0)

    def change(self, message: SetAsync, version: int) -> None:
        """What it wants from now on."""
        for name, old in self.bits.items():
            new = getattr(message, name)
            self.bits[name] = (
                old[0] if new[0] is None else new[0],
                old[1] if new[1] is None else new[1],
            )
        if version < OF14:
            primary, secondary = self.bits["packet_in"]
            self.bits["packet_in"] = (_refined(primary), _refined(secondary))

    def add(self, name: str, bits: int) -> None:
        """As master or equal, these too."""
        primary, secondary = self.bits[name]
        self.bits[name] = (primary | bits, secondary)

    def has(self, name: str, reason: int, *, secondary: bool) -> bool:
        """Whether it wants to be told so for this reason."""
        return bool(self.bits[name][secondary] >> reason & 1)


def _refined(bits: int) -> int:
    return bits | _REFINED if bits & _ACTION else bits
