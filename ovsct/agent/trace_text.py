"""``ofproto/trace``: one packet through the tables, in the words of OVS.

OVS ofproto/ofproto-dpif-trace.c. Tables and actions are listed in the order in which translation
met them, each table at the margin: OVS indents what a resubmit leads to if something follows it.
The last lines are OVS's own. Nothing is learned and no counter moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from ovsct.bridge import odp
from ovsct.bridge.act import ACTIONS
from ovsct.bridge.action_set import run_action_set
from ovsct.bridge.context import Context
from ovsct.bridge.freeze import finish_freezing
from ovsct.bridge.lookup import look_up
from ovsct.bridge.odp_text import format_actions
from ovsct.bridge.recirculate import FROZEN_METADATA
from ovsct.bridge.translate import Translation, translate
from ovsct.bridge.walk import walk_actions
from ovsct.errors import OvsctError
from ovsct.lane import StepKind
from ovsct.openflow.actions import OFPP_UNSET
from ovsct.openflow.flow import Flow
from ovsct.openflow.match import Match
from ovsct.openflow.text.lexer import items
from ovsct.openflow.text.match_text import MatchBuilder, format_match
from ovsct.packet.fields import (
    CT_NEW,
    CT_STATE_NAMES,
    CT_TRK,
    DATAPATH_MASK,
    SLOTS,
    VLAN_PRESENT,
)
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6, parse

if TYPE_CHECKING:
    from ovsct.agent.model import ModelBridge

_Again: TypeAlias = tuple[int, int, int]
"""A recirculation to follow: its id, the zone, and the key of the packet before."""

_LINE: Final = "-" * 13
_WIDE: Final = "=" * 79
_MOST_RECIRCULATIONS: Final = 64
_HEX = re.compile(r"[0-9a-fA-F]{28,}\Z")

_FIRST: Final = (
    "pkt_mark", "recirc_id", "dp_hash", "conj_id", "skb_priority", "actset_output", "ct_state",
    "ct_zone", "ct_mark", "ct_label", "ct_nw_src", "ct_ipv6_src", "ct_nw_dst", "ct_ipv6_dst",
    "ct_nw_proto", "ct_tp_src", "ct_tp_dst",
)  # fmt: skip
"""The slots that OVS prints before the packet's type."""

_FIRST_MASK: Final = sum(SLOTS[name].mask for name in _FIRST)
_ALWAYS: Final = ("in_port", "vlan_tci", "dl_src", "dl_dst", "dl_type")
_IP: Final = ("nw_proto", "nw_tos", "nw_ttl", "nw_frag")
_BY_TYPE: Final = {
    ETH_IPV4: ("nw_src", "nw_dst", *_IP),
    ETH_IPV6: ("ipv6_src", "ipv6_dst", "ipv6_label", *_IP),
    0x0806: ("nw_src", "nw_dst", "nw_proto", "arp_sha", "arp_tha"),
}
_PORTS: Final = {6: ("tp_src", "tp_dst", "tcp_flags"), 17: ("tp_src", "tp_dst"),
                 132: ("tp_src", "tp_dst"), 1: ("tp_src", "tp_dst"),
                 58: ("tp_src", "tp_dst")}  # fmt: skip
_IF_SET: Final = (
    *(name for name in _FIRST if name != "actset_output"), "metadata",
    *(f"reg{n}" for n in range(16)), *(name for name in SLOTS if name.startswith("tun_")),
)  # fmt: skip


def _format_flow(key: int) -> str:
    """A whole key as OVS prints a flow; of what lies beside a packet only what is set."""
    names = list(_ALWAYS)
    dl_type = SLOTS["dl_type"].get(key)
    names += _BY_TYPE.get(dl_type, ())
    if dl_type in (ETH_IPV4, ETH_IPV6):
        names += _PORTS.get(SLOTS["nw_proto"].get(key), ())
    names += [name for name in _IF_SET if SLOTS[name].get(key)]
    if SLOTS["vlan_tci"].get(key) & VLAN_PRESENT:
        names.append("vlan_tci1")
    mask = sum(SLOTS[name].mask for name in set(names))
    return _format(key, mask)


