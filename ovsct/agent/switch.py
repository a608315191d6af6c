"""The switch as a program: its sockets, its clock, and the connections of controllers.

All of it runs in one asyncio loop; the model is only ever touched from there, one message or one
frame at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from ovsct.agent import unixctl
from ovsct.agent.captures import Captures, Replayed
from ovsct.agent.clock import Clock
from ovsct.agent.commands import Commands
from ovsct.agent.connection import Connection
from ovsct.agent.frames import PortStreams
from ovsct.agent.model import ModelBridge, Told, models_of
from ovsct.agent.monitors import FlowChange
from ovsct.agent.rules import LOOK_EVERY
from ovsct.agent.session import Session
from ovsct.agent.sockets import Place, connect, listen, listen_for
from ovsct.errors import InputError
from ovsct.lanes.ovs import OvsLane

_LOG: Final = logging.getLogger(__name__)

PROBE: Final = 5.0
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 8.0
"""Back-off of a connection to a controller, in seconds (OVS lib/reconnect.c)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """Where the switch is to be reached: OpenFlow places, the control socket, the ports' folder.

    `openflow` are those of the first bridge, `bridges` of each by name.
    """

    openflow: Sequence[Place] = ()
    bridges: Mapping[str, Sequence[Place]] = field(default_factory=dict)
    unixctl: Path | None = None
    ports: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """The folder for captures of the ports, and the frames that come in from the start."""

    folder: Path | None = None
    replayed: Sequence[Replayed] = ()


