"""The actions of a megaflow as TC actions.

OVS 3.1 does it in two steps, and so does this: ``netdev_tc_parse_nl_actions()`` looks whether it
knows every action, ``nl_msg_put_flower_acts()`` of lib/tc.c writes them. A priority is taken in
between, so that a megaflow that only the second step refuses has one all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from ovsct.bridge import odp
from ovsct.bridge.bridges import is_own
from ovsct.bridge.odp_text import format_actions
from ovsct.conntrack.request import Nat, Track
from ovsct.lower.branches import STOP, Entry, control_of, count_from, lay_out
from ovsct.lower.kernel import Capabilities
from ovsct.lower.reasons import Ignored, Note, Reason, refuse
from ovsct.lower.rewrite import check_set, munges, sums
from ovsct.openflow.meter import Meter
from ovsct.packet.fields import SLOTS
from ovsct.tc import actions as tc
from ovsct.tc.verdict import (
    GOTO_CHAIN,
    JUMP,
    MAX_CHAIN,
    PIPE,
    SHOT,
    STOLEN,
    goto_chain,
    jump,
)

MAX_ACTIONS: Final = 16
"""TCA_ACT_MAX_NUM of OVS 3.1 lib/tc.h: datapath actions in one filter."""

_REFUSED: Final[dict[type, tuple[Reason, str]]] = {
    odp.Userspace: (Reason.USERSPACE, "it sends packets to vswitchd"),
    odp.Clone: (Reason.CLONE, "it works on a copy"),
    **dict.fromkeys(
        (odp.PushEth, odp.PopEth, odp.PushNsh, odp.PopNsh, odp.AddMpls),
        (Reason.ENCAP, "it puts a header before the packet or takes one off"),
    ),
    odp.Hash: (Reason.HASH, "it computes dp_hash"),
    odp.Trunc: (Reason.TRUNC, "it cuts packets short"),
}

_NAT_FLAGS: Final = (
    ("persistent", Ignored.NAT_PERSISTENT),
    ("hash", Ignored.NAT_HASH),
    ("random", Ignored.NAT_RANDOM),
)


METER_POLICE: Final = 0x1000_0000
"""METER_POLICE_IDS_BASE: the index of the policer of the datapath's meter 0."""

_MOST_BYTES: Final = 65535


def policer(meter: Meter) -> tc.Police:
    """``meter_tc_set_policer()``: the policer that OVS makes for a meter; its first band alone."""
    band = meter.bands[0]
    burst = band.burst_size if meter.burst else band.rate
    if meter.packets:
        return tc.Police(
            pkts_rate=band.rate, pkts_burst=burst, mtu=_MOST_BYTES, control=SHOT, conform=PIPE
        )
    return tc.Police(
        rate=band.rate * 1000 // 8, burst=burst * 1024 // 8, mtu=_MOST_BYTES, control=SHOT,
        conform=PIPE,
    )  # fmt: skip


def check_actions(
    actions: Sequence[odp.OdpAction], ports: Collection[int], capabilities: Capabilities,
    meters: Sequence[Meter | None] = (),
) -> list[Entry]:
    """The first step: does OVS know how to lower each of them?

    Args:
        actions: of the megaflow.
        ports: those that have a network device of their own which TC can send to.
        capabilities: of the kernel.
        meters: of the datapath, by number.

    Raises:
        RefusedError: it does not.
    """
    entries = lay_out(actions)
    for count, entry in enumerate(entries):
        action = entry.action
        if count == MAX_ACTIONS:
            raise refuse(Reason.ACTION_COUNT, f"{len(entries)} actions", action=action)
        refused = _REFUSED.get(type(action))
        if refused is not None:
            raise refuse(*refused, action=action)
        check = _CHECKS.get(type(action))
        if check is not None:
            check(action, ports, capabilities, meters)
    return entries


def _check_output(
    action: odp.Output, ports: Collection[int], _caps: Capabilities, _meters: Sequence[Any]
) -> None:
    if action.port not in ports and not is_own(action.port):
        raise refuse(Reason.OUTPUT_PORT, f"TC knows no port {action.port}", action=action)


