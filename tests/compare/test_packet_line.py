from __future__ import annotations

import pytest

from ovsct.compare.conversation import Conversation
from ovsct.compare.event_line import event_line
from ovsct.compare.packet_line import packet_frames
from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.packet import build


@pytest.mark.parametrize(
    ("line", "frames"),
    [
        (
            "tcp 10.0.0.1:1000 > 10.0.0.2:80 SA seq 7 ack 9 win 100 mss 1460 wscale 7 ttl 3",
            [build.tcp("10.0.0.1", "10.0.0.2", 1000, 80, "SA", seq=7, ack=9, window=100, ttl=3,
                       options=build.mss(1460) + build.window_scale(7))],
        ),
        (
            "tcp [fc00::1]:1 > [fc00::2]:2 none len 3 flow-label 0x12",
            [build.tcp("fc00::1", "fc00::2", 1, 2, "", payload=bytes(3), label=0x12)],
        ),
        (
            "udp 10.0.0.1:1 > 10.0.0.2:2 data abcd vlan 5 vlan 6 bad l4 pad 80",
            [build.udp("10.0.0.1", "10.0.0.2", 1, 2, payload=b"\xab\xcd", vlans=[5, 6],
                       bad="l4", pad=80)],
        ),
        (
            "udp 10.0.0.1:1 > 10.0.0.2:2 no-checksum",
            [build.udp("10.0.0.1", "10.0.0.2", 1, 2, checksum=False)],
        ),
        (
            "udp 10.0.0.1:1 > 10.0.0.2:2 len 40 ident 9 frag 16",
            build.fragment(
                build.udp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(40), ident=9), [16], ident=9
            ),
        ),
        (
            "udp 10.0.0.1:1 > 10.0.0.2:2 len 40 frag 16 piece 2",
            build.fragment(
                build.udp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(40)), [16], ident=0
            )[1:],
        ),
        ("icmp 10.0.0.1 > 10.0.0.2 reply id 4 seq 2",
         [build.icmp_echo("10.0.0.1", "10.0.0.2", 4, 2, reply=True)]),
        ("ip 10.0.0.1 > 10.0.0.2 proto 47 len 9 df",
         [build.ip("10.0.0.1", "10.0.0.2", 47, bytes(9), df=True)]),
        ("sctp 10.0.0.1:1 > 10.0.0.2:2 tag 5 data 01020304",
         [build.sctp("10.0.0.1", "10.0.0.2", 1, 2, tag=5, chunks=b"\1\2\3\4")]),
        ("arp who-has 10.0.0.2 tell 10.0.0.1", [build.arp("10.0.0.1", "10.0.0.2")]),
        ("arp 10.0.0.2 is-at 02:00:00:00:00:09 for 10.0.0.1",
         [build.arp("10.0.0.2", "10.0.0.1", op=2, sha="02:00:00:00:00:09")]),
        ("error type 11 code 0 from 10.0.0.9 for udp 10.0.0.1:1 > 10.0.0.2:2",
         [build.icmp_error(build.udp("10.0.0.1", "10.0.0.2", 1, 2), kind=11, code=0,
                           src="10.0.0.9")]),
        ("hex 00 ff 0102", [b"\0\xff\1\2"]),
    ],
)  # fmt: skip
def test_a_line_is_the_frame_that_the_builders_make(line: str, frames: list[bytes]) -> None:
    assert packet_frames(line) == frames


@pytest.mark.parametrize(
    ("line", "token", "column"),
    [
        ("", None, None),
        ("tpc 10.0.0.1:1 > 10.0.0.2:2 S", "tpc", 1),
        ("tcp 10.0.0.1 > 10.0.0.2:2 S", "10.0.0.1", 5),
        ("tcp 10.0.0.1:99999 > 10.0.0.2:2 S", "10.0.0.1:99999", 5),
        ("tcp 10.0.0.1:1 < 10.0.0.2:2 S", "<", 16),
        ("tcp 10.0.0.1:1 > 10.0.0.2:2 SX", "SX", 29),
        ("tcp 10.0.0.1:1 > 10.0.0.2:2 S ttl", None, None),
        ("tcp 10.0.0.1:1 > 10.0.0.2:2 S ttl 256", "256", 35),
        ("tcp 10.0.0.1:1 > 10.0.0.2:2 S ttl 1 ttl 2", "ttl", 37),
        ("tcp 10.0.0.1:1 > 10.0.0.2:2 S id 3", "id", 31),
        ("tcp 10.0.0.1:1 > 10.0.0.2:2 S frag 10", "10", 36),
        ("tcp 10.0.0.1:1 > 10.0.0.2:2 S piece 1", "tcp", None),
        ("tcp 10.0.0.1:1 > [fc00::2]:2 S", "tcp", None),
        ("udp 10.0.0.1:1 > 10.0.0.2:2 len 20 frag 16 piece 9", "udp", None),
        ("icmp 10.0.0.1 > 10.0.0.2 ehco", "ehco", 26),
        ("error code 1", "code", 7),
        ("arp who-has 10.0.0.2 10.0.0.1", "10.0.0.1", 22),
        ("hex 0g", "0g", 5),
        ("ip 10.0.0.1 > 10.0.0.2 proto 256", "256", 30),
        ("ip 10.0.0.1 > 10.0.0.2 proto 47 bad l4", "ip", None),
        ("ip fc00::1 > fc00::2 proto 58 data 80 bad l4", "ip", None),
    ],
)
def test_what_is_wrong_is_named(line: str, token: str | None, column: int | None) -> None:
    with pytest.raises(InputError) as caught:
        packet_frames(line)
    assert (caught.value.token, caught.value.column) == (token, column)
    assert caught.value.expected or token in ("tcp", "udp", "ip")


