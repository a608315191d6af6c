"""The layouts of flow mods and of what is said of flows that are gone (sources: see forms.py)."""

from __future__ import annotations

from typing import Final

from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.buffer import Reader, pad8, padded
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.layout import (
    Actions,
    Context,
    Form,
    Instructions,
    NxMatch,
    Of10Match,
    OxmMatch,
    Row,
    Values,
    Writer,
    named,
)
from ovsct.openflow.wire.numbers import COOKIE_NONE, GROUP_ANY, OF10, OF14, TABLE_ALL

_NANO: Final = 1_000_000_000

_FLAGS10: Final = {"send_flow_rem": 1, "check_overlap": 2}
_FLAGS13: Final = {
    **_FLAGS10, "reset_counts": 4, "no_packet_counts": 8, "no_byte_counts": 16,
}  # fmt: skip
_EMERGENCY: Final = 4


def flags_in(values: Values, version: int) -> None:
    """The bits of a flow's flags as names; raises WireError for others."""
    known = _FLAGS10 if version == OF10 else _FLAGS13
    if values["flags"] & ~sum(known.values()):
        raise WireError("OFPFMFC_BAD_FLAGS", f"flags {values['flags']:#x}")
    values["flags"] = frozenset(name for name, bit in known.items() if values["flags"] & bit)


def flags_out(values: Values, version: int) -> None:
    """Names of flags as bits; what a version has no bit for is left out."""
    known = _FLAGS10 if version == OF10 else _FLAGS13
    values["flags"] = sum(known.get(name, 0) for name in values["flags"])


def _flow_mod10_in(values: Values, context: Context) -> None:
    """Both flow mods of 1.0: the table may stand in the command, and the flags are fewer."""
    command = values["command"]
    values["table"] = TABLE_ALL
    if context.table_ids:
        command, values["table"] = command & 0xFF, command >> 8
    values["command"] = command
    named(values, "command", m.COMMANDS, "OFPFMFC_BAD_COMMAND")
    values["modify_cookie"] = values["new_cookie"] != COOKIE_NONE
    if values["flags"] & _EMERGENCY:
        timed = values["idle_timeout"] or values["hard_timeout"]
        raise WireError("OFPFMFC_BAD_EMERG_TIMEOUT" if timed else "OFPFMFC_TABLE_FULL")
    flags_in(values, OF10)
    if values["command"] == "add":
        # In 1.0 an add always resets the counters.
        values["flags"] |= {"reset_counts"}


def _nx_flow_mod_in(values: Values, context: Context) -> None:
    _flow_mod10_in(values, context)
    if values["command"] == "add" and values["cookie_mask"]:
        raise WireError("NXBRC_NXM_INVALID", "an add that asks for a cookie")


def _std_flow_mod_in(values: Values, context: Context) -> None:
    _flow_mod10_in(values, context)
    if values["exact"]:
        values["priority"] = 0xFFFF


def _flow_mod10_out(values: Values, context: Context) -> None:
    values["command"] = m.COMMANDS.index(values["command"])
    if context.table_ids:
        values["command"] |= values["table"] << 8
    flags_out(values, OF10)


def _flow_mod13_in(values: Values, context: Context) -> None:
    named(values, "command", m.COMMANDS, "OFPFMFC_BAD_COMMAND")
    deletes = values["command"].startswith("delete")
    if values["command"] == "add":
        values["new_cookie"], values["cookie"], values["cookie_mask"] = values["cookie"], 0, 0
    else:
        values["new_cookie"] = COOKIE_NONE
    if values["table"] == TABLE_ALL and not deletes:
        raise WireError("OFPFMFC_BAD_TABLE_ID", "table 255 is for deleting")
    if not deletes:
        values["out_group"] = GROUP_ANY
    if context.version < OF14 or values["command"] != "add":
        values["importance"] = 0
    flags_in(values, context.version)


def _flow_mod13_out(values: Values, context: Context) -> None:
    if values["command"] == "add":
        values["cookie"] = values["new_cookie"]
    elif values["table"] == TABLE_ALL and not values["command"].startswith("delete"):
        values["table"] = 0
    values["command"] = m.COMMANDS.index(values["command"])
    if context.version < OF14:
        values["importance"] = 0
    flags_out(values, context.version)


FLOW_MOD10: Final = Form(
    m.FlowMod,
    [
        Of10Match(),
        Row("new_cookie:Q command:H idle_timeout:H hard_timeout:H priority:H buffer_id:I"
            " out_port:H flags:H"),
        Actions(),
    ],
    _std_flow_mod_in,
    _flow_mod10_out,
)  # fmt: skip
NX_FLOW_MOD: Final = Form(
    m.FlowMod,
    [
        Row("new_cookie:Q command:H idle_timeout:H hard_timeout:H priority:H buffer_id:I"
            " out_port:H flags:H match_len:H 6x"),
        NxMatch(cookie=True),
        Actions(),
    ],
    _nx_flow_mod_in,
    _flow_mod10_out,
    variant="nx",
)  # fmt: skip
FLOW_MOD13: Final = Form(
    m.FlowMod,
    [
        Row("cookie:Q cookie_mask:Q table:B command:B idle_timeout:H hard_timeout:H priority:H"
            " buffer_id:I out_port:port out_group:I flags:H importance:H"),
        OxmMatch(),
        Instructions(),
    ],
    _flow_mod13_in,
    _flow_mod13_out,
)  # fmt: skip


