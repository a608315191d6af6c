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


def number8(value: int, mask: int, _ones: int) -> str:
    """``17`` or ``0x11/0x0f``: eight bits of an NSH header."""
    return f"{value}" if mask == 0xFF else f"{value:#04x}/{mask:#04x}"


def number32(value: int, mask: int, _ones: int) -> str:
    """``0x11`` or ``0x11/0x000000ff``: a context of an NSH header."""
    return f"{value:#x}" if mask == 0xFFFFFFFF else f"{value:#x}/{mask:#010x}"


def nsh_path(value: int, mask: int, _ones: int) -> str:
    """``spi=0x1234,si=255``: what of a path header is matched."""
    parts = []
    if mask >> 8:
        whole = 0xFFFFFFFF if mask >> 8 == 0xFFFFFF else mask >> 8
        parts.append(f"spi={number32(value >> 8, whole, 0)}")
    if mask & 0xFF:
        parts.append(f"si={number8(value & 0xFF, mask & 0xFF, 0)}")
    return ",".join(parts)
