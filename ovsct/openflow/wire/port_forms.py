"""The layouts of what is said of ports and queues (sources: see forms.py; lib/ofp-port.c)."""

from __future__ import annotations

from typing import Any, Final

from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.flow_forms import duration_in, duration_out
from ovsct.openflow.wire.layout import Context, Form, Row, Values, Writer, named
from ovsct.openflow.wire.numbers import INTEL_VENDOR, OF10, OF14
from ovsct.openflow.wire.properties import Kind, Properties

_FEATURES_LOW: Final = 0x7F
_MEDIA: Final = ((7, 11), (8, 12), (9, 13), (10, 14), (11, 15))
"""Bits that mean the same in 1.0 and in 1.1+ under other numbers."""

_STATES10: Final = 1


def _features_in(bits: int) -> int:
    return bits & _FEATURES_LOW | sum(1 << new for old, new in _MEDIA if bits >> old & 1)


def _features_out(bits: int) -> int:
    return bits & _FEATURES_LOW | sum(1 << old for old, new in _MEDIA if bits >> new & 1)


_FEATURES: Final = ("curr", "advertised", "supported", "peer")
_ETHERNET: Final = "curr:I advertised:I supported:I peer:I"


def _port10_in(values: Values, _: Context) -> None:
    for name in _FEATURES:
        values[name] = _features_in(values[name])


def _port10_out(values: Values, _: Context) -> None:
    values["port_no"] &= 0xFFFF
    values["state"] = values["state"] & _STATES10
    for name in _FEATURES:
        values[name] = _features_out(values[name])


PORT10: Final = Form(
    m.PortDesc,
    [Row(f"port_no:H hw_addr:mac name:16s config:I state:I {_ETHERNET}")],
    _port10_in,
    _port10_out,
)
_CONFIG11: Final = 0b1100101
_CONFIG10: Final = 0b1111111
"""Bits of a port's configuration in 1.1+ (OFPPC11_ALL) and in 1.0."""


def _port11_out(values: Values, _: Context) -> None:
    values["config"] &= _CONFIG11


PORT11: Final = Form(
    m.PortDesc,
    [Row("port_no:port 4x hw_addr:mac 2x name:16s config:I state:I"
         f" {_ETHERNET} curr_speed:I max_speed:I")],
    outward=_port11_out,
)  # fmt: skip
PORT14: Final = Form(
    m.PortDesc,
    [
        Row("port_no:port length:H 2x hw_addr:mac 2x name:16s config:I state:I"),
        Properties({0: Row(f"4x {_ETHERNET} curr_speed:I max_speed:I")}),
    ],
    outward=_port11_out,
    length_at=4,
)


def port_form(version: int) -> Form:
    """How a version says a port."""
    return PORT10 if version == OF10 else PORT11 if version < OF14 else PORT14


