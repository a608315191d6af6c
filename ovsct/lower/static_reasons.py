"""Why a pipeline cannot be a TC rule set: one closed list, and the error that names the flow.

A page of docs/refusals.md explains each member. What a match or an action of a single filter cannot
say has its reason in :mod:`ovsct.lower.reasons`, and the same page.
"""

from __future__ import annotations

from enum import StrEnum

from ovsct.errors import InputError
from ovsct.lower.reasons import Reason
from ovsct.openflow.actions import NOWHERE, Span
from ovsct.openflow.flow import Flow


class StaticReason(StrEnum):
    """Why TC cannot do without OVS what a flow asks for. Closed."""

    AFTER_RESUBMIT = "after-resubmit"
    """Actions behind a resubmit whose outcome depends on the packet: goto does not come back."""
    AFTER_FORK = "after-fork"
    """Actions behind ct(table=...) that change the packet or look at it: goto takes it away."""
    REGISTER = "register"
    """A register, or what one is loaded into, depends on the packet: TC has no registers."""
    NAT_BEHIND = "nat-behind"
    """Addresses or ports are matched behind a ct(nat) that did not recirculate: OVS still sees the
    old ones."""
    NAT_PORTS = "nat-ports"
    """A nat with ports and no address, for which tc has no words."""
    ACTION_SET = "action-set"
    """write_actions: what it does is only known at the end."""
    STACK = "stack"
    """push and pop of fields."""
    NORMAL = "normal"
    """NORMAL and output to a field: the port is learned or computed."""
    GROUP = "group"
    """A group that chooses a bucket, or whose buckets change the packet before something else."""
    CLONE = "clone"
    """A clone that changes the packet before something else."""
    CONJUNCTION = "conjunction"
    """Conjunctive flows."""
    LEARN = "learn"
    """Flows that make or change flows."""
    TIMEOUT = "timeout"
    """A flow that ages: filters stay."""
    LOOP = "loop"
    """The pipeline comes back to a table in the same state."""
    DEPTH = "depth"
    """More than 16 goto in a row."""
    ANY_UNTAGGED = "any-untagged"
    """Frames without a tag, of any type: flower has no word for it."""
    TAGS = "tags"
    """A second tag is pushed, or a tag is changed of which it is not known whether it is there."""
    DEC_TTL = "dec-ttl"
    """A TTL is decremented that the same flow has written or decremented."""
    CHECK_PKT_LEN = "check-pkt-len"
    """check_pkt_larger: its result would be in a register. (OVS lowers the megaflows of it.)"""
    ACTION = "action"
    """An action that TC has nothing for."""


class StaticError(InputError):
    """A flow that cannot be lowered. `reason` is why, of one of the two closed lists."""

    reason: StaticReason | Reason

    def of(self, reason: StaticReason | Reason) -> StaticError:
        """The same error with its reason."""
        self.reason = reason
        return self


def static_error(
    reason: StaticReason | Reason, detail: str, flow: Flow | None, span: Span = NOWHERE
) -> StaticError:
    """The error for a flow; `span` is where in its text the reason stands."""
    problem = f"no TC rule set can say this ({reason}): {detail}"
    if flow is None:
        return StaticError(problem).of(reason)
    start, end = span
    token = flow.text[start:end] if end > start else None
    return StaticError(
        problem, file=flow.file, line=flow.line, column=start + 1 if token else None, token=token,
    ).of(reason)  # fmt: skip
