"""The judges of campaigns: each makes cases for a lane, runs and shortens them.

A lane has one judge: ``ovs-userspace`` a real ovs-vswitchd, the others a real kernel, with rules
of TC (``tc-script``) or with Open vSwitch in it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from ovsct.compare.case import Case, to_yaml
from ovsct.compare.generate import Profile, generate
from ovsct.compare.generate_tc import generate_tc
from ovsct.compare.on_kernel import NOT_DRAWN
from ovsct.compare.shrink import shrink
from ovsct.compare.verdict import Difference, Verdict
from ovsct.compare.verify import Verifier
from ovsct.compare.verify_kernel import KernelVerifier, shorten, to_scenario
from ovsct.compare.verify_kernel_ovs import KernelOvsVerifier
from ovsct.errors import InputError


class Judge(Protocol):
    """A judge. Close it, or use it in ``with``."""

    @property
    def who(self) -> str:
        """Who it is, for people."""

    def case(self, seed: int, number: int) -> Case:
        """A generated case."""

    def run(self, case: Case) -> Verdict:
        """What it says of a case."""

    def shorten(self, case: Case, difference: Difference) -> Case:
        """The shortest case found that differs in the same kind of thing."""

    def text(self, case: Case, difference: Difference) -> str:
        """The case as a scenario file."""

    def close(self) -> None:
        """Stop the program."""

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""


class _Closing:
    """What judges have in common."""

    def close(self) -> None:
        """Stop the program."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RealOvsJudge(_Closing):
    """A real ovs-vswitchd, of the lane ``ovs-userspace``."""

    who = "ovs-vswitchd"

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.verifier = Verifier()
        self.run: Callable[[Case], Verdict] = self.verifier.run

    def close(self) -> None:
        """Stop the program."""
        self.verifier.close()

    def case(self, seed: int, number: int) -> Case:
        """A generated case."""
        return generate(seed, number, self.profile)

    def shorten(self, case: Case, difference: Difference) -> Case:
        """The shortest case found that differs in the same kind of thing."""
        return shrink(case, self.verifier.still(difference))

    def text(self, case: Case, difference: Difference) -> str:
        """The case as a scenario file."""
        return to_yaml(case, f"model and program differ in {difference.kind}")


class RuleSetJudge(_Closing):
    """A real kernel with rule sets of TC, of the lane ``tc-script``."""

    def __init__(self, kernel: str | None) -> None:
        self.verifier = KernelVerifier(kernel)
        self.who = f"kernel {self.verifier.real.release}"
        self.run: Callable[[Case], Verdict] = self.verifier.run

    def close(self) -> None:
        """Switch the kernel off."""
        self.verifier.close()

    @staticmethod
    def case(seed: int, number: int) -> Case:
        """A generated case."""
        return generate_tc(seed, number)

    def shorten(self, case: Case, difference: Difference) -> Case:
        """The shortest case found that differs in the same kind of thing."""
        return shorten(self.verifier, case, difference.kind)

    @staticmethod
    def text(case: Case, difference: Difference) -> str:
        """The case as a scenario file."""
        return to_scenario(case, f"model and kernel differ in {difference.kind}")


class KernelOvsJudge(_Closing):
    """Open vSwitch in a real kernel, of the lanes ``ovs-kernel`` and ``tc``."""

    def __init__(self, lane: str, kernel: str | None, profile: Profile) -> None:
        self.lane = lane
        self.profile = profile
        self.verifier = KernelOvsVerifier(kernel, hw_offload=lane == "tc")
        self.who = f"kernel {self.verifier.real.release} with Open vSwitch"
        self.run: Callable[[Case], Verdict] = self.verifier.run

    def close(self) -> None:
        """Switch the kernel off."""
        self.verifier.close()

    def case(self, seed: int, number: int) -> Case:
        """A generated case, without what a kernel cannot judge."""
        case = generate(seed, number, self.profile, NOT_DRAWN)
        return self.verifier.fitted(case)

    def shorten(self, case: Case, difference: Difference) -> Case:
        """The shortest case found that differs in the same kind of thing."""
        return shrink(case, self.verifier.still(difference.kind))

    def text(self, case: Case, difference: Difference) -> str:
        """The case as a scenario file."""
        text = to_yaml(case, f"model and kernel differ in {difference.kind}")
        head, flows, rest = text.partition("\nflows:")
        return head.replace("ovs-userspace", self.lane) + flows + rest


USERSPACE: Final = "ovs-userspace"
RULE_SETS: Final = "tc-script"
KERNEL_LANES: Final = (RULE_SETS, "ovs-kernel", "tc")
"""The lanes that a real kernel judges."""
LANES: Final = (USERSPACE, *KERNEL_LANES)
"""The lanes that have a judge."""


def judge_of(lane: str, kernel: str | None = None, profile: Profile = Profile.ALL) -> Judge:
    """The judge of a lane.

    Args:
        lane: one of :data:`LANES`.
        kernel: which kernel (:func:`ovsct.oracle.kernel.kernels.choose`), if one judges.
        profile: what generated cases of OpenFlow are mostly about.

    Raises:
        InputError: the lane has no judge, or the profile or kernel is not for it.
        OvsctError: the program or kernel is not here.
    """
    if lane not in LANES:
        raise InputError("the lane has no judge", token=lane, expected=", ".join(LANES))
    if lane == USERSPACE:
        if kernel is not None:
            raise InputError("no kernel judges this lane", token=kernel)
        return RealOvsJudge(profile)
    if profile not in ((Profile.ALL,) if lane == RULE_SETS else (Profile.ALL, Profile.CONNTRACK)):
        raise InputError("no such profile for this lane", token=str(profile))
    if lane == RULE_SETS:
        return RuleSetJudge(kernel)
    return KernelOvsJudge(lane, kernel, profile)