def _format(key: int, mask: int) -> str:
    """A match as OVS prints it: the packet's type stands there if recirc_id does."""
    key &= mask
    first = format_match(Match(key & _FIRST_MASK, mask & _FIRST_MASK))
    rest = format_match(Match(key & ~_FIRST_MASK, mask & ~_FIRST_MASK))
    middle = "eth" if mask & SLOTS["recirc_id"].mask else ""
    return ",".join(part for part in (first, middle, rest) if part)


def _format_megaflow(flow: odp.Megaflow) -> str:
    """The match of a megaflow in OpenFlow's words, before the datapath adds what it must have."""
    added = 0
    for entry in flow.blame:
        if entry.author.table is None:
            added |= entry.bits & SLOTS["vlan_tci"].mask
    return _format(flow.key, flow.mask & ~added)


def _rule_text(flow: Flow) -> str:
    match = format_match(flow.match)
    text = f"{flow.table:2}. {match}, priority {flow.priority}" if match else (
        f"{flow.table:2}. priority {flow.priority}"
    )
    return f"{text}, cookie {flow.cookie:#x}" if flow.cookie else text


def _walk(translation: Translation) -> Iterator[str]:
    """The steps: a line a table, four spaces before an action."""
    rules = iter(translation.megaflow.rules)
    for step in translation.steps:
        match step.kind:
            case StepKind.TABLE if step.text.endswith(": no match"):
                table = int(step.text.partition("=")[2].partition(":")[0])
                yield f"{table:2}. No match."
                yield "    drop"
            case StepKind.TABLE:
                yield _rule_text(next(rules))
            case StepKind.ACTION:
                yield f"    {step.text}"
            case StepKind.NOTE:
                yield f"     >> {step.text}"
            case StepKind.RECIRCULATE:
                yield f"     >> {step.text}"
            case _:
                pass


def _final(model: ModelBridge, key: int) -> int:
    """The OpenFlow key when translation ends; `key` comes from no recirculation or from one."""
    bridge = model.bridge
    ctx = Context(bridge, key, ACTIONS, model.now, side_effects=False, trace=False)
    ctx.flow = SLOTS["actset_output"].put(ctx.flow, OFPP_UNSET)
    ctx.base = ctx.flow
    state = bridge.recirc.thaw(SLOTS["recirc_id"].get(key))
    actions = None
    if state is not None:
        ctx.thawed, ctx.table, ctx.conntracked = True, state.table, state.conntracked
        if not state.conntracked:
            ctx.clear_conntrack()
        ctx.flow = ctx.flow & ~FROZEN_METADATA | state.metadata
        ctx.stack, ctx.action_set = list(state.stack), list(state.action_set)
        actions = state.actions
    if not actions:
        rule = look_up(ctx, SLOTS["in_port"].get(ctx.flow), honor_miss=True)
        if rule is None:
            return ctx.flow
        ctx.rule = rule
        actions = rule.actions
    walk_actions(ctx, actions, last=True)
    if not ctx.failed() and not ctx.freezing:
        run_action_set(ctx)
    if ctx.freezing:
        finish_freezing(ctx)
    return ctx.flow


def _traced(text: str) -> str:
    """A trace has no side effects: what would go to the controller is not sent."""
    return text.replace("dont_send=0", "dont_send=1")


def _recirculations(actions: Sequence[odp.OdpAction], zone: int = 0) -> Iterator[tuple[int, int]]:
    """(id, zone of the ct before it) of each recirculation."""
    for action in actions:
        match action:
            case odp.Ct():
                zone = action.track.zone
            case odp.Recirc():
                yield action.recirc_id, zone
            case odp.Clone():
                yield from _recirculations(action.actions, zone)
            case odp.CheckPktLen():
                yield from _recirculations(action.greater, zone)
                yield from _recirculations(action.less_equal, zone)
            case _:
                pass


