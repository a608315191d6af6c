"""The datapath with its way to the controller open: what goes there keeps its metadata.

The datapath of a lane only counts a packet-in. A controller wants to know more of it: the port,
the registers and the conntrack state (OVS lib/flow.c, flow_get_metadata()).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ovsct.bridge import odp
from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import Datapath, Run
from ovsct.bridge.flow_tables import FlowTables
from ovsct.bridge.recirculate import FrozenState
from ovsct.bridge.resume import Continuation, process_frozen
from ovsct.lane import Event
from ovsct.openflow.actions import Action
from ovsct.openflow.match import Match
from ovsct.openflow.prereq import ETH_IPV4, ETH_IPV6, is_ct_valid
from ovsct.packet.fields import FIELDS, Field
from ovsct.packet.packet import Packet


class Punt(NamedTuple):
    """A frame on its way to the controllers with the id `controller_id`."""

    frame: bytes
    reason: str
    table: int
    cookie: int
    controller_id: int
    metadata: Match
    userdata: bytes = b""
    continuation: Continuation | None = None
    bridge: str = ""


_TUNNEL: Final = tuple(
    FIELDS[name]
    for name in (
        "tun_id", "tun_flags", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "tun_gbp_id",
        "tun_gbp_flags",
    )
)  # fmt: skip
_PLAIN: Final = (
    *_TUNNEL, FIELDS["metadata"], *(FIELDS[f"reg{n}"] for n in range(16)), FIELDS["pkt_mark"],
)  # fmt: skip
_CT: Final = tuple(FIELDS[name] for name in ("ct_zone", "ct_mark", "ct_label"))
_CT_TUPLE: Final = {
    ETH_IPV4: ("ct_nw_src", "ct_nw_dst", "ct_nw_proto", "ct_tp_src", "ct_tp_dst"),
    ETH_IPV6: ("ct_ipv6_src", "ct_ipv6_dst", "ct_nw_proto", "ct_tp_src", "ct_tp_dst"),
}
_IN_PORT: Final = FIELDS["in_port"]


def metadata_of(key: int) -> Match:
    """What of a key a packet-in says beside the frame (OVS flow_get_metadata())."""
    match = Match().with_field(_IN_PORT, _IN_PORT.get(key))
    match = _with_those_set(match, key, _PLAIN)
    state = FIELDS["ct_state"]
    if not state.get(key):
        return match
    match = match.with_field(state, state.get(key))
    dl_type = FIELDS["eth_type"].get(key)
    match = match.with_field(FIELDS["eth_type"], dl_type)
    if is_ct_valid(match) and FIELDS["ct_nw_proto"].get(key):
        for name in _CT_TUPLE.get(dl_type, ()):
            match = match.with_field(FIELDS[name], FIELDS[name].get(key))
    return _with_those_set(match, key, _CT)


def _with_those_set(match: Match, key: int, fields: Sequence[Field]) -> Match:
    for field in fields:
        value = field.get(key)
        if value:
            match = match.with_field(field, value)
    return match


class PuntingDatapath(Datapath):
    """A :class:`Datapath` that keeps what goes to the controller in `punts`."""

    punts: list[Punt]

    def _expire_flows(self, _tables: FlowTables, _now: float) -> list[Event]:
        """Flows end where somebody can be told of it (:meth:`ovsct.agent.rules.Rules.expire`)."""
        return []

    def _userspace(self, packet: Packet, action: odp.Userspace, run: Run) -> None:
        before = len(run.packet_ins or ())
        super()._userspace(packet, action, run)
        for sent in (run.packet_ins or ())[before:]:
            self.punts.append(
                Punt(
                    sent.frame, sent.reason, sent.table, sent.cookie, sent.controller_id,
                    metadata_of(sent.metadata), sent.userdata, sent.continuation, sent.bridge,
                )
            )  # fmt: skip

    def run_actions(
        self, bridge: Bridge, frame: bytes, port: int, actions: tuple[Action, ...], run: Run,
        beside: int = 0,
    ) -> None:  # fmt: skip
        """Run OpenFlow actions on a frame that comes from `port` of `bridge`: a packet-out.

        `beside` are the bits of a key that it has beside its frame.

        It goes like a packet that comes back from a recirculation with nothing left to do but
        these actions.
        """
        real = bridge.has_port(port) and port not in bridge.peers
        own = bridge.datapath_port(port) if real else port
        state = FrozenState(
            table=0,
            bridge=bridge.name,
            metadata=_IN_PORT.put(beside, port),
            entry_port=own,
            actions=actions,
            packet_out=True,
        )
        process_frozen(self, self.parse(frame, own), state, run)
