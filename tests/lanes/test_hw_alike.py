"""Hardware beside software: what must come out the same, whoever forwarded it."""

from __future__ import annotations

from random import Random

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.lane import Via
from ovsct.lanes.tc import TcLane
from ovsct.openflow.text.flow_text import read_flows
from ovsct.packet.build import tcp, udp
from tests.lanes.test_hw import FIREWALL, KERNELS, NAT, lane, send, software
from tests.nic.rig import CLIENT, SERVER

REWRITES = [
    "ip,in_port=1,actions=mod_dl_src:02:00:00:00:00:77,mod_dl_dst:02:00:00:00:00:78,2",
    "tcp,in_port=1,actions=mod_nw_src:192.0.2.7,mod_nw_dst:192.0.2.8,2",
    "tcp,in_port=1,actions=mod_tp_src:7,mod_tp_dst:8,2",
    "udp,in_port=1,actions=mod_tp_src:7,mod_tp_dst:8,2",
    "tcp,in_port=1,actions=mod_nw_tos:32,2",
    "tcp,in_port=1,actions=dec_ttl,2",
    "tcp6,in_port=1,actions=set_field:fd00::77->ipv6_src,set_field:fd00::78->ipv6_dst,2",
    "udp6,in_port=1,actions=mod_tp_dst:8,dec_ttl,2",
    "tcp,in_port=1,actions=2,3",
    "tcp,in_port=1,actions=2,mod_nw_dst:192.0.2.8,3",
    "ip,in_port=1,actions=push_vlan:0x8100,set_field:4103->vlan_vid,2",
    "in_port=1,dl_vlan=7,actions=strip_vlan,2",
    "in_port=1,dl_vlan=7,actions=mod_vlan_vid:9,2",
    "in_port=1,dl_vlan=7,ip,actions=strip_vlan,mod_dl_dst:02:00:00:00:00:78,2",
    "in_port=1,vlan_tci=0x1000/0x1000,actions=drop",
]


@pytest.mark.parametrize("flows", REWRITES)
def test_rewritten_frames(flows: str) -> None:
    hw, ovs = lane(flows, kernel="6.12"), software(flows)
    frames = [
        make(src, dst, 1000, 80, payload=b"payload", **around)
        for make in (tcp, udp)
        for src, dst in ((CLIENT, SERVER), ("fd00::1", "fd00::2"))
        for around in ({}, {"vlans": [7]}, {"vlans": [0x6007]}, {"ttl": 5}, {"tos": 3})
    ]
    forwarded = 0
    for n, frame in enumerate([*frames, *frames]):
        got, wanted = (send(each, n / 100, 1, frame) for each in (hw, ovs))
        assert list(got.out) == list(wanted.out), (n, frame.hex())
        forwarded += got.via == (Via.HW,)
    assert forwarded


class Talk:
    """A TCP connection that behaves: sequence numbers as they should be."""

    def __init__(self, port: int, draw: Random, back: str) -> None:
        self.port, self.draw, self.back = port, draw, back
        self.seq = [draw.randrange(1 << 32), draw.randrange(1 << 32)]
        self.step = 0

    def frame(self) -> tuple[int, bytes]:
        """The next one, and the port that it comes in on."""
        side, flags, size = self._next()
        seq, ack = self.seq[side], self.seq[1 - side] if flags != "S" else 0
        self.seq[side] = (seq + size + ("S" in flags or "F" in flags)) & 0xFFFFFFFF
        src, dst, sport, dport = CLIENT, SERVER, self.port, 80
        if side:
            src, dst, sport, dport = SERVER, self.back, 80, self.port
        payload = bytes(size)
        return side + 1, tcp(src, dst, sport, dport, flags, seq=seq, ack=ack, payload=payload)

    def _next(self) -> tuple[int, str, int]:
        self.step += 1
        if self.step <= 3:
            return (0, "S", 0) if self.step == 1 else ((1, "SA", 0), (0, "A", 0))[self.step - 2]
        if self.step < 40:
            return self.draw.randrange(2), "PA", self.draw.randrange(10, 200)
        return ((0, "FA", 0), (1, "FA", 0), (0, "A", 0))[min(self.step - 40, 2)]


@KERNELS
@pytest.mark.parametrize(("flows", "back"), [(FIREWALL, CLIENT), (NAT, "192.0.2.1")])
def test_conversations_that_behave(kernel: str, flows: str, back: str) -> None:
    draw = Random(4)
    hw, ovs = lane(flows, kernel=kernel), software(flows, kernel=kernel)
    talks = [Talk(port, draw, back) for port in range(2000, 2020)]
    at, in_hardware = 0.0, 0
    while talks:
        talk = draw.choice(talks)
        port, frame = talk.frame()
        at += draw.choice((0.0005, 0.01, 0.3))
        got, wanted = (send(each, at, port, frame) for each in (hw, ovs))
        assert list(got.out) == list(wanted.out) and got.out
        in_hardware += got.via == (Via.HW,)
        if talk.step == 42:
            talks.remove(talk)
    assert in_hardware > 500
    hw.advance(at + 40)
    assert len(hw.tc.ct) == 0 and not [line for line in hw.lowered("nic") if "connection" in line]


@KERNELS
def test_a_nic_that_takes_nothing_changes_nothing(kernel: str) -> None:
    draw = Random(5)
    hw = lane(kernel=kernel, profile={"max_rules": 0})
    tc = TcLane(Bridge((1, 2, 3), read_flows(FIREWALL)), kernel=kernel)
    talks = [Talk(port, draw, CLIENT) for port in range(2000, 2010)]
    at = 0.0
    for _ in range(600):
        port, frame = draw.choice(talks).frame()
        if draw.random() < 0.1:
            # Anything goes: flags, checksums, lengths.
            frame = bytearray(frame)
            frame[draw.randrange(14, len(frame))] ^= 1 << draw.randrange(8)
            frame = bytes(frame)
        at += draw.choice((0.0005, 0.01, 0.3, 2.0))
        got, wanted = (send(each, at, port, frame) for each in (hw, tc))
        assert (list(got.out), got.drop, got.via) == (list(wanted.out), wanted.drop, wanted.via)
    assert hw.connections() == tc.connections()
