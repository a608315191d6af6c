"""Conversations for generated cases: good ones, bent ones, and what is no conversation at all.

Each talk is a generator of (port, packet line); :func:`draw_shots` lets several go on at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ovsct.compare import draw
from ovsct.compare.case import Shot, frames_of
from ovsct.compare.draw import Dice
from ovsct.compare.generate_helpers import ftp, tftp
from ovsct.compare.generate_tcp import Line, Talk, draw_ends, endpoint, tcp
from ovsct.packet.build import neighbour

# -- the others ----------------------------------------------------------------------------------


def _udp(dice: Dice) -> Iterator[Line]:
    ends = draw_ends(dice)
    for _ in range(dice.number(1, 5)):
        back = dice.chance(0.4)
        src, dst = ends.back() if back else ends.there()
        ports = (ends.dport, ends.sport) if back else (ends.sport, ends.dport)
        text = f"udp {endpoint(src, ports[0])} > {endpoint(dst, ports[1])}"
        if dice.chance(0.4):
            text += f" len {dice.pick((1, 20, 60))}"
        if dice.chance(0.06):
            text += dice.pick((" bad l4", " no-checksum"))
        yield ends.port_b if back else ends.port_a, text + ends.around


def _icmp(dice: Dice) -> Iterator[Line]:
    ends = draw_ends(dice)
    number = dice.pick((7, 8))
    for seq in range(dice.number(1, 3)):
        src, dst = ends.there()
        yield ends.port_a, f"icmp {src} > {dst} echo id {number} seq {seq}{ends.around}"
        if dice.chance(0.7):
            src, dst = ends.back()
            bad = " bad l4" if dice.chance(0.04) else ""
            yield ends.port_b, f"icmp {src} > {dst} reply id {number} seq {seq}{bad}{ends.around}"


def _protocol(dice: Dice) -> Iterator[Line]:
    ends = draw_ends(dice)
    proto = dice.pick((47, 50, 2, 132, 103))
    for _ in range(dice.number(1, 3)):
        back = dice.chance(0.4)
        src, dst = ends.back() if back else ends.there()
        port = ends.port_b if back else ends.port_a
        if proto == 132:
            two = f"{endpoint(src, ends.sport)} > {endpoint(dst, ends.dport)}"
            yield port, f"sctp {two} tag 1{ends.around}"
        else:
            yield port, f"ip {src} > {dst} proto {proto} len {dice.pick((8, 20))}{ends.around}"


_CHUNKS: Final = ("01000014" + "00" * 16, "02000018" + "00" * 20, "0a000008" + "00" * 4, "0b000004",
                  "00030011" + "00" * 16, "03000010" + "00" * 12, "07000008" + "00" * 4,
                  "08000004", "0e000004", "06000004")  # fmt: skip
"""INIT, INIT ACK, COOKIE ECHO and ACK, DATA, SACK, SHUTDOWN, its ACK and COMPLETE, ABORT."""


def _sctp(dice: Dice) -> Iterator[Line]:
    ends = draw_ends(dice)
    for at in range(dice.number(2, 8)):
        back = bool(at % 2) if dice.chance(0.8) else dice.chance(0.5)
        src, dst = ends.back() if back else ends.there()
        ports = (ends.dport, ends.sport) if back else (ends.sport, ends.dport)
        chunk = _CHUNKS[at] if dice.chance(0.8) else dice.pick(_CHUNKS)
        two = f"{endpoint(src, ports[0])} > {endpoint(dst, ports[1])}"
        text = f"sctp {two} tag {int(at > 0)} data {chunk}"
        yield ends.port_b if back else ends.port_a, text + ends.around


def _extended(dice: Dice) -> Iterator[Line]:
    """IPv6 with extension headers ahead of the transport: hop-by-hop, destination, routing, AH."""
    a, b = dice.pick(draw.V6), dice.pick(draw.V6)
    port = dice.number(1, 4)
    for _ in range(dice.number(1, 3)):
        text = dice.pick((f"tcp [{a}]:1000 > [{b}]:80 S", f"udp [{a}]:1000 > [{b}]:53 len 8"))
        frame = frames_of(text)[0]
        headers, after = b"", frame[20]
        for kind in dice.random.sample((0, 60, 43, 51), dice.number(1, 2)):
            # Eight bytes each, but for AH, whose length is in words less two.
            size = 1 if kind == 51 else 0
            body = bytes((after, size)) + bytes(10 if kind == 51 else 6)
            headers, after = body + headers, kind
        length = (int.from_bytes(frame[18:20], "big") + len(headers)).to_bytes(2, "big")
        whole = frame[:18] + length + bytes((after,)) + frame[21:54] + headers + frame[54:]
        yield port, f"hex {whole.hex()}"


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
    for _, line in dice.pick((tcp, _icmp))(dice):
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
    ends = draw_ends(dice)
    src, dst = ends.there()
    sizes = dice.pick(("1480", "1280,1280", "1480,1480"))
    size = 1400 + sum(int(part) for part in sizes.split(","))
    pieces = list(range(1, sizes.count(",") + 3))
    if dice.chance(0.4):
        dice.random.shuffle(pieces)
    if dice.chance(0.3):
        pieces.pop()
    around = ends.around.replace(" pad 60", "")
    two = f"{endpoint(src, ends.sport)} > {endpoint(dst, ends.dport)}"
    text = f"udp {two} len {size}{around} frag {sizes}"
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
    (12, 16, tcp), (6, 6, _udp), (4, 4, _icmp), (2, 1, _protocol), (2, 1, _arp),
    (2, 1, _neighbour), (2, 0, _labelled), (2, 1, _strange),
    (2, 3, ftp), (1, 1, tftp), (1, 1, _sctp), (1, 1, _extended),
)  # fmt: skip

_STEPS: Final = (0.0, 0.001, 0.001, 0.01, 0.1, 0.5, 1.0)
_GAPS: Final = (5.0, 29.9, 31.0, 61.0, 200.0, 901.0)
_HELD: Final = (5.0, 14.9, 15.1, 26.0, 61.0, 130.0)
"""Gaps around the times for which fragments are held."""


def draw_shots(dice: Dice, fragments: bool) -> tuple[Shot, ...]:
    """The events of a case. With `fragments`, datagrams come in pieces."""
    rows = [(ct if dice.conntrack else plain, talk) for plain, ct, talk in _TALKS]
    if fragments:
        rows.append((12, _fragments))
    talks = [dice.weighted(rows)(dice) for _ in range(dice.number(1, 4))]
    shots: list[Shot] = []
    sent: list[Line] = []
    now = 0.0
    most = dice.number(4, 24)
    gaps = (0.15 if fragments else 0.03) if dice.chance(0.3) else 0.0
    waits = _HELD if fragments else _GAPS
    while talks and len(shots) < most:
        talk = talks[0] if dice.chance(0.5) else dice.pick(talks)
        line = next(talk, None)
        if line is None:
            talks.remove(talk)
            continue
        now = round(now + (dice.pick(waits) if dice.chance(gaps) else dice.pick(_STEPS)), 6)
        shots.append(Shot(now, *line))
        sent.append(line)
        if dice.chance(0.04):
            error = _error_for(dice, dice.pick(sent))
            if error is not None:
                shots.append(Shot(now, *error))
    return tuple(shots)
