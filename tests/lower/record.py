"""Record what a real ovs-vswitchd lowers: ``python -m tests.lower.record NAME...`` (or all).

It needs a user-mode kernel with NET_TC_SKB_EXT (``OVSCT_UML``) and Open vSwitch, both of which
run in the guest. What is already recorded was made the same way.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ovsct.compare.case import frames_of
from ovsct.lane import Arrival, Output
from ovsct.oracle.kernel.kernel_ovs import KernelOvs
from ovsct.oracle.kernel.played import Wait
from ovsct.oracle.ofctl import Text

RECORDED = Path(__file__).parent / "recorded"
PORTS = (1, 2, 3)
SHORT = "udp 10.0.0.1:1000 > 10.0.0.2:53 len 20"
LONG = "udp 10.0.0.1:1000 > 10.0.0.2:53 len 200"
CHECK = "ip actions=check_pkt_larger(100)->reg0[0],resubmit(,1)"
BOTH = [SHORT, SHORT, LONG, LONG]

LOCAL = 65534
SEND = (
    "import socket, sys; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0);"
    " s.bind(('br0', 0)); s.send(bytes.fromhex(sys.argv[1]))"
)
"""What the host of the bridge does to send a frame."""
FROM_HOST = {"from-host", "from-host-conntrack", "from-host-goes-on"}
"""Cases whose packets come from the host; those that begin with ``<`` from port 2."""

CASES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "meter-packets": (
        ["ip actions=meter:1,output:2"],
        ["meter=1 pktps burst bands=type=drop rate=10 burst_size=20"], [SHORT] * 3,
    ),
    "meter-bits": (
        ["udp actions=meter:3,output:2", "tcp actions=meter:2,output:3"],
        ["meter=2 kbps bands=type=drop rate=8", "meter=3 kbps burst bands=type=drop rate=800"
         " burst_size=160"],
        [SHORT, SHORT, "tcp 10.0.0.1:1 > 10.0.0.2:2 S", "tcp 10.0.0.1:1 > 10.0.0.2:2 S"],
    ),
    "meter-behind": (
        ["ip,nw_ttl=64 actions=meter:1,mod_nw_tos:8,resubmit(,1)",
         "table=1,actions=output:2,output:3"],
        ["meter=1 pktps bands=type=drop rate=100"], [SHORT] * 3,
    ),
    "length-two-ways": (
        [CHECK, "table=1,reg0=1 actions=output:2", "table=1,reg0=0 actions=output:3"], [], BOTH,
    ),
    "length-drop-long": (
        [CHECK, "table=1,reg0=1 actions=drop",
         "table=1,reg0=0 actions=mod_nw_tos:4,output:3,output:2"], [], BOTH,
    ),
    "length-drop-short": (
        [CHECK, "table=1,reg0=0 actions=drop",
         "table=1,reg0=1 actions=mod_nw_tos:4,output:3,output:2"], [], BOTH,
    ),
    "length-rewrites": (
        [CHECK, "table=1,reg0=1,ip actions=mod_nw_tos:4,output:3",
         "table=1,reg0=0 actions=mod_dl_src:02:00:00:00:00:77,output:3,output:2"], [], BOTH,
    ),
    "length-and-conntrack": (
        ["ip actions=output:2,check_pkt_larger(100)->reg0[0],mod_vlan_vid:5,resubmit(,1)",
         "table=1,reg0=1,ip actions=ct(table=2)", "table=1,reg0=0 actions=output:3",
         "table=2,actions=output:3"], [], BOTH,
    ),
    "length-twice": (
        ["ip actions=check_pkt_larger(100)->reg0[0],check_pkt_larger(60)->reg1[0],resubmit(,1)",
         "table=1,reg0=1 actions=output:2", "table=1,reg0=0,reg1=1 actions=output:3",
         "table=1,reg0=0,reg1=0 actions=output:2,output:3"], [],
        [SHORT, SHORT, LONG, LONG, "udp 10.0.0.1:1000 > 10.0.0.2:53"],
    ),
    "from-host": (
        ["in_port=LOCAL,ip actions=output:2", "in_port=LOCAL,arp actions=output:2,output:3"], [],
        [SHORT, SHORT, f"{SHORT} pad 100", "arp who-has 10.0.0.2 tell 10.0.0.1"] * 2,
    ),
    "from-host-conntrack": (
        ["ip,ct_state=-trk actions=ct(table=1)",
         "table=1,in_port=LOCAL,ip,ct_state=+trk+new actions=ct(commit),output:2",
         "table=1,in_port=LOCAL,ip,ct_state=+trk+est actions=output:2",
         "table=1,in_port=2,ip,ct_state=+trk+est actions=output:1"], [],
        [SHORT, SHORT, "<udp 10.0.0.2:53 > 10.0.0.1:1000 len 20"] * 2,
    ),
    "from-host-goes-on": (
        ["ip,ct_state=-trk actions=ct(table=1)",
         "table=1,in_port=LOCAL,ip actions=output(port=2,max_len=1000)"], [], [SHORT] * 3,
    ),
}  # fmt: skip
"""Flows, meters, packets into port 1."""


def record(kernel: KernelOvs, name: str) -> dict[str, Any]:
    """Run a case and put what came of it into the form of recorded/."""
    flows, meters, lines = CASES[name]
    kernel.reset(())
    kernel._ofctl.replace(Text("flows", flows), Text("groups", ()), Text("meters", meters))
    steps = []
    for number, line in enumerate(lines):
        for frame in frames_of(line.removeprefix("<")):
            out: dict[str, list[str]] = {}
            port = 2 if line.startswith("<") else LOCAL if name in FROM_HOST else 1
            for where, left in send(kernel, Arrival(1 + number * 0.07, port, frame)):
                out.setdefault(str(where), []).append(left.hex())
            steps.append({"wait": 0, "port": port, "frame": frame.hex(), "out": out})
    kernel_flows = kernel.ctl("dpctl/dump-flows", "type=ovs").splitlines()
    return {
        "name": name, "kernel": kernel.release, "ovs": "3.1.0",
        "config": "hw-offload=true tc-policy=skip_hw", "ports": list(PORTS),
        "kernel_flows": len(kernel_flows), "flows": flows, "meters": meters, "steps": steps,
        "filters": {str(port): filters(kernel.show_filters(port)) for port in PORTS}
        | ({str(LOCAL): filters(shown)} if (shown := at_egress(kernel)) else {}),
    }  # fmt: skip


def at_egress(kernel: KernelOvs) -> str:
    """The filters at the egress of the bridge's own device."""
    argv = ["/sbin/tc", "-s", "filter", "show", "dev", "br0", "egress"]
    shown: str = kernel.guest.ask("program", argv=argv)["out"]
    return shown


