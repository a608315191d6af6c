"""The match of a flow, text to :class:`Match` and back.

Reading follows OVS lib/ofp-flow.c parse_ofp_str__ and lib/meta-flow.c mf_set; writing follows
lib/match.c match_format, whose order of fields is the order of the functions below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow.actions import Span
from ovsct.openflow.match import Match, without_ethernet
from ovsct.openflow.text.lexer import Item, nearest
from ovsct.openflow.text.names import BY_NAME, BY_WIRE_NAME, bits_of
from ovsct.openflow.text.values import (
    NO_PORTS,
    TUN_FLAG_NAMES,
    Ports,
    format_flags,
    format_frag,
    format_port,
    format_value,
    hexadecimal,
    integer,
    read_value,
)
from ovsct.packet.fields import (
    CT_STATE_NAMES,
    FIELDS,
    PRESENT_BIT,
    SLOTS,
    TCP_FLAG_NAMES,
    VALUE_IS_MASK,
    VLAN_PRESENT,
    Field,
    Format,
)
from ovsct.packet.packet import PT_ETHERTYPE

ETH_NSH: Final = 0x894F
ETH_IPV4: Final = 0x0800
ETH_ARP: Final = 0x0806
ETH_RARP: Final = 0x8035
ETH_IPV6: Final = 0x86DD
ETH_MPLS: Final = 0x8847
ETH_MPLS_MCAST: Final = 0x8848

PROTOCOLS: Final[dict[str, tuple[int, int]]] = {
    "ip": (ETH_IPV4, 0),
    "ipv4": (ETH_IPV4, 0),
    "ip4": (ETH_IPV4, 0),
    "arp": (ETH_ARP, 0),
    "icmp": (ETH_IPV4, 1),
    "tcp": (ETH_IPV4, 6),
    "udp": (ETH_IPV4, 17),
    "sctp": (ETH_IPV4, 132),
    "ipv6": (ETH_IPV6, 0),
    "ip6": (ETH_IPV6, 0),
    "icmp6": (ETH_IPV6, 58),
    "tcp6": (ETH_IPV6, 6),
    "udp6": (ETH_IPV6, 17),
    "sctp6": (ETH_IPV6, 132),
    "rarp": (ETH_RARP, 0),
    "mpls": (ETH_MPLS, 0),
    "mplsm": (ETH_MPLS_MCAST, 0),
}
"""Words that stand for an Ethernet type and perhaps an IP protocol (OVS ofp_parse_protocol)."""

_TCI = SLOTS["vlan_tci"]
_DL_TYPE = SLOTS["dl_type"]
_NW_PROTO = SLOTS["nw_proto"]
_PACKET_TYPE = FIELDS["packet_type"]
_VID: Final = 0x0FFF
_PCP: Final = 0xE000

NOT_IN_A_MATCH: Final = frozenset({"skb_priority", "tun_ttl", "tun_tos"})
"""Fields that no OpenFlow message can match on (OVS: no NXM or OXM)."""

_TAKES_ZERO: Final = frozenset(
    {Format.DECIMAL, Format.HEX, Format.CT_STATE, Format.TCP_FLAGS, Format.TUN_FLAGS}
)

_SUBFIELD = re.compile(r"([^\[]+)\[(?:(\d+)(?:\.\.(\d+))?)?\]\Z")


class MatchBuilder:
    """A match in the making: one item of text after the other."""

    __slots__ = ("late", "mask", "spans", "unsayable", "value", "warnings")

    def __init__(self) -> None:
        self.value = 0
        self.mask = 0
        self.spans: list[tuple[int, Span]] = []
        self.warnings: list[str] = []
        self.unsayable: list[InputError] = []
        """What no message can match on, which ovs-ofctl sees when it has checked the actions."""
        self.late: list[InputError] = []
        """What ovs-ofctl passes over without a word: all else that is wrong is told before it."""

    def take(self, item: Item, ports: Ports = NO_PORTS) -> bool:
        """Add `item` if it is part of a match; False if it is something else.

        Raises InputError, with its column, for a bad value.
        """
        key = item.key
        protocol = PROTOCOLS.get(key)
        if protocol is not None:
            self._protocol(protocol, item)
            return True
        field = BY_NAME.get(key)
        if field is not None:
            self._field(field, item, ports)
            return True
        if "[" in key:
            self._subfield(item)
            return True
        if key == "eth":
            self._put(_PACKET_TYPE.mask, 0, _PACKET_TYPE.mask, item)
            return True
        return False

    def _protocol(self, protocol: tuple[int, int], item: Item) -> None:
        dl_type, nw_proto = protocol
        if item.value:
            problem = f"{item.key} takes no value"
            self.late.append(InputError(problem, column=item.value_start + 1, token=item.value))
        bits, value = _DL_TYPE.mask, dl_type << _DL_TYPE.shift
        if nw_proto:
            bits |= _NW_PROTO.mask
            value |= nw_proto << _NW_PROTO.shift
        self._put(bits, value, bits, item)

    def _field(self, field: Field, item: Item, ports: Ports) -> None:
        if field.name in NOT_IN_A_MATCH:
            problem = f"OpenFlow cannot match on {field.name} (OFPBAC_MATCH_INCONSISTENT)"
            self.unsayable.append(InputError(problem, column=item.start + 1, token=item.key))
        if not item.value:  # "reg0" or "reg0=" is 0/0 to OVS: anything, where that can be read
            if field.format not in _TAKES_ZERO:
                raise InputError(
                    "this needs a value", column=item.start + 1, token=item.key,
                    expected=f"{item.key}=...",
                )  # fmt: skip
            value = mask = 0
        else:
            try:
                value, mask = read_value(field, item.value, ports)
            except InputError as error:
                raise error.at(column=item.value_start + 1) from None
        special = _SPECIAL.get(field.name)
        if special is not None:
            special(self, field, value, mask, item)
        else:
            self._put(
                field.mask, (value & mask) << field.shift, mask << field.shift, item
            )

    def _put(self, bits: int, value: int, mask: int, item: Item) -> None:
        """Replace what was said of `bits` by `value` under `mask`, all in place."""
        before = self.mask & bits
        if before and (before != mask or self.value & bits != value):
            self.warnings.append(
                f"column {item.start + 1}: {item.key!r} replaces what stands before it"
            )
        self.value = self.value & ~bits | value
        self.mask = self.mask & ~bits | mask
        self.spans.append((mask, item.span))

    def _subfield(self, item: Item) -> None:
        """``reg0[0..3]=5`` or ``NXM_NX_REG0[]=5``: the other bits stay as they are."""
        found = _SUBFIELD.match(item.key)
        name = found[1] if found else item.key
        field = BY_WIRE_NAME.get(name) or BY_NAME.get(name)
        if found is None or field is None:
            raise unknown_field(name, item.start)
        width = bits_of(field)
        low = int(found[2] or 0)
        high = int(found[3]) if found[3] else low if found[2] else width - 1
        if not low <= high < width:
            raise InputError(
                f"{field.name} has only bits 0 to {width - 1}",
                column=item.start + 1,
                token=item.key,
            )
        if not field.maskable and high - low + 1 != field.width:
            raise InputError(
                f"{field.name} can only be matched whole", column=item.start + 1,
                token=item.key,
            )
        ones = (1 << (high - low + 1)) - 1
        try:
            value = integer(item.value, ones, f"value of {high - low + 1} bits")
        except InputError as error:
            raise error.at(column=item.value_start + 1) from None
        shift = field.shift + low
        present = PRESENT_BIT.get(field.name, 0)
        self._put(ones << shift | present, value << shift | present, ones << shift | present, item)

    def _dl_vlan(self, _: Field, value: int, mask: int, item: Item) -> None:
        if not mask:
            self._forget_vlan(_VID, _PCP, item)
        elif value == 0xFFFF:
            self._put(_TCI.mask, 0, _TCI.mask, item)
        elif value > _VID:
            raise InputError(
                "there is no such VLAN",
                column=item.value_start + 1,
                token=item.value,
                expected="0 to 4095, or 0xffff for no tag",
            )
        else:
            self._tci(value | VLAN_PRESENT, _VID | VLAN_PRESENT, item)

    def _vlan_vid(self, _: Field, value: int, mask: int, item: Item) -> None:
        if mask and mask & VLAN_PRESENT and not value & VLAN_PRESENT and value & mask:
            self.warnings.append(
                f"column {item.value_start + 1}: no packet has a VLAN id without the bit that says"
                f" there is a tag: write {value | VLAN_PRESENT:#x}, or dl_vlan={value}"
            )
        self._tci(value & mask, mask, item, replace=_VID | VLAN_PRESENT)

    def _vlan_pcp(self, _: Field, value: int, mask: int, item: Item) -> None:
        if mask:
            self._tci(value << 13 | VLAN_PRESENT, _PCP | VLAN_PRESENT, item)
        else:
            self._forget_vlan(_PCP, _VID, item)

    def _tci(self, value: int, mask: int, item: Item, replace: int = 0) -> None:
        bits = (replace or mask) << _TCI.shift
        before = self.mask & bits & ~(VLAN_PRESENT << _TCI.shift)
        if before and (self.value & before) != (value << _TCI.shift & before):
            self.warnings.append(
                f"column {item.start + 1}: {item.key!r} replaces what stands before it"
            )
        self.value = self.value & ~bits | value << _TCI.shift
        self.mask = self.mask & ~bits | mask << _TCI.shift
        self.spans.append((mask << _TCI.shift, item.span))

    def _forget_vlan(self, part: int, other: int, item: Item) -> None:
        """``dl_vlan=*``: the tag stays matched on only if its other part is."""
        keep = other if _TCI.get(self.mask) & other else 0
        bits = (part if keep else 0xFFFF) << _TCI.shift
        self._put(bits, 0, 0, item)

    def _own_mask(self, field: Field, value: int, mask: int, item: Item) -> None:
        value &= mask
        self._put(field.mask, value << field.shift, value << field.shift, item)

    def _option(self, field: Field, value: int, mask: int, item: Item) -> None:
        """A Geneve option, which is there then; without a value, whatever it says."""
        present = PRESENT_BIT[field.name]
        if self.mask & present:
            raise InputError(f"{field.name} stands here twice", column=item.start + 1,
                             token=item.key)  # fmt: skip
        self._put(
            field.mask | present,
            (value & mask) << field.shift | present,
            mask << field.shift | present,
            item,
        )

    def _nw_tos(self, field: Field, value: int, mask: int, item: Item) -> None:
        if value & 3:
            raise InputError(
                "the two low bits of nw_tos are not DSCP",
                column=item.value_start + 1,
                token=item.value,
                expected="a multiple of 4",
                hint="match on them with nw_ecn",
            )
        self._put(
            0xFC << field.shift, value << field.shift, (mask & 0xFC) << field.shift, item
        )

    def done(self) -> Match:
        """The match."""
        return without_ethernet(Match(self.value, self.mask, tuple(self.spans)))


_SPECIAL: Final[dict[str, Callable[[MatchBuilder, Field, int, int, Item], None]]] = {
    "dl_vlan": MatchBuilder._dl_vlan,
    "vlan_vid": MatchBuilder._vlan_vid,
    "dl_vlan_pcp": MatchBuilder._vlan_pcp,
    "vlan_pcp": MatchBuilder._vlan_pcp,
    "nw_tos": MatchBuilder._nw_tos,
    **dict.fromkeys(VALUE_IS_MASK, MatchBuilder._own_mask),
    **dict.fromkeys(PRESENT_BIT, MatchBuilder._option),
}


def unknown_field(name: str, start: int) -> InputError:
    """The error for a word that names no field, at column `start` (from 0)."""
    if name in BY_WIRE_NAME:
        return InputError(
            "a name like this needs brackets in a match",
            column=start + 1,
            token=name,
            expected=f"{name}[]=...",
        )
    return InputError(
        "there is no such field",
        column=start + 1,
        token=name,
        hint=nearest(name, [*BY_NAME, *BY_WIRE_NAME]),
    )


# Writing --------------------------------------------------------------------------------------


def _nsh(view: _View) -> Iterator[str]:
    """An NSH header; contexts are printed beside a match on metadata of type 1 only."""
    for name in ("flags", "ttl", "mdtype", "np"):
        value, mask = view.slot(f"nsh_{name}")
        if mask:
            yield _octet(f"nsh_{name}", value, mask)
    for name in ("nsh_spi", "nsh_si"):
        field = FIELDS[name]
        value, mask = field.get(view.value), field.get(view.mask)
        if mask:
            yield f"{name}={value:#x}" if name == "nsh_spi" else _octet(name, value, mask)
    if view.slot("nsh_mdtype") == (1, 0xFF):
        yield from view.plain(_context, *(f"nsh_c{n}" for n in (1, 2, 3, 4)))


def _context(name: str, value: int, mask: int, width: int) -> str:
    return f"{name}={value:#x}" + ("" if mask == (1 << width) - 1 else f"/{mask:#x}")


def _octet(name: str, value: int, mask: int) -> str:
    return f"{name}={value}" if mask == 0xFF else f"{name}=0x{value:02x}/0x{mask:02x}"


def _decimal(name: str, value: int, mask: int, width: int) -> str:
    if mask == (1 << width) - 1:
        return f"{name}={value}"
    if width == 32:
        return f"{name}=0x{value:08x}/0x{mask:08x}"
    return f"{name}=0x{value:x}/0x{mask:x}"


def _hex(name: str, value: int, mask: int, width: int) -> str:
    whole = mask == (1 << width) - 1
    return f"{name}={hexadecimal(value)}" + ("" if whole else f"/{hexadecimal(mask)}")


def _typed(name: str, field: Field, value: int, mask: int) -> str:
    return f"{name}={format_value(field, value, mask)}"


def _flag_set(
    name: str, value: int, mask: int, names: tuple[tuple[str, int], ...], exact: int
) -> str:
    return f"{name}={format_flags(value, mask, names, exact)}"


class _View:
    """The two ints of a match, by slot."""

    __slots__ = ("mask", "value")

    def __init__(self, match: Match) -> None:
        self.value = match.value
        self.mask = match.mask

    def slot(self, name: str) -> tuple[int, int]:
        slot = SLOTS[name]
        return slot.get(self.value), slot.get(self.mask)

    def plain(self, write: Callable[[str, int, int, int], str], *names: str) -> Iterator[str]:
        for name in names:
            value, mask = self.slot(name)
            if mask:
                yield write(name, value, mask, SLOTS[name].width)

    def typed(self, *names: str) -> Iterator[str]:
        """Fields that fill their slots, written as their format says, under these names."""
        for name in names:
            field = BY_NAME[name]
            mask = field.get(self.mask)
            if mask:
                yield _typed(name, field, field.get(self.value), mask)


def _metadata(view: _View) -> Iterator[str]:
    yield from view.plain(_hex, "pkt_mark", "recirc_id", "dp_hash")
    yield from view.plain(_decimal, "conj_id")
    yield from view.plain(_hex, "skb_priority")
    port, mask = view.slot("actset_output")
    if mask:
        yield f"actset_output={format_port(port)}"
    state, mask = view.slot("ct_state")
    if mask:
        yield _flag_set("ct_state", state, mask, CT_STATE_NAMES, 0xFF)
    yield from view.plain(_decimal, "ct_zone")
    yield from view.plain(_hex, "ct_mark", "ct_label")
    yield from view.typed("ct_nw_src", "ct_ipv6_src", "ct_nw_dst", "ct_ipv6_dst")
    if view.slot("ct_nw_proto")[1]:
        yield from view.plain(_decimal, "ct_nw_proto", "ct_tp_src", "ct_tp_dst")


_SHORTHANDS: Final[dict[tuple[int, int | None], str]] = {
    **{(dl_type, proto or None): word for word, (dl_type, proto) in reversed(PROTOCOLS.items())},
    (ETH_IPV6, None): "ipv6",
}


def _protocol_word(dl_type: int | None, nw_proto: int | None) -> tuple[str | None, bool]:
    """(the word for them, whether it also says the protocol)."""
    if dl_type is None:
        return None, False
    if nw_proto is not None:
        word = _SHORTHANDS.get((dl_type, nw_proto))
        if word is not None:
            return word, True
    return _SHORTHANDS.get((dl_type, None)), False


def _options(view: _View) -> Iterator[str]:
    """Geneve options: a mask that fills its bytes is not told from none (lib/tun-metadata.c)."""
    for name, present in PRESENT_BIT.items():
        if view.mask & present:
            value, mask = view.slot(name)
            text = f"{name}={hexadecimal(value)}" if mask else name
            size = 8 * ((max(mask, value).bit_length() + 7) // 8)
            whole = mask in (SLOTS[name].ones, (1 << size) - 1)
            yield text if whole or not mask else f"{text}/{hexadecimal(mask)}"


def _inner_headers(view: _View) -> Iterator[str]:
    """ERSPAN and GTP-U, of which OVS prints values without masks, some only for one version."""
    version = view.slot("tun_erspan_ver")[0]
    for name, only, text in (
        ("tun_erspan_ver", None, str), ("tun_erspan_idx", 1, hexadecimal),
        ("tun_erspan_dir", 2, str), ("tun_erspan_hwid", 2, hexadecimal),
        ("tun_gtpu_flags", None, hexadecimal), ("tun_gtpu_msgtype", None, str),
    ):  # fmt: skip
        value, mask = view.slot(name)
        if mask and only in (None, version):
            yield f"{name.replace('tun_gtpu', 'gtpu')}={text(value)}"


def _registers(view: _View) -> Iterator[str]:
    yield from view.plain(_hex, *(f"reg{n}" for n in range(16)))
    yield from view.plain(_hex, "tun_id")
    yield from view.typed("tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst")
    yield from view.plain(_decimal, "tun_gbp_id")
    value, mask = view.slot("tun_gbp_flags")
    if mask:
        yield f"tun_gbp_flags={hexadecimal(value)}"
    value, mask = view.slot("tun_tos")
    if mask:
        yield f"tun_tos={value:x}"
    value, mask = view.slot("tun_ttl")
    if mask:
        yield f"tun_ttl={value}"
    yield from _inner_headers(view)
    value, mask = view.slot("tun_flags")
    if mask:
        yield _flag_set("tun_flags", value, mask, TUN_FLAG_NAMES, 0)
    if view.slot("tun_present")[1]:
        yield from _options(view)
    yield from view.plain(_hex, "metadata")
    port, mask = view.slot("in_port")
    if mask:
        yield f"in_port={format_port(port)}"


def _vlans(view: _View) -> Iterator[str]:
    for suffix in ("", "1"):
        tci, mask = view.slot(f"vlan_tci{suffix}")
        if not mask:
            return
        vid, pcp = mask & _VID, mask & _PCP
        tagged = mask & tci & VLAN_PRESENT
        if tagged and vid in (0, _VID) and pcp in (0, _PCP) and (vid or pcp):
            if vid:
                yield f"dl_vlan{suffix}={tci & _VID}"
            if pcp:
                yield f"dl_vlan_pcp{suffix}={tci >> 13}"
        elif mask == 0xFFFF:
            yield f"vlan_tci{suffix}=0x{tci:04x}"
        else:
            yield f"vlan_tci{suffix}=0x{tci:04x}/0x{mask:04x}"


def _layer3(view: _View, dl_type: int | None, says_proto: bool) -> Iterator[str]:
    arp = dl_type in (ETH_ARP, ETH_RARP)
    if dl_type == ETH_IPV6:
        yield from view.typed("ipv6_src", "ipv6_dst")
        label = FIELDS["ipv6_label"]
        value, mask = label.get(view.value), label.get(view.mask)
        if mask:
            yield f"ipv6_label=0x{value:05x}" + ("" if mask == label.ones else f"/0x{mask:05x}")
    elif arp:
        yield from view.typed("arp_spa", "arp_tpa")
    elif dl_type == ETH_NSH:
        yield from _nsh(view)
    else:
        yield from view.typed("nw_src", "nw_dst")
    proto, mask = view.slot("nw_proto")
    if mask and not says_proto:
        yield f"{'arp_op' if arp else 'nw_proto'}={proto}"
    if arp:
        yield from view.typed("arp_sha", "arp_tha")
    tos, mask = view.slot("nw_tos")
    if mask & 0xFC:
        yield f"nw_tos={tos & 0xFC}"
    if mask & 3:
        yield f"nw_ecn={tos & 3}"
    yield from view.plain(_decimal, "nw_ttl")
    yield from view.typed("mpls_label", "mpls_tc", "mpls_ttl", "mpls_bos")
    yield from view.plain(_decimal, "mpls_lse1", "mpls_lse2")
    frag = FIELDS["ip_frag"]
    if frag.get(view.mask):
        yield f"nw_frag={format_frag(frag.get(view.value), frag.get(view.mask))}"


def _layer4(view: _View, dl_type: int | None, nw_proto: int) -> Iterator[str]:
    icmp6 = dl_type == ETH_IPV6 and nw_proto == 58
    icmp = icmp6 or (dl_type == ETH_IPV4 and nw_proto == 1)
    for slot, name in (("tp_src", "icmp_type"), ("tp_dst", "icmp_code")):
        value, mask = view.slot(slot)
        if mask and icmp:
            yield f"{name}={value}"
        elif mask:
            yield _decimal(slot, value, mask, 16)
    if icmp6:
        yield from view.typed("nd_target", "nd_sll", "nd_tll")
        yield from view.plain(_decimal, "nd_reserved", "nd_options_type")
    flags, mask = view.slot("tcp_flags")
    if mask and nw_proto == 6 and dl_type in (ETH_IPV4, ETH_IPV6):
        yield _flag_set("tcp_flags", flags, mask & 0xFFF, TCP_FLAG_NAMES, 0xFFF)


def _parts(match: Match) -> Iterator[str]:
    view = _View(match)
    dl_type = view.slot("dl_type")[0] if view.slot("dl_type")[1] else None
    nw_proto = view.slot("nw_proto")[0] if view.slot("nw_proto")[1] else None
    yield from _metadata(view)
    packet_type = view.slot("packet_type")[0]
    if packet_type:  # Ethernet is the default
        yield f"packet_type=({packet_type >> 16},{packet_type & 0xFFFF:#x})"
    typed = dl_type is not None
    if packet_type & PT_ETHERTYPE:
        dl_type = packet_type & 0xFFFF
    word, says_proto = _protocol_word(dl_type if typed else None, nw_proto)
    if word:
        yield word
    yield from _registers(view)
    yield from _vlans(view)
    yield from view.typed("dl_src", "dl_dst")
    if typed and not word:
        yield f"dl_type=0x{dl_type:04x}"
    yield from _layer3(view, dl_type, says_proto)
    yield from _layer4(view, dl_type, view.slot("nw_proto")[0])


def format_match(match: Match) -> str:
    """The match as OVS prints it, without the priority; empty for one that matches all."""
    return ",".join(_parts(match))
