"""The switch's clock: real time, until somebody stops it and warps it (OVS lib/timeval.c)."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds since the switch began.

    Args:
        source: a clock that only goes forward, in seconds.
    """

    def __init__(self, source: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._start = source()
        self._stopped: float | None = None
        self._ahead = 0.0

    def now(self) -> float:
        """The time."""
        if self._stopped is not None:
            return self._stopped
        return self._source() - self._start + self._ahead

    def stop(self) -> None:
        """From here on only :meth:`warp` moves it (``time/stop``)."""
        self._stopped = self.now()

    def warp(self, seconds: float) -> None:
        """Move it forward, stopped or not (``time/warp``)."""
        if self._stopped is not None:
            self._stopped += seconds
        else:
            self._ahead += seconds


def nanoseconds(seconds: float) -> int:
    """A duration as messages say it: whole milliseconds, which is what OVS counts in."""
    return int(round(seconds, 6) * 1000) * 1_000_000
