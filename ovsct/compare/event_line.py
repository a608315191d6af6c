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
from ovsct.errors import InputError
from ovsct.lane import Arrival

_TIME: Final = re.compile(r"\+?\d+(?:\.\d+)?(?:e-?\d+)?")
_PORT: Final = re.compile(r"p\d+")


def is_time(word: str) -> bool:
    """Whether a word is a time: ``0.5`` or ``+0.5``."""
    return _TIME.fullmatch(word) is not None


def time_of(word: str, now: float) -> float:
    """The time in seconds that a word says, `now` being that of the event before.

    Raises:
        InputError: it lies before that.
    """
    at = round(now + float(word), 9) if word.startswith("+") else float(word)
    if at < now:
        raise InputError("time runs backwards", token=word, expected=f"{now:g} or later")
    return at


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
    if is_time(first.text):
        try:
            at = time_of(first.text, now)
        except InputError as error:
            raise error.at(column=first.column) from None
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
