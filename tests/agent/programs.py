"""A modelled and a real switch side by side, and ovs-ofctl and ovs-appctl for both."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
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

    def port(self, number: int) -> socket.socket:
        """A connection to a port: frames behind their length."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(self._ports / f"p{number}.sock"))
        connection.settimeout(30)
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
                if self.openflow.exists():
                    return
            except UnixctlClosed:
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
        return self.process.wait(10)


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


_SAME = (
    (re.compile(r"\bduration([=:])[\d.]+s"), r"duration\1Ns"),
    (re.compile(r"\bxid=0x[0-9a-f]+"), "xid=N"),
    (re.compile(r"\bxid=[0-9a-f]{8} time=[\d.]+ ms"), "xid=N"),
    (re.compile(r"\b(idle|hard)_age=\d+"), r"\1_age=N"),
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
