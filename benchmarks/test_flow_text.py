"""Flows read and printed a second."""

from __future__ import annotations

from random import Random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ovsct.openflow.text.flow_text import format_flow, parse_flow

N = 2000


def _plain(random: Random) -> str:
    return (
        f"table={random.randrange(4)},priority={random.randrange(1000)},tcp,"
        f"nw_src=10.{random.randrange(256)}.{random.randrange(256)}.0/24,"
        f"nw_dst=192.168.{random.randrange(256)}.{random.randrange(256)},"
        f"tp_dst={random.randrange(65536)},actions=output:{random.randrange(1, 9)}"
    )


def _ct(random: Random) -> str:
    return (
        f"table={random.randrange(4)},priority={random.randrange(1000)},ct_state=+trk+new,tcp,"
        f"nw_src=10.{random.randrange(256)}.{random.randrange(256)}.0/24,"
        f"actions=ct(commit,zone=5,exec(set_field:{random.randrange(999)}->ct_mark),"
        f"nat(src=10.0.0.{random.randrange(1, 256)}:1024-60000)),"
        f"load:0x5->NXM_NX_REG0[0..15],resubmit(,9)"
    )


@pytest.mark.parametrize("make", [_plain, _ct], ids=["plain", "ct"])
def test_read_flows(benchmark: BenchmarkFixture, make) -> None:  # type: ignore[no-untyped-def]
    random = Random(1)
    lines = [make(random) for _ in range(N)]
    flows = benchmark(lambda: [parse_flow(line) for line in lines])
    benchmark.extra_info["flows_per_second"] = int(N / benchmark.stats.stats.mean)
    assert len(flows) == N


@pytest.mark.parametrize("make", [_plain, _ct], ids=["plain", "ct"])
def test_print_flows(benchmark: BenchmarkFixture, make) -> None:  # type: ignore[no-untyped-def]
    random = Random(1)
    flows = [parse_flow(make(random)) for _ in range(N)]
    lines = benchmark(lambda: [format_flow(flow) for flow in flows])
    benchmark.extra_info["flows_per_second"] = int(N / benchmark.stats.stats.mean)
    assert len(lines) == N
