from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import pytest

from ovsct.compare.events import Advance, on_ports, ports_of, read_events
from ovsct.errors import InputError
from ovsct.lane import Arrival
from ovsct.packet.build import udp
from ovsct.packet.pcap import PcapWriter
from ovsct.packet.pcapng_write import PcapngWriter

FRAME = udp("10.0.0.1", "10.0.0.2", 1000, 53)


def written(path: Path, *lines: object) -> str:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines))
    return str(path)


def test_jsonl_gives_arrivals_and_time_that_passes(tmp_path: Path) -> None:
    path = written(
        tmp_path / "e.jsonl",
        {"at": 0, "port": 1, "frame": "00ff"},
        "",
        {"frame": "00 ff", "at": 0.5, "port": 65279},
        {"at": 3},
    )
    events = list(read_events(path))
    assert events == [
        Arrival(0.0, 1, b"\0\xff"),
        Arrival(0.5, 65279, b"\0\xff"),
        Advance(3.0),
    ]
    assert [type(event.at) for event in events] == [float] * 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"at": 1, "port": 1, "frame": "0"}', "e.jsonl:2: this is no frame"),
        ('{"at": 1, "port": 1, "frame": "zz"}', "'\"zz\"' (expected pairs of hex digits)"),
        ('{"at": 1, "port": 1, "frame": 7}', "this is no frame: '7'"),
        ('{"at": 1, "port": 0, "frame": "00"}', "this is no port: '0'"),
        ('{"at": 1, "port": 65280, "frame": "00"}', "this is no port"),
        ('{"at": 1, "port": true, "frame": "00"}', "this is no port"),
        ('{"at": 1, "port": "p1", "frame": "00"}', "this is no port"),
        ('{"at": 1, "port": 1}', "a packet without 'frame'"),
        ('{"at": 1, "frame": "00"}', "a packet without 'port'"),
        ('{"port": 1, "frame": "00"}', "an event without a time"),
        ('{"at": 1, "port": 1, "frame": "00", "x": 1}', "unknown key: '\"x\"'"),
        ('{"at": NaN, "port": 1, "frame": "00"}', "this is no time"),
        ('{"at": Infinity, "port": 1, "frame": "00"}', "this is no time"),
        ('{"at": 1e400, "port": 1, "frame": "00"}', "this is no time"),
        ('{"at": 1' + "0" * 400 + ', "port": 1, "frame": "00"}', "this is no time"),
        ('{"at": 1' + "0" * 5000 + ', "port": 1, "frame": "00"}', "not JSON"),
        ('{"at": "1", "port": 1, "frame": "00"}', "this is no time"),
        ('{"at": true}', "this is no time"),
        ('{"at": 1, "port": 1, "frame": "00"', "e.jsonl:2:35: not JSON"),
        ("[1]", "not an event: '[1]'"),
        ("nonsense", "e.jsonl:2:1: not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"at": 0.4, "port": 1, "frame": "00"}', "line 2 is of time 0.4, before the one ahead"),
        ('{"at": 0.4}', "(expected 0.5 or later); sort it by time first"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    path = written(tmp_path / "e.jsonl", {"at": 0.5, "port": 1, "frame": "00"}, line)
    with pytest.raises(InputError) as caught:
        list(read_events(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.line == 2


def test_a_line_that_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b'{"at": "\xff"}\n')
    with pytest.raises(InputError, match="UTF-8"):
        list(read_events(str(path)))


def pcap(path: Path, *times: float) -> str:
    with path.open("wb") as file:
        writer = PcapWriter(file)
        for at in times:
            writer.write(at, FRAME)
    return str(path)


def test_a_pcap_takes_its_port_from_the_caller_and_counts_from_its_first_second(
    tmp_path: Path,
) -> None:
    path = pcap(tmp_path / "a.pcap", 1700000000.25, 1700000001.5)
    assert list(read_events(path, port=7)) == [Arrival(0.25, 7, FRAME), Arrival(1.5, 7, FRAME)]
    with pytest.raises(InputError, match="give --port N"):
        list(read_events(path))


def test_a_capture_out_of_order_names_the_record(tmp_path: Path) -> None:
    path = pcap(tmp_path / "a.pcap", 5.0, 6.0, 5.5)
    with pytest.raises(InputError, match=r"record 3 is of time 0\.5.*reordercap"):
        list(read_events(path, port=1))


def test_in_a_pcapng_the_interface_is_the_port(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    with path.open("wb") as file:
        writer = PcapngWriter(file, ports=[3, 9])
        writer.write(10.0, 9, FRAME)
        writer.write(10.5, 4, FRAME)
    assert [event[:2] for event in read_events(str(path))] == [(0.0, 9), (0.5, 4)]
    assert ports_of(str(path)) == {3, 4, 9}
    with pytest.raises(InputError, match=r"--port is for a \.pcap"):
        list(read_events(str(path), port=1))


def test_two_interfaces_that_would_be_one_port_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    buffer = io.BytesIO()
    writer = PcapngWriter(buffer, ports=[2])
    writer.write(0.0, 5, FRAME)
    # The second interface, p5, becomes one called "lo": by its index it is port 2 as well.
    path.write_bytes(buffer.getvalue().replace(b"p5\0\0", b"lo\0\0"))
    with pytest.raises(InputError, match=r"interfaces 0 \('p2'\) and 1 \('lo'\) would both"):
        list(read_events(str(path)))


def test_a_capture_cut_short_is_told_where(tmp_path: Path) -> None:
    path = Path(pcap(tmp_path / "a.pcap", 1.0, 2.0))
    path.write_bytes(path.read_bytes()[:-5])
    events = read_events(str(path), port=1)
    assert next(events) == Arrival(0.0, 1, FRAME)
    with pytest.raises(InputError, match=r"a\.pcap: the capture is cut short .* record 2"):
        next(events)


def test_what_a_name_does_not_tell_the_first_bytes_do(tmp_path: Path) -> None:
    lines = written(tmp_path / "events", {"at": 0, "port": 1, "frame": "00"})
    assert len(list(read_events(lines))) == 1
    Path(pcap(tmp_path / "a.pcap", 1.0)).rename(tmp_path / "capture")
    assert len(list(read_events(str(tmp_path / "capture"), port=1))) == 1
    (tmp_path / "x.bin").write_bytes(b"\x7fELF....")
    with pytest.raises(InputError, match="no capture"):
        list(read_events(str(tmp_path / "x.bin")))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"nix\.jsonl: cannot be read: No such file"):
        list(read_events("nix.jsonl"))


def test_port_does_not_go_with_jsonl(tmp_path: Path) -> None:
    path = written(tmp_path / "e.jsonl", {"at": 0})
    with pytest.raises(InputError, match="every line"):
        list(read_events(path, port=1))


def test_a_packet_on_a_port_that_is_not_there_is_counted() -> None:
    events = [Advance(1.0), Arrival(1.0, 1, b""), Arrival(1.0, 3, b"")]
    with pytest.raises(InputError, match=r"x: packet 2 comes in .*: '3' \(expected one of 1, 2\)"):
        list(on_ports(events, (1, 2), "x"))


def test_ports_of_a_jsonl(tmp_path: Path) -> None:
    path = written(
        tmp_path / "e.jsonl", {"at": 0, "port": 4, "frame": "00"}, '{"at":1,"port":12,"frame":""}'
    )
    assert ports_of(path) == {4, 12}


def test_ticks_add_up_to_the_size_of_the_file(tmp_path: Path) -> None:
    seen: list[int] = []
    path = written(tmp_path / "e.jsonl", *({"at": n, "port": 1, "frame": "00"} for n in range(9)))
    list(read_events(path, tick=seen.append))
    assert sum(seen) == Path(path).stat().st_size


def test_memory_stays_flat(tmp_path: Path) -> None:
    """4 MB of events, of which never more than a few are held."""
    path = written(
        tmp_path / "e.jsonl",
        *({"at": n, "port": 1, "frame": FRAME.hex()} for n in range(30_000)),
    )
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_events(path)) == 30_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 400_000
