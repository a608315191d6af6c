"""Values of fields, text to numbers and back: one reader and one writer for each format.

Readers follow OVS lib/meta-flow.c ``mf_parse`` and return (value, mask), the field's own and not in
place in the key; writers follow ``mf_format``. A value that is wider than its field is an error
here; OVS cuts it to size without a word (``dl_vlan=5000`` becomes 904).

Readers raise InputError with the problem, token and what was expected, without a column: the
caller knows where the text stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow.actions import OFPP_MAX, OFPP_UNSET, PORT_NAMES
from ovsct.openflow.text.lexer import nearest
from ovsct.packet.fields import (
    CT_STATE_NAMES,
    FIELDS,
    FRAG_ANY,
    FRAG_LATER,
    TCP_FLAG_NAMES,
    Field,
    Format,
)

Ports = Mapping[str, int]
NO_PORTS: Final[Ports] = {}

_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+)|(0[0-7]*)")
_IPV4 = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\Z", re.ASCII)
_MAC = re.compile(r"(?:[0-9a-fA-F]{1,2}:){5}[0-9a-fA-F]{1,2}\Z")
_PACKET_TYPE = re.compile(r"\(([^,]+),([^)]+)\)\Z")


def integer(text: str, limit: int, what: str = "number") -> int:
    """A decimal, ``0x`` or octal (leading 0) number of 0 to `limit`.

    Raises InputError that calls it `what`. Source: OVS lib/util.c parse_int_string; a minus sign,
    which OVS reads as two's complement for 64-bit fields, is refused, and so is ``0x`` alone.
    """
    found = None  # a plain decimal, which has 64 bits at most
    if text.isdecimal() and text.isascii() and (text[0] != "0" or text == "0"):
        value = int(text)
    else:
        found = _INTEGER.match(text)
        if found is None or found.end() != len(text):
            raise InputError(
                f"this is not a {what}", token=text, expected="decimal, 0x hexadecimal or 0 octal"
            )
        value = int(text, 16 if found[1] else 8)
    if value > limit or (value >> 64 and found is None):
        raise InputError(f"this {what} is too large", token=text, expected=f"0 to {limit:#x}")
    return value


def hexadecimal(value: int) -> str:
    """As C prints ``%#x``: 0 has no prefix."""
    return hex(value) if value else "0"


# Ports ----------------------------------------------------------------------------------------


def port(text: str, ports: Ports = NO_PORTS) -> int:
    """An OpenFlow port: a number, a reserved name in any case, or a name in `ports`.

    32-bit OpenFlow 1.1 numbers of reserved ports become their 16-bit ones. Raises InputError for
    anything else. Source: OVS lib/ofp-port.c ofputil_port_from_string.
    """
    if text.isdecimal() and text.isascii():
        number = int(text)
        if number >= 0xFFFFFF00 and number <= 0xFFFFFFFF:
            number -= 0xFFFF0000
        if number > 0xFFFF:
            raise InputError("there is no such OpenFlow port", token=text, expected="0 to 65535")
        return number
    reserved = PORT_NAMES.get(text.upper())
    if reserved is not None:
        return reserved
    name = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if name in ports:
        return ports[name]
    raise InputError(
        "this is not a port",
        token=text,
        expected="a number, a reserved name such as LOCAL, or the name of a known port",
        hint=nearest(text, [*ports, *PORT_NAMES]),
    )


_PORT_PRINTED: Final = {
    number: name for name, number in PORT_NAMES.items() if name != "NONE"
}  # OVS prints OFPP_NONE as ANY


def format_port(number: int) -> str:
    """A port as OVS prints it: its number, or its reserved name."""
    if number < OFPP_MAX:
        return str(number)
    return _PORT_PRINTED.get(number, str(number)) if number >= OFPP_UNSET else str(number)


# Addresses ------------------------------------------------------------------------------------


def ipv4(text: str) -> int:
    """A dotted IPv4 address; raises InputError."""
    found = _IPV4.match(text)
    if found is not None:
        a, b, c, d = (int(part) for part in found.groups())
        if a < 256 and b < 256 and c < 256 and d < 256:
            return a << 24 | b << 16 | c << 8 | d
    raise InputError("this is not an IPv4 address", token=text, expected="such as 10.0.0.1")


def format_ipv4(value: int) -> str:
    """A dotted IPv4 address."""
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def ipv6(text: str) -> int:
    """An IPv6 address as a number; raises InputError."""
    try:
        if "%" not in text and "/" not in text:
            return int(IPv6Address(text))
    except AddressValueError:
        pass  # told below, with what was expected
    raise InputError("this is not an IPv6 address", token=text, expected="such as fe80::1")


