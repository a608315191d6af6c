"""Matches on the wire: Nicira's, OpenFlow 1.3's, and the fixed one of OpenFlow 1.0.

Follows OVS lib/nx-match.c (nx_pull_raw, nx_put_raw) and lib/ofp-match.c (ofputil_match_from_ofp10_
match, ofputil_match_to_ofp10_match).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from ovsct.openflow.match import Match, without_ethernet
from ovsct.openflow.prereq import ETH_IPV4, ETH_IPV6, MET, Packet
from ovsct.openflow.wire.buffer import Reader, pad8, padded
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.oxm import (
    BY_HEAD,
    COOKIE,
    EXPERIMENTER_CLASS,
    limit_of,
    pull_header,
    pull_value,
    put_entry,
)
from ovsct.packet.fields import (
    FIELDS,
    KEY_BITS,
    PRESENT_BIT,
    SLOTS,
    VALUE_IS_MASK,
    VLAN_PRESENT,
    Field,
    Format,
    Prereq,
)

_FREE: Final = (Prereq.NONE, Prereq.ETHERNET)
_TCI: Final = SLOTS["vlan_tci"]
_DSCP: Final = 0xFC
_DSCP_MASK: Final = _DSCP << FIELDS["nw_tos"].shift
_PIPELINE: Final = (
    "in_port", "metadata", "packet_type", *(f"reg{number}" for number in range(16)),
    *(name for name in SLOTS if name.startswith("tun_") and name not in ("tun_tos", "tun_ttl")),
)  # fmt: skip
PACKET_MASK: Final = ((1 << KEY_BITS) - 1) & ~sum(SLOTS[name].mask for name in _PIPELINE)
"""What a packet-out cannot say beside its frame (OVS mf_is_pipeline_field())."""

Cookie = tuple[int, int]
"""Value and mask of the cookie that a match asks for."""


class _Plain(NamedTuple):
    """A header whose field has nothing special about it, and all that is to be known of it."""

    field: Field
    size: int
    masked: bool
    length: int
    limit: int


_SPECIAL: Final = ("nw_tos", "vlan_pcp", *VALUE_IS_MASK, *PRESENT_BIT)


def _plain() -> Iterator[tuple[bytes, _Plain]]:
    for (kind, _number, vendor), (field, head) in BY_HEAD.items():
        port = field.format is Format.PORT and field.name != "in_port"
        if vendor or kind == EXPERIMENTER_CLASS or port or field.name in _SPECIAL:
            continue
        for masked in (False, True) if field.maskable else (False,):
            length = 4 + (head.size << masked)
            yield head.pack(masked), _Plain(field, head.size, masked, length, limit_of(field))


_PLAIN: Final = dict(_plain())
"""Most headers by their bytes: matches are what a switch reads most."""

_ASKED: Final = sum(
    SLOTS[name].mask
    for name in ("dl_type", "nw_proto", "vlan_tci", "vlan_tci1", "packet_type", "nw_frag",
                 "ct_state")
)  # fmt: skip
"""What a prerequisite asks for, but those of neighbour discovery, which want the ICMP type too."""

_ND: Final = (Prereq.ND, Prereq.ND_SOLICIT, Prereq.ND_ADVERT)


@lru_cache(maxsize=1024)
def _meets(prereq: Prereq, value: int, mask: int) -> bool:
    return MET[prereq](Packet.of(Match(value, mask), 0))


def _need(field: Field, value: int, mask: int) -> None:
    """Raises WireError: what stands before a field does not say that packets have it."""
    prereq = field.prereq
    bits = -1 if prereq in _ND else _ASKED
    if prereq not in _FREE and not _meets(prereq, value & bits, mask & bits):
        raise WireError("OFPBMC_BAD_PREREQ", f"{field.name} needs a match on {prereq}")


def pull_entries(reader: Reader, *, cookie: bool = False) -> tuple[Match, Cookie]:
    """All of `reader` as entries of a match, and the cookie and its mask if `cookie` lets it.

    Raises WireError: an entry is unknown, malformed, there twice, or lacks what it needs before it.
    """
    value = mask = 0
    wanted: Cookie = (0, 0)
    data, end = reader.data, reader.end
    while reader.pos < end:
        at = reader.pos
        plain = _PLAIN.get(data[at : at + 4])
        if plain is None or at + plain.length > end:
            value, mask, wanted = _pull_special(reader, value, mask, wanted, cookie)
            continue
        field, size, masked, length, limit = plain
        reader.pos = at + length
        bits = int.from_bytes(data[at + 4 : at + 4 + size], "big")
        within = field.ones
        if masked:
            given = int.from_bytes(data[at + 4 + size : at + length], "big")
            if bits & ~given:
                raise WireError("OFPBMC_BAD_WILDCARDS", f"{field.name}: {bits:#x}/{given:#x}")
            within &= given
        if bits > limit:
            raise WireError("OFPBMC_BAD_VALUE", f"{bits:#x} is no value of {field.name}")
        _need(field, value, mask)
        if mask & field.mask:
            raise WireError("OFPBMC_DUP_FIELD", f"{field.name} stands here twice")
        value |= bits << field.shift
        mask |= within << field.shift
    return without_ethernet(Match(value & mask, mask)), wanted


def _pull_special(
    reader: Reader, value: int, mask: int, wanted: Cookie, cookie: bool
) -> tuple[int, int, Cookie]:
    """One entry of any kind, added to what there is."""
    field, size, masked, _ = pull_header(reader, False)
    if field is None:
        if not cookie:
            raise WireError("OFPBMC_BAD_FIELD", "a cookie among the matches")
        if wanted[1]:
            raise WireError("OFPBMC_DUP_FIELD", "two cookies")
        return value, mask, _cookie(reader, masked)
    bits, within = pull_value(reader, field, size, masked, maskable=True)
    _need(field, value, mask)
    name = field.name
    if name == "nw_tos":
        if bits & ~_DSCP:
            raise WireError("OFPBMC_BAD_VALUE", "the two low bits of nw_tos are not DSCP")
        within &= _DSCP
        taken = _DSCP << field.shift
    else:
        taken = field.mask
    if name in VALUE_IS_MASK:
        within = bits
    present = PRESENT_BIT.get(name, 0)
    if mask & (taken | present):
        raise WireError("OFPBMC_DUP_FIELD", f"{name} stands here twice")
    value |= bits << field.shift | present
    mask |= within << field.shift | present
    if name == "vlan_pcp":
        value |= VLAN_PRESENT << _TCI.shift
        mask |= VLAN_PRESENT << _TCI.shift
    return value, mask, wanted


def _cookie(reader: Reader, masked: bool) -> Cookie:
    cookie = reader.number(8, "OFPBMC_BAD_LEN")
    return cookie, reader.number(8, "OFPBMC_BAD_LEN") if masked else (1 << 64) - 1


_LOOKED_AT: Final = {"nw_tos": _DSCP_MASK, **PRESENT_BIT}
"""What of a match says that it is on a field, where that is not all bits of the field."""

_ROWS: Final = tuple(
    (FIELDS[nxm or oxm], FIELDS[oxm or nxm])
    for nxm, oxm in (
        *((name, name) for name in ("packet_type", "dp_hash", "recirc_id", "conj_id")),
        ("in_port", "in_port_oxm"),
        *((name, name) for name in (
            "actset_output", "eth_src", "eth_dst", "eth_type", "vlan_tci",
            "mpls_tc", "mpls_bos", "mpls_ttl", "mpls_label",
            "ip_src", "ip_dst", "ipv6_src", "ipv6_dst", "ipv6_label", "ip_frag",
        )),
        ("nw_tos", "ip_dscp"),
        *((name, name) for name in (
            "nw_ecn", "nw_ttl", "nw_proto",
            "tcp_src", "tcp_dst", "tcp_flags", "udp_src", "udp_dst", "sctp_src", "sctp_dst",
            "icmp_type", "icmp_code", "icmpv6_type", "icmpv6_code",
            "nd_target", "nd_sll", "nd_tll", "nd_reserved", "nd_options_type",
            "arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha",
            "tun_id", "tun_flags", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst",
            "tun_gbp_id", "tun_gbp_flags", *PRESENT_BIT,
            "tun_erspan_idx", "tun_erspan_ver", "tun_erspan_dir", "tun_erspan_hwid",
            "tun_gtpu_flags", "tun_gtpu_msgtype",
            "nsh_flags", "nsh_ttl", "nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si",
            "nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4",
            *(f"reg{n}" for n in range(16)), "pkt_mark", "ct_state", "ct_zone", "ct_mark",
            "ct_label", "ct_nw_src", "ct_ipv6_src", "ct_nw_dst", "ct_ipv6_dst", "ct_nw_proto",
            "ct_tp_src", "ct_tp_dst", "metadata",
        )),
    )
)  # fmt: skip
"""Fields in the order in which OVS sends them, for NXM and for OXM: each after what it needs."""


def put_entries(match: Match, version: int, cookie: Cookie = (0, 0)) -> bytes:
    """The entries of a match; `version` 0 is NXM. Fields whose need it does not state are left out.

    `cookie` (value and mask) follows if its mask is not 0.
    """
    value, mask = match.value, match.mask
    packet = Packet.of(match, 0)
    parts = []
    for row in _ROWS:
        field = row[version > 0]
        if not mask & _LOOKED_AT.get(field.name, field.mask):
            continue
        if field.name == "vlan_tci" and version:
            parts.append(_vlan(value, mask, version))
        elif field.prereq in _FREE or MET[field.prereq](packet):
            parts.append(_entry(field, version, field.get(value), field.get(mask)))
    bits, within = cookie
    if within:
        whole = within == (1 << 64) - 1
        head = COOKIE if whole else COOKIE + 0x108
        parts.append(head.to_bytes(4, "big") + (bits & within).to_bytes(8, "big"))
        if not whole:
            parts.append(within.to_bytes(8, "big"))
    return b"".join(parts)


def _entry(field: Field, version: int, value: int, mask: int) -> bytes:
    if not field.maskable:
        if field.name == "nw_tos":
            value &= _DSCP
        return put_entry(field, version, value)
    return put_entry(field, version, value, mask)


def _vlan(value: int, mask: int, version: int) -> bytes:
    """A match on a TCI, as OXM says it: the VID with the bit for "there is a tag", and the PCP."""
    vid, pcp = FIELDS["vlan_vid"], FIELDS["vlan_pcp"]
    data = b""
    if mask & vid.mask:
        data = put_entry(vid, version, vid.get(value), vid.get(mask))
    if vid.get(value) and mask & pcp.mask:
        data += put_entry(pcp, version, pcp.get(value))
    return data


# The forms in which they stand in messages -----------------------------------------------------


def pull_nx_match(reader: Reader, length: int, *, cookie: bool) -> tuple[Match, Cookie]:
    """A Nicira match of `length` bytes, and the zeros behind it. Raises WireError."""
    part = reader.part(padded(length), "OFPBMC_BAD_LEN")
    return pull_entries(Reader(part.data, part.pos, part.pos + length), cookie=cookie)


def pull_oxm_match(reader: Reader) -> Match:
    """A match of OpenFlow 1.2+: type, length, entries, zeros. Raises WireError."""
    kind = reader.number(2, "OFPBMC_BAD_LEN")
    length = reader.number(2, "OFPBMC_BAD_LEN")
    if length < 4:
        raise WireError("OFPBMC_BAD_LEN", f"a match of {length} bytes")
    if kind != 1:
        raise WireError("OFPBMC_BAD_TYPE", f"match type {kind}")
    part = reader.part(padded(length) - 4, "OFPBMC_BAD_LEN")
    match, _ = pull_entries(Reader(part.data, part.pos, part.pos + length - 4))
    return match


def put_oxm_match(match: Match, version: int) -> bytes:
    """The other way round."""
    entries = put_entries(match, version)
    head = (1).to_bytes(2, "big") + (len(entries) + 4).to_bytes(2, "big")
    return pad8(head + entries)


# OpenFlow 1.0 ----------------------------------------------------------------------------------

_OF10: Final = struct.Struct(">IH6s6sHBxHBB2xIIHH")
OF10_SIZE: Final = _OF10.size
_WILD: Final = {
    "in_port": 0, "eth_src": 2, "eth_dst": 3, "eth_type": 4, "nw_proto": 5, "tcp_src": 6,
    "tcp_dst": 7,
}  # fmt: skip
"""The bit of `wildcards` of each field that is matched whole or not at all."""

_VLAN_WILD, _PCP_WILD, _TOS_WILD = 1 << 1, 1 << 20, 1 << 21
_SRC_SHIFT, _DST_SHIFT = 8, 14
OF10_ALL: Final = (1 << 22) - 1
_NO_VLAN: Final = 0xFFFF
_VID, _PCP, _FULL_TCI = 0xFFF, 0xE000, 0xFFFF


def _prefix(wildcards: int, shift: int) -> int:
    """The netmask behind the number of low bits that are wild."""
    wild = min(wildcards >> shift & 0x3F, 32)
    return 0xFFFFFFFF >> wild << wild


def _bits_left(mask: int) -> int:
    """The number of low bits that a netmask leaves open."""
    return 32 if not mask else (mask & -mask).bit_length() - 1


def pull_of10_match(reader: Reader) -> tuple[Match, bool]:
    """The fixed match of OpenFlow 1.0, and whether it leaves nothing open."""
    at = reader.skip(OF10_SIZE)
    (
        wildcards, in_port, src, dst, vlan, pcp, dl_type, tos, proto, nw_src, nw_dst, tp_src,
        tp_dst,
    ) = _OF10.unpack_from(reader.data, at)  # fmt: skip
    wildcards &= OF10_ALL
    match = Match()
    values = {
        "in_port": in_port, "eth_src": int.from_bytes(src, "big"),
        "eth_dst": int.from_bytes(dst, "big"), "eth_type": dl_type, "nw_proto": proto,
        "tcp_src": tp_src, "tcp_dst": tp_dst,
    }  # fmt: skip
    for name, bit in _WILD.items():
        if not wildcards >> bit & 1:
            match = match.with_field(FIELDS[name], values[name])
    for name, address, shift in (("ip_src", nw_src, _SRC_SHIFT), ("ip_dst", nw_dst, _DST_SHIFT)):
        mask = _prefix(wildcards, shift)
        if mask:
            match = match.with_field(FIELDS[name], address, mask)
    if not wildcards & _TOS_WILD:
        match = match.with_field(FIELDS["nw_tos"], tos & _DSCP, _DSCP)
    tci = FIELDS["vlan_tci"]
    if not wildcards & _VLAN_WILD and vlan == _NO_VLAN:
        match = match.with_field(tci, 0, _FULL_TCI)
    else:
        mask = 0 if wildcards & _VLAN_WILD else _VID | VLAN_PRESENT
        mask |= 0 if wildcards & _PCP_WILD else _PCP | VLAN_PRESENT
        if mask:
            match = match.with_field(tci, (vlan & _VID) | (pcp & 7) << 13 | VLAN_PRESENT, mask)
    return _sayable(match), not wildcards


def _sayable(match: Match) -> Match:
    """Without what the rest of the match does not allow (OVS ofputil_normalize_match())."""
    lost = _unsayable(FIELDS["eth_type"].get(match.value), FIELDS["nw_proto"].get(match.value))
    return Match(match.value & ~lost, match.mask & ~lost)


@lru_cache(maxsize=256)
def _unsayable(dl_type: int, nw_proto: int) -> int:
    """The bits that OpenFlow 1.0 cannot say of such packets."""
    lost = 0
    for names, allowed in (
        (("ip_src", "ip_dst"), dl_type in (ETH_IPV4, 0x0806, 0x8035)),
        (("nw_proto",), dl_type in (ETH_IPV4, ETH_IPV6, 0x0806, 0x8035)),
        (("nw_tos",), dl_type in (ETH_IPV4, ETH_IPV6)),
        (("tcp_src", "tcp_dst"), dl_type in (ETH_IPV4, ETH_IPV6)
         and nw_proto in (6, 17, 132, 1 if dl_type == ETH_IPV4 else 58)),
    ):  # fmt: skip
        if not allowed:
            lost |= sum(FIELDS[name].mask for name in names)
    return lost


def put_of10_match(match: Match) -> bytes:
    """The other way round; what OpenFlow 1.0 cannot say is left out."""
    value, mask = match.value, match.mask
    wildcards = 0
    for name, bit in _WILD.items():
        if not FIELDS[name].get(mask):
            wildcards |= 1 << bit
    for name, shift in (("ip_src", _SRC_SHIFT), ("ip_dst", _DST_SHIFT)):
        wildcards |= _bits_left(FIELDS[name].get(mask)) << shift
    if not FIELDS["nw_tos"].get(mask) & _DSCP:
        wildcards |= _TOS_WILD
    tci, tci_mask = _TCI.get(value), _TCI.get(mask)
    vlan = pcp = 0
    if not tci_mask:
        wildcards |= _VLAN_WILD | _PCP_WILD
    elif tci_mask & VLAN_PRESENT and not tci & VLAN_PRESENT:
        vlan = _NO_VLAN
    else:
        if tci_mask & _VID:
            vlan = tci & _VID
        else:
            wildcards |= _VLAN_WILD
        if tci_mask & _PCP:
            pcp = tci >> 13
        else:
            wildcards |= _PCP_WILD
    get = {name: FIELDS[name].get(value) for name in (*_WILD, "nw_tos", "ip_src", "ip_dst")}
    return _OF10.pack(
        wildcards, get["in_port"] & 0xFFFF, get["eth_src"].to_bytes(6, "big"),
        get["eth_dst"].to_bytes(6, "big"), vlan, pcp, get["eth_type"], get["nw_tos"] & _DSCP,
        get["nw_proto"], get["ip_src"], get["ip_dst"], get["tcp_src"], get["tcp_dst"],
    )  # fmt: skip
