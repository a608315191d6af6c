"""Noise for conntrack: nothing is raised, nothing is lost, whatever comes in."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from ovsct.compare import robust
from ovsct.compare.robust import CONNECTIONS, DIALECTS, Noise, Patient, run
from ovsct.conntrack.userspace import UserspaceTracker


def test_twenty_thousand_inputs_do_no_harm() -> None:
    kinds: Counter[str] = Counter()
    assert run(1, 20_000, kinds) is None
    assert sum(kinds.values()) == 20_000
    assert len(kinds) == len(Noise(Random(1), "userspace", 4).kinds)
    assert min(kinds.values()) > 1000


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("family", [4, 6])
def test_the_noise_meets_connections_that_are_there(dialect: str, family: int) -> None:
    patient = Patient(dialect, family)
    assert len(patient.expected) == len(CONNECTIONS)


def test_an_exception_and_a_loss_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(5, 400)
    assert found is None
    monkeypatch.setattr(UserspaceTracker, "track", lambda *_: 1 // 0, raising=True)
    with pytest.raises(ZeroDivisionError):
        Patient("userspace", 4)
    monkeypatch.undo()

    class Forgetful(Patient):
        def feed(self, frame: bytes, of: robust.Talking) -> None:
            super().feed(frame, of)
            if self.now > 0.2:
                self.tracker.flush()

    monkeypatch.setattr(robust, "Patient", Forgetful)
    trouble = run(5, 400)
    assert trouble is not None
    assert trouble.problem.startswith("lost: ")

    class Failing(Patient):
        def feed(self, frame: bytes, of: robust.Talking) -> None:
            super().feed(frame, of)
            if self.now > 0.2:
                raise IndexError("of a packet")

    monkeypatch.setattr(robust, "Patient", Failing)
    trouble = run(5, 400)
    assert trouble is not None
    assert trouble.problem == "IndexError: of a packet"
    assert bytes.fromhex(trouble.frame)
