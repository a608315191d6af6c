"""The match of a megaflow as the match of a flower filter.

The way of OVS 3.1's ``netdev_tc_flow_put()`` (lib/netdev-offload-tc.c): every mask bit that goes
into the filter is crossed off, and whatever is left in the end is refused by name.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ovsct.lower.kernel import Capabilities
from ovsct.lower.reasons import Ignored, Note, Reason, refuse
from ovsct.packet.fields import CT_EST, CT_NEW, CT_TRK, CT_TUPLE_MASK, FRAG_ANY, FRAG_LATER, SLOTS
from ovsct.packet.packet import (
    DL_TYPE_NONE,
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    MPLS_TYPES,
    PROTO_FRAGMENT,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_IGMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    VLAN_TYPES,
)
from ovsct.tc.keys import ETH_P_ALL, FIRST_FRAG, FRAG, ct_state_problem
from ovsct.tc.verdict import MAX_CHAIN

_TYPE: Final = SLOTS["dl_type"]
_PROTO: Final = SLOTS["nw_proto"]
_FRAG: Final = SLOTS["nw_frag"]
_STATE: Final = SLOTS["ct_state"]
_RECIRC: Final = SLOTS["recirc_id"]
_TAGS: Final = (
    (SLOTS["vlan_tci"], SLOTS["vlan_tpid"]),
    (SLOTS["vlan_tci1"], SLOTS["vlan_tpid1"]),
)
_LSE: Final = SLOTS["mpls_lse"]
_LSE_PARTS: Final = (0xFF, 0x100, 0xE00, 0xFFFFF000)
"""TTL, bottom of stack, traffic class, label: flower matches on a whole part or not at all."""

_PRESENT: Final = 0x1000
_VID: Final = 0xFFF
_PCP: Final = 0xE000


def _bits(*names: str) -> int:
    return sum(SLOTS[name].mask for name in names)


_MACS: Final = _bits("dl_src", "dl_dst")
_ARP: Final = _bits("nw_src", "nw_dst", "nw_proto", "arp_sha", "arp_tha")
_IP: Final = _bits("nw_tos", "nw_ttl")
_PORTS: Final = _bits("tp_src", "tp_dst")
_ADDRESSES: Final = {
    ETH_IPV4: _bits("nw_src", "nw_dst"),
    ETH_IPV6: _bits("ipv6_src", "ipv6_dst"),
}
_ICMP_BYTES: Final = 0xFF << SLOTS["tp_src"].shift | 0xFF << SLOTS["tp_dst"].shift
_TCP: Final = _PORTS | 0xFFF << SLOTS["tcp_flags"].shift
_TRANSPORT: Final = {
    PROTO_TCP: (_PORTS | SLOTS["tcp_flags"].mask, _TCP),
    PROTO_UDP: (_PORTS, _PORTS),
    PROTO_SCTP: (_PORTS, _PORTS),
    PROTO_ICMP: (_PORTS, _ICMP_BYTES),
    PROTO_ICMPV6: (_PORTS, _ICMP_BYTES),
}
"""By IP protocol: what is crossed off, and what flower can hold of it."""
_CT: Final = _bits("ct_zone", "ct_mark", "ct_label")
_TUNNEL: Final = _bits(*(name for name in SLOTS if name.startswith("tun_")))
_TUNNELLED: Final = _bits("tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst")
_IMPLIED: Final = _bits("recirc_id", "in_port", "dl_type", "packet_type") | sum(
    tci.mask | tpid.mask for tci, tpid in _TAGS
)


class Match(NamedTuple):
    """What flower gets: the `protocol` of the filter, `value` and `mask` in the layout of
    :mod:`ovsct.tc.keys` (the value has bits outside of the mask), the chain, what was left out.
    """

    protocol: int
    chain: int
    value: int
    mask: int
    notes: tuple[Note, ...]


def lower_match(key: int, mask: int, capabilities: Capabilities) -> Match:
    """The filter's match for packets whose key under `mask` is `key` (which may have more bits).

    Raises:
        RefusedError: flower has no way to say it.
    """
    chain = _RECIRC.get(key)
    if chain > MAX_CHAIN:
        raise refuse(Reason.CHAIN, f"recirculation id {chain:#x}", _RECIRC.mask)
    if key & _TUNNELLED:
        raise refuse(Reason.TUNNEL, "it came out of a tunnel", mask & _TUNNEL)
    lowering = _Lowering(key, mask & ~_TUNNEL, capabilities)
    lowering.tags()
    lowering.labels()
    lowering.take(_MACS)
    lowering.network()
    lowering.conntrack()
    lowering.left &= ~_IMPLIED
    _refuse_the_rest(key, mask, lowering.left)
    return Match(
        lowering.protocol, chain, lowering.value, lowering.flower, tuple(lowering.notes)
    )


def lower_open_match(key: int, mask: int, tpid: int, capabilities: Capabilities) -> Match:
    """The match of a flow that names no Ethernet type: frames of any, or behind the tag `tpid`.

    OVS has no such megaflow; pipelines without OVS have such flows.

    Raises:
        RefusedError: flower has no way to say it.
    """
    lowering = _Lowering(key, mask & ~_TUNNEL, capabilities)
    lowering.protocol = tpid or ETH_P_ALL
    if tpid:
        lowering.put(tpid << _TAGS[0][1].shift, _TAGS[0][1].mask)
        tci = _TAGS[0][0]
        lowering.tag(tci.get(key), tci.get(lowering.left), tci.shift, tci.mask)
    lowering.take(_MACS)
    lowering.conntrack()
    lowering.left &= ~_IMPLIED
    if lowering.left:
        names = ", ".join(slot.name for slot in SLOTS.values() if slot.mask & lowering.left)
        raise refuse(Reason.OTHER_MATCH, f"a match on {names} of any packet", lowering.left)
    return Match(
        lowering.protocol, 0, lowering.value, lowering.flower, tuple(lowering.notes)
    )


class _Lowering:
    """One match on its way: `left` are the bits of the megaflow's mask not yet crossed off."""

    __slots__ = (
        "capabilities", "dl_type", "flower", "key", "left", "notes", "protocol", "value",
    )  # fmt: skip

    def __init__(self, key: int, mask: int, capabilities: Capabilities) -> None:
        self.key = key
        self.left = mask
        self.capabilities = capabilities
        self.dl_type = _TYPE.get(key)
        self.protocol = self.dl_type
        self.value = 0
        self.flower = 0
        self.notes: list[Note] = []

    def put(self, value: int, mask: int) -> None:
        """Match on `value` under `mask` (both in place)."""
        self.value |= value & mask
        self.flower |= mask

    def take(self, bits: int, sent: int | None = None) -> None:
        """Cross `bits` off; `sent` of them (all, if not given) go into the filter.

        OVS sends the packet's whole value beside the mask, and the kernel shows it so.
        """
        mask = self.left & (bits if sent is None else sent)
        self.flower |= mask
        self.value |= self.key & _whole(mask) & (bits if sent is None else sent)
        self.left &= ~bits

    def tags(self) -> None:
        """VLAN tags and the Ethernet type behind them."""
        types = []
        for tci, tpid in _TAGS:
            if not tci.get(self.key) & _PRESENT:
                break
            types.append(tpid.get(self.key))
            self.tag(tci.get(self.key), tci.get(self.left), tci.shift, tci.mask)
        types.append(self.dl_type)
        self.protocol = types[0]
        for (_, tpid), found in zip(_TAGS, types, strict=False):
            if found in VLAN_TYPES:
                self.put(found << tpid.shift, tpid.mask)
            else:
                if tpid is _TAGS[1][1]:
                    # vlan_ethtype names what is behind the first tag, so there is no second one.
                    self.put(0, tpid.mask)
                break
        inner = types[2] if len(types) > 2 else types[-1]
        if inner not in VLAN_TYPES or len(types) > 2:
            self.put(inner << _TYPE.shift, _TYPE.mask)

    def tag(self, tci: int, mask: int, shift: int, bits: int) -> None:
        """One tag: a whole id, a whole priority, or nothing of either."""
        if not mask:
            return
        vid, pcp = mask & _VID, mask & _PCP
        if not (mask & _PRESENT and vid in (0, _VID) and pcp in (0, _PCP) and (vid or pcp)):
            raise refuse(
                Reason.VLAN_PARTIAL,
                f"a match on {tci:#06x}/{mask:#06x} of the tag",
                self.left & bits,
            )
        self.put(tci << shift, (vid | pcp) << shift)

    def labels(self) -> None:
        """The outermost MPLS label stack entry."""
        lse = _LSE.get(self.left)
        self.left &= ~_LSE.mask
        if not lse:
            return
        if self.protocol not in MPLS_TYPES:
            self.notes.append(Note(Ignored.MPLS_BEHIND_VLAN, "the match on the label is left out"))
            return
        for part in _LSE_PARTS:
            if lse & part:
                self.put(self.key, part << _LSE.shift)

    def network(self) -> None:
        """ARP, or IP and what is in it."""
        if self.dl_type == ETH_ARP:
            self.take(_ARP)
        addresses = _ADDRESSES.get(self.dl_type)
        if addresses is None or _is_ipv6_fragment(self.key, self.left):
            return
        proto = _PROTO.get(self.key)
        if self.left & _PROTO.mask:
            if proto:
                self.put(self.key, _PROTO.mask)
            else:
                self.notes.append(Note(Ignored.PROTO_ZERO, "IP protocol 0 is sent as any"))
            self.left &= ~_PROTO.mask
        self.take(_IP)
        self._fragment()
        crossed, sent = _TRANSPORT.get(proto, (0, 0))
        self.take(crossed, sent)
        self.take(addresses)

    def _fragment(self) -> None:
        mask, value = _FRAG.get(self.left), _FRAG.get(self.key)
        if not mask & FRAG_ANY:
            return
        self.left &= ~_FRAG.mask
        known, flags = FRAG, 0
        if value & FRAG_ANY:
            flags = FRAG
            if mask & FRAG_LATER:
                known |= FIRST_FRAG
                flags |= 0 if value & FRAG_LATER else FIRST_FRAG
        self.put(flags << _FRAG.shift, known << _FRAG.shift)

    def conntrack(self) -> None:
        """``parse_match_ct_state_to_flower()``: all bits of ct_state are known, or none is."""
        known = self.capabilities.ct_state
        if not known:
            if self.left & (_CT | _STATE.mask):
                raise refuse(
                    Reason.NO_CONNTRACK, "flower has no ct keys", self.left & (_CT | _STATE.mask)
                )
            return
        mask = _STATE.get(self.left)
        if mask & ~known:
            raise refuse(
                Reason.CT_STATE, "flower lacks these bits of ct_state",
                (mask & ~known) << _STATE.shift,
            )  # fmt: skip
        state = _STATE.get(self.key) & mask
        if state & CT_EST:
            state, mask = state & ~CT_NEW, mask & ~CT_NEW
        if state and not state & CT_TRK:
            state, mask = state | CT_TRK, mask | CT_TRK
        problem = ct_state_problem(state)
        if problem is not None:
            raise refuse(Reason.KERNEL, problem, self.left & _STATE.mask)
        self.put(state << _STATE.shift, mask << _STATE.shift)
        self.left &= ~_STATE.mask
        self.take(_CT)