_UNKNOWN: Final = 0xFFFFFFFF


def duration_in(values: Values, _: Context) -> None:
    """Seconds and nanoseconds as nanoseconds; all ones: None, not known."""
    sec, nsec = values.pop("sec"), values.pop("nsec")
    values["duration"] = None if sec == nsec == _UNKNOWN else sec * _NANO + nsec


def duration_out(values: Values, _: Context) -> None:
    """The other way round."""
    if values["duration"] is None:
        values["sec"] = values["nsec"] = _UNKNOWN
    else:
        values["sec"], values["nsec"] = divmod(values["duration"], _NANO)


class Oxs:
    """Statistics as OpenFlow 1.5 has them, each behind a header (OVS lib/ox-stat.c).

    Those of `names` are there; one that is None is not known, and not written.
    """

    __slots__ = ("names",)

    def __init__(self, *names: str) -> None:
        self.names = names

    def pull(self, reader: Reader, values: Values, _context: Context) -> None:
        """Read. Raises WireError: it is not whole. Statistics that are not known are passed."""
        values.update(dict.fromkeys(self.names))
        reader.skip(2, _BAD)
        length = reader.number(2, _BAD)
        part = reader.part(padded(length) - 4, _BAD)
        part.end = part.pos + length - 4
        while part.left > 0:
            header = part.number(4, _BAD)
            body = part.take(header & 0xFF, _BAD)
            name = _OXS_BY_HEADER.get(header)
            if name in self.names:
                number = int.from_bytes(body, "big")
                if name == "duration":
                    number = (number >> 32) * _NANO + (number & 0xFFFFFFFF)
                values[name] = number >> 32 if name == "idle_age" else number

    def put(self, values: Values, writer: Writer, _context: Context) -> None:
        """Write."""
        data = b""
        for name, header in _OXS.items():
            number = values.get(name) if name in self.names else None
            if number is None or (name in _COUNTS and number == COOKIE_NONE):
                continue
            if name == "duration":
                sec, nsec = divmod(number, _NANO)
                number = sec << 32 | nsec
            elif name == "idle_age":
                number <<= 32
            data += header.to_bytes(4, "big") + number.to_bytes(header & 0xFF, "big")
        writer.buf += pad8(bytes(2) + (len(data) + 4).to_bytes(2, "big") + data)


_BAD: Final = "OFPBMC_BAD_LEN"
_OXS: Final = {
    "duration": 0x80020008, "idle_age": 0x80020208, "packet_count": 0x80020808,
    "byte_count": 0x80020A08, "flow_count": 0x80020604,
}  # fmt: skip
_OXS_BY_HEADER: Final = {header: name for name, header in _OXS.items()}
_COUNTS: Final = ("packet_count", "byte_count")


def _removed_in(values: Values, context: Context) -> None:
    duration_in(values, context)
    named(values, "reason", m.REMOVED, "OFPBRC_BAD_LEN")


def _reason_out(values: Values, context: Context) -> None:
    reason = values["reason"]
    if reason == "meter_delete" and context.version < OF14:
        reason = "delete"
    values["reason"] = m.REMOVED.index(reason)


def _removed_out(values: Values, context: Context) -> None:
    duration_out(values, context)
    _reason_out(values, context)


def _removed15_in(values: Values, _: Context) -> None:
    named(values, "reason", m.REMOVED, "OFPBRC_BAD_LEN")


def _nx_removed_in(values: Values, context: Context) -> None:
    _removed_in(values, context)
    values["table"] = (values["table"] or 256) - 1


def _nx_removed_out(values: Values, context: Context) -> None:
    _removed_out(values, context)
    values["table"] += 1


REMOVED10: Final = Form(
    m.FlowRemoved,
    [
        Of10Match(),
        Row("cookie:Q priority:H reason:B 1x sec:I nsec:I idle_timeout:H 2x packet_count:Q"
            " byte_count:Q"),
    ],
    _removed_in,
    _removed_out,
)  # fmt: skip
NX_REMOVED: Final = Form(
    m.FlowRemoved,
    [
        Row("cookie:Q priority:H reason:B table:B sec:I nsec:I idle_timeout:H match_len:H"
            " packet_count:Q byte_count:Q"),
        NxMatch(),
    ],
    _nx_removed_in,
    _nx_removed_out,
    variant="nx",
)  # fmt: skip
REMOVED13: Final = Form(
    m.FlowRemoved,
    [
        Row("cookie:Q priority:H reason:B table:B sec:I nsec:I idle_timeout:H hard_timeout:H"
            " packet_count:Q byte_count:Q"),
        OxmMatch(),
    ],
    _removed_in,
    _removed_out,
)  # fmt: skip
REMOVED15: Final = Form(
    m.FlowRemoved,
    [
        Row("table:B reason:B priority:H idle_timeout:H hard_timeout:H cookie:Q"),
        OxmMatch(),
        Oxs("duration", "packet_count", "byte_count"),
    ],
    _removed15_in,
    _reason_out,
)
