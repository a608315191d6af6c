"""The API's description against the code: no key that the one has and the other refuses."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.__main__ import APPS
from controller.common.document import Node, PolicyError, load
from ovsct.openflow.text.flow_text import read_flows
from ovsct.openflow.text.group_text import read_groups
from tests.controller.rig import ROOT

SCHEMAS: dict[str, Any] = yaml.safe_load((ROOT / "controller" / "openapi.yaml").read_text())[
    "components"
]["schemas"]
EXAMPLES = sorted((ROOT / "controller" / "examples").glob("*.yaml"))
TOP = {schema["description"]: name for name, schema in SCHEMAS.items() if "description" in schema}


def _policy(app: str) -> Any:
    return import_module(f"controller.policy.{APPS[app]}")


def _resolve(schema: dict[str, Any]) -> dict[str, Any]:
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def test_each_application_has_an_example_and_a_schema() -> None:
    assert [path.stem for path in EXAMPLES] == sorted(APPS)
    assert set(APPS) <= set(TOP)
    for app in APPS:
        assert set(_policy(app).SECTIONS) <= set(SCHEMAS[TOP[app]]["properties"])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_becomes_flows_that_the_model_reads(path: Path) -> None:
    program = _policy(path.stem).parse(load(path.read_text(), path.name)).compile()
    flows = read_flows("\n".join(map(str, program.flows)))
    assert len(flows) == len(program.flows) == len({each.key for each in program.flows})
    assert len(read_groups("\n".join(map(str, program.groups)))) == len(program.groups)


def _broken(node: Node, schema: dict[str, Any], path: str = "") -> list[tuple[str, Node]]:
    """Each mapping of a document, once with a key that no schema has, once without one it needs.

    Returned as what was done, and the whole document with it.
    """
    schema = _resolve(schema)
    found: list[tuple[str, Node]] = []
    if isinstance(node.value, dict) and "properties" in schema:
        properties = schema["properties"]
        assert set(node.value) <= set(properties), path
        extra = Node({**node.value, "zzz": Node("1")})
        found.append((f"{path}+zzz", extra))
        for key, value in node.value.items():
            less = Node({k: v for k, v in node.value.items() if k != key})
            if key in schema.get("required", ()):
                found.append((f"{path}-{key}", less))
            for what, changed in _broken(value, properties[key], f"{path}.{key}"):
                found.append((what, Node({**node.value, key: changed})))
    if isinstance(node.value, tuple) and "items" in schema:
        for at, item in enumerate(node.value):
            for what, changed in _broken(item, schema["items"], f"{path}[{at}]"):
                items = (*node.value[:at], changed, *node.value[at + 1 :])
                found.append((what, Node(items)))
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_schema_and_the_code_refuse_the_same_keys(path: Path) -> None:
    document = load(path.read_text(), path.name)
    broken = _broken(document, SCHEMAS[TOP[path.stem]])
    assert len(broken) > 10
    for what, changed in broken:
        with pytest.raises(PolicyError, match=r"unknown key 'zzz'|missing") as refused:
            _policy(path.stem).parse(changed)
        assert "zzz" in str(refused.value) or "-" in what


@pytest.mark.parametrize("app", sorted(APPS))
def test_the_code_takes_every_key_that_the_schema_names(app: str) -> None:
    """Each property is known: whatever is wrong with its value, the key itself is not."""
    for schema, document in _every_property(app):
        try:
            _policy(app).parse(document)
        except PolicyError as error:
            assert "unknown key" not in str(error), schema


def _every_property(app: str) -> list[tuple[str, Node]]:
    path = ROOT / "controller" / "examples" / f"{app}.yaml"
    document = load(path.read_text(), path.name)
    assert isinstance(document.value, dict)
    found = []
    for section in _policy(app).SECTIONS:
        schema = _resolve(SCHEMAS[TOP[app]]["properties"][section]["items"])
        (first, *rest) = document.value[section].as_list()
        assert isinstance(first.value, dict)
        for name in schema["properties"]:
            item = Node({**first.value, name: first.value.get(name, Node("x"))})
            changed = {**document.value, section: Node((item, *rest))}
            found.append((f"{section}.{name}", Node(changed)))
    return found
