"""TC filter to NIC rule, as a driver does it (mlx5 en_tc.c, en/tc/act/, en/tc_ct.c).

:func:`to_nic` reads a filter, what the NIC can do and the ports it has, and gives the rule or the
one reason why there is none. What TC models but no lowering writes, and what the driver takes but
this model does not, raises an error that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from ovsct.errors import OvsctError
from ovsct.lower.nic_reasons import NicReason, NicRefusal
from ovsct.lower.nic_rewrite import RewriteError, changes_ip, changes_tuple, rewrite
from ovsct.nic import rules as nic
from ovsct.nic.ingress import NotInHw
from ovsct.nic.profile import LabelMatch, Profile
from ovsct.packet.fields import CT_STATE_NAMES, CT_TRK, SLOTS
from ovsct.packet.packet import ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_RARP
from ovsct.tc import actions as tc
from ovsct.tc.filters import FLOWER, Filter
from ovsct.tc.keys import FIRST_FRAG
from ovsct.tc.verdict import EXT_MASK, JUMP, PIPE, SHOT, STOLEN, is_goto, spell

_STATE, _LABEL = SLOTS["ct_state"], SLOTS["ct_label"]
_PROTO, _TYPE = SLOTS["nw_proto"], SLOTS["dl_type"]
_FIRST: Final = FIRST_FRAG << SLOTS["nw_frag"].shift
_TCI1, _TPID1 = SLOTS["vlan_tci1"].mask, SLOTS["vlan_tpid1"].mask
_MPLS: Final = sum(SLOTS[name].mask for name in ("mpls_lse", "mpls_lse1", "mpls_lse2"))
_ADDRESSES: Final = SLOTS["nw_src"].mask | SLOTS["nw_dst"].mask | _PROTO.mask
_ARP: Final = SLOTS["arp_sha"].mask | SLOTS["arp_tha"].mask
_PORTS: Final = SLOTS["tp_src"].mask | SLOTS["tp_dst"].mask
_TTL: Final = SLOTS["nw_ttl"].mask
_ICMP: Final = (1, 58)
_MATCHED: Final = sum(
    SLOTS[name].mask
    for name in (
        "tcp_flags", "nw_frag", "nw_tos", "nw_ttl", "nw_proto", "tp_dst", "tp_src", "nw_dst",
        "nw_src", "dl_type", "dl_src", "dl_dst", "ct_state", "ct_zone", "ct_mark", "ct_label",
        "vlan_tci", "vlan_tpid", "vlan_tci1", "vlan_tpid1", "ipv6_dst", "ipv6_src",
    )
)  # fmt: skip
"""The slots that hardware matches in this model."""


class _Refused(Exception):
    """Carries a refusal out of the depth."""

    def __init__(self, reason: NicReason, words: str, bits: int = 0) -> None:
        self.refusal = NicRefusal(reason, words, bits)
        super().__init__(words)


def to_nic(entry: Filter, profile: Profile, ports: frozenset[int]) -> nic.NicRule | NicRefusal:
    """The rule that a NIC has for a filter, or why it has none.

    Args:
        entry: the filter, with chain and priority as installed.
        profile: what the NIC can do.
        ports: the ports of the NIC.

    Raises:
        OvsctError: a match or action that this model of a NIC does not have.
    """
    try:
        if entry.skip_hw:
            raise _Refused(NicReason.SKIP_HW, "the filter has skip_hw")
        if entry.kind != FLOWER:
            raise _Refused(NicReason.KIND, f"a {entry.kind} filter")
        if entry.chain > profile.max_chain:
            raise _Refused(NicReason.CHAIN, f"chain {entry.chain} is out of range")
        if entry.prio > profile.max_prio:
            raise _Refused(NicReason.PRIO, f"priority {entry.prio} is out of range")
        value, mask = _match(entry, profile)
        lowering = _Actions(entry, profile, ports)
        actions = lowering.lower()
        value, mask = lowering.untracked(value, mask)
    except _Refused as refused:
        return refused.refusal
    return nic.NicRule(entry.port, entry.chain, entry.prio, entry.protocol, value, mask, actions)


def offer(entry: Filter, profile: Profile, ports: frozenset[int]) -> nic.NicRule | NotInHw:
    """:func:`to_nic` as the NIC's ingress wants it (:data:`ovsct.nic.ingress.ToNic`)."""
    made = to_nic(entry, profile, ports)
    if isinstance(made, NicRefusal):
        return NotInHw(made.reason.value, made.words)
    return made


