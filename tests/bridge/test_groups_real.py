"""Groups against a real ovs-vswitchd: who is chosen, by which hash, and what the megaflows say."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from ovsct.compare.case import Case
from ovsct.compare.verify import Verifier
from tests.bridge.judged import differences, shots

pytestmark = pytest.mark.real_ovs

FIELDS = (
    "ip_src", "ip_dst", "eth_src", "eth_dst", "tcp_src", "udp_dst", "nw_proto", "vlan_vid",
    "ip_src=255.255.0.0", "ipv6_dst", "ipv6_src=ffff::", "in_port", "eth_type", "nw_ttl", "reg0",
    "ipv6_label", "tcp_dst=0xff00", "ip_dscp", "icmp_type", "vlan_tci", "ct_state", "metadata",
)  # fmt: skip


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as both:
        yield both


def _bucket(dice: Random, number: int, kind: str, ids: bool) -> str:
    parts = [f"bucket_id={number * 3}"] if ids else []
    if kind == "select" and dice.random() < 0.6:
        parts.append(f"weight={dice.choice((0, 1, 2, 3, 7, 100, 65535))}")
    if kind == "ff" or (kind == "select" and dice.random() < 0.3):
        parts.append(dice.choice((
            f"watch_port={dice.randrange(1, 5)}", "watch_port=77", "watch_group=9",
            "watch_group=8", "watch_group=99",
        )))  # fmt: skip
    actions = dice.choice((
        f"output:{dice.randrange(1, 5)}", f"set_field:0x{number + 1:x}->reg0,resubmit(,1)",
        f"mod_dl_src:02:00:00:00:00:0{number},output:{dice.randrange(1, 5)}", "group:8",
    ))  # fmt: skip
    return f"bucket={','.join(parts)}{',' if parts else ''}actions={actions}"


def _select_method(dice: Random) -> str:
    match dice.randrange(5):
        case 0 | 1:
            return ""
        case 2:
            algorithm, basis = dice.choice((0, 1, 2)), dice.randrange(3)
            return f",selection_method=dp_hash,selection_method_param={algorithm << 32 | basis}"
        case 3:
            return ",selection_method=hash"
        case _:
            fields = dice.sample(FIELDS, dice.randrange(1, 4))
            param = dice.choice((0, 5, 1 << 40))
            return (
                f",selection_method=hash,selection_method_param={param}"
                f",fields({','.join(fields)})"
            )


def draw(seed: int) -> Case:
    """A case whose flows lead to groups, and these to each other."""
    dice = Random(seed)
    groups = []
    for number in (1, 2, 3):
        kind = dice.choice(("select", "select", "select", "ff", "all"))
        method = _select_method(dice) if kind == "select" else ""
        ids = dice.random() < 0.5
        buckets = [_bucket(dice, n, kind, ids) for n in range(dice.randrange(1, 6))]
        groups.append(f"group_id={number},type={kind}{method},{','.join(buckets)}")
    groups.append("group_id=8,type=ff,bucket=watch_port=78,output:1,bucket=watch_port=3,output:3")
    groups.append("group_id=9,type=ff,bucket=watch_port=78,output:1")
    extra = dice.choice(("", "output:4,", "ct(commit,zone=1),", "push_vlan:0x8100,", "dec_ttl,"))
    flows = (
        f"table=0,priority=2,ip,actions={extra}group:{dice.randrange(1, 4)},output:2",
        f"table=0,priority=1,actions=group:{dice.randrange(1, 4)}",
        "table=1,priority=2,reg0=2,actions=output:2",
        f"table=1,priority=1,actions=group:{dice.randrange(1, 4)}",
    )
    return Case(flows, tuple(shots(dice, 10)), tuple(groups), title=f"groups, seed {seed}")


@pytest.mark.parametrize("seed", range(40))
def test_generated_groups_choose_alike(verifier: Verifier, seed: int) -> None:
    assert not differences(verifier, draw(seed))
