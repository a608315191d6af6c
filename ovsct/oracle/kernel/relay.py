"""An OpenFlow socket on this side of a guest: what ovs-ofctl says to it goes to the switch there.

Starting ovs-ofctl here takes a tenth of the time that it takes in a user-mode kernel, whose every
system call is a signal.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from pathlib import Path
from typing import Final

from ovsct.errors import OvsctError
from ovsct.oracle.kernel.guest import Guest

_TURN: Final = 0.001
"""Seconds to wait for what ovs-ofctl says before the switch is heard again."""


class Relay:
    """A running program in a guest, as :class:`ovsct.oracle.ofctl.Ofctl` sees it. Close it.

    A thread of it talks to the guest.

    Args:
        guest: in which ``ovs_connect`` has been asked.
        bridge: its name.
    """

    def __init__(self, guest: Guest, bridge: str) -> None:
        self._guest = guest
        self._bridge = bridge
        self._failed: OvsctError | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.management(bridge)))
        self._listener.listen(1)
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def directory(self) -> Path:
        """That of the guest."""
        return self._guest.directory

    def management(self, bridge: str) -> Path:
        """The socket that ovs-ofctl is to talk to."""
        return self.directory / f"{bridge}.mgmt"

    def environment(self) -> dict[str, str]:
        """This process's own."""
        return dict(os.environ)

    def check(self) -> None:
        """Raise what went wrong while the guest was talked to.

        Raises:
            GuestDied: it ended.
        """
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Take no more connections. Safe to call twice."""
        if self._thread.is_alive():
            self._stop.close()
            self._thread.join()
        self._listener.close()
        self._stopped.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._stopped], [], [])
            if self._stopped in ready:
                return
            client, _ = self._listener.accept()
            with client:
                try:
                    self._pass_on(client)
                except OvsctError as error:
                    self._failed = error
                except OSError:
                    continue  # ovs-ofctl has gone

    def _pass_on(self, client: socket.socket) -> None:
        """Until one of both hangs up."""
        fresh = True
        while True:
            data = b""
            if select.select([client], [], [], _TURN)[0]:
                data = client.recv(1 << 16)
                if not data:
                    self._ask(b"", last=True)
                    return
            answer = self._ask(data, fresh=fresh)
            fresh = False
            client.sendall(bytes.fromhex(answer["data"]))
            if answer["closed"]:
                return

    def _ask(self, data: bytes, *, fresh: bool = False, last: bool = False) -> dict[str, str]:
        return self._guest.ask(
            "relay", bridge=self._bridge, data=data.hex(), fresh=fresh, last=last
        )
