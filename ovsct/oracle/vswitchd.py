"""A private ovsdb-server and ovs-vswitchd, started as any user and stopped by their own pids.

Everything they have lies in one temporary directory: database, sockets, logs. They listen on
unix sockets there and nowhere else; ``--disable-system`` keeps them off the kernel's datapath
and ``--enable-dummy`` gives the userspace datapath whose ports are sockets
(OVS: lib/dummy.h, lib/netdev-dummy.c).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from ovsct.errors import OvsctError
from ovsct.oracle.unixctl import Unixctl, UnixctlClosed, UnixctlError

_SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
"""Where distributions put daemons that an ordinary user's PATH does not name."""

_SHARED = ("/usr/share/openvswitch", "/usr/local/share/openvswitch")
_SCHEMA = "vswitch.ovsschema"

_LONGEST_DIRECTORY = 80
"""A unix socket's path may have 107 bytes (unix(7)); the longest name here takes 20."""


class ProgramMissing(OvsctError):
    """A program or file of Open vSwitch is not installed."""


class VswitchdDied(OvsctError):
    """A daemon that should be running is not."""


def find_program(name: str) -> str:
    """The path of a program of Open vSwitch.

    Raises:
        ProgramMissing: it is neither on PATH nor where distributions put daemons.
    """
    found = shutil.which(name) or shutil.which(name, path=_SBIN)
    if found is None:
        raise ProgramMissing(f"{name} is not installed: install Debian's openvswitch-switch")
    return found


def _find_schema() -> Path:
    places = [os.environ.get("OVS_PKGDATADIR", ""), *_SHARED]
    for place in places:
        if place and (path := Path(place) / _SCHEMA).is_file():
            return path
    raise ProgramMissing(
        f"{_SCHEMA} is not installed (looked in {', '.join(filter(None, places))}): "
        "install Debian's openvswitch-switch"
    )


@dataclass(slots=True)
class _Daemon:
    name: str
    process: subprocess.Popen[bytes]
    control: Path


@dataclass(slots=True)
class _Holdings:
    """What must be given back, whatever happens. Holds no reference to its Vswitchd."""

    directory: Path
    owner: int = field(default_factory=os.getpid)
    daemons: list[_Daemon] = field(default_factory=list)


def _give_back(holdings: _Holdings, patience: float = 5.0) -> None:
    """Stop the daemons, last started first, and remove the directory. Safe to call twice."""
    if os.getpid() != holdings.owner:
        return  # a forked child: the daemons are its parent's
    while holdings.daemons:
        _stop_daemon(holdings.daemons.pop(), patience)
    shutil.rmtree(holdings.directory, ignore_errors=True)


def _stop_daemon(daemon: _Daemon, patience: float) -> None:
    process = daemon.process
    if process.poll() is not None:
        return
    if _asked_to_exit(daemon, patience) and _ended(process, patience):
        return
    process.terminate()
    if not _ended(process, patience):
        process.kill()
        process.wait()


def _asked_to_exit(daemon: _Daemon, patience: float) -> bool:
    try:
        with Unixctl(daemon.control, timeout=patience) as control:
            control("exit")
    except (UnixctlClosed, UnixctlError):
        return False  # not up yet, or beyond talking to: a signal will do it
    return True


def _ended(process: subprocess.Popen[bytes], patience: float) -> bool:
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        return False
    return True


