"""Replays what a real kernel made of packets (recorded/*.json) on the netfilter model.

The recordings were written by a script that ran the frames through user-mode kernels; each says
which kernel and how. Expectations in them are what the kernel printed, nothing is made by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ovsct.conntrack import tuples
from ovsct.conntrack.flowtable import FlowTable
from ovsct.conntrack.netfilter import Entry, Netfilter, Status, Verdict
from ovsct.conntrack.netfilter.sctp import NAMES as SCTP_NAMES
from ovsct.conntrack.netfilter.tcp import NAMES as TCP_NAMES
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.conntrack.snapshot import decode, encode
from ovsct.packet.fields import CT_EST, CT_INV, CT_NEW, CT_REL, CT_RPL, SLOTS
from ovsct.packet.packet import Packet, parse

RECORDED = Path(__file__).parent / "recorded"
ZONE = 2
_PROTOCOLS = {
    1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 58: "icmpv6", 132: "sctp", 136: "udplite",
}  # fmt: skip
_STATES = {6: TCP_NAMES, 132: SCTP_NAMES}


def load(pattern: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(file name, kernel "6.1" or "6.12", case) of every recorded case."""
    for path in sorted(RECORDED.glob(pattern)):
        record = json.loads(path.read_text())
        kernel = ".".join(record["kernel"].split(".")[:2])
        for case in record["cases"]:
            yield path.stem, kernel, case


def act_ct(
    netfilter: Netfilter, flows: FlowTable, packet: Packet, request: Track, now: float
) -> bool:
    """tcf_ct_act() as far as the recordings use it: one zone, no clear, no force."""
    packet.frame = packet.frame[: packet.end]
    hit = False
    if packet.conn is None:
        hit = flows.lookup(packet, request.zone, now)
        if not hit and netfilter.conntrack_in(packet, request.zone, now) is not Verdict.ACCEPT:
            return netfilter.kernel == "6.1"
    if packet.conn is None:
        return True
    if request.nat and netfilter.nat(packet, request, now) is not Verdict.ACCEPT:
        return False
    if request.commit and netfilter.confirm(packet, now) is not Verdict.ACCEPT:
        return False
    if not hit:
        flows.process(packet, now)
    return True


class Replay:
    """The recorded rule set on the model: ct, then by ct_state; +new from port 0 is committed."""

    def __init__(self, kernel: str, case: dict[str, Any]) -> None:
        self.netfilter = Netfilter(kernel)
        self.netfilter.choose = self._choose
        self.flows = FlowTable(self.netfilter)
        self.tracker = OvsKernelTracker(self.netfilter)
        self.over_tc = case["datapath"] == "tc"
        nat = case.get("nat")
        self.first = Track(zone=ZONE, nat=Nat() if nat else None)
        self.commit = Track(zone=ZONE, commit=True, nat=_nat(nat) if nat else None)
        self.drawn = {"nat source port": 0, "nat destination port": 0}
        self.icmp = False

    def _choose(self, size: int, why: str) -> int:
        """What the kernel drew, told from the port it took."""
        port = self.drawn[why]
        nat = self.commit.nat
        assert nat is not None
        asked = NatKind.SRC if why == "nat source port" else NatKind.DST
        if nat.kind is not asked or not nat.port_min:
            # No range was asked for: a port of the same class.
            low = 0 if self.icmp else 1 if port < 512 else 600 if port < 1024 else 1024
            return port - low
        if asked is NatKind.DST:
            used = {tuples.unpack(e.reply).sport for e in self.netfilter.entries()}
            if used.issuperset(range(nat.port_min, nat.port_max + 1)):
                # Nothing was free: what the kernel took is the last that it tried.
                return port - nat.port_max
        return port - nat.port_min

    def step(self, step: dict[str, Any]) -> list[list[str]]:
        """Let time pass and take one frame; what comes out, as the record has it."""
        now = step["at"]
        self.flows.advance(now)
        self.netfilter.advance(now)
        if "frame" not in step:
            return []
        packet = parse(bytes.fromhex(step["frame"]), step["port"] + 1)
        self._look_ahead(step)
        state = self._tc(packet, step, now) if self.over_tc else self._ovs(packet, step, now)
        if state is None:
            return []
        frame = packet.frame.hex()
        return [[state] if frame == step["frame"] else [state, frame]]

    def _look_ahead(self, step: dict[str, Any]) -> None:
        for out in step["out"]:
            if len(out) == 2:
                raw = bytes.fromhex(out[1])
                self.icmp = raw[23] == 1
                at = 38 if self.icmp else 34
                self.drawn["nat source port"] = int.from_bytes(raw[at : at + 2], "big")
                self.drawn["nat destination port"] = int.from_bytes(raw[36:38], "big")

    def _ovs(self, packet: Packet, step: dict[str, Any], now: float) -> str | None:
        if self.tracker.track(packet, self.first, now) is not None:
            return None
        bits = SLOTS["ct_state"].get(packet.key)
        new = bits & CT_NEW and not bits & CT_REL and step["port"] == 0
        if new and self.tracker.track(packet, self.commit, now) is not None:
            return None
        return _name(bits)

    def _tc(self, packet: Packet, step: dict[str, Any], now: float) -> str | None:
        if not act_ct(self.netfilter, self.flows, packet, self.first, now):
            return None
        bits = self.netfilter.flower_bits(packet, True)
        new = bits & CT_NEW and step["port"] == 0
        if new and not act_ct(self.netfilter, self.flows, packet, self.commit, now):
            return None
        return _name(bits)


