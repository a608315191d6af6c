"""The host's own kernel as a guest: the agent in a network namespace of its own.

It takes root and the kernel's modules, and time is the host's: a case waits as long as it says. The
namespace goes with the process; nothing of the host's own network is touched.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any, Final

from ovsct.oracle.kernel.cache import OracleMissing, find_program
from ovsct.oracle.kernel.guest import Guest
from ovsct.oracle.kernel.image import AGENT

_NEEDED: Final = (
    ["/sbin/tc", "qdisc", "add", "dev", "p1", "ingress"],
    ["/sbin/tc", "filter", "add", "dev", "p1", "ingress", "protocol", "ip", "flower",
     "ct_state", "+trk+new", "action", "ct", "zone", "1"],
)  # fmt: skip
"""What a kernel must be able to do to judge anything."""


class Netns(Guest):
    """The agent on this host, in a namespace.

    Args:
        patience: seconds of real time that an answer may take.
        probe: whether to refuse a kernel that has no TC.

    Raises:
        OracleMissing: this is not root, namespaces are forbidden, or the kernel lacks what is
            needed; in the words of who said so.
        GuestDied: it did not come up.
    """

    def __init__(self, *, patience: float = 120.0, probe: bool = True) -> None:
        if os.geteuid():
            raise OracleMissing(
                "the host's own kernel judges only for root; without it use a user-mode kernel"
                " (`ovsct oracle build --uml 6.1`) or QEMU"
            )
        super().__init__(patience)
        begun = time.monotonic()
        here, there = socket.socketpair()
        unshare = str(find_program("unshare", "util-linux"))
        self._start(
            [unshare, "--net", "--", sys.executable, "-ISB", str(AGENT), "--netns"],
            here, there, dict(os.environ),
        )  # fmt: skip
        there.close()
        self._wait_until_ready(begun)
        if probe:
            self._probe()

    def _probe(self) -> None:
        self.ask("set_up", ports=[1], mtu=1500, settle=0.0)
        for argv in _NEEDED:
            done: dict[str, Any] = self.ask("program", argv=argv)
            if done["code"]:
                release = self.release
                self.close()
                raise OracleMissing(
                    f"the host's kernel {release} cannot judge: {' '.join(done['out'].split())}"
                    " (needed are sch_ingress, cls_flower and act_ct)"
                )

    def _send(self, text: str) -> None:
        self._write_line(text)

    def _receive(self) -> str:
        return self._read_line()
