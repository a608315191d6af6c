"""Events: what happens to a lane from outside, read from a file as a stream.

An event is a frame that comes in (:class:`~ovsct.lane.Arrival`), time that passes
(:class:`Advance`), or, in scenarios, a change (:data:`~ovsct.lane.Change`). Files are ``.jsonl``
(one ``{"at": seconds, "port": n, "frame": "hex"}`` a line, or ``{"at": seconds}``), ``.pcap`` and
``.pcapng``. One record is held at a time, so a file of any size needs the same memory.

Times of a capture count from the whole second of its first record. Records stand in the order of
their times; one that does not is an error, for sorting would silently change what happens.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeAlias

from ovsct.errors import InputError
from ovsct.lane import Arrival, Change
from ovsct.packet.capture import CaptureReader, port_of
from ovsct.packet.pcap import PcapReader
from ovsct.packet.pcapng import PcapngReader
from ovsct.packet.read_capture import read_capture

MAX_PORT: Final = 65279
"""The highest port number that OVS gives (OFPP_MAX - 1, openflow-1.0.h)."""


class Advance(NamedTuple):
    """Time passes until `at` (seconds)."""

    at: float


Happening: TypeAlias = Arrival | Advance | Change

Tick: TypeAlias = Callable[[int], object]
"""Told of every so many bytes read, for a progress bar."""

_SUFFIXES: Final = (".jsonl", ".pcap", ".pcapng", ".cap")
_KEYS: Final = frozenset({"at", "port", "frame"})
_SORT: Final = "sort it by time first (a capture: `reordercap IN OUT`)"


def read_events(
    path: str,
    *,
    port: int | None = None,
    tick: Tick | None = None,
    known: Collection[int] | None = None,
) -> Iterator[Happening]:
    """The events of a file, in order.

    Args:
        path: a ``.jsonl``, ``.pcap`` or ``.pcapng``; ``-`` is standard input. What its name
            does not tell apart, its first bytes do.
        port: the port of a ``.pcap``, which does not say it itself. For other files it is an error.
        tick: called now and then with the bytes read since the last call.
        known: the ports that there are; None: any.

    Raises:
        InputError: the file cannot be opened or is none of the three; iterating raises it for a
            record that is malformed, cut short or out of time order, and for a packet on a port
            that is not known.
    """
    with _open(path) as file:
        source = _Ticking(file, tick) if tick is not None else file
        if _is_lines(path, file):
            if port is not None:
                raise InputError(
                    "--port is for a .pcap: every line of a .jsonl names its port", file=path
                )
            lines = _read_lines(source, path)
            yield from lines if known is None else on_ports(lines, known, path)
        else:
            reader = read_capture(source, path, origin=None)
            yield from _arrivals(reader, path, port, known)


def on_ports(events: Iterable[Happening], ports: Collection[int], name: str) -> Iterator[Happening]:
    """The same events; a frame on a port that the bridge does not have is an error.

    Raises:
        InputError: naming the packet (from 1), its port and the ports there are.
    """
    known = frozenset(ports)
    packets = 0
    for event in events:
        if isinstance(event, Arrival):
            packets += 1
            if event.port not in known:
                raise _no_port(packets, event.port, known, name)
        yield event


def _no_port(packet: int, port: int, known: Collection[int], name: str) -> InputError:
    return InputError(
        f"packet {packet} comes in on a port that is not there",
        file=name,
        token=str(port),
        expected=f"one of {', '.join(map(str, sorted(known)))}" if known else None,
        hint="name the ports with --ports",
    )


_PORT_VALUE: Final = re.compile(rb'"port"\s*:\s*(\d+)')


def ports_of(path: str, *, port: int | None = None) -> set[int]:
    """The ports that the events of a file name; the file is gone through once for it.

    Of a ``.pcap`` it is `port`, of a pcapng every interface, with packets or without. What is no
    regular file (standard input, a pipe) cannot be gone through twice: it is `port`, or nothing.

    Raises:
        InputError: as :func:`read_events`.
    """
    if path == "-" or (Path(path).exists() and not Path(path).is_file()):
        return set() if port is None else {port}
    with _open(path) as file:
        if _is_lines(path, file):
            # A wrong line is found, and told, by whoever reads the events themselves.
            return {int(found) for line in file for found in _PORT_VALUE.findall(line)}
        reader = read_capture(file, path, origin=None)
        if isinstance(reader, PcapReader):
            return set() if port is None else {port}
        assert isinstance(reader, PcapngReader)
        reader.skim()
        return {port_of(index, face.name) for index, face in enumerate(reader.interfaces)}


# -- files --------------------------------------------------------------------------------------


def _open(path: str) -> AbstractContextManager[IO[bytes]]:
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return open(path, "rb")  # the caller's with closes it
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None


def _is_lines(path: str, file: IO[bytes]) -> bool:
    suffix = Path(path).suffix.lower()
    if suffix in _SUFFIXES:
        return suffix == ".jsonl"
    head = file.peek(4) if isinstance(file, BufferedReader) else b"{"
    return head[:1] in (b"{", b"\n", b"\r", b" ")


class _Ticking:
    """A file that tells how much was read from it."""

    def __init__(self, file: IO[bytes], tick: Tick) -> None:
        self._file = file
        self._tick = tick

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._tick(len(data))
        return data

    def __iter__(self) -> Iterator[bytes]:
        pending = 0
        for line in self._file:
            pending += len(line)
            if pending > 1 << 16:
                self._tick(pending)
                pending = 0
            yield line
        self._tick(pending)


# -- jsonl --------------------------------------------------------------------------------------


def _read_lines(lines: Iterable[bytes], name: str) -> Iterator[Happening]:
    loads, fromhex, make = json.loads, bytes.fromhex, Arrival
    last = -math.inf
    for number, line in enumerate(lines, start=1):
        try:
            record = loads(line)
            at, port, frame = record["at"], record["port"], record["frame"]
            if type(at) is int:
                at = float(at)
            if type(at) is not float or type(port) is not int or len(record) != 3:
                raise ValueError
            event: Happening = make(at, port, fromhex(frame))
            if not (last <= at < math.inf and 1 <= port <= MAX_PORT):
                raise ValueError
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            # The everyday line is done; this one is looked at with care.
            if not line.strip():
                continue
            event = _careful(line.rstrip(), name, number)
            if event.at < last:
                raise _disorder(event.at, last, name, f"line {number}", number) from None
        last = event.at
        yield event


def _careful(line: bytes, name: str, number: int) -> Happening:
    """The event of one line, or the error that says what is wrong with it."""

    def wrong(problem: str, token: object = None, expected: str | None = None) -> InputError:
        text = None if token is None else json.dumps(token)
        if text is not None and len(text) > 60:
            text = f"{text[:57]}..."
        return InputError(problem, file=name, line=number, token=text, expected=expected)

    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg}", file=name, line=number, column=error.colno,
            token=line[error.pos : error.pos + 20].decode(errors="replace").strip() or None,
            expected='{"at": seconds, "port": n, "frame": "hex"}',
        ) from None  # fmt: skip
    except UnicodeDecodeError as error:
        raise wrong(f"not JSON: byte {error.start} of the line is not UTF-8") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, deep nesting
        raise wrong(f"not JSON that can be read: {error}") from None
    if not isinstance(record, dict):
        raise wrong("not an event", record, 'an object {"at": ..., "port": ..., "frame": ...}')
    for key in record:
        if key not in _KEYS:
            raise wrong("unknown key", key, "at, port and frame")
    if "at" not in record:
        raise wrong("an event without a time", None, '"at": seconds')
    at = record["at"]
    if isinstance(at, bool) or not isinstance(at, int | float) or not abs(at) < 1e18:
        raise wrong("this is no time", at, "seconds, a finite number")
    if record.keys() == {"at"}:
        return Advance(float(at))
    for key in ("port", "frame"):
        if key not in record:
            raise wrong(f"a packet without {key!r}", None, '"at", "port" and "frame"')
    port, frame = record["port"], record["frame"]
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= MAX_PORT:
        raise wrong("this is no port", port, f"a number from 1 to {MAX_PORT}")
    if not isinstance(frame, str):
        raise wrong("this is no frame", frame, "its bytes as hex digits in quotes")
    try:
        return Arrival(float(at), port, bytes.fromhex(frame))
    except ValueError as error:
        raise wrong(f"this is no frame: {error}", frame, "pairs of hex digits") from None


# -- captures -----------------------------------------------------------------------------------


def _arrivals(
    reader: CaptureReader, name: str, port: int | None, known: Collection[int] | None
) -> Iterator[Arrival]:
    """The packets of a capture on their ports. One loop, for a capture can be long."""
    single = isinstance(reader, PcapReader)
    if single and port is None:
        raise InputError(
            "a .pcap does not say which port its packets come in on", file=name,
            hint="give --port N",
        )  # fmt: skip
    if not single and port is not None:
        raise InputError(
            "--port is for a .pcap: in a pcapng the interface is the port", file=name
        )
    ports: list[int] = [port] if port is not None else []
    new = tuple.__new__  # half the price of Arrival(...), which checks arguments once more
    last = -math.inf
    for number, (at, interface, frame, _length) in enumerate(reader, start=1):
        if interface >= len(ports):
            _learn(reader, ports, name)
        if at < last:
            raise _disorder(at, last, name, f"record {number}", None)
        last = at
        here = ports[interface]
        if known is not None and here not in known:
            raise _no_port(number, here, known, name)
        yield new(Arrival, (at, here, frame))


def _learn(reader: CaptureReader, ports: list[int], name: str) -> None:
    """Give the interfaces that are new their ports. A section may describe the same port again."""
    faces = reader.interfaces
    for index in range(len(ports), len(faces)):
        try:
            port = port_of(index, faces[index].name)
        except InputError as error:
            raise error.at(file=name) from None
        for other, taken in enumerate(ports):
            if taken == port and faces[other].name != faces[index].name:
                raise InputError(
                    f"interfaces {other} ({faces[other].name!r}) and {index}"
                    f" ({faces[index].name!r}) would both be port {port}",
                    file=name,
                    hint="name each p<n>, n being its port",
                )
        ports.append(port)


def _disorder(at: float, last: float, name: str, what: str, line: int | None) -> InputError:
    return InputError(
        f"{what} is of time {at!r}, before the one ahead of it",
        file=name, line=line, expected=f"{last!r} or later", hint=_SORT,
    )  # fmt: skip
