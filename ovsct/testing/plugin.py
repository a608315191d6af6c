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
    from ovsct.oracle.real_ovs import RealOvs
    from ovsct.testing.bridge import OvsBridge
    from ovsct.testing.switch import OvsSwitch


@pytest.fixture
def ovs_lane() -> str:
    """What forwards in ``ovs_bridge`` and ``ovs_switch``: ``ovs-userspace``.

    Give another with ``@pytest.mark.parametrize("ovs_lane", ["ovs-kernel", "tc", "hw"])``, or with
    a fixture of this name of your own. ``real-ovs`` is a real ovs-vswitchd for ``ovs_bridge``;
    where it is not installed, the test is skipped.
    """
    return "ovs-userspace"


@pytest.fixture
def ovs_ports() -> int:
    """How many ports they have: 4, numbered from 1. May be parametrized, as ``ovs_lane`` is."""
    return 4


@pytest.fixture(scope="session")
def _ovs_programs() -> Iterator[Callable[[int], RealOvs]]:
    """One real ovs-vswitchd for each number of ports, from when it is first asked for."""
    running: dict[int, RealOvs] = {}

    def program(ports: int) -> RealOvs:
        from ovsct.oracle.real_ovs import RealOvs

        if ports not in running:
            running[ports] = RealOvs(ports=range(1, ports + 1))
        return running[ports]

    yield program
    for each in running.values():
        each.close()


@pytest.fixture
def ovs_bridge(ovs_lane: str, ovs_ports: int, _ovs_programs: Callable[[int], RealOvs]) -> OvsBridge:
    """A bridge with no flows yet (:class:`ovsct.testing.OvsBridge`)."""
    from ovsct.testing.bridge import OvsBridge

    if ovs_lane != "real-ovs":
        return OvsBridge(lane=ovs_lane, ports=ovs_ports)
    from ovsct.oracle.vswitchd import ProgramMissing
    from ovsct.testing.real import RealOvsBridge

    try:
        return RealOvsBridge(_ovs_programs(ovs_ports))
    except ProgramMissing as error:
        pytest.skip(str(error))


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
