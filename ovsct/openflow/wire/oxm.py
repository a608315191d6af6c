"""NXM and OXM: a field's header, its value, and its mask (OVS lib/nx-match.c).

A header has 32 bits: class, field number, whether a mask follows, and how many bytes follow. The
class 0xffff is followed by the number of an experimenter.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ovsct.openflow.actions import OFPP_MAX
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import NX_VENDOR, OF10, OF15, ONF_VENDOR, VERSIONS
from ovsct.packet.fields import CT_STATE_NAMES, FIELDS, NXM_NX, NXM_OF, PRESENT_BIT, Field, Format

EXPERIMENTER_CLASS: Final = 0xFFFF
_ERIC: Final = 0x1000
_NSH_VENDOR: Final = 0x005AD650
_SIZES: Final = {
    "ct_state": 4, "ipv6_label": 4, "mpls_label": 4, "tun_flags": 2, "in_port": 2,
    "tun_erspan_idx": 4, "nsh_spi": 4,
}
"""Bytes of the fields that have more or fewer of them than their width needs."""

COOKIE: Final = 0x00013C08
"""NXM_NX_COOKIE, which stands among the matches of Nicira's messages."""

_MORE: Final = {
    "dp_hash": ((EXPERIMENTER_CLASS, 0, NX_VENDOR),),
    "actset_output": ((EXPERIMENTER_CLASS, 43, ONF_VENDOR),),
    "tcp_flags": ((EXPERIMENTER_CLASS, 42, ONF_VENDOR),),
    **{
        f"tun_{name}": ((EXPERIMENTER_CLASS, number, NX_VENDOR),)
        for number, name in enumerate(
            ("erspan_idx", "erspan_ver", "erspan_dir", "erspan_hwid", "gtpu_flags",
             "gtpu_msgtype"), 11
        )
    },
    **{
        f"nsh_{name}": ((EXPERIMENTER_CLASS, number, _NSH_VENDOR),)
        for number, name in enumerate(
            ("flags", "mdtype", "np", "spi", "si", "c1", "c2", "c3", "c4", "ttl"), 1
        )
    },
    "nd_reserved": ((_ERIC, 1, 0),),
    "nd_options_type": ((_ERIC, 2, 0),),
}
"""Numbers that the registry has not: those of experimenters."""


class Head(NamedTuple):
    """A header without its mask bit: class, number, vendor; and the bytes of a value."""

    kind: int
    number: int
    vendor: int
    size: int

    def pack(self, masked: bool) -> bytes:
        """The header's bytes, for a value alone or for one with a mask."""
        length = self.size << masked
        if self.vendor:
            length += 4
        head = self.kind << 16 | self.number << 9 | masked << 8 | length
        data = head.to_bytes(4, "big")
        return data + self.vendor.to_bytes(4, "big") if self.vendor else data


def _size(field: Field) -> int:
    return _SIZES.get(field.name) or (max(field.wire_width, field.width) + 7) // 8


def _heads(field: Field) -> list[Head]:
    size = _size(field)
    return [
        *(Head(kind, number, 0, size) for kind, number in field.numbers),
        *(Head(kind, number, vendor, size) for kind, number, vendor in _MORE.get(field.name, ())),
    ]


_ALL: Final = {name: heads for name, field in FIELDS.items() if (heads := _heads(field))}
BY_HEAD: Final = {
    (head.kind, head.number, head.vendor): (FIELDS[name], head)
    for name, heads in _ALL.items()
    for head in heads
}
"""Field and header by class, number and vendor."""


def _for_nxm(heads: list[Head]) -> Head:
    return min(heads, key=lambda head: (head.kind not in (NXM_OF, NXM_NX), head.kind))


def _for_oxm(name: str, heads: list[Head], version: int) -> Head:
    if name in ("tcp_flags", "actset_output") and version < OF15:
        return next(head for head in heads if head.vendor == ONF_VENDOR)
    return min(heads, key=lambda head: (head.vendor != 0, -head.kind))


HEADS: Final = {
    **{(name, 0): _for_nxm(heads) for name, heads in _ALL.items()},
    **{
        (name, version): _for_oxm(name, heads, version)
        for name, heads in _ALL.items()
        for version in VERSIONS
        if version != OF10
    },
}
"""The header of each field by its name and the version of OXM (0: NXM)."""


def port_from_wire(number: int) -> int:
    """A port of OpenFlow 1.1+, 32 bits, as the 16 bits that are used inside.

    Raises WireError. Source: OVS lib/ofp-port.c ofputil_port_from_ofp11().
    """
    if number < OFPP_MAX:
        return number
    if number >= 0xFFFFFF00:
        return number - 0xFFFF0000
    raise WireError("OFPBAC_BAD_OUT_PORT", f"port {number:#x} is out of range")


def port_to_wire(number: int) -> int:
    """The other way round."""
    return number + 0xFFFF0000 if number >= OFPP_MAX else number


