"""A lowered pipeline as a script for ``tc``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ovsct.lower.static import Lowered
from ovsct.tc.text.write import write_command


def script_of(lowered: Lowered, ports: Iterable[int]) -> Iterator[str]:
    """The commands, each chain below a comment that says which table it is.

    Raises:
        OvsctError: ``tc`` has no words for something that a filter does.
    """
    for note in lowered.notes:
        yield f"# not as in OVS: {note}"
    for port in sorted(ports):
        yield f"tc qdisc add dev p{port} ingress"
    place = None
    for entry in lowered.filters:
        if (entry.port, entry.chain) != place:
            place = (entry.port, entry.chain)
            yield f"# port {entry.port}, chain {entry.chain}: {lowered.chains[place]}"
        yield write_command(entry)
