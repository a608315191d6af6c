"""parse() against itself, against made-up frames, and against OVS's own flow_extract()."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ovsct.packet import packet as module
from ovsct.packet.build import (
    arp,
    fragment,
    icmp_echo,
    icmp_error,
    ip,
    mss,
    neighbour,
    sctp,
    tcp,
    udp,
    window_scale,
)
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import Packet, parse
from ovsct.packet.pcap import read_pcap


def get(packet: Packet, slot: str) -> int:
    return SLOTS[slot].get(packet.key)


# By itself.


def test_a_tcp_packet_field_by_field() -> None:
    frame = tcp("10.0.0.1", "10.0.0.2", 1000, 80, "SA", ttl=63, tos=0x12, pad=64)
    packet = parse(frame, 7)
    seen = {name: value for name, slot in SLOTS.items() if (value := slot.get(packet.key))}
    assert seen == {
        "in_port": 7,
        "dl_src": 0x020000000001,
        "dl_dst": 0x020000000002,
        "dl_type": 0x0800,
        "nw_src": 0x0A000001,
        "nw_dst": 0x0A000002,
        "nw_proto": 6,
        "nw_ttl": 63,
        "nw_tos": 0x12,
        "tp_src": 1000,
        "tp_dst": 80,
        "tcp_flags": 0x12,
    }
    assert (packet.l3, packet.l4, packet.end, len(packet.frame)) == (14, 34, 54, 64)


@pytest.mark.parametrize("size", range(14))
def test_less_than_an_ethernet_header_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"a frame of {size} bytes"):
        parse(bytes(size), 1)


@settings(max_examples=500)
@given(st.binary(min_size=14, max_size=120), st.integers(0, 2))
@example(b"\xff" * 12 + b"\x08\x00" + b"\xff" * 60, 1)
def test_any_bytes_parse(frame: bytes, vlan_limit: int) -> None:
    packet = parse(frame, 0xFFFFFFFF, vlan_limit)
    assert packet.key >> SLOTS["metadata"].shift == 0
    assert 0 <= packet.l3 <= len(frame)
    assert 0 <= packet.l4 <= packet.end <= len(frame)


def slowly(frame: bytes, in_port: int) -> Packet:
    """What parse() says without its short cut for the everyday packet."""
    return module._parse_all(frame, in_port << SLOTS["in_port"].shift, module.VLAN_LIMIT)


@settings(max_examples=500)
@given(
    st.sampled_from((6, 6, 17, 17, 1)),
    st.integers(0, 15),
    st.integers(20, 80),
    st.integers(0, 0xFFFF),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.integers(0, 20),
)
@example(6, 5, 40, 0x2000, 0x50, 0x2, 0)
@example(6, 5, 40, 0x4000, 0x50, 0x2, 0)
@example(6, 5, 40, 0x0001, 0x50, 0x2, 0)
@example(6, 5, 40, 0, 0x40, 0x2, 0)
@example(6, 5, 40, 0, 0x60, 0x2, 0)
@example(6, 6, 40, 0, 0x50, 0x2, 0)
@example(17, 5, 27, 0, 0x50, 0x2, 0)
@example(17, 5, 28, 0, 0x50, 0x2, 0)
@example(17, 5, 28, 0x2000, 0x50, 0x2, 0)
def test_the_fast_path_says_what_the_slow_path_says(
    proto: int, ihl: int, total: int, offset: int, data_offset: int, flags: int, padding: int
) -> None:
    frame = bytearray(tcp("10.0.0.1", "10.0.0.2", 1, 2, "S") + bytes(padding))
    frame[14] = 0x40 | ihl
    frame[23] = proto
    frame[16:18] = total.to_bytes(2, "big")
    frame[20:22] = offset.to_bytes(2, "big")
    frame[46:48] = (data_offset << 8 | flags & 0xFF).to_bytes(2, "big")
    fast, slow = parse(bytes(frame), 3), slowly(bytes(frame), 3)
    assert [getattr(fast, name) for name in ("key", "l3", "l4", "end")] == [
        getattr(slow, name) for name in ("key", "l3", "l4", "end")
    ]


def test_vlan_limit_says_how_far_to_look() -> None:
    frame = tcp("10.0.0.1", "10.0.0.2", 1, 2, "S", vlans=[(0x88A8, 0x2005), 7])
    seen = [parse(frame, 1, limit) for limit in (0, 1, 2)]
    assert [get(packet, "dl_type") for packet in seen] == [0x88A8, 0x8100, 0x0800]
    assert [get(packet, "vlan_tci") for packet in seen] == [0, 0x3005, 0x3005]
    assert [get(packet, "vlan_tci1") for packet in seen] == [0, 0, 0x1007]
    assert [get(packet, "vlan_tpid") for packet in seen] == [0, 0x88A8, 0x88A8]
    assert [packet.l4 for packet in seen] == [0, 0, 42]


def test_reparse_keeps_what_travels_beside_the_frame() -> None:
    packet = parse(tcp("10.0.0.1", "10.0.0.2", 1, 2, "S"), 9)
    packet.key = SLOTS["ct_mark"].put(packet.key, 5)
    packet.reparse(udp("10.0.0.3", "10.0.0.4", 3, 4))
    assert get(packet, "in_port") == 9
    assert get(packet, "ct_mark") == 5
    assert get(packet, "nw_proto") == 17
    assert get(packet, "tcp_flags") == 0


# Against OVS: ovs-ofctl prints the flow that flow_extract() makes of each packet of a capture.

_NAMES = {
    0x0800: ("ip", {1: "icmp", 6: "tcp", 17: "udp", 132: "sctp"}),
    0x86DD: ("ipv6", {6: "tcp6", 17: "udp6", 58: "icmp6", 132: "sctp6"}),
}
_PLAIN = {0x0806: "arp", 0x8035: "rarp", 0x8847: "mpls", 0x8848: "mplsm"}
_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")


def as_ofctl_says(key: int) -> dict[str, str]:
    """The tokens in which OVS's flow_format() writes this key (OVS lib/match.c, 3.1)."""
    flow = {name: slot.get(key) for name, slot in SLOTS.items()}

    def mac(slot: str) -> str:
        return flow[slot].to_bytes(6, "big").hex(":")

    def address(slot: str) -> str:
        return str(ip_address(flow[slot].to_bytes(SLOTS[slot].width // 8, "big")))

    says = {"in_port": "ANY", "dl_src": mac("dl_src"), "dl_dst": mac("dl_dst")}
    for level in ("", "1"):
        tci = flow[f"vlan_tci{level}"]
        if not tci:
            says[f"vlan_tci{level}"] = "0x0000"
            break
        says[f"dl_vlan{level}"] = str(tci & 0xFFF)
        says[f"dl_vlan_pcp{level}"] = str(tci >> 13)
    dl_type, proto = flow["dl_type"], flow["nw_proto"]
    if dl_type in _NAMES:
        plain, named = _NAMES[dl_type]
        says["kind"] = named.get(proto, plain)
        if proto not in named:
            says["nw_proto"] = str(proto)
        v6 = dl_type == 0x86DD
        for slot in ("ipv6_src", "ipv6_dst") if v6 else ("nw_src", "nw_dst"):
            says[slot] = address(slot)
        if v6:
            says["ipv6_label"] = f"0x{flow['ipv6_label']:05x}"
        says["nw_tos"] = str(flow["nw_tos"] & 0xFC)
        says["nw_ecn"] = str(flow["nw_tos"] & 3)
        says["nw_ttl"] = str(flow["nw_ttl"])
        says["nw_frag"] = ("no", "first", "", "later")[flow["nw_frag"]]
        says.update(_ports_as_ofctl_says(flow, proto, v6, address, mac))
    elif dl_type in (0x8847, 0x8848):
        says["kind"] = _PLAIN[dl_type]
        lse = flow["mpls_lse"]
        says["mpls_label"] = str(lse >> 12)
        says["mpls_tc"] = str(lse >> 9 & 7)
        says["mpls_bos"] = str(lse >> 8 & 1)
        says["mpls_ttl"] = str(lse & 0xFF)
        for level in (1, 2):
            if flow[f"mpls_lse{level - 1 or ''}"] & 0x100:
                break
            says[f"mpls_lse{level}"] = str(flow[f"mpls_lse{level}"])
    elif dl_type in (0x0806, 0x8035):
        says["kind"] = _PLAIN[dl_type]
        says["arp_op"] = str(proto)
        says["arp_spa"], says["arp_tpa"] = address("nw_src"), address("nw_dst")
        says["arp_sha"], says["arp_tha"] = mac("arp_sha"), mac("arp_tha")
    else:
        says["dl_type"] = f"0x{dl_type:04x}"
    return says


def _ports_as_ofctl_says(flow, proto, v6, address, mac) -> dict[str, str]:  # type: ignore[no-untyped-def]
    says = {}
    if flow["nw_frag"] == 3:
        return says
    if proto == (58 if v6 else 1):
        says["icmp_type"], says["icmp_code"] = str(flow["tp_src"]), str(flow["tp_dst"])
        if v6 and flow["tp_src"] in (135, 136) and not flow["tp_dst"]:
            says["nd_target"] = address("nd_target")
            says["nd_sll"], says["nd_tll"] = mac("arp_sha"), mac("arp_tha")
    elif proto in (1, 2, 6, 17, 58, 132):
        says["tp_src"], says["tp_dst"] = str(flow["tp_src"]), str(flow["tp_dst"])
    if proto == 6:
        bits = flow["tcp_flags"]
        names = [name for n, name in enumerate(_FLAGS) if bits >> n & 1]
        names += [f"[{1 << n:x}]" for n in range(9, 12) if bits >> n & 1]
        says["tcp_flags"] = "|".join(names) or "0"
    return says


def ofctl_says(capture: Path) -> list[dict[str, str]]:
    """What OVS makes of each packet of a capture, token by token."""
    run = subprocess.run(
        ["ovs-ofctl", "parse-pcap", str(capture)], capture_output=True, text=True, check=True
    )
    flows = []
    for line in run.stdout.splitlines():
        flow = {}
        for token in line.split(","):
            name, equals, value = token.partition("=")
            if name in ("ipv6_src", "ipv6_dst", "nd_target"):
                value = str(ip_address(value))  # C and Python differ about ::58.0.0.2.
            flow[name if equals else "kind"] = value if equals else name
        flows.append(flow)
    return flows


def write_capture(path: Path, frames: Iterable[bytes]) -> Path:
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            out.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    return path


def assert_agreed(frames: list[bytes], flows: list[dict[str, str]]) -> None:
    assert len(frames) == len(flows)
    for number, (frame, flow) in enumerate(zip(frames, flows, strict=True), 1):
        # ovs-ofctl is no bridge: it looks behind both tags that struct flow has room for.
        ours = as_ofctl_says(parse(frame, 1, 2).key)
        assert ours == flow, f"packet {number}: {frame.hex()}"


@pytest.mark.real_ovs
def test_captures_parse_as_ovs_parses_them(captures: Path) -> None:
    checked = 0
    for capture in sorted(captures.glob("*.pcap")):
        with capture.open("rb") as file:
            frames = [record.frame for record in read_pcap(file, capture.name)]
        assert_agreed(frames, ofctl_says(capture))
        checked += len(frames)
    assert checked > 0, f"no packets in {captures}"


ETHER = bytes.fromhex("020000000002020000000001")


def with_type(dl_type: int, rest: bytes = b"") -> bytes:
    return ETHER + dl_type.to_bytes(2, "big") + rest


def v6_chain(*kinds: int, body: bytes = bytes(24), last: int = 6, segments: int = 0) -> bytes:
    """An IPv6 packet with these extension headers, eight bytes each, before `body`."""
    chain = b""
    for here, following in zip(kinds, (*kinds[1:], last), strict=True):
        length = 0 if here != 51 else 2
        header = bytes((following, length, 0, segments if here == 43 else 0)) + bytes(4)
        chain += header if here != 51 else header + bytes(8)
    return ip("fc00::1", "fc00::2", kinds[0], chain + body)


def odd_frames() -> list[bytes]:
    """Frames that a parser trips over, each of a kind of its own."""
    plain = tcp("10.0.0.1", "10.0.0.2", 1000, 80, "S", options=mss(1460) + window_scale(7))
    six = udp("fc00::1", "fc00::2", 53, 5353, payload=b"x" * 30, tos=0xB7, label=0xABCDE)
    solicit = neighbour("fc00::1", "ff02::1", "fc00::2")
    twice = neighbour("fc00::1", "ff02::1", "fc00::2")[:-8]
    option = bytes.fromhex("0101020000000009")
    target = bytes.fromhex("0201020000000008")
    body = solicit[54:]
    labels = [(n << 12 | 3 << 9 | (n == last) << 8 | 60).to_bytes(4, "big")
              for last in range(1, 6) for n in range(1, last + 1)]
    stacks = [b"".join(labels[n * (n - 1) // 2 : n * (n + 1) // 2]) for n in range(1, 6)]
    snap = b"\xaa\xaa\x03\0\0\0"
    base = [
        plain, six, solicit, plain[:14],
        tcp("10.0.0.1", "10.0.0.2", 1, 2, 0xFFF, ip_options=b"\x94\4\0\0"),
        tcp("10.0.0.1", "10.0.0.2", 1, 2, "", ip_options=bytes(40)),
        tcp("10.0.0.1", "10.0.0.2", 1, 2, "S", pad=200),
        udp("10.0.0.1", "10.0.0.2", 1, 2, vlans=[0xE005]),
        udp("10.0.0.1", "10.0.0.2", 1, 2, vlans=[(0x88A8, 5), 6]),
        udp("10.0.0.1", "10.0.0.2", 1, 2, vlans=[5, 6, 7]),
        udp("10.0.0.1", "10.0.0.2", 1, 2, vlans=[0]),
        with_type(0x8100), with_type(0x8100, b"\0\5"), with_type(0x8100, b"\0\5\x08"),
        with_type(0x8100, b"\0\5\x08\0"), with_type(0x8100, b"\0\5\x81\0\0\6"),
        sctp("10.0.0.1", "10.0.0.2", 1, 2, chunks=bytes(16)), sctp("fc00::1", "fc00::2", 1, 2),
        icmp_echo("10.0.0.1", "10.0.0.2"), icmp_echo("fc00::1", "fc00::2", reply=True),
        icmp_error(plain), icmp_error(six),
        *(ip("10.0.0.1", "10.0.0.2", proto, bytes(24)) for proto in (0, 2, 41, 44, 47, 58, 255)),
        *(ip("fc00::1", "fc00::2", proto, bytes(24)) for proto in (1, 2, 47, 59, 255)),
        ip("10.0.0.1", "10.0.0.2", 2, b"\x16\0\0\0\xe0\0\0\1"),
        arp("10.0.0.1", "10.0.0.2"), arp("10.0.0.1", "10.0.0.2", op=2, pad=60),
        arp("10.0.0.1", "10.0.0.2", op=255), arp("10.0.0.1", "10.0.0.2", op=256),
        arp("10.0.0.1", "10.0.0.2")[:-1],
        with_type(0x8035, arp("10.0.0.1", "10.0.0.2", op=3)[14:]),
        *(with_type(0x0806, arp("10.0.0.1", "10.0.0.2")[14:][:at] + b"\xff"
                    + arp("10.0.0.1", "10.0.0.2")[15 + at :]) for at in range(8)),
        *(with_type(kind, stack + bytes(20)) for stack in stacks for kind in (0x8847, 0x8848)),
        *(with_type(0x8847, stacks[2][:n]) for n in range(13)),
        with_type(0x8847, b"\0\0\x10\xff" * 6), with_type(0x8100, b"\0\5\x88\x47" + stacks[1]),
        *(with_type(n, b"\x42\x42\3" + bytes(20)) for n in (0, 23, 0x5DC, 0x5FF, 0x600, 0x601)),
        *(with_type(36, snap + plain[12:])[:n] for n in (14, 20, 21, 22, 23, 42, 76)),
        with_type(36, snap + b"\5\xff" + plain[14:]), with_type(36, snap + b"\x81\0" + plain[12:]),
        with_type(36, b"\xaa\xaa\3\0\0\1" + plain[12:]),
        with_type(0x8100, b"\0\5\0\x24" + snap + plain[12:]),
        *fragment(udp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(100)), [8, 40]),
        *fragment(udp("fc00::1", "fc00::2", 1, 2, payload=bytes(100)), [8, 40]),
        *(v6_chain(*kinds) for kinds in ((0,), (43,), (60,), (51,), (44,), (0, 43, 60, 51),
                                         (51, 51), (44, 44), (60, 44, 60))),
        v6_chain(0, body=body, last=58), v6_chain(43, segments=1),
        *(v6_chain(0, 51, 60)[:n] for n in range(54, 100, 3)),
        twice + option + option, twice + option + target, twice + target + option,
        twice + target + target, twice + option + target + option, twice + bytes(8),
        twice + b"\1\0" + bytes(6) + option, twice + b"\3\4" + bytes(30) + option,
        twice + b"\3\4" + bytes(6) + option, twice + b"\1\2" + bytes(14) + target,
        twice + b"\1\1" + bytes(6) + option, twice, twice[:-1], twice[:-16], twice[:-17],
    ]  # fmt: skip
    return [frame for frame in base if len(frame) >= 14]


def fixed_length(frame: bytes) -> bytes:
    """`frame` with its IP length made to fit, so that what is inside is looked at."""
    if frame[12:14] == b"\x08\0":
        return frame[:16] + (len(frame) - 14).to_bytes(2, "big") + frame[18:]
    if frame[12:14] == b"\x86\xdd" and len(frame) >= 54:
        return frame[:18] + (len(frame) - 54).to_bytes(2, "big") + frame[20:]
    return frame


def broken_frames(rng: random.Random, count: int) -> Iterable[bytes]:
    """Odd frames cut short, with bytes changed, or both, their lengths sometimes put right."""
    frames = odd_frames()
    for _ in range(count):
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            frame[rng.randrange(12, max(13, min(len(frame), 90)))] = rng.choice(
                (0, 1, 5, 6, 17, 43, 44, 51, 58, 60, 0x45, 0x50, 0x81, 0xFF, rng.randrange(256))
            )
        if rng.random() < 0.4:
            del frame[rng.randrange(14, len(frame) + 1) :]
        whole = bytes(frame)
        yield fixed_length(whole) if rng.random() < 0.5 else whole


@pytest.mark.real_ovs
def test_odd_frames_parse_as_ovs_parses_them(tmp_path: Path) -> None:
    frames = [*odd_frames(), *(fixed_length(frame) for frame in odd_frames())]
    assert_agreed(frames, ofctl_says(write_capture(tmp_path / "odd.pcap", frames)))


@pytest.mark.real_ovs
def test_broken_frames_parse_as_ovs_parses_them(tmp_path: Path) -> None:
    frames = list(broken_frames(random.Random(20231), 5000))
    assert_agreed(frames, ofctl_says(write_capture(tmp_path / "broken.pcap", frames)))
