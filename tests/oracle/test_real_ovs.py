"""The lane real-ovs against the program: does it start, carry, follow the clock, and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ovsct.errors import InputError, OvsctError
from ovsct.lane import CONTROLLER, STACK, Arrival, Drop, Outcome, Output, Tuple5, Via
from ovsct.oracle.ofctl import Refused
from ovsct.oracle.real_ovs import LOCAL, Options, RealOvs, comparable
from ovsct.oracle.unixctl import UnixctlError
from ovsct.oracle.vswitchd import ProgramMissing, Vswitchd, VswitchdDied
from tests.oracle.frames import ACK, SYN, checksum, icmp_echo, tcp, udp

pytestmark = pytest.mark.real_ovs

FRAME = udp("10.0.0.1", "10.0.0.2", 1000, 2000)
BACK = udp("10.0.0.2", "10.0.0.1", 2000, 1000)


def _gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def _ports(outcome: Outcome) -> list[int | str]:
    return [output.port for output in outcome.out]


# -- one packet -------------------------------------------------------------------------------


def test_forwards_the_frame_as_it_is(real_ovs: RealOvs) -> None:
    real_ovs.reset(["in_port=1,actions=output:2"])
    assert real_ovs.receive(Arrival(0.0, 1, FRAME)) == Outcome((Output(2, FRAME),), None, ())


def test_drops_what_no_flow_matches_and_what_a_flow_drops(real_ovs: RealOvs) -> None:
    real_ovs.reset(["in_port=1,actions=drop"])
    for port in (1, 2):
        assert real_ovs.receive(Arrival(0.0, port, FRAME)) == Outcome((), Drop.ACTIONS, ())


def test_outputs_by_port_and_on_each_in_the_order_of_the_actions(real_ovs: RealOvs) -> None:
    actions = "mod_nw_tos:4,3,2,mod_nw_tos:8,2,mod_nw_tos:12,LOCAL,2,IN_PORT"
    real_ovs.reset([f"ip,in_port=1,actions={actions}"])
    out = real_ovs.receive(Arrival(0.0, 1, FRAME)).out
    assert [(output.port, output.frame[15]) for output in out] == [
        (1, 12),
        (2, 4),
        (2, 8),
        (2, 12),
        (3, 4),
        (LOCAL, 12),
    ]


def test_takes_many_frames_from_one_packet(real_ovs: RealOvs) -> None:
    copies = ",".join(f"mod_nw_ttl:{ttl},2" for ttl in range(1, 61))
    real_ovs.reset([f"ip,in_port=1,actions={copies}"])
    out = real_ovs.receive(Arrival(0.0, 1, FRAME)).out
    assert [output.frame[22] for output in out] == list(range(1, 61))


def test_says_when_the_program_would_lose_frames(real_ovs: RealOvs) -> None:
    real_ovs.reset(["in_port=1,actions=" + ",".join(["2"] * 101)])
    with pytest.raises(OvsctError, match="100 frames for port 2"):
        real_ovs.receive(Arrival(0.0, 1, FRAME))


def test_the_local_port_and_the_longest_frame(real_ovs: RealOvs) -> None:
    real_ovs.reset(["in_port=LOCAL,actions=1"])
    frame = FRAME[:12] + b"\x88\xb5" + bytes(0xFFFF - 14)
    assert real_ovs.receive(Arrival(0.0, LOCAL, frame)).out == (Output(1, frame),)


def test_each_packet_gets_its_own_outputs(real_ovs: RealOvs) -> None:
    """Four hundred packets, hit and miss, with one to three outputs: none is late or lost."""
    real_ovs.reset(["udp,tp_dst=1,actions=2", "udp,tp_dst=2,actions=2,2,3", "tcp,actions=3,4"])
    expected: dict[int, list[int | str]] = {0: [], 1: [2], 2: [2, 2, 3]}
    for number in range(400):
        frame = udp("10.0.0.1", "10.0.0.2", number + 1, number % 3, number.to_bytes(4, "big"))
        outcome = real_ovs.receive(Arrival(0.0, 1, frame))
        assert _ports(outcome) == expected[number % 3], number
        assert all(output.frame == frame for output in outcome.out), number


# -- the controller ---------------------------------------------------------------------------


def test_packet_ins(real_ovs: RealOvs) -> None:
    real_ovs.reset(["cookie=9,in_port=1,actions=controller(max_len=20),2,controller"])
    for _ in range(2):  # by upcall first, then from the datapath's own flow
        outcome = real_ovs.receive(Arrival(0.0, 1, FRAME))
        assert outcome.out == (
            Output(2, FRAME),
            Output(CONTROLLER, FRAME),  # whole: without buffers max_len cuts nothing
            Output(CONTROLLER, FRAME),
        )
        first = real_ovs.packet_ins[0]
        assert (first.reason, first.table, first.cookie) == ("action", 0, 9)
        assert first.total_length == len(FRAME)


def test_a_packet_in_for_a_ttl_that_runs_out(real_ovs: RealOvs) -> None:
    real_ovs.reset(["ip,actions=mod_nw_ttl:1,dec_ttl,2"])
    outcome = real_ovs.receive(Arrival(0.0, 1, FRAME))
    assert _ports(outcome) == [CONTROLLER]
    assert outcome.out[0].frame[22] == 1
    assert real_ovs.packet_ins[0].reason == "invalid_ttl"


def test_listening_for_packet_ins_makes_no_miss_a_packet_in(real_ovs: RealOvs) -> None:
    real_ovs.reset([])
    assert not real_ovs.receive(Arrival(0.0, 1, FRAME)).out


# -- connections and the clock ------------------------------------------------------------------

_NAT = (
    "table=0,in_port=1,tcp,actions=ct(commit,zone=4,nat(src=192.0.2.1),table=1)",
    "table=0,in_port=2,tcp,actions=ct(zone=4,nat,table=1)",
    "table=1,in_port=1,ct_state=+trk-inv,actions=2",
    "table=1,in_port=2,ct_state=+trk+est-inv,actions=1",
)


def test_a_handshake_through_source_nat(real_ovs: RealOvs) -> None:
    real_ovs.reset(_NAT)
    client, server, public = "10.0.0.1", "10.0.0.2", "192.0.2.1"
    talk = [
        (1, tcp(client, server, 5000, 80, SYN, 100), tcp(public, server, 5000, 80, SYN, 100)),
        (
            2,
            tcp(server, public, 80, 5000, SYN | ACK, 900, 101),
            tcp(server, client, 80, 5000, SYN | ACK, 900, 101),
        ),
        (
            1,
            tcp(client, server, 5000, 80, ACK, 101, 901),
            tcp(public, server, 5000, 80, ACK, 101, 901),
        ),
    ]
    states = []
    for number, (port, before, after) in enumerate(talk):
        outcome = real_ovs.receive(Arrival(number * 0.01, port, before))
        assert outcome.out == (Output(3 - port, after),)
        states.append(real_ovs.connections()[0].state)
    assert states == ["SYN_SENT", "ESTABLISHED", "ESTABLISHED"]
    (connection,) = real_ovs.connections()
    assert (connection.family, connection.proto, connection.zone) == (4, 6, 4)
    assert connection.orig[:4] == (client, server, 5000, 80)
    assert connection.reply[:4] == (server, public, 80, 5000)
    assert connection.timeout == 86400
    (line,) = real_ovs.dump_conntrack()
    assert line.startswith("tcp,orig=(src=10.0.0.1,") and "zone=4" in line


def test_a_connection_expires_with_virtual_time(real_ovs: RealOvs) -> None:
    real_ovs.reset(
        [
            "table=0,in_port=1,ip,actions=ct(commit,exec(load:7->NXM_NX_CT_MARK[],"
            "load:9->NXM_NX_CT_LABEL[64..127])),2",
            "table=0,in_port=2,ip,actions=ct(table=1)",
            "table=1,ct_state=+est,ip,actions=1",
        ]
    )
    real_ovs.receive(Arrival(1000.0, 1, FRAME))
    (connection,) = real_ovs.connections()
    assert (connection.proto, connection.timeout) == (17, 60.0)  # udp_first
    assert (connection.mark, connection.label) == (7, 9 << 64)
    assert not real_ovs.advance(1059.999)
    assert len(real_ovs.connections()) == 1
    assert not real_ovs.advance(1060.0)
    assert not real_ovs.connections()
    assert not real_ovs.receive(Arrival(1060.0, 2, BACK)).out


def test_an_icmp_connection(real_ovs: RealOvs) -> None:
    real_ovs.reset(["icmp,actions=ct(commit,zone=3),NORMAL"])
    real_ovs.receive(Arrival(0.0, 1, icmp_echo("10.0.0.1", "10.0.0.2", 77)))
    (connection,) = real_ovs.connections()
    assert connection.proto == 1
    assert connection.orig == Tuple5("10.0.0.1", "10.0.0.2", 0, 0, 77, 8, 0)
    assert connection.reply == Tuple5("10.0.0.2", "10.0.0.1", 0, 0, 77, 0, 0)
    real_ovs.receive(Arrival(1.0, 2, icmp_echo("10.0.0.2", "10.0.0.1", 77, reply=True)))
    (connection,) = real_ovs.connections()
    assert connection.timeout == 30.0  # icmp_reply


def test_long_times_pass_and_packet_ins_still_come(real_ovs: RealOvs) -> None:
    real_ovs.reset(["in_port=1,actions=controller"])
    real_ovs.receive(Arrival(0.0, 1, FRAME))
    for day in (1, 2, 3):
        assert _ports(real_ovs.receive(Arrival(day * 86400.0, 1, FRAME))) == [CONTROLLER]


def test_time_does_not_run_backwards(real_ovs: RealOvs) -> None:
    real_ovs.reset([])
    real_ovs.receive(Arrival(5.0, 1, FRAME))
    with pytest.raises(InputError, match="backwards"):
        real_ovs.receive(Arrival(4.9, 1, FRAME))


def test_a_coarse_clock_tells_where_it_stands(real_ovs: RealOvs) -> None:
    real_ovs.reset(["ip,actions=ct(commit),2"], options=Options(resolution=1.0))
    real_ovs.receive(Arrival(0.5, 1, FRAME))
    real_ovs.advance(60.4)
    assert real_ovs.clock(60.4) == 59.5
    assert len(real_ovs.connections()) == 1
    real_ovs.advance(60.5)
    assert not real_ovs.connections()
    with pytest.raises(InputError, match="resolution"):
        Options(resolution=0.0004)
    real_ovs.reset([], options=Options())


# -- between cases ----------------------------------------------------------------------------


def test_reset_leaves_nothing_of_the_case_before(real_ovs: RealOvs) -> None:
    real_ovs.reset(
        ["ip,actions=ct(commit,table=1)", "table=1,actions=group:1"],
        ["group_id=1,type=all,bucket=output:2,bucket=output:3"],
    )
    assert _ports(real_ovs.receive(Arrival(7.0, 1, FRAME))) == [2, 3]
    assert real_ovs.dump_flows() and real_ovs.dump_conntrack()
    real_ovs.reset(["actions=4"], settle=True)
    assert not real_ovs.dump_flows() and not real_ovs.dump_conntrack()
    assert len(real_ovs.flow_stats()) == 1
    assert _ports(real_ovs.receive(Arrival(0.0, 1, FRAME))) == [4]


def test_reset_leaves_no_fragment_behind(real_ovs: RealOvs) -> None:
    flows = ["ip,actions=ct(commit,table=1)", "table=1,actions=2"]
    held = bytearray(udp("10.0.0.1", "10.0.0.2", 1, 2, bytes(1400)))
    held[20] |= 0x20  # more fragments
    held[24:26] = b"\0\0"
    held[24:26] = checksum(bytes(held[14:34])).to_bytes(2, "big")
    real_ovs.reset(flows)
    assert not real_ovs.receive(Arrival(0.0, 1, bytes(held))).out
    late = [_ports(real_ovs.receive(Arrival(at, 1, FRAME))) for at in (16.0, 17.0)]
    assert late == [[2, 2], [2]]  # expired, it leaves with the next packet
    real_ovs.receive(Arrival(18.0, 1, bytes(held)))
    real_ovs.reset(flows)
    for at in (0.0, 16.0, 32.0):
        assert _ports(real_ovs.receive(Arrival(at, 1, FRAME))) == [2]


def test_flow_stats_count_every_packet(real_ovs: RealOvs) -> None:
    real_ovs.reset(["udp,actions=2", "priority=0,actions=drop"])
    for _ in range(3):
        real_ovs.receive(Arrival(0.0, 1, FRAME))
    assert any(
        "n_packets=3" in line and line.endswith("udp,actions=output:2")
        for line in real_ovs.flow_stats()
    )


def test_add_flows_takes_effect_on_the_next_packet(real_ovs: RealOvs) -> None:
    real_ovs.reset(["actions=2"])
    real_ovs.receive(Arrival(0.0, 1, FRAME))
    real_ovs.add_flows(["delete", "priority=7,udp,actions=3"])
    assert _ports(real_ovs.receive(Arrival(0.0, 1, FRAME))) == [3]


def test_fragment_mode_and_meters(real_ovs: RealOvs) -> None:
    first = bytearray(FRAME)
    first[20] |= 0x20  # more fragments
    first[24:26] = b"\0\0"
    flows = ["udp,tp_dst=2000,actions=2", "priority=1,actions=3"]
    for mode, ports in (("normal", [3]), ("nx-match", [2]), ("drop", []), ("normal", [3])):
        real_ovs.reset(flows, options=Options(fragments=mode))
        assert _ports(real_ovs.receive(Arrival(0.0, 1, bytes(first)))) == ports, mode
    meter = "meter=1,pktps,bands=type=drop,rate=1"
    real_ovs.reset(["actions=meter:1,2"], options=Options(meters=[meter]))
    sent = [bool(real_ovs.receive(Arrival(0.0, 1, FRAME)).out) for _ in range(4)]
    assert sent.count(False) > 0
    real_ovs.reset([], options=Options())
    with pytest.raises(Refused, match="meters:2: OFPMMFC_METER_EXISTS"):
        real_ovs.reset([], options=Options(meters=[meter, meter]))
    real_ovs.reset([], options=Options())
    refused = real_ovs.refusal("actions=meter:1,2")
    assert refused is not None and refused.openflow_error == "OFPMMFC_INVALID_METER"


# -- refusals ---------------------------------------------------------------------------------


def test_a_line_that_ovs_ofctl_cannot_read(real_ovs: RealOvs) -> None:
    with pytest.raises(Refused) as caught:
        real_ovs.reset(["# a comment", "", "ip,actions=2", "tcp,actions=bogus"])
    assert str(caught.value) == "flows:4: unknown action bogus: 'tcp,actions=bogus'"


def test_a_line_that_the_switch_refuses(real_ovs: RealOvs) -> None:
    flows = [f"priority={number},udp,actions=2" for number in range(1, 20)]
    with pytest.raises(Refused) as caught:
        real_ovs.reset([*flows, "table=254,actions=2", "ip,actions=group:3"])
    assert (caught.value.line, caught.value.openflow_error) == (20, "OFPBRC_EPERM")
    with pytest.raises(Refused) as caught:
        real_ovs.reset(["actions=2"], ["group_id=1,type=select,bucket=2", "group_id=1,type=all"])
    assert caught.value.file == "groups"
    assert (caught.value.line, caught.value.openflow_error) == (2, "OFPGMFC_GROUP_EXISTS")


def test_an_error_name_inside_the_text(real_ovs: RealOvs) -> None:
    real_ovs.reset([])
    refused = real_ovs.refusal("actions=ct(commit)")
    assert refused is not None
    assert refused.openflow_error == "OFPBAC_MATCH_INCONSISTENT"
    assert real_ovs.refusal("ip,actions=ct(commit)") is None


def test_flows_that_only_one_openflow_version_has_share_a_table(real_ovs: RealOvs) -> None:
    """goto_table is kept as such (1.1 on), and strip_vlan needs no VLAN match (1.0 only)."""
    flows = ["priority=3,udp,actions=goto_table:1", "table=1,actions=strip_vlan,2"]
    flows.append("priority=1,actions=3")
    real_ovs.reset(flows)
    assert _ports(real_ovs.receive(Arrival(0.0, 1, FRAME))) == [2]
    assert any(line.endswith("actions=goto_table:1") for line in real_ovs.flow_stats())
    with pytest.raises(Refused) as caught:
        real_ovs.reset([*flows, "table=254,actions=strip_vlan"])
    assert (caught.value.line, caught.value.openflow_error) == (4, "OFPBRC_EPERM")
    with pytest.raises(InputError, match="flows:1: a line break"):
        real_ovs.reset(["actions=2\nactions=3"])


def test_arguments_that_no_switch_could_use(real_ovs: RealOvs) -> None:
    real_ovs.reset([])
    with pytest.raises(InputError, match="no such port"):
        real_ovs.receive(Arrival(0.0, 77, FRAME))
    with pytest.raises(InputError, match="13 bytes"):
        real_ovs.receive(Arrival(0.0, 1, bytes(13)))
    with pytest.raises(InputError, match="no port number"):
        RealOvs(ports=[0])
    with pytest.raises(UnixctlError, match="not a valid command"):
        real_ovs.ctl("no/such")


# -- comparing --------------------------------------------------------------------------------


def test_comparable_keeps_the_order_on_a_port_and_drops_the_rest() -> None:
    out = [Output(STACK, b"s"), Output(3, b"b"), Output(CONTROLLER, b"c"), Output(3, b"a")]
    out.append(Output(1, b"z"))
    seen = comparable(Outcome(out, None, (Via.SLOW,)))
    assert [(output.port, output.frame) for output in seen.out] == [
        (1, b"z"),
        (3, b"b"),
        (3, b"a"),
        (CONTROLLER, b"c"),
        (STACK, b"s"),
    ]
    assert seen.via == ()
    assert comparable(Outcome((), Drop.TTL, (Via.HW,))) == Outcome((), Drop.ACTIONS, ())


# -- life and death ---------------------------------------------------------------------------


def test_a_clean_stop_leaves_no_process_and_no_directory() -> None:
    with RealOvs(["actions=2"]) as lane:
        pids, directory = lane.program.pids, lane.program.directory
        assert set(pids) == {"ovsdb-server", "ovs-vswitchd"}
        assert not any(_gone(pid) for pid in pids.values())
    assert all(_gone(pid) for pid in pids.values())
    assert not directory.exists()
    lane.close()  # a second time does nothing


def test_a_refused_flow_at_the_start_stops_the_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(Refused):
        RealOvs(["actions=bogus"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("culprit", ["ovsdb-server", "ovs-vswitchd"])
def test_a_failed_start_cleans_up(
    culprit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = []
    spawn = Vswitchd._spawn

    def sabotaged(self: Vswitchd, name: str, command: list[str]) -> Path:
        extra = ["--no-such-option"] if name == culprit else []
        control = spawn(self, name, [*command, *extra])
        started.append(self.pids[name])
        return control

    monkeypatch.setattr(Vswitchd, "_spawn", sabotaged)
    program = Vswitchd(tmp_path)
    with pytest.raises(VswitchdDied, match=rf"{culprit} did not start: .*no-such-option"):
        program.start()
    assert len(started) == (1 if culprit == "ovs-vswitchd" else 0)
    assert all(_gone(pid) for pid in started)
    assert not list(tmp_path.iterdir())
    assert program.pids == {}


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ovsct.oracle.vswitchd._SBIN", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match="ovs-vswitchd is not installed"):
        Vswitchd(tmp_path).start()


def test_a_directory_too_long_for_sockets_is_named(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    with pytest.raises(OvsctError, match="set TMPDIR"):
        Vswitchd(deep).start()
    assert not list(deep.iterdir())


def test_a_crash_is_told_as_such() -> None:
    with RealOvs(["actions=2"]) as lane:
        os.kill(lane.program.pids["ovs-vswitchd"], signal.SIGABRT)
        with pytest.raises(VswitchdDied, match=f"killed by signal {signal.SIGABRT:d}"):
            lane.receive(Arrival(0.0, 1, FRAME))
        pids = lane.program.pids
    assert all(_gone(pid) for pid in pids.values())


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "os.kill(os.getpid(), 9)"])
def test_the_daemons_do_not_outlive_the_interpreter(end: str) -> None:
    script = f"""
        import os
        from ovsct.oracle.real_ovs import RealOvs
        lane = RealOvs()
        os.write(1, repr((lane.program.pids, str(lane.program.directory))).encode())
        {end}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    pids, directory = eval(done.stdout)
    deadline = time.monotonic() + 5
    while not all(_gone(pid) for pid in pids.values()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(_gone(pid) for pid in pids.values()), done.stderr
    killed = "kill" in end
    assert Path(directory).exists() == killed  # nobody is left to remove it after a kill
    if killed:
        subprocess.run(["rm", "-r", directory], check=True)
