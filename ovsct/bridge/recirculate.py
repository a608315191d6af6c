"""Freezing and thawing: what a packet's translation was like when it went for another round.

Equal states share one recirculation id (docs: facts on recirculation; OVS
ofproto/ofproto-dpif-rid.c ``frozen_state_equal()``). The zone, the conntrack fields and the packet
itself are not part of the state; the port that the packet really came in on is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ovsct.openflow.actions import Action
from ovsct.packet.fields import SLOTS

FROZEN_METADATA: Final = sum(
    slot.mask
    for name, slot in SLOTS.items()
    if name.startswith(("tun_", "reg")) or name in ("metadata", "in_port")
)
"""The key bits that a frozen state restores (OVS struct frozen_metadata)."""


@dataclass(frozen=True, slots=True)
class FrozenState:
    """Everything that translation needs in order to go on. Hashable: equal states are one.

    `metadata` holds the bits of :data:`FROZEN_METADATA` in place; `entry_port` is the datapath's
    number of the port the packet really came in on; `actions` are what is left of interrupted
    action lists (if empty, a look-up in `table` comes first). `packet_out` says that they are a
    controller's own.
    """

    table: int
    bridge: str
    metadata: int
    stack: tuple[tuple[int, int], ...] = ()
    conntracked: bool = False
    was_mpls: bool = False
    entry_port: int | None = None
    actions: tuple[Action, ...] = ()
    action_set: tuple[Action, ...] = ()
    userdata: bytes = b""
    packet_out: bool = False


class RecircIds:
    """Recirculation ids: handed out from 1, shared by equal states, released with their flows.

    An id whose last megaflow is gone is not found by state any more (an equal state gets a new
    id), but packets that still carry it can be thawed (OVS keeps it for at least 250 ms; here
    until :meth:`forget` is called).
    """

    __slots__ = ("_by_id", "_by_state", "_next", "_references")

    def __init__(self) -> None:
        self._next = 1
        self._by_state: dict[FrozenState, int] = {}
        self._by_id: dict[int, FrozenState] = {}
        self._references: dict[int, int] = {}

    def allocate(self, state: FrozenState) -> int:
        """The id of `state`, a new one if no equal state has one."""
        known = self._by_state.get(state)
        if known is not None:
            return known
        number = self._next
        self._next += 1
        self._by_state[state] = number
        self._by_id[number] = state
        return number

    def thaw(self, recirc_id: int) -> FrozenState | None:
        """The state behind an id, or None if there is none (any more)."""
        return self._by_id.get(recirc_id)

    def hold(self, recirc_ids: tuple[int, ...]) -> None:
        """A megaflow that recirculates to `recirc_ids` was installed."""
        for number in recirc_ids:
            self._references[number] = self._references.get(number, 0) + 1

    def release(self, recirc_ids: tuple[int, ...]) -> None:
        """Such a megaflow is gone."""
        for number in recirc_ids:
            left = self._references.get(number, 0) - 1
            if left > 0:
                self._references[number] = left
                continue
            self._references.pop(number, None)
            state = self._by_id.get(number)
            if state is not None and self._by_state.get(state) == number:
                del self._by_state[state]

    def forget(self) -> None:
        """Drop the states that no megaflow refers to and no new packet can get."""
        live = set(self._by_state.values()) | set(self._references)
        self._by_id = {number: state for number, state in self._by_id.items() if number in live}
