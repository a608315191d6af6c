"""Lines of ``ovs-appctl dpctl/dump-flows`` read back: key and mask in key layout, actions as text.

The way back of :mod:`ovsct.bridge.odp_text`, from the same table of attributes. An attribute that
is not printed is not matched, so two lines say the same exactly if they read alike, whatever value
they print for bits that their masks leave open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ovsct.bridge import odp_values
from ovsct.bridge.odp_text import KEY_ATTRIBUTES, Member
from ovsct.errors import InputError
from ovsct.packet.fields import CT_STATE_NAMES, SLOTS, TCP_FLAG_NAMES, VLAN_PRESENT, Slot

Reader = Callable[[str, int], tuple[int, int]]
"""From text and a slot's all-ones to value and mask."""


@dataclass(frozen=True, slots=True)
class DumpedFlow:
    """One dumped datapath flow: the match in key layout, its actions as printed, its counters.

    `key` has no bit outside of `mask`. `used` is in seconds, None if it never was.
    """

    key: int
    mask: int
    actions: str
    packets: int = 0
    bytes: int = 0
    used: float | None = None
    flags: str = ""


def _number(text: str) -> int:
    return int(text, 0)


def _masked(read: Callable[[str], int]) -> Reader:
    def reader(text: str, ones: int) -> tuple[int, int]:
        value, slash, mask = text.partition("/")
        bits = read(mask) if slash else ones
        return read(value) & bits, bits

    return reader


def _names(names: tuple[tuple[str, int], ...]) -> Reader:
    """Flags: ``+a-b`` under a mask, ``a|b`` or ``0`` exactly."""
    known = dict(names)
    pattern = re.compile(r"([+-])(" + "|".join(re.escape(name) for name in known) + ")")

    def reader(text: str, ones: int) -> tuple[int, int]:
        if text[:1] not in "+-":
            return sum(known[name] for name in text.split("|") if name != "0"), ones
        value = mask = at = 0
        while at < len(text):
            found = pattern.match(text, at)
            if found is None:
                raise ValueError(text)
            bit = known[found[2]]
            mask |= bit
            value |= bit if found[1] == "+" else 0
            at = found.end()
        return value, mask

    return reader


_FRAGMENTS: Final = {"no": 0, "first": 1, "later": 3}
_READERS: Final[dict[Callable[[int, int, int], str], Reader]] = {
    odp_values.decimal: _masked(_number),
    odp_values.number8: _masked(_number),
    odp_values.number32: _masked(_number),
    odp_values.nsh_path: _masked(_number),
    odp_values.octet: lambda text, _: _masked(_number)(text, 0xFF),
    odp_values.zero_or_hex: _masked(_number),
    odp_values.ethernet: _masked(lambda text: int(text.replace(":", ""), 16)),
    odp_values.ipv4: _masked(lambda text: int(IPv4Address(text))),
    odp_values.ipv6: _masked(lambda text: int(IPv6Address(text))),
    odp_values.frag: lambda text, ones: (_FRAGMENTS[text], ones),
    odp_values.ct_state: _names(CT_STATE_NAMES),
    odp_values.tcp_flags: _names(TCP_FLAG_NAMES),
}
_ATTRIBUTES: Final = {
    text.name: {member.name: member for member in text.members} for text in KEY_ATTRIBUTES
}
_FLAG_BITS: Final = 0xFFF
_DL_TYPE: Final = SLOTS["dl_type"]
_IN_PORT: Final = SLOTS["in_port"]
_TAGS: Final = (
    (SLOTS["vlan_tci"], SLOTS["vlan_tpid"]),
    (SLOTS["vlan_tci1"], SLOTS["vlan_tpid1"]),
)
_LSES: Final = tuple(SLOTS[name] for name in ("mpls_lse", "mpls_lse1", "mpls_lse2"))
_LSE_PARTS: Final = {"label": (12, 0xFFFFF), "tc": (9, 7), "bos": (8, 1), "ttl": (0, 255)}


class _Key:
    """A key and a mask that grow."""

    def __init__(self) -> None:
        self.key = 0
        self.mask = 0

    def put(self, slot: Slot, value: int, mask: int) -> None:
        self.key |= (value & mask) << slot.shift
        self.mask |= mask << slot.shift


def parts(text: str) -> Iterator[tuple[str, str | None]]:
    """The parts of ``a(b=1,c(d)),e`` at its top level: (name, what stands in brackets or None).

    Raises:
        InputError: brackets that do not match.
    """
    at = 0
    while at < len(text):
        found = _NAME.match(text, at)
        if found is None:
            raise InputError("cannot read a datapath flow", token=text[at:])
        name, at = found[0], found.end()
        inner = None
        if text[at : at + 1] == "(":
            end = _closing(text, at)
            inner, at = text[at + 1 : end], end + 1
        if at < len(text) and text[at] != ",":
            raise InputError("cannot read a datapath flow", token=text[at:], expected="a comma")
        at += 1
        yield name.strip(), inner


_NAME: Final = re.compile(r"[^(),]+")


