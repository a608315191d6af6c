"""What came of one packet, and what a test can say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from ovsct.lane import Arrival, Drop, Event, Outcome, Output, Port, Step, Via
from ovsct.openflow.text.values import format_port
from ovsct.report.text import place, trace_text
from ovsct.testing.packets import Frame, frame_of, mismatches

REAL: Final = "real-ovs"
"""The lane of a real ovs-vswitchd."""

_LOCAL: Final = 0xFFFE


@dataclass(frozen=True)
class Sent:
    """One packet that a test sent, and what came of it.

    `flows` are the OpenFlow flows that it hit, in the order of the tables: those whose counters
    grew. A NIC's counters come later, so in the lane ``hw`` they are none for a packet that only
    the NIC saw. `events` are what time brought before the packet.
    """

    number: int
    lane: str
    arrival: Arrival
    outcome: Outcome
    flows: Sequence[str]
    events: Sequence[Event] = field(default=(), repr=False)

    # -- what came of it -----------------------------------------------------------------------

    @property
    def out(self) -> Sequence[Output]:
        """The frames that left, each with its port (a number, or ``"controller"``)."""
        return self.outcome.out

    @property
    def ports(self) -> list[Port]:
        """Where frames left, in their order; ``"controller"`` for a packet-in."""
        return [output.port for output in self.outcome.out]

    @property
    def drop(self) -> Drop | None:
        """Why nothing left; None if something did."""
        return self.outcome.drop

    @property
    def via(self) -> Sequence[Via]:
        """The engines that it met: ``datapath``, ``slow``, ``tc``, ``hw``."""
        return self.outcome.via

    @property
    def steps(self) -> Sequence[Step]:
        """What happened to it, step by step."""
        return self.outcome.steps

    def frames(self, port: Port) -> list[bytes]:
        """The frames that left by `port`."""
        return [output.frame for output in self.outcome.out if output.port == port]

    def explain(self) -> str:
        """All of it as text: the packet, its steps, the flows that it hit, what became of it."""
        lines = [
            f"packet {trace_text(self.number, self.arrival, self.outcome, self.events)}".strip()
        ]
        if self.flows:
            lines.append("flows that it hit:")
            lines += [f"    {line}" for line in self.flows]
        return "\n".join(lines)

    # -- what is expected ----------------------------------------------------------------------

    def _fail(self, problem: str) -> NoReturn:
        __tracebackhide__ = True
        raise AssertionError(f"{problem} (lane {self.lane})\n{self.explain()}")

    def assert_out(
        self, *ports: Port, match: str | None = None, frame: Frame | None = None
    ) -> None:
        """It left by just these ports, in whatever order.

        Args:
            ports: numbers, ``"controller"``, or 65534 for the bridge's own; each as often as a
                frame left there.
            match: what each frame that left is to match, as ``ovs-ofctl`` takes it.
            frame: what each frame that left is to be, to the byte.

        Raises:
            AssertionError: with the packet's steps and the flows that it hit.
            InputError: `match` or `frame` is none.
        """
        __tracebackhide__ = True
        if not ports:
            raise TypeError("assert_out() needs a port; assert_dropped() is for none")
        if sorted(map(str, ports)) != sorted(map(str, self.ports)):
            came = _named(self.ports) if self.ports else f"nowhere ({self.drop})"
            self._fail(f"it was to leave by {_named(ports)}, and left by {came}")
        for output in self.outcome.out:
            if match is not None:
                number = output.port if isinstance(output.port, int) else self.arrival.port
                wrong = mismatches(match, number, output.frame)
                if wrong:
                    self._fail(f"what left by {place(output)} does not match: {'; '.join(wrong)}")
            if frame is not None and output.frame != frame_of(frame):
                self._fail(
                    f"what left by {place(output)} is {output.frame.hex()},"
                    f" not {frame_of(frame).hex()}"
                )

    def assert_unchanged(self, *ports: Port) -> None:
        """It left by just these ports, as it came in."""
        __tracebackhide__ = True
        self.assert_out(*ports, frame=self.arrival.frame)

    def assert_dropped(self, why: Drop | str | None = None) -> None:
        """It left nowhere; for the reason `why`, if that is given (``"table-miss"``, ...).

        A real ovs-vswitchd does not tell why: of it only the first is asked.

        Raises:
            AssertionError: with the packet's steps and the flows that it hit.
            ValueError: there is no such reason.
        """
        __tracebackhide__ = True
        wanted = Drop(why) if why is not None else None
        if self.ports:
            self._fail(f"it was to be dropped, and left by {_named(self.ports)}")
        if wanted is not None and self.drop is not wanted and self.lane != REAL:
            self._fail(f"it was to be dropped for {wanted}, and was for {self.drop}")

    def assert_via(self, *engines: Via | str) -> None:
        """It met just these engines, in this order; a real ovs-vswitchd does not tell, and passes.

        Raises:
            AssertionError: with the packet's steps and the flows that it hit.
            ValueError: there is no such engine.
        """
        __tracebackhide__ = True
        wanted = [Via(engine) for engine in engines]
        if list(self.via) != wanted and self.lane != REAL:
            self._fail(f"it was to go via {', '.join(wanted)}, and went via {', '.join(self.via)}")

    def assert_hit(self, flow: str) -> None:
        """It hit a flow whose line holds `flow`, as ``dump-flows`` writes it: a cookie, a match.

        Raises:
            AssertionError: with the packet's steps and the flows that it hit.
        """
        __tracebackhide__ = True
        if not any(flow in line for line in self.flows):
            self._fail(f"it was to hit a flow with {flow!r}")


def _named(ports: Sequence[Port]) -> str:
    return ", ".join(
        f"port {format_port(port) if port == _LOCAL else port}" if isinstance(port, int) else port
        for port in ports
    )
