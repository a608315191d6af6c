"""What is known of every packet at a point of a pipeline, without having seen one."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from ovsct.packet.fields import CT_MASK, SLOTS

_NAMES: Final = (
    "in_port", "recirc_id", "metadata", "pkt_mark", "skb_priority", "dp_hash", "conj_id",
    "actset_output", "packet_type", *(f"reg{n}" for n in range(16)),
    *(name for name in SLOTS if name.startswith("tun_")),
)  # fmt: skip
KNOWN: Final = sum(SLOTS[name].mask for name in _NAMES)
"""The fields whose values are followed: what does not stand in the packet itself."""

CONNTRACK: Final = CT_MASK
"""All that conntrack says of a packet."""


class Tag(StrEnum):
    """Whether a packet has a VLAN tag."""

    UNKNOWN = "unknown"
    NONE = "none"
    TAGGED = "tagged"


class State(NamedTuple):
    """One state: a table is a chain for each that it is entered in.

    `key` has the fields of :data:`KNOWN`. `tracked` is whether OVS sees what conntrack said of the
    packet: it does behind ``ct(table=...)``, until the next ct, and else sees zeros, whatever TC
    sees. `translated`: a nat has changed headers that OVS sees as they were.
    """

    key: int
    tag: Tag = Tag.UNKNOWN
    tracked: bool = False
    translated: bool = False

    @property
    def known(self) -> int:
        """The bits of a match that need no look at the packet."""
        return KNOWN if self.tracked else KNOWN | CONNTRACK

    def misses(self, value: int, mask: int) -> bool:
        """Whether no packet in this state matches `value` under `mask`."""
        known = mask & self.known
        return (self.key ^ value) & known != 0
