"""A kernel's connections, read from ctnetlink's messages into the neutral Connection.

/proc/net/nf_conntrack prints neither labels nor helpers nor most status flags; ctnetlink tells
them all. Layout: Linux include/uapi/linux/netfilter/nfnetlink_conntrack.h; states by number:
nf_conntrack_tcp.h, nf_conntrack_sctp.h, nf_conntrack_proto_dccp.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ovsct.errors import OvsctError
from ovsct.lane import Connection, Tuple5

_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _PROTOINFO, _HELP = 1, 2, 3, 4, 5
_TIMEOUT, _MARK, _TUPLE_MASTER, _ZONE, _LABELS = 7, 8, 14, 18, 22
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTO_NUM, _SRC_PORT, _DST_PORT = 1, 2, 3
_ICMP: Final = {1: (4, 5, 6), 58: (7, 8, 9)}
"""By protocol, the attributes of an ICMP tuple: id, type, code."""
_NESTED: Final = 0x8000
_NET_BYTEORDER: Final = 0x4000
_HEADER: Final = 20
"""Bytes of struct nlmsghdr and struct nfgenmsg."""

TCP_STATES: Final = (
    "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK",
    "TIME_WAIT", "CLOSE", "SYN_SENT2",
)  # fmt: skip
_SCTP_STATES: Final = (
    "NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT",
    "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT",
)  # fmt: skip
_DCCP_STATES: Final = (
    "NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT",
    "IGNORE", "INVALID",
)  # fmt: skip
_STATES: Final = {1: TCP_STATES, 2: _DCCP_STATES, 3: _SCTP_STATES}
"""By the kind of CTA_PROTOINFO, the states as /proc prints them."""

STATUS: Final = (
    "expected", "seen-reply", "assured", "confirmed", "src-nat", "dst-nat", "seq-adjust",
    "src-nat-done", "dst-nat-done", "dying", "fixed-timeout", "template", "nat-clash", "helper",
    "offload", "hw-offload",
)  # fmt: skip
"""The flags in the order of their bits (enum ip_conntrack_status)."""


def read_connections(data: bytes) -> Iterator[Connection]:
    """The connections of a dump.

    Raises:
        OvsctError: the data is not what ctnetlink writes.
    """
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("=I", data, at)
        if size < _HEADER:
            raise OvsctError(f"a netlink message of {size} bytes")
        yield _connection(data[at + _HEADER : at + size], data[at + 16])
        at += (size + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        found[kind & ~(_NESTED | _NET_BYTEORDER)] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found


def _number(data: bytes | None) -> int:
    return int.from_bytes(data or b"", "big")


def _connection(data: bytes, af: int) -> Connection:
    parts = _attributes(data)
    proto, orig = _tuple(parts[_TUPLE_ORIG])
    flags = _number(parts.get(_STATUS))
    help_ = _attributes(parts[_HELP]) if _HELP in parts else {}
    return Connection(
        family=4 if af == 2 else 6,
        proto=proto,
        orig=orig,
        reply=_tuple(parts[_TUPLE_REPLY])[1],
        zone=_number(parts.get(_ZONE)),
        mark=_number(parts.get(_MARK)),
        # A bitmap: its first byte holds the label's lowest bits on every machine it runs on.
        label=int.from_bytes(parts.get(_LABELS, b""), "little"),
        state=_state(parts.get(_PROTOINFO)),
        timeout=float(_number(parts.get(_TIMEOUT))),
        status=frozenset(name for bit, name in enumerate(STATUS) if flags >> bit & 1),
        helper=help_[1].rstrip(b"\0").decode() if 1 in help_ else None,
        parent=_tuple(parts[_TUPLE_MASTER])[1] if _TUPLE_MASTER in parts else None,
    )


def _tuple(data: bytes) -> tuple[int, Tuple5]:
    """The protocol and the tuple."""
    parts = _attributes(data)
    ends = _attributes(parts[_TUPLE_IP])
    if 1 in ends:
        src, dst = str(IPv4Address(ends[1])), str(IPv4Address(ends[2]))
    else:
        src, dst = str(IPv6Address(ends[3])), str(IPv6Address(ends[4]))
    layer4 = _attributes(parts[_TUPLE_PROTO])
    proto = _number(layer4.get(_PROTO_NUM))
    if proto in _ICMP:
        number, kind, code = (_number(layer4.get(each)) for each in _ICMP[proto])
        return proto, Tuple5(src, dst, 0, 0, number, kind, code)
    return proto, Tuple5(
        src, dst, _number(layer4.get(_SRC_PORT)), _number(layer4.get(_DST_PORT))
    )


def _state(protoinfo: bytes | None) -> str:
    if protoinfo is None:
        return ""
    for kind, inner in _attributes(protoinfo).items():
        number = _number(_attributes(inner).get(1))
        return _STATES[kind][number]
    return ""
