"""What flower sees of a connection that conntrack attached to a packet."""

from __future__ import annotations

from typing import Final

from ovsct.conntrack.netfilter.entry import (
    ESTABLISHED,
    ESTABLISHED_REPLY,
    NEW,
    RELATED,
    RELATED_REPLY,
    Entry,
)
from ovsct.packet.fields import CT_EST, CT_NEW, CT_REL, CT_RPL, CT_TRK

Attached = Entry

CT_STATES: Final[dict[int, int]] = {
    NEW: CT_TRK | CT_NEW,
    ESTABLISHED: CT_TRK | CT_EST,
    ESTABLISHED_REPLY: CT_TRK | CT_EST | CT_RPL,
    RELATED: CT_TRK | CT_REL,
    RELATED_REPLY: CT_TRK | CT_REL | CT_RPL,
}
"""ct_state by ctinfo (net/sched/cls_flower.c ``fl_ct_info_to_flower_map``).

Unlike OVS a related packet is not new, and nothing says that an address was translated.
"""
