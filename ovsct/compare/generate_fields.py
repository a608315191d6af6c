"""Fields that generated actions read and write: one row a way of setting, one row a subfield."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ovsct.compare import draw
from ovsct.compare.draw import ARP, IPV4, IPV6, MPLS, MPLS_MC, RARP, Dice, Facts, Fits
from ovsct.packet.fields import FIELDS, Prereq
from ovsct.packet.packet import ETH_NSH


def _any(_facts: Facts) -> bool:
    return True


_WHEN: Final[dict[Prereq, Fits]] = {
    Prereq.NONE: _any,
    Prereq.ETHERNET: _any,
    Prereq.VLAN: lambda f: f.tags > 0,
    Prereq.ARP: lambda f: f.dl_type in (ARP, RARP),
    Prereq.IPV4: lambda f: f.dl_type == IPV4,
    Prereq.IPV6: lambda f: f.dl_type == IPV6,
    Prereq.IP: lambda f: f.ip,
    Prereq.MPLS: lambda f: f.dl_type in (MPLS, MPLS_MC),
    Prereq.NSH: lambda f: f.dl_type == ETH_NSH,
    Prereq.TCP: lambda f: f.ip and f.proto == 6,
    Prereq.UDP: lambda f: f.ip and f.proto == 17,
    Prereq.SCTP: lambda f: f.ip and f.proto == 132,
    Prereq.ICMPV4: lambda f: f.dl_type == IPV4 and f.proto == 1,
    Prereq.ICMPV6: lambda f: f.dl_type == IPV6 and f.proto == 58,
    Prereq.ND: lambda f: f.nd in (135, 136),
    Prereq.ND_SOLICIT: lambda f: f.nd == 135,
    Prereq.ND_ADVERT: lambda f: f.nd == 136,
    Prereq.CT: lambda f: f.ct,
    Prereq.CT_IPV4: lambda f: f.ct and f.dl_type == IPV4,
    Prereq.CT_IPV6: lambda f: f.ct and f.dl_type == IPV6,
}


@dataclass(frozen=True, slots=True)
class Set:
    """A way to set a field: its text, when it fits, and what is known of a tag behind it.

    `tags` is True if there is one, False if there may be none, None if it is as before.
    """

    weight: int
    fits: Fits
    draw: Callable[[Dice], str]
    tags: bool | None = None


def _set(
    field: str,
    values: Callable[[Dice], str],
    weight: int = 3,
    fits: Fits | None = None,
    tags: bool | None = None,
) -> Set:
    return Set(
        weight,
        fits or _WHEN[FIELDS[field].prereq],
        lambda dice: f"set_field:{values(dice)}->{field}",
        tags,
    )


def _word(word: str, values: Callable[[Dice], str], fits: Fits, tags: bool | None = None) -> Set:
    return Set(1, fits, lambda dice: f"{word}:{values(dice)}", tags)


def _load(
    into: str, values: Callable[[Dice], str], fits: Fits, tags: bool | None = None
) -> Set:
    return Set(1, fits, lambda dice: f"load:{values(dice)}->{into}", tags)


def _of(*values: object) -> Callable[[Dice], str]:
    return lambda dice: str(dice.pick(values))


def _masked(bits: int, *values: int) -> Callable[[Dice], str]:
    return lambda dice: dice.masked_number(dice.pick(values), bits, 0.4)


# The value of an action has no bit outside of its mask, or a switch refuses it.
_MASKED_V4: Final = ("10.0.0.0/255.0.0.0", "0.0.0.7/0.0.0.255", "0.0.1.0/0.0.3.1")
_MASKED_V6: Final = ("fc00::/ffff::", "::7/::ff", "::2/::3")
_MASKED_MACS: Final = ("02:00:00:00:00:00/ff:ff:ff:00:00:00", "00:00:00:00:00:03/00:00:00:00:00:03")


def _v4(dice: Dice) -> str:
    return dice.pick(_MASKED_V4) if dice.chance(0.2) else dice.pick(draw.V4)


def _v6(dice: Dice) -> str:
    return dice.pick(_MASKED_V6) if dice.chance(0.2) else dice.pick(draw.V6)


def _mac(dice: Dice) -> str:
    return dice.pick((*draw.MACS, *_MASKED_MACS)) if dice.chance(0.3) else dice.pick(draw.MACS)


def _port(dice: Dice) -> str:
    return dice.masked_number(dice.pick(draw.PORTS), 16, 0.2)


def _ipv4(facts: Facts) -> bool:
    return facts.dl_type == IPV4


def _ip(facts: Facts) -> bool:
    return facts.ip


def _ports(facts: Facts) -> bool:
    return facts.ports


def _few_tags(facts: Facts) -> bool:
    """Whether none is left behind the outer one."""
    return facts.tags < 2


_REG: Final = _masked(3, 0, 1, 2, 3)

SETS: Final = (
    _set("eth_src", _mac), _set("eth_dst", _mac),
    _set("vlan_vid", _of("0x1005", "0x1007", "0x1005/0x1007"), fits=_WHEN[Prereq.VLAN]),
    _set("vlan_pcp", _of(0, 3, 7)),
    _set("vlan_tci", _of("0x1005", "0x3006"), 1, tags=True),
    _set("vlan_tci", _of("0", "0x5"), 1, _few_tags, tags=False),
    _set("mpls_label", _of(5, 16, 1000)), _set("mpls_tc", _of(0, 5)), _set("mpls_ttl", _of(1, 64)),
    _set("ip_src", _v4, 6), _set("ip_dst", _v4, 6),
    _set("ipv6_src", _v6, 5), _set("ipv6_dst", _v6, 5), _set("ipv6_label", _of("0x1", "0x54321")),
    _set("nw_tos", _of(0, 16, 184)), _set("ip_dscp", _of(0, 4, 46)), _set("nw_ecn", _of(0, 3)),
    _set("nw_ttl", _of(64, 63, 1, 0)),
    _set("arp_op", _of(1, 2)), _set("arp_spa", _v4), _set("arp_tpa", _v4),
    _set("arp_sha", _mac), _set("arp_tha", _mac),
    _set("tcp_src", _port, 5), _set("tcp_dst", _port, 5),
    _set("udp_src", _port, 5), _set("udp_dst", _port, 5),
    _set("sctp_src", _port), _set("sctp_dst", _port),
    _set("icmp_type", _of(8, 0, 3)), _set("icmp_code", _of(0, 1)),
    _set("icmpv6_type", _of(128, 129), fits=lambda f: _WHEN[Prereq.ICMPV6](f) and not f.nd),
    _set("icmpv6_code", _of(0, 1), fits=lambda f: _WHEN[Prereq.ICMPV6](f) and not f.nd),
    _set("nd_target", _v6), _set("nd_sll", _mac), _set("nd_tll", _mac),
    _set("nd_reserved", _of(0, 5)), _set("nd_options_type", _of(1, 2)),
    _set("reg0", _REG, 8), _set("reg1", _REG, 5), _set("reg15", _REG, 1),
    _set("xreg1", _masked(40, 1, 1 << 33), 1), _set("xxreg3", _masked(100, 1, 1 << 99), 1),
    _set("metadata", _masked(3, 0, 1, 2), 3), _set("pkt_mark", _masked(32, 1, 2), 2),
    _set("tun_id", _masked(5, 0, 5), 1), _set("in_port", _of(1, 2, 3), 1),
    _set("tun_src", _of("1.2.3.4"), 1), _set("tun_dst", _of("0.0.0.0", "1.2.3.4"), 1),
    _set("tun_ipv6_src", _of("::", "fc00::1"), 1), _set("tun_ipv6_dst", _of("::", "fc00::1"), 1),
    _set("tun_flags", _of("oam", "0/1", "+oam"), 1),
    _set("tun_gbp_id", _masked(3, 0, 5), 1), _set("tun_gbp_flags", _masked(7, 0, 0x48), 1),
    _set("tun_erspan_ver", _of(1, 2), 1), _set("tun_erspan_idx", _of(0, 0x12345), 1),
    _set("tun_erspan_dir", _of(0, 1), 1), _set("tun_erspan_hwid", _of(0, 0x21), 1),
    _load("NXM_NX_REG0[0..15]", _of(1, 2, 3), _any), _load("NXM_OF_IN_PORT[]", _of(1, 2, 0), _any),
    _load("NXM_OF_ETH_DST[0..7]", _of(1, 0xFF), _any), _load("reg1[16..31]", _of(0, 1, 2), _any),
    _load("NXM_OF_IP_DST[0..7]", _of(1, 2), _ipv4),
    # OVS takes what is loaded for the whole TCI, and there is no "present" bit in it.
    _load("NXM_OF_VLAN_TCI[0..11]", _of(5), _few_tags, tags=False),
    _load("NXM_NX_IP_TTL[]", _of(1, 64), _ip),
    _word("set_mpls_label", _of(5, 16, 1000), _WHEN[Prereq.MPLS]),
    _word("set_mpls_tc", _of(0, 5), _WHEN[Prereq.MPLS]),
    _word("mod_vlan_vid", _of(5, 6), _WHEN[Prereq.VLAN], tags=True),
    _word("mod_vlan_pcp", _of(0, 5), _WHEN[Prereq.VLAN], tags=True),
    _word("mod_dl_src", _of(*draw.MACS), _any), _word("mod_dl_dst", _of(*draw.MACS), _any),
    _word("mod_nw_src", _of(*draw.V4), _ipv4), _word("mod_nw_dst", _of(*draw.V4), _ipv4),
    _word("mod_nw_ecn", _of(0, 2), _ip),
    _word("mod_nw_ttl", _of(64, 1), _ip),
    _word("mod_tp_src", _of(*draw.PORTS), _ports), _word("mod_tp_dst", _of(*draw.PORTS), _ports),
)  # fmt: skip
"""The ways of setting a field."""


@dataclass(frozen=True, slots=True)
class Readable:
    """A field that a subfield can be of: the name in actions, its width in bits, when it fits."""

    name: str
    width: int
    fits: Fits


_NOT_READ: Final = frozenset({
    # Prerequisites of their own that the facts do not follow.
    "nd_reserved", "nd_options_type", "tun_gbp_id", "tun_gbp_flags",
    "tun_flags", "tun_ttl", "tun_tos", "skb_priority", "packet_type", "recirc_id", "dp_hash",
    "conj_id", "in_port_oxm", "actset_output",
    # OpenFlow has no number for them.
    "dl_vlan", "dl_vlan_pcp",
    # OVS keeps more bits of these than the key does.
    "ct_state", "arp_op",
})  # fmt: skip


def _readable(writable: bool) -> tuple[Readable, ...]:
    return tuple(
        # OVS does not count the "present" bit of vlan_vid.
        Readable(
            field.name, 12 if field.name == "vlan_vid" else field.wire_width, _WHEN[field.prereq]
        )
        for field in FIELDS.values()
        if field.name not in _NOT_READ and not field.name.startswith("tun_metadata")
        and not (writable and (not field.writable or field.name.startswith(("ct_", "tun_"))))
        and not (writable and field.name in ("vlan_vid", "dl_vlan", "dl_vlan_pcp", "eth_type"))
    )


READABLE: Final = _readable(False)
"""What ``move`` and ``push`` read."""

WRITABLE: Final = _readable(True)
"""What ``move`` and ``pop`` write."""
