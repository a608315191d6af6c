"""Paused packets between the bridge and the wire.

The bridge freezes a translation (:class:`ovsct.bridge.resume.Continuation`), the wire says it in
the words of OVS (:class:`ovsct.openflow.wire.continuation.Continuation`).
"""

from __future__ import annotations

from hashlib import sha256

from ovsct.bridge.freeze import UnrollXlate
from ovsct.bridge.recirculate import FrozenState
from ovsct.bridge.resume import Continuation as Frozen
from ovsct.openflow.actions import Action
from ovsct.openflow.wire.continuation import Continuation, Stretch


def bridge_id(name: str) -> bytes:
    """The 16 bytes that name a bridge; OVS draws them, here they come of the name."""
    return sha256(name.encode()).digest()[:16]


def to_wire(frozen: Frozen) -> Continuation:
    """What the controller gets."""
    state = frozen.state
    return Continuation(
        bridge=bridge_id(state.bridge),
        stack=tuple(
            value.to_bytes((width + 7) // 8, "big") for width, value in reversed(state.stack)
        ),
        conntracked=state.conntracked,
        actions=_stretches(state.actions),
        action_set=state.action_set,
        port=frozen.port,
    )


def _stretches(actions: tuple[Action, ...]) -> tuple[Stretch, ...]:
    found: list[Stretch] = []
    table = cookie = 0
    stretch: list[Action] = []
    for action in actions:
        if not isinstance(action, UnrollXlate):
            stretch.append(action)
            continue
        if stretch:
            found.append(Stretch(table, cookie, tuple(stretch)))
        table, cookie, stretch = action.table, action.cookie, []
    if stretch:
        found.append(Stretch(table, cookie, tuple(stretch)))
    return tuple(found)


def from_wire(continuation: Continuation, bridge: str) -> Frozen:
    """What the controller sends back, for the bridge of that name."""
    actions: list[Action] = []
    for stretch in continuation.actions:
        actions += (UnrollXlate(stretch.table, stretch.cookie), *stretch.actions)
    state = FrozenState(
        table=0,
        bridge=bridge,
        metadata=0,
        stack=tuple(
            (8 * len(value), int.from_bytes(value, "big"))
            for value in reversed(continuation.stack)
        ),
        conntracked=continuation.conntracked,
        actions=tuple(actions),
        action_set=continuation.action_set,
    )
    return Frozen(state, continuation.port)
