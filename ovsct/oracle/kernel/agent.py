"""The program that runs in the guest, as its init: sets devices up, loads rules, sends, listens.

It is put into the initramfs as it stands and needs the standard library alone. Requests and
answers are JSON objects (:data:`REQUESTS` lists them); over a serial port one a line, in user-mode
Linux through files of the host, since a terminal there swallows long lines.

Port n is the device ``p<n>``, one end of a veth pair. A frame is sent into the other end ``q<n>``,
so that it comes in at ``p<n>`` and meets its ingress filters; what ``p<n>`` sends comes out of
``q<n>``. What no filter took is seen by packet sockets that are bound to ``p<n>`` and to one
Ethernet type: those, unlike one for all types, stand behind TC (Linux: net/core/dev.c,
__netif_receive_skb_core).

While it waits for a request it never sleeps: with virtual time a guest that sleeps lets its clock
run on. The host stops the whole guest meanwhile (:mod:`ovsct.oracle.kernel.guest`).
"""

from __future__ import annotations

import ctypes
import errno
import json
import math
import os
import re
import select
import socket
import struct
import subprocess
import sys
import termios
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_AUXDATA, _PACKET_IGNORE_OUTGOING = 263, 8, 23
_STATUS_TAGGED, _STATUS_TPID = 0x10, 0x40
_STACK_TYPES = (0x0800, 0x86DD, 0x0806, 0x8847, 0x8848, 0x8100, 0x88A8, 0x0001, 0x0004)
"""What the stack listens for; 1 and 4 are frames with a length in place of a type."""

_TC = "/sbin/tc"
_TC_COMMANDS = 5_000
"""Commands that one process of tc gets."""
_SENTINEL = "qdisc show dev lo"
_SENTINEL_LINES = ("qdisc noqueue 0: root", " Sent ", " backlog ")
_PROC_CONNTRACK = "/proc/net/nf_conntrack"
_WHEEL = 8
"""Jiffies that the kernel rounds the end of a timer of a second up to (kernel/time/timer.c)."""
_INTO_JIFFY = 0.003
"""Seconds after a tick at which things happen: far from both ends of the jiffy."""
_OVS_PART = "/agent/agent_ovs.py"
"""Further requests, if Open vSwitch is in the image."""
_RB_POWER_OFF = 0x4321FEDC
_MS_NOTHING = 0

_libc = ctypes.CDLL(None, use_errno=True)


class Tap:
    """A packet socket on a device: what comes in there, of one Ethernet type or of all."""

    def __init__(self, device: str, protocol: int) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self.socket.bind((device, protocol))
        self.socket.setblocking(False)

    def drain(self) -> list[bytes]:
        """The frames that came in, oldest first, tags that reception took off put back."""
        frames: list[bytes] = []
        while True:
            try:
                frame, said, _, _ = self.socket.recvmsg(1 << 17, 256)
            except BlockingIOError:
                return frames
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # told once, when a device goes down
                    raise
                continue
            for level, kind, data in said:
                if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                    frame = _tagged(frame, data)
            frames.append(frame)


def _tagged(frame: bytes, auxdata: bytes) -> bytes:
    """`frame` with the VLAN tag that struct tpacket_auxdata holds."""
    status, *_, tci, tpid = struct.unpack("=IIIHHHH", auxdata[:20])
    if not status & _STATUS_TAGGED:
        return frame
    return frame[:12] + struct.pack(">HH", tpid if status & _STATUS_TPID else 0x8100, tci) + (
        frame[12:]
    )


