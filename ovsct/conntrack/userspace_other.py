"""UDP and every protocol that has no tracker of its own (OVS 3.1 lib/conntrack-other.c).

::

    commit        orig packet             orig packet
      |          +-----------+           +-----------+
      v          |           v           |           |
    FIRST -------+        MULTIPLE <-----+           |
      |                      |
      | reply packet         | reply packet
      v                      v
    BIDIR <------------------+        every packet is `new` until BIDIR, `est` from there on

=========  ===========  ===========  ==========================
state      orig packet  reply packet  timer
=========  ===========  ===========  ==========================
FIRST      MULTIPLE     BIDIR        OTHER_FIRST
MULTIPLE   MULTIPLE     BIDIR        OTHER_MULTIPLE
BIDIR      BIDIR        BIDIR        OTHER_BIDIR
=========  ===========  ===========  ==========================
"""

from __future__ import annotations

from typing import Final

from ovsct.conntrack.userspace_timeouts import Timer

FIRST: Final = 0
MULTIPLE: Final = 1
BIDIR: Final = 2

ON_PACKET: Final = ((MULTIPLE, BIDIR), (MULTIPLE, BIDIR), (BIDIR, BIDIR))
"""State and direction (0 original, 1 reply) to the state after the packet."""

TIMERS: Final = (Timer.OTHER_FIRST, Timer.OTHER_MULTIPLE, Timer.OTHER_BIDIR)
