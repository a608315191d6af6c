"""Event lines: a time, and a packet in words or of a conversation.

    0.0 p1 tcp 10.0.0.1:1000 > 10.0.0.2:80 S seq 1
    +0.1 web < SA
    p1 hex 0200...

The time is in seconds, from the start or (with ``+``) since the event before; without one the
event happens at the same time as that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from ovsct.compare.conversation import Conversation, read_port
from ovsct.compare.packet_line import Reader, fail, nearest, read_packet, tokens
from ovsct.lane import Arrival

_TIME: Final = re.compile(r"\+?\d+(?:\.\d+)?(?:e-?\d+)?")
_PORT: Final = re.compile(r"p\d+")


def has_time(line: str) -> bool:
    """Whether an event line begins with a time."""
    first = line.split(maxsplit=1)
    return bool(first) and _TIME.fullmatch(first[0]) is not None


def event_line(
    line: str, now: float, conversations: Mapping[str, Conversation]
) -> Iterator[Arrival]:
    """The arrivals of one line: one, or several at the same time if a packet is fragmented.

    Args:
        line: as above.
        now: the time of the event before, in seconds.
        conversations: by name; a packet of one moves it on.

    Raises:
        InputError: with column and token.
    """
    words = Reader(tokens(line))
    first = words.take("a packet")
    at = now
    if _TIME.fullmatch(first.text):
        relative = first.text.startswith("+")
        at = round(now + float(first.text), 9) if relative else float(first.text)
        if at < now:
            fail("time runs backwards", first, f"{now:g} or later")
        first = words.take("a port such as p1, or the name of a conversation")
    if _PORT.fullmatch(first.text):
        words.at -= 1
        port = words.value(read_port, "a port from p1 to p65279")
        frames = read_packet(words)
    elif first.text in conversations:
        port, frames = conversations[first.text].frames(words)
    else:
        known = [*conversations, "p1"]
        fail(
            "neither a port nor a conversation", first,
            ", ".join(conversations) + " or a port such as p1" if conversations else "such as p1",
            nearest(first.text, known),
        )  # fmt: skip
    for frame in frames:
        yield Arrival(at, port, frame)
