"""The actions of a flow as TC actions, with no OVS behind them.

Outputs are mirrored, the last one redirected; header writes become pedit and csum; a resubmit at
the end becomes ``goto chain``. Order is kept, for each action works on what those before it left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ovsct.bridge import odp
from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.lower.reasons import Reason, RefusedError
from ovsct.lower.rewrite import check_set, munges
from ovsct.lower.static_reasons import StaticReason, static_error
from ovsct.lower.static_state import KNOWN, State, Tag
from ovsct.openflow import actions as of
from ovsct.openflow.flow import Flow
from ovsct.openflow.group import Group, GroupType
from ovsct.packet.fields import SLOTS, VLAN_PRESENT
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6, ETH_VLAN, PROTO_SCTP, PROTO_TCP, PROTO_UDP
from ovsct.tc import actions as tc
from ovsct.tc.verdict import PIPE, SHOT, goto_chain

_TYPE: Final = SLOTS["dl_type"]
_PROTO: Final = SLOTS["nw_proto"]
_TTL: Final = SLOTS["nw_ttl"]
_TCI: Final = SLOTS["vlan_tci"]
_IN_PORT: Final = SLOTS["in_port"]
_IP: Final = (ETH_IPV4, ETH_IPV6)
_PORTS: Final = {PROTO_TCP: "tcp", PROTO_UDP: "udp", PROTO_SCTP: "sctp"}
_ADDRESSES: Final = sum(SLOTS[name].mask for name in ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst"))
_TRANSPORT: Final = SLOTS["tp_src"].mask | SLOTS["tp_dst"].mask
_NETWORK: Final = _ADDRESSES | SLOTS["nw_tos"].mask | _TTL.mask
_ETHERNET: Final = SLOTS["dl_src"].mask | SLOTS["dl_dst"].mask

Enter: TypeAlias = Callable[[int, State], int]
"""The chain for a table in a state."""
Inline: TypeAlias = "Callable[[Builder, int, of.Action], bool]"
"""Run a table in the middle of a list of actions, if what it does is known; else False."""


class Builder:
    """One filter's actions on their way.

    Args:
        flow: that the filter is for; errors name it.
        value: what the filter's packets are known to be, in the layout of the flow key.
        state: of the packets when they come.
        ports: that there are.
        groups: by number.
        enter: gives chains to what is entered last.
        inline: runs what is entered in between.
    """

    def __init__(
        self, flow: Flow, value: int, state: State, ports: Collection[int],
        groups: Mapping[int, Group], enter: Enter, inline: Inline,
    ) -> None:  # fmt: skip
        self.flow = flow
        self.state = state
        self.ports = ports
        self.out: list[tc.Action] = []
        self.expired: list[tc.Action] | None = None
        """What happens to a packet whose TTL runs out, if the flow looks."""
        self.notes: list[str] = []
        self._value = value
        self._groups = groups
        self._enter = enter
        self._inline = inline
        self._stale: frozenset[tc.Sum] = frozenset()
        self._ttl_known = False
        self._over = False

    # -- the list -------------------------------------------------------------------------------

    def run(self, actions: Sequence[of.Action], *, more: bool = False) -> None:
        """Lower `actions`; `more`: others will follow.

        Raises:
            StaticError: TC cannot do one of them.
        """
        for at, action in enumerate(actions):
            if self._over:
                return
            handler = _HANDLERS.get(type(action))
            if handler is None:
                raise self.refuse(StaticReason.ACTION, "TC has nothing for this action", action)
            handler(self, action, more or at < len(actions) - 1, actions[at + 1 :])

    def finish(self) -> tuple[tc.Action, ...]:
        """All of it: what has not been sent by then is dropped."""
        if not self._over:
            last = self.out[-1] if self.out else None
            if isinstance(last, tc.Mirred) and last.mirror:
                self.out[-1] = tc.Mirred(last.port)
            else:
                self.out.append(tc.Gact(SHOT))
        return tuple(self.out)

    def refuse(
        self, reason: StaticReason | Reason, detail: str, action: of.Action | None = None
    ) -> Exception:
        """The error that names the flow and the action."""
        span = action.span if action is not None else of.NOWHERE
        return static_error(reason, detail, self.flow, span)

    def put(self, action: tc.Action) -> None:
        """Add an action; checksums that are not right any more are mended before it."""
        self.mend()
        self.out.append(action)

    def mend(self) -> None:
        """Recompute what the rewrites before have broken."""
        if self._stale:
            self.out.append(tc.Csum(self._stale, PIPE))
            self._stale = frozenset()

    def end(self, control: int) -> None:
        """Nothing comes behind this verdict."""
        self.put(tc.Gact(control))
        self._over = True

    @property
    def _dl_type(self) -> int:
        return _TYPE.get(self._value)

    # -- outputs --------------------------------------------------------------------------------

    def output(self, action: of.Output, more: bool, _rest: Sequence[of.Action]) -> None:
        """output: not to where it came from; that is what IN_PORT is for."""
        came_in = _IN_PORT.get(self.state.key)
        if action.max_len is not None:
            raise self.refuse(Reason.TRUNC, "TC cannot cut packets", action)
        if action.port in (of.OFPP_FLOOD, of.OFPP_ALL):
            for port in sorted(self.ports):
                if port != came_in:
                    self._send(port)
        elif action.port == of.OFPP_IN_PORT:
            self._send(came_in)
        elif action.port == of.OFPP_NORMAL:
            raise self.refuse(StaticReason.NORMAL, "TC learns no addresses", action)
        elif action.port == of.OFPP_CONTROLLER:
            raise self.refuse(Reason.USERSPACE, "there is no controller behind TC", action)
        elif action.port == of.OFPP_LOCAL:
            raise self.refuse(Reason.OUTPUT_PORT, "there is no bridge with a port", action)
        elif action.port == of.OFPP_TABLE:
            raise self.refuse(StaticReason.ACTION, "output to TABLE", action)
        elif action.port in self.ports and action.port != came_in:
            self._send(action.port)

    def _send(self, port: int) -> None:
        self.put(tc.Mirred(port, mirror=True, control=PIPE))

    def group(self, action: of.Group, more: bool, _rest: Sequence[of.Action]) -> None:
        """Group of type all or indirect: its buckets, each with a copy of the packet."""
        group = self._groups.get(action.group_id)
        if group is None:
            raise self.refuse(StaticReason.GROUP, "there is no such group", action)
        if group.type not in (GroupType.ALL, GroupType.INDIRECT):
            raise self.refuse(StaticReason.GROUP, f"a {group.type} group chooses", action)
        for number, bucket in enumerate(group.buckets):
            last = number == len(group.buckets) - 1 and not more
            self._copy(bucket.actions, StaticReason.GROUP, action, last)

    def clone(self, action: of.Clone, more: bool, _rest: Sequence[of.Action]) -> None:
        """clone: the same for one list."""
        self._copy(action.actions, StaticReason.CLONE, action, not more)

    def _copy(
        self, actions: Sequence[of.Action], reason: StaticReason, whole: of.Action, last: bool
    ) -> None:
        changes = next((each for each in actions if not isinstance(each, of.Output)), None)
        if changes is not None and not last:
            raise self.refuse(reason, "a copy is changed, and the packet goes on", whole)
        self.run(actions, more=not last)

    # -- fields ---------------------------------------------------------------------------------

    def set_field(self, action: of.SetField, _more: bool, _rest: Sequence[of.Action]) -> None:
        """set_field, load and mod_*."""
        if action.key_mask & KNOWN:
            key = self.state.key & ~action.key_mask | action.key_value
            self.state = self.state._replace(key=key)
        elif action.field.slot == "vlan_tci":
            self._set_tag(action)
        else:
            self._write(action, action.key_value, action.key_mask)

    def _write(self, action: of.SetField, value: int, mask: int) -> None:
        attribute, needed = self._attribute(mask)
        if attribute is None:
            raise self.refuse(Reason.SET_FIELD, f"TC cannot write {action.field.name}", action)
        if not needed:
            return
        written = odp.Set(attribute, value, mask)
        try:
            check_set(written)
        except RefusedError as refused:
            raise self.refuse(refused.refusal.reason, refused.refusal.detail, action) from None
        if mask & _TTL.mask:
            self._ttl_known = True
        self.out.append(tc.Pedit(munges(written), PIPE))
        self._spoil(mask)

    def _attribute(self, mask: int) -> tuple[str | None, bool]:
        """The datapath's attribute that the bits are in; whether the packet has it."""
        if mask & _ETHERNET:
            return "eth", True
        if mask & _NETWORK and self._dl_type in _IP:
            return "ipv4" if self._dl_type == ETH_IPV4 else "ipv6", True
        if mask & _TRANSPORT and self._dl_type in _IP:
            return _PORTS.get(_PROTO.get(self._value)), True
        return None, True

    def _spoil(self, mask: int) -> None:
        """Note which checksums are not right any more."""
        if mask & _NETWORK and self._dl_type == ETH_IPV4:
            self._stale |= {tc.Sum.IPV4}
        if mask & (_ADDRESSES | _TRANSPORT):
            self._stale |= {tc.Sum.TCP, tc.Sum.UDP}
            if self._dl_type == ETH_IPV6:
                self._stale |= {tc.Sum.ICMP}

    def move(self, action: of.Move, _more: bool, _rest: Sequence[of.Action]) -> None:
        """move: between fields whose values are followed."""
        if action.src.mask & ~KNOWN or action.dst.mask & ~KNOWN:
            words = "its value depends on the packet"
            raise self.refuse(StaticReason.REGISTER, words, action)
        value = action.src.get(self.state.key)
        self.state = self.state._replace(key=action.dst.put(self.state.key, value))

    def write_metadata(
        self, action: of.WriteMetadata, _more: bool, _rest: Sequence[of.Action]
    ) -> None:
        """write_metadata."""
        slot = SLOTS["metadata"]
        key = self.state.key & ~(action.mask << slot.shift)
        key |= (action.value & action.mask) << slot.shift
        self.state = self.state._replace(key=key)

    def dec_ttl(self, action: of.DecTtl, _more: bool, _rest: Sequence[of.Action]) -> None:
        """dec_ttl: a packet that has no hop left takes another way, which ends here."""
        if self._dl_type not in _IP:
            return
        if self._ttl_known:
            raise self.refuse(StaticReason.DEC_TTL, "the TTL was written before", action)
        self._ttl_known = True
        self.mend()
        self.expired = list(self.out)
        header = tc.Header.IPV4 if self._dl_type == ETH_IPV4 else tc.Header.IPV6
        word = tc.Munge(header, 8, 0xFF000000, 0x00FFFFFF, add=True)
        if header is tc.Header.IPV6:
            word = tc.Munge(header, 4, 0x000000FF, 0xFFFFFF00, add=True)
        self.out.append(tc.Pedit((word,), PIPE))
        if header is tc.Header.IPV4:
            self._stale |= {tc.Sum.IPV4}

    # -- tags -----------------------------------------------------------------------------------

    def _need_tag_known(self, action: of.Action) -> None:
        if self.state.tag is Tag.UNKNOWN:
            raise self.refuse(StaticReason.TAGS, "is there a tag or not?", action)

    def _set_tag(self, action: of.SetField) -> None:
        """Setting a part of a tag: mod_vlan_* and the whole tci add one where there is none."""
        self._need_tag_known(action)
        mask, value = _TCI.get(action.key_mask), _TCI.get(action.key_value)
        present = value & VLAN_PRESENT or not mask & VLAN_PRESENT
        if action.field.name == "vlan_tci" and not present:
            self.strip_vlan(of.StripVlan(span=action.span), False, ())
            return
        vid = value & 0xFFF if mask & 0xFFF == 0xFFF else None
        prio = value >> 13 if mask >> 13 == 7 else None
        if self.state.tag is Tag.NONE:
            if action.field.name != "vlan_tci" and action.spelled not in (
                "mod_vlan_vid", "mod_vlan_pcp",
            ):  # fmt: skip
                return
            self.put(tc.Vlan(tc.VlanOp.PUSH, vid or 0, ETH_VLAN, prio or 0))
            self.state = self.state._replace(tag=Tag.TAGGED)
            return
        if vid is None:
            raise self.refuse(
                StaticReason.TAGS, "vlan modify sets the whole id, whatever else", action
            )
        tpid = SLOTS["vlan_tpid"].get(self._value) or ETH_VLAN
        self.put(tc.Vlan(tc.VlanOp.MODIFY, vid, tpid, prio))

    def push_vlan(self, action: of.PushVlan, _more: bool, rest: Sequence[of.Action]) -> None:
        """push_vlan: a tag with id 0, unless the next actions say which."""
        self._need_tag_known(action)
        if self.state.tag is Tag.TAGGED:
            raise self.refuse(StaticReason.TAGS, "OVS and TC see two tags differently", action)
        self.put(tc.Vlan(tc.VlanOp.PUSH, 0, action.tpid, 0))
        self._value = SLOTS["vlan_tpid"].put(self._value, action.tpid)
        self.state = self.state._replace(tag=Tag.TAGGED)

    def strip_vlan(self, action: of.StripVlan, _more: bool, _rest: Sequence[of.Action]) -> None:
        """strip_vlan."""
        self._need_tag_known(action)
        if self.state.tag is Tag.TAGGED:
            self.put(tc.Vlan(tc.VlanOp.POP))
            self.state = self.state._replace(tag=Tag.NONE)

    # -- conntrack ------------------------------------------------------------------------------

    def ct(self, action: of.Ct, more: bool, rest: Sequence[of.Action]) -> None:
        """ct(...): with a table the packet goes there, and what is behind may only send it."""
        self.put(tc.Ct(self._track(action)))
        nat = action.nat is not None
        if action.table is None:
            self.state = self.state._replace(
                tracked=False, translated=self.state.translated or nat
            )
            return
        after = self.state._replace(tracked=True, translated=False)
        if more:
            self.state = self.state._replace(tracked=False)
            for each in rest:
                if not isinstance(each, of.Output | of.Note):
                    words = "behind ct(table=...) only outputs can stand"
                    raise self.refuse(StaticReason.AFTER_FORK, words, each)
                self.run((each,), more=True)
        self.end(goto_chain(self._enter(action.table, after)))

    def _track(self, action: of.Ct) -> Track:
        zone = action.zone
        if not isinstance(zone, int):
            if zone.mask & ~KNOWN:
                raise self.refuse(StaticReason.REGISTER, "the zone depends on the packet", action)
            zone = zone.get(self.state.key)
        if action.alg is not None:
            raise self.refuse(Reason.CT_HELPER, f"the helper {action.alg}", action)
        mark, label = self._exec(action)
        return Track(
            zone, action.commit, action.commit and action.force, mark, label, self._nat(action)
        )

    def _exec(self, action: of.Ct) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        value = mask = 0
        for each in action.exec:
            if isinstance(each, of.SetField):
                here, bits = each.key_value, each.key_mask
            elif isinstance(each, of.Move) and not each.src.mask & ~KNOWN:
                here, bits = each.dst.put(0, each.src.get(self.state.key)), each.dst.mask
            else:
                words = "mark or label depend on the packet"
                raise self.refuse(StaticReason.REGISTER, words, each)
            value, mask = value & ~bits | here & bits, mask | bits
        found = []
        for name in ("ct_mark", "ct_label"):
            bits = SLOTS[name].get(mask)
            found.append((SLOTS[name].get(value), bits) if bits else None)
        return found[0], found[1]

    def _nat(self, action: of.Ct) -> Nat | None:
        nat = action.nat
        if nat is None:
            return None
        if not (nat.src or nat.dst):
            return Nat()
        if not nat.family:
            raise self.refuse(StaticReason.NAT_PORTS, "tc wants an address", action)
        for flag in ("persistent", "hash", "random"):
            if getattr(nat, flag):
                self.notes.append(f"nat(...,{flag}): TC has no such flag")
        return Nat(
            NatKind.SRC if nat.src else NatKind.DST, nat.family, nat.addr_min,
            max(nat.addr_min, nat.addr_max), nat.port_min, max(nat.port_min, nat.port_max),
        )  # fmt: skip

    def ct_clear(self, _action: of.CtClear, _more: bool, _rest: Sequence[of.Action]) -> None:
        """ct_clear: OVS does something only where it knows the packet to be tracked."""
        if self.state.tracked:
            self.put(tc.Ct(None))
            self.state = self.state._replace(tracked=False)

    # -- the way on -----------------------------------------------------------------------------

    def resubmit(self, action: of.Resubmit, more: bool, _rest: Sequence[of.Action]) -> None:
        """resubmit: the last one is a goto; one in between must be known to the end."""
        came_in = _IN_PORT.get(self.state.key)
        if action.with_ct or action.port not in (None, of.OFPP_IN_PORT, came_in):
            raise self.refuse(StaticReason.ACTION, "a resubmit of another port, or with ct", action)
        self._go(action.table, more, action)

    def goto_table(self, action: of.GotoTable, more: bool, _rest: Sequence[of.Action]) -> None:
        """goto_table."""
        self._go(action.table, more, action)

    def _go(self, table: int | None, more: bool, action: of.Action) -> None:
        wanted = self.flow.table if table is None else table
        if not more:
            self.mend()
            self.end(goto_chain(self._enter(wanted, self.state)))
        elif not self._inline(self, wanted, action):
            words = "what the table does depends on the packet, and goto does not come back"
            raise self.refuse(StaticReason.AFTER_RESUBMIT, words, action)

    def exit(self, _action: of.Exit, _more: bool, _rest: Sequence[of.Action]) -> None:
        """exit: nothing behind it, in any table, runs."""
        self.out = list(self.finish())
        self._over = True

    def nothing(self, _action: of.Action, _more: bool, _rest: Sequence[of.Action]) -> None:
        """note, and clear_actions where nothing was written."""