class Switch:
    """A lane behind sockets; each of its bridges has connections of its own.

    Args:
        lane: what forwards.
        sockets: where it is to be reached.
        clock: its time.
        captured: what is written to captures, and what comes in from them.
    """

    def __init__(
        self,
        lane: OvsLane,
        sockets: Sockets,
        clock: Clock | None = None,
        captured: Captured | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.models = models_of(lane, self.clock.now())
        self.model = self.models[0]
        self._sockets = sockets
        self._connections: dict[ModelBridge, set[Connection]] = {}
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._streams: PortStreams | None = None
        self._captured = captured or Captured()
        self._captures: Captures | None = None
        for model in self.models:
            self._connections[model] = set()
            model.tell = partial(self._tell, model)
            model.wants_misses = partial(self._wants_misses, model)

    async def run(self) -> None:
        """Serve until told to end. Raises OvsctError: a place cannot be listened on."""
        try:
            await self._start()
            await self._ended.wait()
        finally:
            self._close()

    def leave(self) -> None:
        """End :meth:`run`, once what is being answered has been."""
        asyncio.get_running_loop().call_later(0.05, self._ended.set)

    async def _start(self) -> None:
        ports = self.model.bridge.backer.ports
        if self._captured.folder is not None:
            self._captures = Captures(self._captured.folder, ports, self.clock.now)
        if self._sockets.ports is not None:
            self._streams = PortStreams(self._sockets.ports, self._frame)
            await self._streams.start(ports)
        for model in self.models:
            if self._captures is not None:
                model.arrived = self._captures.came
            if self._captures is not None or self._streams is not None:
                model.deliver = self._deliver
        if self._sockets.unixctl is not None:
            commands = Commands(self.models, self.clock, self.leave).table

            async def control(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter
            ) -> None:
                self._now()
                await unixctl.serve(commands, reader, writer)

            self._servers.append(await listen(Place(True, self._sockets.unixctl), control))
        for model, place in self._places():
            if place.listen:
                accepted = partial(self._connection, model, service=True)
                self._servers.append(await listen_for(place, accepted))
            else:
                self._spawn(self._reach(model, place))
        self._spawn(self._tick())
        if self._captured.replayed:
            self._spawn(self._replay())

    def _places(self) -> Iterator[tuple[ModelBridge, Place]]:
        for place in self._sockets.openflow:
            yield self.model, place
        for name, places in self._sockets.bridges.items():
            for place in places:
                yield self.model.mates[name], place

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for server in self._servers:
            server.close()
        for connections in self._connections.values():
            for connection in tuple(connections):
                connection.close()
        if self._streams is not None:
            self._streams.close()
        if self._captures is not None:
            self._captures.close()
        for path in (*(place.path for _, place in self._places() if place.listen),
                     self._sockets.unixctl):  # fmt: skip
            if path is not None:
                path.unlink(missing_ok=True)

    # -- time and frames -----------------------------------------------------------------------

    def _now(self) -> None:
        now = self.clock.now()
        if now > self.model.now:
            self.model.advance(now)
            self._tell_changes()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._now()
            for model in self.models:
                for session in self._peers(model):
                    session.late()

    def _frame(self, port: int, frame: bytes) -> None:
        self._now()
        if len(frame) >= 14:
            bridge, _ = self.model.bridge.backer.entry(port, self.model.bridge)
            self.model.mates[bridge.name].receive(port, frame)
            self._tell_changes()

    def _deliver(self, port: int, frame: bytes) -> None:
        if self._captures is not None:
            self._captures.went(port, frame)
        if self._streams is not None:
            self._streams.send(port, frame)

    async def _replay(self) -> None:
        """Have the frames of captures come in, as far apart as they were captured."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for each in self._captured.replayed:
            await asyncio.sleep(begun + each.at - loop.time())
            self._frame(each.port, each.frame)

    # -- OpenFlow ------------------------------------------------------------------------------

    def _connection(self, model: ModelBridge, *, service: bool) -> Connection:
        def session(send: Callable[[bytes], None]) -> Session:
            made = Session(model, send, service=service)
            made.peers = partial(self._peers, model)
            made.waiting = lambda: connection.waiting
            return made

        connections = self._connections[model]
        connection = Connection(session, self._now, connections.discard)
        connections.add(connection)
        return connection

    def _peers(self, model: ModelBridge) -> tuple[Session, ...]:
        """The connections of a bridge that are under way."""
        return tuple(
            each.session for each in self._connections[model] if each.session is not None
        )

    async def _reach(self, model: ModelBridge, place: Place) -> None:
        """Keep a connection to a controller."""
        wait = FIRST_WAIT
        while True:
            connection = self._connection(model, service=False)
            try:
                await connect(place, connection)
            except OSError as error:
                self._connections[model].discard(connection)
                _LOG.info("controller %s: %s", place, error.strerror or error)
            else:
                wait = FIRST_WAIT
                await self._probed(connection)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    @staticmethod
    async def _probed(connection: Connection) -> None:
        """Wait for the end of a connection to a controller, and ask now and then for a sign."""
        while not connection.over.done():
            before = connection.taken
            await asyncio.wait((connection.over,), timeout=PROBE)
            if connection.taken == before and not connection.over.done():
                connection.probe()

    def _wants_misses(self, model: ModelBridge) -> bool:
        return any(session.wants_misses for session in self._peers(model))

    def _tell(self, model: ModelBridge, what: Told) -> None:
        for connection in tuple(self._connections[model]):
            if connection.session is None:
                continue
            if isinstance(what, FlowChange) or not connection.full:
                connection.session.told(what)

    def _tell_changes(self) -> None:
        """Send what flow monitors have seen without a message of a controller's."""
        for model in self.models:
            if model.watched:
                for session in self._peers(model):
                    session.tell_changes()


def check_lane(lane: object) -> OvsLane:
    """`lane` as one that can be a switch. Raises InputError: it cannot."""
    if isinstance(lane, OvsLane) and lane.name in ("ovs-userspace", "ovs-kernel"):
        return lane
    raise InputError(
        "this lane cannot be a switch", token=getattr(lane, "name", type(lane).__name__),
        expected="ovs-userspace or ovs-kernel",
    )  # fmt: skip
