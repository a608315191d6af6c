"""pcapng files: blocks of both byte orders, interfaces as ports, and every way to be bad."""

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
    NANOSECOND,
    Captured,
    Interface,
    port_of,
)
from ovsct.packet.pcapng import (
    PASSED_OVER,
    PcapngReader,
    read_pcapng,
    why_skipped,
)
from ovsct.packet.pcapng_write import PcapngWriter
from ovsct.packet.read_capture import read_capture

EPOCH = 1_700_000_000
FRAMES = st.binary(max_size=40)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    length = len(body) + 12
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def option(code: int, data: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(data)) + padded(data)


END = bytes(4)


def section(order: str = "<", version: tuple[int, int] = (1, 0), options: bytes = b"") -> bytes:
    fields = struct.pack(order + "IHHq", 0x1A2B3C4D, *version, -1)
    return block(0x0A0D0D0A, fields + options, order)


def interface(order: str = "<", link: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def enhanced(
    frame: bytes,
    ticks: int = 0,
    number: int = 0,
    order: str = "<",
    captured: int | None = None,
    original: int | None = None,
    options: bytes = b"",
) -> bytes:
    size = len(frame)
    lengths = (size if captured is None else captured, size if original is None else original)
    fields = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, *lengths)
    return block(6, fields + padded(frame) + options, order)


def simple(frame: bytes, original: int | None = None, order: str = "<") -> bytes:
    length = len(frame) if original is None else original
    return block(3, struct.pack(order + "I", length) + padded(frame), order)


