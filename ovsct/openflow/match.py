"""A match: a value and a mask on the layout of the flow key, and where in the text a bit is from.

`key & match.mask == match.value` says whether a key matches. The value has no bit outside the mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ovsct.openflow.actions import Span
from ovsct.packet.fields import FIELDS, SLOTS, Field, Prereq, Slot

MatchSpans: TypeAlias = tuple[tuple[int, Span], ...]
"""Pairs of (mask bits in the key, columns of the text that set them), in the order of the text."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a flow matches on: `value` under `mask`, both in place in the key.

    `spans` says which columns of the flow's text set which bits; it takes no part in equality.
    """

    value: int = 0
    mask: int = 0
    spans: MatchSpans = field(default=(), compare=False, repr=False)

    def matches(self, key: int) -> bool:
        """Whether `key` is matched."""
        return key & self.mask == self.value

    def with_field(self, of: Field, value: int, mask: int | None = None) -> Match:
        """The same match with the field `of` matched on `value` under `mask` (default: all of it).

        `value` and `mask` are the field's own, not in place. What was said of the field before is
        forgotten. Raises ValueError if either does not fit into the field.
        """
        ones = of.ones
        within = ones if mask is None else mask
        if value & ~ones or within & ~ones or value < 0 or within < 0:
            raise ValueError(f"{value:#x}/{within:#x} does not fit into {of.name}")
        return Match(
            self.value & ~of.mask | (value & within) << of.shift,
            self.mask & ~of.mask | within << of.shift,
            self.spans,
        )

    def get(self, of: Field) -> tuple[int, int]:
        """(value, mask) of one field, not in place."""
        return of.get(self.value), of.get(self.mask)

    def fields(self) -> Iterator[tuple[Slot, int, int]]:
        """(slot, value, mask) of every slot that is matched on, low end of the key first."""
        rest = self.mask
        while rest:
            bit = rest & -rest
            slot = next(s for s in SLOTS.values() if s.mask & bit)
            yield slot, slot.get(self.value), slot.get(self.mask)
            rest &= ~slot.mask

    def spans_of(self, bits: int) -> tuple[Span, ...]:
        """The columns of the text that set any of `bits` (in place in the key)."""
        return tuple(span for mask, span in self.spans if mask & bits)


PACKET_TYPE_MASK: Final = SLOTS["packet_type"].mask
HEADER_FIELDS: Final = sum(
    {field.slot: SLOTS[field.slot].mask for field in FIELDS.values()
     if field.prereq is not Prereq.NONE}.values()
)  # fmt: skip
"""What a match says of headers: the fields that need something else to be matched."""


def without_ethernet(match: Match) -> Match:
    """The match without "an Ethernet packet", where it goes without saying.

    A match on any header is one on Ethernet packets unless it names another packet type (OVS
    match_add_ethernet_prereq()); the classifier puts that in.
    """
    said = match.mask & PACKET_TYPE_MASK and not match.value & PACKET_TYPE_MASK
    if said and match.mask & HEADER_FIELDS:
        return Match(match.value, match.mask & ~PACKET_TYPE_MASK, match.spans)
    return match
