"""The target of Ryu's switch tests: one switch, modelled or real, and what a tester does to it.

A tester needs no second switch here: frames go into the target's port by its socket and come out
of the others by theirs, and what the target tells its controller is read from the connection. When
a frame is done is known by a marker behind it, of an EtherType of its own, which a flow sends to
every port that is read and to the controller.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Any, Final

from os_ken.ofproto import (
    ofproto_parser,
    ofproto_v1_0,
    ofproto_v1_0_parser,
    ofproto_v1_3,
    ofproto_v1_3_parser,
    ofproto_v1_4,
    ofproto_v1_4_parser,
)

from ovsct.oracle.unixctl import Unixctl
from tests.agent.programs import Switch
from tests.controller.ryu_cases import RECEIVE, SEND, tester

OF10: Final = 1
OF13: Final = 4
_LIBRARIES: Final[dict[int, tuple[Any, Any]]] = {
    OF10: (ofproto_v1_0, ofproto_v1_0_parser),
    OF13: (ofproto_v1_3, ofproto_v1_3_parser),
    5: (ofproto_v1_4, ofproto_v1_4_parser),
}
PATIENCE: Final = 60.0
_HEADER: Final = struct.Struct("!BBHI")
_MARKER_TYPE: Final = 0x88B5
_BURST: Final = 25
"""Frames before a marker: a dummy port forgets what it has over a hundred of."""


class Refused(Exception):
    """The target answered with an error; the text is Ryu's."""


class OpenFlow:
    """A connection of one version of OpenFlow, with os-ken's messages.

    `of` and `make` are os-ken's modules: numbers, and messages.
    """

    def __init__(self, switch: Switch, version: int = OF13) -> None:
        self.version = version
        self.of, self.make = _LIBRARIES[version]
        self.datapath = tester().DummyDatapath(version)
        self.packet_ins: list[Any] = []
        self._xids = count(1)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(switch.openflow))
        self._received = b""
        self._send(self.make.OFPHello(self.datapath))
        self._exactly(_HEADER.unpack(self._exactly(_HEADER.size))[2] - _HEADER.size)  # its hello
        self._send(self.make.OFPSetConfig(self.datapath, self.of.OFPC_FRAG_NORMAL, 0xFFFF))
        self.settle()

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def _send(self, message: Any) -> int:
        xid = next(self._xids)
        message.xid = xid
        message.serialize()
        self._socket.sendall(bytes(message.buf))
        return xid

    def read(self) -> Any:
        """The next message."""
        head = self._exactly(_HEADER.size)
        version, kind, length, xid = _HEADER.unpack(head)
        rest = self._exactly(length - _HEADER.size)
        return ofproto_parser.msg(self.datapath, version, kind, length, xid, head + rest)

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            chunk = self._socket.recv(1 << 16)
            assert chunk, "the switch closed the connection"
            self._received += chunk
        data, self._received = self._received[:size], self._received[size:]
        return data

    def settle(self, *messages: Any) -> None:
        """Send, and wait until all of it is done. Raises Refused."""
        for message in messages:
            self._send(message)
        make = self.make
        last = self._send(make.OFPBarrierRequest(self.datapath))
        refused = ""
        while True:
            answer = self.read()
            if isinstance(answer, make.OFPErrorMsg):
                refused = refused or f"type={answer.type:#04x}, code={answer.code:#04x}"
            elif isinstance(answer, make.OFPPacketIn):
                self.packet_ins.append(answer)
            elif isinstance(answer, make.OFPBarrierReply) and answer.xid == last:
                break
        if refused:
            raise Refused(f"OFPErrorMsg[{refused}]")

    def ask(self, request: Any) -> list[Any]:
        """The entries of the answer to a multipart request. Raises Refused."""
        xid = self._send(request)
        entries: list[Any] = []
        while True:
            answer = self.read()
            if isinstance(answer, self.make.OFPErrorMsg):
                raise Refused(f"OFPErrorMsg[type={answer.type:#04x}, code={answer.code:#04x}]")
            if isinstance(answer, self.make.OFPPacketIn):
                self.packet_ins.append(answer)
            elif answer.xid == xid:
                entries += answer.body
                if not answer.flags & 1:  # OFPSF_REPLY_MORE
                    return entries


