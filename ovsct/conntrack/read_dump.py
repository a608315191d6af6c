"""Connections read from text: what ``dpctl/dump-conntrack`` and ``/proc/net/nf_conntrack`` print.

The other half of :mod:`ovsct.conntrack.dump`. Facts: OVS 3.1 lib/ct-dpif.c
``ct_dpif_format_entry()``, Linux net/netfilter/nf_conntrack_standalone.c ``ct_seq_show()``.

A line says less than a tracker knows; what it does not say is left at what
:class:`~ovsct.lane.Connection` has when nothing is known (``timeout`` -1: none was printed).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from ovsct.conntrack.dump import PROTOCOL_NAMES, STATUS_NAMES, TCP_FLAGS
from ovsct.errors import InputError
from ovsct.lane import Connection, Tuple5

UNKNOWN_TIMEOUT: Final = -1.0
"""The timeout of a connection whose line says none."""

_PROTOCOLS: Final = {name: number for number, name in PROTOCOL_NAMES.items()}

TCP_STATES: Final = (
    "CLOSED", "LISTEN", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1",
    "CLOSING", "LAST_ACK", "FIN_WAIT_2", "TIME_WAIT",
)  # fmt: skip
"""In the order of lib/ct-dpif.h; of the two directions the later one is the connection's state."""

_PART = re.compile(r"(?P<name>\w+)=(?:\((?P<inner>[^()]*)\)|(?P<value>[^,()]*))(?:,|$)")