def pull_header(reader: Reader, action: bool) -> tuple[Field | None, int, bool, int]:
    """(field, bytes of a value, whether a mask follows, header); the field None is the cookie.

    Raises WireError: it is not whole, or no field that is known (`action` decides what to call
    that).
    """
    header = reader.number(4, "OFPBMC_BAD_LEN")
    kind, number = header >> 16, header >> 9 & 0x7F
    masked, length = bool(header >> 8 & 1), header & 0xFF
    vendor = 0
    if kind == EXPERIMENTER_CLASS:
        vendor = reader.number(4, "OFPBMC_BAD_LEN")
        length -= 4
        if length < 0:
            raise WireError("OFPBMC_BAD_LEN", f"OXM header {header:#010x}")
    size = length >> masked
    known = BY_HEAD.get((kind, number, vendor))
    if known is not None and (
        known[1].size == size or (known[0].name in PRESENT_BIT and size <= known[1].size)
    ):
        return known[0], size, masked, header
    if header & ~0x1FF == COOKIE & ~0x1FF and size == 8:
        return None, size, masked, header
    what = f"OXM or NXM header {header:#010x}"
    if not action:
        raise WireError("OFPBMC_BAD_FIELD", what)
    raise WireError("OFPBAC_BAD_SET_LEN" if known else "OFPBAC_BAD_SET_TYPE", what)


def pull_field(reader: Reader) -> Field:
    """The field of a header that stands alone, in an action (OVS nx_pull_header()).

    Raises WireError.
    """
    field, _, masked, header = pull_header(reader, True)
    if field is None:
        raise WireError("OFPBAC_BAD_SET_TYPE", "the cookie is no field")
    if masked:
        raise WireError("OFPBMC_BAD_MASK", f"header {header:#010x} calls for a mask")
    return field


def pull_field_mask(reader: Reader) -> tuple[Field, int]:
    """A field and a mask for it, in the place of a value (OVS oxm_pull_field_array()).

    Raises WireError.
    """
    field, size, masked, header = pull_header(reader, False)
    if field is None or masked:
        raise WireError("OFPBMC_BAD_FIELD", f"header {header:#010x} among the fields of a hash")
    mask = int.from_bytes(reader.take(size, "OFPBMC_BAD_LEN"), "big")
    if not field.maskable and mask not in (0, (1 << 8 * size) - 1):
        raise WireError("OFPBMC_BAD_MASK", f"{field.name} takes no mask")
    return field, mask & field.ones


_CT_STATES: Final = sum(bit for _, bit in CT_STATE_NAMES)
_LIMITS: Final = {"ct_state": _CT_STATES, "arp_op": 0xFF}


def limit_of(field: Field) -> int:
    """The highest value that a field has on the wire."""
    return _LIMITS.get(field.name, field.ones)


def _value(field: Field, value: int) -> int:
    """A value off the wire as the field's own; raises WireError if it cannot be one."""
    if field.format is Format.PORT and field.name != "in_port":
        try:
            return port_from_wire(value)
        except WireError as error:
            raise WireError("OFPBMC_BAD_VALUE", error.detail) from None
    if value > limit_of(field):
        raise WireError("OFPBMC_BAD_VALUE", f"{value:#x} is no value of {field.name}")
    return value


def pull_value(
    reader: Reader, field: Field, size: int, masked: bool, *, maskable: bool
) -> tuple[int, int]:
    """(value, mask) behind a header, both the field's own.

    Raises WireError: it is not whole, has bits outside its mask, or has a mask that it may not.
    """
    payload = reader.take(size << masked, "OFPBMC_BAD_LEN")
    value = int.from_bytes(payload[:size], "big")
    if not masked:
        return _value(field, value), field.ones
    mask = int.from_bytes(payload[size:], "big")
    if value & ~mask:
        raise WireError("OFPBMC_BAD_WILDCARDS", f"{field.name}: {value:#x}/{mask:#x}")
    whole = mask == (1 << 8 * size) - 1
    if not maskable or not (field.maskable or whole or not mask):
        raise WireError("OFPBMC_BAD_MASK", f"{field.name} takes no mask")
    if field.name in PRESENT_BIT:
        whole = False
    return _value(field, value), field.ones if whole else mask & field.ones


def put_header(field: Field, version: int) -> bytes:
    """The header of a field that stands alone; `version` 0 is NXM.

    Raises WireError: there is no number for it.
    """
    return _head(field, version).pack(False)


def put_entry(field: Field, version: int, value: int, mask: int | None = None) -> bytes:
    """Header, value and, if it is not all ones, mask. Raises WireError as put_header() does."""
    head = _head(field, version)
    if field.name in PRESENT_BIT:
        longest = value if mask in (None, field.ones) else max(value, mask or 0)
        head = head._replace(size=(longest.bit_length() + 7) // 8)
    if field.format is Format.PORT and head.size == 4:
        value = port_to_wire(value)
    if mask is None or mask == field.ones:
        return head.pack(False) + value.to_bytes(head.size, "big")
    return (
        head.pack(True) + value.to_bytes(head.size, "big") + mask.to_bytes(head.size, "big")
    )


def _head(field: Field, version: int) -> Head:
    head = HEADS.get((field.name, version))
    if head is None:
        raise WireError("OFPBMC_BAD_FIELD", f"{field.name} has no number in NXM or OXM")
    return head
