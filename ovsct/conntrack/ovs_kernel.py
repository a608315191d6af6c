"""The ct action of the OVS kernel datapath: net/openvswitch/conntrack.c, ovs_ct_execute().

Around netfilter's conntrack it decides when a packet needs not be looked up again (recirculated in
the same zone), delays translation of new connections until they are committed, translates a packet
at most once in a zone, and keeps what the flow key says of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter import helpers, snapshot
from ovsct.conntrack.netfilter.core import Netfilter
from ovsct.conntrack.netfilter.entry import CONFIRMED, IS_REPLY, UNTRACKED, Entry, Verdict
from ovsct.conntrack.netfilter.fragments import HELD, WHOLE
from ovsct.conntrack.netfilter.sysctls import Sysctls
from ovsct.conntrack.netfilter.tcp import established
from ovsct.conntrack.netfilter.view import OVS_BITS
from ovsct.conntrack.netfilter.window import BE_LIBERAL
from ovsct.conntrack.request import Diverted, Track
from ovsct.conntrack.select import Selection
from ovsct.conntrack.timers import milliseconds
from ovsct.errors import InputError
from ovsct.lane import Connection, Drop, Event
from ovsct.packet.fields import (
    CT_DNAT,
    CT_INV,
    CT_MASK,
    CT_NEW,
    CT_REL,
    CT_SNAT,
    CT_TRK,
    FRAG_ANY,
    SLOTS,
)
from ovsct.packet.packet import PROTO_TCP, Packet

_KEEP: Final = ~CT_MASK
_NAT_BITS: Final = (CT_SNAT | CT_DNAT) << SLOTS["ct_state"].shift
_STATE: Final = SLOTS["ct_state"].mask
_TRACKED: Final = CT_TRK << SLOTS["ct_state"].shift
_INVALID: Final = CT_INV << SLOTS["ct_state"].shift
_ZONE: Final = SLOTS["ct_zone"].mask
_S_STATE: Final = SLOTS["ct_state"].shift
_S_ZONE: Final = SLOTS["ct_zone"].shift
_S_MARK: Final = SLOTS["ct_mark"].shift
_S_LABEL: Final = SLOTS["ct_label"].shift
_S_TUPLE: Final = SLOTS["ct_nw_proto"].shift
_S_V6: Final = SLOTS["ct_ipv6_dst"].shift
_MARK: Final = SLOTS["ct_mark"].mask
_LABEL: Final = SLOTS["ct_label"].mask
_FRAG: Final = FRAG_ANY << SLOTS["nw_frag"].shift
_V4_TUPLE: Final = (1 << 104) - 1
_LOW: Final = tuples.LOW_MASK
_ADDRESSES: Final = (1 << 256) - 1
_M32: Final = 0xFFFFFFFF
_REFUSED: Final = Diverted(Drop.CONNTRACK)


POLICY_SYSCTLS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "tcp_syn_sent": ("tcp_timeout_syn_sent",), "tcp_syn_recv": ("tcp_timeout_syn_recv",),
    "tcp_established": ("tcp_timeout_established",), "tcp_fin_wait": ("tcp_timeout_fin_wait",),
    "tcp_close_wait": ("tcp_timeout_close_wait",), "tcp_last_ack": ("tcp_timeout_last_ack",),
    "tcp_time_wait": ("tcp_timeout_time_wait",), "tcp_close": ("tcp_timeout_close",),
    "tcp_retransmit": ("tcp_timeout_max_retrans",), "tcp_unack": ("tcp_timeout_unacknowledged",),
    "udp_single": ("udp_timeout",), "udp_multiple": ("udp_timeout_stream",),
    "icmp_first": ("icmp_timeout", "icmpv6_timeout"), "tcp_syn_sent2": (), "udp_first": (),
    "icmp_reply": (),
})
"""Attribute of a timeout policy to what it sets here (OVS lib/dpif-netlink.c, CT_DPIF_NL_TP_*).

