"""The knobs of netfilter's conntrack, as data: every sysctl that the model has, with its default.

Names are those under ``/proc/sys/net/netfilter`` without the prefix ``nf_conntrack_``; the flow
table's (``nf_flowtable_*``) are ``flowtable_*``, those of fragments (``net.ipv4.ipfrag_time``,
``ipfrag_max_dist``) ``frag_*``. Times in seconds. Defaults are the kernel's
(nf_conntrack_standalone.c, nf_conntrack_proto_*.c); ``max`` and ``buckets`` are those of a machine
with more than 4 GB.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from ovsct.errors import InputError

DEFAULTS: Final = MappingProxyType(
    {
        "acct": 0,
        "buckets": 262144,
        "checksum": 1,
        "max": 262144,
        "expect_max": 4096,
        "tcp_be_liberal": 0,
        "tcp_ignore_invalid_rst": 0,
        "tcp_loose": 1,
        "tcp_max_retrans": 3,
        "tcp_timeout_syn_sent": 120,
        "tcp_timeout_syn_recv": 60,
        "tcp_timeout_established": 432000,
        "tcp_timeout_fin_wait": 120,
        "tcp_timeout_close_wait": 60,
        "tcp_timeout_last_ack": 30,
        "tcp_timeout_time_wait": 120,
        "tcp_timeout_close": 10,
        "tcp_timeout_max_retrans": 300,
        "tcp_timeout_unacknowledged": 300,
        "udp_timeout": 30,
        "udp_timeout_stream": 120,
        "icmp_timeout": 30,
        "icmpv6_timeout": 30,
        "generic_timeout": 600,
        "gre_timeout": 30,
        "gre_timeout_stream": 180,
        "sctp_timeout_closed": 10,
        "sctp_timeout_cookie_wait": 3,
        "sctp_timeout_cookie_echoed": 3,
        "sctp_timeout_established": 210,
        "sctp_timeout_shutdown_sent": 3,
        "sctp_timeout_shutdown_recd": 3,
        "sctp_timeout_shutdown_ack_sent": 3,
        "sctp_timeout_heartbeat_sent": 30,
        "frag_timeout": 30,
        "frag_max_dist": 64,
        "flowtable_tcp_timeout": 30,
        "flowtable_udp_timeout": 30,
    }
)
"""Every sysctl of the model and its default."""

ROWS: Final[dict[str, tuple[str, ...]]] = {
    # By state number; SYN_SENT2 is counted as SYN_SENT, and after the states come RETRANS, UNACK.
    "tcp": (
        "", "tcp_timeout_syn_sent", "tcp_timeout_syn_recv", "tcp_timeout_established",
        "tcp_timeout_fin_wait", "tcp_timeout_close_wait", "tcp_timeout_last_ack",
        "tcp_timeout_time_wait", "tcp_timeout_close", "tcp_timeout_syn_sent",
        "tcp_timeout_max_retrans", "tcp_timeout_unacknowledged",
    ),
    "udp": ("udp_timeout", "udp_timeout_stream"),
    "icmp": ("icmp_timeout",),
    "icmpv6": ("icmpv6_timeout",),
    "generic": ("generic_timeout",),
    "gre": ("gre_timeout", "gre_timeout_stream"),
    "sctp": (
        "", "sctp_timeout_closed", "sctp_timeout_cookie_wait", "sctp_timeout_cookie_echoed",
        "sctp_timeout_established", "sctp_timeout_shutdown_sent", "sctp_timeout_shutdown_recd",
        "sctp_timeout_shutdown_ack_sent", "sctp_timeout_heartbeat_sent",
    ),
}  # fmt: skip
"""For each protocol tracker, the sysctls that are its timeouts, in the order of its states."""


TRACKERS: Final = {
    1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 58: "icmpv6", 132: "sctp", 136: "udp",
}  # fmt: skip
"""The protocol tracker by IP protocol; all others are ``generic``."""


class Sysctls:
    """The values of all sysctls: ``sysctls["tcp_loose"]``.

    Args:
        changed: those that are not at their default.

    Raises:
        InputError: a name that no sysctl of the model has.
    """

    __slots__ = ("_values",)

    def __init__(self, **changed: int) -> None:
        for name in changed:
            if name not in DEFAULTS:
                raise InputError(
                    "no such conntrack sysctl", token=name, expected=", ".join(sorted(DEFAULTS))
                )
        self._values = {**DEFAULTS, **changed}

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def changed(self) -> dict[str, int]:
        """Those that are not at their default."""
        return {name: value for name, value in self._values.items() if value != DEFAULTS[name]}

    def timeouts(self, tracker: str) -> tuple[int, ...]:
        """The timeouts (ms) of one protocol tracker, in the order of its states."""
        return tuple(self._values[name] * 1000 if name else 0 for name in ROWS[tracker])
