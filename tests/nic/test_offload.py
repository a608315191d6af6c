"""The life of an offloaded connection, as a dialogue: time, side, frame, and who forwarded it."""

from __future__ import annotations

import pytest

from ovsct.packet.build import fragment, icmp_echo, ip, tcp, udp
from tests.nic.rig import CLIENT, FIREWALL, SERVER, Rig, answer, ask, client, server

KERNELS = pytest.mark.parametrize("kernel", ["6.1", "6.12"])


@KERNELS
def test_a_connection_moves_to_hardware_after_the_delay(kernel: str) -> None:
    rig = Rig(kernel=kernel, delay=0.01)
    assert rig.shake() == ["tc>2", "tc>1", "tc>2"]
    assert rig.way(1, client("PA", payload=b"x"), 0.011) == "tc>2"
    assert "[OFFLOAD]" in rig.proc()[0]
    assert rig.wait(0.0121) == ["offloaded"]
    assert rig.events[0].at == pytest.approx(0.012)
    assert "[HW_OFFLOAD]" in rig.proc()[0]
    assert rig.way(1, client("PA", payload=b"x"), 0.013) == "hw>2"
    assert rig.way(2, server("A"), 0.014) == "hw>1"


@KERNELS
def test_fin_goes_to_software_and_the_entry_stays_until_the_next_look(kernel: str) -> None:
    rig = Rig(kernel=kernel)
    rig.shake()
    assert rig.way(1, client("A"), 1.2) == "hw>2"
    assert rig.way(1, client("FA"), 1.3) == "tc>2"
    # FIN stuck in hardware: conntrack has moved on, the NIC still says +est.
    assert rig.netfilter.connections(1.3)[0].state == "FIN_WAIT"
    assert rig.way(1, client("A", seq=9999), 1.5) == "hw>2"
    assert rig.way(2, server("A"), 1.9) == "hw>1"
    assert rig.netfilter.connections(1.9)[0].state == "FIN_WAIT"
    assert rig.wait(2.5) == ["offload-removed"]
    assert rig.events[0].at == pytest.approx(2.01)
    assert rig.way(2, server("A"), 2.6) == "tc>1"
    assert rig.netfilter.connections(2.6)[0].state == "CLOSE_WAIT"
    assert not [line for line in rig.lines() if line.startswith("connection")]


@KERNELS
def test_rst_goes_to_software(kernel: str) -> None:
    rig = Rig(kernel=kernel)
    rig.shake()
    assert rig.way(2, server("R", seq=501), 1.2) == "tc>1"
    assert rig.way(1, client("A"), 1.4) == "hw>2"


@KERNELS
def test_an_idle_connection_ages_out_of_hardware(kernel: str) -> None:
    rig = Rig(kernel=kernel)
    rig.shake()
    # Entered at 0.002, so gone at the first look after 30.002, and out of hardware 10 ms later.
    assert rig.wait(30.9) == ["offloaded"]
    assert rig.wait(31.005) == ["offload-aged"]
    assert rig.wait(31.9) == ["offload-removed"]
    assert rig.events[0].at == pytest.approx(31.01)
    assert "ESTABLISHED" in rig.proc()[0]
    assert rig.way(1, client("A"), 33.0) == "tc>2"
    assert "offloaded" in rig.wait(33.5)
    assert rig.way(1, client("A"), 33.6) == "hw>2"


@KERNELS
def test_packets_in_hardware_keep_the_flow_alive(kernel: str) -> None:
    rig = Rig(kernel=kernel)
    rig.shake()
    rig.wait(0.5)
    for second in range(1, 60, 10):
        assert rig.way(1, client("A"), second + 0.5) == "hw>2"
    # The last one at 51.5 was seen by the poll at 52, which gives it until 82.
    assert rig.wait(81.99) == []
    assert rig.wait(82.005) == ["offload-aged"]


def test_a_packet_that_the_counters_show_too_late_does_not_save_the_flow() -> None:
    rig = Rig(kernel="6.12", profile={"poll": 10.0})
    rig.shake()
    # The counters are read at 30 and at 40; the flow ends at 31, and hits at 30.5.
    assert rig.way(1, client("A"), 30.5) == "hw>2"
    assert rig.wait(31.005) == ["offload-aged"]