def format_ipv6(value: int) -> str:
    """An IPv6 address as inet_ntop prints it, mapped IPv4 addresses dotted."""
    upper, lower = value >> 32, value & 0xFFFFFFFF
    if upper == 0xFFFF:
        return f"::ffff:{format_ipv4(lower)}"
    if upper == 0 and lower > 0xFFFF:
        return f"::{format_ipv4(lower)}"
    return IPv6Address(value).compressed


def _prefix(bits: int, width: int) -> int:
    return ((1 << bits) - 1) << (width - bits)


def _prefix_length(mask: int, width: int) -> int | None:
    """Length of a mask that is a prefix; None if it is not one."""
    inverse = ~mask & ((1 << width) - 1)
    return None if inverse & (inverse + 1) else width - inverse.bit_length()


def _address(text: str, width: int, read: Callable[[str], int]) -> tuple[int, int]:
    address, slash, mask = text.partition("/")
    value = read(address)
    if not slash:
        return value, (1 << width) - 1
    if mask.isdecimal() and mask.isascii():
        if int(mask) > width:
            raise InputError("this prefix is too long", token=text, expected=f"/0 to /{width}")
        return value, _prefix(int(mask), width)
    return value, read(mask)


def _format_address(value: int, mask: int, width: int, write: Callable[[int], str]) -> str:
    if mask == (1 << width) - 1:
        return write(value)
    length = _prefix_length(mask, width)
    return f"{write(value)}/{length if length is not None else write(mask)}"


def mac(text: str) -> int:
    """An Ethernet address; raises InputError."""
    if _MAC.match(text) is None:
        raise InputError(
            "this is not an Ethernet address", token=text, expected="such as 00:1b:21:aa:bb:cc"
        )
    if len(text) == 17:
        return int(text.replace(":", ""), 16)
    value = 0
    for part in text.split(":"):
        value = value << 8 | int(part, 16)
    return value


def format_mac(value: int) -> str:
    """An Ethernet address in lower case."""
    return value.to_bytes(6, "big").hex(":")


# Flags ----------------------------------------------------------------------------------------

FlagNames = tuple[tuple[str, int], ...]
TUN_FLAG_NAMES: Final[FlagNames] = (("oam", 1),)
_FLAG_NAMES: Final[dict[Format, FlagNames]] = {
    Format.CT_STATE: CT_STATE_NAMES,
    Format.TCP_FLAGS: TCP_FLAG_NAMES,
    Format.TUN_FLAGS: TUN_FLAG_NAMES,
}
_SIGNED_FLAG = re.compile(r"([+-])([^+-]*)")


def _unknown_flag(name: str, field: Field, names: FlagNames) -> InputError:
    known = [flag for flag, _ in names]
    return InputError(
        f"{field.name} has no such flag",
        token=name,
        expected=", ".join(known),
        hint=nearest(name, known),
    )


def _signed_flags(text: str, field: Field, names: FlagNames) -> tuple[int, int]:
    """``+trk-new``: each flag once, set or not set; all others are not looked at."""
    bits = dict(names)
    value = mask = 0
    for sign, name in _SIGNED_FLAG.findall(text):
        bit = bits.get(name)
        if bit is None:
            raise _unknown_flag(name, field, names)
        if mask & bit:
            raise InputError(f"this flag of {field.name} stands here twice", token=name)
        mask |= bit
        if sign == "+":
            value |= bit
    return value, mask


def _flags(text: str, field: Field) -> tuple[int, int]:
    """``+a-b``, ``a|b`` (exactly these), or numbers; OVS lib/flow.c parse_flags."""
    names = _FLAG_NAMES[field.format]
    if text[:1] in ("+", "-") and not text[1:2].isdecimal():
        return _signed_flags(text, field, names)
    number, slash, mask = text.partition("/")
    if slash:
        return integer(number, field.ones, "flag set"), integer(mask, field.ones, "mask")
    bits = dict(names)
    value = 0
    for name in text.split("|"):
        if name[:1].isdecimal():
            value |= integer(name, field.ones, "flag set")
        elif name in bits:
            value |= bits[name]
        else:
            raise _unknown_flag(name, field, names)
    return value, field.ones


def format_flags(value: int, mask: int, names: FlagNames, exact: int) -> str:
    """Flags as OVS prints them: ``a|b`` if `mask` is `exact`, else ``+a-b``."""
    if mask == exact:
        return "|".join(name for name, bit in names if value & bit) or "0"
    signed = (f"{'+' if value & bit else '-'}{name}" for name, bit in names if mask & bit)
    return "".join(signed) or "0/0"


# Fragments: OVS lib/meta-flow.c all_frags, (name, mask, value); the first that fits is printed.
_BOTH: Final = FRAG_ANY | FRAG_LATER
_FRAGS: Final = (
    ("no", _BOTH, 0),
    ("first", _BOTH, FRAG_ANY),
    ("later", _BOTH, _BOTH),
    ("no", FRAG_ANY, 0),
    ("yes", FRAG_ANY, FRAG_ANY),
    ("not_later", FRAG_LATER, 0),
    ("later", FRAG_LATER, FRAG_LATER),
)


