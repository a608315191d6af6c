"""``action ct`` (net/sched/act_ct.c ``tcf_ct_act()``), in the kernel's order of operations.

Fragments are put together, padding goes, a packet that already carries an entry of the zone keeps
it, one that the flow table knows gets it from there, all others go through conntrack; then NAT,
then commit, and what is established enters the flow table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ovsct.conntrack.netfilter import Netfilter, Verdict
from ovsct.conntrack.netfilter.entry import CONFIRMED, IS_REPLY, NAT_MASK, UNTRACKED, Entry
from ovsct.conntrack.request import Track
from ovsct.lane import Drop, StepKind
from ovsct.packet.fields import CT_INV, CT_STATE_NAMES, CT_TRK
from ovsct.packet.packet import (
    ETH_IPV4,
    ETH_IPV6,
    METADATA_KEEP,
    PROTO_TCP,
    VLAN_TYPES,
    Packet,
)
from ovsct.tc.dissect import dissect
from ovsct.tc.pieces import TCP_HEADER
from ovsct.tc.state import CT_STATES
from ovsct.tc.summed import Summed
from ovsct.tc.verdict import CONSUMED, SHOT

if TYPE_CHECKING:
    from ovsct.tc.actions import Ct
    from ovsct.tc.classify import Pass
    from ovsct.tc.filters import Counter, Execute
    from ovsct.tc.ingress import TcIngress

_HEADER: Final = {ETH_IPV4: 20, ETH_IPV6: 40}
_FULL_MARK: Final = 0xFFFFFFFF
_FULL_LABEL: Final = (1 << 128) - 1


def make_ct(action: Ct, counter: Counter, engine: TcIngress) -> Execute:
    """The action made ready to run."""
    if action.track is None:
        return _make_clear(action.control)
    return _Ct(action.track, action.control, counter, engine).run


def _make_clear(control: int) -> Execute:
    def clear(p: Pass) -> int:
        packet = p.packet
        p.post_ct = False
        if packet.conn is not None:
            Netfilter.detach(packet, UNTRACKED)
        p.changed()
        return control

    return clear


class _Ct:
    """One ct action that tracks."""

    __slots__ = ("_commit", "_control", "_counter", "_drop_on_refusal", "_engine", "_flows",
                 "_force", "_label", "_mark", "_nat", "_netfilter", "_track", "_zone")  # fmt: skip

    def __init__(
        self, track: Track, control: int, counter: Counter, engine: TcIngress
    ) -> None:
        self._counter = counter
        self._track = track
        self._zone = track.zone
        self._commit = track.commit
        self._force = track.force
        self._nat = track.nat is not None
        self._mark = track.mark if track.mark is not None and track.mark[1] else None
        self._label = track.label if track.label is not None and track.label[1] else None
        self._control = control
        self._engine = engine
        self._netfilter = engine.netfilter
        self._flows = engine.flows
        # 6.1 goes on with the packet as +inv where later kernels drop it.
        self._drop_on_refusal = engine.netfilter.kernel != "6.1"

    def run(self, p: Pass) -> int:
        """``tcf_ct_act()``."""
        packet = p.packet
        held = self._prepare(p, packet)
        if held is not None:
            return held
        packet = p.packet
        known = False
        if not self._cached(packet):
            known = self._flows.lookup(packet, self._zone, p.now)
            if not known:
                summed = p.summed
                if summed is None:
                    p.summed = summed = Summed()
                verdict = summed.track(self._netfilter, packet, self._zone, p.now)
                if verdict is not Verdict.ACCEPT:
                    Netfilter.detach(packet)
                    if self._drop_on_refusal:
                        return self._refuse(p)
        entry = packet.conn
        if entry is not None:
            assert isinstance(entry, Entry)
            if self._nat:
                if self._netfilter.nat(packet, self._track, p.now) != Verdict.ACCEPT:
                    return self._refuse(p)
                # Nothing takes back what an earlier one has set, of whatever zone it was.
                p.manips |= self._netfilter.manips
                if p.pieces:
                    _pull_header(p, entry)
            if self._commit and not self._do_commit(p, packet, entry):
                return self._refuse(p)
            if not known:
                self._flows.process(packet, p.now)
        if p.summed is not None and not known:
            p.summed.looked(packet)
        p.post_ct = True
        p.zone = self._zone
        if packet.mru:
            # qdisc_pkt_len is looked at anew after defragmentation, and only then.
            p.length = len(packet.frame) - packet.l3
        p.changed()
        if p.steps is not None:
            self._note(p, known)
        return self._control

    def _prepare(self, p: Pass, packet: Packet) -> int | None:
        """Is it IP, is it whole, is it trimmed? A verdict if the packet ends here."""
        frame = packet.frame
        protocol = p.protocol
        if protocol in VLAN_TYPES:
            protocol = frame[16] << 8 | frame[17]
            if protocol in VLAN_TYPES:
                return self._behind_two_tags(p)
        if protocol not in (ETH_IPV4, ETH_IPV6):
            return self._refuse(p, Drop.NOT_IP)
        if len(frame) - packet.l3 < _HEADER[protocol]:
            return self._refuse(p, Drop.MALFORMED)
        if not self._engine.defragment(p, self._zone):
            if p.drop is not Drop.HELD:
                self._counter.drops += 1
            return CONSUMED
        if not packet.l4:
            _mend(packet)
        elif len(packet.frame) > packet.end:
            packet.frame = packet.frame[: packet.end]
        return None

    def _cached(self, packet: Packet) -> bool:
        """``tcf_ct_skb_nfct_cached()``: does the packet carry what a look-up would find?"""
        entry = packet.conn
        if entry is None:
            return False
        assert isinstance(entry, Entry)
        if entry.zone == self._zone:
            if not self._force or packet.ct_info < IS_REPLY:
                return True
            # The connection is wanted in this direction: away with the one that began it.
            if entry.status & CONFIRMED:
                self._engine.kill(entry)
        Netfilter.detach(packet, UNTRACKED)
        return False

    def _do_commit(self, p: Pass, packet: Packet, entry: Entry) -> bool:
        mark = self._mark
        if mark is not None:
            # The value itself is not masked: tcf_ct_act_set_mark().
            entry.mark = (mark[0] | entry.mark & ~mark[1]) & _FULL_MARK
        label = self._label
        if label is not None:
            # nf_connlabels_replace(): word by word (old & ~mask) ^ value.
            entry.label = (label[0] ^ entry.label & ~label[1]) & _FULL_LABEL
        return self._netfilter.confirm(packet, p.now) is Verdict.ACCEPT

    def _refuse(self, p: Pass, why: Drop = Drop.CONNTRACK) -> int:
        self._counter.drops += 1
        p.drop = why
        return SHOT

    def _behind_two_tags(self, p: Pass) -> int:
        """Two tags: the network header is the inner tag, and act_ct reads that as an IP header.

        What it takes for the fragment offset is then IPv4's total length, and ip_defrag() frees
        the packet as a bad fragment; for IPv6 the extension headers make no sense.
        """
        return self._refuse(p, Drop.NOT_IP)

    def _note(self, p: Pass, by_flow_table: bool) -> None:
        track = self._track
        words = f"ct {'commit ' if track.commit else ''}zone {track.zone}"
        entry = p.packet.conn
        state, where = CT_TRK | CT_INV, ""
        if isinstance(entry, Entry):
            state = CT_STATES[p.packet.ct_info]
            if by_flow_table:
                where = ", by the flow table: conntrack was not asked"
            elif not entry.status & CONFIRMED:
                where = ", not committed"
        names = "|".join(name for name, bit in CT_STATE_NAMES if state & bit)
        p.note(StepKind.CONNTRACK, f"{words}: ct_state={names}{where}")


def _pull_header(p: Pass, entry: Entry) -> None:
    """Translating pulls the TCP header together, if it began in a shorter fragment."""
    if p.pieces[0] < TCP_HEADER and entry.proto == PROTO_TCP and entry.status & NAT_MASK:
        p.pieces = ()


def _mend(packet: Packet) -> None:
    """See an IPv4 packet that is shorter than it says as the kernel does: by what is there.

    OVS looks no further at such a packet. Conntrack refuses it if its protocol has a checksum or
    a length of its own, and tracks it by its addresses if not.
    """
    frame, l3 = packet.frame, packet.l3
    header = (frame[l3] & 0x0F) * 4
    if frame[l3] >> 4 != 4 or header < 20 or len(frame) - l3 < header:
        return
    packet.key = packet.key & METADATA_KEEP | dissect(frame)
    packet.l4 = l3 + header
    packet.end = len(frame)