def test_udp_one_way_is_established_at_once_in_6_1() -> None:
    rig = Rig(kernel="6.1")
    assert rig.way(1, ask(), 0.0) == "tc>2"
    assert rig.wait(0.5) == ["offloaded"]
    assert "+trk+est" in rig.events[0].text and "reply" not in rig.events[0].text
    assert rig.way(1, ask(), 0.6) == "hw>2"
    # Conntrack has not seen an answer: in software the same packet would be new.
    assert "[UNREPLIED]" in rig.proc()[0]
    assert rig.way(2, answer(), 0.7) == "tc>1"


def test_udp_one_way_is_new_in_6_12_and_renewed_by_the_answer() -> None:
    rig = Rig(kernel="6.12")
    assert rig.way(1, ask(), 0.0) == "tc>2"
    rig.wait(0.5)
    assert "+trk+new" in rig.events[0].text
    assert rig.way(1, ask(), 0.6) == "hw>2"
    assert "+trk+new" in "".join(step.text for step in rig.steps)
    assert rig.way(2, answer(), 0.7) == "tc>1"
    assert rig.wait(0.8) == ["offloaded"]
    assert "original in hardware with ct_state=+trk+est " in rig.events[0].text
    assert rig.way(1, ask(), 0.9) == "hw>2"


@KERNELS
def test_udp_both_ways_once_it_is_assured(kernel: str) -> None:
    rig = Rig(kernel=kernel)
    rig.way(1, ask(), 0.0)
    assert rig.way(2, answer(), 0.1) == "tc>1"
    assert rig.way(2, answer(), 2.5) == "tc>1"
    assert "assured" in rig.netfilter.connections(2.5)[0].status
    # The next answer finds it assured: from now on hardware has the reply direction too.
    assert rig.way(2, answer(), 2.6) == "tc>1"
    assert "offloaded" in rig.wait(2.7)
    assert rig.way(2, answer(), 2.8) == "hw>1"


def test_an_answer_that_hardware_was_not_told_of_ends_the_entry() -> None:
    rig = Rig(kernel="6.12")
    rig.way(1, ask(), 0.0)
    rig.wait(0.5)
    # With IP options the answer passes the flow table by, so that nothing is renewed.
    assert rig.way(2, answer(ip_options=bytes(4)), 0.7) == "tc>1"
    assert rig.wait(1.5) == ["offload-removed"]


@KERNELS
def test_mark_and_label_are_those_of_the_moment_of_offload(kernel: str) -> None:
    script = """
    tc filter add dev p1 ingress chain 0 prio 1 protocol ip flower ct_state -trk ip_proto tcp \
      action ct zone 2 pipe action goto chain 1
    tc filter add dev p2 ingress chain 0 prio 1 protocol ip flower ct_state -trk \
      action ct zone 2 pipe action goto chain 1
    tc filter add dev p1 ingress chain 0 prio 2 protocol ip flower ip_proto 99 \
      action ct commit zone 2 mark 0x7 pipe action mirred egress redirect dev p2
    tc filter add dev p1 ingress chain 1 prio 1 protocol ip flower ct_state +trk+new \
      action ct commit zone 2 mark 0x5 label 00000000000000000000000000000009 pipe \
      action mirred egress redirect dev p2
    tc filter add dev p1 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est ct_mark 0x5 \
      action mirred egress redirect dev p2
    tc filter add dev p1 ingress chain 1 prio 3 protocol ip flower ct_state +trk+est ct_mark 0x7 \
      action mirred egress redirect dev p3
    tc filter add dev p2 ingress chain 1 prio 2 protocol ip flower ct_state +trk+est \
      action mirred egress redirect dev p1
    """
    rig = Rig(script, kernel=kernel)
    rig.shake()
    rig.wait(0.5)
    assert "mark=0x5 label=0x9" in rig.events[0].text
    assert rig.way(1, client("A"), 0.6) == "hw>2"
    next(iter(rig.netfilter.entries())).mark = 7
    assert rig.way(1, client("A"), 0.7) == "hw>2"
    # Software reads the mark as it is now: what does not fit into hardware goes elsewhere.
    assert rig.way(1, client("FA"), 0.8) == "tc>3"


