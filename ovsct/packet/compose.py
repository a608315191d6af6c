"""From flow key to frame: :func:`compose` is the way back of ``parse``.

In spirit OVS's ``flow_compose()`` (lib/flow.c): a frame that parses to the key that was given, with
right lengths and checksums. For frames said in the words of their protocols (``tcp("10.0.0.1",
"10.0.0.2", 1000, 80, "S")``), see the builders of :mod:`ovsct.packet.build`; they are here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ovsct.errors import InputError
from ovsct.packet.build import (
    arp,
    fragment,
    icmp_echo,
    icmp_error,
    ip,
    mss,
    neighbour,
    sack_permitted,
    sctp,
    tcp,
    timestamps,
    udp,
    window_scale,
)
from ovsct.packet.fields import FIELDS, FRAG_ANY, FRAG_LATER, SLOTS, VLAN_PRESENT, Field, Slot
from ovsct.packet.layers import (
    ethernet,
    icmp_message,
    ipv4,
    ipv6,
    ipv6_fragment,
    sctp_packet,
    tcp_segment,
    udp_datagram,
    with_checksum,
)
from ovsct.packet.packet import (
    DL_TYPE_NONE,
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_RARP,
    ETH_VLAN,
    MPLS_TYPES,
    PROTO_FRAGMENT,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_IGMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
)

__all__ = [
    "arp",
    "compose",
    "fragment",
    "icmp_echo",
    "icmp_error",
    "ip",
    "key_of",
    "mss",
    "neighbour",
    "sack_permitted",
    "sctp",
    "tcp",
    "timestamps",
    "udp",
    "window_scale",
]

_ALIASES: Final = {alias: field for field in FIELDS.values() for alias in field.aliases}
_LSES: Final = tuple(SLOTS[name] for name in ("mpls_lse", "mpls_lse1", "mpls_lse2"))
_VLANS: Final = (
    (SLOTS["vlan_tpid"], SLOTS["vlan_tci"]),
    (SLOTS["vlan_tpid1"], SLOTS["vlan_tci1"]),
)
_NO_NEXT_HEADER: Final = 59
_V6_EXTENSIONS: Final = (0, 43, 44, 51, 60)
_LATER_OFFSET: Final = 800
"""Where a later fragment starts, in bytes: OVS says 100 units of 8."""


def key_of(fields: Mapping[str, int]) -> int:
    """The flow key that has `fields`: names of fields, their aliases or slots, values as ints.

    Raises:
        InputError: there is no such field, or the value is wider than the field.
    """
    key = 0
    for name, value in fields.items():
        place: Field | Slot | None = FIELDS.get(name) or SLOTS.get(name) or _ALIASES.get(name)
        if place is None:
            raise InputError("no such field", token=name)
        if value < 0 or value >> place.width:
            raise InputError(f"{value:#x} does not fit into {place.width} bits", token=name)
        key = place.put(key, value)
    return key


def compose(fields: int | Mapping[str, int], payload: bytes = b"") -> bytes:
    """The frame that parses to a given flow key.

    Args:
        fields: a flow key, or fields by name as in :func:`key_of`. Metadata is ignored. A VLAN tag
            without a TPID gets 0x8100.
        payload: what follows the last header that the key speaks of.

    Raises:
        InputError: a name or value of `fields` is wrong.
        ValueError: no frame can parse to that key: without a type, or with an IPv6 protocol that
            is an extension header; or the payload is too long for the headers.
    """
    key = fields if isinstance(fields, int) else key_of(fields)
    get = {name: slot.get(key) for name, slot in SLOTS.items()}
    dl_type = get["dl_type"]
    network = _NETWORK.get(dl_type)
    if network is not None:
        payload = network(get, payload)
    elif dl_type in MPLS_TYPES:
        payload = _labels(key) + payload
    elif dl_type == DL_TYPE_NONE:
        # An 802.3 frame has a length where others have a type.
        dl_type = min(len(payload), DL_TYPE_NONE)
    elif dl_type < 0x0600:
        raise ValueError(f"eth_type {dl_type:#x} is no type: a frame needs one of 0x600 or more")
    vlans = [
        (tpid.get(key) or ETH_VLAN, tci.get(key) & ~VLAN_PRESENT)
        for tpid, tci in _VLANS
        if tci.get(key)
    ]
    return ethernet(get["dl_dst"], get["dl_src"], dl_type, payload, vlans)


def _labels(key: int) -> bytes:
    stack = b""
    for slot in _LSES:
        lse = slot.get(key)
        stack += lse.to_bytes(4, "big")
        if lse & 0x100:
            break
    return stack


def _arp(get: Mapping[str, int], payload: bytes) -> bytes:
    return (
        b"\0\1\x08\0\6\4"
        + get["nw_proto"].to_bytes(2, "big")
        + get["arp_sha"].to_bytes(6, "big")
        + get["nw_src"].to_bytes(4, "big")
        + get["arp_tha"].to_bytes(6, "big")
        + get["nw_dst"].to_bytes(4, "big")
        + payload
    )


def _ipv4(get: Mapping[str, int], payload: bytes) -> bytes:
    src, dst, proto = get["nw_src"], get["nw_dst"], get["nw_proto"]
    where = 0
    if get["nw_frag"]:
        where = 0x2000 | (_LATER_OFFSET // 8 if get["nw_frag"] & FRAG_LATER else 0)
    if not get["nw_frag"] & FRAG_LATER:
        payload = with_checksum(proto, _transport(get, payload, False), src, dst, v6=False)
    return ipv4(
        src, dst, proto, payload, ttl=get["nw_ttl"], tos=get["nw_tos"], fragment=where
    )


def _ipv6(get: Mapping[str, int], payload: bytes) -> bytes:
    src, dst, proto = get["ipv6_src"], get["ipv6_dst"], get["nw_proto"]
    later = bool(get["nw_frag"] & FRAG_LATER)
    if proto in _V6_EXTENSIONS and not (later and proto == PROTO_FRAGMENT):
        raise ValueError(
            f"nw_proto {proto} is an extension header of IPv6; say what follows it"
            f" ({_NO_NEXT_HEADER}: nothing)"
        )
    if later:
        proto = _NO_NEXT_HEADER
    else:
        payload = with_checksum(proto, _transport(get, payload, True), src, dst, v6=True)
    if get["nw_frag"] & (FRAG_ANY | FRAG_LATER):
        payload = ipv6_fragment(proto, _LATER_OFFSET if later else 0, True, 0, payload)
        proto = PROTO_FRAGMENT
    return ipv6(
        src, dst, proto, payload, ttl=get["nw_ttl"], tos=get["nw_tos"], label=get["ipv6_label"]
    )


def _transport(get: Mapping[str, int], payload: bytes, v6: bool) -> bytes:
    proto, src, dst = get["nw_proto"], get["tp_src"], get["tp_dst"]
    if proto == PROTO_TCP:
        return tcp_segment(src, dst, get["tcp_flags"] & 0xFFF, payload)
    if proto == PROTO_UDP:
        return udp_datagram(src, dst, payload)
    if proto == PROTO_SCTP:
        return sctp_packet(src, dst, 0, payload)
    if proto == PROTO_IGMP:
        return icmp_message(src & 0xFF, dst & 0xFF, get["igmp_group"], payload)
    if proto == PROTO_ICMP:
        return icmp_message(src & 0xFF, dst & 0xFF, 0, payload)
    if proto == PROTO_ICMPV6 and v6:
        if src in (135, 136) and not dst:
            return icmp_message(src, 0, get["nd_reserved"], _neighbour(get) + payload)
        return icmp_message(src & 0xFF, dst & 0xFF, 0, payload)
    return payload


def _neighbour(get: Mapping[str, int]) -> bytes:
    options = [
        bytes((kind, 1)) + get[slot].to_bytes(6, "big")
        for kind, slot in ((1, "arp_sha"), (2, "arp_tha"))
        if get[slot] or get["nd_options_type"] == kind
    ]
    if get["nd_options_type"] == 2:
        options.reverse()
    return get["nd_target"].to_bytes(16, "big") + b"".join(options)


_NETWORK: Final[dict[int, Callable[[Mapping[str, int], bytes], bytes]]] = {
    ETH_IPV4: _ipv4,
    ETH_IPV6: _ipv6,
    ETH_ARP: _arp,
    ETH_RARP: _arp,
}
