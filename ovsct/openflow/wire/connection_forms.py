"""The layouts of what a connection is about: roles, what it is told, bundles (sources: forms.py;
lib/ofp-connection.c, lib/ofp-bundle.c).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.layout import Context, Data, Form, Passed, Row, Values, Writer, named
from ovsct.openflow.wire.numbers import COOKIE_NONE, OF13, OF14
from ovsct.openflow.wire.properties import Properties, each_property, put_property

# Roles -----------------------------------------------------------------------------------------


def _role_in(values: Values, _: Context) -> None:
    named(values, "role", m.ROLES, "OFPRRFC_BAD_ROLE")
    if values["role"] in ("nochange", "equal"):
        values["generation_id"] = COOKIE_NONE


def _role_out(values: Values, _: Context) -> None:
    values["role"] = m.ROLES.index(values["role"])


def _nx_role_in(values: Values, _: Context) -> None:
    named(values, "role", m.ROLES[1:], "OFPRRFC_BAD_ROLE")


def _nx_role_out(values: Values, _: Context) -> None:
    values["role"] = max(m.ROLES.index(values["role"]) - 1, 0)


def role(make: type) -> Form:
    """A role request or its reply."""
    return Form(make, [Row("role:I 4x generation_id:Q")], _role_in, _role_out)


def nx_role(make: type) -> Form:
    """Nicira's."""
    return Form(make, [Row("role:I")], _nx_role_in, _nx_role_out, variant="nx")


def _status_in(values: Values, _: Context) -> None:
    named(values, "role", m.ROLES, "OFPRRFC_BAD_ROLE")
    named(values, "reason", m.ROLE_REASONS, "OFPRRFC_BAD_ROLE")


def _status_out(values: Values, _: Context) -> None:
    values["role"] = m.ROLES.index(values["role"])
    values["reason"] = m.ROLE_REASONS.index(values["reason"])


ROLE_STATUS: Final = Form(
    m.RoleStatus,
    [Row("role:I reason:B 3x generation_id:Q"), Properties({})],
    _status_in,
    _status_out,
)

# What a connection is told ---------------------------------------------------------------------


class _Kind(NamedTuple):
    """A kind of asynchronous message: the bits it may have until 1.3 and from 1.4 on."""

    name: str
    bits10: int
    bits14: int


_KINDS: Final = (
    _Kind("packet_in", 0b111, 0b111111),
    _Kind("port_status", 0b111, 0b111),
    _Kind("flow_removed", 0b111111, 0b111111),
    _Kind("role_status", 0b111, 0b111),
    _Kind("table_status", 0b11000, 0b11000),
    _Kind("requestforward", 0b11, 0b11),
)
_LEGACY: Final = _KINDS[:3]
EXPLICIT_MISS, IMPLICIT_MISS = 6, 7
"""Reasons of a packet-in inside OVS: a flow of the lowest priority sent it, or there was none."""


def _allowed(kind: _Kind, version: int) -> int:
    return kind.bits14 if version >= OF14 else kind.bits10


def _wanted(kind: _Kind, bits: int, version: int) -> int:
    """Bits off the wire as they are kept (OVS decode_async_mask())."""
    if kind.name == "packet_in" and bits & 1:
        bits |= 1 << EXPLICIT_MISS
        if version < OF13:
            bits |= 1 << IMPLICIT_MISS
    return bits


def _async_in(values: Values, context: Context) -> None:
    for kind in _LEGACY:
        allowed = _allowed(kind, context.version)
        values[kind.name] = tuple(
            _wanted(kind, values[f"{kind.name}{which}"] & allowed, context.version)
            for which in (0, 1)
        )
    for kind in _KINDS[3:]:
        values[kind.name] = (0, 0)


def _async_out(values: Values, context: Context) -> None:
    for kind in _LEGACY:
        for which, bits in enumerate(values[kind.name]):
            values[f"{kind.name}{which}"] = bits & _allowed(kind, context.version)


_ASYNC_ROW: Final = Row(" ".join(f"{kind.name}0:I {kind.name}1:I" for kind in _LEGACY))


class AsyncProperties:
    """Each kind as a pair, master or equal and slave; None: nothing is said of it."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        """Read. Raises WireError."""
        found: dict[str, list[int | None]] = {kind.name: [None, None] for kind in _KINDS}
        for number, body in each_property(reader, 0xFFFE):
            if not isinstance(number, int):
                raise WireError("OFPBPC_BAD_EXP_TYPE", f"property {number}")
            if number >= 2 * len(_KINDS):
                raise WireError("OFPACFC_UNSUPPORTED", f"property {number}")
            kind = _KINDS[number >> 1]
            if body.left != 4:
                raise WireError("OFPBPC_BAD_LEN", f"property {number} of {body.left} bytes")
            bits = body.number(4)
            if bits & ~_allowed(kind, context.version):
                raise WireError("OFPACFC_INVALID", f"{kind.name} {bits:#x}")
            found[kind.name][not number & 1] = _wanted(kind, bits, context.version)
        values.update({name: tuple(pair) for name, pair in found.items()})

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        """Write."""
        for number, kind in enumerate(_KINDS):
            for secondary in (True, False):
                bits = values[kind.name][secondary]
                if bits is not None:
                    bits &= _allowed(kind, context.version)
                    writer.buf += put_property(
                        2 * number + (not secondary), bits.to_bytes(4, "big")
                    )


def legacy_async(make: type, variant: str = "") -> Form:
    """All that can be said until 1.3."""
    return Form(make, [_ASYNC_ROW], _async_in, _async_out, variant=variant)


def async_properties(make: type, variant: str = "") -> Form:
    """All that can be said from 1.4 on."""
    return Form(make, [AsyncProperties()], variant=variant)


# Settings, bundles -----------------------------------------------------------------------------


def _controller_id_in(values: Values, _: Context) -> None:
    if values["zero_high"] or values["zero_low"]:
        raise WireError("NXBRC_MUST_BE_ZERO", "padding that is not zero")


CONTROLLER_ID: Final = Form(
    m.SetControllerId, [Row("zero_high:I zero_low:H controller_id:H")], _controller_id_in
)


def _bundle_in(values: Values, _: Context) -> None:
    named(values, "step", m.BUNDLE_STEPS, "OFPBFC_BAD_TYPE")


def _bundle_out(values: Values, _: Context) -> None:
    values["step"] = m.BUNDLE_STEPS.index(values["step"])


BUNDLE_CONTROL: Final = Form(
    m.BundleControl, [Row("bundle_id:I step:H flags:H"), Passed()], _bundle_in, _bundle_out
)
BUNDLE_ADD: Final = Form(m.BundleAdd, [Row("bundle_id:I 2x flags:H"), Data("message")])
REQUESTFORWARD: Final = Form(m.RequestForward, [Data("message")])


def _zone_in(values: Values, _: Context) -> None:
    if values["zero_high"] or values["zero_low"]:
        raise WireError("NXBRC_MUST_BE_ZERO", "padding that is not zero")


FLUSH_ZONE: Final = Form(m.FlushZone, [Row("zero_high:I zero_low:H zone:H")], _zone_in)
