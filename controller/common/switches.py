"""The switches that are connected, and what each of them is known to hold.

A change is sent as the difference to what a switch holds (new groups and flows first, old ones
after), then a barrier; it is done when the switch has answered the barrier, and refused if an
error came before that.

When a switch connects, it may hold an older policy, by which it goes on forwarding: all flows are
sent, and then only those of other generations are deleted, so that nothing stops meanwhile.
"""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from controller.common import wire
from controller.common.flows import Flow, Program
from controller.common.framework import hub

LOG: Final = logging.getLogger("controller.switches")
PATIENCE: Final = 10.0
"""Seconds that a switch may take to answer a barrier."""

_POLL: Final = 0.002
_GENERATIONS: Final = 1 << 16


class SwitchRefused(Exception):
    """A switch answered a change with an error, or not at all."""


@dataclass
class Batch:
    """Messages on their way to one switch, and what has come back."""

    program: Program
    sent: dict[int, str] = field(default_factory=dict)
    barrier: int = 0
    done: bool = False
    errors: list[str] = field(default_factory=list)


@dataclass
class Switch:
    """One connected switch: `held` is what it confirmed, `cookie` that of our flows there."""

    datapath: Any
    id: int
    cookie: int = 0
    held: Program | None = None
    batch: Batch | None = None

    def data(self) -> dict[str, Any]:
        """For a REST client."""
        return {
            "id": f"{self.id:016x}",
            "ready": self.held is not None,
            "flows": len(self.held.flows) if self.held else 0,
            "refused": list(self.batch.errors) if self.batch else [],
        }


class Switches:
    """All connected switches. `app` marks the flows that are ours; others are left alone."""

    def __init__(self, app: int) -> None:
        self._app = app
        self._generations = itertools.count(random.randrange(_GENERATIONS))
        self._switches: dict[int, Switch] = {}
        self._sending = hub.Semaphore(1)

    # -- what the controller library tells --------------------------------------------------------

    def connected(self, datapath: Any, program: Program) -> None:
        """A switch is there: whatever of ours it holds is replaced."""
        switch = Switch(datapath, datapath.id)
        self._switches[datapath.id] = switch
        LOG.info("switch %016x connected", datapath.id)
        self._send(switch, program)

    def gone(self, datapath: Any) -> None:
        """A connection has ended."""
        switch = self._switches.get(datapath.id)
        if switch is not None and switch.datapath is datapath:
            del self._switches[datapath.id]
            LOG.info("switch %016x is gone", datapath.id)

    def barrier_passed(self, datapath: Any, xid: int) -> None:
        """A switch has done what came before a barrier."""
        switch = self._of(datapath)
        if switch is None or switch.batch is None or switch.batch.barrier != xid:
            return
        batch = switch.batch
        for error in batch.errors:
            LOG.error("switch %016x: %s", switch.id, error)
        if not batch.errors:
            switch.held = batch.program
        batch.done = True

    def error(self, datapath: Any, xid: int, kind: int, code: int) -> None:
        """A switch has refused a message."""
        switch = self._of(datapath)
        batch = switch.batch if switch is not None else None
        what = batch.sent.get(xid) if batch is not None else None
        if batch is None or what is None:
            LOG.error("an OpenFlow error of type %d, code %d, to no message of ours", kind, code)
            return
        batch.errors.append(f"OpenFlow error type {kind}, code {code}, for: {what}")

    def _of(self, datapath: Any) -> Switch | None:
        switch = self._switches.get(datapath.id)
        return switch if switch is not None and switch.datapath is datapath else None

    # -- what the application asks ----------------------------------------------------------------

    def __iter__(self) -> Iterator[Switch]:
        return iter(list(self._switches.values()))

    def apply(self, program: Program) -> None:
        """Bring every switch to `program` and wait until all have confirmed.

        Raises:
            SwitchRefused: one did not; the others may hold the new program already.
        """
        waiting = [(switch, self._send(switch, program)) for switch in self]
        deadline = time.monotonic() + PATIENCE
        while any(self._of(switch.datapath) and not batch.done for switch, batch in waiting):
            if time.monotonic() > deadline:
                raise SwitchRefused(f"no answer from a switch within {PATIENCE:g} s")
            hub.sleep(_POLL)
        errors = [
            f"switch {switch.id:016x}: {error}"
            for switch, batch in waiting
            for error in batch.errors
        ]
        if errors:
            raise SwitchRefused("; ".join(errors[:3]))

    def catch_up(self, program: Program) -> None:
        """Send `program` to the switches that were sent another one: they connected meanwhile."""
        for switch in self:
            if switch.batch is None or switch.batch.program is not program:
                self._send(switch, program)

    def _send(self, switch: Switch, program: Program) -> Batch:
        with self._sending:
            return self._send_alone(switch, program)

    def _send_alone(self, switch: Switch, program: Program) -> Batch:
        """Send the difference; all of it, if it is not known what is there."""
        old, switch.held = switch.held, None
        batch = switch.batch = Batch(program)
        datapath = switch.datapath
        messages = (
            self._anew(switch, program) if old is None else self._change(switch, old, program)
        )
        for message, text in messages:
            datapath.set_xid(message)
            batch.sent[message.xid] = text
            datapath.send_msg(message)
        barrier = wire.barrier(datapath)
        datapath.set_xid(barrier)
        batch.barrier = barrier.xid
        datapath.send_msg(barrier)
        return batch

    def _anew(self, switch: Switch, program: Program) -> Iterator[tuple[Any, str]]:
        for group in program.groups:
            yield wire.group_mod(switch.datapath, group), str(group)
        generation = next(self._generations) % _GENERATIONS
        switch.cookie = wire.cookie_of(self._app, generation)
        yield from self._add(switch, program.flows)
        for message in wire.delete_others(switch.datapath, switch.cookie):
            yield message, "delete the flows of before"

    def _change(self, switch: Switch, old: Program, new: Program) -> Iterator[tuple[Any, str]]:
        known = {group.id: group for group in old.groups}
        for group in new.groups:
            if known.get(group.id) != group:
                yield wire.group_mod(switch.datapath, group), str(group)
        before = set(old.flows)
        yield from self._add(switch, (flow for flow in new.flows if flow not in before))
        kept = {flow.key for flow in new.flows}
        for flow in old.flows:
            if flow.key not in kept:
                message = wire.flow_mod(switch.datapath, flow, switch.cookie, delete=True)
                yield message, f"delete {flow}"
        for number in known.keys() - {group.id for group in new.groups}:
            yield wire.group_delete(switch.datapath, number), f"delete group {number}"

    def _add(self, switch: Switch, flows: Iterable[Flow]) -> Iterator[tuple[Any, str]]:
        for flow in flows:
            yield wire.flow_mod(switch.datapath, flow, switch.cookie), str(flow)
