"""Damaged messages: the codec refuses them by name, and a connection goes on as if nothing was."""

from __future__ import annotations

from random import Random

import pytest

from ovsct.agent.model import ModelBridge
from ovsct.agent.session import Closed, Session
from ovsct.bridge.bridge import Bridge
from ovsct.errors import InputError
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire.codec import decode, encode, split
from ovsct.openflow.wire.errors import NUMBERS, WireError
from ovsct.openflow.wire.messages import EchoReply, EchoRequest, FlowMod, FlowModTableId, Hello
from ovsct.openflow.wire.numbers import VERSIONS
from tests.openflow.flow_lines import ACTIONS, MATCHES
from tests.openflow.wire.messages import every

SEED = 20260
ROUNDS = 20_000


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


def _corpus() -> list[bytes]:
    return [
        data
        for version in VERSIONS
        for data in (
            *(encode(body, version, 7, table_ids=True) for body in every(version)),
            *_flow_mods(version),
        )
    ]


def _damage(random: Random, data: bytes, corpus: list[bytes]) -> bytes:
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
            other = random.choice(corpus)
            message[at : at + 16] = other[8:24]
        else:
            message[at:at] = random.randbytes(random.randrange(1, 9))
    if random.random() < 0.1:
        message[1] = random.randrange(40)
    message = message[:0xFFFF]
    message[2:4] = len(message).to_bytes(2, "big")
    return bytes(message)


@pytest.fixture(scope="module")
def damaged() -> list[bytes]:
    """The same messages in every run."""
    random = Random(SEED)
    corpus = _corpus()
    return [_damage(random, random.choice(corpus), corpus) for _ in range(ROUNDS)]


def test_the_codec_raises_nothing_but_its_own_error(damaged: list[bytes]) -> None:
    refused = 0
    for data in damaged:
        try:
            message = decode(data, table_ids=True)
        except WireError as error:
            assert error.name in NUMBERS, data.hex()
            refused += 1
            continue
        # What was understood can be said again, or is refused by name.
        try:
            encode(message.body, data[0], message.xid, table_ids=True)
        except WireError as error:
            assert error.name in NUMBERS, data.hex()
    assert 0.2 < refused / len(damaged) < 0.95


@pytest.mark.parametrize("version", [1, 4])
def test_a_connection_outlives_them_all(damaged: list[bytes], version: int) -> None:
    model = ModelBridge(OvsUserspace(Bridge([1, 2, 3])))
    out = bytearray()
    session = Session(model, out.extend)
    session.feed(encode(Hello(frozenset({version})), version, 1))
    session.feed(encode(FlowModTableId(1), version, 1))
    closed = 0
    for number, data in enumerate(damaged):
        if data[0] != version or data[1] > 60:
            continue
        try:
            session.feed(data)
        except Closed:
            closed += 1
        if number % 500 == 0:
            out.clear()
            session.feed(encode(EchoRequest(b"alive"), version, number + 1))
            answers = [decode(answer) for answer in split(out)]
            assert answers[-1].body == EchoReply(b"alive")
        out.clear()
    assert closed == 0


def test_random_bytes_end_a_connection_or_are_refused() -> None:
    random = Random(SEED)
    for _ in range(300):
        session = Session(ModelBridge(OvsUserspace(Bridge([1]))), lambda _: None)
        try:
            session.feed(random.randbytes(random.randrange(1, 200)))
            session.feed(encode(Hello(frozenset({1})), 1, 1))
        except Closed:
            continue
