"""``action police`` and ``action sample`` (net/sched/act_police.c, act_sample.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ovsct.lane import Drop, StepKind
from ovsct.tc.verdict import SHOT

if TYPE_CHECKING:
    from ovsct.tc.actions import Police, Sample
    from ovsct.tc.classify import Pass
    from ovsct.tc.filters import Counter, Execute
    from ovsct.tc.ingress import TcIngress

_SECOND: Final = 1_000_000_000
ETHERNET: Final = 14
TICK: Final = 64
"""Nanoseconds of a tick (PSCHED_SHIFT), in which ``tc`` tells the kernel a burst."""
_MICROSECOND_TICKS: Final = 15.625
CELL_MTU: Final = 255 << 3
"""What the kernel takes for the mtu of a policer with a rate and without one: 255 cells of the rate
table, which ``tc`` makes for packets of up to 2047 bytes if nothing else is said.
"""


def ticks(rate: int, burst: int) -> int:
    """Of iproute2, ``tc_calc_xmittime()``: how long `burst` takes at `rate` a second, in ticks."""
    return int(1_000_000 * (burst / rate) * _MICROSECOND_TICKS) if rate else 0


class _Rate(NamedTuple):
    """``struct psched_ratecfg``: a length as nanoseconds, by one multiplication."""

    mult: int
    shift: int

    def time(self, length: int) -> int:
        return length * self.mult >> self.shift


def _rate(per_second: int) -> _Rate:
    """``psched_ratecfg_precompute__()``: as many bits as fit into 31."""
    mult, shift = 1, 0
    factor = _SECOND
    while True:
        mult = factor // per_second
        if mult & 1 << 31 or factor & 1 << 63:
            return _Rate(mult, shift)
        factor <<= 1
        shift += 1


def make_police(action: Police, counter: Counter, engine: TcIngress) -> Execute:
    """``tcf_police_act()``: one bucket for all who share the action.

    One of bytes is full when it is made, one of packets is empty.
    """
    return _Police(action, counter, engine.made_at).run


class _Police:
    """One policer; `_tokens` in nanoseconds, as of `_seen`."""

    __slots__ = ("_action", "_burst", "_by_packets", "_counter", "_mtu", "_rate", "_seen",
                 "_tokens")  # fmt: skip

    def __init__(self, action: Police, counter: Counter, made_at: float) -> None:
        self._action = action
        self._counter = counter
        self._by_packets = bool(action.pkts_rate)
        per_second = action.rate or action.pkts_rate
        burst = action.burst if action.rate else action.pkts_burst
        self._rate = _rate(per_second) if per_second else None
        self._burst = ticks(per_second, burst) * TICK
        self._mtu = action.mtu or (CELL_MTU if action.rate else 0)
        self._tokens = 0 if self._by_packets else self._burst
        self._seen = round(made_at * _SECOND)

    def run(self, p: Pass) -> int:
        length = p.length
        # At ingress the Ethernet header has been taken off; the limit counts it.
        tall = length if p.egress else length + ETHERNET
        fits = not self._mtu or tall <= self._mtu
        if fits and (self._rate is None or self._pay(p, 1 if self._by_packets else length)):
            control = self._action.conform
            # Without a rate the kernel is done before it counts.
            counted = self._rate is not None
        else:
            control = self._action.control
            self._counter.overlimits += 1
            counted = True
        if control == SHOT:
            self._counter.drops += counted
            p.drop = Drop.POLICED
        return control

    def _pay(self, p: Pass, amount: int) -> bool:
        assert self._rate is not None
        now = round(p.now * _SECOND)
        waited = min(now - self._seen, self._burst)
        left = min(waited + self._tokens, self._burst) - self._rate.time(amount)
        if left < 0:
            return False
        self._seen = now
        self._tokens = left
        return True


def make_sample(action: Sample, counter: Counter, engine: TcIngress) -> Execute:
    """``tcf_sample_act()`` at rate 1: every packet is shown to the group, and goes on."""
    control = action.control

    def sample(p: Pass) -> int:
        p.note(StepKind.FILTER, f"a copy to the psample group {action.group}")
        return control

    return sample
