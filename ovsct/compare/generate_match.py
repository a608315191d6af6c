"""Matches for generated flows: one row a kind of packet, one row a field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ovsct.compare import draw
from ovsct.compare.draw import ARP, IPV4, IPV6, MPLS, MPLS_MC, OTHER, RARP, Dice, Facts, Fits

KINDS: Final[tuple[tuple[int, int, str, int, int], ...]] = (
    # weight, weight for conntrack, words of the match, Ethernet type, protocol
    (8, 14, "ip", IPV4, 0),
    (8, 12, "tcp", IPV4, 6),
    (6, 6, "udp", IPV4, 17),
    (4, 4, "icmp", IPV4, 1),
    (1, 1, "sctp", IPV4, 132),
    (1, 1, "ip,nw_proto=47", IPV4, 47),
    (5, 6, "ipv6", IPV6, 0),
    (4, 5, "tcp6", IPV6, 6),
    (3, 2, "udp6", IPV6, 17),
    (3, 2, "icmp6", IPV6, 58),
    (1, 0, "sctp6", IPV6, 132),
    (4, 1, "arp", ARP, 0),
    (1, 0, "rarp", RARP, 0),
    (2, 0, "mpls", MPLS, 0),
    (1, 0, "mplsm", MPLS_MC, 0),
    (1, 0, f"dl_type={OTHER:#x}", OTHER, 0),
    (9, 3, "", 0, 0),
)
"""What a flow may be about."""

ND_TYPES: Final = (135, 136)


@dataclass(frozen=True, slots=True)
class Row:
    """A field that a match may name: its registry name, how often, when, and its values."""

    field: str
    share: float
    fits: Fits
    draw: Callable[[Dice], str]
    word: str = ""


def _any(_facts: Facts) -> bool:
    return True


def _v4(facts: Facts) -> bool:
    return facts.dl_type == IPV4


def _v6(facts: Facts) -> bool:
    return facts.dl_type == IPV6


def _ip(facts: Facts) -> bool:
    return facts.ip


def _arp(facts: Facts) -> bool:
    return facts.dl_type in (ARP, RARP)


def _mpls(facts: Facts) -> bool:
    return facts.dl_type in (MPLS, MPLS_MC)


def _proto(*protos: int) -> Fits:
    return lambda facts: facts.ip and facts.proto in protos


def _nd(*types: int) -> Fits:
    return lambda facts: facts.nd in types


def _ct(facts: Facts) -> bool:
    return facts.ct


def _later(facts: Facts) -> bool:
    """Behind table 0 there are registers to match on."""
    return facts.table > 0


def _number(low: int, high: int) -> Callable[[Dice], str]:
    return lambda dice: str(dice.number(low, high))


def _one_of(*values: object) -> Callable[[Dice], str]:
    return lambda dice: str(dice.pick(values))


def _small(bits: int) -> Callable[[Dice], str]:
    return lambda dice: dice.masked_number(dice.number(0, 3), min(bits, 3))


def _tcp_flags(dice: Dice) -> str:
    if dice.chance(0.6):
        return dice.pick(("+syn-ack", "+syn+ack", "+rst", "+fin", "-syn", "+ack", "+psh+ack"))
    return f"{dice.number(0, 0x1F):#x}/{dice.number(1, 0xFFF):#x}"


FRAGMENTS: Final = ("no", "yes", "first", "later", "not_later")

ROWS: Final = (
    Row("in_port", 0.25, _any, _number(1, 4)),
    Row("eth_src", 0.08, _any, draw.mac, "dl_src"),
    Row("eth_dst", 0.12, _any, draw.mac, "dl_dst"),
    Row("pkt_mark", 0.03, _later, _small(32)),
    Row("metadata", 0.08, _later, _small(64)),
    Row("reg0", 0.12, _later, _small(32)),
    Row("reg1", 0.08, _later, _small(32)),
    Row("reg15", 0.02, _later, _small(32)),
    Row("xreg1", 0.02, _later, _small(64)),
    Row("xxreg3", 0.01, _later, _small(128)),
    Row("actset_output", 0.02, _later, _one_of(1, 2, "UNSET")),
    Row("tun_id", 0.01, _any, _one_of(0, "0/0x1", 5)),
    Row("tun_src", 0.005, _any, _one_of("0.0.0.0", "1.2.3.4")),
    Row("tun_dst", 0.005, _any, _one_of("0.0.0.0", "1.2.3.4")),
    Row("tun_flags", 0.005, _any, _one_of("+oam", "-oam", "oam")),
    Row("tun_gbp_id", 0.005, _any, _one_of(0, "5/0x7", "0/0x1")),
    Row("tun_gbp_flags", 0.003, _any, _one_of(0, "0x8/0x8", "0x48")),
    Row("tun_erspan_ver", 0.002, _any, _one_of(1, 2)),
    Row("tun_erspan_idx", 0.002, _any, _one_of(0, "0x12345", "0x5/0x7")),
    Row("tun_erspan_dir", 0.002, _any, _one_of(0, 1)),
    Row("tun_erspan_hwid", 0.002, _any, _one_of(0, "0x21")),
    Row("tun_gtpu_flags", 0.002, _any, _one_of(0, "0x30")),
    Row("tun_gtpu_msgtype", 0.002, _any, _one_of(0, 255)),
    Row("tun_ipv6_src", 0.005, _any, _one_of("::", "fc00::1")),
    Row("tun_ipv6_dst", 0.005, _any, _one_of("::", "fc00::1")),
    Row("ct_zone", 0.08, _any, _one_of(*draw.ZONES)),
    Row("ct_mark", 0.12, _any, _small(32)),
    Row("ct_label", 0.08, _any, _one_of("0", "1", f"0x8{0:031x}", "1/0x3", f"0/0x8{1:031x}")),
    Row("vlan_tci", 0.06, _any,
        _one_of("0/0x1fff", "0x1000/0x1000", "0x1005", "0x1005/0x1fff", "0/0x1000")),
    Row("ip_src", 0.25, _v4, draw.v4, "nw_src"),
    Row("ip_dst", 0.30, _v4, draw.v4, "nw_dst"),
    Row("ipv6_src", 0.25, _v6, draw.v6),
    Row("ipv6_dst", 0.30, _v6, draw.v6),
    Row("ipv6_label", 0.06, _v6, _one_of("0", "0x12345", "0/0xf0000", "0x5/0xf")),
    Row("nw_tos", 0.04, _ip, _one_of(0, 16, 184)),
    Row("ip_dscp", 0.02, _ip, _one_of(0, 4, 46)),
    Row("nw_ecn", 0.03, _ip, _number(0, 3)),
    Row("nw_ttl", 0.05, _ip, _one_of(64, 63, 1, 255)),
    Row("ip_frag", 0.06, _ip, _one_of(*FRAGMENTS), "nw_frag"),
    Row("arp_op", 0.4, _arp, _one_of(1, 2)),
    Row("arp_spa", 0.25, _arp, draw.v4),
    Row("arp_tpa", 0.25, _arp, draw.v4),
    Row("arp_sha", 0.15, _arp, draw.mac),
    Row("arp_tha", 0.15, _arp, draw.mac),
    Row("tcp_src", 0.2, _proto(6), draw.port, "tp_src"),
    Row("tcp_dst", 0.35, _proto(6), draw.port, "tp_dst"),
    Row("tcp_flags", 0.12, _proto(6), _tcp_flags),
    Row("udp_src", 0.2, _proto(17), draw.port, "tp_src"),
    Row("udp_dst", 0.35, _proto(17), draw.port, "tp_dst"),
    Row("sctp_src", 0.2, _proto(132), draw.port, "tp_src"),
    Row("sctp_dst", 0.3, _proto(132), draw.port, "tp_dst"),
    Row("icmp_type", 0.3, lambda f: f.dl_type == IPV4 and f.proto == 1, _one_of(8, 0, 3, 11)),
    Row("icmp_code", 0.15, lambda f: f.dl_type == IPV4 and f.proto == 1, _one_of(0, 1, 3)),
    Row("icmpv6_type", 0.2, lambda f: f.dl_type == IPV6 and f.proto == 58 and not f.nd,
        _one_of(128, 129, 1, 3, 135)),
    Row("icmpv6_code", 0.1, lambda f: f.dl_type == IPV6 and f.proto == 58 and not f.nd,
        _one_of(0, 1, 4)),
    Row("nd_target", 0.5, _nd(135, 136), draw.v6),
    Row("nd_sll", 0.4, _nd(135), draw.mac),
    Row("nd_tll", 0.4, _nd(136), draw.mac),
    Row("nd_reserved", 0.1, _nd(135, 136), _one_of(0, 5, 0x60000000)),
    Row("nd_options_type", 0.1, _nd(135, 136), _one_of(0, 1, 2)),
    Row("mpls_label", 0.4, _mpls, _one_of(5, 16, 0)),
    Row("mpls_tc", 0.15, _mpls, _one_of(0, 3)),
    Row("mpls_bos", 0.3, _mpls, _one_of(0, 1)),
    Row("mpls_ttl", 0.2, _mpls, _one_of(64, 1, 0)),
    Row("ct_nw_proto", 0.3, lambda f: _ct(f) and f.ip, _one_of(6, 17, 1)),
    Row("ct_nw_src", 0.2, lambda f: _ct(f) and _v4(f), draw.v4),
    Row("ct_nw_dst", 0.2, lambda f: _ct(f) and _v4(f), draw.v4),
    Row("ct_ipv6_src", 0.2, lambda f: _ct(f) and _v6(f), draw.v6),
    Row("ct_ipv6_dst", 0.2, lambda f: _ct(f) and _v6(f), draw.v6),
)  # fmt: skip
"""The fields of a match. Those of tags, of conntrack's state and its ports are drawn apart."""

