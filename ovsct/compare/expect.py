"""What a scenario says is to be seen, and whether it came so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from ovsct.compare.cause import Cause
from ovsct.lane import Via
from ovsct.lower.nic_reasons import NicReason
from ovsct.lower.reasons import Ignored, Reason


class Expect(BaseModel):
    """What is to be seen. ``ovsct diff --check`` looks at the first three, ``ovsct offload
    --check`` at the others; what is left out is not looked at, but for `differ`.

    `differ` are the packets that differ (none: all lanes alike), `causes` why, in the order of
    their first packets, `via` the engines that a packet meets, by lane and packet. `refused` are
    the reasons why megaflows are not in TC, each once, in order; `blamed` the flows that put the
    bits in the way into their masks; `ignored` what a filter lacks that its megaflow says;
    `not_in_nic` the reasons why filters are not in the NIC.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    differ: tuple[int, ...] = ()
    causes: tuple[Cause, ...] = ()
    via: dict[str, dict[int, tuple[Via, ...]]] = {}
    refused: tuple[Reason, ...] | None = None
    blamed: tuple[str, ...] | None = None
    ignored: tuple[Ignored, ...] | None = None
    not_in_nic: tuple[NicReason, ...] | None = None

    @property
    def about_offload(self) -> bool:
        """Whether ``ovsct offload --check`` has anything to look at."""
        return any(
            wanted is not None
            for wanted in (self.refused, self.blamed, self.ignored, self.not_in_nic)
        )

    def unmet_by_offload(
        self,
        refused: Iterable[str],
        blamed: Iterable[str],
        ignored: Iterable[str],
        not_in_nic: Iterable[str],
    ) -> Iterator[str]:
        """What of it did not come true of the offload, in words.

        Args:
            refused, ignored, not_in_nic: names of reasons, as often as they were met.
            blamed: the flows behind refused bits, as the user wrote them.
        """
        yield from _unlike("megaflows are refused for", self.refused, refused)
        yield from _unlike("filters lack", self.ignored, ignored)
        yield from _unlike("filters are not in the NIC for", self.not_in_nic, not_in_nic)
        wanted = None if self.blamed is None else [_folded(line) for line in self.blamed]
        yield from _unlike("to blame are", wanted, map(_folded, blamed))

    def unmet_via(self, seen: Mapping[tuple[str, int], Sequence[Via]]) -> Iterator[str]:
        """Which packets did not go the way they should, in words."""
        for lane, packets in self.via.items():
            for n, wanted in packets.items():
                way = seen.get((lane, n))
                if way is None:
                    yield f"there is no packet {n} in a lane {lane}"
                elif tuple(way) != wanted:
                    yield f"packet {n} goes {','.join(way)} in {lane}, not {','.join(wanted)}"


def _folded(line: str) -> str:
    return " ".join(line.split())


def _unlike(what: str, wanted: Iterable[str] | None, found: Iterable[str]) -> Iterator[str]:
    if wanted is None:
        return
    met, meant = list(dict.fromkeys(map(str, found))), list(map(str, wanted))
    if met != meant:
        yield f"{what} {_listed(met)}, not {_listed(meant)}"


def _listed(words: Sequence[str]) -> str:
    return "; ".join(words) or "nothing"
