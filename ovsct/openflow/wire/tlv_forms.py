"""The map of Geneve options on the wire (OVS lib/ofp-match.c, ``NXT_TLV_TABLE_*``)."""

from __future__ import annotations

from typing import Final

from ovsct.openflow.tlv import MAX_OPTION
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.layout import Context, Form, Many, Row, Values, named
from ovsct.packet.fields import TUN_OPTIONS


def _mapping_in(values: Values, _: Context) -> None:
    length = values["length"]
    if not 0 < length <= MAX_OPTION or length % 4:
        raise WireError("NXTTMFC_BAD_OPT_LEN", f"an option of {length} bytes")
    if values["index"] >= TUN_OPTIONS:
        raise WireError("NXTTMFC_BAD_FIELD_IDX", f"tun_metadata{values['index']}")


_MAPPING: Final = Form(
    m.TlvMapping, [Row("option_class:H option_type:B length:B index:H 2x")], _mapping_in
)


def _mod_in(values: Values, _: Context) -> None:
    named(values, "command", m.TLV_COMMANDS, "NXTTMFC_BAD_COMMAND")


def _mod_out(values: Values, _: Context) -> None:
    values["command"] = m.TLV_COMMANDS.index(values["command"])


TLV_MOD: Final = Form(
    m.TlvTableMod, [Row("command:H 6x"), Many("mappings", _MAPPING)], _mod_in, _mod_out
)
TLV_REQUEST: Final = Form(m.TlvTableRequest, [])
TLV_REPLY: Final = Form(
    m.TlvTableReply, [Row("max_space:I max_fields:H 10x"), Many("mappings", _MAPPING)]
)
