"""pcap files: to the byte and to the nanosecond, and every way in which one can be bad."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovsct.errors import InputError, OvsctError
from ovsct.packet.capture import (
    CHUNK,
    MAX_FRAME,
    MICROSECOND,
    NANOSECOND,
    Captured,
    port_of,
    sniff,
    split_time,
)
from ovsct.packet.pcap import PcapReader, PcapWriter, frames, read_pcap, write_pcap
from ovsct.packet.pcapng import PcapngReader
from ovsct.packet.read_capture import read_capture

EPOCH = 1_700_000_000
NANO = st.integers(0, NANOSECOND - 1)
FRAMES = st.binary(max_size=40)


def header(
    order: str = "<",
    magic: int = 0xA1B2C3D4,
    version: tuple[int, int] = (2, 4),
    snaplen: int = 65535,
    link: int = 1,
    reserved: tuple[int, int] = (0, 0),
) -> bytes:
    return struct.pack(order + "IHHIIII", magic, *version, *reserved, snaplen, link)


def record(
    seconds: int,
    fraction: int,
    frame: bytes,
    captured: int | None = None,
    original: int | None = None,
    order: str = "<",
) -> bytes:
    size = len(frame)
    lengths = (size if captured is None else captured, size if original is None else original)
    return struct.pack(order + "IIII", seconds, fraction, *lengths) + frame


def read(data: bytes, **how: object) -> list[Captured]:
    return list(read_pcap(io.BytesIO(data), "a.pcap", **how))  # type: ignore[arg-type]


def refused(data: bytes, **how: object) -> str:
    with pytest.raises(InputError) as caught:
        read(data, **how)
    assert caught.value.file == "a.pcap"
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Trickle:
    """A file like a slow pipe: it gives at most `most` bytes at a time, and cannot seek."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file, self._most = io.BytesIO(data), most

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._most))


class NotReady:
    """A file that does not block, and has nothing to give now."""

    def read(self, size: int, /) -> bytes | None:
        return None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "per_second"), [(0xA1B2C3D4, 10**6), (0xA1B23C4D, 10**9)])
def test_reads_both_byte_orders_and_both_units(order: str, magic: int, per_second: int) -> None:
    data = header(order, magic)
    data += record(5, per_second // 4, b"first", order=order)
    data += record(6, per_second // 2, b"", order=order)
    reader = PcapReader(io.BytesIO(data), "a.pcap")
    assert list(reader) == [Captured(5.25, 0, b"first", 5), Captured(6.5, 0, b"", 0)]
    assert reader.interfaces == [(None, 1, 65535, per_second)]
    assert list(frames(io.BytesIO(data), "a.pcap")) == [(5.25, b"first"), (6.5, b"")]


@pytest.mark.parametrize("most", [1, 3, 17, 100])
def test_a_pipe_may_give_less_than_asked_for(most: int) -> None:
    data = header() + b"".join(record(i, i, bytes(i)) for i in range(20))
    assert list(read_capture(Trickle(data, most), "-")) == read(data)


def test_frames_span_the_chunks_in_which_the_file_is_read() -> None:
    sizes = [MAX_FRAME, 1, 0, MAX_FRAME - 1, 60, MAX_FRAME] + [1000] * 1000
    data = header(snaplen=0) + b"".join(record(1, 0, bytes([n % 256]) * n) for n in sizes)
    got = read(data)
    assert [len(packet.frame) for packet in got] == sizes
    assert all(set(packet.frame) <= {len(packet.frame) % 256} for packet in got)


def test_a_file_without_records_is_empty() -> None:
    assert read(header()) == []
    reader = PcapReader(io.BytesIO(header()), "a.pcap", origin=None)
    assert list(reader) == []
    assert reader.origin is None


def test_reserved_header_fields_are_passed_over() -> None:
    assert len(read(header(reserved=(3600, 6)) + record(1, 2, b"x"))) == 1


# --- times ---------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(EPOCH, EPOCH + 2**22), NANO, FRAMES), max_size=8),
    st.sampled_from(["<", ">"]),
)
def test_nanoseconds_survive_reading_and_writing_from_an_origin(
    records: list[tuple[int, int, bytes]], order: str
) -> None:
    data = header(order, 0xA1B23C4D, snaplen=MAX_FRAME)
    data += b"".join(record(*each, order=order) for each in sorted(records))
    reader = PcapReader(io.BytesIO(data), "a.pcap", origin=None)
    got = list(reader)
    out = io.BytesIO()
    writer = PcapWriter(out, order=order, origin=reader.origin or 0)  # type: ignore[arg-type]
    for packet in got:
        writer.write(packet.at, packet.frame)
    assert out.getvalue() == data


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, MICROSECOND - 1)), max_size=8))
def test_microseconds_survive_as_seconds_since_1970(times: list[tuple[int, int]]) -> None:
    data = header(snaplen=MAX_FRAME) + b"".join(record(*time, b"x") for time in times)
    out = io.BytesIO()
    write_pcap(out, frames(io.BytesIO(data), "a.pcap"), per_second=MICROSECOND)
    assert out.getvalue() == data


