from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = """\
title: A flow
shows: nothing
ports: 4
lanes: [ovs-userspace]
flows: |
  actions=output:2
events:
  - 0 p1 tcp 10.0.0.1:1 > 10.0.0.2:2 S
"""


def ovsct(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.argv = {['ovsct', *arguments]!r}\n"
    code += "from ovsct.cli.main import main; main()"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify",), "--against"),
        (("verify", "--against", "real-ovs"), "in one way"),
        (("verify", "--against", "real-ovs", "--cases", "1", "--flows", "x"), "in one way"),
        (("verify", "--against", "real-ovs", "--flows", "x"), "go together"),
        (("fuzz", "--executor", "ray:1", "--corpus", "{tmp}"), "dask:ADDRESS"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    ran = ovsct(*(word.format(tmp=tmp_path / "corpus") for word in arguments))
    assert ran.returncode == 2
    assert said in ran.stderr and len(ran.stderr.splitlines()) == 1


@pytest.mark.real_ovs
def test_cases_and_scenarios(tmp_path: Path) -> None:
    ran = ovsct("verify", "--against", "real-ovs", "--cases", "3", "--first", "40")
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[-1].startswith("3 cases, ")
    assert ", 0 differences, 0 without a verdict, " in ran.stdout.splitlines()[-1]
    scenario = tmp_path / "a.yaml"
    scenario.write_text(SCENARIO)
    ran = ovsct("verify", "--against", "real-ovs", str(scenario))
    assert ran.returncode == 0 and "1 cases, 1 packets, 0 differences" in ran.stdout


@pytest.mark.real_ovs
def test_a_flow_table_and_a_capture(tmp_path: Path) -> None:
    (tmp_path / "flows").write_text("ip,actions=ct(commit),output:2\n")
    frame = "02000000000202000000000108004500001c000000004011b0230a000001c0a8000503e80051000830f7"
    (tmp_path / "events.jsonl").write_text(f'{{"at": 0, "port": 1, "frame": "{frame}"}}\n')
    ran = ovsct(
        "verify", "--against", "real-ovs", "--flows", str(tmp_path / "flows"),
        "--events", str(tmp_path / "events.jsonl"), "--every-packet",
    )  # fmt: skip
    assert ran.returncode == 0 and "1 cases, 1 packets, 0 differences" in ran.stdout


@pytest.mark.real_ovs
def test_a_campaign_keeps_its_state(tmp_path: Path) -> None:
    corpus = str(tmp_path / "corpus")
    first = ovsct("fuzz", "--cases", "4", "--corpus", corpus, "--seed", "3")
    assert first.returncode == 0 and "4 cases (4 of them now)" in first.stdout
    again = ovsct("fuzz", "--cases", "4", "--corpus", corpus, "--seed", "3")
    assert "4 cases (0 of them now)" in again.stdout
