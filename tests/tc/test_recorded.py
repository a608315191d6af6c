"""The model against what real kernels did, case by case, each on its own kernel."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tc.replay import KERNELS, load, outputs, replay, same_connections

CASES = [(kernel, case) for kernel in KERNELS for case in load(kernel)]
IDS = [f"{kernel}-{case['name']}" for kernel, case in CASES]


@pytest.mark.parametrize(("kernel", "case"), CASES, ids=IDS)
def test_agrees_with_the_kernel(kernel: str, case: dict[str, Any]) -> None:
    got = replay(case, kernel)
    for number, step in enumerate(case["steps"]):
        assert outputs(got.out[number]) == outputs(step.get("out", [])), f"step {number}"
        if "conntrack" in step:
            seen = got.conntrack[number]
            same = same_connections(step["conntrack"], seen)
            assert same, f"step {number}: {step['conntrack']} but {seen}"
    if case["steps"]:
        seen = got.conntrack[-1]
        same = same_connections(case["conntrack"], seen)
        assert same, f"at the end: {case['conntrack']} but {seen}"
    assert got.counters == case["counters"]


@pytest.mark.parametrize(("kernel", "case"), CASES, ids=IDS)
def test_a_trace_changes_nothing(kernel: str, case: dict[str, Any]) -> None:
    assert replay(case, kernel, trace=True) == replay(case, kernel)


def test_the_comparison_can_fail() -> None:
    line = "ipv4 2 tcp 6 120 SYN_SENT src=10.0.0.1 zone=2"
    assert same_connections([line], [line.replace("120", "119")])
    assert not same_connections([line], [line.replace("120", "90")])
    assert not same_connections([line], [line.replace("SENT", "RECV")])
    assert not same_connections([line], [])