DRAWN_APART: Final = frozenset({
    "eth_type", "nw_proto", "ct_state", "dl_vlan", "dl_vlan_pcp", "vlan_vid", "vlan_pcp",
    "ct_tp_src", "ct_tp_dst", "conj_id",
})  # fmt: skip
"""Fields that a match gets by other ways than a row of :data:`ROWS`."""

CT_STATES: Final = (
    # weight, value, whether original-tuple fields may be named, whether only invalid ones match
    (8, "+trk+new", True, False),
    (8, "+trk+est", True, False),
    (4, "+trk-new", False, False),
    (4, "+trk+rpl", True, False),
    (3, "+trk-rpl+est", True, False),
    (4, "+trk+inv", False, True),
    (2, "+inv", False, True),
    (3, "+trk-inv", True, False),
    (4, "-trk", False, False),
    (5, "+trk", False, False),
    (3, "+trk+rel", True, False),
    (2, "+snat", True, False),
    (2, "+dnat", True, False),
    (2, "+trk-snat", False, False),
    (2, "+est-rpl-rel", True, False),
    (1, "new|trk", True, False),
    (1, "0/0x01", False, False),
    (1, "+new", True, False),
)
_TAGS: Final[tuple[tuple[str, Callable[[Dice], str]], ...]] = (
    ("dl_vlan", lambda d: str(d.pick((5, 6, 0, 4095)))),
    ("dl_vlan_pcp", lambda d: str(d.number(0, 7))),
    ("vlan_vid", lambda d: d.pick(("0x1005", "0x1006", "0x1000/0x1000", "0x1005/0x1007"))),
)


