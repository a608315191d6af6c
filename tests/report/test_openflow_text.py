"""Messages as ovs-ofctl commands: they read back as the same, and the real ovs-ofctl takes them."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest

from ovsct.openflow.text.flow_mod_text import parse_flow_mod
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.text.group_text import parse_group
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.codec import decode, encode
from ovsct.openflow.wire.numbers import GROUP_ALL
from ovsct.oracle.real_ovs import RealOvs
from ovsct.oracle.vswitchd import find_program
from ovsct.packet.build import udp
from ovsct.report.openflow_text import message_text

CT = "table=1,ct_state=+new+trk,tcp actions=ct(commit,zone=5,nat(src=192.0.2.1:1-9)),resubmit(,2)"


def _mod(line: str, command: str = "add", **more: Any) -> m.FlowMod:
    flow = parse_flow(line)
    return m.FlowMod(
        command=command, table=flow.table, match=flow.match, priority=flow.priority,
        actions=flow.actions, new_cookie=flow.cookie, idle_timeout=flow.idle_timeout,
        flags=flow.flags, **more,
    )  # fmt: skip


GROUP = parse_group("group_id=3,type=select,bucket=weight:5,actions=2,bucket=weight:1,actions=3")
BODIES = (
    _mod(CT),
    _mod("cookie=0x5,idle_timeout=9,send_flow_rem,priority=7,udp actions=2"),
    _mod("table=1,tcp actions=3", "modify"),
    _mod("priority=7,udp actions=3", "modify_strict", cookie=5, cookie_mask=0xFFFFFFFFFFFFFFFF),
    m.GroupMod(command="add", type=GROUP.type, group_id=3, buckets=GROUP.buckets),
    m.MeterMod(command="add", flags=m.KBPS | m.BURST, meter_id=4,
               bands=(m.MeterBand(type="drop", rate=100, burst_size=20),)),
    _mod("ip actions=meter:4,group:3"),
    m.PacketOut(in_port=0xFFFD, actions=parse_flow("actions=2").actions,
                data=udp("10.0.0.1", "10.0.0.2", 1, 2)),
    _mod("priority=7,udp actions=drop", "delete_strict"),
    m.FlowMod(command="delete", match=parse_flow("tcp,actions=drop").match, out_port=3),
    m.MeterMod(command="delete", flags=0, meter_id=4),
    m.GroupMod(command="delete", type=GROUP.type, group_id=GROUP_ALL),
    m.FlowMod(command="delete"),
)  # fmt: skip


def _said(body: Any) -> str:
    """What is said of a message that has been on the wire."""
    return message_text(decode(encode(body, 4, 1)).body, 4)


def test_a_flow_reads_back() -> None:
    for line in (CT, "cookie=0x5,idle_timeout=9,priority=7,udp actions=2", "actions=drop"):
        *head, flow = shlex.split(_said(_mod(line)))
        assert head == ["ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0"]
        assert parse_flow(flow) == parse_flow(line)


def test_a_deletion_reads_back() -> None:
    body = m.FlowMod(command="delete", table=3, match=parse_flow("udp,actions=drop").match,
                     cookie=5, cookie_mask=7)  # fmt: skip
    *head, text = shlex.split(_said(body))
    assert head[3:] == ["del-flows", "br0"]
    read = parse_flow_mod(f"delete {text}")
    assert (read.flow.table, read.flow.match) == (3, body.match)
    assert (read.cookie, read.cookie_mask) == (5, 7)


@pytest.mark.real_ovs
def test_ovs_ofctl_takes_the_commands(real_ovs: RealOvs) -> None:
    real_ovs.reset()
    switch = f"unix:{real_ovs.program.management('br0')}"
    held = {}
    for body in BODIES:
        words = shlex.split(_said(body).replace(" br0", f" {switch}"))
        words[0] = find_program(words[0])
        done = subprocess.run(
            words, capture_output=True, text=True, env=real_ovs.program.environment(), check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), words
        held[body] = _dump(real_ovs, switch)
    after_all_mods = [line.strip() for line in held[BODIES[7]]]
    assert [line.partition("actions")[0].strip() for line in after_all_mods] == [
        "cookie=0x5, idle_timeout=9, send_flow_rem priority=7,udp",
        "ip",
        "table=1, ct_state=+new+trk,tcp",
    ]
    assert after_all_mods[0].endswith("actions=output:3")
    assert held[BODIES[-1]] == []


def _dump(real: RealOvs, switch: str) -> list[str]:
    command = [find_program("ovs-ofctl"), "-O", "OpenFlow13", "--no-stats", "dump-flows", switch]
    done = subprocess.run(
        command, capture_output=True, text=True, env=real.program.environment(), check=True
    )
    return sorted(line for line in done.stdout.splitlines() if line.startswith(" "))


def test_what_has_no_command_is_said_by_its_parts() -> None:
    packet_in = m.PacketIn(
        data=udp("10.0.0.1", "10.0.0.2", 1, 2), match=parse_flow("in_port=3,actions=drop").match,
        cookie=5, total_len=42,
    )  # fmt: skip
    assert _said(packet_in).splitlines() == [
        "packet in",
        f"    data={packet_in.data.hex()} (10.0.0.1.1 > 10.0.0.2.2: udp 0, ttl 64, 42 bytes)",
        "    match=in_port=3",
        "    reason=action",
        "    table=0",
        "    cookie=0x5",
        "    total_len=42",
        f"    buffer_id={0xFFFFFFFF}",
    ]
    assert _said(m.BarrierRequest()) == "barrier request"
    features = message_text(m.Features(datapath_id=0xAB), 4)
    assert features.splitlines()[:2] == ["features reply", "    datapath_id=0xab"]
    buffered = _mod("udp actions=2", buffer_id=7)
    assert message_text(buffered, 4).endswith("\n# and on packet 7 of the buffer")
