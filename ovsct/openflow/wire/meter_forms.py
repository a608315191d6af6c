"""The layouts of what is said of meters (sources: see forms.py; lib/ofp-meter.c)."""

from __future__ import annotations

from typing import Final

from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.flow_forms import duration_in, duration_out
from ovsct.openflow.wire.layout import Context, Form, Many, Row, Values, Writer, named

_KINDS: Final = ((1, "drop"), (2, "dscp_remark"))


def _band_in(values: Values, _: Context) -> None:
    if values["length"] != 16:
        raise WireError("OFPBRC_BAD_LEN", f"a band of {values['length']} bytes")
    named(values, "type", dict(_KINDS), "OFPMMFC_BAD_BAND")


def _band_out(values: Values, _: Context) -> None:
    values["type"] = {name: number for number, name in _KINDS}[values["type"]]


_BAND: Final = Form(
    m.MeterBand,
    [Row("type:H length:H rate:I burst_size:I prec_level:B 3x")],
    _band_in,
    _band_out,
    length_at=2,
)
_MANY: Final = Many("bands", _BAND)


class Bands:
    """``bands`` up to the end; OVS does not look at those of a meter that goes."""

    __slots__ = ()

    def pull(self, reader: Reader, values: Values, context: Context) -> None:
        """Read. Raises WireError."""
        named(values, "command", m.METER_COMMANDS, "OFPMMFC_BAD_COMMAND")
        if values["command"] == "delete":
            reader.rest()
            values.update(bands=(), flags=0)
            return
        if values["flags"] & m.KBPS and values["flags"] & m.PKTPS:
            raise WireError("OFPMMFC_BAD_FLAGS", "kilobits and packets at once")
        _MANY.pull(reader, values, context)

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        """Write."""
        _MANY.put(values, writer, context)


def _meter_mod_out(values: Values, _: Context) -> None:
    values["command"] = m.METER_COMMANDS.index(values["command"])


METER_MOD: Final = Form(
    m.MeterMod, [Row("command:H flags:H meter_id:I"), Bands()], None, _meter_mod_out
)
METER_CONFIG: Final = Form(
    s.MeterConfig, [Row("length:H flags:H meter_id:I"), _MANY], length_at=0
)
METER_STATS: Final = Form(
    s.MeterStats,
    [
        Row("meter_id:I length:H 6x flow_count:I packet_count:Q byte_count:Q sec:I nsec:I"),
        Many("bands", Form(s.Counter, [Row("packet_count:Q byte_count:Q")])),
    ],
    duration_in,
    duration_out,
    length_at=4,
)
METER_FEATURES: Final = Form(
    s.MeterFeatures,
    [Row("max_meter:I band_types:I capabilities:I max_bands:B max_color:B 2x")],
)
