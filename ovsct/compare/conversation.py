"""Conversations: two ends that talk, so that a packet is a direction and a few words.

    web: tcp p1 10.0.0.1:1000 > p2 10.0.0.2:80
    out: tcp p1 10.0.0.1:1000 > p2 8.8.8.8:80 as 192.0.2.1:1000 > 8.8.8.8:80
    dns: udp p1 10.0.0.1:4000 > p2 10.0.0.2:53
    ping: icmp p1 10.0.0.1 > p2 10.0.0.2

``web > S`` is a segment of the first end that comes in on its port, ``web < SA mss 1460`` one of
the second. ``as`` gives the addresses that the second end sees, if they are translated on the way.
Sequence and acknowledgement numbers of TCP, and those of echo requests, are kept. A packet that
says its own ``seq`` is an outsider: the conversation goes on as if it had not been.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ovsct.compare.packet_line import Reader, endpoint, fail, nearest, packet_frames, read_flags
from ovsct.compare.packet_line import tokens as words_of
from ovsct.compare.packet_words import WORDS, number
from ovsct.errors import InputError

_KINDS: Final = ("tcp", "udp", "icmp")
_FIRST_SEQ: Final = (1000, 5000)
"""Initial sequence numbers of the two ends of TCP: not alike, so that a mix-up shows."""
_MODULUS: Final = 1 << 32
_FIN, _SYN, _ACK = 0x01, 0x02, 0x10


@dataclass(frozen=True, slots=True)
class End:
    """One end: the port it is on, and source and destination as it writes them."""

    port: int
    src: str
    dst: str


class Conversation:
    """Two ends that talk over one protocol.

    Args:
        line: what it is, in the words above.

    Raises:
        InputError: with column and token.
    """

    def __init__(self, line: str) -> None:
        words = Reader(words_of(line))
        self.kind = words.literal(*_KINDS).text
        near_port = words.value(read_port, "a port such as p1")
        near = words.value(self._check, self._expected)
        words.literal(">")
        far_port = words.value(read_port, "a port such as p2")
        far = words.value(self._check, self._expected)
        seen = (near, far)
        if words.peek() is not None:
            words.literal("as")
            seen = (words.value(self._check, self._expected), far)
            words.literal(">")
            seen = (seen[0], words.value(self._check, self._expected))
        if (extra := words.peek()) is not None:
            fail("unexpected word", extra, "the end of the line")
        self.ends = (End(near_port, near, far), End(far_port, seen[1], seen[0]))
        self._next = list(_FIRST_SEQ)
        self._asked = 0

    @property
    def _expected(self) -> str:
        return "an IP address" if self.kind == "icmp" else "an address and port: 10.0.0.1:80"

    def _check(self, text: str) -> str:
        if self.kind == "icmp":
            from ipaddress import ip_address

            return str(ip_address(text))
        endpoint(text)
        return text

    def frames(self, words: Reader) -> tuple[int, list[bytes]]:
        """The port and the frames of the packet that `words` says: a direction and its words.

        Raises:
            InputError: with column and token.
        """
        side = 0 if words.literal(">", "<").text == ">" else 1
        end = self.ends[side]
        head = f"{self.kind} {end.src} > {end.dst}"
        made = {"tcp": self._tcp, "udp": self._udp, "icmp": self._icmp}[self.kind](words, side)
        try:
            return end.port, packet_frames(f"{head} {made}")
        except InputError as error:
            # The columns are those of a line that the user never wrote: the token has to do.
            raise InputError(
                error.problem, token=error.token, expected=error.expected, hint=error.hint
            ) from None

    def _tcp(self, words: Reader, side: int) -> str:
        token = words.take("TCP flags")
        try:
            flags = read_flags(token.text)
        except ValueError:
            fail("no TCP flags", token, "letters such as S, SA, A, PA, FA, R, or none")
        rest = _rest(words)
        outsider = "seq" in rest
        seq = self._next[side]
        text = f"{token.text}"
        if not outsider:
            text += f" seq {seq}"
            length = _length(rest)
            step = length + bool(flags & _SYN) + bool(flags & _FIN)
            self._next[side] = (seq + step) % _MODULUS
        if flags & _ACK and "ack" not in rest:
            text += f" ack {self._next[1 - side]}"
        return f"{text} {_join(rest)}"

    def _udp(self, words: Reader, side: int) -> str:
        return _join(_rest(words))

    def _icmp(self, words: Reader, side: int) -> str:
        rest = _rest(words)
        if side == 0:
            self._asked += 1
        text = f"{'reply' if side else 'echo'}"
        if "seq" not in rest:
            text += f" seq {self._asked}"
        return f"{text} {_join(rest)}"


def read_port(text: str) -> int:
    """A port number from ``p1``; raises ValueError."""
    if not text.startswith("p"):
        raise ValueError
    return number(1, 65279)(text[1:])


def _rest(words: Reader) -> dict[str, list[str]]:
    """The words that are left, each with its values (none if it stands alone)."""
    found: dict[str, list[str]] = {}
    while token := words.peek():
        words.at += 1
        word = WORDS.get(token.text)
        if word is None:
            hint = nearest(token.text, list(WORDS))
            fail("no such word", token, "seq, ack, win, len, ttl ...", hint)
        values = found.setdefault(token.text, [])
        if word.read is not None:
            values.append(words.take(word.expected).text)
    return found


def _length(rest: dict[str, list[str]]) -> int:
    """Bytes of payload that the words give."""
    for name in ("len", "data"):
        for text in rest.get(name, ()):
            read: Any = WORDS[name].read
            try:
                return len(read(text))
            except ValueError:
                return 0  # told when the packet is built
    return 0


def _join(rest: dict[str, list[str]]) -> str:
    return " ".join(
        f"{name} {value}" if value else name
        for name, values in rest.items()
        for value in (values or [""])
    )
