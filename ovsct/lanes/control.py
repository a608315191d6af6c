"""What the control plane sets in a lane's conntrack: limits and timeout policies, as options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from ovsct.errors import InputError

ZoneLimits = Mapping[Any, Any]
Policies = Mapping[str, Mapping[str, int]]

DEFAULT: Final = "default"


class Controlled(Protocol):
    """A tracker of either dialect."""

    def set_limit(self, zone: int, limit: int) -> None:
        """At most `limit` connections in `zone`; -1: the default."""
        ...

    def set_policy(self, name: str, attributes: Mapping[str, int]) -> None:
        """A timeout policy."""
        ...


def set_up(tracker: Controlled, limits: ZoneLimits | None, policies: Policies | None) -> None:
    """Set zone limits (zone, or ``default``, to a number) and timeout policies (by name).

    Raises:
        InputError: a zone, limit or attribute that there is not.
    """
    for zone, limit in (limits or {}).items():
        number = -1 if zone == DEFAULT else _zone(zone)
        if not isinstance(limit, int) or limit < 0:
            raise InputError("no zone limit", token=str(limit), expected="a number of connections")
        tracker.set_limit(number, limit)
    for name, attributes in (policies or {}).items():
        tracker.set_policy(name, attributes)


def by_zone(names: Mapping[Any, str]) -> dict[int, str]:
    """Timeout policies by zone, whose numbers may be text.

    Raises:
        InputError: a zone that there is not.
    """
    return {_zone(zone): name for zone, name in names.items()}


def _zone(zone: Any) -> int:
    if str(zone).isdecimal() and int(zone) < 65536:
        return int(zone)
    raise InputError("no zone", token=str(zone), expected=f"0 to 65535, or {DEFAULT}")
