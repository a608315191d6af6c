"""Continuations: what a packet-in of a packet that pauses says so that it can go on.

Private to the switch by OVS's own word, yet ovs-ofctl prints them, so they are written as OVS 3.1
writes them (lib/ofp-packet.c ``ofputil_put_packet_in_private()``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ovsct.openflow.actions import Action
from ovsct.openflow.wire.actions import pull_actions, put_actions
from ovsct.openflow.wire.buffer import Reader, pad8
from ovsct.openflow.wire.errors import WireError

(
    _BRIDGE, _STACK, _MIRRORS, _CONNTRACKED, _TABLE, _COOKIE, _ACTIONS, _ACTION_SET, _PORT,
) = range(0x8000, 0x8009)  # fmt: skip
_LONGEST_VALUE: Final = 128
"""Bytes of a value on the stack (union mf_subvalue)."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Actions that stand in one flow: its table and cookie."""

    table: int
    cookie: int
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What is left to do with a packet.

    `bridge` is the 16 bytes that name it, `stack` its values, the top one first; `port` is the
    datapath's number of the port that the packet came in on.
    """

    bridge: bytes = bytes(16)
    stack: tuple[bytes, ...] = ()
    conntracked: bool = False
    actions: tuple[Stretch, ...] = ()
    action_set: tuple[Action, ...] = ()
    port: int = 0


def _property(kind: int, data: bytes = b"") -> bytes:
    return pad8(kind.to_bytes(2, "big") + (len(data) + 4).to_bytes(2, "big") + data)


def _aligned(kind: int, data: bytes) -> bytes:
    return _property(kind, bytes(4) + data)


def put_continuation(continuation: Continuation, version: int) -> bytes:
    """The inside of a NXPINT_CONTINUATION. Raises WireError: an action cannot be said."""
    parts = []
    if any(continuation.bridge):
        parts.append(_property(_BRIDGE, continuation.bridge))
    parts += [_property(_STACK, value) for value in continuation.stack]
    if continuation.conntracked:
        parts.append(_property(_CONNTRACKED))
    table, cookie = 0, 0
    for stretch in continuation.actions:
        if stretch.table != table:
            parts.append(_property(_TABLE, stretch.table.to_bytes(1, "big")))
        if stretch.cookie != cookie:
            parts.append(_aligned(_COOKIE, stretch.cookie.to_bytes(8, "big")))
        table, cookie = stretch.table, stretch.cookie
        if stretch.actions:
            parts.append(_aligned(_ACTIONS, put_actions(stretch.actions, version)))
    if continuation.action_set:
        parts.append(_aligned(_ACTION_SET, put_actions(continuation.action_set, version)))
    if continuation.port:
        parts.append(_property(_PORT, continuation.port.to_bytes(4, "big")))
    return b"".join(parts)


def pull_continuation(reader: Reader, version: int) -> Continuation:
    """What stands in a NXPINT_CONTINUATION. Raises WireError: it is malformed."""
    bridge, conntracked, port = bytes(16), False, 0
    stack: list[bytes] = []
    stretches: list[Stretch] = []
    action_set: tuple[Action, ...] = ()
    table, cookie = 0, 0
    while reader.left:
        kind, length = reader.number(2, "OFPBPC_BAD_LEN"), reader.number(2, "OFPBPC_BAD_LEN")
        body = reader.part(length - 4, "OFPBPC_BAD_LEN")
        reader.skip(-length % 8, "OFPBPC_BAD_LEN")
        if kind == _BRIDGE:
            bridge = body.take(16, "OFPBPC_BAD_LEN")
        elif kind == _STACK:
            stack.append(body.take(body.left))
            if len(stack[-1]) > _LONGEST_VALUE:
                raise WireError("OFPBPC_BAD_LEN", f"{len(stack[-1])} bytes on the stack")
        elif kind == _CONNTRACKED:
            conntracked = True
        elif kind == _TABLE:
            table = body.number(1, "OFPBPC_BAD_LEN")
        elif kind == _COOKIE:
            body.skip(4, "OFPBPC_BAD_LEN")
            cookie = body.number(8, "OFPBPC_BAD_LEN")
        elif kind in (_ACTIONS, _ACTION_SET):
            body.skip(4, "OFPBPC_BAD_LEN")
            actions = pull_actions(body, body.left, version)
            if kind == _ACTIONS:
                stretches.append(Stretch(table, cookie, actions))
            else:
                action_set = actions
        elif kind == _PORT:
            port = body.number(4, "OFPBPC_BAD_LEN")
        else:
            # Mirrors too: nothing here mirrors.
            raise WireError("OFPBPC_BAD_TYPE", f"property {kind:#x} of a continuation")
    return Continuation(
        bridge=bridge, stack=tuple(stack), conntracked=conntracked, actions=tuple(stretches),
        action_set=action_set, port=port,
    )  # fmt: skip
