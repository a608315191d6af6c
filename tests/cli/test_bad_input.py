"""Whatever is wrong with what the user gave: one line that says where, and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovsct.packet import build
from ovsct.packet.pcap import PcapWriter

FLOWS = """\
table=0,priority=10,ip actions=ct(table=1)
table=1,ct_state=+trk+new,ip,in_port=1 actions=ct(commit),output:2
"""
FRAME = build.udp("10.0.0.1", "10.0.0.2", 1, 2)
RUN = ["run", "--lane", "ovs-userspace", "--json"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with right files in it, to stand in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text(FLOWS)
    (tmp_path / "e.jsonl").write_text(
        json.dumps({"at": 0, "port": 1, "frame": FRAME.hex()}) + "\n"
    )
    with (tmp_path / "a.pcap").open("wb") as file:
        writer = PcapWriter(file)
        writer.write(10.0, FRAME)
        writer.write(11.0, FRAME)
    return tmp_path


def refused(ovsct, *arguments: str) -> str:
    done = ovsct(*arguments)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        ("ipp actions=drop", "f:3:1: there is no such field or keyword: 'ipp'"),
        ("ip", "f:3:3: a flow must say its actions"),
        ("ip actions=outptu:1", "f:3:12: "),
        ("tcp,nw_src=10.0.0.256 actions=drop", "f:3:12: "),
        ("table=254 actions=drop", "f:3:7: table 254"),
        ("ip actions=ct(table=1", "f:3:14: this parenthesis is never closed"),
        ("ip actions=dec_nsh_ttl", "OFPBAC_BAD_VENDOR_TYPE"),
        ("actions=ct(table=1)", "f:3"),
        ("nsh_si=256 actions=drop", "nsh_si"),
    ],
)
def test_bad_flows(ovsct, here: Path, flow: str, says: str) -> None:
    (here / "f").write_text(FLOWS + flow + "\n")
    assert says in refused(ovsct, *RUN, "--flows", "f", "--events", "e.jsonl")
    assert says in refused(ovsct, "diff", "--flows", "f", "--events", "e.jsonl")
    assert says in refused(ovsct, "lower", "f", "--events", "e.jsonl", "--to", "odp")
    assert says in refused(ovsct, "trace", "--flows", "f", "p1 arp who-has 1.1.1.1 tell 1.1.1.2")


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("group_id=1,type=nix,bucket=output:1", "g:1"),
        ("group_id=1,type=all,bucket=outptu:1", "g:1"),
        ("type=all,bucket=output:1", "g:1"),
    ],
)
def test_bad_groups(ovsct, here: Path, group: str, says: str) -> None:
    (here / "g").write_text(group + "\n")
    text = refused(ovsct, *RUN, "--flows", "f", "--groups", "g", "--events", "e.jsonl")
    assert says in text


def test_bad_tc_commands(ovsct, here: Path) -> None:
    (here / "t").write_text("tc qdisc add dev p1 clsact\ntc filter add dev p1 ingres flower\n")
    text = refused(ovsct, "run", "--lane", "tc-script", "--tc-script", "t", "--events", "e.jsonl")
    assert "t:2" in text and "ingres" in text


@pytest.mark.parametrize("keep", [0, 3, 20, 24, 30, -1, -60])
def test_captures_cut_short(ovsct, here: Path, keep: int) -> None:
    whole = (here / "a.pcap").read_bytes()
    (here / "a.pcap").write_bytes(whole[:keep] if keep else b"")
    done = ovsct(*RUN, "--flows", "f", "--events", "a.pcap", "--port", "1")
    if keep == 24:
        assert (done.exit_code, done.stdout) == (0, "")  # a capture without a packet
        return
    assert done.exit_code == 2
    assert done.stderr.startswith("ovsct: a.pcap: ")
    assert "byte" in done.stderr or "empty" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*RUN, "--flows", "nix", "--events", "e.jsonl"], "nix: cannot be read: No such file"),
        ([*RUN, "--flows", ".", "--events", "e.jsonl"], ".: cannot be read: Is a directory"),
        ([*RUN, "--flows", "a.pcap", "--events", "e.jsonl"], "a.pcap:1: byte 0x"),
        ([*RUN, "--flows", "f", "--events", "nix.jsonl"], "nix.jsonl: cannot be read"),
        ([*RUN, "--flows", "f", "--events", "a.pcap"], "a.pcap: a .pcap does not say which port"),
        ([*RUN, "--flows", "f", "--events", "e.jsonl", "--port", "1"], "--port is for a .pcap"),
        ([*RUN, "--flows", "f", "--events", "a.pcap", "--port", "1", "--ports", "2-3"],
         "packet 1 comes in on a port that is not there: '1' (expected one of 2, 3)"),
        ([*RUN, "--flows", "f", "--events", "e.jsonl", "--ports", "x"], "no ports: 'x'"),
        ([*RUN, "--events", "e.jsonl"], "the lane ovs-userspace needs flows; give --flows FILE"),
        ([*RUN, "--flows", "f", "--events", "e.jsonl", "--set", "x"], "no setting: 'x'"),
        ([*RUN, "--flows", "f", "--events", "e.jsonl", "--set", "tcc.a=1"], "did you mean 'tc'?"),
        ([*RUN, "--flows", "f", "--events", "e.jsonl", "--set", "ovs-userspace.vlan_limt=1"],
         "has no such option: 'vlan_limt'"),
        ([*RUN, "--flows", "f", "--events", "e.jsonl", "--conntrack", "no/ct"],
         "no/ct: cannot be written"),
        (["run", "--flows", "f", "--events", "e.jsonl", "--lane", "ovs-kernl"],
         "no such lane: 'ovs-kernl'"),
        (["run", "--events", "e.jsonl", "--lane", "tc-script"], "needs tc commands"),
        (["run", "--flows", "f", "--lane", "ovs-kernel"], "nothing to run"),
        (["lower", "f", "--to", "tc"], "Missing option '--events'"),
        (["lower", "f", "--static", "--to", "nic"], "a pipeline can be lowered to TC alone: 'nic'"),
        (["run", "--nix"], "No such option"),
        (["rnu"], "No such command 'rnu'"),
        (["diff"], "nothing to compare; give a SCENARIO.yaml"),
        (["diff", "nix.yaml"], "nix.yaml: cannot be read"),
        (["diff", "f"], "f:"),
        (["diff", "s.yaml", "--flows", "f"], "--flows does not go with a scenario"),
        (["diff", "s.yaml", "--set", "tc.x=1"], "--set does not go with a scenario"),
        (["diff", "--flows", "f", "--events", "-"], "twice"),
        (["diff", "--flows", "f", "--events", "e.jsonl", "--lanes", "tc"], "two or more different"),
        (["diff", "--flows", "f", "--events", "e.jsonl", "--lanes", "tc,tc"], "two or more"),
        (["diff", "--flows", "f", "--events", "e.jsonl", "--lanes", "tc,hww"], "did you mean 'hw'"),
        (["diff", "--flows", "f", "--events", "e.jsonl", "--check"], "--check needs a scenario"),
        (["trace", "--flows", "f"], "Missing argument"),
        (["trace", "--flows", "f", "p1 tpc"], "packet 1:4: no such packet: 'tpc'"),
        (["trace", "--flows", "f", "in_port=1,tpc"], "packet 1:11: there is no such field"),
        (["trace", "--flows", "f", "--ports", "2", "p3 arp who-has 1.1.1.1 tell 1.1.1.2"],
         "packet 1: there is no such port: '3' (expected 1, 2)"),
        (["trace", "--flows", "f", "2", "1"], "packet 2: time runs backwards: '1'"),
        (["trace", "--flows", "f", "p1 udp 1.1.1.1:1 > 1.1.1.2:2 len 20 frag 16"], "piece N"),
        (["lower", "f", "--events", "e.jsonl", "--to", "nix"], "'nix' is not one of"),
        (["lower", "f", "--events", "e.jsonl"], "Missing option '--to'"),
        (["scenario", "check", "nix.yaml"], "nix.yaml: cannot be read"),
    ],
)  # fmt: skip
def test_bad_arguments(ovsct, here: Path, arguments: list[str], says: str) -> None:
    (here / "s.yaml").write_text("title: t\n")
    assert says in refused(ovsct, *arguments)


def test_a_packet_cannot_come_before_the_one_ahead(ovsct, here: Path) -> None:
    lines = [{"at": at, "port": 1, "frame": FRAME.hex()} for at in (5, 3)]
    (here / "e.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = ovsct(*RUN, "--flows", "f", "--events", "e.jsonl")
    assert done.exit_code == 2
    assert "e.jsonl:2: line 2 is of time 3.0, before the one ahead of it" in done.stderr
    assert done.stdout.startswith('{"n": 1, "at": 5.0')  # what came before it happened


def test_what_ovs_takes_in_silence_is_warned_of(ovsct, here: Path) -> None:
    (here / "f").write_text(FLOWS + "tp_src=80 actions=drop\n")
    done = ovsct(*RUN, "--flows", "f", "--events", "e.jsonl")
    assert done.exit_code == 0
    assert done.stderr.startswith("ovsct: warning: f:3: ")
    assert "columns 1 to 9" in done.stderr


def test_an_impossible_scenario_names_the_line_of_its_flow(ovsct, here: Path) -> None:
    (here / "s.yaml").write_text(
        "title: t\nshows: s\nports: 2\nlanes: [ovs-userspace, ovs-kernel]\n"
        "flows: |\n  ip actions=ct(table=1)\n  ip actions=otput:2\n"
        "events:\n  - 0 p1 udp 10.0.0.1:1 > 10.0.0.2:2\n"
    )
    assert "s.yaml:7:14: " in refused(ovsct, "diff", "s.yaml")
