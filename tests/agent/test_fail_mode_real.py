"""A bridge that stands alone, with no controller to reach: both switches."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from ovsct.cli.switch import switch as command
from ovsct.errors import InputError
from ovsct.oracle.vswitchd import Vswitchd
from tests.agent.programs import BRIDGE, Modelled, Real, Switch, neutral


def _told(switch: Switch) -> list[str]:
    flow = "in_port=1,dl_dst=00:00:00:00:00:09"
    trace = neutral(switch.appctl("ofproto/trace", BRIDGE, flow))
    return [
        neutral(switch.ofctl("dump-flows")),
        # The local port of a dummy datapath has a number of its own there, and a place of its own.
        trace.replace("100,", "").replace(",65534", ""),
        switch.ofctl("add-flow", "priority=1,actions=2"),
        switch.ofctl("del-flows", "--strict", "priority=0"),
        neutral(switch.ofctl("dump-flows")),
    ]


@pytest.mark.real_ovs
def test_without_a_controller_it_forwards_as_a_learning_switch_does() -> None:
    with Vswitchd() as program:
        real = Real(program)
        program.vsctl("set-fail-mode", BRIDGE, "standalone")
        wanted = _told(real)
    assert "priority=0 actions=NORMAL" in wanted[0]
    with tempfile.TemporaryDirectory(prefix="ovsct-") as folder:
        model = Modelled(Path(folder), "--fail-mode", "standalone")
        assert _told(model) == wanted
        assert model.stop() == 0


def test_beside_a_controller_it_is_refused() -> None:
    options = ("--fail-mode", "standalone", "--listen", "tcp:127.0.0.1:6653")
    done = CliRunner().invoke(command, options)
    assert isinstance(done.exception, InputError)
    assert "standalone beside a controller" in str(done.exception)
