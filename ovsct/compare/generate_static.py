"""Generated pipelines that can be TC rule sets, with conversations that TC and OVS agree about.

Left out is what is known to differ (docs/refusals.md, "What differs"): fragments, RST and FIN, bad
checksums, related connections, packets that conntrack finds invalid, long waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final, TypeAlias

from ovsct.compare.case import Case, Shot
from ovsct.compare.draw import Dice

Talk: TypeAlias = Iterator[tuple[int, str]]
"""Ports and packets, in order."""

_TABLES: Final = 5
_V4: Final = ("10.0.0.1", "10.0.0.2", "10.0.1.1")
_NAT: Final = "10.0.9.9"
_MATCHES: Final = (
    "ip", "tcp", "udp", "icmp", "tcp,tp_dst=80", "tcp,tp_dst=0x50/0xfff0", "udp,tp_dst=53",
    "tcp,nw_dst=10.0.0.2", "ip,nw_src=10.0.0.0/24", "ip,nw_ttl=64", "ip,nw_tos=0",
    "tcp,tp_src=1000", "tcp,tcp_flags=+syn", "icmp,icmp_type=8",
)  # fmt: skip
_OTHERS: Final = ("arp", "arp,arp_op=1", "ipv6", "tcp6", "tcp6,ipv6_dst=fc00::2", "udp6")
_KNOWN: Final = ("reg0=0", "reg0=1", "reg1=0x10/0xf0", "metadata=0x5/0xf", "reg1=0")
_TAGS: Final = ("strip_vlan", "mod_vlan_vid:7", "push_vlan:0x8100,set_field:4102->vlan_vid")
_CT_STATES: Final = (
    "+trk+new", "+trk+est", "+trk-new", "+trk", "+trk+est+rpl", "+trk+est-rpl", "-trk",
)  # fmt: skip


def _match(dice: Dice, table: int, tracked: bool) -> list[str]:
    words = []
    if dice.chance(0.9):
        words.append(dice.pick(_MATCHES if tracked or dice.chance(0.75) else _OTHERS))
    if dice.chance(0.2):
        words.append(f"in_port={dice.pick((1, 2))}")
    if dice.chance(0.1) and words:
        words.append(dice.pick(("dl_vlan=5", "vlan_tci=0/0x1fff", "dl_vlan_pcp=1")))
    if table and dice.chance(0.35):
        words.append(dice.pick(_KNOWN))
    if dice.chance(0.5 if tracked else 0.15):
        words.append(f"ct_state={dice.pick(_CT_STATES)}")
        if dice.chance(0.25):
            words.append(dice.pick(("ct_mark=0", "ct_mark=5/0xf", "ct_zone=1", "ct_label=0/0x1")))
    return words


def _is_ip(match: list[str]) -> bool:
    return bool(match) and match[0].split(",")[0] in ("ip", "tcp", "udp", "icmp")


def _edits(dice: Dice, match: list[str]) -> Iterator[str]:
    if dice.chance(0.2):
        yield dice.pick((
            "set_field:1->reg0", "load:0x1->NXM_NX_REG1[4..7]", "set_field:0x5->metadata",
            "move:NXM_NX_REG0[0..3]->NXM_NX_REG1[0..3]", "set_field:3->pkt_mark",
        ))  # fmt: skip
    if dice.chance(0.1):
        yield dice.pick(("mod_dl_src:02:00:00:00:00:99", "mod_dl_dst:02:00:00:00:00:98"))
    if not _is_ip(match):
        return
    if dice.chance(0.12):
        yield dice.pick(("mod_nw_tos:16", "mod_nw_dst:10.0.0.2", "mod_nw_src:10.0.1.1", "dec_ttl"))
    if dice.chance(0.1) and match[0].split(",")[0] in ("tcp", "udp"):
        yield dice.pick(("mod_tp_dst:80", "mod_tp_src:1000"))
    if dice.chance(0.08):
        yield dice.pick(_TAGS)


def _ct(dice: Dice, table: int | None) -> str:
    words = [f"zone={dice.pick((1, 1, 2))}"]
    if dice.chance(0.45):
        words.append("commit")
        if dice.chance(0.3):
            words.append(dice.pick((
                "exec(set_field:5->ct_mark)", "exec(load:0x1->NXM_NX_CT_MARK[0])",
                "exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[])", "exec(set_field:0x1->ct_label)",
            )))  # fmt: skip
        if dice.chance(0.25):
            where = dice.pick((f"src={_NAT}", f"dst={_NAT}", f"src={_NAT}:7000"))
            words.append(f"nat({where})")
    elif dice.chance(0.3):
        words.append("nat")
    if table is not None:
        words.append(f"table={table}")
    return f"ct({','.join(words)})"


def _outputs(dice: Dice) -> str:
    return dice.pick((
        "output:2", "output:1", "output:2", "output:3", "output:3,output:2", "flood", "in_port",
        "output:2,output:2", "group:1", "note:01,output:2",
    ))  # fmt: skip


def _actions(dice: Dice, table: int, match: list[str]) -> str:
    later = list(range(table + 1, _TABLES))
    parts = list(_edits(dice, match))
    kind = dice.random.random()
    if kind < 0.3 and later and _is_ip(match):
        parts.append(_ct(dice, dice.pick(later)))
        if dice.chance(0.15):
            parts.append("output:3")
    elif kind < 0.45 and _is_ip(match):
        parts += [_ct(dice, None), _outputs(dice)]
    elif kind < 0.7 and later:
        if dice.chance(0.15):
            parts.append(f"resubmit(,{_TABLES})")
        parts.append(dice.pick((f"resubmit(,{dice.pick(later)})", f"goto_table:{later[0]}")))
    elif kind < 0.93:
        parts.append(_outputs(dice))
        if dice.chance(0.1):
            parts += [*_edits(dice, match), _outputs(dice)]
    elif kind < 0.96:
        parts += ["ct_clear", _outputs(dice)]
    return ",".join(parts) or "drop"


def _flows(dice: Dice) -> Iterator[str]:
    priority = 1000
    tracked: set[int] = set()
    for table in range(_TABLES):
        for _ in range(dice.number(2, 5)):
            match = _match(dice, table, table in tracked)
            actions = _actions(dice, table, match)
            tracked |= {at for at in range(_TABLES) if f"table={at})" in actions}
            priority -= 1
            words = ",".join([f"table={table}", f"priority={priority}", *match])
            yield f"{words} actions={actions}"
        if dice.chance(0.4):
            yield f"table={table},priority=1 actions={dice.pick(('output:2', 'drop', 'flood'))}"
    yield f"table={_TABLES} actions=set_field:1->reg0,output:3"


# -- packets ---------------------------------------------------------------------------------------


def _tcp(dice: Dice, a: str, b: str, ports: tuple[int, int], tag: str) -> Talk:
    source, target = ports
    go, back = f"tcp {a}:{source} > {b}:{target}", f"tcp {b}:{target} > {a}:{source}"
    mine, its = dice.number(1, 9999), dice.number(1, 9999)
    yield 1, f"{go} S seq {mine}{tag}"
    yield 2, f"{back} SA seq {its} ack {mine + 1}{tag}"
    yield 1, f"{go} A seq {mine + 1} ack {its + 1}{tag}"
    for _ in range(dice.number(0, 3)):
        yield 1, f"{go} PA seq {mine + 1} ack {its + 1} len 30{tag}"
        mine += 30
        yield 2, f"{back} A seq {its + 1} ack {mine + 1}{tag}"


def _udp(dice: Dice, a: str, b: str, ports: tuple[int, int], tag: str) -> Talk:
    source, target = ports
    for _ in range(dice.number(1, 3)):
        yield 1, f"udp {a}:{source} > {b}:{target} len 30{tag}"
        if dice.chance(0.7):
            yield 2, f"udp {b}:{target} > {a}:{source} len 30{tag}"


def _icmp(dice: Dice, a: str, b: str, ports: tuple[int, int], tag: str) -> Talk:
    yield 1, f"icmp {a} > {b} echo id {ports[0]} seq 1 len 30{tag}"
    yield 2, f"icmp {b} > {a} reply id {ports[0]} seq 1 len 30{tag}"


def _talks(dice: Dice) -> Talk:
    for number in range(dice.number(2, 4)):
        tag = dice.pick(("", "", "", "", " vlan 5", " vlan 0x2006"))
        kind = dice.random.random()
        ports = (1000 + number, dice.pick((80, 53, 443)))
        ends = dice.pick((("10.0.0.1", "10.0.0.2"), ("10.0.1.1", "10.0.0.2"), ("10.0.0.1", _NAT)))
        talk = _tcp if kind < 0.55 else _udp if kind < 0.8 else _icmp
        if kind > 0.92:
            ends, talk = ("[fc00::1]", "[fc00::2]"), _tcp
        yield from talk(dice, *ends, ports, tag)
        if dice.chance(0.2):
            yield 1, f"tcp {ends[0]}:99 > {ends[1]}:80 S ttl {dice.pick((1, 2))}{tag}"
        if dice.chance(0.2):
            yield dice.pick((1, 2)), "arp who-has 10.0.0.2 tell 10.0.0.1"


def generate_static(seed: int, number: int) -> Case:
    """Case `number` (from 0) of a campaign over pipelines that are lowered as they stand."""
    dice = Dice(Random(f"{seed}/{number}/static"), conntrack=True)
    return Case(
        flows=tuple(_flows(dice)),
        groups=("group_id=1,type=all,bucket=output:2,bucket=output:3",),
        shots=tuple(
            Shot(1 + at / 20, port, line) for at, (port, line) in enumerate(_talks(dice))
        ),
        ports=(1, 2, 3),
        title=f"seed {seed}, case {number}, static",
    )
