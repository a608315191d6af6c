"""One OpenFlow connection, without its socket: bytes in, bytes out.

Negotiates the version, answers what is asked, refuses what it must, and says what the controller
wants to be told. After a refusal the connection goes on (OVS ofproto/ofproto.c handle_openflow(),
ofproto/connmgr.c).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from ovsct.agent.answers import ANSWERS
from ovsct.agent.bundles import Bundles
from ovsct.agent.clock import nanoseconds
from ovsct.agent.continuations import to_wire
from ovsct.agent.model import IMPLICIT, ModelBridge, Told
from ovsct.agent.monitors import MOST_WAITING, FlowChange, Monitors
from ovsct.agent.parts import MULTIPART, Parts, is_request, whole
from ovsct.agent.punt import Punt
from ovsct.agent.rules import Removed
from ovsct.agent.wants import Wants
from ovsct.bridge import act_output
from ovsct.errors import OvsctError
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.action_in import REASONS as PACKET_REASONS
from ovsct.openflow.wire.codec import HEADER, decode, encode, encode_reply, split
from ovsct.openflow.wire.connection_forms import EXPLICIT_MISS, IMPLICIT_MISS
from ovsct.openflow.wire.continuation import Continuation, put_continuation
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import COOKIE_NONE, OF10, OF13, OF14, OF15, VERSIONS

_LOG: Final = logging.getLogger(__name__)

REASONS: Final = m.REMOVED
_PACKET_IN_BITS: Final = {
    **{name: number for number, name in enumerate(PACKET_REASONS)}, IMPLICIT: IMPLICIT_MISS,
    act_output.EXPLICIT_MISS: EXPLICIT_MISS,
}  # fmt: skip
_NOBODY: Final = (None, 0)
_FORWARDED: Final = {"group": 0, "meter": 1}
_VARIANTS: Final = ("", "nx", "nx2")
_SENT_BACK: Final = 0xFF00
"""Bytes of a message that its refusal holds at most."""


class Closed(Exception):
    """The connection cannot go on: no version in common, or no message where one begins."""


class Session:
    """One connection.

    Args:
        model: the switch.
        send: takes the bytes that go out.
        service: somebody who connected to us, who gets no packet-ins until he sets a length;
            false for a controller that we connected to (OVS connmgr.c, OFCONN_SERVICE).
    """

    def __init__(
        self, model: ModelBridge, send: Callable[[bytes], None], *, service: bool = True
    ) -> None:
        self.model = model
        self._send = send
        self._stream = bytearray()
        self.version: int | None = None
        self.table_ids = False
        self.nxm = False
        self.variant = ""
        self.role = "equal"
        self.controller_id = 0
        self.miss_send_len = 0 if service else 128
        self.invalid_ttl = False
        self.primary = not service
        self.bundles = Bundles()
        self.wants = Wants()
        self._parts = Parts()
        self.monitors = Monitors(model.rules, self)
        self.waiting: Callable[[], int] = lambda: 0
        self.peers: Callable[[], Iterable[Session]] = lambda: ()
        self._send(encode(m.Hello(frozenset(VERSIONS)), max(VERSIONS), 1))

    # -- in --------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes have come. Raises Closed: the connection must end."""
        self._stream += data
        try:
            messages = split(self._stream)
        except WireError as error:
            raise Closed(str(error)) from None
        for message in messages:
            self._take(message)
            if self.model.watched:
                for session in self.peers():
                    session.tell_changes()

    def end(self) -> None:
        """The connection is over."""
        if self.monitors:
            self.model.watch(False)

    def _take(self, data: bytes) -> None:
        version, kind, _, xid = HEADER.unpack_from(data)
        try:
            if self.version is None:
                self._negotiate(data)
            elif version != self.version and kind not in (0, 1):
                raise WireError("OFPBRC_BAD_VERSION", f"version {version}")
            else:
                self._handle(data, xid)
        except WireError as error:
            _LOG.debug("refused: %s", error)
            self.refuse(error, data)
        except OvsctError as error:
            # Something that a flow leads to is not modelled: this message's fault, not ours.
            _LOG.warning("refused: %s", error)
            self.refuse(WireError("OFPBRC_EPERM", str(error)), data)

    def _negotiate(self, data: bytes) -> None:
        """The first message must be a Hello (OVS lib/vconn.c vcs_recv_hello())."""
        body = decode(data).body if data[1] in (0, 1) else None
        if not isinstance(body, m.Hello):
            raise Closed("the first message is no Hello")
        common = body.versions & set(VERSIONS)
        if not common:
            self.version = min(VERSIONS)
            self.say(m.Error("OFPHFC_INCOMPATIBLE", b"no version in common"), 0)
            raise Closed("no version in common")
        self.version = max(common)
        self.wants.set_default(self.version)

    def _handle(self, data: bytes, xid: int) -> None:
        if data[1] == MULTIPART:
            messages = self._parts.take(data, self.model.now)
            if not messages:
                return
            message = whole(messages, table_ids=self.table_ids)
        else:
            message = decode(data, table_ids=self.table_ids)
        answer = ANSWERS.get(type(message.body))
        if answer is None:
            # A reply, or something that only a switch says.
            stats = is_request(self.spoken, data[1])
            raise WireError("OFPBRC_BAD_STAT" if stats else "OFPBRC_BAD_TYPE", repr(data[1]))
        self.model.author = (self, xid)
        try:
            answer(self, message.body, xid)
        finally:
            self.model.author = _NOBODY

    # -- out -------------------------------------------------------------------------------------

    @property
    def spoken(self) -> int:
        """The version in use."""
        assert self.version is not None  # nothing is said before it is settled
        return self.version

    def say(self, body: Any, xid: int) -> None:
        """Send one message."""
        self._send(encode(body, self.spoken, xid))

    def reply(self, body: Any, xid: int) -> None:
        """Send a multipart reply, in as many messages as it needs."""
        for data in encode_reply(body, self.spoken, xid):
            self._send(data)

    def refuse(self, error: WireError, data: bytes) -> None:
        """Send the refusal of a message, which begins with the message's head."""
        xid = int.from_bytes(data[4:8], "big")
        version = self.version if self.version is not None else min(VERSIONS)
        self._send(encode(m.Error(error.name, data[:_SENT_BACK]), version, xid))

    # -- what the controller is told ---------------------------------------------------------------

    @property
    def wants_misses(self) -> bool:
        """Whether this connection makes table misses go to the controller."""
        return self.controller_id == 0 and (self.version is None or self.version == OF10)

    def _wants(self, kind: str, reason: int) -> bool:
        """Whether it is to be told so (OVS ofconn_receives_async_msg())."""
        if self.version is None or (not self.primary and not self.miss_send_len):
            return False
        return self.wants.has(kind, reason, secondary=self.role == "secondary")

    def told(self, what: Told) -> None:
        """Something happened that controllers may want to know."""
        if self.version is None:
            return
        if isinstance(what, FlowChange):
            self.monitors.report(what)
            return
        if isinstance(what, Removed):
            self._flow_removed(what)
            return
        number = _PACKET_IN_BITS[what.reason]
        if what.controller_id != self.controller_id or not self._wants("packet_in", number):
            return
        self.say(
            m.PacketIn(
                data=what.frame,
                match=what.metadata,
                reason=self._reason(what.reason),
                table=what.table,
                cookie=what.cookie,
                total_len=len(what.frame),
                userdata=what.userdata,
                continuation=self._continuation(what),
                variant=self.variant,
            ),
            0,
        )

    def _reason(self, reason: str) -> str:
        """A reason that OVS has within as this version says it (encode_packet_in_reason())."""
        if reason == act_output.EXPLICIT_MISS:
            return "no_match" if self.spoken >= OF13 else "action"
        return "no_match" if reason == IMPLICIT else reason

    def _continuation(self, what: Punt) -> Continuation | None:
        """What a packet that paused needs to go on; only Nicira's second packet-in has it."""
        if what.continuation is None or self.variant != "nx2":
            return None
        continuation = to_wire(what.continuation)
        try:
            put_continuation(continuation, self.spoken)
        except WireError as error:
            _LOG.warning("a packet paused for good: %s", error)
            return None
        return continuation

    def _flow_removed(self, gone: Removed) -> None:
        reason = gone.reason
        if self.version == OF10 and reason == "group_delete":
            reason = "delete"
        if not self._wants("flow_removed", REASONS.index(gone.reason)):
            return
        flow = gone.rule.flow
        self.say(
            m.FlowRemoved(
                match=flow.match,
                priority=flow.priority,
                reason=reason,
                table=flow.table,
                cookie=flow.cookie,
                duration=nanoseconds(gone.at - gone.rule.created),
                idle_timeout=flow.idle_timeout,
                hard_timeout=flow.hard_timeout,
                packet_count=gone.packets,
                byte_count=gone.bytes,
                variant="nx" if self.version == OF10 and self.nxm else "",
            ),
            0,
        )

    # -- roles -----------------------------------------------------------------------------------

    def take_role(self, wanted: m.RoleRequest) -> None:
        """Take a role. Raises WireError: a newer election is known (OVS handle_role_request())."""
        if wanted.role == "nochange":
            return
        elected = wanted.role != "equal" and wanted.generation_id != COOKIE_NONE
        if elected and not self.model.elect(wanted.generation_id):
            raise WireError("OFPRRFC_STALE", f"election {wanted.generation_id}")
        if wanted.role == "primary" and self.role != "primary":
            for other in self.peers():
                if other is not self and other.role == "primary":
                    other.step_back()
        self.role = wanted.role

    def step_back(self) -> None:
        """Another controller has become the one primary (OVS ofconn_set_role())."""
        self.role = "secondary"
        if self.version is not None and self.version >= OF13:
            self.say(m.RoleStatus(self.role, "request", self.generation_id()), 0)

    # -- what other controllers are told -----------------------------------------------------------

    def port_mod(self, message: m.PortMod) -> None:
        """Change a port; tell who wants to know (OVS connmgr_send_port_status()).

        Raises WireError.
        """
        before, after = self.model.ports.mod(message)
        for session in self.peers():
            if session is self and self.spoken < OF15:
                continue
            session.port_changed(before, after)

    def port_changed(self, before: m.PortDesc, after: m.PortDesc) -> None:
        """A port was changed, maybe in a way that this version does not know."""
        if not self._wants("port_status", m.PORT_REASONS.index("modify")):
            return
        old, new = (
            encode(m.PortStatus("modify", port), self.spoken, 0) for port in (before, after)
        )
        if old != new:
            self._send(new)

    def change_group(self, message: m.GroupMod) -> m.GroupMod:
        """Change groups; what was done, as other controllers are to be told. Raises WireError."""
        known = message.group_id in self.model.bridge.groups
        self.model.group_mod(message)
        if message.command == "add_or_mod":
            return replace(message, command="modify" if known else "add")
        return message

    def forward(self, body: m.GroupMod | m.MeterMod, kind: str, xid: int) -> None:
        """Tell the other controllers of a change (OVS connmgr_send_requestforward())."""
        for session in self.peers():
            if session is not self:
                session.forwarded(body, kind, xid)

    def forwarded(self, body: m.GroupMod | m.MeterMod, kind: str, xid: int) -> None:
        """Another controller has changed a group or a meter."""
        if kind == "meter" and (self.version is None or self.version < OF13):
            return
        if not self._wants("requestforward", _FORWARDED[kind]):
            return
        if isinstance(body, m.GroupMod) and OF10 < self.spoken < OF15:
            body = self._in_older_words(body)
        self.say(m.RequestForward(encode(body, self.spoken, xid)), 0)

    def _in_older_words(self, body: m.GroupMod) -> m.GroupMod:
        """Before 1.5 there are no commands on buckets: the group as it is now."""
        if body.command not in ("insert_bucket", "remove_bucket"):
            return body
        group = self.model.bridge.groups[body.group_id]
        return replace(body, command="modify", type=group.type, buckets=group.buckets)

    def late(self) -> None:
        """Refuse what was to have more parts that have not come."""
        for data in self._parts.late(self.model.now):
            self.refuse(WireError("OFPBRC_MULTIPART_REQUEST_TIMEOUT"), data)

    # -- flow monitors -----------------------------------------------------------------------------

    def monitor(self, request: s.FlowMonitorRequest, xid: int) -> None:
        """Set up, change or end flow monitors. Raises WireError."""
        before = bool(self.monitors)
        try:
            updates = self.monitors.request(request.entries)
        finally:
            self._watches(before)
        self.reply(s.FlowUpdates(updates), xid)

    def cancel_monitor(self, ident: int) -> None:
        """End a flow monitor. Raises WireError."""
        before = bool(self.monitors)
        self.monitors.cancel(ident)
        self._watches(before)

    def _watches(self, before: bool) -> None:
        if bool(self.monitors) != before:
            self.model.watch(not before)

    def tell_changes(self) -> None:
        """Say what monitors have seen; pause them if the controller does not take it."""
        updates = self.monitors.take()
        if updates:
            self.reply(s.FlowUpdates(updates), 0)
        if updates and not self.monitors.paused and self.waiting() > MOST_WAITING:
            self.monitors.pause()
            self._say_pause("paused", m.MonitorPaused(), ())
        elif self.monitors.paused and not self.waiting():
            self._say_pause("resumed", m.MonitorResumed(), self.monitors.resume())

    def _say_pause(self, event: str, old: Any, updates: tuple[s.FlowUpdate, ...]) -> None:
        """Until 1.3 a message of its own says so, then an update."""
        if updates:
            self.reply(s.FlowUpdates(updates), 0)
        if self.spoken < OF14:
            self.say(old, 0)
        else:
            self.reply(s.FlowUpdates((s.FlowUpdate(event=event),)), 0)

    # -- more of roles ---------------------------------------------------------------------------

    def generation_id(self) -> int:
        """The election that decided the roles."""
        return self.model.election if self.model.election is not None else COOKIE_NONE

    def packet_in_format(self, number: int) -> None:
        """Which of its forms a packet-in takes. Raises WireError: there is no such form."""
        if number >= len(_VARIANTS):
            raise WireError("OFPBRC_EPERM", f"packet-in format {number}")
        self.variant = _VARIANTS[number]
