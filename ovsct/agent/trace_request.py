"""What ``ofproto/trace`` is asked: options, a bridge or a datapath, a flow, a packet.

OVS ofproto/ofproto-dpif-trace.c, parse_flow_and_packet(); errors are in its words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ovsct.bridge.commit import VLANS
from ovsct.bridge.odp_parse import parse_key
from ovsct.errors import InputError, OvsctError
from ovsct.openflow.actions import Action
from ovsct.openflow.text.action_format import format_action
from ovsct.openflow.text.action_text import read_actions
from ovsct.openflow.text.lexer import items
from ovsct.openflow.text.match_text import MatchBuilder
from ovsct.packet.fields import (
    CT_EST,
    CT_INV,
    CT_NEW,
    CT_RPL,
    CT_STATE_NAMES,
    CT_TRK,
    DATAPATH_MASK,
    SLOTS,
)
from ovsct.packet.packet import ETH_VLAN, parse

if TYPE_CHECKING:
    from ovsct.agent.model import ModelBridge

_IN_PORT = SLOTS["in_port"]
_OFPP_NONE: Final = 0xFFFF
_LOCAL: Final = 0xFFFE
_DATAPATHS: Final = ("dummy", "ovs-dummy", "netdev", "ovs-netdev", "system", "ovs-system")
_BESIDE: Final = SLOTS["ct_state"].mask | SLOTS["pkt_mark"].mask
_INSTRUCTIONS: Final = ("write_actions", "clear_actions", "write_metadata", "goto_table", "meter")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[ .:]?)+\Z")


@dataclass(frozen=True, slots=True)
class Request:
    """A packet to trace: its key, and the conntrack states that it shall meet, first one first."""

    key: int
    ct_states: Sequence[int]


def parse_request(model: ModelBridge, arguments: Sequence[str]) -> Request:
    """Read the arguments of ``ofproto/trace``. Raises OvsctError, in the words of OVS."""
    words: list[str] = []
    states: list[int] = []
    generate = False
    rest = iter(arguments)
    for word in rest:
        if word == "--ct-next":
            text = next(rest, None)
            if text is None:
                raise OvsctError(f"Missing argument for option {word}")
            states.append(_ct_state(text))
        elif word in ("-generate", "--generate"):
            generate = True  # nothing that this model says of a packet is not in its key
        elif word.startswith("-"):
            known = word in ("-names", "--names", "--l7", "--l7-len", "-consistent", "--consistent")
            raise OvsctError(f"{word}: {'not supported here' if known else 'unknown option'}")
        elif len(words) == 3:
            raise OvsctError("too many arguments")
        else:
            words.append(word)
    packet = None
    if not generate and len(words) > 1:
        packet = _packet(words[-1], must_be=len(words) > 2)
        if packet is not None:
            words.pop()
    if not 1 <= len(words) <= 2:
        raise OvsctError("Syntax error")
    key = _flow(model, words)
    if packet is not None:
        read = parse(packet, _IN_PORT.get(key), model.lane.vlan_limit)
        key = read.key | key & (~DATAPATH_MASK | _BESIDE)
    return Request(key, states)


def parse_actions(model: ModelBridge, text: str) -> tuple[Action, ...]:
    """The actions of ``ofproto/trace-packet-out``. Raises OvsctError."""
    try:
        actions = read_actions(text)
    except InputError as error:
        raise OvsctError(str(error)) from None
    for action in actions:
        name = re.split("[:(,]", format_action(action))[0]
        if name in _INSTRUCTIONS:
            raise OvsctError(f"{name} instruction not allowed here")
    return actions


def _flow(model: ModelBridge, words: Sequence[str]) -> int:
    """The key: of a datapath flow, with or without a datapath, or of a bridge's."""
    try:
        key, _ = parse_key(words[-1])
    except InputError:
        key = None
    if key is not None and "(" in words[-1]:
        if len(words) == 2 and words[0] not in _DATAPATHS:
            raise OvsctError("Cannot find the datapath")
        port = _IN_PORT.get(key)
        if port not in model.bridge.ports and port != _LOCAL:
            raise OvsctError(f"no OpenFlow port for datapath port {port}")
        return key
    if len(words) != 2:
        raise OvsctError(f"syntax error at {words[-1]} (or the bridge name was omitted)")
    if words[0] != model.bridge.name:
        raise OvsctError(f"{words[0]}: unknown bridge")
    text = words[1]
    ports = {f"p{number}": number for number in model.bridge.ports} | {model.bridge.name: _LOCAL}
    builder = MatchBuilder()
    try:
        for item in items(text, 0, len(text)):
            if not builder.take(item, ports):
                raise OvsctError(f"Bad openflow flow syntax: {text}: unknown field {item.key}")
        for error in (*builder.unsayable, *builder.late):
            raise error
        key = builder.done().value
    except InputError as error:
        raise OvsctError(f"Bad openflow flow syntax: {text}: {error}") from None
    tci, tpid = VLANS[0]
    if tci.get(key) and not tpid.get(key):
        key = tpid.put(key, ETH_VLAN)  # OVS flow_fix_vlan_tpid()
    return key if _IN_PORT.get(key) else _IN_PORT.put(key, _OFPP_NONE)


def _packet(text: str, *, must_be: bool) -> bytes | None:
    """A packet in hex; None if it is none and need not be (OVS eth_from_hex())."""
    problem = "Trailing garbage in packet data"
    if _HEX.match(text):
        data = bytes.fromhex(re.sub(r"[ .:]", "", text))
        if len(data) >= 14:
            return data
        problem = "Packet data too short for Ethernet"
    if must_be:
        raise OvsctError(problem)
    return None


def _ct_state(text: str) -> int:
    """OVS parse_ct_state() and validate_ct_state()."""
    bits = dict(CT_STATE_NAMES)
    state = 0
    for word in re.split("[, ]+", text.strip(", ")):
        if word not in bits:
            raise OvsctError(f"{word}: unknown connection tracking state flag")
        state |= bits[word]
    refused = [
        (not state & CT_TRK, 'If "trk" is unset, no other flags are set'),
        (
            state & CT_INV and state & ~(CT_TRK | CT_INV),
            'when "inv" is set, only "trk" may also be set',
        ),
        (state & CT_NEW and state & CT_EST, '"new" and "est" are mutually exclusive'),
        (state & CT_NEW and state & CT_RPL, '"new" and "rpy" are mutually exclusive'),
    ]
    head = f"{format_ct_state(state)}: invalid connection state:"
    problems = [f"{head} {why}" for wrong, why in refused if wrong]
    if problems:
        raise OvsctError("\n".join(problems))
    return state


def format_ct_state(state: int) -> str:
    """``new|trk``."""
    return "|".join(name for name, bit in CT_STATE_NAMES if state & bit)
