"""Instructions of OpenFlow 1.1+; in 1.0 there are actions alone (OVS lib/ofp-actions.c)."""

from __future__ import annotations

from typing import Final

from ovsct.openflow import actions as of
from ovsct.openflow.match import Match
from ovsct.openflow.wire.actions import pull_actions, put_actions
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import OF10, OF15
from ovsct.packet.fields import FIELDS, SLOTS, VLAN_PRESENT

GOTO, METADATA, WRITE, APPLY, CLEAR, METER = 1, 2, 3, 4, 5, 6
_EXPERIMENTER: Final = 0xFFFF
_SIZES: Final = {GOTO: 8, METADATA: 24, CLEAR: 8, METER: 8}
_ORDER: Final = (METER, APPLY, CLEAR, WRITE, METADATA, GOTO)
"""The order in which OVS keeps them, whatever that on the wire."""


def _found(reader: Reader, version: int) -> dict[int, Reader]:
    """The instructions by number; raises WireError."""
    found: dict[int, Reader] = {}
    while reader.left:
        if reader.left < 8:
            raise WireError("OFPBIC_BAD_LEN", "an instruction ends too soon")
        kind, length = reader.number(2), reader.number(2)
        if length % 8 or length < 8 or length - 4 > reader.left:
            raise WireError("OFPBIC_BAD_LEN", f"instruction of {length} bytes")
        if kind == _EXPERIMENTER:
            raise WireError("OFPBIC_BAD_EXPERIMENTER", "an experimenter's instruction")
        if kind not in _ORDER or (kind == METER and version >= OF15):
            raise WireError("OFPBIC_UNKNOWN_INST", f"instruction {kind}")
        if length != _SIZES.get(kind, length):
            raise WireError("OFPBIC_BAD_LEN", f"instruction {kind} of {length} bytes")
        if kind in found:
            raise WireError("OFPBIC_DUP_INST", f"instruction {kind} twice")
        found[kind] = reader.part(length - 4)
    return found


def pull_instructions(reader: Reader, version: int) -> tuple[of.Action, ...]:
    """All that is left as instructions, in the order in which OVS keeps them. Raises WireError."""
    if version == OF10:
        return pull_actions(reader, reader.left, version)
    if reader.left % 8:
        raise WireError("OFPBIC_BAD_LEN", f"{reader.left} bytes of instructions")
    found = _found(reader, version)
    actions: list[of.Action] = []
    for kind in _ORDER:
        body = found.get(kind)
        if body is None:
            continue
        if kind == METER:
            actions.append(of.Meter(body.number(4)))
        elif kind == CLEAR:
            actions.append(of.ClearActions())
        elif kind == GOTO:
            actions.append(of.GotoTable(body.number(1)))
        elif kind == METADATA:
            body.skip(4)
            actions.append(of.WriteMetadata(body.number(8), body.number(8)))
        else:
            body.skip(4)
            nested = pull_actions(body, body.left, version)
            actions.extend(nested if kind == APPLY else (of.WriteActions(nested),))
    return tuple(actions)


def _instruction(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + (len(body) + 4).to_bytes(2, "big") + body


def _put_one(action: of.Action, version: int) -> bytes | None:
    """An instruction; None: it is an action."""
    match action:
        case of.Meter() if version < OF15:
            return _instruction(METER, action.meter_id.to_bytes(4, "big"))
        case of.ClearActions():
            return _instruction(CLEAR, bytes(4))
        case of.WriteActions():
            return _instruction(WRITE, bytes(4) + put_actions(action.actions, version))
        case of.WriteMetadata():
            value = action.value.to_bytes(8, "big") + action.mask.to_bytes(8, "big")
            return _instruction(METADATA, bytes(4) + value)
        case of.GotoTable():
            return _instruction(GOTO, action.table.to_bytes(1, "big") + bytes(3))
        case _:
            return None


_PORT_FIELDS: Final = {6: "tcp", 17: "udp", 132: "sctp"}


def in_newer_words(actions: tuple[of.Action, ...], match: Match) -> tuple[of.Action, ...]:
    """Actions of OpenFlow 1.0 as those of 1.3 that do the same under `match`.

    The mod_vlan_* push a tag where the flow has none, and mod_tp_* set the port of the flow's
    protocol (OVS check_set_l4_port(), encode_SET_VLAN_VID()).
    """
    tagged = bool(SLOTS["vlan_tci"].get(match.value) & VLAN_PRESENT)
    protocol = _PORT_FIELDS.get(SLOTS["nw_proto"].get(match.value))
    found: list[of.Action] = []
    for action in actions:
        if isinstance(action, of.SetField):
            if action.spelled in ("mod_vlan_vid", "mod_vlan_pcp") and not tagged:
                found.append(of.PushVlan(0x8100))
            if "_vlan_" in action.spelled:
                tagged = True
            if action.spelled in ("mod_tp_src", "mod_tp_dst") and protocol is not None:
                field = FIELDS[f"{protocol}_{action.spelled[-3:]}"]
                action = of.SetField(field, action.value, field.ones)
        elif isinstance(action, of.PushVlan):
            tagged = True
        elif isinstance(action, of.StripVlan):
            tagged = False
        found.append(action)
    return tuple(found)


_ONLY_NEWER: Final = (of.Meter, of.ClearActions, of.WriteActions)


def put_instructions(actions: tuple[of.Action, ...], version: int) -> bytes:
    """The other way round.

    OpenFlow 1.0 has no instructions: goto_table is a resubmit there, and what it cannot say at all
    is left out, as OVS does.
    """
    if version == OF10:
        return put_actions(
            tuple(
                of.Resubmit(None, action.table) if isinstance(action, of.GotoTable) else action
                for action in actions
                if not isinstance(action, _ONLY_NEWER)
            ),
            version,
        )
    data, applied = b"", b""
    for action in actions:
        put = _put_one(action, version)
        if put is None:
            applied += put_actions((action,), version)
            continue
        if applied:
            data, applied = data + _instruction(APPLY, bytes(4) + applied), b""
        data += put
    return data + (_instruction(APPLY, bytes(4) + applied) if applied else b"")
