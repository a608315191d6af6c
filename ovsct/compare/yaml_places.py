"""YAML with the place of every value, so that an error can point at the user's own line.

A document becomes plain Python values and, beside them, a map from the path of each value (keys
and indices) to where it stands.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import yaml

from ovsct.errors import InputError

Path: TypeAlias = tuple[str | int, ...]

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_MAP: Final = "tag:yaml.org,2002:map"
_LIST: Final = "tag:yaml.org,2002:seq"

MAX_VALUES: Final = 1_000_000
MAX_DEPTH: Final = 50
"""More than any scenario has; an alias that stands inside itself would have no end."""


class Place(NamedTuple):
    """Where a value stands: 1-based line and column of its first character.

    `column` is 0 for a block of text (after ``|``), whose `line` is that of its first line of
    text; `raw` is then that text with its indentation, so that columns in it are the file's.
    """

    line: int
    column: int
    raw: str | None = None


class Document(NamedTuple):
    """A document's value, and the place of every value in it, and of every key, by path."""

    value: Any
    places: dict[Path, Place]
    keys: dict[Path, Place]

    def place(self, path: Path) -> Place:
        """The place of a value, or of the nearest that stands around it."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places[path]


def read_yaml(text: str, name: str) -> Document:
    """The one document of a YAML text.

    Args:
        text: the text.
        name: what errors call it.

    Raises:
        InputError: it is not YAML, has a key twice, or keys that are not text.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise InputError("the file is empty", file=name, expected="a scenario")
        reader = _Reader(loader, text, name)
        value = reader.value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputError(
            f"not YAML: {error.problem or error.context}", file=name,
            line=mark.line + 1 if mark else None, column=mark.column + 1 if mark else None,
        ) from None  # fmt: skip
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {' '.join(str(error).split())}", file=name) from None
    finally:
        loader.dispose()
    return Document(value, reader.places, reader.keys)


class _Reader:
    """Turns nodes into values and notes their places."""

    def __init__(self, loader: Any, text: str, name: str) -> None:
        self._loader = loader
        self._lines = text.split("\n")
        self._name = name
        self.places: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}

    def value(self, node: yaml.Node, path: Path) -> Any:
        """The value of a node that stands at `path`."""
        self.places[path] = self._place(node)
        if len(self.places) > MAX_VALUES or len(path) > MAX_DEPTH:
            raise self._wrong("too many values, or too deep", node, None)
        if isinstance(node, yaml.ScalarNode):
            return self._loader.construct_object(node)
        plain = _MAP if isinstance(node, yaml.MappingNode) else _LIST
        if node.tag != plain:
            raise self._wrong("a value with a tag", node, node.tag)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return [self.value(item, (*path, at)) for at, item in enumerate(node.value)]

    def _wrong(self, problem: str, node: yaml.Node, token: str | None) -> InputError:
        mark = node.start_mark
        return InputError(
            problem, file=self._name, line=mark.line + 1, column=mark.column + 1, token=token
        )

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise self._wrong("a key that is not text", key_node, str(key))
            if key in found:
                raise self._wrong("this key stands here twice", key_node, key)
            mark = key_node.start_mark
            self.keys[*path, key] = Place(mark.line + 1, mark.column + 1)
            found[key] = self.value(value_node, (*path, key))
        return found

    def _place(self, node: yaml.Node) -> Place:
        start = node.start_mark
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            first, end = start.line + 1, node.end_mark.line
            if node.end_mark.column:
                end += 1
            raw = "\n".join(self._lines[first:end]) if node.style == "|" else None
            return Place(first + 1, 0, raw)
        quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
        return Place(start.line + 1, start.column + 1 + quoted)
