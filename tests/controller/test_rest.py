"""What REST refuses and how, what it serves, and what a policy's file gets told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.__main__ import APPS, main
from tests.controller.rig import LIBRARIES, ROOT, Controller, Library

RULE = {"name": "web", "protocol": "tcp", "ports": 80}


@pytest.fixture(scope="module", params=LIBRARIES, ids=lambda library: library.name)
def controller(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Controller]:
    library: Library = request.param
    if library.missing:
        pytest.skip(library.missing)
    folder = tmp_path_factory.mktemp("rest")
    with Controller(library, "stateful_firewall", folder, f"rules: [{RULE}]") as running:
        yield running


def test_serves_its_own_description(controller: Controller) -> None:
    answer = controller.ask("GET", "/openapi.yaml")
    described = yaml.safe_load(answer.data)
    assert answer.status == 200
    paths = {
        (method.upper(), path)
        for path, operations in described["paths"].items()
        for method in operations
        if method != "parameters"
    }
    for method, path in paths - {("GET", "/openapi.yaml")}:
        path = path.replace("{section}", "nowhere").replace("{name}", "nothing")
        data = "" if method in ("POST", "PUT") else None
        assert controller.ask(method, path, data).status in (200, 400, 404), (method, path)


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/v2", None, 404, "there is no /v2"),
    ("PATCH", "/v1/policy", None, 405, "/v1/policy takes GET, PUT"),
    ("GET", "/v1/policy/groups", None, 404, "there is no section 'groups', but rules"),
    ("GET", "/v1/policy/rules/none", None, 404, "there is no 'none'"),
    ("DELETE", "/v1/policy/rules/none", None, 404, "there is no 'none'"),
    ("PUT", "/v1/policy/rules/none", RULE, 404, "there is no 'none'"),
    ("POST", "/v1/policy/rules?before=none", {"name": "a"}, 404, "there is no 'none'"),
    ("POST", "/v1/policy/rules", RULE, 409, "the name 'web' is there already"),
    ("POST", "/v1/policy/rules", "{", 400, "no YAML: "),
    ("POST", "/v1/policy/rules", " \n", 400, "the body is empty"),
    ("POST", "/v1/policy/rules", "[1]", 400, "missing name"),
    ("POST", "/v1/policy/rules", {"name": "a/b"}, 400, "'a/b' is no name"),
    ("POST", "/v1/policy/rules", {"name": "a", "port": 1}, 400, "did you mean 'ports'?"),
    ("POST", "/v1/policy/rules", "name: a\nname: b", 400, "stands here twice"),
    ("POST", "/v1/policy/rules", "name: &a a\nfrom: *a", 400, "no aliases here"),
    ("POST", "/v1/policy/rules", "[" * 2000, 400, "nested too deeply"),
    ("POST", "/v1/policy/rules", {**RULE, "name": "a", "ports": "9-1"}, 400, "no range of ports"),
    ("POST", "/v1/policy/rules", {**RULE, "name": "a", "ports": "80a"}, 400, "'80a' is no port"),
    ("POST", "/v1/policy/rules", {**RULE, "name": "a", "ports": 65536}, 400, "'65536' is no"),
    ("POST", "/v1/policy/rules", {"name": "a", "from": "10.0.0.1/24"}, 400, "host bits set"),
    ("POST", "/v1/policy/rules", {"name": "a", "from": []}, 400, "an empty list"),
    ("POST", "/v1/policy/rules", {"name": "a", "from": {}}, 400, "expected one value"),
    ("POST", "/v1/policy/rules", {"name": "a", "protocol": 256}, 400, "number from 0 to 255"),
    ("POST", "/v1/policy/rules", {"name": "a", "protocol": "tpc"}, 400, "'tpc' is none of tcp,"),
    ("POST", "/v1/policy/rules", {"name": "a", "action": "no"}, 400, "none of allow, deny"),
    (
        "POST",
        "/v1/policy/rules",
        {"name": "a", "from": "10.0.0.1", "to": "::1"},
        400,
        "no IP version in common",
    ),
    ("PUT", "/v1/policy", "", 400, "the body is empty"),
    ("PUT", "/v1/policy", "rules: {}", 400, "expected a list of items"),
    ("PUT", "/v1/policy", "zone: 0", 400, "no number from 1 to 65535"),
    ("PUT", "/v1/policy", "- 1", 400, "expected a mapping with zone, rules"),
]


@pytest.mark.parametrize(("method", "path", "data", "status", "problem"), REFUSED)
def test_refuses(
    controller: Controller, method: str, path: str, data: Any, status: int, problem: str
) -> None:
    answer = controller.ask(method, path, data)
    assert answer.status == status
    assert problem in answer.data["error"]["problem"]
    assert "\n" not in answer.data["error"]["problem"]
    assert controller.do("GET", "/v1/policy") == {"rules": [RULE]}


def test_says_where(controller: Controller) -> None:
    text = "zone: 3\nrules:\n  - name: a\n    protocol: tcp\n    ports: [1, x]\n"
    error = controller.ask("PUT", "/v1/policy", text, kind="text/yaml").data["error"]
    assert (error["file"], error["line"], error["path"]) == ("body", 5, "rules[0].ports[1]")


def test_refuses_what_a_web_page_could_send(controller: Controller) -> None:
    assert controller.ask("POST", "/v1/policy/rules", "{}", kind="text/plain").status == 415
    assert controller.ask("GET", "/v1/policy", host="evil.example:8080").status == 403
    assert controller.ask("GET", "/v1/policy", host="localhost:8080").status == 200


def test_a_change_and_back(controller: Controller) -> None:
    changed = {**RULE, "ports": [81, "90-91"]}
    assert controller.do("PUT", "/v1/policy/rules/web", changed) == changed
    assert controller.do("GET", "/v1/policy/rules/web") == changed
    assert any("tcp_dst=0x5a/0xfffe" in each for each in controller.do("GET", "/v1/flows")["flows"])
    assert controller.do("DELETE", "/v1/policy/rules/web") == {"deleted": "web"}
    assert controller.do("PUT", "/v1/policy", {"rules": [RULE]}) == {"rules": [RULE]}


# -- the command, which needs no controller library -----------------------------------------------


def test_prints_flows_without_any_library(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps({"rules": [RULE]}), encoding="utf-8")
    code = (
        "import sys; sys.modules['ryu'] = sys.modules['os_ken'] = None\n"
        "from controller.__main__ import main\n"
        f"sys.exit(main(['stateful_firewall', '--policy', {str(policy)!r}, '--flows']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "ip_proto=6,tcp_dst=80 actions=set_field:1->reg0,goto_table:3" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules:\n- name: a\n  ports: 1", ":3: rules[0].ports: ports need the protocol tcp"),
        ("rules:\n- name: a\n- name: a", ":3: rules[1].name: the name 'a' is there already"),
        ("a: [", ":1: no YAML: "),
        ("ruls: []", ": ruls: unknown key 'ruls'; did you mean 'rules'?"),
    ],
)
def test_says_in_one_line_what_is_wrong_with_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(text, encoding="utf-8")
    assert main(["stateful_firewall", "--policy", str(policy)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(str(policy)) and said in error and error.count("\n") == 1


def test_says_what_is_wrong_with_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stateful_firewall", "--rest", "localhost:80"]) == 2
    assert "--rest: 'localhost:80' is no IP address and port" in capsys.readouterr().err
    assert main(["stateful_firewall", "--policy", "/nowhere/at/all"]) == 2
    assert "/nowhere/at/all: cannot be read: No such file" in capsys.readouterr().err


def test_imports_nothing_of_the_model() -> None:
    for path in (ROOT / "controller").rglob("*.py"):
        assert "ovsct" not in path.read_text(encoding="utf-8").replace("of ovsct", ""), path
    assert set(APPS) <= {path.stem for path in (ROOT / "controller").glob("*.py")}
