"""For other people's tests: a modelled bridge, or a whole switch, in the test's own process.

pytest finds the fixtures by itself once ovsct is installed (:mod:`ovsct.testing.plugin`);
docs/testing.md is the tutorial. Outside of pytest the two classes do as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ovsct.testing.bridge import OvsBridge as OvsBridge
    from ovsct.testing.sent import Sent as Sent
    from ovsct.testing.switch import OvsSwitch as OvsSwitch

__all__ = ["OvsBridge", "OvsSwitch", "Sent"]

_PLACES = {"OvsBridge": "bridge", "OvsSwitch": "switch", "Sent": "sent"}


def __getattr__(name: str) -> Any:
    """The classes come when they are asked for: pytest loads this package in every run."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
