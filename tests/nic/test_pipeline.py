"""The way of a packet through hardware: NAT, misses of each kind, and where software goes on."""

from __future__ import annotations

import pytest

from ovsct.lane import Via
from ovsct.packet.build import tcp
from ovsct.packet.checksum import pseudo_ipv4
from ovsct.packet.packet import parse
from ovsct.tc.text.command import FilterCommand, read_script
from tests.nic.rig import CLIENT, SERVER, Rig, client, server

KERNELS = pytest.mark.parametrize("kernel", ["6.1", "6.12"])
GATE = "192.0.2.1"

SNAT = f"""
tc filter add dev p1 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
  action ct zone 2 nat pipe action goto chain 1
tc filter add dev p2 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
  action ct zone 2 nat pipe action goto chain 1
tc filter add dev p1 ingress chain 1 prio 1 protocol ip flower ct_state +trk+new \
  action ct commit zone 2 nat src addr {GATE} pipe action mirred egress redirect dev p2
tc filter add dev p1 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
  action mirred egress redirect dev p2
tc filter add dev p2 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
  action mirred egress redirect dev p1
"""


def outside(flags: str, **more: int) -> bytes:
    return tcp(SERVER, GATE, 80, 1000, flags, **more)  # type: ignore[arg-type]


def snat(script: str = SNAT, kernel: str = "6.1") -> Rig:
    rig = Rig(script, kernel=kernel)
    assert rig.way(1, client("S", seq=100), 0.0) == "tc>2"
    assert rig.way(2, outside("SA", seq=500, ack=101), 0.001) == "tc>1"
    assert rig.way(1, client("A"), 0.002) == "tc>2"
    rig.wait(0.5)
    return rig


def addresses(frame: bytes) -> tuple[str, str, int, int]:
    ip = ".".join(map(str, frame[26:30])), ".".join(map(str, frame[30:34]))
    return *ip, int.from_bytes(frame[34:36], "big"), int.from_bytes(frame[36:38], "big")


def sums_are_right(frame: bytes) -> bool:
    """Both checksums add up (RFC 1071)."""
    packet = parse(frame, 0)

    def total(data: bytes, start: int = 0) -> int:
        data += b"\0" * (len(data) % 2)
        found = start + sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
        while found >> 16:
            found = (found & 0xFFFF) + (found >> 16)
        return found

    segment = frame[packet.l4 : packet.end]
    ends = int.from_bytes(frame[26:30], "big"), int.from_bytes(frame[30:34], "big")
    pseudo = pseudo_ipv4(*ends, 6, len(segment))
    return total(frame[14 : packet.l4]) == 0xFFFF and total(segment, pseudo) == 0xFFFF


@KERNELS
def test_hardware_translates_both_directions(kernel: str) -> None:
    rig = snat(kernel=kernel)
    who, out = rig.send(1, client("PA", payload=b"hello"), 0.6)
    assert who == "hw" and addresses(out[0].frame) == (GATE, SERVER, 1000, 80)
    assert sums_are_right(out[0].frame)
    who, out = rig.send(2, outside("PA", seq=501, ack=106), 0.7)
    assert who == "hw" and addresses(out[0].frame) == (SERVER, CLIENT, 80, 1000)
    assert sums_are_right(out[0].frame)
    assert any("nat=192.0.2.1:1000>10.0.0.2:80" in line for line in rig.lines())


@KERNELS
def test_a_wrong_checksum_stays_wrong_through_nat(kernel: str) -> None:
    rig = snat(kernel=kernel)
    who, out = rig.send(1, client("A", bad="l4"), 0.6)
    assert who == "hw" and addresses(out[0].frame)[0] == GATE
    assert not sums_are_right(out[0].frame)


@pytest.mark.parametrize(("kernel", "way"), [("6.1", "hw>2"), ("6.12", "tc>2")])
def test_a_ct_without_nat_finds_a_translated_connection_in_6_1_only(kernel: str, way: str) -> None:
    rig = snat(kernel=kernel)
    rig.ingress.delete(1, 0)
    rig.add("""tc filter add dev p1 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
      action ct zone 2 pipe action goto chain 1""")
    assert rig.way(1, client("A"), 0.6) == way


def test_a_second_ct_of_the_same_zone_is_not_looked_up_again() -> None:
    script = SNAT.replace(
        "+trk+est   action mirred egress redirect dev p2",
        "+trk+est   action ct zone 2 pipe action mirred egress redirect dev p2",
    )
    assert script != SNAT
    rig = snat(script, kernel="6.12")
    # The packet is translated by then: its tuple is in no ct table any more.
    who, out = rig.send(1, client("A"), 0.6)
    assert who == "hw" and addresses(out[0].frame)[0] == GATE


