"""Records what a real ovs-vswitchd over a real kernel's datapath makes of whole conversations.

    OVSCT_UML=... python -m tests.conntrack.record_kernel uml:6.1 nat-helpers

writes ``recorded/lane/nat-helpers-6.1.json``: flows, frames, what left, and the lines of
/proc/net/nf_conntrack after each. :mod:`tests.conntrack.test_kernel_lane` plays them to the lane
``ovs-kernel``. Expected values are the kernel's; only the frames that go in are made here.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import product
from pathlib import Path
from typing import Any

from ovsct.conntrack.netfilter.stat import COLUMNS
from ovsct.lane import Arrival
from ovsct.oracle.kernel.kernel_ovs import KernelOvs
from ovsct.packet.build import fragment, icmp_echo, icmp_error, ip, tcp, udp
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import parse

FOLDER = Path(__file__).parent / "recorded" / "lane"
FOLDER_NOTE = "python -m tests.conntrack.record_kernel: ovs-vswitchd 3.1 over openvswitch.ko"


@dataclass(frozen=True)
class Case:
    """Flows, and frames with their times and ports. Before that `sysctls` are set (net.netfilter,
    without ``nf_conntrack_``), and zone limits.
    """

    name: str
    flows: Sequence[str]
    talk: Sequence[tuple[float, int | None, bytes]]
    sysctls: Mapping[str, int] = field(default_factory=dict)
    zone_limits: Mapping[str, int] = field(default_factory=dict)
    answers: bool = False
    """Whether what leaves on port 2 is answered there."""
    ports: tuple[int, int] = (0, 0)
    """The range of ports that NAT is asked for."""


CLIENT, SERVER, POOL = "10.0.0.1", "10.0.0.2", "10.0.0.100"
CLIENT6, SERVER6, POOL6 = "fc00::1", "fc00::2", "fc00::abcd"


def nat_flows(nat: str, helper: str, family: int = 4) -> list[str]:
    """A gateway: what client or server begins is committed with `nat` and `helper`."""
    ip, proto = ("ip", {"ftp": "tcp", "tftp": "udp"}[helper])
    if family == 6:
        ip, proto = "ipv6", proto + "6"
    port = {"ftp": 21, "tftp": 69}[helper]
    return [
        f"table=0,priority=10,{ip},actions=ct(zone=2,nat,table=1)",
        f"table=1,priority=20,ct_state=+trk+new+rel,{ip},in_port=1,"
        "actions=ct(commit,zone=2,nat),output:2",
        f"table=1,priority=20,ct_state=+trk+new+rel,{ip},in_port=2,"
        "actions=ct(commit,zone=2,nat),output:1",
        f"table=1,priority=10,ct_state=+trk+new,{proto},in_port=1,tp_dst={port},"
        f"actions=ct(commit,zone=2,alg={helper},nat({nat})),output:2",
        f"table=1,priority=5,ct_state=+trk+est,{ip},in_port=1,actions=output:2",
        f"table=1,priority=5,ct_state=+trk+est,{ip},in_port=2,actions=output:1",
        f"table=1,priority=5,ct_state=+trk+rel,{ip},in_port=1,actions=output:2",
        f"table=1,priority=5,ct_state=+trk+rel,{ip},in_port=2,actions=output:1",
    ]


class Ftp:
    """A control connection, seen from both ends; the addresses are those that each end sees."""

    def __init__(self, client: str, server: str, seen_client: str, seen_server: str) -> None:
        self.there = (client, server, 1000, 21)
        self.back = (seen_server, seen_client, 21, 1000)
        self.at = 0.0
        self.talk: list[tuple[float, int, bytes]] = []

    def put(self, port: int, frame: bytes, pause: float = 0.1) -> None:
        self.at = round(self.at + pause, 3)
        self.talk.append((self.at, port, frame))

    def c(self, flags: str, seq: int, ack: int, text: str = "", options: bytes = b"") -> None:
        self.put(1, tcp(*self.there, flags, seq=seq, ack=ack, payload=text.encode(),
                        options=options))  # fmt: skip

    def s(self, flags: str, seq: int, ack: int, text: str = "", options: bytes = b"") -> None:
        self.put(2, tcp(*self.back, flags, seq=seq, ack=ack, payload=text.encode(),
                        options=options))  # fmt: skip

    def hello(self) -> None:
        """Handshake and a line each way, so that lines are known to begin at 109 and 509."""
        sack = b"\4\2\1\1"
        self.c("S", 100, 0, options=sack)
        self.s("SA", 500, 101, options=sack)
        self.c("A", 101, 501)
        self.s("PA", 501, 101, "220 hi\r\n")
        self.c("PA", 101, 509, "USER x\r\n")
        self.s("A", 509, 109)


def active(
    command: str, grown: int, ends: tuple[str, str, str, str], data: tuple[str, str, int],
    answer: tuple[str, str, int],
) -> list[tuple[float, int, bytes]]:  # fmt: skip
    """The client announces; the server connects to `data` (source, destination, port)."""
    ftp = Ftp(*ends)
    ftp.hello()
    end = 109 + len(command)
    ftp.c("PA", 109, 509, command)
    ftp.c("PA", 109, 509, command)  # once more
    ftp.s("A", 509, end + grown)
    ftp.s("PA", 509, end + grown, "200 ok\r\n")
    ftp.c("A", end, 517)
    ftp.c("PA", end, 517, "NOOP\r\n")
    # A selective acknowledgement of what came behind the announcement, in grown numbers.
    block = (end + grown + 6).to_bytes(4, "big") + (end + grown + 12).to_bytes(4, "big")
    ftp.s("A", 517, end + grown, options=b"\1\1\5\x0a" + block)
    ftp.s("A", 517, end + grown + 6)
    source, target, port = data
    there, back, real = answer
    ftp.put(2, tcp(source, target, 20, port, "S", seq=9000))
    ftp.put(1, tcp(there, back, real, 20, "SA", seq=7000, ack=9001))
    ftp.put(2, tcp(source, target, 20, port, "A", seq=9001, ack=7001))
    ftp.put(2, tcp(source, target, 20, port, "PA", seq=9001, ack=7001, payload=b"data"))
    # A second announcement, and its end.
    again = command.replace(",137", ",138").replace("5001", "5002")
    ftp.c("PA", end + 6, 517, again)
    ftp.s("A", 517, end + 6 + len(again) + 2 * grown)
    ftp.c("FA", end + 6 + len(again), 517)
    ftp.s("FA", 517, end + 7 + len(again) + 2 * grown)
    ftp.c("A", end + 7 + len(again), 518)
    return ftp.talk


def passive(
    line: str, grown: int, ends: tuple[str, str, str, str], data: tuple[str, str, int],
    answer: tuple[str, str, int],
) -> list[tuple[float, int, bytes]]:  # fmt: skip
    """The server announces; the client connects to `data`."""
    ftp = Ftp(*ends)
    ftp.hello()
    ftp.c("PA", 109, 509, "PASV\r\n")
    ftp.s("PA", 509, 115, line)
    end = 509 + len(line)
    ftp.c("A", 115, end + grown)
    ftp.c("PA", 115, end + grown, "NOOP\r\n")
    ftp.s("PA", end, 121, "200 ok\r\n")
    ftp.c("A", 121, end + grown + 8)
    source, target, port = data
    there, back, real = answer
    ftp.put(1, tcp(source, target, 4000, port, "S", seq=9000))
    ftp.put(2, tcp(there, back, real, 4000, "SA", seq=7000, ack=9001))
    ftp.put(1, tcp(source, target, 4000, port, "A", seq=9001, ack=7001))
    return ftp.talk


def _nat_helpers() -> list[Case]:
    snat, dnat = nat_flows(f"src={POOL}", "ftp"), nat_flows(f"dst={SERVER}", "ftp")
    vip = "10.0.0.200"
    behind = (CLIENT, SERVER, POOL, SERVER)
    port = "PORT 10,0,0,1,19,137\r\n"
    clash = [
        f"table=1,priority=15,ct_state=+trk+new,tcp,in_port=1,nw_src={client},tp_dst=21,"
        f"actions=ct(commit,zone=2,alg=ftp,nat(src={POOL}:{low}-{low})),output:2"
        for client, low in ((CLIENT, 3001), ("10.0.0.3", 3002))
    ]
    second = [
        (at + 50, which, frame)
        for at, which, frame in active(
            "PORT 10,0,0,3,19,137\r\n", 2, ("10.0.0.3", SERVER, POOL, SERVER),
            (SERVER, POOL, 5001), ("10.0.0.3", SERVER, 5001),
        )
    ]  # fmt: skip
    tftp = nat_flows(f"src={POOL}", "tftp")
    request = b"\0\1f\0octet\0"
    return [
        Case("port-snat", snat, active(port, 2, behind, (SERVER, POOL, 5001),
                                       (CLIENT, SERVER, 5001))),
        Case("eprt-snat", snat, active("EPRT |1|10.0.0.1|5001|\r\n", 2, behind,
                                       (SERVER, POOL, 5001), (CLIENT, SERVER, 5001))),
        Case("port-of-another-snat", snat, active("PORT 10,0,0,9,19,137\r\n", 0, behind,
                                                  (SERVER, POOL, 5001), (CLIENT, SERVER, 5001))),
        Case("pasv-snat", snat, passive("227 Passive (10,0,0,2,19,137).\r\n", 0, behind,
                                        (CLIENT, SERVER, 5001), (SERVER, POOL, 5001))),
        Case("pasv-dnat", dnat, passive("227 Passive (10,0,0,2,19,137).\r\n", 2,
                                        (CLIENT, vip, CLIENT, SERVER), (CLIENT, vip, 5001),
                                        (SERVER, CLIENT, 5001))),
        Case("epsv-dnat", dnat, passive("229 Extended (|||5001|)\r\n", 0,
                                        (CLIENT, vip, CLIENT, SERVER), (CLIENT, vip, 5001),
                                        (SERVER, CLIENT, 5001))),
        Case("eprt6-snat", nat_flows(f"src={POOL6}", "ftp", 6),
             active("EPRT |2|fc00::1|5001|\r\n", 32, (CLIENT6, SERVER6, POOL6, SERVER6),
                    (SERVER6, POOL6, 5001), (CLIENT6, SERVER6, 5001))),
        Case("epsv6-snat", nat_flows(f"src={POOL6}", "ftp", 6),
             passive("229 Extended (|||5001|)\r\n", 0, (CLIENT6, SERVER6, POOL6, SERVER6),
                     (CLIENT6, SERVER6, 5001), (SERVER6, POOL6, 5001))),
        Case("port-taken", snat[:3] + clash + snat[4:],
             [*_sport(active(port, 2, behind, (SERVER, POOL, 5001), (CLIENT, SERVER, 5001))[:9],
                      3001), *_sport(second[:9], 3002)]),
        Case("tftp-snat", tftp, [
            (0.1, 1, udp(CLIENT, SERVER, 1000, 69, payload=request)),
            (0.2, 2, udp(SERVER, POOL, 3333, 1000, payload=b"\0\3\0\1data")),
            (0.3, 1, udp(CLIENT, SERVER, 1000, 3333, payload=b"\0\4\0\1")),
            (0.4, 2, udp(SERVER, POOL, 3333, 1000, payload=b"\0\3\0\2data")),
        ]),
        Case("tftp-dnat", nat_flows(f"dst={SERVER}", "tftp"), [
            (0.1, 1, udp(CLIENT, vip, 1000, 69, payload=request)),
            (0.2, 2, udp(SERVER, CLIENT, 3333, 1000, payload=b"\0\3\0\1data")),
            (0.3, 1, udp(CLIENT, vip, 1000, 3333, payload=b"\0\4\0\1")),
        ]),
    ]  # fmt: skip


def _sport(talk: Sequence[tuple[float, int, bytes]], seen: int) -> list[tuple[float, int, bytes]]:
    """What comes from the server goes to the port that the client was translated to."""
    changed = []
    for at, port, frame in talk:
        if port == 2:
            packet = parse(frame, 1)
            l4 = packet.l4
            old = frame[l4 + 2 : l4 + 4]
            total = 0xFFFF - int.from_bytes(frame[l4 + 16 : l4 + 18], "big")
            total += seen - int.from_bytes(old, "big")
            check = (0xFFFF - (total % 65535 or 65535)).to_bytes(2, "big")
            frame = frame[: l4 + 2] + seen.to_bytes(2, "big") + frame[l4 + 4 : l4 + 16] + check \
                + frame[l4 + 18 :]  # fmt: skip
        changed.append((at, port, frame))
    return changed


def _scenario(name: str, lane: str = "ovs-kernel") -> Case:
    """A scenario of topologies/ as it is for one lane."""
    from ovsct.compare.scenario import read_scenario

    scenario = read_scenario(str(Path(__file__).parents[2] / "topologies" / f"{name}.yaml"))
    flows = scenario.setup.flows
    assert flows is not None
    options = scenario.setup.options[lane]
    talk = [
        (each.at, each.port, each.frame) if isinstance(each, Arrival) else (each.at, None, b"")
        for each in scenario.happenings()
    ]
    lines = [line for line in flows.text.splitlines() if line and not line.startswith("#")]
    return Case(name, lines, talk, {"buckets": BUCKETS, **options["sysctls"]},
                options.get("zone_limits", {}))  # fmt: skip


BUCKETS = 262144
"""As of a machine with more than 4 GB: so many that early drop finds nothing in eight of them."""


def _attack() -> list[Case]:
    flood = [
        (0.01 * n, 1, tcp(f"203.0.113.{n % 250 + 1}", SERVER, 1000 + n, 80, "S", seq=n))
        for n in range(12)
    ]
    flows = [
        "table=0,priority=10,ip,actions=ct(zone=2,table=1)",
        "table=1,priority=20,ct_state=+trk+new,ip,in_port=1,actions=ct(commit,zone=2),output:2",
        "table=1,priority=10,ct_state=+trk+est,ip,in_port=1,actions=output:2",
        "table=1,priority=10,ct_state=+trk+est,ip,in_port=2,actions=output:1",
        "table=1,priority=10,ct_state=+trk+inv,ip,actions=output:2",
    ]
    wrong = [
        (1.0, 1, tcp(CLIENT, SERVER, 1, 80, "S", bad="l4")),
        (1.1, 1, tcp(CLIENT, SERVER, 1, 80, "SF")),
        (1.2, 1, tcp(CLIENT, SERVER, 1, 80, "R")),
        (1.3, 1, udp(CLIENT, SERVER, 1, 53, payload=b"x", bad="l4")),
        (1.4, 1, icmp_echo(CLIENT, SERVER, bad="l4")),
        (1.5, 1, icmp_error(udp(SERVER, CLIENT, 99, 98))),
        (1.6, 1, icmp_error(tcp(SERVER, "203.0.113.1", 80, 1000, "SA"), src=CLIENT)),
        (1.7, 1, icmp_echo(CLIENT, SERVER)),
    ]
    return [
        _scenario("syn-flood"),
        _scenario("syn-flood-stateless"),
        Case("full", flows, [*flood, *wrong], {"max": 10, "buckets": BUCKETS}),
        Case("counted", flows, [*flood, *wrong]),
    ]


def answer(frame: bytes) -> bytes | None:
    """What the other end would say to a frame, if it says anything."""
    packet = parse(frame, 1)
    key = packet.key
    v4 = frame[12:14] == b"\x08\0"
    names = ("nw_src", "nw_dst") if v4 else ("ipv6_src", "ipv6_dst")
    kind = IPv4Address if v4 else IPv6Address
    src, dst = (str(kind(SLOTS[name].get(key))) for name in names)
    proto, l4 = SLOTS["nw_proto"].get(key), packet.l4
    sport, dport = SLOTS["tp_src"].get(key), SLOTS["tp_dst"].get(key)
    body = frame[l4 : packet.end]
    if proto == 6:
        seq = int.from_bytes(body[4:8], "big")
        return tcp(dst, src, dport, sport, "SA", seq=seq ^ 0x5A5A, ack=seq + 1)
    if proto == 17:
        return udp(dst, src, dport, sport, payload=b"answer")
    if proto in (1, 58):
        return icmp_echo(dst, src, int.from_bytes(body[4:6], "big"), reply=True)
    return ip(dst, src, proto, body)


def _translating(nat: str, family: int = 4) -> list[str]:
    proto = "ip" if family == 4 else "ipv6"
    return [
        f"table=0,priority=10,{proto},actions=ct(zone=2,nat,table=1)",
        f"table=1,priority=20,ct_state=+trk+new,{proto},in_port=1,"
        f"actions=ct(commit,zone=2,nat({nat})),output:2",
        f"table=1,priority=10,ct_state=+trk+est,{proto},in_port=1,actions=output:2",
        f"table=1,priority=10,ct_state=+trk+est,{proto},in_port=2,actions=output:1",
    ]


def _nat_flags() -> list[Case]:
    def talk(clients: Sequence[str], servers: Sequence[str]) -> list[tuple[float, int, bytes]]:
        made = []
        for number, (client, server) in enumerate(product(clients, servers)):
            made += [
                tcp(client, server, 1000, 80, "S", seq=number),
                udp(client, server, 700 + number, 53, payload=b"x"),
                icmp_echo(client, server, 7),
            ]
        return [(0.1 * n, 1, frame) for n, frame in enumerate(made)]

    four = talk([f"10.0.0.{n}" for n in (1, 3, 4)], ["10.0.0.2", "10.0.1.9"])
    six = talk([f"fc00::{n}" for n in (1, 3)], ["fc00::2", "fc00:1::9"])
    pool, pool6 = "10.0.0.100-10.0.0.103", "fc00::a0-fc00::a3"
    cases = []
    for flag in ("", ",persistent", ",hash", ",random"):
        name = flag.strip(",").replace(",", "-") or "plain"
        cases += [
            Case(f"src-{name}", _translating(f"src={pool}{flag}"), four, answers=True),
            Case(f"src-ports-{name}", _translating(f"src={pool}:2000-2007{flag}"), four,
                 answers=True, ports=(2000, 2007)),
            Case(f"dst-{name}", _translating(f"dst={pool}{flag}"), four, answers=True),
            Case(f"dst-ports-{name}", _translating(f"dst={pool}:8000-8007{flag}"), four,
                 answers=True, ports=(8000, 8007)),
            Case(f"src6-{name}", _translating(f"src={pool6}{flag}", 6), six, answers=True),
        ]  # fmt: skip
    return cases


def _gre() -> list[Case]:
    plain = b"\0\0\x08\0payload!"
    keyed = b"\x20\0\x08\0\0\0\0\7payload!"
    pptp = b"\x30\1\x88\x0b\0\4\0\7\0\0\0\1data"
    talk = [
        (0.1 * n, port, ip(*ends, 47, body))
        for n, (port, ends, body) in enumerate([
            (1, (CLIENT, SERVER), plain), (2, (SERVER, CLIENT), plain),
            (1, (CLIENT, SERVER), keyed), (1, (CLIENT, SERVER), plain),
            (1, (CLIENT, SERVER), pptp), (2, (SERVER, CLIENT), pptp),
            (1, ("10.0.0.3", SERVER), pptp), (1, ("10.0.0.3", SERVER), plain),
            (1, ("10.0.0.3", SERVER), b"\0\0"), (1, ("10.0.0.4", SERVER), b"\0\2\x08\0x"),
        ])
    ]  # fmt: skip
    flows = _translating("src=10.0.0.100")
    return [
        Case("gre", [line.replace(",nat(src=10.0.0.100)", "").replace(",nat", "")
                     for line in flows], talk),
        Case("gre-snat", flows, [each for each in talk if each[1] == 1], answers=True),
    ]  # fmt: skip


def _zones() -> list[Case]:
    """These take a kernel with conncount and GRE's tracker: a stock one, in QEMU."""
    flows = [
        "table=0,priority=10,ip,actions=ct(zone=2,table=1)",
        "table=1,priority=20,ct_state=+trk+new,ip,in_port=1,actions=ct(commit,zone=2),output:2",
        "table=1,priority=10,ct_state=+trk+est,ip,in_port=1,actions=output:2",
        "table=1,priority=10,ct_state=+trk+est,ip,in_port=2,actions=output:1",
    ]
    limited = [
        (0.0, 1, tcp(CLIENT, SERVER, 1000, 80, "S", seq=1)),
        (0.1, 1, tcp(CLIENT, SERVER, 1001, 80, "S", seq=1)),
        (0.2, 1, tcp(CLIENT, SERVER, 1002, 80, "S", seq=1)),
        # A RST as the only answer removes the entry.
        (0.3, 2, tcp(SERVER, CLIENT, 80, 1000, "RA", ack=2)),
        (0.4, 1, tcp(CLIENT, SERVER, 1003, 80, "S", seq=1)),
        (0.5, 1, tcp(CLIENT, SERVER, 1004, 80, "S", seq=1)),
    ]
    return [
        Case("limit", flows, limited, zone_limits={"2": 2}),
        Case("default-limit", flows, limited, zone_limits={"default": 2}),
        Case("limit-0", flows, limited, zone_limits={"2": 0}),
        _scenario("syn-flood-zone-limit"),
        *_gre(),
    ]