@given(
    st.lists(
        st.tuples(st.floats(0, 2**32 - 1), FRAMES) | st.tuples(st.floats(EPOCH, EPOCH + 1), FRAMES),
        max_size=8,
    ),
    st.sampled_from([MICROSECOND, NANOSECOND]),
)
def test_what_was_written_is_written_again_to_the_byte(
    records: list[tuple[float, bytes]], per_second: int
) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    assert write_pcap(first, records, per_second=per_second) == len(records)
    first.seek(0)
    write_pcap(second, frames(first, "a.pcap"), per_second=per_second)
    assert first.getvalue() == second.getvalue()


def test_times_count_from_the_origin_that_was_asked_for() -> None:
    data = header() + record(EPOCH + 3, 250_000, b"") + record(EPOCH + 1, 0, b"")
    assert [packet.at for packet in read(data)] == [EPOCH + 3.25, EPOCH + 1.0]
    assert [packet.at for packet in read(data, origin=EPOCH)] == [3.25, 1.0]
    reader = PcapReader(io.BytesIO(data), "a.pcap", origin=None)
    assert [packet.at for packet in reader] == [0.25, -2.0]
    assert reader.origin == EPOCH + 3


def test_times_are_rounded_to_the_nearest_unit_and_carry_over() -> None:
    assert split_time(1.9999999996, 0, NANOSECOND) == (2, 0)
    assert split_time(1.0000004, 10, MICROSECOND) == (11, 0)
    assert split_time(1.0000006, 10, MICROSECOND) == (11, 1)
    assert split_time(0.1 + 0.2, 0, NANOSECOND) == (0, 300_000_000)
    assert split_time(-0.25, 10, NANOSECOND) == (9, 750_000_000)


@given(st.floats(EPOCH, 2 * EPOCH))
def test_rounding_is_exact_at_todays_epoch(at: float) -> None:
    seconds, units = split_time(at, 0, NANOSECOND)
    assert abs(Fraction(seconds) + Fraction(units, NANOSECOND) - Fraction(at)) <= Fraction(
        1, 2 * NANOSECOND
    )


# --- what is refused -----------------------------------------------------------------------

BAD_HEADERS = [
    (b"", "the capture is empty"),
    (header()[:2], "cut short at byte 2"),
    (header()[:23], "cut short at byte 23"),
    (header(version=(2, 3)), "pcap version 2.3 at byte 4"),
    (header(link=113), "link type 113 at byte 20"),
    (header(link=1 | 0x24000000), "4 bytes of frame check sequence"),
    (header(link=1 | 0x00010000), "reserved bits 0x00010000 are set at byte 20"),
    (header(magic=0xA1B2CD34), "modified pcap"),
    (b"\x0a\x0d\x0d\x0a" + bytes(24), "this is pcapng"),
    (b"\x1f\x8b\x08" + bytes(24), "gzip"),
    (b"GET / HTTP/1.1\r\n\r\n" + bytes(9), "47 45 54 20 at byte 0"),
]


@pytest.mark.parametrize(("data", "says"), BAD_HEADERS)
def test_a_bad_header_is_refused(data: bytes, says: str) -> None:
    assert says in refused(data)


