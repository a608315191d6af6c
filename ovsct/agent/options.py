"""The map of Geneve options of a modelled switch (OVS ofproto/ofproto.c, handle_tlv_table_*())."""

from __future__ import annotations

from dataclasses import replace

from ovsct.bridge.bridge import Bridge
from ovsct.errors import InputError
from ovsct.openflow.flow import Flow
from ovsct.openflow.tlv import SPACE, TlvOption, fit_flow, named, with_mappings
from ovsct.openflow.wire.errors import WireError, from_input
from ovsct.openflow.wire.messages import FlowMod, TlvMapping, TlvTableMod, TlvTableReply
from ovsct.packet.fields import TUN_OPTIONS


class Options:
    """What ``tun_metadata0`` to ``63`` are."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def reply(self) -> TlvTableReply:
        """The map as it is."""
        mappings = tuple(
            TlvMapping(each.option_class, each.option_type, each.length, index)
            for index, each in sorted(self._bridge.tlv_map.items())
        )
        return TlvTableReply(SPACE, TUN_OPTIONS, mappings)

    def mod(self, message: TlvTableMod) -> None:
        """Change the map. Raises WireError; nothing has changed then."""
        known = self._bridge.tlv_map
        if message.command == "add":
            added = [
                (each.index, TlvOption(each.option_class, each.option_type, each.length))
                for each in message.mappings
            ]
            try:
                self._bridge.tlv_map = with_mappings(known, added)
            except InputError as error:
                raise from_input(error) from None
            return
        gone = {each.index for each in message.mappings}
        if message.command == "clear":
            gone = set(known)
        used = self._used() & gone
        if used:
            names = ", ".join(f"tun_metadata{index}" for index in sorted(used))
            raise WireError("NXTTMFC_INVALID_TLV_DEL", f"flows name {names}")
        self._bridge.tlv_map = {
            index: option for index, option in known.items() if index not in gone
        }

    def _used(self) -> set[int]:
        tables = self._bridge.tables.values()
        return {
            index
            for table in tables
            for flow in table
            for index in named(flow.match, flow.actions)
        }

    def fit(self, message: FlowMod) -> FlowMod:
        """A flow mod with its match and actions held to the map. Raises WireError."""
        try:
            flow = fit_flow(
                Flow(match=message.match, actions=message.actions), self._bridge.tlv_map
            )
        except InputError as error:
            raise from_input(error) from None
        if flow.match is message.match and flow.actions is message.actions:
            return message
        return replace(message, match=flow.match, actions=flow.actions)
