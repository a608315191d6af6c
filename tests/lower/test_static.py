"""Whole pipelines as TC rule sets: they do what OVS does, or say why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.compare.case import Case, Shot
from ovsct.compare.events import Advance, Happening
from ovsct.compare.generate_static import generate_static
from ovsct.compare.scenario import read_scenario
from ovsct.compare.verify_kernel import KernelVerifier
from ovsct.errors import InputError
from ovsct.lane import Lane
from ovsct.lanes.make import Setup, Text, make
from ovsct.lanes.tc_script import TcScript
from ovsct.lower.reasons import Reason
from ovsct.lower.static import lower_pipeline
from ovsct.lower.static_reasons import StaticError, StaticReason
from ovsct.lower.static_text import script_of
from ovsct.openflow.actions import OFPP_LOCAL
from ovsct.oracle.kernel.cache import OracleMissing

PORTS = (1, 2, 3)
DOCS = Path(__file__).parents[2] / "docs" / "refusals.md"
TALK = Path(__file__).parents[2] / "topologies" / "netdev-0x13.yaml"

NOT_IN_TC = (OFPP_LOCAL, "controller")
"""Where OVS sends what TC cannot: the bridge's own port, packet-ins of dec_ttl."""


def setup(flows: str, groups: str = "", ports: tuple[int, ...] = PORTS) -> Setup:
    return Setup(ports=ports, flows=Text(flows, "f"), groups=Text(groups, "g"))


def script(config: Setup) -> str:
    lowered = lower_pipeline(config.parsed_flows, config.ports, config.parsed_groups)
    return "\n".join(script_of(lowered, config.ports))


def lowerable(case: Case) -> tuple[Setup, str, int]:
    """The case without the flows that TC cannot do, its script, and how many flows that left."""
    flows = list(case.flows)
    while True:
        config = setup("\n".join(flows), "\n".join(case.groups), case.ports)
        try:
            return config, script(config), len(flows)
        except InputError as error:
            assert error.line is not None, error
            del flows[error.line - 1]


def sent(lane: Lane, happening: Happening) -> Counter[tuple[object, bytes]]:
    lane.advance(happening.at)
    if isinstance(happening, Advance):
        return Counter()
    out = lane.receive(happening).out
    return Counter((each.port, each.frame) for each in out if each.port not in NOT_IN_TC)


@pytest.mark.parametrize("tens", range(3))
def test_generated_pipelines_do_what_ovs_does(tens: int) -> None:
    outputs = packets = kept = written = 0
    for number in range(10 * tens, 10 * tens + 10):
        case = generate_static(7, number)
        config, commands, left = lowerable(case)
        kept += left
        written += len(case.flows)
        ovs, tc = make("ovs-kernel", config), TcScript(commands, case.ports)
        for happening in case.happenings():
            wanted = sent(ovs, happening)
            assert sent(tc, happening) == wanted, f"{case.title}, {happening}"
            packets += 1
            outputs += wanted.total()
        connections = {(c.zone, c.orig, c.reply, c.mark, c.label) for c in ovs.connections()}
        assert {(c.zone, c.orig, c.reply, c.mark, c.label) for c in tc.connections()} == connections
    assert kept > written * 0.9
    assert outputs > packets * 0.25


@pytest.fixture(scope="module", params=["6.1", "6.12"])
def verifier(request: pytest.FixtureRequest) -> Iterator[KernelVerifier]:
    try:
        found = KernelVerifier(request.param, ports=PORTS)
    except (OracleMissing, InputError) as error:
        pytest.skip(f"no kernel {request.param}: {error}")
    with found:
        yield found


@pytest.mark.real_kernel
def test_generated_pipelines_in_a_real_kernel(verifier: KernelVerifier) -> None:
    compared = 0
    for number in range(10):
        case = generate_static(8, number)
        _, commands, _ = lowerable(case)
        lines = tuple(line for line in commands.splitlines() if not line.startswith("#"))
        verdict = verifier.run(Case(flows=lines, shots=case.shots, ports=PORTS, title=case.title))
        assert verdict.difference is None, [case.title, *verdict.difference.lines()]
        compared += verdict.left_out is None
    assert compared > 7


def test_the_talk_is_what_its_authors_wrote_by_hand() -> None:
    scenario = read_scenario(str(TALK))
    assert scenario.setup.tc_script is not None
    lowered = TcScript(script(scenario.setup), scenario.setup.ports)
    by_hand = TcScript(scenario.setup.tc_script.text, scenario.setup.ports)
    packets = 0
    for happening in scenario.happenings():
        assert sent(lowered, happening) == sent(by_hand, happening)
        packets += 1
        assert lowered.dump_conntrack("proc") == by_hand.dump_conntrack("proc")
    assert packets > 10
    filters = [each.filter for each in lowered.tc.filters(1) if each.filter.protocol == 0x0800]
    assert len({each.chain for each in filters}) == 2