def _whole(mask: int) -> int:
    """All bits of every slot that `mask` touches."""
    return sum(slot.mask for slot in SLOTS.values() if slot.mask & mask)


def _is_ipv6_fragment(key: int, mask: int) -> bool:
    if _TYPE.get(key) != ETH_IPV6:
        return False
    if mask & _PROTO.mask and _PROTO.get(key) == PROTO_FRAGMENT:
        return True
    return bool(_FRAG.get(key) & _FRAG.get(mask) & FRAG_ANY)


_REST: Final = (
    (_bits("dp_hash"), Reason.DP_HASH, "dp_hash"),
    (_bits("skb_priority"), Reason.SKB_PRIORITY, "skb_priority"),
    (_bits("mpls_lse1", "mpls_lse2"), Reason.MPLS_DEPTH, "a second MPLS label"),
    (CT_TUPLE_MASK, Reason.CT_TUPLE, "the connection's original tuple"),
    (_bits("ipv6_label"), Reason.IPV6_LABEL, "the IPv6 flow label"),
    (_bits(*(name for name in SLOTS if name.startswith("nsh_"))), Reason.NSH, "an NSH header"),
    (_bits("nd_target", "nd_reserved", "nd_options_type"), Reason.ND, "neighbour discovery"),
)
"""``test_key_and_mask()``: bits, the reason that they give, and what they are."""


