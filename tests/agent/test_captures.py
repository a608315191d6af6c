"""Captures of the ports of `ovsct switch`: what comes in from them, and what is written."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from ovsct.cli.switch import switch as command
from ovsct.errors import OvsctError
from ovsct.packet.pcap import PcapWriter
from ovsct.packet.read_capture import read_capture
from tests.agent.programs import Modelled
from tests.agent.test_session import TCP


def _frames(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return [each.frame for each in read_capture(file, str(path))]


def test_frames_come_in_from_captures_and_are_written_to_others() -> None:
    with tempfile.TemporaryDirectory(prefix="ovsct-") as name:
        folder = Path(name)
        for port, times in ((1, (5.0, 5.02)), (3, (5.01,))):
            with (folder / f"in{port}.pcap").open("wb") as file:
                writer = PcapWriter(file)
                for at in times:
                    writer.write(at, TCP + bytes([port]))
        (folder / "flows").write_text("in_port=1,actions=2,3\nin_port=3,actions=1,2\n")
        switch = Modelled(
            folder, "--flows", str(folder / "flows"), "--pcap-out", name,
            "--pcap-in", f"p1={folder / 'in1.pcap'}", "--pcap-in", f"3={folder / 'in3.pcap'}",
        )  # fmt: skip
        other = TCP[:-1]
        first, third = TCP + b"\1", TCP + b"\3"
        while "tx pkts=3" not in switch.ofctl("dump-ports", "2"):
            time.sleep(0.01)
        assert switch.appctl("netdev-dummy/receive", "p1", other.hex()) == ""
        assert _frames(folder / "p1-rx.pcap") == [first, first, other]
        assert _frames(folder / "p1-tx.pcap") == [third]
        assert _frames(folder / "p2-rx.pcap") == []
        assert _frames(folder / "p2-tx.pcap") == [first, third, first, other]
        assert _frames(folder / "p3-tx.pcap") == [first, first, other]
        assert switch.errors() == ""
        assert switch.stop() == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--pcap-in", "p9=in.pcap"), "no port and file"),
        (("--pcap-in", "in.pcap"), "such as p1=in.pcap"),
        (("--pcap-in", "p1=/nonexistent"), "cannot be read: No such file"),
        (("--pcap-in", "p1=/dev/null"), "/dev/null"),
        (("--pcap-out", "/nonexistent"), "cannot write /nonexistent/p1-rx.pcap"),
    ],
)
def test_what_cannot_be_captured_is_said(options: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(command, options)
    assert isinstance(done.exception, OvsctError)
    assert says in str(done.exception)