def _check_set(
    action: odp.Set, _ports: Collection[int], _caps: Capabilities, _meters: Sequence[Any]
) -> None:
    if action.attribute != "mpls":
        check_set(action)


def _check_ct(
    action: odp.Ct, _ports: Collection[int], capabilities: Capabilities, _meters: Sequence[Any]
) -> None:
    if not capabilities.ct_state:
        raise refuse(Reason.NO_CONNTRACK, "TC has no ct action", action=action)
    if action.track.helper is not None:
        raise refuse(Reason.CT_HELPER, f"the helper {action.track.helper}", action=action)


def _check_recirc(
    action: odp.Recirc, _ports: Collection[int], _caps: Capabilities, _meters: Sequence[Any]
) -> None:
    if action.recirc_id > MAX_CHAIN:
        raise refuse(Reason.CHAIN, f"recirculation id {action.recirc_id:#x}", action=action)


def _check_meter(
    action: odp.Meter, _ports: Collection[int], _caps: Capabilities, meters: Sequence[Any]
) -> None:
    number = action.meter_id
    if number >= len(meters) or meters[number] is None or not meters[number].bands:
        raise refuse(Reason.METER, "there is no policer for the meter", action=action)


_CHECKS: Final[dict[type, Callable[[Any, Collection[int], Capabilities, Sequence[Any]], None]]] = {
    odp.Output: _check_output,
    odp.Set: _check_set,
    odp.Ct: _check_ct,
    odp.Recirc: _check_recirc,
    odp.Meter: _check_meter,
}


class Put(NamedTuple):
    """What the second step gives: the actions, whether the filter must match on the IP protocol
    because a checksum depends on it, what was left out, and the indexes of actions that others
    share (or nothing, if none is).
    """

    actions: tuple[tc.Action, ...]
    needs_proto: bool
    notes: tuple[Note, ...]
    indexes: tuple[int, ...] = ()


def put_actions(
    entries: Sequence[Entry], proto: int, meters: Sequence[Meter | None] = ()
) -> Put:
    """The second step: write them. All are of :func:`check_actions`.

    Every action but the last hands on (``pipe``) or jumps over a branch; the last drops what it
    has not sent (``TC_ACT_SHOT``), and a megaflow without actions is a plain drop.

    Args:
        entries: of the megaflow.
        proto: IP protocol of the packet that the megaflow was made for.
        meters: of the datapath, by number.

    Raises:
        RefusedError: a rewrite whose checksum cannot be mended.
    """
    if not entries:
        return Put((tc.Gact(SHOT),), False, ())
    out: list[tc.Action] = []
    indexes: dict[int, int] = {}
    stale: frozenset[tc.Sum] = frozenset()
    needs_proto = False
    before = PIPE
    for at, entry in enumerate(entries):
        action = entry.action
        last = at == len(entries) - 1
        jumped = JUMP <= before < GOTO_CHAIN
        control = control_of(entries, at, len(out), stale=bool(stale), jumped=jumped)
        rewrite = isinstance(action, odp.Set) and action.attribute != "mpls"
        if stale and (not rewrite or jumped):
            out.append(tc.Csum(stale, before))
            stale = frozenset()
        if rewrite:
            assert isinstance(action, odp.Set)
            words = munges(action)
            more = sums(action, words, proto)
            if more is not None:
                needs_proto = True
                stale |= more
            out.append(tc.Pedit(words, PIPE if stale else control))
            if last and stale:
                out.append(tc.Csum(stale, control))
        elif isinstance(action, odp.Meter):
            meter = meters[action.meter_id]
            assert meter is not None
            indexes[len(out)] = METER_POLICE + action.meter_id
            out.append(policer(meter))
        elif isinstance(action, odp.CheckPktLen):
            short = STOLEN
            if entry.short != STOP:
                short = jump(count_from(len(out) + 1, entries[at + 1 : entry.short]))
            out.append(tc.Police(mtu=action.length, control=control, conform=short))
        else:
            out.extend(_WRITERS[type(action)](action, control, last))
        before = control
    found = tuple(indexes.get(at, 0) for at in range(len(out))) if indexes else ()
    notes = tuple(_notes([entry.action for entry in entries]))
    return Put(tuple(out), needs_proto, notes, found)


