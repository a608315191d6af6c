"""Priorities of filters, as OVS 3.1 hands them out (netdev-offload-tc.c, get_prio_for_tc_flower()).

One for each Ethernet type (the outer one), for all ports and chains, never given back.
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.packet import ETH_IPV4, ETH_IPV6
from ovsct.tc.chains import MAX_PRIO

RESERVED: Final = {ETH_IPV4: 2, ETH_IPV6: 3}
"""TC_RESERVED_PRIORITY_IPV4 and _IPV6; 1 is for policing."""
LAST_RESERVED: Final = 3
"""TC_RESERVED_PRIORITY_MAX of 3.1. (3.4 and later have 4 for 802.1Q.)"""


class Priorities:
    """The priorities given so far. Without `multi_mask` each mask needs one of its own."""

    __slots__ = ("_given", "_last", "_multi_mask")

    def __init__(self, *, multi_mask: bool = True) -> None:
        self._multi_mask = multi_mask
        self._given: dict[tuple[int, int], int] = {}
        self._last = LAST_RESERVED

    def take(self, protocol: int, mask: int) -> int | None:
        """The priority for filters of `protocol` under `mask`; None if there are no more."""
        kind = (protocol, 0 if self._multi_mask else mask)
        known = self._given.get(kind)
        if known is not None:
            return known
        prio = RESERVED.get(protocol) if self._multi_mask else None
        if prio is None:
            if self._last == MAX_PRIO:
                return None
            self._last += 1
            prio = self._last
        self._given[kind] = prio
        return prio
