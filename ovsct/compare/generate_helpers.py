"""Conversations that conntrack's helpers listen to: FTP and TFTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ovsct.compare import draw
from ovsct.compare.draw import Dice
from ovsct.compare.generate_tcp import Ends, Line, TcpTalk, draw_ends, endpoint

_DATA_PORTS: Final = (2000, 20, 80, 50000)


def _announcement(dice: Dice, ends: Ends, address: str, port: int, passive: bool) -> bytes:
    """How FTP says where the data connection goes; now and then not quite so."""
    high, low = divmod(port, 256)
    if ends.v6:
        text = (
            f"229 Entering Extended Passive Mode (|||{port}|)" if passive
            else f"EPRT |2|{address}|{port}|"
        )  # fmt: skip
    else:
        numbers = ",".join((*address.split("."), str(high), str(low)))
        text = f"227 Entering Passive Mode ({numbers})." if passive else f"PORT {numbers}"
    if dice.chance(0.1):
        text = dice.pick((text.lower(), text[:-3], f"200 {text}", text.replace(",", ", ")))
    return f"{text}\r\n".encode()


def ftp(dice: Dice) -> Iterator[Line]:
    """A control connection, what it announces, and the data connection that comes of it."""
    ends = replace(draw_ends(dice), dport=21 if dice.chance(0.85) else dice.pick(draw.PORTS))
    talk = TcpTalk(dice, ends)
    yield from (talk.line(side, flags) for side, flags in ((0, "S"), (1, "SA"), (0, "A")))
    yield talk.line(1, "PA", data=b"220 ready\r\n")
    passive = dice.chance(0.5)
    # Who announces says the address that it knows of itself.
    address = ends.real_b if passive else ends.a
    if dice.chance(0.08):
        address = dice.pick(draw.V6 if ends.v6 else draw.V4)
    port = dice.pick(_DATA_PORTS)
    yield talk.line(int(passive), "PA", data=_announcement(dice, ends, address, port, passive))
    yield talk.line(int(not passive), "A")
    sport = dice.pick((20, 40000))
    if passive:
        data = replace(ends, sport=sport, dport=port)
    else:
        data = Ends(
            ends.real_b, ends.seen_a, sport, port, ends.port_b, ends.port_a,
            ends.b, ends.a, ends.around,
        )  # fmt: skip
    other = TcpTalk(dice, data)
    for side, flags, size in ((0, "S", 0), (1, "SA", 0), (0, "A", 0), (0, "PA", 100), (1, "FA", 0)):
        yield other.line(side, flags, size)
    if dice.chance(0.4):
        yield talk.line(0, dice.pick(("FA", "R")))


def tftp(dice: Dice) -> Iterator[Line]:
    """A request to port 69, and the answer from another."""
    ends = draw_ends(dice)
    port = 69 if dice.chance(0.85) else 70
    request = f"udp {endpoint(ends.a, ends.sport)} > {endpoint(ends.b, port)} data 000166"
    yield ends.port_a, request + ends.around
    src, dst = ends.back()
    for _ in range(dice.number(1, 3)):
        text = f"udp {endpoint(src, 40000)} > {endpoint(dst, ends.sport)} len 20{ends.around}"
        yield ends.port_b, text
