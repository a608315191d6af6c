"""One line of text for any frame, much as tcpdump writes it; for reports and traces.

    10.0.0.1.1000 > 10.0.0.2.80: S seq 1 win 65535 <mss 1460>, ttl 64, vlan 5, 58 bytes
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ovsct.packet.checksum import l4_checksum_ok
from ovsct.packet.fields import FRAG_ANY, FRAG_LATER, SLOTS
from ovsct.packet.packet import (
    DL_TYPE_NONE,
    ETH_ARP,
    ETH_HEADER,
    ETH_IPV4,
    ETH_IPV6,
    ETH_RARP,
    ETH_VLAN,
    MPLS_TYPES,
    PROTO_FRAGMENT,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_IGMP,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    Packet,
    parse,
)
from ovsct.packet.tags import label_at

_PROTOCOLS: Final = {
    PROTO_ICMP: "icmp", PROTO_IGMP: "igmp", 4: "ipip", PROTO_TCP: "tcp", PROTO_UDP: "udp",
    41: "ipv6", PROTO_FRAGMENT: "fragment", 47: "gre", 50: "esp", 51: "ah", PROTO_ICMPV6: "icmp6",
    59: "nothing", PROTO_SCTP: "sctp",
}  # fmt: skip
_FLAGS: Final = "FSRP.UEWN"
_ICMP: Final = {
    0: "echo reply", 3: "unreachable", 4: "source quench", 5: "redirect", 8: "echo request",
    11: "time exceeded", 12: "parameter problem", 13: "timestamp request", 14: "timestamp reply",
}  # fmt: skip
_ICMPV6: Final = {
    1: "unreachable", 2: "packet too big", 3: "time exceeded", 4: "parameter problem",
    128: "echo request", 129: "echo reply", 130: "mld query", 131: "mld report", 132: "mld done",
    133: "router solicitation", 134: "router advertisement", 135: "neighbour solicitation",
    136: "neighbour advertisement", 137: "redirect", 143: "mld2 report",
}  # fmt: skip
_ECHOES: Final = {(False, 0), (False, 8), (True, 128), (True, 129)}
_ERRORS: Final = {
    *((False, kind) for kind in (3, 4, 5, 11, 12)),
    *((True, kind) for kind in (1, 2, 3, 4)),
}
_SCTP_CHUNKS: Final = (
    "data", "init", "init ack", "sack", "heartbeat", "heartbeat ack", "abort", "shutdown",
    "shutdown ack", "error", "cookie echo", "cookie ack", "ecne", "cwr", "shutdown complete",
)  # fmt: skip
_ARP: Final = {1: "arp who-has", 2: "arp reply", 3: "rarp who-is", 4: "rarp reply"}


def describe(frame: bytes, *, checksums: bool = True) -> str:
    """One line that says what `frame` is. Any bytes will do: what is cut short is said to be.

    Args:
        frame: the bytes from the destination address on.
        checksums: also say so if the transport's checksum is wrong.
    """
    if len(frame) < ETH_HEADER:
        return f"cut short, {_bytes(len(frame))}"
    packet = parse(frame, 0, 2)
    flow = {name: slot.get(packet.key) for name, slot in SLOTS.items()}
    dl_type = flow["dl_type"]
    words = _KINDS.get(dl_type, _other)(packet, flow)
    words += [
        f"vlan {flow[tci] & 0xFFF}"
        + (f" pcp {flow[tci] >> 13}" if flow[tci] >> 13 else "")
        + (f" tpid {flow[tpid]:#06x}" if flow[tpid] != ETH_VLAN else "")
        for tpid, tci in (("vlan_tpid", "vlan_tci"), ("vlan_tpid1", "vlan_tci1"))
        if flow[tci]
    ]
    if checksums and packet.l4 and not flow["nw_frag"] and not l4_checksum_ok(packet):
        words.append("bad checksum")
    words.append(_bytes(len(frame)))
    return ", ".join(words)


def _bytes(size: int) -> str:
    return "1 byte" if size == 1 else f"{size} bytes"


def _other(packet: Packet, flow: dict[str, int]) -> list[str]:
    kind = "802.2" if flow["dl_type"] == DL_TYPE_NONE else f"type {flow['dl_type']:#06x}"
    return [f"{_ethernet(packet.frame)}: {kind}"]


def _ethernet(frame: bytes) -> str:
    return f"{frame[6:12].hex(':')} > {frame[:6].hex(':')}"


def _mpls(packet: Packet, flow: dict[str, int]) -> list[str]:
    there = (packet.l3 - label_at(packet)) // 4
    words = [
        f"label {flow[slot] >> 12} tc {flow[slot] >> 9 & 7} ttl {flow[slot] & 0xFF}"
        for slot in ("mpls_lse", "mpls_lse1", "mpls_lse2")[:there]
    ]
    if there > len(words):
        words.append(f"{there - len(words)} more")
    return [f"{_ethernet(packet.frame)}: mpls", *words]


def _arp(packet: Packet, flow: dict[str, int]) -> list[str]:
    body = packet.frame[packet.l3 :]
    if len(body) < 28 or body[:6] != b"\0\1\x08\0\6\4":
        return [f"{_ethernet(packet.frame)}: arp of another kind or cut short"]
    operation = int.from_bytes(body[6:8], "big")
    spa, tpa = IPv4Address(flow["nw_src"]), IPv4Address(flow["nw_dst"])
    sha = flow["arp_sha"].to_bytes(6, "big").hex(":")
    kind = _ARP.get(operation, f"arp op {operation}")
    if operation == 1:
        return [f"{kind} {tpa} tell {spa} at {sha}"]
    if operation == 2:
        return [f"{kind} {spa} is-at {sha}"]
    return [f"{kind} {spa} at {sha} to {tpa} at {flow['arp_tha'].to_bytes(6, 'big').hex(':')}"]


def _ip(packet: Packet, flow: dict[str, int]) -> list[str]:
    v6 = flow["dl_type"] == ETH_IPV6
    if not packet.l4:
        return [f"{_ethernet(packet.frame)}: {'ipv6' if v6 else 'ipv4'} that contradicts itself"]
    proto = flow["nw_proto"]
    src, dst = _addresses(packet.frame, packet.l3, v6)
    fragment = _fragment(packet, v6) if flow["nw_frag"] & FRAG_ANY else ""
    if flow["nw_frag"] & FRAG_LATER:
        text = f"{src} > {dst}: {_PROTOCOLS.get(proto, f'protocol {proto}')}"
    else:
        text = _transport(packet.frame, packet.l4, packet.end, proto, v6, src, dst)
    words = [text, *([fragment] if fragment else []), f"ttl {flow['nw_ttl']}"]
    if flow["nw_tos"]:
        words.append(f"tos {flow['nw_tos']:#04x}")
    return words


def _addresses(frame: bytes, l3: int, v6: bool) -> tuple[str, str]:
    if v6:
        return str(IPv6Address(frame[l3 + 8 : l3 + 24])), str(IPv6Address(frame[l3 + 24 : l3 + 40]))
    return str(IPv4Address(frame[l3 + 12 : l3 + 16])), str(IPv4Address(frame[l3 + 16 : l3 + 20]))


def _fragment(packet: Packet, v6: bool) -> str:
    frame, l3 = packet.frame, packet.l3
    size = packet.end - packet.l4
    if v6:
        # A later fragment's payload is right behind its header; a first one may have more headers.
        return f"{'later' if _is_later(packet) else 'first'} fragment of {_bytes(size)}"
    word = frame[l3 + 6] << 8 | frame[l3 + 7]
    ident = frame[l3 + 4] << 8 | frame[l3 + 5]
    return f"frag {ident}:{size}@{(word & 0x1FFF) * 8}{'+' if word & 0x2000 else ''}"


def _is_later(packet: Packet) -> bool:
    return bool(SLOTS["nw_frag"].get(packet.key) & FRAG_LATER)


def _transport(
    frame: bytes, l4: int, end: int, proto: int, v6: bool, src: str, dst: str
) -> str:
    """Ends and transport header; `end` may cut the header short, as in an ICMP error."""
    size = end - l4
    if proto in (PROTO_TCP, PROTO_UDP, PROTO_SCTP) and size >= 4:
        sport, dport = frame[l4] << 8 | frame[l4 + 1], frame[l4 + 2] << 8 | frame[l4 + 3]
        detail = _DETAILS[proto](frame, l4, end)
        return f"{src}.{sport} > {dst}.{dport}: {detail}"
    if proto == (PROTO_ICMPV6 if v6 else PROTO_ICMP) and size >= 8:
        return f"{src} > {dst}: {_icmp(frame, l4, end, v6)}"
    name = _PROTOCOLS.get(proto, f"protocol {proto}")
    if proto == PROTO_IGMP and size >= 8:
        return f"{src} > {dst}: igmp type {frame[l4]:#04x}"
    return f"{src} > {dst}: {name} {size}"


def _tcp(frame: bytes, l4: int, end: int) -> str:
    if end - l4 < 20:
        return f"tcp cut short seq {_number(frame, l4 + 4, min(4, end - l4 - 4))}"
    bits = (frame[l4 + 12] & 0x0F) << 8 | frame[l4 + 13]
    flags = "".join(letter for n, letter in enumerate(_FLAGS) if bits >> n & 1) or "none"
    seq, ack = _number(frame, l4 + 4, 4), _number(frame, l4 + 8, 4)
    window = _number(frame, l4 + 14, 2)
    header = (frame[l4 + 12] >> 4) * 4
    if not 20 <= header <= end - l4:
        return f"{flags} seq {seq}, a data offset of {header} that does not fit"
    length = end - l4 - header
    text = f"{flags} seq {seq}" + (f":{(seq + length) & 0xFFFFFFFF}" if length else "")
    if bits & 0x10:
        text += f" ack {ack}"
    text += f" win {window}"
    options = _options(frame[l4 + 20 : l4 + header])
    return text + (f" <{options}>" if options else "") + (f" {length}" if length else "")


def _number(frame: bytes, at: int, size: int) -> int:
    return int.from_bytes(frame[at : at + size], "big") if size > 0 else 0


def _options(data: bytes) -> str:
    words, at = [], 0
    while at < len(data) and data[at]:
        kind = data[at]
        if kind == 1:
            at += 1
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        if size < 2 or at + size > len(data):
            words.append("broken")
            break
        body = data[at + 2 : at + size]
        words.append(_option(kind, body))
        at += size
    return " ".join(words)


def _option(kind: int, body: bytes) -> str:
    match kind, len(body):
        case 2, 2:
            return f"mss {int.from_bytes(body, 'big')}"
        case 3, 1:
            return f"wscale {body[0]}"
        case 4, 0:
            return "sackok"
        case 5, size if size % 8 == 0:
            edges = [int.from_bytes(body[at : at + 4], "big") for at in range(0, size, 4)]
            pairs = zip(edges[::2], edges[1::2], strict=True)
            return "sack " + ",".join(f"{left}-{right}" for left, right in pairs)
        case 8, 8:
            return f"ts {int.from_bytes(body[:4], 'big')}/{int.from_bytes(body[4:], 'big')}"
        case _:
            return f"opt{kind}"


def _udp(frame: bytes, l4: int, end: int) -> str:
    if end - l4 < 8:
        return "udp cut short"
    said, there = _number(frame, l4 + 4, 2), end - l4
    return f"udp {there - 8}" + (f" (length says {said - 8})" if said != there else "")


def _sctp(frame: bytes, l4: int, end: int) -> str:
    if end - l4 < 12:
        return "sctp cut short"
    words, at = [], l4 + 12
    while at + 4 <= end:
        kind, size = frame[at], frame[at + 2] << 8 | frame[at + 3]
        words.append(_SCTP_CHUNKS[kind] if kind < len(_SCTP_CHUNKS) else f"chunk {kind}")
        if size < 4:
            break
        at += (size + 3) & ~3
    return f"sctp tag {_number(frame, l4 + 4, 4):#x}" + "".join(f" [{word}]" for word in words)


_DETAILS: Final[dict[int, Callable[[bytes, int, int], str]]] = {
    PROTO_TCP: _tcp,
    PROTO_UDP: _udp,
    PROTO_SCTP: _sctp,
}


def _icmp(frame: bytes, l4: int, end: int, v6: bool) -> str:
    kind, code = frame[l4], frame[l4 + 1]
    family = "icmp6" if v6 else "icmp"
    name = (_ICMPV6 if v6 else _ICMP).get(kind, f"type {kind}")
    text = f"{family} {name}" + (f" code {code}" if code else "")
    if (v6, kind) in _ECHOES:
        return f"{text} id {_number(frame, l4 + 4, 2)} seq {_number(frame, l4 + 6, 2)}"
    if v6 and kind in (135, 136) and not code and end - l4 >= 24:
        return f"{text} {IPv6Address(frame[l4 + 8 : l4 + 24])}"
    if (v6, kind) in _ERRORS:
        return f"{text} for [{_inner(frame, l4 + 8, end, v6)}]"
    return text


def _inner(frame: bytes, l3: int, end: int, v6: bool) -> str:
    header = 40 if v6 else (frame[l3] & 0x0F) * 4 if end > l3 else 0
    if header < 20 or end - l3 < header:
        return "cut short"
    src, dst = _addresses(frame, l3, v6)
    proto = frame[l3 + 6] if v6 else frame[l3 + 9]
    if (v6 and proto == PROTO_FRAGMENT) or (not v6 and _number(frame, l3 + 6, 2) & 0x1FFF):
        return f"{src} > {dst}: {_PROTOCOLS.get(proto, f'protocol {proto}')}"
    inner_icmp = PROTO_ICMPV6 if v6 else PROTO_ICMP
    if proto == inner_icmp and end - l3 - header >= 8 and (v6, frame[l3 + header]) in _ERRORS:
        return f"{src} > {dst}: an error"  # an error about an error: do not go deeper
    return _transport(frame, l3 + header, end, proto, v6, src, dst)


_KINDS: Final[dict[int, Callable[[Packet, dict[str, int]], list[str]]]] = {
    ETH_IPV4: _ip,
    ETH_IPV6: _ip,
    ETH_ARP: _arp,
    ETH_RARP: _arp,
    **dict.fromkeys(MPLS_TYPES, _mpls),
}
