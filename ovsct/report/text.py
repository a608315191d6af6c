"""Results for people: lines, tables, and divergences side by side.

Nothing here prints: functions give text. Colour is asked for by the caller (:class:`Style`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ovsct.compare.diverge import Divergence
from ovsct.compare.events import Happening
from ovsct.compare.evidence import Side
from ovsct.compare.lockstep import Row
from ovsct.lane import Arrival, Event, FlowChange, LinkChange, Outcome, Output, Step, StepKind, Via
from ovsct.packet.describe import describe
from ovsct.report.tally import Tally


class Style:
    """Terminal colours, or none."""

    __slots__ = ("_on",)

    def __init__(self, on: bool = False) -> None:
        self._on = on

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text

    def bold(self, text: str) -> str:
        """Headings."""
        return self._wrap("1", text)

    def red(self, text: str) -> str:
        """What differs."""
        return self._wrap("31", text)

    def green(self, text: str) -> str:
        """What is alike."""
        return self._wrap("32", text)

    def dim(self, text: str) -> str:
        """What may be passed over."""
        return self._wrap("2", text)


PLAIN: Final = Style()


def packet_line(n: int, packet: Arrival, outcome: Outcome) -> str:
    """One packet in one line, with the newline: number, time, port, what it is and became."""
    return (
        f"{n:>6} {packet.at:12.6f} p{packet.port} {describe(packet.frame)}"
        f" -> {fate(packet.frame, outcome.out, outcome.drop)}{_engines(outcome.via)}\n"
    )


def _engines(via: Iterable[Via]) -> str:
    text = ",".join(via)
    return f" [{text}]" if text else ""


def fate(frame: bytes, out: Sequence[Output], drop: object) -> str:
    """What became of a packet: where it left, and as what if it was changed, or why it did not."""
    if not out:
        return f"dropped ({drop})" if drop is not None else "nothing"
    return "; ".join(
        place(output) + ("" if output.frame == frame else f" as {describe(output.frame)}")
        for output in out
    )


def place(output: Output) -> str:
    """Where a frame left, as people write it."""
    return f"p{output.port}" if isinstance(output.port, int) else output.port


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as aligned columns, the first one as head; `right` are columns aligned to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def tally_table(tallies: Mapping[str, Tally]) -> str:
    """Packets by lane: how many left and were dropped, and the share that met each engine."""
    engines = [engine for engine in Via if any(each.via[engine] for each in tallies.values())]
    reasons = sorted({reason for each in tallies.values() for reason in each.drops})
    head = ["lane", "packets", "sent", "dropped", *(f"via {engine}" for engine in engines)]
    rows = [head + (["why dropped"] if reasons else [])]
    for lane, each in tallies.items():
        row = [lane, str(each.packets), str(each.sent), str(each.packets - each.sent)]
        # A real program does not say which of its engines a packet met.
        known = each.packets if any(each.via.values()) else 0
        row += [_share(each.via[engine], known) for engine in engines]
        if reasons:
            row.append(", ".join(f"{reason} {each.drops[reason]}" for reason in reasons
                                 if each.drops[reason]))  # fmt: skip
        rows.append(row)
    return table(rows, right=range(1, 4 + len(engines)))


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} %" if of else "-"


def packet_table(lanes: Sequence[str], rows: Iterable[Row], style: Style = PLAIN) -> str:
    """What each packet was and what became of it in each lane; ``*`` where lanes differ."""
    cells = [["", "n", "at", "in", "packet", *lanes]]
    marks = []
    for row in rows:
        arrival = row.happening if isinstance(row.happening, Arrival) else None
        frame = arrival.frame if arrival is not None else b""
        cell = [
            "" if row.alike else "*",
            str(row.n) if arrival is not None else "",
            f"{row.happening.at:g}",
            f"p{arrival.port}" if arrival is not None else "",
            describe(frame) if arrival is not None else "time passes",
        ]
        for taken in row.taken:
            outcome = taken.outcome
            drop = outcome.drop if outcome is not None and not taken.out else None
            via = outcome.via if outcome is not None else ()
            cell.append(short_fate(taken.out, drop) + _engines(via))
        cells.append(cell)
        marks.append(not row.alike)
    head, rule, *lines = table(cells, right=(1, 2)).split("\n")
    painted = [style.red(line) if mark else line for line, mark in zip(lines, marks, strict=True)]
    return "\n".join([style.bold(head), rule, *painted])


def short_fate(out: Sequence[Output], drop: object) -> str:
    """Where a packet left, or why it did not, in few words."""
    if not out:
        return f"- {drop}" if drop is not None else "-"
    return ",".join(place(output) for output in out)


# -- divergences --------------------------------------------------------------------------------


def divergence_text(divergence: Divergence, *, steps: bool = True, style: Style = PLAIN) -> str:
    """A divergence as a block of lines: the packet, each lane's outcome and steps, the causes."""
    arrival = divergence.arrival
    if arrival is not None:
        what = f"packet {divergence.n} at {divergence.at:.6f} s on p{arrival.port}:"
        lines = [style.bold(f"{what} {describe(arrival.frame)}")]
    else:
        what = f"after packet {divergence.n}, at {divergence.at:.6f} s, when only time passed"
        lines = [style.bold(what)]
    frame = arrival.frame if arrival is not None else b""
    width = max(len(side.lane) for side in divergence.sides)
    first = divergence.parties[0]
    for side in divergence.sides:
        text = fate(frame, side.out, side.drop) + _engines(side.via)
        paint = style.green if side.lane in first else style.red
        lines.append(f"  {side.lane.ljust(width)}  {paint(text)}")
    lines += (f"  {line}" for line in byte_difference(divergence.sides))
    for finding in divergence.findings:
        pair = f" ({finding.lanes[0]} / {finding.lanes[1]})" if len(divergence.findings) > 1 else ""
        lines.append(f"  {style.bold(f'cause: {finding.cause}')}{pair}: {finding.because}")
    if steps:
        lines += _steps(divergence.sides, style)
    return "\n".join(lines)


