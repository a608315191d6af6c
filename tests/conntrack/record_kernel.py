"""Records what a real ovs-vswitchd over a real kernel's datapath makes of whole conversations.

    OVSCT_UML=... python -m tests.conntrack.record_kernel uml:6.1 nat-helpers

writes ``recorded/lane/nat-helpers-6.1.json``: flows, frames, what left, and the lines of
/proc/net/nf_conntrack after each. :mod:`tests.conntrack.test_kernel_lane` plays them to the lane
``ovs-kernel``. Expected values are the kernel's; only the frames that go in are made here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovsct.lane import Arrival
from ovsct.packet.build import tcp, udp

FOLDER = Path(__file__).parent / "recorded" / "lane"
FOLDER_NOTE = "python -m tests.conntrack.record_kernel: ovs-vswitchd 3.1 over openvswitch.ko"


@dataclass(frozen=True)
class Case:
    """Flows, and frames with their times and ports; `sysctls` under net.netfilter, and limits."""

    name: str
    flows: Sequence[str]
    talk: Sequence[tuple[float, int, bytes]]
    sysctls: Sequence[tuple[str, int]] = ()
    limits: str = ""


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
    from ovsct.packet.packet import parse

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


SETS: dict[str, Callable[[], list[Case]]] = {"nat-helpers": _nat_helpers}


def record(kernel: str, name: str) -> None:
    """Play one set of cases to a real kernel and write down what it did."""
    from ovsct.oracle.kernel.kernel_ovs import KernelOvs

    cases = []
    with KernelOvs(kernel=kernel) as real:
        for case in SETS[name]():
            real.reset(case.flows)
            steps = []
            for at, port, frame in case.talk:
                out = real.receive(Arrival(at, port, frame)).out
                steps.append({
                    "at": at, "port": port, "frame": frame.hex(),
                    "out": [[each.port, each.frame.hex()] for each in out],
                    "conntrack": [
                        " ".join(line.split()).rpartition(" use=")[0]
                        for line in real.dump_conntrack()
                    ],
                })  # fmt: skip
            cases.append({"name": case.name, "flows": list(case.flows), "steps": steps})
        release = real.release
    FOLDER.mkdir(exist_ok=True)
    short = ".".join(release.split(".")[:2])
    head = json.dumps({"kernel": release, "how": FOLDER_NOTE})[:-1]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (FOLDER / f"{name}-{short}.json").write_text(f'{head}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    record(sys.argv[1], sys.argv[2])