class Target:
    """A switch under test."""

    def __init__(self, switch: Switch, version: int = OF13) -> None:
        self.name = switch.name
        self.openflow = OpenFlow(switch, version)
        self.of, self.make = self.openflow.of, self.openflow.make
        self.datapath = self.openflow.datapath
        self._control = Unixctl(switch.control)
        self._control("time/stop")
        self._ports = {port: switch.port(port) for port in (RECEIVE, *SEND)}
        for connection in self._ports.values():
            connection.settimeout(PATIENCE)
        self._sequence = count(1)
        self._milliseconds = 0.0

    def close(self) -> None:
        """End the connections; the switch runs on."""
        for connection in self._ports.values():
            connection.close()
        self._control.close()
        self.openflow.close()

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- what it holds -------------------------------------------------------------------------

    def reset(self) -> None:
        """Take everything from it. Its meters too: a switch without any refuses even that."""
        of, make, datapath = self.of, self.make, self.datapath
        self.openflow.packet_ins.clear()
        if self.openflow.version == OF10:
            everything = make.OFPFlowMod(datapath, make.OFPMatch(), 0, of.OFPFC_DELETE)
            self.openflow.settle(everything)
            return
        with suppress(Refused):
            self.openflow.settle(make.OFPMeterMod(datapath, of.OFPMC_DELETE, 0, of.OFPM_ALL, []))
        self.openflow.settle(
            make.OFPFlowMod(
                datapath, table_id=of.OFPTT_ALL, command=of.OFPFC_DELETE,
                out_port=of.OFPP_ANY, out_group=of.OFPG_ANY, match=make.OFPMatch(),
                instructions=[],
            ),
            make.OFPGroupMod(datapath, of.OFPGC_DELETE, 0, of.OFPG_ALL, []),
        )  # fmt: skip

    def flows(self) -> list[Any]:
        """What it says of its flows."""
        of, make = self.of, self.make
        if self.openflow.version == OF10:
            request = make.OFPFlowStatsRequest(
                self.datapath, 0, make.OFPMatch(), 0xFF, of.OFPP_NONE
            )
        else:
            request = make.OFPFlowStatsRequest(
                self.datapath, 0, of.OFPTT_ALL, of.OFPP_ANY, of.OFPG_ANY, 0, 0, make.OFPMatch()
            )
        return self.openflow.ask(request)

    def forget(self) -> None:
        """Have it decide anew: a real one takes its time to notice that its flows have changed."""
        self._control("revalidator/purge")

    def mark(self) -> None:
        """Add the flow for the markers."""
        of, make = self.of, self.make
        out = [make.OFPActionOutput(port, 0xFFFF) for port in (*SEND, of.OFPP_CONTROLLER)]
        if self.openflow.version == OF10:
            mod = make.OFPFlowMod(
                self.datapath, make.OFPMatch(dl_type=_MARKER_TYPE), 0, of.OFPFC_ADD,
                priority=65535, actions=out,
            )  # fmt: skip
        else:
            mod = make.OFPFlowMod(
                self.datapath, priority=65535, match=make.OFPMatch(eth_type=_MARKER_TYPE),
                instructions=[make.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, out)],
            )  # fmt: skip
        self.openflow.settle(mod)

    # -- packets -------------------------------------------------------------------------------

    def send(self, frames: Iterable[bytes]) -> dict[int, list[bytes]]:
        """Frames in; what came out of each port, and for the controller what packet-ins are."""
        frames = list(frames)
        came: dict[int, list[bytes]] = {port: [] for port in SEND}
        for at in range(0, len(frames), _BURST):
            burst = frames[at : at + _BURST]
            marker = _marker(next(self._sequence))
            data = b"".join(len(f).to_bytes(2, "big") + f for f in (*burst, marker))
            self._ports[RECEIVE].sendall(data)
            for port in SEND:
                self._read_until(self._ports[port], marker, came[port])
            self._read_packet_ins(marker)
        return came

    def send_unmarked(self, frame: bytes) -> None:
        """A frame in, with no marker: waits until the port's counter tells that it is done."""
        wanted = self._port_received() + 1
        self._ports[RECEIVE].sendall(len(frame).to_bytes(2, "big") + frame)
        while self._port_received() < wanted:
            pass
        self.forget()  # which brings in what megaflows counted

    def _port_received(self) -> int:
        request = self.make.OFPPortStatsRequest(self.datapath, 0, RECEIVE)
        received: int = self.openflow.ask(request)[0].rx_packets
        return received

    @staticmethod
    def _read_until(connection: socket.socket, marker: bytes, came: list[bytes]) -> None:
        while True:
            length = int.from_bytes(exactly(connection, 2), "big")
            frame = exactly(connection, length)
            if frame == marker:
                return
            came.append(frame)

    def _read_packet_ins(self, marker: bytes) -> None:
        known = self.openflow.packet_ins
        for at, message in enumerate(known):
            if message.data == marker:
                del known[at]
                return
        while True:
            message = self.openflow.read()
            if isinstance(message, self.make.OFPPacketIn):
                if message.data == marker:
                    return
                known.append(message)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in whole milliseconds; what is left is kept for the next time."""
        self._milliseconds += seconds * 1000
        whole = int(self._milliseconds)
        if whole:
            self._milliseconds -= whole
            self._control("time/warp", str(whole))


def _marker(number: int) -> bytes:
    head = bytes.fromhex("02000000fffe02000000ffff") + _MARKER_TYPE.to_bytes(2, "big")
    return head + number.to_bytes(46, "big")


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes of a connection."""
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        assert chunk, "the switch closed the port"
        data += chunk
    return data
