"""ICMP and ICMPv6 queries (OVS 3.1 lib/conntrack-icmp.c).

::

    commit            reply
    ------> FIRST -----------> REPLY
             | ^                | ^
             +-+ request        +-+ any packet

A request is `new` until a reply was seen; the reply and all that follows is `est`. Only a request
makes a connection. An ICMP error makes none and belongs to the connection that it quotes.
"""

from __future__ import annotations

from typing import Final

from ovsct.conntrack.userspace_timeouts import Timer

FIRST: Final = 0
REPLY: Final = 1

ON_PACKET: Final = ((FIRST, REPLY), (REPLY, REPLY))
"""State and direction (0 original, 1 reply) to the state after the packet."""

TIMERS: Final = (Timer.ICMP_FIRST, Timer.ICMP_REPLY)

NEW_TYPES: Final = frozenset((8, 13, 15))
"""Echo, timestamp and information request: what ``icmp4_valid_new()`` lets begin."""

NEW_TYPES_V6: Final = frozenset((128,))
