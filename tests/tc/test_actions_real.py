"""Actions and hooks beside the common ones, each asked of real kernels: outputs, what the stack
gets, connections and counters.
"""

from __future__ import annotations

import pytest

from ovsct.compare.case import Case, Shot
from ovsct.compare.verify_kernel import KernelVerifier

pytestmark = pytest.mark.real_kernel

UDP = "udp 10.0.0.1:1000 > 10.0.0.2:53"
ON = "filter add dev p1 ingress prio"
OUT = "action mirred egress redirect dev p2"
TO_3 = "action mirred egress redirect dev p3"
TO_4 = "action mirred egress redirect dev p4"
DROP_PIPE = "conform-exceed drop/pipe"
MPLS = "020000000002020000000001 8847"
LABELS = {
    "one label": f"{MPLS} 00005140 45000014",
    "two labels": f"{MPLS} 00005040 00007140 45000014",
    "three labels": f"{MPLS} 00005040 00007040 00009140 45000014",
    "a label cut short": f"{MPLS} 00005040 0000",
}


def case(*commands: str, shots: tuple[Shot, ...] | None = None, line: str = UDP) -> Case:
    """The commands, and (unless `shots` says more) three packets a tenth of a second apart."""
    three = tuple(Shot(1 + n / 10, 1, line) for n in range(3))
    return Case(flows=commands, shots=shots if shots is not None else three)


def at(*times: float, line: str = UDP, port: int = 1) -> tuple[Shot, ...]:
    return tuple(Shot(time, port, line) for time in times)


def clsact(*commands: str) -> tuple[str, ...]:
    return (*(f"qdisc add dev p{port} clsact" for port in (1, 2, 3, 4)), *commands)


