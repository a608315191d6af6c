"""``ovsct offload``: which megaflows TC gets, and whose doing it is where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

SCENARIO = Path(__file__).parents[2] / "topologies" / "never-hit-rule.yaml"


def test_the_flow_that_was_never_hit_is_named_and_underlined(ovsct) -> None:
    done = ovsct("offload", SCENARIO, "--why")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if "-dnat in table 11" in line)
    assert "looked at, not matched" in lines[at]
    assert "ct-state" in lines[at - 1]
    flow, marks = lines[at + 1], lines[at + 2]
    assert flow[marks.index("^") : marks.rindex("^") + 1] == "ct_state=+trk+dnat"
    assert "never-hit-rule.yaml:16: table=11, priority=90" in flow


def test_without_why_the_reason_alone_is_told(ovsct) -> None:
    done = ovsct("offload", SCENARIO)
    assert "ct-state: flower lacks these bits" in done.stdout
    assert "looked at" not in done.stdout


def test_every_packet_is_in_one_share(ovsct) -> None:
    done = ovsct("offload", SCENARIO, "--lane", "hw")
    rows = done.stdout.splitlines()[-4:]
    assert sum(int(row.split("%")[0].split()[-2]) for row in rows) == 14
    assert sum(float(row.split("%")[0].split()[-1]) for row in rows) == pytest.approx(100, abs=0.3)


def test_nothing_to_go_by_is_one_line(ovsct) -> None:
    done = ovsct("offload")
    assert done.exit_code == 2
    assert done.stderr.startswith("ovsct: nothing to offload")