@KERNELS
def test_windows_ttl_options_checksums_and_flags_are_not_looked_at(kernel: str) -> None:
    rig = Rig(kernel=kernel)
    rig.shake()
    rig.wait(0.5)
    assert rig.way(1, client("A", seq=0x7000_0000, ack=0x7000_0000)) == "hw>2"
    assert rig.way(1, client("A", ttl=1)) == "hw>2"
    assert rig.way(1, client("A", ip_options=bytes(4))) == "hw>2"
    assert rig.way(1, client("A", bad="l4")) == "hw>2"
    assert rig.way(1, client("A", bad="ip")) == "hw>2"
    assert rig.way(1, client("S")) == "hw>2"
    assert rig.way(1, client("")) == "hw>2"


@KERNELS
def test_fragments_go_to_software(kernel: str) -> None:
    rig = Rig(kernel=kernel)
    rig.shake()
    rig.wait(0.5)
    frame = fragment(client("A", payload=bytes(64)), [40])[0]
    assert rig.way(1, frame).startswith("tc")
    assert "no entry" in "".join(step.text for step in rig.steps)


@KERNELS
def test_padding_stays_in_hardware_and_goes_in_software(kernel: str) -> None:
    rig = Rig(kernel=kernel)
    rig.shake()
    padded = client("A").ljust(60, b"\0")
    who, outputs = rig.send(1, padded, 0.005)
    assert (who, len(outputs[0].frame)) == ("tc", 54)
    who, outputs = rig.send(1, padded, 0.5)
    assert (who, len(outputs[0].frame)) == ("hw", 60)


@KERNELS
def test_ipv6(kernel: str) -> None:
    rig = Rig(FIREWALL.replace("protocol ip ", "protocol ipv6 "), kernel=kernel)
    a, b = "fd00::1", "fd00::2"
    rig.way(1, tcp(a, b, 1000, 80, "S", seq=100), 0.0)
    rig.way(2, tcp(b, a, 80, 1000, "SA", seq=500, ack=101), 0.001)
    rig.way(1, tcp(a, b, 1000, 80, "A", seq=101, ack=501), 0.002)
    rig.wait(0.5)
    assert rig.way(1, tcp(a, b, 1000, 80, "A", seq=101, ack=501)) == "hw>2"
    assert rig.way(2, tcp(b, a, 80, 1000, "A", seq=501, ack=101)) == "hw>1"
    assert any("[fd00::1]:1000>[fd00::2]:80" in line for line in rig.lines())


def test_icmp_is_never_offloaded() -> None:
    rig = Rig()
    for n in range(3):
        assert rig.way(1, icmp_echo(CLIENT, SERVER, 7, n), n) == "tc>2"
        assert rig.way(2, icmp_echo(SERVER, CLIENT, 7, n, reply=True), n + 0.1) == "tc>1"
    assert rig.wait(9.0) == []


# -- what does not get into hardware ------------------------------------------------------------


def failed(rig: Rig, until: float) -> str:
    rig.wait(until)
    return " ".join(event.text for event in rig.events if event.kind == "offload-failed")


def test_no_rule_in_hardware_tracks_in_the_zone() -> None:
    rig = Rig(FIREWALL.replace("flower", "flower skip_hw"))
    rig.shake()
    assert "no rule in hardware tracks in its zone" in failed(rig, 0.5)
    assert rig.way(1, client("A")) == "tc>2"
    assert "[OFFLOAD]" in rig.proc()[0]
    assert sum("skip-hw" in line for line in rig.lines()) == 5


def test_the_table_is_full() -> None:
    rig = Rig(profile={"max_connections": 1})
    rig.shake()
    assert rig.wait(0.5) == ["offloaded"]
    assert rig.way(1, client("A")) == "hw>2"
    # There was room for one direction only.
    assert rig.way(2, server("A")) == "tc>1"
    other = Rig(profile={"max_connections": 0})
    other.shake()
    assert "the table is full" in failed(other, 0.5)


def test_a_protocol_that_the_nic_does_not_offload() -> None:
    rig = Rig(profile={"protocols": [6]})
    rig.way(1, ask(), 0.0)
    assert "its protocol is not offloaded" in failed(rig, 0.5)


