"""Headers put on and taken off, NSH, and packets without an Ethernet header, beside the program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovsct.compare.case import Case, Shot
from ovsct.compare.verify import Verifier
from ovsct.packet.build import tcp, udp
from tests.bridge.judged import differences

pytestmark = pytest.mark.real_ovs

LINK = bytes.fromhex("020000000002020000000001")
V4 = tcp("10.0.0.1", "10.0.0.2", 1000, 80, 2)
V6 = udp("fc00::1", "fc00::2", 1000, 53)
ARP = "arp who-has 10.0.0.2 tell 10.0.0.1"


def nsh(
    inner: bytes,
    np: int,
    *,
    spi: int = 0x1234,
    ttl: int = 63,
    flags: int = 0,
    kind: int = 1,
    contexts: bytes = bytes.fromhex("11223344").ljust(16, b"\0"),
    words: int | None = None,
    version: int = 0,
) -> bytes:
    """`inner` behind an NSH header (RFC 8300) of `words` four-byte words."""
    words = (8 + len(contexts)) // 4 if words is None else words
    first = version << 14 | flags << 12 | ttl << 6 | words
    head = first << 48 | kind << 40 | np << 32 | spi << 8 | 255
    return head.to_bytes(8, "big") + contexts + inner


def line(payload: bytes, ethertype: int = 0x894F, tag: bytes = b"") -> str:
    return f"hex {(LINK + tag + ethertype.to_bytes(2, 'big') + payload).hex()}"


def labels(*entries: int) -> str:
    return line(b"".join(entry.to_bytes(4, "big") for entry in entries) + V4[14:], 0x8847)


PLAIN = line(nsh(V4, 3))
NSH = (
    PLAIN,
    line(nsh(V4[14:], 1)),
    line(nsh(V6[14:], 2)),
    line(nsh(nsh(V4, 3, spi=0x99), 4)),
    line(nsh(V4, 3, kind=2, contexts=bytes.fromhex("10000a0412345678"))),
    line(nsh(V4, 9)),
    line(nsh(V4, 3, ttl=1)),
    line(nsh(V4, 3), tag=bytes.fromhex("81000005")),
    line(nsh(V4, 3, flags=2)),
    line(nsh(V4, 3, words=5)),
    line(nsh(V4, 3, version=1)),
    line(nsh(V4, 3, kind=7, contexts=b"")),
    line(nsh(V4, 3)[:6]),
)
"""NSH headers of all kinds, the last four of which are none to OVS."""

PACKETS = (line(V4[14:], 0x800), line(V6[14:], 0x86DD), line(V4[14:], 0x800, b"\x81\0\0\5"), ARP)

CASES = {
    "fields are matched": (NSH, """
        dl_type=0x894f,nsh_mdtype=1,nsh_np=3,nsh_spi=0x1234,nsh_si=255,nsh_c1=0x11223344,actions=2
        priority=1,dl_type=0x894f,nsh_ttl=63,nsh_flags=0/1,nsh_c2=0/0xff,actions=3
        priority=0,actions=4
        """),
    "fields are set": (NSH, """
        dl_type=0x894f,nsh_spi=0x1234,nsh_si=255,actions=set_field:2->nsh_flags,
        set_field:254->nsh_si,set_field:0x44332211->nsh_c1,output:2
        """),
    "fields are set under masks and moved": (NSH, """
        dl_type=0x894f,nsh_mdtype=1,actions=set_field:0x55->nsh_spi,set_field:3->nsh_ttl,
        set_field:0x5/0xf->nsh_c2,move:nsh_c1[]->nsh_c3[],output:2
        """),
    "the TTL runs out": (NSH, "dl_type=0x894f,actions=dec_nsh_ttl,output:2"),
    "put on": (PACKETS + NSH[:1], """
        actions=encap(nsh(md_type=1)),set_field:0x1234->nsh_spi,set_field:0x11223344->nsh_c1,
        encap(ethernet),set_field:11:22:33:44:55:66->dl_dst,output:2
        """),
    "put on with contexts": (PACKETS, """
        actions=encap(nsh(md_type=2,tlv(0x1000,10,0x12345678),tlv(0x2000,20,0x123456))),
        set_field:0x1234->nsh_spi,encap(ethernet),output:2
        """),
    "put on without contexts": (PACKETS, "actions=encap(nsh(md_type=2)),encap(ethernet),output:2"),
    "taken off": (NSH + PACKETS, """
        dl_type=0x894f,actions=decap(),decap(),resubmit(,1)
        table=1,tcp,actions=output:2
        table=1,packet_type=(1,0x800),actions=encap(ethernet),set_field:02:00:00:00:00:09->dl_dst,3
        table=1,packet_type=(1,0x86dd),actions=encap(ethernet),output:4
        table=1,packet_type=(1,0x894f),nsh_spi=0x99,actions=decap(),output:4
        """),
    "put on and taken off": (PACKETS, """
        ip,actions=encap(nsh),set_field:0x1234->nsh_spi,encap(ethernet),goto_table:1
        table=1,dl_type=0x894f,actions=decap(),decap(),goto_table:2
        table=2,ip,actions=output:3
        """),
    "twice": (PACKETS, "actions=encap(nsh),encap(nsh),encap(ethernet),output:2"),
    "another Ethernet header": (PACKETS + NSH[:1], """
        ip,actions=decap(),encap(ethernet),set_field:02:00:00:00:00:09->dl_dst,output:2
        priority=1,actions=decap(),output:3
        """),
    "no Ethernet before Ethernet": (PACKETS[:1], "actions=encap(ethernet),output:2"),
    "no port takes it bare": (PACKETS[:1], "actions=encap(nsh),output:2,flood"),
    "on a copy": (PACKETS[:1], "actions=clone(encap(nsh),encap(ethernet),output:2),output:3"),
    "a tag within": (PACKETS[:1], """
        actions=push_vlan:0x8100,set_field:4196->vlan_vid,encap(nsh),decap(),output:2
        """),
    "several outputs": (PACKETS[:1], """
        ip,actions=encap(nsh),encap(ethernet),set_field:5->nsh_spi,output:2,set_field:7->nsh_si,
        output:3,decap(),decap(),output:4
        """),
    "in an action set": (PACKETS[:1], "actions=write_actions(decap(),encap(ethernet),output:2)"),
    "to the controller": (PACKETS[:1], "actions=encap(nsh),encap(ethernet),controller,output:2"),
    "bare packets are looked up": (PACKETS + NSH[:1], """
        actions=decap(),resubmit(,1)
        table=1,priority=2,packet_type=(1,0x800),nw_proto=6,tp_dst=80,actions=encap(ethernet),2
        table=1,priority=1,packet_type=(1,0x86dd),ipv6_src=fc00::1,actions=encap(ethernet),output:3
        table=1,priority=1,packet_type=(1,0x806),arp_op=1,actions=encap(ethernet),output:2
        table=1,priority=3,ip,actions=output:1
        table=1,priority=0,actions=encap(ethernet),output:4
        """),
    "bare packets are tracked": (PACKETS[:1] * 2, """
        ip,actions=decap(),ct(table=1)
        table=1,packet_type=(1,0x800),ct_state=+trk,actions=encap(ethernet),output:2
        """),
    "bare packets are written": (PACKETS, """
        tcp,actions=decap(),set_field:9->tcp_dst,set_field:1.2.3.4->ip_src,encap(ethernet),output:2
        """),
    "labels before everything": (PACKETS, """
        actions=encap(mpls),set_field:77->mpls_label,set_field:3->mpls_tc,encap(ethernet),
        set_field:02:00:00:00:00:09->dl_dst,output:2
        """),
    "two labels": (PACKETS[:1], "actions=encap(mpls_mc),encap(mpls),encap(ethernet),output:2"),
    "labels go": ((labels(0x10140), labels(0x10040, 0x20140)), """
        mpls,actions=decap(),debug_recirc,decap(packet_type(ns=1,type=0x800)),encap(ethernet),3
        """),
    "an Ethernet frame behind a label": (PACKETS[:2], """
        actions=encap(mpls),debug_recirc,decap(packet_type(ns=0,type=0)),output:2
        """),
}  # fmt: skip


def case(flows: str, packets: tuple[str, ...]) -> Case:
    text = flows.strip().replace(",\n", ",")
    return Case(
        tuple("".join(part.split()) for part in text.splitlines()),
        tuple(Shot(float(at), 1, packet) for at, packet in enumerate(packets)),
    )


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(every_packet=True) as verifier:
        yield verifier


@pytest.mark.parametrize("name", CASES)
def test_both_do_the_same(name: str, verifier: Verifier) -> None:
    packets, flows = CASES[name]
    assert not differences(verifier, case(flows, packets))
