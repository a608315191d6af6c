"""The timers of OVS's own conntrack and their defaults (OVS 3.1 lib/conntrack-tp.c).

====================  ===============  =========  ==============================================
timer                 policy calls it  seconds    runs while
====================  ===============  =========  ==============================================
TCP_FIRST_PACKET      tcp_syn_sent     30         a SYN was seen (again), or the first packet
TCP_OPENING           tcp_syn_recv     30         one side is not yet ESTABLISHED
TCP_ESTABLISHED       tcp_established  86400      both are, and neither is closing
TCP_CLOSING           tcp_fin_wait     900        one side sent FIN
TCP_FIN_WAIT          tcp_time_wait    45         both did
TCP_CLOSED            tcp_close        30         both FINs are acknowledged, or RST
OTHER_FIRST           udp_first        60         one packet
OTHER_MULTIPLE        udp_single       60         several packets, all one way
OTHER_BIDIR           udp_multiple     30         packets both ways
ICMP_FIRST            icmp_first       60         only requests
ICMP_REPLY            icmp_reply       30         a reply was seen
====================  ===============  =========  ==============================================

UDP and every protocol without a tracker of its own share the OTHER timers.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from ovsct.errors import OvsctError


class Timer(IntEnum):
    """The timers, by OVS's own names (lib/conntrack-private.h ``CT_TIMEOUTS``)."""

    TCP_FIRST_PACKET = 0
    TCP_OPENING = 1
    TCP_ESTABLISHED = 2
    TCP_CLOSING = 3
    TCP_FIN_WAIT = 4
    TCP_CLOSED = 5
    OTHER_FIRST = 6
    OTHER_MULTIPLE = 7
    OTHER_BIDIR = 8
    ICMP_FIRST = 9
    ICMP_REPLY = 10


POLICY_NAMES: Final[tuple[str, ...]] = (
    "tcp_syn_sent", "tcp_syn_recv", "tcp_established", "tcp_fin_wait", "tcp_time_wait",
    "tcp_close", "udp_first", "udp_single", "udp_multiple", "icmp_first", "icmp_reply",
)  # fmt: skip
"""What a timeout policy calls each timer (``ovs-vsctl add-zone-tp``), in the order of `Timer`."""

DEFAULT_SECONDS: Final[tuple[int, ...]] = (30, 30, 86400, 900, 45, 30, 60, 60, 30, 60, 30)

UNUSED_NAMES: Final = frozenset(
    ("tcp_close_wait", "tcp_last_ack", "tcp_retransmit", "tcp_unack", "tcp_syn_sent2")
)
"""Policy attributes that exist in the schema and that this dialect has no timer for."""

DEFAULT_TIMEOUTS: Final[tuple[int, ...]] = tuple(1000 * value for value in DEFAULT_SECONDS)
"""Milliseconds, in the order of `Timer`."""


def policy_timeouts(attributes: Mapping[str, int]) -> tuple[int, ...]:
    """Milliseconds by `Timer` of a policy given as attribute to seconds; defaults for the rest.

    Raises:
        OvsctError: an attribute that no timeout policy has.
    """
    timeouts = list(DEFAULT_TIMEOUTS)
    for name, seconds in attributes.items():
        if name in POLICY_NAMES:
            timeouts[POLICY_NAMES.index(name)] = seconds * 1000
        elif name not in UNUSED_NAMES:
            known = ", ".join(POLICY_NAMES)
            raise OvsctError(f"timeout policy has no attribute {name!r}; it has {known}")
    return tuple(timeouts)