def _one(model: ModelBridge, key: int) -> tuple[list[str], int, odp.Megaflow]:
    """The lines about one pass, the key at its end, and the megaflow that it makes."""
    translation = translate(model.bridge, key, model.now, side_effects=False, trace=True)
    flow = translation.megaflow
    first = SLOTS["actset_output"].put(key, OFPP_UNSET)
    state = model.bridge.recirc.thaw(SLOTS["recirc_id"].get(key))
    if state is not None:
        first = first & ~FROZEN_METADATA | state.metadata
    last = _final(model, key)
    actset = SLOTS["actset_output"].mask
    changed = (first ^ last) & ~actset
    lines = [
        f"Flow: {_format_flow(first)}",
        "",
        f'bridge("{model.bridge.name}")',
        _LINE,
        *_walk(translation),
        "",
        f"Final flow: {_format_flow(last) if changed else 'unchanged'}",
        f"Megaflow: {_format_megaflow(flow)}",
        f"Datapath actions: {_traced(format_actions(flow.actions))}",
    ]
    if flow.slow is not None:
        lines.append(f"This flow is handled by the userspace slow path because: {flow.slow}")
    return lines, last, flow


def _ct_states(text: str) -> int:
    bits = dict(CT_STATE_NAMES)
    state = 0
    for word in re.split(r"[|,]", text):
        if word not in bits:
            raise OvsctError(f"bad ct_state {text}")
        state |= bits[word]
    return state


def trace(model: ModelBridge, arguments: Sequence[str]) -> str:
    """The text of ``ofproto/trace BRIDGE FLOW [--ct-next STATE]... [PACKET]``.

    Raises OvsctError: a form or option that is not there; InputError: no flow.
    """
    words: list[str] = []
    states: list[int] = []
    rest = iter(arguments)
    for word in rest:
        if word == "--ct-next" or word.startswith("--ct-next="):
            text = word[10:] if "=" in word else next(rest, "")
            states.append(_ct_states(text) | CT_TRK)
        elif word == "-generate" or word in ("--names", "--no-names", "-generate"):
            continue  # our packets always have their bytes where they matter
        elif word.startswith("-"):
            raise OvsctError(f"{word}: unsupported option")
        else:
            words.append(word)
    if len(words) < 2 or words[0] != model.bridge.name:
        raise OvsctError("only the form BRIDGE FLOW [PACKET] is supported, with our bridge")
    builder = MatchBuilder()
    for item in items(words[1], 0, len(words[1])):
        if not builder.take(item):
            raise OvsctError(f"unknown field {item.key}")
    match = builder.done()
    key = match.value
    if len(words) > 2:
        if not _HEX.match(words[2]) or len(words[2]) % 2:
            raise OvsctError("bad packet or flow syntax")
        port = SLOTS["in_port"].get(key)
        packet = parse(bytes.fromhex(words[2]), port, model.lane.vlan_limit)
        beside = key & ~DATAPATH_MASK | key & (SLOTS["ct_state"].mask | SLOTS["pkt_mark"].mask)
        key = packet.key | beside
    lines, last, flow = _one(model, key)
    seen = [flow]
    queue = [(*each, last) for each in _recirculations(flow.actions)]
    for _ in range(_MOST_RECIRCULATIONS):
        if not queue:
            break
        more, flow = _recirculated(model, queue.pop(0), states, queue)
        seen.append(flow)
        lines += ["", *more]
    for flow in seen:  # an id that only this trace has used goes again
        model.bridge.recirc.hold(flow.recirc_ids)
        model.bridge.recirc.release(flow.recirc_ids)
    return "".join(f"{line}\n" for line in lines)


def _recirculated(
    model: ModelBridge, which: _Again, states: list[int], queue: list[_Again]
) -> tuple[list[str], odp.Megaflow]:
    """The lines about one recirculation; those that follow from it are put into `queue`."""
    number, zone, before = which
    state = model.bridge.recirc.thaw(number)
    key = SLOTS["recirc_id"].put(before & DATAPATH_MASK, number)
    head = f"recirc({number:#x})"
    if state is not None and state.conntracked:
        if states:
            ct_state, how = states.pop(0), "ct_state="
        else:
            ct_state, how = CT_TRK | CT_NEW, "default ct_state="
        names = "|".join(name for name, bit in CT_STATE_NAMES if ct_state & bit)
        hint = " (use --ct-next to customize)" if how.startswith("default") else ""
        head += f" - resume conntrack with {how}{names}{hint}"
        key = SLOTS["ct_zone"].put(SLOTS["ct_state"].put(key, ct_state), zone)
    lines, last, flow = _one(model, key)
    queue += [(*each, last) for each in _recirculations(flow.actions)]
    return [_WIDE, head, _WIDE, "", *lines], flow
