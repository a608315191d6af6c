from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ovsct.compare.campaign import BATCH, Batch, Corpus, Plan, campaign, here, on_dask
from ovsct.errors import InputError, OvsctError

PLAN = Plan(seed=1, cases=4 * BATCH + 7)


def batch(number: int) -> Batch:
    found = {"seed-1-all-case-5.yaml": "# it differs\n"} if number == 0 else {}
    return Batch(number, 10, {"why": 1}, {"action": {"Ct": 2}}, found)


class Killed(Exception):
    pass


def test_batches_cover_all_cases_once() -> None:
    numbers = [number for at in range(PLAN.batches) for number in PLAN.numbers(at)]
    assert numbers == list(range(PLAN.cases))


def test_a_campaign_that_was_killed_goes_on(tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def dies(plan: Plan, numbers: Iterable[int]) -> Iterator[Batch]:
        for number in list(numbers)[:2]:
            yield batch(number)
        raise Killed

    def lives(plan: Plan, numbers: Iterable[int]) -> Iterator[Batch]:
        asked.append(list(numbers))
        for number in reversed(asked[-1]):
            yield batch(number)

    with pytest.raises(Killed):
        list(campaign(PLAN, Corpus(tmp_path, PLAN), dies))
    corpus = Corpus(tmp_path, PLAN)
    assert corpus.state.cases == 2 * BATCH
    list(campaign(PLAN, corpus, lives))
    assert asked == [[2, 3, 4]]
    state = Corpus(tmp_path, PLAN).state
    assert (state.cases, state.packets) == (PLAN.cases, 50)
    assert state.left_out == {"why": 5}
    assert state.coverage["action"] == {"Ct": 10}
    assert state.found == ["seed-1-all-case-5.yaml"]
    assert (tmp_path / "seed-1-all-case-5.yaml").read_text() == "# it differs\n"


def test_the_state_is_never_half_written(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, PLAN)
    corpus.take(PLAN, batch(0))
    before = (tmp_path / "state.json").read_text()
    # What a kill in the middle of a write leaves behind is beside the state, not in it.
    (tmp_path / "state.new").write_text("{")
    assert Corpus(tmp_path, PLAN).state.cases == BATCH
    assert json.loads(before)["done"] == [0]


def test_a_corpus_belongs_to_one_campaign(tmp_path: Path) -> None:
    Corpus(tmp_path, PLAN).take(PLAN, batch(0))
    with pytest.raises(InputError, match="seed 1, profile all"):
        Corpus(tmp_path, Plan(seed=2, cases=10))


def test_a_state_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"seed": 1}')
    with pytest.raises(InputError, match="state"):
        Corpus(tmp_path, PLAN)


def test_without_dask_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OvsctError, match="pip install"):
        on_dask("tcp://127.0.0.1:1")


def test_a_corpus_belongs_to_one_lane_and_kernel(tmp_path: Path) -> None:
    plan = Plan(1, 5, lane="tc", kernel="6.1")
    Corpus(tmp_path, plan).take(plan, batch(0))
    assert Corpus(tmp_path, plan).state.cases == 5
    for other in (Plan(1, 5, lane="tc", kernel="6.12"), Plan(1, 5, lane="ovs-kernel"), Plan(1, 5)):
        with pytest.raises(InputError, match=r"lane tc, kernel 6\.1"):
            Corpus(tmp_path, other)


@pytest.mark.real_kernel
def test_a_kernel_judges_a_campaign_of_rule_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(1, 12, lane="tc-script", kernel="6.1")
    try:
        plan.judge().close()
    except OvsctError as error:
        pytest.skip(f"no kernel 6.1: {error}")
    monkeypatch.setattr("ovsct.conntrack.netfilter.core.SEEN_REPLY", 0)
    corpus = Corpus(tmp_path, plan)
    list(campaign(plan, corpus, here))
    assert corpus.state.cases == 12
    assert corpus.state.found
    monkeypatch.undo()
    # What a right model does no longer, does not differ any more.
    assert Corpus(tmp_path, plan).still_different() == []
