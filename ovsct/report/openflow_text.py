"""OpenFlow messages as people read them: what ``ovs-ofctl`` takes for the same where there is such
a command, else the message's parts by name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

from ovsct.openflow.actions import OFPP_NONE, Action
from ovsct.openflow.flow import Flow
from ovsct.openflow.group import Group
from ovsct.openflow.match import Match
from ovsct.openflow.text.action_format import format_actions
from ovsct.openflow.text.flow_text import format_flow
from ovsct.openflow.text.group_text import format_group
from ovsct.openflow.text.match_text import format_match
from ovsct.openflow.text.values import format_port
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.numbers import (
    COOKIE_NONE,
    GROUP_ALL,
    GROUP_ANY,
    NO_BUFFER,
    TABLE_ALL,
)
from ovsct.packet.describe import describe

VERSIONS: Final = {1: "OpenFlow10", 2: "OpenFlow11", 3: "OpenFlow12", 4: "OpenFlow13",
                   5: "OpenFlow14", 6: "OpenFlow15"}  # fmt: skip
"""The names that ``ovs-ofctl -O`` has for the versions on the wire."""

_FLOW_COMMANDS: Final = {
    "add": "add-flow", "modify": "mod-flows", "modify_strict": "--strict mod-flows",
    "delete": "del-flows", "delete_strict": "--strict del-flows",
}  # fmt: skip
_GROUP_COMMANDS: Final = {
    "add": "add-group", "modify": "mod-group", "add_or_mod": "--may-create mod-group",
    "delete": "del-groups", "insert_bucket": "insert-buckets", "remove_bucket": "remove-buckets",
}  # fmt: skip
_METER_COMMANDS: Final = {"add": "add-meter", "modify": "mod-meter", "delete": "del-meter"}
_METER_ALL: Final = 0xFFFFFFFF


def message_text(body: Any, version: int, *, bridge: str = "br0") -> str:
    """One decoded message in words, of one line or more.

    Args:
        body: as :func:`ovsct.openflow.wire.codec.decode` gives it.
        version: the version on the wire, 1 for OpenFlow 1.0.
        bridge: what the commands call the bridge.
    """
    match body:
        case m.FlowMod():
            said = _command(_FLOW_COMMANDS[body.command], version, bridge, flow_mod_text(body))
            buffered = body.buffer_id != NO_BUFFER
            return said + (f"\n# and on packet {body.buffer_id} of the buffer" if buffered else "")
        case m.GroupMod():
            return _command(_GROUP_COMMANDS[body.command], version, bridge, *_group(body))
        case m.MeterMod():
            return _command(_METER_COMMANDS[body.command], version, bridge, *_meter(body))
        case m.PacketOut():
            return _command("packet-out", version, bridge, _packet_out(body))
        case _:
            return "\n".join([_kind(body), *(f"    {line}" for line in _parts(body))])


def _command(command: str, version: int, bridge: str, *words: str) -> str:
    quoted = " ".join(shlex.quote(word) for word in words)
    return f"ovs-ofctl -O {VERSIONS[version]} {command} {bridge} {quoted}".rstrip()


def flow_mod_text(body: m.FlowMod) -> str:
    """A flow mod as ``ovs-ofctl add-flow``, ``mod-flows`` and ``del-flows`` take it."""
    parts = []
    adds = body.command == "add"
    if body.cookie_mask and not adds:
        mask = "-1" if body.cookie_mask == COOKIE_NONE else f"{body.cookie_mask:#x}"
        parts.append(f"cookie={body.cookie:#x}/{mask}")
    if body.new_cookie not in (0, COOKIE_NONE) and not body.command.startswith("delete"):
        parts.append(f"cookie={body.new_cookie:#x}")
    if body.table != TABLE_ALL:
        parts.append(f"table={body.table}")
    if body.command.startswith("delete"):
        if body.out_port != OFPP_NONE:
            parts.append(f"out_port={format_port(body.out_port)}")
        if body.out_group != GROUP_ANY:
            parts.append(f"out_group={body.out_group}")
        if body.command == "delete_strict":
            parts.append(f"priority={body.priority}")
        return ",".join([*parts, *filter(None, [format_match(body.match)])])
    flow = Flow(
        priority=body.priority, match=body.match, actions=body.actions, flags=body.flags,
        idle_timeout=body.idle_timeout, hard_timeout=body.hard_timeout,
        importance=body.importance,
    )  # fmt: skip
    return ",".join([*parts, format_flow(flow)])


def _group(body: m.GroupMod) -> Iterator[str]:
    if body.command == "delete":
        if body.group_id != GROUP_ALL:
            yield f"group_id={body.group_id}"
        return
    group = Group(
        group_id=body.group_id, type=body.type, buckets=body.buckets,
        selection_method=body.selection_method,
        selection_method_param=body.selection_method_param, fields=body.fields,
    )  # fmt: skip
    yield format_group(group)


def _meter(body: m.MeterMod) -> Iterator[str]:
    if body.command == "delete":
        if body.meter_id != _METER_ALL:
            yield f"meter={body.meter_id}"
        return
    flags = {m.KBPS: "kbps", m.PKTPS: "pktps", m.BURST: "burst", m.STATS: "stats"}
    words = [f"meter={body.meter_id}", *(name for bit, name in flags.items() if body.flags & bit)]
    words.append("bands=")
    for band in body.bands:
        size = f" burst_size={band.burst_size}" if body.flags & m.BURST else ""
        level = f" prec_level={band.prec_level}" if band.type == "dscp_remark" else ""
        words.append(f"type={band.type} rate={band.rate}{size}{level}")
    yield " ".join(words)


def _packet_out(body: m.PacketOut) -> str:
    actions = format_actions(body.actions)
    return f"in_port={format_port(body.in_port)} packet={body.data.hex()} actions={actions}"


# -- what has no command --------------------------------------------------------------------------


def _kind(body: Any) -> str:
    """``FeaturesRequest`` as ``features request``."""
    if isinstance(body, m.Features | m.Config):
        return f"{type(body).__name__.lower()} reply"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(body).__name__).lower()


def _parts(body: Any) -> Iterator[str]:
    for part in fields(body):
        value = getattr(body, part.name)
        if part.name in ("variant", "span") or value in (None, (), b"", frozenset()):
            continue
        if isinstance(value, tuple) and not _are_actions(value):
            for item in value:
                yield f"{part.name}: {_item(item)}"
        else:
            yield f"{part.name}={_value(part.name, value)}"


def _item(item: Any) -> str:
    if not hasattr(item, "__dataclass_fields__"):
        return str(item)
    return ", ".join(_parts(item))


def _are_actions(value: tuple[Any, ...]) -> bool:
    return all(isinstance(each, Action) for each in value)


def _value(name: str, value: Any) -> str:
    match value:
        case Match():
            return format_match(value) or "any"
        case tuple():
            return format_actions(value)
        case bytes() if name == "data" and len(value) >= 14:
            return f"{value.hex()} ({describe(value)})"
        case bytes():
            return value.hex()
        case frozenset():
            return ",".join(sorted(map(str, value)))
        case int() if not isinstance(value, bool) and ("cookie" in name or name == "datapath_id"):
            return f"{value:#x}"
        case int() if not isinstance(value, bool) and name == "hw_addr":
            return value.to_bytes(6, "big").hex(":")
        case _:
            return str(value)
