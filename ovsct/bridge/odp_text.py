"""Megaflows and datapath actions as text, as ``ovs-appctl dpctl/dump-flows`` of 3.1 prints them.

OVS lib/odp-util.c ``odp_flow_format()`` and ``format_odp_actions()``. A field is printed where any
bit of it is matched; attributes stand in the order of the netlink attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ovsct.bridge import odp
from ovsct.bridge.odp_values import (
    ct_state,
    decimal,
    ethernet,
    frag,
    hexadecimal,
    ipv4,
    ipv6,
    nsh_path,
    number8,
    number32,
    octet,
    tcp_flags,
    zero_or_hex,
)
from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.packet.fields import CT_TUPLE_MASK, FIELDS, SLOTS, VLAN_PRESENT
from ovsct.packet.packet import (
    DL_TYPE_NONE,
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_NSH,
    ETH_RARP,
    MPLS_TYPES,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    VLAN_TYPES,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an attribute: its name (empty: the attribute is the member), slot, writer."""

    name: str
    slot: str
    write: Callable[[int, int, int], str]


@dataclass(frozen=True, slots=True)
class AttributeText:
    """An attribute of the printed key and its members."""

    name: str
    members: tuple[Member, ...]


def _attr(name: str, *members: tuple[str, str, Callable[[int, int, int], str]]) -> AttributeText:
    return AttributeText(name, tuple(Member(*member) for member in members))


def _one(name: str, slot: str, write: Callable[[int, int, int], str]) -> AttributeText:
    return _attr(name, ("", slot, write))


