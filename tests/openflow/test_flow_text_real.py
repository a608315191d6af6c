"""The text of flows against Debian's ovs-ofctl: what it prints and what it refuses."""

from __future__ import annotations

import re
import subprocess
from importlib import util
from pathlib import Path
from random import Random

import pytest

from ovsct.errors import InputError
from ovsct.openflow.flow import DEFAULT_PRIORITY, Flow
from ovsct.openflow.text.action_format import format_actions
from ovsct.openflow.text.flow_text import format_flow, parse_flow, read_flows
from ovsct.openflow.text.match_text import format_match


def _lines_module():  # type: ignore[no-untyped-def]
    spec = util.spec_from_file_location("flow_lines", Path(__file__).with_name("flow_lines.py"))
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LINES = _lines_module()
PRINTED_AS_LESS = (
    "XXREG0[0..127]",  # two loads of 64 bits
    "nat(src,random)",  # flags only after an address
    "packet_type=(0,0)",  # not at all, even where nothing else says it
)
NXM = ("-F", "NXM+table_id", "-O", "OpenFlow10")


def ovs_ofctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ovs-ofctl", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def _match_as_printed(flow: Flow) -> str:
    priority = "" if flow.priority == DEFAULT_PRIORITY else f"priority={flow.priority}"
    text = ",".join(part for part in (priority, format_match(flow.match)) if part)
    return f"{text} actions=" if text else "actions="


def _printed_matches(lines: list[str], folder: Path) -> list[str]:
    """What ovs-ofctl would send for each line, as a switch decodes it, in the order given."""
    file = folder / "flows"
    file.write_text("".join(f"{line},table=3 actions=drop\n" for line in lines))
    done = ovs_ofctl(*NXM, "parse-flows", str(file))
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"FLOW_MOD \(xid=0x\w+\): ADD table:3 (.*)drop$", done.stdout, re.M)
    assert len(printed) == len(lines), done.stdout
    return printed


@pytest.mark.real_ovs
def test_matches_by_hand_print_as_ovs_ofctl_prints_them(tmp_path: Path) -> None:
    printed = _printed_matches(LINES.MATCHES, tmp_path)
    for line, theirs in zip(LINES.MATCHES, printed, strict=True):
        ours = _match_as_printed(parse_flow(f"{line},table=3 actions=drop"))
        assert ours == theirs, line


@pytest.mark.real_ovs
def test_generated_matches_print_as_ovs_ofctl_prints_them(tmp_path: Path) -> None:
    random = Random(20231)
    lines = [LINES.random_match(random) for _ in range(600)]
    printed = _printed_matches(lines, tmp_path)
    for line, theirs in zip(lines, printed, strict=True):
        ours = _match_as_printed(parse_flow(f"{line},table=3 actions=drop"))
        assert ours == theirs, line


@pytest.mark.real_ovs
def test_flows_and_actions_print_as_ovs_ofctl_prints_them(tmp_path: Path) -> None:
    flows = [
        f"cookie={n + 1:#x},table=1,priority={n},tcp,dl_vlan=7,ct_state=+trk-inv,actions={actions}"
        for n, actions in enumerate(LINES.ACTIONS)
    ]
    file = tmp_path / "flows"
    file.write_text("\n".join(flows))
    done = ovs_ofctl("diff-flows", str(file), "/dev/null")
    printed = {
        int(cookie, 16): (match, actions)
        for match, cookie, actions in re.findall(
            r"^-table=1 (\S*) cookie=0x(\w+) actions=(.*)$", done.stdout, re.M
        )
    }
    assert len(printed) == len(flows), done.stderr
    for n, line in enumerate(flows):
        flow = parse_flow(line)
        ours = (f"priority={n},{format_match(flow.match)}", format_actions(flow.actions))
        assert ours == printed[n + 1], line


@pytest.mark.real_ovs
@pytest.mark.parametrize("line", LINES.MALFORMED)
def test_both_refuse(line: str) -> None:
    done = ovs_ofctl("-O", "OpenFlow10,OpenFlow13,OpenFlow15", "parse-flow", line)
    assert done.returncode != 0 or "decode error" in done.stdout, done.stdout
    with pytest.raises(InputError) as caught:
        parse_flow(line, "flows", 3)
    error = caught.value
    assert error.line == 3 and error.file == "flows"
    assert error.column is not None and 1 <= error.column <= len(line) + 1, str(error)
    if error.token:
        assert error.token in line, str(error)


@pytest.mark.real_ovs
def test_ovs_ofctl_takes_what_format_flow_prints(tmp_path: Path) -> None:
    lines = [f"table=2,{match} actions=drop" for match in LINES.MATCHES]
    lines += [
        f"tcp,dl_vlan=7,ct_state=+trk-inv,idle_timeout=3,send_flow_rem actions={actions}"
        for actions in LINES.ACTIONS
    ]
    flows = [parse_flow(line) for line in lines]
    file = tmp_path / "flows"
    file.write_text("\n".join(format_flow(flow) for flow in flows))
    done = ovs_ofctl("diff-flows", str(file), "/dev/null")
    assert "ovs-ofctl:" not in done.stderr, done.stderr
    again = read_flows(file.read_text())
    assert [format_flow(flow) for flow in again] == [format_flow(flow) for flow in flows]
    for before, after in zip(flows, again, strict=True):
        if not any(printed in before.text for printed in PRINTED_AS_LESS):
            assert before == after


@pytest.mark.real_ovs
@pytest.mark.parametrize("line", LINES.STRICTER)
def test_what_ovs_ofctl_would_bend_is_refused(line: str) -> None:
    done = ovs_ofctl("-O", "OpenFlow10,OpenFlow13,OpenFlow15", "parse-flow", line)
    assert done.returncode == 0, done.stderr
    with pytest.raises(InputError) as caught:
        parse_flow(line)
    assert caught.value.column is not None
