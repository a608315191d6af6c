"""The words of a packet line: what may stand behind its addresses, one row a word.

A word that takes a value is followed by it (``ttl 1``); the others stand alone (``df``). Each row
says which kinds of packet take it and how its value becomes a keyword of the builders in
:mod:`ovsct.packet.build`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ovsct.packet.build import eth_address, mss, sack_permitted, timestamps, window_scale

TCP: Final = frozenset({"tcp"})
ECHO: Final = frozenset({"icmp"})
LOADED: Final = frozenset({"tcp", "udp", "icmp", "ip", "sctp"})
IP: Final = LOADED | {"error"}
ANY: Final = IP | {"arp"}


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its `kinds` of packet, the builder's `keyword`, and how to read its value.

    `read` is None for a word that stands alone; `fixed` is then the keyword's value. A word of
    `many` may stand several times, and adds to the keyword each time.
    """

    kinds: frozenset[str]
    keyword: str
    read: Callable[[str], Any] | None
    expected: str
    fixed: object = True
    many: bool = False


def number(low: int, high: int) -> Callable[[str], int]:
    """Reads a decimal or 0x number from `low` to `high`; raises ValueError."""

    def read(text: str) -> int:
        value = int(text, 0)
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _mac(text: str) -> str:
    eth_address(text)
    return text


def _zeros(text: str) -> bytes:
    return bytes(number(0, 65535)(text))


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


def _bad(text: str) -> str:
    if text not in ("ip", "l4", "both"):
        raise ValueError
    return text


def _timestamps(text: str) -> bytes:
    value, _, echo = text.partition(":")
    read = number(0, 0xFFFFFFFF)
    return timestamps(read(value), read(echo or "0"))


def _fragments(text: str) -> list[int]:
    sizes = [number(8, 65528)(part) for part in text.split(",")]
    if any(size % 8 for size in sizes):
        raise ValueError
    return sizes


_BYTE: Final = "a number from 0 to 255"
_U16: Final = "a number from 0 to 65535"
_U32: Final = "a number from 0 to 4294967295"

WORDS: Final[dict[str, Word]] = {
    "seq": Word(TCP | ECHO, "seq", number(0, 0xFFFFFFFF), _U32),
    "ack": Word(TCP, "ack", number(0, 0xFFFFFFFF), _U32),
    "win": Word(TCP, "window", number(0, 0xFFFF), _U16),
    "urg": Word(TCP, "urgent", number(0, 0xFFFF), _U16),
    "mss": Word(TCP, "options", lambda t: mss(number(0, 0xFFFF)(t)), _U16, many=True),
    "wscale": Word(TCP, "options", lambda t: window_scale(number(0, 255)(t)), _BYTE, many=True),
    "sack-ok": Word(TCP, "options", None, "", sack_permitted(), many=True),
    "ts": Word(TCP, "options", _timestamps, "VALUE or VALUE:ECHO", many=True),
    "id": Word(ECHO, "echo_id", number(0, 0xFFFF), _U16),
    "len": Word(LOADED, "payload", _zeros, "a number of bytes up to 65535"),
    "data": Word(LOADED, "payload", _hex, "hex digits"),
    "ttl": Word(IP, "ttl", number(0, 255), _BYTE),
    "tos": Word(IP, "tos", number(0, 255), _BYTE),
    "ident": Word(IP, "ident", number(0, 0xFFFF), _U16),
    "df": Word(IP, "df", None, ""),
    "flow-label": Word(IP, "label", number(0, 0xFFFFF), "a number up to 0xfffff"),
    "ip-options": Word(IP, "ip_options", _hex, "hex digits"),
    "bad": Word(IP, "bad", _bad, "ip, l4 or both: the checksum that is wrong"),
    "no-checksum": Word(frozenset({"udp"}), "checksum", None, "", False),
    "eth-src": Word(ANY, "eth_src", _mac, "an address such as 02:00:00:00:00:01"),
    "eth-dst": Word(ANY, "eth_dst", _mac, "an address such as 02:00:00:00:00:02"),
    "vlan": Word(ANY, "vlans", lambda t: [number(0, 0xFFFF)(t)], "a TCI", many=True),
    "pad": Word(ANY, "pad", number(0, 65535), "the length of the padded frame"),
    "frag": Word(LOADED, "frag", _fragments, "payload sizes, multiples of 8: 1480,1480"),
    "piece": Word(LOADED, "piece", number(1, 8192), "which of the fragments, from 1"),
    "type": Word(frozenset({"error"}), "kind", number(0, 255), _BYTE),
    "code": Word(frozenset({"error"}), "code", number(0, 255), _BYTE),
    "rest": Word(frozenset({"error"}), "rest", number(0, 0xFFFFFFFF), _U32),
    "from": Word(frozenset({"error"}), "src", str, "an address"),
    "to": Word(frozenset({"error"}), "dst", str, "an address"),
    "tag": Word(frozenset({"sctp"}), "tag", number(0, 0xFFFFFFFF), _U32),
}
"""Every word of a packet line."""