def _closing(text: str, start: int) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at
    raise InputError("a bracket is not closed", token=text[start:])


def parse_key(text: str) -> tuple[int, int]:
    """Key and mask, in key layout, of a printed match.

    Raises:
        InputError: it names the part that cannot be read.
    """
    into = _Key()
    _read_parts(text, into, 0)
    return into.key, into.mask


_UNKNOWN: Final = re.compile(r"key\d+\([0-9a-f ]*/[0 ]*\)")
"""An attribute that a newer kernel has and vswitchd does not know, under a mask of nothing."""


def _read_parts(text: str, into: _Key, depth: int) -> None:
    tpid: tuple[int, int] | None = None
    tagged = False
    for name, inner in parts(text):
        if not inner and name not in ("encap", "vlan"):
            continue  # a header that a kernel's flow names without looking at it: eth()
        if _UNKNOWN.fullmatch(f"{name}({inner})"):
            continue
        inner = inner or ""
        try:
            if name == "eth_type":
                tpid = _READERS[odp_values.zero_or_hex](inner, _DL_TYPE.ones)
            elif name == "vlan":
                tagged = True
                _read_tag(inner, into, depth, tpid)
            elif name == "encap":
                tagged = True
                _read_parts(inner, into, depth + 1)
            else:
                _read_attribute(name, inner, into)
        except (ValueError, KeyError, IndexError):
            raise InputError("cannot read a datapath flow", token=f"{name}({inner})") from None
    if tpid is not None and not tagged:
        into.put(_DL_TYPE, *tpid)


def _read_attribute(name: str, inner: str, into: _Key) -> None:
    if name == "in_port":
        into.put(_IN_PORT, _number(inner), _IN_PORT.ones)
    elif name == "packet_type":
        _read_packet_type(inner, into)
    elif name == "nsh":
        _read_nsh(inner, into)
    elif name == "mpls":
        _read_labels(inner, into)
    else:
        members = _ATTRIBUTES[name]
        if "" in members:
            _read_member(members[""], inner, into)
            return
        for part in inner.split(","):
            member, _, value = part.partition("=")
            _read_member(members[member], value, into)


def _read_packet_type(inner: str, into: _Key) -> None:
    said = dict(part.split("=") for part in inner.split(","))
    slot = SLOTS["packet_type"]
    into.put(slot, _number(said["ns"]) << 16 | _number(said["id"]), slot.ones)


def _read_nsh(inner: str, into: _Key) -> None:
    for part in filter(None, inner.split(",")):
        name, _, text = part.partition("=")
        low, width = {"spi": (8, 24), "si": (0, 8)}.get(name, (0, 0))
        slot = SLOTS["nsh_path_hdr" if width else f"nsh_{name}"]
        value, mask = _masked(_number)(text, (1 << (width or slot.width)) - 1)
        into.put(slot, value << low, mask << low)


def _read_member(member: Member, text: str, into: _Key) -> None:
    slot = SLOTS[member.slot]
    ones = _FLAG_BITS if member.slot == "tcp_flags" else slot.ones
    into.put(slot, *_READERS[member.write](text, ones))


def _read_tag(inner: str, into: _Key, depth: int, tpid: tuple[int, int] | None) -> None:
    tci_slot, tpid_slot = _TAGS[depth]
    tci = 0 if "cfi=0" in inner else VLAN_PRESENT
    bits = VLAN_PRESENT
    for part in inner.split(",") if inner else ():
        name, _, text = part.partition("=")
        if name == "cfi":
            continue
        shift, ones = {"vid": (0, 0xFFF), "pcp": (13, 7)}[name]
        value, mask = _READERS[odp_values.decimal](text, ones)
        tci |= value << shift
        bits |= mask << shift
    into.put(tci_slot, tci, bits)
    if tpid is not None:
        into.put(tpid_slot, *tpid)


def _read_labels(inner: str, into: _Key) -> None:
    """``label=1,tc=0,ttl=64,bos=1,label=...``; masks of tc and bos are hex without 0x."""
    at = -1
    for part in inner.split(","):
        name, _, text = part.partition("=")
        value, slash, mask = text.partition("/")
        at += name == "label"
        shift, ones = _LSE_PARTS[name]
        bits = int(mask, 16) if slash else ones
        into.put(_LSES[at], _number(value) << shift, bits << shift)


_LINE: Final = re.compile(
    r"(?P<key>.*), packets:(?P<packets>\d+), bytes:(?P<bytes>\d+), used:(?P<used>never|[\d.]+s)"
    r"(?:, flags:(?P<flags>\S+))?, actions:(?P<actions>.*)"
)


def parse_flow(line: str) -> DumpedFlow:
    """One line of ``dpctl/dump-flows``.

    Raises:
        InputError: it names the part that cannot be read.
    """
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise InputError("this is no dumped datapath flow", token=line)
    key, mask = parse_key(found["key"])
    used = None if found["used"] == "never" else float(found["used"][:-1])
    return DumpedFlow(
        key, mask, found["actions"], int(found["packets"]), int(found["bytes"]), used,
        found["flags"] or "",
    )  # fmt: skip
