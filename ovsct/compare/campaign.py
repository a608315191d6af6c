"""Campaigns: many generated cases in batches, over processes or a cluster, and resumable.

A corpus is a folder: ``state.json`` says which batches are done and what came of them, and every
difference is kept as a scenario beside it. The state is written whole and put in place at once, so
that a campaign that was killed goes on where its last whole batch ended.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any, Final

from ovsct.compare.case import Case, from_scenario
from ovsct.compare.coverage import Coverage
from ovsct.compare.generate import Profile
from ovsct.compare.judges import USERSPACE, Judge, judge_of
from ovsct.compare.scenario import read_scenario
from ovsct.compare.verdict import Difference
from ovsct.errors import InputError, OvsctError

BATCH: Final = 100
"""Cases that share one start of the program, which takes as long as four of them."""

STATE: Final = "state.json"
_SHRINKS: Final = 3
"""Differences that one batch shrinks; its others are named only."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign is to do; batches are counted from 0.

    `lane` and `kernel` say who judges (:func:`ovsct.compare.judges.judge_of`).
    """

    seed: int
    cases: int
    profile: str = "all"
    lane: str = USERSPACE
    kernel: str | None = None

    @property
    def batches(self) -> int:
        """How many batches that is."""
        return -(-self.cases // BATCH)

    def judge(self) -> Judge:
        """A judge, to be closed."""
        return judge_of(self.lane, self.kernel, Profile(self.profile))

    def numbers(self, batch: int) -> range:
        """The cases of a batch."""
        return range(batch * BATCH, min((batch + 1) * BATCH, self.cases))


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of a batch: counts, and the scenario of each difference by its file name."""

    number: int
    packets: int
    left_out: dict[str, int]
    coverage: dict[str, dict[str, int]]
    found: dict[str, str]


@dataclass(slots=True)
class State:
    """What came of a campaign so far."""

    seed: int
    profile: str
    lane: str = USERSPACE
    kernel: str | None = None
    done: list[int] = field(default_factory=list)
    cases: int = 0
    packets: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    coverage: dict[str, dict[str, int]] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    def take(self, plan: Plan, batch: Batch) -> None:
        """Add what came of a batch."""
        self.done.append(batch.number)
        self.cases += len(plan.numbers(batch.number))
        self.packets += batch.packets
        for reason, count in batch.left_out.items():
            self.left_out[reason] = self.left_out.get(reason, 0) + count
        coverage = Coverage(self.coverage)
        coverage.add(Coverage(batch.coverage))
        self.coverage = plain(coverage)
        self.found += sorted(batch.found)


def plain(coverage: Coverage) -> dict[str, dict[str, int]]:
    """Coverage as JSON can hold it."""
    return {area: dict(names) for area, names in coverage.counts.items()}


def run_batch(plan: Plan, number: int) -> Batch:
    """Run a batch with a program of its own. Runs in whatever process the executor chooses.

    Raises:
        OvsctError: the program died or is not installed.
    """
    packets = 0
    left_out: dict[str, int] = {}
    coverage = Coverage()
    found: dict[str, str] = {}
    with plan.judge() as judge:
        for at in plan.numbers(number):
            case = judge.case(plan.seed, at)
            verdict = judge.run(case)
            packets += verdict.packets
            coverage.add(verdict.coverage)
            for reason in verdict.reasons():
                left_out[reason] = left_out.get(reason, 0) + 1
            if verdict.difference is not None:
                text = _kept(judge, case, verdict.difference, len(found) < _SHRINKS)
                found[f"seed-{plan.seed}-{plan.profile}-case-{at}.yaml"] = text
    return Batch(number, packets, left_out, plain(coverage), found)


def _kept(judge: Judge, case: Case, difference: Difference, shorten: bool) -> str:
    if shorten:
        case = judge.shorten(case, difference)
        difference = judge.run(case).difference or difference
    comment = "".join(f"# {line}\n" for line in difference.lines())
    return comment + judge.text(case, difference)


