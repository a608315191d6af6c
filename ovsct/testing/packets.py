"""Packets and matches as tests write them: words, hex or bytes in; what differs, in words, out."""

from __future__ import annotations

from typing import Final, TypeAlias

from ovsct.compare.packet_line import packet_frames
from ovsct.errors import InputError
from ovsct.openflow.match import Match
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.text.values import format_value
from ovsct.packet.fields import FIELDS, Slot
from ovsct.packet.packet import parse

Frame: TypeAlias = "bytes | str"
"""A frame's bytes, or a packet in words (docs/scenarios.md, "Packets in words")."""

_TAGS: Final = 2
"""VLAN tags that are looked behind."""


def frame_of(packet: Frame) -> bytes:
    """The frame of a packet. Raises InputError: the words are no packet, or several."""
    if isinstance(packet, bytes | bytearray | memoryview):
        return bytes(packet)
    frames = packet_frames(packet)
    if len(frames) != 1:
        raise InputError(
            f"{len(frames)} fragments, where one packet goes", token=packet,
            hint="choose one of them with 'piece N'",
        )  # fmt: skip
    return frames[0]


def says_numbers(packet: Frame) -> bool:
    """Whether the sequence numbers of a TCP packet are the test's own business."""
    return not isinstance(packet, str) or not {"seq", "ack", "hex"}.isdisjoint(packet.split())


def match_of(text: str) -> Match:
    """A match as ``ovs-ofctl`` takes it. Raises InputError, with the token."""
    return parse_flow(f"{text},actions=drop").match


def mismatches(text: str, port: int, frame: bytes) -> list[str]:
    """The fields of the match `text` that the frame does not have; none if it is matched.

    Raises InputError: the text is no match.
    """
    wanted = match_of(text)
    key = parse(frame, port, _TAGS).key
    if wanted.matches(key):
        return []
    return [
        f"{slot.name} is {_shown(slot, there, mask)}, not {_shown(slot, value, mask)}"
        for slot, value, mask in wanted.fields()
        if (there := slot.get(key) & mask) != value
    ]


def _shown(slot: Slot, value: int, mask: int) -> str:
    """A value as the field writes it that has the slot to itself, or else in hexadecimal."""
    field = next((field for field in FIELDS.values() if field.mask == slot.mask), None)
    return f"{value:#x}" if field is None else format_value(field, value, mask)