ONE = record(1, 2, b"whole")
BAD_RECORDS = [
    (record(1, 2, bytes(10), original=60), "only 10 of the frame's 60 bytes"),
    (record(1, 2, b"", captured=262145, original=262145), "262145 bytes (expected at most 262144"),
    (record(1, 2, b"", captured=2**31, original=2**31), "the capture is damaged"),
    (record(1, 1_000_000, b""), "1000000 microseconds past the second"),
    (record(1, 2, b"abc", captured=5, original=5), "frame of record 2"),
    (record(1, 2, b"")[:15], "header of record 2"),
]


@pytest.mark.parametrize(("bad", "says"), BAD_RECORDS)
def test_a_bad_record_is_refused_with_its_place(bad: bytes, says: str) -> None:
    text = refused(header() + ONE + bad)
    assert says in text
    assert "record 2" in text
    assert f"byte {24 + len(ONE)}" in text


def test_the_place_of_an_error_counts_all_chunks_before() -> None:
    good = record(1, 2, bytes(100)) * 5000
    assert len(good) > 2 * CHUNK
    text = refused(header() + good + record(1, 10**6, b""))
    assert f"record 5001 at byte {24 + len(good)}:" in text


def test_a_whole_frame_above_the_snaplen_is_taken() -> None:
    data = header(snaplen=64) + record(1, 2, bytes(100))
    assert [len(row.frame) for row in read_pcap(io.BytesIO(data), "a.pcap")] == [100]


def test_without_a_snaplen_the_limit_is_the_longest_frame() -> None:
    data = header(snaplen=0) + record(1, 2, b"", captured=MAX_FRAME + 1, original=MAX_FRAME + 1)
    assert f"at most {MAX_FRAME}" in refused(data)


def test_nanoseconds_past_the_second_are_refused() -> None:
    data = header(magic=0xA1B23C4D) + record(1, 10**9, b"")
    assert "1000000000 nanoseconds past the second" in refused(data)


def test_the_records_before_a_bad_one_are_given_first() -> None:
    reader = read_pcap(io.BytesIO(header() + ONE + ONE + ONE[:-1]), "a.pcap")
    assert [next(reader).frame, next(reader).frame] == [b"whole", b"whole"]
    with pytest.raises(InputError, match="cut short"):
        next(reader)


def test_truncated_frames_are_taken_if_asked_for() -> None:
    data = header() + ONE + record(1, 2, bytes(10), original=60) + ONE
    got = read(data, truncated="take")
    assert [(len(packet.frame), packet.original_length) for packet in got] == [
        (5, 5),
        (10, 60),
        (5, 5),
    ]
    out = io.BytesIO()
    writer = PcapWriter(out, per_second=MICROSECOND, snaplen=65535)
    for at, _, frame, original in got:
        writer.write(at, frame, original)
    assert out.getvalue() == data


@pytest.mark.parametrize("truncated", ["error", "take"])
def test_an_original_length_below_the_captured_one_is_raised_to_it(truncated: str) -> None:
    data = header() + record(1, 2, bytes(10), original=4) + ONE
    assert [packet.original_length for packet in read(data, truncated=truncated)] == [10, 5]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_cut_at_any_byte_is_an_error_or_the_end_of_a_record(order: str) -> None:
    sizes = (0, 1, 5, 60)
    data = header(order) + b"".join(record(1, 2, bytes(size), order=order) for size in sizes)
    ends = [24, 40, 57, 78, 154]
    assert ends[-1] == len(data)
    for cut in range(len(data)):
        if cut in ends:
            assert len(read(data[:cut])) == ends.index(cut)
        else:
            assert "empty" in (text := refused(data[:cut])) or f"cut short at byte {cut}" in text


@given(st.data())
def test_a_damaged_file_raises_nothing_but_input_errors(draws: st.DataObject) -> None:
    data = bytearray(header() + record(1, 2, bytes(20)) + record(3, 4, bytes(7)))
    for _ in range(draws.draw(st.integers(1, 4))):
        data[draws.draw(st.integers(0, len(data) - 1))] = draws.draw(st.integers(0, 255))
    try:
        got = list(read_capture(io.BytesIO(bytes(data)), "a.pcap"))
    except InputError as error:
        assert error.file == "a.pcap"
    else:
        assert sum(16 + len(packet.frame) for packet in got) + 24 == len(data)


