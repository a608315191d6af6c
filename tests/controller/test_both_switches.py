"""Each application with both programs at once: same requests, same packets, same results.

The controller is a real ``ryu-manager`` where ``make controller`` has been run, else os-ken's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovsct.oracle.vswitchd import Vswitchd
from tests.agent.programs import Modelled, Real
from tests.controller import (
    test_load_balancer,
    test_nat_gateway,
    test_security_groups,
    test_stateful_firewall,
)
from tests.controller.pair import Pair
from tests.controller.rig import LIBRARIES, Controller, Library

pytestmark = pytest.mark.real_ovs

SCENARIOS: dict[str, tuple[str, Callable[..., None]]] = {
    "stateful_firewall": ("", test_stateful_firewall.whole),
    "security_groups": (test_security_groups.POLICY, test_security_groups.whole),
    "nat_gateway": (test_nat_gateway.POLICY, test_nat_gateway.whole),
    "load_balancer": (test_load_balancer.POLICY + test_load_balancer.SIX, test_load_balancer.whole),
}


@pytest.fixture(scope="module")
def library() -> Library:
    usable = [library for library in reversed(LIBRARIES) if not library.missing]
    if not usable:
        pytest.skip("; ".join(str(library.missing) for library in LIBRARIES))
    return usable[0]


@pytest.fixture
def program() -> Iterator[Vswitchd]:
    """A program for each: time that was stopped in one does not go on."""
    with Vswitchd() as program:
        yield program


@pytest.mark.parametrize("app", SCENARIOS)
def test_both_do_the_same(app: str, library: Library, program: Vswitchd, tmp_path: Path) -> None:
    policy, whole = SCENARIOS[app]
    with (
        tempfile.TemporaryDirectory(prefix="ovsct-") as folder,
        Controller(library, app, tmp_path, policy) as controller,
    ):
        place = f"tcp:127.0.0.1:{controller.openflow}"
        real = Real(program)
        model = Modelled(Path(folder), "--listen", place)
        pair = None
        try:
            program.vsctl("set-controller", "br0", place)
            pair = Pair((model, real), controller)
            whole(pair)
        finally:
            if pair is not None:
                pair.close()
            code = model.stop()
        assert (code, model.errors()) == (0, "")
