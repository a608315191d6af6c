"""Packets said in a line, as a person writes them in a scenario or on the command line.

    tcp 10.0.0.1:1000 > 10.0.0.2:80 S seq 1 mss 1460
    tcp [fc00::1]:1000 > [fc00::2]:80 PA len 100
    udp 10.0.0.1:1000 > 10.0.0.2:53 len 20 bad l4
    icmp 10.0.0.1 > 10.0.0.2 echo id 7 seq 1         (or: reply)
    error code 3 from 10.0.0.9 for udp 10.0.0.1:1000 > 10.0.0.2:53
    ip 10.0.0.1 > 10.0.0.2 proto 47 len 20
    sctp 10.0.0.1:1000 > 10.0.0.2:80 tag 1 data 01000014...
    arp who-has 10.0.0.2 tell 10.0.0.1               (or: arp 10.0.0.2 is-at MAC for 10.0.0.1)
    hex 020000000002020000000001...

Flags of TCP are letters as tcpdump writes them (S, SA or S., A or ., PA, FA, R), or ``none``. The
words that may follow are rows of :data:`ovsct.compare.packet_words.WORDS`. With ``frag`` a line
is several frames, all but one of which ``piece N`` leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any, Final, NamedTuple, NoReturn

from ovsct.compare.packet_words import WORDS, number
from ovsct.errors import InputError
from ovsct.packet.build import (
    arp,
    eth_address,
    fragment,
    icmp_echo,
    icmp_error,
    ip,
    sctp,
    tcp,
    tcp_flags,
    udp,
)


class Token(NamedTuple):
    """One word of a line and its 1-based column."""

    text: str
    column: int


def tokens(line: str, start: int = 0) -> list[Token]:
    """The words of a line from column `start` (0-based) on."""
    return [Token(m[0], m.start() + 1) for m in re.compile(r"\S+").finditer(line, start)]


def fail(problem: str, token: Token | None, expected: str, hint: str | None = None) -> NoReturn:
    """Raise the InputError for one word of a line; None is the end of the line."""
    raise InputError(
        problem,
        column=token.column if token else None,
        token=token.text if token else None,
        expected=expected,
        hint=hint,
    )


def nearest(word: str, known: Sequence[str]) -> str | None:
    """A hint that names the known word that looks most like `word`, if one does."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else None