class Corpus:
    """The folder of a campaign.

    Raises:
        InputError: it belongs to another campaign, or its state cannot be read.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / STATE
        self._plan = plan
        self.state = self._read(plan)

    def _read(self, plan: Plan) -> State:
        if not self._path.exists():
            return State(plan.seed, plan.profile, plan.lane, plan.kernel)
        try:
            state = State(**json.loads(self._path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            problem = f"this is no state of a campaign: {error}"
            raise InputError(problem, file=str(self._path)) from None
        asked = (plan.seed, plan.profile, plan.lane, plan.kernel)
        if (state.seed, state.profile, state.lane, state.kernel) != asked:
            raise InputError(
                f"the corpus is of seed {state.seed}, profile {state.profile}, lane {state.lane},"
                f" kernel {state.kernel or 'none in particular'}",
                file=str(self._path),
                hint="give another --corpus, or that seed, profile, lane and kernel",
            )
        return state

    def take(self, plan: Plan, batch: Batch) -> None:
        """Keep what came of a batch: its scenarios first, then the state that names them."""
        for name, text in batch.found.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        self.state.take(plan, batch)
        fresh = self._path.with_suffix(".new")
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(asdict(self.state), file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._path)

    def still_different(self) -> list[str]:
        """The names of the kept scenarios that still differ."""
        paths = sorted(self.folder.glob("*.yaml"))
        if not paths:
            return []
        lane = self.state.lane
        with self._plan.judge() as judge:
            return [
                path.name
                for path in paths
                if judge.run(from_scenario(read_scenario(str(path)), path.name, lane)).difference
            ]


def campaign(
    plan: Plan, corpus: Corpus, submit: Callable[[Plan, Iterable[int]], Iterator[Batch]]
) -> Iterator[Batch]:
    """Run what is not done yet; each batch is kept before it is given.

    Args:
        plan: what to do.
        corpus: where it is kept.
        submit: gives the batches of these numbers, in any order.
    """
    done = frozenset(corpus.state.done)
    missing = [number for number in range(plan.batches) if number not in done]
    for batch in submit(plan, missing):
        corpus.take(plan, batch)
        yield batch


# -- where batches run ---------------------------------------------------------------------------


def here(plan: Plan, numbers: Iterable[int]) -> Iterator[Batch]:
    """One batch after the other, in this process."""
    for number in numbers:
        yield run_batch(plan, number)


def on_processes(jobs: int) -> Callable[[Plan, Iterable[int]], Iterator[Batch]]:
    """So many processes of this machine, each with programs of its own."""

    def submit(plan: Plan, numbers: Iterable[int]) -> Iterator[Batch]:
        # A fresh interpreter each: a fork would share the sockets of programs that run here.
        context = get_context("spawn")
        with ProcessPoolExecutor(jobs, context, initializer=_end_with_parent) as pool:
            yield from _as_completed(pool, plan, numbers)

    return submit


def _end_with_parent() -> None:
    """In a worker: if the campaign is killed, stop as after Ctrl-C, and stop the program too."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        while True:  # the first ends a batch, and the pool takes the next from its queue
            os.kill(os.getpid(), signal.SIGINT)
            sleep(2)

    # In the background of a shell it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Thread(target=watch, daemon=True).start()


def _in_worker(plan: Plan, number: int) -> Batch:
    parent = parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)
    return run_batch(plan, number)


def _as_completed(pool: Executor, plan: Plan, numbers: Iterable[int]) -> Iterator[Batch]:
    futures: list[Future[Batch]] = [pool.submit(_in_worker, plan, number) for number in numbers]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def on_dask(address: str) -> Callable[[Plan, Iterable[int]], Iterator[Batch]]:
    """The workers of a dask cluster, each of which needs ovsct and Open vSwitch.

    Raises:
        OvsctError: dask.distributed is not installed, or nobody answers there.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise OvsctError(
            "--executor dask:ADDRESS needs dask.distributed; install it with"
            " pip install 'ovsct[cluster]'"
        ) from None

    @contextmanager
    def connected() -> Iterator[Any]:
        try:
            client = distributed.Client(address, timeout=10)
        except (OSError, ValueError) as error:
            raise OvsctError(f"no dask scheduler at {address}: {error}") from None
        with client:
            yield client

    def submit(plan: Plan, numbers: Iterable[int]) -> Iterator[Batch]:
        opened: AbstractContextManager[Any] = connected()
        with opened as client:
            futures = [client.submit(run_batch, plan, number, pure=False) for number in numbers]
            for future in distributed.as_completed(futures):
                yield future.result()

    return submit
