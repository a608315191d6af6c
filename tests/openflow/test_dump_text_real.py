"""What a real ovs-vswitchd dumps reads back, and prints as it was dumped."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from random import Random

import pytest

from ovsct.openflow.text.flow_text import format_flow, parse_flow, read_flows
from ovsct.openflow.text.group_text import format_group, read_groups
from ovsct.oracle.vswitchd import Vswitchd, find_program

pytestmark = pytest.mark.real_ovs
VERSIONS = ("OpenFlow10", "OpenFlow13", "OpenFlow15")


def _lines_module():  # type: ignore[no-untyped-def]
    spec = util.spec_from_file_location("flow_lines", Path(__file__).with_name("flow_lines.py"))
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LINES = _lines_module()
UNFIT = (
    "in_port_oxm",  # a set_field of OpenFlow 1.2 and later cannot name this one
    "NXM_NX_XXREG0[0..127]",
    "controller(pause,meter_id=3",  # there is no such meter, nor the next
    "meter:3",
    "group:",  # nor such a group
    "packet_type=(1",  # dumped as an IP flow of its own kind of port
    "write_metadata:3,goto_table",  # which a dump over OpenFlow 1.0 cannot say
    "encap(", "decap(",  # which OpenFlow 1.0 does not have
    ",eth ", "packet_type=(0",  # which a dump does not tell
    "clone()",  # dumped as clone(drop), which clones nothing
)
OPTIONS = (
    "", "idle_timeout=5,", "hard_timeout=7,importance=3,", "send_flow_rem,",
    "cookie=0x123,check_overlap,", "idle_timeout=1,send_flow_rem,no_byte_counts,",
)  # fmt: skip


def _flows() -> list[str]:
    """Flows that such a switch takes, each with a priority of its own."""
    random = Random(9)
    matches = LINES.MATCHES + [LINES.random_match(random) for _ in range(200)]
    lines = [f"{match} actions=drop" for match in matches]
    lines += [f"tcp,dl_vlan=7,ct_state=+trk-inv actions={actions}" for actions in LINES.ACTIONS]
    return [
        f"table={n % 3 and 1},{OPTIONS[n % len(OPTIONS)]}{line.replace('priority=7,', '')}".replace(
            " actions=", f" priority={n} actions="
        )
        for n, line in enumerate(lines)
        if not any(part in line for part in UNFIT)
    ]


class Switch:
    """A bridge of a private ovs-vswitchd, spoken to with ovs-ofctl."""

    def __init__(self, program: Vswitchd) -> None:
        self._target = f"unix:{program.management('br0')}"

    def ofctl(self, command: str, *arguments: str, text: str = "", versions: str = "") -> str:
        done = subprocess.run(
            [find_program("ovs-ofctl"), "-O", versions or ",".join(VERSIONS), *command.split(),
             self._target, *arguments],
            input=text, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    with Vswitchd() as program:
        program.vsctl(
            "add-br", "br0", "--", "set", "bridge", "br0", "datapath-type=dummy",
            "fail-mode=secure", f"protocols={','.join(VERSIONS)}",
        )  # fmt: skip
        switch = Switch(program)
        options = (f"{{class=1,type={n},len=4}}->tun_metadata{n}" for n in (0, 1, 2, 3, 4, 63))
        switch.ofctl("add-tlv-map", ",".join(options))
        yield switch


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dump_prints_as_it_was_dumped(switch: Switch, version: str) -> None:
    flows = _flows()
    switch.ofctl("del-flows")
    switch.ofctl("--bundle add-flows", "-", text="\n".join(flows))
    dumped = switch.ofctl("--no-stats dump-flows", versions=version)
    lines = [line.strip() for line in dumped.splitlines() if "actions=" in line]
    assert len(lines) == len(flows)
    for line in lines:
        # Over OpenFlow 1.5 a load of all of these bits comes back with a mask that covers them.
        whole = line.replace("/0x3->nw_ecn", "->nw_ecn")
        assert format_flow(parse_flow(line)) == whole


def test_a_dump_with_counters_says_the_flows_that_were_added(switch: Switch) -> None:
    flows = {(flow.table, flow.priority): flow for flow in map(parse_flow, _flows())}
    switch.ofctl("del-flows")
    switch.ofctl("--bundle add-flows", "-", text="\n".join(_flows()))
    dumped = read_flows(switch.ofctl("dump-flows", versions="OpenFlow15"), "dump")
    assert len(dumped) == len(flows)
    for flow in dumped:
        added = flows[flow.table, flow.priority]
        assert flow.stats is not None and flow.stats.n_packets == 0
        if "vlan" not in added.text:  # OpenFlow 1.2 and later cut a match on vlan_tci to the VID
            assert flow.match == added.match, added.text
        assert (flow.cookie, flow.idle_timeout, flow.importance, flow.flags) == (
            added.cookie, added.idle_timeout, added.importance, added.flags,
        )  # fmt: skip


def test_groups_print_as_they_are_dumped(switch: Switch) -> None:
    groups = [
        "group_id=1,type=all,bucket=output:1,bucket=output:2",
        "group_id=2,type=select,selection_method=hash,fields(ip_src,ip_dst=255.0.0.0),"
        "bucket=weight:5,watch_port:3,actions=output:1,bucket=bucket_id=7,actions=2",
        "group_id=3,type=ff,bucket=watch_port:1,actions=output:1,bucket=watch_group:1,output:2",
        "group_id=4,type=indirect,bucket=ct(commit,zone=3,nat(src=10.0.0.1)),resubmit(,5)",
        "group_id=5,type=select,bucket=set_field:5->reg0,1,bucket=weight:0,drop",
    ]
    switch.ofctl("add-groups", "-", text="\n".join(groups))
    dumped = switch.ofctl("dump-groups", versions="OpenFlow15")
    lines = sorted(line.strip() for line in dumped.splitlines() if "group_id" in line)
    read = sorted(read_groups(dumped), key=lambda group: group.group_id)
    assert [format_group(group) for group in read] == lines
    assert read == read_groups("\n".join(groups))
