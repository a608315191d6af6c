"""Action lists for generated flows: one row an action, with when it fits and what it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ovsct.compare import draw
from ovsct.compare.draw import IPV4, IPV6, MPLS, MPLS_MC, TABLES, Dice, Facts, Fits
from ovsct.compare.generate_fields import READABLE, SETS, WRITABLE, Readable
from ovsct.openflow.hashes import HashFields

Drawn = tuple[str, Facts]


@dataclass(frozen=True, slots=True)
class Row:
    """An action: its weight (in the profile ``all`` and in ``conntrack``), when it fits, its text.

    `draw` gives the text and the facts behind it. By its `name` an action can be left out.
    """

    name: str
    weight: int
    ct_weight: int
    fits: Fits
    draw: Callable[[Dice, Facts], Drawn]


def _any(_facts: Facts) -> bool:
    return True


def _ip(facts: Facts) -> bool:
    return facts.ip


def _mpls(facts: Facts) -> bool:
    return facts.dl_type in (MPLS, MPLS_MC)


def _deeper(facts: Facts) -> bool:
    return not facts.last_table and facts.nested != "bucket"


def _no_nest(facts: Facts) -> bool:
    return facts.depth < 2


def _not_in_set(facts: Facts) -> bool:
    """An action that an action set cannot hold."""
    return facts.nested not in ("write_actions", "bucket")


def _text(write: Callable[[Dice], str]) -> Callable[[Dice, Facts], Drawn]:
    return lambda dice, facts: (write(dice), facts)


def _later_table(dice: Dice, facts: Facts) -> int:
    return dice.number(facts.table + 1, TABLES - 1)


# -- where to ------------------------------------------------------------------------------------

_PLACES: Final[tuple[tuple[int, Callable[[Dice], str]], ...]] = (
    (30, lambda d: f"output:{d.number(1, 4)}"),
    (2, lambda d: "output:5"),
    (3, lambda d: "in_port"),
    (2, lambda d: "all"),
    (2, lambda d: "flood"),
    (2, lambda d: "LOCAL"),
    (2, lambda d: f"output:{d.pick(('NXM_NX_REG0[0..15]', 'reg1', 'NXM_OF_IN_PORT[]'))}"),
    (3, lambda d: f"output(port={d.number(1, 5)},max_len={d.pick((14, 40, 60, 200, 65535))})"),
    (1, lambda d: f"enqueue:{d.number(1, 4)}:{d.number(0, 2)}"),
)
_NORMAL: Final = (10, lambda d: "normal")
_CONTROLLER: Final = (
    "controller", "controller:20", "controller(max_len=60)", "controller(reason=no_match)",
    "controller(reason=invalid_ttl,max_len=10)", "controller(id=1)",
    "controller(userdata=01.02.03)",
)  # fmt: skip


_SIMPLE: Final = _PLACES[:6]


def _output(dice: Dice, facts: Facts) -> Drawn:
    places = _SIMPLE if facts.nested == "write_actions" else _PLACES
    if dice.changes and "normal" not in dice.without:
        places = (*places, _NORMAL)
    return dice.weighted(places)(dice), facts


def _controller(dice: Dice, facts: Facts) -> Drawn:
    return dice.pick(_CONTROLLER[:3] if facts.nested == "write_actions" else _CONTROLLER), facts


def _group(dice: Dice, facts: Facts) -> Drawn:
    family = {IPV4: "4", IPV6: "6"}.get(facts.dl_type, "")
    fitting = [number for number, kind in dice.groups.items() if kind in ("", family)]
    return (f"group:{dice.pick(fitting)}" if fitting else "output:1"), facts


# -- fields --------------------------------------------------------------------------------------


def _set_field(dice: Dice, facts: Facts) -> Drawn:
    rows = [(row.weight, row) for row in SETS if row.fits(facts)]
    row = dice.weighted(rows)
    if row.tags is not None:
        facts = facts.but(tags=max(1, facts.tags) if row.tags else 0)
    return row.draw(dice), facts


def _pair(dice: Dice, facts: Facts) -> tuple[Readable, Readable] | None:
    sources = [row for row in READABLE if row.fits(facts)]
    source = dice.pick(sources)
    targets = [row for row in WRITABLE if row.fits(facts) and row.name != source.name]
    return (source, dice.pick(targets)) if targets else None


def _bits(dice: Dice, width: int, most: int) -> tuple[int, int]:
    size = dice.pick((width, 1, 8, 16, 5))
    size = min(size, width, most)
    low = dice.number(0, width - size) if dice.chance(0.5) else 0
    return low, size


def _subfield(name: str, width: int, low: int, size: int) -> str:
    if low == 0 and size == width:
        return f"{name}[]"
    return f"{name}[{low}]" if size == 1 else f"{name}[{low}..{low + size - 1}]"


def _move(dice: Dice, facts: Facts) -> Drawn:
    pair = _pair(dice, facts)
    assert pair is not None  # registers are always there
    source, target = pair
    low, size = _bits(dice, source.width, target.width)
    to = dice.number(0, target.width - size) if dice.chance(0.5) else 0
    text = (
        f"move:{_subfield(source.name, source.width, low, size)}"
        f"->{_subfield(target.name, target.width, to, size)}"
    )
    return text, facts


def _push(dice: Dice, facts: Facts) -> Drawn:
    row = dice.pick([row for row in READABLE if row.fits(facts)])
    low, size = _bits(dice, row.width, row.width)
    return f"push:{_subfield(row.name, row.width, low, size)}", facts


def _pop(dice: Dice, facts: Facts) -> Drawn:
    row = dice.pick([row for row in WRITABLE if row.fits(facts)])
    low, size = _bits(dice, row.width, row.width)
    return f"pop:{_subfield(row.name, row.width, low, size)}", facts


# -- tags ----------------------------------------------------------------------------------------


def _push_vlan(dice: Dice, facts: Facts) -> Drawn:
    text = f"push_vlan:{dice.pick(('0x8100', '0x8100', '0x88a8'))}"
    if dice.chance(0.7):
        text += f",set_field:{0x1000 + dice.pick((5, 6, 7)):#x}->vlan_vid"
    return text, facts.but(tags=facts.tags + 1)


def _pop_vlan(dice: Dice, facts: Facts) -> Drawn:
    return dice.pick(("pop_vlan", "strip_vlan")), facts.but(tags=max(0, facts.tags - 1))


def _push_mpls(dice: Dice, facts: Facts) -> Drawn:
    dl_type = dice.pick((MPLS, MPLS, MPLS_MC))
    text = f"push_mpls:{dl_type:#x}"
    if dice.chance(0.6):
        text += f",set_field:{dice.pick((5, 16, 1000))}->mpls_label"
    return text, facts.but(dl_type=dl_type, proto=0, nd=0)


def _pop_mpls(dice: Dice, facts: Facts) -> Drawn:
    dl_type = dice.pick((IPV4, IPV4, IPV6, MPLS))
    return f"pop_mpls:{dl_type:#x}", facts.but(dl_type=dl_type, proto=0, nd=0)


# -- other tables --------------------------------------------------------------------------------


def _resubmit(dice: Dice, facts: Facts) -> Drawn:
    table = _later_table(dice, facts)
    if facts.ct and facts.ip and dice.chance(0.3):
        return f"resubmit(,{table},ct)", facts
    if dice.chance(0.2):
        return f"resubmit({dice.number(1, 4)},{table})", facts
    return f"resubmit(,{table})", facts


# -- conntrack -----------------------------------------------------------------------------------

_EXEC: Final[tuple[Callable[[Dice], str], ...]] = (
    lambda d: f"set_field:{d.masked_number(d.number(0, 3), 4)}->ct_mark",
    lambda d: f"load:{d.number(0, 3)}->NXM_NX_CT_MARK[0..1]",
    lambda d: "move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]",
    lambda d: f"set_field:{d.pick(('0x1', '0x2/0x3', f'0x8{0:031x}'))}->ct_label",
    lambda d: f"load:{d.number(0, 1)}->NXM_NX_CT_LABEL[127]",
    lambda d: "move:NXM_NX_CT_MARK[0..7]->NXM_NX_CT_LABEL[8..15]",
    lambda d: "move:NXM_NX_REG1[0..15]->NXM_NX_CT_MARK[16..31]",
)  # fmt: skip


def _nat(dice: Dice, facts: Facts, commit: bool) -> str:
    if not commit or dice.chance(0.25):
        return "" if commit else "nat"
    side = dice.pick(("src", "dst"))
    v6 = facts.dl_type == IPV6
    text = f"nat({side}={dice.pick(draw.NAT_V6 if v6 else draw.NAT_V4)}"
    if dice.chance(0.3) and facts.proto in (0, 6, 17):
        port = dice.pick((7000, 80, 1023))
        text = f"nat({side}=[{dice.pick(draw.NAT_V6)}]:{port}" if v6 else f"{text}:{port}"
    if dice.chance(0.1):
        text += dice.pick((",persistent", ",random", ",hash"))
    return f"{text})"


_ZONE_FIELDS: Final = ("NXM_NX_REG0[0..15]", "reg1[16..31]", "NXM_NX_CT_ZONE[]")


def ct(dice: Dice, facts: Facts) -> Drawn:
    """ct(...) with arguments that fit."""
    parts = []
    if dice.chance(0.6):
        parts.append(f"zone={dice.pick(draw.ZONES)}")
    elif dice.chance(0.4):
        parts.append(f"zone={dice.pick(_ZONE_FIELDS)}")
    commit = not facts.inv and dice.chance(0.5)
    if commit:
        parts.append("commit")
        if dice.chance(0.12):
            parts.append("force")
        if dice.chance(0.35):
            acts = [dice.pick(_EXEC)(dice) for _ in range(dice.number(1, 2))]
            parts.append(f"exec({','.join(acts)})")
    if not facts.last_table and dice.chance(0.7) and facts.nested != "bucket":
        parts.append(f"table={_later_table(dice, facts)}")
    helper = {6: "ftp", 17: "tftp"}.get(facts.proto)
    if helper is not None and "alg" not in dice.without and dice.chance(0.15):
        parts.append(f"alg={helper}")
    if dice.chance(0.45):
        nat = _nat(dice, facts, commit)
        if nat:
            parts.append(nat)
    return (f"ct({','.join(parts)})" if parts else "ct"), facts


# -- the rest ------------------------------------------------------------------------------------


def _clone(dice: Dice, facts: Facts) -> Drawn:
    inner, _ = draw_list(dice, facts.but(nested="clone", depth=facts.depth + 1), 3)
    return f"clone({','.join(inner) or 'output:1'})", facts


_CHECKED_INTO: Final = ("reg1[0]", "NXM_NX_REG0[3]", "reg15[31]", "metadata[0]", "xreg1[40]")


def _check_pkt_larger(dice: Dice, facts: Facts) -> Drawn:
    length = dice.pick((41, 42, 53, 54, 60, 74, 100))
    return f"check_pkt_larger({length})->{dice.pick(_CHECKED_INTO)}", facts


# -- by a hash, and what does next to nothing ----------------------------------------------------

_HASHED: Final = tuple(HashFields)
_BASES: Final = (0, 1, 7, 65535)
_LINKS: Final = ("NXM_NX_REG0[]", "NXM_NX_REG0[0..7]", "NXM_NX_REG1[0..15]", "metadata[3..12]")
_ALGORITHMS: Final = ("modulo_n", "hash_threshold", "hrw", "iter_hash")
_MEMBERS: Final = ("1", "2", "3", "4", "9", "LOCAL")
_PORT_FIELDS: Final = ("NXM_NX_REG0[0..15]", "reg1[16..31]", "NXM_NX_REG0[]")


def _multipath(dice: Dice, facts: Facts) -> Drawn:
    links = dice.pick((1, 2, 3, 4, 16, 70))
    return (
        f"multipath({dice.pick(_HASHED)},{dice.pick(_BASES)},{dice.pick(_ALGORITHMS)},{links},"
        f"{dice.pick((0, 5, 64))},{dice.pick(_LINKS)})"
    ), facts


def _bundle(dice: Dice, facts: Facts) -> Drawn:
    members = ",".join(dice.random.sample(_MEMBERS, dice.number(0, 3)))
    algorithm = dice.pick(("hrw", "active_backup"))
    head = f"{dice.pick(_HASHED)},{dice.pick(_BASES)},{algorithm},ofport"
    if dice.chance(0.4):
        return f"bundle_load({head},{dice.pick(_PORT_FIELDS)},members:{members})", facts
    return f"bundle({head},members:{members})", facts


def _sample(dice: Dice, facts: Facts) -> Drawn:
    more = dice.pick(("", ",collector_set_id=1,obs_domain_id=2,obs_point_id=3"))
    return f"sample(probability={dice.pick((1, 9, 65535))}{more})", facts


def _fin_timeout(dice: Dice, facts: Facts) -> Drawn:
    return f"fin_timeout({dice.pick(('idle_timeout=60', 'hard_timeout=90'))})", facts


# -- learning ------------------------------------------------------------------------------------

_LEARNED: Final[tuple[tuple[Fits, str], ...]] = (
    (_any, "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]"),
    (_any, "NXM_OF_IN_PORT[]"),
    (_any, "NXM_NX_REG1[0..15]=NXM_OF_IN_PORT[]"),
    (_any, "NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_SRC[]"),
    (_any, "NXM_NX_REG0[0..3]=5,NXM_OF_ETH_DST[]"),
    (_any, "NXM_NX_CT_MARK[0..7]"),
    (lambda f: f.dl_type == IPV4, "eth_type=0x800,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[]"),
    (lambda f: f.dl_type == IPV4, "eth_type=0x800,NXM_OF_IP_DST[0..7]=NXM_OF_IP_SRC[0..7]"),
    (lambda f: f.dl_type == IPV4, "eth_type=0x800,ip_dst=10.0.0.1,NXM_OF_IP_PROTO[]"),
    (lambda f: f.dl_type == IPV4, "eth_type=0x800,NXM_NX_IP_TTL[0..3]"),
    (lambda f: f.dl_type == IPV4, "eth_type=0x800,NXM_NX_IP_ECN[],NXM_OF_IP_TOS[]"),
    (lambda f: f.dl_type == IPV6, "eth_type=0x86dd,NXM_NX_IPV6_SRC[]=NXM_NX_IPV6_DST[]"),
    (lambda f: f.dl_type == IPV4 and f.proto == 6,
     "eth_type=0x800,nw_proto=6,NXM_OF_TCP_SRC[]=NXM_OF_TCP_DST[]"),
    (lambda f: f.dl_type == IPV4 and f.proto == 17,
     "eth_type=0x800,nw_proto=17,NXM_OF_IP_SRC[],NXM_OF_UDP_DST[]=NXM_OF_UDP_SRC[]"),
)  # fmt: skip
_TAUGHT: Final = (
    "output:NXM_NX_REG0[]", "output:NXM_OF_IN_PORT[]", "output:NXM_NX_REG1[0..15]",
    "load:5->NXM_OF_ETH_DST[0..7],output:NXM_OF_IN_PORT[]", "load:3->NXM_NX_REG2[]",
    "load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],output:NXM_OF_IN_PORT[]",
)  # fmt: skip
_LEARN_TABLES: Final = (TABLES, TABLES + 1)
"""Tables that hold what is learned and nothing else."""


def _learn(dice: Dice, facts: Facts) -> Drawn:
    """learn(), and mostly a look at what was learned before.

    Each has a priority of its own: what one learns has one mask, and so never overlaps.
    """
    if not dice.changes:
        return "debug_slow", facts
    dice.learns += 1
    table = dice.pick(_LEARN_TABLES)
    parts = [f"table={table}", f"priority={dice.learns}"]
    if dice.chance(0.3):
        parts.append(f"cookie={dice.pick((1, 2))}")
    for word, share in (("idle_timeout", 0.3), ("hard_timeout", 0.2), ("fin_idle_timeout", 0.1)):
        if dice.chance(share):
            parts.append(f"{word}={dice.pick((1, 5, 30, 100))}")
    if dice.chance(0.15):
        parts.append("cookie=7,delete_learned" if not dice.chance(0.3) else "send_flow_rem")
    elif dice.chance(0.2):
        parts.append(f"limit={dice.pick((1, 2, 3))}")
    elif dice.chance(0.1):
        parts.append("result_dst=NXM_NX_REG5[3]")
    parts.append(dice.pick([text for fits, text in _LEARNED if fits(facts)]))
    parts.append(dice.pick(_TAUGHT))
    after = f",resubmit(,{table})" if dice.chance(0.7) else ""
    return f"learn({','.join(parts)}){after}", facts


_DEC_TTL: Final = ("dec_ttl", "dec_ttl", "dec_ttl(0)", "dec_ttl(0,1)")

_MISFITS: Final = ("dec_ttl", "dec_mpls_ttl", "mod_nw_src:1.1.1.1", "mod_tp_dst:80")
"""Actions that OpenFlow 1.0 takes whatever the match says."""

ROWS: Final = (
    Row("output", 30, 26, _any, _output),
    Row("controller", 3, 1, _any, _controller),
    Row("set_field", 16, 8, _any, _set_field),
    Row("move", 6, 3, _not_in_set, _move),
    Row("push", 2, 1, _not_in_set, _push),
    Row("pop", 2, 1, _not_in_set, _pop),
    Row("push_vlan", 4, 2, lambda f: f.tags < 2 and not f.old, _push_vlan),
    Row("pop_vlan", 2, 1, lambda f: f.tags > 0 or f.old, _pop_vlan),
    Row("misfit", 1, 1, lambda f: f.old, _text(lambda d: d.pick(_MISFITS))),
    Row("push_mpls", 2, 0, _any, _push_mpls),
    Row("pop_mpls", 6, 0, _mpls, _pop_mpls),
    Row("set_mpls_ttl", 2, 0, _mpls, _text(lambda d: f"set_mpls_ttl({d.pick((64, 1, 0))})")),
    Row("dec_mpls_ttl", 2, 0, _mpls, _text(lambda d: "dec_mpls_ttl")),
    Row("dec_ttl", 4, 2, _ip, _text(lambda d: d.pick(_DEC_TTL))),
    Row("set_queue", 1, 1, _any, _text(lambda d: "set_queue:1")),
    Row("pop_queue", 1, 1, _not_in_set, _text(lambda d: "pop_queue")),
    Row("resubmit", 9, 9, lambda f: _deeper(f) and _not_in_set(f), _resubmit),
    Row("ct", 22, 42, lambda f: f.ip and f.nested != "bucket", ct),
    Row("ct_clear", 3, 5, _not_in_set, _text(lambda d: "ct_clear")),
    Row("clone", 5, 6, lambda f: _no_nest(f) and _not_in_set(f), _clone),
    Row("check_pkt_larger", 2, 1, _not_in_set, _check_pkt_larger),
    Row("note", 1, 1, _not_in_set, _text(lambda d: f"note:{d.pick(('00', '01.02.03', '0a'))}")),
    Row("exit", 1, 1, lambda f: not f.nested, _text(lambda d: "exit")),
    Row("group", 4, 3, lambda f: f.nested != "bucket", _group),
    Row("multipath", 1, 1, _not_in_set, _multipath),
    Row("bundle", 1, 1, _not_in_set, _bundle),
    Row("sample", 1, 0, _not_in_set, _sample),
    Row("fin_timeout", 1, 1, lambda f: f.ip and f.proto == 6 and _not_in_set(f), _fin_timeout),
    Row("debug_recirc", 1, 1, _not_in_set, _text(lambda d: "debug_recirc")),
    Row("learn", 5, 4, lambda f: _not_in_set(f) and not f.old, _learn),
    Row("debug_slow", 1, 0, _not_in_set, _text(lambda d: "debug_slow")),
)
"""The actions of a list. Instructions follow in :func:`draw_actions`."""


_OFTEN: Final = frozenset({"output", "ct", "set_field"})


def _weight(dice: Dice, row: Row) -> int:
    if dice.wide:
        return 4 if row.name in _OFTEN else 1
    return row.ct_weight if dice.conntrack else row.weight


def draw_list(dice: Dice, facts: Facts, most: int) -> tuple[list[str], Facts]:
    """Up to `most` actions that fit one after the other, and the facts behind them."""
    found = []
    for _ in range(dice.number(0, most)):
        rows = [
            (_weight(dice, row), row)
            for row in ROWS
            if row.fits(facts) and row.name not in dice.without
        ]
        text, facts = dice.weighted(rows).draw(dice, facts)
        found.append(text)
    return found, facts


def draw_actions(dice: Dice, facts: Facts, sets: bool, old: bool = True) -> str:
    """The whole action part of a flow, instructions included; action sets only with `sets`.

    Without `old` it is one that OpenFlow 1.3 and later can say.
    """
    facts = facts.but(old=old and dice.chance(0.12))
    parts, facts = draw_list(dice, facts, 5)
    if dice.meters and not facts.old and dice.chance(0.4):
        parts.insert(0, f"meter:{dice.pick(dice.meters)}")
    if facts.old:
        return ",".join(parts) or "drop"
    inside = facts.but(nested="write_actions", depth=2)
    if dice.chance(0.03):
        parts.append("clear_actions")
    if sets and dice.chance(0.4):
        nested, _ = draw_list(dice, inside, 3)
        if nested:
            parts.append(f"write_actions({','.join(nested)})")
    if dice.chance(0.06):
        parts.append(f"write_metadata:{dice.masked_number(dice.number(0, 3), 3)}")
    if not facts.last_table and dice.chance(0.18):
        parts.append(f"goto_table:{_later_table(dice, facts)}")
    return ",".join(parts) or "drop"