@pytest.mark.parametrize(
    ("kernel", "first"), [("6.1", "chain 1"), ("6.12", "chain 1")]
)
def test_a_miss_in_a_later_chain_takes_the_connection_along(kernel: str, first: str) -> None:
    script = SNAT.replace("ct_state +trk+est", "skip_hw ct_state +trk+est")
    rig = snat(script, kernel=kernel)
    who, out = rig.send(1, client("A"), 0.6)
    assert who == "tc" and addresses(out[0].frame)[0] == GATE
    texts = [(step.via, step.text) for step in rig.steps]
    assert (Via.HW, "chain 1: no rule; to software") in texts
    # Software begins in chain 1, and does not track: the NIC has said all that there is.
    software = [text for via, text in texts if via is Via.TC]
    assert software[0] == first and not any(text.startswith("ct ") for text in software)


REWRITE = """
tc filter add dev p1 ingress chain 0 prio 1 protocol ip flower ct_state -trk ip_proto tcp \
  action pedit ex munge ip ttl set 9 pipe action csum ip pipe \
  action mirred egress mirror dev p3 pipe action ct zone 2 pipe action goto chain 1
tc filter add dev p2 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
  action ct zone 2 pipe action goto chain 1
tc filter add dev p1 ingress chain 1 prio 1 protocol ip flower ct_state +trk+new \
  action ct commit zone 2 pipe action mirred egress redirect dev p2
tc filter add dev p1 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
  action mirred egress redirect dev p2
tc filter add dev p2 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
  action mirred egress redirect dev p1
"""


def test_software_repeats_the_whole_chain_in_6_1() -> None:
    rig = Rig(REWRITE, kernel="6.1")
    # The copy that hardware has sent is sent again: before 6.3 only the chain is known.
    assert rig.way(1, client("S", seq=100), 0.0) == "tc>3>3>2"


def test_software_resumes_at_the_ct_action_in_6_12() -> None:
    rig = Rig(REWRITE, kernel="6.12")
    who, out = rig.send(1, client("S", seq=100), 0.0)
    assert (who, [each.port for each in out]) == ("tc", [3, 2])
    assert [each.frame[22] for each in out] == [9, 9]
    assert any("goes on at action 4" in step.text for step in rig.steps)
    counters = rig.installed[0].counters
    assert [counter.packets for counter in counters] == [0, 0, 0, 1, 1]


@KERNELS
def test_a_connection_that_cannot_be_found_again_is_lost(kernel: str) -> None:
    script = """
    tc filter add dev p1 ingress chain 0 prio 1 protocol ip flower ct_state -trk ip_proto tcp \
      action ct zone 2 pipe action goto chain 1
    tc filter add dev p2 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
      action ct zone 2 pipe action goto chain 1
    tc filter add dev p1 ingress chain 1 prio 1 protocol ip flower ct_state +trk+new \
      action ct commit zone 2 pipe action mirred egress redirect dev p2
    tc filter add dev p1 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est ip_proto tcp \
      action pedit ex munge tcp dport set 8080 pipe action csum tcp pipe action goto chain 5
    tc filter add dev p2 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
      action mirred egress redirect dev p1
    tc filter add dev p1 ingress chain 5 prio 1 protocol ip flower skip_hw \
      action mirred egress redirect dev p2
    """
    rig = Rig(script, kernel=kernel)
    rig.shake()
    assert rig.way(1, client("A"), 0.005) == "tc>2"
    assert rig.way(1, client("A"), 0.5) == "hw:lost"
    # 6.1 does not take such a rule if all that it wants is +trk: software gets there.
    rig = Rig(script.replace("+trk+est ip_proto", "+trk ip_proto"), kernel=kernel)
    rig.shake()
    assert rig.way(1, client("A"), 0.5) == ("tc>2" if kernel == "6.1" else "hw:lost")


@KERNELS
def test_ct_clear_forgets(kernel: str) -> None:
    script = """
    tc filter add dev p1 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
      action ct zone 2 pipe action goto chain 1
    tc filter add dev p2 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
      action ct zone 2 pipe action goto chain 1
    tc filter add dev p1 ingress chain 1 prio 1 protocol ip flower ct_state +trk+new \
      action ct commit zone 2 pipe action mirred egress redirect dev p2
    tc filter add dev p1 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
      action ct clear pipe action goto chain 2
    tc filter add dev p2 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
      action mirred egress redirect dev p1
    tc filter add dev p1 ingress chain 2 prio 1 protocol ip flower ct_state -trk \
      action mirred egress redirect dev p3
    """
    rig = Rig(script, kernel=kernel)
    rig.shake()
    assert rig.way(1, client("A"), 0.5) == "hw>3"


@KERNELS
def test_a_masked_label_hits_only_as_a_whole(kernel: str) -> None:
    def build(label: str) -> Rig:
        rig = Rig(f"""
        tc filter add dev p1 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
          action ct zone 2 pipe action goto chain 1
        tc filter add dev p2 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
          action ct zone 2 pipe action goto chain 1
        tc filter add dev p1 ingress chain 1 prio 1 protocol ip flower ct_state +trk+new \
          action ct commit zone 2 label {label} pipe action mirred egress redirect dev p2
        tc filter add dev p1 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
          ct_label 00000000000000000000000000000001/00000000000000000000000000000001 \
          action mirred egress redirect dev p2
        tc filter add dev p2 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
          action mirred egress redirect dev p1
        """, kernel=kernel)  # fmt: skip
        rig.shake()
        return rig

    whole, part = build("0" * 31 + "1"), build("0" * 31 + "3")
    assert whole.way(1, client("A"), 0.5) == "hw>2"
    # The rule wants bit 0 and no other: hardware misses, and software, which looks at bit 0, hits.
    assert part.way(1, client("A"), 0.5) == "tc>2"


