"""Frames a second out of a capture: the floor under every lane's packets a second."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ovsct.packet.capture import MICROSECOND
from ovsct.packet.pcap import PcapReader, PcapWriter, write_pcap
from ovsct.packet.pcapng import PcapngReader
from ovsct.packet.pcapng_write import PcapngWriter

FRAMES = 100_000
EPOCH = 1_700_000_000


def pcap(size: int, per_second: int) -> bytes:
    out = io.BytesIO()
    frame = bytes(size)
    write_pcap(out, ((EPOCH + n / 1000, frame) for n in range(FRAMES)), per_second=per_second)
    return out.getvalue()


def pcapng(size: int) -> bytes:
    out = io.BytesIO()
    writer = PcapngWriter(out, [1, 2])
    for n in range(FRAMES):
        writer.write(EPOCH + n / 1000, 1 + n % 2, bytes(size))
    return out.getvalue()


def measure(
    benchmark: BenchmarkFixture, read: Callable[[io.BytesIO], Iterable[object]], data: bytes
) -> None:
    assert sum(1 for _ in read(io.BytesIO(data))) == FRAMES
    benchmark(lambda: deque(read(io.BytesIO(data)), maxlen=0))
    benchmark.extra_info["frames_per_second"] = round(FRAMES / benchmark.stats.stats.min)


@pytest.mark.parametrize("size", [64, 1400])
def test_pcap_frames(benchmark: BenchmarkFixture, size: int) -> None:
    measure(benchmark, lambda file: PcapReader(file, "a").frames(), pcap(size, MICROSECOND))


@pytest.mark.parametrize("size", [64, 1400])
def test_pcap_records(benchmark: BenchmarkFixture, size: int) -> None:
    measure(benchmark, lambda file: PcapReader(file, "a"), pcap(size, MICROSECOND))


@pytest.mark.parametrize("size", [64, 1400])
def test_pcapng_records(benchmark: BenchmarkFixture, size: int) -> None:
    measure(benchmark, lambda file: PcapngReader(file, "a"), pcapng(size))


def test_pcap_write(benchmark: BenchmarkFixture) -> None:
    frame = bytes(64)

    def run() -> int:
        out = io.BytesIO()
        writer = PcapWriter(out)
        for n in range(FRAMES):
            writer.write(EPOCH + n / 1000, frame)
        return out.tell()

    assert benchmark(run) == 24 + FRAMES * 80
