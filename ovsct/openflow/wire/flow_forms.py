"""The layouts of flow mods and of what is said of flows that are gone (sources: see forms.py)."""

from __future__ import annotations

from typing import Final

from ovsct.openflow.wire import messages as m
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
    named,
)
from ovsct.openflow.wire.numbers import COOKIE_NONE, GROUP_ANY, OF10, OF13, TABLE_ALL

_NANO: Final = 1_000_000_000

_FLAGS: Final = {
    OF10: {"send_flow_rem": 1, "check_overlap": 2},
    OF13: {
        "send_flow_rem": 1, "check_overlap": 2, "reset_counts": 4, "no_packet_counts": 8,
        "no_byte_counts": 16,
    },
}  # fmt: skip
_EMERGENCY: Final = 4


def flags_in(values: Values, version: int) -> None:
    """The bits of a flow's flags as names; raises WireError for others."""
    known = _FLAGS[version]
    if values["flags"] & ~sum(known.values()):
        raise WireError("OFPFMFC_BAD_FLAGS", f"flags {values['flags']:#x}")
    values["flags"] = frozenset(name for name, bit in known.items() if values["flags"] & bit)


def flags_out(values: Values, version: int) -> None:
    """Names of flags as bits; what a version has no bit for is left out."""
    known = _FLAGS[version]
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


def _flow_mod13_in(values: Values, _: Context) -> None:
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
    values["importance"] = 0
    flags_in(values, OF13)


def _flow_mod13_out(values: Values, _: Context) -> None:
    if values["command"] == "add":
        values["cookie"] = values["new_cookie"]
    elif values["table"] == TABLE_ALL and not values["command"].startswith("delete"):
        values["table"] = 0
    values["command"] = m.COMMANDS.index(values["command"])
    flags_out(values, OF13)


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


def _removed_in(values: Values, context: Context) -> None:
    duration_in(values, context)
    named(values, "reason", m.REMOVED, "OFPBRC_BAD_LEN")


def _removed_out(values: Values, context: Context) -> None:
    duration_out(values, context)
    values["reason"] = m.REMOVED.index(values["reason"])


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