def play(talk: str, *lines: str) -> list[Arrival]:
    talks = {"c": Conversation(talk)}
    found: list[Arrival] = []
    for line in lines:
        found += event_line(line, found[-1].at if found else 0.0, talks)
    return found


def test_a_conversation_keeps_its_sequence_numbers() -> None:
    def segment(port: int, flags: str, seq: int, ack: int, length: int = 0) -> tuple[int, bytes]:
        ends = ("10.0.0.1", "10.0.0.2", 1000, 80)
        if port == 2:
            ends = ("10.0.0.2", "10.0.0.1", 80, 1000)
        return port, build.tcp(*ends, flags, seq=seq, ack=ack, payload=bytes(length))

    arrivals = play(
        "tcp p1 10.0.0.1:1000 > p2 10.0.0.2:80",
        "1.5 c > S", "+0.1 c < SA", "c > A", "c > PA len 100", "c < A", "c > A seq 5",
        "c > FA", "c < FA", "c > A",
    )  # fmt: skip
    assert [(port, frame) for _, port, frame in arrivals] == [
        segment(1, "S", 1000, 0),
        segment(2, "SA", 5000, 1001),
        segment(1, "A", 1001, 5001),
        segment(1, "PA", 1001, 5001, 100),
        segment(2, "A", 5001, 1101),
        segment(1, "A", 5, 5001),
        segment(1, "FA", 1101, 5001),
        segment(2, "FA", 5001, 1102),
        segment(1, "A", 1102, 5002),
    ]
    assert [at for at, _, _ in arrivals] == [1.5] + [1.6] * 8


def test_the_second_end_answers_to_the_addresses_that_it_sees() -> None:
    out, back = play(
        "udp p1 10.0.0.1:9 > p2 8.8.8.8:53 as 192.0.2.1:7 > 8.8.8.8:53", "c > len 2", "c <"
    )
    assert out == Arrival(0.0, 1, build.udp("10.0.0.1", "8.8.8.8", 9, 53, payload=bytes(2)))
    assert back == Arrival(0.0, 2, build.udp("8.8.8.8", "192.0.2.1", 53, 7))


def test_echo_requests_are_counted() -> None:
    arrivals = play("icmp p1 10.0.0.1 > p2 10.0.0.2", "c > id 3", "c < id 3", "c >")
    assert [frame for _, _, frame in arrivals] == [
        build.icmp_echo("10.0.0.1", "10.0.0.2", 3, 1),
        build.icmp_echo("10.0.0.2", "10.0.0.1", 3, 1, reply=True),
        build.icmp_echo("10.0.0.1", "10.0.0.2", 1, 2),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0.5 c > S", "1: time runs backwards: '0.5' (expected 1 or later)"),
        ("d > S", "neither a port nor a conversation: 'd' (expected c or a port such as p1)"),
        ("p0 hex 00", "a port from p1 to p65279"),
        ("c = S", "3: unexpected word: '=' (expected > or <)"),
        ("c > Q", "5: no TCP flags: 'Q'"),
        ("c > S sqe 1", "did you mean 'seq'?"),
        ("+1", "the line ends too soon"),
    ],
)
def test_a_wrong_event_line(line: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        list(event_line(line, 1.0, {"c": Conversation("tcp p1 10.0.0.1:1 > p2 10.0.0.2:2")}))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["", "sctp p1 10.0.0.1:1 > p2 10.0.0.2:2", "tcp 10.0.0.1:1 > p2 10.0.0.2:2",
     "tcp p1 10.0.0.1 > p2 10.0.0.2:2", "tcp p1 10.0.0.1:1 > p2 10.0.0.2:2 is 1:1 > 2:2",
     "icmp p1 10.0.0.1:1 > p2 10.0.0.2", "udp p1 10.0.0.1:1 > p2 10.0.0.2:2 as 1.1.1.1:1 >",
     "udp p1 10.0.0.1:1 > p2 10.0.0.2:2 as 1.1.1.1:1 > 2.2.2.2:2 x"],
)  # fmt: skip
def test_a_wrong_conversation(line: str) -> None:
    with pytest.raises(InputError):
        Conversation(line)