_NOT_LATER: Final = frozenset(
    f"{proto}_{end}" for proto in ("tcp", "udp", "sctp") for end in ("src", "dst", "flags")
)
"""Fields that a flow for later fragments cannot name."""


def draw_match(dice: Dice, table: int) -> tuple[list[str], Facts]:
    """The words of a match for a flow of `table`, and what they promise."""
    kind = dice.weighted([(row[1] if dice.conntrack else row[0], row) for row in KINDS])
    words = [kind[2]] if kind[2] else []
    facts = Facts(table=table, dl_type=kind[3], proto=kind[4])
    if facts.dl_type == IPV6 and facts.proto == 58 and dice.chance(0.4):
        nd = dice.pick(ND_TYPES)
        words += [f"icmp_type={nd}", "icmp_code=0"]
        facts = facts.but(nd=nd)
    if dice.chance(0.1):
        facts = _tag(dice, words, facts)
    # Only what ct() or its absence can have left is worth a match.
    about = 1.2 if dice.conntrack else 0.3 if dice.wide else 1
    if dice.chance((0.65 if table else 0.08) * about):
        _, state, ct, inv = dice.weighted([(row[0], row) for row in CT_STATES])
        words.append(f"ct_state={state}")
        facts = facts.but(ct=ct, inv=inv)
    for row in ROWS:
        share = row.share * (0.35 if not table and row.field.startswith("ct_") else 1)
        if row.fits(facts) and dice.chance(share * (0.3 if dice.wide else 1)):
            if row.field in _NOT_LATER and "nw_frag=later" in words:
                continue
            if row.field == "vlan_tci" and facts.tags:
                continue
            words.append(f"{row.word or row.field}={row.draw(dice)}")
            if row.field == "ct_nw_proto" and words[-1][-1] in "67":
                words += [f"{n}={draw.port(dice)}" for n in ("ct_tp_src", "ct_tp_dst")
                          if dice.chance(0.4)]  # fmt: skip
    return words, _without_ports(words, facts)


def _tag(dice: Dice, words: list[str], facts: Facts) -> Facts:
    name, value = dice.pick(_TAGS)
    words.append(f"{name}={value(dice)}")
    if name == "vlan_vid" and dice.chance(0.5):
        words.append(f"vlan_pcp={dice.number(0, 7)}")
    return facts.but(tags=1)


def _without_ports(words: list[str], facts: Facts) -> Facts:
    """A flow for later fragments has no ports that an action could name."""
    if any(word in ("nw_frag=later",) for word in words):
        return facts.but(proto=0 if facts.ports else facts.proto)
    if any(word.startswith("vlan_tci=0x100") for word in words):
        return facts.but(tags=1)
    return facts
