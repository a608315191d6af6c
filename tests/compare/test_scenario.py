from __future__ import annotations

from pathlib import Path

import pytest

from ovsct.bridge.bridges import Plan
from ovsct.compare.case import Case, Shot, from_scenario, to_yaml
from ovsct.compare.cause import Cause
from ovsct.compare.events import Advance
from ovsct.compare.scenario import Scenario, parse_scenario, read_scenario
from ovsct.errors import InputError
from ovsct.lane import Arrival, FlowChange
from ovsct.packet import build
from ovsct.packet.pcapng_write import PcapngWriter

WHOLE = """\
title: A test
shows: that every key is read
ports: [1, 2]
flows: |
  # a comment
  table=0,priority=5,ip actions=ct(table=1)
    table=1 actions=2
groups: |
  group_id=1,type=all,bucket=output:2
tc_script: tc qdisc add dev p1 clsact
lanes: [ovs-userspace, ovs-kernel]
options:
  ovs-kernel: {kernel: "6.12"}
conversations:
  web: tcp p1 10.0.0.1:1000 > p2 10.0.0.2:80
events:
  - 0.5 web > S
  - "+0.5 web < SA"
  - advance: 30
  - {port: 2, packet: udp 10.0.0.1:1 > 10.0.0.2:2 len 40 frag 16}
  - {at: 31.5, port: 1, hex: "00 ff"}
expect:
  differ: [2, 3]
  causes: [timeout, dialect-state]
"""


def test_every_key_is_read() -> None:
    scenario = parse_scenario(WHOLE, "s.yaml")
    setup = scenario.setup
    assert setup.ports == (1, 2)
    assert [(flow.table, flow.line) for flow in setup.parsed_flows] == [(0, 6), (1, 7)]
    assert setup.groups is not None and (setup.groups.line, setup.groups.name) == (9, "s.yaml")
    assert setup.tc_script is not None
    assert (setup.tc_script.text, setup.tc_script.line) == ("tc qdisc add dev p1 clsact", 10)
    assert scenario.lanes == ("ovs-userspace", "ovs-kernel")
    assert setup.options == {"ovs-kernel": {"kernel": "6.12"}}
    assert scenario.expect is not None
    assert scenario.expect.differ == (2, 3)
    assert scenario.expect.causes == (Cause.TIMEOUT, Cause.DIALECT_STATE)


def test_events_happen_in_order_and_again() -> None:
    scenario = parse_scenario(WHOLE, "s.yaml")
    pieces = build.fragment(
        build.udp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(40)), [16], ident=0
    )
    expected = [
        Arrival(0.5, 1, build.tcp("10.0.0.1", "10.0.0.2", 1000, 80, "S", seq=1000)),
        Arrival(1.0, 2, build.tcp("10.0.0.2", "10.0.0.1", 80, 1000, "SA", seq=5000, ack=1001)),
        Advance(31.0),
        *(Arrival(31.0, 2, piece) for piece in pieces),
        Arrival(31.5, 1, b"\0\xff"),
    ]
    assert list(scenario.happenings()) == expected
    assert list(scenario.happenings()) == expected


def test_an_error_in_a_block_of_flows_stands_where_the_user_wrote_it() -> None:
    text = WHOLE.replace("table=1 actions=2", "table=1,tpc actions=2")
    with pytest.raises(InputError) as caught:
        assert parse_scenario(text, "s.yaml").setup.parsed_flows
    line = text.splitlines()[6]
    assert (caught.value.file, caught.value.line) == ("s.yaml", 7)
    assert (caught.value.column, caught.value.token) == (line.index("tpc") + 1, "tpc")