Those that set nothing have no timer of their own in the kernel, or (tcp_syn_sent2) none here.
"""


class OvsKernelTracker:
    """The Tracker of the OVS kernel datapath, on a netfilter that others may share.

    Args:
        netfilter: the conntrack of the host.

    `zone_limits` holds how many connections a zone may have (``dpctl/ct-set-limits``),
    `default_limit` those of all other zones; 0 is no limit. `policies` holds the timeout policies
    that ct() may name (``ovs-vsctl add-zone-tp``): a new connection keeps that of its first ct().
    """

    def __init__(self, netfilter: Netfilter) -> None:
        self.netfilter = netfilter
        self.fragments = netfilter.fragments
        self.zone_limits: dict[int, int] = {}
        self.default_limit = 0
        self.policies: dict[str, Sysctls] = {}
        # 6.1 looks for an expectation before it looks packets up, and leaves it be.
        self.expects_first = netfilter.kernel == "6.1"

    def track(self, packet: Packet, request: Track, now: float) -> Diverted | None:
        """Run `packet` through ct() as `request` says, at `now` (seconds).

        Padding behind the IP packet is cut off, as the kernel does.

        Returns:
            None to go on with the packet, or that it was dropped.

        Raises:
            InputError: it names a helper or timeout policy that there is not.
            OvsctError: it asks for what is not modelled.
        """
        if request.timeout is not None and request.timeout not in self.policies:
            raise InputError(
                "no such conntrack timeout policy",
                token=request.timeout,
                expected=", ".join(sorted(self.policies)) or "none is set",
            )
        if packet.end < len(packet.frame):
            packet.frame = packet.frame[: packet.end]
        if packet.key & _FRAG:
            # A later look-up of the same packet finds it whole already.
            answer = self.fragments.gather(packet, request.zone, now)
            if answer != WHOLE:
                return Diverted(Drop.HELD) if answer == HELD else _REFUSED
        if self.expects_first and not request.commit and self._expected(packet, request, now):
            return None
        verdict = self._lookup(packet, request, now)
        if verdict is None and request.commit:
            verdict = self._commit(packet, request, now)
        return verdict

    def _lookup(self, packet: Packet, request: Track, now: float) -> Diverted | None:
        """__ovs_ct_lookup()."""
        netfilter = self.netfilter
        cached = self._cached(packet, request, now)
        if not cached:
            verdict = netfilter.conntrack_in(
                packet,
                request.zone,
                now,
                helper=request.helper,
                unlink=request.commit or self.expects_first,
                policy=self.policies[request.timeout] if request.timeout else None,
            )
            if verdict is not Verdict.ACCEPT:
                return _REFUSED
            update_key(packet, request.zone)
        e = packet.conn
        if not isinstance(e, Entry):
            return None
        nat = request.nat
        if (
            nat is not None
            and not packet.key & _NAT_BITS
            and (request.commit or e.status & CONFIRMED)
        ):
            if netfilter.nat(packet, request, now) is not Verdict.ACCEPT:
                return _REFUSED
            packet.key |= netfilter.ovs_nat_bits() << _S_STATE
        if e.extra is not None or request.helper is not None:
            if request.helper and request.commit and not e.status & CONFIRMED and not e.helper:
                helpers.assign(e, request.helper)
            if not cached and e.status & CONFIRMED and not self._helped(packet, e, now):
                return _REFUSED
        if e.original & 0xFF == PROTO_TCP and e.status & CONFIRMED and established(e):
            e.flags0 |= BE_LIBERAL
            e.flags1 |= BE_LIBERAL
        return None

    def _helped(self, packet: Packet, e: Entry, now: float) -> bool:
        """nf_ct_helper()."""
        verdict = helpers.run(self.netfilter, packet, e, milliseconds(now))
        return verdict is Verdict.ACCEPT

    def _expected(self, packet: Packet, request: Track, now: float) -> bool:
        """ovs_ct_expect_find() of 6.1: say that a packet begins an expected connection."""
        netfilter = self.netfilter
        if not netfilter.expectations:
            return False
        tuple_ = netfilter.tuple_of(packet, request.zone)
        if tuple_ is None:
            return False
        ms = milliseconds(now)
        expected = netfilter.expectations.find(tuple_, ms, False)
        if expected is None:
            return False
        old = netfilter.find(tuple_, ms)
        if old is not None:
            netfilter.kill(old)
        master = expected.master
        key = packet.key & _KEEP | (CT_TRK | CT_NEW | CT_REL) << _S_STATE
        key |= request.zone << _S_ZONE | master.mark << _S_MARK | master.label << _S_LABEL
        packet.key = key | _original_tuple(packet, master.original)
        return True

    def _cached(self, packet: Packet, request: Track, now: float) -> bool:
        """skb_nfct_cached(): has this packet been looked up in this zone already?"""
        e = packet.conn
        cached = True
        if not isinstance(e, Entry):
            state = packet.key & _STATE
            # An upcall loses the connection; then the key tells whether it was looked up.
            cached = (
                bool(state & _TRACKED)
                and not state & _INVALID
                and (packet.key & _ZONE) >> _S_ZONE == request.zone
            )
            if not cached and (state or not request.force):
                return False
            e = self._existing(packet, request.zone, now)
            if e is None:
                return False
        if e.zone != request.zone:
            return False
        if request.timeout and (
            e.extra is None
            or e.extra.policy != helpers.policy_row(self.policies[request.timeout], e)
        ):
            return False
        if request.force and packet.ct_info >= IS_REPLY:
            # The packet's direction becomes the original one: away with what says otherwise.
            if e.status & CONFIRMED:
                self.netfilter.kill(e)
            self.netfilter.detach(packet)
            return False
        return cached

    def _existing(self, packet: Packet, zone: int, now: float) -> Entry | None:
        """ovs_ct_find_existing(): the connection as it stands, untouched."""
        e = self.netfilter.peek(packet, zone, now, natted=bool(packet.key & _NAT_BITS))
        if e is not None:
            packet.conn = e
        return e

    def _commit(self, packet: Packet, request: Track, now: float) -> Diverted | None:
        """ovs_ct_commit()."""
        e = packet.conn
        if not isinstance(e, Entry):
            return None
        if not e.status & CONFIRMED and self._over_limit(request.zone):
            return _REFUSED
        if request.mark is not None and request.mark[1]:
            value, mask = request.mark
            # The kernel does not mask the value itself.
            e.mark = (value | (e.mark & ~mask)) & _M32
            packet.key = packet.key & ~_MARK | e.mark << _S_MARK
        self._label(packet, e, request)
        if not e.status & CONFIRMED and not self._helped(packet, e, now):
            return _REFUSED
        if self.netfilter.confirm(packet, now) is not Verdict.ACCEPT:
            return _REFUSED
        return None

    def _label(self, packet: Packet, e: Entry, request: Track) -> None:
        """ovs_ct_init_labels(), ovs_ct_set_labels()."""
        value, mask = request.label if request.label is not None else (0, 0)
        master = e.master
        if not e.status & CONFIRMED and master is not None:
            e.label = master.label
        elif not mask:
            return
        e.label = e.label & ~mask | value & mask
        packet.key = packet.key & ~_LABEL | e.label << _S_LABEL

    def _over_limit(self, zone: int) -> bool:
        """ovs_ct_check_limit(): the zone's connections, this one included, are too many."""
        limit = self.zone_limits.get(zone, self.default_limit)
        return bool(limit) and self.netfilter.in_zone(zone) >= limit

    def clear(self, packet: Packet) -> None:
        """ovs_ct_clear()."""
        self.netfilter.detach(packet, UNTRACKED)
        packet.key &= _KEEP

    def set_limit(self, zone: int, limit: int) -> None:
        """``dpctl/ct-set-limits``: at most `limit` connections in `zone` (-1: in each other one).

        A limit of 0 is none, unlike in OVS's own conntrack.
        """
        if zone < 0:
            self.default_limit = limit
        else:
            self.zone_limits[zone] = limit

    def set_policy(self, name: str, attributes: Mapping[str, int]) -> None:
        """Install or change a timeout policy (``ovs-vsctl add-zone-tp``): attribute to seconds.

        Raises:
            InputError: an attribute that no timeout policy has.
        """
        changed: dict[str, int] = {}
        for attribute, seconds in attributes.items():
            if attribute not in POLICY_SYSCTLS:
                raise InputError(
                    "no attribute of a timeout policy", token=attribute,
                    expected=", ".join(POLICY_SYSCTLS),
                )  # fmt: skip
            for sysctl in POLICY_SYSCTLS[attribute]:
                changed[sysctl] = seconds
        self.policies[name] = Sysctls(**changed)

    def load(self, connections: Iterable[Connection], now: float) -> None:
        """Put connections from a dump into the table at `now` (seconds).

        Raises:
            InputError: one cannot be taken.
        """
        self.netfilter.load(connections, now)

    def snapshot(self, now: float) -> dict[str, Any]:
        """All of the state at `now` (seconds), for :func:`ovsct.conntrack.snapshot.encode`.

        Raises:
            OvsctError: connections are offloaded.
        """
        state = snapshot.freeze(self.netfilter, milliseconds(now))
        state["zone_limits"] = [[zone, limit] for zone, limit in self.zone_limits.items()]
        state["default_limit"] = self.default_limit
        state["policies"] = [[name, policy.changed()] for name, policy in self.policies.items()]
        return state

    def restore(self, state: dict[str, Any], now: float) -> None:
        """Go on at `now` (seconds) from a snapshot, instead of from what there is.

        Raises:
            InputError: the snapshot is not of this dialect.
            OvsctError: the conntrack has flow tables.
        """
        snapshot.thaw(self.netfilter, state, milliseconds(now))
        self.fragments = self.netfilter.fragments
        self.expects_first = self.netfilter.kernel == "6.1"
        self.zone_limits = dict(state["zone_limits"])
        self.default_limit = state["default_limit"]
        self.policies = {name: Sysctls(**changed) for name, changed in state["policies"]}

    def flush(self, selection: Selection, now: float) -> int:
        """``dpctl/flush-conntrack``, ``conntrack -D``: remove connections; returns how many."""
        return self.netfilter.flush(selection, now)

    def advance(self, now: float) -> Sequence[Event]:
        """What expired until `now`: held fragments, then connections."""
        if not len(self.fragments):
            return self.netfilter.advance(now)
        return [*self.fragments.advance(now), *self.netfilter.advance(now)]

    def connections(self, now: float) -> Sequence[Connection]:
        """What is tracked at `now`."""
        return self.netfilter.connections(now)


