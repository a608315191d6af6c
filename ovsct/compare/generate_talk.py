"""Conversations for generated cases: good ones, bent ones, and what is no conversation at all.

Each talk is a generator of (port, packet line); :func:`draw_shots` lets several go on at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ovsct.compare import draw
from ovsct.compare.case import Shot, frames_of
from ovsct.compare.draw import Dice
from ovsct.packet.build import neighbour

Line = tuple[int, str]
Talk = Callable[[Dice], Iterator[Line]]

_WRAP: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends of a talk: addresses, ports of the transport and of the bridge, what is around.

    Where addresses are translated, a question is not answered by the address that it went to, nor
    is the answer sent to the address that it came from: `real_b` is who answers, `seen_a` to whom.
    """

    a: str
    b: str
    sport: int
    dport: int
    port_a: int
    port_b: int
    seen_a: str
    real_b: str
    around: str

    @property
    def v6(self) -> bool:
        """Whether it is IPv6."""
        return ":" in self.a

    def there(self) -> tuple[str, str]:
        """The addresses of a packet from a to b."""
        return self.a, self.b

    def back(self) -> tuple[str, str]:
        """The addresses of an answer."""
        return self.real_b, self.seen_a


def _ends(dice: Dice) -> Ends:
    v6 = dice.chance(0.3)
    pool, nat = (draw.V6, draw.NAT_V6) if v6 else (draw.V4, draw.NAT_V4)
    a, b = dice.pick(pool), dice.pick(pool)
    around = ""
    if dice.chance(0.12):
        around += f" vlan {dice.pick((5, 6, 0x2005))}"
        if dice.chance(0.4):
            around += f" vlan {dice.pick((5, 6))}"
    if dice.chance(0.3):
        around += f" eth-src {dice.pick(draw.MACS)}"
    if dice.chance(0.1):
        around += f" eth-dst {dice.pick(draw.MACS)}"
    if dice.chance(0.06):
        around += f" tos {dice.pick((16, 184, 3))}"
    if dice.chance(0.06):
        around += f" ttl {dice.pick((1, 2, 255))}"
    if v6 and dice.chance(0.1):
        around += " flow-label 74565"
    if not v6 and dice.chance(0.03):
        around += " ip-options 01010101"
    if dice.chance(0.03):
        around += " pad 60"
    return Ends(
        a, b, dice.pick(draw.PORTS), dice.pick(draw.PORTS),
        1 if dice.chance(0.6) else dice.number(1, 4), 2 if dice.chance(0.6) else dice.number(1, 4),
        _other(dice, dice.source, a, nat), _other(dice, dice.target, b, nat), around,
    )  # fmt: skip


def _other(dice: Dice, known: dict[int, str], address: str, pool: tuple[str, ...]) -> str:
    """What translation makes of an address: as the flows say, most of the time."""
    said = known.get(6 if ":" in address else 4)
    if said is not None and dice.chance(0.75):
        return said
    return dice.pick(pool) if dice.chance(0.08) else address


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# -- TCP -----------------------------------------------------------------------------------------


_ODD_FLAGS: Final = ("none", "SF", "SR", "FPU", "SPU", "P", "R", "RA", "F")