class OnePort:
    """``port``: one port at the end of a message."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        """Read."""
        values["port"] = port_form(context.version).pull(reader, context)

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        """Write."""
        writer.buf += port_form(context.version).put(values["port"], context)


def _port_status_in(values: Values, _: Context) -> None:
    named(values, "reason", m.PORT_REASONS, "NXBRC_BAD_REASON")


def _port_status_out(values: Values, _: Context) -> None:
    values["reason"] = m.PORT_REASONS.index(values["reason"])


PORT_STATUS: Final = Form(
    m.PortStatus, [Row("reason:B 7x"), OnePort()], _port_status_in, _port_status_out
)

def _port_mod_in(values: Values, context: Context) -> None:
    known = _CONFIG10 if context.version == OF10 else _CONFIG11
    values["config"] &= known
    values["mask"] &= known


_BITS: Final = "config:I mask:I"
PORT_MOD10: Final = Form(
    m.PortMod, [Row(f"port_no:H hw_addr:mac {_BITS} advertise:I 4x")], _port_mod_in
)
PORT_MOD11: Final = Form(
    m.PortMod, [Row(f"port_no:port 4x hw_addr:mac 2x {_BITS} advertise:I 4x")], _port_mod_in
)
PORT_MOD14: Final = Form(
    m.PortMod,
    [Row(f"port_no:port 4x hw_addr:mac 2x {_BITS}"), Properties({0: Row("advertise:I")})],
    _port_mod_in,
)

# Counters --------------------------------------------------------------------------------------

_COUNTERS: Final = (
    "rx_packets:Q tx_packets:Q rx_bytes:Q tx_bytes:Q rx_dropped:Q tx_dropped:Q rx_errors:Q"
    " tx_errors:Q"
)
_ERRORS: Final = "rx_frame_err:Q rx_over_err:Q rx_crc_err:Q collisions:Q"
_RFC2819: Final = (INTEL_VENDOR, 1)
_CUSTOM: Final = (INTEL_VENDOR, 2)
"""Counters by the length of frames, and those that one kind of port has (OVS
include/openflow/intel-ext.h).
"""

PORT_STATS10: Final = Form(s.PortStats, [Row(f"port_no:H 6x {_COUNTERS} {_ERRORS}")])
PORT_STATS13: Final = Form(
    s.PortStats,
    [Row(f"port_no:port 4x {_COUNTERS} {_ERRORS} sec:I nsec:I")],
    duration_in,
    duration_out,
)


def _by_length_in(values: Values, context: Context) -> None:
    duration_in(values, context)
    if "more0" in values:
        values["by_length"] = tuple(values[f"more{n}"] for n in range(s.N_BY_LENGTH))


def _by_length_out(values: Values, context: Context) -> None:
    duration_out(values, context)
    values.update({f"more{n}": count for n, count in enumerate(values["by_length"])})


class CustomCounters:
    """``custom``: counters with names."""

    __slots__ = ()
    size: Final = 4

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
        """Read."""
        reader.skip(2)
        found = []
        for _ in range(reader.number(2)):
            name = reader.take(reader.number(1, "OFPBPC_BAD_LEN"), "OFPBPC_BAD_LEN")
            found.append((name.decode(errors="replace"), reader.number(8, "OFPBPC_BAD_LEN")))
        values["custom"] = tuple(found)

    def put(self, values: Values, writer: Writer, _context: Context) -> None:
        """Write."""
        writer.buf += bytes(2) + len(values["custom"]).to_bytes(2, "big")
        for name, count in values["custom"]:
            writer.buf += len(name).to_bytes(1, "big") + name.encode() + count.to_bytes(8, "big")


def _is_said(kind: Kind, values: Values) -> bool:
    return kind != _CUSTOM or bool(values["custom"])


PORT_STATS14: Final = Form(
    s.PortStats,
    [
        Row(f"length:H 2x port_no:port sec:I nsec:I {_COUNTERS}"),
        Properties({
            0: Row(f"4x {_ERRORS}"),
            _RFC2819: Row("4x " + " ".join(f"more{n}:Q" for n in range(s.N_BY_LENGTH))),
            _CUSTOM: CustomCounters(),
        }, _is_said),
    ],
    _by_length_in,
    _by_length_out,
    length_at=0,
)  # fmt: skip

# Queues ----------------------------------------------------------------------------------------

_QUEUE: Final = "queue_id:I tx_bytes:Q tx_packets:Q tx_errors:Q"
QUEUE10: Final = Form(s.QueueStats, [Row(f"port_no:H 2x {_QUEUE}")])
QUEUE13: Final = Form(
    s.QueueStats, [Row(f"port_no:port {_QUEUE} sec:I nsec:I")], duration_in, duration_out
)
QUEUE14: Final = Form(
    s.QueueStats,
    [Row(f"length:H 6x port_no:port {_QUEUE} sec:I nsec:I")],
    duration_in,
    duration_out,
    length_at=0,
)

_UNKNOWN_RATE: Final = 0xFFFF


class QueueRates:
    """``min_rate`` and ``max_rate``, in 1/10 %, as the properties of 1.0 to 1.3."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
        """Read."""
        values["min_rate"] = values["max_rate"] = None
        while reader.left:
            kind, length = reader.number(2), reader.number(2)
            body = reader.part(length - 4)
            body.skip(4)
            if kind in (1, 2):
                values["min_rate" if kind == 1 else "max_rate"] = body.number(2)

    def put(self, values: Values, writer: Writer, _context: Context) -> None:
        """Write."""
        for kind, name in ((1, "min_rate"), (2, "max_rate")):
            if values[name] is not None:
                head = kind.to_bytes(2, "big") + (16).to_bytes(2, "big") + bytes(4)
                writer.buf += head + values[name].to_bytes(2, "big") + bytes(6)


def _said(kind: Any, values: Values) -> bool:
    return values["min_rate" if kind == 1 else "max_rate"] is not None


PACKET_QUEUE10: Final = Form(
    m.QueueDesc, [Row("queue_id:I length:H 2x"), QueueRates()], length_at=4
)
PACKET_QUEUE12: Final = Form(
    m.QueueDesc, [Row("queue_id:I port_no:port length:H 6x"), QueueRates()], length_at=8
)
QUEUE_DESC14: Final = Form(
    m.QueueDesc,
    [
        Row("port_no:port queue_id:I length:H 6x"),
        Properties({1: Row("min_rate:H 2x"), 2: Row("max_rate:H 2x")}, _said),
    ],
    length_at=8,
)
