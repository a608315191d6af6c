"""A real ovs-vswitchd with the kernel's own datapath, in a guest: the judge of ``ovs-kernel``.

With `hw_offload` it lowers its megaflows to TC (``tc-policy=skip_hw``), which takes a kernel with
NET_TC_SKB_EXT and makes it the judge of the lane ``tc``.

A packet is done when every thread of ovs-vswitchd sleeps again. Flows come by an ovs-ofctl of this
machine, whose connection is passed on into the guest.

What it cannot tell: packet-ins (there is no controller), the engine that served a packet, why one
left nowhere, and the order of outputs across ports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from ovsct.errors import InputError, OvsctError
from ovsct.lane import Arrival, Connection, Drop, Event, EventKind, Outcome
from ovsct.oracle.kernel.boot import boot
from ovsct.oracle.kernel.ctnetlink import read_connections
from ovsct.oracle.kernel.guest import Guest
from ovsct.oracle.kernel.kernels import Kind, choose
from ovsct.oracle.kernel.played import (
    Happening,
    Played,
    Wait,
    check_frame,
    may_be_fragment,
    played,
)
from ovsct.oracle.kernel.relay import Relay
from ovsct.oracle.ofctl import Ofctl, Text

_SETTLE: Final = 0.0002
_LOCAL: Final = 65534
_BRIDGE: Final = "br0"
_UPTIME: Final = 12.0
"""OVS 3.1 counts no processors, and so loses all upcalls, while the clock is below ten seconds."""
_VERSIONS: Final = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"
_FRAGMENTS: Final = 35.0
"""Virtual seconds after which no fragment is held any more."""
_LET_GO: Final = 0.05
"""Virtual seconds in which the program's threads let go of deleted flows."""
_NOTHING: Final = Text("nothing", ())
_INTERNAL_TABLE: Final = "table_id=254"


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
        self.mtu = mtu
        self._last = -float("inf")
        self._fragments = "normal"
        self._held_fragments = False
        self._relay: Relay | None = None
        chosen = choose(kernel)
        if hw_offload and chosen.kind is not Kind.UML:
            raise InputError(
                "no stock kernel has NET_TC_SKB_EXT, which hw-offload needs here",
                token=str(chosen), hint="use a user-mode kernel: `ovsct oracle build --uml 6.1`",
            )  # fmt: skip
        self.guest: Guest = boot(chosen, with_ovs=True)
        try:
            self.guest.ask("set_up", ports=list(self.ports), mtu=mtu, settle=_SETTLE, stack=False)
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
        if self._relay is not None:
            self._relay.close()
            self._relay = None
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
        self.guest.ask("ovs_connect")
        self._relay = Relay(self.guest, _BRIDGE)
        self._ofctl = Ofctl(self._relay, _BRIDGE, names=False)

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
        """Run a command of ovs-appctl(8) and return what it prints.

        Raises:
            OvsctError: the program refused it.
        """
        return self.ctls([command, *arguments])[0]

    def ctls(self, *commands: Sequence[str]) -> list[str]:
        """Run commands of ovs-appctl(8), one behind the other, in one go.

        Raises:
            OvsctError: the program refused one.
        """
        answers = self.guest.ask("ctl", commands=[list(each) for each in commands])["answers"]
        for (name, *_), (_, error) in zip(commands, answers, strict=True):
            if error is not None:
                raise OvsctError(f"{name}: {str(error).strip()}")
        return [str(said or "") for said, _ in answers]

    def reset(
        self, flows: Sequence[str], groups: Sequence[str] = (), fragments: str = "normal"
    ) -> None:
        """Begin a new case in the same program: other flows, no megaflows, no connections.

        Args:
            flows: as for the class.
            groups: as for the class.
            fragments: the mode of ``ovs-ofctl set-frags``.

        Raises:
            Refused: a flow or group is refused, in the program's words.
        """
        self._last = -float("inf")
        # Counters that are not pushed yet would be pushed to the flows of the next case.
        self.ctls(("revalidator/purge",))
        try:
            # What is used again before all threads have let go of it keeps its place in the
            # classifier, so that masks would depend on the case before.
            self._ofctl.replace(_NOTHING, _NOTHING, _NOTHING)
            self.guest.ask("again", wait=_FRAGMENTS if self._held_fragments else _LET_GO)
            self._held_fragments = False
            self._ofctl.replace(Text("flows", flows), Text("groups", groups), _NOTHING)
            if fragments != self._fragments:
                self._ofctl.command("set-frags", fragments)
                self._fragments = fragments
        finally:
            if self._relay is not None:
                self._relay.check()
        self.ctls(("revalidator/purge",), ("fdb/flush", _BRIDGE))
        self.guest.ask("again", wait=0)

    # -- the lane -----------------------------------------------------------------------------

    def receive(self, packet: Arrival) -> Outcome:
        """Hand one frame to the kernel and wait for all that comes of it.

        Raises:
            InputError: no such port, a frame that no device can carry, or time runs backwards.
            GuestDied: the kernel ended.
        """
        out = self.play([packet])[0].out
        return Outcome(out, None if out else Drop.ACTIONS, ())

    def advance(self, now: float) -> Sequence[Event]:
        """Let virtual time pass until `now`. Neither kernel nor OVS tells what expires."""
        out = self.play([Wait(now)])[0].out
        return (Event(now, EventKind.FRAGMENTS_RELEASED, "frames left", out),) if out else ()

    def play(self, happenings: Sequence[Happening], conntrack: str = "") -> list[Played]:
        """Many happenings in one go, which is faster than one at a time.

        Args:
            happenings: in the order of their times.
            conntrack: when to read the connections: ``each`` time, at the ``end``, or never.

        Raises:
            InputError: as for :meth:`receive`.
        """
        if not happenings:
            return []
        steps: list[list[Any]] = []
        for happening in happenings:
            if happening.at < self._last:
                raise InputError(
                    "time runs backwards", token=str(happening.at), expected=str(self._last)
                )
            self._last = happening.at
            if not isinstance(happening, Arrival):
                steps.append([happening.at, None, ""])
                continue
            if happening.port not in self.ports:
                raise InputError(
                    "no such port", token=str(happening.port), expected=str(self.ports)
                )
            check_frame(happening.frame, self.mtu)
            self._held_fragments |= may_be_fragment(happening.frame)
            steps.append([happening.at, happening.port, happening.frame.hex()])
        answer = self.guest.ask("run", steps=steps, conntrack=conntrack)
        if "error" in answer:
            raise InputError(str(answer["error"]))
        return [played(step, late=True) for step in answer["steps"]]

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
        lines = self.ctl("dpctl/dump-flows", *arguments).splitlines()
        return [line for line in lines if line and not line.startswith("flow-dump from ")]

    def flow_stats(self) -> list[str]:
        """The OpenFlow flows with all that they counted, as ``bridge/dump-flows`` prints them.

        Empties the datapath's flow table for it.
        """
        lines = self.ctls(("revalidator/purge",), ("bridge/dump-flows", _BRIDGE))[1].splitlines()
        return [line for line in lines if line and not line.startswith(_INTERNAL_TABLE)]

    def has_sysctl(self, name: str) -> bool:
        """Whether the kernel was built with what the sysctl `name` is for."""
        there: bool = self.guest.ask("has_sysctl", name=name)["there"]
        return there

    def show_filters(self, port: int | None = None) -> str:
        """``tc -s filter show dev p<n> ingress``, of one port or of all, one after the other."""
        return "".join(self.filters(self.ports if port is None else (port,)).values())

    def filters(self, ports: Iterable[int] | None = None) -> dict[int, str]:
        """The same by port."""
        wanted = list(self.ports if ports is None else ports)
        shown = self.guest.ask("show", ports=wanted)
        return {port: shown[str(port)] for port in wanted}