def test_an_old_entry_with_the_same_tuple_keeps_a_new_one_out() -> None:
    rig = Rig(kernel="6.12")
    rig.shake(0.1)
    rig.wait(0.5)
    # A RST that conntrack takes for a challenge: established it stays, and enters the table anew
    # while hardware still holds the old flow.
    assert rig.way(2, server("R", seq=505), 1.05) == "tc>1"
    assert "an older entry with its tuple is still there" in failed(rig, 1.5)
    assert rig.way(1, client("A"), 1.6) == "hw>2"
    rig.wait(2.5)
    assert rig.way(1, client("A"), 2.6) == "tc>2"
    assert rig.wait(2.7) == ["offloaded"]
    assert rig.way(1, client("A"), 2.8) == "hw>2"


def test_the_last_rule_of_a_zone_takes_its_connections_along() -> None:
    rig = Rig()
    rig.shake()
    rig.wait(0.5)
    for port in (1, 2):
        rig.ingress.delete(port, 0)
    assert rig.wait(0.6) == ["offload-removed", "offload-removed"]
    assert not [line for line in rig.lines() if line.startswith("connection")]
    # Software finds the connection in its own table, and hardware is asked again by a refresh.
    rig.add(FIREWALL.split("tc filter add dev p1 ingress chain 1", maxsplit=1)[0])
    assert rig.way(1, client("A"), 2.0) == "tc>2"
    assert rig.wait(2.1) == ["offloaded"]
    assert rig.way(1, client("A"), 2.2) == "hw>2"


def test_a_connection_that_is_deleted_stays_in_hardware_until_the_next_look() -> None:
    rig = Rig()
    rig.shake()
    rig.wait(0.5)
    rig.netfilter.kill(next(iter(rig.netfilter.entries())))
    assert rig.way(1, client("A"), 0.6) == "hw>2"
    assert "offload-removed" in rig.wait(1.5)
    assert rig.way(1, client("A", seq=5), 1.6) == "tc>2"


# -- counters -----------------------------------------------------------------------------------


def test_counters_of_filters_come_with_the_poll_and_count_whole_frames() -> None:
    rig = Rig()
    rig.shake()
    rig.wait(0.5)
    first = rig.installed[0].counters[0]
    before = first.packets, first.bytes
    rig.way(1, client("A", payload=bytes(100)), 0.6)
    assert (first.packets, first.bytes) == before
    rig.wait(1.1)
    # 154 bytes of a frame, where software counts 140 without the Ethernet header.
    assert (first.packets - before[0], first.bytes - before[1]) == (1, 154)
    assert first.used == 1.0


def test_accounting_of_connections_follows_the_counters() -> None:
    rig = Rig(sysctls={"acct": 1})
    rig.shake()
    rig.wait(0.5)
    entry = next(iter(rig.netfilter.entries()))
    assert entry.extra is not None
    before = entry.extra.packets[0], entry.extra.bytes[0]
    rig.way(1, client("A"), 5.5)
    rig.wait(7.5)
    assert (entry.extra.packets[0] - before[0], entry.extra.bytes[0] - before[1]) == (1, 54)


def test_udp_in_hardware_does_not_refresh_conntrack_but_keeps_the_flow() -> None:
    rig = Rig(kernel="6.1")
    rig.way(1, ask(), 0.0)
    rig.wait(0.5)
    for second in range(1, 100, 5):
        assert rig.way(1, ask(), second + 0.5) == "hw>2"
    assert "[HW_OFFLOAD]" in rig.proc()[0]


def test_unknown_traffic_never_hits() -> None:
    rig = Rig()
    rig.shake()
    rig.wait(0.5)
    assert rig.way(1, udp(CLIENT, SERVER, 1000, 80)) == "tc>2"
    assert rig.way(1, ip(CLIENT, SERVER, 99, b"abcd")) == "tc>2"


@KERNELS
def test_work_that_is_queued_is_done_for_a_closed_connection_too(kernel: str) -> None:
    rig = Rig(kernel=kernel, delay=3.0)
    rig.shake()
    assert rig.way(1, client("FA"), 0.5) == "tc>2"
    # Written at 3.002 for a connection in FIN_WAIT, taken out 3 s after the look at 4.
    assert rig.wait(3.1)[-1] == "offloaded"
    assert rig.way(1, client("A"), 3.2) == "hw>2"
    assert rig.wait(6.9) == []
    assert rig.way(2, server("A"), 6.95) == "hw>1"
    assert rig.wait(7.1) == ["offload-removed"]
    assert len(rig.ingress.ct) == 0
