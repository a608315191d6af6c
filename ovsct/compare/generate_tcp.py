"""The two ends of a generated conversation, and TCP between them, good and bent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ovsct.compare import draw
from ovsct.compare.draw import Dice

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


def draw_ends(dice: Dice) -> Ends:
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


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# -- TCP -----------------------------------------------------------------------------------------


_ODD_FLAGS: Final = ("none", "SF", "SR", "FPU", "SPU", "P", "R", "RA", "F")


class TcpTalk:
    """Both ends of a TCP connection, as far as sequence numbers go."""

    def __init__(self, dice: Dice, ends: Ends | None = None) -> None:
        self.dice = dice
        self.ends = draw_ends(dice) if ends is None else ends
        self.next = [dice.number(0, _WRAP - 1), dice.number(0, _WRAP - 1)]
        self.window = dice.pick((65535, 1000, 512, 65535))
        self.scales = dice.pick(
            (("", ""), (" wscale 7", " wscale 2"), (" wscale 14", ""), ("", ""))
        )
        self.last: Line | None = None

    def line(
        self, side: int, flags: str, size: int = 0, extra: str = "", data: bytes = b""
    ) -> Line:
        """The next segment of a side (0: a, 1: b); what it uses up is used up."""
        size = size or len(data)
        ends, dice = self.ends, self.dice
        src, dst = ends.back() if side else ends.there()
        sport, dport = (ends.dport, ends.sport) if side else (ends.sport, ends.dport)
        seq, ack = self.next[side], self.next[1 - side]
        self.next[side] = (seq + size + ("S" in flags) + ("F" in flags)) % _WRAP
        text = f"tcp {endpoint(src, sport)} > {endpoint(dst, dport)} {flags} seq {seq}"
        if "A" in flags:
            text += f" ack {ack}"
        text += f" win {0 if dice.chance(0.02) else self.window}"
        if "S" in flags:
            text += self.scales[side] + (" mss 1460" if dice.chance(0.3) else "")
        if data:
            text += f" data {data.hex()}"
        elif size:
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


def tcp(dice: Dice) -> Iterator[Line]:
    talk = TcpTalk(dice)
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
