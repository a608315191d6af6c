"""FTP and TFTP in the userspace dialect: what is expected, and what of it is related."""

from __future__ import annotations

import random

import pytest

from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.conntrack.tuples import Parts, pack, reverse
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.conntrack.userspace_entry import Stateful
from ovsct.conntrack.userspace_helpers import read_v4, read_v6
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.checksum import l4_checksum_ok
from ovsct.packet.packet import parse
from tests.conntrack.userspace_dialogue import Dialogue, play, play_both
from tests.conntrack.userspace_talk import ACK, PSH, RST, SYN, ip, summed, tcp, udp
from tests.judges import real_ovs

__all__ = ["real_ovs"]

A, B, POOL = "10.0.0.1", "10.0.0.8", "10.0.0.77"
LOOK, COMMIT = Track(zone=1), Track(zone=1, commit=True)
ALG = Track(zone=1, commit=True, helper="ftp", mark=(6, 0xFF))
NAT = Track(
    zone=1, commit=True, helper="ftp", nat=Nat(NatKind.SRC, 4, 0x0A00004D, 0x0A00004D)
)
TFTP = Track(zone=1, commit=True, helper="tftp", mark=(6, 0xFF))


def say(src: str, dst: str, sport: int, dport: int, flags: int, seq: int, ack: int,
        text: bytes = b"") -> bytes:
    head = tcp(src, dst, sport, dport, flags, seq, ack, 8192)
    start = 22 if head[:2] == b"\x08\x00" else 42
    segment = head[start:] + text
    return ip(src, dst, 6, summed(src, dst, 6, segment[:16] + b"\0\0" + segment[18:], 16))


def control(
    request: Track, port: int = 21, to: str = A
) -> tuple[tuple[float, Track, bytes, str], ...]:
    nat = "|snat" if request.nat else ""
    back = "|dnat" if request.nat else ""
    return (
        (0.0, request, say(A, B, 3000, port, SYN, 100, 0), f"new|trk{nat}"),
        (0.0, request, say(B, to, port, 3000, SYN | ACK, 900, 101), f"est|rpl|trk{back}"),
        (0.0, request, say(A, B, 3000, port, ACK, 101, 901), f"est|trk{nat}"),
    )


PORT = say(A, B, 3000, 21, PSH | ACK, 101, 901, b"PORT 10,0,0,1,19,137\r\n")
PASV = say(B, A, 21, 3000, PSH | ACK, 901, 101, b"227 Entering (10,0,0,8,19,138).\r\n")

