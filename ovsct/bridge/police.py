"""Meters at work: buckets that fill with time and drain with packets.

The userspace datapath's ``dp_netdev_run_meter()`` (OVS lib/dpif-netdev.c, 3.1), for batches of one
packet. net/openvswitch/meter.c reckons alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from ovsct.openflow.meter import Meter


class Policer:
    """One meter in a datapath. Buckets are full at first.

    `dropped_by` counts packets and bytes that each band has dropped.
    """

    __slots__ = (
        "_buckets", "_longest", "_used", "bytes", "dropped", "dropped_by", "meter", "packets",
    )  # fmt: skip

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.packets = 0
        self.bytes = 0
        self.dropped = 0
        self.dropped_by = [[0, 0] for _ in meter.bands]
        self._buckets = [1000 * (band.burst_size or band.rate) for band in meter.bands]
        self._longest = max(
            (size // band.rate for size, band in zip(self._buckets, meter.bands, strict=True)),
            default=0,
        )
        self._used: int | None = None

    def passes(self, size: int, now: float) -> bool:
        """Whether a packet of `size` bytes at `now` (seconds) goes on. Time counts in whole ms."""
        moment = int(now * 1000 + 1e-6)
        elapsed = self._longest if self._used is None else max(moment - self._used, 0)
        elapsed = min(elapsed, self._longest)
        self._used = moment
        self.packets += 1
        self.bytes += size
        volume = 1000 if self.meter.packets else 8 * size
        fired: int | None = None
        fastest = 0
        for at, band in enumerate(self.meter.bands):
            full = 1000 * (band.burst_size or band.rate)
            bucket = min(self._buckets[at] + elapsed * band.rate, full)
            if bucket >= volume:
                bucket -= volume
            elif band.rate > fastest:
                # Of several the one with the highest rate acts.
                fastest, fired = band.rate, at
            self._buckets[at] = bucket
        if fired is None:
            return True
        self.dropped += 1
        self.dropped_by[fired][0] += 1
        self.dropped_by[fired][1] += size
        return False


class Policers(dict[int, Policer]):
    """The meters of a datapath by number, each set up when it is first asked for."""

    def __init__(self, meters: Sequence[Meter | None]) -> None:
        super().__init__()
        self._meters = meters

    def __missing__(self, number: int) -> Policer:
        meter = self._meters[number]
        if meter is None:
            raise KeyError(number)
        self[number] = made = Policer(meter)
        return made
