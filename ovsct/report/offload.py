"""Which megaflows were offloaded, and for the others why not and whose doing it is, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ovsct.bridge.odp import LOOKED_AT, MATCHED, Author, Megaflow
from ovsct.bridge.odp_text import format_actions, format_key
from ovsct.lane import Outcome, Via
from ovsct.lanes.hw import HwLane
from ovsct.lanes.tc import TcLane
from ovsct.lower.reasons import Note, Refusal
from ovsct.lower.to_tc import blame
from ovsct.nic.ingress import NotInHw
from ovsct.openflow.text.flow_text import format_flow
from ovsct.packet.fields import CT_STATE_NAMES, SLOTS
from ovsct.report.text import Style


@dataclass(slots=True)
class Share:
    """Packets and bytes (of whole frames) that one way took."""

    packets: int = 0
    bytes: int = 0


class Shares:
    """How much of the traffic each engine handled alone, and how much needed vswitchd."""

    def __init__(self) -> None:
        self.total = Share()
        self.by_way: dict[str, Share] = {}

    def add(self, frame: bytes, outcome: Outcome) -> None:
        """Count one packet under the slowest engine that it met."""
        via = outcome.via
        way = next(
            (name for engine, name in _SLOWEST_FIRST if engine in via), "nowhere: it was too short"
        )
        for share in (self.total, self.by_way.setdefault(way, Share())):
            share.packets += 1
            share.bytes += len(frame)


_SLOWEST_FIRST = (
    (Via.SLOW, "vswitchd had to look"),
    (Via.DATAPATH, "the OVS datapath"),
    (Via.TC, "TC"),
    (Via.HW, "the NIC alone"),
)


@dataclass(frozen=True, slots=True)
class Offload:
    """What became of a lane's megaflows.

    `in_tc` are those that are filters, with what these lack; `refused` those that are none, and
    why; `not_in_nic` those of `in_tc` that the NIC does not take, None where there is no NIC.
    """

    in_tc: Mapping[Megaflow, tuple[Note, ...]]
    refused: Mapping[Megaflow, Refusal]
    not_in_nic: Mapping[Megaflow, NotInHw] | None

    @classmethod
    def of(cls, lane: TcLane) -> Offload:
        """That of a lane as it stands."""
        not_in_nic = None
        if isinstance(lane, HwLane):
            why = lane.tc.refused
            not_in_nic = {
                flow: why[each.installed]
                for flow, each in lane.offloaded.items() if each.installed in why
            }  # fmt: skip
        in_tc = {flow: each.lowered.ignored for flow, each in lane.offloaded.items()}
        return cls(in_tc, dict(lane.refused), not_in_nic)

    def blamed(self) -> Iterator[str]:
        """The flows behind the bits for which megaflows were refused, as the user wrote them."""
        for megaflow, refusal in self.refused.items():
            for author, _ in blame(megaflow, refusal.bits):
                if author.flow is not None:
                    yield author.flow.text


def offload_report(
    offload: Offload, shares: Shares, style: Style, *, why: bool
) -> Iterator[str]:
    """The lines of the report: every megaflow, then the shares of the traffic."""
    for megaflow, notes in offload.in_tc.items():
        refused_by_nic = None if offload.not_in_nic is None else offload.not_in_nic.get(megaflow)
        where = "in TC    " if offload.not_in_nic is None or refused_by_nic else "in NIC   "
        yield f"{style.green(where)}  {_flow(megaflow)}"
        if refused_by_nic is not None:
            yield f"             not in the NIC: {refused_by_nic.reason}: {refused_by_nic.words}"
        for note in notes:
            yield f"             lost on the way ({note.ignored}): {note.detail}"
    for megaflow, refusal in offload.refused.items():
        yield f"{style.red('not in TC')}  {_flow(megaflow)}"
        yield f"             {refusal.reason}: {refusal.detail}"
        if why:
            yield from _why(megaflow, refusal, style)
    yield ""
    yield from _shares(shares)


def _flow(megaflow: Megaflow) -> str:
    key = format_key(megaflow.packet_key, megaflow.mask)
    return f"{megaflow.packets} packets  {key}, actions:{format_actions(megaflow.actions)}"


def _why(megaflow: Megaflow, refusal: Refusal, style: Style) -> Iterator[str]:
    for author, bits in blame(megaflow, refusal.bits):
        yield f"             {style.bold(_bits_text(megaflow.packet_key, bits))} {_who(author)}"
        yield from _underlined(author, bits)
        yield f"               -> {_advice(author)}"
    if refusal.action is not None:
        for flow in megaflow.rules:
            yield f"             from {_place(flow.file, flow.line)}{format_flow(flow).strip()}"


def _bits_text(key: int, bits: int) -> str:
    parts = []
    for slot in SLOTS.values():
        mask = slot.get(bits)
        if not mask:
            continue
        if slot.name == "ct_state":
            value = slot.get(key)
            parts.append("".join(
                ("+" if value & bit else "-") + name for name, bit in CT_STATE_NAMES if mask & bit
            ))  # fmt: skip
        else:
            parts.append(slot.name)
    return ", ".join(parts)


def _who(author: Author) -> str:
    if author.table is None:
        return author.why
    return f"in table {author.table}: {author.why}"


def _place(file: str | None, line: int | None) -> str:
    return f"{file or 'flows'}:{line}: " if line is not None else ""


def _underlined(author: Author, bits: int) -> Iterator[str]:
    """The user's own line, with the words underlined that ask for `bits`."""
    flow = author.flow
    if flow is None or not flow.text:
        return
    place = _place(flow.file, flow.line)
    indent = len(flow.text) - len(flow.text.lstrip())
    yield f"               {place}{flow.text[indent:]}"
    marks = [" "] * len(flow.text)
    for start, end in flow.match.spans_of(bits):
        marks[start:end] = "^" * (end - start)
    line = "".join(marks[indent:]).rstrip()
    if line:
        yield f"               {' ' * len(place)}{line}"


def _advice(author: Author) -> str:
    if author.flow is None:
        return "OVS itself asks for this; only other traffic or another kernel changes it"
    if author.why == MATCHED:
        return "this flow matches on it: say the same with what TC can match on"
    if author.why == LOOKED_AT:
        return (
            "this flow was not even hit: put it where this traffic does not come by (a table of "
            "its own, or one behind a flow of higher priority that catches this traffic)"
        )
    return "an action of this flow reads it"


def _shares(shares: Shares) -> Iterator[str]:
    total = shares.total
    yield f"{'handled by':<22} {'packets':>9} {'':>8} {'bytes':>12}"
    for _, way in reversed(_SLOWEST_FIRST):
        share = shares.by_way.get(way, Share())
        packets = 100 * share.packets / total.packets if total.packets else 0.0
        volume = 100 * share.bytes / total.bytes if total.bytes else 0.0
        yield (
            f"{way:<22} {share.packets:>9} {packets:>6.1f} % {share.bytes:>12} {volume:>6.1f} %"
        )
