"""The model against a real ovs-vswitchd: generated cases, a planted fault, captures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.bridge import act_fields
from ovsct.bridge.context import Context
from ovsct.compare.case import Case, Shot, shots_of, to_yaml
from ovsct.compare.events import read_events
from ovsct.compare.generate import Profile, generate
from ovsct.compare.shrink import shrink
from ovsct.compare.verdict import Kind
from ovsct.compare.verify import Verifier
from ovsct.errors import InputError

pytestmark = pytest.mark.real_ovs

CASES = 300


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as verifier:
        yield verifier


@pytest.mark.parametrize("first", range(0, CASES, 50))
def test_generated_cases_do_not_differ(verifier: Verifier, first: int) -> None:
    """Every generated flow is accepted, too: a refusal is a difference."""
    for number in range(first, first + 50):
        profile = Profile.ALL if number % 3 else Profile.CONNTRACK
        case = generate(1, number, profile)
        verdict = verifier.run(case)
        assert verdict.left_out is None
        told = "\n".join(verdict.difference.lines()) if verdict.difference else ""
        assert verdict.difference is None, f"{case.title}\n{told}\n{to_yaml(case, 'it differs')}"


def test_state_is_the_same_after_every_packet() -> None:
    with Verifier(every_packet=True) as verifier:
        for number in range(1000, 1010):
            verdict = verifier.run(generate(1, number, Profile.CONNTRACK))
            assert verdict.difference is None and verdict.left_out is None


def test_a_planted_fault_is_found_and_shrunk(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = act_fields.strip_vlan

    def forgets(ctx: Context, *rest: object) -> None:
        real(ctx, *rest)  # type: ignore[arg-type]
        ctx.mask &= ~act_fields._TCI.mask

    noise = [f"table=0,priority={n},udp,tp_dst={n},actions=output:2" for n in range(10, 20)]
    fault = "table=0,priority=9,dl_vlan=5,actions=set_field:1->reg0,dec_ttl,strip_vlan,output:3"
    shots = [Shot(float(n), 1, f"udp 10.0.0.1:9 > 10.0.0.2:{n} ttl 9") for n in range(8, 14)]
    tagged = Shot(20.0, 1, "tcp 10.0.0.1:9 > 10.0.0.2:80 S vlan 5")
    case = Case((*noise, fault), (*shots, tagged))
    assert verifier.run(case).difference is None
    monkeypatch.setitem(
        __import__("ovsct.bridge.act", fromlist=["ACTIONS"]).ACTIONS,
        __import__("ovsct.openflow.actions", fromlist=["StripVlan"]).StripVlan,
        lambda ctx, action, last, rest: setattr(ctx, "exit", True),
    )
    found = verifier.run(case).difference
    assert found is not None and found.kind is Kind.OUTPUTS and found.packet == 7
    short = shrink(case, verifier.still(found))
    assert short.flows == ("table=0,priority=9,actions=strip_vlan,output:3",)
    assert len(short.shots) == 1
    assert forgets is not real


def test_what_both_refuse_is_no_difference(verifier: Verifier) -> None:
    with pytest.raises(InputError, match="ct needs a match"):
        verifier.run(Case(("actions=ct(commit)",), ()))


STATEFUL_TABLES = {
    "firewall": """\
table=0,priority=10,ip,actions=ct(table=1)
table=0,priority=9,ipv6,actions=ct(table=1)
table=0,priority=1,actions=output:2
table=1,priority=20,ct_state=+trk+inv,actions=output:4
table=1,priority=10,ip,ct_state=+trk+new,actions=ct(commit,exec(set_field:7->ct_mark)),output:2
table=1,priority=9,ipv6,ct_state=+trk+new,actions=ct(commit,exec(load:1->NXM_NX_CT_LABEL[3])),output:2
table=1,priority=8,ct_state=+trk+est-rpl,actions=output:2
table=1,priority=7,ct_state=+trk+est+rpl,actions=output:3
table=1,priority=6,ct_state=+trk+rel,actions=output:4""",
    "two-zones": """\
table=0,priority=10,ip,actions=ct(zone=1,table=1)
table=0,priority=9,ipv6,actions=ct(zone=1,table=1)
table=1,priority=10,ip,ct_state=+trk+new,actions=ct(commit,zone=1),ct(zone=2,table=2)
table=1,priority=9,ipv6,ct_state=+trk+new,actions=ct(commit,zone=1),ct(zone=2,table=2)
table=1,priority=8,ip,ct_state=+trk-new,actions=ct(zone=2,table=2)
table=1,priority=7,ipv6,ct_state=+trk-new,actions=ct(zone=2,table=2)
table=2,priority=10,ip,ct_state=+trk+new,actions=ct(commit,zone=2),output:2
table=2,priority=9,ipv6,ct_state=+trk+new,actions=ct(commit,zone=2),output:2
table=2,priority=8,ct_state=+trk+est,actions=output:3
table=2,priority=7,ct_state=+trk+inv,actions=output:4""",
    "nat": """\
