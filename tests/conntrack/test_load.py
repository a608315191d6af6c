"""Connections loaded from text: what was printed is printed again, and traffic goes on."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest

from ovsct.conntrack.dump import dump_conntrack, proc_line
from ovsct.conntrack.netfilter import Netfilter
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.conntrack.read_dump import parse_proc_line, read_connections
from ovsct.conntrack.request import Nat, Track
from ovsct.conntrack.select import Selection, parse_selection
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.errors import InputError
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import Packet, parse
from tests.conntrack.netfilter_replay import load
from tests.conntrack.test_netfilter import ACK, CLIENT, SERVER, tcp, udp
from tests.conntrack.userspace_cases import CASES, PLAIN
from tests.conntrack.userspace_judge import Sent, Step, ask_model, ask_real, flow_lines, state_text
from tests.conntrack.userspace_talk import Talk, icmp
from tests.conntrack.userspace_talk import tcp as segment
from tests.conntrack.userspace_talk import udp as datagram
from tests.judges import real_ovs

__all__ = ["real_ovs"]

KERNEL_LINES = sorted(
    {line for _, _, case in load("*.json") for step in case["steps"] for line in step["conntrack"]}
)
_VOLATILE = re.compile(r" use=\d+$")


def test_every_line_that_a_kernel_printed_is_read_and_printed_again() -> None:
    assert len(KERNEL_LINES) > 400
    for line in KERNEL_LINES:
        again = " ".join(proc_line(parse_proc_line(line)).split())
        assert _VOLATILE.sub("", again) == _VOLATILE.sub("", " ".join(line.split()))


def test_netfilter_prints_what_it_loaded_as_the_kernel_had_printed_it() -> None:
    loaded = 0
    for line in KERNEL_LINES:
        if "OFFLOAD]" in line:
            continue
        netfilter = Netfilter()
        netfilter.load([parse_proc_line(line)], 50.0)
        (again,) = map(proc_line, netfilter.connections(50.0)) if " 0 " not in line[:40] else [line]
        expected = _VOLATILE.sub("", " ".join(line.split()))
        assert _VOLATILE.sub("", " ".join(again.split())) == expected
        loaded += 1
    assert loaded > 300


@pytest.mark.parametrize("name", sorted(set(CASES) - {"fragments", "fragments6"}))
def test_userspace_prints_with_m_and_s_what_it_loaded(name: str) -> None:
    case = CASES[name]
    dice = Random(7)
    programs = tuple(dice.sample(case.programs, min(case.most, len(case.programs))))
    talk = Talk(dice, case.family, len(programs), case.protocols, PLAIN, (), whole_tcp=True)
    tracker = UserspaceTracker()
    for _ in range(120):
        sent = talk.packet()
        said = ask_model(tracker, programs[sent.program], sent.at, sent.whole)
        kind = "0800" if case.family == 4 else "86dd"
        talk.seen += [bytes.fromhex(kind + one.body) for one in said]
    now = talk.now
    lines = list(dump_conntrack(tracker.connections(now), more=True, statistics=True))
    other = UserspaceTracker()
    other.load(read_connections("\n".join(lines)), 9.0)
    again = list(dump_conntrack(other.connections(9.0), more=True, statistics=True))
    assert sorted(again) == sorted(lines) and lines


STATE = SLOTS["ct_state"].shift
ESTABLISHED = "ipv4 2 tcp 6 1000 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=80 " \
    "src=10.0.0.2 dst=10.0.0.1 sport=80 dport=1000 [ASSURED] mark=7 zone=1 use=2"  # fmt: skip
PLAIN_DPCTL = "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80)," \
    "reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=1000),zone=1," \
    "protoinfo=(state=ESTABLISHED)"  # fmt: skip


def with_data(seq: int, ack: int, size: int) -> Packet:
    frame = segment("10.0.0.1", "10.0.0.2", 1000, 80, 0x18, seq, ack, 9000, size)
    return parse(bytes(12) + frame, 1)


@pytest.mark.parametrize("text", [ESTABLISHED, PLAIN_DPCTL], ids=["proc", "dpctl"])
@pytest.mark.parametrize("dialect", ["userspace", "netfilter"])
def test_traffic_goes_on_wherever_its_numbers_stand(dialect: str, text: str) -> None:
    tracker: Any = UserspaceTracker() if dialect == "userspace" else OvsKernelTracker(Netfilter())
    tracker.load(read_connections(text), 0.0)
    for packet, state in (
        (with_data(3_000_000_000, 77, 100), "trk|est"),
        (tcp(ACK, 77, 3_000_000_100, back=True), "trk|est|rpl"),
        (tcp(ACK, 3_000_000_100, 77), "trk|est"),
    ):
        assert tracker.track(packet, Track(zone=1), 1.0) is None
        assert sorted(state_text(packet.key >> STATE & 0xFF).split("|")) == sorted(state.split("|"))
    # Known now: what is far out of the window is invalid where windows are checked.
    stray = with_data(1_000_000_000, 77, 9)
    tracker.track(stray, Track(zone=1), 1.0)
    if dialect == "userspace":
        assert state_text(stray.key >> STATE & 0xFF) == "inv|trk"


def test_a_translated_connection_is_translated_again() -> None:
    line = (
        "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=53),"
        "reply=(src=10.0.0.2,dst=10.0.0.100,sport=53,dport=4000),zone=1"
    )
    for tracker in (UserspaceTracker(), OvsKernelTracker(Netfilter())):
        tracker.load(read_connections(line), 0.0)
        packet = udp(CLIENT, SERVER, 1000, 53)
        tracker.track(packet, Track(zone=1, nat=Nat()), 1.0)
        assert packet.frame[26:30] == bytes((10, 0, 0, 100))
        assert packet.frame[34:36] == (4000).to_bytes(2, "big")
        back = udp(SERVER, 0x0A000064, 53, 4000)
        tracker.track(back, Track(zone=1, nat=Nat()), 1.0)
        assert back.frame[30:34] == bytes((10, 0, 0, 1))


def test_loaded_connections_count_on_limits_and_end_in_time() -> None:
    tracker = UserspaceTracker(limits={1: 5})
    tracker.load(read_connections(ESTABLISHED), 0.0)
    assert tracker.limits() == {1: (5, 1)}
    assert [event.at for event in tracker.advance(2000.0)] == [1000.0]
    netfilter = Netfilter()
    netfilter.load(read_connections(ESTABLISHED), 0.0)
    assert netfilter.in_zone(1) == 1
    assert [event.at for event in netfilter.advance(2000.0)] == [1000.0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tcp,orig=(src=10.0.0.1", "cannot read"),
        ("tcp,zone=1", "without a tuple"),
        (PLAIN_DPCTL.replace("ESTABLISHED", "ASLEEP"), "no TCP state: 'ASLEEP'"),
        (PLAIN_DPCTL.replace("zone=1", "zone=70000"), "no room in 16 bits"),
        (ESTABLISHED.replace("[ASSURED]", "[ASLEEP]"), r"no flag of a connection: '\[ASLEEP\]'"),
        (ESTABLISHED.replace("10.0.0.1", "10.0.0.300"), "cannot read"),
        (f"{PLAIN_DPCTL}\n{PLAIN_DPCTL}", "there already"),
    ],
)
def test_what_cannot_be_taken_is_named(line: str, words: str) -> None:
    for tracker in (UserspaceTracker(), OvsKernelTracker(Netfilter())):
        with pytest.raises(InputError, match=words):
            tracker.load(read_connections(f"# a dump\n\n{line}", "ct.txt"), 0.0)
    if "cannot read" in words:
        with pytest.raises(InputError, match=r"^ct\.txt:3: "):
            read_connections(f"# a dump\n\n{line}", "ct.txt")


def test_a_child_needs_its_parent_in_netfilter() -> None:
    child = PLAIN_DPCTL + ",parent=(src=10.0.0.1,dst=10.0.0.2,sport=999,dport=21)"
    with pytest.raises(InputError, match="the parent of a connection is not there"):
        Netfilter().load(read_connections(child), 0.0)
    both = PLAIN_DPCTL.replace("=1000", "=999").replace("=80", "=21") + ",helper=ftp\n" + child
    netfilter = Netfilter()
    netfilter.load(read_connections(both), 0.0)
    assert sorted(c.parent is not None for c in netfilter.connections(0.0)) == [False, True]


FLUSHES = (
    (),
    ("zone=1",),
    ("zone=2", "ct_nw_src=10.0.0.1"),
    ("ct_nw_src=10.0.0.1,ct_nw_proto=17",),
    ("ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.8,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=53",),
    ("zone=2", "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.8,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=53"),
    ("", "ct_nw_dst=10.0.0.2"),
    ("ct_nw_proto=17,ct_tp_dst=54", "ct_tp_dst=2"),
    ("ct_nw_proto=1",),
    ("ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.8,ct_nw_proto=1,icmp_id=7,icmp_type=8,icmp_code=0",),
    ("zone=2", "ct_nw_src=10.0.0.1,ct_nw_proto=1,icmp_id=7,icmp_type=8", "icmp_id=7"),
    ("ct_nw_src=0.0.0.0",),
    ("zone=1", "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.8,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=53",
     "ct_nw_src=10.0.0.8"),
    ("ct_nw_src=10.0.0.1,ct_nw_proto=1,icmp_id=7",),
    ("ct_nw_src=10.0.0.1,ct_nw_proto=1,icmp_type=8,icmp_code=0",),
    ("ct_nw_proto=6",),
    ("ct_nw_dst=10.0.0.9",),
)


@pytest.mark.real_ovs
@pytest.mark.parametrize("words", FLUSHES, ids=lambda words: " ".join(words) or "all")
def test_flushing_as_the_program_does(real_ovs: RealOvs, words: tuple[str, ...]) -> None:
    programs = [(Step(Track(zone=zone, commit=True)),) for zone in (0, 1, 2)]
    real_ovs.reset(flow_lines(programs), settle=True)
    tracker = UserspaceTracker()
    frames = [
        datagram("10.0.0.1", "10.0.0.8", sport, dport) for sport in (1, 2) for dport in (53, 54)
    ]
    frames += [datagram("10.0.0.2", "10.0.0.9", 1, 53)]
    frames += [segment("10.0.0.1", "10.0.0.8", 1, 53, 2, 1, 0, 9)]
    frames += [icmp("10.0.0.1", "10.0.0.8", 8, 0, bytes((0, 7, 0, 1)) + b"data")]
    for number in range(3):
        for frame in frames:
            sent = Sent(0.0, number, frame, "")
            ask_real(real_ovs, 0.0, sent.whole)
            ask_model(tracker, programs[number], 0.0, sent.whole)
    assert tracker.count == 21
    real_ovs.ctl("dpctl/flush-conntrack", *words)
    tracker.flush(parse_selection(words), 0.0)
    left = sorted(dump_conntrack(tracker.connections(0.0)))
    assert left == sorted(real_ovs.dump_conntrack())


def test_flushing_by_mark_as_conntrack_does() -> None:
    for tracker in (UserspaceTracker(), OvsKernelTracker(Netfilter())):
        lines = [PLAIN_DPCTL.replace("=1000", f"={port}") + f",mark={port}" for port in range(1, 9)]
        tracker.load(read_connections("\n".join(lines)), 0.0)
        assert tracker.flush(Selection(mark=(0x2, 0x3)), 0.0) == 2
        assert sorted(c.mark for c in tracker.connections(0.0)) == [1, 3, 4, 5, 7, 8]
        assert tracker.flush(Selection(mark=(8, 0xFFFFFFFF), zone=2), 0.0) == 0


@pytest.mark.parametrize("word", ["zone=x", "ct_nw_src=fc00::1", "ct_tp_src=1",
                                  "ct_nw_proto=6,ct_tp_src=70000", "ct_nw_proto=6,icmp_id=1",
                                  "sport=1",
                                  "ct_nw_src=10.0.0.1,ct_ipv6_dst=::1", "mark=1/x"])  # fmt: skip
def test_a_selection_that_cannot_be_is_named(word: str) -> None:
    with pytest.raises(InputError, match=re.escape(word.rsplit(",", maxsplit=1)[-1])):
        parse_selection([word])
