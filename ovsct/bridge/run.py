"""What happens to one packet in the datapath: a run, filled in as actions are executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ovsct.lane import Drop, Output, Step, StepKind, Via
from ovsct.packet.packet import Packet

if TYPE_CHECKING:
    from ovsct.bridge.odp import Megaflow
    from ovsct.bridge.resume import Continuation


class PacketIn(NamedTuple):
    """One packet-in: its frame, and why and whence it came; `bridge` is the bridge that sends it.

    `metadata` is the key that tells what stands beside the frame: in_port, registers, conntrack
    state (lib/flow.c flow_get_metadata()). A packet that pauses waits for a controller, who sends
    back the `continuation`.

    The frame is whole whatever max_len says: OVS has buffered no packets since 2.7, and what is
    not buffered is sent in full (lib/ofp-packet.c ``ofputil_encode_packet_in()``).
    """

    frame: bytes
    reason: str
    table: int
    cookie: int
    controller_id: int
    bridge: str = ""
    metadata: int = 0
    userdata: bytes = b""
    continuation: Continuation | None = None


class Run:
    """What happens to one arrival: its time, and what has come of it so far."""

    __slots__ = (
        "arrival", "cut", "deferred", "depth", "drop", "hit", "now", "out", "packet_ins", "slow",
        "steps", "upcalls",
    )  # fmt: skip

    def __init__(self, now: float, trace: bool) -> None:
        self.now = now
        self.arrival: int | None = None
        self.out: list[Output] = []
        self.drop: Drop | None = None
        self.depth = 0
        self.hit = False
        self.slow = False
        self.cut: int | None = None
        self.packet_ins: list[PacketIn] | None = None
        self.deferred: list[Packet] | None = None
        self.upcalls: list[tuple[Packet, Megaflow | None]] | None = None
        """Kernel: what went up to vswitchd, and the megaflow that says so, if there is one."""
        self.steps: list[Step] | None = [] if trace else None

    def note(self, via: Via, kind: StepKind, text: str) -> None:
        """Add a step, if a trace is kept."""
        if self.steps is not None:
            self.steps.append(Step(via, kind, text))