_BEFORE_RECIRC: Final = (
    _one("skb_priority", "skb_priority", zero_or_hex),
    _one("skb_mark", "pkt_mark", zero_or_hex),
    _one("ct_state", "ct_state", ct_state),
    _one("ct_zone", "ct_zone", zero_or_hex),
    _one("ct_mark", "ct_mark", zero_or_hex),
    _one("ct_label", "ct_label", zero_or_hex),
)
_CT_PORTS: Final = (("tp_src", "ct_tp_src", decimal), ("tp_dst", "ct_tp_dst", decimal))
_CT_TUPLES: Final = {
    ETH_IPV4: _attr(
        "ct_tuple4", ("src", "ct_nw_src", ipv4), ("dst", "ct_nw_dst", ipv4),
        ("proto", "ct_nw_proto", decimal), *_CT_PORTS,
    ),
    ETH_IPV6: _attr(
        "ct_tuple6", ("src", "ct_ipv6_src", ipv6), ("dst", "ct_ipv6_dst", ipv6),
        ("proto", "ct_nw_proto", decimal), ("src_port", "ct_tp_src", decimal),
        ("dst_port", "ct_tp_dst", decimal),
    ),
}  # fmt: skip
_ETH: Final = _attr("eth", ("src", "dl_src", ethernet), ("dst", "dl_dst", ethernet))
_IPV4: Final = _attr(
    "ipv4", ("src", "nw_src", ipv4), ("dst", "nw_dst", ipv4), ("proto", "nw_proto", decimal),
    ("tos", "nw_tos", hexadecimal), ("ttl", "nw_ttl", decimal), ("frag", "nw_frag", frag),
)  # fmt: skip
_IPV6: Final = _attr(
    "ipv6", ("src", "ipv6_src", ipv6), ("dst", "ipv6_dst", ipv6),
    ("label", "ipv6_label", zero_or_hex), ("proto", "nw_proto", decimal),
    ("tclass", "nw_tos", hexadecimal), ("hlimit", "nw_ttl", decimal), ("frag", "nw_frag", frag),
)  # fmt: skip
_ARP: Final = _attr(
    "arp", ("sip", "nw_src", ipv4), ("tip", "nw_dst", ipv4), ("op", "nw_proto", decimal),
    ("sha", "arp_sha", ethernet), ("tha", "arp_tha", ethernet),
)  # fmt: skip
_NSH: Final = _attr(
    "nsh", ("flags", "nsh_flags", number8), ("ttl", "nsh_ttl", number8),
    ("mdtype", "nsh_mdtype", number8), ("np", "nsh_np", number8), ("", "nsh_path_hdr", nsh_path),
    *((f"c{n}", f"nsh_c{n}", number32) for n in (1, 2, 3, 4)),
)  # fmt: skip
_NETWORK: Final = {ETH_IPV4: _IPV4, ETH_IPV6: _IPV6, ETH_ARP: _ARP, ETH_RARP: _ARP}
_PORTS: Final = (("src", "tp_src", decimal), ("dst", "tp_dst", decimal))
_TYPES: Final = (("type", "tp_src", octet), ("code", "tp_dst", octet))
_TRANSPORT: Final = {
    (ETH_IPV4, PROTO_TCP): "tcp", (ETH_IPV6, PROTO_TCP): "tcp",
    (ETH_IPV4, PROTO_UDP): "udp", (ETH_IPV6, PROTO_UDP): "udp",
    (ETH_IPV4, PROTO_SCTP): "sctp", (ETH_IPV6, PROTO_SCTP): "sctp",
    (ETH_IPV4, PROTO_ICMP): "icmp", (ETH_IPV6, PROTO_ICMPV6): "icmpv6",
}  # fmt: skip
_TRANSPORT_TEXT: Final = {
    name: _attr(name, *(_TYPES if name.startswith("icmp") else _PORTS))
    for name in ("tcp", "udp", "sctp", "icmp", "icmpv6")
}
_ND: Final = _attr(
    "nd", ("target", "nd_target", ipv6), ("sll", "arp_sha", ethernet),
    ("tll", "arp_tha", ethernet),
)  # fmt: skip
_ND_EXT: Final = _attr(
    "nd_ext", ("nd_reserved", "nd_reserved", hexadecimal),
    ("nd_options_type", "nd_options_type", decimal),
)  # fmt: skip
_SETTABLE: Final = {
    text.name: text
    for text in (_ETH, _IPV4, _IPV6, _ARP, _NSH, _ND, _ND_EXT, *_TRANSPORT_TEXT.values(),
                 *_BEFORE_RECIRC[:2])
}  # fmt: skip
KEY_ATTRIBUTES: Final = (
    *_BEFORE_RECIRC, *_CT_TUPLES.values(), _one("recirc_id", "recirc_id", zero_or_hex),
    _one("dp_hash", "dp_hash", zero_or_hex), _ETH, _IPV4, _IPV6, _ARP, _NSH,
    *_TRANSPORT_TEXT.values(),
    _one("tcp_flags", "tcp_flags", tcp_flags), _ND, _ND_EXT,
)  # fmt: skip
"""What a printed key can hold besides ports, types, tags and labels, which are no plain slots."""

_LSES: Final = ("mpls_lse", "mpls_lse1", "mpls_lse2")
_BOS: Final = 0x100
_RECIRC = SLOTS["recirc_id"]
_IN_PORT = SLOTS["in_port"]
_DL_TYPE = SLOTS["dl_type"]
_PACKET_TYPE = SLOTS["packet_type"]
_PROTO = SLOTS["nw_proto"]
_CT_PROTO = SLOTS["ct_nw_proto"]


_ONES: Final = {"ipv6_label": FIELDS["ipv6_label"].ones}
"""What counts as a full mask where that is not all of the slot."""


def _attribute(text: AttributeText, key: int, mask: int) -> str | None:
    parts = []
    for member in text.members:
        slot = SLOTS[member.slot]
        bits = slot.get(mask)
        if bits:
            value = member.write(slot.get(key), bits, _ONES.get(member.slot, slot.ones))
            parts.append(f"{member.name}={value}" if member.name else value)
    return f"{text.name}({','.join(parts)})" if parts else None


def _mpls(key: int, mask: int) -> str | None:
    """All labels that the packet shows, with masks unless every one is matched exactly."""
    stack = []
    for name in _LSES:
        lse, bits = SLOTS[name].get(key), SLOTS[name].get(mask)
        if lse or bits:
            stack.append((lse, bits))
        if lse & _BOS:
            break
    if not any(bits for _, bits in stack):
        return None
    exact = all(bits == 0xFFFFFFFF for _, bits in stack)
    return f"mpls({','.join(_label(lse, bits, exact) for lse, bits in stack)})"