def moved(tracker: OvsKernelTracker, now: float) -> OvsKernelTracker:
    """Another tracker that goes on from a snapshot of this one, through bytes."""
    other = OvsKernelTracker(Netfilter())
    other.restore(decode(encode(tracker.snapshot(now))), now)
    return other


def _nat(nat: dict[str, Any]) -> Nat:
    low, high = (int(ip_address(text)) for text in nat["addr"])
    return Nat(NatKind(nat["kind"]), 4, low, high, *nat["port"])


def _name(bits: int) -> str:
    if bits & CT_INV:
        return "inv"
    if bits & CT_NEW and not bits & CT_REL:
        return "new"
    return ("est" if bits & CT_EST else "rel") + (",rpl" if bits & CT_RPL else "")


def proc_line(e: Entry, now: float) -> tuple[float, str]:
    """The entry's remaining seconds and its line of /proc/net/nf_conntrack without them."""
    offloaded = e.status & Status.OFFLOAD
    names = _STATES.get(e.proto)
    words = [
        "ipv4 2" if e.family == 4 else "ipv6 10",
        _PROTOCOLS.get(e.proto, "unknown"),
        str(e.proto),
    ]
    if names and not (offloaded and e.proto == 6):
        words.append(names[e.state])
    if e.proto == 47:
        words.append(f"timeout=30, stream_timeout=180 {_direction(e.original)}")
    else:
        words.append(_direction(e.original))
    if not e.status & Status.SEEN_REPLY:
        words.append("[UNREPLIED]")
    words.append(_direction(e.reply))
    if offloaded:
        words.append("[OFFLOAD]")
    elif e.status & Status.ASSURED:
        words.append("[ASSURED]")
    words += [f"mark={e.mark}", f"zone={e.zone}"]
    return e.expires / 1000 - now, " ".join(words)


def _direction(tuple_: int) -> str:
    parts = tuples.unpack(tuple_)
    src, dst = (
        (ip_address(a) if parts.family == 4 else ip_address(a.to_bytes(16, "big"))).exploded
        for a in (parts.src, parts.dst)
    )
    text = f"src={src} dst={dst}"
    if tuples.is_icmp(tuple_):
        return f"{text} type={parts.dport >> 8} code={parts.dport & 255} id={parts.sport}"
    if parts.proto in (6, 17, 132, 136):
        return f"{text} sport={parts.sport} dport={parts.dport}"
    if parts.proto == 47:
        return f"{text} srckey=0x{parts.sport:x} dstkey=0x{parts.dport:x}"
    return text


_TIMEOUT = re.compile(r"^(ipv\d \d+ \S+ \d+) (-?\d+) (?=[A-Z_]|src|timeout=)")


def same_table(netfilter: Netfilter, now: float, lines: list[str]) -> str | None:
    """None if the table is what the kernel printed, or how it differs.

    The kernel prints whole seconds and may print what it has not yet swept away; a second is
    tolerated, since reading its table took time.
    """
    expected = []
    for line in lines:
        found = _TIMEOUT.match(line)
        seconds = int(found[2]) if found else None
        if seconds is None or seconds > 0:
            expected.append((_TIMEOUT.sub(r"\1 ", line), seconds))
    for e in netfilter.entries():
        left, text = proc_line(e, now)
        if left < 1 and not e.status & Status.OFFLOAD:
            continue
        for row in expected:
            if row[0] == text and (row[1] is None or abs(left - 0.5 - row[1]) < 1.2):
                expected.remove(row)
                break
        else:
            return f"only in the model: {text} ({left:.1f} s); left of the kernel: {expected}"
    return f"only in the kernel: {expected}" if expected else None
