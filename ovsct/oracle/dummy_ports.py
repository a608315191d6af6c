"""The sockets behind the ports of OVS's dummy datapath: what leaves each port, frame by frame.

A dummy port with ``options:pstream`` writes each frame behind its length, a big-endian 16-bit
number, to everyone connected (OVS: lib/netdev-dummy.c, dummy_packet_stream_run).
"""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ovsct.errors import OvsctError

LONGEST_FRAME: Final = 0xFFFF
"""What the 16-bit length can say."""

QUEUE_LIMIT: Final = 100
"""Frames that may wait to leave a port; the program drops more in silence (NETDEV_DUMMY_MAX_QUEUE
of lib/netdev-dummy.c)."""


class PortSockets:
    """One connection a port, read without waiting.

    Args:
        paths: the socket of each port.

    Raises:
        OvsctError: a port's socket cannot be connected to.
    """

    def __init__(self, paths: Mapping[int, Path]) -> None:
        self._poll = select.poll()
        self._sockets: dict[int, tuple[int, socket.socket]] = {}
        self._received: dict[int, bytearray] = {port: bytearray() for port in paths}
        try:
            for port, path in paths.items():
                self._connect(port, path)
        except BaseException:
            self.close()
            raise

    def _connect(self, port: int, path: Path) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sockets[connection.fileno()] = (port, connection)
        try:
            connection.connect(str(path))
        except OSError as error:
            raise OvsctError(f"{path.name}: {error.strerror or error}") from error
        connection.setblocking(False)
        self._poll.register(connection.fileno(), select.POLLIN)

    def drain(self, frames: dict[int, list[bytes]]) -> bool:
        """Add what has come out of each port to `frames`; True if any byte had.

        Raises:
            OvsctError: a port was closed by the other side.
        """
        progress = False
        while ready := self._poll.poll(0):
            for descriptor, _ in ready:
                port, connection = self._sockets[descriptor]
                chunk = connection.recv(1 << 18)
                if not chunk:
                    raise OvsctError(f"port {port} was closed by ovs-vswitchd")
                progress = True
                self._split(port, chunk, frames)
        return progress

    def _split(self, port: int, chunk: bytes, frames: dict[int, list[bytes]]) -> None:
        received = self._received[port]
        received += chunk
        start = 0
        while len(received) - start >= 2:
            end = start + 2 + int.from_bytes(received[start : start + 2], "big")
            if end > len(received):
                break
            frames.setdefault(port, []).append(bytes(received[start + 2 : end]))
            start = end
        del received[:start]

    def close(self) -> None:
        """Close every connection."""
        for _, connection in self._sockets.values():
            connection.close()
        self._sockets.clear()
