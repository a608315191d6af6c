"""controller(pause): ovs-ofctl monitor prints the continuation and lets the packet go on.

The same dialogue with the modelled switch and with a real ovs-vswitchd; what is printed, and what
leaves the ports afterwards, must be the same.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.codec import decode, encode
from ovsct.openflow.wire.continuation import Continuation
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import OF13
from ovsct.oracle.vswitchd import find_program
from tests.agent.programs import Modelled, Real, Switch, neutral

TCP = bytes.fromhex(
    "0200000000020200000000010800450000280000000040067cce0a0000010a00000203e8005000000000000000005002"
    "ffff6e250000"
)
"""A SYN of 54 bytes; port 4 is where each dialogue ends."""


@contextmanager
def monitor(switch: Switch, folder: Path, *options: str) -> Iterator[Path]:
    """ovs-ofctl monitor, which resumes what is paused; gives its log. It is ready at once."""
    log, control = folder / f"{switch.name}.log", folder / f"{switch.name}.ctl"
    log.unlink(missing_ok=True)
    with log.open("w") as errors:
        subprocess.run(
            [find_program("ovs-ofctl"), *options, "-P", "nxt_packet_in2", "--detach",
             "--no-chdir", f"--pidfile={folder / switch.name}.pid", f"--unixctl={control}",
             "monitor", f"unix:{switch.openflow}", "65534", "resume"],
            stderr=errors, check=True, timeout=30, env={**os.environ, "OVS_RUNDIR": str(folder)},
        )  # fmt: skip
    try:
        yield log
    finally:
        ask(control, "exit")


def ask(control: Path, command: str) -> None:
    subprocess.run(
        [find_program("ovs-appctl"), "-t", str(control), command],
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip


def read_frame(port: socket.socket) -> str:
    def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = port.recv(size - len(data))
            assert chunk
            data += chunk
        return data

    return exactly(int.from_bytes(exactly(2), "big")).hex()


def dialogue(
    switch: Switch, flows: str, groups: str, folder: Path, options: tuple[str, ...] = ()
) -> tuple[str, list[str]]:
    """What is printed, and the frames that leave ports 2, 3 and 4, to the one on port 4."""
    switch.ofctl("-O", "OpenFlow13", "del-groups")
    switch.ofctl("del-flows")
    if groups:
        assert switch.ofctl("-O", "OpenFlow13", "add-groups", "-", text=groups) == ""
    assert switch.ofctl("-O", "OpenFlow13", "add-flows", "-", text=flows) == ""
    with switch.port(2) as two, switch.port(3) as three, switch.port(4) as four:
        four.settimeout(60)
        for _ in range(2):
            switch.appctl("version")  # the ports have taken their connections
        with monitor(switch, folder, *options) as log:
            assert switch.appctl("netdev-dummy/receive", "p1", TCP.hex()) == ""
            frames = [f"4: {read_frame(four)}"]
            ask(folder / f"{switch.name}.ctl", "ofctl/barrier")
            text = log.read_text()
        for number, port in ((2, two), (3, three)):
            port.setblocking(False)
            try:
                while port.recv(1, socket.MSG_PEEK):
                    frames.append(f"{number}: {read_frame(port)}")
            except BlockingIOError:
                pass
    text = re.sub(r"continuation\.bridge=\S+", "continuation.bridge=UUID", neutral(text))
    return re.sub(r"odp_port=\d+", "odp_port=N", text), frames


DIALOGUES = {
    "the rest of a list": "ip,actions=set_field:7->reg0,controller(pause,userdata=01.02),"
    "dec_ttl,output:2,output:4",
    "twice": "cookie=0x12,ip,actions=controller(pause),output:2,controller(pause,userdata=ff),"
    "output:4",
    "in a table that was resubmitted to": "ip,actions=push:NXM_OF_ETH_SRC[],load:3->NXM_NX_REG1[],"
    "resubmit(,1),output:2,output:4\n"
    "cookie=0x77,table=1,ip,actions=set_field:9->metadata,controller(pause),output:3,"
    "pop:NXM_OF_ETH_DST[]",
    "with an action set": "ip,actions=controller(pause,reason=no_match),write_metadata:5,"
    "goto_table:1\ntable=1,metadata=5,actions=output:2,write_actions(output:4)",
    "an action set that is written already": "ip,actions=write_actions(dec_ttl,output:4),"
    "goto_table:1\ntable=1,cookie=5,ip,actions=controller(pause),output:3",
    "behind ct": "ip,actions=ct(commit,zone=5,exec(set_field:4->ct_mark),table=1)\n"
    "table=1,ip,ct_state=+trk,actions=controller(pause),ct_clear,output:2,resubmit(,2)\n"
    "table=2,ct_state=0/0x20,actions=output:4\ntable=2,priority=1,actions=output:3",
    "behind a ct that forked": "ip,actions=ct(commit),controller(pause,userdata=05),output:4",
    "in a clone, behind which nothing runs any more": "ip,actions=output:2,"
    "clone(set_field:1.1.1.1->ip_src,controller(pause),output:4),output:3",
    "in a bucket": "ip,actions=group:1,output:3",
    "with what was changed so far": "ip,actions=push_vlan:0x8100,set_field:0x1005->vlan_vid,"
    "set_field:2.2.2.2->ip_dst,controller(pause),pop_vlan,output:4",
    "without pause, for comparison": "ip,actions=set_field:8->reg2,"
    "controller(userdata=aa.bb,max_len=20),output:4",
}
GROUPS = "group_id=1,type=all,bucket=actions=resubmit(,1),bucket=output:2\n"
BUCKET = "\ntable=1,actions=controller(pause,userdata=01),output:4"


@pytest.mark.real_ovs
@pytest.mark.parametrize("name", DIALOGUES)
def test_what_ovs_ofctl_prints_and_resumes(
    real: Real, model: Modelled, name: str, tmp_path: Path
) -> None:
    flows, groups = DIALOGUES[name], ""
    if "group:1" in flows:
        flows, groups = flows + BUCKET, GROUPS
    wanted = dialogue(real, flows, groups, tmp_path)
    assert "NXT_PACKET_IN2" in wanted[0]
    assert dialogue(model, flows, groups, tmp_path) == wanted


@pytest.mark.real_ovs
def test_over_openflow_13_too(real: Real, model: Modelled, tmp_path: Path) -> None:
    options = ("-O", "OpenFlow13")
    flows = DIALOGUES["in a table that was resubmitted to"]
    wanted = dialogue(real, flows, "", tmp_path, options)
    assert "continuation.actions" in wanted[0]
    assert dialogue(model, flows, "", tmp_path, options) == wanted


def test_what_is_no_continuation_is_refused() -> None:
    there = Continuation(stack=(b"\x01",))
    packet = m.Resume(data=TCP, match=m.Match(), continuation=there, total_len=len(TCP))
    data = bytearray(encode(packet, OF13, 1))
    at = data.rindex(bytes.fromhex("80010005"))
    data[at + 1] = 0x70
    with pytest.raises(WireError, match="OFPBPC_BAD_TYPE"):
        decode(bytes(data))
