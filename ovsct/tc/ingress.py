"""TC at the hooks of every port: filters in, packets through (net/core/dev.c).

:class:`TcIngress` holds the filters of all ports and runs packets through them. It is the whole
of the lane ``tc-script`` and the first half of the lane ``tc``, where OVS takes what TC did not
finish.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final, NamedTuple

from ovsct.conntrack.flowtable import FlowTable
from ovsct.conntrack.netfilter import Entry, Netfilter
from ovsct.conntrack.netfilter.entry import UNTRACKED
from ovsct.conntrack.netfilter.fragments import HELD, WHOLE
from ovsct.errors import OvsctError
from ovsct.lane import STACK, Connection, Drop, Event, Output, Step, StepKind
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import ETH_IPV4, PROTO_TCP, Packet
from ovsct.tc import actions as act
from ovsct.tc.act_ct import make_ct
from ovsct.tc.act_mirred import make_gact, make_mirred
from ovsct.tc.act_police import make_police, make_sample
from ovsct.tc.act_rewrite import (
    TUNNEL,
    VLANS_READ,
    make_csum,
    make_mpls,
    make_pedit,
    make_skbedit,
    make_tunnel_key,
    make_vlan,
    network_header,
)
from ovsct.tc.chains import Block, FilterError
from ovsct.tc.classify import Pass, classify
from ovsct.tc.filters import Counter, Execute, Filter, Installed
from ovsct.tc.pieces import TCP_HEADER, send_in_pieces
from ovsct.tc.registry import Registry
from ovsct.tc.verdict import CONSUMED, QUEUED, SHOT, STOLEN, TRAP, UNSPEC

NEST_LIMITS: Final = {"6.1": 10_000, "6.12": 3}
"""Redirects into an ingress that may follow each other.

