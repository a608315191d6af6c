"""Bundles: changes that are kept until a commit makes all of them, or none (OVS ofproto.c
do_bundle_commit(), ofproto/bundles.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ovsct.agent.model import Told
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.codec import HEADER, decode, encode
from ovsct.openflow.wire.errors import WireError

if TYPE_CHECKING:
    from ovsct.agent.session import Session

_KINDS: Final = (13, 14, 15, 16)
"""Types of packet-outs, flow mods, group mods and port mods, from 1.1 on."""


class _Held(NamedTuple):
    """A message of a bundle: the one that brought it, and as it was understood."""

    outer: bytes
    body: Any
    xid: int


class _Bundle:
    """What one bundle holds."""

    __slots__ = ("closed", "flags", "held")

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.closed = False
        self.held: list[_Held] = []


class Bundles:
    """The bundles of one connection."""

    def __init__(self) -> None:
        self._bundles: dict[int, _Bundle] = {}

    def control(self, session: Session, message: m.BundleControl) -> None:
        """Open, close, commit or discard. Raises WireError."""
        ident = message.bundle_id
        match message.step:
            case "open":
                if ident in self._bundles:
                    del self._bundles[ident]
                    raise WireError("OFPBFC_BAD_ID", f"bundle {ident} is there already")
                self._bundles[ident] = _Bundle(message.flags)
            case "close":
                bundle = self._known(ident, message.flags)
                if bundle.closed:
                    del self._bundles[ident]
                    raise WireError("OFPBFC_BUNDLE_CLOSED", f"bundle {ident}")
                bundle.closed = True
            case "commit":
                bundle = self._known(ident, message.flags)
                del self._bundles[ident]
                self._commit(session, bundle)
            case "discard":
                if self._bundles.pop(ident, None) is None:
                    raise WireError("OFPBFC_BAD_ID", f"there is no bundle {ident}")
            case _:
                raise WireError("OFPBFC_BAD_TYPE", f"a switch gets no {message.step}")

    def _known(self, ident: int, flags: int) -> _Bundle:
        bundle = self._bundles.get(ident)
        if bundle is None:
            raise WireError("OFPBFC_BAD_ID", f"there is no bundle {ident}")
        if bundle.flags != flags:
            del self._bundles[ident]
            raise WireError("OFPBFC_BAD_FLAGS", f"bundle {ident} was opened otherwise")
        return bundle

    def add(self, session: Session, message: m.BundleAdd, xid: int) -> None:
        """Keep a message; a bundle that was not opened is. Raises WireError."""
        inner, version = message.message, session.spoken
        if len(inner) < HEADER.size:
            raise WireError("OFPBFC_MSG_BAD_LEN", "no whole message in the bundle's message")
        if inner[0] != version:
            raise WireError("OFPBFC_BAD_VERSION", f"an inner message of version {inner[0]}")
        length = int.from_bytes(inner[2:4], "big")
        if not HEADER.size <= length <= len(inner):
            raise WireError("OFPBFC_MSG_BAD_LEN", "no whole message in the bundle's message")
        inner = inner[:length]
        if int.from_bytes(inner[4:8], "big") != xid:
            raise WireError("OFPBFC_MSG_BAD_XID", "the inner message has another xid")
        if inner[1] not in _KINDS:
            raise WireError("OFPBFC_MSG_UNSUP", f"a bundle holds no messages of type {inner[1]}")
        body = decode(inner).body
        bundle = self._bundles.setdefault(message.bundle_id, _Bundle(message.flags))
        if bundle.closed:
            del self._bundles[message.bundle_id]
            raise WireError("OFPBFC_BUNDLE_CLOSED", f"bundle {message.bundle_id}")
        if bundle.flags != message.flags:
            del self._bundles[message.bundle_id]
            raise WireError("OFPBFC_BAD_FLAGS", f"bundle {message.bundle_id}")
        outer = encode(message, version, xid)
        bundle.held.append(_Held(outer, body, xid))

    def _commit(self, session: Session, bundle: _Bundle) -> None:
        model = session.model
        before, groups = model.rules.snapshot(), model.groups.snapshot()
        told: list[Told] = []
        forwarded: list[tuple[m.GroupMod, int]] = []
        tell, model.tell = model.tell, told.append
        try:
            for held in bundle.held:
                try:
                    if isinstance(held.body, m.PortMod) and bundle.flags & m.ATOMIC:
                        raise WireError("OFPBFC_MSG_FAILED", "port mods are not atomic")
                    changed = _apply(session, held.body)
                    if changed is not None:
                        forwarded.append((changed, held.xid))
                except WireError as error:
                    session.refuse(error, held.outer)
                    model.groups.restore(groups)
                    model.rules.restore(before, model.now)
                    raise WireError("OFPBFC_MSG_FAILED", error.detail) from None
        finally:
            model.tell = tell
        if tell is not None:
            for each in told:
                tell(each)
        for group, xid in forwarded:
            session.forward(group, "group", xid)


def _apply(session: Session, body: Any) -> m.GroupMod | None:
    """Do what a message of a bundle says; what of it other controllers are told."""
    match body:
        case m.FlowMod():
            session.model.flow_mod(body, session.spoken)
        case m.GroupMod():
            return session.change_group(body)
        case m.PortMod():
            session.port_mod(body)
        case _:
            session.model.packet_out(body)
    return None