class Reader:
    """Goes through the words of one line."""

    __slots__ = ("at", "tokens")

    def __init__(self, words: Sequence[Token]) -> None:
        self.tokens = words
        self.at = 0

    def peek(self) -> Token | None:
        """The next word, or None at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, expected: str) -> Token:
        """The next word; the end of the line is an error."""
        token = self.peek()
        if token is None:
            fail("the line ends too soon", None, expected)
        self.at += 1
        return token

    def literal(self, *words: str) -> Token:
        """The next word, which has to be one of `words`."""
        token = self.take(" or ".join(words))
        if token.text not in words:
            fail("unexpected word", token, " or ".join(words), nearest(token.text, words))
        return token

    def value(self, read: Callable[[str], Any], expected: str) -> Any:
        """The next word, read by `read`; a ValueError of it becomes an InputError."""
        token = self.take(expected)
        try:
            return read(token.text)
        except ValueError:
            fail("this cannot be", token, expected)


def _address(text: str) -> str:
    return str(ip_address(text.strip("[]")))


_WITH_PORT: Final = re.compile(r"(?:\[(?P<v6>[^]]+)\]|(?P<v4>[^:]+)):(?P<port>\d+)")


def endpoint(text: str) -> tuple[str, int]:
    """Address and port of ``10.0.0.1:80`` or ``[fc00::1]:80``; raises ValueError."""
    found = _WITH_PORT.fullmatch(text)
    if found is None:
        raise ValueError
    return _address(found["v6"] or found["v4"]), number(0, 65535)(found["port"])


_ENDPOINT: Final = "an address and port: 10.0.0.1:80, [fc00::1]:80"
_ADDRESS: Final = "an IP address"


def packet_frames(line: str, start: int = 0) -> list[bytes]:
    """The frames of a packet line: one, or several if it says ``frag``.

    Args:
        line: as above.
        start: 0-based column at which the packet begins.

    Raises:
        InputError: with column and token.
    """
    return read_packet(Reader(tokens(line, start)))


def read_packet(words: Reader) -> list[bytes]:
    """The frames of the packet line whose words are left in `words`; raises InputError."""
    kind = words.take(", ".join(KINDS))
    build = KINDS.get(kind.text)
    if build is None:
        fail("no such packet", kind, ", ".join(KINDS), nearest(kind.text, list(KINDS)))
    try:
        return build(words)
    except (ValueError, OverflowError) as error:
        raise InputError(f"no such packet can be: {error}", token=kind.text) from None


def _rest(words: Reader, kind: str) -> dict[str, Any]:
    """Keywords for the builder from the words that are left."""
    found: dict[str, Any] = {}
    while token := words.peek():
        word = WORDS.get(token.text)
        if word is None or kind not in word.kinds:
            mine = [name for name, row in WORDS.items() if kind in row.kinds]
            fail(
                f"no such word for {kind}" if word is None else f"not a word for {kind}",
                token, ", ".join(mine), nearest(token.text, mine),
            )  # fmt: skip
        words.at += 1
        value = word.fixed if word.read is None else words.value(word.read, word.expected)
        if word.keyword in found and not word.many:
            fail(f"{word.keyword!r} is said twice", token, "it once")
        found[word.keyword] = found[word.keyword] + value if word.keyword in found else value
    return found


def _cut(frame: bytes, sizes: list[int] | None, piece: int | None) -> list[bytes]:
    if sizes is None:
        if piece is not None:
            raise ValueError("'piece' goes with 'frag'")
        return [frame]
    pieces = fragment(frame, sizes, ident=_ident(frame))
    if piece is None:
        return pieces
    if piece > len(pieces):
        raise ValueError(f"there are only {len(pieces)} fragments")
    return [pieces[piece - 1]]


def _ident(frame: bytes) -> int:
    at = frame.find(b"\x08\x00", 12, 24)
    return int.from_bytes(frame[at + 6 : at + 8], "big") if at >= 0 else 1


def _tcp(words: Reader) -> list[bytes]:
    src, sport = words.value(endpoint, _ENDPOINT)
    words.literal(">")
    dst, dport = words.value(endpoint, _ENDPOINT)
    flags = words.value(read_flags, "TCP flags such as S, SA, A, PA, FA, R, or none")
    return _built(tcp, (src, dst, sport, dport, flags), _rest(words, "tcp"))


def read_flags(text: str) -> int:
    """TCP flags from letters, or ``none``; raises ValueError."""
    return 0 if text == "none" else tcp_flags(text)


def _udp(words: Reader) -> list[bytes]:
    src, sport = words.value(endpoint, _ENDPOINT)
    words.literal(">")
    dst, dport = words.value(endpoint, _ENDPOINT)
    return _built(udp, (src, dst, sport, dport), _rest(words, "udp"))


def _sctp(words: Reader) -> list[bytes]:
    src, sport = words.value(endpoint, _ENDPOINT)
    words.literal(">")
    dst, dport = words.value(endpoint, _ENDPOINT)
    rest = _rest(words, "sctp")
    rest["chunks"] = rest.pop("payload", b"")
    return _built(sctp, (src, dst, sport, dport), rest)


def _icmp(words: Reader) -> list[bytes]:
    src = words.value(_address, _ADDRESS)
    words.literal(">")
    dst = words.value(_address, _ADDRESS)
    reply = words.literal("echo", "reply").text == "reply"
    return _built(icmp_echo, (src, dst), {**_rest(words, "icmp"), "reply": reply})


def _ip(words: Reader) -> list[bytes]:
    src = words.value(_address, _ADDRESS)
    words.literal(">")
    dst = words.value(_address, _ADDRESS)
    words.literal("proto")
    proto = words.value(number(0, 255), "a protocol number")
    return _built(ip, (src, dst, proto), _rest(words, "ip"))


def _error(words: Reader) -> list[bytes]:
    about = next((n for n, t in enumerate(words.tokens) if t.text == "for"), None)
    if about is None:
        fail("an error about nothing", words.peek(), "for PACKET at the end of the line")
    head = Reader(words.tokens[words.at : about])
    rest = _rest(head, "error")
    inner = Reader(words.tokens[about + 1 :])
    frames = read_packet(inner)
    words.at = len(words.tokens)
    return _built(icmp_error, (frames[0],), rest)


def _arp(words: Reader) -> list[bytes]:
    first = words.take("who-has or an address")
    if first.text == "who-has":
        target = words.value(_address, _ADDRESS)
        words.literal("tell")
        sender = words.value(_address, _ADDRESS)
        return _built(arp, (sender, target), _rest(words, "arp"))
    words.at -= 1
    sender = words.value(_address, _ADDRESS)
    words.literal("is-at")
    mac = words.value(_mac, "an Ethernet address")
    words.literal("for")
    target = words.value(_address, _ADDRESS)
    return _built(arp, (sender, target), {"op": 2, "sha": mac, **_rest(words, "arp")})


def _mac(text: str) -> str:
    eth_address(text)
    return text


def _hex(words: Reader) -> list[bytes]:
    digits = "".join(token.text for token in words.tokens[words.at :])
    first = words.take("hex digits")
    words.at = len(words.tokens)
    try:
        return [bytes.fromhex(digits)]
    except ValueError as error:
        fail(f"this is no frame: {error}", first, "pairs of hex digits")


def _built(
    builder: Callable[..., bytes], arguments: tuple[Any, ...], rest: dict[str, Any]
) -> list[bytes]:
    sizes, piece = rest.pop("frag", None), rest.pop("piece", None)
    try:
        frame = builder(*arguments, **rest)
    except (KeyError, IndexError):
        if "bad" not in rest:
            raise
        raise ValueError("it has no checksum that could be wrong") from None
    return _cut(frame, sizes, piece)


KINDS: Final[dict[str, Callable[[Reader], list[bytes]]]] = {
    "tcp": _tcp,
    "udp": _udp,
    "icmp": _icmp,
    "error": _error,
    "ip": _ip,
    "sctp": _sctp,
    "arp": _arp,
    "hex": _hex,
}
"""The kinds of packet lines."""
