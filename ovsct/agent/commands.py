"""The commands of the control socket, by the names that ovs-vswitchd has for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from ovsct import __version__
from ovsct.agent.clock import Clock
from ovsct.agent.ct_commands import CtCommands
from ovsct.agent.model import ModelBridge
from ovsct.agent.trace_text import trace, trace_packet_out
from ovsct.agent.unixctl import Command, list_commands
from ovsct.conntrack.select import parse_selection
from ovsct.errors import OvsctError
from ovsct.packet.fields import SLOTS

_IN_PORT: Final = SLOTS["in_port"]
_PORT_NAME = re.compile(r"p(\d+)\Z")
_MOST: Final = 16


class Commands:
    """The commands of one switch.

    Args:
        models: its bridges.
        clock: its clock.
        leave: ends the program.
    """

    def __init__(
        self, models: Sequence[ModelBridge], clock: Clock, leave: Callable[[], None]
    ) -> None:
        self._models = {model.bridge.name: model for model in models}
        self._model = models[0]
        self._clock = clock
        self._leave = leave
        self.table: dict[str, Command] = {
            **CtCommands(self._model).table,
            "dpctl/dump-conntrack": Command("[-m] [-s] [dp] [zone=zone]", 0, 4, self._dump_ct),
            "dpctl/dump-flows": Command("[--no-names] [dp]", 0, 6, self._dump),
            "dpctl/flush-conntrack": Command(
                "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", 0, 4, self._flush_ct
            ),
            "dpif/dump-flows": Command(
                "[--no-names] bridge", 1, _MOST, self._dump_bridge
            ),
            "exit": Command("[--cleanup]", 0, 1, self._exit),
            "fdb/flush": Command("[bridge]", 0, 1, self._fdb_flush),
            "fdb/show": Command("bridge", 1, 1, self._fdb_show),
            "list-commands": Command("", 0, 0, lambda _: list_commands(self.table)),
            "netdev-dummy/receive": Command(
                "name [--qid queue_id] packet...", 2, 1 << 16, self._receive
            ),
            "ofproto/list": Command("", 0, 0, self._list),
            "ofproto/trace": Command(
                "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]",
                1, _MOST, self._trace,
            ),
            "ofproto/trace-packet-out": Command(
                "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...]"
                " [-generate|packet] actions",
                2, _MOST, self._trace_out,
            ),
            "revalidator/purge": Command("", 0, 0, self._purge),
            "time/stop": Command("", 0, 0, self._stop),
            "time/warp": Command("[large_msecs] msecs", 1, 2, self._warp),
            "version": Command("", 0, 0, lambda _: f"ovsct {__version__} (Open vSwitch 3.1)\n"),
        }  # fmt: skip

    def _bridge(self, name: str) -> ModelBridge:
        model = self._models.get(name)
        if model is None:
            raise OvsctError("no such bridge")
        return model

    # -- the datapath --------------------------------------------------------------------------

    @staticmethod
    def _named(arguments: Sequence[str]) -> list[str]:
        for argument in arguments:
            if argument.startswith("-") and argument != "--no-names":
                raise OvsctError(f"{argument}: not supported here")
        return [argument for argument in arguments if not argument.startswith("-")]

    def _dump(self, arguments: Sequence[str]) -> str:
        for name in self._named(arguments):
            if name not in ("ovs-system", "dummy@ovs-dummy"):
                self._bridge(name)
        return "".join(f"{line}\n" for line in self._model.lane.dump_flows())

    def _dump_bridge(self, arguments: Sequence[str]) -> str:
        """Of a bridge: the datapath flows of packets that came in on its ports."""
        names = self._named(arguments)
        bridges = {self._bridge(name).bridge for name in names}
        backer = self._model.bridge.backer
        flows = self._model.datapath.megaflows()
        lines = zip(flows, self._model.lane.dump_flows(), strict=True)
        return "".join(
            f"{line}\n"
            for flow, line in lines
            if backer.entry(_IN_PORT.get(flow.key), self._model.bridge)[0] in bridges
        )

    def _dump_ct(self, arguments: Sequence[str]) -> str:
        zone = None
        options: set[str] = set()
        for argument in arguments:
            if argument.startswith("zone="):
                if not argument[5:].isdecimal():
                    raise OvsctError(f"{argument}: no zone")
                zone = int(argument[5:])
            elif argument in ("-m", "-s"):
                options.add(argument)
            elif argument.startswith("-"):
                raise OvsctError(f"{argument}: not supported here")
        connections = self._model.lane.connections()
        lines = self._model.lane.dump_conntrack("".join(["dpctl", *sorted(options)]))
        return "".join(
            f"{line}\n"
            for line, connection in zip(lines, connections, strict=True)
            if zone is None or connection.zone == zone
        )

    def _flush_ct(self, arguments: Sequence[str]) -> str:
        words = list(arguments)
        if words and words[0] and "=" not in words[0]:
            words.pop(0)  # the datapath, of which there is one
        lane = self._model.lane
        lane.tracker.flush(parse_selection(words), lane.now)
        return ""

    def _purge(self, _: Sequence[str]) -> str:
        for model in self._models.values():
            model.rules.note_use()
        self._model.datapath.flush()
        return ""

    def _receive(self, arguments: Sequence[str]) -> str:
        found = _PORT_NAME.match(arguments[0])
        backer = self._model.bridge.backer
        if found is None or int(found[1]) not in backer.ports:
            raise OvsctError("no such dummy netdev")
        bridge, _ = backer.entry(int(found[1]), self._model.bridge)
        model = self._models[bridge.name]
        for text in arguments[1:]:
            try:
                frame = bytes.fromhex(text)
            except ValueError:
                raise OvsctError("bad packet or flow syntax") from None
            if len(frame) < 14:
                raise OvsctError(f"a frame of {len(frame)} bytes is shorter than its header")
            model.receive(int(found[1]), frame)
        return ""

    # -- the bridge ----------------------------------------------------------------------------

    def _fdb_show(self, arguments: Sequence[str]) -> str:
        model = self._bridge(arguments[0])
        lines = [" port  VLAN  MAC                Age\n"]
        for vlan, mac, port, used in model.bridge.fdb:
            address = mac.to_bytes(6, "big").hex(":")
            named = "LOCAL" if port == 0xFFFE else str(port)
            lines.append(f"{named:>5}  {vlan:>4}  {address}  {int(model.now - used):>3}\n")
        return "".join(lines)

    def _fdb_flush(self, arguments: Sequence[str]) -> str:
        for model in [self._bridge(name) for name in arguments] or self._models.values():
            model.forget_addresses()
        return "table successfully flushed\n"

    def _list(self, _: Sequence[str]) -> str:
        return "".join(f"{name}\n" for name in self._models)

    def _trace(self, arguments: Sequence[str]) -> str:
        self._alone()
        return trace(self._model, arguments)

    def _trace_out(self, arguments: Sequence[str]) -> str:
        self._alone()
        return trace_packet_out(self._model, arguments)

    def _alone(self) -> None:
        if len(self._models) > 1:
            raise OvsctError("ofproto/trace of joined bridges is not modelled: use ovsct trace")

    # -- time ----------------------------------------------------------------------------------

    def _stop(self, _: Sequence[str]) -> str:
        self._clock.stop()
        return ""

    def _warp(self, arguments: Sequence[str]) -> str:
        numbers = [int(text) if text.isdecimal() else 0 for text in arguments]
        if not all(numbers):
            raise OvsctError("invalid MSECS")
        total, step = numbers[0], numbers[-1]
        while total > 0:
            self._clock.warp(min(step, total) / 1000)
            self._model.advance(self._clock.now())
            total -= step
        return "warped\n"

    def _exit(self, _: Sequence[str]) -> str:
        self._leave()
        return ""
