"""Connections as text: what ``dpctl/dump-conntrack`` and ``/proc/net/nf_conntrack`` print.

Both are written from the neutral :class:`~ovsct.lane.Connection`, so that any lane can be dumped.
Facts: OVS 3.1 lib/ct-dpif.c ``ct_dpif_format_entry()`` and, for what a kernel calls its TCP states,
lib/netlink-conntrack.c; Linux net/netfilter/nf_conntrack_standalone.c ``ct_seq_show()``.

What is only in `status`, as ``name=value``: the states, window scales and flags of the two ends of
a TCP connection (``state_orig=SYN_SENT``, ``wscale_reply=7``, ``flags_orig=WINDOW_SCALE``). A
connection has no number of its own here, so ``-m`` prints ``id=0``, as OVS's own conntrack does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Final

from ovsct.lane import Connection, Tuple5
from ovsct.packet.packet import PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP

PROTO_GRE: Final = 47

PROTOCOL_NAMES: Final = {
    1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmpv6", 132: "sctp",
    136: "udplite",
}  # fmt: skip
"""As dump-conntrack calls them; any other is printed as its number."""

PROC_NAMES: Final = {
    1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 58: "icmpv6", 132: "sctp",
    136: "udplite",
}  # fmt: skip
"""As ``/proc/net/nf_conntrack`` calls them; any other is ``unknown``."""

TCP_PRINTED: Final = {
    "NONE": "CLOSED",
    "SYN_SENT2": "SYN_SENT",
    "SYN_RECV": "ESTABLISHED",
    "FIN_WAIT": "FIN_WAIT_1",
    "FIN_WAIT_2": "TIME_WAIT",
    "CLOSE": "CLOSING",
}
"""TCP states that dump-conntrack prints under another name; both dialects in one, without -m."""

TCP_KERNEL: Final = {
    "NONE": "CLOSED", "SYN_SENT2": "SYN_SENT", "FIN_WAIT": "FIN_WAIT_1", "CLOSE": "CLOSING",
}  # fmt: skip
"""What OVS makes of a kernel's TCP state where the names differ; -m changes nothing else."""

STATUS_NAMES: Final = (
    "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SRC_NAT", "DST_NAT", "SEQ_ADJUST",
    "SRC_NAT_DONE", "DST_NAT_DONE", "DYING", "FIXED_TIMEOUT", "TEMPLATE", "UNTRACKED",
)  # fmt: skip
"""Status flags in the order of their bits; what else a dialect knows is not printed with -m."""

TCP_FLAGS: Final = (
    "WINDOW_SCALE", "SACK_PERM", "CLOSE_INIT", "BE_LIBERAL", "DATA_UNACKNOWLEDGED", "MAXACK_SET",
)  # fmt: skip


def dump_conntrack(
    connections: Iterable[Connection], *, more: bool = False, statistics: bool = False
) -> Iterator[str]:
    """The lines of ``ovs-appctl dpctl/dump-conntrack [-m] [-s]``, without line ends."""
    for connection in connections:
        yield dpctl_line(connection, more=more, statistics=statistics)


def dpctl_line(c: Connection, *, more: bool = False, statistics: bool = False) -> str:
    """One line of ``dpctl/dump-conntrack``; `more` is -m, `statistics` is -s."""
    parts = [
        PROTOCOL_NAMES.get(c.proto, str(c.proto)),
        f"orig=({_tuple(c.proto, c.orig)})",
        f"reply=({_tuple(c.proto, c.reply)})",
    ]
    if more:
        parts.append("id=0")
    if c.zone:
        parts.append(f"zone={c.zone}")
    if more:
        parts.append(f"status={_flags(c.status, STATUS_NAMES)}")
    if statistics:
        parts.append(f"timeout={int(c.timeout)}")
    if c.mark:
        parts.append(f"mark={c.mark}")
    if c.label:
        parts.append(f"labels={c.label:#x}")
    if c.state:
        parts.append(f"protoinfo=({_protoinfo(c, more)})")
    if c.helper:
        parts.append(f"helper={c.helper}")
    if more and c.parent is not None:
        parts.append(f"parent=({_tuple(c.proto, c.parent)})")
    return ",".join(parts)


def ipv6_text(address: str) -> str:
    """An IPv6 address as ``inet_ntop()`` writes it: IPv4-mapped and -compatible ones dotted."""
    value = int(IPv6Address(address))
    if value >> 32 == 0xFFFF:
        return f"::ffff:{IPv4Address(value & 0xFFFFFFFF)}"
    if value >> 32 == 0 and value >> 16:
        return f"::{IPv4Address(value)}"
    return str(IPv6Address(value))