def test_files_are_looked_for_beside_the_scenario(tmp_path: Path) -> None:
    frame = build.udp("10.0.0.1", "10.0.0.2", 1, 2)
    with (tmp_path / "a.pcapng").open("wb") as file:
        writer = PcapngWriter(file, ports=[1, 2])
        writer.write(1000.25, 2, frame)
    (tmp_path / "f.txt").write_text("\nactions=drop\n")
    path = tmp_path / "s.yaml"
    path.write_text(
        "title: t\nshows: s\nports: 2\nflows: {file: f.txt}\n"
        "events:\n  - advance: 5\n  - capture: a.pcapng\n"
    )
    scenario = read_scenario(str(path))
    assert list(scenario.happenings()) == [Advance(5.0), Arrival(5.25, 2, frame)]
    (flow,) = scenario.setup.parsed_flows
    assert (flow.file, flow.line) == (str(tmp_path / "f.txt"), 2)


WRONG = [
    ("title:", "titel:", "s.yaml:1:1: there is no such key: 'titel'", "did you mean 'title'?"),
    ("title: A test\n", "", "the scenario lacks a key: 'title'", ""),
    ("ports: [1, 2]", "ports: x", "s.yaml:3:8: ports: input should be a valid", "'x'"),
    ("ports: [1, 2]", "ports: [1, 0]", "s.yaml:3:12: ports.1: input should be greater", "'0'"),
    ("ports: [1, 2]", "ports: 70000", "s.yaml:3:8: ports: input should be less", "'70000'"),
    ("ports: [1, 2]", "ports: true", "s.yaml:3:8: ports", "'True'"),
    ("advance: 30", "advence: 30", "s.yaml:19:5: there is no such key", "mean 'advance'?"),
    ("advance: 30", "advance: -3", "s.yaml:19:14: events.2.advance", "'-3'"),
    ("advance: 30", "advance: .inf", "s.yaml:19:14: events.2.advance", "'inf'"),
    ("  - advance: 30", "  - 30", "s.yaml:19:5: events.2: input should be a valid str", "'30'"),
    ("{port: 2, packet", "{prot: 2, packet", "s.yaml:20:6: there is no such key", "mean 'port'?"),
    ("{port: 2, packet", "{port: 3, packet", "s.yaml:20:5: port 3 is not one of the", ""),
    ('hex: "00 ff"', 'hex: "00 f"', "s.yaml:21:31: this is no frame", "'00 f'"),
    ('hex: "00 ff"', 'hex: "00", packet: x', "given by either 'packet' or 'hex'", ""),
    (', hex: "00 ff"', "", "given by either 'packet' or 'hex'", ""),
    ("at: 31.5", "at: 3", "s.yaml:21:10: time runs backwards: 3 after 31", ""),
    ("udp 10.0.0.1:1 >", "udp 10.0.0.1 >", "s.yaml:20:27: this cannot be: '10.0.0.1'", ""),
    ("0.5 web > S", "0.5 web > Q", "s.yaml:17:15: no TCP flags: 'Q'", ""),
    ('"+0.5 web < SA"', '"+0.5 wbe < SA"', "s.yaml:18:11: neither a port nor", "mean 'web'?"),
    ('"+0.5 web < SA"', '"0.1 web < SA"', "s.yaml:18:6: time runs backwards: '0.1'", ""),
    ("p1 10.0.0.1:1000", "p1 10.0.0.1", "s.yaml:15:15: this cannot be: '10.0.0.1'", ""),
    ("  web:", "  p1:", "s.yaml:15:3: a conversation cannot be called like", "'p1'"),
    ("[timeout,", "[timeuot,", "s.yaml:24:12: expect.causes.0", "'timeuot'"),
    ("differ:", "differs:", "s.yaml:23:3: there is no such key: 'differs'", "mean 'differ'?"),
    ("lanes: [ovs-", "lanes: [osv-", "s.yaml:11:9: no such lane: 'osv-userspace'", "did you"),
    ("  ovs-kernel: {", "  ovs-kern: {", "s.yaml:13:3: no such lane: 'ovs-kern'", "did you"),
    ("lanes: [ovs-userspace, ovs-kernel]", "lanes: []", "s.yaml:11:8: lanes: tuple should", ""),
    ("tc_script: tc qdisc add dev p1 clsact", "tc_script: {file: x}",
     "s.yaml:10:19: there is no such file beside the scenario: 'x'", ""),
    ("tc_script: tc qdisc add dev p1 clsact", "tc_script: {fiel: x}",
     "s.yaml:10:13: there is no such key: 'fiel'", "mean 'file'?"),
    ("title: A test", "title: A test\ntitle: B", "s.yaml:2:1: this key stands here twice", ""),
    ("title: A test", "title: [", "not YAML", "s.yaml:3:"),
    ("title: A test", "3: x", "s.yaml:1:1: a key that is not text: '3'", ""),
    ("title: A test", "title: !!python/object:os.system {}",
     "s.yaml:1:8: a value with a tag", "os.system"),
    (WHOLE, "", "s.yaml: the file is empty", ""),
    (WHOLE, "- 1\n", "s.yaml:1: no scenario", ""),
    (WHOLE, "a: &x [*x]\n", "s.yaml:1:4: too many values, or too deep", ""),
    (WHOLE, "a: \x00", "not YAML", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "says", "also"), WRONG)