# -- how ------------------------------------------------------------------------------------------


def commands_of(flows: str, ports: tuple[int, ...] = (1, 2)) -> list[str]:
    """The filters for untagged packets of port 1, without what they have in common."""
    head = "tc filter add dev p1 ingress "
    return [
        line.removeprefix(head) for line in script(setup(flows, ports=ports)).splitlines()
        if line.startswith(head) and " protocol 802.1" not in line.partition(" flower")[0]
        and " prio 65535 " not in line
    ]  # fmt: skip


HOW: list[tuple[str, str]] = [
    ("ip actions=output:2",
     "prio 1 protocol ip flower action mirred egress redirect dev p2"),
    ("ip actions=output:1", "prio 1 protocol ip flower action drop"),
    ("ip actions=in_port", "prio 1 protocol ip flower action mirred egress redirect dev p1"),
    ("ip,in_port=1 actions=drop", "prio 1 protocol ip flower action drop"),
    ("dl_src=02:00:00:00:00:01 actions=output:2",
     "prio 1 protocol all flower src_mac 02:00:00:00:00:01 action mirred egress redirect dev p2"),
    ("ip actions=dec_ttl,output:2", "prio 1 protocol ip flower ip_ttl 0/0xfe action drop"),
    ("ipv6 actions=dec_ttl,output:2", "prio 1 protocol ipv6 flower ip_ttl 0/0xfe action drop"),
    ("tcp actions=mod_tp_dst:80,output:2",
     "prio 1 protocol ip flower ip_proto tcp action pedit ex munge tcp dport set 0x50 pipe"
     " action csum tcp udp pipe action mirred egress redirect dev p2"),
    ("ip actions=mod_vlan_vid:5,output:2",
     "prio 1 protocol ip flower action vlan push id 5 protocol 802.1Q priority 0"
     " action mirred egress redirect dev p2"),
    ("ip actions=ct(table=1,zone=3),output:2\ntable=1 actions=drop",
     "prio 1 protocol ip flower action ct zone 3 action mirred egress mirror dev p2"
     " action goto chain 1"),
    ("ip actions=set_field:9->reg1,ct(commit,zone=NXM_NX_REG1[0..15])",
     "prio 1 protocol ip flower action ct commit zone 9 action drop"),
    ("ip actions=ct_clear,output:2",
     "prio 1 protocol ip flower action mirred egress redirect dev p2"),
    ("ip actions=resubmit(,1),output:2\ntable=1 actions=mod_nw_tos:16",
     "prio 1 protocol ip flower action pedit ex munge ip tos set 0x10 retain 0xfc pipe"
     " action csum iph pipe action mirred egress redirect dev p2"),
]  # fmt: skip


@pytest.mark.parametrize(("flows", "first"), HOW)
def test_becomes(flows: str, first: str) -> None:
    assert commands_of(flows)[0] == first


def test_registers_are_followed() -> None:
    flows = (
        "in_port=1,ip actions=set_field:1->reg0,resubmit(,1)\n"
        "in_port=2,ip actions=resubmit(,1)\n"
        "table=1,reg0=1 actions=output:2\n"
        "table=1,reg0=0 actions=output:1\n"
    )
    text = script(setup(flows, ports=(1, 2)))
    for port, other in ((1, 2), (2, 1)):
        where = f"dev p{port} ingress chain 1 prio 1 protocol all flower"
        assert f"{where} action mirred egress redirect dev p{other}\n" in text
    assert "# port 1, chain 1: table 1, reg0=0x1, no tag, as if untracked\n" in text


# -- what cannot be --------------------------------------------------------------------------------

