"""Generated cases: seeded, weighted towards deep stateful paths, and the same ones every time.

Case `number` of a seed depends on these two and the profile alone, never on other cases. What is
not generated stands in :mod:`ovsct.compare.excluded`, with the reason.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import Final

from ovsct.compare import draw
from ovsct.compare.case import Case
from ovsct.compare.draw import TABLES, Dice, Facts
from ovsct.compare.generate_actions import draw_actions
from ovsct.compare.generate_flow import draw_changes, draw_flow, without_forks
from ovsct.compare.generate_groups import draw_groups, draw_meters
from ovsct.compare.generate_match import draw_match
from ovsct.compare.generate_talk import draw_shots


class Profile(StrEnum):
    """What cases are mostly about."""

    ALL = "all"
    """Everything that is modelled."""
    CONNTRACK = "conntrack"
    """Connection tracking, NAT and recirculation."""
    WIDE = "wide"
    """Every action as often as any other, behind flows that match nearly everything."""


_NATS: Final = (
    # A client hidden behind an address, and a server behind another: in one zone, in two, or both.
    (
        "table=0,priority={p},{ip},actions=ct(table=1,zone={z},nat)",
        "table=1,priority={p},{ip},ct_state=+trk+new,actions=ct(commit,zone={z}{nat}{exec}),output:2",
        "table=1,priority={p}1,{ip},ct_state=+trk+est,actions=resubmit(,2),output:3",
        "table=1,priority={p}2,{ip},ct_state=+trk+rel,actions=ct(commit,zone={z}{nat}),output:4",
        "table=1,priority={p}3,{ip},nw_proto=6,tp_dst=21,ct_state=+trk+new,"
        "actions=ct(commit,zone={z}{nat}{exec},alg=ftp),output:2",
    ),
    (
        "table=0,priority={p},{ip},actions=ct(table=1,zone={z},nat)",
        "table=1,priority={p},{ip},ct_state=+trk+new,"
        "actions=ct(commit,zone={z}{nat}{exec},table=2)",
        "table=1,priority={p}1,{ip},ct_state=+trk-new-inv,actions=ct(table=2,zone={y},nat)",
        "table=2,priority={p},{ip},ct_state=+trk+new,actions=ct(commit,zone={y}{back}),output:2",
        "table=2,priority={p}1,{ip},ct_state=+trk+est,actions=output:3",
        "table=2,priority={p}2,{ip},ct_state=+trk+rel,actions=output:4",
    ),
    (
        "table=0,priority={p},{ip},ct_state=-trk,in_port=1,actions=ct(commit,zone={z}{nat},table=1)",
        "table=0,priority={p}1,{ip},ct_state=-trk,actions=ct(nat,zone={z},table=1)",
        "table=1,priority={p},{ip},ct_state=+trk+new,actions=output:2",
        "table=1,priority={p}1,{ip},ct_state=+trk+rpl,actions=ct(nat,zone={z},table=3),output:1",
        "table=3,priority={p},{ip},actions=ct_clear,output:1",
    ),
)
"""The flows of a small NAT gateway, so that translated connections have a past and a future."""

_ENTRIES: Final = (
    "table=0,priority=1,ip,actions=ct(table=1{zone})",
    "table=0,priority=2,ipv6,actions=ct(table=1{zone})",
    "table=1,priority=1,ip,ct_state=+trk+new,actions=ct(commit{zone}),output:2",
    "table=1,priority=2,ip,ct_state=+trk+est,actions=output:3",
    "table=1,priority=3,ipv6,ct_state=+trk+new,actions=ct(commit{zone}),output:2",
    "table=1,priority=4,ipv6,ct_state=+trk+est,actions=output:3",
    "table=2,priority=1,ip,actions=ct(nat,table=3{zone})",
)
"""The flows of a small firewall, so that connections come about whatever else is drawn."""


_HELPED: Final = (
    "table=1,priority=5,tcp,ct_state=+trk+new,actions=ct(commit,alg=ftp{zone}),output:2",
    "table=1,priority=6,tcp6,ct_state=+trk+new,actions=ct(commit,alg=ftp{zone}),output:2",
    "table=1,priority=7,udp,ct_state=+trk+new,actions=ct(commit,alg=tftp{zone}),output:2",
    "table=1,priority=8,ct_state=+trk+rel,actions=output:4",
    "table=1,priority=9,tcp,ct_state=+trk+rel+new,actions=ct(commit{zone}),output:4",
)
"""The flows of that firewall for FTP and TFTP."""


def generate(
    seed: int,
    number: int,
    profile: Profile = Profile.ALL,
    without: frozenset[str] = frozenset(),
) -> Case:
    """Case `number` (from 0) of a campaign.

    `without` holds names of what is not to be drawn: actions (``generate_actions.ROWS``), and
    ``normal``, ``groups``, ``meters``, ``fragments``, ``changes`` and ``write_actions``.
    """
    dice = Dice(
        Random(f"{seed}/{number}/{profile}"), profile is Profile.CONNTRACK,
        profile is Profile.WIDE, without=without,
    )  # fmt: skip
    mode = dice.pick(("normal", "normal", "nx-match", "drop"))
    dice.changes = dice.chance(0.25) and "changes" not in without
    fragments = dice.chance(0.12) and "fragments" not in without
    sets = dice.chance(0.2) and "write_actions" not in without
    groups = draw_groups(dice) if dice.chance(0.3) and "groups" not in without else []
    meters = draw_meters(dice) if dice.chance(0.05) and "meters" not in without else []
    flows, facts = _flows(dice, sets)
    shots = draw_shots(dice, fragments)
    if dice.changes:
        shots = draw_changes(dice, shots, flows, facts, sets)
    return Case(
        flows=tuple(flows),
        groups=tuple(groups),
        meters=tuple(meters),
        shots=shots,
        fragments=mode if fragments else "normal",
        title=f"seed {seed}, case {number}, profile {profile}",
    )


def _flows(dice: Dice, sets: bool) -> tuple[list[str], dict[str, Facts]]:
    """The flows of a case, and what is known of the packets of some."""
    zone = dice.pick(("", ",zone=1", ",zone=2"))
    gateway = dice.chance(0.65 if dice.conntrack else 0.3)
    entries = 0.3 if dice.wide else 0.75
    lines = [entry.format(zone=zone) for entry in _ENTRIES if dice.chance(entries)]
    if "alg" not in dice.without and dice.chance(0.3):
        lines += [entry.format(zone=zone) for entry in _HELPED if dice.chance(0.75)]
    known = {}
    if gateway:
        lines += _gateway(dice)
    # No two priorities of a table are alike: which of two overlapping flows wins is undefined.
    for number in range(dice.number(3, 14)):
        table = dice.pick((1, 2, 2, 3, 4, 0) if gateway else (0, 0, 1, 1, 1, 2, 2, 3, 4))
        priority = number + (100 if gateway and dice.chance(0.6) else 30000)
        words, facts = draw_match(dice, table)
        lines.append(draw_flow(dice, table, priority, words, facts, sets))
        known[lines[-1]] = facts
    if dice.chance(0.12):
        lines += _conjunction(dice)
    if sets:
        known = {without_forks(line): facts for line, facts in known.items()}
        lines = [without_forks(line) for line in lines]
    return lines, known


def _gateway(dice: Dice) -> list[str]:
    lines = []
    z, y = dice.pick(((1, 2), (0, 1), (1, 1), (2, 0)))
    plan = dice.pick(_NATS)
    for version, ip, pool in ((4, "ip", draw.NAT_V4), (6, "ipv6", draw.NAT_V6)):
        side = dice.pick(("src", "dst"))
        known = dice.source if side == "src" else dice.target
        known[version] = dice.pick(pool)
        nat = f",nat({side}={known[version]})"
        back = f",nat({'dst' if side == 'src' else 'src'}={dice.pick(pool)})"
        marks = dice.pick(("", ",exec(set_field:1->ct_mark)", ",exec(load:1->NXM_NX_CT_LABEL[0])"))
        lines += [
            line.format(p=50 + version, ip=ip, z=z, y=y, nat=nat, exec=marks,
                        back=dice.pick(("", back)))
            for line in plan
        ]  # fmt: skip
    return lines


def _conjunction(dice: Dice) -> list[str]:
    """A conjunctive match over addresses and ports, and what it leads to."""
    table = dice.number(0, TABLES - 1)
    number = dice.number(1, 3)
    head = f"table={table},priority=2000"
    lines = [
        f"{head},ip,nw_src={address},actions=conjunction({number},1/2)"
        for address in dict.fromkeys(dice.pick(draw.V4) for _ in range(2))
    ]
    lines += [
        f"{head},{dice.pick(('tcp', 'udp'))},tp_dst={port},actions=conjunction({number},2/2)"
        for port in dict.fromkeys(dice.pick(draw.PORTS) for _ in range(3))
    ]
    actions = draw_actions(dice, Facts(table=table, dl_type=draw.IPV4), sets=False)
    return [*lines, f"{head},conj_id={number},ip,actions={actions}"]
