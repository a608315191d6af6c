"""The way of a packet through the hardware, and what it hands up when it finds nothing.

mlx5's drivers/net/ethernet/mellanox/mlx5/core/en/tc_ct.c draws it: a rule of a chain that tracks
leads to the ct tables, a hit there sets the registers (state, zone, mark, label) and leads back to
the rest of the rule. No hit anywhere is a miss: what the registers hold goes up with the packet.

There is no connection tracking here: no windows, checksums, flags (but FIN and RST), TTL or
options are looked at, and nothing is committed or marked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ovsct.conntrack import tuples
from ovsct.lane import Drop, Output, Step, StepKind, Via
from ovsct.nic import rules as nic
from ovsct.nic.profile import Profile
from ovsct.nic.rules import Standing
from ovsct.nic.tables import CtTables, HwEntry, RuleTables
from ovsct.nic.words import note_hit, note_rule
from ovsct.packet import edit
from ovsct.packet.fields import CT_MASK, CT_TRK, SLOTS
from ovsct.packet.nat import rewrite_ipv4, rewrite_ipv6
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6, Packet
from ovsct.tc.dissect import header_key, outer_protocol
from ovsct.tc.keys import ETH_P_ALL, S_STATE, S_ZONE

VLANS_READ: Final = 2
MAX_TABLES: Final = 64
"""Chains that one packet can go through: the steering levels of a device are limited."""

_KEEP: Final = ~CT_MASK
_KEY_SHIFT: Final = tuples.KEY_SHIFT
_V4_MASK: Final = tuples.V4_MASK
_V4_ZONE: Final = tuples.V4_ZONE
_TRACKED: Final = CT_TRK << S_STATE
_ZONE_MASK: Final = SLOTS["ct_zone"].mask


class Sent(NamedTuple):
    """The hardware did it all: what left, or why nothing did."""

    outputs: list[Output]
    drop: Drop | None


class Missed(NamedTuple):
    """The packet goes up to software.

    `packet` is as the hardware left it, with the connection attached that it last hit; `chain` is
    the one that software begins with (its head). With `standing` it goes on at action number
    `action` of that rule's filter instead. `outputs` are the copies that have left already;
    `begun` says whether any rule was met at all.
    """

    outputs: list[Output]
    packet: Packet
    chain: int
    standing: Standing | None = None
    action: int = 0
    begun: bool = False


class Pipeline:
    """The hardware of a NIC: its tables, and the packets that run through them.

    `dirty_rules` and `dirty_entries` are what has counted since the driver last looked.
    """

    __slots__ = ("_chains", "_nat", "_plain", "_restore", "_resumes", "dirty_entries",
                 "dirty_rules", "software_flags")  # fmt: skip

    def __init__(self, profile: Profile, rules: RuleTables, ct: CtTables) -> None:
        self._chains = rules.chains
        self._nat = ct.nat
        self._plain = ct.plain
        self._restore = ct.restore
        self._resumes = profile.resume_at_action
        self.software_flags = profile.software_flags
        self.dirty_rules: list[Standing] = []
        self.dirty_entries: list[HwEntry] = []

    def run(self, packet: Packet, port: int, steps: list[Step] | None = None) -> Sent | Missed:
        """Take `packet`, parsed with a VLAN limit of 2, which came in on `port`; it is changed.

        Args:
            steps: a list to add the trace to, or None.
        """
        w = _Walk(packet, steps)
        for _ in range(MAX_TABLES):
            standing = None
            protocol, key = w.protocol, w.key
            for kind, mask, find in self._chains.get((port, w.chain), ()):
                if kind in (protocol, ETH_P_ALL):
                    standing = find(key & mask)
                    if standing is not None:
                        break
            else:
                return self._miss(w)
            w.begun = True
            program = standing.program
            if program is None:
                program = _compile(standing)
            if steps is not None:
                note_rule(steps, standing)
            for execute, action in program:
                end = execute(self, w, action, standing)
                if end is not None:
                    return end  # type: ignore[no-any-return]
            self._count(standing, w.size)
            if standing.onward is None:
                return Sent(w.outputs, None)
            w.chain = standing.onward
        return Sent(w.outputs, None if w.outputs else Drop.CHAINS)

    def _count(self, standing: Standing, size: int) -> None:
        standing.packets += 1
        standing.bytes += size
        if not standing.changed:
            standing.changed = True
            self.dirty_rules.append(standing)

    # -- actions: each returns what ends the packet's way, or None --------------------------------

    def track(self, w: _Walk, action: nic.Track, standing: Standing) -> Sent | Missed | None:
        """The ct tables; a hit sets the registers."""
        key = w.key
        if w.chain and _known(key, action, w.translated):
            return None
        tuple_ = (key >> _KEY_SHIFT) & _V4_MASK
        if tuple_ >> 104 == ETH_IPV4:
            tuple_ |= action.zone << _V4_ZONE
        else:
            tuple_ = tuples.from_key(key, action.zone)
        hit = None
        w.translated = False
        # Only TCP has these bits; an entry wants FIN and RST to be 0.
        if not key & self.software_flags:
            if action.nat:
                hit = self._nat.get(tuple_)
                w.translated = hit is not None
            if hit is None:
                hit = self._plain.get(tuple_)
        if hit is None:
            return self._untracked(w, action, standing)
        w.hit = hit
        hit.packets += 1
        hit.bytes += w.size
        if not hit.changed:
            hit.changed = True
            self.dirty_entries.append(hit)
        if w.steps is not None:
            note_hit(w.steps, hit)
        if w.translated and hit.nat:
            _translate(w.packet, hit)
            key = header_key(w.packet)
        w.key = key & _KEEP | hit.meta
        return None

    def clear(self, w: _Walk, action: nic.Clear, standing: Standing) -> None:
        """All registers of conntrack become zero."""
        w.key &= _KEEP
        w.hit = None
        w.translated = False

    def output(self, w: _Walk, action: nic.Output, standing: Standing) -> None:
        """The packet, as it is now, leaves."""
        frame = w.packet.frame
        w.outputs.append(Output(action.port, frame))
        if w.steps is not None:
            text = f"port {action.port}, {len(frame)} bytes"
            w.steps.append(Step(Via.HW, StepKind.OUTPUT, text))

    def discard(self, w: _Walk, action: nic.Discard, standing: Standing) -> Sent:
        """The end."""
        self._count(standing, w.size)
        if w.steps is not None:
            w.steps.append(Step(Via.HW, StepKind.DROP, Drop.FILTER.value))
        return Sent(w.outputs, None if w.outputs else Drop.FILTER)

    def change(self, w: _Walk, action: nic.NicAction, standing: Standing) -> None:
        """Headers change, and with them what later chains match."""
        packet = w.packet
        if isinstance(action, nic.Rewrite):
            edit.set_fields(packet, action.value, action.mask)
        elif isinstance(action, nic.PushVlan):
            edit.push_vlan(packet, action.tpid, action.tci)
            packet.reparse(packet.frame, VLANS_READ)
        else:
            edit.pop_vlan(packet)
            packet.reparse(packet.frame, VLANS_READ)
        w.protocol = outer_protocol(packet.frame)
        w.key = header_key(packet) | w.key & CT_MASK

    # -- to software ------------------------------------------------------------------------------

    def _untracked(
        self, w: _Walk, action: nic.Track, standing: Standing
    ) -> Sent | Missed:
        """No connection in hardware: where software goes on depends on the kernel."""
        if w.steps is not None:
            why = "FIN or RST" if w.key & self.software_flags else "no entry"
            text = f"ct zone {action.zone}: {why}; to software"
            w.steps.append(Step(Via.HW, StepKind.HARDWARE, text))
        missed = self._up(w)
        if self._resumes and isinstance(missed, Missed):
            return missed._replace(standing=standing, action=action.index)
        return missed

    def _miss(self, w: _Walk) -> Sent | Missed:
        if w.steps is not None:
            text = f"chain {w.chain}: no rule; to software"
            w.steps.append(Step(Via.HW, StepKind.HARDWARE, text))
        return self._up(w)

    def _up(self, w: _Walk) -> Sent | Missed:
        """mlx5e_tc_ct_restore_flow(): the connection is found again by the packet's own tuple."""
        packet = w.packet
        if w.hit is not None:
            tuple_ = tuple_of(header_key(packet), tuples.zone_of(w.hit.tuple))
            again = self._restore(tuple_) if tuple_ is not None else None
            if again is None:
                if w.steps is not None:
                    text = "the connection cannot be found again; lost"
                    w.steps.append(Step(Via.HW, StepKind.DROP, text))
                return Sent(w.outputs, None if w.outputs else Drop.LOST)
            packet.conn = again.entry
            packet.ct_info = again.info
        return Missed(w.outputs, packet, w.chain, begun=w.begun)