def _frag(text: str, field: Field) -> tuple[int, int]:
    for name, mask, value in _FRAGS:
        if text.lower() == name:
            return value, mask
    known = ["no", "yes", "first", "later", "not_later"]
    raise InputError(
        f"this is not a value of {field.name}",
        token=text,
        expected=", ".join(known),
        hint=nearest(text, known),
    )


def format_frag(value: int, mask: int) -> str:
    """A value of ip_frag by name."""
    return next(name for name, m, v in _FRAGS if (m, v) == (mask, value & mask))


# Fields ---------------------------------------------------------------------------------------

_LIMITS: Final[dict[str, int]] = {"dl_vlan": 0xFFFF}
"""dl_vlan=0xffff means "no tag"; any other value is held to the field's own width."""


def _number(text: str, field: Field) -> tuple[int, int]:
    number, slash, mask = text.partition("/")
    limit = _LIMITS.get(field.name, field.ones)
    value = integer(number, limit, f"value of {field.name}")
    if not slash:
        return value, field.ones
    within = integer(mask, _bytes(field), f"mask of {field.name}")
    if within == _bytes(field):
        return value, field.ones  # all ones of the bytes that OVS keeps the field in
    return value, integer(mask, field.ones, f"mask of {field.name}")


def _bytes(field: Field) -> int:
    """All ones of the whole bytes (1, 2, 4 ...) in which OVS keeps the field."""
    size = 1
    while size * 8 < max(field.width, field.wire_width):
        size *= 2
    return (1 << size * 8) - 1


def _mac(text: str, field: Field) -> tuple[int, int]:
    address, slash, mask = text.partition("/")
    return mac(address), mac(mask) if slash else field.ones


def _packet_type(text: str, field: Field) -> tuple[int, int]:
    found = _PACKET_TYPE.match(text)
    if found is None:
        raise InputError("this is not a packet type", token=text, expected="(NAMESPACE,TYPE)")
    return integer(found[1], 0xFFFF) << 16 | integer(found[2], 0xFFFF), field.ones


_READERS: Final[dict[Format, Callable[[str, Field], tuple[int, int]]]] = {
    Format.DECIMAL: _number,
    Format.HEX: _number,
    Format.ETHERNET: _mac,
    Format.IPV4: lambda text, field: _address(text, 32, ipv4),
    Format.IPV6: lambda text, field: _address(text, 128, ipv6),
    Format.FRAG: _frag,
    Format.CT_STATE: _flags,
    Format.TCP_FLAGS: _flags,
    Format.TUN_FLAGS: _flags,
    Format.PACKET_TYPE: _packet_type,
}


@lru_cache(maxsize=65536)
def _read(name: str, text: str) -> tuple[int, int]:
    field = FIELDS[name]
    value, mask = _READERS[field.format](text, field)
    if not field.maskable and mask not in (0, field.ones):
        raise InputError(f"{field.name} takes no mask", token=text)
    return value, mask


def read_value(field: Field, text: str, ports: Ports = NO_PORTS) -> tuple[int, int]:
    """(value, mask) that `text` gives to `field`; ``*`` matches anything.

    Raises InputError. Source: OVS lib/meta-flow.c mf_parse.
    """
    if text == "*":
        return 0, 0
    if field.format is Format.PORT:
        return port(text, ports), field.ones
    return _read(field.name, text)


def _write_number(field: Field, value: int, mask: int) -> str:
    decimal = field.format is Format.DECIMAL
    text = str(value) if decimal else hexadecimal(value)
    return text if mask == field.ones else f"{text}/{hexadecimal(mask)}"


def _write_mac(value: int, mask: int, ones: int) -> str:
    return format_mac(value) if mask == ones else f"{format_mac(value)}/{format_mac(mask)}"


def format_value(field: Field, value: int, mask: int) -> str:
    """A value of a field as ``set_field`` prints it (OVS lib/meta-flow.c mf_format)."""
    kind = field.format
    if mask == 0:
        return "ANY"
    if kind is Format.PORT:
        return format_port(value)
    if kind is Format.ETHERNET:
        return _write_mac(value, mask, field.ones)
    if kind is Format.IPV4:
        return _format_address(value, mask, 32, format_ipv4)
    if kind is Format.IPV6:
        return _format_address(value, mask, 128, format_ipv6)
    if kind is Format.FRAG:
        return format_frag(value, mask)
    if kind in _FLAG_NAMES:
        return format_flags(value, mask, _FLAG_NAMES[kind], field.ones)
    if kind is Format.PACKET_TYPE:
        return f"({value >> 16},{value & 0xFFFF:#x})"
    return _write_number(field, value, mask)
