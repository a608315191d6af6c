"""Names of protocols and how addresses are read: what iproute2's lib/ knows."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ovsct.tc.text.words import Words

ETHER_TYPES: Final[dict[str, int]] = {
    "all": 0x0003, "802_3": 0x0001, "802_2": 0x0004, "ip": 0x0800, "ipv4": 0x0800, "arp": 0x0806,
    "rarp": 0x8035, "802.1q": 0x8100, "ipv6": 0x86DD, "ppp_disc": 0x8863, "ppp_ses": 0x8864,
    "mpls_uc": 0x8847, "mpls_mc": 0x8848, "802.1ad": 0x88A8, "lldp": 0x88CC, "fip": 0x8914,
    "aoe": 0x88A2, "loop": 0x0060, "x25": 0x0805, "tipc": 0x88CA,
}  # fmt: skip
"""iproute2 lib/ll_proto.c, those of its names that say something on Ethernet."""

TYPE_NAMES: Final[dict[int, str]] = {
    number: {"802.1q": "802.1Q", "lldp": "LLDP"}.get(name, name)
    for name, number in ETHER_TYPES.items()
    if name != "ipv4"
}

IP_PROTOS: Final[dict[str, int]] = {
    "tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58, "l2tp": 115,
}  # fmt: skip


def ether_type(words: Words, what: str) -> int:
    """The next word as an Ethernet type: a name in any case, or a number."""
    word = words.take(what)
    if word[:1] == "[" and word[-1:] == "]":
        # So ``tc filter show`` writes a type that it has no name for.
        return words.to_number(word[1:-1], what, 16, 10)
    named = ETHER_TYPES.get(word.lower())
    return named if named is not None else words.to_number(word, what, 16)


def ethernet(words: Words, word: str) -> int:
    """A MAC address as an int."""
    parts = word.split(":")
    if len(parts) != 6 or not all(0 < len(part) <= 2 for part in parts):
        words.fail("not an Ethernet address", token=word, expected="aa:bb:cc:dd:ee:ff")
    try:
        return int.from_bytes(bytes(int(part, 16) for part in parts), "big")
    except ValueError:
        words.fail("not an Ethernet address", token=word, expected="aa:bb:cc:dd:ee:ff")


def address(words: Words, word: str, family: int) -> int:
    """An IP address of `family` (4 or 6) as an int."""
    try:
        return int(IPv4Address(word) if family == 4 else IPv6Address(word))
    except ValueError:
        words.fail(f"not an IPv{family} address", token=word)


def prefix(words: Words, what: str, family: int) -> tuple[int, int]:
    """``ADDRESS[/LENGTH|/NETMASK]`` as (value, mask)."""
    word = words.take(what)
    width = 32 if family == 4 else 128
    ones = (1 << width) - 1
    text, slash, length = word.partition("/")
    value = address(words, text, family)
    if not slash:
        return value, ones
    if length.isdigit():
        bits = int(length)
        if bits > width:
            words.fail(f"a prefix of IPv{family} has at most {width} bits", token=word)
        return value, ones >> (width - bits) << (width - bits)
    mask = address(words, length, family)
    if (~mask & ones) & ((~mask & ones) + 1):
        words.fail("a netmask must be a prefix", token=word)
    return value, mask


def masked_ethernet(words: Words, what: str) -> tuple[int, int]:
    """``MAC[/MAC|/BITS]`` as (value, mask)."""
    word = words.take(what)
    text, slash, mask = word.partition("/")
    value = ethernet(words, text)
    if not slash:
        return value, (1 << 48) - 1
    if ":" in mask:
        return value, ethernet(words, mask)
    bits = words.to_number(mask, f"the mask of {what}", 8, 10)
    if bits > 48:
        words.fail("a MAC mask has at most 48 bits", token=word)
    return value, ((1 << bits) - 1) << (48 - bits)


def masked_number(
    words: Words, what: str, bits: int, base: int = 0, mask_base: int = 0
) -> tuple[int, int]:
    """``VALUE[/MASK]`` as (value, mask)."""
    word = words.take(what)
    text, slash, mask = word.partition("/")
    value = words.to_number(text, what, bits, base)
    if not slash:
        return value, (1 << bits) - 1
    return value, words.to_number(mask, f"the mask of {what}", bits, mask_base)
