"""ovs-appctl, ofproto/trace, the ports' sockets and ovs-ofctl monitor, against both switches."""

from __future__ import annotations

import re
import socket
import stat
import tempfile
import time
from pathlib import Path

import pytest

from tests.agent.programs import Modelled, Real, Switch, Watcher, neutral
from tests.agent.test_session import TCP

pytestmark = pytest.mark.real_ovs

FLOWS = """\
in_port=1,tcp,nw_dst=10.0.0.2,actions=load:5->NXM_NX_REG0[],resubmit(,1)
in_port=1,udp,actions=mod_nw_dst:9.9.9.9,mod_dl_dst:00:00:00:00:00:09,4
in_port=1,arp,actions=NORMAL
in_port=2,ip,actions=ct(table=2,zone=3)
in_port=3,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],mod_vlan_vid:5,2
in_port=4,ip,actions=dec_ttl,CONTROLLER:100
table=1,tcp,tp_dst=80,cookie=0x77,priority=9,actions=3
table=2,ct_state=+trk+new,tcp,tp_dst=80,actions=ct(commit,zone=3),4
table=2,ct_state=+trk+est,ip,actions=3
"""
TRACED = [
    ("in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80",),
    ("in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=81",),
    ("in_port=1,tcp,nw_dst=10.0.0.3",),
    ("in_port=1,udp,nw_dst=10.0.0.3,udp_src=5",),
    ("in_port=1,icmp6,icmpv6_type=128",),
    ("in_port=2,tcp,tp_dst=80",),
    ("in_port=2,udp", "--ct-next", "trk,est"),
    ("in_port=3,dl_src=00:00:00:00:00:07,dl_type=0x1234",),
    ("in_port=4,ip,nw_ttl=64",),
    ("in_port=1", TCP.hex()),
]
ENDS = ("Flow: ", "Final flow: ", "Megaflow: ", "Datapath actions: ")


@pytest.fixture(autouse=True)
def _flows(real: Real, model: Modelled) -> None:
    for switch in (real, model):
        assert switch.ofctl("del-flows") == ""
        assert switch.ofctl("add-flows", "-", text=FLOWS) == ""
        switch.appctl("dpctl/flush-conntrack")
        switch.appctl("revalidator/purge")


def _ends(text: str) -> list[str]:
    """The lines that say where a packet went; ids of recirculations differ from run to run."""
    lines = [line for line in text.splitlines() if line.startswith(ENDS)]
    return [_without_ids(line) for line in lines]


def _without_ids(line: str) -> str:
    return re.sub(r"(recirc_id=|recirc\()(0x)?[0-9a-f]+", r"\1N", line)


@pytest.mark.parametrize("arguments", TRACED, ids=" ".join)
def test_traces_end_alike(real: Real, model: Modelled, arguments: tuple[str, ...]) -> None:
    wanted = _ends(real.appctl("ofproto/trace", "br0", *arguments))
    assert len(wanted) >= 4
    assert _ends(model.appctl("ofproto/trace", "br0", *arguments)) == wanted


def test_a_trace_without_recirculation_is_the_same_text(real: Real, model: Modelled) -> None:
    flow = "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80"
    assert model.appctl("ofproto/trace", "br0", flow) == real.appctl("ofproto/trace", "br0", flow)


def _receive(port: socket.socket) -> bytes:
    length = int.from_bytes(port.recv(2, socket.MSG_WAITALL), "big")
    return port.recv(length, socket.MSG_WAITALL)


def test_frames_go_through_the_ports(real: Real, model: Modelled) -> None:
    for switch in (real, model):
        with switch.port(1) as first, switch.port(3) as third:
            for _ in range(3):
                first.sendall(len(TCP).to_bytes(2, "big") + TCP)
                assert _receive(third) == TCP
        switch.appctl("revalidator/purge")  # the real one brings in its counters now and then
        assert "n_packets=3" in switch.ofctl("dump-flows", "table=1")
        ports = switch.ofctl("dump-ports", "3")
        assert "tx pkts=3" in ports
        switch.ofctl("del-flows")  # for the counters of the next test


@pytest.mark.parametrize(
    "command",
    [
        ("dpctl/dump-flows",),
        ("dpif/dump-flows", "br0"),
        ("dpctl/dump-conntrack",),
        ("dpctl/dump-conntrack", "-m"),
        ("dpctl/flush-conntrack", "zone=9"),
        ("dpctl/flush-conntrack", "ct_nw_src=10.0.0.1,ct_nw_proto=6"),
        ("dpctl/flush-conntrack",),
        ("fdb/show", "br0"),
        ("fdb/flush", "br0"),
        ("revalidator/purge",),
        ("nosuch",),
        ("fdb/show",),
        ("fdb/show", "br9"),
        ("time/warp", "x"),
    ],
    ids=" ".join,
)
def test_commands_answer_alike_after_packets(
    real: Real, model: Modelled, command: tuple[str, ...]
) -> None:
    arp = bytes.fromhex("ffffffffffff000000000005080600010800060400010000000000050a000001"
                        "0000000000000a000002")  # fmt: skip
    said = []
    for switch in (real, model):
        if "fdb/show" in command:
            switch.receive(1, arp)
        switch.receive(2, TCP)
        said.append(neutral(switch.appctl(*command)))
    wanted, found = (_comparable(text) for text in said)
    assert found == wanted


def _comparable(text: str) -> list[str]:
    """Dumps have no order, and times and ids of their own."""
    text = re.sub(r"used:[\d.]+s|used:never", "used:N", text)
    text = re.sub(r"recirc_id\(0x[0-9a-f]+\)|recirc\(0x[0-9a-f]+\)", "recirc(N)", text)
    text = re.sub(r"/\S+\.ctl|/\S+/ctl|flow-dump from the main thread:\n", "", text)
    text = re.sub(r"^( +\d+ +\d+  [0-9a-f:]{17}) +\d+$", r"\1 N", text, flags=re.M)
    return sorted(text.splitlines())


