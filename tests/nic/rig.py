"""A NIC in front of TC filters given as commands: what the tests of hardware talk to."""

from __future__ import annotations

from typing import Any

from ovsct.conntrack.dump import proc_line
from ovsct.conntrack.netfilter import Netfilter
from ovsct.lane import STACK, Event, Output, Step
from ovsct.lower.to_nic import offer
from ovsct.nic.ingress import NicIngress
from ovsct.nic.pipeline import Sent
from ovsct.nic.profile import Profile, get_profile
from ovsct.packet.build import tcp, udp
from ovsct.packet.packet import parse
from ovsct.tc.filters import Installed
from ovsct.tc.ingress import Fate
from ovsct.tc.text.command import FilterCommand, read_script

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"

FIREWALL = """
tc filter add dev p1 ingress chain 0 prio 2 protocol ip flower ct_state -trk \
  action ct zone 2 pipe action goto chain 1
tc filter add dev p2 ingress chain 0 prio 2 protocol ip flower ct_state -trk \
  action ct zone 2 pipe action goto chain 1
tc filter add dev p1 ingress chain 1 prio 2 protocol ip flower ct_state +trk+new-est \
  action ct commit zone 2 pipe action mirred egress redirect dev p2
tc filter add dev p1 ingress chain 1 prio 3 protocol ip flower ct_state +trk+est-inv \
  action mirred egress redirect dev p2
tc filter add dev p2 ingress chain 1 prio 3 protocol ip flower ct_state +trk+est-inv \
  action mirred egress redirect dev p1
"""


class Rig:
    """Ports p1 to p4 of one NIC. `events` are those of the last :meth:`wait`."""

    def __init__(
        self, script: str = FIREWALL, *, kernel: str = "6.1", delay: float = 0.01,
        profile: str | dict[str, Any] | Profile = "mlx5", sysctls: dict[str, int] | None = None,
        nic_ports: tuple[int, ...] | None = None,
    ) -> None:  # fmt: skip
        self.netfilter = Netfilter(kernel=kernel, **(sysctls or {}))
        self.profile = get_profile(profile, kernel, delay)
        self.ingress = NicIngress(
            (1, 2, 3, 4), self.netfilter, self.profile, offer, nic_ports
        )
        self.now = 0.0
        self.steps: list[Step] = []
        self.events: list[Event] = []
        self.installed: list[Installed] = []
        self.add(script)

    def add(self, script: str) -> None:
        """More ``tc`` commands."""
        for command in read_script(script):
            assert isinstance(command, FilterCommand)
            self.installed.append(self.ingress.add(command.filter, self.now))

    def wait(self, until: float) -> list[str]:
        """Let time pass: the kinds of what happened, in order."""
        self.now = until
        self.events = list(self.ingress.advance(until))
        return [event.kind.value for event in self.events]

    def send(self, port: int, frame: bytes, at: float | None = None) -> tuple[str, list[Output]]:
        """One frame: ``hw``, ``hw+tc`` or ``lost`` and so on, and what left."""
        if at is not None:
            self.wait(at)
        self.steps = []
        packet = parse(frame, port, 2)
        done = self.ingress.hardware(packet, port, self.now, self.steps)
        if isinstance(done, Sent):
            return ("hw" if done.drop is None else f"hw:{done.drop}"), done.outputs
        result = self.ingress.go_on(done, port, self.now, self.steps)
        outputs = list(result.outputs)
        if result.fate in (Fate.STACK, Fate.MISS):
            outputs.append(Output(STACK, result.packet.frame))
        return (f"tc:{result.drop}" if result.drop else "tc"), outputs

    def way(self, port: int, frame: bytes, at: float | None = None) -> str:
        """One frame, in short: ``hw>2``, ``tc>2``, ``tc>stack``, ``hw:lost``."""
        who, outputs = self.send(port, frame, at)
        return who + "".join(f">{output.port}" for output in outputs)

    def proc(self) -> list[str]:
        """The lines of /proc/net/nf_conntrack."""
        return [proc_line(each) for each in self.ingress.connections(self.now)]

    def lines(self) -> list[str]:
        """What hardware has."""
        return self.ingress.lines(self.now)

    # -- a conversation -------------------------------------------------------------------------

    def shake(self, at: float = 0.0) -> list[str]:
        """A TCP handshake from p1 to p2, 1 ms a step."""
        return [
            self.way(1, client("S", seq=100), at),
            self.way(2, server("SA", seq=500, ack=101), at + 0.001),
            self.way(1, client("A", seq=101, ack=501), at + 0.002),
        ]


def client(flags: str = "A", **more: Any) -> bytes:
    """A TCP segment from the client."""
    more.setdefault("seq", 101)
    more.setdefault("ack", 501)
    return tcp(CLIENT, SERVER, 1000, 80, flags, **more)


def server(flags: str = "A", **more: Any) -> bytes:
    """A TCP segment from the server."""
    more.setdefault("seq", 501)
    more.setdefault("ack", 101)
    return tcp(SERVER, CLIENT, 80, 1000, flags, **more)


def ask(**more: Any) -> bytes:
    """A datagram from the client."""
    return udp(CLIENT, SERVER, 1000, 53, payload=b"?", **more)


def answer(**more: Any) -> bytes:
    """A datagram from the server."""
    return udp(SERVER, CLIENT, 53, 1000, payload=b"!", **more)
