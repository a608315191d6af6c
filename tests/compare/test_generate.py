from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ovsct.bridge.act import ACTIONS
from ovsct.compare import excluded, generate_match
from ovsct.compare.case import Case, Shot, from_scenario, to_yaml
from ovsct.compare.coverage import Coverage
from ovsct.compare.excluded import REASONS, Excluded
from ovsct.compare.generate import Profile, generate
from ovsct.compare.scenario import parse_scenario
from ovsct.errors import InputError
from ovsct.openflow.actions import Action, Ct, WriteActions
from ovsct.openflow.text.flow_text import read_flows
from ovsct.openflow.text.group_text import read_groups
from ovsct.packet.fields import FIELDS

CASES = [(profile, number) for profile in Profile for number in range(150)]


def kinds(actions: tuple[Action, ...]) -> Counter[type[Action]]:
    found: Counter[type[Action]] = Counter()
    for action in actions:
        found[type(action)] += 1
        for name in ("actions", "exec"):
            found += kinds(getattr(action, name, ()))
    return found


def test_a_case_depends_on_its_seed_and_number_alone() -> None:
    late = generate(7, 41)
    for number in range(5):
        generate(7, number)
    assert generate(7, 41) == late
    assert generate(7, 42) != late
    assert generate(8, 41).flows != late.flows
    assert generate(7, 41, Profile.CONNTRACK).flows != late.flows


@pytest.mark.parametrize("profile", Profile)
def test_every_flow_group_and_packet_can_be_read(profile: Profile) -> None:
    for number in range(300):
        case = generate(1, number, profile)
        assert len(read_flows("\n".join(case.flows))) == len(case.flows)
        assert len(read_groups("\n".join(case.groups))) == len(case.groups)
        times = [happening.at for happening in case.happenings()]
        assert times == sorted(times)


def test_no_priority_of_a_table_is_there_twice_but_in_conjunctions() -> None:
    for profile, number in CASES:
        seen = Counter(
            (flow.table, flow.priority)
            for flow in read_flows("\n".join(generate(1, number, profile).flows))
            if flow.priority != 2000
        )
        assert max(seen.values()) == 1


def forks(actions: tuple[Action, ...]) -> bool:
    return any(
        (isinstance(action, Ct) and action.table is not None)
        or forks(getattr(action, "actions", ()))
        for action in actions
    )


def test_a_set_and_a_fork_are_never_in_one_case() -> None:
    for profile, number in CASES:
        flows = read_flows("\n".join(generate(1, number, profile).flows))
        if any(WriteActions in kinds(flow.actions) for flow in flows):
            assert not any(forks(flow.actions) for flow in flows)


def test_what_is_left_out_is_not_drawn() -> None:
    without = frozenset({"learn", "normal", "groups", "meters", "changes", "debug_slow"})
    drawn: Counter[str] = Counter()
    for number in range(60):
        case = generate(5, number, Profile.WIDE, without)
        assert not case.groups and not case.meters
        assert not any(shot.line.startswith(("link", "flow-mod")) for shot in case.shots)
        for flow in read_flows("\n".join(case.flows)):
            drawn.update(kind.__name__ for kind in kinds(flow.actions).elements())
    assert drawn["Ct"] and drawn["DebugRecirc"]
    assert not drawn["Learn"] and not drawn["DebugSlow"] and not drawn["Meter"]


def test_every_field_is_matched_on_or_excluded_by_name() -> None:
    named = {row.field for row in generate_match.ROWS} | generate_match.DRAWN_APART
    registers = {name for name in FIELDS if "reg" in name}
    assert named | set(excluded.FIELDS) | registers == set(FIELDS)
    assert not named & set(excluded.FIELDS)


def test_every_action_that_translates_is_drawn() -> None:
    drawn: Counter[type[Action]] = Counter()
    for number in range(1500):
        for flow in read_flows("\n".join(generate(2, number).flows)):
            drawn += kinds(flow.actions)
    missing = {kind.__name__ for kind in ACTIONS} - {kind.__name__ for kind in drawn}
    assert missing <= set(excluded.ACTIONS)


def test_every_exclusion_has_its_reason() -> None:
    assert set(REASONS) == set(Excluded)


def test_a_case_is_a_scenario_and_back() -> None:
    for number in range(40):
        case = generate(3, number)
        back = from_scenario(parse_scenario(to_yaml(case, "a test"), "case.yaml"), "case.yaml")
        assert list(back.happenings()) == list(case.happenings())
        assert (back.flows, back.groups, back.ports) == (case.flows, case.groups, case.ports)
        assert back.meters == case.meters
        assert back.fragments == case.fragments


def test_time_that_passes_is_kept_in_a_scenario() -> None:
    case = Case(("actions=output:1",), (Shot(0.5, 1, "hex " + "00" * 20), Shot(3.0, 0, "")))
    text = to_yaml(case, "a test")
    assert "advance: 2.5" in text
    assert list(from_scenario(parse_scenario(text, "x"), "x").happenings()) == list(
        case.happenings()
    )


def test_the_docs_list_what_is_excluded() -> None:
    text = (Path(__file__).parents[2] / "docs" / "verify.md").read_text(encoding="utf-8")
    for name, reason in REASONS.items():
        assert f"| `{name}` | {reason} |" in text


def test_changes_are_kept_in_a_scenario() -> None:
    case = Case(
        ("actions=output:2",),
        (
            Shot(0.5, 2, "link down"),
            Shot(1.0, 1, "hex " + "00" * 20),
            Shot(2.0, 0, "flow-mod delete table=1,ip"),
            Shot(3.0, 2, "link up"),
        ),
    )
    back = from_scenario(parse_scenario(to_yaml(case, "a test"), "x"), "x")
    assert list(back.happenings()) == list(case.happenings())
    assert [type(happening).__name__ for happening in back.happenings()] == [
        "LinkChange", "Arrival", "FlowChange", "LinkChange",
    ]  # fmt: skip
    with pytest.raises(InputError, match="nothing may change"):
        list(back.packets())


def test_coverage_says_what_was_never_reached() -> None:
    lines = list(Coverage({"action": {"Ct": 3}, "field": {"nw_src": 1}}).lines())
    assert lines[0] == "action: 1 reached: Ct 3"
    assert lines[1].startswith("action: ") and " never reached: Bundle, " in lines[1]
    assert "Ct," not in lines[1] and "Conjunction" not in lines[1]
    assert lines[2] == "field: 1 reached: nw_src 1"
    assert "actset_output" in lines[3] and "nw_src" not in lines[3].replace("ct_nw_src", "")
    assert any(line.startswith("datapath: ") and "CheckPktLen" in line for line in lines)
