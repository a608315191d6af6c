"""A modelled switch for a controller's tests: OpenFlow on real sockets, in a thread of the test."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from ovsct.agent.clock import Clock
from ovsct.agent.rules import Filter
from ovsct.agent.sockets import Place, place
from ovsct.agent.switch import Sockets, Switch, check_lane
from ovsct.errors import InputError, OvsctError
from ovsct.lanes.make import Setup, Text, make
from ovsct.openflow.match import Match
from ovsct.openflow.text.flow_text import format_flow
from ovsct.openflow.text.group_text import format_group
from ovsct.openflow.wire.numbers import TABLE_ALL
from ovsct.testing.packets import Frame, frame_of

PATIENCE: Final = 20.0
"""Seconds that a ``wait_...`` waits unless told otherwise: ample, since it ends with its cause."""

T = TypeVar("T")


class OvsSwitch:
    """A modelled switch that controllers and ``ovs-ofctl`` talk to; a context manager.

    It listens on the unix socket `openflow`, and connects to controllers on request. Its time is
    real time, and more on top if a test says so. All of it runs in one thread; the methods may be
    called from any other.

    Args:
        controller: a controller to connect to: ``tcp:127.0.0.1:6653``, ``unix:PATH``.
        lane: what forwards: ``ovs-userspace`` or ``ovs-kernel``.
        ports: how many (1 to n), or their OpenFlow numbers.
        name: its name, which makes its datapath id.

    Raises:
        InputError: no such lane, or no such place.
    """

    def __init__(
        self,
        controller: str | None = None,
        *,
        lane: str = "ovs-userspace",
        ports: int | Iterable[int] = 4,
        name: str = "br0",
    ) -> None:
        numbers = range(1, ports + 1) if isinstance(ports, int) else ports
        self._lane = check_lane(make(lane, Setup(ports=tuple(numbers), flows=Text("", "flows"))))
        self._lane.bridge.name = name
        self._controller = None if controller is None else _reached(controller)
        self._came: dict[int, deque[bytes]] = defaultdict(deque)
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._switch: Switch | None = None

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> OvsSwitch:
        """Start it, and wait until it listens. Raises OvsctError: it does not come up."""
        if self._thread is not None:
            raise OvsctError("this switch is running already")
        self._folder = tempfile.TemporaryDirectory(prefix="ovsct-")
        self._thread = threading.Thread(target=self._run, name="ovsct switch", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            error = self._error
            self.stop()
            raise OvsctError(f"the switch did not start: {error}") from error
        return self

    def stop(self) -> None:
        """End it; its connections are closed. Calling it again does nothing."""
        if self._thread is None:
            return
        if self._loop is not None and self._switch is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._switch.leave)
        self._thread.join()
        self._thread = None
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> OvsSwitch:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  (it is raised in the test's thread)
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        places = [Place(True, self._socket)]
        if self._controller is not None:
            places.append(self._controller)
        switch = self._switch = Switch(self._lane, Sockets(openflow=places), Clock())
        switch.model.deliver = self._deliver
        running = self._loop.create_task(switch.run())
        while not self._socket.exists() and not running.done():
            await asyncio.sleep(0)
        if not running.done():
            self._ready.set()
        await running

    def _deliver(self, port: int, frame: bytes) -> None:
        with self._changed:
            self._came[port].append(frame)
            self._changed.notify_all()

    # -- where it is ---------------------------------------------------------------------------

    @property
    def _socket(self) -> Path:
        if self._folder is None:
            raise OvsctError("this switch is not running: start it first")
        return Path(self._folder.name) / "openflow"

    @property
    def openflow(self) -> str:
        """Where it listens, as ``ovs-ofctl`` takes it: ``unix:PATH``."""
        return f"unix:{self._socket}"

    @property
    def datapath_id(self) -> int:
        """What it calls itself in OpenFlow."""
        return self.ask(lambda switch: switch.model.datapath_id)

    # -- what a test does ----------------------------------------------------------------------

    def ask(self, question: Callable[[Switch], T]) -> T:
        """Have `question` answered in the switch's own thread, with the switch as it is then.

        Raises:
            OvsctError: it is not running.
        """
        switch, loop = self._switch, self._loop
        if switch is None or loop is None or self._thread is None or not self._thread.is_alive():
            raise OvsctError("this switch is not running: start it first")
        there: Switch = switch

        async def answer() -> T:
            return question(there)

        return asyncio.run_coroutine_threadsafe(answer(), loop).result(PATIENCE)

    def send(self, port: int, packet: Frame) -> None:
        """Send a packet, bytes or words, into a port; its actions have been run on return.

        Raises:
            InputError: there is no such port, or the words are no packet.
        """
        frame = frame_of(packet)

        def receive(switch: Switch) -> None:
            switch.model.advance(switch.clock.now())
            switch.model.receive(port, frame)

        self.ask(receive)

    def advance(self, seconds: float) -> None:
        """Let time pass: flows and connections end."""

        def warp(switch: Switch) -> None:
            switch.clock.warp(seconds)
            switch.model.advance(switch.clock.now())

        self.ask(warp)

    def received(self, port: int) -> list[bytes]:
        """The frames that have left by `port` since this was last asked; waits for none."""
        with self._changed:
            frames = list(self._came[port])
            self._came[port].clear()
        return frames

    def wait_for_frame(self, port: int, timeout: float = PATIENCE) -> bytes:
        """The next frame that leaves by `port`, a packet-out for one.

        Raises:
            TimeoutError: none came within `timeout` seconds; says what the switch holds.
        """
        with self._changed:
            if self._changed.wait_for(lambda: bool(self._came[port]), timeout):
                return self._came[port].popleft()
        raise TimeoutError(
            f"nothing left by port {port} within {timeout:g} s; the flows are:\n"
            + ("\n".join(f"    {line}" for line in self.dump_flows()) or "    none")
        )

    def wait_for(self, what: Callable[[OvsSwitch], T], timeout: float = PATIENCE) -> T:
        """Ask `what` of this switch until the answer is true, and give it.

        Raises:
            TimeoutError: it was not within `timeout` seconds; says what the switch holds.
        """
        deadline = time.monotonic() + timeout
        while True:
            answer = what(self)
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"not within {timeout:g} s; the flows are:\n"
                    + ("\n".join(f"    {line}" for line in self.dump_flows()) or "    none")
                )
            time.sleep(0.01)

    def wait_for_flow(self, text: str, timeout: float = PATIENCE) -> str:
        """The first flow whose line in :meth:`dump_flows` holds `text`, once there is one.

        Raises:
            TimeoutError: there was none within `timeout` seconds; says which there are.
        """

        def found(switch: OvsSwitch) -> str:
            return next((line for line in switch.dump_flows() if text in line), "")

        return self.wait_for(found, timeout)

    # -- what it holds -------------------------------------------------------------------------

    def dump_flows(self) -> list[str]:
        """The flows with ``n_packets`` and ``n_bytes``."""

        def flows(switch: Switch) -> list[str]:
            return [
                f"n_packets={packets}, n_bytes={size}, {format_flow(rule.flow).strip()}"
                for rule, packets, size in switch.model.flows(Filter(TABLE_ALL, Match()))
            ]

        return self.ask(flows)

    def dump_groups(self) -> list[str]:
        """The groups."""
        return self.ask(
            lambda switch: [format_group(each) for each in switch.model.bridge.groups.values()]
        )

    def dump_conntrack(self) -> list[str]:
        """The connections, as ``ovs-appctl dpctl/dump-conntrack`` writes them."""
        return self.ask(lambda switch: switch.model.lane.dump_conntrack())


def _reached(text: str) -> Place:
    where = place(text)
    if where.listen:
        raise InputError(
            "a controller is reached, not listened for", token=text,
            expected="tcp:HOST[:PORT] or unix:PATH",
        )  # fmt: skip
    return where
