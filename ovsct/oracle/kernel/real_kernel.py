"""The lane ``real-kernel``: TC and conntrack of a real Linux, in a process of its own.

Port n is the device ``p<n>``, so that the same ``tc`` commands load here and in the lane
``tc-script``. Time is virtual and follows the packets: nothing passes between two of them but what
their times say, a few hundred microseconds of work apart.

What it cannot tell: the order of outputs across ports (they come by port, ascending, then the
stack's), the engine, and why a packet left nowhere (``Drop.ACTIONS``). What the stack gets is
shown as the stack gets it: reception has taken VLAN tags off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from ovsct.errors import InputError
from ovsct.lane import (
    Arrival,
    Connection,
    Drop,
    Event,
    EventKind,
    Outcome,
)
from ovsct.oracle.kernel.boot import boot
from ovsct.oracle.kernel.ctnetlink import read_connections
from ovsct.oracle.kernel.guest import Guest
from ovsct.oracle.kernel.kernels import Kernel, choose
from ovsct.oracle.kernel.played import (
    TAGS,
    Happening,
    Played,
    Wait,
    check_frame,
    may_be_fragment,
    played,
)

if TYPE_CHECKING:
    from ovsct.oracle.kernel.kernel_ovs import KernelOvs

_MTU: Final = 1500
_SETTLE: Final = 0.0002
"""Virtual seconds to wait for outputs: veth hands frames on at once, in a softirq."""
_FRAGMENTS: Final = 35.0
"""Virtual seconds after which no fragment is held any more (ipfrag_time is 30)."""

_KNOWN_TYPES: Final = frozenset({0x0800, 0x86DD, 0x0806, 0x8847, 0x8848, 0x8100, 0x88A8})
_LEAST_TYPE: Final = 0x600

_PORT: Final = re.compile(r"\bdev\s+p([1-9]\d*)\b")


class RealKernel:
    """A kernel with TC rules on its ports. Use it as a context manager, or call :meth:`close`.

    Args:
        commands: ``tc`` commands, one a line; if none adds a qdisc, every port has one.
        ports: the ports that are there; None for those that the commands name.
        kernel: which one (:func:`ovsct.oracle.kernel.kernels.choose`).
        sysctls: by the names of the netfilter model (``tcp_loose``), or by full name with dots.
        file: what errors call the commands.
        mtu: of all devices, in bytes.
        guest: a running guest to use; by default one is booted, and switched off at the end.

    Raises:
        InputError: a command that ``tc`` or the kernel refuses, in their words.
        OracleMissing: there is no kernel here, or a program that it needs.
        GuestDied: it did not come up.
    """

    name = "real-kernel"

    def __init__(
        self,
        commands: str | None = None,
        ports: Iterable[int] | None = None,
        *,
        kernel: str | None = None,
        sysctls: Mapping[str, int] | None = None,
        file: str | None = None,
        mtu: int = _MTU,
        guest: Guest | None = None,
    ) -> None:
        text = commands or ""
        self.ports = tuple(sorted(_ports_named(text) if ports is None else set(ports)))
        self.mtu = mtu
        self._own = guest is None
        self.gc_period = 1.0
        """Seconds between two looks of a flow table's gc; one is at the first step's second."""
        if guest is None:
            self.kernel: Kernel | None = choose(kernel)
            guest = boot(self.kernel)
        else:
            self.kernel = None
        self.guest = guest
        try:
            self.guest.ask("set_up", ports=list(self.ports), mtu=mtu, settle=_SETTLE)
            self._types: set[int] = set(_KNOWN_TYPES)
            self._held_fragments = False
            self.reset(text, sysctls=sysctls, file=file)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RealKernel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Switch the kernel off, if this lane booted it. Safe to call twice."""
        if self._own:
            self.guest.close()

    @staticmethod
    def with_ovs(
        flows: Sequence[str] = (),
        groups: Sequence[str] = (),
        ports: Iterable[int] = (1, 2),
        *,
        kernel: str | None = None,
        hw_offload: bool = False,
    ) -> KernelOvs:
        """A real ovs-vswitchd over the kernel's datapath instead of TC rules.

        Arguments and errors are those of :class:`~ovsct.oracle.kernel.kernel_ovs.KernelOvs`.
        """
        from ovsct.oracle.kernel.kernel_ovs import KernelOvs

        return KernelOvs(flows, groups, ports, kernel=kernel, hw_offload=hw_offload)

    @property
    def release(self) -> str:
        """What ``uname -r`` says."""
        return self.guest.release

    def reset(
        self,
        commands: str = "",
        *,
        sysctls: Mapping[str, int] | None = None,
        file: str | None = None,
        wait: float | None = None,
    ) -> None:
        """Begin a new case in the same kernel, as if it had just come up, with other rules.

        Args:
            commands: as for the class; they cannot name ports that the lane does not have.
            sysctls: as for the class; what an earlier case changed is as it was.
            file: what errors call the commands.
            wait: virtual seconds to let pass while nothing is there; by default as many as
                fragments are held, if there were any.

        Raises:
            InputError: a command was refused: with the line, and the words of ``tc``.
        """
        lines = list(script_lines(commands, file))
        code = [command for _, command in lines]
        implied = not any(command.startswith("qdisc ") for command in code)
        if wait is None:
            wait = _FRAGMENTS if self._held_fragments else 0.0
        self._held_fragments = False
        self._last = -float("inf")
        answer = self.guest.ask(
            "load", commands=code, qdiscs=list(self.ports) if implied else [],
            sysctls={_sysctl(name): value for name, value in (sysctls or {}).items()}, wait=wait,
        )  # fmt: skip
        self.gc_period = float(answer["gc_period"])
        if answer["refused"] is not None:
            number, said = answer["refused"]
            raise InputError(
                f"refused by tc: {_first_words(said)}", file=file, line=lines[number][0],
                token=code[number],
            )  # fmt: skip

    # -- the lane -----------------------------------------------------------------------------

    def receive(self, packet: Arrival) -> Outcome:
        """Hand one frame to the kernel and wait for all that comes of it.

        Raises:
            InputError: no such port, a frame that no device can carry, or time runs backwards.
            GuestDied: the kernel ended; the message holds the end of its console.
        """
        played = self.play([packet])[0]
        return Outcome(played.out, None if played.out else Drop.ACTIONS, ())

    def advance(self, now: float) -> Sequence[Event]:
        """Let virtual time pass until `now`. The kernel does not tell what expires."""
        played = self.play([Wait(now)])[0]
        if not played.out:
            return ()
        return (Event(now, EventKind.FRAGMENTS_RELEASED, "frames left", played.out),)

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
        types: set[int] = set()
        for happening in happenings:
            if happening.at < self._last:
                raise InputError(
                    "time runs backwards", token=str(happening.at), expected=str(self._last)
                )
            self._last = happening.at
            if isinstance(happening, Arrival):
                self._check(happening)
                types |= _types(happening.frame)
                steps.append([happening.at, happening.port, happening.frame.hex()])
            else:
                steps.append([happening.at, None, ""])
        if fresh := types - self._types:
            self._types |= fresh
            self.guest.ask("listen_for", types=sorted(fresh))
        answer = self.guest.ask("run", steps=steps, conntrack=conntrack)
        if "error" in answer:
            raise InputError(str(answer["error"]))
        return [played(step) for step in answer["steps"]]

    def _check(self, packet: Arrival) -> None:
        if packet.port not in self.ports:
            raise InputError("no such port", token=str(packet.port), expected=str(self.ports))
        check_frame(packet.frame, self.mtu)
        if may_be_fragment(packet.frame):
            self._held_fragments = True

    def connections(self) -> Sequence[Connection]:
        """What conntrack holds, as ctnetlink tells it; in no fixed order.

        Offloaded connections have no timeout of their own (0.0).
        """
        return list(read_connections(bytes.fromhex(self.guest.ask("connections")["netlink"])))

    # -- the kernel's own words -----------------------------------------------------------------

    def dump_conntrack(self, form: str = "proc") -> list[str]:
        """The lines of /proc/net/nf_conntrack, or (`form` ``dpctl``) as OVS would print them."""
        if form == "proc":
            lines: list[str] = self.guest.ask("connections")["proc"].splitlines()
            return lines
        from ovsct.conntrack.dump import dpctl_line

        return [dpctl_line(connection) for connection in self.connections()]

    def show_filters(self, port: int | None = None) -> str:
        """``tc -s filter show dev p<n> ingress``, of one port or of all, one after the other."""
        wanted = list(self.ports) if port is None else [port]
        shown = self.guest.ask("show", ports=wanted)
        return "".join(shown[str(each)] for each in wanted)

    def has_sysctl(self, name: str) -> bool:
        """Whether the kernel was built with what the sysctl `name` is for."""
        there: bool = self.guest.ask("has_sysctl", name=_sysctl(name))["there"]
        return there

    def clock(self) -> float | None:
        """Where the kernel's clock stands on the scale of the packets; None before the first."""
        at: float | None = self.guest.ask("clock")["at"]
        return at


