"""How the datapath's flow format writes values and masks (OVS lib/odp-util.c, ``format_*``).

Every writer takes the value, its mask (never 0) and the field's all-ones.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from ovsct.packet.fields import CT_STATE_NAMES, TCP_FLAG_NAMES


def decimal(value: int, mask: int, ones: int) -> str:
    """``17`` or ``17/0xf``."""
    return f"{value}" if mask == ones else f"{value}/{mask:#x}"


def octet(value: int, mask: int, _ones: int) -> str:
    """As :func:`decimal`, of eight bits that lie in a wider slot (an ICMP type)."""
    return decimal(value, mask & 0xFF, 0xFF)


def zero_or_hex(value: int, mask: int, ones: int) -> str:
    """``0``, ``0x1f`` or ``0x1f/0xff``: C's ``%#x``."""
    text = f"{value:#x}" if value else "0"
    return text if mask == ones else f"{text}/{mask:#x}"


hexadecimal = zero_or_hex


def ethernet(value: int, mask: int, ones: int) -> str:
    """``50:54:00:00:00:09`` with its mask in the same form."""
    text = value.to_bytes(6, "big").hex(":")
    return text if mask == ones else f"{text}/{mask.to_bytes(6, 'big').hex(':')}"


def ipv4(value: int, mask: int, ones: int) -> str:
    """``10.0.0.1`` or ``10.0.0.0/255.0.0.0``."""
    text = str(IPv4Address(value))
    return text if mask == ones else f"{text}/{IPv4Address(mask)}"


def ipv6(value: int, mask: int, ones: int) -> str:
    """``fe80::1`` or with its mask."""
    text = str(IPv6Address(value))
    return text if mask == ones else f"{text}/{IPv6Address(mask)}"


def frag(value: int, _mask: int, _ones: int) -> str:
    """``no``, ``first`` or ``later``."""
    return {0: "no", 1: "first"}.get(value, "later")


def ct_state(value: int, mask: int, _ones: int) -> str:
    """``+new-est+trk``: the bits of the mask in OVS's order."""
    return "".join(
        ("+" if value & bit else "-") + name for name, bit in CT_STATE_NAMES if mask & bit
    )


def tcp_flags(value: int, mask: int, ones: int) -> str:
    """``+syn-ack`` for a partial mask, else ``syn|ack`` (``0`` for none)."""
    if mask == ones:
        return "|".join(name for name, bit in TCP_FLAG_NAMES if value & bit) or "0"
    return "".join(
        ("+" if value & bit else "-") + name for name, bit in TCP_FLAG_NAMES if mask & bit
    )