# -- what is matched ----------------------------------------------------------------------------


def _match(entry: Filter, profile: Profile) -> tuple[int, int]:
    """The match of the rule; the first limit that the filter's match runs into is raised."""
    value, mask = entry.value & entry.mask, entry.mask
    for limit in _LIMITS:
        limit(value, mask, profile)
    unknown = mask & ~_MATCHED
    if unknown:
        names = ", ".join(slot.name for slot in SLOTS.values() if slot.mask & unknown)
        raise OvsctError(f"a match on {names} is not modelled for a NIC")
    if mask & _LABEL.mask and profile.label_match is LabelMatch.EXACT:
        # The id stands for a whole label: that of key & mask.
        mask |= _LABEL.mask
    return value, mask


def _ct_state(value: int, mask: int, profile: Profile) -> None:
    wanted, looked = _STATE.get(value), _STATE.get(mask)
    bad = wanted & ~profile.ct_state_set
    if bad:
        words = f"matching on ct_state {_bits('+', bad)} isn't supported"
        raise _Refused(NicReason.CT_STATE_SET, words, bad << _STATE.shift)
    bad = looked & ~wanted & ~profile.ct_state_clear
    if bad:
        words = f"matching on ct_state {_bits('-', bad)} isn't supported"
        raise _Refused(NicReason.CT_STATE_CLEAR, words, bad << _STATE.shift)


def _bits(sign: str, bits: int) -> str:
    return "".join(f"{sign}{name}" for name, bit in CT_STATE_NAMES if bits & bit)


def _ct_label(value: int, mask: int, profile: Profile) -> None:
    if mask & _LABEL.mask and profile.label_match is LabelMatch.NONE:
        raise _Refused(NicReason.CT_LABEL, "ct_label is not matched", mask & _LABEL.mask)


def _fragments(value: int, mask: int, profile: Profile) -> None:
    if mask & _FIRST:
        words = "Match on frag first/later is not supported"
        raise _Refused(NicReason.FRAGMENT, words, mask & _FIRST)


def _tags(value: int, mask: int, profile: Profile) -> None:
    # That there is no second tag follows from the type behind the first.
    if (mask & _TCI1 or value & _TPID1) and profile.vlan_tags < 2:
        words = "a second VLAN tag is not matched"
        raise _Refused(NicReason.CVLAN, words, mask & (_TCI1 | _TPID1))


def _mpls(value: int, mask: int, profile: Profile) -> None:
    if mask & _MPLS:
        raise _Refused(NicReason.MPLS, "MPLS is matched over UDP only", mask & _MPLS)


def _arp(value: int, mask: int, profile: Profile) -> None:
    is_arp = mask & _TYPE.mask and _TYPE.get(value) in (ETH_ARP, ETH_RARP)
    bits = mask & (_ARP | _ADDRESSES if is_arp else _ARP)
    if bits:
        raise _Refused(NicReason.ARP, "Unsupported key", bits)


def _icmp(value: int, mask: int, profile: Profile) -> None:
    is_icmp = mask & _PROTO.mask and _PROTO.get(value) in _ICMP
    if is_icmp and mask & _PORTS and not profile.match_icmp:
        words = "match on ICMP type and code needs a flex parser"
        raise _Refused(NicReason.ICMP, words, mask & _PORTS)


def _ttl(value: int, mask: int, profile: Profile) -> None:
    if mask & _TTL and not profile.match_ttl:
        raise _Refused(NicReason.TTL, "Matching on TTL is not supported", mask & _TTL)


_LIMITS: Final[tuple[Callable[[int, int, Profile], None], ...]] = (
    _ct_state, _ct_label, _fragments, _tags, _mpls, _arp, _icmp, _ttl,
)  # fmt: skip


# -- what is done -------------------------------------------------------------------------------