class _Tcp:
    """Both ends of a TCP connection, as far as sequence numbers go."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.ends = _ends(dice)
        self.next = [dice.number(0, _WRAP - 1), dice.number(0, _WRAP - 1)]
        self.window = dice.pick((65535, 1000, 512, 65535))
        self.scales = dice.pick(
            (("", ""), (" wscale 7", " wscale 2"), (" wscale 14", ""), ("", ""))
        )
        self.last: Line | None = None

    def line(self, side: int, flags: str, size: int = 0, extra: str = "") -> Line:
        """The next segment of a side (0: a, 1: b); what it uses up is used up."""
        ends, dice = self.ends, self.dice
        src, dst = ends.back() if side else ends.there()
        sport, dport = (ends.dport, ends.sport) if side else (ends.sport, ends.dport)
        seq, ack = self.next[side], self.next[1 - side]
        self.next[side] = (seq + size + ("S" in flags) + ("F" in flags)) % _WRAP
        text = f"tcp {_at(src, sport)} > {_at(dst, dport)} {flags} seq {seq}"
        if "A" in flags:
            text += f" ack {ack}"
        text += f" win {0 if dice.chance(0.02) else self.window}"
        if "S" in flags:
            text += self.scales[side] + (" mss 1460" if dice.chance(0.3) else "")
        if size:
            text += f" len {size}"
        self.last = (ends.port_b if side else ends.port_a), text + extra + ends.around
        return self.last

    def bent(self, side: int) -> Line:
        """A segment that a good connection would not have here."""
        dice = self.dice
        kind = dice.number(0, 7)
        if kind == 0 and self.last is not None:
            return self.last
        if kind == 1:
            return self.line(side, dice.pick(_ODD_FLAGS))
        if kind == 2:
            return self.line(side, "PA", 20, " bad l4")
        keep = list(self.next)
        which = side if kind < 6 else 1 - side
        self.next[which] = (self.next[which] + dice.pick(
            (1, 1000, 1_000_000, -1, -1000, -70_000, 70_000, 1 << 31)
        )) % _WRAP  # fmt: skip
        flags, size = dice.pick((("A", 0), ("PA", 10), ("R", 0), ("RA", 0), ("FA", 0), ("SA", 0)))
        line = self.line(side, flags, size)
        if kind != 7:
            self.next = keep
        return line


def _tcp(dice: Dice) -> Iterator[Line]:
    talk = _Tcp(dice)
    bends = 0.25 if dice.chance(0.4) else 0.02

    def good() -> Iterator[tuple[int, str, int]]:
        if not dice.chance(0.08):
            yield 0, "S", 0
            if dice.chance(0.05):
                yield 1, "S", 0
            if not dice.chance(0.08):
                yield 1, "SA", 0
            yield 0, "A", 0
        for _ in range(dice.number(0, 6)):
            side = dice.number(0, 1)
            yield side, "PA", dice.pick((1, 20, 100))
            if dice.chance(0.6):
                yield 1 - side, "A", 0
        side = dice.number(0, 1)
        end = dice.number(0, 4)
        if end <= 1:
            yield side, "FA", 0
            yield 1 - side, "A" if end else "FA", 0
            yield 1 - side if end else side, "FA" if end else "A", 0
            yield side, "A", 0
        elif end == 2:
            yield side, dice.pick(("R", "RA")), 0

    for _ in range(dice.pick((1, 1, 2))):
        for side, flags, size in good():
            if dice.chance(bends):
                yield talk.bent(dice.number(0, 1))
            line = talk.line(side, flags, size)
            if not dice.chance(bends * 0.3):  # or it is lost
                yield line


# -- the others ----------------------------------------------------------------------------------


def _udp(dice: Dice) -> Iterator[Line]:
    ends = _ends(dice)
    for _ in range(dice.number(1, 5)):
        back = dice.chance(0.4)
        src, dst = ends.back() if back else ends.there()
        ports = (ends.dport, ends.sport) if back else (ends.sport, ends.dport)
        text = f"udp {_at(src, ports[0])} > {_at(dst, ports[1])}"
        if dice.chance(0.4):
            text += f" len {dice.pick((1, 20, 60))}"
        if dice.chance(0.06):
            text += dice.pick((" bad l4", " no-checksum"))
        yield ends.port_b if back else ends.port_a, text + ends.around


def _icmp(dice: Dice) -> Iterator[Line]:
    ends = _ends(dice)
    number = dice.pick((7, 8))
    for seq in range(dice.number(1, 3)):
        src, dst = ends.there()
        yield ends.port_a, f"icmp {src} > {dst} echo id {number} seq {seq}{ends.around}"
        if dice.chance(0.7):
            src, dst = ends.back()
            bad = " bad l4" if dice.chance(0.04) else ""
            yield ends.port_b, f"icmp {src} > {dst} reply id {number} seq {seq}{bad}{ends.around}"


def _protocol(dice: Dice) -> Iterator[Line]:
    ends = _ends(dice)
    proto = dice.pick((47, 50, 2, 132, 103))
    for _ in range(dice.number(1, 3)):
        back = dice.chance(0.4)
        src, dst = ends.back() if back else ends.there()
        port = ends.port_b if back else ends.port_a
        if proto == 132:
            yield port, f"sctp {_at(src, ends.sport)} > {_at(dst, ends.dport)} tag 1{ends.around}"
        else:
            yield port, f"ip {src} > {dst} proto {proto} len {dice.pick((8, 20))}{ends.around}"


def _arp(dice: Dice) -> Iterator[Line]:
    a, b = dice.pick(draw.V4), dice.pick(draw.V4)
    source = dice.pick(draw.MACS)
    yield dice.number(1, 4), f"arp who-has {b} tell {a} eth-src {source}"
    if dice.chance(0.6):
        answer = dice.pick(draw.MACS)
        text = f"arp {b} is-at {answer} for {a} eth-src {answer} eth-dst {source}"
        yield dice.number(1, 4), text + (" vlan 5" if dice.chance(0.1) else "")


def _neighbour(dice: Dice) -> Iterator[Line]:
    a, b, mac = dice.pick(draw.V6), dice.pick(draw.V6), dice.pick(draw.MACS)
    frame = neighbour(a, b, b, eth_src=mac, address=dice.pick((None, "", mac)))
    yield dice.number(1, 4), f"hex {frame.hex()}"
    if dice.chance(0.6):
        answer = neighbour(b, a, b, advert=True, flags=dice.pick((0, 0x60000000)), eth_dst=mac)
        yield dice.number(1, 4), f"hex {answer.hex()}"


def _any_line(dice: Dice) -> str:
    """A packet of some talk."""
    for _, line in dice.pick((_tcp, _icmp))(dice):
        return line
    return next(_udp(dice))[1]


def _labelled(dice: Dice) -> Iterator[Line]:
    """One to three MPLS labels ahead of an IP packet, or of nothing that could be one."""
    line = _any_line(dice)
    frame = frames_of(line.partition(" vlan")[0])[0]
    count = dice.number(1, 4)
    labels = b"".join(
        (dice.pick((5, 16)) << 12 | dice.pick((0, 3)) << 9 | (at == count - 1) << 8
         | dice.pick((64, 1, 2))).to_bytes(4, "big")
        for at in range(count)
    )  # fmt: skip
    dl_type = dice.pick((draw.MPLS, draw.MPLS, draw.MPLS_MC)).to_bytes(2, "big")
    for _ in range(dice.number(1, 2)):
        yield dice.number(1, 4), f"hex {(frame[:12] + dl_type + labels + frame[14:]).hex()}"


def _strange(dice: Dice) -> Iterator[Line]:
    """Frames that are cut short, of other types, or 802.3."""
    kind = dice.number(0, 4)
    line = _any_line(dice)
    frame = frames_of(line)[0]
    if kind == 0:
        frame = frame[: dice.number(14, len(frame))]
    elif kind == 1:
        frame = frame[:12] + b"\x88\xb5" + frame[14:]
    elif kind == 2:
        frame = frame[:12] + dice.number(0, 0x5FF).to_bytes(2, "big") + frame[14:]
    elif kind == 3:
        at = dice.number(14, len(frame) - 1)
        frame = frame[:at] + bytes((dice.number(0, 255),)) + frame[at + 1 :]
    else:
        tpid = dice.pick((b"\x81\x00", b"\x88\xa8", b"\x91\x00"))
        tci = dice.number(0, 0xFFFF).to_bytes(2, "big")
        frame = frame[:12] + tpid + tci + frame[12:]
    yield dice.number(1, 4), f"hex {frame.hex()}"


def _fragments(dice: Dice) -> Iterator[Line]:
    """A datagram in two or three pieces: in order or not, whole or not."""
    ends = _ends(dice)
    src, dst = ends.there()
    sizes = dice.pick(("1480", "1280,1280", "1480,1480"))
    size = 1400 + sum(int(part) for part in sizes.split(","))
    pieces = list(range(1, sizes.count(",") + 3))
    if dice.chance(0.4):
        dice.random.shuffle(pieces)
    if dice.chance(0.3):
        pieces.pop()
    around = ends.around.replace(" pad 60", "")
    text = f"udp {_at(src, ends.sport)} > {_at(dst, ends.dport)} len {size}{around} frag {sizes}"
    for piece in pieces:
        yield ends.port_a, f"{text} piece {piece}"


def _error_for(dice: Dice, line: Line) -> Line | None:
    """An ICMP error about a packet that was sent, by its target or by a router on its way."""
    port, text = line
    words = text.split()
    if words[0] not in ("tcp", "udp", "icmp", "ip") or "frag" in words:
        return None
    quoted = text.partition(" vlan ")[0]
    v6 = ":" in words[1].rpartition(":")[0] or "::" in words[1]
    kinds = ((1, 1), (3, 0), (2, 0)) if v6 else ((3, 3), (3, 1), (11, 0), (4, 0), (5, 1), (12, 0))
    kind, code = dice.pick(kinds)
    source = f" from {dice.pick(draw.V6 if v6 else draw.V4)}" if dice.chance(0.5) else ""
    bad = " bad l4" if dice.chance(0.05) else ""
    text = f"error type {kind} code {code}{source}{bad} for {quoted}"
    return (3 - port if port < 3 else port), text


_TALKS: Final[tuple[tuple[int, int, Talk], ...]] = (
    (12, 16, _tcp), (6, 6, _udp), (4, 4, _icmp), (2, 1, _protocol), (2, 1, _arp),
    (2, 1, _neighbour), (2, 0, _labelled), (2, 1, _strange),
)  # fmt: skip

_STEPS: Final = (0.0, 0.001, 0.001, 0.01, 0.1, 0.5, 1.0)
_GAPS: Final = (5.0, 29.9, 31.0, 61.0, 200.0, 901.0)


def draw_shots(dice: Dice, fragments: bool) -> tuple[Shot, ...]:
    """The events of a case. With `fragments`, datagrams come in pieces and no time gap is long."""
    rows = [(ct if dice.conntrack else plain, talk) for plain, ct, talk in _TALKS]
    if fragments:
        rows.append((12, _fragments))
    talks = [dice.weighted(rows)(dice) for _ in range(dice.number(1, 4))]
    shots: list[Shot] = []
    sent: list[Line] = []
    now = 0.0
    most = dice.number(4, 24)
    gaps = 0.03 if dice.chance(0.3) and not fragments else 0.0
    while talks and len(shots) < most:
        talk = talks[0] if dice.chance(0.5) else dice.pick(talks)
        line = next(talk, None)
        if line is None:
            talks.remove(talk)
            continue
        now = round(now + (dice.pick(_GAPS) if dice.chance(gaps) else dice.pick(_STEPS)), 6)
        shots.append(Shot(now, *line))
        sent.append(line)
        if dice.chance(0.04):
            error = _error_for(dice, dice.pick(sent))
            if error is not None:
                shots.append(Shot(now, *error))
    return tuple(shots)
