"""Bundles: changes that are kept until a commit makes all of them, or none (OVS ofproto.c
do_bundle_commit(), ofproto/bundles.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ovsct.agent.model import ModelBridge, Told
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.codec import HEADER, decode
from ovsct.openflow.wire.errors import WireError

if TYPE_CHECKING:
    from ovsct.agent.session import Session

_CHANGES: Final = (m.FlowMod, m.GroupMod, m.PacketOut)


class _Bundle:
    """What one bundle holds: each message as it came, and as it was understood."""

    __slots__ = ("closed", "flags", "held")

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.closed = False
        self.held: list[tuple[bytes, Any]] = []


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

    def add(self, message: m.BundleAdd, version: int, xid: int) -> None:
        """Keep a message; a bundle that was not opened is. Raises WireError."""
        inner = message.message
        length = int.from_bytes(inner[2:4], "big")
        if not HEADER.size <= length <= len(inner):
            raise WireError("OFPBFC_MSG_BAD_LEN", "no whole message in the bundle's message")
        inner = inner[:length]
        if inner[0] != version or int.from_bytes(inner[4:8], "big") != xid:
            raise WireError("OFPBFC_MSG_BAD_XID", "the inner message has another xid")
        body = decode(inner).body
        if not isinstance(body, _CHANGES):
            raise WireError("OFPBFC_MSG_UNSUP", f"a bundle holds no {type(body).__name__}")
        bundle = self._bundles.setdefault(message.bundle_id, _Bundle(message.flags))
        if bundle.closed:
            raise WireError("OFPBFC_BUNDLE_CLOSED", f"bundle {message.bundle_id}")
        if bundle.flags != message.flags:
            raise WireError("OFPBFC_BAD_FLAGS", f"bundle {message.bundle_id}")
        bundle.held.append((inner, body))

    def _commit(self, session: Session, bundle: _Bundle) -> None:
        model = session.model
        before = model.rules.snapshot()
        groups, times = dict(model.bridge.groups), dict(model.group_times)
        told: list[Told] = []
        tell, model.tell = model.tell, told.append
        try:
            for inner, body in bundle.held:
                try:
                    _apply(model, body, session.spoken)
                except WireError as error:
                    session.refuse(error, inner)
                    model.bridge.groups.clear()
                    model.bridge.groups.update(groups)
                    model.group_times = times
                    model.rules.restore(before, model.now)
                    raise WireError("OFPBFC_MSG_FAILED", error.detail) from None
        finally:
            model.tell = tell
        if tell is not None:
            for each in told:
                tell(each)


def _apply(model: ModelBridge, body: Any, version: int) -> None:
    match body:
        case m.FlowMod():
            model.flow_mod(body, version)
        case m.GroupMod():
            model.group_mod(body)
        case _:
            model.packet_out(body)
