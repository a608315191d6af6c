"""Messages, and what may become of them on the way."""

from __future__ import annotations

from random import Random

from ovsct.errors import InputError
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire.codec import encode
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.messages import FlowMod
from ovsct.openflow.wire.numbers import VERSIONS
from tests.openflow.flow_lines import ACTIONS, MATCHES
from tests.openflow.wire.messages import every


def _flow_mods(version: int) -> list[bytes]:
    found = []
    for line in [f"{line},actions=1" for line in MATCHES] + [f"tcp,actions={a}" for a in ACTIONS]:
        try:
            flow = parse_flow(line)
            message = FlowMod(
                table=3, match=flow.match, actions=flow.actions,
                variant="nx" if version == 1 else "",
            )  # fmt: skip
            found.append(encode(message, version, 7, table_ids=True))
        except (InputError, WireError):
            continue  # a line that goes with no match, or that this version cannot say
    assert len(found) > 200
    return found


def corpus() -> list[bytes]:
    """One of each message of each version, and a flow mod of each match and action."""
    return [
        data
        for version in VERSIONS
        for data in (
            *(encode(body, version, 7, table_ids=True) for body in every(version)),
            *_flow_mods(version),
        )
    ]


def damage(random: Random, data: bytes, others: list[bytes]) -> bytes:
    """Bits flipped, bytes replaced, cut, repeated or taken from another message."""
    message = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(min(8, len(message)), len(message) + 1)
        kind = random.randrange(6)
        if kind == 0 and at < len(message):
            message[at] ^= 1 << random.randrange(8)
        elif kind == 1 and at < len(message):
            message[at] = random.choice((0, 1, 7, 8, 0x7F, 0x80, 0xFE, 0xFF))
        elif kind == 2:
            del message[at:]
        elif kind == 3:
            message[at:at] = message[max(8, at - 16) : at]
        elif kind == 4:
            other = random.choice(others)
            message[at : at + 16] = other[8:24]
        else:
            message[at:at] = random.randbytes(random.randrange(1, 9))
    if random.random() < 0.1:
        message[1] = random.randrange(40)
    message = message[:0xFFFF]
    message[2:4] = len(message).to_bytes(2, "big")
    return bytes(message)
