"""Dialogues: time, who speaks, what is said, the ct_state it gets. Played to the model alone, or to
the model and a real ovs-vswitchd, which then have to agree in all that conntrack says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ovsct.conntrack.dump import dump_conntrack
from ovsct.conntrack.request import Track
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.oracle.real_ovs import RealOvs
from tests.conntrack.userspace_judge import Sent, Step, ask_model, difference, flow_lines


@dataclass
class Dialogue:
    """`lines`: time, request(s), frame, expected ct_state."""

    name: str
    lines: Sequence[tuple[float, Track | tuple[Track, ...], bytes, str]]
    setup: tuple[str, ...] = ()
    """ovs-appctl commands for the program; `make` sets up the model alike."""
    make: Callable[[], UserspaceTracker] = field(default=UserspaceTracker)
    dump: tuple[str, ...] | None = None
    """What dump-conntrack prints at the end."""


def programs(dialogue: Dialogue) -> list[tuple[Step, ...]]:
    found: list[tuple[Step, ...]] = []
    for _, request, _, _ in dialogue.lines:
        steps = steps_of(request)
        if steps not in found:
            found.append(steps)
    return found


def steps_of(request: Track | tuple[Track, ...]) -> tuple[Step, ...]:
    requests = (request,) if isinstance(request, Track) else request
    return tuple(Step(one) for one in requests)


def play(dialogue: Dialogue) -> UserspaceTracker:
    """To the model."""
    tracker = dialogue.make()
    at = 0.0
    for at, request, frame, expected in dialogue.lines:
        said = ask_model(tracker, steps_of(request), at, bytes(12) + frame)
        states = " ".join(one.state for one in said) or "-"
        assert states == expected, (at, request, frame[:60].hex())
    if dialogue.dump is not None:
        assert tuple(dump_conntrack(tracker.connections(at))) == dialogue.dump
    return tracker


def play_both(real: RealOvs, dialogue: Dialogue) -> None:
    """To the model and the program."""
    steps = programs(dialogue)
    real.reset(flow_lines(steps), settle=True)
    try:
        for command in dialogue.setup:
            real.ctl("dpctl/" + command.split()[0], *command.split()[1:])
        tracker = dialogue.make()
        for at, request, frame, expected in dialogue.lines:
            sent = Sent(at, steps.index(steps_of(request)), frame, "")
            found, said = difference(real, tracker, steps_of(request), sent)
            assert found is None
            # Packets of different megaflows leave in groups, in no order that could be foretold.
            assert sorted([one.state for one in said] or ["-"]) == sorted(expected.split())
        if dialogue.dump is not None:
            assert tuple(sorted(real.dump_conntrack())) == tuple(sorted(dialogue.dump))
    finally:
        for command in dialogue.setup:
            words = RESTORE[command.split("=")[0]]
            real.ctl("dpctl/" + words[0], *words[1:])


RESTORE = {
    "ct-set-limits zone": ("ct-del-limits", "zone=1"),
    # The default limit cannot be deleted in 3.1.
    "ct-set-limits default": ("ct-set-limits", "default=3000000"),
    "ipf-set-disabled v4": ("ipf-set-enabled", "v4"),
    "ipf-set-disabled v6": ("ipf-set-enabled", "v6"),
    "ct-set-maxconns 1": ("ct-set-maxconns", "3000000"),
}
"""How to undo what a dialogue sets up."""
