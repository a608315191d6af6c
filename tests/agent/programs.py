"""A modelled and a real switch side by side, and ovs-ofctl and ovs-appctl for both."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ovsct.oracle.unixctl import Unixctl, UnixctlClosed
from ovsct.oracle.vswitchd import Vswitchd, find_program

PORTS = (1, 2, 3, 4)
BRIDGE = "br0"


class Switch:
    """One switch: where it takes OpenFlow, its control socket, and the sockets of its ports."""

    def __init__(self, name: str, openflow: Path, control: Path, ports: Path) -> None:
        self.name = name
        self.openflow = openflow
        self.control = control
        self._ports = ports

    def ofctl(self, *arguments: str, text: str | None = None, patience: float = 60) -> str:
        """What ovs-ofctl prints; options first, then command, then what follows the switch."""
        words = list(arguments)
        at = 0
        while words[at].startswith("-"):
            at += 2 if words[at] == "-O" else 1
        words.insert(at + 1, f"unix:{self.openflow}")
        done = subprocess.run(
            [find_program("ovs-ofctl"), *words],
            input=text, capture_output=True, text=True, timeout=patience, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        return done.stdout + done.stderr

    def appctl(self, *arguments: str) -> str:
        """What ovs-appctl prints."""
        done = subprocess.run(
            [find_program("ovs-appctl"), "-t", str(self.control), *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    def receive(self, number: int, frame: bytes) -> None:
        """Have a frame come in on a port, and wait until it has gone through."""
        before = self._received(number)
        assert self.appctl("netdev-dummy/receive", f"p{number}", frame.hex()) == ""
        for _ in range(6000):
            if self._received(number) > before:
                return
            time.sleep(0.01)  # the real one only queues it
        raise AssertionError(f"the frame never came in on port {number}")

    def _received(self, number: int) -> int:
        found = re.search(r"rx pkts=(\d+)", self.ofctl("dump-ports", str(number)))
        assert found is not None
        return int(found[1])

    def port(self, number: int) -> socket.socket:
        """A connection to a port: frames behind their length."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(self._ports / f"p{number}.sock"))
        connection.settimeout(30)
        # A frame that leaves before a turn of the main loop has taken the connection goes nowhere.
        for _ in range(2):
            self.appctl("version")
        return connection


class Modelled(Switch):
    """`ovsct switch` as a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__("model", folder / "br0.mgmt", folder / "ctl", folder)
        self._errors = (folder / "errors").open("w+")
        self.process = subprocess.Popen(
            [
                sys.executable, "-c", "from ovsct.cli.main import main; main()", "switch",
                "--bridge", BRIDGE, "--ports", f"1-{len(PORTS)}",
                "--listen", f"punix:{self.openflow}", "--unixctl", str(self.control),
                "--dummy-ports", str(folder), *options,
            ],
            stderr=self._errors, env={**os.environ, "OVSCT_DEBUG": "1"},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                Unixctl(self.control).close()
                # A socket's file is there a moment before anybody listens behind it.
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(self.openflow))
                return
            except (UnixctlClosed, OSError):
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"it did not start: {self.errors()}")
            time.sleep(0.02)

    def errors(self) -> str:
        """What it wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def stop(self) -> int:
        """End it and give its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


class Real(Switch):
    """A real ovs-vswitchd with the same ports."""

    def __init__(self, program: Vswitchd) -> None:
        folder = program.directory
        super().__init__("real", program.management(BRIDGE), program.control_socket, folder)
        program.vsctl(
            "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath-type=dummy",
            "fail-mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15",
        )  # fmt: skip
        for number in PORTS:
            program.vsctl(
                "add-port", BRIDGE, f"p{number}", "--", "set", "interface", f"p{number}",
                "type=dummy", f"ofport_request={number}",
                f"options:pstream=punix:{folder}/p{number}.sock",
            )  # fmt: skip


class Watcher:
    """``ovs-ofctl monitor`` of a switch, which has asked for what it wants when this is made.

    `barrier` returns when it has printed all that the switch had sent it before.
    """

    def __init__(
        self, switch: Switch, folder: Path, options: Sequence[str], *words: str
    ) -> None:
        self._log = folder / f"{switch.name}.log"
        self._control = folder / f"{switch.name}.watch"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    find_program("ovs-ofctl"), f"--unixctl={self._control}", *options, "monitor",
                    f"unix:{switch.openflow}", *words,
                ],
                stdout=log, stderr=log, env={**os.environ, "OVS_RUNDIR": str(folder)},
            )  # fmt: skip
        self.barrier()

    def barrier(self) -> None:
        """Wait until all that has been sent is printed."""
        for _ in range(600):
            done = subprocess.run(
                [find_program("ovs-appctl"), "-t", str(self._control), "ofctl/barrier"],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            if done.returncode == 0 or self._process.poll() is not None:
                return
            time.sleep(0.05)
        raise AssertionError(f"ovs-ofctl monitor does not answer: {done.stderr}{self.text()}")

    def send(self, message: bytes) -> None:
        """Have it send a message."""
        subprocess.run(
            [find_program("ovs-appctl"), "-t", str(self._control), "ofctl/send", message.hex()],
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip

    def text(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def wait_for(self, word: str) -> None:
        """Wait until it has printed this."""
        for _ in range(600):
            if word in self.text():
                return
            time.sleep(0.05)
        raise AssertionError(f"{word} never came: {self.text()}")

    def stop(self) -> str:
        """End it; what it has printed, without what differs anyhow."""
        self._process.terminate()
        self._process.wait(60)
        return neutral(self.text())


_SAME = (
    (re.compile(r"\bduration([=:])[\d.]+s"), r"duration\1Ns"),
    (re.compile(r"\bxid=0x[0-9a-f]+"), "xid=N"),
    (re.compile(r"\bxid=[0-9a-f]{8} time=[\d.]+ ms"), "xid=N"),
    (re.compile(r"\b(idle|hard)_age=\d+"), r"\1_age=N"),
    # The last column of fdb/show, too, is an age in real seconds.
    (re.compile(r"^( *\w+ +\d+  (?:[0-9a-f]{2}:){5}[0-9a-f]{2}) +\d+$", re.M), r"\1    N"),
    (re.compile(r"dpid:[0-9a-f]{16}"), "dpid:N"),
    (re.compile(r"addr:[0-9a-f:]{17}"), "addr:N"),
    (re.compile(r"^[0-9a-f]{5,8}  .*$", re.M), "HEX"),
    (re.compile(r"unix:\S+\.mgmt"), "unix:SWITCH"),
    (re.compile(r"^\d{4}-\d\d-\d\dT[^|]*\|\d+\|", re.M), ""),
)


def neutral(text: str) -> str:
    """Without durations, ids and addresses."""
    for pattern, instead in _SAME:
        text = pattern.sub(instead, text)
    return text
