"""An OpenFlow connection on its socket: bytes between a transport and a :class:`Session`.

It reads no more than a piece at a time, and nothing while the other side does not take what it is
sent: so one connection costs the others a few milliseconds at most, and never memory without end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ovsct.agent.session import Closed, Session
from ovsct.openflow.wire import messages as m

_LOG: Final = logging.getLogger(__name__)

READ_SIZE: Final = 1 << 15
"""Bytes that are read at once: some three hundred flow mods."""

FULL: Final = 1 << 22
"""Bytes that may wait for a controller before its asynchronous messages are dropped."""


class Connection(asyncio.BufferedProtocol):
    """One connection.

    Args:
        open_session: makes the session of a connection from what sends its bytes.
        begin: called before bytes are taken in (the time is now).
        ended: called with this when it is over.

    `taken` counts the bytes that have come; `over` is done when it is.
    """

    def __init__(
        self,
        open_session: Callable[[Callable[[bytes], None]], Session],
        begin: Callable[[], None],
        ended: Callable[[Connection], None],
    ) -> None:
        self._open_session = open_session
        self._begin = begin
        self._ended = ended
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._transport: asyncio.Transport | None = None
        self.session: Session | None = None
        self._unanswered = 0
        self.taken = 0
        self.over = asyncio.get_running_loop().create_future()

    # -- what asyncio calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.session = self._open_session(transport.write)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        assert self.session is not None
        self.taken += nbytes
        self._unanswered = 0
        self._begin()
        try:
            self.session.feed(bytes(self._buffer[:nbytes]))
        except Closed as error:
            _LOG.info("connection ended: %s", error)
            self.close()

    def eof_received(self) -> bool:
        """The other side says no more: it is over."""
        return False

    def pause_writing(self) -> None:
        """Too much waits to be sent: nothing more is answered until it is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """What waited is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        if exc is not None:
            _LOG.info("connection ended: %s", exc)
        if self.session is not None:
            self.session.end()
        self._ended(self)
        if not self.over.done():
            self.over.set_result(None)

    # -- what the switch calls -------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def full(self) -> bool:
        """Whether so much waits to be sent that what was not asked for is dropped."""
        return self._transport is None or self.waiting > FULL

    def probe(self) -> None:
        """Ask whether the controller lives; one that has not answered is given up."""
        assert self.session is not None
        if self.session.version is None:
            return
        self._unanswered += 1
        if self._unanswered > 1:
            _LOG.info("connection ended: no answer to a probe")
            self.close()
        else:
            self.session.say(m.EchoRequest(), 0)

    def close(self) -> None:
        """End it, once what was said has been sent."""
        if self._transport is not None:
            self._transport.close()
