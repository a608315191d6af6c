"""What is known of a divergence: the packet, and for each lane what it did and what it held.

All of it is taken from what every lane offers (outcome, steps, connections, events), so that a
cause can be found for lanes that nobody has thought of yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Final

from ovsct.compare.lockstep import Taken
from ovsct.lane import (
    Arrival,
    Connection,
    Drop,
    Event,
    Output,
    Step,
    StepKind,
    Tuple5,
    Via,
)
from ovsct.packet.fields import CT_STATE_NAMES, SLOTS
from ovsct.packet.packet import (
    ETH_IPV4,
    ETH_IPV6,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_SCTP,
    PROTO_TCP,
    PROTO_UDP,
    Packet,
    parse,
)

_STATE_NAMES: Final = frozenset(name for name, _bit in CT_STATE_NAMES)
_PORTED: Final = (PROTO_TCP, PROTO_UDP, PROTO_SCTP)
_PINGS: Final = {PROTO_ICMP: (8, 0), PROTO_ICMPV6: (128, 129)}


@dataclass(frozen=True, slots=True)
class Side:
    """What one lane did with the packet, and the connections it then held that concern it."""

    lane: str
    out: tuple[Output, ...]
    drop: Drop | None
    via: Sequence[Via]
    steps: Sequence[Step]
    connections: tuple[Connection, ...]
    events: tuple[Event, ...] = ()

    def texts(self, *kinds: StepKind) -> list[str]:
        """The words of the steps of some kinds."""
        return [step.text for step in self.steps if step.kind in kinds]

    @property
    def ct_states(self) -> tuple[frozenset[str], ...]:
        """The ct_state that each pass through conntrack (or what stood in for it) gave."""
        texts = self.texts(StepKind.CONNTRACK, StepKind.OFFLOAD)
        return tuple(state for text in texts if (state := _state_in(text)))

    @property
    def in_hardware(self) -> Iterator[dict[str, int]]:
        """Zone, mark and label as hardware had written them down, for each entry that was hit."""
        for step in self.steps:
            if step.via is Via.HW and step.kind is StepKind.OFFLOAD:
                found = {name: int(value, 0) for name, value in _WRITTEN.findall(step.text)}
                yield {"zone": 0, "mark": 0, "label": 0, **found}

    @property
    def ports(self) -> list[int | str]:
        """Where the frames left, in order."""
        return [output.port for output in self.out]


_WRITTEN: Final = re.compile(r"\b(zone|mark|label)=(\w+)")
_CT_STATE: Final = re.compile(r"ct_state=([a-z|+]+)")


def _state_in(text: str) -> frozenset[str]:
    """The ct_state that the words of a step tell; empty if none."""
    if found := _CT_STATE.search(text):
        return frozenset(re.findall(r"[a-z]+", found[1])) & _STATE_NAMES
    return frozenset()


class Evidence:
    """All that speaks about one divergence between two lanes.

    `packet` is the arrival parsed behind up to two VLAN tags, None if there is no frame or it is
    too short; `a` and `b` are the two lanes.
    """

    def __init__(self, arrival: Arrival | None, a: Side, b: Side) -> None:
        self.arrival = arrival
        self.a = a
        self.b = b

    @cached_property
    def packet(self) -> Packet | None:
        """The packet that came in, parsed."""
        if self.arrival is None or len(self.arrival.frame) < 14:
            return None
        return parse(self.arrival.frame, 0, 2)

    def get(self, slot: str) -> int:
        """A slot of the packet's flow key; 0 without a packet."""
        return SLOTS[slot].get(self.packet.key) if self.packet is not None else 0

    def both_ways(self) -> Iterator[tuple[Side, Side]]:
        """The two sides, in both orders."""
        yield self.a, self.b
        yield self.b, self.a

    @property
    def is_ip(self) -> bool:
        """Whether the packet is IPv4 or IPv6."""
        return self.get("dl_type") in (ETH_IPV4, ETH_IPV6)

    @property
    def is_tcp(self) -> bool:
        """Whether the packet is TCP."""
        return self.is_ip and self.get("nw_proto") == PROTO_TCP


