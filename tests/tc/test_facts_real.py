"""What TC and act_ct do, rule by rule, asked of real kernels: where does each packet go?

The names say which rule; docs/tc.md has the functions of the kernel that it is from.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ovsct.compare.case import Case, Shot
from ovsct.compare.verify_kernel import KernelVerifier
from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.lanes.tc_script import TcScript

pytestmark = pytest.mark.real_kernel

PORTS = (1, 2, 3, 4)
ON = "filter add dev p1 ingress prio"
BACK = "filter add dev p2 ingress prio"
TO_2 = "action mirred egress redirect dev p2"
TO_1 = "action mirred egress redirect dev p1"
TO_3 = "action mirred egress redirect dev p3"
IP = "protocol ip flower"
UDP = "udp 10.0.0.1:1000 > 10.0.0.2:53"
SYN = "tcp 10.0.0.1:1000 > 10.0.0.2:80 S seq 100"
GO, COME = "tcp 10.0.0.1:1000 > 10.0.0.2:80", "tcp 10.0.0.2:80 > 10.0.0.1:1000"

SHAKE = (
    Shot(1, 1, f"{GO} S seq 100"), Shot(1.1, 2, f"{COME} SA seq 500 ack 101"),
    Shot(1.2, 1, f"{GO} A seq 101 ack 501"), Shot(1.3, 1, f"{GO} PA seq 101 ack 501 len 10"),
)  # fmt: skip
FIREWALL = (
    f"{ON} 1 {IP} action ct zone 1 pipe action goto chain 1",
    f"{ON} 1 chain 1 {IP} ct_state +trk+new action ct commit zone 1 pipe {TO_2}",
    f"{ON} 1 chain 1 {IP} ct_state +trk+est {TO_2}",
    f"{ON} 2 chain 1 {IP} ct_state +trk+inv {TO_3}",
    f"{BACK} 1 {IP} action ct zone 1 pipe action goto chain 1",
    f"{BACK} 1 chain 1 {IP} ct_state +trk+est {TO_1}",
    f"{BACK} 2 chain 1 {IP} ct_state +trk+inv {TO_3}",
)
OPEN = [[2], [1], [2], [2]]
"""Where the handshake and the first data go through FIREWALL."""


def udp(*commands: str, to: list[list[int | str]], line: str = UDP) -> tuple[Case, object]:
    """The commands with as many packets into port 1 as there are answers."""
    shots = tuple(Shot(1 + n / 10, 1, line) for n in range(len(to)))
    return Case(flows=commands, shots=shots), to


def talk(*more: Shot, to: list[list[int | str]], rules: tuple[str, ...] = FIREWALL) -> object:
    """A handshake through a firewall, and then what `more` says."""
    return Case(flows=rules, shots=(*SHAKE, *more)), [*OPEN, *to]


def chain(jumps: int) -> list[str]:
    """`jumps` goto in a row, the last to a chain that sends."""
    rules = [f"{ON} 1 chain {n} {IP} action goto chain {n + 1}" for n in range(jumps)]
    return [*rules, f"{ON} 1 chain {jumps} {IP} {TO_2}"]


REFUSED = "refused"
STACK = "stack"

FACTS: dict[str, object] = {
    "1.2 a priority has one protocol": udp(
        f"{ON} 1 {IP} {TO_2}", f"{ON} 1 protocol ipv6 flower {TO_3}", to=[]
    ),
    "1.2 a tagged packet is of its tag's type": udp(
        f"{ON} 1 {IP} {TO_2}", f"{ON} 2 protocol 802.1Q flower {TO_3}", to=[[3]],
        line=f"{UDP} vlan 5",
    ),
    "1.2 the second of two tags does not count": udp(
        f"{ON} 1 protocol 802.1ad flower {TO_3}", f"{ON} 2 protocol 802.1Q flower {TO_2}",
        to=[[2]], line=f"{UDP} vlan 5 vlan 6",
    ),
    "1.3 who comes later without a priority is asked earlier": udp(
        f"filter add dev p1 ingress {IP} {TO_2}", f"filter add dev p1 ingress {IP} {TO_3}",
        to=[[3]],
    ),
    "1.4 continue goes on at the next priority": udp(
        f"{ON} 1 {IP} ip_proto udp action continue", f"{ON} 1 {IP} {TO_3}", f"{ON} 2 {IP} {TO_2}",
        to=[[2]],
    ),
    "1.5 an empty chain does not come back": udp(
        f"{ON} 1 {IP} action goto chain 7", f"{ON} 2 {IP} {TO_2}", to=[[STACK]],
    ),
    "1.5 nor does a chain in which nothing matches": udp(
        f"{ON} 1 {IP} action goto chain 7", f"{ON} 1 chain 7 {IP} ip_proto tcp {TO_3}",
        f"{ON} 2 {IP} {TO_2}", to=[[STACK]],
    ),
    "1.5 a chain has 28 bits": udp(
        f"{ON} 1 {IP} action goto chain 268435455", f"{ON} 1 chain 268435455 {IP} {TO_2}",
        to=[[2]],
    ),
    "1.6 sixteen jumps pass": udp(*chain(16), to=[[2]]),
    "1.6 the seventeenth drops": udp(*chain(17), to=[[]]),
    "1.7 reclassify begins anew, tracked": udp(
        f"{ON} 1 {IP} ct_state -trk action ct zone 1 pipe action reclassify",
        f"{ON} 2 {IP} ct_state +trk+new {TO_2}", to=[[2]],
    ),
    "1.8 a last pipe lets the packet pass": udp(
        f"{ON} 1 {IP} action ct zone 2 pipe", f"{ON} 2 {IP} {TO_2}", to=[[STACK]],
    ),
    "1.8 so does a filter without actions": udp(
        f"{ON} 1 {IP}", f"{ON} 2 {IP} {TO_2}", to=[[STACK]],
    ),
    "1.8 thirty-two actions": udp(
        f"{ON} 1 {IP} " + "action skbedit mark 1 " * 31 + TO_2, to=[[2]],
    ),
    **{
        f"1.9 {verdict}": udp(f"{ON} 1 {IP} action {verdict}", f"{ON} 2 {IP} {TO_2}", to=[where])
        for verdict, where in (
            ("ok", [STACK]), ("drop", []), ("trap", []), ("continue", [2]), ("pipe", [STACK]),
        )
    },
    "1.9 reclassify for ever": udp(f"{ON} 1 {IP} action reclassify", to=[[]]),
    "1.10 the copy of a mirror is not tracked any more, the packet is": udp(
        f"{ON} 1 {IP} action ct zone 1 pipe action mirred ingress mirror dev p4"
        " action goto chain 1",
        f"{ON} 1 chain 1 {IP} ct_state +trk {TO_2}",
        f"filter add dev p4 ingress prio 1 {IP} ct_state -trk {TO_3}", to=[[2, 3]],
    ),
    "1.10 a redirect to where it came from is sent": udp(f"{ON} 1 {IP} {TO_1}", to=[[1]]),
    "1.13 bytes are counted with padding, without the Ethernet header": udp(
        f"{ON} 1 {IP} action ct zone 1 pipe {TO_2}", to=[[2]], line=f"{UDP} pad 60",
    ),
    "2.1 the mask that was first wins, however general": udp(
        f"{ON} 1 {IP} src_ip 10.0.0.0/8 {TO_2}", f"{ON} 1 {IP} src_ip 10.0.0.1/32 {TO_3}",
        to=[[2]],
    ),
    "2.1 the same key under the same mask is refused": udp(
        f"{ON} 1 {IP} src_ip 10.0.0.1 {TO_2}", f"{ON} 1 {IP} src_ip 10.0.0.1 {TO_3}", to=[],
    ),
    "2.1 software does not see skip_sw": udp(
        f"{ON} 1 {IP} skip_hw src_ip 10.0.0.0/8 {TO_2}", to=[[2]],
    ),
    "2.2 each chain reads the packet anew": udp(
        f"{ON} 1 {IP} action pedit ex munge ip dst set 10.0.0.9 pipe action csum ip udp pipe"
        " action goto chain 1",
        f"{ON} 1 chain 1 {IP} dst_ip 10.0.0.2 {TO_3}",
        f"{ON} 2 chain 1 {IP} dst_ip 10.0.0.9 {TO_2}",
        to=[[2]],
    ),
    "2.3 a first fragment has no ports": udp(
        f"{ON} 1 {IP} ip_proto udp dst_port 53 {TO_3}",
        f"{ON} 2 {IP} ip_proto udp ip_flags frag/firstfrag {TO_2}",
        to=[[2]], line=f"{UDP} len 40 frag 24 piece 1",
    ),
    "2.4 what was not tracked has zeros": udp(
        f"{ON} 1 {IP} ct_state -trk ct_zone 0 ct_mark 0 ct_label 00 {TO_2}", to=[[2]],
    ),
    "2.4 invalid has the zone of the ct that said so": udp(
        f"{ON} 1 {IP} action ct zone 7 pipe action goto chain 1",
        f"{ON} 1 chain 1 {IP} ct_state +trk+inv ct_zone 7 ct_mark 0 {TO_2}",
        to=[[2]], line=f"{GO} SA seq 1 ack 1",
    ),
    "2.4 a mark is seen in the next chain": udp(
        f"{ON} 1 {IP} action ct commit zone 1 mark 5 pipe action goto chain 1",
        f"{ON} 1 chain 1 {IP} ct_mark 5 {TO_2}", to=[[2]],
    ),
    **{
        f"2.5 {state} is refused": udp(f"{ON} 1 {IP} ct_state {state} {TO_2}", to=[])
        for state in ("+new", "+trk+new+est", "+trk+inv+est", "+trk+new+rpl")
    },
    "2.5 new and related can be asked for, and never is": udp(
        f"{ON} 1 {IP} action ct zone 1 pipe action goto chain 1",
        f"{ON} 1 chain 1 {IP} ct_state +trk+new+rel {TO_3}", f"{ON} 2 chain 1 {IP} {TO_2}",
        to=[[2]],
    ),
    "2.8 act_ct works behind one tag": udp(
        f"{ON} 1 protocol 802.1Q flower vlan_ethtype ip action ct zone 1 pipe {TO_2}",
        to=[[2]], line=f"{UDP} vlan 5",
    ),
    "2.8 and drops behind two": udp(
        f"{ON} 1 protocol 802.1Q flower action ct zone 1 pipe {TO_2}",
        to=[[]], line=f"{UDP} vlan 5 vlan 6",
    ),
    "3.2 clear twice is clear": udp(
        f"{ON} 1 {IP} action ct zone 1 pipe action ct clear pipe action ct clear pipe"
        " action goto chain 1",
        f"{ON} 1 chain 1 {IP} ct_state -trk {TO_2}", to=[[2]],
    ),
    "3.3 what is not IP is dropped": udp(
        f"{ON} 1 protocol all flower action ct zone 1 pipe {TO_2}",
        to=[[]], line="arp who-has 10.0.0.2 tell 10.0.0.1",
    ),
    "3.6 another zone is looked up anew": udp(
        f"{ON} 1 {IP} action ct commit zone 1 mark 5 pipe action ct zone 2 pipe"
        " action goto chain 1",
        f"{ON} 1 chain 1 {IP} ct_zone 2 ct_mark 0 ct_state +trk+new {TO_2}", to=[[2], [2]],
    ),
    "3.6 force does nothing to a packet that nothing is attached to yet": (
        Case(
            flows=(
                f"{ON} 1 {IP} action ct commit zone 1 pipe {TO_2}",
                f"{BACK} 1 {IP} action ct commit force zone 1 pipe action goto chain 1",
                f"{BACK} 1 chain 1 {IP} ct_state +trk+est+rpl {TO_1}",
            ),
            shots=(Shot(1, 1, UDP), Shot(1.1, 2, "udp 10.0.0.2:53 > 10.0.0.1:1000")),
        ),
        [[2], [1]],
    ),
    "3.6 force in the other direction begins anew": (
        Case(
            flows=(
                f"{ON} 1 {IP} action ct commit zone 1 pipe {TO_2}",
                f"{BACK} 1 {IP} action ct zone 1 pipe action ct commit force zone 1 pipe"
                " action goto chain 1",
                f"{BACK} 1 chain 1 {IP} ct_state +trk+new {TO_1}",
            ),
            shots=(Shot(1, 1, UDP), Shot(1.1, 2, "udp 10.0.0.2:53 > 10.0.0.1:1000")),
        ),
        [[2], [1]],
    ),
    "3.11 without commit a mark is ignored": udp(
        f"{ON} 1 {IP} action ct zone 1 mark 5 pipe action goto chain 1",
        f"{ON} 1 chain 1 {IP} ct_mark 5 {TO_3}", f"{ON} 2 chain 1 {IP} {TO_2}", to=[[2]],
    ),
    "3.11 of a mark the value itself is not masked": udp(
        f"{ON} 1 {IP} action ct commit zone 1 mark 0xff/0xf pipe action goto chain 1",
        f"{ON} 1 chain 1 {IP} ct_mark 0xff {TO_2}", to=[[2]],
    ),
    "3.1 a bad checksum is invalid": udp(
        *FIREWALL, to=[[3]], line=f"{SYN} bad l4",
    ),
    "3.1 so is a bad one of the IP header, for TCP": udp(*FIREWALL, to=[[3]], line=f"{SYN} bad ip"),
    "3.1 UDP without a checksum is not checked": udp(
        *FIREWALL, to=[[2]], line=f"{UDP} no-checksum",
    ),
    "3.1 port 0 is a port": udp(*FIREWALL, to=[[2]], line="udp 10.0.0.1:0 > 10.0.0.2:0"),
    "3.1 a protocol that nobody knows is tracked by addresses": udp(
        *FIREWALL, to=[[2]], line="ip 10.0.0.1 > 10.0.0.2 proto 253 len 20",
    ),
    "3.2 in the flow table nobody looks at flags": talk(
        Shot(2, 2, f"{COME} S seq 1"), Shot(2.1, 1, f"{GO} none seq 101"), to=[[1], [2]],
    ),
    "3.2 nor at checksums": talk(Shot(2, 1, f"{GO} PA seq 111 ack 501 len 5 bad l4"), to=[[2]]),
    "3.2 nor at windows": talk(Shot(2, 1, f"{GO} A seq 900000000 ack 501"), to=[[2]]),
    "3.2 with a TTL of 1 conntrack looks": talk(
        Shot(2, 1, f"{GO} PA seq 111 ack 501 len 5 ttl 1 bad l4"), to=[[3]],
    ),
    "3.2 a FIN goes through conntrack": talk(
        Shot(2, 1, f"{GO} FA seq 111 ack 501"), Shot(2.1, 2, f"{COME} FA seq 501 ack 112"),
        Shot(2.2, 1, f"{GO} A seq 112 ack 502"), to=[[2], [1], [2]],
    ),
    "3.2 a flow ages, and conntrack has the connection again": talk(
        Shot(45, 0, ""), Shot(46, 1, f"{GO} A seq 111 ack 501"), to=[[], [2]],
    ),
    "3.3 bare nat with nothing to undo does nothing": udp(
        f"{ON} 1 {IP} action ct zone 1 nat pipe {TO_2}", to=[[2]],
    ),
    "3.3 nat without commit is refused": udp(
        f"{ON} 1 {IP} action ct zone 1 nat src addr 1.2.3.4 pipe {TO_2}", to=[],
    ),
    "3.3 a translated connection comes back": (
        Case(
            flows=(
                f"{ON} 1 {IP} action ct commit zone 1 nat src addr 10.0.0.9 pipe {TO_2}",
                f"{BACK} 1 {IP} action ct zone 1 nat pipe action goto chain 1",
                f"{BACK} 1 chain 1 {IP} dst_ip 10.0.0.1 ct_state +trk+est+rpl {TO_1}",
            ),
            shots=(Shot(1, 1, UDP), Shot(1.1, 2, "udp 10.0.0.2:53 > 10.0.0.9:1000")),
        ),
        [[2], [1]],
    ),
    "4 an RST as the only answer ends the connection": (
        Case(
            flows=FIREWALL,
            shots=(SHAKE[0], Shot(1.1, 2, f"{COME} RA seq 0 ack 101"), Shot(1.2, 1, f"{SYN}")),
        ),
        [[2], [1], [2]],
    ),
}  # fmt: skip


def where(case: Case, kernel: str) -> list[list[int | str]] | str:
    """Where the model sends each packet."""
    try:
        lane = TcScript("\n".join(case.flows), PORTS, netfilter=Netfilter(kernel=kernel))
    except InputError:
        return REFUSED
    found: list[list[int | str]] = []
    for each in case.happenings():
        lane.advance(each.at)
        out = lane.receive(each).out if isinstance(each, Arrival) else ()
        found.append(sorted((port for port, _ in out), key=str))
    return found


@pytest.mark.parametrize("name", FACTS)
def test_fact(verifier: KernelVerifier, name: str) -> None:
    case, wanted = FACTS[name]  # type: ignore[misc]
    verdict = verifier.run(replace(case, title=name))
    assert verdict.difference is None, list(verdict.difference.lines())
    got = where(case, verifier.dialect)
    assert got == (wanted or REFUSED)
    assert (verdict.left_out is not None) == (got == REFUSED)