def script_lines(text: str, file: str | None = None) -> Iterator[tuple[int, str]]:
    """The commands of a script with the numbers of their lines, without ``tc`` and comments.

    Raises:
        InputError: the last line goes on.
    """
    pending, begun = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not pending:
            begun = number
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        words = pending.partition("#")[0].split()
        pending = ""
        if words and words[0].rpartition("/")[2] == "tc":
            del words[0]
        if words:
            yield begun, " ".join(words)
    if pending:
        raise InputError("the last line ends with a backslash", file=file, line=begun)


def _ports_named(text: str) -> set[int]:
    return {int(number) for number in _PORT.findall(text)}


_PREFIXES: Final = (("flowtable_", "net.netfilter.nf_"), ("", "net.netfilter.nf_conntrack_"))
_ELSEWHERE: Final = {"frag_timeout": "net.ipv4.ipfrag_time"}


def _sysctl(name: str) -> str:
    if "." in name:
        return name
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    return next(prefix for start, prefix in _PREFIXES if name.startswith(start)) + name


def _first_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0].removeprefix("Error: ") if lines else "it gave up and said nothing"


def _types(frame: bytes) -> set[int]:
    """The Ethernet types that a tap might see `frame` under, its tags taken off or not."""
    found = set()
    at = 12
    while len(frame) >= at + 2:
        kind = int.from_bytes(frame[at : at + 2], "big")
        if kind >= _LEAST_TYPE:
            found.add(kind)
        if kind not in TAGS:
            break
        at += 4
    return found
