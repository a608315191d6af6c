"""What of generated OpenFlow cases a kernel's datapath cannot judge, by name, with the reason."""

from __future__ import annotations

from ovsct.compare.case import Case
from ovsct.lane import Arrival


def unfit(case: Case, mtu: int) -> str | None:
    """Why a kernel cannot judge a case; None if it can."""
    for each in case.happenings():
        if isinstance(each, Arrival) and len(each.frame) > mtu + 14:
            return "a frame that is longer than the MTU"
    return None