def test_a_file_that_is_not_ready_has_not_ended() -> None:
    with pytest.raises(InputError, match="blocks"):
        read_capture(NotReady(), "-")


def test_a_reader_goes_through_its_capture_once() -> None:
    reader = PcapReader(io.BytesIO(header() + ONE), "a.pcap")
    assert len(list(reader)) == 1
    with pytest.raises(OvsctError, match="once"):
        list(reader)


@pytest.mark.parametrize(
    ("at", "frame", "original", "says"),
    [
        (-1.0, b"", None, "second -1 "),
        (2.0**32, b"", None, "32 bits"),
        (float("nan"), b"", None, "finite"),
        (float("inf"), b"", None, "finite"),
        (0.0, bytes(MAX_FRAME + 1), None, "at most 262144"),
        (0.0, bytes(65), None, "the snaplen is 64"),
        (0.0, bytes(4), 3, "cannot have had 3 bytes"),
    ],
)
def test_what_no_reader_could_take_is_not_written(
    at: float, frame: bytes, original: int | None, says: str
) -> None:
    out = io.BytesIO()
    writer = PcapWriter(out, snaplen=64)
    with pytest.raises(OvsctError, match=says):
        writer.write(at, frame, original)
    assert len(out.getvalue()) == 24


def test_a_writer_takes_no_header_that_cannot_be() -> None:
    with pytest.raises(OvsctError, match="units a second"):
        PcapWriter(io.BytesIO(), per_second=1000)
    with pytest.raises(OvsctError, match="snaplen of 0"):
        PcapWriter(io.BytesIO(), snaplen=0)


# --- what all formats share ----------------------------------------------------------------


def test_the_format_is_told_by_the_first_bytes() -> None:
    assert sniff(header(), "a") == sniff(header(">", 0xA1B23C4D), "a") == "pcap"
    assert sniff(b"\x0a\x0d\x0d\x0a", "a") == "pcapng"
    assert isinstance(read_capture(io.BytesIO(header()), "a"), PcapReader)
    assert isinstance(read_capture(io.BytesIO(b"\x0a\x0d\x0d\x0a"), "a"), PcapngReader)
    with pytest.raises(InputError, match="unpack it first"):
        sniff(b"\x28\xb5\x2f\xfd", "a")


@pytest.mark.parametrize(
    ("index", "name", "port"),
    [(0, None, 1), (4, "eth0", 5), (0, "p7", 7), (3, "p65279", 65279), (2, "p7.1", 3), (1, "", 2)],
)
def test_the_port_is_in_the_name_or_the_index(index: int, name: str | None, port: int) -> None:
    assert port_of(index, name) == port


@pytest.mark.parametrize(("index", "name"), [(0, "p0"), (0, "p65280"), (65279, None)])
def test_a_port_that_ovs_does_not_have_is_refused(index: int, name: str | None) -> None:
    with pytest.raises(InputError, match="expected a port from 1 to 65279"):
        port_of(index, name)


def plain_reader(data: bytes) -> list[tuple[int, int, bytes]]:
    """Seconds, fraction and frame of each record: as short as can be, sharing no code."""
    order = "little" if data[0] in (0xD4, 0x4D) else "big"
    got, position = [], 24
    while position < len(data):
        words = [
            int.from_bytes(data[position + i : position + i + 4], order)  # type: ignore[arg-type]
            for i in (0, 4, 8)
        ]
        got.append((words[0], words[1], data[position + 16 : position + 16 + words[2]]))
        position += 16 + words[2]
    assert position == len(data)
    return got


def test_real_captures_read_as_a_plain_reader_reads_them(captures: Path) -> None:
    files = sorted(captures.glob("*.pcap"))
    assert files
    for path in files:
        expected = plain_reader(path.read_bytes())
        with path.open("rb") as file:
            reader = read_capture(file, path.name, origin=None)
            got = list(reader)
        per_second = reader.interfaces[0].ts_resolution
        assert [
            (*split_time(packet.at, reader.origin or 0, per_second), packet.frame) for packet in got
        ] == expected, path.name