def _label(lse: int, bits: int, exact: bool) -> str:
    if exact:
        return _stack_entry(lse)
    return (
        f"label={lse >> 12}/{bits >> 12:#x},tc={lse >> 9 & 7}/{bits >> 9 & 7:x},"
        f"ttl={lse & 255}/{bits & 255:#x},bos={lse >> 8 & 1}/{bits >> 8 & 1:x}"
    )


def _vlan(tci: int, mask: int) -> str:
    parts = []
    for name, value, bits, ones in (
        ("vid", tci & 0xFFF, mask & 0xFFF, 0xFFF),
        ("pcp", tci >> 13, mask >> 13, 7),
    ):
        if value or bits:
            parts.append(f"{name}={value}" + (f"/{bits:#x}" if bits != ones else ""))
    return f"vlan({','.join(parts)})"


def _nsh_key(key: int, mask: int) -> str:
    """Always there; contexts that only metadata of type 1 has are shown as matched for others."""
    if SLOTS["nsh_mdtype"].get(key) != 1:
        mask |= _NSH_CONTEXTS
        key &= ~_NSH_CONTEXTS
    return _attribute(_NSH, key, mask) or "nsh()"


_NSH_CONTEXTS: Final = sum(SLOTS[f"nsh_c{n}"].mask for n in (1, 2, 3, 4))


def format_key(key: int, mask: int) -> str:
    """A megaflow's match. `key` and `mask` in key layout; `key` may have bits beyond the mask."""
    parts: list[str | None] = [_attribute(text, key, mask) for text in _BEFORE_RECIRC]
    dl_type = _DL_TYPE.get(key)
    if dl_type in _CT_TUPLES:
        parts.append(_attribute(_CT_TUPLES[dl_type], key, mask))
    parts.append(f"recirc_id({zero_or_hex(_RECIRC.get(key), _RECIRC.get(mask), 0xFFFFFFFF)})")
    parts.append(_attribute(_one("dp_hash", "dp_hash", zero_or_hex), key, mask))
    parts.append(f"in_port({_IN_PORT.get(key)})")
    packet_type = _PACKET_TYPE.get(key)
    parts.append(f"packet_type(ns={packet_type >> 16},id={_hex(packet_type & 0xFFFF)})")
    parts.append(_attribute(_ETH, key, mask))
    closing = ""
    for tci_name, tpid_name in (("vlan_tci", "vlan_tpid"), ("vlan_tci1", "vlan_tpid1")):
        tci = SLOTS[tci_name].get(key)
        bits = SLOTS[tci_name].get(mask)
        if not (tci & VLAN_PRESENT and bits):
            break
        # The kernel prints a type of 0 where it does not match on that of a second tag.
        tpid = SLOTS[tpid_name].get(key & mask if tpid_name == "vlan_tpid1" else key)
        parts.append(f"eth_type({tpid:#06x})")
        parts.append(_vlan(tci, bits))
        parts.append("encap(")
        closing += ")"
    parts.append("eth_type(0/0xffff)" if dl_type == DL_TYPE_NONE else f"eth_type({dl_type:#06x})")
    if dl_type in VLAN_TYPES and not closing:
        # A frame that ends where its tag should be.
        parts.append("vlan(vid=0,cfi=0),encap()")
    if dl_type in MPLS_TYPES:
        parts.append(_mpls(key, mask))
    if dl_type == ETH_NSH:
        parts.append(_nsh_key(key, mask))
    elif dl_type in _NETWORK:
        parts.append(_attribute(_NETWORK[dl_type], key, mask))
    parts.extend(_transport(key, mask, dl_type))
    return _join(parts) + closing


