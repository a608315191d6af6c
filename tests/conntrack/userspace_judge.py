"""The userspace dialect and a real ovs-vswitchd, side by side, a packet at a time.

A *program* is what a pipeline does to conntrack: ct actions one after the other, each in a table of
its own, so that between them the packet is recirculated. The last table moves what conntrack said
into the Ethernet addresses, so that the frames that leave tell ct_state, zone, mark, label and
original tuple; bytes from the IP header on tell what NAT did. Which program a packet runs through
stands in the last byte of its source address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from ovsct.conntrack.dump import dump_conntrack
from ovsct.conntrack.request import NatKind, Track
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.lane import Arrival
from ovsct.oracle.real_ovs import RealOvs
from ovsct.packet.fields import CT_INV, CT_MASK, CT_STATE_NAMES, SLOTS
from ovsct.packet.packet import parse

STATE_PORT, TUPLE_PORT = 2, 3
_LAST, _TUPLE = 200, 201


@dataclass(frozen=True)
class Step:
    """One ct action; `clear`: a ct_clear stands before it."""

    track: Track
    clear: bool = False


def ct_text(track: Track, table: int) -> str:
    """A request as ovs-ofctl writes it."""
    parts = []
    if track.commit:
        parts.append("commit")
    if track.force:
        parts.append("force")
    parts.append(f"zone={track.zone}")
    parts.append(f"table={table}")
    nat = track.nat
    if nat is not None:
        wanted = [flag for flag in ("persistent", "hash", "random") if getattr(nat, flag)]
        flags = "".join(f",{flag}" for flag in wanted)
        spec = f"nat({nat.kind}{_range(nat)}{flags})"
        parts.append("nat" if nat.kind is NatKind.RESTORE else spec)
    sets = []
    if track.mark:
        sets.append(f"set_field:{track.mark[0]:#x}/{track.mark[1]:#x}->ct_mark")
    if track.label:
        sets.append(f"set_field:{track.label[0]:#x}/{track.label[1]:#x}->ct_label")
    if sets:
        parts.append(f"exec({','.join(sets)})")
    if track.helper:
        parts.append(f"alg={track.helper}")
    return f"ct({','.join(parts)})"


def _range(nat) -> str:
    if not nat.addr_min:
        return ""
    kind = IPv4Address if nat.family == 4 else IPv6Address
    text = str(kind(nat.addr_min))
    if nat.addr_max > nat.addr_min:
        text += f"-{kind(nat.addr_max)}"
    if nat.port_min:
        text = f"[{text}]" if nat.family == 6 else text
        text += f":{nat.port_min}"
        if nat.port_max > nat.port_min:
            text += f"-{nat.port_max}"
    return f"={text}"


def flow_lines(programs: Sequence[Sequence[Step]], family: int = 4) -> list[str]:
    """The flows that run `programs`."""
    ip = "ip" if family == 4 else "ipv6"
    lines = []
    table = 1
    for number, steps in enumerate(programs):
        match = f"table=0,priority=10,{ip},dl_src=02:00:00:00:00:{number:02x}"
        for index, step in enumerate(steps):
            nxt = _LAST if index == len(steps) - 1 else table
            # alg= asks for its protocol in the flow's own match.
            kinds = {"ftp": "tcp", "tftp": "udp"}
            if step.track.helper:
                proto = kinds[step.track.helper] + ("6" if family == 6 else "")
                plain = ct_text(step.track, nxt).replace(f",alg={step.track.helper}", "")
                better = match.replace(f",{ip}", f",{proto}", 1).replace(
                    "priority=10", "priority=20"
                )
                clear = "ct_clear," if step.clear else ""
                # The program takes a helper's port from the packet that installed the megaflow:
                # reading the ports gives every pair of them its own.
                name = "TCP" if step.track.helper == "ftp" else "UDP"
                read = "".join(
                    f"move:NXM_OF_{name}_{side}[]->NXM_NX_REG{n}[0..15],"
                    for n, side in enumerate(("SRC", "DST"))
                )
                lines.append(f"{better},actions={read}{clear}{ct_text(step.track, nxt)}")
                lines.append(f"{match},actions={clear}{plain}")
            else:
                clear = "ct_clear," if step.clear else ""
                lines.append(f"{match},actions={clear}{ct_text(step.track, nxt)}")
            match = f"table={nxt},priority=10,{ip}"
            if nxt == table:
                table += 1
    assert table < _LAST
    lines.append(
        f"table={_LAST},actions=move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],"
        "move:NXM_NX_CT_ZONE[]->NXM_OF_ETH_SRC[8..23],"
        "move:NXM_NX_CT_LABEL[0..15]->NXM_OF_ETH_SRC[24..39],"
        f"move:NXM_NX_CT_MARK[]->NXM_OF_ETH_DST[0..31],output:{STATE_PORT},resubmit(,{_TUPLE})"
    )
    src, dst = ("NW_SRC[]", "NW_DST[]") if family == 4 else ("IPV6_SRC[0..31]", "IPV6_DST[0..31]")
    for flag in ("+est", "+new", "+rpl"):
        lines.append(
            f"table={_TUPLE},{ip},ct_state={flag},"
            f"actions=move:NXM_NX_CT_{src}->NXM_OF_ETH_SRC[0..31],"
            "move:NXM_NX_CT_TP_SRC[]->NXM_OF_ETH_SRC[32..47],"
            f"move:NXM_NX_CT_{dst}->NXM_OF_ETH_DST[0..31],"
            f"move:NXM_NX_CT_TP_DST[]->NXM_OF_ETH_DST[32..47],output:{TUPLE_PORT}"
        )
    return lines


class Said(NamedTuple):
    """What conntrack said of one packet."""

    state: str
    zone: int
    mark: int
    label: int
    original: tuple[int, int, int, int] | None
    body: str


def for_protocol(track: Track, key: int) -> Track:
    """`track` without its helper if the packet is of another protocol, as the flows have it."""
    proto = {"ftp": 6, "tftp": 17, None: 0}[track.helper]
    if track.helper and SLOTS["nw_proto"].get(key) != proto:
        return replace(track, helper=None)
    return track


def state_text(state: int) -> str:
    return "|".join(name for name, bit in CT_STATE_NAMES if state & bit)


def ask_real(real: RealOvs, at: float, frame: bytes) -> list[Said]:
    """Run one frame through the program; one answer a packet that left."""
    outcome = real.receive(Arrival(at, 1, frame))
    states = [out.frame for out in outcome.out if out.port == STATE_PORT]
    tuples = [out.frame for out in outcome.out if out.port == TUPLE_PORT]
    said = []
    for out in states:
        src, dst = int.from_bytes(out[6:12], "big"), int.from_bytes(out[:6], "big")
        state = src & 0xFF
        original = None
        if state & 0x0B:
            t = tuples.pop(0)
            a, b = int.from_bytes(t[6:12], "big"), int.from_bytes(t[:6], "big")
            original = (a & 0xFFFFFFFF, b & 0xFFFFFFFF, a >> 32, b >> 32)
        if state == CT_INV:
            # Never tracked: the program shows whatever its memory held there.
            src = dst = 0
        said.append(
            Said(
                state_text(state), src >> 8 & 0xFFFF, dst & 0xFFFFFFFF, src >> 24 & 0xFFFF,
                original, out[14:].hex(),
            )
        )
    return said


def ask_model(
    tracker: UserspaceTracker, program: Sequence[Step], at: float, frame: bytes
) -> list[Said]:
    """Run one frame through the model."""
    packets = [parse(frame, 1)]
    for number, step in enumerate(program):
        after = []
        for packet in packets:
            # Every recirculation has its own number, by which fragments are held apart.
            recirculated = hash((tuple(program[:number]),)) & 0xFFFFFFFF if number else 0
            packet.key = SLOTS["recirc_id"].put(packet.key, recirculated)
            if step.clear:
                tracker.clear(packet)
            diverted = tracker.track(packet, for_protocol(step.track, packet.key), at)
            after += [packet] if diverted is None else diverted.packets
        packets = after
    said = []
    for packet in packets:
        key = packet.key
        state = SLOTS["ct_state"].get(key)
        if state == CT_INV:
            key &= ~CT_MASK
        original = None
        if state & 0x0B:
            v4 = SLOTS["dl_type"].get(key) == 0x0800
            src, dst = ("ct_nw_src", "ct_nw_dst") if v4 else ("ct_ipv6_src", "ct_ipv6_dst")
            original = (
                SLOTS[src].get(key) & 0xFFFFFFFF, SLOTS[dst].get(key) & 0xFFFFFFFF,
                SLOTS["ct_tp_src"].get(key), SLOTS["ct_tp_dst"].get(key),
            )  # fmt: skip
        said.append(
            Said(
                state_text(state), SLOTS["ct_zone"].get(key), SLOTS["ct_mark"].get(key),
                SLOTS["ct_label"].get(key) & 0xFFFF, original, packet.frame[14:].hex(),
            )
        )
    return said


@dataclass(frozen=True)
class Sent:
    """One packet of a conversation: when, through which program, and the frame from the Ethernet
    type on.
    """

    at: float
    program: int
    frame: bytes
    what: str

    @property
    def whole(self) -> bytes:
        return (
            bytes.fromhex("020000000100")
            + bytes.fromhex("0200000000")
            + bytes([self.program])
            + self.frame
        )


def step_text(step: Step) -> str:
    """A step in short."""
    return ("clear," if step.clear else "") + ct_text(step.track, 0).replace("table=0", "-")


def difference(
    real: RealOvs, tracker: UserspaceTracker, program: Sequence[Step], sent: Sent
) -> tuple[str | None, list[Said]]:
    """Run one packet through both: None or how they differ, and what the program said."""
    frame = sent.whole
    said = ask_real(real, sent.at, frame)
    modelled = ask_model(tracker, program, sent.at, frame)
    # Packets of different megaflows leave in groups: only what left can be compared.
    if sorted(said, key=repr) != sorted(modelled, key=repr):
        theirs = [f"real:  {one}" for one in said if one not in modelled]
        ours = [f"model: {one}" for one in modelled if one not in said]
        return "\n".join([f"{len(said)} and {len(modelled)} packets", *theirs, *ours]), said
    lines = sorted(real.dump_conntrack("-s", "-m"))
    mine = sorted(dump_conntrack(tracker.connections(sent.at), more=True, statistics=True))
    if lines != mine:
        ours = [f"model: {line}" for line in mine if line not in lines]
        theirs = [f"real:  {line}" for line in lines if line not in mine]
        return "\n".join([str(said), *theirs, *ours]), said
    return None, said
