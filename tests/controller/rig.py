"""One application on one controller library, one real bridge that it programs, and the models.

:class:`Bench` hands each packet to the real ovs-vswitchd and to the lanes ``ovs-userspace``,
``ovs-kernel``, ``tc`` and ``hw``, which hold the flows as ``ovs-ofctl`` dumps them from the real
one. It asserts that the first does what the real one does, to the byte, and notes where the others
differ: those have another conntrack, which may.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ovsct.bridge.bridge import Bridge
from ovsct.lane import Arrival, Port
from ovsct.lanes.hw import HwLane
from ovsct.lanes.ovs import OvsLane
from ovsct.lanes.ovs_kernel import OvsKernel
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.lanes.tc import TcLane
from ovsct.openflow.text.flow_text import format_flow, read_flows
from ovsct.openflow.text.group_text import read_groups
from ovsct.oracle.real_ovs import RealOvs, comparable
from ovsct.oracle.vswitchd import find_program

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
_URL = re.compile(r"REST API on (http://\S+)")
_RYU_MANAGER = ROOT / ".venv-ryu" / "bin" / "ryu-manager"


@dataclass(frozen=True)
class Library:
    """One of the two controller libraries, and why it cannot be asked, if so."""

    name: str
    missing: str | None

    def command(self, app: str, openflow: int) -> list[str]:
        """How its users start an application."""
        if self.name == "ryu":
            flags = ["--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", str(openflow)]
            return [str(_RYU_MANAGER), *flags, f"controller.{app}"]
        address = f"127.0.0.1:{openflow}"
        return [sys.executable, "-m", "controller", app, "--openflow", address]


LIBRARIES = (
    Library(
        "os-ken",
        None if find_spec("os_ken") else "os-ken is not installed: pip install 'ovsct[os-ken]'",
    ),
    Library(
        "ryu",
        None if _RYU_MANAGER.is_file() else "there is no .venv-ryu with Ryu: make controller",
    ),
)


@dataclass(frozen=True)
class Answer:
    """What REST answered."""

    status: int
    data: Any
    headers: dict[str, str]


class Controller:
    """A process that runs one application; its REST API and OpenFlow port are on loopback."""

    def __init__(self, library: Library, app: str, folder: Path, policy: str = "") -> None:
        self.openflow = _free_port()
        self.log = folder / f"{app}-{library.name}.log"
        self._policy = folder / "policy.yaml"
        self._policy.write_text(policy, encoding="utf-8")
        environment = {
            **os.environ,
            "CONTROLLER_POLICY": str(self._policy),
            "CONTROLLER_REST": "127.0.0.1:0",
            "PYTHONPATH": str(ROOT),
        }
        command = library.command(app, self.openflow)
        if library.name == "os-ken":
            command += ["--policy", str(self._policy), "--rest", "127.0.0.1:0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=environment,
                start_new_session=True,
            )
        try:
            self.url = self._wait_for_url()
        except BaseException:
            self.stop()
            raise

    def _wait_for_url(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            text = self.log.read_text(errors="replace")
            found = _URL.search(text)
            # os-ken and Ryu open the OpenFlow port on their own, a moment before or after.
            if found and _answers(self.openflow):
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the controller did not come up: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End the process by its own id."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> Controller:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def ask(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        kind: str = "application/json",
        host: str | None = None,
    ) -> Answer:
        """One request; `data` is sent as it is if it is text, else as JSON."""
        body = None
        if data is not None:
            body = (data if isinstance(data, str) else json.dumps(data)).encode()
        request = Request(self.url + path, data=body, method=method)
        if body is not None:
            request.add_header("Content-Type", kind)
        if host is not None:
            request.add_header("Host", host)
        try:
            with urlopen(request, timeout=PATIENCE) as reply:
                return _answer(reply.status, reply.read(), dict(reply.headers))
        except HTTPError as error:
            with error:
                return _answer(error.code, error.read(), dict(error.headers))

    def do(self, method: str, path: str, data: Any = None) -> Any:
        """One request that must go well."""
        answer = self.ask(method, path, data)
        assert answer.status in (200, 201), answer
        return answer.data


def _answer(status: int, body: bytes, headers: dict[str, str]) -> Answer:
    is_json = headers.get("Content-Type") == "application/json"
    return Answer(status, json.loads(body) if is_json else body.decode(), headers)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Bench:
    """The real bridge under the application's control, and the model beside it."""

    def __init__(self, real: RealOvs, controller: Controller, since: float | None = None) -> None:
        """With `since`, the bridge keeps what it holds, and its clock stands there."""
        self.real, self.controller = real, controller
        self.now = since or 0.0
        if since is None:
            real.reset()
        real.program.vsctl("set-controller", "br0", f"tcp:127.0.0.1:{controller.openflow}")
        self._wait_until_ready()
        self.models: tuple[OvsLane, ...] = (
            OvsUserspace(Bridge(real.ports)),
            OvsKernel(Bridge(real.ports)),
            TcLane(Bridge(real.ports)),
            HwLane(Bridge(real.ports)),
        )
        self.differences: list[tuple[str, list[Port], list[Port]]] = []
        """Where another lane did otherwise: its name, the real bridge's ports, and its own."""
        self.follow()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            switches = self.controller.do("GET", "/v1/switches")["switches"]
            if switches and switches[0]["ready"]:
                return
            assert not switches or not switches[0]["refused"], switches
            time.sleep(0.02)
        raise AssertionError(f"no switch: {self.controller.log.read_text()[-3000:]}")

    def close(self) -> None:
        """Take the controller from the bridge."""
        self.real.program.vsctl("del-controller", "br0")

    def follow(self) -> None:
        """Give the models what the real bridge holds now."""
        self.real.purge()
        flows = read_flows("\n".join(self.dump("flows")))
        groups = read_groups("\n".join(self.dump("groups")))
        for model in self.models:
            bridge = model.bridge
            bridge.tables.clear()
            for flow in flows:
                bridge.add_flow(flow)
            bridge.groups.clear()
            bridge.groups.update({group.group_id: group for group in groups})
            model.datapath.flush()

    def dump(self, what: str) -> list[str]:
        """The lines of ``ovs-ofctl dump-flows`` or ``dump-groups``, without counters."""
        command = [find_program("ovs-ofctl"), "-O", "OpenFlow13"]
        command += ["--no-stats"] if what == "flows" else []
        command += [f"dump-{what}", str(self.real.program.management("br0"))]
        command[-1] = f"unix:{command[-1]}"
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env=self.real.program.environment(),
        )
        return [line.strip() for line in done.stdout.splitlines() if line.startswith(" ")]

    def rest(self, method: str, path: str, data: Any = None) -> Any:
        """Change something by REST; the model follows."""
        answer = self.controller.do(method, path, data)
        self.follow()
        return answer

    def send(self, port: int, frame: bytes, after: float = 0.01) -> list[tuple[Port, bytes]]:
        """One frame into all; what came out, by port, once it is sure that the model agrees."""
        self.now = round(self.now + after, 3)
        arrival = Arrival(self.now, port, frame)
        real = comparable(self.real.receive(arrival)).out
        for model in self.models:
            model.advance(arrival.at)
            modelled = comparable(model.receive(arrival)).out
            if model.name == "ovs-userspace":
                assert list(real) == list(modelled)
            elif list(real) != list(modelled):
                ports = [[out.port for out in each] for each in (real, modelled)]
                self.differences.append((model.name, *ports))
        return [(out.port, out.frame) for out in real]

    def differed(self, *wanted: tuple[str, list[Port], list[Port]]) -> None:
        """Just so did other lanes since they were last asked of; it is known, and forgotten."""
        assert self.differences == list(wanted)
        self.differences.clear()

    def ports(self, port: int, frame: bytes, after: float = 0.01) -> list[Port]:
        """One frame into all; the ports it left by."""
        return [out for out, _ in self.send(port, frame, after)]


def benches(
    real: RealOvs, library: Library, app: str, folder: Path, policy: str = ""
) -> Iterator[Bench]:
    """A bench, for a fixture to yield from."""
    with Controller(library, app, folder, policy) as controller:
        bench = Bench(real, controller)
        try:
            yield bench
        finally:
            bench.close()


def meaning(lines: Sequence[str]) -> list[str]:
    """Flow lines in one spelling and order, without the cookie that says whose they are."""
    flows = read_flows("\n".join(lines))
    return sorted(re.sub(r"^ *cookie=0x[0-9a-f]+, ", "", format_flow(flow)) for flow in flows)
