"""Conntrack's state into a run and out of it: text, snapshots, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovsct.packet.build import tcp

FLOWS = """\
table=0,priority=10,ip actions=ct(table=1)
table=1,ct_state=+trk+new,ip,in_port=1 actions=ct(commit),output:2
table=1,ct_state=+trk+est,ip,in_port=1 actions=output:2
table=1,ct_state=+trk+est,ip,in_port=2 actions=output:1
"""
LINE = (
    "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80),"
    "reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=1000),protoinfo=(state=ESTABLISHED)\n"
)


def lines(first: int, last: int) -> str:
    """Packets of a connection: handshake, then data both ways."""
    there = {"src": "10.0.0.1", "dst": "10.0.0.2", "sport": 1000, "dport": 80}
    back = {"src": "10.0.0.2", "dst": "10.0.0.1", "sport": 80, "dport": 1000}
    talk = [
        (1, tcp(**there, flags=2, seq=1)), (2, tcp(**back, flags=18, seq=7, ack=2)),
        (1, tcp(**there, flags=16, seq=2, ack=8)), (2, tcp(**back, flags=24, seq=8, ack=2)),
        (1, tcp(**there, flags=17, seq=2, ack=8)), (2, tcp(**back, flags=17, seq=8, ack=3)),
    ]  # fmt: skip
    return "".join(
        json.dumps({"at": n - first, "port": port, "frame": frame.hex()}) + "\n"
        for n, (port, frame) in enumerate(talk)
        if first <= n < last
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "flows").write_text(FLOWS)
    for name, first, last in (("all", 0, 6), ("begin", 0, 3), ("rest", 3, 6)):
        (tmp_path / f"{name}.jsonl").write_text(lines(first, last))
    (tmp_path / "ct.txt").write_text(LINE)
    return tmp_path


def outputs(text: str) -> list[object]:
    return [json.loads(line)["out"] for line in text.splitlines()]


@pytest.mark.parametrize("lane", ["ovs-userspace", "ovs-kernel"])
def test_a_run_in_two_parts_is_a_run(ovsct, files: Path, lane: str) -> None:
    common = ("run", "--flows", files / "flows", "--ports", "2", "--lane", lane, "--json")
    snapshot = files / "ct.snapshot"
    whole = ovsct(*common, "--events", files / "all.jsonl")
    one = ovsct(*common, "--events", files / "begin.jsonl", "--snapshot", snapshot)
    two = ovsct(*common, "--events", files / "rest.jsonl", "--restore", snapshot)
    assert (whole.exit_code, one.exit_code, two.exit_code) == (0, 0, 0), two.output
    assert outputs(one.stdout) + outputs(two.stdout) == outputs(whole.stdout)
    alone = ovsct(*common, "--events", files / "rest.jsonl")
    assert outputs(alone.stdout) != outputs(two.stdout)


@pytest.mark.parametrize("lane", ["ovs-userspace", "ovs-kernel", "tc", "hw"])
def test_a_run_begins_with_the_connections_of_a_dump(ovsct, files: Path, lane: str) -> None:
    done = ovsct(
        "run", "--flows", files / "flows", "--ports", "2", "--lane", lane, "--json",
        "--events", files / "rest.jsonl", "--conntrack-in", files / "ct.txt",
        "--conntrack", files / "out.txt", "--conntrack-format", "dpctl-m-s",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert [port for out in outputs(done.stdout) for port, _ in out] == [1, 2, 1]  # type: ignore[attr-defined]
    (line,) = (files / "out.txt").read_text().splitlines()
    assert "timeout=" in line and "state_orig=" in line


def test_diff_begins_with_the_connections_of_a_dump(ovsct, files: Path) -> None:
    done = ovsct(
        "diff", "--flows", files / "flows", "--ports", "2", "--events", files / "rest.jsonl",
        "--lanes", "ovs-kernel,ovs-userspace,tc", "--conntrack-in", files / "ct.txt",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "all lanes alike: 3 packets" in done.output


def test_what_a_lane_cannot_take_is_named(ovsct, files: Path) -> None:
    common = ("run", "--flows", files / "flows", "--ports", "2", "--events", files / "all.jsonl")
    for arguments, words in (
        (("--lane", "tc", "--snapshot", files / "s"), "the lane tc has flow tables"),
        (("--lane", "ovs-kernel", "--restore", files / "flows"), "flows: no snapshot"),
        (("--lane", "ovs-kernel", "--conntrack-in", files / "flows"), "flows:1: cannot read"),
        (("--lane", "ovs-kernel", "--restore", files / "nowhere"), "nowhere: cannot be read"),
    ):
        done = ovsct(*common, *arguments)
        assert done.exit_code == 2
        assert words in done.stderr
    assert not (files / "s").exists()


def test_what_netfilter_counted_is_written(ovsct, files: Path) -> None:
    done = ovsct(
        "run", "topologies/syn-flood.yaml", "--lane", "ovs-kernel", "--conntrack-stat", "-",
        "--summary",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    # The honest client's first two tries, and the answers to them.
    assert done.stdout.splitlines()[-1] == (
        "cpu=0 invalid=0 insert_failed=0 drop=4 early_drop=0 error=0 clash_resolve=0"
    )
    refused = ovsct(
        "run", "topologies/syn-flood.yaml", "--lane", "ovs-userspace", "--conntrack-stat", "-"
    )
    assert refused.exit_code == 2
    assert "the lane ovs-userspace has nothing for --conntrack-stat" in refused.stderr
