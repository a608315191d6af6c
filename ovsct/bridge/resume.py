"""Packets that begin in the middle: a controller's, and those that a controller lets go on.

Both go like a packet that comes back from a recirculation, with a frozen state that says what is
left to do. The megaflow that this makes serves that packet alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ovsct.bridge import odp
from ovsct.bridge.recirculate import FROZEN_METADATA, FrozenState
from ovsct.bridge.run import PacketIn, Run
from ovsct.openflow.actions import Note
from ovsct.packet.fields import CT_MASK, SLOTS
from ovsct.packet.packet import Packet

if TYPE_CHECKING:
    from ovsct.bridge.datapath import Datapath

_RECIRC: Final = SLOTS["recirc_id"]
_BESIDE: Final = CT_MASK | SLOTS["pkt_mark"].mask
_NOTHING: Final = (Note(b""),)


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a paused packet needs in order to go on (OVS struct ofputil_packet_in_private).

    `state` is what its translation was like, `port` the datapath's number of the port that it came
    in on. What a controller sees beside it, and may change, are the frame and the metadata.
    """

    state: FrozenState
    port: int


def packet_in(packet: Packet, action: odp.Userspace, state: FrozenState) -> PacketIn:
    """What the controller gets of `packet` (OVS process_upcall(), CONTROLLER_UPCALL).

    The tables' view of when the packet was sent up counts, not what the datapath knows of it.
    """
    key = packet.key & ~(FROZEN_METADATA | _RECIRC.mask) | state.metadata
    if not state.conntracked:
        key &= ~CT_MASK
    going_on = None
    if action.continuation:
        going_on = Continuation(state, SLOTS["in_port"].get(packet.key))
    return PacketIn(
        packet.frame, action.reason, state.table, action.cookie, action.controller_id,
        state.bridge, key, state.userdata, going_on,
    )  # fmt: skip


def resume(
    datapath: Datapath, frame: bytes, beside: int, continuation: Continuation, run: Run
) -> None:
    """Let a paused packet go on: OVS ``nxt_resume()`` and ``xlate_resume()``.

    Args:
        datapath: whose bridges it goes on in.
        frame: the packet as the controller sends it back.
        beside: the bits of a key beside the frame, as it sends them: registers, metadata, tunnel,
            in_port, pkt_mark and conntrack state.
        continuation: the rest.
        run: filled in.
    """
    state = replace(
        continuation.state,
        table=0,
        metadata=beside & FROZEN_METADATA,
        entry_port=None,
        # Without any action translation would begin with a look-up.
        actions=continuation.state.actions or _NOTHING,
        userdata=b"",
    )
    packet = datapath.parse(frame, continuation.port)
    packet.key |= beside & _BESIDE
    process_frozen(datapath, packet, state, run)


def process_frozen(datapath: Datapath, packet: Packet, state: FrozenState, run: Run) -> None:
    """Process a packet as if it came back from a recirculation with this state."""
    recirc = datapath.bridge.recirc
    number = recirc.allocate(state)
    before = datapath.on_install

    def home(flow: odp.Megaflow) -> odp.Home:
        if _RECIRC.get(flow.key) == number:
            return odp.Home.NOWHERE
        return before(flow) if before is not None else odp.Home.CACHE

    recirc.hold((number,))
    datapath.on_install = home
    try:
        packet.key |= number << _RECIRC.shift
        datapath.process(packet, run)
        if run.deferred is not None or run.upcalls is not None:
            datapath.finish(run)
    finally:
        datapath.on_install = before
        recirc.release((number,))
