"""One controller with two switches at once: ``ovsct switch`` and a real ovs-vswitchd.

:class:`Pair` stands where a :class:`tests.controller.rig.Bench` does, so that the same requests and
packets go to both programs; it asserts that the same comes out of both, by the same ports and to
the byte. When a frame is done is known by a marker behind it (an EtherType of its own, sent to
every port by a flow that is no application's).
"""

from __future__ import annotations

import socket
import time
from itertools import count
from typing import Any, Final

from ovsct.lane import Port
from ovsct.oracle.unixctl import Unixctl
from tests.agent.programs import PORTS, Switch
from tests.controller.rig import PATIENCE, Controller
from tests.controller.ryu_target import OpenFlow, exactly

_MARKER_TYPE: Final = 0x88B6
_MARKER_FLOW: Final = (
    f"priority=65535,dl_type={_MARKER_TYPE:#x},actions="
    + ",".join(f"output:{port}" for port in PORTS) + ",IN_PORT"
)  # fmt: skip


class Side:
    """One of the two programs: packets in, packets out, and time by hand."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        assert switch.ofctl("-O", "OpenFlow13", "add-flow", _MARKER_FLOW) == ""
        self._control = Unixctl(switch.control)
        self._control("time/stop")
        self._openflow = OpenFlow(switch)
        self._ports = {port: switch.port(port) for port in PORTS}
        for connection in self._ports.values():
            connection.settimeout(PATIENCE)
        self._local = self._to_local()

    def close(self) -> None:
        """End the connections; the switch runs on."""
        for connection in self._ports.values():
            connection.close()
        self._openflow.close()
        self._control.close()

    def _to_local(self) -> int:
        openflow = self._openflow
        request = openflow.make.OFPPortStatsRequest(openflow.datapath, 0, openflow.of.OFPP_LOCAL)
        sent: int = self._openflow.ask(request)[0].tx_packets
        return sent

    def send(self, port: int, frame: bytes, after: float, number: int) -> list[tuple[Port, bytes]]:
        """One frame in, `after` seconds later; what came out, by port.

        Nobody listens on the bridge's own port: what goes there is counted, and comes last,
        without its bytes.
        """
        self._control("time/warp", str(int(after * 1000)))
        marker = _marker(number)
        for each in (frame, marker):
            self._ports[port].sendall(len(each).to_bytes(2, "big") + each)
        came = [
            (number, frame)
            for number, connection in self._ports.items()
            for frame in _until(connection, marker)
        ]
        local, self._local = self._local, self._to_local()
        return [*came, *[(65534, b"")] * (self._local - local)]

    def follow(self) -> None:
        """Have it decide anew: a real one takes its time to notice that its flows have changed."""
        self._control("revalidator/purge")

    def dump(self, what: str) -> list[str]:
        """The lines of ``dump-flows`` or ``dump-groups``, without counters and our marker's."""
        options = ["--no-stats"] if what == "flows" else []
        text = self.switch.ofctl("-O", "OpenFlow13", *options, f"dump-{what}")
        return [
            line.strip()
            for line in text.splitlines()
            if line.startswith(" ") and f"dl_type={_MARKER_TYPE:#x}" not in line
        ]


class Pair:
    """Both programs under one application's control."""

    def __init__(self, switches: tuple[Switch, Switch], controller: Controller) -> None:
        """Waits until the application has programmed both."""
        self.controller = controller
        self.differences: list[tuple[str, list[Port], list[Port]]] = []
        """None: what differs is no matter of lanes here, and fails at once."""
        self._numbers = count(1)
        deadline = time.monotonic() + PATIENCE
        while True:
            known = controller.do("GET", "/v1/switches")["switches"]
            assert all(each["refused"] == [] for each in known), known
            if [each["ready"] for each in known] == [True, True]:
                break
            assert time.monotonic() < deadline, known
            time.sleep(0.02)
        self.sides = tuple(Side(switch) for switch in switches)
        self.follow()

    def close(self) -> None:
        """End the connections to both."""
        for side in self.sides:
            side.close()

    def follow(self) -> None:
        """Both are to go by what they hold now."""
        for side in self.sides:
            side.follow()

    def rest(self, method: str, path: str, data: Any = None) -> Any:
        """Change something by REST, which is done when both have confirmed."""
        answer = self.controller.do(method, path, data)
        self.follow()
        return answer

    def dump(self, what: str) -> list[str]:
        """The flows or groups, which both hold alike."""
        one, other = (sorted(side.dump(what)) for side in self.sides)
        assert _without_cookies(one) == _without_cookies(other)
        return one

    def send(self, port: int, frame: bytes, after: float = 0.01) -> list[tuple[Port, bytes]]:
        """One frame into both; what came out, by port, once it is sure that it is the same."""
        number = next(self._numbers)
        one, other = (side.send(port, frame, after, number) for side in self.sides)
        assert one == other
        return one

    def ports(self, port: int, frame: bytes, after: float = 0.01) -> list[Port]:
        """One frame into both; the ports it left by."""
        return [out for out, _ in self.send(port, frame, after)]

    def differed(self, *_: tuple[str, list[Port], list[Port]]) -> None:
        """What other lanes do otherwise; there are none here."""


def _without_cookies(lines: list[str]) -> list[str]:
    """Each switch has flows of a generation of its own."""
    return sorted(line.partition(", ")[2] if line.startswith("cookie") else line for line in lines)


def _marker(number: int) -> bytes:
    head = bytes.fromhex("02000000fffe02000000ffff") + _MARKER_TYPE.to_bytes(2, "big")
    return head + number.to_bytes(46, "big")


def _until(connection: socket.socket, marker: bytes) -> list[bytes]:
    came = []
    while (frame := exactly(connection, int.from_bytes(exactly(connection, 2), "big"))) != marker:
        came.append(frame)
    return came