DIALOGUES = (
    Dialogue("10.1 no helper without alg=", (
        *control(COMMIT),
        (0.0, LOOK, PORT, "est|trk"),
        (0.0, LOOK, say(B, A, 20, 5001, SYN, 1, 0), "new|trk"),
    )),
    Dialogue("6.19 10.2 10.3 10.4 PORT, mark and all", (
        *control(ALG),
        (0.0, LOOK, PORT, "est|trk"),
        (0.0, LOOK, say(B, A, 20, 5001, SYN, 1, 0), "new|rel|trk"),
        (0.0, COMMIT, say(B, A, 20, 5001, SYN, 1, 0), "new|rel|trk"),
        # 6.19: a child keeps the mark that it took over.
        (0.0, ALG, say(A, B, 5001, 20, SYN | ACK, 1, 2), "est|rel|rpl|trk"),
        # Not used up: another source port will do.
        (0.0, LOOK, say(B, A, 4000, 5001, SYN, 1, 0), "new|rel|trk"),
        (0.0, LOOK, say(B, A, 20, 5002, SYN, 1, 0), "new|trk"),
    )),
    Dialogue("10.2 227", (
        *control(ALG),
        (0.0, LOOK, PASV, "est|rpl|trk"),
        (0.0, LOOK, say(A, B, 3001, 5002, SYN, 1, 0), "new|rel|trk"),
    )),
    Dialogue("10.2 not EPRT over IPv4", (
        *control(ALG),
        (0.0, LOOK, say(A, B, 3000, 21, PSH | ACK, 101, 901, b"EPRT |1|10.0.0.1|5001|\r\n"),
         "est|trk"),
        (0.0, LOOK, say(B, A, 20, 5001, SYN, 1, 0), "new|trk"),
    )),
    Dialogue("6.9 another's address, or no address", (
        *control(ALG),
        (0.0, LOOK, say(A, B, 3000, 21, PSH | ACK, 101, 901, b"PORT 10,0,0,2,19,137\r\n"),
         "est|inv|trk"),
        (0.0, LOOK, say(A, B, 3000, 21, PSH | ACK, 123, 901, b"PORT 10,0,0,1,256,1\r\n"),
         "est|inv|trk"),
        (0.0, LOOK, say(B, A, 20, 5001, SYN, 1, 0), "new|trk"),
    )),
    Dialogue("10.3 what was expected goes with the control connection", (
        *control(ALG),
        (0.0, LOOK, PORT, "est|trk"),
        (1.0, LOOK, say(A, B, 3000, 21, RST | ACK, 123, 901), "est|trk"),
        (2.0, LOOK, say(B, A, 20, 5001, SYN, 1, 0), "new|rel|trk"),
        (100.0, LOOK, say(B, A, 20, 5001, SYN, 1, 0), "new|trk"),
    )),
    Dialogue("10.5 a child is translated as its parent", (
        *control(NAT, to=POOL),
        (0.0, NAT, PORT, "est|trk|snat"),
        (0.0, NAT, say(B, POOL, 20, 5001, SYN, 1, 0), "new|rel|trk|dnat"),
    )),
    Dialogue("10.3 TFTP", (
        (0.0, TFTP, udp(A, B, 1000, 69), "new|trk"),
        (0.0, LOOK, udp(B, A, 5000, 1000), "new|rel|trk"),
        (0.0, LOOK, udp(B, A, 5000, 1001), "new|trk"),
    )),
)  # fmt: skip


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.name)
def test_dialogue(dialogue: Dialogue) -> None:
    play(dialogue)


@pytest.mark.real_ovs
@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.name)
def test_dialogue_with_the_program(real_ovs: RealOvs, dialogue: Dialogue) -> None:
    play_both(real_ovs, dialogue)


def test_with_room_behind_the_packet_the_address_is_translated_and_numbers_are_adjusted() -> None:
    tracker = UserspaceTracker(room=64)
    for at, request, frame, _ in control(NAT, to=POOL):
        tracker.track(parse(bytes(12) + frame, 1), request, at)
    packet = parse(bytes(12) + PORT, 1)
    tracker.track(packet, NAT, 0.0)
    assert packet.frame.endswith(b"PORT 10,0,0,77,19,137\r\n")
    again = parse(packet.frame, 1)
    assert again.end == len(packet.frame) == packet.end and l4_checksum_ok(again)
    # The server acknowledges one byte more than the client sent; later bytes of the client move.
    answer = parse(bytes(12) + say(B, POOL, 21, 3000, ACK, 901, 124), 1)
    tracker.track(answer, NAT, 0.0)
    assert int.from_bytes(answer.frame[42:46], "big") == 123 and l4_checksum_ok(answer)
    later = parse(bytes(12) + say(A, B, 3000, 21, PSH | ACK, 123, 901, b"LIST\r\n"), 1)
    tracker.track(later, NAT, 0.0)
    assert int.from_bytes(later.frame[38:42], "big") == 124 and l4_checksum_ok(later)


def test_random_payload_neither_fails_nor_hangs() -> None:
    dice = random.Random(1)
    forward = pack(Parts(4, 6, 0x0A000001, 0x0A000008, 3000, 21, 1))
    entry = Stateful(forward, reverse(forward), 0, 0, 0)
    forward6 = pack(Parts(6, 6, 1, 8, 3000, 21, 1))
    entry6 = Stateful(forward6, reverse(forward6), 0, 0, 0)
    letters = b"0123456789,. ()|:afPORTEXNDSIVpasv\xff-\r\n"
    for _ in range(20_000):
        text = bytes(dice.choice(letters) for _ in range(dice.randrange(127)))
        read_v4(dice.choice((b"PORT ", b"227 ", b"")) + text, entry)
        read_v6(dice.choice((b"EPRT |2|", b"229 Extended passive (|||", b"")) + text, entry6)