def _refused(
    reason: StaticReason | Reason, words: str
) -> Callable[[Builder, of.Action, bool, Sequence[of.Action]], None]:
    def refuse(self: Builder, action: of.Action, _more: bool, _rest: Sequence[of.Action]) -> None:
        raise self.refuse(reason, words, action)

    return refuse


Handler: TypeAlias = Callable[[Builder, Any, bool, Sequence[of.Action]], None]

_HANDLERS: Final[dict[type[of.Action], Handler]] = {
    of.Output: Builder.output,
    of.Group: Builder.group,
    of.Clone: Builder.clone,
    of.SetField: Builder.set_field,
    of.Move: Builder.move,
    of.WriteMetadata: Builder.write_metadata,
    of.DecTtl: Builder.dec_ttl,
    of.PushVlan: Builder.push_vlan,
    of.StripVlan: Builder.strip_vlan,
    of.Ct: Builder.ct,
    of.CtClear: Builder.ct_clear,
    of.Resubmit: Builder.resubmit,
    of.GotoTable: Builder.goto_table,
    of.Exit: Builder.exit,
    of.Note: Builder.nothing,
    of.ClearActions: Builder.nothing,
    of.OutputField: _refused(StaticReason.NORMAL, "the port is read from a field"),
    of.Controller: _refused(Reason.USERSPACE, "there is no controller behind TC"),
    of.WriteActions: _refused(StaticReason.ACTION_SET, "TC runs actions as it meets them"),
    of.StackPush: _refused(StaticReason.STACK, "TC has no stack"),
    of.StackPop: _refused(StaticReason.STACK, "TC has no stack"),
    of.Meter: _refused(Reason.METER, "a meter of OpenFlow has no policer of its own"),
    of.CheckPktLarger: _refused(StaticReason.CHECK_PKT_LEN, "the result would be in a register"),
    of.Conjunction: _refused(StaticReason.CONJUNCTION, "conjunctive flows"),
    of.Learn: _refused(StaticReason.LEARN, "TC makes no filters by itself"),
    of.FinTimeout: _refused(StaticReason.TIMEOUT, "filters do not age"),
}