REFUSED: dict[StaticReason | Reason, tuple[str, str]] = {
    StaticReason.AFTER_RESUBMIT: (
        "ip actions=resubmit(,1),output:2\ntable=1,tcp actions=output:3", "1:12 resubmit(,1)"
    ),
    StaticReason.AFTER_FORK: (
        "ip actions=ct(table=1),mod_nw_tos:16,output:2", "1:24 mod_nw_tos:16"
    ),
    StaticReason.REGISTER: (
        "ip actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],resubmit(,1)",
        "1:12 move:NXM_OF_IP_SRC[]->NXM_NX_REG0[]",
    ),
    StaticReason.NAT_BEHIND: (
        "ip actions=ct(commit,nat(src=1.2.3.4)),resubmit(,1)\n"
        "table=1,ip,nw_src=1.2.3.4 actions=drop",
        "2:12 nw_src=1.2.3.4",
    ),
    StaticReason.NAT_PORTS: ("tcp actions=ct(commit,nat(src))", "1:13 ct(commit,nat(src))"),
    StaticReason.ACTION_SET: (
        "ip actions=write_actions(output:2)", "1:12 write_actions(output:2)"
    ),
    StaticReason.STACK: ("ip actions=push:NXM_NX_REG0[]", "1:12 push:NXM_NX_REG0[]"),
    StaticReason.NORMAL: ("ip actions=NORMAL", "1:12 NORMAL"),
    StaticReason.GROUP: ("ip actions=group:9", "1:12 group:9"),
    StaticReason.CLONE: (
        "ip actions=clone(mod_nw_tos:16,output:2),output:3", "1:12 clone(mod_nw_tos:16,output:2)"
    ),
    StaticReason.CONJUNCTION: ("ip actions=conjunction(1,1/2)", "1:12 conjunction(1,1/2)"),
    StaticReason.LEARN: ("ip actions=learn(table=1)", "1:12 learn(table=1)"),
    StaticReason.TIMEOUT: ("idle_timeout=5,ip actions=output:2", "1"),
    StaticReason.LOOP: (
        "ip actions=resubmit(,1)\ntable=1,ip actions=resubmit(,0)", "1"
    ),
    StaticReason.DEPTH: (
        "\n".join(f"table={n},ip,nw_ttl={n + 1} actions=goto_table:{n + 1}" for n in range(18)), "1"
    ),
    StaticReason.ANY_UNTAGGED: ("vlan_tci=0/0x1fff actions=output:2", "1:1 vlan_tci=0/0x1fff"),
    StaticReason.TAGS: ("dl_vlan=5 actions=push_vlan:0x8100", "1:19 push_vlan:0x8100"),
    StaticReason.DEC_TTL: ("ip actions=dec_ttl,dec_ttl", "1:20 dec_ttl"),
    StaticReason.CHECK_PKT_LEN: (
        "ip actions=check_pkt_larger(100)->reg0[0]", "1:12 check_pkt_larger(100)->reg0[0]"
    ),
    StaticReason.ACTION: ("ip actions=set_queue:1", "1:12 set_queue:1"),
    Reason.CT_HELPER: ("tcp actions=ct(commit,alg=ftp)", "1:13 ct(commit,alg=ftp)"),
    Reason.CT_TUPLE: (
        "table=1,ip,ct_state=+trk+est,ct_nw_src=1.2.3.4 actions=drop\nip actions=ct(table=1)",
        "1:30 ct_nw_src=1.2.3.4",
    ),
    Reason.USERSPACE: ("ip actions=controller", "1:12 controller"),
    Reason.TRUNC: ("ip actions=output(port=2,max_len=100)", "1:12 output(port=2,max_len=100)"),
    Reason.METER: ("ip actions=meter:1,output:2", "1:12 meter:1"),
    Reason.OUTPUT_PORT: ("ip actions=LOCAL", "1:12 LOCAL"),
    Reason.SET_FIELD: (
        "icmp actions=set_field:1->icmp_type,output:2", "1:14 set_field:1->icmp_type"
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", list(REFUSED))
def test_names_the_flow_and_the_reason(reason: StaticReason | Reason) -> None:
    flows, place = REFUSED[reason]
    with pytest.raises(StaticError) as caught:
        script(setup(flows))
    error = caught.value
    assert error.reason is reason
    line, _, token = place.partition(" ")
    said = f"{error.line}" + (f":{error.column}" if error.column else "")
    assert (error.file, said, error.token or "") == ("f", line, token)
    assert f"({reason})" in str(error)


def test_every_reason_has_a_page() -> None:
    text = DOCS.read_text()
    assert [each for each in StaticReason if f"## `{each}`" not in text] == []
    assert set(StaticReason) <= set(REFUSED)


def test_a_packet_at_a_time() -> None:
    """The shortest case: a connection is let through, another is not."""
    flows = (
        "ip,ct_state=-trk actions=ct(table=1)\n"
        "table=1,in_port=1,ip,ct_state=+trk+new actions=ct(commit),output:2\n"
        "table=1,ip,ct_state=+trk+est actions=output:1,output:2\n"
    )
    shots = [
        Shot(1, 2, "udp 10.0.0.2:53 > 10.0.0.1:1000 len 20"),
        Shot(2, 1, "udp 10.0.0.1:1000 > 10.0.0.2:53 len 20"),
        Shot(3, 2, "udp 10.0.0.2:53 > 10.0.0.1:1000 len 20"),
    ]
    lane = TcScript(script(setup(flows, ports=(1, 2))), (1, 2))
    case = Case(flows=(), shots=tuple(shots))
    ports = [[port for port, _ in sent(lane, each)] for each in case.happenings()]
    assert ports == [[], [2], [1]]
