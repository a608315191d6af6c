from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import ovsct as package
from ovsct.cli.main import _COMMANDS, cli
from ovsct.cli.setup import parse_ports, parse_settings
from ovsct.errors import InputError, OvsctError
from ovsct.lane import Drop, Event, EventKind, Output
from ovsct.packet.build import tcp
from tests.compare.fakes import FakeLane, dropped, sent

FLOWS = """\
table=0,priority=10,ip actions=ct(table=1)
table=1,ct_state=+trk+new,ip,in_port=1 actions=ct(commit),output:2
table=1,ct_state=+trk+est,ip,in_port=1 actions=output:2
table=1,ct_state=+trk+est,ip,in_port=2 actions=output:1
"""
SCENARIO = """\
title: A scenario
shows: that it runs
ports: 2
lanes: [one, other]
events:
  - 0.0 p1 udp 10.0.0.1:1 > 10.0.0.2:2
  - 1.0 p1 udp 10.0.0.1:1 > 10.0.0.2:3
expect:
  differ: [2]
  causes: [unexplained]
"""


# -- run ----------------------------------------------------------------------------------------


def test_run_gives_one_json_line_a_packet(ovsct, fake, events) -> None:
    (lanes) = fake("one", {2: dropped(Drop.TABLE_MISS)})
    done = ovsct("run", "--events", events, "--lane", "one", "--json")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["n"], line["at"], line["port"]) for line in lines] == [
        (1, 0.0, 1), (2, 1.5, 2), (3, 5.0, 1),
    ]  # fmt: skip
    assert lines[0]["out"] == [[2, "00" * 14]]
    assert lines[1]["drop"] == "table-miss"
    assert lanes[0].advanced == [0.0, 1.5, 5.0]
    assert lanes[0].closed


def test_run_for_people_and_as_a_summary(ovsct, fake, events) -> None:
    fake("one", {2: dropped(Drop.TABLE_MISS)})
    done = ovsct("run", "--events", events, "--lane", "one")
    assert len(done.stdout.splitlines()) == 3
    assert "dropped (table-miss)" in done.stdout
    done = ovsct("run", "--events", events, "--lane", "one", "--summary")
    assert done.stdout.splitlines()[2].split()[:4] == ["one", "3", "2", "1"]
    assert ovsct("run", "--events", events, "--lane", "one", "--summary", "--json").exit_code == 2


def test_frames_that_time_releases_are_told_beside(ovsct, fake, events, monkeypatch) -> None:
    released = Event(4.0, EventKind.FRAGMENTS_RELEASED, "late", (Output(2, b"\xab"),))
    monkeypatch.setattr(
        FakeLane, "advance", lambda self, now: [released] if now == 5.0 else [], raising=True
    )
    fake("one")
    done = ovsct("run", "--events", events, "--lane", "one", "--json")
    assert len(done.stdout.splitlines()) == 3
    assert "4.000000 fragments-released: 2 ab" in done.stderr


def test_run_reads_standard_input(ovsct, fake, events) -> None:
    fake("one")
    data = Path(events).read_bytes()
    done = ovsct("run", "--events", "-", "--ports", "2", "--lane", "one", "--json", stdin=data)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 3


def test_run_writes_connections_and_flows_at_the_end(
    ovsct, fake, events, monkeypatch, tmp_path: Path
) -> None:
    fake("one")
    monkeypatch.setattr(
        FakeLane, "dump_conntrack", lambda self, form: [f"{form} {self.n}"], raising=False
    )
    monkeypatch.setattr(FakeLane, "dump_flows", lambda self: ["a", "b"], raising=False)
    done = ovsct("run", "--events", events, "--lane", "one", "--json", "--conntrack",
                 tmp_path / "ct", "--conntrack-format", "proc", "--dump-flows", "-")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (tmp_path / "ct").read_text() == "proc 3\n"
    assert done.stdout.endswith("}\na\nb\n")


def test_a_lane_without_a_dump_says_so_before_it_runs(ovsct, fake, events) -> None:
    made = fake("one")
    done = ovsct("run", "--events", events, "--lane", "one", "--dump-flows", "x")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "the lane one has nothing for --dump-flows" in done.stderr
    assert made[0].n == 0 and made[0].closed


# -- diff ---------------------------------------------------------------------------------------


