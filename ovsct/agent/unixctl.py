"""The control socket: JSON-RPC 1.0 as ``ovs-appctl`` speaks it (OVS lib/unixctl.c, jsonrpc.c)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ovsct.errors import OvsctError

LONGEST_REQUEST: Final = 1 << 20


class Command(NamedTuple):
    """A command: its usage, how many arguments it takes, and what it does.

    `run` gets the arguments and gives the text of the answer; an OvsctError is the answer "no".
    """

    usage: str
    least: int
    most: int
    run: Callable[[Sequence[str]], str]


def answer(commands: Mapping[str, Command], request: Any) -> dict[str, Any]:
    """The answer to one request."""
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return {"id": None, "result": None, "error": "this is no JSON-RPC request"}
    method, params = request["method"], request.get("params", [])
    result = error = None
    command = commands.get(method)
    if command is None:
        error = (
            f'"{method}" is not a valid command (use "list-commands" to see a list of valid'
            " commands)"
        )
    elif not isinstance(params, list):
        error = f'"{method}" command has parameters that are no list'
    elif len(params) < command.least:
        error = f'"{method}" command requires at least {command.least} arguments'
    elif len(params) > command.most:
        error = f'"{method}" command takes at most {command.most} arguments'
    elif not all(isinstance(param, str) for param in params):
        error = f'"{method}" command has non-string argument'
    else:
        try:
            result = command.run(params)
        except OvsctError as refusal:
            error = str(refusal)
    if error is not None and not error.endswith("\n"):
        error += "\n"
    return {"id": request.get("id"), "result": result, "error": error}


def list_commands(commands: Mapping[str, Command]) -> str:
    """The text of ``list-commands``."""
    lines = [f"  {name:<23} {commands[name].usage}" for name in sorted(commands)]
    return "The available commands are:\n" + "".join(f"{line}\n" for line in lines)


async def serve(
    commands: Mapping[str, Command],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Answer one connection's requests until it ends, or says what is no JSON."""
    decoder = json.JSONDecoder()
    text = ""
    try:
        while chunk := await reader.read(1 << 16):
            text += chunk.decode("utf-8", "replace")
            while text := text.lstrip():
                try:
                    request, end = decoder.raw_decode(text)
                except (ValueError, RecursionError):
                    break
                text = text[end:]
                writer.write(json.dumps(answer(commands, request)).encode())
                await writer.drain()
            if len(text) > LONGEST_REQUEST or (text and text[0] != "{"):
                break
    except ConnectionError:
        return  # the other side has gone
    finally:
        writer.close()
