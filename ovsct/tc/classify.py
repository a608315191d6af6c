"""The way of a packet through a port's chains (net/sched/cls_api.c ``__tcf_classify()``).

From the head of a chain, priority by priority, mask by mask: the first filter that matches runs
its actions, and their verdict is final unless it says ``continue``, ``reclassify`` or ``goto
chain``. The last two share one budget of 16 jumps.
"""

from __future__ import annotations

from typing import Final

from ovsct.lane import Drop, Output, Step, StepKind, Via
from ovsct.packet.fields import CT_INV, CT_TRK
from ovsct.packet.packet import Packet
from ovsct.tc.chains import Block, Chain
from ovsct.tc.dissect import header_key, outer_protocol
from ovsct.tc.filters import Installed
from ovsct.tc.keys import ETH_P_ALL, S_IN_PORT, S_LABEL, S_MARK, S_STATE, S_ZONE
from ovsct.tc.state import CT_STATES, Attached
from ovsct.tc.summed import Summed
from ovsct.tc.verdict import (
    EXT_MASK,
    GOTO_CHAIN,
    JUMP,
    MAX_ACTIONS,
    MAX_RECLASSIFY,
    OK,
    PIPE,
    RECLASSIFY,
    SHOT,
    UNSPEC,
    spell,
)

STALE: Final = -1
"""In place of a key: it must be read anew from the packet."""


class Pass:
    """One packet on its way through one port's filters: ``struct tc_skb_cb`` and its sk_buff.

    `length` is what counters add (bytes, see :class:`ovsct.tc.filters.Counter`); `post_ct`, `zone`,
    `manips` and the packet's `mru` are what a miss hands on to OVS. `pieces` are the payload sizes
    of the fragments that the packet hangs together from, empty once it was copied or flattened.

    `nest` redirects have led here, `depth` of them within each other. `bare` is whether its
    Ethernet header has been popped (the frame still has it). `beside` is what flower reads beside
    the packet: the device it came in on, the tunnel's metadata.
    `chain` is the last chain that was entered, `outputs` what has left so far, `drop` why a verdict
    took the packet.
    """

    __slots__ = (
        "_key", "bare", "beside", "chain", "depth", "drop", "egress", "length", "manips", "nest",
        "now", "outputs", "packet", "pieces", "port", "post_ct", "protocol", "steps", "summed",
        "zone",
    )  # fmt: skip

    def __init__(
        self, packet: Packet, port: int, now: float, outputs: list[Output],
        steps: list[Step] | None, nest: int,
    ) -> None:  # fmt: skip
        frame = packet.frame
        protocol = frame[12] << 8 | frame[13]
        if protocol < 0x0600:
            protocol = outer_protocol(frame)
        # The tag that reception takes off is no part of the length either.
        self.length = len(frame) - (18 if protocol in (0x8100, 0x88A8) else 14)
        self.packet = packet
        self.port = port
        self.beside = port << S_IN_PORT
        self.egress = False
        self.bare = False
        self.now = now
        self.protocol = protocol
        self.outputs = outputs
        self.steps = steps
        self.nest = nest
        self.depth = 0
        self.post_ct = False
        self.manips = 0
        self.zone = 0
        self.pieces: tuple[int, ...] = ()
        self.summed: Summed | None = None
        self.chain = 0
        self.drop: Drop | None = None
        self._key = STALE

    def changed(self) -> None:
        """The frame or its conntrack state is not what it was: the key must be read anew."""
        self._key = STALE

    def retyped(self) -> None:
        """The outermost Ethernet type may have changed as well."""
        self._key = STALE
        self.protocol = outer_protocol(self.packet.frame)

    @property
    def key(self) -> int:
        """The flower key of the packet as it is now (``fl_classify()``)."""
        key = self._key
        if key != STALE:
            return key
        packet = self.packet
        beside = self.beside
        conn = packet.conn
        if conn is not None:
            assert isinstance(conn, Attached)
            key = (
                header_key(packet)
                | beside
                | CT_STATES[packet.ct_info] << S_STATE
                | conn.zone << S_ZONE
                | conn.mark << S_MARK
                | conn.label << S_LABEL
            )
        elif self.post_ct:
            state = (CT_TRK | CT_INV) << S_STATE | self.zone << S_ZONE
            key = header_key(packet) | beside | state
        else:
            key = header_key(packet) | beside
        self._key = key
        return key

    def note(self, kind: StepKind, text: str) -> None:
        """Add a step to the trace, if there is one."""
        if self.steps is not None:
            self.steps.append(Step(Via.TC, kind, text))


def classify(p: Pass, block: Block, index: int = 0) -> int:
    """Run the packet through the chains of `block` from chain `index` on.

    Returns:
        A verdict; UNSPEC means that nothing matched in ``p.chain``.
    """
    jumps = 0
    chain = block.chains.get(index)
    p.chain = index
    if p.steps is not None:
        p.note(StepKind.CHAIN, f"chain {index}")
    while True:
        verdict = _chain(p, chain) if chain is not None else UNSPEC
        if verdict == RECLASSIFY:
            target = index
        elif verdict >= GOTO_CHAIN:
            target = verdict & EXT_MASK
        else:
            return verdict
        jumps += 1
        if jumps > MAX_RECLASSIFY:
            p.drop = Drop.CHAINS
            return SHOT
        chain = block.chains.get(target)
        p.chain = target
        if p.steps is not None:
            p.note(StepKind.CHAIN, f"chain {target}")


def _chain(p: Pass, chain: Chain) -> int:
    """One walk along a chain; UNSPEC at its end."""
    for proto in chain.protos:
        if proto.protocol not in (p.protocol, ETH_P_ALL):
            continue
        key = p.key
        for mask, find in proto.tables:
            found = find(key & mask)
            if found is not None:
                if p.steps is not None:
                    _note_filter(p, found)
                verdict = _execute(p, found)
                if verdict != UNSPEC:
                    return verdict
                break
    return UNSPEC


def _execute(p: Pass, found: Installed) -> int:
    """``tcf_action_exec()``: action by action until one does not say ``pipe``."""
    verdict = OK
    length = p.length
    now = p.now
    for act, counter in found.program:
        counter.packets += 1
        counter.bytes += length
        counter.used = now
        verdict = act(p)
        if verdict != PIPE:
            if JUMP <= verdict < GOTO_CHAIN:
                return _jump(p, found, verdict)
            return verdict
        length = p.length
    return verdict


def _jump(p: Pass, found: Installed, verdict: int) -> int:
    """``jump N``: from the first action again, N of them left out."""
    program = found.program
    for _ in range(MAX_ACTIONS - 1):
        skip = verdict & EXT_MASK & (MAX_ACTIONS - 1)
        if not 0 < skip <= len(program):
            return OK
        verdict = PIPE
        for act, counter in program[skip:]:
            counter.packets += 1
            counter.bytes += p.length
            counter.used = p.now
            verdict = act(p)
            if verdict != PIPE:
                break
        if not JUMP <= verdict < GOTO_CHAIN:
            return verdict
    return OK


def _note_filter(p: Pass, found: Installed) -> None:
    entry = found.filter
    actions = ", ".join(
        action.kind + (f" {spell(control)}" if (control := getattr(action, "control", PIPE)) != PIPE
                       else "")
        for action in entry.actions
    ) or "no actions"  # fmt: skip
    where = f"chain {entry.chain} prio {entry.prio} handle {entry.handle}"
    p.note(StepKind.FILTER, f"{where}: {actions}")