def _transport(key: int, mask: int, dl_type: int) -> list[str | None]:
    if not _PROTO.get(mask):
        return []
    proto = _PROTO.get(key)
    name = _TRANSPORT.get((dl_type, proto))
    if name is None:
        return []
    parts: list[str | None] = [_attribute(_TRANSPORT_TEXT[name], key, mask)]
    if name == "tcp" and SLOTS["tcp_flags"].get(mask):
        flags, bits = SLOTS["tcp_flags"].get(key), SLOTS["tcp_flags"].get(mask)
        parts.append(f"tcp_flags({tcp_flags(flags, bits, 0xFFF)})")
    # Where type and code are not matched in full, OVS does not print what is behind them.
    exact = SLOTS["tp_src"].get(mask) & SLOTS["tp_dst"].get(mask) & 0xFF == 0xFF
    if name == "icmpv6" and SLOTS["tp_src"].get(key) in (135, 136) and exact:
        # Matched, but not shown: flags and option type (lib/dpif-netdev.c dp_netdev_support).
        parts.append(_attribute(_ND, key, mask))
    return parts


def _join(parts: Sequence[str | None]) -> str:
    text = ",".join(part for part in parts if part)
    return text.replace("encap(,", "encap(")


def _nat(nat: Nat) -> str:
    if nat.kind is NatKind.RESTORE:
        return "nat"
    write = ipv4 if nat.family == 4 else ipv6
    ones = 0xFFFFFFFF if nat.family == 4 else (1 << 128) - 1
    text = str(nat.kind)
    bracket = nat.family == 6
    if nat.addr_min:
        low = write(nat.addr_min, ones, ones)
        text += f"=[{low}" if bracket and nat.port_min else f"={low}"
        if nat.addr_max > nat.addr_min:
            text += f"-{write(nat.addr_max, ones, ones)}"
        if bracket and nat.port_min:
            text += "]"
    elif nat.port_min:
        text += "="
    if nat.port_min:
        text += f":{nat.port_min}"
        if nat.port_max > nat.port_min:
            text += f"-{nat.port_max}"
    for flag in ("persistent", "hash", "random"):
        if getattr(nat, flag):
            text += f",{flag}"
    return f"nat({text})"


def _ct(track: Track) -> str:
    parts = []
    if track.commit:
        parts.append("force_commit" if track.force else "commit")
    if track.zone:
        parts.append(f"zone={track.zone}")
    if track.mark is not None:
        parts.append(f"mark={_hex(track.mark[0])}/{_hex(track.mark[1])}")
    if track.label is not None:
        parts.append(f"label={zero_or_hex(*track.label, SLOTS['ct_label'].ones)}")
    if track.helper:
        parts.append(f"helper={track.helper}")
    if track.timeout:
        parts.append(f"timeout={track.timeout}")
    if track.nat is not None:
        parts.append(_nat(track.nat))
    return f"ct({','.join(parts)})" if parts else "ct"


_MAC: Final = (1 << 48) - 1


def _stack_entry(lse: int) -> str:
    return f"label={lse >> 12},tc={lse >> 9 & 7},ttl={lse & 255},bos={lse >> 8 & 1}"


def _push_nsh(action: odp.PushNsh) -> str:
    flags, ttl, kind, np, path = (
        SLOTS[f"nsh_{name}"].get(action.key)
        for name in ("flags", "ttl", "mdtype", "np", "path_hdr")
    )
    parts = [
        f"flags={flags & 3},ttl={ttl & 0x3F},mdtype={kind},np={np}",
        f"spi={path >> 8:#x},si={path & 0xFF}",
    ]
    if kind == 1:
        parts += (f"c{n}={SLOTS[f'nsh_c{n}'].get(action.key):#x}" for n in (1, 2, 3, 4))
    elif kind == 2:
        parts.append(f"md2={_hex(int.from_bytes(action.metadata, 'big'))}")
    else:
        parts.append("<error: unknown mdtype>")
    return ",".join(parts)


def _set(action: odp.Set) -> str:
    if action.attribute == "mpls":
        return f"set(mpls({_stack_entry(SLOTS['mpls_lse'].get(action.value))}))"
    return f"set({_attribute(_SETTABLE[action.attribute], action.value, action.mask)})"


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


