"""``pedit ex munge``: field names to 32-bit words (iproute2 tc/m_pedit.c, p_eth.c, p_ip.c, ...)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from ovsct.tc.actions import Header, Munge, Pedit
from ovsct.tc.text.names import address, ethernet
from ovsct.tc.text.words import Words
from ovsct.tc.verdict import OK


class Place(NamedTuple):
    """A field that munge knows: offset and size in bytes, how it is written, whether it can be
    added to (``add`` is for TTLs, in practice for anything of up to 4 bytes).
    """

    header: Header
    at: int
    size: int
    form: str = "number"


PLACES: Final[dict[tuple[str, str], Place]] = {
    ("eth", "dst"): Place(Header.ETH, 0, 6, "mac"),
    ("eth", "src"): Place(Header.ETH, 6, 6, "mac"),
    ("eth", "type"): Place(Header.ETH, 12, 2),
    ("ip", "tos"): Place(Header.IPV4, 1, 1),
    ("ip", "dsfield"): Place(Header.IPV4, 1, 1),
    ("ip", "ttl"): Place(Header.IPV4, 8, 1),
    ("ip", "protocol"): Place(Header.IPV4, 9, 1),
    ("ip", "src"): Place(Header.IPV4, 12, 4, "ip4"),
    ("ip", "dst"): Place(Header.IPV4, 16, 4, "ip4"),
    ("ip6", "nexthdr"): Place(Header.IPV6, 6, 1),
    ("ip6", "hoplimit"): Place(Header.IPV6, 7, 1),
    ("ip6", "src"): Place(Header.IPV6, 8, 16, "ip6"),
    ("ip6", "dst"): Place(Header.IPV6, 24, 16, "ip6"),
    ("tcp", "sport"): Place(Header.TCP, 0, 2),
    ("tcp", "dport"): Place(Header.TCP, 2, 2),
    ("tcp", "flags"): Place(Header.TCP, 13, 1),
    ("udp", "sport"): Place(Header.UDP, 0, 2),
    ("udp", "dport"): Place(Header.UDP, 2, 2),
}


def words_of(place: Place, value: int, mask: int, *, add: bool = False) -> tuple[Munge, ...]:
    """The 32-bit words that set the bits of `mask` in a field to those of `value`.

    Words in which no bit changes are left out.
    """
    start = place.at & ~3
    stop = (place.at + place.size + 3) & ~3
    shift = 8 * (stop - place.at - place.size)
    found = []
    for at in range(start, stop, 4):
        down = 8 * (stop - at - 4)
        bits = (mask << shift) >> down & 0xFFFFFFFF
        if bits:
            part = (value << shift) >> down & bits
            found.append(Munge(place.header, at, part, ~bits & 0xFFFFFFFF, add))
    return tuple(found)


def read_pedit(words: Words, control: Callable[[Words, int], int]) -> Pedit:
    """Everything behind ``pedit``."""
    extended = words.skip("ex")
    munges: list[Munge] = []
    while words.skip("munge"):
        if not extended and words.peek() != "offset":
            words.take("ex")
            words.fail("only the extended form of pedit is modelled for fields",
                       expected="pedit ex munge ...")  # fmt: skip
        munges.extend(_munge(words))
    if not munges:
        words.take("munge")
        words.fail("pedit needs something to munge", expected="munge HEADER FIELD set VALUE")
    return Pedit(tuple(munges), control(words, OK))


_RAW: Final = {"u32": 4, "u16": 2, "u8": 1}


def _raw(words: Words) -> tuple[Munge, ...]:
    """``offset N u8|u16|u32 set VALUE``: bytes of the network header (m_pedit.c, parse_offset)."""
    at = words.number("an offset", 16)
    if words.peek() in ("at", "offmask", "shift"):
        words.fail("offsets that depend on the packet are not modelled", token=words.take("at"))
    word = words.take("u8, u16 or u32")
    size = _RAW.get(word)
    if size is None:
        words.fail("pedit needs a width here", token=word, expected=", ".join(_RAW))
    if at % size:
        words.fail(f"a {word} begins at a multiple of {size}", token=str(at))
    return _change(words, Place(Header.NETWORK, at, size), word)


def _munge(words: Words) -> tuple[Munge, ...]:
    header = words.take("a header")
    if header == "offset":
        return _raw(words)
    if header not in {name for name, _ in PLACES}:
        words.fail("pedit knows no such header here", token=header, expected="eth, ip, ip6, ...")
    name = words.take("a field")
    place = PLACES.get((header, name))
    if place is None:
        known = ", ".join(field for head, field in PLACES if head == header)
        words.fail(f"pedit knows no such field of {header} here", token=name, expected=known)
    return _change(words, place, name)


def _change(words: Words, place: Place, name: str) -> tuple[Munge, ...]:
    """What is done to a field: ``set``, ``add``, ``clear``, ``invert``, ``preserve``."""
    ones = (1 << 8 * place.size) - 1
    how = words.take("set, add, clear, invert or preserve")
    if how in ("clear", "invert", "preserve", "dec", "retain", "decrement"):
        if how in ("dec", "decrement") and name in ("ttl", "hoplimit"):
            return words_of(place, 0xFF, ones, add=True)
        if how == "clear":
            return words_of(place, 0, ones)
        if how == "invert":
            return _all_stays(words_of(place, ones, ones))
        if how == "preserve":
            return _all_stays(words_of(place, 0, ones))
        words.fail("pedit can only set, add, clear, invert or preserve here", token=how)
    if how not in ("set", "add"):
        words.fail("pedit can only set, add or clear", token=how)
    if how == "add" and place.form != "number":
        words.fail("add is for numbers", token=how)
    word = words.take("a value")
    value = _FORMS[place.form](words, word, 8 * place.size)
    mask = ones
    if words.skip("retain"):
        if place.size > 4:
            words.fail("retain is for fields of up to 4 bytes", token="retain")
        mask = words.number("a mask", 8 * place.size)
    return words_of(place, value, mask, add=how == "add")


def _all_stays(munges: tuple[Munge, ...]) -> tuple[Munge, ...]:
    """The same words with all bits kept: what is left of them is an exclusive or."""
    return tuple(replace(each, mask=0xFFFFFFFF) for each in munges)


_FORMS: Final[dict[str, Callable[[Words, str, int], int]]] = {
    "number": lambda words, word, bits: words.to_number(word, "a value", bits),
    "mac": lambda words, word, bits: ethernet(words, word),
    "ip4": lambda words, word, bits: address(words, word, 4),
    "ip6": lambda words, word, bits: address(words, word, 6),
}