6.12 has MIRRED_DEFER_LIMIT. 6.1 puts such a packet into the receive queue and has no limit: it
would spin for ever where this gives up.
"""


_QUEUE_REFUSED: Final = (
    'act_skbedit: "queue_mapping" option on receive side is hardware only, use skip_sw'
)
"""tcf_skbedit_init() since 6.2."""


def _sets_queue(action: act.Action) -> bool:
    return isinstance(action, act.Skbedit) and action.queue is not None


class Fate(StrEnum):
    """What became of a packet that came in. Closed."""

    SENT = "sent"
    """A redirect took it, or an action swallowed it (stolen, trap); what left is in `outputs`."""
    HELD = "held"
    """A fragment that waits for the others."""
    DROP = "drop"
    STACK = "stack"
    """A filter let it pass."""
    MISS = "miss"
    """No filter matched in chain `chain`: to the stack, or, with tc_skb_ext, on to OVS."""


class Result(NamedTuple):
    """One packet's way through TC.

    `packet` is the packet as it was at the end, `chain` the chain in which nothing matched;
    `post_ct`, `zone` and `manips` (SRC_NAT, DST_NAT: what any ct action of the way has translated)
    complete what ``struct tc_skb_ext`` hands on (`packet` has the mru).
    """

    fate: Fate
    outputs: list[Output]
    drop: Drop | None
    packet: Packet
    chain: int
    post_ct: bool
    zone: int
    manips: int


_FRAGMENT: Final = SLOTS["nw_frag"].mask

_FATES: Final = {
    STOLEN: Fate.SENT, QUEUED: Fate.SENT, TRAP: Fate.SENT, CONSUMED: Fate.SENT, SHOT: Fate.DROP,
    UNSPEC: Fate.MISS,
}  # fmt: skip
"""sch_handle_ingress(): every other verdict lets the packet pass."""

_MAKERS: Final[dict[type[act.Action], Callable[[Any, Counter, TcIngress], Execute]]] = {
    act.Gact: make_gact,
    act.Ct: make_ct,
    act.Mirred: make_mirred,
    act.Pedit: make_pedit,
    act.Csum: make_csum,
    act.Vlan: make_vlan,
    act.Mpls: make_mpls,
    act.Skbedit: make_skbedit,
    act.Police: make_police,
    act.Sample: make_sample,
    act.TunnelKey: make_tunnel_key,
}
"""How each action is made ready to run."""


class TcIngress:
    """The ingress filters of a host's ports, and what they share.

    Args:
        ports: the ports that are there (and up).
        netfilter: the conntrack of the host; its kernel is the kernel of TC too.
        own_ports: those of the ports behind which is the host's own stack: what comes in there and
            nothing takes leaves by them, and not by ``STACK``.
    """

    def __init__(
        self, ports: Iterable[int], netfilter: Netfilter, own_ports: Iterable[int] = ()
    ) -> None:
        self.ports = frozenset(ports)
        self._own_ports = frozenset(own_ports)
        self.netfilter = netfilter
        self.kernel = netfilter.kernel
        self.flows = FlowTable(netfilter)
        self.blocks: dict[int, Block] = {port: Block() for port in self.ports}
        self.egress: dict[int, Block] = {}
        """Filters at the egress of ports (clsact); most ports have none."""
        self.shared: dict[int, Block] = {}
        self.actions = Registry(self._ready)
        self.made_at = 0.0
        """When the action that is being made is made, in seconds."""
        self.nest_limit = NEST_LIMITS[self.kernel]
        self.fragments = netfilter.fragments
        """Shared with the OVS datapath: both name their queues by the zone alone."""
        self._queued = self.kernel == "6.1"
        self._backlog: list[Pass] = []

    # -- filters --------------------------------------------------------------------------------

    def add(self, entry: Filter, now: float = 0.0) -> Installed:
        """``tc filter add``.

        Raises:
            FilterError: the kernel would refuse it.
            InputError: the port is not there.
        """
        return self._block_of(entry).add(entry, lambda made: self._install(made, now))

    def replace(self, entry: Filter, now: float = 0.0) -> Installed:
        """``tc filter replace``: a filter with the same handle gives way.

        Raises:
            FilterError: the kernel would refuse it.
        """
        block = self._block_of(entry)
        old = None
        if entry.handle:
            with suppress(FilterError):
                old = block.find(entry.chain, entry.prio, entry.handle, entry.protocol)
        made = block.add(entry, lambda made: self._install(made, now), exclusive=False)
        if old is not None:
            self.actions.release(old.actions)
        return made

    def delete(
        self, port: int, chain: int = 0, prio: int = 0, handle: int = 0,
        protocol: int | None = None, *, egress: bool = False, block: int = 0,
    ) -> list[Installed]:  # fmt: skip
        """``tc filter del``: one filter, all of a priority, or all of a chain.

        Raises:
            FilterError: there is none.
        """
        where = self._block_of(Filter(port, egress=egress, block=block))
        gone = where.delete(chain, prio, handle, protocol)
        for each in gone:
            self.actions.release(each.actions)
        return gone

    def find(self, entry: Filter, protocol: int | None = None) -> Installed:
        """The filter at the place of `entry`.

        Raises:
            FilterError: there is none.
        """
        return self._block_of(entry).find(entry.chain, entry.prio, entry.handle, protocol)

    def filters(self, port: int, *, egress: bool = False, block: int = 0) -> Iterator[Installed]:
        """The filters of a port (at ingress, or egress) or block, in the order of ``show``."""
        if block:
            return iter(self._block_of(Filter(0, block=block)))
        if egress:
            return iter(self.egress.get(port, ()))
        return iter(self._block(port))

    def hooks(self) -> Iterator[tuple[str, Iterator[Installed]]]:
        """Where filters can be, as ``tc filter show`` calls it, and those that are there."""
        for port in sorted(self.ports):
            block = self.blocks[port]
            if block not in self.shared.values():
                yield f"dev p{port} ingress", iter(block)
            yield f"dev p{port} egress", iter(self.egress.get(port, ()))
        for index, block in self.shared.items():
            yield f"block {index}", iter(block)

    def share(self, port: int, block: int) -> None:
        """``tc qdisc add dev p<n> ingress_block N ingress``: the port uses the block's filters."""
        self.blocks[port] = self.shared.setdefault(block, Block())

    def unshare(self, port: int) -> None:
        """The qdisc of the port goes: filters of its own with it, those of a block stay in that."""
        for block in (self.blocks[port], self.egress.get(port)):
            if block is not None and block not in self.shared.values():
                for chain in list(block.chains):
                    for each in block.delete(chain):
                        self.actions.release(each.actions)
        self.blocks[port] = Block()
        self.egress.pop(port, None)

    def _block_of(self, entry: Filter) -> Block:
        if entry.block:
            block = self.shared.get(entry.block)
            if block is None:
                raise FilterError(
                    "Block of given index was not found", token=str(entry.block),
                    hint=f"put `tc qdisc add dev p<n> ingress_block {entry.block} ingress` first",
                )  # fmt: skip
            return block
        if entry.egress:
            self._block(entry.port)
            return self.egress.setdefault(entry.port, Block())
        block = self._block(entry.port)
        if self.shared and block in self.shared.values():
            raise FilterError(
                "This filter block is shared. Please use the block index to manipulate the filters",
                token=f"p{entry.port}",
            )
        return block

    def _block(self, port: int) -> Block:
        block = self.blocks.get(port)
        if block is None:
            raise OvsctError(f"TC has no port {port}")
        return block

    def _ready(self, action: act.Action, counter: Counter, now: float) -> Execute:
        self.made_at = now
        return _MAKERS[type(action)](action, counter, self)

    def _install(self, entry: Filter, now: float) -> Installed:
        # A shared block is of no hook (TCA_ACT_FLAGS_AT_INGRESS).
        at_ingress = not (entry.block or entry.egress or entry.skip_sw)
        for action in entry.actions:
            if self.kernel != "6.1" and at_ingress and _sets_queue(action):
                raise FilterError(_QUEUE_REFUSED, token="queue_mapping")
        return Installed(entry, self.actions.bind(entry, now), now)

    # -- packets --------------------------------------------------------------------------------

    def run(
        self, packet: Packet, port: int, now: float, chain: int = 0,
        steps: list[Step] | None = None,
    ) -> Result:  # fmt: skip
        """Take `packet`, which came in on `port` at `now` (seconds).

        Args:
            packet: parsed with a VLAN limit of 1 or 2; it is changed.
            chain: where to begin, if a NIC has already done the chains before.
            steps: a list to add the trace to, or None.
        """
        p = Pass(packet, port, now, [], steps, 0)
        block = self._block(port)
        if port in self._own_ports:
            block = self.egress.get(port) or Block()
            p.egress = True
            p.length = len(packet.frame)
        result = self._finish(p, classify(p, block, chain))
        while self._backlog:
            self._receive(self._backlog.pop(0))
        return result

    @staticmethod
    def _finish(p: Pass, verdict: int) -> Result:
        fate = _FATES.get(verdict, Fate.STACK)
        drop = p.drop
        if fate is Fate.SENT and drop is Drop.HELD:
            fate = Fate.HELD
        elif drop is None and (fate is Fate.DROP or (fate is Fate.SENT and not p.outputs)):
            drop = Drop.FILTER
        if drop is not None and p.steps is not None:
            p.note(StepKind.DROP, drop.value)
        return Result(fate, p.outputs, drop, p.packet, p.chain, p.post_ct, p.zone, p.manips)

    def come_in(self, p: Pass, port: int) -> bool:
        """``mirred ingress``: a copy comes in at `port`; what nothing takes is the stack's.

        6.1 receives it when the present packet is through, 6.12 at once.

        Returns:
            Whether it was received at once, and dropped.
        """
        packet = p.packet.fork()
        packet.conn = None
        packet.ct_info = 0
        packet.mru = 0
        inner = Pass(packet, port, p.now, p.outputs, p.steps, p.nest + 1)
        inner.beside |= p.beside & TUNNEL
        if p.summed is not None:
            inner.summed = p.summed.copy()
        if self._queued:
            self._backlog.append(inner)
            return False
        return self._receive(inner) is Fate.DROP

    def send(self, p: Pass, port: int, frame: bytes) -> bool:
        """``dev_queue_xmit()``: the frame leaves at `port`, if the filters at its egress let it.

        Returns:
            Whether they dropped it.
        """
        block = self.egress.get(port)
        if block is None:
            p.outputs.append(Output(port, frame))
            return False
        packet = p.packet.fork()
        packet.conn = None
        packet.ct_info = 0
        packet.mru = 0
        if frame is not packet.frame:
            packet.reparse(frame, VLANS_READ)
        inner = Pass(packet, port, p.now, p.outputs, p.steps, p.nest + 1)
        inner.depth = p.depth + 1
        inner.egress = True
        inner.beside = p.beside
        # The tag stands beside the packet; the Ethernet header counts here.
        inner.length += 14
        if p.summed is not None:
            inner.summed = p.summed.copy()
        verdict = classify(inner, block)
        fate = _FATES.get(verdict, Fate.STACK)
        if fate in (Fate.STACK, Fate.MISS):
            p.outputs.append(Output(port, inner.packet.frame))
        elif inner.drop is not None and inner.steps is not None:
            inner.note(StepKind.DROP, inner.drop.value)
        return fate is Fate.DROP

    def _receive(self, p: Pass) -> Fate:
        result = self._finish(p, classify(p, self._block(p.port)))
        if result.fate in (Fate.STACK, Fate.MISS):
            place = p.port if p.port in self._own_ports else STACK
            p.outputs.append(Output(place, result.packet.frame))
        return result.fate

    # -- time and state -------------------------------------------------------------------------

    def advance(self, now: float) -> Sequence[Event]:
        """Let flows and connections age until `now` (seconds)."""
        events = [
            *self.flows.advance(now), *self.netfilter.advance(now), *self.fragments.advance(now),
        ]  # fmt: skip
        events.sort(key=lambda event: event.at)
        return events

    def connections(self, now: float) -> Sequence[Connection]:
        """What is tracked at `now`."""
        return self.netfilter.connections(now)

    def kill(self, entry: Entry) -> None:
        """``nf_ct_kill()`` of a connection that the flow table may know."""
        self.netfilter.kill(entry)

    def defragment(self, p: Pass, zone: int) -> bool:
        """``tcf_ct_handle_fragments()``: put `p.packet` together if it is a fragment.

        Returns:
            Whether to go on; otherwise `p.drop` says why not.
        """
        packet = p.packet
        if packet.l4 and not packet.key & _FRAGMENT:
            return True
        if packet.conn is not None or packet.ct_info == UNTRACKED:
            return True
        if not self._is_fragment(packet):
            return True
        if packet.frame[packet.l3] >> 4 == 4:
            # Padding is cut off only afterwards: behind a last fragment it becomes data.
            packet.end = len(packet.frame)
        answer = self.fragments.gather(packet, zone, p.now)
        if answer != WHOLE:
            p.drop = Drop.HELD if answer == HELD else Drop.FRAGMENT
            return False
        sizes = self.fragments.sizes
        frame, l3 = packet.frame, packet.l3
        tcp = frame[l3] >> 4 == 4 and frame[l3 + 9] == PROTO_TCP and frame[l3 + 8] > 1
        # The flow table's look-up pulls the TCP header together, out of the second fragment.
        p.pieces = () if tcp and sizes[0] < TCP_HEADER else sizes
        return True

    @staticmethod
    def _is_fragment(packet: Packet) -> bool:
        frame = packet.frame
        l3, protocol = network_header(frame)
        if protocol == ETH_IPV4:
            return frame[l3] >> 4 == 4 and bool(frame[l3 + 6] & 0x3F or frame[l3 + 7])
        return bool(packet.key & _FRAGMENT)

    def fragment(self, p: Pass, port: int, pieces: tuple[int, ...]) -> bool:
        """``sch_frag_xmit_hook()``: send `p.packet` in `pieces`, or (empty) cut anew.

        Returns:
            Whether one was dropped on its way out; the others behind it are then not sent.

        Raises:
            OvsctError: it has two tags, or IPv6 extension headers.
        """
        l3, protocol = network_header(p.packet.frame)
        for frame in send_in_pieces(p.packet, l3, protocol, pieces, self.netfilter.choose):
            if self.send(p, port, frame):
                return True
        return False
