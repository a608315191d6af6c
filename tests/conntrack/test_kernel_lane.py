"""The lane ``ovs-kernel`` against recordings of a real ovs-vswitchd over real kernels: helpers on
translated connections, and whatever else takes a whole table of flows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.conntrack.userspace_fragments import fragment_header
from ovsct.lane import Arrival
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.openflow.text.flow_text import read_flows
from ovsct.packet.checksum import checksum
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import PROTO_TCP, parse
from tests.conntrack.netfilter_replay import RECORDED, same_table

CASES = [
    (path.stem, ".".join(record["kernel"].split(".")[:2]), case)
    for path in sorted((RECORDED / "lane").glob("*.json"))
    for record in [json.loads(path.read_text())]
    for case in record["cases"]
]


def without_sum(frame: bytes) -> tuple[bytes, bool]:
    """A frame without its TCP checksum, and whether that is right.

    A payload that the kernel has rewritten leaves with the sum of its pseudo header alone, which
    the card (or nobody, on a veth pair) is to finish.
    """
    packet = parse(frame, 1)
    if frame[12:14] == b"\x86\xdd" and SLOTS["nw_frag"].get(packet.key):
        # The identification of fragments is drawn anew.
        at = fragment_header(frame, packet.l3) + 4
        return frame[:at] + frame[at + 4 :], True
    key_proto = frame[23] if frame[12:14] == b"\x08\0" else frame[20]
    if not packet.l4 or key_proto != PROTO_TCP:
        return frame, True
    at = packet.l4 + 16
    v4 = frame[12:14] == b"\x08\0"
    ends = frame[packet.l3 + 12 : packet.l3 + 20] if v4 else frame[packet.l3 + 8 : packet.l3 + 40]
    segment = frame[packet.l4 : packet.end]
    right = checksum(segment, int.from_bytes(ends, "big") + PROTO_TCP + len(segment)) == 0
    return frame[:at] + frame[at + 2 :], right


_ANNOUNCED = re.compile(rb"PORT (?:\d+,){4}(\d+),(\d+)\r\n")


def drawn(step: dict[str, Any], ports: list[int]) -> Callable[[int, str], int]:
    """What the kernel drew in a step, told from what left."""

    def choose(size: int, why: str) -> int:
        if why.startswith("early drop") or not step["out"]:
            # Of early drop an empty bucket; of a port the last that there is.
            return size - 1
        left = bytes.fromhex(step["out"][0][1])
        if why == "expected port":
            found = [_ANNOUNCED.search(each) for each in (bytes.fromhex(step["frame"]), left)]
            wanted, taken = (int(one[1]) << 8 | int(one[2]) for one in found if one is not None)
            assert 0 < taken - wanted < size
            return taken - wanted
        packet = parse(left, 1)
        icmp = SLOTS["nw_proto"].get(packet.key) in (1, 58)
        at = packet.l4 + (4 if icmp else 0 if "source" in why else 2)
        port = int.from_bytes(left[at : at + 2], "big")
        if ports[0]:
            return port - ports[0]
        return port if icmp else port - (1 if port < 512 else 600 if port < 1024 else 1024)

    return choose


@pytest.mark.parametrize(
    ("kernel", "case"), [(kernel, case) for _, kernel, case in CASES],
    ids=[f"{name}-{case['name']}" for name, _, case in CASES],
)  # fmt: skip
def test_as_recorded(kernel: str, case: dict[str, Any]) -> None:
    bridge = Bridge((1, 2), read_flows("\n".join(case["flows"])), [])
    lane = OvsKernel(
        bridge, kernel=kernel, sysctls=case.get("sysctls"), zone_limits=case.get("zone_limits")
    )
    for number, step in enumerate(case["steps"]):
        lane.advance(step["at"])
        lane.netfilter.choose = drawn(step, case["ports"])
        out = lane.receive(Arrival(step["at"], step["port"], bytes.fromhex(step["frame"]))).out
        mine = [(each.port, *without_sum(each.frame)) for each in out]
        real = [(port, *without_sum(bytes.fromhex(frame))) for port, frame in step["out"]]
        assert [each[:2] for each in mine] == [each[:2] for each in real], f"step {number}"
        for each, (_, _, right) in zip(out, mine, strict=True):
            assert right or each.frame.hex() == step["frame"], f"step {number}"
        if "conntrack" not in step:
            continue
        problem = same_table(lane.netfilter, step["at"], step["conntrack"])
        assert problem is None, f"step {number}: {problem}"
    if "stat" in case:
        assert {column: lane.netfilter.stat[column] for column in case["stat"]} == case["stat"]
