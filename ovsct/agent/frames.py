"""Frames through sockets, as through the ports of OVS's dummy datapath.

Each port listens on ``p<n>.sock``; everybody who connects gets each frame that leaves, behind its
length (16 bits, big-endian), and may send frames in the same form (OVS lib/netdev-dummy.c,
dummy_packet_stream_run()).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ovsct.agent.sockets import Place, listen

QUEUE_LIMIT: Final = 1 << 20
"""Bytes that may wait for a reader; frames beyond are dropped, as OVS drops them."""

LONGEST: Final = 0xFFFF


class PortStreams:
    """The sockets of all ports.

    Args:
        folder: where the sockets are made.
        take: gets each frame that comes in, with its port.
    """

    def __init__(self, folder: Path, take: Callable[[int, bytes], None]) -> None:
        self._folder = folder
        self._take = take
        self._writers: dict[int, set[asyncio.StreamWriter]] = {}
        self._servers: list[asyncio.Server] = []
        self.dropped = 0

    async def start(self, ports: list[int]) -> None:
        """Listen for each of `ports`. Raises OvsctError."""
        for port in ports:
            self._writers[port] = set()

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port
            ) -> None:
                await self._serve(port, reader, writer)

            place = Place(True, self._folder / f"p{port}.sock")
            self._servers.append(await listen(place, serve))

    async def _serve(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers[port].add(writer)
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                self._take(port, await reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the other side has gone
        finally:
            self._writers[port].discard(writer)
            writer.close()

    def send(self, port: int, frame: bytes) -> None:
        """A frame leaves a port."""
        if len(frame) > LONGEST:
            self.dropped += 1
            return
        for writer in self._writers.get(port, ()):
            if writer.transport.get_write_buffer_size() > QUEUE_LIMIT:
                self.dropped += 1
            else:
                writer.write(len(frame).to_bytes(2, "big") + frame)

    def close(self) -> None:
        """Listen no more, and take the sockets away."""
        for server in self._servers:
            server.close()
        for port, writers in self._writers.items():
            for writer in list(writers):
                writer.close()
            (self._folder / f"p{port}.sock").unlink(missing_ok=True)
