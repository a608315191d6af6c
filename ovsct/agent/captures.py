"""What goes through the ports, into pcap files and out of them.

As the options ``rxq_pcap`` and ``tx_pcap`` of OVS's dummy ports (lib/netdev-dummy.c): a file a port
and direction, and every frame is in it as soon as it has passed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from ovsct.errors import InputError, OvsctError
from ovsct.packet.pcap import PcapWriter
from ovsct.packet.read_capture import read_capture

_LOG: Final = logging.getLogger(__name__)


class Replayed(NamedTuple):
    """A frame to come in: seconds after the first one of all, the port, the frame."""

    at: float
    port: int
    frame: bytes


class Captures:
    """The files of all ports: ``p<n>-rx.pcap`` with what came in, ``p<n>-tx.pcap`` with what went.

    Args:
        folder: where they are made; files of these names are overwritten.
        ports: their numbers.
        now: the time in seconds since the switch began.

    Raises:
        OvsctError: a file cannot be made.
    """

    def __init__(self, folder: Path, ports: Iterable[int], now: Callable[[], float]) -> None:
        self._now = now
        self._files = ExitStack()
        origin = int(time.time() - now())
        self._writers: dict[tuple[int, str], PcapWriter] = {}
        for port in ports:
            for direction in ("rx", "tx"):
                path = folder / f"p{port}-{direction}.pcap"
                try:
                    file = self._files.enter_context(path.open("wb", buffering=0))
                except OSError as error:
                    self.close()
                    raise OvsctError(f"cannot write {path}: {error.strerror}") from None
                self._writers[port, direction] = PcapWriter(file, origin=origin)

    def came(self, port: int, frame: bytes) -> None:
        """A frame came in on a port."""
        self._write(port, "rx", frame)

    def went(self, port: int, frame: bytes) -> None:
        """A frame went out of a port."""
        self._write(port, "tx", frame)

    def _write(self, port: int, direction: str, frame: bytes) -> None:
        writer = self._writers.get((port, direction))
        if writer is None:
            return
        try:
            writer.write(self._now(), frame)
        except OSError as error:
            _LOG.warning("port %d is captured no more: %s", port, error.strerror)
            del self._writers[port, direction]

    def close(self) -> None:
        """The end of the files."""
        self._files.close()


def read_replayed(captures: Iterable[tuple[int, Path]]) -> list[Replayed]:
    """The frames of captures by port, pcap or pcapng, in the order of their times.

    Raises:
        InputError: a file cannot be read, or is no capture of whole Ethernet frames.
    """
    found: list[Replayed] = []
    for port, path in captures:
        try:
            with path.open("rb") as file:
                reader = read_capture(file, str(path))
                found += [Replayed(each.at, port, each.frame) for each in reader]
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", file=str(path)) from None
    found.sort(key=lambda each: each.at)
    first = found[0].at if found else 0.0
    return [each._replace(at=each.at - first) for each in found]