def obsolete(frame: bytes, ticks: int = 0, number: int = 0, options: bytes = b"") -> bytes:
    fields = (number, 0xFFFF, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(2, struct.pack("<HHIIII", *fields) + padded(frame) + options)


def read(data: bytes, **how: object) -> list[Captured]:
    return list(read_pcapng(io.BytesIO(data), "a.pcapng", **how))  # type: ignore[arg-type]


def refused(data: bytes, **how: object) -> str:
    with pytest.raises(InputError) as caught:
        read(data, **how)
    assert caught.value.file == "a.pcapng"
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is read --------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_both_byte_orders(order: str) -> None:
    options = option(2, b"p3", order) + option(9, b"\x09", order) + END
    data = section(order) + interface(order, snaplen=96, options=options)
    data += enhanced(b"first", 5_250_000_000, order=order) + simple(b"second", order=order)
    reader = PcapngReader(io.BytesIO(data), "a.pcapng")
    assert list(reader) == [Captured(5.25, 0, b"first", 5), Captured(5.25, 0, b"second", 6)]
    assert reader.interfaces == [Interface("p3", 1, 96, NANOSECOND)]
    assert reader.skipped == {}


def test_sections_have_their_own_order_and_interfaces_count_on() -> None:
    data = section("<") + interface("<") + interface("<") + enhanced(b"a", 10**6, 1)
    data += section(">", version=(1, 2)) + interface(">") + enhanced(b"b", 2 * 10**6, 0, ">")
    data += section("<") + interface("<", options=option(2, b"p9")) + enhanced(b"c", 3 * 10**6)
    reader = PcapngReader(io.BytesIO(data), "a.pcapng")
    got = list(reader)
    assert got == [(1.0, 1, b"a", 1), (2.0, 2, b"b", 1), (3.0, 3, b"c", 1)]
    ports = [port_of(packet.interface, reader.interfaces[packet.interface].name) for packet in got]
    assert ports == [2, 3, 9]


def test_an_interface_ends_with_its_section() -> None:
    data = section() + interface() + section() + enhanced(b"a")
    assert "interface 0 (expected one of the 0 that the section" in refused(data)


@pytest.mark.parametrize(
    ("resolution", "per_second"),
    [(0x00, 1), (0x03, 1000), (0x06, 10**6), (0x09, 10**9), (0x0C, 10**12), (0x94, 2**20)],
)
def test_the_unit_of_time_is_the_interfaces(resolution: int, per_second: int) -> None:
    ticks = 7 * per_second + per_second // 4
    data = section() + interface(options=option(9, bytes([resolution])) + END)
    (got,) = read(data + enhanced(b"", ticks))
    assert Fraction(got.at) == Fraction(ticks, per_second)


def test_the_offset_of_an_interface_is_added() -> None:
    offset = struct.pack("<q", EPOCH)
    data = section() + interface(options=option(14, offset) + END) + enhanced(b"", 250_000)
    assert read(data)[0].at == EPOCH + 0.25
    reader = PcapngReader(io.BytesIO(data), "a.pcapng", origin=None)
    assert [packet.at for packet in reader] == [0.25]
    assert reader.origin == EPOCH
    back = option(14, struct.pack("<q", -3))
    assert read(section() + interface(options=back) + enhanced(b"", 5_500_000))[0].at == 2.5


def test_a_simple_packet_has_the_time_of_the_packet_before() -> None:
    data = section() + interface() + simple(b"a") + enhanced(b"b", 2 * 10**6) + simple(b"c")
    assert [packet.at for packet in read(data)] == [0.0, 2.0, 2.0]


def test_the_obsolete_packet_block_is_read() -> None:
    data = section() + interface() + interface() + obsolete(b"old", 1_500_000, 1)
    assert read(data) == [(1.5, 1, b"old", 3)]


def test_what_holds_no_packet_is_skipped_and_counted() -> None:
    kinds = [*PASSED_OVER, 0x0B16B00B, 0]
    others = b"".join(block(kind, bytes(8)) for kind in kinds)
    data = section() + others + interface() + others + enhanced(b"a") + others
    reader = PcapngReader(io.BytesIO(data), "a.pcapng")
    assert len(list(reader)) == 1
    assert reader.skipped == dict.fromkeys(kinds, 3)
    assert "counters" in why_skipped(5)
    assert "0xb16b00b: unknown" in why_skipped(0x0B16B00B)


def test_options_that_only_describe_change_nothing() -> None:
    describe = option(1, b"comment") + option(2988, b"\0\0\0\1private") + END
    data = section(options=describe) + interface(options=describe)
    flags = option(2, struct.pack("<I", 0x01000002))
    data += enhanced(b"abc", 10**6, options=describe)
    data += enhanced(b"abcd", 10**6, options=flags + option(1, b"")) + obsolete(b"e", 1, 0, END)
    assert [packet.frame for packet in read(data)] == [b"abc", b"abcd", b"e"]


def test_a_name_ends_at_a_zero() -> None:
    reader = PcapngReader(io.BytesIO(section() + interface(options=option(2, b"p1\0"))), "a")
    assert list(reader) == []
    assert reader.interfaces[0].name == "p1"


def test_an_interface_of_another_link_type_may_stand_unused() -> None:
    data = section() + interface(link=113) + interface() + enhanced(b"a", 0, 1)
    assert len(read(data)) == 1
    assert "interface 0 has link type 113" in refused(data + enhanced(b"a"))


# --- what is refused -----------------------------------------------------------------------

START = section() + interface(snaplen=100)
FCS = option(2, struct.pack("<I", 4 << 5)) + END
BAD = [
    (START + enhanced(b"a", number=1), "interface 1"),
    (section() + simple(b"a"), "interface 0"),
    (START + enhanced(bytes(10), original=60), "only 10 of the frame's 60 bytes"),
    (START + simple(bytes(100), original=160), "only 100 of the frame's 160 bytes"),
    (START + enhanced(bytes(8), captured=13, original=13), "does not fit its block"),
    (START + enhanced(bytes(8), captured=12, original=12), "does not fit its block"),
    (START + enhanced(b"", captured=2**32 - 1, original=0), "at most 262144"),
    (START + simple(bytes(8), original=13), "does not fit its block"),
    (START + simple(bytes(8), original=3), "does not fit its block"),
    (START + enhanced(b"a", options=FCS), "4 bytes of frame check sequence"),
    (START + obsolete(b"a", options=FCS), "4 bytes of frame check sequence"),
    (START + enhanced(b"a", options=option(2, b"x")), "option 2 at byte 80 has a length of 1"),
    (START + enhanced(b"a", options=struct.pack("<HH", 1, 9)), "(expected at most 0)"),
    (START + block(6, bytes(16)), "Enhanced Packet Block at byte 48 has a length of 28 bytes"),
    (START + block(2, bytes(16)), "Packet Block at byte 48 has a length of 28 bytes"),
    (START + block(3, b""), "Simple Packet Block at byte 48 has a length of 12 bytes"),
    (START + block(1, bytes(4)), "Interface Description Block at byte 48"),
    (START + block(0x0A0D0D0A, b"\x4d\x3c\x2b\x1a"), "Section Header Block at byte 48"),
    (START + section(version=(2, 0)), "pcapng version 2.0 at byte 60"),
    (START + section(version=(1, 1)), "pcapng version 1.1 at byte 60"),
    (START + struct.pack("<II", 0x0A0D0D0A, 28) + bytes(20), "magic 00 00 00 00 at byte 56"),
    (START + struct.pack("<III", 5, 8, 8), "type 0x5 at byte 48 has a length of 8 bytes"),
    (START + struct.pack("<III", 5, 14, 14), "multiple of 4"),
    (START + struct.pack("<III", 5, 2**24 + 4, 0), "to 16777216"),
    (START + struct.pack("<IIII", 5, 16, 0, 20), "but 20 stands at its end, at byte 60"),
    (section() + interface(options=option(2, b"\xff")), "expected UTF-8"),
    (section() + interface(options=option(9, b"\6\6")), "option 9 at byte 44"),
    (section() + interface(options=option(14, b"\6")), "expected 8"),
    (section() + interface(options=option(13, b"\4")) + enhanced(b""), "frame check sequence"),
    (START[:-1], "cut short at byte 47, inside the block that begins at byte 28"),
]


@pytest.mark.parametrize(("data", "says"), BAD, ids=range(len(BAD)))
def test_a_bad_file_is_refused(data: bytes, says: str) -> None:
    text = refused(data)
    assert says in text
    assert " at byte " in text


def test_a_file_that_is_no_pcapng_is_refused() -> None:
    assert "empty" in refused(b"")
    assert "this is pcap," in refused(b"\xd4\xc3\xb2\xa1" + bytes(20))
    assert "no capture" in refused(block(5, bytes(16)))


def test_a_record_is_named_by_number_and_byte() -> None:
    good = enhanced(b"a")
    text = refused(START + good + block(5, b"") + simple(b"b") + enhanced(b"c", number=7))
    assert f"record 3 at byte {48 + len(good) + 12 + 20}" in text


def test_the_place_of_an_error_counts_all_chunks_before() -> None:
    good = enhanced(bytes(100)) * 5000
    assert len(good) > 2 * CHUNK
    text = refused(START + good + enhanced(b"c", number=7))
    assert f"record 5001 at byte {48 + len(good)}:" in text


def test_truncated_frames_are_taken_if_asked_for() -> None:
    data = START + enhanced(bytes(10), original=60) + simple(bytes(100), original=160)
    got = read(data, truncated="take")
    assert [(len(each.frame), each.original_length) for each in got] == [(10, 60), (100, 160)]
    data = START + enhanced(bytes(10), original=4)
    assert read(data)[0].original_length == 10


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_cut_at_any_byte_is_an_error_or_the_end_of_a_block(order: str) -> None:
    names = option(2, b"p1", order) + option(9, b"\x09", order) + END
    blocks = [
        section(order),
        interface(order, options=names),
        enhanced(b"a", order=order),
        block(5, bytes(12), order),
        simple(b"abcde", order=order),
        section(order),
        interface(order),
        enhanced(bytes(60), order=order, options=option(1, b"comment", order) + END),
    ]
    packets = [0, 0, 1, 1, 2, 2, 2, 3]
    data = b"".join(blocks)
    ends = {sum(map(len, blocks[: i + 1])): packets[i] for i in range(len(blocks))}
    for cut in range(len(data) + 1):
        if cut in ends:
            assert len(read(data[:cut])) == ends[cut]
        else:
            assert "empty" in (text := refused(data[:cut])) or f"cut short at byte {cut}" in text


@given(st.data())
def test_a_damaged_file_raises_nothing_but_input_errors(draws: st.DataObject) -> None:
    data = bytearray(START + enhanced(bytes(20)) + simple(b"abc") + obsolete(b"x"))
    data += interface(options=option(2, b"p1") + option(9, b"\x09") + END) + enhanced(b"y", 5, 1)
    for _ in range(draws.draw(st.integers(1, 4))):
        data[draws.draw(st.integers(0, len(data) - 1))] = draws.draw(st.integers(0, 255))
    try:
        got = list(read_capture(io.BytesIO(bytes(data)), "a.pcapng"))
    except InputError as error:
        assert error.file == "a.pcapng"
    else:
        assert len(got) <= 4


def test_a_reader_goes_through_its_capture_once() -> None:
    reader = PcapngReader(io.BytesIO(START), "a.pcapng")
    assert list(reader) == []
    with pytest.raises(OvsctError, match="once"):
        list(reader)


# --- writing -------------------------------------------------------------------------------


def written(records: list[tuple[float, int, bytes]], ports: list[int], origin: int = 0) -> bytes:
    out = io.BytesIO()
    writer = PcapngWriter(out, ports, origin=origin)
    for at, port, frame in records:
        writer.write(at, port, frame)
    return out.getvalue()


def packets(data: bytes, origin: int | None = 0) -> list[tuple[float, int, bytes]]:
    reader = PcapngReader(io.BytesIO(data), "a.pcapng", origin=origin)
    return [
        (packet.at, port_of(packet.interface, reader.interfaces[packet.interface].name), frame)
        for packet in reader
        for frame in (packet.frame,)
    ]


PORTS = st.integers(1, 65279)


@given(
    st.lists(st.tuples(st.integers(0, 2**22 * NANOSECOND), PORTS, FRAMES), max_size=8),
    st.lists(PORTS, max_size=3),
    st.integers(0, EPOCH),
)
def test_nanoseconds_survive_writing_and_reading_from_an_origin(
    records: list[tuple[int, int, bytes]], ports: list[int], origin: int
) -> None:
    given_ = [(ns / NANOSECOND, port, frame) for ns, port, frame in records]
    data = written(given_, ports, origin)
    stamps = [(high << 32 | low) - origin * NANOSECOND for high, low in enhanced_stamps(data)]
    assert stamps == [ns for ns, _, _ in records]
    got = packets(data, origin)
    assert [(round(at * NANOSECOND), port, frame) for at, port, frame in got] == records
    assert written(got, ports, origin) == data


def enhanced_stamps(data: bytes) -> list[tuple[int, int]]:
    """The time words of each Enhanced Packet Block, read with no code of the project."""
    found, position = [], 0
    while position < len(data):
        kind, length, _, high, low = struct.unpack_from("<5I", data, position)
        if kind == 6:
            found.append((high, low))
        position += length
    return found


@given(st.lists(st.tuples(st.floats(0, 1.8e10) | st.floats(EPOCH, EPOCH + 1), PORTS, FRAMES)))
def test_what_was_written_is_written_again_to_the_byte(
    records: list[tuple[float, int, bytes]],
) -> None:
    data = written(records, [])
    assert written(packets(data), []) == data


def test_each_port_has_one_interface() -> None:
    data = written([(0.0, 2, b"a"), (1.0, 7, b"b"), (2.0, 2, b"c"), (3.0, 1, b"")], [1, 2, 1])
    reader = PcapngReader(io.BytesIO(data), "a.pcapng")
    assert [packet.interface for packet in reader] == [1, 2, 1, 0]
    assert reader.interfaces == [
        Interface(name, 1, MAX_FRAME, NANOSECOND) for name in ("p1", "p2", "p7")
    ]


@pytest.mark.parametrize(
    ("at", "frame", "says"),
    [
        (-1.0, b"", "second -1 "),
        (1.9e10, b"", "64 bits"),
        (float("nan"), b"", "finite"),
        (0.0, bytes(MAX_FRAME + 1), "at most 262144"),
    ],
)
def test_what_no_reader_could_take_is_not_written(at: float, frame: bytes, says: str) -> None:
    out = io.BytesIO()
    writer = PcapngWriter(out, [1])
    before = out.getvalue()
    with pytest.raises(OvsctError, match=says):
        writer.write(at, 1, frame)
    assert out.getvalue() == before


def test_real_frames_survive_a_pcapng(captures: Path) -> None:
    number = 0
    for path in sorted(captures.glob("*.pcap")):
        with path.open("rb") as file:
            reader = read_capture(file, path.name, origin=None)
            got = list(reader)
        records = [(packet.at, 1, packet.frame) for packet in got]
        origin = reader.origin or 0
        assert packets(written(records, [], origin), origin) == records
        number += len(records)
    assert number > 0
