"""encap and decap, text to objects and back (OVS lib/ofp-actions.c and lib/ofp-ed-props.c)."""

from __future__ import annotations

import re
from typing import Final

from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import Action
from ovsct.openflow.text.argument import Reader, read_number, unknown_argument, wrong
from ovsct.openflow.text.lexer import Item, items
from ovsct.packet.packet import ETH_MPLS, ETH_MPLS_MCAST, PT_ETHERNET, PT_ETHERTYPE, PT_NSH

_HEADERS: Final = {
    "ethernet": PT_ETHERNET,
    "nsh": PT_NSH,
    "mpls": PT_ETHERTYPE | ETH_MPLS,
    "mpls_mc": PT_ETHERTYPE | ETH_MPLS_MCAST,
}
_NAMES: Final = {packet_type: name for name, packet_type in _HEADERS.items()}
_TLV: Final = re.compile(r"0x([0-9a-fA-F]{1,4}),(\d{1,3}),0x((?:[0-9a-fA-F]{2}){1,125})\Z")


def read_encap(reader: Reader, item: Item) -> Action:
    """``encap(HEADER)`` or ``encap(nsh(md_type=N,tlv(CLASS,TYPE,VALUE)))``; raises InputError."""
    headers = items(reader.text, item.value_start, item.value_end)
    if len(headers) != 1:
        raise wrong("encap takes one header", item, ", ".join(_HEADERS))
    header = headers[0]
    packet_type = _HEADERS.get(header.key)
    if packet_type is None:
        raise unknown_argument(header, "encap", _HEADERS)
    properties: list[ofp.NshMdType | ofp.NshTlv] = []
    for part in items(reader.text, header.value_start, header.value_end):
        if packet_type == PT_NSH and part.key == "md_type":
            md_type = read_number(part, 2, "type of metadata")
            if not md_type:
                raise wrong("there is no such type of metadata", part, "1 or 2")
            properties.append(ofp.NshMdType(md_type))
        elif packet_type == PT_NSH and part.key == "tlv":
            properties.append(_tlv(part))
        else:
            known = ("md_type", "tlv") if packet_type == PT_NSH else ("nothing",)
            raise unknown_argument(part, f"encap({header.key})", known)
    return ofp.Encap(packet_type, tuple(properties), span=item.span)


def _tlv(part: Item) -> ofp.NshTlv:
    found = _TLV.match(part.value)
    if found is None or int(found[2]) > 0xFF:
        raise wrong("this is no context", part, "tlv(0xCLASS,TYPE,0xVALUE), in whole bytes")
    return ofp.NshTlv(int(found[1], 16), int(found[2]), bytes.fromhex(found[3]))


def read_decap(reader: Reader, item: Item) -> Action:
    """``decap()`` or ``decap(packet_type(ns=NS,type=TYPE))``; raises InputError."""
    packet_type = ofp.USE_NEXT_PROTO
    for part in items(reader.text, item.value_start, item.value_end):
        if part.key != "packet_type":
            raise unknown_argument(part, "decap", ("packet_type",))
        inner = items(reader.text, part.value_start, part.value_end)
        if [each.key for each in inner] != ["ns", "type"]:
            raise wrong("this is not a packet type", part, "packet_type(ns=NS,type=TYPE)")
        namespace = read_number(inner[0], 1, "namespace")
        packet_type = namespace << 16 | read_number(inner[1], 0xFFFF, "type")
    return ofp.Decap(packet_type, span=item.span)


def _bytes_text(data: bytes) -> str:
    """As OVS prints bytes: zeros at the head are lost (lib/dynamic-string.c ds_put_hex())."""
    value = int.from_bytes(data, "big")
    return f"{value:#x}" if value else "0"


def _property(each: ofp.NshMdType | ofp.NshTlv) -> str:
    if isinstance(each, ofp.NshMdType):
        return f"md_type={each.md_type}"
    return f"tlv({each.tlv_class:#06x},{each.tlv_type},{_bytes_text(each.value)})"


def format_encap(action: ofp.Encap) -> str:
    """The text of encap as OVS prints it."""
    name = _NAMES[action.packet_type]
    if not action.properties:
        return f"encap({name})"
    return f"encap({name}({','.join(map(_property, action.properties))}))"


def format_decap(action: ofp.Decap) -> str:
    """The text of decap as OVS prints it."""
    if action.packet_type == ofp.USE_NEXT_PROTO:
        return "decap()"
    namespace, kind = action.packet_type >> 16, action.packet_type & 0xFFFF
    kind_text = f"{kind:#x}" if kind else "0"
    return f"decap(packet_type(ns={namespace},type={kind_text}))"
