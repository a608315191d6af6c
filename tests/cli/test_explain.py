"""``ovsct explain``: hex digits, files and captures in; commands and calls out."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ovsct.cli.explain import explain
from ovsct.errors import InputError
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire.codec import encode
from ovsct.packet.build import tcp
from ovsct.packet.pcap import PcapWriter

FLOW = "table=1,udp actions=output:2"


def _message(line: str = FLOW) -> bytes:
    flow = parse_flow(line)
    body = m.FlowMod(command="add", table=flow.table, match=flow.match, actions=flow.actions)
    return encode(body, 4, 7)


SAID = "ovs-ofctl -O OpenFlow13 add-flow br0 'table=1,udp actions=output:2'"


def _output(*arguments: str) -> str:
    done = CliRunner().invoke(explain, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output.rstrip("\n")


def test_hex_digits_and_files(tmp_path: Path) -> None:
    digits = _message().hex()
    binary, text = tmp_path / "flow.packet", tmp_path / "flow.hex"
    binary.write_bytes(_message())
    text.write_text(digits + "\n")
    for given in (digits, f"0x{digits}", digits.upper(), str(binary), str(text)):
        assert _output(given) == SAID
    assert _output(digits + encode(m.BarrierRequest(), 4, 8).hex()) == f"{SAID}\nbarrier request"
    assert _output("--bridge", "br-int", digits) == SAID.replace("br0", "br-int")


def test_a_flow_becomes_a_message_and_a_call() -> None:
    first, digits, second, *call = _output("--flow", FLOW).splitlines()
    assert (first, second) == ("# OpenFlow 1.3", "# Ryu 4.34 and os-ken")
    assert bytes.fromhex(digits)[8:] == _message()[8:]
    assert call[-1] == "datapath.send_msg(message)"
    assert _output("--python", digits).splitlines() == [SAID, *call]


def test_a_capture(tmp_path: Path) -> None:
    """Segments that come twice, too early and in pieces; both directions; another port."""
    data = _message() + encode(m.BarrierRequest(), 4, 8)
    ends = ("127.0.0.1", "127.0.0.2", 6653, 40000)
    back = (ends[1], ends[0], ends[3], ends[2])
    frames = [
        tcp(*ends, "S", seq=100),
        tcp(*ends, "A", seq=101, payload=data[:30]),
        tcp(*ends, "A", seq=131 + 20, payload=data[50:]),
        tcp(*back, "A", seq=5, payload=encode(m.BarrierReply(), 4, 8)),
        tcp(*ends, "A", seq=101, payload=data[:40]),
        tcp("127.0.0.1", "127.0.0.2", 6640, 40000, "A", payload=data),
        tcp(*ends, "A", seq=121, payload=data[20:60]),
        tcp(*back, "A", seq=13, payload=bytes.fromhex("0400000200000000")),
    ]
    path = tmp_path / "openflow.pcap"
    with path.open("wb") as file:
        writer = PcapWriter(file)
        for number, frame in enumerate(frames):
            writer.write(number / 10, frame)
    forth, other = "127.0.0.1:6653 > 127.0.0.2:40000", "127.0.0.2:40000 > 127.0.0.1:6653"
    assert _output(str(path)).splitlines() == [
        f"0.300000 {other}: xid 0x8",
        "    barrier reply",
        f"0.600000 {forth}: xid 0x7",
        f"    {SAID}",
        f"0.600000 {forth}: xid 0x8",
        "    barrier request",
        f"0.700000 {other}: no OpenFlow from here on: OFPBRC_BAD_LEN: a message of 2 bytes",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["0400"], "message 1: no OpenFlow message: OFPBRC_BAD_LEN"),
        ([_message().hex() + "0463000800000001"], "message 2: no .* message: OFPBRC_BAD_TYPE"),
        (["not/there"], "neither hex digits nor a file that can be read: 'not/there'"),
        (["--flow", "udp actions=outputt:2"], "--flow:13: .*outputt"),
        (["--flow", "ip,ct_nw_src=1.2.3.4,ct_state=+trk+est actions=2"], "Ryu and os-ken have no"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        CliRunner().invoke(explain, arguments, catch_exceptions=False)


def test_something_must_be_given() -> None:
    done = CliRunner().invoke(explain, [])
    assert done.exit_code == 2 and "give messages, or --flow" in done.output
