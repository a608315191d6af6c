"""The ports of a switch: what each is, how it is configured, and its counters."""

from __future__ import annotations

from typing import Final

from ovsct.agent.clock import nanoseconds
from ovsct.bridge.bridge import Bridge
from ovsct.openflow.actions import OFPP_LOCAL
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.messages import PortDesc, PortMod
from ovsct.openflow.wire.multipart import PortStats
from ovsct.openflow.wire.numbers import COOKIE_NONE

PORT_DOWN: Final = 1 << 0
NO_STP: Final = 1 << 1
NO_RECV: Final = 1 << 2
NO_RECV_STP: Final = 1 << 3
NO_FLOOD: Final = 1 << 4
NO_FWD: Final = 1 << 5
NO_PACKET_IN: Final = 1 << 6
CONFIG: Final = (
    PORT_DOWN | NO_STP | NO_RECV | NO_RECV_STP | NO_FLOOD | NO_FWD | NO_PACKET_IN
)
"""Bits of a port's configuration (enum ofputil_port_config)."""

LINK_DOWN: Final = 1 << 0
LIVE: Final = 1 << 2

_UNKNOWN: Final = COOKIE_NONE


class Ports:
    """The ports of a bridge.

    Args:
        bridge: it follows what is configured of its ports.
        local_address: the Ethernet address of LOCAL.
        now: the time in seconds.
    """

    def __init__(self, bridge: Bridge, local_address: int, now: float) -> None:
        self._bridge = bridge
        self._started = now
        self._config: dict[int, int] = {}
        self._address = local_address
        self._received: dict[int, list[int]] = {}
        self._sent: dict[int, list[int]] = {}

    def numbers(self) -> list[int]:
        """The ports, LOCAL last."""
        return [*self._bridge.ports, OFPP_LOCAL]

    def chosen(self, number: int, *, everything: tuple[int, ...]) -> list[int]:
        """The ports that a request means; none if there is no such."""
        ports = self.numbers()
        if number in everything:
            return ports
        return [number] if number in ports else []

    def desc(self, number: int) -> PortDesc:
        """What a port is."""
        local = number == OFPP_LOCAL
        config = self._config.get(number, 0)
        return PortDesc(
            port_no=number,
            hw_addr=self._address if local else 0xAA5500000000 | number,
            name=self.name(number),
            config=config,
            state=LINK_DOWN if config & PORT_DOWN else LIVE,
        )

    def name(self, number: int) -> str:
        """The name of the device behind a port; patch ports have none but a name of their own."""
        if number == OFPP_LOCAL:
            return self._bridge.name
        if number in self._bridge.peers:
            return f"{self._bridge.name}-{number}"
        return f"p{self._bridge.datapath_port(number)}"

    def mod(self, message: PortMod) -> tuple[PortDesc, PortDesc]:
        """Change the configuration; the port as it was and as it is then.

        Raises WireError.
        """
        number = message.port_no
        if number not in self.numbers():
            raise WireError("OFPPMFC_BAD_PORT", f"port {number}")
        before = self.desc(number)
        if message.hw_addr != before.hw_addr:
            raise WireError("OFPPMFC_BAD_HW_ADDR", f"port {number} has another address")
        old = self._config.get(number, 0)
        new = old & ~message.mask | message.config & message.mask & CONFIG
        if new == old:
            return before, before
        self._config[number] = new
        self._bridge.configure_port(
            number, receives=not new & NO_RECV, receives_stp=not new & NO_RECV_STP,
            floods=not new & NO_FLOOD, forwards=not new & NO_FWD,
        )  # fmt: skip
        if (new ^ old) & PORT_DOWN:
            self._bridge.set_port_state(number, not new & PORT_DOWN)
        return before, self.desc(number)

    def tells_misses(self, number: int) -> bool:
        """Whether a frame from this port that no flow matches may go to a controller."""
        return not self._config.get(number, 0) & NO_PACKET_IN

    # -- counters ------------------------------------------------------------------------------

    def came(self, number: int, frame: bytes) -> None:
        """A frame came in."""
        _count(self._received, number, frame)

    def went(self, number: int, frame: bytes) -> None:
        """A frame went out."""
        _count(self._sent, number, frame)

    def stats(self, number: int, now: float) -> PortStats:
        """The counters of a port; what a dummy port does not count is said to be unknown."""
        received = self._received.get(number, [0, 0])
        sent = self._sent.get(number, [0, 0])
        return PortStats(
            port_no=number,
            rx_packets=received[0],
            rx_bytes=received[1],
            tx_packets=sent[0],
            tx_bytes=sent[1],
            duration=nanoseconds(now - self._started),
            custom=(
                ("rx_custom_packets_1", received[0]), ("rx_custom_packets_2", received[0]),
                ("rx_q0_bytes", received[1]), ("rx_q0_packets", received[0]),
                ("tx_q0_bytes", sent[1]), ("tx_q0_packets", sent[0]),
            ),
            rx_dropped=_UNKNOWN,
            tx_dropped=_UNKNOWN,
            rx_errors=_UNKNOWN,
            tx_errors=_UNKNOWN,
            rx_frame_err=_UNKNOWN,
            rx_over_err=_UNKNOWN,
            rx_crc_err=_UNKNOWN,
            collisions=_UNKNOWN,
        )  # fmt: skip


def _count(counters: dict[int, list[int]], port: int, frame: bytes) -> None:
    counter = counters.setdefault(port, [0, 0])
    counter[0] += 1
    counter[1] += len(frame)
