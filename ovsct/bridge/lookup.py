"""Look a packet up in a table, and note in the mask who made us look at what.

OVS ``rule_dpif_lookup_from_table()`` and ``xlate_table_action()``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ovsct.bridge.context import Context
from ovsct.bridge.odp import LOOKED_AT, MATCHED, Author
from ovsct.bridge.walk import walk_actions
from ovsct.lane import Drop, StepKind
from ovsct.openflow.actions import Action
from ovsct.openflow.classifier import Look
from ovsct.openflow.flow import Flow
from ovsct.openflow.text.flow_text import format_flow
from ovsct.packet.fields import FRAG_ANY, SLOTS
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6

MAX_DEPTH = 64
MAX_RESUBMITS = 4096
INTERNAL_TABLE = 254

_IN_PORT = SLOTS["in_port"]
_FRAG = SLOTS["nw_frag"]
_PORTS_MASK = SLOTS["tp_src"].mask | SLOTS["tp_dst"].mask
_DL_TYPE = SLOTS["dl_type"]

# resubmit(,T,ct): the packet's tuple and the connection's, swapped for the look-up.
_CT_SWAP_V4 = (
    ("nw_proto", "ct_nw_proto"), ("nw_src", "ct_nw_src"), ("nw_dst", "ct_nw_dst"),
    ("tp_src", "ct_tp_src"), ("tp_dst", "ct_tp_dst"),
)  # fmt: skip
_CT_SWAP_V6 = (
    ("nw_proto", "ct_nw_proto"), ("ipv6_src", "ct_ipv6_src"), ("ipv6_dst", "ct_ipv6_dst"),
    ("tp_src", "ct_tp_src"), ("tp_dst", "ct_tp_dst"),
)  # fmt: skip


def swap_ct_tuple(key: int, dl_type: int) -> int:
    """`key` with the packet's tuple and ct()'s original tuple swapped (OVS ``tuple_swap()``)."""
    for name, twin in _CT_SWAP_V4 if dl_type == ETH_IPV4 else _CT_SWAP_V6:
        one, other = SLOTS[name], SLOTS[twin]
        mine, theirs = one.get(key), other.get(key)
        key = other.put(one.put(key, theirs), mine)
    return key


def look_up(ctx: Context, in_port: int, honor_miss: bool, with_ct: bool = False) -> Flow | None:
    """The flow of ``ctx.table`` that ``ctx.flow`` matches, coming from `in_port`.

    Un-wildcards what the classifier looked at, each bit with its author. None: the packet is
    dropped, ``ctx.missed`` says why if `honor_miss`.
    """
    bridge = ctx.bridge
    key = _IN_PORT.put(ctx.flow, in_port)
    if _FRAG.get(key) & FRAG_ANY and bridge.frag_mode != "nx-match":
        if bridge.frag_mode == "drop":
            ctx.missed = Drop.FRAGMENT
            # OVS has a rule for this drop.
            ctx.looked.append(bridge.place << 9 | ctx.table << 1 | 1)
            return None
        key &= ~_PORTS_MASK
    dl_type = _DL_TYPE.get(key)
    if with_ct:
        key = swap_ct_tuple(key, dl_type)
    table = bridge.tables.get(ctx.table)
    rule: Flow | None = None
    if table is not None:
        # What is looked at already widens a prefix no further (the classifier asks for it).
        seen = swap_ct_tuple(ctx.mask, dl_type) if with_ct else ctx.mask
        look: Look[Flow] = Look(seen, ctx.hidden)
        rule = table.lookup(key, look)
        for bits, cause in look.authors:
            why = MATCHED if cause is rule else LOOKED_AT
            # A tuple swapped in is a tuple looked at where it really stands.
            real = swap_ct_tuple(bits, dl_type) if with_ct else bits
            ctx.look(real, Author(ctx.table, cause, why))
    ctx.looked.append(bridge.place << 9 | ctx.table << 1 | (rule is not None))
    if ctx.steps is not None:
        text = format_flow(rule) if rule is not None else f"table={ctx.table}: no match"
        ctx.note(StepKind.TABLE, text)
        if ctx.journal is not None:
            ctx.journal.open_table(ctx.table, rule)
    if rule is None:
        if ctx.table == INTERNAL_TABLE:
            return None
        if honor_miss:
            ctx.missed = Drop.TABLE_MISS
    return rule


def resources_left(ctx: Context) -> bool:
    """Whether one more table or group may be entered; if not, the translation has failed."""
    if ctx.depth >= MAX_DEPTH:
        ctx.fail(f"over max translation depth {MAX_DEPTH}")
    elif ctx.resubmits >= MAX_RESUBMITS:
        ctx.fail(f"over {MAX_RESUBMITS} resubmit actions")
    elif sum((width + 7) // 8 + 1 for width, _value in ctx.stack) >= 65536:
        ctx.fail("resubmits yielded over 64 kB of stack")
    else:
        return True
    return False


def go_to_table(
    ctx: Context,
    in_port: int,
    table: int,
    *,
    honor_miss: bool,
    last: bool,
    with_ct: bool = False,
    walk: Callable[[Context, Sequence[Action], bool], None] = walk_actions,
) -> None:
    """Look up in another table and run (`walk`) what is found there."""
    if ctx.was_mpls:
        ctx.trigger_freeze()
        return
    if not resources_left(ctx):
        return
    old_table = ctx.table
    ctx.table = table
    if with_ct and (
        not SLOTS["ct_nw_proto"].get(ctx.flow)
        or _DL_TYPE.get(ctx.flow) not in (ETH_IPV4, ETH_IPV6)
    ):
        ctx.note(StepKind.NOTE, "resubmit(ct) with non-tracked or non-IP packet")
        ctx.table = old_table
        return
    above = ctx.journal.here if ctx.journal is not None else None
    rule = look_up(ctx, in_port, honor_miss, with_ct)
    if rule is not None:
        ctx.rules.append(rule)
        ctx.resubmits += 1
        deeper = table <= old_table
        old_rule, ctx.rule = ctx.rule, rule
        ctx.depth += deeper
        in_bucket, ctx.in_bucket = ctx.in_bucket, False
        walk(ctx, rule.actions, last)
        ctx.in_bucket = in_bucket
        ctx.depth -= deeper
        ctx.rule = old_rule
    else:
        # OVS runs its drop rule, and that counts.
        ctx.resubmits += 1
    ctx.shut(above)
    ctx.table = old_table