class Tc:
    """A ``tc`` that stays and takes commands: starting one each time costs more than the work."""

    def __init__(self) -> None:
        self._start()

    def renew(self) -> None:
        """Take a fresh process now and then: tc keeps some 4 kB of each command for good."""
        if self._ran > _TC_COMMANDS:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._start()

    def _start(self) -> None:
        self._ran = 0
        self._process = subprocess.Popen(
            [_TC, "-s", "-force", "-batch", "-"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        )  # fmt: skip

    def run(self, lines: list[str]) -> tuple[str, bool]:
        """Run commands; what was printed, and whether ``tc`` gave up, as it does on bad syntax."""
        if self._process.poll() is not None:
            self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._ran += len(lines)
        try:
            self._process.stdin.write("\n".join((*lines, _SENTINEL)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended before the last command; what it printed says why
        said: list[str] = []
        while line := self._process.stdout.readline():
            if line.startswith(_SENTINEL_LINES[0]):
                for start in _SENTINEL_LINES[1:]:
                    rest = self._process.stdout.readline()
                    assert rest.startswith(start), rest
                return "".join(said), False
            said.append(line)
        self._process.wait()
        return "".join(said), True


class Agent:
    """What the guest holds: devices, taps, a tc, and where time began."""

    def __init__(self, hz: int) -> None:
        self.tc = Tc()
        self.ports: list[int] = []
        self.taps: dict[int, tuple[int | str, Tap]] = {}
        self.senders: dict[int, Tap] = {}
        self.poll = select.epoll()
        self.origin: float | None = None
        self.begun = 0
        self.hz = hz
        self.sysctls: dict[str, str] = {}
        self.settle = 0.002
        self.quiet: Callable[[], None] = self._sleep_a_little
        """Returns when all that a packet leads to has been done."""

    # -- devices --------------------------------------------------------------------------------

    def set_up(
        self, ports: list[int], mtu: int, settle: float, stack: bool = True
    ) -> dict[str, Any]:
        """Make the devices of `ports` and no others; `settle`: seconds to wait for outputs.

        `stack` says whether to hear what the stack gets.
        """
        self.settle = settle
        for _, tap in self.taps.values():
            self.poll.unregister(tap.socket.fileno())
            tap.socket.close()
        self.taps.clear()
        self.senders.clear()
        lines = [f"link del p{n}" for n in self.ports]
        lines.append("link set lo up")
        for n in ports:
            lines += [
                f"link add p{n} address 0e:00:00:00:{n >> 8:02x}:{n & 255:02x} type veth "
                f"peer name q{n} address 0e:00:00:01:{n >> 8:02x}:{n & 255:02x}",
                f"link set p{n} mtu {mtu} up promisc on",
                f"link set q{n} mtu {mtu} up",
            ]
        done = program(["/sbin/ip", "-batch", "-"], "\n".join(lines) + "\n")
        if done["code"]:
            raise RuntimeError(f"ip: {done['out']}")
        self.ports = list(ports)
        for n in ports:
            self.senders[n] = self._listen(n, f"q{n}", _ETH_P_ALL)
        for n in ports:
            for protocol in _STACK_TYPES if stack else ():
                self._listen("stack", f"p{n}", protocol)
        return {}

    def _sleep_a_little(self) -> None:
        time.sleep(self.settle)

    def _listen(self, place: int | str, device: str, protocol: int) -> Tap:
        tap = Tap(device, socket.htons(protocol))
        # The address of a packet socket takes the protocol in host order in Python.
        tap.socket.bind((device, protocol))
        self.taps[tap.socket.fileno()] = (place, tap)
        self.poll.register(tap.socket.fileno(), select.EPOLLIN)
        return tap

    def listen_for(self, types: list[int]) -> dict[str, Any]:
        """Hear what the stack gets of further Ethernet types."""
        for n in self.ports:
            for protocol in types:
                self._listen("stack", f"p{n}", protocol)
        return {}

    # -- rules ----------------------------------------------------------------------------------

    def load(
        self, commands: list[str], qdiscs: list[int], sysctls: dict[str, int], wait: float
    ) -> dict[str, Any]:
        """Forget everything and begin anew with `commands`.

        Args:
            commands: of ``tc``, without that word.
            qdiscs: ports that get an ingress qdisc first.
            sysctls: what differs from the kernel's defaults.
            wait: seconds to let pass while nothing is there, for what ages only by itself.

        Returns:
            ``refused``: None, or the number of the first command that was refused and why.
        """
        self.origin = None
        self._clear()
        for name, old in self.sysctls.items():
            _write(_sysctl(name), old)
        self.sysctls = {name: _read(_sysctl(name)).strip() for name in sysctls}
        if wait:
            time.sleep(wait)
            self._collect({})
        for name, value in sysctls.items():
            _write(_sysctl(name), str(value))
        first = [f"qdisc add dev p{n} ingress" for n in qdiscs]
        self.tc.renew()
        self._begin()
        said, gave_up = self.tc.run(first + commands)
        refused = None
        if gave_up or _ERROR.search(said):
            refused = self._find(first, commands, said)
        self._collect({})
        return {"refused": refused, "said": said, "gc_period": self.gc_period}

    def again(self, wait: float) -> dict[str, Any]:
        """Begin anew without touching rules: no connections, and time not begun."""
        self.origin = None
        if wait:
            time.sleep(wait)
        flush_conntrack()
        self._begin()
        self._collect({})
        return {}

    def tap(self, place: int, device: str) -> dict[str, Any]:
        """Hear what comes in at a device as what left at `place`."""
        self._listen(place, device, _ETH_P_ALL)
        return {}

    def _clear(self) -> None:
        # clsact and ingress share their parent; where there is none tc says so, which is no news.
        said, _ = self.tc.run([f"qdisc del dev p{n} parent ffff:fff1" for n in self.ports])
        if left := _NO_QDISC.sub("", said).strip():
            raise RuntimeError(f"tc could not clear up: {left}")
        flush_conntrack()

    def _find(
        self, first: list[str], commands: list[str], said_together: str
    ) -> list[Any]:
        """The number of the first command that is refused, and what ``tc`` says to it."""
        self._clear()
        self.tc.run(first)
        for number, command in enumerate(commands):
            said, gave_up = self.tc.run([command])
            if gave_up or _ERROR.search(said):
                return [number, said]
        raise RuntimeError(f"taken one by one, but together tc said: {said_together}")

    def show(self, ports: list[int]) -> dict[str, Any]:
        """``tc -s filter show dev p<n> ingress`` of `ports`, by port."""
        return {str(n): self.tc.run([f"filter show dev p{n} ingress"])[0] for n in ports}

    # -- packets and time -----------------------------------------------------------------------

    def run(self, steps: list[list[Any]], conntrack: str) -> dict[str, Any]:
        """What came of steps, each [at, port or None, frame in hex].

        `conntrack` says when to take a copy of the table: ``each`` step, at the ``end``, or "".
        """
        done = []
        for at, port, frame in steps:
            self._wait_until(at)
            out: dict[str, list[str]] = {}
            if port is not None:
                self._collect(out)  # what left by itself meanwhile
                early, out = out, {}
                try:
                    self.senders[port].socket.send(bytes.fromhex(frame))
                except OSError as error:
                    return {"error": f"frame on port {port}: {error.strerror}"}
            else:
                early = {}
            self._collect(out)
            self.quiet()
            self._collect(out)
            table = _read(_PROC_CONNTRACK) if conntrack == "each" else None
            done.append({"early": early, "out": out, "conntrack": table})
        if conntrack == "end":
            done[-1]["conntrack"] = _read(_PROC_CONNTRACK)
        return {"steps": done}

    def _begin(self) -> None:
        """Wait for the moment from which on a timer of a second ends as late as it can.

        What is begun within the next eight jiffies then ends in one and the same.
        """
        tick = math.floor(time.monotonic() * self.hz) + 1
        tick += (-tick - self.hz) % _WHEEL
        time.sleep(max(0.0, tick / self.hz + 0.0005 - time.monotonic()))
        self.begun = tick

    @property
    def gc_period(self) -> float:
        """Seconds from one look of a flow table's gc to the next: its second, rounded up."""
        return (self.hz // _WHEEL + 1) * _WHEEL / self.hz

    def _wait_until(self, at: float) -> None:
        now = time.monotonic()
        if self.origin is None:
            # The first whole second of the steps is when the flow tables' gc, which began when
            # the rules were loaded, looks; the steps' time then stands still within a jiffy.
            first = self.begun + self.hz + _WHEEL - self.gc_period * self.hz
            self.origin = first / self.hz + _INTO_JIFFY - math.floor(at)
            while self.origin + at < now:
                self.origin += self.gc_period
        left = self.origin + at - now
        if left > 0:
            time.sleep(left)

    def _collect(self, out: dict[str, list[str]]) -> None:
        """Add what left the ports and what the stack got to `out`."""
        while ready := self.poll.poll(0):
            for number, _ in ready:
                place, tap = self.taps[number]
                frames = tap.drain()
                if frames:
                    out.setdefault(str(place), []).extend(frame.hex() for frame in frames)

    def connections(self) -> dict[str, Any]:
        """The conntrack table as /proc prints it, and as netlink tells it, in hex."""
        return {"proc": _read(_PROC_CONNTRACK), "netlink": dump_conntrack().hex()}

    def clock(self) -> dict[str, Any]:
        """Where time stands, on the scale of the steps; None before the first."""
        if self.origin is None:
            return {"at": None}
        return {"at": time.monotonic() - self.origin}


_ERROR = re.compile(r"Command failed|^Error|Usage:|RTNETLINK answers", re.MULTILINE)
_NO_QDISC = re.compile(
    r"Error: Cannot (?:find specified qdisc on specified device|delete qdisc with handle of zero)"
    r"\.\n"
    r"Command failed -:\d+\n"
)


# -- conntrack by netlink -------------------------------------------------------------------------

_NETLINK_NETFILTER = 12
_IPCTNL_MSG_CT_GET, _IPCTNL_MSG_CT_DELETE = 0x101, 0x102
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 1, 4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3


def _netlink(kind: int, flags: int) -> bytes:
    """Ask nfnetlink; the messages of the answer, or raise what it refused with."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as link:
        link.bind((0, 0))
        link.send(struct.pack("=IHHIIBBH", 20, kind, flags | _NLM_F_REQUEST, 1, 0, 0, 0, 0))
        answer = b""
        while True:
            data = link.recv(1 << 16)
            at = 0
            while at < len(data):
                size, message = struct.unpack_from("=IH", data, at)
                if message == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", data, at + 16)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return answer
                if message == _NLMSG_DONE:
                    return answer
                answer += data[at : at + size]
                at += (size + 3) & ~3


def flush_conntrack() -> None:
    """Forget all connections (ctnetlink: IPCTNL_MSG_CT_DELETE without attributes)."""
    _netlink(_IPCTNL_MSG_CT_DELETE, _NLM_F_ACK)


def dump_conntrack() -> bytes:
    """All connections as ctnetlink's messages."""
    return _netlink(_IPCTNL_MSG_CT_GET, _NLM_F_DUMP)


# -- the machine ----------------------------------------------------------------------------------


def program(argv: list[str], text: str = "", timeout: float | None = None) -> dict[str, Any]:
    """Run a program of the guest: its code, and what it printed."""
    done = subprocess.run(
        argv, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=timeout,
    )  # fmt: skip
    return {"code": done.returncode, "out": done.stdout}


def write_file(path: str, text: str) -> dict[str, Any]:
    """Write a file of the guest."""
    _write(path, text)
    return {}


def has_sysctl(name: str) -> dict[str, Any]:
    """Whether the kernel has a sysctl."""
    return {"there": Path(_sysctl(name)).exists()}


def sleep(seconds: float) -> dict[str, Any]:
    """Let time pass."""
    time.sleep(seconds)
    return {}


def _read(path: str) -> str:
    return Path(path).read_text()


def _write(path: str, text: str) -> None:
    Path(path).write_text(text)


def _sysctl(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


def _mount(source: str, where: str, kind: str, data: str = "") -> None:
    os.makedirs(where, exist_ok=True)
    done = _libc.mount(source.encode(), where.encode(), kind.encode(), _MS_NOTHING, data.encode())
    if done:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {kind} on {where}: {os.strerror(code)}")


def _load_modules() -> None:
    """The modules that the image holds, in the order that its list says."""
    order = Path("/mods/order")
    for name in order.read_text().split() if order.exists() else ():
        with open(f"/mods/{name}", "rb") as file:
            if _libc.syscall(_SYS_FINIT_MODULE, file.fileno(), b"", 0):
                code = ctypes.get_errno()
                if code != errno.EEXIST:
                    raise OSError(code, f"module {name}: {os.strerror(code)}")


_SYS_FINIT_MODULE = 313
_STDIN = 0
_IN_NAMESPACE = sys.argv[1:] == ["--netns"]
"""Whether this is a process of a host, in a network namespace of its own, and no guest's init."""
_HZ_UML, _HZ_DEBIAN = 100, 250
"""Ticks a second, by how these kernels are configured."""


class Lines:
    """A line of requests and answers: never sleeps while it waits, if it is a guest's."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""

    def read(self) -> str:
        """The next line."""
        while b"\n" not in self._rest:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                continue
            if not data and self.fd == _STDIN:
                return "exit"  # who asks is gone
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def write(self, line: str) -> None:
        """Write a line, all of it."""
        data = line.encode() + b"\n"
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                continue


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)


def _open_lines(uml: bool) -> Lines:
    if _IN_NAMESPACE:
        return Lines(_STDIN)
    if not uml:
        while True:
            for name in os.listdir("/dev"):
                if name.startswith("vport"):
                    return Lines(_open(f"/dev/{name}"))
            time.sleep(0.01)
    lines = Lines(_open("/dev/tty1"))
    raw = termios.tcgetattr(lines.fd)
    raw[0] = raw[1] = raw[3] = 0
    raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
    termios.tcsetattr(lines.fd, termios.TCSANOW, raw)
    return lines


def _answer(requests: dict[str, Any], text: str) -> str:
    """Carry out one request."""
    request = json.loads(text)
    try:
        return json.dumps(requests[request.pop("do")](**request))
    except Exception:  # noqa: BLE001 - whatever it is, the host is told
        return json.dumps({"exception": traceback.format_exc()})


def serve() -> None:
    """Take requests until one says ``exit``."""
    uml = not _IN_NAMESPACE and "User Mode" in _read("/proc/cpuinfo")
    if uml:
        where = _read("/proc/cmdline").split("agentdir=")[1].split()[0]
        _mount("none", "/host", "hostfs", where)
    lines = _open_lines(uml)
    agent = Agent(_HZ_UML if uml else _HZ_DEBIAN)
    requests = {
        "set_up": agent.set_up, "listen_for": agent.listen_for, "load": agent.load,
        "again": agent.again, "tap": agent.tap,
        "show": agent.show, "run": agent.run, "connections": agent.connections,
        "clock": agent.clock, "program": program, "write_file": write_file, "sleep": sleep,
        "has_sysctl": has_sysctl,
    }  # fmt: skip
    if not _IN_NAMESPACE and Path(_OVS_PART).exists():
        sys.path.append(str(Path(_OVS_PART).parent))
        requests |= import_module("agent_ovs").Ovs(agent).requests()
    lines.write("ready " + os.uname().release)
    while (line := lines.read().strip()) != "exit":
        if not line:
            continue
        if not uml:
            lines.write(_answer(requests, line))
            continue
        request = Path(f"/host/in.{line}")
        Path(f"/host/out.{line}").write_text(_answer(requests, request.read_text()))
        lines.write(line)


def main() -> None:
    """Mount, load modules, serve, and switch the machine off whatever happens.

    In a namespace of a host only serve.
    """
    if _IN_NAMESPACE:
        _write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
        serve()
        return
    try:
        os.environ["PATH"] = "/sbin:/usr/sbin:/bin:/usr/bin"
        for source, where, kind in (
            ("proc", "/proc", "proc"), ("sys", "/sys", "sysfs"), ("dev", "/dev", "devtmpfs"),
            ("tmp", "/tmp", "tmpfs"), ("run", "/run", "tmpfs"),
        ):  # fmt: skip
            _mount(source, where, kind)
        _load_modules()
        _write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
        serve()
    except BaseException:  # noqa: BLE001 - the console is all that is left to tell
        traceback.print_exc()
        sys.stderr.flush()
    os.sync()
    _libc.reboot(_RB_POWER_OFF)


if __name__ == "__main__":
    main()