def read_connections(text: str, file: str | None = None) -> list[Connection]:
    """The connections of a dump, in its order; each line may be of either form.

    Empty lines and lines that begin with ``#`` are passed over.

    Raises:
        InputError: a line is of neither form, with file, line and what it stumbled over.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        read = parse_proc_line if line.startswith(("ipv4 ", "ipv6 ")) else parse_dpctl_line
        try:
            found.append(read(line))
        except InputError as error:
            raise error.at(file=file, line=number) from None
    return found


# -- dpctl/dump-conntrack -------------------------------------------------------------------------


def parse_dpctl_line(line: str) -> Connection:
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
            nested[part["name"]] = _pairs(part["inner"].split(","))
        position = part.end()
    for name in ("orig", "reply"):
        if name not in nested:
            raise InputError("a connection without a tuple", token=line, expected=f"{name}=(...)")
    try:
        return _from_dpctl(_protocol(proto_name), plain, nested)
    except (KeyError, ValueError) as error:
        raise InputError(f"cannot read a connection ({error})", token=line.strip()) from error


def _from_dpctl(
    proto: int, plain: dict[str, str], nested: dict[str, dict[str, str]]
) -> Connection:
    orig = _tuple(nested["orig"])
    protoinfo = nested.get("protoinfo", {})
    return Connection(
        family=ipaddress.ip_address(orig.src).version,
        proto=proto,
        orig=orig,
        reply=_tuple(nested["reply"]),
        zone=_number(plain.get("zone", "0"), 16),
        mark=_number(plain.get("mark", "0"), 32),
        label=_number(plain.get("labels", "0x0"), 128),
        state=_state(protoinfo),
        timeout=float(plain.get("timeout", UNKNOWN_TIMEOUT)),
        status=_status(plain.get("status", "")) | _ends(protoinfo),
        helper=plain.get("helper"),
        parent=_tuple(nested["parent"]) if "parent" in nested else None,
    )


def _number(text: str, bits: int) -> int:
    value = int(text, 0)
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{text} has no room in {bits} bits")
    return value


def _pairs(pieces: Iterable[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for piece in filter(None, pieces):
        name, sign, value = piece.partition("=")
        if not sign:
            raise InputError("cannot read a connection", token=piece, expected="name=value")
        pairs[name] = value
    return pairs


def _protocol(name: str) -> int:
    if name in _PROTOCOLS:
        return _PROTOCOLS[name]
    if name.isdecimal() and int(name) < 256:
        return int(name)
    raise InputError("unknown protocol in a connection", token=name)


def _tuple(pairs: dict[str, str]) -> Tuple5:
    def number(name: str, bits: int = 16) -> int | None:
        return _number(pairs[name], bits) if name in pairs else None

    for end in ("src", "dst"):
        ipaddress.ip_address(pairs[end])
    return Tuple5(
        src=pairs["src"],
        dst=pairs["dst"],
        sport=number("sport") or 0,
        dport=number("dport") or 0,
        icmp_id=number("id"),
        icmp_type=number("type", 8),
        icmp_code=number("code", 8),
    )


def _state(protoinfo: dict[str, str]) -> str:
    sides = [protoinfo[name] for name in ("state_orig", "state_reply") if name in protoinfo]
    if not sides:
        return protoinfo.get("state", "")
    if all(side in TCP_STATES for side in sides):
        return max(sides, key=TCP_STATES.index)
    return "/".join(sides)


def _status(text: str) -> frozenset[str]:
    """The flags of ct_dpif_format_flags, which prints a plain 0 where there are none."""
    flags = [flag for flag in text.split("|") if flag not in ("", "0")]
    for flag in flags:
        if flag not in STATUS_NAMES:
            raise InputError("no status of a connection", token=flag)
    return frozenset(flag.lower().replace("_", "-") for flag in flags)


def _ends(protoinfo: dict[str, str]) -> frozenset[str]:
    """What -m says of each end of a TCP connection, as the neutral form has it."""
    said = []
    for side in ("orig", "reply"):
        if f"state_{side}" in protoinfo:
            said.append(f"state_{side}={protoinfo[f'state_{side}']}")
        if int(protoinfo.get(f"wscale_{side}", "0")):
            said.append(f"wscale_{side}={int(protoinfo[f'wscale_{side}'])}")
        for flag in protoinfo.get(f"flags_{side}", "0").split("|"):
            if flag in ("", "0"):
                continue
            if flag not in TCP_FLAGS:
                raise InputError("no flag of a TCP connection", token=flag)
            said.append(f"flags_{side}={flag}")
    return frozenset(said)


# -- /proc/net/nf_conntrack -----------------------------------------------------------------------

_PROC = re.compile(
    r"(?P<l3>ipv4|ipv6)\s+(?:2|10)\s+\S+\s+(?P<proto>\d+)\s+"
    r"(?:(?P<timeout>-?\d+)\s+)?(?:(?P<state>[A-Z][A-Z0-9_]*)\s+)?"
    r"(?:timeout=\d+, stream_timeout=\d+\s+)?"
    r"(?P<orig>src=(?:(?!src=|\[).)*)"
    r"(?P<unreplied>\[UNREPLIED\]\s+)?"
    r"(?P<reply>src=(?:(?! mark=| \[|\[).)*)"
    r"(?P<flags>(?:\s*\[[A-Z_]+\])*)\s*"
    r"(?P<rest>.*)"
)
_FLAGS: Final = {"[ASSURED]": "assured", "[OFFLOAD]": "offload", "[HW_OFFLOAD]": "hw-offload"}


def parse_proc_line(line: str) -> Connection:
    """One line of ``/proc/net/nf_conntrack`` as a Connection.

    Raises:
        InputError: the line is not of that form; it names what it stumbled over.
    """
    match = _PROC.fullmatch(line.strip())
    if match is None:
        raise InputError(
            "cannot read a connection", token=line.strip(),
            expected="a line of /proc/net/nf_conntrack",
        )  # fmt: skip
    try:
        orig = _tuple(_proc_pairs(match["orig"]))
        rest = _pairs(match["rest"].split())
        status = {"confirmed"}
        for flag in match["flags"].split():
            if flag not in _FLAGS:
                raise InputError("no flag of a connection", token=flag, expected=", ".join(_FLAGS))
            status.add(_FLAGS[flag])
        if match["unreplied"] is None:
            status.add("seen-reply")
        if not status.isdisjoint({"offload", "hw-offload"}):
            status |= {"offload", "assured"}
        return Connection(
            family=4 if match["l3"] == "ipv4" else 6,
            proto=_number(match["proto"], 8),
            orig=orig,
            reply=_tuple(_proc_pairs(match["reply"])),
            zone=_number(rest.get("zone", "0"), 16),
            mark=_number(rest.get("mark", "0"), 32),
            state=match["state"] or "",
            timeout=float(match["timeout"] or UNKNOWN_TIMEOUT),
            status=frozenset(status),
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"cannot read a connection ({error})", token=line.strip()) from error


def _proc_pairs(text: str) -> dict[str, str]:
    pairs = _pairs(text.split())
    for key, port in (("srckey", "sport"), ("dstkey", "dport")):
        if key in pairs:
            pairs[port] = pairs.pop(key)
    for end in ("src", "dst"):
        # The kernel writes IPv6 addresses in full.
        pairs[end] = str(ipaddress.ip_address(pairs[end]))
    return pairs
