"""Listening and connecting by OVS's names: ``punix:PATH``, ``unix:PATH``, ``ptcp:[PORT][:HOST]``,
``tcp:HOST[:PORT]`` (ovs-ofctl(8), ovsdb(7)).
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from ovsct.errors import InputError, OvsctError

DEFAULT_PORT: Final = 6653
LONGEST_PATH: Final = 107
"""Bytes that a unix socket's path may have (unix(7))."""

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_PTCP = re.compile(r"ptcp:(\d+)?(?::(\[[^\]]*\]|[^:]+))?\Z")
_TCP = re.compile(r"tcp:(\[[^\]]*\]|[^:]+)(?::(\d+))?\Z")


class Place(NamedTuple):
    """Where to listen or connect: a path, or host and port."""

    listen: bool
    path: Path | None = None
    host: str = ""
    port: int = 0


def place(text: str) -> Place:
    """Read such a name. Raises InputError: it is none."""
    kind, colon, rest = text.partition(":")
    if kind in ("punix", "unix") and rest:
        if len(os.fsencode(rest)) > LONGEST_PATH:
            raise InputError(
                f"a unix socket's path has at most {LONGEST_PATH} bytes", token=rest
            )
        return Place(kind == "punix", Path(rest))
    found = _PTCP.match(text if colon else f"{text}:")
    if found is not None:
        host = (found[2] or "127.0.0.1").strip("[]")
        return Place(True, None, host, _port(found[1], text))
    found = _TCP.match(text)
    if found is not None:
        return Place(False, None, found[1].strip("[]"), _port(found[2], text))
    raise InputError(
        "this is no place to listen or connect", token=text,
        expected="punix:PATH, unix:PATH, ptcp:[PORT][:HOST] or tcp:HOST[:PORT]",
    )  # fmt: skip


def _port(text: str | None, whole: str) -> int:
    number = int(text) if text else DEFAULT_PORT
    if number > 0xFFFF:
        raise InputError("there is no such TCP port", token=whole)
    return number


def _clear(path: Path) -> None:
    """Take away a socket that nobody listens on any more. Raises OvsctError: somebody does."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OvsctError(f"{path}: is there already, and no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise OvsctError(f"{path}: {error.strerror or error}") from error
    raise OvsctError(f"{path}: somebody listens there already")


def _bound(path: Path) -> socket.socket:
    """A unix socket that is private to its owner (mode 0600). Raises OSError, OvsctError."""
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the first moment: a umask does that, chmod would be late.
    old = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(old)
    return listener


def _no_place(where: Place, error: OSError) -> OvsctError:
    named = where.path if where.path is not None else f"{where.host}:{where.port}"
    return OvsctError(f"{named}: {error.strerror or error}")


async def listen(where: Place, serve: Serve) -> asyncio.Server:
    """Listen; `serve` gets the streams of each connection.

    Raises OvsctError: nothing can be listened on there.
    """
    try:
        if where.path is None:
            return await asyncio.start_server(serve, where.host, where.port)
        return await asyncio.start_unix_server(serve, sock=_bound(where.path))
    except OSError as error:
        raise _no_place(where, error) from error


async def listen_for(where: Place, accepted: Callable[[], asyncio.BaseProtocol]) -> asyncio.Server:
    """Listen; `accepted` makes the protocol of each connection.

    Raises OvsctError: nothing can be listened on there.
    """
    loop = asyncio.get_running_loop()
    try:
        if where.path is None:
            return await loop.create_server(accepted, where.host, where.port)
        return await loop.create_unix_server(accepted, sock=_bound(where.path))
    except OSError as error:
        raise _no_place(where, error) from error


async def connect(where: Place, protocol: asyncio.BaseProtocol) -> None:
    """Connect `protocol`. Raises OSError: nobody listens there."""
    loop = asyncio.get_running_loop()
    if where.path is not None:
        await loop.create_unix_connection(lambda: protocol, str(where.path))
    else:
        await loop.create_connection(lambda: protocol, where.host, where.port)
