"""A real ovs-vswitchd with the kernel's own datapath, in a guest: the judge of ``ovs-kernel``.

With `hw_offload` it lowers its megaflows to TC (``tc-policy=skip_hw``), which takes a kernel with
NET_TC_SKB_EXT and makes it the judge of the lane ``tc``.

What it cannot tell: packet-ins (there is no controller), the engine that served a packet, why one
left nowhere, and the order of outputs across ports. A packet that has to go up to ovs-vswitchd
takes up to :data:`SETTLE` of virtual time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from ovsct.errors import InputError, OvsctError
from ovsct.lane import Arrival, Connection, Drop, Event, EventKind, Outcome, Output
from ovsct.oracle.kernel.boot import boot
from ovsct.oracle.kernel.ctnetlink import read_connections
from ovsct.oracle.kernel.guest import Guest
from ovsct.oracle.kernel.kernels import Kind, choose

SETTLE: Final = 0.02
"""Virtual seconds to wait for outputs; they end as soon as the guest has nothing to do."""
_LOCAL: Final = 65534
_BRIDGE: Final = "br0"
_UPTIME: Final = 12.0
"""OVS 3.1 counts no processors, and so loses all upcalls, while the clock is below ten seconds."""
_FLOWS: Final = "/tmp/flows"
_GROUPS: Final = "/tmp/groups"
_VERSIONS: Final = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"
_FRAGMENTS: Final = 35.0


class KernelOvs:
    """An Open vSwitch bridge over a kernel's datapath. Close it, or use it in ``with``.

    Args:
        flows: lines as ``ovs-ofctl add-flows`` takes them.
        groups: lines as ``ovs-ofctl add-groups`` takes them.
        ports: the numbers of the bridge's ports besides its local one.
        kernel: which kernel (:func:`ovsct.oracle.kernel.kernels.choose`).
        hw_offload: whether megaflows go to TC.
        settings: further ``other_config`` of the Open_vSwitch table.

    Raises:
        InputError: ovs-ofctl or the switch refuses a flow or group, in their words.
        OracleMissing: there is no kernel, or Open vSwitch is not installed here.
        GuestDied: it did not come up.
    """

    name = "real-kernel"

    def __init__(
        self,
        flows: Sequence[str] = (),
        groups: Sequence[str] = (),
        ports: Iterable[int] = (1, 2),
        *,
        kernel: str | None = None,
        hw_offload: bool = False,
        settings: Mapping[str, str] | None = None,
        mtu: int = 1500,
    ) -> None:
        self.ports = tuple(sorted(set(ports)))
        self.hw_offload = hw_offload
        self._last = -float("inf")
        chosen = choose(kernel)
        if hw_offload and chosen.kind is not Kind.UML:
            raise InputError(
                "no stock kernel has NET_TC_SKB_EXT, which hw-offload needs here",
                token=str(chosen), hint="use a user-mode kernel: `ovsct oracle build --uml 6.1`",
            )  # fmt: skip
        self.guest: Guest = boot(chosen, with_ovs=True)
        try:
            self.guest.ask("set_up", ports=list(self.ports), mtu=mtu, settle=SETTLE)
            self._start_ovs(dict(settings or {}))
            self.reset(flows, groups)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> KernelOvs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Switch the kernel off. Safe to call twice."""
        self.guest.close()

    @property
    def release(self) -> str:
        """What ``uname -r`` says."""
        return self.guest.release

    def _start_ovs(self, settings: dict[str, str]) -> None:
        self.guest.ask("sleep", seconds=_UPTIME)
        if self.hw_offload:
            settings |= {"hw-offload": "true", "tc-policy": "skip_hw"}
        database = "/etc/openvswitch/conf.db"
        daemon = ("--pidfile", "--detach", "--no-chdir", "--log-file")
        self.run("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        self.run("ovsdb-server", database, "--remote=punix:/var/run/openvswitch/db.sock", *daemon)
        self.run("ovs-vsctl", "--no-wait", "init")
        for name, value in settings.items():
            self.run("ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".",
                     f"other_config:{name}={value}")  # fmt: skip
        self.run("ovs-vswitchd", *daemon, "-vconsole:off")
        command = ["--", "add-br", _BRIDGE, "--", "set", "bridge", _BRIDGE, "fail-mode=secure",
                   "other-config:disable-in-band=true",
                   f"protocols=[{_VERSIONS}]"]  # fmt: skip
        for port in self.ports:
            command += ["--", "add-port", _BRIDGE, f"p{port}", "--", "set", "interface",
                        f"p{port}", f"ofport_request={port}"]  # fmt: skip
        self.run("ovs-vsctl", *command)
        self.run("/sbin/ip", "link", "set", _BRIDGE, "up")
        self.guest.ask("tap", place=_LOCAL, device=_BRIDGE)

    def run(self, name: str, *arguments: str) -> str:
        """Run a program of Open vSwitch in the guest; what it printed.

        Raises:
            OvsctError: it failed; with what it said.
        """
        path = name if name.startswith("/") else f"/usr/sbin/{name}"
        done = self.guest.ask("program", argv=[path, *arguments], timeout=600.0)
        if done["code"]:
            raise OvsctError(f"{name}: {' '.join(done['out'].split())}")
        said: str = done["out"]
        return said

    def ctl(self, command: str, *arguments: str) -> str:
        """Run a command of ovs-appctl(8)."""
        return self.run("ovs-appctl", command, *arguments)

    def reset(self, flows: Sequence[str], groups: Sequence[str] = ()) -> None:
        """Begin a new case in the same program: other flows, no megaflows, no connections.

        Raises:
            InputError: a flow or group is refused, in the program's words.
        """
        self._last = -float("inf")
        self.run("ovs-ofctl", "-O", _VERSIONS, "del-flows", _BRIDGE)
        self.run("ovs-ofctl", "-O", "OpenFlow13", "del-groups", _BRIDGE)
        for file, lines, command in (
            (_GROUPS, groups, "add-groups"), (_FLOWS, flows, "add-flows"),
        ):  # fmt: skip
            if not lines:
                continue
            self.guest.ask("write_file", path=file, text="\n".join(lines) + "\n")
            try:
                self.run("ovs-ofctl", "-O", _VERSIONS, command, _BRIDGE, file)
            except OvsctError as error:
                raise InputError(f"refused: {error}") from error
        self.ctl("revalidator/purge")
        self.guest.ask("again", wait=_FRAGMENTS)

    # -- the lane -----------------------------------------------------------------------------

    def receive(self, packet: Arrival) -> Outcome:
        """Hand one frame to the kernel and wait for all that comes of it.

        Raises:
            InputError: no such port, or time runs backwards.
            GuestDied: the kernel ended.
        """
        if packet.port not in self.ports:
            raise InputError("no such port", token=str(packet.port), expected=str(self.ports))
        out = self._step(packet.at, packet.port, packet.frame.hex())
        return Outcome(out, None if out else Drop.ACTIONS, ())

    def advance(self, now: float) -> Sequence[Event]:
        """Let virtual time pass until `now`. Neither kernel nor OVS tells what expires."""
        out = self._step(now, None, "")
        return (Event(now, EventKind.FRAGMENTS_RELEASED, "frames left", out),) if out else ()

    def _step(self, at: float, port: int | None, frame: str) -> tuple[Output, ...]:
        if at < self._last:
            raise InputError("time runs backwards", token=str(at), expected=str(self._last))
        self._last = at
        answer = self.guest.ask("run", steps=[[at, port, frame]], conntrack="")
        if "error" in answer:
            raise InputError(str(answer["error"]))
        step: dict[str, Any] = answer["steps"][0]
        frames = [
            Output(int(place), bytes.fromhex(each))
            for place, found in (*step["early"].items(), *step["out"].items())
            if place != "stack"  # packet sockets there stand before the datapath, and see it all
            for each in found
        ]
        return tuple(sorted(frames, key=lambda output: int(output.port)))

    def connections(self) -> Sequence[Connection]:
        """What conntrack holds, as ctnetlink tells it; in no fixed order."""
        return list(read_connections(bytes.fromhex(self.guest.ask("connections")["netlink"])))

    def dump_conntrack(self, form: str = "proc") -> list[str]:
        """The lines of /proc/net/nf_conntrack, or (`form` ``dpctl``) those of OVS."""
        if form == "proc":
            lines: list[str] = self.guest.ask("connections")["proc"].splitlines()
            return lines
        return self.ctl("dpctl/dump-conntrack").splitlines()

    def dump_flows(self, *arguments: str) -> list[str]:
        """The lines of ``dpctl/dump-flows``; with ``type=tc`` what is in TC, ``type=ovs`` not."""
        return self.ctl("dpctl/dump-flows", *arguments).splitlines()

    def show_filters(self, port: int | None = None) -> str:
        """``tc -s filter show dev p<n> ingress``, of one port or of all, one after the other."""
        wanted = list(self.ports) if port is None else [port]
        shown = self.guest.ask("show", ports=wanted)
        return "".join(shown[str(each)] for each in wanted)
