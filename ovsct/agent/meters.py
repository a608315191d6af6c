"""The meters of a bridge as OpenFlow changes them (OVS ofproto/ofproto.c handle_meter_mod())."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ovsct.agent.clock import nanoseconds
from ovsct.agent.rules import Removed, Rules, first_meter
from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import Datapath
from ovsct.openflow.meter import Band, Meter
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.messages import BURST, KBPS, PKTPS, STATS, MeterBand, MeterMod
from ovsct.openflow.wire.multipart import Counter, MeterConfig, MeterStats
from ovsct.openflow.wire.numbers import METER_ALL, METER_MAX

MAX_METERS: Final = 1 << 18
MAX_BANDS: Final = 8
"""What the userspace datapath of OVS 3.1 has room for (lib/dpif-netdev.c)."""

BAND_TYPES: Final = 1 << 1
"""Bands that only drop."""

FLAGS: Final = KBPS | PKTPS | BURST | STATS
SPECIAL: Final = (0xFFFFFFFD, 0xFFFFFFFE)
"""Meters of what goes to vswitchd and to controllers."""


class Meters:
    """The meters of a bridge, as they were configured and since when they are there."""

    def __init__(self, bridge: Bridge, datapath: Datapath, rules: Rules, now: float) -> None:
        self._bridge = bridge
        self._datapath = datapath
        self._rules = rules
        self._times: dict[int, float] = {}
        self.configs: dict[int, MeterConfig] = {}
        for meter in bridge.meters:
            if meter is not None:
                self._times[meter.meter_id] = now
                self.configs[meter.meter_id] = _config(meter)

    def mod(self, message: MeterMod, now: float) -> list[Removed]:
        """Add, modify or delete; says which flows went with a meter.

        Raises WireError; nothing has changed then.
        """
        ident = message.meter_id
        if len(self._bridge.backer.bridges) > 1:
            raise WireError("OFPMMFC_OUT_OF_METERS", "joined bridges have no meters here")
        if message.command == "delete":
            return self._delete(list(self.configs) if ident == METER_ALL else [ident], now)
        if not ident or (ident > METER_MAX and ident not in SPECIAL):
            raise WireError("OFPMMFC_INVALID_METER", f"meter {ident:#x}")
        if len(message.bands) > MAX_BANDS:
            raise WireError("OFPMMFC_OUT_OF_BANDS", f"{len(message.bands)} bands")
        known = ident in self.configs
        if message.command == "add" and known:
            raise WireError("OFPMMFC_METER_EXISTS", f"meter {ident}")
        if message.command == "modify" and not known:
            raise WireError("OFPMMFC_UNKNOWN_METER", f"meter {ident}")
        self._set(_workable(message))
        self._times.setdefault(ident, now)
        return []

    def _set(self, config: MeterConfig) -> None:
        meter = Meter(
            meter_id=config.meter_id,
            packets=bool(config.flags & PKTPS),
            bands=tuple(Band(band.rate, band.burst_size) for band in config.bands),
            burst=bool(config.flags & BURST),
            stats=bool(config.flags & STATS),
        )
        slots = self._bridge.meters
        slot = self._bridge.datapath_meter(config.meter_id)
        if slot is None:
            if None in slots:
                slot = slots.index(None)
            else:
                slot = len(slots)
                slots.append(None)
        slots[slot] = meter
        self._datapath.policers.pop(slot, None)
        self.configs[config.meter_id] = config
        self._rules.decided_otherwise()

    def _delete(self, idents: list[int], now: float) -> list[Removed]:
        gone: list[Removed] = []
        for ident in idents:
            slot = self._bridge.datapath_meter(ident)
            if slot is None:
                continue
            users = [rule for rule in self._rules if first_meter(rule.flow.actions) == ident]
            gone += self._rules.remove(users, "meter_delete", now)
            self._rules.decided_otherwise()
            self._bridge.meters[slot] = None
            self._datapath.policers.pop(slot, None)
            del self.configs[ident], self._times[ident]
        return gone

    def stats(self, ident: int, now: float) -> MeterStats:
        """The counters of a meter that is there."""
        slot = self._bridge.datapath_meter(ident)
        assert slot is not None
        policer = self._datapath.policers[slot]
        users = sum(first_meter(rule.flow.actions) == ident for rule in self._rules)
        return MeterStats(
            meter_id=ident,
            flow_count=users,
            packet_count=policer.packets,
            byte_count=policer.bytes,
            duration=nanoseconds(now - self._times[ident]),
            bands=tuple(Counter(*counts) for counts in policer.dropped_by),
        )

    def chosen(self, ident: int) -> list[int]:
        """The meters that a request means. Raises WireError: there is no such meter."""
        if ident == METER_ALL:
            return list(self.configs)
        if ident not in self.configs:
            raise WireError("OFPMMFC_UNKNOWN_METER", f"meter {ident}")
        return [ident]


def _config(meter: Meter) -> MeterConfig:
    flags = PKTPS if meter.packets else KBPS
    flags |= (BURST if meter.burst else 0) | (STATS if meter.stats else 0)
    return MeterConfig(
        meter_id=meter.meter_id,
        flags=flags,
        bands=tuple(
            MeterBand(type="drop", rate=band.rate, burst_size=band.burst_size or band.rate)
            for band in meter.bands
        ),
    )


def _workable(message: MeterMod) -> MeterConfig:
    """A meter as the datapath keeps it (OVS dpif_netdev_meter_set()). Raises WireError."""
    if message.flags & ~FLAGS:
        raise WireError("OFPMMFC_BAD_FLAGS", f"meter flags {message.flags:#x}")
    for band in message.bands:
        if band.type != "drop":
            raise WireError("OFPMMFC_BAD_BAND", f"a band that does {band.type}")
        if not band.rate:
            # OVS 3.1 divides by it, and dies.
            raise WireError("OFPMMFC_BAD_RATE", "a band with the rate 0")
    return MeterConfig(
        meter_id=message.meter_id,
        flags=message.flags,
        bands=tuple(
            replace(band, burst_size=band.burst_size or band.rate) for band in message.bands
        ),
    )
