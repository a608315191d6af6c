"""Refusals: whether the model refuses what ovs-ofctl and ovs-vswitchd refuse, with the same error.

Both accept a line, or both refuse it: with the same name of an OpenFlow error, or, where ovs-ofctl
itself cannot read it, both in words. A refusal of the model says where in the line the fault is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Final

from ovsct.compare.generate_refused import FLOW, GROUP, METER, Attempt
from ovsct.compare.shrink import shorter_flows
from ovsct.errors import InputError
from ovsct.openflow.check import check_references
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.text.group_text import read_groups
from ovsct.openflow.text.meter_text import read_meters
from ovsct.oracle.ofctl import Refused
from ovsct.oracle.real_ovs import Options, RealOvs

TAKEN: Final = "taken"
TEXT: Final = "refused in words"
_NAME: Final = re.compile(r"\b(?:OFP|NX)[A-Z0-9]+C_[A-Z0-9_]+\b")
_NOT_MODELLED: Final = re.compile(r"not modelled|not supported|is not there")


_WORDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(words), name)
    for words, name in (
        ("invalid instruction ordering|duplicate .* instruction", "OFPBAC_UNSUPPORTED_ORDER"),
        ("instruction not allowed here", "OFPBIC_UNSUP_INST"),
        ("is read-only", "OFPBAC_BAD_SET_ARGUMENT"),
        ("cannot set CT fields outside|NAT action outside", "OFPBAC_BAD_SET_ARGUMENT"),
        ("doesn't support nested", "OFPBAC_BAD_ARGUMENT"),
        ('^.?"conjunction" actions may be used', "NXBAC_BAD_CONJUNCTION"),
        ("destination field has|bits wide", "OFPBAC_BAD_ARGUMENT"),
        ("action not allowed here", "OFPBAC_BAD_TYPE"),
    )
)
"""What ovs-ofctl says in words, and the name that the same check has for a switch (OVS
lib/ofp-actions.c, ``ofpacts_verify()``)."""


_BENDING: Final = re.compile(
    r"parenthesis is never closed|'[^']*0x(?![0-9a-f])|0x[0-9a-f]{17}|\d{20}"
)
"""What ovs-ofctl always bends: an open parenthesis is closed, 0x is 0, 65 bits are 64. What is
refused then is something else."""


class Judgement(StrEnum):
    """What came of an attempt. Closed."""

    ALIKE = "alike"
    STRICTER = "stricter"
    """ovs-ofctl takes the line for another: what it makes of it does not hold the token that the
    model refuses (docs/verify.md, ``bent-silently``)."""
    NOT_MODELLED = "not-modelled"
    """The model says by name that it does not have this."""
    DIFFERENT = "different"
    NO_PLACE = "no-place"
    """The model refuses without saying where."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An attempt with what both said."""

    attempt: Attempt
    judgement: Judgement
    model: str
    real: str
    said: str = ""
    """The model's error in full."""

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.attempt.kind} ({', '.join(self.attempt.bent)}): {self.attempt.line}"
        yield f"  model: {self.model}{f': {self.said}' if self.said else ''}"
        yield f"  program: {self.real}"


@dataclass(slots=True)
class RefusalTally:
    """What came of all attempts so far."""

    attempts: int = 0
    judged: Counter[Judgement] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    bends: Counter[str] = field(default_factory=Counter)
    stricter: Counter[str] = field(default_factory=Counter)

    def take(self, finding: Finding) -> None:
        """Count one."""
        self.attempts += 1
        self.judged[finding.judgement] += 1
        self.errors[finding.real.partition(":")[0]] += 1
        self.bends.update(finding.attempt.bent)
        if finding.judgement in (Judgement.STRICTER, Judgement.NOT_MODELLED):
            self.stricter[re.sub(r"^[\d:]+ |: '.*", "", finding.said)] += 1

    @property
    def differences(self) -> int:
        """How many count as differences."""
        return self.judged[Judgement.DIFFERENT] + self.judged[Judgement.NO_PLACE]

    def lines(self) -> Iterator[str]:
        """What was reached."""
        for name, counts in (("bent", self.bends), ("program says", self.errors)):
            yield f"{name}: " + ", ".join(f"{key} {n}" for key, n in sorted(counts.items()))
        for said, count in sorted(self.stricter.items()):
            yield f"{count} lines: only the model refuses: {said}"


