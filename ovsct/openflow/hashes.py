"""OVS's hash functions, over flow keys: what select groups, multipath and bundle choose by.

Three families, as in OVS lib/hash.h (MurmurHash3 by 32-bit words, of a build for plain x86-64),
lib/jhash.c (Jenkins's lookup3) and lib/flow.c (which fields are hashed, ``flow_hash_fields()``).
Numbers are 32-bit words as a little-endian machine reads them from headers in network order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from ovsct.packet.fields import SLOTS

_U32: Final = 0xFFFFFFFF
_ETH_IPV4: Final = 0x0800
_ETH_ARP: Final = 0x0806
_ETH_IPV6: Final = 0x86DD
_ICMP, _TCP, _UDP, _ICMPV6, _SCTP = 1, 6, 17, 58, 132

_DL_SRC, _DL_DST, _DL_TYPE = SLOTS["dl_src"], SLOTS["dl_dst"], SLOTS["dl_type"]
_TCI, _TCI1 = SLOTS["vlan_tci"], SLOTS["vlan_tci1"]
_NW_SRC, _NW_DST, _PROTO = SLOTS["nw_src"], SLOTS["nw_dst"], SLOTS["nw_proto"]
_V6_SRC, _V6_DST = SLOTS["ipv6_src"], SLOTS["ipv6_dst"]
_TP_SRC, _TP_DST = SLOTS["tp_src"], SLOTS["tp_dst"]
_FRAG = SLOTS["nw_frag"]
_VID: Final = 0xFFF
_VLAN_BITS: Final = 0x1FFF << _TCI.shift | 0x1FFF << _TCI1.shift
_V4_BITS: Final = _NW_SRC.mask | _NW_DST.mask
_V6_BITS: Final = _V6_SRC.mask | _V6_DST.mask
_PORT_BITS: Final = _TP_SRC.mask | _TP_DST.mask


class HashFields(StrEnum):
    """What multipath and bundle can hash; the values are the words of ovs-ofctl."""

    ETH_SRC = "eth_src"
    SYMMETRIC_L4 = "symmetric_l4"
    SYMMETRIC_L3L4 = "symmetric_l3l4"
    SYMMETRIC_L3L4_UDP = "symmetric_l3l4+udp"
    NW_SRC = "nw_src"
    NW_DST = "nw_dst"
    SYMMETRIC_L3 = "symmetric_l3"


# -- words and bytes -----------------------------------------------------------------------------


def _rot(x: int, k: int) -> int:
    return (x << k | x >> (32 - k)) & _U32


def hash_add(state: int, data: int) -> int:
    """One more 32-bit word (``hash_add()``)."""
    if data:
        data = _rot(data * 0xCC9E2D51 & _U32, 15) * 0x1B873593 & _U32
    return (_rot(state ^ data, 13) * 5 + 0xE6546B64) & _U32


def hash_finish(state: int, final: int) -> int:
    """The hash, once every word is in (``hash_finish()``)."""
    state ^= final
    state = (state ^ state >> 16) * 0x85EBCA6B & _U32
    state = (state ^ state >> 13) * 0xC2B2AE35 & _U32
    return state ^ state >> 16


def hash_2words(x: int, y: int) -> int:
    """Hash of two words; ``hash_int(x, basis)`` is the same."""
    return hash_finish(hash_add(hash_add(x, 0), y), 8)


def hash_uint64(value: int) -> int:
    """Hash of 64 bits in host order."""
    return hash_finish(hash_add(hash_add(0, value & _U32), value >> 32), 8)


def hash_bytes(data: bytes, basis: int) -> int:
    """Hash of bytes, the last word filled up with zeros."""
    return hash_finish(_add_words(basis, _words(data)), len(data))


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


def _add_words(state: int, words: Iterable[int]) -> int:
    for word in words:
        state = hash_add(state, word)
    return state


def jhash_bytes(data: bytes, basis: int) -> int:
    """Jenkins's hash of bytes (lib/jhash.c ``jhash_bytes()``)."""
    a = b = c = (0xDEADBEEF + len(data) + basis) & _U32
    at = 0
    while len(data) - at >= 12:
        first, second, third = _words(data[at : at + 12])
        a, b, c = _jenkins_mix(a + first & _U32, b + second & _U32, c + third & _U32)
        at += 12
    if at < len(data):
        first, second, third = _words(data[at:].ljust(12, b"\0"))
        c = _jenkins_final(a + first & _U32, b + second & _U32, c + third & _U32)
    return c


