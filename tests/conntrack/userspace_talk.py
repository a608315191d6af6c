"""Conversations at random, from a seed: what the differential tests of conntrack send."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random

from ovsct.packet.checksum import checksum
from tests.conntrack.userspace_judge import Sent

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def ip(src: str, dst: str, proto: int, payload: bytes, *, options: bytes = b"", ident: int = 1,
       fragment: int = 0, bad: bool = False) -> bytes:
    """An IP packet behind its Ethernet type."""
    a, b = ip_address(src).packed, ip_address(dst).packed
    if len(a) == 16:
        head = struct.pack(">IHBB", 6 << 28, len(payload), proto, 64)
        return b"\x86\xdd" + head + a + b + payload
    size = 20 + len(options)
    head = struct.pack(
        ">BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), ident, fragment, 64, proto, 0
    )
    head += a + b + options
    total = checksum(head) ^ (0x0101 if bad else 0)
    return b"\x08\x00" + head[:10] + struct.pack(">H", total) + head[12:] + payload


def summed(src: str, dst: str, proto: int, segment: bytes, at: int, bad: bool = False) -> bytes:
    """`segment` with its checksum at offset `at`."""
    a, b = ip_address(src).packed, ip_address(dst).packed
    pseudo = int.from_bytes(a + b, "big") + proto + len(segment)
    if proto == 1:
        pseudo = 0
    total = checksum(segment, pseudo) ^ (0x1010 if bad else 0)
    return segment[:at] + struct.pack(">H", total) + segment[at + 2 :]


def tcp(src: str, dst: str, sport: int, dport: int, flags: int, seq: int, ack: int, win: int,
        data: int = 0, options: bytes = b"", bad: bool = False, offset: int | None = None) -> bytes:
    options += b"\1" * (-len(options) % 4)
    size = (20 + len(options)) // 4 if offset is None else offset
    head = struct.pack(
        ">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, size << 4, flags, win, 0, 0
    )
    return ip(src, dst, 6, summed(src, dst, 6, head + options + b"x" * data, 16, bad))


def udp(src: str, dst: str, sport: int, dport: int, data: bytes = b"data", bad: bool = False,
        length: int | None = None, unsummed: bool = False) -> bytes:
    size = 8 + len(data) if length is None else length
    segment = struct.pack(">HHHH", sport, dport, size, 0) + data
    if not unsummed:
        segment = summed(src, dst, 17, segment, 6, bad)
    return ip(src, dst, 17, segment)


def icmp(src: str, dst: str, kind: int, code: int, rest: bytes, bad: bool = False) -> bytes:
    proto = 58 if ":" in src else 1
    message = struct.pack(">BBH", kind, code, 0) + rest
    return ip(src, dst, proto, summed(src, dst, proto, message, 2, bad))


@dataclass
class End:
    """One end of a TCP connection, as far as it matters here."""

    address: str
    port: int
    next: int
    scale: int | None


@dataclass
class Talk:
    """Makes packets of a few connections at random. `family` 4 or 6."""

    dice: Random
    family: int = 4
    programs: int = 1
    protocols: Sequence[str] = ("tcp",)
    steps: Sequence[float] = (0.0, 0.0, 0.001, 0.5, 3.0)
    jumps: Sequence[float] = ()
    answers: dict[tuple[str, str], str] = field(default_factory=dict)
    whole_tcp: bool = False
    """Quote TCP whole in ICMP errors. When 3.1 translates the ports of a quoted segment that ends
    before its checksum, it writes behind the end of the packet, and dies of it sooner or later."""
    now: float = 0.0
    seen: list[bytes] = field(default_factory=list)
    """What left lately (from the Ethernet type on): answers and ICMP errors are made of it."""

    def __post_init__(self) -> None:
        prefix = "10.0.0." if self.family == 4 else "fc00::"
        self.clients = [f"{prefix}{n}" for n in (1, 2)]
        self.servers = [f"{prefix}{n}" for n in (8, 9)]
        self.flows: list[tuple[End, End]] = []
        self.control: list[End] = []
        self.greeted = 0
        self.ports = (5001, 5002, 40000)
        self.waiting: list[tuple[bytes, str]] = []

    def time(self) -> float:
        dice = self.dice
        if self.jumps and dice.random() < 0.08:
            self.now += dice.choice(self.jumps)
        else:
            self.now += dice.choice(self.steps)
        self.now = round(self.now, 3)
        return self.now

    def packet(self) -> Sent:
        kind = self.dice.choice(self.protocols)
        frame, what = getattr(self, f"_{kind}")()
        program = self.dice.randrange(self.programs)
        return Sent(self.time(), program, frame, what)

    # -- TCP

    def _flow(self) -> tuple[End, End]:
        dice = self.dice
        if not self.flows or (len(self.flows) < 4 and dice.random() < 0.1):
            scales = (None, 0, 1, 7, 14, 15)
            self.flows.append(
                (
                    End(dice.choice(self.clients), dice.choice((1000, 1001, 550)),
                        dice.choice((1, 5000, 0xFFFFFFF0, dice.getrandbits(32))),
                        dice.choice(scales)),
                    End(dice.choice(self.servers), dice.choice((80, 8080)),
                        dice.choice((1, 9000, 0xFFFFFF00, dice.getrandbits(32))),
                        dice.choice(scales)),
                )
            )  # fmt: skip
        return dice.choice(self.flows)

    def _tcp(self) -> tuple[bytes, str]:
        dice = self.dice
        a, b = self._flow()
        if dice.random() < 0.45:
            a, b = b, a
        if dice.random() < 0.75:
            flags = dice.choice((SYN, SYN | ACK, ACK, ACK, ACK, ACK, PSH | ACK, FIN | ACK))
        elif dice.random() < 0.6:
            flags = dice.choice((RST, RST | ACK, FIN | ACK, SYN, FIN, 0, SYN | RST, SYN | PSH,
                                 ACK | 0xC0, SYN | 0xC0, URG | ACK, SYN | FIN, SYN | ACK | PSH))
        else:
            flags = dice.randrange(64)
        seq, ack = a.next, b.next
        size = 0 if flags & SYN else dice.choice((0, 0, 0, 1, 100, 1000))
        if dice.random() < 0.25:
            seq += dice.choice((1, -1, 2, -2, 100, -100, 1000, 65535, 67035, 67036, -67036,
                                1 << 20, 1 << 31, dice.getrandbits(32)))
        if dice.random() < 0.2:
            ack += dice.choice((1, -1, 66000, 67035, 67036, -67035, -67036, 1 << 29, 1 << 30,
                                1 << 31, dice.getrandbits(32)))
        if dice.random() < 0.05:
            ack = 0
        win = dice.choice((0, 1, 10, 100, 1000, 8192, 65535, 65535))
        options = b""
        if flags & SYN and a.scale is not None and dice.random() < 0.9:
            options = dice.choice((b"", b"\2\4\5\xb4", b"\1")) + bytes((3, 3, a.scale))
        elif dice.random() < 0.1:
            options = dice.choice(
                (b"\1\1\x08\x0a" + bytes(8), b"\0\3\3\7", b"\3\3", b"\2\0\3\3\3\3\3\5", b"\3\1\6\1")
            )
        bad = dice.random() < 0.02
        offset = dice.choice((4, 6, 15)) if dice.random() < 0.02 else None
        frame = tcp(a.address, b.address, a.port, b.port, flags, seq, ack, win, size, options, bad,
                    offset)
        names = "".join(name for at, name in enumerate("FSRPAU") if flags >> at & 1)
        if not bad and dice.random() < 0.95:
            a.next = seq + size + bool(flags & SYN) + bool(flags & FIN) & 0xFFFFFFFF
        return frame, (
            f"tcp {a.address}:{a.port} > {b.address}:{b.port} {names or '-'} "
            f"seq {seq & 0xFFFFFFFF} ack {ack & 0xFFFFFFFF} len {size} win {win} "
            f"opt {options.hex()} bad {bad} offset {offset}"
        )

    # -- FTP and TFTP

    def _ftp(self) -> tuple[bytes, str]:
        dice = self.dice
        if not self.control:
            port = dice.choice((21, 21, 2121))
            self.control = [
                End(self.clients[0], 3000, 100, None), End(self.servers[0], port, 900, None)
            ]  # fmt: skip
            self.greeted = 0
        client, server = self.control
        peer, peer_port = self._as_it_left(client, server)
        if self.greeted < 3:
            self.greeted += 1
            if self.greeted == 2:
                return self._say(server, peer, peer_port, client, SYN | ACK, b"")
            flags = SYN if self.greeted == 1 else ACK
            return self._say(client, server.address, server.port, server, flags, b"")
        if dice.random() < 0.55:
            text = self._announcement()
            if dice.random() < 0.5:
                return self._say(client, server.address, server.port, server, PSH | ACK, text)
            return self._say(server, peer, peer_port, client, PSH | ACK, text)
        port = dice.choice(self.ports)
        if dice.random() < 0.5:
            src, sport, dst = server.address, dice.choice((20, 4000)), peer
        else:
            src, sport, dst = client.address, dice.choice((3001, 3002)), server.address
        flags = dice.choice((SYN, SYN, SYN, ACK, SYN | ACK, RST | ACK))
        frame = tcp(src, dst, sport, port, flags, 1, 1, 1000)
        return frame, f"data {src}:{sport} > {dst}:{port} flags {flags}"

    def _say(self, own: End, dst: str, dport: int, other: End, flags: int, text: bytes
             ) -> tuple[bytes, str]:
        head = struct.pack(
            ">HHIIBBHHH", own.port, dport, own.next & 0xFFFFFFFF,
            other.next & 0xFFFFFFFF if flags & ACK else 0, 0x50, flags, 8192, 0, 0,
        )  # fmt: skip
        own.next += len(text) + bool(flags & SYN)
        segment = summed(own.address, dst, 6, head + text, 16)
        what = f"control {own.address}:{own.port} > {dst}:{dport} {text!r}"
        return ip(own.address, dst, 6, segment), what

    def _as_it_left(self, client: End, server: End) -> tuple[str, int]:
        """The client as the server sees it."""
        for whole in reversed(self.seen):
            packet = whole[2:]
            v4 = packet[0] >> 4 == 4
            l4, proto = (20, packet[9]) if v4 else (40, packet[6])
            if proto == 6 and int.from_bytes(packet[l4 + 2 : l4 + 4], "big") == server.port:
                src = packet[12:16] if v4 else packet[8:24]
                return str(ip_address(src)), int.from_bytes(packet[l4 : l4 + 2], "big")
        return client.address, client.port

    def _announcement(self) -> bytes:
        dice = self.dice
        port = dice.choice(self.ports)
        pool = "10.0.0.77" if self.family == 4 else "fc00::77"
        hosts = self.clients[0], self.servers[0], self.servers[0], pool, self.clients[1]
        host = dice.choice(hosts)
        if self.family == 4:
            pair = f"{host.replace('.', ',')},{port >> 8},{port & 255}"
            text = dice.choice((
                f"PORT {pair}\r\n", f"227 Entering Passive Mode ({pair}).\r\n",
                f"port {pair}\r\n", "USER somebody\r\n", f"227 {pair}\r\n", f"PORT {pair}",
                f"EPRT |1|{host}|{port}|\r\n",
                f"229 Entering Extended Passive Mode (|||{port}|)\r\n",
            ))  # fmt: skip
        else:
            text = dice.choice((
                f"EPRT |2|{host}|{port}|\r\n",
                f"229 Entering Extended Passive Mode (|||{port}|)\r\n",
                "LIST\r\n", f"229 extended passive (|||{port}|)\r\n", f"EPRT |2|{host}|{port}",
                f"eprt 2{host}|{port}|\r\n", "PORT 1,2,3,4,5,6\r\n",
            ))  # fmt: skip
        said = bytearray(text.encode())
        while said and dice.random() < 0.25:
            at = dice.randrange(len(said))
            change = dice.randrange(3)
            if change == 0:
                said[at] = dice.choice(b"0123456789,. ()|\0\xff-")
            elif change == 1:
                del said[at]
            else:
                said[at:at] = bytes([dice.choice(b"0123456789,. |\0")])
        if dice.random() < 0.05:
            said = said + b"x" * 200
        return bytes(said)

    def _tftp(self) -> tuple[bytes, str]:
        dice = self.dice
        client, server = self.clients[0], self.servers[0]
        sport = dice.choice((1000, 1001))
        src, dst, a, b = dice.choice((
            (client, server, sport, 69), (server, client, 5000, sport),
            (client, server, sport, 5000), (client, server, sport, 6969),
            (server, client, 6000, sport), (server, client, 69, sport),
        ))  # fmt: skip
        return udp(src, dst, a, b), f"udp {src}:{a} > {dst}:{b}"

    # -- fragments

    def _fragment(self) -> tuple[bytes, str]:
        """A fragment of something, in any order, at times twice, overlapping, short or changed."""
        dice = self.dice
        if len(self.waiting) < 2 or dice.random() < 0.1:
            self._cut()
        at = dice.randrange(len(self.waiting))
        frame, what = self.waiting[at]
        if dice.random() < 0.95:
            del self.waiting[at]
        return frame, what

    def _cut(self) -> None:
        dice = self.dice
        src, dst = dice.choice(self.clients), dice.choice(self.servers)
        if dice.random() < 0.4:
            src, dst = dst, src
        bad = dice.random() < 0.1
        size = dice.choice((1500, 2600, 4000))
        kind = dice.choice(("udp", "udp", "tcp", "icmp"))
        if kind == "udp":
            ports = (1000, 53) if src in self.clients else (53, 1000)
            whole = udp(src, dst, *ports, bytes(dice.getrandbits(8) for _ in range(size)), bad=bad)
        elif kind == "tcp":
            ports = (1000, 80) if src in self.clients else (80, 1000)
            whole = tcp(src, dst, *ports, dice.choice((SYN, ACK)), 1, 1, 1000, size, bad=bad)
        else:
            request = (8 if self.family == 4 else 128) if src in self.clients else (
                0 if self.family == 4 else 129
            )
            whole = icmp(src, dst, request, 0, struct.pack(">HH", 7, 1) + bytes(size), bad)
        head = 22 if self.family == 4 else 42
        payload = whole[head:]
        proto = whole[11] if self.family == 4 else whole[8]
        step = dice.choice((1184, 1232, 1240, 1480, 1176, 800)) // 8 * 8
        starts = list(range(0, len(payload), step))
        ident = dice.randrange(3)
        for start in starts:
            more = start + step < len(payload)
            piece = payload[start : start + step]
            at = start
            if dice.random() < 0.03:
                at = max(0, start + dice.choice((-8, 8)))
            self.waiting.append(
                (
                    self._piece(src, dst, proto, piece, at, more, ident),
                    f"fragment {kind} {src} > {dst} id {ident} at {at} size {len(piece)}"
                    f" more {more} of {len(payload)} bad {bad}",
                )
            )

    def _piece(self, src: str, dst: str, proto: int, piece: bytes, at: int, more: bool, ident: int
               ) -> bytes:
        if self.family == 4:
            bad = self.dice.random() < 0.01
            return ip(src, dst, proto, piece, ident=ident, fragment=at // 8 | more << 13, bad=bad)
        header = struct.pack(">BBHI", proto, 0, at | more, ident)
        return ip(src, dst, 44, header + piece)

    # -- others

    def _udp(self) -> tuple[bytes, str]:
        dice = self.dice
        src, dst = dice.choice(self.clients), dice.choice(self.servers)
        sport, dport = dice.choice((1000, 1001, 550, 69)), dice.choice((53, 69))
        if dice.random() < 0.4:
            src, dst, sport, dport = dst, src, dport, sport
        odd = dice.random()
        kind = "plain"
        if odd < 0.03:
            kind, frame = "bad", udp(src, dst, sport, dport, bad=True)
        elif odd < 0.06:
            length = dice.choice((0, 7, 8, 13, 10))
            kind, frame = f"length {length}", udp(src, dst, sport, dport, length=length)
        elif odd < 0.12:
            kind, frame = "unsummed", udp(src, dst, sport, dport, unsummed=True)
        elif odd < 0.15:
            kind, frame = "port 0", udp(src, dst, *dice.choice(((0, dport), (sport, 0))))
        else:
            frame = udp(src, dst, sport, dport, dice.choice((b"", b"x", b"data")))
        return frame, f"udp {src}:{sport} > {dst}:{dport} {kind}"

    def _ping(self) -> tuple[bytes, str]:
        dice = self.dice
        src, dst = dice.choice(self.clients), dice.choice(self.servers)
        if dice.random() < 0.4:
            src, dst = dst, src
        if self.family == 4:
            kind = dice.choice((8, 8, 8, 0, 0, 0, 13, 14, 15, 16, 17, 9, 30))
        else:
            kind = dice.choice((128, 128, 129, 129, 133, 135, 136, 139))
        code = 0 if dice.random() < 0.95 else 1
        ident = dice.choice((1, 2, 0))
        bad = dice.random() < 0.03
        rest = struct.pack(">HH", ident, dice.randrange(3)) + b"ping" * dice.randrange(8)
        if dice.random() < 0.03:
            rest = rest[: dice.randrange(4)]
        frame = icmp(src, dst, kind, code, rest, bad)
        return frame, f"icmp {src} > {dst} type {kind} code {code} id {ident} bad {bad}"

    def _other(self) -> tuple[bytes, str]:
        dice = self.dice
        src, dst = dice.choice(self.clients), dice.choice(self.servers)
        if dice.random() < 0.4:
            src, dst = dst, src
        proto = dice.choice((47, 132, 2, 0xFE, 1 if self.family == 6 else 58))
        data = dice.choice((b"", b"\x08" * 8, bytes(range(20)), b"\x80" + bytes(19)))
        return ip(src, dst, proto, data), f"proto {proto} {src} > {dst} {data.hex()}"

    def _echo(self) -> tuple[bytes, str]:
        """Turn round something that left: a reply, whatever NAT made of it."""
        whole = self._left()
        if whole is None:
            return self._udp()
        swapped = swap(whole)
        return swapped, f"answer to {whole.hex()}"

    def _again(self) -> tuple[bytes, str]:
        whole = self._left()
        return (whole, f"again {whole.hex()}") if whole is not None else self._udp()

    def _error(self) -> tuple[bytes, str]:
        """An ICMP error about something that left."""
        dice = self.dice
        whole = self._left()
        if whole is None:
            return self._udp()
        packet = whole[2:]
        if packet[0] >> 4 == 4:
            header = (packet[0] & 15) * 4
            cut = dice.choice((header + 8, header + 8, header + 20, len(packet), header + 7, 10))
            receiver = ".".join(map(str, packet[12:16]))
            kind = dice.choice((3, 3, 4, 5, 11, 12))
            router = dice.choice(("10.0.0.9", "10.0.0.77", ".".join(map(str, packet[16:20]))))
        else:
            cut = dice.choice((48, 60, len(packet), 47, 30))
            receiver = str(ip_address(packet[8:24]))
            kind = dice.choice((1, 2, 3, 4))
            router = dice.choice(("fc00::9", "fc00::77", str(ip_address(packet[24:40]))))
        if dice.random() < 0.05:
            receiver = self.clients[0]
        if self.whole_tcp and packet[9 if packet[0] >> 4 == 4 else 6] == 6:
            cut = len(packet)
        rest = struct.pack(">I", dice.choice((0, 1400))) + packet[:cut]
        bad = dice.random() < 0.03
        frame = icmp(router, receiver, kind, dice.randrange(4), rest, bad)
        return frame, f"icmp error {router} > {receiver} type {kind} about {packet[:cut].hex()}"

    def _left(self) -> bytes | None:
        return self.dice.choice(self.seen[-12:]) if self.seen else None

    def run(self, count: int) -> Iterator[Sent]:
        for _ in range(count):
            yield self.packet()


def swap(whole: bytes) -> bytes:
    """The same packet going back: addresses and ports swapped, ICMP type answered."""
    packet = bytearray(whole[2:])
    if packet[0] >> 4 == 4:
        l4, proto = (packet[0] & 15) * 4, packet[9]
        packet[12:16], packet[16:20] = packet[16:20], packet[12:16]
    else:
        l4, proto = 40, packet[6]
        packet[8:24], packet[24:40] = packet[24:40], packet[8:24]
    if proto in (6, 17) and len(packet) >= l4 + 8:
        packet[l4 : l4 + 2], packet[l4 + 2 : l4 + 4] = packet[l4 + 2 : l4 + 4], packet[l4 : l4 + 2]
        if proto == 6 and len(packet) >= l4 + 20:
            seq, ack = bytes(packet[l4 + 4 : l4 + 8]), bytes(packet[l4 + 8 : l4 + 12])
            total = int.from_bytes(packet[l4 + 16 : l4 + 18], "big")
            if packet[l4 + 13] & 0x12 == 0x02:
                # Answer a SYN with a SYN+ACK of sequence number 0, and carry the checksum along.
                new_ack = (int.from_bytes(seq, "big") + 1 & 0xFFFFFFFF).to_bytes(4, "big")
                before = bytes(packet[l4 + 4 : l4 + 14])
                packet[l4 + 4 : l4 + 8], packet[l4 + 8 : l4 + 12] = bytes(4), new_ack
                packet[l4 + 13] |= 0x10
                after = bytes(packet[l4 + 4 : l4 + 14])
                total = 0xFFFF - _sum(0xFFFF - total - int.from_bytes(before, "big")
                                      + int.from_bytes(after, "big"))
                packet[l4 + 16 : l4 + 18] = total.to_bytes(2, "big")
            else:
                packet[l4 + 4 : l4 + 8], packet[l4 + 8 : l4 + 12] = ack, seq
    elif proto in (1, 58) and len(packet) >= l4 + 8:
        answer = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 128: 129, 129: 128}
        kind = packet[l4]
        if kind in answer:
            packet[l4] = answer[kind]
            total = int.from_bytes(packet[l4 + 2 : l4 + 4], "big")
            total = 0xFFFF - _sum(0xFFFF - total - (kind << 8) + (answer[kind] << 8))
            packet[l4 + 2 : l4 + 4] = total.to_bytes(2, "big")
    return whole[:2] + bytes(packet)


def _sum(total: int) -> int:
    return total % 65535
