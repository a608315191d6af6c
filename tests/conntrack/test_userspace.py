"""The userspace dialect as dialogues: time, who speaks, what is said, the ct_state it gets.

Each dialogue names the statement of the rules it shows. It is run through the model alone, and,
where a real ovs-vswitchd is installed, through that too, which then has to agree with every line.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.conntrack.select import Selection
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.errors import OvsctError
from ovsct.oracle.real_ovs import RealOvs
from tests.conntrack.userspace_dialogue import Dialogue, play, play_both
from tests.conntrack.userspace_judge import Step, ask_model
from tests.conntrack.userspace_talk import ACK, FIN, PSH, RST, SYN, icmp, ip, summed, tcp, udp
from tests.judges import real_ovs

__all__ = ["real_ovs"]

A, B, C = "10.0.0.1", "10.0.0.8", "10.0.0.77"
LOOK, COMMIT, FORCE = Track(zone=1), Track(zone=1, commit=True), Track(
    zone=1, commit=True, force=True
)
FLAGS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK}


def a(flags: str, seq: int = 100, ack: int = 0, **more: int) -> bytes:
    """A TCP segment from A:1000 to B:80."""
    return _segment(A, B, 1000, 80, flags, seq, ack, **more)


def b(flags: str, seq: int = 500, ack: int = 0, **more: int) -> bytes:
    """A TCP segment from B:80 to A:1000."""
    return _segment(B, A, 80, 1000, flags, seq, ack, **more)


def _segment(src: str, dst: str, sport: int, dport: int, flags: str, seq: int, ack: int,
             data: int = 0, win: int = 8192) -> bytes:
    bits = sum(FLAGS[flag] for flag in flags)
    return tcp(src, dst, sport, dport, bits, seq, ack, win, data)


HANDSHAKE = (
    (0.0, COMMIT, a("S"), "new|trk"),
    (0.0, LOOK, b("SA", ack=101), "est|rpl|trk"),
    (0.0, LOOK, a("A", 101, 501), "est|trk"),
)


def snat(address: str = C, low: int = 0, high: int = 0) -> Nat:
    return Nat(NatKind.SRC, 4, *_pair(address), low, high or low)


def dnat(address: str = C, low: int = 0, high: int = 0) -> Nat:
    return Nat(NatKind.DST, 4, *_pair(address), low, high or low)


def _pair(address: str) -> tuple[int, int]:
    number = int.from_bytes(bytes(map(int, address.split("."))), "big")
    return number, number


def limited(**more: object) -> Callable[[], UserspaceTracker]:
    return lambda: UserspaceTracker(**more)  # type: ignore[arg-type]


def u(sport: int = 1000, src: str = A, dst: str = B, dport: int = 53) -> bytes:
    return udp(src, dst, sport, dport)


def about(whole: bytes, router: str, receiver: str, kind: int = 3, code: int = 1) -> bytes:
    """An ICMP error of `router` about an IP packet."""
    return icmp(router, receiver, kind, code, bytes(4) + whole[2:])


def ping(kind: int = 8, src: str = A, dst: str = B, code: int = 0, ident: int = 7) -> bytes:
    return icmp(src, dst, kind, code, struct.pack(">HH", ident, 1) + b"data")


SNAT = Track(zone=1, commit=True, nat=snat())
BARE = Track(zone=1, nat=Nat())
SECOND_PORT = Track(zone=1, commit=True, nat=snat(low=3000, high=3001))

DIALOGUES = (
    Dialogue("5.2 inner checks", (
        (0.0, COMMIT, tcp(A, B, 1000, 80, SYN, 1, 0, 1, bad=True), "inv|trk"),
        (0.0, COMMIT, tcp(A, B, 0, 80, SYN, 1, 0, 1), "inv|trk"),
        (0.0, COMMIT, tcp(A, B, 1000, 0, SYN, 1, 0, 1), "inv|trk"),
        (0.0, COMMIT, tcp(A, B, 1000, 80, SYN, 1, 0, 1, offset=4), "inv|trk"),
        (0.0, COMMIT, tcp(A, B, 1000, 80, SYN, 1, 0, 1, offset=15), "inv|trk"),
        (0.0, COMMIT, ip(A, B, 6, bytes(19)), "inv|trk"),
        (0.0, COMMIT, ip(A, B, 17, bytes(8), bad=True), "inv|trk"),
        (0.0, COMMIT, udp(A, B, 1, 2, length=7), "inv|trk"),
        (0.0, COMMIT, udp(A, B, 1, 2, length=99), "inv|trk"),
        (0.0, COMMIT, udp(A, B, 1, 2, bad=True), "inv|trk"),
        (0.0, COMMIT, ping(code=1), "inv|trk"),
        (0.0, COMMIT, ping(17), "inv|trk"),
    ), dump=()),
    Dialogue("5.3 what is fine", (
        (0.0, COMMIT, udp(A, B, 1, 2, unsummed=True), "new|trk"),
        (0.0, COMMIT, udp(A, B, 1, 2, length=9), "new|trk"),
        (0.0, COMMIT, ip(A, B, 6, summed(A, B, 6, struct.pack(
            ">HHIIBBHHH", 1000, 80, 1, 0, 0x50, SYN, 100, 0, 0), 16), options=b"\1" * 8),
         "new|trk"),
        (0.0, COMMIT, udp(A, B, 1, 3) + bytes(20), "new|trk"),
    )),
    Dialogue("5.4 other protocols have no ports", (
        (0.0, COMMIT, ip(A, B, 132, bytes(range(1, 21))), "new|trk"),
        (0.0, COMMIT, ip(B, A, 132, bytes(range(5, 25))), "est|rpl|trk"),
        (0.0, COMMIT, ip(A, B, 47, b""), "new|trk"),
    ), dump=(
        "sctp,orig=(src=10.0.0.1,dst=10.0.0.8,sport=0,dport=0),"
        "reply=(src=10.0.0.8,dst=10.0.0.1,sport=0,dport=0),zone=1",
        "47,orig=(src=10.0.0.1,dst=10.0.0.8,sport=0,dport=0),"
        "reply=(src=10.0.0.8,dst=10.0.0.1,sport=0,dport=0),zone=1",
    )),
    Dialogue("5.6 errors belong to what they quote", (
        (0.0, COMMIT, u(), "new|trk"),
        (0.0, LOOK, about(u(), "10.0.0.99", A), "rel|rpl|trk"),
        (0.0, LOOK, about(u(), "10.0.0.99", B), "inv|trk"),
        (0.0, LOOK, about(u(2000), "10.0.0.99", A), "inv|trk"),
        (0.0, LOOK, about(u(sport=53, src=B, dst=A, dport=1000), "10.0.0.99", B), "rel|trk"),
        (0.0, LOOK, icmp("10.0.0.99", A, 3, 1, bytes(4) + u()[2:29]), "inv|trk"),
        # The parent's timer is not refreshed: 60 s from the first packet.
        (59.999, LOOK, about(u(), "10.0.0.99", A), "rel|rpl|trk"),
        (60.0, LOOK, about(u(), "10.0.0.99", A), "inv|trk"),
    )),
    Dialogue("5.7 an error sets the parent's mark", (
        (0.0, Track(zone=1, commit=True, mark=(4, 0xF)), u(), "new|trk"),
        (0.0, Track(zone=1, commit=True, mark=(8, 0xF)), about(u(), B, A), "rel|rpl|trk"),
    ), dump=("udp,orig=(src=10.0.0.1,dst=10.0.0.8,sport=1000,dport=53),"
             "reply=(src=10.0.0.8,dst=10.0.0.1,sport=53,dport=1000),zone=1,mark=8",)),
    Dialogue("6.1 zones", (
        (0.0, (COMMIT, Track(zone=2)), u(), "new|trk"),
        (0.0, (LOOK, Track(zone=2)), u(sport=53, src=B, dst=A, dport=1000), "new|trk"),
        (0.0, (Track(zone=2), LOOK), u(sport=53, src=B, dst=A, dport=1000), "est|rpl|trk"),
    )),
    *(Dialogue(f"6.2 {flags} begins a connection", ((0.0, COMMIT, a(flags), "new|trk"),))
      for flags in ("S", "R", "FA", "A", "PA", "RA")),
    *(Dialogue(f"6.2 6.3 {flags} does not", ((0.0, COMMIT, a(flags), "inv|trk"),), dump=())
      for flags in ("SA", "SR", "SF", "F", "P", "SP", "FP")),
    Dialogue("6.4 UDP is new until answered", (
        (0.0, COMMIT, u(), "new|trk"),
        (0.0, LOOK, u(), "new|trk"),
        (0.0, LOOK, u(sport=53, src=B, dst=A, dport=1000), "est|rpl|trk"),
        (0.0, LOOK, u(), "est|trk"),
    )),
    Dialogue("6.4 ICMP is new until answered", (
        (0.0, COMMIT, ping(), "new|trk"),
        (0.0, LOOK, ping(), "new|trk"),
        (0.0, LOOK, ping(0, B, A), "est|rpl|trk"),
        (0.0, LOOK, ping(), "est|trk"),
        (0.0, LOOK, ping(0, A, B), "inv|trk"),
        (0.0, LOOK, ping(ident=8), "new|trk"),
    )),
    Dialogue("6.5 established without an answer", (
        (0.0, COMMIT, a("S"), "new|trk"),
        (0.0, LOOK, a("S"), "new|trk"),
        (0.0, LOOK, a("A", 101), "est|trk"),
    )),
    Dialogue("6.6 simultaneous open", (
        (0.0, COMMIT, a("S"), "new|trk"),
        (0.0, LOOK, b("S"), "new|trk"),
    )),
    Dialogue("6.7 a SYN after the end begins anew, even uncommitted", (
        *HANDSHAKE,
        (1.0, LOOK, a("R", 101), "est|trk"),
        (2.0, LOOK, a("S", 5000), "new|trk"),
    ), dump=()),
    Dialogue("6.8 an invalid packet still sets the mark", (
        (0.0, COMMIT, a("S"), "new|trk"),
        (0.0, Track(zone=1, commit=True, mark=(9, 0xFFFFFFFF)), a("A", 10_000_000, data=1),
         "inv|trk"),
    ), dump=("tcp,orig=(src=10.0.0.1,dst=10.0.0.8,sport=1000,dport=80),"
             "reply=(src=10.0.0.8,dst=10.0.0.1,sport=80,dport=1000),zone=1,mark=9,"
             "protoinfo=(state=SYN_SENT)",)),
    Dialogue("6.10 committing again changes mark bits and nothing else", (
        (0.0, Track(zone=1, commit=True, mark=(0xF0, 0xFF)), u(), "new|trk"),
        (0.0, Track(zone=1, commit=True, mark=(0x01, 0x0F), label=(1 << 127, 1 << 127)),
         u(sport=53, src=B, dst=A, dport=1000), "est|rpl|trk"),
    ), dump=("udp,orig=(src=10.0.0.1,dst=10.0.0.8,sport=1000,dport=53),"
             "reply=(src=10.0.0.8,dst=10.0.0.1,sport=53,dport=1000),zone=1,mark=241,"
             "labels=0x80000000000000000000000000000000",)),
    Dialogue("6.12 force turns the connection round", (
        (0.0, Track(zone=1, commit=True, mark=(1, 1)), u(), "new|trk"),
        (0.0, FORCE, u(), "new|trk"),
        (0.0, FORCE, u(sport=53, src=B, dst=A, dport=1000), "new|trk"),
    ), dump=("udp,orig=(src=10.0.0.8,dst=10.0.0.1,sport=53,dport=1000),"
             "reply=(src=10.0.0.1,dst=10.0.0.8,sport=1000,dport=53),zone=1",)),
    Dialogue("6.12 force with SYN+ACK only ends it", (
        (0.0, COMMIT, a("S"), "new|trk"),
        (0.0, FORCE, b("SA", ack=101), "inv|trk"),
    ), dump=()),
    Dialogue("6.13 6.14 zone limit", (
        (0.0, COMMIT, u(1), "new|trk"),
        (0.0, COMMIT, u(2), "new|trk"),
        (0.0, COMMIT, u(3), "new|trk"),
        (0.0, Track(zone=2, commit=True), u(3), "new|trk"),
        (0.0, LOOK, u(sport=53, src=B, dst=A, dport=2), "est|rpl|trk"),
        (0.0, LOOK, u(sport=53, src=B, dst=A, dport=3), "new|trk"),
    ), setup=("ct-set-limits zone=1,limit=2",), make=limited(limits={1: 2})),
    Dialogue("6.14 3.1 shares the default limit among zones", (
        (0.0, COMMIT, u(1), "new|trk"),
        (0.0, Track(zone=2, commit=True), u(1), "new|trk"),
        (0.0, Track(zone=2), u(sport=53, src=B, dst=A, dport=1), "new|trk"),
        (0.0, LOOK, u(sport=53, src=B, dst=A, dport=1), "est|rpl|trk"),
    ), setup=("ct-set-limits default=1",), make=limited(limits={-1: 1})),
    Dialogue("6.14 limit 0", (
        (0.0, COMMIT, u(1), "new|trk"),
    ), setup=("ct-set-limits zone=1,limit=0",), make=limited(limits={1: 0}), dump=()),
    Dialogue("6.14 maxconns", (
        (0.0, COMMIT, u(1), "new|trk"),
        (0.0, COMMIT, u(2), "new|trk"),
        (0.0, LOOK, u(sport=53, src=B, dst=A, dport=2), "new|trk"),
    ), setup=("ct-set-maxconns 1",), make=limited(max_connections=1)),
    Dialogue("6.15 what is over still counts", (
        *HANDSHAKE,
        (1.0, LOOK, a("R", 101), "est|trk"),
        (2.0, COMMIT, a("S", 5000), "new|trk"),
        (2.0, LOOK, b("SA", ack=5001), "inv|trk"),
    ), setup=("ct-set-limits zone=1,limit=1",), make=limited(limits={1: 1}), dump=()),
    Dialogue("6.17 once more in the same zone", (
        (0.0, COMMIT, u(), "new|trk"),
        (0.0, (LOOK, LOOK), u(sport=53, src=B, dst=A, dport=1000), "est|rpl|trk"),
        (0.0, (COMMIT, Track(zone=1, commit=True, mark=(5, 0xF))), u(1001), "new|trk"),
    )),
    Dialogue("6.18 with nat the long way is gone twice", (
        (0.0, (SNAT, BARE), a("A", 101), "est|trk|snat"),
        (0.0, (COMMIT, BARE), _segment(A, B, 1001, 80, "A", 101, 1), "new|trk"),
    )),
    Dialogue("7.3 a segment without data passes the sequence test", (
        *HANDSHAKE,
        (0.0, LOOK, a("A", 1_000_101, 501), "est|trk"),
        (0.0, LOOK, a("A", 1_000_101, 501, data=1), "inv|trk"),
    )),
    Dialogue("7.5 RST has to be exact, and the ISN stands until data", (
        *HANDSHAKE,
        (0.0, LOOK, a("R", 102), "inv|trk"),
        (0.0, LOOK, a("R", 101), "est|trk"),
    )),
    Dialogue("7.7 7.8 closing, with its timers", (
        *HANDSHAKE,
        (1.0, LOOK, a("FA", 101, 501), "est|trk"),
        (2.0, LOOK, b("A", 501, 102), "est|rpl|trk"),
        (3.0, LOOK, b("FA", 501, 102), "est|rpl|trk"),
        (4.0, LOOK, a("A", 102, 502), "est|trk"),
        (33.999, LOOK, b("A", 502, 102), "est|rpl|trk"),
        (64.0, LOOK, b("A", 502, 102), "new|trk"),
    )),
    Dialogue("8.1 expiry to the millisecond", (
        (0.0, COMMIT, u(), "new|trk"),
        (59.999, LOOK, u(), "new|trk"),
        (119.998, LOOK, u(), "new|trk"),
        (119.998, LOOK, u(sport=53, src=B, dst=A, dport=1000), "est|rpl|trk"),
        (149.997, LOOK, u(), "est|trk"),
        (179.997, LOOK, u(), "new|trk"),
    ), dump=()),
    Dialogue("9.1 translation only with nat", (
        (0.0, SNAT, u(), "new|trk|snat"),
        (0.0, LOOK, u(), "new|trk"),
        (0.0, BARE, u(), "new|trk|snat"),
        (0.0, LOOK, u(53, B, C, 1000), "est|rpl|trk"),
        (0.0, BARE, u(53, B, C, 1000), "est|rpl|trk|dnat"),
    )),
    Dialogue("9.2 nat on what was committed without does nothing", (
        (0.0, COMMIT, u(), "new|trk"),
        (0.0, SNAT, u(), "new|trk"),
    )),
    Dialogue("9.4 source ports", tuple(
        (0.0, SNAT, udp(src, B, port, 53), "new|trk|snat")
        for port in (550, 511, 1023, 65535, 1024, 1)
        for src in ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    )),
    Dialogue("9.6 DNAT without ports moves the source port", tuple(
        (0.0, Track(zone=1, commit=True, nat=dnat()), udp(A, dst, 2000, 53), "new|trk|dnat")
        for dst in ("10.0.0.8", "10.0.0.9", "10.0.0.10")
    )),
    Dialogue("9.6 DNAT to one port", tuple(
        (0.0, Track(zone=1, commit=True, nat=dnat(low=80)), udp(A, dst, 2000, 53), "new|trk|dnat")
        for dst in ("10.0.0.8", "10.0.0.9", "10.0.0.10")
    )),
    Dialogue("9.8 all zero", (
        (0.0, Track(zone=1, commit=True, nat=Nat(NatKind.SRC)), u(), "new|trk|snat"),
        (0.0, BARE, u(53, B, A, 1000), "est|rpl|trk|dnat"),
    )),
    Dialogue("9.9 9.10 one ICMP id, then nothing is left", (
        (0.0, SNAT, ping(), "new|trk|snat"),
        (0.0, SNAT, ping(src="10.0.0.2"), "new|trk"),
    )),
    Dialogue("9.10 one port, then nothing is left", (
        (0.0, Track(zone=1, commit=True, nat=snat(low=3000)), u(), "new|trk|snat"),
        (0.0, Track(zone=1, commit=True, nat=snat(low=3000)), u(1001), "new|trk"),
    )),
    Dialogue("9.11 errors are translated inside too", (
        (0.0, SNAT, u(), "new|trk|snat"),
        (0.0, BARE, about(u(src=C), "10.0.0.99", C), "rel|rpl|trk|dnat"),
        (0.0, LOOK, about(u(src=C), "10.0.0.99", C), "rel|rpl|trk"),
    )),
    Dialogue("9.12 a second zone", (
        (0.0, (Track(zone=1, commit=True, nat=dnat()), Track(zone=2, commit=True,
                                                             nat=snat("10.0.0.66"))), u(),
         "new|trk|snat"),
    )),
    Dialogue("9.13 translated already", (
        (0.0, (SNAT, LOOK), u(), "new|trk|snat"),
        (0.0, (SNAT, SECOND_PORT), u(), "new|trk|snat"),
    )),
    Dialogue("found 1: what is left of a translated connection", (
        (0.0, SNAT, a("S"), "new|trk|snat"),
        (0.0, BARE, a("R", 101), "est|trk|snat"),
        (0.0, SNAT, a("S", 5000), "new|trk|snat"),
        (0.0, BARE, _segment(B, C, 80, 1000, "SA", 1, 5001), "inv|trk"),
        (0.0, BARE, _segment(B, C, 80, 1001, "SA", 1, 5001), "est|rpl|trk|dnat"),
    ), dump=("tcp,orig=(src=10.0.0.1,dst=10.0.0.8,sport=1000,dport=80),"
             "reply=(src=10.0.0.8,dst=10.0.0.77,sport=80,dport=1001),zone=1,"
             "protoinfo=(state=ESTABLISHED)",)),
    Dialogue("found 2: force does not turn a translated connection round", (
        (0.0, SNAT, u(), "new|trk|snat"),
        (0.0, FORCE, u(53, B, C, 1000), "est|rpl|trk"),
    )),
    Dialogue("found 9: ICMP by number", (
        (0.0, COMMIT, ip(A, B, 58, b"\x81" + bytes(19)), "inv|trk"),
        (0.0, COMMIT, ip(A, B, 58, b"\x80" + bytes(19)), "new|trk"),
        (0.0, COMMIT, ip(B, A, 58, b""), "est|rpl|trk"),
    ), dump=("icmpv6,orig=(src=10.0.0.1,dst=10.0.0.8,id=0,type=0,code=0),"
             "reply=(src=10.0.0.8,dst=10.0.0.1,id=0,type=0,code=0),zone=1",)),
    Dialogue("0.2 bare nat that commits", (
        (0.0, Track(zone=1, commit=True, nat=Nat()), u(), "new|trk"),
        (0.0, LOOK, u(53, B, A, 1000), "new|trk"),
        (0.0, Track(zone=1, commit=True, nat=Nat()), u(1001), "new|trk"),
    ), dump=("udp,orig=(src=10.0.0.1,dst=10.0.0.8,sport=1000,dport=53),"
             "reply=(src=0.0.0.0,dst=10.0.0.1,sport=53,dport=0),zone=1",)),
)  # fmt: skip


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.name)
def test_dialogue(dialogue: Dialogue) -> None:
    play(dialogue)


@pytest.mark.real_ovs
@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.name)
def test_dialogue_with_the_program(real_ovs: RealOvs, dialogue: Dialogue) -> None:
    play_both(real_ovs, dialogue)


def test_a_policy_decides_how_long_and_unknown_names_are_refused() -> None:
    tracker = UserspaceTracker(policies={"short": {"udp_first": 5, "udp_single": 7}})
    request = Track(zone=1, commit=True, timeout="short")
    one = (Step(request),)
    assert ask_model(tracker, one, 0.0, bytes(12) + u())[0].state == "new|trk"
    assert [c.timeout for c in tracker.connections(0.0)] == [5.0]
    ask_model(tracker, (Step(LOOK),), 4.999, bytes(12) + u())
    assert [c.timeout for c in tracker.connections(4.999)] == [7.0]
    tracker.set_policy("short", {"udp_single": 9})
    ask_model(tracker, (Step(LOOK),), 5.0, bytes(12) + u())
    assert [c.timeout for c in tracker.connections(5.0)] == [9.0]
    with pytest.raises(OvsctError, match="no timeout policy 'long'"):
        ask_model(tracker, (Step(Track(timeout="long")),), 6.0, bytes(12) + u())
    with pytest.raises(OvsctError, match="no attribute 'tcp_nothing'"):
        tracker.set_policy("bad", {"tcp_nothing": 1})


def test_what_ends_is_told_in_order_and_to_the_millisecond() -> None:
    tracker = UserspaceTracker()
    for n in range(5):
        ask_model(tracker, (Step(COMMIT),), n / 1000, bytes(12) + u(1000 + n))
    ask_model(tracker, (Step(COMMIT),), 1.0, bytes(12) + a("S"))
    assert tracker.advance(30.999) == ()
    assert [event.at for event in tracker.advance(31.0)] == [31.0]
    assert [event.at for event in tracker.advance(60.002)] == [60.0, 60.001, 60.002]
    # Swept at 20, 40 and 60 s: the last two still count.
    assert tracker.count == 4 and tracker.unswept == 2
    assert [event.at for event in tracker.advance(100.0)] == [60.003, 60.004]
    assert tracker.count == 0
    assert tracker.connections(100.0) == []


def test_flush_by_zone_and_by_tuple() -> None:
    tracker = UserspaceTracker(limits={1: 10})
    for zone in (1, 2):
        for port in (1, 2):
            ask_model(tracker, (Step(Track(zone=zone, commit=True)),), 0.0, bytes(12) + u(port))
    entry = next(iter(tracker._entries.values()))
    assert not tracker.flush_tuple(entry.forward + (9 << 24), 0.0)
    assert tracker.flush_tuple(entry.forward, 0.0)
    assert tracker.limits() == {1: (10, 1)}
    tracker.flush(Selection(zone=1))
    assert [c.zone for c in tracker.connections(0.0)] == [2, 2]
    tracker.flush()
    assert tracker.connections(0.0) == [] and tracker.count == 0
    assert tracker.advance(1000.0) == ()