def _ipv6(chain: Sequence[tuple[int, bytes]], last: int, body: bytes) -> bytes:
    """An IPv6 packet with extension headers, each (its kind, its bytes from the third on)."""
    kinds = [kind for kind, _ in chain] + [last]
    extra = b"".join(
        bytes((after, (len(rest) + 2) // 8 - 1)) + rest
        for (_, rest), after in zip(chain, kinds[1:], strict=True)
    )
    size = (len(extra) + len(body)).to_bytes(2, "big")
    ends = b"".join(ip_address(each).packed for each in (CLIENT6, SERVER6))
    return bytes(12) + b"\x86\xdd\x60\0\0\0" + size + bytes((kinds[0], 64)) + ends + extra + body


def _pieces6(before: Sequence[tuple[int, bytes]], behind: Sequence[tuple[int, bytes]],
             sizes: Sequence[int], order: Sequence[int], ident: int) -> list[bytes]:  # fmt: skip
    """Fragments of a UDP datagram whose extension headers stand before and behind the cut."""
    total = sum(sizes)
    inner = _ipv6(behind, 17, b"")[54:] if behind else b""
    kind = behind[0][0] if behind else 17
    payload = bytes(n % 251 for n in range(total - 8 - len(inner)))
    data = udp(CLIENT6, SERVER6, 1000, 53, payload=payload)
    body = inner + data[54:]
    assert len(body) == total
    made = []
    at = 0
    for number, size in enumerate(sizes):
        word = at | (number < len(sizes) - 1)
        head = bytes((kind, 0)) + word.to_bytes(2, "big") + ident.to_bytes(4, "big")
        made.append(_ipv6(before, 44, head + body[at : at + size]))
        at += size
    return [made[number] for number in order]


def _ext_fragments() -> list[Case]:
    flows = [
        "table=0,priority=10,ipv6,actions=ct(zone=2,table=1)",
        "table=1,priority=20,ct_state=+trk+new,ipv6,in_port=1,actions=ct(commit,zone=2),output:2",
        "table=1,priority=10,ct_state=+trk+inv,ipv6,actions=output:2",
    ]
    pad = b"\1\4\0\0\0\0"
    hop, dest = (0, pad), (60, pad)
    routing = (43, b"\4\0\0\0\0\0")
    wide = (60, b"\1\x0c" + bytes(12))
    shapes: dict[str, tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]] = {
        "hop": ([hop], []),
        "dest-before": ([dest], []),
        "dest-behind": ([], [dest]),
        "wide-behind": ([], [wide]),
        "hop-dest-routing": ([hop, dest, routing], []),
        "routing-dest": ([routing], [dest]),
        "hop-and-dest-behind": ([hop], [dest]),
    }
    cases = []
    for number, (name, (before, behind)) in enumerate(shapes.items()):
        frames = _pieces6(before, behind, (1200, 800, 500), (0, 1, 2), number)
        other = _pieces6(before, behind, (1000, 1200, 36), (2, 0, 1), number + 50)
        talk = [(0.1 * n, 1, frame) for n, frame in enumerate([*frames, *other])]
        cases.append(Case(name, flows, talk))
    return cases


def _far_fragments() -> list[Case]:
    flows = [
        "table=0,priority=10,ip,actions=ct(zone=2,table=1)",
        "table=1,priority=20,ct_state=+trk+new,ip,in_port=1,actions=ct(commit,zone=2),output:2",
    ]

    def pieces(client: str, ident: int) -> list[bytes]:
        return fragment(udp(client, SERVER, 1000, 53, payload=bytes(72)), [40], ident)

    def between(client: str, count: int) -> list[bytes]:
        return [pieces(client, 1000 + n)[0] for n in range(count)]

    talks = {
        "63-between": [pieces(CLIENT, 1)[0], *between(CLIENT, 63), pieces(CLIENT, 1)[1]],
        "64-between": [pieces(CLIENT, 1)[0], *between(CLIENT, 64), pieces(CLIENT, 1)[1],
                       pieces(CLIENT, 1)[0]],
        "64-of-another-between": [pieces(CLIENT, 1)[0], *between("10.0.0.9", 64),
                                  pieces(CLIENT, 1)[1]],
    }  # fmt: skip
    return [
        Case(name, flows, [(n / 1000, 1, frame) for n, frame in enumerate(frames)])
        for name, frames in talks.items()
    ]


SETS: dict[str, Callable[[], list[Case]]] = {
    "nat-helpers": _nat_helpers, "attack": _attack, "zones": _zones,
    "ext-fragments": _ext_fragments, "nat-flags": _nat_flags,
    "far-fragments": _far_fragments,
}  # fmt: skip


# -- recording ------------------------------------------------------------------------------------

_PYTHON = os.path.realpath(sys.executable)
_WRITE = """
import sys
for word in sys.argv[1:]:
    name, _, value = word.partition("=")
    path = f"/proc/sys/net/netfilter/nf_conntrack_{name}"
    print(open(path).read().strip())
    # A sysctl is written from its beginning, or not at all.
    with open(path, "w") as file:
        file.write(value)
"""
_READ = "print(open('/proc/net/stat/nf_conntrack').read())"


def _in_guest(real: KernelOvs, code: str, *arguments: str) -> str:
    done = real.guest.ask("program", argv=[_PYTHON, "-c", code, *arguments], timeout=60.0)
    if done["code"]:
        raise RuntimeError(done["out"])
    return str(done["out"])


def statistics(real: KernelOvs) -> Counter[str]:
    """/proc/net/stat/nf_conntrack of the guest, all processors together."""
    head, *rows = (line.split() for line in _in_guest(real, _READ).splitlines() if line.strip())
    total: Counter[str] = Counter()
    for row in rows:
        for name, text in zip(head, row, strict=True):
            total[name] += int(text, 16)
    return total


@contextmanager
def set_up(real: KernelOvs, case: Case) -> Iterator[None]:
    """What the case asks for, undone behind it."""
    words = [f"{name}={value}" for name, value in case.sysctls.items()]
    old = _in_guest(real, _WRITE, *words).split() if words else []
    for zone, limit in case.zone_limits.items():
        where = "default" if zone == "default" else f"zone={zone},limit"
        real.ctl("dpctl/ct-set-limits", f"{where}={limit}")
    try:
        yield
    finally:
        if words:
            back = [f"{name}={value}" for name, value in zip(case.sysctls, old, strict=True)]
            _in_guest(real, _WRITE, *back)
        for zone in case.zone_limits:
            if zone == "default":
                real.ctl("dpctl/ct-set-limits", "default=0")
            else:
                real.ctl("dpctl/ct-del-limits", f"zone={zone}")


def record(kernel: str, name: str) -> None:
    """Play one set of cases to a real kernel and write down what it did."""
    cases = []
    with KernelOvs(kernel=kernel) as real:
        for case in SETS[name]():
            real.reset(case.flows)
            with set_up(real, case):
                cases.append(_play(real, case))
        release = real.release
    FOLDER.mkdir(exist_ok=True)
    short = ".".join(release.split(".")[:2])
    head = json.dumps({"kernel": release, "how": FOLDER_NOTE})[:-1]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (FOLDER / f"{name}-{short}.json").write_text(f'{head}, "cases": [\n{lines}\n]}}\n')


def _play(real: KernelOvs, case: Case) -> dict[str, Any]:
    before = statistics(real)
    steps: list[dict[str, Any]] = []
    for at, port, frame in case.talk:
        if port is None:
            real.advance(at)
            continue
        step = _step(real, at, port, frame)
        steps.append(step)
        for where, left in step["out"] if case.answers else ():
            back = answer(bytes.fromhex(left)) if where == 2 else None
            if back is not None:
                steps.append(_step(real, round(at + 0.01, 3), 2, back))
    if case.answers:
        # The table grows with every step, and its last state tells of all: that is enough.
        for step in steps[:-1]:
            del step["conntrack"]
    said = statistics(real)
    stat = {column: said[column] - before[column] for column in COLUMNS}
    options = {"sysctls": case.sysctls, "zone_limits": case.zone_limits}
    return {
        "name": case.name, "flows": list(case.flows), "steps": steps, "stat": stat,
        "ports": case.ports, **{key: dict(value) for key, value in options.items() if value},
    }  # fmt: skip


def _step(real: KernelOvs, at: float, port: int, frame: bytes) -> dict[str, Any]:
    """One frame, and what came of it."""
    out = real.receive(Arrival(at, port, frame)).out
    table = [" ".join(line.split()).rpartition(" use=")[0] for line in real.dump_conntrack()]
    return {
        "at": at, "port": port, "frame": frame.hex(),
        "out": [[each.port, each.frame.hex()] for each in out], "conntrack": table,
    }  # fmt: skip


if __name__ == "__main__":
    record(sys.argv[1], sys.argv[2])
