"""``dpctl/ct-*``: how many connections there are, and how many there may be.

OVS lib/dpctl.c and lib/dpif-netdev.c, 3.1. What the kernel's conntrack answers comes out of its own
tools; the lane ``ovs-kernel`` refuses these commands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from ovsct.agent.model import ModelBridge
from ovsct.agent.unixctl import Command
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.errors import OvsctError

_DATAPATHS: Final = ("dummy@ovs-dummy", "netdev@ovs-netdev")
_DEFAULT: Final = -1
_PROTOCOLS: Final = (
    ("TCP", 6), ("UDP", 17), ("UDPLITE", 136), ("SCTP", 132), ("ICMP", 1), ("DCCP", 33),
    ("IGMP", 2),
)  # fmt: skip
_ICMPV6: Final = 58
"""OVS counts its connections apart, and prints no line of them."""


class CtCommands:
    """The commands about conntrack's limits and counts, of the datapath of `model`."""

    def __init__(self, model: ModelBridge) -> None:
        self._model = model
        self.table: dict[str, Command] = {
            "dpctl/ct-del-limits": Command("[dp] zone=N1[,N2]...", 1, 2, self._del_limits),
            "dpctl/ct-get-limits": Command("[dp] [zone=N1[,N2]...]", 0, 2, self._get_limits),
            "dpctl/ct-get-maxconns": Command("[dp]", 0, 1, self._get_maxconns),
            "dpctl/ct-get-nconns": Command("[dp]", 0, 1, self._get_nconns),
            "dpctl/ct-set-limits": Command(
                "[dp] [default=L] [zone=N,limit=L]...", 1, 1 << 16, self._set_limits
            ),
            "dpctl/ct-set-maxconns": Command("[dp] maxconns", 1, 2, self._set_maxconns),
            "dpctl/ct-stats-show": Command("[dp] [zone=zone]", 0, 2, self._stats),
        }

    def _open(self, arguments: Sequence[str], most: int) -> tuple[UserspaceTracker, Sequence[str]]:
        """The tracker, and the arguments behind the datapath's name (OVS opt_dpif_open())."""
        tracker = self._model.lane.tracker
        if not isinstance(tracker, UserspaceTracker):
            raise OvsctError("this command is modelled for ovs-userspace only")
        if arguments and arguments[0] in _DATAPATHS:
            return tracker, arguments[1:]
        if len(arguments) >= most:
            raise _refused("datapath not found")
        return tracker, arguments

    def _get_nconns(self, arguments: Sequence[str]) -> str:
        tracker, _ = self._open(arguments, 1)
        return f"{tracker.count}\n"

    def _get_maxconns(self, arguments: Sequence[str]) -> str:
        tracker, _ = self._open(arguments, 1)
        return f"{tracker.max_connections}\n"

    def _set_maxconns(self, arguments: Sequence[str]) -> str:
        tracker, _ = self._open(arguments, 2)
        tracker.max_connections = _number(arguments[-1], 32, "maxconns missing or malformed")
        return "setting maxconns successful"

    def _set_limits(self, arguments: Sequence[str]) -> str:
        tracker, words = self._open(arguments, 1 << 17)
        limits: list[tuple[int, int]] = []
        for at, word in enumerate(words):
            if word.startswith("default=") and not at:
                limits.append((_DEFAULT, _number(word[8:], 32, "invalid default limit")))
            else:
                limits.append(_zone_and_limit(word))
        for zone, limit in limits:
            tracker.set_limit(zone, limit)
        return ""

    def _del_limits(self, arguments: Sequence[str]) -> str:
        tracker, words = self._open(arguments, 2)
        for zone in _zones(words[0]):
            tracker.delete_limit(zone)
        return ""

    def _get_limits(self, arguments: Sequence[str]) -> str:
        tracker, words = self._open(arguments, 2)
        limits = tracker.limits()
        default = limits.pop(_DEFAULT, (0, 0))
        zones = _zones(words[0]) if words else sorted(limits)
        lines = [f"default limit={default[0]}"]
        for zone in zones:
            limit, count = limits.get(zone, default)
            lines.append(f"zone={zone},limit={limit},count={count}")
        return "".join(f"{line}\n" for line in lines)

    def _stats(self, arguments: Sequence[str]) -> str:
        zone = None
        if arguments and arguments[-1].startswith("zone="):
            zone = _number(arguments[-1][5:], 16, "datapath not found")
            arguments = arguments[:-1]
        tracker, words = self._open(arguments, 2)
        if words:
            raise OvsctError(f"{words[0]}: not supported here")
        counts = Counter(
            each.proto
            for each in tracker.connections(self._model.now)
            if zone is None or each.zone == zone
        )
        lines = ["Connections Stats:", f"    Total: {counts.total()}"]
        counts.pop(_ICMPV6, None)
        for name, number in _PROTOCOLS:
            if count := counts.pop(number, 0):
                lines.append(f"  {name}: {count}")
        if counts:
            lines.append(f"  Other: {counts.total()}")
        return "".join(f"{line}\n" for line in lines)


def _refused(problem: str) -> OvsctError:
    return OvsctError(f"ovs-vswitchd: {problem} (Invalid argument)")


def _number(text: str, bits: int, problem: str) -> int:
    """Digits at the head of `text`, as sscanf() reads them."""
    found = re.match(r"\d+", text)
    if found is None or int(found[0]) >> bits:
        raise _refused(problem)
    return int(found[0])


def _zones(text: str) -> list[int]:
    """OVS parse_ct_limit_zones()."""
    if not text.startswith("zone="):
        raise _refused(f"invalid argument {text}")
    return [_number(part, 16, "invalid zone") for part in text[5:].split(",") if part]


def _zone_and_limit(text: str) -> tuple[int, int]:
    """``zone=N,limit=L`` (OVS ct_dpif_parse_zone_limit_tuple())."""
    said: dict[str, int] = {}
    for part in re.split("[, ]+", text):
        key, _, value = part.partition("=")
        if not value:
            raise _refused(f"field {key} missing value")
        if key not in ("zone", "limit"):
            raise _refused(f"invalid zone limit field: {key}")
        if not value.isdecimal() or int(value) >> (16 if key == "zone" else 32):
            raise _refused(f"failed to parse field {key}")
        said[key] = int(value)
    if len(said) < 2:
        raise _refused("failed to parse zone limit")
    return said["zone"], said["limit"]