def _refuse_the_rest(key: int, mask: int, left: int) -> None:
    if SLOTS["packet_type"].get(key):
        raise refuse(Reason.PACKET_TYPE, "no Ethernet header", SLOTS["packet_type"].mask)
    if _TYPE.get(key) == DL_TYPE_NONE:
        raise refuse(Reason.NON_ETHERNET, "an 802.2 frame without an Ethernet type", _TYPE.mask)
    if _is_ipv6_fragment(key, mask):
        raise refuse(
            Reason.IPV6_FRAGMENT, "an IPv6 fragment", mask & (_FRAG.mask | _PROTO.mask)
        )
    mark = SLOTS["pkt_mark"]
    if left & mark.mask:
        if _exactly_zero(key, left, mark.mask):
            left &= ~mark.mask
        else:
            raise refuse(Reason.PKT_MARK, "pkt_mark", left & mark.mask)
    if not left:
        return
    for bits, reason, what in _REST:
        if left & bits:
            raise refuse(reason, f"a match on {what}", left & bits)
    type_is = _TYPE.get(key)
    if type_is == ETH_IPV4 and _PROTO.get(key) == PROTO_IGMP and left & _PORTS:
        raise refuse(Reason.IGMP, "a match on the type or code of IGMP", left & _PORTS)
    if type_is == ETH_IPV6 and _PROTO.get(key) == PROTO_ICMPV6 and left & _ARP:
        raise refuse(Reason.ND, "a match on neighbour discovery", left)
    names = ", ".join(slot.name for slot in SLOTS.values() if slot.mask & left)
    raise refuse(Reason.OTHER_MATCH, f"a match on {names} of this kind of packet", left)


def _exactly_zero(key: int, mask: int, bits: int) -> bool:
    return mask & bits == bits and not key & bits