def _output(action: odp.Output, control: int, last: bool) -> Iterator[tc.Action]:
    internal = is_own(action.port)
    if internal:
        yield tc.Skbedit(ptype="host", control=PIPE)
    if last:
        yield tc.Mirred(action.port, ingress=internal)
    else:
        yield tc.Mirred(action.port, mirror=True, ingress=internal, control=control)


def _ct(action: odp.Ct, control: int, _last: bool) -> Iterator[tc.Action]:
    track = action.track
    nat = track.nat
    if nat is not None:
        nat = replace(nat, persistent=False, hash=False, random=False)
    yield tc.Ct(
        Track(
            zone=track.zone,
            commit=track.commit,
            force=track.force,
            mark=track.mark if track.mark is not None and track.mark[1] else None,
            label=track.label if track.label is not None and track.label[1] else None,
            nat=nat,
        ),
        control,
    )


def _push_mpls(action: odp.PushMpls, control: int, _last: bool) -> Iterator[tc.Action]:
    label, tc_bits, bos, ttl = _parts(action.lse)
    yield tc.Mpls(tc.MplsOp.PUSH, action.ethertype, label, tc_bits, ttl, bos, control)


def _set_mpls(action: odp.Set, control: int, _last: bool) -> Iterator[tc.Action]:
    label, tc_bits, bos, ttl = _parts(SLOTS["mpls_lse"].get(action.value))
    yield tc.Mpls(tc.MplsOp.MODIFY, 0, label, tc_bits, ttl, bos, control)


def _parts(lse: int) -> tuple[int, int, int, int]:
    return lse >> 12, lse >> 9 & 7, lse >> 8 & 1, lse & 0xFF


_WRITERS: Final[dict[type, Callable[[Any, int, bool], Iterator[tc.Action]]]] = {
    odp.Output: _output,
    odp.Ct: _ct,
    odp.CtClear: lambda a, control, last: iter((tc.Ct(None, control),)),
    # goto chain is a verdict: whatever follows it never runs.
    odp.Recirc: lambda a, control, last: iter((tc.Gact(goto_chain(a.recirc_id)),)),
    odp.PushVlan: lambda a, control, last: iter(
        (tc.Vlan(tc.VlanOp.PUSH, a.tci & 0xFFF, a.tpid, a.tci >> 13, control),)
    ),
    odp.PopVlan: lambda a, control, last: iter((tc.Vlan(tc.VlanOp.POP, control=control),)),
    odp.PushMpls: _push_mpls,
    odp.PopMpls: lambda a, control, last: iter(
        (tc.Mpls(tc.MplsOp.POP, a.ethertype, control=control),)
    ),
    odp.Set: _set_mpls,
}


def _notes(actions: Sequence[odp.OdpAction]) -> Iterator[Note]:
    for at, action in enumerate(actions):
        if isinstance(action, odp.Ct):
            yield from _ct_notes(action.track)
        if isinstance(action, odp.Recirc) and at < len(actions) - 1:
            yield Note(Ignored.AFTER_RECIRC, format_actions(actions[at + 1 :]))


def _ct_notes(track: Track) -> Iterator[Note]:
    if track.timeout is not None:
        yield Note(Ignored.CT_TIMEOUT, f"the timeout policy {track.timeout}")
    if track.commit:
        yield Note(Ignored.CT_EVENTMASK, "the event mask that goes with ct(commit)")
    nat: Nat | None = track.nat
    if nat is None:
        return
    for flag, ignored in _NAT_FLAGS:
        if getattr(nat, flag):
            yield Note(ignored, f"nat(...,{flag})")
