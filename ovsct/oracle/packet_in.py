"""What a bridge sends to a controller: a small OpenFlow 1.3 connection that takes packet-ins.

OpenFlow 1.3 on purpose: the mere presence of an OpenFlow 1.0-1.2 controller would turn table
misses into packet-ins (OVS: ofproto/connmgr.c, connmgr_wants_packet_in_on_miss).

Numbers are those of the OpenFlow 1.3.5 specification, section 7.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Final, NamedTuple

from ovsct.errors import OvsctError

_VERSION: Final = 4
_HEADER: Final = struct.Struct(">BBHI")
_PACKET_IN: Final = struct.Struct(">IHBBQ")
_HELLO, _ERROR, _ECHO_REQUEST, _ECHO_REPLY = 0, 1, 2, 3
_SET_CONFIG, _PACKET_IN_TYPE, _BARRIER_REQUEST, _BARRIER_REPLY = 9, 10, 20, 21
_SET_ASYNC, _VENDOR = 28, 4
_NICIRA: Final = 0x00002320
_NXT_SET_CONTROLLER_ID: Final = 20
_WHOLE_PACKET: Final = 0xFFFF
_ALL_PACKET_INS: Final = struct.pack(">6I", 7, 7, 0, 0, 0, 0)
"""Of the asynchronous messages every packet-in, invalid TTLs too, and nothing else."""


REASONS: Final = {0: "no_match", 1: "action", 2: "invalid_ttl", 3: "action_set", 4: "group"}
"""Names of ofp_packet_in_reason; 1.3 on the wire has the first three."""


class PacketIn(NamedTuple):
    """One packet-in: its frame, and why and whence it came; `bridge` is the bridge that sent it.

    The frame is whole whatever the action's max_len says: OVS has had no packet buffers since 2.7,
    and what is not buffered is sent in full (lib/ofp-packet.c, ofputil_encode_packet_in).
    """

    frame: bytes
    total_length: int
    reason: str
    table: int
    cookie: int
    bridge: str = ""


class PacketIns:
    """A connection to a bridge's management socket on which packet-ins arrive in order.

    Args:
        path: the bridge's management socket.
        controller_id: take packet-ins for this controller id (``controller(id=N)``).
        timeout: how long the switch may take to answer, in seconds.

    Raises:
        OvsctError: the switch does not speak OpenFlow 1.3 there.
    """

    def __init__(self, path: Path, controller_id: int = 0, timeout: float = 20.0) -> None:
        self._received = bytearray()
        self._arrived: list[PacketIn] = []
        self._seen: set[int] = set()
        self._timeout = timeout
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(str(path))
            self._send(_HELLO)
            # A service connection gets no packet-ins until it sets a length (connmgr.c,
            # ofconn_receives_async_msg).
            self._send(_SET_CONFIG, struct.pack(">HH", 0, _WHOLE_PACKET))
            self._send(_SET_ASYNC, _ALL_PACKET_INS)
            if controller_id:
                body = struct.pack(">II6xH", _NICIRA, _NXT_SET_CONTROLLER_ID, controller_id)
                self._send(_VENDOR, body)
            self.barrier()
        except OSError as error:
            self._socket.close()
            raise OvsctError(f"{path.name}: {error.strerror or error}") from error
        except BaseException:
            self._socket.close()
            raise

    def drain(self) -> list[PacketIn]:
        """The packet-ins that have arrived since the last call; answers echo requests."""
        self.serve()
        arrived, self._arrived = self._arrived, []
        return arrived

    def serve(self) -> bool:
        """Read what has arrived, without waiting; True if there was an echo request to answer."""
        self._seen.clear()
        self._socket.setblocking(False)
        try:
            while True:
                self._receive()
        except BlockingIOError:
            return _ECHO_REQUEST in self._seen  # nothing more has arrived, which is no error

    def barrier(self) -> None:
        """Wait until the switch has handled everything sent before.

        Raises:
            OvsctError: it closed the connection or did not answer.
        """
        self._seen.discard(_BARRIER_REPLY)
        self._send(_BARRIER_REQUEST)
        self._socket.settimeout(self._timeout)
        while _BARRIER_REPLY not in self._seen:
            self._receive()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _send(self, kind: int, body: bytes = b"", xid: int = 1) -> None:
        self._socket.settimeout(self._timeout)
        self._socket.sendall(_HEADER.pack(_VERSION, kind, _HEADER.size + len(body), xid) + body)

    def _receive(self) -> None:
        try:
            chunk = self._socket.recv(1 << 16)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise OvsctError("the bridge closed the connection for packet-ins")
        self._received += chunk
        while len(self._received) >= _HEADER.size:
            _, kind, length, xid = _HEADER.unpack_from(self._received)
            if len(self._received) < length:
                break
            body = bytes(self._received[_HEADER.size : length])
            del self._received[:length]
            self._take(kind, body, xid)

    def _take(self, kind: int, body: bytes, xid: int) -> None:
        self._seen.add(kind)
        if kind == _PACKET_IN_TYPE:
            self._arrived.append(_packet_in(body))
        elif kind == _ECHO_REQUEST:
            self._send(_ECHO_REPLY, body, xid)
            self._socket.setblocking(False)
        elif kind == _ERROR:
            kind_and_code = struct.unpack_from(">HH", body)
            raise OvsctError(f"the bridge refused the connection for packet-ins: {kind_and_code}")


def _packet_in(body: bytes) -> PacketIn:
    """Decode an OFPT_PACKET_IN of OpenFlow 1.3 (section 7.4.1)."""
    _, total, reason, table, cookie = _PACKET_IN.unpack_from(body)
    match_length = int.from_bytes(body[_PACKET_IN.size + 2 : _PACKET_IN.size + 4], "big")
    start = _PACKET_IN.size + (match_length + 7) // 8 * 8 + 2
    return PacketIn(body[start:], total, REASONS.get(reason, str(reason)), table, cookie)
