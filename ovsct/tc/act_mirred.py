"""``action mirred`` and the plain verdicts (net/sched/act_mirred.c, act_gact.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ovsct.lane import Drop, Output, StepKind
from ovsct.tc.verdict import CONSUMED, MIRRED_NEST_LIMIT, QUEUED, SHOT, STOLEN, TRAP

if TYPE_CHECKING:
    from ovsct.tc.actions import Gact, Mirred
    from ovsct.tc.classify import Pass
    from ovsct.tc.filters import Counter, Execute
    from ovsct.tc.ingress import TcIngress

_REINSERTED: Final = (SHOT, STOLEN, QUEUED, TRAP)
"""``tcf_mirred_can_reinsert()``: with these verdicts a redirect needs no copy."""


def make_gact(action: Gact, counter: Counter, engine: TcIngress) -> Execute:
    """``tcf_gact_act()``: a verdict."""
    control = action.control

    def gact(p: Pass) -> int:
        return control

    def drop(p: Pass) -> int:
        counter.drops += 1
        return SHOT

    return drop if control == SHOT else gact


def make_mirred(action: Mirred, counter: Counter, engine: TcIngress) -> Execute:
    """``tcf_mirred_act()``. A target that is not up: a redirect drops, a mirror goes on."""
    verdict = action.control
    if not action.mirror and action.control in _REINSERTED:
        verdict = CONSUMED
    if action.ingress:
        return _make_ingress(action, verdict, counter, engine)
    port = action.port
    up = engine.ports

    def mirred(p: Pass) -> int:
        if p.nest >= engine.nest_limit or p.depth >= MIRRED_NEST_LIMIT:
            return _too_deep(p, counter)
        if port not in up:
            return _not_up(p, action, counter)
        packet = p.packet
        frame = packet.frame
        mru = packet.mru
        if p.steps is not None:
            p.note(StepKind.OUTPUT, f"port {port}, {len(frame)} bytes")
        if mru and len(frame) - 14 > mru:
            # A copy shares its fragments with the original, and is cut anew.
            if engine.fragment(p, port, p.pieces if verdict == CONSUMED else ()):
                counter.overlimits += 1
        elif not engine.egress:
            p.outputs.append(Output(port, frame))
        elif engine.send(p, port, frame):
            counter.overlimits += 1
        return verdict

    return mirred


def _make_ingress(action: Mirred, verdict: int, counter: Counter, engine: TcIngress) -> Execute:
    port = action.port

    def mirred(p: Pass) -> int:
        if p.nest >= engine.nest_limit:
            return _too_deep(p, counter)
        if port not in engine.ports:
            return _not_up(p, action, counter)
        p.note(StepKind.OUTPUT, f"into port {port}")
        if engine.come_in(p, port):
            counter.overlimits += 1
        else:
            # The copy still waits somewhere and shares the fragments.
            p.pieces = ()
        return verdict

    return mirred


def _too_deep(p: Pass, counter: Counter) -> int:
    # The limit is looked at before the action counts the packet.
    counter.packets -= 1
    counter.bytes -= p.length
    p.drop = Drop.CHAINS
    return SHOT


def _not_up(p: Pass, action: Mirred, counter: Counter) -> int:
    counter.overlimits += 1
    if action.mirror:
        return action.control
    p.drop = Drop.OUTPUT
    return SHOT