def _jenkins_mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for turns in (4, 6, 8, 16, 19, 4):
        a = (a - c & _U32) ^ _rot(c, turns)
        c = c + b & _U32
        a, b, c = b, c, a
    return a, b, c


def _jenkins_final(a: int, b: int, c: int) -> int:
    for turns in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rot(b, turns) & _U32
        a, b, c = b, c, a
    return b


# -- keys ----------------------------------------------------------------------------------------


def _net(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def five_tuple(key: int, basis: int = 0) -> int:
    """The hash that the userspace datapath gives a packet on arrival
    (``miniflow_hash_5tuple()``).
    """
    dl_type = _DL_TYPE.get(key)
    if dl_type == _ETH_IPV6:
        addresses = _net(_V6_SRC.get(key), 16) + _net(_V6_DST.get(key), 16)
    elif dl_type in (_ETH_IPV4, _ETH_ARP):
        addresses = _net(_NW_SRC.get(key), 4) + _net(_NW_DST.get(key), 4)
    else:
        return hash_finish(basis, 42)
    proto = _PROTO.get(key)
    state = hash_add(_add_words(basis, _words(addresses)), proto)
    if proto in (_TCP, _UDP, _SCTP, _ICMP, _ICMPV6):
        ports = _net(_TP_SRC.get(key), 2) + _net(_TP_DST.get(key), 2)
        state = hash_add(state, int.from_bytes(ports, "little"))
    return hash_finish(state, 42)


def _mac_and_vlan(key: int) -> tuple[bytes, bytes]:
    return (
        _net(_DL_SRC.get(key) ^ _DL_DST.get(key), 6),
        _net((_TCI.get(key) ^ _TCI1.get(key)) & _VID, 2),
    )


def symmetric_l4(key: int, basis: int) -> int:
    """``flow_hash_symmetric_l4()``: addresses, VLANs, protocol, and ports but those of UDP."""
    mac, vlan = _mac_and_vlan(key)
    dl_type = _DL_TYPE.get(key)
    address, ports, proto = b"", 0, 0
    if dl_type in (_ETH_IPV4, _ETH_IPV6):
        address = _addresses(key, dl_type)
        proto = _PROTO.get(key)
        if proto in (_TCP, _SCTP):
            ports = _TP_SRC.get(key) ^ _TP_DST.get(key)
    data = address.ljust(16, b"\0") + _net(dl_type, 2) + vlan + _net(ports, 2) + mac
    return jhash_bytes((data + bytes((proto,))).ljust(32, b"\0"), basis)


def _addresses(key: int, dl_type: int) -> bytes:
    """The two addresses, so combined that their order does not count."""
    if dl_type == _ETH_IPV4:
        return _net(_NW_SRC.get(key) ^ _NW_DST.get(key), 4)
    return _net(_V6_SRC.get(key) ^ _V6_DST.get(key), 16)


def _symmetric_l2(key: int, basis: int) -> int:
    mac, vlan = _mac_and_vlan(key)
    data = _net(_DL_TYPE.get(key), 2) + vlan + mac + b"\0\0"
    return hash_finish(_add_words(basis, _words(data)), basis)


def symmetric_l3l4(key: int, basis: int, udp: bool = False) -> int:
    """``flow_hash_symmetric_l3l4()``: IP addresses, protocol, ports; Ethernet where not IP."""
    dl_type = _DL_TYPE.get(key)
    if dl_type not in (_ETH_IPV4, _ETH_IPV6):
        return _symmetric_l2(key, basis)
    state = _add_words(basis, _words(_addresses(key, dl_type)))
    proto = _PROTO.get(key)
    state = hash_add(state, proto)
    if not _FRAG.get(key) and (proto in (_TCP, _SCTP) or (udp and proto == _UDP)):
        ports = _net(_TP_SRC.get(key) ^ _TP_DST.get(key), 2)
        state = hash_add(state, int.from_bytes(ports, "little"))
    return hash_finish(state, basis)


def _symmetric_l3(key: int, basis: int) -> int:
    dl_type = _DL_TYPE.get(key)
    address = _addresses(key, dl_type) if dl_type in (_ETH_IPV4, _ETH_IPV6) else b""
    data = address.ljust(16, b"\0") + _net(dl_type, 2)
    return jhash_bytes(data.ljust(20, b"\0"), basis)


def _one_address(v4: str, v6: str) -> Callable[[int, int], int]:
    def function(key: int, basis: int) -> int:
        dl_type = _DL_TYPE.get(key)
        if dl_type == _ETH_IPV4:
            return jhash_bytes(_net(SLOTS[v4].get(key), 4), basis)
        if dl_type == _ETH_IPV6:
            return jhash_bytes(_net(SLOTS[v6].get(key), 16), basis)
        return basis

    return function


_HASHES: Final[dict[HashFields, Callable[[int, int], int]]] = {
    HashFields.ETH_SRC: lambda key, basis: jhash_bytes(_net(_DL_SRC.get(key), 6), basis),
    HashFields.SYMMETRIC_L4: symmetric_l4,
    HashFields.SYMMETRIC_L3L4: symmetric_l3l4,
    HashFields.SYMMETRIC_L3L4_UDP: lambda key, basis: symmetric_l3l4(key, basis, udp=True),
    HashFields.NW_SRC: _one_address("nw_src", "ipv6_src"),
    HashFields.NW_DST: _one_address("nw_dst", "ipv6_dst"),
    HashFields.SYMMETRIC_L3: _symmetric_l3,
}


def hash_fields(key: int, fields: HashFields, basis: int) -> int:
    """The hash of a key's `fields` (``flow_hash_fields()``)."""
    return _HASHES[fields](key, basis)


# -- what hashing looks at -----------------------------------------------------------------------


def _by_family(dl_type: int, v4: int, v6: int) -> int:
    return {_ETH_IPV4: v4, _ETH_IPV6: v6}.get(dl_type, 0)


def _l4_bits(key: int) -> int:
    dl_type = _DL_TYPE.get(key)
    bits = _DL_SRC.mask | _DL_DST.mask | _VLAN_BITS | _by_family(dl_type, _V4_BITS, _V6_BITS)
    if dl_type in (_ETH_IPV4, _ETH_IPV6):
        bits |= _PROTO.mask
        if _PROTO.get(key) != _UDP:
            bits |= _port_bits(key)
    return bits


def _port_bits(key: int) -> int:
    """``flow_unwildcard_tp_ports()``: an ICMP type and code are a byte each."""
    if _PROTO.get(key) == _ICMP:
        return 0xFF << _TP_SRC.shift | 0xFF << _TP_DST.shift
    return _PORT_BITS


def _l3l4_bits(key: int, udp: bool) -> int:
    dl_type, proto = _DL_TYPE.get(key), _PROTO.get(key)
    if dl_type not in (_ETH_IPV4, _ETH_IPV6):
        return 0
    bits = _by_family(dl_type, _V4_BITS, _V6_BITS) | _PROTO.mask
    if not _FRAG.get(key) and (proto in (_TCP, _SCTP) or (udp and proto == _UDP)):
        bits |= _PORT_BITS
    return bits


_BITS: Final[dict[HashFields, Callable[[int], int]]] = {
    HashFields.ETH_SRC: lambda key: _DL_SRC.mask,
    HashFields.SYMMETRIC_L4: _l4_bits,
    HashFields.SYMMETRIC_L3L4: lambda key: _l3l4_bits(key, False),
    HashFields.SYMMETRIC_L3L4_UDP: lambda key: _l3l4_bits(key, True),
    HashFields.NW_SRC: lambda key: _by_family(_DL_TYPE.get(key), _NW_SRC.mask, _V6_SRC.mask),
    HashFields.NW_DST: lambda key: _by_family(_DL_TYPE.get(key), _NW_DST.mask, _V6_DST.mask),
    HashFields.SYMMETRIC_L3: lambda key: _by_family(_DL_TYPE.get(key), _V4_BITS, _V6_BITS),
}


def hashed_bits(key: int, fields: HashFields) -> int:
    """The bits that hashing `fields` of this key un-wildcards (``flow_mask_hash_fields()``)."""
    return _BITS[fields](key)
