"""The match of a flower filter as words, in the order in which ``tc filter show`` prints them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from ovsct.errors import OvsctError
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_RARP,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    VLAN_TYPES,
)
from ovsct.tc.filters import Filter
from ovsct.tc.keys import ETH_P_ALL
from ovsct.tc.text.flower import CT_FLAGS, FRAG_FLAGS, LSE_PARTS, LSE_SLOTS
from ovsct.tc.text.names import IP_PROTOS, TYPE_NAMES

_PROTO_NAMES: Final = {number: name for name, number in IP_PROTOS.items()}


class Key(NamedTuple):
    """One key: `name` in a command (empty: it is implied there), `shown` in ``tc filter show``,
    and its text.
    """

    name: str
    shown: str
    text: str


def type_name(number: int, *, shown: bool = False) -> str:
    """An Ethernet type as tc writes it: a name, or a number."""
    name = TYPE_NAMES.get(number)
    if name is not None:
        return name
    return f"[{number}]" if shown else f"0x{number:04x}"


def keys_of(entry: Filter, *, shown: bool = False) -> list[Key]:
    """What the filter matches on, in the words of a command or (`shown`) of ``tc filter show``.

    Raises:
        OvsctError: it matches on something that flower has no word for.
    """
    reader = _Match(entry, shown)
    return list(reader.keys())


class _Match:
    """Takes a match apart; `left` are the bits of the mask that no key has accounted for."""

    def __init__(self, entry: Filter, shown: bool) -> None:
        self.entry = entry
        self.shown = shown
        self.left = entry.mask

    def take(self, slot: str, low: int = 0, width: int = 0) -> tuple[int, int]:
        """(value, mask) of `width` bits of a slot, both 0 if it is not matched on."""
        place = SLOTS[slot]
        ones = (1 << (width or place.width)) - 1
        shift = place.shift + low
        mask = self.entry.mask >> shift & ones
        self.left &= ~(ones << shift)
        return self.entry.value >> shift & ones, mask

    def keys(self) -> Iterator[Key]:
        yield from self._plain("indev", "in_port", lambda value, _: f"p{value}")
        inner = yield from self._tags()
        yield from self._plain("dst_mac", "dl_dst", _mac)
        yield from self._plain("src_mac", "dl_src", _mac)
        if inner:
            yield Key("", "eth_type", _SHOWN_TYPES.get(inner, f"{inner:04x}"))
        if inner in (ETH_IPV4, ETH_IPV6):
            yield from self._ip(inner)
        elif inner in (ETH_ARP, ETH_RARP):
            yield from self._arp()
        elif inner in MPLS_TYPES:
            yield from self._labels()
        yield from self._tunnel()
        yield from self._flags("ip_flags", "nw_frag")
        yield from self._flags("ct_state", "ct_state")
        yield from self._plain("ct_zone", "ct_zone", _number(16))
        yield from self._plain("ct_mark", "ct_mark", _number(32))
        yield from self._plain("ct_label", "ct_label", _label)
        if self.left:
            names = [slot.name for slot in SLOTS.values() if slot.mask & self.left]
            raise OvsctError(f"flower has no word for a match on {', '.join(names)} here")

    def _tags(self) -> Generator[Key, None, int]:
        """The tags; returns the innermost type."""
        protocol = self.entry.protocol
        inner, type_mask = self.take("dl_type")
        if protocol not in VLAN_TYPES:
            return inner if type_mask else 0
        self.take("vlan_tpid")
        yield from self._tag("vlan", "vlan_tci")
        second, second_mask = self.take("vlan_tpid1")
        if second_mask and second:
            yield Key("vlan_ethtype", "vlan_ethtype", type_name(second, shown=self.shown))
            yield from self._tag("cvlan", "vlan_tci1")
            if type_mask:
                yield Key("cvlan_ethtype", "cvlan_ethtype", type_name(inner, shown=self.shown))
        elif type_mask:
            if not second_mask:
                raise OvsctError("flower cannot match on a type behind any number of tags")
            yield Key("vlan_ethtype", "vlan_ethtype", type_name(inner, shown=self.shown))
        elif second_mask:
            raise OvsctError("flower has no word for a frame with exactly one tag of any type")
        return inner if type_mask else 0

    def _tag(self, name: str, slot: str) -> Iterator[Key]:
        vid, vid_mask = self.take(slot, 0, 12)
        prio, prio_mask = self.take(slot, 13, 3)
        # Bit 12 says that there is a tag, which the type does already.
        self.take(slot, 12, 1)
        if vid_mask not in (0, 0xFFF) or prio_mask not in (0, 7):
            raise OvsctError("flower matches on a whole VLAN id and priority or not at all")
        if vid_mask:
            yield Key(f"{name}_id", f"{name}_id", str(vid))
        if prio_mask:
            yield Key(f"{name}_prio", f"{name}_prio", str(prio))

    def _plain(self, name: str, slot: str, write: Callable[[int, int], str]) -> Iterator[Key]:
        value, mask = self.take(slot)
        if mask:
            yield Key(name, name, write(value, mask))

    def _flags(self, name: str, slot: str) -> Iterator[Key]:
        value, mask = self.take(slot)
        if not mask:
            return
        table = CT_FLAGS if name == "ct_state" else FRAG_FLAGS
        if mask & ~sum(table.values()):
            raise OvsctError(f"flower knows fewer flags of {name} than this match has")
        if name == "ct_state":
            text = "".join(
                ("+" if value & flag else "-") + word
                for word, flag in table.items() if mask & flag
            )  # fmt: skip
        else:
            text = "/".join(
                ("" if value & flag else "no") + word for word, flag in table.items() if mask & flag
            )
        yield Key(name, name, text)

    def _ip(self, inner: int) -> Iterator[Key]:
        proto, proto_mask = self.take("nw_proto")
        if proto_mask:
            if proto_mask != 0xFF:
                raise OvsctError("flower matches on a whole ip_proto or not at all")
            yield Key("ip_proto", "ip_proto", _PROTO_NAMES.get(proto, f"{proto:02x}"))
        yield from self._plain("ip_tos", "nw_tos", _number(8))
        yield from self._plain("ip_ttl", "nw_ttl", _number(8))
        v4 = inner == ETH_IPV4
        yield from self._plain("dst_ip", "nw_dst" if v4 else "ipv6_dst", _v4 if v4 else _v6)
        yield from self._plain("src_ip", "nw_src" if v4 else "ipv6_src", _v4 if v4 else _v6)
        if proto in (PROTO_ICMP, PROTO_ICMPV6):
            for name, slot in (("type", "tp_src"), ("code", "tp_dst")):
                value, mask = self.take(slot)
                if mask & 0xFF:
                    text = str(value) if mask & 0xFF == 0xFF else f"{value & 0xFF}/{mask & 0xFF}"
                    yield Key(name, f"icmp_{name}", text)
            return
        ranges = {slot: f"{first}-{last}" for slot, first, last in self.entry.ranges}
        for name, slot in (("dst_port", "tp_dst"), ("src_port", "tp_src")):
            value, mask = self.take(slot)
            if slot in ranges:
                yield Key(name, name, ranges[slot])
            elif mask:
                text = str(value) if mask == 0xFFFF else f"{value}/0x{mask:x}"
                yield Key(name, name, text)
        value, mask = self.take("tcp_flags")
        if mask:
            yield Key("tcp_flags", "tcp_flags", f"0x{value:x}/{mask & 0xFFF:x}")

    def _labels(self) -> Iterator[Key]:
        _, there = self.take("nw_ttl")
        if there:
            yield Key("mpls", "mpls", "\n".join(self._stack(there)))
            return
        for name, (low, width) in LSE_PARTS.items():
            value, mask = self.take("mpls_lse", low, width)
            if mask == (1 << width) - 1:
                yield Key(f"mpls_{name}", f"mpls_{name}", str(value))

    def _stack(self, there: int) -> Iterator[str]:
        """``lse depth N ...``, one for each entry that is asked for."""
        for number, slot in enumerate(LSE_SLOTS):
            if not there >> number & 1:
                continue
            words = f"lse depth {number + 1}"
            for name, (low, width) in LSE_PARTS.items():
                value, mask = self.take(slot, low, width)
                if mask:
                    words += f" {name} {value}"
            yield words

    def _tunnel(self) -> Iterator[Key]:
        yield from self._plain("enc_dst_ip", "tun_dst", _v4)
        yield from self._plain("enc_src_ip", "tun_src", _v4)
        yield from self._plain("enc_dst_ip", "tun_ipv6_dst", _v6)
        yield from self._plain("enc_src_ip", "tun_ipv6_src", _v6)
        yield from self._plain("enc_key_id", "tun_id", lambda value, _: str(value))
        yield from self._plain("enc_dst_port", "tun_tp_dst", lambda value, _: str(value))
        yield from self._plain("enc_tos", "tun_tos", _number(8))
        yield from self._plain("enc_ttl", "tun_ttl", _number(8))

    def _arp(self) -> Iterator[Key]:
        yield from self._plain("arp_sip", "nw_src", _v4)
        yield from self._plain("arp_tip", "nw_dst", _v4)
        value, mask = self.take("nw_proto")
        if mask:
            named = {1: "request", 2: "reply"}.get(value, str(value))
            yield Key("arp_op", "arp_op", named if mask == 0xFF else f"{value}/0x{mask:x}")
        yield from self._plain("arp_sha", "arp_sha", _mac)
        yield from self._plain("arp_tha", "arp_tha", _mac)


_SHOWN_TYPES: Final = {0x0800: "ipv4", 0x86DD: "ipv6", 0x0806: "arp", 0x8035: "rarp"}


def _number(width: int) -> Callable[[int, int], str]:
    def write(value: int, mask: int) -> str:
        return str(value) if mask == (1 << width) - 1 else f"{value}/0x{mask:x}"

    return write


def colons(value: int) -> str:
    """A MAC address."""
    return value.to_bytes(6, "big").hex(":")


def _mac(value: int, mask: int) -> str:
    return _prefixed(colons(value), mask, 48, colons(mask))


def _v4(value: int, mask: int) -> str:
    return _prefixed(str(IPv4Address(value)), mask, 32, str(IPv4Address(mask)))


def _v6(value: int, mask: int) -> str:
    return _prefixed(str(IPv6Address(value)), mask, 128, str(IPv6Address(mask)))


def _prefixed(text: str, mask: int, width: int, whole: str) -> str:
    bits = mask.bit_count()
    if bits == width:
        return text
    if mask == ((1 << bits) - 1) << (width - bits):
        return f"{text}/{bits}"
    return f"{text}/{whole}"


def label_text(value: int, mask: int) -> str:
    """A label as pairs of hex digits, its lowest byte first."""
    text = value.to_bytes(16, "little").hex()
    return text if mask == (1 << 128) - 1 else f"{text}/{mask.to_bytes(16, 'little').hex()}"


_label = label_text


def protocol_of(entry: Filter, *, shown: bool = False) -> str:
    """The ``protocol`` word of a filter."""
    return type_name(entry.protocol, shown=shown) if entry.protocol != ETH_P_ALL else "all"