def update_key(packet: Packet, zone: int) -> None:
    """ovs_ct_update_key() after a look-up: what the flow key says of the packet's connection."""
    e = packet.conn
    key = packet.key & _KEEP
    if not isinstance(e, Entry):
        packet.key = key | (CT_TRK | CT_INV) << _S_STATE | zone << _S_ZONE
        return
    state = OVS_BITS[packet.ct_info]
    if not e.status & CONFIRMED:
        state |= CT_NEW
    original = e.original
    if e.extra is not None and e.extra.master is not None:
        state |= CT_REL
        original = e.extra.master.original
    key |= state << _S_STATE | zone << _S_ZONE | e.mark << _S_MARK | e.label << _S_LABEL
    packet.key = key | _original_tuple(packet, original)


def _original_tuple(packet: Packet, original: int) -> int:
    """The ct_nw_*, ct_ipv6_* and ct_tp_* fields of an original tuple, in place."""
    if original < tuples.V4_LIMIT:
        proto = original & 0xFF
        if proto != 1:
            return (original & _V4_TUPLE) << _S_TUPLE
        return (original & _V4_TUPLE & ~tuples.PORTS_MASK | _icmp_ports(original)) << _S_TUPLE
    if packet.key & SLOTS["nd_target"].mask:
        return 0
    low = original & _LOW
    if tuples.is_icmp(original):
        low = original & 0xFF | _icmp_ports(original)
    return low << _S_TUPLE | ((original >> 40) & _ADDRESSES) << _S_V6


def _icmp_ports(original: int) -> int:
    """Type as source port and code as destination port, as the key shows an ICMP tuple."""
    return ((original >> 16) & 0xFF) << 24 | ((original >> 8) & 0xFF) << 8