class _Actions:
    """The actions of one filter on their way to hardware."""

    def __init__(self, entry: Filter, profile: Profile, ports: frozenset[int]) -> None:
        self._entry = entry
        self._profile = profile
        self._ports = ports
        self._made: list[nic.NicAction] = []
        self._rewritten = 0
        self._mirrored = False
        self._tracks = False
        self._clears = False

    def lower(self) -> tuple[nic.NicAction, ...]:
        """All actions; nothing behind one that ends the filter is looked at."""
        for index, action in enumerate(self._entry.actions):
            handler = _HANDLERS.get(type(action))
            if handler is None:
                raise OvsctError(f"the action {action.kind} is not modelled for a NIC")
            made = list(handler(self, action, index))
            if self._mirrored and any(not isinstance(each, _ENDS) for each in made):
                self._need_split()
            self._made += made
            if self._ends(action):
                break
        self._check()
        return tuple(self._made)

    def _need_split(self) -> None:
        if not self._profile.mirror_split:
            words = "current firmware doesn't support split rule for port mirroring"
            raise _Refused(NicReason.MIRROR_SPLIT, words)

    def _ends(self, action: tc.Action) -> bool:
        """Follow the verdict behind an action; whether the filter ends here."""
        control = getattr(action, "control", PIPE)
        if control == PIPE:
            return False
        if is_goto(control):
            chain = control & EXT_MASK
            if chain > self._profile.max_chain:
                words = "Requested destination chain is out of supported range"
                raise _Refused(NicReason.CHAIN, words)
            self._made.append(nic.Goto(chain))
        elif isinstance(action, tc.Mirred) and control == STOLEN:
            return True
        elif control == SHOT:
            self._made.append(nic.Discard())
        elif control < 0 or control == 1 or control >= JUMP:
            raise _Refused(NicReason.VERDICT, f"the verdict {spell(control)} has no counterpart")
        elif isinstance(action, tc.Gact):
            raise OvsctError(f"the verdict {spell(control)} is not modelled for a NIC")
        return True

    def _check(self) -> None:
        """actions_match_supported(): what may stand beside what."""
        kinds = {type(each) for each in self._made}
        sends = kinds & {nic.Output, nic.Goto}
        if not sends and nic.Discard not in kinds:
            raise _Refused(
                NicReason.NO_FORWARD, "Rule must have at least one forward/drop action"
            )
        if nic.Discard in kinds:
            if sends:
                raise _Refused(NicReason.FORWARD_DROP, "Rule cannot support forward+drop action")
            if nic.Rewrite in kinds:
                words = "Drop with modify header action is not supported"
                raise _Refused(NicReason.DROP_REWRITE, words)
        outputs = sum(1 for each in self._made if isinstance(each, nic.Output))
        if outputs > self._profile.max_outputs:
            words = f"can't support more than {self._profile.max_outputs} output ports"
            raise _Refused(NicReason.OUTPUTS, words)
        self._check_rewrite()

    def _check_rewrite(self) -> None:
        """modify_header_match_supported()."""
        entry = self._entry
        value, mask = entry.value & entry.mask, entry.mask
        proto = _PROTO.get(value) if _PROTO.get(mask) == 0xFF else None
        ethertype = _TYPE.get(value) if _TYPE.get(mask) else entry.protocol
        if (
            changes_ip(self._rewritten) and ethertype in (ETH_IPV4, ETH_IPV6)
            and proto not in (6, 17, *_ICMP)
        ):  # fmt: skip
            raise _Refused(NicReason.REWRITE_PROTOCOL, "can't offload re-write of non TCP/UDP")
        if (
            changes_tuple(self._rewritten) and self._tracks and not self._clears
            and not self._profile.rewrite_with_ct
        ):  # fmt: skip
            words = "can't offload tuple modification with non-clear ct()"
            raise _Refused(NicReason.REWRITE_WITH_CT, words)

    def untracked(self, value: int, mask: int) -> tuple[int, int]:
        """Before 6.3 a rule that rewrites addresses or ports is for untracked packets alone.

        mlx5_tc_ct_add_no_trk_match(): after the rewrite the connection could not be restored.
        """
        if (
            self._profile.rewrite_with_ct or self._clears or not changes_tuple(self._rewritten)
        ):
            return value, mask
        if _STATE.get(value) == CT_TRK:
            words = "can't offload tuple modification with ct matches and no ct(clear) action"
            raise _Refused(NicReason.REWRITE_TRACKED, words, mask & _STATE.mask)
        return value, mask | CT_TRK << _STATE.shift

    # One handler an action: it gives what hardware does for it.

    def gact(self, action: tc.Gact, index: int) -> Iterator[nic.NicAction]:
        """Its verdict is all it is."""
        yield from ()

    def ct(self, action: tc.Ct, index: int) -> Iterator[nic.NicAction]:
        """Only zone, nat and clear get to the hardware; commit, force, mark and label do not."""
        track = action.track
        if not self._profile.ct:
            raise _Refused(NicReason.CT, "offload of ct action isn't available")
        if track is None:
            self._clears = True
            yield nic.Clear()
            return
        if track.helper is not None:
            raise _Refused(NicReason.HELPER, f"ct with the helper {track.helper}")
        if self._tracks and not self._profile.multiple_ct:
            raise _Refused(NicReason.MULTIPLE_CT, "Multiple CT actions are not supported")
        self._tracks = True
        yield nic.Track(track.zone, track.nat is not None, index)

    def mirred(self, action: tc.Mirred, index: int) -> Iterator[nic.NicAction]:
        """A copy or the packet itself leaves."""
        if action.ingress:
            words = "redirect into an ingress: internal ports are not in this model of a NIC"
            raise _Refused(NicReason.INGRESS, words)
        if action.port not in self._ports:
            words = "devices are not on same switch HW, can't offload forwarding"
            raise _Refused(NicReason.DEVICE, f"{words} (port {action.port})")
        yield nic.Output(action.port)
        self._mirrored = self._mirrored or action.mirror

    def pedit(self, action: tc.Pedit, index: int) -> Iterator[nic.NicAction]:
        """Words become fields."""
        try:
            value, mask = rewrite(action)
        except RewriteError as error:
            raise _Refused(error.reason, error.words) from None
        self._rewritten |= mask
        yield nic.Rewrite(value, mask)

    def csum(self, action: tc.Csum, index: int) -> Iterator[nic.NicAction]:
        """csum_offload_supported(): hardware carries checksums along when it rewrites."""
        if not self._rewritten:
            raise _Refused(NicReason.CSUM_ALONE, "TC csum action is only offloaded with pedit")
        if action.which - {tc.Sum.IPV4, tc.Sum.TCP, tc.Sum.UDP}:
            words = "can't offload TC csum action for some header/s"
            raise _Refused(NicReason.CSUM_HEADER, words)
        yield from ()

    def vlan(self, action: tc.Vlan, index: int) -> Iterator[nic.NicAction]:
        """Push and pop; a change is a rewrite of the tag that was matched."""
        if action.op is tc.VlanOp.PUSH:
            yield nic.PushVlan(action.protocol, action.vid | (action.prio or 0) << 13)
            return
        if action.op is tc.VlanOp.POP:
            yield nic.PopVlan()
            return
        entry, tci = self._entry, SLOTS["vlan_tci"]
        if not entry.mask & SLOTS["vlan_tpid"].mask:
            words = "VLAN rewrite action must have VLAN protocol match"
            raise _Refused(NicReason.VLAN_MODIFY, words)
        prio = tci.get(entry.value & entry.mask) >> 13
        if action.prio is not None and action.prio != prio:
            raise _Refused(NicReason.VLAN_MODIFY, "Changing VLAN prio is not supported")
        yield nic.Rewrite(action.vid << tci.shift, 0xFFF << tci.shift)

    def mpls(self, action: tc.Mpls, index: int) -> Iterator[nic.NicAction]:
        """Only as an encapsulation in UDP, which is not modelled."""
        raise _Refused(NicReason.MPLS, "mpls is offloaded over UDP only")

    def police(self, action: tc.Police, index: int) -> Iterator[nic.NicAction]:
        """Meters of hardware, which are not modelled."""
        raise _Refused(NicReason.POLICE, "policers stay in software here")

    def skbedit(self, action: tc.Skbedit, index: int) -> Iterator[nic.NicAction]:
        """What travels beside the packet does not exist in hardware; ptype stands before a
        redirect into an ingress, which has the say.
        """
        if action != tc.Skbedit(ptype="host", control=action.control):
            raise _Refused(NicReason.SKBEDIT, "skbedit is not offloaded")
        yield from ()


_ENDS: Final = (nic.Output, nic.Goto, nic.Discard)

_HANDLERS: Final[dict[type[tc.Action], Callable[[_Actions, Any, int], Iterator[nic.NicAction]]]] = {
    tc.Gact: _Actions.gact,
    tc.Ct: _Actions.ct,
    tc.Mirred: _Actions.mirred,
    tc.Pedit: _Actions.pedit,
    tc.Csum: _Actions.csum,
    tc.Vlan: _Actions.vlan,
    tc.Mpls: _Actions.mpls,
    tc.Skbedit: _Actions.skbedit,
    tc.Police: _Actions.police,
}
