"""What a real ovs-vswitchd lowered, on a real kernel, packet by packet.

Each file of recorded/ is a run of ovs-vswitchd 3.1.0 with ``hw-offload=true tc-policy=skip_hw`` on
a user-mode Linux kernel built with NET_TC_SKB_EXT: the flows, the frames with what left the ports,
and in the end the filters with their counters, and how many flows the kernel datapath had.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.lane import Arrival
from ovsct.lanes.tc import TcLane
from ovsct.openflow.actions import OFPP_LOCAL
from ovsct.openflow.text.flow_text import read_flows
from ovsct.openflow.text.meter_text import read_meters
from tests.lower.shown import filters

CASES = sorted((Path(__file__).parent / "recorded").glob("*.json"))
STARTED = 20.0
"""Flows age from when they are used; seconds that pass before and after each packet: 0.02, 0.05."""


def load(file: Path) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(file.read_text())
    for recorded in case["filters"].values():
        for each in recorded:
            # tc prints some names in capitals (LLDP), and reads them in any case.
            each["protocol"] = each["protocol"].lower()
    return case


def run(case: dict[str, Any]) -> tuple[TcLane, list[dict[str, list[str]]]]:
    flows = read_flows("\n".join(case["flows"]), case["name"])
    meters = read_meters("\n".join(case.get("meters", ())), case["name"])
    bridge = Bridge(case["ports"], flows, meters=meters)
    lane = TcLane(bridge, kernel=".".join(case["kernel"].split(".")[:2]))
    now = STARTED
    outs = []
    for step in case["steps"]:
        now += max(step["wait"], 0.02)
        lane.advance(now)
        outcome = lane.receive(Arrival(now, step["port"], bytes.fromhex(step["frame"])))
        out: dict[str, list[str]] = {}
        for port, frame in outcome.out:
            # Nobody listens on the bridge's own port, nor is there a controller.
            if isinstance(port, int) and port != OFPP_LOCAL:
                out.setdefault(str(port), []).append(frame.hex())
        outs.append(out)
        now += 0.05
    lane.advance(now)
    return lane, outs


def test_there_are_recorded_cases() -> None:
    assert len(CASES) >= 38


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_agrees_with_real_ovs_over_a_real_kernel(file: Path) -> None:
    case = load(file)
    lane, outs = run(case)
    assert outs == [step["out"] for step in case["steps"]]
    found = {port: filters(lane, int(port)) for port in case["filters"]}
    assert found == case["filters"]
    assert len(lane.refused) == case["kernel_flows"]