def test_what_is_wrong_is_told_in_one_line_with_its_place(
    old: str, new: str, says: str, also: str
) -> None:
    assert old in WHOLE
    with pytest.raises(InputError) as caught:
        scenario = parse_scenario(WHOLE.replace(old, new, 1), "s.yaml")
        list(scenario.happenings())
        assert scenario.setup
    text = str(caught.value)
    assert says in text and also in text
    assert "\n" not in text


def test_a_capture_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("title: t\nshows: s\nports: 2\nevents:\n  - capture: a.pcap\n")
    with pytest.raises(InputError, match=r"s\.yaml:5:14: there is no such file .*: 'a\.pcap'"):
        read_scenario(str(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_scenario(str(tmp_path / "nix.yaml"))
    (tmp_path / "s.yaml").write_bytes(b"title: \xff")
    with pytest.raises(InputError, match="UTF-8"):
        read_scenario(str(tmp_path / "s.yaml"))


def test_the_schema_names_every_key() -> None:
    schema = Scenario.model_json_schema()
    assert set(schema["properties"]) == {
        "title", "shows", "ports", "bridges", "flows", "groups", "meters", "tc_script", "lanes",
        "options",
        "conversations", "events", "expect",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ("{port: 9, link: down}", "port 9 is not one of the scenario's ports"),
        ("{port: 1, link: off}", "'up' or 'down'"),
        ("{flow_mod: 'delete ip,actions=drop'}", ":5:27: a flow that is deleted has no actions"),
        ("{flow_mod: 'delete ipp'}", ":5:24: there is no such field or keyword: 'ipp'"),
        ("{flow_mod: 'delete cookie=1'}", "a flow that is deleted gets no cookie"),
        ("{flow_mod: 'modify ip'}", "a flow must say its actions"),
    ],
)
def test_wrong_changes(event: str, says: str) -> None:
    text = f"title: t\nshows: s\nports: 2\nevents:\n  - {event}\n"
    with pytest.raises(InputError) as caught:
        list(parse_scenario(text, "s.yaml").happenings())
    assert says in str(caught.value)


BRIDGES = """\
title: Two bridges
shows: How they are written
bridges:
  br-int:
    ports: [1, 2]
    patches: [10 > br-ex 20]
    flows: |
      # a comment
      actions=output:10
  br-ex:
    ports: [3 as 1]
    flows: |
      in_port=20 actions=output:1,group:1
    groups: |
      group_id=1,type=all,bucket=output:1
events:
  - 0.5 p3 udp 10.0.0.1:1 > 10.0.0.2:2
"""


def test_bridges_have_ports_patches_and_flows_of_their_own() -> None:
    setup = parse_scenario(BRIDGES, "s.yaml").setup
    assert setup.ports == (1, 2, 3)
    inner, outer = setup.bridges
    assert inner.plan == Plan("br-int", ((1, 1), (2, 2)), ((10, "br-ex", 20),))
    assert outer.plan == Plan("br-ex", ((1, 3),), ((20, "br-int", 10),))
    assert [flow.line for flow in setup.parsed_flows] == [9, 13]
    assert len(outer.parsed_groups) == 1 and not inner.parsed_groups


def test_the_flows_of_a_named_bridge_change() -> None:
    change = "  - {flow_mod: 'delete ip', bridge: br-ex}\n"
    scenario = parse_scenario(BRIDGES + change, "s.yaml")
    assert list(scenario.happenings())[-1] == FlowChange(0.5, "delete ip", "br-ex")
    case = from_scenario(scenario, "s.yaml")
    again = from_scenario(parse_scenario(to_yaml(case, "the same"), "t.yaml"), "t.yaml")
    assert again == case and list(again.happenings())[-1] == FlowChange(0.5, "delete ip", "br-ex")
    for text, says in (
        (BRIDGES + change.replace(", bridge: br-ex", ""), "say the bridge: one of"),
        (BRIDGES + change.replace("br-ex", "br-no"), "'br-no'"),
        (WHOLE.replace("  - advance: 30\n", change), "there is but one bridge"),
    ):
        with pytest.raises(InputError) as error:
            list(parse_scenario(text, "s.yaml").happenings())
        assert says in str(error.value)


def test_a_case_with_geneve_options_is_written_as_it_was_read() -> None:
    map_ = "{class=0xffff,type=0x1,len=4}->tun_metadata0"
    shots = (Shot(0.0, 1, "tcp 10.0.0.1:1000 > 10.0.0.2:80 S"),)
    case = Case(("tun_metadata0,actions=2",), shots, tlv_map=map_, ports=(1, 2))
    again = from_scenario(parse_scenario(to_yaml(case, "the same"), "t.yaml"), "t.yaml")
    assert again.tlv_map == map_


def test_a_case_of_bridges_is_written_as_it_was_read() -> None:
    case = from_scenario(parse_scenario(BRIDGES, "s.yaml"), "s.yaml")
    again = from_scenario(parse_scenario(to_yaml(case, "the same"), "t.yaml"), "t.yaml")
    assert again == case
    assert [bridge.flows for bridge in case.bridges] == [
        ("actions=output:10",), ("in_port=20 actions=output:1,group:1",)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("3 as 1", "3 like 1", "s.yaml:11:13: this is no port: '3 like 1'"),
        ("3 as 1", "70000", "s.yaml:11:13: bridges.br-ex.ports.0: input should be less"),
        ("3 as 1", "0 as 1", "s.yaml:11:13: no port number: '0'"),
        ("3 as 1", "2 as 1", "port 2 is in two places: br-int and br-ex"),
        ("3 as 1", "3 as 20", "two ports of br-ex have one number: '20'"),
        ("br-ex 20", "br-no 20", "s.yaml:6:15: a patch port to a bridge that is not there"),
        ("10 > br-ex 20", "10", "s.yaml:6:15: bridges.br-int.patches.0: input should be a"),
        ("10 > br-ex 20", "10 to br-ex", "s.yaml:6:15: this is no patch port"),
        ("10 > br-ex 20", "10 > br-ex 20, 11 > br-ex 20", "has two ends"),
        ("  br-ex:", "  br ex:", "s.yaml:10:3: no bridge can be called so: 'br ex'"),
        ("    groups:", "    grops:", "s.yaml:14:5: there is no such key: 'grops'"),
        ("bridges:", "ports: 3\nbridges:", "s.yaml:3:1: with bridges, each has its own: 'ports'"),
        ("    ports: [1, 2]\n", "", "bridges br-int lacks a key: 'ports'"),
        ("0.5 p3", "0.5 p4", "port 4 is not one of the scenario's ports"),
        ("in_port=20", "in_prt=20", "s.yaml:13:7: there is no such field"),
    ],
)
def test_what_is_wrong_with_bridges(old: str, new: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        scenario = parse_scenario(BRIDGES.replace(old, new), "s.yaml")
        list(scenario.happenings())
        scenario.setup.parsed_flows  # noqa: B018 - reading it is what is tested
    assert says in str(error.value)


def test_without_bridges_there_must_be_ports() -> None:
    with pytest.raises(InputError, match="the scenario lacks a key: 'ports'"):
        parse_scenario(WHOLE.replace("ports: [1, 2]\n", ""), "s.yaml")