def test_time_stops_and_is_warped(model: Modelled) -> None:
    assert model.ofctl("add-flow", "table=9,hard_timeout=100,actions=drop") == ""
    assert model.appctl("time/stop") == ""
    assert model.appctl("time/warp", "99000", "1000") == "warped\n"
    assert "hard_timeout=100" in model.ofctl("dump-flows", "table=9")
    assert model.appctl("time/warp", "2000") == "warped\n"
    assert "hard_timeout=100" not in model.ofctl("dump-flows", "table=9")


def _monitored(switch: Switch, options: tuple[str, ...], folder: Path) -> str:
    watcher = Watcher(switch, folder, options, "100")
    frame = TCP[:22] + bytes([64]) + TCP[23:]
    with switch.port(4) as port:
        port.sendall(len(frame).to_bytes(2, "big") + frame)
        watcher.wait_for("PACKET_IN")
        watcher.barrier()
    return watcher.stop()


@pytest.mark.parametrize("options", [("-O", "OpenFlow13"), ("-O", "OpenFlow14")], ids=str)
def test_why_a_packet_out_comes_back(
    real: Real, model: Modelled, options: tuple[str, ...], tmp_path: Path
) -> None:
    """To the controller by its own list, by a table that it asks for, and by a table miss."""
    said = []
    for switch in (real, model):
        switch.ofctl("del-flows")
        flows = ("tcp,actions=controller(max_len=60),output:controller",
                 "priority=0,actions=controller",
                 "udp,actions=write_actions(output:controller)")  # fmt: skip
        assert switch.ofctl("-O", "OpenFlow13", "add-flows", "-", text="\n".join(flows)) == ""
        watcher = Watcher(switch, tmp_path, options, "100")
        udp = TCP[:23] + b"\x11" + TCP[24:]
        for frame, actions in ((TCP, "controller"), (TCP, "table"), (udp, "table,controller"),
                               (bytes(12) + b"\x88\xb5" + bytes(50), "table")):  # fmt: skip
            what = f"in_port=2 packet={frame.hex()} actions={actions}"
            assert switch.ofctl("packet-out", what) == ""
        watcher.barrier()
        said.append(watcher.stop())
        switch.ofctl("del-flows")
    assert said[0].count("(via ") == 6
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "options", [(), ("-O", "OpenFlow13"), ("-P", "nxt_packet_in2"), ("-P", "standard")], ids=str
)
def test_monitor_prints_the_same_packet_in(
    real: Real, model: Modelled, options: tuple[str, ...]
) -> None:
    with tempfile.TemporaryDirectory(prefix="ovsct-") as folder:
        wanted = _monitored(real, options, Path(folder))
        assert "PACKET_IN" in wanted
        assert _monitored(model, options, Path(folder)) == wanted


def test_packet_out_leaves_by_the_port(real: Real, model: Modelled) -> None:
    for options in ((), ("-O", "OpenFlow13")):
        for switch in (real, model):
            with switch.port(2) as port:
                time.sleep(0.2)
                what = f"in_port=controller packet={TCP.hex()} actions=mod_nw_src:1.2.3.4,2"
                assert switch.ofctl(*options, "packet-out", what) == ""
                frame = _receive(port)
                assert frame[26:30] == bytes([1, 2, 3, 4])


def test_sockets_are_private(model: Modelled) -> None:
    for path in (model.openflow, model.control, model.openflow.with_name("p1.sock")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


CT_COMMANDS = """\
ct-get-nconns
ct-get-maxconns
ct-set-maxconns 100
ct-get-maxconns dummy@ovs-dummy
ct-set-maxconns x
ct-set-maxconns
ct-set-maxconns 5x
ct-get-maxconns nodp
ct-get-limits
ct-get-limits zone=7
ct-set-limits default=5 zone=1,limit=3 zone=2,limit=0
ct-set-limits zone=9,limit=2 default=8
ct-set-limits zone=9
ct-set-limits zone=9,limit=x
ct-set-limits zone=9,limit=
ct-set-limits zone=9,limit=1,more=2
ct-set-limits default=x
ct-set-limits
ct-get-limits
ct-get-limits zone=1,2,7
ct-get-limits zone=x
ct-get-limits zones
ct-del-limits zone=1
ct-del-limits zone=99
ct-del-limits dummy@ovs-dummy zone=2
ct-del-limits
ct-del-limits zone=x
ct-get-limits dummy@ovs-dummy
ct-stats-show
ct-stats-show zone=3
ct-stats-show zone=4
ct-stats-show dummy@ovs-dummy zone=3
ct-get-nconns dummy@ovs-dummy
ct-get-nconns ovs-dummy
flush-conntrack
ct-get-nconns
ct-set-maxconns 3000000
"""


def _dpctl(switch: Switch, line: str) -> list[str]:
    """The lines of an answer, in no order: zones come as a hash table has them."""
    lines = switch.appctl(*f"dpctl/{line}".split(" ")).splitlines()
    return sorted(each for each in lines if "server returned an error" not in each)


def test_conntrack_limits_and_counts_likewise(real: Real, model: Modelled) -> None:
    said = []
    for switch in (real, model):
        for length in range(3):
            switch.receive(2, TCP + bytes(length))
        said.append([(line, _dpctl(switch, line)) for line in CT_COMMANDS.splitlines()])
    assert said[1] == said[0]
    assert ("ct-stats-show zone=3", ["    Total: 1", "  TCP: 1", "Connections Stats:"]) in said[0]
