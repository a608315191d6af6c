"""OpenFlow on the wire: messages a second, there and back, and flow mods into a bridge."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ovsct.agent.model import ModelBridge
from ovsct.agent.session import Session
from ovsct.bridge.bridge import Bridge
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire.codec import decode, encode
from ovsct.openflow.wire.messages import FlowMod, FlowModTableId, Hello

FLOWS = {
    "simple": "in_port=1,actions=2",
    "firewall": "table=3,priority=7,ct_state=+trk+new,tcp,nw_src=10.0.0.0/8,tp_dst=80,"
    "actions=ct(commit,zone=5,exec(set_field:1->ct_mark)),resubmit(,4)",
}


def _message(line: str, version: int, **changed: Any) -> bytes:
    flow = parse_flow(line)
    message = FlowMod(
        table=flow.table, match=flow.match, priority=flow.priority, actions=flow.actions,
        variant="nx" if version == 1 else "", **changed,
    )  # fmt: skip
    return encode(message, version, 1, table_ids=True)


@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize("kind", FLOWS)
def test_decode_flow_mod(benchmark: BenchmarkFixture, kind: str, version: int) -> None:
    data = _message(FLOWS[kind], version)
    assert benchmark(decode, data, table_ids=True).body.actions


@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize("kind", FLOWS)
def test_encode_flow_mod(benchmark: BenchmarkFixture, kind: str, version: int) -> None:
    body = decode(_message(FLOWS[kind], version), table_ids=True).body
    assert benchmark(encode, body, version, 1, table_ids=True) == _message(FLOWS[kind], version)


@pytest.mark.parametrize("version", [1, 4])
def test_a_thousand_flow_mods_into_a_bridge(benchmark: BenchmarkFixture, version: int) -> None:
    stream = b"".join(
        _message(f"table=0,tcp,nw_src=10.0.{n >> 8}.{n & 255},tp_dst=80,actions=2", version)
        for n in range(1000)
    )

    def fresh() -> tuple[tuple[Session], dict[str, Any]]:
        session = Session(ModelBridge(OvsUserspace(Bridge([1, 2]))), lambda _: None)
        session.feed(encode(Hello(frozenset({version})), version, 1))
        session.feed(encode(FlowModTableId(1), version, 1))
        return (session,), {}

    def feed(session: Session) -> Session:
        session.feed(stream)
        return session

    session = benchmark.pedantic(feed, setup=fresh, rounds=5)
    assert session.model.rules.table_size(0) == 1000