CASES = {
    # -- police
    "a bucket of bytes runs dry and fills again": case(
        f"{ON} 1 protocol ip flower action police rate 8000 burst 100 {DROP_PIPE} {OUT}",
        shots=at(1, 1.01, 1.02, 1.03, 1.035, 1.05, 1.07, 1.3, 1.31, 1.32, 1.33, 1.335, 2),
    ),
    "a bucket of packets": case(
        f"{ON} 1 protocol ip flower action police pkts_rate 10 pkts_burst 3"
        f" {DROP_PIPE} {OUT}",
        shots=(Shot(1, 0, ""), *at(5, 5.01, 5.02, 5.03, 5.05, 5.15, 5.16, 5.57, 5.58, 5.59, 5.6)),
    ),
    "a bucket that a packet does not fit into": case(
        f"{ON} 1 protocol ip flower action police rate 8000 burst 40"
        f" conform-exceed pipe/drop {OUT}",
        shots=(*at(1, 2), Shot(3, 1, f"{UDP} len 200")),
    ),
    "an mtu counts the Ethernet header": case(
        f"{ON} 1 protocol ip flower action police mtu 60 {DROP_PIPE} {OUT}",
        shots=(Shot(1, 1, f"{UDP} len 18"), Shot(2, 1, f"{UDP} len 19")),
    ),
    "what conforms and is dropped": case(
        f"{ON} 1 protocol ip flower action police mtu 1500 conform-exceed pipe/drop {OUT}",
    ),
    "an mtu that comes with the rate": case(
        f"{ON} 1 protocol ip flower action police rate 80mbit burst 100k"
        f" {DROP_PIPE} {OUT}",
        shots=(Shot(1, 1, f"{UDP} len 1900"), Shot(2, 1, f"{UDP} len 1958")),
    ),
    "reclassify is what a policer says of its own": case(
        f"{ON} 1 protocol ip flower ip_ttl 64 action police mtu 50",
        f"{ON} 2 protocol ip flower {OUT}",
    ),
    "two filters drink from one bucket": case(
        f"{ON} 1 protocol ip flower ip_proto udp action police rate 8000 burst 100"
        f" {DROP_PIPE} index 5 {OUT}",
        f"{ON} 2 protocol ip flower ip_proto tcp action police rate 800000 burst 10000"
        f" {DROP_PIPE} index 5 {OUT}",
        shots=(*at(1, 1.01), *at(1.02, 1.03, line="tcp 10.0.0.1:1000 > 10.0.0.2:80 S"), *at(1.04)),
    ),
    # -- actions by index
    "who comes second gets the action that is there": case(
        f"{ON} 1 protocol ip flower ip_proto udp action drop index 7",
        f"{ON} 2 protocol ip flower ip_proto tcp action pass index 7",
        shots=(*at(1), *at(2, line="tcp 10.0.0.1:1000 > 10.0.0.2:80 S")),
    ),
    "an action without a filter": case(
        # Of an index of its own: it stays when the case is over.
        "actions add action pass index 1700",
        f"{ON} 1 protocol ip flower action drop index 1700",
    ),
    # -- sample
    "a sampled packet goes on": case(
        f"{ON} 1 protocol ip flower action sample rate 1 group 5 trunc 64 {OUT}",
    ),
    # -- tunnel_key and enc_*
    "metadata is matched in the next chain": case(
        f"{ON} 1 protocol ip flower action tunnel_key set src_ip 198.51.100.1 dst_ip 192.0.2.1"
        " id 7 dst_port 4789 tos 4 ttl 9 action goto chain 1",
        f"{ON} 1 chain 1 protocol ip flower enc_key_id 7 enc_dst_ip 192.0.2.0/24"
        f" enc_src_ip 198.51.100.1 enc_dst_port 4789 enc_tos 4 enc_ttl 9 {OUT}",
    ),
    "the second set replaces all of the first": case(
        f"{ON} 1 protocol ip flower action tunnel_key set src_ip 198.51.100.1 dst_ip 192.0.2.1"
        " id 7 ttl 9 action tunnel_key set src_ip 2001:db8::1 dst_ip 2001:db8::2"
        " action goto chain 1",
        f"{ON} 1 chain 1 protocol ip flower enc_ttl 9 action drop",
        f"{ON} 2 chain 1 protocol ip flower enc_key_id 0 enc_dst_ip 2001:db8::2 {OUT}",
    ),
    "unset": case(
        f"{ON} 1 protocol ip flower action tunnel_key set src_ip 198.51.100.1 dst_ip 192.0.2.1"
        " id 7 action tunnel_key unset action goto chain 1",
        f"{ON} 1 chain 1 protocol ip flower enc_key_id 7 action drop",
        f"{ON} 2 chain 1 protocol ip flower enc_key_id 0 {OUT}",
    ),
    "metadata and a redirect into an ingress": case(
        f"{ON} 1 protocol ip flower action tunnel_key set src_ip 198.51.100.1 dst_ip 192.0.2.1"
        " id 7 action mirred ingress redirect dev p4",
        "filter add dev p4 ingress prio 1 protocol ip flower enc_key_id 7 action mirred egress"
        " redirect dev p2",
        f"filter add dev p4 ingress prio 2 protocol ip flower {TO_3}",
    ),
    # -- skbedit, vlan, pedit
    "inheritdsfield": case(f"{ON} 1 protocol ip flower action skbedit inheritdsfield {OUT}"),
    "an Ethernet header taken off and put on": case(
        f"{ON} 1 protocol ip flower action vlan pop_eth action vlan push_eth"
        f" dst_mac 02:00:00:00:00:77 src_mac 02:00:00:00:00:78 {OUT}",
    ),
    "an Ethernet header onto another is refused": case(
        f"{ON} 1 protocol ip flower action vlan push_eth dst_mac 02:00:00:00:00:77"
        f" src_mac 02:00:00:00:00:78 {OUT}",
    ),
    "pop_eth behind a tag is refused": case(
        f"{ON} 1 protocol ip flower action vlan push id 7 action vlan pop_eth {OUT}",
    ),
    "raw offsets": case(
        f"{ON} 1 protocol ip flower action pedit munge offset 8 u8 set 0x21 munge offset 0 u16 set"
        f" 0x10 retain 0xff munge offset 16 u32 set 0x0a0000ff pipe {OUT}",
    ),
    "invert and preserve": case(
        f"{ON} 1 protocol ip flower action pedit ex munge ip ttl invert munge ip src clear munge"
        f" ip tos preserve pipe {OUT}",
    ),
    # -- keys
    "ranges of ports, one filter after the other": case(
        f"{ON} 1 protocol ip flower ip_proto udp dst_port 50-60 {TO_3}",
        f"{ON} 1 protocol ip flower ip_proto udp dst_port 53-100 {OUT}",
        shots=(*at(1), *at(2, line="udp 10.0.0.1:1 > 10.0.0.2:100"),
               *at(3, line="udp 10.0.0.1:1 > 10.0.0.2:49"),
               *at(4, line="udp 10.0.0.1:1 > 10.0.0.2:60 len 40 frag 24")),
    ),
    "a range and a mask, the mask that was first": case(
        f"{ON} 1 protocol ip flower ip_proto udp dst_port 53 src_port 1-2000 {OUT}",
        f"{ON} 1 protocol ip flower ip_proto udp dst_port 53"
        f" {TO_3}",
        shots=(*at(1), *at(2, line="udp 10.0.0.1:2001 > 10.0.0.2:53")),
    ),
    "the same range twice is refused": case(
        f"{ON} 1 protocol ip flower ip_proto udp dst_port 50-60 {OUT}",
        f"{ON} 1 protocol ip flower ip_proto udp dst_port 50-60 action drop",
    ),
    "labels by depth": case(
        f"{ON} 1 protocol mpls_uc flower mpls lse depth 2 label 7 {OUT}",
        f"{ON} 2 protocol mpls_uc flower mpls lse depth 1 label 5 lse depth 3 bos 1"
        f" {TO_3}",
        f"{ON} 3 protocol mpls_uc flower mpls lse depth 2 ttl 0 action drop",
        shots=tuple(
            Shot(1 + n, 1, f"hex {text.replace(' ', '')}{'00' * 30}")
            for n, text in enumerate(LABELS.values())
        ),
    ),
    "an empty second label needs to be there": case(
        f"{ON} 1 protocol mpls_uc flower mpls lse depth 2 label 0 {OUT}",
        shots=tuple(
            Shot(1 + n, 1, f"hex {text.replace(' ', '')}") for n, text in enumerate(LABELS.values())
        ),
    ),
    # -- blocks and egress
    "two ports, one block": case(
        "qdisc add dev p1 ingress_block 5 ingress", "qdisc add dev p2 ingress_block 5 ingress",
        f"filter add block 5 prio 1 protocol ip flower indev p2 {TO_3}",
        f"filter add block 5 prio 2 protocol ip flower {TO_4}",
        shots=(*at(1), *at(2, port=2), *at(3)),
    ),
    "a queue in a shared block": case(
        "qdisc add dev p1 ingress_block 5 ingress",
        "filter add block 5 prio 1 protocol ip flower action skbedit queue_mapping 0 pipe",
    ),
    "a queue on the way out": case(
        *clsact(
            f"{ON} 1 protocol ip flower {OUT}",
            "filter add dev p2 egress prio 1 flower action skbedit queue_mapping 0 pipe",
        ),
    ),
    "a shared block has one name": case(
        "qdisc add dev p1 ingress_block 5 ingress",
        "filter add dev p1 ingress prio 1 protocol ip flower action drop",
    ),
    "with the qdisc ingress there is one hook, whatever a filter says": case(
        "qdisc add dev p1 ingress", "qdisc add dev p2 ingress",
        f"filter add dev p1 egress prio 1 protocol ip flower {OUT}",
        "filter add dev p2 egress prio 1 protocol ip flower action drop",
    ),
    "filters on the way out": case(
        *clsact(
            f"{ON} 1 protocol ip flower {OUT}",
            "filter add dev p2 egress prio 1 protocol ip flower ip_proto udp action vlan push id 9",
            "filter add dev p2 egress prio 2 protocol ip flower ip_proto tcp action drop",
            "filter add dev p2 egress prio 3 protocol ip flower indev p2 action drop",
            "filter add dev p2 egress prio 4 protocol ip flower indev p1 action vlan push id 8",
        ),
        shots=(*at(1), *at(2, line="tcp 10.0.0.1:1000 > 10.0.0.2:80 S"),
               *at(3, line="icmp 10.0.0.1 > 10.0.0.2 echo")),
    ),
    "ct on the way out": case(
        *clsact(
            f"{ON} 1 protocol ip flower action ct zone 1 pipe {OUT}",
            "filter add dev p2 egress prio 1 protocol ip flower ct_state +trk action drop",
            "filter add dev p2 egress prio 2 protocol ip flower action ct commit zone 1 pipe",
        ),
    ),
    "out, and out again": case(
        *clsact(
            f"{ON} 1 protocol ip flower {OUT}",
            f"filter add dev p2 egress prio 1 protocol ip flower {TO_3}",
            "filter add dev p3 egress prio 1 protocol ip flower action mirred egress mirror dev p4",
        ),
    ),
    "in again on the way out": case(
        *clsact(
            f"{ON} 1 protocol ip flower {OUT}",
            "filter add dev p2 egress prio 1 protocol ip flower"
            " action mirred ingress redirect dev p4",
            f"filter add dev p4 ingress prio 1 protocol ip flower {TO_3}",
        ),
    ),
    "a round of redirects at egress": case(
        *clsact(
            f"{ON} 1 protocol ip flower {OUT}",
            f"filter add dev p2 egress prio 1 protocol ip flower {TO_3}",
            f"filter add dev p3 egress prio 1 protocol ip flower {OUT}",
        ),
        shots=at(1),
    ),
    "a mirrored copy dropped on its way out": case(
        *clsact(
            f"{ON} 1 protocol ip flower action mirred egress mirror dev p3 {OUT}",
            "filter add dev p3 egress prio 1 protocol ip flower action drop",
        ),
    ),
    "a policer on the way out sees the whole frame": case(
        *clsact(
            f"{ON} 1 protocol ip flower {OUT}",
            "filter add dev p2 egress prio 1 protocol ip flower action police mtu 60"
            f" {DROP_PIPE}",
        ),
        shots=(Shot(1, 1, f"{UDP} len 18"), Shot(2, 1, f"{UDP} len 19")),
    ),
    "pieces on the way out": case(
        *clsact(
            f"{ON} 1 protocol ip flower action ct zone 1 pipe {OUT}",
            "filter add dev p2 egress prio 1 protocol ip flower ip_flags firstfrag action drop",
        ),
        shots=(Shot(1, 1, f"{UDP} len 2000 frag 1000,1000"),),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_as_the_kernel(verifier: KernelVerifier, name: str) -> None:
    verdict = verifier.run(CASES[name])
    assert verdict.difference is None, list(verdict.difference.lines())
    refused = verdict.left_out is not None
    assert refused == name.endswith(("is refused", "has one name")) or name in PACKETS_REFUSED
    assert verdict.left_out is None or verdict.left_out.startswith("refused by both")


PACKETS_REFUSED = ("an Ethernet header onto another is refused", "pop_eth behind a tag is refused")
"""Refused as packets, not as commands."""
