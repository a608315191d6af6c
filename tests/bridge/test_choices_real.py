"""multipath, bundle, sample and the debug actions against a real ovs-vswitchd."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from ovsct.compare.case import Case
from ovsct.compare.verify import Verifier
from ovsct.openflow.hashes import HashFields
from tests.bridge.judged import differences, shots

pytestmark = pytest.mark.real_ovs


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as both:
        yield both


def _multipath(dice: Random) -> str:
    fields = dice.choice(list(HashFields))
    algorithm = dice.choice(("modulo_n", "hash_threshold", "hrw", "iter_hash"))
    links = dice.choice((1, 2, 3, 4, 70, 16))
    dst = dice.choice(("NXM_NX_REG0[]", "NXM_NX_REG0[0..7]", "NXM_NX_REG0[0..15]"))
    basis = dice.choice((0, 7, 65535))
    return f"multipath({fields},{basis},{algorithm},{links},{dice.choice((0, 5))},{dst})"


def _bundle(dice: Random) -> str:
    fields = dice.choice(list(HashFields))
    algorithm = dice.choice(("hrw", "active_backup"))
    members = ",".join(dice.sample(("1", "2", "3", "4", "9", "LOCAL"), dice.randrange(4)))
    head = f"{fields},{dice.choice((0, 3, 65535))},{algorithm},ofport"
    if dice.random() < 0.5:
        return f"bundle({head},members:{members})"
    return f"bundle_load({head},NXM_NX_REG0[0..15],members:{members})"


_OTHERS = (
    "debug_recirc", "debug_slow", "sample(probability=9)", "set_field:5->reg0", "dec_ttl",
    "fin_timeout(idle_timeout=60)", "clone(debug_recirc,output:2)", "pop_vlan", "controller",
    "resubmit(,2)", "ct(commit,zone=1)", "ct(table=2)", "note:01", "output:NXM_NX_REG0[]",
    "output:1", "write_metadata:5", "set_queue:1", "push_mpls:0x8847",
)  # fmt: skip


def _actions(dice: Random) -> str:
    drawn = [
        dice.choice((_multipath, _bundle))(dice) if dice.random() < 0.5 else dice.choice(_OTHERS)
        for _ in range(dice.randrange(1, 6))
    ]
    if dice.random() < 0.5:
        drawn.append("output:NXM_NX_REG0[0..15]")
    if "push_mpls:0x8847" in drawn:
        drawn = [action for action in drawn if not action.startswith("ct(")]
    last = [action for action in drawn if action.startswith("write_metadata")][:1]
    return ",".join([a for a in drawn if not a.startswith("write_metadata")] + last) or "drop"


def draw(seed: int) -> Case:
    """Three tables of such actions."""
    dice = Random(seed)
    flows = (
        f"table=0,priority=3,tcp,actions={_actions(dice)},resubmit(,1)",
        f"table=0,priority=2,udp6,actions={_actions(dice)},resubmit(,1)",
        f"table=0,priority=1,ip,actions={_actions(dice)},resubmit(,1)",
        f"table=1,priority=1,tcp,actions={_actions(dice)}",
        "table=1,priority=0,reg0=0,actions=output:3",
        "table=2,priority=1,actions=output:NXM_NX_REG0[0..15]",
    )
    flows = tuple(flow.replace("write_metadata:5,resubmit(,1)", "resubmit(,1)") for flow in flows)
    return Case(flows, tuple(shots(dice, 12)), title=f"choices, seed {seed}")


@pytest.mark.parametrize("seed", range(40))
def test_generated_choices_are_alike(verifier: Verifier, seed: int) -> None:
    assert not differences(verifier, draw(seed))
