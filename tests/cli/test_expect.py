"""What a scenario expects, and what is said where it does not come."""

from __future__ import annotations

from pathlib import Path

import pytest

SCENARIO = """\
# A rule that was never hit.
title: t
shows: s
ports: 2
lanes: [ovs-kernel, tc]
flows: |
  table=0, ip             actions=ct(table=1)
  table=1, priority=9, ct_state=+snat actions=drop
  table=1, priority=1     actions=output:2
events:
  - 0.0 p1 udp 10.0.0.1:1 > 10.0.0.2:2
  - 0.1 p1 udp 10.0.0.1:1 > 10.0.0.2:2
expect:
"""
BLAMED = "table=1, priority=9, ct_state=+snat actions=drop"


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        (f"  refused: [ct-state]\n  blamed: ['{BLAMED}']\n", "as expected"),
        ("  refused: []\n", "megaflows are refused for ct-state, not nothing"),
        ("  refused: [ct-state]\n  blamed: [x]\n", f"to blame are {BLAMED}, not x"),
        ("  ignored: [ct-timeout]\n", "filters lack nothing, not ct-timeout"),
        ("  not_in_nic: [ttl]\n", "filters are not in the NIC for nothing, not ttl"),
    ],
)
def test_of_the_offload(ovsct, tmp_path: Path, expect: str, told: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO + expect)
    done = ovsct("offload", file, "--check")
    assert told in done.stdout.splitlines()[-1]
    assert done.exit_code == (told != "as expected")


@pytest.mark.parametrize(
    ("via", "told"),
    [
        ('{tc: {"2": [tc, datapath]}}', "as expected"),
        ('{tc: {"2": [datapath]}}', "packet 2 goes tc,datapath in tc, not datapath"),
        ('{hw: {"2": [hw]}}', "there is no packet 2 in a lane hw"),
        ('{tc: {"9": [tc]}}', "there is no packet 9 in a lane tc"),
    ],
)
def test_of_the_way(ovsct, tmp_path: Path, via: str, told: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO + f"  via: {via}\n")
    done = ovsct("diff", file, "--check")
    assert told in done.stdout.splitlines()[-1]
    assert done.exit_code == (told != "as expected")


def test_without_any_expectation_of_the_offload_check_is_an_error(ovsct, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO + "  differ: []\n")
    done = ovsct("offload", file, "--check")
    assert done.exit_code == 2
    assert "--check needs a scenario that says what it expects of the offload" in done.stderr
