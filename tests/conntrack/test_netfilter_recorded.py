"""The netfilter model against what real kernels did: every packet's fate, bytes and entry."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conntrack.netfilter_replay import Replay, load, same_table

CASES = list(load("*.json"))


@pytest.mark.parametrize(
    ("kernel", "case"),
    [(kernel, case) for _, kernel, case in CASES],
    ids=[f"{name}-{case['datapath']}-{case['name'].replace(' ', '-')}" for name, _, case in CASES],
)
def test_as_recorded(kernel: str, case: dict[str, Any]) -> None:
    replay = Replay(kernel, case)
    for number, step in enumerate(case["steps"]):
        out = replay.step(step)
        assert out == step.get("out", []), f"step {number} at {step['at']}"
        problem = same_table(replay.netfilter, step["at"], step["conntrack"])
        assert problem is None, f"step {number} at {step['at']}: {problem}"


def test_recordings_are_there() -> None:
    kernels = {kernel for _, kernel, _ in CASES}
    assert kernels == {"6.1", "6.12"}
    assert len(CASES) > 250
