"""Generated TC rule sets through the model and real kernels, and the rules that this found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovsct.compare.case import Case, Shot
from ovsct.compare.generate_tc import generate_tc
from ovsct.compare.verdict import Kind
from ovsct.compare.verify_kernel import (
    KernelVerifier,
    campaign,
    kernel_counters,
    shorten,
    shorter_commands,
    to_scenario,
)
from ovsct.compare.words import said, same_lines
from ovsct.errors import InputError
from ovsct.lane import Connection
from ovsct.oracle.kernel.cache import OracleMissing

CASES = 190


@pytest.fixture(scope="module", params=["6.1", "6.12"])
def verifier(request: pytest.FixtureRequest) -> Iterator[KernelVerifier]:
    try:
        found = KernelVerifier(request.param)
    except (OracleMissing, InputError) as error:
        pytest.skip(f"no kernel {request.param}: {error}")
    with found:
        yield found


@pytest.mark.real_kernel
def test_generated_cases(verifier: KernelVerifier) -> None:
    packets = compared = 0
    for number, case, verdict in campaign(verifier, 1, range(CASES)):
        difference = verdict.difference
        assert difference is None, f"case {number}: {list(difference.lines())} {case.flows}"
        packets += verdict.packets
        compared += verdict.left_out is None
    assert compared > CASES * 0.8
    assert packets > CASES * 3


def _firewall(*talk: str, zone: int = 1) -> Case:
    """Talk between ports 1 and 2 through a firewall; a word of the port before each packet."""
    commands = []
    for port, other in ((1, 2), (2, 1)):
        head = f"filter add dev p{port} ingress chain"
        out = f"action mirred egress redirect dev p{other}"
        for prio, protocol in ((1, "ip"), (2, "ipv6")):
            what = f"prio {prio} protocol {protocol} flower"
            commands += [
                f"{head} 0 {what} ct_state -trk action ct zone {zone} pipe action goto chain 1",
                f"{head} 1 {what} ct_state +trk+new action ct commit zone {zone} pipe {out}",
                f"{head} 1 {what} ct_state +trk+est {out}",
            ]
    shots = []
    for number, text in enumerate(talk):
        port_word, _, line = text.partition(" ")
        shots.append(Shot(number * 0.25, int(port_word[1:]), line))
    return Case(flows=tuple(commands), shots=tuple(shots))


SELF = "tcp 10.0.0.1:53 > 10.0.0.1:53"

FOUND = {
    "tcp to itself": _firewall(f"p1 {SELF} S", f"p1 {SELF} A", f"p2 {SELF} PA len 5"),
    "syn-ack to itself": _firewall(f"p1 {SELF} S", f"p2 {SELF} SA seq 7", f"p1 {SELF} A"),
    "udp to itself": _firewall(*["p1 udp 10.0.0.2:21 > 10.0.0.2:21"] * 4),
    "tcp to itself, in the flow table": Case(
        flows=(
            "filter add dev p1 ingress chain 0 prio 1 protocol ip flower action ct zone 1 pipe",
            "filter add dev p2 ingress chain 0 prio 1 protocol ip flower"
            " action ct zone 1 pipe action goto chain 1",
            "filter add dev p2 ingress chain 1 prio 1 protocol all flower ct_state +trk+est+rpl"
            " action mirred egress redirect dev p1",
            "filter add dev p2 ingress chain 1 prio 11 protocol ip flower ct_state +trk+new"
            " action ct commit zone 1 pipe",
            "filter add dev p2 ingress chain 1 prio 11 protocol ip flower"
            " action mirred egress redirect dev p3",
        ),
        shots=(
            Shot(4.23, 2, f"{SELF} PA"), Shot(4.24, 1, f"{SELF} A"),
            Shot(4.75, 2, f"{SELF} PA"), Shot(4.76, 2, f"{SELF} PA"),
        ),
    ),
    "tags cut short": Case(
        flows=("filter add dev p1 ingress prio 1 protocol all flower action pass",),
        shots=tuple(
            Shot(number / 10, 1, f"hex {'02' * 12}{kind}{'00' * size}")
            for number, (kind, size) in enumerate(
                (kind, size) for kind in ("8100", "88a8") for size in range(8)
            )
        ),
    ),
    "an IPv4 address for IPv6": Case(
        flows=(
            "filter add dev p1 ingress prio 3 protocol all flower action ct commit zone 0"
            " nat dst addr 10.0.0.9 port 7000 pipe action mirred egress redirect dev p2",
        ),
        shots=(Shot(0.5, 1, "tcp [fc00::1]:769 > [fc00::2]:53 S"),),
    ),
    "an IPv6 address for IPv4": Case(
        flows=(
            "filter add dev p1 ingress prio 3 protocol all flower action ct commit zone 0"
            " nat src addr fc00::9 pipe action mirred egress redirect dev p2",
        ),
        shots=(Shot(0.5, 1, "udp 10.0.0.1:769 > 10.0.0.2:53"),),
    ),
    "both ports of a connection drawn": Case(
        flows=(
            "filter add dev p2 ingress chain 0 prio 1 protocol ip flower ct_state -trk"
            " action goto chain 1",
            "filter add dev p2 ingress chain 1 prio 6 protocol ip flower action ct commit zone 0"
            " nat dst addr 9.9.9.8 port 7000-7002 pipe action goto chain 3",
            "filter add dev p2 ingress chain 3 prio 6 protocol ip flower action ct commit zone 1"
            " nat dst addr 10.0.0.9 port 80 reclassify",
        ),
        shots=(
            Shot(1.01, 2, "tcp 192.168.0.5:21 > 10.0.1.1:53 S"),
            Shot(1.04, 2, "tcp 192.168.0.5:21 > 10.0.1.1:53 A"),
        ),
    ),
    "a queue at the receiving end": Case(
        flows=("filter add dev p1 ingress prio 1 flower action skbedit queue_mapping 0 pipe",),
        shots=(Shot(0.5, 1, "udp 10.0.0.1:769 > 10.0.0.2:53"),),
    ),
    "a fragment inside what came in a run": Case(
        flows=("filter add dev p1 ingress prio 1 protocol ip flower action ct commit pipe",),
        shots=(
            Shot(0.5, 1, "udp 10.0.0.2:80 > 10.0.0.1:443 len 3960 frag 1280,1280 piece 1"),
            Shot(0.6, 1, "udp 10.0.0.2:80 > 10.0.0.1:443 len 3960 frag 1280,1280 piece 2"),
            Shot(0.7, 1, "udp 10.0.0.2:1000 > 10.0.0.1:769 len 4360 frag 1480,1480 piece 1"),
            Shot(0.8, 1, "udp 10.0.0.2:80 > 10.0.0.1:443 len 3960 frag 1280,1280 piece 3"),
        ),
    ),
}
"""Shortest cases of what was once different."""

OBSERVED = ("tcp to itself, in the flow table",)
OBSERVED_ON = ("6.1.176", "6.12.117")
"""What is followed because it was seen, without a rule in the source; 6.1.192 does otherwise."""


@pytest.mark.real_kernel
@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(verifier: KernelVerifier, name: str) -> None:
    if name in OBSERVED and not verifier.real.release.startswith(OBSERVED_ON):
        pytest.skip(f"seen on {' and '.join(OBSERVED_ON)}; {verifier.real.release} may differ")
    verdict = verifier.run(FOUND[name])
    assert verdict.difference is None, list(verdict.difference.lines())


@pytest.mark.real_kernel
def test_a_wrong_model_is_found_and_shortened(
    verifier: KernelVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = _firewall(
        "p1 udp 10.0.0.1:21 > 10.0.0.2:21", "p1 tcp 10.0.0.1:1 > 10.0.0.2:2 S",
        "p2 tcp 10.0.0.2:2 > 10.0.0.1:1 SA", "p1 udp 10.0.0.1:5 > 10.0.0.2:5",
    )  # fmt: skip
    assert verifier.run(case).difference is None
    monkeypatch.setattr("ovsct.conntrack.netfilter.core.SEEN_REPLY", 0)
    difference = verifier.run(case).difference
    assert difference is not None
    assert difference.kind is Kind.CONNTRACK
    assert difference.packet == 3
    assert "[UNREPLIED]" in difference.model[0]
    assert "[UNREPLIED]" not in difference.real[0]
    shortest = shorten(verifier, case, difference.kind, runs=120)
    assert len(shortest.shots) == 2
    assert len(shortest.flows) < len(case.flows) / 2


def test_cases_repeat() -> None:
    assert generate_tc(5, 17) == generate_tc(5, 17)
    assert generate_tc(5, 17) != generate_tc(5, 18)


def test_cases_are_rich() -> None:
    text = "\n".join(command for number in range(60) for command in generate_tc(2, number).flows)
    for word in ("ct commit", "ct clear", "nat src", "nat dst", "mark", "label", "goto chain 3",
                 "pedit", "csum", "vlan push", "vlan pop", "mirror", "ingress redirect",
                 "ct_state +trk+new", "ct_zone", "ct_mark", "ipv6", "802.1Q", "reclassify",
                 "continue", "force"):  # fmt: skip
        assert word in text, word


def test_lines_may_differ_by_a_second_and_no_more() -> None:
    line = "ipv4 2 tcp 6 120 SYN_SENT src=10.0.0.1"
    assert same_lines([line], [line.replace("120", "119")])
    assert not same_lines([line], [line.replace("120", "118")])
    assert not same_lines([line], [line.replace("SENT", "RECV")])
    assert not same_lines([line], [])
    assert not same_lines([line], [line.replace("120 SYN_SENT ", "")])


def test_counters_are_read_from_what_tc_shows() -> None:
    shown = (
        "filter protocol ip pref 7 flower chain 3 handle 0x2 \n"
        "\taction order 1: gact action drop\n"
        "\tSent 80 bytes 2 pkt (dropped 1, overlimits 0 requeues 0) \n"
    )
    assert kernel_counters(shown) == [
        "chain 3 prio 7 handle 2: 2 packets 80 bytes 1 drops 0 overlimits"
    ]


def test_commands_are_shortened_by_actions_and_words() -> None:
    command = "filter add dev p1 ingress flower ip_proto tcp ct_state +trk action a action b"
    assert list(shorter_commands(command)) == [
        "filter add dev p1 ingress flower ip_proto tcp ct_state +trk action b",
        "filter add dev p1 ingress flower ip_proto tcp ct_state +trk action a",
        "filter add dev p1 ingress flower ct_state +trk action a action b",
        "filter add dev p1 ingress flower ip_proto tcp action a action b",
    ]
    assert list(shorter_commands("qdisc add dev p1 ingress")) == []


def test_a_case_is_kept_as_a_scenario() -> None:
    import yaml

    kept = yaml.safe_load(to_scenario(FOUND["tcp to itself"], "what"))
    assert kept["lanes"] == ["tc-script"]
    assert kept["tc_script"].startswith("filter add dev p1")
    assert "flows" not in kept


def test_a_connection_is_no_other() -> None:
    """What the end of a case compares must tell labels and status apart."""
    from ovsct.lane import Tuple5

    ends = Tuple5("10.0.0.1", "10.0.0.2", 1, 2), Tuple5("10.0.0.2", "10.0.0.1", 2, 1)
    plain = Connection(4, 17, *ends)
    assert said(plain) != said(Connection(4, 17, *ends, label=1))
    assert said(plain) != said(Connection(4, 17, *ends, status=frozenset({"assured"})))
