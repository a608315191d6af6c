"""`ovsct switch --topology`: several bridges, each with connections of its own, as in OVS."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.bridge.bridges import Plan
from ovsct.compare.topology import read_topology
from ovsct.errors import InputError
from ovsct.oracle.real_bridges import commands
from ovsct.oracle.unixctl import Unixctl, UnixctlClosed
from ovsct.oracle.vswitchd import Vswitchd
from tests.agent.programs import Switch, neutral

TOPOLOGY = """\
title: Two bridges
bridges:
  br-int:
    ports: [1, 2]
    patches: [10 > br-ex 20]
    flows: ""
  br-ex:
    ports: [3 as 1]
    flows: ""
"""
PLANS = (
    Plan("br-int", ((1, 1), (2, 2)), ((10, "br-ex", 20),)),
    Plan("br-ex", ((1, 3),), ((20, "br-int", 10),)),
)
TCP = bytes.fromhex(
    "0200000000020200000000010800450000280000000040067cce0a0000010a00000203e8005000000000000000005002"
    "ffff6e250000"
)
FLOWS = {
    "br-int": "cookie=1,in_port=1,actions=set_field:7->reg0,output:10\n"
    "cookie=2,in_port=10,actions=group:1\ntable=1,actions=drop\n",
    "br-ex": "cookie=3,ip,in_port=20,reg0=0,actions=ct(commit,table=1)\n"
    "cookie=4,table=1,ip,actions=output:1,in_port\npriority=0,actions=normal\n",
}
GROUPS = "group_id=1,type=all,bucket=output:2\n"

Both = dict[str, Switch]
"""The bridges of one program by name."""


def bridges(of: str, folder: Path, control: Path) -> Both:
    return {
        plan.name: Switch(of, folder / f"{plan.name}.mgmt", control, folder) for plan in PLANS
    }


@pytest.fixture(scope="module")
def real() -> Iterator[Both]:
    with Vswitchd() as program:
        folder = program.directory
        words: list[str] = []
        for command in commands(PLANS, 1500, lambda name: folder / f"{name}.sock"):
            words += ["--", *command]
        program.vsctl(*words[1:])
        yield bridges("real", folder, program.control_socket)


@pytest.fixture(scope="module")
def model() -> Iterator[Both]:
    with tempfile.TemporaryDirectory(prefix="ovsct-") as name:
        folder = Path(name)
        (folder / "two.yaml").write_text(TOPOLOGY)
        with (folder / "errors").open("w+") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", "from ovsct.cli.main import main; main()", "switch",
                 "--topology", str(folder / "two.yaml"), "--management", name,
                 "--unixctl", str(folder / "ctl"), "--dummy-ports", name],
                stderr=errors, env={**os.environ, "OVSCT_DEBUG": "1"},
            )  # fmt: skip
            deadline = time.monotonic() + 60
            while not (folder / "br-ex.mgmt").exists() or not answers(folder / "ctl"):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
            yield bridges("model", folder, folder / "ctl")
            process.terminate()
            assert process.wait(10) == 0
            errors.seek(0)
            assert errors.read() == ""


def answers(control: Path) -> bool:
    try:
        Unixctl(control).close()
    except UnixctlClosed:
        return False
    return True


def frame_of(port: socket.socket) -> str:
    port.settimeout(60)
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        data += port.recv(1)
    return data[2:].hex()


def told(both: Both) -> list[str]:
    """One dialogue with both bridges: what the tools say, and the frames that leave."""
    said = []
    inner, outer = both["br-int"], both["br-ex"]
    said.append(inner.ofctl("-O", "OpenFlow13", "add-groups", "-", text=GROUPS))
    for name, switch in both.items():
        said.append(switch.ofctl("-O", "OpenFlow13", "add-flows", "-", text=FLOWS[name]))
    with inner.port(2) as two, inner.port(3) as three:
        for _ in range(2):
            inner.appctl("version")
        for _ in range(2):
            said.append(inner.appctl("netdev-dummy/receive", "p1", TCP.hex()))
            said += [f"p3: {frame_of(three)}", f"p2: {frame_of(two)}"]
        said.append(outer.ofctl("packet-out", f"in_port=1 packet={TCP.hex()} actions=1,in_port"))
        said.append(outer.ofctl("packet-out", f"in_port=20 packet={TCP.hex()} actions=1"))
        said += [f"p3: {frame_of(three)}", f"p3: {frame_of(three)}"]
        said.append(outer.appctl("netdev-dummy/receive", "p3", TCP.hex()))
        said.append(f"p2: {frame_of(two)}")
    inner.appctl("revalidator/purge")
    for switch in both.values():
        said += sorted(switch.ofctl("dump-flows").splitlines()[1:])
        said.append(switch.ofctl("-O", "OpenFlow13", "dump-ports-desc"))
    said.append(inner.ofctl("-O", "OpenFlow13", "dump-group-stats"))
    said.append(outer.ofctl("-O", "OpenFlow13", "dump-groups"))
    said.append(outer.appctl("dpctl/dump-conntrack"))
    for name in (*both, "br-no"):
        said.append(outer.appctl("fdb/show", name).partition("\novs-appctl:")[0])
    return [neutral(text) for text in said]


@pytest.mark.real_ovs
def test_one_dialogue_with_two_bridges(real: Both, model: Both) -> None:
    wanted = told(real)
    assert told(model) == wanted


@pytest.mark.real_ovs
def test_flows_of_the_datapath_by_bridge(model: Both) -> None:
    inner = model["br-int"]
    inner.appctl("netdev-dummy/receive", "p1", TCP.hex())
    inner.appctl("netdev-dummy/receive", "p3", TCP.hex())
    of_inner, of_outer = (inner.appctl("dpif/dump-flows", name) for name in model)
    assert "in_port(1)" in of_inner and "in_port(3)" not in of_inner
    assert "in_port(3)" in of_outer and "in_port(1)" not in of_outer
    assert "joined bridges" in inner.appctl("ofproto/trace", "br-int", "in_port=1")
    refused = inner.ofctl("-O", "OpenFlow13", "add-meter", "meter=1,kbps,band=type=drop,rate=5")
    assert "OFPMMFC_OUT_OF_METERS" in refused


def test_a_topology_is_the_bridges_of_a_scenario(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(TOPOLOGY)
    assert [each.plan for each in read_topology(str(file)).bridges] == [*PLANS]
    for text, says in (
        ("title: t\n", "a topology has bridges"),
        (TOPOLOGY + "events: []\n", "two.yaml:10:1: a topology has no such key: 'events'"),
        (TOPOLOGY.replace("br-ex 20", "br-no 20"), "two.yaml:5:15: a patch port to a bridge"),
        (TOPOLOGY.replace('    flows: ""\n', "", 1), "bridges br-int lacks a key: 'flows'"),
    ):
        file.write_text(text)
        with pytest.raises(InputError) as error:
            read_topology(str(file))
        assert says in str(error.value)
