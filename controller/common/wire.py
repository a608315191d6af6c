"""From plain flows and groups to the library's OpenFlow 1.3 messages.

Ryu and os-ken write a Nicira action without the zeros that bring it to a multiple of eight bytes;
between the actions of a flow the next action's offset hides that, inside ``ct(...)`` nothing
does: ``ct(nat(...),exec(...))`` comes out short, and the switch refuses it. :class:`_Padded` adds
the zeros.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

from controller.common import flows as f
from controller.common.framework import nicira_ext, ofproto_v1_3, ofproto_v1_3_parser

_OFP: Final = ofproto_v1_3
_PARSER: Final = ofproto_v1_3_parser
_NO_TABLE: Final = 0xFF
_GENERATION_BITS: Final = 16
_APP_MASK: Final = (1 << 64) - (1 << _GENERATION_BITS)
_ADD_OR_MODIFY: Final = 0x8000
"""OFPGC11_ADD_OR_MOD of OVS (include/openflow/openflow-1.1.h): it may be there or not."""

_MOST_BYTES: Final = 0xFFFF

# Of OVS's lib/ofp-actions.c (NX_CT_F_COMMIT, NX_NAT_F_SRC, NX_NAT_F_DST): the libraries have none.
_COMMIT: Final = 1
_NAT_FLAGS: Final = {"": 0, "src": 1, "dst": 2}


class _Padded:
    """An action whose bytes are brought to the length that its header says."""

    def __init__(self, action: Any) -> None:
        self.action = action
        self.len = 0

    def serialize(self, buffer: bytearray, offset: int) -> None:
        self.action.serialize(buffer, offset)
        self.len = self.action.len
        buffer.extend(bytes(offset + self.len - len(buffer)))

    def __repr__(self) -> str:
        return repr(self.action)


class _SetUnknown(_PARSER.OFPAction):  # type: ignore[misc]
    """A set_field of a field that the libraries have no name for, written by hand."""

    cls_action_type, cls_action_len = _OFP.OFPAT_SET_FIELD, 16

    def __init__(self, field: str, value: int) -> None:
        super().__init__()
        self.field, self.value = field, value

    def serialize(self, buffer: bytearray, offset: int) -> None:
        header, size = _UNKNOWN_FIELDS[self.field]
        data = struct.pack("!HHI", self.type, self.len, header)
        data += self.value.to_bytes(size, "big")
        # What stands before an action (the head of its instruction) may be written after it.
        buffer.extend(bytes(max(0, offset - len(buffer))))
        buffer[offset:] = data.ljust(self.len, b"\0")

    def __repr__(self) -> str:
        return f"set_field:{self.value}->{self.field}"


_UNKNOWN_FIELDS: Final = {"nd_reserved": (0x10000204, 4), "nd_options_type": (0x10000401, 1)}
"""The OXM header of a field, and its bytes (OVS include/openvswitch/meta-flow.h, ERICOXM_OF)."""


# -- actions ------------------------------------------------------------------------------------


def _set_field(action: f.SetField) -> Any:
    if action.field in _UNKNOWN_FIELDS:
        return _SetUnknown(action.field, int(action.value))
    return _PARSER.OFPActionSetField(**{action.field: action.value})


def _ct(action: f.Ct) -> Any:
    inner = [] if action.nat is None else [_Padded(_nat(action.nat))]
    inner += [convert(each) for each in action.exec]
    register = isinstance(action.zone, str)
    return _PARSER.NXActionCT(
        flags=_COMMIT if action.commit else 0,
        zone_src=action.zone if register else "",
        zone_ofs_nbits=nicira_ext.ofs_nbits(0, 15) if register else action.zone,
        recirc_table=_NO_TABLE if action.table is None else action.table,
        alg=0,
        actions=inner,
    )


def _nat(nat: f.Nat) -> Any:
    family = "ipv6" if ":" in nat.first else "ipv4"
    ranges: dict[str, Any] = {}
    if nat.first:
        ranges[f"range_{family}_min"] = nat.first
        if nat.last and nat.last != nat.first:
            ranges[f"range_{family}_max"] = nat.last
    if nat.ports:
        ranges["range_proto_min"], last = nat.ports
        if last != nat.ports[0]:
            ranges["range_proto_max"] = last
    return _PARSER.NXActionNAT(flags=_NAT_FLAGS[nat.kind], **ranges)


def _move(action: f.Move) -> Any:
    return _PARSER.NXActionRegMove(
        src_field=action.source, dst_field=action.destination, n_bits=action.bits
    )


_ACTIONS: Final[dict[type, Callable[[Any], Any]]] = {
    f.Output: lambda action: _PARSER.OFPActionOutput(action.port, _MOST_BYTES),
    f.OutputRegister: lambda action: _PARSER.NXActionOutputReg(
        ofs_nbits=nicira_ext.ofs_nbits(0, 31), src=action.register, max_len=_MOST_BYTES
    ),
    f.SetField: _set_field,
    f.Move: _move,
    f.Ct: _ct,
    f.CtClear: lambda action: _PARSER.NXActionCTClear(),
    f.DecTtl: lambda action: _PARSER.OFPActionDecNwTtl(),
    f.ToGroup: lambda action: _PARSER.OFPActionGroup(action.group),
}


def convert(action: f.Action) -> Any:
    """The library's action."""
    return _ACTIONS[type(action)](action)


