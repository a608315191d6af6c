"""The layouts of flow monitors (sources: see forms.py; lib/ofp-monitor.c)."""

from __future__ import annotations

from typing import Any, Final

from ovsct.openflow.actions import OFPP_NONE
from ovsct.openflow.match import Match
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.layout import (
    Context,
    Form,
    Instructions,
    Many,
    NxMatch,
    OxmMatch,
    Row,
    Values,
    Writer,
    named,
)
from ovsct.openflow.wire.numbers import GROUP_ANY, OF13, OF14

# Asking ----------------------------------------------------------------------------------------

_OLD_FLAGS: Final = {
    "initial": 1, "add": 2, "delete": 4, "modify": 8, "actions": 16, "own": 32,
}  # fmt: skip
_NEW_FLAGS: Final = {**_OLD_FLAGS, "own": 64}
_WHEN: Final = frozenset({"add", "delete", "modify"})


def _flags(version: int) -> dict[str, int]:
    return _NEW_FLAGS if version >= OF14 else _OLD_FLAGS


def _flags_in(values: Values, version: int) -> None:
    known, bits = _flags(version), values["flags"]
    found = frozenset(name for name, bit in known.items() if bits & bit)
    if bits & ~sum(known.values()) or not found & _WHEN:
        raise WireError("OFPMOFC_BAD_FLAGS", f"flags of a monitor {bits:#x}")
    values["flags"] = found


def _request_in(values: Values, context: Context) -> None:
    if values["zero_low"] or values.get("zero_high"):
        raise WireError("NXBRC_MUST_BE_ZERO", "padding that is not zero")
    _flags_in(values, context.version)


def _request14_in(values: Values, context: Context) -> None:
    named(values, "command", m.MONITOR_COMMANDS, "OFPMOFC_BAD_COMMAND")
    if values["command"] == "delete":
        values.update(flags=frozenset(), out_port=OFPP_NONE, out_group=GROUP_ANY, table=0xFF)
        values["match"] = Match()
    else:
        _flags_in(values, context.version)


def _request_out(values: Values, context: Context) -> None:
    known = _flags(context.version)
    values["flags"] = sum(known[name] for name in values["flags"])
    values["command"] = m.MONITOR_COMMANDS.index(values["command"])


_REQUEST10: Final = Form(
    s.FlowMonitor,
    [
        Row("monitor_id:I flags:H out_port:H match_len:H table:B zero_low:B zero_high:I"),
        NxMatch(),
    ],
    _request_in,
    _request_out,
)
_REQUEST13: Final = Form(
    s.FlowMonitor,
    [
        Row("monitor_id:I flags:H match_len:H out_port:port table:B zero_low:B zero_high:H"),
        OxmMatch(),
    ],
    _request_in,
    _request_out,
)
_REQUEST14: Final = Form(
    s.FlowMonitor,
    [
        Row("monitor_id:I out_port:port out_group:I flags:H table:B command:B"), OxmMatch(),
    ],
    _request14_in,
    _request_out,
)  # fmt: skip


def _entries(form: Form) -> Form:
    return Form(s.FlowMonitorRequest, [Many("entries", form)])


MONITOR10: Final = _entries(_REQUEST10)
MONITOR13: Final = _entries(_REQUEST13)
MONITOR14: Final = _entries(_REQUEST14)
CANCEL: Final = Form(m.MonitorCancel, [Row("monitor_id:I")])

# Telling ---------------------------------------------------------------------------------------

_OLD_EVENTS: Final = ("added", "removed", "modified", "abbreviated")
_NEW_EVENTS: Final = (
    "initial", "added", "removed", "modified", "abbreviated", "paused", "resumed",
)  # fmt: skip


def _event_out(values: Values, context: Context) -> None:
    if context.version >= OF14:
        values["event"] = _NEW_EVENTS.index(values["event"])
    else:
        event = values["event"]
        values["event"] = _OLD_EVENTS.index("added" if event == "initial" else event)
    values["reason"] = m.REMOVED.index(values["reason"]) if values.get("reason") else 0


_FULL_OLD: Final = Row(
    "length:H event:H reason:H priority:H idle_timeout:H hard_timeout:H match_len:H table:B 1x"
    " cookie:Q"
)


class _MeasuredOxmMatch(OxmMatch):
    """An OXM match, its length without padding in ``match_len`` too."""

    __slots__ = ()

    def put(self, values: Values, writer: Writer, context: Context) -> None:
        start = len(writer.buf)
        super().put(values, writer, context)
        writer.patch("match_len", int.from_bytes(writer.buf[start + 2 : start + 4], "big"))


def _full(parts: list[Any]) -> Form:
    return Form(s.FlowUpdate, parts, outward=_event_out, length_at=0)


_FULL10: Final = _full([_FULL_OLD, NxMatch(), Instructions()])
_FULL13: Final = _full([_FULL_OLD, _MeasuredOxmMatch(), Instructions()])
_FULL14: Final = _full([
    Row("length:H event:H table:B reason:B idle_timeout:H hard_timeout:H priority:H 4x cookie:Q"),
    OxmMatch(), Instructions(),
])  # fmt: skip
_ABBREVIATED: Final = Form(
    s.FlowUpdate, [Row("length:H event:H xid:I")], outward=_event_out, length_at=0
)
_BARE: Final = Form(s.FlowUpdate, [Row("length:H event:H 4x")], outward=_event_out, length_at=0)


class Update:
    """One update, whose event says what else it has: the `form` of a list of them."""

    length_at: Final = 0
    least: Final = 8

    def pull(self, reader: Reader, context: Context) -> s.FlowUpdate:
        """Read. Raises WireError."""
        number = int.from_bytes(reader.data[reader.pos + 2 : reader.pos + 4], "big")
        events = _NEW_EVENTS if context.version >= OF14 else _OLD_EVENTS
        if number >= len(events):
            raise WireError("NXBRC_FM_BAD_EVENT", f"event {number}")
        event = events[number]
        values: Values = {"event": event}
        for part in _form(event, context.version).parts:
            part.pull(reader, values, context)
        values["event"] = event
        reason = values.get("reason", 0)
        values["reason"] = m.REMOVED[reason] if event == "removed" and reason < 6 else ""
        names = ("reason", "table", "priority", "idle_timeout", "hard_timeout", "cookie", "match",
                 "actions", "xid")  # fmt: skip
        found = {name: values[name] for name in names if name in values}
        return s.FlowUpdate(event=event, **found)

    def put(self, thing: s.FlowUpdate, context: Context) -> bytes:
        """Write."""
        return _form(thing.event, context.version).put(thing, context)


def _form(event: str, version: int) -> Form:
    if event == "abbreviated":
        return _ABBREVIATED
    if event in ("paused", "resumed"):
        return _BARE
    return _FULL14 if version >= OF14 else _FULL13 if version == OF13 else _FULL10


UPDATES: Final = Form(s.FlowUpdates, [Many("entries", Update())])
PAUSED: Final = Form(m.MonitorPaused, [])
RESUMED: Final = Form(m.MonitorResumed, [])