class Vswitchd:
    """A running ovs-vswitchd of one's own, as a context manager.

    Args:
        parent: where the private directory is made; by default the system's temporary place.
        patience: how long a daemon may take to come up or go down, in seconds.

    The daemons are children of this process: they are stopped by :meth:`stop`, at the end of the
    ``with`` block, when the object is collected, at interpreter exit, and, where util-linux's
    ``setpriv`` is there and the main thread started them, when this process is killed.
    """

    def __init__(self, parent: Path | None = None, patience: float = 20.0) -> None:
        self._parent = parent
        self._patience = patience
        self._holdings: _Holdings | None = None
        self._finalizer: weakref.finalize[[_Holdings], Vswitchd] | None = None
        self._control: Unixctl | None = None

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> Vswitchd:
        """Start both daemons and wait until they answer.

        Raises:
            ProgramMissing: Open vSwitch is not installed.
            OvsctError: a daemon did not come up; what had been started is stopped again.
        """
        if self._holdings is not None:
            raise OvsctError("this ovs-vswitchd is already running")
        names = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl")
        programs = {name: find_program(name) for name in names}
        schema = _find_schema()
        directory = Path(tempfile.mkdtemp(prefix="ovsct-", dir=self._parent))
        holdings = _Holdings(directory)
        self._finalizer = weakref.finalize(self, _give_back, holdings)
        self._holdings = holdings
        try:
            if len(os.fsencode(directory)) > _LONGEST_DIRECTORY:
                raise OvsctError(
                    f"{directory}: too long for the unix sockets in it; set TMPDIR to a shorter one"
                )
            self._start_daemons(directory, programs, schema)
        except BaseException:
            self.stop()
            raise
        return self

    def _start_daemons(self, directory: Path, programs: Mapping[str, str], schema: Path) -> None:
        database = directory / "conf.db"
        self._run([programs["ovsdb-tool"], "create", str(database), str(schema)])
        remote = f"--remote=punix:{self.database_socket}"
        self._spawn("ovsdb-server", [programs["ovsdb-server"], remote, str(database)])
        self.vsctl("--no-wait", "init", before_start=True)
        options = ["--enable-dummy", "--disable-system", f"unix:{self.database_socket}"]
        control = self._spawn("ovs-vswitchd", [programs["ovs-vswitchd"], *options])
        self._control = Unixctl(control)

    def _spawn(self, name: str, command: Sequence[str]) -> Path:
        """Start a daemon in the foreground, as our child, and wait for its control socket."""
        assert self._holdings is not None
        directory = self.directory
        control = directory / f"{name}.ctl"
        command = [
            *_with_parent_death_signal(),
            *command,
            f"--unixctl={control}",
            f"--log-file={directory / name}.log",
            "-vconsole:off",
        ]
        with (directory / f"{name}.err").open("wb") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=self.environment(),
                cwd=directory,
                start_new_session=True,  # an interrupt at the terminal is for us to handle
            )
        self._holdings.daemons.append(_Daemon(name, process, control))
        deadline = time.monotonic() + self._patience
        while True:
            if process.poll() is not None:
                raise VswitchdDied(f"{name} did not start: {self._last_words(name)}")
            try:
                Unixctl(control).close()
                return control
            except UnixctlClosed as error:
                if time.monotonic() > deadline:
                    raise VswitchdDied(
                        f"{name} did not come up within {self._patience:g} s: "
                        f"{self._last_words(name)}"
                    ) from error
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop both daemons and remove the directory. Calling it again does nothing."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._finalizer is not None:
            self._finalizer()
            self._finalizer = None
        self._holdings = None

    def __enter__(self) -> Vswitchd:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- what it offers -----------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """The private directory.

        Raises:
            OvsctError: nothing is running.
        """
        if self._holdings is None:
            raise OvsctError("this ovs-vswitchd is not running: start it first")
        return self._holdings.directory

    @property
    def database_socket(self) -> Path:
        """The socket of the configuration database."""
        return self.directory / "db.sock"

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each daemon, by its name."""
        if self._holdings is None:
            return {}
        return {daemon.name: daemon.process.pid for daemon in self._holdings.daemons}

    @property
    def ctl(self) -> Unixctl:
        """The kept-open control socket of ovs-vswitchd."""
        if self._control is None:
            raise OvsctError("this ovs-vswitchd is not running: start it first")
        return self._control

    @property
    def control_socket(self) -> Path:
        """The control socket of ovs-vswitchd."""
        return self.directory / "ovs-vswitchd.ctl"

    def management(self, bridge: str) -> Path:
        """The socket on which `bridge` takes OpenFlow connections."""
        return self.directory / f"{bridge}.mgmt"

    def environment(self) -> dict[str, str]:
        """The environment in which OVS's tools find this instance and no other."""
        own = dict.fromkeys(
            ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), str(self.directory)
        )
        return {**os.environ, **own, "LC_ALL": "C"}

    def vsctl(self, *arguments: str, before_start: bool = False) -> str:
        """Run ovs-vsctl on this instance's database and wait until ovs-vswitchd has followed.

        Args:
            arguments: as ovs-vsctl takes them.
            before_start: ovs-vswitchd is not expected to run yet.

        Raises:
            OvsctError: ovs-vsctl failed; its message is passed on.
            VswitchdDied: ovs-vswitchd is gone.
        """
        if not before_start:
            self.check()
        command = [
            find_program("ovs-vsctl"),
            f"--db=unix:{self.database_socket}",
            f"--timeout={max(1, int(self._patience))}",
            *arguments,
        ]
        return self._run(command)

    def check(self) -> None:
        """Raise if a daemon is gone.

        Raises:
            VswitchdDied: with its exit status and the end of its log.
        """
        if self._holdings is None:
            raise OvsctError("this ovs-vswitchd is not running: start it first")
        for daemon in self._holdings.daemons:
            status = daemon.process.poll()
            if status is not None:
                ended = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
                raise VswitchdDied(f"{daemon.name} {ended}: {self._last_words(daemon.name)}")

    def explain(self, error: UnixctlClosed) -> OvsctError:
        """Turn a lost control socket into the reason behind it, if the daemon says one."""
        try:
            self.ctl.close()
            for _ in range(20):  # a dying process takes a moment to be reaped
                self.check()
                time.sleep(0.05)
        except VswitchdDied as died:
            return died
        return error

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment(),
            cwd=self.directory,
            check=False,
        )
        if done.returncode != 0:
            said = _one_line(done.stderr) or f"exit status {done.returncode}"
            raise OvsctError(f"{Path(command[0]).name}: {said}")
        return done.stdout

    def _last_words(self, name: str) -> str:
        """The last lines of what the daemon wrote, as one line."""
        words: list[str] = []
        for ending in (".log", ".err"):
            path = self.directory / f"{name}{ending}"
            if path.is_file():
                words += path.read_text(errors="replace").splitlines()[-2:]
        return " / ".join(words) if words else "it left no word"


def _with_parent_death_signal() -> list[str]:
    """A prefix that has the kernel end the child when this process is killed outright.

    The kernel sends the signal when the starting *thread* ends (prctl(2), PR_SET_PDEATHSIG), so
    it is asked for only by the main thread.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "TERM", "--"]


def _one_line(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())
