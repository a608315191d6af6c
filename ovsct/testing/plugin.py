"""The pytest plugin: fixtures for a modelled bridge and a modelled switch.

pytest loads it in every run of an environment in which ovsct is installed, so nothing of ovsct is
imported before a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ovsct.testing.bridge import OvsBridge
    from ovsct.testing.switch import OvsSwitch


@pytest.fixture
def ovs_lane() -> str:
    """What forwards in ``ovs_bridge`` and ``ovs_switch``: ``ovs-userspace``.

    Give another with ``@pytest.mark.parametrize("ovs_lane", ["ovs-kernel", "tc", "hw"])``, or with
    a fixture of this name of your own.
    """
    return "ovs-userspace"


@pytest.fixture
def ovs_ports() -> int:
    """How many ports they have: 4, numbered from 1. May be parametrized, as ``ovs_lane`` is."""
    return 4


@pytest.fixture
def ovs_bridge(ovs_lane: str, ovs_ports: int) -> OvsBridge:
    """A modelled bridge with no flows yet (:class:`ovsct.testing.OvsBridge`)."""
    from ovsct.testing.bridge import OvsBridge

    return OvsBridge(lane=ovs_lane, ports=ovs_ports)


@pytest.fixture
def make_ovs_switch() -> Iterator[Callable[..., OvsSwitch]]:
    """Makes modelled switches, which end with the test (:class:`ovsct.testing.OvsSwitch`)."""
    from ovsct.testing.switch import OvsSwitch

    with ExitStack() as running:

        def made(
            controller: str | None = None,
            *,
            lane: str = "ovs-userspace",
            ports: int = 4,
            name: str = "br0",
        ) -> OvsSwitch:
            switch = OvsSwitch(controller, lane=lane, ports=ports, name=name)
            return running.enter_context(switch)

        yield made


@pytest.fixture
def ovs_controller() -> str | None:
    """The controller that ``ovs_switch`` connects to, such as ``tcp:127.0.0.1:6653``: none.

    Define a fixture of this name that starts yours and gives its place.
    """
    return None


@pytest.fixture
def ovs_switch(
    make_ovs_switch: Callable[..., OvsSwitch],
    ovs_controller: str | None,
    ovs_lane: str,
    ovs_ports: int,
) -> OvsSwitch:
    """A modelled switch that speaks OpenFlow (:class:`ovsct.testing.OvsSwitch`)."""
    return make_ovs_switch(ovs_controller, lane=ovs_lane, ports=ovs_ports)
