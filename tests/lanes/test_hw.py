"""The lane ``hw`` as a whole: OpenFlow flows in, frames through, and which engine had them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.errors import InputError
from ovsct.lane import Arrival, Drop, Event, EventKind, Lane, Outcome, Output, StepKind, Via
from ovsct.lanes.hw import HwLane
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.openflow.text.flow_text import read_flows
from ovsct.packet.build import fragment, icmp_echo, tcp
from tests.nic.rig import CLIENT, SERVER, answer, ask, client, server

KERNELS = pytest.mark.parametrize("kernel", ["6.1", "6.12"])

FIREWALL = """
table=0,priority=100,ip,ct_state=-trk,actions=ct(table=1,zone=5)
table=1,priority=100,ip,in_port=1,ct_state=+trk+new,actions=ct(commit,zone=5),2
table=1,priority=100,ip,in_port=1,ct_state=+trk+est,actions=2
table=1,priority=100,ip,in_port=2,ct_state=+trk+est,actions=1
table=1,priority=0,actions=drop
"""


def lane(flows: str = FIREWALL, **options: Any) -> HwLane:
    options.setdefault("delay", 0.01)
    return HwLane(Bridge((1, 2, 3), read_flows(flows)), **options)


def software(flows: str = FIREWALL, **options: Any) -> OvsKernel:
    return OvsKernel(Bridge((1, 2, 3), read_flows(flows)), **options)


def send(to: Lane, at: float, port: int, frame: bytes) -> Outcome:
    to.advance(at)
    return to.receive(Arrival(at, port, frame))


def way(to: Lane, at: float, port: int, frame: bytes) -> str:
    """Engines and ports, as ``hw,tc>2``."""
    done = send(to, at, port, frame)
    ends = "".join(f">{output.port}" for output in done.out) or f":{done.drop}"
    return ",".join(done.via) + ends


def kinds(events: Sequence[Event]) -> list[EventKind]:
    return [event.kind for event in events]


def shake(to: Lane, at: float = 0.0) -> None:
    """A handshake, and a packet each way so that every megaflow is there."""
    for step, (port, frame) in enumerate((
        (1, client("S", seq=100)), (2, server("SA", seq=500, ack=101)),
        (1, client("A")), (2, server("A")),
    )):  # fmt: skip
        assert send(to, at + step / 1000, port, frame).out


@KERNELS
def test_handshake_then_data_in_hardware(kernel: str) -> None:
    hw = lane(kernel=kernel)
    assert way(hw, 0.0, 1, client("S", seq=100)) == "slow>2"
    assert way(hw, 0.001, 2, server("SA", seq=500, ack=101)) == "slow>1"
    # Hardware has the filter of chain 0 and no connection; chain 1 has no filter yet.
    assert way(hw, 0.002, 1, client("A")) == "hw,tc,slow>2"
    assert way(hw, 0.003, 1, client("PA", payload=b"x")) == "hw,tc>2"
    assert way(hw, 0.02, 1, client("PA", payload=b"x")) == "hw>2"
    assert way(hw, 0.03, 2, server("A")) == "hw>1"


@KERNELS
def test_the_packets_in_between_go_through_software(kernel: str) -> None:
    hw = lane(kernel=kernel, delay=0.5)
    shake(hw)
    for step in range(1, 5):
        assert way(hw, step / 10, 1, client("A")) == "hw,tc>2"
    assert kinds(hw.advance(0.51)) == [EventKind.OFFLOADED]
    assert way(hw, 0.52, 1, client("A")) == "hw>2"


@KERNELS
def test_a_closed_connection_lets_a_syn_in(kernel: str) -> None:
    """FIN stuck in hardware: what conntrack takes for a new connection is +est to the NIC."""
    both = lane(kernel=kernel), software(kernel=kernel)
    ends = []
    for each in both:
        shake(each)
        assert send(each, 0.9, 1, client("A")).out
        assert send(each, 1.1, 1, client("FA")).out
        assert send(each, 1.2, 2, server("FA", ack=102)).out
        assert send(each, 1.3, 1, client("A", seq=102, ack=502)).out
        ends.append((way(each, 1.5, 2, server("S", seq=9000)), way(each, 4.0, 2, server("S"))))
    (early, late), (wanted, again) = ends
    assert early == "hw>1" and wanted == "datapath,slow:actions"
    assert late.endswith((":filter", ":actions"))
    assert again.endswith(":actions")


@KERNELS
def test_events_of_a_life(kernel: str) -> None:
    hw = lane(kernel=kernel)
    shake(hw)
    events = [event for at in (0.5, 1.0) for event in hw.advance(at)]
    send(hw, 1.1, 1, client("FA"))
    send(hw, 1.2, 2, server("A", ack=102))
    events += hw.advance(3.5)
    assert [(event.at, event.kind) for event in events] == [
        (pytest.approx(0.012), EventKind.OFFLOADED),
        (pytest.approx(2.01), EventKind.OFFLOAD_REMOVED),
        (3.0, EventKind.OFFLOAD_REMOVED),
    ]
    assert events[0].text.startswith("proto 6 10.0.0.1:1000 > 10.0.0.2:80 zone 5: original in")
    assert events[1].text.endswith("taken out of hardware")


@KERNELS
def test_idle_ageing(kernel: str) -> None:
    hw = lane(kernel=kernel)
    shake(hw)
    hw.advance(0.5)
    for second in range(1, 20):
        assert way(hw, second + 0.5, 1, client("A")) == "hw>2"
    # The last was seen by the poll at 20: the flow ends at 50. Megaflows idle out after 10 s, and
    # the last rule that tracks in the zone takes its connections along.
    found = [(round(event.at, 2), event.kind) for event in hw.advance(60.0)
             if event.kind is not EventKind.CONNECTION_EXPIRED]  # fmt: skip
    assert (50.0, EventKind.OFFLOAD_AGED) in found
    assert found[-1] == (51.0, EventKind.OFFLOAD_REMOVED)


def test_megaflows_live_by_the_counters_of_hardware() -> None:
    hw = lane()
    shake(hw)
    hw.advance(0.5)
    for second in range(1, 40):
        assert way(hw, second + 0.5, 1, client("A")) == "hw>2"
    lines = [line for line in hw.lowered("nic") if line.startswith("rule port=1")]
    assert len(lines) == 2
    flows = [line for line in hw.dump_flows() if "in_port(1)" in line and "+est" in line]
    # 39 packets of 54 bytes, the last of which the poll at 40 will show.
    assert "packets:38, bytes:2052, used:0.500s" in flows[0]


def test_udp_one_way_then_two_way() -> None:
    hw = lane(kernel="6.12")
    assert way(hw, 0.0, 1, ask()) == "slow>2"
    assert way(hw, 0.1, 1, ask()) == "hw,tc>2"
    # Hardware says +new of it, and has the rule for +new; the commit of that rule it does not do.
    assert way(hw, 0.2, 1, ask()) == "hw>2"
    assert way(hw, 0.3, 2, answer()) == "slow>1"
    assert way(hw, 0.4, 2, answer()) == "hw,tc>1"
    # Now it is +est, for which there is no megaflow yet in chain 1.
    assert way(hw, 0.5, 1, ask()) == "hw,tc,slow>2"
    assert way(hw, 0.6, 1, ask()) == "hw>2"
    send(hw, 2.5, 2, answer())
    send(hw, 2.6, 2, answer())
    assert way(hw, 2.8, 2, answer()) == "hw>1"


def test_a_changed_mark_stays_stale() -> None:
    flows = """
    table=0,priority=100,ip,ct_state=-trk,actions=ct(table=1)
    table=0,priority=200,in_port=3,tcp,actions=ct(commit,exec(set_field:7->ct_mark),table=1)
    table=1,priority=100,ip,in_port=1,ct_state=+trk+new,actions=ct(commit,exec(set_field:5->ct_mark)),2
    table=1,priority=100,ip,ct_state=+trk+est,ct_mark=5,actions=2
    table=1,priority=100,ip,ct_state=+trk+est,ct_mark=7,actions=3
    """
    hw = lane(flows)
    # The answers go to 2 as well: only the connection matters here.
    for step, (port, frame) in enumerate((
        (1, client("S", seq=100)), (2, server("SA", seq=500, ack=101)), (1, client("A")),
        (1, client("A")),
    )):  # fmt: skip
        send(hw, step / 1000, port, frame)
    assert way(hw, 0.5, 1, client("A")) == "hw>2"
    send(hw, 0.6, 3, client("A"))
    assert hw.connections()[0].mark == 7
    assert way(hw, 0.7, 1, client("A")) == "hw>2"
    assert any("mark=0x5" in line for line in hw.lowered("nic"))


def test_a_rule_for_inv_is_refused() -> None:
    flows = FIREWALL.replace("table=1,priority=0,actions=drop",
                             "table=1,priority=200,ip,ct_state=+trk+inv,actions=3")  # fmt: skip
    hw = lane(flows, trace=True)
    # A RST that belongs to nothing.
    done = send(hw, 0.0, 1, client("R"))
    assert [output.port for output in done.out] == [3]
    told = [step.text for step in done.steps if step.kind is StepKind.HARDWARE]
    refused = "is not in hardware: ct-state-set: matching on ct_state +inv isn't supported"
    assert any(text.endswith(refused) for text in told)
    assert way(hw, 0.1, 1, client("R")) == "hw,tc>3"
    assert any(line.startswith("software only port=1 chain=1") for line in hw.lowered("nic"))


NAT = """
table=0,priority=100,ip,ct_state=-trk,actions=ct(table=1,zone=5,nat)
table=1,priority=100,ip,in_port=1,ct_state=+trk+new,actions=ct(commit,zone=5,nat(src=192.0.2.1)),2
table=1,priority=100,ip,in_port=1,ct_state=+trk+est,actions=2
table=1,priority=100,ip,in_port=2,ct_state=+trk+est,actions=1
"""


@KERNELS
def test_nat_in_hardware_is_that_of_software(kernel: str) -> None:
    both = lane(NAT, kernel=kernel), software(NAT, kernel=kernel)
    back = "192.0.2.1"
    talk = [
        (1, client("S", seq=100)),
        (2, tcp(SERVER, back, 80, 1000, "SA", seq=500, ack=101)),
        (1, client("A")),
        (2, tcp(SERVER, back, 80, 1000, "A", seq=501, ack=101)),
        (1, client("PA", payload=b"hello")),
        (2, tcp(SERVER, back, 80, 1000, "A", seq=501, ack=106)),
    ]
    for n, (port, frame) in enumerate(talk):
        got, wanted = (send(each, n / 10, port, frame) for each in both)
        assert got.out == wanted.out and got.out
    assert got.via == (Via.HW,)


def test_what_hardware_does_not_look_at() -> None:
    """Windows, TTL, options, checksums: conntrack would say +inv of some of these."""
    hw, ovs = lane(), software()
    for each in (hw, ovs):
        shake(each)
        each.advance(0.5)
    frames = {
        "window": client("A", seq=0x70000000),
        "ttl": client("A", ttl=1),
        "options": client("A", ip_options=bytes(4)),
        "checksum": client("A", bad="l4"),
        "flags": client(""),
        "answer without a question": client("SA"),
    }
    alike = {}
    for name, frame in frames.items():
        done = hw.receive(Arrival(0.5, 1, frame))
        assert done.via == (Via.HW,) and done.out == [Output(2, frame)], name
        alike[name] = list(ovs.receive(Arrival(0.5, 1, frame)).out) == list(done.out)
    assert alike == {
        "window": True, "ttl": True, "options": True, "checksum": False, "flags": False,
        "answer without a question": False,
    }  # fmt: skip


def test_fragments_and_icmp_go_to_software() -> None:
    hw = lane()
    shake(hw)
    hw.advance(0.5)
    for n in range(2):
        send(hw, 0.6 + n / 10, 1, icmp_echo(CLIENT, SERVER, 7, n))
    assert way(hw, 0.9, 1, icmp_echo(CLIENT, SERVER, 7, 3)) == "hw,tc>2"
    first = fragment(client("A", payload=bytes(64)), [40])[0]
    assert not way(hw, 1.0, 1, first).startswith("hw>")


@KERNELS
def test_a_chain_that_hardware_lacks_goes_on_in_the_datapath_with_the_connection(
    kernel: str,
) -> None:
    """Hardware tracks, TC cannot hold the next megaflow (a controller action), OVS goes on."""
    flows = FIREWALL.replace("in_port=1,ct_state=+trk+est,actions=2",
                             "in_port=1,ct_state=+trk+est,actions=controller,2")  # fmt: skip
    hw, ovs = lane(flows, kernel=kernel), software(flows, kernel=kernel)
    for each in (hw, ovs):
        shake(each)
    for at in (0.5, 0.6):
        got, wanted = (send(each, at, 1, client("A")) for each in (hw, ovs))
        assert got.out == wanted.out and got.via[0] is Via.HW and Via.SLOW in got.via


@KERNELS
def test_nat_bits_reach_the_datapath_behind_hardware(kernel: str) -> None:
    """The next megaflow matches +snat, which TC has no bit for: OVS must see it all the same."""
    flows = NAT.replace("in_port=1,ct_state=+trk+est,", "in_port=1,ct_state=+trk+est+snat,")
    hw = lane(flows, kernel=kernel)
    for step, (port, frame) in enumerate((
        (1, client("S", seq=100)),
        (2, tcp(SERVER, "192.0.2.1", 80, 1000, "SA", seq=500, ack=101)),
        (1, client("A")),
    )):  # fmt: skip
        assert send(hw, step / 1000, port, frame).out
    done = send(hw, 0.5, 1, client("A"))
    assert done.via[0] is Via.HW and Via.DATAPATH in done.via
    assert [output.port for output in done.out] == [2]


def test_dump_conntrack_shows_hardware() -> None:
    hw = lane()
    shake(hw)
    assert "[OFFLOAD]" in hw.dump_conntrack("proc")[0]
    hw.advance(0.5)
    assert "[HW_OFFLOAD]" in hw.dump_conntrack("proc")[0]


def test_lowered() -> None:
    hw = lane()
    shake(hw)
    hw.advance(0.5)
    lines = hw.lowered("nic")
    assert [line.split()[0] for line in lines].count("connection") == 2
    assert any("actions=[ct zone 5, goto chain 1]" in line for line in lines)
    assert all("skip_hw" not in line for line in hw.lowered("tc"))
    assert hw.lowered("odp") == hw.dump_flows()
    with pytest.raises(InputError, match="installs nothing of this kind: 'ofp'"):
        hw.lowered("ofp")


def test_time_that_nobody_advanced() -> None:
    """Work that is due is done before a packet, and told of at the next advance."""
    hw = lane()
    shake(hw)
    assert hw.receive(Arrival(0.5, 1, client("A"))).via == (Via.HW,)
    assert kinds(hw.advance(0.6)) == [EventKind.OFFLOADED]


def test_wrong_ports_short_frames_and_profiles() -> None:
    hw = lane()
    with pytest.raises(InputError, match="packet on port 9"):
        hw.receive(Arrival(0.0, 9, client("A")))
    assert hw.receive(Arrival(0.0, 1, b"\0" * 13)).drop is Drop.MALFORMED
    with pytest.raises(InputError, match="no such NIC profile"):
        lane(profile="e1000")
    assert lane(profile={"max_rules": 0}).profile.max_rules == 0


def test_a_nic_that_takes_nothing_is_the_lane_tc() -> None:
    hw = lane(profile={"max_rules": 0})
    shake(hw)
    send(hw, 0.005, 1, client("A"))
    assert kinds(hw.advance(0.5)) == [EventKind.OFFLOAD_FAILED]
    assert way(hw, 0.5, 1, client("A")) == "tc>2"
    assert "[OFFLOAD]" in hw.dump_conntrack("proc")[0]


def test_the_bridge_s_own_port_is_not_in_the_nic() -> None:
    hw = lane("ip,in_port=1,actions=LOCAL\nip,in_port=2,actions=1")
    for port in (1, 2):
        send(hw, 0.0, port, client("A"))
    assert way(hw, 0.1, 2, client("A")) == "hw>1"
    assert way(hw, 0.1, 1, client("A")) == "tc>65534"
    assert any(" ingress: redirect" in line for line in hw.lowered("nic"))
