"""How an application is set up, by environment variables: ryu-manager passes on nothing else.

``CONTROLLER_POLICY`` names the file of the policy; without it the policy is empty.
``CONTROLLER_REST`` is the address and port of the REST API: ``127.0.0.1:8080`` unless it is set,
``off`` for none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from controller.common.document import Node, PolicyError, load

POLICY: Final = "CONTROLLER_POLICY"
REST: Final = "CONTROLLER_REST"
_DEFAULT_REST: Final = "127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Settings:
    """The document of the policy, and where REST listens (None: nowhere)."""

    document: Node
    rest: tuple[str, int] | None


def from_environment() -> Settings:
    """What the environment says.

    Raises:
        PolicyError: the file cannot be read, or the address is none.
    """
    rest = os.environ.get(REST) or _DEFAULT_REST
    path = os.environ.get(POLICY)
    document = read_policy(path) if path else load("")
    return Settings(document, None if rest == "off" else address_and_port(rest, REST))


def read_policy(path: str) -> Node:
    """The document in a file.

    Raises:
        PolicyError: it cannot be read, or is no YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PolicyError(f"cannot be read: {reason}", file=path) from error
    return load(text, path)


def address_and_port(text: str, what: str) -> tuple[str, int]:
    """``127.0.0.1:8080`` or ``[::1]:8080``, taken apart.

    Raises:
        PolicyError: it is neither.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(host)
    except ValueError:
        host = ""
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise PolicyError(f"{text!r} is no IP address and port such as {_DEFAULT_REST}", path=what)
    return host, int(port)
