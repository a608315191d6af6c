"""A hundred thousand flows into `ovsct switch` and into a real ovs-vswitchd, in the same run.

`ovs-ofctl add-flows` waits for an answer after every flow; a controller that does not wait is the
socket with whole messages one behind the other. Both rates are printed.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire.codec import decode, encode, split
from ovsct.openflow.wire.messages import BarrierReply, BarrierRequest, FlowMod, Hello
from ovsct.oracle.vswitchd import Vswitchd
from tests.agent.programs import Modelled, Real, Switch

pytestmark = pytest.mark.real_ovs

FLOWS = 100_000
TIMES = 10
"""How much longer than the real one the modelled switch may take."""


def _line(number: int) -> str:
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return (
        f"table={number % 4},priority={100 + number % 50},ip,nw_src={address},"
        f"actions=output:{1 + number % 4}"
    )


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Modelled, Real]]:
    with Vswitchd() as program, tempfile.TemporaryDirectory(prefix="ovsct-") as folder:
        model = Modelled(Path(folder))
        yield model, Real(program)
        assert model.stop() == 0


def _say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{line}\n")


def _add_flows(switch: Switch, file: Path) -> float:
    assert switch.ofctl("del-flows") == ""
    began = time.perf_counter()
    assert switch.ofctl("add-flows", str(file), patience=600) == ""
    return time.perf_counter() - began


def test_add_flows(
    benchmark: BenchmarkFixture, both: tuple[Modelled, Real], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "flows"
    file.write_text("".join(f"{_line(number)}\n" for number in range(FLOWS)))
    model, real = both
    theirs = _add_flows(real, file)
    ours = benchmark.pedantic(_add_flows, args=(model, file), rounds=1)
    _say(capsys, f"{FLOWS} flows by ovs-ofctl add-flows: real {theirs:.1f} s, model {ours:.1f} s,"
                 f" {ours / theirs:.1f} times as long")  # fmt: skip
    assert f"flow_count={FLOWS}" in model.ofctl("dump-aggregate")
    assert ours < TIMES * theirs


def _pipelined(switch: Switch, stream: bytes) -> float:
    """Send all without waiting; the time until the barrier behind it is answered."""
    assert switch.ofctl("del-flows") == ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(switch.openflow))
        connection.sendall(encode(Hello(frozenset({4})), 4, 1))
        began = time.perf_counter()
        connection.sendall(stream)
        connection.sendall(encode(BarrierRequest(), 4, 2))
        answers = bytearray()
        while True:
            answers += connection.recv(4096)
            if any(isinstance(decode(each).body, BarrierReply) for each in split(answers)):
                return time.perf_counter() - began


def test_flow_mods_without_waiting(
    benchmark: BenchmarkFixture, both: tuple[Modelled, Real], capsys: pytest.CaptureFixture[str]
) -> None:
    flows = [parse_flow(_line(number)) for number in range(FLOWS)]
    stream = b"".join(
        encode(
            FlowMod(table=flow.table, match=flow.match, priority=flow.priority,
                    actions=flow.actions),
            4, 7,
        )
        for flow in flows
    )  # fmt: skip
    model, real = both
    theirs = _pipelined(real, stream)
    ours = benchmark.pedantic(_pipelined, args=(model, stream), rounds=1)
    _say(capsys, f"{FLOWS} flow mods without waiting: real {FLOWS / theirs:,.0f} a second,"
                 f" model {FLOWS / ours:,.0f} a second")  # fmt: skip