@KERNELS
def test_vlan_tags_come_and_go(kernel: str) -> None:
    script = """
    tc filter add dev p1 ingress chain 0 prio 1 protocol 802.1q flower vlan_id 7 vlan_ethtype ip \
      action vlan pop pipe action mirred egress redirect dev p2
    tc filter add dev p2 ingress chain 0 prio 1 protocol ip flower \
      action vlan push id 7 pipe action mirred egress redirect dev p1
    """
    rig = Rig(script, kernel=kernel)
    who, out = rig.send(1, client("A", vlans=[7]))
    assert who == "hw" and out[0].frame == client("A")
    who, out = rig.send(2, client("A"))
    assert who == "hw" and out[0].frame == client("A", vlans=[7])
    assert rig.way(1, client("A", vlans=[8])) == "tc>stack"


@KERNELS
def test_drop_in_hardware(kernel: str) -> None:
    rig = Rig("tc filter add dev p1 ingress prio 1 protocol arp flower action drop", kernel=kernel)
    from ovsct.packet.build import arp

    assert rig.way(1, arp("10.0.0.1", "10.0.0.2")) == "hw:filter"


def test_rewriting_in_hardware_carries_checksums_along() -> None:
    rig = Rig(
        f"""tc filter add dev p1 ingress prio 1 protocol ip flower ip_proto tcp \
      action pedit ex munge ip dst set {GATE} munge tcp dport set 8080 munge ip ttl set 3 pipe \
      action csum ip and tcp pipe action mirred egress redirect dev p2""", kernel="6.12",
    )  # fmt: skip
    who, out = rig.send(1, client("A"))
    assert who == "hw" and addresses(out[0].frame) == (CLIENT, GATE, 1000, 8080)
    assert out[0].frame[22] == 3 and sums_are_right(out[0].frame)


def test_a_filter_that_hardware_has_not_lets_a_later_one_win_there() -> None:
    rig = Rig("""
    tc filter add dev p1 ingress prio 1 protocol ip flower skip_hw ip_proto tcp action drop
    tc filter add dev p1 ingress prio 2 protocol ip flower action mirred egress redirect dev p2
    """)
    assert rig.way(1, client("A")) == "hw>2"


def test_two_filters_that_are_one_to_hardware() -> None:
    rig = Rig("""
    tc filter add dev p1 ingress prio 1 protocol ip flower \
      ct_label 00000000000000000000000000000000/00000000000000000000000000000001 \
      action mirred egress redirect dev p2
    tc filter add dev p1 ingress prio 1 protocol ip flower \
      ct_label 00000000000000000000000000000000/00000000000000000000000000000003 \
      action mirred egress redirect dev p3
    """)
    assert rig.way(1, client("A")) == "hw>2"
    first = rig.installed[0].filter
    rig.ingress.delete(1, 0, first.prio, first.handle)
    assert rig.way(1, client("A")) == "hw>3"


def test_replace_takes_the_old_rule_out() -> None:
    rig = Rig("""tc filter add dev p1 ingress prio 1 handle 1 protocol ip flower \
      action mirred egress redirect dev p2""")
    assert rig.way(1, client("A")) == "hw>2"
    (command,) = read_script("""tc filter replace dev p1 ingress prio 1 handle 1 protocol ip \
      flower action mirred egress redirect dev p3""")
    assert isinstance(command, FilterCommand)
    rig.ingress.replace(command.filter)
    assert rig.way(1, client("A")) == "hw>3"
    assert len(rig.ingress.rules) == 1


def test_a_port_that_is_not_of_the_nic_goes_to_software() -> None:
    rig = Rig("""tc filter add dev p3 ingress prio 1 protocol ip flower \
      action mirred egress redirect dev p2""", nic_ports=(1, 2))
    assert rig.way(3, client("A")) == "tc>2"
    assert rig.lines() == []


def test_limits_of_rules_and_zones() -> None:
    rule = """tc filter add dev p1 ingress prio {0} protocol ip flower \
      action ct zone {0} pipe action mirred egress redirect dev p2\n"""
    rig = Rig("".join(rule.format(n) for n in (1, 2, 3)), profile={"max_zones": 2})
    assert sum("zones: the NIC has no id" in line for line in rig.lines()) == 1
    rig = Rig("".join(rule.format(n) for n in (1, 2, 3)), profile={"max_rules": 1})
    assert sum("full: the NIC has no room" in line for line in rig.lines()) == 2


def test_rules_in_a_circle_end() -> None:
    rig = Rig("tc filter add dev p1 ingress prio 1 protocol ip flower action goto chain 0")
    assert rig.way(1, client("A")) == "hw:chains"


def test_server_first() -> None:
    assert Rig().way(2, server("S")) == "tc>stack"