def _steps(sides: Sequence[Side], style: Style) -> Iterable[str]:
    for side in sides:
        if side.steps:
            yield f"  steps of {side.lane}:"
            yield from (style.dim(f"    {line}") for line in step_lines(side.steps))


_DEPTH: Final = {
    StepKind.ARRIVE: 0,
    StepKind.TABLE: 1,
    StepKind.FILTER: 1,
    StepKind.ACTION: 2,
    StepKind.CONNTRACK: 1,
    StepKind.NAT: 2,
    StepKind.RECIRCULATE: 1,
    StepKind.OUTPUT: 1,
    StepKind.DROP: 1,
    StepKind.OFFLOAD: 1,
    StepKind.NOTE: 1,
}
"""How deep the steps of a kind are indented; those that are missing begin a pass."""


def step_lines(steps: Iterable[Step]) -> Iterable[str]:
    """Steps as an indented tree: each pass through a datapath, a chain or the hardware begins anew.

    The key of an upcall is that of the whole packet and is left out.
    """
    for step in steps:
        indent = "  " * _DEPTH.get(step.kind, 0)
        text = "no megaflow covers it" if step.kind is StepKind.UPCALL else step.text
        yield f"{step.via:<8} {indent}{step.kind}: {text}"


def trace_text(
    number: int, happening: Happening, outcome: Outcome | None, events: Iterable[Event]
) -> str:
    """One packet of ``ovsct trace``, or time that passed: what time brought, steps, what became."""
    lines = [f"        {event.at:g} s: {event.kind}: {event.text}" for event in events]
    if outcome is None or not isinstance(happening, Arrival):
        return "\n".join([f"{number}: {_passing(happening)}", *lines, ""])
    head = f"{number}: at {happening.at:g} s on p{happening.port}: {describe(happening.frame)}"
    lines += (f"    {line}" for line in step_lines(outcome.steps))
    end = fate(happening.frame, outcome.out, outcome.drop) + _engines(outcome.via)
    return "\n".join([head, *lines, f"    => {end}", ""])


def _passing(happening: Happening) -> str:
    if isinstance(happening, LinkChange):
        state = "up" if happening.up else "down"
        return f"at {happening.at:g} s the link of p{happening.port} is {state}"
    if isinstance(happening, FlowChange):
        whose = f" of {happening.bridge}" if happening.bridge else ""
        return f"at {happening.at:g} s the flows{whose} change: {happening.text}"
    return f"time passes until {happening.at:g} s"


_LINE: Final = 16


def byte_difference(sides: Sequence[Side]) -> list[str]:
    """Where the bytes of two lanes' frames differ, if they sent alike to the same ports.

    The lines of 16 bytes that differ, of the first frame that does; `^^` marks the bytes.
    """
    a = sides[0]
    for b in sides[1:]:
        if [output.port for output in a.out] != [output.port for output in b.out]:
            continue
        for one, other in zip(a.out, b.out, strict=True):
            if one.frame != other.frame:
                return _hex_lines((a.lane, one.frame), (b.lane, other.frame))
    return []


def _hex_lines(a: tuple[str, bytes], b: tuple[str, bytes]) -> list[str]:
    lines = []
    width = max(len(a[0]), len(b[0]))
    for at in range(0, max(len(a[1]), len(b[1])), _LINE):
        one, other = a[1][at : at + _LINE], b[1][at : at + _LINE]
        if one == other:
            continue
        marks = [
            "^^" if one[n : n + 1] != other[n : n + 1] else "  "
            for n in range(max(len(one), len(other)))
        ]
        lines.append(f"{a[0].ljust(width)}  {at:04x}  {one.hex(' ')}".rstrip())
        lines.append(f"{b[0].ljust(width)}  {at:04x}  {other.hex(' ')}".rstrip())
        lines.append(f"{'':{width}}        {' '.join(marks)}".rstrip())
    return lines
