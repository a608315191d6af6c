"""Damaged messages: the codec refuses them by name, and a connection goes on as if nothing was."""

from __future__ import annotations

from random import Random

import pytest

from ovsct.agent.model import ModelBridge
from ovsct.agent.session import Closed, Session
from ovsct.bridge.bridge import Bridge
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.wire.codec import decode, encode, split
from ovsct.openflow.wire.errors import NUMBERS, WireError
from ovsct.openflow.wire.messages import EchoReply, EchoRequest, FlowModTableId, Hello
from tests.openflow.wire.damage import corpus, damage

SEED = 20260
ROUNDS = 20_000


@pytest.fixture(scope="module")
def damaged() -> list[bytes]:
    """The same messages in every run."""
    random = Random(SEED)
    every_message = corpus()
    return [damage(random, random.choice(every_message), every_message) for _ in range(ROUNDS)]


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
