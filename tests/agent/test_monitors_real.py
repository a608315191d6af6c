"""``ovs-ofctl monitor SWITCH watch:...`` of both switches: the same lines."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire.codec import encode
from ovsct.openflow.wire.messages import FlowMod
from tests.agent.programs import Modelled, Real, Switch, Watcher

pytestmark = pytest.mark.real_ovs

BEFORE = (
    "in_port=1,cookie=5,actions=2",
    "table=1,tcp,tp_dst=80,idle_timeout=60,actions=resubmit(,2),3",
    "table=2,priority=5,ip,actions=ct(commit)",
)
COMMANDS = (
    "add-flow in_port=2,actions=1",
    "add-flow in_port=1,cookie=5,actions=2",
    "add-flow in_port=1,cookie=6,actions=2,3",
    "mod-flows in_port=1,actions=4",
    "mod-flows in_port=1,actions=4",
    "mod-flows cookie=5/-1,actions=1",
    "add-flow table=1,udp,hard_timeout=9,actions=drop",
    "mod-flows table=1,udp,actions=3",
    "add-flow table=3,ip,actions=clone(1),write_metadata:5",
    "del-flows table=1",
    "del-flows out_port=4",
    "del-flows",
)
WATCHES = {
    "everything": ("watch:",),
    "tcp without what is there": ("watch:!initial,tcp",),
    "to a port, and without actions": ("watch:out_port=3", "watch:table=1,!actions,!own"),
    "two that overlap": ("watch:!add,in_port=1", "watch:!delete,out_port=2"),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ovsct-") as name:
        yield Path(name)


def _seen(switch: Switch, folder: Path, version: str, watch: tuple[str, ...]) -> str:
    assert switch.ofctl("del-flows") == ""
    assert switch.ofctl("add-flows", "-", text="\n".join(BEFORE)) == ""
    watcher = Watcher(switch, folder, ("-O", version), *watch)
    for command in COMMANDS:
        assert switch.ofctl("-O", version, *command.split()) == ""
    watcher.barrier()
    return watcher.stop()


@pytest.mark.parametrize(
    ("version", "name"),
    [
        *(("OpenFlow10", name) for name in WATCHES),
        ("OpenFlow13", "everything"), ("OpenFlow13", "to a port, and without actions"),
        ("OpenFlow15", "everything"), ("OpenFlow15", "two that overlap"),
    ],
)  # fmt: skip
def test_changes_are_told_alike(
    real: Real, model: Modelled, folder: Path, version: str, name: str
) -> None:
    wanted = _seen(real, folder, version, WATCHES[name])
    assert "event=" in wanted
    assert _seen(model, folder, version, WATCHES[name]) == wanted


def _own(switch: Switch, folder: Path, version: int) -> str:
    """What a controller is told of its own doing."""
    assert switch.ofctl("del-flows") == ""
    name = {1: "OpenFlow10", 4: "OpenFlow13", 6: "OpenFlow15"}[version]
    watcher = Watcher(switch, folder, ("-O", name), "watch:!own,table=0")

    def send(body: object) -> None:
        watcher.send(encode(body, version, 0x77))
        watcher.barrier()

    nx = "nx" if version == 1 else ""
    for line in ("in_port=1,actions=2", "in_port=2,actions=1"):
        flow = parse_flow(line)
        send(FlowMod(match=flow.match, actions=flow.actions, table=0, variant=nx))
    send(FlowMod(command="delete", variant=nx))
    return watcher.stop()


@pytest.mark.parametrize("version", [1, 4, 6])
def test_one_s_own_changes_are_abbreviated(
    real: Real, model: Modelled, folder: Path, version: int
) -> None:
    wanted = _own(real, folder, version)
    assert "event=ABBREV" in wanted
    assert _own(model, folder, version) == wanted
