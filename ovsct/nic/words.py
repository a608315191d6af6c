"""What hardware has and does, in words: for traces, events and ``ovsct lower --to nic``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ovsct.conntrack import tuples
from ovsct.lane import Step, StepKind, Via
from ovsct.nic import rules as nic
from ovsct.nic.rules import NicRule, Standing
from ovsct.nic.tables import HwEntry
from ovsct.packet.fields import CT_STATE_NAMES, CT_TRK, SLOTS, Slot

_PREFIXES: Final = {"nw_src": 4, "nw_dst": 4, "ipv6_src": 6, "ipv6_dst": 6}
_MACS: Final = frozenset(("dl_src", "dl_dst"))
_NUMBERS: Final = frozenset(("nw_proto", "nw_ttl", "tp_src", "tp_dst", "ct_zone"))


# -- traces -------------------------------------------------------------------------------------


def note_rule(steps: list[Step], standing: Standing) -> None:
    """A rule was met."""
    rule = standing.rule
    text = f"chain {rule.chain} prio {rule.prio}: {actions_text(rule.actions)}"
    steps.append(Step(Via.HW, StepKind.FILTER, text))


def note_hit(steps: list[Step], hit: HwEntry) -> None:
    """A connection was hit."""
    text = f"offloaded connection, {which(hit)}: {meta_text(hit.meta)}"
    steps.append(Step(Via.HW, StepKind.OFFLOAD, text))


# -- connections --------------------------------------------------------------------------------


def which(hw: HwEntry) -> str:
    """The direction of an entry."""
    return "reply" if hw.reply else "original"


def state_text(state: int, mask: int = 0xFF) -> str:
    """ct_state bits as ``+trk+est``; with a mask also those that must be clear."""
    ordered = sorted(CT_STATE_NAMES, key=lambda each: each[1] != CT_TRK)
    signs = (
        ("+" if state & bit else "-", name) for name, bit in ordered
        if state & bit or (mask != 0xFF and mask & bit)
    )  # fmt: skip
    return "".join(sign + name for sign, name in signs) or "-trk"


def meta_text(meta: int) -> str:
    """What an entry's registers say."""
    text = f"ct_state={state_text(SLOTS['ct_state'].get(meta))} zone={SLOTS['ct_zone'].get(meta)}"
    mark, label = SLOTS["ct_mark"].get(meta), SLOTS["ct_label"].get(meta)
    if mark:
        text += f" mark={mark:#x}"
    if label:
        text += f" label={label:#x}"
    return text


def entry_text(hw: HwEntry, now: int) -> str:
    """An entry with its age at `now` (ms)."""
    t = tuples.unpack(hw.tuple)
    text = f"connection proto={t.proto} {_ends(t)} {which(hw)} {meta_text(hw.meta)}"
    if hw.nat:
        text += f" nat={_ends(hw.ends)}"
    return f"{text} age={(now - hw.since) / 1000:.3f} idle={(now - hw.used) / 1000:.3f}"


def _ends(t: tuples.Parts) -> str:
    src, dst = tuples.address(t.family, t.src), tuples.address(t.family, t.dst)
    if t.family == 6:
        src, dst = f"[{src}]", f"[{dst}]"
    return f"{src}:{t.sport}>{dst}:{t.dport}"


# -- rules --------------------------------------------------------------------------------------


def rule_text(rule: NicRule) -> str:
    """A rule on one line."""
    return (
        f"rule port={rule.port} chain={rule.chain} prio={rule.prio} "
        f"protocol={rule.protocol:#06x} match=[{match_text(rule)}] "
        f"actions=[{actions_text(rule.actions)}]"
    )


def match_text(rule: NicRule) -> str:
    """What a rule matches, slot by slot."""
    parts = []
    for slot in SLOTS.values():
        mask = slot.get(rule.mask)
        if mask:
            parts.append(f"{slot.name}={_value_text(slot, slot.get(rule.value) & mask, mask)}")
    return " ".join(parts)


def _value_text(slot: Slot, value: int, mask: int) -> str:
    if slot.name == "ct_state":
        return state_text(value, mask)
    write = _writer(slot)
    if mask == slot.ones:
        return write(value)
    family = _PREFIXES.get(slot.name)
    free = ~mask & slot.ones
    if family is not None and not free & (free + 1):
        return f"{write(value)}/{mask.bit_count()}"
    return f"{write(value)}/{hex(mask) if write is str else write(mask)}"


def _writer(slot: Slot) -> Callable[[int], str]:
    family = _PREFIXES.get(slot.name)
    if family is not None:
        return lambda value: tuples.address(family, value)
    if slot.name in _MACS:
        return lambda value: value.to_bytes(6, "big").hex(":")
    return str if slot.name in _NUMBERS else hex


def actions_text(actions: tuple[nic.NicAction, ...]) -> str:
    """Actions in words."""
    return ", ".join(_action_text(action) for action in actions)


def _action_text(action: nic.NicAction) -> str:
    match action:
        case nic.Track(zone, nat, _):
            return f"ct zone {zone}{' nat' if nat else ''}"
        case nic.Clear():
            return "ct clear"
        case nic.Output(port):
            return f"output {port}"
        case nic.Rewrite(value, mask):
            parts = [
                f"{slot.name}={_value_text(slot, slot.get(value), slot.get(mask))}"
                for slot in SLOTS.values() if slot.mask & mask
            ]  # fmt: skip
            return f"rewrite {' '.join(parts)}"
        case nic.PushVlan(tpid, tci):
            return f"push vlan {tci & 0xFFF} tpid {tpid:#06x}"
        case nic.PopVlan():
            return "pop vlan"
        case nic.Goto(chain):
            return f"goto chain {chain}"
        case nic.Discard():
            return "drop"