def test_diff_ends_with_0_if_all_are_alike(ovsct, fake, events) -> None:
    fake("one")
    fake("other")
    done = ovsct("diff", "--events", events, "--lanes", "one,other")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "all lanes alike: 3 packets"


def test_diff_ends_with_1_and_explains(ovsct, fake, events) -> None:
    fake("one")
    fake("other", {1: dropped(), 3: sent(Output(1, b"x"))})
    done = ovsct("diff", "--events", events, "--lanes", "one,other")
    assert done.exit_code == 1, done.output
    assert "packet 1 at 0.000000 s on p1" in done.stdout
    assert "cause: unexplained" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 of 3 packets differ: unexplained, hairpin"
    assert "\x1b" not in done.stdout
    done = ovsct("diff", "--events", events, "--lanes", "one,other", "--limit", "0")
    assert done.stdout.splitlines()[-1] == "2 of 3 packets differ, 0 explained"


def test_diff_for_programs(ovsct, fake, events) -> None:
    fake("one")
    fake("other", {3: dropped()})
    done = ovsct("diff", "--events", events, "--lanes", "one,other", "--json")
    assert done.exit_code == 1, done.output
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["n"] == 3


def test_diff_of_a_scenario(ovsct, fake, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    fake("one")
    fake("other", {2: dropped()})
    done = ovsct("diff", path)
    assert done.exit_code == 1, done.output
    assert done.stdout.startswith("A scenario\nthat it runs\n")
    assert done.stdout.splitlines()[-1] == "as expected"
    assert ovsct("diff", path, "--check").exit_code == 0
    fake("other", {1: dropped()})
    done = ovsct("diff", path, "--check")
    assert done.exit_code == 1
    assert "not as the scenario expects: packets 1 differ, not 2" in done.stdout
    fake("other", {2: sent(Output(1, b"x"))})
    done = ovsct("diff", path, "--check")
    assert (done.exit_code, "the causes are hairpin, not unexplained" in done.stdout) == (1, True)


# -- trace, lower, scenario -----------------------------------------------------------------------


def test_trace_carries_time_and_completes_sequence_numbers(ovsct, fake) -> None:
    (made) = fake("one")
    seen: list[bytes] = []
    original = FakeLane.receive

    def receive(self, packet):  # type: ignore[no-untyped-def]
        seen.append(packet.frame)
        return original(self, packet)

    FakeLane.receive = receive  # type: ignore[method-assign]
    try:
        done = ovsct(
            "trace", "--ports", "2", "--lane", "one",
            "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=9,tp_dst=80,tcp_flags=syn",
            "+0.5 p2 tcp 10.0.0.2:80 > 10.0.0.1:9 SA",
            "+30",
            "p1 tcp 10.0.0.1:9 > 10.0.0.2:80 R seq 7",
            "p2 " + tcp("10.0.0.1", "10.0.0.2", 9, 81, "S").hex(),
        )  # fmt: skip
    finally:
        FakeLane.receive = original  # type: ignore[method-assign]
    assert done.exit_code == 0, done.output
    numbers = [(int.from_bytes(f[38:42], "big"), int.from_bytes(f[42:46], "big")) for f in seen]
    assert numbers == [(1000, 0), (5000, 1001), (7, 0), (0, 0)]  # hex stays as it is
    assert made[0].advanced == [0.0, 0.5, 30.5]
    assert "1: at 0 s on p1: 10.0.0.1.9 > 10.0.0.2.80: S seq 1000" in done.stdout
    assert "3: time passes until 30.5 s" in done.stdout


def test_lower_needs_a_lane_that_installs_something(ovsct, fake, events, tmp_path, monkeypatch):
    (tmp_path / "f").write_text(FLOWS)
    fake("one")
    done = ovsct("lower", tmp_path / "f", "--events", events, "--to", "tc", "--lane", "one")
    assert done.exit_code == 2
    assert "the lane one installs nothing of this kind: 'tc'" in done.stderr
    monkeypatch.setattr(FakeLane, "lowered", lambda self, to: [f"{to} {self.n}"], raising=False)
    done = ovsct("lower", tmp_path / "f", "--events", events, "--to", "tc", "--lane", "one")
    assert (done.exit_code, done.stdout) == (0, "tc 3\n")


def test_scenario_check_and_schema(ovsct, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    text = SCENARIO.replace("lanes: [one, other]", "flows: actions=drop")
    path.write_text(text)
    done = ovsct("scenario", "check", path)
    assert (done.exit_code, done.stdout) == (0, f"{path}: 1 flows, 2 packets\n")
    assert json.loads(ovsct("scenario", "schema").stdout)["title"] == "Scenario"


# -- the command itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], *([name] for name in _COMMANDS)])
def test_help_and_version(ovsct, command: list[str]) -> None:
    done = ovsct(*command, "--help")
    assert done.exit_code == 0
    assert "Usage: ovsct" in done.stdout
    assert ovsct("--version").stdout == f"ovsct, version {package.__version__}\n"


def test_every_command_is_listed_with_its_own_words(ovsct) -> None:
    text = ovsct().stdout
    for name in _COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert name in text


def test_a_defect_is_one_line_and_exit_code_3(ovsct, fake, events, monkeypatch) -> None:
    fake("one")

    def broken(self: object, packet: object) -> None:
        raise KeyError("two\nlines")

    monkeypatch.setattr(FakeLane, "receive", broken)
    done = ovsct("run", "--events", events, "--lane", "one", "--json")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith("ovsct: defect: KeyError:")
    assert done.stderr.count("\n") == 1
    monkeypatch.setenv("OVSCT_DEBUG", "1")
    assert isinstance(ovsct("run", "--events", events, "--lane", "one").exception, KeyError)


def test_what_ovsct_itself_refuses_is_exit_code_2(ovsct, fake, events, monkeypatch) -> None:
    fake("one")

    def refuse(self: object, packet: object) -> None:
        raise OvsctError("Open vSwitch is not installed")

    monkeypatch.setattr(FakeLane, "receive", refuse)
    done = ovsct("run", "--events", events, "--lane", "one")
    assert (done.exit_code, done.stderr) == (2, "ovsct: Open vSwitch is not installed\n")


def test_nobody_reads_the_output(tmp_path: Path) -> None:
    """As in ``ovsct scenario schema | true``: no traceback."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", "from ovsct.cli.main import main; main()", "scenario", "schema"],
        stdout=write, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_starting_one_lane_imports_no_yaml_and_no_pydantic(events: str, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from ovsct.cli.main import cli\n"
        "try: cli(['run', '--events', sys.argv[1], '--lane', 'nix'])\n"
        "except SystemExit as end: assert end.code == 2\n"
        "heavy = {'pydantic', 'yaml', 'tqdm', 'networkx', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, events], check=True, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("text", "ports"),
    [("3", (1, 2, 3)), ("2-4", (2, 3, 4)), ("1,5,7-8", (1, 5, 7, 8)), ("5,", (5,)), ("9-9", (9,))],
)
def test_ports(text: str, ports: tuple[int, ...]) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize("text", ["", "0", "x", "4-2", "1-", "-1", "65280", "1-65280", ",", "1.5"])
def test_wrong_ports(text: str) -> None:
    with pytest.raises(InputError, match="no ports"):
        parse_ports(text)


def test_settings() -> None:
    assert parse_settings(["tc.kernel=6.10", "hw.offload-delay=0.5e0", "hw.profile=mlx5",
                           "ovs-kernel.vlan_limit=2", "hw.on=true"]) == {
        "tc": {"kernel": "6.10"},
        "hw": {"offload_delay": 0.5, "profile": "mlx5", "on": True},
        "ovs-kernel": {"vlan_limit": 2},
    }  # fmt: skip


BYTES = Path(__file__).parents[2] / "topologies" / "side-by-side" / "30-byte-counters.yaml"


@pytest.mark.parametrize(("lane", "octets"), [("ovs-kernel", 124), ("tc", 96), ("hw", 124)])
def test_run_takes_a_scenario(ovsct, lane: str, octets: int) -> None:
    """Two packets after the one that made the megaflow, with the Ethernet header or without."""
    done = ovsct("run", BYTES, "--lane", lane, "--summary", "--dump-flows", "-")
    assert done.exit_code == 0, done.output
    assert f"packets:2, bytes:{octets}," in done.stdout


def test_run_with_a_scenario_takes_no_flows_of_its_own(ovsct) -> None:
    done = ovsct("run", BYTES, "--lane", "tc", "--flows", BYTES)
    assert done.exit_code == 2
    assert "--flows does not go with a scenario" in done.stderr


def test_run_needs_something_to_run(ovsct) -> None:
    done = ovsct("run", "--lane", "tc")
    assert done.exit_code == 2
    assert "nothing to run" in done.stderr
