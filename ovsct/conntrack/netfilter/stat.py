"""What conntrack counts of its own work: the columns of /proc/net/stat/nf_conntrack that a packet's
fate can be read from (``struct ip_conntrack_stat``).
"""

from __future__ import annotations

from typing import Final

COLUMNS: Final = ("clashres", "invalid", "insert_failed", "drop", "early_drop", "icmp_error")
"""The columns that are counted, by the kernel's names; ``entries`` is the table's own size."""


class Statistics:
    """The counters.

    `invalid`: packets that no tracker took. `icmp_error`: ICMP messages that were wrong, or about
    nothing that is known. `drop`: packets dropped because the table was full, or a tuple taken;
    of these `insert_failed` were taken ones. `early_drop`: entries evicted to make room.
    `clashres`: clashes that were merged.
    """

    __slots__ = COLUMNS

    def __init__(self) -> None:
        for column in COLUMNS:
            setattr(self, column, 0)

    clashres: int
    invalid: int
    insert_failed: int
    drop: int
    early_drop: int
    icmp_error: int

    def __getitem__(self, column: str) -> int:
        """One counter, by the kernel's name."""
        count: int = getattr(self, column)
        return count

    def line(self) -> str:
        """As ``conntrack -S`` prints it, without the columns that are not counted."""
        named = {"icmp_error": "error", "clashres": "clash_resolve"}
        return "cpu=0 " + " ".join(f"{named.get(name, name)}={self[name]}" for name in _PRINTED)


_PRINTED: Final = ("invalid", "insert_failed", "drop", "early_drop", "icmp_error", "clashres")
