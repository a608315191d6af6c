"""The lines of ``dpctl/dump-conntrack -m -s`` read into the neutral Connection.

What is printed: OVS's lib/ct-dpif.c, ct_dpif_format_entry and the functions that it calls.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from ovsct.errors import InputError
from ovsct.lane import Connection, Tuple5

_PROTOCOLS: Final = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "icmpv6": 58,
    "sctp": 132,
    "udplite": 136,
}
"""The names of ct_dpif_format_ipproto; any other protocol is printed as its number."""

_TCP_STATES: Final = (
    "CLOSED",
    "LISTEN",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "CLOSE_WAIT",
    "FIN_WAIT_1",
    "CLOSING",
    "LAST_ACK",
    "FIN_WAIT_2",
    "TIME_WAIT",
)
"""In the order of lib/ct-dpif.h; of the two directions the later one is the connection's state."""

_PART = re.compile(r"(?P<name>\w+)=(?:\((?P<inner>[^()]*)\)|(?P<value>[^,()]*))(?:,|$)")


def parse_conntrack_line(line: str) -> Connection:
    """One line of ``dump-conntrack``, with or without ``-m`` and ``-s``, as a Connection.

    Raises:
        InputError: the line is not of that form; it names what it stumbled over.
    """
    proto_name, _, rest = line.strip().partition(",")
    plain: dict[str, str] = {}
    nested: dict[str, dict[str, str]] = {}
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            raise InputError("cannot read a connection", token=rest[position:])
        if part["inner"] is None:
            plain[part["name"]] = part["value"]
        else:
            nested[part["name"]] = _pairs(part["inner"])
        position = part.end()
    for name in ("orig", "reply"):
        if name not in nested:
            raise InputError("a connection without a tuple", token=line, expected=f"{name}=(...)")
    try:
        return _connection(proto_name, plain, nested)
    except (KeyError, ValueError) as error:
        raise InputError(f"cannot read a connection ({error})", token=line.strip()) from error


def _connection(
    proto_name: str, plain: dict[str, str], nested: dict[str, dict[str, str]]
) -> Connection:
    orig = _tuple(nested["orig"])
    return Connection(
        family=ipaddress.ip_address(orig.src).version,
        proto=_protocol(proto_name),
        orig=orig,
        reply=_tuple(nested["reply"]),
        zone=int(plain.get("zone", "0")),
        mark=int(plain.get("mark", "0")),
        label=int(plain.get("labels", "0"), 16),
        state=_state(nested.get("protoinfo", {})),
        timeout=float(plain.get("timeout", "0")),
        status=_status(plain.get("status", "")),
        helper=plain.get("helper"),
        parent=_tuple(nested["parent"]) if "parent" in nested else None,
    )


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for piece in filter(None, text.split(",")):
        name, sign, value = piece.partition("=")
        if not sign:
            raise InputError("cannot read a connection", token=piece, expected="name=value")
        pairs[name] = value
    return pairs


def _protocol(name: str) -> int:
    if name in _PROTOCOLS:
        return _PROTOCOLS[name]
    if name.isdecimal():
        return int(name)
    raise InputError("unknown protocol in a connection", token=name)


def _tuple(pairs: dict[str, str]) -> Tuple5:
    def number(name: str) -> int | None:
        return int(pairs[name]) if name in pairs else None

    return Tuple5(
        src=pairs["src"],
        dst=pairs["dst"],
        sport=number("sport") or 0,
        dport=number("dport") or 0,
        icmp_id=number("id"),
        icmp_type=number("type"),
        icmp_code=number("code"),
    )


def _state(protoinfo: dict[str, str]) -> str:
    sides = [protoinfo[name] for name in ("state_orig", "state_reply") if name in protoinfo]
    if not sides:
        return protoinfo.get("state", "")
    if all(side in _TCP_STATES for side in sides):
        return max(sides, key=_TCP_STATES.index)
    return "/".join(sides)


def _status(text: str) -> frozenset[str]:
    """The flags of ct_dpif_format_flags, which prints a plain 0 where there are none."""
    flags = [flag for flag in text.split("|") if flag not in ("", "0")]
    return frozenset(flag.lower().replace("_", "-") for flag in flags)