class Refusals:
    """Puts attempts to the model and to a real program. Close it, or use it as a context manager.

    Raises:
        OvsctError: the program is not installed.
    """

    def __init__(self) -> None:
        self._real = RealOvs(ports=(1, 2, 3, 4))
        self._groups = False
        self._prepare()

    def __enter__(self) -> Refusals:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the program."""
        self._real.close()

    def _prepare(self) -> None:
        """A bridge with what drawn flows refer to: group 1 and meter 1."""
        self._real.reset((), ["group_id=1,type=all"],
                         Options(meters=["meter=1 pktps bands=type=drop rate=1"]))  # fmt: skip
        self._prepared = True

    def run(self, attempt: Attempt) -> Finding:
        """Put one attempt to both."""
        refused = self._real_says(attempt)
        real = TAKEN if refused is None else refused.openflow_error or TEXT
        error = _model_says(attempt)
        if error is None:
            found = Judgement.ALIKE if refused is None else Judgement.DIFFERENT
            text = real if refused is None else f"{real}: {refused.problem}"
            return Finding(attempt, found, TAKEN, text)
        name = _NAME.search(str(error))
        model = name[0] if name is not None else TEXT
        judgement = self._judge(attempt, model, refused, error)
        text = real if refused is None else f"{real}: {refused.problem}"
        return Finding(attempt, judgement, model, text, str(error))

    def _judge(
        self, attempt: Attempt, model: str, refused: Refused | None, error: InputError
    ) -> Judgement:
        if refused is None:
            if _NOT_MODELLED.search(error.problem):
                return Judgement.NOT_MODELLED
            return Judgement.STRICTER if self._bent(error) else Judgement.DIFFERENT
        if model not in _classes(refused):
            if _BENDING.search(str(error)):
                return Judgement.STRICTER
            different = Judgement.DIFFERENT
            return Judgement.NOT_MODELLED if _NOT_MODELLED.search(error.problem) else different
        placed = error.column is not None and 1 <= error.column <= len(attempt.line) + 1
        # Where the end of the line is too soon there is no token.
        named = error.token is not None or error.column == len(attempt.line) + 1
        return Judgement.ALIKE if placed and named else Judgement.NO_PLACE

    def _bent(self, error: InputError) -> bool:
        """Whether what the program holds now has no such token as the model refuses."""
        if error.token is None or _NAME.search(str(error)):
            return False
        held = " ".join(
            (*self._real.flow_stats(exact=False), self._real.openflow("dump-groups"),
             self._real.openflow("dump-meters"))
        )  # fmt: skip
        return re.search(rf"(?<!\w){re.escape(error.token)}(?!\w)", held) is None

    def _real_says(self, attempt: Attempt) -> Refused | None:
        if attempt.kind == FLOW:
            if not self._prepared:
                self._prepare()
            return self._real.refusal(attempt.line, alone="check_overlap" in attempt.line)
        self._prepared = False
        groups = [attempt.line] if attempt.kind == GROUP else []
        meters = [attempt.line] if attempt.kind == METER else []
        try:
            self._real.configure((), groups, meters)
        except Refused as error:
            return error
        return None

    def shortest(self, finding: Finding) -> Finding:
        """A shorter line of which both say the same, if it is a flow that both can take apart."""
        best = finding
        shorter = finding.attempt.kind == FLOW
        while shorter:
            shorter = False
            for line in shorter_flows(best.attempt.line):
                tried = self.run(Attempt(FLOW, line, best.attempt.bent))
                if (tried.judgement, tried.model) == (best.judgement, best.model) and (
                    tried.real.partition(":")[0] == best.real.partition(":")[0]
                ):
                    best, shorter = tried, True
                    break
        return best


def _classes(refused: Refused) -> frozenset[str]:
    """What the model may call this refusal: by its name; or, if it has none, in words."""
    if refused.openflow_error is not None:
        return frozenset({refused.openflow_error})
    return frozenset(
        {TEXT, *(name for words, name in _WORDS if words.search(refused.problem))}
    )


def _model_says(attempt: Attempt) -> InputError | None:
    try:
        if attempt.kind == FLOW:
            check_references(parse_flow(attempt.line), (1,), (1,))
        elif attempt.kind == GROUP:
            read_groups(attempt.line)
        else:
            read_meters(attempt.line)
    except InputError as error:
        return error
    return None
