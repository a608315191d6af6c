"""What was lowered, and what was not, as text: commands for ``tc``, and comments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ovsct.bridge.odp import Author, Megaflow
from ovsct.bridge.odp_text import format_actions, format_key
from ovsct.errors import OvsctError
from ovsct.lower.reasons import Note, Refusal
from ovsct.lower.to_tc import blame
from ovsct.openflow.text.flow_text import format_flow
from ovsct.packet.fields import SLOTS
from ovsct.tc.filters import Filter
from ovsct.tc.text.write import write_command


def command_lines(entry: Filter, notes: Iterable[Note] = ()) -> Iterator[str]:
    """The command that adds a filter, with what the filter lacks as comments before it.

    A filter for which ``tc`` has no words (OVS talks to the kernel without them) is a comment.
    """
    for note in notes:
        yield f"# ignored ({note.ignored}): {note.detail}"
    try:
        yield f"tc {write_command(entry).removeprefix('tc ')}"
    except OvsctError as error:
        yield f"# installed, but tc cannot say it: {error}"


def refusal_lines(megaflow: Megaflow, refusal: Refusal) -> Iterator[str]:
    """A megaflow that TC did not get: comments with the reason and whose doing it is."""
    text = format_key(megaflow.packet_key, megaflow.mask)
    yield f"# not in TC: {text}, actions:{format_actions(megaflow.actions)}"
    yield f"#   refused ({refusal.reason}): {refusal.detail}"
    for author, bits in blame(megaflow, refusal.bits):
        yield f"#   {_slots(bits)}: {author_text(author)}"


def author_text(author: Author) -> str:
    """Who looked at something: the flow, or the table, and how."""
    if author.flow is not None:
        place = f" ({author.flow.file}:{author.flow.line})" if author.flow.file else ""
        return f"{author.why} by {format_flow(author.flow).strip()}{place}"
    if author.table is not None:
        return f"{author.why} in table {author.table}"
    return author.why


def _slots(bits: int) -> str:
    return ", ".join(slot.name for slot in SLOTS.values() if slot.mask & bits)
