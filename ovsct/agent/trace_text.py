"""``ofproto/trace``: one packet through the tables, in the words of OVS.

OVS ofproto/ofproto-dpif-trace.c. Nothing is learned and no counter moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from ovsct.agent.trace_request import Request, format_ct_state, parse_actions, parse_request
from ovsct.bridge import odp
from ovsct.bridge.journal import Fork, Journal, Kind, Node
from ovsct.bridge.odp_text import format_actions
from ovsct.bridge.translate import translate
from ovsct.errors import OvsctError
from ovsct.openflow.actions import OFPP_UNSET, Action, Nat
from ovsct.openflow.flow import Flow
from ovsct.openflow.match import Match
from ovsct.openflow.text.match_text import format_match
from ovsct.openflow.wire.errors import WireError
from ovsct.packet.fields import CT_NEW, CT_TRK, SLOTS, VLAN_PRESENT
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6

if TYPE_CHECKING:
    from ovsct.agent.model import ModelBridge

_WIDE: Final = "=" * 79
_MOST_RECIRCULATIONS: Final = 4096
_ACTSET: Final = SLOTS["actset_output"]

_SLOW: Final = {"action": "Uses action(s) not supported by datapath"}
_FAILED: Final = {
    "over max translation depth": "Recursion too deep",
    "over ": "Too many resubmits",
    "resubmits yielded": "Stack too deep",
    "Recirculation conflict": "Recirculation conflict",
    "recirculation id": "No recirculation context",
    "too many MPLS labels": "Too many MPLS labels",
}
"""Errors of the translation by how they begin, as OVS calls them; all others:"""
_OTHER: Final = "Unsupported packet type"

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


def _rule_text(flow: Flow) -> str:
    match = format_match(flow.match)
    text = f"{flow.table:2}. {match}, priority {flow.priority}" if match else (
        f"{flow.table:2}. priority {flow.priority}"
    )
    return f"{text}, cookie {flow.cookie:#x}" if flow.cookie else text


_SAID: Final = {
    Kind.DETAIL: " -> {}",
    Kind.WARN: " >> {}",
    Kind.ERROR: " >>>> {} <<<<",
}


def _tree(nodes: Sequence[Node], level: int = 0) -> Iterator[str]:
    """What a translation met, indented as OVS does it (oftrace_node_print_details())."""
    for at, node in enumerate(nodes):
        more = at < len(nodes) - 1 or node.kind.terminal
        margin = " " * ((level + more) * 4)
        text = node.text
        if node.table is not None:
            text = f"{node.table:2}. No match." if node.flow is None else _rule_text(node.flow)
        if node.kind is Kind.BRIDGE:
            yield ""
        yield margin + _SAID.get(node.kind, "{}").format(text)
        if node.kind is Kind.BRIDGE:
            yield margin + "-" * len(text)
        yield from _tree(node.below, level + more + more)


def _traced(text: str) -> str:
    """A trace has no side effects: what would go to the controller is not sent."""
    return text.replace("dont_send=0", "dont_send=1")


def _reason(error: str) -> str:
    """Why a translation failed (OVS xlate_strerror())."""
    return next((said for start, said in _FAILED.items() if error.startswith(start)), _OTHER)


def _one(
    model: ModelBridge, key: int, actions: Sequence[Action] = ()
) -> tuple[str, odp.Megaflow, Sequence[Fork]]:
    """What is said of one pass, the megaflow that it makes, and what it forks for conntrack."""
    journal = Journal(model.bridge.name)
    flow = translate(
        model.bridge, key, model.now, side_effects=False, trace=True, journal=journal,
        actions=actions,
    ).megaflow  # fmt: skip
    first = _ACTSET.put(key, OFPP_UNSET)
    lines = [
        f"Flow: {_format_flow(first)}",
        *_tree(journal.roots),
        "",
        f"Final flow: {_format_flow(journal.final) if first != journal.final else 'unchanged'}",
        f"Megaflow: {_format(flow.key, journal.mask)}",
        f"Datapath actions: {_traced(format_actions(flow.actions))}",
    ]
    if journal.error is not None:
        lines += [f"Translation failed ({_reason(journal.error)}), packet is dropped.", ""]
    elif flow.slow is not None:
        lines.append("This flow is handled by the userspace slow path because it:")
        lines.append(f"  - {_SLOW[flow.slow]}.")
    return "\n".join(lines), flow, journal.forks


def trace(model: ModelBridge, arguments: Sequence[str]) -> str:
    """The text of ``ofproto/trace``. Raises OvsctError: a form or option that is not there."""
    return _trace(model, parse_request(model, arguments), ())


def trace_packet_out(model: ModelBridge, arguments: Sequence[str]) -> str:
    """The text of ``ofproto/trace-packet-out``: it begins with actions. Raises OvsctError."""
    actions = parse_actions(model, arguments[-1])
    request = parse_request(model, arguments[:-1])
    try:
        model.check_packet_out(actions, request.key)
    except WireError as error:
        raise OvsctError(f"Bad actions: {error.name}") from None
    return _trace(model, request, actions)


def _trace(model: ModelBridge, request: Request, actions: Sequence[Action]) -> str:
    states = list(request.ct_states)
    text, flow, forks = _one(model, request.key, actions)
    seen = [flow]
    queue = list(forks)
    for _ in range(_MOST_RECIRCULATIONS):
        if not queue:
            break
        fork = queue.pop(0)
        head, key = _resumed(fork, states)
        more, flow, forks = _one(model, key, actions)
        seen.append(flow)
        queue += forks
        text += f"\n\n{_WIDE}\n{head}{_WIDE}\n\n{more}"
    if queue:
        text += f"\n\n{_WIDE}\nTrace reached the recirculation limit.  Sopping the trace here."
        text += f"\nQueued but not processed: {len(queue)} recirculations."
    for flow in seen:  # an id that only this trace has used goes again
        model.bridge.recirc.hold(flow.recirc_ids)
        model.bridge.recirc.release(flow.recirc_ids)
    return text if text.endswith("\n") else f"{text}\n"


def _resumed(fork: Fork, states: list[int]) -> tuple[str, int]:
    """What is said of a packet that comes out of conntrack, and its key then.

    OVS ofproto_trace_recirc_node(): the state is what was asked for, an address the first of nat's.
    """
    key = SLOTS["recirc_id"].put(SLOTS["ct_zone"].put(fork.flow, fork.zone), fork.recirc_id)
    if states:
        ct_state = states.pop(0)
        how = f"ct_state={format_ct_state(ct_state)}"
    else:
        ct_state = CT_TRK | CT_NEW
        how = "default ct_state=trk|new (use --ct-next to customize)"
    key = SLOTS["ct_state"].put(key, ct_state)
    head = f"recirc({fork.recirc_id:#x}) - resume conntrack with {how}\n"
    if fork.nat is not None:
        changed = _translated(key, fork.nat)
        head += "Replacing src/dst IP/ports to simulate NAT:\n"
        head += f" Initial flow: {_addresses(key, fork.nat.family)}\n"
        head += f" Modified flow: {_addresses(changed, fork.nat.family)}\n"
        key = changed
    return head, key


def _translated(key: int, nat: Nat) -> int:
    """The first address and the first port of nat's range."""
    for side, wanted in (("src", nat.src), ("dst", nat.dst)):
        if wanted and nat.family:
            name = f"nw_{side}" if nat.family == 4 else f"ipv6_{side}"
            key = SLOTS[name].put(key, nat.addr_min)
            if nat.port_min:
                key = SLOTS[f"tp_{side}"].put(key, nat.port_min)
    return key


def _addresses(key: int, family: int) -> str:
    """OVS oftrace_print_ip_flow()."""
    if not family:
        return ""
    prefix, form = ("nw", "{}") if family == 4 else ("ipv6", "[{}]")
    kind = IPv4Address if family == 4 else IPv6Address
    return ",".join(
        f"{prefix}_{side}={form.format(kind(SLOTS[f'{prefix}_{side}'].get(key)))}"
        f",tp_{side}={SLOTS[f'tp_{side}'].get(key)}"
        for side in ("src", "dst")
    )
