"""A document in YAML (or JSON, which is YAML too), checked, each value with the place it stands.

A policy is a mapping of settings and of sections; a section is a list of items, each with a name.
Scalars keep the text they were written as, so that ``10:20:30:40:50:51`` stays an address and
``0x10`` what the user wrote; the ``as_...`` methods say what is wanted and check it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import yaml

Address: TypeAlias = "IPv4Address | IPv6Address"
Network: TypeAlias = "IPv4Network | IPv6Network"
Interface: TypeAlias = "IPv4Interface | IPv6Interface"
PortRange: TypeAlias = tuple[int, int]
T = TypeVar("T")

_LIMITED_BROADCAST: Final = IPv4Address("255.255.255.255")
_DEEPEST: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]+|[0-9]+")
_JSON: Final = {
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() in ("true", "yes", "on"),
    "tag:yaml.org,2002:int": lambda text: int(text) if text.isdecimal() else text,
}


class PolicyError(Exception):
    """Something in a document cannot be used: one line, with file, line, path and token."""

    def __init__(self, problem: str, *, file: str = "", line: int = 0, path: str = "") -> None:
        self.problem, self.file, self.line, self.path = problem, file, line, path
        place = ":".join(str(part) for part in (file, line) if part)
        super().__init__(": ".join(part for part in (place, path, problem) if part))

    def data(self) -> dict[str, Any]:
        """The parts, for a REST client."""
        parts = {"problem": self.problem, "file": self.file, "line": self.line, "path": self.path}
        return {name: part for name, part in parts.items() if part}


class Conflict(PolicyError):
    """A name that is there already."""


class Missing(PolicyError):
    """A section or an item that is not there."""


@dataclass(frozen=True)
class Node:
    """One value: text (None if empty), a tuple of nodes, or a mapping of names to nodes."""

    value: str | tuple[Node, ...] | dict[str, Node] | None
    file: str = ""
    line: int = 0
    path: str = ""
    tag: str = ""

    # -- what may stand here --------------------------------------------------------------------

    def fail(self, problem: str) -> NoReturn:
        """Refuse this value.

        Raises:
            PolicyError: always.
        """
        raise PolicyError(problem, file=self.file, line=self.line, path=self.path)

    def as_mapping(self, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Node]:
        """The mapping, which has all the required keys and no unknown one."""
        if not isinstance(self.value, dict):
            self.fail(f"expected a mapping with {', '.join(required + optional)}")
        known = required + optional
        for key, node in self.value.items():
            if key not in known:
                close = get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
                node.fail(f"unknown key {key!r}; {hint}")
        missing = [key for key in required if key not in self.value]
        if missing:
            self.fail(f"missing {', '.join(missing)}")
        return self.value

    def as_list(self) -> tuple[Node, ...]:
        """The list; a single value is a list of one."""
        if self.value is None:
            return ()
        return self.value if isinstance(self.value, tuple) else (self,)

    def as_text(self) -> str:
        """The text as it was written."""
        if not isinstance(self.value, str):
            self.fail("expected one value")
        return self.value

    def as_name(self) -> str:
        """A name: letters, digits, dot, dash, underscore."""
        text = self.as_text()
        if not _NAME.fullmatch(text):
            self.fail(f"{text!r} is no name: letters, digits, '.', '-' and '_', at most 63")
        return text

    def as_integer(self, low: int, high: int) -> int:
        """A number from `low` to `high`."""
        text = self.as_text()
        if not _NUMBER.fullmatch(text) or not low <= int(text, 0 if "x" in text else 10) <= high:
            self.fail(f"{text!r} is no number from {low} to {high}")
        return int(text, 0 if "x" in text else 10)

    def as_choice(self, choices: Mapping[str, T]) -> T:
        """What one of some words stands for."""
        text = self.as_text()
        if text not in choices:
            self.fail(f"{text!r} is none of {', '.join(choices)}")
        return choices[text]

    def as_network(self) -> Network:
        """An IPv4 or IPv6 prefix, or an address alone."""
        text = self._without_scope()
        try:
            return ip_network(text)
        except ValueError as error:
            self.fail(f"{text!r} is no IP prefix ({error})")

    def as_address(self) -> Address:
        """An IPv4 or IPv6 address."""
        text = self._without_scope()
        try:
            return ip_address(text)
        except ValueError:
            self.fail(f"{text!r} is no IP address")

    def as_host(self) -> Address:
        """An address that one host can have: no multicast, no broadcast, not 0.0.0.0 or ``::``."""
        address = self.as_address()
        if address.is_multicast or address.is_unspecified or address == _LIMITED_BROADCAST:
            self.fail(f"{address} is no address that a host can have")
        return address

    def as_interface(self) -> Interface:
        """An address of a host with the length of its prefix, as 10.0.0.1/24."""
        text = self._without_scope()
        try:
            found = ip_interface(text)
        except ValueError:
            found = None
        if found is None or not text.partition("/")[2].isdecimal():
            self.fail(f"{text!r} is no IP address with its prefix length, as 10.0.0.1/24")
        host = replace(self, value=str(found.ip)).as_host()
        ends = (found.network.network_address, found.network.broadcast_address)
        if host.version == 4 and found.network.num_addresses > 2 and host in ends:
            self.fail(f"{host} is no host's address in {found.network}")
        return found

    def _without_scope(self) -> str:
        text = self.as_text()
        plain = re.sub(r"%[^/]*", "", text)
        if plain != text:
            self.fail(f"{text!r} has a scope, which a switch does not know: write {plain!r}")
        return text

    def as_mac(self) -> str:
        """A unicast Ethernet address, in lower case."""
        text = self.as_text()
        if not _MAC.fullmatch(text) or int(text[:2], 16) & 1:
            self.fail(f"{text!r} is no unicast MAC address such as 02:00:00:00:00:01")
        return text.lower()

    def as_port_range(self) -> PortRange:
        """A port, or a range of ports as ``A-B``."""
        text = self.as_text()
        first, dash, last = text.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            self.fail(f"{text!r} is no port: a number from 0 to 65535, or a range A-B")
        low, high = int(first), int(last or first)
        if not low <= high <= 0xFFFF:
            self.fail(f"{text!r} is no range of ports from 0 to 65535")
        return low, high

    # -- sections -------------------------------------------------------------------------------

    def named_items(self, read: Callable[[str, Node], T]) -> tuple[T, ...]:
        """The items of a section, read one by one; their names differ."""
        if self.value is not None and not isinstance(self.value, tuple):
            self.fail("expected a list of items, each with a name")
        found: dict[str, T] = {}
        for item in self.as_list():
            if not isinstance(item.value, dict) or "name" not in item.value:
                item.fail("missing name")
            node = item.value["name"]
            name = node.as_name()
            if name in found:
                node.fail(f"the name {name!r} is there already")
            found[name] = read(name, item)
        return tuple(found.values())

    def data(self) -> Any:
        """The document as plain data, for JSON."""
        if isinstance(self.value, dict):
            return {key: node.data() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.data() for node in self.value]
        if self.value is None:
            return None
        return _JSON.get(self.tag, str)(self.value)


# -- editing ------------------------------------------------------------------------------------


def item_name(item: Node) -> str:
    """The name of an item, or nothing."""
    if isinstance(item.value, dict) and "name" in item.value:
        node = item.value["name"]
        return node.value if isinstance(node.value, str) else ""
    return ""


def items_of(document: Node, section: str) -> tuple[Node, ...]:
    """The items of a section; none if the document does not name it."""
    assert isinstance(document.value, dict)
    node = document.value.get(section)
    return node.as_list() if node is not None else ()


def with_items(document: Node, section: str, items: tuple[Node, ...]) -> Node:
    """The document with other items in a section."""
    assert isinstance(document.value, dict)
    return replace(document, value={**document.value, section: Node(items, path=section)})


def add_item(document: Node, section: str, item: Node, before: str | None = None) -> Node:
    """The document with one item more, ahead of the item `before` or at the end.

    Raises:
        Conflict: its name is there already.
        Missing: there is no item `before`.
    """
    items = items_of(document, section)
    names = [item_name(each) for each in items]
    if item_name(item) in names:
        raise Conflict(f"the name {item_name(item)!r} is there already", path=section)
    if before is not None and before not in names:
        raise Missing(f"there is no {before!r}", path=section)
    at = names.index(before) if before is not None else len(items)
    return with_items(document, section, (*items[:at], item, *items[at:]))


def replace_item(document: Node, section: str, name: str, item: Node | None) -> Node:
    """The document with another item in the place of `name`, or without it.

    Raises:
        Missing: there is no such item.
    """
    items = items_of(document, section)
    if name not in [item_name(each) for each in items]:
        raise Missing(f"there is no {name!r}", path=section)
    new = () if item is None else (item,)
    changed: list[Node] = []
    for each in items:
        changed += new if item_name(each) == name else (each,)
    return with_items(document, section, tuple(changed))


# -- reading ------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses what makes documents grow or nest without end."""

    depth = 0

    def compose_node(self, parent, index):  # type: ignore[no-untyped-def]
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "no aliases here", event.start_mark)
        self.depth += 1
        if self.depth > _DEEPEST:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def load(text: str, file: str = "") -> Node:
    """Read one document, without a judgement on what is in it.

    Raises:
        PolicyError: it is no YAML, or has a key twice.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise PolicyError(f"no YAML: {error.problem}", file=file, line=line) from error
    except yaml.YAMLError as error:
        raise PolicyError(f"no YAML: {' '.join(str(error).split())}", file=file) from error
    finally:
        loader.dispose()
    if node is None:
        return Node({}, file, 1)
    return _convert(node, file, "")


def _convert(node: yaml.Node, file: str, path: str) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        empty = node.tag == "tag:yaml.org,2002:null"
        return Node(None if empty else node.value, file, line, path, node.tag)
    if isinstance(node, yaml.SequenceNode):
        parts = (_convert(each, file, f"{path}[{at}]") for at, each in enumerate(node.value))
        return Node(tuple(parts), file, line, path)
    return Node(dict(_pairs(node, file, path)), file, line, path)


def _pairs(node: yaml.Node, file: str, path: str) -> Iterator[tuple[str, Node]]:
    seen: set[str] = set()
    for key, value in node.value:
        place = {"file": file, "line": key.start_mark.line + 1, "path": path}
        if not isinstance(key, yaml.ScalarNode):
            raise PolicyError("a key must be a word", **place)
        if key.value in seen:
            raise PolicyError(f"the key {key.value!r} stands here twice", **place)
        seen.add(key.value)
        yield key.value, _convert(value, file, f"{path}.{key.value}" if path else key.value)