table=0,priority=10,ip,actions=ct(zone=3,nat,table=1)
table=0,priority=9,ipv6,actions=ct(zone=3,nat,table=1)
table=1,priority=10,ip,ct_state=+trk+new,actions=ct(commit,zone=3,nat(src=9.9.9.9)),output:2
table=1,priority=9,ipv6,ct_state=+trk+new,actions=ct(commit,zone=3,nat(src=fc00::9)),output:2
table=1,priority=8,ct_state=+trk+est,actions=output:3
table=1,priority=7,ct_state=+trk+rel,actions=output:4""",
    "marks-and-tags": """\
table=0,priority=20,dl_vlan=10,ip,actions=pop_vlan,ct(zone=10,table=1)
table=0,priority=10,ip,actions=move:NXM_NX_IP_TTL[]->NXM_NX_REG0[0..7],ct(zone=NXM_NX_REG0[0..15],table=1)
table=0,priority=9,ipv6,actions=ct(table=1)
table=0,priority=1,actions=flood
table=1,priority=30,ip,ct_state=+trk+new,actions=ct(commit,zone=NXM_NX_CT_ZONE[],exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[])),push_vlan:0x8100,set_field:0x100a->vlan_vid,output:2
table=1,priority=29,ipv6,ct_state=+trk+new,actions=ct(commit,force,exec(set_field:1->ct_mark)),dec_ttl,output:2
table=1,priority=20,ct_state=+trk+est,ct_mark=0x40/0x40,actions=ct_clear,output:3
table=1,priority=10,ct_state=+trk,actions=resubmit(,2),output:4
table=2,priority=5,tcp,tp_dst=80,actions=output:1,in_port""",
    "fragments": """\
table=0,priority=20,ip,nw_frag=later,actions=ct(zone=5,nat,table=1),output:4
table=0,priority=19,ipv6,nw_frag=later,actions=ct(zone=5,table=1),output:4
table=0,priority=10,ip,nw_frag=not_later,actions=ct(zone=5,nat,table=1)
table=0,priority=9,ipv6,actions=ct(zone=5,table=1)
table=1,priority=10,ip,ct_state=+trk+new,actions=ct(commit,zone=5,nat(src=9.9.9.9)),output:2
table=1,priority=9,ipv6,ct_state=+trk+new,actions=ct(commit,zone=5),output:2
table=1,priority=8,ct_state=+trk+est,nw_frag=yes,ip,actions=output:4
table=1,priority=7,ct_state=+trk+est,actions=output:3
table=1,priority=6,ct_state=+trk+inv,actions=controller""",
    "ftp": """\
table=0,priority=10,ip,actions=ct(zone=6,table=1)
table=0,priority=9,ipv6,actions=ct(zone=6,table=1)
table=1,priority=20,ct_state=+trk+rel,ip,actions=ct(commit,zone=6,exec(set_field:9->ct_mark)),output:4
table=1,priority=19,ct_state=+trk+rel,ipv6,actions=ct(commit,zone=6),output:4
table=1,priority=12,tcp,ct_state=+trk+new,tp_dst=21,actions=ct(commit,zone=6,alg=ftp),output:2
table=1,priority=11,tcp6,ct_state=+trk+new,tp_dst=21,actions=ct(commit,zone=6,alg=ftp),output:2
table=1,priority=10,ip,ct_state=+trk+new,actions=ct(commit,zone=6),output:2
table=1,priority=9,ipv6,ct_state=+trk+new,actions=ct(commit,zone=6),output:2
table=1,priority=8,ct_state=+trk+est,actions=output:3""",
}


_LONGEST_GAP = 100_000.0
"""Seconds: more than any timeout. One capture has a gap of ten years, at which the program is busy
for minutes.
"""


def _paced(path: Path) -> Iterator[Shot]:
    now = last = 0.0
    shots = (s for s in shots_of(read_events(str(path), port=1)) if len(s.line) // 2 - 2 >= 14)
    for number, shot in enumerate(shots):
        now += min(shot.at - last, _LONGEST_GAP) if number else shot.at
        last = shot.at
        yield Shot(round(now, 6), 1 + number % 2, shot.line)


@pytest.mark.parametrize("table", STATEFUL_TABLES)
def test_captures_under_stateful_tables(table: str, captures: Path) -> None:
    """Every capture comes in on port 1, and every second packet of it on port 2."""
    flows = tuple(STATEFUL_TABLES[table].splitlines())
    paths = sorted(captures.rglob("*.pcap"))
    assert paths, f"no .pcap in {captures}"
    with Verifier(trace=False) as verifier:
        for path in paths:
            shots = tuple(_paced(path))
            mode = "nx-match" if table == "fragments" else "normal"
            verdict = verifier.run(Case(flows, shots, fragments=mode, title=path.name))
            told = "\n".join(verdict.difference.lines()) if verdict.difference else ""
            assert verdict.difference is None, f"{path.name}: {told}"
            assert verdict.left_out is None, f"{path.name}: {verdict.left_out}"
