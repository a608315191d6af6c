"""``check_pkt_len`` in a list of actions: both branches one behind the other, and who jumps where.

OVS 3.1 ``parse_check_pkt_len_action()`` (lib/netdev-offload-tc.c) and
``get_action_index_for_tc_actions()`` (lib/tc.c). What comes out are entries in OVS's count, some of
which become several actions of TC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ovsct.bridge import odp
from ovsct.bridge.bridges import is_own
from ovsct.lower.rewrite import munges
from ovsct.tc.actions import Header
from ovsct.tc.verdict import PIPE, SHOT, STOLEN, jump

STOP: Final = -1
"""JUMP_ACTION_STOP: the packet is done."""


class Entry:
    """One action: which entry to go on at when it is done (`jump`; 0: the next), and for a
    check of the length where packets that are short enough go (`short`).
    """

    __slots__ = ("action", "jump", "short")

    def __init__(self, action: odp.OdpAction) -> None:
        self.action = action
        self.jump = 0
        self.short = 0


def lay_out(actions: Sequence[odp.OdpAction]) -> list[Entry]:
    """The entries for the actions of a megaflow."""
    entries: list[Entry] = []
    _parse(actions, entries, more=False)
    return entries


def _parse(
    actions: Sequence[odp.OdpAction], entries: list[Entry], *, more: bool
) -> Entry | None:
    """Add entries; the result is one that must skip what an outer check adds behind."""
    pending = None
    for at, action in enumerate(actions):
        last = at == len(actions) - 1 and not more
        if isinstance(action, odp.CheckPktLen):
            pending = _branch(action, entries, last)
        else:
            entries.append(Entry(action))
    return pending


def _branch(action: odp.CheckPktLen, entries: list[Entry], last: bool) -> Entry | None:
    check = Entry(action)
    entries.append(check)
    outer = [_parse(action.greater, entries, more=not last)]
    check.short = others = len(entries)
    outer.append(_parse(action.less_equal, entries, more=not last))
    none = others == len(entries)
    if none and last:
        check.short = STOP
    end = entries[others - 1]
    if last:
        end.jump = STOP
    else:
        end.jump = 0 if none else len(entries)
    for each in outer:
        if each is not None:
            each.jump = end.jump
    return None if last else end


def control_of(
    entries: Sequence[Entry], at: int, written: int, *, stale: bool, jumped: bool
) -> int:
    """The verdict of entry `at` when it is done.

    Args:
        entries: all of them.
        written: actions of TC that stand before it.
        stale: whether a checksum is still to be mended before it.
        jumped: whether the entry before jumps.
    """
    entry = entries[at]
    if entry.jump == STOP:
        return STOLEN
    if not entry.jump:
        return SHOT if at == len(entries) - 1 else PIPE
    if stale and (not _rewrites(entry) or jumped):
        written += 1
    return jump(count_from(written, entries[at : entry.jump]))


def count_from(written: int, entries: Sequence[Entry]) -> int:
    """How many actions of TC stand before what is behind `entries`."""
    stale = False
    for at, entry in enumerate(entries):
        if stale and not _rewrites(entry):
            stale = False
            written += 1
        if _rewrites(entry):
            stale = stale or _spoils(entry)
            if at == len(entries) - 1 and stale:
                stale = False
                written += 1
        elif isinstance(entry.action, odp.Output) and is_own(entry.action.port):
            written += 1
        written += 1
    return written


def _rewrites(entry: Entry) -> bool:
    return isinstance(entry.action, odp.Set) and entry.action.attribute != "mpls"


def _spoils(entry: Entry) -> bool:
    """``rewrite_pedits_need_csum_update()``."""
    assert isinstance(entry.action, odp.Set)
    return any(word.header is not Header.ETH for word in munges(entry.action))