def send(kernel: KernelOvs, packet: Arrival) -> Sequence[Output]:
    """Hand a frame over, from the host itself if it is of the bridge's own port."""
    if packet.port != LOCAL:
        return kernel.receive(packet).out
    python = str(Path(sys.executable).resolve())
    kernel.guest.ask("program", argv=[python, "-c", SEND, packet.frame.hex()])
    return kernel.play([Wait(packet.at)])[0].out


_HEAD = re.compile(
    r"^filter protocol (?P<protocol>\S+) pref (?P<prio>\d+) flower chain (?P<chain>\d+)"
    r" handle (?P<handle>\S+)"
)
_REPORT = re.compile(
    r"skip_hw|not_in_hw|no_percpu|cookie |index |ref |Action statistics|backlog |random type|$"
)


def filters(shown: str) -> list[dict[str, Any]]:
    """The filters of a listing, without what says nothing."""
    found: list[dict[str, Any]] = []
    for line in shown.splitlines():
        words = " ".join(line.split())
        if head := _HEAD.match(line):
            found.append({
                "chain": int(head["chain"]), "prio": int(head["prio"]),
                "protocol": head["protocol"], "handle": int(head["handle"], 0), "keys": [],
                "actions": [], "packets": 0, "bytes": 0,
            })  # fmt: skip
        elif sent := re.match(r"Sent (\d+) bytes (\d+) pkt", words):
            found[-1]["bytes"] = max(found[-1]["bytes"], int(sent[1]))
            found[-1]["packets"] = max(found[-1]["packets"], int(sent[2]))
        elif action := re.match(r"action order \d+: (.*)", words):
            found[-1]["actions"].append(_plain(action[1]))
        elif words.startswith("key #"):
            found[-1]["actions"].append(words)
        elif not _REPORT.match(words) and not words.startswith("filter "):
            found[-1]["keys"].append(words)
    return found


def _plain(action: str) -> str:
    """An action without the index of a policer and without the zone that is none."""
    return re.sub(r"^(police) 0x[0-9a-f]+|^(ct.*) zone 0\b", r"\1\2", action)


def main(names: list[str]) -> None:
    """Record the cases that are named."""
    for name in names or CASES:
        # Each in a program of its own, so that recirculation ids begin with 1.
        with KernelOvs(ports=PORTS, kernel="6.1", hw_offload=True) as kernel:
            case = record(kernel, name)
            (RECORDED / f"{name}.json").write_text(json.dumps(case) + "\n")
            sys.stdout.write(f"{name}: {[len(each) for each in case['filters'].values()]}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
