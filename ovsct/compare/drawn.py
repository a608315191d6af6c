"""Which port a kernel's NAT drew, for the model to draw the same.

Where a translated connection meets another, the kernel looks for a free port from a random one on
(``nf_nat_l4proto_unique_tuple()``). The model asks :meth:`DrawnPorts.choose` where to begin; from
there it looks on by itself, so that it ends at the kernel's port only if that is one it may take.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ovsct.conntrack.netfilter import Netfilter

_TUPLE: Final = re.compile(
    r"src=(?P<src>\S+) dst=(?P<dst>\S+)(?: sport=(?P<sport>\d+) dport=(?P<dport>\d+))?"
    r"(?: type=\d+ code=\d+ id=(?P<id>\d+))?"
)

@dataclass(frozen=True, slots=True)
class _Connection:
    """The ports of one connection: as sent, and as answered."""

    sport: int
    dport: int
    answered_to: int
    answered_from: int

    def offset(self, source: bool, low: int) -> int | None:
        """Where the search for its port, from `low` on, began, or as good as; None: it did not."""
        port = self.answered_to if source else self.answered_from
        if port == (self.sport if source else self.dport):
            return None
        return (port - low) % 65536


class DrawnPorts:
    """Answers the model's draws by what the kernel has: the connections new since the model's.

    Args:
        netfilter: of the model; its draws are taken over.
    """

    def __init__(self, netfilter: Netfilter) -> None:
        self._netfilter = netfilter
        netfilter.choose = self.choose
        self._new: list[_Connection] = []
        self._told: set[tuple[int, bool]] = set()
        self.asked = 0
        """How often a port was drawn."""

    def look(self, before: Iterable[str], after: Iterable[str]) -> None:
        """Take down what came about between two dumps of /proc/net/nf_conntrack."""
        self._told.clear()
        known = set(map(_tuples, before))
        self._new = [
            connection
            for line in after
            if _tuples(line) not in known
            for connection in [_read(line)]
            if connection is not None
        ]

    def choose(self, size: int, why: str) -> int:
        """What :attr:`ovsct.conntrack.netfilter.core.Netfilter.choose` is to answer."""
        if not why.startswith("nat "):
            # The number of a datagram that is cut anew, which is not compared.
            return 0
        self.asked += 1
        source = why == "nat source port"
        for at, connection in enumerate(self._new):
            offset = connection.offset(source, self._netfilter.searched_from)
            # Of one connection both ports may have been drawn.
            if offset is not None and (at, source) not in self._told:
                self._told.add((at, source))
                return offset % size
        return 0


def _tuples(line: str) -> tuple[str, ...]:
    zone = line.partition(" zone=")[2].split(" ")[0]
    return (line.split()[2], zone, *(found[0] for found in _TUPLE.finditer(line)))


def _read(line: str) -> _Connection | None:
    found = [match.groupdict() for match in _TUPLE.finditer(line)]
    if len(found) != 2:
        return None
    original, reply = found
    if original["id"] is not None and reply["id"] is not None:
        asked, answered = int(original["id"]), int(reply["id"])
        return _Connection(asked, asked, answered, answered)
    if original["sport"] is None or reply["sport"] is None:
        return None
    return _Connection(
        int(original["sport"]), int(original["dport"] or 0), int(reply["dport"] or 0),
        int(reply["sport"]),
    )  # fmt: skip
