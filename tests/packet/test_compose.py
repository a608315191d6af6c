"""compose() is the way back of parse(), and builders say what their names say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ovsct.errors import InputError
from ovsct.packet.build import eth_address, tcp_flags
from ovsct.packet.checksum import ipv4_header_ok, l4_checksum_ok
from ovsct.packet.compose import (
    arp,
    compose,
    fragment,
    icmp_echo,
    icmp_error,
    ip,
    key_of,
    mss,
    neighbour,
    sack_permitted,
    sctp,
    tcp,
    timestamps,
    udp,
    window_scale,
)
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import HEADER_MASK, Packet, parse
from ovsct.packet.pcap import read_pcap


def get(packet: Packet, slot: str) -> int:
    return SLOTS[slot].get(packet.key)


def slot_values(name: str) -> st.SearchStrategy[int]:
    top = (1 << SLOTS[name].width) - 1
    return st.sampled_from((0, 1, top)) | st.integers(0, top)


@st.composite
def keys(draw: st.DrawFn) -> int:
    """Keys that some frame parses to, of every kind."""
    flow: dict[str, int] = {}

    def choose(*names: str) -> None:
        flow.update({name: draw(slot_values(name)) for name in names})

    choose("dl_dst", "dl_src")
    for level in ("", "1")[: draw(st.integers(0, 2))]:
        flow[f"vlan_tpid{level}"] = draw(st.sampled_from((0x8100, 0x88A8)))
        flow[f"vlan_tci{level}"] = draw(slot_values("vlan_tci")) | 0x1000
    kind = draw(st.sampled_from((0x0800, 0x0800, 0x86DD, 0x86DD, 0x0806, 0x8035, 0x8847, 0x8848,
                                 0x88CC, 0xFFFF, 0x05FF)))  # fmt: skip
    flow["dl_type"] = kind
    if kind in (0x0806, 0x8035):
        choose("nw_proto", "nw_src", "nw_dst", "arp_sha", "arp_tha")
    elif kind in (0x8847, 0x8848):
        depth = draw(st.integers(1, 3))
        for level in range(depth):
            lse = draw(slot_values("mpls_lse")) & ~0x100
            flow[f"mpls_lse{level or ''}"] = lse | (level == depth - 1) << 8
    elif kind in (0x0800, 0x86DD):
        v6 = kind == 0x86DD
        choose(*(("ipv6_src", "ipv6_dst", "ipv6_label") if v6 else ("nw_src", "nw_dst")))
        flow["ipv6_label"] = flow.get("ipv6_label", 0) & 0xFFFFF
        choose("nw_tos", "nw_ttl")
        flow["nw_frag"] = draw(st.sampled_from((0, 0, 0, 1, 3)))
        flow["nw_proto"] = draw(st.sampled_from((6, 17, 132, 58 if v6 else 1, 2, 47, 59, 255)))
        if flow["nw_frag"] == 3:
            flow["nw_proto"] = 44 if v6 else flow["nw_proto"]
        else:
            transport(flow, choose, draw)
    return sum(value << SLOTS[name].shift for name, value in flow.items())


def transport(flow, choose, draw) -> None:  # type: ignore[no-untyped-def]
    proto = flow["nw_proto"]
    if proto in (6, 17, 132):
        choose("tp_src", "tp_dst")
    if proto == 6:
        flow["tcp_flags"] = draw(st.integers(0, 0xFFF))
    elif proto in (1, 2, 58):
        flow["tp_src"] = draw(st.sampled_from((0, 8, 128, 135, 136, 255)))
        flow["tp_dst"] = draw(st.sampled_from((0, 0, 1, 255)))
    if proto == 2:
        choose("igmp_group")
    if proto == 58 and flow["tp_src"] in (135, 136) and not flow["tp_dst"]:
        choose("nd_target", "nd_reserved", "arp_sha", "arp_tha")
        kinds = [n for n, slot in ((1, "arp_sha"), (2, "arp_tha")) if flow[slot]]
        flow["nd_options_type"] = draw(st.sampled_from(kinds)) if kinds else 0


@settings(max_examples=600)
@given(keys(), st.binary(max_size=41))
@example(key_of({"dl_type": 0x05FF}), b"\x42\x42\3")
def test_a_composed_frame_parses_to_its_key(key: int, payload: bytes) -> None:
    if SLOTS["nw_proto"].get(key) == 58 and SLOTS["nd_target"].get(key):
        payload = b""  # it would be read as options
    packet = parse(compose(key, payload), 0, 2)
    assert {n: hex(s.get(packet.key)) for n, s in SLOTS.items() if s.get(packet.key ^ key)} == {}
    if packet.l4:
        assert packet.end == len(packet.frame)
        if not SLOTS["nw_frag"].get(key) & 2:
            assert l4_checksum_ok(packet)
        if SLOTS["dl_type"].get(key) == 0x0800:
            assert ipv4_header_ok(packet)


def test_captures_survive_the_way_there_and_back(captures: Path) -> None:
    for capture in sorted(captures.glob("*.pcap")):
        with capture.open("rb") as file:
            for record in read_pcap(file, capture.name):
                key = parse(record.frame, 0, 2).key & HEADER_MASK
                assert parse(compose(key), 0, 2).key == key


def test_fields_by_name() -> None:
    frame = compose({"eth_type": 0x800, "ip_proto": 17, "udp_dst": 53, "nw_src": 1, "nw_ttl": 9})
    packet = parse(frame, 0)
    assert get(packet, "tp_dst") == 53
    assert get(packet, "nw_src") == 1
    assert get(packet, "nw_ttl") == 9


def test_wrong_fields_are_named() -> None:
    with pytest.raises(InputError, match="no such field: 'nw_source'"):
        key_of({"nw_source": 1})
    with pytest.raises(InputError, match="0x10000 does not fit into 16 bits: 'tcp_dst'"):
        key_of({"tcp_dst": 0x10000})
    with pytest.raises(InputError, match="nw_ttl"):
        key_of({"nw_ttl": -1})


def test_a_key_that_no_frame_has_is_refused() -> None:
    with pytest.raises(ValueError, match="eth_type 0x0 is no type"):
        compose(0)
    with pytest.raises(ValueError, match="nw_proto 0 is an extension header"):
        compose({"eth_type": 0x86DD})
    with pytest.raises(ValueError, match="70020 bytes"):
        compose({"eth_type": 0x800}, bytes(70000))
    with pytest.raises(ValueError, match="cannot carry 70000 bytes"):
        compose({"eth_type": 0x86DD, "nw_proto": 59}, bytes(70000))


# Builders.


def test_tcp_says_all_it_is_told() -> None:
    options = mss(1460) + sack_permitted() + timestamps(1, 2) + window_scale(7)
    frame = tcp("10.0.0.1", "10.0.0.2", 1, 2, "SA", seq=-1, ack=5, window=7, options=options,
                payload=b"hello", eth_src="02:00:00:00:00:0a", eth_dst="02:00:00:00:00:0b",
                ttl=3, tos=4, ident=5, df=True)  # fmt: skip
    packet = parse(frame, 1)
    assert frame[:12] == bytes.fromhex("02000000000b02000000000a")
    assert frame[14:26] == bytes.fromhex("4504 0045 0005 4000 0306") + frame[24:26]
    assert frame[38:50] == bytes.fromhex("ffffffff 00000005 b012 0007")
    assert frame[54:78] == options
    assert frame[78:] == b"hello"
    assert l4_checksum_ok(packet)
    assert ipv4_header_ok(packet)


@pytest.mark.parametrize(
    ("letters", "bits"), [("", 0), ("S", 2), ("S.", 0x12), ("FA", 0x11), ("NWEU.PRSF", 0x1FF)]
)
def test_flags_are_letters(letters: str, bits: int) -> None:
    assert tcp_flags(letters) == bits


def test_what_cannot_be_built_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="'X' of 'SX' is no TCP flag"):
        tcp("10.0.0.1", "10.0.0.2", 1, 2, "SX")
    with pytest.raises(ValueError, match="not of one IP version"):
        udp("10.0.0.1", "fc00::2", 1, 2)
    with pytest.raises(ValueError, match="is no Ethernet address"):
        udp("10.0.0.1", "10.0.0.2", 1, 2, eth_src="02:00")
    with pytest.raises(ValueError, match="44 bytes of TCP options"):
        tcp("10.0.0.1", "10.0.0.2", 1, 2, options=bytes(41))
    with pytest.raises(ValueError, match="44 bytes of IPv4 options"):
        udp("10.0.0.1", "10.0.0.2", 1, 2, ip_options=bytes(41))
    with pytest.raises(ValueError, match="multiples of 8"):
        fragment(udp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(50)), [9])
    with pytest.raises(ValueError, match="leaves nothing"):
        fragment(udp("10.0.0.1", "10.0.0.2", 1, 2), [8])
    with pytest.raises(ValueError, match="a whole IP packet"):
        icmp_error(arp("10.0.0.1", "10.0.0.2"))
    assert eth_address("02:00:00:00:00:0a") == 0x02000000000A


def test_an_error_goes_back_to_the_sender() -> None:
    inner = udp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(100), pad=200)
    packet = parse(icmp_error(inner, code=3), 1)
    assert (get(packet, "tp_src"), get(packet, "tp_dst")) == (3, 3)
    assert (get(packet, "nw_src"), get(packet, "nw_dst")) == (0x0A000002, 0x0A000001)
    assert packet.frame[:12] == inner[6:12] + inner[:6]
    assert packet.frame[42:] == inner[14:42]
    assert l4_checksum_ok(packet)
    router = parse(icmp_error(inner, src="10.9.9.9", kind=11, code=0, quote=20), 1)
    assert get(router, "nw_src") == 0x0A090909
    assert router.frame[42:] == inner[14:54]
    six = udp("fc00::1", "fc00::2", 1, 2, payload=bytes(2000))
    packet = parse(icmp_error(six, kind=2, code=0, rest=1280), 1)
    assert (get(packet, "tp_src"), get(packet, "nw_proto")) == (2, 58)
    assert len(packet.frame) - 14 == 1280
    assert l4_checksum_ok(packet)


def test_arp_and_neighbour() -> None:
    ask = parse(arp("10.0.0.1", "10.0.0.2"), 1)
    assert ask.frame[:6] == b"\xff" * 6
    assert get(ask, "nw_proto") == 1
    assert get(ask, "arp_sha") == 0x020000000001
    advert = parse(neighbour("fc00::2", "fc00::1", "fc00::2", advert=True, flags=0x60000000), 1)
    assert get(advert, "tp_src") == 136
    assert get(advert, "arp_tha") == 0x020000000001
    assert get(advert, "nd_reserved") == 0x60000000
    assert get(advert, "nw_ttl") == 255
    bare = parse(neighbour("fc00::2", "fc00::1", "fc00::2", address=""), 1)
    assert bare.end - bare.l4 == 24


def test_fragments_are_first_later_later() -> None:
    for whole in (
        udp("10.0.0.1", "10.0.0.2", 1, 2, payload=bytes(range(100)), ip_options=b"\x94\4\0\0"),
        sctp("fc00::1", "fc00::2", 1, 2, chunks=bytes(range(100))),
    ):
        pieces = [parse(frame, 1) for frame in fragment(whole, [8, 48], ident=77)]
        assert [get(packet, "nw_frag") for packet in pieces] == [1, 3, 3]
        body = b"".join(packet.frame[packet.l4 : packet.end] for packet in pieces)
        assert body == whole[parse(whole, 1).l4 :]


def test_tags_are_ids_or_pairs() -> None:
    frame = icmp_echo("10.0.0.1", "10.0.0.2", vlans=[(0x88A8, 0x2005), 7])
    assert frame[12:20].hex() == "88a8200581000007"


def test_ip_carries_any_protocol() -> None:
    packet = parse(ip("10.0.0.1", "10.0.0.2", 47, b"gre"), 1)
    assert get(packet, "nw_proto") == 47
    assert packet.frame[packet.l4 :] == b"gre"