# -- messages -----------------------------------------------------------------------------------


def _value(value: f.Value) -> Any:
    if isinstance(value, (IPv4Network, IPv6Network)):
        if value.prefixlen == value.max_prefixlen:
            return str(value.network_address)
        return (str(value.network_address), str(value.netmask))
    return value


def cookie_of(app: int, generation: int) -> int:
    """The cookie of an application's flows: whose they are, and since which (re)connection."""
    return app << _GENERATION_BITS | generation


def flow_mod(datapath: Any, flow: f.Flow, cookie: int, *, delete: bool = False) -> Any:
    """The message that adds a flow, or that deletes exactly it if it is the application's."""
    instructions = []
    if flow.actions:
        actions = [convert(action) for action in flow.actions]
        instructions.append(_PARSER.OFPInstructionActions(_OFP.OFPIT_APPLY_ACTIONS, actions))
    if flow.goto is not None:
        instructions.append(_PARSER.OFPInstructionGotoTable(flow.goto))
    return _PARSER.OFPFlowMod(
        datapath,
        cookie=cookie,
        cookie_mask=_APP_MASK if delete else 0,
        table_id=flow.table,
        command=_OFP.OFPFC_DELETE_STRICT if delete else _OFP.OFPFC_ADD,
        priority=flow.priority,
        out_port=_OFP.OFPP_ANY,
        out_group=_OFP.OFPG_ANY,
        match=_PARSER.OFPMatch(**{name: _value(value) for name, value in flow.match}),
        instructions=[] if delete else instructions,
    )


def delete_others(datapath: Any, cookie: int) -> Iterator[Any]:
    """The messages that delete the application's flows of every other generation.

    A switch deletes by bits of the cookie that are equal, not by what is different: so one
    message a bit of the generation, for the flows that have that bit the other way.
    """
    for number in range(_GENERATION_BITS):
        bit = 1 << number
        yield _PARSER.OFPFlowMod(
            datapath,
            cookie=(cookie & _APP_MASK) | (~cookie & bit),
            cookie_mask=_APP_MASK | bit,
            table_id=_OFP.OFPTT_ALL,
            command=_OFP.OFPFC_DELETE,
            out_port=_OFP.OFPP_ANY,
            out_group=_OFP.OFPG_ANY,
        )


def group_mod(datapath: Any, group: f.Group) -> Any:
    """The message that adds a select group, or gives the one that is there these buckets."""
    buckets = [
        _PARSER.OFPBucket(bucket.weight, actions=[convert(each) for each in bucket.actions])
        for bucket in group.buckets
    ]
    return _PARSER.OFPGroupMod(datapath, _ADD_OR_MODIFY, _OFP.OFPGT_SELECT, group.id, buckets)


def group_delete(datapath: Any, group: int) -> Any:
    """The message that deletes a group, if it is there."""
    return _PARSER.OFPGroupMod(datapath, _OFP.OFPGC_DELETE, _OFP.OFPGT_SELECT, group, [])


def barrier(datapath: Any) -> Any:
    """The message that is answered when all before it has been done."""
    return _PARSER.OFPBarrierRequest(datapath)


def packet_out(datapath: Any, in_port: int, actions: tuple[f.Action, ...], data: bytes) -> Any:
    """The message that sends a packet."""
    return _PARSER.OFPPacketOut(
        datapath,
        buffer_id=_OFP.OFP_NO_BUFFER,
        in_port=in_port,
        actions=[convert(action) for action in actions],
        data=data,
    )
