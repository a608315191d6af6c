"""More dialogues with userspace conntrack, for the statements that test_userspace leaves: keys,
ICMP types, windows to the byte, timers by default and by policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ovsct.conntrack.request import Track
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.conntrack.userspace_tcp import TcpState
from ovsct.conntrack.userspace_timeouts import DEFAULT_SECONDS, Timer
from ovsct.oracle.real_ovs import RealOvs
from tests.conntrack.test_userspace import (
    COMMIT,
    FORCE,
    HANDSHAKE,
    LOOK,
    A,
    B,
    C,
    a,
    about,
    b,
    ping,
    u,
)
from tests.conntrack.userspace_dialogue import Dialogue, play, play_both
from tests.conntrack.userspace_judge import Sent, Step, difference, flow_lines
from tests.conntrack.userspace_talk import ACK, PSH, SYN, tcp, udp
from tests.judges import real_ovs

__all__ = ["real_ovs"]

MARK = Track(zone=1, commit=True, mark=(5, 0xF), label=(9, 0xFF))
SCALE_7 = b"\3\3\7\0"
SCALE_2 = b"\3\3\2\0"

DIALOGUES = (
    Dialogue("5.1 the key is addresses, ports or ICMP's numbers, protocol and zone", (
        (0.0, COMMIT, tcp(A, B, 1000, 53, SYN, 1, 0, 9), "new|trk"),
        (0.0, COMMIT, u(), "new|trk"),
        (0.0, LOOK, u(1001), "new|trk"),
        (0.0, LOOK, u(src=C), "new|trk"),
        (0.0, Track(zone=2), u(sport=53, src=B, dst=A, dport=1000), "new|trk"),
        (0.0, LOOK, u(sport=53, src=B, dst=A, dport=1000), "est|rpl|trk"),
        (0.0, COMMIT, ping(), "new|trk"),
        (0.0, LOOK, ping(0, B, A, ident=8), "inv|trk"),
        (0.0, LOOK, ping(0, B, A), "est|rpl|trk"),
    )),
    Dialogue("5.5 three ICMP queries, and nothing else", (
        *((0.0, COMMIT, ping(kind), "new|trk") for kind in (8, 13, 15)),
        *((0.0, LOOK, ping(kind, B, A), "est|rpl|trk") for kind in (0, 14, 16)),
        *((0.0, COMMIT, ping(kind, ident=9), "inv|trk") for kind in (0, 9, 10, 14, 16, 17, 18, 30)),
    )),
    Dialogue("6.11 what is not committed has no mark", (
        (0.0, (MARK, LOOK), u(), "new|trk"),
        (0.0, LOOK, u(2000), "new|trk"),
        (0.0, LOOK, u(), "new|trk"),
        (0.0, LOOK, u(sport=53, src=B, dst=A, dport=1000), "est|rpl|trk"),
    )),
    Dialogue("6.16 the original tuple is that of the first packet, both ways", (
        (0.0, COMMIT, a("S"), "new|trk"),
        (0.0, LOOK, b("SA", ack=101), "est|rpl|trk"),
        (0.0, COMMIT, ping(), "new|trk"),
        (0.0, LOOK, ping(0, B, A), "est|rpl|trk"),
        (0.0, FORCE, b("A", 501, 101), "new|trk"),
        (0.0, LOOK, a("A", 101, 501), "est|rpl|trk"),
        (0.0, LOOK, about(a("A", 101, 501), "10.0.0.99", A), "rel|trk"),
    )),
    Dialogue("7.1 the window of a SYN is divided by its scale, rounded up", (
        (0.0, COMMIT, tcp(A, B, 1000, 80, SYN, 100, 0, 1000, options=SCALE_7), "new|trk"),
        (0.0, LOOK, tcp(B, A, 80, 1000, SYN | ACK, 500, 101, 1000, options=SCALE_2),
         "est|rpl|trk"),
        # 1000 / 128 is 8, and 8 << 7 is 1024: the answer may go so far behind what is known.
        (0.0, LOOK, a("A", 101, 501, win=8), "est|trk"),
        (0.0, LOOK, tcp(B, A, 80, 1000, PSH | ACK, 501, 101, 250, 1024), "est|rpl|trk"),
        (0.0, LOOK, tcp(B, A, 80, 1000, PSH | ACK, 1525, 101, 250, 1), "inv|trk"),
        (0.0, LOOK, tcp(B, A, 80, 1000, PSH | ACK, 501, 101, 250, 1), "est|rpl|trk"),
        (0.0, LOOK, tcp(B, A, 80, 1000, PSH | ACK, 500, 101, 250, 1), "inv|trk"),
    )),
    Dialogue("7.2 of a stream picked up in the middle any scale will do", (
        (0.0, COMMIT, a("PA", 1000, 5000, data=10), "new|trk"),
        (0.0, LOOK, b("A", 5000, 1010), "est|rpl|trk"),
        (0.0, LOOK, a("PA", 1010, 5000, data=1400), "est|trk"),
        (0.0, LOOK, a("PA", 1010 + (8192 << 14) - 1, 5000, data=1), "est|trk"),
        (0.0, LOOK, b("PA", 5000 + (8192 << 14), 1010, data=1), "inv|trk"),
    )),
    Dialogue("7.4 an acknowledgement may be so far off, and no further", (
        *HANDSHAKE,
        (0.0, LOOK, b("PA", 501, 101, data=100), "est|rpl|trk"),
        (0.0, LOOK, a("A", 101, 601), "est|trk"),
        (0.0, LOOK, a("A", 101, 601 + 67035), "est|trk"),
        (0.0, LOOK, a("A", 101, 601 + 67036), "inv|trk"),
        (0.0, LOOK, a("A", 101, (601 - 67035) % (1 << 32)), "est|trk"),
        (0.0, LOOK, a("A", 101, (601 - 67036) % (1 << 32)), "inv|trk"),
        (0.0, LOOK, b("R", 599), "inv|trk"),
        (0.0, LOOK, b("R", 603), "inv|trk"),
        (0.0, LOOK, b("R", 602), "est|rpl|trk"),
    )),
    Dialogue("7.6 a stray segment passes while one side is silent, but renews nothing", (
        (0.0, COMMIT, a("S", 100), "new|trk"),
        (10.0, LOOK, a("PA", 101 + 60000, 0, data=10), "est|trk"),
        (10.0, LOOK, a("PA", 101 + 130000, 0, data=10), "inv|trk"),
        (29.999, LOOK, b("SA", ack=101), "est|rpl|trk"),
    )),
    Dialogue("7.9 the state of a connection is that of the end which is further on", (
        *HANDSHAKE,
        (0.0, LOOK, a("FA", 101, 501), "est|trk"),
    ), dump=("tcp,orig=(src=10.0.0.1,dst=10.0.0.8,sport=1000,dport=80),"
             "reply=(src=10.0.0.8,dst=10.0.0.1,sport=80,dport=1000),zone=1,"
             "protoinfo=(state=CLOSING)",)),
    Dialogue("8 how long everything lives", (
        (0.0, COMMIT, a("S"), "new|trk"),
        (0.0, COMMIT, u(), "new|trk"),
        (0.0, COMMIT, u(2000), "new|trk"),
        (0.0, LOOK, u(2000), "new|trk"),
        (0.0, COMMIT, u(3000), "new|trk"),
        (0.0, LOOK, u(sport=53, src=B, dst=A, dport=3000), "est|rpl|trk"),
        (0.0, COMMIT, ping(), "new|trk"),
        (0.0, COMMIT, ping(ident=9), "new|trk"),
        (0.0, LOOK, ping(0, B, A, ident=9), "est|rpl|trk"),
        (0.0, LOOK, b("SA", ack=101), "est|rpl|trk"),
        (0.0, LOOK, a("A", 101, 501), "est|trk"),
        (0.0, LOOK, a("FA", 101, 501), "est|trk"),
        (0.0, LOOK, b("A", 501, 102), "est|rpl|trk"),
        (0.0, LOOK, b("FA", 501, 102), "est|rpl|trk"),
        (0.0, LOOK, a("A", 102, 502), "est|trk"),
        (29.999, LOOK, a("A", 102, 502), "est|trk"),
        (59.998, LOOK, u(sport=53, src=B, dst=A, dport=3000), "new|trk"),
    )),
)  # fmt: skip


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.name)
def test_dialogue(dialogue: Dialogue) -> None:
    play(dialogue)


@pytest.mark.real_ovs
@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.name)
def test_dialogue_with_the_program(real_ovs: RealOvs, dialogue: Dialogue) -> None:
    play_both(real_ovs, dialogue)


def test_7_9_states_stand_in_their_order() -> None:
    names = "CLOSED LISTEN SYN_SENT SYN_RECV ESTABLISHED CLOSE_WAIT FIN_WAIT_1 CLOSING LAST_ACK"
    assert [state.name for state in TcpState] == [*names.split(), "FIN_WAIT_2", "TIME_WAIT"]


def test_8_the_defaults() -> None:
    assert dict(zip(Timer, DEFAULT_SECONDS, strict=True)) == {
        Timer.TCP_FIRST_PACKET: 30, Timer.TCP_OPENING: 30, Timer.TCP_ESTABLISHED: 86400,
        Timer.TCP_CLOSING: 900, Timer.TCP_FIN_WAIT: 45, Timer.TCP_CLOSED: 30,
        Timer.OTHER_FIRST: 60, Timer.OTHER_MULTIPLE: 60, Timer.OTHER_BIDIR: 30,
        Timer.ICMP_FIRST: 60, Timer.ICMP_REPLY: 30,
    }  # fmt: skip


POLICY = {
    "tcp_syn_sent": 11, "tcp_syn_recv": 12, "tcp_established": 130, "tcp_fin_wait": 14,
    "tcp_time_wait": 15, "tcp_close": 16, "udp_first": 17, "udp_single": 18, "udp_multiple": 19,
    "icmp_first": 20, "icmp_reply": 21,
}  # fmt: skip


@contextmanager
def zone_policy(real: RealOvs) -> Iterator[None]:
    """The policy for zone 1, as ovs-vsctl sets it; undone behind it."""
    vsctl = real.program.vsctl
    vsctl("--", "--id=@dp", "create", "Datapath", "datapath_version=0", "--", "set",
          "Open_vSwitch", ".", "datapaths:dummy=@dp")  # fmt: skip
    vsctl("add-zone-tp", "dummy", "zone=1", *(f"{name}={value}" for name, value in POLICY.items()))
    try:
        yield
    finally:
        vsctl("del-zone-tp", "dummy", "zone=1")
        vsctl("clear", "Open_vSwitch", ".", "datapaths")


@pytest.mark.real_ovs
def test_8_2_8_3_a_zones_policy_holds_at_once_for_what_is_committed_from_then_on(
    real_ovs: RealOvs,
) -> None:
    named = Track(zone=1, commit=True, timeout="zone")
    programs = [(Step(COMMIT),), (Step(LOOK),), (Step(Track(zone=2, commit=True)),)]
    talk = [
        (0, a("S")), (1, b("SA", ack=101)), (1, a("A", 101, 501)), (1, a("FA", 101, 501)),
        (1, b("FA", 501, 102)), (1, a("A", 102, 502)), (0, u()), (1, u()),
        (1, u(sport=53, src=B, dst=A, dport=1000)), (0, ping()), (1, ping(0, B, A)), (2, u(7)),
    ]  # fmt: skip
    real_ovs.reset(flow_lines(programs), settle=True)
    tracker = UserspaceTracker(policies={"zone": POLICY})
    before = Sent(0.0, 0, udp(A, B, 99, 53), "")
    found, _ = difference(real_ovs, tracker, programs[0], before)
    assert found is None
    # The flows that commit in zone 1 name the policy from now on.
    policied = {0: (Step(named),), 1: programs[1], 2: programs[2]}
    with zone_policy(real_ovs):
        real_ovs.ctl("revalidator/purge")
        for number, (program, frame) in enumerate(talk):
            sent = Sent(number / 100, program, frame, "")
            found, _ = difference(real_ovs, tracker, policied[program], sent)
            assert found is None, number
    times = {(c.proto, c.zone, c.orig.sport): round(c.timeout) for c in tracker.connections(0.11)}
    assert times == {
        (6, 1, 1000): 16, (17, 1, 1000): 19, (1, 1, 0): 21, (17, 1, 99): 60, (17, 2, 7): 60,
    }  # fmt: skip
