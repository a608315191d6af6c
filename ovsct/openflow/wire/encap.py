"""encap and decap on the wire (OVS lib/ofp-actions.c and lib/ofp-ed-props.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ovsct.openflow import actions as of
from ovsct.openflow.wire.buffer import Reader, padded
from ovsct.openflow.wire.errors import WireError
from ovsct.packet.packet import ETH_MPLS, ETH_MPLS_MCAST, PT_ETHERNET, PT_ETHERTYPE, PT_NSH

if TYPE_CHECKING:
    from ovsct.openflow.wire.action_in import Inside

_HEADERS: Final = (
    PT_ETHERNET, PT_NSH, PT_ETHERTYPE | ETH_MPLS, PT_ETHERTYPE | ETH_MPLS_MCAST,
)  # fmt: skip
_CLASS_NSH: Final = 4
_MD_TYPE, _TLV = 1, 2
_MD_TYPE_SAID: Final = 5
"""The length that a property with a type of metadata states; it takes 8 bytes."""


def read_encap(reader: Reader, _: Inside) -> of.Action:
    """NXAST_ENCAP."""
    reader.skip(2)
    packet_type = reader.number(4)
    if packet_type not in _HEADERS:
        raise WireError("NXBAC_BAD_HEADER_TYPE", f"a header of type {packet_type:#x}")
    properties = []
    while reader.left:
        properties.append(_read_property(reader))
    return of.Encap(packet_type, tuple(properties))


def _read_property(reader: Reader) -> of.NshMdType | of.NshTlv:
    kind, number, length = reader.number(2), reader.number(1), reader.number(1)
    if length < 4 or padded(length) - 4 > reader.left:
        raise WireError("OFPBAC_BAD_LEN", f"a property of {length} bytes")
    body = reader.part(padded(length) - 4)
    if kind != _CLASS_NSH or number not in (_MD_TYPE, _TLV):
        raise WireError("NXBAC_UNKNOWN_ED_PROP", f"property {kind}:{number}")
    if number == _MD_TYPE:
        if length > 8:
            raise WireError("NXBAC_BAD_ED_PROP", f"a type of metadata in {length} bytes")
        return of.NshMdType(body.number(1))
    tlv_class, tlv_type, size = body.number(2), body.number(1), body.number(1)
    if length != 8 + padded(size):
        raise WireError("NXBAC_BAD_ED_PROP", f"{size} bytes of a context in {length}")
    return of.NshTlv(tlv_class, tlv_type, body.take(size))


def put_encap(action: of.Encap) -> bytes:
    """What follows the subtype."""
    data = bytes(2) + action.packet_type.to_bytes(4, "big")
    for each in action.properties:
        if isinstance(each, of.NshMdType):
            body = bytes((each.md_type, 0, 0, 0))
            data += _head(_MD_TYPE, _MD_TYPE_SAID) + body
        else:
            value = each.value.ljust(padded(len(each.value)), b"\0")
            if 8 + len(value) > 0xFF:
                raise WireError("OFPBAC_BAD_LEN", f"a context of {len(each.value)} bytes")
            head = each.tlv_class << 16 | each.tlv_type << 8 | len(each.value)
            data += _head(_TLV, 8 + len(value)) + head.to_bytes(4, "big") + value
    return data


def _head(number: int, length: int) -> bytes:
    return _CLASS_NSH.to_bytes(2, "big") + bytes((number, length))


def read_decap(reader: Reader, _: Inside) -> of.Action:
    """NXAST_DECAP."""
    reader.skip(2)
    packet_type = reader.number(4)
    if reader.left:
        raise WireError("NXBAC_UNKNOWN_ED_PROP", "decap has no properties")
    return of.Decap(packet_type)