class _Walk:
    """One packet in hardware. `key` holds the registers too: ct_state, zone, mark and label lie in
    it as software would see them. `hit` is the connection last hit, `translated` whether the table
    that translates had it.
    """

    __slots__ = ("begun", "chain", "hit", "key", "outputs", "packet", "protocol", "size",
                 "steps", "translated")  # fmt: skip

    def __init__(self, packet: Packet, steps: list[Step] | None) -> None:
        frame = packet.frame
        protocol = frame[12] << 8 | frame[13]
        if protocol < 0x0600:
            protocol = outer_protocol(frame)
        self.packet = packet
        self.protocol = protocol
        self.size = len(frame)
        self.key = header_key(packet)
        self.outputs: list[Output] = []
        self.steps = steps
        self.begun = False
        self.chain = 0
        self.hit: HwEntry | None = None
        self.translated = False


_EXECUTE: Final[dict[type[nic.NicAction], Callable[..., Sent | Missed | None]]] = {
    nic.Track: Pipeline.track,
    nic.Clear: Pipeline.clear,
    nic.Output: Pipeline.output,
    nic.Discard: Pipeline.discard,
    nic.Rewrite: Pipeline.change,
    nic.PushVlan: Pipeline.change,
    nic.PopVlan: Pipeline.change,
}


def _compile(standing: Standing) -> tuple[tuple[Any, nic.NicAction], ...]:
    """The actions of a rule as calls; where it goes on is ``standing.onward``."""
    program = tuple(
        (_EXECUTE[type(action)], action)
        for action in standing.rule.actions
        if not isinstance(action, nic.Goto)
    )
    standing.program = program
    return program


def tuple_of(key: int, zone: int) -> int | None:
    """The tuple that a flower key has in `zone`; None if it is not IP."""
    tuple_ = (key >> _KEY_SHIFT) & _V4_MASK
    kind = tuple_ >> 104
    if kind == ETH_IPV4:
        return tuple_ | zone << _V4_ZONE
    if kind == ETH_IPV6:
        return tuples.from_key(key, zone)
    return None


def _known(key: int, action: nic.Track, translated: bool) -> bool:
    """The tables pre_ct and pre_ct_nat: was this packet looked up in this zone before?"""
    if not key & _TRACKED or (key & _ZONE_MASK) >> S_ZONE != action.zone:
        return False
    return translated or not action.nat


def _translate(packet: Packet, hit: HwEntry) -> None:
    family, _, src, dst, sport, dport, _ = hit.ends
    rewrite = rewrite_ipv4 if family == 4 else rewrite_ipv6
    rewrite(packet, src, dst, sport, dport, keep_conn=True)