def _address(address: str) -> str:
    return ipv6_text(address) if ":" in address else address


def _tuple(proto: int, t: Tuple5) -> str:
    ends = f"src={_address(t.src)},dst={_address(t.dst)}"
    if proto in (PROTO_ICMP, PROTO_ICMPV6):
        return f"{ends},id={t.icmp_id or 0},type={t.icmp_type or 0},code={t.icmp_code or 0}"
    return f"{ends},sport={t.sport},dport={t.dport}"


def _flags(flags: Iterable[str], names: tuple[str, ...]) -> str:
    """The flags that have a name, in the order of `names`; a plain 0 if there are none."""
    there = {flag.upper().replace("-", "_") for flag in flags}
    return "|".join(name for name in names if name in there) or "0"


def _protoinfo(c: Connection, more: bool) -> str:
    if c.proto != PROTO_TCP:
        return f"state={c.state}"
    if not more:
        return f"state={TCP_PRINTED.get(c.state, c.state)}"
    said = [item.partition("=") for item in c.status if "=" in item]
    values: dict[str, list[str]] = {}
    for name, _, value in said:
        values.setdefault(name, []).append(value)
    state = TCP_KERNEL.get(c.state, c.state)
    text = ",".join(
        f"state_{side}={values.get(f'state_{side}', [state])[0]}" for side in ("orig", "reply")
    )
    if "wscale_orig" in values or "wscale_reply" in values:
        text += "".join(
            f",wscale_{side}={values.get(f'wscale_{side}', ['0'])[0]}" for side in ("orig", "reply")
        )
    for side in ("orig", "reply"):
        text += f",flags_{side}={_flags(values.get(f'flags_{side}', []), TCP_FLAGS)}"
    return text


def dump_proc(connections: Iterable[Connection]) -> Iterator[str]:
    """The lines of ``/proc/net/nf_conntrack``, without line ends."""
    return map(proc_line, connections)


def proc_line(c: Connection) -> str:
    """One line of ``/proc/net/nf_conntrack``.

    ``use=`` is the number of references that a kernel's entry has while it is printed and nothing
    else holds it; a flow table that offloads the connection holds one more.
    """
    l3 = ("ipv4", 2) if c.family == 4 else ("ipv6", 10)
    offloaded = "offload" in c.status  # a torn down flow may still be in hardware
    text = f"{l3[0]:<8} {l3[1]} {PROC_NAMES.get(c.proto, 'unknown'):<8} {c.proto} "
    if not offloaded:
        text += f"{int(c.timeout)} "
        if c.state:
            text += f"{c.state} "
    if c.proto == PROTO_GRE:
        # What the tracker prints of its own: its timeouts, those of a host without a policy.
        text += "timeout=30, stream_timeout=180 "
    text += _proc_tuple(c, c.orig)
    if "seen-reply" not in c.status:
        text += "[UNREPLIED] "
    text += _proc_tuple(c, c.reply)
    if "hw-offload" in c.status:
        text += "[HW_OFFLOAD] "
    elif offloaded:
        text += "[OFFLOAD] "
    elif "assured" in c.status:
        text += "[ASSURED] "
    return f"{text}mark={c.mark} zone={c.zone} use={3 if offloaded else 2}"


_WITH_PORTS: Final = frozenset((PROTO_TCP, 17, 33, PROTO_SCTP, 136))


def _proc_tuple(c: Connection, t: Tuple5) -> str:
    ends = f"src={_proc_address(t.src)} dst={_proc_address(t.dst)} "
    if c.proto in _WITH_PORTS:
        return f"{ends}sport={t.sport} dport={t.dport} "
    if t.icmp_id is not None:
        return f"{ends}type={t.icmp_type} code={t.icmp_code} id={t.icmp_id} "
    if c.proto == PROTO_GRE:
        return f"{ends}srckey=0x{t.sport:x} dstkey=0x{t.dport:x} "
    return ends


def _proc_address(address: str) -> str:
    return IPv6Address(address).exploded if ":" in address else address


FORMS: Final[Mapping[str, Callable[[Connection], str]]] = MappingProxyType({
    "dpctl": dpctl_line,
    "dpctl-s": partial(dpctl_line, statistics=True),
    "dpctl-m": partial(dpctl_line, more=True),
    "dpctl-m-s": partial(dpctl_line, more=True, statistics=True),
    "proc": proc_line,
})
"""How a connection can be written: ``dpctl/dump-conntrack`` with its options, or as in /proc."""
