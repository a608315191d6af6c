"""Noise for conntrack: random payloads, options, lengths and quoted packets, without a judge.

A :class:`Patient` is a tracker with connections that the noise must not harm: FTP and TFTP control
connections of both families (translated ones too), plain TCP and UDP. The noise belongs to them or
is about them, but never ends one by right (no SYN, FIN or RST of theirs). Whatever it is, nothing
may be raised, and every connection must be there at the end: one that is not was lost untold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple

from ovsct.conntrack.netfilter import Netfilter
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.errors import OvsctError
from ovsct.packet.packet import Packet, parse

DIALECTS: Final = ("userspace", "6.1", "6.12")
"""OVS's own conntrack, and netfilter's of these kernels."""

ROUND: Final = 400
"""Inputs that one patient gets."""

ZONE: Final = 1
_CLIENT, _SERVER, _POOL = 1, 2, 3
_SYN, _ACK, _PUSH = 2, 16, 24
_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
REFUSED: Final = "DCCP tracker is not modelled"
"""What netfilter may say of a packet that happens to be DCCP: it is refused by name."""

# No port near those of the patient's own connections: 6.1 removes a connection that fits what was
# announced, by right (``ovs_ct_expect_find()``).
_COMMANDS: Final = (
    b"PORT 10,0,0,1,212,49\r\n", b"227 Entering Passive Mode (10,0,0,2,212,49)\r\n",
    b"EPRT |1|10.0.0.1|54321|\r\n", b"EPRT |2|fc00::1|54321|\r\n",
    b"229 Entering Extended Passive Mode (|||54321|)\r\n", b"229 EXTENDED PASSIVE (|||54321|)\r\n",
)  # fmt: skip


class Trouble(NamedTuple):
    """What went wrong, and with which input."""

    problem: str
    dialect: str
    seed: int
    number: int
    frame: str


class Talking(NamedTuple):
    """A connection that the patient has: `helper` watches it, `translated` by source NAT."""

    proto: int
    sport: int
    dport: int
    helper: str | None = None
    translated: bool = False


CONNECTIONS: Final = (
    Talking(_TCP, 1000, 21, "ftp"), Talking(_TCP, 1001, 21, "ftp", translated=True),
    Talking(_UDP, 1002, 69, "tftp"), Talking(_UDP, 1003, 69, "tftp", translated=True),
    Talking(_TCP, 1004, 80), Talking(_UDP, 1005, 53), Talking(_TCP, 1006, 80, translated=True),
)  # fmt: skip


def address(family: int, host: int) -> bytes:
    """10.0.0.`host` or fc00::`host`."""
    return bytes((10, 0, 0, host)) if family == 4 else b"\xfc" + bytes(14) + bytes((host,))


def summed(data: bytes, at: int, plus: int = 0) -> bytes:
    """`data` with the Internet checksum at `at` over all of it and `plus`."""
    data = data[:at] + b"\0\0" + data[at + 2 :]
    total = int.from_bytes(data + b"\0" * (len(data) & 1), "big") + plus
    check = 0xFFFF - (total % 65535 or 65535) or 0xFFFF
    return data[:at] + check.to_bytes(2, "big") + data[at + 2 :]


def ip(family: int, src: bytes, dst: bytes, proto: int, body: bytes, options: bytes = b"") -> bytes:
    """A frame; `options` are IPv4 options, or the extension headers of IPv6 behind `proto`."""
    if family == 6:
        body = options + body
        head = b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes((proto, 64))
        return bytes(12) + b"\x86\xdd" + head + src + dst + body
    options += b"\1" * (-len(options) % 4)
    total = (20 + len(options) + len(body)).to_bytes(2, "big")
    head = bytes((0x45 + len(options) // 4, 0)) + total + b"\0\1\0\0\x40" + bytes((proto,))
    return bytes(12) + b"\x08\0" + summed(head + b"\0\0" + src + dst + options, 10) + body


def tcp(
    family: int, src: bytes, dst: bytes, ports: tuple[int, int], flags: int, seq: int, ack: int,
    data: bytes = b"", options: bytes = b"", offset: int | None = None,
) -> bytes:  # fmt: skip
    """A TCP segment, its checksum right; `offset` in words if it is to be wrong."""
    options += b"\1" * (-len(options) % 4)
    words = 5 + len(options) // 4 if offset is None else offset
    body = ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big") + seq.to_bytes(4, "big")
    body += ack.to_bytes(4, "big") + bytes((words << 4 & 0xF0, flags)) + b"\xff\xff\0\0\0\0"
    body += options + data
    pseudo = int.from_bytes(src + dst, "big") + _TCP + len(body)
    return ip(family, src, dst, _TCP, summed(body, 16, pseudo))


def udp(
    family: int, src: bytes, dst: bytes, ports: tuple[int, int], data: bytes,
    size: int | None = None,
) -> bytes:  # fmt: skip
    """A UDP datagram, its checksum right; `size` if its length is to be wrong."""
    length = 8 + len(data) if size is None else size
    body = ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big") + length.to_bytes(2, "big")
    body += b"\0\0" + data
    pseudo = int.from_bytes(src + dst, "big") + _UDP + length
    return ip(family, src, dst, _UDP, summed(body, 6, pseudo))


class Patient:
    """A tracker of `dialect` with :data:`CONNECTIONS` of `family`."""

    def __init__(self, dialect: str, family: int) -> None:
        self.tracker: Any
        if dialect == "userspace":
            self.tracker = UserspaceTracker(room=128)
        else:
            self.tracker = OvsKernelTracker(Netfilter(dialect))
        self.family = family
        self.now = 0.0
        pool = int.from_bytes(address(family, _POOL), "big")
        source = Nat(NatKind.SRC, family, pool, pool)
        self.requests: dict[tuple[str | None, bool], tuple[Track, Track]] = {}
        for one in CONNECTIONS:
            chosen, bare = (source, Nat()) if one.translated else (None, None)
            commit = Track(ZONE, commit=True, helper=one.helper, nat=chosen)
            look = Track(ZONE, helper=one.helper, nat=bare)
            self.requests.setdefault((one.helper, one.translated), (commit, look))
        client, server, translated = (address(family, n) for n in (_CLIENT, _SERVER, _POOL))
        for one in CONNECTIONS:
            there, back = (one.sport, one.dport), (one.dport, one.sport)
            seen = translated if one.translated else client
            talk: tuple[bytes, ...]
            if one.proto == _TCP:
                talk = (
                    tcp(family, client, server, there, _SYN, 100, 0),
                    tcp(family, server, seen, back, _SYN | _ACK, 500, 101),
                    tcp(family, client, server, there, _ACK, 101, 501),
                    tcp(family, client, server, there, _PUSH, 101, 501, b"x\r\n"),
                    tcp(family, server, seen, back, _PUSH, 501, 104, b"x\r\n"),
                    tcp(family, client, server, there, _ACK, 104, 504),
                )
            else:
                read = b"\0\1f\0octet\0"
                talk = (
                    udp(family, client, server, there, read),
                    udp(family, server, seen, back, b"answer"),
                )[: 1 if one_way(dialect, one) else 2]
            for frame in talk:
                self.feed(frame, one)
        self.expected = self.there()

    def feed(self, frame: bytes, of: Talking) -> None:
        """One frame through a look-up and, as a firewall does, a commit of what is new."""
        commit, look = self.requests[of.helper, of.translated]
        self.now += 0.001
        packet = parse(frame, 1)
        packets = [packet]
        for request in (look, commit):
            after: list[Packet] = []
            for each in packets:
                diverted = self.tracker.track(each, request, self.now)
                after += [each] if diverted is None else diverted.packets
            packets = after

    def there(self) -> set[tuple[Any, ...]]:
        """The connections that must not be lost, those of them that are there."""
        ports = {(one.proto, one.sport, one.dport) for one in CONNECTIONS}
        return {
            (c.proto, c.orig, c.reply)
            for c in self.tracker.connections(self.now)
            if (c.proto, c.orig.sport, c.orig.dport) in ports and c.zone == ZONE
        }


def one_way(dialect: str, of: Talking) -> bool:
    """Whether an answer would end the connection by right.

    6.1 removes a connection whose packet fits an expectation (``ovs_ct_expect_find()``), and an
    answer from TFTP's own port fits that of its request.
    """
    return dialect == "6.1" and of.helper == "tftp"


class Noise:
    """Makes inputs about the connections of a patient."""

    def __init__(self, dice: Random, dialect: str, family: int) -> None:
        self.dice = dice
        self.dialect = dialect
        self.family = family
        self.kinds: tuple[tuple[str, Callable[[Talking, bool], bytes]], ...] = (
            ("ftp", self.payload), ("ftp-mangled", self.mangled), ("tftp", self.payload),
            ("icmp-error", self.error), ("icmp-random", self.icmp), ("tcp-header", self.header),
            ("udp-length", self.datagram), ("ip-header", self.network), ("any", self.anything),
            ("fragment", self.fragment),
        )  # fmt: skip

    def next(self) -> tuple[str, bytes, Talking]:
        """The kind of an input, the frame, and the connection that it is about."""
        dice = self.dice
        name, make = self.kinds[int(dice.random() * len(self.kinds))]
        if name.startswith("ftp"):
            of = CONNECTIONS[dice.random() < 0.5]
        elif name == "tftp":
            of = CONNECTIONS[2 + (dice.random() < 0.5)]
        else:
            of = CONNECTIONS[int(dice.random() * len(CONNECTIONS))]
        reply = dice.random() < 0.5 and not one_way(self.dialect, of)
        return name, make(of, reply), of

    def some(self, most: int) -> bytes:
        """Random bytes, up to `most` of them."""
        return self.dice.randbytes(int(self.dice.random() * (most + 1)))

    def ends(self, of: Talking, reply: bool) -> tuple[bytes, bytes, tuple[int, int]]:
        """Source, destination and ports of a packet of a connection."""
        client, server = address(self.family, _CLIENT), address(self.family, _SERVER)
        if not reply:
            return client, server, (of.sport, of.dport)
        if of.translated:
            client = address(self.family, _POOL)
        return server, client, (of.dport, of.sport)

    def carry(self, of: Talking, reply: bool, data: bytes) -> bytes:
        """Data in a packet of the connection, where the window is."""
        src, dst, ports = self.ends(of, reply)
        if of.proto == _UDP:
            return udp(self.family, src, dst, ports, data)
        seq, ack = (504, 104) if reply else (104, 504)
        return tcp(self.family, src, dst, ports, _PUSH, seq, ack, data)

    def payload(self, of: Talking, reply: bool) -> bytes:
        """Random bytes as payload, now and then behind the beginning of a command."""
        start = self.dice.choice(_COMMANDS)[: int(self.dice.random() * 9)]
        return self.carry(of, reply, start + self.some(160))

    def mangled(self, of: Talking, reply: bool) -> bytes:
        """An announcement with some bytes changed, left out or doubled."""
        data = bytearray(self.dice.choice(_COMMANDS))
        for _ in range(int(self.dice.random() * 4)):
            at = int(self.dice.random() * (len(data) or 1))
            how = self.dice.random()
            if how < 0.5 and data:
                data[at] = self.dice.choice(b"0123456789,.|()\r\n\0 P\xff")
            elif how < 0.75:
                del data[at : at + 3]
            else:
                data[at:at] = data[at : at + 5]
        return self.carry(of, reply, bytes(data))

    def error(self, of: Talking, reply: bool) -> bytes:
        """An ICMP error that quotes a packet of the connection, whole, cut or mangled."""
        quoted = bytearray(self.carry(of, reply, self.some(20))[14:])
        for _ in range(int(self.dice.random() * 3)):
            quoted[int(self.dice.random() * len(quoted))] = int(self.dice.random() * 256)
        if self.dice.random() < 0.5:
            # Not within a quoted TCP header: what 3.1 does then to its memory is undefined.
            del quoted[int(self.dice.random() * len(quoted)) :]
        src, dst, _ = self.ends(of, reply)
        kinds = (3, 4, 5, 11, 12) if self.family == 4 else (1, 2, 3, 4, 137)
        return self.message(dst, src, self.dice.choice(kinds), bytes(quoted))

    def icmp(self, of: Talking, reply: bool) -> bytes:
        """An ICMP message of any type."""
        src, dst, _ = self.ends(of, reply)
        return self.message(src, dst, int(self.dice.random() * 256), self.some(60))

    def message(self, src: bytes, dst: bytes, kind: int, rest: bytes) -> bytes:
        """An ICMP message, its checksum right."""
        body = bytes((kind, int(self.dice.random() * 16), 0, 0, 0, 0, 0, 0)) + rest
        proto, plus = _ICMP, 0
        if self.family == 6:
            proto, plus = _ICMPV6, int.from_bytes(src + dst, "big") + _ICMPV6 + len(body)
        return ip(self.family, src, dst, proto, summed(body, 2, plus))

    def header(self, of: Talking, reply: bool) -> bytes:
        """A TCP segment with random options, data offset, numbers and flags that end nothing."""
        src, dst, ports = self.ends(of, reply)
        dice = self.dice
        flags = dice.choice((0, 8, 16, 16, 24, 48, 56, 0xD0, 0x20))
        offset = int(dice.random() * 16) if dice.random() < 0.5 else None
        if dice.random() < 0.5:
            seq, ack = dice.getrandbits(32), dice.getrandbits(32)
        else:
            seq, ack = (504, 104) if reply else (104, 504)
        options = self.some(40)
        return tcp(
            self.family, src, dst, ports, flags, seq, ack, self.some(30), options[:40], offset
        )

    def datagram(self, of: Talking, reply: bool) -> bytes:
        """A UDP datagram with a length that need not be its own."""
        src, dst, ports = self.ends(of, reply)
        most = 65536 if self.dice.random() < 0.3 else 60
        size = int(self.dice.random() * most)
        return udp(self.family, src, dst, ports, self.some(40), size)

    def network(self, of: Talking, reply: bool) -> bytes:
        """A packet of the connection with options or extension headers, lengths mangled."""
        frame = self.carry(of, reply, self.some(20))
        dice = self.dice
        if self.family == 4:
            src, dst, _ = self.ends(of, reply)
            frame = ip(4, src, dst, of.proto, frame[34:], self.some(40)[:40])
        else:
            chain = self.some(48)
            kind = dice.choice((0, 43, 44, 51, 60, 59))
            if len(chain) > 1:
                chain = bytes((dice.choice((of.proto, 0, 43, 44, 60)),)) + chain[1:]
            frame = ip(6, frame[22:38], frame[38:54], kind, frame[54:], chain)
        buffer = bytearray(frame)
        for _ in range(int(dice.random() * 3)):
            buffer[14 + int(dice.random() * 8)] = int(dice.random() * 256)
        if self.family == 4 and len(buffer) >= 34 and dice.random() < 0.5:
            size = (buffer[14] & 15) * 4
            if 20 <= size <= len(buffer) - 14:
                buffer[14 : 14 + size] = summed(bytes(buffer[14 : 14 + size]), 10)
        if dice.random() < 0.2:
            del buffer[14 + int(dice.random() * (len(buffer) - 14)) :]
        return bytes(buffer)

    def anything(self, of: Talking, reply: bool) -> bytes:
        """Random bytes behind an IP header, of any protocol."""
        src, dst, _ = self.ends(of, reply)
        proto = int(self.dice.random() * 256)
        return ip(self.family, src, dst, proto, self.some(60))

    def fragment(self, of: Talking, reply: bool) -> bytes:
        """A fragment of random place and size."""
        src, dst, _ = self.ends(of, reply)
        dice = self.dice
        word = dice.choice((0x2000, 0, 1, 0x2001, 4, 0x1FFF, 0x3FFF, dice.getrandbits(14)))
        data = dice.randbytes(dice.choice((0, 8, 16, 1280, 1281, 40)))
        if self.family == 6:
            extra = bytes((of.proto, 0)) + (word << 3 & 0xFFF8 | word >> 13).to_bytes(2, "big")
            return ip(6, src, dst, 44, data, extra + bytes((0, 0, 0, dice.getrandbits(1))))
        frame = bytearray(ip(4, src, dst, of.proto, data))
        frame[20:22] = word.to_bytes(2, "big")
        frame[14:34] = summed(bytes(frame[14:34]), 10)
        return bytes(frame)


def run(seed: int, count: int, kinds: Counter[str] | None = None) -> Trouble | None:
    """`count` inputs from `seed`, a round to each dialect and family in turn.

    Args:
        kinds: counts the inputs by kind, if given.

    Returns:
        The first trouble, None if there was none.
    """
    number = 0
    turn = 0
    tally: Counter[str] = Counter() if kinds is None else kinds
    while number < count:
        dialect = DIALECTS[turn % len(DIALECTS)]
        family = 6 if turn // len(DIALECTS) % 2 else 4
        dice = Random(f"{seed} {turn}")
        patient, noise = Patient(dialect, family), Noise(dice, dialect, family)
        turn += 1
        frame = b""
        try:
            for _ in range(min(ROUND, count - number)):
                name, frame, of = noise.next()
                tally[name] += 1
                number += 1
                try:
                    patient.feed(frame, of)
                except OvsctError as error:
                    if REFUSED not in str(error):
                        raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            problem = f"{type(error).__name__}: {error}"
            return Trouble(problem, f"{dialect} IPv{family}", seed, number, frame.hex())
        lost = patient.expected - patient.there()
        if lost or len(patient.expected) != len(CONNECTIONS):
            problem = f"lost: {sorted(lost)}" if lost else "not all connections came about"
            return Trouble(problem, f"{dialect} IPv{family}", seed, number, "")
    return None
