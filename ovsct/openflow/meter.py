"""Meters: rates to which a flow's ``meter:ID`` holds its packets."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Band:
    """A band: what goes beyond `rate` is dropped.

    `rate` is in the meter's unit, kilobits or packets a second; `burst_size` in the same without
    the "a second" (0: as much as the rate brings in one).
    """

    rate: int
    burst_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A meter. `packets` says that it counts packets, not kilobits.

    `text`, `file` and `line` (from 1) say where it was read and take no part in equality.
    """

    meter_id: int
    packets: bool
    bands: tuple[Band, ...]
    burst: bool = False
    stats: bool = False
    text: str = field(default="", compare=False, repr=False)
    file: str | None = field(default=None, compare=False, repr=False)
    line: int | None = field(default=None, compare=False, repr=False)