def side_of(lane: str, taken: Taken, relevant: tuple[Connection, ...]) -> Side:
    """The side of one lane from its row."""
    outcome = taken.outcome
    return Side(
        lane,
        taken.out,
        None if taken.out or outcome is None else outcome.drop,
        outcome.via if outcome is not None else (),
        outcome.steps if outcome is not None else (),
        relevant,
        tuple(taken.events),
    )


def tuple_of(frame: bytes) -> tuple[int, Tuple5] | None:
    """The protocol and the connection tuple of a frame; None if it can have none.

    Of an ICMP error it is that of the packet it speaks of, turned round.
    """
    if len(frame) < 14:
        return None
    packet = parse(frame, 0, 2)
    dl_type = SLOTS["dl_type"].get(packet.key)
    if dl_type not in (ETH_IPV4, ETH_IPV6):
        return None
    prefix, size = ("ipv6", 16) if dl_type == ETH_IPV6 else ("nw", 4)
    src, dst = (
        str(ip_address(SLOTS[f"{prefix}_{end}"].get(packet.key).to_bytes(size, "big")))
        for end in ("src", "dst")
    )
    proto = SLOTS["nw_proto"].get(packet.key)
    sport, dport = SLOTS["tp_src"].get(packet.key), SLOTS["tp_dst"].get(packet.key)
    if proto in _PORTED:
        return proto, Tuple5(src, dst, sport, dport)
    if proto not in _PINGS or not packet.l4:
        return proto, Tuple5(src, dst, 0, 0)
    if sport in _PINGS[proto]:
        ident = int.from_bytes(frame[packet.l4 + 4 : packet.l4 + 6], "big")
        return proto, Tuple5(src, dst, 0, 0, ident, sport, dport)
    return _quoted(frame[packet.l4 + 8 : packet.end], dl_type)


def _quoted(header: bytes, dl_type: int) -> tuple[int, Tuple5] | None:
    """The tuple of the packet that an ICMP error quotes (only its beginning), turned round."""
    v4 = dl_type == ETH_IPV4
    l4 = (header[0] & 15) * 4 if v4 and header else 40
    if len(header) < l4 + 8:
        return None
    proto = header[9] if v4 else header[6]
    at, size = (12, 4) if v4 else (8, 16)
    src, dst = (str(ip_address(header[at + n * size : at + (n + 1) * size])) for n in (0, 1))
    if proto in _PINGS:
        return proto, Tuple5(dst, src, 0, 0, int.from_bytes(header[l4 + 4 : l4 + 6], "big"))
    if proto not in _PORTED:
        return proto, Tuple5(dst, src, 0, 0)
    sport, dport = (int.from_bytes(header[l4 + n : l4 + n + 2], "big") for n in (0, 2))
    return proto, Tuple5(dst, src, dport, sport)


def _turned(ends: Tuple5) -> Tuple5:
    # ICMP's type and code turn round with the direction: the identifier is what counts.
    return Tuple5(ends.dst, ends.src, ends.dport, ends.sport, ends.icmp_id)


def concerning(
    connections: Iterable[Connection], frames: Iterable[bytes]
) -> tuple[Connection, ...]:
    """The connections that one of `frames` belongs to, in either direction and any zone."""
    keys = {
        (proto, end[:5])
        for found in map(tuple_of, frames)
        if found is not None
        for proto, ends in (found,)
        for end in (ends, _turned(ends))
    }
    return tuple(
        each
        for each in connections
        if (each.proto, each.orig[:5]) in keys or (each.proto, each.reply[:5]) in keys
    )


def matched(
    a: Sequence[Connection], b: Sequence[Connection]
) -> Iterator[tuple[Connection | None, Connection | None]]:
    """The connections of two lanes side by side, by zone and original tuple."""
    left = {(each.zone, each.proto, each.orig[:5]): each for each in a}
    right = {(each.zone, each.proto, each.orig[:5]): each for each in b}
    for key in dict.fromkeys((*left, *right)):
        yield left.get(key), right.get(key)
