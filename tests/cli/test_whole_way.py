"""The commands over the lanes themselves, from files to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovsct.compare.conversation import Conversation
from ovsct.compare.event_line import event_line
from ovsct.lane import Arrival
from ovsct.packet.pcapng_write import PcapngWriter

FLOWS = """\
table=0,priority=10,ip actions=ct(table=1,zone=4)
table=1,ct_state=+trk+new,ip,in_port=1 actions=ct(commit,zone=4),output:2
table=1,ct_state=+trk+est,ip,in_port=1 actions=output:2
table=1,ct_state=+trk+est,ip,in_port=2 actions=output:1
"""
LINES = [
    "0.0 web > S", "+0.1 web < SA", "+0.1 web > A", "+0.1 web > PA len 100", "+0.1 web < A",
    "+0.1 dns > len 20", "+0.1 dns < len 40", "+0.1 p2 udp 10.0.0.9:1 > 10.0.0.1:1",
    "+0.1 ping >", "+0.1 ping <", "+1 web > FA", "+0.1 web < FA", "+0.1 web > A",
]  # fmt: skip
LANES = ["ovs-userspace", "ovs-kernel", "tc", "hw"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the flows and a capture of the lines above, to stand in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text(FLOWS)
    talks = {
        "web": Conversation("tcp p1 10.0.0.1:1000 > p2 10.0.0.2:80"),
        "dns": Conversation("udp p1 10.0.0.1:4000 > p2 10.0.0.2:53"),
        "ping": Conversation("icmp p1 10.0.0.1 > p2 10.0.0.2"),
    }
    arrivals: list[Arrival] = []
    for line in LINES:
        now = arrivals[-1].at if arrivals else 0.0
        arrivals += event_line(line, now, talks)
    with (tmp_path / "e.pcapng").open("wb") as file:
        writer = PcapngWriter(file, ports=[1, 2], origin=1_700_000_000)
        for at, port, frame in arrivals:
            writer.write(at, port, frame)
    return tmp_path


def outputs(ovsct, *arguments: str) -> list[tuple[int, list[list[object]]]]:
    done = ovsct("run", "--events", "e.pcapng", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return [(line["n"], line["out"]) for line in map(json.loads, done.stdout.splitlines())]


@pytest.mark.parametrize("lane", LANES)
def test_run_ends_with_its_connections_and_flows_in_files(ovsct, here: Path, lane: str) -> None:
    arguments = ["--flows", "f", "--lane", lane, "--conntrack", "ct", "--dump-flows", "flows"]
    found = outputs(ovsct, *arguments)
    assert len(found) == len(LINES)
    assert [n for n, out in found if not out] == [8]  # nobody asked for that one
    connections = (here / "ct").read_text().splitlines()
    assert [line for line in connections if "sport=4000" in line and "zone=4" in line]
    assert all("recirc_id" in line for line in (here / "flows").read_text().splitlines())
    assert outputs(ovsct, *arguments, "--conntrack-format", "proc") == found
    assert any(line.startswith("ipv4") for line in (here / "ct").read_text().splitlines())


@pytest.mark.real_ovs
def test_run_gives_what_the_real_program_gives(ovsct, here: Path) -> None:
    real = outputs(ovsct, "--flows", "f", "--lane", "real-ovs", "--conntrack", "real")
    assert real == outputs(ovsct, "--flows", "f", "--lane", "ovs-userspace", "--conntrack", "ct")
    lines = [sorted((here / name).read_text().splitlines()) for name in ("real", "ct")]
    assert lines[0] == lines[1]


def test_the_tc_commands_that_lower_prints_do_what_the_flows_do(ovsct, here: Path) -> None:
    done = ovsct("lower", "f", "--events", "e.pcapng", "--to", "tc")
    assert done.exit_code == 0, done.output
    (here / "t").write_text(done.stdout)
    by_flows = outputs(ovsct, "--flows", "f", "--lane", "tc")
    by_tc = outputs(ovsct, "--tc-script", "t", "--lane", "tc-script")
    # What TC drops for want of a flow, a bare TC rule set drops too, for the drop is a filter.
    assert by_tc == by_flows


@pytest.mark.parametrize(("to", "says"), [("odp", "recirc_id(0)"), ("nic", "rule port=1")])
def test_lower_to_what_else_there_is(ovsct, here: Path, to: str, says: str) -> None:
    done = ovsct("lower", "f", "--events", "e.pcapng", "--to", to)
    assert done.exit_code == 0, done.output
    assert says in done.stdout


def test_trace_computes_the_state_that_others_guess(ovsct, here: Path) -> None:
    fields = "in_port={},tcp,nw_src=10.0.0.{},nw_dst=10.0.0.{},tp_src={},tp_dst={},tcp_flags={}"
    done = ovsct(
        "trace", "--flows", "f",
        fields.format(1, 1, 2, 9, 80, "syn"), fields.format(2, 2, 1, 80, 9, "+syn+ack"),
        "p1 tcp 10.0.0.1:9 > 10.0.0.2:80 A",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    first, second, third = done.stdout.strip().split("\n\n")
    assert "ct_state=new|trk, ct_zone=4" in first
    assert "ct_state=est|rpl|trk, ct_zone=4" in second
    assert "ct_state=est|trk, ct_zone=4" in third
    assert third.splitlines()[-1].strip().startswith("=> p2")


def test_diff_of_files(ovsct, here: Path) -> None:
    done = ovsct("diff", "--flows", "f", "--events", "e.pcapng", "--lanes", ",".join(LANES))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"all lanes alike: {len(LINES)} packets"


def test_a_wide_table_of_flows_and_ports_that_nobody_names(ovsct, here: Path) -> None:
    (here / "f").write_text("actions=flood\n")
    assert outputs(ovsct, "--flows", "f", "--lane", "ovs-kernel")[0][1][0][0] == 2
    found = outputs(ovsct, "--flows", "f", "--lane", "ovs-kernel", "--ports", "4")
    assert [port for port, _ in found[0][1]][:3] == [2, 3, 4]
