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
from ovsct.lower.kernel import Capabilities
from ovsct.lower.reasons import Ignored, Note, Reason, refuse
from ovsct.lower.rewrite import check_set, munges, sums
from ovsct.packet.fields import SLOTS
from ovsct.tc import actions as tc
from ovsct.tc.verdict import MAX_CHAIN, PIPE, SHOT, goto_chain

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
    odp.Meter: (Reason.METER, "it polices"),
    odp.CheckPktLen: (Reason.CHECK_PKT_LEN, "it looks at the packet's length"),
}

_NAT_FLAGS: Final = (
    ("persistent", Ignored.NAT_PERSISTENT),
    ("hash", Ignored.NAT_HASH),
    ("random", Ignored.NAT_RANDOM),
)


def check_actions(
    actions: Sequence[odp.OdpAction], ports: Collection[int], capabilities: Capabilities
) -> None:
    """The first step: does OVS know how to lower each of them?

    Args:
        actions: of the megaflow.
        ports: those that have a network device of their own which TC can send to.
        capabilities: of the kernel.

    Raises:
        RefusedError: it does not.
    """
    for count, action in enumerate(actions):
        if count == MAX_ACTIONS:
            raise refuse(Reason.ACTION_COUNT, f"{len(actions)} actions", action=action)
        refused = _REFUSED.get(type(action))
        if refused is not None:
            raise refuse(*refused, action=action)
        if isinstance(action, odp.Output):
            if action.port not in ports and not is_own(action.port):
                raise refuse(
                    Reason.OUTPUT_PORT, f"TC knows no port {action.port}", action=action
                )
        elif isinstance(action, odp.Set):
            if action.attribute != "mpls":
                check_set(action)
        elif isinstance(action, odp.Ct):
            if not capabilities.ct_state:
                raise refuse(Reason.NO_CONNTRACK, "TC has no ct action", action=action)
            if action.track.helper is not None:
                raise refuse(
                    Reason.CT_HELPER, f"the helper {action.track.helper}", action=action
                )
        elif isinstance(action, odp.Recirc) and action.recirc_id > MAX_CHAIN:
            raise refuse(
                Reason.CHAIN, f"recirculation id {action.recirc_id:#x}", action=action
            )


class Put(NamedTuple):
    """What the second step gives: the actions, whether the filter must match on the IP protocol
    because a checksum depends on it, and what was left out.
    """

    actions: tuple[tc.Action, ...]
    needs_proto: bool
    notes: tuple[Note, ...]


def put_actions(actions: Sequence[odp.OdpAction], proto: int) -> Put:
    """The second step: write them. All must have passed :func:`check_actions`.

    Every action but the last hands on (``pipe``); the last drops what it has not sent
    (``TC_ACT_SHOT``), and a megaflow without actions is a plain drop.

    Args:
        actions: of the megaflow.
        proto: IP protocol of the packet that the megaflow was made for.

    Raises:
        RefusedError: a rewrite whose checksum cannot be mended.
    """
    if not actions:
        return Put((tc.Gact(SHOT),), False, ())
    out: list[tc.Action] = []
    stale: frozenset[tc.Sum] = frozenset()
    needs_proto = False
    for at, action in enumerate(actions):
        last = at == len(actions) - 1
        control = SHOT if last else PIPE
        if isinstance(action, odp.Set) and action.attribute != "mpls":
            words = munges(action)
            more = sums(action, words, proto)
            if more is not None:
                needs_proto = True
                stale |= more
            out.append(tc.Pedit(words, PIPE if stale else control))
            if last and stale:
                out.append(tc.Csum(stale, control))
            continue
        if stale:
            out.append(tc.Csum(stale, PIPE))
            stale = frozenset()
        out.extend(_WRITERS[type(action)](action, control, last))
    return Put(tuple(out), needs_proto, tuple(_notes(actions)))


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
    nat: Nat | None = track.nat
    if nat is None:
        return
    for flag, ignored in _NAT_FLAGS:
        if getattr(nat, flag):
            yield Note(ignored, f"nat(...,{flag})")