_REASONS: Final = (
    "no_match", "action", "invalid_ttl", "action_set", "group", "packet_out", "explicit_miss",
)  # fmt: skip
"""OVS enum ofp_packet_in_reason."""


def _userspace(action: odp.Userspace) -> str:
    return (
        f"userspace(pid=0,controller(reason={_REASONS.index(action.reason)},"
        f"dont_send={int(action.dont_send)},continuation={int(action.continuation)},"
        f"recirc_id={action.recirc_id},rule_cookie={_hex(action.cookie)},"
        f"controller_id={action.controller_id},max_len={action.max_len}))"
    )


_ACTION_TEXT: Final[dict[type, Callable[[Any], str]]] = {
    odp.Output: lambda a: str(a.port),
    odp.Set: _set,
    odp.PushVlan: lambda a: "push_vlan("
    + (f"tpid={a.tpid:#06x}," if a.tpid != 0x8100 else "")
    + f"vid={a.tci & 0xFFF},pcp={a.tci >> 13})",
    odp.PopVlan: lambda a: "pop_vlan",
    odp.PushMpls: lambda a: f"push_mpls({_stack_entry(a.lse)},eth_type={a.ethertype:#x})",
    odp.PopMpls: lambda a: f"pop_mpls(eth_type={a.ethertype:#x})",
    odp.AddMpls: lambda a: f"add_mpls({_stack_entry(a.lse)},eth_type={a.ethertype:#x})",
    odp.PushEth: lambda a: f"push_eth(src={ethernet(a.src, _MAC, _MAC)},"
    f"dst={ethernet(a.dst, _MAC, _MAC)})",
    odp.PopEth: lambda a: "pop_eth",
    odp.PushNsh: lambda a: f"push_nsh({_push_nsh(a)})",
    odp.PopNsh: lambda a: "pop_nsh()",
    odp.Ct: lambda a: _ct(a.track),
    odp.CtClear: lambda a: "ct_clear",
    odp.Recirc: lambda a: f"recirc({a.recirc_id:#x})",
    odp.Clone: lambda a: f"clone({format_actions(a.actions)})",
    odp.Userspace: _userspace,
    odp.Hash: lambda a: f"hash({'sym_l4' if a.algorithm else 'l4'}({a.basis}))",
    odp.Trunc: lambda a: f"trunc({a.max_len})",
    odp.Meter: lambda a: f"meter({a.meter_id})",
    odp.CheckPktLen: lambda a: f"check_pkt_len(size={a.length},gt({format_actions(a.greater)}),"
    f"le({format_actions(a.less_equal)}))",
}


def format_actions(actions: Sequence[odp.OdpAction]) -> str:
    """Datapath actions; an empty list is ``drop``."""
    return ",".join(_ACTION_TEXT[type(action)](action) for action in actions) or "drop"


_FLAG_LETTERS: Final = "FSRP.UEC"


def format_megaflow(flow: odp.Megaflow, now: float, *, kernel: bool = False) -> str:
    """One line of ``dpctl/dump-flows`` at `now` (seconds), by a `kernel` or in userspace."""
    if flow.used is None:
        used = "never"
    else:
        used = f"{max(0.0, now - flow.used):.3f}s"
    mask = flow.mask
    if not _CT_PROTO.get(flow.key if kernel else flow.whole_key):
        # OVS odp_flow_key_from_flow__(): no tuple without a protocol, not even where it is matched.
        # The kernel asks the key under its mask (net/openvswitch/conntrack.c, ovs_ct_put_key()).
        mask &= ~CT_TUPLE_MASK
    text = (
        f"{format_key(flow.whole_key, mask)}, packets:{flow.packets}, bytes:{flow.bytes},"
        f" used:{used}"
    )
    if flow.tcp_flags:
        letters = "".join(
            letter for bit, letter in enumerate(_FLAG_LETTERS) if flow.tcp_flags >> bit & 1
        )
        text += f", flags:{letters}"
    if flow.slow is not None:
        return f"{text}, actions:userspace(pid=0,slow_path({flow.slow}))"
    return f"{text}, actions:{format_actions(flow.actions)}"
