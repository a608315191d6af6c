"""How ``tc`` prints a policer: rates and sizes, rounded (iproute2 lib/utils_math.c)."""

from __future__ import annotations

from typing import Final

from ovsct.tc.act_police import ticks
from ovsct.tc.actions import Police
from ovsct.tc.verdict import OK, spell

_TICKS: Final = 15.625
_STEPS: Final = ("", "K", "M", "G", "T")


def police_text(action: Police, mtu: int) -> str:
    """The line; ``{index}`` stands for the index."""
    rate = 8 * action.rate
    burst = size_of(action.rate, ticks(action.rate, action.burst))
    text = f" police {{index}} rate {_rate(rate)} burst {_size(burst)}"
    text += f" mtu {_size(mtu or 0xFFFFFFFF)} "
    if action.pkts_rate:
        packets = size_of(action.pkts_rate, ticks(action.pkts_rate, action.pkts_burst))
        text += f"pkts_rate {action.pkts_rate} pkts_burst {packets} "
    text += f"action {spell(action.control)}"
    if action.conform != OK:
        text += f"/{spell(action.conform)}"
    return f"{text} overhead 0b "


def size_of(rate: int, time: int) -> int:
    """``tc_calc_xmitsize()``: what `rate` a second comes to in a time of ticks."""
    return int(rate * (time / _TICKS) / 1_000_000)


def _rate(rate: int) -> str:
    """``tc_print_rate()``: the largest unit that leaves a whole number below 1000, rounded down."""
    step = 0
    while step < len(_STEPS) - 1 and rate >= 1000 and (rate % 1000 == 0 or rate >= 1_000_000):
        rate, step = rate // 1000, step + 1
    return f"{rate}{_STEPS[step]}bit"


def _size(size: int) -> str:
    """``sprint_size()``: a larger unit if the number is near enough to a whole one."""
    for unit, name, near in ((1 << 20, "Mb", 1024), (1 << 10, "Kb", 16)):
        whole = round(size / unit)
        if size >= unit and abs(unit * whole - size) < near:
            return f"{whole}{name}"
    return f"{size}b"
