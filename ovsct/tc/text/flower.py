"""The matches of flower: words to (value, mask) in the layout of the flow key.

iproute2 reads them in order, and so does this: ``ip_proto`` must stand before ``dst_port``, and
``vlan_ethtype`` before an address behind a tag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ovsct.packet.fields import CT_EST, CT_INV, CT_NEW, CT_REL, CT_RPL, CT_TRK, SLOTS
from ovsct.packet.packet import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_RARP,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    VLAN_TYPES,
)
from ovsct.tc.keys import ETH_P_ALL, FIRST_FRAG, FRAG, ct_state_problem
from ovsct.tc.text.names import (
    IP_PROTOS,
    ether_type,
    masked_ethernet,
    masked_number,
    prefix,
)
from ovsct.tc.text.words import Words

CT_FLAGS: Final[dict[str, int]] = {
    "trk": CT_TRK, "new": CT_NEW, "est": CT_EST, "rel": CT_REL, "inv": CT_INV, "rpl": CT_RPL,
}  # fmt: skip
"""In the order in which ``tc filter show`` prints them."""

FRAG_FLAGS: Final[dict[str, int]] = {"frag": FRAG, "firstfrag": FIRST_FRAG}

NOT_MODELLED: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("geneve_opts", "vxlan_opts", "erspan_opts", "gtp_opts"),
        "options of tunnels are not modelled in TC",
    ),
    "num_of_vlans": "the number of tags is not a key of this model",
    "pppoe_sid": "PPPoE is not modelled in TC",
    "ppp_proto": "PPPoE is not modelled in TC",
    "l2tpv3_sid": "L2TPv3 is not modelled in TC",
    "cfm": "CFM is not modelled in TC",
    "l2_miss": "l2_miss needs a bridge, which is not modelled",
    "hash": "the packet's hash is not modelled",
    "classid": "classes are not modelled",
    "flowid": "classes are not modelled",
    "hw_tc": "hardware traffic classes are not modelled",
}  # fmt: skip
"""Keys of flower that this model has no place for: naming one is an error that says so."""

_ANY_VLAN: Final = "an outer type of 802.1Q or 802.1ad"


class FlowerReader:
    """What has been read so far: the match, the types known, the flags."""

    __slots__ = ("cvlan_type", "ip_proto", "mask", "protocol", "ranges", "skip_hw", "skip_sw",
                 "value", "vlan_type", "words")  # fmt: skip

    def __init__(self, words: Words, protocol: int) -> None:
        self.words = words
        self.protocol = protocol
        self.vlan_type: int | None = None
        self.cvlan_type: int | None = None
        self.ip_proto: int | None = None
        self.value = 0
        self.mask = 0
        self.ranges: dict[str, tuple[int, int]] = {}
        self.skip_hw = False
        self.skip_sw = False
        if protocol in VLAN_TYPES:
            self.put("vlan_tpid", protocol)
        elif protocol != ETH_P_ALL:
            self.put("dl_type", protocol)

    @property
    def inner(self) -> int:
        """The innermost Ethernet type that the match names."""
        for known in (self.cvlan_type, self.vlan_type):
            if known is not None:
                return known
        return self.protocol

    def put(
        self, slot: str, value: int, mask: int | None = None, *, low: int = 0, width: int = 0
    ) -> None:
        """Match `slot` (or `width` bits of it from bit `low`) on `value` under `mask`.

        As in the kernel, bits of the value outside of the mask are kept for show.
        """
        place = SLOTS[slot]
        ones = (1 << (width or place.width)) - 1
        bits = ones if mask is None else mask & ones
        shift = place.shift + low
        self.mask = self.mask & ~(ones << shift) | bits << shift
        self.value = self.value & ~(ones << shift) | (value & ones) << shift

    def need(self, what: str, ok: bool, needed: str) -> None:
        """Refuse `what` unless `ok`."""
        if not ok:
            self.words.fail(f"{what} cannot stand here", token=what, expected=f"{needed} before it")

    def read(self, word: str) -> bool:
        """Read the match that starts with `word`, just taken; False if it is none."""
        refused = NOT_MODELLED.get(word)
        if refused is not None:
            self.words.fail(refused, token=word)
        reader = _KEYS.get(word)
        if reader is None:
            return False
        reader(self, word)
        return True


def _skip_hw(r: FlowerReader, what: str) -> None:
    r.skip_hw = True


def _skip_sw(r: FlowerReader, what: str) -> None:
    r.skip_sw = True


def _verbose(r: FlowerReader, what: str) -> None:
    # It asks the driver to say why it refused; there is no driver here to ask.
    return


def _mac(slot: str) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        r.put(slot, *masked_ethernet(r.words, what))

    return read


def _vlan_id(r: FlowerReader, what: str) -> None:
    slot = _tag(r, what)
    r.put(slot, r.words.number(what, 12), low=0, width=12)


def _vlan_prio(r: FlowerReader, what: str) -> None:
    slot = _tag(r, what)
    r.put(slot, r.words.number(what, 3), low=13, width=3)


def _tag(r: FlowerReader, what: str) -> str:
    if what.startswith("c"):
        r.need(what, r.vlan_type in VLAN_TYPES, "vlan_ethtype 802.1Q or 802.1ad")
        return "vlan_tci1"
    r.need(what, r.protocol in VLAN_TYPES, _ANY_VLAN)
    return "vlan_tci"


def _vlan_ethtype(r: FlowerReader, what: str) -> None:
    r.need(what, r.protocol in VLAN_TYPES, _ANY_VLAN)
    r.vlan_type = ether_type(r.words, what)
    if r.vlan_type in VLAN_TYPES:
        r.put("vlan_tpid1", r.vlan_type)
    else:
        # The type right behind the first tag: so there is no second one.
        r.put("vlan_tpid1", 0)
        r.put("dl_type", r.vlan_type)


def _cvlan_ethtype(r: FlowerReader, what: str) -> None:
    r.need(what, r.vlan_type in VLAN_TYPES, "vlan_ethtype 802.1Q or 802.1ad")
    r.cvlan_type = ether_type(r.words, what)
    r.put("dl_type", r.cvlan_type)


def _ip_proto(r: FlowerReader, what: str) -> None:
    r.need(what, r.inner in (ETH_IPV4, ETH_IPV6), "protocol ip or ipv6")
    word = r.words.take(what)
    known = IP_PROTOS.get(word)
    r.ip_proto = known if known is not None else r.words.to_number(word, what, 8, 16)
    if word == "icmp":
        r.need("ip_proto icmp", r.inner == ETH_IPV4, "protocol ip")
    if word == "icmpv6":
        r.need("ip_proto icmpv6", r.inner == ETH_IPV6, "protocol ipv6")
    r.put("nw_proto", r.ip_proto)


def _ip_byte(slot: str) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        r.need(what, r.inner in (ETH_IPV4, ETH_IPV6), "protocol ip or ipv6")
        r.put(slot, *masked_number(r.words, what, 8, 0, 16))

    return read


def _ip_addr(v4: str, v6: str) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        r.need(what, r.inner in (ETH_IPV4, ETH_IPV6), "protocol ip or ipv6")
        family = 4 if r.inner == ETH_IPV4 else 6
        r.put(v4 if family == 4 else v6, *prefix(r.words, what, family))

    return read


def _port(slot: str) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        ok = r.ip_proto in (PROTO_TCP, PROTO_UDP, PROTO_SCTP)
        r.need(what, ok, "ip_proto tcp, udp or sctp")
        if "-" in r.words.peek():
            r.ranges[slot] = _port_range(r.words, what)
            return
        value, mask = masked_number(r.words, what, 16, 10, 0)
        if not value:
            r.words.fail("tc takes no port 0", token=what)
        r.put(slot, value, mask)

    return read


def _port_range(words: Words, what: str) -> tuple[int, int]:
    word = words.take(what)
    first, _, last = word.partition("-")
    low, high = words.to_number(first, what, 16, 10), words.to_number(last, what, 16, 10)
    if high <= low:
        words.fail("a range of ports must run upwards", token=word)
    return low, high


def _tcp_flags(r: FlowerReader, what: str) -> None:
    r.need(what, r.ip_proto == PROTO_TCP, "ip_proto tcp")
    r.put("tcp_flags", *masked_number(r.words, what, 12, 16, 16), low=0, width=12)


def _icmp(slot: str) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        r.need(what, r.ip_proto in (PROTO_ICMP, PROTO_ICMPV6), "ip_proto icmp or icmpv6")
        r.put(slot, *masked_number(r.words, what, 8, 10, 10), low=0, width=8)
        # Above the byte there is nothing: the slot has 16 bits for ports.

    return read


def _arp_addr(slot: str) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        _need_arp(r, what)
        r.put(slot, *prefix(r.words, what, 4))

    return read


def _arp_mac(slot: str) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        _need_arp(r, what)
        r.put(slot, *masked_ethernet(r.words, what))

    return read


def _arp_op(r: FlowerReader, what: str) -> None:
    _need_arp(r, what)
    named = {"request": 1, "reply": 2}.get(r.words.peek())
    if named is not None:
        r.words.take(what)
        r.put("nw_proto", named)
    else:
        value, mask = masked_number(r.words, what, 8, 10, 10)
        if value > 2:  # flower_arp_op_validate() knows these two, and none
            r.words.fail("tc takes no such arp_op", token=str(value), expected="request or reply")
        r.put("nw_proto", value, mask)


def _need_arp(r: FlowerReader, what: str) -> None:
    r.need(what, r.inner in (ETH_ARP, ETH_RARP), "protocol arp or rarp")


def _mpls(low: int, width: int) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        r.need(what, r.inner in MPLS_TYPES, "protocol mpls_uc or mpls_mc")
        r.put("mpls_lse", r.words.number(what, width, 10), low=low, width=width)

    return read


LSE_PARTS: Final[dict[str, tuple[int, int]]] = {
    "label": (12, 20), "tc": (9, 3), "bos": (8, 1), "ttl": (0, 8),
}  # fmt: skip
"""Lowest bit and width of the parts of a label stack entry, as ``mpls lse`` names them."""

LSE_SLOTS: Final = ("mpls_lse", "mpls_lse1", "mpls_lse2")


def _labels(r: FlowerReader, what: str) -> None:
    """``mpls lse depth N ...``: as in the kernel, the entry itself must be there, too."""
    r.need(what, r.inner in MPLS_TYPES, "protocol mpls_uc or mpls_mc")
    if r.words.peek() != "lse":
        r.words.take("lse")
        r.words.fail("mpls needs label stack entries", expected="lse depth N ...")
    while r.words.skip("lse"):
        if not r.words.skip("depth"):
            r.words.take("depth")
            r.words.fail("a label stack entry needs a depth", expected="depth N")
        depth = r.words.number("a depth", 8, 10)
        if not 1 <= depth <= len(LSE_SLOTS):
            r.words.fail("labels are modelled down to the third", token=str(depth))
        r.put("nw_ttl", 1, low=depth - 1, width=1)
        while r.words.peek() in LSE_PARTS:
            part = r.words.take("a part of a label")
            low, width = LSE_PARTS[part]
            value = r.words.number(part, width, 10)
            r.put(LSE_SLOTS[depth - 1], value, low=low, width=width)


def _indev(r: FlowerReader, what: str) -> None:
    word = r.words.take("a device")
    if word[:1] != "p" or not word[1:].isdigit():
        r.words.fail("no such device", token=word, expected="p<n> for port n")
    r.put("in_port", int(word[1:]))


def _enc_addr(v4: str, v6: str) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        family = 6 if ":" in r.words.peek() else 4
        r.put(v4 if family == 4 else v6, *prefix(r.words, what, family))

    return read


def _enc_number(slot: str, bits: int) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        r.put(slot, r.words.number(what, bits, 10))

    return read


def _enc_byte(slot: str) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        r.put(slot, *masked_number(r.words, what, 8, 0, 16))

    return read


def _ip_flags(r: FlowerReader, what: str) -> None:
    word = r.words.take(what)
    value = mask = 0
    for name in word.split("/"):
        flag = FRAG_FLAGS.get(name.removeprefix("no"))
        if flag is None:
            r.words.fail("no such ip_flags", token=word, expected="frag, nofrag, firstfrag, ...")
        mask |= flag
        value |= 0 if name.startswith("no") else flag
    r.put("nw_frag", value, mask)


def _ct_state(r: FlowerReader, what: str) -> None:
    word = r.words.take(what)
    value, mask = ct_state(r.words, word)
    problem = ct_state_problem(value)
    if problem is not None:
        r.words.fail(problem, token=word)
    r.put("ct_state", value, mask)


def ct_state(words: Words, word: str) -> tuple[int, int]:
    """``+trk-new...`` as (value, mask)."""
    value = mask = 0
    rest = word
    while rest:
        sign, flag = rest[0], CT_FLAGS.get(rest[1:4])
        if sign not in "+-" or flag is None:
            words.fail(
                "not a ct_state of flower", token=word,
                expected="+ or - and trk, new, est, rel, rpl, inv",
            )  # fmt: skip
        mask |= flag
        value |= flag if sign == "+" else 0
        rest = rest[4:]
    return value, mask


def _ct_number(slot: str, bits: int) -> Callable[[FlowerReader, str], None]:
    def read(r: FlowerReader, what: str) -> None:
        r.put(slot, *masked_number(r.words, what, bits))

    return read


def _ct_label(r: FlowerReader, what: str) -> None:
    r.put("ct_label", *label(r.words, what))


def label(words: Words, what: str) -> tuple[int, int]:
    """``HEX[/HEX]`` as (value, mask): up to 16 bytes, the first one the lowest of the label."""
    word = words.take(what)
    text, slash, mask = word.partition("/")
    value = _label_bytes(words, text, word)
    return value, _label_bytes(words, mask, word) if slash else (1 << 128) - 1


def _label_bytes(words: Words, text: str, word: str) -> int:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if not raw or len(raw) > 16 or len(text) != 2 * len(raw):
        words.fail("a label is written as pairs of hex digits without 0x, 32 at most", token=word)
    return int.from_bytes(raw.ljust(16, b"\0"), "little")


_KEYS: Final[dict[str, Callable[[FlowerReader, str], None]]] = {
    "skip_hw": _skip_hw,
    "skip_sw": _skip_sw,
    "verbose": _verbose,
    "dst_mac": _mac("dl_dst"),
    "src_mac": _mac("dl_src"),
    "vlan_id": _vlan_id,
    "vlan_prio": _vlan_prio,
    "vlan_ethtype": _vlan_ethtype,
    "cvlan_id": _vlan_id,
    "cvlan_prio": _vlan_prio,
    "cvlan_ethtype": _cvlan_ethtype,
    "ip_proto": _ip_proto,
    "ip_tos": _ip_byte("nw_tos"),
    "ip_ttl": _ip_byte("nw_ttl"),
    "ip_flags": _ip_flags,
    "src_ip": _ip_addr("nw_src", "ipv6_src"),
    "dst_ip": _ip_addr("nw_dst", "ipv6_dst"),
    "src_port": _port("tp_src"),
    "dst_port": _port("tp_dst"),
    "tcp_flags": _tcp_flags,
    "type": _icmp("tp_src"),
    "code": _icmp("tp_dst"),
    "arp_sip": _arp_addr("nw_src"),
    "arp_tip": _arp_addr("nw_dst"),
    "arp_sha": _arp_mac("arp_sha"),
    "arp_tha": _arp_mac("arp_tha"),
    "arp_op": _arp_op,
    "mpls_label": _mpls(12, 20),
    "mpls_tc": _mpls(9, 3),
    "mpls_bos": _mpls(8, 1),
    "mpls_ttl": _mpls(0, 8),
    "mpls": _labels,
    "indev": _indev,
    "enc_dst_ip": _enc_addr("tun_dst", "tun_ipv6_dst"),
    "enc_src_ip": _enc_addr("tun_src", "tun_ipv6_src"),
    "enc_key_id": _enc_number("tun_id", 32),
    "enc_dst_port": _enc_number("tun_tp_dst", 16),
    "enc_tos": _enc_byte("tun_tos"),
    "enc_ttl": _enc_byte("tun_ttl"),
    "ct_state": _ct_state,
    "ct_zone": _ct_number("ct_zone", 16),
    "ct_mark": _ct_number("ct_mark", 32),
    "ct_label": _ct_label,
}
